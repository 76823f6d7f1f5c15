package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ErrClosed is returned by Do after Close.
var ErrClosed = errors.New("the network namespace is closed")

// Space is one network namespace and the locked thread that lives in it.
type Space struct {
	Name string

	nl    *netlink.Handle // netlink socket inside the namespace
	ns    netns.NsHandle
	tid   int
	calls chan func()
	quit  chan struct{} // closed by Close
	done  chan struct{} // closed when the thread has gone
}

// NewSpace makes a namespace whose only link is a loopback that is up.
func NewSpace(name string) (*Space, error) {
	s := &Space{Name: name, calls: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	ready := make(chan error, 1)
	go s.live(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	return s, nil
}

// live is the body of the namespace's thread. It never unlocks the thread: the runtime ends a locked thread together
// with its goroutine, and the kernel then ends every process that was started from it.
func (s *Space) live(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread cannot end before the process does. Hold it here until another thread has taken the work.
		inner := make(chan error, 1)
		go s.live(inner)
		ready <- <-inner
		runtime.UnlockOSThread()
		return
	}
	if err := s.enter(); err != nil {
		close(s.done)
		ready <- err
		return
	}
	defer close(s.done)
	defer s.ns.Close()
	defer s.nl.Close()
	ready <- nil
	for {
		select {
		case f := <-s.calls:
			f()
		case <-s.quit:
			return
		}
	}
}

// enter moves the calling thread into a new namespace and opens the handles.
func (s *Space) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w (CAP_SYS_ADMIN, or lab.Enter in a user namespace, is needed)", err)
	}
	var err error
	if s.ns, err = netns.Get(); err != nil {
		return err
	}
	if s.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		s.ns.Close()
		return err
	}
	s.tid = unix.Gettid()
	lo, err := s.nl.LinkByName("lo")
	if err != nil {
		return err
	}
	return s.nl.LinkSetUp(lo)
}

// Do runs f on the namespace's thread and waits for it. Sockets and processes that f makes belong to the namespace.
// f must not start goroutines that rely on it, and must not call Do.
func (s *Space) Do(f func() error) error {
	var err error
	ran := make(chan struct{})
	select {
	case s.calls <- func() { defer close(ran); err = f() }:
		<-ran
		return err
	case <-s.done:
		return fmt.Errorf("%s: %w", s.Name, ErrClosed)
	}
}

// Path names the namespace for nsenter --net and for setns. It is valid while the Space is open.
func (s *Space) Path() string { return fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), s.tid) }

// FD is a descriptor of the namespace, valid while the Space is open.
func (s *Space) FD() int { return int(s.ns) }

// Netlink is the socket through which links of the namespace are changed.
func (s *Space) Netlink() *netlink.Handle { return s.nl }

// Listen opens a TCP listener inside the namespace. addr holds numbers, never names: a resolver would leave the thread.
func (s *Space) Listen(addr string) (ln net.Listener, err error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	err = s.Do(func() error {
		ln, err = lc.Listen(context.Background(), "tcp", addr)
		return err
	})
	return ln, err
}

// Dial connects by TCP (network "tcp"), a unix socket or UDP from inside the namespace.
func (s *Space) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	var d net.Dialer
	d.SetMultipathTCP(false)
	err = s.Do(func() error {
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// ListenPacket opens a UDP socket inside the namespace. It has room for what comes while a busy machine keeps its reader
// waiting: what the socket's own queue drops would look like loss in the switch.
func (s *Space) ListenPacket(network, addr string) (net.PacketConn, error) {
	const room = 4 << 20
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { // the second goes as far as net.core.rmem_max: that is often less than a tenth of a second
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, room)
			}
		})
	}}
	var pc net.PacketConn
	err := s.Do(func() (err error) {
		pc, err = lc.ListenPacket(context.Background(), network, addr)
		return err
	})
	return pc, err
}

// Close ends the thread; its processes are killed and, once their sockets are gone, the namespace with its links.
func (s *Space) Close() {
	select {
	case <-s.quit:
	default:
		close(s.quit)
	}
	<-s.done
}
