package conformance

import (
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
		{name: "miss", section: "5.4", setup: setup(miss(0, apply(out(openflow.PortController)))),
			probes: []probe{{in: f, ins: []packetIn{{data: f}}}}},
		{name: "in_port reserved", section: "7.2.1", setup: setup(flow(match(eq(openflow.InPort, 0xffffff01)))), fails: badMatch(openflow.BMCBadValue)},
	})
}
