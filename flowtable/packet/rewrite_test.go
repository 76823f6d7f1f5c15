package packet

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// plain fields can be set without changing what other bytes mean.
var plain = []Field{EthDst, EthSrc, VLANVID, VLANPCP, IPDSCP, IPECN, IPTTL, IPv4Src, IPv4Dst, TPSrc, TPDst, TCPFlags,
	ICMPCode, ARPOp, ARPSPA, ARPTPA, ARPSHA, ARPTHA, IPv6Src, IPv6Dst, IPv6Label,
	NDTarget, NDSLL, NDTLL, MPLSLabel, MPLSTC, MPLSTTL, PBBISID, PBBUCA}

// meaning fields change what the bytes behind them are.
var meaning = []Field{EthType, IPProto, MPLSBOS, ICMPType, ICMPv6Type, ICMPv6Code}

// has reports whether scapy reads the field, or a non-zero field of the same
// header, in the sample.
func (s *sample) has(fl Field) bool {
	header := map[Field]string{
		VLANVID: "vlan_vid", VLANPCP: "vlan_vid", IPv4Src: "ipv4_dst", IPv4Dst: "ipv4_dst",
		TPSrc: "tp_dst", TPDst: "tp_dst", ICMPCode: "icmpv4_type", ICMPType: "icmpv4_type",
		ICMPv6Type: "icmpv6_type", ICMPv6Code: "icmpv6_type", IPv6Src: "ipv6_dst", IPv6Dst: "ipv6_dst", IPv6Label: "ipv6_dst",
		NDTarget: "ipv6_nd_target", MPLSLabel: "mpls_label", MPLSTC: "mpls_label", MPLSTTL: "mpls_label", MPLSBOS: "mpls_label",
		PBBISID: "pbb_isid", PBBUCA: "pbb_isid",
		ARPOp: "arp_op", ARPSPA: "arp_op", ARPTPA: "arp_op", ARPSHA: "arp_op", ARPTHA: "arp_op",
	}[fl]
	switch fl {
	case EthDst, EthSrc, EthType:
		return true
	case IPDSCP, IPECN, IPTTL, IPProto:
		return s.Fields["ipv4_dst"] != "" || s.Fields["ipv6_dst"] != ""
	case TCPFlags, NDSLL, NDTLL:
		header = fl.String()
	}
	return s.Fields[header] != ""
}

// same checks that a frame's Key and Layout are those of its bytes.
func same(t *testing.T, f *Frame) {
	t.Helper()
	g := NewFrame(f.Len())
	g.SetBytes(f.Bytes())
	g.InPort = f.InPort
	g.Parse()
	key := f.Key
	clear(key[15:])
	if g.Key != key || g.Layout != f.Layout {
		t.Fatalf("key %x\nlayout %+v\nthe bytes say %x\n%+v\nframe %x", key, f.Layout, g.Key, g.Layout, f.Bytes())
	}
}

func randomValue(r *rand.Rand, fl Field) (hi, lo uint64) {
	mhi, mlo := Slots[fl].Full()
	hi, lo = r.Uint64()&mhi, r.Uint64()&mlo
	switch r.IntN(8) {
	case 0:
		hi, lo = 0, 0
	case 1:
		hi, lo = mhi, mlo
	}
	if fl == VLANVID {
		lo |= VLANPresent
	}
	return hi, lo
}

// TestSetField sets each field in each sample: the field and the checksums
// change, nothing else does, and a field that is not there changes nothing.
func TestSetField(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, s := range samples(t) {
		for _, fl := range plain {
			for range 6 {
				f := parsed(s.bytes)
				want := f.Key
				hi, lo := randomValue(r, fl)
				f.SetField(fl, hi, lo)
				if !s.has(fl) {
					if !bytes.Equal(f.Bytes(), s.bytes) || f.Key != want {
						t.Fatalf("%s has no %s, and setting it changed the frame", s.Name, fl)
					}
					continue
				}
				want.Set(fl, hi, lo)
				if f.Key != want {
					t.Fatalf("%s: %s = %x %x gives %x, want %x", s.Name, fl, hi, lo, f.Key, want)
				}
				same(t, f)
				if f.Len() != len(s.bytes) {
					t.Fatalf("%s: setting %s changed the length", s.Name, fl)
				}
				unwrap(f)
				if _, bad := checksums(f.Bytes()); len(bad) > 0 && !opaque(s.Name) {
					t.Fatalf("%s: %s = %x %x leaves %v", s.Name, fl, hi, lo, bad)
				}
			}
		}
	}
}

