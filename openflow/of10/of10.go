package of10

import (
	"fmt"
	"sync/atomic"

	"github.com/weirswitch/weir/openflow"
)

// Version is what the header of every message says.
const Version = 1

// Type is the type of a message in OpenFlow 1.0. Up to FLOW_MOD the numbers are those of 1.3.
type Type uint8

// The types that 1.3 has under other numbers.
const (
	typeError           = Type(openflow.TypeError)
	typeVendor          = Type(openflow.TypeExperimenter)
	typeFlowMod         = Type(openflow.TypeFlowMod)
	typePortMod         = Type(15)
	typeStatsRequest    = Type(16)
	typeStatsReply      = Type(17)
	typeBarrierRequest  = Type(18)
	typeBarrierReply    = Type(19)
	typeQueueGetRequest = Type(20)
	typeQueueGetReply   = Type(21)
)

// StatsReply is the type of the parts of a statistics reply in the header of a message of 1.0.
const StatsReply = openflow.Type(typeStatsReply)

// Session is what one connection has agreed on beyond the version. The zero value is a connection
// after its HELLOs.
type Session struct {
	// Plain is for a controller whose switch knows nothing of Nicira: requests are 1.0's own. Before use.
	Plain bool

	// InvalidTTL is the flag of a switch's configuration that 1.3 does not have: packet-ins for frames whose TTL is
	// over. A controller sends it with SET_CONFIG and learns it from GET_CONFIG_REPLY; a switch the other way round.
	InvalidTTL atomic.Bool

	// For Read: what the actions are called there.
	keep bool
	said [][]byte

	prepared       bool        // Prepare has asked for NXM
	tableInCommand bool        // NXT_FLOW_MOD_TABLE_ID: the high byte of a FLOW_MOD's command is the table; the reader's
	nxm            atomic.Bool // NXT_SET_FLOW_FORMAT: FLOW_REMOVED speaks NXM
}

// Decode reads one message that a controller or tool sent. Like openflow.Decode it gives an
// *openflow.Error for what has to be answered with ERROR. A nil message without error was about the
// session itself, and asks for nothing more.
func (s *Session) Decode(b []byte) (m openflow.Message, xid uint32, err error) {
	h, err := readHeader(b)
	if err != nil {
		return nil, h.XID, err
	}
	switch t := Type(h.Type); t {
	case Type(openflow.TypeFeaturesRequest), Type(openflow.TypeGetConfigRequest):
		m, err = sameBody(b)
	case Type(openflow.TypeSetConfig):
		m, err = s.decodeConfig(b)
	case Type(openflow.TypePacketOut):
		m, err = s.decodePacketOut(b)
	case typeFlowMod:
		m, err = s.decodeFlowMod(b)
	case typePortMod:
		m, err = decodePortMod(b)
	case typeStatsRequest:
		m, err = decodeStatsRequest(b)
	case typeBarrierRequest:
		m, err = headerOnly(b, &openflow.BarrierRequest{})
	case typeQueueGetRequest:
		m, err = decodeQueueGetRequest(b)
	case typeVendor:
		m, err = s.decodeVendor(b)
	default:
		m, err = decodeEither(b, t)
	}
	if err != nil {
		return nil, h.XID, err
	}
	return m, h.XID, nil
}

// readHeader checks what holds for every message.
func readHeader(b []byte) (h openflow.Header, err error) {
	if len(b) < openflow.HeaderSize {
		return h, badLen("message", len(b), openflow.HeaderSize)
	}
	h = openflow.ReadHeader(b)
	if h.Length != len(b) {
		return h, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadLen, "header says %d bytes, the message has %d", h.Length, len(b))
	}
	if h.Version != Version && h.Type != openflow.TypeHello {
		return h, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadVersion,
			"type %d of version %d, expected %d (OpenFlow 1.0)", uint8(h.Type), h.Version, Version)
	}
	return h, nil
}

