package conformance

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// The match fields of table 12 (section 7.2.3.8), as bytes: nothing here asks weir's own table of fields.

// oxm is one field as it travels: class and number, value, and a mask unless it is nil.
func oxm(class, number int, value, mask []byte) []byte {
	head := number << 1
	if mask != nil {
		head |= 1
	}
	return join(u16(class), []byte{byte(head), byte(len(value) + len(mask))}, value, mask)
}

// of is a field of the class OFPXMC_OPENFLOW_BASIC, its value in hexadecimal.
func of(number int, value string) []byte { return oxm(0x8000, number, fromHex(value), nil) }

func ofMasked(number int, value, mask string) []byte {
	return oxm(0x8000, number, fromHex(value), fromHex(mask))
}

func zeros(n int) []byte { return make([]byte, n) }

// padded8 fills a structure up to a multiple of eight bytes.
func padded8(b []byte) []byte { return join(b, zeros((8-len(b)%8)%8)) }

// rawFlow is a FLOW_MOD that adds an entry with this match to table 0, which outputs to port 2.
func rawFlow(matchBytes []byte) *rawRequest {
	return rawFlowOf(padded8(join(u16(1), u16(4+len(matchBytes)), matchBytes)), rawInstruction(4, join(zeros(4), rawOutput(2))))
}

// rawFlowOf is a FLOW_MOD with these bytes for match and instructions.
func rawFlowOf(matchBytes []byte, instructions ...[]byte) *rawRequest {
	body := join(zeros(16), []byte{0, 0}, u16(0), u16(0), u16(100), u32(0xffffffff), u32(0xffffffff), u32(0xffffffff), u16(0), zeros(2))
	return &rawRequest{openflow.TypeFlowMod, join(append([][]byte{body, matchBytes}, instructions...)...)}
}

func rawInstruction(kind int, rest []byte) []byte { return join(u16(kind), u16(4+len(rest)), rest) }

func rawOutput(port int) []byte {
	return join(u16(0), u16(16), u32(port), u16(0xffff), zeros(6))
}

// fieldRow is a field of table 12 with frames that have one value in it, and others.
type fieldRow struct {
	name         string
	number       int
	class        int // 0: OFPXMC_OPENFLOW_BASIC
	bits         int // significant ones
	value        string
	mask         string   // "": the field cannot be masked
	need         [][]byte // the prerequisites, in order
	hits, misses [][]byte
	maskedHits   [][]byte // misses that agree with value under mask
}

func (r *fieldRow) field(value string, mask []byte) []byte {
	class := r.class
	if class == 0 {
		class = 0x8000
	}
	return oxm(class, r.number, fromHex(value), mask)
}

func (r *fieldRow) after(list ...[]byte) []byte {
	return join(append(slices.Clone(r.need), list...)...)
}

// and is the value with the bits outside the mask cleared.
func and(value, mask string) string {
	v, m := slices.Clone(fromHex(value)), fromHex(mask)
	for i := range v {
		v[i] &= m[i]
	}
	return hex.EncodeToString(v)
}

// Prerequisites.
var (
	needIPv4   = [][]byte{of(5, "0800")}
	needIPv6   = [][]byte{of(5, "86dd")}
	needARP    = [][]byte{of(5, "0806")}
	needMPLS   = [][]byte{of(5, "8847")}
	needPBB    = [][]byte{of(5, "88e7")}
	needTCP    = [][]byte{of(5, "0800"), of(10, "06")}
	needUDP    = [][]byte{of(5, "0800"), of(10, "11")}
	needSCTP   = [][]byte{of(5, "86dd"), of(10, "84")}
	needICMP   = [][]byte{of(5, "0800"), of(10, "01")}
	needICMPv6 = [][]byte{of(5, "86dd"), of(10, "3a")}
	needNS     = [][]byte{of(5, "86dd"), of(10, "3a"), of(29, "87")}
	needNA     = [][]byte{of(5, "86dd"), of(10, "3a"), of(29, "88")}
)

func frames(list ...[]byte) [][]byte { return list }

