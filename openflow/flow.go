package openflow

// FlowModCommand says what FLOW_MOD does (section 7.3.4.1).
type FlowModCommand uint8

// The commands.
const (
	FlowAdd FlowModCommand = iota
	FlowModify
	FlowModifyStrict
	FlowDelete
	FlowDeleteStrict
)

// FlowModFlags are the OFPFF bits.
type FlowModFlags uint16

// The flags.
const (
	FlowSendRemoved    FlowModFlags = 1 << 0
	FlowCheckOverlap   FlowModFlags = 1 << 1
	FlowResetCounts    FlowModFlags = 1 << 2
	FlowNoPacketCounts FlowModFlags = 1 << 3
	FlowNoByteCounts   FlowModFlags = 1 << 4

	flowFlagsAll = FlowSendRemoved | FlowCheckOverlap | FlowResetCounts | FlowNoPacketCounts | FlowNoByteCounts
)

// TableAll means every table, in deletes and in requests for statistics.
const TableAll uint8 = 0xff

// NoBuffer says that a message carries its frame itself (OFP_NO_BUFFER).
const NoBuffer uint32 = 0xffffffff

// FlowMod adds, changes or deletes flow entries (section 7.3.4.1). OutPort and OutGroup count for
// deletes only. Match and Instructions share the message's memory after Decode.
type FlowMod struct {
	Cookie       uint64
	CookieMask   uint64 // which bits of Cookie a modify or delete compares
	TableID      uint8
	Command      FlowModCommand
	IdleTimeout  uint16 // seconds; zero: none
	HardTimeout  uint16 // seconds; zero: none
	Priority     uint16
	BufferID     uint32
	OutPort      PortNo
	OutGroup     uint32
	Flags        FlowModFlags
	Match        Match
	Instructions Instructions

	// Loose is set for what OpenFlow 1.0 means and 1.3 cannot say. It is never sent.
	Loose *Loose

	checked bool // by Decode
}

// Loose is the older way with a FLOW_MOD: an action that does not fit a frame leaves the frame alone,
// whatever the match says of it; and a modify that finds no entry adds one.
type Loose struct {
	NewCookie uint64 // what a modify gives to the entries it finds; all ones: they keep theirs
}

// Check judges match and, but in a delete, instructions, unless Decode has done so: a decoded message whose
// match or instructions were changed is to be checked in them.
func (m *FlowMod) Check() error {
	if m.checked {
		return nil
	}
	if err := m.Match.Check(); err != nil || m.Command >= FlowDelete {
		return err // "the instructions field is ignored"
	}
	return m.Instructions.Check()
}

// MsgType is TypeFlowMod.
func (*FlowMod) MsgType() Type { return TypeFlowMod }

// maxFlowBody bounds match and instructions of one entry: in a FLOW reply they stand behind 64
// bytes (multipart header and entry), 16 more than in the FLOW_MOD that brought them.
const maxFlowBody = MaxMessage - 64

func (m *FlowMod) appendBody(b []byte) []byte {
	b = append64(append64(b, m.Cookie), m.CookieMask)
	b = append(b, m.TableID, uint8(m.Command))
	b = append16(append16(append16(b, m.IdleTimeout), m.HardTimeout), m.Priority)
	b = append32(append32(append32(b, m.BufferID), uint32(m.OutPort)), m.OutGroup)
	b = appendZeros(append16(b, uint16(m.Flags)), 2)
	return append(appendMatch(b, m.Match), m.Instructions.b...)
}

func decodeFlowMod(b []byte) (Message, error) {
	m := new(FlowMod)
	if err := m.decode(b); err != nil {
		return nil, err
	}
	return m, nil
}

// decode fills an empty message.
func (m *FlowMod) decode(b []byte) (err error) {
	if len(b) < 56 {
		return badLen("FLOW_MOD", len(b), 56)
	}
	if len(b)-48 > maxFlowBody {
		return Errorf(ErrBadRequest, BRCBadLen, "match and instructions of %d bytes would not fit a FLOW reply, the limit is %d", len(b)-48, maxFlowBody)
	}
	m.Cookie, m.CookieMask, m.TableID, m.Command = u64(b, 8), u64(b, 16), b[24], FlowModCommand(b[25])
	m.IdleTimeout, m.HardTimeout, m.Priority, m.BufferID = u16(b, 26), u16(b, 28), u16(b, 30), u32(b, 32)
	m.OutPort, m.OutGroup, m.Flags = PortNo(u32(b, 36)), u32(b, 40), FlowModFlags(u16(b, 44))
	if m.Command > FlowDeleteStrict {
		return Errorf(ErrFlowModFailed, FMFCBadCommand, "command %d, the highest is %d", m.Command, FlowDeleteStrict)
	}
	if bad := m.Flags &^ flowFlagsAll; bad != 0 {
		return Errorf(ErrFlowModFailed, FMFCBadFlags, "flags 0x%x are not defined", uint16(bad))
	}
	var at int
	if m.Match, at, err = decodeMatch(b, 48); err != nil {
		return err
	}
	if at < len(b) {
		m.Instructions.b = b[at:len(b):len(b)]
	}
	if err = checkInstructions(m.Instructions.b); err != nil {
		return err
	}
	m.Instructions.unmark()
	m.checked = true
	return nil
}

// FlowRemovedReason says why an entry went (section 7.4.2).
type FlowRemovedReason uint8

// The reasons.
const (
	RemovedIdleTimeout FlowRemovedReason = iota
	RemovedHardTimeout
	RemovedDelete
	RemovedGroupDelete
)

