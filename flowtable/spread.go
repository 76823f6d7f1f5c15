// Hot path: the hash by which select groups share flows out.

package flowtable

import (
	"encoding/binary"

	"github.com/weirswitch/weir/flowtable/packet"
)

// spreader hashes what tells one flow from another: every address and port that a frame has, from
// Ethernet to the transport header, also below tags and labels. What changes from frame to frame of
// one flow (TTL, ECN, flags, whether it is a fragment) has no part in it, so a flow keeps its way.
//
// It reads the frame as it is when it meets the group, never a path's masked key: frames that the
// flow tables cannot tell apart spread all the same.
//
// The hash is a sum of products with secret odd factors: nobody who does not know them can choose flows
// that collide. scatter then mixes it for a group.
type spreader struct {
	key   [packet.HeaderWords]uint64 // one factor for each word of the key
	inner [16]uint64                 // for what lies below tags and labels
}

func (s *spreader) init(seed uint64) {
	next := func() uint64 {
		seed += hashPrime
		return mix(seed, 0xbf58476d1ce4e5b9^seed>>32) | 1
	}
	for i := range s.key {
		s.key[i] = next()
	}
	for i := range s.inner {
		s.inner[i] = next()
	}
}

// hash is the frame's; its high bits are the good ones.
func (s *spreader) hash(f *packet.Frame) uint64 {
	k := &f.Key
	h := (k[0] & 0xffff_0fff) * s.key[0] // eth_type, vlan_vid
	h += (k[1] >> 16) * s.key[1]         // eth_dst
	h += (k[2] >> 16) * s.key[2]         // eth_src
	h += (k[2] >> 8 & 0xff) * s.key[15]  // ip_proto
	h += k[3] * s.key[3]                 // IPv4 or ARP addresses
	if k[2]&0xff == 0 {                  // only one fragment of a datagram has its ports
		h += (k[4] >> 32) * s.key[4] // ports, ICMP type and code, ARP op
	}
	if k[5]|k[6]|k[7]|k[8] != 0 {
		h += k[5]*s.key[5] + k[6]*s.key[6] + k[7]*s.key[7] + k[8]*s.key[8] // IPv6 addresses
		h += (k[9] >> 32) * s.key[9]                                       // its flow label
	}
	if k[10]|k[11]|k[12]|k[13] != 0 {
		h += (k[10]>>16)*s.key[10] + (k[11]>>16)*s.key[11] + k[12]*s.key[12] + k[13]*s.key[13] // addresses in ARP and ND
	}
	if f.Layout.VLANs > 1 || f.Layout.L25 != 0 {
		h += s.below(f)
	}
	return h
}

// scatter makes a frame's hash a group's own; its high bits choose the bucket. A product alone would
// spread flows that count something up (ports, labels) very evenly under most factors and, if there are
// few of them, hardly at all under some: a hundred labels in turn left one of three buckets empty.
func scatter(h, factor uint64) uint64 {
	h = (h ^ h>>32) * hashPrime
	return (h ^ h>>29) * factor
}

// below adds what the key does not show: inner VLANs, MPLS labels and what is under them, the
// addresses in a PBB frame.
func (s *spreader) below(f *packet.Frame) (h uint64) {
	b := f.Bytes()
	n := 0
	add := func(v uint64) {
		h += v * s.inner[n&15]
		n++
	}
	for i := 1; i < int(f.Layout.VLANs) && 14+4*i+2 <= len(b); i++ {
		add(uint64(binary.BigEndian.Uint16(b[14+4*i:])) & vidMask)
	}
	if f.Layout.L25 == 0 {
		return h
	}
	b = b[f.Layout.L25:]
	if f.Key[0]>>16&0xffff == 0x88e7 {
		if len(b) >= 16 { // I-TAG of 4, then the customer's addresses
			add(uint64(binary.BigEndian.Uint32(b)) & 0xffffff)
			add(binary.BigEndian.Uint64(b[4:]))
			add(uint64(binary.BigEndian.Uint32(b[12:])))
		}
		return h
	}
	for len(b) >= 4 {
		lse := binary.BigEndian.Uint32(b)
		add(uint64(lse >> 12))
		b = b[4:]
		if lse>>8&1 != 0 { // the bottom of the stack
			s.packetBelow(b, add)
			break
		}
	}
	return h
}

// packetBelow reads what is probably an IP packet under a label stack, as other label switches do.
func (s *spreader) packetBelow(b []byte, add func(uint64)) {
	be := binary.BigEndian
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		add(be.Uint64(b[12:]))
		add(uint64(b[9]))
		l4 := int(b[0]&15) * 4
		if whole := be.Uint16(b[6:])&0x3fff == 0; whole && hasPorts(b[9]) && l4 >= 20 && len(b) >= l4+4 {
			add(uint64(be.Uint32(b[l4:])))
		}
	case len(b) >= 40 && b[0]>>4 == 6:
		for i := 8; i < 40; i += 8 {
			add(be.Uint64(b[i:]))
		}
		add(uint64(b[6]))
		if hasPorts(b[6]) && len(b) >= 44 {
			add(uint64(be.Uint32(b[40:])))
		}
	}
}

func hasPorts(proto byte) bool { return proto == 6 || proto == 17 || proto == 132 }
