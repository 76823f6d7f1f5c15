package ports

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// raw sends one frame out of an interface, by a packet socket of its own.
func (s *space) raw(dev string, frame []byte) {
	s.t.Helper()
	s.must(s.do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: s.link(dev).Attrs().Index})
	}))
}

// quiet keeps a host from sending anything by itself.
func (s *space) quiet() {
	s.t.Helper()
	s.must(s.do(func() error {
		for _, f := range []string{"all", "default"} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+f+"/disable_ipv6", []byte("1"), 0); err != nil {
				return err
			}
		}
		return nil
	}))
}

// read collects n frames of a port, or what comes until nothing has for ten seconds.
func read(t *testing.T, p Port, n int) (got [][]byte) {
	t.Helper()
	frames := []*packet.Frame{packet.NewFrame(1 << 17), packet.NewFrame(1 << 17)}
	done, more := make(chan struct{}), make(chan struct{}, 1)
	go func() {
		defer close(done)
		for len(got) < n && p.Wait() == nil {
			k, err := p.Read(frames)
			if err != nil {
				return
			}
			for _, f := range frames[:k] {
				got = append(got, bytes.Clone(f.Bytes()))
			}
			if k > 0 {
				signal(more)
			}
		}
	}()
	for {
		select {
		case <-done:
			return got
		case <-more:
		case <-time.After(10 * time.Second):
			_ = p.Close()
			<-done
			return got
		}
	}
}

func testFrame(tags string, size int) []byte {
	b, err := hex.DecodeString("020000000002020000000001" + tags + "88b5")
	if err != nil {
		panic(err)
	}
	for len(b) < size {
		b = append(b, byte(len(b)))
	}
	return b
}

// TestTagsPutBack sends tagged frames: the kernel takes the outer tag off and
// the port puts it back.
func TestTagsPutBack(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("sw0")
	sent := [][]byte{
		testFrame("", 60), testFrame("", 1514), testFrame("8100600a", 64), testFrame("8100000a", 1518), testFrame("81006000", 64),
		testFrame("8100100a", 64), testFrame("88a8e00b", 64), testFrame("88a8e00b8100600a", 100), testFrame("8100600a8100600b", 100),
		testFrame("9100600a", 100), testFrame("88a8000a88a8000b8100000c", 200), testFrame("8100600a", 20),
	}
	for _, f := range sent {
		h.raw("eth0", f)
	}
	got := read(t, p, len(sent))
	if len(got) != len(sent) {
		t.Fatalf("%d frames came of %d: %+v", len(got), len(sent), countersOf(p))
	}
	for i := range sent {
		if !bytes.Equal(got[i], sent[i]) {
			t.Errorf("frame %d\n got %x\nsent %x", i, got[i][:24], sent[i][:18])
		}
	}
	if v := countersOf(p); v.RxPackets != uint64(len(sent)) || v.RxDropped != 0 {
		t.Errorf("counters: %+v", v)
	}
}

// TestFrameSizes sends what fits and what does not.
func TestFrameSizes(t *testing.T) {
	for _, c := range []struct {
		tags   string
		size   int
		taken  int
		reason DropReason
	}{
		{"", 1514, 1, 0},
		{"", 1515, 0, DropTooBig},
		{"8100000a", 1518, 1, 0},
		{"8100000a", 1519, 0, DropTooBig},
		{"88a8000a", 1514, 1, 0},
		{"88a8000a", 1518, 0, DropTooBig}, // the kernel's own limit: see afpacket
		{"88a8000a8100000b", 1518, 0, DropTooBig},
		{"88a8000a8100000b", 1514, 1, 0},
	} {
		h, sw := newSpace(t), newSpace(t)
		h.quiet()
		sw.quiet()
		cable(h, "eth0", sw, "sw0", 1500)
		in, out := h.port("eth0"), sw.port("sw0")
		f := packet.NewFrame(2000)
		f.SetBytes(testFrame(c.tags, c.size))
		if taken := out.Write([]*packet.Frame{f}); taken != c.taken {
			t.Errorf("%q %d bytes: taken %d, want %d: %+v", c.tags, c.size, taken, c.taken, countersOf(out))
		}
		if v := countersOf(out); c.taken == 0 && v.TxDrops[c.reason] != 1 || v.TxDropped != uint64(1-c.taken) {
			t.Errorf("%q %d bytes: counters %+v", c.tags, c.size, v)
		}
		if c.taken == 1 {
			if got := read(t, in, 1); len(got) != 1 || !bytes.Equal(got[0], f.Bytes()) {
				t.Errorf("%q %d bytes: it did not arrive as sent", c.tags, c.size)
			}
		}
	}
}

