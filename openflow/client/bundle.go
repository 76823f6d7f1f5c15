package client

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// bundleFlags: all or none, and in the order in which they were sent.
const bundleFlags = openflow.BundleAtomic | openflow.BundleOrdered

func control(c openflow.BundleCommand) openflow.Message {
	return openflow.BundleControl{Command: c, Flags: bundleFlags}.Experimenter()
}

// bundleFile reads a file of flows, groups and packet-outs. A mistake in it sends nothing.
func (c *Client) bundleFile(args []string) error {
	c.Bundle = true
	return many(parseBundleLine)(c, args)
}

func parseBundleLine(text string, names *ofctl.Names) (openflow.Message, error) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	switch kind {
	case "flow":
		return ofctl.ParseFlowLine(rest, names)
	case "group":
		return ofctl.ParseGroupLine(rest, names)
	case "packet-out":
		return ofctl.ParsePacketOut(rest, names)
	}
	known := []string{"flow", "group", "packet-out"}
	if near := ofctl.Nearest(kind, known); near != "" {
		return nil, fmt.Errorf("a line of a bundle cannot begin with %q, did you mean %q?", kind, near)
	}
	return nil, fmt.Errorf("a line of a bundle cannot begin with %.40q: expected one of %s", kind, strings.Join(known, ", "))
}

// bundle sends the messages so that all take effect at once, or none. Each keeps inside the bundle the
// transaction id of the message that carries it, so that an ERROR tells which it was.
func (s *session) bundle(list []openflow.Message) error {
	inner := map[uint32][]byte{}
	var carriers []struct {
		xid uint32
		m   openflow.Message
	}
	for _, m := range list {
		xid := s.c.nextXID()
		raw := openflow.Append(nil, xid, m)
		inner[xid] = raw
		if len(raw)+24 > openflow.MaxMessage {
			return errors.New("a message is too long to be carried in a bundle")
		}
		carriers = append(carriers, struct {
			xid uint32
			m   openflow.Message
		}{xid, openflow.BundleAdd(0, bundleFlags, raw)})
	}
	if err := s.mustAnswer(control(openflow.BundleOpen)); err != nil {
		return err
	}
	for _, k := range carriers {
		if err := s.conn.Queue(k.xid, k.m); err != nil {
			return s.lost(err)
		}
	}
	barrier, err := s.send(&openflow.BarrierRequest{})
	if err != nil {
		return err
	}
	refused, err := s.refusals(barrier, inner)
	if err != nil {
		return err
	}
	commit, err := s.send(control(openflow.BundleCommit))
	if err != nil {
		return err
	}
	inner[commit] = openflow.Append(nil, commit, control(openflow.BundleCommit))
	more, err := s.refusals(commit, inner)
	if err != nil {
		return err
	}
	if refused || more {
		return &ExitError{Code: 1, Text: s.target + " refused the bundle: nothing was changed"}
	}
	return nil
}

// mustAnswer sends m and takes an ERROR for the end.
func (s *session) mustAnswer(m openflow.Message) error {
	raw, err := s.transact(m)
	if err == nil && openflow.ReadHeader(raw).Type == openflow.TypeError {
		err = fmt.Errorf("%s takes no bundles: %s", s.target, strings.SplitN(ofctl.Message(raw, nil), "\n", 2)[0])
	}
	return err
}

// refusals prints the ERRORs up to the answer with the transaction id last.
func (s *session) refusals(last uint32, inner map[uint32][]byte) (any bool, err error) {
	for {
		heard := s.c.overdue(s.target, s.nc) // until it says something: printRefusal may ask another connection
		raw, err := s.receive()
		heard()
		if err != nil {
			return any, err
		}
		h := openflow.ReadHeader(raw)
		if h.Type == openflow.TypeError {
			any = true
			s.printRefusal(bytes.Clone(raw), inner[h.XID])
		}
		if h.XID == last {
			return any, nil
		}
	}
}

// printRefusal tells the error and the whole message that it is about.
func (s *session) printRefusal(raw, about []byte) {
	name := ofctl.ErrorName(raw)
	if about == nil {
		fmt.Fprintf(s.c.Err, "Error %s\n", name)
		return
	}
	names, err := s.c.namesToShow(s.target)
	if err != nil {
		names = nil
	}
	fmt.Fprintf(s.c.Err, "Error %s for: %s", name, ofctl.Message(about, names))
}
