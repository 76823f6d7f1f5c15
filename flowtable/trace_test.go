package flowtable

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// TestTraceEqualsForwarding traces random frames through random pipelines, looks whether that left a
// mark, and then really sends them: what leaves, what controllers get, which entries were met and
// what was dropped must be what the trace said.
func TestTraceEqualsForwarding(t *testing.T) {
	n := uint64(1000)
	if testing.Short() {
		n = 100
	}
	seen := map[TraceKind]int{}
	drops := map[Drop]int{}
	outputs, paths := 0, 0
	for seed := uint64(1); seed <= n && !t.Failed(); seed++ {
		o, p := traceAndSend(t, seed, seen, drops)
		outputs, paths = outputs+o, paths+p
	}
	if testing.Short() {
		return
	}
	for k := TraceTable; k <= TraceKept; k++ {
		if seen[k] < 5 {
			t.Errorf("steps of kind %d came only %d times", k, seen[k])
		}
	}
	if outputs < 1000 || paths < 500 || len(drops) < 10 {
		t.Errorf("%d outputs, %d paths, drops %v: the frames met too little", outputs, paths, drops)
	}
}

// randomRig is a rig with random ports, groups, meters, entries and traffic behind it.
func randomRig(t *testing.T, r *rand.Rand, seed uint64) *rig {
	c := Config{Tables: 5, MACTableSize: 3 + int(seed%8), MACAge: 3 * time.Second, LoopMoves: 2, LoopHold: 2 * time.Second,
		HashSeed: seed, CacheSize: 64, NoCache: seed%4 == 0}
	g := newRig(t, c, nil)
	l := &life{t: t, r: r, model: newModel(c), rigs: []*rig{g}}
	l.setPorts()
	for range 8 {
		_, _ = g.GroupMod(0, randomGroupMod(r)) // what is refused is not there
	}
	for range 4 {
		_, _ = g.MeterMod(0, randomMeterMod(r))
	}
	for range 20 {
		_, _ = g.FlowMod(0, randomFlowMod(r, 5))
	}
	if r.IntN(4) == 0 { // resubmits, which randomFlowMod does not draw
		g.flow(uint8(r.IntN(2)), 5, randomMatch(r), openflow.ApplyActions(resubmit(openflow.PortNo(1+r.IntN(5)), uint8(2+r.IntN(3))),
			openflow.Output(openflow.PortNo(1+r.IntN(5)))))
	}
	g.Publish()
	g.SetFragments([]openflow.FragFlags{openflow.FragNormal, openflow.FragNormal, openflow.FragDrop, openflow.FragReasm}[r.IntN(4)])
	for range 30 {
		g.now += time.Duration(r.IntN(100)) * time.Millisecond
		g.send(uint32(1+r.IntN(5)), randomFrame(r))
	}
	return g
}

func traceAndSend(t *testing.T, seed uint64, seen map[TraceKind]int, dropped map[Drop]int) (outputs, paths int) {
	r := rand.New(rand.NewPCG(seed, 7))
	g := randomRig(t, r, seed)
	for range 4 {
		g.now += time.Duration(r.IntN(100)) * time.Millisecond
		in, b := uint32(1+r.IntN(6)), randomFrame(r)
		before, packets, drops := g.dump(), g.packets(), g.Drops()
		tr := g.Trace(g.now, frameOf(in, b))
		if after := g.dump(); !slices.Equal(before, after) {
			t.Errorf("seed %d: the trace left a mark:\n%v\n%v", seed, before, after)
		}
		met, lost := map[string]int{}, map[Drop]bool{}
		var said []string
		for i := range tr.Steps {
			s := &tr.Steps[i]
			seen[s.Kind]++
			switch s.Kind {
			case TraceTable:
				if s.Entry != nil {
					met[entryName(s.Entry)]++
				}
			case TraceOutput:
				outputs++
				said = append(said, outputEvent(s.Port, s.Queue, s.Frame))
			case TracePacketIn:
				said = append(said, packetInEvent(s.PacketIn.Reason, s.PacketIn.Table, s.PacketIn.Cookie, s.PacketIn.MaxLen, s.Metadata, s.Frame))
			case TraceDrop:
				dropped[s.Drop]++
				lost[s.Drop] = true
			}
		}
		if did := g.send(in, b); !slices.Equal(said, did) {
			t.Errorf("seed %d: frame %x by port %d\ntraced %q\nsent   %q", seed, b, in, said, did)
		}
		if tr.Path != nil {
			paths++
			if kept := g.proc.Cached(frameOf(in, b)); kept == nil || !slices.Equal(kept.Entries, tr.Path.Entries) || kept.Miss != tr.Path.Miss || kept.Resumes != tr.Path.Resumes {
				t.Errorf("seed %d: the path is %+v, the trace said %+v", seed, kept, tr.Path)
			}
		}
		for name, n := range g.packets() {
			if n -= packets[name]; n != uint64(met[name]) {
				t.Errorf("seed %d: %s counted %d frames, the trace met it %d times", seed, name, n, met[name])
			}
		}
		after := g.Drops()
		for why, n := range after.All() {
			if (n > drops[why]) != lost[why] {
				t.Errorf("seed %d: drops by %v: %d after %d, the trace said %v", seed, why, n, drops[why], lost[why])
			}
		}
	}
	return outputs, paths
}

