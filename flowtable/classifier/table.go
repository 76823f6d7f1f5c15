// Slow path: the writer's draft of a table.

package classifier

import (
	"iter"
	"slices"

	"github.com/weirswitch/weir/flowtable/packet"
)

// Table is the writer's side: a draft that is edited and then frozen. The zero
// Table is empty and usable. One goroutine at a time.
type Table[V any] struct {
	// Seed of the hash; set before the first Insert, or leave zero.
	Seed uint64

	edition edition
	seq     uint64
	n       int
	subs    []*subtable[V] // highest max first; shown by Views of other editions than subsEd
	subsEd  edition
	masks   map[packet.Mask]*subtable[V] // the same subtables, as they are now
}

// subtable holds the rules of one mask.
type subtable[V any] struct {
	words []maskWord
	max   uint16 // highest priority of its rules
	dir   directory[V]

	edition edition
	draft   *draft // the writer's alone; Views ignore it
}

// draft is what only the writer needs to know of a subtable.
type draft struct {
	mask  packet.Mask
	words *maskWords
	prios []prioCount // highest first
}

type prioCount struct {
	prio uint16
	n    int
}

// count adds by to the number of rules of this priority.
func (d *draft) count(prio uint16, by int) {
	i, found := d.find(prio)
	if !found {
		d.prios = slices.Insert(d.prios, i, prioCount{prio, 0})
	}
	if d.prios[i].n += by; d.prios[i].n == 0 {
		d.prios = slices.Delete(d.prios, i, i+1)
	}
}

func (d *draft) find(prio uint16) (int, bool) {
	return slices.BinarySearchFunc(d.prios, prio, func(p prioCount, prio uint16) int {
		return int(prio) - int(p.prio)
	})
}

// own returns the subtable for editing, in place in every list.
func (t *Table[V]) own(s *subtable[V]) *subtable[V] {
	if s.edition == t.edition {
		return s
	}
	c := *s
	c.edition = t.edition
	t.ownSubs()
	t.subs[slices.Index(t.subs, s)] = &c
	t.masks[c.draft.mask] = &c
	return &c
}

func (t *Table[V]) ownSubs() {
	if t.subsEd != t.edition {
		t.subs, t.subsEd = slices.Clone(t.subs), t.edition
	}
}

// settle brings the subtable's maximum and its place in the list up to date,
// and drops it when it is empty.
func (t *Table[V]) settle(s *subtable[V]) {
	if s.dir.n > 0 && s.max == s.draft.prios[0].prio {
		return
	}
	t.ownSubs()
	i := slices.Index(t.subs, s)
	t.subs = slices.Delete(t.subs, i, i+1)
	if s.dir.n == 0 {
		delete(t.masks, s.draft.mask)
		return
	}
	s.max = s.draft.prios[0].prio
	t.place(s)
}

// place inserts the subtable into the list behind those of its priority.
func (t *Table[V]) place(s *subtable[V]) {
	i, _ := slices.BinarySearchFunc(t.subs, s.max, func(o *subtable[V], p uint16) int {
		if o.max >= p {
			return -1
		}
		return 1
	})
	t.subs = slices.Insert(t.subs, i, s)
}

// Insert adds r. A rule with the same key, mask and priority is replaced and
// returned; r then takes its place in the order of insertion.
func (t *Table[V]) Insert(r *Rule[V]) (replaced *Rule[V]) {
	mask := r.Mask()
	s := t.masks[mask]
	if s == nil {
		s = t.addSubtable(mask, r.words, r.Priority)
	}
	key := r.Key()
	r.words = s.draft.words
	r.hash = hashKey(t.Seed, s.words, &key)
	s = t.own(s)
	if old := s.exact(r.hash, &key, r.Priority); old != nil {
		r.seq = old.seq
		s.dir.replace(t.edition, old, r)
		return old
	}
	t.seq++
	t.n++
	r.seq = t.seq
	s.dir.insert(t.edition, r)
	s.draft.count(r.Priority, 1)
	t.settle(s)
	return nil
}

