package benchcontrol

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

// client is the controller's end of a connection. It looks at no more of a message than it must, so
// that what is measured is the switch. One goroutine uses it.
type client struct {
	nc  net.Conn
	in  *bufio.Reader
	msg []byte
	xid uint32
}

const barrierXID = 0xffff0000

// answerLimit is how long the slowest answer may take: a million entries deleted by a busy switch.
const answerLimit = 3 * time.Minute

// newClient shakes hands with a switch that has called.
func newClient(nc net.Conn) (*client, error) {
	c := &client{nc: nc, in: bufio.NewReaderSize(nc, 256<<10), msg: make([]byte, openflow.MaxMessage)}
	if err := c.send(openflow.NewHello(openflow.Version), &openflow.FeaturesRequest{}); err != nil {
		return nil, err
	}
	_, err := c.until(openflow.TypeFeaturesReply)
	return c, err
}

func (c *client) send(list ...openflow.Message) error {
	var b []byte
	for _, m := range list {
		c.xid++
		b = openflow.Append(b, c.xid, m)
	}
	_, err := c.nc.Write(b)
	return err
}

// next reads one message; it is valid until the next call. It answers the switch's probes.
func (c *client) next() (openflow.Type, []byte, error) {
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
		_, err := c.nc.Write(reply)
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

// until reads on to a message of type t.
func (c *client) until(t openflow.Type) ([]byte, error) {
	c.nc.SetReadDeadline(time.Now().Add(answerLimit))
	for {
		got, b, err := c.next()
		if err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", t, err)
		}
		if got == t {
			return b, nil
		}
	}
}

// idle answers a probe that has come meanwhile.
func (c *client) idle() error {
	c.nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := c.in.Peek(8); errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	c.nc.SetReadDeadline(time.Now().Add(patience))
	_, _, err := c.next()
	return err
}

// finish sends a stream of messages and a barrier, and gives the time until the barrier's answer. The
// messages are written while the answers are read, as a controller does.
func (c *client) finish(stream []byte) (time.Duration, error) {
	stream = openflow.Append(stream[:len(stream):len(stream)], barrierXID, &openflow.BarrierRequest{})
	start := time.Now()
	written := make(chan error, 1)
	if len(stream) < 32<<10 { // fits the socket: no goroutine between it and the wire
		_, err := c.nc.Write(stream)
		written <- err
	} else {
		go func() { written <- c.writeAll(stream) }()
	}
	_, err := c.until(openflow.TypeBarrierReply)
	took := time.Since(start)
	if err == nil {
		err = <-written
	}
	return took, err
}

// writeAll writes in pieces of whole messages, so that the answer to a probe gets in between.
func (c *client) writeAll(b []byte) error {
	for len(b) > 0 {
		n := 0
		for n < len(b) && n < 64<<10 {
			n += int(binary.BigEndian.Uint16(b[n+2:]))
		}
		if _, err := c.nc.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// dump asks for all entries and counts them and their bytes.
func (c *client) dump() (flows int, took time.Duration, err error) {
	start := time.Now()
	if err := c.send(&openflow.MultipartRequest{Type: openflow.MultipartFlow, Records: []openflow.Record{openflow.AllFlows()}}); err != nil {
		return 0, 0, err
	}
	for more := true; more; {
		b, err := c.until(openflow.TypeMultipartReply)
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
