package of10

import (
	"github.com/weirswitch/weir/openflow"
)

// appendPacketIn writes PACKET_IN of 1.0, which has no word for an expired TTL.
func appendPacketIn(b []byte, m *openflow.PacketIn) []byte {
	start := len(b) - openflow.HeaderSize
	port, _ := m.Match.Get(openflow.InPort)
	b = append16(append16(append32(b, m.BufferID), m.TotalLen), narrow(openflow.PortNo(port.Value.Uint64())))
	reason := m.Reason
	if reason > openflow.ReasonAction {
		reason = openflow.ReasonAction
	}
	b = append(b, uint8(reason), 0)
	return append(b, m.Data[:min(len(m.Data), openflow.MaxMessage-(len(b)-start))]...)
}

// PacketIn reads NXT_PACKET_IN and NXT_PACKET_IN2, in any version. Fields that weir does not know are left out; nil
// is another message.
func PacketIn(m *openflow.Experimenter) (*openflow.NiciraPacketIn, error) {
	p, err := m.NiciraPacketIn()
	if p == nil || err != nil {
		return nil, err
	}
	var s fieldSet
	for b := p.Metadata; len(b) > 0; {
		var f nxmField
		if f, b, err = nextNXM(b); err != nil {
			return nil, err
		}
		_ = addNXM(&s, &f)
	}
	p.Match = s.match()
	return p, nil
}

// decodePacketOut reads PACKET_OUT.
func (s *Session) decodePacketOut(b []byte) (openflow.Message, error) {
	if len(b) < 16 {
		return nil, badLen("PACKET_OUT", len(b), 16)
	}
	in, n := u16(b, 12), int(u16(b, 14))
	if 16+n > len(b) {
		return nil, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadLen, "PACKET_OUT with %d bytes of actions where %d are left", n, len(b)-16)
	}
	m := &openflow.PacketOut{BufferID: u32(b, 8), InPort: widen(in), Data: b[16+n:]}
	if in == 0 || in >= portMax && in < 0xfffd {
		return nil, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadPort, "in_port 0x%04x: expected a port, LOCAL, CONTROLLER or NONE", in)
	}
	r, err := s.decodeActions(b[16:16+n], openflow.Match{})
	if err != nil {
		return nil, err
	}
	m.Actions, err = r.actions()
	return m, err
}
