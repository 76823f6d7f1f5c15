package flowtable

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

var (
	seedFlag  = flag.Uint64("weir.seed", 0, "run the random comparison with this seed alone")
	stepsFlag = flag.Int("weir.steps", 120, "steps of each random comparison")
	casesFlag = flag.Int("weir.cases", 60, "how many random comparisons")
)

// TestModel drives the model, the engine with its cache and the engine without through the same
// random life: flow mods, port changes, time, frames, PACKET_OUTs. All must agree on every frame
// out, every packet-in, every counter and the MAC table. To shrink a failure, run its seed with
// fewer -weir.steps.
func TestModel(t *testing.T) {
	if *seedFlag != 0 {
		compareWithModel(t, *seedFlag, *stepsFlag)
		return
	}
	n := uint64(*casesFlag)
	if testing.Short() {
		n = 10
	}
	for seed := uint64(1); seed <= n; seed++ {
		compareWithModel(t, seed, *stepsFlag)
		if t.Failed() {
			t.Fatalf("repeat with -run TestModel -weir.seed=%d -weir.steps=%d", seed, *stepsFlag)
		}
	}
}

// life is one random run.
type life struct {
	t     *testing.T
	r     *rand.Rand
	model *model
	rigs  []*rig
	now   time.Duration
	step  string
	ports []Port
	batch int // most different frames in one batch
}

func compareWithModel(t *testing.T, seed uint64, steps int) {
	t.Helper()
	c := Config{Tables: 5, MACTableSize: 1000, MACAge: 3 * time.Second, LoopMoves: 4, LoopHold: 2 * time.Second, HashSeed: seed, CacheSize: 64}
	l := &life{t: t, r: rand.New(rand.NewPCG(seed, 1)), model: newModel(c)}
	l.rigs = append(l.rigs, newRig(t, c, nil))
	if l.batch = 40; seed%3 == 0 { // of stations seen at the same time any may be the oldest: one a batch
		l.batch, c.MACTableSize = 1, 3+int(seed%4)
		l.model, l.rigs[0] = newModel(c), newRig(t, c, nil)
	}
	c.NoCache = true
	l.rigs = append(l.rigs, newRig(t, c, nil))
	if seed%2 == 0 { // being watched changes nothing
		c.NoCache = seed%4 == 2
		l.rigs = append(l.rigs, newRig(t, c, nil))
		l.rigs[2].watched = true
	}
	l.model.hash = func(f *packet.Frame) uint64 { return l.rigs[0].spreader.hash(f) }
	l.setPorts()
	for range 8 {
		l.groupMod()
	}
	for range 4 {
		l.meterMod()
	}
	for range 12 {
		l.flowMod()
	}
	for i := range steps {
		l.now += time.Duration(1+l.r.IntN(300)) * time.Millisecond
		l.model.now = l.now
		for _, g := range l.rigs {
			g.now = l.now
		}
		switch k := l.r.IntN(20); {
		case k == 0:
			l.setPorts()
		case k < 4:
			l.flowMod()
		case k == 4:
			l.groupMod()
		case k == 5:
			l.expire()
		case k == 6:
			l.packetOut()
		case k == 7:
			l.flush()
		case k == 8:
			l.meterMod()
		default:
			l.frames()
		}
		l.check()
		if t.Failed() {
			t.Logf("seed %d, step %d: %s", seed, i, l.step)
			return
		}
	}
}

// tied says whether one frame might teach two stations at the same time, in a life where that matters:
// the oldest goes from a full table, and which of two equally old ones is the engine's own affair. An
// inner header has another source; a tag put on, taken off or changed is another VLAN.
func (l *life) tied(actions string) bool {
	return l.batch == 1 && (strings.Contains(actions, "pbb") || strings.Contains(actions, "vlan"))
}