// TestSmallRoom: a frame that the reader has no room for is counted, and the
// ones around it arrive in order.
func TestSmallRoom(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("sw0,ring=no") // frames of a ring need no room
	for _, size := range []int{60, 1000, 61, 62} {
		h.raw("eth0", testFrame("", size))
	}
	frames := make([]*packet.Frame, 8)
	for i := range frames {
		frames[i] = packet.NewFrame(200)
	}
	_ = p.Wait()
	n, err := p.Read(frames)
	if n != 3 || err != nil || frames[0].Len() != 60 || frames[1].Len() != 61 || frames[2].Len() != 62 {
		t.Fatalf("%d frames, %v", n, err)
	}
	if v := countersOf(p); v.RxDrops[DropNoRoom] != 1 || v.RxPackets != 3 {
		t.Errorf("counters: %+v", v)
	}
}

// TestDropsAtTheEndOfABurst: what a socket without a ring had no room for is counted when it has been read empty, though no
// frame comes afterwards; and a socket that takes its place counts anew.
func TestDropsAtTheEndOfABurst(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("sw0,ring=no").(*afpacket)
	in := p.intakes[0]
	fd, err := in.lease.hold()
	sw.must(err)
	sw.must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 20000))
	in.lease.release()
	const sent = 200
	for range sent {
		h.raw("eth0", testFrame("", 60))
	}
	frames := frameBatch(batch, 2000)
	sw.must(p.Wait())
	for n := 1; n > 0; {
		n, err = p.Read(frames)
		sw.must(err)
	}
	for range 2 { // it is counted once
		p.Settle()
	}
	v := countersOf(p)
	if v.RxDrops[DropFull] == 0 || v.RxPackets == 0 || v.RxPackets+v.RxDrops[DropFull] != sent || v.RxDropped != v.RxDrops[DropFull] {
		t.Errorf("of %d: %+v", sent, v)
	}
	if in.rx.lost(in.rx.drops-1) != 0 {
		t.Error("a frame that was queued earlier counted again")
	}
	next, _, err := receivingSocket(0, false)
	sw.must(err)
	if sw.must(in.exchange(next, nil)); in.rx.drops != 0 {
		t.Errorf("a new socket begins with %d lost", in.rx.drops)
	}
}

