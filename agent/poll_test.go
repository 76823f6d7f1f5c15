package agent

import (
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/ports"
)

// polled gives so many processors to polling for the time of a test, without binding anybody to them.
func polled(t *testing.T, n int) *pollers {
	t.Helper()
	before := runtime.GOMAXPROCS(n + 2)
	ps := new(pollers)
	ps.recruit(t, n)
	t.Cleanup(func() { ps.recruit(t, 0); runtime.GOMAXPROCS(before) })
	return ps
}

// recruit is set without the system's part.
func (ps *pollers) recruit(t *testing.T, n int) {
	t.Helper()
	list := make([]*poller, n)
	for i := range list {
		list[i] = newPoller(i)
		go func() { defer close(list[i].done); list[i].run(ps) }()
	}
	ps.replace(list)
}

func (ps *pollers) load() (guests []int) {
	if list := ps.list.Load(); list != nil {
		for _, q := range *list {
			guests = append(guests, len(*q.guests.Load()))
		}
	}
	return guests
}

// newPolledDripper is newDripper for a switch whose ports are polled, and waits until they are.
func newPolledDripper(b *bench, ps *pollers, no uint32) (*dripper, *port) {
	f, p := newDripper(b, no)
	eventually(b.t, "the port is looked at", func() bool { return ps.watches(p) })
	return f, p
}

func (ps *pollers) watches(p *port) bool {
	list := ps.list.Load()
	return list != nil && slices.ContainsFunc(*list, func(q *poller) bool {
		return slices.ContainsFunc(*q.guests.Load(), func(g guest) bool { return g.port == p })
	})
}

func withPollers(ps *pollers) func(*BridgeConfig, *Env) {
	return func(_ *BridgeConfig, e *Env) { e.polls = ps }
}

// TestPollServes: frames of all ports of two switches are forwarded, and none of their goroutines ever sleeps.
func TestPollServes(t *testing.T) {
	ps := polled(t, 1)
	a, b := newBench(t, 0, withPollers(ps)), newBench(t, 0, withPollers(ps))
	var all []*dripper
	for _, sw := range []*bench{a, b} {
		for no := uint32(1); no <= 2; no++ {
			f, _ := newPolledDripper(sw, ps, no)
			all = append(all, f)
		}
	}
	for range 50 {
		for _, f := range all {
			f.drip(t, 1)
		}
	}
	for _, f := range all {
		f.drip(t, 100*batchSize) // load is not given back either
		if n := f.slept.Load(); n != 0 {
			t.Errorf("a goroutine slept %d times", n)
		}
	}
}

// TestPollShares: ports are dealt out to the pollers, and dealt out anew when those change.
func TestPollShares(t *testing.T) {
	ps := polled(t, 2)
	b := newBench(t, 0, withPollers(ps))
	var all []*dripper
	for no := uint32(1); no <= 4; no++ {
		f, _ := newPolledDripper(b, ps, no)
		all = append(all, f)
	}
	if got := ps.load(); !slices.Equal(got, []int{2, 2}) {
		t.Errorf("four ports are dealt out as %v", got)
	}
	ps.recruit(t, 1)
	eventually(t, "one looks at all", func() bool { return slices.Equal(ps.load(), []int{4}) })
	ps.recruit(t, 0)
	eventually(t, "all sleep", func() bool {
		return !slices.ContainsFunc(all, func(f *dripper) bool { return f.slept.Load() == 0 })
	})
	for _, f := range all {
		f.drip(t, 3)
	}
	ps.recruit(t, 2)
	for _, f := range all {
		f.drip(t, 1) // wakes its goroutine, which finds pollers then
	}
	eventually(t, "they are dealt out again", func() bool { return slices.Equal(ps.load(), []int{2, 2}) })
}

