// Hot path: ports with queues, and no others: which frames leave now, which wait, which are lost; one lock a batch.

package agent

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/ports"
)

// scheduler shares a port's link among its queues (section 5.5 leaves the how to the switch). It is
// weir's own: the kernel's traffic control stays free for whoever else uses it.
//
//  1. A queue within its min-rate goes first; of several the one that is furthest behind.
//  2. What the link has left is shared by the others in equal parts.
//  3. A queue above its max-rate waits, and so does all when the link is full. A frame that need not
//     wait is not copied.
//
// Levels count bits, and a frame may go while its levels are not negative: so a super-frame leaves in
// one piece, and its debt is paid before the next. A worker that comes with frames moves the waiting
// ones on too; when none comes a timer does.
type scheduler struct {
	clock    Clock
	dev      frameWriter
	counters *ports.Counters

	mu       sync.Mutex // guards what follows; it is held while frames are written, which keeps their order
	link     level
	queues   []*queue // in order of their ids; the last may be the rest
	byID     [smallQueueIDs]*queue
	rest     *queue // of frames whose queue is not configured: queue 0, or one without rates
	filled   time.Duration
	turn     int64 // virtual time: what an equal share has been given, in bytes
	out      []*packet.Frame
	mine     []*packet.Frame // of out, those to be used again
	spare    []*packet.Frame
	timer    Timer // nil: none is armed
	due      time.Duration
	finished bool
}

// frameWriter is the half of ports.Port that a scheduler needs.
type frameWriter interface {
	Write([]*packet.Frame) int
}

const (
	smallQueueIDs = 64                     // ids below are found by index
	levelTime     = 20 * time.Millisecond  // what a level can save up while nobody wants it
	waitTime      = 200 * time.Millisecond // what frames may wait, and what a level saves up for those that do
	leastWaiting  = 32 << 10               // bytes that may wait in a queue: waitTime at its rate, within these
	mostWaiting   = 4 << 20                // bounds; and always one frame, be it a super-frame
	mostFrames    = 4096                   // which may wait in a queue however small they are
	soonest       = time.Millisecond
	spareFrames   = 256
	spareBytes    = 2048
)

// queue is one queue of a port.
type queue struct {
	QueueConfig
	min, max level
	bound    int // bytes that may wait
	waiting  []*packet.Frame
	head     int // of waiting: those before have left
	bytes    int
	served   int64 // virtual time of its next frame
	*queueCount
}

// queueCount outlives a change of the queue's rates.
type queueCount struct {
	born                   time.Duration
	packets, bytes, errors atomic.Uint64
}

// level is a rate and what it has saved up, in bits times 10^9, that is, bit/s times nanoseconds.
type level struct {
	rate int64 // bit/s; 0: no limit
	now  int64
}

const bit = int64(time.Second)

// fill adds what a time has brought. While frames wait for the level, the processor that comes late must not take from
// the rate: then all of waitTime counts.
func (l *level) fill(d time.Duration, wanted bool) {
	if l.rate == 0 {
		return
	}
	most := l.rate * int64(levelTime)
	if wanted {
		most = max(most, min(l.rate, maxRate/10)*int64(waitTime)) // the numbers hold a tenth of maxRate for ten times levelTime
	}
	if int64(d) > (most-l.now)/l.rate {
		l.now = most
	} else {
		l.now += l.rate * int64(d)
	}
}

func (l *level) open() bool { return l.rate == 0 || l.now >= 0 }

func (l *level) take(bytes int64) {
	if l.rate != 0 {
		l.now -= bytes * 8 * bit
	}
}

// wait is how long until the level is open.
func (l *level) wait() time.Duration {
	if l.open() {
		return 0
	}
	return time.Duration(-l.now/l.rate + 1)
}

// newScheduler makes the queues of a port whose link carries linkRate bit/s, 0 for no limit. Counters
// are taken over from old, if it is not nil.
func newScheduler(clock Clock, dev frameWriter, counters *ports.Counters, linkRate uint64, list []QueueConfig, old *scheduler) *scheduler {
	s := &scheduler{clock: clock, dev: dev, counters: counters, filled: clock.Now(), link: level{rate: int64(linkRate)}}
	add := func(c QueueConfig) *queue {
		q := &queue{QueueConfig: c, min: level{rate: int64(c.MinRate)}, max: level{rate: int64(c.MaxRate)}, queueCount: &queueCount{born: s.filled}}
		rate := c.MaxRate
		if rate == 0 {
			rate = linkRate
		}
		q.bound = int(min(max(rate/8*uint64(waitTime/time.Millisecond)/1000, leastWaiting), mostWaiting))
		if was := old.find(c.ID); was != nil && was.ID == c.ID {
			q.queueCount = was.queueCount
		}
		s.queues = append(s.queues, q)
		if c.ID < smallQueueIDs {
			s.byID[c.ID] = q
		}
		return q
	}
	for _, c := range list {
		add(c)
	}
	if s.rest = s.byID[0]; s.rest == nil {
		s.rest = add(QueueConfig{ID: noQueue})
	}
	return s
}

// noQueue is the id of the queue that nobody configured: no set_queue can name it.
const noQueue = 0xffffffff

// find is the queue of an id, or the one for all others.
func (s *scheduler) find(id uint32) *queue {
	if s == nil {
		return nil
	}
	if id < smallQueueIDs {
		if q := s.byID[id]; q != nil {
			return q
		}
		return s.rest
	}
	for _, q := range s.queues {
		if q.ID == id {
			return q
		}
	}
	return s.rest
}

// setLink changes what the link carries.
func (s *scheduler) setLink(rate uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link.rate != int64(rate) {
		s.link = level{rate: int64(rate)}
	}
}

