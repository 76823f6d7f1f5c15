package openflow

import "fmt"

// MultipartType says what a multipart request asks for (section 7.3.5).
type MultipartType uint16

// The types.
const (
	MultipartDesc          MultipartType = 0
	MultipartFlow          MultipartType = 1
	MultipartAggregate     MultipartType = 2
	MultipartTable         MultipartType = 3
	MultipartPortStats     MultipartType = 4
	MultipartQueue         MultipartType = 5
	MultipartGroup         MultipartType = 6
	MultipartGroupDesc     MultipartType = 7
	MultipartGroupFeatures MultipartType = 8
	MultipartMeter         MultipartType = 9
	MultipartMeterConfig   MultipartType = 10
	MultipartMeterFeatures MultipartType = 11
	MultipartTableFeatures MultipartType = 12
	MultipartPortDesc      MultipartType = 13
	MultipartExperimenter  MultipartType = 0xffff
)

func (t MultipartType) String() string {
	switch t {
	case MultipartExperimenter:
		return "EXPERIMENTER"
	case MultipartFlowMonitor:
		return "FLOW_MONITOR"
	}
	return enumName(int(t), "DESC", "FLOW", "AGGREGATE", "TABLE", "PORT_STATS", "QUEUE", "GROUP", "GROUP_DESC", "GROUP_FEATURES",
		"METER", "METER_CONFIG", "METER_FEATURES", "TABLE_FEATURES", "PORT_DESC")
}

// Record is one item of a multipart body: a pointer to one of
//
//	requests: FlowStatsRequest (FLOW, AGGREGATE), PortStatsRequest, QueueStatsRequest,
//	          GroupStatsRequest, MeterRequest (METER, METER_CONFIG), TableFeatures, ExperimenterRecord
//	replies:  Desc, FlowStats, AggregateStats, TableStats, PortStats, QueueStats, GroupStats, GroupDesc,
//	          GroupFeatures, MeterStatistics, MeterConfig, MeterFeatures, TableFeatures, Port, ExperimenterRecord
type Record interface {
	appendRecord(b []byte) []byte
}

// MultipartRequest asks (section 7.3.5). Records has one element for the types with a body, none
// for the others; TABLE_FEATURES may have any number.
type MultipartRequest struct {
	Type    MultipartType
	More    bool // further parts of this request follow
	Records []Record
}

// MultipartReply is one part of an answer. A switch makes them with a ReplyWriter.
type MultipartReply struct {
	Type    MultipartType
	More    bool // further parts of this reply follow
	Records []Record
}

// MsgType is TypeMultipartRequest.
func (*MultipartRequest) MsgType() Type { return TypeMultipartRequest }

// MsgType is TypeMultipartReply.
func (*MultipartReply) MsgType() Type { return TypeMultipartReply }

func (m *MultipartRequest) String() string {
	return "MULTIPART_REQUEST " + multipartText(m.Type, m.More, m.Records)
}

func (m *MultipartReply) String() string {
	return "MULTIPART_REPLY " + multipartText(m.Type, m.More, m.Records)
}

func multipartText(t MultipartType, more bool, records []Record) string {
	s := t.String()
	if more {
		s += " more"
	}
	for _, r := range records {
		s += fmt.Sprintf(" {%s}", r)
	}
	return s
}

const multipartHeader = 16

func (m *MultipartRequest) appendBody(b []byte) []byte {
	return appendMultipart(b, m.Type, m.More, m.Records)
}

func (m *MultipartReply) appendBody(b []byte) []byte {
	return appendMultipart(b, m.Type, m.More, m.Records)
}

func appendMultipart(b []byte, t MultipartType, more bool, records []Record) []byte {
	b = appendMultipartHeader(b, t, more)
	for _, r := range records {
		b = r.appendRecord(b)
	}
	return b
}

func appendMultipartHeader(b []byte, t MultipartType, more bool) []byte {
	flags := uint16(0)
	if more {
		flags = 1
	}
	if t == MultipartFlowMonitor {
		b = append32(append16(append16(b, uint16(MultipartExperimenter)), flags), 0)
		return append32(append32(b, ExperimenterONF), ONFFlowMonitor)
	}
	return append32(append16(append16(b, uint16(t)), flags), 0)
}

// PortStatsRequest asks for the counters of a port, or of all (PortAny).
type PortStatsRequest struct{ Port PortNo }

