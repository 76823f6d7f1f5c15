package flowtable

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// batchOf gives n frames made by each, in buffers that are filled again before each use.
type batchOf struct {
	frames []*packet.Frame
	bytes  [][]byte
	in     []uint32
}

func newBatch(n int, each func(i int) (uint32, []byte)) *batchOf {
	b := &batchOf{}
	for i := range n {
		in, data := each(i)
		b.frames = append(b.frames, frameOf(in, data))
		b.bytes = append(b.bytes, data)
		b.in = append(b.in, in)
	}
	return b
}

// refill does what a port's Read does.
func (b *batchOf) refill() []*packet.Frame {
	for i, f := range b.frames {
		copy(f.Room(), b.bytes[i])
		f.SetLen(len(b.bytes[i]))
		f.InPort = b.in[i]
	}
	return b.frames
}

// TestNoAllocation guards the hot entry points: known flows, the learning switch, rewrites, copies
// before a change, and also the full walk.
func TestNoAllocation(t *testing.T) {
	push := openflow.Action{Type: openflow.ActionPushVLAN, EtherType: 0x8100}
	out := openflow.Output
	programs := map[string][]openflow.Instruction{
		"output":   {openflow.ApplyActions(out(2))},
		"normal":   {openflow.ApplyActions(out(openflow.PortNormal))},
		"rewrite":  {openflow.ApplyActions(openflow.SetField(openflow.EthDst, 5), openflow.Action{Type: openflow.ActionDecNwTTL}, out(2))},
		"copies":   {openflow.ApplyActions(out(2), push, out(3), openflow.SetField(openflow.EthDst, 5), out(openflow.PortFlood))},
		"set":      {openflow.WriteActions(out(2), push), openflow.GotoTable(1)},
		"packetin": {openflow.ApplyActions(out(openflow.PortController))},
	}
	for name, list := range programs {
		eachPath(t, func(t *testing.T, c Config) {
			ports := upPorts(4)
			ports[2].VLAN = VLANConfig{Mode: VLANAccess, Tag: 3}
			r := newRig(t, c, ports)
			r.flow(0, 5, ipMatch(), list...)
			r.flow(1, 5, openflow.NewMatch(openflow.Exact(openflow.EthDst, 0x020000000002)), openflow.WriteActions(openflow.Output(3)))
			b := newBatch(64, func(i int) (uint32, []byte) { // as many as the agent reads at once
				return uint32(1 + i%2), udpFrame(ethernet{dst: fmt.Sprint(1 + i%4), src: fmt.Sprint(5 + i%2)}, 64, uint16(i), 80)
			})
			sink := &nowhere{}
			run := func() { r.proc.Process(r.now, b.refill(), sink) }
			run()
			if n := testing.AllocsPerRun(100, run); n != 0 {
				t.Errorf("%s: %v allocations a batch", name, n)
			}
			if sink.outputs+sink.packetIns == 0 {
				t.Errorf("%s: nothing came out", name)
			}
		})
	}
}

// TestNoAllocationOnMiss: new flows all the time, a path made and pushed out for each.
func TestNoAllocationOnMiss(t *testing.T) {
	r := newRig(t, Config{CacheSize: 256}, upPorts(3))
	r.flow(0, 5, ipMatch(openflow.Exact(openflow.IPProto, 17), openflow.WithMask(openflow.UDPSrc, 0, 0)), openflow.GotoTable(1))
	r.flow(0, 6, ipMatch(openflow.Exact(openflow.IPProto, 17), openflow.Exact(openflow.UDPSrc, 9999)))
	r.flow(1, 5, ipMatch(openflow.Exact(openflow.IPv4Dst, 0x0a000032)), toPort(2))
	b := newBatch(32, func(i int) (uint32, []byte) {
		return 1, udpFrame(ethernet{dst: "2", src: "1"}, 64, 0, 80)
	})
	n := uint32(0)
	sink := &nowhere{}
	run := func() {
		for _, bytes := range b.bytes {
			n++
			binary.BigEndian.PutUint16(bytes[34:], uint16(n))
		}
		r.proc.Process(r.now, b.refill(), sink)
	}
	for range 4000 {
		run()
	}
	if a := testing.AllocsPerRun(200, run); a != 0 {
		t.Errorf("%v allocations a batch of misses", a)
	}
	if sink.outputs == 0 {
		t.Error("nothing came out")
	}
}