func TestSetMeaning(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, s := range samples(t) {
		for _, fl := range meaning {
			for range 20 {
				f := parsed(s.bytes)
				f.Key[16] = 99
				hi, lo := randomValue(r, fl)
				f.SetField(fl, hi, lo)
				same(t, f)
				if f.Key[16] != 99 {
					t.Fatalf("%s: setting %s lost the metadata", s.Name, fl)
				}
				if !s.has(fl) && !bytes.Equal(f.Bytes(), s.bytes) {
					t.Fatalf("%s has no %s, and setting it changed the frame", s.Name, fl)
				}
				if _, bit := extRank(uint8(lo)); fl == IPProto && bit != 0 && f.isIPv6() {
					continue // another extension header: what it names counts
				}
				if _, got := f.Key.Get(fl); s.has(fl) && fl != EthType && got != lo {
					t.Fatalf("%s: %s is %x after setting %x", s.Name, fl, got, lo)
				}
			}
		}
	}
	f := parsed(sampleNamed(t, "icmp-echo"))
	f.SetField(ICMPType, 0, 13)
	if good, bad := checksums(f.Bytes()); len(bad) > 0 || !slices.Contains(good, "icmp") {
		t.Errorf("after icmpv4_type: %v", bad)
	}
}

// step does one operation chosen by three bytes.
func step(f *Frame, op, a, b byte, wild bool) {
	v := uint64(a)<<8 | uint64(b)
	v |= v<<16 | v<<32 | v<<48
	fields := plain
	if wild {
		fields = append(slices.Clone(plain), meaning...)
	}
	switch op % 16 {
	case 0:
		f.PushVLAN([]uint16{0x8100, 0x88a8}[a%2])
	case 1:
		f.PopVLAN()
	case 2:
		if !wild && !f.isIPv4() && !f.isIPv6() && !f.isMPLS() {
			return // nothing could tell afterwards what lies below
		}
		f.PushMPLS([]uint16{typeMPLS, typeMPLSM}[a%2])
	case 3:
		switch {
		case wild:
			f.PopMPLS(uint16(v))
		case f.isMPLS():
			f.PopMPLS(below(f, f.Bytes()))
		}
	case 4:
		f.PushPBB(typePBB)
	case 5:
		f.PopPBB()
	case 6:
		f.DecIPTTL()
	case 7:
		f.SetIPTTL(a)
	case 8:
		f.DecMPLSTTL()
	case 9:
		f.SetMPLSTTL(a)
	case 10:
		f.CopyTTLOut()
	case 11:
		f.CopyTTLIn()
	default:
		f.SetField(fields[int(a)%len(fields)], v, v^uint64(b)<<20)
	}
}

// owe puts the frame into the state in which a sender with offloads leaves it.
func owe(f *Frame) bool {
	l, at := f.Layout, f.checksumAt(true)
	if at == 0 || f.Key[2]&FragAny != 0 || l.routed || int(l.End) != f.Len() {
		return false // senders that owe a checksum do not pad
	}
	b := f.Bytes()
	src, dst := b[l.L3+12:l.L3+16], b[l.L3+16:l.L3+20]
	if f.isIPv6() {
		src, dst = b[l.L3+8:l.L3+24], b[l.L3+24:l.L3+40]
	}
	be.PutUint16(b[at:], Fold(PseudoHeaderSum(src, dst, f.ipProto(), int(l.End-l.L4))))
	f.Offload = Offload{NeedsCsum: true, CsumStart: uint16(l.L4), CsumOffset: uint16(at - l.L4), HdrLen: uint16(l.Payload)}
	return true
}

