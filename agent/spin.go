// Hot path: what a goroutine does that has found its port dry: look a little longer, or sleep.

package agent

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/ports"
)

// Waking a goroutine that sleeps in the poller takes longer than forwarding a frame. So a goroutine whose port ran
// dry goes on looking for a while, if that is likely to pay:
//
//  1. Each port (each of its inlets, here and below) has a window. A sleep that turned out shorter than Spin of the
//     configuration makes it longer, any other sleep empties it. What has nothing to do, or more than Spin between frames, never spins.
//  2. One goroutine of the process spins. Others of its switch that run dry meanwhile give it their ports to look at,
//     so that an answer finds it awake though it comes in by another port, and nobody is woken for nothing.
//  3. A port with more than a few batches is given back to its own goroutine: load is shared as ever.
//  4. A connection's reader does likewise: it looks for the next message, and for the ports meanwhile, or it is told of it.
//  5. A sleep has two costs: that of being woken, see nap, and that of others woken in vain, see worker.hush.
//  6. The processor is offered to other threads all the time. If one takes it, nobody spins for a while.
//
// All of this is for processors that others want, too. Those that are given to polling have poll.go instead.
//
// The times are the machine's, not those of Switch.clock: they decide how soon something is noticed, never what.
type spinner struct {
	most  atomic.Int64 // longest window in ns; 0: nobody spins
	rest  atomic.Int64 // moment (ns of now) before which nobody spins, because the processor was wanted
	token *atomic.Bool // of the process: taken by the one that spins
	polls *pollers     // of the process: while it has some nobody spins; may be nil
	born  time.Time
	naps  atomic.Bool // see nap; one that spins and one that naps leave at least one processor to all others

	mu      sync.Mutex
	active  bool          // guarded by mu: a goroutine of this switch spins
	guests  []*inlet      // guarded by mu: whose goroutines wait for resume
	awaited []*arrival    // guarded by mu: likewise
	pause   time.Duration // of the one that spins
}

const (
	// lingerRounds is how many batches the spinner forwards for a port at a time.
	lingerRounds = 2
	// lostProcessor is a turn too long to be explained by interrupts.
	lostProcessor = 200 * time.Microsecond
	// How long nobody spins after that, at first and at most: it doubles.
	leastRest, mostRest = 10 * time.Millisecond, time.Second
)

// peeker is a port that can say whether Read has something, for much less than a sleep. One goroutine at a
// time asks, the one that reads.
type peeker interface{ Ready() bool }

// sharer is a port whose frames may be read by others while its goroutine sleeps. inlet.reader says whose turn it is.
type sharer interface {
	peeker
	Settle() (more bool) // gives back what Read lent, before another one reads, or nobody
	Sleep() error        // Wait without Settle
}

// sleeper is a sharer whose goroutine can be let sleep on though frames come, for a while.
type sleeper interface {
	sharer
	Hush()
	Listen()
	Nap() (woken bool) // Sleep for a few milliseconds at most, without another thread between
}

// limit sets the longest window.
func (sp *spinner) limit(most time.Duration) {
	n := sp.polls.otherwise() // nobody spins before polling ends
	if n == 1 {               // whoever spins keeps all other goroutines from running
		most = 0
	}
	sp.naps.Store(n > 2 || n == 2 && most <= 0)
	sp.most.Store(int64(max(0, most)))
}

// longest is the longest window now.
func (sp *spinner) longest() time.Duration {
	if sp.polls.some() {
		return 0
	}
	return time.Duration(sp.most.Load())
}

// sleep waits for frames of p and learns how long that took. Its caller holds the reader lock of p, and others may have had it
// when this returns. Where there are pollers one of them waits.
func (s *Switch) sleep(p *inlet) error {
	sp := &s.spin
	if sp.polls.watch(s, p) {
		return nil
	}
	most := sp.longest()
	if _, can := p.in.(peeker); !can || most == 0 {
		p.window, p.woken = 0, true
		return s.wait(p)
	}
	start := time.Now()
	err := s.wait(p)
	p.woken = true
	if time.Since(start) < most {
		p.window = min(most, max(2*p.window, most/4))
	} else {
		p.window = 0
	}
	return err
}

// wait sleeps, and lets others read meanwhile if the port can be shared.
func (s *Switch) wait(p *inlet) error {
	dev, can := p.in.(sharer)
	if !can {
		return p.in.Wait()
	}
	if dev.Settle() && !p.removed.Load() {
		return nil
	}
	p.reader.Unlock()
	defer p.reader.Lock()
	if s.nap(p) {
		return nil
	}
	return dev.Sleep()
}

// nap is a short sleep from which the kernel wakes p's goroutine itself, where Go's poller wakes two threads first. It is for the goroutine that
// found frames the last time that it was awake, and, as it keeps one of the processors that Go deals out, for one at a time.
func (s *Switch) nap(p *inlet) (woken bool) {
	dev, can := p.in.(sleeper)
	if !can || !p.fed || !s.spin.naps.Load() || !s.spin.token.CompareAndSwap(false, true) {
		return false
	}
	p.fed = false
	woken = dev.Nap()
	s.spin.token.Store(false)
	return woken
}

