// Hot path: the layout of keys and masks; the tables in it serve the slow path.

package packet

import "fmt"

// Words is the length of a Key. Words 0..HeaderWords-1 hold what the frame and
// its way in say; the others hold what the pipeline adds (metadata, registers).
const (
	Words       = 26
	HeaderWords = 16
)

// Key is all that a flow entry can match, one fixed place a field, so that a
// lookup is a few masked words. The places (high bits first):
//
//	w0   in_port:32 | eth_type:16 | vlan_pcp:3 present:1 vlan_vid:12
//	w1   eth_dst:48 | ip_dscp:6 ip_ecn:2 | ip_ttl:8
//	w2   eth_src:48 | ip_proto:8 | ip_frag:8
//	w3   ipv4_src:32 (arp_spa) | ipv4_dst:32 (arp_tpa)
//	w4   tp_src:16 (icmp type, arp_op) | tp_dst:16 (icmp code) | tcp_flags:16 | has_l4:1 0:6 ipv6_exthdr:9
//	w5,6 ipv6_src    w7,8 ipv6_dst
//	w9   ipv6_flabel:32 | mpls label:20 tc:3 bos:1 ttl:8
//	w10  nd_sll:48 (arp_sha) | 0:16     w11  nd_tll:48 (arp_tha) | 0:16
//	w12,13 nd_target
//	w14  0:7 pbb_uca:1 pbb_isid:24 | in_phy_port:32
//	w15  tunnel_id
//	w16  metadata    w17 pkt_mark:32 | actset_output:32    w18..25 reg0..reg15
//
// Ethernet, VLAN, IPv4, TCP, UDP and ICMP need only the first five words.
// Fields that share a place are kept apart by their prerequisites.
type Key [Words]uint64

// Mask says which bits of a Key matter. Same places as Key.
type Mask [Words]uint64

// Field names one place in a Key.
type Field uint8

// The fields. TPSrc and TPDst serve TCP, UDP and SCTP.
const (
	InPort       Field = iota
	InPhyPort          // always equal to InPort: weir has no logical ports
	Metadata           // pipeline
	EthDst             //
	EthSrc             //
	EthType            // after all VLAN tags
	VLANVID            // 13 bits: 0x1000 says that a tag is present
	VLANPCP            //
	IPDSCP             // IPv4 and IPv6, as the next three
	IPECN              //
	IPProto            //
	IPTTL              // IPv4 TTL, IPv6 hop limit
	IPFrag             // bit 0: a fragment; bit 1: not the first one (nw_frag)
	HasL4              // a transport header can be read: without it the fields below are zero and not there
	IPv4Src            //
	IPv4Dst            //
	TPSrc              //
	TPDst              //
	TCPFlags           // 12 bits
	ICMPType           // ICMP for IPv4
	ICMPCode           //
	ARPOp              // 16 bits
	ARPSPA             //
	ARPTPA             //
	ARPSHA             //
	ARPTHA             //
	IPv6Src            // 128 bits
	IPv6Dst            // 128 bits
	IPv6Label          // 20 bits
	IPv6ExtHdr         // 9 bits, ExtNoNext..ExtUnseq
	ICMPv6Type         //
	ICMPv6Code         //
	NDTarget           // 128 bits
	NDSLL              //
	NDTLL              //
	MPLSLabel          // outermost label stack entry, as the next three
	MPLSTC             //
	MPLSBOS            //
	MPLSTTL            //
	PBBISID            // 24 bits
	PBBUCA             //
	TunnelID           //
	PktMark            // pipeline
	ActsetOutput       // pipeline: the port of the action set's output
	Reg0               // pipeline: 32 bits, Reg0+n is register n
	Reg15        = Reg0 + 15
	XReg0        = Reg15 + 1 // pipeline: 64 bits; XRegn is Reg2n and Reg2n+1, high first
	XReg7        = XReg0 + 7
	NumFields    = XReg7 + 1
)

// Bits of the IPFrag field.
const (
	FragAny   = 1 // any fragment, also the first
	FragLater = 2 // not the first: has no transport header
)

