// Miss path: which claims a change of the tables can touch, told without a look at each path.

package flowtable

import (
	"math/bits"
	"slices"

	"github.com/weirswitch/weir/flowtable/packet"
)

// census is what the cache knows of all its paths at once. An entry that comes or goes is held against it, claim by
// claim, and mostly that is the end: no path of a claim meets entries of so low a priority in this table, or none has
// the bits that the entry matches. Only the paths of the claims that are left must prove themselves when they are
// wanted next (cache.alive).
//
// A path is entered when it is made and stays when it goes, so what was counted becomes too wide; then it is counted
// anew, a few paths a batch.
type census struct {
	now    tracks
	next   *tracks // of the count that is under way, or nil
	at     uint32  // the path that was counted last
	rest   int     // batches until another count may begin
	wanted []packet.Mask
	second uint16 // of the last alteration
}

// tracks tells for some masks which values paths have in the bits that their claim shares with the mask: a Bloom
// filter with four bits of one word for each path and mask. Of what no path has it says "perhaps" once in thirty to two
// hundred times, and each claim is asked.
type tracks struct {
	masks []packet.Mask
	asked []uint16 // the second in which each was last asked for
	words []uint64
	shift uint8 // of a hash, leaves the number of a word
	room  int   // paths and masks that may still be entered
}

// reach is where the paths of a claim may meet a change.
type reach struct {
	low   [256]int32 // for each table the lowest priority that a path meets there; a miss is lower than any
	blind bool       // some look at a header that was changed on the way, so their claim does not tell what they match
}

const (
	maxTracks    = 16 // masks of one census
	countedBatch = 64 // paths counted in a batch
)

func newReach() *reach {
	r := new(reach)
	for i := range r.low {
		r.low[i] = 1 << 16
	}
	return r
}

func (r *reach) enter(p *path) {
	steps := p.steps()
	for i := range steps {
		e := steps[i].e
		r.low[e.Table] = min(r.low[e.Table], int32(e.Priority))
	}
	if m := p.miss(); m != noPathTable {
		r.low[m] = -1
	}
	r.blind = r.blind || p.plain() <= len(steps)
}

func newTracks(masks []packet.Mask, asked []uint16, paths int) *tracks {
	size := 1 << bits.Len(uint(8*paths*len(masks)|4095))
	return &tracks{masks: masks, asked: asked, words: make([]uint64, size/64), shift: uint8(65 - bits.Len(uint(size/64))), room: size / 8}
}

func (t *tracks) enter(c *cache, cl *claim, p *path) {
	for i := range t.masks {
		h := t.begin(c, cl, i)
		for k, w := range cl.words {
			if j := w.bits & t.masks[i][w.at]; j != 0 {
				h = mix(h^*p.word(k)&j, c.secret)
			}
		}
		if w, four := &t.words[h>>t.shift], fourBits(h); *w&four != four {
			*w |= four
			t.room--
		}
	}
}

// begin is the hash of a claim and the i-th mask, without values.
func (t *tracks) begin(c *cache, cl *claim, i int) uint64 {
	return mix(c.seed^cl.digest, c.secret+uint64(i)<<1)
}

// has reports whether some path of a claim may agree with key under the i-th mask.
func (t *tracks) has(c *cache, cl *claim, i int, key *packet.Key) bool {
	h := t.begin(c, cl, i)
	for _, w := range cl.words {
		if j := w.bits & t.masks[i][w.at]; j != 0 {
			h = mix(h^key[w.at]&j, c.secret)
		}
	}
	four := fourBits(h)
	return t.words[h>>t.shift]&four == four
}

// fourBits are those of a hash in its word.
func fourBits(h uint64) uint64 { return 1<<(h%64) | 1<<(h>>6%64) | 1<<(h>>12%64) | 1<<(h>>18%64) }

// enter notes a path that was filled just now.
func (c *cache) enter(cl *claim, p *path) {
	s := &c.census
	cl.reach.enter(p)
	s.now.enter(c, cl, p)
	if s.next != nil {
		cl.recount.enter(p)
		s.next.enter(c, cl, p)
	}
}

