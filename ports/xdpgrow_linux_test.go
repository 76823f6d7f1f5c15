package ports

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// TestFramesOfQueues: a device's queues share the memory as long as each has enough.
func TestFramesOfQueues(t *testing.T) {
	for _, c := range []struct{ room, queues, want int }{
		{2048, 1, 2048}, {2048, 2, 1024}, {2048, 3, 512}, {2048, 4, 512}, {2048, 64, 512},
		{32768, 1, 32768}, {32768, 3, 8192}, {32768, 64, 512}, {512, 1, 512},
	} {
		if got := xdpRxFor(c.room, c.queues); got != c.want {
			t.Errorf("%d queues with room for %d: %d frames each, not %d", c.queues, c.room, got, c.want)
		}
	}
}

// TestRoomFor: a ring grows by what was lost, and at least eight times.
func TestRoomFor(t *testing.T) {
	for _, c := range []struct{ room, lost, want int }{
		{2048, 1, 16384}, {2048, 14336, 16384}, {2048, 14337, 32768}, {2048, 50000, 32768}, {8192, 1, 32768}, {16384, 1, 32768},
	} {
		if got := xdpRoomFor(c.room, c.lost, xdpRingMost); got != c.want {
			t.Errorf("%d lost with room for %d: room for %d, not %d", c.lost, c.room, got, c.want)
		}
	}
}

// TestXDPPace: what may come in a time is judged by the last second or by this one, whichever had more, and by no less than a
// tenth of a second of it.
func TestXDPPace(t *testing.T) {
	born := time.Now()
	var c pace
	c.mark(born, 0)
	for _, s := range []struct {
		after time.Duration
		count uint64
		want  int
	}{
		{0, 0, 0},
		{time.Millisecond, 1000, 400}, // as if in 100 ms
		{time.Second, 1000, 40},
	} {
		if got := c.within(40*time.Millisecond, born.Add(s.after), s.count); got != s.want {
			t.Errorf("%d frames in %v: %d, not %d", s.count, s.after, got, s.want)
		}
	}
	c.mark(born.Add(time.Second), 500000)
	if got := c.within(40*time.Millisecond, born.Add(2*time.Second), 500010); got != 20000 {
		t.Errorf("%d after a second with many", got)
	}
	c.mark(born.Add(2*time.Second), 500010)
	if got := c.within(40*time.Millisecond, born.Add(2*time.Second), 500010); got != 0 {
		t.Errorf("%d after one with few", got)
	}
}

// TestXDPKeepsRoom: a ring that has lost less than the exchange of its sockets would stays, until it has lost as much.
func TestXDPKeepsRoom(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("xdp:sw0").(*afxdp)
	lose := func(n int) {
		p.counting.Lock()
		p.short += n
		p.pace.at, p.pace.count = time.Now(), p.arrived()-100000 // that many came just now: a tenth of a second of a million
		p.counting.Unlock()
		p.grow()
	}
	lose(2000)
	if room, each := roomOf(p); room != xdpRingFirst || each != xdpRingFirst {
		t.Errorf("room for %d, %d each", room, each)
	}
	lose(60000)
	if room, each := roomOf(p); room == xdpRingFirst || each != room {
		t.Errorf("room for %d, %d each", room, each)
	}
}

// flowFrames are n frames of so many flows, each flow's numbered from seq on.
func flowFrames(n, flows, seq int) (frames [][]byte) {
	for i := range n {
		frames = append(frames, flowFrame(i%flows, seq+i/flows, 60, false))
	}
	return frames
}

// roomOf is how many frames an xdp port has room for, and its queues each.
func roomOf(p Port) (room, each int) {
	x := p.(*afxdp)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.lines == nil {
		return x.room, 0
	}
	return x.room, int(x.lines.queues[0].rx.mask) + 1
}

// delivered is what the device has given to the program.
func (s *space) delivered() uint64 { return s.link("sw0").Attrs().Statistics.RxPackets }

// accounted waits until each frame that came to sw0 since was read by the port or counted as lost.
func accounted(t *testing.T, sw *space, since uint64, p Port) {
	t.Helper()
	x := p.(*afxdp)
	eventually(t, "each frame to be read or counted", func() bool {
		x.use.RLock()
		if x.lines != nil {
			x.countLine(x.lines) // else once a second
		}
		x.use.RUnlock()
		v := countersOf(p)
		return sw.delivered()-since == v.RxPackets+v.RxDropped
	})
}

