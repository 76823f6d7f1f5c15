package flowtable

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

var be = binary.BigEndian

// whole is a UDP datagram of n bytes of payload, with k tags, and for IPv6 a hop-by-hop header.
func whole(v6 bool, tags, n int) []byte {
	e := ethernet{dst: "2", src: "1"}
	for i := range tags {
		e.vlans = append(e.vlans, uint16(100+i))
	}
	data := make(gopacket.Payload, n)
	for i := range data {
		data[i] = byte(i * 7)
	}
	udp := &layers.UDP{SrcPort: 1000, DstPort: 53}
	if !v6 {
		ip := ip4(1, 2, 64, layers.IPProtocolUDP)
		ip.Id, ip.TOS = 0x1234, 2
		ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
		_ = udp.SetNetworkLayerForChecksum(ip)
		return build(e, layers.EthernetTypeIPv4, ip, udp, data)
	}
	ip := &layers.IPv6{Version: 6, HopLimit: 64, TrafficClass: 2, NextHeader: layers.IPProtocolIPv6HopByHop,
		SrcIP: []byte{15: 1}, DstIP: []byte{0: 0xfd, 15: 2}}
	hop := &layers.IPv6HopByHop{}
	hop.NextHeader = layers.IPProtocolUDP
	hop.Options = []*layers.IPv6HopByHopOption{{OptionType: 1, OptionData: make([]byte, 4)}}
	_ = udp.SetNetworkLayerForChecksum(ip)
	return build(e, layers.EthernetTypeIPv6, ip, hop, udp, data)
}

// slice is one fragment of a frame: the bytes from one place to another of what is fragmented.
// It is written after RFC 791 and RFC 8200 and knows nothing of the code under test.
func slice(frame []byte, tags, from, to int, more bool) []byte {
	l3 := 14 + 4*tags
	v4 := frame[l3]>>4 == 4
	head := l3 + 40 + 8
	if v4 {
		head = l3 + int(frame[l3]&15)*4
	}
	out := slices.Clone(frame[:head])
	mf := uint16(0)
	if more {
		mf = 1
	}
	data := frame[head:]
	if v4 {
		out = append(out, data[from:to]...)
		ip := out[l3:]
		be.PutUint16(ip[2:], uint16(len(ip)))
		be.PutUint16(ip[6:], mf<<13|uint16(from/8))
		be.PutUint16(ip[10:], 0)
		be.PutUint16(ip[10:], ^packet.Fold(packet.Sum16(ip[:head-l3], 0)))
		return out
	}
	out = append(out, out[l3+40], 0)
	out[l3+40] = 44
	out = be.AppendUint16(out, uint16(from)|mf)
	out = be.AppendUint32(out, 0xabcd1234)
	out = append(out, data[from:to]...)
	be.PutUint16(out[l3+4:], uint16(len(out)-l3-40))
	return out
}

// slices4 cuts a frame's datagram of n bytes, its UDP header included, into four.
func slices4(frame []byte, tags, n int) [][]byte {
	cuts := []int{0, 48, 64, 1000, n}
	var out [][]byte
	for i := range 4 {
		out = append(out, slice(frame, tags, cuts[i], cuts[i+1], i < 3))
	}
	return out
}

// reassembling is a rig that puts fragments together and sends UDP port 53 to port 2.
func reassembling(t testing.TB, c Config) *rig {
	r := newRig(t, c, upPorts(4))
	for _, eth := range []uint64{0x0800, 0x86dd} {
		r.flow(0, 5, openflow.NewMatch(openflow.Exact(openflow.EthType, eth), openflow.Exact(openflow.IPProto, 17), openflow.Exact(openflow.UDPDst, 53)), toPort(2))
	}
	r.SetFragments(openflow.FragReasm)
	return r
}

func (r *rig) dropped(why Drop) uint64 { d := r.Drops(); return d[why] }

