package ports

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// TestLinksLostEvents overruns the netlink socket: after ENOBUFS everything is
// listed anew, what was removed meanwhile included.
func TestLinksLostEvents(t *testing.T) {
	s := newSpace(t)
	if err := s.links.events.SetReceiveBufferSize(1, true); err != nil { // the kernel's least
		t.Fatal(err)
	}
	hold, held := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	leave := s.links.subscribe(func() {
		if calls.Add(1) == 1 {
			close(held)
			<-hold
		}
	})
	defer leave()
	add := func(name string) {
		v := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: name + "p"}
		v.Name = name
		s.must(s.net.LinkAdd(v))
	}
	add("first")
	<-held // the watcher stands still from here on
	for i := range 30 {
		add(fmt.Sprintf("v%d", i))
	}
	s.must(s.net.LinkDel(s.link("first")))
	s.must(s.net.LinkSetUp(s.link("v29")))
	close(hold)
	eventually(t, "all is known again", func() bool {
		_, first := s.links.name("first")
		all := 0
		for i := range 30 {
			if _, ok := s.links.name(fmt.Sprintf("v%d", i)); ok {
				all++
			}
		}
		last, _ := s.links.name("v29")
		return !first && all == 30 && last.adminUp
	})
}

// TestLinksLostCarrierAtOnce: a port is down as soon as the kernel says that the carrier is gone, also while every question
// to the kernel has to wait; and what is asked later does not contradict.
func TestLinksLostCarrierAtOnce(t *testing.T) {
	s, h := newSpace(t), newSpace(t)
	cable(s, "eth1", h, "eth0", 1500)
	p := s.port("eth1")
	eventually(t, "link up", func() bool { return p.Info().LinkUp })
	before := p.Info()
	down := func() bool { // an earlier event may still be on its way, and its question waits then
		s.links.asking.Lock()
		defer s.links.asking.Unlock()
		s.must(h.net.LinkSetDown(h.link("eth0")))
		// Soon after another change the kernel waits with this: of lost carriers it tells once a second.
		for end := time.Now().Add(2 * time.Second); p.Info().LinkUp && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		return !p.Info().LinkUp
	}
	for try := 0; !down(); try++ {
		if try == 9 {
			t.Fatal("the port stays up until it may ask")
		}
		s.must(h.net.LinkSetUp(h.link("eth0")))
		eventually(t, "link up again", func() bool { return p.Info().LinkUp })
	}
	if in := p.Info(); !in.Present || !in.AdminUp || in.Speed != before.Speed {
		t.Errorf("%+v", in)
	}
	s.must(h.net.LinkSetUp(h.link("eth0")))
	eventually(t, "link up again", func() bool { return p.Info().LinkUp })
}

// TestLinksBridgePort: leaving a bridge is told with the same message as
// ceasing to exist, in another family.
func TestLinksBridgePort(t *testing.T) {
	s, h := newSpace(t), newSpace(t)
	cable(s, "eth1", h, "eth0", 1500)
	p := s.port("eth1")
	br := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	br.Name = "lb"
	s.must(s.net.LinkAdd(br))
	s.must(s.net.LinkSetMaster(s.link("eth1"), br))
	s.must(s.net.LinkSetNoMaster(s.link("eth1")))
	s.must(s.net.LinkSetMTU(s.link("eth1"), 1600)) // told after all that
	eventually(t, "the change behind it", func() bool { return p.Info().MTU == 1600 })
	if in := p.Info(); !in.Present || !in.LinkUp {
		t.Errorf("%+v", in)
	}
}

// TestLinksSameIndex: an interface that is replaced by another with the same
// name and index is bound anew.
func TestLinksSameIndex(t *testing.T) {
	s := newSpace(t)
	s.quiet()
	add := func() {
		v := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "peer"}
		v.Name, v.Index = "eth1", 77
		s.must(s.net.LinkAdd(v))
		s.up("peer")
		s.up("eth1")
	}
	add()
	p := s.port("eth1")
	for range 3 {
		s.must(s.net.LinkDel(s.link("eth1")))
		add()
		frames := []*packet.Frame{packet.NewFrame(2000)}
		eventually(t, "a frame through the new one", func() bool {
			s.raw("peer", testFrame("", 99))
			n, _ := p.Read(frames)
			return n == 1
		})
	}
}

// TestLinksOwn: a port without Options.Links makes its own and closes it.
func TestLinksOwn(t *testing.T) {
	s, h := newSpace(t), newSpace(t)
	cable(s, "eth1", h, "eth0", 1500)
	spec, _ := ParseSpec("eth1")
	var p Port
	s.must(s.do(func() (err error) {
		p, err = Open(spec, Options{})
		return err
	}))
	s.must(s.net.LinkSetMTU(s.link("eth1"), 1600))
	eventually(t, "the new MTU", func() bool { return p.Info().MTU == 1600 })
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.(*afpacket).links.stopped:
	default:
		t.Error("the watcher still runs")
	}
	if err := s.links.Close(); err != nil {
		t.Error(err)
	}
	if err := s.links.Close(); err != nil {
		t.Error("closed again:", err)
	}
}

