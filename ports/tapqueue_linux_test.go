package ports

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// answerFrame is the seq-th frame of a flow's other direction.
func answerFrame(flow, seq int) []byte {
	b := flowFrame(flow, seq, 60, false)
	f := append([]byte(nil), b...)
	copy(f[0:6], b[6:12])
	copy(f[6:12], b[0:6])
	copy(f[26:30], b[30:34])
	copy(f[30:34], b[26:30])
	copy(f[34:36], b[36:38])
	copy(f[36:38], b[34:36])
	return f
}

// hearer is a packet socket that takes what the host's side of an interface receives.
type hearer struct {
	t    *testing.T
	fd   int
	next map[int]int // by flow: the number that must come next
}

func (s *space) hear(dev string) *hearer {
	s.t.Helper()
	h := &hearer{t: s.t, next: map[int]int{}}
	s.must(s.do(func() (err error) {
		const all = unix.ETH_P_ALL << 8 // of the network
		if h.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err == nil {
			_ = unix.SetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, rxBuffer)
			err = unix.Bind(h.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: s.link(dev).Attrs().Index})
		}
		return err
	}))
	s.t.Cleanup(func() { _ = unix.Close(h.fd) })
	return h
}

// take reads all that has come and says how many answers that were.
func (h *hearer) take() (n int) {
	b := make([]byte, 2000)
	for {
		got, from, err := unix.Recvfrom(h.fd, b, 0)
		if errors.Is(err, unix.EAGAIN) {
			return n
		}
		if err != nil {
			h.t.Error(err)
			return n
		}
		if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING || got < 60 || b[23] != 17 {
			continue
		}
		flow, seq := int(binary.BigEndian.Uint32(b[got-8:])), int(binary.BigEndian.Uint32(b[got-4:]))
		if h.next[flow] != seq {
			h.t.Errorf("answer %d of flow %d came, %d was due", seq, flow, h.next[flow])
		}
		h.next[flow] = seq + 1
		n++
	}
}

// answer writes answers to all flows, and hears them, until it is told to stop.
func (h *hearer) answer(p Port, stop chan struct{}) {
	written, came := 0, 0
	for seq := 0; !h.t.Failed(); seq++ {
		var frames []*packet.Frame
		for flow := range 64 {
			frames = append(frames, frameOf(answerFrame(flow, seq)))
		}
		written += p.Write(frames)
		came += h.take()
		select {
		case <-stop:
			eventually(h.t, "all answers", func() bool { came += h.take(); return came == written || h.t.Failed() })
			return
		default:
		}
	}
}

// TestTapReaders: by several queues the frames of each flow come complete, in order and by one of them, though the
// switch answers all the while, by which the kernel would move flows; and the answers come in order.
func TestTapReaders(t *testing.T) {
	for text, made := range map[string]bool{"tap:eth0,readers=4": true, "tap:eth0,readers=2": false, "internal:eth0,readers=3": true} {
		t.Run(text, func(t *testing.T) {
			sw := newSpace(t)
			sw.quiet()
			if !made {
				sw.tap("eth0", netlink.TUNTAP_MULTI_QUEUE|netlink.TUNTAP_VNET_HDR)
			}
			p := sw.port(text)
			r := startReaders(t, p)
			traffic := func(rounds int) {
				t.Helper()
				eventually(t, "up", func() bool { return p.Info().LinkUp })
				r.forget()
				h, stop := sw.hear("eth0"), make(chan struct{})
				var group sync.WaitGroup
				group.Go(func() { h.answer(p, stop) })
				r.manyFlows(sw, rounds)
				close(stop)
				group.Wait()
			}
			traffic(10)
			used := 0
			r.mu.Lock()
			for _, flows := range r.used {
				used += boolBit(len(flows) > 0)
			}
			r.mu.Unlock()
			if used != len(r.used) {
				t.Errorf("%d of %d inlets were used by 64 flows: %v", used, len(r.used), r.used)
			}
			if in := p.Info(); !strings.Contains(in.How, "readers") {
				t.Errorf("%+v", in)
			}

			sw.must(sw.net.LinkSetDown(sw.link("eth0")))
			eventually(t, "down", func() bool { return !p.Info().LinkUp })
			sw.up("eth0")
			traffic(5)

			was := p.Info().IfIndex
			sw.must(sw.net.LinkDel(sw.link("eth0")))
			if !made {
				eventually(t, "gone", func() bool { return !p.Info().Present })
				sw.tap("eth0", netlink.TUNTAP_MULTI_QUEUE|netlink.TUNTAP_VNET_HDR)
			}
			eventually(t, "another", func() bool { return p.Info().LinkUp && p.Info().IfIndex != was })
			traffic(5)
			if v := countersOf(p); v.RxDropped+v.RxErrors+v.TxDropped+v.TxErrors != 0 {
				t.Errorf("counters: %+v", v)
			}

			sw.must(p.Close()) // the readers see it, see startReaders
			r.group.Wait()
			if _, err := sw.net.LinkByName("eth0"); made != (err != nil) {
				t.Errorf("after Close: %v", err)
			}
		})
	}
}

// TestTapReadersRefused: several readers need a tap with several queues, and one that nobody else reads.
func TestTapReadersRefused(t *testing.T) {
	sw := newSpace(t)
	sw.quiet()
	sw.tap("one", 0)
	if err := sw.refused("tap:one,readers=2"); !strings.Contains(err, "multi_queue") || !strings.Contains(err, "readers=2") {
		t.Error(err)
	}
	sw.port("tap:one")
	if _, err := sw.net.LinkByName("one"); err != nil {
		t.Error(err)
	}

	// A guest with several queues: the port is the interface then, as with one.
	tt := &netlink.Tuntap{LinkAttrs: netlink.NewLinkAttrs(), Mode: netlink.TUNTAP_MODE_TAP, Queues: 2, NonPersist: true,
		Flags: netlink.TUNTAP_MULTI_QUEUE_DEFAULTS | netlink.TUNTAP_NO_PI}
	tt.Name = "guest"
	sw.must(sw.do(func() error { return netlink.LinkAdd(tt) }))
	for _, text := range []string{"tap:guest", "tap:guest,readers=2"} {
		p := sw.port(text)
		if _, ok := p.(*afpacket); !ok {
			t.Errorf("%s, which a guest reads, was opened as %T", text, p)
		}
		_ = p.Close()
	}
	for _, f := range tt.Fds {
		_ = f.Close()
	}
	before := descriptors(t)
	for range 3 {
		sw.refused("tap:one,readers=64")
	}
	eventually(t, "no descriptor is left", func() bool { return descriptors(t) <= before })
}

func descriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
