// Slow path: connecting to controllers, backing off, and listening for tools.

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// dialTime bounds one attempt to connect, a TLS handshake included.
const dialTime = 5 * time.Second

// States of a controller, as shown in ControllerStatus.
const (
	stateConnecting = "connecting"
	stateHandshake  = "handshake"
	stateConnected  = "connected"
	stateBackoff    = "backoff"
)

// controller keeps one configured controller connected.
type controller struct {
	sw       *Switch
	target   Target
	log      *Logger
	ctx      context.Context
	stop     context.CancelFunc
	done     chan struct{}
	auxGroup sync.WaitGroup
	renewed  chan struct{} // has a token when cfg changed: a pause under way is measured anew

	// guarded by Switch.mu
	cfg         ControllerConfig
	channel     *Channel // nil while there is none
	auxiliaries map[uint8]context.CancelFunc
	state       string
	since       time.Duration
	until       time.Duration // in stateBackoff: when the next attempt begins
	attempts    int
	last        error // why the last attempt or connection ended
	served      bool  // counted in Switch.connected
}

func (s *Switch) addController(cfg ControllerConfig) {
	c := &controller{
		sw: s, target: cfg.Target, cfg: cfg, done: make(chan struct{}), renewed: make(chan struct{}, 1),
		state: stateConnecting, since: s.clock.Now(),
		log: s.env.Log.Part("channel").With("bridge", s.name).With("controller", cfg.Target.String()),
	}
	c.ctx, c.stop = context.WithCancel(s.running)
	s.mu.Lock()
	s.controllers = append(s.controllers, c)
	s.mu.Unlock()
	go c.run()
}

// close ends the connection and the attempts to make one.
func (c *controller) close() {
	c.stop()
	c.sw.mu.Lock()
	ch := c.channel
	c.sw.mu.Unlock()
	if ch != nil {
		ch.end(errConfigOff)
	}
	<-c.done
}

// run connects, speaks, and after each end waits a little longer before it tries again.
func (c *controller) run() {
	defer close(c.done)
	backoff := time.Duration(0)
	for c.ctx.Err() == nil {
		c.enter(stateConnecting, nil)
		ch, err := c.connect()
		if err == nil {
			err = c.speak(ch)
			if ch.up.Load() {
				backoff = 0
			}
		}
		if c.ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("closed by the controller")
		}
		least, most := c.backoffs()
		backoff = min(max(backoff, least), most)
		c.report(err, backoff)
		c.enter(stateBackoff, err)
		c.wait(backoff)
		backoff *= 2
	}
}

// settings is the configuration as it is now: all but the target may change under a connection.
func (c *controller) settings() ControllerConfig {
	c.sw.mu.Lock()
	defer c.sw.mu.Unlock()
	return c.cfg
}

// backoffs are the shortest and the longest pause before the next attempt.
func (c *controller) backoffs() (least, most time.Duration) {
	cfg := c.settings()
	if least = cfg.MinBackoff; least <= 0 {
		least = time.Second
	}
	return least, max(cfg.MaxBackoff, least)
}

// renew applies other settings for the same target. A session goes on under them; a pause that is
// now too long is cut short.
func (c *controller) renew(cfg ControllerConfig) {
	c.sw.mu.Lock()
	c.cfg = cfg
	var open []*Channel
	if c.channel != nil {
		open = append(slices.Clone(c.channel.attached), c.channel)
	}
	c.sw.mu.Unlock()
	for _, ch := range open {
		ch.renew(cfg)
	}
	c.adjustAuxiliaries()
	select {
	case c.renewed <- struct{}{}:
	default:
	}
}

// report logs the first failure as a warning; those that follow say nothing new.
func (c *controller) report(err error, backoff time.Duration) {
	c.sw.mu.Lock()
	attempts := c.attempts
	c.sw.mu.Unlock()
	if attempts <= 1 {
		c.log.Warnf("not connected: %v; next attempt in %s", err, backoff)
	} else {
		c.log.Debugf("attempt %d: %v; next in %s", attempts, err, backoff)
	}
}

func (c *controller) enter(state string, err error) {
	c.sw.mu.Lock()
	defer c.sw.mu.Unlock()
	c.state, c.since = state, c.sw.clock.Now()
	if state == stateConnecting {
		c.attempts++
	}
	if state == stateBackoff {
		c.last = err
	}
}

// connect makes the main connection.
func (c *controller) connect() (*Channel, error) {
	nc, err := c.open(c.ctx)
	if err != nil {
		return nil, err
	}
	return c.sw.newChannel(nc, c.target.String(), false, c.settings()), nil
}

