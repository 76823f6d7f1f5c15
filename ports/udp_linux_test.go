package ports

import (
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// TestUDPSegments sends UDP super-frames (UDP_SEGMENT) from one host to
// another: whole between ports that take them, cut for those that do not.
func TestUDPSegments(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b hostMaker
		opts string
		soft bool
	}{
		{"veth-veth", vethHost, vethHost, "", false},
		{"veth-tap", vethHost, tapHost, "", false},
		{"tap-veth", tapHost, vethHost, "", false},
		{"veth-veth-in-software", vethHost, vethHost, ",offload=no", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			sw := newSpace(t)
			a, b := c.a(sw, t, "1", 1500, c.opts), c.b(sw, t, "2", 1500, c.opts)
			a.address(a.dev, "10.0.0.1/24", "fd00::1/64")
			b.address(b.dev, "10.0.0.2/24", "fd00::2/64")
			forward(t, a.port, b.port)
			for _, to := range []string{"10.0.0.2", "fd00::2"} {
				awaitHost(t, a.space, to)
				before := countersOf(b.port)
				if err := udpSegments(a.space, b.space, to, 1200, 9, 500); err != nil {
					t.Fatal(err)
				}
				// A frame is counted when it is on its way, so its receiver may be here first.
				after := countersOf(b.port)
				eventually(t, "the count of what was sent", func() bool {
					after = countersOf(b.port)
					return after.TxBytes-before.TxBytes > 9*1200+500
				})
				t.Logf("%s: %d frames sent, %d finished in software", to, after.TxPackets-before.TxPackets, after.TxFinished-before.TxFinished)
				if soft := after.TxFinished > before.TxFinished; soft != c.soft {
					t.Errorf("finished in software: %v", soft)
				}
			}
		})
	}
}

// udpSegments has n datagrams of size bytes and a last one sent in one call.
func udpSegments(from, to *space, addr string, size, n, last int) error {
	var in, out *net.UDPConn
	if err := to.do(func() (err error) {
		in, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(addr)})
		return err
	}); err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if err := from.do(func() (err error) {
		out, err = net.DialUDP("udp", nil, in.LocalAddr().(*net.UDPAddr))
		return err
	}); err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	raw, err := out.SyscallConn()
	if err != nil {
		return err
	}
	_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) })
	if err != nil {
		return fmt.Errorf("UDP_SEGMENT: %w", err)
	}
	if _, err := out.Write(pattern[:size*n+last]); err != nil {
		return err
	}
	_ = in.SetReadDeadline(time.Now().Add(inTime))
	buf := make([]byte, 1<<16)
	for at := 0; at < size*n+last; {
		k, err := in.Read(buf)
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", at, err)
		}
		if want := min(size, size*n+last-at); k != want || string(buf[:k]) != string(pattern[at:at+k]) {
			return fmt.Errorf("at %d: a datagram of %d bytes, want %d, or its content differs", at, k, want)
		}
		at += k
	}
	return nil
}

// TestKernelRefuses writes offloads that no kernel believes: counted, and the
// frames behind them still pass.
func TestKernelRefuses(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	in, out := h.port("eth0"), sw.port("sw0")
	lie := super{gso: packet.GSOTCPv4, size: 1000}.build(t, make([]byte, 3000))
	lie.Bytes()[14+9] = 99 // not TCP at all
	good := packet.NewFrame(2000)
	good.SetBytes(testFrame("", 100))
	short := packet.NewFrame(20)
	short.SetBytes(make([]byte, 5))
	frames := []*packet.Frame{good, lie, good, short, good}
	n := out.Write(frames)
	if n < 3 || n > 4 {
		t.Errorf("%d taken: %+v", n, countersOf(out))
	}
	got := 0
	for _, f := range read(t, in, n) {
		if len(f) == 100 {
			got++
		}
	}
	if got != 3 {
		t.Errorf("%d good frames arrived", got)
	}
	if v := countersOf(out); v.TxDrops[DropTruncated] != 1 {
		t.Errorf("%+v", v)
	} else {
		t.Logf("%+v", v)
	}
}
