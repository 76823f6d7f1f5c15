// Hot path: picks the few frames whose way weir watch tells; nobody watching is one load a batch.

package agent

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/flowtable/packet"
)

// A viewer never costs more than two bounded rates: frames looked at for its filter, and verdicts told.
// While the traffic is below them every frame is looked at, above them a sample of each batch.
const (
	// looksEvery is the pause between two frames that are parsed and compared with the filter. At some
	// hundred nanoseconds each, twenty thousand a second are a five-hundredth of a processor.
	looksEvery = 50 * time.Microsecond
	// watchBurst is the time whose looks and verdicts may come at once.
	watchBurst = 20 * time.Millisecond
	// mostVerdicts is the highest rate of verdicts a second that can be asked for.
	mostVerdicts = 1000
	// watchedBytes of a frame are kept: its headers.
	watchedBytes = 128
)

// viewer is one who looks at the ways of frames.
type viewer struct {
	*onlooker[watchNote]
	filter *flowtable.Filter // nil: all frames
	looks  pace
	tells  pace

	seen, looked atomic.Uint64 // frames that passed, and those of them that were looked at
	turn         atomic.Uint64 // which frame of a batch is the first to be looked at
}

// watchNote is one frame's way. It is made anew for each, a few hundred times a second at most.
type watchNote struct {
	at       time.Time
	in       uint32
	length   int
	verdict  flowtable.Verdict
	out      []watchOut
	packetIn []string
	oneIn    uint64
}

type watchOut struct{ port, queue uint32 }

// pace lets events through at a rate. What is left is the time since spent, in one atomic word.
type pace struct {
	every time.Duration
	spent atomic.Int64
}

// take lets up to n events through now and says how many.
func (p *pace) take(now time.Duration, n int) int {
	spent := p.spent.Load()
	from := max(spent, int64(now-max(watchBurst, p.every)))
	n = min(n, int((int64(now)-from)/int64(p.every)))
	if n <= 0 || !p.spent.CompareAndSwap(spent, from+int64(n)*int64(p.every)) {
		return 0 // or another worker was faster: its turn
	}
	return n
}

// open says whether take would let one through.
func (p *pace) open(now time.Duration) bool { return int64(now)-p.spent.Load() >= int64(p.every) }

// processWatched is Processor.Process for a batch while somebody watches. The frames that are watched run
// by themselves, between those before and those behind them, so the order stays.
func (w *worker) processWatched(frames []*packet.Frame) {
	var marks [maxOnlookers]uint64
	var all uint64
	list := w.sw.viewers.present()
	if list != nil {
		for i, o := range *list {
			marks[i] = o.pick(w.now, frames)
			all |= marks[i]
		}
	}
	done := 0
	for ; all != 0; all &= all - 1 {
		i := bits.TrailingZeros64(all)
		if i > done {
			w.proc.Process(w.now, frames[done:i], w)
			w.flush() // what was changed for it lasts until the next call of the engine
		}
		w.watch(frames[i], 1<<i, *list, &marks)
		w.flush()
		done = i + 1
	}
	if done < len(frames) {
		w.proc.Process(w.now, frames[done:], w)
	}
}

// pick marks the frames of a batch (of at most 64) that o wants to see, at most one: more than one of a
// batch would tell little more.
func (o *viewer) pick(now time.Duration, frames []*packet.Frame) uint64 {
	n := len(frames)
	o.seen.Add(uint64(n))
	if !o.tells.open(now) {
		return 0
	}
	looks := o.looks.take(now, n)
	if looks == 0 {
		return 0
	}
	o.looked.Add(uint64(looks))
	at, step := int(o.turn.Add(1)%uint64(n)), n/looks // begin elsewhere each time, go evenly
	for range looks {
		f := frames[at%n]
		if f.Parse(); o.filter == nil || o.filter.Matches(f) {
			if o.tells.take(now, 1) == 0 {
				return 0
			}
			return 1 << (at % n)
		}
		at += step
	}
	return 0
}

// watch runs one frame and tells its way to those who marked it.
func (w *worker) watch(f *packet.Frame, mark uint64, list []*viewer, marks *[maxOnlookers]uint64) {
	var head [watchedBytes]byte
	n := copy(head[:], f.Bytes())
	tap := watchSink{worker: w}
	note := watchNote{at: time.Now(), in: f.InPort, length: f.Len()}
	w.proc.Watch(w.now, f, &tap, &note.verdict)
	note.out, note.packetIn = tap.out, tap.packetIn
	for i, o := range list {
		if marks[i]&mark == 0 {
			continue
		}
		note.oneIn = max(1, o.seen.Swap(0)/max(1, o.looked.Swap(0)))
		o.put(note, head[:n])
	}
}

// watchSink is the worker as a Sink, with an ear.
type watchSink struct {
	*worker
	out      []watchOut
	packetIn []string
}

// Output implements flowtable.Sink.
func (s *watchSink) Output(port, queue uint32, f *packet.Frame) {
	s.out = append(s.out, watchOut{port, queue})
	s.worker.Output(port, queue, f)
}

// PacketIn implements flowtable.Sink.
func (s *watchSink) PacketIn(in flowtable.PacketIn) {
	s.packetIn = append(s.packetIn, in.Reason.String())
	s.worker.PacketIn(in)
}
