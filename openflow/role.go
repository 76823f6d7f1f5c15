package openflow

import "fmt"

// Role is a controller's role (section 6.3.5).
type Role uint32

// The roles.
const (
	RoleNoChange Role = iota // ask without changing
	RoleEqual
	RoleMaster
	RoleSlave
)

func (r Role) String() string { return enumName(int(r), "NOCHANGE", "EQUAL", "MASTER", "SLAVE") }

// GenerationUnset is what a reply says before any generation was seen.
const GenerationUnset uint64 = 1<<64 - 1

// RoleRequest asks for a role (section 7.3.9).
type RoleRequest struct {
	Role         Role
	GenerationID uint64

	// NoGeneration is set by OpenFlow 1.0, where the request has no generation: none is compared. Never sent.
	NoGeneration bool
}

// RoleReply tells the role held now.
type RoleReply struct {
	Role         Role
	GenerationID uint64
}

// MsgType is TypeRoleRequest.
func (*RoleRequest) MsgType() Type { return TypeRoleRequest }

// MsgType is TypeRoleReply.
func (*RoleReply) MsgType() Type { return TypeRoleReply }

func (m *RoleRequest) String() string {
	return fmt.Sprintf("ROLE_REQUEST %s generation=%d", m.Role, m.GenerationID)
}

func (m *RoleReply) String() string {
	return fmt.Sprintf("ROLE_REPLY %s generation=%d", m.Role, m.GenerationID)
}

func (m *RoleRequest) appendBody(b []byte) []byte {
	return append64(append32(append32(b, uint32(m.Role)), 0), m.GenerationID)
}

func (m *RoleReply) appendBody(b []byte) []byte {
	return (&RoleRequest{Role: m.Role, GenerationID: m.GenerationID}).appendBody(b)
}

func decodeRoleRequest(b []byte) (Message, error) {
	if len(b) != 24 {
		return nil, badLen("ROLE_REQUEST", len(b), 24)
	}
	m := &RoleRequest{Role: Role(u32(b, 8)), GenerationID: u64(b, 16)}
	if m.Role > RoleSlave {
		return nil, Errorf(ErrRoleRequestFailed, RRFCBadRole, "role %d, the highest is %d", uint32(m.Role), RoleSlave)
	}
	return m, nil
}

func decodeRoleReply(b []byte) (Message, error) {
	if len(b) != 24 {
		return nil, badLen("ROLE_REPLY", len(b), 24)
	}
	return &RoleReply{Role: Role(u32(b, 8)), GenerationID: u64(b, 16)}, nil
}

// AsyncConfig says which asynchronous messages a controller wants: one bit for each reason, index
// 0 while it is master or equal, 1 while it is slave (section 7.3.10).
type AsyncConfig struct {
	PacketIn    [2]uint32
	PortStatus  [2]uint32
	FlowRemoved [2]uint32
}

// GetAsyncRequest asks for the AsyncConfig of this connection.
type GetAsyncRequest struct{ emptyBody }

// GetAsyncReply gives it.
type GetAsyncReply struct{ AsyncConfig }

// SetAsync sets it.
type SetAsync struct{ AsyncConfig }

// MsgType is TypeGetAsyncRequest.
func (*GetAsyncRequest) MsgType() Type { return TypeGetAsyncRequest }

// MsgType is TypeGetAsyncReply.
func (*GetAsyncReply) MsgType() Type { return TypeGetAsyncReply }

// MsgType is TypeSetAsync.
func (*SetAsync) MsgType() Type { return TypeSetAsync }

func (*GetAsyncRequest) String() string { return "GET_ASYNC_REQUEST" }
func (m *GetAsyncReply) String() string { return "GET_ASYNC_REPLY " + m.text() }
func (m *SetAsync) String() string      { return "SET_ASYNC " + m.text() }

func (c *AsyncConfig) text() string {
	return fmt.Sprintf("packet_in=%#x/%#x port_status=%#x/%#x flow_removed=%#x/%#x",
		c.PacketIn[0], c.PacketIn[1], c.PortStatus[0], c.PortStatus[1], c.FlowRemoved[0], c.FlowRemoved[1])
}

func (c *AsyncConfig) appendBody(b []byte) []byte {
	for _, v := range [...]uint32{c.PacketIn[0], c.PacketIn[1], c.PortStatus[0], c.PortStatus[1], c.FlowRemoved[0], c.FlowRemoved[1]} {
		b = append32(b, v)
	}
	return b
}

func (c *AsyncConfig) read(what string, b []byte) error {
	if len(b) != 32 {
		return badLen(what, len(b), 32)
	}
	c.PacketIn = [2]uint32{u32(b, 8), u32(b, 12)}
	c.PortStatus = [2]uint32{u32(b, 16), u32(b, 20)}
	c.FlowRemoved = [2]uint32{u32(b, 24), u32(b, 28)}
	return nil
}

func decodeGetAsyncRequest(b []byte) (Message, error) { return headerOnly(b, &GetAsyncRequest{}) }

func decodeGetAsyncReply(b []byte) (Message, error) {
	m := &GetAsyncReply{}
	return m, m.read("GET_ASYNC_REPLY", b)
}

func decodeSetAsync(b []byte) (Message, error) {
	m := &SetAsync{}
	return m, m.read("SET_ASYNC", b)
}
