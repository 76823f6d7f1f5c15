package flowtable

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// TestCacheOutlivesEveryChange leads two engines with a cache and one without through the same life, in which everything
// that can change does: entries, groups, meters, ports, the shape of the tables, what becomes of fragments; one by
// one, in bundles that succeed or are taken back, and in floods. One of the engines with a cache has several processors,
// of which one may see none of many publications. Frames come one by one, or many in a batch. What leaves, and all counters, must be
// the same.
func TestCacheOutlivesEveryChange(t *testing.T) {
	if *seedFlag != 0 {
		everyChange(t, *seedFlag, *stepsFlag)
		return
	}
	n := uint64(*casesFlag) / 2
	if testing.Short() {
		n = 10
	}
	for seed := uint64(1); seed <= n && !t.Failed(); seed++ {
		everyChange(t, seed, *stepsFlag)
		if t.Failed() {
			t.Fatalf("repeat with -run %s -weir.seed=%d", t.Name(), seed)
		}
	}
}

// trio are the engines of such a life; the last has no cache.
type trio struct {
	t      *testing.T
	r      *rand.Rand
	rigs   []*rig
	procs  [][]*Processor
	tables int
	frames [][]byte
	log    []string
}

func everyChange(t *testing.T, seed uint64, steps int) {
	r := rand.New(rand.NewPCG(seed, 5))
	l := &trio{t: t, r: r, tables: 2 + int(seed%4)}
	c := Config{Tables: l.tables, HashSeed: seed, LoopMoves: 1 << 30, CacheSize: 1 << (2 + seed%7)}
	for i := range 3 {
		c.NoCache = i == 2
		g := newRig(t, c, upPorts(5))
		l.rigs, l.procs = append(l.rigs, g), append(l.procs, []*Processor{g.proc})
	}
	l.procs[0] = append(l.procs[0], l.rigs[0].NewProcessor(), l.rigs[0].NewProcessor())
	for range 8 {
		l.frames = append(l.frames, crowdedFrame(r), crowdedFrame(r), crowdedFrame(r), alike(r), randomFrame(r))
	}
	for range 30 {
		l.change()
	}
	for range steps {
		for range 1 + r.IntN(2)*r.IntN(3) {
			l.change()
		}
		for _, g := range l.rigs {
			g.Publish()
			g.now += time.Duration(r.IntN(2)) * 100 * time.Millisecond
		}
		l.rigs[1].now, l.rigs[2].now = l.rigs[0].now, l.rigs[0].now
		for range 20 {
			l.frame()
		}
		if t.Failed() {
			return
		}
	}
	l.compare()
	for _, g := range l.procs[:2] {
		for _, pr := range g {
			checkStore(t, pr)
		}
	}
}

// all does the same with all engines.
func (l *trio) all(what any, do func(g *rig) error) {
	var first error
	for i, g := range l.rigs {
		err := do(g)
		if i == 0 {
			first = err
		} else if (err == nil) != (first == nil) {
			l.t.Fatalf("%v: %v and %v", what, first, err)
		}
	}
	l.log = append(l.log, fmt.Sprintf("%v: %v", what, first))
}

func (l *trio) flowMod() *openflow.FlowMod {
	switch l.r.IntN(16) {
	case 0:
		return randomFlowMod(l.r, l.tables)
	case 1:
		return anyChange(l.r, anyFlow(l.r, l.tables))
	}
	return crowdedChange(l.r, l.tables)
}

// crowdedChange is a FLOW_MOD in a small world, where most entries of a table compete for most frames, and look at what
// the tables before have written and copied.
func crowdedChange(r *rand.Rand, tables int) *openflow.FlowMod {
	table := r.IntN(tables)
	fm := &openflow.FlowMod{TableID: uint8(table), Priority: uint16(r.IntN(6)), Match: crowdedMatch(r), OutPort: openflow.PortAny, OutGroup: groupAny}
	if r.IntN(4) == 0 {
		fm.Command = openflow.FlowModCommand(1 + r.IntN(4))
	}
	if r.IntN(5) == 0 && !isDelete(fm.Command) {
		fm.Match, fm.Priority = openflow.Match{}, 0
	}
	j := newJudge(fm.Match)
	list := []openflow.Instruction{openflow.ApplyActions(crowdedActions(r, &j)...)}
	if r.IntN(8) == 0 {
		list = append(list, openflow.Instruction{Type: openflow.InstructionMeter, Meter: uint32(1 + r.IntN(3))})
	}
	if r.IntN(3) == 0 {
		list = append(list, openflow.WriteActions(openflow.Output(openflow.PortNo(1+r.IntN(5)))))
	}
	if r.IntN(4) == 0 {
		list = append(list, openflow.Instruction{Type: openflow.InstructionWriteMetadata, Metadata: uint64(r.IntN(4)), MetadataMask: 3})
	}
	if table < tables-1 && r.IntN(8) != 0 {
		list = append(list, openflow.GotoTable(uint8(table+1)))
	}
	fm.Instructions = openflow.NewInstructions(list...)
	return fm
}

