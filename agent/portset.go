// Slow path: ports come and go: numbers, devices opened and closed, many of them side by side.

package agent

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// putIn opens a port and makes it part of the switch. ops is held.
func (s *Switch) putIn(cfg PortConfig) (uint32, error) {
	p, err := s.newPort(cfg)
	if err == nil {
		err = s.open(p)
	}
	if err != nil {
		return 0, err
	}
	s.join(p)
	return p.number, nil
}

// putInAll is putIn for a switch that has no port yet. The ports join in their order; after an error none
// has. ops is held.
func (s *Switch) putInAll(list []PortConfig) error {
	all := make([]*port, len(list))
	for i, cfg := range list {
		p, err := s.newPort(cfg)
		if err == nil {
			err = s.clash(all[:i], p)
		}
		if err != nil {
			return err
		}
		s.numbers[p.name] = p.number // so that the next one gets another
		all[i] = p
	}
	errs := make([]error, len(all))
	var waits []int // for the kernel
	for i, p := range all {
		if s.anyThreadOpens(p) {
			waits = append(waits, i)
		} else {
			errs[i] = s.open(p)
		}
	}
	sideBySide(len(waits), func(i int) { errs[waits[i]] = s.open(all[waits[i]]) })
	if err := errors.Join(errs...); err != nil {
		sideBySide(len(all), func(i int) {
			if errs[i] == nil {
				_ = all[i].dev.Close()
			}
		})
		return err
	}
	for _, p := range all {
		s.join(p)
	}
	return nil
}

// clash says what p has in common with a port that is to join before it.
func (s *Switch) clash(list []*port, p *port) error {
	for _, o := range list {
		switch {
		case o.name == p.name:
			return s.nameTaken(p.name)
		case o.number == p.number:
			return numberTaken(p.number, p.name, o.name)
		}
	}
	return nil
}

func (s *Switch) nameTaken(name string) error {
	return fmt.Errorf("bridge %s has a port %q already: take it out first, or give the new one another name", s.name, name)
}

func numberTaken(number uint32, name, by string) error {
	return fmt.Errorf("port number %d of %q is taken by %q: choose another, or leave it out", number, name, by)
}

// anyThreadOpens says that p is a device of the network namespace that Env.Links follows. Anything else, such as a socket, is
// opened in the namespace of the thread that does it, which is for the caller of Start to choose.
func (s *Switch) anyThreadOpens(p *port) bool {
	k := p.cfg.Spec.Kind
	return s.env.Links != nil && (k.Interface() || k == ports.KindInternal)
}

// newPort is a port with its number and without a device. ops is held.
func (s *Switch) newPort(cfg PortConfig) (*port, error) {
	p := &port{cfg: cfg, name: cfg.Spec.Name, counters: new(ports.Counters), born: s.clock.Now(), done: make(chan struct{})}
	if s.table.Load().named(p.name) != nil {
		return nil, s.nameTaken(p.name)
	}
	var err error
	p.number, err = s.chooseNumber(&cfg)
	return p, err
}

// open gives p its device.
func (s *Switch) open(p *port) (err error) {
	p.dev, err = ports.Open(p.cfg.Spec, s.portOptions(p))
	return err
}

func (s *Switch) portOptions(p *port) ports.Options {
	return ports.Options{
		Counters: p.counters, OnChange: s.portChanged, Owner: "bridge " + s.name, NoOffload: p.cfg.Spec.NoOffload,
		Patches: s.env.Patches, Pipes: s.env.Pipes, Links: s.env.Links,
	}
}

