package openflow

import (
	"fmt"
	"strings"
)

// The one-line text of messages and lists, for logs and for tests. It says everything that the
// bytes say, briefly; the syntax of ovs-ofctl is the business of openflow/ofctl.

var messageNames = [numTypes]string{
	"HELLO", "ERROR", "ECHO_REQUEST", "ECHO_REPLY", "EXPERIMENTER", "FEATURES_REQUEST", "FEATURES_REPLY",
	"GET_CONFIG_REQUEST", "GET_CONFIG_REPLY", "SET_CONFIG", "PACKET_IN", "FLOW_REMOVED", "PORT_STATUS",
	"PACKET_OUT", "FLOW_MOD", "GROUP_MOD", "PORT_MOD", "TABLE_MOD", "MULTIPART_REQUEST", "MULTIPART_REPLY",
	"BARRIER_REQUEST", "BARRIER_REPLY", "QUEUE_GET_CONFIG_REQUEST", "QUEUE_GET_CONFIG_REPLY", "ROLE_REQUEST",
	"ROLE_REPLY", "GET_ASYNC_REQUEST", "GET_ASYNC_REPLY", "SET_ASYNC", "METER_MOD",
}

// enumName is names[v], or the number of a value without a name.
func enumName(v int, names ...string) string {
	if v >= 0 && v < len(names) {
		return names[v]
	}
	return fmt.Sprint(v)
}

// flagNames joins the names of the bits set, bit 0 first; bits without a name follow in hex.
func flagNames(v uint32, names ...string) string {
	if v == 0 {
		return "0"
	}
	var s []string
	for i, n := range names {
		if n != "" && v&(1<<i) != 0 {
			s = append(s, n)
			v &^= 1 << i
		}
	}
	if v != 0 {
		s = append(s, fmt.Sprintf("0x%x", v))
	}
	return strings.Join(s, "|")
}

func (t InstructionType) String() string {
	if t == InstructionExperimenter {
		return "experimenter"
	}
	return enumName(int(t), "0", "goto_table", "write_metadata", "write_actions", "apply_actions", "clear_actions", "meter")
}

func (t ActionType) String() string {
	switch t {
	case ActionOutput:
		return "output"
	case ActionCopyTTLOut:
		return "copy_ttl_out"
	case ActionCopyTTLIn:
		return "copy_ttl_in"
	case ActionSetMPLSTTL:
		return "set_mpls_ttl"
	case ActionDecMPLSTTL:
		return "dec_mpls_ttl"
	case ActionPushVLAN:
		return "push_vlan"
	case ActionPopVLAN:
		return "pop_vlan"
	case ActionPushMPLS:
		return "push_mpls"
	case ActionPopMPLS:
		return "pop_mpls"
	case ActionSetQueue:
		return "set_queue"
	case ActionGroup:
		return "group"
	case ActionSetNwTTL:
		return "set_nw_ttl"
	case ActionDecNwTTL:
		return "dec_nw_ttl"
	case ActionSetField:
		return "set_field"
	case ActionPushPBB:
		return "push_pbb"
	case ActionPopPBB:
		return "pop_pbb"
	case ActionExperimenter:
		return "experimenter"
	}
	return t.niciraName()
}

func (t ActionType) niciraName() string {
	switch t {
	case NXResubmit, NXResubmitTable:
		return "resubmit"
	case NXPopQueue:
		return "pop_queue"
	case NXMove:
		return "move"
	case NXLoad, NXLoadMasked:
		return "load"
	case NXNote:
		return "note"
	case NXController:
		return "controller"
	}
	return fmt.Sprintf("action %d", uint32(t))
}

// String is the action with its arguments.
func (a Action) String() string {
	s := a.Type.String()
	switch a.Type {
	case ActionOutput:
		if a.Port == PortController {
			return fmt.Sprintf("%s:%s:%d", s, a.Port, a.MaxLen)
		}
		return s + ":" + a.Port.String()
	case ActionGroup:
		return fmt.Sprintf("%s:%d", s, a.Group)
	case ActionSetQueue:
		return fmt.Sprintf("%s:%d", s, a.Queue)
	case ActionSetMPLSTTL, ActionSetNwTTL:
		return fmt.Sprintf("%s:%d", s, a.TTL)
	case ActionPushVLAN, ActionPushMPLS, ActionPopMPLS, ActionPushPBB:
		return fmt.Sprintf("%s:0x%04x", s, a.EtherType)
	case ActionSetField, NXLoadMasked:
		return fmt.Sprintf("%s:%s", s, a.Field)
	case NXResubmit, NXResubmitTable:
		return fmt.Sprintf("%s(%s,%d)", s, a.Port, a.Table)
	case NXMove:
		return fmt.Sprintf("%s:%s->%s", s, a.Src, a.Dst)
	case NXLoad:
		return fmt.Sprintf("%s:0x%x->%s", s, a.Load, a.Dst)
	case NXController:
		return fmt.Sprintf("%s(reason=%s,max_len=%d,id=%d)", s, a.Reason, a.MaxLen, a.ControllerID)
	case NXNote:
		return fmt.Sprintf("%s:%x", s, a.Data)
	}
	return s
}

