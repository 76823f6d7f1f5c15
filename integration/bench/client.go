package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// Client is the controller's end of a connection. It looks at no more of a message than it must, so
// that what is measured is the switch. One goroutine uses it.
type Client struct {
	NC net.Conn

	in  *bufio.Reader
	msg []byte
	xid uint32
}

// Patience is how long a condition may take to become true.
const Patience = 20 * time.Second

const barrierXID = 0xffff0000

// answerLimit is how long the slowest answer may take: a million entries deleted by a busy switch.
const answerLimit = 3 * time.Minute

// NewClient shakes hands with a switch that has called.
func NewClient(nc net.Conn) (*Client, error) {
	c := &Client{NC: nc, in: bufio.NewReaderSize(nc, 256<<10), msg: make([]byte, openflow.MaxMessage)}
	if err := c.Send(openflow.NewHello(openflow.Version), &openflow.FeaturesRequest{}); err != nil {
		return nil, err
	}
	_, err := c.Until(openflow.TypeFeaturesReply)
	return c, err
}

// Send sends messages one after the other.
func (c *Client) Send(list ...openflow.Message) error {
	var b []byte
	for _, m := range list {
		c.xid++
		b = openflow.Append(b, c.xid, m)
	}
	_, err := c.NC.Write(b)
	return err
}

// Next reads one message; it is valid until the next call. It answers the switch's probes.
func (c *Client) Next() (openflow.Type, []byte, error) {
	if _, err := io.ReadFull(c.in, c.msg[:8]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(c.msg[2:]))
	if n < 8 {
		return 0, nil, fmt.Errorf("a message of %d bytes", n)
	}
	if _, err := io.ReadFull(c.in, c.msg[8:n]); err != nil {
		return 0, nil, err
	}
	b := c.msg[:n]
	switch t := openflow.Type(b[1]); t {
	case openflow.TypeEchoRequest:
		reply := append([]byte(nil), b...)
		reply[1] = byte(openflow.TypeEchoReply)
		_, err := c.NC.Write(reply)
		return t, b, err
	case openflow.TypeError:
		m, _, err := openflow.Decode(b)
		if err == nil {
			err = m.(*openflow.Error)
		}
		return t, b, fmt.Errorf("the switch says %w", err)
	default:
		return t, b, nil
	}
}

// Buffered is how much of later messages has come already.
func (c *Client) Buffered() int { return c.in.Buffered() }

// Until reads on to a message of type t.
func (c *Client) Until(t openflow.Type) ([]byte, error) {
	c.NC.SetReadDeadline(time.Now().Add(answerLimit))
	for {
		got, b, err := c.Next()
		if err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", t, err)
		}
		if got == t {
			return b, nil
		}
	}
}

// Idle answers a probe that has come meanwhile.
func (c *Client) Idle() error {
	c.NC.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := c.in.Peek(8); errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	c.NC.SetReadDeadline(time.Now().Add(Patience))
	_, _, err := c.Next()
	return err
}

// Finish sends a stream of messages and a barrier, and gives the time until the barrier's answer. The
// messages are written while the answers are read, as a controller does.
func (c *Client) Finish(stream []byte) (time.Duration, error) {
	stream = openflow.Append(stream[:len(stream):len(stream)], barrierXID, &openflow.BarrierRequest{})
	start := time.Now()
	written := make(chan error, 1)
	if len(stream) < 32<<10 { // fits the socket: no goroutine between it and the wire
		_, err := c.NC.Write(stream)
		written <- err
	} else {
		go func() { written <- c.writeAll(stream) }()
	}
	_, err := c.Until(openflow.TypeBarrierReply)
	took := time.Since(start)
	if err == nil {
		err = <-written
	}
	return took, err
}

// writeAll writes in pieces of whole messages, so that the answer to a probe gets in between.
func (c *Client) writeAll(b []byte) error {
	for len(b) > 0 {
		n := 0
		for n < len(b) && n < 64<<10 {
			n += int(binary.BigEndian.Uint16(b[n+2:]))
		}
		if _, err := c.NC.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Dump asks for all entries and counts them and their bytes.
func (c *Client) Dump() (flows int, took time.Duration, err error) {
	start := time.Now()
	if err := c.Send(&openflow.MultipartRequest{Type: openflow.MultipartFlow, Records: []openflow.Record{openflow.AllFlows()}}); err != nil {
		return 0, 0, err
	}
	for more := true; more; {
		b, err := c.Until(openflow.TypeMultipartReply)
		if err != nil {
			return 0, 0, err
		}
		more = b[11]&1 != 0 // OFPMPF_REPLY_MORE
		for b = b[16:]; len(b) >= 2; flows++ {
			b = b[binary.BigEndian.Uint16(b):]
		}
	}
	return flows, time.Since(start), nil
}

// Encode makes a stream of n messages.
func Encode(n int, message func(i int) openflow.Message) []byte {
	var b []byte
	for i := range n {
		b = openflow.Append(b, uint32(i)+1, message(i))
	}
	return b
}

// DeleteAll is the message that empties every table.
func DeleteAll() *openflow.FlowMod {
	return &openflow.FlowMod{Command: openflow.FlowDelete, TableID: openflow.TableAll,
		BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny}
}
