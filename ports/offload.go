package ports

import (
	"encoding/binary"

	"github.com/weirswitch/weir/flowtable/packet"
)

// EtherTypes and protocol numbers that segmentation has to look through.
const (
	etherLen   = 14 // addresses and type
	etherVLAN  = 0x8100
	etherQinQ  = 0x88a8
	etherQinQ1 = 0x9100 // an old number for the outer tag that is still met
	etherIPv4  = 0x0800
	etherIPv6  = 0x86dd
	etherMPLS  = 0x8847
	etherMPLSm = 0x8848
	etherPBB   = 0x88e7

	protoTCP  = 6
	protoUDP  = 17
	protoSCTP = 132

	sctpCsumOffset = 8 // only SCTP keeps its checksum there
)

var be = binary.BigEndian

// Finisher finishes in software what a frame's Offload leaves to the device:
// it completes the checksum and cuts super-frames. Every port that cannot pass
// such frames on calls it for each frame that it writes:
//
//	if reason, ok := fin.Begin(f, mtu); !ok {
//		counters.DropTx(reason, 1)
//		continue
//	}
//	for b := fin.Next(); b != nil; b = fin.Next() {
//		// b is one finished frame, valid until the next call
//	}
//
// A frame that owes nothing comes back as it is, without a copy. The frame
// itself is never changed. The zero Finisher is ready; it belongs to one writer
// at a time and keeps one buffer of the longest frame it has made.
type Finisher struct {
	buf    []byte
	frame  []byte // what Begin was given
	o      packet.Offload
	sh     shape
	at     int    // payload bytes that have been given out
	done   bool   // Next has nothing more
	ident  uint32 // of the IPv6 datagram that is cut into fragments
	size   int    // payload bytes of each fragment
	pseudo uint64 // sum of the pseudo-header without its length
}

// Begin takes a frame on. mtu is the longest payload behind the Ethernet
// header and its VLAN tags; 0 means no limit that anybody knows of. A packet
// that was put together from fragments (GSOFrag) comes whole when it is known
// to fit. When Begin answers false, the frame is lost for the named reason.
func (s *Finisher) Begin(f *packet.Frame, mtu int) (DropReason, bool) {
	s.frame, s.o, s.at, s.done = f.Bytes(), f.Offload, 0, false
	if len(s.frame) < etherLen {
		return DropTruncated, false
	}
	if s.o.GSO == packet.GSOFrag {
		if mtu == 0 || !fits(s.frame, mtu) {
			return s.beginAgain(mtu)
		}
		s.o.GSO = packet.GSONone
	}
	if s.o.GSO == packet.GSONone {
		if !fits(s.frame, mtu) {
			return DropTooBig, false
		}
		if s.o.NeedsCsum && int(s.o.CsumStart)+int(s.o.CsumOffset)+2 > len(s.frame) {
			return DropBadOffload, false
		}
		return 0, true
	}
	if !s.sh.read(s.frame) || !s.sh.matches(s.frame, &s.o) {
		return DropBadOffload, false
	}
	if mtu > 0 && s.sh.segment(&s.o) > mtu {
		return DropTooBig, false
	}
	s.frame = s.frame[:s.sh.end]
	s.pseudo = s.sh.pseudoSum(s.frame, &s.o)
	if s.o.GSO == packet.GSOUDP {
		return s.beginFragments()
	}
	return 0, true
}

// Next gives the next finished frame, or nil when there is none.
func (s *Finisher) Next() []byte {
	switch {
	case s.done:
		return nil
	case s.o.GSO == packet.GSOUDP, s.o.GSO == packet.GSOFrag:
		return s.nextFragment()
	case s.o.GSO != packet.GSONone:
		return s.nextSegment()
	}
	s.done = true
	if !s.o.NeedsCsum {
		return s.frame
	}
	b := s.room(len(s.frame))
	copy(b, s.frame)
	completeChecksum(b, &s.o)
	return b
}

// room is the buffer, n bytes long.
func (s *Finisher) room(n int) []byte {
	if cap(s.buf) < n {
		s.buf = make([]byte, max(n, 2048))
	}
	return s.buf[:n]
}

// completeChecksum finishes what NeedsCsum promises; the offsets have been
// checked. The field holds the pseudo-header's sum, so summing it along makes
// the checksum without knowing the protocol. SCTP's is a CRC instead: Linux
// marks both in the same way.
func completeChecksum(b []byte, o *packet.Offload) {
	start, at := int(o.CsumStart), int(o.CsumStart)+int(o.CsumOffset)
	var sh shape
	known := sh.read(b) && sh.l4 == start
	if known {
		b = b[:sh.end] // Ethernet padding is no part of the sum
	}
	if o.CsumOffset == sctpCsumOffset && (sh.proto == protoSCTP || !known) { // not known: in a tunnel
		if start+12 <= len(b) {
			putSCTPChecksum(b[start:])
		}
		return
	}
	if at+2 > len(b) {
		return
	}
	putChecksum(b[at:], packet.Sum16(b[start:], 0), known && sh.proto == protoUDP)
}

