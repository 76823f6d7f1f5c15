package ports

import (
	"github.com/weirswitch/weir/flowtable/packet"
)

// Tunnels through which unfinishedChecksum looks: a host that is one's end
// leaves the checksum of the packet inside to the device.
const (
	protoIPIP = 4
	protoIPv6 = 41
	protoGRE  = 47

	portVXLAN    = 4789
	portVXLANOld = 8472 // Linux's own number, before there was one
	portGeneve   = 6081

	etherBridged = 0x6558 // an Ethernet frame within GRE or Geneve
	maxTunnels   = 3
)

// unfinishedChecksum finds out from a frame's bytes alone whether its sender
// left the checksum to a device. Where such a frame comes without its
// description (AF_XDP on a veth) it would go on broken, and nobody would say so.
//
// The checksum field of such a frame holds the sum of the pseudo-header, not
// inverted. A finished frame has that value there by chance once in 65536; then
// its checksum is right all the same, which is what is asked next. An
// unfinished SCTP packet has zeros there.
func unfinishedChecksum(b []byte) (o packet.Offload) {
	var s shape
	known := s.read(b)
	for range maxTunnels {
		if !known || s.frag {
			return o
		}
		at, t := s.tunnel(b)
		if t == 0 {
			break
		}
		known = s.readInside(b, at, t)
	}
	offset := 0
	switch s.proto {
	case protoTCP:
		offset = 16
	case protoUDP:
		offset = 6
	case protoSCTP:
		offset = sctpCsumOffset
	default:
		return o
	}
	if !known || s.frag || s.l4+offset+4 > s.end { // TCP and SCTP have more behind it; UDP has data, or no need
		return o
	}
	l4 := b[s.l4:s.end]
	if field := l4[offset:]; s.proto == protoSCTP {
		if be.Uint32(field) != 0 {
			return o
		}
	} else {
		pseudo := s.pseudoSum(b, &o) + uint64(len(l4))
		if be.Uint16(field) != packet.Fold(pseudo) || packet.Fold(packet.Sum16(l4, pseudo)) == 0xffff {
			return o
		}
	}
	o.NeedsCsum, o.CsumStart, o.CsumOffset = true, uint16(s.l4), uint16(offset)
	return o
}

// tunnel says where the packet lies that this one carries, and its type.
func (s *shape) tunnel(b []byte) (at int, etherType uint16) {
	in := b[s.l4:s.end]
	switch {
	case s.proto == protoIPIP:
		return s.l4, etherIPv4
	case s.proto == protoIPv6:
		return s.l4, etherIPv6
	case s.proto == protoGRE && len(in) >= 4:
		at = 4
		for _, flag := range []uint16{0x8000, 0x2000, 0x1000} { // checksum, key, sequence number
			if be.Uint16(in)&flag != 0 {
				at += 4
			}
		}
		return s.l4 + at, be.Uint16(in[2:])
	case s.proto == protoUDP && len(in) >= 16:
		switch be.Uint16(in[2:]) {
		case portVXLAN, portVXLANOld:
			return s.l4 + 16, etherBridged
		case portGeneve:
			return s.l4 + 16 + int(in[8]&0x3f)*4, be.Uint16(in[10:])
		}
	}
	return 0, 0
}

// readInside is read for a packet that lies at an offset of the frame.
func (s *shape) readInside(b []byte, at int, etherType uint16) bool {
	if at > s.end {
		return false
	}
	b = b[:s.end]
	*s = shape{l3: at}
	if etherType == etherBridged {
		if at+etherLen > len(b) {
			return false
		}
		s.l3, etherType = behindTags(b[at:])
		s.l3 += at
	}
	switch etherType {
	case etherIPv4:
		return s.readIPv4(b)
	case etherIPv6:
		return s.readIPv6(b)
	}
	return false
}
