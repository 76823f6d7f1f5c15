package agent

import (
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// halted is a worker's sink that stands still at the first output until it is let go: what happens
// meanwhile happens while a batch is under way.
type halted struct {
	flowtable.Sink
	at, on chan struct{}
	seen   bool
}

func (h *halted) Output(port, queue uint32, f *packet.Frame) {
	if !h.seen {
		h.seen = true
		close(h.at)
		<-h.on
	}
	h.Sink.Output(port, queue, f)
}

// halt starts a batch of frames from port 1 on a worker of the switch, as round does, and returns
// when it stands still. Calling on lets it go; ended is closed when it is over.
func halt(b *bench, frames ...[]byte) (on func(), ended chan struct{}) {
	b.t.Helper()
	h := &halted{at: make(chan struct{}), on: make(chan struct{})}
	ended = make(chan struct{})
	list := make([]*packet.Frame, len(frames))
	for i, bytes := range frames {
		list[i] = packet.NewFrame(len(bytes))
		list[i].SetBytes(bytes)
		list[i].InPort = 1
	}
	go func() {
		defer close(ended)
		w := <-b.sw.workers
		h.Sink = w
		w.batch.Add(1)
		w.begin()
		w.proc.Process(w.now, list, h)
		w.flush()
		w.batch.Add(1)
		b.sw.workers <- w
	}()
	select {
	case <-h.at:
	case <-time.After(inTime):
		b.t.Fatal("the batch puts nothing out")
	}
	return sync.OnceFunc(func() { close(h.on) }), ended
}

// TestFlowRemovedCountsBatchUnderWay: an entry's last counters hold every frame it served, also those
// of a batch that was under way when it went, however it goes. Other connections do not wait for that.
func TestFlowRemovedCountsBatchUnderWay(t *testing.T) {
	meter := openflow.MeterMod{Command: openflow.MeterAdd, Flags: openflow.MeterPktps, Meter: 1,
		Bands: []openflow.Band{{Type: openflow.BandDrop, Rate: 1000}}}
	for name, remove := range map[string]func(b *bench, p *peer){
		"delete":       func(_ *bench, p *peer) { p.send(deleteAll()) },
		"meter delete": func(_ *bench, p *peer) { p.send(&openflow.MeterMod{Command: openflow.MeterDelete, Meter: 1}) },
		"hard timeout": func(b *bench, _ *peer) { go b.clock.Advance(3 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 2)
			p, other := b.connect(), b.connect()
			p.features()
			other.features()
			p.send(&meter)
			m := add(5, inPort(1), openflow.Output(2))
			m.Flags, m.HardTimeout = openflow.FlowSendRemoved, 2
			m.Instructions = openflow.NewInstructions(openflow.Instruction{Type: openflow.InstructionMeter, Meter: 1},
				openflow.ApplyActions(openflow.Output(2)))
			p.send(m)
			p.barrier()
			on, ended := halt(b, frame(2, 1, "one"), frame(2, 1, "two"))
			defer on()
			remove(b, p)
			waitFor(t, "the entry to go", func() bool {
				for _, f := range b.sw.Flows(-1) {
					if f.Priority == 5 {
						return false
					}
				}
				return true
			})
			other.barrier()
			on()
			if r := expect[*openflow.FlowRemoved](p).m; r.PacketCount != 2 || r.ByteCount != 120 {
				t.Errorf("%d packets, %d bytes; the entry served 2 frames of 60 bytes", r.PacketCount, r.ByteCount)
			}
			<-ended
		})
	}
}

// TestDeadPortIsNotLearnedAgain: a batch under way when a port goes down still takes its frames, and
// learns their sources after the addresses of the port were forgotten. They are forgotten once more.
func TestDeadPortIsNotLearnedAgain(t *testing.T) {
	for name, change := range map[string]func(b *bench, p *peer){
		"PORT_MOD": func(b *bench, p *peer) {
			p.send(&openflow.PortMod{Port: 1, HWAddr: b.portDescs()[0].HWAddr, Config: openflow.PortDown, Mask: openflow.PortDown})
		},
		"other VLAN": func(b *bench, _ *peer) {
			b.sw.ops.Lock()
			defer b.sw.ops.Unlock()
			cfg := b.sw.table.Load().get(1).cfg
			cfg.VLAN = ports.VLAN{Mode: ports.VLANAccess, Tag: 7}
			b.sw.configurePort(b.sw.table.Load().get(1), cfg)
		},
		"removed": func(b *bench, _ *peer) {
			b.sw.ops.Lock()
			defer b.sw.ops.Unlock()
			if err := b.sw.takeOut(b.sw.table.Load().get(1)); err != nil {
				b.t.Error(err)
			}
		},
		"link": func(b *bench, _ *peer) {
			b.ends[1].Close()
			b.sw.refreshPorts()
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 2)
			p, other := b.connect(), b.connect()
			p.features()
			other.features()
			on, ended := halt(b, frame(0xff, 1, "one"), frame(0xff, 3, "two"))
			defer on()
			done := make(chan struct{})
			go func() {
				defer close(done)
				change(b, p)
				p.barrier()
			}()
			waitFor(t, "the first address to be forgotten", func() bool { return len(b.sw.pipe.MACs(0)) == 0 })
			other.barrier()
			b.portDescs() // who asks for ports does not wait either
			on()
			<-ended
			<-done
			waitFor(t, "the second one to be forgotten", func() bool { return len(b.sw.pipe.MACs(0)) == 0 })
		})
	}
}