// putChecksum stores the folded, inverted sum. A UDP checksum of 0 would mean
// that there is none, so it is written as its other form 0xffff (RFC 768).
func putChecksum(b []byte, sum uint64, udp bool) {
	c := ^packet.Fold(sum)
	if c == 0 && udp {
		c = 0xffff
	}
	be.PutUint16(b, c)
}

// nextSegment makes one TCP segment or, with GSOUDPL4, one datagram.
func (s *Finisher) nextSegment() []byte {
	payload := s.frame[s.sh.payload:]
	part := payload[s.at:min(len(payload), s.at+int(s.o.GSOSize))]
	first, last := s.at == 0, s.at+len(part) == len(payload)
	b := s.room(s.sh.payload + len(part))
	copy(b, s.frame[:s.sh.payload])
	copy(b[s.sh.payload:], part)

	l4 := b[s.sh.l4:]
	s.sh.setLength(b, s.at/int(s.o.GSOSize))
	if s.sh.proto == protoTCP {
		segmentTCP(l4, uint32(s.at), first, last)
		be.PutUint16(l4[16:], 0)
		putChecksum(l4[16:], packet.Sum16(l4, s.pseudo+uint64(len(l4))), false)
	} else {
		be.PutUint16(l4[4:], uint16(len(l4)))
		if had := be.Uint16(l4[6:]); had != 0 || s.o.NeedsCsum {
			be.PutUint16(l4[6:], 0)
			putChecksum(l4[6:], packet.Sum16(l4, s.pseudo+uint64(len(l4))), true)
		}
	}
	s.at += len(part)
	s.done = last
	return b
}

// segmentTCP gives the header of a segment its place in the stream. FIN and
// PSH speak of the end of the data, CWR of its beginning (RFC 3168, 6.1.2).
func segmentTCP(tcp []byte, at uint32, first, last bool) {
	const fin, psh, cwr = 0x01, 0x08, 0x80
	be.PutUint32(tcp[4:], be.Uint32(tcp[4:])+at)
	if !last {
		tcp[13] &^= fin | psh
	}
	if !first {
		tcp[13] &^= cwr
	}
}

// fragHdr is the length of an IPv6 fragment header.
const fragHdr = 8

// beginFragments prepares UDP fragmentation offload: the datagram's checksum
// is completed once, over the whole, and the IP payload is then cut.
func (s *Finisher) beginFragments() (DropReason, bool) {
	// The buffer holds the finished datagram and, behind it, one fragment.
	n := len(s.frame)
	b := s.room(n + s.sh.fragAt + fragHdr + int(s.o.GSOSize))
	copy(b, s.frame)
	l4 := b[s.sh.l4:n]
	be.PutUint16(l4[4:], uint16(len(l4)))
	if had := be.Uint16(l4[6:]); had != 0 || s.o.NeedsCsum {
		be.PutUint16(l4[6:], 0)
		putChecksum(l4[6:], packet.Sum16(l4, s.pseudo+uint64(len(l4))), true)
	}
	// IPv6 fragments need a number that two datagrams of a pair of hosts do
	// not share for a minute. A counter would do; starting from the checksum
	// keeps two switches from counting in step.
	s.ident += 1 + uint32(be.Uint16(l4[6:]))<<16
	s.size = int(s.o.GSOSize) &^ 7 // offsets are counted in eights
	return 0, true
}

// beginAgain prepares a packet that was put together to be cut into fragments no
// longer than the longest that came, or than the MTU. What an action has made
// unreadable passes where no MTU is known.
func (s *Finisher) beginAgain(mtu int) (DropReason, bool) {
	if !s.sh.read(s.frame) || s.o.NeedsCsum {
		s.o.GSO = packet.GSONone
		return DropTooBig, mtu == 0
	}
	limit, head := int(s.o.GSOSize), s.sh.fragAt-s.sh.l3
	if mtu > 0 {
		limit = min(limit, mtu-(s.sh.l3-s.sh.l2))
	}
	if s.sh.end-s.sh.l3 <= limit {
		s.o.GSO = packet.GSONone
		return 0, true
	}
	if s.sh.v6 {
		head += fragHdr
	}
	if s.size = (limit - head) &^ 7; s.size <= 0 {
		return DropTooBig, false
	}
	s.frame, s.ident = s.frame[:s.sh.end], s.o.FragID
	n := len(s.frame)
	copy(s.room(n+s.sh.fragAt+fragHdr+s.size), s.frame)
	return 0, true
}

