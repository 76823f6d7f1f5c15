// Slow path: one OpenFlow connection, from the first HELLO to its end.

package agent

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
)

const (
	// handshakeTime is how long the peer may take to say HELLO.
	handshakeTime = 10 * time.Second
	// drainTime is how long replies may still travel after the peer has closed its half, or after
	// HELLO_FAILED.
	drainTime = 2 * time.Second
)

var (
	errSilent    = errors.New("nothing heard, and no answer to ECHO_REQUEST")
	errNoHello   = errors.New("no HELLO within " + handshakeTime.String())
	errConfigOff = errors.New("taken out of the configuration")
)

// Channel is one connection to a controller or to a tool. A goroutine reads and handles messages in
// their order, another one writes; whatever others have to say goes through the outbox.
type Channel struct {
	sw         *Switch
	log        *Logger
	nc         net.Conn
	conn       *openflow.Conn
	out        *outbox
	peer       string
	versions   []uint8       // that its HELLO offers
	old        *of10.Session // OpenFlow 1.0 was agreed on; nil: 1.3. Set before up
	tool       bool          // accepted by a listener: quiet until it asks (CONTRACT of service connections)
	onUp       func()        // called once the versions are agreed; may be nil
	onFeatures func()        // called once the first FEATURES_REPLY is on its way; may be nil
	limit      *packetLimit  // of the whole channel
	ended      chan struct{} // closed when run has returned
	snooped    SnoopedEnd    // how snoopers know it. Set before run

	// Which reasons of each asynchronous message the peer wants now. Written under Switch.mu, read
	// by workers.
	wantPacketIn    atomic.Uint32
	wantPortStatus  atomic.Uint32
	wantFlowRemoved atomic.Uint32

	probe    atomic.Int64 // time.Duration of silence before an ECHO_REQUEST; 0 = never
	up       atomic.Bool  // the versions are agreed
	busy     atomic.Bool  // a message is being handled
	heard    atomic.Int64 // clock when bytes last came in
	wrote    atomic.Int64 // clock when bytes last went out
	probed   atomic.Bool  // an ECHO_REQUEST is out since then
	received atomic.Uint64
	missLen  atomic.Uint32 // miss_send_len of SET_CONFIG
	slave    atomic.Bool   // role is SLAVE: asked for each FLOW_MOD, which must not wait for Switch.mu

	// What Nicira's messages set.
	packetInFormat atomic.Uint32 // an openflow.PacketInFormat
	controllerID   atomic.Uint32 // which controller(id=...) it takes

	bundles bundles // the reader's own

	// guarded by Switch.mu
	role       openflow.Role
	async      openflow.AsyncConfig
	awake      bool       // asynchronous messages may be sent
	introduced bool       // has answered FEATURES_REQUEST
	left       bool       // no longer one of the switch's connections
	attached   []*Channel // auxiliary connections; see auxiliary.go
	since      time.Duration
	timer      Timer

	// Of an auxiliary connection: set before it runs.
	main  *Channel
	auxID uint8
	// Of a main connection: the auxiliary ones that take packet-ins; nil: none.
	auxiliaries atomic.Pointer[[]*Channel]

	line *line // nil: nobody looks whether something has come. Set before the writer runs

	// The reader's own.
	window  time.Duration // how long it pays to look for the next message, see spin.go
	next    arrival       // for that message
	parts   gatherer      // of multipart requests
	decoder openflow.Decoder
	burst   burst
	refused map[mistake]bool // what the log has told
	asked   any              // flowtable.Change.Cause of what the message at hand changes

	why     error // why it ended; guarded by endOnce
	endOnce sync.Once
}

// newChannel wraps a connection. settings has the limits of a controller; a tool gets the defaults.
func (s *Switch) newChannel(nc net.Conn, peer string, tool bool, settings ControllerConfig) *Channel {
	return s.makeChannel(nc, peer, tool, settings, newPacketLimit(s.clock, &settings))
}

// newChannelLike wraps a connection that is to be an auxiliary one of main.
func (s *Switch) newChannelLike(main *Channel, nc net.Conn, peer string, settings ControllerConfig) *Channel {
	return s.makeChannel(nc, peer, false, settings, main.limit)
}

