package integration

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/guest"
)

// zeroCopySuite has a kernel that does it: "make zero-copy" gives it. It moves on, and so it is not CI that runs the test.
var zeroCopySuite = flag.String("zerocopy", "", "suite of Debian with a kernel of 6.13 or later, for TestZeroCopy: trixie-backports")

// A virtio card whose driver (virtio_net, Linux 6.13 and later) lends its rings the memory of AF_XDP sockets:
//
//   - Without iommu_platform the card does not use the kernel's DMA interface, and the driver cannot.
//   - Up to Linux 7.3 at least the driver, when it is a module, gives the card a wrong address for the header of each frame sent:
//     a gibibyte and what the header's own is off the modules' begin. There must be memory there that stays all zeros.
//   - And without indirect descriptors it says of frames that it has no place for that others were sent.
const (
	zeroCopyCard    = "iommu_platform=on,disable-legacy=on,indirect_desc=on"
	zeroCopyMemory  = 1104
	zeroCopyOptions = "memmap=64M$1024M"
)

// TestZeroCopy runs weir in a guest whose two cards do AF_XDP without copying, with their other ends in the test's hands. Each frame is
// compared, and each is counted.
func TestZeroCopy(t *testing.T) {
	if *zeroCopySuite == "" {
		t.Skip("boots another kernel: make zero-copy")
	}
	z := newZeroCopy(t)
	z.run("")
	z.part(t, "one by one", func(t *testing.T) {
		for range 300 { // each is woken for, and none waits for the next one
			z.exchange(t, 1, 1, 60, 160)
		}
		z.equal(t)
	})
	z.part(t, "sizes", func(t *testing.T) {
		z.exchange(t, 4*(1514-13), 64, 14, 1514)
		z.equal(t)
	})
	z.part(t, "many", func(t *testing.T) {
		z.exchange(t, 20000, 256, 60, 1514)
		z.equal(t)
	})
	z.part(t, "large", func(t *testing.T) {
		inGuest(t, z.g, "ip link set eth0 mtu 3400; ip link set eth1 mtu 3400")
		z.ready(t, 3400)
		z.exchange(t, 2000, 64, 2000, 3414)
		inGuest(t, z.g, "ip link set eth0 mtu 1500; ip link set eth1 mtu 1500")
		z.ready(t, 1500)
		z.exchange(t, 2000, 64, 60, 1514)
	})
	z.part(t, "far end is slow", z.slowEnd)
	z.part(t, "switch stands still", z.standstill)
	for _, c := range []struct{ name, line string }{
		{"link down", "ip link set eth%[1]d down; usleep 20000; ip link set eth%[1]d up"},
		{"port taken out", "weir port del br0 eth1; usleep 20000; weir port add br0 2:xdp:eth1"},
		{"mtu", "ip link set eth%[1]d mtu 3000; usleep 100000; ip link set eth%[1]d mtu 1500"},
		{"kill -9", "kill -9 $(pidof weir); " + z.command("")},
	} {
		z.part(t, c.name, func(t *testing.T) {
			for i := range 4 {
				stop := z.load(t)
				inGuest(t, z.g, fmt.Sprintf("usleep 50000; "+c.line+"; usleep 50000 # %[1]d", i%2))
				z.ready(t, 1500)
				stop()
				z.exchange(t, 2000, 500, 60, 200)
				z.how(t, "zero-copy")
			}
		})
	}
	z.part(t, "killed and gone", func(t *testing.T) {
		inGuest(t, z.g, "kill -9 $(pidof weir)")
		z.hostAnswers(t)
	})
	for _, mode := range []string{"copy", "generic", "native"} {
		z.part(t, "mode="+mode, func(t *testing.T) {
			z.run(",mode=" + mode)
			z.how(t, map[string]string{"copy": "in the driver, frames are copied", "generic": "generic, frames are copied", "native": "in the driver, zero-copy"}[mode])
			z.exchange(t, 2000, 64, 60, 1514)
			z.equal(t)
			inGuest(t, z.g, "weir stop")
			z.hostAnswers(t)
		})
	}
}