// TestComesAndGoes: the device is made after the port, switched off and on,
// renamed, removed and made again.
func TestComesAndGoes(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	changes := make(chan struct{}, 1000)
	spec, _ := ParseSpec("sw0")
	var p Port
	sw.must(sw.do(func() (err error) {
		p, err = Open(spec, Options{Links: sw.links, OnChange: func() { changes <- struct{}{} }})
		return err
	}))
	t.Cleanup(func() { _ = p.Close() })
	if in := p.Info(); in.Present || in.LinkUp || !strings.Contains(in.Problem, "sw0") {
		t.Fatalf("before there is a device: %+v", in)
	}
	state := func(what string, ok func(Info) bool) {
		t.Helper()
		eventually(t, what, func() bool { return ok(p.Info()) })
		select {
		case <-changes:
		case <-time.After(inTime):
			t.Fatalf("%s: nobody was told", what)
		}
	}
	pass := func(what string) {
		t.Helper()
		h.raw("eth0", testFrame("", 77))
		frames := []*packet.Frame{packet.NewFrame(2000)}
		eventually(t, "a frame, "+what, func() bool {
			n, _ := p.Read(frames)
			return n == 1 && frames[0].Len() == 77
		})
		if n := p.Write(frames); n != 1 {
			t.Fatalf("%s: not sent", what)
		}
	}
	up := func(in Info) bool { return in.LinkUp && in.Problem == "" }
	cable(h, "eth0", sw, "sw0", 1500)
	state("up", up)
	pass("new")
	if in := p.Info(); in.MTU != 1500 || in.Speed != 10_000_000 || in.Duplex != DuplexFull || in.Device != "sw0" ||
		!bytes.Equal(in.MAC, sw.link("sw0").Attrs().HardwareAddr) {
		t.Errorf("info %+v", in)
	}
	sw.must(sw.net.LinkSetDown(sw.link("sw0")))
	state("switched off", func(in Info) bool { return in.Present && !in.AdminUp && !in.LinkUp })
	sw.up("sw0")
	state("on again", up)
	pass("on again")
	h.must(h.net.LinkSetDown(h.link("eth0")))
	state("no carrier", func(in Info) bool { return in.AdminUp && !in.LinkUp })
	h.up("eth0")
	state("carrier", up)
	sw.must(sw.net.LinkSetMTU(sw.link("sw0"), 2000))
	state("MTU", func(in Info) bool { return in.MTU == 2000 })
	sw.must(sw.net.LinkSetName(sw.link("sw0"), "other")) // Linux renames interfaces that are up since 6.2
	state("renamed", func(in Info) bool { return in.Device == "other" && in.LinkUp })
	pass("renamed")
	for range 3 {
		h.must(h.net.LinkDel(h.link("eth0")))
		state("removed", func(in Info) bool { return !in.Present && !in.LinkUp })
		cable(h, "eth0", sw, "sw0", 1500)
		state("back", up)
		pass("back")
	}
}

