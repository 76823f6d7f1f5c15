package of10

import (
	"github.com/weirswitch/weir/openflow"
)

// Sizes of the structures before what is variable in them.
const (
	flowModSize      = 72
	flowModNXSize    = 48
	flowStatsSize    = 88
	flowStatsNXSize  = 48
	flowRemovedSize  = 88
	flowRemovedNXLen = 56
)

func flowModError(code uint16, format string, args ...any) *openflow.Error {
	return openflow.Errorf(openflow.ErrFlowModFailed, code, format, args...)
}

// decodeFlowMod reads a FLOW_MOD of 1.0.
func (s *Session) decodeFlowMod(b []byte) (openflow.Message, error) {
	if len(b) < flowModSize {
		return nil, badLen("FLOW_MOD", len(b), flowModSize)
	}
	m := &openflow.FlowMod{Cookie: u64(b, 48), BufferID: u32(b, 64), OutPort: widen(u16(b, 68))}
	var whole bool
	m.Match, whole = decodeMatch(b[8:])
	if err := s.flowModHead(m, b[56:], u16(b, 70)); err != nil {
		return nil, err
	}
	if whole {
		m.Priority = 0xffff // a match without wildcards ranks above all others
	}
	return m, s.finishFlowMod(m, b[flowModSize:])
}

// decodeFlowModNX reads NXT_FLOW_MOD.
func (s *Session) decodeFlowModNX(b []byte) (openflow.Message, error) {
	if len(b) < flowModNXSize {
		return nil, badLen("NXT_FLOW_MOD", len(b), flowModNXSize)
	}
	m := &openflow.FlowMod{Cookie: u64(b, 16), BufferID: u32(b, 32), OutPort: widen(u16(b, 36))}
	if err := s.flowModHead(m, b[24:], u16(b, 38)); err != nil {
		return nil, err
	}
	match, rest, err := cutMatch(b[flowModNXSize:], int(u16(b, 40)))
	if err != nil {
		return nil, err
	}
	var cookie cookieMatch
	if m.Match, cookie, err = decodeNXM(match); err != nil {
		return nil, err
	}
	if m.Command != openflow.FlowAdd {
		m.Loose.NewCookie = m.Cookie
		m.Cookie, m.CookieMask = cookie.value, cookie.mask
	} else if cookie.mask != 0 {
		return nil, flowModError(openflow.FMFCUnknown, "an add with a cookie to compare")
	}
	return m, s.finishFlowMod(m, rest)
}

// cutMatch cuts an nx_match of n bytes and its padding off b.
func cutMatch(b []byte, n int) (match, rest []byte, err error) {
	if n+pad8(n) > len(b) {
		return nil, nil, matchError(openflow.BMCBadLen, "match of %d bytes where %d are left", n, len(b))
	}
	return b[:n:n], b[n+pad8(n):], nil
}

// flowModHead reads what both forms have in the same order: command, timeouts, priority; and the flags.
func (s *Session) flowModHead(m *openflow.FlowMod, b []byte, flags uint16) error {
	command, table := u16(b, 0), openflow.TableAll
	if s.tableInCommand {
		command, table = command&0xff, uint8(command>>8)
	}
	if command > uint16(openflow.FlowDeleteStrict) {
		return flowModError(openflow.FMFCBadCommand, "command %d, the highest is %d", command, openflow.FlowDeleteStrict)
	}
	if bad := flags &^ uint16(openflow.FlowSendRemoved|openflow.FlowCheckOverlap); bad != 0 {
		return flowModError(openflow.FMFCBadFlags, "flags 0x%x: expected send_flow_rem (1) and check_overlap (2)", flags)
	}
	m.Command, m.TableID, m.Flags = openflow.FlowModCommand(command), table, openflow.FlowModFlags(flags)
	m.IdleTimeout, m.HardTimeout, m.Priority = u16(b, 2), u16(b, 4), u16(b, 6)
	m.OutGroup = openflow.GroupAny
	if m.Command == openflow.FlowAdd {
		m.Flags |= openflow.FlowResetCounts // an add of 1.0 always does
	}
	m.Loose = &openflow.Loose{NewCookie: m.Cookie}
	if m.Command == openflow.FlowAdd && table == openflow.TableAll {
		m.TableID = 0 // the switch chooses, and chooses the first
	}
	return nil
}

