package openflow

import "fmt"

// Version is the only version this package speaks, 1.3; HELLO and ERROR may say another.
const Version = 4

// MaxMessage is the longest message: what the header's length field can say.
const MaxMessage = 65535

// HeaderSize is the length of ofp_header, the shortest message.
const HeaderSize = 8

// Type is the type of a message (section 7.1).
type Type uint8

// The thirty types.
const (
	TypeHello Type = iota
	TypeError
	TypeEchoRequest
	TypeEchoReply
	TypeExperimenter
	TypeFeaturesRequest
	TypeFeaturesReply
	TypeGetConfigRequest
	TypeGetConfigReply
	TypeSetConfig
	TypePacketIn
	TypeFlowRemoved
	TypePortStatus
	TypePacketOut
	TypeFlowMod
	TypeGroupMod
	TypePortMod
	TypeTableMod
	TypeMultipartRequest
	TypeMultipartReply
	TypeBarrierRequest
	TypeBarrierReply
	TypeQueueGetConfigRequest
	TypeQueueGetConfigReply
	TypeRoleRequest
	TypeRoleReply
	TypeGetAsyncRequest
	TypeGetAsyncReply
	TypeSetAsync
	TypeMeterMod

	numTypes = int(TypeMeterMod) + 1
)

// Message is one of the thirty: a pointer to the struct of its name. Each has a one-line text form
// for logs. Byte slices and lists inside a decoded message share the memory of what was decoded.
type Message interface {
	MsgType() Type
	fmt.Stringer
	appendBody(b []byte) []byte
}

// decoders is the table of contents of the protocol. A decoder gets the whole message, its length
// already compared with the header's.
var decoders = [numTypes]func(b []byte) (Message, error){
	TypeHello:                 decodeHello,
	TypeError:                 decodeError,
	TypeEchoRequest:           decodeEchoRequest,
	TypeEchoReply:             decodeEchoReply,
	TypeExperimenter:          decodeExperimenter,
	TypeFeaturesRequest:       decodeFeaturesRequest,
	TypeFeaturesReply:         decodeFeaturesReply,
	TypeGetConfigRequest:      decodeGetConfigRequest,
	TypeGetConfigReply:        decodeGetConfigReply,
	TypeSetConfig:             decodeSetConfig,
	TypePacketIn:              decodePacketIn,
	TypeFlowRemoved:           decodeFlowRemoved,
	TypePortStatus:            decodePortStatus,
	TypePacketOut:             decodePacketOut,
	TypeFlowMod:               decodeFlowMod,
	TypeGroupMod:              decodeGroupMod,
	TypePortMod:               decodePortMod,
	TypeTableMod:              decodeTableMod,
	TypeMultipartRequest:      decodeMultipartRequest,
	TypeMultipartReply:        decodeMultipartReply,
	TypeBarrierRequest:        decodeBarrierRequest,
	TypeBarrierReply:          decodeBarrierReply,
	TypeQueueGetConfigRequest: decodeQueueGetConfigRequest,
	TypeQueueGetConfigReply:   decodeQueueGetConfigReply,
	TypeRoleRequest:           decodeRoleRequest,
	TypeRoleReply:             decodeRoleReply,
	TypeGetAsyncRequest:       decodeGetAsyncRequest,
	TypeGetAsyncReply:         decodeGetAsyncReply,
	TypeSetAsync:              decodeSetAsync,
	TypeMeterMod:              decodeMeterMod,
}

func (t Type) String() string {
	if int(t) < numTypes {
		return messageNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Header is what begins every message (section 7.1).
type Header struct {
	Version uint8
	Type    Type
	Length  int
	XID     uint32
}

// ReadHeader reads the first eight bytes; b must have them.
func ReadHeader(b []byte) Header {
	return Header{Version: b[0], Type: Type(b[1]), Length: int(u16(b, 2)), XID: u32(b, 4)}
}

// Decode reads one whole message, as Conn hands it out. The error is an *Error when an ERROR
// message is the right answer to it; xid is right whenever there was a header. The message shares
// b's memory and nothing else is allocated for the values inside it.
func Decode(b []byte) (m Message, xid uint32, err error) {
	if len(b) < HeaderSize {
		return nil, 0, badLen("message", len(b), HeaderSize)
	}
	h := ReadHeader(b)
	if h.Length != len(b) {
		return nil, h.XID, Errorf(ErrBadRequest, BRCBadLen, "header says %d bytes, the message has %d", h.Length, len(b))
	}
	if h.Version != Version && h.Type != TypeHello && h.Type != TypeError {
		return nil, h.XID, Errorf(ErrBadRequest, BRCBadVersion, "%s of version %d, expected %d (OpenFlow 1.3)", h.Type, h.Version, Version)
	}
	if int(h.Type) >= numTypes {
		return nil, h.XID, Errorf(ErrBadRequest, BRCBadType, "no message type %d", uint8(h.Type))
	}
	if m, err = decoders[h.Type](b); err != nil {
		return nil, h.XID, err
	}
	return m, h.XID, nil
}

// Decoder is Decode for one reader who is done with a message before the next: the two kinds that come
// in floods, FLOW_MOD and PACKET_OUT, are decoded into its own memory.
type Decoder struct {
	flowMod   FlowMod
	packetOut PacketOut
}

// Decode is the function Decode; the message holds until the next call.
func (d *Decoder) Decode(b []byte) (m Message, xid uint32, err error) {
	if len(b) < HeaderSize {
		return Decode(b)
	}
	h := ReadHeader(b)
	if h.Version != Version || h.Length != len(b) {
		return Decode(b)
	}
	switch h.Type {
	case TypeFlowMod:
		d.flowMod = FlowMod{}
		return &d.flowMod, h.XID, d.flowMod.decode(b)
	case TypePacketOut:
		d.packetOut = PacketOut{}
		return &d.packetOut, h.XID, d.packetOut.decode(b)
	}
	return Decode(b)
}

// Append writes m behind dst. A message that would be longer than MaxMessage is our own mistake
// and panics; those that carry frames or requests (PACKET_IN, ERROR) cut them to fit, and long
// replies are made with a ReplyWriter.
func Append(dst []byte, xid uint32, m Message) []byte {
	start := len(dst)
	dst = appendHeader(dst, m.MsgType(), xid)
	if h, ok := m.(*Hello); ok {
		dst[start] = h.Version
	}
	dst = m.appendBody(dst)
	return endMessage(dst, start)
}

func appendHeader(b []byte, t Type, xid uint32) []byte {
	return append32(append(b, Version, uint8(t), 0, 0), xid)
}

// endMessage writes the length of the message that began at start.
func endMessage(b []byte, start int) []byte {
	n := len(b) - start
	if n > MaxMessage {
		panic(fmt.Sprintf("openflow: a %s of %d bytes cannot be sent, the limit is %d", Type(b[start+1]), n, MaxMessage))
	}
	put16(b, start+2, uint16(n))
	return b
}

// emptyBody is embedded by the messages that are a header alone.
type emptyBody struct{}

func (emptyBody) appendBody(b []byte) []byte { return b }

// headerOnly checks such a message.
func headerOnly(b []byte, m Message) (Message, error) {
	if len(b) != HeaderSize {
		return nil, badLen(m.MsgType().String(), len(b), HeaderSize)
	}
	return m, nil
}
