package openflow

import (
	"encoding/binary"
	"slices"
)

// FieldID names a match field, whatever header it travels under. The first forty have the
// numbers of section 7.2.3.7; what Nicira and later versions added follows. Not the wire number.
type FieldID uint8

// The forty fields of OpenFlow 1.3 (section 7.2.3.7), then the extensions.
const (
	InPort FieldID = iota
	InPhyPort
	Metadata
	EthDst
	EthSrc
	EthType
	VLANVID // 13 bits: the VID and, at 0x1000, whether there is a tag at all (VIDPresent)
	VLANPCP
	IPDSCP
	IPECN
	IPProto
	IPv4Src
	IPv4Dst
	TCPSrc
	TCPDst
	UDPSrc
	UDPDst
	SCTPSrc
	SCTPDst
	ICMPv4Type
	ICMPv4Code
	ARPOp
	ARPSPA
	ARPTPA
	ARPSHA
	ARPTHA
	IPv6Src
	IPv6Dst
	IPv6FLabel
	ICMPv6Type
	ICMPv6Code
	NDTarget
	NDSLL
	NDTLL
	MPLSLabel
	MPLSTC
	MPLSBOS
	PBBISID
	TunnelID
	IPv6ExtHdr

	NwFrag       // NXM_NX_IP_FRAG: bit 0 any fragment, bit 1 a later one
	IPTTL        // NXM_NX_IP_TTL
	TCPFlags     // twelve bits, with NS on top
	ActsetOutput // the port that the action set would output to
	PktMark      // pipeline metadata shared with the host system
	MPLSTTL      // NXM_NX_MPLS_TTL
	PBBUCA       // OpenFlow 1.4
	Reg0         // sixteen registers of 32 bits: Reg0+n
)

// Reg15 is the last register; XReg0 to XReg7 are the same registers in pairs, Reg0 on top in XReg0.
const (
	Reg15 = Reg0 + 15
	XReg0 = Reg0 + 16
	XReg7 = XReg0 + 7

	// NumFields is the number of fields, one more than the largest FieldID.
	NumFields = int(XReg7) + 1
	// NumStandardFields counts the fields of the specification itself: IDs below it.
	NumStandardFields = int(IPv6ExtHdr) + 1
)

// VIDPresent is the bit of VLANVID that says a tag is there (OFPVID_PRESENT); VIDNone is the
// value of a frame without one (OFPVID_NONE).
const (
	VIDPresent = 0x1000
	VIDNone    = 0
)

// OXM classes (section 7.2.3.3 and A.3.1 of Nicira's extensions).
const (
	classNXM0         = 0x0000
	classNXM1         = 0x0001
	classBasic        = 0x8000
	classPacketRegs   = 0x8001
	classExperimenter = 0xffff
)

// Experimenter numbers weir knows.
const (
	ExperimenterNicira = 0x00002320
	ExperimenterONF    = 0x4f4e4600
)

// Value is the content of a field, right-aligned: Uint64 and Lo read the last eight bytes.
type Value [16]byte

// ValueOf makes the value of a field of up to 64 bits.
func ValueOf(v uint64) (x Value) {
	binary.BigEndian.PutUint64(x[8:], v)
	return x
}

// ValueOf128 makes the value of a field of up to 128 bits, hi being the first eight bytes.
func ValueOf128(hi, lo uint64) (x Value) {
	binary.BigEndian.PutUint64(x[:8], hi)
	binary.BigEndian.PutUint64(x[8:], lo)
	return x
}

// valueOfBytes right-aligns b, of at most 16 bytes.
func valueOfBytes(b []byte) (x Value) {
	copy(x[16-len(b):], b)
	return x
}

// Uint64 is the low half, which is all of every field but the IPv6 addresses.
func (v Value) Uint64() uint64 { return binary.BigEndian.Uint64(v[8:]) }

// Hi is the high half, zero for every field but the IPv6 addresses.
func (v Value) Hi() uint64 { return binary.BigEndian.Uint64(v[:8]) }

// Lo is Uint64 under the name that goes with Hi.
func (v Value) Lo() uint64 { return v.Uint64() }

// Bytes is the value in the width that the field has on the wire.
func (v *Value) Bytes(id FieldID) []byte { return v[16-id.Info().Bytes:] }

// IsZero reports a value without a bit.
func (v Value) IsZero() bool { return v == Value{} }

// Or, And and AndNot work bit by bit.
func (v Value) Or(w Value) Value { return ValueOf128(v.Hi()|w.Hi(), v.Lo()|w.Lo()) }

// And keeps the bits both have.
func (v Value) And(w Value) Value { return ValueOf128(v.Hi()&w.Hi(), v.Lo()&w.Lo()) }

