package agent

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/ports"
)

// neighbour is a port whose other end answers a frame before Write returns, as a host behind a veth does. Its
// goroutine is woken only when the test says so.
type neighbour struct {
	dripper
	answer  []byte       // nil: it keeps silent
	sent    atomic.Int32 // frames written
	settled atomic.Int32
	reading atomic.Bool
	crowd   atomic.Bool // two readers at once
}

func (n *neighbour) Sleep() error {
	n.slept.Add(1)
	select {
	case <-n.wake:
		return nil
	case <-n.closed:
		return ports.ErrClosed
	}
}

func (n *neighbour) Settle() bool {
	n.settled.Add(1)
	return n.Ready()
}

func (n *neighbour) Read(frames []*packet.Frame) (int, error) {
	if n.reading.Swap(true) {
		n.crowd.Store(true)
	}
	defer n.reading.Store(false)
	return n.dripper.Read(frames)
}

func (n *neighbour) Write(frames []*packet.Frame) int {
	if n.answer != nil {
		n.ready.Add(int32(len(frames)))
	}
	n.sent.Add(int32(len(frames)))
	return len(frames)
}

func newNeighbour(b *bench, no uint32, answer []byte) *neighbour {
	n := &neighbour{answer: answer}
	n.stuffed.frame, n.wake, n.closed = answer, make(chan struct{}, 1), make(chan struct{})
	p := &port{number: no, name: "n" + string(rune('0'+no)), dev: n, counters: new(ports.Counters), done: make(chan struct{})}
	b.sw.join(p)
	b.t.Cleanup(func() { _ = n.Close() })
	return n
}

// drowsy is a neighbour whose goroutine can be let sleep on, and can nap.
type drowsy struct {
	neighbour
	hushes, listens, naps atomic.Int32
	hushed                atomic.Bool
	roused                atomic.Int32 // answers that came while it would have been woken
	nap                   chan bool    // what the next nap brings
}

func (d *drowsy) Hush() {
	d.hushes.Add(1)
	d.hushed.Store(true)
}

func (d *drowsy) Listen() {
	d.listens.Add(1)
	d.hushed.Store(false)
}

func (d *drowsy) Nap() bool {
	d.naps.Add(1)
	select {
	case woken := <-d.nap:
		return woken
	case <-d.closed:
		return true
	}
}

func (d *drowsy) Write(frames []*packet.Frame) int {
	if !d.hushed.Load() {
		d.roused.Add(1)
	}
	return d.neighbour.Write(frames)
}

func newDrowsy(b *bench, no uint32, answer []byte) *drowsy {
	d := &drowsy{neighbour: neighbour{answer: answer}, nap: make(chan bool)}
	d.stuffed.frame, d.wake, d.closed = answer, make(chan struct{}, 1), make(chan struct{})
	p := &port{number: no, name: "d" + string(rune('0'+no)), dev: d, counters: new(ports.Counters), done: make(chan struct{})}
	b.sw.join(p)
	b.t.Cleanup(func() { _ = d.Close() })
	return d
}

// TestAnswerWakesNobody: the first frame after a sleep is sent by a port whose goroutine is let sleep on until the answer has been
// forwarded, and can be woken then.
func TestAnswerWakesNobody(t *testing.T) {
	b := newBench(t, 0)
	b.sw.spin.naps.Store(false)
	asker, answerer := newDrowsy(b, 1, nil), newDrowsy(b, 2, frame(1, 2, "answer"))
	asker.frame = frame(2, 1, "question")
	eventually(t, "both sleep", func() bool { return asker.slept.Load() == 1 && answerer.slept.Load() == 1 })
	for i := int32(1); i <= 20; i++ {
		asker.drip(t, 1)
		eventually(t, "the answer is forwarded, and it sleeps again", func() bool { return asker.sent.Load() == i && asker.slept.Load() == i+1 })
		if h, l := answerer.hushes.Load(), answerer.listens.Load(); h != i || l != i {
			t.Fatalf("hushed %d times and woken again %d times for %d questions", h, l, i)
		}
	}
	if answerer.roused.Load() != 0 || answerer.slept.Load() != 1 || answerer.settled.Load() < 20 {
		t.Errorf("%d answers could wake the answerer; it slept %d times", answerer.roused.Load(), answerer.slept.Load())
	}
}