// fieldRows are the fields of headers.
func fieldRows() []fieldRow {
	udp4, tcp4, arp0 := frame(eth{}, ip4{}, udp{}), frame(eth{}, ip4{}, tcp{}), frame(eth{}, arp{})
	udp6, tcp6 := frame(eth{}, ip6{}, udp{}), frame(eth{}, ip6{}, tcp{})
	ns := func(h nd) []byte { return frame(eth{}, ip6{}, h) }
	stack := func(h mpls) []byte { return frame(eth{}, h, ip4{}, udp{}) }
	arpOf := func(h arp) []byte { return frame(eth{}, h) }
	ip := func(h ip4) []byte { return frame(eth{}, h, udp{}) }
	v6 := func(h ip6) []byte { return frame(eth{}, h, udp{}) }
	return []fieldRow{
		{"eth_dst", 3, 0, 48, "020000000002", "ffffff000000", nil, frames(udp4, arp0), frames(frame(eth{dst: 0x030000000002}, ip4{}, udp{})), frames(frame(eth{dst: 0x020000fffff0}, ip4{}, udp{}))},
		{"eth_dst group bit", 3, 0, 48, "010000000000", "010000000000", nil, nil, frames(udp4), frames(frame(eth{dst: 0xffffffffffff}, arp{}), frame(eth{dst: 0x0180c2000001}, ip4{}, udp{}))},
		{"eth_src", 4, 0, 48, "020000000001", "00000000000f", nil, frames(udp4, udp6), frames(frame(eth{src: 0x020000000009}, ip4{}, udp{})), frames(frame(eth{src: 0x0a0a0a0a0a01}, arp{}))},
		{"eth_type", 5, 0, 16, "0800", "", nil, frames(udp4, frame(eth{}, vlan{vid: 4}, ip4{}, udp{})), frames(udp6, arp0), nil},
		{"ip_dscp", 8, 0, 6, "2e", "", needIPv4, frames(ip(ip4{dscp: 46}), ip(ip4{dscp: 46, ecn: 3})), frames(udp4, ip(ip4{dscp: 45}), v6(ip6{dscp: 46})), nil},
		{"ip_dscp of IPv6", 8, 0, 6, "2e", "", needIPv6, frames(v6(ip6{dscp: 46}), v6(ip6{dscp: 46, ecn: 1})), frames(udp6, v6(ip6{dscp: 44})), nil},
		{"ip_ecn", 9, 0, 2, "02", "", needIPv4, frames(ip(ip4{ecn: 2}), ip(ip4{ecn: 2, dscp: 63})), frames(udp4, ip(ip4{ecn: 3})), nil},
		{"ip_ecn of IPv6", 9, 0, 2, "03", "", needIPv6, frames(v6(ip6{ecn: 3, dscp: 1})), frames(udp6, v6(ip6{ecn: 2})), nil},
		{"ip_proto", 10, 0, 8, "11", "", needIPv4, frames(udp4, ip(ip4{options: "01010101"})), frames(tcp4, udp6), nil},
		{"ip_proto of IPv6", 10, 0, 8, "06", "", needIPv6, frames(tcp6, frame(eth{}, ip6{}, hopByHop(), tcp{})), frames(udp6, tcp4), nil},
		{"ipv4_src", 11, 0, 32, "0a000001", "ffffff00", needIPv4, frames(udp4, ip(ip4{options: "01010101"})), frames(ip(ip4{src: 0x0a000101}), udp6), frames(ip(ip4{src: 0x0a0000fe}))},
		{"ipv4_src scattered", 11, 0, 32, "0a000001", "ff0000ff", needIPv4, frames(udp4), frames(ip(ip4{src: 0x0a000002})), frames(ip(ip4{src: 0x0affff01}))},
		{"ipv4_dst", 12, 0, 32, "0a000002", "fffffffe", needIPv4, frames(udp4), frames(ip(ip4{dst: 0x0a000001})), frames(ip(ip4{dst: 0x0a000003}))},
		{"tcp_src", 13, 0, 16, "03e8", "fff0", needTCP, frames(tcp4), frames(frame(eth{}, ip4{}, tcp{src: 2000}), udp4), frames(frame(eth{}, ip4{}, tcp{src: 0x3ef}))},
		{"tcp_dst", 14, 0, 16, "07d0", "ff00", needTCP, frames(tcp4, frame(eth{}, ip4{options: "0101010101010101"}, tcp{})), frames(frame(eth{}, ip4{}, tcp{dst: 0xd007})), frames(frame(eth{}, ip4{}, tcp{dst: 0x7ff}))},
		{"udp_src", 15, 0, 16, "03e8", "8000", needUDP, frames(udp4), frames(frame(eth{}, ip4{}, udp{src: 0x83e8}), tcp4), frames(frame(eth{}, ip4{}, udp{src: 1}))},
		{"udp_dst", 16, 0, 16, "07d0", "0001", needUDP, frames(udp4), frames(frame(eth{}, ip4{}, udp{dst: 0x7d1})), frames(frame(eth{}, ip4{}, udp{dst: 2}))},
		{"sctp_src", 17, 0, 16, "03e8", "ffff", needSCTP, frames(frame(eth{}, ip6{}, sctp{})), frames(frame(eth{}, ip6{}, sctp{src: 2000}), udp6), nil},
		{"sctp_dst", 18, 0, 16, "07d0", "00ff", needSCTP, frames(frame(eth{}, ip6{}, sctp{})), frames(frame(eth{}, ip6{}, sctp{dst: 1})), frames(frame(eth{}, ip6{}, sctp{dst: 0xffd0}))},
		{"icmpv4_type", 19, 0, 8, "08", "", needICMP, frames(frame(eth{}, ip4{}, icmp{})), frames(frame(eth{}, ip4{}, icmp{typ: 3}), frame(eth{}, ip4{}, icmp{typ: none})), nil},
		{"icmpv4_code", 20, 0, 8, "03", "", needICMP, frames(frame(eth{}, ip4{}, icmp{typ: 3, code: 3})), frames(frame(eth{}, ip4{}, icmp{typ: 3})), nil},
		{"arp_op", 21, 0, 16, "0001", "", needARP, frames(arp0), frames(arpOf(arp{op: 2}), arpOf(arp{op: 0x0101})), nil},
		{"arp_op of 16 bits", 21, 0, 16, "0102", "", needARP, frames(arpOf(arp{op: 0x0102})), frames(arpOf(arp{op: 2})), nil},
		{"arp_spa", 22, 0, 32, "0a000001", "ff000000", needARP, frames(arp0), frames(arpOf(arp{spa: 0x0b000001}), udp4), frames(arpOf(arp{spa: 0x0a0a0a0a}))},
		{"arp_tpa", 23, 0, 32, "0a000002", "0000000f", needARP, frames(arp0), frames(arpOf(arp{tpa: 0x0a000001})), frames(arpOf(arp{tpa: 0x0b0b0b02}))},
		{"arp_sha", 24, 0, 48, "020000000001", "ff0000000000", needARP, frames(arp0), frames(arpOf(arp{sha: 0x040000000001})), frames(arpOf(arp{sha: 0x02aaaaaaaaaa}))},
		{"arp_tha", 25, 0, 48, "020000000007", "0000000000ff", needARP, frames(arpOf(arp{tha: 0x020000000007})), frames(arp0), frames(arpOf(arp{tha: 7}))},
		{"arp_tpa of RARP", 23, 0, 32, "0a000002", "", [][]byte{of(5, "8035")}, frames(arpOf(arp{reverse: true})), frames(arp0, arpOf(arp{reverse: true, tpa: 9})), nil},
		{"ipv6_src", 26, 0, 128, addr6(1), "ffffffff000000000000000000000000", needIPv6, frames(udp6, tcp6), frames(v6(ip6{src: "fe80" + addr6(1)[4:]}), udp4), frames(v6(ip6{src: addr6(77)}))},
		{"ipv6_src low half", 26, 0, 128, addr6(1), "000000000000000000000000000000ff", needIPv6, frames(udp6), frames(v6(ip6{src: addr6(2)})), frames(v6(ip6{src: "fe80" + addr6(1)[4:]}))},
		{"ipv6_dst", 27, 0, 128, addr6(2), "fffffffffffffffffffffffffffffffe", needIPv6, frames(udp6), frames(v6(ip6{dst: addr6(1)})), frames(v6(ip6{dst: addr6(3)}))},
		{"ipv6_flabel", 28, 0, 20, "00012345", "000f0000", needIPv6, frames(v6(ip6{flabel: 0x12345})), frames(v6(ip6{flabel: 0x22345}), udp6), frames(v6(ip6{flabel: 0x1ffff}))},
		{"icmpv6_type", 29, 0, 8, "80", "", needICMPv6, frames(frame(eth{}, ip6{}, icmp6{}), frame(eth{}, ip6{}, destination(), icmp6{})), frames(frame(eth{}, ip6{}, icmp6{typ: 129})), nil},
		{"icmpv6_code", 30, 0, 8, "04", "", needICMPv6, frames(frame(eth{}, ip6{}, icmp6{typ: 1, code: 4})), frames(frame(eth{}, ip6{}, icmp6{typ: 1})), nil},
		{"ipv6_nd_target of a solicitation", 31, 0, 128, addr6(9), "ffffffffffffffffffffffffffffff00", needNS, frames(ns(nd{}), ns(nd{sll: macA})), frames(ns(nd{target: "fe80" + addr6(9)[4:]}), ns(nd{typ: 136})), frames(ns(nd{target: addr6(8)}))},
		{"ipv6_nd_target of an advertisement", 31, 0, 128, addr6(9), "", needNA, frames(ns(nd{typ: 136, tll: macA})), frames(ns(nd{typ: 136, target: addr6(8)}), ns(nd{})), nil},
		{"ipv6_nd_sll", 32, 0, 48, "020000000001", "ffffff000000", needNS, frames(ns(nd{sll: macA})), frames(ns(nd{sll: 0x030000000001}), ns(nd{})), frames(ns(nd{sll: macB}))},
		{"ipv6_nd_tll", 33, 0, 48, "020000000001", "0000000000ff", needNA, frames(ns(nd{typ: 136, tll: macA})), frames(ns(nd{typ: 136, tll: macB}), ns(nd{typ: 136})), frames(ns(nd{typ: 136, tll: 0x0a0000000001}))},
		{"mpls_label", 34, 0, 20, "00012345", "", needMPLS, frames(stack(mpls{label: 0x12345})), frames(stack(mpls{label: 0x12344}), udp4), nil},
		{"mpls_tc", 35, 0, 3, "05", "", needMPLS, frames(stack(mpls{tc: 5})), frames(stack(mpls{tc: 4}), stack(mpls{label: 5})), nil},
		{"mpls_bos", 36, 0, 1, "01", "", needMPLS, frames(stack(mpls{label: 5})), frames(frame(eth{}, mpls{}, mpls{}, ip4{}, udp{})), nil},
		{"mpls_bos of more labels", 36, 0, 1, "00", "", needMPLS, frames(frame(eth{}, mpls{}, mpls{}, ip4{}, udp{}), frame(eth{}, mpls{}, mpls{}, mpls{}, mpls{}, ip4{}, udp{})), frames(stack(mpls{})), nil},
		{"mpls_label of 0x8848", 34, 0, 20, "00000011", "", [][]byte{of(5, "8848")}, frames(stack(mpls{label: 17, multicast: true})), frames(stack(mpls{label: 17})), nil},
		{"pbb_isid", 37, 0, 24, "123456", "ff0000", needPBB, frames(frame(eth{}, itag{isid: 0x123456, pcp: 7, uca: 1}, eth{}, ip4{}, udp{})), frames(frame(eth{}, itag{isid: 0x223456}, eth{}, ip4{}, udp{}), udp4), frames(frame(eth{}, itag{isid: 0x120000}, eth{}, arp{}))},
		{"nw_ttl", 29, 1, 8, "09", "", needIPv4, frames(ip(ip4{ttl: 9})), frames(udp4), nil},
		{"nw_ttl of IPv6", 29, 1, 8, "09", "", needIPv6, frames(v6(ip6{hops: 9})), frames(udp6), nil},
		{"mpls_ttl", 30, 1, 8, "09", "", needMPLS, frames(stack(mpls{ttl: 9})), frames(stack(mpls{})), nil},
		{"tcp_flags", 34, 1, 12, "0012", "0002", needTCP, frames(frame(eth{}, ip4{}, tcp{flags: 0x12})), frames(tcp4), frames(frame(eth{}, ip4{}, tcp{flags: 0x1d2}))},
		{"pbb_uca", 41, 0, 1, "01", "", needPBB, frames(frame(eth{}, itag{uca: 1}, eth{}, arp{})), frames(frame(eth{}, itag{}, eth{}, arp{})), nil},
	}
}

