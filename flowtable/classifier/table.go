// Slow path: the writer's draft of a table.

package classifier

import (
	"iter"
	"slices"

	"github.com/weirswitch/weir/flowtable/packet"
)

// Table is the writer's side: a draft that is edited and then frozen. The zero
// Table is empty and usable; it must not be copied. One goroutine at a time.
type Table[V any] struct {
	// Seed of the hash; set before the first Insert, or leave zero.
	Seed uint64

	edition  edition
	seq      uint64
	n        int
	subs     []*subtable[V] // highest max first; shown by Views of other editions than subsEd
	subsEd   edition
	families map[packet.Mask]*family[V] // those with rules
	last     *family[V]                 // the one that Locate found last; nil: none
}

// subtable holds the rules of one mask.
type subtable[V any] struct {
	words  []maskWord
	levels []level
	max    uint16 // highest priority of its rules
	dir    directory[V]
	sieve  *sieve

	edition edition
	of      *family[V]
}

// family is what all rules of one mask share: the mask for everybody, the rest
// for the writer alone.
type family[V any] struct {
	mask  packet.Mask
	words []maskWord

	in    *Table[V]
	now   *subtable[V] // as it is in the draft
	prios []prioCount  // highest first

	// The bits that are one in the key of every rule, and of any. Rules that
	// went may still count here; too wide costs time, too narrow would lie.
	every, any packet.Key
}

type prioCount struct {
	prio uint16
	n    int
}

// count adds by to the number of rules of this priority.
func (f *family[V]) count(prio uint16, by int) {
	i, found := f.find(prio)
	if !found {
		f.prios = slices.Insert(f.prios, i, prioCount{prio, 0})
	}
	if f.prios[i].n += by; f.prios[i].n == 0 {
		f.prios = slices.Delete(f.prios, i, i+1)
	}
}

func (f *family[V]) find(prio uint16) (int, bool) {
	return slices.BinarySearchFunc(f.prios, prio, func(p prioCount, prio uint16) int {
		return int(prio) - int(p.prio)
	})
}

// widen notes a key in every and any.
func (f *family[V]) widen(key *packet.Key) {
	if f.now.dir.n == 0 {
		f.every, f.any = *key, *key
		return
	}
	for _, w := range f.words {
		f.every[w.at] &= key[w.at]
		f.any[w.at] |= key[w.at]
	}
}

// strange reports that no rule of the family agrees with key in the bits that
// both it and mask have.
func (f *family[V]) strange(key *packet.Key, mask *packet.Mask) bool {
	for _, w := range f.words {
		if (f.every[w.at]&^key[w.at]|key[w.at]&^f.any[w.at])&w.bits&mask[w.at] != 0 {
			return true
		}
	}
	return false
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
	c.of.now = &c
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
	if s.dir.n > 0 && s.max == s.of.prios[0].prio {
		return
	}
	t.ownSubs()
	i := slices.Index(t.subs, s)
	t.subs = slices.Delete(t.subs, i, i+1)
	if s.dir.n == 0 {
		delete(t.families, s.of.mask)
		s.of.now, t.last = nil, nil
		return
	}
	s.max = s.of.prios[0].prio
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

// Spot is where a rule of some key, mask and priority is, or would be. It holds
// until the next edit of the Table.
type Spot[V any] struct {
	Rule *Rule[V] // the one that is there, or nil
	of   *family[V]
	hash uint32
}

// Locate finds the spot of exactly this key, mask and priority.
func (t *Table[V]) Locate(key *packet.Key, mask *packet.Mask, prio uint16) Spot[V] {
	f := t.last
	if f == nil || f.mask != *mask {
		if f = t.families[*mask]; f == nil {
			return Spot[V]{}
		}
		t.last = f
	}
	hash := hashKey(t.Seed, f.words, key)
	return Spot[V]{f.now.dir.exact(hash, f.words, key, prio), f, hash}
}

// Find returns the rule with exactly this key, mask and priority, or nil.
func (t *Table[V]) Find(key *packet.Key, mask *packet.Mask, prio uint16) *Rule[V] {
	return t.Locate(key, mask, prio).Rule
}

// Put makes r a rule of this key, mask and priority, which at is the spot of;
// only its Value is the caller's to set, and Keep. The rule that is there goes: r takes its
// place in the order of insertion.
func (t *Table[V]) Put(at Spot[V], r *Rule[V], key *packet.Key, mask *packet.Mask, prio uint16) {
	f := at.of
	if f == nil {
		f = t.addFamily(mask, prio)
		at.hash = hashKey(t.Seed, f.words, key)
	}
	r.Priority, r.hash = prio, at.hash
	r.fill(f, key)
	s := t.own(f.now)
	if old := at.Rule; old != nil {
		r.seq = old.seq
		s.dir.replace(t.edition, old, r)
		return
	}
	if t.n++; r.seq == 0 {
		t.seq++
		r.seq = t.seq
	}
	f.widen(key)
	s.dir.insert(t.edition, r)
	s.sift(r, key)
	f.count(prio, 1)
	t.settle(s)
}

// Insert puts a rule made by NewRule into its spot, and returns the one that it
// replaces.
func (t *Table[V]) Insert(r *Rule[V]) (replaced *Rule[V]) {
	key, mask := r.Key(), r.Mask()
	at := t.Locate(&key, &mask, r.Priority)
	t.Put(at, r, &key, &mask, r.Priority)
	return at.Rule
}

func (t *Table[V]) addFamily(mask *packet.Mask, prio uint16) *family[V] {
	f := &family[V]{mask: *mask, words: wordsOf(mask), in: t}
	f.now = &subtable[V]{words: f.words, levels: levelsOf(mask), max: prio, edition: t.edition, of: f}
	if t.families == nil {
		t.families = make(map[packet.Mask]*family[V])
	}
	t.families[*mask] = f
	t.ownSubs()
	t.place(f.now)
	return f
}

// Delete removes r and reports whether it was there.
func (t *Table[V]) Delete(r *Rule[V]) bool {
	f := r.of
	if f.in != t || f.now == nil || !f.now.dir.has(r) {
		return false
	}
	s := t.own(f.now)
	s.dir.remove(t.edition, r)
	if s.sieve.rules > 1024 && s.dir.n < s.sieve.rules/8 {
		s.resift()
	}
	f.count(r.Priority, -1)
	t.n--
	t.settle(s)
	return true
}

// Clear removes every rule at once.
func (t *Table[V]) Clear() {
	for _, f := range t.families {
		f.now = nil // Delete of a rule that went finds out
	}
	t.families, t.last, t.n = nil, nil, 0
	t.subs, t.subsEd = nil, t.edition
}

// Overlaps returns a rule of this priority that some key could match together
// with (key, mask), or nil. The rule with the same key and mask, whose place a
// new one would take, does not count. Masks that are not coarser than mask are
// searched rule by rule, unless no rule of them can agree.
func (t *Table[V]) Overlaps(key *packet.Key, mask *packet.Mask, prio uint16) *Rule[V] {
	for _, s := range t.subs {
		f := s.of
		if _, has := f.find(prio); !has || f.mask == *mask || f.strange(key, mask) {
			continue
		}
		if mask.Covers(&f.mask) {
			if r := s.dir.exact(hashKey(t.Seed, s.words, key), s.words, key, prio); r != nil {
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
	for i, w := range r.of.words {
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
			f := s.of
			if !f.mask.Covers(mask) || f.strange(key, mask) {
				continue
			}
			if f.mask == *mask {
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
