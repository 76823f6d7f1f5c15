package oftest

import (
	"fmt"

	"github.com/weirswitch/weir/openflow"
)

// Send sends m and returns its xid. An ERROR in answer to it is kept for Errors.
func (c *Controller) Send(m openflow.Message) (xid uint32, err error) {
	if xid, err = c.conn.Request(m); err != nil {
		return xid, c.sendError(m, err)
	}
	return xid, nil
}

// Request sends m and waits for the answer with its xid. An ERROR is returned as the error, an
// *openflow.Error.
func (c *Controller) Request(m openflow.Message) (openflow.Message, error) {
	list, err := c.exchange(m, func([]openflow.Message) bool { return true })
	if err != nil {
		return nil, err
	}
	return list[len(list)-1], nil
}

// Ask is Request for an answer of type R; another type is an error.
func Ask[R openflow.Message](c *Controller, m openflow.Message) (R, error) {
	var none R
	got, err := c.Request(m)
	if err != nil {
		return none, err
	}
	r, ok := got.(R)
	if !ok {
		return none, fmt.Errorf("oftest: %s was answered by %s", m.MsgType(), got)
	}
	return r, nil
}

// exchange sends m and gathers what comes under its xid until there is something and done says so.
func (c *Controller) exchange(m openflow.Message, done func([]openflow.Message) bool) ([]openflow.Message, error) {
	xid := c.conn.NextXID()
	c.mu.Lock()
	c.replies[xid] = []openflow.Message{}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.replies, xid)
		c.mu.Unlock()
	}()
	if err := c.conn.Send(xid, m); err != nil {
		return nil, c.sendError(m, err)
	}
	var list []openflow.Message
	var refused *openflow.Error
	err := c.wait("answer to "+m.MsgType().String(), func() bool {
		list = c.replies[xid]
		if len(list) == 0 {
			return false
		}
		var is bool
		refused, is = list[len(list)-1].(*openflow.Error)
		return is || done(list)
	})
	if err != nil {
		return nil, err
	}
	if refused != nil {
		return nil, refused
	}
	return list, nil
}

// sendError names what could not be sent, and why the reader ended if it has.
func (c *Controller) sendError(m openflow.Message, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		err = c.err
	}
	return fmt.Errorf("oftest: sending %s: %w", m.MsgType(), err)
}

// Barrier waits until the switch has finished everything sent before.
func (c *Controller) Barrier() error {
	_, err := Ask[*openflow.BarrierReply](c, &openflow.BarrierRequest{})
	return err
}

// Apply sends messages that have no answer of their own, then a barrier, and returns the first ERROR
// that one of them earned.
func (c *Controller) Apply(messages ...openflow.Message) error {
	xids := make([]uint32, len(messages))
	c.mu.Lock()
	for i := range messages {
		xids[i] = c.conn.NextXID()
		c.replies[xids[i]] = []openflow.Message{}
	}
	c.mu.Unlock()
	defer c.forget(xids)
	for i, m := range messages {
		if err := c.conn.Queue(xids[i], m); err != nil {
			return c.sendError(m, err)
		}
	}
	if err := c.Barrier(); err != nil {
		return err
	}
	return c.refusal(xids)
}

// Bundle has the messages carried out together or not at all. It returns the ERROR that one of them earned. A bundle
// that does not get all of its messages is left to the switch, which forgets it with the connection if not before.
func (c *Controller) Bundle(messages ...openflow.Message) error {
	const flags = openflow.BundleAtomic | openflow.BundleOrdered
	id := c.conn.NextXID()
	control := func(command openflow.BundleCommand) error {
		_, err := Ask[*openflow.Experimenter](c, openflow.BundleControl{ID: id, Command: command, Flags: flags}.Experimenter())
		return err
	}
	if err := control(openflow.BundleOpen); err != nil {
		return err
	}
	xids := make([]uint32, len(messages))
	c.mu.Lock()
	for i := range messages {
		xids[i] = c.conn.NextXID()
		c.replies[xids[i]] = []openflow.Message{}
	}
	c.mu.Unlock()
	defer c.forget(xids)
	for i, m := range messages {
		if err := c.conn.Queue(xids[i], openflow.BundleAdd(id, flags, openflow.Append(nil, xids[i], m))); err != nil {
			return c.sendError(m, err)
		}
	}
	if err := c.Barrier(); err != nil {
		return err
	}
	if err := c.refusal(xids); err != nil { // it was not taken into the bundle
		return err
	}
	err := control(openflow.BundleCommit)
	if of := c.refusal(xids); of != nil {
		return of
	}
	return err
}

