package oracle

import "github.com/weirswitch/weir/openflow"

// match makes a match of one family of frames, in an order that meets the prerequisites.
func (g *gen) match() []openflow.Field {
	b := &matcher{gen: g}
	b.maybe(3, openflow.InPort, uint64(1+g.IntN(numPorts)), 0)
	b.maybe(10, openflow.Metadata, uint64(g.IntN(256)), pick(g, []uint64{0xf0, 0x0f, 0xff}))
	b.maybe(6, openflow.EthDst, pick(g, macs), pick(g, []uint64{0, 0, 0x010000000000, 0xffffffffff00}))
	b.maybe(8, openflow.EthSrc, pick(g, macs), pick(g, []uint64{0, 0, 0xffffffffff00}))
	if g.nicira {
		b.nicira()
	}
	family := g.IntN(8)
	if family > 0 && !g.one(8) {
		b.put(openflow.Exact(openflow.EthType, []uint64{0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806, uint64(0x8847 + g.IntN(2)), 0x88b5}[family]))
	} else {
		family = 7
	}
	if g.one(4) {
		b.vlan()
	}
	switch family {
	case 1, 2:
		b.ipv4()
	case 3, 4:
		b.ipv6()
	case 5:
		b.arp()
	case 6:
		b.maybe(2, openflow.MPLSLabel, pick(g, labels), 0)
		b.maybe(5, openflow.MPLSTC, uint64(g.IntN(8)), 0)
		b.maybe(4, openflow.MPLSBOS, uint64(g.IntN(2)), 0)
		b.maybe(8, openflow.MPLSTTL, uint64(pick(g, ttls)), 0)
	}
	return b.fields
}

// matcher gathers fields.
type matcher struct {
	*gen
	fields []openflow.Field
}

func (b *matcher) put(f openflow.Field) { b.fields = append(b.fields, f) }

// maybe adds a field once in n times, under a mask unless that is zero.
func (b *matcher) maybe(n int, id openflow.FieldID, v, mask uint64) {
	if !b.one(n) {
		return
	}
	if mask == 0 || mask == 1<<id.Info().Bits-1 {
		b.put(openflow.Exact(id, v))
		return
	}
	b.put(openflow.WithMask(id, v&mask, mask))
}

func (b *matcher) vlan() {
	switch b.IntN(4) {
	case 0:
		b.put(openflow.Exact(openflow.VLANVID, 0)) // no tag
		return
	case 1:
		b.put(openflow.WithMask(openflow.VLANVID, openflow.VIDPresent, openflow.VIDPresent))
	case 2:
		mask := openflow.VIDPresent | pick(b.gen, []uint64{1, 0xff, 0xffe})
		b.put(openflow.WithMask(openflow.VLANVID, (openflow.VIDPresent|pick(b.gen, vids))&mask, mask))
	default:
		b.put(openflow.Exact(openflow.VLANVID, openflow.VIDPresent|pick(b.gen, vids)))
	}
	b.maybe(4, openflow.VLANPCP, uint64(b.IntN(8)), 0)
}

func (b *matcher) ip() {
	b.maybe(8, openflow.IPDSCP, uint64(pick(b.gen, tosses)>>2), 0)
	b.maybe(8, openflow.IPECN, uint64(pick(b.gen, tosses)&3), 0)
	b.maybe(12, openflow.IPTTL, uint64(pick(b.gen, ttls)), 0)
	b.maybe(8, openflow.NwFrag, uint64(b.IntN(4)), pick(b.gen, []uint64{0, 1, 2}))
}

// later says whether the match is of later fragments alone.
func (b *matcher) later() bool { return laterOnly(b.fields) }

func (b *matcher) ipv4() {
	b.ip()
	masks := []uint64{0, 0, 0xffffff00, 0xff0000ff, 0x80000000}
	b.maybe(4, openflow.IPv4Src, uint64(pick(b.gen, ips)), pick(b.gen, masks))
	b.maybe(4, openflow.IPv4Dst, uint64(pick(b.gen, ips)), pick(b.gen, masks))
	if !b.later() && b.one(2) {
		b.transport(b.one(5), false)
	}
}

func (b *matcher) ipv6() {
	b.ip()
	for _, id := range []openflow.FieldID{openflow.IPv6Src, openflow.IPv6Dst} {
		if b.one(4) {
			a := pick(b.gen, ip6s)
			if b.one(2) {
				b.put(openflow.Exact128(id, a[0], a[1]))
			} else {
				b.put(openflow.WithMask128(id, openflow.ValueOf128(a[0]&^0xff, 0), openflow.ValueOf128(^uint64(0xff), 0)))
			}
		}
	}
	b.maybe(6, openflow.IPv6FLabel, pick(b.gen, labels), pick(b.gen, []uint64{0, 0xff}))
	if !b.later() && b.one(2) {
		b.transport(b.one(3), true)
	}
}

// transport matches a protocol and perhaps its ports, or ICMP of either version.
func (b *matcher) transport(icmp, v6 bool) {
	if b.fragments { // see deviation fragment-ports
		b.put(openflow.Exact(openflow.IPProto, pick(b.gen, []uint64{1, 6, 17, 58, 132})))
		return
	}
	if icmp {
		b.icmp(v6)
		return
	}
	p := b.IntN(3)
	b.put(openflow.Exact(openflow.IPProto, []uint64{6, 17, 132}[p]))
	src := []openflow.FieldID{openflow.TCPSrc, openflow.UDPSrc, openflow.SCTPSrc}[p]
	b.maybe(4, src, pick(b.gen, tps), pick(b.gen, []uint64{0, 0, 0xfff0}))
	b.maybe(3, src+1, pick(b.gen, tps), pick(b.gen, []uint64{0, 0, 0x8000}))
	if p == 0 {
		b.maybe(8, openflow.TCPFlags, uint64(b.IntN(0x200)), pick(b.gen, []uint64{0x002, 0x100, 0x010}))
	}
}

func (b *matcher) icmp(v6 bool) {
	if !v6 {
		b.put(openflow.Exact(openflow.IPProto, 1))
		b.maybe(2, openflow.ICMPv4Type, uint64(b.IntN(4)*4), 0)
		b.maybe(4, openflow.ICMPv4Code, uint64(b.IntN(2)), 0)
		return
	}
	b.put(openflow.Exact(openflow.IPProto, 58))
	if b.one(3) {
		return
	}
	kind := pick(b.gen, []uint64{128, 129, 135, 136})
	b.put(openflow.Exact(openflow.ICMPv6Type, kind))
	if kind < 135 {
		b.maybe(4, openflow.ICMPv6Code, uint64(b.IntN(2)), 0)
	} else {
		if a := pick(b.gen, ip6s); b.one(3) {
			b.put(openflow.Exact128(openflow.NDTarget, a[0], a[1]))
		}
		b.maybe(3, openflow.NDSLL+openflow.FieldID(kind-135), pick(b.gen, macs), 0)
	}
}

func (b *matcher) arp() {
	b.maybe(2, openflow.ARPOp, uint64(1+b.IntN(2)), 0)
	b.maybe(4, openflow.ARPSPA, uint64(pick(b.gen, ips)), pick(b.gen, []uint64{0, 0xffffff00}))
	b.maybe(4, openflow.ARPTPA, uint64(pick(b.gen, ips)), pick(b.gen, []uint64{0, 0xffffff00}))
	b.maybe(8, openflow.ARPSHA, pick(b.gen, macs), pick(b.gen, []uint64{0, 0xff}))
	b.maybe(8, openflow.ARPTHA, pick(b.gen, macs), 0)
}
