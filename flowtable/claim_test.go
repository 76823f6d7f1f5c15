package flowtable

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// TestClaims aims at what paths rest on: random tables, of which one entry after the other changes, and
// frames that differ from each other in few bits. Each goes through an engine that finds paths by their
// claims alone, one that finds them by the exact hash first, and one without a cache. What leaves, in
// which order, and all counters must be the same.
func TestClaims(t *testing.T) {
	n := uint64(*casesFlag) * 4
	if testing.Short() {
		n = 30
	}
	served := 0
	for seed := uint64(1); seed <= n && !t.Failed(); seed++ {
		served += compareClaims(t, seed, anyFlow, alike)
	}
	if served == 0 {
		t.Error("no path was found by its claim")
	}
}

// TestClaimsThroughRewrites is TestClaims for tables that look at what earlier ones have changed.
func TestClaimsThroughRewrites(t *testing.T) {
	n := uint64(*casesFlag) * 4
	if testing.Short() {
		n = 40
	}
	for seed := uint64(1); seed <= n && !t.Failed(); seed++ {
		compareClaims(t, seed, rewritingFlow, randomFrame)
	}
}

func compareClaims(t *testing.T, seed uint64, flow func(*rand.Rand, int) *openflow.FlowMod, frame func(*rand.Rand) []byte) (served int) {
	r := rand.New(rand.NewPCG(seed, 77))
	c := Config{Tables: 1 + int(seed%4), HashSeed: seed, LoopMoves: 1 << 30, CacheSize: 1 << (3 + seed%8)}
	rigs := []*rig{newRig(t, c, upPorts(5)), newRig(t, c, upPorts(5))}
	c.NoCache = true
	rigs = append(rigs, newRig(t, c, upPorts(5)))
	wild := &rigs[0].proc.cache
	var frames [][]byte
	for range 24 {
		frames = append(frames, frame(r))
	}
	log := ""
	for step := range 150 {
		for range 1 + r.IntN(3) { // published together
			fm := anyChange(r, flow(r, c.Tables))
			first := ""
			for i, g := range rigs {
				_, err := g.FlowMod(g.now, fm)
				if i == 0 {
					first = fmt.Sprint(err)
				} else if first != fmt.Sprint(err) {
					t.Fatalf("seed %d: %v and %v", seed, first, err)
				}
			}
			if first == "<nil>" {
				log += "\n" + fm.String()
			}
		}
		for _, g := range rigs {
			g.Publish()
			g.now += time.Duration(step) * 50 * time.Millisecond
		}
		for range 12 {
			in, b := uint32(1+r.IntN(3)), slices.Clone(frames[r.IntN(len(frames))])
			for range r.IntN(3) {
				if at := r.IntN(max(1, min(len(b), 64))); at < len(b) {
					b[at] ^= 1 << r.IntN(8)
				}
			}
			wild.exact = newHints(firstHints)
			want := rigs[2].send(in, b)
			for i, g := range rigs[:2] {
				if got := g.send(in, b); !slices.Equal(got, want) {
					t.Fatalf("seed %d, step %d, engine %d, from port %d %x:\n by the cache %v\n by the walk  %v%s", seed, step, i, in, b, got, want, log)
				}
			}
		}
		for _, cl := range wild.claims {
			served += cl.served
		}
	}
	var texts [3][]string
	for i, g := range rigs {
		list, err := g.Flows(AllFlows())
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = append(entryTexts(list, g.now), fmt.Sprint(g.TableStats()), fmt.Sprint(g.Drops()))
		if !slices.Equal(texts[i], texts[0]) {
			t.Errorf("seed %d, engine %d:\n%v\n%v", seed, i, texts[i], texts[0])
		}
	}
	checkStore(t, rigs[1].proc)
	return served
}

// anyChange is a FLOW_MOD: mostly one that adds, for there is little to take away otherwise.
func anyChange(r *rand.Rand, fm *openflow.FlowMod) *openflow.FlowMod {
	switch r.IntN(6) {
	case 0:
		fm.Command = openflow.FlowDelete
	case 1:
		fm.Command = openflow.FlowModify
	case 2:
		fm.Command = openflow.FlowDeleteStrict
	}
	if isDelete(fm.Command) {
		fm.OutPort, fm.OutGroup = openflow.PortAny, groupAny
	}
	return fm
}

