package of10

import (
	"github.com/weirswitch/weir/openflow"
)

// The kinds of statistics.
const (
	statsDesc      = 0
	statsFlow      = 1
	statsAggregate = 2
	statsTable     = 3
	statsPort      = 4
	statsQueue     = 5
	statsPortDesc  = 13 // later than 1.0; Open vSwitch and its tools use it there
	statsVendor    = 0xffff

	// Subtypes of Nicira's.
	nxstFlow          = 0
	nxstAggregate     = 1
	nxstFlowMonitor   = 2
	nxstGroupDesc     = 8
	nxstGroup         = 7
	nxstGroupFeatures = 9

	statsHeader   = 12
	statsNXHeader = 24
	flowReqSize   = 44
)

// statsKind says what a request of 1.0 is in 1.3's numbers, and whether it is Nicira's.
func statsKind(b []byte) (t openflow.MultipartType, nicira bool, err error) {
	if len(b) < statsHeader {
		return 0, false, badLen("statistics message", len(b), statsHeader)
	}
	switch kind := u16(b, 8); kind {
	case statsDesc, statsFlow, statsAggregate, statsTable, statsPort, statsQueue, statsPortDesc:
		return openflow.MultipartType(kind), false, nil
	case statsVendor:
	default:
		return 0, false, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadMultipart, "no statistics of type %d in OpenFlow 1.0", kind)
	}
	if len(b) < statsNXHeader-4 {
		return 0, true, badLen("a vendor's statistics message", len(b), statsNXHeader-4)
	}
	if vendor := u32(b, 12); vendor != openflow.ExperimenterNicira {
		return 0, true, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadExperimenter, "no statistics of vendor 0x%08x", vendor)
	}
	if len(b) < statsNXHeader {
		return 0, true, badLen("Nicira statistics message", len(b), statsNXHeader)
	}
	switch subtype := u32(b, 16); subtype {
	case nxstFlow:
		return openflow.MultipartFlow, true, nil
	case nxstAggregate:
		return openflow.MultipartAggregate, true, nil
	case nxstFlowMonitor:
		return openflow.MultipartFlowMonitor, true, nil
	case nxstGroupDesc:
		return openflow.MultipartGroupDesc, true, nil
	case nxstGroup:
		return openflow.MultipartGroup, true, nil
	case nxstGroupFeatures:
		return openflow.MultipartGroupFeatures, true, nil
	default:
		return 0, true, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadExpType, "no Nicira statistics %d", subtype)
	}
}

// decodeStatsRequest reads a request for statistics. In 1.0 it is always one message.
func decodeStatsRequest(b []byte) (openflow.Message, error) {
	t, nicira, err := statsKind(b)
	if err != nil {
		return nil, err
	}
	m := &openflow.MultipartRequest{Type: t}
	if t == openflow.MultipartFlowMonitor {
		m.Records, err = readMonitors(b[statsNXHeader:])
		return m, err
	}
	if nicira {
		return m, addRequest(m, b[statsNXHeader:], readNXRequest)
	}
	return m, addRequest(m, b[statsHeader:], readRequest)
}

func addRequest(m *openflow.MultipartRequest, body []byte, read func(openflow.MultipartType, []byte) (openflow.Record, error)) error {
	r, err := read(m.Type, body)
	if r != nil && err == nil {
		m.Records = []openflow.Record{r}
	}
	return err
}

// requestSize compares the length of a request's body.
func requestSize(b []byte, want int) error {
	if len(b) != want {
		return badLen("body of a statistics request", len(b), want)
	}
	return nil
}

func readRequest(t openflow.MultipartType, b []byte) (openflow.Record, error) {
	switch t {
	case openflow.MultipartFlow, openflow.MultipartAggregate:
		if err := requestSize(b, flowReqSize); err != nil {
			return nil, err
		}
		r := openflow.AllFlows()
		r.Match, _ = decodeMatch(b)
		r.TableID, r.OutPort = b[40], widen(u16(b, 42))
		return r, nil
	case openflow.MultipartPortStats:
		if err := requestSize(b, 8); err != nil {
			return nil, err
		}
		return &openflow.PortStatsRequest{Port: widen(u16(b, 0))}, nil
	case openflow.MultipartQueue:
		if err := requestSize(b, 8); err != nil {
			return nil, err
		}
		return &openflow.QueueStatsRequest{Port: queuePort(u16(b, 0)), Queue: u32(b, 4)}, nil
	}
	return nil, requestSize(b, 0)
}

// queuePort reads the port of a question about queues: OFPP_ALL asks for every port in 1.0.
func queuePort(p uint16) openflow.PortNo {
	if p == 0xfffc {
		return openflow.PortAny
	}
	return widen(p)
}

