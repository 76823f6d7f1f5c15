package ports

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

const (
	// maxStreamFrame is the longest frame that QEMU's framing may announce
	// (its buffers are 64 KiB and a page). Anything longer is not a frame but
	// a peer that speaks something else.
	maxStreamFrame = 64<<10 + 4<<10

	// firstBackoff doubles up to lastBackoff between attempts to connect. A
	// connection that lasted steadyAfter starts again with the first.
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
	steadyAfter  = 5 * time.Second

	// handover is how long a new client waits for the old one to be gone: a
	// restarted guest may knock before the end of its former life was read.
	handover = time.Second

	// sendBatch is how many frames go into one system call at most.
	sendBatch = 64
)

// keepAlive finds a peer whose machine vanished without a word within half a
// minute, so that its successor gets in.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}

// openListener waits for the peer. A wire has two ends: while one client is
// connected, a second is turned away, as qemu itself does when it listens. It
// could displace the first instead, but then two guests that were given the
// same address by mistake would throw each other out for ever.
func (w *wire) openListener(ctx context.Context, addr string) error {
	network := w.transport // tcp or unix: package net calls them the same
	if network == "unix" {
		if err := clearStale(network, addr); err != nil {
			return fmt.Errorf("listen on %s: %w", addr, err)
		}
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	l, err := lc.Listen(ctx, network, addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	w.listener, w.problem = l, "waiting for a peer to connect to "+addr
	w.done.Go(func() { w.accept(ctx, l) })
	return nil
}

// accept serves one client after the other until the port closes.
func (w *wire) accept(ctx context.Context, l net.Listener) {
	seat := make(chan struct{}, 1) // taken while a client is served
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || !sleep(ctx, firstBackoff) {
				return
			}
			w.o.Counters.RxErrors.Add(1)
			continue
		}
		select {
		case seat <- struct{}{}:
		case <-time.After(handover):
			conn.Close()
			w.o.Counters.RxErrors.Add(1)
			continue
		case <-ctx.Done():
			conn.Close()
			return
		}
		w.done.Go(func() {
			why := w.serve(conn)
			w.note("waiting for a peer; the last one left: " + why)
			<-seat
		})
	}
}

// openDialer keeps a connection to addr.
func (w *wire) openDialer(ctx context.Context, addr string) {
	w.problem = "connecting to " + addr
	d := net.Dialer{Timeout: lastBackoff, KeepAliveConfig: keepAlive}
	w.done.Go(func() {
		backoff := firstBackoff
		for {
			why := "not connected"
			conn, err := d.DialContext(ctx, w.transport, addr)
			if err != nil {
				why = err.Error()
			} else {
				began := time.Now()
				why = w.serve(conn)
				if time.Since(began) > steadyAfter {
					backoff = firstBackoff
				}
			}
			w.note(fmt.Sprintf("%s; trying again", why))
			if !sleep(ctx, backoff) {
				return
			}
			backoff = min(2*backoff, lastBackoff)
		}
	})
}

// serve runs one connection to its end and says why it ended.
func (w *wire) serve(conn net.Conn) string {
	w.o.Counters.DropTx(DropLinkDown, w.tx.discard()) // what was meant for the one before
	if !w.attach(conn, peerName(conn)) {
		return "port closed"
	}
	over := make(chan struct{})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		w.sendStream(conn, over)
	}()
	err := w.receiveStream(conn)
	why := "closed by the peer"
	if err != nil && !errors.Is(err, io.EOF) {
		why = err.Error()
	}
	w.detach(why)
	close(over)
	signal(w.tx.wake)
	<-sent
	w.o.Counters.DropTx(DropLinkDown, w.tx.discard())
	return why
}

// peerName is a short name for the other end; a unix client has none.
func peerName(conn net.Conn) string {
	name := conn.RemoteAddr().String()
	if name == "" || name == "@" {
		return "client"
	}
	return strings.TrimSpace(name)
}

// receiveStream cuts the stream into frames until it ends. A length that no
// frame can have means that the peer's framing is lost, or that it speaks
// something else: the connection ends. A frame longer than this port's MTU is
// skipped and counted.
func (w *wire) receiveStream(conn net.Conn) error {
	br := bufio.NewReaderSize(conn, 64<<10)
	frame := make([]byte, w.limit())
	var head [lengthPrefix]byte
	for {
		if _, err := io.ReadFull(br, head[:]); err != nil {
			return w.cutOff(err)
		}
		n := int64(binary.BigEndian.Uint32(head[:]))
		if n == 0 || n > maxStreamFrame {
			w.o.Counters.DropRx(DropMalformed, 1)
			w.o.Counters.RxErrors.Add(1)
			return fmt.Errorf("the peer announced a frame of %d bytes, where 1 to %d are possible; "+
				"expected qemu's framing: four bytes of length, big endian, before each frame", n, maxStreamFrame)
		}
		if n < minFrame || n > int64(len(frame)) {
			reason := DropTooBig
			if n < minFrame {
				reason = DropTruncated
			}
			w.o.Counters.DropRx(reason, 1)
			if _, err := io.CopyN(io.Discard, br, n); err != nil {
				return w.cutOff(err)
			}
			continue
		}
		if _, err := io.ReadFull(br, frame[:n]); err != nil {
			return w.cutOff(err)
		}
		if !w.rx.pushWait(frame[:n]) {
			return ErrClosed
		}
	}
}

// cutOff counts a frame whose end never came.
func (w *wire) cutOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		w.o.Counters.DropRx(DropTruncated, 1)
		return errors.New("the connection ended in the middle of a frame")
	}
	return err
}

// sendStream drains the sending ring into the connection until over is closed
// or the connection fails. Only its peer's slowness can block it, and then
// the ring fills and Write drops.
func (w *wire) sendStream(conn net.Conn, over <-chan struct{}) {
	store := make([][]byte, 0, sendBatch)
	var bufs net.Buffers // once: it is kept on the heap
	for {
		select {
		case <-over:
			return
		default:
		}
		batch := w.tx.lendBytes(store[:0], sendBatch, true)
		if len(batch) == 0 {
			select {
			case <-w.tx.wake:
				if w.tx.isClosed() {
					return
				}
				continue
			case <-over:
				return
			}
		}
		packets, size := len(batch), 0
		for _, b := range batch {
			size += len(b) - lengthPrefix
		}
		bufs = batch
		if _, err := bufs.WriteTo(conn); err != nil {
			w.o.Counters.DropTx(DropLinkDown, packets)
			if !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrClosed) {
				w.o.Counters.TxErrors.Add(1)
			}
			conn.Close() // the reader sees it and ends the connection
			return
		}
		w.o.Counters.CountTx(packets, size)
	}
}