// TestNaps: the goroutine that found frames naps first, and sleeps when that brought nothing; one at a time does so, and none where they would keep
// the processors from others.
func TestNaps(t *testing.T) {
	b := newBench(t, 0)
	b.sw.spin.naps.Store(true)
	one, two := newDrowsy(b, 1, nil), newDrowsy(b, 2, nil)
	one.frame, two.frame = frame(2, 1, "x"), frame(1, 2, "y")
	eventually(t, "both sleep", func() bool { return one.slept.Load() == 1 && two.slept.Load() == 1 })
	if one.naps.Load()+two.naps.Load() != 0 {
		t.Error("one naps that has found nothing")
	}
	one.drip(t, 1)
	eventually(t, "the first naps", func() bool { return one.naps.Load() == 1 })
	two.drip(t, 1)
	eventually(t, "the second sleeps", func() bool { return two.slept.Load() == 2 })
	one.ready.Add(1)
	one.nap <- true
	eventually(t, "the first naps again", func() bool { return one.naps.Load() == 2 })
	if one.slept.Load() != 1 || one.taken.Load() != 2 {
		t.Errorf("slept %d times, %d frames", one.slept.Load(), one.taken.Load())
	}
	one.nap <- false
	eventually(t, "the first sleeps", func() bool { return one.slept.Load() == 2 })
	b.sw.spin.naps.Store(false)
	one.drip(t, 1)
	eventually(t, "it sleeps at once", func() bool { return one.slept.Load() == 3 })
	if one.naps.Load() != 2 || two.naps.Load() != 0 {
		t.Errorf("naps: %d and %d", one.naps.Load(), two.naps.Load())
	}
}

// TestAnswerNeedsNobodyElse: what comes in by a port while a frame is written to it is forwarded at once, though
// the goroutine of that port sleeps on.
func TestAnswerNeedsNobodyElse(t *testing.T) {
	b := newBench(t, 0)
	asker, answerer := newNeighbour(b, 1, nil), newNeighbour(b, 2, frame(1, 2, "answer"))
	asker.frame = frame(2, 1, "question")
	eventually(t, "both sleep", func() bool { return asker.slept.Load() == 1 && answerer.slept.Load() == 1 })
	for i := int32(1); i <= 20; i++ {
		asker.drip(t, 1)
		eventually(t, "the answer is forwarded", func() bool { return asker.sent.Load() == i })
	}
	if n := answerer.slept.Load(); n != 1 {
		t.Errorf("the answerer's goroutine went to sleep %d times", n)
	}
	if answerer.settled.Load() < 20 {
		t.Error("what the answers lay in was not given back")
	}
}

// TestAnswersHaveOneReader: a port that is woken while another goroutine looks at it waits for its turn, and no
// frame is read twice or left.
func TestAnswersHaveOneReader(t *testing.T) {
	b := newBench(t, 0)
	one, two := newNeighbour(b, 1, nil), newNeighbour(b, 2, nil)
	one.frame, two.frame = frame(2, 1, "x"), frame(1, 2, "y")
	const n = 2000
	var group sync.WaitGroup
	for _, dev := range []*neighbour{one, two} {
		group.Go(func() {
			for range n {
				dev.drip(t, 1)
			}
		})
	}
	group.Wait()
	eventually(t, "all frames are forwarded", func() bool { return one.sent.Load() >= n-1 && two.sent.Load() >= n-1 })
	if one.taken.Load() != n || two.taken.Load() != n {
		t.Errorf("%d and %d frames were read of %d each", one.taken.Load(), two.taken.Load(), n)
	}
	if one.crowd.Load() || two.crowd.Load() {
		t.Error("two goroutines read one port at once")
	}
}

// TestAnswersEnd: two neighbours that answer each other without end do not keep the worker, and their ports can be
// taken out.
func TestAnswersEnd(t *testing.T) {
	b := newBench(t, 0, oneWorker)
	one, two := newNeighbour(b, 1, frame(2, 1, "x")), newNeighbour(b, 2, frame(1, 2, "y"))
	one.ready.Add(1)
	eventually(t, "a long talk", func() bool {
		for _, dev := range []*neighbour{one, two} {
			select {
			case dev.wake <- struct{}{}: // as the kernel does
			default:
			}
		}
		return one.sent.Load() > 1000
	})
	w := <-b.sw.workers
	b.sw.workers <- w
}
