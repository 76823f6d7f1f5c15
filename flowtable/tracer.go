// Slow path: the observer of a traced frame: what the walk, the ops, groups, meters and NORMAL tell it.

package flowtable

import (
	"bytes"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// tracer gathers the steps of one traced frame. The code that forwards calls it where a decision has been
// made; it decides nothing itself.
type tracer struct {
	now   time.Duration
	pr    *Processor
	steps []TraceStep
	depth int
	one   bool  // the next run is one op, which run has told of
	told  Drops // of pr.drops

	meters  map[*meter]*meter // those met: copies, so that the real ones lose nothing
	met     *TraceMeterVerdict
	bytes   int // in steps
	omitted int
	buckets map[*bucket]int // their places in their groups
}

var _ Sink = (*tracer)(nil)

// Bounds of what is told of one frame: groups and resubmits can multiply it by thousands.
const (
	maxTraceSteps = 4096
	maxTraceBytes = 16 << 20 // of frames in steps
)

// add enters a step. Beyond the bounds steps are only counted.
func (w *tracer) add(s TraceStep) {
	w.bytes += len(s.Frame)
	if len(w.steps) == maxTraceSteps || w.bytes > maxTraceBytes {
		w.omitted++
		return
	}
	s.Depth = w.depth
	w.steps = append(w.steps, s)
}

// below enters a step that belongs to the last one.
func (w *tracer) below(s TraceStep) {
	w.depth++
	w.add(s)
	w.depth--
}

// Output and PacketIn implement Sink.
func (w *tracer) Output(port, queue uint32, f *packet.Frame) {
	w.add(TraceStep{Kind: TraceOutput, Port: port, Queue: queue, Frame: bytes.Clone(f.Bytes()), Offload: f.Offload})
}

func (w *tracer) PacketIn(in PacketIn) {
	s := TraceStep{Kind: TracePacketIn, Frame: bytes.Clone(in.Frame.Bytes()), PacketIn: in}
	_, s.Metadata = in.Frame.Key.Get(packet.Metadata)
	s.PacketIn.Frame = nil
	w.add(s)
}

// dropped tells what was dropped since it was last called.
func (w *tracer) dropped() {
	for why, n := range w.pr.drops.All() {
		if n > w.told[why] {
			w.add(TraceStep{Kind: TraceDrop, Drop: why})
		}
	}
	w.told = w.pr.drops
}

// looked is told of each lookup.
func (w *tracer) looked(pr *Processor, table int, k *packet.Key, e *Entry) {
	s := TraceStep{Kind: TraceTable, Table: uint8(table), Entry: e}
	if e != nil {
		s.Counters = e.Counters(w.now)
	}
	if table < len(pr.snap.tables) {
		s.Near = nearMisses(pr.snap.tables[table], k, e)
	}
	w.add(s)
}

// decided is told what an entry did to the action set and the metadata, and where the frame goes on.
func (w *tracer) decided(pr *Processor, f *packet.Frame, prog *Program) {
	if prog.clear || len(prog.write) > 0 {
		w.below(TraceStep{Kind: TraceWrite, Clear: prog.clear, Actions: actionsOf(prog.write), Set: actionsOf(pr.set.ops[:pr.set.n])})
	}
	if prog.metaMask != 0 {
		after := packet.Frame{Key: f.Key}
		writeMetadata(&after, prog)
		_, was := f.Key.Get(packet.Metadata)
		_, is := after.Key.Get(packet.Metadata)
		w.below(TraceStep{Kind: TraceMetadata, Was: was, Is: is})
	}
	if prog.next != noTable {
		w.below(TraceStep{Kind: TraceGoto, Table: uint8(prog.next)})
	}
}

// closing is told of the action set before it runs.
func (w *tracer) closing(pr *Processor) {
	if pr.set.n > 0 {
		w.add(TraceStep{Kind: TraceActionSet, Set: actionsOf(pr.set.ops[:pr.set.n]), Actions: actionsOf(pr.set.list())})
	}
}

// whole reports that a list of ops is to be told of, op by op.
func (w *tracer) whole() bool {
	whole := !w.one
	w.one = false
	return whole
}

// run is Processor.run, each op alone.
func (w *tracer) run(pr *Processor, f *packet.Frame, ops []op, last bool) (*packet.Frame, bool) {
	w.depth++
	defer func() { w.depth-- }()
	for i := range ops {
		o := &ops[i]
		at := len(w.steps)
		w.add(TraceStep{Kind: TraceAction, Action: o.action()})
		var was packet.Frame
		f.CopyTo(&was)
		w.depth++
		var finish func()
		if o.code == opNormal {
			finish = w.normal(pr, f)
		}
		w.one = true
		next, ok := pr.run(f, ops[i:i+1], last && i == len(ops)-1)
		w.one = false
		if finish != nil {
			finish()
		}
		if o.changes() && at < len(w.steps) {
			w.steps[at].Change = changeOf(&was, next)
			w.bytes += 2 * was.Len()
		}
		w.dropped()
		w.depth--
		if f = next; !ok {
			return f, false
		}
	}
	return f, true
}

// changes reports an op that alters the frame in the view of the ops behind it.
func (o *op) changes() bool {
	switch o.code {
	case opSetField, opMove, opPushVLAN, opPushMPLS, opPushPBB, opPopMPLS, opPopVLAN, opPopPBB, opSetIPTTL, opSetMPLSTTL,
		opDecIPTTL, opDecMPLSTTL, opCopyTTLOut, opCopyTTLIn:
		return true
	}
	return false
}

// changeOf is nil when nothing changed.
func changeOf(was, is *packet.Frame) *FrameChange {
	c := &FrameChange{Fields: fieldChanges(FieldsOf(was), FieldsOf(is))}
	if !bytes.Equal(was.Bytes(), is.Bytes()) {
		c.Before, c.After = bytes.Clone(was.Bytes()), bytes.Clone(is.Bytes())
	}
	if c.Before == nil && len(c.Fields) == 0 {
		return nil
	}
	return c
}

// remarks is told that a meter is about to give the frame another DSCP.
func (w *tracer) remarks(f *packet.Frame, dscp uint64) {
	var after packet.Frame
	f.CopyTo(&after)
	after.SetField(packet.IPDSCP, 0, dscp)
	w.below(TraceStep{Kind: TraceRemark, Change: changeOf(f, &after)})
}

// meter gives the copy of a meter that the traced frame is to be measured by, and notes its state.
func (w *tracer) meter(pr *Processor, m *meter) *meter {
	c := w.meters[m]
	if c == nil {
		c = m.copy()
		w.meters[m] = c
	}
	v := &TraceMeterVerdict{ID: openflow.MeterController, Packets: m.packets, Hit: -1}
	if m != pr.snap.meters.controller {
		in, _ := pr.at.Instructions().Get(openflow.InstructionMeter)
		v.ID = in.Meter
	}
	for i := range c.bands {
		b := &c.bands[i]
		v.Bands = append(v.Bands, TraceBand{Rate: b.rate, Room: b.room(w.now, c.unit), Remark: b.level})
	}
	w.met = v
	return c
}

// metered is told which band of that copy applies.
func (w *tracer) metered(m *meter, b *band) {
	for i := range m.bands {
		if b == &m.bands[i] {
			w.met.Hit = i
		}
	}
	w.below(TraceStep{Kind: TraceMeter, Meter: w.met})
}

// copy is a meter with the same levels and counters of its own.
func (m *meter) copy() *meter {
	c := &meter{unit: m.unit, packets: m.packets, remarks: m.remarks, bands: make([]band, len(m.bands)),
		seen: new(meterCount), caught: make([]meterCount, len(m.caught))}
	for i := range m.bands {
		from, to := &m.bands[i], &c.bands[i]
		to.rate, to.burst, to.limit, to.level, to.place = from.rate, from.burst, from.limit, from.level, from.place
		to.full.Store(from.full.Load())
	}
	return c
}

// room is the volume that a band lets pass now.
func (b *band) room(now time.Duration, unit uint64) uint64 {
	ahead := b.full.Load() - ticks(now)
	if ahead <= 0 || ahead > b.limit {
		ahead = 0
	}
	return uint64(float64(max(0, b.burst-ahead)) * float64(b.rate) / float64(unit))
}

// group is told which group the frame met.
func (w *tracer) group(pr *Processor, g *Group, f *packet.Frame) {
	c := &GroupChoice{ID: g.ID, Type: g.Type, Total: g.total}
	for i := range g.buckets {
		b := &g.buckets[i]
		w.buckets[b] = i
		c.Buckets = append(c.Buckets, BucketState{Weight: g.Buckets[i].Weight, Watches: b.watch.byPort || b.watch.byGroup, Live: pr.live(b)})
	}
	if g.Type == openflow.GroupTypeSelect && g.total > 0 {
		c.Hash = scatter(pr.p.spreader.hash(f), g.factor)
		c.Point = g.pointOf(c.Hash)
	}
	w.add(TraceStep{Kind: TraceGroup, Group: c})
}

// bucket is told which bucket runs.
func (w *tracer) bucket(b *bucket) { w.add(TraceStep{Kind: TraceBucket, Bucket: w.buckets[b]}) }

// normal tells of the learning switch. The words stand before what it sends, and what it learned shows
// only afterwards, in the shadow's MAC table.
func (w *tracer) normal(pr *Processor, f *packet.Frame) (finish func()) {
	dst, src := f.Key[1]>>16, f.Key[2]>>16
	in := pr.snap.ports.get(f.InPort)
	v := &NormalVerdict{Src: macKey(src << 16).mac(), Dst: macKey(dst << 16).mac()}
	v.VLAN, v.Member = arrival(in, uint16(f.Key[0]))
	key := newMACKey(src, v.VLAN)
	before, known := uint32(0), false
	if s := pr.p.macs.find(key); s != nil {
		before, known = s.port.Load(), s.live(w.now, pr.p.macs.maxAge())
	}
	w.add(TraceStep{Kind: TraceNormal, Normal: v})
	reserved := pr.drops[DropReserved]
	return func() {
		if v.Reserved = pr.drops[DropReserved] > reserved; v.Reserved {
			return
		}
		if s := pr.p.macs.find(key); v.Member && in != nil && src&groupBit == 0 && src != 0 {
			v.Learning, v.Was = learned(s, in.no, before, known)
		}
		if dst&groupBit == 0 && v.Member {
			if to := pr.whereIs(dst, v.VLAN); to != nil {
				v.Known, v.At = true, to.no
				if s := pr.p.macs.find(newMACKey(dst, v.VLAN)); !s.static {
					v.Age = max(0, w.now-time.Duration(s.seen.Load()))
				}
			}
		}
	}
}

// learned says what happened to a station that was known on port before, if it was.
func learned(s *station, in, before uint32, known bool) (Learning, uint32) {
	switch {
	case s == nil:
		return LearnFull, 0
	case s.static:
		return LearnStatic, s.port.Load()
	case s.port.Load() != in:
		return LearnRefused, s.port.Load()
	case !known:
		return LearnNew, 0
	case before != in:
		return LearnMoved, before
	}
	return LearnAgain, 0
}