// rewritten are the fields that rewritingFlow changes and looks at, with values that frames have.
var rewritten = []struct {
	id     openflow.FieldID
	match  []openflow.Field // in front of it
	values []uint64
}{
	{openflow.EthDst, nil, []uint64{0x020000000001, 0x020000000002, 0x020000000003}},
	{openflow.EthSrc, nil, []uint64{0x020000000001, 0x020000000002, 0x020000000003}},
	{openflow.VLANVID, []openflow.Field{openflow.WithMask(openflow.VLANVID, 0x1000, 0x1000)}, []uint64{0x1000, 0x1001, 0x1002}},
	{openflow.VLANPCP, []openflow.Field{openflow.WithMask(openflow.VLANVID, 0x1000, 0x1000)}, []uint64{0, 1}},
	{openflow.IPDSCP, []openflow.Field{openflow.Exact(openflow.EthType, 0x0800)}, []uint64{0, 12}},
	{openflow.IPTTL, []openflow.Field{openflow.Exact(openflow.EthType, 0x0800)}, []uint64{1, 2, 63, 64}},
	{openflow.IPv4Src, []openflow.Field{openflow.Exact(openflow.EthType, 0x0800)}, []uint64{0x0a000030, 0x0a000031, 0x0a000032}},
	{openflow.IPv4Dst, []openflow.Field{openflow.Exact(openflow.EthType, 0x0800)}, []uint64{0x0a000030, 0x0a000031, 0x0a000032}},
	{openflow.IPProto, []openflow.Field{openflow.Exact(openflow.EthType, 0x0800)}, []uint64{6, 17}},
	{openflow.UDPDst, []openflow.Field{openflow.Exact(openflow.EthType, 0x0800), openflow.Exact(openflow.IPProto, 17)}, []uint64{80, 81, 82}},
	{openflow.TCPDst, []openflow.Field{openflow.Exact(openflow.EthType, 0x0800), openflow.Exact(openflow.IPProto, 6)}, []uint64{80, 81, 82}},
	{openflow.MPLSLabel, []openflow.Field{openflow.Exact(openflow.EthType, 0x8847)}, []uint64{16, 17, 77}},
	{openflow.MPLSTTL, []openflow.Field{openflow.Exact(openflow.EthType, 0x8847)}, []uint64{1, 8, 9, 64}},
	{openflow.ARPOp, []openflow.Field{openflow.Exact(openflow.EthType, 0x0806)}, []uint64{1, 2}},
	{openflow.Reg0, nil, []uint64{0, 1, 80, 2}},
	{openflow.Metadata, nil, []uint64{0, 1, 80, 2}},
}

// rewritingFlow is an entry that matches little, changes a field or two and goes on, or one that looks at a field in a
// later table. Loose ones may change fields that frames do not have.
func rewritingFlow(r *rand.Rand, tables int) *openflow.FlowMod {
	table := r.IntN(tables)
	fm := &openflow.FlowMod{TableID: uint8(table), Priority: uint16(r.IntN(4))}
	if r.IntN(2) == 0 {
		fm.Loose = &openflow.Loose{NewCookie: ^uint64(0)}
	}
	at := rewritten[r.IntN(len(rewritten))]
	fields := slices.Clone(at.match)
	if table > 0 || r.IntN(4) == 0 {
		fields = append(fields, openflow.Exact(at.id, at.values[r.IntN(len(at.values))]))
	}
	if r.IntN(5) == 0 || len(fields) == 2 && fields[0].ID == fields[1].ID {
		fields = fields[len(fields):]
	}
	fm.Match = openflow.NewMatch(fields...)
	j := judgeOf(fm)
	var list []openflow.Action
	for range r.IntN(4) {
		a := rewritingAction(r)
		try := j
		if try.see(&a) != nil {
			continue
		}
		if _, err := compileAction(&a, false); err == nil {
			j, list = try, append(list, a)
		}
	}
	if r.IntN(3) == 0 || table == tables-1 {
		list = append(list, openflow.Output(openflow.PortNo(1+r.IntN(5))))
	}
	in := []openflow.Instruction{openflow.ApplyActions(list...)}
	if table < tables-1 {
		in = append(in, openflow.GotoTable(uint8(table+1)))
	}
	fm.Instructions = openflow.NewInstructions(in...)
	return fm
}

