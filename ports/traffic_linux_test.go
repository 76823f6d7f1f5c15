package ports

import (
	"errors"
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// host is an end of a two-port switch: a namespace with an interface in it and
// the switch's port on the other side.
type host struct {
	*space
	dev  string
	port Port
}

// vethHost is joined by a veth; tapHost sits on the tap itself.
func vethHost(sw *space, t *testing.T, n string, mtu int, opts string) host {
	h := host{space: newSpace(t), dev: "eth0"}
	cable(sw, "sw"+n, h.space, "eth0", mtu)
	h.port = sw.port("sw" + n + opts)
	return h
}

// xdpHost is joined by a veth whose switch's side is an AF_XDP port.
func xdpHost(sw *space, t *testing.T, n string, mtu int, opts string) host {
	h := host{space: newSpace(t), dev: "eth0"}
	cable(sw, "sw"+n, h.space, "eth0", mtu)
	h.port = sw.port("xdp:sw" + n + opts)
	return h
}

// genericXDPHost does not segment in its device, for nothing behind it could pass that on.
func genericXDPHost(sw *space, t *testing.T, n string, mtu int, opts string) host {
	h := xdpHost(sw, t, n, mtu, opts+",mode=generic")
	for _, what := range []string{"tso", "gso", "tx-udp-segmentation"} {
		h.must(h.do(func() error { return exec.Command("ethtool", "-K", h.dev, what, "off").Run() }))
	}
	return h
}

func tapHost(_ *space, t *testing.T, n string, mtu int, opts string) host {
	h := host{space: newSpace(t), dev: "tap" + n}
	h.port = h.space.port("tap:" + h.dev + opts)
	h.must(h.net.LinkSetMTU(h.link(h.dev), mtu))
	return h
}

type hostMaker func(sw *space, t *testing.T, n string, mtu int, opts string) host

func transferSize() int {
	if testing.Short() {
		return 64 << 20
	}
	return 512 << 20
}

// TestTCP moves a stream between two hosts with the offloads that they have by
// default, over IPv4 and IPv6, and compares every byte.
func TestTCP(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b hostMaker
		mtu  int
		opts string
		size int
		tags []uint16
		// ipMTU leaves room for tags that the kernel does not allow for: it
		// passes one of type 0x8100 beyond the MTU, no second and no 0x88a8.
		ipMTU int
		soft  bool // frames have to be finished in software
	}{
		{name: "veth-veth", a: vethHost, b: vethHost, mtu: 1500, size: transferSize()},
		{name: "veth-veth-small-ring", a: vethHost, b: vethHost, mtu: 1500, opts: ",ring=256", size: 64 << 20},
		{name: "veth-veth-no-ring", a: vethHost, b: vethHost, mtu: 1500, opts: ",ring=no", size: 64 << 20},
		{name: "veth-tap", a: vethHost, b: tapHost, mtu: 1500, size: transferSize()},
		{name: "tap-tap", a: tapHost, b: tapHost, mtu: 1500, size: transferSize()},
		{name: "veth-veth-jumbo", a: vethHost, b: vethHost, mtu: 9000, size: transferSize()},
		{name: "veth-veth-tagged", a: vethHost, b: vethHost, mtu: 1500, size: transferSize(), tags: []uint16{0x8100}},
		{name: "veth-tap-tagged", a: vethHost, b: tapHost, mtu: 1500, size: transferSize(), tags: []uint16{0x8100}},
		{name: "veth-veth-tagged-no-ring", a: vethHost, b: vethHost, mtu: 1500, opts: ",ring=no", size: 64 << 20, tags: []uint16{0x8100}},
		{name: "veth-veth-QinQ", a: vethHost, b: vethHost, mtu: 1500, size: 64 << 20, tags: []uint16{0x8100, 0x88a8}, ipMTU: 1492},
		{name: "veth-veth-in-software", a: vethHost, b: vethHost, mtu: 1500, opts: ",offload=no", size: 64 << 20, soft: true},
		{name: "tap-tap-in-software", a: tapHost, b: tapHost, mtu: 1500, opts: ",offload=no", size: 64 << 20},
		{name: "veth-veth-tagged-in-software", a: vethHost, b: vethHost, mtu: 1500, opts: ",offload=no", size: 64 << 20, tags: []uint16{0x8100}, soft: true},
		{name: "xdp-xdp", a: xdpHost, b: xdpHost, mtu: 1500, size: 64 << 20, soft: true},
		{name: "xdp-xdp-larger", a: xdpHost, b: xdpHost, mtu: 3000, size: 64 << 20, soft: true},
		{name: "xdp-xdp-tagged", a: xdpHost, b: xdpHost, mtu: 1500, size: 64 << 20, tags: []uint16{0x8100}, soft: true},
		{name: "xdp-xdp-QinQ", a: xdpHost, b: xdpHost, mtu: 1500, size: 64 << 20, tags: []uint16{0x8100, 0x88a8}, ipMTU: 1492, soft: true},
		{name: "xdp-xdp-generic", a: genericXDPHost, b: genericXDPHost, mtu: 1500, size: 64 << 20, soft: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			sw := newSpace(t)
			a, b := c.a(sw, t, "1", c.mtu, c.opts), c.b(sw, t, "2", c.mtu, c.opts)
			for i, h := range []host{a, b} {
				h.address(h.dev, []string{"10.0.0.1/24", "10.0.0.2/24"}[i], []string{"fd00::1/64", "fd00::2/64"}[i])
				if c.tags != nil {
					h.tagAll(h.dev, 10, c.tags...)
				}
				if c.ipMTU != 0 {
					h.routeMTU(h.dev, c.ipMTU)
				}
			}
			forward(t, a.port, b.port)
			for _, to := range []string{"10.0.0.2", "fd00::2"} {
				awaitHost(t, a.space, to)
				t.Logf("%-10s %5.2f Gbit/s", to, transfer(t, a.space, b.space, to, c.size))
			}
			for _, p := range []Port{a.port, b.port} {
				v := countersOf(p)
				t.Logf("%s: rx %d frames %d bytes, tx %d frames %d bytes, finished %d, rx drops %v, tx drops %v, errors %d %d", p.Info().Name,
					v.RxPackets, v.RxBytes, v.TxPackets, v.TxBytes, v.TxFinished, v.RxDrops, v.TxDrops, v.RxErrors, v.TxErrors)
				if (v.TxFinished > 0) != c.soft {
					t.Errorf("%s finished %d frames in software; wanted some: %v", p.Info().Name, v.TxFinished, c.soft)
				}
			}
		})
	}
}

// awaitHost waits for the first answer of a host: that nobody listens there.
func awaitHost(t *testing.T, from *space, to string) {
	t.Helper()
	eventually(t, "an answer from "+to, func() bool {
		return from.do(func() error {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(to, "9"), time.Second)
			if err == nil {
				return c.Close()
			}
			if errors.Is(err, syscall.ECONNREFUSED) {
				return nil
			}
			return err
		}) == nil
	})
}