// TestXDPGrows: frames that come faster than they are read, and then cease, get more room. Every frame is read or counted, also
// those that come while sockets are exchanged, and each flow stays in order. Others go on with what they have.
func TestXDPGrows(t *testing.T) {
	for _, c := range []struct {
		text       string
		flows      int
		room, each int
	}{
		{"xdp:sw0", 1, 16384, 16384},
		{"xdp:sw0,mode=generic", 1, 16384, 16384},
		{"xdp:sw0,readers=2", 64, 16384, 4096},
		{"xdp:sw0,ring=1000", 1, 1024, 1024},
	} {
		t.Run(c.text, func(t *testing.T) {
			h, sw := newSpace(t), newSpace(t)
			h.quiet()
			sw.quiet()
			if c.flows > 1 {
				wideCable(h, sw)
			} else {
				cable(h, "eth0", sw, "sw0", 1500)
			}
			p := sw.port(c.text)
			was, _ := roomOf(p)
			start := sw.delivered()
			h.rawAll("eth0", flowFrames(2*was, c.flows, 0)) // nobody reads yet
			r := startReaders(t, p)
			r.mu.Lock()
			r.gaps = true
			r.mu.Unlock()
			seq := 2 * was / c.flows
			eventually(t, "room", func() bool {
				h.rawAll("eth0", flowFrames(c.flows, c.flows, seq)) // also meanwhile
				seq++
				room, each := roomOf(p)
				return room == c.room && each == c.each
			})
			h.rawAll("eth0", flowFrames(100*c.flows, c.flows, seq))
			accounted(t, sw, start, p)
			v := countersOf(p)
			if v.RxDropped != v.RxDrops[DropFull] || v.RxDropped == 0 {
				t.Errorf("%+v", v)
			}
			if told := strings.Contains(p.Info().How, "with room for"); told != (was != c.room) {
				t.Error(p.Info().How)
			}
			if p.(*afxdp).grow(); v.RxDropped != countersOf(p).RxDropped {
				t.Errorf("%+v", v)
			}
			if room, each := roomOf(p); room != c.room || each != c.each {
				t.Errorf("room for %d, %d each", room, each)
			}
			if p.Write([]*packet.Frame{frameOf(testFrame("", 60))}) != 1 {
				t.Errorf("not sent: %+v", countersOf(p))
			}
		})
	}
}

// TestXDPTooSlow: what no ring would have held does not make it longer.
func TestXDPTooSlow(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("xdp:sw0").(*afxdp)
	for _, c := range []struct{ lost, want int }{{0, xdpRingFirst}, {burstRings*xdpRingMost + 1, xdpRingFirst}, {burstRings * xdpRingMost, xdpRingMost}} {
		p.counting.Lock()
		p.short = c.lost
		p.counting.Unlock()
		p.grow()
		if room, each := roomOf(p); room != c.want || each != c.want {
			t.Errorf("%d lost: room for %d, %d each", c.lost, room, each)
		}
	}
}

// TestXDPGrowsWithManyQueues: sockets are exchanged for such that have more room, and not for others of the same size.
func TestXDPGrowsWithManyQueues(t *testing.T) {
	for queues, want := range map[int]int{24: 1024, 48: xdpRingLeast} {
		t.Run(fmt.Sprint(queues), func(t *testing.T) {
			h, sw := newSpace(t), newSpace(t)
			veryWideCable(h, sw, queues)
			p := sw.port("xdp:sw0").(*afxdp)
			was := p.lines.queues[0]
			p.counting.Lock()
			p.short = 1
			p.counting.Unlock()
			p.grow()
			if _, each := roomOf(p); each != want {
				t.Errorf("room for %d each, not %d", each, want)
			}
			if exchanged := p.lines.queues[0] != was; exchanged != (want != xdpRingLeast) {
				t.Errorf("exchanged: %t, %s", exchanged, p.Info().How)
			}
		})
	}
}

