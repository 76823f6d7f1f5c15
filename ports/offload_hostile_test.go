package ports

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/flowtable/packet"
)

// TestFinisherHostile feeds frames and offloads that do not fit each other: no
// panic, no end without an end, nothing longer than the frame.
func TestFinisherHostile(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var fin Finisher
	for range 20000 {
		s := randomSuper(r)
		data := make([]byte, r.IntN(300))
		f := s.build(t, data)
		b := f.Bytes()
		for range r.IntN(4) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		f.SetBytes(b[:r.IntN(len(b)+1)]) // cut anywhere
		f.Offload = packet.Offload{NeedsCsum: r.IntN(2) == 0, ECN: r.IntN(2) == 0, GSO: packet.GSOType(r.IntN(7)),
			HdrLen: uint16(r.Uint32()), GSOSize: uint16(r.IntN(100)), CsumStart: uint16(r.IntN(150)), CsumOffset: uint16(r.IntN(30))}
		judge(f, 1500, false)
		if _, ok := fin.Begin(f, r.IntN(2)*1500); !ok {
			continue
		}
		n := 0
		for p := fin.Next(); p != nil; p = fin.Next() {
			if n++; n > maxSegments || len(p) > f.Len()+fragHdr {
				t.Fatalf("%v: piece %d of %d bytes", s, n, len(p))
			}
		}
		if n == 0 {
			t.Fatalf("%v: taken, and nothing came out", s)
		}
	}
}

// TestFinisherRefuses names the reason of each loss.
func TestFinisherRefuses(t *testing.T) {
	tcp := super{gso: packet.GSOTCPv4, size: 1460, flags: layers.TCP{}}
	data := make([]byte, 5000)
	for _, c := range []struct {
		name   string
		mtu    int
		spoil  func(*packet.Frame)
		reason DropReason
	}{
		{"segments longer than the MTU", 1499, func(*packet.Frame) {}, DropTooBig},
		{"no segment size", 1500, func(f *packet.Frame) { f.Offload.GSOSize = 0 }, DropBadOffload},
		{"wrong version", 1500, func(f *packet.Frame) { f.Offload.GSO = packet.GSOTCPv6 }, DropBadOffload},
		{"wrong protocol", 1500, func(f *packet.Frame) { f.Offload.GSO = packet.GSOUDPL4 }, DropBadOffload},
		{"unknown kind", 1500, func(f *packet.Frame) { f.Offload.GSO = 77 }, DropBadOffload},
		{"checksum elsewhere", 1500, func(f *packet.Frame) { f.Offload.CsumStart++ }, DropBadOffload},
		{"a fragment already", 1500, func(f *packet.Frame) { f.Bytes()[20] = 0x20 }, DropBadOffload},
		{"IP longer than the frame", 1500, func(f *packet.Frame) { f.Bytes()[16] = 0xff }, DropBadOffload},
		{"TCP header longer than the frame", 1500, func(f *packet.Frame) { f.SetLen(60); f.Offload.GSO = packet.GSOTCPv4 }, DropBadOffload},
		{"no Ethernet header", 1500, func(f *packet.Frame) { f.SetLen(13) }, DropTruncated},
		{"plain and too long", 1500, func(f *packet.Frame) { f.Offload = packet.Offload{} }, DropTooBig},
		{"checksum behind the end", 0, func(f *packet.Frame) { f.Offload = packet.Offload{NeedsCsum: true, CsumStart: 60000, CsumOffset: 16} }, DropBadOffload},
	} {
		f := tcp.build(t, data)
		c.spoil(f)
		var fin Finisher
		if reason, ok := fin.Begin(f, c.mtu); ok || reason != c.reason {
			t.Errorf("%s: %v %v, want %v", c.name, reason, ok, c.reason)
		}
		if _, v := judge(f, c.mtu, false); v == passWhole && c.reason == DropTooBig {
			t.Errorf("%s: passed whole", c.name)
		}
	}
	var fin Finisher
	if _, ok := fin.Begin(tcp.build(t, data), 1500); !ok {
		t.Error("segments of exactly the MTU were refused")
	}
}

