package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
)

// wire carries frames over a socket, so that a switch can be joined without
// any privilege: by another weir, or by qemu's -netdev stream, dgram and
// socket.
//
// A datagram wire has one frame a datagram and no carrier: its link is up
// while it is open. A stream wire has QEMU's framing (four bytes of length,
// big endian, then the frame), and its link is up while it is connected.
//
// Two goroutines stand between the socket and the switch, each behind a
// bounded ring: reading fills rx, writing drains tx. So a peer that does not
// read costs this port's frames and nothing else. A stream peer that sends
// faster than the switch reads is slowed down by its own socket; datagrams
// are dropped and counted.
type wire struct {
	name      string
	transport string
	device    string // the address shown to people
	mtu       int
	o         Options
	rx, tx    *ring
	out       outlet // into tx
	stop      context.CancelFunc
	done      sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	conn     net.Conn // the live one; nil: none
	listener net.Listener
	peer     string // address of the other end while connected
	problem  string // why there is no link
	noted    bool   // a problem was told
}

var _ Port = (*wire)(nil)

const (
	// defaultWireMTU suits a guest that was told nothing else.
	defaultWireMTU = 1500
	// maxUDPFrame is the payload of the longest UDP datagram over IPv4.
	maxUDPFrame = 65535 - 20 - 8
)

func openWire(s Spec, o Options) (Port, error) {
	w := &wire{
		name: s.Name, transport: s.Target, device: s.Target + ":" + s.endpoint(), mtu: s.MTU, o: o,
		rx: newRing(ringSlots, ringBytes), tx: newRing(ringSlots, ringBytes),
	}
	if w.mtu == 0 {
		w.mtu = defaultWireMTU
	}
	w.out = outlet{counters: o.Counters, mtu: w.mtu}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	var err error
	switch {
	case s.Target == "udp", s.Target == "unixgram":
		err = w.openDatagram(ctx, s.Arg("local"), s.Arg("remote"))
	case s.Arg("listen") != "":
		err = w.openListener(ctx, s.Arg("listen"))
	default:
		w.openDialer(ctx, s.Arg("connect"))
	}
	if err != nil {
		stop()
		return nil, err
	}
	return w, nil
}

// limit is the longest frame in either direction.
func (w *wire) limit() int { return w.mtu + frameOverhead }

// Wait implements Port.
func (w *wire) Wait() error { return w.rx.wait() }

// Read implements Port. The frames lie in the receiving ring.
func (w *wire) Read(frames []*packet.Frame) (int, error) {
	if w.rx.isClosed() {
		return 0, ErrClosed
	}
	n, size := w.rx.lend(frames)
	w.o.Counters.CountRx(n, size)
	return n, nil
}

// Write implements Port. Frames are counted as sent when the socket took
// them; the answer says how many were queued for it.
func (w *wire) Write(frames []*packet.Frame) int {
	if !w.linkUp() {
		w.o.Counters.DropTx(DropLinkDown, len(frames))
		return 0
	}
	return w.out.write(w.tx, frames)
}

func (w *wire) linkUp() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn != nil && !w.closed
}

// Info implements Port.
func (w *wire) Info() Info {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := Info{
		Name: w.name, Kind: KindWire, Device: w.device, MTU: w.mtu, Duplex: DuplexFull,
		Present: w.conn != nil || w.listener != nil, AdminUp: true, LinkUp: w.conn != nil && !w.closed, Problem: w.problem,
	}
	if w.peer != "" {
		i.Device += " <-> " + w.peer
	}
	return i
}

// attach makes conn the live connection; false: the port was closed meanwhile.
func (w *wire) attach(conn net.Conn, peer string) bool {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		conn.Close()
		return false
	}
	w.conn, w.peer, w.problem = conn, peer, ""
	w.mu.Unlock()
	w.o.changed()
	return true
}

// detach ends the live connection and says why.
func (w *wire) detach(problem string) {
	w.mu.Lock()
	if w.conn != nil {
		w.conn.Close()
	}
	w.conn, w.peer = nil, ""
	if !w.closed {
		w.problem = problem
	}
	w.mu.Unlock()
	w.o.changed()
}

// note records why there is no link. It tells the owner once: there was none before.
func (w *wire) note(problem string) {
	w.mu.Lock()
	first := false
	if !w.closed && w.conn == nil {
		w.problem = problem
		first, w.noted = !w.noted, true
	}
	w.mu.Unlock()
	if first {
		w.o.changed()
	}
}

// Close implements Port. It returns when both goroutines are gone and the
// socket's file, if there was one, is removed.
func (w *wire) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed, w.problem = true, ""
	conn, listener := w.conn, w.listener
	w.mu.Unlock()
	w.stop()
	w.rx.close()
	w.tx.close()
	if conn != nil {
		conn.Close()
	}
	if listener != nil {
		listener.Close()
	}
	w.done.Wait()
	w.o.changed()
	return nil
}

// sleep waits for d, or until ctx ends; it says whether to go on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// clearStale removes a socket file that a dead process left behind. It is an
// error when somebody answers there, or when the path is something else.
func clearStale(network, path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if fi.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is no socket; name another path or remove it", path)
	}
	conn, err := net.Dial(network, path)
	if err == nil {
		conn.Close()
	}
	if err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s is in use by another process; stop it or name another path", path)
	}
	return os.Remove(path)
}
