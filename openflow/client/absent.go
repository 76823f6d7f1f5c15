package client

// absent are ovs-ofctl's commands that OpenFlow 1.0 and 1.3, or what weir does, have no use for, each with what to do
// instead.
var absent = map[string]string{
	"insert-buckets":    "insert-buckets needs OpenFlow 1.5 or later; on 1.3 write all buckets of the group anew: dump-groups, then mod-group",
	"insert-bucket":     "insert-bucket needs OpenFlow 1.5 or later; on 1.3 write all buckets of the group anew: dump-groups, then mod-group",
	"remove-buckets":    "remove-buckets needs OpenFlow 1.5 or later; on 1.3 write the buckets that are to stay anew: dump-groups, then mod-group",
	"remove-bucket":     "remove-bucket needs OpenFlow 1.5 or later; on 1.3 write the buckets that are to stay anew: dump-groups, then mod-group",
	"dump-table-desc":   "dump-table-desc needs OpenFlow 1.4 or later; on 1.3 dump-table-features tells what tables are like",
	"add-tlv-map":       "add-tlv-map is for tunnel options of Open vSwitch, which weir ofctl does not know: ask with ovs-ofctl",
	"del-tlv-map":       "del-tlv-map is for tunnel options of Open vSwitch, which weir ofctl does not know: ask with ovs-ofctl",
	"dump-tlv-map":      "dump-tlv-map is for tunnel options of Open vSwitch, which weir ofctl does not know: ask with ovs-ofctl",
	"dump-ipfix-bridge": "dump-ipfix-bridge is for the IPFIX exporter of Open vSwitch, which weir ofctl does not know: ask with ovs-ofctl",
	"dump-ipfix-flow":   "dump-ipfix-flow is for the IPFIX exporter of Open vSwitch, which weir ofctl does not know: ask with ovs-ofctl",
	"ct-flush":          "ct-flush is for the connection tracker of Open vSwitch, which weir ofctl does not know: ask with ovs-ofctl",
	"ct-flush-zone":     "ct-flush-zone is for the connection tracker of Open vSwitch, which weir ofctl does not know: ask with ovs-ofctl",
	"ofp-parse-pcap":    "ofp-parse-pcap is not here: weir snoop shows messages as they come, and Wireshark those of a capture",
}
