package packet

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func TestRoomAndSetLen(t *testing.T) {
	f := NewFrame(2048)
	if len(f.Room()) != 2048 || f.Len() != 0 {
		t.Fatalf("room %d, length %d", len(f.Room()), f.Len())
	}
	copy(f.Room(), "hello")
	f.Held, f.Offload.NeedsCsum = true, true
	f.SetLen(5)
	if string(f.Bytes()) != "hello" || f.Held || f.Offload != (Offload{}) {
		t.Errorf("%q held %v offload %+v", f.Bytes(), f.Held, f.Offload)
	}
	var zero Frame
	zero.Parse()
	zero.SetField(EthDst, 0, 1)
	zero.PushVLAN(0x8100)
	zero.SetBytes([]byte("grown"))
	if string(zero.Bytes()) != "grown" || (&Frame{}).Room() != nil {
		t.Error("the zero frame is not usable")
	}
}

func TestCopyTo(t *testing.T) {
	f := parsed(sampleNamed(t, "vlan-ip6"))
	f.Offload = Offload{NeedsCsum: true, CsumStart: 58, CsumOffset: 16}
	f.Held = true
	var g Frame
	f.CopyTo(&g)
	if !bytes.Equal(f.Bytes(), g.Bytes()) || f.Key != g.Key || f.Layout != g.Layout || f.Offload != g.Offload || g.InPort != 7 || g.Held {
		t.Error("the copy differs")
	}
	g.SetField(EthDst, 0, 0xffffffffffff)
	if f.Bytes()[0] == 0xff {
		t.Error("the copy shares bytes with the original")
	}
	same(t, &g)
}

// TestAlias works on foreign memory: tags go into its headroom, and a frame
// without headroom moves to a buffer of its own.
func TestAlias(t *testing.T) {
	b := sampleNamed(t, "tcp")
	ring := append(make([]byte, 6), b...)
	f := NewFrame(100)
	f.Alias(ring, 6, len(ring))
	f.Parse()
	f.PushVLAN(0x8100)
	if &f.Bytes()[0] != &ring[2] {
		t.Error("the tag did not go into the ring's headroom")
	}
	kept := bytes.Clone(ring)
	f.PushVLAN(0x8100)
	f.PushVLAN(0x8100)
	if !bytes.Equal(ring, kept) {
		t.Error("memory in front of the ring slot was written")
	}
	wantBytes(t, "three tags", f, join(b[:12], bytes.Repeat([]byte{0x81, 0, 0, 0}, 3), b[12:]))
	f.SetLen(0)
	if len(f.Room()) < 100 {
		t.Error("the frame lost its own buffer")
	}
}

// TestTower pushes far beyond the headroom, and takes everything off again.
func TestTower(t *testing.T) {
	b := sampleNamed(t, "ip6-ns")
	f := parsed(b)
	for range 200 {
		f.PushVLAN(0x88a8)
		f.PushPBB(typePBB)
	}
	if f.Len() != len(b)+200*22 {
		t.Fatalf("length %d", f.Len())
	}
	same(t, f)
	for range 200 {
		f.PopPBB()
		f.PopVLAN()
	}
	wantBytes(t, "after 400 pushes and pops", f, b)
}

func TestInsertVLAN(t *testing.T) {
	b := sampleNamed(t, "tcp")
	f := NewFrame(200)
	f.SetBytes(b)
	f.InsertVLAN(0x88a8, 0xb005)
	f.Parse()
	wantBytes(t, "tag put back", f, join(b[:12], []byte{0x88, 0xa8, 0xb0, 5}, b[12:]))
	f.SetBytes(b[:13])
	f.InsertVLAN(0x8100, 1)
	if f.Len() != 13 {
		t.Error("a tag was put into a frame without Ethernet header")
	}
}

func TestSum16(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for n := range 300 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32()) | byte(r.IntN(2)*255)
		}
		start := r.Uint64() >> r.IntN(64)
		var slow uint64 = start % 0xffff
		for i, c := range b {
			slow += uint64(c) << (8 * (1 - i%2))
		}
		got := Fold(Sum16(b, start))
		if uint64(got)%0xffff != slow%0xffff {
			t.Fatalf("%d bytes: %#x, want %#x", n, got, slow%0xffff)
		}
		if got == 0 && slow != 0 {
			t.Fatalf("%d bytes: the sum of something that is not zero is 0", n)
		}
	}
	if Fold(Sum16(bytes.Repeat([]byte{0xff}, 1<<17), ^uint64(0))) != 0xffff {
		t.Error("a carry is lost")
	}
}

