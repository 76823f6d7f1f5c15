package flowtable

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// The benchmarks of the path of a packet, from frames in memory to a sink that counts, on one core:
//
//	go test ./flowtable -run NONE -bench 'Engine'
//
// Each reports Mpps, by the processor time that was used. Frames lie in one piece of memory, 64 bytes each, and come in random order.

// counter is a Sink that counts what leaves by each port.
type counter struct{ out [8]uint64 }

func (c *counter) Output(port, _ uint32, _ *packet.Frame) { c.out[port&7]++ }
func (c *counter) PacketIn(PacketIn)                      {}

func (c *counter) sum() (n uint64) {
	for _, k := range c.out {
		n += k
	}
	return n
}

// tuple is the i-th of a sequence of five-tuples.
type tuple struct {
	src, dst     uint32
	sport, dport uint16
	tcp          bool
}

func tupleOf(i uint32) tuple {
	return tuple{
		src: 10<<24 | i*0x9e3779&0xffffff, dst: 192<<24 | 168<<16 | i*40503&0xffff,
		sport: uint16(1024 + uint64(i*7919)%60000), dport: uint16(1 + uint64(i*104729)%1000), tcp: i&3 == 3,
	}
}

// write makes b, of 64 bytes, the frame of a tuple; 60 of them count.
func (t *tuple) write(b []byte) {
	binary.BigEndian.PutUint64(b, 0x0200000000020200)
	binary.BigEndian.PutUint64(b[8:], 0x0000000108004500)
	binary.BigEndian.PutUint64(b[16:], 46<<48|0x40<<8|17)
	if t.tcp {
		b[23] = 6
	}
	binary.BigEndian.PutUint32(b[26:], t.src)
	binary.BigEndian.PutUint32(b[30:], t.dst)
	binary.BigEndian.PutUint16(b[34:], t.sport)
	binary.BigEndian.PutUint16(b[36:], t.dport)
	b[46] = 5 << 4
}

// mixedMatch is a rule that the i-th tuple meets: one of eight masks, each with its own priority.
func mixedMatch(i uint32) (priority uint16, m openflow.Match) {
	t := tupleOf(i)
	exact := func(id openflow.FieldID, v uint64) openflow.Field { return openflow.Exact(id, v) }
	prefix := func(id openflow.FieldID, v uint32, n int) openflow.Field {
		mask := uint64(^uint32(0) << (32 - n))
		return openflow.WithMask(id, uint64(v)&mask, mask)
	}
	ip := exact(openflow.EthType, 0x0800)
	proto, sport, dport := exact(openflow.IPProto, 17), exact(openflow.UDPSrc, uint64(t.sport)), exact(openflow.UDPDst, uint64(t.dport))
	if t.tcp {
		proto, sport, dport = exact(openflow.IPProto, 6), exact(openflow.TCPSrc, uint64(t.sport)), exact(openflow.TCPDst, uint64(t.dport))
	}
	src := func(n int) openflow.Field { return prefix(openflow.IPv4Src, t.src, n) }
	dst := func(n int) openflow.Field { return prefix(openflow.IPv4Dst, t.dst, n) }
	k := i >> 2 % 8
	return uint16(100 + 10*k), [...]openflow.Match{
		openflow.NewMatch(ip, src(32)),
		openflow.NewMatch(ip, proto, dst(32), dport),
		openflow.NewMatch(ip, src(28)),
		openflow.NewMatch(ip, src(32), dst(32)),
		openflow.NewMatch(ip, proto, src(32), dst(32), sport, dport),
		openflow.NewMatch(ip, proto, src(16), sport),
		openflow.NewMatch(ip, proto, dst(24), sport),
		openflow.NewMatch(exact(openflow.InPort, 1), ip, proto, src(24), dport),
	}[k]
}

// mixedTables is a pipeline with n rules of eight masks, and one for all other frames. met are the tuples
// that the rules were made for.
func mixedTables(b testing.TB, c Config, n int) (r *rig, met []uint32) {
	r = newRig(b, c, upPorts(2))
	list := openflow.NewInstructions(openflow.ApplyActions(openflow.Output(2)))
	mod := func(priority uint16, m openflow.Match) {
		if _, err := r.FlowMod(0, &openflow.FlowMod{Priority: priority, Match: m, Instructions: list}); err != nil {
			b.Fatal(err)
		}
	}
	mod(0, inPort(1))
	for i := uint32(0); len(met) < n; i++ {
		before := r.tables[0].rules.Len()
		priority, m := mixedMatch(i)
		if mod(priority, m); r.tables[0].rules.Len() > before {
			met = append(met, i)
		}
	}
	r.Publish()
	return r, met
}

// stream is frames in memory, and the batch that they are handed over in.
type stream struct {
	bytes  []byte
	frames []*packet.Frame
	at     int
}

const benchBatch = 64

