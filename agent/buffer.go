// Slow path: frames that are kept while a controller looks at their first bytes.

package agent

import (
	"sync"
	"time"

	"github.com/weirswitch/weir/openflow"
)

const (
	// maxBufferBytes bounds what all kept frames of a bridge hold together.
	maxBufferBytes = 64 << 20
	// bufferScan is how many places are tried for a new frame: frames leave mostly in the order in
	// which they came, so the next place is free unless the pool is about full.
	bufferScan = 16
	// bufferIDs is the number of ids before the first one comes again. It stays below NoBuffer.
	bufferIDs = 1 << 31
)

// bufferPool keeps frames for PACKET_OUT and FLOW_MOD to name by buffer_id (section 6.1.2). A frame
// is handed out once. An id says nothing to anybody but the pool; its remainder is the place.
type bufferPool struct {
	clock Clock
	age   time.Duration

	mu     sync.Mutex
	places []buffered
	next   uint32 // id to try next
	oldest uint32 // id of the place to look at next for age
	live   int
	bytes  int
}

// buffered is one place: a frame, or the memory of the last one.
type buffered struct {
	id    uint32
	used  bool // handed out; else, without a frame, forgotten or never there
	frame []byte
	in    uint32 // port that it came in by
	until time.Duration
}

func newBufferPool(clock Clock, cfg BufferConfig) *bufferPool {
	return &bufferPool{clock: clock, age: cfg.Age, places: make([]buffered, cfg.Number)}
}

// keep copies a frame and gives its id; not ok when there is no place for it.
func (p *bufferPool) keep(frame []byte, in uint32) (id uint32, ok bool) {
	if len(p.places) == 0 {
		return openflow.NoBuffer, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	p.forget(now)
	if p.bytes+len(frame) > maxBufferBytes || p.live == len(p.places) {
		return openflow.NoBuffer, false
	}
	for range bufferScan {
		id = p.next
		b := p.place(id)
		p.next = (p.next + 1) % bufferIDs
		if b.frame != nil {
			continue
		}
		*b = buffered{id: id, frame: append([]byte(nil), frame...), in: in, until: now + p.age}
		if p.live++; p.live == 1 {
			p.oldest = id
		}
		p.bytes += len(frame)
		return id, true
	}
	return openflow.NoBuffer, false
}

func (p *bufferPool) place(id uint32) *buffered { return &p.places[int(id)%len(p.places)] }

// take hands a frame out, or says what is wrong with the id: a frame that was used is "empty", one
// that is too old or was never there "unknown".
func (p *bufferPool) take(id uint32) (buffered, error) {
	if len(p.places) == 0 {
		return buffered{}, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBufferUnknown,
			"buffer %d: this switch keeps no frames (n_buffers is 0); send the frame itself and buffer_id 0xffffffff", id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(p.clock.Now())
	b := p.place(id)
	switch {
	case b.id == id && b.frame != nil:
		taken := *b
		p.drop(b)
		b.used = true
		return taken, nil
	case b.id == id && b.used:
		return buffered{}, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBufferEmpty, "buffer %d has been used", id)
	}
	return buffered{}, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBufferUnknown, "there is no buffer %d: frames are kept for %s", id, p.age)
}

// putBack undoes a take whose request came to nothing.
func (p *bufferPool) putBack(b buffered) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.place(b.id); at.id == b.id && at.frame == nil {
		*at = b
		p.live++
		p.bytes += len(b.frame)
		if (p.oldest-b.id)%bufferIDs < bufferIDs/2 { // on the circle of ids, it comes before
			p.oldest = b.id
		}
	}
}

// drop frees a place. mu is held.
func (p *bufferPool) drop(b *buffered) {
	p.live--
	p.bytes -= len(b.frame)
	b.frame = nil
}

// forget drops the frames that nobody asked for in time. All are kept equally long, so the first one
// that is young enough ends the search. mu is held.
func (p *bufferPool) forget(now time.Duration) {
	for p.live > 0 && p.oldest != p.next {
		b := p.place(p.oldest)
		if b.frame != nil && b.id == p.oldest {
			if b.until > now {
				return
			}
			p.drop(b)
		}
		p.oldest = (p.oldest + 1) % bufferIDs
	}
}

// tick gives memory back while nothing comes. It reports whether there is more to give back later.
func (p *bufferPool) tick(now time.Duration) (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(now)
	return p.live > 0
}
