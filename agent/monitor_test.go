package agent

import (
	"net"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// monitorAll asks for a monitor of everything.
func monitorAll(flags openflow.MonitorFlags) *openflow.MultipartRequest {
	return &openflow.MultipartRequest{Type: openflow.MultipartFlowMonitor, Records: []openflow.Record{
		&openflow.FlowMonitorRequest{Flags: flags, OutPort: openflow.PortAny, TableID: openflow.TableAll}}}
}

// updates gives the next updates of a monitor.
func updates(p *peer) (list []*openflow.FlowUpdate) {
	p.t.Helper()
	for _, r := range expect[*openflow.MultipartReply](p).m.Records {
		list = append(list, r.(*openflow.FlowUpdate))
	}
	return list
}

// TestMonitorHearsChangesAfterItsList: what another connection deletes while a slow watcher is still being told of the
// entries there are was told first, and the entry was listed afterwards, as if it were there.
func TestMonitorHearsChangesAfterItsList(t *testing.T) {
	const entries = 60000 // more than an outbox takes
	b := newBench(t, 2)
	p := b.connect()
	p.features()
	deletes := p.removable(entries)

	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- b.sw.Serve(near) }()
	defer func() { far.Close(); <-done }()
	slow := openflow.NewConn(far)
	if _, err := slow.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	for _, m := range []openflow.Message{openflow.NewHello(openflow.Version),
		monitorAll(openflow.MonitorInitial | openflow.MonitorAdd | openflow.MonitorDelete | openflow.MonitorModify)} {
		if _, err := slow.Request(m); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the list to wait for its reader", func() bool {
		for _, c := range *b.sw.channels.Load() {
			c.out.mu.Lock()
			full := len(c.out.replies) > replyRoom
			c.out.mu.Unlock()
			if full {
				return true
			}
		}
		return false
	})
	p.write(deletes[entries-1])
	p.barrier()

	there := map[uint64]bool{}
	far.SetReadDeadline(time.Now().Add(inTime))
	for gone := false; !gone; {
		raw, err := slow.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := openflow.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		reply, ok := m.(*openflow.MultipartReply)
		if !ok {
			continue
		}
		for _, r := range reply.Records {
			switch u := r.(*openflow.FlowUpdate); u.Event {
			case openflow.FlowEventAdded:
				there[u.Cookie] = true
			case openflow.FlowEventDeleted:
				delete(there, u.Cookie)
				gone = true
			}
		}
	}
	if there[entries-1] || len(there) != entries-1 {
		t.Errorf("%d entries are there for the watcher, want %d; the deleted one among them: %v", len(there), entries-1, there[entries-1])
	}
}

// TestMonitorTellsOwnChangesFromOthers: whoever asks for its own changes in short was told in short of others', too, when
// they came just before it: entries that time took out, for one.
func TestMonitorTellsOwnChangesFromOthers(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	p.features()
	m := add(10, inPort(1), openflow.Output(2))
	m.HardTimeout, m.Cookie = 1, 77
	p.send(m)
	p.barrier()
	p.send(monitorAll(openflow.MonitorAdd | openflow.MonitorDelete))
	expect[*openflow.MultipartReply](p)
	p.barrier()                       // the request is over, with what happened meanwhile told
	b.sw.pipe.Expire(2 * time.Second) // as the tick does, which has not come to telling of it
	xid := p.send(add(10, inPort(2), openflow.Output(1)))
	got := updates(p)
	if len(got) != 2 || got[0].Event != openflow.FlowEventDeleted || got[0].Cookie != 77 || got[0].Reason != openflow.RemovedHardTimeout ||
		got[1].Event != openflow.FlowEventAbbrev || got[1].XID != xid {
		t.Errorf("told %v, want what time took out, and request %d in short", got, xid)
	}
	xid = p.conn.NextXID()
	p.conn.Send(xid, openflow.BundleAdd(1, 0, openflow.Append(nil, xid, add(10, inPort(3), openflow.Output(1)))))
	p.send((&openflow.BundleControl{ID: 1, Command: openflow.BundleCommit}).Experimenter())
	if got := updates(p); len(got) != 1 || got[0].Event != openflow.FlowEventAbbrev {
		t.Errorf("told %v of a bundle of its own, want it in short", got)
	}
}

// TestMonitorsOfOneRequestJoinTheirFlags: an entry that two monitors select is listed once, with all that either wants to see.
func TestMonitorsOfOneRequestJoinTheirFlags(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	p.features()
	p.send(deleteAll())
	p.send(add(10, inPort(1), openflow.Output(2)))
	p.barrier()
	for i := range uint32(20) { // of the two any could come first
		m := monitorAll(openflow.MonitorInitial)
		r := *m.Records[0].(*openflow.FlowMonitorRequest)
		m.Records[0].(*openflow.FlowMonitorRequest).ID = 2 * i
		r.ID, r.Flags = 2*i+1, openflow.MonitorInitial|openflow.MonitorActions
		m.Records = append(m.Records, &r)
		p.send(m)
		if got := updates(p); len(got) != 1 || got[0].Instructions.IsEmpty() {
			t.Fatalf("told %v, want one entry with its actions", got)
		}
	}
}
