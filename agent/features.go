// Slow path: what the switch is and how it treats fragments: FEATURES, GET_CONFIG, SET_CONFIG, DESC.

package agent

import (
	"github.com/weirswitch/weir/openflow"
)

// defaultMissLen is miss_send_len before SET_CONFIG (section 7.3.2): what is sent of a buffered
// frame whose TTL expired. For frames of an output action the action's own max_len counts.
const defaultMissLen = 128

// handleFeatures answers FEATURES_REQUEST. Only now may asynchronous messages flow to a controller:
// one of the known controllers hangs up on a PORT_STATUS before this reply.
func (c *Channel) handleFeatures(xid uint32) error {
	m := openflow.FeaturesReply{
		DatapathID: c.sw.dpid, NBuffers: uint32(len(c.sw.kept.places)), AuxiliaryID: c.auxID, NTables: uint8(c.sw.pipe.Features().Tables),
		Capabilities: openflow.CapFlowStats | openflow.CapTableStats | openflow.CapPortStats | openflow.CapGroupStats |
			openflow.CapQueueStats | openflow.CapIPReasm,
	}
	var first bool
	err := c.inStep(func() error {
		if c.featuresListPorts() {
			m.Ports = c.sw.portDescs()
		}
		err := c.out.replyNow(func(b []byte) []byte { return c.append(b, xid, &m) })
		if c.main == nil && !c.tool {
			c.wake()
		}
		first, c.introduced = !c.introduced, true
		return err
	})
	if c.main != nil {
		c.ready()
	}
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
// fragments, which is the switch's: of a slave, who may only read (section 6.3.5), the length is taken and
// the treatment ignored, as Open vSwitch does. A tool that sets a length wants packet-ins.
func (c *Channel) handleSetConfig(m *openflow.SetConfig) error {
	s, main := c.sw, c.lead()
	s.mu.Lock()
	defer s.mu.Unlock()
	if main.role != openflow.RoleSlave {
		s.setFragments(m.Flags)
	}
	main.missLen.Store(uint32(m.MissSendLen))
	if main.tool && m.MissSendLen != 0 {
		main.wake()
	}
	return nil
}

// setFragments says what becomes of IP fragments. mu is held.
func (s *Switch) setFragments(how openflow.FragFlags) {
	s.fragments = how
	s.pipe.SetFragments(how)
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
