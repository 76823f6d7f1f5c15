package ports

import (
	"encoding/binary"
	"sync"

	"github.com/weirswitch/weir/flowtable/packet"
)

// Sizes of a ring: what it may hold, and what it begins with. Nothing is taken
// before the first frame comes, and more only when the frames waiting need it,
// for a simulation has hundreds of ports whose queues stay short.
const (
	ringSlots  = 2048
	ringBytes  = 4 << 20 // about sixty super-frames
	firstSlots = 32
	firstBytes = 16 << 10
)

// ring is a bounded queue of frames in one piece of memory, each with its
// headroom and offload state. Any number of producers; one consumer, who is
// lent the frames in place and gives them back by asking for the next ones.
//
// The bytes form a circle: [rd, wr) is in use, either in one piece or around
// the end. A frame is never split, so some bytes before the end may lie idle.
// A ring that runs empty starts again at its beginning.
type ring struct {
	maxSlots, maxBytes int

	mu     sync.Mutex
	buf    []byte
	slots  []slot // a power of two
	free   uint   // first slot that is still lent or waiting; counts up for ever
	head   uint   // next slot to lend
	tail   uint   // next slot to fill
	rd, wr int
	closed bool

	wake chan struct{} // holds a token when the consumer should look again
	room chan struct{} // holds a token when a waiting producer should try again
}

type slot struct {
	off, n  int // the headroom begins at off, the frame packet.Headroom later
	offload packet.Offload
}

// newRing makes a ring for up to slots frames (a power of two) in up to size bytes.
func newRing(slots, size int) *ring {
	return &ring{maxSlots: slots, maxBytes: size, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// span is what a frame of n bytes takes of the circle: whole cache lines.
func span(n int) int { return (packet.Headroom + n + 63) &^ 63 }

// place finds room for n bytes, or says that there is none. r.mu is held.
func (r *ring) place(n int) (off int, ok bool) {
	if r.tail-r.free == uint(len(r.slots)) && !r.growSlots() {
		return 0, false
	}
	for size := span(n); !r.fits(size); {
		if !r.growBytes(size) {
			return 0, false
		}
	}
	return r.wr, true
}

// fits moves wr to where size bytes are free, or says that there are none.
func (r *ring) fits(size int) bool {
	if r.tail == r.free {
		r.rd, r.wr = 0, 0
	}
	switch {
	case r.wr >= r.rd && len(r.buf)-r.wr >= size:
	case r.wr >= r.rd && r.rd > size: // strictly: rd == wr means empty
		r.wr = 0
	case r.wr < r.rd && r.rd-r.wr > size:
	default:
		return false
	}
	return true
}

// growSlots doubles the slots.
func (r *ring) growSlots() bool {
	n := min(max(2*len(r.slots), firstSlots), r.maxSlots)
	if n == len(r.slots) {
		return false
	}
	more := make([]slot, n)
	for i := r.free; i != r.tail; i++ {
		more[i%uint(n)] = r.slots[i%uint(len(r.slots))]
	}
	r.slots = more
	return true
}

// growBytes takes other memory, at least twice as much, for what waits and size
// bytes more. What is lent stays where it is, in the old memory, and the ring
// is rid of it.
func (r *ring) growBytes(size int) bool {
	if len(r.buf) == r.maxBytes {
		return false
	}
	r.free = r.head
	need := size
	for i := r.free; i != r.tail; i++ {
		need += span(r.slots[i%uint(len(r.slots))].n)
	}
	n := max(2*len(r.buf), firstBytes)
	for n < need {
		n *= 2
	}
	more := make([]byte, min(n, r.maxBytes))
	r.rd, r.wr = 0, 0
	for i := r.free; i != r.tail; i++ {
		s := &r.slots[i%uint(len(r.slots))]
		k := span(s.n)
		copy(more[r.wr:], r.buf[s.off:s.off+k])
		s.off = r.wr
		r.wr += k
	}
	r.buf = more
	return true
}

// push copies one frame in and says whether it found room.
func (r *ring) push(b []byte, o packet.Offload) bool {
	r.mu.Lock()
	ok := r.pushLocked(b, o)
	r.mu.Unlock()
	if ok {
		signal(r.wake)
	}
	return ok
}

// pushLocked is push for those who hold r.mu; they signal wake themselves, once for many.
func (r *ring) pushLocked(b []byte, o packet.Offload) bool {
	off, ok := r.place(len(b))
	if !ok || r.closed {
		return false
	}
	copy(r.buf[off+packet.Headroom:], b)
	r.slots[r.tail%uint(len(r.slots))] = slot{off, len(b), o}
	r.tail++
	r.wr = off + span(len(b))
	return true
}

// pushWait copies one frame in, waiting for room. It is false after close, and
// for a frame that would not even fit an empty ring.
func (r *ring) pushWait(b []byte) bool {
	if span(len(b)) >= r.maxBytes {
		return false
	}
	for !r.push(b, packet.Offload{}) {
		if r.isClosed() {
			return false
		}
		<-r.room
	}
	return true
}

// reclaim takes back what was lent. r.mu is held.
func (r *ring) reclaim() {
	if r.free == r.head {
		return
	}
	r.free = r.head
	if r.free != r.tail {
		r.rd = r.slots[r.free%uint(len(r.slots))].off
	}
	signal(r.room)
}

// lend points frames at the next ones in the ring, after taking back those
// lent before.
func (r *ring) lend(frames []*packet.Frame) (n, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reclaim()
	for n < len(frames) && r.head != r.tail {
		s := r.slots[r.head%uint(len(r.slots))]
		end := s.off + span(s.n)
		start := packet.Headroom
		frames[n].Alias(r.buf[s.off:end:end], start, start+s.n)
		frames[n].Offload = s.offload
		r.head++
		n++
		bytes += s.n
	}
	return n, bytes
}

// lengthPrefix is the size of QEMU's stream framing: the frame's length, big
// endian, before each frame.
const lengthPrefix = 4

// lendBytes is lend for a consumer that sends bytes: it appends one slice a
// frame, with its length before it if prefixed (the headroom has the space).
func (r *ring) lendBytes(dst [][]byte, most int, prefixed bool) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reclaim()
	for i := 0; i < most && r.head != r.tail; i++ {
		s := r.slots[r.head%uint(len(r.slots))]
		start := s.off + packet.Headroom
		end := start + s.n
		if prefixed {
			start -= lengthPrefix
			binary.BigEndian.PutUint32(r.buf[start:], uint32(s.n))
		}
		dst = append(dst, r.buf[start:end:end])
		r.head++
	}
	return dst
}

// discard throws away what waits and says how many frames that was. Only the
// consumer may call it.
func (r *ring) discard() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := int(r.tail - r.head)
	r.head = r.tail
	r.reclaim()
	return n
}

// wait takes back what was lent and blocks until there is something to lend,
// or the ring is closed.
func (r *ring) wait() error {
	for {
		r.mu.Lock()
		r.reclaim()
		closed, waiting := r.closed, r.head != r.tail
		r.mu.Unlock()
		if closed {
			return ErrClosed
		}
		if waiting {
			return nil
		}
		<-r.wake
	}
}

// waiting is how many frames there are to lend.
func (r *ring) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int(r.tail - r.head)
}

func (r *ring) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// close wakes the consumer and every producer, for good. What was lent stays valid.
func (r *ring) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	signal(r.wake)
	signal(r.room)
}

// signal leaves a token unless one is already there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
