// Slow path: message type -> handler: the table of contents of the agent.

package agent

import (
	"github.com/weirswitch/weir/openflow"
)

// dispatch obeys one message. An *openflow.Error goes back to the peer with the message inside; any
// other error ends the connection.
func (c *Channel) dispatch(m openflow.Message, xid uint32, raw []byte) error {
	if changesSwitch(m) {
		if err := c.slaveRefused(); err != nil {
			return err
		}
	}
	switch m := m.(type) {
	// Sections 7.5 and 7.3.8: the connection itself
	case *openflow.Hello, *openflow.EchoReply:
		return nil
	case *openflow.Error:
		c.log.Warnf("the peer reports %v", m)
		return nil
	case *openflow.EchoRequest:
		return c.reply(xid, &openflow.EchoReply{Data: m.Data})
	case *openflow.BarrierRequest:
		return c.reply(xid, &openflow.BarrierReply{}) // all before it is done: messages are handled in order
	case *openflow.Experimenter:
		return c.handleExperimenter(m, xid)

	// Sections 7.3.1 and 7.3.2: the switch
	case *openflow.FeaturesRequest:
		return c.handleFeatures(xid)
	case *openflow.GetConfigRequest:
		return c.handleGetConfig(xid)
	case *openflow.SetConfig:
		return c.handleSetConfig(m)

	// Sections 7.3.4 and 7.3.6: what it does with frames
	case *openflow.FlowMod:
		return c.handleFlowMod(m)
	case *openflow.PacketOut:
		return c.handlePacketOut(m)
	case *openflow.PortMod:
		return c.sw.handlePortMod(m)
	case *openflow.TableMod:
		return c.sw.handleTableMod(m)
	case *openflow.GroupMod:
		return c.handleGroupMod(m)
	case *openflow.MeterMod:
		return c.handleMeterMod(m)

	// Sections 7.3.5 to 7.3.7: what it knows
	case *openflow.MultipartRequest:
		return c.handleMultipart(m, xid, raw)
	case *openflow.QueueGetConfigRequest:
		return c.handleQueueGetConfig(m, xid)

	// Sections 7.3.9 and 7.3.10: several controllers
	case *openflow.RoleRequest:
		return c.handleRole(m, xid)
	case *openflow.GetAsyncRequest:
		return c.handleGetAsync(xid)
	case *openflow.SetAsync:
		return c.handleSetAsync(m)
	}
	return openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadType, "%s is for a switch to send, not to receive", m.MsgType())
}

// unknownExperimenter refuses what others defined. Nicira's and the ONF's numbers are known, as fields
// and actions of theirs are; what is unknown then is the type.
func unknownExperimenter(what string, who, kind uint32) error {
	code := openflow.BRCBadExperimenter
	if who == openflow.ExperimenterNicira || who == openflow.ExperimenterONF {
		code = openflow.BRCBadExpType
	}
	return openflow.Errorf(openflow.ErrBadRequest, code, "no %s %d of experimenter 0x%08x", what, kind, who)
}

// changesSwitch marks what a slave may not ask (section 6.3.5).
func changesSwitch(m openflow.Message) bool {
	switch m := m.(type) {
	case *openflow.PacketOut, *openflow.FlowMod, *openflow.GroupMod, *openflow.PortMod, *openflow.TableMod, *openflow.MeterMod:
		return true
	case *openflow.MultipartRequest:
		return reshapesTables(m)
	}
	return false
}