// TestSlots: only fields whose prerequisites exclude each other share a place.
func TestSlots(t *testing.T) {
	shared := map[[2]Field]bool{}
	group := func(fields ...Field) {
		for _, a := range fields {
			for _, b := range fields {
				shared[[2]Field{a, b}] = true
			}
		}
	}
	group(TPSrc, ICMPType, ICMPv6Type, ARPOp)
	group(TPDst, ICMPCode, ICMPv6Code)
	group(IPv4Src, ARPSPA)
	group(IPv4Dst, ARPTPA)
	group(NDSLL, ARPSHA)
	group(NDTLL, ARPTHA)
	for i := range Field(8) {
		group(XReg0+i, Reg0+2*i)
		group(XReg0+i, Reg0+2*i+1)
	}
	seen := map[string]bool{}
	for a := range NumFields {
		var ma Mask
		ma.SetFull(a)
		if ma == (Mask{}) || seen[a.String()] {
			t.Errorf("%s has no place, or its name is taken", a)
		}
		seen[a.String()] = true
		for b := range a {
			var mb Mask
			mb.SetFull(b)
			for w := range ma {
				if ma[w]&mb[w] != 0 && !shared[[2]Field{a, b}] {
					t.Errorf("%s and %s overlap", a, b)
				}
			}
		}
		var k Key
		hi, lo := Slots[a].Full()
		k.Set(a, hi, lo)
		if ghi, glo := k.Get(a); ghi != hi || glo != lo || k != Key(ma) {
			t.Errorf("%s: got %x %x", a, ghi, glo)
		}
	}
	if Slots[Reg0+1].Shift != 0 || Slots[Reg0].Shift != 32 {
		t.Error("xreg0 must be reg0 above reg1")
	}
}

func TestMask(t *testing.T) {
	var m, o Mask
	m.SetFull(IPv4Dst)
	m.Set(EthType, 0, 0xff00)
	o.Set(EthType, 0, 0x0f00)
	if !m.Covers(&o) || o.Covers(&m) {
		t.Error("Covers")
	}
	k, l := Key{3: 5}, Key{3: 5 | 1<<40}
	if !m.Equal(&k, &l) || m.Apply(&l) != k {
		t.Error("Equal and Apply see bits outside the mask")
	}
	l[3]++
	if m.Equal(&k, &l) {
		t.Error("Equal misses a bit inside the mask")
	}
	o.Or(&m)
	if o != m {
		t.Error("Or")
	}
}

// TestPipelineFields: they change the Key and leave the frame alone.
func TestPipelineFields(t *testing.T) {
	b := sampleNamed(t, "tcp")
	f := parsed(b)
	for _, fl := range []Field{Metadata, TunnelID, PktMark, ActsetOutput, Reg0, Reg15, XReg0 + 3} {
		f.SetField(fl, 0, 0x1234567)
		if _, v := f.Key.Get(fl); v != 0x1234567 {
			t.Errorf("%s is %x", fl, v)
		}
	}
	f.PushVLAN(0x8100)
	f.SetField(EthType, 0, 0x1234)
	if _, v := f.Key.Get(Reg15); v != 0x1234567 {
		t.Error("a push lost a register")
	}
	if _, v := f.Key.Get(TunnelID); v != 0x1234567 {
		t.Error("a push lost tunnel_id")
	}
	f.Parse()
	if _, v := f.Key.Get(Metadata); v != 0 {
		t.Error("Parse must begin with empty pipeline fields")
	}
	f.SetField(InPort, 0, 9)
	f.SetField(IPFrag, 0, 3)
	same(t, f)
}

func TestPseudoHeaderSum(t *testing.T) {
	src, dst := []byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}
	b := append(append(append([]byte{}, src...), dst...), 0, 17, 0, 99)
	if PseudoHeaderSum(src, dst, 17, 99) != Sum16(b, 0) && Fold(PseudoHeaderSum(src, dst, 17, 99)) != Fold(Sum16(b, 0)) {
		t.Error("IPv4")
	}
	six := make([]byte, 40)
	six[3], six[20] = 7, 9
	binary.BigEndian.PutUint32(six[32:], 70000)
	six[39] = 6
	if Fold(PseudoHeaderSum(six[:16], six[16:32], 6, 70000)) != Fold(Sum16(six, 0)) {
		t.Error("IPv6")
	}
}
