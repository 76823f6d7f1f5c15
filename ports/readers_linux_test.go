package ports

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// flowFrame is the seq-th frame of a flow: UDP, or one of three fragments of a packet. The flow and the number
// end the frame.
func flowFrame(flow, seq, size int, fragment bool) []byte {
	b := make([]byte, max(size, 60))
	copy(b, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00\x45\x00")
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
	b[22], b[23] = 64, 17
	copy(b[26:], []byte{10, 0, byte(flow >> 8), byte(flow), 10, 1, 0, 1})
	if fragment {
		binary.BigEndian.PutUint16(b[18:], uint16(seq/3)) // the packet
		binary.BigEndian.PutUint16(b[20:], uint16(seq%3*185|boolBit(seq%3 < 2)<<13))
	} else {
		binary.BigEndian.PutUint16(b[34:], uint16(1000+flow))
		binary.BigEndian.PutUint16(b[36:], 53)
		binary.BigEndian.PutUint16(b[38:], uint16(len(b)-34))
	}
	binary.BigEndian.PutUint32(b[len(b)-8:], uint32(flow))
	binary.BigEndian.PutUint32(b[len(b)-4:], uint32(seq))
	return b
}

func boolBit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// readers take frames in by all inlets of a port at once.
type readers struct {
	t     *testing.T
	group sync.WaitGroup
	total atomic.Int64

	mu   sync.Mutex
	next map[int]int          // by flow: the number that must come next
	at   map[int]int          // by flow: its inlet
	used map[int]map[int]bool // by inlet: the flows that came by it
	gaps bool                 // frames may be lost
}

func startReaders(t *testing.T, p Port) *readers {
	r := &readers{t: t, next: map[int]int{}, at: map[int]int{}, used: map[int]map[int]bool{}}
	inlets := p.(Parted).Inlets()
	for i := range inlets {
		r.used[i] = map[int]bool{}
	}
	for i, in := range inlets {
		r.group.Go(func() {
			frames := frameBatch(64, 2000)
			for in.Wait() == nil {
				for {
					n, err := in.Read(frames)
					if n == 0 || err != nil {
						break
					}
					for _, f := range frames[:n] {
						r.came(i, f.Bytes())
					}
				}
			}
			if _, err := in.Read(frames); !errors.Is(err, ErrClosed) {
				t.Errorf("reading inlet %d of a closed port: %v", i, err)
			}
		})
	}
	t.Cleanup(func() {
		_ = p.Close()
		r.group.Wait()
	})
	return r
}

func (r *readers) came(inlet int, b []byte) {
	if len(b) < 60 || b[23] != 17 {
		return // what a host says by itself
	}
	flow, seq := int(binary.BigEndian.Uint32(b[len(b)-8:])), int(binary.BigEndian.Uint32(b[len(b)-4:]))
	r.mu.Lock()
	defer r.mu.Unlock()
	if was, ok := r.at[flow]; ok && was != inlet {
		r.t.Errorf("frame %d of flow %d came by inlet %d, those before by %d", seq, flow, inlet, was)
	}
	if r.next[flow] != seq && !(r.gaps && r.next[flow] < seq) {
		r.t.Errorf("flow %d: frame %d came, %d was due", flow, seq, r.next[flow])
	}
	r.at[flow], r.next[flow] = inlet, seq+1
	r.used[inlet][flow] = true
	r.total.Add(1)
}

// forget begins anew, as after a link that was away.
func (r *readers) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.next)
	clear(r.at)
	r.total.Store(0)
}

// manyFlows sends rounds of frames of many flows, small and large, a quarter of them in fragments, and waits for each round.
func (r *readers) manyFlows(h *space, rounds int) {
	r.t.Helper()
	const flows = 64
	seq := [flows]int{}
	for range rounds {
		var sent [][]byte
		for range 300 {
			flow := rand.IntN(flows)
			sent = append(sent, flowFrame(flow, seq[flow], 60+rand.IntN(2)*rand.IntN(1400), flow%4 == 0))
			seq[flow]++
		}
		before := r.total.Load()
		h.rawAll("eth0", sent)
		eventually(r.t, "all frames have come", func() bool { return r.total.Load() == before+int64(len(sent)) || r.t.Failed() })
		if r.t.Failed() {
			r.t.FailNow()
		}
	}
}

// listening is how many packet sockets of the namespace get the frames of an interface. The kernel takes them back one
// by one, a moment after it has told that an interface is up again.
func (s *space) listening() (n int) {
	s.t.Helper()
	s.must(s.do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/packet")
		for _, line := range strings.Split(string(text), "\n") {
			if f := strings.Fields(line); len(f) > 5 && f[3] == "0003" && f[5] == "1" {
				n++
			}
		}
		return err
	}))
	return n
}

