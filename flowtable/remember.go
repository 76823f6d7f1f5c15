// Miss path: keeps what a walk met as a path, and makes room for it.

package flowtable

import (
	"slices"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
)

// basis is what a walk rests on so far: the material of a claim.
type basis struct {
	header packet.Key // words of the frame as it came in
	layout packet.Layout
	mask   packet.Mask // bits that lookups have looked at, or that were copied into such bits
	wide   bool        // lookups have looked at what was changed before
	plain  int         // lookups before the first change

	// Once the header was changed:
	sets, alters packet.Mask // as those of the effects so far
	later        packet.Mask // what the lookup at hand looks at
	changed      bool
}

func (b *basis) begin(f *packet.Frame) {
	copy(b.header[:headerWords], f.Key[:headerWords])
	b.layout = f.Layout
	b.mask, b.wide, b.plain = packet.Mask{}, false, maxTables+1
	if b.changed {
		b.sets, b.alters, b.changed = packet.Mask{}, packet.Mask{}, false
	}
}

// used is where a lookup notes the bits that it looks at. b may be nil, here and in the next two.
func (b *basis) used() *packet.Mask {
	switch {
	case b == nil:
		return nil
	case !b.changed:
		return &b.mask
	}
	for w := range b.later { // a lookup prefers bits that are there: known to it, or the same for all
		b.later[w] = b.mask[w]&^b.alters[w] | b.sets[w]
	}
	return &b.later
}

// looked notes what a lookup behind a change has looked at: of what was set the same for all frames nothing depends on
// the frame, and nobody knows of what, if it was altered in another way.
func (b *basis) looked() {
	if b == nil || !b.changed {
		return
	}
	for w := range b.later[:headerWords] {
		bits := b.later[w] &^ b.sets[w]
		b.wide = b.wide || bits&b.alters[w] != 0
		b.mask[w] |= bits
	}
}

// follows notes what the last entry of a trail does to a frame that goes on to another table.
func (b *basis) follows(t *trail, prog *Program) {
	e := prog.effect
	if b == nil || e == nil {
		return
	}
	b.wide = b.wide || e.changes
	for w := range e.copies[:headerWords] {
		b.wide = b.wide || e.copies[w]&(b.alters[w]|e.alters[w]) != 0
		b.mask[w] |= e.copies[w]
		b.sets[w] = b.sets[w]&^e.alters[w] | e.sets[w]
		b.alters[w] = b.alters[w]&^e.sets[w] | e.alters[w]
		if e.sets[w]|e.alters[w] != 0 {
			b.changed = true
		}
	}
	if b.changed = b.changed || e.changes; b.changed {
		b.plain = min(b.plain, len(t.steps))
	}
}

const (
	maxFineClaims = 16 // beyond this many a new one has whole fields
	maxClaims     = 48 // beyond this many, all bits that any rule reads
	maxWideClaims = 16 // the number of those: rules come and go
)

// coarse are the pieces of a header that a claim has whole when there are many claims.
var coarse = [...]headerWord{
	{0xffffffff << 32, 0}, {0xffff, 0}, {0xffffffffffff << 16, 1}, {0xffff, 1}, {0xffffffffffff << 16, 2}, {0xff, 2},
	{0xffffffff << 32, 3}, {0xffffffff, 3}, {0xffff << 48, 4}, {0xffff << 32, 4}, {0xffff7fff, 4},
	{^uint64(0), 5}, {^uint64(0), 6}, {^uint64(0), 7}, {^uint64(0), 8}, {^uint64(0), 9}, {^uint64(0), 10}, {^uint64(0), 11},
	{^uint64(0), 12}, {^uint64(0), 13}, {^uint64(0), 14},
}

// narrowClaim is the claim of a mask, or of one with some bits more, so that claims stay few: each costs a search
// a look. The protocols are in all of them, since there are few protocols. It is nil when there are too many.
func (c *cache) narrowClaim(mask *packet.Mask) *claim {
	mask[0] |= c.wide[0] & (0xffff << 16)
	mask[2] |= c.wide[2] & (0xff << 8)
	mask[4] |= c.wide[4] & (1 << 15)
	if cl := c.claim(mask, false, maxFineClaims); cl != nil {
		return cl
	}
	mask[0] |= c.wide[0] & (0xffffffff << 32)
	for _, w := range coarse {
		if mask[w.at]&w.bits != 0 {
			mask[w.at] |= c.wide[w.at] & w.bits
		}
	}
	return c.claim(mask, false, maxClaims)
}

