package openflow

// PacketInReason says why a frame goes to the controller (section 7.4.1).
type PacketInReason uint8

// The reasons.
const (
	ReasonNoMatch    PacketInReason = iota // the table-miss entry sent it
	ReasonAction                           // an output to CONTROLLER did
	ReasonInvalidTTL                       // its TTL ran out
)

// PacketIn carries a frame to the controller (section 7.4.1). Data holds the first bytes of it;
// TotalLen is its true length. Match holds in_port and the pipeline fields.
type PacketIn struct {
	BufferID uint32
	TotalLen uint16
	Reason   PacketInReason
	TableID  uint8
	Cookie   uint64
	Match    Match
	Data     []byte
}

// MsgType is TypePacketIn.
func (*PacketIn) MsgType() Type { return TypePacketIn }

// appendBody cuts Data, if it must, so that the message stays within its length field: a
// segmentation super-frame can be as long as the largest message.
func (m *PacketIn) appendBody(b []byte) []byte {
	start := len(b) - 8
	b = append16(append32(b, m.BufferID), m.TotalLen)
	b = append64(append(b, uint8(m.Reason), m.TableID), m.Cookie)
	b = appendZeros(appendMatch(b, m.Match), 2)
	return append(b, m.Data[:min(len(m.Data), max(MaxMessage-(len(b)-start), 0))]...)
}

func decodePacketIn(b []byte) (Message, error) {
	if len(b) < 34 {
		return nil, badLen("PACKET_IN", len(b), 34)
	}
	m := &PacketIn{BufferID: u32(b, 8), TotalLen: u16(b, 12), Reason: PacketInReason(b[14]), TableID: b[15], Cookie: u64(b, 16)}
	var at int
	var err error
	if m.Match, at, err = decodeMatch(b, 24); err != nil {
		return nil, err
	}
	if len(b) < at+2 {
		return nil, badLen("PACKET_IN", len(b), at+2)
	}
	m.Data = b[at+2:]
	return m, nil
}

// PacketOut sends a frame through the switch (section 7.3.6). Data is the frame when BufferID is
// NoBuffer. InPort may be CONTROLLER.
type PacketOut struct {
	BufferID uint32
	InPort   PortNo
	Actions  Actions
	Data     []byte
}

// MsgType is TypePacketOut.
func (*PacketOut) MsgType() Type { return TypePacketOut }

func (m *PacketOut) appendBody(b []byte) []byte {
	b = append32(append32(b, m.BufferID), uint32(m.InPort))
	b = appendZeros(append16(b, uint16(len(m.Actions.b))), 6)
	return append(append(b, m.Actions.b...), m.Data...)
}

func decodePacketOut(b []byte) (Message, error) {
	m := new(PacketOut)
	if err := m.decode(b); err != nil {
		return nil, err
	}
	return m, nil
}

// decode fills an empty message.
func (m *PacketOut) decode(b []byte) error {
	if len(b) < 24 {
		return badLen("PACKET_OUT", len(b), 24)
	}
	m.BufferID, m.InPort = u32(b, 8), PortNo(u32(b, 12))
	n := int(u16(b, 16))
	if 24+n > len(b) {
		return Errorf(ErrBadRequest, BRCBadLen, "PACKET_OUT with %d bytes of actions where %d are left", n, len(b)-24)
	}
	switch p := m.InPort; {
	case p == 0, p > PortMax && p != PortController && p != PortLocal && p != PortAny:
		return Errorf(ErrBadRequest, BRCBadPort, "in_port %s: expected a port, LOCAL, CONTROLLER or ANY", p)
	}
	if n > 0 {
		m.Actions.b = b[24 : 24+n : 24+n]
	}
	m.Data = b[24+n:]
	if err := checkActions(m.Actions.b); err != nil {
		return err
	}
	m.Actions.unmark()
	return nil
}
