// Slow path: flow monitors: connections that are told what happens to entries.

package agent

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
)

// maxMonitors is how many monitors a connection may have.
const maxMonitors = 1024

// monitors are those of all connections of a switch.
type monitors struct {
	busy atomic.Bool // there are some

	// mu is held while changes are taken and told, so that all hear of them in their order. Nobody waits for
	// a peer under it.
	mu sync.Mutex
	by map[*Channel]*watcher
}

// watcher is a connection with monitors.
type watcher struct {
	request []byte // the header of its request, with transaction id zero: the form of what it is told
	list    map[uint32]*monitor

	listing bool     // it is being told of the entries there are: what has changed since waits
	held    [][]byte // messages that wait
	holds   int      // bytes in them
}

// monitor is one of them.
type monitor struct {
	flags  openflow.MonitorFlags
	filter flowtable.FlowFilter
}

// startMonitors answers a request for monitors with the entries there are, if they are wanted. After an
// error none of the monitors is there.
func (c *Channel) startMonitors(m *openflow.MultipartRequest, w *openflow.ReplyWriter, raw []byte) error {
	found, err := c.sw.addMonitors(c, m, raw)
	if err != nil {
		return err
	}
	for i := range found {
		if err := w.Add(&found[i]); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.sw.listed(c)
}

// listed lets a watcher hear what has changed while it was told of the entries there are.
func (s *Switch) listed(c *Channel) error {
	s.monitors.mu.Lock()
	defer s.monitors.mu.Unlock()
	w := s.monitors.by[c]
	for _, msg := range w.held {
		if err := c.out.notify(func(b []byte) []byte { return append(b, msg...) }); err != nil {
			return err
		}
	}
	w.listing, w.held, w.holds = false, nil, 0
	return nil
}

// hold keeps a message for listed, within the bounds of a peer that does not read.
func (w *watcher) hold(fill func([]byte) []byte) error {
	msg := fill(nil)
	if w.holds += len(msg); w.holds > asyncRoom {
		return errOutboxFull
	}
	w.held = append(w.held, msg)
	return nil
}

func (s *Switch) addMonitors(c *Channel, m *openflow.MultipartRequest, raw []byte) (found []openflow.FlowUpdate, err error) {
	s.monitors.mu.Lock()
	defer s.monitors.mu.Unlock()
	add := map[uint32]*monitor{}
	have := s.monitors.by[c]
	for _, r := range m.Records {
		r := r.(*openflow.FlowMonitorRequest)
		if add[r.ID] != nil || have != nil && have.list[r.ID] != nil {
			return nil, openflow.MonitorErrorf(openflow.MOFCMonitorExists, "flow monitor %d is there already", r.ID)
		}
		add[r.ID] = &monitor{r.Flags, flowtable.FlowFilter{Table: r.TableID, OutPort: r.OutPort, OutGroup: openflow.GroupAny, Match: r.Match.Clone()}}
	}
	if have == nil {
		have = &watcher{request: bytes.Clone(raw[:min(len(raw), 24)]), list: map[uint32]*monitor{}}
		binary.BigEndian.PutUint32(have.request[4:], 0)
	}
	if len(have.list)+len(add) > maxMonitors {
		return nil, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCMultipartBufferOverflow, "more than %d flow monitors", maxMonitors)
	}
	s.monitors.busy.Store(true)
	before, now := s.pipe.Mark()
	s.tell(before, nil, 0)
	if found, err = initial(now, add); err != nil {
		s.rest()
		return nil, err
	}
	for id, mon := range add {
		have.list[id] = mon
	}
	if s.monitors.by == nil {
		s.monitors.by = map[*Channel]*watcher{}
	}
	have.listing = true
	s.monitors.by[c] = have
	return found, nil
}

// initial are the entries that monitors select and want to be told of at once, each only once.
func initial(now flowtable.Moment, add map[uint32]*monitor) (found []openflow.FlowUpdate, err error) {
	var order []*flowtable.Entry
	flags := map[*flowtable.Entry]openflow.MonitorFlags{}
	for _, mon := range add {
		if mon.flags&openflow.MonitorInitial == 0 {
			continue
		}
		entries, err := now.Flows(mon.filter)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if flags[e] == 0 {
				order = append(order, e)
			}
			flags[e] |= mon.flags
		}
	}
	for _, e := range order {
		found = append(found, flowUpdate(&flowtable.Change{Event: openflow.FlowEventAdded, Entry: e}, flags[e]))
	}
	return found, nil
}