func rewritingAction(r *rand.Rand) openflow.Action {
	at, from := rewritten[r.IntN(len(rewritten))], rewritten[r.IntN(len(rewritten))]
	switch r.IntN(10) {
	case 0:
		return openflow.Action{Type: openflow.ActionDecNwTTL}
	case 1:
		return openflow.Action{Type: openflow.ActionDecMPLSTTL}
	case 2:
		return openflow.Action{Type: openflow.ActionPopVLAN}
	case 3:
		return openflow.Action{Type: openflow.ActionPushVLAN, EtherType: 0x8100}
	case 4, 5:
		n := min(at.id.Info().Bits, from.id.Info().Bits)
		return openflow.Action{Type: openflow.NXMove, Src: openflow.SubField{ID: from.id, Bits: uint16(n)}, Dst: openflow.SubField{ID: at.id, Bits: uint16(n)}}
	}
	return openflow.SetField(at.id, at.values[r.IntN(len(at.values))])
}

// checkStore looks whether the books of a cache are right.
func checkStore(t *testing.T, pr *Processor) {
	t.Helper()
	c := &pr.cache
	paths := map[uint8]int{}
	inUse := 0
	for n := uint32(1); n <= c.paths.used; n++ {
		if p := c.paths.at(n); p.claim != 0 {
			inUse++
			paths[p.claim]++
			if p.slot != 0 {
				t.Errorf("path %d has not been counted", n)
			}
			checkCounted(t, c, n)
			if cl := c.numbered[p.claim]; len(cl.words) < inlineWords && p.key[len(cl.words)] != 0 {
				t.Errorf("path %d has words that its claim %+v does not", n, cl)
			}
			if found := c.wild.find(c.numbered[p.claim].hashOf(c, p), 0); found == 0 {
				t.Errorf("path %d of %d cannot be found by its claim %+v, %d hints", n, c.paths.inUse, c.numbered[p.claim], len(c.wild.slots))
			}
		} else if !slices.Contains(c.paths.free, n) {
			t.Errorf("path %d is lost", n)
		}
	}
	if 64*inUse > firstHints && len(c.wild.slots) > 64*inUse {
		t.Errorf("%d hints for %d paths", len(c.wild.slots), inUse)
	}
	if inUse != c.paths.inUse || inUse > c.paths.limit {
		t.Errorf("%d paths in use, counted %d, the limit is %d", inUse, c.paths.inUse, c.paths.limit)
	}
	for _, cl := range c.claims {
		if cl.paths != paths[cl.no] || c.numbered[cl.no] != cl {
			t.Errorf("a claim has %d paths, counted %d", paths[cl.no], cl.paths)
		}
		delete(paths, cl.no)
	}
	if len(paths) > 0 {
		t.Errorf("%d claims with paths are not in the list", len(paths))
	}
}

// checkCounted looks whether the census knows of a path.
func checkCounted(t *testing.T, c *cache, n uint32) {
	t.Helper()
	p := c.paths.at(n)
	cl := c.numbered[p.claim]
	r := cl.reach
	for _, s := range p.steps() {
		if r.low[s.e.Table] > int32(s.e.Priority) {
			t.Errorf("path %d meets priority %d, the claim's lowest is %d", n, s.e.Priority, r.low[s.e.Table])
		}
	}
	if m := p.miss(); m != noPathTable && r.low[m] != -1 || p.plain() <= len(p.steps()) && !r.blind {
		t.Errorf("path %d is not in the reach of its claim", n)
	}
	var key packet.Key
	for i, w := range cl.words {
		key[w.at] = *p.word(i)
	}
	for i := range c.census.now.masks {
		if !c.census.now.has(c, cl, i, &key) {
			t.Errorf("path %d was not counted under mask %v", n, c.census.now.masks[i])
		}
	}
}

