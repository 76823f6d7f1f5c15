package ports

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// ringPaths are the ways by which a device's frames come in: a ring so small that
// each test goes round it, the ring that ports have, and no ring.
var ringPaths = []string{",ring=256", "", ",ring=no"}

// numbered is a test frame with a number in it.
func numberedFrame(i, size int, tags string) []byte {
	b := testFrame(tags, size)
	binary.BigEndian.PutUint32(b[len(b)-4:], uint32(i))
	return b
}

// rawAll sends frames out of an interface, by one socket.
func (s *space) rawAll(dev string, frames [][]byte) {
	s.t.Helper()
	s.must(s.do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		to := &unix.SockaddrLinklayer{Ifindex: s.link(dev).Attrs().Index}
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, to); err != nil {
				return err
			}
		}
		return nil
	}))
}

// TestRingOrder: frames that fit a slot and frames that do not, tagged and not,
// arrive complete and in the order in which they were sent.
func TestRingOrder(t *testing.T) {
	for _, path := range ringPaths {
		t.Run("eth0"+path, func(t *testing.T) {
			h, sw := newSpace(t), newSpace(t)
			h.quiet()
			sw.quiet()
			cable(h, "eth0", sw, "sw0", 9000)
			p := sw.port("sw0" + path)
			for round := range 40 { // each has fewer frames than the small ring has slots
				var sent [][]byte
				for i, size := range []int{60, 1514, 200, 2000, 9014, 64, 3000, 3001, 60, 117, 118, 119, 120, 62, 9000} {
					sent = append(sent, numberedFrame(round*100+i, size, []string{"", "8100600a"}[(round+i)%2]))
				}
				h.rawAll("eth0", sent)
				got := read(t, p, len(sent))
				if len(got) != len(sent) {
					t.Fatalf("round %d: %d frames of %d: %+v", round, len(got), len(sent), countersOf(p))
				}
				for i := range sent {
					if !bytes.Equal(got[i], sent[i]) {
						t.Fatalf("round %d: frame %d of %d bytes came as %d bytes, %x", round, i, len(sent[i]), len(got[i]), got[i][:24])
					}
				}
			}
			if v := countersOf(p); v.RxDropped+v.RxErrors != 0 || v.RxPackets != 40*15 {
				t.Errorf("counters: %+v", v)
			}
		})
	}
}

// TestRingOverflow: what the ring has no room for is counted, and what it has room
// for comes in order.
func TestRingOverflow(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("sw0,ring=256")
	const n = 400
	for round := range 3 {
		var sent [][]byte
		for i := range n {
			sent = append(sent, numberedFrame(i, 60, ""))
		}
		before := countersOf(p)
		h.rawAll("eth0", sent)
		frames := frameBatch(64, 2000)
		var got uint64
		eventually(t, "every frame received or counted as lost", func() bool {
			k, err := p.Read(frames)
			sw.must(err)
			for i, f := range frames[:k] {
				if want := numberedFrame(int(got)+i, 60, ""); !bytes.Equal(f.Bytes(), want) {
					t.Fatalf("round %d: frame %d is %x", round, int(got)+i, f.Bytes())
				}
			}
			if got += uint64(k); k == 0 {
				p.(*afpacket).intakes[0].settle(p.(*afpacket).intakes[0].ring.Load())
			}
			v := countersOf(p)
			return got+v.RxDrops[DropFull]-before.RxDrops[DropFull] == n
		})
		if v := countersOf(p); got != 256 || v.RxPackets-before.RxPackets != got {
			t.Errorf("round %d: %d frames came, %+v", round, got, v)
		}
	}
}

// TestRingOverflowIsNoStop: a burst that overflows the ring, read in parts between which others might have read, is counted
// and is not taken for a ring that the kernel has stopped filling.
func TestRingOverflowIsNoStop(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("sw0,ring=256").(*afpacket)
	in := p.intakes[0]
	sent := make([][]byte, 400)
	for i := range sent {
		sent[i] = numberedFrame(i, 60, "")
	}
	frames := frameBatch(64, 2000)
	for round := range 3 {
		h.rawAll("eth0", sent)
		for more := true; more; more = in.Settle() {
			if _, err := in.Read(frames); err != nil {
				t.Fatal(err)
			}
		}
		in.Settle() // the sleeper's look
		if in.ring.Load() == nil {
			t.Fatalf("round %d: the port has left its ring: %+v", round, countersOf(p))
		}
		want := uint64(round+1) * uint64(len(sent)-256)
		if v := countersOf(p); v.RxPackets != uint64(round+1)*256 || v.RxDrops[DropFull] != want {
			t.Errorf("round %d: %d frames lost, want %d: %+v", round, v.RxDrops[DropFull], want, v)
		}
	}
}