func newStream(tuples []uint32) *stream {
	s := &stream{bytes: make([]byte, 64*max(len(tuples), benchBatch))}
	for i := range len(s.bytes) / 64 {
		t := tupleOf(tuples[i%len(tuples)])
		t.write(s.bytes[64*i:])
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(s.bytes)/64, func(i, j int) {
		for k := 64 * i; k < 64*i+64; k++ {
			o := 64*j + k - 64*i
			s.bytes[k], s.bytes[o] = s.bytes[o], s.bytes[k]
		}
	})
	for range benchBatch {
		s.frames = append(s.frames, new(packet.Frame))
	}
	return s
}

// next is the next batch, as a port hands it over whose frames lie in a ring.
func (s *stream) next() []*packet.Frame {
	for _, f := range s.frames {
		f.Alias(s.bytes, s.at, s.at+60)
		f.InPort = 1
		if s.at += 64; s.at == len(s.bytes) {
			s.at = 0
		}
	}
	return s.frames
}

func tuples(n int) []uint32 {
	list := make([]uint32, n)
	for i := range list {
		list[i] = uint32(i)
	}
	return list
}

// pump sends batches until the benchmark ends; between is called before each.
func pump(b *testing.B, r *rig, s *stream, between func(n int)) {
	sink := &counter{}
	for range 2 * len(s.bytes) / 64 / benchBatch { // warm up: everything has been seen twice
		r.proc.Process(0, s.next(), sink)
	}
	runtime.GC() // what the tables left behind is none of the path's work
	before, clock := sink.sum(), cpuClock()
	b.ResetTimer()
	start := clock()
	n := 0
	for ; b.Loop(); n++ {
		if between != nil {
			between(n)
		}
		r.proc.Process(time.Duration(n), s.next(), sink)
	}
	b.StopTimer()
	worked := clock() - start
	if sent := sink.sum() - before; sent != uint64(n*benchBatch) {
		b.Fatalf("%d frames of %d came out", sent, n*benchBatch)
	}
	b.ReportMetric(float64(n*benchBatch)/worked.Seconds()/1e6, "Mpps")
}

// BenchmarkEngineHit: as many flows as rules, all of them seen before.
func BenchmarkEngineHit(b *testing.B) {
	for _, c := range []struct{ rules, flows int }{{1, 1}, {1, 1000}, {1, 100_000}, {1000, 1000}, {10_000, 10_000}, {100_000, 100_000}, {100_000, 1_000_000}} {
		b.Run(fmt.Sprintf("rules=%d/flows=%d", c.rules, c.flows), func(b *testing.B) {
			r, met := mixedTables(b, Config{HashSeed: 1}, c.rules)
			if c.flows != c.rules {
				met = tuples(c.flows)
			}
			pump(b, r, newStream(met), nil)
		})
	}
}

// BenchmarkEngineCold: as EngineHit, but between two batches a mebibyte and a half of other memory is touched, as sending
// does it: what the path needs is no nearer than the third cache. The time for that does not count.
func BenchmarkEngineCold(b *testing.B) {
	other := make([]uint64, 3<<20/2/8)
	for _, c := range []struct{ rules, flows int }{{1, 1}, {1, 1000}, {1000, 1000}, {10_000, 10_000}, {100_000, 100_000}} {
		b.Run(fmt.Sprintf("rules=%d/flows=%d", c.rules, c.flows), func(b *testing.B) {
			r, met := mixedTables(b, Config{HashSeed: 1}, c.rules)
			if c.flows != c.rules {
				met = tuples(c.flows)
			}
			s, sink, took := newStream(met), &counter{}, time.Duration(0)
			for range 2 * len(s.bytes) / 64 / benchBatch {
				r.proc.Process(0, s.next(), sink)
			}
			runtime.GC()
			b.ResetTimer()
			n := 0
			for ; b.Loop(); n++ {
				for i := 0; i < len(other); i += 8 {
					other[i]++
				}
				frames := s.next()
				for _, f := range frames { // a port has looked at them
					other[0] += uint64(f.Bytes()[0])
				}
				start := time.Now()
				r.proc.Process(time.Duration(n), frames, sink)
				took += time.Since(start)
			}
			b.ReportMetric(float64(took)/float64(n*benchBatch), "ns/frame")
		})
	}
}

// BenchmarkEngineWild: flows that were seen before, found by their claims alone: what a frame costs whose exact hint was
// pushed out. It reports how many claims a frame was compared with.
func BenchmarkEngineWild(b *testing.B) {
	for _, rules := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", rules), func(b *testing.B) {
			r, met := mixedTables(b, Config{HashSeed: 1}, rules)
			c := &r.proc.cache
			none := newHints(ways)
			looked, searched := 0, 0
			pump(b, r, newStream(met), func(n int) {
				if n == 0 {
					looked, searched = 0, 0
				}
				clear(none.slots)
				c.exact, c.crowded, c.worth = none, -1<<20, 1024 // and it does not grow
				if n%64 == 0 {
					for i, cl := range c.claims {
						looked += (i + 1) * cl.served
						searched += cl.served
					}
				}
			})
			b.ReportMetric(float64(looked)/float64(searched), "claims/frame")
		})
	}
}

