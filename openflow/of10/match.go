package of10

import (
	"github.com/weirswitch/weir/openflow"
)

// fieldSet gathers the fields of a match, to give them in the order of their ids: that puts each
// prerequisite before what needs it, whatever order the peer has.
type fieldSet struct {
	fields [openflow.NumFields]openflow.Field
	has    [openflow.NumFields]bool
	n      int
}

// add takes a field in; false when it is there already.
func (s *fieldSet) add(f openflow.Field) bool {
	if s.has[f.ID] {
		return false
	}
	s.fields[f.ID], s.has[f.ID] = f, true
	s.n++
	return true
}

func (s *fieldSet) exact(id openflow.FieldID, v uint64) { s.add(openflow.Exact(id, v)) }

func (s *fieldSet) match() openflow.Match {
	list := make([]openflow.Field, 0, s.n)
	for id := range s.fields {
		if s.has[id] {
			list = append(list, s.fields[id])
		}
	}
	return openflow.NewMatch(list...)
}

// The bits of ofp_match.wildcards. Those of the IPv4 addresses are numbers: how many low bits to ignore.
const (
	wildInPort  = 1 << 0
	wildVLAN    = 1 << 1
	wildDLSrc   = 1 << 2
	wildDLDst   = 1 << 3
	wildDLType  = 1 << 4
	wildNWProto = 1 << 5
	wildTPSrc   = 1 << 6
	wildTPDst   = 1 << 7
	wildSrcBit  = 8
	wildDstBit  = 14
	wildPCP     = 1 << 20
	wildTOS     = 1 << 21
	wildAll     = 1<<22 - 1

	matchSize = 40
	noVLAN    = 0xffff // dl_vlan of a frame without a tag
)

// decodeMatch reads an ofp_match. What its eth_type or ip_proto gives no meaning is ignored, as
// OpenFlow 1.0 asks. whole reports a match without a wildcard, which ranks above all priorities.
func decodeMatch(b []byte) (m openflow.Match, whole bool) {
	w := u32(b, 0) & wildAll
	var s fieldSet
	if w&wildInPort == 0 {
		s.exact(openflow.InPort, uint64(widen(u16(b, 4))))
	}
	if w&wildDLSrc == 0 {
		s.exact(openflow.EthSrc, u64(b, 4)&(1<<48-1))
	}
	if w&wildDLDst == 0 {
		s.exact(openflow.EthDst, u64(b, 10)&(1<<48-1))
	}
	decodeVLAN(&s, w, u16(b, 18), b[20])
	if w&wildDLType == 0 {
		dlType := u16(b, 22)
		s.exact(openflow.EthType, uint64(dlType))
		decodeNetwork(&s, w, dlType, b)
	}
	return s.match(), w == 0
}

func decodeVLAN(s *fieldSet, w uint32, vlan uint16, pcp uint8) {
	switch {
	case w&wildVLAN == 0 && vlan == noVLAN:
		s.exact(openflow.VLANVID, openflow.VIDNone)
		return
	case w&wildVLAN == 0:
		s.exact(openflow.VLANVID, openflow.VIDPresent|uint64(vlan&0xfff))
	case w&wildPCP == 0:
		s.add(openflow.WithMask(openflow.VLANVID, openflow.VIDPresent, openflow.VIDPresent))
	}
	if w&wildPCP == 0 {
		s.exact(openflow.VLANPCP, uint64(pcp&7))
	}
}

// transport has the fields that tp_src and tp_dst mean behind a protocol.
func transport(proto uint8, ipv6 bool) (src, dst openflow.FieldID, ok bool) {
	switch {
	case proto == 6:
		return openflow.TCPSrc, openflow.TCPDst, true
	case proto == 17:
		return openflow.UDPSrc, openflow.UDPDst, true
	case proto == 132:
		return openflow.SCTPSrc, openflow.SCTPDst, true
	case proto == 1 && !ipv6:
		return openflow.ICMPv4Type, openflow.ICMPv4Code, true
	}
	return 0, 0, false
}

func decodeNetwork(s *fieldSet, w uint32, dlType uint16, b []byte) {
	src, dst := openflow.IPv4Src, openflow.IPv4Dst
	switch dlType {
	case 0x0800:
		if w&wildTOS == 0 {
			s.exact(openflow.IPDSCP, uint64(b[24]>>2))
		}
		if w&wildNWProto == 0 {
			s.exact(openflow.IPProto, uint64(b[25]))
			decodeTransport(s, w, b)
		}
	case 0x0806, 0x8035: // nw_proto is the low byte of ar_op
		src, dst = openflow.ARPSPA, openflow.ARPTPA
		if w&wildNWProto == 0 {
			s.exact(openflow.ARPOp, uint64(b[25]))
		}
	default:
		return
	}
	addIPv4(s, src, u32(b, 28), w>>wildSrcBit&0x3f)
	addIPv4(s, dst, u32(b, 32), w>>wildDstBit&0x3f)
}

