package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// chunk is the size of one write of a transfer; big enough that the kernel builds full super-frames.
const chunk = 256 << 10

// Transfer is one TCP stream from a namespace to an address of another.
type Transfer struct {
	From  *Space
	To    *Space
	Addr  netip.Addr     // of To
	Port  uint16         // of To; zero for any that is free
	Via   netip.AddrPort // what is dialled when something between translates; zero for the address and port of To
	Bytes int64          // how many to send
	Hash  bool           // compare SHA-256 over both ends as well; costs throughput where the processors are shared
	Rate  int64          // bytes a second; zero for as fast as it goes
	Limit time.Duration  // give up after; zero for a minute
}

// Result is what became of a transfer.
type Result struct {
	Bytes       int64         // received
	Took        time.Duration // from the connection's start to the receiver's word that it has everything
	Retransmits uint32        // segments sent again (TCP_INFO)
	Needless    uint32        // of these, the ones the receiver had already: sent again for lateness, not for loss
	Sum         string        // SHA-256 of the received bytes when asked for, equal to the sent ones'
}

// GbitPerSecond is the throughput as iperf would print it.
func (r Result) GbitPerSecond() float64 { return float64(r.Bytes) * 8 / r.Took.Seconds() / 1e9 }

// String tells the figures.
func (r Result) String() string {
	return fmt.Sprintf("%d MB in %.2f s, %.2f Gbit/s, %d retransmits, %d needless",
		r.Bytes/1e6, r.Took.Seconds(), r.GbitPerSecond(), r.Retransmits, r.Needless)
}

// Run moves the bytes. The receiver knows what must come and compares every byte. Every chunk carries its own number,
// so lost, doubled or swapped chunks differ as damaged ones do. An error is returned when bytes are missing or differ,
// or when time is up.
func (t Transfer) Run() (Result, error) {
	limit := t.Limit
	if limit == 0 {
		limit = time.Minute
	}
	deadline := time.Now().Add(limit)
	res, err := t.run(deadline)
	if err != nil {
		err = fmt.Errorf("tcp %s -> %s (%s), %d bytes: %w", t.From.Name, t.To.Name, t.Addr, t.Bytes, err)
	}
	return res, err
}

func (t Transfer) run(deadline time.Time) (Result, error) {
	ln, err := t.To.Listen(netip.AddrPortFrom(t.Addr, t.Port).String())
	if err != nil {
		return Result{}, err
	}
	defer ln.Close()
	_ = ln.(*net.TCPListener).SetDeadline(deadline)
	received, counted := make(chan receipt, 1), make(chan struct{})
	go func() { received <- t.receive(ln, deadline, counted) }()

	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	dial := ln.Addr().String()
	if t.Via.IsValid() {
		dial = t.Via.String()
	}
	conn, err := t.From.Dial(ctx, "tcp", dial)
	if err != nil {
		return Result{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(deadline)
	start := time.Now()
	sum, err := t.send(conn.(*net.TCPConn))
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 1))
	}
	took := time.Since(start)
	res := Result{Bytes: t.Bytes, Took: took}
	if err == nil {
		res.Retransmits, res.Needless = retransmits(conn.(*net.TCPConn))
	}
	close(counted)
	if err != nil { // either end may have seen the cause, and the other only its consequence
		ln.Close()
		conn.Close()
		r := <-received
		return Result{Bytes: r.n, Took: took}, errors.Join(err, r.err)
	}
	r := <-received
	res.Bytes, res.Sum = r.n, r.sum
	switch {
	case r.err != nil:
		return res, r.err
	case r.n != t.Bytes:
		return res, fmt.Errorf("%d bytes arrived", r.n)
	case r.sum != sum:
		return res, fmt.Errorf("the received bytes differ: SHA-256 %s, sent %s", r.sum, sum)
	}
	return res, nil
}

// pattern is the content of a transfer, one chunk at a time.
type pattern struct {
	buf   [chunk]byte
	bytes int64 // of the whole transfer
}

func newPattern(bytes int64) *pattern {
	p := &pattern{bytes: bytes}
	for i := range p.buf {
		p.buf[i] = byte(i*7 + i>>8) // not constant, and of no period that a swapped segment could hide in
	}
	return p
}

// chunk returns number n, valid until the next call; empty after the last.
func (p *pattern) chunk(n int64) []byte {
	b := p.buf[:max(0, min(chunk, p.bytes-n*chunk))]
	if len(b) >= 8 {
		binary.BigEndian.PutUint64(b, uint64(n))
	}
	return b
}

// send writes the chunks and closes its side.
func (t Transfer) send(conn *net.TCPConn) (string, error) {
	p, h := newPattern(t.Bytes), t.hash()
	start := time.Now()
	for n, sent := int64(0), int64(0); sent < t.Bytes; n++ {
		b := p.chunk(n)
		if h != nil {
			h.Write(b)
		}
		if _, err := conn.Write(b); err != nil {
			return "", fmt.Errorf("after %d bytes: %w", sent, err)
		}
		sent += int64(len(b))
		if t.Rate > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(float64(sent) / float64(t.Rate) * 1e9))))
		}
	}
	return sumText(h), conn.CloseWrite()
}

// receipt is what the receiving side saw.
type receipt struct {
	n   int64
	sum string
	err error
}

// receive takes everything and answers with one byte. It keeps the connection until the sender has counted.
func (t Transfer) receive(ln net.Listener, deadline time.Time, counted <-chan struct{}) (r receipt) {
	conn, err := ln.Accept()
	if err != nil {
		return receipt{err: err}
	}
	defer conn.Close()
	_ = conn.SetDeadline(deadline)
	buf := make([]byte, chunk)
	p, h := newPattern(t.Bytes), t.hash()
	var want []byte // what is left of the chunk that is coming in
	next := int64(0)
	for {
		n, err := conn.Read(buf)
		if h != nil {
			h.Write(buf[:n])
		}
		for got := buf[:n]; len(got) > 0; {
			if len(want) == 0 {
				want = p.chunk(next)
				next++
			}
			k := min(len(got), len(want))
			if k == 0 || !bytes.Equal(got[:k], want[:k]) {
				r.err = fmt.Errorf("the bytes after the first %d are not those that were sent", r.n)
				return r
			}
			got, want, r.n = got[k:], want[k:], r.n+int64(k)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.err = fmt.Errorf("received %d bytes: %w", r.n, err)
			return r
		}
	}
	r.sum = sumText(h)
	if _, r.err = conn.Write([]byte{1}); r.err == nil {
		<-counted
	}
	return r
}

func (t Transfer) hash() hash.Hash {
	if !t.Hash {
		return nil
	}
	return sha256.New()
}

func sumText(h hash.Hash) string {
	if h == nil {
		return ""
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// retransmits reads how many segments the sender had to repeat, and how many of these came twice (DSACK, RFC 2883). The word
// about the last of them may still be under way.
func retransmits(c *net.TCPConn) (all, needless uint32) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0
	}
	for end := time.Now().Add(time.Second); ; time.Sleep(10 * time.Millisecond) {
		_ = raw.Control(func(fd uintptr) {
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				all, needless = info.Total_retrans, info.Dsack_dups
			}
		})
		if all <= needless || time.Now().After(end) {
			return all, needless
		}
	}
}
