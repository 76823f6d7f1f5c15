package ports

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// looks are the ways by which a port is looked at. Each reads until the port is closed, which read tells.
var looks = []struct {
	name string
	look func(in *intake, read func() (n int, closed bool))
}{
	{"sleeping", func(in *intake, read func() (int, bool)) {
		for readDry(read) {
			_ = in.Wait()
		}
	}},
	{"napping", func(in *intake, read func() (int, bool)) {
		for readDry(read) {
			if !in.Settle() && !in.Nap() {
				_ = in.Sleep()
			}
		}
	}},
	{"polling", func(in *intake, read func() (int, bool)) {
		in.Stay()
		for turn, closed := 1, false; !closed; turn++ {
			if in.Ready() || turn%64 == 0 {
				_, closed = read()
			}
			if turn%64 == 0 {
				in.Settle()
				time.Sleep(10 * time.Microsecond) // others want the processor, too
			}
		}
	}},
	{"by two", func(in *intake, read func() (int, bool)) {
		var reader sync.Mutex
		var over atomic.Bool
		var other sync.WaitGroup
		other.Go(func() { // as a worker that answers
			for !over.Load() {
				if reader.TryLock() {
					if in.Ready() {
						_, _ = read()
						in.Settle()
					}
					reader.Unlock()
				}
				time.Sleep(20 * time.Microsecond)
			}
		})
		reader.Lock()
		for readDry(read) {
			if in.Settle() {
				continue
			}
			reader.Unlock()
			if !in.Nap() {
				_ = in.Sleep()
			}
			reader.Lock()
		}
		reader.Unlock()
		over.Store(true)
		other.Wait()
	}},
}

// readDry reads what there is, and says whether the port is open still.
func readDry(read func() (n int, closed bool)) bool {
	for {
		if n, closed := read(); n == 0 || closed {
			return !closed
		}
	}
}

// lookedAt has a port's one intake read in such a way.
func lookedAt(t *testing.T, p *afpacket, look func(*intake, func() (int, bool))) *readers {
	r := &readers{t: t, next: map[int]int{}, at: map[int]int{}, used: map[int]map[int]bool{0: {}}}
	frames := frameBatch(64, 2000)
	in := p.intakes[0]
	r.group.Go(func() {
		look(in, func() (int, bool) {
			n, err := in.Read(frames)
			for _, f := range frames[:n] {
				r.came(0, f.Bytes())
			}
			return n, errors.Is(err, ErrClosed)
		})
		in.Settle()
	})
	t.Cleanup(func() {
		_ = p.Close()
		r.group.Wait()
	})
	return r
}

// mayLose says that frames may be lost, none come twice and none too late.
func (r *readers) mayLose() {
	r.mu.Lock()
	r.gaps = true
	r.mu.Unlock()
}

func (p *afpacket) slots() int { return p.intakes[0].ring.Load().slots }

// TestRingGrows: a burst that does not fit makes the ring longer, however the port is looked at, and the next one passes whole. Every
// frame is read or counted, and the flow stays in order.
func TestRingGrows(t *testing.T) {
	for _, c := range looks {
		t.Run(c.name, func(t *testing.T) {
			h, sw := newSpace(t), newSpace(t)
			h.quiet()
			sw.quiet()
			cable(h, "eth0", sw, "sw0", 1500)
			p := sw.port("sw0").(*afpacket)
			start := sw.delivered()
			const first, second = DefaultSlots + 2000, GrownSlots - 1000
			h.rawAll("eth0", flowFrames(first, 1, 0)) // nobody reads yet
			r := lookedAt(t, p, c.look)
			eventually(t, "a longer ring", func() bool { return p.slots() == GrownSlots })
			if n := r.total.Load(); n != DefaultSlots {
				t.Errorf("%d frames came", n)
			}
			r.mu.Lock()
			r.next[0] = first
			frames := flowFrames(second, 1, first)
			h.rawAll("eth0", frames) // the reader gets no further than one batch
			r.mu.Unlock()
			eventually(t, "all frames", func() bool { return r.total.Load() == DefaultSlots+second })
			if v := countersOf(p); v.RxPackets != DefaultSlots+second || v.RxDropped != first-DefaultSlots || v.RxDropped != v.RxDrops[DropFull] ||
				sw.delivered()-start != v.RxPackets+v.RxDropped {
				t.Errorf("%+v", v)
			}
			eventually(t, "that the port tells", func() bool { return p.Info().How == "with room for 32768 frames since some were lost" })
			if n := sw.listening(); n != 1 {
				t.Errorf("%d sockets listen", n)
			}
			if p.Write([]*packet.Frame{frameOf(testFrame("", 60))}) != 1 {
				t.Errorf("not sent: %+v", countersOf(p))
			}
			sw.must(p.Close())
			r.group.Wait()
			if sw.link("sw0").Attrs().Promisc != 0 || sw.listening() != 0 {
				t.Error("not closed")
			}
		})
	}
}

