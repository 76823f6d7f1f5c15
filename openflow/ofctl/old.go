package ofctl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
)

// Messages of OpenFlow 1.0 are read by package of10 into the values of 1.3 and told as those are, but for
// their actions, which keep their own words (oldaction.go), and for what follows here.

// oldWords are the lists of actions of the message that is told, in their order.
type oldWords struct{ said [][]byte }

func (o *oldWords) next() []byte {
	if len(o.said) == 0 {
		return nil
	}
	list := o.said[0]
	o.said = o.said[1:]
	return list
}

// speaksOld reports that a message of OpenFlow 1.0 is being told.
func (n *Names) speaksOld() bool { return n != nil && n.old != nil }

func (n *Names) telling(said [][]byte) *Names {
	k := Names{}
	if n != nil {
		k = *n
	}
	k.old = &oldWords{said}
	return &k
}

// read decodes a message of either version.
func read(raw []byte) (openflow.Message, uint32, error) {
	if len(raw) >= openflow.HeaderSize && raw[0] == of10.Version {
		m, _, err := of10.Read(raw)
		return m, openflow.ReadHeader(raw).XID, err
	}
	return openflow.Decode(raw)
}

// The types of messages that have other numbers than in 1.3, and the kind of statistics that is a vendor's.
const (
	oldStatsRequest = 16
	oldStatsReply   = 17
	oldVendorStats  = 0xffff
	oldPortSize     = 48
)

// oldTypes are the names of the types, from 0 on.
var oldTypes = [...]string{"HELLO", "ERROR", "ECHO_REQUEST", "ECHO_REPLY", "VENDOR", "FEATURES_REQUEST", "FEATURES_REPLY", "GET_CONFIG_REQUEST",
	"GET_CONFIG_REPLY", "SET_CONFIG", "PACKET_IN", "FLOW_REMOVED", "PORT_STATUS", "PACKET_OUT", "FLOW_MOD", "PORT_MOD", "STATS_REQUEST", "STATS_REPLY",
	"BARRIER_REQUEST", "BARRIER_REPLY", "QUEUE_GET_CONFIG_REQUEST", "QUEUE_GET_CONFIG_REPLY"}

// oldStats are the names of statistics, and of Nicira's.
var (
	oldStats    = map[uint16]string{0: "DESC", 1: "FLOW", 2: "AGGREGATE", 3: "TABLE", 4: "PORT", 5: "QUEUE", 13: "PORT_DESC"}
	niciraStats = map[uint32]string{0: "FLOW", 1: "AGGREGATE", 2: "FLOW_MONITOR", 7: "GROUP", 8: "GROUP_DESC", 9: "GROUP_FEATURES"}
)

func oldTitle(h openflow.Header, raw []byte) string {
	switch {
	case isMultipart(h) && len(raw) >= 12:
		side := " request"
		if h.Type == oldStatsReply {
			side = " reply"
		}
		kind := binary.BigEndian.Uint16(raw[8:])
		if kind == oldVendorStats && len(raw) >= 20 && binary.BigEndian.Uint32(raw[12:]) == openflow.ExperimenterNicira {
			if name := niciraStats[binary.BigEndian.Uint32(raw[16:])]; name != "" {
				return "NXST_" + name + side
			}
		}
		if name := oldStats[kind]; name != "" {
			return "OFPST_" + name + side
		}
		return fmt.Sprintf("OFPST_%d%s", kind, side)
	case h.Type == openflow.TypeExperimenter && len(raw) >= 16:
		return experimenterName(binary.BigEndian.Uint32(raw[8:]), binary.BigEndian.Uint32(raw[12:]))
	case int(h.Type) < len(oldTypes):
		return "OFPT_" + oldTypes[h.Type]
	}
	return fmt.Sprintf("OFPT_%d", uint8(h.Type))
}

