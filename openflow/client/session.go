package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// session is one connection after its HELLOs.
type session struct {
	c      *Client
	target string
	nc     net.Conn
	conn   *openflow.Conn
	old    *of10.Session // OpenFlow 1.0 was agreed on; nil: 1.3
	asked  []byte        // the last message that was sent
	stop   func() bool   // leaves the connection alone when the time is over
}

// open connects and exchanges HELLOs.
func (c *Client) open(target string) (*session, error) { return c.openFor(target, ForManagement) }

func (c *Client) openFor(target string, purpose Purpose) (*session, error) {
	heard := c.overdue(target, nil)
	nc, err := c.Dial(c.ctx, target, purpose)
	heard()
	if err != nil {
		return nil, err
	}
	s := &session{c: c, target: target, nc: nc, conn: openflow.NewConn(nc)}
	// Closing wakes whoever reads: the command is over.
	s.stop = context.AfterFunc(c.ctx, func() { nc.Close() })
	if err := s.greet(purpose); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// overdue has people told, once a command, that a switch says nothing, for the command waits as long as it is allowed to. heard ends
// that, and returns when nothing more is said.
func (c *Client) overdue(target string, nc net.Conn) (heard func()) {
	if c.late {
		return func() {}
	}
	told, patience := make(chan struct{}), cmp.Or(c.Patience, 5*time.Second)
	timer := time.AfterFunc(patience, func() {
		defer close(told)
		c.late = true // its owner waits for heard, or for the switch
		why := "what listens there may be stopped, or be no OpenFlow switch"
		if c.Unanswered != nil {
			why = c.Unanswered(nc)
		}
		if c.Timeout == 0 {
			why += "; -t SECONDS ends the waiting"
		}
		fmt.Fprintf(c.Err, "%s: no answer for %v, still waiting: %s\n", target, patience, why)
	})
	return func() {
		if !timer.Stop() {
			<-told
		}
	}
}

func (s *session) close() {
	s.stop()
	s.conn.Close()
}

func (c *Client) nextXID() uint32 {
	c.xid++
	return c.xid
}

// greet sends a HELLO and agrees on a version. A snooped connection may have every one.
func (s *session) greet(purpose Purpose) error {
	ours := openflow.NewHello(s.c.versions()...)
	ours.HasBitmap = ours.Version > of10.Version // which knows of none
	defer s.c.overdue(s.target, s.nc)()
	sent := s.conn.Send(s.c.nextXID(), ours)
	raw, err := s.conn.ReadMessage() // also when nothing could be sent: why may have been told, as in a TLS alert
	if err = whyLost(sent, err); err != nil {
		return s.lost(err)
	}
	m, _, err := openflow.Decode(raw)
	theirs, ok := m.(*openflow.Hello)
	if err != nil || !ok {
		return fmt.Errorf("%s: expected a HELLO, got:\n%s", s.target, ofctl.Message(raw, nil))
	}
	if purpose == ForSnooping {
		return nil
	}
	v, err := openflow.Negotiate(ours, theirs)
	if err != nil {
		refusal := err.(*openflow.Error)
		_ = s.conn.Send(s.c.nextXID(), refusal)
		return fmt.Errorf("%s: version negotiation failed: %s", s.target, refusal.Detail)
	}
	if v == of10.Version {
		s.old = &of10.Session{Plain: s.c.Plain}
	}
	s.c.spoke[s.target] = v
	return nil
}

// decode reads an answer.
func (s *session) decode(raw []byte) (openflow.Message, error) {
	if s.old != nil {
		m, _, err := s.old.DecodeReply(raw)
		return m, err
	}
	m, _, err := openflow.Decode(raw)
	return m, err
}

// refused is the error of an answer that is not what was asked for.
func (s *session) refused(raw []byte) error {
	return errors.New(s.target + " refused:\n" + strings.TrimRight(ofctl.Message(raw, nil), "\n"))
}

// whyLost chooses between the errors of a write and of the read after it. A peer that refuses a certificate says so when the
// handshake is over for this side (TLS 1.3), and closes: whether the write still succeeds is chance, the alert is there to be read.
func whyLost(sent, read error) error {
	var told *net.OpError
	if sent == nil || errors.As(read, &told) && told.Op == "remote error" {
		return read
	}
	return sent
}

// lost names the connection that ended.
func (s *session) lost(err error) error {
	return fmt.Errorf("%s: the connection ended: %w", s.target, err)
}

// send queues m under a new transaction id. On OpenFlow 1.0 it asks first for the extensions that m needs.
func (s *session) send(m openflow.Message) (uint32, error) {
	if s.old != nil {
		for first := s.old.Prepare(m); first != nil; first = s.old.Prepare(m) {
			if err := s.prepare(first); err != nil {
				return 0, err
			}
		}
	}
	xid := s.c.nextXID()
	return xid, s.queue(xid, m)
}

func (s *session) queue(xid uint32, m openflow.Message) error {
	if s.old == nil {
		s.asked = openflow.Append(s.asked[:0], xid, m)
	} else {
		var err error
		if s.asked, err = s.old.AppendRequest(s.asked[:0], xid, m); err != nil {
			return fmt.Errorf("%s: %w", s.target, err)
		}
	}
	if err := s.conn.QueueRaw(s.asked); err != nil {
		return s.lost(err)
	}
	return nil
}

// prepare asks for an extension and waits until it is there. A switch without NXM is spoken to without.
func (s *session) prepare(m *openflow.Experimenter) error {
	refused, err := s.settle(m)
	switch {
	case err != nil || refused == nil:
		return err
	case of10.AsksForNXM(m):
		s.old.Plain = true
		return nil
	}
	return fmt.Errorf("%s has one table for OpenFlow 1.0, and a flow cannot name another: %s", s.target, strings.SplitN(ofctl.Message(refused, nil), "\n", 2)[0])
}

// receive gives the next message. Echo requests are answered and passed over.
func (s *session) receive() ([]byte, error) {
	if err := s.conn.Flush(); err != nil {
		return nil, s.lost(err)
	}
	for {
		raw, err := s.conn.ReadMessage()
		if err != nil {
			return nil, s.lost(err)
		}
		h := openflow.ReadHeader(raw)
		if h.Type != openflow.TypeEchoRequest {
			return raw, nil
		}
		err = s.queue(h.XID, &openflow.EchoReply{Data: raw[openflow.HeaderSize:]})
		if err == nil {
			err = s.conn.Flush()
		}
		if err != nil {
			return nil, s.lost(err)
		}
	}
}

// answer gives the next message with the transaction id; what comes between is nobody's.
func (s *session) answer(xid uint32) ([]byte, error) {
	defer s.c.overdue(s.target, s.nc)()
	for {
		raw, err := s.receive()
		if err != nil || openflow.ReadHeader(raw).XID == xid {
			return raw, err
		}
	}
}

// transact sends m and gives its answer, which may be an ERROR.
func (s *session) transact(m openflow.Message) ([]byte, error) {
	xid, err := s.send(m)
	if err != nil {
		return nil, err
	}
	return s.answer(xid)
}

// parts sends a multipart request and hands out each part of the answer, or the ERROR that is one. Anything else is
// handed out, too, and then an error, as for ovs-ofctl.
func (s *session) parts(m openflow.Message, use func(raw []byte) error) error {
	xid, err := s.send(m)
	if err != nil {
		return err
	}
	asked := bytes.Clone(s.asked)
	for {
		raw, err := s.answer(xid)
		if err != nil {
			return err
		}
		if err := use(raw); err != nil {
			return err
		}
		switch {
		case openflow.ReadHeader(raw).Type == openflow.TypeError:
			return nil
		case !s.answers(asked, raw):
			return fmt.Errorf("%s: that is no answer to what it was asked: it breaks the protocol, or something else listens there", s.target)
		case !s.isPart(raw) || raw[11]&1 == 0:
			return nil
		}
	}
}

// answers reports a message of the type that follows a request: in each version it is the next one. What is in it may
// be readable or not.
func (s *session) answers(asked, raw []byte) bool {
	head, isMultipart := 16, openflow.Type(asked[1]) == openflow.TypeMultipartRequest
	if s.old != nil { // whose parts have no padding
		head, isMultipart = 12, openflow.Type(asked[1]) == of10.StatsReply-1
	}
	if raw[0] != asked[0] || raw[1] != asked[1]+1 {
		return false
	}
	return !isMultipart || len(raw) >= head && bytes.Equal(raw[8:10], asked[8:10])
}

// isPart reports a part of a multipart reply.
func (s *session) isPart(raw []byte) bool {
	t := openflow.TypeMultipartReply
	if s.old != nil {
		t = of10.StatsReply
	}
	return openflow.ReadHeader(raw).Type == t && len(raw) >= 12
}

// flows is parts for a request for flows: each with its own words. A flow that cannot be read is an error.
func (s *session) flows(f *openflow.FlowStatsRequest, use func(*ofctl.FlowRecord)) error {
	m := &openflow.MultipartRequest{Type: openflow.MultipartFlow, Records: []openflow.Record{f}}
	return s.parts(m, func(raw []byte) error {
		if !s.isPart(raw) {
			return s.refused(raw)
		}
		list, err := ofctl.Flows(raw)
		if err != nil {
			return fmt.Errorf("%s: %w:\n%s", s.target, err, strings.TrimRight(ofctl.Message(raw, nil), "\n"))
		}
		for i := range list {
			r := &list[i]
			if r.Flow == nil {
				return fmt.Errorf("%s: a flow of table %d cannot be read: %w", s.target, r.Table, r.Err)
			}
			use(r)
		}
		return nil
	})
}

// records is parts with what is in them. An ERROR is returned as the text of the message.
func (s *session) records(m openflow.Message, use func(openflow.Record)) error {
	return s.parts(m, func(raw []byte) error {
		reply, _ := s.decode(raw)
		switch reply := reply.(type) {
		case *openflow.MultipartReply:
			for _, r := range reply.Records {
				use(r)
			}
			return nil
		case *openflow.Error:
			return s.refused(raw)
		}
		return fmt.Errorf("%s: expected a multipart reply, got:\n%s", s.target, strings.TrimRight(ofctl.Message(raw, nil), "\n"))
	})
}

// apply sends messages that have no answer of their own, each with a barrier, and prints what is refused.
func (s *session) apply(list ...openflow.Message) error {
	for _, m := range list {
		refused, err := s.settle(m)
		if err != nil {
			return err
		}
		if refused != nil {
			return s.tell(refused)
		}
	}
	return nil
}

// tell prints what a switch has refused.
func (s *session) tell(refused []byte) error {
	names, err := s.c.namesToShow(s.target)
	if err != nil {
		return err
	}
	fmt.Fprint(s.c.Err, ofctl.Message(refused, names))
	s.explain(refused)
	return errTold
}

// explain says what an ERROR means and how to mend it, to a person.
func (s *session) explain(raw []byte) {
	if !s.c.Explain {
		return
	}
	m, _ := s.decode(raw)
	if e, ok := m.(*openflow.Error); ok {
		if what, mend := e.Meaning(); what != "" {
			fmt.Fprintf(s.c.Err, "(%s; %s)\n", what, mend)
		}
	}
}

// settle sends m and a barrier, and waits for the barrier's reply. refused is an ERROR that came before it.
func (s *session) settle(m openflow.Message) (refused []byte, err error) {
	xid, err := s.send(m)
	if err != nil {
		return nil, err
	}
	barrier, err := s.send(&openflow.BarrierRequest{})
	if err != nil {
		return nil, err
	}
	defer s.c.overdue(s.target, s.nc)()
	for {
		raw, err := s.receive()
		if err != nil {
			return nil, err
		}
		switch h := openflow.ReadHeader(raw); {
		case h.Type == openflow.TypeError && (h.XID == xid || h.XID == barrier):
			refused = bytes.Clone(raw)
			if h.XID != barrier {
				continue
			}
		case h.XID != barrier:
			continue
		}
		return refused, nil
	}
}

// features asks what the switch is.
func (s *session) features() (*openflow.FeaturesReply, []byte, error) {
	raw, err := s.transact(&openflow.FeaturesRequest{})
	if err != nil {
		return nil, nil, err
	}
	m, err := s.decode(raw)
	f, ok := m.(*openflow.FeaturesReply)
	if err != nil || !ok {
		return nil, nil, s.refused(raw)
	}
	return f, raw, nil
}
