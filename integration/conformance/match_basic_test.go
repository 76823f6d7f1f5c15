package conformance

import (
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestMatchPort: the fields of the way in.
func TestMatchPort(t *testing.T) {
	f := frame(eth{}, ip4{}, udp{})
	check(t, []conform{
		{name: "in_port", section: "7.2.3.8", setup: setup(flow(match(eq(openflow.InPort, 2)), apply(out(3)))),
			probes: []probe{{in: f, port: 2, out: to(3, f)}, {in: f, port: 1}}},
		{name: "in_port unknown to the switch", section: "7.2.3.8", setup: setup(flow(match(eq(openflow.InPort, 77)), apply(out(3)))),
			probes: []probe{{in: f}}},
		{name: "in_port CONTROLLER", section: "4.5", setup: setup(flow(match(eq(openflow.InPort, uint64(openflow.PortController))), apply(out(3)))),
			probes: []probe{{in: f}}},
		{name: "in_phy_port is the port where that is physical", section: "7.2.3.8", setup: setup(
			flow(match(eq(openflow.InPort, 2), eq(openflow.InPhyPort, 2)), apply(out(3)))),
			probes: []probe{{in: f, port: 2, out: to(3, f)}, {in: f, port: 1}}},
		{name: "in_phy_port is no other", section: "7.2.3.8", setup: setup(
			flow(match(eq(openflow.InPort, 2), eq(openflow.InPhyPort, 1)), apply(out(3)))),
			probes: []probe{{in: f, port: 2}, {in: f, port: 1}}},
		{name: "tunnel_id is zero without a tunnel", section: "7.2.3.8", setup: setup(flow(match(eq(openflow.TunnelID, 0)), apply(out(3)))),
			probes: []probe{{in: f, out: to(3, f)}}},
		{name: "tunnel_id", section: "7.2.3.8", setup: setup(flow(match(eq(openflow.TunnelID, 1)), apply(out(3)))), probes: []probe{{in: f}}},
		{name: "tunnel_id set, then matched", section: "7.2.5", setup: setup(
			flow(everything, apply(set(openflow.TunnelID, 0x123456789abcdef0)), goTo(1)),
			flowIn(1, match(masked(openflow.TunnelID, 0x1230000000000000, 0xfff0000000000000)), apply(out(3)))),
			probes: []probe{{in: f, out: to(3, f)}}},
		{name: "metadata is zero in the first table", section: "5.9", setup: setup(flow(match(eq(openflow.Metadata, 0)), apply(out(3)))),
			probes: []probe{{in: f, out: to(3, f)}}},
		{name: "metadata in the first table", section: "5.9", setup: setup(flow(match(eq(openflow.Metadata, 1)), apply(out(3)))), probes: []probe{{in: f}}},
		{name: "an empty match", section: "5.3", setup: setup(flow(everything, apply(out(3)))), probes: []probe{{in: f, out: to(3, f)}, {in: frame(eth{}, raw{}), out: to(3, frame(eth{}, raw{}))}}},
		{name: "miss", section: "5.4", setup: setup(miss(0, apply(out(openflow.PortController)))),
			probes: []probe{{in: f, ins: []packetIn{{data: f}}}}},
		{name: "no entry at all", section: "5.4", probes: []probe{{in: f}}},
		{name: "the highest priority", section: "5.3", setup: setup(
			miss(0, apply(out(2))), flow(match(as(0x0800)...), apply(out(3))), flow(matchAs(as(0x0800), eq(openflow.IPProto, 17)), apply(out(4)))),
			once: true, probes: []probe{{in: frame(eth{}, ip4{}, tcp{}), out: to(3, frame(eth{}, ip4{}, tcp{}))}, {in: frame(eth{}, arp{}), out: to(2, frame(eth{}, arp{}))}}},
	})
}

// TestMatchPipelineErrors: fields that are in no header.
func TestMatchPipelineErrors(t *testing.T) {
	var cases []conform
	for _, c := range []struct {
		name  string
		match []byte
		code  uint16
	}{
		{"in_port with a mask", ofMasked(0, "00000001", "ffffffff"), openflow.BMCBadMask},
		{"in_port twice", join(of(0, "00000001"), of(0, "00000001")), openflow.BMCDupField},
		{"in_port of two bytes", of(0, "0001"), openflow.BMCBadLen},
		{"in_port that is reserved and undefined", of(0, "ffffff01"), openflow.BMCBadValue},
		{"in_phy_port alone", of(1, "00000001"), openflow.BMCBadPrereq},
		{"in_phy_port before in_port", join(of(1, "00000001"), of(0, "00000001")), openflow.BMCBadPrereq},
		{"in_phy_port with a mask", join(of(0, "00000001"), ofMasked(1, "00000001", "ffffffff")), openflow.BMCBadMask},
		{"metadata outside its mask", ofMasked(2, "0000000000000003", "0000000000000001"), openflow.BMCBadWildcards},
		{"metadata of four bytes", of(2, "00000001"), openflow.BMCBadLen},
		{"metadata twice", join(of(2, "0000000000000001"), of(2, "0000000000000001")), openflow.BMCDupField},
		{"tunnel_id outside its mask", ofMasked(38, "0000000000000003", "0000000000000001"), openflow.BMCBadWildcards},
		{"tunnel_id of 24 bits", of(38, "000001"), openflow.BMCBadLen},
		{"a field of the basic class that is not there", of(63, "00"), openflow.BMCBadField},
		{"the number after the last one", of(40, "0000"), openflow.BMCBadField},
		{"an unknown class", oxm(0x8002, 0, u32(1), nil), openflow.BMCBadField},
		{"a class for members without such a field", oxm(0x0001, 127, u32(1), nil), openflow.BMCBadField},
		{"an unknown experimenter", oxm(0xffff, 0, join(u32(0x12345678), u32(1)), nil), openflow.BMCBadField},
		{"an experimenter class without experimenter", oxm(0xffff, 0, u16(1), nil), openflow.BMCBadLen},
		{"half a header", []byte{0x80, 0x00, 0x06}, openflow.BMCBadLen},
		{"a value that is not there", []byte{0x80, 0x00, 0x0a, 0x02}, openflow.BMCBadLen},
		{"dscp that is not a number of six bits", join(of(5, "0800"), of(8, "40")), openflow.BMCBadValue},
		{"ecn of three bits", join(of(5, "0800"), of(9, "04")), openflow.BMCBadValue},
		{"a register and its pair", join(oxm(1, 0, u32(1), nil), oxm(0x8001, 0, zeros(8), nil)), openflow.BMCDupField},
	} {
		cases = append(cases, conform{name: c.name, section: "7.4.4", raw: rawFlow(c.match), fails: badMatch(c.code)})
	}
	outputs := rawInstruction(4, join(zeros(4), rawOutput(2)))
	for _, c := range []struct {
		name  string
		bytes []byte
		code  uint16
	}{
		{"the match of OpenFlow 1.1", join(u16(0), u16(88), zeros(84)), openflow.BMCBadType},
		{"an unknown type of match", join(u16(2), u16(4), zeros(4)), openflow.BMCBadType},
		{"a match shorter than its header", join(u16(1), u16(3), zeros(4)), openflow.BMCBadLen},
		{"a match longer than the message", join(u16(1), u16(400), zeros(4)), openflow.BMCBadLen},
	} {
		cases = append(cases, conform{name: c.name, section: "7.4.4", raw: rawFlowOf(c.bytes, outputs), fails: badMatch(c.code)})
	}
	check(t, cases)
}

// TestMatchWhole: a match may hold many fields at once, in any order that prerequisites allow.
func TestMatchWhole(t *testing.T) {
	f := frame(eth{}, vlan{vid: 5, pcp: 3}, ip4{dscp: 10, ecn: 1}, tcp{flags: 2}, text(strings.Repeat("x", 9)))
	off := frame(eth{}, vlan{vid: 5, pcp: 3}, ip4{dscp: 10, ecn: 1}, tcp{flags: 3}, text(strings.Repeat("x", 9)))
	whole := join(of(0, "00000001"), of(1, "00000001"), of(2, "0000000000000000"), of(3, "020000000002"), of(4, "020000000001"), of(6, "1005"), of(7, "03"),
		of(5, "0800"), of(8, "0a"), of(9, "01"), of(10, "06"), of(11, "0a000001"), of(12, "0a000002"), of(13, "03e8"), of(14, "07d0"), of(38, "0000000000000000"),
		oxm(0xffff, 42, join(u32(0x4f4e4600), u16(2)), nil))
	late := join(of(38, "0000000000000000"), of(5, "0800"), of(10, "06"), of(14, "07d0"), of(12, "0a000002"), of(6, "1005"), of(3, "020000000002"), of(0, "00000001"))
	check(t, []conform{
		{name: "all fields of a TCP segment", section: "7.2.3.7", raw: rawFlow(whole), probes: []probe{{in: f, out: to(2, f)}, {in: off}, {in: f, port: 3}}},
		{name: "another order", section: "7.2.3.6", raw: rawFlow(late), probes: []probe{{in: f, out: to(2, f)}, {in: off, out: to(2, off)}, {in: f, port: 3}}},
	})
}

// TestMatchRegisters: Nicira's fields that no frame brings along.
func TestMatchRegisters(t *testing.T) {
	f := frame(eth{}, ip4{}, udp{})
	var cases []conform
	for n := range openflow.FieldID(16) {
		reg := openflow.Reg0 + n
		cases = append(cases, conform{name: reg.String(), section: "Nicira", setup: setup(
			flow(match(eq(reg, 0)), apply(set(reg, 0xa0b0c000+uint64(n))), goTo(1)),
			flowIn(1, match(eq(reg, 0xa0b0c000+uint64(n))), apply(out(2))),
			flowIn(1, match(eq(openflow.Reg0+(n+1)%16, 0xa0b0c000+uint64(n))), apply(out(3)))),
			probes: []probe{{in: f, out: to(2, f)}}})
	}
	for n := range openflow.FieldID(8) {
		xreg := openflow.XReg0 + n
		cases = append(cases, conform{name: xreg.String(), section: "Nicira", setup: setup(
			flow(everything, apply(set(xreg, 0x1111111122222222)), goTo(1)),
			flowIn(1, match(eq(openflow.Reg0+2*n, 0x11111111), masked(openflow.Reg0+2*n+1, 0x2222, 0xffff)), apply(out(2)))),
			probes: []probe{{in: f, out: to(2, f)}}})
	}
	cases = append(cases,
		conform{name: "pkt_mark", section: "Nicira", setup: setup(
			flow(match(eq(openflow.PktMark, 0)), apply(set(openflow.PktMark, 0x80000001)), goTo(1)), flowIn(1, match(masked(openflow.PktMark, 1, 3)), apply(out(2)))),
			probes: []probe{{in: f, out: to(2, f)}}},
		conform{name: "actset_output unset", section: "Nicira", setup: setup(
			flow(everything, goTo(1)), flowIn(1, match(eq(openflow.ActsetOutput, 0xfffffff7)), apply(out(2)))),
			probes: []probe{{in: f, out: to(2, f)}}},
		conform{name: "actset_output", section: "Nicira", setup: setup(
			flow(everything, write(out(4)), goTo(1)), flowIn(1, match(eq(openflow.ActsetOutput, 4)), write(out(3)), goTo(2)),
			flowIn(2, match(eq(openflow.ActsetOutput, 3)), clearActions(), apply(out(2)), goTo(3)),
			flowIn(3, match(eq(openflow.ActsetOutput, 0xfffffff7)), apply(out(4)))),
			probes: []probe{{in: f, out: []sent{{port: 2, frame: f}, {port: 4, frame: f}}}}},
		conform{name: "registers are empty for the next frame", section: "Nicira", setup: setup(
			flow(match(eq(openflow.InPort, 2)), apply(set(openflow.Reg0, 7)), goTo(1)), flow(match(eq(openflow.InPort, 1)), goTo(1)),
			flowIn(1, match(eq(openflow.Reg0, 7)), apply(out(3))), flowIn(1, match(eq(openflow.Reg0, 0)), apply(out(4)))),
			probes: []probe{{in: f, port: 2, out: to(3, f)}, {in: f, out: to(4, f)}}},
	)
	check(t, cases)
}
