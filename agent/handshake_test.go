package agent

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// What controllers say when a switch calls, replayed byte by byte, and what makes each of them hang up. The replays
// are in handshake_replay_test.go; handshake_broken_test.go breaks the switch on purpose and wants them to notice.

// caller is a controller that a switch has called. It ends at the first thing that its original would not forgive.
type caller struct {
	b       *bench // the switch's other ends, for frames
	nc      net.Conn
	got     chan received
	next    func() uint32 // the xids, as that controller counts
	xid     uint32        // of the last request
	doing   string        // the state it is in, for the reason
	forbids map[openflow.Type]bool
}

// drop is why a controller hangs up.
type drop struct{ why string }

func (c *caller) drop(format string, args ...any) {
	panic(drop{c.doing + ": " + fmt.Sprintf(format, args...)})
}

func (c *caller) need(ok bool, format string, args ...any) {
	if !ok {
		c.drop(format, args...)
	}
}

// downFrom and upFrom are the two ways to number messages.
func downFrom(n uint32) func() uint32 { n++; return func() uint32 { n--; return n } }
func upFrom(n uint32) func() uint32   { n--; return func() uint32 { n++; return n } }

// send writes messages given as hexadecimal; "xid" stands for the next number.
func (c *caller) send(messages ...string) {
	var all []byte
	for _, text := range messages {
		if strings.Contains(text, "xid") {
			c.xid = c.next()
			text = strings.Replace(text, "xid", fmt.Sprintf("%08x", c.xid), 1)
		}
		raw, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil || len(raw) < 8 || int(binary.BigEndian.Uint16(raw[2:])) != len(raw) {
			panic(fmt.Sprintf("the test's own message has %d bytes: %s", len(raw), text))
		}
		all = append(all, raw...)
	}
	if _, err := c.nc.Write(all); err != nil {
		c.drop("the switch has hung up: %v", err)
	}
}

// hear waits for a message of the type; those that may come by themselves are passed over.
func (c *caller) hear(t openflow.Type) received {
	limit := time.After(inTime)
	for {
		select {
		case r, ok := <-c.got:
			c.need(ok, "the switch has hung up")
			kind := openflow.ReadHeader(r.raw).Type
			c.need(!c.forbids[kind], "%s is not allowed now", kind)
			c.need(r.m != nil, "cannot be parsed: % x", r.raw[:min(len(r.raw), 64)])
			if kind == t {
				return r
			}
			switch kind {
			case openflow.TypePacketIn, openflow.TypePortStatus, openflow.TypeFlowRemoved, openflow.TypeEchoRequest:
			case openflow.TypeError:
				c.drop("unexpected error: %v", r.m)
			default:
				c.drop("expected %s, got %s", t, kind)
			}
		case <-limit:
			c.drop("no %s", t)
		}
	}
}

// answer is hear for the answer to the last request.
func (c *caller) answer(t openflow.Type) received {
	r := c.hear(t)
	c.need(r.xid == c.xid, "%s has xid %#x, asked with %#x", t, r.xid, c.xid)
	return r
}

// parts gathers the bodies of a multipart answer of at most so many messages.
func (c *caller) parts(kind openflow.MultipartType, xid uint32, most int) (bodies [][]byte, records []openflow.Record) {
	for {
		r := c.hear(openflow.TypeMultipartReply)
		m := r.m.(*openflow.MultipartReply)
		c.need(r.xid == xid, "%s has xid %#x, asked with %#x", m.Type, r.xid, xid)
		c.need(m.Type == kind, "expected %s, got %s", kind, m.Type)
		bodies, records = append(bodies, r.raw[16:]), append(records, m.Records...)
		c.need(len(bodies) <= most, "%s in more than %d parts", kind, most)
		if !m.More {
			return bodies, records
		}
	}
}

// multipart sends a request and gathers the answer.
func (c *caller) multipart(kind openflow.MultipartType, request string) (bodies [][]byte, records []openflow.Record) {
	c.send(request)
	return c.parts(kind, c.xid, 100)
}

// read decodes what comes. A message that cannot be decoded is handed on without a value.
func (c *caller) read() {
	defer close(c.got)
	conn := openflow.NewConn(c.nc)
	for {
		raw, err := conn.ReadMessage()
		if err != nil {
			return
		}
		r := received{raw: bytes.Clone(raw)}
		if m, xid, err := openflow.Decode(r.raw); err == nil {
			r.m, r.xid = m, xid
		}
		c.got <- r
	}
}

// replay lets a controller be called by a fresh switch and returns why it hung up; "" means that it is content. Between
// the two a proxy may misbehave. Time is that of the bubble: nobody waits for what never comes.
func replay(t *testing.T, script func(*caller), bad *mischief) (why string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 3)
		near, far := net.Pipe()
		served := make(chan struct{})
		go func() { b.sw.Serve(near); close(served) }()
		ours, theirs := net.Pipe()
		relayed := startProxy(far, theirs, bad)
		c := &caller{b: b, nc: ours, got: make(chan received, 10000), forbids: map[openflow.Type]bool{}}
		go c.read()
		func() {
			defer func() {
				if r := recover(); r != nil {
					d, ok := r.(drop)
					if !ok {
						panic(r)
					}
					why = d.why
				}
			}()
			script(c)
		}()
		ours.Close()
		far.Close()
		<-relayed
		<-served
	})
	return why
}

// TestHandshakes: none of them hangs up.
func TestHandshakes(t *testing.T) {
	for name, script := range controllers {
		t.Run(name, func(t *testing.T) {
			if why := replay(t, script, nil); why != "" {
				t.Errorf("%s hangs up: %s", name, why)
			}
		})
	}
}
