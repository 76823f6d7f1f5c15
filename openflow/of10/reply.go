package of10

import (
	"github.com/weirswitch/weir/openflow"
)

func decodeFeatures(b []byte) (openflow.Message, error) {
	if len(b) < 32 || (len(b)-32)%portSize != 0 {
		return nil, badLen("FEATURES_REPLY", len(b), 32)
	}
	m := &openflow.FeaturesReply{DatapathID: u64(b, 8), NBuffers: u32(b, 16), NTables: b[20], Capabilities: openflow.Capabilities(u32(b, 24) & sameCapabilities)}
	for b = b[32:]; len(b) > 0; b = b[portSize:] {
		m.Ports = append(m.Ports, readPort(b))
	}
	return m, nil
}

// readPort reads an ofp_phy_port.
func readPort(b []byte) (p openflow.Port) {
	p.No = widen(u16(b, 0))
	copy(p.HWAddr[:], b[2:])
	p.Name = cstring(b[8:24])
	p.Config = openflow.PortConfig(u32(b, 24)) & configBits
	p.State = openflow.PortLive
	if u32(b, 28)&stateLinkDown != 0 {
		p.State = openflow.PortLinkDown
	}
	p.State |= openflow.PortState(u32(b, 28) & stateSTP)
	p.Curr, p.Advertised = featuresIn(u32(b, 32)), featuresIn(u32(b, 36))
	p.Supported, p.Peer = featuresIn(u32(b, 40)), featuresIn(u32(b, 44))
	p.CurrSpeed, p.MaxSpeed = speed(p.Curr), speed(p.Supported)
	return p
}

func decodePacketIn(b []byte) (openflow.Message, error) {
	if len(b) < 18 {
		return nil, badLen("PACKET_IN", len(b), 18)
	}
	return &openflow.PacketIn{
		BufferID: u32(b, 8), TotalLen: u16(b, 12), Reason: openflow.PacketInReason(b[16]), Cookie: ^uint64(0),
		Match: openflow.NewMatch(openflow.Exact(openflow.InPort, uint64(widen(u16(b, 14))))), Data: b[18:],
	}, nil
}

func decodeFlowRemoved(b []byte) (openflow.Message, error) {
	if len(b) != flowRemovedSize {
		return nil, badLen("FLOW_REMOVED", len(b), flowRemovedSize)
	}
	m := &openflow.FlowRemoved{
		Cookie: u64(b, 48), Priority: u16(b, 56), Reason: openflow.FlowRemovedReason(b[58]), TableID: openflow.TableAll, DurationSec: u32(b, 60), DurationNsec: u32(b, 64),
		IdleTimeout: u16(b, 68), PacketCount: u64(b, 72), ByteCount: u64(b, 80),
	}
	m.Match, _ = decodeMatch(b[8:])
	return m, nil
}

func decodeFlowRemovedNX(b []byte) (openflow.Message, error) {
	if len(b) < flowRemovedNXLen {
		return nil, badLen("NXT_FLOW_REMOVED", len(b), flowRemovedNXLen)
	}
	m := &openflow.FlowRemoved{
		Cookie: u64(b, 16), Priority: u16(b, 24), Reason: openflow.FlowRemovedReason(b[26]), TableID: b[27] - 1, DurationSec: u32(b, 28),
		DurationNsec: u32(b, 32), IdleTimeout: u16(b, 36), PacketCount: u64(b, 40), ByteCount: u64(b, 48),
	}
	match, _, err := cutMatch(b[flowRemovedNXLen:], int(u16(b, 38)))
	if err != nil {
		return nil, err
	}
	m.Match, _, err = decodeNXM(match)
	return m, err
}

func decodeQueues(b []byte) (openflow.Message, error) {
	if len(b) < 16 {
		return nil, badLen("QUEUE_GET_CONFIG_REPLY", len(b), 16)
	}
	m := &openflow.QueueGetConfigReply{Port: widen(u16(b, 8))}
	for b = b[16:]; len(b) > 0; {
		n := 0
		if len(b) >= 8 {
			n = int(u16(b, 4))
		}
		if n < 8 || n > len(b) {
			return nil, badLen("queue", n, 8)
		}
		q := openflow.Queue{ID: u32(b, 0), Port: m.Port, MinRate: openflow.RateUnset, MaxRate: openflow.RateUnset}
		for p := b[8:n]; len(p) > 0; {
			size := 0
			if len(p) >= 8 {
				size = int(u16(p, 2))
			}
			if size < 8 || size > len(p) {
				return nil, badLen("queue property", size, 8)
			}
			switch kind := u16(p, 0); {
			case kind == 1 && size == 16:
				q.MinRate = u16(p, 8)
			case kind == 2 && size == 16:
				q.MaxRate = u16(p, 8)
			}
			p = p[size:]
		}
		m.Queues = append(m.Queues, q)
		b = b[n:]
	}
	return m, nil
}

// decodeStatsReply reads a part of a statistics reply.
func (s *Session) decodeStatsReply(b []byte) (openflow.Message, error) {
	t, nicira, err := statsKind(b)
	if err != nil {
		return nil, err
	}
	m := &openflow.MultipartReply{Type: t, More: u16(b, 10)&1 != 0}
	body := b[statsHeader:]
	if nicira {
		body = b[statsNXHeader:]
	}
	for len(body) > 0 {
		n, err := recordSize(t, nicira, body)
		if err != nil {
			return nil, err
		}
		r, err := s.readRecord(t, nicira, body[:n:n])
		if err != nil {
			return nil, err
		}
		m.Records = append(m.Records, r)
		body = body[n:]
	}
	return m, nil
}

