package ofctl

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
)

// appendRequest writes what a multipart request asks for.
func (n *Names) appendRequest(b []byte, m *openflow.MultipartRequest) []byte {
	switch m.Type {
	case openflow.MultipartGroupDesc:
		if len(m.Records) == 0 {
			return append(b, " group_id=ALL"...)
		}
	case openflow.MultipartPortDesc:
		return append(b, " port=ANY"...)
	}
	for _, r := range m.Records {
		switch r := r.(type) {
		case *openflow.FlowStatsRequest:
			b = n.appendFilter(b, r)
		case *openflow.PortStatsRequest:
			b = n.appendPort(append(b, " port_no="...), r.Port)
		case *openflow.QueueStatsRequest:
			b = append(n.appendPort(append(b, " port="...), r.Port), " queue="...)
			if r.Queue == openflow.QueueAll {
				b = append(b, "ALL"...)
			} else {
				b = fmt.Appendf(b, "%d", r.Queue)
			}
		case *openflow.GroupStatsRequest:
			if r.Group == openflow.GroupAll {
				b = append(b, " group_id=ALL"...)
			} else {
				b = fmt.Appendf(b, " group_id=%d", r.Group)
			}
		case *openflow.MeterRequest:
			b = append(append(b, " meter="...), meterName(r.Meter)...)
		}
	}
	return b
}

func (n *Names) appendFilter(b []byte, r *openflow.FlowStatsRequest) []byte {
	if r.TableID != openflow.TableAll {
		b = n.appendTable(append(b, " table="...), r.TableID)
	}
	if r.OutPort != openflow.PortAny {
		b = n.appendPort(append(b, " out_port="...), r.OutPort)
	}
	if !r.Match.IsEmpty() {
		b = n.appendMatch(append(b, ' '), r.Match, DefaultPriority)
	}
	return b
}

// appendReply writes the records of one part of a multipart reply.
func (n *Names) appendReply(b []byte, m *openflow.MultipartReply) []byte {
	switch m.Type {
	case openflow.MultipartFlowMonitor:
		for _, u := range records[openflow.FlowUpdate](m) {
			b = n.appendUpdate(b, &u)
		}
		return b
	case openflow.MultipartTable:
		return append(append(b, '\n'), AppendTables(nil, records[openflow.TableStats](m))...)
	case openflow.MultipartTableFeatures:
		b = n.appendTableFeatures(append(b, '\n'), records[openflow.TableFeatures](m))
		return b[:len(b)-1] // without the last of the blank lines between tables
	case openflow.MultipartPortStats:
		b = fmt.Appendf(b, " %d ports\n", len(m.Records))
	case openflow.MultipartQueue:
		b = fmt.Appendf(b, " %d queues\n", len(m.Records))
	case openflow.MultipartAggregate:
		b = append(b, ' ')
	default:
		b = append(b, '\n')
	}
	list := m.Records
	if m.Type == openflow.MultipartPortDesc {
		list = slices.SortedStableFunc(slices.Values(list), byPort)
	}
	for i, r := range list {
		if i > 0 && m.Type == openflow.MultipartMeterConfig || i > 0 && m.Type == openflow.MultipartMeter {
			b = append(b, '\n')
		}
		b = n.appendRecord(b, r)
	}
	return b
}

func byPort(a, b openflow.Record) int {
	x, ok1 := a.(*openflow.Port)
	y, ok2 := b.(*openflow.Port)
	if !ok1 || !ok2 {
		return 0
	}
	return cmp.Compare(x.No, y.No)
}

func records[T any](m *openflow.MultipartReply) []T {
	var list []T
	for _, r := range m.Records {
		if t, ok := any(r).(*T); ok {
			list = append(list, *t)
		}
	}
	return list
}

