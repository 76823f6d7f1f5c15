package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoReply is what Ping wraps when the time runs out.
var ErrNoReply = errors.New("no echo reply")

// Types of ICMP (RFC 792) and ICMPv6 (RFC 4443) echo messages.
const (
	echoRequest4 = 8
	echoReply4   = 0
	echoRequest6 = 128
	echoReply6   = 129
)

// pingRetry is the time after which a lost request is sent again.
const pingRetry = 200 * time.Millisecond

// Ping sends ICMP echo requests of size data bytes until one is answered, and returns the time since the last was sent.
// It waits for a path to appear: a new link and its neighbour entries take a moment. Where frames have to wait for longer
// than it does between two requests, it is an earlier one's answer that counts.
func (s *Space) Ping(to netip.Addr, size int, patience time.Duration) (time.Duration, error) {
	p, err := s.newPinger(to)
	if err != nil {
		return 0, fmt.Errorf("%s: ping %s: %w", s.Name, to, err)
	}
	defer p.close()
	deadline := time.Now().Add(patience)
	var last error
	for time.Now().Before(deadline) {
		rtt, err := p.once(size, min(pingRetry, time.Until(deadline)), 1)
		if err == nil {
			return rtt, nil
		}
		if last = err; !errors.Is(err, ErrNoReply) {
			time.Sleep(10 * time.Millisecond) // "no route" and the like, while the link comes up
		}
	}
	if last == nil {
		last = ErrNoReply
	}
	return 0, fmt.Errorf("%s: ping %s: %w after %v", s.Name, to, last, patience)
}

// PingCount sends n requests one after the other, none of them twice, and returns how many were answered.
func (s *Space) PingCount(to netip.Addr, n int, each time.Duration) (int, error) {
	p, err := s.newPinger(to)
	if err != nil {
		return 0, fmt.Errorf("%s: ping %s: %w", s.Name, to, err)
	}
	defer p.close()
	answered := 0
	for range n {
		if _, err := p.once(56, each, p.seq+1); err == nil {
			answered++
		}
	}
	return answered, nil
}

// pinger is one raw ICMP socket with its counter.
type pinger struct {
	fd  int
	to  netip.Addr
	dst unix.Sockaddr
	id  uint16
	seq uint16
	buf []byte
}

func (s *Space) newPinger(to netip.Addr) (*pinger, error) {
	p := &pinger{to: to, id: uint16(rand.Uint32()), buf: make([]byte, 65536)}
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	if to.Is4() {
		p.dst = &unix.SockaddrInet4{Addr: to.As4()}
	} else {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
		p.dst = &unix.SockaddrInet6{Addr: to.As16()}
	}
	err := s.Do(func() (err error) {
		p.fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
		return err
	})
	return p, err
}

func (p *pinger) close() { unix.Close(p.fd) }

// once sends one request and waits for a reply that carries its identifier and its number, or an earlier one from first on.
func (p *pinger) once(size int, wait time.Duration, first uint16) (time.Duration, error) {
	p.seq++
	start := time.Now()
	if err := unix.Sendto(p.fd, p.request(size), 0, p.dst); err != nil {
		return 0, err
	}
	for {
		left := wait - time.Since(start)
		if left <= 0 {
			return 0, ErrNoReply
		}
		tv := unix.NsecToTimeval(max(left, time.Millisecond).Nanoseconds())
		if err := unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return 0, err
		}
		n, _, err := unix.Recvfrom(p.fd, p.buf, 0)
		if err == unix.EAGAIN || err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		if p.isReply(p.buf[:n], size, first) {
			return time.Since(start), nil
		}
	}
}

// request builds an echo request. The kernel fills in the checksum of ICMPv6, not that of ICMP.
func (p *pinger) request(size int) []byte {
	b := make([]byte, 8+size)
	b[0] = echoRequest4
	if !p.to.Is4() {
		b[0] = echoRequest6
	}
	binary.BigEndian.PutUint16(b[4:], p.id)
	binary.BigEndian.PutUint16(b[6:], p.seq)
	for i := range size {
		b[8+i] = byte(i)
	}
	if p.to.Is4() {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// isReply checks the reply down to its data: a switch that damages a byte is not answered for.
func (p *pinger) isReply(b []byte, size int, first uint16) bool {
	want := byte(echoReply6)
	if p.to.Is4() { // raw IPv4 sockets deliver the IP header as well
		if len(b) < 20 || len(b) < int(b[0]&15)*4 {
			return false
		}
		b = b[int(b[0]&15)*4:]
		want = echoReply4
	}
	if len(b) != 8+size || b[0] != want || binary.BigEndian.Uint16(b[4:]) != p.id {
		return false
	}
	if seq := binary.BigEndian.Uint16(b[6:]); seq < first || seq > p.seq {
		return false
	}
	for i := range size {
		if b[8+i] != byte(i) {
			return false
		}
	}
	return true
}

// checksum is the Internet checksum (RFC 1071), written here again so that the lab does not lean on the switch's code.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
