package conformance

import (
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// each is a frame leaving by several ports.
func each(f []byte, ports ...int) (list []sent) {
	for _, p := range ports {
		list = append(list, sent{port: p, frame: f})
	}
	return list
}

// TestOutput: the ports of section 4.5.
func TestOutput(t *testing.T) {
	f, back := frame(eth{}, ip4{}, udp{}), frame(eth{dst: macA, src: macB}, ip4{}, udp{})
	bpdu := frame(llc{dst: 0x0180c2000000, header: "42 42 03"}, text("spanning tree"))
	tagged := frame(eth{}, vlan{vid: 5}, ip4{}, udp{})
	in := packetIn{reason: openflow.ReasonAction, cookie: 0xabc, data: f}
	withCookie := func(m *openflow.FlowMod) *openflow.FlowMod { m.Cookie = 0xabc; return m }
	all := func(p openflow.PortNo) []openflow.Message { return setup(flow(everything, apply(out(p)))) }
	check(t, []conform{
		{name: "a port", section: "7.2.5", setup: all(3), probes: []probe{{in: f, out: to(3, f)}}},
		{name: "several ports", section: "7.2.5", setup: setup(flow(everything, apply(out(2), out(4), out(3)))), probes: []probe{{in: f, out: each(f, 2, 3, 4)}}},
		{name: "a port twice", section: "7.2.5", setup: setup(flow(everything, apply(out(2), out(2)))), probes: []probe{{in: f, out: each(f, 2, 2)}}},
		{name: "the port it came by, as a number", section: "4.5", setup: all(1), probes: []probe{{in: f}, {in: f, port: 2, out: to(1, f)}}},
		{name: "IN_PORT", section: "4.5", setup: all(openflow.PortInPort), probes: []probe{{in: f, out: to(1, f)}, {in: f, port: 3, out: to(3, f)}}},
		{name: "ALL", section: "4.5", setup: all(openflow.PortAll), probes: []probe{{in: f, out: each(f, 2, 3, 4)}, {in: f, port: 3, out: each(f, 1, 2, 4)}}},
		{name: "ALL and IN_PORT", section: "4.5", setup: setup(flow(everything, apply(out(openflow.PortAll), out(openflow.PortInPort)))), probes: []probe{{in: f, out: each(f, 1, 2, 3, 4)}}},
		{name: "FLOOD", section: "4.5", setup: all(openflow.PortFlood), probes: []probe{{in: f, out: each(f, 2, 3, 4)}, {in: tagged, out: each(tagged, 2, 3, 4)}}},
		{name: "CONTROLLER", section: "4.5", setup: setup(withCookie(flow(everything, apply(out(openflow.PortController))))), probes: []probe{{in: f, ins: []packetIn{in}}}},
		{name: "CONTROLLER and a port", section: "4.5", setup: setup(withCookie(flow(everything, apply(out(openflow.PortController), out(2))))), probes: []probe{{in: f, out: to(2, f), ins: []packetIn{in}}}},
		{name: "CONTROLLER between changes", section: "5.11", setup: setup(flow(everything, apply(pushC, out(openflow.PortController), popVLAN, out(2)))),
			probes: []probe{{in: f, out: to(2, f), ins: []packetIn{{reason: openflow.ReasonAction, data: frame(eth{}, vlan{}, ip4{}, udp{})}}}}},
		{name: "CONTROLLER in a later table", section: "7.4.1", setup: setup(flow(everything, writeMetadata(0xff00, 0xffff), goTo(9)), flowIn(9, everything, apply(out(openflow.PortController)))),
			probes: []probe{{in: f, ins: []packetIn{{reason: openflow.ReasonAction, table: 9, data: f, fields: match(eq(openflow.InPort, 1), eq(openflow.Metadata, 0xff00))}}}}},
		{name: "CONTROLLER with tunnel_id", section: "7.4.1", setup: setup(flow(everything, apply(set(openflow.TunnelID, 9), out(openflow.PortController)))),
			probes: []probe{{in: f, ins: []packetIn{{reason: openflow.ReasonAction, data: f, fields: match(eq(openflow.InPort, 1), eq(openflow.TunnelID, 9))}}}}},
		{name: "CONTROLLER of a table-miss entry in a later table", section: "5.4", setup: setup(flow(everything, goTo(9)), miss(9, apply(out(openflow.PortController)))),
			probes: []probe{{in: f, ins: []packetIn{{reason: openflow.ReasonNoMatch, table: 9, data: f}}}}},
		{name: "CONTROLLER of an entry of priority 0 with a match", section: "5.4", setup: setup(withPriority(0, flow(isV4, apply(out(openflow.PortController))))),
			probes: []probe{{in: f, ins: []packetIn{{reason: openflow.ReasonAction, data: f}}}}},
		{name: "CONTROLLER of an entry without a match and with a priority", section: "5.4", setup: setup(withPriority(1, flow(everything, apply(out(openflow.PortController))))),
			probes: []probe{{in: f, ins: []packetIn{{reason: openflow.ReasonAction, data: f}}}}},
		{name: "LOCAL of a bridge that has none", section: "4.5", setup: all(openflow.PortLocal), probes: []probe{{in: f}}},
		{name: "a port that is not there", section: "7.2.5", setup: all(77), probes: []probe{{in: f}}},
		{name: "NORMAL learns", section: "4.5", setup: all(openflow.PortNormal), once: true,
			probes: []probe{{in: f, out: each(f, 2, 3, 4)}, {in: back, port: 3, out: to(1, back)}, {in: f, out: to(3, f)}, {in: f, port: 3}, {in: bpdu}}},
		{name: "nothing at all", section: "5.9", setup: setup(flow(everything)), probes: []probe{{in: f}}},
		{name: "an empty apply", section: "5.9", setup: setup(flow(everything, apply())), probes: []probe{{in: f}}},
		{name: "TABLE in an entry", section: "4.5", setup: all(openflow.PortTable), fails: badAction(openflow.BACBadOutPort)},
		{name: "ANY", section: "7.2.1", setup: all(openflow.PortAny), fails: badAction(openflow.BACBadOutPort)},
		{name: "port 0", section: "7.2.1", setup: all(0), fails: badAction(openflow.BACBadOutPort)},
		{name: "a reserved port that is undefined", section: "7.2.1", setup: all(0xffffff01), fails: badAction(openflow.BACBadOutPort)},
	})
}

func withPriority(n uint16, m *openflow.FlowMod) *openflow.FlowMod { m.Priority = n; return m }

// TestPacketOut: section 7.3.7, what a controller sends.
func TestPacketOut(t *testing.T) {
	f := frame(eth{}, ip4{}, udp{})
	for _, change := range [][]options{nil, {withoutCache}} {
		b := newBench(t, change...)
		must(t, b.c.Apply(flow(match(eq(openflow.InPort, 2)), apply(out(3))), flow(match(eq(openflow.InPort, uint64(openflow.PortController))), apply(out(4))), flow(isLabel, apply(out(1)))))
		for _, c := range []struct {
			name string
			in   openflow.PortNo
			list []openflow.Action
			want []sent
		}{
			{"to a port", openflow.PortController, do(out(2)), to(2, f)},
			{"to ALL", openflow.PortController, do(out(openflow.PortAll)), each(f, 1, 2, 3, 4)},
			{"to ALL from a port", 2, do(out(openflow.PortAll)), each(f, 1, 3, 4)},
			{"to FLOOD from a port", 2, do(out(openflow.PortFlood)), each(f, 1, 3, 4)},
			{"to IN_PORT", 2, do(out(openflow.PortInPort)), to(2, f)},
			{"to IN_PORT of nobody", openflow.PortController, do(out(openflow.PortInPort)), nil},
			{"to its own port", 2, do(out(2)), nil},
			{"to TABLE", 2, do(out(openflow.PortTable)), to(3, f)},
			{"to TABLE from the controller", openflow.PortController, do(out(openflow.PortTable)), to(4, f)},
			{"to TABLE and a port", 2, do(out(openflow.PortTable), out(1)), []sent{{port: 1, frame: f}, {port: 3, frame: f}}},
			{"changed, then to TABLE", 1, do(pushMPLS, out(openflow.PortTable)), nil}, // from port 1 to port 1
			{"changed, then to TABLE, elsewhere", 3, do(pushMPLS, out(openflow.PortTable)), to(1, frame(eth{}, mpls{}, ip4{}, udp{}))},
			{"no action", openflow.PortController, nil, nil},
			{"changed", openflow.PortController, do(pushC, out(2), set(openflow.VLANVID, 0x1005), out(3)), []sent{{port: 2, frame: frame(eth{}, vlan{}, ip4{}, udp{})}, {port: 3, frame: frame(eth{}, vlan{vid: 5}, ip4{}, udp{})}}},
		} {
			must(t, b.packetOut(c.in, f, c.list...))
			if err := compare(b.take(), (&probe{out: c.want}).want()); err != nil {
				t.Errorf("section 7.3.6, %s: %v", c.name, err)
			}
		}
		for _, c := range []struct {
			name string
			m    *openflow.PacketOut
			code uint16
		}{
			{"in_port ANY in TABLE", &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortAll, Data: f}, openflow.BRCBadPort},
			{"a buffer that is not there", &openflow.PacketOut{BufferID: 7, InPort: 1}, openflow.BRCBufferUnknown},
			{"no frame", &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: 1}, openflow.BRCBadPacket},
		} {
			if err := wantError(b.c.Apply(c.m), failure(openflow.ErrBadRequest, c.code)); err != nil {
				t.Errorf("section 7.3.6, %s: %v", c.name, err)
			}
		}
		b.take()
	}
}