// keep turns the trail into a path of the cache.
func (pr *Processor) keep(hash uint64) {
	c, b := &pr.cache, &pr.basis
	cl := (*claim)(nil)
	if !b.wide {
		cl = c.narrowClaim(&b.mask)
	}
	if cl == nil {
		// Later lookups saw what was changed, and fields that others were copied to. All of it hangs on the bits
		// that any rule reads and on which headers there are.
		b.mask.Or(&c.wide)
		cl = c.claim(&b.mask, true, maxClaims+maxWideClaims)
	}
	if cl == nil {
		pr.forgetPaths()
		cl = c.claim(&b.mask, true, maxClaims)
	}
	n := pr.place(cl)
	p := c.paths.at(n)
	p.fill(&pr.trail, &pr.set)
	p.seen, p.when = c.clock, pr.second
	if b.plain <= maxTables || p.tail != nil {
		p.grown().plain = int16(b.plain)
	}
	c.enter(cl, p)
	c.hint(hash, n)
	pr.unfiled[pr.unfiling] = unfiled{cl.hash(c, &b.header, &b.layout), hash, n}
	if pr.unfiling++; pr.unfiling == len(pr.unfiled) {
		pr.file()
	}
}

// claim is the claim of a mask, made if there is room among so many.
func (c *cache) claim(mask *packet.Mask, shape bool, room int) *claim {
	digest := uint64(0)
	for i, w := range mask[:headerWords] {
		digest += w * (hashPrime<<i | 1)
	}
	if shape {
		digest++
	}
	for _, cl := range c.claims {
		if cl.digest == digest && cl.is(mask, shape) {
			return cl
		}
	}
	if len(c.claims) >= room {
		if c.order(); len(c.claims) >= room {
			return nil
		}
	}
	cl := &claim{shape: shape, digest: digest, reach: newReach()}
	if c.census.next != nil {
		cl.recount = newReach()
	}
	for i, w := range mask[:headerWords] {
		if cl.place[i] = -1; w != 0 {
			cl.place[i] = int8(len(cl.words))
			cl.words = append(cl.words, headerWord{w, uint8(i)})
		}
	}
	inline := copy(cl.first[:], cl.words)
	cl.more = shape || inline < len(cl.words)
	cl.no = uint8(1 + slices.Index(c.numbered[1:], nil))
	c.claims, c.numbered[cl.no] = append(c.claims, cl), cl
	return cl
}

func (cl *claim) is(mask *packet.Mask, shape bool) bool {
	for i, w := range mask[:headerWords] {
		if at := cl.place[i]; at >= 0 && cl.words[at].bits != w || at < 0 && w != 0 {
			return false
		}
	}
	return cl.shape == shape
}

// looksBetweenOrders is how many searches pass before claims are put in order again.
const looksBetweenOrders = 8192

// order puts the claims that are used most in front, and drops those without paths.
func (c *cache) order() {
	c.looks = 0
	c.claims = slices.DeleteFunc(c.claims, func(cl *claim) bool {
		if cl.paths == 0 {
			c.numbered[cl.no] = nil
		}
		return cl.paths == 0
	})
	slices.SortFunc(c.claims, func(a, b *claim) int { return b.served - a.served })
	for _, cl := range c.claims {
		cl.served /= 2
	}
}

// place is a fresh path of a claim for the frame at hand.
func (pr *Processor) place(cl *claim) (n uint32) {
	c, b := &pr.cache, &pr.basis
	n = pr.takePath()
	p := c.paths.at(n)
	p.claim = cl.no
	cl.paths++
	if n := len(cl.words); n > inlineWords+tailWords {
		p.grown().more()
	} else if n > inlineWords {
		p.grown()
	}
	p.key = [inlineWords]uint64{}
	for i, w := range cl.words {
		*p.word(i) = b.header[w.at] & w.bits
	}
	if cl.shape {
		p.grown().shape = shapeOf(&b.layout)
	}
	return n
}

// unfiled is a path that the exact index knows and the index of claims does not yet.
type unfiled struct {
	wild, exact uint64 // hashes
	n           uint32
}

