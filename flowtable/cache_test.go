package flowtable

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/openflow"
)

// TestCacheIsTheWalk asks more of the cache than TestModel can, whose model knows fewer actions: any
// field matched, set, loaded under a mask or moved into another, in any table, and frames that are
// alike in most fields. Whatever the walk makes of a frame, the remembered path must make, too.
func TestCacheIsTheWalk(t *testing.T) {
	n := uint64(*casesFlag) * 8
	if testing.Short() {
		n = 50
	}
	for seed := uint64(1); seed <= n && !t.Failed(); seed++ {
		r := rand.New(rand.NewPCG(seed, 2))
		c := Config{Tables: 2 + int(seed%3), HashSeed: seed, LoopMoves: 1 << 30}
		cached := newRig(t, c, upPorts(5))
		c.NoCache = true
		walking := newRig(t, c, upPorts(5))
		flows := ""
		for range 2 {
			for range 3 + r.IntN(8) {
				fm := anyFlow(r, c.Tables)
				_, err := cached.FlowMod(0, fm)
				if _, same := walking.FlowMod(0, fm); fmt.Sprint(err) != fmt.Sprint(same) {
					t.Fatalf("seed %d: %v and %v", seed, err, same)
				}
				if err == nil {
					flows += "\n" + fm.String()
				}
			}
			cached.Publish()
			walking.Publish()
			for range 150 {
				in, b := uint32(1+r.IntN(3)), alike(r)
				if got, want := cached.send(in, b), walking.send(in, b); !slices.Equal(got, want) {
					t.Fatalf("seed %d, from port %d %x:\n by the cache %v\n by the walk  %v%s", seed, in, b, got, want, flows)
				}
			}
		}
	}
}

// alike draws frames that differ where few flows look.
func alike(r *rand.Rand) []byte {
	small := func() byte { return byte(r.IntN(3)) }
	switch r.IntN(5) {
	case 0:
		var options []layers.ICMPv6Option
		if kind := small(); kind != 0 {
			options = append(options, layers.ICMPv6Option{Type: layers.ICMPv6Opt(kind), Data: []byte{0, 0, 0, 0, 0, small()}})
		}
		return neighbour([]byte{135, 136, 128}[small()], small(), small(), options...)
	case 1:
		b := randomFrame(r)
		if len(b) < 14 {
			return b
		}
		length := []int{len(b) - 6, 1500, 1534, 2}[r.IntN(4)] // of the 802.3 header before LLC and SNAP
		return slices.Concat(b[:12], []byte{byte(length >> 8), byte(length), 0xaa, 0xaa, 3, 0, 0, 0}, b[12:])
	}
	return randomFrame(r)
}

func anyFlow(r *rand.Rand, tables int) *openflow.FlowMod {
	table := r.IntN(tables)
	fm := &openflow.FlowMod{TableID: uint8(table), Priority: uint16(r.IntN(3))}
	if r.IntN(5) != 0 {
		fm.Match = anyMatch(r)
	}
	j := newJudge(fm.Match)
	list := []openflow.Instruction{openflow.ApplyActions(anyActions(r, &j)...)}
	if r.IntN(3) == 0 {
		list = append(list, openflow.WriteActions(randomActions(r, false, &j)...))
	}
	if table < tables-1 && r.IntN(8) != 0 {
		list = append(list, openflow.GotoTable(uint8(table+1)))
	}
	fm.Instructions = openflow.NewInstructions(list...)
	return fm
}

// anyMatch adds fields that randomMatch does not know, in front so that their prerequisites hold.
func anyMatch(r *rand.Rand) openflow.Match {
	if r.IntN(3) == 0 {
		fields := []openflow.Field{openflow.Exact(openflow.EthType, 0x86dd), openflow.Exact(openflow.IPProto, 58)}
		switch r.IntN(4) {
		case 0:
			fields = append(fields, openflow.Exact(openflow.ICMPv6Code, uint64(r.IntN(3))))
		case 1:
			fields = append(fields, openflow.Exact(openflow.ICMPv6Type, 135), openflow.Exact128(openflow.NDTarget, 0, uint64(r.IntN(3))))
		case 2:
			fields = append(fields, openflow.Exact(openflow.ICMPv6Type, 136))
		}
		return openflow.NewMatch(fields...)
	}
	m := randomMatch(r)
	for range r.IntN(3) {
		id := anyField(r)
		if more := m.With(openflow.Field{ID: id, Value: anyValue(r, id)}); more.Check() == nil {
			m = more
		}
	}
	return m
}

func anyActions(r *rand.Rand, j *judge) (list []openflow.Action) {
	for range r.IntN(6) {
		made := openflow.NewActions(anyAction(r))
		if made.Check() != nil {
			continue
		}
		for a := range made.All() {
			if try := *j; try.see(&a) == nil {
				if _, err := compileAction(&a, false); err == nil {
					*j, list = try, append(list, a)
				}
			}
		}
	}
	return list
}

