package ofctl

import (
	"encoding/binary"
	"fmt"

	"github.com/weirswitch/weir/openflow"
)

// AppendPacket writes the header fields of a frame in one line, as ovs-ofctl shows what is behind a
// PACKET_IN: its protocol, the tag, addresses, and what its transport header says.
func AppendPacket(b, frame []byte) []byte {
	p := packetReader{rest: frame}
	p.ethernet()
	w := newMatchWriter(b, openflow.NewMatch(p.fields...))
	w.protocol()
	w.sep()
	w.b = append(w.b, p.tag...)
	w.put(openflow.EthSrc, openflow.EthDst)
	if !w.typeSaid {
		w.put(openflow.EthType)
	}
	w.put(openflow.IPv6Src, openflow.IPv6Dst, openflow.IPv6FLabel, openflow.ARPSPA, openflow.ARPTPA, openflow.IPv4Src, openflow.IPv4Dst)
	if !w.protoSaid {
		w.put(openflow.IPProto)
	}
	w.put(openflow.ARPOp, openflow.ARPSHA, openflow.ARPTHA)
	w.tos()
	w.put(openflow.IPECN, openflow.IPTTL, openflow.MPLSLabel, openflow.MPLSTC, openflow.MPLSTTL, openflow.MPLSBOS, openflow.NwFrag,
		openflow.ICMPv4Type, openflow.ICMPv4Code, openflow.ICMPv6Type, openflow.ICMPv6Code, openflow.NDTarget, openflow.NDSLL, openflow.NDTLL,
		openflow.TCPSrc, openflow.TCPDst, openflow.UDPSrc, openflow.UDPDst, openflow.SCTPSrc, openflow.SCTPDst, openflow.TCPFlags)
	return append(append(w.b, p.sum...), '\n')
}

// packetReader takes headers off a frame. A header that is cut off leaves its fields out.
type packetReader struct {
	rest   []byte
	fields []openflow.Field
	tag    string
	sum    string // the transport checksum
}

func (p *packetReader) add(id openflow.FieldID, v uint64) {
	p.fields = append(p.fields, openflow.Exact(id, v))
}