// TestChangesTouchFewClaims: entries come and go of which no flow meets one, with the masks and priorities of those
// that they meet. Few paths must prove that they still hold, and none is made anew.
func TestChangesTouchFewClaims(t *testing.T) {
	r, met := mixedTables(t, Config{HashSeed: 1}, 10_000)
	s, sink := newStream(met), &counter{}
	batch := func() { r.proc.Process(r.now, s.next(), sink) }
	for range 2 * len(s.bytes) / 64 / benchBatch {
		batch()
	}
	c := &r.proc.cache
	touched, counted := 0, 0
	for i := range uint32(800) {
		priority, m := mixedMatch(1_000_000 + i/2)
		fm := &openflow.FlowMod{Priority: priority, Match: m, Instructions: openflow.NewInstructions(toPort(2))}
		if i%2 == 1 {
			fm.Command, fm.OutPort, fm.OutGroup = openflow.FlowDeleteStrict, openflow.PortAny, groupAny
		}
		r.mod(fm)
		batch()
		if i >= 400 { // the masks are known by now
			for _, cl := range c.claims {
				if counted += cl.paths; cl.touched == c.clock {
					touched += cl.paths
				}
			}
		}
		batch()
	}
	if 50*touched > counted {
		t.Errorf("%d of %d paths must prove themselves", touched, counted)
	}
	if len(c.census.now.masks) < 8 {
		t.Errorf("%d masks are known", len(c.census.now.masks))
	}
	checkStore(t, r.proc)
	for r.now = 0; len(c.census.now.masks) > 0; r.now += time.Second {
		if r.now > time.Minute {
			t.Fatal("what was counted stays for ever")
		}
		batch()
	}
}