func (f SubField) String() string { return fmt.Sprintf("%s[%d+%d]", f.ID, f.Offset, f.Bits) }

func (l Actions) String() string {
	if l.IsEmpty() {
		return "drop"
	}
	var s []string
	for a := range l.All() {
		s = append(s, a.String())
	}
	return strings.Join(s, ",")
}

// String is the instruction with its arguments.
func (i Instruction) String() string {
	s := i.Type.String()
	switch i.Type {
	case InstructionGotoTable:
		return fmt.Sprintf("%s:%d", s, i.TableID)
	case InstructionMeter:
		return fmt.Sprintf("%s:%s", s, meterName(i.Meter))
	case InstructionWriteMetadata:
		return fmt.Sprintf("%s:0x%x/0x%x", s, i.Metadata, i.MetadataMask)
	case InstructionWriteActions, InstructionApplyActions:
		return fmt.Sprintf("%s(%s)", s, i.Actions)
	}
	return s
}

func (l Instructions) String() string {
	if l.IsEmpty() {
		return "drop"
	}
	var s []string
	for i := range l.All() {
		s = append(s, i.String())
	}
	return strings.Join(s, ",")
}

func (c FlowModCommand) String() string {
	return enumName(int(c), "ADD", "MODIFY", "MODIFY_STRICT", "DELETE", "DELETE_STRICT")
}

func (f FlowModFlags) String() string {
	return flagNames(uint32(f), "send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts")
}

func (r PacketInReason) String() string { return enumName(int(r), "no_match", "action", "invalid_ttl") }

func (r FlowRemovedReason) String() string {
	return enumName(int(r), "idle", "hard", "delete", "group_delete")
}

func (m *FlowMod) String() string {
	return fmt.Sprintf("FLOW_MOD %s table=%d priority=%d cookie=0x%x/0x%x idle=%d hard=%d buffer=0x%x out_port=%s out_group=0x%x flags=%s match=%s instructions=%s",
		m.Command, m.TableID, m.Priority, m.Cookie, m.CookieMask, m.IdleTimeout, m.HardTimeout, m.BufferID, m.OutPort, m.OutGroup, m.Flags, m.Match, m.Instructions)
}

func (m *FlowRemoved) String() string {
	return fmt.Sprintf("FLOW_REMOVED %s table=%d priority=%d cookie=0x%x duration=%d.%09ds idle=%d hard=%d packets=%d bytes=%d match=%s",
		m.Reason, m.TableID, m.Priority, m.Cookie, m.DurationSec, m.DurationNsec, m.IdleTimeout, m.HardTimeout, m.PacketCount, m.ByteCount, m.Match)
}

func (m *PacketIn) String() string {
	return fmt.Sprintf("PACKET_IN %s table=%d cookie=0x%x buffer=0x%x total_len=%d match=%s data=%d bytes",
		m.Reason, m.TableID, m.Cookie, m.BufferID, m.TotalLen, m.Match, len(m.Data))
}

func (m *PacketOut) String() string {
	return fmt.Sprintf("PACKET_OUT in_port=%s buffer=0x%x actions=%s data=%d bytes", m.InPort, m.BufferID, m.Actions, len(m.Data))
}

func (r *FlowStatsRequest) String() string {
	return fmt.Sprintf("table=%d out_port=%s out_group=0x%x cookie=0x%x/0x%x match=%s", r.TableID, r.OutPort, r.OutGroup, r.Cookie, r.CookieMask, r.Match)
}

func (s *FlowStats) String() string {
	return fmt.Sprintf("table=%d priority=%d cookie=0x%x duration=%d.%09ds idle=%d hard=%d flags=%s packets=%d bytes=%d match=%s instructions=%s",
		s.TableID, s.Priority, s.Cookie, s.DurationSec, s.DurationNsec, s.IdleTimeout, s.HardTimeout, s.Flags, s.PacketCount, s.ByteCount, s.Match, s.Instructions)
}

func (s *AggregateStats) String() string {
	return fmt.Sprintf("packets=%d bytes=%d flows=%d", s.PacketCount, s.ByteCount, s.FlowCount)
}

func (r *PortStatsRequest) String() string { return "port=" + r.Port.String() }
func (r *QueueStatsRequest) String() string {
	return fmt.Sprintf("port=%s queue=0x%x", r.Port, r.Queue)
}
func (r *GroupStatsRequest) String() string { return fmt.Sprintf("group=0x%x", r.Group) }
func (r *MeterRequest) String() string      { return "meter=" + meterName(r.Meter) }
