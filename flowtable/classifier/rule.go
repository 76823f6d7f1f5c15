// Miss path: rules and how they compare with a key.

package classifier

import (
	"math/bits"
	"unsafe"

	"github.com/weirswitch/weir/flowtable/packet"
)

// inline is how many masked words a rule holds in itself. Five make a rule of
// an eight-byte value 80 bytes, one of Go's allocation sizes, and are enough
// for an IPv4 five-tuple with its port and a MAC address.
const inline = 5

// Rule is one entry: a key under a mask, a priority and the caller's value. It
// is made by NewRule, belongs to at most one Table, and is inserted once. But
// for Value it must not be changed.
type Rule[V any] struct {
	Value    V
	of       *family[V] // shared by all rules of one mask in a Table
	seq      uint64
	hash     uint32
	Priority uint16
	key      [inline]uint64 // the key's words where the mask is not zero
	more     *uint64        // the words after those, as an array; nil if none
}

// maskWord is a word of a mask that is not zero.
type maskWord struct {
	bits uint64
	at   uint8
}

func wordsOf(mask *packet.Mask) []maskWord {
	n := 0
	for _, w := range mask {
		if w != 0 {
			n++
		}
	}
	words := make([]maskWord, 0, n)
	for i, w := range mask {
		if w != 0 {
			words = append(words, maskWord{w, uint8(i)})
		}
	}
	return words
}

// NewRule makes a rule that matches every key equal to key under mask. Bits of
// key outside mask are ignored.
func NewRule[V any](key *packet.Key, mask *packet.Mask, prio uint16, v V) *Rule[V] {
	r := &Rule[V]{Value: v, Priority: prio}
	r.fill(&family[V]{mask: *mask, words: wordsOf(mask)}, key)
	return r
}

// fill makes r a rule of a family.
func (r *Rule[V]) fill(f *family[V], key *packet.Key) {
	r.of = f
	if n := len(f.words); n > inline {
		rest := make([]uint64, n-inline)
		r.more = unsafe.SliceData(rest)
		for i, w := range f.words[inline:] {
			rest[i] = key[w.at] & w.bits
		}
	}
	for i, w := range f.words[:min(len(f.words), inline)] {
		r.key[i] = key[w.at] & w.bits
	}
}

// rest returns the words that did not fit in the rule.
func (r *Rule[V]) rest() []uint64 {
	if r.more == nil {
		return nil
	}
	return unsafe.Slice(r.more, len(r.of.words)-inline)
}

// word returns the i-th masked word.
func (r *Rule[V]) word(i int) uint64 {
	if i < inline {
		return r.key[i]
	}
	return r.rest()[i-inline]
}

// Words is the number of words in which the rule's mask has bits.
func (r *Rule[V]) Words() int { return len(r.of.words) }

// Word is the i-th of them: which word of a key it is, the mask's bits, and the key's bits under them.
func (r *Rule[V]) Word(i int) (at uint8, bits, key uint64) {
	w := r.of.words[i]
	return w.at, w.bits, r.word(i)
}

// Key returns the rule's key, zero outside its mask.
func (r *Rule[V]) Key() (k packet.Key) {
	for i, w := range r.of.words {
		k[w.at] = r.word(i)
	}
	return k
}

// Mask returns the rule's mask.
func (r *Rule[V]) Mask() packet.Mask { return r.of.mask }

// matches reports whether k agrees with the rule under words, its mask.
func (r *Rule[V]) matches(words []maskWord, k *packet.Key) bool {
	for i, w := range words {
		if i == inline {
			return r.matchesRest(words, k)
		}
		if k[w.at]&w.bits != r.key[i] {
			return false
		}
	}
	return true
}

func (r *Rule[V]) matchesRest(words []maskWord, k *packet.Key) bool {
	rest := r.rest()
	for i, w := range words[inline:] {
		if k[w.at]&w.bits != rest[i] {
			return false
		}
	}
	return true
}

// Order grows with the time of insertion; a replacement has its predecessor's.
func (r *Rule[V]) Order() uint64 { return r.seq }

// Keep gives a rule that is in no Table yet the place in the order of insertion that another one had.
func (r *Rule[V]) Keep(order uint64) { r.seq = order }

// before reports whether r wins over o when both match.
func (r *Rule[V]) before(o *Rule[V]) bool {
	if r.Priority != o.Priority {
		return r.Priority > o.Priority
	}
	return r.seq < o.seq
}

// hashKey hashes k's bits under words. One widening multiplication a word.
func hashKey(seed uint64, words []maskWord, k *packet.Key) uint32 {
	h := seed ^ 0x9e3779b97f4a7c15
	for _, w := range words {
		hi, lo := bits.Mul64(h^k[w.at]&w.bits, 0xd6e8feb86659fd93)
		h = hi ^ lo ^ h>>7
	}
	h *= 0xa0761d6478bd642f
	return uint32(h >> 32)
}