// TestRingGrowsUnderWay: frames that come while the ring grows come once and in their order.
func TestRingGrowsUnderWay(t *testing.T) {
	for _, c := range looks {
		t.Run(c.name, func(t *testing.T) {
			h, sw := newSpace(t), newSpace(t)
			h.quiet()
			sw.quiet()
			cable(h, "eth0", sw, "sw0", 1500)
			p := sw.port("sw0").(*afpacket)
			r := lookedAt(t, p, c.look)
			r.mayLose()
			r.mu.Lock()
			h.rawAll("eth0", flowFrames(DefaultSlots+2000, 1, 0))
			r.mu.Unlock()
			seq := DefaultSlots + 2000
			send := func() {
				h.rawAll("eth0", flowFrames(50, 1, seq))
				seq += 50
			}
			eventually(t, "a longer ring", func() bool {
				send()
				return p.slots() == GrownSlots
			})
			before := r.total.Load()
			send()
			eventually(t, "what came then", func() bool { return r.total.Load() >= before+50 })
		})
	}
}

// TestRingMoves: what is in the old ring when frames begin to come to the new one is read first, whole and in order, and also what did not
// fit its slots; what the reader has of it stays what it was.
func TestRingMoves(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 9000)
	p := sw.port("sw0").(*afpacket)
	in, short := p.intakes[0], p.intakes[0].ring.Load()
	var sent [][]byte
	send := func(n int) {
		from := len(sent)
		for range n {
			sent = append(sent, numberedFrame(len(sent), []int{60, 2000, 9014, 200}[len(sent)%4], ""))
		}
		h.rawAll("eth0", sent[from:])
	}
	p.grow(in, short)
	if in.spare.Load() == nil || in.moving() {
		t.Fatal("no spare")
	}
	send(30)
	in.follow()
	in.move(short)
	if !in.moving() || !in.Ready() || in.ring.Load() != short {
		t.Fatal("frames do not come to the spare")
	}
	send(30)
	last := frameBatch(64, 10000)
	var got [][]byte
	for len(got) < 30 {
		n, err := in.Read(last[:min(16, 30-len(got))])
		if n == 0 || err != nil {
			t.Fatal(n, err, len(got))
		}
		for _, f := range last[:n] {
			got = append(got, bytes.Clone(f.Bytes()))
		}
	}
	if in.ring.Load() != short {
		t.Error("the reader has the new ring already")
	}
	rest := frameBatch(64, 10000)
	in.move(short)
	if in.moving() || p.slots() != GrownSlots {
		t.Error("the reader has the old ring still")
	}
	if !bytes.Equal(last[0].Bytes(), sent[16]) {
		t.Error("a frame changed in the reader's hands")
	}
	for len(got) < len(sent) {
		n, err := in.Read(rest)
		if n == 0 || err != nil {
			t.Fatal(n, err, len(got))
		}
		for _, f := range rest[:n] {
			got = append(got, bytes.Clone(f.Bytes()))
		}
	}
	for i := range sent {
		if !bytes.Equal(got[i], sent[i]) {
			t.Fatalf("frame %d of %d bytes came as %d bytes, %x", i, len(sent[i]), len(got[i]), got[i][:24])
		}
	}
	p.ending.Wait()
	if short.users.Load() != 0 {
		t.Error("the old ring is still there")
	}
	if v := countersOf(p); v.RxPackets != 60 || v.RxDropped != 0 {
		t.Errorf("%+v", v)
	}
}

