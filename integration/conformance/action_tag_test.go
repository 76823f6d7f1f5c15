package conformance

import (
	"fmt"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// change is a list of actions and what it makes of a frame; then is a match that the new frame meets.
type change struct {
	name    string
	match   openflow.Match
	actions []openflow.Action
	in, out []byte
	then    openflow.Match
}

// changes makes cases of them: at once, with the frame as it was also sent, and behind a goto_table.
func changes(section string, list []change) (cases []conform) {
	for _, c := range list {
		probes := []probe{{in: c.in, out: to(2, c.out)}}
		do := append(c.actions[:len(c.actions):len(c.actions)], out(2))
		cases = append(cases,
			conform{name: c.name, section: section, setup: setup(flow(c.match, apply(do...))), probes: probes},
			conform{name: c.name + ", after an output", section: section, setup: setup(flow(c.match, apply(append([]openflow.Action{out(3)}, do...)...))),
				probes: []probe{{in: c.in, out: []sent{{port: 2, frame: c.out}, {port: 3, frame: c.in}}}}},
			conform{name: c.name + ", then matched", section: "5.1", setup: setup(flow(c.match, apply(c.actions...), goTo(1)),
				flowIn(1, c.then, apply(out(2))), miss(1, apply(out(4)))), probes: probes})
	}
	return cases
}

var (
	pushC    = push(openflow.ActionPushVLAN, 0x8100)
	pushS    = push(openflow.ActionPushVLAN, 0x88a8)
	popVLAN  = simple(openflow.ActionPopVLAN)
	pushMPLS = push(openflow.ActionPushMPLS, 0x8847)
	pushPBB  = push(openflow.ActionPushPBB, 0x88e7)
	popPBB   = simple(openflow.ActionPopPBB)
	tagThere = match(masked(openflow.VLANVID, 0x1000, 0x1000))
)

func popMPLS(typ uint16) openflow.Action           { return push(openflow.ActionPopMPLS, typ) }
func do(list ...openflow.Action) []openflow.Action { return list }

// TestVLANTags: push_vlan copies VID and PCP of the tag that was outermost, else they are zero (5.12.1).
func TestVLANTags(t *testing.T) {
	ip := []header{ip4{}, udp{}, text("data")}
	with := func(tags ...header) []byte { return frame(append(append([]header{eth{}}, tags...), ip...)...) }
	vid := func(v uint64) openflow.Match { return matchAs(as(0x0800), eq(openflow.VLANVID, 0x1000|v)) }
	pcp := func(v, p uint64) openflow.Match {
		return match(eq(openflow.VLANVID, 0x1000|v), eq(openflow.VLANPCP, p))
	}
	a, b, c := vlan{vid: 5, pcp: 3}, vlan{tpid: 0x88a8, vid: 6, pcp: 1}, vlan{vid: 7}
	sa, ca := vlan{tpid: 0x88a8, vid: 5, pcp: 3}, vlan{vid: 5, pcp: 3}
	snapIn, snapOut := frame(snapEth(), ip4{}), frame(eth{typ: 0x8100}, vlan{typ: 28}, fromHex("aa aa 03 00 00 00 08 00"), ip4{})
	check(t, changes("5.12.1", []change{
		{"push_vlan 0x8100", everything, do(pushC), with(), with(vlan{}), vid(0)},
		{"push_vlan 0x88a8", everything, do(pushS), with(), with(vlan{tpid: 0x88a8}), vid(0)},
		{"push_vlan on a tag", everything, do(pushC), with(a), with(ca, a), pcp(5, 3)},
		{"push_vlan 0x88a8 on a tag", everything, do(pushS), with(a), with(sa, a), pcp(5, 3)},
		{"push_vlan on two tags", everything, do(pushC), with(b, c), with(vlan{vid: 6, pcp: 1}, b, c), pcp(6, 1)},
		{"push_vlan on three tags", everything, do(pushS), with(a, b, c), with(sa, a, b, c), pcp(5, 3)},
		{"push_vlan does not copy DEI", everything, do(pushC), with(vlan{vid: 9, dei: 1, pcp: 7}), with(vlan{vid: 9, pcp: 7}, vlan{vid: 9, dei: 1, pcp: 7}), pcp(9, 7)},
		{"push_vlan on ARP", everything, do(pushC), frame(eth{}, arp{}), frame(eth{}, vlan{}, arp{}), matchAs(as(0x0806), eq(openflow.VLANVID, 0x1000))},
		{"push_vlan on a frame with a length", everything, do(pushC), snapIn, snapOut, vid(0)},
		{"push_vlan before a label", everything, do(pushC), frame(eth{}, mpls{label: 3}, ip4{}), frame(eth{}, vlan{}, mpls{label: 3}, ip4{}), matchAs(as(0x8847), eq(openflow.MPLSLabel, 3))},
		{"push_vlan three times", everything, do(pushC, set(openflow.VLANVID, 0x1001), pushS, set(openflow.VLANVID, 0x1002), pushC), with(), with(vlan{vid: 2}, vlan{tpid: 0x88a8, vid: 2}, vlan{vid: 1}), vid(2)},
		{"push_vlan and set_field", everything, do(pushC, set(openflow.VLANVID, 0x1064), set(openflow.VLANPCP, 5)), with(a), with(vlan{vid: 100, pcp: 5}, a), pcp(100, 5)},
		{"pop_vlan", tagThere, do(popVLAN), with(a), with(), match(eq(openflow.VLANVID, 0), eq(openflow.EthType, 0x0800))},
		{"pop_vlan of two tags", tagThere, do(popVLAN), with(b, a), with(a), pcp(5, 3)},
		{"pop_vlan of three tags", tagThere, do(popVLAN), with(c, b, a), with(b, a), pcp(6, 1)},
		{"pop_vlan of a tag of 0x9100", everything, do(pushC, popVLAN), with(vlan{tpid: 0x9100, vid: 4}), with(vlan{tpid: 0x9100, vid: 4}), vid(4)},
		{"pop_vlan of a frame with a length", tagThere, do(popVLAN), frame(eth{typ: 0x8100}, vlan{vid: 4, typ: 36}, fromHex("aa aa 03 00 00 00 08 00"), ip4{}, udp{}), frame(snapEth(), ip4{}, udp{}), match(eq(openflow.VLANVID, 0), eq(openflow.EthType, 0x0800))},
		{"pop_vlan that is pushed", everything, do(pushS, popVLAN), with(a), with(a), pcp(5, 3)},
		{"swap of two tags' values", tagThere, do(set(openflow.VLANVID, 0x1fff)), with(a, b), with(vlan{vid: 0xfff, pcp: 3}, b), pcp(0xfff, 3)},
	}))
	// Deep towers of tags, and down again.
	var up, down []openflow.Action
	var tags []header
	for i := range 20 {
		up = append(up, pushC, set(openflow.VLANVID, uint64(0x1000+i)))
		down = append(down, popVLAN)
		tags = append([]header{vlan{vid: i}}, tags...)
	}
	tower := with(tags...)
	// After one pop nothing promises another tag, so the next table asks again.
	list := setup(flow(match(eq(openflow.VLANVID, 0)), apply(append(up, out(2))...)))
	for i := range down {
		rest := apply(popVLAN)
		if i == len(down)-1 {
			rest = apply(popVLAN, out(3))
		}
		if i == 0 {
			list = append(list, flow(match(eq(openflow.VLANVID, 0x1013)), rest, goTo(1)))
		} else if i == len(down)-1 {
			list = append(list, flowIn(uint8(i), tagThere, rest))
		} else {
			list = append(list, flowIn(uint8(i), tagThere, rest, goTo(uint8(i+1))))
		}
	}
	check(t, []conform{{name: "twenty tags up and down", section: "5.12", setup: list,
		probes: []probe{{in: with(), out: to(2, tower)}, {in: tower, out: to(3, with())}}}})
}

// TestMPLSLabels: push_mpls copies label, TC and TTL of the label that was outermost, else the TTL of the IP
// header; what the frame does not have is zero. A label goes behind the VLAN tags, as in Open vSwitch.
func TestMPLSLabels(t *testing.T) {
	label := func(v uint64) openflow.Match { return matchAs(as(0x8847), eq(openflow.MPLSLabel, v)) }
	top := mpls{label: 0xabcde, tc: 5, ttl: 33}
	var cases []change
	for n := range 5 {
		stack := []header{}
		for i := range n {
			stack = append(stack, mpls{label: 100 + i, tc: i, ttl: 10 + i})
		}
		pkt := func(more ...header) []byte {
			return frame(append(append(append([]header{eth{}}, more...), stack...), ip4{ttl: 77}, udp{})...)
		}
		pushed := mpls{ttl: 77}
		if n > 0 {
			pushed = mpls{label: 100, ttl: 10}
		}
		cases = append(cases, change{fmt.Sprintf("push_mpls on %d labels", n), everything, do(pushMPLS), pkt(), pkt(pushed), matchAs(as(0x8847), eq(openflow.MPLSTTL, uint64(pushed.ttl)))},
			change{fmt.Sprintf("push_mpls and set on %d labels", n), everything, do(pushMPLS, set(openflow.MPLSLabel, 0xabcde), set(openflow.MPLSTC, 5), setTTL(openflow.ActionSetMPLSTTL, 33)), pkt(), pkt(top), label(0xabcde)})
		typ, then := uint16(0x8847), label(100)
		if n == 0 {
			typ, then = 0x0800, match(as(0x0800, 17)...)
		}
		cases = append(cases, change{fmt.Sprintf("pop_mpls down to %d labels", n), match(as(0x8847)...), do(popMPLS(typ)), pkt(top), pkt(), then})
	}
	tagged := frame(eth{}, vlan{vid: 5}, ip4{ttl: 9}, udp{})
	check(t, changes("5.12.1", append(cases, []change{
		{"push_mpls 0x8848", everything, do(push(openflow.ActionPushMPLS, 0x8848)), frame(eth{}, ip4{}, udp{}), frame(eth{}, mpls{multicast: true}, ip4{}, udp{}), matchAs(as(0x8848), eq(openflow.MPLSBOS, 1))},
		{"push_mpls on IPv6", everything, do(pushMPLS), frame(eth{}, ip6{hops: 12}, udp{}), frame(eth{}, mpls{ttl: 12}, ip6{hops: 12}, udp{}), label(0)},
		{"push_mpls on ARP", everything, do(pushMPLS), frame(eth{}, arp{}), frame(eth{}, mpls{ttl: none}, arp{}), label(0)},
		{"push_mpls behind a tag", everything, do(pushMPLS), tagged, frame(eth{}, vlan{vid: 5}, mpls{ttl: 9}, ip4{ttl: 9}, udp{}), matchAs(as(0x8847), eq(openflow.VLANVID, 0x1005))},
		{"push_mpls behind two tags", everything, do(pushMPLS), frame(eth{}, vlan{tpid: 0x88a8, vid: 6}, vlan{vid: 5}, ip4{}), frame(eth{}, vlan{tpid: 0x88a8, vid: 6}, vlan{vid: 5}, mpls{}, ip4{}), matchAs(as(0x8847), eq(openflow.VLANVID, 0x1006))},
		{"push_mpls in SNAP", everything, do(pushMPLS), frame(snapEth(), ip4{}), frame(snapEth(), mpls{}, ip4{}), label(0)},
		{"push_mpls twice", everything, do(pushMPLS, set(openflow.MPLSLabel, 7), pushMPLS), frame(eth{}, ip4{ttl: 5}, udp{}), frame(eth{}, mpls{label: 7, ttl: 5}, mpls{label: 7, ttl: 5}, ip4{ttl: 5}, udp{}), matchAs(as(0x8847), eq(openflow.MPLSBOS, 0))},
		{"push_mpls keeps bottom of stack below", everything, do(pushMPLS, set(openflow.MPLSLabel, 1)), frame(eth{}, mpls{label: 2}, ip4{}), frame(eth{}, mpls{label: 1}, mpls{label: 2}, ip4{}), matchAs(as(0x8847), eq(openflow.MPLSBOS, 0))},
		{"pop_mpls to IPv6", match(as(0x8847)...), do(popMPLS(0x86dd)), frame(eth{}, mpls{}, ip6{}, udp{}), frame(eth{}, ip6{}, udp{}), matchAs(as(0x86dd, 17), eq(openflow.UDPDst, 2000))},
		{"pop_mpls of 0x8848", match(as(0x8848)...), do(popMPLS(0x0800)), frame(eth{}, mpls{multicast: true}, ip4{}, tcp{}), frame(eth{}, ip4{}, tcp{}), matchAs(as(0x0800, 6), eq(openflow.TCPDst, 2000))},
		{"pop_mpls to a type that nobody knows", match(as(0x8847)...), do(popMPLS(0x1234)), frame(eth{}, mpls{}, raw{1, 2, 3}), frame(eth{typ: 0x1234}, raw{1, 2, 3}), match(as(0x1234)...)},
		{"pop_mpls behind a tag", match(as(0x8847)...), do(popMPLS(0x0800)), frame(eth{}, vlan{vid: 5}, mpls{}, ip4{}, udp{}), frame(eth{}, vlan{vid: 5}, ip4{}, udp{}), matchAs(as(0x0800, 17), eq(openflow.UDPDst, 2000))},
		{"pop_mpls in SNAP", match(as(0x8847)...), do(popMPLS(0x0800)), frame(snapEth(), mpls{}, ip4{}), frame(snapEth(), ip4{}), match(as(0x0800)...)},
		{"pop_mpls and set_field below", match(as(0x8847)...), do(popMPLS(0x0800), set(openflow.IPv4Dst, 0x01020304)), frame(eth{}, mpls{}, ip4{}, udp{}), frame(eth{}, ip4{dst: 0x01020304}, udp{}), matchAs(as(0x0800), eq(openflow.IPv4Dst, 0x01020304))},
		{"swap", match(as(0x8847)...), do(popMPLS(0x8847), pushMPLS, set(openflow.MPLSLabel, 9)), frame(eth{}, mpls{label: 1}, mpls{label: 2, ttl: 3}, ip4{}), frame(eth{}, mpls{label: 9, ttl: 3}, mpls{label: 2, ttl: 3}, ip4{}), label(9)},
		{"push_mpls and push_vlan", everything, do(pushMPLS, pushC), frame(eth{}, ip4{}), frame(eth{}, vlan{}, mpls{}, ip4{}), matchAs(as(0x8847), eq(openflow.VLANVID, 0x1000))},
	}...)))
}

// TestPBB: push_pbb puts the backbone's addresses and an I-TAG in front of the frame, with the addresses, the
// I-SID and as I-PCP the VLAN's PCP of the frame there was (5.12.1). A B-TAG is push_vlan's affair.
func TestPBB(t *testing.T) {
	inner := []header{eth{}, ip4{}, udp{}}
	pkt := func(outer ...header) []byte { return frame(append(outer, inner...)...) }
	tagged := []header{vlan{vid: 5, pcp: 6}, ip4{}, udp{}}
	isid := func(v uint64) openflow.Match { return matchAs(as(0x88e7), eq(openflow.PBBISID, v)) }
	backbone := eth{dst: 0x0a0000000001, src: 0x0a0000000002}
	address := do(pushPBB, set(openflow.EthDst, 0x0a0000000001), set(openflow.EthSrc, 0x0a0000000002), set(openflow.PBBISID, 0x123456))
	isPBB := match(as(0x88e7)...)
	check(t, changes("5.12.1", []change{
		{"push_pbb", everything, do(pushPBB), pkt(), pkt(eth{}, itag{}), isid(0)},
		{"push_pbb on a tag", everything, do(pushPBB), frame(append([]header{eth{}}, tagged...)...), frame(append([]header{eth{}, itag{pcp: 6}, eth{}}, tagged...)...), match(eq(openflow.VLANVID, 0), eq(openflow.EthType, 0x88e7))},
		{"push_pbb on an I-TAG", everything, do(pushPBB), pkt(backbone, itag{isid: 77, pcp: 4}), pkt(backbone, itag{isid: 77}, backbone, itag{isid: 77, pcp: 4}), isid(77)},
		{"push_pbb on ARP", everything, do(pushPBB), frame(eth{}, arp{}), frame(eth{}, itag{}, eth{}, arp{}), isid(0)},
		{"push_pbb on labels", everything, do(pushPBB), frame(eth{}, mpls{}, ip4{}), frame(eth{}, itag{}, eth{}, mpls{}, ip4{}), isid(0)},
		{"push_pbb on a frame with a length", everything, do(pushPBB), frame(snapEth(), ip4{}), frame(eth{}, itag{}, snapEth(), ip4{}), isid(0)},
		{"push_pbb and set_field", everything, address, pkt(), pkt(backbone, itag{isid: 0x123456}), match(eq(openflow.EthDst, 0x0a0000000001), eq(openflow.EthType, 0x88e7), eq(openflow.PBBISID, 0x123456))},
		{"push_pbb and a B-TAG", everything, append(address, pushS, set(openflow.VLANVID, 0x1009)), pkt(), pkt(backbone, vlan{tpid: 0x88a8, vid: 9}, itag{isid: 0x123456}), matchAs(as(0x88e7), eq(openflow.VLANVID, 0x1009))},
		{"pop_pbb", isPBB, do(popPBB), pkt(backbone, itag{isid: 7, uca: 1}), pkt(), match(eq(openflow.EthDst, macB), eq(openflow.EthType, 0x0800), eq(openflow.IPProto, 17))},
		{"pop_pbb to a tag", isPBB, do(popPBB), frame(append([]header{backbone, itag{isid: 7}, eth{}}, tagged...)...), frame(append([]header{eth{}}, tagged...)...), matchAs(as(0x0800), eq(openflow.VLANVID, 0x1005))},
		{"pop_pbb to an I-TAG", isPBB, do(popPBB), pkt(backbone, itag{isid: 7}, eth{}, itag{isid: 8}), pkt(eth{}, itag{isid: 8}), isid(8)},
		{"pop_pbb and its B-TAG", match(eq(openflow.VLANVID, 0x1009), eq(openflow.EthType, 0x88e7)), do(popVLAN, popPBB), pkt(backbone, vlan{tpid: 0x88a8, vid: 9}, itag{}), pkt(), matchAs(as(0x0800, 17), eq(openflow.UDPDst, 2000))},
		{"pop_pbb leaves the B-TAG", isPBB, do(popPBB), pkt(backbone, vlan{tpid: 0x88a8, vid: 9}, itag{}), frame(eth{}, vlan{tpid: 0x88a8, vid: 9}, ip4{}, udp{}), matchAs(as(0x0800), eq(openflow.VLANVID, 0x1009))},
		{"pop_pbb to a frame with a length", isPBB, do(popPBB), frame(backbone, itag{}, snapEth(), ip4{}), frame(snapEth(), ip4{}), match(as(0x0800)...)},
		{"pop_pbb that is pushed", everything, do(pushPBB, popPBB), pkt(), pkt(), match(as(0x0800, 17)...)},
	}))
}

// TestBelowALabel: two packets under the same label part ways once it is gone. The key of a labelled frame does
// not hold what is below, so a path remembered for one must not serve the other.
func TestBelowALabel(t *testing.T) {
	below := func(dst int) []byte { return frame(eth{}, mpls{label: 100, ttl: 9}, ip4{dst: dst}, udp{}) }
	to1, to2 := frame(eth{}, ip4{dst: 0x0a000001}, udp{}), frame(eth{}, ip4{dst: 0x0a000002}, udp{})
	check(t, []conform{{name: "pop_mpls, then IPv4", section: "5.12", setup: setup(
		flow(isLabel, apply(popMPLS(0x0800)), goTo(1)),
		flowIn(1, matchAs(as(0x0800), eq(openflow.IPv4Dst, 0x0a000001)), apply(out(2))),
		flowIn(1, matchAs(as(0x0800), eq(openflow.IPv4Dst, 0x0a000002)), apply(out(3)))),
		probes: []probe{{name: "the first", in: below(0x0a000001), out: to(2, to1)}, {name: "the second", in: below(0x0a000002), out: to(3, to2)}}}})
}
