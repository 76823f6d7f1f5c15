package ports

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// device is what the ports on a network interface have in common: they follow
// it through netlink, tell what it is, and give it back as it was.
type device struct {
	spec  Spec
	opt   Options
	count *Counters
	links *Links
	own   bool   // links was made for this port alone
	side  string // what of the interface the port is, for its claim: tapSide, or nothing for the host's side
	leave func() // ends the subscription
	line  attacher

	// What Write asks for each batch; written by relink.
	ready atomic.Bool  // the link is up
	mtu   atomic.Int64 // of the interface; 0 while there is none
	info  atomic.Pointer[Info]

	downed  atomic.Bool  // the interface was up and SetUp switched it off
	awaited atomic.Bool  // a goroutine of follow's waits for mu
	moving  atomic.Bool  // who holds mu attaches the line, or exchanges its sockets, which may take seconds
	mu      sync.Mutex   // one change at a time
	closed  bool         // guarded by mu
	link    link         // guarded by mu: the interface in use; index 0 = none
	problem string       // guarded by mu: why there is none
	how     string       // guarded by mu: in what way the interface is used, where there are several
	wasMTU  int          // guarded by mu: what we changed the MTU from; 0 = nothing changed
	remake  func() error // guarded by mu: makes an interface again that was the port's own; may be nil
	claim   *claim       // guarded by mu: nobody else may have link; nil: there is none
	undo    func()       // guarded by mu: takes back what else was put on the interface; may be nil

	outgrown func(was, now link) bool // the line must be attached anew to what the interface is now; may be nil; set before start
}

// attacher binds a port to an interface and lets go of it. Both are called
// with the device's lock held.
type attacher interface {
	attach(link) error
	detach()
}

// watchLinks prepares the part of a device that needs no interface yet.
func (d *device) watchLinks(spec Spec, o Options, line attacher) error {
	d.spec, d.opt, d.count, d.line = spec, o, o.Counters, line
	d.info.Store(&Info{Name: spec.Name, Kind: spec.Kind, Device: spec.Target})
	if d.links = o.Links; d.links != nil {
		return nil
	}
	var err error
	if d.links, err = NewLinks(); err != nil {
		return fmt.Errorf("following interface %s: %w", spec.Target, err)
	}
	d.own = true
	return nil
}

// start takes the interface, when it is there, and follows it from now on. The
// error is that of the first attempt; the device is usable in any case.
func (d *device) start() error {
	d.leave = d.links.subscribe(d.follow)
	d.links.ask(d.spec.Target)
	err := d.relink(leftoverClaim)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) { // it vanished a moment ago
		return nil
	}
	return err
}

// follow is called when some interface has changed. A port that takes another interface or other sockets, or is being changed, may
// need seconds. It looks beside the others then, when nobody changes it, so that they hear of their links.
func (d *device) follow() {
	if d.mu.TryLock() {
		if d.stays() {
			_ = d.relinkLocked(0)
			return
		}
		d.mu.Unlock()
	}
	if d.awaited.CompareAndSwap(false, true) {
		go func() {
			d.mu.Lock()
			d.awaited.Store(false)
			_ = d.relinkLocked(0)
		}()
	}
}

// stays says that nothing will be attached. mu is held.
func (d *device) stays() bool {
	if d.link.index == 0 && !d.closed {
		_, there := d.links.name(d.spec.Target)
		return !there && d.remake == nil
	}
	now, ok := d.links.index(d.link.index)
	return d.closed || ok && now.birth == d.link.birth && (d.outgrown == nil || !d.outgrown(d.link, now))
}

// relink compares what the kernel says of the interface with what the port has
// and acts on the difference. A renamed interface is kept: it is the same wire.
// One that is gone is let go, and the next one with the port's name is taken.
// patience is for a process that is being killed and has it still.
func (d *device) relink(patience time.Duration) error {
	d.mu.Lock()
	return d.relinkLocked(patience)
}

