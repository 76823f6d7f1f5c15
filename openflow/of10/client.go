package of10

import (
	"fmt"
	"slices"

	"github.com/weirswitch/weir/openflow"
)

// Prepare gives a message that must have been obeyed before m is understood as it is meant, or nil when there is
// none (any more). They are Nicira's, ask for NXM and for tables in FLOW_MODs, and each is given once in a session. A
// peer that refuses the first has OpenFlow 1.0 alone: set Plain.
func (s *Session) Prepare(m openflow.Message) *openflow.Experimenter {
	f, isMod := m.(*openflow.FlowMod)
	switch {
	case s.Plain:
	case !s.prepared && speaksNXM(m):
		s.prepared = true
		return &openflow.Experimenter{Experimenter: openflow.ExperimenterNicira, ExpType: nxtSetFlowFormat, Data: []byte{0, 0, 0, formatNXM}}
	case isMod && s.needsTable(f):
		s.tableInCommand = true
		return &openflow.Experimenter{Experimenter: openflow.ExperimenterNicira, ExpType: nxtFlowModTableID, Data: []byte{1, 0, 0, 0, 0, 0, 0, 0}}
	}
	return nil
}

// AsksForNXM reports the first of the messages of Prepare.
func AsksForNXM(m *openflow.Experimenter) bool { return m.ExpType == nxtSetFlowFormat }

// speaksNXM reports what 1.0 itself has no words for.
func speaksNXM(m openflow.Message) bool {
	switch m := m.(type) {
	case *openflow.FlowMod:
		return !isPlain(m)
	case *openflow.MultipartRequest:
		return m.Type == openflow.MultipartFlow || m.Type == openflow.MultipartAggregate
	}
	return false
}

// needsTable: an add goes to the first table anyway, and anything else without a table means all of them.
func (s *Session) needsTable(m *openflow.FlowMod) bool {
	return !s.tableInCommand && m.TableID != openflow.TableAll && (m.TableID != 0 || m.Command != openflow.FlowAdd)
}

// AppendRequest writes a message that a controller sends. A FLOW_MOD that 1.0 has no words for is told in NXM,
// and one for a table of several is preceded, once in a session, by the message that asks for tables to be
// read, unless Prepare has given that; with Plain everything is 1.0's own. The error names what cannot be said, and
// then nothing is appended.
func (s *Session) AppendRequest(dst []byte, xid uint32, m openflow.Message) ([]byte, error) {
	start := len(dst)
	if err := s.sayable(m); err != nil {
		return dst, err
	}
	switch m := m.(type) {
	case *openflow.FlowMod:
		if s.needsTable(m) && !s.Plain {
			dst = endMessage(append64(appendNicira(dst, nxtFlowModTableID, xid), 1<<56), start)
			s.tableInCommand, start = true, len(dst)
		}
		dst = s.appendFlowMod(dst, xid, m)
	case *openflow.PacketOut:
		dst = appendPacketOut(appendHeader(dst, Type(openflow.TypePacketOut), xid), m)
	case *openflow.PortMod:
		dst = append(append16(appendHeader(dst, typePortMod, xid), narrow(m.Port)), m.HWAddr[:]...)
		dst = append32(append32(dst, uint32(m.Config)), uint32(m.Mask))
		dst = appendZeros(append32(dst, featuresOut(m.Advertise)), 4)
	case *openflow.MultipartRequest:
		var err error
		if dst, err = s.appendStatsRequest(dst, xid, m); err != nil {
			return dst[:start], err
		}
	case *openflow.GroupMod:
		dst = appendGroupMod(appendNicira(dst, nxtGroupMod, xid), m)
	case *openflow.BarrierRequest:
		dst = appendHeader(dst, typeBarrierRequest, xid)
	case *openflow.QueueGetConfigRequest:
		dst = appendZeros(append16(appendHeader(dst, typeQueueGetRequest, xid), narrow(m.Port)), 2)
	case *openflow.RoleRequest:
		if m.Role == openflow.RoleNoChange {
			return dst, fmt.Errorf("a role can be changed in OpenFlow 1.0, not asked for")
		}
		dst = append32(appendNicira(dst, nxtRoleRequest, xid), roleOut(m.Role))
	case *openflow.SetAsync:
		dst = appendNicira(dst, nxtSetAsync, xid)
		for _, v := range [...]uint32{m.PacketIn[0], m.PacketIn[1], m.PortStatus[0], m.PortStatus[1], m.FlowRemoved[0], m.FlowRemoved[1]} {
			dst = append32(dst, v)
		}
	case *openflow.Hello, *openflow.EchoRequest, *openflow.EchoReply, *openflow.FeaturesRequest, *openflow.GetConfigRequest,
		*openflow.Experimenter, *openflow.Error:
		dst = openflow.Append(dst, xid, m)
		dst[start] = Version
	case *openflow.SetConfig:
		dst = openflow.Append(dst, xid, m)
		dst[start] = Version
		s.addInvalidTTL(dst, start)
	default:
		return dst, fmt.Errorf("OpenFlow 1.0 has no %s: that takes OpenFlow 1.3", m.MsgType())
	}
	return endMessage(dst, start), nil
}