func (t *Table[V]) addSubtable(mask packet.Mask, words *maskWords, prio uint16) *subtable[V] {
	s := &subtable[V]{words: words.words, max: prio, edition: t.edition, draft: &draft{mask: mask, words: words}}
	if t.masks == nil {
		t.masks = make(map[packet.Mask]*subtable[V])
	}
	t.masks[mask] = s
	t.ownSubs()
	t.place(s)
	return s
}

// exact returns the rule that has k's bits and this priority.
func (s *subtable[V]) exact(hash uint32, k *packet.Key, prio uint16) *Rule[V] {
	return s.dir.exact(hash, s.words, k, prio)
}

// Delete removes r and reports whether it was there.
func (t *Table[V]) Delete(r *Rule[V]) bool {
	mask := r.Mask()
	s := t.masks[mask]
	if s == nil {
		return false
	}
	key := r.Key()
	if s.exact(r.hash, &key, r.Priority) != r {
		return false
	}
	s = t.own(s)
	s.dir.remove(t.edition, r)
	s.draft.count(r.Priority, -1)
	t.n--
	t.settle(s)
	return true
}

// Find returns the rule with exactly this key, mask and priority, or nil.
func (t *Table[V]) Find(key *packet.Key, mask *packet.Mask, prio uint16) *Rule[V] {
	s := t.masks[*mask]
	if s == nil {
		return nil
	}
	return s.exact(hashKey(t.Seed, s.words, key), key, prio)
}

// Overlaps returns a rule of this priority that some key could match together
// with (key, mask), or nil. The rule with the same key and mask, whose place a
// new one would take, does not count. Masks that are not coarser than mask are
// searched rule by rule.
func (t *Table[V]) Overlaps(key *packet.Key, mask *packet.Mask, prio uint16) *Rule[V] {
	for _, s := range t.subs {
		if _, has := s.draft.find(prio); !has || s.draft.mask == *mask {
			continue
		}
		if mask.Covers(&s.draft.mask) {
			if r := s.exact(hashKey(t.Seed, s.words, key), key, prio); r != nil {
				return r
			}
			continue
		}
		for r := range s.dir.all {
			if r.Priority == prio && r.agrees(key, mask) {
				return r
			}
		}
	}
	return nil
}

// agrees reports whether r and (key, mask) agree in the bits that both match.
func (r *Rule[V]) agrees(key *packet.Key, mask *packet.Mask) bool {
	for i, w := range r.words.words {
		if (r.word(i)^key[w.at])&w.bits&mask[w.at] != 0 {
			return false
		}
	}
	return true
}

// All ranges over every rule, in no useful order. The table may be edited
// meanwhile: the sequence is what was there when it began.
func (t *Table[V]) All() iter.Seq[*Rule[V]] {
	return func(yield func(*Rule[V]) bool) { t.Freeze().All()(yield) }
}

// Within ranges over the rules at least as specific as (key, mask): those
// that have all of its bits in their mask, with its values. Edits as in All.
func (t *Table[V]) Within(key *packet.Key, mask *packet.Mask) iter.Seq[*Rule[V]] {
	return func(yield func(*Rule[V]) bool) {
		for _, s := range t.Freeze().subs {
			if !s.draft.mask.Covers(mask) {
				continue
			}
			if s.draft.mask == *mask {
				if !s.dir.withKey(hashKey(t.Seed, s.words, key), s.words, key, yield) {
					return
				}
				continue
			}
			for r := range s.dir.all {
				if r.agrees(key, mask) && !yield(r) {
					return
				}
			}
		}
	}
}

// Len is the number of rules.
func (t *Table[V]) Len() int { return t.n }

// Freeze returns the table as it is now. The view never changes; later edits
// copy what they touch. Constant time.
func (t *Table[V]) Freeze() View[V] {
	t.edition++
	return View[V]{t.subs, t.n, t.Seed}
}
