// Slow path: messages that Nicira and the ONF have defined beside the specification.

package agent

import (
	"encoding/binary"

	"github.com/weirswitch/weir/openflow"
)

// Subtypes of Nicira's messages, the same in every version.
const (
	nxtSetPacketInFormat  = 16
	nxtFlowAge            = 18
	nxtSetControllerID    = 20
	nxtFlowMonitorCancel  = 21
	maxPacketInFormat     = uint32(openflow.PacketInNXM2)
	controllerIDAt        = 6 // behind padding
	experimenterHeaderLen = 16
)

// handleExperimenter obeys an experimenter's message.
func (c *Channel) handleExperimenter(m *openflow.Experimenter, xid uint32) error {
	switch m.Experimenter {
	case openflow.ExperimenterNicira:
		return c.handleNicira(m)
	case openflow.ExperimenterONF:
		switch m.ExpType {
		case openflow.ONFBundleControl:
			return c.handleBundleControl(m.Data, xid)
		case openflow.ONFBundleAdd:
			return c.handleBundleAdd(m.Data, xid)
		case openflow.ONFFlowMonitor:
			if len(m.Data) != 4 {
				return openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadLen, "FLOW_MONITOR_CANCEL of %d bytes, expected %d", experimenterHeaderLen+len(m.Data), experimenterHeaderLen+4)
			}
			return c.sw.cancelMonitor(c, binary.BigEndian.Uint32(m.Data))
		}
	}
	return unknownExperimenter("message", m.Experimenter, m.ExpType)
}

func (c *Channel) handleNicira(m *openflow.Experimenter) error {
	size := map[uint32]int{nxtSetPacketInFormat: 4, nxtFlowAge: 0, nxtSetControllerID: 8, nxtFlowMonitorCancel: 4}
	want, known := size[m.ExpType]
	if !known {
		return unknownExperimenter("message", m.Experimenter, m.ExpType)
	}
	if len(m.Data) != want {
		return openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadLen, "Nicira message %d of %d bytes, expected %d",
			m.ExpType, experimenterHeaderLen+len(m.Data), experimenterHeaderLen+want)
	}
	if m.ExpType == nxtFlowMonitorCancel {
		return c.sw.cancelMonitor(c, binary.BigEndian.Uint32(m.Data))
	}
	c = c.lead()
	switch m.ExpType {
	case nxtSetPacketInFormat:
		format := binary.BigEndian.Uint32(m.Data)
		if format > maxPacketInFormat {
			return openflow.Errorf(openflow.ErrBadRequest, openflow.BRCEPERM, "packet-in format %d, the highest is %d", format, maxPacketInFormat)
		}
		c.packetInFormat.Store(format)
	case nxtSetControllerID:
		c.controllerID.Store(uint32(binary.BigEndian.Uint16(m.Data[controllerIDAt:])))
	case nxtFlowAge: // the age of entries is always told where the version has a word for it
	}
	return nil
}

// appendPacketIn writes a PACKET_IN in the form that the peer has chosen.
func (c *Channel) appendPacketIn(b []byte, m *openflow.PacketIn) []byte {
	format := openflow.PacketInFormat(c.lead().packetInFormat.Load())
	if format == openflow.PacketInStandard {
		return c.append(b, 0, m)
	}
	return c.append(b, 0, &openflow.NiciraPacketIn{PacketIn: *m, Format: format, Metadata: m.Match.Bytes()})
}