// appendFlowMod writes FLOW_MOD or NXT_FLOW_MOD.
func (s *Session) appendFlowMod(b []byte, xid uint32, m *openflow.FlowMod) []byte {
	command := uint16(m.Command)
	if s.tableInCommand {
		command |= uint16(m.TableID) << 8
	}
	flags := uint16(m.Flags & (openflow.FlowSendRemoved | openflow.FlowCheckOverlap))
	cookie, cookieMask := m.Cookie, m.CookieMask
	if m.Command != openflow.FlowAdd {
		cookie = ^uint64(0) // entries keep theirs
		if m.Loose != nil {
			cookie = m.Loose.NewCookie
		}
	}
	head := func(b []byte) []byte {
		b = append16(append16(append16(append16(b, command), m.IdleTimeout), m.HardTimeout), m.Priority)
		return append16(append16(append32(b, m.BufferID), narrow(m.OutPort)), flags)
	}
	if s.Plain || isPlain(m) {
		b = append64(appendMatch(appendHeader(b, typeFlowMod, xid), m.Match), cookie)
		return AppendRequested(head(b), m.Instructions)
	}
	b = head(append64(appendNicira(b, nxtFlowMod, xid), cookie))
	at := len(b)
	b = appendZeros(b, 8)
	if m.Command == openflow.FlowAdd {
		cookieMask = 0
	}
	b = endCookieMatch(b, at, m.Match, m.Cookie, cookieMask)
	return AppendRequested(b, m.Instructions)
}

// isPlain reports a FLOW_MOD that ofp_flow_mod can say: its match, and no cookie to choose by. A match without any
// wildcard would lose its priority there.
func isPlain(m *openflow.FlowMod) bool {
	whole, ok := plainMatch(m.Match)
	return ok && (!whole || m.Priority == 0xffff) && (m.CookieMask == 0 || m.Command == openflow.FlowAdd)
}

// plainMatch reports whether ofp_match can say all of m, and whether that leaves nothing open.
func plainMatch(m openflow.Match) (whole, ok bool) {
	back, whole := decodeMatch(appendMatch(nil, m))
	n := 0
	for f := range back.All() {
		if g, there := m.Get(f.ID); !there || g != f {
			return whole, false
		}
		n++
	}
	for range m.All() {
		n--
	}
	return whole, n == 0
}

// AppendRequested writes what an entry is to do, as a controller says it.
func AppendRequested(b []byte, list openflow.Instructions) []byte {
	return appendEntry(b, list, appendAsked)
}