// now is the time on which rest is counted.
func (sp *spinner) now() time.Duration { return time.Since(sp.born) }

// disturbed takes a turn's length. After one in which others have had the processor nobody spins for a while.
func (sp *spinner) disturbed(turn time.Duration) bool {
	if turn <= lostProcessor {
		return false
	}
	sp.pause = min(mostRest, max(leastRest, 2*sp.pause))
	sp.rest.Store(int64(sp.now() + sp.pause))
	return true
}

// linger looks for more frames of p, or lets the goroutine that spins look. True means that p should be
// served, false that its goroutine should sleep.
func (s *Switch) linger(p *inlet) bool {
	sp := &s.spin
	if p.window == 0 || sp.longest() == 0 || p.removed.Load() || int64(sp.now()) < sp.rest.Load() {
		return false
	}
	sp.mu.Lock()
	if sp.active {
		sp.guests = append(sp.guests, p)
		sp.mu.Unlock()
		return <-p.resume
	}
	return s.lookAround(p.window, func() (found, done bool) {
		found, more, failed := s.look(p)
		return found, more || failed || p.removed.Load()
	})
}

// arrival is a goroutine that waits for something that is no port: a connection's next message.
type arrival struct {
	ready  func() bool
	resume chan bool // with room for one
}

// lookout looks for what w waits for, or lets the goroutine that spins look. True means that it has come.
func (s *Switch) lookout(window time.Duration, w *arrival) bool {
	sp := &s.spin
	if window == 0 || sp.longest() == 0 || int64(sp.now()) < sp.rest.Load() {
		return false
	}
	sp.mu.Lock()
	if sp.active {
		sp.awaited = append(sp.awaited, w)
		sp.mu.Unlock()
		return <-w.resume
	}
	return s.lookAround(window, func() (found, done bool) { return false, w.ready() })
}

// lookAround makes its caller the one that spins, unless the process has one. It takes over sp.mu.
func (s *Switch) lookAround(window time.Duration, own func() (found, done bool)) (done bool) {
	sp := &s.spin
	if !sp.token.CompareAndSwap(false, true) {
		sp.mu.Unlock()
		return false
	}
	sp.active = true
	sp.mu.Unlock()
	done = s.lookRound(window, own)
	sp.mu.Lock()
	for _, g := range sp.guests {
		g.resume <- false
	}
	for _, w := range sp.awaited {
		w.resume <- false
	}
	clear(sp.guests)
	clear(sp.awaited)
	sp.guests, sp.awaited, sp.active = sp.guests[:0], sp.awaited[:0], false
	sp.mu.Unlock()
	sp.token.Store(false)
	return done
}

// lookRound spins, and forwards what comes, until a window ends without a frame or own says that it is done.
func (s *Switch) lookRound(window time.Duration, own func() (found, done bool)) (done bool) {
	sp := &s.spin
	last := sp.now()
	until := last + window
	for turn := 1; ; turn++ {
		found, done := own()
		if done {
			return true
		}
		for i := 0; ; i++ {
			g := sp.guest(i)
			if g == nil {
				break
			}
			got, more, failed := s.look(g)
			if found = found || got; more || failed || g.removed.Load() {
				sp.dismiss(g, more || failed)
				i--
			}
		}
		if turn%8 == 0 { // these ask the kernel
			sp.tellArrivals()
		}
		now := sp.now()
		switch {
		case found:
			until, sp.pause = now+window, 0
		case now > until, sp.polls.some():
			return false
		case sp.disturbed(now - last):
			return false
		}
		if last = now; turn%8 == 0 {
			ports.Yield()
			last = now
		}
	}
}

// tellArrivals wakes those whose time has come.
func (sp *spinner) tellArrivals() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.awaited = slices.DeleteFunc(sp.awaited, func(w *arrival) bool {
		if !w.ready() {
			return false
		}
		w.resume <- true
		return true
	})
}

// look forwards a little of what a port has; more means that there is too much to do it beside others, failed that the device
// cannot be read.
func (s *Switch) look(p *inlet) (found, more, failed bool) {
	if !p.in.(peeker).Ready() {
		return false, false, false
	}
	more, failed = s.serve(p, lingerRounds)
	return true, more, failed
}

// guest is the i-th port that the spinner looks at for others, nil behind the last.
func (sp *spinner) guest(i int) *inlet {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if i < len(sp.guests) {
		return sp.guests[i]
	}
	return nil
}

// dismiss gives a port back to its goroutine, which serves it or sleeps.
func (sp *spinner) dismiss(p *inlet, serve bool) {
	sp.mu.Lock()
	sp.guests = slices.DeleteFunc(sp.guests, func(g *inlet) bool { return g == p })
	sp.mu.Unlock()
	p.resume <- serve
}
