// Hot path: the flow cache: from a frame to the path that it follows, owned by one Processor.

package flowtable

import (
	"math/bits"
	"math/rand/v2"

	"github.com/weirswitch/weir/flowtable/packet"
)

// A path proves itself: it holds the header bits it rests on (its claim) and serves every frame equal in
// them. So whatever finds a path may be as careless as it likes; path.holds has the last word. Two
// indexes find paths, both made of hints:
//
//	exact   the hash of all header bits that any rule reads -> path     one look a frame
//	wild    the hash of the bits of one claim               -> path     one look a claim, until one holds
//
// and behind them the walk makes a new one (remember.go). Hints take eight bytes a flow, so a million of
// them stay in a processor's caches, where keys would not; and they survive every change of the tables.
type cache struct {
	seed, secret uint64

	reads   []headerWord // what exact hashes: the words that some rule reads, ascending
	buffer  [headerWords]headerWord
	wide    packet.Mask // the same as a mask
	exact   hints
	crowded int // hints pushed out of exact since it last grew

	wild     hints
	claims   []*claim    // those with paths, the most used first
	numbered [256]*claim // the same
	looks    int         // since claims were put in order
	worth    int         // what searches by claims bring, see worthwhile
	paths    pathStore

	last   uint64 // number of the last alteration of the tables that is known here
	clock  uint32 // counts them since the cache was empty
	census census
}

// headerWord is a word of a frame's header, and the bits of it that matter.
type headerWord struct {
	bits uint64
	at   uint8
}

// headerWords is how many words of a key a claim may look at. The word behind them is of the pipeline,
// and zero when a frame comes in.
const headerWords = packet.HeaderWords - 1

const (
	firstHints = 512 // places of a new index
	ways       = 8   // places of a bucket, one cache line
)

func (c *cache) init(cfg *Config) {
	c.seed, c.secret = cfg.HashSeed, mix(cfg.HashSeed^hashPrime, hashPrime)|1
	c.paths.limit = min(max(cfg.CacheSize, 2), maxPaths)
	c.reads = c.buffer[:0]
	c.forget()
}

// forget empties the cache and gives its memory back.
func (c *cache) forget() {
	c.exact, c.wild = newHints(firstHints), newHints(firstHints)
	c.claims, c.looks, c.crowded, c.worth = nil, 0, 0, 256
	c.numbered, c.clock = [256]*claim{}, 0
	c.paths, c.census = pathStore{limit: c.paths.limit}, census{}
}

// adopt brings the cache up to date with a new snapshot. Paths stay: those that the changes might touch are looked at
// when they are wanted next (cache.alive). Only after a flood of changes all go at once, to let go of the entries that went.
func (c *cache) adopt(s *snapshot, second uint16) {
	if s.last-c.last > floodOfChanges {
		c.forget()
	}
	c.learn(s, second)
	if c.wide == s.reads {
		return
	}
	c.wide, c.reads = s.reads, c.buffer[:0] // which makes the exact hints of before worthless, no more
	for w := range headerWords {
		if s.reads[w] != 0 {
			c.reads = append(c.reads, headerWord{s.reads[w], uint8(w)})
		}
	}
}

// floodOfChanges is how many changes make it likely that most paths are dead.
const floodOfChanges = 4096

const hashPrime = 0x9e3779b97f4a7c15

// mix folds the 128-bit product of two words.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hashKey is a hash of some words of a key, two at each step: the steps wait for each other. The last one spreads what those words alone
// told: of flows that count up in one of them a step leaves, with one seed of twenty, all in few buckets.
func hashKey(seed, secret uint64, words []headerWord, k *packet.Key) uint64 {
	h := seed
	for len(words) >= 2 {
		a, b := &words[0], &words[1]
		h = mix(h^k[a.at&15]&a.bits, secret^k[b.at&15]&b.bits)
		words = words[2:]
	}
	if len(words) == 1 {
		w := &words[0]
		h = mix(h^k[w.at&15]&w.bits, secret)
	}
	return mix(h, hashPrime)
}

// hash is the exact hash of a frame.
func (c *cache) hash(f *packet.Frame) uint64 { return hashKey(c.seed, c.secret, c.reads, &f.Key) }

// guess is the path that an exact hash hints at, nil if there is none. It need not be the right one.
func (c *cache) guess(h uint64) *path {
	x := &c.exact
	if s := x.slots[x.bucket(h)+home(h)]; (s^h)>>numberBits == 0 { // mostly, which spares a call
		return c.paths.at(uint32(s & maxPaths))
	}
	return c.paths.at(x.find(h, 0))
}