func crowdedMatch(r *rand.Rand) openflow.Match {
	var fields []openflow.Field
	n := func(k int) uint64 { return uint64(r.IntN(k)) }
	add := func(f ...openflow.Field) {
		if r.IntN(4) == 0 {
			fields = append(fields, f[r.IntN(len(f))])
		}
	}
	add(openflow.Exact(openflow.InPort, 1+n(3)))
	add(openflow.Exact(openflow.Metadata, n(4)), openflow.WithMask(openflow.Metadata, n(2), 1))
	add(openflow.Exact(openflow.EthDst, 0x020000000001+n(2)), openflow.WithMask(openflow.EthSrc, n(2), 1))
	add(openflow.Exact(openflow.Reg0, n(3)), openflow.Exact(openflow.Reg0+1, 80+n(3)), openflow.WithMask(openflow.Reg0+1, n(2), 1))
	add(openflow.Exact(openflow.ActsetOutput, 1+n(5)), openflow.Exact(openflow.ActsetOutput, unsetOutput))
	add(openflow.Exact(openflow.VLANVID, 0), openflow.Exact(openflow.VLANVID, 0x1000|n(3)), openflow.WithMask(openflow.VLANVID, 0x1000, 0x1000))
	switch r.IntN(6) {
	case 0:
		fields = append(fields, openflow.Exact(openflow.EthType, 0x8847))
		add(openflow.Exact(openflow.MPLSLabel, []uint64{0, 16, 17}[n(3)]), openflow.Exact(openflow.MPLSTTL, []uint64{1, 63, 64}[n(3)]), openflow.Exact(openflow.MPLSBOS, n(2)))
	case 1, 2, 3, 4:
		fields = append(fields, openflow.Exact(openflow.EthType, 0x0800))
		add(openflow.WithMask(openflow.IPv4Dst, n(4), 3), openflow.WithMask(openflow.IPv4Src, n(2), 1))
		add(openflow.Exact(openflow.IPTTL, []uint64{1, 63, 64, 65}[n(4)]), openflow.Exact(openflow.IPDSCP, []uint64{10, 12, 14, 46}[n(4)]))
		if r.IntN(2) == 0 {
			fields = append(fields, openflow.Exact(openflow.IPProto, 17))
			add(openflow.Exact(openflow.UDPSrc, 80+n(3)), openflow.WithMask(openflow.UDPSrc, n(2), 1))
			add(openflow.Exact(openflow.UDPDst, 80+n(3)), openflow.WithMask(openflow.UDPDst, n(4), 3))
		}
	}
	return openflow.NewMatch(fields...)
}

func crowdedActions(r *rand.Rand, j *judge) (list []openflow.Action) {
	n := func(k int) uint64 { return uint64(r.IntN(k)) }
	move := func(src, dst openflow.FieldID, bits uint16) openflow.Action {
		return openflow.Action{Type: openflow.NXMove, Src: openflow.SubField{ID: src, Bits: bits}, Dst: openflow.SubField{ID: dst, Bits: bits}}
	}
	for range r.IntN(4) {
		actions := []openflow.Action{
			openflow.Output(openflow.PortNo(1 + n(5))), openflow.Output(openflow.PortNo(1 + n(5))), openflow.Group(uint32(1 + n(4))),
			openflow.SetField(openflow.UDPDst, 80+n(3)), openflow.SetField(openflow.IPv4Dst, 0x0a000000|n(4)), openflow.SetField(openflow.EthDst, 0x020000000001+n(2)),
			openflow.SetField(openflow.Reg0, n(3)), openflow.SetField(openflow.IPDSCP, []uint64{10, 12, 46}[n(3)]),
			move(openflow.UDPSrc, openflow.Reg0+1, 16), move(openflow.UDPDst, openflow.Reg0+1, 16), move(openflow.UDPSrc, openflow.UDPDst, 2),
			move(openflow.EthSrc, openflow.Reg0, 2), move(openflow.IPv4Src, openflow.IPv4Dst, 2), move(openflow.Reg0+1, openflow.UDPDst, 16),
			move(openflow.InPort, openflow.Metadata, 2), move(openflow.IPTTL, openflow.Reg0+1, 8),
			{Type: openflow.ActionDecNwTTL}, {Type: openflow.ActionPushVLAN, EtherType: 0x8100}, {Type: openflow.ActionPopVLAN},
			openflow.SetField(openflow.VLANVID, 0x1000|n(3)), {Type: openflow.ActionPushMPLS, EtherType: 0x8847},
			{Type: openflow.ActionPopMPLS, EtherType: 0x0800}, {Type: openflow.ActionDecMPLSTTL}, openflow.SetField(openflow.MPLSLabel, 16+n(2)),
			{Type: openflow.ActionCopyTTLOut}, {Type: openflow.ActionCopyTTLIn}, openflow.Output(openflow.PortNormal),
		}
		a := actions[r.IntN(len(actions))]
		if try := *j; try.see(&a) == nil {
			*j, list = try, append(list, a)
		}
	}
	return list
}

