package of10

import (
	"github.com/weirswitch/weir/openflow"
)

const monitorSize, updateSize = 16, 24

// readMonitors reads what NXST_FLOW_MONITOR asks for.
func readMonitors(b []byte) (list []openflow.Record, err error) {
	for len(b) > 0 {
		if len(b) < monitorSize {
			return nil, badLen("flow monitor", len(b), monitorSize)
		}
		r := &openflow.FlowMonitorRequest{ID: u32(b, 0), Flags: openflow.MonitorFlags(u16(b, 4)), OutPort: widen(u16(b, 6)), TableID: b[10]}
		match, rest, err := cutMatch(b[monitorSize:], int(u16(b, 8)))
		if err != nil {
			return nil, err
		}
		if r.Match, _, err = decodeNXM(match); err != nil {
			return nil, err
		}
		if err := r.CheckMonitor(); err != nil {
			return nil, err
		}
		list = append(list, r)
		b = rest
	}
	return list, nil
}

// appendMonitor writes one monitor of a request.
func appendMonitor(b []byte, r *openflow.FlowMonitorRequest) []byte {
	b = append16(append16(append32(b, r.ID), uint16(r.Flags)), narrow(r.OutPort))
	at := len(b)
	b = appendZeros(append(append16(b, 0), r.TableID), 5)
	return endNXM(b, at, r.Match)
}

// appendUpdate writes an event.
func appendUpdate(b []byte, u *openflow.FlowUpdate) []byte {
	start := len(b)
	b = append16(append16(b, 8), uint16(u.Event))
	if u.Event == openflow.FlowEventAbbrev {
		return append32(b, u.XID)
	}
	reason := u.Reason
	if reason == openflow.RemovedGroupDelete {
		reason = openflow.RemovedDelete
	}
	b = append16(append16(b, uint16(reason)), u.Priority)
	b = append16(append16(b, u.IdleTimeout), u.HardTimeout)
	at := len(b)
	b = append64(append(append16(b, 0), u.TableID, 0), u.Cookie)
	b = endNXM(b, at, u.Match)
	return endRecord(appendEntryActions(b, unsaidMatch(u.Match), u.Instructions), start)
}

// readUpdate reads an event.
func (s *Session) readUpdate(b []byte) (openflow.Record, error) {
	u := &openflow.FlowUpdate{Event: openflow.FlowEvent(u16(b, 2))}
	if u.Event == openflow.FlowEventAbbrev {
		u.XID = u32(b, 4)
		return u, nil
	}
	if len(b) < updateSize {
		return nil, badLen("flow update", len(b), updateSize)
	}
	u.Reason, u.Priority, u.IdleTimeout, u.HardTimeout = openflow.FlowRemovedReason(u16(b, 4)), u16(b, 6), u16(b, 8), u16(b, 10)
	u.TableID, u.Cookie = b[14], u64(b, 16)
	match, rest, err := cutMatch(b[updateSize:], int(u16(b, 12)))
	if err != nil {
		return nil, err
	}
	if u.Match, _, err = decodeNXM(match); err != nil {
		return nil, err
	}
	f := &openflow.FlowStats{Match: u.Match}
	err = s.readEntryActions(f, rest)
	u.Instructions = f.Instructions
	return u, err
}
