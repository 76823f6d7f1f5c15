package conformance

import (
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// entry asks which frames meet one match: hits leave by port 2, misses do not.
type entry struct {
	name         string
	section      string
	match        openflow.Match
	hits, misses [][]byte
}

// entries makes cases of them.
func entries(list []entry) (cases []conform) {
	for _, e := range list {
		c := conform{name: e.name, section: e.section, setup: setup(flow(e.match, apply(out(2))))}
		for _, f := range e.hits {
			c.probes = append(c.probes, probe{name: "hit", in: f, out: to(2, f)})
		}
		for _, f := range e.misses {
			c.probes = append(c.probes, probe{name: "miss", in: f})
		}
		// Once more with an entry for all others: what meets the first must not meet the second.
		other := c
		other.name += ", with a table-miss entry"
		other.setup = append(other.setup[:1:1], miss(0, apply(out(3))))
		other.probes = nil
		for _, p := range c.probes {
			if p.out == nil {
				p.out = to(3, p.in)
			}
			other.probes = append(other.probes, p)
		}
		cases = append(cases, c, other)
	}
	return cases
}

// TestMatchFragments: ip_proto is there in every fragment; fields of the transport header are in the first
// one alone, and a frame that has them not meets no entry that asks for them (section 7.3.2).
func TestMatchFragments(t *testing.T) {
	udpData := frame(udp{dst: 53, sum: 0x1234}, text("0123456789abcdef"))
	whole4 := frame(eth{}, ip4{}, udp{dst: 53})
	first4 := frame(eth{}, ip4{more: true, proto: 17}, raw(udpData))
	later4 := frame(eth{}, ip4{frag: 3, proto: 17}, text("later"))
	zeros4 := frame(eth{}, ip4{frag: 3, proto: 17}, raw(make([]byte, 32)))
	middle4 := frame(eth{}, ip4{frag: 3, more: true, proto: 17}, raw(udpData))
	short4 := frame(eth{}, ip4{proto: 17}, raw(udpData[:7]))
	whole6 := frame(eth{}, ip6{}, udp{dst: 53})
	first6 := frame(eth{}, ip6{}, fragment{more: true, proto: 17}, raw(udpData))
	later6 := frame(eth{}, ip6{}, fragment{frag: 3, proto: 17}, text("later"))
	zeros6 := frame(eth{}, ip6{}, fragment{frag: 3, more: true, proto: 17}, raw(make([]byte, 32)))
	atomic6 := frame(eth{}, ip6{}, fragment{proto: 17}, udp{dst: 53})
	tcpLater := frame(eth{}, ip4{frag: 3, proto: 6}, raw(make([]byte, 32)))
	icmpLater := frame(eth{}, ip4{frag: 3, proto: 1}, raw(make([]byte, 32)))
	icmp6Later := frame(eth{}, ip6{}, fragment{frag: 3, proto: 58}, raw(make([]byte, 32)))
	sctpLater := frame(eth{}, ip4{frag: 3, proto: 132}, raw(make([]byte, 32)))
	zeroPorts := frame(eth{}, ip4{}, udp{src: none, dst: none})
	check(t, entries([]entry{
		{"ip_proto of IPv4 fragments", "7.2.3.8", match(as(0x0800, 17)...), [][]byte{whole4, first4, later4, middle4, short4}, [][]byte{tcpLater, whole6}},
		{"ip_proto of IPv6 fragments", "7.2.3.8", match(as(0x86dd, 17)...), [][]byte{whole6, first6, later6, atomic6}, [][]byte{icmp6Later, whole4}},
		{"udp_dst of IPv4 fragments", "7.3.2", matchAs(as(0x0800, 17), eq(openflow.UDPDst, 53)), [][]byte{whole4, first4}, [][]byte{later4, middle4, short4}},
		{"udp_dst of IPv6 fragments", "7.3.2", matchAs(as(0x86dd, 17), eq(openflow.UDPDst, 53)), [][]byte{whole6, first6, atomic6}, [][]byte{later6, zeros6}},
		{"udp_dst zero", "7.3.2", matchAs(as(0x0800, 17), eq(openflow.UDPDst, 0)), [][]byte{zeroPorts}, [][]byte{later4, zeros4, middle4, short4, whole4}},
		{"udp_src zero of IPv6", "7.3.2", matchAs(as(0x86dd, 17), eq(openflow.UDPSrc, 0)), nil, [][]byte{later6, zeros6, whole6}},
		{"udp_dst masked", "7.3.2", matchAs(as(0x0800, 17), masked(openflow.UDPDst, 0, 0x8000)), [][]byte{zeroPorts, whole4, first4}, [][]byte{later4, zeros4, short4}},
		{"udp_dst under an empty mask", "7.2.3.5", matchAs(as(0x0800, 17), masked(openflow.UDPDst, 0, 0)), [][]byte{whole4, later4, zeros4, short4}, [][]byte{tcpLater}},
		{"tcp_src zero", "7.3.2", matchAs(as(0x0800, 6), eq(openflow.TCPSrc, 0)), nil, [][]byte{tcpLater}},
		{"tcp_flags zero", "7.3.2", matchAs(as(0x0800, 6), eq(openflow.TCPFlags, 0)), nil, [][]byte{tcpLater}},
		{"sctp_dst zero", "7.3.2", matchAs(as(0x0800, 132), eq(openflow.SCTPDst, 0)), nil, [][]byte{sctpLater}},
		{"icmpv4_type zero", "7.3.2", matchAs(as(0x0800, 1), eq(openflow.ICMPv4Type, 0)), [][]byte{frame(eth{}, ip4{}, icmp{typ: none})}, [][]byte{icmpLater}},
		{"icmpv4_code zero", "7.3.2", matchAs(as(0x0800, 1), eq(openflow.ICMPv4Code, 0)), [][]byte{frame(eth{}, ip4{}, icmp{})}, [][]byte{icmpLater}},
		{"icmpv6_type zero", "7.3.2", matchAs(as(0x86dd, 58), eq(openflow.ICMPv6Type, 0)), nil, [][]byte{icmp6Later}},
		{"nw_frag none", "Nicira", matchAs(as(0x0800), eq(openflow.NwFrag, 0)), [][]byte{whole4, short4}, [][]byte{first4, middle4, later4}},
		{"nw_frag first", "Nicira", matchAs(as(0x0800), eq(openflow.NwFrag, 1)), [][]byte{first4}, [][]byte{whole4, middle4, later4}},
		{"nw_frag later", "Nicira", matchAs(as(0x0800), eq(openflow.NwFrag, 3)), [][]byte{middle4, later4, zeros4}, [][]byte{whole4, first4}},
		{"nw_frag any", "Nicira", matchAs(as(0x0800), masked(openflow.NwFrag, 1, 1)), [][]byte{first4, middle4, later4}, [][]byte{whole4}},
		{"nw_frag not later", "Nicira", matchAs(as(0x86dd), masked(openflow.NwFrag, 0, 2)), [][]byte{whole6, first6, atomic6}, [][]byte{later6, zeros6}},
		{"nw_frag of an atomic fragment", "Nicira", matchAs(as(0x86dd), eq(openflow.NwFrag, 0)), [][]byte{atomic6, whole6}, [][]byte{first6, later6}},
		{"later fragments with a port", "7.3.2", matchAs(as(0x0800, 17), eq(openflow.NwFrag, 3), eq(openflow.UDPDst, 0)), nil, [][]byte{later4, zeros4, middle4, first4}},
	}))
}