// waiting is what the reassembler holds; the figures must agree with each other.
func (r *rig) waiting() (datagrams, cost int) {
	r.t.Helper()
	x := r.frags
	sum, n := 0, 0
	for d := x.oldest; d != nil; d = d.younger {
		n++
		sum += d.cost
		have := datagramCost + len(d.key) + len(d.head)
		for _, p := range d.pieces {
			have += pieceCost + len(p.data)
		}
		if x.byKey[d.key] != d || have != d.cost || len(d.pieces) == 0 {
			r.t.Fatalf("a datagram of %d pieces that costs %d, not %d", len(d.pieces), d.cost, have)
		}
	}
	if n != len(x.byKey) || sum != x.cost {
		r.t.Fatalf("%d datagrams of %d bytes in the list, %d of %d by key", n, sum, len(x.byKey), x.cost)
	}
	return n, sum
}

// TestReassembly: fragments in whatever order make the packet that was cut, byte for byte, and its
// ports decide; with and without the cache, behind any number of tags.
func TestReassembly(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		for _, v6 := range []bool{false, true} {
			for _, tags := range []int{0, 1, 3} {
				r := reassembling(t, c)
				frame := whole(v6, tags, 2000)
				parts := slices4(frame, tags, 2008)
				want := outputEvent(2, 0, frame)
				for _, order := range permutations(4) {
					for i, k := range order {
						got := r.send(1, parts[k])
						if i < 3 && len(got) != 0 || i == 3 && (len(got) != 1 || got[0] != want) {
							t.Fatalf("v6=%v, %d tags, order %v, fragment %d: %.200q\nwant %.200q", v6, tags, order, k, got, want)
						}
					}
				}
				if n, cost := r.waiting(); n != 0 || cost != 0 {
					t.Errorf("%d datagrams of %d bytes are left", n, cost)
				}
				if d := r.Drops(); d != (Drops{}) {
					t.Errorf("drops %v", d)
				}
			}
		}
	})
}