// appendAsked writes a list of actions as a controller says it. Other than in what a switch tells, the three actions that an
// ENQUEUE is in 1.3 become one again: a switch without Nicira's actions has only that.
func appendAsked(b []byte, list openflow.Actions) []byte {
	all := slices.Collect(list.All())
	for i := 0; i < len(all); i++ {
		switch {
		case isEnqueue(all[i:]):
			b = appendZeros(append16(append(b, 0, actEnqueue, 0, 16), narrow(all[i+1].Port)), 6)
			b = append32(b, all[i].Queue)
			i += 2
		case i == 0 || !samePort(&all[i-1], &all[i]):
			b = appendAskedAction(b, &all[i])
		}
	}
	return b
}

// appendAskedAction uses Nicira's own actions for fields that have one.
func appendAskedAction(b []byte, a *openflow.Action) []byte {
	v := a.Field.Value.Uint64()
	switch {
	case a.Type != openflow.ActionSetField:
	case a.Field.ID == openflow.TunnelID && v>>32 == 0:
		return append32(appendZeros(appendVendor(b, nxSetTunnel, 16), 2), uint32(v))
	case a.Field.ID == openflow.TunnelID:
		return append64(appendZeros(appendVendor(b, nxSetTunnel64, 24), 6), v)
	case a.Field.ID == openflow.MPLSLabel:
		return append32(appendZeros(appendVendor(b, nxSetMPLSLabel, 16), 2), uint32(v))
	case a.Field.ID == openflow.MPLSTC:
		return appendZeros(append(appendVendor(b, nxSetMPLSTC, 16), uint8(v)), 5)
	}
	return appendAction(b, a)
}

func isEnqueue(list []openflow.Action) bool {
	return len(list) > 2 && list[0].Type == openflow.ActionSetQueue && list[1].Type == openflow.ActionOutput && list[2].Type == openflow.NXPopQueue
}

// endCookieMatch appends an nx_match that may ask for a cookie, and writes its length at at.
func endCookieMatch(b []byte, at int, m openflow.Match, cookie, mask uint64) []byte {
	start := len(b)
	b = appendNXM(b, m)
	switch mask {
	case 0:
	case ^uint64(0):
		b = append64(append(b, 0, 1, nxmCookie&0xff<<1, 8), cookie)
	default:
		b = append64(append64(append(b, 0, 1, nxmCookie&0xff<<1|1, 16), cookie), mask)
	}
	n := len(b) - start
	put16(b, at, uint16(n))
	return appendZeros(b, pad8(n))
}

func appendPacketOut(b []byte, m *openflow.PacketOut) []byte {
	b = append16(append32(b, m.BufferID), narrow(m.InPort))
	at := len(b)
	b = appendAsked(append16(b, 0), m.Actions)
	put16(b, at, uint16(len(b)-at-2))
	return append(b, m.Data...)
}

// appendGroupMod writes the body of NXT_GROUP_MOD.
func appendGroupMod(b []byte, m *openflow.GroupMod) []byte {
	b = append32(append(append16(b, uint16(m.Command)), uint8(m.Type), 0), m.Group)
	at := len(b)
	b = append32(appendZeros(b, 4), bucketAll)
	start := len(b)
	for i := range m.Buckets {
		b = appendBucket(b, m.Type, uint32(i), &m.Buckets[i])
	}
	put16(b, at, uint16(len(b)-start))
	return b
}