// TestSequences runs random rewrites with finished and with owed checksums:
// at each step the Key is that of the bytes, and at the end all checksums
// hold.
func TestSequences(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for _, s := range samples(t) {
		owing := 0
		for round := range 120 {
			f := parsed(s.bytes)
			owed := round%2 == 1 && owe(f)
			if owed && round%4 == 3 {
				f.Offload.GSO = GSOTCPv4
			}
			for range 12 {
				step(f, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), false)
				same(t, f)
			}
			f.Offload.GSO = GSONone
			if owed {
				owing++
				if !f.Offload.NeedsCsum {
					t.Fatalf("%s: the owed checksum is forgotten", s.Name)
				}
				if !f.FinishChecksum() || f.Offload.NeedsCsum {
					t.Fatalf("%s: the owed checksum cannot be finished: %+v", s.Name, f.Offload)
				}
			}
			unwrap(f)
			good, bad := checksums(f.Bytes())
			if len(bad) > 0 && !opaque(s.Name) {
				t.Fatalf("%s, owed %v: %v in %x", s.Name, owed, bad, f.Bytes())
			}
			if s.Name == "tcp" && len(good) != 2 {
				t.Fatalf("only %v left to judge", good)
			}
		}
		if (s.Name == "tcp" || s.Name == "ip6-udp" || s.Name == "vlan-ip6") && owing == 0 {
			t.Errorf("%s was never in the owing state", s.Name)
		}
	}
}

func FuzzRewrite(f *testing.F) {
	all := samples(f)
	for i := range all {
		f.Add(uint8(i), all[i].bytes, []byte{byte(i), 1, 2, 0, 0, 0, 2, 9, 9, 15, byte(i * 3), 200})
	}
	f.Fuzz(func(t *testing.T, _ uint8, frame, ops []byte) {
		fr := parsed(frame)
		owe(fr)
		for ; len(ops) >= 3; ops = ops[3:] {
			step(fr, ops[0], ops[1], ops[2], true)
			same(t, fr)
		}
		fr.FinishChecksum()
	})
}

// TestOwedSCTP: the kernel leaves a CRC32c as it does a sum, at offset 8.
func TestOwedSCTP(t *testing.T) {
	f := parsed(sampleNamed(t, "sctp"))
	f.Offload = Offload{NeedsCsum: true, CsumStart: uint16(f.Layout.L4), CsumOffset: 8}
	clear(f.Bytes()[f.Layout.L4+8 : f.Layout.L4+12])
	f.SetField(TPDst, 0, 999)
	f.SetField(IPv4Src, 0, 999)
	f.PushMPLS(typeMPLS)
	if !f.FinishChecksum() {
		t.Fatal("not finished")
	}
	f.PopMPLS(typeIPv4)
	if good, bad := checksums(f.Bytes()); len(bad) > 0 || !slices.Contains(good, "sctp high") {
		t.Errorf("right: %v, wrong: %v", good, bad)
	}
}

// TestFinishChecksumHostile gives offsets that no honest sender gives.
func TestFinishChecksumHostile(t *testing.T) {
	for _, s := range samples(t) {
		for _, start := range []int{0, 1, 14, len(s.bytes) - 1, len(s.bytes), 0xffff} {
			for _, offset := range []uint16{0, 1, 8, 16, 0xffff} {
				f := parsed(s.bytes)
				f.Offload = Offload{NeedsCsum: true, CsumStart: uint16(start), CsumOffset: offset}
				if fits := start+int(offset)+2 <= len(s.bytes); f.FinishChecksum() && !fits {
					t.Errorf("%s: start %d, offset %d finished", s.Name, start, offset)
				}
			}
		}
	}
}

