package ofctl

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

// setWords are the fields under the words that set_field, load and move take, also Nicira's names.
var setWords = buildSetWords()

func buildSetWords() map[string]openflow.FieldID {
	m := map[string]openflow.FieldID{}
	for word, ids := range matchWords {
		if len(ids) == 1 {
			m[word] = ids[0]
		}
	}
	for word, id := range map[string]openflow.FieldID{
		"nw_src": openflow.IPv4Src, "nw_dst": openflow.IPv4Dst, "ip_src": openflow.IPv4Src, "ip_dst": openflow.IPv4Dst,
		"nw_proto": openflow.IPProto, "ip_proto": openflow.IPProto, "tp_src": openflow.TCPSrc, "tp_dst": openflow.TCPDst,
		"icmp_type": openflow.ICMPv4Type, "icmp_code": openflow.ICMPv4Code, "dl_vlan_pcp": openflow.VLANPCP, "vlan_pcp": openflow.VLANPCP,
		"vlan_vid": openflow.VLANVID,
	} {
		m[word] = id
	}
	for id := openflow.FieldID(0); int(id) < openflow.NumFields; id++ {
		m[string(appendFieldName(nil, id))] = id
	}
	for word, id := range map[string]openflow.FieldID{
		"OXM_OF_ETH_DST": openflow.EthDst, "OXM_OF_ETH_SRC": openflow.EthSrc, "OXM_OF_ETH_TYPE": openflow.EthType, "OXM_OF_IP_PROTO": openflow.IPProto,
		"OXM_OF_IPV4_SRC": openflow.IPv4Src, "OXM_OF_IPV4_DST": openflow.IPv4Dst, "OXM_OF_TCP_SRC": openflow.TCPSrc, "OXM_OF_TCP_DST": openflow.TCPDst,
		"OXM_OF_UDP_SRC": openflow.UDPSrc, "OXM_OF_UDP_DST": openflow.UDPDst, "OXM_OF_ICMPV4_TYPE": openflow.ICMPv4Type,
		"OXM_OF_ICMPV4_CODE": openflow.ICMPv4Code, "OXM_OF_ARP_OP": openflow.ARPOp, "OXM_OF_ARP_SPA": openflow.ARPSPA, "OXM_OF_ARP_TPA": openflow.ARPTPA,
		"OXM_OF_ARP_SHA": openflow.ARPSHA, "OXM_OF_ARP_THA": openflow.ARPTHA, "OXM_OF_TUNNEL_ID": openflow.TunnelID, "OXM_OF_IPV6_SRC": openflow.IPv6Src,
		"OXM_OF_IPV6_DST": openflow.IPv6Dst, "OXM_OF_IPV6_FLABEL": openflow.IPv6FLabel, "OXM_OF_ICMPV6_TYPE": openflow.ICMPv6Type,
		"OXM_OF_ICMPV6_CODE": openflow.ICMPv6Code, "OXM_OF_IPV6_ND_TARGET": openflow.NDTarget, "OXM_OF_IPV6_ND_SLL": openflow.NDSLL,
		"OXM_OF_IPV6_ND_TLL": openflow.NDTLL, "OXM_OF_IP_ECN": openflow.IPECN, "OXM_OF_TCP_FLAGS": openflow.TCPFlags,
	} {
		m[word] = id
	}
	return m
}

// appendFieldName writes the name by which load and move call a field.
func appendFieldName(b []byte, id openflow.FieldID) []byte {
	name := nxmNames[id]
	switch {
	case id >= openflow.Reg0 && id <= openflow.Reg15:
		name = "NXM_NX_" + strings.ToUpper(id.Info().Name)
	case id >= openflow.XReg0 && id <= openflow.XReg7:
		name = "OXM_OF_PKT_" + strings.ToUpper(id.Info().Name[1:])
	}
	return append(b, name...)
}

// usedBits is the width of a field for load and move. The present bit of vlan_vid is not theirs.
func usedBits(id openflow.FieldID) int {
	if id == openflow.VLANVID {
		return 12
	}
	return id.Info().Bits
}

func (p *parser) setWord(name string, at int) (openflow.FieldID, error) {
	if id, ok := setWords[name]; ok {
		return id, nil
	}
	if name == "nw_tos" || name == "dl_vlan" || name == "vlan_tci" {
		instead := map[string]string{"nw_tos": "ip_dscp", "dl_vlan": "vlan_vid", "vlan_tci": "vlan_vid or vlan_pcp"}
		return 0, p.fail(at, "%s is no field of OpenFlow 1.3: write %s", name, instead[name])
	}
	for _, w := range foreign {
		if strings.HasPrefix(name, w) {
			return 0, p.fail(at, "%s is an extension of Open vSwitch that weir does not have", name)
		}
	}
	var known []string
	for w := range setWords {
		known = append(known, w)
	}
	slices.Sort(known)
	return 0, p.unknown(at, "field", name, known)
}

