package integration

import (
	"github.com/weirswitch/weir/openflow"
)

// row is one case for scapy: what goes in by port 1 under these actions comes out by port 2 as wanted. The frames are
// written in the words of testdata/judge.py. No wanted frame means that nothing may come out.
type row struct {
	name  string
	match string // a name of rowMatch
	acts  []openflow.Action
	send  string
	want  string
}

// rowMatch holds what an entry must match so that its actions fit (section 7.2.5: prerequisites).
var rowMatch = map[string]openflow.Match{
	"any":    {},
	"vlan":   openflow.NewMatch(openflow.WithMask(openflow.VLANVID, openflow.VIDPresent, openflow.VIDPresent)),
	"qip":    openflow.NewMatch(openflow.Exact(openflow.EthType, 0x0800), openflow.WithMask(openflow.VLANVID, openflow.VIDPresent, openflow.VIDPresent)),
	"arp":    proto(0x0806, 0),
	"mpls":   proto(0x8847, 0),
	"mplsm":  proto(0x8848, 0),
	"pbb":    proto(0x88e7, 0),
	"ip":     proto(0x0800, 0),
	"ip6":    proto(0x86dd, 0),
	"tcp":    proto(0x0800, 6),
	"udp":    proto(0x0800, 17),
	"sctp":   proto(0x0800, 132),
	"icmp":   proto(0x0800, 1),
	"tcp6":   proto(0x86dd, 6),
	"udp6":   proto(0x86dd, 17),
	"sctp6":  proto(0x86dd, 132),
	"icmp6":  proto(0x86dd, 58),
	"nd":     proto(0x86dd, 58, openflow.Exact(openflow.ICMPv6Type, 135)),
	"nadv":   proto(0x86dd, 58, openflow.Exact(openflow.ICMPv6Type, 136)),
	"mplsb1": proto(0x8847, 0, openflow.Exact(openflow.MPLSBOS, 1)),
}

// proto matches an Ethernet type and, unless it is zero, an IP protocol.
func proto(ethType, ip uint64, more ...openflow.Field) openflow.Match {
	list := []openflow.Field{openflow.Exact(openflow.EthType, ethType)}
	if ip != 0 {
		list = append(list, openflow.Exact(openflow.IPProto, ip))
	}
	return openflow.NewMatch(append(list, more...)...)
}

// Short names for the actions of the rows.
func acts(list ...openflow.Action) []openflow.Action { return list }

func pushVLAN(t uint16) openflow.Action {
	return openflow.Action{Type: openflow.ActionPushVLAN, EtherType: t}
}

func pushMPLS(t uint16) openflow.Action {
	return openflow.Action{Type: openflow.ActionPushMPLS, EtherType: t}
}

func popMPLS(t uint16) openflow.Action {
	return openflow.Action{Type: openflow.ActionPopMPLS, EtherType: t}
}

func set(id openflow.FieldID, v uint64) openflow.Action { return openflow.SetField(id, v) }

func set6(id openflow.FieldID, hi, lo uint64) openflow.Action {
	return openflow.Action{Type: openflow.ActionSetField, Field: openflow.Exact128(id, hi, lo)}
}

func setTTL(t openflow.ActionType, ttl uint8) openflow.Action {
	return openflow.Action{Type: t, TTL: ttl}
}

// vid sets a VLAN id.
func vid(n uint64) openflow.Action { return set(openflow.VLANVID, openflow.VIDPresent|n) }

var (
	popVLAN = openflow.Action{Type: openflow.ActionPopVLAN}
	pushPBB = openflow.Action{Type: openflow.ActionPushPBB, EtherType: 0x88e7}
	popPBB  = openflow.Action{Type: openflow.ActionPopPBB}
	copyOut = openflow.Action{Type: openflow.ActionCopyTTLOut}
	copyIn  = openflow.Action{Type: openflow.ActionCopyTTLIn}
	decTTL  = openflow.Action{Type: openflow.ActionDecNwTTL}
	decMPLS = openflow.Action{Type: openflow.ActionDecMPLSTTL}
)

