// Slow path: a new configuration for a running switch, applied as its difference from the old.

package agent

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// Apply changes the running switch to cfg by the difference between the two: what is the same in
// both keeps its entries, MAC table, sessions and counters.
//
//  1. refuse what cannot change while running
//  2. open what is new; if that fails, close it again: nothing has changed
//  3. take out what is gone
//  4. change what differs; a port that cannot be opened in its new form is tried in its old one
//
// An error of 1 or 2 leaves the old configuration as it was; one of 3 or 4 names what is different,
// and Config then tells what runs.
func (s *Switch) Apply(cfg BridgeConfig) error {
	s.ops.Lock()
	defer s.ops.Unlock()
	if s.closed || !s.started {
		return fmt.Errorf("bridge %s is not running", s.name)
	}
	old := s.Config()
	if err := fixedSettings(&old, &cfg); err != nil {
		return err
	}
	oldPorts, newPorts := s.allPorts(&old), s.allPorts(&cfg)
	if err := s.numbersFree(newPorts); err != nil {
		return err
	}
	if err := s.openNew(&old, &cfg, oldPorts, newPorts); err != nil {
		return err
	}
	s.mu.Lock()
	s.cfg = cfg
	s.mu.Unlock()
	errs := []error{s.dropPorts(newPorts), s.dropListeners(&cfg)}
	s.dropControllers(cfg.Controllers)
	errs = append(errs, s.changePorts(newPorts))
	for _, c := range cfg.Controllers {
		s.changeController(c)
	}
	s.spin.limit(cfg.Spin)
	s.pipe.SetMACTable(cfg.MACTable.Size, cfg.MACTable.Age)
	s.pipe.SetForwardReserved(cfg.ForwardBPDU)
	if old.Fragments != cfg.Fragments { // else what a controller has said stays
		s.mu.Lock()
		s.setFragments(cfg.Fragments)
		s.mu.Unlock()
	}
	s.resizeQueues()
	errs = append(errs, s.applyMiss(&old, &cfg))
	err := errors.Join(errs...)
	if err != nil {
		s.recordPorts(&old)
	}
	s.log.Infof("configuration applied")
	return err
}

// recordPorts makes the configuration tell the ports that run. ops is held.
func (s *Switch) recordPorts(old *BridgeConfig) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []PortConfig
	for _, c := range s.cfg.Ports {
		if p := s.table.Load().named(c.Name); p != nil {
			list = append(list, p.cfg)
		}
	}
	s.cfg.Ports = list
	switch local := s.table.Load().local; {
	case local == nil:
		s.cfg.Internal = nil
	case s.cfg.Internal != nil && !reflect.DeepEqual(local.cfg, s.internalPort(&s.cfg)):
		s.cfg.Internal = old.Internal
	}
}

// fixedSettings refuses changes that only a new bridge can have.
func fixedSettings(old, cfg *BridgeConfig) error {
	for _, f := range []struct {
		name string
		same bool
	}{
		{"name", old.Name == cfg.Name}, {"dpid", old.DPID == cfg.DPID}, {"mac", old.MAC == cfg.MAC},
		{"tables", old.Tables == cfg.Tables}, {"max-flows", old.MaxFlows == cfg.MaxFlows},
		{"max-groups", old.MaxGroups == cfg.MaxGroups}, {"max-meters", old.MaxMeters == cfg.MaxMeters},
		{"max-paths", old.MaxPaths == cfg.MaxPaths}, {"buffers", old.Buffers == cfg.Buffers},
	} {
		if !f.same {
			return fmt.Errorf("bridge %s: %s cannot change while the bridge runs: stop it and start it again; nothing was changed", old.Name, f.name)
		}
	}
	return nil
}

