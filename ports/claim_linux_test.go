package ports

import (
	"fmt"
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// refused opens a port that cannot be had, and gives the error's text.
func (s *space) refused(text string) string {
	s.t.Helper()
	spec, err := ParseSpec(text)
	s.must(err)
	err = s.do(func() error {
		p, err := Open(spec, Options{Links: s.links, Owner: "bridge late"})
		if err == nil {
			_ = p.Close()
		}
		return err
	})
	if err == nil {
		s.t.Fatalf("%s was opened twice", text)
	}
	return err.Error()
}

// TestOneSwitchADevice: a device that is somebody's port is nobody else's, by whatever name, until he
// closes it; the same name in another namespace, and a device made anew, are other devices.
func TestOneSwitchADevice(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw0", 1500)
	spec, _ := ParseSpec("sw0")
	var first Port
	sw.must(sw.do(func() (err error) {
		first, err = Open(spec, Options{Links: sw.links, Owner: "bridge br7"})
		return err
	}))
	t.Cleanup(func() { _ = first.Close() })
	for _, want := range []string{"interface sw0", "a port of bridge br7", fmt.Sprintf("in process %d", os.Getpid()), "weir port del"} {
		if got := sw.refused("sw0,name=again"); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
	other := newSpace(t)
	cable(h, "eth1", other, "sw0", 1500)
	_ = other.port("sw0").Close()

	sw.must(sw.net.LinkSetDown(sw.link("sw0")))
	sw.must(sw.net.LinkSetName(sw.link("sw0"), "new0"))
	sw.up("new0")
	eventually(t, "the new name", func() bool { l, ok := sw.links.name("new0"); return ok && l.adminUp })
	if got := sw.refused("new0"); !strings.Contains(got, "interface new0") {
		t.Error(got)
	}
	sw.must(sw.net.LinkDel(sw.link("new0")))
	eventually(t, "the device is gone", func() bool { return !first.Info().Present })
	cable(h, "eth0", sw, "new0", 1500)
	_ = sw.port("new0").Close() // the first port waits for sw0
	_ = sw.port("new0").Close()

	_ = first.Close()
	sw.must(sw.net.LinkSetDown(sw.link("new0")))
	sw.must(sw.net.LinkSetName(sw.link("new0"), "sw0"))
	_ = sw.port("sw0").Close()
}

// TestDeviceComesFree: of two ports that wait for a device one gets it, and when that one closes the other does.
func TestDeviceComesFree(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	a, b := sw.port("sw0"), sw.port("sw0,name=b")
	cable(h, "eth0", sw, "sw0", 1500)
	eventually(t, "one has it", func() bool { return a.Info().LinkUp || b.Info().LinkUp })
	if b.Info().LinkUp {
		a, b = b, a
	}
	eventually(t, "the other says why not", func() bool { return strings.Contains(b.Info().Problem, "two switches") })
	if a.Info().LinkUp == b.Info().LinkUp {
		t.Error("both have it")
	}
	_ = a.Close()
	eventually(t, "the other has it", func() bool { return b.Info().LinkUp })
}

// TestMemberOfASwitch: frames of a member of a Linux bridge go to that bridge too, and would be there twice. A port is refused
// it, loses it when it becomes one, and has it again when it is free.
func TestMemberOfASwitch(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw0", 1500)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lb0"
	sw.must(sw.net.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	enslave := func() { t.Helper(); sw.must(sw.net.LinkSetMaster(sw.link("sw0"), sw.link("lb0"))) }
	enslave()
	for _, want := range []string{"interface sw0", "Linux bridge lb0", "two switches", "ip link set sw0 nomaster"} {
		if got := sw.refused("sw0"); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
	sw.must(sw.net.LinkSetNoMaster(sw.link("sw0")))
	p := sw.port("sw0,mtu=1400")
	mac := p.Info().MAC.String()
	eventually(t, "free again", func() bool { return p.Info().LinkUp })
	for range 2 {
		enslave()
		eventually(t, "taken away", func() bool { return !p.Info().Present && strings.Contains(p.Info().Problem, "Linux bridge lb0") })
		if got := p.Info().MAC.String(); got != mac {
			t.Errorf("its address has become %q, was %s", got, mac)
		}
		if got := sw.link("sw0").Attrs().MTU; got != 1500 {
			t.Errorf("the bridge got it with the MTU %d of the port", got)
		}
		sw.must(sw.net.LinkSetNoMaster(sw.link("sw0")))
		eventually(t, "given back", func() bool { return p.Info().LinkUp && p.Info().MTU == 1400 && p.Info().Problem == "" })
	}
}

// TestGuestOfASwitch: the tap of a guest is used as its interface, and is not to be had either while that is a bridge's member.
func TestGuestOfASwitch(t *testing.T) {
	sw := newSpace(t)
	tt := &netlink.Tuntap{LinkAttrs: netlink.NewLinkAttrs(), Mode: netlink.TUNTAP_MODE_TAP, Queues: 1, NonPersist: true, Flags: netlink.TUNTAP_NO_PI}
	tt.Name = "guest"
	sw.must(sw.do(func() error { return netlink.LinkAdd(tt) }))
	defer func() { _ = tt.Fds[0].Close() }()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lb0"
	sw.must(sw.net.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	sw.must(sw.net.LinkSetMaster(sw.link("guest"), sw.link("lb0")))
	if got := sw.refused("tap:guest"); !strings.Contains(got, "Linux bridge lb0") {
		t.Error(got)
	}
	sw.must(sw.net.LinkSetNoMaster(sw.link("guest")))
	sw.port("tap:guest")
}

// TestFramesOfALostMember: what comes to an interface while it is another switch's is none of the port's.
func TestFramesOfALostMember(t *testing.T) {
	for _, text := range []string{"sw0", "sw0,ring=no", "sw0,readers=2"} {
		t.Run(text, func(t *testing.T) {
			h, sw := newSpace(t), newSpace(t)
			h.quiet()
			sw.quiet()
			cable(h, "eth0", sw, "sw0", 1500)
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "lb0"
			sw.must(sw.net.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
			p := sw.port(text)
			all := p.(Parted).Inlets()
			for i := range 2 {
				eventually(t, "the port's", func() bool { return p.Info().LinkUp })
				h.raw("eth0", testFrame("", 60+i))
				eventually(t, "its frame", func() bool { return frameBy(t, all) == 60+i })
				sw.must(sw.net.LinkSetMaster(sw.link("sw0"), sw.link("lb0")))
				eventually(t, "the bridge's", func() bool { return !p.Info().Present })
				if n := sw.listening(); n != 0 {
					t.Errorf("%d sockets listen still", n)
				}
				h.raw("eth0", testFrame("", 100))
				if n := frameBy(t, all); n != 0 {
					t.Errorf("a frame of %d bytes came", n)
				}
				sw.must(sw.net.LinkSetNoMaster(sw.link("sw0")))
			}
		})
	}
}

// frameBy is the length of a frame that has come, 0 if there is none.
func frameBy(t *testing.T, all []Inlet) (size int) {
	t.Helper()
	frames := []*packet.Frame{packet.NewFrame(1 << 17)}
	for _, in := range all {
		if n, err := in.Read(frames); err != nil {
			t.Fatal(err)
		} else if n > 0 {
			size = frames[0].Len()
		}
		in.(interface{ Settle() bool }).Settle() // a frame that is looked at keeps its socket
	}
	return size
}

// TestClaimLeftBehind: a process that is being killed has the device for a moment and answers nobody.
func TestClaimLeftBehind(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw0", 1500)
	index := sw.link("sw0").Attrs().Index
	dying, err := tryClaim(sw.links, index, "", "")
	sw.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if who, answers := holder(sw.links, index, "", time.Millisecond); answers {
			t.Errorf("%s answers", who)
		}
		dying.end()
	}()
	p := sw.port("sw0")
	<-done
	eventually(t, "up", func() bool { return p.Info().LinkUp })
}

// mute takes the device as a process does that is stopped: whoever connects is kept waiting.
func (s *space) mute(device string) {
	s.t.Helper()
	var l net.Listener
	s.must(s.links.within(func() (err error) {
		l, err = net.Listen("unix", claimName(s.link(device).Attrs().Index, ""))
		return err
	}))
	s.t.Cleanup(func() { _ = l.Close() })
}

// TestMuteHolder: a holder that never says a word costs the patience for one that is being killed and no
// more, costs nothing where there is none, and is named all the same.
func TestMuteHolder(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw0", 1500)
	sw.mute("sw0")
	l, ok := sw.links.ask("sw0")
	if !ok {
		t.Fatal("no sw0")
	}
	const patience = 300 * time.Millisecond
	for _, p := range []time.Duration{0, patience} {
		took := time.Duration(math.MaxInt64)
		for try := 0; try < 20 && took > p+patience; try++ { // what else runs may make it longer
			begin := time.Now()
			c, err := newClaim(sw.links, l, "", "late", p)
			took = time.Since(begin)
			if err == nil {
				c.end()
				t.Fatal("the device was had twice")
			}
			if want := fmt.Sprintf("interface sw0 is in use in process %d, which does not answer;", os.Getpid()); !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		if took > p+patience {
			t.Errorf("patience of %v took %v", p, took)
		}
	}
}

// poor is a listener of a process without free descriptors.
type poor struct {
	net.Listener
	times int
}

func (p *poor) Accept() (net.Conn, error) {
	if p.times > 0 {
		p.times--
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", unix.EMFILE)}
	}
	return p.Listener.Accept()
}

// TestClaimAnswersAfterEMFILE: a process that had no descriptor for a moment says later whose port it is.
func TestClaimAnswersAfterEMFILE(t *testing.T) {
	l, err := net.Listen("unix", fmt.Sprintf("@weir/test/%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	c := &claim{&poor{Listener: l, times: 3}}
	done := make(chan struct{})
	go func() { defer close(done); c.answer("bridge br9") }()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(inTime))
	b := make([]byte, 10)
	if n, err := conn.Read(b); err != nil || string(b[:n]) != "bridge br9" {
		t.Errorf("%q, %v", b[:n], err)
	}
	c.end()
	<-done
}