func anyAction(r *rand.Rand) openflow.Action {
	part := func(n int) openflow.SubField {
		id := anyField(r)
		n = min(n, id.Info().Bits)
		return openflow.SubField{ID: id, Offset: uint16(r.IntN(id.Info().Bits - n + 1)), Bits: uint16(n)}
	}
	switch r.IntN(6) {
	case 0, 5:
		id := anyField(r)
		if r.IntN(3) == 0 { // those that say what stands behind them
			id = []openflow.FieldID{openflow.EthType, openflow.IPProto, openflow.ICMPv6Type, openflow.ICMPv6Code, openflow.MPLSBOS}[r.IntN(5)]
		}
		return openflow.Action{Type: openflow.ActionSetField, Field: openflow.Field{ID: id, Value: anyValue(r, id)}}
	case 1:
		src := part(1 + r.IntN(48))
		dst := part(int(src.Bits))
		src.Bits = dst.Bits
		return openflow.Action{Type: openflow.NXMove, Src: src, Dst: dst}
	case 2:
		return openflow.Action{Type: openflow.NXLoad, Dst: part(1 + r.IntN(4)), Load: uint64(r.IntN(2))}
	}
	return randomAction(r)
}

func anyField(r *rand.Rand) openflow.FieldID {
	if r.IntN(4) == 0 {
		return []openflow.FieldID{openflow.Reg0, openflow.XReg0, openflow.PktMark, openflow.IPTTL, openflow.MPLSTTL, openflow.PBBUCA, openflow.NwFrag, openflow.TCPFlags}[r.IntN(8)]
	}
	return openflow.FieldID(r.IntN(openflow.NumStandardFields))
}

func anyValue(r *rand.Rand, id openflow.FieldID) openflow.Value {
	v := uint64(r.IntN(2))
	switch id {
	case openflow.EthType:
		v = []uint64{0x0800, 0x86dd, 0x8847, 0x0806, 0x88e7, 0x8100, 0x05ff}[r.IntN(7)]
	case openflow.VLANVID:
		v |= openflow.VIDPresent
	case openflow.IPProto:
		v = []uint64{0, 1, 6, 17, 58, 132}[r.IntN(6)]
	case openflow.ICMPv6Type:
		v = []uint64{128, 135, 136}[r.IntN(3)]
	}
	return openflow.ValueOf(v)
}

// TestLongPathsGo: paths through so many tables, and over so many words, that they need all the memory a path can
// have, more of them than the cache holds. Hints of those that went still lead to their places.
func TestLongPathsGo(t *testing.T) {
	whole := openflow.ValueOf128(^uint64(0), ^uint64(0))
	for _, tables := range []int{1, 2, fewSteps, fewSteps + 1, 9} {
		r := newRig(t, Config{HashSeed: 3, CacheSize: 12}, upPorts(3))
		for i := range tables {
			list := []openflow.Instruction{openflow.WriteActions(openflow.Output(2), openflow.Action{Type: openflow.ActionDecNwTTL})}
			if i < tables-1 {
				list = append(list, openflow.GotoTable(uint8(i+1)))
			}
			r.flow(uint8(i), 0, openflow.NewMatch(), list...)
			for port := range uint64(40) {
				r.flow(uint8(i), 5, openflow.NewMatch(openflow.Exact(openflow.EthType, 0x86dd), openflow.Exact(openflow.IPProto, 6),
					openflow.WithMask128(openflow.IPv6Src, openflow.ValueOf128(0, '1'), whole), openflow.WithMask128(openflow.IPv6Dst, openflow.ValueOf128(0, '2'), whole),
					openflow.Exact(openflow.TCPSrc, port)), list...)
			}
		}
		b := newBatch(64, func(i int) (uint32, []byte) { return 1, tcp6Frame(ethernet{dst: "2", src: "1"}, 64, uint16(i), 80) })
		sink := &counter{}
		for range 20 {
			r.proc.Process(r.now, b.refill(), sink)
		}
		for range 36 {
			r.now += time.Minute / 36 // the others are idle, and go
			r.proc.Process(r.now, b.refill()[:1], sink)
		}
		if n := r.proc.cache.paths.inUse; n != 1 {
			t.Errorf("%d paths are in use, expected 1", n)
		}
		r.proc.Process(r.now, b.refill(), sink)
		list, _ := r.Flows(AllFlows())
		met := uint64(0)
		for _, e := range list {
			met += e.Counters(0).Packets
		}
		if want := uint64(21*64 + 36); sink.sum() != want || met != want*uint64(tables) {
			t.Errorf("%d tables: %d frames left, entries met %d", tables, sink.sum(), met)
		}
		if c := &r.proc.cache; len(c.claims[0].words) <= inlineWords+tailWords || c.paths.inUse != 12 {
			t.Errorf("%d tables: %d paths over %d words", tables, c.paths.inUse, len(c.claims[0].words))
		}
		checkStore(t, r.proc)
	}
}

// TestClockRunsOut: the clock of a cache has 32 bits. Before they are used up the cache begins anew.
func TestClockRunsOut(t *testing.T) {
	r := newRig(t, Config{HashSeed: 3}, upPorts(3))
	r.flow(0, 5, ipMatch(), toPort(2))
	b := udpFrame(ethernet{dst: "2", src: "1"}, 64, 7, 80)
	r.send(1, b)
	c := &r.proc.cache
	c.clock = 1<<31 + 1
	r.flow(0, 6, ipMatch(openflow.Exact(openflow.IPProto, 17)), toPort(3))
	if got, want := r.send(1, b), []string{outputEvent(3, 0, b)}; !slices.Equal(got, want) || c.clock > 2 || c.paths.inUse != 1 {
		t.Errorf("%v, the clock says %d, %d paths", got, c.clock, c.paths.inUse)
	}
	checkStore(t, r.proc)
}