// take gives n bytes, or nil when there are fewer.
func (p *packetReader) take(n int) []byte {
	if len(p.rest) < n {
		p.rest = nil
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func mac48(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

func u16(b []byte) uint64 { return uint64(binary.BigEndian.Uint16(b)) }
func u32(b []byte) uint64 { return uint64(binary.BigEndian.Uint32(b)) }

// noType is what Open vSwitch says of a frame whose type is a length without LLC behind it.
const noType = 0x05ff

func (p *packetReader) ethernet() {
	p.tag = "vlan_tci=0x0000"
	b := p.take(12)
	if b == nil || len(p.rest) < 2 {
		p.add(openflow.EthDst, 0)
		p.add(openflow.EthSrc, 0)
		p.add(openflow.EthType, 0)
		return
	}
	p.add(openflow.EthDst, mac48(b))
	p.add(openflow.EthSrc, mac48(b[6:]))
	p.tags()
	ethType := p.ethType()
	p.add(openflow.EthType, ethType)
	switch ethType {
	case 0x0800:
		p.ipv4()
	case 0x86dd:
		p.ipv6()
	case 0x0806, 0x8035:
		p.arp()
	case 0x8847, 0x8848:
		p.mpls()
	}
}

// tags takes up to two VLAN tags off.
func (p *packetReader) tags() {
	tagged := func() bool { return len(p.rest) >= 6 && (u16(p.rest) == 0x8100 || u16(p.rest) == 0x88a8) }
	if !tagged() {
		return
	}
	tci := u16(p.take(4)[2:])
	p.tag = fmt.Sprintf("dl_vlan=%d,dl_vlan_pcp=%d", tci&0xfff, tci>>13)
	if !tagged() {
		p.tag += ",vlan_tci1=0x0000"
		return
	}
	tci = u16(p.take(4)[2:])
	p.tag += fmt.Sprintf(",dl_vlan1=%d,dl_vlan_pcp1=%d", tci&0xfff, tci>>13)
}

func (p *packetReader) ethType() uint64 {
	b := p.take(2)
	if b == nil {
		return 0
	}
	t := u16(b)
	if t >= 0x600 {
		return t
	}
	if len(p.rest) >= 8 && p.rest[0] == 0xaa && p.rest[1] == 0xaa && p.rest[2] == 3 && p.rest[3] == 0 && p.rest[4] == 0 && p.rest[5] == 0 && u16(p.rest[6:]) >= 0x600 {
		return u16(p.take(8)[6:])
	}
	return noType
}

func (p *packetReader) ipv4() {
	b := p.rest
	if len(b) < 20 || b[0]>>4 != 4 || b[0]&15 < 5 || int(u16(b[2:])) < int(b[0]&15)*4 || int(u16(b[2:])) > len(b) {
		b = make([]byte, 20) // a header that cannot be true shows as zeros
		p.rest = nil
	} else {
		p.rest = b[int(b[0]&15)*4 : u16(b[2:])] // what follows is padding
	}
	p.ip(b[1], b[8])
	p.add(openflow.IPProto, uint64(b[9]))
	p.add(openflow.IPv4Src, u32(b[12:]))
	p.add(openflow.IPv4Dst, u32(b[16:]))
	frag := uint64(0)
	switch off := u16(b[6:]); {
	case off&0x1fff != 0:
		frag = 3
	case off&0x2000 != 0:
		frag = 1
	}
	p.add(openflow.NwFrag, frag)
	p.transport(b[9], 1, frag == 3)
}

func (p *packetReader) ip(tos, ttl byte) {
	p.add(openflow.IPDSCP, uint64(tos>>2))
	p.add(openflow.IPECN, uint64(tos&3))
	p.add(openflow.IPTTL, uint64(ttl))
}

func (p *packetReader) ipv6() {
	b := p.rest
	if len(b) < 40 || int(u16(b[4:])) > len(b)-40 {
		b = make([]byte, 40)
		p.rest = nil
	} else {
		p.rest = b[40 : 40+u16(b[4:])]
	}
	p.ip(byte(u16(b)>>4), b[7])
	p.add(openflow.IPv6FLabel, u32(b)&0xfffff)
	p.fields = append(p.fields, openflow.Field{ID: openflow.IPv6Src, Value: openflow.Value(b[8:24])}, openflow.Field{ID: openflow.IPv6Dst, Value: openflow.Value(b[24:40])})
	next, frag := p.extensions(b[6])
	p.add(openflow.IPProto, uint64(next))
	p.add(openflow.NwFrag, frag)
	p.transport(next, 58, frag == 3)
}

// extensions takes IPv6's extension headers off, up to a fragment that is not the first.
func (p *packetReader) extensions(next byte) (proto byte, frag uint64) {
	for len(p.rest) >= 8 && frag != 3 {
		size := 8 + int(p.rest[1])*8
		switch next {
		case 0, 43, 60:
		case 44:
			size = 8
			switch off := u16(p.rest[2:]); {
			case off&0xfff8 != 0:
				frag = 3
			case off&1 != 0:
				frag = 1
			}
		case 51:
			size = (int(p.rest[1]) + 2) * 4
		default:
			return next, frag
		}
		if size > len(p.rest) {
			return next, frag
		}
		next = p.rest[0]
		p.take(size)
	}
	return next, frag
}

// transport reads the transport header. What stands where it would be in a later fragment is shown as a
// checksum and nothing else: an oddity of ovs-ofctl.
func (p *packetReader) transport(proto, icmp byte, later bool) {
	before := len(p.fields)
	switch {
	case proto == 6 && len(p.rest) >= 20:
		p.ports(openflow.TCPSrc, openflow.TCPDst)
		p.add(openflow.TCPFlags, u16(p.rest[12:])&0xfff)
		p.sum = fmt.Sprintf(" tcp_csum:%x", u16(p.rest[16:]))
	case proto == 17 && len(p.rest) >= 8:
		p.ports(openflow.UDPSrc, openflow.UDPDst)
		p.sum = fmt.Sprintf(" udp_csum:%x", u16(p.rest[6:]))
	case proto == 132 && len(p.rest) >= 12:
		p.ports(openflow.SCTPSrc, openflow.SCTPDst)
		p.sum = fmt.Sprintf(" sctp_csum:%x", u32(p.rest[8:]))
	case proto == icmp && icmp == 1 && len(p.rest) >= 8:
		p.add(openflow.ICMPv4Type, uint64(p.rest[0]))
		p.add(openflow.ICMPv4Code, uint64(p.rest[1]))
		p.sum = fmt.Sprintf(" icmp_csum:%x", u16(p.rest[2:]))
	case proto == icmp && icmp == 58 && len(p.rest) >= 8:
		p.icmp6()
	}
	if later {
		p.fields = p.fields[:before]
	}
}

func (p *packetReader) ports(src, dst openflow.FieldID) {
	p.add(src, u16(p.rest))
	p.add(dst, u16(p.rest[2:]))
}

func (p *packetReader) icmp6() {
	b := p.rest
	p.add(openflow.ICMPv6Type, uint64(b[0]))
	p.add(openflow.ICMPv6Code, uint64(b[1]))
	p.sum = fmt.Sprintf(" icmp6_csum:%x", u16(b[2:]))
	if (b[0] != 135 && b[0] != 136) || b[1] != 0 || len(b) < 24 {
		return
	}
	p.fields = append(p.fields, openflow.Field{ID: openflow.NDTarget, Value: openflow.Value(b[8:24])})
	sll, tll := uint64(0), uint64(0)
	for o := b[24:]; len(o) >= 8 && o[1] != 0 && int(o[1])*8 <= len(o); o = o[int(o[1])*8:] {
		switch o[0] {
		case 1:
			sll = mac48(o[2:])
		case 2:
			tll = mac48(o[2:])
		}
	}
	p.add(openflow.NDSLL, sll)
	p.add(openflow.NDTLL, tll)
}

func (p *packetReader) arp() {
	b := p.take(28)
	if b == nil || u16(b) != 1 || u16(b[2:]) != 0x800 || b[4] != 6 || b[5] != 4 {
		b = make([]byte, 28)
	}
	p.add(openflow.ARPOp, u16(b[6:]))
	p.add(openflow.ARPSHA, mac48(b[8:]))
	p.add(openflow.ARPSPA, u32(b[14:]))
	p.add(openflow.ARPTHA, mac48(b[18:]))
	p.add(openflow.ARPTPA, u32(b[24:]))
}

// mpls reads three labels, or up to the last; those behind the first are shown as they are.
func (p *packetReader) mpls() {
	for i := range 3 {
		b := p.take(4)
		if b == nil {
			b = make([]byte, 4)
		}
		lse := u32(b)
		if i > 0 {
			p.sum += fmt.Sprintf(",mpls_lse%d=%d", i, lse)
		} else {
			p.add(openflow.MPLSLabel, lse>>12)
			p.add(openflow.MPLSTC, lse>>9&7)
			p.add(openflow.MPLSBOS, lse>>8&1)
			p.add(openflow.MPLSTTL, lse&0xff)
		}
		if lse&0x100 != 0 {
			return
		}
	}
}