const (
	macNine = 0x020000000009
	ipNine  = 0x0a000009
	ip6Hi   = 0xfd00 << 48
)

// tagRows: VLAN, MPLS and PBB at every depth that matters, and the TTLs between the layers.
var tagRows = []row{
	{"push a C-tag onto none", "any", acts(pushVLAN(0x8100)), "E()/I4()/U()", "E()/Q(0)/I4()/U()"},
	{"push an S-tag onto none", "any", acts(pushVLAN(0x88a8), vid(7)), "E()/I6()/U()", "E()/AD(7)/I6()/U()"},
	{"push a C-tag onto one: VID and PCP are the outer one's", "any", acts(pushVLAN(0x8100)), "E()/Q(5,prio=3)/I4()/T()", "E()/Q(5,prio=3)/Q(5,prio=3)/I4()/T()"},
	{"push an S-tag onto one", "any", acts(pushVLAN(0x88a8), vid(9)), "E()/Q(5,prio=3)/I4()/T()", "E()/AD(9,prio=3)/Q(5,prio=3)/I4()/T()"},
	{"push onto two", "any", acts(pushVLAN(0x88a8), vid(9), set(openflow.VLANPCP, 6)), "E()/AD(6)/Q(5)/I4()/U()", "E()/AD(9,prio=6)/AD(6)/Q(5)/I4()/U()"},
	{"push onto three", "any", acts(pushVLAN(0x8100), vid(4095)), "E()/AD(1)/AD(2)/Q(3)/I4()/S()", "E()/Q(4095,type=0x88a8)/AD(1)/AD(2)/Q(3)/I4()/S()"},
	{"push two at once", "any", acts(pushVLAN(0x8100), vid(3), pushVLAN(0x88a8), vid(4)), "E()/I4()/U()", "E()/AD(4)/Q(3)/I4()/U()"},
	{"push onto ARP", "any", acts(pushVLAN(0x8100), vid(3)), "E()/A()", "E()/Q(3)/A()"},
	{"push onto LLC: the length stays below", "any", acts(pushVLAN(0x8100), vid(3)), "Dot3(dst=mac(2),src=mac(1),len=38)/LLC(dsap=0xaa,ssap=0xaa,ctrl=3)/SNAP(OUI=0,code=0x88b7)/(b'x'*30)", "E()/Q(3,type=38)/LLC(dsap=0xaa,ssap=0xaa,ctrl=3)/SNAP(OUI=0,code=0x88b7)/(b'x'*30)"},
	{"pop the only tag", "vlan", acts(popVLAN), "E()/Q(5)/I4()/U()", "E()/I4()/U()"},
	{"pop an S-tag", "vlan", acts(popVLAN), "E()/AD(5)/I4()/U()", "E()/I4()/U()"},
	{"pop one of two", "vlan", acts(popVLAN), "E()/AD(6)/Q(5)/I6()/T()", "E()/Q(5)/I6()/T()"},
	{"pop one of three", "vlan", acts(popVLAN), "E()/AD(7)/AD(6)/Q(5)/I4()/U()", "E()/AD(6)/Q(5)/I4()/U()"},
	{"VID and PCP of the outer tag alone", "vlan", acts(vid(100), set(openflow.VLANPCP, 7)), "E()/AD(6,prio=1)/Q(5,prio=2)/I4()/U()", "E()/AD(100,prio=7)/Q(5,prio=2)/I4()/U()"},
	{"VID zero", "vlan", acts(vid(0)), "E()/Q(5,prio=2)/I4()/U()", "E()/Q(0,prio=2)/I4()/U()"},
	{"an address below two tags", "qip", acts(set(openflow.IPv4Src, ipNine)), "E()/AD(6)/Q(5)/I4()/T()", "E()/AD(6)/Q(5)/I4('10.0.0.9')/T()"},

	{"push MPLS onto IPv4: the TTL is copied", "ip", acts(pushMPLS(0x8847), set(openflow.MPLSLabel, 77)), "E()/I4(ttl=33)/U()", "E()/M(77,33)/I4(ttl=33)/U()"},
	{"push MPLS onto IPv6", "ip6", acts(pushMPLS(0x8847), set(openflow.MPLSLabel, 0xfffff), set(openflow.MPLSTC, 5)), "E()/I6(hlim=34)/U()", "E()/M(0xfffff,34,cos=5)/I6(hlim=34)/U()"},
	{"push MPLS onto MPLS: label, TC and TTL are copied", "mpls", acts(pushMPLS(0x8847)), "E()/M(20,12,cos=3)/I4()/U()", "E()/M(20,12,s=0,cos=3)/M(20,12,cos=3)/I4()/U()"},
	{"push a third label", "mpls", acts(pushMPLS(0x8847), set(openflow.MPLSLabel, 30)), "E()/M(20,12,s=0)/M(21,13)/I4()/U()", "E()/M(30,12,s=0)/M(20,12,s=0)/M(21,13)/I4()/U()"},
	{"push multicast MPLS", "ip", acts(pushMPLS(0x8848), set(openflow.MPLSLabel, 30)), "E()/I4()/U()", "E(type=0x8848)/M(30)/I4()/U()"},
	{"push MPLS behind a tag", "qip", acts(pushMPLS(0x8847), set(openflow.MPLSLabel, 30)), "E()/Q(5)/I4()/U()", "E()/Q(5,type=0x8847)/M(30)/I4()/U()"},
	{"push MPLS onto ARP: no TTL to copy", "arp", acts(pushMPLS(0x8847), set(openflow.MPLSLabel, 30), setTTL(openflow.ActionSetMPLSTTL, 9)), "E()/A()", "E()/M(30,9)/Raw(bytes(A()))"},
	{"pop the last label to IPv4", "mpls", acts(popMPLS(0x0800)), "E()/M(20,12)/I4()/T()", "E()/I4()/T()"},
	{"pop the last label to IPv6", "mpls", acts(popMPLS(0x86dd)), "E()/M(20,12)/I6()/T()", "E()/I6()/T()"},
	{"pop one label of two", "mpls", acts(popMPLS(0x8847)), "E()/M(20,12,s=0)/M(21,13)/I4()/U()", "E()/M(21,13)/I4()/U()"},
	{"pop multicast MPLS", "mplsm", acts(popMPLS(0x0800)), "E(type=0x8848)/M(20,12)/I4()/U()", "E()/I4()/U()"},
	{"pop a label and rewrite what appears", "mplsb1", acts(popMPLS(0x0800), decTTL, set(openflow.IPv4Dst, ipNine)), "E()/M(20,12)/I4()/T()", "E()/I4(dst='10.0.0.9',ttl=63)/T()"},
	{"label and TC of the outer entry alone", "mpls", acts(set(openflow.MPLSLabel, 5), set(openflow.MPLSTC, 6)), "E()/M(20,12,s=0)/M(21,13)/I4()/U()", "E()/M(5,12,s=0,cos=6)/M(21,13)/I4()/U()"},
	{"bottom of stack", "mpls", acts(set(openflow.MPLSBOS, 0)), "E()/M(20,12)/M(21)/I4()/U()", "E()/M(20,12,s=0)/M(21)/I4()/U()"},
	{"dec_mpls_ttl", "mpls", acts(decMPLS), "E()/M(20,12)/I4()/U()", "E()/M(20,11)/I4()/U()"},
	{"dec_mpls_ttl of one that expires", "mpls", acts(decMPLS), "E()/M(20,1)/I4()/U()", ""},
	{"set_mpls_ttl", "mpls", acts(setTTL(openflow.ActionSetMPLSTTL, 200)), "E()/M(20,12)/I4()/U()", "E()/M(20,200)/I4()/U()"},
	{"copy_ttl_out from IPv4 to MPLS", "mpls", acts(copyOut), "E()/M(20,12)/I4(ttl=99)/U()", "E()/M(20,99)/I4(ttl=99)/U()"},
	{"copy_ttl_out from IPv6 to MPLS", "mpls", acts(copyOut), "E()/M(20,12)/I6(hlim=98)/U()", "E()/M(20,98)/I6(hlim=98)/U()"},
	{"copy_ttl_out from MPLS to MPLS", "mpls", acts(copyOut), "E()/M(20,12,s=0)/M(21,13)/I4()/U()", "E()/M(20,13,s=0)/M(21,13)/I4()/U()"},
	{"copy_ttl_in from MPLS to IPv4", "mpls", acts(copyIn), "E()/M(20,12)/I4()/U()", "E()/M(20,12)/I4(ttl=12)/U()"},
	{"copy_ttl_in from MPLS to IPv6", "mpls", acts(copyIn), "E()/M(20,12)/I6()/T()", "E()/M(20,12)/I6(hlim=12)/T()"},
	{"copy_ttl_in from MPLS to MPLS", "mpls", acts(copyIn), "E()/M(20,12,s=0)/M(21,13)/I4()/U()", "E()/M(20,12,s=0)/M(21,12)/I4()/U()"},
	{"dec_ttl of IPv4", "ip", acts(decTTL), "E()/I4(ttl=2)/U()", "E()/I4(ttl=1)/U()"},
	{"dec_ttl of IPv4 with options", "ip", acts(decTTL), "E()/I4(options=[IPOption_RR(routers=['1.2.3.4'])])/U()", "E()/I4(ttl=63,options=[IPOption_RR(routers=['1.2.3.4'])])/U()"},
	{"dec_ttl of IPv6", "ip6", acts(decTTL), "E()/I6()/U()", "E()/I6(hlim=63)/U()"},
	{"dec_ttl of one that expires", "ip", acts(decTTL), "E()/I4(ttl=1)/U()", ""},
	{"set_nw_ttl", "ip", acts(setTTL(openflow.ActionSetNwTTL, 255)), "E()/I4(ttl=1)/U()", "E()/I4(ttl=255)/U()"},

	{"push PBB onto an untagged frame", "any", acts(pushPBB, set(openflow.PBBISID, 0xabcdef)), "E()/I4()/U()", "E(type=0x88e7)/B(0xabcdef)/E()/I4()/U()"},
	{"push PBB onto a tagged frame: the PCP is copied", "vlan", acts(pushPBB, set(openflow.PBBISID, 5)), "E()/Q(7,prio=6)/I4()/U()", "E(type=0x88e7)/B(5,prio=6)/E()/Q(7,prio=6)/I4()/U()"},
	{"push PBB and give it backbone addresses", "any", acts(pushPBB, set(openflow.PBBISID, 5), set(openflow.EthDst, macNine)), "E()/I4()/U()", "E(9,type=0x88e7)/B(5)/E()/I4()/U()"},
	{"push PBB and a B-tag", "any", acts(pushPBB, set(openflow.PBBISID, 5), pushVLAN(0x88a8), vid(44)), "E()/I4()/U()", "E()/AD(44,type=0x88e7)/B(5)/E()/I4()/U()"},
	{"another I-SID", "pbb", acts(set(openflow.PBBISID, 0x010203)), "E(type=0x88e7)/B(5,prio=3)/E(4,3)/I4()/U()", "E(type=0x88e7)/B(0x010203,prio=3)/E(4,3)/I4()/U()"},
	{"pop PBB: the customer's addresses are the frame's", "pbb", acts(popPBB), "E(type=0x88e7)/B(5)/E(4,3)/I4()/U()", "E(4,3)/I4()/U()"},
	{"pop PBB of a tagged frame", "pbb", acts(popPBB), "E(type=0x88e7)/B(5)/E(4,3)/Q(8)/I6()/T()", "E(4,3)/Q(8)/I6()/T()"},
}