// decodeEither reads what both sides may send.
func decodeEither(b []byte, t Type) (openflow.Message, error) {
	switch openflow.Type(t) {
	case openflow.TypeHello:
		return &openflow.Hello{Version: b[0]}, nil
	case openflow.TypeEchoRequest:
		return &openflow.EchoRequest{Data: b[8:]}, nil
	case openflow.TypeEchoReply:
		return &openflow.EchoReply{Data: b[8:]}, nil
	case openflow.TypeError:
		return decodeError(b)
	}
	return nil, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadType, "type %d of OpenFlow 1.0 is not for this side to receive", t)
}

// sameBody decodes a message that has type and body in common with 1.3.
func sameBody(b []byte) (openflow.Message, error) {
	c := append([]byte(nil), b...)
	c[0] = openflow.Version
	m, _, err := openflow.Decode(c)
	return m, err
}

// configInvalidTTL is the flag beside those for fragments.
const configInvalidTTL = 1 << 2

// decodeConfig reads SET_CONFIG or GET_CONFIG_REPLY.
func (s *Session) decodeConfig(b []byte) (openflow.Message, error) {
	c := append([]byte(nil), b...)
	if len(c) >= 10 {
		s.InvalidTTL.Store(c[9]&configInvalidTTL != 0)
		c[9] &^= configInvalidTTL
	}
	return sameBody(c)
}

// addInvalidTTL adds the flag to the configuration that begins at start.
func (s *Session) addInvalidTTL(b []byte, start int) {
	if s.InvalidTTL.Load() {
		b[start+9] |= configInvalidTTL
	}
}

func headerOnly(b []byte, m openflow.Message) (openflow.Message, error) {
	if len(b) != openflow.HeaderSize {
		return nil, badLen(m.MsgType().String(), len(b), openflow.HeaderSize)
	}
	return m, nil
}

// Append writes a message that a switch sends. Statistics replies are made with Replies instead; a
// message that 1.0 has no word for appends nothing.
func (s *Session) Append(dst []byte, xid uint32, m openflow.Message) []byte {
	start := len(dst)
	switch m := m.(type) {
	case *openflow.FeaturesReply:
		dst = appendFeatures(appendHeader(dst, Type(openflow.TypeFeaturesReply), xid), m)
	case *openflow.PacketIn:
		if m.Reason == openflow.ReasonInvalidTTL && !s.InvalidTTL.Load() {
			return dst
		}
		dst = appendPacketIn(appendHeader(dst, Type(openflow.TypePacketIn), xid), m)
	case *openflow.NiciraPacketIn:
		if m.Reason == openflow.ReasonInvalidTTL && !s.InvalidTTL.Load() {
			return dst
		}
		c := *m
		c.Metadata = appendNXM(nil, m.Match)
		dst = openflow.Append(dst, xid, &c)
		dst[start] = Version
	case *openflow.FlowRemoved:
		dst = s.appendFlowRemoved(dst, xid, m)
	case *openflow.PortStatus:
		dst = appendZeros(append(appendHeader(dst, Type(openflow.TypePortStatus), xid), uint8(m.Reason)), 7)
		dst = appendPort(dst, &m.Port)
	case *openflow.Error:
		dst = appendError(dst, xid, m)
	case *openflow.BarrierReply:
		dst = appendHeader(dst, typeBarrierReply, xid)
	case *openflow.QueueGetConfigReply:
		dst = appendQueues(appendHeader(dst, typeQueueGetReply, xid), m)
	case *openflow.RoleReply:
		dst = append32(appendNicira(dst, nxtRoleReply, xid), roleOut(m.Role))
	case *openflow.Hello, *openflow.EchoRequest, *openflow.EchoReply, *openflow.Experimenter:
		dst = openflow.Append(dst, xid, m)
		dst[start] = Version
	case *openflow.GetConfigReply:
		dst = openflow.Append(dst, xid, m)
		dst[start] = Version
		s.addInvalidTTL(dst, start)
	default:
		return dst
	}
	return endMessage(dst, start)
}

// mustRecord is for records of a type that the multipart type does not allow: our own mistake.
func mustRecord(r openflow.Record) string { return fmt.Sprintf("of10: no record %T in this reply", r) }