// setField reads set_field:VALUE[/MASK]->FIELD. With a mask it becomes loads of the runs of bits that
// the mask has, as ovs-ofctl sends it: OpenFlow 1.3's set_field has none.
func (r *actionReader) setField(k token) error {
	text, name, ok := strings.Cut(k.value, "->")
	if !ok {
		return r.p.fail(k.at, "set_field:%s: expected set_field:VALUE->FIELD", k.value)
	}
	at := k.valAt + len(text) + 2
	id, err := r.p.setWord(name, at)
	if err != nil {
		return err
	}
	if !id.Info().Writable && id != openflow.Metadata {
		return r.p.fail(at, "%s cannot be written", name)
	}
	f, err := r.p.value(id, name, text, k.valAt)
	if err != nil {
		return err
	}
	if id == openflow.VLANVID && (f.Masked || f.Value.Uint64()&openflow.VIDPresent == 0) {
		return r.p.fail(k.valAt, "set_field:%s->vlan_vid: the value is the VLAN plus 4096 and has no mask; mod_vlan_vid:%s takes the VLAN alone", text, text)
	}
	switch {
	case !f.Masked && r.p.old() && (id == openflow.TunnelID || id == openflow.MPLSLabel || id == openflow.MPLSTC):
		// which have actions of their own there, under other words
		n := uint16(id.Info().Bits)
		return r.add(openflow.Action{Type: openflow.NXLoad, Dst: openflow.SubField{ID: id, Bits: n}, Load: f.Value.Uint64()})
	case !f.Masked:
		return r.setFieldTo(k, f)
	}
	for at := 0; at < id.Info().Bits; {
		if bitOf(f.Mask, at) == 0 {
			at++
			continue
		}
		n := 0
		load := uint64(0)
		for n < 64 && at+n < id.Info().Bits && bitOf(f.Mask, at+n) != 0 {
			load |= bitOf(f.Value, at+n) << n
			n++
		}
		if err := r.add(openflow.Action{Type: openflow.NXLoad, Load: load, Dst: openflow.SubField{ID: id, Offset: uint16(at), Bits: uint16(n)}}); err != nil {
			return err
		}
		at += n
	}
	return nil
}

func bitOf(v openflow.Value, i int) uint64 {
	if i < 64 {
		return v.Lo() >> i & 1
	}
	return v.Hi() >> (i - 64) & 1
}

// load reads load:VALUE->FIELD[bits].
func (r *actionReader) load(k token) error {
	text, name, ok := strings.Cut(k.value, "->")
	if !ok {
		return r.p.fail(k.at, "load:%s: expected load:VALUE->FIELD[]", k.value)
	}
	dst, err := r.subField(name, k.valAt+len(text)+2)
	if err != nil {
		return err
	}
	if dst.Bits > 64 {
		return r.p.fail(k.valAt+len(text)+2, "%s has %d bits and load writes up to 64: name a part, like [0..63]", name, dst.Bits)
	}
	n, err := r.p.uintAt("load", text, k.valAt, 64)
	if err != nil {
		return err
	}
	if bits.Len64(n) > int(dst.Bits) {
		return r.p.fail(k.valAt, "load:%s does not fit the %d bits of %s", text, dst.Bits, name)
	}
	if !dst.ID.Info().Loadable() {
		return r.p.fail(k.valAt+len(text)+2, "%s cannot be written", name)
	}
	return r.add(openflow.Action{Type: openflow.NXLoad, Load: n, Dst: dst})
}

// move reads move:FIELD[bits]->FIELD[bits].
func (r *actionReader) move(k token) error {
	from, to, ok := strings.Cut(k.value, "->")
	if !ok {
		return r.p.fail(k.at, "move:%s: expected move:FIELD[]->FIELD[]", k.value)
	}
	src, err := r.subField(from, k.valAt)
	if err != nil {
		return err
	}
	dst, err := r.subField(to, k.valAt+len(from)+2)
	switch {
	case err != nil:
		return err
	case src.Bits != dst.Bits:
		return r.p.fail(k.at, "move:%s: %s has %d bits and %s has %d", k.value, from, src.Bits, to, dst.Bits)
	case !dst.ID.Info().Loadable():
		return r.p.fail(k.valAt+len(from)+2, "%s cannot be written", to)
	}
	return r.add(openflow.Action{Type: openflow.NXMove, Src: src, Dst: dst})
}

// subField reads FIELD, FIELD[], FIELD[bit] or FIELD[first..last].
func (r *actionReader) subField(s string, at int) (openflow.SubField, error) {
	name, run, brackets := strings.Cut(s, "[")
	id, err := r.p.setWord(name, at)
	if err != nil {
		return openflow.SubField{}, err
	}
	width := usedBits(id)
	if !brackets || run == "]" {
		return openflow.SubField{ID: id, Bits: uint16(width)}, nil
	}
	run, closed := strings.CutSuffix(run, "]")
	firstText, lastText, isRun := strings.Cut(run, "..")
	if !isRun {
		lastText = firstText
	}
	first, ok1 := number(firstText, 16)
	last, ok2 := number(lastText, 16)
	if !closed || !ok1 || !ok2 || first > last {
		return openflow.SubField{}, r.p.fail(at, "%s: expected %s[], %s[BIT] or %s[FIRST..LAST]", s, name, name, name)
	}
	if width = id.Info().Bits; int(last) >= width {
		return openflow.SubField{}, r.p.fail(at, "%s: the last bit of %s is %d", s, name, width-1)
	}
	return openflow.SubField{ID: id, Offset: uint16(first), Bits: uint16(last - first + 1)}, nil
}
