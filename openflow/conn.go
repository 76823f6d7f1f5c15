package openflow

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFraming is the error of a stream that cannot be OpenFlow: a header with an impossible length.
// Nothing after it can be trusted, so the connection must be closed.
var ErrFraming = errors.New("openflow: not an OpenFlow stream")

// Sizes of the buffers of a Conn. The reader begins small, for tools that say two words, and grows for
// a long message or while the stream has more than it holds.
const (
	readBufferMin = 4 << 10
	readBufferMax = 128 << 10
	writeHighMark = 64 << 10 // a write beyond it goes out at once
)

// Conn cuts a stream into messages. Reading belongs to one goroutine, which sees the messages in the
// order they were sent. Writing may come from many: each message is queued whole, and Flush, or a full
// buffer, sends them.
type Conn struct {
	nc  net.Conn
	xid atomic.Uint32

	// Deadline, when set before use, says until when a write may take: a peer that reads nothing
	// then costs its own connection and no more. The caller owns the clock.
	Deadline func() time.Time

	// Owned by the reader.
	in         []byte
	start, end int  // in[start:end] has been read from nc and not been handed out
	burst      bool // the last read filled at least half of in
	limit      int

	mu  sync.Mutex
	out []byte // guarded by mu: queued bytes
	err error  // guarded by mu: the first failed write; later ones return it
}

// NewConn frames nc.
func NewConn(nc net.Conn) *Conn {
	return &Conn{nc: nc, in: make([]byte, readBufferMin), limit: MaxMessage}
}

// SetLimit lowers the length of message that is still read; before the first read.
func (c *Conn) SetLimit(n int) { c.limit = min(max(n, HeaderSize), MaxMessage) }

// ReadMessage returns the next whole message, header included. The bytes are valid until the next
// read. io.EOF is a clean end between messages; ErrFraming a length that cannot be.
func (c *Conn) ReadMessage() ([]byte, error) {
	if err := c.fill(HeaderSize); err != nil {
		return nil, err
	}
	h := ReadHeader(c.in[c.start:])
	if h.Length < HeaderSize || h.Length > c.limit {
		return nil, fmt.Errorf("%w: version %d, %s, length %d where %d to %d was expected", ErrFraming, h.Version, h.Type, h.Length, HeaderSize, c.limit)
	}
	if err := c.fill(h.Length); err != nil {
		return nil, err
	}
	msg := c.in[c.start : c.start+h.Length : c.start+h.Length]
	c.start += h.Length
	return msg, nil
}

// Read is ReadMessage and Decode. An *Error means a refused message on a healthy connection: answer it
// with Reply and read on; raw is what was refused. Any other error ends the connection.
func (c *Conn) Read() (m Message, xid uint32, raw []byte, err error) {
	if raw, err = c.ReadMessage(); err != nil {
		return nil, 0, nil, err
	}
	m, xid, err = Decode(raw)
	return m, xid, raw, err
}

// Buffered is the length of the next whole message when it can be read without waiting, else zero:
// the input has run dry, and it is time to publish and to flush. A message that has arrived in part
// does not count, for its rest may never come.
func (c *Conn) Buffered() int {
	b := c.in[c.start:c.end]
	if len(b) < HeaderSize {
		return 0
	}
	if n := ReadHeader(b).Length; n <= len(b) {
		return max(n, HeaderSize) // a bad length is the next read's to report, and at once
	}
	return 0
}

// fill makes at least n bytes available at start.
func (c *Conn) fill(n int) error {
	if c.end-c.start >= n {
		return nil
	}
	if c.start+n > len(c.in) {
		c.makeRoom(n)
	}
	for c.end-c.start < n {
		got, err := c.nc.Read(c.in[c.end:])
		c.end += got
		c.burst = c.end == len(c.in) && got >= len(c.in)/2
		if err != nil && c.end-c.start < n {
			if err == io.EOF && (c.end > c.start || n > HeaderSize) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// makeRoom moves what is left to the front, into a larger buffer when n or a burst asks for one.
// Messages handed out die here, which is why ReadMessage says so.
func (c *Conn) makeRoom(n int) {
	to, size := c.in, len(c.in)
	for size < n {
		size *= 2
	}
	if size > len(to) || c.burst {
		size = min(2*size, readBufferMax)
	}
	if size > len(to) {
		to = make([]byte, size)
	}
	c.end = copy(to, c.in[c.start:c.end])
	c.start, c.in = 0, to
}

// NextXID is a transaction id not used before on this connection.
func (c *Conn) NextXID() uint32 { return c.xid.Add(1) }

// Queue writes m into the buffer; it leaves with the next Flush or when the buffer is full.
func (c *Conn) Queue(xid uint32, m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = Append(c.out, xid, m)
	return c.flushAbove(writeHighMark)
}

// QueueRaw is Queue for finished messages, a ReplyWriter's for example. The bytes are copied.
func (c *Conn) QueueRaw(msg []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, msg...)
	return c.flushAbove(writeHighMark)
}

// Flush sends what is queued.
func (c *Conn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flushAbove(0)
}

// Send queues m under xid and flushes.
func (c *Conn) Send(xid uint32, m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = Append(c.out, xid, m)
	return c.flushAbove(0)
}

// Request sends m under a new xid, which it returns.
func (c *Conn) Request(m Message) (uint32, error) {
	xid := c.NextXID()
	return xid, c.Send(xid, m)
}

// flushAbove sends the buffer when it holds more than mark; c.mu is held.
func (c *Conn) flushAbove(mark int) error {
	if c.err != nil || len(c.out) == 0 || len(c.out) <= mark {
		return c.err
	}
	if c.Deadline != nil {
		if err := c.nc.SetWriteDeadline(c.Deadline()); err != nil {
			c.err = err
			return err
		}
	}
	_, c.err = c.nc.Write(c.out)
	if cap(c.out) > 4*writeHighMark {
		c.out = nil
	}
	c.out = c.out[:0]
	return c.err
}

// NetConn is the connection below, for its addresses and read deadlines.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Close closes the connection below; what is queued and not flushed is lost.
func (c *Conn) Close() error { return c.nc.Close() }
