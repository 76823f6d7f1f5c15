// Slow path: roles of controllers, and which asynchronous messages each of them wants.

package agent

import (
	"github.com/weirswitch/weir/openflow"
)

// Bits of asynchronous configuration: one for each reason.
const (
	allPacketIns   = 1<<openflow.ReasonNoMatch | 1<<openflow.ReasonAction | 1<<openflow.ReasonInvalidTTL
	allPortStatus  = 1<<openflow.PortAdded | 1<<openflow.PortDeleted | 1<<openflow.PortModified
	allFlowRemoved = 1<<openflow.RemovedIdleTimeout | 1<<openflow.RemovedHardTimeout |
		1<<openflow.RemovedDelete | 1<<openflow.RemovedGroupDelete
)

// defaultAsync is what a connection gets that never asked: everything, but for a slave only the
// state of ports (section 6.3.5).
var defaultAsync = openflow.AsyncConfig{
	PacketIn:    [2]uint32{allPacketIns, 0},
	PortStatus:  [2]uint32{allPortStatus, allPortStatus},
	FlowRemoved: [2]uint32{allFlowRemoved, 0},
}

// handleRole answers ROLE_REQUEST (section 6.3.5). NOCHANGE only asks; MASTER and SLAVE carry a
// generation that must not be older than the newest seen, compared on a circle.
func (c *Channel) handleRole(m *openflow.RoleRequest, xid uint32) error {
	reply, err := c.changeRole(m)
	if err != nil {
		return err
	}
	return c.reply(xid, reply)
}

func (c *Channel) changeRole(m *openflow.RoleRequest) (*openflow.RoleReply, error) {
	s, c := c.sw, c.lead()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !m.NoGeneration && (m.Role == openflow.RoleMaster || m.Role == openflow.RoleSlave) {
		if s.generated && int64(m.GenerationID-s.generation) < 0 {
			return nil, openflow.Errorf(openflow.ErrRoleRequestFailed, openflow.RRFCStale,
				"generation %d is older than %d", m.GenerationID, s.generation)
		}
		s.generation, s.generated = m.GenerationID, true
	}
	if m.Role == openflow.RoleMaster {
		for _, o := range *s.channels.Load() {
			if o != c && o.role == openflow.RoleMaster {
				o.role = openflow.RoleSlave
				o.refilter()
			}
		}
	}
	if m.Role != openflow.RoleNoChange {
		c.role = m.Role
		c.refilter()
	}
	reply := &openflow.RoleReply{Role: c.role, GenerationID: openflow.GenerationUnset}
	if s.generated {
		reply.GenerationID = s.generation
	}
	return reply, nil
}

// refilter works out what the peer wants now. Switch.mu is held.
func (c *Channel) refilter() {
	i := 0
	if c.slave.Store(c.role == openflow.RoleSlave); c.role == openflow.RoleSlave {
		i = 1
	}
	mask := uint32(0)
	if c.awake {
		mask = ^mask
	}
	c.wantPacketIn.Store(c.async.PacketIn[i] & mask)
	c.wantPortStatus.Store(c.async.PortStatus[i] & mask)
	c.wantFlowRemoved.Store(c.async.FlowRemoved[i] & mask)
}

// wake lets asynchronous messages through from now on. Switch.mu is held.
func (c *Channel) wake() {
	if !c.awake {
		c.awake = true
		c.refilter()
	}
}

// handleSetAsync takes the peer's own choice, which also wakes a tool (section 7.3.10).
func (c *Channel) handleSetAsync(m *openflow.SetAsync) error {
	c = c.lead()
	c.sw.mu.Lock()
	defer c.sw.mu.Unlock()
	c.async = m.AsyncConfig
	c.awake = true
	c.refilter()
	return nil
}

func (c *Channel) handleGetAsync(xid uint32) error {
	c.sw.mu.Lock()
	m := &openflow.GetAsyncReply{AsyncConfig: c.lead().async}
	c.sw.mu.Unlock()
	return c.reply(xid, m)
}

// slaveRefused answers a slave that wants to change the switch (section 6.3.5).
func (c *Channel) slaveRefused() error {
	if !c.lead().slave.Load() {
		return nil
	}
	return openflow.Errorf(openflow.ErrBadRequest, openflow.BRCIsSlave, "a slave may not change the switch: ask for the role MASTER or EQUAL first")
}