// TestReplugUnderTraffic removes and makes a veth while frames are written and
// read.
func TestReplugUnderTraffic(t *testing.T) {
	a, b, sw := newSpace(t), newSpace(t), newSpace(t)
	cable(a, "eth0", sw, "sw1", 1500)
	cable(b, "eth0", sw, "sw2", 1500)
	p1, p2 := sw.port("sw1"), sw.port("sw2")
	forward(t, p1, p2)
	a.address("eth0", "10.0.0.1/24")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // a writer of its own, beside the forwarder
		defer close(stopped)
		f := packet.NewFrame(2000)
		f.SetBytes(testFrame("", 300))
		for {
			select {
			case <-stop:
				return
			default:
				p2.Write([]*packet.Frame{f, f, f})
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	for i := range 5 { // the port keeps its counters and comes back each time
		b.must(b.net.LinkDel(b.link("eth0")))
		if i == 2 {
			time.Sleep(50 * time.Millisecond)
		}
		cable(b, "eth0", sw, "sw2", 1500)
		b.must(b.net.LinkSetHardwareAddr(b.link("eth0"), macB)) // the other host remembers it
		b.address("eth0", "10.0.0.2/24")
		awaitHost(t, a, "10.0.0.2")
	}
	close(stop)
	<-stopped
	if v := countersOf(p2); v.TxErrors+v.RxErrors != 0 || v.TxDrops[DropDevice] != 0 {
		t.Errorf("counters: %+v", v)
	}
}

// TestPromiscuous: on while the port is open, off when it is closed.
func TestPromiscuous(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw0", 1500)
	promisc := func() bool { return sw.link("sw0").Attrs().Promisc != 0 }
	p := sw.port("sw0")
	if !promisc() {
		t.Error("not promiscuous while open")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if promisc() {
		t.Error("still promiscuous after Close")
	}
}

// TestRestored: MTU and admin state that the port changed are put back.
func TestRestored(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("sw0,mtu=1400")
	if got := sw.link("sw0").Attrs().MTU; got != 1400 {
		t.Errorf("MTU %d", got)
	}
	eventually(t, "the new MTU, up", func() bool { return p.Info().MTU == 1400 && p.Info().LinkUp })
	if err := p.(AdminSetter).SetUp(false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "off", func() bool { return !p.Info().AdminUp && !p.Info().LinkUp })
	f := packet.NewFrame(100)
	f.SetBytes(testFrame("", 60))
	if p.Write([]*packet.Frame{f}) != 0 || countersOf(p).TxDrops[DropLinkDown] != 1 {
		t.Errorf("written to a port that is off: %+v", countersOf(p))
	}
	_ = p.Close()
	if a := sw.link("sw0").Attrs(); a.MTU != 1500 || a.RawFlags&unix.IFF_UP == 0 {
		t.Errorf("after Close: MTU %d flags %#x", a.MTU, a.RawFlags)
	}
}

// TestCloseWakes: a sleeping reader wakes, and everything says closed.
func TestCloseWakes(t *testing.T) {
	sw := newSpace(t)
	for _, text := range []string{"tap:t1", "nowhere"} {
		p := sw.port(text)
		woke := make(chan error)
		go func() {
			for {
				if err := p.Wait(); err != nil {
					woke <- err
					return
				}
				_, _ = p.Read([]*packet.Frame{packet.NewFrame(2000)})
			}
		}()
		time.Sleep(20 * time.Millisecond)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-woke:
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s: %v", text, err)
			}
		case <-time.After(inTime):
			t.Fatalf("%s: the reader sleeps on", text)
		}
		if _, err := p.Read(nil); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: Read: %v", text, err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("%s: closed again: %v", text, err)
		}
		if n := p.Write([]*packet.Frame{packet.NewFrame(10)}); n != 0 {
			t.Errorf("%s: written after Close", text)
		}
	}
	if _, err := sw.net.LinkByName("t1"); err == nil {
		t.Error("the tap is still there")
	}
}

// tap makes a tap that stays, as an administrator does.
func (s *space) tap(name string, flags netlink.TuntapFlag) {
	s.t.Helper()
	tt := &netlink.Tuntap{LinkAttrs: netlink.NewLinkAttrs(), Mode: netlink.TUNTAP_MODE_TAP, Flags: flags | netlink.TUNTAP_NO_PI}
	tt.Name = name
	if flags&netlink.TUNTAP_MULTI_QUEUE != 0 {
		tt.Queues = 1
	}
	s.must(s.do(func() error {
		if err := netlink.LinkAdd(tt); err != nil {
			return err
		}
		for _, f := range tt.Fds {
			_ = f.Close()
		}
		return nil
	}))
	s.up(name)
}