// TestFirstFragment rewrites the first of two fragments: the checksum of the
// whole datagram, which only the receiver sees, must hold.
func TestFirstFragment(t *testing.T) {
	whole := sampleNamed(t, "udp")
	first, rest := bytes.Clone(whole[:14+20+24]), whole[14+20+24:]
	first[14+6] |= 0x20
	be.PutUint16(first[16:], 44)
	fixHeader(first[14:34])
	f := parsed(first)
	f.SetField(IPv4Src, 0, 0xc0a80101)
	f.SetField(IPv4Dst, 0, 0xc0a80102)
	f.SetField(TPDst, 0, 4444)
	same(t, f)
	joined := append(bytes.Clone(f.Bytes()), rest...)
	joined[14+6] &^= 0x20
	be.PutUint16(joined[16:], uint16(len(joined)-14))
	fixHeader(joined[14:34])
	if good, bad := checksums(joined); len(bad) > 0 || !slices.Contains(good, "udp") {
		t.Errorf("reassembled: %v, right: %v", bad, good)
	}
}

func fixHeader(h []byte) {
	be.PutUint16(h[10:], 0)
	be.PutUint16(h[10:], ^Fold(Sum16(h, 0)))
}

// TestRoutingHeader: with segments left, ipv6_dst is not in the pseudo-header.
func TestRoutingHeader(t *testing.T) {
	f := parsed(sampleNamed(t, "ip6-routing"))
	at := f.checksumAt(true)
	before := be.Uint16(f.Bytes()[at:])
	f.SetField(IPv6Dst, 1, 2)
	if now := be.Uint16(f.Bytes()[at:]); now != before {
		t.Errorf("checksum %#x became %#x though the final destination is the same", before, now)
	}
	f.SetField(IPv6Src, 1, 2)
	if now := be.Uint16(f.Bytes()[at:]); now == before {
		t.Error("the checksum did not follow ipv6_src")
	}
}

// TestUDPChecksumZero: none stays none, and a computed zero is sent as 0xffff.
func TestUDPChecksumZero(t *testing.T) {
	f := parsed(sampleNamed(t, "udp-no-checksum"))
	f.SetField(IPv4Dst, 0, 0x01020304)
	f.SetField(TPSrc, 0, 77)
	if sum := be.Uint16(f.Bytes()[40:]); sum != 0 {
		t.Errorf("a datagram without checksum got %#x", sum)
	}
	f = parsed(sampleNamed(t, "udp"))
	zeros := 0
	for v := range uint64(1 << 16) {
		f.SetField(TPSrc, 0, v)
		switch be.Uint16(f.Bytes()[40:]) {
		case 0:
			t.Fatalf("source port %d gives the checksum that means none", v)
		case 0xffff:
			zeros++
			if _, bad := checksums(f.Bytes()); len(bad) > 0 {
				t.Fatal(bad)
			}
		}
	}
	if zeros == 0 {
		t.Error("no port gave a checksum of zero: the case was not seen")
	}
}

// TestCorruptionStays: a wrong checksum must not become right by a rewrite.
func TestCorruptionStays(t *testing.T) {
	for _, name := range []string{"tcp", "udp", "sctp", "icmp-echo", "ip6-tcp"} {
		b := sampleNamed(t, name)
		b[len(b)-1] ^= 0x55
		f := parsed(b)
		for _, fl := range []Field{IPv4Src, IPv6Dst, TPDst, ICMPCode} {
			f.SetField(fl, 3, 3)
		}
		if _, bad := checksums(f.Bytes()); len(bad) == 0 {
			t.Errorf("%s: a corrupted packet looks whole after a rewrite", name)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	for _, s := range samples(t) {
		f := parsed(s.bytes)
		n := testing.AllocsPerRun(50, func() {
			f.Parse()
			for _, fl := range plain {
				f.SetField(fl, 1, 1|VLANPresent)
			}
			f.PushVLAN(0x8100)
			f.PushMPLS(typeMPLS)
			f.PushPBB(typePBB)
			f.DecIPTTL()
			f.CopyTTLIn()
			f.PopPBB()
			f.PopMPLS(typeIPv4)
			f.PopVLAN()
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", s.Name, n)
		}
	}
}