// AndNot drops w's bits from v.
func (v Value) AndNot(w Value) Value { return ValueOf128(v.Hi()&^w.Hi(), v.Lo()&^w.Lo()) }

// Field is one match field with its value; Masked fields match the bits of Mask only. Mask is all
// ones of the field's width when Masked is false, so that a reader may always use it.
type Field struct {
	ID          FieldID
	Masked      bool
	Value, Mask Value
}

// Exact is the field id equal to v.
func Exact(id FieldID, v uint64) Field {
	return Field{ID: id, Value: ValueOf(v), Mask: id.Info().allOnes}
}

// WithMask is the field id equal to v in the bits of mask.
func WithMask(id FieldID, v, mask uint64) Field {
	return Field{ID: id, Masked: true, Value: ValueOf(v), Mask: ValueOf(mask)}
}

// Exact128 and WithMask128 are Exact and WithMask for the IPv6 addresses.
func Exact128(id FieldID, hi, lo uint64) Field {
	return Field{ID: id, Value: ValueOf128(hi, lo), Mask: id.Info().allOnes}
}

// WithMask128 is WithMask for values beyond 64 bits.
func WithMask128(id FieldID, v, mask Value) Field {
	return Field{ID: id, Masked: true, Value: v, Mask: mask}
}

// Prereq is one condition of section 7.2.3.6: Field must have been matched, without a mask, to one
// of Values. No Values: it must be there at all (in_phy_port wants in_port; vlan_pcp wants a tag).
type Prereq struct {
	Field  FieldID
	Values []uint64
}

// FieldInfo describes a field; there is one for each FieldID and it never changes.
type FieldInfo struct {
	ID       FieldID
	Name     string // the specification's name in small letters
	Bits     int    // significant bits
	Bytes    int    // width of the value on the wire
	Maskable bool   // may be matched under a mask
	Writable bool   // may stand in SET_FIELD
	Prereqs  []Prereq

	// The header weir writes. Readers accept the aliases of lookupField as well.
	Class        uint16
	Number       uint8
	Experimenter uint32 // with Class 0xffff only

	allOnes Value
	low     uint64 // allOnes.Lo()
}

// Info looks the field up; an ID out of range is the caller's mistake and panics.
func (id FieldID) Info() *FieldInfo { return &fields[id] }

func (id FieldID) String() string {
	if int(id) < NumFields {
		return fields[id].Name
	}
	return "field?"
}

// Prerequisites that several fields share.
var (
	needVLAN   = []Prereq{{VLANVID, nil}}
	needIP     = []Prereq{{EthType, []uint64{0x0800, 0x86dd}}}
	needIPv4   = []Prereq{{EthType, []uint64{0x0800}}}
	needIPv6   = []Prereq{{EthType, []uint64{0x86dd}}}
	needARP    = []Prereq{{EthType, []uint64{0x0806, 0x8035}}} // RARP has ARP's layout, as in Open vSwitch
	needMPLS   = []Prereq{{EthType, []uint64{0x8847, 0x8848}}}
	needPBB    = []Prereq{{EthType, []uint64{0x88e7}}}
	needTCP    = []Prereq{{EthType, []uint64{0x0800, 0x86dd}}, {IPProto, []uint64{6}}}
	needUDP    = []Prereq{{EthType, []uint64{0x0800, 0x86dd}}, {IPProto, []uint64{17}}}
	needSCTP   = []Prereq{{EthType, []uint64{0x0800, 0x86dd}}, {IPProto, []uint64{132}}}
	needICMPv4 = []Prereq{{EthType, []uint64{0x0800}}, {IPProto, []uint64{1}}}
	needICMPv6 = []Prereq{{EthType, []uint64{0x86dd}}, {IPProto, []uint64{58}}}
	needND     = []Prereq{{EthType, []uint64{0x86dd}}, {IPProto, []uint64{58}}, {ICMPv6Type, []uint64{135, 136}}}
	needNDSol  = []Prereq{{EthType, []uint64{0x86dd}}, {IPProto, []uint64{58}}, {ICMPv6Type, []uint64{135}}}
	needNDAdv  = []Prereq{{EthType, []uint64{0x86dd}}, {IPProto, []uint64{58}}, {ICMPv6Type, []uint64{136}}}
)

// Words for the two columns of bools below.
const (
	maskable, exactOnly = true, false
	writable, readOnly  = true, false
)

