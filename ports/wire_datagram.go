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
	w.conn, w.peer = conn, remote
	w.done.Go(func() { w.receiveDatagrams(ctx, conn) })
	w.done.Go(func() { w.sendDatagrams(ctx, conn) })
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

// receiveDatagrams takes one frame a datagram. The buffer is one byte longer
// than the longest frame: a datagram that fills it was too long.
func (w *wire) receiveDatagrams(ctx context.Context, conn net.Conn) {
	frame := make([]byte, w.limit()+1)
	failures := 0
	for {
		n, err := conn.Read(frame)
		switch {
		case err != nil:
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
			continue
		case n > w.limit():
			w.o.Counters.DropRx(DropTooBig, 1)
		case n < minFrame:
			w.o.Counters.DropRx(DropTruncated, 1)
		case !w.rx.push(frame[:n], packet.Offload{}):
			w.o.Counters.DropRx(DropFull, 1)
		}
		failures = 0
	}
}

// sendDatagrams drains the sending ring, one datagram a frame.
func (w *wire) sendDatagrams(ctx context.Context, conn net.Conn) {
	store := make([][]byte, 0, sendBatch)
	for w.tx.wait() == nil {
		packets, size := 0, 0
		for _, b := range w.tx.lendBytes(store[:0], sendBatch, false) {
			switch err := w.sendOne(ctx, conn, b); {
			case err == nil:
				packets++
				size += len(b)
			case errors.Is(err, os.ErrDeadlineExceeded):
				w.o.Counters.DropTx(DropFull, 1)
			case peerMissing(err):
				w.o.Counters.DropTx(DropLinkDown, 1)
			case errors.Is(err, net.ErrClosed):
				w.o.Counters.DropTx(DropLinkDown, 1)
			default:
				w.o.Counters.DropTx(DropDevice, 1)
				w.o.Counters.TxErrors.Add(1)
			}
		}
		w.o.Counters.CountTx(packets, size)
	}
	w.o.Counters.DropTx(DropLinkDown, w.tx.discard())
}

// sendOne sends one datagram, patient with a full peer but not for long. UDP
// reports a refusal of an earlier datagram instead of sending this one, so a
// refusal is tried once more.
func (w *wire) sendOne(ctx context.Context, conn net.Conn, b []byte) error {
	if w.transport == "udp" {
		_, err := conn.Write(b)
		if err != nil && peerMissing(err) {
			_, err = conn.Write(b)
		}
		return err
	}
	for waited := time.Duration(0); ; waited += sendRetry {
		if err := conn.SetWriteDeadline(time.Now().Add(sendRetry)); err != nil {
			return err
		}
		_, err := conn.Write(b)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || waited >= sendPatience || ctx.Err() != nil {
			return err
		}
	}
}

// peerMissing says whether err means that nobody has the other end open.
func peerMissing(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) ||
		errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNRESET)
}
