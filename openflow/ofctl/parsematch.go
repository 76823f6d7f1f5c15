package ofctl

import (
	"slices"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

// protocol is one word that stands for eth_type and perhaps ip_proto.
type protocol struct {
	word    string
	ethType uint64
	ipProto uint64 // 0: none
}

// protocols in an order that begins with those that say the least.
func protocolList() []protocol {
	return []protocol{
		{"ip", 0x0800, 0}, {"ipv6", 0x86dd, 0}, {"arp", 0x0806, 0}, {"rarp", 0x8035, 0}, {"mpls", 0x8847, 0}, {"mplsm", 0x8848, 0},
		{"tcp", 0x0800, 6}, {"udp", 0x0800, 17}, {"sctp", 0x0800, 132}, {"icmp", 0x0800, 1},
		{"tcp6", 0x86dd, 6}, {"udp6", 0x86dd, 17}, {"sctp6", 0x86dd, 132}, {"icmp6", 0x86dd, 58},
		{"ip4", 0x0800, 0}, {"ipv4", 0x0800, 0}, {"ip6", 0x86dd, 0},
	}
}

var protocolWords = func() map[string]protocol {
	m := map[string]protocol{}
	for _, w := range protocolList() {
		m[w.word] = w
	}
	return m
}()

// matchWords are the words of the fields. Several fields under one word: the protocol beside it tells
// which is meant.
var matchWords = buildMatchWords()

func buildMatchWords() map[string][]openflow.FieldID {
	m := map[string][]openflow.FieldID{
		"nw_src": {openflow.IPv4Src, openflow.ARPSPA}, "nw_dst": {openflow.IPv4Dst, openflow.ARPTPA},
		"nw_proto":  {openflow.IPProto, openflow.ARPOp},
		"tp_src":    {openflow.TCPSrc, openflow.UDPSrc, openflow.SCTPSrc, openflow.ICMPv4Type, openflow.ICMPv6Type},
		"tp_dst":    {openflow.TCPDst, openflow.UDPDst, openflow.SCTPDst, openflow.ICMPv4Code, openflow.ICMPv6Code},
		"icmp_type": {openflow.ICMPv4Type, openflow.ICMPv6Type}, "icmp_code": {openflow.ICMPv4Code, openflow.ICMPv6Code},
		"tun_id": {openflow.TunnelID}, "tunnel_id": {openflow.TunnelID},
		"dl_vlan": nil, "vlan_tci": nil, "dl_vlan_pcp": nil, "vlan_pcp": nil, "vlan_vid": nil, "nw_tos": nil, // in words of their own
	}
	for id := openflow.FieldID(0); int(id) < openflow.NumFields; id++ {
		w := wordOf(id)
		for _, name := range []string{w.match, w.set, id.Info().Name} {
			if _, there := m[name]; !there {
				m[name] = []openflow.FieldID{id}
			}
		}
	}
	m["ip_src"], m["ip_dst"], m["ip_proto"] = m["nw_src"], m["nw_dst"], m["nw_proto"]
	return m
}

// foreign are the beginnings of Open vSwitch's own words that OpenFlow 1.3 and weir lack.
var foreign = []string{"ct_", "tun_", "nsh_", "gtpu_", "conj_id", "packet_type", "dp_hash", "recirc_id", "xxreg", "nd_reserved", "nd_options", "tunnel"}

// matchReader gathers the fields of a match, the later of two of the same field winning.
type matchReader struct {
	p            *parser
	fields       [openflow.NumFields]openflow.Field
	has          [openflow.NumFields]bool
	typed        [openflow.NumFields]token // what set the field
	late         []token                   // words whose field the protocol tells
	tci, tciMask uint64                    // vlan_tci: PCP, present bit, VID
	tciTyped     token
}

// word takes one word of a match. known says whether it is one.
func (r *matchReader) word(k token) (known bool, err error) {
	if w, ok := protocolWords[k.key]; ok {
		r.set(openflow.Exact(openflow.EthType, w.ethType), k)
		if w.ipProto != 0 {
			r.set(openflow.Exact(openflow.IPProto, w.ipProto), k)
		}
		return true, nil
	}
	if k.key == "eth" {
		return true, nil
	}
	ids, ok := matchWords[k.key]
	if !ok {
		for _, w := range foreign {
			if strings.HasPrefix(k.key, w) {
				return true, r.p.fail(k.at, "%s is an extension of Open vSwitch that weir does not have", k.key)
			}
		}
		return false, nil
	}
	if !k.has {
		return true, r.p.fail(k.at, "%s lacks its value: write %s=VALUE", k.key, k.key)
	}
	switch len(ids) {
	case 0:
		return true, r.special(k)
	case 1:
		f, err := r.p.value(ids[0], k.key, k.value, k.valAt)
		if err == nil {
			r.set(f, k)
		}
		return true, err
	}
	r.late = append(r.late, k)
	return true, nil
}

// set keeps a field; a mask of zeros takes it away. A pair of registers is kept as the two.
func (r *matchReader) set(f openflow.Field, k token) {
	if f.ID >= openflow.XReg0 && f.ID <= openflow.XReg7 {
		first := openflow.Reg0 + 2*(f.ID-openflow.XReg0)
		r.setHalf(first, f.Value.Uint64()>>32, f.Mask.Uint64()>>32, k)
		r.setHalf(first+1, f.Value.Uint64()&0xffffffff, f.Mask.Uint64()&0xffffffff, k)
		return
	}
	r.fields[f.ID], r.has[f.ID], r.typed[f.ID] = f, !f.Mask.IsZero(), k
}

func (r *matchReader) setHalf(id openflow.FieldID, v, mask uint64, k token) {
	f := openflow.WithMask(id, v, mask)
	if mask == 0xffffffff {
		f = openflow.Exact(id, v)
	}
	r.set(f, k)
}

// special reads the words that are no field of their own: those of the VLAN tag and the TOS byte.
func (r *matchReader) special(k token) error {
	if k.key == "nw_tos" {
		return r.tos(k)
	}
	widths := map[string]struct {
		bits  int
		shift int
		fixed uint64 // set in value and mask beside it
	}{"dl_vlan": {12, 0, openflow.VIDPresent}, "dl_vlan_pcp": {3, 13, openflow.VIDPresent}, "vlan_pcp": {3, 13, openflow.VIDPresent},
		"vlan_tci": {16, 0, 0}, "vlan_vid": {13, 0, 0}}
	w := widths[k.key]
	text, maskText, masked := strings.Cut(k.value, "/")
	if k.key == "dl_vlan" && !masked {
		if n, ok := number(text, 16); ok && n == 0xffff { // OFP_VLAN_NONE of OpenFlow 1.0
			r.tci, r.tciMask, r.tciTyped = 0, 0x1fff, k
			return nil
		}
	}
	if masked && w.fixed != 0 {
		return r.p.fail(k.valAt, "%s=%s: this field cannot have a mask; vlan_tci can", k.key, k.value)
	}
	v, err := r.p.uintAt(k.key, text, k.valAt, w.bits)
	mask := uint64(1)<<w.bits - 1
	if err == nil && masked {
		mask, err = r.p.uintAt(k.key, maskText, k.valAt+len(text)+1, w.bits)
	}
	if err != nil {
		return err
	}
	mask, v = mask<<w.shift|w.fixed, v<<w.shift|w.fixed
	r.tci, r.tciMask, r.tciTyped = r.tci&^mask|v&mask, r.tciMask|mask, k
	return nil
}

// tos reads the TOS byte, whose two low bits are not its own: they are ECN.
func (r *matchReader) tos(k token) error {
	if strings.Contains(k.value, "/") {
		return r.p.fail(k.valAt, "nw_tos=%s: this field cannot have a mask", k.value)
	}
	n, err := r.p.uint(k, 8)
	if err != nil {
		return err
	}
	if n&3 != 0 {
		return r.p.fail(k.valAt, "nw_tos=%s: the two low bits are ECN, write nw_tos=%d,nw_ecn=%d", k.value, n&^3, n&3)
	}
	r.set(openflow.Exact(openflow.IPDSCP, n>>2), k)
	return nil
}

// wireOrder is the order in which ovs-ofctl sends the fields; a prerequisite comes before what needs it.
func wireOrder() []openflow.FieldID {
	order := []openflow.FieldID{openflow.InPort, openflow.InPhyPort, openflow.ActsetOutput, openflow.EthSrc, openflow.EthDst, openflow.EthType,
		openflow.VLANVID, openflow.VLANPCP, openflow.MPLSTC, openflow.MPLSBOS, openflow.MPLSTTL, openflow.MPLSLabel, openflow.PBBISID, openflow.PBBUCA,
		openflow.IPv4Src, openflow.IPv4Dst, openflow.IPv6Src, openflow.IPv6Dst, openflow.NwFrag, openflow.IPDSCP, openflow.IPECN, openflow.IPTTL,
		openflow.IPv6FLabel, openflow.IPv6ExtHdr, openflow.IPProto, openflow.TCPSrc, openflow.TCPDst, openflow.TCPFlags, openflow.UDPSrc, openflow.UDPDst,
		openflow.SCTPSrc, openflow.SCTPDst, openflow.ICMPv4Type, openflow.ICMPv4Code, openflow.ICMPv6Type, openflow.ICMPv6Code, openflow.NDTarget,
		openflow.NDSLL, openflow.NDTLL, openflow.ARPOp, openflow.ARPSPA, openflow.ARPTPA, openflow.ARPSHA, openflow.ARPTHA, openflow.TunnelID}
	for id := openflow.Reg0; id <= openflow.Reg15; id++ {
		order = append(order, id)
	}
	return append(order, openflow.PktMark, openflow.Metadata)
}

// finish decides what the late words mean, judges prerequisites and gives the match.
func (r *matchReader) finish() (openflow.Match, error) {
	if err := r.vlan(); err != nil {
		return openflow.Match{}, err
	}
	slices.SortStableFunc(r.late, func(a, b token) int { return int(matchWords[a.key][0]) - int(matchWords[b.key][0]) })
	for _, k := range r.late {
		id, err := r.choose(k, matchWords[k.key])
		if err != nil {
			return openflow.Match{}, err
		}
		f, err := r.p.value(id, k.key, k.value, k.valAt)
		if err != nil {
			return openflow.Match{}, err
		}
		r.set(f, k)
	}
	var list []openflow.Field
	for _, id := range wireOrder() {
		if !r.has[id] {
			continue
		}
		if _, err := r.choose(r.typed[id], []openflow.FieldID{id}); err != nil {
			return openflow.Match{}, err
		}
		list = append(list, r.fields[id])
	}
	m := openflow.NewMatch(list...)
	if err := m.Check(); err != nil {
		return openflow.Match{}, r.p.fail(0, "no switch takes this match: %v", err)
	}
	return m, nil
}

// choose gives the first of the fields whose prerequisites the match has.
func (r *matchReader) choose(k token, ids []openflow.FieldID) (openflow.FieldID, error) {
	for _, id := range ids {
		if !slices.ContainsFunc(id.Info().Prereqs, func(q openflow.Prereq) bool { return !r.meets(&q) }) {
			return id, nil
		}
	}
	return 0, r.p.fail(k.at, "%s needs %s beside it", k.key, wanted(ids))
}

func (r *matchReader) meets(q *openflow.Prereq) bool {
	f := r.fields[q.Field]
	if !r.has[q.Field] || f.Masked && q.Values != nil {
		return false
	}
	return q.Values == nil || slices.Contains(q.Values, f.Value.Uint64())
}

// wanted are the words that fulfil the prerequisites of one of the fields.
func wanted(ids []openflow.FieldID) string {
	var words []string
	for _, id := range ids {
		switch {
		case id == openflow.VLANPCP:
			return "dl_vlan"
		case id == openflow.InPhyPort:
			return "in_port"
		case id == openflow.NDTarget:
			return "icmp6,icmp_type=135 or icmp6,icmp_type=136"
		case id == openflow.NDSLL:
			return "icmp6,icmp_type=135"
		case id == openflow.NDTLL:
			return "icmp6,icmp_type=136"
		case id == openflow.PBBISID || id == openflow.PBBUCA:
			return "dl_type=0x88e7"
		}
		words = append(words, wantedBy(id)...)
	}
	return orList(words)
}

func wantedBy(id openflow.FieldID) (words []string) {
	pre := id.Info().Prereqs
	for _, w := range protocolList() {
		if w.word == "ip4" { // other names of those before
			break
		}
		eth := slices.Contains(pre[0].Values, w.ethType)
		if eth && len(pre) == 1 && w.ipProto == 0 || eth && len(pre) > 1 && slices.Contains(pre[1].Values, w.ipProto) {
			words = append(words, w.word)
		}
	}
	return words
}

// orList joins words as a sentence does.
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// vlan turns the bits of the tag into vlan_vid and vlan_pcp. OpenFlow 1.3 has no word for a PCP of
// which some bits count, nor for one of a tag that need not be there.
func (r *matchReader) vlan() error {
	const pcpBits = 0xe000
	k, v, mask := r.tciTyped, r.tci, r.tciMask
	if mask == 0 {
		return nil
	}
	present := mask&openflow.VIDPresent != 0
	if present && v&openflow.VIDPresent == 0 {
		if v&(pcpBits|0xfff) != 0 {
			return r.p.fail(k.at, "%s=%s names a tag without its present bit: write vlan_tci=0x%04x, or dl_vlan=%d", k.key, k.value, v|openflow.VIDPresent, v&0xfff)
		}
		mask &^= pcpBits // what has no tag has no priority
	}
	if p := mask & pcpBits; p != 0 && (p != pcpBits || !present) {
		return r.p.fail(k.at, "%s=%s: OpenFlow 1.3 can match the priority whole and with the present bit, like vlan_tci=0x7000/0xf000", k.key, k.value)
	}
	if vid := mask & 0x1fff; vid == 0x1fff {
		r.set(openflow.Exact(openflow.VLANVID, v&vid), k)
	} else {
		r.set(openflow.WithMask(openflow.VLANVID, v&vid, vid), k)
	}
	if mask&pcpBits != 0 {
		r.set(openflow.Exact(openflow.VLANPCP, v>>13), k)
	}
	return nil
}

// known are all words of a match, for the nearest one.
func knownMatchWords() (words []string) {
	for w := range matchWords {
		words = append(words, w)
	}
	for w := range protocolWords {
		words = append(words, w)
	}
	slices.Sort(words)
	return words
}

// ParseMatch reads a match alone: what Match prints.
func ParseMatch(text string, names *Names) (openflow.Match, error) {
	p := &parser{text: text, names: names}
	list, err := p.tokens(0, len(text))
	if err != nil {
		return openflow.Match{}, err
	}
	r := &matchReader{p: p}
	for _, k := range list {
		known, err := r.word(k)
		if err != nil {
			return openflow.Match{}, err
		}
		if !known {
			return openflow.Match{}, p.unknown(k.at, "field", k.key, knownMatchWords())
		}
	}
	return r.finish()
}

// FieldsOf are the fields that a word of a match may mean; nil: it is none.
func FieldsOf(word string) []openflow.FieldID {
	switch word {
	case "dl_vlan", "vlan_vid", "vlan_tci":
		return []openflow.FieldID{openflow.VLANVID}
	case "dl_vlan_pcp", "vlan_pcp":
		return []openflow.FieldID{openflow.VLANPCP}
	case "nw_tos":
		return []openflow.FieldID{openflow.IPDSCP}
	}
	return matchWords[word]
}
