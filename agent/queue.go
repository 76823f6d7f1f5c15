// Slow path: the queues of ports: what controllers ask of them, and their configuration put to work.

package agent

import (
	"time"

	"github.com/weirswitch/weir/openflow"
)

// linkRate is what the port's queues share, in bit/s: as configured, else the device's speed; 0 when
// nobody knows.
func (p *port) linkRate(cfg *PortConfig) uint64 {
	if cfg.LinkRate != 0 {
		return cfg.LinkRate
	}
	return min(p.dev.Info().Speed*1000, maxRate)
}

// setQueues puts the port's configured queues to work, in place of those it has. ops is held.
func (s *Switch) setQueues(p *port, cfg *PortConfig) {
	old := p.sched.Load()
	if len(cfg.Queues) == 0 {
		p.sched.Store(nil)
	} else {
		p.sched.Store(newScheduler(s.clock, p, p.counters, p.linkRate(cfg), cfg.Queues, old))
	}
	if old != nil {
		s.quiesce() // batches that began before may still use it
		old.finish(false)
	}
}

// configured lists the queues that the user made; none for a port without a scheduler.
func (s *scheduler) configured() []*queue {
	if s == nil {
		return nil
	}
	list := s.queues
	if n := len(list); list[n-1].ID == noQueue {
		list = list[:n-1]
	}
	return list
}

// handleQueueGetConfig answers with the rates in tenths of a percent of the link, as the protocol
// wants them (section 7.3.6). Of a link whose speed nobody knows no part can be told: then they are
// left out.
func (c *Channel) handleQueueGetConfig(m *openflow.QueueGetConfigRequest, xid uint32) error {
	if err := c.sw.checkQueuePort(m.Port); err != nil {
		return err
	}
	reply := &openflow.QueueGetConfigReply{Port: m.Port}
	for _, p := range c.sw.table.Load().list {
		if m.Port != openflow.PortAny && uint32(m.Port) != p.number {
			continue
		}
		sched := p.sched.Load()
		for _, q := range sched.configured() {
			link := uint64(sched.linkNow())
			reply.Queues = append(reply.Queues, openflow.Queue{
				ID: q.ID, Port: openflow.PortNo(p.number), MinRate: tenths(q.MinRate, link), MaxRate: tenths(q.MaxRate, link),
			})
		}
	}
	if n := len(reply.Queues); n > maxQueuesTold {
		return openflow.Errorf(openflow.ErrQueueOpFailed, openflow.QOFCBadPort, "%d queues do not fit into one answer, which has no parts: ask port by port", n)
	}
	return c.reply(xid, reply)
}

// maxQueuesTold is how many queues with two rates a QUEUE_GET_CONFIG_REPLY holds.
const maxQueuesTold = (openflow.MaxMessage - 16) / 48

// tenths is a rate in tenths of a percent of the link's, at least one.
func tenths(rate, link uint64) uint16 {
	if rate == 0 || link == 0 {
		return openflow.RateUnset
	}
	return uint16(min(max((rate*1000+link/2)/link, 1), 1000))
}

// answerQueues adds the counters of a queue, or of all. A port without queues has none to tell of,
// which is an error only if one was named.
func (s *Switch) answerQueues(r *openflow.QueueStatsRequest, w *openflow.ReplyWriter) error {
	if err := s.checkQueuePort(r.Port); err != nil {
		return err
	}
	var list []openflow.QueueStats
	now := s.clock.Now()
	for _, p := range s.table.Load().list {
		if r.Port != openflow.PortAny && uint32(r.Port) != p.number {
			continue
		}
		for _, q := range p.sched.Load().configured() {
			if r.Queue == openflow.QueueAll || r.Queue == q.ID {
				list = append(list, q.stats(p.number, now))
			}
		}
	}
	if len(list) == 0 && r.Queue != openflow.QueueAll {
		return openflow.Errorf(openflow.ErrQueueOpFailed, openflow.QOFCBadQueue, "port %s has no queue %d", r.Port, r.Queue)
	}
	return addAll(w, list)
}

func (q *queue) stats(port uint32, now time.Duration) openflow.QueueStats {
	age := max(0, now-q.born)
	return openflow.QueueStats{
		Port: openflow.PortNo(port), Queue: q.ID, TxBytes: q.queueCount.bytes.Load(), TxPackets: q.queueCount.packets.Load(),
		TxErrors: q.errors.Load(), DurationSec: uint32(age / time.Second), DurationNsec: wholeMillis(age),
	}
}

func (s *Switch) checkQueuePort(no openflow.PortNo) error {
	if no != openflow.PortAny && s.table.Load().get(uint32(no)) == nil {
		return openflow.Errorf(openflow.ErrQueueOpFailed, openflow.QOFCBadPort, "there is no port %s", no)
	}
	return nil
}

// QueueStatus is one queue of a port.
type QueueStatus struct {
	ID        uint32 `json:"queue"`
	MinRate   uint64 `json:"min_rate_bps,omitempty"` // 0: none
	MaxRate   uint64 `json:"max_rate_bps,omitempty"`
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	Dropped   uint64 `json:"dropped"` // found no room to wait
}

func (p *port) queueStatus() (list []QueueStatus) {
	for _, q := range p.sched.Load().configured() {
		list = append(list, QueueStatus{ID: q.ID, MinRate: q.MinRate, MaxRate: q.MaxRate, TxPackets: q.queueCount.packets.Load(), TxBytes: q.queueCount.bytes.Load(), Dropped: q.errors.Load()})
	}
	return list
}