func readNXRequest(t openflow.MultipartType, b []byte) (openflow.Record, error) {
	switch t {
	case openflow.MultipartGroup:
		if err := requestSize(b, 8); err != nil {
			return nil, err
		}
		return &openflow.GroupStatsRequest{Group: u32(b, 0)}, nil
	case openflow.MultipartGroupDesc: // of the group asked for, as in 1.5
		if err := requestSize(b, 8); err != nil || u32(b, 0) == openflow.GroupAll {
			return nil, err
		}
		return &openflow.GroupStatsRequest{Group: u32(b, 0)}, nil
	case openflow.MultipartGroupFeatures:
		return nil, requestSize(b, 0)
	}
	if len(b) < 8 {
		return nil, badLen("body of a Nicira FLOW or AGGREGATE request", len(b), 8)
	}
	match, rest, err := cutMatch(b[8:], int(u16(b, 2)))
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadLen, "%d bytes behind the match", len(rest))
	}
	r := openflow.AllFlows()
	r.OutPort, r.TableID = widen(u16(b, 0)), b[4]
	var cookie cookieMatch
	r.Match, cookie, err = decodeNXM(match)
	r.Cookie, r.CookieMask = cookie.value, cookie.mask
	return r, err
}

// Replies is the form of the reply to a request for statistics, whose bytes are given, for
// openflow.NewReplyWriterIn. The request has been decoded without an error.
func (s *Session) Replies(request []byte) openflow.ReplyFormat {
	xid := openflow.ReadHeader(request).XID
	kind := u16(request, 8)
	begin := func(b []byte) []byte {
		return appendZeros(append16(appendHeader(b, typeStatsReply, xid), kind), 2)
	}
	if kind != statsVendor {
		return openflow.ReplyFormat{Begin: begin, Record: appendRecord}
	}
	subtype := u32(request, 16)
	return openflow.ReplyFormat{
		Begin: func(b []byte) []byte {
			return appendZeros(append32(append32(begin(b), openflow.ExperimenterNicira), subtype), 4)
		},
		Record: appendRecordNX,
	}
}

// appendRecord writes a record of OpenFlow 1.0's own statistics.
func appendRecord(b []byte, r openflow.Record) []byte {
	switch r := r.(type) {
	case *openflow.FlowStats:
		return appendFlowStats(b, r)
	case *openflow.AggregateStats:
		return appendAggregate(b, r)
	case *openflow.Desc:
		return appendDesc(b, r)
	case *openflow.TableStats:
		return appendTable(b, r)
	case *openflow.PortStats:
		return appendPortStats(b, r)
	case *openflow.QueueStats:
		b = append32(appendZeros(append16(b, narrow(r.Port)), 2), r.Queue)
		return append64(append64(append64(b, r.TxBytes), r.TxPackets), r.TxErrors)
	case *openflow.Port:
		return appendPort(b, r)
	}
	panic(mustRecord(r))
}

// appendRecordNX writes a record of Nicira's statistics.
func appendRecordNX(b []byte, r openflow.Record) []byte {
	switch r := r.(type) {
	case *openflow.FlowStats:
		return appendFlowStatsNX(b, r)
	case *openflow.AggregateStats:
		return appendAggregate(b, r)
	case *openflow.FlowUpdate:
		return appendUpdate(b, r)
	case *openflow.GroupDesc:
		return appendGroupDesc(b, r)
	case *openflow.GroupFeatures:
		c := *r
		for t := range c.Actions {
			c.Actions[t] = standardActions
		}
		return appendSameRecord(b, &c)
	case *openflow.GroupStats:
		return appendSameRecord(b, r)
	}
	panic(mustRecord(r))
}

func appendAggregate(b []byte, s *openflow.AggregateStats) []byte {
	return appendZeros(append32(append64(append64(b, s.PacketCount), s.ByteCount), s.FlowCount), 4)
}

// appendSameRecord writes a record that looks as in 1.3.
func appendSameRecord(b []byte, r openflow.Record) []byte {
	const header = 16
	one := openflow.Append(nil, 0, &openflow.MultipartReply{Records: []openflow.Record{r}})
	return append(b, one[header:]...)
}

func appendDesc(b []byte, d *openflow.Desc) []byte { return appendSameRecord(b, d) }

// appendTable writes ofp_table_stats: every table can match under any mask.
func appendTable(b []byte, t *openflow.TableStats) []byte {
	b = appendString(appendZeros(append(b, t.TableID), 3), t.Name, 32)
	b = append32(append32(append32(b, wildAll), t.MaxEntries), t.ActiveCount)
	return append64(append64(b, t.LookupCount), t.MatchedCount)
}
