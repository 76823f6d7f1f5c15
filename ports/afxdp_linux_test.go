package ports

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/weirswitch/weir/flowtable/packet"
)

// TestXDPTags sends frames with tags in them and, as a host with VLAN
// interfaces does, beside them. Both arrive with their tags.
func TestXDPTags(t *testing.T) {
	for _, mode := range []string{"native", "generic"} {
		t.Run(mode, func(t *testing.T) {
			h, sw := newSpace(t), newSpace(t)
			h.quiet()
			sw.quiet()
			cable(h, "eth0", sw, "sw0", 1500)
			p := sw.port("xdp:sw0,mode=" + mode)
			sent := [][]byte{
				testFrame("", 60), testFrame("", 1514), testFrame("8100600a", 64), testFrame("8100000a", 1518),
				testFrame("88a8e00b8100600a", 100), testFrame("8100600a8100600b", 100), testFrame("88a8000a88a8000b8100000c", 200), testFrame("", 14),
			}
			for _, f := range sent {
				h.raw("eth0", f)
			}
			got := read(t, p, len(sent))
			if len(got) != len(sent) {
				t.Fatalf("%d frames came of %d: %+v", len(got), len(sent), countersOf(p))
			}
			size := 0
			for i := range sent {
				size += len(sent[i])
				if !bytes.Equal(got[i], sent[i]) {
					t.Errorf("frame %d\n got %x\nsent %x", i, got[i][:18], sent[i])
				}
			}
			if v := countersOf(p); v.RxPackets != uint64(len(sent)) || v.RxBytes != uint64(size) || v.RxDropped != 0 {
				t.Errorf("counters: %+v", v)
			}
			if mode == "generic" {
				return
			}
			h.tagAll("eth0", 0x600a, 0x8100)
			h.raw("eth0", testFrame("", 60))
			h.raw("eth0", testFrame("88a8e00b", 60))
			got = read(t, p, 2)
			for i, want := range []string{"8100600a", "8100600a88a8e00b"} {
				if len(got) != 2 || !bytes.Equal(got[i][:18], testFrame(want, 18)[:18]) {
					t.Errorf("with a tag beside it: %x, want %s in it", got, want)
				}
			}
		})
	}
}

// xdpAttached is the number of the XDP program on an interface, 0 for none.
func (s *space) xdpAttached(dev string) uint32 {
	s.t.Helper()
	if x := s.link(dev).Attrs().Xdp; x != nil {
		return x.ProgId
	}
	return 0
}

// TestXDPSizes sends what fits and what does not.
func TestXDPSizes(t *testing.T) {
	for _, c := range []struct {
		mtu    int
		tags   string
		size   int
		taken  int
		reason DropReason
	}{
		{1500, "", 1514, 1, 0},
		{1500, "", 1515, 0, DropTooBig},
		{1500, "8100000a", 1518, 1, 0},
		{1500, "8100000a", 1519, 0, DropTooBig},
		{1500, "88a8000a8100000b", 1518, 1, 0},
		{1500, "88a8000a8100000b", 1522, 0, DropTooBig},
		{1500, "", 13, 0, DropTruncated},
		{3400, "", 3414, 1, 0},
		{3400, "8100000a", 3418, 1, 0},
	} {
		h, sw := newSpace(t), newSpace(t)
		h.quiet()
		sw.quiet()
		cable(h, "eth0", sw, "sw0", c.mtu)
		in, out := h.port("xdp:eth0"), sw.port("xdp:sw0")
		f := packet.NewFrame(4000)
		f.SetBytes(testFrame(c.tags, c.size)[:c.size])
		if taken := out.Write([]*packet.Frame{f}); taken != c.taken {
			t.Errorf("%q %d bytes: taken %d, want %d: %+v", c.tags, c.size, taken, c.taken, countersOf(out))
		}
		v := countersOf(out)
		if c.taken == 0 && v.TxDrops[c.reason] != 1 || v.TxDropped != uint64(1-c.taken) || v.TxPackets != uint64(c.taken) || v.TxBytes != uint64(c.taken*c.size) {
			t.Errorf("%q %d bytes: counters %+v", c.tags, c.size, v)
		}
		if c.taken == 1 {
			if got := read(t, in, 1); len(got) != 1 || !bytes.Equal(got[0], f.Bytes()) {
				t.Errorf("%q %d bytes: %d frames arrived: %+v", c.tags, c.size, len(got), countersOf(in))
			}
		}
	}
}