func (r *PortStatsRequest) appendRecord(b []byte) []byte {
	return appendZeros(append32(b, uint32(r.Port)), 4)
}

// ExperimenterRecord is the body of an experimenter's request or reply.
type ExperimenterRecord struct {
	Experimenter uint32
	ExpType      uint32
	Data         []byte
}

func (r *ExperimenterRecord) appendRecord(b []byte) []byte {
	return append(append32(append32(b, r.Experimenter), r.ExpType), r.Data...)
}

func (r *ExperimenterRecord) String() string {
	return fmt.Sprintf("experimenter=0x%08x type=%d %d bytes", r.Experimenter, r.ExpType, len(r.Data))
}

// bodyFormat describes the body of one multipart type in one direction. A body is nothing, or one
// record, or a list of records; a record has a fixed size, or says its own in two bytes at lenAt.
type bodyFormat struct {
	size  int // of a record; its least size when lenAt counts; 0: no body at all
	lenAt int // where a record says its length; -1: it does not
	shape bodyShape
	read  func(b []byte) (Record, error)
}

type bodyShape uint8

const (
	oneRecord bodyShape = iota // exactly one, of exactly size bytes
	oneLong                    // exactly one, of size bytes or more
	list                       // any number
)

// fixed wraps a reader that cannot fail.
func fixed[R Record](read func(b []byte) R) func([]byte) (Record, error) {
	return func(b []byte) (Record, error) { return read(b), nil }
}

func requestFormat(t MultipartType) (bodyFormat, bool) {
	switch t {
	case MultipartDesc, MultipartTable, MultipartGroupDesc, MultipartGroupFeatures, MultipartMeterFeatures, MultipartPortDesc:
		return bodyFormat{}, true
	case MultipartFlow, MultipartAggregate:
		return bodyFormat{40, -1, oneLong, func(b []byte) (Record, error) { return readFlowStatsRequest(b) }}, true
	case MultipartPortStats:
		return bodyFormat{8, -1, oneRecord, fixed(func(b []byte) *PortStatsRequest { return &PortStatsRequest{PortNo(u32(b, 0))} })}, true
	case MultipartQueue:
		return bodyFormat{8, -1, oneRecord, fixed(func(b []byte) *QueueStatsRequest { return &QueueStatsRequest{PortNo(u32(b, 0)), u32(b, 4)} })}, true
	case MultipartGroup:
		return bodyFormat{8, -1, oneRecord, fixed(func(b []byte) *GroupStatsRequest { return &GroupStatsRequest{u32(b, 0)} })}, true
	case MultipartMeter, MultipartMeterConfig:
		return bodyFormat{8, -1, oneRecord, fixed(func(b []byte) *MeterRequest { return &MeterRequest{u32(b, 0)} })}, true
	case MultipartTableFeatures:
		return bodyFormat{tableFeaturesSize, 0, list, readTableFeatures}, true
	case MultipartExperimenter:
		return bodyFormat{8, -1, oneLong, readExperimenterRecord}, true
	}
	return bodyFormat{}, false
}

func replyFormat(t MultipartType) (bodyFormat, bool) {
	switch t {
	case MultipartDesc:
		return bodyFormat{descSize, -1, oneRecord, fixed(readDesc)}, true
	case MultipartFlow:
		return bodyFormat{56, 0, list, func(b []byte) (Record, error) { s, err := readFlowStats(b); return &s, err }}, true
	case MultipartAggregate:
		return bodyFormat{24, -1, oneRecord, fixed(func(b []byte) *AggregateStats { return &AggregateStats{u64(b, 0), u64(b, 8), u32(b, 16)} })}, true
	case MultipartTable:
		return bodyFormat{24, -1, list, fixed(func(b []byte) *TableStats {
			return &TableStats{TableID: b[0], ActiveCount: u32(b, 4), LookupCount: u64(b, 8), MatchedCount: u64(b, 16)}
		})}, true
	case MultipartPortStats:
		return bodyFormat{portStatsSize, -1, list, fixed(func(b []byte) *PortStats { s := readPortStats(b); return &s })}, true
	case MultipartQueue:
		return bodyFormat{40, -1, list, fixed(readQueueStats)}, true
	case MultipartGroup:
		return bodyFormat{40, 0, list, readGroupStats}, true
	case MultipartGroupDesc:
		return bodyFormat{8, 0, list, readGroupDesc}, true
	case MultipartGroupFeatures:
		return bodyFormat{40, -1, oneRecord, fixed(readGroupFeatures)}, true
	case MultipartMeter:
		return bodyFormat{40, 4, list, readMeterStatistics}, true
	case MultipartMeterConfig:
		return bodyFormat{8, 0, list, readMeterConfig}, true
	case MultipartMeterFeatures:
		return bodyFormat{16, -1, oneRecord, fixed(readMeterFeatures)}, true
	case MultipartTableFeatures:
		return bodyFormat{tableFeaturesSize, 0, list, readTableFeatures}, true
	case MultipartPortDesc:
		return bodyFormat{portSize, -1, list, fixed(func(b []byte) *Port { p := readPort(b); return &p })}, true
	case MultipartExperimenter:
		return bodyFormat{8, -1, oneLong, readExperimenterRecord}, true
	}
	return bodyFormat{}, false
}

