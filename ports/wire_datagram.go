package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
)

const (
	// sendPatience is how long a frame waits for a unix datagram peer whose
	// queue is full, in steps of sendRetry: an unconnected unix socket is not
	// told when the queue has room again.
	sendPatience = 50 * time.Millisecond
	sendRetry    = 200 * time.Microsecond

	socketBuffer = 4 << 20 // asked for; the kernel gives what its limits allow
)

// datagramConn is what both datagram transports offer.
type datagramConn interface {
	net.Conn
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}

// unixPair is a bound unix datagram socket that sends to one path. It is not
// connected: the peer may come later, go, and come back as another socket.
type unixPair struct {
	*net.UnixConn
	remote *net.UnixAddr
	path   string
}

func (u *unixPair) Write(b []byte) (int, error) { return u.WriteToUnix(b, u.remote) }

// Close also removes the socket's file, which package net leaves to us.
func (u *unixPair) Close() error {
	err := u.UnixConn.Close()
	if err == nil {
		os.Remove(u.path)
	}
	return err
}

// openDatagram opens a wire without connection. Over UDP the socket is tied to
// its remote address, so that the kernel throws strangers' datagrams away;
// over unix sockets the permissions of the path decide who may send.
func (w *wire) openDatagram(ctx context.Context, local, remote string) error {
	var conn datagramConn
	var err error
	if w.transport == "udp" {
		conn, err = dialUDP(ctx, local, remote)
	} else {
		conn, err = openUnixPair(local, remote)
	}
	if err != nil {
		return fmt.Errorf("%s from %s to %s: %w", w.transport, local, remote, err)
	}
	// Larger buffers are a wish: a refusal leaves the kernel's defaults.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	in, inErr := newDatagramReceiver(conn, w.limit()+1) // one that fills it was too long
	out, err := newDatagramSender(conn)
	if err = errors.Join(inErr, err); err != nil {
		return errors.Join(fmt.Errorf("%s from %s to %s: %w", w.transport, local, remote, err), conn.Close())
	}
	w.conn, w.peer = conn, remote
	w.done.Go(func() { w.receiveDatagrams(ctx, in) })
	w.done.Go(func() { w.sendDatagrams(ctx, out) })
	return nil
}

func dialUDP(ctx context.Context, local, remote string) (datagramConn, error) {
	la, err := net.ResolveUDPAddr("udp", local)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{LocalAddr: la, Timeout: lastBackoff}
	conn, err := d.DialContext(ctx, "udp", remote)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

func openUnixPair(local, remote string) (datagramConn, error) {
	if err := clearStale("unixgram", local); err != nil {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: local, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return &unixPair{conn, &net.UnixAddr{Name: remote, Net: "unixgram"}, local}, nil
}

// receiveDatagrams takes one frame a datagram.
func (w *wire) receiveDatagrams(ctx context.Context, in *datagramReceiver) {
	store := make([][]byte, 0, receiveBatch)
	for failures := 0; ; {
		list, err := in.receive(store[:0])
		if err == nil {
			w.takeIn(list)
			failures = 0
			continue
		}
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		// A refusal is news about an earlier datagram of ours.
		if !peerMissing(err) {
			w.o.Counters.RxErrors.Add(1)
		}
		failures++
		if !sleep(ctx, min(time.Duration(failures)*time.Millisecond, time.Second)) {
			return
		}
	}
}

// takeIn puts the frames that came into the ring, and wakes its reader once.
func (w *wire) takeIn(list [][]byte) {
	w.rx.mu.Lock()
	for _, b := range list {
		switch {
		case len(b) > w.limit():
			w.o.Counters.DropRx(DropTooBig, 1)
		case len(b) < minFrame:
			w.o.Counters.DropRx(DropTruncated, 1)
		case !w.rx.pushLocked(b, packet.Offload{}):
			w.o.Counters.DropRx(DropFull, 1)
		}
	}
	w.rx.mu.Unlock()
	signal(w.rx.wake)
}

// sendDatagrams drains the sending ring, one datagram a frame.
func (w *wire) sendDatagrams(ctx context.Context, out *datagramSender) {
	store := make([][]byte, 0, sendBatch)
	for w.tx.wait() == nil {
		packets, size := 0, 0
		for list := w.tx.lendBytes(store[:0], sendBatch, false); len(list) > 0; {
			n, err := out.send(ctx, list)
			packets += n
			for _, b := range list[:n] {
				size += len(b)
			}
			if list = list[n:]; err != nil {
				w.notSent(err)
				list = list[1:]
			}
		}
		w.o.Counters.CountTx(packets, size)
	}
	w.o.Counters.DropTx(DropLinkDown, w.tx.discard())
}

// notSent counts a frame that the socket did not take.
func (w *wire) notSent(err error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.o.Counters.DropTx(DropFull, 1)
	case peerMissing(err), errors.Is(err, net.ErrClosed):
		w.o.Counters.DropTx(DropLinkDown, 1)
	default:
		w.o.Counters.DropTx(DropDevice, 1)
		w.o.Counters.TxErrors.Add(1)
	}
}

// peerMissing says whether err means that nobody has the other end open.
func peerMissing(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) ||
		errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNRESET)
}