// allPorts is the configured ports with the internal one among them. Those that name a number come
// first, so that the others choose from what is left.
func (s *Switch) allPorts(cfg *BridgeConfig) []PortConfig {
	list := slices.Clone(cfg.Ports)
	if cfg.Internal != nil {
		list = append(list, s.internalPort(cfg))
	}
	slices.SortStableFunc(list, func(a, b PortConfig) int { return boolRank(a.Number == 0) - boolRank(b.Number == 0) })
	return list
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// numbersFree refuses a number that belongs to a port which stays and has nowhere else to go: it
// chose the number itself.
func (s *Switch) numbersFree(list []PortConfig) error {
	for _, p := range list {
		other := s.table.Load().get(p.Number)
		if p.Number == 0 || other == nil || other.name == p.Name {
			continue
		}
		if stays := named(list, other.name); stays != nil && stays.Number == 0 {
			return fmt.Errorf("port number %d of %q is taken by %q, which has no number in the configuration and keeps the one it got: "+
				"choose another, or give %q one; nothing was changed", p.Number, p.Name, other.name, other.name)
		}
	}
	return nil
}

func named(list []PortConfig, name string) *PortConfig {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// openNew opens listeners and ports that the old configuration does not have. A port whose number
// belongs to one that is about to go waits for changePorts.
func (s *Switch) openNew(old, cfg *BridgeConfig, oldPorts, newPorts []PortConfig) error {
	var undo []func() error
	fail := func(err error) error {
		errs := []error{fmt.Errorf("%w; nothing was changed", err)}
		for _, f := range slices.Backward(undo) {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	for i, t := range slices.Concat(cfg.Listen, cfg.ListenAux) {
		what := purpose(i >= len(cfg.Listen))
		if keepsListener(old, t, what) {
			continue
		}
		for _, out := range s.closeOnPort(t, cfg) {
			undo = append(undo, func() error { return s.listen(out.target, purpose(out.auxiliary)) })
		}
		if err := s.listen(t, what); err != nil {
			return fail(err)
		}
		undo = append(undo, func() error { return s.dropListeners(old) })
	}
	for _, p := range newPorts {
		if named(oldPorts, p.Name) != nil || p.Number != 0 && s.table.Load().get(p.Number) != nil {
			continue
		}
		if _, err := s.putIn(p); err != nil {
			return fail(err)
		}
		undo = append(undo, func() error { return s.takeOut(s.table.Load().named(p.Name)) })
	}
	return nil
}

// dropPorts takes out the ports that keep does not name.
func (s *Switch) dropPorts(keep []PortConfig) error {
	var out []*port
	for _, p := range s.table.Load().list {
		if named(keep, p.name) == nil {
			out = append(out, p)
		}
	}
	return s.takeOut(out...)
}

// changePorts brings all ports to their new configuration: untouched when it is the same, in place
// when only VLANs, flooding and queues differ, else by opening them anew. Those are all taken out before the
// first is put in again, for they may have exchanged their numbers.
func (s *Switch) changePorts(list []PortConfig) error {
	was := map[string]PortConfig{}
	var out []*port
	for _, cfg := range list {
		p := s.table.Load().named(cfg.Name)
		switch {
		case p == nil: // its number was not free before
		case !sameDevice(p, &cfg):
			was[p.name] = p.cfg
			out = append(out, p)
		case !reflect.DeepEqual(p.cfg, cfg):
			s.configurePort(p, cfg)
		}
	}
	errs := []error{s.takeOut(out...)}
	for _, cfg := range list {
		if s.table.Load().named(cfg.Name) != nil {
			continue
		}
		_, err := s.putIn(cfg)
		if old, ok := was[cfg.Name]; err != nil && ok {
			if _, again := s.putIn(old); again != nil {
				err = errors.Join(err, again)
			} else {
				err = fmt.Errorf("port %s keeps its old configuration: %w", cfg.Name, err)
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sameDevice reports that the two differ at most in what the engine alone looks at.
func sameDevice(p *port, cfg *PortConfig) bool {
	a, b := p.cfg.Spec, cfg.Spec
	if b.Number == 0 || b.Number == p.number {
		b.Number = a.Number
	}
	a.VLAN, b.VLAN = ports.VLAN{}, ports.VLAN{}
	a.NoFlood, b.NoFlood = false, false
	return reflect.DeepEqual(a, b)
}

// closeOnPort closes the outgoing listeners whose port t is to have, by another address or scheme: a
// socket on all addresses and one on a single address exclude each other.
func (s *Switch) closeOnPort(t Target, keep *BridgeConfig) (gone []*listener) {
	return s.closeListeners(func(l *listener) bool {
		return t.samePort(l.target) && !keepsListener(keep, l.target, purpose(l.auxiliary))
	})
}

// closeListeners closes the listeners that leave; that of management stays.
func (s *Switch) closeListeners(leaves func(*listener) bool) (gone []*listener) {
	s.mu.Lock()
	s.listeners = slices.DeleteFunc(slices.Clone(s.listeners), func(l *listener) bool {
		out := !l.management && leaves(l)
		if out {
			gone = append(gone, l)
		}
		return out
	})
	s.mu.Unlock()
	for _, l := range gone {
		if err := l.close(); err != nil {
			s.log.Warnf("%v", err)
		}
	}
	return gone
}

// keepsListener reports whether a configuration has the listener.
func keepsListener(cfg *BridgeConfig, t Target, what purpose) bool {
	if what == forAuxiliaries {
		return slices.Contains(cfg.ListenAux, t)
	}
	return slices.Contains(cfg.Listen, t)
}

// dropListeners closes those that keep does not have.
func (s *Switch) dropListeners(keep *BridgeConfig) error {
	s.mu.Lock()
	var gone, stay []*listener
	for _, l := range s.listeners {
		if l.management || keepsListener(keep, l.target, purpose(l.auxiliary)) {
			stay = append(stay, l)
		} else {
			gone = append(gone, l)
		}
	}
	s.listeners = stay
	s.mu.Unlock()
	var errs []error
	for _, l := range gone {
		errs = append(errs, l.close())
	}
	return errors.Join(errs...)
}

// dropControllers ends those whose target is no longer called.
func (s *Switch) dropControllers(keep []ControllerConfig) {
	s.mu.Lock()
	var gone, stay []*controller
	for _, c := range s.controllers {
		if slices.ContainsFunc(keep, func(k ControllerConfig) bool { return k.Target == c.target }) {
			stay = append(stay, c)
		} else {
			gone = append(gone, c)
		}
	}
	s.controllers = stay
	s.mu.Unlock()
	for _, c := range gone {
		c.close()
	}
}

// changeController brings one controller to its new settings; a session that is there goes on.
func (s *Switch) changeController(cfg ControllerConfig) {
	s.mu.Lock()
	i := slices.IndexFunc(s.controllers, func(c *controller) bool { return c.target == cfg.Target })
	var have *controller
	if i >= 0 {
		have = s.controllers[i]
	}
	s.mu.Unlock()
	switch {
	case have == nil:
		s.addController(cfg)
	case have.settings() != cfg:
		have.renew(cfg)
	}
}

// resizeQueues applies packet-in-queue to the connections that are there.
func (s *Switch) resizeQueues() {
	n := s.packetInQueue()
	for _, c := range *s.channels.Load() {
		c.out.resize(n)
		if list := c.auxiliaries.Load(); list != nil {
			for _, a := range *list {
				a.out.resize(n)
			}
		}
	}
}

// applyMiss brings the table-miss entry in line when fail mode or table-miss changed and no
// controller is there to object.
func (s *Switch) applyMiss(old, cfg *BridgeConfig) error {
	if old.FailMode == cfg.FailMode && old.TableMiss == cfg.TableMiss || cfg.FailMode == FailSecure {
		return nil
	}
	s.mu.Lock()
	led := s.connected > 0
	s.mu.Unlock()
	if led {
		return nil
	}
	if cfg.TableMiss == MissDrop {
		_, err := s.pipe.FlowMod(s.clock.Now(), &openflow.FlowMod{
			Command: openflow.FlowDeleteStrict, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny, BufferID: openflow.NoBuffer,
		})
		s.pipe.Publish()
		return err
	}
	return s.installMissEntry(cfg.TableMiss)
}
