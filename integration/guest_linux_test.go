package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/guest"
	"github.com/weirswitch/weir/integration/lab"
)

// guestStream is how much a guest moves in each direction; software emulation does some hundred Mbit/s.
const guestStream = 8 << 20

// TestGuest boots a Linux machine with one card on a tap of the host and one on a wire, and lets it talk to a veth
// host through weir: ping, then TCP in both directions with the guest's default offloads.
func TestGuest(t *testing.T) {
	needRoot(t)
	b := newBed(t)
	h1 := b.addHost(1, 0)
	sock := filepath.Join(b.Dir(), "vm.sock")
	b.start1("--port", "1:eth1", "--port", "2:vm1", "--port", "3:wire:unix,name=vm2,listen="+sock)
	g := b.boot(guest.Config{Netdevs: []string{
		"tap,ifname=vm1,script=no,downscript=no", // qemu makes it: the switch is there first, the device comes later
		"stream,addr.type=unix,addr.path=" + sock,
	}})
	if err := b.Switch.LinkUp("vm1"); err != nil {
		t.Fatal(err)
	}
	for card, port := range []string{"vm1", "vm2"} {
		inGuest(t, g, fmt.Sprintf("ip link set eth%d up && ip addr add 10.0.0.9/24 dev eth%d", card, card))
		eventually(t, "port "+port+" up", func() error { return contains(b.cli("ports", "br0"), port) })
		t.Log(port, inGuest(t, g, fmt.Sprintf("ping -c 3 -i 0.2 -w 20 %s | tail -n 2", h1.Addr4())))
		t.Log(port, "from the guest:", fromGuest(t, g, h1))
		t.Log(port, "to the guest:", toGuest(t, g, h1))
		inGuest(t, g, fmt.Sprintf("ip addr flush dev eth%d && ip link set eth%d down", card, card))
	}
}

// boot starts a guest in the switch's namespace, or skips where none can be made.
func (b *bed) boot(c guest.Config) (g *guest.Guest) {
	b.t.Helper()
	err := b.Switch.Do(func() (err error) {
		ctx, cancel := context.WithTimeout(b.t.Context(), 8*time.Minute)
		defer cancel()
		g, err = guest.Start(ctx, c)
		return err
	})
	if errors.Is(err, guest.ErrMissing) {
		lacking(b.t, "%v", err)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Log(g.Console())
		}
		if err := g.Close(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			b.t.Log("guest:", err)
		}
	})
	return g
}

// inGuest runs one line in the guest's shell.
func inGuest(t *testing.T, g *guest.Guest, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := g.Run(ctx, line)
	if err != nil {
		t.Fatalf("guest: %s\n%v\n%s", line, err, out)
	}
	return out
}

// fromGuest lets the guest send a stream of one letter and checks that the host gets all of it and nothing else.
func fromGuest(t *testing.T, g *guest.Guest, h *lab.Host) string {
	t.Helper()
	ln, err := h.Listen(netip.AddrPortFrom(h.Addr4(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	got := make(chan error, 1)
	begin := time.Now()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			got <- err
			return
		}
		defer c.Close()
		n := 0
		for buf := make([]byte, 1<<16); ; {
			m, err := c.Read(buf)
			for _, v := range buf[:m] {
				if v != 'w' {
					got <- fmt.Errorf("byte %#x after %d right ones", v, n)
					return
				}
				n++
			}
			if errors.Is(err, io.EOF) && n == guestStream {
				got <- nil
				return
			}
			if err != nil {
				got <- fmt.Errorf("%d of %d bytes: %w", n, guestStream, err)
				return
			}
		}
	}()
	to := netip.MustParseAddrPort(ln.Addr().String())
	inGuest(t, g, fmt.Sprintf("head -c %d /dev/zero | tr '\\0' w | nc %s %d", guestStream, to.Addr(), to.Port()))
	if err := <-got; err != nil {
		t.Fatal("from the guest:", err)
	}
	return rate(guestStream, time.Since(begin))
}

// toGuest sends the guest a stream of one letter; the guest counts that letter and all others.
func toGuest(t *testing.T, g *guest.Guest, h *lab.Host) string {
	t.Helper()
	ln, err := h.Listen(netip.AddrPortFrom(h.Addr4(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	sent := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			sent <- err
			return
		}
		defer c.Close()
		buf := make([]byte, 1<<16)
		for i := range buf {
			buf[i] = 'w'
		}
		for n := 0; n < guestStream && err == nil; n += len(buf) {
			_, err = c.Write(buf)
		}
		sent <- err
	}()
	to := netip.MustParseAddrPort(ln.Addr().String())
	begin := time.Now()
	out := inGuest(t, g, fmt.Sprintf("nc %s %d </dev/null >/tmp/got; tr -d w </tmp/got | wc -c; wc -c </tmp/got; rm /tmp/got", to.Addr(), to.Port()))
	took := time.Since(begin)
	if err := <-sent; err != nil {
		t.Fatal("to the guest:", err)
	}
	if want := fmt.Sprintf("0\n%d", guestStream); out != want {
		t.Fatalf("the guest counted %q wrong and all bytes, expected %q", out, want)
	}
	return rate(guestStream, took)
}

func rate(bytes int, took time.Duration) string {
	return fmt.Sprintf("%d bytes in %v, %.2f Gbit/s, all equal", bytes, took.Round(time.Millisecond), float64(bytes)*8/took.Seconds()/1e9)
}