// nextFragment makes one fragment out of the finished datagram.
func (s *Finisher) nextFragment() []byte {
	n := len(s.frame)
	head, data := s.buf[:s.sh.fragAt], s.buf[s.sh.fragAt:n]
	part := data[s.at:min(len(data), s.at+s.size)]
	last := s.at+len(part) == len(data)
	if s.at == 0 && last { // it fits as it is: no fragment, and no header that says so
		s.done = true
		return s.buf[:n]
	}

	b := s.buf[n:n:cap(s.buf)]
	b = append(b, head...)
	if s.sh.v6 {
		off := uint16(s.at)
		if !last {
			off |= 1
		}
		b = append(b, s.buf[s.sh.nextAt], 0)
		b = be.AppendUint16(b, off)
		b = be.AppendUint32(b, s.ident)
		b[s.sh.nextAt] = protoFragment
	}
	b = append(b, part...)
	if !s.sh.v6 {
		off := uint16(s.at/8) | be.Uint16(b[s.sh.l3+6:])&0x4000 // and Don't Fragment
		if s.at > 0 {
			blankOptions(b[s.sh.l3+20 : s.sh.fragAt])
		}
		if !last {
			off |= 0x2000 // more fragments
		}
		be.PutUint16(b[s.sh.l3+6:], off)
	}
	s.sh.setLength(b, 0) // every fragment has the datagram's identification
	s.at += len(part)
	s.done = last
	return b
}

// blankOptions makes no-operations of the IPv4 options that only the first
// fragment carries (RFC 791, 3.1: the copied flag).
func blankOptions(b []byte) {
	const end, noop, copied = 0, 1, 0x80
	for at := 0; at < len(b) && b[at] != end; {
		size := 1
		if b[at] != noop {
			if at+1 >= len(b) || b[at+1] < 2 || at+int(b[at+1]) > len(b) {
				return
			}
			size = int(b[at+1])
		}
		if b[at]&copied == 0 {
			for i := range size {
				b[at+i] = noop
			}
		}
		at += size
	}
}

// fits says whether a frame that is not to be cut keeps to the MTU. VLAN tags
// do not count; kernels and cards allow for them in the same way.
func fits(b []byte, mtu int) bool {
	n := len(b) - etherLen
	if mtu <= 0 || n <= mtu {
		return true
	}
	for at := 12; at+6 <= len(b) && isTag(be.Uint16(b[at:])); at += 4 {
		if n -= 4; n <= mtu {
			return true
		}
	}
	return false
}

func isTag(t uint16) bool { return t == etherVLAN || t == etherQinQ || t == etherQinQ1 }

// verdict says how a frame leaves by a port that takes unfinished frames. Values
// from 0 on are a [DropReason].
type verdict int

const (
	passWhole    verdict = -1 // as it is
	passFinished verdict = -2 // after a Finisher has done the pending work
)

// judge looks at a frame for such a port. soft means that nothing unfinished
// may leave all the same. hdrLen is the length of a super-frame's headers.
func judge(f *packet.Frame, mtu int, soft bool) (hdrLen int, v verdict) {
	b, o := f.Bytes(), &f.Offload
	switch {
	case len(b) < etherLen:
		return 0, verdict(DropTruncated)
	case soft && unfinished(o):
		return 0, passFinished
	case o.GSO == packet.GSOFrag && (mtu == 0 || !fits(b, mtu)):
		return 0, passFinished
	case o.GSO != packet.GSONone && o.GSO != packet.GSOFrag:
		return judgeSuper(b, o, mtu)
	case !fits(b, mtu):
		return 0, verdict(DropTooBig)
	case !o.NeedsCsum:
		return 0, passWhole
	case int(o.CsumStart)+int(o.CsumOffset)+2 > len(b):
		return 0, verdict(DropBadOffload)
	case o.CsumOffset == sctpCsumOffset: // a kernel would put a sum where a CRC belongs
		return 0, passFinished
	}
	return 0, passWhole
}

// judgeSuper looks at a super-frame. What an MTU limits is the segment, also
// where the whole would pass: a veth does not look at it.
func judgeSuper(b []byte, o *packet.Offload, mtu int) (hdrLen int, v verdict) {
	l2, t := behindTags(b)
	if t != etherIPv4 && t != etherIPv6 || !o.NeedsCsum || o.GSO == packet.GSOUDP {
		// Kernels lose super-frames below MPLS or PBB, and some want a partial
		// checksum; these are rare enough to be cut here.
		return 0, passFinished
	}
	hdrLen = int(o.CsumStart) + 8
	if o.GSO != packet.GSOUDPL4 {
		if int(o.CsumStart)+20 > len(b) {
			return 0, verdict(DropBadOffload)
		}
		hdrLen = int(o.CsumStart) + int(b[int(o.CsumStart)+12]>>4)*4
	}
	size := int(o.GSOSize)
	switch {
	case size == 0 || hdrLen < l2 || hdrLen > len(b) || len(b)-hdrLen > size*maxSegments:
		return 0, verdict(DropBadOffload)
	case mtu > 0 && hdrLen-l2+min(size, len(b)-hdrLen) > mtu:
		return 0, verdict(DropTooBig)
	}
	return hdrLen, passWhole
}
