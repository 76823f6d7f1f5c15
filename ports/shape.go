package ports

import (
	"hash/crc32"

	"github.com/weirswitch/weir/flowtable/packet"
)

// maxSegments bounds what one hostile super-frame can grow to. Linux never
// cuts TCP finer than 8 bytes (48 bytes of smallest MSS less 40 of options),
// and no IP packet is longer than 64 KiB.
const maxSegments = 65536 / 8

// IPv6 extension headers, by the number that announces them.
const (
	protoHopByHop = 0
	protoRouting  = 43
	protoFragment = 44
	protoAH       = 51
	protoDestOpts = 60
	protoMobility = 135
)

// shape is where the headers of an IP frame lie, as offsets from the frame's
// first byte. It is read afresh for frames that need work, because a frame may
// be written that nobody has parsed.
type shape struct {
	l2      int // behind the Ethernet header and its VLAN tags: what an MTU counts from
	l3      int
	l4      int
	payload int // behind the transport header; set by matches
	end     int // of the IP packet
	fragAt  int // IPv6: where a fragment header goes; IPv4: the end of the header
	nextAt  int // IPv6: the byte that names what lies at fragAt
	proto   byte
	v6      bool
	frag    bool // already a fragment
	routed  bool // an IPv6 routing header names another final destination
}

// read finds the headers. It answers false when the frame is not IP or its
// headers do not fit in it.
func (s *shape) read(b []byte) bool {
	*s = shape{}
	if len(b) < etherLen {
		return false
	}
	at, t := behindTags(b)
	s.l2 = at
	switch t {
	case etherMPLS, etherMPLSm:
		at, t = behindMPLS(b, at)
	case etherPBB:
		at, t = behindPBB(b, at)
	}
	s.l3 = at
	switch t {
	case etherIPv4:
		return s.readIPv4(b)
	case etherIPv6:
		return s.readIPv6(b)
	}
	return false
}

// behindTags skips the Ethernet header and its VLAN tags. The frame has an
// Ethernet header.
func behindTags(b []byte) (at int, etherType uint16) {
	at, etherType = 12, be.Uint16(b[12:])
	for isTag(etherType) && at+6 <= len(b) {
		at += 4
		etherType = be.Uint16(b[at:])
	}
	return at + 2, etherType
}

// behindMPLS skips the label stack. Nothing says what follows it; the first
// four bits of an IP packet do (RFC 4928 asks others not to look like it).
func behindMPLS(b []byte, at int) (int, uint16) {
	for at+5 <= len(b) {
		bottom := b[at+2]&1 != 0
		at += 4
		if !bottom {
			continue
		}
		switch b[at] >> 4 {
		case 4:
			return at, etherIPv4
		case 6:
			return at, etherIPv6
		}
		break
	}
	return at, 0
}

// behindPBB skips the I-TAG and the customer's Ethernet header.
func behindPBB(b []byte, at int) (int, uint16) {
	at += 4 + 12
	for at+2 <= len(b) {
		t := be.Uint16(b[at:])
		if !isTag(t) {
			return at + 2, t
		}
		at += 4
	}
	return at, 0
}

func (s *shape) readIPv4(b []byte) bool {
	if s.l3+20 > len(b) {
		return false
	}
	ip := b[s.l3:]
	hlen, total := int(ip[0]&15)*4, int(be.Uint16(ip[2:]))
	if ip[0]>>4 != 4 || hlen < 20 || hlen > len(ip) || total > len(ip) || total != 0 && total < hlen {
		return false
	}
	s.proto, s.frag = ip[9], be.Uint16(ip[6:])&0x3fff != 0
	s.l4, s.fragAt, s.end = s.l3+hlen, s.l3+hlen, s.l3+total
	if total == 0 { // longer than the field can say; Linux writes 0 then
		s.end = len(b)
	}
	return true
}

