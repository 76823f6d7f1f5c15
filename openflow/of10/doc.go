// Package of10 speaks OpenFlow 1.0, with Nicira's extensions to it, in the values of package openflow.
// A switch that thinks in 1.3 answers a peer of 1.0 through it, and a controller that thinks in 1.3 asks a
// switch of 1.0.
//
//	bytes of 1.0 -> Session.Decode  -> 1.3 values   what a controller or tool says    of10.go
//	1.3 values   -> Session.Append  -> bytes of 1.0 what a switch says
//	                Session.Replies    the parts of a statistics reply                stats.go
//	1.3 values   -> Session.AppendRequest -> bytes of 1.0  what a controller says  client.go
//	bytes of 1.0 -> Session.DecodeReply   -> 1.3 values    what a switch says      reply.go
//
//	                Read                                   either, with its own words for actions  read.go
//
//	match.go     ofp_match of 1.0, and Nicira's nx_match
//	action.go    actions of 1.0 and Nicira's, in and out
//	flow.go      FLOW_MOD, FLOW_REMOVED, entries in replies
//	port.go packet.go switch.go error.go nicira.go     one topic each
//
// # What the one version cannot say to the other
//
// From 1.0: SET_VLAN_VID and SET_VLAN_PCP give a tag to a frame without one, so they become a
// conditional push_vlan and a set_field. FLOW_MODs carry openflow.Loose, because 1.0 neither wants the
// match to vouch for an action's header nor takes a modify that finds nothing for done.
//
// To 1.0 an entry is told as Open vSwitch 3.1 does: goto_table as resubmit, a set_field that 1.0 has no
// action for as a load; a meter, clear_actions and write_actions are left out. Other than there,
// write_metadata is told as a load of the metadata, because the original makes ovs-ofctl reject the
// whole reply. What no reader of 1.0 knows (in_phy_port, ipv6_exthdr, PBB, copy_ttl) is told in words, in
// a note.
//
// A controller's request that 1.0 has no words for is an error instead (unsayable.go): an entry without half of
// its match would be another entry.
//
// # Concurrency
//
// One goroutine decodes. Append may be called from any goroutine meanwhile: what the peer has chosen
// (packet-in format, flow format) is atomic.
package of10