// zeroCopy is a guest with weir in it.
type zeroCopy struct {
	t    *testing.T
	g    *guest.Guest
	ends [2]*cardEnd
	next uint32       // number of the frame that is sent next
	base [2][2]uint64 // of each end: frames and bytes of exchanges since weir started
}

func newZeroCopy(t *testing.T) *zeroCopy {
	bin, err := bins.plain()
	if err != nil {
		t.Fatal(err)
	}
	z := &zeroCopy{t: t}
	var netdevs []string
	for i := range z.ends {
		path := filepath.Join(t.TempDir(), "wire")
		netdevs = append(netdevs, "stream,addr.type=unix,addr.path="+path)
		z.ends[i] = newCardEnd(t, byte(i+1), path)
	}
	z.ends[0].other, z.ends[1].other = z.ends[1], z.ends[0]
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	z.g, err = guest.Start(ctx, guest.Config{Netdevs: netdevs, Suite: *zeroCopySuite, Files: map[string]string{"bin/weir": bin},
		CardOptions: zeroCopyCard, Memory: zeroCopyMemory, KernelOptions: zeroCopyOptions})
	if errors.Is(err, guest.ErrMissing) {
		lacking(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_, _ = z.g.Run(ctx, "weir ports; cat /tmp/log; dmesg | tail -n 30")
			t.Log(z.g.Console())
		}
		z.g.Close()
	})
	t.Log("Linux", inGuest(t, z.g, "uname -r; mkdir /run/weir; for i in 0 1; do ip addr add 10.9.$i.1/24 dev eth$i; ip link set eth$i up; done"))
	return z
}

// command starts weir on the two cards.
func (z *zeroCopy) command(options string) string {
	return fmt.Sprintf("weir run --name br0 --port 1:xdp:eth0%[1]s --port 2:xdp:eth1%[1]s --detach --log-file /tmp/log --wait-ready 10s", options)
}

func (z *zeroCopy) run(options string) {
	z.base = [2][2]uint64{}
	inGuest(z.t, z.g, z.command(options))
}

// part is a subtest without which the next ones mean nothing.
func (z *zeroCopy) part(t *testing.T, name string, f func(*testing.T)) {
	if !t.Run(name, f) {
		t.FailNow()
	}
}

// how demands that weir uses both cards in a way.
func (z *zeroCopy) how(t *testing.T, want string) {
	t.Helper()
	for _, c := range z.counters(t) {
		if !strings.Contains(c.How, want) {
			t.Errorf("%s is used %q, expected %q", c.Name, c.How, want)
		}
	}
}

// ready waits until both ports work with an MTU.
func (z *zeroCopy) ready(t *testing.T, mtu int) {
	t.Helper()
	eventually(t, "both ports are up", func() error {
		for _, c := range z.counters(t) {
			if c.MTU != mtu || !c.LinkUp {
				return fmt.Errorf("%+v", c)
			}
		}
		return nil
	})
}

// exchange sends n frames both ways at once, their sizes going through the range, at most window of them at a time, and demands all.
func (z *zeroCopy) exchange(t *testing.T, n, window, least, most int) {
	t.Helper()
	first := z.next
	z.next += uint32(n)
	var both sync.WaitGroup
	var errs [2]error
	for i, e := range z.ends {
		both.Go(func() {
			var bytes uint64
			bytes, errs[i] = e.pass(first, n, window, least, most)
			z.base[i][0] += uint64(n)
			z.base[i][1] += bytes
		})
	}
	both.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
}

// cardPort is what "weir ports --json" says of a port.
type cardPort struct {
	Name   string
	MTU    int
	LinkUp bool `json:"link_up"`
	How    string
	cardCounters
}

type cardCounters struct {
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	RxDropped uint64 `json:"rx_dropped"`
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	TxDropped uint64 `json:"tx_dropped"`
}