func entryName(e *Entry) string {
	return fmt.Sprintf("%d %d %x", e.Table, e.Priority, e.Match().Bytes())
}

// packets is how many frames each entry has counted.
func (r *rig) packets() map[string]uint64 {
	r.t.Helper()
	list, err := r.Flows(AllFlows())
	if err != nil {
		r.t.Fatal(err)
	}
	m := map[string]uint64{}
	for _, e := range list {
		m[entryName(e)] = e.Counters(r.now).Packets
	}
	return m
}

// dump is everything that can be asked, and the state of meters, stations and waiting fragments, too.
func (r *rig) dump() []string {
	list, err := r.Flows(AllFlows())
	if err != nil {
		r.t.Fatal(err)
	}
	s := entryTexts(list, r.now)
	s = append(s, groupTexts(r.GroupStats(r.now, openflow.GroupAll))...)
	meters, err := r.Meters(r.now, openflow.MeterAll)
	if err != nil {
		r.t.Fatal(err)
	}
	s = append(s, meterTexts(meters)...)
	s = append(s, macTexts(r.MACs(r.now))...)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(r.meters.byID)) {
		m := r.meters.byID[id].live
		for i := range m.bands {
			s = append(s, fmt.Sprintf("meter %d band %d full at %d", id, i, m.bands[i].full.Load()))
		}
	}
	var stations []string
	for st := range r.macs.all {
		stations = append(stations, fmt.Sprintf("station %x port %d seen %d hold %d moves %d since %d", st.key, st.port.Load(), st.seen.Load(), st.hold.Load(), st.moves, st.since))
	}
	slices.Sort(stations)
	s = append(s, stations...)
	for _, key := range slices.Sorted(maps.Keys(r.frags.byKey)) {
		s = append(s, fmt.Sprintf("fragments %x %d", key, len(r.frags.byKey[key].pieces)))
	}
	for i := range r.stats {
		s = append(s, fmt.Sprintf("table %d: %d %d", i, r.stats[i].lookups.Load(), r.stats[i].matched.Load()))
	}
	return append(s, fmt.Sprint(r.Drops(), r.macs.learned.Load(), r.macs.moved.Load(), r.macs.evicted.Load(), r.macs.loops.Load(), len(r.macs.events), r.snap.Load().epoch))
}

// TestCached compares the path that a Processor remembers with the traced entries.
func TestCached(t *testing.T) {
	found := 0
	for seed := uint64(1); seed <= 200; seed++ {
		r := rand.New(rand.NewPCG(seed, 9))
		g := randomRig(t, r, seed)
		in, b := uint32(1+r.IntN(5)), randomFrame(r)
		f := frameOf(in, b)
		f.Parse()
		if g.snap.Load().frags != openflow.FragNormal && isFragment(f) {
			continue
		}
		g.send(in, b)
		c := g.proc.Cached(f)
		if c == nil {
			continue
		}
		found++
		var met []*Entry
		tr := g.Trace(g.now, f)
		for i := range tr.Steps {
			if tr.Steps[i].Kind == TraceTable && tr.Steps[i].Entry != nil {
				met = append(met, tr.Steps[i].Entry)
			}
		}
		n := min(len(met), len(c.Entries)) // a meter may end the traced frame on its way
		if !slices.Equal(met[:n], c.Entries[:n]) {
			t.Errorf("seed %d: the path differs from the trace: %v, %v", seed, c.Entries, met)
		}
		g.flow(0, 9, openflow.NewMatch(openflow.Exact(openflow.InPort, 77)))
		if g.proc.Cached(f) != nil {
			t.Errorf("seed %d: a path of tables that are no more", seed)
		}
	}
	if found < 50 {
		t.Errorf("only %d paths were found", found)
	}
}