// chooseNumber gives the number that was asked for, else the one that this name had before, else the
// lowest that nobody has or had. ops is held.
func (s *Switch) chooseNumber(cfg *PortConfig) (uint32, error) {
	t := s.table.Load()
	if cfg.Spec.Kind == ports.KindInternal {
		if t.local != nil {
			return 0, fmt.Errorf("bridge %s has its internal port already", s.name)
		}
		return uint32(openflow.PortLocal), nil
	}
	if n := cfg.Spec.Number; n != 0 {
		if other := t.get(n); other != nil {
			return 0, numberTaken(n, cfg.Spec.Name, other.name)
		}
		return n, nil
	}
	if n := s.numbers[cfg.Spec.Name]; n != 0 && t.get(n) == nil {
		return n, nil
	}
	kept := map[uint32]bool{}
	for _, n := range s.numbers {
		kept[n] = true
	}
	spare := uint32(0)
	for n := uint32(1); n <= ports.MaxNumber; n++ {
		if t.get(n) != nil {
			continue
		}
		if !kept[n] {
			return n, nil
		}
		if spare == 0 {
			spare = n
		}
	}
	if spare == 0 {
		return 0, fmt.Errorf("bridge %s: all %d port numbers are in use", s.name, ports.MaxNumber)
	}
	return spare, nil
}

// join publishes p to workers, engine and controllers, in the order in which they can use it.
func (s *Switch) join(p *port) {
	s.setQueues(p, &p.cfg)
	defer s.forgetStations()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.numbers[p.name] = p.number
	p.slot = s.takeSlot()
	p.inlets()
	p.told = s.describe(p)
	s.table.Store(s.table.Load().with(p))
	s.publishPorts()
	s.tellPort(openflow.PortAdded, &p.told)
	p.running = true
	for _, in := range p.inlets() {
		p.readers.Go(func() { s.forwardFrom(in) })
	}
	go func() {
		p.readers.Wait()
		close(p.done)
	}()
	log := s.log.Part("port").With("port", p.name)
	log.Infof("added as port %s", openflow.PortNo(p.number))
	i := p.dev.Info()
	p.problem = i.Problem
	switch {
	case i.How != "":
		p.how = i.How
		log.Infof("%s: %s", i.Device, i.How)
	case (i.Kind == ports.KindAFPacket || i.Kind == ports.KindXDP) && !i.Present:
		log.Warnf("%s", i.Problem)
	case i.Kind == ports.KindPcap:
		s.warnAbsent(p)
	}
}

func (s *Switch) takeSlot() int {
	if i := slices.Index(s.slots, false); i >= 0 {
		s.slots[i] = true
		return i
	}
	s.slots = append(s.slots, true)
	return len(s.slots) - 1
}

// takeOut removes ports: nothing new may choose them, batches under way end, and only then are the
// devices closed. The kernel lets go of a device only when all processors have looked up, some ten
// milliseconds: it does so for all of them at once. ops is held.
func (s *Switch) takeOut(list ...*port) error {
	if len(list) == 0 {
		return nil
	}
	s.mu.Lock()
	for _, p := range list {
		p.removed.Store(true)
		s.table.Store(s.table.Load().without(p.number))
	}
	s.publishPorts()
	for _, p := range list {
		s.tellPort(openflow.PortDeleted, &p.told)
	}
	s.mu.Unlock()
	s.quiesce()
	s.forgetStations()
	errs := make([]error, len(list))
	sideBySide(len(list), func(i int) { errs[i] = s.shut(list[i]) })
	s.mu.Lock()
	for _, p := range list {
		s.slots[p.slot] = false
		s.log.Part("port").With("port", p.name).Infof("removed, was port %s", openflow.PortNo(p.number))
	}
	s.mu.Unlock()
	return errors.Join(errs...)
}

// shut closes the device of a port that nothing chooses any more.
func (s *Switch) shut(p *port) error {
	if q := p.sched.Load(); q != nil {
		q.finish(true)
	}
	err := p.dev.Close()
	if p.running {
		<-p.done
	}
	if err != nil {
		return fmt.Errorf("port %s: %w", p.name, err)
	}
	return nil
}

// mostAtOnce bounds how many threads wait for the kernel at a time.
const mostAtOnce = 64

// sideBySide calls f for 0 to n-1, many at a time, and returns when all have returned. It is for what
// waits for the kernel.
func sideBySide(n int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var all sync.WaitGroup
	places := make(chan struct{}, mostAtOnce)
	for i := range n {
		places <- struct{}{}
		all.Go(func() {
			f(i)
			<-places
		})
	}
	all.Wait()
}
