package ofctl

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"

	"github.com/weirswitch/weir/openflow"
)

// form is how the value of a field is written.
type form uint8

const (
	decimal form = iota
	asHex
	hex4    // four hex digits: EtherType
	label   // five hex digits: IPv6 flow label
	mac     // six bytes
	ipv4    // dotted
	ipv6    // colons
	port    // a port number or its word
	flags   // TCP flags
	frags   // nw_frag's words
	present // VLAN id with its present bit, decimal
)

// word is how ovs-ofctl calls a field: in a match and in set_field.
type word struct {
	match string
	set   string
	form  form
}

// wordOf gives the words of a field. Fields whose words depend on others (VLANs, protocols) are put
// together in match.go.
func wordOf(id openflow.FieldID) word {
	if id >= openflow.Reg0 && id <= openflow.XReg7 {
		return word{id.Info().Name, id.Info().Name, asHex}
	}
	if int(id) < len(words) && words[id].match != "" {
		return words[id]
	}
	return word{id.Info().Name, id.Info().Name, decimal}
}

var words = [...]word{
	openflow.InPort:       {"in_port", "in_port", port},
	openflow.InPhyPort:    {"in_phy_port", "in_phy_port", port},
	openflow.Metadata:     {"metadata", "metadata", asHex},
	openflow.EthDst:       {"dl_dst", "eth_dst", mac},
	openflow.EthSrc:       {"dl_src", "eth_src", mac},
	openflow.EthType:      {"dl_type", "eth_type", hex4},
	openflow.VLANVID:      {"vlan_vid", "vlan_vid", present},
	openflow.VLANPCP:      {"dl_vlan_pcp", "vlan_pcp", decimal},
	openflow.IPDSCP:       {"nw_tos", "ip_dscp", decimal},
	openflow.IPECN:        {"nw_ecn", "nw_ecn", decimal},
	openflow.IPProto:      {"nw_proto", "nw_proto", decimal},
	openflow.IPv4Src:      {"nw_src", "ip_src", ipv4},
	openflow.IPv4Dst:      {"nw_dst", "ip_dst", ipv4},
	openflow.TCPSrc:       {"tp_src", "tcp_src", decimal},
	openflow.TCPDst:       {"tp_dst", "tcp_dst", decimal},
	openflow.UDPSrc:       {"tp_src", "udp_src", decimal},
	openflow.UDPDst:       {"tp_dst", "udp_dst", decimal},
	openflow.SCTPSrc:      {"tp_src", "sctp_src", decimal},
	openflow.SCTPDst:      {"tp_dst", "sctp_dst", decimal},
	openflow.ICMPv4Type:   {"icmp_type", "icmp_type", decimal},
	openflow.ICMPv4Code:   {"icmp_code", "icmp_code", decimal},
	openflow.ARPOp:        {"arp_op", "arp_op", decimal},
	openflow.ARPSPA:       {"arp_spa", "arp_spa", ipv4},
	openflow.ARPTPA:       {"arp_tpa", "arp_tpa", ipv4},
	openflow.ARPSHA:       {"arp_sha", "arp_sha", mac},
	openflow.ARPTHA:       {"arp_tha", "arp_tha", mac},
	openflow.IPv6Src:      {"ipv6_src", "ipv6_src", ipv6},
	openflow.IPv6Dst:      {"ipv6_dst", "ipv6_dst", ipv6},
	openflow.IPv6FLabel:   {"ipv6_label", "ipv6_label", label},
	openflow.ICMPv6Type:   {"icmp_type", "icmpv6_type", decimal},
	openflow.ICMPv6Code:   {"icmp_code", "icmpv6_code", decimal},
	openflow.NDTarget:     {"nd_target", "nd_target", ipv6},
	openflow.NDSLL:        {"nd_sll", "nd_sll", mac},
	openflow.NDTLL:        {"nd_tll", "nd_tll", mac},
	openflow.MPLSLabel:    {"mpls_label", "mpls_label", decimal},
	openflow.MPLSTC:       {"mpls_tc", "mpls_tc", decimal},
	openflow.MPLSBOS:      {"mpls_bos", "mpls_bos", decimal},
	openflow.PBBISID:      {"pbb_isid", "pbb_isid", asHex},
	openflow.TunnelID:     {"tun_id", "tun_id", asHex},
	openflow.IPv6ExtHdr:   {"ipv6_exthdr", "ipv6_exthdr", asHex},
	openflow.NwFrag:       {"nw_frag", "ip_frag", frags},
	openflow.IPTTL:        {"nw_ttl", "nw_ttl", decimal},
	openflow.TCPFlags:     {"tcp_flags", "tcp_flags", flags},
	openflow.ActsetOutput: {"actset_output", "actset_output", port},
	openflow.PktMark:      {"pkt_mark", "pkt_mark", asHex},
	openflow.MPLSTTL:      {"mpls_ttl", "mpls_ttl", decimal},
	openflow.PBBUCA:       {"pbb_uca", "pbb_uca", decimal},
}

// appendValue writes v, and /mask behind it when f is masked.
func (n *Names) appendValue(b []byte, f openflow.Field, as form) []byte {
	switch as {
	case ipv4:
		return appendIPv4(b, f)
	case ipv6:
		return appendIPv6(b, f)
	case flags:
		return appendTCPFlags(b, f)
	case frags:
		return append(b, fragWord(f)...)
	}
	b = n.appendPlain(b, f.Value, as, f.Masked)
	if f.Masked {
		b = append(b, '/')
		b = n.appendPlain(b, f.Mask, maskForm(as), true)
	}
	return b
}

