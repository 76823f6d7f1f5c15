// Slow path: multipart requests that come in several messages, gathered within bounds.

package agent

import (
	"errors"

	"github.com/weirswitch/weir/openflow"
)

// Bounds of what one connection may leave unfinished. The largest request there is describes 254
// tables in some 500 bytes each.
const (
	maxGathered  = 1 << 20 // bytes
	maxSequences = 16      // requests begun and not ended, refused ones among them
)

// errSequences is why a connection ends that begins requests and never ends them. To forget one of
// them would be worse: its last part would then pass for a whole request.
var errSequences = errors.New("too many multipart requests without an end")

// gatherer keeps the parts of one connection's multipart requests until the last one has come
// (section 7.3.5). Requests may be interleaved; the transaction id tells them apart. It belongs to
// the connection's reader.
type gatherer struct {
	open  map[uint32]*sequence
	bytes int
}

// sequence is a request of which not all parts have come.
type sequence struct {
	kind    openflow.MultipartType
	records []openflow.Record
	bytes   int
	refused bool // answered with an error already: the rest is thrown away
}

// add takes one part of size bytes. It gives the whole request when this was the last one, and
// otherwise nil.
func (g *gatherer) add(xid uint32, m *openflow.MultipartRequest, size int) (*openflow.MultipartRequest, error) {
	s := g.open[xid]
	if s == nil {
		if !m.More {
			return m, nil
		}
		var err error
		if s, err = g.begin(xid, m.Type); err != nil {
			return nil, err
		}
	}
	switch {
	case s.refused:
		if !m.More {
			delete(g.open, xid)
		}
		return nil, nil
	case m.Type != s.kind:
		return nil, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadMultipart, "a part of type %s in a request of type %s", m.Type, s.kind)
	case m.Type != openflow.MultipartTableFeatures:
		return nil, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCMultipartBufferOverflow, "%s in several parts: one is all it can need", m.Type)
	case g.bytes+size > maxGathered:
		return nil, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCMultipartBufferOverflow, "more than %d bytes in unfinished requests", maxGathered)
	}
	s.records = append(s.records, m.Records...) // their memory is their own
	s.bytes += size
	g.bytes += size
	if m.More {
		return nil, nil
	}
	whole := &openflow.MultipartRequest{Type: s.kind, Records: s.records}
	g.drop(s)
	delete(g.open, xid)
	return whole, nil
}

func (g *gatherer) begin(xid uint32, kind openflow.MultipartType) (*sequence, error) {
	if len(g.open) >= maxSequences {
		return nil, errSequences
	}
	if g.open == nil {
		g.open = map[uint32]*sequence{}
	}
	s := &sequence{kind: kind}
	g.open[xid] = s
	return s, nil
}

func (g *gatherer) drop(s *sequence) {
	g.bytes -= s.bytes
	s.records, s.bytes = nil, 0
}

// refuse notes that a part, whose bytes are given, was answered with an error: one answer is enough
// for the request, and none of it counts.
func (g *gatherer) refuse(raw []byte) error {
	more, ok := openflow.MultipartMore(raw)
	if !ok {
		return nil
	}
	xid := openflow.ReadHeader(raw).XID
	s := g.open[xid]
	switch {
	case s == nil && !more:
		return nil
	case s == nil:
		var err error
		if s, err = g.begin(xid, 0); err != nil {
			return err
		}
	}
	g.drop(s)
	s.refused = true
	if !more {
		delete(g.open, xid)
	}
	return nil
}