// relinkLocked is relink for who holds mu, and gives it back.
func (d *device) relinkLocked(patience time.Duration) error {
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	var err error
	before, problem := d.link, d.problem
	now, ok := d.links.index(d.link.index)
	gone := d.link.index != 0 && (!ok || now.birth != d.link.birth)
	if ok && !gone && d.outgrown != nil && d.outgrown(d.link, now) {
		d.moving.Store(true) // SetUp need not wait
		d.line.detach()
		gone = d.line.attach(now) != nil // find says why
		d.moving.Store(false)
	}
	if ok && !gone && d.link.index != 0 && d.shared(now) != nil {
		gone = true
		d.restore() // as stop does: it goes to somebody else
	}
	if gone {
		d.ready.Store(false)
		d.line.detach()
		d.claim.end()
		d.claim, d.link, d.wasMTU = nil, link{}, 0
		d.downed.Store(false)
	} else if ok {
		d.link = now
	}
	if d.link.index == 0 {
		err = d.find(patience)
	}
	changed := (d.link != before || d.problem != problem) && d.publish()
	d.mu.Unlock()
	if changed {
		d.opt.changed()
	}
	return err
}

// find looks for the interface by name and takes it.
func (d *device) find(patience time.Duration) error {
	d.problem = fmt.Sprintf("there is no interface %s; the port starts to work when there is", d.spec.Target)
	got, ok := d.links.name(d.spec.Target)
	problem := ""
	if !ok && d.remake != nil { // somebody deleted what the port had made
		if err := d.remake(); err != nil {
			problem = fmt.Sprintf("making interface %s again after it was deleted: %v", d.spec.Target, err)
		}
		got, ok = d.links.name(d.spec.Target)
	}
	if !ok {
		if problem != "" {
			d.problem = problem
		}
		return nil
	}
	if !got.ether {
		err := fmt.Errorf("interface %s carries no Ethernet frames; choose an Ethernet device, a veth or a tap", got.name)
		d.problem = err.Error()
		return err
	}
	if err := d.shared(got); err != nil {
		d.problem = err.Error()
		return err
	}
	claim, err := newClaim(d.links, got, d.side, cmp.Or(d.opt.Owner, "weir"), patience)
	if err == nil {
		d.moving.Store(true)
		if err = d.line.attach(got); err == nil {
			d.claim = claim
		} else {
			claim.end()
		}
		d.moving.Store(false)
	}
	if err != nil {
		d.problem = err.Error()
		return err
	}
	d.link, d.problem = got, problem
	if d.spec.MTU != 0 && d.spec.MTU != got.mtu {
		if err := d.setMTU(d.spec.MTU); err != nil {
			d.problem = err.Error()
		}
	}
	return nil
}

// shared says why the kernel would hand each frame of the interface to another switch, too. The program's side of a tap is
// no member of anything, and what AF_XDP takes goes to nobody else.
func (d *device) shared(l link) error {
	if _, ok := d.line.(*afpacket); !ok { // a guest's tap is opened as one, too
		return nil
	}
	return d.links.switched(l)
}

// restore gives the interface its MTU and state back.
func (d *device) restore() {
	if now, ok := d.links.index(d.link.index); ok && d.wasMTU != 0 && now.mtu == d.spec.MTU {
		_ = d.links.setMTU(d.link.index, d.wasMTU)
	}
	if d.downed.Load() {
		_ = d.links.setUp(d.link.index, true)
	}
	if d.undo != nil {
		d.undo()
	}
}

// setMTU changes the interface's MTU and remembers the old one.
func (d *device) setMTU(mtu int) error {
	if err := d.links.setMTU(d.link.index, mtu); err != nil {
		return fmt.Errorf("setting the MTU of %s to %d: %w", d.link.name, mtu, needs(err, "CAP_NET_ADMIN"))
	}
	d.wasMTU, d.link.mtu = d.link.mtu, mtu
	d.links.ask(d.link.name) // so that nobody who compares the port with its interface finds the old one
	return nil
}

