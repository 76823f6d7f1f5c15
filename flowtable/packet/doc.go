// Package packet holds one frame and what a switch must know of it: the bytes
// with room in front, the checksum and segmentation work that is still owed
// (Offload), the header fields as a flat vector of words (Key), and where each
// header begins (Layout). It reads fields, rewrites them with the checksums
// kept right, and pushes and pops tags. It knows nothing of flow tables.
//
//	        Headroom                    Bytes()
//	   |<------------->|<----------------------------------->|
//	   [ pushed tags <-| Ethernet VLAN.. MPLS|PBB|IP L4 data | spare ]
//	                        |      |       |      |   |
//	                        |      |       |      |   Layout.Payload
//	                        |      |       |      Layout.L4
//	                        |      |       Layout.L25 or Layout.L3
//	                        |      Layout.Type (the type field eth_type comes from)
//	                        0
//
//	bytes --Parse--> Key, Layout --SetField, Push.., Pop..--> bytes, Key, Layout
//
// What the key means where OpenFlow leaves room:
//
//   - eth_type is the type after all VLAN tags, however many there are
//     (OpenFlow 1.3.5, table 12). Open vSwitch with its default vlan-limit
//     shows the second tag's TPID instead. vlan_vid and vlan_pcp are those of
//     the outermost tag.
//   - An 802.2 frame without SNAP has eth_type 0x05ff.
//   - A header counts only when its fixed part is whole and its own lengths fit
//     the frame; else its fields are zero, and so are those of everything
//     behind it.
//   - Behind an MPLS or PBB header nothing is read: a pop makes it visible.
//   - ip_proto of a later IPv6 fragment is what the fragment header names, as
//     it is for IPv4.
//
// # Concurrency
//
// A Frame belongs to one goroutine at a time. Key, Mask and the functions on
// byte slices share nothing. There is no package state but constant tables.
package packet
