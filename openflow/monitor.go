package openflow

import "fmt"

// FlowEvent is what a flow monitor tells of an entry.
type FlowEvent uint16

// The events.
const (
	FlowEventAdded    FlowEvent = 0
	FlowEventDeleted  FlowEvent = 1
	FlowEventModified FlowEvent = 2
	FlowEventAbbrev   FlowEvent = 3 // the asker's own request, which is named
)

func (e FlowEvent) String() string {
	return enumName(int(e), "ADDED", "DELETED", "MODIFIED", "ABBREV")
}

// MonitorFlags say what a flow monitor wants to hear.
type MonitorFlags uint16

// The flags.
const (
	MonitorInitial MonitorFlags = 1 << iota // the entries there are
	MonitorAdd
	MonitorDelete
	MonitorModify
	MonitorActions // with what entries do
	MonitorOwn     // in full of what the asker did itself

	monitorFlagsAll = 1<<6 - 1
)

// Wants reports that a monitor is to hear of an event.
func (f MonitorFlags) Wants(e FlowEvent) bool {
	return f&[...]MonitorFlags{MonitorAdd, MonitorDelete, MonitorModify, MonitorOwn}[e] != 0
}

// The codes of a flow monitor's errors, under ErrExperimenter and ExperimenterNicira.
const (
	MOFCMonitorExists  uint16 = 6
	MOFCBadFlags       uint16 = 7
	MOFCUnknownMonitor uint16 = 8
)

// MonitorErrorf makes such an error.
func MonitorErrorf(code uint16, format string, args ...any) *Error {
	e := Errorf(ErrExperimenter, code, format, args...)
	e.Experimenter = ExperimenterNicira
	return e
}

// MultipartFlowMonitor asks to be told what happens to entries. It is OpenFlow 1.4's number; on a
// connection of 1.3 it travels as ONFFlowMonitor, an experimenter's.
const MultipartFlowMonitor MultipartType = 16

// FlowMonitorRequest is one monitor that is asked for.
type FlowMonitorRequest struct {
	ID      uint32
	Flags   MonitorFlags
	OutPort PortNo
	TableID uint8
	Match   Match
}

// FlowUpdate is one event.
type FlowUpdate struct {
	Event        FlowEvent
	XID          uint32 // of FlowEventAbbrev, which has nothing else
	Reason       FlowRemovedReason
	Priority     uint16
	IdleTimeout  uint16
	HardTimeout  uint16
	TableID      uint8
	Cookie       uint64
	Match        Match
	Instructions Instructions
}

// CheckMonitor judges the flags of a request.
func (r *FlowMonitorRequest) CheckMonitor() error {
	if bad := r.Flags &^ monitorFlagsAll; bad != 0 || r.Flags&(MonitorInitial|MonitorAdd|MonitorDelete|MonitorModify) == 0 {
		return MonitorErrorf(MOFCBadFlags, "flags 0x%x of a flow monitor: expected some of initial, add, delete and modify", uint16(r.Flags))
	}
	return nil
}

const monitorRequestSize, monitorUpdateSize = 16, 24

func (r *FlowMonitorRequest) appendRecord(b []byte) []byte {
	b = append16(append32(b, r.ID), uint16(r.Flags))
	b = append32(append16(b, uint16(4+len(r.Match.b))), uint32(r.OutPort))
	return appendMatch(append(b, r.TableID, 0, 0, 0), r.Match)
}

func (r *FlowMonitorRequest) String() string {
	return fmt.Sprintf("id=%d flags=0x%x out_port=%s table=%d match=%s", r.ID, uint16(r.Flags), r.OutPort, r.TableID, r.Match)
}

// readMonitorRequests reads the monitors of one request.
func readMonitorRequests(b []byte) (list []Record, err error) {
	for len(b) > 0 {
		if len(b) < monitorRequestSize+8 {
			return nil, badLen("flow monitor", len(b), monitorRequestSize+8)
		}
		r := &FlowMonitorRequest{ID: u32(b, 0), Flags: MonitorFlags(u16(b, 4)), OutPort: PortNo(u32(b, 8)), TableID: b[12]}
		var at int
		if r.Match, at, err = decodeMatch(b, monitorRequestSize); err != nil {
			return nil, err
		}
		if err := r.CheckMonitor(); err != nil {
			return nil, err
		}
		list = append(list, r)
		b = b[at:]
	}
	return list, nil
}

func (u *FlowUpdate) appendRecord(b []byte) []byte {
	start := len(b)
	b = append16(append16(b, 8), uint16(u.Event))
	if u.Event == FlowEventAbbrev {
		return append32(b, u.XID)
	}
	b = append16(append16(b, uint16(u.Reason)), u.Priority)
	b = append16(append16(append16(b, u.IdleTimeout), u.HardTimeout), uint16(4+len(u.Match.b)))
	b = append64(append(b, u.TableID, 0), u.Cookie)
	b = append(appendMatch(b, u.Match), u.Instructions.b...)
	put16(b, start, uint16(len(b)-start))
	return b
}

// readFlowUpdates reads the events of one part of a reply.
func readFlowUpdates(b []byte) (list []Record, err error) {
	for len(b) > 0 {
		n := 0
		if len(b) >= 8 {
			n = int(u16(b, 0))
		}
		if n < 8 || n > len(b) {
			return nil, badLen("flow update", n, min(8, len(b)))
		}
		u, err := readFlowUpdate(b[:n:n])
		if err != nil {
			return nil, err
		}
		list = append(list, u)
		b = b[n:]
	}
	return list, nil
}

func readFlowUpdate(b []byte) (*FlowUpdate, error) {
	u := &FlowUpdate{Event: FlowEvent(u16(b, 2))}
	switch {
	case u.Event > FlowEventAbbrev:
		return nil, Errorf(ErrBadRequest, BRCBadType, "flow update %d, the highest is %d", uint16(u.Event), FlowEventAbbrev)
	case u.Event == FlowEventAbbrev && len(b) != 8:
		return nil, badLen("abbreviated flow update", len(b), 8)
	case u.Event == FlowEventAbbrev:
		u.XID = u32(b, 4)
		return u, nil
	case len(b) < monitorUpdateSize+8:
		return nil, badLen("flow update", len(b), monitorUpdateSize+8)
	}
	u.Reason, u.Priority, u.IdleTimeout, u.HardTimeout = FlowRemovedReason(u16(b, 4)), u16(b, 6), u16(b, 8), u16(b, 10)
	u.TableID, u.Cookie = b[14], u64(b, 16)
	var at int
	var err error
	if u.Match, at, err = decodeMatch(b, monitorUpdateSize); err != nil {
		return nil, err
	}
	if at < len(b) {
		u.Instructions.b = b[at:len(b):len(b)]
	}
	return u, checkInstructions(u.Instructions.b)
}

func (u *FlowUpdate) String() string {
	if u.Event == FlowEventAbbrev {
		return fmt.Sprintf("%s xid=0x%x", u.Event, u.XID)
	}
	return fmt.Sprintf("%s table=%d priority=%d cookie=0x%x match=%s instructions=%s", u.Event, u.TableID, u.Priority, u.Cookie, u.Match, u.Instructions)
}