// TestMatchFields: values and masks.
func TestMatchFields(t *testing.T) {
	var cases []conform
	add := func(name string, match []byte, hits, misses [][]byte) {
		c := conform{name: name, section: "7.2.3.8", raw: rawFlow(match)}
		for _, f := range hits {
			c.probes = append(c.probes, probe{name: "hit", in: f, out: to(2, f)})
		}
		for _, f := range misses {
			c.probes = append(c.probes, probe{name: "miss", in: f})
		}
		cases = append(cases, c)
	}
	for _, r := range fieldRows() {
		add(r.name, r.after(r.field(r.value, nil)), r.hits, join2(r.misses, r.maskedHits))
		if r.mask == "" {
			continue
		}
		add(r.name+" masked", r.after(r.field(and(r.value, r.mask), fromHex(r.mask))), join2(r.hits, r.maskedHits), r.misses)
		ones := bytes.Repeat([]byte{0xff}, len(fromHex(r.value)))
		clear(ones[:len(ones)-(r.bits+7)/8])
		if r.bits%8 != 0 {
			ones[len(ones)-(r.bits+7)/8] = 1<<(r.bits%8) - 1
		}
		add(r.name+" under a mask of all ones", r.after(r.field(r.value, ones)), r.hits, join2(r.misses, r.maskedHits))
		none := hex.EncodeToString(zeros(len(ones)))
		add(r.name+" under an empty mask", r.after(r.field(none, fromHex(none))), join2(r.hits, r.maskedHits), nil)
	}
	check(t, cases)
}