// TestPollSharesWhatStays: when ports go that one poller looked at, it gets some of the other's, and nobody sleeps for that.
func TestPollSharesWhatStays(t *testing.T) {
	ps := polled(t, 2)
	b := newBench(t, 0, withPollers(ps))
	type member struct {
		f *dripper
		p *port
	}
	var all []member
	for no := uint32(1); no <= 6; no++ {
		f, p := newPolledDripper(b, ps, no)
		all = append(all, member{f, p})
	}
	first := *(*ps.list.Load())[0].guests.Load()
	for i, m := range all {
		if !slices.ContainsFunc(first, func(g guest) bool { return g.port == m.p }) {
			continue
		}
		all[i].f = nil
		b.sw.ops.Lock()
		err := b.sw.takeOut(m.p)
		b.sw.ops.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the rest is dealt out", func() bool { n := ps.load(); return n[0]+n[1] == 3 && n[0] > 0 && n[1] > 0 })
	for _, m := range all {
		if m.f == nil {
			continue
		}
		if m.f.drip(t, 10); m.f.slept.Load() != 0 {
			t.Error("a port's goroutine slept")
		}
	}
}

// TestPollEndsWithThePort: a port that is looked at can be taken out, and put in again.
func TestPollEndsWithThePort(t *testing.T) {
	ps := polled(t, 1)
	b := newBench(t, 0, withPollers(ps))
	for range 20 {
		f, p := newPolledDripper(b, ps, 1)
		f.drip(t, 1)
		b.sw.ops.Lock()
		err := b.sw.takeOut(p)
		b.sw.ops.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if ps.watches(p) {
			t.Fatal("a port that has gone is still looked at")
		}
	}
}

// broken is a port whose device fails when it is read, until the test mends it.
type broken struct {
	dripper
	mended atomic.Bool
}

func (f *broken) Read(frames []*packet.Frame) (int, error) {
	if !f.mended.Load() {
		return 0, errors.New("broken")
	}
	return f.dripper.Read(frames)
}

// TestPollMindsFailures: a device that fails is its own goroutine's business, which waits between two tries; the poller
// serves others meanwhile, and this one when it works again.
func TestPollMindsFailures(t *testing.T) {
	ps := polled(t, 1)
	b := newBench(t, 0, withPollers(ps))
	good, _ := newPolledDripper(b, ps, 1)
	bad := &broken{}
	bad.stuffed.frame, bad.wake, bad.closed = frame(2, 1, "x"), make(chan struct{}, 1), make(chan struct{})
	p := &port{number: 2, name: "bad", dev: bad, counters: new(ports.Counters), done: make(chan struct{})}
	b.sw.join(p)
	t.Cleanup(func() { _ = bad.Close() })
	bad.ready.Add(1)
	eventually(t, "some failures", func() bool { good.drip(t, 1); return p.counters.RxErrors.Load() > 3 })
	bad.mended.Store(true)
	eventually(t, "it works again", func() bool { return bad.taken.Load() == 1 && ps.watches(p) })
	bad.drip(t, 1)
}

// TestPollingNobodySpins: neither for frames nor for messages.
func TestPollingNobodySpins(t *testing.T) {
	ps := polled(t, 1)
	b := newBench(t, 0, withPollers(ps))
	b.sw.spin.limit(1e9)
	if b.sw.lookout(1e9, &arrival{ready: func() bool { return true }}) {
		t.Error("a reader looks out")
	}
	f, p := newDripper(b, 1)
	f.drip(t, 10)
	if active, _ := b.sw.spin.spins(); active || p.ins[0].window != 0 {
		t.Error("a port's goroutine spins")
	}
}

// TestPollDoesChores: what a reader does before it sleeps is done for ports whose readers never do.
func TestPollDoesChores(t *testing.T) {
	ps := polled(t, 1)
	b := newBench(t, 0, withPollers(ps))
	one, two := newNeighbour(b, 1, nil), newNeighbour(b, 2, nil)
	eventually(t, "both are settled", func() bool { return one.settled.Load() > 1 && two.settled.Load() > 1 })
}

// torrent is a port that always has frames.
type torrent struct{ dripper }

func (f *torrent) Ready() bool { return true }

func (f *torrent) Read(frames []*packet.Frame) (int, error) {
	frames[0].SetLen(copy(frames[0].Room(), f.frame))
	return 1, nil
}

// TestPollDoesChoresUnderLoad: nor do they wait until another port has nothing to do.
func TestPollDoesChoresUnderLoad(t *testing.T) {
	ps := polled(t, 1)
	b := newBench(t, 0, withPollers(ps))
	busy := &torrent{}
	busy.stuffed.frame, busy.wake, busy.closed = frame(2, 1, "x"), make(chan struct{}, 1), make(chan struct{})
	p := &port{number: 1, name: "busy", dev: busy, counters: new(ports.Counters), done: make(chan struct{})}
	b.sw.join(p)
	t.Cleanup(func() { _ = busy.Close() })
	eventually(t, "it is looked at", func() bool { return ps.watches(p) })
	other := newNeighbour(b, 2, nil)
	eventually(t, "the other is settled", func() bool { return other.settled.Load() > 1 })
}

// TestProcessorTexts: sets of processors read back.
func TestProcessorTexts(t *testing.T) {
	for text, want := range map[string]string{"1": "1", "3,1": "1,3", "0-2,2,5": "0-2,5", " 4 , 6-7": "4,6-7"} {
		var list []int
		if err := setCPUs(&list, text); err != nil || cpuText(list) != want {
			t.Errorf("%q is %v (%s), %v", text, list, cpuText(list), err)
		}
	}
}