// crowdedFrame is one of some hundred frames that such entries tell apart.
func crowdedFrame(r *rand.Rand) []byte {
	digit := func(n int) string { return string(rune('1' + r.IntN(n))) }
	e := ethernet{dst: digit(2), src: digit(3)}
	for range max(0, r.IntN(5)-2) {
		e.vlans = append(e.vlans, uint16(r.IntN(3)))
	}
	if r.IntN(5) == 0 {
		return mplsFrame(e, 16+uint32(r.IntN(2)), []uint8{1, 64}[r.IntN(2)], r.IntN(2) == 0)
	}
	return udpFrame(e, []uint8{1, 64, 65}[r.IntN(3)], uint16(80+r.IntN(3)), uint16(80+r.IntN(3)))
}

func (l *trio) change() {
	r := l.r
	switch k := r.IntN(60); {
	case k >= 39, k < 18:
		fm := l.flowMod()
		l.all(fm, func(g *rig) error { _, err := g.FlowMod(g.now, fm); return err })
	case k < 22:
		gm := randomGroupMod(r)
		l.all(gm, func(g *rig) error { _, err := g.GroupMod(g.now, gm); return err })
	case k < 25:
		mm := randomMeterMod(r)
		l.all(mm, func(g *rig) error { _, err := g.MeterMod(g.now, mm); return err })
	case k < 31:
		l.bundle()
	case k == 31:
		var shapes []TableShape
		for i := range l.tables {
			if i == 0 || r.IntN(4) != 0 {
				shapes = append(shapes, TableShape{Table: uint8(i), Name: fmt.Sprint(r.IntN(6) == 0)})
			}
		}
		l.all(shapes, func(g *rig) error { return g.Reshape(g.now, shapes) })
	case k == 32: // everything at once, which takes another way
		fm := &openflow.FlowMod{Command: openflow.FlowDelete, TableID: uint8(r.IntN(l.tables)), OutPort: openflow.PortAny, OutGroup: groupAny}
		l.all("clear", func(g *rig) error { _, err := g.FlowMod(g.now, fm); return err })
	case k == 33:
		l.flood()
	case k == 34:
		ports := upPorts(5)
		for i := range ports {
			ports[i].LinkUp = r.IntN(5) != 0
		}
		l.all(ports, func(g *rig) error { g.SetPorts(ports); return nil })
	case k == 35:
		how := openflow.FragFlags(r.IntN(3))
		l.all(how, func(g *rig) error { g.SetFragments(how); return nil })
	case k == 36:
		l.all("expire", func(g *rig) error { g.Expire(g.now); return nil })
	case k == 37:
		l.all("publish", func(g *rig) error { g.Publish(); return nil })
	default:
		pr := l.procs[0][r.IntN(3)]
		pr.Forget()
	}
}

// flood brings entries, and takes most of them out again.
func (l *trio) flood() {
	n := []int{100, maxNews + 12, maxNews + 12, maxRecent + 12, floodOfChanges}[l.r.IntN(5)]
	l.log = append(l.log, fmt.Sprint("flood ", n))
	table, priority := uint8(l.r.IntN(l.tables)), uint16(l.r.IntN(9))
	for i := range n {
		fm := &openflow.FlowMod{TableID: table, Priority: priority, Cookie: 1 << 60, Match: openflow.NewMatch(openflow.Exact(openflow.EthSrc, 0x020000000000|uint64(i)))}
		for _, g := range l.rigs {
			g.FlowMod(g.now, fm)
		}
	}
	if l.r.IntN(2) == 0 {
		fm := &openflow.FlowMod{Command: openflow.FlowDelete, TableID: table, Cookie: 1 << 60, CookieMask: 1 << 60, OutPort: openflow.PortAny, OutGroup: groupAny}
		l.all("ebb", func(g *rig) error { _, err := g.FlowMod(g.now, fm); return err })
	}
}

