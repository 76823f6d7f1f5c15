package openflow

import (
	"slices"
	"strings"
	"testing"
)

// TestFieldTable checks what must hold for every row.
func TestFieldTable(t *testing.T) {
	names := map[string]bool{}
	for i := range NumFields {
		id := FieldID(i)
		f := id.Info()
		if f.ID != id || f.Name == "" || names[f.Name] || f.Bytes*8 < f.Bits || f.Bytes > 16 {
			t.Errorf("row %d: %+v", i, f)
		}
		names[f.Name] = true
		if got, ok := lookupField(f.Class, f.Number, f.Experimenter); !ok || got != id {
			t.Errorf("%s is looked up as %v", f.Name, got)
		}
		for _, p := range f.Prereqs {
			if slices.Contains([]FieldID{EthType, IPProto, ICMPv6Type, VLANVID, InPort}, p.Field) == false || p.Field.Info().Maskable && p.Field != VLANVID {
				t.Errorf("%s needs %s, which no check follows", f.Name, p.Field)
			}
		}
		if i < NumStandardFields && (f.Class != classBasic || int(f.Number) != i) {
			t.Errorf("%s has number 0x%x:%d", f.Name, f.Class, f.Number)
		}
	}
	for class := range 0x10000 {
		if class > 1 && class != classBasic && class != classPacketRegs && class != classExperimenter {
			if id, ok := lookupField(uint16(class), 3, ExperimenterONF); ok {
				t.Fatalf("class 0x%x holds %s", class, id)
			}
		}
	}
	if FieldID(200).String() != "field?" {
		t.Error(FieldID(200))
	}
}

// TestExtensionFields: the names under which Open vSwitch sends them.
func TestExtensionFields(t *testing.T) {
	program := ofctl(t)
	ip, tcp := Exact(EthType, 0x0800), Exact(IPProto, 6)
	for _, c := range []struct {
		m    Match
		want string
	}{
		{NewMatch(ip, WithMask(NwFrag, 1, 3)), "nw_frag=first"},
		{NewMatch(ip, Exact(IPTTL, 64)), "nw_ttl=64"},
		{NewMatch(ip, tcp, WithMask(TCPFlags, 2, 0x12)), "tcp_flags=+syn-ack"},
		{NewMatch(ip, tcp, WithMask(TCPDst, 0x1000, 0xf000)), "tp_dst=0x1000/0xf000"},
		{NewMatch(Exact(ActsetOutput, 3)), "actset_output=3"},
		{NewMatch(WithMask(PktMark, 0x10, 0xf0)), "pkt_mark=0x10/0xf0"},
		{NewMatch(Exact(EthType, 0x8847), Exact(MPLSTTL, 9)), "mpls_ttl=9"},
		{NewMatch(Exact(Reg0, 1), Exact(Reg15, 2)), "reg0=0x1,reg15=0x2"},
		{NewMatch(Exact(XReg0, 0x100000002)), "reg0=0x1,reg1=0x2"},
		{NewMatch(Exact(EthType, 0x86dd), Exact(IPProto, 58), Exact(ICMPv6Type, 135), WithMask128(NDTarget, ValueOf128(0x20010db8<<32, 0), ValueOf128(^uint64(0), 0))), "nd_target=2001:db8::/64"},
		{NewMatch(WithMask(VLANVID, 0x1000, 0x1000)), "vlan_tci=0x1000/0x1000"},
	} {
		if err := c.m.Check(); err != nil {
			t.Errorf("%s: %v", c.m, err)
		}
		got := ofpPrint(t, program, Append(nil, 1, &FlowMod{Match: c.m, BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny}))
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: no %q in %s", c.m, c.want, got)
		}
	}
}

func TestValue(t *testing.T) {
	v := ValueOf128(1, 2)
	if v.Hi() != 1 || v.Lo() != 2 || v.Uint64() != 2 || v.IsZero() || !ValueOf(0).IsZero() {
		t.Error(v)
	}
	if v.And(ValueOf128(3, 1)) != ValueOf128(1, 0) || v.Or(ValueOf(1)) != ValueOf128(1, 3) || v.AndNot(ValueOf(2)) != ValueOf128(1, 0) {
		t.Error("bits")
	}
	mac := ValueOf(0x010203040506)
	if got := mac.Bytes(EthDst); len(got) != 6 || got[0] != 1 || got[5] != 6 {
		t.Errorf("%x", got)
	}
	for bits, want := range map[int]Value{1: ValueOf(1), 64: ValueOf(^uint64(0)), 65: ValueOf128(1, ^uint64(0)), 128: ValueOf128(^uint64(0), ^uint64(0))} {
		if lowBits(bits) != want {
			t.Errorf("lowBits(%d) = %x", bits, lowBits(bits))
		}
	}
	if f := Exact128(IPv6Src, 1, 2); f.Masked || f.Mask != IPv6Src.Info().allOnes {
		t.Error(f)
	}
}

func TestMatchValue(t *testing.T) {
	a := NewMatch(Exact(EthType, 0x0800), Exact(InPort, 1), WithMask(Metadata, 0, 0))
	b := NewMatch(Exact(InPort, 1), Exact(EthType, 0x0800))
	full := NewMatch(Exact(InPort, 1), WithMask(EthDst, 5, 0xffffffffffff))
	for _, c := range []struct {
		a, b Match
		want bool
	}{
		{a, b, true}, {b, a, true}, {a, a.Clone(), true}, {Match{}, NewMatch(), true}, {Match{}, b, false}, {b, Match{}, false},
		{full, NewMatch(Exact(EthDst, 5), Exact(InPort, 1)), true}, {full, NewMatch(Exact(EthDst, 6), Exact(InPort, 1)), false},
		{NewMatch(WithMask(Metadata, 0, 0)), NewMatch(Exact(Metadata, 0)), false},
	} {
		if c.a.Equal(c.b) != c.want || c.b.Equal(c.a) != c.want {
			t.Errorf("%s equal to %s: want %t", c.a, c.b, c.want)
		}
	}
	if f, ok := a.Get(InPort); !ok || f.Value.Uint64() != 1 || a.Len() != 3 || a.IsEmpty() {
		t.Error(a)
	}
	if _, ok := a.Get(TCPSrc); ok {
		t.Error("tcp_src out of nowhere")
	}
	w := b.With(Exact(IPProto, 6))
	if w.Len() != 3 || b.Len() != 2 || w.Check() != nil {
		t.Error(w)
	}
	if s := NewMatch(Exact(InPort, uint64(PortLocal)), Exact128(IPv6Src, 0x20010db8<<32, 1), WithMask(EthSrc, 0, 1<<40)).String(); s !=
		"in_port=LOCAL,ipv6_src=20010db8000000000000000000000001,eth_src=00:00:00:00:00:00/01:00:00:00:00:00" {
		t.Error(s)
	}
}
