package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Stream sends numbered UDP datagrams at a steady rate, so that a single lost, doubled or overtaken frame is seen.
type Stream struct {
	from, to *Space
	tx       net.Conn
	rx       *net.UDPConn
	size     int
	gap      time.Duration
	stop     chan struct{}
	wg       sync.WaitGroup
	sent     atomic.Uint64

	mu     sync.Mutex
	report Report
	next   uint64
	seen   map[uint64]bool // numbers that were skipped and may still come
}

// Report counts what a Stream saw.
type Report struct {
	Sent, Received uint64
	Doubled        uint64
	Overtaken      uint64 // arrived after a later one
}

// Lost is how many never arrived.
func (r Report) Lost() uint64 { return r.Sent - (r.Received - r.Doubled) }

// String tells the figures.
func (r Report) String() string {
	return fmt.Sprintf("%d sent, %d received, %d lost, %d doubled, %d overtaken", r.Sent, r.Received, r.Lost(), r.Doubled, r.Overtaken)
}

// StartStream begins to send perSecond datagrams of size bytes a second to addr, which belongs to namespace to.
func StartStream(from, to *Space, addr netip.Addr, perSecond, size int) (*Stream, error) {
	pc, err := to.ListenPacket("udp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		return nil, err
	}
	rx := pc.(*net.UDPConn)
	tx, err := from.Dial(context.Background(), "udp", rx.LocalAddr().String())
	if err != nil {
		rx.Close()
		return nil, err
	}
	s := &Stream{from: from, to: to, tx: tx, rx: rx, size: max(size, 8), gap: time.Second / time.Duration(perSecond),
		stop: make(chan struct{}), seen: map[uint64]bool{}}
	s.wg.Add(1)
	go s.send()
	go s.receive()
	return s, nil
}

// send keeps the average rate: after a late wake-up it catches up, as a real source does.
func (s *Stream) send() {
	defer s.wg.Done()
	b := make([]byte, s.size)
	start := time.Now()
	for {
		n := s.sent.Load()
		select {
		case <-s.stop:
			return
		case <-time.After(time.Until(start.Add(time.Duration(n) * s.gap))):
		}
		binary.BigEndian.PutUint64(b, n)
		if _, err := s.tx.Write(b); err != nil {
			continue // a link that is down, or a port not listening yet: the number is not used up
		}
		s.sent.Add(1)
	}
}

func (s *Stream) receive() {
	b := make([]byte, 65536)
	for {
		n, _, err := s.rx.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if n >= 8 {
			s.count(binary.BigEndian.Uint64(b))
		}
	}
}

// count files one arrived number.
func (s *Stream) count(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Received++
	switch {
	case n >= s.next:
		for m := s.next; m < n; m++ {
			s.seen[m] = true
		}
		s.next = n + 1
	case s.seen[n]:
		delete(s.seen, n)
		s.report.Overtaken++
	default:
		s.report.Doubled++
	}
}

// Report is the state now; numbers on their way count as lost.
func (s *Stream) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.report
	r.Sent = s.sent.Load()
	return r
}

// Stop ends the sending, waits until everything has arrived or nothing has for half a second, and reports.
func (s *Stream) Stop() Report {
	close(s.stop)
	s.wg.Wait()
	last, quiet := s.Report(), 0
	for last.Lost() > 0 && quiet < 25 {
		time.Sleep(20 * time.Millisecond)
		now := s.Report()
		if quiet++; now.Received != last.Received {
			quiet = 0
		}
		last = now
	}
	s.tx.Close()
	s.rx.Close()
	return last
}
