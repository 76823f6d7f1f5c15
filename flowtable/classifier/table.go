package classifier

import (
	"iter"

	"github.com/weirswitch/weir/flowtable/packet"
)

// Rule is one entry: a key under a mask, a priority and the caller's value. It
// is made by NewRule, belongs to at most one Table, and but for Value never
// changes.
type Rule[V any] struct {
	Value    V
	Priority uint16
}

// NewRule makes a rule that matches every key equal to key under mask.
func NewRule[V any](key *packet.Key, mask *packet.Mask, prio uint16, v V) *Rule[V] {
	return &Rule[V]{Value: v, Priority: prio}
}

// Key returns the rule's key, zero outside its mask.
func (r *Rule[V]) Key() (k packet.Key) { return }

// Mask returns the rule's mask.
func (r *Rule[V]) Mask() (m packet.Mask) { return }

// Seq is the rule's place in the order of insertion into its table.
func (r *Rule[V]) Seq() uint64 { return 0 }

// Table is the writer's side: a draft that is edited and then frozen. The zero
// Table is empty and usable. One goroutine at a time.
type Table[V any] struct {
	// Seed of the hash; set before the first Insert, or leave zero.
	Seed uint64
}

// Insert adds r. A rule with the same key, mask and priority is replaced and
// returned; r then takes its place in the order of insertion.
func (t *Table[V]) Insert(r *Rule[V]) (replaced *Rule[V]) { return nil }

// Delete removes r and reports whether it was there.
func (t *Table[V]) Delete(r *Rule[V]) bool { return false }

// Find returns the rule with exactly this key, mask and priority, or nil.
func (t *Table[V]) Find(key *packet.Key, mask *packet.Mask, prio uint16) *Rule[V] { return nil }

// Overlaps returns a rule of this priority that some key could match together
// with (key, mask), or nil. A rule with the same key and mask counts.
func (t *Table[V]) Overlaps(key *packet.Key, mask *packet.Mask, prio uint16) *Rule[V] { return nil }

// All ranges over every rule, in no useful order. The table may be edited
// meanwhile: the sequence is what was there when it began.
func (t *Table[V]) All() iter.Seq[*Rule[V]] { return func(func(*Rule[V]) bool) {} }

// Within ranges over the rules at least as specific as (key, mask): those
// that have all of its bits in their mask, with its values. Edits as in All.
func (t *Table[V]) Within(key *packet.Key, mask *packet.Mask) iter.Seq[*Rule[V]] {
	return func(func(*Rule[V]) bool) {}
}

// Len is the number of rules.
func (t *Table[V]) Len() int { return 0 }

// Freeze returns the table as it is now. The view never changes; later edits
// copy what they touch. Constant time.
func (t *Table[V]) Freeze() View[V] { return View[V]{} }

// View is a frozen table, for any number of readers.
type View[V any] struct{}

// Lookup returns the rule of highest priority that k matches (the first
// inserted among equals), or nil. When used is not nil, the bits of k that the
// answer rests on are added to it. No allocation.
func (v View[V]) Lookup(k *packet.Key, used *packet.Mask) *Rule[V] { return nil }

// All ranges over every rule of the view.
func (v View[V]) All() iter.Seq[*Rule[V]] { return func(func(*Rule[V]) bool) {} }

// Len is the number of rules in the view.
func (v View[V]) Len() int { return 0 }
