// Slow path: what the switch is and how it treats fragments: FEATURES, GET_CONFIG, SET_CONFIG, DESC.

package agent

import (
	"github.com/weirswitch/weir/openflow"
)

// defaultMissLen is miss_send_len before SET_CONFIG (section 7.3.2): it cuts the frames that an
// expired TTL sends to the controller. Frames of an output action have the action's own max_len.
const defaultMissLen = 128

// handleFeatures answers FEATURES_REQUEST. Only now may asynchronous messages flow to a controller:
// one of the known controllers hangs up on a PORT_STATUS before this reply.
func (c *Channel) handleFeatures(xid uint32) error {
	err := c.reply(xid, &openflow.FeaturesReply{
		DatapathID: c.sw.dpid, NBuffers: uint32(len(c.sw.kept.places)), AuxiliaryID: c.auxID, NTables: uint8(c.sw.pipe.Features().Tables),
		Capabilities: openflow.CapFlowStats | openflow.CapTableStats | openflow.CapPortStats | openflow.CapGroupStats |
			openflow.CapQueueStats,
		Ports: c.sw.portDescs(),
	})
	switch {
	case c.main != nil:
		c.ready()
	case !c.tool:
		c.wake()
	}
	c.sw.mu.Lock()
	first := !c.introduced
	c.introduced = true
	c.sw.mu.Unlock()
	if first && c.onFeatures != nil {
		c.onFeatures()
	}
	return err
}

func (c *Channel) handleGetConfig(xid uint32) error {
	c.sw.mu.Lock()
	m := &openflow.GetConfigReply{SwitchConfig: openflow.SwitchConfig{Flags: c.sw.fragments, MissSendLen: uint16(c.lead().missLen.Load())}}
	c.sw.mu.Unlock()
	return c.reply(xid, m)
}

// handleSetConfig takes miss_send_len, which is this controller's own, and the treatment of
// fragments, which is the switch's. weir does not put fragments together: FEATURES_REPLY lacks
// OFPC_IP_REASM, without which the flag is not allowed. A tool that sets a length wants packet-ins.
func (c *Channel) handleSetConfig(m *openflow.SetConfig) error {
	s := c.sw
	if m.Flags != openflow.FragNormal && m.Flags != openflow.FragDrop {
		return openflow.Errorf(openflow.ErrSwitchConfigFailed, openflow.SCFCBadFlags, "fragments: %s is not supported, only normal and drop", m.Flags)
	}
	s.mu.Lock()
	s.fragments = m.Flags
	s.pipe.DropFragments(m.Flags == openflow.FragDrop)
	s.mu.Unlock()
	main := c.lead()
	main.missLen.Store(uint32(m.MissSendLen))
	if main.tool && m.MissSendLen != 0 {
		main.wake()
	}
	return nil
}

// describeSwitch is the DESC reply, by which controllers choose their drivers.
func (s *Switch) describeSwitch() *openflow.Desc {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.cfg.Desc
	d := &openflow.Desc{Manufacturer: c.Manufacturer, Hardware: c.Hardware, Software: c.Software, Serial: c.Serial, Datapath: s.cfg.DatapathDesc}
	orWord(&d.Manufacturer, "weir")
	orWord(&d.Hardware, "software switch")
	orWord(&d.Software, "weir")
	orWord(&d.Serial, "None")
	orWord(&d.Datapath, s.name)
	return d
}