// TestPathsOutliveChanges: a path stays when what changes cannot touch it, and goes when it can.
func TestPathsOutliveChanges(t *testing.T) {
	b := udpFrame(ethernet{dst: "2", src: "1"}, 64, 7, 80)
	other := openflow.Exact(openflow.UDPSrc, 9)
	udp := openflow.Exact(openflow.IPProto, 17)
	for _, c := range []struct {
		name   string
		change func(r *rig)
		stays  bool
	}{
		{"nothing", func(r *rig) {}, true},
		{"another flow comes", func(r *rig) { r.flow(1, 9, ipMatch(udp, other), toPort(3)) }, true},
		{"a lower one comes", func(r *rig) { r.flow(1, 1, ipMatch(udp), toPort(3)) }, true},
		{"one comes in a table it does not see", func(r *rig) { r.flow(2, 9, ipMatch(), toPort(3)) }, true},
		{"a higher one comes", func(r *rig) { r.flow(1, 9, ipMatch(udp), toPort(3)) }, false},
		{"a higher one comes in front", func(r *rig) { r.flow(0, 9, ipMatch(udp), toPort(3)) }, false},
		{"ports", func(r *rig) { r.SetPorts(upPorts(2)) }, true},
		{"another meter", func(r *rig) { meterMod(r, openflow.MeterModify, 2) }, true},
		{"its meter", func(r *rig) { meterMod(r, openflow.MeterModify, 1) }, false},
		{"the meter of packet-ins", func(r *rig) {
			meterMod(r, openflow.MeterAdd, openflow.MeterController)
			meterMod(r, openflow.MeterModify, openflow.MeterController)
		}, true},
		{"a group comes and changes", func(r *rig) {
			for _, command := range []openflow.GroupCommand{openflow.GroupAdd, openflow.GroupModify} {
				gm := &openflow.GroupMod{Command: command, Type: openflow.GroupTypeIndirect, Group: 4,
					Buckets: []openflow.Bucket{{Actions: openflow.NewActions(openflow.Output(2)), WatchPort: openflow.PortAny, WatchGroup: groupAny}}}
				if _, err := r.GroupMod(0, gm); err != nil {
					r.t.Fatal(err)
				}
				r.Publish()
			}
		}, true},
		{"another flow goes", func(r *rig) {
			r.mod(&openflow.FlowMod{Command: openflow.FlowDeleteStrict, TableID: 1, Priority: 8, Match: ipMatch(udp, openflow.Exact(openflow.UDPSrc, 1))})
		}, true},
		{"its flow goes", func(r *rig) {
			r.mod(&openflow.FlowMod{Command: openflow.FlowDelete, TableID: 1, Match: ipMatch(udp, openflow.Exact(openflow.UDPSrc, 7))})
		}, false},
		{"its flow is modified", func(r *rig) {
			r.mod(&openflow.FlowMod{Command: openflow.FlowModify, TableID: 1, Match: ipMatch(udp, openflow.Exact(openflow.UDPSrc, 7)),
				Instructions: openflow.NewInstructions(toPort(3))})
		}, false},
		{"too many changes at once", func(r *rig) {
			for i := range maxRecent + 1 {
				r.FlowMod(0, &openflow.FlowMod{TableID: 1, Priority: 8, Match: ipMatch(udp, openflow.Exact(openflow.UDPSrc, uint64(100+i)))})
			}
			r.Publish()
		}, false},
		{"many changes one by one", func(r *rig) {
			for i := range 10 * maxRecent {
				r.flow(1, 8, ipMatch(udp, openflow.Exact(openflow.UDPSrc, uint64(100+i))))
				r.proc.Process(r.now, []*packet.Frame{frameOf(1, b)}, &nowhere{})
			}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Config{HashSeed: 3}, upPorts(4))
			meterMod(r, openflow.MeterAdd, 1)
			meterMod(r, openflow.MeterAdd, 2)
			r.flow(0, 5, ipMatch(udp), openflow.Instruction{Type: openflow.InstructionMeter, Meter: 1}, openflow.GotoTable(1))
			r.flow(1, 5, ipMatch(udp, openflow.Exact(openflow.UDPSrc, 7)), toPort(2))
			r.flow(1, 8, ipMatch(udp, openflow.Exact(openflow.UDPSrc, 1)), toPort(3))
			r.send(1, b)
			c.change(r)
			var v Verdict
			r.proc.Watch(r.now, frameOf(1, b), &r.rec, &v)
			if v.Cached != c.stays {
				t.Errorf("the path stays: %v, expected %v", v.Cached, c.stays)
			}
			r.proc.Watch(r.now, frameOf(1, b), &r.rec, &v)
			if !v.Cached {
				t.Error("the frame after that walks again")
			}
		})
	}
}

func meterMod(r *rig, command openflow.MeterCommand, id uint32) {
	r.t.Helper()
	mm := &openflow.MeterMod{Command: command, Meter: id, Flags: openflow.MeterPktps, Bands: []openflow.Band{{Type: openflow.BandDrop, Rate: 1000}}}
	if _, err := r.MeterMod(r.now, mm); err != nil {
		r.t.Fatal(err)
	}
	r.Publish()
}

// TestIdlePathsGo: memory follows the traffic down as it followed it up.
func TestIdlePathsGo(t *testing.T) {
	r := newRig(t, Config{HashSeed: 3}, upPorts(2))
	const flows = 20 * pieceSize
	for i := range flows {
		r.FlowMod(0, &openflow.FlowMod{Priority: 5, Match: ipMatch(openflow.Exact(openflow.IPProto, 17), openflow.Exact(openflow.UDPSrc, uint64(i))),
			Instructions: openflow.NewInstructions(toPort(2))})
	}
	r.Publish()
	b := newBatch(flows, func(i int) (uint32, []byte) { return 1, udpFrame(ethernet{dst: "2", src: "1"}, 64, uint16(i), 80) })
	r.proc.Process(0, b.refill(), &nowhere{})
	c := &r.proc.cache
	if c.paths.inUse != flows || len(c.claims) != 1 {
		t.Fatalf("%d paths, %d claims", c.paths.inUse, len(c.claims))
	}
	few := newBatch(10, func(i int) (uint32, []byte) { return 1, udpFrame(ethernet{dst: "2", src: "1"}, 64, uint16(i), 80) })
	for range 2 * flows {
		r.now += 50 * time.Millisecond
		r.proc.Process(r.now, few.refill(), &nowhere{})
	}
	if c.paths.inUse != 10 || len(c.paths.pieces) != 1 {
		t.Errorf("%d paths in %d pieces are left of %d, expected 10", c.paths.inUse, len(c.paths.pieces), flows)
	}
	checkStore(t, r.proc)
}

