// Miss path: which values occur in a subtable, so that a lookup can pass it by after a look at few bits.

package classifier

import (
	"math/bits"
	"sync/atomic"

	"github.com/weirswitch/weir/flowtable/packet"
)

// sieve is a Bloom filter of one subtable. It holds the hash of each rule's key, and of the parts of it
// that the levels name. What it does not have, no rule has; what it has, perhaps none.
//
// Bits are only ever set, so all editions of a subtable share one: an older one then sees values that came
// later, which makes it slow and not wrong. A sieve that has become dense is made anew for the next edition.
type sieve struct {
	words []uint64
	shift uint8 // of a hash, leaves the number of a word
	ones  int   // bits that are set
	rules int   // entered so far
}

// level is a part of a word of the mask.
type level struct {
	bits  uint64
	salt  uint64
	at    uint8
	shift uint8 // zeros behind bits
}

// parts are how words are cut into levels, what is best to know of a frame in front: what the pipeline has
// added costs no bits of the frame; protocols are few; short prefixes are shared by many.
var parts = [...]struct {
	at   uint8
	bits uint64
}{
	{16, ^uint64(0)}, {17, ^uint64(0)}, {18, ^uint64(0)}, {19, ^uint64(0)}, {20, ^uint64(0)}, {21, ^uint64(0)},
	{22, ^uint64(0)}, {23, ^uint64(0)}, {24, ^uint64(0)}, {25, ^uint64(0)}, {15, ^uint64(0)},
	{0, 0xffff << 16}, {2, 0xff << 8}, {0, 0xffff}, {0, 0xffffffff << 32}, {4, 1 << 15}, {2, 0xff},
	{3, 0xff << 56}, {3, 0xffff << 48}, {3, 0xff << 24}, {3, 0xffff << 16}, {3, 0xffffff << 40}, {3, 0xffffff << 8}, {3, 0xffffffff << 32}, {3, 0xffffffff},
	{5, 0xffff << 48}, {7, 0xffff << 48}, {5, 0xffffffff << 32}, {7, 0xffffffff << 32}, {5, 0xffffffffffff << 16}, {7, 0xffffffffffff << 16},
	{5, ^uint64(0)}, {7, ^uint64(0)}, {6, ^uint64(0)}, {8, ^uint64(0)},
	{1, 0xffffff << 40}, {2, 0xffffff << 40}, {1, 0xffffffffffff << 16}, {2, 0xffffffffffff << 16},
	{4, 0xff << 40}, {4, 0xffff << 32}, {4, 0xff << 56}, {4, 0xffff << 48}, {1, 0xffff}, {4, 0xffff<<16 | 0x7fff},
	{9, ^uint64(0)}, {10, ^uint64(0)}, {11, ^uint64(0)}, {12, ^uint64(0)}, {13, ^uint64(0)}, {14, ^uint64(0)},
}

// levelsOf cuts a mask into levels.
func levelsOf(mask *packet.Mask) []level {
	var list []level
	for _, p := range parts {
		b := mask[p.at] & p.bits
		if b == 0 || has(list, p.at, b) {
			continue
		}
		list = append(list, level{b, uint64(len(list)+1) * 0x9e3779b97f4a7c15, p.at, uint8(bits.TrailingZeros64(b))})
	}
	return list
}

func has(list []level, at uint8, bits uint64) bool {
	for i := range list {
		if list[i].at == at && list[i].bits == bits {
			return true
		}
	}
	return false
}

// hash chooses, by its top bits, the word of the sieve for a key's bits in the level, and the bit in it. Values that differ in their last six
// bits alone share the word: prefixes and ports that lie side by side stay in a few cache lines.
func (l *level) hash(word uint64) (h, bit uint64) {
	value := word & l.bits >> l.shift
	hi, lo := bits.Mul64(value>>6^l.salt, 0xd6e8feb86659fd93)
	h = hi ^ lo
	return h, 1 << ((value ^ h) % 64)
}

// spread makes a rule's hash one for the sieve. Whole keys have a second bit in the same word, because to
// believe in one that is not there costs a search in the directory.
func spread(hash uint32) (h, both uint64) {
	h = (uint64(hash) + 1) * 0xa0761d6478bd642f
	return h, 1<<(h>>16%64) | 1<<(h>>22%64)
}

// newSieve makes an empty one in which so many bits are a twelfth at most.
func newSieve(ones int) *sieve {
	size := max(512, 1<<bits.Len(uint(12*ones-1)))
	return &sieve{words: make([]uint64, size/64), shift: uint8(65 - bits.Len(uint(size/64)))}
}

// has reports whether some bits of a hash's word are set, all of them.
func (v *sieve) has(hash, bits uint64) bool {
	return atomic.LoadUint64(&v.words[hash>>v.shift])&bits == bits
}

// hasRule is has for a rule's hash, hasPart for a key's bits in a level.
func (v *sieve) hasRule(hash uint32) bool           { return v.has(spread(hash)) }
func (v *sieve) hasPart(l *level, word uint64) bool { return v.has(l.hash(word)) }

// set sets some bits of a hash's word.
func (v *sieve) set(hash, set uint64) {
	w := &v.words[hash>>v.shift]
	if old := *w; old&set != set { // the writer alone stores
		atomic.StoreUint64(w, old|set)
		v.ones += bits.OnesCount64(set &^ old)
	}
}

// enter notes a rule.
func (v *sieve) enter(levels []level, hash uint32, key *packet.Key) {
	v.rules++
	v.set(spread(hash))
	for i := range levels {
		l := &levels[i]
		v.set(l.hash(key[l.at]))
	}
}

// sift enters a rule, which the directory has already, into the subtable's sieve.
func (s *subtable[V]) sift(r *Rule[V], key *packet.Key) {
	if s.sieve == nil {
		s.sieve = newSieve(1)
	}
	if s.sieve.enter(s.levels, r.hash, key); s.sieve.ones > len(s.sieve.words)*64/4 {
		s.resift()
	}
}

// resift makes the sieve anew, of the rules that are there.
func (s *subtable[V]) resift() {
	ones := s.sieve.ones
	if s.sieve.rules > s.dir.n { // some went
		ones = int(uint64(ones) * uint64(s.dir.n) / uint64(s.sieve.rules))
	}
	v := newSieve(ones + 1)
	for r := range s.dir.all {
		key := r.Key()
		v.enter(s.levels, r.hash, &key)
	}
	s.sieve = v
}

// narrow reports that the levels show that no rule of the subtable matches k; then it has added the bits of the first one that does to
// used, unless one that is among them anyway does.
func (s *subtable[V]) narrow(k *packet.Key, used *packet.Mask) bool {
	v := s.sieve
	for i := range s.levels {
		l := &s.levels[i]
		if l.bits&^used[l.at] == 0 && !v.hasPart(l, k[l.at]) {
			return true
		}
	}
	for i := range s.levels {
		l := &s.levels[i]
		if l.bits&^used[l.at] != 0 && !v.hasPart(l, k[l.at]) {
			used[l.at] |= l.bits
			return true
		}
	}
	return false
}

// whole adds the mask of the subtable to used.
func (s *subtable[V]) whole(used *packet.Mask) {
	for _, w := range s.words {
		used[w.at] |= w.bits
	}
}
