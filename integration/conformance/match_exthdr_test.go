package conformance

import (
	"fmt"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// The bits of ipv6_exthdr (section 7.2.3.8).
const (
	noNext = 1 << iota
	esp
	authBit
	dest
	frag
	router
	hop
	unrep
	unseq
	allBits = 1<<9 - 1
)

// TestMatchExtHdr: each extension header, their order and their number.
func TestMatchExtHdr(t *testing.T) {
	h, d, a, f := hopByHop(), destination(), auth(), fragment{}
	r := route{left: 1, to: addr6(7)}
	e := ext{kind: extESP, body: "00 01 00 00 00 01 00 00 00 00 00 00 00 00"} // SPI and number; not the shape of the others
	none := ext{kind: extDest, proto: 59}
	with := func(list ...header) []byte {
		return frame(append(append([]header{eth{}, ip6{}}, list...), udp{}, text("data"))...)
	}
	var cases []conform
	for _, c := range []struct {
		name string
		in   []byte
		bits uint64
	}{
		{"none", with(), 0},
		{"hop-by-hop", with(h), hop},
		{"destination", with(d), dest},
		{"routing", with(r), router},
		{"fragment", with(f), frag},
		{"authentication", with(a), authBit},
		{"ESP", with(e), esp},
		{"no next header", frame(eth{}, ip6{proto: 59}), noNext},
		{"no next header behind another", frame(eth{}, ip6{}, none), dest | noNext},
		{"all in the order of RFC 2460", with(h, d, r, f, a, d), hop | dest | router | frag | authBit},
		{"all, then ESP", with(h, d, r, f, a, e), hop | dest | router | frag | authBit | esp},
		{"two destinations, as it may be", with(d, r, d), dest | router},
		{"two destinations together", with(d, d), dest},
		{"destination after routing", with(r, d), router | dest},
		{"three destinations", with(d, r, d, d), dest | router | unrep},
		{"two routings", with(r, r), router | unrep},
		{"two hop-by-hops", with(h, h), hop | unrep},
		{"two fragments", with(f, f), frag | unrep},
		{"two authentications", with(a, a), authBit | unrep},
		{"hop-by-hop that is not the first", with(d, h), dest | unseq},
		{"hop-by-hop behind all", with(r, f, h), router | frag | unseq},
		{"hop-by-hop again, later", with(h, d, h), hop | dest | unrep | unseq},
		{"routing after fragment", with(f, r), frag | router | unseq},
		{"fragment after authentication", with(a, f), authBit | frag | unseq},
		{"destination between routing and fragment", with(r, d, f), router | dest | frag | unseq},
		{"authentication after the last destination", with(r, d, a), router | dest | authBit | unseq},
		{"a later fragment", frame(eth{}, ip6{}, hopByHop(), fragment{frag: 9, proto: 17}, text("data")), hop | frag},
	} {
		cases = append(cases, conform{name: "ipv6_exthdr " + c.name, section: "7.2.3.8", setup: setup(
			flow(matchAs(as(0x86dd), eq(openflow.IPv6ExtHdr, c.bits)), apply(out(2)))),
			probes: []probe{{in: c.in, out: to(2, c.in)}}})
		for bit := uint64(1); bit <= allBits; bit <<= 1 {
			if c.name == "none" || c.name == "all, then ESP" || c.name == "hop-by-hop again, later" {
				p := probe{in: c.in}
				if c.bits&bit != 0 {
					p.out = to(2, c.in)
				}
				cases = append(cases, conform{name: fmt.Sprintf("ipv6_exthdr %s, bit %#x", c.name, bit), section: "7.2.3.8",
					setup:  setup(flow(matchAs(as(0x86dd), masked(openflow.IPv6ExtHdr, bit, bit)), apply(out(2)))),
					probes: []probe{p}})
			}
		}
	}
	udp6 := with(h, d, r, f, a, d)
	cases = append(cases, conform{name: "ip_proto and ports behind extension headers", section: "7.2.3.8",
		setup:  setup(flow(matchAs(as(0x86dd, 17), eq(openflow.UDPDst, 2000)), apply(out(2)))),
		probes: []probe{{in: udp6, out: to(2, udp6)}}})
	for name, c := range map[string]struct {
		match []byte
		code  uint16
	}{
		"ten bits":        {join(of(5, "86dd"), of(39, "0200")), openflow.BMCBadValue},
		"a mask of ten":   {join(of(5, "86dd"), ofMasked(39, "0000", "0200")), openflow.BMCBadMask},
		"outside a mask":  {join(of(5, "86dd"), ofMasked(39, "0003", "0001")), openflow.BMCBadWildcards},
		"of IPv4":         {join(of(5, "0800"), of(39, "0000")), openflow.BMCBadPrereq},
		"without a type":  {of(39, "0000"), openflow.BMCBadPrereq},
		"twice":           {join(of(5, "86dd"), of(39, "0000"), of(39, "0000")), openflow.BMCDupField},
		"of three bytes":  {join(of(5, "86dd"), of(39, "000000")), openflow.BMCBadLen},
		"before its type": {join(of(39, "0000"), of(5, "86dd")), openflow.BMCBadPrereq},
	} {
		cases = append(cases, conform{name: "ipv6_exthdr " + name, section: "7.4.4", raw: rawFlow(c.match), fails: badMatch(c.code)})
	}
	check(t, cases)
}