// TestVnetHeader reads back what was written, as the kernel lays it out.
func TestVnetHeader(t *testing.T) {
	o := packet.Offload{NeedsCsum: true, ECN: true, GSO: packet.GSOTCPv6, GSOSize: 1440, CsumStart: 54, CsumOffset: 16}
	var h vnetHdr
	h.set(&o, 86)
	want := []byte{unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV6 | unix.VIRTIO_NET_HDR_GSO_ECN}
	for _, v := range []uint16{86, 1440, 54, 16} {
		want = binary.NativeEndian.AppendUint16(want, v)
	}
	if string(h[:]) != string(want) {
		t.Errorf("%x, want %x", h, want)
	}
	o.HdrLen = 86
	if got, ok := h.offload(); !ok || got != o {
		t.Errorf("%+v, want %+v", got, o)
	}
	h[1] = 99
	if _, ok := h.offload(); ok {
		t.Error("an unknown kind of segmentation was taken")
	}
}

// TestLeaseExchange: a sleeper wakes when the descriptor changes under it,
// when there is none, and when it is dead.
func TestLeaseExchange(t *testing.T) {
	l := newLease()
	woke := make(chan error, 100)
	go func() {
		for {
			err := l.wait()
			woke <- err
			if err != nil {
				return
			}
		}
	}()
	expect := func(what string, want error) {
		t.Helper()
		select {
		case err := <-woke:
			if err != want {
				t.Fatalf("%s: %v", what, err)
			}
		case <-time.After(inTime):
			t.Fatalf("%s: sleeps on", what)
		}
	}
	pair := func() (int, int) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fds[1]) })
		return fds[0], fds[1]
	}
	a, farA := pair()
	time.Sleep(10 * time.Millisecond)
	if err := l.put(a); err != nil {
		t.Fatal(err)
	}
	expect("there is one now", nil)
	b, _ := pair()
	time.Sleep(10 * time.Millisecond)
	if err := l.put(b); err != nil {
		t.Fatal(err)
	}
	expect("another one", nil)
	if _, err := unix.Write(farA, []byte("x")); err == nil {
		t.Error("the first is still open")
	}
	l.dead.Store(true)
	time.Sleep(10 * time.Millisecond)
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	for err := error(nil); err == nil; {
		select {
		case err = <-woke:
		case <-time.After(inTime):
			t.Fatal("sleeps on after close")
		}
	}
	c, _ := pair()
	if err := l.put(c); err != ErrClosed {
		t.Errorf("put after close: %v", err)
	}
}

// TestLinksAskedForCarrier: of a port whose cable is pulled again and again the kernel tells once a second; who asks knows
// at once, and hears of its return.
func TestLinksAskedForCarrier(t *testing.T) {
	s, h := newSpace(t), newSpace(t)
	cable(s, "eth1", h, "eth0", 1500)
	p := s.port("eth1")
	for range 5 {
		eventually(t, "link up", func() bool { return p.Info().LinkUp })
		p.(CarrierAsker).AskCarrier()
		if !p.Info().LinkUp {
			t.Fatal("the link is down while the cable is in")
		}
		s.must(h.net.LinkSetDown(h.link("eth0")))
		p.(CarrierAsker).AskCarrier()
		if in := p.Info(); in.LinkUp || !in.Present || !in.AdminUp {
			t.Fatalf("after the cable was pulled: %+v", in)
		}
		s.must(h.net.LinkSetUp(h.link("eth0")))
	}
	s.must(p.Close())
	p.(CarrierAsker).AskCarrier()
}

// TestLinksHearWhileTheyAsk: while a question about one interface waits, the loss of another's carrier is heard.
func TestLinksHearWhileTheyAsk(t *testing.T) {
	s, h := newSpace(t), newSpace(t)
	cable(s, "eth1", h, "eth0", 1500)
	cable(s, "eth3", h, "eth2", 1500)
	p := s.port("eth1")
	eventually(t, "link up", func() bool { return p.Info().LinkUp })
	s.links.asking.Lock()
	answer := sync.OnceFunc(s.links.asking.Unlock)
	t.Cleanup(answer)
	s.must(s.net.LinkSetMTU(s.link("eth3"), 1400)) // told before what follows
	s.must(h.net.LinkSetDown(h.link("eth0")))
	eventually(t, "link down, though a question waits", func() bool { return !p.Info().LinkUp })
	answer()
	eventually(t, "the answer to it", func() bool { got, _ := s.links.name("eth3"); return got.mtu == 1400 })
}