// TestXDPHeadroom pushes tags onto lent frames: there is room before each.
func TestXDPHeadroom(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("xdp:sw0")
	sent := testFrame("", 60)
	frames := []*packet.Frame{packet.NewFrame(0), packet.NewFrame(0), packet.NewFrame(0)}
	// All three are to be lent at once: what came in parts is given back, and three more are sent.
	for n := 0; n < 3; {
		for range 3 {
			h.raw("eth0", sent)
		}
		n = 0
		for total := 0; total < 3; total += n {
			if err := p.Wait(); err != nil {
				t.Fatal(err)
			}
			n, _ = p.Read(frames)
		}
	}
	for _, f := range frames {
		first := &f.Bytes()[12]
		for range packet.Headroom / 4 {
			f.InsertVLAN(0x8100, 5)
		}
		if b := f.Bytes(); len(b) != 60+packet.Headroom || !bytes.Equal(b[packet.Headroom+12:], sent[12:]) || !bytes.Equal(b[:12], sent[:12]) {
			t.Errorf("%x", b)
		}
		if &f.Bytes()[12+packet.Headroom] != first {
			t.Error("the frame was moved")
		}
	}
}

// TestXDPAllocates nothing for frames.
func TestXDPAllocates(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	a, b := h.port("xdp:eth0"), sw.port("xdp:sw0")
	out, in := []*packet.Frame{packet.NewFrame(100)}, []*packet.Frame{packet.NewFrame(0), packet.NewFrame(0)}
	out[0].SetBytes(testFrame("", 60))
	if n := testing.AllocsPerRun(200, func() {
		a.Write(out)
		for {
			if n, _ := b.Read(in); n > 0 {
				return
			}
			if b.Wait() != nil {
				t.Fatal("closed")
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// TestXDPLosses overruns a reader that does not read, and sends what is longer
// than its memory has room for. All is counted.
func TestXDPLosses(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	a, b := h.port("xdp:eth0"), sw.port("xdp:sw0")
	frames := make([]*packet.Frame, 32)
	for i := range frames {
		frames[i] = packet.NewFrame(100)
		frames[i].SetBytes(testFrame("", 60))
	}
	const xdpRx = xdpRingFirst
	const sent = 2 * xdpRx
	for taken := 0; taken < sent; {
		n := a.Write(frames)
		if taken += n; n < len(frames) {
			time.Sleep(restDelay)
		}
	}
	accounted := func() bool {
		v := countersOf(b)
		return v.RxPackets+v.RxDrops[DropFull] == countersOf(a).TxPackets && v.RxDrops[DropFull] >= sent-xdpRx && v.RxDropped == v.RxDrops[DropFull]
	}
	if got := read(t, b, xdpRx); len(got) != xdpRx {
		t.Errorf("%d frames were kept of %d", len(got), xdpRx)
	}
	eventually(t, "frames to be accounted for", accounted)
	if v := countersOf(a); v.TxPackets < sent || v.TxBytes != 60*v.TxPackets {
		t.Errorf("sender: %+v", v)
	}
}

// TestXDPOccupied asks for a device on which there is an XDP program already.
func TestXDPOccupied(t *testing.T) {
	for _, c := range []struct{ first, second string }{{"", ""}, {"", ",mode=generic"}, {",mode=generic", ""}, {",mode=generic", ",mode=generic"}} {
		h, sw := newSpace(t), newSpace(t)
		cable(h, "eth0", sw, "sw0", 1500)
		p := sw.port("xdp:sw0" + c.first)
		id := sw.xdpAttached("sw0")
		p.(*afxdp).claim.end() // or that would refuse
		spec, _ := ParseSpec("xdp:sw0" + c.second)
		err := sw.do(func() error {
			q, err := Open(spec, Options{Links: sw.links})
			if err == nil {
				_ = q.Close()
			}
			return err
		})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the XDP program %d (weir_port)", id)) || !strings.Contains(err.Error(), "ip link set dev sw0 xdp off") {
			t.Errorf("%+v: %v", c, err)
		}
		_ = p.Close()
		if id := sw.xdpAttached("sw0"); id != 0 {
			t.Errorf("%+v: program %d stayed", c, id)
		}
	}
}

// TestXDPTooLarge asks for what AF_XDP cannot do.
func TestXDPTooLarge(t *testing.T) {
	for _, c := range []struct {
		mtu  int
		text string
		says string
	}{
		{9000, "xdp:sw0", "AF_XDP takes 3818 at most"},
		{9000, "xdp:sw0,mode=generic", "AF_XDP takes 3818 at most"},
		{3800, "xdp:sw0", "try mode=generic"},
	} {
		h, sw := newSpace(t), newSpace(t)
		cable(h, "eth0", sw, "sw0", c.mtu)
		spec, _ := ParseSpec(c.text)
		err := sw.do(func() error {
			_, err := Open(spec, Options{Links: sw.links})
			return err
		})
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "plain sw0") {
			t.Errorf("%s at %d: %v", c.text, c.mtu, err)
		}
		if id := sw.xdpAttached("sw0"); id != 0 {
			t.Errorf("program %d stayed", id)
		}
	}
}

// TestXDPComesBack takes the device away and makes it again, switches it off and
// on, and changes its MTU: frames pass afterwards.
func TestXDPComesBack(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	p := sw.port("xdp:sw0")
	if i := p.Info(); i.Present || i.LinkUp || i.Problem == "" {
		t.Errorf("without a device: %+v", i)
	}
	sink := make(chan []byte, 64)
	var reader sync.WaitGroup
	reader.Go(func() {
		frames := []*packet.Frame{packet.NewFrame(0), packet.NewFrame(0)}
		for p.Wait() == nil {
			n, _ := p.Read(frames)
			for _, f := range frames[:n] {
				sink <- bytes.Clone(f.Bytes())
			}
		}
	})
	up := func(is bool) func() bool { return func() bool { return p.Info().LinkUp == is } }
	pass := func(what string, size int) {
		t.Helper()
		eventually(t, "link up "+what, up(true))
		want := testFrame("", size)
		h.raw("eth0", want)
		select {
		case got := <-sink:
			if !bytes.Equal(got, want) {
				t.Errorf("%s: %x", what, got)
			}
		case <-time.After(inTime):
			t.Fatalf("%s: no frame: %+v", what, countersOf(p))
		}
		f := packet.NewFrame(4000)
		f.SetBytes(want)
		if p.Write([]*packet.Frame{f}) != 1 {
			t.Errorf("%s: not sent: %+v", what, countersOf(p))
		}
	}
	for i := range 3 {
		cable(h, "eth0", sw, "sw0", 1500)
		pass(fmt.Sprint("made ", i), 60)
		if err := p.(AdminSetter).SetUp(false); err != nil {
			t.Fatal(err)
		}
		eventually(t, "link down", up(false))
		if err := p.(AdminSetter).SetUp(true); err != nil {
			t.Fatal(err)
		}
		pass("switched on", 60)
		h.must(h.net.LinkSetDown(h.link("eth0")))
		eventually(t, "no carrier", up(false))
		h.up("eth0")
		pass("carrier", 60)
		for _, mtu := range []int{3000, 1500} {
			h.must(h.net.LinkSetMTU(h.link("eth0"), mtu))
			sw.must(sw.net.LinkSetMTU(sw.link("sw0"), mtu))
			eventually(t, "MTU", func() bool { return p.Info().MTU == mtu })
			pass("MTU", mtu+14)
		}
		h.must(h.net.LinkDel(h.link("eth0")))
		eventually(t, "link gone", up(false))
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	reader.Wait()
	if err := p.Wait(); err != ErrClosed {
		t.Error(err)
	}
	if _, err := p.Read([]*packet.Frame{packet.NewFrame(0)}); err != ErrClosed {
		t.Error(err)
	}
}

// TestXDPKilled kills the process of a port: nothing stays, and the next one starts.
func TestXDPKilled(t *testing.T) {
	const child = "WEIR_TEST_PORTS_KILLED"
	if text := os.Getenv(child); text != "" {
		spec, _ := ParseSpec(text)
		if _, err := Open(spec, Options{}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("opened")
		select {}
	}
	for _, mode := range []string{"native", "generic"} {
		h, sw := newSpace(t), newSpace(t)
		cable(h, "eth0", sw, "sw0", 1500)
		for i := range 3 {
			cmd := exec.Command(os.Args[0], "-test.run=^TestXDPKilled$")
			cmd.Env = append(os.Environ(), child+"=xdp:sw0,mode="+mode)
			out, err := cmd.StdoutPipe()
			sw.must(err)
			sw.must(sw.do(cmd.Start))
			line := make([]byte, 200)
			n, _ := out.Read(line)
			if string(line[:n]) != "opened\n" || sw.xdpAttached("sw0") == 0 {
				t.Errorf("%s: %s", mode, line[:n])
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if i == 2 {
				eventually(t, "nothing to be left", func() bool { return sw.xdpAttached("sw0") == 0 })
			}
		}
	}
}

// TestKeepTags switches the stripping of tags off and on again.
func TestKeepTags(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw0", 1500)
	undo, ok := sw.links.keepTags("sw0")
	if !ok || undo == nil {
		t.Fatal("it was off, or could not be switched")
	}
	if again, ok := sw.links.keepTags("sw0"); !ok || again != nil {
		t.Error("it is still on")
	}
	undo()
	if again, ok := sw.links.keepTags("sw0"); !ok || again == nil {
		t.Error("it is still off")
	}
	if n := sw.links.rxQueues("sw0"); n != 1 {
		t.Errorf("%d queues", n)
	}
}

// TestXDPQueues has a device of several queues: frames come by more than one, and all of them arrive.
func TestXDPQueues(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	v := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "sw0", PeerNamespace: netlink.NsFd(sw.ns), PeerNumRxQueues: 3, PeerNumTxQueues: 3}
	v.Name, v.NumTxQueues, v.NumRxQueues = "eth0", 3, 3
	h.must(h.net.LinkAdd(v))
	h.up("eth0")
	sw.up("sw0")
	p := sw.port("xdp:sw0")
	if how := p.Info().How; how != "in the driver, frames are copied, 3 queues" {
		t.Error(how)
	}
	const sent = 300
	want := map[string]bool{}
	for i := range sent {
		b, _, _ := transportPacket(false, protoUDP, []byte{byte(i >> 8), byte(i)})
		be.PutUint16(b[20:], uint16(1000+i))
		f := slices.Concat(testFrame("", 14)[:12], []byte{8, 0}, b)
		want[string(f)] = true
		h.raw("eth0", f)
	}
	for _, f := range read(t, p, sent) {
		if !want[string(f)] {
			t.Errorf("came twice or was not sent: %x", f)
		}
		delete(want, string(f))
	}
	if len(want) != 0 {
		t.Errorf("%d frames did not come: %+v", len(want), countersOf(p))
	}
	used := 0
	for _, s := range p.(*afxdp).lines.queues {
		if s.rx.own > 0 {
			used++
		}
	}
	if used < 2 {
		t.Errorf("%d queues were used", used)
	}
}

// TestXDPOnTap serves the host's side of a tap, as that of a guest: another driver than veth's.
func TestXDPOnTap(t *testing.T) {
	s := newSpace(t)
	s.quiet()
	guest, p := s.port("tap:vm1"), s.port("xdp:vm1")
	t.Log(p.Info().How)
	f := packet.NewFrame(2000)
	for _, frame := range [][]byte{testFrame("", 60), testFrame("8100600a", 1518)} {
		f.SetBytes(frame)
		if n := guest.Write([]*packet.Frame{f}); n != 1 {
			t.Fatalf("%+v", countersOf(guest))
		}
		if got := read(t, p, 1); len(got) != 1 || !bytes.Equal(got[0], frame) {
			t.Errorf("from the guest: %x: %+v", got, countersOf(p))
		}
		if n := p.Write([]*packet.Frame{f}); n != 1 {
			t.Fatalf("%+v", countersOf(p))
		}
		if got := read(t, guest, 1); len(got) != 1 || !bytes.Equal(got[0], frame) {
			t.Errorf("to the guest: %x: %+v", got, countersOf(guest))
		}
	}
}

// TestXDPRest fills a device whose far side does not take frames for a moment: what stays in the ring follows by itself.
func TestXDPRest(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	a, b := h.port("xdp:eth0").(*afxdp), sw.port("xdp:sw0")
	f := packet.NewFrame(100)
	f.SetBytes(testFrame("", 60))
	a.sending.Lock()
	s := a.lines.queues[0]
	s.place(f.Bytes()) // as if the kernel had refused it
	a.again.Reset(restDelay)
	a.sending.Unlock()
	if got := read(t, b, 1); len(got) != 1 || !bytes.Equal(got[0], f.Bytes()) {
		t.Errorf("%x: %+v", got, countersOf(b))
	}
}
