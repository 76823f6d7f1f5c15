package conformance

import (
	"fmt"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

var (
	decIP     = simple(openflow.ActionDecNwTTL)
	decMPLS   = simple(openflow.ActionDecMPLSTTL)
	copyIn    = simple(openflow.ActionCopyTTLIn)
	copyOut   = simple(openflow.ActionCopyTTLOut)
	isLabel   = match(as(0x8847)...)
	isV4      = match(as(0x0800)...)
	isV6      = match(as(0x86dd)...)
	ttlOfIP   = func(typ uint64, v uint64) openflow.Match { return matchAs(as(typ), eq(openflow.IPTTL, v)) }
	ttlOfMPLS = func(v uint64) openflow.Match { return matchAs(as(0x8847), eq(openflow.MPLSTTL, v)) }
)

func setIP(ttl uint8) openflow.Action   { return setTTL(openflow.ActionSetNwTTL, ttl) }
func setMPLS(ttl uint8) openflow.Action { return setTTL(openflow.ActionSetMPLSTTL, ttl) }

// written is a number of a header: its zero stands for itself.
func written(v int) int {
	if v == 0 {
		return none
	}
	return v
}

// TestTTLSet: set and decrement, with the IPv4 checksum (section 5.12).
func TestTTLSet(t *testing.T) {
	var list []change
	v4 := func(ttl int) []byte { return frame(eth{}, ip4{ttl: written(ttl)}, udp{}) }
	v6 := func(ttl int) []byte { return frame(eth{}, ip6{hops: written(ttl)}, udp{}) }
	one := func(ttl int) []byte {
		return frame(eth{}, mpls{label: 9, tc: 7, ttl: written(ttl)}, ip4{ttl: 7}, udp{})
	}
	two := func(ttl int) []byte {
		return frame(eth{}, vlan{vid: 5}, mpls{label: 9, ttl: written(ttl)}, mpls{label: 8, ttl: 99}, ip4{ttl: 7}, udp{})
	}
	for _, ttl := range []int{0, 1, 2, 128, 255} {
		n := uint8(ttl)
		list = append(list,
			change{fmt.Sprintf("set_nw_ttl %d", ttl), isV4, do(setIP(n)), v4(64), v4(ttl), ttlOfIP(0x0800, uint64(ttl))},
			change{fmt.Sprintf("set_nw_ttl %d of IPv6", ttl), isV6, do(setIP(n)), v6(64), v6(ttl), ttlOfIP(0x86dd, uint64(ttl))},
			change{fmt.Sprintf("set_mpls_ttl %d", ttl), isLabel, do(setMPLS(n)), one(64), one(ttl), ttlOfMPLS(uint64(ttl))},
			change{fmt.Sprintf("set_mpls_ttl %d of two", ttl), isLabel, do(setMPLS(n)), two(64), two(ttl), ttlOfMPLS(uint64(ttl))})
		if ttl < 2 {
			continue
		}
		list = append(list,
			change{fmt.Sprintf("dec_nw_ttl %d", ttl), isV4, do(decIP), v4(ttl), v4(ttl - 1), ttlOfIP(0x0800, uint64(ttl-1))},
			change{fmt.Sprintf("dec_nw_ttl %d of IPv6", ttl), isV6, do(decIP), v6(ttl), v6(ttl - 1), ttlOfIP(0x86dd, uint64(ttl-1))},
			change{fmt.Sprintf("dec_mpls_ttl %d", ttl), isLabel, do(decMPLS), one(ttl), one(ttl - 1), ttlOfMPLS(uint64(ttl - 1))},
			change{fmt.Sprintf("dec_mpls_ttl %d of two", ttl), isLabel, do(decMPLS), two(ttl), two(ttl - 1), ttlOfMPLS(uint64(ttl - 1))})
	}
	options := func(ttl int) []byte { return frame(eth{}, ip4{ttl: ttl, options: "01010101"}, udp{}) }
	later := func(ttl int) []byte { return frame(eth{}, ip4{ttl: ttl, frag: 9, proto: 17}, text("later")) }
	check(t, changes("5.12", append(list,
		change{"dec_nw_ttl twice", isV4, do(decIP, decIP), v4(3), v4(1), ttlOfIP(0x0800, 1)},
		change{"dec_nw_ttl over a byte's border of the checksum", isV4, do(setIP(1), setIP(255), decIP), v4(0), v4(254), ttlOfIP(0x0800, 254)},
		change{"dec_nw_ttl with options", isV4, do(decIP), options(9), options(8), ttlOfIP(0x0800, 8)},
		change{"dec_nw_ttl of a later fragment", isV4, do(decIP), later(9), later(8), ttlOfIP(0x0800, 8)},
		change{"dec_mpls_ttl of a pushed label", isV4, do(pushMPLS, decMPLS), v4(9), frame(eth{}, mpls{ttl: 8}, ip4{ttl: 9}, udp{}), ttlOfMPLS(8)},
		change{"dec_nw_ttl below a popped label", isLabel, do(popMPLS(0x0800), decIP), one(64), v4(6), ttlOfIP(0x0800, 6)})))
}

// TestTTLCopy: in and out, between each two headers that have a TTL.
func TestTTLCopy(t *testing.T) {
	mm := func(outer, inner int) []byte {
		return frame(eth{}, mpls{label: 1, tc: 3, ttl: written(outer)}, mpls{label: 2, ttl: written(inner)}, mpls{ttl: 50}, ip4{ttl: 60}, udp{})
	}
	m4 := func(outer, inner int) []byte {
		return frame(eth{}, mpls{label: 1, ttl: written(outer)}, ip4{ttl: written(inner)}, udp{})
	}
	m6 := func(outer, inner int) []byte {
		return frame(eth{}, vlan{vid: 3}, mpls{label: 1, ttl: written(outer)}, ip6{hops: written(inner)}, tcp{})
	}
	var list []change
	for name, pkt := range map[string]func(outer, inner int) []byte{"MPLS over MPLS": mm, "MPLS over IPv4": m4, "MPLS over IPv6": m6} {
		for _, v := range [][2]int{{9, 200}, {200, 9}, {0, 255}, {255, 0}, {7, 7}} {
			o, i := v[0], v[1]
			list = append(list,
				change{fmt.Sprintf("copy_ttl_out %d %d %s", o, i, name), isLabel, do(copyOut), pkt(o, i), pkt(i, i), ttlOfMPLS(uint64(i))},
				change{fmt.Sprintf("copy_ttl_in %d %d %s", o, i, name), isLabel, do(copyIn), pkt(o, i), pkt(o, o), ttlOfMPLS(uint64(o))})
		}
	}
	alone := frame(eth{}, mpls{ttl: 9}, raw{0x01, 0x02, 0x03})
	list = append(list,
		change{"copy_ttl_out of a label alone", isLabel, do(copyOut), alone, alone, ttlOfMPLS(9)},
		change{"copy_ttl_in of a label alone", isLabel, do(copyIn), alone, alone, ttlOfMPLS(9)},
		change{"copy_ttl_in, then the label popped", isLabel, do(copyIn, popMPLS(0x0800)), m4(9, 200), frame(eth{}, ip4{ttl: 9}, udp{}), ttlOfIP(0x0800, 9)},
		change{"a label pushed and its TTL copied out", isV4, do(setIP(200), pushMPLS, setMPLS(3), copyOut), frame(eth{}, ip4{ttl: 5}, udp{}), m4unlabelled(200, 200), ttlOfMPLS(200)},
		change{"decremented and copied in", isLabel, do(decMPLS, copyIn), m6(9, 200), m6(8, 8), ttlOfMPLS(8)},
		change{"copied out and decremented", isLabel, do(copyOut, decMPLS), mm(9, 200), mm(199, 200), ttlOfMPLS(199)})
	in46 := func(outer, inner int) []byte { return frame(eth{}, ip4{ttl: outer}, ip6{hops: inner}, udp{}) }
	in44 := func(outer, inner int) []byte { return frame(eth{}, ip4{ttl: outer}, ip4{ttl: inner}, udp{}) }
	in64 := func(outer, inner int) []byte {
		return frame(eth{}, ip6{hops: outer}, destination(), ip4{ttl: inner}, udp{})
	}
	in66 := func(outer, inner int) []byte { return frame(eth{}, ip6{hops: outer}, ip6{hops: inner}, udp{}) }
	for name, pkt := range map[string]func(outer, inner int) []byte{"IPv4 over IPv6": in46, "IPv4 over IPv4": in44, "IPv6 over IPv4": in64, "IPv6 over IPv6": in66} {
		typ := uint64(0x0800)
		if name[:4] == "IPv6" {
			typ = 0x86dd
		}
		list = append(list,
			change{"copy_ttl_out " + name, match(as(typ)...), do(copyOut), pkt(9, 200), pkt(200, 200), ttlOfIP(typ, 200)},
			change{"copy_ttl_in " + name, match(as(typ)...), do(copyIn), pkt(9, 200), pkt(9, 9), ttlOfIP(typ, 9)})
	}
	check(t, changes("5.12", list))

	b := newBench(t)
	for _, a := range []openflow.Action{copyIn, copyOut, decIP, decMPLS, setIP(9), setMPLS(9)} {
		f := frame(eth{}, arp{})
		must(t, b.packetOut(1, f, a, out(2)))
		if err := compare(b.take(), []string{sent{port: 2, frame: f}.line()}); err != nil {
			t.Errorf("section 5.12, %s of a frame without TTL: %v", a.Type, err)
		}
	}
}

func m4unlabelled(outer, inner int) []byte {
	return frame(eth{}, mpls{ttl: outer}, ip4{ttl: inner}, udp{})
}

// TestTTLExpired: a TTL that cannot be decremented ends the frame, which goes to the controller as it is
// then, with the reason INVALID_TTL (sections 5.12 and 7.4.1).
func TestTTLExpired(t *testing.T) {
	var cases []conform
	for _, c := range []struct {
		name   string
		match  openflow.Match
		action openflow.Action
		pkt    func(ttl int) []byte
	}{
		{"IPv4", isV4, decIP, func(ttl int) []byte { return frame(eth{}, ip4{ttl: written(ttl)}, udp{}) }},
		{"IPv6", isV6, decIP, func(ttl int) []byte { return frame(eth{}, vlan{vid: 1}, ip6{hops: written(ttl)}, udp{}) }},
		{"MPLS", isLabel, decMPLS, func(ttl int) []byte { return frame(eth{}, mpls{label: 3, ttl: written(ttl)}, ip4{}, udp{}) }},
	} {
		for ttl := range 2 {
			f := c.pkt(ttl)
			in := packetIn{reason: openflow.ReasonInvalidTTL, cookie: 0xfeed, data: f}
			entry := func(list ...openflow.Instruction) *openflow.FlowMod {
				m := flow(c.match, list...)
				m.Cookie = 0xfeed
				return m
			}
			add := func(what string, p probe, list ...openflow.Instruction) {
				cases = append(cases, conform{name: fmt.Sprintf("%s with TTL %d, %s", c.name, ttl, what), section: "5.12",
					setup: setup(entry(list...), flowIn(1, everything, apply(out(4)))), probes: []probe{p}})
			}
			add("applied", probe{in: f, ins: []packetIn{in}}, apply(c.action, out(2)))
			add("before a goto", probe{in: f, ins: []packetIn{in}}, apply(c.action), goTo(1))
			add("after an output", probe{in: f, out: to(3, f), ins: []packetIn{in}}, apply(out(3), c.action, out(2)))
			add("with an action set", probe{in: f, ins: []packetIn{in}}, apply(c.action), write(out(2)))
			add("in the action set", probe{in: f, ins: []packetIn{in}}, write(c.action, out(2)))
			add("set before", probe{in: f, out: to(2, c.pkt(8))}, apply(map[bool]openflow.Action{true: setMPLS(9), false: setIP(9)}[c.name == "MPLS"], c.action, out(2)))
		}
		f, dead := c.pkt(2), c.pkt(1)
		cases = append(cases, conform{name: c.name + " twice decremented", section: "5.12", setup: setup(flow(c.match, apply(c.action, c.action, out(2)))),
			probes: []probe{{in: f, ins: []packetIn{{reason: openflow.ReasonInvalidTTL, data: dead}}}}})
	}
	check(t, cases)
}
