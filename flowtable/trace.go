// Slow path: one frame's way through the switch, told step by step, without leaving a mark.

package flowtable

import (
	"slices"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// Trace is what would happen to a frame: the steps in the order in which the switch takes them.
type Trace struct {
	Fields  openflow.Match // the frame as it came in
	Path    *CachedPath    // what a Processor would remember for frames like it; nil: nothing
	Steps   []TraceStep
	Omitted int // steps that there were besides: a frame can be multiplied by thousands
}

// TraceKind says which part of a TraceStep counts.
type TraceKind uint8

// The kinds of steps.
const (
	TraceTable     TraceKind = iota // a lookup: Table, Entry (nil: a miss), Counters, Near
	TraceMeter                      // Meter
	TraceRemark                     // a meter's dscp_remark: Change
	TraceAction                     // Action, and Change if it changed the frame
	TraceNormal                     // what NORMAL finds out: Normal
	TraceGroup                      // Group
	TraceBucket                     // Bucket of the group above runs
	TraceWrite                      // clear_actions and write_actions: Clear, Actions; Set is the action set afterwards
	TraceMetadata                   // write_metadata: Was, Is
	TraceGoto                       // Table comes next
	TraceActionSet                  // the pipeline has ended: Set runs in this order, of which Actions really are carried out
	TraceOutput                     // Frame leaves by Port, queue Queue
	TracePacketIn                   // PacketIn goes to the controllers, with Frame
	TraceDrop                       // Drop
	TraceKept                       // a fragment waits for the others of its packet
)

// TraceStep is one step. Steps that belong to another one follow it and are one deeper.
type TraceStep struct {
	Kind  TraceKind
	Depth int

	Table    uint8
	Entry    *Entry
	Counters Counters
	Near     []NearMiss

	Meter *TraceMeterVerdict

	Action openflow.Action
	Change *FrameChange

	Normal *NormalVerdict
	Group  *GroupChoice
	Bucket int

	Clear   bool
	Actions []openflow.Action
	Set     []openflow.Action
	Was, Is uint64

	Port, Queue uint32
	Frame       []byte
	Offload     packet.Offload // of Frame: what is left to the port
	PacketIn    PacketIn       // without its Frame
	Metadata    uint64         // of the packet-in

	Drop Drop
}

// FrameChange is a frame before and after an action.
type FrameChange struct {
	Before, After []byte
	Fields        []FieldChange
}

// FieldChange is a match field whose value changed; Had and Has say whether the frame had it and has it.
type FieldChange struct {
	Had, Has bool
	Was, Is  openflow.Field
}

// TraceMeterVerdict is what a meter says of a frame.
type TraceMeterVerdict struct {
	ID      uint32 // openflow.MeterController for packet-ins
	Packets bool   // rates are packets a second; else kbit/s
	Bands   []TraceBand
	Hit     int // index in Bands, -1: the frame passes
}

// TraceBand is a band before the frame came, highest rate first.
type TraceBand struct {
	Rate   uint64
	Room   uint64 // packets or bytes that may pass at once
	Remark uint8  // dscp_remark's prec_level; 0: drop
}

// GroupChoice is a group as a frame meets it.
type GroupChoice struct {
	ID      uint32
	Type    openflow.GroupType
	Hash    uint64 // select: of the frame's addresses, mixed for this group
	Point   uint64 // select: where it falls among the Total weights; a dead bucket there has it drawn again
	Total   uint64
	Buckets []BucketState
}

// BucketState is a bucket with its weight and whether it may be used now.
type BucketState struct {
	Weight  uint16
	Watches bool // its liveness hangs on a port or a group
	Live    bool
}

// Learning is what NORMAL does with a frame's source address.
type Learning uint8

// What becomes of a source address. LearnNone: it is a group address, or the frame came by no port.
const (
	LearnNone    Learning = iota
	LearnNew              // entered
	LearnAgain            // known on this port: its age begins anew
	LearnMoved            // was on another port
	LearnStatic           // set by an administrator: stays where it is
	LearnRefused          // the loop guard keeps it where it is
	LearnFull             // no room: all places are static
)

// NormalVerdict is why NORMAL sends a frame where it does.
type NormalVerdict struct {
	Reserved bool // the destination is one of those that stay on their link; nothing else was looked at
	VLAN     uint16
	Member   bool // the port carries that VLAN
	Src, Dst [6]byte
	Learning Learning
	Was      uint32 // LearnMoved, LearnStatic, LearnRefused: the port where the address is known
	Known    bool   // the destination is known
	At       uint32 // its port
	Age      time.Duration
}

// Trace tells what would happen if the frame came in now. The verdict comes from the code that forwards;
// it runs on a copy of the frame, of the MAC table and of the meters it meets, and counts nothing. What
// was published counts: commands whose Publish has not come are not seen.
func (p *Pipeline) Trace(now time.Duration, f *packet.Frame) *Trace {
	c := packet.NewFrame(f.Len())
	f.CopyTo(c)
	c.Parse()
	pr := p.shadow(c).NewProcessor()
	w := &tracer{now: now, pr: pr, meters: map[*meter]*meter{}, buckets: map[*bucket]int{}}
	pr.tracer = w
	t := &Trace{Fields: FieldsOf(c)}
	fragment := isFragment(c)
	pr.begin(now, w)
	pr.process([]*packet.Frame{c})
	w.dropped()
	if len(w.steps) == 0 && fragment { // neither looked up nor dropped
		w.add(TraceStep{Kind: TraceKept})
	}
	pr.end()
	t.Steps, t.Omitted = w.steps, w.omitted
	t.Path = pr.Cached(f)
	return t
}

// shadow is a pipeline that shows what p has published and has copies of all else that a frame could
// change, but for entries, groups and meters: those the tracer keeps from being counted.
func (p *Pipeline) shadow(f *packet.Frame) *Pipeline {
	s := &Pipeline{
		cfg: p.cfg, macs: p.macs.clone(), stats: make([]tableCounters, len(p.stats)), spreader: p.spreader,
		bulk: make(chan *packet.Frame), frags: newReassembler(),
	}
	s.cfg.CacheSize = 2
	s.snap.Store(p.snap.Load())
	if isFragment(f) {
		s.frags = p.frags.aside(f)
	}
	return s
}

// clone is a MAC table of its own with the same contents.
func (t *macTable) clone() *macTable {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &macTable{seed: t.seed, limit: t.limit, moves: t.moves, hold: t.hold}
	c.age.Store(t.age.Load())
	c.reserved.Store(t.reserved.Load())
	c.heads.Store(newHeads(t.limit))
	for s := range t.all {
		n := s.copy()
		c.link(n)
		if !n.static {
			c.agenda.put(n, time.Duration(n.seen.Load()))
		}
	}
	return c
}

// aside is a reassembler that holds what waits for this fragment and nothing else.
func (r *reassembler) aside(f *packet.Frame) *reassembler {
	c := newReassembler()
	g, ok := f.Fragment()
	if !ok {
		return c
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.byKey[string(g.AppendKey(nil, f))]
	if d == nil {
		return c
	}
	n := *d
	n.pieces, n.older, n.younger = slices.Clone(d.pieces), nil, nil
	c.byKey[n.key], c.oldest, c.newest, c.cost = &n, &n, &n, n.cost
	return c
}

// CachedPath is a path by which a Processor serves a frame without asking the tables.
type CachedPath struct {
	Entries []*Entry
	Miss    bool  // the last table had no entry for it
	Resumes int16 // the table from which it asks again, because headers come to light; -1: none
	// It serves all frames that are equal in these bits, and, if Shape says so, in which headers they have.
	Rests openflow.Match
	Shape bool
}

// Cached is the path that this Processor remembers for frames like f, nil if it has none. The caller owns
// the Processor, between two batches.
func (pr *Processor) Cached(f *packet.Frame) *CachedPath {
	if pr.p.cfg.NoCache || pr.epoch != pr.p.snap.Load().epoch {
		return nil
	}
	c := packet.NewFrame(f.Len())
	f.CopyTo(c)
	c.Parse()
	path := pr.cache.search(c, pr.cache.hash(c))
	if path == nil {
		return nil
	}
	cl := pr.cache.numbered[path.claim]
	known := &CachedPath{Entries: path.entries(), Miss: path.miss() != noPathTable, Resumes: noTable, Rests: cl.fields(c), Shape: cl.shape}
	if t := path.tail; t != nil && t.next != noPathTable {
		known.Resumes = int16(t.next)
	}
	return known
}

// fields are a frame's, as far as the claim looks at them.
func (cl *claim) fields(f *packet.Frame) openflow.Match {
	var mask packet.Mask
	for _, w := range cl.words {
		mask[w.at] |= w.bits
	}
	var list []openflow.Field
	for field := range FieldsOf(f).All() {
		hi, lo := mask.Get(keyField(field.ID))
		if hi|lo == 0 {
			continue
		}
		if of := openflow.ValueOf128(hi, lo); of != field.Mask {
			field.Masked, field.Mask, field.Value = true, of, field.Value.And(of)
		}
		list = append(list, field)
	}
	return openflow.NewMatch(list...)
}