func (n *Names) appendRecord(b []byte, r openflow.Record) []byte {
	switch r := r.(type) {
	case *openflow.Desc:
		return AppendDesc(b, r)
	case *openflow.FlowStats:
		return append(n.AppendFlow(append(b, ' '), r), '\n')
	case *openflow.AggregateStats:
		return AppendAggregate(b, r)
	case *openflow.PortStats:
		return n.appendPortStats(b, r)
	case *openflow.QueueStats:
		return n.appendQueueStats(b, r)
	case *openflow.GroupStats:
		return append(AppendGroupStats(append(b, ' '), r), '\n')
	case *openflow.GroupDesc:
		return append(n.appendGroup(append(b, ' '), r), '\n')
	case *openflow.GroupFeatures:
		return n.appendGroupFeatures(b, r)
	case *openflow.MeterStatistics:
		return AppendMeterStats(b, r)
	case *openflow.MeterConfig:
		return AppendMeter(b, r)
	case *openflow.MeterFeatures:
		return AppendMeterFeatures(b, r)
	case *openflow.Port:
		return n.appendPortDesc(b, r)
	}
	return append(fmt.Append(b, r), '\n')
}

func (n *Names) appendQueueStats(b []byte, s *openflow.QueueStats) []byte {
	b = n.appendPort(append(b, "  port "...), s.Port)
	b = fmt.Appendf(b, " queue %d: ", s.Queue)
	b = appendCounts(b, "bytes", s.TxBytes, "pkts", s.TxPackets, "errors", s.TxErrors)
	b = append(b, ", duration="...)
	if s.DurationSec == 0xffffffff {
		return append(b, "?\n"...)
	}
	return append(appendDuration(b, s.DurationSec, s.DurationNsec), "s\n"...)
}

// flowsApart reads the records of a FLOW reply one by one when one of them cannot be decoded, so that one
// flow with another's extension does not hide the rest. ovs-ofctl gives up at that flow.
func (n *Names) flowsApart(raw []byte) (text []byte, ok bool) {
	for _, r := range SplitFlows(raw) {
		if r.Flow == nil {
			text = fmt.Appendf(text, " (a flow of table %d that weir cannot read: %v)\n", r.Table, r.Err)
			continue
		}
		text, ok = append(n.AppendFlowRecord(append(text, ' '), &r, false), '\n'), true
	}
	return text, ok || len(text) > 0
}

// FlowRecord is one flow of a reply, or the reason why it cannot be read.
type FlowRecord struct {
	Flow  *openflow.FlowStats
	Table uint8
	Err   error
	Old   bool   // of OpenFlow 1.0
	Said  []byte // its actions there
}

// SplitFlows reads each record of a FLOW reply by itself. Anything else has none.
func SplitFlows(raw []byte) (list []FlowRecord) {
	const head = 16
	switch {
	case len(raw) < head:
		return nil
	case raw[0] == of10.Version:
		return splitOldFlows(raw)
	}
	h := openflow.ReadHeader(raw)
	if h.Version != openflow.Version || h.Type != openflow.TypeMultipartReply || len(raw) < head ||
		openflow.MultipartType(binary.BigEndian.Uint16(raw[8:])) != openflow.MultipartFlow {
		return nil
	}
	for rest := raw[head:]; len(rest) >= 56; {
		size := int(binary.BigEndian.Uint16(rest))
		if size < 56 || size > len(rest) {
			return append(list, FlowRecord{Err: fmt.Errorf("a record of %d bytes where %d are left", size, len(rest))})
		}
		one := append(append([]byte(nil), raw[:head]...), rest[:size]...)
		binary.BigEndian.PutUint16(one[2:], uint16(len(one)))
		rec := FlowRecord{Table: rest[2]}
		m, _, err := openflow.Decode(one)
		if err != nil {
			rec.Err = err
		} else {
			rec.Flow, _ = m.(*openflow.MultipartReply).Records[0].(*openflow.FlowStats)
		}
		list, rest = append(list, rec), rest[size:]
	}
	return list
}