// appendStatsRequest writes a request for statistics.
func (s *Session) appendStatsRequest(b []byte, xid uint32, m *openflow.MultipartRequest) ([]byte, error) {
	kind, subtype := uint16(m.Type), uint32(0)
	switch m.Type {
	case openflow.MultipartFlow, openflow.MultipartAggregate:
		if subtype = uint32(m.Type) - 1; !s.Plain {
			kind = statsVendor
		}
	case openflow.MultipartFlowMonitor:
		kind, subtype = statsVendor, nxstFlowMonitor
	case openflow.MultipartGroup:
		kind, subtype = statsVendor, nxstGroup
	case openflow.MultipartGroupDesc:
		kind, subtype = statsVendor, nxstGroupDesc
	case openflow.MultipartGroupFeatures:
		kind, subtype = statsVendor, nxstGroupFeatures
	case openflow.MultipartDesc, openflow.MultipartTable, openflow.MultipartPortStats, openflow.MultipartQueue, openflow.MultipartPortDesc:
	default:
		return b, fmt.Errorf("OpenFlow 1.0 has no %s statistics: that takes OpenFlow 1.3", m.Type)
	}
	b = appendZeros(append16(appendHeader(b, typeStatsRequest, xid), kind), 2)
	if kind == statsVendor {
		b = appendZeros(append32(append32(b, openflow.ExperimenterNicira), subtype), 4)
	}
	if m.Type == openflow.MultipartGroupDesc && len(m.Records) == 0 {
		return appendZeros(append32(b, openflow.GroupAll), 4), nil
	}
	for _, r := range m.Records {
		switch r := r.(type) {
		case *openflow.FlowStatsRequest:
			b = s.appendFlowRequest(b, r)
		case *openflow.FlowMonitorRequest:
			b = appendMonitor(b, r)
		case *openflow.PortStatsRequest:
			b = appendZeros(append16(b, narrow(r.Port)), 6)
		case *openflow.QueueStatsRequest:
			port := narrow(r.Port)
			if r.Port == openflow.PortAny {
				port = narrow(openflow.PortAll)
			}
			b = append32(appendZeros(append16(b, port), 2), r.Queue)
		case *openflow.GroupStatsRequest:
			b = appendZeros(append32(b, r.Group), 4)
		}
	}
	return b, nil
}

func (s *Session) appendFlowRequest(b []byte, r *openflow.FlowStatsRequest) []byte {
	if s.Plain {
		return append16(append(appendMatch(b, r.Match), r.TableID, 0), narrow(r.OutPort))
	}
	b = append16(b, narrow(r.OutPort))
	at := len(b)
	b = appendZeros(append(append16(b, 0), r.TableID), 3)
	return endCookieMatch(b, at, r.Match, r.Cookie, r.CookieMask)
}

// DecodeReply reads one message that a switch sent.
func (s *Session) DecodeReply(b []byte) (m openflow.Message, xid uint32, err error) {
	h, err := readHeader(b)
	if err != nil {
		return nil, h.XID, err
	}
	switch t := Type(h.Type); t {
	case Type(openflow.TypeFeaturesReply):
		m, err = decodeFeatures(b)
	case Type(openflow.TypeGetConfigReply):
		m, err = s.decodeConfig(b)
	case Type(openflow.TypePacketIn):
		m, err = decodePacketIn(b)
	case Type(openflow.TypeFlowRemoved):
		m, err = decodeFlowRemoved(b)
	case Type(openflow.TypePortStatus):
		if len(b) != 16+portSize {
			return nil, h.XID, badLen("PORT_STATUS", len(b), 16+portSize)
		}
		m = &openflow.PortStatus{Reason: openflow.PortReason(b[8]), Port: readPort(b[16:])}
	case typeStatsReply:
		m, err = s.decodeStatsReply(b)
	case typeBarrierReply:
		m, err = headerOnly(b, &openflow.BarrierReply{})
	case typeQueueGetReply:
		m, err = decodeQueues(b)
	case typeVendor:
		m, err = decodeVendorReply(b)
	default:
		m, err = decodeEither(b, t)
	}
	if err != nil {
		return nil, h.XID, err
	}
	return m, h.XID, nil
}

func decodeVendorReply(b []byte) (openflow.Message, error) {
	if len(b) < niciraHeader {
		return nil, badLen("VENDOR", len(b), niciraHeader)
	}
	who, subtype, body := u32(b, 8), u32(b, 12), b[niciraHeader:]
	switch {
	case who != openflow.ExperimenterNicira:
	case subtype == nxtRoleReply && len(body) == 4:
		return &openflow.RoleReply{Role: openflow.Role(u32(body, 0) + 1), GenerationID: openflow.GenerationUnset}, nil
	case subtype == nxtFlowRemoved:
		return decodeFlowRemovedNX(b)
	}
	return &openflow.Experimenter{Experimenter: who, ExpType: subtype, Data: body}, nil
}