// file enters into the index of claims what was made since the last time: many at once, because each needs memory that is far away,
// and so they wait for it together. It is due before a search by claims, before paths go and at the end of a batch.
func (pr *Processor) file() {
	wild, warm := &pr.cache.wild, uint64(0)
	list := pr.unfiled[:pr.unfiling]
	for i := range list {
		warm ^= wild.slots[wild.bucket(list[i].wild)]
	}
	pr.warm = warm
	for i := range list {
		pr.fileOne(&list[i])
	}
	pr.unfiling = 0
}

func (pr *Processor) fileOne(u *unfiled) {
	c := &pr.cache
	p := c.paths.at(u.n)
	for n := c.wild.find(u.wild, 0); n != 0; n = c.wild.find(u.wild, n) {
		if old := c.paths.at(n); old.claim == p.claim && c.numbered[p.claim].same(old, p) {
			pr.renew(old, p)
			pr.discard(u.n)
			c.exact.drop(u.exact, u.n)
			c.hint(u.exact, n)
			return
		}
	}
	// A quarter full, one path in a thousand may have to go because its bucket is full, time and again; half full, two in a
	// hundred. A small index has room for all.
	if n := len(c.wild.slots); c.paths.inUse > n/4 || c.wild.victim(u.wild) != 0 && n < smallIndex && c.paths.inUse > n/32 {
		c.wild.grow()
	}
	if out := c.wild.victim(u.wild); out != 0 {
		pr.release(out)
	}
	c.wild.put(u.wild, u.n)
}

// same reports that two paths of the claim are for the same frames.
func (cl *claim) same(p, o *path) bool {
	for i := range cl.words {
		if *p.word(i) != *o.word(i) {
			return false
		}
	}
	return !cl.shape || p.tail.shape == o.tail.shape
}

// renew makes a path what another one for the same frames is: hints of many flows may lead to it. The other is of no use then.
func (pr *Processor) renew(p, o *path) {
	if pr.cache.alive(p) {
		pr.cache.paid()
	}
	pr.flush(p)
	pr.flush(o)
	p.last, p.seen, p.when = o.last, o.seen, o.when
	p.tail, o.tail = o.tail, p.tail
}

// smallIndex is how many places make no difference to anybody's memory.
const smallIndex = 1 << 16

// takePath is a free path, or the one whose turn it is to go.
func (pr *Processor) takePath() uint32 {
	s := &pr.cache.paths
	s.inUse++
	if k := len(s.free); k > 0 {
		n := s.free[k-1]
		s.free = s.free[:k-1]
		return n
	}
	if int(s.used) < s.limit {
		if int(s.used) == len(s.pieces)*pieceSize {
			s.pieces = append(s.pieces, new([pieceSize]path))
		}
		s.used++
		return s.used
	}
	pr.releaseSome()
	n := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return n
}

// released is how many paths go at a time when there is no room for another, so that they wait together for the memory of their hints.
const released = 16

// releaseSome frees the paths whose turn it is. All are in use.
func (pr *Processor) releaseSome() {
	c, warm := &pr.cache, uint64(0)
	if pr.file(); len(c.paths.free) > 0 { // what is not filed must not go
		return
	}
	var list [released]struct {
		n    uint32
		hash uint64
	}
	some := list[:min(released, 1+c.paths.limit/64)]
	for i := range some {
		n := c.paths.turn()
		p := c.paths.at(n)
		some[i].n, some[i].hash = n, c.numbered[p.claim].hashOf(c, p)
		warm ^= c.wild.slots[c.wild.bucket(some[i].hash)]
	}
	pr.warm = warm
	for i := range some {
		c.wild.drop(some[i].hash, some[i].n)
		pr.discard(some[i].n)
	}
}

// turn moves the hand on.
func (s *pathStore) turn() uint32 {
	if s.hand++; s.hand > s.used {
		s.hand = 1
	}
	return s.hand
}

// release makes a path free.
func (pr *Processor) release(n uint32) {
	c := &pr.cache
	p := c.paths.at(n)
	c.wild.drop(c.numbered[p.claim].hashOf(c, p), n)
	pr.discard(n)
}

