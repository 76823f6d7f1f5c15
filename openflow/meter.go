package openflow

import "fmt"

// The meter numbers with a meaning of their own (section 7.3.4.4).
const (
	MeterMax        uint32 = 0xffff0000 // the highest number a meter of flows may have
	MeterSlowpath   uint32 = 0xfffffffd
	MeterController uint32 = 0xfffffffe // meters what goes to the controllers
	MeterAll        uint32 = 0xffffffff // every meter, in deletes and requests
)

// MeterCommand says what METER_MOD does.
type MeterCommand uint16

// The commands.
const (
	MeterAdd MeterCommand = iota
	MeterModify
	MeterDelete
)

func (c MeterCommand) String() string { return enumName(int(c), "ADD", "MODIFY", "DELETE") }

// MeterFlags are the OFPMF bits.
type MeterFlags uint16

// The flags.
const (
	MeterKbps  MeterFlags = 1 << 0
	MeterPktps MeterFlags = 1 << 1
	MeterBurst MeterFlags = 1 << 2
	MeterStats MeterFlags = 1 << 3

	meterFlagsAll = MeterKbps | MeterPktps | MeterBurst | MeterStats
)

func (f MeterFlags) String() string { return flagNames(uint32(f), "kbps", "pktps", "burst", "stats") }

// BandType says what a band does to what exceeds it.
type BandType uint16

// The band types.
const (
	BandDrop         BandType = 1
	BandDSCPRemark   BandType = 2
	BandExperimenter BandType = 0xffff
)

func (t BandType) String() string {
	if t == BandExperimenter {
		return "experimenter"
	}
	return enumName(int(t), "0", "drop", "dscp_remark")
}

// Band is one rate of a meter.
type Band struct {
	Type         BandType
	Rate         uint32 // kbit/s or packets/s, by the meter's flags
	Burst        uint32 // kbit or packets
	PrecLevel    uint8  // BandDSCPRemark: by how much the drop precedence rises
	Experimenter uint32
}

// MeterMod adds, changes or deletes a meter (section 7.3.4.4).
type MeterMod struct {
	Command MeterCommand
	Flags   MeterFlags
	Meter   uint32
	Bands   []Band
}

// MsgType is TypeMeterMod.
func (*MeterMod) MsgType() Type { return TypeMeterMod }

func (m *MeterMod) String() string {
	return fmt.Sprintf("METER_MOD %s meter=%s flags=%s%s", m.Command, meterName(m.Meter), m.Flags, bandsText(m.Bands))
}

func meterName(id uint32) string {
	if id >= MeterSlowpath {
		return [...]string{"slowpath", "controller", "all"}[id-MeterSlowpath]
	}
	return fmt.Sprint(id)
}

func bandsText(list []Band) (s string) {
	for _, b := range list {
		s += fmt.Sprintf(" band(%s rate=%d burst=%d prec_level=%d)", b.Type, b.Rate, b.Burst, b.PrecLevel)
	}
	return s
}

func (m *MeterMod) appendBody(b []byte) []byte {
	b = append32(append16(append16(b, uint16(m.Command)), uint16(m.Flags)), m.Meter)
	return appendBands(b, m.Bands)
}

func appendBands(b []byte, list []Band) []byte {
	for i := range list {
		k := &list[i]
		b = append32(append32(append16(append16(b, uint16(k.Type)), 16), k.Rate), k.Burst)
		switch k.Type {
		case BandDSCPRemark:
			b = append(b, k.PrecLevel, 0, 0, 0)
		default:
			b = append32(b, k.Experimenter)
		}
	}
	return b
}

func decodeMeterMod(b []byte) (Message, error) {
	if len(b) < 16 {
		return nil, badLen("METER_MOD", len(b), 16)
	}
	if len(b) > MaxMessage-8 {
		return nil, Errorf(ErrBadRequest, BRCBadLen, "a meter of %d bytes would not fit a METER_CONFIG reply, the limit is %d", len(b), MaxMessage-8)
	}
	m := &MeterMod{Command: MeterCommand(u16(b, 8)), Flags: MeterFlags(u16(b, 10)), Meter: u32(b, 12)}
	if m.Command > MeterDelete {
		return nil, Errorf(ErrMeterModFailed, MMFCBadCommand, "command %d, the highest is %d", uint16(m.Command), MeterDelete)
	}
	if m.Command == MeterDelete { // the number says it all; as in Open vSwitch the rest is not looked at
		return &MeterMod{Command: m.Command, Meter: m.Meter}, nil
	}
	if m.Flags&^meterFlagsAll != 0 || m.Flags&MeterKbps != 0 && m.Flags&MeterPktps != 0 {
		return nil, Errorf(ErrMeterModFailed, MMFCBadFlags, "flags 0x%x: expected kbps or pktps, and of burst and stats what is wanted", uint16(m.Flags))
	}
	var err error
	m.Bands, err = readBands(b[16:])
	return m, err
}

