package flowtable

import (
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// copies is an action list that makes n changed copies of a frame: each output promises the bytes
// as they are, so that the next change needs other ones.
func copies(n int) openflow.Instruction {
	var list []openflow.Action
	for i := range n + 1 {
		list = append(list, openflow.SetField(openflow.EthDst, uint64(i+1)), openflow.Output(2))
	}
	return openflow.ApplyActions(list...)
}

// weight are the bytes of the buffers that a processor holds.
func (pr *Processor) weight() (n int) {
	for _, f := range append(pr.scratch[:cap(pr.scratch):cap(pr.scratch)], pr.bulk[:cap(pr.bulk)]...) {
		if f != nil {
			n += len(f.Room())
		}
	}
	return n
}

// peak is a sink that notes the most memory a processor held at any output.
type peak struct {
	nowhere
	pr   *Processor
	most int
}

func (p *peak) Output(port, queue uint32, f *packet.Frame) {
	p.nowhere.Output(port, queue, f)
	if p.outputs%100 == 0 {
		p.most = max(p.most, p.pr.weight())
	}
}

// TestCopiesAreBoundByBytes: a batch of super-frames that asks for thousands of copies gets those that
// fit into the bytes of one batch; the rest is dropped and counted, and nothing big is kept.
func TestCopiesAreBoundByBytes(t *testing.T) {
	big := build(ethernet{dst: "2", src: "1"}, layers.EthernetTypeIPv4, ip4(1, 2, 64, layers.IPProtocolUDP),
		gopacket.Payload(make([]byte, 65000)))
	for _, in := range []struct {
		name   string
		bytes  []byte
		copies int // of each frame
		want   int // outputs of a batch of 64
	}{
		{"super-frames", big, 60, 64 + maxScratchBytes/bulkRoom},
		{"super-frames in reason", big, 4, 64 * 5},
		{"small frames", udpFrame(ethernet{dst: "2", src: "1"}, 64, 1, 2), 60, 64 * 61},
	} {
		t.Run(in.name, func(t *testing.T) {
			r := newRig(t, Config{}, upPorts(2))
			r.flow(0, 1, inPort(1), copies(in.copies))
			for round := range 3 {
				batch := make([]*packet.Frame, 64)
				for i := range batch {
					batch[i] = frameOf(1, in.bytes)
				}
				s := &peak{pr: r.proc}
				before := r.Drops()[DropTooManyCopies]
				r.proc.Process(0, batch, s)
				dropped := r.Drops()[DropTooManyCopies] - before
				if s.outputs != in.want || (dropped > 0) != (in.want < 64*(in.copies+1)) {
					t.Errorf("round %d: %d outputs, want %d; %d frames cut short", round, s.outputs, in.want, dropped)
				}
				if s.most > maxScratchBytes+1<<20 {
					t.Errorf("round %d: %d MB of copies", round, s.most>>20)
				}
				if n := r.proc.weight(); n > keepScratch*keepRoom {
					t.Errorf("round %d: %d bytes kept for the next batch", round, n)
				}
				if n := len(r.bulk); n > keepBulk {
					t.Errorf("round %d: %d buffers for super-frames kept", round, n)
				}
				for _, f := range r.proc.scratch {
					if len(f.Room()) > keepRoom {
						t.Fatalf("round %d: a buffer of %d bytes is kept", round, len(f.Room()))
					}
				}
			}
		})
	}
}

// TestBigCopiesAllocateNothing: copies of jumbo frames and of super-frames have their memory from the last batch.
func TestBigCopiesAllocateNothing(t *testing.T) {
	for _, n := range []int{8980, 60000} {
		bigCopies(t, n)
	}
}

func bigCopies(t *testing.T, n int) {
	t.Helper()
	r := newRig(t, Config{}, upPorts(2))
	r.flow(0, 1, inPort(1), copies(2))
	jumbo := build(ethernet{dst: "2", src: "1"}, layers.EthernetTypeIPv4, ip4(1, 2, 64, layers.IPProtocolUDP), gopacket.Payload(make([]byte, n)))
	f, s := frameOf(1, jumbo), new(nowhere)
	if allocs := testing.AllocsPerRun(100, func() {
		f.SetBytes(jumbo)
		r.proc.Process(0, []*packet.Frame{f}, s)
	}); allocs != 0 {
		t.Errorf("%v allocations a batch", allocs)
	}
}
