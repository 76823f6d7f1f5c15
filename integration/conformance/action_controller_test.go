package conformance

import (
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// toController is an output to CONTROLLER with a max_len.
func toController(maxLen uint16) openflow.Action {
	return openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: maxLen}
}

// TestPacketInWhole: a frame that the switch does not keep goes to the controller whole, whatever max_len says.
func TestPacketInWhole(t *testing.T) {
	f := frame(eth{}, ip4{}, udp{}, text(strings.Repeat("long ", 60)))
	dead := frame(eth{}, ip4{ttl: 1}, udp{}, text(strings.Repeat("long ", 60)))
	var cases []conform
	for _, n := range []uint16{0, 20, 128, 0xffe5, 0xffff} {
		cases = append(cases, conform{name: "max_len " + openflow.PortNo(n).String(), section: "7.4.1", setup: setup(flow(everything, apply(toController(n)))),
			probes: []probe{{in: f, ins: []packetIn{{reason: openflow.ReasonAction, data: f}}}}})
	}
	for _, n := range []uint16{0, 20, 0xffff} {
		cases = append(cases, conform{name: "miss_send_len " + openflow.PortNo(n).String(), section: "6.1.2", setup: setup(
			&openflow.SetConfig{SwitchConfig: openflow.SwitchConfig{MissSendLen: n}},
			flow(match(as(0x0800)...), apply(simple(openflow.ActionDecNwTTL), out(2))), miss(0, apply(toController(n)))),
			probes: []probe{
				{in: dead, ins: []packetIn{{reason: openflow.ReasonInvalidTTL, data: dead}}},
			}})
	}
	check(t, cases)
}

// TestPacketInBuffered: with buffers max_len bytes go, until there is no place left.
func TestPacketInBuffered(t *testing.T) {
	f := frame(eth{}, ip4{}, udp{}, text(strings.Repeat("long ", 60)))
	b := newBench(t, func(c *agent.BridgeConfig, _ *agent.Env) { c.Buffers = agent.BufferConfig{Number: 2, Age: time.Minute} })
	must(t, b.c.Apply(flow(match(eq(openflow.InPort, 1)), apply(toController(20))), flow(match(eq(openflow.InPort, 2)), apply(toController(0xffff)))))
	cut := packetIn{reason: openflow.ReasonAction, data: f[:20], total: len(f)}.line() + " buffered"
	whole := packetIn{reason: openflow.ReasonAction, data: f}.line()
	for i, want := range []string{cut, cut, whole} {
		must(t, b.inject(1, f, packet.Offload{}))
		if err := compare(b.take(), []string{want}); err != nil {
			t.Errorf("section 6.1.2, frame %d: %v", i, err)
		}
	}
	must(t, b.inject(2, f, packet.Offload{}))
	noBuffer := packetIn{reason: openflow.ReasonAction, data: f, fields: match(eq(openflow.InPort, 2))}.line()
	if err := compare(b.take(), []string{noBuffer}); err != nil {
		t.Errorf("section 7.2.5, OFPCML_NO_BUFFER: %v", err)
	}
}
