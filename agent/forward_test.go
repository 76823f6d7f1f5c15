package agent

import (
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// stuffed is a port that always has the same frames to give and swallows what is written.
type stuffed struct {
	frame   []byte
	left    int
	written int
	writes  int
}

func (s *stuffed) Wait() error      { return ports.ErrClosed }
func (s *stuffed) Info() ports.Info { return ports.Info{LinkUp: true, Present: true, AdminUp: true} }
func (s *stuffed) Close() error     { return nil }

func (s *stuffed) Read(frames []*packet.Frame) (int, error) {
	n := min(s.left, len(frames))
	s.left -= n
	for _, f := range frames[:n] {
		f.SetLen(copy(f.Room(), s.frame))
	}
	return n, nil
}

func (s *stuffed) Write(frames []*packet.Frame) int {
	s.writes++
	s.written += len(frames)
	return len(frames)
}

// stuff makes a stuffed port part of the switch, without a goroutine of its own.
func stuff(b *bench, no uint32) (*stuffed, *inlet) {
	dev := &stuffed{frame: frame(2, 1, "x")}
	p := &port{number: no, name: "s" + string(rune('0'+no)), dev: dev, counters: new(ports.Counters), done: make(chan struct{})}
	b.sw.mu.Lock()
	defer b.sw.mu.Unlock()
	p.slot = b.sw.takeSlot()
	p.inlets()
	b.sw.table.Store(b.sw.table.Load().with(p))
	b.sw.publishPorts()
	return dev, p.inlets()[0]
}

func oneWorker(_ *BridgeConfig, e *Env) { e.Workers = 1 }

// TestForwardingAllocatesNothing: neither a learned address nor an entry with several outputs costs
// memory once the buffers are there.
func TestForwardingAllocatesNothing(t *testing.T) {
	b := newBench(t, 0, oneWorker)
	in, p := stuff(b, 1)
	out, _ := stuff(b, 2)
	stuff(b, 3)
	w := b.sw.allWorkers[0]
	for name, entry := range map[string]*openflow.FlowMod{
		"NORMAL": add(1, openflow.Match{}, openflow.Output(openflow.PortNormal)),
		"rewrite and two outputs": add(2, openflow.Match{}, openflow.Output(3),
			openflow.SetField(openflow.EthDst, 0x020000000009), openflow.Output(2)),
	} {
		if _, err := b.sw.pipe.FlowMod(0, entry); err != nil {
			t.Fatal(err)
		}
		b.sw.pipe.Publish()
		run := func() {
			in.left = batchSize
			w.serve(p, maxRounds)
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations for a batch of %d", name, n, batchSize)
		}
	}
	if out.written == 0 || out.written%batchSize != 0 || out.writes != out.written/batchSize {
		t.Errorf("%d frames in %d writes: want one write a batch", out.written, out.writes)
	}
}

// TestPortsTakeTurns: a port that always has frames gives the worker back.
func TestPortsTakeTurns(t *testing.T) {
	b := newBench(t, 0, oneWorker)
	in, p := stuff(b, 1)
	in.left = 10 * maxRounds * batchSize
	b.sw.allWorkers[0].serve(p, maxRounds)
	if took := 10*maxRounds*batchSize - in.left; took != maxRounds*batchSize {
		t.Errorf("one turn took %d frames, want %d", took, maxRounds*batchSize)
	}
}

func TestRuntsAreCounted(t *testing.T) {
	b := newBench(t, 0, oneWorker)
	in, p := stuff(b, 1)
	out, _ := stuff(b, 2)
	in.frame, in.left = []byte{1, 2, 3}, 5
	b.sw.allWorkers[0].serve(p, maxRounds)
	if n := b.sw.Status().Drops["runt"]; n != 5 || out.written != 0 {
		t.Errorf("%d runts counted, %d frames forwarded", n, out.written)
	}
}

func TestPortTable(t *testing.T) {
	var tab = new(portTable)
	numbers := []uint32{1, 255, 256, 65279, uint32(openflow.PortLocal), 7}
	for i, n := range numbers {
		tab = tab.with(&port{number: n, slot: i, name: openflow.PortNo(n).String()})
	}
	before := tab
	after := tab.without(256)
	for _, n := range numbers {
		if p := before.get(n); p == nil || p.number != n {
			t.Errorf("port %d: %v", n, p)
		}
		if p := after.get(n); (p == nil) != (n == 256) {
			t.Errorf("port %d after 256 was taken out: %v", n, p)
		}
	}
	for _, n := range []uint32{0, 2, 65280, 65535, 65536, 0xffffff00, uint32(openflow.PortAny), uint32(openflow.PortController)} {
		if p := before.get(n); p != nil {
			t.Errorf("port %d: %v", n, p)
		}
	}
	for i := 1; i < len(before.list); i++ {
		if before.list[i-1].number >= before.list[i].number {
			t.Error("the list is not in order of number")
		}
	}
	if before.slots != 6 || before.named("LOCAL") == nil || before.named("nobody") != nil {
		t.Errorf("slots %d", before.slots)
	}
}

// stuffedPair is a learning switch whose only worker takes frames for station 2 from the port p, which the
// device in feeds; station 2 is known.
func stuffedPair(b *testing.B) (sw *Switch, in *stuffed, p *inlet, w *worker) {
	b.Helper()
	sw, err := NewSwitch(testConfig(), Env{Workers: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { sw.Close() })
	if err := sw.installMissEntry(sw.cfg.TableMiss); err != nil {
		b.Fatal(err)
	}
	be := &bench{sw: sw}
	in, p = stuff(be, 1)
	out, q := stuff(be, 2)
	out.frame, out.left = frame(1, 2, ""), 1
	w = sw.allWorkers[0]
	w.serve(q, maxRounds) // teaches where station 2 is
	return sw, in, p, w
}

func BenchmarkForwardNormal(b *testing.B) {
	_, in, p, w := stuffedPair(b)
	for b.Loop() {
		in.left = batchSize
		w.serve(p, maxRounds)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchSize, "ns/frame")
}