// open connects to the target, with TLS if it asks for that.
func (c *controller) open(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	dial := c.sw.env.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	t := c.target
	nc, err := dial(ctx, t.Network(), t.Address())
	if err != nil || !t.TLS() {
		return nc, err
	}
	return c.sw.tlsFiles().client(ctx, nc, t.Host)
}

// speak runs the connection; the switch has a controller from the agreed HELLO to the end.
func (c *controller) speak(ch *Channel) error {
	s := c.sw
	s.mu.Lock()
	c.channel, c.state, c.since = ch, stateHandshake, s.clock.Now()
	closing := c.ctx.Err() != nil
	s.mu.Unlock()
	if closing {
		ch.end(errClosing)
	}
	ch.onUp, ch.onFeatures = c.up, c.adjustAuxiliaries
	err := ch.run()
	c.adjustAuxiliaries() // the main connection has left: none stays
	c.auxGroup.Wait()
	c.down()
	return err
}

func (c *controller) up() {
	s := c.sw
	s.mu.Lock()
	defer s.mu.Unlock()
	c.state, c.since, c.attempts, c.last, c.served = stateConnected, s.clock.Now(), 0, nil, true
	s.connected++
	c.log.Infof("connected")
}

// down forgets the connection.
func (c *controller) down() {
	s := c.sw
	s.mu.Lock()
	defer s.mu.Unlock()
	c.channel = nil
	if c.served {
		c.served = false
		s.loseController()
	}
}

// loseController counts one controller less. A standalone bridge without any decides alone again: its
// table-miss entry comes back, and what the controllers installed stays. mu is held to the end, so
// that a controller that connects at this moment has the last word.
func (s *Switch) loseController() {
	s.connected--
	if s.connected > 0 || s.running.Err() != nil || s.cfg.FailMode == FailSecure {
		return
	}
	miss := s.cfg.TableMiss
	if miss == MissDrop { // no entry is what drops
		s.log.Warnf("no controller left: standalone, with the entries as they are")
		return
	}
	s.log.Warnf("no controller left: standalone, the table-miss entry is %s again", miss)
	if err := s.installMissEntry(miss); err != nil {
		s.log.Errorf("the table-miss entry cannot be installed: %v", err)
	}
}

// wait sleeps by the switch's clock, no longer than the settings of the moment allow.
func (c *controller) wait(d time.Duration) {
	for {
		c.sw.mu.Lock()
		c.until = c.since + d // since the pause was announced
		left := c.until - c.sw.clock.Now()
		c.sw.mu.Unlock()
		if left <= 0 {
			return
		}
		woken := make(chan struct{})
		t := c.sw.clock.AfterFunc(left, func() { close(woken) })
		select {
		case <-woken:
			return
		case <-c.ctx.Done():
			t.Stop()
			return
		case <-c.renewed:
			t.Stop()
			_, most := c.backoffs()
			d = min(d, most)
		}
	}
}

// maxTools is how many connections one listener serves at once.
const maxTools = 64

// listener accepts tools at one address.
type listener struct {
	sw         *Switch
	ln         net.Listener
	name       string
	target     Target
	auxiliary  bool                                                // for auxiliary connections
	speak      func(ctx context.Context, nc net.Conn, peer string) // what to do with a connection; nil: OpenFlow
	management bool                                                // NAME.mgmt
	path       string                                              // socket to unlink, or empty
	secure     bool
	done       sync.WaitGroup
	slots      chan struct{} // one a connection
	ctx        context.Context
	stop       context.CancelFunc
}

// listenAll opens NAME.mgmt and the configured listeners. ops is held.
func (s *Switch) listenAll(cfg BridgeConfig) error {
	if s.env.RunDir != "" {
		if err := s.listen(Target{Scheme: "punix", Path: s.managementPath()}, forMain); err != nil {
			return err
		}
		if err := s.listenSnoop(); err != nil {
			return err
		}
	}
	for _, t := range cfg.Listen {
		if err := s.listen(t, forMain); err != nil {
			return err
		}
	}
	for _, t := range cfg.ListenAux {
		if err := s.listen(t, forAuxiliaries); err != nil {
			return err
		}
	}
	return nil
}

// purpose is what a listener accepts.
type purpose bool

const (
	forMain        purpose = false
	forAuxiliaries purpose = true
)

// managementPath is where ovs-ofctl looks for a bridge by its bare name.
func (s *Switch) managementPath() string {
	return filepath.Join(s.env.RunDir, s.name+".mgmt")
}

func (s *Switch) listen(t Target, what purpose) error {
	l, err := s.openListener(t)
	if err != nil {
		return err
	}
	l.auxiliary = what == forAuxiliaries
	s.mu.Lock()
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
	l.done.Go(l.accept)
	return nil
}

