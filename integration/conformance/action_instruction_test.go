package conformance

import (
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestInstructions: section 5.9.
func TestInstructions(t *testing.T) {
	f := frame(eth{}, ip4{}, udp{})
	ip := match(as(0x0800)...)
	tagged := frame(eth{}, vlan{vid: 9}, ip4{}, udp{})
	check(t, []conform{
		{name: "goto", section: "5.9", setup: setup(flow(everything, goTo(3)), flowIn(3, ip, apply(out(2)))),
			probes: []probe{{in: f, out: to(2, f)}}},
		{name: "metadata", section: "5.9", setup: setup(
			flow(everything, writeMetadata(0x12ff, 0xff00), goTo(1)),
			flowIn(1, match(masked(openflow.Metadata, 0x1200, 0xff00)), apply(out(2)))),
			probes: []probe{{in: f, out: to(2, f)}}},
		{name: "write then clear", section: "5.10", setup: setup(
			flow(everything, write(out(2)), goTo(1)), flowIn(1, everything, clearActions())),
			probes: []probe{{in: f}}},
		{name: "write set_field", section: "5.10", setup: setup(
			flow(matchAs(as(0x0800), eq(openflow.IPProto, 17)), write(out(2), set(openflow.UDPDst, 99)))),
			probes: []probe{{in: f, out: to(2, frame(eth{}, ip4{}, udp{dst: 99}))}}},
		{name: "pop_vlan", section: "5.12", setup: setup(
			flow(match(eq(openflow.VLANVID, 0x1009)), apply(simple(openflow.ActionPopVLAN), out(2)))),
			probes: []probe{{in: tagged, out: to(2, f)}}},
		{name: "push_mpls", section: "5.12", setup: setup(
			flow(ip, apply(push(openflow.ActionPushMPLS, 0x8847), setTTL(openflow.ActionSetMPLSTTL, 7), out(2)))),
			probes: []probe{{in: f, out: to(2, frame(eth{}, mpls{ttl: 7}, ip4{}, udp{}))}}},
		{name: "goto backwards", section: "7.4.4", setup: setup(flowIn(3, everything, goTo(3))), fails: badInstruction(openflow.BICBadTableID)},
		{name: "push_vlan of a wrong type", section: "7.4.4", setup: setup(flow(everything, apply(push(openflow.ActionPushVLAN, 0x0800)))),
			fails: badAction(openflow.BACBadArgument)},
	})
}