// TestPublishIsABarrier: from the first batch that begins after Publish on, no frame may follow the
// old table, on any worker, while flow mods and publications go on.
func TestPublishIsABarrier(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		p := New(c)
		p.SetPorts(upPorts(4))
		// Each round's entry carries its number in the queue, so a frame tells by which it was sent.
		var published atomic.Uint32
		mod := func(round uint32) {
			fm := &openflow.FlowMod{Priority: 5, Match: inPort(1), Instructions: openflow.NewInstructions(
				openflow.ApplyActions(openflow.Action{Type: openflow.ActionSetQueue, Queue: round}, openflow.Output(2)))}
			if _, err := p.FlowMod(0, fm); err != nil {
				t.Error(err)
			}
			other := &openflow.FlowMod{TableID: 1, Priority: uint16(round), Match: inPort(uint64(round%7) + 1)}
			if _, err := p.FlowMod(0, other); err != nil {
				t.Error(err)
			}
			p.Publish()
			published.Store(round)
		}
		mod(1)
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for range 3 {
			wg.Go(func() {
				proc := p.NewProcessor()
				sink := &roundSink{}
				b := newBatch(8, func(int) (uint32, []byte) { return 1, anyFrame })
				for n := time.Duration(1); ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					floor := published.Load()
					sink.low = ^uint32(0)
					proc.Process(n, b.refill(), sink)
					if sink.low < floor {
						t.Errorf("a frame met round %d after round %d was published", sink.low, floor)
						return
					}
				}
			})
		}
		for round := uint32(2); round < 500; round++ {
			mod(round)
			switch round % 10 {
			case 0:
				p.SetPorts(upPorts(4))
			case 1:
				p.Expire(time.Duration(round))
			case 2:
				if _, err := p.Flows(AllFlows()); err != nil {
					t.Error(err)
				}
				p.TableStats()
				p.Drops()
			}
		}
		close(stop)
		wg.Wait()
		sum, _ := p.Aggregate(AllFlows())
		if s := p.TableStats()[0]; s.Lookups != s.Matched || sum.Packets != s.Matched {
			t.Errorf("looked up %d, matched %d, counted by entries %d: a frame was lost or counted twice", s.Lookups, s.Matched, sum.Packets)
		}
	})
}

type roundSink struct{ low uint32 }

func (s *roundSink) Output(_ uint32, queue uint32, _ *packet.Frame) { s.low = min(s.low, queue) }
func (s *roundSink) PacketIn(PacketIn)                              {}

// TestManyLearners: workers learn, move, find and flush the same few addresses.
func TestManyLearners(t *testing.T) {
	r := newBridge(t, Config{MACTableSize: 16, LoopMoves: 1 << 30}, upPorts(4))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			proc := r.NewProcessor()
			rnd := randSource(uint64(w))
			for i := range 3000 {
				b := udpFrame(ethernet{dst: fmt.Sprint(1 + rnd.IntN(9)), src: fmt.Sprint(1 + rnd.IntN(9)), vlans: []uint16{uint16(rnd.IntN(4))}}, 64, 1, 2)
				proc.Process(time.Duration(i)*time.Millisecond, []*packet.Frame{frameOf(uint32(1+rnd.IntN(4)), b)}, &nowhere{})
				switch rnd.IntN(200) {
				case 0:
					r.FlushMACs(MACFilter{Port: uint32(1 + rnd.IntN(4))})
				case 1:
					r.Expire(time.Duration(i) * time.Millisecond)
				case 2:
					r.MACs(time.Duration(i) * time.Millisecond)
				case 3:
					_ = r.AddMAC(0, [6]byte{2, 0, 0, 0, 0, 1}, 2)
					r.RemoveMAC(0, [6]byte{2, 0, 0, 0, 0, 1})
				case 4:
					r.SetMACTable(2<<rnd.IntN(6), time.Second)
				}
			}
		})
	}
	wg.Wait()
	r.SetMACTable(16, time.Second)
	t1 := r.macs
	n := 0
	for range t1.all {
		n++
	}
	if n != t1.count || n > 16 || len(t1.agenda.items) != n {
		t.Errorf("%d stations in the chains, count %d, %d in the agenda", n, t1.count, len(t1.agenda.items))
	}
}