func (l *trio) bundle() {
	r := l.r
	var list []BundleStep
	var frames [][]byte
	for range 1 + r.IntN(6) {
		s := BundleStep{}
		switch r.IntN(8) {
		case 0, 1:
			s.Message = randomGroupMod(r)
		case 2:
			s.Message = &openflow.PacketOut{Actions: openflow.NewActions(randomActions(r, true, nil)...)}
			frames = append(frames, randomFrame(r))
		case 3:
			s.Message, s.Ports = new(openflow.PortMod), upPorts(2+r.IntN(4))
		case 4:
			s.Message = &openflow.FlowMod{Command: openflow.FlowDelete, TableID: uint8(r.IntN(l.tables)), OutPort: openflow.PortAny, OutGroup: groupAny}
		default:
			s.Message = l.flowMod()
		}
		list = append(list, s)
	}
	last := error(nil)
	if r.IntN(2) == 0 {
		last = errors.New("refused")
	}
	var events [][]string
	l.all(fmt.Sprintf("bundle %v, %v", list, last), func(g *rig) error {
		done, _, err := g.Bundle(g.now, slices.Clone(list), func() (int, error) { return 0, last })
		if err == nil && len(done.Outs) > 0 {
			var fs []*packet.Frame
			for _, b := range frames {
				fs = append(fs, frameOf(1, b))
			}
			g.proc.BundleOuts(g.now, fs, done.Outs, &g.rec)
		}
		events = append(events, g.rec.take(l.t))
		return err
	})
	if !slices.Equal(events[0], events[2]) || !slices.Equal(events[1], events[2]) {
		l.t.Fatalf("PACKET_OUTs of a bundle: %v", events)
	}
}

func (l *trio) frame() {
	r := l.r
	n := 1
	if r.IntN(4) == 0 {
		n += r.IntN(2 * chunk)
	}
	type arrival struct {
		in uint32
		b  []byte
	}
	batch := make([]arrival, n)
	for i := range batch {
		b := slices.Clone(l.frames[r.IntN(len(l.frames))])
		if r.IntN(3) == 0 {
			if at := r.IntN(max(1, min(len(b), 64))); at < len(b) {
				b[at] ^= 1 << r.IntN(8)
			}
		}
		batch[i] = arrival{uint32(1 + r.IntN(3)), b}
	}
	who := min(r.IntN(20), 2) // most see the third; the others see much at once
	var got [3][]string
	for i, g := range l.rigs {
		pr := l.procs[i][min(who, len(l.procs[i])-1)]
		var frames []*packet.Frame
		for _, a := range batch {
			frames = append(frames, frameOf(a.in, a.b))
		}
		pr.Process(g.now, frames, &g.rec)
		got[i] = g.rec.take(l.t)
	}
	for i := range 2 {
		if !slices.Equal(got[i], got[2]) {
			l.t.Errorf("engine %d, %x:\n by the cache %v\n by the walk  %v", i, batch, got[i], got[2])
			for _, s := range l.log[max(0, len(l.log)-60):] {
				l.t.Log(s)
			}
			return
		}
	}
	if r.IntN(30) == 0 {
		l.compare()
	}
}

// compare looks at the counters.
func (l *trio) compare() {
	var want []string
	for i := 2; i >= 0; i-- {
		g := l.rigs[i]
		list, err := g.Flows(AllFlows())
		if err != nil {
			l.t.Fatal(err)
		}
		meters, _ := g.Meters(g.now, openflow.MeterAll)
		text := append(entryTexts(list, g.now), fmt.Sprint(g.TableStats()), fmt.Sprint(g.Drops()), fmt.Sprint(meters))
		text = append(text, groupTexts(g.GroupStats(g.now, openflow.GroupAll))...)
		if i == 2 {
			want = text
		}
		for j := range max(len(text), len(want)) {
			if j >= len(text) || j >= len(want) || text[j] != want[j] {
				l.t.Errorf("engine %d:\n%v\n%v", i, text, want)
				return
			}
		}
	}
}
