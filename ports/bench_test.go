package ports

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
)

// frameBatch is what a worker writes at once.
func frameBatch(n, size int) []*packet.Frame {
	frames := make([]*packet.Frame, n)
	for i := range frames {
		frames[i] = frameOf(ethernet(byte(i), size))
	}
	return frames
}

// BenchmarkPipe writes and reads batches of 32 in one goroutine.
func BenchmarkPipe(b *testing.B) {
	for _, size := range []int{60, 1514, 65000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p, q := NewPipe("p", Options{}, Options{})
			out, in := frameBatch(32, size), frameBatch(32, 60)
			b.SetBytes(int64(size))
			for n := 0; n < b.N; n += len(out) {
				p.Write(out)
				q.Read(in)
			}
		})
	}
}

// BenchmarkWire sends through a pair of wires and reads at the far end; what a
// slow reader makes the sender drop is not counted as done.
func BenchmarkWire(b *testing.B) {
	for _, network := range []string{"unix", "tcp", "udp"} {
		b.Run(network, func(b *testing.B) {
			ring := make(bell, 1)
			var p, q Port
			if network == "udp" {
				x, y := freePort(b, "udp"), freePort(b, "udp")
				p = openPort(b, "wire:udp,name=p,local="+x+",remote="+y, Options{})
				q = openPort(b, "wire:udp,name=q,local="+y+",remote="+x, Options{})
			} else {
				addr := filepath.Join(b.TempDir(), "s")
				if network == "tcp" {
					addr = freePort(b, "tcp")
				}
				p = openPort(b, "wire:"+network+",name=p,listen="+addr, Options{OnChange: ring.ring})
				q = openPort(b, "wire:"+network+",name=q,connect="+addr, Options{})
				waitLink(b, p, ring, true)
			}
			b.SetBytes(1514)
			b.ResetTimer()
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for out := frameBatch(32, 1514); ; {
					select {
					case <-stop:
						return
					default:
						p.Write(out)
					}
				}
			}()
			in := frameBatch(64, 60)
			for n := 0; n < b.N; {
				if q.Wait() != nil {
					b.Fatal("closed")
				}
				k, _ := q.Read(in)
				n += k
			}
			b.StopTimer()
			close(stop)
			<-done
		})
	}
}

// BenchmarkPcapRecord records batches of 32 into a file.
func BenchmarkPcapRecord(b *testing.B) {
	p := openPort(b, "pcap:out="+filepath.Join(b.TempDir(), "r.pcapng"), Options{})
	out := frameBatch(32, 1514)
	b.SetBytes(1514)
	for n := 0; n < b.N; n += len(out) {
		p.Write(out)
	}
}