// fieldRows: set_field on every field that can be written, with the checksums that follow from it.
var fieldRows = []row{
	{"eth_dst", "any", acts(set(openflow.EthDst, macNine)), "E()/I4()/U()", "E(9)/I4()/U()"},
	{"eth_src", "any", acts(set(openflow.EthSrc, macNine)), "E()/I4()/U()", "E(2,9)/I4()/U()"},
	{"eth_type", "any", acts(set(openflow.EthType, 0x88b6)), "E()/I4()/U()", "E(type=0x88b6)/I4()/U()"},
	{"eth_type below a tag", "vlan", acts(set(openflow.EthType, 0x88b6)), "E()/Q(4)/I4()/U()", "E()/Q(4,type=0x88b6)/I4()/U()"},

	{"arp_op", "arp", acts(set(openflow.ARPOp, 2)), "E()/A()", "E()/A(op=2)"},
	{"arp_spa", "arp", acts(set(openflow.ARPSPA, ipNine)), "E()/A()", "E()/A(psrc='10.0.0.9')"},
	{"arp_tpa", "arp", acts(set(openflow.ARPTPA, ipNine)), "E()/A()", "E()/A(pdst='10.0.0.9')"},
	{"arp_sha", "arp", acts(set(openflow.ARPSHA, macNine)), "E()/A()", "E()/A(hwsrc=mac(9))"},
	{"arp_tha", "arp", acts(set(openflow.ARPTHA, macNine)), "E()/Q(3)/A()", "E()/Q(3)/A(hwdst=mac(9))"},

	{"ipv4_src of TCP", "tcp", acts(set(openflow.IPv4Src, ipNine)), "E()/I4()/T()", "E()/I4('10.0.0.9')/T()"},
	{"ipv4_dst of UDP", "ip", acts(set(openflow.IPv4Dst, ipNine)), "E()/I4()/U()", "E()/I4(dst='10.0.0.9')/U()"},
	{"ipv4_dst of UDP without a checksum", "ip", acts(set(openflow.IPv4Dst, ipNine)), "E()/I4()/U(chksum=0)", "E()/I4(dst='10.0.0.9')/U(chksum=0)"},
	{"ipv4_dst of SCTP", "ip", acts(set(openflow.IPv4Dst, ipNine)), "E()/I4()/S()", "E()/I4(dst='10.0.0.9')/S()"},
	{"ipv4_src of ICMP", "ip", acts(set(openflow.IPv4Src, ipNine)), "E()/I4()/C()", "E()/I4('10.0.0.9')/C()"},
	{"ipv4_src of a later fragment", "ip", acts(set(openflow.IPv4Src, ipNine)), "E()/I4(frag=9,proto=17)/(b'rest')", "E()/I4('10.0.0.9',frag=9,proto=17)/(b'rest')"},
	{"ip_dscp keeps the ECN bits", "ip", acts(set(openflow.IPDSCP, 46)), "E()/I4(tos=3)/U()", "E()/I4(tos=46<<2|3)/U()"},
	{"ip_ecn keeps the DSCP", "ip", acts(set(openflow.IPECN, 2)), "E()/I4(tos=0xb8)/U()", "E()/I4(tos=0xba)/U()"},
	{"ip_proto", "ip", acts(set(openflow.IPProto, 253)), "E()/I4()/(b'anything')", "E()/I4(proto=253)/(b'anything')"},
	{"tcp_src", "tcp", acts(set(openflow.TCPSrc, 0xffff)), "E()/I4()/T()", "E()/I4()/T(0xffff)"},
	{"tcp_dst with options on both layers", "tcp", acts(set(openflow.TCPDst, 1)), "E()/I4(options=[IPOption_RR(routers=['1.2.3.4'])])/T(options=[('MSS',1460)])", "E()/I4(options=[IPOption_RR(routers=['1.2.3.4'])])/T(dport=1,options=[('MSS',1460)])"},
	{"udp_src", "udp", acts(set(openflow.UDPSrc, 7)), "E()/I4()/U()", "E()/I4()/U(7)"},
	{"udp_dst without a checksum", "udp", acts(set(openflow.UDPDst, 7)), "E()/I4()/U(chksum=0)", "E()/I4()/U(dport=7,chksum=0)"},
	{"sctp_src: CRC32c", "sctp", acts(set(openflow.SCTPSrc, 7)), "E()/I4()/S()", "E()/I4()/S(7)"},
	{"sctp_dst: CRC32c", "sctp", acts(set(openflow.SCTPDst, 7)), "E()/Q(4)/I4()/S()", "E()/Q(4)/I4()/S(dport=7)"},
	{"icmpv4_type", "icmp", acts(set(openflow.ICMPv4Type, 0)), "E()/I4()/C()", "E()/I4()/C(0)"},
	{"icmpv4_code", "icmp", acts(set(openflow.ICMPv4Code, 5)), "E()/I4()/C()", "E()/I4()/C(code=5)"},

	{"ipv6_src of TCP", "ip6", acts(set6(openflow.IPv6Src, ip6Hi, 9)), "E()/I6()/T()", "E()/I6('fd00::9')/T()"},
	{"ipv6_dst of UDP", "ip6", acts(set6(openflow.IPv6Dst, ip6Hi, 9)), "E()/I6()/U()", "E()/I6(dst='fd00::9')/U()"},
	{"ipv6_dst of SCTP", "ip6", acts(set6(openflow.IPv6Dst, ip6Hi, 9)), "E()/I6()/S()", "E()/I6(dst='fd00::9')/S()"},
	{"ipv6_src of ICMPv6", "ip6", acts(set6(openflow.IPv6Src, ip6Hi, 9)), "E()/I6()/C6()", "E()/I6('fd00::9')/C6()"},
	{"ipv6_dst behind extension headers", "ip6", acts(set6(openflow.IPv6Dst, ip6Hi, 9)), "E()/I6()/IPv6ExtHdrHopByHop(options=[PadN(optdata=b'0000')])/IPv6ExtHdrDestOpt(options=[PadN(optdata=b'0000')])/U()",
		"E()/I6(dst='fd00::9')/IPv6ExtHdrHopByHop(options=[PadN(optdata=b'0000')])/IPv6ExtHdrDestOpt(options=[PadN(optdata=b'0000')])/U()"},
	{"ip_dscp of IPv6", "ip6", acts(set(openflow.IPDSCP, 46)), "E()/I6(tc=3)/U()", "E()/I6(tc=46<<2|3)/U()"},
	{"ip_ecn of IPv6", "ip6", acts(set(openflow.IPECN, 1)), "E()/I6(tc=0xb8)/U()", "E()/I6(tc=0xb9)/U()"},
	{"ipv6_flabel", "ip6", acts(set(openflow.IPv6FLabel, 0xfedcb)), "E()/I6(tc=0xb8,fl=1)/U()", "E()/I6(tc=0xb8,fl=0xfedcb)/U()"},
	{"tcp_src over IPv6", "tcp6", acts(set(openflow.TCPSrc, 7)), "E()/I6()/T()", "E()/I6()/T(7)"},
	{"udp_dst over IPv6", "udp6", acts(set(openflow.UDPDst, 7)), "E()/AD(3)/Q(4)/I6()/U()", "E()/AD(3)/Q(4)/I6()/U(dport=7)"},
	{"sctp_dst over IPv6", "sctp6", acts(set(openflow.SCTPDst, 7)), "E()/I6()/S()", "E()/I6()/S(dport=7)"},
	{"icmpv6_type", "icmp6", acts(set(openflow.ICMPv6Type, 129)), "E()/I6()/C6()", "E()/I6()/C6(129)"},
	{"icmpv6_code", "icmp6", acts(set(openflow.ICMPv6Code, 3)), "E()/I6()/C6()", "E()/I6()/C6(code=3)"},
	{"ipv6_nd_target", "nd", acts(set6(openflow.NDTarget, ip6Hi, 9)), "E()/I6()/NS()", "E()/I6()/NS('fd00::9')"},
	{"ipv6_nd_sll", "nd", acts(set(openflow.NDSLL, macNine)), "E()/I6()/NS()", "E()/I6()/NS(ll=9)"},
	{"ipv6_nd_tll", "nadv", acts(set(openflow.NDTLL, macNine)), "E()/I6()/NA()", "E()/I6()/NA(ll=9)"},
	{"address and port at once", "tcp", acts(set(openflow.IPv4Src, ipNine), set(openflow.IPv4Dst, ipNine+1), set(openflow.TCPSrc, 1), set(openflow.TCPDst, 2), decTTL), "E()/I4()/T()", "E()/I4('10.0.0.9','10.0.0.10',ttl=63)/T(1,2)"},
}
