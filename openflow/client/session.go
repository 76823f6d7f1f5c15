package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// session is one connection after its HELLOs.
type session struct {
	c      *Client
	target string
	conn   *openflow.Conn
	stop   func() bool // leaves the connection alone when the time is over
}

// open connects and exchanges HELLOs.
func (c *Client) open(target string) (*session, error) { return c.openFor(target, ForManagement) }

func (c *Client) openFor(target string, purpose Purpose) (*session, error) {
	nc, err := c.Dial(c.ctx, target, purpose)
	if err != nil {
		return nil, err
	}
	s := &session{c: c, target: target, conn: openflow.NewConn(nc)}
	// Closing wakes whoever reads: the command is over.
	s.stop = context.AfterFunc(c.ctx, func() { nc.Close() })
	if err := s.greet(purpose); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() {
	s.stop()
	s.conn.Close()
}

func (c *Client) nextXID() uint32 {
	c.xid++
	return c.xid
}

// greet sends a HELLO of version 1.3 and judges the other's. A snooped connection may have every version.
func (s *session) greet(purpose Purpose) error {
	ours := openflow.NewHello(openflow.Version)
	if err := s.conn.Send(s.c.nextXID(), ours); err != nil {
		return s.lost(err)
	}
	raw, err := s.conn.ReadMessage()
	if err != nil {
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
	if _, err := openflow.Negotiate(ours, theirs); err != nil {
		refusal := err.(*openflow.Error)
		_ = s.conn.Send(s.c.nextXID(), refusal)
		return fmt.Errorf("%s: version negotiation failed: %s", s.target, refusal.Detail)
	}
	return nil
}

// lost names the connection that ended.
func (s *session) lost(err error) error {
	return fmt.Errorf("%s: the connection ended: %w", s.target, err)
}

// send queues m under a new transaction id.
func (s *session) send(m openflow.Message) (uint32, error) {
	xid := s.c.nextXID()
	if err := s.conn.Queue(xid, m); err != nil {
		return xid, s.lost(err)
	}
	return xid, nil
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
		if h.Type != openflow.TypeEchoRequest || h.Version != openflow.Version {
			return raw, nil
		}
		if err := s.conn.Send(h.XID, &openflow.EchoReply{Data: raw[openflow.HeaderSize:]}); err != nil {
			return nil, s.lost(err)
		}
	}
}

// answer gives the next message with the transaction id; what comes between is nobody's.
func (s *session) answer(xid uint32) ([]byte, error) {
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

// parts sends a multipart request and hands out each part of the answer, or the ERROR that is one.
func (s *session) parts(m openflow.Message, use func(raw []byte) error) error {
	xid, err := s.send(m)
	if err != nil {
		return err
	}
	for {
		raw, err := s.answer(xid)
		if err != nil {
			return err
		}
		if err := use(raw); err != nil {
			return err
		}
		if openflow.ReadHeader(raw).Type != openflow.TypeMultipartReply || len(raw) < 12 || raw[11]&1 == 0 {
			return nil
		}
	}
}

// records is parts with what is in them. An ERROR is returned as the text of the message.
func (s *session) records(m openflow.Message, use func(openflow.Record)) error {
	return s.parts(m, func(raw []byte) error {
		reply, _, err := openflow.Decode(raw)
		switch reply := reply.(type) {
		case *openflow.MultipartReply:
			for _, r := range reply.Records {
				use(r)
			}
			return nil
		case *openflow.Error:
			return errors.New(s.target + " refused:\n" + strings.TrimRight(ofctl.Message(raw, nil), "\n"))
		}
		if flows := ofctl.SplitFlows(raw); err != nil && flows != nil {
			for _, f := range flows {
				if f.Flow == nil {
					return fmt.Errorf("%s: a flow of table %d cannot be read: %w", s.target, f.Table, f.Err)
				}
				use(f.Flow)
			}
			return nil
		}
		return fmt.Errorf("%s: expected a multipart reply, got:\n%s", s.target, strings.TrimRight(ofctl.Message(raw, nil), "\n"))
	})
}

// apply sends messages that have no answer of their own, each with a barrier, and prints what is refused.
func (s *session) apply(list ...openflow.Message) error {
	for _, m := range list {
		xid, err := s.send(m)
		if err != nil {
			return err
		}
		barrier, err := s.send(&openflow.BarrierRequest{})
		if err != nil {
			return err
		}
		if err := s.await(xid, barrier); err != nil {
			return err
		}
	}
	return nil
}

// await waits for the barrier's reply; an ERROR for xid before it ends the command.
func (s *session) await(xid, barrier uint32) error {
	var refused []byte
	for {
		raw, err := s.receive()
		if err != nil {
			return err
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
		if refused == nil {
			return nil
		}
		names, err := s.c.namesToShow(s.target)
		if err != nil {
			return err
		}
		fmt.Fprint(s.c.Err, ofctl.Message(refused, names))
		return errTold
	}
}