func join2(a, b [][]byte) [][]byte { return append(slices.Clone(a), b...) }

// TestMatchFieldErrors: each mistake that one can make with each field, and its code (sections 7.2.3.6, 7.4.4).
func TestMatchFieldErrors(t *testing.T) {
	var cases []conform
	for _, r := range fieldRows() {
		fails := func(what string, match []byte, code uint16) {
			cases = append(cases, conform{name: r.name + " " + what, section: "7.4.4", raw: rawFlow(match), fails: badMatch(code)})
		}
		one, v := r.field(r.value, nil), fromHex(r.value)
		fails("twice", r.after(one, one), openflow.BMCDupField)
		fails("too long", r.after(r.field(r.value+"00", nil)), openflow.BMCBadLen)
		fails("too short", r.after(r.field(r.value[2:], nil)), openflow.BMCBadLen)
		fails("cut", r.after(one[:len(one)-1]), openflow.BMCBadLen)
		for i := range r.need {
			fails(fmt.Sprintf("without prerequisite %d", i), join(append(slices.Delete(slices.Clone(r.need), i, i+1), one)...), openflow.BMCBadPrereq)
		}
		if len(r.need) > 0 {
			last := slices.Clone(r.need[len(r.need)-1])
			fails("before its prerequisites", nil, openflow.BMCBadPrereq)
			cases[len(cases)-1].raw = rawFlow(join(one, r.after()))
			last[len(last)-1] ^= 0x40
			fails("with a wrong prerequisite", join(append(slices.Clone(r.need[:len(r.need)-1]), last, one)...), openflow.BMCBadPrereq)
		}
		if r.bits < 8*len(v) {
			fails("with a value too large", r.after(r.field(tooLarge(v, r.bits), nil)), openflow.BMCBadValue)
		}
		ones := bytes.Repeat([]byte{0xff}, len(v))
		if r.mask == "" {
			continue
		}
		fails("with a value outside its mask", r.after(r.field(hex.EncodeToString(ones[:len(v)-1])+"01", zeros(len(v)))), openflow.BMCBadWildcards)
		if r.bits < 8*len(v) {
			fails("with a mask too large", r.after(r.field(r.value, ones)), openflow.BMCBadMask)
			cases[len(cases)-2].raw = rawFlow(r.after(r.field(r.value, zeros(len(v)))))
		}
		fails("with half a mask", r.after(r.field(r.value, zeros(len(v)-1))), openflow.BMCBadLen)
	}
	for _, r := range fieldRows() {
		if exactInTable12[r.number] && r.class == 0 && r.mask == "" {
			cases = append(cases, conform{name: r.name + " with a mask", section: "7.2.3.8",
				raw: rawFlow(r.after(r.field(r.value, fromHex(r.value)))), fails: badMatch(openflow.BMCBadMask)})
		}
	}
	check(t, cases)
}

// exactInTable12 are the fields that have no mask. (Transport ports and neighbour discovery are not among
// them: Open vSwitch takes masks there, and so does weir.)
var exactInTable12 = map[int]bool{0: true, 1: true, 5: true, 7: true, 8: true, 9: true, 10: true, 19: true, 20: true, 21: true,
	29: true, 30: true, 34: true, 35: true, 36: true}

// tooLarge sets the lowest bit that the field does not have.
func tooLarge(v []byte, bits int) string {
	v = slices.Clone(v)
	v[len(v)-1-bits/8] |= 1 << (bits % 8)
	return hex.EncodeToString(v)
}