func (z *zeroCopy) counters(t *testing.T) (all [2]cardPort) {
	t.Helper()
	var ports []cardPort
	out := inGuest(t, z.g, "weir ports --json")
	if err := json.Unmarshal([]byte(out), &ports); err != nil || len(ports) != 2 {
		t.Fatalf("%v\n%s", err, out)
	}
	return [2]cardPort(ports)
}

// equal demands that weir has counted what was exchanged since it started, and nothing else.
func (z *zeroCopy) equal(t *testing.T) {
	t.Helper()
	for i, c := range z.counters(t) {
		in, out := z.base[i], z.base[1-i]
		if want := (cardCounters{in[0], in[1], 0, out[0], out[1], 0}); c.cardCounters != want {
			t.Errorf("%s\n got %+v\nwant %+v", c.Name, c.cardCounters, want)
		}
	}
}

// slowEnd sends more than the other end takes: what weir says it has sent arrives with nobody sending more, and the rest was counted.
func (z *zeroCopy) slowEnd(t *testing.T) {
	before, came := z.counters(t), z.ends[1].loaded.Load()
	z.ends[1].hold.Lock()
	const n = 20000
	z.ends[0].flood(n)
	eventually(t, "all is in the switch", func() error {
		if c := z.counters(t); c[0].RxPackets-before[0].RxPackets != n || c[1].TxPackets+c[1].TxDropped-before[1].TxPackets-before[1].TxDropped != n {
			return fmt.Errorf("%+v", c)
		}
		return nil
	})
	z.ends[1].hold.Unlock()
	c := z.counters(t)
	if c[1].TxDropped == before[1].TxDropped {
		t.Error("nothing was dropped: the end was not slow")
	}
	eventually(t, "what was sent arrives", func() error {
		if got, want := z.ends[1].loaded.Load()-came, c[1].TxPackets-before[1].TxPackets; got != want {
			return fmt.Errorf("%d frames came of %d", got, want)
		}
		return nil
	})
	z.exchange(t, 2000, 500, 60, 200)
}

// standstill sends more than there is room for while weir stands still. It finds all that found room, and none is lost unseen:
// a virtual card without room lets its far end wait.
func (z *zeroCopy) standstill(t *testing.T) {
	before, came := z.counters(t), z.ends[1].loaded.Load()
	inGuest(t, z.g, "kill -STOP $(pidof weir)")
	const n = 20000
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		z.ends[0].flood(n)
	}()
	time.Sleep(time.Second) // nothing tells that the card is full
	inGuest(t, z.g, "kill -CONT $(pidof weir)")
	<-sent
	eventually(t, "all frames came or were dropped", func() error {
		c := z.counters(t)
		if rx, tx := c[0].RxPackets-before[0].RxPackets, c[1].TxPackets-before[1].TxPackets; rx != n ||
			tx+c[1].TxDropped-before[1].TxDropped != n || z.ends[1].loaded.Load()-came != tx {
			return fmt.Errorf("%d came of %+v", z.ends[1].loaded.Load()-came, c)
		}
		return nil
	})
	z.exchange(t, 2000, 500, 60, 200)
}

// load sends both ways, as much as goes, until stop.
func (z *zeroCopy) load(t *testing.T) (stop func()) {
	end := make(chan struct{})
	var both sync.WaitGroup
	for _, e := range z.ends {
		both.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					e.flood(64)
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	return func() {
		close(end)
		both.Wait()
		for _, e := range z.ends {
			eventually(t, "nothing is under way", e.drained)
		}
	}
}

// hostAnswers demands that the cards are the guest's own again: it answers who has its addresses.
func (z *zeroCopy) hostAnswers(t *testing.T) {
	t.Helper()
	for i, e := range z.ends {
		eventually(t, fmt.Sprintf("the host behind card %d answers", i), func() error { return e.ask([4]byte{10, 9, byte(i), 1}) })
	}
}
