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
	words    *maskWords // shared by all rules of a subtable
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

type maskWords struct{ words []maskWord }

func wordsOf(mask *packet.Mask) *maskWords {
	n := 0
	for _, w := range mask {
		if w != 0 {
			n++
		}
	}
	m := &maskWords{make([]maskWord, 0, n)}
	for i, w := range mask {
		if w != 0 {
			m.words = append(m.words, maskWord{w, uint8(i)})
		}
	}
	return m
}

func (m *maskWords) mask() (full packet.Mask) {
	for _, w := range m.words {
		full[w.at] = w.bits
	}
	return full
}

// NewRule makes a rule that matches every key equal to key under mask. Bits of
// key outside mask are ignored.
func NewRule[V any](key *packet.Key, mask *packet.Mask, prio uint16, v V) *Rule[V] {
	r := &Rule[V]{Value: v, Priority: prio, words: wordsOf(mask)}
	words := r.words.words
	var rest []uint64
	if len(words) > inline {
		rest = make([]uint64, len(words)-inline)
		r.more = unsafe.SliceData(rest)
	}
	for i, w := range words {
		v := key[w.at] & w.bits
		if i < inline {
			r.key[i] = v
		} else {
			rest[i-inline] = v
		}
	}
	return r
}

// rest returns the words that did not fit in the rule.
func (r *Rule[V]) rest() []uint64 {
	if r.more == nil {
		return nil
	}
	return unsafe.Slice(r.more, len(r.words.words)-inline)
}

// word returns the i-th masked word.
func (r *Rule[V]) word(i int) uint64 {
	if i < inline {
		return r.key[i]
	}
	return r.rest()[i-inline]
}

// Key returns the rule's key, zero outside its mask.
func (r *Rule[V]) Key() (k packet.Key) {
	for i, w := range r.words.words {
		k[w.at] = r.word(i)
	}
	return k
}

// Mask returns the rule's mask.
func (r *Rule[V]) Mask() (m packet.Mask) { return r.words.mask() }

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
