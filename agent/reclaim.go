// Slow path: memory goes back to the system soon after many entries went.

package agent

import (
	"runtime/debug"
	"sync"
	"time"
)

const (
	// reclaimEntries is how many entries must have gone before a collection is worth its time: some 15 MiB.
	reclaimEntries = 1 << 16
	// reclaimAfter is how long the number of entries must have stayed near its low before that.
	reclaimAfter = time.Second
)

// reclaimer notices that many entries went. Go's collector alone would wait for as much new memory to be
// asked for as is in use, or two minutes, and the system would get its pages back later still.
type reclaimer struct {
	most int           // entries since the last collection, at their highest
	low  int           // and at their lowest after that
	when time.Duration // since when low has stood
}

const (
	// floodEntries is how many entries a tick must bring to be called a flood.
	floodEntries = 4096
	// floodPercent is the collector's patience (GOGC) in a flood. Little of what a flood asks memory for becomes
	// garbage, so a collection of every doubling finds nothing and costs a third of the processor.
	floodPercent = 400
)

// flood notices that a switch is being filled.
type flood struct {
	last int // entries at the tick before
	on   bool
}

// tick is told the number of entries.
func (f *flood) tick(n int) {
	if on := n-f.last >= floodEntries; on != f.on {
		f.on = on
		collector.flooded(on)
	}
	f.last = n
}

// patience is what all switches of the process want of the one collector.
type patience struct {
	mu     sync.Mutex
	floods int
	usual  int // GOGC without them
}

var collector patience

// flooded is called when a flood begins and when it ends.
func (p *patience) flooded(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on:
		if p.floods++; p.floods == 1 {
			if p.usual = debug.SetGCPercent(floodPercent); p.usual < 0 || p.usual > floodPercent { // somebody's own choice
				debug.SetGCPercent(p.usual)
			}
		}
	default:
		if p.floods--; p.floods == 0 {
			debug.SetGCPercent(p.usual)
		}
	}
}

// due says whether it is time, given the number of entries now.
func (r *reclaimer) due(now time.Duration, n int) bool {
	switch {
	case n >= r.most:
		*r = reclaimer{n, n, now}
	case n < r.low:
		r.low, r.when = n, now
	case r.most-n >= reclaimEntries && now-r.when >= reclaimAfter:
		*r = reclaimer{n, n, now}
		return true
	}
	return false
}

// waits says that due will say so soon.
func (r *reclaimer) waits() bool { return r.most-r.low >= reclaimEntries }

// reclaim lets the resting workers forget the tables they saw last, collects, and returns the pages. It
// takes a part of a second of one processor; frames and messages go on meanwhile.
func (s *Switch) reclaim() {
	var resting []*worker
	for range cap(s.workers) {
		select {
		case w := <-s.workers:
			w.proc.Forget()
			resting = append(resting, w)
		default: // a worker at work sees the present tables by itself
		}
	}
	for _, w := range resting {
		s.workers <- w
	}
	debug.FreeOSMemory()
}