func (l *life) setPorts() {
	l.ports = nil
	for no := uint32(1); no <= 5; no++ {
		p := Port{No: no, LinkUp: l.r.IntN(8) != 0, NoFlood: l.r.IntN(8) == 0}
		if l.r.IntN(12) == 0 {
			continue
		}
		if l.r.IntN(6) == 0 {
			p.Config = []openflow.PortConfig{openflow.PortDown, openflow.PortNoRecv, openflow.PortNoFwd, openflow.PortNoPacketIn}[l.r.IntN(4)]
		}
		if l.r.IntN(2) == 0 {
			p.VLAN = VLANConfig{Mode: VLANMode(l.r.IntN(4)), Tag: uint16(l.r.IntN(4))}
			if l.r.IntN(2) == 0 {
				p.VLAN.Trunks = []uint16{1, uint16(2 * l.r.IntN(2))}
			}
		}
		l.ports = append(l.ports, p)
	}
	l.step = fmt.Sprintf("ports %+v", l.ports)
	l.model.setPorts(l.ports)
	for _, g := range l.rigs {
		g.SetPorts(l.ports)
	}
}

func (l *life) flowMod() {
	fm := randomFlowMod(l.r, 5)
	if l.tied(fm.Instructions.String()) {
		return
	}
	l.step = fmt.Sprintf("flow mod %+v", fm)
	var first error
	for i, g := range l.rigs {
		gone, err := g.FlowMod(l.now, fm)
		g.Publish()
		if i == 0 {
			first = err
		} else if fmt.Sprint(err) != fmt.Sprint(first) {
			l.t.Errorf("the engines answer differently: %v and %v", first, err)
		}
		unknown := errors.Is(err, &openflow.Error{Type: openflow.ErrBadAction, Code: openflow.BACBadOutGroup})
		if !isDelete(fm.Command) && (unknown || err == nil) && unknown == l.model.knowsGroups(fm) {
			l.t.Errorf("answered %v", err)
		}
		if err == nil {
			if i == 0 {
				l.equal("removed", removedText(gone), sorted(l.model.flowMod(fm)))
			}
		}
	}
}

