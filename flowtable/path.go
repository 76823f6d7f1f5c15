// Hot path: paths, the claims that they rest on, and how a frame is compared with them.

package flowtable

import (
	"github.com/weirswitch/weir/flowtable/packet"
)

// path is what frames with certain header bits undergo: data, complete but for what changes without a
// publication. One cache line, or that and its tail.
type path struct {
	key   [inlineWords]uint64 // the words of the claim, as many as there is room for; zero behind the last one
	last  [1]step             // the last entry met, mostly the only one
	tail  *tail               // of a path that is more than one entry and a few words, or nil
	seen  uint32              // the cache's clock when the path was last known to hold
	when  uint16              // the second in which it was last used, cut to 16 bits
	claim uint8               // which bits, a number of the cache; zero: the path is free
	slot  uint8               // where the batch at hand counts its frames (Processor.touched), from 1; zero: not yet
}

const (
	inlineWords = 4
	noPathTable = 0xff
)

// step is one entry met. What happens there is in the program; the entry is wanted when frames are counted.
type step struct {
	e    *Entry
	prog *Program
}

// tail is what not every path needs. Two cache lines: what is asked of it whatever the path, and its entries.
type tail struct {
	key   [tailWords]uint64 // words behind those in the path
	shape uint64            // which headers there are, if the claim asks for it
	set   []op              // the action set at the end
	rest  *rest             // or nil
	plain int16             // lookups that saw the header as it came in
	miss  uint8             // table that had no entry for the frame, or noPathTable
	next  uint8             // table in which the walk continues: a header came off, see doc.go; or noPathTable
	n     uint8             // entries met: one is path.last, a few are here, more are in rest

	few [fewSteps]step
}

const (
	tailWords = 2
	fewSteps  = 4
)

// rest is what hardly any path needs.
type rest struct {
	key   [headerWords - inlineWords - tailWords]uint64
	steps []step
	own   []op // memory for tail.set when it was merged from several entries
}

// claim is the header bits that a path rests on. Paths with the same bits share it.
type claim struct {
	words   []headerWord            // ascending
	first   [inlineWords]headerWord // the same, as many as there is room for; without bits behind the last one
	more    bool                    // there is more to compare
	touched uint32                  // the cache's clock at the last alteration that may concern a path of it
	shape   bool                    // and which headers there are
	no      uint8                   // the number by which paths know it
	place   [headerWords]int8
	digest  uint64 // of the mask
	paths   int
	served  int // frames that it found a path for, of late

	reach, recount *reach // the second while paths are counted anew
	news           []news // the alterations up to touched that may concern its paths
	since          uint32 // and before news: paths that have not seen this one are lost
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

// hash is the wild hash of a frame's header under the claim.
func (cl *claim) hash(c *cache, k *packet.Key, l *packet.Layout) uint64 {
	h := hashKey(c.seed^cl.digest, c.secret, cl.words, k)
	if cl.shape {
		h = mix(h^shapeOf(l), c.secret)
	}
	return h
}

// holds reports whether a path serves a frame, which is parsed and unchanged.
func (c *cache) holds(p *path, f *packet.Frame) bool {
	if p == nil {
		return false
	}
	cl := c.numbered[p.claim]
	return cl != nil && p.holdsKey(cl, &f.Key, &f.Layout)
}

// holdsKey is holds for a path of the claim.
func (p *path) holdsKey(cl *claim, k *packet.Key, l *packet.Layout) bool {
	w := &cl.first
	differ := k[w[0].at&15]&w[0].bits ^ p.key[0]
	differ |= k[w[1].at&15]&w[1].bits ^ p.key[1]
	differ |= k[w[2].at&15]&w[2].bits ^ p.key[2]
	differ |= k[w[3].at&15]&w[3].bits ^ p.key[3]
	return differ == 0 && (!cl.more || p.holdsRest(cl, k, l))
}

func (p *path) holdsRest(cl *claim, k *packet.Key, l *packet.Layout) bool {
	for i := inlineWords; i < len(cl.words); i++ {
		if w := &cl.words[i]; k[w.at&15]&w.bits != *p.word(i) {
			return false
		}
	}
	return !cl.shape || p.tail.shape == shapeOf(l)
}

// word is where the i-th word of the key under the claim is.
func (p *path) word(i int) *uint64 {
	switch {
	case i < inlineWords:
		return &p.key[i]
	case i < inlineWords+tailWords:
		return &p.tail.key[i-inlineWords]
	}
	return &p.tail.rest.key[i-inlineWords-tailWords]
}

// steps are the entries met, in order.
func (p *path) steps() []step {
	t := p.tail
	switch {
	case t == nil || t.n == 1:
		return p.last[:]
	case t.n <= fewSteps:
		return t.few[:t.n]
	}
	return t.rest.steps
}

// miss is the table that had no entry for the frame, or noPathTable.
func (p *path) miss() uint8 {
	if p.tail == nil {
		return noPathTable
	}
	return p.tail.miss
}

// plain is how many lookups saw the header as it came in.
func (p *path) plain() int {
	if p.tail == nil {
		return maxTables + 1
	}
	return int(p.tail.plain)
}

// ends reports that nothing follows the last step's ops.
func (t *tail) ends() bool { return t.next == noPathTable && len(t.set) == 0 }

// pathStore is the memory of paths, in pieces, so that none ever moves. Numbers begin at 1.
type pathStore struct {
	pieces []*[pieceSize]path
	free   []uint32
	inUse  int
	used   uint32 // the highest number given out
	hand   uint32 // the path that is looked at next for whether it is still used
	limit  int
}

// pieceSize makes a piece 32 KiB, from which size on the runtime gives whole pages: smaller ones begin with eight bytes of its own, and then
// each path lies across two cache lines.
const pieceSize = 512

// at is the path of a number, nil for zero.
func (s *pathStore) at(n uint32) *path {
	if n == 0 {
		return nil
	}
	n--
	return &s.pieces[n/pieceSize][n%pieceSize]
}
