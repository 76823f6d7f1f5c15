// Hot path: what onlookers (weir snoop, capture and watch) are given: copies, in a queue that nobody waits for.

package agent

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// onlookerNotes and onlookerBytes are what may wait for one onlooker. Beyond it notes are missed, and counted.
	onlookerNotes = 16384
	onlookerBytes = 8 << 20
	// maxOnlookers may look at one thing at once.
	maxOnlookers = 8
)

// onlooker is a queue between what must not wait (a worker, a connection) and one reader who may be slow:
// the slow one misses some, and is told how many.
type onlooker[T any] struct {
	wake chan struct{} // has a token when there is something to take

	mu     sync.Mutex // guards what follows; held for a copy
	notes  []noted[T]
	data   []byte
	missed uint64 // since the last note

	// The reader's own.
	spareNotes []noted[T]
	spareData  []byte
}

// noted is one thing seen; its bytes are data[from:to] of the onlooker.
type noted[T any] struct {
	what     T
	from, to int
	missed   uint64 // before it
}

func newOnlooker[T any]() *onlooker[T] { return &onlooker[T]{wake: make(chan struct{}, 1)} }

// put copies a note, or counts it as missed.
func (o *onlooker[T]) put(what T, data []byte) {
	o.mu.Lock()
	if len(o.notes) >= onlookerNotes || len(o.data)+len(data) > onlookerBytes {
		o.missed++
		o.mu.Unlock()
		return
	}
	from := len(o.data)
	o.data = append(o.data, data...)
	o.notes = append(o.notes, noted[T]{what, from, len(o.data), o.missed})
	o.missed = 0
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default: // has not come for the last one yet
	}
}

// take swaps what is there for two empty buffers. missed counts what came after the last note.
func (o *onlooker[T]) take(notes []noted[T], data []byte) ([]noted[T], []byte, uint64) {
	clear(notes)
	o.mu.Lock()
	defer o.mu.Unlock()
	notes, o.notes = o.notes, notes[:0]
	data, o.data = o.data, data[:0]
	missed := o.missed
	o.missed = 0
	return notes, data, missed
}

// audience is who looks at one thing. Nobody is one atomic load.
type audience[T any] struct {
	list atomic.Pointer[[]*T]
	mu   sync.Mutex // one change of list at a time
}

// present is nil when nobody looks.
func (a *audience[T]) present() *[]*T { return a.list.Load() }

func (a *audience[T]) join(o *T) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []*T
	if l := a.list.Load(); l != nil {
		list = *l
	}
	if len(list) >= maxOnlookers {
		return fmt.Errorf("%d are looking already: end one of them first", maxOnlookers)
	}
	list = append(slices.Clone(list), o)
	a.list.Store(&list)
	return nil
}

func (a *audience[T]) leave(o *T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(*a.list.Load()), func(p *T) bool { return p == o })
	if len(list) == 0 {
		a.list.Store(nil)
		return
	}
	a.list.Store(&list)
}
