package ports

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// space is a network namespace of a test; it ends with the test.
type space struct {
	t     *testing.T
	ns    netns.NsHandle
	net   *netlink.Handle
	links *Links
}

// missing skips the test, or fails it where everything must be there.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: CI must have it", what)
	}
	t.Skip(what)
}

func newSpace(t *testing.T) *space {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "network namespaces need root")
	}
	s := &space{t: t}
	errs := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var err error
		if s.ns, err = netns.New(); err == nil {
			if s.net, err = netlink.NewHandle(unix.NETLINK_ROUTE); err == nil {
				s.links, err = NewLinks()
			}
		}
		errs <- err
	}()
	if err := <-errs; err != nil {
		missing(t, "network namespace: "+err.Error())
	}
	t.Cleanup(func() {
		_ = s.links.Close()
		s.net.Close()
		_ = s.ns.Close()
	})
	s.up("lo")
	return s
}

// do runs fn on a thread inside the namespace.
func (s *space) do(fn func() error) error {
	errs := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := netns.Set(s.ns)
		if err == nil {
			err = fn()
		}
		errs <- err
	}()
	return <-errs
}

func (s *space) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *space) link(name string) netlink.Link {
	s.t.Helper()
	l, err := s.net.LinkByName(name)
	s.must(err)
	return l
}

func (s *space) up(name string) {
	s.t.Helper()
	s.must(s.net.LinkSetUp(s.link(name)))
}

// address gives an interface addresses, usable at once, and switches it on.
func (s *space) address(name string, addrs ...string) {
	s.t.Helper()
	for _, text := range addrs {
		a, err := netlink.ParseAddr(text)
		s.must(err)
		a.Flags = unix.IFA_F_NODAD
		s.must(s.net.AddrReplace(s.link(name), a))
	}
	s.up(name)
}

// routeMTU makes the host send shorter packets than its interface would take.
func (s *space) routeMTU(dev string, mtu int) {
	s.t.Helper()
	routes, err := s.net.RouteList(s.link(dev), netlink.FAMILY_ALL)
	s.must(err)
	for _, r := range routes {
		if r.Dst == nil || r.Dst.IP.IsLinkLocalUnicast() || r.Dst.IP.IsMulticast() {
			continue
		}
		r.MTU = mtu
		s.must(s.net.RouteReplace(&r))
	}
}

// cable joins two namespaces by a veth pair, both ends up.
func cable(a *space, nameA string, b *space, nameB string, mtu int) {
	a.t.Helper()
	v := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: nameB, PeerNamespace: netlink.NsFd(b.ns)}
	v.Name, v.MTU = nameA, mtu
	a.must(a.net.LinkAdd(v))
	a.up(nameA)
	b.up(nameB)
}

// port opens a port inside the namespace and closes it with the test.
func (s *space) port(text string) Port {
	s.t.Helper()
	spec, err := ParseSpec(text)
	s.must(err)
	var p Port
	s.must(s.do(func() (err error) {
		p, err = Open(spec, Options{Links: s.links, NoOffload: spec.NoOffload, Counters: new(Counters)})
		return err
	}))
	s.t.Cleanup(func() { _ = p.Close() })
	return p
}

func countersOf(p Port) CounterValues {
	switch p := p.(type) {
	case *afpacket:
		return p.count.Snapshot()
	case *afxdp:
		return p.count.Snapshot()
	case *tap:
		return p.count.Snapshot()
	}
	panic(fmt.Sprintf("no counters in %T", p))
}

// forward is a switch of two ports: what comes in at one leaves at the other.
func forward(t *testing.T, a, b Port) {
	t.Helper()
	var wg sync.WaitGroup
	pump := func(from, to Port) {
		defer wg.Done()
		frames := make([]*packet.Frame, 64)
		for i := range frames {
			frames[i] = packet.NewFrame(1 << 17)
		}
		for from.Wait() == nil {
			for {
				n, err := from.Read(frames)
				if n == 0 || err != nil {
					break
				}
				to.Write(frames[:n])
			}
		}
	}
	wg.Add(2)
	go pump(a, b)
	go pump(b, a)
	t.Cleanup(func() {
		_ = a.Close()
		_ = b.Close()
		wg.Wait()
	})
}

// pattern is what transfers carry: a block whose length divides nothing, so
// that a byte out of place is seen wherever it lands.
var pattern = func() []byte {
	b := make([]byte, 1<<20+4099)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}()

// transfer sends size bytes over TCP from one namespace to an address in the
// other, compares each with what was sent, and returns the rate in Gbit/s.
func transfer(t *testing.T, from, to *space, addr string, size int) float64 {
	t.Helper()
	var ln net.Listener
	to.must(to.do(func() (err error) {
		ln, err = net.Listen("tcp", net.JoinHostPort(addr, "0"))
		return err
	}))
	defer func() { _ = ln.Close() }()
	received := make(chan error, 1)
	go func() { received <- receivePattern(ln, size) }()
	start := time.Now()
	err := from.do(func() error {
		c, err := (&net.Dialer{Timeout: inTime}).Dial("tcp", ln.Addr().String())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(3 * inTime))
		for at := 0; at < size; {
			n, err := c.Write(pattern[at%len(pattern):][:min(size-at, len(pattern)-at%len(pattern), 1<<18)])
			if at += n; err != nil {
				return fmt.Errorf("after %d bytes: %w", at, err)
			}
		}
		return nil
	})
	if err != nil {
		_ = ln.Close()
		t.Fatal(errors.Join(err, <-received))
	}
	if err := <-received; err != nil {
		t.Fatal(err)
	}
	return float64(size) * 8 / time.Since(start).Seconds() / 1e9
}

func receivePattern(ln net.Listener, size int) error {
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(3 * inTime))
	buf := make([]byte, 1<<18)
	for at := 0; ; {
		n, err := c.Read(buf)
		for got := buf[:n]; len(got) > 0; {
			want := pattern[at%len(pattern):]
			k := min(len(got), len(want))
			if string(got[:k]) != string(want[:k]) {
				return fmt.Errorf("bytes %d to %d are not what was sent", at, at+k)
			}
			got, at = got[k:], at+k
		}
		switch {
		case err == io.EOF && at == size:
			return nil
		case err != nil:
			return fmt.Errorf("after %d of %d bytes: %w", at, size, err)
		}
	}
}

// eventually waits for something that the kernel does in its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(inTime); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 5 s: " + what)
		}
	}
}