// discard is release for a path that the index of claims does not know. What it has counted is counted.
func (pr *Processor) discard(n uint32) {
	c := &pr.cache
	p := c.paths.at(n)
	pr.flush(p)
	c.numbered[p.claim].paths--
	p.claim, p.last = 0, [1]step{}
	if t := p.tail; t != nil {
		t.set, t.n, t.few = nil, 1, [fewSteps]step{}
		if r := t.rest; r != nil {
			clear(r.steps[:cap(r.steps)])
			clear(r.own[:cap(r.own)])
			r.steps, r.own = r.steps[:0], r.own[:0]
		}
	}
	c.paths.inUse--
	c.paths.free = append(c.paths.free, n)
}

// hashOf is hash of the header that a path claims.
func (cl *claim) hashOf(c *cache, p *path) uint64 {
	var k packet.Key
	for i, w := range cl.words {
		k[w.at] = *p.word(i)
	}
	h := hashKey(c.seed^cl.digest, c.secret, cl.words, &k)
	if cl.shape {
		h = mix(h^p.tail.shape, c.secret)
	}
	return h
}

// idlePath is how many seconds a path is kept without a frame.
const idlePath = 20

// tidy looks at one path a batch and frees it if it is idle; when few are left of many, all go, so that their memory
// returns.
func (pr *Processor) tidy() {
	s := &pr.cache.paths
	if s.used == 0 {
		return
	}
	n := s.turn()
	if p := s.at(n); p.claim == 0 || pr.second-p.when <= idlePath {
		return
	}
	pr.release(n)
	if s.used > 8*pieceSize && s.inUse < int(s.used)/8 {
		pr.forgetPaths()
	}
}

// forgetPaths empties the cache in the middle of a batch. What frames were guessed to follow goes too: the numbers of
// claims in those paths mean other claims from now on.
func (pr *Processor) forgetPaths() {
	pr.settlePaths()
	pr.unfiling = 0
	pr.cache.forget()
	clear(pr.guesses[:])
}

// settlePaths adds up what paths have counted in the batch at hand.
func (pr *Processor) settlePaths() {
	for i := range pr.touched[:pr.counting] {
		if p := pr.touched[i].p; p != nil {
			pr.flush(p)
		}
	}
	pr.counting = 0
}

// fill makes p the path that a walk took.
func (p *path) fill(t *trail, set *actionSet) {
	steps, next, miss := t.steps, uint8(noPathTable), uint8(noPathTable)
	if t.next != noTable {
		steps, next = steps[:t.cut], uint8(t.next)
	} else if t.miss != noTable {
		miss = uint8(t.miss)
	}
	p.last = [1]step{}
	if n := len(steps); n > 0 {
		p.last[0] = step{steps[n-1], steps[n-1].prog}
	}
	ends := next == noPathTable && miss == noPathTable
	if p.tail == nil && len(steps) == 1 && ends && set.n == 0 {
		return
	}
	l := p.grown()
	l.next, l.miss, l.n, l.set = next, miss, uint8(len(steps)), nil
	l.few = [fewSteps]step{}
	into := l.few[:]
	if n := len(steps); n > fewSteps {
		r := l.more()
		r.steps = slices.Grow(r.steps[:0], n)[:n]
		into = r.steps
	}
	for i, e := range steps {
		into[i] = step{e, e.prog}
	}
	if ends && set.n > 0 {
		l.keepSet(set, steps)
	}
}

// grown gives the path a tail if it has none.
func (p *path) grown() *tail {
	if p.tail == nil {
		p.tail = &tail{plain: maxTables + 1, n: 1, next: noPathTable, miss: noPathTable}
	}
	return p.tail
}

// more gives the tail a rest if it has none.
func (t *tail) more() *rest {
	if t.rest == nil {
		t.rest = new(rest)
	}
	return t.rest
}

// keepSet stores the merged action set. If it is one entry's own, that list serves.
func (t *tail) keepSet(set *actionSet, steps []*Entry) {
	writers, from := 0, 0
	for i, e := range steps {
		if e.prog.clear {
			writers = 0
		}
		if len(e.prog.write) > 0 {
			writers, from = writers+1, i
		}
	}
	if writers == 1 {
		t.set = whatRuns(steps[from].prog.write)
		return
	}
	r := t.more()
	r.own = append(r.own[:0], set.list()...)
	t.set = r.own
}

func second(now time.Duration) uint16 { return uint16(now / time.Second) }