// appendOldMessage writes what stands behind the title of a message of OpenFlow 1.0.
func (n *Names) appendOldMessage(b, raw []byte) []byte {
	m, said, err := of10.Read(raw)
	if err != nil {
		if text, ok := n.flowsApart(raw); ok {
			return append(append(b, '\n'), text...)
		}
		return appendHexDump(fmt.Appendf(b, " ***decode error: %s***\n", codeName(err)), raw)
	}
	k := n.telling(said)
	before := len(b)
	switch m := m.(type) {
	case *openflow.FeaturesReply:
		b = k.appendOldFeatures(b, m, raw)
	case *openflow.Error:
		b = n.appendError(b, m)
	case *openflow.MultipartReply:
		if m.Type == openflow.MultipartTable {
			b = appendOldTables(append(b, '\n'), raw[12:])
		} else {
			b = k.appendReply(b, m)
		}
	default:
		b = k.appendContent(b, m)
	}
	if len(b) == before || b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	return b
}

// actionBit is one of a set of bits, with its word.
type actionBit struct {
	action openflow.ActionType
	word   string
}

var (
	oldCapabilities = []string{"FLOW_STATS", "TABLE_STATS", "PORT_STATS", "STP", "", "IP_REASM", "QUEUE_STATS", "ARP_MATCH_IP"}
	oldConfigWords  = []string{"PORT_DOWN", "NO_STP", "NO_RECV", "NO_RECV_STP", "NO_FLOOD", "NO_FWD", "NO_PACKET_IN"}

	// oldActionBits are the actions in ovs-ofctl's order.
	oldActionBits = []actionBit{{0, "output"}, {11, "enqueue"}, {1, "set_vlan_vid"}, {2, "set_vlan_pcp"}, {3, "strip_vlan"}, {4, "mod_dl_src"}, {5, "mod_dl_dst"},
		{6, "mod_nw_src"}, {7, "mod_nw_dst"}, {8, "mod_nw_tos"}, {9, "mod_tp_src"}, {10, "mod_tp_dst"}}
	// oldFields are the fields of a match under the bits that leave them open, in Open vSwitch's order.
	oldFields = []struct {
		wild uint32
		name string
	}{{1, "in_port"}, {1 << 2, "eth_src"}, {1 << 3, "eth_dst"}, {1 << 4, "eth_type"}, {1 << 1, "vlan_vid"}, {1 << 20, "vlan_pcp"}, {0x3f << 8, "ip_src"},
		{0x3f << 14, "ip_dst"}, {1 << 5, "nw_proto"}, {1 << 21, "nw_tos"}, {1 << 6, "tcp_src"}, {1 << 7, "tcp_dst"}}
)

// appendOldFeatures writes what show begins with: the ports come with it.
func (n *Names) appendOldFeatures(b []byte, m *openflow.FeaturesReply, raw []byte) []byte {
	b = fmt.Appendf(b, " dpid:%016x\nn_tables:%d, n_buffers:%d\n", m.DatapathID, m.NTables, m.NBuffers)
	b = fmt.Appendf(b, "capabilities: %s\nactions:", bitWords(binary.BigEndian.Uint32(raw[24:]), oldCapabilities))
	for _, w := range oldActionBits {
		if binary.BigEndian.Uint32(raw[28:])&(1<<w.action) != 0 {
			b = append(append(b, ' '), w.word...)
		}
	}
	b = append(b, '\n')
	slices.SortStableFunc(m.Ports, func(x, y openflow.Port) int { return byPort(&x, &y) })
	for i := range m.Ports {
		b = n.appendPortDesc(b, &m.Ports[i])
	}
	return b
}

// oldState writes a port's state, in which two bits are spanning tree's.
func oldState(s openflow.PortState) string {
	words := ""
	if s&openflow.PortLinkDown != 0 {
		words = " LINK_DOWN"
	}
	words += [...]string{"", " STP_LEARN", " STP_FORWARD", " STP_BLOCK"}[s>>8&3]
	if words == "" {
		return "0"
	}
	return words[1:]
}

