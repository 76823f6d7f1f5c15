package openflow

import "fmt"

// ReplyFormat is how a multipart reply looks in a version of the protocol. Parts of all versions have
// their length at byte 2 and the flag MORE at byte 11.
type ReplyFormat struct {
	Begin  func(b []byte) []byte           // appends the header of a part, without MORE
	Record func(b []byte, r Record) []byte // appends a record, or nothing when the version has no word for it
}

// ReplyWriter makes the parts of a multipart reply: whole records, no part above the limit, MORE on
// all but the last. One writer serves one reply and one goroutine.
type ReplyWriter struct {
	format ReplyFormat
	emit   func(msg []byte) error
	buf    []byte
	header int  // bytes of a part without records
	closed bool // the part in buf takes no further record
}

// NewReplyWriter hands each finished part to emit, which must not keep the bytes. buf, which may
// be nil, is memory to reuse.
func NewReplyWriter(t MultipartType, xid uint32, buf []byte, emit func(msg []byte) error) *ReplyWriter {
	return NewReplyWriterIn(ReplyFormat{
		Begin: func(b []byte) []byte {
			return appendMultipartHeader(appendHeader(b, TypeMultipartReply, xid), t, false)
		},
		Record: func(b []byte, r Record) []byte { return r.appendRecord(b) },
	}, buf, emit)
}

// NewReplyWriterIn is NewReplyWriter for another version's format.
func NewReplyWriterIn(f ReplyFormat, buf []byte, emit func(msg []byte) error) *ReplyWriter {
	w := &ReplyWriter{format: f, emit: emit, buf: buf[:0]}
	w.begin()
	return w
}

func (w *ReplyWriter) begin() {
	w.buf = w.format.Begin(w.buf[:0])
	w.header = len(w.buf)
	w.closed = false
}

// Add appends a record, first sending the part at hand when the record does not fit it. A record
// that fits no message at all is an error and is left out.
func (w *ReplyWriter) Add(r Record) error {
	if w.closed {
		if err := w.flush(true); err != nil {
			return err
		}
	}
	before := len(w.buf)
	w.buf = w.format.Record(w.buf, r)
	size := len(w.buf) - before
	if len(w.buf) <= MaxMessage {
		return nil
	}
	if w.header+size > MaxMessage {
		w.buf = w.buf[:before]
		return fmt.Errorf("openflow: a multipart record of %d bytes fits no message, the limit is %d", size, MaxMessage-w.header)
	}
	w.buf = w.buf[:before]
	if err := w.flush(true); err != nil {
		return err
	}
	w.buf = w.format.Record(w.buf, r)
	return nil
}

// Break ends the part at hand, so that the next record begins a new one: what a reader cannot
// understand then spoils no more than its own message.
func (w *ReplyWriter) Break() {
	w.closed = len(w.buf) > w.header
}

// Close sends the last part, which has no record when none was added.
func (w *ReplyWriter) Close() error { return w.flush(false) }

func (w *ReplyWriter) flush(more bool) error {
	if more {
		put16(w.buf, 10, 1)
	}
	err := w.emit(endMessage(w.buf, 0))
	w.begin()
	return err
}