// TestPathTakesOneLine: a path lies within a cache line, for a frame that comes when the caches are cold waits for each.
func TestPathTakesOneLine(t *testing.T) {
	const line = 64
	if n := unsafe.Sizeof(path{}); n != line {
		t.Fatalf("a path has %d bytes", n)
	}
	r, met := mixedTables(t, Config{HashSeed: 1}, 3*pieceSize)
	s := newStream(met)
	for range 2 * len(met) / benchBatch {
		r.proc.Process(0, s.next(), &counter{})
	}
	pieces := r.proc.cache.paths.pieces
	if len(pieces) < 2 {
		t.Fatalf("%d pieces of paths", len(pieces))
	}
	for i, p := range pieces {
		if off := uintptr(unsafe.Pointer(p)) % line; off != 0 {
			t.Errorf("the paths of piece %d begin %d bytes into a cache line", i, off)
		}
	}
}

// TestCacheGrows: more flows than the cache may remember make it grow to its limit and no further.
func TestCacheGrows(t *testing.T) {
	r := newRig(t, Config{CacheSize: 4096, HashSeed: 1}, upPorts(2))
	for i := range 256 { // all of the port matters
		r.mod(&openflow.FlowMod{Priority: 1, Match: ipMatch(openflow.Exact(openflow.IPProto, 17), openflow.Exact(openflow.UDPSrc, uint64(i*257))),
			Instructions: openflow.NewInstructions(toPort(2))})
	}
	r.flow(0, 0, openflow.Match{}, toPort(2))
	b := newBatch(20000, func(i int) (uint32, []byte) { return 1, udpFrame(ethernet{dst: "2", src: "1"}, 64, uint16(i), 80) })
	sink := &nowhere{}
	for range 3 {
		r.proc.Process(0, b.refill(), sink)
	}
	c := &r.proc.cache
	if n := c.paths.inUse; n != 4096 || len(c.paths.pieces) != 4096/pieceSize || len(c.exact.slots) > 4*4096 {
		t.Errorf("%d paths in %d pieces, %d hints", n, len(c.paths.pieces), len(c.exact.slots))
	}
	if sink.outputs != 60000 {
		t.Errorf("%d frames out", sink.outputs)
	}
	if s := r.TableStats()[0]; s.Matched != 60000 {
		t.Errorf("%d matched", s.Matched)
	}
}

