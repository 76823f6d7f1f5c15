package ports

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/weirswitch/weir/flowtable/packet"
)

// TestRingAgainstQueue runs the ring beside a plain slice of copies. Lent
// frames are scribbled over (headroom too) only after they were compared, so
// any overlap between two frames shows as a wrong byte.
func TestRingAgainstQueue(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r, reads := newRing(8, 4096), 3
		if seed%3 == 0 { // one that grows: more comes than is read
			r, reads = newRing(256, 1<<17), 5
		}
		type held struct {
			b []byte
			o packet.Offload
		}
		var model []held
		frames := []*packet.Frame{{}, {}, {}}
		var lent []held
		n := 0
		check := func() {
			for i := range n {
				if !bytes.Equal(frames[i].Bytes(), lent[i].b) || frames[i].Offload != lent[i].o {
					t.Fatalf("seed %d: lent frame %d changed", seed, i)
				}
			}
		}
		for range 400 {
			if rnd.IntN(reads) > 0 {
				b := make([]byte, rnd.IntN(900))
				for i := range b {
					b[i] = byte(rnd.Uint32())
				}
				o := packet.Offload{GSOSize: uint16(len(b))}
				if r.push(b, o) {
					model = append(model, held{b, o})
				} else if len(model)+n == 0 {
					t.Fatalf("seed %d: an empty ring refused %d bytes", seed, len(b))
				}
				check()
				continue
			}
			check()
			for i := range n {
				clear(frames[i].Prepend(packet.Headroom))
				clear(frames[i].Bytes())
			}
			n, _ = r.lend(frames[:1+rnd.IntN(3)])
			lent, model = model[:n], model[n:]
			check()
		}
		if r.maxSlots == 256 && (len(r.slots) <= firstSlots || len(r.buf) <= firstBytes) {
			t.Errorf("seed %d: the ring has not grown: %d slots, %d bytes", seed, len(r.slots), len(r.buf))
		}
	}
}

// TestRingIsSmallUntilUsed: hundreds of pipes took gigabytes.
func TestRingIsSmallUntilUsed(t *testing.T) {
	size := func(f func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	const pipes = 100
	ends := make([]*Pipe, pipes)
	if n := size(func() {
		for i := range ends {
			ends[i], _ = NewPipe("p", Options{}, Options{})
		}
	}) / pipes; n > 4<<10 {
		t.Errorf("a pipe takes %d bytes before the first frame", n)
	}
	if n := size(func() {
		for _, p := range ends {
			if err := p.Inject(make([]byte, 60)); err != nil {
				t.Fatal(err)
			}
		}
	}) / pipes; n > 32<<10 {
		t.Errorf("a pipe with one frame in it takes %d bytes", n)
	}
}

func TestRingIsBounded(t *testing.T) {
	r := newRing(8, 1<<20)
	for i := range 8 {
		if !r.push(make([]byte, 60), packet.Offload{}) {
			t.Fatalf("slot %d refused", i)
		}
	}
	if r.push(make([]byte, 60), packet.Offload{}) {
		t.Fatal("a ninth frame fitted eight slots")
	}
	r = newRing(64, 4096)
	if r.push(make([]byte, 5000), packet.Offload{}) || r.pushWait(make([]byte, 5000)) {
		t.Fatal("a frame longer than the ring was taken")
	}
	frames := []*packet.Frame{{}}
	for range 3 { // a frame that fills the ring alone still passes
		if !r.push(make([]byte, 4096-packet.Headroom), packet.Offload{}) {
			t.Fatal("a frame as long as the ring was refused")
		}
		r.lend(frames)
		r.lend(frames)
	}
}

// waiting is how many slots are in use.
func waiting(r *ring) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int(r.tail - r.free)
}

// TestOutletQueuesABatchAtOnce: a reader that always looks meets whole batches only, for the lock is
// taken once for each.
func TestOutletQueuesABatchAtOnce(t *testing.T) {
	for _, offload := range []bool{true, false} {
		r := newRing(ringSlots, ringBytes)
		o := outlet{counters: new(Counters), offload: offload}
		batch := make([]*packet.Frame, 16)
		for i := range batch {
			batch[i] = packet.NewFrame(64)
			batch[i].SetBytes(make([]byte, 60))
		}
		const batches = 2000
		go func() {
			defer r.close()
			for range batches {
				for waiting(r) > ringSlots/2 {
					runtime.Gosched()
				}
				o.write(r, batch)
			}
		}()
		frames := make([]*packet.Frame, 2*ringSlots)
		for i := range frames {
			frames[i] = new(packet.Frame)
		}
		for !r.isClosed() {
			if n, _ := r.lend(frames); n%len(batch) != 0 {
				t.Fatalf("offload %v: the reader got %d frames, not batches of %d", offload, n, len(batch))
			}
		}
	}
}

// TestOutletWakesTheReaderOnce: for a batch of which something was queued.
func TestOutletWakesTheReaderOnce(t *testing.T) {
	r := newRing(ringSlots, ringBytes)
	o := outlet{counters: new(Counters), offload: true}
	f := packet.NewFrame(64)
	f.SetBytes(make([]byte, 5)) // too short
	if o.write(r, []*packet.Frame{f}) != 0 || len(r.wake) != 0 {
		t.Error("the reader was woken for nothing")
	}
	f.SetBytes(make([]byte, 60))
	if o.write(r, []*packet.Frame{f, f}) != 2 || len(r.wake) != 1 {
		t.Error("the reader was not woken")
	}
}

func TestRingLendBytesPrefixesTheLength(t *testing.T) {
	r := newRing(8, 1<<16)
	want := []byte("0123456789abcdef")
	r.push(want, packet.Offload{})
	r.push(want[:14], packet.Offload{})
	got := r.lendBytes(nil, 8, true)
	if len(got) != 2 || binary.BigEndian.Uint32(got[0]) != 16 || binary.BigEndian.Uint32(got[1]) != 14 ||
		!bytes.Equal(got[0][4:], want) {
		t.Fatalf("got % x", got)
	}
	if n := r.discard(); n != 0 {
		t.Fatalf("%d frames left", n)
	}
}

func TestRingWakesReaderAndWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRing(2, 1<<16)
		const count = 1000
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range count {
				if !r.pushWait(binary.BigEndian.AppendUint32(make([]byte, 14), uint32(i))) {
					t.Error("refused")
				}
			}
		})
		frames := []*packet.Frame{{}, {}}
		for seen := 0; seen < count; {
			if err := r.wait(); err != nil {
				t.Fatal(err)
			}
			n, _ := r.lend(frames)
			for _, f := range frames[:n] {
				if got := binary.BigEndian.Uint32(f.Bytes()[14:]); int(got) != seen {
					t.Fatalf("frame %d came as %d", seen, got)
				}
				seen++
			}
		}
		wg.Wait()
		done := make(chan error)
		go func() { done <- r.wait() }()
		synctest.Wait()
		r.close()
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Fatalf("wait after close: %v", err)
		}
		if r.pushWait(make([]byte, 60)) {
			t.Fatal("a closed ring took a frame")
		}
	})
}

func TestRingDoesNotAllocate(t *testing.T) {
	r := newRing(64, 1<<18)
	b := make([]byte, 1500)
	frames := []*packet.Frame{packet.NewFrame(0), packet.NewFrame(0)}
	store := make([][]byte, 0, 4)
	if n := testing.AllocsPerRun(100, func() {
		r.push(b, packet.Offload{})
		r.push(b, packet.Offload{})
		r.lend(frames)
		r.push(b, packet.Offload{})
		r.lendBytes(store, 4, true)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