// finishFlowMod reads the actions.
func (s *Session) finishFlowMod(m *openflow.FlowMod, actions []byte) error {
	if m.Command != openflow.FlowDelete && m.Command != openflow.FlowDeleteStrict {
		m.OutPort = openflow.PortAny
	}
	r, err := s.decodeActions(actions, m.Match)
	if err != nil {
		return err
	}
	list, err := r.actions()
	if err != nil {
		return err
	}
	var in []openflow.Instruction
	if !list.IsEmpty() {
		in = append(in, openflow.Instruction{Type: openflow.InstructionApplyActions, Actions: list})
	}
	m.Instructions = openflow.NewInstructions(in...)
	return nil
}

// appendFlowRemoved writes FLOW_REMOVED, or Nicira's when the peer has chosen NXM.
func (s *Session) appendFlowRemoved(b []byte, xid uint32, m *openflow.FlowRemoved) []byte {
	reason := uint8(m.Reason)
	if m.Reason == openflow.RemovedGroupDelete {
		reason = uint8(openflow.RemovedDelete)
	}
	if s.nxm.Load() {
		b = append64(appendNicira(b, nxtFlowRemoved, xid), m.Cookie)
		b = append(append16(b, m.Priority), reason, m.TableID+1)
		b = append16(append32(append32(b, m.DurationSec), m.DurationNsec), m.IdleTimeout)
		at := len(b)
		b = append64(append64(append16(b, 0), m.PacketCount), m.ByteCount)
		return endNXM(b, at, m.Match)
	}
	b = appendMatch(appendHeader(b, Type(openflow.TypeFlowRemoved), xid), m.Match)
	b = append(append16(append64(b, m.Cookie), m.Priority), reason, 0)
	b = appendZeros(append16(append32(append32(b, m.DurationSec), m.DurationNsec), m.IdleTimeout), 2)
	return append64(append64(b, m.PacketCount), m.ByteCount)
}

// endNXM appends a match with its padding and writes its length at at.
func endNXM(b []byte, at int, m openflow.Match) []byte {
	start := len(b)
	b = appendNXM(b, m)
	n := len(b) - start
	put16(b, at, uint16(n))
	return appendZeros(b, pad8(n))
}

// appendFlowStats writes an entry as OFPST_FLOW tells it.
func appendFlowStats(b []byte, f *openflow.FlowStats) []byte {
	start := len(b)
	b = append(append16(b, 0), f.TableID, 0)
	b = appendMatch(b, f.Match)
	b = append16(append32(append32(b, f.DurationSec), f.DurationNsec), f.Priority)
	b = appendZeros(append16(append16(b, f.IdleTimeout), f.HardTimeout), 6)
	b = append64(append64(append64(b, f.Cookie), f.PacketCount), f.ByteCount)
	return endRecord(appendEntryActions(b, unsaidMatch(f.Match), f.Instructions), start)
}

// appendFlowStatsNX writes an entry as NXST_FLOW tells it.
func appendFlowStatsNX(b []byte, f *openflow.FlowStats) []byte {
	start := len(b)
	b = append(append16(b, 0), f.TableID, 0)
	b = append16(append32(append32(b, f.DurationSec), f.DurationNsec), f.Priority)
	b = append16(append16(b, f.IdleTimeout), f.HardTimeout)
	at := len(b)
	b = append16(append16(append16(b, 0), f.IdleAge), f.HardAge)
	b = append64(append64(append64(b, f.Cookie), f.PacketCount), f.ByteCount)
	b = endNXM(b, at, f.Match)
	return endRecord(appendEntryActions(b, unsaidMatch(f.Match), f.Instructions), start)
}

// endRecord writes the length of a record that begins with it.
func endRecord(b []byte, start int) []byte {
	put16(b, start, uint16(len(b)-start))
	return b
}