// TestTapKinds: made and removed; persistent and kept; with several queues;
// held by another; not a tap at all; removed under the port and made again.
func TestTapKinds(t *testing.T) {
	sw := newSpace(t)
	sw.quiet()
	sw.tap("keep", 0)
	sw.tap("multi", netlink.TUNTAP_MULTI_QUEUE)
	for _, name := range []string{"keep", "multi"} {
		p := sw.port("tap:" + name)
		eventually(t, name+" up", func() bool { return p.Info().LinkUp })
		sw.raw(name, testFrame("8100600a", 100))
		if got := read(t, p, 1); len(got) != 1 || !bytes.Equal(got[0], testFrame("8100600a", 100)) {
			t.Errorf("%s: %x", name, got)
		}
		_ = p.Close()
		sw.link(name) // must be there
	}
	held := sw.port("tap:keep")
	if err := sw.refused("tap:keep,name=second"); !strings.Contains(err, "a port of") {
		t.Error(err)
	}
	held.(*tap).claim.end()                   // as if no weir held it
	second := sw.port("tap:keep,name=second") // as with a guest's tap: the interface is used instead
	if _, ok := second.(*afpacket); !ok {
		t.Errorf("a tap that is held was opened as %T", second)
	}
	_ = second.Close()
	_ = held.Close()

	spec, _ := ParseSpec("tap:lo")
	if err := sw.do(func() error { _, err := Open(spec, Options{Links: sw.links}); return err }); err == nil {
		t.Error("lo was opened as a tap")
	} else {
		t.Log(err)
	}
	sw.tap("gone", 0)
	p := sw.port("tap:gone")
	eventually(t, "gone up", func() bool { return p.Info().LinkUp })
	sw.must(sw.net.LinkDel(sw.link("gone")))
	eventually(t, "gone is gone", func() bool { return !p.Info().Present })
	sw.tap("gone", 0)
	eventually(t, "gone is back", func() bool { return p.Info().LinkUp })
	sw.raw("gone", testFrame("", 100))
	if got := read(t, p, 1); len(got) != 1 {
		t.Error("nothing is read from a tap that came back")
	}
}

// TestMTUStays: a port that has given its interface an MTU tells no other one, also when some interface's change has it
// look before the kernel's word of that MTU has come.
func TestMTUStays(t *testing.T) {
	sw := newSpace(t)
	sw.quiet()
	for range 10 {
		p := sw.port("tap:vm1,mtu=1300").(*tap)
		sw.must(p.relink(0))
		if in := p.Info(); in.MTU != 1300 {
			t.Errorf("%+v", in)
		}
		sw.must(p.Close())
	}
}