// wideCable is a cable whose ends have four queues.
func wideCable(h, sw *space) {
	h.t.Helper()
	veryWideCable(h, sw, 4)
}

// veryWideCable is a cable whose ends have so many queues.
func veryWideCable(h, sw *space, queues int) {
	h.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.NumTxQueues, attrs.NumRxQueues = "eth0", 1500, queues, queues
	h.must(h.net.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "sw0", PeerNamespace: netlink.NsFd(sw.ns),
		PeerNumTxQueues: uint32(queues), PeerNumRxQueues: uint32(queues)}))
	h.up("eth0")
	sw.up("sw0")
}

// TestReaders: by several readers the frames of each flow come complete, in order and by one of them; fragments, too.
// So they do after the link was down, and after the device was made anew.
func TestReaders(t *testing.T) {
	for _, text := range []string{"sw0,readers=4", "sw0,readers=3,ring=no", "sw0,readers=4,ring=512", "xdp:sw0,readers=4", "xdp:sw0,readers=2", "xdp:sw0,readers=9"} {
		t.Run(text, func(t *testing.T) {
			h, sw := newSpace(t), newSpace(t)
			h.quiet()
			sw.quiet()
			wideCable(h, sw)
			p := sw.port(text)
			r := startReaders(t, p)
			hooks := sw.listening()
			eventually(t, "up", func() bool { return p.Info().LinkUp })
			r.manyFlows(h, 20)
			used := 0
			r.mu.Lock()
			for _, flows := range r.used {
				used += boolBit(len(flows) > 0)
			}
			r.mu.Unlock()
			if want := min(len(r.used), 4); used != want {
				t.Errorf("%d inlets were used by 64 flows, not %d: %v", used, want, r.used)
			}
			if v := countersOf(p); v.RxDropped+v.RxErrors != 0 {
				t.Errorf("counters: %+v", v)
			}

			sw.must(sw.net.LinkSetDown(sw.link("sw0")))
			eventually(t, "down", func() bool { return !p.Info().LinkUp })
			sw.up("sw0")
			eventually(t, "up again", func() bool { return p.Info().LinkUp && sw.listening() == hooks })
			r.forget()
			r.manyFlows(h, 5)

			sw.must(sw.net.LinkDel(sw.link("sw0")))
			eventually(t, "gone", func() bool { return !p.Info().Present })
			wideCable(h, sw)
			eventually(t, "up once more", func() bool { return p.Info().LinkUp })
			r.forget()
			r.manyFlows(h, 5)

			sw.must(p.Close())
			r.group.Wait()
			if sw.link("sw0").Attrs().Promisc != 0 {
				t.Error("promiscuous though closed")
			}
		})
	}
}

// TestReadersUnknownSegmentation: a super-frame that stops one ring (leaveRing) stops no reader for good, and no frame comes twice.
func TestReadersUnknownSegmentation(t *testing.T) {
	sw := newSpace(t)
	sw.quiet()
	guest := sw.guest("vm0")
	sw.up("vm0")
	p := sw.port("vm0,readers=2")
	r := startReaders(t, p)
	eventually(t, "the link", func() bool { return p.Info().LinkUp })
	const flows = 16
	sent := [flows]int{}
	came := func() (all bool) {
		all = true
		for flow := range flows {
			guest(vnetHdr{}, flowFrame(flow, sent[flow], 60, false))
			sent[flow]++
		}
		time.Sleep(time.Millisecond) // frames that are lost show that the ring is
		r.mu.Lock()
		defer r.mu.Unlock()
		for flow := range flows {
			all = all && r.next[flow] > 0
		}
		return all
	}
	eventually(t, "frames of all flows", came)
	odd := super{gso: packet.GSOUDP, size: 1000}.build(t, make([]byte, 3000))
	var hdr vnetHdr
	hdr.set(&odd.Offload, 42)
	guest(hdr, odd.Bytes())
	r.mu.Lock()
	r.gaps = true
	r.mu.Unlock()
	eventually(t, "both leave their rings", func() bool {
		came()
		in := p.(*afpacket).intakes
		return in[0].ring.Load() == nil && in[1].ring.Load() == nil
	})
	r.forget()
	eventually(t, "frames of all flows again", came)
}

