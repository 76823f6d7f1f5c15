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

// Set is the message that asks for the form.
func (f PacketInFormat) Set() *Experimenter {
	return &Experimenter{Experimenter: ExperimenterNicira, ExpType: nxtSetPacketInFormat, Data: append32(nil, uint32(f))}
}

// Subtypes of the messages.
const (
	nxtSetPacketInFormat = 16

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

// NiciraPacketIn reads the message if it is one: Metadata has the fields, Match is left to the reader of names. nil is
// another message.
func (m *Experimenter) NiciraPacketIn() (*NiciraPacketIn, error) {
	b := m.Data
	switch {
	case m.Experimenter != ExperimenterNicira:
		return nil, nil
	case m.ExpType == nxtPacketIn2:
		return readPacketIn2(b)
	case m.ExpType != nxtPacketIn:
		return nil, nil
	case len(b) < 24 || 24+int(u16(b, 16))+pad8(int(u16(b, 16)))+2 > len(b):
		return nil, badPacketIn("%d bytes, too few for its fields", len(b))
	}
	p := &NiciraPacketIn{Format: PacketInNXM, PacketIn: PacketIn{BufferID: u32(b, 0), TotalLen: u16(b, 4), Reason: PacketInReason(b[6]), TableID: b[7], Cookie: u64(b, 8)}}
	n := int(u16(b, 16))
	p.Metadata, p.Data = b[24:24+n], b[24+n+pad8(n)+2:]
	return p, nil
}

func badPacketIn(format string, args ...any) *Error {
	return Errorf(ErrBadRequest, BRCBadLen, "Nicira's packet-in: "+format, args...)
}

// readPacketIn2 reads the list of properties. Unknown ones are passed over.
func readPacketIn2(b []byte) (*NiciraPacketIn, error) {
	p := &NiciraPacketIn{Format: PacketInNXM2, PacketIn: PacketIn{BufferID: NoBuffer, Cookie: ^uint64(0)}}
	full := -1
	for len(b) > 0 {
		n := 0
		if len(b) >= 4 {
			n = int(u16(b, 2))
		}
		if n < 4 || n > len(b) {
			return nil, badPacketIn("a property of %d bytes, %d are left", n, len(b))
		}
		v := b[4:n]
		kind := u16(b, 0)
		least := map[uint16]int{packetInFullLen: 4, packetInBufferID: 4, packetInTableID: 1, packetInCookie: 12, packetInReason: 1}[kind]
		if len(v) < least {
			return nil, badPacketIn("property %d of %d bytes, expected %d", kind, n, 4+least)
		}
		switch kind {
		case packetInFrame:
			p.Data = v
		case packetInFullLen:
			full = int(u32(v, 0))
		case packetInBufferID:
			p.BufferID = u32(v, 0)
		case packetInTableID:
			p.TableID = v[0]
		case packetInCookie:
			p.Cookie = u64(v, 4)
		case packetInReason:
			p.Reason = PacketInReason(v[0])
		case packetInMetadata:
			p.Metadata = v
		}
		b = b[min(n+pad8(n), len(b)):]
	}
	p.TotalLen = uint16(len(p.Data))
	if full >= 0 {
		p.TotalLen = uint16(min(full, 0xffff))
	}
	return p, nil
}

// appendProperty writes a property: type, length without the padding, value, padding to eight.
func appendProperty(b []byte, kind uint16, v []byte) []byte {
	n := 4 + len(v)
	b = append16(append16(b, kind), uint16(n))
	return appendZeros(append(b, v...), pad8(n))
}
