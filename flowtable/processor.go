// Hot path: one per worker: a batch of frames in, ops on each, counters once at the end.

package flowtable

import (
	"math/bits"
	"slices"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// Sink takes what leaves the engine. It belongs to the caller of Process, which is the only one to
// call it.
type Sink interface {
	// Output sends f by a port of the last SetPorts that is up. f stays as it is until the batch
	// ends; the bytes and Offload are what counts, Key may be stale.
	Output(port uint32, queue uint32, f *packet.Frame)

	// PacketIn gives a frame to the controllers. Copy what is kept: the frame is the engine's
	// again when PacketIn returns.
	PacketIn(in PacketIn)
}

// PacketIn is a frame for the controllers (section 7.4.1). The match of the message comes from
// Frame.Key: in_port, metadata, tunnel_id and the registers are as they were at the output.
type PacketIn struct {
	Frame        *packet.Frame
	Reason       openflow.PacketInReason
	Table        uint8
	Cookie       uint64 // all ones when no entry was involved
	MaxLen       uint16 // bytes of the frame that the action asked for; 0xffff: all
	ControllerID uint16 // Nicira's controller action; else 0
}

// Processor runs frames through the published tables. Each worker has its own; one goroutine at a
// time may use it. Its memory is its cache and its scratch frames.
type Processor struct {
	p     *Pipeline
	snap  *snapshot // of the batch at hand; nil between batches, so that an idle worker keeps no old tables alive
	epoch uint64    // of the snapshot that cache belongs to
	cache cache

	// The frame at hand.
	at       *Entry // whose ops run; nil in a PACKET_OUT
	queue    uint32
	revealed bool // bytes came to light that were not in the key
	depth    int  // groups around the op at hand
	runs     int  // buckets run so far
	set      actionSet
	trail    trail
	basis    basis

	tracer *tracer // is told each step of a frame that Pipeline.Trace follows; nil when frames are forwarded

	// Resubmits of the frame at hand: how deep we are, how many there were.
	nested, resubmits int
	around            []op   // the action sets around the buckets that they are in, the outermost first
	outer             *Entry // whose resubmit is the outermost of those around the lookup at hand
	received          uint64 // bytes of it when it came in: what its entries count, also behind a push or pop

	// The batch at hand.
	now      time.Duration
	sink     Sink
	second   uint16 // of now
	from     *port  // the port of the last frame that was admitted
	to       *port  // the port of the last output
	hashes   [chunk]uint64
	guesses  [chunk]*path
	warm     uint64 // keeps loads that are done for their own sake
	touched  [maxTouched]pathCount
	counting int // how many of touched are in use
	unfiled  [chunk]unfiled
	unfiling int // how many of unfiled are in use
	drops    Drops
	metered  meterTally
	tables   [256]tableCount
	seen     [4]uint64 // which of tables are not zero
	scratch  []*packet.Frame
	used     int             // of scratch
	bulk     []*packet.Frame // scratch for super-frames, borrowed from the Pipeline
	copied   int             // bytes in both
	tallies  [numTallies]tally
	tallied  uint64 // which of tallies are in use
}

// pathCount is what a batch counts of one path.
type pathCount struct {
	p       *path
	packets uint64
	bytes   uint64
}

const maxTouched = 255 // what path.slot can tell

type tableCount struct{ lookups, matched uint64 }

// chunk is how many frames are parsed and hashed before the first is looked up.
const chunk = 64

// NewProcessor makes a processor for one worker.
func (p *Pipeline) NewProcessor() *Processor {
	pr := &Processor{p: p}
	pr.cache.init(&p.cfg)
	pr.trail.steps = make([]*Entry, 0, 16)
	return pr
}

// Forget lets go of the tables seen last and of all that was remembered of them, between two batches. A
// Processor that rests keeps them alive otherwise.
func (pr *Processor) Forget() {
	pr.snap, pr.epoch = nil, 0
	clear(pr.trail.steps[:cap(pr.trail.steps)])
	clear(pr.touched[:])
	clear(pr.guesses[:])
	pr.cache.forget()
}

// Process runs a batch: each frame is parsed and follows the tables as they were published when the
// batch began; outputs and packet-ins go to s in the order of the frames. Frames may come back
// changed and are used up. now must not run backwards.
func (pr *Processor) Process(now time.Duration, frames []*packet.Frame, s Sink) {
	pr.begin(now, s)
	for len(frames) > 0 {
		n := min(len(frames), chunk)
		pr.process(frames[:n])
		frames = frames[n:]
	}
	pr.end()
}

// PacketOut is PacketOuts for one frame.
func (pr *Processor) PacketOut(now time.Duration, f *packet.Frame, prog *Program, s Sink) {
	pr.begin(now, s)
	pr.packetOut(f, prog)
	pr.end()
}

// PacketOuts runs the programs of PACKET_OUTs, each on its frame, whose InPort is the message's in_port
// (it may be CONTROLLER or ANY). All frames are one batch.
func (pr *Processor) PacketOuts(now time.Duration, frames []*packet.Frame, progs []*Program, s Sink) {
	pr.begin(now, s)
	for i, f := range frames {
		pr.packetOut(f, progs[i])
	}
	pr.end()
}

func (pr *Processor) packetOut(f *packet.Frame, prog *Program) {
	if f.Len() < ethernetHeader {
		pr.drops[DropRunt]++
		return
	}
	f.Parse()
	pr.mayCut(f)
	pr.at, pr.queue, pr.resubmits, pr.runs = nil, 0, 0, 0
	pr.received = uint64(f.Len())
	pr.set.reset()
	last := !slices.ContainsFunc(prog.apply, func(o op) bool { return o.code == opResubmit })
	if f, ok := pr.run(f, prog.apply, last); ok && pr.set.n > 0 { // a resubmit wrote it
		pr.run(f, pr.set.list(), true)
	}
}

const ethernetHeader = 14

func (pr *Processor) begin(now time.Duration, s Sink) {
	pr.now, pr.sink, pr.runs = now, s, 0
	pr.second = second(now)
	pr.used, pr.copied = 0, 0
	pr.see(pr.p.snap.Load())
	if pr.snap.epoch != pr.epoch {
		pr.epoch = pr.snap.epoch
		pr.cache.adopt(pr.snap, pr.second)
		clear(pr.guesses[:]) // they would keep paths that went alive, until a batch as large comes
	}
}

// see makes a snapshot the one that frames meet.
func (pr *Processor) see(s *snapshot) { pr.snap, pr.from, pr.to = s, nil, nil }

// process runs up to chunk frames, in passes, so that the memory that the cache needs for one frame is
// on its way while another is dealt with:
//
//  1. parse and hash all;
//  2. touch the hints of all;
//  3. follow the hints to paths, and touch these;
//  4. touch their tails, and the counters of the entries where they end;
//  5. of those with tails, touch the counters of all entries;
//  6. look whether the path is right, and run it; otherwise search for another, or walk.
func (pr *Processor) process(frames []*packet.Frame) {
	if pr.p.cfg.NoCache {
		for _, f := range frames {
			f.Parse()
			if pr.admit(f) {
				pr.walkWhole(f)
			}
		}
		return
	}
	c := &pr.cache
	for i, f := range frames {
		f.Parse()
		pr.hashes[i] = c.hash(f)
	}
	warm, tails := uint64(0), false
	for i := range frames {
		warm ^= c.exact.slots[c.exact.bucket(pr.hashes[i])]
	}
	var p *path
	for i := range frames {
		if i == 0 || pr.hashes[i] != pr.hashes[i-1] { // frames of a flow often come in a row
			if p = c.guess(pr.hashes[i]); p != nil {
				warm ^= p.key[0]
			}
		}
		pr.guesses[i] = p
	}
	for i := range frames {
		p := pr.guesses[i]
		if p == nil {
			continue
		}
		if p.last[0].e != nil {
			warm ^= uint64(p.last[0].e.stats.used.Load())
		}
		if t := p.tail; t != nil {
			warm ^= t.shape
			tails = tails || t.n > 1
		}
	}
	if tails {
		warm ^= warmSteps(pr.guesses[:len(frames)])
	}
	pr.warm = warm
	for i, f := range frames {
		if pr.admit(f) {
			pr.forward(f, pr.hashes[i], pr.guesses[i])
		}
	}
}

// warmSteps touches the counters of all entries but the last on paths of several.
func warmSteps(paths []*path) (warm uint64) {
	for _, p := range paths {
		if p == nil || p.tail == nil || p.tail.n < 2 {
			continue
		}
		steps := p.steps()
		for i := range steps[:len(steps)-1] {
			warm ^= uint64(steps[i].e.stats.used.Load())
		}
	}
	return warm
}

// forward takes a frame its way: by the guessed path if that serves it.
func (pr *Processor) forward(f *packet.Frame, hash uint64, p *path) {
	c := &pr.cache
	var cl *claim
	if p != nil {
		cl = c.numbered[p.claim]
	}
	if cl == nil || !p.holdsKey(cl, &f.Key, &f.Layout) || p.seen < cl.touched && !c.alive(p) {
		if c.worth > 0 {
			pr.file()
		}
		if p = c.search(f, hash); p == nil {
			pr.walkAndKeep(f, hash)
			return
		}
	}
	pr.follow(p, f)
}

// admit reports whether a frame, which is parsed, goes its way now. It does not when it may not come
// in at all, or when it is a fragment that is kept or dropped.
func (pr *Processor) admit(f *packet.Frame) bool {
	in := pr.from
	if in == nil || in.no != f.InPort {
		in = pr.snap.ports.get(f.InPort)
		pr.from = in
	}
	switch {
	case in == nil:
		pr.drops[DropNoPort]++
	case !in.recv:
		pr.drops[DropNoRecv]++
	case f.Len() < ethernetHeader:
		pr.drops[DropRunt]++
	case pr.snap.frags != openflow.FragNormal && isFragment(f):
		pr.fragment(f)
	default:
		pr.runs = 0
		return true
	}
	return false
}

// isFragment looks at the ip_frag field, which is a byte of word 2.
func isFragment(f *packet.Frame) bool { return f.Key[2]&packet.FragAny != 0 }

// follow runs a remembered path.
func (pr *Processor) follow(p *path, f *packet.Frame) {
	n := uint64(f.Len())
	t := pr.touch(p)
	t.packets++
	t.bytes += n
	pr.queue, pr.resubmits, pr.received, pr.set.n = 0, 0, n, 0 // a group may lead to resubmits
	steps, tail := p.steps(), p.tail
	ends := tail == nil || tail.ends()
	for i := range steps {
		s := &steps[i]
		prog := s.prog
		pr.at = s.e
		ok := true
		if prog.meter != 0 {
			f, ok = pr.police(f, prog.meter)
		}
		if ok {
			f, ok = pr.run(f, prog.apply, ends && i+1 == len(steps))
		}
		if !ok {
			t.packets--
			t.bytes -= n
			for _, s := range steps[:i+1] {
				pr.count(s.e, 1, n)
			}
			return
		}
		if prog.metaMask != 0 {
			writeMetadata(f, prog)
		}
	}
	switch {
	case tail == nil:
	case tail.next != noPathTable:
		pr.resume(p, f, n)
	case tail.miss != noPathTable:
		pr.drops[DropMiss]++
	case len(tail.set) > 0:
		pr.run(f, tail.set, true)
	}
}

// touch is where the batch at hand counts a path's frames.
func (pr *Processor) touch(p *path) *pathCount {
	if p.slot == 0 {
		if pr.counting == maxTouched {
			pr.settlePaths()
		}
		pr.touched[pr.counting] = pathCount{p: p}
		pr.counting++
		p.slot = uint8(pr.counting)
	}
	return &pr.touched[p.slot-1]
}

func writeMetadata(f *packet.Frame, prog *Program) {
	const w = 16 // packet.Metadata's word
	f.Key[w] = f.Key[w]&^prog.metaMask | prog.metadata
}

// end adds up the batch's counters and lets go of its frames.
func (pr *Processor) end() {
	pr.file()
	pr.settlePaths()
	pr.tidy()
	pr.cache.count(pr.second)
	pr.metered.flush()
	for w := range pr.seen {
		for ; pr.seen[w] != 0; pr.seen[w] &= pr.seen[w] - 1 {
			i := w<<6 + bits.TrailingZeros64(pr.seen[w])
			c := &pr.tables[i]
			pr.p.stats[i].lookups.Add(c.lookups)
			pr.p.stats[i].matched.Add(c.matched)
			*c = tableCount{}
		}
	}
	pr.settleGroups()
	pr.p.drops.add(&pr.drops)
	pr.sink, pr.at, pr.outer = nil, nil, nil
	pr.see(nil)
	for i, f := range pr.bulk {
		pr.bulk[i] = nil
		select {
		case pr.p.bulk <- f:
		default: // enough are kept
		}
	}
	pr.bulk = pr.bulk[:0]
	if len(pr.scratch) > keepScratch {
		clear(pr.scratch[keepScratch:])
		pr.scratch = pr.scratch[:keepScratch]
	}
}

// flush moves a path's counts to its entries.
func (pr *Processor) flush(p *path) {
	if p.slot == 0 {
		return
	}
	t := &pr.touched[p.slot-1]
	if t.packets > 0 { // else an op broke them all off, and they are counted
		steps := p.steps()
		for i := range steps {
			e, table := steps[i].e, 0 // the first table; the entry's own number may be far from its counters
			if i > 0 {
				table = int(e.Table)
			}
			e.stats.add(t.packets, t.bytes, pr.now)
			pr.countTable(table, t.packets, t.packets)
		}
		if m := p.miss(); m != noPathTable {
			pr.countTable(int(m), t.packets, 0)
		}
	}
	p.slot, t.p, p.when = 0, nil, pr.second
}

// countSteps counts one frame of n bytes for entries off the remembered path.
func (pr *Processor) countSteps(steps []*Entry, n uint64) {
	for _, e := range steps {
		pr.count(e, 1, n)
	}
}

func (pr *Processor) count(e *Entry, packets, bytes uint64) {
	if pr.tracer != nil {
		return
	}
	e.stats.add(packets, bytes, pr.now)
	pr.countTable(int(e.Table), packets, packets)
}

func (pr *Processor) countTable(table int, lookups, matched uint64) {
	c := &pr.tables[table]
	c.lookups += lookups
	c.matched += matched
	pr.seen[table>>6] |= 1 << (table & 63)
}

// Scratch frames hold the changed copies of one batch. Beyond the bounds copies are dropped and counted.
const (
	maxScratch      = 4096     // copies in one batch
	maxScratchBytes = 32 << 20 // their bytes: almost eight copies of each super-frame in a batch of 64
	minRoom         = 2048     // bytes of the smallest buffer

	keepScratch = 256         // buffers kept from batch to batch: four for each frame of a batch of 64
	keepRoom    = 10 << 10    // bytes of the biggest of them: a jumbo frame fits, a super-frame does not
	bulkRoom    = 65536 + 256 // bytes of a buffer for a super-frame
	keepBulk    = 64          // of those, kept for all Processors of a switch: 4 MiB
)

// copyOf is a copy of f that may be changed, nil when the batch has used up its scratch frames.
func (pr *Processor) copyOf(f *packet.Frame) *packet.Frame {
	c := pr.scratchFrame(f.Len())
	if c != nil {
		f.CopyTo(c)
	}
	return c
}

// scratchFrame is a frame with room for n bytes that lasts until the batch ends, or nil as in copyOf.
func (pr *Processor) scratchFrame(n int) *packet.Frame {
	big := n > keepRoom
	if n = max(minRoom, n); big {
		n = max(bulkRoom, n)
	}
	if pr.used+len(pr.bulk) >= maxScratch || pr.copied+n > maxScratchBytes {
		pr.drops[DropTooManyCopies]++
		return nil
	}
	pr.copied += n
	if big {
		return pr.bulkFrame(n)
	}
	if pr.used == len(pr.scratch) {
		pr.scratch = append(pr.scratch, packet.NewFrame(n))
	}
	pr.used++
	return pr.scratch[pr.used-1]
}

// bulkFrame borrows a frame with room for n bytes, or makes one.
func (pr *Processor) bulkFrame(n int) (f *packet.Frame) {
	select {
	case f = <-pr.p.bulk:
	default:
		f = packet.NewFrame(n)
	}
	pr.bulk = append(pr.bulk, f)
	return f
}
