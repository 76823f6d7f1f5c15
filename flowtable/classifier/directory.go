// Miss path: the hash directory of one subtable, looked up in by readers and edited by the writer.

package classifier

import (
	"math/bits"
	"slices"

	"github.com/weirswitch/weir/flowtable/packet"
)

// edition numbers the time between two Freezes. A node made in the present
// edition is shown by no View and is edited in place; an older one is copied.
type edition uint64

const (
	leafSize = 16
	fan      = 64 // of branch and twig
	fanBits  = 6
	maxDepth = 28 // of 32 bits of hash
)

// leaf holds the rules whose hashes begin with the same depth bits.
type leaf[V any] struct {
	edition edition
	depth   uint8
	n       uint8
	tags    [leafSize / 4]uint64 // four 16-bit tags a word, in the order of rules
	high    [leafSize]uint16     // the upper half of the rules' hashes, so that a split reads no rule
	rules   [leafSize]*Rule[V]   // the first n
	more    *overflow[V]
}

// overflow takes the rules of a full leaf that cannot be split: many with one
// hash, or too few rules in the table to double the directory for a crowd.
type overflow[V any] struct {
	edition edition
	rules   []*Rule[V] // by hash, then as before() says
}

type twig[V any] struct {
	edition edition
	leaves  [fan]*leaf[V]
}

type branch[V any] struct {
	edition edition
	twigs   [fan]*twig[V]
}

// directory maps the first depth bits of a hash to a leaf. A leaf of smaller
// depth stands in several neighbouring places. Depth 0 is one leaf alone.
type directory[V any] struct {
	depth uint8
	n     int // rules
	only  *leaf[V]
	root  []*branch[V] // edition rootEd
	ed    edition
}

// tagOf takes the bits of the hash that the directory uses last. Never zero,
// so that an empty place matches nothing.
func tagOf(hash uint32) uint64 { return uint64(uint16(hash)) | 1 }

const lanes = 0x0001_0001_0001_0001

// lanesEqual marks the 16-bit lanes of word that equal tag by their top bit. A
// lane above a marked one may be marked wrongly: the caller compares keys.
func lanesEqual(word, tag uint64) uint64 {
	x := word ^ tag*lanes
	return (x - lanes) &^ x & (lanes << 15)
}

func (d *directory[V]) place(hash uint32) uint32 {
	return uint32(uint64(hash) >> (32 - d.depth))
}

// at returns the leaf in place i; nil in an empty directory.
func (d *directory[V]) at(i uint32) *leaf[V] {
	if d.depth == 0 {
		return d.only
	}
	return d.root[i>>(2*fanBits)].twigs[i>>fanBits%fan].leaves[i%fan]
}

// put stores lf in place i, copying what an older edition may show.
func (d *directory[V]) put(ed edition, i uint32, lf *leaf[V]) {
	if d.depth == 0 {
		d.only = lf
		return
	}
	if d.ed != ed {
		d.root, d.ed = slices.Clone(d.root), ed
	}
	br := d.root[i>>(2*fanBits)]
	if br.edition != ed {
		c := *br
		c.edition = ed
		br = &c
		d.root[i>>(2*fanBits)] = br
	}
	tw := br.twigs[i>>fanBits%fan]
	if tw.edition != ed {
		c := *tw
		c.edition = ed
		tw = &c
		br.twigs[i>>fanBits%fan] = tw
	}
	tw.leaves[i%fan] = lf
}

// span is the range of places that show lf, which stands in place i.
func (d *directory[V]) span(i uint32, lf *leaf[V]) (first, count uint32) {
	count = 1 << (d.depth - lf.depth)
	return i &^ (count - 1), count
}

// own returns the leaf for hash, editable.
func (d *directory[V]) own(ed edition, hash uint32) *leaf[V] {
	i := d.place(hash)
	lf := d.at(i)
	if lf != nil && lf.edition == ed {
		return lf
	}
	c := &leaf[V]{}
	if lf != nil {
		*c = *lf
	}
	c.edition = ed
	first, count := d.span(i, c)
	for j := range count {
		d.put(ed, first+j, c)
	}
	return c
}

// insert adds a rule that is not there yet.
func (d *directory[V]) insert(ed edition, r *Rule[V]) {
	d.n++
	for {
		lf := d.at(d.place(r.hash))
		if lf == nil || lf.n < leafSize {
			break
		}
		if lf.depth == d.depth && !d.double(ed) {
			break
		}
		d.split(ed, r.hash)
	}
	d.own(ed, r.hash).add(ed, r)
}

// double gives the directory one bit more when the rules are worth it: four or
// more a place. So its size is bounded, whatever the hashes are.
func (d *directory[V]) double(ed edition) bool {
	if d.n < 8<<d.depth || d.depth == maxDepth {
		return false
	}
	old := *d
	d.grow(ed, old.depth+1)
	for i := range uint32(1) << d.depth {
		d.put(ed, i, old.at(i>>1))
	}
	return true
}