// maskForm is how a mask is written: decimal numbers have hex masks.
func maskForm(as form) form {
	if as == port {
		return asHex
	}
	return as
}

func (n *Names) appendPlain(b []byte, value openflow.Value, as form, masked bool) []byte {
	v := value.Uint64()
	switch as {
	case asHex:
		return appendHex(b, v)
	case hex4:
		return fmt.Appendf(b, "0x%04x", v)
	case label:
		return fmt.Appendf(b, "0x%05x", v)
	case mac:
		return appendMAC(b, v)
	case port:
		if masked {
			return appendHex(b, v)
		}
		return n.appendPort(b, openflow.PortNo(v))
	}
	if masked {
		return fmt.Appendf(b, "0x%x", v)
	}
	return strconv.AppendUint(b, v, 10)
}

// appendHex writes 0x…, but a bare 0 for zero.
func appendHex(b []byte, n uint64) []byte {
	if n == 0 {
		return append(b, '0')
	}
	return strconv.AppendUint(append(b, "0x"...), n, 16)
}

func appendMAC(b []byte, n uint64) []byte {
	return fmt.Appendf(b, "%02x:%02x:%02x:%02x:%02x:%02x",
		byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func appendIPv4(b []byte, f openflow.Field) []byte {
	dotted := func(v openflow.Value) netip.Addr { return netip.AddrFrom4([4]byte(v[12:])) }
	b = dotted(f.Value).AppendTo(b)
	if !f.Masked {
		return b
	}
	b = append(b, '/')
	m := uint32(f.Mask.Uint64())
	if ones := bits.LeadingZeros32(^m); ones == bits.OnesCount32(m) {
		return strconv.AppendInt(b, int64(ones), 10)
	}
	return dotted(f.Mask).AppendTo(b)
}

func appendIPv6(b []byte, f openflow.Field) []byte {
	b = netip.AddrFrom16(f.Value).AppendTo(b)
	if !f.Masked {
		return b
	}
	b = append(b, '/')
	ones := bits.LeadingZeros64(^f.Mask.Hi())
	if ones == 64 {
		ones += bits.LeadingZeros64(^f.Mask.Lo())
	}
	if ones == bits.OnesCount64(f.Mask.Hi())+bits.OnesCount64(f.Mask.Lo()) {
		return strconv.AppendInt(b, int64(ones), 10)
	}
	return netip.AddrFrom16(f.Mask).AppendTo(b)
}

// tcpFlagBits is the number of flag bits in a TCP header, NS and the three reserved ones included.
const tcpFlagBits = 12

var tcpFlagNames = [tcpFlagBits]string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"}

// appendTCPFlags writes +syn-ack for a mask, syn|ack for an exact value.
func appendTCPFlags(b []byte, f openflow.Field) []byte {
	v, m := f.Value.Uint64(), f.Mask.Uint64()
	exact := !f.Masked || m == 1<<tcpFlagBits-1
	if exact && v == 0 {
		return append(b, '0')
	}
	first := true
	for i, name := range tcpFlagNames {
		bit := uint64(1) << i
		switch {
		case exact && v&bit == 0, !exact && m&bit == 0:
			continue
		case !exact && v&bit != 0:
			b = append(b, '+')
		case !exact:
			b = append(b, '-')
		case !first:
			b = append(b, '|')
		}
		first = false
		b = append(b, name...)
	}
	return b
}

// fragWord gives ovs-ofctl's word for a match on the two fragment bits.
func fragWord(f openflow.Field) string {
	const any, later = 1, 2
	m := f.Mask.Uint64() & (any | later)
	switch f.Value.Uint64() & m {
	case any | later:
		return "later"
	case any:
		if m&later != 0 {
			return "first"
		}
		return "yes"
	case 0:
		if m&any == 0 {
			return "not_later"
		}
		return "no"
	}
	return "later" // a later fragment is always a fragment, whether the mask asks or not
}

// reserved port numbers and their words (OpenFlow 1.3.5, 7.2.1).
var portWords = map[openflow.PortNo]string{
	openflow.PortInPort: "IN_PORT", openflow.PortTable: "TABLE", openflow.PortNormal: "NORMAL",
	openflow.PortFlood: "FLOOD", openflow.PortAll: "ALL", openflow.PortController: "CONTROLLER",
	openflow.PortLocal: "LOCAL", openflow.PortAny: "ANY",
}

func (n *Names) appendPort(b []byte, p openflow.PortNo) []byte {
	if w, ok := portWords[p]; ok {
		return append(b, w...)
	}
	if n != nil && n.ports[p] != "" {
		return appendName(b, n.ports[p])
	}
	return strconv.AppendUint(b, uint64(p), 10)
}

// Port is a port number in words: a decimal, or LOCAL, CONTROLLER and so on.
func Port(p openflow.PortNo) string { return string(noNames.appendPort(nil, p)) }

// noNames prints numbers.
var noNames *Names

// appendTable writes a table's name or number.
func (n *Names) appendTable(b []byte, id uint8) []byte {
	if n != nil && n.tables[id] != "" {
		return appendName(b, n.tables[id])
	}
	return strconv.AppendUint(b, uint64(id), 10)
}

// appendName writes a name, in quotes unless it is a letter or underscore and then those or digits.
func appendName(b []byte, name string) []byte {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return strconv.AppendQuote(b, name)
		}
	}
	return append(b, name...)
}