// fields is the one table of match fields. It is built once and never written again.
//
// Masks on transport ports and on the ND fields are more than the specification asks: Open vSwitch
// has them and its users type them. ipv6_exthdr is read-only because it tells which headers
// follow, not what one of them holds; metadata is changed by WRITE_METADATA, not by SET_FIELD.
var fields = buildFields([]FieldInfo{
	std(InPort, "in_port", 32, exactOnly, readOnly, nil),
	std(InPhyPort, "in_phy_port", 32, exactOnly, readOnly, []Prereq{{InPort, nil}}),
	std(Metadata, "metadata", 64, maskable, readOnly, nil),
	std(EthDst, "eth_dst", 48, maskable, writable, nil),
	std(EthSrc, "eth_src", 48, maskable, writable, nil),
	std(EthType, "eth_type", 16, exactOnly, writable, nil),
	std(VLANVID, "vlan_vid", 13, maskable, writable, nil),
	std(VLANPCP, "vlan_pcp", 3, exactOnly, writable, needVLAN),
	std(IPDSCP, "ip_dscp", 6, exactOnly, writable, needIP),
	std(IPECN, "ip_ecn", 2, exactOnly, writable, needIP),
	std(IPProto, "ip_proto", 8, exactOnly, writable, needIP),
	std(IPv4Src, "ipv4_src", 32, maskable, writable, needIPv4),
	std(IPv4Dst, "ipv4_dst", 32, maskable, writable, needIPv4),
	std(TCPSrc, "tcp_src", 16, maskable, writable, needTCP),
	std(TCPDst, "tcp_dst", 16, maskable, writable, needTCP),
	std(UDPSrc, "udp_src", 16, maskable, writable, needUDP),
	std(UDPDst, "udp_dst", 16, maskable, writable, needUDP),
	std(SCTPSrc, "sctp_src", 16, maskable, writable, needSCTP),
	std(SCTPDst, "sctp_dst", 16, maskable, writable, needSCTP),
	std(ICMPv4Type, "icmpv4_type", 8, exactOnly, writable, needICMPv4),
	std(ICMPv4Code, "icmpv4_code", 8, exactOnly, writable, needICMPv4),
	std(ARPOp, "arp_op", 16, exactOnly, writable, needARP),
	std(ARPSPA, "arp_spa", 32, maskable, writable, needARP),
	std(ARPTPA, "arp_tpa", 32, maskable, writable, needARP),
	std(ARPSHA, "arp_sha", 48, maskable, writable, needARP),
	std(ARPTHA, "arp_tha", 48, maskable, writable, needARP),
	std(IPv6Src, "ipv6_src", 128, maskable, writable, needIPv6),
	std(IPv6Dst, "ipv6_dst", 128, maskable, writable, needIPv6),
	std(IPv6FLabel, "ipv6_flabel", 20, maskable, writable, needIPv6).width(4),
	std(ICMPv6Type, "icmpv6_type", 8, exactOnly, writable, needICMPv6),
	std(ICMPv6Code, "icmpv6_code", 8, exactOnly, writable, needICMPv6),
	std(NDTarget, "ipv6_nd_target", 128, maskable, writable, needND),
	std(NDSLL, "ipv6_nd_sll", 48, maskable, writable, needNDSol),
	std(NDTLL, "ipv6_nd_tll", 48, maskable, writable, needNDAdv),
	std(MPLSLabel, "mpls_label", 20, exactOnly, writable, needMPLS).width(4),
	std(MPLSTC, "mpls_tc", 3, exactOnly, writable, needMPLS),
	std(MPLSBOS, "mpls_bos", 1, exactOnly, writable, needMPLS),
	std(PBBISID, "pbb_isid", 24, maskable, writable, needPBB),
	std(TunnelID, "tunnel_id", 64, maskable, writable, nil),
	std(IPv6ExtHdr, "ipv6_exthdr", 9, maskable, readOnly, needIPv6),

	ext(NwFrag, "nw_frag", classNXM1, 26, 2, maskable, readOnly, needIP),
	ext(IPTTL, "nw_ttl", classNXM1, 29, 8, exactOnly, writable, needIP),
	ext(TCPFlags, "tcp_flags", classExperimenter, 42, 12, maskable, readOnly, needTCP).onf(),
	ext(ActsetOutput, "actset_output", classExperimenter, 43, 32, exactOnly, readOnly, nil).onf(),
	ext(PktMark, "pkt_mark", classNXM1, 33, 32, maskable, writable, nil),
	ext(MPLSTTL, "mpls_ttl", classNXM1, 30, 8, exactOnly, writable, needMPLS),
	ext(PBBUCA, "pbb_uca", classBasic, 41, 1, exactOnly, writable, needPBB),
})

func std(id FieldID, name string, bits int, maskable, writable bool, pre []Prereq) FieldInfo {
	return ext(id, name, classBasic, uint8(id), bits, maskable, writable, pre)
}