// TestFewPaths: a hundred stations reached by their addresses, beside two thousand rules for services of others: a
// frame for such a station takes one path, whoever sends it and to whichever port.
func TestFewPaths(t *testing.T) {
	r := newRig(t, Config{HashSeed: 3}, upPorts(2))
	add := func(priority uint16, m openflow.Match) {
		fm := &openflow.FlowMod{Priority: priority, Match: m, Instructions: openflow.NewInstructions(toPort(2))}
		if _, err := r.FlowMod(0, fm); err != nil {
			t.Fatal(err)
		}
	}
	dst := func(v int) openflow.Field { return openflow.Exact(openflow.IPv4Dst, uint64(v)) }
	udp := openflow.Exact(openflow.IPProto, 17)
	for i := range 2000 {
		add(9, ipMatch(udp, dst(20<<24|i), openflow.Exact(openflow.UDPDst, uint64(i%100))))
		add(8, ipMatch(udp, openflow.Exact(openflow.IPv4Src, uint64(30<<24|i)), dst(20<<24|i*7)))
	}
	const stations = 100
	for i := range stations {
		add(5, ipMatch(dst(10<<24|i)))
	}
	r.Publish()
	rnd := rand.New(rand.NewPCG(1, 5))
	b := newBatch(20000, func(i int) (uint32, []byte) {
		data := udpFrame(ethernet{dst: "2", src: "1"}, 64, uint16(rnd.IntN(1<<16)), uint16(rnd.IntN(1<<16)))
		copy(data[26:], []byte{11, byte(rnd.IntN(256)), byte(rnd.IntN(256)), byte(rnd.IntN(256)), 10, 0, 0, byte(i % stations)})
		return 1, data
	})
	r.proc.Process(0, b.refill(), &nowhere{})
	if n := r.proc.cache.paths.inUse; n < stations || n > 2*stations {
		t.Errorf("%d paths for %d stations", n, stations)
	}
	checkStore(t, r.proc)
}

// TestFewPathsThroughRewrites: a router gives frames other addresses before a second table looks at those. They are
// the same for all, so they make no more paths; nor does the TTL, which nothing looks at.
func TestFewPathsThroughRewrites(t *testing.T) {
	r := newRig(t, Config{HashSeed: 3}, upPorts(2))
	set := openflow.ApplyActions(openflow.SetField(openflow.EthSrc, 0x0200000000aa), openflow.SetField(openflow.EthDst, 0x0200000000bb),
		openflow.Action{Type: openflow.ActionDecNwTTL}, openflow.SetField(openflow.Reg0, 7))
	r.flow(0, 5, ipMatch(openflow.WithMask(openflow.IPv4Dst, 10<<24, 0xff000000)), set, openflow.GotoTable(1))
	r.flow(1, 5, openflow.NewMatch(openflow.Exact(openflow.EthDst, 0x0200000000bb), openflow.Exact(openflow.Reg0, 7)), toPort(2))
	r.flow(1, 4, ipMatch(openflow.Exact(openflow.IPTTL, 9)), toPort(1))
	rnd := rand.New(rand.NewPCG(1, 5))
	b := newBatch(2000, func(i int) (uint32, []byte) {
		data := udpFrame(ethernet{dst: "2", src: fmt.Sprint(i % 7)}, uint8(2+i%90), uint16(rnd.IntN(1<<16)), uint16(rnd.IntN(1<<16)))
		copy(data[26:], []byte{11, byte(i), byte(i >> 8), 1, 10, 0, 0, byte(i)})
		return 1, data
	})
	sink := &nowhere{}
	r.proc.Process(0, b.refill(), sink)
	if n := r.proc.cache.paths.inUse; n != 1 || sink.outputs != 2000 {
		t.Errorf("%d paths, %d frames out", n, sink.outputs)
	}
	r.flow(1, 6, ipMatch(openflow.Exact(openflow.IPTTL, 50)), toPort(1)) // now the TTL matters, one less than it was
	r.proc.Process(0, b.refill(), sink)
	list, _ := r.Flows(AllFlows())
	if n := list[1].Counters(0).Packets; n != 22 { // those with 51: 49 + 90k < 2000
		t.Errorf("%d frames met the entry for TTL 50, expected 22", n)
	}
}