// TestXDPLentWhileGrowing: frames that a worker has still are what they were after their sockets have gone, and what was
// left to be sent and to be read is sent, and counted.
func TestXDPLentWhileGrowing(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	far, p := h.port("xdp:eth0"), sw.port("xdp:sw0").(*afxdp)
	sent := flowFrames(100, 1, 0)
	h.rawAll("eth0", sent)
	eventually(t, "the frames", func() bool { return p.lines.queues[0].rx.ready() == len(sent) })
	lent := frameBatch(30, 60)
	if n, err := p.Read(lent); n != len(lent) || err != nil {
		t.Fatal(n, err)
	}
	left := testFrame("", 60)
	p.sending.Lock()
	p.lines.queues[0].place(left) // as if the kernel had refused it
	p.sending.Unlock()
	p.mu.Lock()
	err := p.enlarge(p.lines, 4096)
	p.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	h.rawAll("eth0", flowFrames(4096, 1, 100))
	for i, f := range lent {
		if !bytes.Equal(f.Bytes(), sent[i]) {
			t.Errorf("frame %d is another: %x", i, f.Bytes())
		}
	}
	if v := countersOf(p); v.RxPackets != 30 || v.RxDrops[DropFull] != 70 {
		t.Errorf("%+v", v)
	}
	if got := read(t, p, 4096); len(got) != 4096 || !bytes.Equal(got[0], flowFrame(0, 100, 60, false)) {
		t.Errorf("%d frames: %+v", len(got), countersOf(p))
	}
	if got := read(t, far, 1); len(got) != 1 || !bytes.Equal(got[0], left) {
		t.Errorf("%x came of what was to be sent", got)
	}
}

// TestXDPCannotGrow: a port whose larger sockets are refused has its old size again, and tries it no more.
func TestXDPCannotGrow(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("xdp:sw0").(*afxdp)
	p.mu.Lock()
	p.lines.flags = unix.XDP_ZEROCOPY // a veth has none
	p.mu.Unlock()
	for range 2 {
		p.counting.Lock()
		p.short = 1
		p.counting.Unlock()
		p.grow()
		if room, each := roomOf(p); room != xdpRingFirst || each != xdpRingFirst {
			t.Errorf("room for %d, %d each", room, each)
		}
		h.raw("eth0", testFrame("", 60))
		if got := read(t, p, 1); len(got) != 1 {
			t.Errorf("no frame: %+v", countersOf(p))
		}
	}
}

// TestXDPGrowsAmidChanges: a ring may grow while the link is switched and while the port ends.
func TestXDPGrowsAmidChanges(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	wideCable(h, sw)
	for range 3 {
		p := sw.port("xdp:sw0,readers=2")
		r := startReaders(t, p)
		out := []*packet.Frame{frameOf(testFrame("", 60))}
		var others, changes sync.WaitGroup
		changes.Go(func() {
			for range 2 {
				p.(*afxdp).counting.Lock()
				p.(*afxdp).short = 1
				p.(*afxdp).counting.Unlock()
				p.(*afxdp).grow()
			}
		})
		changes.Go(func() {
			for i := range 6 {
				if err := p.(AdminSetter).SetUp(i%2 == 1); err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			}
		})
		others.Go(func() {
			for !p.(*afxdp).isClosed() {
				p.Write(out)
				time.Sleep(100 * time.Microsecond)
			}
		})
		changes.Wait()
		eventually(t, "the link", func() bool { return p.Info().LinkUp })
		if room, each := roomOf(p); room != xdpRingMost || each != xdpRingMost/4 {
			t.Errorf("room for %d, %d each", room, each)
		}
		r.forget()
		r.manyFlows(h, 3)
		p.(*afxdp).press()
		sw.must(p.Close())
		others.Wait()
		r.group.Wait()
	}
}

func (p *afxdp) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.device.closed
}

