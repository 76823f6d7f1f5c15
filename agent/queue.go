// Slow path: queues, of which this switch has none: requests are answered truthfully.

package agent

import "github.com/weirswitch/weir/openflow"

func (c *Channel) handleQueueGetConfig(m *openflow.QueueGetConfigRequest, xid uint32) error {
	if err := c.sw.checkQueuePort(m.Port); err != nil {
		return err
	}
	return c.reply(xid, &openflow.QueueGetConfigReply{Port: m.Port})
}

func (s *Switch) answerQueues(r *openflow.QueueStatsRequest) error {
	if err := s.checkQueuePort(r.Port); err != nil {
		return err
	}
	if r.Queue != openflow.QueueAll {
		return openflow.Errorf(openflow.ErrQueueOpFailed, openflow.QOFCBadQueue, "port %s has no queue %d", r.Port, r.Queue)
	}
	return nil
}

func (s *Switch) checkQueuePort(no openflow.PortNo) error {
	if no != openflow.PortAny && s.table.Load().get(uint32(no)) == nil {
		return openflow.Errorf(openflow.ErrQueueOpFailed, openflow.QOFCBadPort, "there is no port %s", no)
	}
	return nil
}