// TestRingLeftovers: what a socket has when it ends is counted, but for what was read.
func TestRingLeftovers(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("sw0").(*afpacket)
	p.mu.Lock()
	s, err := p.secondSocket(p.link)
	p.mu.Unlock()
	sw.must(err)
	sw.must(letCome(s.waker.fd))
	h.rawAll("eth0", flowFrames(GrownSlots+10, 1, 0))
	s.ring.head, s.ring.lent = 3, 3
	s.ring.users.Add(1)
	s.ring.giveBack()
	p.end(s.waker, s.ring, s.index, 3)
	if v := countersOf(p); v.RxDrops[DropFull] != GrownSlots-3+10 {
		t.Errorf("%+v", v)
	}
}

// TestRingSpareForgotten: when another takes the place of a ring that frames come to already, they come to the old one again, and those that had come are counted.
func TestRingSpareForgotten(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("sw0").(*afpacket)
	in, short := p.intakes[0], p.intakes[0].ring.Load()
	p.grow(in, short)
	h.rawAll("eth0", flowFrames(10, 1, 0))
	in.follow()
	in.move(short)
	h.rawAll("eth0", flowFrames(5, 1, 10))
	p.mu.Lock()
	in.beginAnew()
	p.mu.Unlock()
	if in.moving() || !in.grows.Load() || p.slots() != DefaultSlots {
		t.Error("it has not gone")
	}
	h.rawAll("eth0", flowFrames(5, 1, 15))
	if got := read(t, p, 15); len(got) != 15 || !bytes.Equal(got[9], flowFrame(0, 9, 60, false)) || !bytes.Equal(got[14], flowFrame(0, 19, 60, false)) {
		t.Errorf("%d frames", len(got))
	}
	if v := countersOf(p); v.RxPackets != 15 || v.RxDropped != 5 || v.RxDrops[DropFull] != 5 {
		t.Errorf("%+v", v)
	}
}

// TestRingKeepsItsLength: a ring that has lost little, or more than any would have held, stays; so does one whose length was asked for, and so do those
// of several readers.
func TestRingKeepsItsLength(t *testing.T) {
	for _, c := range []struct {
		text  string
		lost  int
		grows bool // afterwards
		made  int
	}{
		{"sw0", 0, true, 0},
		{"sw0", growthPrice - 1, true, 0},
		{"sw0", growthPrice, false, 1},
		{"sw0", burstRings * GrownSlots, false, 1},
		{"sw0", burstRings*GrownSlots + 1, true, 0},
		{"sw0,ring=8192", growthPrice, false, 0},
		{"sw0,readers=2", growthPrice, false, 0},
	} {
		h, sw := newSpace(t), newSpace(t)
		cable(h, "eth0", sw, "sw0", 1500)
		p := sw.port(c.text).(*afpacket)
		made := make(chan int, 2)
		p.mu.Lock()
		p.second = func(slots int, _ bool) (int, *rxRing, error) {
			made <- slots
			return -1, nil, unix.ENOMEM
		}
		p.mu.Unlock()
		in := p.intakes[0]
		in.short = c.lost
		in.press(in.ring.Load())
		if in.grows.Load() != c.grows {
			t.Errorf("%s, %d lost: may grow: %t", c.text, c.lost, !c.grows)
		}
		if c.made > 0 {
			if n := <-made; n != GrownSlots {
				t.Errorf("%s, %d lost: %d slots", c.text, c.lost, n)
			}
		}
		if p.slots() != DefaultSlots {
			t.Errorf("%s, %d lost: room for %d", c.text, c.lost, p.slots())
		}
	}
}

