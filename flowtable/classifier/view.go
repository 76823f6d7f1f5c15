// Miss path: lookups in a frozen table.

package classifier

import (
	"iter"

	"github.com/weirswitch/weir/flowtable/packet"
)

// View is a frozen table, for any number of readers. The zero View is empty.
type View[V any] struct {
	subs []*subtable[V]
	n    int
	seed uint64
}

// Lookup returns the rule of highest priority that k matches (the first
// inserted among equals), or nil. When used is not nil, the bits of k that the
// answer rests on are added to it. No allocation.
func (v View[V]) Lookup(k *packet.Key, used *packet.Mask) *Rule[V] {
	var best *Rule[V]
	for _, s := range v.subs {
		if best != nil && best.Priority > s.max {
			break
		}
		if used != nil {
			if s.narrow(k, used) {
				continue
			}
			s.whole(used)
		}
		hash := hashKey(v.seed, s.words, k)
		if !s.sieve.hasRule(hash) {
			continue
		}
		if r := s.dir.lookup(hash, s.words, k); r != nil && (best == nil || r.before(best)) {
			best = r
		}
	}
	return best
}

// All ranges over every rule of the view, in no useful order.
func (v View[V]) All() iter.Seq[*Rule[V]] {
	return func(yield func(*Rule[V]) bool) {
		for _, s := range v.subs {
			for r := range s.dir.all {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Len is the number of rules in the view.
func (v View[V]) Len() int { return v.n }