// FuzzFrames sends any bytes through parser, tables and NORMAL: no panic, and what went nowhere is
// counted. The second frame meets the path of the first.
func FuzzFrames(f *testing.F) {
	r := randSource(3)
	for range 30 {
		f.Add(randomFrame(r))
	}
	f.Add(tagged1(ethernet{dst: "2", src: "1", vlans: []uint16{1, 2, 3, 4, 5, 6, 7, 8}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 70000 {
			return
		}
		for _, cut := range []int{len(b), len(b) / 2} {
			eachPathOn(t, b[:cut])
		}
	})
}

func eachPathOn(t *testing.T, b []byte) {
	var events [2][]string
	for i, noCache := range []bool{false, true} {
		ports := upPorts(3)
		ports[1].VLAN = VLANConfig{Mode: VLANAccess, Tag: 3}
		r := newRig(t, Config{NoCache: noCache, HashSeed: 5, Tables: 3}, ports)
		pop := openflow.Action{Type: openflow.ActionPopVLAN}
		r.flow(0, 2, openflow.NewMatch(openflow.WithMask(openflow.VLANVID, 0x1000, 0x1000)), openflow.ApplyActions(openflow.Output(openflow.PortNormal), pop), openflow.GotoTable(1))
		r.flow(0, 1, ipMatch(), openflow.ApplyActions(openflow.Action{Type: openflow.ActionDecNwTTL}, openflow.SetField(openflow.IPv4Src, 5)), openflow.GotoTable(1))
		r.flow(0, 0, openflow.Match{}, openflow.GotoTable(1))
		r.flow(1, 1, openflow.NewMatch(openflow.Exact(openflow.EthType, 0x8847)), openflow.ApplyActions(openflow.Action{Type: openflow.ActionPopMPLS, EtherType: 0x800}), openflow.GotoTable(2))
		r.flow(1, 0, openflow.Match{}, openflow.ApplyActions(openflow.Output(openflow.PortNormal)))
		for range 3 {
			events[i] = append(events[i], r.send(1, b)...)
		}
		drops := r.Drops()
		total := uint64(0)
		for _, n := range drops.All() {
			total += n
		}
		if len(events[i]) == 0 && total == 0 && len(b) >= 14 {
			t.Errorf("a frame of %d bytes left no trace: %x", len(b), b)
		}
	}
	if fmt.Sprint(events[0]) != fmt.Sprint(events[1]) {
		t.Errorf("cache %v\nwalk  %v", events[0], events[1])
	}
}

// TestCutFrames sends frames cut at every byte.
func TestCutFrames(t *testing.T) {
	e := ethernet{dst: "2", src: "1", vlans: []uint16{1, 2}}
	for _, b := range [][]byte{tcpFrame(e, 64, 1, 2), tcp6Frame(e, 3, 1, 2), arpFrame(e, 1, 2, 3), mplsFrame(e, 5, 6, false)} {
		for n := range len(b) {
			eachPathOn(t, b[:n])
		}
	}
}

// benchmarks

func benchmarkProcess(b *testing.B, flows int, mk func(r *rig)) {
	r := newRig(b, Config{HashSeed: 1, CacheSize: 1 << 16}, upPorts(4))
	mk(r)
	batch := newBatch(max(flows, 32), func(i int) (uint32, []byte) {
		f := i % flows
		data := udpFrame(ethernet{dst: "2", src: "1"}, 64, 80, 80)[:60]
		binary.BigEndian.PutUint32(data[26:], uint32(0x0a000000+f))
		return 1, data
	})
	sink := &nowhere{}
	b.ReportAllocs()
	for n := 0; b.Loop(); n += 32 {
		at := n % len(batch.frames) &^ 31
		frames := batch.frames[at:min(at+32, len(batch.frames))]
		for i, f := range frames {
			f.SetLen(60)
			f.InPort = batch.in[at+i]
		}
		r.proc.Process(time.Duration(n), frames, sink)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/frame")
}

func BenchmarkProcess(b *testing.B) {
	for _, flows := range []int{1, 1000, 10000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			benchmarkProcess(b, flows, func(r *rig) {
				for i := range flows {
					r.FlowMod(0, &openflow.FlowMod{Priority: 5, Match: ipMatch(openflow.Exact(openflow.IPv4Src, uint64(0x0a000000+i))),
						Instructions: openflow.NewInstructions(toPort(2))})
				}
				r.Publish()
			})
		})
	}
	b.Run("normal", func(b *testing.B) {
		benchmarkProcess(b, 1, func(r *rig) {
			r.flow(0, 0, openflow.Match{}, openflow.ApplyActions(openflow.Output(openflow.PortNormal)))
			r.send(2, udpFrame(ethernet{dst: "1", src: "2"}, 64, 1, 2))
		})
	})
	b.Run("rewrite", func(b *testing.B) {
		benchmarkProcess(b, 1, func(r *rig) {
			r.flow(0, 1, ipMatch(), openflow.ApplyActions(openflow.SetField(openflow.EthDst, 5), openflow.Output(2)))
		})
	})
	b.Run("walk", func(b *testing.B) {
		benchmarkProcess(b, 1, func(r *rig) {
			r.cfg.NoCache = true
			r.flow(0, 1, ipMatch(), openflow.GotoTable(1))
			r.flow(1, 1, ipMatch(openflow.Exact(openflow.IPv4Src, 0x0a000000)), toPort(2))
		})
	})
}

func BenchmarkFlowMod(b *testing.B) {
	p := New(Config{})
	fm := &openflow.FlowMod{Priority: 5, Instructions: openflow.NewInstructions(toPort(2))}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		fm.Match = ipMatch(openflow.Exact(openflow.IPv4Src, uint64(n)))
		if _, err := p.FlowMod(0, fm); err != nil {
			b.Fatal(err)
		}
		if n%32 == 0 {
			p.Publish()
		}
	}
}
