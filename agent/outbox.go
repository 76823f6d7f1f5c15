// Slow path: what waits to be sent to one controller, bounded, so that a slow reader hurts only itself.

package agent

import (
	"errors"
	"io"
	"sync"

	"github.com/weirswitch/weir/openflow"
)

const (
	// replyRoom is how many unsent bytes a connection's own requests may pile up before its next
	// request waits. It holds a few of the largest messages.
	replyRoom = 1 << 20
	// asyncRoom is how many unsent bytes others (expiry, ports, other controllers) may add. Beyond
	// it a FLOW_REMOVED is dropped and counted.
	asyncRoom = 8 << 20
	// packetRoom bounds waiting packet-ins by bytes; BridgeConfig.PacketInQueue bounds them by number.
	packetRoom = 8 << 20
	// directMost is how long an answer may be that is written past the writer.
	directMost = 4 << 10
)

// errOutboxFull is why a connection ends whose peer has missed a message that it cannot do without.
var errOutboxFull = errors.New("the peer does not read: too much is waiting to be sent")

// outbox is the outgoing side of one connection: two byte queues, filled by anybody, drained by the
// connection's writer. Replies, errors and status messages keep their order among each other;
// packet-ins have a queue of their own, so that a flood of them delays no reply.
type outbox struct {
	limit   *packetLimit
	sending func([]byte) // sees whole messages just before they are written; nil: nobody. Set before run

	// direct writes what the connection takes without waiting and says how much; nil: the writer does it all. Set
	// before run.
	direct func([]byte) int

	mu      sync.Mutex
	queue   int       // packet-ins that may wait
	work    sync.Cond // something to send, or closed
	room    sync.Cond // something was taken, or closed
	replies []byte
	packets []byte
	waiting int    // packet-ins in packets
	resting bool   // the writer has written all that it took
	passing bool   // an answer is being written past the writer, which waits for that
	torn    []byte // the rest of such an answer: goes first
	scratch []byte // of whoever passes
	closed  error
	drain   bool   // closed, but send what is there first
	sent    uint64 // messages
	lost    uint64 // asynchronous messages that are not packet-ins
}

func newOutbox(queue int, limit *packetLimit) *outbox {
	o := &outbox{queue: queue, limit: limit}
	o.work.L, o.room.L = &o.mu, &o.mu
	return o
}

// resize changes how many packet-ins may wait.
func (o *outbox) resize(queue int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = queue
}

// reply queues a message by calling fill with the bytes so far. It waits while too much is unsent:
// the back-pressure that a request's own connection feels.
func (o *outbox) reply(fill func([]byte) []byte) error {
	o.awaitRoom()
	return o.replyNow(fill)
}

// awaitRoom is the wait of reply.
func (o *outbox) awaitRoom() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.replies) > replyRoom && o.closed == nil {
		o.room.Wait()
	}
}

// replyNow is reply without the wait, for the one who replies when others wait for him: after awaitRoom.
func (o *outbox) replyNow(fill func([]byte) []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.put(fill)
}

// answer is reply for the answer to a request behind which no other waits. When the writer rests, it is written by the
// caller: to wake the writer takes longer than to write.
func (o *outbox) answer(fill func([]byte) []byte) error {
	o.awaitRoom()
	o.mu.Lock()
	if o.direct == nil || !o.resting || o.passing || o.closed != nil || !o.empty() {
		defer o.mu.Unlock()
		return o.put(fill)
	}
	o.passing = true
	o.sent++
	o.mu.Unlock()

	b, n := fill(o.scratch[:0]), 0
	if len(b) <= directMost {
		if o.sending != nil {
			o.sending(b)
		}
		n = o.direct(b)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.passing = false
	if len(b) > directMost {
		o.replies, o.scratch = append(b, o.replies...), nil // the writer's memory now
	} else {
		o.torn, o.scratch = append(o.torn, b[n:]...), b
	}
	if !o.empty() || o.closed != nil {
		o.work.Signal()
	}
	return nil
}

// empty says that nothing waits to be written. mu is held.
func (o *outbox) empty() bool { return len(o.torn) == 0 && len(o.replies) == 0 && len(o.packets) == 0 }

// notify queues a message that nobody asked for. It never waits; without room it is lost and counted.
func (o *outbox) notify(fill func([]byte) []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.replies) > asyncRoom {
		o.lost++
		return errOutboxFull
	}
	return o.put(fill)
}

// put appends a message. mu is held.
func (o *outbox) put(fill func([]byte) []byte) error {
	if o.closed != nil {
		return o.closed
	}
	o.replies = fill(o.replies)
	o.sent++
	o.work.Signal()
	return nil
}

// packetIn queues an encoded PACKET_IN, or counts it as dropped and says no.
func (o *outbox) packetIn(reason openflow.PacketInReason, msg []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed != nil || o.waiting >= o.queue || len(o.packets)+len(msg) > packetRoom {
		o.limit.noRoom(reason)
		return false
	}
	if !o.limit.take(reason) {
		return false
	}
	o.packets = append(o.packets, msg...)
	o.waiting++
	o.sent++
	o.work.Signal()
	return true
}

// full says whether a packet-in would be dropped anyway, so that nobody encodes it in vain. It
// counts the drop in that case.
func (o *outbox) full(reason openflow.PacketInReason) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed == nil && o.waiting < o.queue && len(o.packets) < packetRoom {
		return false
	}
	o.limit.noRoom(reason)
	return true
}

// close ends the outbox: with drain the writer still sends what is queued, otherwise it is thrown away.
func (o *outbox) close(why error, drain bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed == nil {
		o.closed, o.drain = why, drain
	}
	if !drain {
		o.drain = false
	}
	o.work.Broadcast()
	o.room.Broadcast()
}

// run is the connection's writer: it sends until the outbox is closed or the peer is gone. progress
// is called after each write.
func (o *outbox) run(w io.Writer, progress func()) error {
	var torn, replies, packets []byte
	for {
		var err error
		torn, replies, packets, err = o.take(torn[:0], replies[:0], packets[:0])
		if err != nil {
			return err
		}
		for i, b := range [][]byte{torn, replies, packets} {
			if i > 0 && o.sending != nil {
				o.sending(b)
			}
			for len(b) > 0 {
				n, err := w.Write(b[:min(len(b), 256<<10)])
				if err != nil {
					o.close(err, false)
					return err
				}
				b = b[n:]
				progress()
			}
		}
	}
}

// take waits for work and swaps the queues for two empty buffers. Buffers that a burst has made
// large are not kept.
func (o *outbox) take(torn, replies, packets []byte) (t, r, p []byte, err error) {
	const keep = 2 * replyRoom
	if cap(replies) > keep {
		replies = nil
	}
	if cap(packets) > keep {
		packets = nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.resting = true
	for o.passing || o.empty() && o.closed == nil {
		o.work.Wait()
	}
	if o.closed != nil && (!o.drain || len(o.replies) == 0 && len(o.torn) == 0) {
		return nil, nil, nil, o.closed
	}
	torn, o.torn = o.torn, torn
	replies, o.replies = o.replies, replies
	packets, o.packets = o.packets, packets
	o.waiting, o.resting = 0, false
	o.room.Broadcast()
	return torn, replies, packets, nil
}

// idle says that everything put in has been written, or never will be.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed != nil || o.resting && !o.passing && o.empty()
}

// stats are the counters for ControllerStatus; packetLimit has those of packet-ins.
func (o *outbox) stats() (sent, lost uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent, o.lost
}
