package ofctl

import (
	"fmt"

	"github.com/weirswitch/weir/openflow"
)

// Group is one line of dump-groups without the space that leads it.
func Group(d *openflow.GroupDesc) string { return string(AppendGroup(nil, d)) }

// AppendGroup writes a line of dump-groups, which add-group takes again.
func AppendGroup(b []byte, d *openflow.GroupDesc) []byte { return noNames.appendGroup(b, d) }

func (n *Names) appendGroup(b []byte, d *openflow.GroupDesc) []byte {
	b = fmt.Appendf(b, "group_id=%d,type=%s", d.Group, d.Type)
	for i := range d.Buckets {
		b = n.appendBucket(b, d.Type, i, &d.Buckets[i])
	}
	return b
}

// appendBucket leaves out what is as usual: the weight 1 of a select group, the 0 of another, and what
// is not watched.
func (n *Names) appendBucket(b []byte, t openflow.GroupType, id int, k *openflow.Bucket) []byte {
	b = append(b, ",bucket="...)
	if n.speaksOld() {
		b = fmt.Appendf(b, "bucket_id:%d,", id)
	}
	usual := uint16(0)
	if t == openflow.GroupTypeSelect {
		usual = 1
	}
	if k.Weight != usual {
		b = fmt.Appendf(b, "weight:%d,", k.Weight)
	}
	if k.WatchPort != openflow.PortAny {
		b = append(n.appendPort(append(b, "watch_port:"...), k.WatchPort), ',')
	}
	if k.WatchGroup != openflow.GroupAny {
		b = fmt.Appendf(b, "watch_group:%d,", k.WatchGroup)
	}
	return n.appendActions(append(b, "actions="...), k.Actions)
}

// GroupStats is one line of dump-group-stats without the space that leads it.
func GroupStats(s *openflow.GroupStats) string { return string(AppendGroupStats(nil, s)) }

// AppendGroupStats writes a line of dump-group-stats.
func AppendGroupStats(b []byte, s *openflow.GroupStats) []byte {
	b = fmt.Appendf(b, "group_id=%d,duration=", s.Group)
	b = appendDuration(b, s.DurationSec, s.DurationNsec)
	b = fmt.Appendf(b, "s,ref_count=%d,", s.RefCount)
	b = appendGroupCounts(b, s.PacketCount, s.ByteCount)
	for i, k := range s.Buckets {
		b = appendGroupCounts(fmt.Appendf(b, ",bucket%d:", i), k.PacketCount, k.ByteCount)
	}
	return b
}

func appendGroupCounts(b []byte, packets, bytes uint64) []byte {
	b = appendCount(append(b, "packet_count="...), packets)
	return appendCount(append(b, ",byte_count="...), bytes)
}

// groupActionWords are the bits of ofp_group_features.actions that ovs-ofctl knows, in its order.
var groupActionWords = []actionBit{
	{openflow.ActionOutput, "output"}, {openflow.ActionGroup, "group"}, {openflow.ActionSetField, "set_field"},
	{openflow.ActionPopVLAN, "strip_vlan"}, {openflow.ActionPushVLAN, "push_vlan"}, {openflow.ActionSetNwTTL, "mod_nw_ttl"},
	{openflow.ActionDecNwTTL, "dec_ttl"}, {openflow.ActionSetMPLSTTL, "set_mpls_ttl"}, {openflow.ActionDecMPLSTTL, "dec_mpls_ttl"},
	{openflow.ActionPushMPLS, "push_mpls"}, {openflow.ActionPopMPLS, "pop_mpls"}, {openflow.ActionSetQueue, "set_queue"},
}

// AppendGroupFeatures writes the lines of dump-group-features behind its header. Actions that
// ovs-ofctl has no word for are left out, as it does.
func AppendGroupFeatures(b []byte, f *openflow.GroupFeatures) []byte {
	return noNames.appendGroupFeatures(b, f)
}

func (n *Names) appendGroupFeatures(b []byte, f *openflow.GroupFeatures) []byte {
	known := groupActionWords
	if n.speaksOld() {
		known = oldActionBits
	}
	b = fmt.Appendf(b, " Group table:\n    Types:  0x%x\n    Capabilities:  0x%x\n", f.Types, f.Capabilities)
	for t, name := range [...]string{"all", "select", "indirect", "fast failover"} {
		if f.Types&(1<<t) == 0 {
			continue
		}
		b = fmt.Appendf(b, "    %s group:\n       max_groups=%#x\n       actions:", name, f.MaxGroups[t])
		for _, w := range known {
			if f.Actions[t]&(1<<w.action) != 0 {
				b = append(append(b, ' '), w.word...)
			}
		}
		b = append(b, '\n')
	}
	return b
}
