package conformance

import (
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestMatchTypes: eth_type is that of the payload, in whatever form the header comes (section 7.2.3.8).
func TestMatchTypes(t *testing.T) {
	var cases []conform
	for _, c := range []struct {
		name string
		typ  uint64
		in   []byte
	}{
		{"SNAP", 0x0800, frame(snapEth(), ip4{}, udp{})},
		{"LLC", 0x05ff, frame(llc{header: "42 42 03"}, text("spanning tree"))},
		{"PBB", 0x88e7, frame(eth{}, itag{isid: 5}, eth{}, ip4{}, udp{})},
		{"IPv6", 0x86dd, frame(eth{}, ip6{}, fragment{}, nd{})},
		{"IPv6 with AH", 0x86dd, frame(eth{}, ip6{}, auth(), icmp6{})},
	} {
		cases = append(cases, conform{name: c.name, section: "7.2.3.8", setup: setup(flow(match(eq(openflow.EthType, c.typ)), apply(out(2)))),
			probes: []probe{{in: c.in, out: to(2, c.in)}}})
	}
	check(t, cases)
}