// appendOldTables writes the records of dump-tables: what a table can match is among them in OpenFlow 1.0.
func appendOldTables(b, records []byte) []byte {
	const size = 64
	type table struct {
		id                    uint8
		name                  string
		wild, most, active    uint32
		lookups, found        uint64
		sameAsLast, sameStats bool
	}
	var list []table
	for ; len(records) >= size; records = records[size:] {
		u32, u64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
		name, _, _ := bytesCut(records[4:36])
		t := table{id: records[0], name: name, wild: u32(records[36:]), most: u32(records[40:]), active: u32(records[44:]), lookups: u64(records[48:]), found: u64(records[56:])}
		if len(list) > 0 {
			last := &list[len(list)-1]
			t.sameAsLast = t.wild == last.wild && t.most == last.most
			t.sameStats = t.active == last.active && t.lookups == last.lookups && t.found == last.found
		}
		list = append(list, t)
	}
	for i := 0; i < len(list); {
		t := &list[i]
		if i > 0 {
			b = append(b, '\n')
		}
		title := fmt.Sprintf("  table %d", t.id)
		if t.name != "" {
			title += fmt.Sprintf(" (%q)", t.name)
		}
		same := i
		for same < len(list) && list[same].sameAsLast && list[same].sameStats && (same == i || t.name+list[same].name == "") {
			same++
		}
		switch {
		case same > i+1:
			b = fmt.Appendf(b, "  tables %d...%d: ditto\n", t.id, list[same-1].id)
		case same == i+1:
			b = append(b, title+": ditto\n"...)
		default:
			same = i + 1
			b = fmt.Appendf(b, "%s:\n    active=%d, lookup=%d, matched=%d\n", title, t.active, t.lookups, t.found)
			if t.sameAsLast {
				b = append(b, "    (same features)\n"...)
			} else {
				b = fmt.Appendf(b, "    max_entries=%d\n", t.most)
				b = appendOldMatching(b, t.wild)
			}
		}
		i = same
	}
	return b
}

// bytesCut is the text up to the first zero.
func bytesCut(b []byte) (text, rest string, ok bool) {
	if i := slices.Index(b, 0); i >= 0 {
		return string(b[:i]), string(b[i:]), true
	}
	return string(b), "", false
}

func appendOldMatching(b []byte, wild uint32) []byte {
	var names []string
	for _, f := range oldFields {
		if wild&f.wild != 0 {
			names = append(names, f.name)
		}
	}
	if len(names) == 0 {
		return b
	}
	b = append(b, "    matching:\n      exact match or wildcard:"...)
	for _, s := range folded(names) {
		b = append(append(b, ' '), s...)
	}
	return append(b, '\n')
}

// Flows reads the flows of a part of a FLOW reply, in either version. The error is that of a message of another kind,
// which may be an ERROR.
func Flows(raw []byte) ([]FlowRecord, error) {
	var m openflow.Message
	var said [][]byte
	var err error
	if len(raw) > 0 && raw[0] == of10.Version {
		m, said, err = of10.Read(raw)
	} else {
		m, _, err = openflow.Decode(raw)
	}
	reply, ok := m.(*openflow.MultipartReply)
	if err != nil {
		if list := SplitFlows(raw); list != nil {
			return list, nil
		}
		return nil, err
	}
	if !ok || reply.Type != openflow.MultipartFlow {
		return nil, errors.New("not a reply about flows")
	}
	list := make([]FlowRecord, len(reply.Records))
	for i, r := range reply.Records {
		f := r.(*openflow.FlowStats)
		list[i] = FlowRecord{Flow: f, Table: f.TableID}
		if said != nil {
			list[i].Said, list[i].Old = said[i], true
		}
	}
	return list, nil
}

func splitOldFlows(raw []byte) (list []FlowRecord) {
	for _, one := range of10.Flows(raw) {
		rec := FlowRecord{Old: true, Table: one[14]}
		if binary.BigEndian.Uint16(one[8:]) == oldVendorStats {
			rec.Table = one[26]
		}
		m, said, err := of10.Read(one)
		if err != nil {
			rec.Err = err
		} else {
			rec.Flow = m.(*openflow.MultipartReply).Records[0].(*openflow.FlowStats)
			rec.Said = said[0]
		}
		list = append(list, rec)
	}
	return list
}

// AppendFlowRecord is AppendFlow, or with plain AppendFlowPlain, in the words of the version it came in.
func (n *Names) AppendFlowRecord(b []byte, r *FlowRecord, plain bool) []byte {
	if r.Old {
		n = n.telling([][]byte{r.Said})
	}
	if plain {
		return n.AppendFlowPlain(b, r.Flow)
	}
	return n.AppendFlow(b, r.Flow)
}
