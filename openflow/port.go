package openflow

import "fmt"

// PortNo is a port number (section 7.2.1). Real ports count from 1.
type PortNo uint32

// The reserved ports (section 4.5).
const (
	PortMax        PortNo = 0xffffff00 // the highest number a real port may have
	PortInPort     PortNo = 0xfffffff8 // out by the way it came
	PortTable      PortNo = 0xfffffff9 // to the first table; PACKET_OUT only
	PortNormal     PortNo = 0xfffffffa // the learning switch
	PortFlood      PortNo = 0xfffffffb
	PortAll        PortNo = 0xfffffffc
	PortController PortNo = 0xfffffffd
	PortLocal      PortNo = 0xfffffffe // the bridge's own interface
	PortAny        PortNo = 0xffffffff // a wildcard in requests; never a place to send to
)

var reservedPorts = [...]string{"IN_PORT", "TABLE", "NORMAL", "FLOOD", "ALL", "CONTROLLER", "LOCAL", "ANY"}

func (p PortNo) String() string {
	if p >= PortInPort {
		return reservedPorts[p-PortInPort]
	}
	return fmt.Sprint(uint32(p))
}

// PortConfig is what the controller wishes of a port, in bits (section 7.2.1.1).
type PortConfig uint32

// The bits of PortConfig.
const (
	PortDown       PortConfig = 1 << 0
	PortNoRecv     PortConfig = 1 << 2
	PortNoFwd      PortConfig = 1 << 5
	PortNoPacketIn PortConfig = 1 << 6

	// PortNoFlood keeps a port out of FLOOD. OpenFlow 1.0 has it, and 1.3 has no more: never sent there.
	PortNoFlood PortConfig = 1 << 4

	// PortConfigAll is every bit that PORT_MOD may change.
	PortConfigAll = PortDown | PortNoRecv | PortNoFwd | PortNoPacketIn
)

func (c PortConfig) String() string {
	return flagNames(uint32(c), "DOWN", "", "NO_RECV", "", "NO_FLOOD", "NO_FWD", "NO_PACKET_IN")
}

// PortState is what a port says of itself, in bits.
type PortState uint32

// The bits of PortState.
const (
	PortLinkDown PortState = 1 << 0
	PortBlocked  PortState = 1 << 1
	PortLive     PortState = 1 << 2 // counts as live for a fast-failover group
)

func (s PortState) String() string { return flagNames(uint32(s), "LINK_DOWN", "BLOCKED", "LIVE") }

// PortFeatures are speeds and media, in bits.
type PortFeatures uint32

// The bits of PortFeatures.
const (
	Feature10MbHD PortFeatures = 1 << iota
	Feature10MbFD
	Feature100MbHD
	Feature100MbFD
	Feature1GbHD
	Feature1GbFD
	Feature10GbFD
	Feature40GbFD
	Feature100GbFD
	Feature1TbFD
	FeatureOther
	FeatureCopper
	FeatureFiber
	FeatureAutoneg
	FeaturePause
	FeaturePauseAsym
)

// MAC is an Ethernet address.
type MAC [6]byte

func (m MAC) String() string { return formatMAC(m[:]) }

// Port describes a port: a record of PORT_DESC, and the body of PORT_STATUS (section 7.2.1).
type Port struct {
	No         PortNo
	HWAddr     MAC
	Name       string // at most 15 bytes travel
	Config     PortConfig
	State      PortState
	Curr       PortFeatures
	Advertised PortFeatures
	Supported  PortFeatures
	Peer       PortFeatures
	CurrSpeed  uint32 // kbit/s
	MaxSpeed   uint32 // kbit/s
}

const portSize, portNameSize = 64, 16

func (p *Port) appendRecord(b []byte) []byte {
	b = append32(b, uint32(p.No))
	b = appendZeros(b, 4)
	b = append(b, p.HWAddr[:]...)
	b = appendZeros(b, 2)
	b = appendString(b, p.Name, portNameSize)
	for _, v := range [...]uint32{uint32(p.Config &^ PortNoFlood), uint32(p.State), uint32(p.Curr), uint32(p.Advertised),
		uint32(p.Supported), uint32(p.Peer), p.CurrSpeed, p.MaxSpeed} {
		b = append32(b, v)
	}
	return b
}

func readPort(b []byte) (p Port) {
	p.No = PortNo(u32(b, 0))
	copy(p.HWAddr[:], b[8:])
	p.Name = cstring(b[16:32])
	p.Config, p.State = PortConfig(u32(b, 32))&^PortNoFlood, PortState(u32(b, 36))
	p.Curr, p.Advertised = PortFeatures(u32(b, 40)), PortFeatures(u32(b, 44))
	p.Supported, p.Peer = PortFeatures(u32(b, 48)), PortFeatures(u32(b, 52))
	p.CurrSpeed, p.MaxSpeed = u32(b, 56), u32(b, 60)
	return p
}

func (p *Port) String() string {
	return fmt.Sprintf("%s(%s) addr=%s config=%s state=%s speed=%d/%dkbps", p.No, p.Name, p.HWAddr, p.Config, p.State, p.CurrSpeed, p.MaxSpeed)
}