// BenchmarkEngineWalk: no cache at all.
func BenchmarkEngineWalk(b *testing.B) {
	for _, rules := range []int{1, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("rules=%d", rules), func(b *testing.B) {
			r, met := mixedTables(b, Config{HashSeed: 1, NoCache: true}, rules)
			pump(b, r, newStream(met), nil)
		})
	}
}

// BenchmarkEngineMiss: each frame is the first of its flow. "rules": its flow has a rule of its own; "any":
// most meet the rule for all others.
func BenchmarkEngineMiss(b *testing.B) {
	const rules = 100_000
	b.Run("rules", func(b *testing.B) {
		r, met := mixedTables(b, Config{HashSeed: 1}, rules)
		s := newStream(met)
		pump(b, r, s, func(int) {
			if s.at == 0 {
				r.proc.Forget()
			}
		})
	})
	b.Run("any", func(b *testing.B) {
		r, _ := mixedTables(b, Config{HashSeed: 1}, rules)
		s := newStream([]uint32{0})
		next := uint32(2 * rules)
		pump(b, r, s, func(int) {
			for at := 0; at < len(s.bytes); at += 64 {
				t := tupleOf(next)
				t.write(s.bytes[at:])
				next++
			}
		})
	})
}

// BenchmarkEngineChanges: known flows, while entries of the same masks come and go. "rate" is a thousand FLOW_MODs a second of the
// worker's time, each published alone, for some hundredths of a second, and as long none, in turns: "kept" is the rate with them by the one
// without. "batch" is one before each batch.
func BenchmarkEngineChanges(b *testing.B) {
	for _, flows := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("rate/flows=%d", flows), func(b *testing.B) {
			r, met := mixedTables(b, Config{HashSeed: 1}, flows)
			c := changing{rig: r, stream: newStream(met), clock: cpuClock()}
			c.run(true, time.Second/2) // as it is after a while, here and below
			runtime.GC()
			var with, without span
			mods := c.mods
			b.ResetTimer()
			for b.Loop() {
				with.add(c.turn(true))
				without.add(c.turn(false))
			}
			b.ReportMetric(with.mpps(), "Mpps")
			b.ReportMetric(with.mpps()/without.mpps(), "kept")
			b.ReportMetric(float64(c.mods-mods)/float64(b.N), "mods/op")
			if sent := c.sink.sum(); sent != uint64(c.frames) {
				b.Fatalf("%d frames of %d came out", sent, c.frames)
			}
		})
		b.Run(fmt.Sprintf("batch/flows=%d", flows), func(b *testing.B) {
			r, met := mixedTables(b, Config{HashSeed: 1}, flows)
			c := changing{rig: r, stream: newStream(met), clock: cpuClock()}
			c.run(true, time.Second/2)
			pump(b, r, c.stream, func(int) { c.change() })
		})
	}
}

// changing forwards frames while entries that none of them meets come and go.
type changing struct {
	*rig
	stream *stream
	sink   counter
	clock  func() time.Duration
	frames int
	mods   int
}

// change adds an entry, or takes the last one away.
func (c *changing) change() {
	priority, m := mixedMatch(uint32(1_000_000 + c.mods/2))
	fm := &openflow.FlowMod{Priority: priority, Match: m, Instructions: openflow.NewInstructions(openflow.ApplyActions(openflow.Output(2)))}
	if c.mods%2 == 1 {
		fm.Command, fm.OutPort, fm.OutGroup = openflow.FlowDeleteStrict, openflow.PortAny, groupAny
	}
	c.mod(fm)
	c.mods++
}

// turn is a measured run. Each flow comes once before it: what was changed by then has had its effect.
func (c *changing) turn(changes bool) span {
	c.run(changes, 20*time.Millisecond)
	return c.run(changes, 50*time.Millisecond)
}

// run forwards for so long.
func (c *changing) run(changes bool, d time.Duration) span {
	start, next := c.clock(), time.Duration(0)
	for n := 0; ; n++ {
		if n%16 == 0 {
			took := c.clock() - start
			if took >= d {
				c.frames += n * benchBatch
				return span{n * benchBatch, took}
			}
			if changes && took >= next {
				c.change()
				next += time.Millisecond
			}
		}
		c.proc.Process(c.now, c.stream.next(), &c.sink)
	}
}

// span is frames, and the processor time that they took.
type span struct {
	frames int
	took   time.Duration
}

func (s *span) add(o span) { s.frames, s.took = s.frames+o.frames, s.took+o.took }

func (s *span) mpps() float64 { return float64(s.frames) / s.took.Seconds() / 1e6 }
