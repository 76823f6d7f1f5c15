package agent

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// TestTraceTellsWhatPortsDo: random frames, super-frames among them, through random pipelines to ports with limits, queues,
// lost links and PORT_MODs: what the trace says of each port is what its counters then show.
func TestTraceTellsWhatPortsDo(t *testing.T) {
	kinds := map[string]int{}
	seeds := uint64(150)
	if raceEnabled {
		seeds = 30
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 3))
		b := newBench(t, 1, func(c *BridgeConfig, e *Env) { c.TableMiss, e.Workers = MissDrop, 1 })
		const count = 6
		for no := 2; no <= count; no++ {
			text := fmt.Sprintf("%d:pipe:p%d", no, no)
			text += []string{"", ",mtu=600", ",mtu=1500"}[r.IntN(3)] + []string{"", ",offload=no"}[r.IntN(2)]
			text += []string{"", ",queue=1:max-rate=16kbit,queue=2:min-rate=1Mbit", ",link-rate=64kbit,queue=1:max-rate=32kbit"}[r.IntN(3)]
			b.traceSetup("port", text)
			end, err := b.sw.env.Pipes.End(fmt.Sprintf("p%d", no))
			if err != nil {
				t.Fatal(err)
			}
			b.ends[uint32(no)] = end
			if r.IntN(8) == 0 {
				if err := end.SetUp(false); err != nil {
					t.Fatal(err)
				}
			}
			if r.IntN(4) == 0 {
				b.traceSetup("config", fmt.Sprintf("%d %d", no, []openflow.PortConfig{openflow.PortDown, openflow.PortNoFwd, openflow.PortNoFlood}[r.IntN(3)]))
			}
		}
		b.sw.refreshPorts()
		for i := range 3 {
			actions := ""
			for _, no := range r.Perm(count + 1)[:1+r.IntN(count)] { // each port once: what a queue says is of the first frame
				actions += fmt.Sprintf(",set_queue:%d,output:%d", r.IntN(4), 1+no)
			}
			b.traceSetup("flow", fmt.Sprintf("priority=5,udp,udp_dst=%d,actions=push_vlan:0x8100%s", i, actions))
		}
		b.traceSetup("flow", "priority=4,ip,actions="+[]string{"FLOOD", "ALL", "NORMAL"}[r.IntN(3)])
		for range 8 {
			q := TraceRequest{Length: []int{60, 614, 618, 1514, 1518, 3000, 30000}[r.IntN(7)] + r.IntN(2)}
			q.Flow = fmt.Sprintf("in_port=1,%s_dst=%d", []string{"udp,udp", "tcp,tcp"}[r.IntN(2)], r.IntN(4))
			if q.Length > 1000 && r.IntN(2) == 0 {
				q.Segment = 300 + r.IntN(600)
			}
			b.traceAndCompare(seed, q, kinds)
			b.clock.Advance(time.Duration(r.IntN(300)) * time.Millisecond)
		}
	}
	for _, k := range []string{"sent", "cut", "waits", "lost too-big", "lost full"} {
		if kinds[k] < 3 {
			t.Errorf("the frames met too little: %v", kinds)
			break
		}
	}
}

// traceAndCompare traces a frame, sends it, and compares.
func (b *bench) traceAndCompare(seed uint64, q TraceRequest, kinds map[string]int) {
	b.t.Helper()
	said, err := b.sw.Trace(q)
	if err != nil {
		b.t.Fatal(err)
	}
	type figures struct{ packets, dropped, waiting uint64 }
	look := func(no uint32) (f figures, v ports.CounterValues) {
		p := b.sw.table.Load().get(no)
		v = p.counters.Snapshot()
		f = figures{packets: v.TxPackets, dropped: v.TxDropped}
		for _, queue := range p.sched.Load().all() {
			f.waiting += uint64(len(queue.waiting) - queue.head)
		}
		return f, v
	}
	before := map[uint32]figures{}
	drops := map[uint32]ports.CounterValues{}
	for no := range b.ends {
		before[no], drops[no] = look(no)
	}
	q.Send = true
	if _, err := b.sw.Trace(q); err != nil {
		b.t.Fatal(err)
	}
	want := map[uint32]figures{}
	for _, o := range said.Outputs {
		f := want[o.Port]
		switch {
		case o.Waits: // and may be lost afterwards
			f.waiting++
			kinds["waits"]++
		case o.Lost != "":
			f.dropped++
			kinds["lost "+o.Lost]++
			if !reasonGrew(b, o, drops[o.Port]) {
				b.t.Errorf("seed %d: %s: the counter of %s did not grow", seed, said.Verdict, o.Lost)
			}
		default:
			f.packets += uint64(o.Frames)
			kinds["sent"]++
			if o.Frames > 1 {
				kinds["cut"]++
			}
		}
		want[o.Port] = f
	}
	for no := range b.ends {
		after, _ := look(no)
		got := figures{after.packets - before[no].packets, after.dropped - before[no].dropped, after.waiting - before[no].waiting}
		if got != want[no] {
			b.t.Errorf("seed %d, port %d: it did %+v, the trace said %+v:\n%s", seed, no, got, want[no], said)
		}
	}
}

func reasonGrew(b *bench, o TraceOutput, before ports.CounterValues) bool {
	after := b.sw.table.Load().get(o.Port).counters.Snapshot()
	for why := range after.TxDrops {
		if ports.DropReason(why).String() == o.Lost {
			return after.TxDrops[why] > before.TxDrops[why]
		}
	}
	return false
}

// all are a scheduler's queues, that for the rest included.
func (s *scheduler) all() []*queue {
	if s == nil {
		return nil
	}
	return s.queues
}
