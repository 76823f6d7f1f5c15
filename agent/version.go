// Slow path: the version of OpenFlow that a connection speaks; the only file that knows there are two.

package agent

import (
	"slices"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
)

// allVersions is what a tool may speak, whatever the controllers are held to: ovs-ofctl speaks 1.0 when
// nobody tells it otherwise.
var allVersions = []uint8{of10.Version, openflow.Version}

// protocolNames are the versions in the words of a configuration.
var protocolNames = map[string]uint8{"OpenFlow10": of10.Version, "OpenFlow13": openflow.Version}

// versionsFor is what a new connection may speak.
func (s *Switch) versionsFor(tool bool) []uint8 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tool || len(s.cfg.Protocols) == 0 {
		return allVersions
	}
	var list []uint8
	for _, p := range s.cfg.Protocols {
		list = append(list, protocolNames[p])
	}
	return list
}

// hello offers the versions. A peer of 1.0 expects nothing behind the header.
func (c *Channel) hello() *openflow.Hello {
	h := openflow.NewHello(c.versions...)
	h.HasBitmap = slices.Max(c.versions) > of10.Version
	return h
}

// agree settles on a version (section 6.3.1).
func (c *Channel) agree(theirs *openflow.Hello) error {
	v, err := openflow.Negotiate(c.hello(), theirs)
	if err == nil && v == of10.Version {
		c.old = new(of10.Session)
	}
	return err
}

// featuresListPorts says whether FEATURES_REPLY has the ports; in 1.3 they are for PORT_DESC to tell.
func (c *Channel) featuresListPorts() bool { return c.old != nil }

// decode reads a message of the peer; a nil message without error asks for nothing.
func (c *Channel) decode(raw []byte) (openflow.Message, uint32, error) {
	if c.old != nil {
		return c.old.Decode(raw)
	}
	return c.decoder.Decode(raw)
}

// append writes a message for the peer. It may be called from any goroutine once the versions are agreed.
func (c *Channel) append(b []byte, xid uint32, m openflow.Message) []byte {
	if c.old != nil {
		return c.old.Append(b, xid, m)
	}
	return openflow.Append(b, xid, m)
}

// replies makes the parts of the answer to a multipart request, whose bytes are raw.
func (c *Channel) replies(t openflow.MultipartType, xid uint32, raw []byte) *openflow.ReplyWriter {
	return c.repliesTo(t, xid, raw, c.out.reply)
}

// repliesTo is replies for parts that leave by another way of the outbox.
func (c *Channel) repliesTo(t openflow.MultipartType, xid uint32, raw []byte, send func(func([]byte) []byte) error) *openflow.ReplyWriter {
	emit := func(msg []byte) error {
		return send(func(b []byte) []byte { return append(b, msg...) })
	}
	if c.old != nil {
		return openflow.NewReplyWriterIn(c.old.Replies(raw), nil, emit)
	}
	return openflow.NewReplyWriter(t, xid, nil, emit)
}