// Bits of the IPv6ExtHdr field (OpenFlow 1.3.5, 7.2.3.8).
const (
	ExtNoNext = 1 << 0 // "no next header" reached
	ExtESP    = 1 << 1
	ExtAuth   = 1 << 2
	ExtDest   = 1 << 3 // one or two destination options headers
	ExtFrag   = 1 << 4
	ExtRouter = 1 << 5
	ExtHop    = 1 << 6 // as the first of them
	ExtUnrep  = 1 << 7 // a header is there more often than RFC 8200, 4.1 has it
	ExtUnseq  = 1 << 8 // not in the order of RFC 8200, 4.1
)

// VLANPresent is the bit of VLANVID that says that the frame has a tag.
const VLANPresent = 0x1000

// Slot is where a field lies: Bits bits of Key[Word], the lowest at Shift. A
// field of 128 bits takes Word (high) and Word+1.
type Slot struct {
	Word, Shift, Bits uint8
}

// Slots tells the place of every field. Constant: never write to it.
var Slots = slotTable()

func slotTable() [NumFields]Slot {
	t := [NumFields]Slot{
		InPort: {0, 32, 32}, EthType: {0, 16, 16}, VLANPCP: {0, 13, 3}, VLANVID: {0, 0, 13},
		EthDst: {1, 16, 48}, IPDSCP: {1, 10, 6}, IPECN: {1, 8, 2}, IPTTL: {1, 0, 8},
		EthSrc: {2, 16, 48}, IPProto: {2, 8, 8}, IPFrag: {2, 0, 8}, HasL4: {4, 15, 1},
		IPv4Src: {3, 32, 32}, IPv4Dst: {3, 0, 32}, ARPSPA: {3, 32, 32}, ARPTPA: {3, 0, 32},
		TPSrc: {4, 48, 16}, TPDst: {4, 32, 16}, TCPFlags: {4, 16, 12}, IPv6ExtHdr: {4, 0, 9},
		ICMPType: {4, 48, 8}, ICMPCode: {4, 32, 8}, ARPOp: {4, 48, 16},
		ICMPv6Type: {4, 48, 8}, ICMPv6Code: {4, 32, 8},
		IPv6Src: {5, 0, 128}, IPv6Dst: {7, 0, 128},
		IPv6Label: {9, 32, 20}, MPLSLabel: {9, 12, 20}, MPLSTC: {9, 9, 3}, MPLSBOS: {9, 8, 1}, MPLSTTL: {9, 0, 8},
		NDSLL: {10, 16, 48}, ARPSHA: {10, 16, 48}, NDTLL: {11, 16, 48}, ARPTHA: {11, 16, 48},
		NDTarget: {12, 0, 128},
		PBBISID:  {14, 32, 24}, PBBUCA: {14, 56, 1}, InPhyPort: {14, 0, 32},
		TunnelID: {15, 0, 64}, Metadata: {16, 0, 64},
		PktMark: {17, 32, 32}, ActsetOutput: {17, 0, 32},
	}
	for i := range Field(16) {
		t[Reg0+i] = Slot{uint8(18 + i/2), uint8(32 - 32*(i%2)), 32}
	}
	for i := range Field(8) {
		t[XReg0+i] = Slot{uint8(18 + i), 0, 64}
	}
	return t
}

// Full returns the bits a field of this width can have, as (hi, lo).
func (s Slot) Full() (hi, lo uint64) {
	switch {
	case s.Bits == 128:
		return ^uint64(0), ^uint64(0)
	default:
		return 0, ^uint64(0) >> (64 - uint(s.Bits))
	}
}

func get(w *[Words]uint64, fl Field) (hi, lo uint64) {
	s := Slots[fl]
	if s.Bits == 128 {
		return w[s.Word], w[s.Word+1]
	}
	return 0, w[s.Word] >> s.Shift & (^uint64(0) >> (64 - uint(s.Bits)))
}

func set(w *[Words]uint64, fl Field, hi, lo uint64) {
	s := Slots[fl]
	if s.Bits == 128 {
		w[s.Word], w[s.Word+1] = hi, lo
		return
	}
	m := ^uint64(0) >> (64 - uint(s.Bits))
	w[s.Word] = w[s.Word]&^(m<<s.Shift) | (lo&m)<<s.Shift
}