// search finds the path for a frame whose guess was wrong: among the hints of the same hash, then claim
// by claim. It is nil when there is none.
func (c *cache) search(f *packet.Frame, h uint64) *path {
	for i := c.exact.find(h, 0); i != 0; i = c.exact.find(h, i) {
		if p := c.paths.at(i); c.holds(p, f) && c.alive(p) {
			return p
		}
	}
	if c.looks++; c.looks >= looksBetweenOrders {
		c.order()
	}
	if !c.worthwhile() {
		return nil
	}
	for _, cl := range c.claims {
		g := cl.hash(c, &f.Key, &f.Layout)
		for i := c.wild.find(g, 0); i != 0; i = c.wild.find(g, i) {
			p := c.paths.at(i)
			if p.claim == cl.no && p.holdsKey(cl, &f.Key, &f.Layout) && c.alive(p) {
				cl.served++
				c.paid()
				c.hint(h, i)
				return p
			}
		}
	}
	return nil
}

// worthwhile says whether to search by claims. Where each flow has a path of its own, as flows that rules match
// exactly, the search never finds one, and costs as much as a walk.
func (c *cache) worthwhile() bool {
	if c.worth == 0 {
		return false
	}
	c.worth--
	return true
}

// paid notes that a search by claims has found a path, or would have.
func (c *cache) paid() { c.worth = min(c.worth+16, 1024) }

// hint notes that an exact hash means a path.
func (c *cache) hint(h uint64, path uint32) {
	if c.exact.put(h, path) {
		return
	}
	if c.crowded++; c.crowded > len(c.exact.slots)/8 && len(c.exact.slots) < 2*c.paths.limit {
		c.exact.grow()
		c.crowded = 0
	}
}

// hints are places of eight bytes: 40 bits of a hash and the number of a path, zero for none. A bucket
// is chosen by the lowest of the 40 bits, so that the index can grow without the hashes.
type hints struct {
	slots []uint64
	turn  uint8
}

const (
	numberBits = 24
	maxPaths   = 1<<numberBits - 1
)

func newHints(n int) hints { return hints{slots: make([]uint64, n)} }

// bucket is the first place of a hash's bucket.
func (x *hints) bucket(h uint64) int {
	return int(h>>numberBits) & (len(x.slots)/ways - 1) * ways
}

// home is where in its bucket a hash is looked for first, so that mostly one look does.
func home(h uint64) int { return int(h >> (64 - 3)) }

// find is the path that a hash hints at, or the next after the one given; zero if there is none.
func (x *hints) find(h uint64, after uint32) uint32 {
	b := x.bucket(h)
	set := x.slots[b : b+ways : b+ways]
	at := home(h)
	for i := range ways {
		s := set[(at+i)&(ways-1)]
		n := uint32(s & maxPaths)
		if (s^h)>>numberBits != 0 || n == 0 {
			continue
		}
		switch after {
		case 0:
			return n
		case n:
			after = 0
		}
	}
	return 0
}

// put notes a hint. It reports false when another one had to go for it.
func (x *hints) put(h uint64, path uint32) bool {
	b := x.bucket(h)
	set := x.slots[b : b+ways : b+ways]
	at, free := home(h), -1
	for i := range ways {
		j := (at + i) & (ways - 1)
		s := set[j]
		if s&maxPaths == 0 && free < 0 {
			free = j
		}
		if s == h&^maxPaths|uint64(path) {
			return true
		}
	}
	if free >= 0 {
		set[free] = h&^maxPaths | uint64(path)
		return true
	}
	x.turn++
	set[x.turn&(ways-1)] = h&^maxPaths | uint64(path)
	return false
}

// victim is the path of the hint that the next one in a full bucket would push out, zero if there is room.
func (x *hints) victim(h uint64) uint32 {
	b := x.bucket(h)
	for _, s := range x.slots[b : b+ways] {
		if s&maxPaths == 0 {
			return 0
		}
	}
	return uint32(x.slots[b+int(x.turn+1)&(ways-1)] & maxPaths)
}

// drop takes a hint out, if it is there.
func (x *hints) drop(h uint64, path uint32) {
	b := x.bucket(h)
	for i, s := range x.slots[b : b+ways] {
		if s == h&^maxPaths|uint64(path) {
			x.slots[b+i] = 0
		}
	}
}

// grow doubles the index. Each bucket becomes two, in which hints keep their places.
func (x *hints) grow() {
	old := x.slots
	x.slots = make([]uint64, 2*len(old))
	for i, s := range old {
		if s&maxPaths != 0 {
			x.slots[x.bucket(s)+i%ways] = s
		}
	}
}

func randomSeed() uint64 { return rand.Uint64() | 1 }