func (s *Switch) makeChannel(nc net.Conn, peer string, tool bool, settings ControllerConfig, limit *packetLimit) *Channel {
	c := &Channel{
		sw: s, nc: nc, conn: openflow.NewConn(nc), peer: peer, tool: tool, limit: limit,
		log:      s.env.Log.Part("channel").With("bridge", s.name).With("controller", peer),
		out:      newOutbox(s.packetInQueue(), limit),
		versions: s.versionsFor(tool),
		ended:    make(chan struct{}), role: openflow.RoleEqual, async: defaultAsync, since: s.clock.Now(),
	}
	c.out.sending = c.sending
	c.describeEnd(s.lastChannel.Add(1))
	c.probe.Store(int64(settings.InactivityProbe))
	c.missLen.Store(defaultMissLen)
	c.heard.Store(int64(c.since))
	return c
}

// defaultPacketInQueue is how many packet-ins may wait for a connection when nobody said.
const defaultPacketInQueue = 512

func (s *Switch) packetInQueue() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.PacketInQueue > 0 {
		return s.cfg.PacketInQueue
	}
	return defaultPacketInQueue
}

// run speaks OpenFlow until the connection ends and says why it did; nil when the peer just closed it.
func (c *Channel) run() error {
	defer close(c.ended)
	c.send(0, c.hello()) // at once: some controllers wait for it
	c.findLine()
	written := make(chan struct{})
	go func() {
		defer close(written)
		if err := c.out.run(c.nc, c.progress); err != io.EOF {
			c.nc.Close() // wakes the reader
		}
	}()
	c.arm(handshakeTime)
	err := c.read()
	c.sw.leave(c)
	c.publish()
	c.drain(err, written)
	c.endOnce.Do(func() { c.why = err })
	if errors.Is(c.why, io.EOF) {
		return nil
	}
	return c.why
}

// findLine finds the socket, for what need not sleep.
func (c *Channel) findLine() {
	if c.line = newLine(c.nc); c.line == nil {
		return
	}
	c.next = arrival{ready: c.line.readable, resume: make(chan bool, 1)}
	c.out.direct = func(b []byte) int {
		defer c.progress()
		return c.line.tryWrite(b)
	}
}

// drain lets the writer send what is queued, when the peer has only finished speaking or must still
// learn why it is refused, and closes the connection.
func (c *Channel) drain(err error, written chan struct{}) {
	var refused *openflow.Error
	if errors.Is(err, io.EOF) || errors.As(err, &refused) {
		c.nc.SetWriteDeadline(time.Now().Add(drainTime))
		c.out.close(io.EOF, true)
	} else {
		c.out.close(err, false)
		c.nc.Close()
	}
	<-written
	c.nc.Close()
}

// end closes the connection from outside.
func (c *Channel) end(why error) {
	c.endOnce.Do(func() { c.why = why })
	c.out.close(why, false)
	c.nc.Close()
}

// read is the connection's reader: hello, then one message after the other.
func (c *Channel) read() error {
	if err := c.greet(); err != nil {
		return err
	}
	for {
		raw, err := c.nextMessage()
		if err != nil {
			return err
		}
		c.note()
		c.busy.Store(true)
		err = c.handle(raw)
		c.busy.Store(false)
		if err != nil {
			return err
		}
	}
}

// greet waits for the peer's HELLO and agrees on the version (section 6.3.1).
func (c *Channel) greet() error {
	raw, err := c.readMessage()
	if err != nil {
		return err
	}
	c.note()
	m, xid, err := openflow.Decode(raw)
	if err != nil {
		return fmt.Errorf("expected HELLO: %w", err)
	}
	switch m := m.(type) {
	case *openflow.Hello:
		if err := c.agree(m); err != nil {
			c.refuse(xid, err)
			return err
		}
	case *openflow.Error:
		return fmt.Errorf("the peer refuses: %w %q", m, m.Data)
	default:
		return fmt.Errorf("expected HELLO, got %s", m.MsgType())
	}
	c.up.Store(true)
	c.sw.enter(c)
	if c.onUp != nil {
		c.onUp()
	}
	c.arm(c.silence())
	return nil
}

func (c *Channel) silence() time.Duration { return time.Duration(c.probe.Load()) }

// renew applies other limits to a connection that is there.
func (c *Channel) renew(cfg ControllerConfig) {
	c.limit.set(&cfg)
	if was := c.probe.Swap(int64(cfg.InactivityProbe)); was != int64(cfg.InactivityProbe) && c.up.Load() {
		c.probed.Store(false)
		c.arm(cfg.InactivityProbe)
	}
}

func (c *Channel) refuse(xid uint32, err error) {
	var refused *openflow.Error
	if errors.As(err, &refused) {
		c.send(xid, refused)
	}
}