// publish makes the new Info and says whether it differs from the last.
func (d *device) publish() (changed bool) {
	l := d.link
	in := Info{
		Name: d.spec.Name, Kind: d.spec.Kind, Device: d.spec.Target, Problem: d.problem,
		Offload: !d.opt.NoOffload,
	}
	was := d.info.Load()
	if in.MAC = was.MAC; l.index == 0 { // a port keeps its address while it does not work
		if there, ok := d.links.name(d.spec.Target); ok && there.ether {
			in.MAC = net.HardwareAddr(there.mac)
		}
	} else {
		in.How = d.how
		in.Device, in.MAC, in.MTU, in.IfIndex = l.name, net.HardwareAddr(l.mac), l.mtu, l.index
		in.Present, in.AdminUp = true, l.adminUp
		in.LinkUp = l.adminUp && l.carrier
		if was.LinkUp && !in.LinkUp && was.IfIndex == in.IfIndex {
			in.Speed, in.Duplex = was.Speed, was.Duplex // to ask takes the lock of which Links.lost tells
		} else {
			in.Speed, in.Duplex = d.links.speed(l.name)
		}
		in.Max = in.Speed
	}
	d.mtu.Store(int64(l.mtu))
	d.ready.Store(in.LinkUp)
	d.info.Store(&in)
	return was.Problem != in.Problem || was.Device != in.Device || !bytes.Equal(was.MAC, in.MAC) ||
		was.MTU != in.MTU || was.IfIndex != in.IfIndex || was.Speed != in.Speed || was.Duplex != in.Duplex ||
		was.How != in.How || was.Present != in.Present || was.AdminUp != in.AdminUp || was.LinkUp != in.LinkUp
}

// Info is the interface as netlink last described it.
func (d *device) Info() Info { return *d.info.Load() }

// AskCarrier implements [CarrierAsker].
func (d *device) AskCarrier() {
	in := d.info.Load()
	if !in.LinkUp {
		return
	}
	d.links.askCarrier(in.IfIndex)
	if now, ok := d.links.index(in.IfIndex); ok && !now.carrier && !d.moving.Load() {
		_ = d.relink(0) // who asks knows, also when follow found somebody else at it
	}
}

// SetUp switches the interface on or off, as `ip link set dev up|down` does.
// Close switches it on again when SetUp switched it off.
func (d *device) SetUp(up bool) error {
	for !d.mu.TryLock() {
		if d.moving.Load() { // the caller, who may answer a controller, does not wait for that
			in := d.info.Load()
			err := d.switchTo(up, link{index: in.IfIndex, name: in.Device})
			d.follow() // Info tells when that is over
			return err
		}
		time.Sleep(50 * time.Microsecond) // any other change is short
	}
	if d.closed {
		d.mu.Unlock()
		return ErrClosed
	}
	err := d.switchTo(up, d.link)
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return d.relink(0)
}

// switchTo is SetUp of an interface; index 0: there is none.
func (d *device) switchTo(up bool, l link) error {
	if l.index == 0 {
		return fmt.Errorf("interface %s is not there; it can be switched when it is", d.spec.Target)
	}
	now, _ := d.links.ask(l.name)
	if err := d.links.setUp(l.index, up); err != nil {
		return fmt.Errorf("switching interface %s: %w", l.name, needs(err, "CAP_NET_ADMIN"))
	}
	d.downed.Store(!up && (now.adminUp || d.downed.Load()))
	d.links.ask(l.name) // so that Info is right at once
	return nil
}

// stop ends the following and gives the interface back as it was. It answers
// false when that was done before.
func (d *device) stop() bool {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return false
	}
	d.closed = true
	d.ready.Store(false)
	was := *d.info.Load()
	was.LinkUp, was.Present, was.AdminUp = false, false, false
	d.info.Store(&was)
	if d.link.index != 0 {
		d.restore()
	}
	d.claim.end()
	d.mu.Unlock()
	if d.leave != nil {
		d.leave()
	}
	if d.own {
		_ = d.links.Close()
	}
	return true
}

// needs adds to a refused permission which capability is missing and how it is
// granted.
func needs(err error, capability string) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		return err
	}
	return fmt.Errorf("%w: %s is missing; run weir as root, or grant it with `setcap cap_net_raw,cap_net_admin+ep` on the weir program, or run weir in a user namespace of its own (`unshare -Urn`)",
		err, capability)
}