// grow makes an empty directory of this depth.
func (d *directory[V]) grow(ed edition, depth uint8) {
	d.depth, d.only, d.ed = depth, nil, ed
	size := uint32(1) << depth
	d.root = make([]*branch[V], (size+fan*fan-1)/(fan*fan))
	for i := range d.root {
		d.root[i] = &branch[V]{edition: ed}
	}
	for i := uint32(0); i < size; i += fan {
		d.root[i>>(2*fanBits)].twigs[i>>fanBits%fan] = &twig[V]{edition: ed}
	}
}

// split deals the leaf for hash into two by its next bit.
func (d *directory[V]) split(ed edition, hash uint32) {
	i := d.place(hash)
	lf := d.at(i)
	first, count := d.span(i, lf)
	var half [2]*leaf[V]
	for j := range half {
		half[j] = &leaf[V]{edition: ed, depth: lf.depth + 1}
	}
	for i := range lf.n {
		hash := uint32(lf.high[i])<<16 | uint32(lf.tag(i))
		half[hash>>(31-lf.depth)&1].append(hash, lf.rules[i])
	}
	if lf.more != nil {
		for _, r := range lf.more.rules {
			half[r.hash>>(31-lf.depth)&1].add(ed, r)
		}
	}
	for j := range count {
		d.put(ed, first+j, half[j*2/count])
	}
}

// has reports whether this very rule is there.
func (d *directory[V]) has(r *Rule[V]) bool {
	lf := d.at(d.place(r.hash))
	if lf == nil || slices.Contains(lf.rules[:lf.n], r) {
		return lf != nil
	}
	if lf.more == nil {
		return false
	}
	i := lf.more.index(r)
	return i < len(lf.more.rules) && lf.more.rules[i] == r
}

// remove takes r out; it must be there.
func (d *directory[V]) remove(ed edition, r *Rule[V]) {
	d.own(ed, r.hash).drop(ed, r)
	d.n--
	if d.depth > 0 && d.n < 1<<d.depth/2 {
		d.shrink(ed)
	}
}

// shrink builds the directory anew when most of its leaves are nearly empty,
// so that memory returns. The deletes that led here pay for it.
func (d *directory[V]) shrink(ed edition) {
	old := *d
	*d = directory[V]{ed: ed}
	for r := range old.all {
		d.insert(ed, r)
	}
}

// all yields every rule.
func (d *directory[V]) all(yield func(*Rule[V]) bool) {
	for i := uint32(0); i < 1<<d.depth; {
		lf := d.at(i)
		if lf == nil {
			return
		}
		for r := range lf.all {
			if !yield(r) {
				return
			}
		}
		i += 1 << (d.depth - lf.depth)
	}
}

// replace puts r into the place of old, which has the same hash.
func (d *directory[V]) replace(ed edition, old, r *Rule[V]) {
	lf := d.own(ed, r.hash)
	if i := slices.Index(lf.rules[:lf.n], old); i >= 0 {
		lf.rules[i] = r
		return
	}
	m := lf.ownMore(ed)
	m.rules[m.index(old)] = r
}

// add stores a rule in an editable leaf.
func (lf *leaf[V]) add(ed edition, r *Rule[V]) {
	if lf.n < leafSize {
		lf.append(r.hash, r)
		return
	}
	m := lf.ownMore(ed)
	m.rules = slices.Insert(m.rules, m.index(r), r)
}

// append stores a rule of this hash, but for its lowest bit, behind the others of a leaf that has room.
func (lf *leaf[V]) append(hash uint32, r *Rule[V]) {
	lf.setTag(lf.n, tagOf(hash))
	lf.high[lf.n] = uint16(hash >> 16)
	lf.rules[lf.n] = r
	lf.n++
}

// order sorts an overflow.
func order[V any](a, b *Rule[V]) int {
	switch {
	case a.hash != b.hash:
		if a.hash < b.hash {
			return -1
		}
		return 1
	case a == b:
		return 0
	case a.before(b):
		return -1
	}
	return 1
}

// index is the place of a rule, or where it belongs.
func (o *overflow[V]) index(r *Rule[V]) int {
	i, _ := slices.BinarySearchFunc(o.rules, r, order)
	return i
}

func (lf *leaf[V]) tag(i uint8) uint16 { return uint16(lf.tags[i/4] >> (i % 4 * 16)) }

func (lf *leaf[V]) setTag(i uint8, tag uint64) {
	shift := i % 4 * 16
	lf.tags[i/4] = lf.tags[i/4]&^(0xffff<<shift) | tag<<shift
}