// TestRingCannotGrow: a port whose longer ring is refused goes on with what it has, says so and does not try again.
func TestRingCannotGrow(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("sw0").(*afpacket)
	var tries atomic.Int32
	p.mu.Lock()
	p.second = func(int, bool) (int, *rxRing, error) {
		tries.Add(1)
		return -1, nil, unix.ENOMEM
	}
	p.mu.Unlock()
	r := lookedAt(t, p, looks[0].look)
	r.mayLose()
	for round := range 2 {
		before := r.total.Load()
		r.mu.Lock()
		h.rawAll("eth0", flowFrames(DefaultSlots+2000, 1, round*20000))
		r.mu.Unlock()
		eventually(t, "what the ring holds", func() bool { return r.total.Load()-before >= DefaultSlots })
		eventually(t, "that the port tells", func() bool {
			return strings.Contains(p.Info().How, "not for more") && strings.Contains(p.Info().How, unix.ENOMEM.Error())
		})
	}
	if tries.Load() != 1 || p.slots() != DefaultSlots || p.Info().Problem != "" {
		t.Errorf("%d tries, room for %d, %+v", tries.Load(), p.slots(), p.Info())
	}
}

// TestRingCannotMove: a port whose frames cannot be had to come to the longer ring goes on with what it has.
func TestRingCannotMove(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("sw0").(*afpacket)
	in := p.intakes[0]
	fd, ring, err := receivingSocket(GrownSlots, true)
	sw.must(err)
	b, err := newWaker(fd, ringTick) // without a filter: none can be taken off
	sw.must(err)
	in.grows.Store(false)
	in.spare.Store(&spare{ring: ring, waker: b, index: sw.link("sw0").Attrs().Index})
	r := lookedAt(t, p, looks[0].look)
	eventually(t, "that the port tells", func() bool { return strings.Contains(p.Info().How, "SO_DETACH_FILTER") })
	h.rawAll("eth0", flowFrames(100, 1, 0))
	eventually(t, "frames", func() bool { return r.total.Load() == 100 })
	if p.slots() != DefaultSlots || in.spare.Load() != nil || in.grows.Load() || ring.users.Load() != 0 {
		t.Errorf("room for %d", p.slots())
	}
}

// TestRingGrowsAmidChanges: a ring may grow while the link is switched, while the device is made anew, while the port leaves its ring and while
// it ends. No socket is left over, and a port that is there receives.
func TestRingGrowsAmidChanges(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	for round := range 8 {
		cable(h, "eth0", sw, "sw0", 1500)
		p := sw.port("sw0").(*afpacket)
		in := p.intakes[0]
		r := lookedAt(t, p, looks[round%len(looks)].look)
		r.mayLose()
		var changes sync.WaitGroup
		changes.Go(func() {
			for range 6 {
				if ring := in.ring.Load(); ring != nil && in.grows.CompareAndSwap(true, false) { // as press does
					p.grow(in, ring)
				}
				time.Sleep(time.Millisecond)
			}
		})
		changes.Go(func() {
			for i := range 4 {
				if err := p.SetUp(i%2 == 1); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, unix.ENODEV) && p.Info().Present {
					t.Error(err)
				}
			}
		})
		switch round % 4 {
		case 1:
			sw.must(sw.net.LinkDel(sw.link("sw0")))
			cable(h, "eth0", sw, "sw0", 1500)
		case 2:
			p.leaveRing(in, in.ring.Load())
		case 3:
			sw.must(p.Close())
		}
		changes.Wait()
		if round%4 != 3 {
			if sw.link("sw0").Attrs().OperState != 6 {
				sw.up("sw0")
			}
			seq := 0
			eventually(t, "frames", func() bool {
				h.rawAll("eth0", flowFrames(1, 1, seq))
				seq++
				return r.total.Load() > 0
			})
			eventually(t, "one socket", func() bool { return sw.listening() == 1 })
		}
		sw.must(p.Close())
		r.group.Wait()
		if n := sw.listening(); n != 0 || sw.link("sw0").Attrs().Promisc != 0 || in.spare.Load() != nil {
			t.Errorf("round %d: %d sockets left", round, n)
		}
		sw.must(sw.net.LinkDel(sw.link("sw0")))
	}
}