// openListener opens a passive target; accept is the caller's to start.
func (s *Switch) openListener(t Target) (*listener, error) {
	name := t.String()
	l := &listener{sw: s, name: name, target: t, secure: t.TLS(), slots: make(chan struct{}, maxTools)}
	l.ctx, l.stop = context.WithCancel(s.running)
	if t.TLS() { // a missing file shows now, not at the first connection
		if _, err := s.tlsConfig(); err != nil {
			return nil, fmt.Errorf("listen %s: %w", name, err)
		}
	}
	var err error
	if t.Network() == "unix" {
		l.path = t.Path
		l.ln, err = listenUnix(t.Path)
	} else {
		l.ln, err = net.Listen("tcp", t.Address())
	}
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", name, err)
	}
	l.management = l.path != "" && l.path == s.managementPath()
	return l, nil
}

// listenUnix makes a socket at path. One that a dead process left behind is replaced; one that
// answers belongs to somebody and stays.
func listenUnix(path string) (net.Listener, error) {
	ln, err := net.Listen("unix", path)
	if err == nil {
		return ln, nil
	}
	if fi, statErr := os.Lstat(path); statErr != nil || fi.Mode()&os.ModeSocket == 0 {
		return nil, err
	}
	if unserved(path, "") != nil {
		return nil, fmt.Errorf("%s is in use by another process: stop it, or choose another run directory or name", path)
	}
	if err := os.Remove(path); err != nil {
		return nil, fmt.Errorf("%s was left behind and cannot be removed: %w", path, err)
	}
	return net.Listen("unix", path)
}

// Addr is where the listener can be reached, the port chosen by the system included.
func (l *listener) addr() string {
	if l.path != "" {
		return l.name
	}
	if a, ok := l.ln.Addr().(*net.TCPAddr); ok {
		t := l.target
		t.Port = uint16(a.Port)
		return t.String()
	}
	return l.name
}

// accept serves connections until the listener is closed. Beyond maxTools a connection is turned away.
func (l *listener) accept() {
	for {
		nc, err := l.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, mostly
			l.sw.log.Warnf("listener %s: %v", l.name, err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		select {
		case l.slots <- struct{}{}:
		default:
			l.sw.log.Warnf("listener %s: %d connections already, one more turned away", l.name, maxTools)
			nc.Close()
			continue
		}
		l.done.Go(func() {
			defer func() { <-l.slots }()
			l.serve(nc)
		})
	}
}

func (l *listener) serve(nc net.Conn) {
	peer := nc.RemoteAddr().String()
	if l.path != "" {
		peer = l.name
	}
	if l.secure {
		var err error
		if nc, err = l.sw.serverTLS(nc); err != nil {
			l.sw.log.Warnf("listener %s: %s: %v", l.name, peer, err)
			return
		}
	}
	if l.speak != nil {
		l.speak(l.ctx, nc, peer)
		return
	}
	if !l.auxiliary {
		l.sw.serveTool(l.ctx, nc, peer)
		return
	}
	if err := l.sw.serveAuxiliary(l.ctx, nc, peer); err != nil {
		l.sw.log.Infof("listener %s: auxiliary connection from %s: %v", l.name, peer, err)
	}
}

// serveTool speaks with a tool until it goes or ctx ends.
func (s *Switch) serveTool(ctx context.Context, nc net.Conn, peer string) {
	c := s.newChannel(nc, peer, true, ControllerConfig{})
	stop := context.AfterFunc(ctx, func() { c.end(errClosing) })
	defer stop()
	err := c.run()
	var refused *openflow.Error
	switch {
	case errors.As(err, &refused):
		c.log.Infof("tool refused: %v", err)
	case err != nil: // tools go without ceremony
		c.log.Debugf("tool connection ended: %v", err)
	}
}

// Serve speaks OpenFlow over nc as with a configured controller, until the connection ends: while it
// lasts the switch has a controller. It is for programs that hold the controller's end of a net.Pipe.
func (s *Switch) Serve(nc net.Conn) error {
	c := s.newChannel(nc, "in-memory", false, ControllerConfig{})
	stop := context.AfterFunc(s.running, func() { c.end(errClosing) })
	defer stop()
	c.onUp = func() {
		s.mu.Lock()
		s.connected++
		s.mu.Unlock()
	}
	err := c.run()
	if c.up.Load() {
		s.mu.Lock()
		s.loseController()
		s.mu.Unlock()
	}
	return err
}

// close stops accepting, ends the connections and unlinks the socket.
func (l *listener) close() error {
	err := l.ln.Close() // a unix listener of ours unlinks its path
	l.stop()
	l.done.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("listener %s: %w", l.name, err)
	}
	return nil
}