// TestDecompile: the action told of an op compiles to that op.
func TestDecompile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	sub := func(id openflow.FieldID, offset, bits uint16) openflow.SubField {
		return openflow.SubField{ID: id, Offset: offset, Bits: bits}
	}
	list := []openflow.Action{
		resubmit(3, 4), {Type: openflow.NXPopQueue}, {Type: openflow.NXMove, Src: sub(openflow.TCPSrc, 2, 3), Dst: sub(openflow.UDPDst, 1, 3)},
		{Type: openflow.NXLoad, Dst: sub(openflow.XReg0, 4, 40), Load: 77}, {Type: openflow.ActionPushVLAN, EtherType: 0x88a8, IfUntagged: true},
		{Type: openflow.NXController, ControllerID: 3, MaxLen: 9}, {Type: openflow.NXController, Reason: openflow.ReasonInvalidTTL, MaxLen: 9},
		openflow.SetField(openflow.SCTPDst, 5), {Type: openflow.ActionSetMPLSTTL, TTL: 9},
	}
	for range 500 {
		list = append(list, randomAction(r))
	}
	for _, a := range list {
		o, err := compileAction(&a, true)
		if err != nil {
			continue
		}
		again := o.action()
		back, err := compileAction(&again, true)
		if err != nil || o.String() != back.String() || o.proto != back.proto || o.whole != back.whole || (o.mask == nil) != (back.mask == nil) {
			t.Errorf("%v became %v, and that %v (%v)", a, o, back, err)
		}
	}
}

func TestNearMisses(t *testing.T) {
	g := newRig(t, Config{HashSeed: 1}, upPorts(3))
	tcp := func(fields ...openflow.Field) openflow.Match {
		return openflow.NewMatch(append([]openflow.Field{openflow.Exact(openflow.EthType, 0x800), openflow.Exact(openflow.IPProto, 6)}, fields...)...)
	}
	g.flow(0, 9, tcp(openflow.Exact(openflow.TCPDst, 81)))
	g.flow(0, 8, tcp(openflow.Exact(openflow.TCPDst, 80), openflow.Exact(openflow.IPv4Dst, 0x0a000063)))
	g.flow(0, 5, tcp(openflow.Exact(openflow.TCPDst, 80)), openflow.ApplyActions(openflow.Output(2)))
	g.flow(0, 3, tcp())
	g.flow(0, 3, tcp(openflow.Exact(openflow.InPort, 7)))
	g.flow(0, 7, openflow.NewMatch(openflow.Exact(openflow.EthType, 0x806), openflow.Exact(openflow.ARPOp, 1)))
	g.flow(0, 0, openflow.Match{})
	var got []string
	for _, n := range g.Trace(0, frameOf(1, tcpFrame(ethernet{dst: "2", src: "1"}, 64, 1000, 80))).Steps[0].Near {
		s := fmt.Sprint(n.Entry.Priority)
		for _, m := range n.Failed {
			s += fmt.Sprintf(" %v=%d not %d", m.Want.ID, m.Has.Uint64(), m.Want.Value.Uint64())
		}
		got = append(got, s)
	}
	// the table-miss entry, and what would not win anyhow, are not among them
	if want := []string{"3", "8 ipv4_dst=167772210 not 167772259", "9 tcp_dst=80 not 81"}; !slices.Equal(got, want) {
		t.Errorf("nearly met %q, expected %q", got, want)
	}
}

// TestTraceIsBounded: chained groups that multiply a frame do not fill the memory with steps.
func TestTraceIsBounded(t *testing.T) {
	g := newRig(t, Config{HashSeed: 1}, upPorts(2))
	group := func(id uint32, to openflow.Action) {
		m := &openflow.GroupMod{Group: id, Type: openflow.GroupTypeAll}
		for range 20 {
			m.Buckets = append(m.Buckets, openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: openflow.NewActions(to)})
		}
		if _, err := g.GroupMod(0, m); err != nil {
			t.Fatal(err)
		}
	}
	group(3, openflow.Output(2))
	group(2, openflow.Group(3))
	group(1, openflow.Group(2))
	g.flow(0, 1, openflow.Match{}, openflow.ApplyActions(openflow.Group(1)))
	b := udpFrame(ethernet{dst: "2", src: "1"}, 64, 1, 2)
	tr := g.Trace(0, frameOf(1, b))
	if sent := len(g.outPorts(1, b)); len(tr.Steps) != maxTraceSteps || tr.Omitted < sent {
		t.Errorf("%d steps, %d omitted, %d frames sent", len(tr.Steps), tr.Omitted, sent)
	}
}