// TestReadersKeepTheirSockets: where new sockets cannot listen the old ones go on.
func TestReadersKeepTheirSockets(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	wideCable(h, sw)
	p := sw.port("sw0,readers=2").(*afpacket)
	r := startReaders(t, p)
	eventually(t, "up", func() bool { return p.Info().LinkUp })
	p.mu.Lock()
	err := p.renew(link{index: 1 << 20, name: "nosuch"}, 0)
	p.mu.Unlock()
	if err == nil {
		t.Error("listening to an interface that is not there")
	}
	h.rawAll("eth0", [][]byte{flowFrame(8, 0, 60, false)})
	eventually(t, "a frame", func() bool { return r.total.Load() > 0 })
}

// narrowCable is wideCable with the switch's end down.
func narrowCable(h, sw *space) {
	h.t.Helper()
	v := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "sw0", PeerNamespace: netlink.NsFd(sw.ns)}
	v.Name, v.MTU = "eth0", 1500
	h.must(h.net.LinkAdd(v))
	h.up("eth0")
}

// TestReadersOfADeviceThatIsDown: where several cannot begin to share an interface that is down, as before Linux 6.13,
// they do when it is up; and they share it through its next ups and downs.
func TestReadersOfADeviceThatIsDown(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	p := sw.port("sw0,readers=3").(*afpacket)
	joined := 0
	p.mu.Lock()
	p.join = func(fd, group int) (int, error) {
		if l, err := sw.net.LinkByName("sw0"); err != nil || l.Attrs().Flags&net.FlagUp == 0 {
			return 0, unix.EINVAL
		}
		joined++
		return joinFanout(fd, group)
	}
	p.mu.Unlock()
	r := startReaders(t, p)
	for range 2 {
		narrowCable(h, sw)
		eventually(t, "the device", func() bool { return p.Info().Present })
		if in := p.Info(); in.Problem != "" || in.LinkUp {
			t.Errorf("%+v", in)
		}
		sw.up("sw0")
		eventually(t, "up", func() bool { return p.Info().LinkUp && sw.listening() == 3 })
		r.forget()
		r.manyFlows(h, 5)
		sw.must(sw.net.LinkSetDown(sw.link("sw0")))
		eventually(t, "down", func() bool { return !p.Info().LinkUp })
		sw.up("sw0")
		eventually(t, "up again", func() bool { return p.Info().LinkUp && sw.listening() == 3 })
		r.forget()
		r.manyFlows(h, 5)
		sw.must(sw.net.LinkDel(sw.link("sw0")))
		eventually(t, "gone", func() bool { return !p.Info().Present })
	}
	if p.mu.Lock(); joined != 6 {
		t.Errorf("%d sockets have joined, not 6", joined)
	}
	p.mu.Unlock()
}

// TestReadersThatCannotShare: when only some of them could, none has the interface, and the next attempt is a new one.
func TestReadersThatCannotShare(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	p := sw.port("sw0,readers=3").(*afpacket)
	p.mu.Lock()
	p.join = func(fd, group int) (int, error) {
		if group != 0 {
			return 0, unix.ENOSPC
		}
		return joinFanout(fd, group)
	}
	p.mu.Unlock()
	r := startReaders(t, p)
	wideCable(h, sw)
	eventually(t, "a problem", func() bool { return strings.Contains(p.Info().Problem, "sharing interface sw0 among 3 readers") })
	eventually(t, "nobody listens", func() bool { return sw.listening() == 0 && sw.link("sw0").Attrs().Promisc == 0 })
	p.mu.Lock()
	p.join = joinFanout
	p.mu.Unlock()
	sw.must(sw.net.LinkSetDown(sw.link("sw0")))
	sw.up("sw0")
	eventually(t, "up", func() bool { return p.Info().LinkUp && sw.listening() == 3 })
	r.manyFlows(h, 5)
}

// TestReadersDoNotSeeWhatLeaves: what the switch sends does not come back to it.
func TestReadersDoNotSeeWhatLeaves(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	wideCable(h, sw)
	p := sw.port("sw0,readers=4")
	r := startReaders(t, p)
	eventually(t, "up", func() bool { return p.Info().LinkUp })
	f := frameOf(flowFrame(7, 0, 60, false))
	if p.Write(frameBatch(0, 0)) != 0 || p.Write(append(frameBatch(0, 0), f)) != 1 {
		t.Fatal("not sent")
	}
	h.rawAll("eth0", [][]byte{flowFrame(8, 0, 60, false)})
	eventually(t, "the frame of the host", func() bool { return r.total.Load() > 0 })
	if v := countersOf(p); v.RxPackets != 1 {
		t.Errorf("%d frames came in, the host sent one", v.RxPackets)
	}
}