func ext(id FieldID, name string, class uint16, num uint8, bits int, maskable, writable bool, pre []Prereq) FieldInfo {
	return FieldInfo{
		ID: id, Name: name, Bits: bits, Bytes: (bits + 7) / 8, Maskable: maskable, Writable: writable,
		Prereqs: pre, Class: class, Number: num,
	}
}

// width is for fields that lie in more bytes than their bits need.
func (f FieldInfo) width(bytes int) FieldInfo { f.Bytes = bytes; return f }

func (f FieldInfo) onf() FieldInfo { f.Experimenter = ExperimenterONF; return f }

func buildFields(list []FieldInfo) (t [NumFields]FieldInfo) {
	const digits = "0123456789"
	for n := uint8(0); n < 16; n++ {
		name := "reg" + digits[n%10:n%10+1]
		if n >= 10 {
			name = "reg1" + digits[n-10:n-9]
		}
		list = append(list, ext(Reg0+FieldID(n), name, classNXM1, n, 32, maskable, writable, nil))
	}
	for n := uint8(0); n < 8; n++ {
		list = append(list, ext(XReg0+FieldID(n), "xreg"+digits[n:n+1], classPacketRegs, n, 64, maskable, writable, nil))
	}
	for _, f := range list {
		f.allOnes = lowBits(f.Bits)
		f.low = f.allOnes.Lo()
		t[f.ID] = f
	}
	return t
}

// lowBits is the mask of the n low bits.
func lowBits(n int) Value {
	if n >= 128 {
		return ValueOf128(^uint64(0), ^uint64(0))
	}
	if n > 64 {
		return ValueOf128(1<<(n-64)-1, ^uint64(0))
	}
	if n == 64 {
		return ValueOf(^uint64(0))
	}
	return ValueOf(1<<n - 1)
}

// nxm0 and nxm1 give the fields that Nicira's older numbers name, where width and meaning are the
// same; none marks the others (a 16-bit in_port, the whole TCI and TOS bytes, tunnels).
const none = FieldID(0xff)

var nxm0 = [...]FieldID{
	none, EthDst, EthSrc, EthType, none, none, IPProto, IPv4Src, IPv4Dst, TCPSrc, TCPDst,
	UDPSrc, UDPDst, ICMPv4Type, ICMPv4Code, ARPOp, ARPSPA, ARPTPA,
}

var nxm1 = [...]FieldID{
	Reg0, Reg0 + 1, Reg0 + 2, Reg0 + 3, Reg0 + 4, Reg0 + 5, Reg0 + 6, Reg0 + 7,
	Reg0 + 8, Reg0 + 9, Reg0 + 10, Reg0 + 11, Reg0 + 12, Reg0 + 13, Reg0 + 14, Reg15,
	TunnelID, ARPSHA, ARPTHA, IPv6Src, IPv6Dst, ICMPv6Type, ICMPv6Code, NDTarget, NDSLL, NDTLL,
	NwFrag, IPv6FLabel, IPECN, IPTTL, MPLSTTL, none, none, PktMark, TCPFlags,
}

// lookupField finds the field of an OXM header; experimenter counts for class 0xffff only.
func lookupField(class uint16, number uint8, experimenter uint32) (FieldID, bool) {
	id := none
	switch {
	case class == classBasic && int(number) < NumStandardFields:
		return FieldID(number), true
	case class == classBasic && number == 41:
		id = PBBUCA
	case class == classBasic && number == 42, // OpenFlow 1.5's own number
		class == classExperimenter && experimenter == ExperimenterONF && number == 42:
		id = TCPFlags
	case class == classBasic && number == 43,
		class == classExperimenter && experimenter == ExperimenterONF && number == 43:
		id = ActsetOutput
	case class == classNXM1 && int(number) < len(nxm1):
		id = nxm1[number]
	case class == classNXM0 && int(number) < len(nxm0):
		id = nxm0[number]
	case class == classPacketRegs && number < 8:
		id = XReg0 + FieldID(number)
	}
	return id, id != none
}

// FieldByHeader is the field that an OXM or NXM header names; experimenter counts for class 0xffff only.
func FieldByHeader(class uint16, number uint8, experimenter uint32) (FieldID, bool) {
	return lookupField(class, number, experimenter)
}

// NXM is the older header of the same value under Nicira's classes, if there is one.
func (id FieldID) NXM() (class uint16, number uint8, ok bool) {
	if i := slices.Index(nxm0[:], id); i >= 0 {
		return classNXM0, uint8(i), true
	}
	i := slices.Index(nxm1[:], id)
	return classNXM1, uint8(max(i, 0)), i >= 0
}
