package packet

import (
	"bytes"
	"testing"
)

// join concatenates byte slices and strings of bytes.
func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func wantBytes(t *testing.T, what string, f *Frame, want []byte) {
	t.Helper()
	if !bytes.Equal(f.Bytes(), want) {
		t.Errorf("%s:\n got %x\nwant %x", what, f.Bytes(), want)
	}
	same(t, f)
}

// TestPushVLAN: the new tag is the outermost and copies VID and PCP, not DEI.
func TestPushVLAN(t *testing.T) {
	plain := sampleNamed(t, "tcp")
	f := parsed(plain)
	f.PushVLAN(0x8100)
	wantBytes(t, "first tag", f, join(plain[:12], []byte{0x81, 0, 0, 0}, plain[12:]))
	f.SetField(VLANVID, 0, VLANPresent|0x123)
	f.SetField(VLANPCP, 0, 5)
	f.Bytes()[14] |= 0x10 // DEI
	f.PushVLAN(0x88a8)
	wantBytes(t, "second tag", f, join(plain[:12], []byte{0x88, 0xa8, 0xa1, 0x23, 0x81, 0, 0xb1, 0x23}, plain[12:]))
	if _, typ := f.Key.Get(EthType); typ != typeIPv4 {
		t.Errorf("eth_type behind two tags is %#x", typ)
	}
	f.PopVLAN()
	f.PopVLAN()
	wantBytes(t, "all tags popped", f, plain)
	f.PopVLAN()
	wantBytes(t, "nothing left to pop", f, plain)
}

// TestPushMPLS: the entry stands behind the VLAN tags; the first copies the IP
// TTL and is the bottom of the stack, the next copies label, TC and TTL.
func TestPushMPLS(t *testing.T) {
	plain := sampleNamed(t, "vlan")
	f := parsed(plain)
	f.PushMPLS(typeMPLS)
	wantBytes(t, "first entry", f, join(plain[:16], []byte{0x88, 0x47, 0, 0, 1, 33}, plain[18:]))
	f.SetField(MPLSLabel, 0, 0xabcde)
	f.SetField(MPLSTC, 0, 5)
	f.SetField(MPLSTTL, 0, 77)
	f.PushMPLS(typeMPLSM)
	wantBytes(t, "second entry", f, join(plain[:16], []byte{0x88, 0x48, 0xab, 0xcd, 0xea, 77, 0xab, 0xcd, 0xeb, 77}, plain[18:]))
	f.PopMPLS(typeMPLS)
	f.PopMPLS(typeIPv4)
	wantBytes(t, "popped", f, plain)

	arp := sampleNamed(t, "arp-request")
	f = parsed(arp)
	f.PushMPLS(typeMPLS)
	wantBytes(t, "without TTL to copy", f, join(arp[:12], []byte{0x88, 0x47, 0, 0, 1, 0}, arp[14:]))
}

// TestPushMPLSInSNAP: the 802.3 length counts what stands behind it.
func TestPushMPLSInSNAP(t *testing.T) {
	b := sampleNamed(t, "snap-ip")
	f := parsed(b)
	f.PushMPLS(typeMPLS)
	if got, want := be.Uint16(f.Bytes()[12:]), be.Uint16(b[12:])+4; got != want {
		t.Errorf("802.3 length %d, want %d", got, want)
	}
	f.PushVLAN(0x8100)
	f.PopMPLS(typeIPv4)
	f.PopVLAN()
	wantBytes(t, "popped", f, b)
}

// TestMPLSInSNAPOfImpossibleLength: the length says as much as it can, and the label comes and goes:
// whether a push works must not depend on more than a flow's fields tell.
func TestMPLSInSNAPOfImpossibleLength(t *testing.T) {
	for _, length := range []uint16{0, 3, 1532, 1535} {
		b := bytes.Clone(sampleNamed(t, "snap-ip"))
		be.PutUint16(b[12:], length)
		f := parsed(b)
		f.PushMPLS(typeMPLS)
		if got := be.Uint16(f.Bytes()[12:]); f.ethType() != typeMPLS || got != min(length+4, 1535) {
			t.Errorf("length %d: type 0x%x, length %d after the push", length, f.ethType(), got)
		}
		f = parsed(f.Bytes())
		be.PutUint16(f.Bytes()[12:], length)
		f.PopMPLS(typeIPv4)
		if got := be.Uint16(f.Bytes()[12:]); f.ethType() != typeIPv4 || got != max(length, 4)-4 {
			t.Errorf("length %d: type 0x%x, length %d after the pop", length, f.ethType(), got)
		}
	}
}

