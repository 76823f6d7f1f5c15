// Slow path: what a bundle does when it is committed.

package agent

import (
	"errors"
	"slices"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// commit carries out a bundle. The peer is told which message failed, and then that the bundle did.
func (c *Channel) commit(b *bundle) error {
	k := &commit{c: c}
	failed, err := k.run(b.messages)
	if err == nil {
		return nil
	}
	if refused, ok := err.(*openflow.Error); ok {
		raw := b.messages[failed].raw
		if err := c.reply(openflow.ReadHeader(raw).XID, refused.For(raw)); err != nil {
			return err
		}
	}
	return openflow.BundleErrorf(openflow.BFCMsgFailed, "message %d of the bundle failed, none was carried out: %v", failed+1, err)
}

// commit is a bundle being carried out.
type commit struct {
	c      *Channel
	steps  []flowtable.BundleStep
	of     []int // which message a step is of
	frames []bundleFrame
	taken  []buffered // frames that were named by buffer_id
	mods   []portChange
}

// bundleFrame is what a PACKET_OUT among the steps sends.
type bundleFrame struct {
	data []byte
	in   uint32
}

// portChange is what the PORT_MODs make of one port.
type portChange struct {
	p       *port
	config  openflow.PortConfig
	message int // the last of them
}

// run does it in two stages: nothing is sent, and no frame meets any of it, before all messages have succeeded.
func (k *commit) run(list []bundled) (failed int, err error) {
	s := k.c.sw
	done, failed, err := k.change(list)
	s.forgetStations()
	if err != nil {
		for _, b := range k.taken {
			s.kept.putBack(b)
		}
		return failed, err
	}
	s.groupsChanged()
	k.send(done.Outs)
	if len(done.Removed) > 0 {
		k.c.removed(done.Removed)
	}
	return 0, nil
}

// change does what can fail.
func (k *commit) change(list []bundled) (done flowtable.Bundled, failed int, err error) {
	s := k.c.sw
	for _, b := range list {
		if _, ok := b.m.(*openflow.PortMod); ok {
			s.mu.Lock() // no port comes or goes under the bundle
			defer s.mu.Unlock()
			break
		}
	}
	refused, why := len(list), error(nil)
	for i, b := range list {
		if why = k.prepare(i, b.m); why != nil {
			refused = i
			break
		}
	}
	if len(k.steps) > 0 {
		k.c.asked = &k.steps[0]
	}
	if why == nil && k.switchesDevices() {
		failed, err = k.rehearse()
	}
	if err == nil {
		done, failed, err = s.pipe.Bundle(s.clock.Now(), k.steps, func() (int, error) { return len(k.of), why }) // all before it would have succeeded
		if err != nil && why == nil {                                                                            // another connection has changed what the rehearsal met
			k.undoDevices(k.mods)
		}
	}
	switch {
	case err == nil:
		k.tellPorts(done.Left)
	case failed < len(k.of):
		refused = k.of[failed]
	}
	return done, refused, err
}

// prepare makes steps of the message at index i.
func (k *commit) prepare(i int, m openflow.Message) error {
	step := flowtable.BundleStep{Message: m}
	switch m := m.(type) {
	case *openflow.PortMod:
		if err := k.portMod(i, m); err != nil {
			return err
		}
		step.Ports = k.c.sw.enginePorts(k.configOf)
	case *openflow.PacketOut:
		return k.packetOut(i, m)
	case *openflow.FlowMod:
		if m.BufferID == openflow.NoBuffer || m.Command >= openflow.FlowDelete {
			break
		}
		b, err := k.take(m.BufferID)
		if err != nil {
			return err
		}
		k.add(i, step)
		step.Message = &openflow.PacketOut{Actions: openflow.NewActions(openflow.Output(openflow.PortTable))}
		k.frames = append(k.frames, bundleFrame{b.frame, b.in})
	}
	k.add(i, step)
	return nil
}

func (k *commit) add(i int, s flowtable.BundleStep) {
	k.steps, k.of = append(k.steps, s), append(k.of, i)
}

func (k *commit) take(id uint32) (buffered, error) {
	b, err := k.c.sw.kept.take(id)
	if err == nil {
		k.taken = append(k.taken, b)
	}
	return b, err
}

func (k *commit) packetOut(i int, m *openflow.PacketOut) error {
	data := m.Data
	if m.BufferID != openflow.NoBuffer {
		b, err := k.take(m.BufferID)
		if err != nil {
			return err
		}
		data = b.frame
	}
	if err := checkOut(data); err != nil {
		return err
	}
	k.frames = append(k.frames, bundleFrame{data, uint32(m.InPort)})
	k.add(i, flowtable.BundleStep{Message: m})
	return nil
}

// portMod notes what a port is to become. Switch.mu is held, as for all that follows of ports.
func (k *commit) portMod(i int, m *openflow.PortMod) error {
	p, err := k.c.sw.checkPortMod(m)
	if err != nil {
		return err
	}
	config := k.configOf(p)&^m.Mask | m.Config&m.Mask
	for j := range k.mods {
		if k.mods[j].p == p {
			k.mods[j].config, k.mods[j].message = config, i
			return nil
		}
	}
	k.mods = append(k.mods, portChange{p, config, i})
	return nil
}

func (k *commit) configOf(p *port) openflow.PortConfig {
	for _, c := range k.mods {
		if c.p == p {
			return c.config
		}
	}
	return p.config
}

// errRehearsed ends a bundle that would have succeeded.
var errRehearsed = errors.New("rehearsed")

// rehearse switches the devices as a bundle wants it, if the rest of it succeeds. A system may take long to switch one,
// and nobody else's changes shall wait for it: the tables are asked before, and the bundle is carried out afterwards.
func (k *commit) rehearse() (failed int, err error) {
	_, failed, err = k.c.sw.pipe.Bundle(k.c.sw.clock.Now(), k.steps, func() (int, error) { return 0, errRehearsed })
	if err == errRehearsed {
		return k.setDevices()
	}
	return failed, err
}

func (k *commit) switchesDevices() bool {
	return slices.ContainsFunc(k.mods, func(c portChange) bool {
		_, ok := c.p.dev.(ports.AdminSetter)
		return ok && (c.config^c.p.config)&openflow.PortDown != 0
	})
}

// undoDevices switches devices back.
func (k *commit) undoDevices(list []portChange) {
	for _, c := range list {
		if dev, ok := c.p.dev.(ports.AdminSetter); ok && (c.config^c.p.config)&openflow.PortDown != 0 {
			_ = dev.SetUp(c.p.config&openflow.PortDown == 0)
		}
	}
}

// setDevices switches devices on and off, all or none of them.
func (k *commit) setDevices() (failed int, err error) {
	for i, c := range k.mods {
		if err = c.p.setUp(c.config); err == nil {
			continue
		}
		k.undoDevices(k.mods[:i])
		for failed = range k.of {
			if k.of[failed] == c.message {
				break
			}
		}
		return failed, err
	}
	return 0, nil
}

// tellPorts makes the new configurations those of the ports. Addresses behind those in left are forgotten.
func (k *commit) tellPorts(left []uint32) {
	if len(k.mods) == 0 {
		return
	}
	s := k.c.sw
	s.left = append(s.left, left...)
	var changed []*port
	for _, c := range k.mods {
		c.p.config = c.config
		was := c.p.told
		if c.p.told = s.describe(c.p); c.p.told != was {
			changed = append(changed, c.p)
		}
	}
	s.publishPorts() // for a device that has just been switched on may have a link now
	for _, p := range changed {
		s.tellPort(openflow.PortModified, &p.told)
	}
}

// send runs the PACKET_OUTs, a worker's batch at a time.
func (k *commit) send(outs []flowtable.BundleOut) {
	for len(outs) > 0 {
		w := <-k.c.sw.workers
		n := min(len(outs), len(w.frames))
		for i, f := range k.frames[:n] {
			w.frames[i].SetBytes(f.data)
			w.frames[i].InPort = f.in
		}
		w.injectBundled(w.frames[:n], outs[:n])
		k.c.sw.workers <- w
		outs, k.frames = outs[n:], k.frames[n:]
	}
}