func decodeTransport(s *fieldSet, w uint32, b []byte) {
	src, dst, ok := transport(b[25], false)
	if !ok {
		return
	}
	v := [2]uint64{uint64(u16(b, 36)), uint64(u16(b, 38))}
	if b[25] == 1 { // ICMP: type and code are bytes
		v = [2]uint64{v[0] & 0xff, v[1] & 0xff}
	}
	if w&wildTPSrc == 0 {
		s.exact(src, v[0])
	}
	if w&wildTPDst == 0 {
		s.exact(dst, v[1])
	}
}

// addIPv4 adds an address of which the low bits are ignored.
func addIPv4(s *fieldSet, id openflow.FieldID, addr, ignored uint32) {
	switch {
	case ignored == 0:
		s.exact(id, uint64(addr))
	case ignored < 32:
		mask := ^uint32(0) << ignored
		s.add(openflow.WithMask(id, uint64(addr&mask), uint64(mask)))
	}
}

// appendMatch writes an ofp_match. It leaves out what 1.0 cannot say: other fields, and masks that are
// not prefixes; nx_match can.
func appendMatch(b []byte, m openflow.Match) []byte {
	start := len(b)
	b = appendZeros(b, matchSize)
	r, w := b[start:], uint32(wildAll&^(0x3f<<wildSrcBit|0x3f<<wildDstBit)|32<<wildSrcBit|32<<wildDstBit)
	for f := range m.All() {
		v := f.Value.Uint64()
		switch f.ID {
		case openflow.VLANVID:
			w = putVLAN(r, w, &f)
		case openflow.IPv4Src, openflow.ARPSPA:
			w = putIPv4(r, w, &f, 28, wildSrcBit)
		case openflow.IPv4Dst, openflow.ARPTPA:
			w = putIPv4(r, w, &f, 32, wildDstBit)
		default:
			if !f.Masked {
				w &^= putExact(r, f.ID, v)
			}
		}
	}
	r[0], r[1], r[2], r[3] = byte(w>>24), byte(w>>16), byte(w>>8), byte(w)
	return b
}

// putExact stores a field and gives the wildcard bit that it clears.
func putExact(r []byte, id openflow.FieldID, v uint64) uint32 {
	switch id {
	case openflow.InPort:
		put16(r, 4, narrow(openflow.PortNo(v)))
		return wildInPort
	case openflow.EthSrc, openflow.EthDst:
		at, bit := 6, uint32(wildDLSrc)
		if id == openflow.EthDst {
			at, bit = 12, wildDLDst
		}
		put16(r, at, uint16(v>>32))
		put16(r, at+2, uint16(v>>16))
		put16(r, at+4, uint16(v))
		return bit
	case openflow.VLANPCP:
		r[20] = uint8(v)
		return wildPCP
	case openflow.EthType:
		put16(r, 22, uint16(v))
		return wildDLType
	case openflow.IPDSCP:
		r[24] = uint8(v << 2)
		return wildTOS
	case openflow.IPProto, openflow.ARPOp:
		r[25] = uint8(v)
		return wildNWProto
	case openflow.TCPSrc, openflow.UDPSrc, openflow.SCTPSrc, openflow.ICMPv4Type:
		put16(r, 36, uint16(v))
		return wildTPSrc
	case openflow.TCPDst, openflow.UDPDst, openflow.SCTPDst, openflow.ICMPv4Code:
		put16(r, 38, uint16(v))
		return wildTPDst
	}
	return 0
}

func putVLAN(r []byte, w uint32, f *openflow.Field) uint32 {
	v, mask := f.Value.Uint64(), f.Mask.Uint64()
	switch {
	case v&openflow.VIDPresent == 0 && mask&openflow.VIDPresent != 0:
		put16(r, 18, noVLAN)
	case mask&0x1fff == 0x1fff:
		put16(r, 18, uint16(v)&0xfff)
	default:
		return w
	}
	return w &^ wildVLAN
}

// putIPv4 writes an address under a prefix mask.
func putIPv4(r []byte, w uint32, f *openflow.Field, at int, bit uint) uint32 {
	mask, ignored := uint32(f.Mask.Uint64()), uint32(0)
	for ignored < 32 && mask>>ignored&1 == 0 {
		ignored++
	}
	if ^uint32(0)<<ignored != mask {
		return w
	}
	put16(r, at, uint16(f.Value.Uint64()>>16))
	put16(r, at+2, uint16(f.Value.Uint64()))
	return w&^(0x3f<<bit) | ignored<<bit
}
