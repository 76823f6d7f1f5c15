// Hot path: goroutines that look at ports without end, each on a processor that was given to them.

package agent

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pollers are what --poll-cpus asks for. A port's goroutine gives its inlet to one of them instead of sleeping, and
// waits until it is told to go on, as it does for one that spins (spin.go). Unlike that one a poller never stops, yields or
// gives a busy port back. Nobody waits at the port's socket then, so its senders are spared waking anybody.
// While there are pollers nobody spins.
type pollers struct {
	list  atomic.Pointer[[]*poller] // nil: none
	procs int                       // of Agent.mu: what GOMAXPROCS was without pollers; 0: it is now what it was

	binding  sync.Mutex
	owner    affinity // guarded by binding
	sweeping atomic.Bool

	mu sync.Mutex // held while an inlet changes hands
}

// poller is one goroutine, alone on a thread that is bound to a processor.
type poller struct {
	cpu    int
	tid    atomic.Int64            // its thread; 0: it is bound to none
	made   int                     // threads that Go had made when it last looked
	guests atomic.Pointer[[]guest] // replaced under pollers.mu
	wanted chan struct{}           // has a token when guests may not be empty any more, or quit is set
	quit   atomic.Bool
	done   chan struct{}
}

// guest is an inlet whose goroutine waits for inlet.resume.
type guest struct {
	sw *Switch
	*inlet
}

// Go takes the processor from a goroutine that has had it for 10 ms, and when that one is bound to its thread two other threads have to be
// woken until it goes on: some 100 us. So a poller gives way by itself before that, unbound, when frames have just ceased to come.
const (
	turnMost = 5 * time.Millisecond  // after which a poller may give way
	lull     = 50 * time.Microsecond // without a frame, then the next one is not likely to come at once
)

// choreEvery is how often a poller does for one of its inlets what readers do before they sleep: lost frames are
// counted then, and a ring is left that the kernel has stopped filling.
const choreEvery = 8 * time.Millisecond

// some says that there are pollers. A nil receiver has none.
func (ps *pollers) some() bool { return ps != nil && ps.list.Load() != nil }

// watch has a poller look at p, the one that has least to look at, until it is p's own goroutine's turn
// again: the device fails, the port goes, or the pollers change. It reports false if nobody can.
func (ps *pollers) watch(s *Switch, p *inlet) bool {
	if _, can := p.in.(peeker); !can || !ps.some() || p.removed.Load() {
		return false
	}
	ps.mu.Lock()
	list := ps.list.Load()
	if list == nil {
		ps.mu.Unlock()
		return false
	}
	q := idlest(*list)
	more := append(slices.Clone(*q.guests.Load()), guest{s, p})
	q.guests.Store(&more)
	ps.mu.Unlock()
	if dev, can := p.in.(interface{ Stay() }); can {
		dev.Stay()
	}
	q.rouse()
	<-p.resume
	return true
}

// rouse has the poller look at its list, or at quit.
func (q *poller) rouse() {
	select {
	case q.wanted <- struct{}{}:
	default:
	}
}

// run looks at the guests until quit is set.
func (q *poller) run(ps *pollers) {
	born := time.Now()
	due, next := choreEvery, 0
	var frame, yielded time.Duration // the last of them
	busy := false
	for turn := 1; !q.quit.Load(); turn++ {
		list := *q.guests.Load()
		if len(list) == 0 {
			<-q.wanted
			continue
		}
		for _, g := range list {
			if g.removed.Load() {
				q.dismiss(ps, g)
				continue
			}
			found, _, failed := g.sw.look(g.inlet)
			if failed {
				q.dismiss(ps, g)
			}
			busy = busy || found
		}
		if turn%64 != 0 {
			continue
		}
		now := time.Since(born)
		switch {
		case busy:
			frame, busy = now, false
		case now-frame >= lull && now-yielded >= turnMost:
			q.giveWay(ps)
			yielded = time.Since(born)
		}
		if now >= due { // however much there is to do: that is when frames are lost
			due = now + choreEvery
			next++
			q.settleOne(next)
			q.share(ps)
		}
	}
	for _, g := range *q.guests.Load() {
		q.dismiss(ps, g)
	}
}

// giveWay lets Go run others for a moment, if there are any. Mostly the same thread goes on at once. If another one does, that one
// is bound instead; and a thread that Go has made meanwhile is bound as its maker was, so it is looked for.
func (q *poller) giveWay(ps *pollers) {
	runtime.UnlockOSThread()
	runtime.Gosched()
	runtime.LockOSThread()
	was := q.tid.Load()
	if was == 0 {
		return
	}
	made, _ := runtime.ThreadCreateProfile(nil)
	if q.rebind(); (q.tid.Load() != was || made != q.made) && ps.sweeping.CompareAndSwap(false, true) {
		go ps.sweep()
	}
	q.made = made
}

// sweep takes threads that do not poll off the pollers' processors.
func (ps *pollers) sweep() {
	ps.binding.Lock()
	defer ps.binding.Unlock()
	ps.sweeping.Store(false)
	if list := ps.list.Load(); list != nil {
		_ = ps.owner.leave(cpusOf(*list), *list) // it could when they began; a thread more costs some time of a poller
	}
}

// settleOne does for the guest whose turn it is what its reader does before it sleeps.
func (q *poller) settleOne(turn int) {
	if list := *q.guests.Load(); len(list) > 0 {
		if dev, can := list[turn%len(list)].in.(sharer); can {
			dev.Settle()
		}
	}
}

// share gives an inlet to the poller that has least to look at if that has two less, because ports have gone. Only q itself
// may do so, between two turns: an inlet is looked at by one at a time.
func (q *poller) share(ps *pollers) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	list, own := ps.list.Load(), *q.guests.Load()
	if list == nil {
		return
	}
	idle := idlest(*list)
	theirs, last := *idle.guests.Load(), len(own)-1
	if len(theirs) >= last {
		return
	}
	less, more := slices.Clone(own[:last]), append(slices.Clone(theirs), own[last])
	q.guests.Store(&less)
	idle.guests.Store(&more)
	idle.rouse()
}

// idlest is the one that has least to look at. pollers.mu is held.
func idlest(list []*poller) *poller {
	return slices.MinFunc(list, func(a, b *poller) int { return len(*a.guests.Load()) - len(*b.guests.Load()) })
}

// dismiss gives an inlet back to its goroutine.
func (q *poller) dismiss(ps *pollers, g guest) {
	ps.mu.Lock()
	less := slices.DeleteFunc(slices.Clone(*q.guests.Load()), func(o guest) bool { return o.inlet == g.inlet })
	q.guests.Store(&less)
	ps.mu.Unlock()
	g.resume <- true
}