// handle decodes and dispatches one message. A message that cannot be obeyed is answered with an
// ERROR that carries it; only a broken connection ends it.
func (c *Channel) handle(raw []byte) error {
	m, xid, err := c.decode(raw)
	if err == nil && m != nil {
		c.settle(m)
		c.asked = m
		err = c.dispatch(m, xid, raw)
		if !changesNothing(m) {
			c.sw.tellMonitors(c, xid)
		}
	}
	if err == nil {
		return nil
	}
	var refused *openflow.Error
	if !errors.As(err, &refused) {
		return err
	}
	if openflow.ReadHeader(raw).Type == openflow.TypeError {
		return nil // never answer an error with an error
	}
	c.logRefusal(openflow.ReadHeader(raw).Type, refused)
	c.remark(xid, refused)
	if err := c.parts.refuse(raw); err != nil {
		return err
	}
	return c.reply(xid, refused.For(raw))
}

// mistake is what requests that are refused alike have in common.
type mistake struct {
	request openflow.Type
	kind    openflow.ErrorType
	code    uint16
}

// logRefusal says why a request is refused: the ERROR has only a number for it. A controller may send the
// same mistake a thousand times a second, so the first of a kind on a connection is for everybody's eyes.
func (c *Channel) logRefusal(request openflow.Type, why *openflow.Error) {
	if k := (mistake{request, why.Type, why.Code}); !c.refused[k] {
		if c.refused == nil {
			c.refused = map[mistake]bool{}
		}
		c.refused[k] = true
		c.log.Warnf("refused %s: %v (the next ones alike at log level debug)", request, why)
		return
	}
	c.log.Debugf("refused %s: %v", request, why)
}

// reply sends an answer after publishing what it may speak of. It waits while the peer does not read.
func (c *Channel) reply(xid uint32, m openflow.Message) error {
	c.publish()
	if c.conn.Buffered() == 0 {
		return c.out.answer(func(b []byte) []byte { return c.append(b, xid, m) })
	}
	return c.send(xid, m)
}

func (c *Channel) send(xid uint32, m openflow.Message) error {
	return c.out.reply(func(b []byte) []byte { return c.append(b, xid, m) })
}

// inStep answers what PORT_STATUS goes on from: the answer that fill adds to the outbox lists ports as the
// statuses before it left them, and no change after it goes untold. So fill runs under Switch.mu, as
// tellPort does; the wait for a peer that does not read comes before.
func (c *Channel) inStep(fill func() error) error {
	c.publish()
	c.out.awaitRoom()
	c.sw.mu.Lock()
	defer c.sw.mu.Unlock()
	return fill()
}

// note remembers that the peer is alive.
func (c *Channel) note() {
	c.received.Add(1)
	c.heard.Store(int64(c.sw.clock.Now()))
	c.probed.Store(false)
}

func (c *Channel) progress() { c.wrote.Store(int64(c.sw.clock.Now())) }

// arm looks after the connection d from now; 0 stops looking.
func (c *Channel) arm(d time.Duration) {
	c.sw.mu.Lock()
	defer c.sw.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	select {
	case <-c.ended:
		return
	default:
	}
	if d > 0 {
		c.timer = c.sw.clock.AfterFunc(d, c.check)
	}
}

// check is the inactivity probe: silence gets an ECHO_REQUEST, silence after that the end. A peer
// that still takes our replies while its requests wait for them is not silent.
func (c *Channel) check() {
	if !c.up.Load() {
		c.end(errNoHello)
		return
	}
	last := c.heard.Load()
	if c.busy.Load() {
		last = max(last, c.wrote.Load())
	}
	idle, probe := c.sw.clock.Now()-time.Duration(last), c.silence()
	switch {
	case probe == 0:
		return
	case idle < probe:
		c.arm(probe - idle)
		return
	case c.probed.Swap(true):
		c.end(errSilent)
		return
	}
	c.out.notify(func(b []byte) []byte { return c.append(b, 0, &openflow.EchoRequest{}) })
	c.arm(probe)
}

// enter makes an agreed connection one of those that asynchronous messages go to.
func (s *Switch) enter(c *Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.since = s.clock.Now()
	if c.main != nil {
		return // its main connection is there already
	}
	list := append(append([]*Channel(nil), *s.channels.Load()...), c)
	s.channels.Store(&list)
}

// leave is the opposite of enter.
func (s *Switch) leave(c *Channel) {
	s.leaveMonitors(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.left = true
	if c.main != nil {
		c.detach()
		return
	}
	for _, a := range c.attached {
		go a.end(errMainGone) // at once, lest the controller takes them for another switch's
	}
	var list []*Channel
	for _, o := range *s.channels.Load() {
		if o != c {
			list = append(list, o)
		}
	}
	s.channels.Store(&list)
}