// drop takes a rule out of an editable leaf.
func (lf *leaf[V]) drop(ed edition, r *Rule[V]) {
	i := slices.Index(lf.rules[:lf.n], r)
	if i < 0 {
		m := lf.ownMore(ed)
		i = m.index(r)
		if m.rules = slices.Delete(m.rules, i, i+1); len(m.rules) == 0 {
			lf.more = nil
		}
		return
	}
	last := lf.n - 1
	lf.rules[i] = lf.rules[last]
	lf.setTag(uint8(i), uint64(lf.tag(last)))
	lf.high[i] = lf.high[last]
	lf.rules[last] = nil
	lf.setTag(last, 0)
	lf.n = last
}

func (lf *leaf[V]) ownMore(ed edition) *overflow[V] {
	switch {
	case lf.more == nil:
		lf.more = &overflow[V]{edition: ed}
	case lf.more.edition != ed:
		lf.more = &overflow[V]{ed, slices.Clone(lf.more.rules)}
	}
	return lf.more
}

func (lf *leaf[V]) all(yield func(*Rule[V]) bool) {
	for _, r := range lf.rules[:lf.n] {
		if !yield(r) {
			return
		}
	}
	if lf.more != nil {
		for _, r := range lf.more.rules {
			if !yield(r) {
				return
			}
		}
	}
}

// lookup returns the first rule, in the order of before(), that k matches.
func (d *directory[V]) lookup(hash uint32, words []maskWord, k *packet.Key) *Rule[V] {
	lf := d.at(d.place(hash))
	if lf == nil {
		return nil
	}
	var best *Rule[V]
	tag := tagOf(hash)
	for i := range lf.tags {
		for m := lanesEqual(lf.tags[i], tag); m != 0; m &= m - 1 {
			r := lf.rules[i*4+bits.TrailingZeros64(m)/16]
			if r != nil && r.matches(words, k) && (best == nil || r.before(best)) {
				best = r
			}
		}
	}
	if lf.more != nil {
		if r := lf.more.lookup(hash, words, k); r != nil && (best == nil || r.before(best)) {
			best = r
		}
	}
	return best
}

// run is the index of the first rule with this hash and a priority of at most
// prio.
func (o *overflow[V]) run(hash uint32, prio uint16) int {
	lo, hi := 0, len(o.rules)
	for lo < hi {
		mid := (lo + hi) / 2
		if r := o.rules[mid]; r.hash < hash || r.hash == hash && r.Priority > prio {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

const anyPriority = 1<<16 - 1 // the highest

func (o *overflow[V]) lookup(hash uint32, words []maskWord, k *packet.Key) *Rule[V] {
	for _, r := range o.rules[o.run(hash, anyPriority):] {
		if r.hash != hash {
			break
		}
		if r.matches(words, k) {
			return r
		}
	}
	return nil
}

// exact returns the rule that k matches and that has this priority. What it
// costs grows with the logarithm of the rules that share the hash.
func (d *directory[V]) exact(hash uint32, words []maskWord, k *packet.Key, prio uint16) (found *Rule[V]) {
	lf := d.at(d.place(hash))
	if lf == nil {
		return nil
	}
	tag := tagOf(hash)
	for i := range lf.tags {
		for m := lanesEqual(lf.tags[i], tag); m != 0; m &= m - 1 {
			at := i*4 + bits.TrailingZeros64(m)/16
			if lf.high[at] != uint16(hash>>16) {
				continue
			}
			if r := lf.rules[at]; r != nil && r.Priority == prio && r.matches(words, k) {
				return r
			}
		}
	}
	if lf.more != nil { // its first rule from there on is the one, or there is none
		lf.more.withKey(hash, prio, words, k, func(r *Rule[V]) bool {
			if r.Priority == prio {
				found = r
			}
			return false
		})
	}
	return found
}

// withKey yields the rules that k matches, of every priority.
func (d *directory[V]) withKey(hash uint32, words []maskWord, k *packet.Key, yield func(*Rule[V]) bool) bool {
	lf := d.at(d.place(hash))
	if lf == nil {
		return true
	}
	return lf.withKey(hash, words, k, yield) && (lf.more == nil || lf.more.withKey(hash, anyPriority, words, k, yield))
}

// withKey leaves out the overflow.
func (lf *leaf[V]) withKey(hash uint32, words []maskWord, k *packet.Key, yield func(*Rule[V]) bool) bool {
	tag := tagOf(hash)
	for i := range lf.tags {
		for m := lanesEqual(lf.tags[i], tag); m != 0; m &= m - 1 {
			r := lf.rules[i*4+bits.TrailingZeros64(m)/16]
			if r != nil && r.matches(words, k) && !yield(r) {
				return false
			}
		}
	}
	return true
}

// withKey begins at priority prio and goes downwards.
func (o *overflow[V]) withKey(hash uint32, prio uint16, words []maskWord, k *packet.Key, yield func(*Rule[V]) bool) bool {
	for _, r := range o.rules[o.run(hash, prio):] {
		if r.hash != hash {
			break
		}
		if r.matches(words, k) && !yield(r) {
			return false
		}
	}
	return true
}
