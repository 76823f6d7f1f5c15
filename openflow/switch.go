package openflow

import "fmt"

// FeaturesRequest asks who the switch is (section 7.3.1).
type FeaturesRequest struct{ emptyBody }

// Capabilities are the OFPC bits of FEATURES_REPLY.
type Capabilities uint32

// The capabilities.
const (
	CapFlowStats   Capabilities = 1 << 0
	CapTableStats  Capabilities = 1 << 1
	CapPortStats   Capabilities = 1 << 2
	CapGroupStats  Capabilities = 1 << 3
	CapIPReasm     Capabilities = 1 << 5
	CapQueueStats  Capabilities = 1 << 6
	CapPortBlocked Capabilities = 1 << 8
)

func (c Capabilities) String() string {
	return flagNames(uint32(c), "FLOW_STATS", "TABLE_STATS", "PORT_STATS", "GROUP_STATS", "", "IP_REASM", "QUEUE_STATS", "", "PORT_BLOCKED")
}

// FeaturesReply says who the switch is.
type FeaturesReply struct {
	DatapathID   uint64
	NBuffers     uint32
	NTables      uint8
	AuxiliaryID  uint8 // zero on the main connection
	Capabilities Capabilities
	Ports        []Port // OpenFlow 1.0 sends them here, 1.3 in PORT_DESC only
}

// MsgType is TypeFeaturesRequest.
func (*FeaturesRequest) MsgType() Type { return TypeFeaturesRequest }

// MsgType is TypeFeaturesReply.
func (*FeaturesReply) MsgType() Type { return TypeFeaturesReply }

func (*FeaturesRequest) String() string { return "FEATURES_REQUEST" }
func (m *FeaturesReply) String() string {
	return fmt.Sprintf("FEATURES_REPLY dpid=%016x tables=%d buffers=%d aux=%d capabilities=%s", m.DatapathID, m.NTables, m.NBuffers, m.AuxiliaryID, m.Capabilities)
}

func (m *FeaturesReply) appendBody(b []byte) []byte {
	b = append32(append64(b, m.DatapathID), m.NBuffers)
	b = append(b, m.NTables, m.AuxiliaryID, 0, 0)
	return append32(append32(b, uint32(m.Capabilities)), 0)
}

func decodeFeaturesRequest(b []byte) (Message, error) { return headerOnly(b, &FeaturesRequest{}) }

func decodeFeaturesReply(b []byte) (Message, error) {
	if len(b) != 32 {
		return nil, badLen("FEATURES_REPLY", len(b), 32)
	}
	return &FeaturesReply{DatapathID: u64(b, 8), NBuffers: u32(b, 16), NTables: b[20], AuxiliaryID: b[21], Capabilities: Capabilities(u32(b, 24))}, nil
}

// FragFlags says what to do with IP fragments (section 7.3.2).
type FragFlags uint16

// The ways.
const (
	FragNormal FragFlags = 0
	FragDrop   FragFlags = 1
	FragReasm  FragFlags = 2
	fragMask   FragFlags = 3
)

func (f FragFlags) String() string { return enumName(int(f), "normal", "drop", "reassemble") }

// SwitchConfig is what GET_CONFIG_REPLY and SET_CONFIG say (section 7.3.2).
type SwitchConfig struct {
	Flags       FragFlags
	MissSendLen uint16 // bytes of a buffered frame that an invalid TTL sends to the controller; others go whole
}

func (c *SwitchConfig) text() string {
	return fmt.Sprintf("frags=%s miss_send_len=%d", c.Flags, c.MissSendLen)
}

func (c *SwitchConfig) appendBody(b []byte) []byte {
	return append16(append16(b, uint16(c.Flags)), c.MissSendLen)
}

func (c *SwitchConfig) read(what string, b []byte) error {
	if len(b) != 12 {
		return badLen(what, len(b), 12)
	}
	c.Flags, c.MissSendLen = FragFlags(u16(b, 8)), u16(b, 10)
	if c.Flags > FragReasm {
		return Errorf(ErrSwitchConfigFailed, SCFCBadFlags, "%s with flags 0x%x: expected normal, drop or reassemble", what, uint16(c.Flags))
	}
	return nil
}

// GetConfigRequest asks for the SwitchConfig.
type GetConfigRequest struct{ emptyBody }

// GetConfigReply gives it.
type GetConfigReply struct{ SwitchConfig }

// SetConfig sets it.
type SetConfig struct{ SwitchConfig }

// MsgType is TypeGetConfigRequest.
func (*GetConfigRequest) MsgType() Type { return TypeGetConfigRequest }

// MsgType is TypeGetConfigReply.
func (*GetConfigReply) MsgType() Type { return TypeGetConfigReply }

// MsgType is TypeSetConfig.
func (*SetConfig) MsgType() Type { return TypeSetConfig }

func (*GetConfigRequest) String() string { return "GET_CONFIG_REQUEST" }
func (m *GetConfigReply) String() string { return "GET_CONFIG_REPLY " + m.text() }
func (m *SetConfig) String() string      { return "SET_CONFIG " + m.text() }

func decodeGetConfigRequest(b []byte) (Message, error) { return headerOnly(b, &GetConfigRequest{}) }

func decodeGetConfigReply(b []byte) (Message, error) {
	m := &GetConfigReply{}
	return m, m.read("GET_CONFIG_REPLY", b)
}

func decodeSetConfig(b []byte) (Message, error) {
	m := &SetConfig{}
	return m, m.read("SET_CONFIG", b)
}

// Desc describes the switch in words (section 7.3.5.1). Controllers choose drivers by it.
type Desc struct {
	Manufacturer string // these four: at most 255 bytes
	Hardware     string
	Software     string
	Datapath     string // what a human calls this bridge
	Serial       string // at most 31 bytes
}

const descSize = 4*256 + 32

func (d *Desc) appendRecord(b []byte) []byte {
	b = appendString(appendString(appendString(b, d.Manufacturer, 256), d.Hardware, 256), d.Software, 256)
	return appendString(appendString(b, d.Serial, 32), d.Datapath, 256)
}

func readDesc(b []byte) *Desc {
	return &Desc{Manufacturer: cstring(b[:256]), Hardware: cstring(b[256:512]), Software: cstring(b[512:768]),
		Serial: cstring(b[768:800]), Datapath: cstring(b[800:1056])}
}

func (d *Desc) String() string {
	return fmt.Sprintf("manufacturer=%q hardware=%q software=%q serial=%q datapath=%q", d.Manufacturer, d.Hardware, d.Software, d.Serial, d.Datapath)
}
