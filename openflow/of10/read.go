package of10

import (
	"github.com/weirswitch/weir/openflow"
)

// Read decodes a message of either side for those who show it. said has the lists of actions in it, in the words of
// 1.0: one of a FLOW_MOD, PACKET_OUT, flow or event, one of each bucket, in their order. Both share the memory of b.
func Read(b []byte) (m openflow.Message, said [][]byte, err error) {
	s := Session{keep: true, tableInCommand: true}
	if fromSwitch(b) {
		m, _, err = s.DecodeReply(b)
		return m, s.said, err
	}
	if m, _, err = s.Decode(b); m == nil && err == nil { // about the session itself
		m = &openflow.Experimenter{Experimenter: openflow.ExperimenterNicira, ExpType: u32(b, 12), Data: b[niciraHeader:]}
	}
	if f, ok := m.(*openflow.FlowMod); ok && f.Command == openflow.FlowAdd {
		f.Flags &^= openflow.FlowResetCounts // which is no word of 1.0
	}
	return m, s.said, err
}

// fromSwitch tells by its type who sends a message.
func fromSwitch(b []byte) bool {
	if len(b) < openflow.HeaderSize {
		return false
	}
	switch Type(b[1]) {
	case Type(openflow.TypeFeaturesReply), Type(openflow.TypeGetConfigReply), Type(openflow.TypePacketIn), Type(openflow.TypeFlowRemoved),
		Type(openflow.TypePortStatus), typeStatsReply, typeBarrierReply, typeQueueGetReply:
		return true
	case typeVendor:
		return len(b) >= niciraHeader && u32(b, 8) == openflow.ExperimenterNicira && (u32(b, 12) == nxtFlowRemoved || u32(b, 12) == nxtRoleReply)
	}
	return false
}

// AppendActions writes what an entry does in the words of 1.0, as a switch tells it.
func AppendActions(b []byte, list openflow.Instructions) []byte {
	return appendEntryActions(b, "", list)
}

// Flows cuts a part of a reply about flows, NXST_FLOW or OFPST_FLOW, into parts of one flow each, so that one that
// cannot be read hides no other. Anything else has none.
func Flows(b []byte) (list [][]byte) {
	t, nicira, err := statsKind(b)
	if err != nil || Type(b[1]) != typeStatsReply || t != openflow.MultipartFlow {
		return nil
	}
	head := statsHeader
	if nicira {
		head = statsNXHeader
	}
	for rest := b[head:]; len(rest) > 0; {
		n, err := recordSize(t, nicira, rest)
		if err != nil {
			return list
		}
		one := append(append([]byte(nil), b[:head]...), rest[:n]...)
		list, rest = append(list, endMessage(one, 0)), rest[n:]
	}
	return list
}
