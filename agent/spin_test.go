package agent

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/ports"
)

// dripper is a port whose frames come one by one when the test says so.
type dripper struct {
	stuffed
	ready  atomic.Int32 // frames to be read
	taken  atomic.Int32
	slept  atomic.Int32 // calls of Wait
	dry    atomic.Bool  // the last Read found nothing
	wake   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (f *dripper) Wait() error {
	f.slept.Add(1)
	if f.Ready() {
		return nil
	}
	select {
	case <-f.wake:
		return nil
	case <-f.closed:
		return ports.ErrClosed
	}
}

func (f *dripper) Ready() bool { return f.ready.Load() > 0 }

func (f *dripper) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

func (f *dripper) Read(frames []*packet.Frame) (int, error) {
	n := min(int(f.ready.Load()), len(frames))
	for _, fr := range frames[:n] {
		fr.SetLen(copy(fr.Room(), f.frame))
	}
	f.ready.Add(-int32(n))
	f.dry.Store(n == 0)
	f.taken.Add(int32(n))
	return n, nil
}

// Write takes all, from many at a time.
func (f *dripper) Write(frames []*packet.Frame) int { return len(frames) }

// drip lets n frames come and waits until they are taken.
func (f *dripper) drip(t *testing.T, n int32) {
	t.Helper()
	want := f.taken.Load() + n
	f.ready.Add(n)
	select {
	case f.wake <- struct{}{}:
	default:
	}
	for deadline := time.Now().Add(inTime); f.taken.Load() != want; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the frames lie there")
		}
	}
}

// newDripper makes one part of the switch, with a goroutine of its own.
func newDripper(b *bench, no uint32) (*dripper, *port) {
	dev := &dripper{stuffed: stuffed{frame: frame(2, 1, "x")}, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	p := &port{number: no, name: "f" + string(rune('0'+no)), dev: dev, counters: new(ports.Counters),
		done: make(chan struct{})}
	b.sw.join(p)
	b.t.Cleanup(func() { _ = dev.Close() })
	return dev, p
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(inTime); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", inTime, what)
		}
	}
}

// spinBench is a switch on two processors that may spin for so long.
func spinBench(t *testing.T, most time.Duration) *bench {
	before := runtime.GOMAXPROCS(2)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	b := newBench(t, 0)
	b.sw.spin.limit(most)
	return b
}

func (sp *spinner) spins() (active bool, guests int) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.active, len(sp.guests)
}

// TestSpinServesAllPorts: frames that come soon after one another find a goroutine awake, on both ports; one
// that comes late finds all asleep.
func TestSpinServesAllPorts(t *testing.T) {
	b := spinBench(t, time.Second)
	f1, _ := newDripper(b, 1)
	f2, _ := newDripper(b, 2)
	eventually(t, "one that spins for both", func() bool {
		f1.drip(t, 1)
		f2.drip(t, 1)
		active, guests := b.sw.spin.spins()
		return active && guests == 1
	})
	one, two := f1.slept.Load(), f2.slept.Load()
	for range 100 {
		f1.drip(t, 1)
		f2.drip(t, 1)
	}
	if b.sw.spin.rest.Load() == 0 && (f1.slept.Load() != one || f2.slept.Load() != two) {
		t.Errorf("slept %d and %d times between frames", f1.slept.Load()-one, f2.slept.Load()-two)
	}
	b.sw.spin.limit(time.Millisecond)
	eventually(t, "nobody spins", func() bool { active, _ := b.sw.spin.spins(); return !active })
	eventually(t, "both sleep", func() bool { return f1.slept.Load() > one && f2.slept.Load() > two })
	for range 3 { // sleeps longer than a window may be
		time.Sleep(5 * time.Millisecond)
		f1.drip(t, 1)
	}
	eventually(t, "nobody spins", func() bool { active, _ := b.sw.spin.spins(); return !active })
}

// TestSpinGivesBackLoad: a port with much to do gets its own goroutine, and the other one is served meanwhile.
func TestSpinGivesBackLoad(t *testing.T) {
	b := spinBench(t, time.Second)
	f1, _ := newDripper(b, 1)
	f2, _ := newDripper(b, 2)
	eventually(t, "one that spins for both", func() bool {
		f1.drip(t, 1)
		f2.drip(t, 1)
		active, guests := b.sw.spin.spins()
		return active && guests == 1
	})
	for range 20 {
		f1.drip(t, 100*batchSize)
		f2.drip(t, 100*batchSize)
		f1.drip(t, 1)
	}
}

// TestSpinEndsWithThePort: a port can be taken out while another goroutine looks at it, and while its own does.
func TestSpinEndsWithThePort(t *testing.T) {
	b := spinBench(t, time.Second)
	f1, p1 := newDripper(b, 1)
	f2, p2 := newDripper(b, 2)
	eventually(t, "one that spins for both", func() bool {
		f1.drip(t, 1)
		f2.drip(t, 1)
		active, guests := b.sw.spin.spins()
		return active && guests == 1
	})
	b.sw.ops.Lock()
	defer b.sw.ops.Unlock()
	for _, p := range []*port{p1, p2} {
		if err := b.sw.takeOut(p); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "nobody spins", func() bool { active, _ := b.sw.spin.spins(); return !active })
}

// TestSpinToken: of two switches of a process one spins.
func TestSpinToken(t *testing.T) {
	a, b := spinBench(t, time.Second), spinBench(t, time.Second)
	b.sw.spin.token = a.sw.spin.token
	f, _ := newDripper(a, 1)
	g, _ := newDripper(b, 1)
	eventually(t, "the first spins", func() bool {
		f.drip(t, 1)
		active, _ := a.sw.spin.spins()
		return active
	})
	for range 50 {
		f.drip(t, 1)
		g.drip(t, 1)
		first, _ := a.sw.spin.spins()
		second, _ := b.sw.spin.spins()
		if first && second && a.sw.spin.rest.Load() == 0 {
			t.Fatal("both spin")
		}
	}
}

// TestSpinNever: not on one processor, not when it is switched off.
func TestSpinNever(t *testing.T) {
	for _, c := range []struct {
		processors int
		most       time.Duration
	}{{1, time.Second}, {2, -1}} {
		b := spinBench(t, time.Second)
		runtime.GOMAXPROCS(c.processors)
		b.sw.spin.limit(c.most)
		f, _ := newDripper(b, 1)
		for range 20 {
			before := f.slept.Load()
			f.drip(t, 1)
			eventually(t, "it sleeps", func() bool { return f.slept.Load() > before })
		}
		if active, _ := b.sw.spin.spins(); active {
			t.Errorf("%+v: it spins", c)
		}
	}
}
