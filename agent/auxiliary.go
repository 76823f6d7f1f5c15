// Slow path: auxiliary connections, which share a controller's role and carry its packet-ins.

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
)

// An OpenFlow channel is one main connection and any number of auxiliary ones (section 6.3.6). All
// take every message and answer on the connection that asked; barriers hold for their own connection.
// Role, asynchronous configuration, miss_send_len and the packet-in limit belong to the channel, so
// they are the main connection's. Packet-ins are spread over the auxiliary connections whose
// FEATURES_REPLY has told the controller which they are, a flow always over the same one; everything
// else that nobody asked for goes over the main connection.

// maxAuxiliary is how many auxiliary connections one controller may have.
const maxAuxiliary = 8

var (
	errMainGone = errors.New("the main connection has ended")
	errNoMain   = errors.New("no main connection from this address: a controller connects to a main listener first")
	errTooMany  = fmt.Errorf("%d auxiliary connections already", maxAuxiliary)
)

// lead is the main connection of c's channel.
func (c *Channel) lead() *Channel {
	if c.main != nil {
		return c.main
	}
	return c
}

// attach makes c an auxiliary connection of main. id 0 asks for the lowest that is free.
func (c *Channel) attach(main *Channel, id uint8) error {
	c.sw.mu.Lock()
	defer c.sw.mu.Unlock()
	if main.left {
		return errMainGone
	}
	taken := func(id uint8) bool {
		return slices.ContainsFunc(main.attached, func(a *Channel) bool { return a.auxID == id })
	}
	if id == 0 {
		for id = 1; taken(id); id++ {
		}
	}
	if id > maxAuxiliary || taken(id) {
		return errTooMany
	}
	c.main, c.auxID, c.tool = main, id, main.tool
	c.snooped.Tool = main.tool
	main.attached = append(main.attached, c)
	return nil
}

// ready lets an auxiliary connection have its share of the packet-ins.
func (c *Channel) ready() {
	c.sw.mu.Lock()
	defer c.sw.mu.Unlock()
	var list []*Channel
	for _, a := range c.main.attached {
		if a == c {
			a.awake = true
		}
		if a.awake {
			list = append(list, a)
		}
	}
	c.main.auxiliaries.Store(&list)
}

// detach takes an auxiliary connection out of its channel. Switch.mu is held.
func (c *Channel) detach() {
	c.awake = false
	var ready []*Channel
	c.main.attached = slices.DeleteFunc(c.main.attached, func(a *Channel) bool { return a == c })
	for _, a := range c.main.attached {
		if a.awake {
			ready = append(ready, a)
		}
	}
	c.main.auxiliaries.Store(&ready)
}

// carrier is the connection that a packet-in with this frame goes over.
func (c *Channel) carrier(f *packet.Frame) *Channel {
	list := c.auxiliaries.Load()
	if list == nil || len(*list) == 0 {
		return c
	}
	return (*list)[spread(f)%uint64(len(*list))]
}

// spread hashes the addresses of a frame: packets of one flow stay in order.
func spread(f *packet.Frame) uint64 {
	const prime = 0x9e3779b97f4a7c15
	h := uint64(f.InPort)
	for _, w := range f.Key[1:9] {
		h = (h ^ w) * prime
		h ^= h >> 29
	}
	return h >> 7
}

// adjustAuxiliaries starts and ends auxiliary connections until there are as many as configured, and
// none before the main connection is ready.
func (c *controller) adjustAuxiliaries() {
	s := c.sw
	s.mu.Lock()
	defer s.mu.Unlock()
	main, want := c.channel, c.cfg.Auxiliary
	if main == nil || !main.introduced || main.left {
		want = 0
	}
	for id, stop := range c.auxiliaries {
		if int(id) > want {
			stop()
			delete(c.auxiliaries, id)
		}
	}
	for id := uint8(1); int(id) <= want; id++ {
		if c.auxiliaries[id] != nil {
			continue
		}
		ctx, stop := context.WithCancel(c.ctx)
		if c.auxiliaries == nil {
			c.auxiliaries = map[uint8]context.CancelFunc{}
		}
		c.auxiliaries[id] = stop
		c.auxGroup.Go(func() { c.keepAuxiliary(ctx, main, id) })
	}
}

// keepAuxiliary keeps one auxiliary connection up until ctx ends or the main connection does.
func (c *controller) keepAuxiliary(ctx context.Context, main *Channel, id uint8) {
	least, most := c.backoffs()
	for pause := least; ctx.Err() == nil; pause = min(2*pause, most) {
		ch, err := c.speakAuxiliary(ctx, main, id)
		if errors.Is(err, errMainGone) || ctx.Err() != nil {
			return
		}
		if ch != nil && ch.up.Load() {
			pause = least
		}
		c.log.Debugf("auxiliary connection %d: %v; next attempt in %s", id, err, pause)
		c.sleep(ctx, pause)
	}
}

// speakAuxiliary makes the connection and serves it until it ends.
func (c *controller) speakAuxiliary(ctx context.Context, main *Channel, id uint8) (*Channel, error) {
	nc, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	ch := c.sw.newChannelLike(main, nc, fmt.Sprintf("%s auxiliary %d", c.target, id), c.settings())
	if err := ch.attach(main, id); err != nil {
		nc.Close()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { ch.end(errConfigOff) })
	defer stop()
	return ch, ch.run()
}

func (c *controller) sleep(ctx context.Context, d time.Duration) {
	woken := make(chan struct{})
	t := c.sw.clock.AfterFunc(d, func() { close(woken) })
	defer t.Stop()
	select {
	case <-woken:
	case <-ctx.Done():
	}
}

// serveAuxiliary speaks with a controller that has opened an auxiliary connection itself. It belongs to
// the latest main connection from the same address: OpenFlow 1.3 has no word by which the controller
// could say to which.
func (s *Switch) serveAuxiliary(ctx context.Context, nc net.Conn, peer string) error {
	main := s.mainFrom(remoteHost(nc))
	if main == nil {
		nc.Close()
		return errNoMain
	}
	c := s.newChannelLike(main, nc, peer, ControllerConfig{})
	if err := c.attach(main, 0); err != nil {
		nc.Close()
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.end(errClosing) })
	defer stop()
	return c.run()
}

func (s *Switch) mainFrom(host string) *Channel {
	for _, c := range slices.Backward(*s.channels.Load()) {
		if remoteHost(c.nc) == host {
			return c
		}
	}
	return nil
}

// remoteHost is the peer's address without its port; a local socket has none.
func remoteHost(nc net.Conn) string {
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return nc.RemoteAddr().Network()
}