// forget ends waiting for answers under these xids.
func (c *Controller) forget(xids []uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, xid := range xids {
		delete(c.replies, xid)
	}
}

// refusal is the first ERROR that has come under one of these xids, or nil.
func (c *Controller) refusal(xids []uint32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, xid := range xids {
		for _, m := range c.replies[xid] {
			if e, ok := m.(*openflow.Error); ok {
				return e
			}
		}
	}
	return nil
}

// Multipart asks and gathers the records of all parts of the answer.
func (c *Controller) Multipart(t openflow.MultipartType, body ...openflow.Record) ([]openflow.Record, error) {
	list, err := c.exchange(&openflow.MultipartRequest{Type: t, Records: body}, func(list []openflow.Message) bool {
		r, ok := list[len(list)-1].(*openflow.MultipartReply)
		return !ok || !r.More
	})
	if err != nil {
		return nil, err
	}
	var records []openflow.Record
	for _, m := range list {
		r, ok := m.(*openflow.MultipartReply)
		if !ok || r.Type != t {
			return nil, fmt.Errorf("oftest: multipart request %s was answered by %s", t, m)
		}
		records = append(records, r.Records...)
	}
	return records, nil
}

// Records is Multipart for records of type R.
func Records[R openflow.Record](c *Controller, t openflow.MultipartType, body ...openflow.Record) ([]R, error) {
	all, err := c.Multipart(t, body...)
	if err != nil {
		return nil, err
	}
	list := make([]R, len(all))
	for i, r := range all {
		v, ok := r.(R)
		if !ok {
			return nil, fmt.Errorf("oftest: a %s reply holds %v", t, r)
		}
		list[i] = v
	}
	return list, nil
}

// Flows asks for the flow entries that r selects; openflow.AllFlows selects all.
func (c *Controller) Flows(r *openflow.FlowStatsRequest) ([]*openflow.FlowStats, error) {
	return Records[*openflow.FlowStats](c, openflow.MultipartFlow, r)
}

// Ports asks for the descriptions of all ports.
func (c *Controller) Ports() ([]*openflow.Port, error) {
	return Records[*openflow.Port](c, openflow.MultipartPortDesc)
}

// AddFlow makes a FLOW_MOD that adds an entry; change the rest of it as needed.
func AddFlow(table uint8, priority uint16, match openflow.Match, instructions ...openflow.Instruction) *openflow.FlowMod {
	return &openflow.FlowMod{
		Command: openflow.FlowAdd, TableID: table, Priority: priority, BufferID: openflow.NoBuffer,
		OutPort: openflow.PortAny, OutGroup: openflow.GroupAny, Match: match, Instructions: openflow.NewInstructions(instructions...),
	}
}

// DeleteFlows makes a FLOW_MOD that deletes, in all tables, every entry that match covers.
func DeleteFlows(match openflow.Match) *openflow.FlowMod {
	m := AddFlow(openflow.TableAll, 0, match)
	m.Command = openflow.FlowDelete
	return m
}

// Expect waits for a message of type M for which ok says yes (nil: any), among those the switch
// sent by itself, and takes it out of the queue. Those before it stay for later calls.
func Expect[M openflow.Message](c *Controller, ok func(M) bool) (M, error) {
	var found M
	err := c.wait(fmt.Sprintf("%T from the switch", found), func() bool {
		for i, r := range c.async {
			m, is := r.m.(M)
			if is && (ok == nil || ok(m)) {
				found = m
				c.async = append(c.async[:i], c.async[i+1:]...)
				return true
			}
		}
		return false
	})
	return found, err
}

// Pending returns the messages that the switch sent by itself and that no Expect has taken.
func (c *Controller) Pending() []openflow.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]openflow.Message, len(c.async))
	for i, r := range c.async {
		list[i] = r.m
	}
	return list
}
