package conformance

import (
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestActionSetOrder: whatever the order in which they are written, the actions of the set run in that of
// section 5.10. Each case holds two neighbours of that list whose order can be seen, written in both orders.
func TestActionSetOrder(t *testing.T) {
	label := mpls{label: 100, tc: 1, ttl: 9}
	labelled := frame(eth{}, label, ip4{ttl: 200}, udp{})
	plain := frame(eth{}, ip4{ttl: 77}, udp{})
	tagged := frame(eth{}, vlan{vid: 5, pcp: 3}, ip4{}, udp{})
	backbone := frame(eth{}, itag{isid: 7}, eth{}, ip4{}, udp{})
	group := &openflow.GroupMod{Command: openflow.GroupAdd, Type: openflow.GroupTypeIndirect, Group: 1,
		Buckets: []openflow.Bucket{{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: openflow.NewActions(out(3))}}}
	var cases []conform
	for _, c := range []struct {
		name    string
		match   openflow.Match
		list    []openflow.Action
		in, out []byte
	}{
		{"1 copy TTL inwards, 2 pop", isLabel, do(copyIn, popMPLS(0x0800)), labelled, frame(eth{}, ip4{ttl: 9}, udp{})},
		{"2 pop, 3 push MPLS", isLabel, do(popMPLS(0x0800), pushMPLS), labelled, frame(eth{}, mpls{ttl: 200}, ip4{ttl: 200}, udp{})},
		{"2 pop, 4 push PBB", match(as(0x88e7)...), do(popPBB, pushPBB), backbone, frame(eth{}, itag{}, eth{}, ip4{}, udp{})},
		{"2 pop, 5 push VLAN", tagThere, do(popVLAN, pushC), tagged, frame(eth{}, vlan{}, ip4{}, udp{})},
		{"3 push MPLS, 4 push PBB", isV4, do(pushMPLS, pushPBB), plain, frame(eth{}, itag{}, eth{}, mpls{ttl: 77}, ip4{ttl: 77}, udp{})},
		{"4 push PBB, 5 push VLAN", isV4, do(pushPBB, pushS), plain, frame(eth{}, vlan{tpid: 0x88a8}, itag{}, eth{}, ip4{ttl: 77}, udp{})},
		{"3 push MPLS, 6 copy TTL outwards", isLabel, do(pushMPLS, copyOut), labelled, frame(eth{}, mpls{label: 100, tc: 1, ttl: 9}, label, ip4{ttl: 200}, udp{})},
		{"6 copy TTL outwards, 7 decrement", isLabel, do(copyOut, decMPLS), labelled, frame(eth{}, mpls{label: 100, tc: 1, ttl: 199}, ip4{ttl: 200}, udp{})},
		{"7 decrement, 8 set", isV4, do(decIP, setIP(50)), plain, frame(eth{}, ip4{ttl: 50}, udp{})},
		{"7 decrement, 8 set MPLS", isLabel, do(decMPLS, setMPLS(50)), labelled, frame(eth{}, mpls{label: 100, tc: 1, ttl: 50}, ip4{ttl: 200}, udp{})},
		{"5 push VLAN, 8 set", isV4, do(pushC, set(openflow.VLANVID, 0x1009)), plain, frame(eth{}, vlan{vid: 9}, ip4{ttl: 77}, udp{})},
		{"3 push MPLS, 8 set", isV4, do(pushMPLS, set(openflow.MPLSLabel, 9)), plain, frame(eth{}, mpls{label: 9, ttl: 77}, ip4{ttl: 77}, udp{})},
		{"4 push PBB, 8 set", isV4, do(pushPBB, set(openflow.EthDst, 0x0a)), plain, frame(eth{dst: 0x0a}, itag{}, eth{}, ip4{ttl: 77}, udp{})},
		{"1 copy TTL inwards, 6 copy TTL outwards", isLabel, do(copyIn, copyOut), labelled, frame(eth{}, label, ip4{ttl: 9}, udp{})},
		{"1 copy TTL inwards, 7 decrement", isLabel, do(copyIn, decMPLS), labelled, frame(eth{}, mpls{label: 100, tc: 1, ttl: 8}, ip4{ttl: 9}, udp{})},
		{"all at once", isLabel, do(copyIn, popMPLS(0x0800), pushMPLS, pushPBB, pushC, set(openflow.EthSrc, 0x0b), set(openflow.VLANVID, 0x1007)), labelled,
			frame(eth{src: 0x0b}, vlan{vid: 7}, itag{}, eth{}, mpls{ttl: 9}, ip4{ttl: 9}, udp{})},
	} {
		backwards := do(out(2))
		for _, a := range c.list {
			backwards = append(do(a), backwards...)
		}
		for name, list := range map[string][]openflow.Action{"": append(c.list[:len(c.list):len(c.list)], out(2)), ", written backwards": backwards,
			", output first": append(do(out(2)), c.list...)} {
			cases = append(cases, conform{name: c.name + name, section: "5.10", setup: setup(flow(c.match, write(list...))), probes: []probe{{in: c.in, out: to(2, c.out)}}})
		}
		// Each by an entry of its own, the last first.
		apart := setup(flow(everything, write(out(2)), goTo(1)))
		for i := range c.list {
			a, next := c.list[len(c.list)-1-i], apply()
			if i < len(c.list)-1 {
				next = goTo(uint8(i + 2))
			}
			apart = append(apart, flowIn(uint8(i+1), c.match, write(a), next))
		}
		if c.name != "5 push VLAN, 8 set" && c.name != "3 push MPLS, 8 set" && c.name != "all at once" { // there an entry alone cannot promise the tag
			cases = append(cases, conform{name: c.name + ", by one entry each", section: "5.10", setup: apart, probes: []probe{{in: c.in, out: to(2, c.out)}}})
		}
	}
	cases = append(cases,
		conform{name: "10 group hides 10 output", section: "5.10", setup: setup(group, flow(everything, write(out(2), openflow.Group(1)))), probes: []probe{{in: plain, out: to(3, plain)}}},
		conform{name: "8 set, 10 group", section: "5.10", setup: setup(group, flow(isV4, write(openflow.Group(1), setIP(5)))), probes: []probe{{in: plain, out: to(3, frame(eth{}, ip4{ttl: 5}, udp{}))}}},
		conform{name: "8 set, 10 output", section: "5.10", setup: setup(flow(isV4, write(out(2), setIP(5)))), probes: []probe{{in: plain, out: to(2, frame(eth{}, ip4{ttl: 5}, udp{}))}}},
	)
	check(t, cases)
}

// TestActionSet: one action of each kind, one set_field of each field; the later one counts; it runs at the end.
func TestActionSet(t *testing.T) {
	f := frame(eth{}, ip4{}, udp{})
	tagged := frame(eth{}, vlan{vid: 5}, vlan{vid: 6}, ip4{}, udp{})
	check(t, []conform{
		{name: "an output replaces another", section: "5.10", setup: setup(flow(everything, write(out(2)), goTo(1)), flowIn(1, everything, write(out(3)))), probes: []probe{{in: f, out: to(3, f)}}},
		{name: "an output twice in one instruction", section: "5.10", setup: setup(flow(everything, write(out(2), out(3)))), probes: []probe{{in: f, out: to(3, f)}}},
		{name: "a set_field of the same field", section: "5.10", setup: setup(flow(everything, write(set(openflow.EthDst, 1), out(2)), goTo(1)), flowIn(1, everything, write(set(openflow.EthDst, 2)))),
			probes: []probe{{in: f, out: to(2, frame(eth{dst: 2}, ip4{}, udp{}))}}},
		{name: "set_fields of different fields", section: "5.10", setup: setup(flow(everything, write(set(openflow.EthDst, 1), out(2)), goTo(1)), flowIn(1, everything, write(set(openflow.EthSrc, 2)))),
			probes: []probe{{in: f, out: to(2, frame(eth{dst: 1, src: 2}, ip4{}, udp{}))}}},
		{name: "one push_vlan", section: "5.10", setup: setup(flow(everything, write(pushC, out(2)), goTo(1)), flowIn(1, everything, write(pushS))),
			probes: []probe{{in: f, out: to(2, frame(eth{}, vlan{tpid: 0x88a8}, ip4{}, udp{}))}}},
		{name: "one pop_vlan", section: "5.10", setup: setup(flow(tagThere, write(popVLAN, out(2)), goTo(1)), flowIn(1, tagThere, write(popVLAN))),
			probes: []probe{{in: tagged, out: to(2, frame(eth{}, vlan{vid: 6}, ip4{}, udp{}))}}},
		{name: "no output, no frame", section: "5.10", setup: setup(flow(everything, write(set(openflow.EthDst, 1)))), probes: []probe{{in: f}}},
		{name: "an empty write", section: "5.10", setup: setup(flow(everything, write())), probes: []probe{{in: f}}},
		{name: "an empty write keeps the set", section: "5.9", setup: setup(flow(everything, write(out(2)), goTo(1)), flowIn(1, everything, write())), probes: []probe{{in: f, out: to(2, f)}}},
		{name: "clear", section: "5.9", setup: setup(flow(everything, write(out(2)), goTo(1)), flowIn(1, everything, clearActions())), probes: []probe{{in: f}}},
		{name: "clear before write in one entry", section: "5.9", setup: setup(flow(everything, write(out(2), set(openflow.EthDst, 1)), goTo(1)), flowIn(1, everything, write(out(3)), clearActions())), probes: []probe{{in: f, out: to(3, f)}}},
		{name: "apply does not touch the set", section: "5.9", setup: setup(flow(everything, write(out(2)), goTo(1)), flowIn(1, everything, apply(out(3)))), probes: []probe{{in: f, out: []sent{{port: 2, frame: f}, {port: 3, frame: f}}}}},
		{name: "the set runs on what apply made", section: "5.9", setup: setup(flow(everything, write(out(2), pushC), goTo(1)), flowIn(1, everything, apply(pushS, set(openflow.VLANVID, 0x1007)))),
			probes: []probe{{in: f, out: to(2, frame(eth{}, vlan{vid: 7}, vlan{tpid: 0x88a8, vid: 7}, ip4{}, udp{}))}}},
		{name: "written actions are not done in later tables", section: "5.10", setup: setup(flow(everything, write(set(openflow.EthDst, 9), out(2)), goTo(1)), flowIn(1, match(eq(openflow.EthDst, macB)), apply(out(3)))),
			probes: []probe{{in: f, out: []sent{{port: 2, frame: frame(eth{dst: 9}, ip4{}, udp{})}, {port: 3, frame: f}}}}},
		{name: "a miss in a later table drops the set", section: "5.4", setup: setup(flow(everything, write(out(2)), goTo(1))), probes: []probe{{in: f}}},
		{name: "a miss after an applied output", section: "5.4", setup: setup(flow(everything, apply(out(3)), write(out(2)), goTo(1))), probes: []probe{{in: f, out: to(3, f)}}},
		{name: "the set of one frame is not the next one's", section: "5.10", setup: setup(flow(match(eq(openflow.InPort, 1)), write(out(2)), goTo(1)), flow(match(eq(openflow.InPort, 3)), goTo(1)), flowIn(1, everything)),
			probes: []probe{{in: f, out: to(2, f)}, {in: f, port: 3}, {in: f, out: to(2, f)}}},
		{name: "output to the controller from the set", section: "5.10", setup: setup(flow(everything, write(out(openflow.PortController)))),
			probes: []probe{{in: f, ins: []packetIn{{reason: openflow.ReasonAction, data: f}}}}},
		{name: "output to the controller from the set of a table-miss entry", section: "5.4", setup: setup(miss(0, write(out(openflow.PortController)))),
			probes: []probe{{in: f, ins: []packetIn{{reason: openflow.ReasonAction, data: f}}}}},
		{name: "a field absent when the set runs", section: "5.10", setup: setup(flow(tagThere, write(popVLAN, out(2)), goTo(1)), flowIn(1, tagThere, write(set(openflow.VLANVID, 0x1001)))),
			probes: []probe{{in: frame(eth{}, vlan{vid: 5}, ip4{}, udp{}), out: to(2, f)}, {in: tagged, out: to(2, frame(eth{}, vlan{vid: 1}, ip4{}, udp{}))}}},
	})
}
