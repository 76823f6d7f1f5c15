package agent

import (
	"net"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// BenchmarkFlowMods adds entries with different exact matches over a TCP connection, 10 000 to a barrier.
func BenchmarkFlowMods(b *testing.B) {
	sw, err := NewSwitch(testConfig(), Env{})
	if err != nil {
		b.Fatal(err)
	}
	defer sw.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		nc, err := ln.Accept()
		if err == nil {
			sw.Serve(nc)
		}
	}()
	c, err := oftest.Dial("tcp", ln.Addr().String(), oftest.Config{Timeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	n := uint64(0)
	for b.Loop() {
		for range 10_000 {
			n++
			m := add(10, openflow.NewMatch(openflow.Exact(openflow.InPort, 1), openflow.Exact(openflow.EthDst, n)), openflow.Output(2))
			if err := c.Conn().Queue(uint32(n), m); err != nil {
				b.Fatal(err)
			}
		}
		if err := c.Barrier(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/flow-mod")
}
