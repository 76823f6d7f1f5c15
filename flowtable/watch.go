// Slow path: runs one frame as Process does, and remembers what it met.

package flowtable

import (
	"slices"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
)

// Verdict is what the tables decided about one frame. What left the engine the Sink has seen.
type Verdict struct {
	Steps     []Step
	Miss      int          // table that had no entry for it; -1: there was none
	Cached    bool         // decided by what a frame before it met
	Kept      bool         // a fragment that waits for the others
	Resubmits int          // how many there were
	Behind    []BehindStep // what lookups by resubmits met, at most maxBehind
	Drops     []Drop       // why it, or copies of it, went nowhere
}

// BehindStep is a lookup by a resubmit, or by a goto_table behind one.
type BehindStep struct {
	Step
	Found bool // false: the table had no entry for it
	Under int  // which of Steps led there
	Depth int  // resubmits around it, from 1
}

// maxBehind bounds what is told of one frame: resubmits can call each other thousands of times.
const maxBehind = 32

// watcher is the Sink of a frame that is watched. Resubmits know it by its type: they are not in the path, and a frame that
// nobody watches pays a comparison for each.
type watcher struct {
	Sink
	v   *Verdict
	met []*Entry // of the path that the frame follows
}

// resubmitted notes what a lookup behind a resubmit found.
func (w *watcher) resubmitted(pr *Processor, table int, e *Entry) {
	if len(w.v.Behind) == maxBehind {
		return
	}
	b := BehindStep{Step: Step{Table: uint8(table)}, Found: e != nil, Under: slices.Index(w.met, pr.outer), Depth: pr.nested}
	if b.Under < 0 {
		b.Under = len(w.met) + len(pr.trail.steps) - 1
	}
	if e != nil {
		b.Priority, b.Cookie = e.Priority, e.Cookie
	}
	w.v.Behind = append(w.v.Behind, b)
}

// Step is one entry met.
type Step struct {
	Table    uint8
	Priority uint16
	Cookie   uint64
}

// Watch is Process for a batch of one frame; v tells what became of it. It costs more than Process and
// changes nothing else.
func (pr *Processor) Watch(now time.Duration, f *packet.Frame, s Sink, v *Verdict) {
	*v = Verdict{Miss: noTable}
	w := &watcher{Sink: s, v: v}
	pr.begin(now, w)
	f.Parse()
	pr.trail.reset()
	pr.resubmits = 0
	switch {
	case !pr.admit(f): // a fragment that completes its packet has been walked with it
		v.add(pr.trail.steps)
		v.Kept = isFragment(f) && len(v.Steps) == 0 && pr.drops == Drops{}
	case pr.p.cfg.NoCache:
		pr.walkWhole(f)
		v.add(pr.trail.steps)
	default:
		pr.watchCached(f, w)
	}
	if v.Miss = max(v.Miss, int(pr.trail.miss)); pr.drops[DropMiss] == 0 {
		v.Miss = noTable // the frame did not come that far
	}
	v.Resubmits = pr.resubmits
	for d, n := range pr.drops.All() {
		if n > 0 {
			v.Drops = append(v.Drops, d)
		}
	}
	pr.end()
}

// watchCached is process for one frame.
func (pr *Processor) watchCached(f *packet.Frame, w *watcher) {
	v := w.v
	hash := pr.cache.hash(f)
	p := pr.cache.search(f, hash)
	if p == nil {
		pr.walkAndKeep(f, hash)
		v.add(pr.trail.steps)
		return
	}
	v.Cached = true
	met := p.entries()
	w.met = met
	pr.follow(p, f)
	if i := slices.Index(met, pr.at); i >= 0 && len(pr.trail.steps) == 0 {
		met = met[:i+1] // an op may have ended it there
	}
	if m := p.miss(); m != noPathTable {
		v.Miss = int(m)
	}
	v.add(met)
	v.add(pr.trail.steps) // of a path that ends where a header came off
}

func (v *Verdict) add(list []*Entry) {
	for _, e := range list {
		v.Steps = append(v.Steps, Step{e.Table, e.Priority, e.Cookie})
	}
}

// entries are those of a path's steps.
func (p *path) entries() (list []*Entry) {
	for _, s := range p.steps() {
		list = append(list, s.e)
	}
	return list
}