// TestFinisherSCTP: its unfinished checksum is a CRC32c, low byte first.
func TestFinisherSCTP(t *testing.T) {
	ip := &layers.IPv4{Version: 4, TTL: 64, SrcIP: ip4A, DstIP: ip4B, Protocol: layers.IPProtocolSCTP}
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: macA, DstMAC: macB, EthernetType: layers.EthernetTypeIPv4}, ip, gopacket.Payload("\x0f\xa0\x13\x88\x01\x02\x03\x04\x00\x00\x00\x00some chunk of data."))
	if err != nil {
		t.Fatal(err)
	}
	f := packet.NewFrame(200)
	f.SetBytes(append(buf.Bytes(), 1, 2, 3)) // Ethernet padding, not part of the sum
	f.Offload = packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 8}
	if _, v := judge(f, 1500, false); v != passFinished {
		t.Error("a kernel was to finish it, which it would do wrong")
	}
	var fin Finisher
	if _, ok := fin.Begin(f, 1500); !ok {
		t.Fatal("refused")
	}
	got := bytes.Clone(fin.Next()[34 : f.Len()-3])
	sum := binary.LittleEndian.Uint32(got[8:])
	copy(got[8:], make([]byte, 4))
	if want := crc32.Checksum(got, crc32.MakeTable(crc32.Castagnoli)); sum != want {
		t.Errorf("CRC32c %#x, want %#x", sum, want)
	}
}

// TestFinisherRoutingHeader: the pseudo-header has the final destination, which
// the IPv6 header does not name; the sender's own sum does.
func TestFinisherRoutingHeader(t *testing.T) {
	s := super{v6: true, gso: packet.GSOTCPv6, size: 500}
	f := s.build(t, bytes.Repeat([]byte("x"), 1200))
	b := f.Bytes()
	routing := make([]byte, 24) // type 0, one segment left: the final destination
	routing[0], routing[1], routing[3] = 6, 2, 1
	copy(routing[8:], ip6B)
	b = append(append(bytes.Clone(b[:54]), routing...), b[54:]...)
	b[14+6] = 43
	copy(b[14+24:], ip6A) // the next stop
	binary.BigEndian.PutUint16(b[18:], uint16(len(b)-54))
	o := f.Offload
	f.SetBytes(b)
	f.Offload = o
	f.Offload.CsumStart += 24
	var fin Finisher
	if reason, ok := fin.Begin(f, 0); !ok {
		t.Fatal(reason)
	}
	for p := fin.Next(); p != nil; p = fin.Next() {
		tcp := p[78:]
		sum := packet.PseudoHeaderSum(ip6A, ip6B, 6, len(tcp))
		if got := packet.Fold(packet.Sum16(tcp, sum)); got != 0xffff {
			t.Errorf("checksum over the segment and its final destination is %#x", got)
		}
	}
}

// TestFinisherPBB cuts what a provider's backbone header wraps.
func TestFinisherPBB(t *testing.T) {
	s := super{gso: packet.GSOTCPv4, size: 500}
	data := bytes.Repeat([]byte("0123456789"), 130)
	f := s.build(t, data)
	inner := bytes.Clone(f.Bytes())
	o := f.Offload
	outer := append(append(bytes.Clone(inner[:12]), 0x88, 0xe7, 0, 0, 1, 2), inner...)
	f.SetBytes(outer)
	f.Offload = o
	f.Offload.CsumStart += 18
	if _, v := judge(f, 1500, false); v != passFinished {
		t.Error("a kernel was to cut it, which it cannot")
	}
	var fin Finisher
	if reason, ok := fin.Begin(f, 1500); !ok {
		t.Fatal(reason)
	}
	got := check{t: t, s: s}
	for p := fin.Next(); p != nil; p = fin.Next() {
		if !bytes.Equal(p[:18], outer[:18]) {
			t.Fatalf("outer header %x", p[:18])
		}
		got.piece(p[18:])
	}
	got.whole(data)
}

// TestFinisherNoAllocations: after the first frame the buffer is there.
func TestFinisherNoAllocations(t *testing.T) {
	f := super{gso: packet.GSOTCPv4, size: 1448}.build(t, make([]byte, 60000))
	var fin Finisher
	if n := testing.AllocsPerRun(20, func() {
		fin.Begin(f, 1500)
		for b := fin.Next(); b != nil; b = fin.Next() {
			_ = b
		}
	}); n != 0 {
		t.Errorf("%.1f allocations a super-frame", n)
	}
}

func BenchmarkFinisher(b *testing.B) {
	f := super{gso: packet.GSOTCPv4, size: 1448}.build(b, make([]byte, 60000))
	var fin Finisher
	b.SetBytes(int64(f.Len()))
	b.ReportAllocs()
	for b.Loop() {
		fin.Begin(f, 1500)
		for p := fin.Next(); p != nil; p = fin.Next() {
			_ = p
		}
	}
}