// TestDeletedByAnother: what weir made and somebody else deleted is made again with its settings, and
// goes when the port closes.
func TestDeletedByAnother(t *testing.T) {
	sw := newSpace(t)
	sw.quiet()
	for name, spec := range map[string]string{
		"vm1": "tap:vm1,mtu=1300",
		"br0": "internal:br0,address=10.0.0.254/24,mac=02:aa:00:00:00:01,mtu=1400",
	} {
		p := sw.port(spec)
		eventually(t, name+" up", func() bool { return p.Info().LinkUp })
		before := p.Info()
		for range 3 {
			was := p.Info().IfIndex
			sw.must(sw.net.LinkDel(sw.link(name)))
			eventually(t, name+" made again", func() bool { return p.Info().LinkUp && p.Info().IfIndex != was })
		}
		now := p.Info()
		if now.MTU != before.MTU || !bytes.Equal(now.MAC, before.MAC) || now.Problem != "" {
			t.Errorf("%+v, before %+v", now, before)
		}
		list, err := sw.net.AddrList(sw.link(name), netlink.FAMILY_V4)
		if err != nil || len(list) != len(p.(*tap).spec.ArgAll("address")) {
			t.Errorf("%s has the addresses %v, %v", name, list, err)
		}
		done := make(chan [][]byte)
		go func() { done <- read(t, p, 1) }()
		sw.raw(name, testFrame("", 100))
		if got := <-done; len(got) != 1 || !bytes.Equal(got[0], testFrame("", 100)) {
			t.Errorf("%s: read %x", name, got)
		}
		_ = p.Close()
		if _, err := sw.net.LinkByName(name); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

// TestInternal: the bridge's own interface, with addresses, made twice.
func TestInternal(t *testing.T) {
	sw, h := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw1", 1500)
	h.address("eth0", "10.0.0.1/24", "fd00::1/64")
	for range 2 {
		p := sw.port("internal:br0,address=10.0.0.254/24,address=fd00::fe/64,mac=02:aa:00:00:00:01,mtu=1400")
		p1 := sw.port("sw1")
		forward(t, p, p1)
		awaitHost(t, sw, "10.0.0.1")
		awaitHost(t, sw, "fd00::1")
		if in := p.Info(); in.MAC.String() != "02:aa:00:00:00:01" || in.MTU != 1400 || !in.LinkUp || in.Kind != KindInternal {
			t.Errorf("%+v", in)
		}
		t.Logf("%.2f Gbit/s", transfer(t, h, sw, "10.0.0.254", 64<<20))
		_ = p.Close()
		_ = p1.Close()
		if _, err := sw.net.LinkByName("br0"); err == nil {
			t.Error("br0 is still there")
		}
	}
}

// TestKilled: a process that is killed leaves no tap and no promiscuous mode.
func TestKilled(t *testing.T) {
	const child = "WEIR_TEST_PORTS_CHILD"
	if os.Getenv(child) != "" {
		for _, text := range []string{"internal:br0,address=10.0.0.254/24", "eth1"} {
			spec, _ := ParseSpec(text)
			if _, err := Open(spec, Options{}); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = os.Stdout.WriteString("ready\n")
		select {}
	}
	sw, h := newSpace(t), newSpace(t)
	cable(sw, "eth1", h, "eth0", 1500)
	for range 2 { // the second finds what the first left, if anything
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.StdoutPipe()
		sw.must(err)
		sw.must(sw.do(cmd.Start))
		line := make([]byte, 6)
		if _, err := out.Read(line); err != nil || string(line) != "ready\n" {
			rest := make([]byte, 1000)
			n, _ := out.Read(rest)
			t.Fatalf("%q %v", string(line)+string(rest[:n]), err)
		}
		if sw.link("eth1").Attrs().Promisc == 0 {
			t.Error("not promiscuous")
		}
		sw.link("br0")
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if sw.link("eth1").Attrs().Promisc != 0 {
			t.Error("promiscuous after the kill")
		}
		if _, err := sw.net.LinkByName("br0"); err == nil {
			t.Error("br0 is still there")
		}
	}
}

// TestShaped: a queueing discipline on the device shapes what the switch
// sends, and what it has no room for is counted.
func TestShaped(t *testing.T) {
	a, b, sw := newSpace(t), newSpace(t), newSpace(t)
	cable(a, "eth0", sw, "sw1", 1500)
	cable(b, "eth0", sw, "sw2", 1500)
	index := sw.link("sw2").Attrs().Index
	const rate = 50_000_000 / 8
	sw.must(sw.net.QdiscAdd(&netlink.Tbf{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate: rate, Limit: 200_000, Buffer: netlink.Xmittime(rate, 20_000)}))
	p1, p2 := sw.port("sw1"), sw.port("sw2")
	forward(t, p1, p2)
	a.address("eth0", "10.0.0.1/24")
	b.address("eth0", "10.0.0.2/24")
	awaitHost(t, a, "10.0.0.2")
	got := transfer(t, a, b, "10.0.0.2", 8<<20)
	t.Logf("%.3f Gbit/s through a 50 Mbit/s shaper, drops %v", got, countersOf(p2).TxDrops)
	if got > 0.2 {
		t.Error("the shaper was passed by")
	}
}

// TestNoAllocations guards what runs per frame.
func TestNoAllocations(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	for _, pair := range [][2]Port{{h.port("eth0"), sw.port("sw0")}, {h.port("tap:t1"), sw.port("tap:t2")}} {
		frames := make([]*packet.Frame, 16)
		for i := range frames {
			frames[i] = packet.NewFrame(2000)
			frames[i].SetBytes(testFrame("8100600a", 200))
		}
		eventually(t, "both up", func() bool { return pair[0].Info().LinkUp && pair[1].Info().LinkUp })
		time.Sleep(100 * time.Millisecond) // until the watchers have taken in the making of it all
		if n := testing.AllocsPerRun(100, func() {
			pair[0].Write(frames)
			_, _ = pair[1].Read(frames)
			for _, f := range frames {
				f.SetLen(200)
			}
		}); n != 0 {
			t.Errorf("%T: %.1f allocations a batch", pair[0], n)
		}
	}
}