func permutations(n int) (all [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, p := range permutations(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return all
}

// TestReassemblyOwes: the packet says how to cut it again.
func TestReassemblyOwes(t *testing.T) {
	r := reassembling(t, Config{})
	for _, v6 := range []bool{false, true} {
		for _, p := range slices4(whole(v6, 1, 2000), 1, 2008) {
			r.proc.Process(r.now, []*packet.Frame{frameOf(1, p)}, &r.rec)
		}
		want := packet.Offload{GSO: packet.GSOFrag, GSOSize: 24 + 2008 - 1000, FragID: 0x1234}
		if v6 {
			want = packet.Offload{GSO: packet.GSOFrag, GSOSize: 56 + 2008 - 1000, FragID: 0xabcd1234}
		}
		if got := r.rec.held[0].f.Offload; got != want {
			t.Errorf("v6=%v: %+v, want %+v", v6, got, want)
		}
		if n, bytes := r.rec.held[0].f.OnWire(); n != 2 || bytes <= 2000 {
			t.Errorf("v6=%v: %d packets of %d bytes on a wire", v6, n, bytes)
		}
		r.rec.take(t)
	}
}

// TestReassemblyKeepsApart: other ports, VLANs, numbers and, for IPv4, protocols are other packets.
func TestReassemblyKeepsApart(t *testing.T) {
	frame := whole(false, 1, 2000)
	parts := slices4(frame, 1, 2008)
	for name, change := range map[string]func(b []byte) uint32{
		"port":     func([]byte) uint32 { return 3 },
		"VLAN":     func(b []byte) uint32 { b[15]++; return 1 },
		"number":   func(b []byte) uint32 { b[18+5]++; return 1 },
		"protocol": func(b []byte) uint32 { b[18+9] = 6; return 1 },
		"source":   func(b []byte) uint32 { b[18+12]++; return 1 },
	} {
		r := reassembling(t, Config{})
		odd := slices.Clone(parts[3])
		in := change(odd)
		for _, p := range parts[:3] {
			r.send(1, p)
		}
		if got := r.send(in, odd); len(got) != 0 {
			t.Errorf("another %s: %.100q", name, got)
		}
		if n, _ := r.waiting(); n != 2 {
			t.Errorf("another %s: %d packets are waiting", name, n)
		}
		if got := r.send(1, parts[3]); len(got) != 1 {
			t.Errorf("another %s: %.100q", name, got)
		}
	}
}

// TestReassemblyRefuses: what is dropped, under which name, and what it takes along.
func TestReassemblyRefuses(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		frame := whole(v6, 0, 2000)
		cut := func(from, to int, more bool) []byte { return slice(frame, 0, from, to, more) }
		other := slices.Clone(frame)
		other[len(frame)-1]++
		for _, c := range []struct {
			name  string
			parts [][]byte
			why   Drop
			count uint64
			left  int  // packets that still wait
			whole bool // the packet becomes complete all the same
		}{
			{"duplicate", [][]byte{cut(0, 800, true), cut(0, 800, true), cut(800, 2008, false)}, DropFragmentDuplicate, 1, 0, true},
			{"duplicate of the last", [][]byte{cut(800, 2008, false), cut(800, 2008, false), cut(0, 800, true)}, DropFragmentDuplicate, 1, 0, true},
			{"overlap by eight", [][]byte{cut(0, 800, true), cut(792, 2008, false)}, DropFragmentOverlap, 2, 0, false},
			{"within another", [][]byte{cut(0, 800, true), cut(80, 160, true)}, DropFragmentOverlap, 2, 0, false},
			{"around another", [][]byte{cut(80, 160, true), cut(0, 800, true)}, DropFragmentOverlap, 2, 0, false},
			{"longer from the same place", [][]byte{cut(0, 80, true), cut(0, 160, true)}, DropFragmentOverlap, 2, 0, false},
			{"other bytes in the same place", [][]byte{cut(800, 2008, false), slice(other, 0, 800, 2008, false)}, DropFragmentOverlap, 2, 0, false},
			{"behind the end", [][]byte{cut(80, 160, false), cut(160, 240, true)}, DropFragmentBad, 2, 0, false},
			{"two ends", [][]byte{cut(80, 160, false), cut(160, 240, false)}, DropFragmentBad, 2, 0, false},
			{"an end before what is there", [][]byte{cut(160, 240, true), cut(80, 160, false)}, DropFragmentBad, 2, 0, false},
			{"the last that was not", [][]byte{cut(80, 160, true), cut(80, 160, false)}, DropFragmentBad, 2, 0, false},
			{"not by eights", [][]byte{cut(0, 801, true)}, DropFragmentBad, 1, 0, false},
			{"empty", [][]byte{cut(800, 800, false)}, DropFragmentBad, 1, 0, false},
			{"beyond 64 KiB", [][]byte{slice(append(slices.Clone(frame), make([]byte, 65536)...), 0, 65528, 65536, false)}, DropFragmentBad, 1, 0, false},
		} {
			r := reassembling(t, Config{})
			var got []string
			for _, p := range c.parts {
				got = append(got, r.send(1, p)...)
			}
			if c.whole != (len(got) == 1) {
				t.Errorf("v6=%v, %s: %.100q", v6, c.name, got)
			}
			if n := r.dropped(c.why); n != c.count {
				t.Errorf("v6=%v, %s: %d dropped as %s, want %d; all %v", v6, c.name, n, c.why, c.count, r.Drops())
			}
			if n, _ := r.waiting(); n != c.left {
				t.Errorf("v6=%v, %s: %d packets wait", v6, c.name, n)
			}
		}
	}
}

// TestReassemblyTooLong: each fragment is right, their sum with the first one's options is too long.
func TestReassemblyTooLong(t *testing.T) {
	frame := whole(false, 0, 2000)
	long := append(frame, make([]byte, 65536)...)
	r := reassembling(t, Config{})
	for at := 0; at < 65512; at += 8008 {
		r.send(1, slice(long, 0, at, min(at+8008, 65512), at+8008 < 65512))
	}
	if n, _ := r.waiting(); n != 0 || r.dropped(DropFragmentBad) != 9 {
		t.Errorf("%d wait, drops %v", n, r.Drops())
	}
}

// TestReassemblyECN: congestion that one fragment met is not lost (RFC 3168, 5.3).
func TestReassemblyECN(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		frame := whole(v6, 0, 2000)
		mark := func(b []byte, ecn byte) []byte {
			b = slices.Clone(b)
			if v6 {
				b[15] = b[15]&^0x30 | ecn<<4
			} else {
				b[15] = b[15]&^3 | ecn
			}
			return b
		}
		a, b := slice(frame, 0, 0, 800, true), slice(frame, 0, 800, 2008, false)
		for _, c := range []struct{ first, second, want byte }{{2, 2, 2}, {1, 2, 1}, {2, 3, 3}, {3, 1, 3}, {0, 0, 0}, {0, 3, 9}, {3, 0, 9}} {
			r := reassembling(t, Config{})
			r.proc.Process(0, []*packet.Frame{frameOf(1, mark(a, c.first)), frameOf(1, mark(b, c.second))}, &r.rec)
			if c.want == 9 {
				if len(r.rec.events) != 0 || r.dropped(DropFragmentBad) != 2 {
					t.Errorf("v6=%v, %d and %d: %v, %v", v6, c.first, c.second, r.rec.events, r.Drops())
				}
				continue
			}
			if len(r.rec.held) != 1 {
				t.Fatalf("v6=%v, %d and %d: nothing came out", v6, c.first, c.second)
			}
			f := r.rec.held[0].f
			f.Parse()
			if _, got := f.Key.Get(packet.IPECN); byte(got) != c.want {
				t.Errorf("v6=%v, %d and %d: ECN %d, want %d", v6, c.first, c.second, got, c.want)
			}
			if !v6 && packet.Fold(packet.Sum16(f.Bytes()[14:38], 0)) != 0xffff {
				t.Errorf("%d and %d: wrong IPv4 checksum", c.first, c.second)
			}
		}
	}
}

