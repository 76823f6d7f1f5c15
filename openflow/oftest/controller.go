package oftest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// ErrTimeout is wrapped by every wait that took longer than Config.Timeout.
var ErrTimeout = errors.New("oftest: timeout")

// DefaultTimeout bounds waits when Config.Timeout is zero.
const DefaultTimeout = 5 * time.Second

// Config says how a Controller behaves. The zero value is a plain OpenFlow 1.3 controller.
type Config struct {
	// Hello is sent at once; nil: version 4 with a bitmap.
	Hello *openflow.Hello
	// Timeout bounds each wait.
	Timeout time.Duration
	// SkipFeatures leaves out FEATURES_REQUEST, as ovs-ofctl does.
	SkipFeatures bool
	// OnMessage, when set, sees every message in order, on the reader's goroutine.
	OnMessage func(xid uint32, m openflow.Message)
	// KeepNone forgets what nobody waits for, once OnMessage has seen it: Expect finds nothing then. It is for a
	// controller that hears millions of messages.
	KeepNone bool
}

// Controller is one connection to a switch, handshake done.
type Controller struct {
	// Features is the switch's answer, nil with Config.SkipFeatures.
	Features *openflow.FeaturesReply
	// PeerHello is the HELLO that the switch sent.
	PeerHello *openflow.Hello

	conn *openflow.Conn
	cfg  Config

	mu      sync.Mutex
	changed chan struct{}                 // closed and replaced after every change below
	replies map[uint32][]openflow.Message // what came for a xid that someone waits for
	async   []received                    // what nobody waited for, in order
	errs    []*openflow.Error             // every ERROR
	err     error                         // why the reader ended
}

type received struct {
	xid uint32
	m   openflow.Message
}

// Listener waits for switches to connect.
type Listener struct {
	l   net.Listener
	cfg Config
}

// Listen listens on a network of package net, "tcp" or "unix"; "127.0.0.1:0" finds a free port.
func Listen(network, address string, cfg Config) (*Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("oftest: %w", err)
	}
	return &Listener{l, cfg}, nil
}

// Addr is the address to connect to, host and port.
func (l *Listener) Addr() string { return l.l.Addr().String() }

// Close stops listening; Controllers that were accepted stay.
func (l *Listener) Close() error { return l.l.Close() }

// Accept waits for the next switch and shakes hands with it.
func (l *Listener) Accept() (*Controller, error) {
	if d, ok := l.l.(interface{ SetDeadline(time.Time) error }); ok {
		if err := d.SetDeadline(time.Now().Add(l.cfg.timeout())); err != nil {
			return nil, fmt.Errorf("oftest: %w", err)
		}
	}
	nc, err := l.l.Accept()
	if err != nil {
		return nil, fmt.Errorf("oftest: no switch connected to %s: %w", l.Addr(), err)
	}
	return New(nc, l.cfg)
}

// Dial connects to a switch that listens.
func Dial(network, address string, cfg Config) (*Controller, error) {
	nc, err := net.DialTimeout(network, address, cfg.timeout())
	if err != nil {
		return nil, fmt.Errorf("oftest: %w", err)
	}
	return New(nc, cfg)
}

// New shakes hands over nc, which it owns from here on.
func New(nc net.Conn, cfg Config) (*Controller, error) {
	c := &Controller{conn: openflow.NewConn(nc), cfg: cfg, changed: make(chan struct{}), replies: map[uint32][]openflow.Message{}}
	c.conn.Deadline = func() time.Time { return time.Now().Add(cfg.timeout()) }
	if err := c.handshake(nc); err != nil {
		nc.Close()
		return nil, fmt.Errorf("oftest: handshake with %s: %w", nc.RemoteAddr(), err)
	}
	return c, nil
}

func (cfg *Config) timeout() time.Duration {
	if cfg.Timeout > 0 {
		return cfg.Timeout
	}
	return DefaultTimeout
}

func (c *Controller) handshake(nc net.Conn) error {
	ours := c.cfg.Hello
	if ours == nil {
		ours = openflow.NewHello(openflow.Version)
	}
	sent := make(chan error, 1) // both sides speak first, and net.Pipe holds no bytes
	go func() { sent <- c.conn.Send(c.conn.NextXID(), ours) }()
	if err := nc.SetReadDeadline(time.Now().Add(c.cfg.timeout())); err != nil {
		return err
	}
	m, _, _, err := c.conn.Read()
	if err != nil {
		return err
	}
	if err := <-sent; err != nil {
		return err
	}
	hello, ok := m.(*openflow.Hello)
	if !ok {
		return fmt.Errorf("expected HELLO, got %s", m)
	}
	if _, err := openflow.Negotiate(ours, hello); err != nil {
		return err
	}
	c.PeerHello = hello
	if err := nc.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	go c.read()
	if c.cfg.SkipFeatures {
		return nil
	}
	c.Features, err = Ask[*openflow.FeaturesReply](c, &openflow.FeaturesRequest{})
	return err
}

// read is the reader's goroutine.
func (c *Controller) read() {
	for {
		raw, err := c.conn.ReadMessage()
		if err != nil {
			c.update(func() { c.err = err })
			return
		}
		raw = bytes.Clone(raw) // what is handed out must outlive the next read
		m, xid, err := openflow.Decode(raw)
		if err != nil {
			// A message that cannot be read is the switch's mistake and ends the test's patience.
			c.update(func() { c.err = fmt.Errorf("oftest: the switch sent %x: %w", raw, err) })
			c.conn.Close()
			return
		}
		c.take(xid, m)
	}
}

func (c *Controller) take(xid uint32, m openflow.Message) {
	if c.cfg.OnMessage != nil {
		c.cfg.OnMessage(xid, m)
	}
	if echo, ok := m.(*openflow.EchoRequest); ok {
		if err := c.conn.Send(xid, &openflow.EchoReply{Data: echo.Data}); err != nil {
			c.update(func() { c.err = err })
		}
		return
	}
	c.update(func() {
		e, isError := m.(*openflow.Error)
		if isError {
			c.errs = append(c.errs, e)
		}
		if list, waited := c.replies[xid]; waited {
			c.replies[xid] = append(list, m)
		} else if !isError && !c.cfg.KeepNone {
			c.async = append(c.async, received{xid, m})
		}
	})
}

// update changes the state and wakes everyone who waits for it.
func (c *Controller) update(change func()) {
	c.mu.Lock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
}

// wait calls ready, with the lock held, until it says yes, the connection ends or time is up.
func (c *Controller) wait(what string, ready func() bool) error {
	timer := time.NewTimer(c.cfg.timeout())
	defer timer.Stop()
	for {
		c.mu.Lock()
		if ready() {
			c.mu.Unlock()
			return nil
		}
		changed, err := c.changed, c.err
		c.mu.Unlock()
		if err != nil {
			return fmt.Errorf("oftest: waiting for %s: connection ended: %w", what, err)
		}
		select {
		case <-changed:
		case <-timer.C:
			return fmt.Errorf("%w: no %s within %v", ErrTimeout, what, c.cfg.timeout())
		}
	}
}

// Close ends the connection and the reader.
func (c *Controller) Close() error { return c.conn.Close() }

// Closed waits until the switch has ended the connection.
func (c *Controller) Closed() error {
	return c.wait("end of the connection", func() bool { return c.err != nil })
}

// Conn is the connection below, for what only tests of the protocol need: raw bytes, odd xids.
func (c *Controller) Conn() *openflow.Conn { return c.conn }

// Errors returns every ERROR received so far, answered requests included.
func (c *Controller) Errors() []*openflow.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*openflow.Error(nil), c.errs...)
}
