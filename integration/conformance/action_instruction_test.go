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
		{name: "the order in the message does not count", section: "5.9", setup: setup(
			flow(everything, write(out(4)), goTo(1)),
			flowIn(1, everything, goTo(2), writeMetadata(7, 7), write(out(2)), clearActions(), apply(set(openflow.EthDst, 9))),
			flowIn(2, match(eq(openflow.Metadata, 7), eq(openflow.EthDst, 9)))),
			probes: []probe{{in: f, out: to(2, frame(eth{dst: 9}, ip4{}, udp{}))}}},
		{name: "metadata under masks", section: "5.9", setup: setup(
			flow(everything, writeMetadata(^uint64(0), 0xffff0000), goTo(1)), flowIn(1, everything, writeMetadata(0x12340000, 0x00ff0000), goTo(2)),
			flowIn(2, everything, writeMetadata(1<<63, 1<<63), goTo(3)), flowIn(3, match(eq(openflow.Metadata, 1<<63|0xff340000)), apply(out(2)))),
			probes: []probe{{in: f, out: to(2, f)}}},
		{name: "metadata under an empty mask", section: "5.9", setup: setup(
			flow(everything, writeMetadata(5, 0), goTo(1)), flowIn(1, match(eq(openflow.Metadata, 0)), apply(out(2)))),
			probes: []probe{{in: f, out: to(2, f)}}},
		{name: "metadata is not the next frame's", section: "5.9", setup: setup(
			flow(match(eq(openflow.InPort, 1)), writeMetadata(5, 7), goTo(1)), flow(match(eq(openflow.InPort, 2)), goTo(1)),
			flowIn(1, match(eq(openflow.Metadata, 5)), apply(out(3))), flowIn(1, match(eq(openflow.Metadata, 0)), apply(out(4)))),
			probes: []probe{{in: f, out: to(3, f)}, {in: f, port: 2, out: to(4, f)}, {in: f, out: to(3, f)}}},
		{name: "goto the last table", section: "5.9", setup: setup(flow(everything, goTo(253)), flowIn(253, everything, apply(out(2)))), probes: []probe{{in: f, out: to(2, f)}}},
		{name: "a later table meets what set_field made", section: "5.1", setup: setup(
			flow(ip, apply(set(openflow.IPv4Dst, 0x01010101)), goTo(1)), flowIn(1, matchAs(as(0x0800), eq(openflow.IPv4Dst, ipB)), apply(out(3))),
			flowIn(1, matchAs(as(0x0800), eq(openflow.IPv4Dst, 0x01010101)), apply(out(2)))),
			probes: []probe{{in: f, out: to(2, frame(eth{}, ip4{dst: 0x01010101}, udp{}))}}},
		{name: "a later table meets what eth_type brought to light", section: "5.1", setup: setup(
			flow(match(as(0x1234)...), apply(set(openflow.EthType, 0x0800)), goTo(1)), flowIn(1, matchAs(as(0x0800, 17), eq(openflow.UDPDst, 2000)), apply(out(2)))),
			probes: []probe{{in: frame(eth{typ: 0x1234}, raw(f[14:])), out: to(2, f)}}},
		{name: "a later table meets what ip_proto brought to light", section: "5.1", setup: setup(
			flow(match(as(0x0800, 200)...), apply(set(openflow.IPProto, 17)), goTo(1)), flowIn(1, matchAs(as(0x0800, 17), eq(openflow.UDPDst, 2000)), apply(out(2)))),
			probes: []probe{{in: frame(eth{}, ip4{proto: 200}, raw(f[34:])), out: to(2, f)}}},
		{name: "a later table meets labels and tags that came and went", section: "5.1", setup: setup(
			flow(ip, apply(push(openflow.ActionPushMPLS, 0x8847), set(openflow.MPLSLabel, 5), push(openflow.ActionPushVLAN, 0x8100), set(openflow.VLANVID, 0x1007)), goTo(1)),
			flowIn(1, match(eq(openflow.VLANVID, 0x1007), eq(openflow.EthType, 0x8847), eq(openflow.MPLSLabel, 5)), apply(simple(openflow.ActionPopVLAN), push(openflow.ActionPopMPLS, 0x0800)), goTo(2)),
			flowIn(2, match(eq(openflow.VLANVID, 0), eq(openflow.EthType, 0x0800), eq(openflow.IPProto, 17), eq(openflow.UDPDst, 2000)), apply(out(2)))),
			probes: []probe{{in: f, out: to(2, f)}}},
		{name: "goto backwards", section: "7.4.4", setup: setup(flowIn(3, everything, goTo(3))), fails: badInstruction(openflow.BICBadTableID)},
		{name: "push_vlan of a wrong type", section: "7.4.4", setup: setup(flow(everything, apply(push(openflow.ActionPushVLAN, 0x0800)))),
			fails: badAction(openflow.BACBadArgument)},
	})
}
