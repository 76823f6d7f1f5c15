package agent

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/ports"
)

// wireLog is a device that writes down what it is given: frames carry queue and number.
type wireLog struct {
	clock *ManualClock
	list  []wireEntry
	bytes map[uint16]int
}

type wireEntry struct {
	at        time.Duration
	queue, no uint16
}

func (l *wireLog) Write(frames []*packet.Frame) int {
	for _, f := range frames {
		b := f.Bytes()
		q := binary.BigEndian.Uint16(b)
		l.list = append(l.list, wireEntry{l.clock.Now(), q, binary.BigEndian.Uint16(b[2:])})
		l.bytes[q] += len(b)
	}
	return len(frames)
}

// schedulerRig is a scheduler over a device that takes everything, in a time that a test moves.
type schedulerRig struct {
	*scheduler
	clock  *ManualClock
	wire   *wireLog
	count  ports.Counters
	frames []*packet.Frame
	no     uint16
}

func newSchedulerRig(linkRate uint64, queues ...QueueConfig) *schedulerRig {
	r := &schedulerRig{clock: new(ManualClock)}
	r.wire = &wireLog{clock: r.clock, bytes: map[uint16]int{}}
	r.scheduler = newScheduler(r.clock, r.wire, &r.count, linkRate, queues, nil)
	return r
}

// offer sends one batch with n frames of size for a queue. The frames are written over afterwards.
func (r *schedulerRig) offer(queue uint32, n, size int) {
	for len(r.frames) < n {
		r.frames = append(r.frames, packet.NewFrame(1<<16))
	}
	var ids []uint32
	for _, f := range r.frames[:n] {
		b := make([]byte, size)
		binary.BigEndian.PutUint16(b, uint16(queue))
		binary.BigEndian.PutUint16(b[2:], r.no)
		f.SetBytes(b)
		r.no++
		ids = append(ids, queue)
	}
	r.send(r.clock.Now(), r.frames[:n], ids)
	for _, f := range r.frames[:n] {
		clear(f.Bytes())
	}
}

// load is a sender of one queue.
type load struct {
	queue uint32
	rate  float64 // bit/s
	size  int
	owed  float64
}

// run offers loads every 0.2 ms and gives what each queue sent, in bit/s.
func (r *schedulerRig) run(d time.Duration, loads ...*load) map[uint16]float64 {
	before := map[uint16]int{}
	for q, n := range r.wire.bytes {
		before[q] = n
	}
	const step = 200 * time.Microsecond
	for t := time.Duration(0); t < d; t += step {
		for _, l := range loads {
			l.owed += l.rate * step.Seconds() / 8
			if n := int(l.owed) / l.size; n > 0 {
				r.offer(l.queue, n, l.size)
				l.owed -= float64(n * l.size)
			}
		}
		r.clock.Advance(step)
	}
	out := map[uint16]float64{}
	for q, n := range r.wire.bytes {
		out[q] = float64(n-before[q]) * 8 / d.Seconds()
	}
	return out
}

func near(t *testing.T, what string, got, want, off float64) {
	t.Helper()
	if math.Abs(got/want-1) > off {
		t.Errorf("%s: %.0f, expected %.0f within %.0f %%", what, got, want, 100*off)
	} else {
		t.Logf("%s: %.0f of %.0f, %+.2f %%", what, got, want, 100*(got/want-1))
	}
}

func TestMaxRate(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		size  int
		times float64
	}{{100e3, 60, 2}, {100e3, 1514, 3}, {1e6, 600, 1.2}, {10e6, 1514, 2}, {100e6, 1514, 2}, {1e9, 1514, 1.5}, {10e6, 60000, 2}, {300e6, 60, 1.5}} {
		t.Run(fmt.Sprintf("%.0f with frames of %d", c.rate, c.size), func(t *testing.T) {
			r := newSchedulerRig(0, QueueConfig{ID: 5, MaxRate: uint64(c.rate)})
			l := &load{queue: 5, rate: c.rate * c.times, size: c.size}
			d := 2 * time.Second
			if c.rate < 1e6 {
				d = 20 * time.Second
			}
			near(t, "max-rate", r.run(d, l)[5], c.rate, 0.05)
			q := r.queues[0]
			if q.errors.Load() == 0 || q.errors.Load() != r.count.Snapshot().TxDrops[ports.DropFull] {
				t.Errorf("%d drops of the queue, %v of the port", q.errors.Load(), r.count.Snapshot().TxDrops)
			}
			if q.bytes > max(q.bound, c.size) || len(q.waiting)-q.head > mostFrames {
				t.Errorf("%d bytes in %d frames wait, the bound is %d", q.bytes, len(q.waiting)-q.head, q.bound)
			}
			if int(q.packets.Load()) != len(r.wire.list) {
				t.Errorf("%d packets counted, %d written", q.packets.Load(), len(r.wire.list))
			}
		})
	}
}