func (s *shape) readIPv6(b []byte) bool {
	if s.l3+40 > len(b) || b[s.l3]>>4 != 6 {
		return false
	}
	length := int(be.Uint16(b[s.l3+4:]))
	if s.v6, s.end = true, s.l3+40+length; length == 0 {
		s.end = len(b)
	}
	if s.end > len(b) {
		return false
	}
	s.nextAt, s.fragAt = s.l3+6, s.l3+40
	at, named := s.l3+40, s.l3+6 // named: the byte that says what lies at at
	for {
		next := b[named]
		size := 0
		switch next {
		case protoHopByHop, protoRouting, protoDestOpts, protoMobility, protoAH:
			if at+8 > s.end {
				return false
			}
			if size = (int(b[at+1]) + 1) * 8; next == protoAH {
				size = (int(b[at+1]) + 2) * 4
			}
			s.routed = s.routed || next == protoRouting && b[at+3] != 0
		case protoFragment:
			s.frag = true
			return false
		default:
			s.proto, s.l4 = next, at
			return at <= s.end
		}
		if next == protoHopByHop || next == protoRouting { // each fragment needs these (RFC 8200, 4.5)
			s.fragAt, s.nextAt = at+size, at
		}
		if named, at = at, at+size; at > s.end {
			return false
		}
	}
}

// matches says whether the offload fits the headers, and finds the payload.
func (s *shape) matches(b []byte, o *packet.Offload) bool {
	size, csumAt := int(o.GSOSize), 6
	switch {
	case s.frag || size == 0:
		return false
	case o.GSO == packet.GSOTCPv4 && !s.v6 && s.proto == protoTCP, o.GSO == packet.GSOTCPv6 && s.v6 && s.proto == protoTCP:
		if s.l4+20 > s.end || b[s.l4+12]>>4 < 5 {
			return false
		}
		s.payload, csumAt = s.l4+int(b[s.l4+12]>>4)*4, 16
	case (o.GSO == packet.GSOUDPL4 || o.GSO == packet.GSOUDP) && s.proto == protoUDP:
		s.payload = s.l4 + 8
	default:
		return false
	}
	if s.payload > s.end {
		return false
	}
	if o.NeedsCsum && (int(o.CsumStart) != s.l4 || int(o.CsumOffset) != csumAt) {
		return false
	}
	if o.GSO == packet.GSOUDP {
		size &^= 7
	}
	return size > 0 && s.end-s.payload <= size*maxSegments
}

// segment is the size of the longest piece, as an MTU counts it.
func (s *shape) segment(o *packet.Offload) int {
	head, size, all := s.payload, int(o.GSOSize), s.end-s.payload
	if o.GSO == packet.GSOUDP {
		head, size, all = s.fragAt, size&^7, s.end-s.fragAt
		if s.v6 {
			head += fragHdr
		}
	}
	return head - s.l2 + min(size, all)
}

// pseudoSum is the sum of the pseudo-header but for the length. Behind a
// routing header the final destination is not in the IPv6 header, but the
// sender's own sum, which the frame still carries, knows it.
func (s *shape) pseudoSum(b []byte, o *packet.Offload) uint64 {
	if s.routed && o.NeedsCsum {
		was := be.Uint16(b[s.l4+int(o.CsumOffset):])
		return uint64(was) + uint64(^packet.Fold(uint64(s.end-s.l4)))
	}
	ip := b[s.l3:]
	if s.v6 {
		return packet.PseudoHeaderSum(ip[8:24], ip[24:40], s.proto, 0)
	}
	return packet.PseudoHeaderSum(ip[12:16], ip[16:20], s.proto, 0)
}

// setLength makes the IP header fit b, the i-th piece of the packet.
func (s *shape) setLength(b []byte, i int) {
	ip := b[s.l3:]
	if s.v6 {
		be.PutUint16(ip[4:], uint16(len(ip)-40))
		return
	}
	be.PutUint16(ip[2:], uint16(len(ip)))
	be.PutUint16(ip[4:], be.Uint16(ip[4:])+uint16(i))
	be.PutUint16(ip[10:], 0)
	putChecksum(ip[10:], packet.Sum16(ip[:s.fragAt-s.l3], 0), false)
}

// castagnoli is the polynomial of SCTP's checksum (RFC 9260, appendix A).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// putSCTPChecksum stores the CRC32c of an SCTP packet, which is the one number
// in it that goes low byte first.
func putSCTPChecksum(sctp []byte) {
	clear(sctp[sctpCsumOffset : sctpCsumOffset+4])
	c := crc32.Checksum(sctp, castagnoli)
	sctp[sctpCsumOffset], sctp[sctpCsumOffset+1] = byte(c), byte(c>>8)
	sctp[sctpCsumOffset+2], sctp[sctpCsumOffset+3] = byte(c>>16), byte(c>>24)
}
