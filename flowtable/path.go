// Hot path: paths, the claims that they rest on, and how a frame is compared with them.

package flowtable

import (
	"github.com/weirswitch/weir/flowtable/packet"
)

// path is what frames with certain header bits undergo: data, complete but for what changes without a
// publication. Two cache lines: whom it serves, and what happens to them.
type path struct {
	claim *claim // which bits; nil: the path is free
	seen  uint64 // number of the last alteration that it is known to have survived
	key   [inlineWords]uint64

	steps   []step // entries met, in order; first, or tail.steps
	first   [1]step
	tail    *tail // of a path that is more than one entry, or nil
	bytes   uint64
	packets uint32 // counted by the batch at hand, as bytes
	miss    uint8  // table that had no entry for the frame, or noPathTable
	next    uint8  // table in which the walk continues: a header came off, see doc.go; or noPathTable
	when    uint16 // the second in which it was last used, cut to 16 bits
}

const (
	inlineWords = 6
	noPathTable = 0xff
)

// step is one entry met. What happens there is in the program; the entry is wanted when frames are counted.
type step struct {
	e    *Entry
	prog *Program
}

// tail is what few paths need.
type tail struct {
	steps []step
	set   []op     // the action set at the end
	own   []op     // memory for set when it was merged from several entries
	key   []uint64 // the words that do not fit in path.key
	shape uint64   // which headers there are, if the claim asks for it
	plain int      // lookups that saw the header as it came in
}

// claim is the header bits that a path rests on. Paths with the same bits share it.
type claim struct {
	words   []headerWord // ascending
	touched uint64       // number of the last alteration that may concern a path of it
	shape   bool         // and which headers there are
	place   [headerWords]int8
	digest  uint64 // of the mask
	paths   int
	served  int // frames that it found a path for, of late

	reach, recount *reach // the second while paths are counted anew
	news           []news // the alterations up to touched that may concern its paths
	since          uint64 // and before news: paths that have not seen this one are lost
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
	h, secret := c.seed^cl.digest, c.secret
	for i := range cl.words {
		w := &cl.words[i]
		h = mix(h^k[w.at&15]&w.bits, secret)
	}
	if cl.shape {
		h = mix(h^shapeOf(l), secret)
	}
	return h
}

// holds reports whether the path serves a frame, which is parsed and unchanged.
func (p *path) holds(f *packet.Frame) bool {
	return p != nil && p.claim != nil && p.holdsKey(&f.Key, &f.Layout)
}

func (p *path) holdsKey(k *packet.Key, l *packet.Layout) bool {
	cl := p.claim
	differ := uint64(0)
	for i := range cl.words {
		if i == inlineWords {
			return differ == 0 && p.holdsRest(k, l)
		}
		w := &cl.words[i]
		differ |= k[w.at&15]&w.bits ^ p.key[i]
	}
	return differ == 0 && (!cl.shape || p.tail.shape == shapeOf(l))
}

func (p *path) holdsRest(k *packet.Key, l *packet.Layout) bool {
	for i, w := range p.claim.words[inlineWords:] {
		if k[w.at&15]&w.bits != p.tail.key[i] {
			return false
		}
	}
	return !p.claim.shape || p.tail.shape == shapeOf(l)
}

// word is the i-th word of the key under the claim.
func (p *path) word(i int) uint64 {
	if i < inlineWords {
		return p.key[i]
	}
	return p.tail.key[i-inlineWords]
}

// set is the action set at the path's end.
func (p *path) set() []op {
	if p.tail == nil {
		return nil
	}
	return p.tail.set
}

// last reports that nothing follows the last step's ops.
func (p *path) last() bool { return p.next == noPathTable && (p.tail == nil || len(p.tail.set) == 0) }

// pathStore is the memory of paths, in pieces, so that none ever moves. Numbers begin at 1.
type pathStore struct {
	pieces []*[pieceSize]path
	free   []uint32
	inUse  int
	used   uint32 // the highest number given out
	hand   uint32 // the path that is looked at next for whether it is still used
	limit  int
}

const pieceSize = 256

// at is the path of a number, nil for zero.
func (s *pathStore) at(n uint32) *path {
	if n == 0 {
		return nil
	}
	n--
	return &s.pieces[n/pieceSize][n%pieceSize]
}