// readBands wants bands of 16 bytes: all types have that size, the experimenter's at least.
func readBands(b []byte) (list []Band, err error) {
	for len(b) > 0 {
		n := 0
		if len(b) >= 16 {
			n = int(u16(b, 2))
		}
		if n < 16 || n > len(b) || n%8 != 0 {
			return nil, Errorf(ErrBadRequest, BRCBadLen, "meter band says %d bytes, expected 16 of the %d left", n, len(b))
		}
		k := Band{Type: BandType(u16(b, 0)), Rate: u32(b, 4), Burst: u32(b, 8)}
		switch k.Type {
		case BandDrop:
		case BandDSCPRemark:
			k.PrecLevel = b[12]
		case BandExperimenter:
			return nil, Errorf(ErrMeterModFailed, MMFCBadBand, "no meter bands of experimenter 0x%08x", u32(b, 12))
		default:
			return nil, Errorf(ErrMeterModFailed, MMFCBadBand, "no meter band type %d", uint16(k.Type))
		}
		if n != 16 {
			return nil, Errorf(ErrBadRequest, BRCBadLen, "%s band of %d bytes, expected 16", k.Type, n)
		}
		list = append(list, k)
		b = b[n:]
	}
	return list, nil
}

// MeterRequest names the meter (or MeterAll) of a METER or METER_CONFIG request.
type MeterRequest struct{ Meter uint32 }

func (r *MeterRequest) appendRecord(b []byte) []byte { return appendZeros(append32(b, r.Meter), 4) }

// BandStats counts what a band acted on.
type BandStats struct{ PacketCount, ByteCount uint64 }

// MeterStatistics are the counters of one meter (section 7.3.5.12).
type MeterStatistics struct {
	Meter                     uint32
	FlowCount                 uint32
	PacketCount, ByteCount    uint64 // what went in
	DurationSec, DurationNsec uint32
	Bands                     []BandStats
}

func (s *MeterStatistics) appendRecord(b []byte) []byte {
	b = appendZeros(append16(append32(b, s.Meter), uint16(40+16*len(s.Bands))), 6)
	b = append64(append64(append32(b, s.FlowCount), s.PacketCount), s.ByteCount)
	b = append32(append32(b, s.DurationSec), s.DurationNsec)
	for _, k := range s.Bands {
		b = append64(append64(b, k.PacketCount), k.ByteCount)
	}
	return b
}

func readMeterStatistics(b []byte) (Record, error) {
	s := &MeterStatistics{Meter: u32(b, 0), FlowCount: u32(b, 12), PacketCount: u64(b, 16), ByteCount: u64(b, 24), DurationSec: u32(b, 32), DurationNsec: u32(b, 36)}
	if (len(b)-40)%16 != 0 {
		return nil, badLen("meter statistics", len(b), 40+(len(b)-40)/16*16)
	}
	for b = b[40:]; len(b) > 0; b = b[16:] {
		s.Bands = append(s.Bands, BandStats{u64(b, 0), u64(b, 8)})
	}
	return s, nil
}

func (s *MeterStatistics) String() string {
	return fmt.Sprintf("meter=%s flows=%d packets=%d bytes=%d duration=%d.%09ds bands=%v", meterName(s.Meter), s.FlowCount, s.PacketCount, s.ByteCount, s.DurationSec, s.DurationNsec, s.Bands)
}

// MeterConfig gives a meter back as it was made (section 7.3.5.13).
type MeterConfig struct {
	Flags MeterFlags
	Meter uint32
	Bands []Band
}

func (c *MeterConfig) appendRecord(b []byte) []byte {
	b = append32(append16(append16(b, uint16(8+16*len(c.Bands))), uint16(c.Flags)), c.Meter)
	return appendBands(b, c.Bands)
}

func readMeterConfig(b []byte) (Record, error) {
	c := &MeterConfig{Flags: MeterFlags(u16(b, 2)), Meter: u32(b, 4)}
	var err error
	c.Bands, err = readBands(b[8:])
	return c, err
}

func (c *MeterConfig) String() string {
	return fmt.Sprintf("meter=%s flags=%s%s", meterName(c.Meter), c.Flags, bandsText(c.Bands))
}

// MeterFeatures says what meters can do (section 7.3.5.14).
type MeterFeatures struct {
	MaxMeters    uint32
	BandTypes    uint32 // 1<<BandType
	Capabilities MeterFlags
	MaxBands     uint8
	MaxColor     uint8
}

func (f *MeterFeatures) appendRecord(b []byte) []byte {
	b = append32(append32(append32(b, f.MaxMeters), f.BandTypes), uint32(f.Capabilities))
	return append(b, f.MaxBands, f.MaxColor, 0, 0)
}

func readMeterFeatures(b []byte) *MeterFeatures {
	return &MeterFeatures{MaxMeters: u32(b, 0), BandTypes: u32(b, 4), Capabilities: MeterFlags(u32(b, 8)), MaxBands: b[12], MaxColor: b[13]}
}

func (f *MeterFeatures) String() string {
	return fmt.Sprintf("max_meters=%d band_types=0x%x capabilities=%s max_bands=%d max_color=%d", f.MaxMeters, f.BandTypes, f.Capabilities, f.MaxBands, f.MaxColor)
}
