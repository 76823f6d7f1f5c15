package conformance

import (
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// rewrite is a set_field and what it makes of a frame.
type rewrite struct {
	name    string
	match   openflow.Match
	field   openflow.Field
	in, out []byte
	hidden  bool // a match on the new value does not meet the frame
}

// rewrites makes the cases: in an apply_actions, in a write_actions, and with a later table that meets the
// frame by its new value, if that is to be seen.
func rewrites(list []rewrite) (cases []conform) {
	for _, r := range list {
		do := openflow.Action{Type: openflow.ActionSetField, Field: r.field}
		probes := []probe{{in: r.in, out: to(2, r.out)}}
		cases = append(cases,
			conform{name: r.name + " applied", section: "7.2.5", setup: setup(flow(r.match, apply(do, out(2)))), probes: probes},
			conform{name: r.name + " in the action set", section: "5.10", setup: setup(flow(r.match, write(out(2), do))), probes: probes},
			conform{name: r.name + " after an output", section: "5.11", setup: setup(flow(r.match, apply(out(3), do, out(2)))),
				probes: []probe{{in: r.in, out: []sent{{port: 2, frame: r.out}, {port: 3, frame: r.in}}}}})
		if again := r.match.With(r.field); !r.hidden && again.Check() == nil {
			cases = append(cases, conform{name: r.name + " then matched", section: "5.1", setup: setup(
				flow(r.match, apply(do), goTo(1)), flowIn(1, again, apply(out(2)))), probes: probes})
		}
	}
	return cases
}

// headers gives frames with the same payload.
func ipv4(h ip4, rest ...header) []byte { return frame(append([]header{eth{}, h}, rest...)...) }
func ipv6(h ip6, rest ...header) []byte { return frame(append([]header{eth{}, h}, rest...)...) }

// TestSetField: each field that can be written, with all checksums that depend on it (section 7.2.5).
func TestSetField(t *testing.T) {
	data := text("payload")
	is4, is6 := match(as(0x0800)...), match(as(0x86dd)...)
	tcp4, udp4, tcp6, udp6 := match(as(0x0800, 6)...), match(as(0x0800, 17)...), match(as(0x86dd, 6)...), match(as(0x86dd, 17)...)
	sctp4, icmp4, ping6 := match(as(0x0800, 132)...), match(as(0x0800, 1)...), match(as(0x86dd, 58)...)
	ns, na := match(as(0x86dd, 58, 135)...), match(as(0x86dd, 58, 136)...)
	isARP, isMPLS, isPBB := match(as(0x0806)...), match(as(0x8847)...), match(as(0x88e7)...)
	tag := match(masked(openflow.VLANVID, 0x1000, 0x1000))
	addr := func(id openflow.FieldID, n uint64) openflow.Field {
		return openflow.Exact128(id, 0x20010db800000000, n)
	}
	bare := func(f []byte, at int) raw { return f[at:] }
	udpFrame, tcpFrame := ipv4(ip4{}, udp{}, data), ipv4(ip4{}, tcp{}, data)
	const A, B = 0xc0a80a0b, 0x0a0000fe
	opt := "94040000 01010101"
	check(t, rewrites([]rewrite{
		{"eth_dst", everything, eq(openflow.EthDst, 0xfedcba987654), udpFrame, frame(eth{dst: 0xfedcba987654}, ip4{}, udp{}, data), false},
		{"eth_src", everything, eq(openflow.EthSrc, 0xfedcba987654), udpFrame, frame(eth{src: 0xfedcba987654}, ip4{}, udp{}, data), false},
		{"eth_type", is4, eq(openflow.EthType, 0x1234), udpFrame, frame(eth{typ: 0x1234}, bare(udpFrame, 14)), true},
		{"eth_type behind tags", is4, eq(openflow.EthType, 0x1234), frame(eth{}, vlan{vid: 1}, vlan{vid: 2}, ip4{}), frame(eth{}, vlan{vid: 1}, vlan{vid: 2, typ: 0x1234}, bare(frame(eth{}, ip4{}), 14)), true},
		{"eth_type in SNAP", is4, eq(openflow.EthType, 0x1234), frame(snapEth(), ip4{}), frame(llc{header: "aa aa 03 00 00 00", snap: true, typ: 0x1234}, bare(frame(eth{}, ip4{}), 14)), true},
		{"vlan_vid", tag, eq(openflow.VLANVID, 0x1abc), frame(eth{}, vlan{vid: 5, pcp: 3, dei: 1}, ip4{}), frame(eth{}, vlan{vid: 0xabc, pcp: 3, dei: 1}, ip4{}), true},
		{"vlan_vid of the outer tag", tag, eq(openflow.VLANVID, 0x1007), frame(eth{}, vlan{tpid: 0x88a8, vid: 5}, vlan{vid: 6}, ip4{}), frame(eth{}, vlan{tpid: 0x88a8, vid: 7}, vlan{vid: 6}, ip4{}), true},
		{"vlan_pcp", tag, eq(openflow.VLANPCP, 6), frame(eth{}, vlan{vid: 5, pcp: 1, dei: 1}, ip4{}), frame(eth{}, vlan{vid: 5, pcp: 6, dei: 1}, ip4{}), false},
		{"ip_dscp", is4, eq(openflow.IPDSCP, 0x3f), ipv4(ip4{dscp: 1, ecn: 2}, udp{}, data), ipv4(ip4{dscp: 0x3f, ecn: 2}, udp{}, data), false},
		{"ip_dscp of IPv6", is6, eq(openflow.IPDSCP, 0x2a), ipv6(ip6{dscp: 1, ecn: 2, flabel: 0xfffff}, udp{}), ipv6(ip6{dscp: 0x2a, ecn: 2, flabel: 0xfffff}, udp{}), false},
		{"ip_ecn", is4, eq(openflow.IPECN, 1), ipv4(ip4{dscp: 9, ecn: 2}, tcp{}), ipv4(ip4{dscp: 9, ecn: 1}, tcp{}), false},
		{"ip_ecn of IPv6", is6, eq(openflow.IPECN, 3), ipv6(ip6{dscp: 9, ecn: 0}, tcp{}), ipv6(ip6{dscp: 9, ecn: 3}, tcp{}), false},
		{"ip_proto", is4, eq(openflow.IPProto, 200), udpFrame, frame(eth{}, ip4{proto: 200}, bare(udpFrame, 34)), false},
		{"ip_proto of IPv6", is6, eq(openflow.IPProto, 200), ipv6(ip6{}, udp{}), ipv6(ip6{proto: 200}, bare(ipv6(ip6{}, udp{}), 54)), false},
		{"ip_proto behind extension headers", is6, eq(openflow.IPProto, 200), ipv6(ip6{}, hopByHop(), destination(), udp{}),
			ipv6(ip6{}, hopByHop(), ext{kind: extDest, proto: 200}, bare(ipv6(ip6{}, udp{}), 54)), true},
		{"ipv4_src with TCP", is4, eq(openflow.IPv4Src, A), tcpFrame, ipv4(ip4{src: A}, tcp{}, data), false},
		{"ipv4_src with UDP", is4, eq(openflow.IPv4Src, A), udpFrame, ipv4(ip4{src: A}, udp{}, data), false},
		{"ipv4_src with UDP without checksum", is4, eq(openflow.IPv4Src, A), ipv4(ip4{}, udp{sum: none}, data), ipv4(ip4{src: A}, udp{sum: none}, data), false},
		{"ipv4_src with SCTP", is4, eq(openflow.IPv4Src, A), ipv4(ip4{}, sctp{}, data), ipv4(ip4{src: A}, sctp{}, data), false},
		{"ipv4_src with ICMP", is4, eq(openflow.IPv4Src, A), ipv4(ip4{}, icmp{}, data), ipv4(ip4{src: A}, icmp{}, data), false},
		{"ipv4_src with another protocol", is4, eq(openflow.IPv4Src, A), ipv4(ip4{}, data), ipv4(ip4{src: A}, data), false},
		{"ipv4_src with options", is4, eq(openflow.IPv4Src, A), ipv4(ip4{options: opt}, tcp{}, data), ipv4(ip4{src: A, options: opt}, tcp{}, data), false},
		{"ipv4_src behind tags", is4, eq(openflow.IPv4Src, A), frame(eth{}, vlan{vid: 1}, vlan{vid: 2}, vlan{vid: 3}, ip4{}, tcp{}), frame(eth{}, vlan{vid: 1}, vlan{vid: 2}, vlan{vid: 3}, ip4{src: A}, tcp{}), false},
		{"ipv4_src in SNAP", is4, eq(openflow.IPv4Src, A), frame(snapEth(), ip4{}, tcp{}), frame(snapEth(), ip4{src: A}, tcp{}), false},
		{"ipv4_dst with TCP", is4, eq(openflow.IPv4Dst, B), tcpFrame, ipv4(ip4{dst: B}, tcp{}, data), false},
		{"ipv4_dst with UDP", is4, eq(openflow.IPv4Dst, B), udpFrame, ipv4(ip4{dst: B}, udp{}, data), false},
		{"ipv4_dst to what it is", is4, eq(openflow.IPv4Dst, ipB), udpFrame, udpFrame, false},
		{"ipv4_dst of a later fragment", is4, eq(openflow.IPv4Dst, B), ipv4(ip4{frag: 7, proto: 6}, raw(zeros(40))), ipv4(ip4{frag: 7, proto: 6, dst: B}, raw(zeros(40))), false},
		{"tcp_src", tcp4, eq(openflow.TCPSrc, 65535), tcpFrame, ipv4(ip4{}, tcp{src: 65535}, data), false},
		{"tcp_dst", tcp4, eq(openflow.TCPDst, 0), tcpFrame, ipv4(ip4{}, tcp{dst: none}, data), false},
		{"tcp_dst of IPv6", tcp6, eq(openflow.TCPDst, 443), ipv6(ip6{}, tcp{}, data), ipv6(ip6{}, tcp{dst: 443}, data), false},
		{"tcp_dst with options", tcp4, eq(openflow.TCPDst, 443), ipv4(ip4{options: opt}, tcp{options: "02040534"}, data), ipv4(ip4{options: opt}, tcp{dst: 443, options: "02040534"}, data), false},
		{"udp_src", udp4, eq(openflow.UDPSrc, 1), udpFrame, ipv4(ip4{}, udp{src: 1}, data), false},
		{"udp_dst", udp4, eq(openflow.UDPDst, 0xabcd), udpFrame, ipv4(ip4{}, udp{dst: 0xabcd}, data), false},
		{"udp_dst of IPv6", udp6, eq(openflow.UDPDst, 0xabcd), ipv6(ip6{}, udp{}, data), ipv6(ip6{}, udp{dst: 0xabcd}, data), false},
		{"udp_dst without checksum", udp4, eq(openflow.UDPDst, 0xabcd), ipv4(ip4{}, udp{sum: none}, data), ipv4(ip4{}, udp{dst: 0xabcd, sum: none}, data), false},
		{"udp_dst whose checksum becomes zero", udp4, eq(openflow.UDPDst, uint64(zeroSumPort())), ipv4(ip4{}, udp{}), ipv4(ip4{}, udp{dst: zeroSumPort()}), false},
		{"udp_dst from a checksum of 0xffff", udp4, eq(openflow.UDPDst, 2000), ipv4(ip4{}, udp{dst: zeroSumPort()}), ipv4(ip4{}, udp{}), false},
		{"udp_dst under a wrong checksum, which stays as wrong", udp4, eq(openflow.UDPDst, 2001), ipv4(ip4{}, udp{sum: 0x1111}), ipv4(ip4{}, udp{dst: 2001, sum: 0x1110}), false},
		{"sctp_src", sctp4, eq(openflow.SCTPSrc, 5), ipv4(ip4{}, sctp{}, data), ipv4(ip4{}, sctp{src: 5}, data), false},
		{"sctp_dst", sctp4, eq(openflow.SCTPDst, 0xffff), ipv4(ip4{}, sctp{}, data), ipv4(ip4{}, sctp{dst: 0xffff}, data), false},
		{"sctp_dst of IPv6", match(as(0x86dd, 132)...), eq(openflow.SCTPDst, 9), ipv6(ip6{}, sctp{}, data), ipv6(ip6{}, sctp{dst: 9}, data), false},
		{"icmpv4_type", icmp4, eq(openflow.ICMPv4Type, 0), ipv4(ip4{}, icmp{typ: 8}, data), ipv4(ip4{}, icmp{typ: none}, data), false},
		{"icmpv4_code", icmp4, eq(openflow.ICMPv4Code, 255), ipv4(ip4{}, icmp{typ: 3}, data), ipv4(ip4{}, icmp{typ: 3, code: 255}, data), false},
		{"arp_op", isARP, eq(openflow.ARPOp, 0xabcd), frame(eth{}, arp{}), frame(eth{}, arp{op: 0xabcd}), false},
		{"arp_spa", isARP, eq(openflow.ARPSPA, A), frame(eth{}, arp{}), frame(eth{}, arp{spa: A}), false},
		{"arp_tpa", isARP, eq(openflow.ARPTPA, A), frame(eth{}, arp{}), frame(eth{}, arp{tpa: A}), false},
		{"arp_sha", isARP, eq(openflow.ARPSHA, 0xaabbccddeeff), frame(eth{}, arp{}), frame(eth{}, arp{sha: 0xaabbccddeeff}), false},
		{"arp_tha", isARP, eq(openflow.ARPTHA, 0xaabbccddeeff), frame(eth{}, arp{}), frame(eth{}, arp{tha: 0xaabbccddeeff}), false},
		{"ipv6_src with TCP", is6, addr(openflow.IPv6Src, 77), ipv6(ip6{}, tcp{}, data), ipv6(ip6{src: addr6(77)}, tcp{}, data), false},
		{"ipv6_src with UDP", is6, addr(openflow.IPv6Src, 77), ipv6(ip6{}, udp{}, data), ipv6(ip6{src: addr6(77)}, udp{}, data), false},
		{"ipv6_src with ICMPv6", is6, addr(openflow.IPv6Src, 77), ipv6(ip6{}, icmp6{}, data), ipv6(ip6{src: addr6(77)}, icmp6{}, data), false},
		{"ipv6_src with SCTP", is6, addr(openflow.IPv6Src, 77), ipv6(ip6{}, sctp{}, data), ipv6(ip6{src: addr6(77)}, sctp{}, data), false},
		{"ipv6_dst with TCP", is6, addr(openflow.IPv6Dst, 77), ipv6(ip6{}, tcp{}, data), ipv6(ip6{dst: addr6(77)}, tcp{}, data), false},
		{"ipv6_dst behind options", is6, addr(openflow.IPv6Dst, 77), ipv6(ip6{}, hopByHop(), destination(), tcp{}, data), ipv6(ip6{dst: addr6(77)}, hopByHop(), destination(), tcp{}, data), false},
		{"ipv6_dst on the way of a routing header", is6, addr(openflow.IPv6Dst, 77), ipv6(ip6{}, route{left: 1, to: addr6(9)}, tcp{}, data), ipv6(ip6{dst: addr6(77)}, route{left: 1, to: addr6(9)}, tcp{}, data), false},
		{"ipv6_dst at the end of a routing header", is6, addr(openflow.IPv6Dst, 77), ipv6(ip6{}, route{to: addr6(9)}, udp{}, data), ipv6(ip6{dst: addr6(77)}, route{to: addr6(9)}, udp{}, data), false},
		{"ipv6_src with a routing header", is6, addr(openflow.IPv6Src, 77), ipv6(ip6{}, route{left: 1, to: addr6(9)}, udp{}, data), ipv6(ip6{src: addr6(77)}, route{left: 1, to: addr6(9)}, udp{}, data), false},
		{"ipv6_flabel", is6, eq(openflow.IPv6FLabel, 0xabcde), ipv6(ip6{dscp: 63, ecn: 3}, udp{}), ipv6(ip6{dscp: 63, ecn: 3, flabel: 0xabcde}, udp{}), false},
		{"icmpv6_type", ping6, eq(openflow.ICMPv6Type, 129), ipv6(ip6{}, icmp6{}, data), ipv6(ip6{}, icmp6{typ: 129}, data), false},
		{"icmpv6_code", ping6, eq(openflow.ICMPv6Code, 4), ipv6(ip6{}, icmp6{}, data), ipv6(ip6{}, icmp6{code: 4}, data), false},
		{"ipv6_nd_target", ns, addr(openflow.NDTarget, 77), ipv6(ip6{}, nd{sll: macA}), ipv6(ip6{}, nd{sll: macA, target: addr6(77)}), false},
		{"ipv6_nd_sll", ns, eq(openflow.NDSLL, 0xaabbccddeeff), ipv6(ip6{}, nd{sll: macA}), ipv6(ip6{}, nd{sll: 0xaabbccddeeff}), false},
		{"ipv6_nd_tll", na, eq(openflow.NDTLL, 0xaabbccddeeff), ipv6(ip6{}, nd{typ: 136, tll: macA}), ipv6(ip6{}, nd{typ: 136, tll: 0xaabbccddeeff}), false},
		{"mpls_label", isMPLS, eq(openflow.MPLSLabel, 0xfffff), frame(eth{}, mpls{label: 1, tc: 7}, mpls{label: 2}, ip4{}), frame(eth{}, mpls{label: 0xfffff, tc: 7}, mpls{label: 2}, ip4{}), false},
		{"mpls_tc", isMPLS, eq(openflow.MPLSTC, 5), frame(eth{}, mpls{label: 1, tc: 2}, ip4{}), frame(eth{}, mpls{label: 1, tc: 5}, ip4{}), false},
		{"mpls_bos", isMPLS, eq(openflow.MPLSBOS, 0), frame(eth{}, mpls{label: 1}, ip4{}), frame(eth{}, mpls{label: 1, bos: none}, ip4{}), false},
		{"mpls_bos set", isMPLS, eq(openflow.MPLSBOS, 1), frame(eth{}, mpls{label: 1}, mpls{label: 2}, ip4{}), frame(eth{}, mpls{label: 1, bos: 1}, mpls{label: 2}, ip4{}), false},
		{"pbb_isid", isPBB, eq(openflow.PBBISID, 0xfedcba), frame(eth{}, itag{isid: 1, pcp: 5, dei: 1, uca: 1}, eth{}, ip4{}), frame(eth{}, itag{isid: 0xfedcba, pcp: 5, dei: 1, uca: 1}, eth{}, ip4{}), false},
		{"pbb_uca", isPBB, eq(openflow.PBBUCA, 1), frame(eth{}, itag{isid: 1, pcp: 5}, eth{}, ip4{}), frame(eth{}, itag{isid: 1, pcp: 5, uca: 1}, eth{}, ip4{}), false},
		{"nw_ttl", is4, eq(openflow.IPTTL, 0), udpFrame, ipv4(ip4{ttl: none}, udp{}, data), false},
		{"mpls_ttl", isMPLS, eq(openflow.MPLSTTL, 200), frame(eth{}, mpls{label: 1}, ip4{}), frame(eth{}, mpls{label: 1, ttl: 200}, ip4{}), false},
	}))
}

// zeroSumPort is the udp_dst with which the sum of ipv4(ip4{}, udp{}) is zero, which is sent as 0xffff.
func zeroSumPort() int {
	for p := 1; p < 0x10000; p++ {
		if f := ipv4(ip4{}, udp{dst: p}); be.Uint16(f[40:]) == 0xffff {
			return p
		}
	}
	panic("there is one port for each sum")
}

// TestSetFieldAbsent: a field that the frame does not have is not written, and nothing else is either.
func TestSetFieldAbsent(t *testing.T) {
	later4 := frame(eth{}, ip4{frag: 5, proto: 17}, raw(zeros(32)))
	later6 := frame(eth{}, ip6{}, fragment{frag: 5, proto: 6}, raw(zeros(32)))
	short := frame(eth{}, ip4{proto: 6}, raw(zeros(12)))
	noOption := ipv6(ip6{}, nd{})
	oddARP := frame(eth{}, arp{kinds: "0006 0800 06 04"})
	cutIP := frame(eth{typ: 0x0800}, fromHex("45 00 00 14"))
	check(t, rewrites([]rewrite{
		{"udp_dst of a later fragment", match(as(0x0800, 17)...), eq(openflow.UDPDst, 0xffff), later4, later4, true},
		{"tcp_dst of a later IPv6 fragment", match(as(0x86dd, 6)...), eq(openflow.TCPDst, 0xffff), later6, later6, true},
		{"tcp_dst of half a header", match(as(0x0800, 6)...), eq(openflow.TCPDst, 0xffff), short, short, true},
		{"ipv6_nd_sll without the option", match(as(0x86dd, 58, 135)...), eq(openflow.NDSLL, 1), noOption, noOption, true},
		{"arp_spa of another kind of hardware", match(as(0x0806)...), eq(openflow.ARPSPA, 1), oddARP, oddARP, true},
		{"ipv4_src of half a header", match(as(0x0800)...), eq(openflow.IPv4Src, 1), cutIP, cutIP, true},
		{"mpls_label of half an entry", match(as(0x8847)...), eq(openflow.MPLSLabel, 1), frame(eth{typ: 0x8847}, raw{1, 2}), frame(eth{typ: 0x8847}, raw{1, 2}), true},
	}))
	// A PACKET_OUT has no match that could promise a field.
	b, plain := newBench(t), frame(eth{}, arp{})
	for _, f := range []openflow.Field{eq(openflow.VLANVID, 0x1005), eq(openflow.VLANPCP, 5), eq(openflow.IPv4Src, 5), eq(openflow.IPDSCP, 5), eq(openflow.TCPDst, 5),
		eq(openflow.IPv6FLabel, 5), eq(openflow.MPLSTC, 5), eq(openflow.PBBISID, 5), eq(openflow.NDTLL, 5), eq(openflow.ICMPv4Type, 5), eq(openflow.ICMPv6Code, 5)} {
		must(t, b.packetOut(1, plain, openflow.Action{Type: openflow.ActionSetField, Field: f}, out(2)))
		if err := compare(b.take(), []string{sent{port: 2, frame: plain}.line()}); err != nil {
			t.Errorf("section 7.2.5, %s of an ARP packet: %v", f.ID, err)
		}
	}
}
