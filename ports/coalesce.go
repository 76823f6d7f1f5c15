package ports

import (
	"bytes"

	"github.com/weirswitch/weir/flowtable/packet"
)

// joiner makes one super-frame of TCP segments that follow each other in a batch, for a port where
// each frame costs a system call and its receiver as much work as a super-frame does. What is cut again
// must be what came, bit by bit: so the segments are of one size but for the last; their headers are the
// same but for what a cut changes; their IPv4 identifications count up; and all checksums are right, for nobody will
// look at them any more. A PSH ends a super-frame. Segments that begin or end a connection, are urgent, or have
// the bits of ECN set pass as they are. No frame waits for a later batch.
type joiner struct {
	head  [maxJoinedHead]byte // the headers
	parts [][]byte            // head and all payloads
	size  int                 // bytes of the frames that were joined
	o     packet.Offload
	sh    shape // of the first frame
}

const (
	maxJoinedHead = 14 + 2*4 + 40 + 60
	// leastJoined is how long a frame must be to be looked at: one that is shorter has few bytes of data.
	leastJoined = 256
)

// join looks how many of the frames, from the first one on, can leave as one, and prepares it. 1: the first
// has to leave alone.
func (j *joiner) join(frames []*packet.Frame, mtu int) (n int) {
	if len(frames) < 2 || frames[0].Len() < leastJoined {
		return 1
	}
	first := frames[0].Bytes()
	if !j.begin(frames[0], mtu) {
		return 1
	}
	gso, seq, ended := len(first)-j.sh.payload, be.Uint32(first[j.sh.l4+4:]), false
	j.parts, j.size = append(j.parts[:0], j.head[:j.sh.payload], first[j.sh.payload:]), len(first)
	for n = 1; n < len(frames) && !ended; n++ {
		b := frames[n].Bytes()
		data := len(b) - j.sh.payload
		if data <= 0 || data > gso || j.size-(n-1)*j.sh.payload+data-j.sh.l3 > 65535 ||
			be.Uint32(b[j.sh.l4+4:]) != seq+uint32(n*gso) || !j.follows(first, b, n) {
			break
		}
		if n == 1 && !j.right(frames[0]) || !j.right(frames[n]) {
			break
		}
		j.parts, j.size = append(j.parts, b[j.sh.payload:]), j.size+len(b)
		ended = data < gso || b[j.sh.l4+13]&tcpPSH != 0
	}
	if n > 1 {
		j.finish(first, frames[n-1].Bytes(), n, gso)
	}
	return n
}

const tcpACK, tcpPSH = 0x10, 0x08

// begin says whether a frame may be the first of several.
func (j *joiner) begin(f *packet.Frame, mtu int) bool {
	b, sh := f.Bytes(), &j.sh
	l2, t := behindTags(b)
	for at := 12; at < l2-2; at += 4 {
		if be.Uint16(b[at:]) == etherQinQ1 { // a kernel cannot look behind this one to cut, and loses the super-frame
			return false
		}
	}
	if f.Offload.GSO != packet.GSONone || t != etherIPv4 && t != etherIPv6 || !fits(b, mtu) || !sh.read(b) {
		return false
	}
	ip := 20
	if sh.v6 {
		ip = 40
	}
	if sh.proto != protoTCP || sh.frag || sh.l4 != sh.l3+ip || sh.end != len(b) || sh.l4+20 > len(b) ||
		b[sh.l4+13] != tcpACK || !sh.v6 && be.Uint16(b[sh.l3+2:]) == 0 || sh.v6 && be.Uint16(b[sh.l3+4:]) == 0 {
		return false
	}
	sh.payload = sh.l4 + int(b[sh.l4+12]>>4)*4
	return b[sh.l4+12]&15 == 0 && sh.payload >= sh.l4+20 && sh.payload < len(b) && sh.payload <= maxJoinedHead
}

// follows says whether b, which is long enough, has the headers of the n-th frame behind first.
func (j *joiner) follows(first, b []byte, n int) bool {
	l3, l4 := j.sh.l3, j.sh.l4
	if !bytes.Equal(first[:l3], b[:l3]) || b[l4+13]&^tcpPSH != tcpACK || // the rest of TCP's header but for its sum
		!bytes.Equal(first[l4:l4+4], b[l4:l4+4]) || !bytes.Equal(first[l4+8:l4+13], b[l4+8:l4+13]) ||
		!bytes.Equal(first[l4+14:l4+16], b[l4+14:l4+16]) || !bytes.Equal(first[l4+18:j.sh.payload], b[l4+18:j.sh.payload]) {
		return false
	}
	x, y := first[l3:l4], b[l3:l4]
	if j.sh.v6 {
		return int(be.Uint16(y[4:])) == len(b)-l4 && bytes.Equal(x[:4], y[:4]) && bytes.Equal(x[6:], y[6:])
	}
	return int(be.Uint16(y[2:])) == len(b)-l3 && be.Uint16(y[4:]) == be.Uint16(x[4:])+uint16(n) &&
		bytes.Equal(x[:2], y[:2]) && bytes.Equal(x[6:10], y[6:10]) && bytes.Equal(x[12:], y[12:])
}

// right says whether a frame's checksums are what a cut will make of them. One that is left to a device must have
// the pseudo-header's sum in its place. There are two ways to write a sum of zero, and only one that a cut takes.
func (j *joiner) right(f *packet.Frame) bool {
	b, o, sh := f.Bytes(), &f.Offload, &j.sh
	ip, tcp := b[sh.l3:sh.l4], b[sh.l4:]
	if !sh.v6 && (packet.Fold(packet.Sum16(ip, 0)) != 0xffff || be.Uint16(ip[10:]) == 0xffff) {
		return false
	}
	field, pseudo := be.Uint16(tcp[16:]), sh.pseudoSum(b, o)+uint64(len(tcp))
	switch {
	case o.GSO != packet.GSONone:
		return false
	case o.NeedsCsum:
		return int(o.CsumStart) == sh.l4 && o.CsumOffset == 16 && field == packet.Fold(pseudo)
	case field == 0xffff:
		return false
	}
	return o.DataValid || packet.Fold(packet.Sum16(tcp, pseudo)) == 0xffff
}

// finish makes the headers of n joined frames.
func (j *joiner) finish(first, last []byte, n, gso int) {
	sh, head := &j.sh, j.head[:j.sh.payload]
	copy(head, first)
	tcp := j.size - (n-1)*sh.payload - sh.l4
	if sh.v6 {
		be.PutUint16(head[sh.l3+4:], uint16(tcp))
	} else {
		ip := head[sh.l3:sh.l4]
		be.PutUint16(ip[2:], uint16(len(ip)+tcp))
		be.PutUint16(ip[10:], 0)
		putChecksum(ip[10:], packet.Sum16(ip, 0), false)
	}
	head[sh.l4+13] = last[sh.l4+13]
	be.PutUint16(head[sh.l4+16:], packet.Fold(sh.pseudoSum(head, &packet.Offload{})+uint64(tcp)))
	j.o = packet.Offload{NeedsCsum: true, CsumStart: uint16(sh.l4), CsumOffset: 16, GSO: packet.GSOTCPv4,
		HdrLen: uint16(sh.payload), GSOSize: uint16(gso)}
	if sh.v6 {
		j.o.GSO = packet.GSOTCPv6
	}
}