// TestXDPExchangeHoldsNobody: while a port's sockets are exchanged, which takes seconds where a driver has to make its queues
// anew, who writes to it or looks at it goes on at once, and the ports beside it hear of their links.
func TestXDPExchangeHoldsNobody(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	cable(h, "eth1", sw, "sw1", 1500)
	p, neighbour := sw.port("xdp:sw0").(*afxdp), sw.port("sw1")
	done := make(chan error, 1)
	p.counting.Lock() // the exchange gets no further
	go func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		done <- p.enlarge(p.lines, 4096)
	}()
	free := sync.OnceFunc(p.counting.Unlock)
	defer free()
	eventually(t, "an exchange that lets others look", func() bool {
		if !p.use.TryRLock() {
			return false
		}
		defer p.use.RUnlock()
		return p.lines == nil
	})
	frames := []*packet.Frame{frameOf(testFrame("", 60))}
	if n := p.Write(frames); n != 0 || countersOf(p).TxDrops[DropFull] != 1 {
		t.Errorf("%d taken: %+v", n, countersOf(p))
	}
	if n, err := p.Read(frames); n != 0 || err != nil || p.Ready() || p.Settle() {
		t.Errorf("%d frames, %v", n, err)
	}
	for _, up := range []bool{false, true} { // as a PORT_MOD does
		sw.must(p.SetUp(up))
		if is := sw.link("sw0").Attrs().RawFlags&unix.IFF_UP != 0; is != up {
			t.Errorf("switched to up=%t, up is %t", up, is)
		}
	}
	for i := range 3 { // the first event may be told to the neighbour before the port that is busy
		set := h.net.LinkSetDown
		if i%2 == 1 {
			set = h.net.LinkSetUp
		}
		h.must(set(h.link("eth1")))
		eventually(t, "the neighbour's link", func() bool { return neighbour.Info().LinkUp == (i%2 == 1) })
	}
	h.must(h.net.LinkSetDown(h.link("eth0")))
	free()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the port's own link", func() bool { return !p.Info().LinkUp })
	h.must(h.net.LinkSetUp(h.link("eth0")))
	eventually(t, "the link back", func() bool { return p.Info().LinkUp })
	sw.must(p.SetUp(false))
	if in := p.Info(); in.AdminUp || in.LinkUp {
		t.Errorf("switched off it is up: %+v", in)
	}
	sw.must(p.SetUp(true))
	eventually(t, "the link on again", func() bool { return p.Info().LinkUp })
	if n := p.Write(frames); n != 1 {
		t.Errorf("not sent: %+v", countersOf(p))
	}
}

// TestSlowAttachHoldsNoNeighbour: a port that is busy taking its interface keeps those beside it from nothing, in whatever order they
// are told of a change, and is told to be not there if it is to be switched meanwhile.
func TestSlowAttachHoldsNoNeighbour(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw0", 1500)
	slow := &slowLine{begun: make(chan struct{}), goOn: make(chan struct{})}
	d := &device{}
	sw.must(d.watchLinks(Spec{Kind: KindAFPacket, Name: "late", Target: "late"}, Options{Links: sw.links, Counters: new(Counters)}, slow))
	sw.must(d.start())
	neighbour := sw.port("sw0")
	cable(h, "eth1", sw, "late", 1500)
	<-slow.begun
	if err := d.SetUp(false); err == nil || !strings.Contains(err.Error(), "interface late is not there") {
		t.Error(err)
	}
	for i := range 10 {
		set := h.net.LinkSetDown
		if i%2 == 1 {
			set = h.net.LinkSetUp
		}
		h.must(set(h.link("eth0")))
		eventually(t, "the neighbour's link", func() bool { return neighbour.Info().LinkUp == (i%2 == 1) })
	}
	close(slow.goOn)
	eventually(t, "the late port", func() bool { return d.Info().LinkUp })
	d.stop()
}

// slowLine attaches when it is allowed to.
type slowLine struct{ begun, goOn chan struct{} }

func (s *slowLine) attach(link) error {
	close(s.begun)
	<-s.goOn
	return nil
}

func (s *slowLine) detach() {}

// TestXDPPaceOfKeptCounters: what an earlier port has counted into the same counters did not come in this one's first second.
func TestXDPPaceOfKeptCounters(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw0", 1500)
	kept := new(Counters)
	kept.CountRx(1e9, 60e9)
	spec, err := ParseSpec("xdp:sw0")
	sw.must(err)
	var opened Port
	sw.must(sw.do(func() (err error) {
		opened, err = Open(spec, Options{Links: sw.links, Counters: kept})
		return err
	}))
	defer func() { _ = opened.Close() }()
	p := opened.(*afxdp)
	p.counting.Lock()
	defer p.counting.Unlock()
	if n := p.pace.within(time.Second, time.Now(), p.arrived()); n > 1e6 {
		t.Errorf("%d frames a second since it began", n)
	}
}
