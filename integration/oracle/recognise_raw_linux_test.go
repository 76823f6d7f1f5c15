package oracle

import (
	"encoding/binary"

	"github.com/weirswitch/weir/openflow"
)

// asks says whether the message is a multipart request of a type.
func (r *raw) asks(t openflow.MultipartType) bool {
	return r.is(openflow.TypeMultipartRequest, 16) && binary.BigEndian.Uint16(r.bytes[8:]) == uint16(t)
}

// is says whether the message is of a type, and n bytes long or longer.
func (r *raw) is(t openflow.Type, n int) bool {
	return openflow.Type(r.bytes[1]) == t && len(r.bytes) >= n
}

// at reads four bytes.
func (r *raw) at(i int) uint32 { return binary.BigEndian.Uint32(r.bytes[i:]) }

// tableModBits: config bits that are not among the two deprecated ones.
func tableModBits(r *raw) bool {
	return r.is(openflow.TypeTableMod, 16) && r.at(12)&^3 != 0
}

// portModBits: bits of config or mask that 1.3 does not define, also in messages that weir refuses for them.
func portModBits(r *raw) bool {
	if !r.is(openflow.TypePortMod, 40) {
		return false
	}
	return openflow.PortConfig(r.at(24)|r.at(28))&^openflow.PortConfigAll != 0
}

// rawWidePort: a port whose number has more than 16 bits in a request about ports, or 0 and such in a PACKET_OUT.
func rawWidePort(r *raw) bool {
	wide := func(i int) bool {
		return len(r.bytes) >= i+4 && r.at(i) >= 0xff00 && openflow.PortNo(r.at(i)) < openflow.PortInPort
	}
	if r.is(openflow.TypePacketOut, 24) {
		return wide(12) || r.at(12) == 0
	}
	return (r.asks(openflow.MultipartPortStats) || r.asks(openflow.MultipartQueue)) && wide(16)
}

// groupCommands: those of OpenFlow 1.5.
func groupCommands(r *raw) bool {
	if !r.is(openflow.TypeGroupMod, 16) {
		return false
	}
	c := binary.BigEndian.Uint16(r.bytes[8:])
	return c >= 3 && c <= 5
}

// old: an action of OpenFlow 1.1 or 1.2.
func old(t openflow.ActionType) bool {
	return t >= 1 && t <= 14 && !missing(t)
}

// missing: an action that Open vSwitch does not have.
func missing(t openflow.ActionType) bool {
	return t == openflow.ActionCopyTTLOut || t == openflow.ActionCopyTTLIn || t == openflow.ActionPushPBB || t == openflow.ActionPopPBB
}

// firstAction: the type of the first action is like that, also in messages that weir cannot read.
func firstAction(like func(openflow.ActionType) bool) func(*raw) bool {
	return func(r *raw) bool {
		is := func(at int) bool { return like(openflow.ActionType(binary.BigEndian.Uint16(r.bytes[at:]))) }
		return r.is(openflow.TypeGroupMod, 40) && is(32) || r.is(openflow.TypePacketOut, 32) && is(24)
	}
}

// requestTooLong: a FLOW or AGGREGATE request goes on behind its match.
func requestTooLong(r *raw) bool {
	if !r.asks(openflow.MultipartFlow) && !r.asks(openflow.MultipartAggregate) || len(r.bytes) < 56 {
		return false
	}
	return len(r.bytes) > 48+int(binary.BigEndian.Uint16(r.bytes[50:])+7)&^7
}