// TestReassemblyTimeout: 30 s for IPv4, 60 s for IPv6, from the first fragment to come.
func TestReassemblyTimeout(t *testing.T) {
	for v6, limit := range map[bool]time.Duration{false: 30 * time.Second, true: 60 * time.Second} {
		frame := whole(v6, 0, 2000)
		parts := slices4(frame, 0, 2008)
		r := reassembling(t, Config{})
		r.send(1, parts[2])
		r.now = limit / 2
		r.send(1, parts[0])
		r.now = limit - 1
		r.Expire(r.now)
		if n, _ := r.waiting(); n != 1 {
			t.Fatalf("v6=%v: %d packets wait before the time", v6, n)
		}
		r.now = limit
		r.Expire(r.now)
		if n, _ := r.waiting(); n != 0 || r.dropped(DropFragmentTimeout) != 2 {
			t.Errorf("v6=%v: %d packets wait, %v", v6, n, r.Drops())
		}
		for _, p := range parts { // the number may be used again, also when nobody has called Expire
			r.now = 200 * time.Second
			r.send(1, parts[1])
			r.now = 400 * time.Second
			if got := r.send(1, p); len(got) != 0 {
				t.Errorf("v6=%v: old fragments were used: %.80q", v6, got)
			}
			r.SetFragments(openflow.FragNormal)
			r.SetFragments(openflow.FragReasm)
		}
	}
}

