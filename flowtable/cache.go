// Hot path: the flow cache: header words -> path, owned by one Processor.

package flowtable

import (
	"math/bits"
	"math/rand/v2"

	"github.com/weirswitch/weir/flowtable/packet"
)

// The cache is an exact one over the bits that matter: of the header words only those are looked at
// that some rule of the snapshot reads (snapshot.reads), so frames that no table can tell apart share
// a path. It is a two-way table; keys lie in one array, as many words each as the snapshot needs.
//
// A new snapshot makes every path dead at once, by a change of generation. That is right but not
// yet fast: a table change should kill only the paths that it can touch.

// maxKeyWords is the header words and one for the frame's shape.
const maxKeyWords = packet.HeaderWords + 1

// cacheKey is the words that are hashed and compared.
type cacheKey [maxKeyWords]uint64

// path is what frames with one key undergo: data, complete but for what changes without a
// publication.
type path struct {
	steps []*Entry // entries met, in order
	set   []op     // the action set at the end
	own   []op     // memory for set when it was merged from several entries
	miss  int16    // table that had no entry for the frame, or noTable
	next  int16    // table in which the walk continues: a header came off, see doc.go; or noTable
	last  bool     // nothing follows the last step's ops

	// Counted by the batch at hand.
	packets, bytes uint64
}

type slot struct {
	gen  uint32 // of the snapshot that the path belongs to; 0: empty
	tag  uint32 // high bits of the hash
	path path
}

type cache struct {
	seed  uint64
	limit int // slots at most

	words []uint8 // which words of the key count, ascending
	masks [packet.HeaderWords]uint64
	shape bool
	width int // words in a stored key

	slots []slot
	keys  []uint64
	gen   uint32
	sets  uint64 // number of sets of two, minus one
	turn  uint32
	lost  int // live paths pushed out since the last growth or publication
}

func (c *cache) init(cfg *Config) {
	c.seed = cfg.HashSeed
	c.limit = 1 << bits.Len(uint(cfg.CacheSize-1))
	c.words = make([]uint8, 0, packet.HeaderWords)
	c.resize(min(c.limit, 256))
}

// resize makes the cache empty, with room for n paths, n a power of two of at least 2.
func (c *cache) resize(n int) {
	n = max(n, 2)
	c.slots = make([]slot, n)
	c.keys = make([]uint64, n*maxKeyWords)
	steps := make([]*Entry, n*4)
	for i := range c.slots {
		c.slots[i].path.steps = steps[4*i : 4*i : 4*i+4]
	}
	c.sets = uint64(n/2 - 1)
	c.lost = 0
}

// adopt empties the cache for a new snapshot.
func (c *cache) adopt(s *snapshot) {
	c.words = c.words[:0]
	for w := range c.masks {
		c.masks[w] = s.reads[w]
		if c.masks[w] != 0 {
			c.words = append(c.words, uint8(w))
		}
	}
	c.width = len(c.words)
	if c.shape = s.shape; c.shape {
		c.width++
	}
	c.lost = 0
	if c.gen++; c.gen == 0 { // after four thousand million publications
		clear(c.slots)
		c.resize(len(c.slots))
		c.gen = 1
	}
}

const hashPrime = 0x9e3779b97f4a7c15

// mix folds the 128-bit product of two words.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hash gathers a frame's key and hashes it.
func (c *cache) hash(f *packet.Frame, k *cacheKey) uint64 {
	h := c.seed
	for i, w := range c.words {
		v := f.Key[w&15] & c.masks[w&15]
		k[i] = v
		h = mix(h^v, hashPrime)
	}
	if c.shape {
		v := shapeOf(&f.Layout)
		k[c.width-1] = v
		h = mix(h^v, hashPrime)
	}
	return mix(h, c.seed|1)
}

// shapeOf tells which headers a frame has: two frames may agree in every field because one lacks
// the header and the other has zeros there, and set_field tells them apart.
func shapeOf(l *packet.Layout) uint64 {
	s := uint64(min(l.VLANs, 255))
	for i, at := range [...]int32{l.L25, l.L3, l.L4, l.Payload} {
		if at != 0 {
			s |= 1 << (8 + i)
		}
	}
	return s
}

// find is the live path of a key, or nil.
func (c *cache) find(h uint64, k *cacheKey) *path {
	i := int(h&c.sets) * 2
	tag := uint32(h >> 32)
	for end := i + 2; i < end; i++ {
		s := &c.slots[i]
		if s.tag == tag && s.gen == c.gen && c.equal(i, k) {
			return &s.path
		}
	}
	return nil
}

func (c *cache) equal(i int, k *cacheKey) bool {
	at := i * maxKeyWords
	for j, v := range c.keys[at : at+c.width] {
		if v != k[j] {
			return false
		}
	}
	return true
}

// place is the slot in which a new key's path is to be kept. The path in it may be alive and
// counted: flush it first. The caller fills the path.
func (c *cache) place(h uint64, k *cacheKey) *slot {
	i := int(h&c.sets) * 2
	if c.slots[i].gen == c.gen {
		if c.slots[i+1].gen != c.gen {
			i++
		} else {
			c.turn++
			i += int(c.turn & 1)
			c.lost++
		}
	}
	s := &c.slots[i]
	copy(c.keys[i*maxKeyWords:], k[:c.width])
	s.gen, s.tag = c.gen, uint32(h>>32)
	return s
}

// crowded reports that the cache should grow: paths in use push each other out.
func (c *cache) crowded() bool { return c.lost > len(c.slots)/4 && len(c.slots) < c.limit }

func randomSeed() uint64 { return rand.Uint64() | 1 }