// TestRingClosedWhileLent: frames that the reader has outlive the port; the device
// does not wait for the reader.
func TestRingClosedWhileLent(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("sw0")
	want := testFrame("", 100)
	h.raw("eth0", want)
	frames := frameBatch(4, 60)
	sw.must(p.Wait())
	if n, err := p.Read(frames); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	sw.must(p.Close())
	if sw.link("sw0").Attrs().Promisc != 0 {
		t.Error("promiscuous though closed")
	}
	h.raw("eth0", testFrame("", 90))
	if !bytes.Equal(frames[0].Bytes(), want) {
		t.Errorf("the frame is now %x", frames[0].Bytes())
	}
	if p.(*afpacket).intakes[0].ring.Load().users.Load() != 1 {
		t.Error("the reader's frames are not held")
	}
	if err := p.Wait(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if p.(*afpacket).intakes[0].ring.Load().users.Load() != 0 {
		t.Error("the ring's memory is still mapped")
	}
	if n, err := p.Read(frames); n != 0 || !errors.Is(err, ErrClosed) {
		t.Error(n, err)
	}
}

// TestCloseWaitsForWrite: while a frame is being written the sockets stay open, lest their numbers mean other files.
func TestCloseWaitsForWrite(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	cable(h, "eth0", sw, "sw0", 1500)
	p := sw.port("sw0").(*afpacket)
	p.sending.Lock() // as Write does
	fds := []int{p.plain, p.whole}
	closed := make(chan error, 1)
	go func() { closed <- p.Close() }()
	time.Sleep(20 * time.Millisecond)
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			t.Errorf("a socket went under a frame: %v", err)
		}
	}
	p.sending.Unlock()
	sw.must(<-closed)
	if n := p.Write([]*packet.Frame{frameOf(testFrame("", 60))}); n != 0 || countersOf(p).TxDrops[DropLinkDown] != 1 {
		t.Errorf("a closed port took %d frames: %+v", n, countersOf(p))
	}
}

// TestRingUnknownSegmentation: a super-frame of a kind that virtio_net_hdr has no
// word for is lost and counted, and does not stop the port. A guest of KVM can send
// one (UDP fragmentation offload).
func TestRingUnknownSegmentation(t *testing.T) {
	for _, path := range ringPaths {
		t.Run("tap"+path, func(t *testing.T) {
			sw := newSpace(t)
			sw.quiet()
			guest := sw.guest("vm0")
			sw.up("vm0")
			p := sw.port("vm0" + path)
			eventually(t, "the link", func() bool { return p.Info().LinkUp })
			for round := range 3 {
				odd := super{gso: packet.GSOUDP, size: 1000}.build(t, make([]byte, 3000))
				var hdr vnetHdr
				hdr.set(&odd.Offload, 42)
				guest(hdr, odd.Bytes())
				want := numberedFrame(round, 100, "")
				got := make(chan []byte, 1)
				go func() {
					frames := frameBatch(4, 2000)
					for p.Wait() == nil {
						if n, _ := p.Read(frames); n > 0 {
							got <- bytes.Clone(frames[0].Bytes())
							return
						}
					}
					got <- nil
				}()
				deadline := time.After(inTime)
			again:
				guest(vnetHdr{}, want) // some may be lost with the odd one
				select {
				case b := <-got:
					if !bytes.Equal(b, want) && binary.BigEndian.Uint32(b[len(b)-4:]) >= uint32(round) {
						t.Errorf("got %x", b)
					}
				case <-deadline:
					_ = p.Close()
					t.Fatalf("round %d: the port is stuck: %+v", round, countersOf(p))
				case <-time.After(20 * time.Millisecond):
					goto again
				}
			}
			if v := countersOf(p); v.RxDropped == 0 {
				t.Errorf("counters: %+v", v)
			}
		})
	}
}

// guest makes a tap whose program's side the test holds, as a virtual machine
// would, and returns how it sends.
func (s *space) guest(name string) func(vnetHdr, []byte) {
	s.t.Helper()
	var fd int
	s.must(s.do(func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		req, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}))
	f := os.NewFile(uintptr(fd), name)
	s.t.Cleanup(func() { _ = f.Close() })
	return func(h vnetHdr, b []byte) {
		s.t.Helper()
		if _, err := f.Write(append(h[:], b...)); err != nil {
			s.t.Fatal(fmt.Errorf("sending as the guest: %w", err))
		}
	}
}