func readExperimenterRecord(b []byte) (Record, error) {
	return &ExperimenterRecord{Experimenter: u32(b, 0), ExpType: u32(b, 4), Data: b[8:]}, nil
}

func decodeMultipartRequest(b []byte) (Message, error) {
	m := &MultipartRequest{}
	var err error
	m.Type, m.More, m.Records, err = decodeMultipart(b, "request", requestFormat)
	return m, err
}

func decodeMultipartReply(b []byte) (Message, error) {
	m := &MultipartReply{}
	var err error
	m.Type, m.More, m.Records, err = decodeMultipart(b, "reply", replyFormat)
	return m, err
}

// MultipartMore reports whether more parts of a multipart request follow b, and whether b is such a
// request at all. It looks at messages that Decode refuses, too.
func MultipartMore(b []byte) (more, ok bool) {
	if len(b) < multipartHeader || b[0] != Version || Type(b[1]) != TypeMultipartRequest {
		return false, false
	}
	return u16(b, 10)&1 != 0, true
}

// isFlowMonitor reports an experimenter's request or reply that 1.4 has as one of its own.
func isFlowMonitor(b []byte) bool {
	return MultipartType(u16(b, 8)) == MultipartExperimenter && len(b) >= multipartHeader+8 &&
		u32(b, multipartHeader) == ExperimenterONF && u32(b, multipartHeader+4) == ONFFlowMonitor
}

func decodeMultipart(b []byte, what string, format func(MultipartType) (bodyFormat, bool)) (t MultipartType, more bool, records []Record, err error) {
	if len(b) < multipartHeader {
		return 0, false, nil, badLen("multipart "+what, len(b), multipartHeader)
	}
	t, more = MultipartType(u16(b, 8)), u16(b, 10)&1 != 0
	if isFlowMonitor(b) {
		read := readFlowUpdates
		if what == "request" {
			read = readMonitorRequests
		}
		records, err = read(b[multipartHeader+8:])
		return MultipartFlowMonitor, more, records, err
	}
	f, ok := format(t)
	if !ok {
		return 0, false, nil, Errorf(ErrBadRequest, BRCBadMultipart, "no multipart %s of type %d", what, uint16(t))
	}
	body := b[multipartHeader:]
	if f.shape == oneRecord && len(body) != f.size || f.shape == oneLong && len(body) < f.size {
		return 0, false, nil, badLen(fmt.Sprintf("body of a multipart %s %s", t, what), len(body), f.size)
	}
	for len(body) > 0 {
		n, err := f.recordSize(body, t)
		if err != nil {
			return 0, false, nil, err
		}
		r, err := f.read(body[:n:n])
		if err != nil {
			return 0, false, nil, err
		}
		records = append(records, r)
		body = body[n:]
	}
	return t, more, records, nil
}

// recordSize is the length of the record at the start of body.
func (f *bodyFormat) recordSize(body []byte, t MultipartType) (int, error) {
	n := f.size
	if f.shape == oneLong {
		n = len(body)
	}
	if f.lenAt >= 0 && len(body) >= f.size {
		n = int(u16(body, f.lenAt))
	}
	if n < f.size || n > len(body) {
		return 0, Errorf(ErrBadRequest, BRCBadLen, "%s record of %d bytes: expected %d or more, %d are left", t, n, f.size, len(body))
	}
	return n, nil
}
