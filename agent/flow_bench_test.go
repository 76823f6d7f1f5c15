package agent

import (
	"net"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// BenchmarkFlowMods adds 100 000 entries over a TCP connection, to the barrier, and deletes them: all of
// one mask, or of eight masks with eight priorities.
func BenchmarkFlowMods(b *testing.B) {
	const n = 100_000
	ip, udp := openflow.Exact(openflow.EthType, 0x0800), openflow.Exact(openflow.IPProto, 17)
	for _, set := range []struct {
		name string
		mod  func(i int) *openflow.FlowMod
	}{
		{"same", func(i int) *openflow.FlowMod {
			return add(100, openflow.NewMatch(ip, openflow.Exact(openflow.IPv4Src, uint64(i)), openflow.Exact(openflow.IPv4Dst, uint64(i)*7)), openflow.Output(2))
		}},
		{"mixed", func(i int) *openflow.FlowMod {
			fields := []openflow.Field{ip, udp, openflow.Exact(openflow.IPv4Src, uint64(i))}
			for j, f := range []openflow.FieldID{openflow.IPv4Dst, openflow.UDPSrc, openflow.UDPDst} {
				if i>>j&1 != 0 {
					fields = append(fields, openflow.Exact(f, uint64(i&0xffff)))
				}
			}
			return add(uint16(100+i/8%8), openflow.NewMatch(fields...), openflow.Output(2))
		}},
	} {
		b.Run(set.name, func(b *testing.B) {
			var stream []byte
			for i := range n {
				stream = openflow.Append(stream, 1, set.mod(i))
			}
			c := dialed(b)
			b.ReportAllocs()
			var spent time.Duration
			for b.Loop() {
				start := time.Now()
				if _, err := c.Conn().NetConn().Write(stream); err != nil {
					b.Fatal(err)
				}
				if err := c.Barrier(); err != nil {
					b.Fatal(err)
				}
				spent += time.Since(start)
				if err := c.Apply(&openflow.FlowMod{Command: openflow.FlowDelete, TableID: openflow.TableAll,
					BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*n), "ns/add")
		})
	}
}

// dialed is a controller on a switch of its own, over TCP.
func dialed(b *testing.B) *oftest.Controller {
	b.Helper()
	sw, err := NewSwitch(testConfig(), Env{})
	if err != nil {
		b.Fatal(err)
	}
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
	b.Cleanup(func() { c.Close(); sw.Close(); ln.Close() })
	return c
}
