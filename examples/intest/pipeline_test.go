package intest

import (
	"bytes"
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"testing"
)

var seed = flag.Uint64("seed", 1, "which random frames")

// A small site: port 1 the office, port 2 the servers, port 3 the world, port 4 one machine among the servers. Table 0
// says where a packet comes from, table 1 what it may do, table 2 where it goes.
var site = []string{
	"table=0,priority=10,in_port=1,ip,actions=write_metadata:1,goto_table:1",
	"table=0,priority=10,in_port=2,ip,actions=write_metadata:2,goto_table:1",
	"table=0,priority=10,in_port=4,ip,actions=write_metadata:2,goto_table:1",
	"table=0,priority=10,in_port=3,ip,actions=write_metadata:3,goto_table:1",
	"table=1,priority=30,tcp,tp_dst=23,actions=drop", // telnet, for nobody
	"table=1,priority=20,metadata=3,udp,tp_dst=53,ip_dst=10.0.2.0/24,actions=goto_table:2",
	"table=1,priority=20,metadata=3,tcp,tp_dst=80,ip_dst=10.0.2.0/24,actions=goto_table:2",
	"table=1,priority=10,metadata=3,ip,actions=drop",
	"table=1,priority=0,actions=goto_table:2",
	"table=2,priority=24,ip,ip_dst=10.0.1.0/24,actions=dec_ttl,set_field:02:00:00:00:01:00->eth_dst,output:1",
	"table=2,priority=24,ip,ip_dst=10.0.2.0/24,actions=dec_ttl,set_field:02:00:00:00:02:00->eth_dst,output:2",
	"table=2,priority=32,ip,ip_dst=10.0.2.4,actions=dec_ttl,set_field:02:00:00:00:04:00->eth_dst,output:4",
	"table=2,priority=0,ip,actions=dec_ttl,set_field:02:00:00:00:03:00->eth_dst,output:3",
}

// datagram is what the frames of this test differ in.
type datagram struct {
	arp          bool
	router       byte // the last but one byte of the destination MAC
	src, dst     [4]byte
	udp          bool
	sport, dport uint16
	ttl          byte
}

// expected is the site once more, as a person would say it: by which port the datagram leaves (0: none), and how.
func expected(in int, d datagram) (out int, changed datagram) {
	fromWorld, toServers := in == 3, d.dst[0] == 10 && d.dst[2] == 2
	telnet, web, names := !d.udp && d.dport == 23, !d.udp && d.dport == 80, d.udp && d.dport == 53
	if d.arp || telnet || d.ttl <= 1 || fromWorld && !(toServers && (web || names)) {
		return 0, d
	}
	switch {
	case d.dst == [4]byte{10, 0, 2, 4}:
		out = 4
	case toServers:
		out = 2
	case d.dst[0] == 10:
		out = 1
	default:
		out = 3
	}
	d.ttl, d.router = d.ttl-1, byte(out)
	if out == in { // a switch sends nothing back by the port it came from
		return 0, d
	}
	return out, d
}

// random makes datagrams of few different values, so that every entry is met often.
func random(rnd *rand.Rand) datagram {
	dst := [][4]byte{{10, 0, 1, byte(rnd.Uint32())}, {10, 0, 2, byte(rnd.Uint32())}, {10, 0, 2, 4}, {192, 0, 2, byte(rnd.Uint32())}}
	ttl := []byte{0, 1, 2, 64, 255}
	dport := []uint16{22, 23, 53, 80, uint16(rnd.Uint32())}
	return datagram{
		arp: rnd.IntN(20) == 0, udp: rnd.IntN(2) == 0, ttl: ttl[rnd.IntN(len(ttl))], router: 0xff,
		src: [4]byte{10, 0, byte(rnd.IntN(4)), byte(rnd.Uint32())}, dst: dst[rnd.IntN(len(dst))],
		sport: uint16(rnd.Uint32()), dport: dport[rnd.IntN(len(dport))],
	}
}

// frame is the datagram's bytes, 60 of them.
func (d datagram) frame() []byte {
	b := make([]byte, 60)
	copy(b, []byte{2, 0, 0, 0, d.router, 0, 2, 0, 0, 0, 9, 9, 8, 0})
	if d.arp {
		b[13] = 6
		return b
	}
	ip, l4 := b[14:34], b[34:]
	ip[0], ip[3], ip[8], ip[9] = 0x45, 46, d.ttl, 6
	copy(ip[12:], d.src[:])
	copy(ip[16:], d.dst[:])
	binary.BigEndian.PutUint16(l4, d.sport)
	binary.BigEndian.PutUint16(l4[2:], d.dport)
	if d.udp {
		ip[9], l4[5] = 17, 26
	} else {
		l4[12] = 5 << 4
	}
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	return b
}

// want is a frame that has to leave, and the datagram that it comes from.
type want struct {
	number int
	in     datagram
	frame  []byte
}

// TestRandomFrames sends ten thousand frames through three tables, sixteen by one port and then sixteen by another. A
// frame that fails is named by the seed and its number, and comes again with them.
func TestRandomFrames(t *testing.T) {
	const total, burst = 10_000, 16
	r := newRig(t, 4, 1)
	r.flows(site...)
	rnd := rand.New(rand.NewPCG(*seed, 0))
	var left [5]int
	for first := 0; first < total; first += burst {
		in := 1 + rnd.IntN(4)
		var frames [][]byte
		var wants [5][]want
		for n := first; n < first+burst; n++ {
			d := random(rnd)
			out, changed := expected(in, d)
			frames = append(frames, d.frame())
			wants[out] = append(wants[out], want{n, d, changed.frame()})
			left[out]++
		}
		for i, got := range r.send(in, frames...) {
			compare(t, in, i+1, got, wants[i+1])
		}
	}
	for out, n := range left {
		if n < 100 {
			t.Errorf("only %d frames for port %d: the random frames do not reach everything", n, out)
		}
	}
	t.Logf("dropped %d; by ports 1 to 4 left %v", left[0], left[1:])
}

// compare judges what left by one port, in its order.
func compare(t *testing.T, in, out int, got [][]byte, wants []want) {
	t.Helper()
	for i, w := range wants {
		if i >= len(got) || !bytes.Equal(got[i], w.frame) {
			t.Fatalf("-seed=%d, frame %d by port %d: %+v\nwant by port %d: % x\ngot % x", *seed, w.number, in, w.in, out, w.frame, got[min(i, len(got)):])
		}
	}
	if len(got) > len(wants) {
		t.Fatalf("-seed=%d: from port %d to port %d came what should not: % x", *seed, in, out, got[len(wants):])
	}
}