// TestReassemblyBounds: the oldest goes when there are too many packets or bytes.
func TestReassemblyBounds(t *testing.T) {
	frame := whole(false, 0, 2000)
	part := func(id int, first bool) []byte {
		b := slice(frame, 0, 1000, 2008, false)
		if first {
			b = slice(frame, 0, 0, 1000, true)
		}
		be.PutUint16(b[18:], uint16(id))
		return b
	}
	for name, limit := range map[string]func(r *reassembler){
		"packets": func(r *reassembler) { r.maxDatagrams = 10 },
		"bytes":   func(r *reassembler) { r.maxCost = 10*(1000+8+pieceCost+datagramCost+40) + 100 },
	} {
		r := reassembling(t, Config{})
		limit(r.frags)
		for id := range 30 {
			r.send(1, part(id, false))
			if n, cost := r.waiting(); n > 10 || cost > r.frags.maxCost {
				t.Fatalf("%s: %d packets of %d bytes wait", name, n, cost)
			}
		}
		if n := r.dropped(DropFragmentEvicted); n != 20 {
			t.Errorf("%s: %d evicted, want 20", name, n)
		}
		done := 0
		r.frags.maxDatagrams, r.frags.maxCost = maxDatagrams, maxReassemblyCost
		for id := range 30 {
			done += len(r.send(1, part(id, true)))
			if id == 19 && done != 0 {
				t.Errorf("%s: an old one was kept", name)
			}
		}
		if done != 10 {
			t.Errorf("%s: %d of the youngest 10 became complete", name, done)
		}
	}
	r := reassembling(t, Config{})
	long := append(slices.Clone(frame), make([]byte, 65000)...)
	for i := range maxPieces + 1 {
		r.send(1, slice(long, 0, 16*i, 16*i+8, true))
	}
	if n, _ := r.waiting(); n != 0 || r.dropped(DropFragmentBad) != maxPieces+1 {
		t.Errorf("tiny fragments: %d wait, %v", n, r.Drops())
	}
}

// TestReassemblyEnds: what waits is dropped when reassembly ends.
func TestReassemblyEnds(t *testing.T) {
	parts := slices4(whole(true, 0, 2000), 0, 2008)
	r := reassembling(t, Config{})
	for _, p := range parts[:3] {
		r.send(1, p)
	}
	r.SetFragments(openflow.FragNormal)
	if n, _ := r.waiting(); n != 0 || r.dropped(DropFragmentEvicted) != 3 {
		t.Errorf("%d wait, %v", n, r.Drops())
	}
}

// TestReassemblyNotHere: fragments below MPLS and in SNAP frames pass as they are; a port with NO_RECV gives none.
func TestReassemblyNotHere(t *testing.T) {
	r := newRig(t, Config{}, upPorts(2))
	r.SetFragments(openflow.FragReasm)
	r.flow(0, 1, openflow.NewMatch(), toPort(2))
	part := slice(whole(false, 0, 2000), 0, 800, 1600, true)
	snap := slices.Concat(part[:12], []byte{0, 0, 0xaa, 0xaa, 3, 0, 0, 0}, part[12:])
	be.PutUint16(snap[12:], uint16(len(snap)-14))
	mpls := slices.Concat(part[:12], []byte{0x88, 0x47, 0, 0, 0x11, 64}, part[14:])
	for name, b := range map[string][]byte{"SNAP": snap, "MPLS": mpls} {
		if got := r.send(1, b); len(got) != 1 || got[0] != outputEvent(2, 0, b) {
			t.Errorf("%s: %.100q", name, got)
		}
	}
	closed := upPorts(2)
	closed[0].Config = openflow.PortNoRecv
	r.SetPorts(closed)
	r.send(1, part)
	if n, _ := r.waiting(); n != 0 || r.dropped(DropNoRecv) != 1 {
		t.Errorf("%d wait, %v", n, r.Drops())
	}
}