// fixedSizes are the records of one length.
var fixedSizes = map[openflow.MultipartType]int{
	openflow.MultipartDesc: 1056, openflow.MultipartAggregate: 24, openflow.MultipartTable: 64, openflow.MultipartPortStats: 104,
	openflow.MultipartQueue: 32, openflow.MultipartPortDesc: portSize, openflow.MultipartGroupFeatures: 40,
}

// recordSize is the length of the record at the start of b.
func recordSize(t openflow.MultipartType, nicira bool, b []byte) (int, error) {
	least, ok := fixedSizes[t]
	n := least
	if !ok {
		switch {
		case t == openflow.MultipartFlow && nicira:
			least = flowStatsNXSize
		case t == openflow.MultipartFlow:
			least = flowStatsSize
		case t == openflow.MultipartFlowMonitor:
			least = 8
		case t == openflow.MultipartGroup:
			least = 40
		default:
			least = 16
		}
		if len(b) >= least {
			n = int(u16(b, 0))
		}
	}
	if n < least || n > len(b) {
		return 0, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadLen, "%s record of %d bytes: expected %d or more, %d are left", t, n, least, len(b))
	}
	return n, nil
}

func (s *Session) readRecord(t openflow.MultipartType, nicira bool, b []byte) (openflow.Record, error) {
	switch t {
	case openflow.MultipartFlow:
		if nicira {
			return s.readFlowStatsNX(b)
		}
		return s.readFlowStats(b)
	case openflow.MultipartFlowMonitor:
		return s.readUpdate(b)
	case openflow.MultipartTable:
		return &openflow.TableStats{TableID: b[0], Name: cstring(b[4:36]), MaxEntries: u32(b, 40), ActiveCount: u32(b, 44),
			LookupCount: u64(b, 48), MatchedCount: u64(b, 56)}, nil
	case openflow.MultipartPortStats:
		s := &openflow.PortStats{Port: widen(u16(b, 0))}
		for i, p := range [...]*uint64{&s.RxPackets, &s.TxPackets, &s.RxBytes, &s.TxBytes, &s.RxDropped, &s.TxDropped,
			&s.RxErrors, &s.TxErrors, &s.RxFrameErr, &s.RxOverErr, &s.RxCRCErr, &s.Collides} {
			*p = u64(b, 8+8*i)
		}
		s.DurationSec, s.DurationNsec = ^uint32(0), ^uint32(0) // not known
		return s, nil
	case openflow.MultipartQueue:
		return &openflow.QueueStats{Port: widen(u16(b, 0)), Queue: u32(b, 4), TxBytes: u64(b, 8), TxPackets: u64(b, 16), TxErrors: u64(b, 24),
			DurationSec: ^uint32(0), DurationNsec: ^uint32(0)}, nil
	case openflow.MultipartPortDesc:
		p := readPort(b)
		return &p, nil
	case openflow.MultipartGroupDesc:
		return s.readGroupDesc(b)
	}
	return readSameRecord(t, b)
}

// readSameRecord reads a record that looks as in 1.3.
func readSameRecord(t openflow.MultipartType, b []byte) (openflow.Record, error) {
	msg := openflow.Append(nil, 0, &openflow.MultipartReply{Type: t})
	msg = append(msg, b...)
	put16(msg, 2, uint16(len(msg)))
	m, _, err := openflow.Decode(msg)
	if err != nil {
		return nil, err
	}
	return m.(*openflow.MultipartReply).Records[0], nil
}

func (s *Session) readFlowStats(b []byte) (openflow.Record, error) {
	f := &openflow.FlowStats{
		TableID: b[2], DurationSec: u32(b, 44), DurationNsec: u32(b, 48), Priority: u16(b, 52), IdleTimeout: u16(b, 54), HardTimeout: u16(b, 56),
		Cookie: u64(b, 64), PacketCount: u64(b, 72), ByteCount: u64(b, 80),
	}
	f.Match, _ = decodeMatch(b[4:])
	return f, s.readEntryActions(f, b[flowStatsSize:])
}

func (s *Session) readFlowStatsNX(b []byte) (openflow.Record, error) {
	f := &openflow.FlowStats{
		TableID: b[2], DurationSec: u32(b, 4), DurationNsec: u32(b, 8), Priority: u16(b, 12), IdleTimeout: u16(b, 14), HardTimeout: u16(b, 16),
		IdleAge: u16(b, 20), HardAge: u16(b, 22), Cookie: u64(b, 24), PacketCount: u64(b, 32), ByteCount: u64(b, 40),
	}
	match, rest, err := cutMatch(b[flowStatsNXSize:], int(u16(b, 18)))
	if err != nil {
		return nil, err
	}
	if f.Match, _, err = decodeNXM(match); err != nil {
		return nil, err
	}
	return f, s.readEntryActions(f, rest)
}

func (s *Session) readEntryActions(f *openflow.FlowStats, b []byte) error {
	r, err := s.decodeActions(b, f.Match)
	if err != nil {
		return err
	}
	list, err := r.actions()
	if err == nil && !list.IsEmpty() {
		f.Instructions = openflow.NewInstructions(openflow.Instruction{Type: openflow.InstructionApplyActions, Actions: list})
	}
	return err
}

func (s *Session) readGroupDesc(b []byte) (openflow.Record, error) {
	d := &openflow.GroupDesc{Type: openflow.GroupType(b[2]), Group: u32(b, 4)}
	n := int(u16(b, 8))
	if 16+n > len(b) {
		return nil, groupError(openflow.GMFCBadBucket, "buckets of %d bytes where %d are left", n, len(b)-16)
	}
	var err error
	d.Buckets, err = s.decodeBuckets(b[16:16+n], d.Type)
	return d, err
}