// TestClaimsStayFew: rules of many masks would give every second flow bits of its own to rest on.
func TestClaimsStayFew(t *testing.T) {
	r, _ := mixedTables(t, Config{HashSeed: 1}, 1000)
	s := newStream(tuples(20_000))
	for range len(s.bytes) / 64 / benchBatch {
		r.proc.Process(0, s.next(), &counter{})
	}
	if n := len(r.proc.cache.claims); n > maxClaims+maxWideClaims {
		t.Errorf("%d claims", n)
	}
	checkStore(t, r.proc)
}

// TestNoAllocationByClaims: paths found by their claims, and paths held against what has changed.
func TestNoAllocationByClaims(t *testing.T) {
	r, met := mixedTables(t, Config{HashSeed: 1}, 2000)
	s := newStream(met)
	batches := len(s.bytes) / 64 / benchBatch
	sink := &counter{}
	for range 3 * batches {
		r.proc.Process(0, s.next(), sink)
	}
	for i := range 8 {
		r.flow(0, 300, ipMatch(openflow.Exact(openflow.IPv4Src, uint64(i))), toPort(2))
	}
	for range batches {
		r.proc.Process(0, s.next(), sink)
	}
	c := &r.proc.cache
	none := newHints(ways)
	walked, proofs := r.proc.basis, 0
	if n := testing.AllocsPerRun(10*batches, func() {
		clear(none.slots)
		c.exact, c.crowded, c.worth = none, -1<<20, 1024
		for n := range c.paths.used {
			if p := c.paths.at(n + 1); p.claim != 0 {
				p.seen = c.clock - 8
			}
		}
		for _, cl := range c.claims {
			if proofs += len(cl.news); cl.touched != c.clock {
				t.Error("a claim is not touched")
			}
		}
		r.proc.Process(0, s.next(), sink)
	}); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
	if r.proc.basis != walked || proofs == 0 {
		t.Error("a frame walked the tables, or no path was held against a change")
	}
}

// TestHashSpreadsCounts: flows that count up in one word of the header fill the buckets evenly, whatever the seed: a hash of multiplications
// alone puts them into few with one seed of twenty.
func TestHashSpreadsCounts(t *testing.T) {
	const flows, buckets = 1 << 11, 1 << 9
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= 5; n++ {
		words := make([]headerWord, n)
		for i := range words {
			words[i] = headerWord{^uint64(0), uint8(i)}
		}
		for try := range 60 * n {
			seed := rnd.Uint64() | 1
			var c cache
			c.init(&Config{HashSeed: seed, CacheSize: 2})
			var got [buckets]int
			over := 0
			for i := range uint64(flows) {
				k := packet.Key{0x1234, 0x0800 << 32, 0x0a000001, 17, 5}
				k[try%n] ^= i << (16 * (try / n % 4))
				at := hashKey(c.seed, c.secret, words, &k) >> numberBits % buckets
				if got[at]++; got[at] > 2*flows/buckets {
					over++
				}
			}
			if over > flows/10 { // by chance it is one in fifty
				t.Errorf("seed %x, word %d of %d: %d of %d flows are too many for their buckets", seed, try%n, n, over, flows)
			}
		}
	}
}