// PortReason says why PORT_STATUS is sent.
type PortReason uint8

// The reasons.
const (
	PortAdded PortReason = iota
	PortDeleted
	PortModified
)

func (r PortReason) String() string { return enumName(int(r), "ADD", "DELETE", "MODIFY") }

// PortStatus tells controllers that a port came, went or changed (section 7.4.3).
type PortStatus struct {
	Reason PortReason
	Port   Port
}

// MsgType is TypePortStatus.
func (*PortStatus) MsgType() Type { return TypePortStatus }

func (m *PortStatus) String() string { return fmt.Sprintf("PORT_STATUS %s %s", m.Reason, &m.Port) }

func (m *PortStatus) appendBody(b []byte) []byte {
	return m.Port.appendRecord(appendZeros(append(b, uint8(m.Reason)), 7))
}

func decodePortStatus(b []byte) (Message, error) {
	if len(b) != 16+portSize {
		return nil, badLen("PORT_STATUS", len(b), 16+portSize)
	}
	return &PortStatus{Reason: PortReason(b[8]), Port: readPort(b[16:])}, nil
}

// PortMod changes the configuration of a port (section 7.3.4.3). HWAddr must be the port's own.
type PortMod struct {
	Port      PortNo
	HWAddr    MAC
	Config    PortConfig
	Mask      PortConfig   // the bits of Config to change
	Advertise PortFeatures // zero: leave as it is
}

// MsgType is TypePortMod.
func (*PortMod) MsgType() Type { return TypePortMod }

func (m *PortMod) String() string {
	return fmt.Sprintf("PORT_MOD port=%s addr=%s config=%s mask=%s advertise=0x%x", m.Port, m.HWAddr, m.Config, m.Mask, uint32(m.Advertise))
}

func (m *PortMod) appendBody(b []byte) []byte {
	b = appendZeros(append32(b, uint32(m.Port)), 4)
	b = appendZeros(append(b, m.HWAddr[:]...), 2)
	b = append32(append32(b, uint32(m.Config)), uint32(m.Mask))
	return appendZeros(append32(b, uint32(m.Advertise)), 4)
}

func decodePortMod(b []byte) (Message, error) {
	if len(b) != 40 {
		return nil, badLen("PORT_MOD", len(b), 40)
	}
	m := &PortMod{Port: PortNo(u32(b, 8)), Config: PortConfig(u32(b, 24)), Mask: PortConfig(u32(b, 28)), Advertise: PortFeatures(u32(b, 32))}
	copy(m.HWAddr[:], b[16:])
	if bad := m.Mask &^ PortConfigAll; bad != 0 { // bits of Config outside the mask change nothing (section 7.3.4.3)
		return nil, Errorf(ErrPortModFailed, PMFCBadConfig, "config bits 0x%x are not defined", uint32(bad))
	}
	if m.Advertise>>16 != 0 {
		return nil, Errorf(ErrPortModFailed, PMFCBadAdvertise, "advertise 0x%x has undefined bits", uint32(m.Advertise))
	}
	return m, nil
}

// PortStats are the counters of one port (section 7.3.5.6); all ones says "not known".
type PortStats struct {
	Port                                      PortNo
	RxPackets, TxPackets                      uint64
	RxBytes, TxBytes                          uint64
	RxDropped, TxDropped                      uint64
	RxErrors, TxErrors                        uint64
	RxFrameErr, RxOverErr, RxCRCErr, Collides uint64
	DurationSec, DurationNsec                 uint32
}

const portStatsSize = 112

func (s *PortStats) appendRecord(b []byte) []byte {
	b = appendZeros(append32(b, uint32(s.Port)), 4)
	for _, v := range [...]uint64{s.RxPackets, s.TxPackets, s.RxBytes, s.TxBytes, s.RxDropped, s.TxDropped,
		s.RxErrors, s.TxErrors, s.RxFrameErr, s.RxOverErr, s.RxCRCErr, s.Collides} {
		b = append64(b, v)
	}
	return append32(append32(b, s.DurationSec), s.DurationNsec)
}

func readPortStats(b []byte) (s PortStats) {
	s.Port = PortNo(u32(b, 0))
	for i, p := range [...]*uint64{&s.RxPackets, &s.TxPackets, &s.RxBytes, &s.TxBytes, &s.RxDropped, &s.TxDropped,
		&s.RxErrors, &s.TxErrors, &s.RxFrameErr, &s.RxOverErr, &s.RxCRCErr, &s.Collides} {
		*p = u64(b, 8+8*i)
	}
	s.DurationSec, s.DurationNsec = u32(b, 104), u32(b, 108)
	return s
}

func (s *PortStats) String() string {
	return fmt.Sprintf("port=%s rx=%d/%dB tx=%d/%dB dropped=%d/%d errors=%d/%d duration=%d.%09ds",
		s.Port, s.RxPackets, s.RxBytes, s.TxPackets, s.TxBytes, s.RxDropped, s.TxDropped, s.RxErrors, s.TxErrors, s.DurationSec, s.DurationNsec)
}