// TestPushPBB: backbone addresses and I-PCP are copies; the customer's frame
// follows whole, with its tag.
func TestPushPBB(t *testing.T) {
	plain := sampleNamed(t, "vlan") // PCP 3
	f := parsed(plain)
	f.PushPBB(typePBB)
	wantBytes(t, "pushed", f, join(plain[:12], []byte{0x88, 0xe7, 0x60, 0, 0, 0}, plain))
	f.SetField(PBBISID, 0, 0x123456)
	f.SetField(PBBUCA, 0, 1)
	f.SetField(EthDst, 0, 0x0badcafe0000)
	if got := f.Bytes()[14:18]; !bytes.Equal(got, []byte{0x68, 0x12, 0x34, 0x56}) {
		t.Errorf("I-TAG %x", got)
	}
	f.PushPBB(typePBB)
	if got := f.Bytes()[14:18]; !bytes.Equal(got, []byte{0, 0x12, 0x34, 0x56}) {
		t.Errorf("the second I-TAG is %x: the I-SID is copied, and there is no VLAN to take a PCP from", got)
	}
	f.PopPBB()
	f.PopPBB()
	wantBytes(t, "popped", f, plain)
}

// TestPopPBBKeepsBTag: POP_PBB does not remove the backbone VLAN tag.
func TestPopPBBKeepsBTag(t *testing.T) {
	b := sampleNamed(t, "pbb-b-tag")
	f := parsed(b)
	f.PopPBB()
	inner := sampleNamed(t, "tcp")
	wantBytes(t, "popped", f, join(inner[:12], b[12:16], inner[12:]))
}

func TestOffloadFollowsShape(t *testing.T) {
	f := parsed(sampleNamed(t, "tcp"))
	start := uint16(34)
	f.Offload = Offload{NeedsCsum: true, CsumStart: start, CsumOffset: 16, HdrLen: 54, GSO: GSOTCPv4, GSOSize: 1400}
	check := func(what string, by uint16) {
		t.Helper()
		if o := f.Offload; o.CsumStart != start+by || o.HdrLen != 54+by || o.CsumOffset != 16 || o.GSOSize != 1400 {
			t.Errorf("%s: %+v", what, o)
		}
	}
	f.PushVLAN(0x8100)
	check("push vlan", 4)
	f.PushMPLS(typeMPLS)
	check("push mpls", 8)
	f.PushPBB(typePBB)
	check("push pbb", 26)
	f.PopPBB()
	check("pop pbb", 8)
	f.PopMPLS(typeIPv4)
	check("pop mpls", 4)
	f.PopVLAN()
	check("pop vlan", 0)
	f.InsertVLAN(0x8100, 5)
	check("insert vlan", 4)
}

// TestTTL walks the TTL actions over MPLS, IP, and IP in IP.
func TestTTL(t *testing.T) {
	f := parsed(sampleNamed(t, "mpls-three")) // 255 9 8, IPv6 44
	at := int(f.Layout.L25)
	ttls := func() [4]byte {
		b := f.Bytes()
		return [4]byte{b[at+3], b[at+7], b[at+11], b[at+12+7]}
	}
	f.CopyTTLOut()
	if got := ttls(); got != [4]byte{9, 9, 8, 44} {
		t.Errorf("copy out, MPLS to MPLS: %v", got)
	}
	f.SetMPLSTTL(3)
	f.CopyTTLIn()
	if got := ttls(); got != [4]byte{3, 3, 8, 44} {
		t.Errorf("copy in, MPLS to MPLS: %v", got)
	}
	f.DecMPLSTTL()
	f.DecMPLSTTL()
	if f.DecMPLSTTL() || f.Bytes()[at+3] != 1 {
		t.Error("an MPLS TTL of 1 must not be decremented")
	}
	same(t, f)
	for _, name := range []string{"mpls", "ip-in-ip", "ip6-in-ip", "ip6-in-ip6"} {
		f := parsed(sampleNamed(t, name))
		outer, inner := f.ttlHeaders()
		want := inner.get(f.Bytes())
		f.CopyTTLOut()
		if got := outer.get(f.Bytes()); got != want || inner.kind == ttlNone {
			t.Errorf("%s: copied out %d, want %d", name, got, want)
		}
		same(t, f)
		outer.set(f.Bytes(), 200)
		f.CopyTTLIn()
		if got := inner.get(f.Bytes()); got != 200 {
			t.Errorf("%s: copied in %d, want 200", name, got)
		}
		f.Parse()
		unwrap(f)
		if _, bad := checksums(f.Bytes()); len(bad) > 0 {
			t.Errorf("%s: %v", name, bad)
		}
	}
}

func TestDecIPTTL(t *testing.T) {
	for _, name := range []string{"tcp", "ip6-tcp"} {
		f := parsed(sampleNamed(t, name))
		for ttl, ok := range map[uint8]bool{2: true, 1: false, 0: false, 255: true} {
			f.SetIPTTL(ttl)
			if f.DecIPTTL() != ok {
				t.Errorf("%s: TTL %d, want ok %v", name, ttl, ok)
			}
			want := uint64(ttl)
			if ok {
				want--
			}
			if _, got := f.Key.Get(IPTTL); got != want {
				t.Errorf("%s: TTL %d became %d", name, ttl, got)
			}
			same(t, f)
		}
	}
	f := parsed(sampleNamed(t, "arp-request"))
	if !f.DecIPTTL() || !f.DecMPLSTTL() {
		t.Error("a frame without TTL cannot expire")
	}
}
