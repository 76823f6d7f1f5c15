// Slow path: the one place where the switch learns what time it is, real or made up by a test.

package agent

import (
	"sort"
	"sync"
	"time"
)

// Clock tells time since some fixed moment and calls functions later. Everything in agent that
// waits (timeouts of entries, probes, back-off) waits through it, so that a program with a
// ManualClock decides how fast time goes. Both methods are safe for concurrent callers.
type Clock interface {
	// Now is monotonic and starts near zero.
	Now() time.Duration
	// AfterFunc calls f once, d from now, in a goroutine of the clock's choosing. f must not block.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is one pending call of AfterFunc.
type Timer interface {
	// Stop keeps the call from happening; false when it has happened or is about to.
	Stop() bool
}

// NewClock returns the clock of the machine; Now counts from this call.
func NewClock() Clock { return &realClock{start: time.Now()} }

type realClock struct{ start time.Time }

func (c *realClock) Now() time.Duration { return time.Since(c.start) }

func (c *realClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

// ManualClock stands still until Advance moves it. The zero value is ready for use.
type ManualClock struct {
	mu      sync.Mutex
	now     time.Duration
	seq     uint64
	pending []*manualTimer // unordered; Advance picks the earliest
}

type manualTimer struct {
	clock *ManualClock
	at    time.Duration
	seq   uint64 // two timers of one moment run in the order they were made
	f     func()
}

var (
	_ Clock = (*realClock)(nil)
	_ Clock = (*ManualClock)(nil)
)

// Now is what Advance has added up so far.
func (c *ManualClock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc calls f from inside the Advance that reaches now+d.
func (c *ManualClock) AfterFunc(d time.Duration, f func()) Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	t := &manualTimer{clock: c, at: c.now + max(d, 0), seq: c.seq, f: f}
	c.pending = append(c.pending, t)
	return t
}

// Advance moves the clock on by d and runs, in order of their time and in the caller's goroutine,
// the functions that fall due on the way, those included that they arm themselves.
func (c *ManualClock) Advance(d time.Duration) {
	c.mu.Lock()
	end := c.now + d
	for {
		t := c.nextBefore(end)
		if t == nil {
			break
		}
		c.now = max(c.now, t.at)
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	c.now = max(c.now, end)
	c.mu.Unlock()
}

// nextBefore takes the earliest timer that is due by end out of the list. mu is held.
func (c *ManualClock) nextBefore(end time.Duration) *manualTimer {
	sort.Slice(c.pending, func(i, j int) bool {
		a, b := c.pending[i], c.pending[j]
		if a.at != b.at {
			return a.at < b.at
		}
		return a.seq < b.seq
	})
	if len(c.pending) == 0 || c.pending[0].at > end {
		return nil
	}
	t := c.pending[0]
	c.pending = c.pending[1:]
	return t
}

// Stop takes the timer out of its clock.
func (t *manualTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	for i, p := range t.clock.pending {
		if p == t {
			t.clock.pending = append(t.clock.pending[:i], t.clock.pending[i+1:]...)
			return true
		}
	}
	return false
}
