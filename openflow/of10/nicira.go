package of10

import (
	"github.com/weirswitch/weir/openflow"
)

// Subtypes of Nicira's messages that stand for what 1.3 has itself, or that are about the session. The
// others are the same under both versions and pass as openflow.Experimenter.
const (
	nxtRoleRequest    = 10
	nxtRoleReply      = 11
	nxtSetFlowFormat  = 12
	nxtFlowMod        = 13
	nxtFlowRemoved    = 14
	nxtFlowModTableID = 15
	nxtSetAsync       = 19
	nxtGroupMod       = 31

	niciraHeader = 16

	formatOpenFlow10 = 0
	formatNXM        = 2
)

// appendNicira begins one of Nicira's messages.
func appendNicira(b []byte, subtype, xid uint32) []byte {
	return append32(append32(appendHeader(b, typeVendor, xid), openflow.ExperimenterNicira), subtype)
}

// decodeVendor reads a vendor's message from a controller.
func (s *Session) decodeVendor(b []byte) (openflow.Message, error) {
	if len(b) < 12 {
		return nil, badLen("VENDOR", len(b), 12)
	}
	if vendor := u32(b, 8); vendor != openflow.ExperimenterNicira {
		return nil, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadExperimenter, "no messages of vendor 0x%08x", vendor)
	}
	if len(b) < niciraHeader {
		return nil, badLen("Nicira message", len(b), niciraHeader)
	}
	subtype, body := u32(b, 12), b[niciraHeader:]
	switch subtype {
	case nxtFlowMod:
		return s.decodeFlowModNX(b)
	case nxtRoleRequest:
		return decodeRole(body)
	case nxtSetAsync:
		return s.decodeAsync(body)
	case nxtGroupMod:
		return s.decodeGroupMod(b)
	case nxtSetFlowFormat:
		return nil, s.setFlowFormat(body)
	case nxtFlowModTableID:
		if len(body) != 8 {
			return nil, badLen("NXT_FLOW_MOD_TABLE_ID", len(b), niciraHeader+8)
		}
		s.tableInCommand = body[0] != 0
		return nil, nil
	}
	return &openflow.Experimenter{Experimenter: openflow.ExperimenterNicira, ExpType: subtype, Data: body}, nil
}

func (s *Session) setFlowFormat(body []byte) error {
	if len(body) != 4 {
		return badLen("NXT_SET_FLOW_FORMAT", niciraHeader+len(body), niciraHeader+4)
	}
	format := u32(body, 0)
	if format != formatOpenFlow10 && format != formatNXM {
		return openflow.Errorf(openflow.ErrBadRequest, openflow.BRCEPERM, "flow format %d: expected 0 (OpenFlow 1.0) or 2 (NXM)", format)
	}
	s.nxm.Store(format == formatNXM)
	return nil
}

// decodeRole reads Nicira's ROLE_REQUEST, which has no generation.
func decodeRole(body []byte) (openflow.Message, error) {
	if len(body) != 4 {
		return nil, badLen("NXT_ROLE_REQUEST", niciraHeader+len(body), niciraHeader+4)
	}
	role := u32(body, 0)
	if role > 2 {
		return nil, openflow.Errorf(openflow.ErrRoleRequestFailed, openflow.RRFCBadRole, "role %d, the highest is 2", role)
	}
	return &openflow.RoleRequest{Role: openflow.Role(role + 1), NoGeneration: true}, nil
}

// roleOut is a role in Nicira's numbers, which lack NOCHANGE.
func roleOut(r openflow.Role) uint32 { return uint32(r) - 1 }

// decodeAsync reads Nicira's SET_ASYNC_CONFIG, whose masks are those of 1.3.
func (s *Session) decodeAsync(body []byte) (openflow.Message, error) {
	if len(body) != 24 {
		return nil, badLen("NXT_SET_ASYNC_CONFIG", niciraHeader+len(body), niciraHeader+24)
	}
	var c openflow.AsyncConfig
	for i, p := range [...]*uint32{&c.PacketIn[0], &c.PacketIn[1], &c.PortStatus[0], &c.PortStatus[1], &c.FlowRemoved[0], &c.FlowRemoved[1]} {
		*p = u32(body, 4*i)
	}
	s.InvalidTTL.Store(c.PacketIn[0]&(1<<openflow.ReasonInvalidTTL) != 0)
	return &openflow.SetAsync{AsyncConfig: c}, nil
}
