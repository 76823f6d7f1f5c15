// Hot path: the worker's loop: read a batch of frames, let the pipeline decide, write what leaves.

package agent

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/flowtable/packet"
)

const (
	// batchSize is how many frames a worker reads at once.
	batchSize = 64
	// maxRounds is how many batches a port may have before other ports get the worker.
	maxRounds = 32
	// mostAnswers is how many ports are looked at for answers: a frame that goes to more is flooded.
	mostAnswers = 4
	// frameRoom is the largest frame a worker can take: a GSO super-frame behind a tagged header.
	frameRoom = 65536 + 256
)

// worker carries frames from ports through the pipeline to ports. Whoever has taken it out of
// Switch.workers owns it, so per-worker state needs no lock; between two batches it may change hands.
type worker struct {
	sw   *Switch
	proc *flowtable.Processor

	// batch is odd while a batch is under way. Switch.quiesce reads it.
	batch atomic.Uint64

	frames []*packet.Frame // the worker's own, read into by ports that lend none
	now    time.Duration   // of the batch under way
	table  *portTable      // of the batch under way
	out    []outBatch      // by port.slot
	dirty  []int           // slots with frames to write
	wrote  []*port         // by which the last batch left, the first few
	woken  bool            // the inlet at hand was just waked
	hushed []*inlet        // whose goroutines sleep on meanwhile; their reader locks are held
	in     packetInBuf     // scratch of packet.go
}

// outBatch collects the frames that leave by one port in this batch.
type outBatch struct {
	port   *port
	frames []*packet.Frame
	sched  *scheduler // the port's, if it has queues;
	queues []uint32   // then these are the frames' queues
}

var _ flowtable.Sink = (*worker)(nil)

func newWorker(sw *Switch) *worker {
	w := &worker{sw: sw, proc: sw.pipe.NewProcessor(), frames: make([]*packet.Frame, batchSize)}
	for i := range w.frames {
		w.frames[i] = packet.NewFrame(frameRoom)
	}
	return w
}

// forwardFrom is the goroutine of a port's inlet: wait for frames, borrow a worker, forward, give it back.
// An idle port costs nothing but this goroutine. It begins when all ports of the configuration are
// there: a capture's first frames are not for the few that happen to be open by then.
func (s *Switch) forwardFrom(p *inlet) {
	<-s.flowing
	p.reader.Lock()
	defer p.reader.Unlock()
	for s.sleep(p) == nil {
		for again := true; again; again = s.linger(p) {
			_, failed := s.serve(p, maxRounds)
			if p.removed.Load() {
				time.Sleep(time.Millisecond) // until it is closed: Wait then tells, and takes back what it lent
			}
			if failed { // a device that fails again and again must not eat a processor
				p.counters.RxErrors.Add(1)
				time.Sleep(time.Millisecond)
			}
		}
	}
}

// serve forwards what the inlet has, for at most so many batches. It reports whether there may be
// more, and a device that cannot be read.
func (s *Switch) serve(p *inlet, rounds int) (more, failed bool) {
	w := <-s.workers
	more, failed = w.serve(p, rounds)
	s.workers <- w
	return more, failed
}

func (w *worker) serve(p *inlet, rounds int) (more, failed bool) {
	w.wrote, w.woken = w.wrote[:0], p.woken
	p.woken = false
	for range rounds {
		n, err := w.round(p)
		w.woken, p.fed = false, p.fed || n > 0
		w.listen()
		if n == 0 && (err != nil || !w.answers(p)) {
			return false, err != nil
		}
	}
	return true, false
}

// hush lets the goroutine of a port sleep on though a frame comes in by it: it is looked at when the batch has been written.
// So of two goroutines that sleep one is woken for a question and its answer. Each time that costs two system calls, so it
// is done only for the first batch after a sleep: frames that come in crowds wake few.
func (w *worker) hush(q *port) {
	for _, in := range q.ins {
		if dev, can := in.in.(sleeper); can && len(w.hushed) < mostAnswers && in.reader.TryLock() {
			dev.Hush()
			w.hushed = append(w.hushed, in)
		}
	}
}

// listen forwards what has come in by the ports that were hushed, and lets frames wake their goroutines again.
func (w *worker) listen() {
	for _, in := range w.hushed {
		dev := in.in.(sleeper)
		if dev.Ready() {
			_, _ = w.round(in)
			dev.Settle()
		}
		dev.Listen()
		in.reader.Unlock()
	}
	clear(w.hushed)
	w.hushed = w.hushed[:0]
}

