package openflow

import "fmt"

// EchoRequest asks the other side for a sign of life (section 7.5.2).
type EchoRequest struct{ Data []byte }

// EchoReply gives the request's data back.
type EchoReply struct{ Data []byte }

// MsgType is TypeEchoRequest.
func (*EchoRequest) MsgType() Type { return TypeEchoRequest }

// MsgType is TypeEchoReply.
func (*EchoReply) MsgType() Type { return TypeEchoReply }

func (m *EchoRequest) String() string { return fmt.Sprintf("ECHO_REQUEST %d bytes", len(m.Data)) }
func (m *EchoReply) String() string   { return fmt.Sprintf("ECHO_REPLY %d bytes", len(m.Data)) }

func (m *EchoRequest) appendBody(b []byte) []byte { return append(b, m.Data...) }
func (m *EchoReply) appendBody(b []byte) []byte   { return append(b, m.Data...) }

func decodeEchoRequest(b []byte) (Message, error) { return &EchoRequest{b[8:]}, nil }
func decodeEchoReply(b []byte) (Message, error)   { return &EchoReply{b[8:]}, nil }

// BarrierRequest asks to finish everything before it (section 7.3.8).
type BarrierRequest struct{ emptyBody }

// BarrierReply says that it is done.
type BarrierReply struct{ emptyBody }

// MsgType is TypeBarrierRequest.
func (*BarrierRequest) MsgType() Type { return TypeBarrierRequest }

// MsgType is TypeBarrierReply.
func (*BarrierReply) MsgType() Type { return TypeBarrierReply }

func (*BarrierRequest) String() string { return "BARRIER_REQUEST" }
func (*BarrierReply) String() string   { return "BARRIER_REPLY" }

func decodeBarrierRequest(b []byte) (Message, error) { return headerOnly(b, &BarrierRequest{}) }
func decodeBarrierReply(b []byte) (Message, error)   { return headerOnly(b, &BarrierReply{}) }

// Experimenter is a message that others defined (section 7.5.4). A switch that does not know
// whose it is answers BRCBadExperimenter.
type Experimenter struct {
	Experimenter uint32
	ExpType      uint32
	Data         []byte
}

// MsgType is TypeExperimenter.
func (*Experimenter) MsgType() Type { return TypeExperimenter }

func (m *Experimenter) String() string {
	return fmt.Sprintf("EXPERIMENTER 0x%08x type=%d %d bytes", m.Experimenter, m.ExpType, len(m.Data))
}

func (m *Experimenter) appendBody(b []byte) []byte {
	return append(append32(append32(b, m.Experimenter), m.ExpType), m.Data...)
}

func decodeExperimenter(b []byte) (Message, error) {
	if len(b) < 16 {
		return nil, badLen("EXPERIMENTER", len(b), 16)
	}
	return &Experimenter{Experimenter: u32(b, 8), ExpType: u32(b, 12), Data: b[16:]}, nil
}
