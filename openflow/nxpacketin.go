package openflow

import "fmt"

// PacketInFormat is the form in which a connection wants PACKET_IN (NXT_SET_PACKET_IN_FORMAT).
type PacketInFormat uint32

// The forms.
const (
	PacketInStandard PacketInFormat = 0 // of the version
	PacketInNXM      PacketInFormat = 1 // NXT_PACKET_IN
	PacketInNXM2     PacketInFormat = 2 // NXT_PACKET_IN2, a list of properties
)

// Subtypes of the two messages.
const (
	nxtPacketIn  = 17
	nxtPacketIn2 = 30
)

// Properties of NXT_PACKET_IN2.
const (
	packetInFrame = iota
	packetInFullLen
	packetInBufferID
	packetInTableID
	packetInCookie
	packetInReason
	packetInMetadata
)

// NiciraPacketIn is a PACKET_IN in one of Nicira's forms, which are the same in all versions but for
// the names of the fields in Metadata: NXM or OXM, without header and padding.
type NiciraPacketIn struct {
	PacketIn
	Format   PacketInFormat
	Metadata []byte
}

// MsgType is TypeExperimenter.
func (*NiciraPacketIn) MsgType() Type { return TypeExperimenter }

func (m *NiciraPacketIn) String() string {
	return fmt.Sprintf("NXT_%s format %d", m.PacketIn.String(), m.Format)
}

func (m *NiciraPacketIn) appendBody(b []byte) []byte {
	start := len(b) - HeaderSize
	b = append32(b, ExperimenterNicira)
	if m.Format == PacketInNXM {
		b = append16(append32(append32(b, nxtPacketIn), m.BufferID), m.TotalLen)
		b = append64(append(b, uint8(m.Reason), m.TableID), m.Cookie)
		b = appendZeros(append16(b, uint16(len(m.Metadata))), 6)
		b = append(b, m.Metadata...)
		b = appendZeros(b, pad8(len(m.Metadata))+2)
		return append(b, m.Data[:min(len(m.Data), MaxMessage-(len(b)-start))]...)
	}
	b = append32(b, nxtPacketIn2)
	const others = 96 // what the other properties can take beside the metadata
	b = appendProperty(b, packetInFrame, m.Data[:min(len(m.Data), MaxMessage-(len(b)-start)-len(m.Metadata)-others)])
	if int(m.TotalLen) != len(m.Data) {
		b = append32(append16(append16(b, packetInFullLen), 8), uint32(m.TotalLen))
	}
	if m.BufferID != NoBuffer {
		b = append32(append16(append16(b, packetInBufferID), 8), m.BufferID)
	}
	b = appendProperty(b, packetInTableID, []byte{m.TableID})
	if m.Cookie != ^uint64(0) {
		b = append64(appendZeros(append16(append16(b, packetInCookie), 16), 4), m.Cookie)
	}
	b = appendProperty(b, packetInReason, []byte{uint8(m.Reason)})
	return appendProperty(b, packetInMetadata, m.Metadata)
}

// appendProperty writes a property: type, length without the padding, value, padding to eight.
func appendProperty(b []byte, kind uint16, v []byte) []byte {
	n := 4 + len(v)
	b = append16(append16(b, kind), uint16(n))
	return appendZeros(append(b, v...), pad8(n))
}
