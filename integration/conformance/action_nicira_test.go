package conformance

import (
	"testing"

	"github.com/weirswitch/weir/openflow"
)

func sub(id openflow.FieldID, offset, bits uint16) openflow.SubField {
	return openflow.SubField{ID: id, Offset: offset, Bits: bits}
}

func load(v uint64, dst openflow.SubField) openflow.Action {
	return openflow.Action{Type: openflow.NXLoad, Load: v, Dst: dst}
}

func move(src, dst openflow.SubField) openflow.Action {
	return openflow.Action{Type: openflow.NXMove, Src: src, Dst: dst}
}

func resubmit(port openflow.PortNo, table uint8) openflow.Action {
	return openflow.Action{Type: openflow.NXResubmitTable, Port: port, Table: table}
}

// TestNicira: the extensions that ovs-ofctl types on OpenFlow 1.3, as ovs-actions(7) describes them.
func TestNicira(t *testing.T) {
	udp4, tcp6 := match(as(0x0800, 17)...), match(as(0x86dd, 6)...)
	f := frame(eth{}, ip4{}, udp{}, text("data"))
	f6 := frame(eth{}, ip6{}, tcp{})
	cases := changes("Nicira", []change{
		{"load a whole field", udp4, do(load(53, sub(openflow.UDPDst, 0, 16))), f, frame(eth{}, ip4{}, udp{dst: 53}, text("data")), matchAs(as(0x0800, 17), eq(openflow.UDPDst, 53))},
		{"load some bits", udp4, do(load(3, sub(openflow.IPv4Dst, 8, 4))), f, frame(eth{}, ip4{dst: 0x0a000302}, udp{}, text("data")), matchAs(as(0x0800), eq(openflow.IPv4Dst, 0x0a000302))},
		{"load one bit", everything, do(load(1, sub(openflow.EthDst, 40, 1))), f, frame(eth{dst: 0x030000000002}, ip4{}, udp{}, text("data")), match(eq(openflow.EthDst, 0x030000000002))},
		{"load high bits of an IPv6 address", tcp6, do(load(0xfe80, sub(openflow.IPv6Src, 112, 16))), f6, frame(eth{}, ip6{src: "fe80" + addr6(1)[4:]}, tcp{}), matchAs(as(0x86dd), openflow.Exact128(openflow.IPv6Src, 0xfe800db800000000, 1))},
		{"load metadata", everything, do(load(0x77, sub(openflow.Metadata, 8, 8))), f, f, match(eq(openflow.Metadata, 0x7700))},
		{"load a register, move it to a field", udp4, do(load(0x1234, sub(openflow.Reg0, 16, 16)), move(sub(openflow.Reg0, 16, 16), sub(openflow.UDPSrc, 0, 16))), f, frame(eth{}, ip4{}, udp{src: 0x1234}, text("data")), match(eq(openflow.Reg0, 0x12340000))},
		{"move a field to another", everything, do(move(sub(openflow.EthSrc, 0, 48), sub(openflow.EthDst, 0, 48))), f, frame(eth{dst: macA}, ip4{}, udp{}, text("data")), match(eq(openflow.EthDst, macA))},
		{"swap two fields by way of a register", everything, do(move(sub(openflow.EthSrc, 0, 48), sub(openflow.XReg0, 0, 48)), move(sub(openflow.EthDst, 0, 48), sub(openflow.EthSrc, 0, 48)), move(sub(openflow.XReg0, 0, 48), sub(openflow.EthDst, 0, 48))),
			f, frame(eth{dst: macA, src: macB}, ip4{}, udp{}, text("data")), match(eq(openflow.EthSrc, macB))},
		{"move some bits", udp4, do(move(sub(openflow.IPv4Src, 0, 8), sub(openflow.IPv4Dst, 24, 8))), f, frame(eth{}, ip4{dst: 0x01000002}, udp{}, text("data")), matchAs(as(0x0800), eq(openflow.IPv4Dst, 0x01000002))},
		{"set_field with a mask", everything, do(openflow.Action{Type: openflow.NXLoadMasked, Field: masked(openflow.EthSrc, 0x000000ab00, 0x000000ff00)}), f, frame(eth{src: 0x02000000ab01}, ip4{}, udp{}, text("data")), match(masked(openflow.EthSrc, 0xab00, 0xff00))},
		{"note", everything, do(openflow.Action{Type: openflow.NXNote, Data: []byte("comment")}), f, f, everything},
	})
	ctl := openflow.Action{Type: openflow.NXController, MaxLen: 0xffff, Reason: openflow.ReasonInvalidTTL}
	cases = append(cases,
		conform{name: "controller with a reason", section: "Nicira", setup: setup(flow(everything, apply(ctl, out(2)))),
			probes: []probe{{in: f, out: to(2, f), ins: []packetIn{{reason: openflow.ReasonInvalidTTL, data: f}}}}},
		conform{name: "controller for another id", section: "Nicira", setup: setup(flow(everything, apply(openflow.Action{Type: openflow.NXController, MaxLen: 0xffff, ControllerID: 9, Reason: openflow.ReasonAction}, out(2)))),
			probes: []probe{{in: f, out: to(2, f)}}},
		conform{name: "resubmit to a table and on", section: "Nicira", setup: setup(flow(everything, apply(resubmit(openflow.PortInPort, 5), out(2))), flowIn(5, everything, apply(out(3)))),
			probes: []probe{{in: f, out: []sent{{port: 2, frame: f}, {port: 3, frame: f}}}}},
		conform{name: "resubmit keeps what the other table changed", section: "Nicira", setup: setup(flow(everything, apply(resubmit(openflow.PortInPort, 5), out(2))), flowIn(5, everything, apply(set(openflow.EthDst, 9)))),
			probes: []probe{{in: f, out: to(2, frame(eth{dst: 9}, ip4{}, udp{}, text("data")))}}},
		conform{name: "resubmit with another in_port", section: "Nicira", setup: setup(flow(match(eq(openflow.InPort, 1)), apply(resubmit(3, 5))), flowIn(5, match(eq(openflow.InPort, 3)), apply(out(2))), flowIn(5, match(eq(openflow.InPort, 1)), apply(out(4)))),
			probes: []probe{{in: f, out: to(2, f)}}},
		conform{name: "resubmit that finds nothing", section: "Nicira", setup: setup(flow(everything, apply(resubmit(openflow.PortInPort, 5), out(2)))), probes: []probe{{in: f, out: to(2, f)}}},
		conform{name: "resubmit to an earlier table", section: "Nicira", setup: setup(flow(match(eq(openflow.Reg0, 0)), goTo(4)), flow(match(eq(openflow.Reg0, 1)), apply(out(2))),
			flowIn(4, everything, apply(load(1, sub(openflow.Reg0, 0, 32)), resubmit(openflow.PortInPort, 0)))), probes: []probe{{in: f, out: to(2, f)}}},
	)
	for _, c := range []struct {
		name   string
		match  openflow.Match
		action openflow.Action
		want   *openflow.Error
	}{
		{"load into a field that cannot be written", everything, load(1, sub(openflow.InPhyPort, 0, 32)), badAction(openflow.BACBadArgument)},
		{"load of more bits than the field has", udp4, load(1, sub(openflow.UDPDst, 8, 16)), badAction(openflow.BACBadArgument)},
		{"load of a value too large", udp4, load(16, sub(openflow.UDPDst, 0, 4)), badAction(openflow.BACBadArgument)},
		{"load without the field's prerequisites", everything, load(1, sub(openflow.UDPDst, 0, 16)), badAction(openflow.BACMatchInconsistent)},
		{"move from beyond a field", everything, move(sub(openflow.EthSrc, 40, 16), sub(openflow.Reg0, 0, 16)), badAction(openflow.BACBadArgument)},
		{"move without the source's prerequisites", everything, move(sub(openflow.IPv4Src, 0, 32), sub(openflow.Reg0, 0, 32)), badAction(openflow.BACMatchInconsistent)},
		{"move to a field that cannot be written", everything, move(sub(openflow.Reg0, 0, 32), sub(openflow.InPort, 0, 32)), badAction(openflow.BACBadArgument)},
		{"controller with a reason that is not there", everything, openflow.Action{Type: openflow.NXController, Reason: 9}, badAction(openflow.BACBadArgument)},
	} {
		cases = append(cases, conform{name: c.name, section: "Nicira", setup: setup(flow(c.match, apply(c.action))), fails: c.want})
	}
	check(t, cases)
}