// answers looks at the ports that the last batch of p left by, and forwards what has come in by them: a
// neighbour in the same kernel has answered by the time that a frame is written, and to wake the
// goroutine of that port takes longer than to forward its answer. One that is awake does it itself.
func (w *worker) answers(p *inlet) (any bool) {
	var to [mostAnswers]*port
	for _, q := range to[:copy(to[:], w.wrote)] {
		for _, in := range q.ins {
			dev, can := in.in.(sharer)
			if !can || q == p.port || !in.reader.TryLock() {
				continue
			}
			if dev.Ready() {
				n, _ := w.round(in)
				any = any || n > 0
				dev.Settle()
			}
			in.reader.Unlock()
		}
	}
	return any
}

// round forwards one batch and says how many frames it had.
func (w *worker) round(p *inlet) (int, error) {
	w.batch.Add(1)
	defer w.batch.Add(1)
	if p.removed.Load() { // asked after batch turned odd: see quiesce
		return 0, nil
	}
	n, err := p.in.Read(w.frames)
	if n == 0 {
		return 0, err
	}
	w.begin()
	for _, f := range w.frames[:n] {
		f.InPort = p.number
	}
	if p.seen.present() != nil {
		p.capture(w.frames[:n], false)
	}
	if w.sw.viewers.present() == nil {
		w.proc.Process(w.now, w.frames[:n], w)
	} else {
		w.processWatched(w.frames[:n])
	}
	w.flush()
	return n, nil
}

// begin reads the clock and the ports once for the whole batch. It comes after Read: a frame sent
// after a barrier was answered meets the state before the barrier or newer.
func (w *worker) begin() {
	w.now = w.sw.clock.Now()
	w.table = w.sw.table.Load()
	if len(w.out) < w.table.slots {
		w.out = append(w.out, make([]outBatch, w.table.slots-len(w.out))...)
	}
}

// Output appends the frame to the port's batch. It implements flowtable.Sink.
func (w *worker) Output(number, queue uint32, f *packet.Frame) {
	p := w.table.get(number)
	if p == nil {
		w.sw.noPort.Add(1)
		return
	}
	b := &w.out[p.slot]
	if len(b.frames) == 0 {
		b.port, b.sched = p, p.sched.Load()
		w.dirty = append(w.dirty, p.slot)
	}
	b.frames = append(b.frames, f)
	if b.sched != nil {
		b.queues = append(b.queues, queue)
	}
}

// flush writes each port's batch in one call.
func (w *worker) flush() {
	w.wrote = w.wrote[:0]
	for _, slot := range w.dirty {
		b := &w.out[slot]
		if len(w.wrote) < mostAnswers {
			w.wrote = append(w.wrote, b.port)
		}
		if w.woken {
			w.hush(b.port)
		}
		if b.sched != nil {
			b.sched.send(w.now, b.frames, b.queues)
		} else {
			b.port.Write(b.frames)
		}
		clear(b.frames)
		b.frames, b.queues, b.port, b.sched = b.frames[:0], b.queues[:0], nil, nil
	}
	w.dirty = w.dirty[:0]
}

// inject runs frames through programs, as PACKET_OUTs ask. The caller owns the worker.
func (w *worker) inject(frames []*packet.Frame, progs []*flowtable.Program) {
	w.batch.Add(1)
	defer w.batch.Add(1)
	w.begin()
	w.proc.PacketOuts(w.now, frames, progs, w)
	w.flush()
}

// injectBundled runs the PACKET_OUTs of a bundle. The caller owns the worker.
func (w *worker) injectBundled(frames []*packet.Frame, outs []flowtable.BundleOut) {
	w.batch.Add(1)
	defer w.batch.Add(1)
	w.begin()
	w.proc.BundleOuts(w.now, frames, outs, w)
	w.flush()
}

// receive forwards a frame as if it had come in by its InPort. The caller owns the worker.
func (w *worker) receive(f *packet.Frame) {
	w.batch.Add(1)
	defer w.batch.Add(1)
	w.begin()
	w.proc.Process(w.now, []*packet.Frame{f}, w)
	w.flush()
}

// quiesce returns when every batch that was under way has ended. What was published before the
// call is what all later batches see.
func (s *Switch) quiesce() {
	for _, w := range s.allWorkers {
		seen := w.batch.Load()
		if seen&1 == 0 {
			continue
		}
		for spins := 0; w.batch.Load() == seen; spins++ {
			if spins < 100 {
				runtime.Gosched()
			} else {
				time.Sleep(50 * time.Microsecond)
			}
		}
	}
}