// TestBelowMaxRateNothingIsLost, nor out of order, and hardly late.
func TestBelowMaxRateNothingIsLost(t *testing.T) {
	r := newSchedulerRig(0, QueueConfig{ID: 0, MaxRate: 10e6})
	near(t, "sent", r.run(time.Second, &load{queue: 0, rate: 9e6, size: 1000})[0], 9e6, 0.01)
	for i, e := range r.wire.list {
		if int(e.no) != i {
			t.Fatalf("frame %d left as number %d", e.no, i)
		}
	}
	if n := r.queues[0].errors.Load(); n != 0 {
		t.Errorf("%d were lost", n)
	}
}

// lateClock is a clock of a busy machine: its timers fire only at whole multiples of a time.
type lateClock struct {
	*ManualClock
	every time.Duration
}

func (c lateClock) AfterFunc(d time.Duration, f func()) Timer {
	now := c.Now()
	return c.ManualClock.AfterFunc((now+d+c.every-1)/c.every*c.every-now, f)
}

// TestLateProcessorTakesNothing: frames and timers come in turns of a tenth of a second, as on a machine that is busy with
// something else, and the rates hold all the same.
func TestLateProcessorTakesNothing(t *testing.T) {
	const every = 100 * time.Millisecond
	r := newSchedulerRig(0)
	r.scheduler = newScheduler(lateClock{r.clock, every}, r.wire, &r.count, 10e6,
		[]QueueConfig{{ID: 1, MinRate: 6e6}, {ID: 2}, {ID: 3, MaxRate: 1e6}}, nil)
	const turns = 100
	for range turns {
		for q, mbit := range map[uint32]int{1: 9, 2: 9, 3: 2} {
			r.offer(q, mbit*1e6/8/1000/10, 1000)
		}
		r.clock.Advance(every)
	}
	seconds := (turns * every).Seconds()
	rate := func(q uint16) float64 { return float64(r.wire.bytes[q]) * 8 / seconds }
	near(t, "queue 1", rate(1), 7.5e6, 0.05) // 6 and half of the 3 that the third leaves
	near(t, "queue 2", rate(2), 1.5e6, 0.1)
	near(t, "queue 3", rate(3), 1e6, 0.05)
}

// TestMinRateUnderContention: three queues and the rest all want the whole link.
func TestMinRateUnderContention(t *testing.T) {
	r := newSchedulerRig(10e6, QueueConfig{ID: 1, MinRate: 6e6}, QueueConfig{ID: 2, MinRate: 2e6}, QueueConfig{ID: 3})
	var loads []*load
	for _, q := range []uint32{1, 2, 3, 99} {
		loads = append(loads, &load{queue: q, rate: 12e6, size: 500 + 300*int(q%4)})
	}
	got := r.run(4*time.Second, loads...)
	// Each is given its guarantee and a fourth of what is left.
	near(t, "queue 1", got[1], 6.5e6, 0.03)
	near(t, "queue 2", got[2], 2.5e6, 0.03)
	near(t, "queue 3", got[3], 0.5e6, 0.05)
	near(t, "no queue", got[99], 0.5e6, 0.05)
	near(t, "link", got[1]+got[2]+got[3]+got[99], 10e6, 0.01)
}

// TestGuaranteeIsThereAtOnce: who used the idle link, and who was silent, both have their min-rate
// from the first milliseconds of contention on.
func TestGuaranteeIsThereAtOnce(t *testing.T) {
	r := newSchedulerRig(10e6, QueueConfig{ID: 0}, QueueConfig{ID: 1, MinRate: 7e6, MaxRate: 8e6}, QueueConfig{ID: 2, MinRate: 2e6})
	a, b, c := &load{queue: 0, rate: 20e6, size: 1500}, &load{queue: 1, rate: 20e6, size: 1500}, &load{queue: 2, rate: 20e6, size: 1500}
	near(t, "alone", r.run(time.Second, a)[0], 10e6, 0.02)
	near(t, "alone, with a max-rate", r.run(time.Second, b)[1], 8e6, 0.06) // what queue 0 left waiting goes too
	r.run(300*time.Millisecond, c)
	got := r.run(time.Second, a, b, c)
	if got[1] < 7e6*0.97 || got[1] > 8e6*1.05 || got[2] < 2e6*0.97 {
		t.Errorf("%v", got)
	}
	b.rate = 1e6 // what one does not use the others have
	r.run(500*time.Millisecond, a, b, c)
	got = r.run(time.Second, a, b, c)
	near(t, "little", got[1], 1e6, 0.02)
	if got[0]+got[2] < 8.8e6 {
		t.Errorf("%v", got)
	}
}

