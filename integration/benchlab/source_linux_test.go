package benchlab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/integration/lab"
)

// batch is how many frames go in one system call.
const batch = 64

// mmsghdr is that of <sys/socket.h>.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   uint32
}

// source sends frames from a host until it is stopped.
type source struct {
	quit   atomic.Bool
	thread atomic.Int64 // that is in a call without end, or 0
	done   chan error
}

// stop ends the sending and gives the error that had ended it before.
func (s *source) stop() error {
	for s.quit.Store(true); ; {
		if tid := s.thread.Load(); tid != 0 {
			// The runtime takes it for one of its own requests to look up. Once may be too early: before the call.
			_ = unix.Tgkill(os.Getpid(), int(tid), unix.SIGURG)
		}
		select {
		case err := <-s.done:
			return err
		case <-time.After(time.Millisecond):
		}
	}
}

// starter is a way to send the frames of a host, of which each is as likely as the others.
type starter struct {
	name  string
	start func(h *lab.Host, frames []byte) (*source, error)
}

// The goals are multiples of what others did with live frames in bursts. Steady ones show what a switch can keep up,
// where those also show how much of a burst it can put aside.
var (
	ordinary = starter{"ordinary sender", startSender}
	bursts   = starter{"live frames in bursts", startBursts}
	steady   = starter{"live frames", startSteady}
)

// startSender is a program that sends as fast as a packet socket takes it: 64 frames a call, past the queue discipline.
func startSender(h *lab.Host, frames []byte) (*source, error) {
	fd, err := packetSocket(h.Space, "eth0")
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		unix.Close(fd)
		return nil, err
	}
	s := &source{done: make(chan error, 1)}
	go func() {
		defer unix.Close(fd)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		out := newOutbox(fd)
		for pick := newPicker(len(frames) / stride); !s.quit.Load(); {
			for range batch {
				out.add(&frames[pick.next()*stride], frameSize)
			}
			out.flush()
		}
		s.done <- nil
	}()
	return s, nil
}

// packetSocket opens a device of a namespace for sending, without receiving anything.
func packetSocket(s *lab.Space, device string) (fd int, err error) {
	err = s.Do(func() error {
		link, err := s.Netlink().LinkByName(device)
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index}); err != nil {
			unix.Close(fd)
		}
		return err
	})
	return fd, err
}

// picker draws numbers below n, each as likely as the others (xorshift, and its upper bits).
type picker struct {
	n     uint64
	state uint32
}

func newPicker(n int) *picker { return &picker{uint64(n), 0x9d2c5681} }

func (p *picker) next() int {
	p.state ^= p.state << 13
	p.state ^= p.state >> 17
	p.state ^= p.state << 5
	return int(uint64(p.state) * p.n >> 32)
}

// outbox sends frames in batches; one that the device does not take is lost.
type outbox struct {
	fd    int
	n     int
	msgs  [batch]mmsghdr
	parts [batch]unix.Iovec
}

func newOutbox(fd int) *outbox {
	o := &outbox{fd: fd}
	for i := range o.msgs {
		o.msgs[i].hdr.Iov, o.msgs[i].hdr.Iovlen = &o.parts[i], 1
	}
	return o
}

func (o *outbox) add(first *byte, size int) {
	o.parts[o.n].Base = first
	o.parts[o.n].SetLen(size)
	if o.n++; o.n == batch {
		o.flush()
	}
}

func (o *outbox) flush() {
	for at := 0; at < o.n; {
		sent, _, err := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(o.fd), uintptr(unsafe.Pointer(&o.msgs[at])), uintptr(o.n-at), 0, 0, 0)
		switch err {
		case 0:
			at += int(sent)
		case unix.EAGAIN: // the socket's buffer is full
			at = o.n
		default:
			at++ // this one was refused
		}
	}
	o.n = 0
}

// How many frames one call of the kernel's test run makes. Before and after each the kernel waits for all processors to
// leave their critical sections (RCU), here some 20 ms, because it tells its XDP dispatcher of the program: so a short
// call is mostly waiting, one of 65,536 frames makes bursts, and one without end does neither.
const (
	burst   = 1 << 16
	endless = 1 << 30
)

func startBursts(h *lab.Host, frames []byte) (*source, error) { return startLive(h, frames, burst) }
func startSteady(h *lab.Host, frames []byte) (*source, error) { return startLive(h, frames, endless) }

// startLive lets the kernel make the frames itself, without a socket buffer each: a BPF program runs on pages that it
// fills and redirects to the host's device (BPF_F_TEST_XDP_LIVE_FRAMES). The device at the other end of the cable has
// to take such frames: it runs an XDP program, or generic receive offload is on there.
func startLive(h *lab.Host, frames []byte, repeat uint32) (*source, error) {
	index, err := linkIndex(h.Space, "eth0")
	if err != nil {
		return nil, err
	}
	prog, err := liveProgram(frames, index)
	if err != nil {
		return nil, err
	}
	s := &source{done: make(chan error, 1)}
	go func() {
		defer prog.Close()
		// The whole loop is one Do: redirection looks for the device in the namespace of the thread that asks.
		s.done <- h.Do(func() error {
			s.thread.Store(int64(unix.Gettid()))
			defer s.thread.Store(0)
			for !s.quit.Load() {
				if err := testRun(prog.FD(), frames[:frameSize], repeat); err != nil && err != unix.EINTR {
					return fmt.Errorf("live frames: %w", err)
				}
			}
			return nil
		})
	}()
	return s, nil
}

// testRun is one call of BPF_PROG_TEST_RUN, which a signal ends. (ebpf.Program.Run would begin again.)
func testRun(prog int, frame []byte, repeat uint32) error {
	attr := struct { // union bpf_attr, its part "test"
		prog, _             uint32
		sizeIn, _           uint32
		in, _               uint64
		repeat, _           uint32
		_, _                uint32
		_, _                uint64
		flags, cpu, size, _ uint32
	}{prog: uint32(prog), sizeIn: uint32(len(frame)), in: uint64(uintptr(unsafe.Pointer(&frame[0]))), repeat: repeat,
		flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES, size: batch}
	_, _, err := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(frame)
	if err != 0 {
		return err
	}
	return nil
}

func linkIndex(s *lab.Space, name string) (int, error) {
	link, err := s.Netlink().LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("%s: %s: %w", s.Name, name, err)
	}
	return link.Attrs().Index, nil
}

// received is how many frames a device has received.
func received(s *lab.Space, name string) (uint64, error) {
	link, err := s.Netlink().LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("%s: %s: %w", s.Name, name, err)
	}
	if link.Attrs().Statistics == nil {
		return 0, errors.New("the kernel tells no statistics of " + name)
	}
	return link.Attrs().Statistics.RxPackets, nil
}