// TestReassembledNormal: NORMAL learns from the packet and sends it on; also a PACKET_OUT's fragments
// meet the tables as one.
func TestReassembledNormal(t *testing.T) {
	r := newRig(t, Config{}, upPorts(3))
	r.flow(0, 1, openflow.NewMatch(), openflow.ApplyActions(openflow.Output(openflow.PortNormal), openflow.Output(openflow.PortController)))
	r.SetFragments(openflow.FragReasm)
	frame := whole(false, 0, 2000)
	var got []string
	prog, err := r.CompileActions(openflow.NewActions(openflow.Output(openflow.PortTable)))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range slices4(frame, 0, 2008) {
		if i == 1 {
			r.proc.PacketOut(0, frameOf(1, p), prog, &r.rec)
		} else {
			got = append(got, r.send(1, p)...)
		}
	}
	if len(got) != 3 || got[0] != outputEvent(2, 0, frame) || got[1] != outputEvent(3, 0, frame) {
		t.Errorf("%.200q", got)
	}
	if n := r.MACStats().Size; n != 1 {
		t.Errorf("%d addresses learned", n)
	}
}

// TestReassemblySCTP: the CRC is right after a change of ports, for it covers the whole packet now.
func TestReassemblySCTP(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(2))
		r.flow(0, 5, ipMatch(openflow.Exact(openflow.IPProto, 132), openflow.Exact(openflow.SCTPDst, 2905)),
			openflow.ApplyActions(openflow.SetField(openflow.SCTPSrc, 7777), openflow.SetField(openflow.SCTPDst, 8888), openflow.Output(2)))
		r.SetFragments(openflow.FragReasm)
		make := func(src, dst uint16) []byte {
			ip := ip4(1, 2, 64, layers.IPProtocolSCTP)
			ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
			return build(ethernet{dst: "2", src: "1"}, layers.EthernetTypeIPv4, ip,
				&layers.SCTP{SrcPort: layers.SCTPPort(src), DstPort: layers.SCTPPort(dst)}, gopacket.Payload(bytes.Repeat([]byte("chunk of data  "), 100)))
		}
		frame, want := make(1234, 2905), outputEvent(2, 0, make(7777, 8888))
		parts := [][]byte{slice(frame, 0, 704, 1512, false), slice(frame, 0, 0, 704, true)}
		for range 3 {
			r.send(1, parts[0])
			if got := r.send(1, parts[1]); len(got) != 1 || got[0] != want {
				t.Fatalf("%.300q\nwant %.300q", got, want)
			}
		}
	})
}

// TestReassemblyWorkers: fragments of one packet come to different workers.
func TestReassemblyWorkers(t *testing.T) {
	r := reassembling(t, Config{})
	const workers, packets = 4, 300
	var group sync.WaitGroup
	sinks := [workers]nowhere{}
	for w := range workers {
		group.Go(func() {
			pr := r.NewProcessor()
			for id := range packets {
				p := slices4(whole(id%2 == 0, 1, 2000), 1, 2008)[w]
				at := 18 + 4
				if id%2 == 0 {
					at = 18 + 48 + 6
				}
				be.PutUint16(p[at:], uint16(id))
				pr.Process(0, []*packet.Frame{frameOf(1, p)}, &sinks[w])
			}
		})
	}
	group.Wait()
	n := 0
	for i := range sinks {
		n += sinks[i].outputs
	}
	if left, _ := r.waiting(); n != packets || left != 0 {
		t.Errorf("%d packets of %d, %d wait, %v", n, packets, left, r.Drops())
	}
}

// TestNoAllocationBesideReassembly: whole frames do not pay for it.
func TestNoAllocationBesideReassembly(t *testing.T) {
	r := reassembling(t, Config{})
	r.flow(0, 1, openflow.NewMatch(), toPort(3))
	b := newBatch(64, func(i int) (uint32, []byte) {
		return 1, udpFrame(ethernet{dst: "2", src: "1"}, 64, uint16(i), 53)
	})
	sink := &nowhere{}
	if n := testing.AllocsPerRun(100, func() { r.proc.Process(0, b.refill(), sink) }); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