// TestQueuesDoNotHoldEachOtherUp: one over its max-rate leaves the others alone, without a copy.
func TestQueuesDoNotHoldEachOtherUp(t *testing.T) {
	r := newSchedulerRig(0, QueueConfig{ID: 1, MaxRate: 1e6})
	r.offer(1, 30, 1000)
	r.offer(2, 40, 1000)
	free := slices.DeleteFunc(slices.Clone(r.wire.list), func(e wireEntry) bool { return e.queue != 2 })
	if len(free) != 40 || r.queues[0].bytes != 29_000 {
		t.Errorf("%d of 40 left, %d bytes wait", len(free), r.queues[0].bytes)
	}
	// Nobody comes with frames any more: the timer moves on what waits, and then there is none.
	r.clock.Advance(400 * time.Millisecond)
	if n := len(r.wire.list); n != 70 || r.queues[0].bytes != 0 || r.timer != nil {
		t.Errorf("%d of 70 left, %d bytes wait, timer %v", n, r.queues[0].bytes, r.timer)
	}
	for i, e := range r.wire.list[41:] {
		if want := time.Duration(i+1) * 8 * time.Millisecond; e.queue != 1 || int(e.no) != i+1 || e.at < want-levelTime || e.at > want+2*time.Millisecond {
			t.Fatalf("frame %d at %v, expected number %d about %v", e.no, e.at, i+1, want)
		}
	}
}

func TestFinish(t *testing.T) {
	for _, lose := range []bool{false, true} {
		r := newSchedulerRig(0, QueueConfig{ID: 1, MaxRate: 1e6})
		r.offer(1, 10, 1000)
		r.finish(lose)
		r.clock.Advance(time.Second)
		left, lost := len(r.wire.list), r.count.Snapshot().TxDropped
		if lose && (left != 1 || lost != 9) || !lose && (left != 10 || lost != 0) {
			t.Errorf("lose=%v: %d left, %d lost", lose, left, lost)
		}
	}
}

// TestCountersOutliveAChangeOfRates.
func TestCountersOutliveAChangeOfRates(t *testing.T) {
	r := newSchedulerRig(0, QueueConfig{ID: 1, MaxRate: 1e6}, QueueConfig{ID: 2, MaxRate: 1e6})
	r.offer(1, 1, 100)
	r.clock.Advance(time.Second)
	n := newScheduler(r.clock, r.wire, &r.count, 0, []QueueConfig{{ID: 1, MaxRate: 5e6}, {ID: 3}}, r.scheduler)
	if q := n.find(1); q.packets.Load() != 1 || q.born != 0 || q.MaxRate != 5e6 {
		t.Errorf("queue 1: %+v", q)
	}
	if q := n.find(3); q.packets.Load() != 0 || q.born != time.Second {
		t.Errorf("queue 3: %+v", q)
	}
}

// TestSchedulerAllocates only the frames that it keeps, and those once.
func TestSchedulerAllocates(t *testing.T) {
	r := newSchedulerRig(0, QueueConfig{ID: 1, MaxRate: 100e6}, QueueConfig{ID: 70000})
	frames, ids := make([]*packet.Frame, 32), make([]uint32, 32)
	for i := range frames {
		frames[i] = packet.NewFrame(1500)
		frames[i].SetBytes(make([]byte, 1500))
		ids[i] = []uint32{1, 2, 70000, 0}[i%4]
	}
	sink := &discard{}
	r.dev = sink
	now := time.Duration(0)
	step := func() {
		now += 3 * time.Millisecond
		r.send(now, frames, ids)
	}
	for range 200 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n > 0 {
		t.Errorf("%v allocations a batch", n)
	}
	if sink.frames == 0 {
		t.Error("nothing left")
	}
}

type discard struct{ frames int }

func (d *discard) Write(f []*packet.Frame) int { d.frames += len(f); return len(f) }