func (l *life) meterMod() {
	mm := randomMeterMod(l.r)
	l.step = mm.String()
	want, code := l.model.meterMod(mm)
	for _, g := range l.rigs {
		gone, err := g.MeterMod(l.now, mm)
		g.Publish()
		if !isError(err, openflow.ErrMeterModFailed, code) {
			l.t.Errorf("%v: the engine says %v, the model code %d", mm, err, code)
		}
		l.equal("removed with a meter", removedText(gone), sorted(want))
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }

func (l *life) equal(what string, engine, model []string) {
	slices.Sort(engine)
	l.equalInOrder(what, engine, model)
}

func (l *life) equalInOrder(what string, engine, model []string) {
	if slices.Equal(engine, model) {
		return
	}
	l.t.Errorf("%s differ", what)
	for i := range max(len(engine), len(model)) {
		e, m := "", ""
		if i < len(engine) {
			e = engine[i]
		}
		if i < len(model) {
			m = model[i]
		}
		if e != m {
			l.t.Errorf("  engine %s\n  model  %s", e, m)
			break
		}
	}
}

func (l *life) expire() {
	l.step = "expire"
	want := sorted(l.model.expire())
	for _, g := range l.rigs {
		l.equal("expired", removedText(g.Expire(l.now)), want)
	}
}

func (l *life) flush() {
	f := MACFilter{Port: uint32(1 + l.r.IntN(5))}
	if l.r.IntN(2) == 0 {
		f = MACFilter{VLAN: uint16(l.r.IntN(4)), ByVLAN: true}
	}
	l.step = fmt.Sprintf("flush %+v", f)
	for k, s := range l.model.macs {
		if f.ByVLAN && s.vlan == f.VLAN || !f.ByVLAN && s.port == f.Port {
			delete(l.model.macs, k)
		}
	}
	for _, g := range l.rigs {
		g.FlushMACs(f)
	}
}

func (l *life) frames() {
	type arrival struct {
		in uint32
		b  []byte
	}
	var batch []arrival
	for range 1 + l.r.IntN(l.batch) {
		a := arrival{uint32(1 + l.r.IntN(6)), randomFrame(l.r)}
		train := 1 + l.r.IntN(3) // the same frame several times
		if l.batch == 1 {
			train = 1 // a meter may send each of them another way
		}
		for range train {
			batch = append(batch, a)
		}
	}
	l.step = fmt.Sprintf("%d frames", len(batch))
	l.model.events = nil
	for _, a := range batch {
		l.model.receive(a.in, a.b)
	}
	for _, g := range l.rigs {
		var list []*packet.Frame
		for _, a := range batch {
			list = append(list, frameOf(a.in, a.b))
		}
		var events []string
		if g.watched {
			events = g.watch(list)
		} else {
			g.proc.Process(l.now, list, &g.rec)
			events = g.rec.take(l.t)
		}
		l.equalInOrder(fmt.Sprintf("events (NoCache=%v, watched=%v)", g.cfg.NoCache, g.watched), events, l.model.events)
	}
}

func (l *life) packetOut() {
	b := randomFrame(l.r)
	in := []uint32{1, 2, uint32(openflow.PortController)}[l.r.IntN(3)]
	list := openflow.NewActions(randomActions(l.r, true, nil)...)
	if l.tied(list.String()) {
		return
	}
	l.step = fmt.Sprintf("packet out %v", list)
	l.model.events = nil
	if l.model.knows(list) {
		l.model.packetOut(in, b, list)
	}
	for _, g := range l.rigs {
		prog, err := g.CompileActions(list)
		if err != nil && !l.model.knows(list) {
			continue
		}
		if err != nil {
			l.t.Errorf("%v", err)
			return
		}
		g.proc.PacketOut(l.now, frameOf(in, b), prog, &g.rec)
		l.equalInOrder("events", g.rec.take(l.t), l.model.events)
	}
}

// check compares everything that can be asked.
func (l *life) check() {
	for _, g := range l.rigs {
		list, err := g.Flows(AllFlows())
		if err != nil {
			l.t.Errorf("%v", err)
		}
		l.equalInOrder("flows", entryTexts(list, l.now), l.model.flowTexts())
		l.equalInOrder("groups", groupTexts(g.GroupStats(l.now, openflow.GroupAll)), l.model.groupTexts())
		meters, err := g.Meters(l.now, openflow.MeterAll)
		if err != nil {
			l.t.Errorf("%v", err)
		}
		l.equalInOrder("meters", meterTexts(meters), l.model.meterTexts())
		l.equal("MAC tables", macTexts(g.MACs(l.now)), l.model.macTexts())
		for _, s := range g.TableStats() {
			if want := l.model.looked[s.Table]; want != [2]uint64{s.Lookups, s.Matched} {
				l.t.Errorf("table %d: lookups, matched %d, %d; expected %d", s.Table, s.Lookups, s.Matched, want)
			}
		}
	}
}

// random OpenFlow

func randomFlowMod(r *rand.Rand, tables int) *openflow.FlowMod {
	table := r.IntN(tables)
	if r.IntN(3) == 0 {
		table = 0
	}
	fm := &openflow.FlowMod{
		TableID: uint8(table), Priority: uint16(r.IntN(4)), Cookie: uint64(r.IntN(4)), OutPort: openflow.PortAny, OutGroup: groupAny,
		Match: randomMatch(r),
	}
	if r.IntN(3) == 0 {
		fm.Match, fm.Priority = openflow.Match{}, 0 // table-miss entry
	}
	if r.IntN(4) == 0 {
		fm.IdleTimeout = uint16(r.IntN(4))
	}
	if r.IntN(4) == 0 {
		fm.HardTimeout = uint16(r.IntN(6))
	}
	if r.IntN(2) == 0 {
		fm.Flags |= openflow.FlowSendRemoved
	}
	if r.IntN(5) == 0 {
		fm.Flags |= openflow.FlowResetCounts
	}
	if r.IntN(4) == 0 {
		fm.Command = openflow.FlowModCommand(1 + r.IntN(4))
		fm.CookieMask = uint64(r.IntN(2))
		if r.IntN(3) == 0 {
			fm.Match = openflow.Match{}
		}
		if isDelete(fm.Command) && r.IntN(4) == 0 {
			fm.OutPort = openflow.PortNo(1 + r.IntN(5))
		}
		if isDelete(fm.Command) && r.IntN(6) == 0 {
			fm.OutGroup = uint32(1 + r.IntN(5))
		}
		if isDelete(fm.Command) && r.IntN(8) == 0 && fm.Match.Len() > 0 {
			fm.TableID = openflow.TableAll
		}
	}
	var list []openflow.Instruction
	if r.IntN(4) == 0 {
		list = append(list, openflow.Instruction{Type: openflow.InstructionMeter, Meter: uint32(1 + r.IntN(3))})
	}
	j := newJudge(fm.Match)
	if r.IntN(4) != 0 {
		list = append(list, openflow.ApplyActions(randomActions(r, false, &j)...))
	}
	if r.IntN(8) == 0 {
		list = append(list, openflow.Instruction{Type: openflow.InstructionClearActions})
	}
	if r.IntN(3) == 0 {
		list = append(list, openflow.WriteActions(randomActions(r, false, &j)...))
	}
	if r.IntN(4) == 0 {
		list = append(list, openflow.Instruction{Type: openflow.InstructionWriteMetadata, Metadata: uint64(r.IntN(4)), MetadataMask: uint64(r.IntN(4))})
	}
	if fm.TableID != openflow.TableAll && table < tables-1 && r.IntN(3) != 0 {
		list = append(list, openflow.GotoTable(uint8(table+1+r.IntN(tables-1-table))))
	}
	fm.Instructions = openflow.NewInstructions(list...)
	return fm
}

func randomMatch(r *rand.Rand) openflow.Match {
	var fields []openflow.Field
	add := func(chance int, f ...openflow.Field) {
		if r.IntN(chance) == 0 {
			fields = append(fields, f...)
		}
	}
	n := func(k int) uint64 { return uint64(r.IntN(k)) }
	add(4, openflow.Exact(openflow.InPort, 1+n(5)))
	add(6, openflow.WithMask(openflow.Metadata, n(4)&2, 2))
	add(4, openflow.Exact(openflow.EthDst, 0x020000000001+n(4)))
	add(8, openflow.WithMask(openflow.EthSrc, 1<<40, 1<<40))
	add(8, openflow.WithMask(openflow.Reg0, n(2), 1))
	switch r.IntN(6) {
	case 0:
		add(1, openflow.Exact(openflow.VLANVID, 0))
	case 1:
		add(1, openflow.Exact(openflow.VLANVID, 0x1000|n(4)))
		add(2, openflow.Exact(openflow.VLANPCP, n(2)))
	case 2:
		add(1, openflow.WithMask(openflow.VLANVID, 0x1000, 0x1000))
	}
	switch r.IntN(6) {
	case 0, 1:
		add(1, openflow.Exact(openflow.EthType, 0x0800))
		add(3, openflow.WithMask(openflow.IPv4Dst, 0x0a000030|n(4), 0xfffffff3|n(2)<<2))
		add(5, openflow.Exact(openflow.IPTTL, []uint64{0, 1, 2, 63, 64}[n(5)]))
		add(6, openflow.Exact(openflow.NwFrag, n(4)))
		add(4, openflow.Exact(openflow.IPDSCP, []uint64{0, 12, 14, 46}[n(4)]))
		switch r.IntN(3) {
		case 0:
			add(1, openflow.Exact(openflow.IPProto, 6))
			add(2, openflow.Exact(openflow.TCPDst, 80+n(3)))
		case 1:
			add(1, openflow.Exact(openflow.IPProto, 17))
			add(2, openflow.Exact(openflow.UDPSrc, []uint64{0, 80, 81, 82}[n(4)]))
		}
	case 2:
		add(1, openflow.Exact(openflow.EthType, 0x86dd))
		add(2, openflow.Exact128(openflow.IPv6Src, 0, 0x31+n(4)))
		add(2, openflow.Exact(openflow.IPProto, 6))
	case 3:
		add(1, openflow.Exact(openflow.EthType, 0x0806))
		add(2, openflow.Exact(openflow.ARPOp, 1+n(2)))
		add(2, openflow.Exact(openflow.ARPTPA, 0x0a000000+n(3)))
	case 4:
		add(1, openflow.Exact(openflow.EthType, 0x8847))
		add(2, openflow.Exact(openflow.MPLSLabel, []uint64{16, 17, 77}[n(3)]))
		add(3, openflow.Exact(openflow.MPLSBOS, n(2)))
		add(4, openflow.Exact(openflow.MPLSTTL, []uint64{0, 1, 2, 5, 9, 63, 64}[n(7)]))
	}
	return openflow.NewMatch(fields...)
}

// randomActions draws actions that the judge accepts (all, for a PACKET_OUT without one).
func randomActions(r *rand.Rand, packetOut bool, j *judge) []openflow.Action {
	var list []openflow.Action
	for range r.IntN(6) {
		a := randomAction(r)
		if j != nil {
			try := *j
			if try.see(&a) != nil {
				continue
			}
			*j = try
		}
		list = append(list, a)
	}
	if packetOut && r.IntN(3) == 0 {
		list = append(list, openflow.Output(openflow.PortTable))
	}
	return list
}

func randomAction(r *rand.Rand) openflow.Action {
	n := func(k int) uint64 { return uint64(r.IntN(k)) }
	et := func(t openflow.ActionType, e uint16) openflow.Action { return openflow.Action{Type: t, EtherType: e} }
	switch r.IntN(30) {
	case 26, 27, 28:
		return openflow.Group(1 + uint32(n(6)))
	case 0, 1, 2, 3:
		return openflow.Output(openflow.PortNo(1 + n(6)))
	case 4, 5:
		return openflow.Output(openflow.PortNormal)
	case 6:
		return openflow.Output([]openflow.PortNo{openflow.PortAll, openflow.PortFlood, openflow.PortInPort}[n(3)])
	case 7:
		return openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: uint16(n(200))}
	case 8:
		return openflow.Action{Type: openflow.ActionSetQueue, Queue: uint32(n(3))}
	case 9:
		return openflow.SetField(openflow.EthDst, 0x020000000001+n(4))
	case 10:
		return openflow.SetField(openflow.VLANVID, 0x1000|n(4))
	case 11:
		return openflow.SetField(openflow.IPv4Dst, 0x0a000030|n(4))
	case 12:
		return openflow.SetField([]openflow.FieldID{openflow.TCPDst, openflow.UDPSrc}[n(2)], []uint64{0, 80, 81}[n(3)])
	case 13:
		return openflow.SetField(openflow.Reg0, n(2))
	case 14:
		return et(openflow.ActionPushVLAN, 0x8100)
	case 15, 16:
		return openflow.Action{Type: openflow.ActionPopVLAN}
	case 17:
		return et(openflow.ActionPushMPLS, 0x8847)
	case 18:
		return et(openflow.ActionPopMPLS, []uint16{0x8847, 0x0800}[n(2)])
	case 19, 20:
		return openflow.Action{Type: openflow.ActionDecNwTTL}
	case 21:
		return openflow.Action{Type: openflow.ActionDecMPLSTTL}
	case 22:
		return openflow.Action{Type: openflow.ActionSetNwTTL, TTL: uint8(n(3))}
	case 23:
		return openflow.Action{Type: []openflow.ActionType{openflow.ActionCopyTTLIn, openflow.ActionCopyTTLOut}[n(2)]}
	case 24:
		return []openflow.Action{et(openflow.ActionPushPBB, 0x88e7), {Type: openflow.ActionPopPBB}}[n(2)]
	default:
		return openflow.SetField([]openflow.FieldID{openflow.ARPOp, openflow.IPProto, openflow.MPLSLabel, openflow.MPLSBOS, openflow.EthType}[n(5)], []uint64{1, 6, 17, 0x0800}[n(4)]&1)
	}
}
