package openflow

import "fmt"

// QueueAll means every queue of a port, in requests.
const QueueAll uint32 = 0xffffffff

// RateUnset marks a queue rate that is not sent: the property is left out.
const RateUnset uint16 = 0xffff

// Queue describes a queue of a port (section 7.2.2). Rates are in tenths of a percent of the
// port's speed; above 1000 they are disabled.
type Queue struct {
	ID      uint32
	Port    PortNo
	MinRate uint16
	MaxRate uint16
}

// QueueGetConfigRequest asks for the queues of a port, or of all (PortAny); section 7.3.6.
type QueueGetConfigRequest struct{ Port PortNo }

// QueueGetConfigReply gives them.
type QueueGetConfigReply struct {
	Port   PortNo
	Queues []Queue
}

// MsgType is TypeQueueGetConfigRequest.
func (*QueueGetConfigRequest) MsgType() Type { return TypeQueueGetConfigRequest }

// MsgType is TypeQueueGetConfigReply.
func (*QueueGetConfigReply) MsgType() Type { return TypeQueueGetConfigReply }

func (m *QueueGetConfigRequest) String() string {
	return "QUEUE_GET_CONFIG_REQUEST port=" + m.Port.String()
}

func (m *QueueGetConfigReply) String() string {
	s := "QUEUE_GET_CONFIG_REPLY port=" + m.Port.String()
	for _, q := range m.Queues {
		s += fmt.Sprintf(" queue(%d port=%s min_rate=%s max_rate=%s)", q.ID, q.Port, rateText(q.MinRate), rateText(q.MaxRate))
	}
	return s
}

func rateText(r uint16) string {
	switch {
	case r == RateUnset:
		return "unset"
	case r > 1000:
		return "disabled"
	}
	return fmt.Sprintf("%d.%d%%", r/10, r%10)
}

func (m *QueueGetConfigRequest) appendBody(b []byte) []byte {
	return appendZeros(append32(b, uint32(m.Port)), 4)
}

func (m *QueueGetConfigReply) appendBody(b []byte) []byte {
	b = appendZeros(append32(b, uint32(m.Port)), 4)
	for i := range m.Queues {
		b = appendQueue(b, &m.Queues[i])
	}
	return b
}

func appendQueue(b []byte, q *Queue) []byte {
	start := len(b)
	b = append32(append32(b, q.ID), uint32(q.Port))
	b = appendZeros(b, 8)
	for prop, rate := range [...]uint16{1: q.MinRate, 2: q.MaxRate} {
		if prop == 0 || rate == RateUnset {
			continue
		}
		b = appendZeros(append16(append16(b, uint16(prop)), 16), 4)
		b = appendZeros(append16(b, rate), 6)
	}
	put16(b, start+8, uint16(len(b)-start))
	return b
}

func decodeQueueGetConfigRequest(b []byte) (Message, error) {
	if len(b) != 16 {
		return nil, badLen("QUEUE_GET_CONFIG_REQUEST", len(b), 16)
	}
	return &QueueGetConfigRequest{Port: PortNo(u32(b, 8))}, nil
}

func decodeQueueGetConfigReply(b []byte) (Message, error) {
	if len(b) < 16 {
		return nil, badLen("QUEUE_GET_CONFIG_REPLY", len(b), 16)
	}
	m := &QueueGetConfigReply{Port: PortNo(u32(b, 8))}
	for b = b[16:]; len(b) > 0; {
		n := 0
		if len(b) >= 16 {
			n = int(u16(b, 8))
		}
		if n < 16 || n > len(b) {
			return nil, badLen("queue", n, 16)
		}
		q, err := readQueue(b[:n])
		if err != nil {
			return nil, err
		}
		m.Queues = append(m.Queues, q)
		b = b[n:]
	}
	return m, nil
}

// readQueue skips the properties it does not know.
func readQueue(b []byte) (Queue, error) {
	q := Queue{ID: u32(b, 0), Port: PortNo(u32(b, 4)), MinRate: RateUnset, MaxRate: RateUnset}
	for b = b[16:]; len(b) > 0; {
		n := 0
		if len(b) >= 8 {
			n = int(u16(b, 2))
		}
		if n < 8 || n > len(b) {
			return q, badLen("queue property", n, 8)
		}
		switch prop := u16(b, 0); {
		case prop == 1 && n == 16:
			q.MinRate = u16(b, 8)
		case prop == 2 && n == 16:
			q.MaxRate = u16(b, 8)
		}
		b = b[n:]
	}
	return q, nil
}

// QueueStatsRequest asks for the counters of a queue (QueueAll) of a port (PortAny).
type QueueStatsRequest struct {
	Port  PortNo
	Queue uint32
}

func (r *QueueStatsRequest) appendRecord(b []byte) []byte {
	return append32(append32(b, uint32(r.Port)), r.Queue)
}

// QueueStats are the counters of one queue (section 7.3.5.8).
type QueueStats struct {
	Port                         PortNo
	Queue                        uint32
	TxBytes, TxPackets, TxErrors uint64
	DurationSec, DurationNsec    uint32
}

func (s *QueueStats) appendRecord(b []byte) []byte {
	b = append32(append32(b, uint32(s.Port)), s.Queue)
	b = append64(append64(append64(b, s.TxBytes), s.TxPackets), s.TxErrors)
	return append32(append32(b, s.DurationSec), s.DurationNsec)
}

func readQueueStats(b []byte) *QueueStats {
	return &QueueStats{Port: PortNo(u32(b, 0)), Queue: u32(b, 4), TxBytes: u64(b, 8), TxPackets: u64(b, 16), TxErrors: u64(b, 24), DurationSec: u32(b, 32), DurationNsec: u32(b, 36)}
}

func (s *QueueStats) String() string {
	return fmt.Sprintf("port=%s queue=%d packets=%d bytes=%d errors=%d duration=%d.%09ds", s.Port, s.Queue, s.TxPackets, s.TxBytes, s.TxErrors, s.DurationSec, s.DurationNsec)
}