func flowUpdate(c *flowtable.Change, flags openflow.MonitorFlags) openflow.FlowUpdate {
	e := c.Entry
	u := openflow.FlowUpdate{
		Event: c.Event, Reason: c.Reason, Priority: e.Priority, IdleTimeout: e.IdleTimeout, HardTimeout: e.HardTimeout,
		TableID: e.Table, Cookie: e.Cookie, Match: e.Match(),
	}
	if flags&openflow.MonitorActions != 0 {
		u.Instructions = e.Instructions()
	}
	return u
}

// tellMonitors tells all watchers what has happened since it was last called; origin, if any, has caused it
// by its request xid.
func (s *Switch) tellMonitors(origin *Channel, xid uint32) {
	if !s.monitors.busy.Load() {
		return
	}
	s.monitors.mu.Lock()
	defer s.monitors.mu.Unlock()
	s.tell(s.pipe.TakeChanges(), origin, xid)
}

// tell is tellMonitors for changes that were taken. monitors.mu is held.
func (s *Switch) tell(changes []flowtable.Change, origin *Channel, xid uint32) {
	if len(changes) == 0 {
		return
	}
	for c, w := range s.monitors.by {
		own := any(nil)
		if c == origin {
			own = c.asked
		}
		if w.tell(c, changes, own, xid) == errOutboxFull {
			go c.end(errOutboxFull) // it would go on with a wrong picture
		}
	}
}

// tell sends one watcher what it wants to hear. It has caused the changes of cause own itself, by its request xid: others'
// may be among them.
func (w *watcher) tell(c *Channel, changes []flowtable.Change, own any, xid uint32) error {
	send := c.out.notify
	if w.listing {
		send = w.hold
	}
	out := c.repliesTo(openflow.MultipartFlowMonitor, 0, w.request, send)
	abbreviated, any := false, false
	for i := range changes {
		flags := w.wants(&changes[i])
		if flags == 0 {
			continue
		}
		u := flowUpdate(&changes[i], flags)
		if own != nil && changes[i].Cause == own && flags&openflow.MonitorOwn == 0 {
			if abbreviated {
				continue
			}
			u, abbreviated = openflow.FlowUpdate{Event: openflow.FlowEventAbbrev, XID: xid}, true
		}
		any = true
		if err := out.Add(&u); err != nil {
			return err
		}
	}
	if !any {
		return nil
	}
	return out.Close()
}

// wants joins the flags of the monitors that are to hear of a change.
func (w *watcher) wants(c *flowtable.Change) (flags openflow.MonitorFlags) {
	for _, mon := range w.list {
		if mon.flags.Wants(c.Event) && c.Selected(&mon.filter) {
			flags |= mon.flags
		}
	}
	return flags
}

// cancelMonitor ends one monitor.
func (s *Switch) cancelMonitor(c *Channel, id uint32) error {
	s.monitors.mu.Lock()
	defer s.monitors.mu.Unlock()
	w := s.monitors.by[c]
	if w == nil || w.list[id] == nil {
		return openflow.MonitorErrorf(openflow.MOFCUnknownMonitor, "there is no flow monitor %d", id)
	}
	if delete(w.list, id); len(w.list) == 0 {
		s.forgetWatcher(c)
	}
	return nil
}

// leaveMonitors ends those of a connection that goes.
func (s *Switch) leaveMonitors(c *Channel) {
	s.monitors.mu.Lock()
	defer s.monitors.mu.Unlock()
	if s.monitors.by[c] != nil {
		s.forgetWatcher(c)
	}
}

// forgetWatcher takes a connection off the list. monitors.mu is held.
func (s *Switch) forgetWatcher(c *Channel) {
	delete(s.monitors.by, c)
	s.rest()
}

// rest lets changes go unnoticed when there is nobody to be told of them. monitors.mu is held.
func (s *Switch) rest() {
	if len(s.monitors.by) == 0 {
		s.monitors.busy.Store(false)
		s.pipe.Unwatch()
	}
}
