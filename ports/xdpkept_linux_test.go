package ports

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// size is how much is kept, in bytes.
func (k *kept) size() (bytes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range k.queues {
		bytes += len(m.bytes)
	}
	return bytes
}

// TestKeptMemory: memory is kept until its queue is another socket's, or until its time is over; and only what cannot be proved to be
// free makes too much.
func TestKeptMemory(t *testing.T) {
	k := &kept{lag: time.Hour, most: 3000}
	there := func(index int) bool { return index < 10 }
	for i := range 5 {
		k.keep(xdpQueue{1, i}, make([]byte, 1000))
		k.keep(xdpQueue{20, i}, make([]byte, 600))
	}
	if bytes, is := k.tooMuch(there); bytes != 3000 || !is {
		t.Errorf("%d bytes of interfaces that are gone, too much: %t", bytes, is)
	}
	k.release(xdpQueue{20, 4})
	k.release(xdpQueue{20, 4}) // nothing is there
	if bytes, is := k.tooMuch(there); bytes != 2400 || is {
		t.Errorf("%d bytes of interfaces that are gone, too much: %t", bytes, is)
	}
	for i := range 5 {
		k.release(xdpQueue{1, i})
	}
	if got := k.size(); got != 2400 {
		t.Errorf("%d bytes are kept", got)
	}
	k = &kept{lag: time.Millisecond}
	k.keep(xdpQueue{1, 0}, make([]byte, 1000))
	eventually(t, "nothing kept", func() bool { return k.size() == 0 })
	k.lag = time.Hour
	k.keep(xdpQueue{1, 0}, make([]byte, keptMost))
	if bytes, is := k.tooMuch(there); is {
		t.Errorf("%d bytes of an interface that is there are too much", bytes)
	}
	if bytes, is := k.tooMuch(func(int) bool { return false }); !is {
		t.Errorf("%d bytes of one that is gone are not too much", bytes)
	}
}

// TestXDPFlapsKeepMemoryOfOneSocket: a port whose driver shares its memory may be closed and opened, and its ring may grow, as often as
// anybody likes. A veth in the place of such a driver does all but share.
func TestXDPFlapsKeepMemoryOfOneSocket(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	kept := &sw.links.kept
	for range 3 {
		p := sw.port("xdp:sw0").(*afxdp)
		if got := kept.size(); got != 0 {
			t.Fatalf("%d bytes are kept while the queue is another socket's", got)
		}
		share := func() (memory int) {
			p.use.Lock()
			defer p.use.Unlock()
			p.lines.queues[0].zeroCopy = true
			return len(p.lines.queues[0].memory)
		}
		share()
		p.mu.Lock()
		err := p.enlarge(p.lines, 2*xdpRingFirst)
		p.mu.Unlock()
		if err != nil || kept.size() != 0 {
			t.Fatalf("%d bytes are kept after an exchange of sockets: %v", kept.size(), err)
		}
		for range 3 {
			memory := share()
			p.mu.Lock()
			p.detach()
			if got := kept.size(); got != memory {
				t.Errorf("%d bytes are kept, not %d", got, memory)
			}
			err := p.attach(p.link)
			p.mu.Unlock()
			if err != nil || kept.size() != 0 {
				t.Fatalf("%d bytes are kept: %v", kept.size(), err)
			}
		}
		h.raw("eth0", testFrame("", 60))
		if got := read(t, p, 1); len(got) != 1 {
			t.Errorf("no frame: %+v", countersOf(p))
		}
		memory := share()
		sw.must(p.Close())
		if got := kept.size(); got != memory {
			t.Errorf("%d bytes are kept, not %d", got, memory)
		}
	}
}

// TestXDPCopiesWhenTooMuchIsKept: a port works without sharing memory while too much of it is kept, says so, and shares the next time.
func TestXDPCopiesWhenTooMuchIsKept(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	const gone = 1 << 30
	kept := &sw.links.kept
	kept.most = 4 << 20
	for _, c := range []struct {
		index  int
		spec   string
		copies bool
	}{
		{gone, "xdp:sw0", true},
		{gone, "xdp:sw0,mode=native", true},
		{sw.link("lo").Attrs().Index, "xdp:sw0", false},
	} {
		kept.keep(xdpQueue{c.index, 0}, make([]byte, 5<<20))
		p := sw.port(c.spec).(*afxdp)
		if forced := p.lines.flags&unix.XDP_COPY != 0; forced != c.copies {
			t.Errorf("%s with the memory of interface %d: copies %t", c.spec, c.index, forced)
		}
		if how := p.Info().How; strings.Contains(how, "frames are copied because drivers may still write to 5 MiB of interfaces that are gone") != c.copies {
			t.Error(how)
		}
		h.raw("eth0", testFrame("", 60))
		if got := read(t, p, 1); len(got) != 1 {
			t.Errorf("no frame: %+v", countersOf(p))
		}
		sw.must(p.Close())
		kept.release(xdpQueue{c.index, 0})
	}
}
