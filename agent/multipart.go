// Slow path: multipart requests and their answers in parts.

package agent

import (
	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
)

// handleMultipart answers one request (section 7.3.5). The parts go out as they are made, so a dump
// of a million entries needs no more memory than the connection's outbox.
func (c *Channel) handleMultipart(m *openflow.MultipartRequest, xid uint32, raw []byte) error {
	m, err := c.parts.add(xid, m, len(raw))
	if m == nil || err != nil {
		return err
	}
	c.publish()
	w := c.replies(m.Type, xid, raw)
	switch m.Type {
	case openflow.MultipartFlowMonitor:
		return c.startMonitors(m, w, raw)
	case openflow.MultipartPortDesc:
		return c.answerPorts(xid, raw)
	}
	if err := c.sw.answer(m, w); err != nil {
		return err
	}
	return w.Close()
}

// answer adds the records. All checks come before the first record: an error after a part has gone
// out would leave the peer with half an answer.
func (s *Switch) answer(m *openflow.MultipartRequest, w *openflow.ReplyWriter) error {
	switch m.Type {
	case openflow.MultipartDesc:
		return w.Add(s.describeSwitch())
	case openflow.MultipartFlow:
		return s.answerFlows(m.Records[0].(*openflow.FlowStatsRequest), w)
	case openflow.MultipartAggregate:
		return s.answerAggregate(m.Records[0].(*openflow.FlowStatsRequest), w)
	case openflow.MultipartTable:
		return s.answerTables(w)
	case openflow.MultipartTableFeatures:
		return s.answerTableFeatures(m, w)
	case openflow.MultipartPortStats:
		return addAll(w, s.portStats(m.Records[0].(*openflow.PortStatsRequest).Port))
	case openflow.MultipartQueue:
		return s.answerQueues(m.Records[0].(*openflow.QueueStatsRequest), w)
	case openflow.MultipartGroup:
		return s.answerGroups(m.Records[0].(*openflow.GroupStatsRequest), w)
	case openflow.MultipartGroupDesc:
		return s.answerGroupDescs(m, w)
	case openflow.MultipartGroupFeatures:
		return w.Add(s.groupFeatures())
	case openflow.MultipartMeter, openflow.MultipartMeterConfig:
		return s.answerMeters(m.Records[0].(*openflow.MeterRequest), m.Type == openflow.MultipartMeterConfig, w)
	case openflow.MultipartMeterFeatures:
		return s.answerMeterFeatures(w)
	case openflow.MultipartExperimenter:
		r := m.Records[0].(*openflow.ExperimenterRecord)
		return unknownExperimenter("multipart message", r.Experimenter, r.ExpType)
	}
	return openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadMultipart, "no multipart type %d", m.Type)
}

// answerPorts lists the ports, the whole list between two PORT_STATUS.
func (c *Channel) answerPorts(xid uint32, raw []byte) error {
	return c.inStep(func() error {
		w := c.repliesTo(openflow.MultipartPortDesc, xid, raw, c.out.replyNow)
		if err := addAll(w, c.sw.portDescs()); err != nil {
			return err
		}
		return w.Close()
	})
}

// recordPointer is *T for a T that travels in a multipart body.
type recordPointer[T any] interface {
	*T
	openflow.Record
}

func addAll[T any, P recordPointer[T]](w *openflow.ReplyWriter, list []T) error {
	for i := range list {
		if err := w.Add(P(&list[i])); err != nil {
			return err
		}
	}
	return nil
}

// answerFlows sends entries in order of table, priority downwards and age. Those that ovs-ofctl
// cannot read come last, each in a message of its own: it gives up on the message, not on the dump.
func (s *Switch) answerFlows(r *openflow.FlowStatsRequest, w *openflow.ReplyWriter) error {
	entries, err := s.pipe.Flows(flowFilter(r))
	if err != nil {
		return err
	}
	now := s.clock.Now()
	var odd []*flowtable.Entry
	var seen plainness
	var st openflow.FlowStats // one for all: a dump of a million allocates no million
	for _, e := range entries {
		if !seen.plain(e) {
			odd = append(odd, e)
			continue
		}
		st = flowStats(e, now)
		if err := w.Add(&st); err != nil {
			return err
		}
	}
	for _, e := range odd {
		w.Break()
		st = flowStats(e, now)
		if err := w.Add(&st); err != nil {
			return err
		}
	}
	return nil
}

// plainness remembers the verdict on the instructions seen last: most tables say few things many times.
type plainness struct {
	last openflow.Instructions
	is   bool
}

// plain reports an entry that ovs-ofctl knows every word of.
func (p *plainness) plain(e *flowtable.Entry) bool {
	for f := range e.Match().Bits() {
		switch f.ID {
		case openflow.InPhyPort, openflow.IPv6ExtHdr, openflow.PBBISID, openflow.PBBUCA:
			return false
		}
	}
	list := e.Instructions()
	if list.IsEmpty() || p.is && list.Equal(p.last) {
		return true
	}
	p.last, p.is = list, true
	for i := range list.All() {
		p.is = p.is && plainActions(i.Actions)
	}
	return p.is
}

func plainActions(list openflow.Actions) bool {
	for a := range list.All() {
		switch a.Type {
		case openflow.ActionCopyTTLIn, openflow.ActionCopyTTLOut, openflow.ActionPushPBB, openflow.ActionPopPBB:
			return false
		case openflow.ActionSetField:
			if a.Field.ID == openflow.PBBISID || a.Field.ID == openflow.PBBUCA {
				return false
			}
		}
	}
	return true
}

func (s *Switch) answerAggregate(r *openflow.FlowStatsRequest, w *openflow.ReplyWriter) error {
	sum, err := s.pipe.Aggregate(flowFilter(r))
	if err != nil {
		return err
	}
	return w.Add(&openflow.AggregateStats{PacketCount: sum.Packets, ByteCount: sum.Bytes, FlowCount: uint32(sum.Flows)})
}
