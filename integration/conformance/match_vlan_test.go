package conformance

import (
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestMatchVLAN: table 13 of section 7.2.3.8, and tags of any number: the fields are those of the outermost.
func TestMatchVLAN(t *testing.T) {
	none := frame(eth{}, ip4{}, udp{})
	five := frame(eth{}, vlan{vid: 5, pcp: 3}, ip4{}, udp{})
	six := frame(eth{}, vlan{vid: 6, pcp: 3, dei: 1}, ip4{}, udp{})
	zero := frame(eth{}, vlan{pcp: 5}, ip4{}, udp{}) // a priority tag
	full := frame(eth{}, vlan{vid: 0xfff, pcp: 7}, arp{})
	service := frame(eth{}, vlan{tpid: 0x88a8, vid: 5}, arp{})
	two := frame(eth{}, vlan{tpid: 0x88a8, vid: 9}, vlan{vid: 5, pcp: 3}, ip4{}, udp{})
	three := frame(eth{}, vlan{tpid: 0x88a8, vid: 5, pcp: 3}, vlan{vid: 6}, vlan{vid: 7}, ip4{}, udp{})
	four := frame(eth{}, vlan{vid: 5}, vlan{vid: 6}, vlan{vid: 7}, vlan{vid: 8}, ip6{}, tcp{})
	snap := snapEth()
	snapTagged := frame(eth{typ: 0x8100}, vlan{vid: 5, typ: 36}, fromHex("aa aa 03 00 00 00 08 00"), ip4{}, udp{})
	cut := frame(eth{typ: 0x8100}, raw{0x00})
	all := frames(five, six, zero, full, service, two, three, four, snapTagged)
	cases := []entry{
		{"no vlan_vid", "7.2.3.8", match(), join2(all, frames(none, frame(snap, ip4{}, udp{}), cut)), nil},
		{"OFPVID_NONE", "7.2.3.8", match(eq(openflow.VLANVID, 0)), frames(none, frame(snap, ip4{}, udp{}), cut), all},
		{"OFPVID_NONE masked with OFPVID_PRESENT", "7.2.3.8", match(masked(openflow.VLANVID, 0, 0x1000)), frames(none), all},
		{"OFPVID_PRESENT masked with itself", "7.2.3.8", match(masked(openflow.VLANVID, 0x1000, 0x1000)), all, frames(none, cut)},
		{"VID 5", "7.2.3.8", match(eq(openflow.VLANVID, 0x1005)), frames(five, service, three, four, snapTagged), frames(none, six, zero, full, two)},
		{"VID 0", "7.2.3.8", match(eq(openflow.VLANVID, 0x1000)), frames(zero), frames(none, five, full, two)},
		{"VID 4095", "7.2.3.8", match(eq(openflow.VLANVID, 0x1fff)), frames(full), frames(none, five, zero)},
		{"VID under a mask", "7.2.3.8", match(masked(openflow.VLANVID, 0x1004, 0x1ffc)), frames(five, six, three), frames(none, two, zero, full)},
		{"lowest bit of the VID", "7.2.3.8", match(masked(openflow.VLANVID, 0x1001, 0x1001)), frames(five, full, two), frames(none, six, zero)},
		{"VID without asking for a tag", "7.2.3.8", match(masked(openflow.VLANVID, 5, 0xfff)), frames(five, three), frames(none, six)},
		{"an empty mask", "7.2.3.8", match(masked(openflow.VLANVID, 0, 0)), join2(all, frames(none)), nil},
		{"PCP", "7.2.3.8", match(masked(openflow.VLANVID, 0x1000, 0x1000), eq(openflow.VLANPCP, 3)), frames(five, six, three), frames(none, zero, full, two, four)},
		{"PCP and VID", "7.2.3.8", match(eq(openflow.VLANVID, 0x1005), eq(openflow.VLANPCP, 3)), frames(five, three), frames(none, six, four, service)},
		{"PCP 0", "7.2.3.8", match(masked(openflow.VLANVID, 0x1000, 0x1000), eq(openflow.VLANPCP, 0)), frames(two, four, service), frames(none, five)},
		{"eth_type behind tags", "7.2.3.8", match(eq(openflow.EthType, 0x0800)), frames(none, five, six, two, three, snapTagged), frames(full, service, four, cut)},
		{"eth_type is not that of the tag", "7.2.3.8", match(eq(openflow.EthType, 0x8100)), frames(cut), frames(five, two, four)},
		{"udp_dst behind three tags", "5.3", matchAs(as(0x0800, 17), eq(openflow.UDPDst, 2000)), frames(none, five, two, three), frames(four, full)},
		{"tcp_dst behind four tags", "5.3", matchAs(as(0x86dd, 6), eq(openflow.TCPDst, 2000)), frames(four), frames(three)},
		{"arp behind a service tag", "5.3", matchAs(as(0x0806), eq(openflow.ARPOp, 1)), frames(full, service), frames(five)},
	}
	check(t, entries(cases))
	var wrong []conform
	for _, w := range []struct {
		name  string
		match []byte
		code  uint16
	}{
		{"VID without OFPVID_PRESENT", of(6, "0005"), openflow.BMCBadValue},
		{"VID of 14 bits", of(6, "3005"), openflow.BMCBadValue},
		{"mask of 14 bits", ofMasked(6, "1005", "3fff"), openflow.BMCBadMask},
		{"VID outside its mask", ofMasked(6, "1005", "1ffe"), openflow.BMCBadWildcards},
		{"PCP without VID", of(7, "03"), openflow.BMCBadPrereq},
		{"PCP without a tag", join(of(6, "0000"), of(7, "03")), openflow.BMCBadPrereq},
		{"PCP before VID", join(of(7, "03"), of(6, "1005")), openflow.BMCBadPrereq},
		{"PCP too large", join(of(6, "1005"), of(7, "08")), openflow.BMCBadValue},
		{"PCP with a mask", join(of(6, "1005"), ofMasked(7, "03", "07")), openflow.BMCBadMask},
		{"VID twice", join(of(6, "1005"), of(6, "1005")), openflow.BMCDupField},
		{"PCP twice", join(of(6, "1005"), of(7, "03"), of(7, "03")), openflow.BMCDupField},
		{"VID of one byte", of(6, "05"), openflow.BMCBadLen},
	} {
		wrong = append(wrong, conform{name: w.name, section: "7.4.4", raw: rawFlow(w.match), fails: badMatch(w.code)})
	}
	check(t, wrong)
}

// TestMatchLLC: eth_type of frames with a length (section 7.2.3.8: the type of the payload, behind SNAP as well;
// 0x05ff for none is OpenFlow 1.0's and Open vSwitch's).
func TestMatchLLC(t *testing.T) {
	ii := frame(eth{}, ip4{}, udp{})
	snap := frame(snapEth(), ip4{}, udp{})
	snap6 := frame(snapEth(), ip6{}, udp{})
	snapARP := frame(snapEth(), arp{})
	oui := frame(llc{header: "aa aa 03 00 00 0c 20 00"}, text("discovery"))
	stp := frame(llc{header: "42 42 03"}, text("spanning tree"))
	ipx := frame(llc{header: "ff ff"}, text("raw 802.3"))
	short := frame(llc{header: "aa aa 03 00 00"})
	low := frame(llc{header: "aa aa 03 00 00 00 05 dc"}, text("a length where a type belongs"))
	top := frame(llc{header: "42 42 03", length: 0x5ff}, text("longer than it is"))
	first := frame(eth{typ: 0x0600}, text("the lowest type"))
	zero := frame(eth{typ: none}, text("no length"))
	check(t, entries([]entry{
		{"IPv4", "7.2.3.8", match(as(0x0800)...), frames(ii, snap), frames(snap6, stp, oui, short)},
		{"IPv6", "7.2.3.8", match(as(0x86dd)...), frames(snap6), frames(ii, snap)},
		{"ARP", "7.2.3.8", matchAs(as(0x0806), eq(openflow.ARPTPA, ipB)), frames(snapARP), frames(snap)},
		{"UDP behind SNAP", "5.3", matchAs(as(0x0800, 17), eq(openflow.UDPDst, 2000)), frames(ii, snap), frames(snap6)},
		{"no type", "7.2.3.8", match(as(0x05ff)...), frames(oui, stp, ipx, short, low, top, zero), frames(ii, snap, snapARP, first)},
		{"the lowest type", "7.2.3.8", match(as(0x0600)...), frames(first), frames(stp, top)},
		{"a length is no type", "7.2.3.8", match(as(0x0010)...), nil, frames(stp, ipx)},
	}))
}

// TestMatchMPLS: the fields are those of the outermost label, and what lies behind it cannot be matched (5.3).
func TestMatchMPLS(t *testing.T) {
	stack := func(n int) []byte {
		list := []header{eth{}}
		for i := range n {
			list = append(list, mpls{label: 100 + i, tc: i + 1, ttl: 10 * (i + 1)})
		}
		return frame(append(list, ip4{}, udp{})...)
	}
	one, two, three, four := stack(1), stack(2), stack(3), stack(4)
	tagged := frame(eth{}, vlan{vid: 5}, mpls{label: 100}, ip4{}, udp{})
	cut := frame(eth{typ: 0x8847}, raw{0, 0, 1})
	lower := frame(eth{}, mpls{label: 101}, mpls{label: 100}, ip4{}, udp{})
	check(t, entries([]entry{
		{"eth_type", "7.2.3.8", match(as(0x8847)...), frames(one, two, three, four, tagged, cut), frames(frame(eth{}, ip4{}, udp{}), frame(eth{}, mpls{multicast: true}, ip4{}, udp{}))},
		{"label", "7.2.3.8", matchAs(as(0x8847), eq(openflow.MPLSLabel, 100)), frames(one, two, three, four, tagged), frames(lower)},
		{"TC", "7.2.3.8", matchAs(as(0x8847), eq(openflow.MPLSTC, 1)), frames(one, two, three, four), frames(tagged, lower)},
		{"bottom of stack", "7.2.3.8", matchAs(as(0x8847), eq(openflow.MPLSBOS, 1)), frames(one, tagged), frames(two, three, four)},
		{"all of it", "7.2.3.8", matchAs(as(0x8847), eq(openflow.MPLSLabel, 100), eq(openflow.MPLSTC, 1), eq(openflow.MPLSBOS, 0)), frames(two, three, four), frames(one, lower)},
		{"IPv4 below a label", "5.3", match(as(0x0800)...), nil, frames(one, two, tagged)},
		{"label behind a tag", "5.3", matchAs(as(0x8847), eq(openflow.VLANVID, 0x1005), eq(openflow.MPLSLabel, 100)), frames(tagged), frames(one)},
	}))
}

// TestMatchPBB: the fields are those of the backbone header; the customer's frame cannot be matched.
func TestMatchPBB(t *testing.T) {
	plain := frame(eth{dst: 0x0a0000000001}, itag{isid: 0x10000}, eth{}, ip4{}, udp{})
	tagged := frame(eth{dst: 0x0a0000000001}, vlan{tpid: 0x88a8, vid: 7}, itag{isid: 0x10000, uca: 1, pcp: 3}, eth{}, vlan{vid: 5}, ip4{}, udp{})
	cut := frame(eth{typ: 0x88e7}, fromHex("00 01 00 00 02 00"))
	check(t, entries([]entry{
		{"eth_type", "7.2.3.8", match(as(0x88e7)...), frames(plain, tagged, cut), nil},
		{"I-SID", "7.2.3.8", matchAs(as(0x88e7), eq(openflow.PBBISID, 0x10000)), frames(plain, tagged), frames(cut)},
		{"eth_dst is the backbone's", "5.3", match(eq(openflow.EthDst, 0x0a0000000001)), frames(plain, tagged), nil},
		{"eth_dst is not the customer's", "5.3", match(eq(openflow.EthDst, macB)), nil, frames(plain, tagged)},
		{"vlan_vid is the backbone's", "5.3", match(eq(openflow.VLANVID, 0x1007)), frames(tagged), frames(plain)},
		{"vlan_vid is not the customer's", "5.3", match(eq(openflow.VLANVID, 0x1005)), nil, frames(plain, tagged)},
		{"IPv4 in the customer's frame", "5.3", match(as(0x0800)...), nil, frames(plain, tagged)},
	}))
}