// linkNow is what the link carries, in bit/s.
func (s *scheduler) linkNow() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.link.rate
}

// send takes a batch of frames, each for the queue beside it. The frames are the caller's again when
// it returns.
func (s *scheduler) send(now time.Duration, frames []*packet.Frame, ids []uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now)
	for i, f := range frames {
		q := s.find(ids[i])
		if q.bytes == 0 && q.max.open() && s.link.open() { // after advance all others wait for levels of their own
			q.served = max(q.served, s.turn)
			s.leave(q, f)
		} else {
			s.keep(q, f)
		}
	}
	s.write()
	s.arm(now)
}

// advance fills the levels and lets go what may leave.
func (s *scheduler) advance(now time.Duration) {
	if d := now - s.filled; d > 0 {
		s.filled = now
		backlog := false
		for _, q := range s.queues {
			waiting := q.bytes > 0
			backlog = backlog || waiting
			q.min.fill(d, waiting)
			q.max.fill(d, waiting)
		}
		s.link.fill(d, backlog)
	}
	for s.link.open() {
		q := s.next()
		if q == nil {
			break
		}
		f := q.waiting[q.head]
		q.waiting[q.head] = nil
		if q.head++; q.head == len(q.waiting) {
			q.waiting, q.head = q.waiting[:0], 0
		}
		q.bytes -= f.Len()
		s.mine = append(s.mine, f)
		s.leave(q, f)
	}
}

// next is the queue whose turn it is, or nil.
func (s *scheduler) next() (best *queue) {
	var most int64 = -1 // how far behind its min-rate best is, in nanoseconds; -1: it is not
	for _, q := range s.queues {
		if q.bytes == 0 || !q.max.open() {
			continue
		}
		behind := int64(-1)
		if q.min.rate != 0 && q.min.now >= 0 {
			behind = q.min.now / q.min.rate
		}
		if best == nil || behind > most || behind == most && q.served < best.served {
			best, most = q, behind
		}
	}
	return best
}

// leave puts a frame of q into the batch that is about to be written. Within its min-rate a queue
// uses up that, else a part of what is left over: who took of the rest keeps its guarantee.
func (s *scheduler) leave(q *queue, f *packet.Frame) {
	_, wire := f.OnWire()
	n := int64(wire)
	s.link.take(n)
	q.max.take(n)
	if q.min.rate != 0 && q.min.now >= 0 {
		q.min.take(n)
	} else {
		s.turn = max(s.turn, q.served)
		q.served += n
	}
	q.queueCount.packets.Add(1)
	q.queueCount.bytes.Add(uint64(f.Len()))
	s.out = append(s.out, f)
}

// lacksRoom says that a frame cannot wait in a queue.
func (s *scheduler) lacksRoom(q *queue, f *packet.Frame) bool {
	return q.bytes > 0 && q.bytes+f.Len() > q.bound || len(q.waiting)-q.head >= mostFrames || s.finished
}

// keep copies a frame into its queue, if there is room.
func (s *scheduler) keep(q *queue, f *packet.Frame) {
	if s.lacksRoom(q, f) {
		q.errors.Add(1)
		s.counters.DropTx(ports.DropFull, 1)
		return
	}
	var c *packet.Frame
	if n := len(s.spare); n > 0 && f.Len() <= spareBytes {
		c, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		c = packet.NewFrame(max(f.Len(), spareBytes))
	}
	f.CopyTo(c)
	if q.bytes == 0 {
		q.served = max(q.served, s.turn)
	}
	if len(q.waiting) == cap(q.waiting) && q.head > len(q.waiting)/2 {
		n := copy(q.waiting, q.waiting[q.head:])
		clear(q.waiting[n:])
		q.waiting, q.head = q.waiting[:n], 0
	}
	q.waiting = append(q.waiting, c)
	q.bytes += f.Len()
}

// write hands what may leave to the device.
func (s *scheduler) write() {
	if len(s.out) > 0 {
		s.dev.Write(s.out)
	}
	clear(s.out)
	s.out = s.out[:0]
	for i, f := range s.mine {
		if f.Len() <= spareBytes && len(s.spare) < spareFrames {
			s.spare = append(s.spare, f)
		}
		s.mine[i] = nil
	}
	s.mine = s.mine[:0]
}

// arm sees to it that somebody comes back when the first waiting frame may leave. A millisecond
// apart is often enough, and seldom enough to cost nothing.
func (s *scheduler) arm(now time.Duration) {
	first := time.Duration(-1)
	for _, q := range s.queues {
		if q.bytes > 0 {
			if w := max(q.max.wait(), s.link.wait(), soonest); first < 0 || w < first {
				first = w
			}
		}
	}
	if first < 0 || s.timer != nil && s.due <= now+first {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	s.due = now + first
	s.timer = s.clock.AfterFunc(first, s.tick)
}

func (s *scheduler) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished {
		return
	}
	now := s.clock.Now()
	s.timer = nil
	s.advance(now)
	s.write()
	s.arm(now)
}

// finish ends the scheduler when no worker uses it any more: what waits is written at once, or lost
// and counted when the port is about to close.
func (s *scheduler) finish(lose bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	if s.timer != nil {
		s.timer.Stop()
	}
	for _, q := range s.queues {
		for _, f := range q.waiting[q.head:] {
			if lose {
				q.errors.Add(1)
				s.counters.DropTx(ports.DropLinkDown, 1)
			} else {
				s.leave(q, f)
			}
		}
		q.waiting, q.head, q.bytes = nil, 0, 0
	}
	s.write()
}
