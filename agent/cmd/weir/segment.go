// Slow path: the messages of a connection as the TCP segments that a capture would have shown.

package main

import (
	"encoding/binary"
	"net/netip"

	"github.com/weirswitch/weir/agent"
)

// openflowPort is the port by which other programs know OpenFlow.
const openflowPort = 6653

// mostPayload of a segment keeps an IP packet below 65536 bytes.
const mostPayload = 60000

// tcpStream is one connection as segments. The end that was called has port 6653, whatever it had
// really; the addresses are the real ones, or of the loopback for connections that have none. Messages of
// TLS are seen in plain.
type tcpStream struct {
	ends [2]netip.AddrPort // of the switch, of the controller
	seq  [2]uint32         // what each end sends next
}

// tcpStreams are the streams of a bridge, by connection.
type tcpStreams map[uint64]*tcpStream

// of is the stream of a connection. Two connections never get the same addresses.
func (m tcpStreams) of(c *agent.SnoopedEnd) *tcpStream {
	if s := m[c.ID]; s != nil {
		return s
	}
	local, err1 := netip.ParseAddrPort(c.Local)
	remote, err2 := netip.ParseAddrPort(c.Remote)
	if err1 != nil || err2 != nil {
		here := netip.MustParseAddr("127.0.0.1")
		local, remote = netip.AddrPortFrom(here, uint16(40000+c.ID%20000)), netip.AddrPortFrom(here, uint16(40000+c.ID%20000))
	}
	local, remote = netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	called, calling := 1, 0
	if c.Tool {
		called, calling = 0, 1
	}
	s := &tcpStream{ends: [2]netip.AddrPort{local, remote}, seq: [2]uint32{1, 1}}
	s.ends[called] = netip.AddrPortFrom(s.ends[called].Addr(), openflowPort)
	for m.has(s.ends) {
		s.ends[calling] = netip.AddrPortFrom(s.ends[calling].Addr(), max(s.ends[calling].Port()+1, 1024))
	}
	m[c.ID] = s
	return s
}

func (m tcpStreams) has(ends [2]netip.AddrPort) bool {
	for _, s := range m {
		if s.ends == ends {
			return true
		}
	}
	return false
}

// segments gives the IP packets that carry a message.
func (s *tcpStream) segments(msg []byte, sent bool) (list [][]byte) {
	from, to := 1, 0
	if sent {
		from, to = 0, 1
	}
	for len(msg) > 0 {
		n := min(len(msg), mostPayload)
		list = append(list, s.segment(msg[:n], from, to))
		s.seq[from] += uint32(n)
		msg = msg[n:]
	}
	return list
}

func (s *tcpStream) segment(data []byte, from, to int) []byte {
	be := binary.BigEndian
	src, dst := s.ends[from], s.ends[to]
	tcp := be.AppendUint16(be.AppendUint16(nil, src.Port()), dst.Port())
	tcp = be.AppendUint32(be.AppendUint32(tcp, s.seq[from]), s.seq[to])
	tcp = append(tcp, 5<<4, 0x18, 0xff, 0xff, 0, 0, 0, 0) // no options, PSH ACK, window, checksum, urgent
	tcp = append(tcp, data...)
	a, b := src.Addr().AsSlice(), dst.Addr().AsSlice()
	pseudo := append(append([]byte(nil), a...), b...)
	pseudo = be.AppendUint32(be.AppendUint32(pseudo, uint32(len(tcp))), 6)
	be.PutUint16(tcp[16:], checksum(pseudo, tcp))
	var ip []byte
	if src.Addr().Is4() {
		ip = be.AppendUint16([]byte{0x45, 0}, uint16(20+len(tcp)))
		ip = append(ip, 0, 0, 0x40, 0, 64, 6, 0, 0) // id, don't fragment, TTL, TCP, checksum
		ip = append(append(ip, a...), b...)
		be.PutUint16(ip[10:], checksum(ip))
	} else {
		ip = be.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(tcp)))
		ip = append(append(append(ip, 6, 64), a...), b...)
	}
	return append(ip, tcp...)
}

// checksum is the internet checksum of the parts, of which all but the last have an even length.
func checksum(parts ...[]byte) uint16 {
	sum := uint64(0)
	for _, b := range parts {
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint64(b[i])<<8 | uint64(b[i+1])
		}
		if len(b)%2 == 1 {
			sum += uint64(b[len(b)-1]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