// learn tells the claims what was altered since the last snapshot, so far as it may concern them.
func (c *cache) learn(s *snapshot, second uint16) {
	fresh := s.last - c.last
	if fresh == 0 {
		return
	}
	c.census.second, c.last = second, s.last
	if c.clock > 1<<31 {
		c.forget()
	}
	if fresh > uint64(len(s.recent)) {
		c.clock++
		for _, cl := range c.claims {
			clear(cl.news)
			cl.news, cl.since, cl.touched = cl.news[:0], c.clock, c.clock
		}
		return
	}
	for i := len(s.recent) - int(fresh); i < len(s.recent); i++ {
		c.clock++
		c.tell(&s.recent[i])
	}
}

func (c *cache) tell(a *alteration) {
	var key packet.Key
	mask := -1
	if a.e != nil && len(c.claims) > 0 {
		key = a.e.rule.Key()
		mask = c.census.find(a.e.rule.Mask())
	}
	for _, cl := range c.claims {
		if a.e == nil || int32(a.e.Priority) >= cl.reach.low[a.e.Table] &&
			(cl.reach.blind || (a.came || cl.covers(a.e)) && (mask < 0 || c.census.now.has(c, cl, mask, &key))) {
			cl.tell(news{c.clock, *a})
		}
	}
}

// covers reports whether the claim has all bits of the header that an entry matches. A path that met the entry rests on
// them, unless it is blind.
func (cl *claim) covers(e *Entry) bool {
	for j := range e.rule.Words() {
		at, bits, _ := e.rule.Word(j)
		if at < headerWords && (cl.place[at] < 0 || bits&^cl.words[cl.place[at]].bits != 0) {
			return false
		}
	}
	return true
}

// find is the number of a mask, -1 if it is not counted yet.
func (s *census) find(mask packet.Mask) int {
	for i := range s.now.masks {
		if s.now.masks[i] == mask {
			s.now.asked[i] = s.second
			return i
		}
	}
	if len(s.wanted) < maxTracks && !slices.Contains(s.wanted, mask) && (s.next == nil || !slices.Contains(s.next.masks, mask)) {
		s.wanted = append(s.wanted, mask)
	}
	return -1
}

// count goes on with a count, or begins one if there is reason to.
func (c *cache) count(second uint16) {
	s := &c.census
	switch {
	case s.next != nil:
		for range countedBatch {
			if s.at == c.paths.used {
				c.counted()
				return
			}
			s.at++
			p := c.paths.at(s.at)
			if cl := c.numbered[p.claim]; cl != nil {
				cl.recount.enter(p)
				s.next.enter(c, cl, p)
			}
		}
	case len(s.now.masks) > 0 && second-s.second > idlePath:
		s.now, s.wanted = tracks{}, nil
	case s.rest > 0:
		s.rest--
	case len(s.wanted) > 0 || s.now.room < 0:
		c.recount()
	}
}

// recount begins a count: of the masks that are wanted, and of those that have been asked for of late.
func (c *cache) recount() {
	s := &c.census
	masks, asked := slices.Clone(s.wanted), make([]uint16, len(s.wanted), maxTracks)
	for i := range asked {
		asked[i] = s.second
	}
	for age := range uint16(idlePath) {
		for i := range s.now.masks {
			if s.second-s.now.asked[i] == age && len(masks) < maxTracks {
				masks, asked = append(masks, s.now.masks[i]), append(asked, s.now.asked[i])
			}
		}
	}
	s.wanted, s.at = s.wanted[:0], 0
	s.next = newTracks(masks, asked, c.paths.inUse)
	s.rest = 2 * int(c.paths.used) / countedBatch
	if len(masks) == maxTracks { // perhaps there are always others
		s.rest *= 8
	}
	for _, cl := range c.claims {
		cl.recount = newReach()
	}
}

func (c *cache) counted() {
	c.census.now, c.census.next = *c.census.next, nil
	for _, cl := range c.claims {
		cl.reach, cl.recount = cl.recount, nil
	}
}
