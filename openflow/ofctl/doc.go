// Package ofctl is the text form of OpenFlow values: the flow syntax of ovs-ofctl, which people read,
// type and parse with scripts.
//
//	match.go    Match and priority     ip,in_port=1,nw_dst=10.0.0.0/8
//	value.go    one field's value      10.0.0.0/8, 00:11:22:33:44:55/ff:ff:ff:00:00:00, 0x10/0xf0
//	action.go   Actions, Instructions  push_vlan:0x8100,set_field:4196->vlan_vid,output:2
//	flow.go     a line of dump-flows   cookie=0x0, duration=5s, table=0, n_packets=0, ... actions=drop
//	port.go     show and dump-ports    1(eth1): addr:02:00:00:00:00:01
//	group.go    dump-groups            group_id=2,type=select,bucket=weight:50,actions=output:2
//	table.go    dump-tables            table 0: active=2, lookup=6, matched=6
//	meter.go    dump-meters and so on  meter=1 kbps burst bands=
//	desc.go     the other short replies
//	message.go  any message with its name: ofp-print, monitor, snoop, and the request in an error
//	multipart.go, tablefeatures.go    requests and replies in parts
//	monitor.go  flow monitors: what is asked and what they tell
//	old.go, oldaction.go    messages of OpenFlow 1.0, with that version's words for actions
//	packet.go   the header fields of a frame behind a PACKET_IN
//	parse.go    the way back: words, numbers, names of ports, and errors that tell the place
//	parse*.go   one topic each: flows, matches, values, actions, groups and meters
//	nearest.go  the word that was meant
//
// The order of fields and the spelling of numbers are Open vSwitch's, version 3.1, when it prints
// an OpenFlow 1.3 reply: the golden test compares with that program's own output. What it cannot
// read (in_phy_port, ipv6_exthdr, pbb_isid, the PBB and copy-TTL actions) is printed in the
// specification's words.
//
// What is printed is read again, and typed text becomes the bytes that ovs-ofctl sends for it on OpenFlow 1.3, or
// with Names.ForOpenFlow10 what package of10 makes into those for 1.0. Where that
// program goes on in silence the parser refuses: a field without its protocol (nw_src=10.0.0.1 alone would choose every
// frame), a value too large for its field (dl_vlan=4096 would be 0), words of extensions that weir does not have.
//
// # Concurrency
//
// All functions are pure: they append to a buffer of the caller's and keep nothing.
package ofctl