// FlowRemoved tells controllers that an entry with FlowSendRemoved has gone (section 7.4.2).
type FlowRemoved struct {
	Cookie       uint64
	Priority     uint16
	Reason       FlowRemovedReason
	TableID      uint8
	DurationSec  uint32
	DurationNsec uint32
	IdleTimeout  uint16
	HardTimeout  uint16
	PacketCount  uint64
	ByteCount    uint64
	Match        Match
}

// MsgType is TypeFlowRemoved.
func (*FlowRemoved) MsgType() Type { return TypeFlowRemoved }

func (m *FlowRemoved) appendBody(b []byte) []byte {
	b = append16(append64(b, m.Cookie), m.Priority)
	b = append(b, uint8(m.Reason), m.TableID)
	b = append32(append32(b, m.DurationSec), m.DurationNsec)
	b = append16(append16(b, m.IdleTimeout), m.HardTimeout)
	b = append64(append64(b, m.PacketCount), m.ByteCount)
	return appendMatch(b, m.Match)
}

func decodeFlowRemoved(b []byte) (Message, error) {
	if len(b) < 56 {
		return nil, badLen("FLOW_REMOVED", len(b), 56)
	}
	m := &FlowRemoved{
		Cookie: u64(b, 8), Priority: u16(b, 16), Reason: FlowRemovedReason(b[18]), TableID: b[19],
		DurationSec: u32(b, 20), DurationNsec: u32(b, 24), IdleTimeout: u16(b, 28), HardTimeout: u16(b, 30),
		PacketCount: u64(b, 32), ByteCount: u64(b, 40),
	}
	return m, lastMatch(&m.Match, b, 48)
}

// lastMatch reads a match that must end the message.
func lastMatch(m *Match, b []byte, at int) error {
	got, next, err := decodeMatch(b, at)
	if err != nil {
		return err
	}
	if next != len(b) {
		return Errorf(ErrBadRequest, BRCBadLen, "%d bytes behind the match", len(b)-next)
	}
	*m = got
	return nil
}

// FlowStatsRequest selects entries, for FLOW and for AGGREGATE (sections 7.3.5.2 and 7.3.5.3).
type FlowStatsRequest struct {
	TableID    uint8 // TableAll: every table
	OutPort    PortNo
	OutGroup   uint32
	Cookie     uint64
	CookieMask uint64
	Match      Match
}

// AllFlows is the request that every entry meets.
func AllFlows() *FlowStatsRequest {
	return &FlowStatsRequest{TableID: TableAll, OutPort: PortAny, OutGroup: GroupAny}
}

func (r *FlowStatsRequest) appendRecord(b []byte) []byte {
	b = appendZeros(append(b, r.TableID), 3)
	b = appendZeros(append32(append32(b, uint32(r.OutPort)), r.OutGroup), 4)
	return appendMatch(append64(append64(b, r.Cookie), r.CookieMask), r.Match)
}

func readFlowStatsRequest(b []byte) (*FlowStatsRequest, error) {
	if len(b) < 40 {
		return nil, badLen("body of a FLOW or AGGREGATE request", len(b), 40)
	}
	r := &FlowStatsRequest{TableID: b[0], OutPort: PortNo(u32(b, 4)), OutGroup: u32(b, 8), Cookie: u64(b, 16), CookieMask: u64(b, 24)}
	return r, lastMatch(&r.Match, b, 32)
}

// FlowStats is one entry of a FLOW reply (section 7.3.5.2).
type FlowStats struct {
	TableID      uint8
	DurationSec  uint32
	DurationNsec uint32
	Priority     uint16
	IdleTimeout  uint16
	HardTimeout  uint16
	Flags        FlowModFlags
	Cookie       uint64
	PacketCount  uint64
	ByteCount    uint64
	Match        Match
	Instructions Instructions

	// IdleAge and HardAge are the seconds since the last frame and since the last change, plus one; 0: not
	// known. 1.3 does not send them.
	IdleAge, HardAge uint16
}

func (s *FlowStats) appendRecord(b []byte) []byte {
	start := len(b)
	b = append(append16(b, 0), s.TableID, 0)
	b = append32(append32(b, s.DurationSec), s.DurationNsec)
	b = append16(append16(append16(append16(b, s.Priority), s.IdleTimeout), s.HardTimeout), uint16(s.Flags))
	b = appendZeros(b, 4)
	b = append64(append64(append64(b, s.Cookie), s.PacketCount), s.ByteCount)
	b = append(appendMatch(b, s.Match), s.Instructions.b...)
	put16(b, start, uint16(len(b)-start))
	return b
}

// readFlowStats wants at least 56 bytes, of which the record fills all.
func readFlowStats(b []byte) (s FlowStats, err error) {
	s = FlowStats{
		TableID: b[2], DurationSec: u32(b, 4), DurationNsec: u32(b, 8), Priority: u16(b, 12), IdleTimeout: u16(b, 14),
		HardTimeout: u16(b, 16), Flags: FlowModFlags(u16(b, 18)), Cookie: u64(b, 24), PacketCount: u64(b, 32), ByteCount: u64(b, 40),
	}
	var at int
	if s.Match, at, err = decodeMatch(b, 48); err != nil {
		return s, err
	}
	if at < len(b) {
		s.Instructions.b = b[at:len(b):len(b)]
	}
	return s, checkInstructions(s.Instructions.b)
}

// AggregateStats sums over the entries that the request selects (section 7.3.5.3).
type AggregateStats struct {
	PacketCount uint64
	ByteCount   uint64
	FlowCount   uint32
}

func (s *AggregateStats) appendRecord(b []byte) []byte {
	return appendZeros(append32(append64(append64(b, s.PacketCount), s.ByteCount), s.FlowCount), 4)
}