// InTransport reports a field of the transport header: a frame has it only where HasL4 is set.
func (fl Field) InTransport() bool {
	switch fl {
	case TPSrc, TPDst, TCPFlags, ICMPType, ICMPCode, ICMPv6Type, ICMPv6Code, NDTarget, NDSLL, NDTLL:
		return true
	}
	return false
}

// Get returns a field's value; hi is zero but for fields of 128 bits.
func (k *Key) Get(fl Field) (hi, lo uint64) { return get((*[Words]uint64)(k), fl) }

// Set stores a field's value. Bits above the field's width are ignored. It
// changes the key alone; Frame.SetField changes the frame as well.
func (k *Key) Set(fl Field, hi, lo uint64) { set((*[Words]uint64)(k), fl, hi, lo) }

// Get returns the mask's bits for a field.
func (m *Mask) Get(fl Field) (hi, lo uint64) { return get((*[Words]uint64)(m), fl) }

// Set stores the mask's bits for a field.
func (m *Mask) Set(fl Field, hi, lo uint64) { set((*[Words]uint64)(m), fl, hi, lo) }

// SetFull makes every bit of a field matter.
func (m *Mask) SetFull(fl Field) { m.Set(fl, ^uint64(0), ^uint64(0)) }

// Covers reports whether every bit of o is also in m.
func (m *Mask) Covers(o *Mask) bool {
	for i := range m {
		if o[i]&^m[i] != 0 {
			return false
		}
	}
	return true
}

// Or adds o's bits to m.
func (m *Mask) Or(o *Mask) {
	for i := range m {
		m[i] |= o[i]
	}
}

// Without removes o's bits from m.
func (m *Mask) Without(o *Mask) {
	for i := range m {
		m[i] &^= o[i]
	}
}

// Equal reports whether k and o agree in every bit of m.
func (m *Mask) Equal(k, o *Key) bool {
	for i := range m {
		if (k[i]^o[i])&m[i] != 0 {
			return false
		}
	}
	return true
}

// Apply returns k with the bits outside m cleared.
func (m *Mask) Apply(k *Key) Key {
	var r Key
	for i := range m {
		r[i] = k[i] & m[i]
	}
	return r
}

// String names the field in the words of OpenFlow and Open vSwitch.
func (fl Field) String() string {
	switch {
	case fl >= XReg0 && fl <= XReg7:
		return fmt.Sprintf("xreg%d", fl-XReg0)
	case fl >= Reg0 && fl <= Reg15:
		return fmt.Sprintf("reg%d", fl-Reg0)
	case int(fl) < len(fieldNames):
		return fieldNames[fl]
	}
	return fmt.Sprintf("field %d", uint8(fl))
}

var fieldNames = [...]string{
	InPort: "in_port", InPhyPort: "in_phy_port", Metadata: "metadata",
	EthDst: "eth_dst", EthSrc: "eth_src", EthType: "eth_type", VLANVID: "vlan_vid", VLANPCP: "vlan_pcp",
	IPDSCP: "ip_dscp", IPECN: "ip_ecn", IPProto: "ip_proto", IPTTL: "ip_ttl", IPFrag: "ip_frag", HasL4: "has_l4",
	IPv4Src: "ipv4_src", IPv4Dst: "ipv4_dst", TPSrc: "tp_src", TPDst: "tp_dst", TCPFlags: "tcp_flags",
	ICMPType: "icmpv4_type", ICMPCode: "icmpv4_code",
	ARPOp: "arp_op", ARPSPA: "arp_spa", ARPTPA: "arp_tpa", ARPSHA: "arp_sha", ARPTHA: "arp_tha",
	IPv6Src: "ipv6_src", IPv6Dst: "ipv6_dst", IPv6Label: "ipv6_flabel", IPv6ExtHdr: "ipv6_exthdr",
	ICMPv6Type: "icmpv6_type", ICMPv6Code: "icmpv6_code",
	NDTarget: "ipv6_nd_target", NDSLL: "ipv6_nd_sll", NDTLL: "ipv6_nd_tll",
	MPLSLabel: "mpls_label", MPLSTC: "mpls_tc", MPLSBOS: "mpls_bos", MPLSTTL: "mpls_ttl",
	PBBISID: "pbb_isid", PBBUCA: "pbb_uca", TunnelID: "tunnel_id",
	PktMark: "pkt_mark", ActsetOutput: "actset_output",
}
