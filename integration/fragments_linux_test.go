package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/lab"
)

// TestReassembleOnVeth: the flows know echo requests, echo replies and a UDP port, and drop everything else, as the
// later fragments of a datagram are for them. Large pings and datagrams of real hosts pass once the switch puts them
// together, and hosts with an MTU of 1500 understand what it sends.
func TestReassembleOnVeth(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	h := b.addHosts(2)
	b.start1("--fail-mode", "secure", "--port", "1:eth1", "--port", "2:eth2")
	for _, f := range []string{
		"arp,actions=flood", "icmp6,icmp_type=135,actions=flood", "icmp6,icmp_type=136,actions=flood",
		"icmp,nw_frag=no,icmp_type=8,actions=output:2", "icmp,nw_frag=no,icmp_type=0,actions=output:1",
		"icmp6,nw_frag=no,icmp_type=128,actions=output:2", "icmp6,nw_frag=no,icmp_type=129,actions=output:1",
		"udp,nw_frag=no,actions=output:2",
	} {
		b.ofctl("add-flow", "br0", f)
	}
	for _, to := range []*lab.Host{h[1]} {
		if _, err := h[0].Ping(to.Addr4(), 500, patience); err != nil {
			t.Fatal(err)
		}
		if _, err := h[0].Ping(to.Addr4(), 5000, time.Second); err == nil {
			t.Error("fragments met flows for whole packets")
		}
		b.ofctl("set-frags", "br0", "reassemble")
		if got := strings.TrimSpace(b.ofctl("get-frags", "br0")); got != "reassemble" {
			t.Errorf("get-frags says %q", got)
		}
		for _, size := range []int{1472, 1473, 5000, 60000} {
			if _, err := h[0].Ping(to.Addr4(), size, patience); err != nil {
				t.Error(err)
			}
			if _, err := h[0].Ping(to.Addr6(), size, patience); err != nil {
				t.Error(err)
			}
		}
	}
	s, err := lab.StartStream(h[0].Space, h[1].Space, h[1].Addr4(), 200, 4000)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "100 datagrams", func() error {
		if r := s.Report(); r.Received < 100 {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	if r := s.Stop(); r.Lost() != 0 {
		t.Errorf("datagrams in fragments: %v", r)
	}
	t.Log(b.must(b.bin, "status", "br0"))
}
