// Slow path: ports come, change and go; what controllers are told of it and may ask of it.

package agent

import (
	"fmt"
	"hash/fnv"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// port is one port of the switch.
type port struct {
	number   uint32
	name     string
	slot     int // place of its batch in every worker
	dev      ports.Port
	counters *ports.Counters
	born     time.Duration
	sched    atomic.Pointer[scheduler] // nil: no queues, frames leave as they come
	seen     audience[capturer]
	removed  atomic.Bool
	warned   atomic.Bool    // that there is nothing at its other end
	running  bool           // its readers were started
	ins      []*inlet       // see inlets; set before the port is part of a table
	readers  sync.WaitGroup // goroutines of forwardFrom
	done     chan struct{}  // closed when the readers have ended

	// guarded by Switch.mu
	cfg    PortConfig
	config openflow.PortConfig // what PORT_MOD made of it
	told   openflow.Port       // what controllers last heard
	how    string              // what the log last heard of how the device is used
	// problem is what the device last said of why it does not work.
	problem string
}

// inlet is a place where a port's frames come in, with what belongs to the goroutine that reads it.
// Most ports have one, which is their device.
type inlet struct {
	*port
	in     ports.Inlet
	reader sync.Mutex    // of who reads it: its goroutine but while that sleeps, see sharer in spin.go
	woken  bool          // its goroutine was asleep a moment ago
	fed    bool          // it found frames since then
	window time.Duration // how long it pays to look for more, see spin.go
	resume chan bool     // what the goroutine waits for while another one looks at the inlet
}

// inlets makes them, the first time.
func (p *port) inlets() []*inlet {
	if p.ins != nil {
		return p.ins
	}
	from := []ports.Inlet{p.dev}
	if parted, ok := p.dev.(ports.Parted); ok {
		from = parted.Inlets()
	}
	p.ins = make([]*inlet, len(from))
	for i, in := range from {
		p.ins[i] = &inlet{port: p, in: in, resume: make(chan bool, 1)}
	}
	return p.ins
}

// openPorts opens the configured ports. ops is held.
func (s *Switch) openPorts() error {
	return s.putInAll(s.allPorts(&s.cfg))
}

// internalPort is the bridge's own interface on the host, OpenFlow port LOCAL.
func (s *Switch) internalPort(cfg *BridgeConfig) PortConfig {
	spec := ports.Spec{Kind: ports.KindInternal, Name: cfg.Name, Target: cfg.Name, MTU: cfg.Internal.MTU}
	spec.Args = []ports.Arg{{Key: "mac", Value: s.mac.String()}}
	for _, a := range cfg.Internal.Addresses {
		spec.Args = append(spec.Args, ports.Arg{Key: "address", Value: a.String()})
	}
	return PortConfig{Spec: spec}
}

// AddPort opens a port and lets frames in; it returns the number that the port got.
func (s *Switch) AddPort(p PortConfig) (uint32, error) {
	s.ops.Lock()
	defer s.ops.Unlock()
	if s.closed || !s.started {
		return 0, fmt.Errorf("bridge %s is not running", s.name)
	}
	n, err := s.putIn(p)
	if err == nil {
		s.mu.Lock()
		s.cfg.Ports = append(slices.Clone(s.cfg.Ports), p)
		s.mu.Unlock()
	}
	return n, err
}

// RemovePort takes the port of that name (or decimal number) out. When it returns, no frame will
// come in or leave by it.
func (s *Switch) RemovePort(name string) error {
	s.ops.Lock()
	defer s.ops.Unlock()
	p := s.findPort(name)
	if p == nil {
		return s.noSuchPort(name)
	}
	s.mu.Lock()
	s.cfg.Ports = slices.DeleteFunc(slices.Clone(s.cfg.Ports), func(c PortConfig) bool { return c.Spec.Name == p.name })
	if p.number == uint32(openflow.PortLocal) {
		s.cfg.Internal = nil
	}
	s.mu.Unlock()
	return s.takeOut(p)
}

func (s *Switch) findPort(name string) *port {
	t := s.table.Load()
	if p := t.named(name); p != nil {
		return p
	}
	for _, p := range t.list {
		if fmt.Sprint(p.number) == name {
			return p
		}
	}
	return nil
}

func (s *Switch) noSuchPort(name string) error {
	have := "none"
	for i, p := range s.table.Load().list {
		if i == 0 {
			have = p.name
		} else {
			have += ", " + p.name
		}
	}
	return fmt.Errorf("bridge %s has no port %q; it has %s", s.name, name, have)
}

// warnAbsent says once that a capture's device or a wire's peer is not there, and how to mend that.
func (s *Switch) warnAbsent(p *port) {
	i := p.dev.Info()
	if i.Present || i.Problem == "" || i.Kind != ports.KindPcap && i.Kind != ports.KindWire || p.warned.Swap(true) {
		return
	}
	cure := "correct the name, or make the device: the port works when it appears"
	if i.Kind == ports.KindWire {
		cure = "start the program at the other end, or correct the address; the port works when it answers"
	}
	s.log.Part("port").With("port", p.name).Warnf("%s: %s", i.Problem, cure)
}

// absent yields the ports without a device, and why. A wire that does not reach its peer may merely not have called it yet.
func (s *Switch) absent() iter.Seq2[string, string] {
	return func(yield func(name, why string) bool) {
		for _, p := range s.table.Load().list {
			if i := p.dev.Info(); !i.Present && i.Kind != ports.KindWire && !yield(p.name, i.Problem) {
				return
			}
		}
	}
}

// publishPorts tells the engine what ports there are. Whether a link is up it takes from what
// controllers were told: a device asked once more may answer otherwise, and refreshPorts would never
// see the difference. mu is held; forgetStations follows when it is not.
func (s *Switch) publishPorts() {
	ports := s.enginePorts(func(p *port) openflow.PortConfig { return p.config })
	s.left = append(s.left, s.pipe.SetPorts(ports)...)
}

// enginePorts lists the ports for the engine, with the configurations that they have or are to get. mu is held.
func (s *Switch) enginePorts(configOf func(*port) openflow.PortConfig) []flowtable.Port {
	t := s.table.Load()
	list := make([]flowtable.Port, 0, len(t.list))
	for _, p := range t.list {
		config := configOf(p)
		list = append(list, flowtable.Port{
			No: p.number, Config: config, LinkUp: p.told.State&openflow.PortLinkDown == 0,
			NoFlood: p.cfg.NoFlood || config&openflow.PortNoFlood != 0, VLAN: engineVLAN(p.cfg.VLAN),
		})
	}
	return list
}

// forgetStations ends what publishPorts began: a batch under way may have learned an address on a port
// after the engine forgot those behind it, so they are forgotten once more when it has ended. That wait
// is why mu is not held.
func (s *Switch) forgetStations() {
	s.mu.Lock()
	left := s.left
	s.left = nil
	s.mu.Unlock()
	if len(left) == 0 {
		return
	}
	s.quiesce()
	for _, no := range left {
		s.pipe.FlushMACs(flowtable.MACFilter{Port: no})
	}
}

func engineVLAN(v ports.VLAN) flowtable.VLANConfig {
	return flowtable.VLANConfig{Mode: flowtable.VLANMode(v.Mode), Tag: v.Tag, Trunks: v.Trunks}
}

// portChanged is every device's OnChange: it may come from anywhere and must not block.
func (s *Switch) portChanged() {
	select {
	case s.portEvents <- struct{}{}:
	default: // a token is waiting already: watchPorts will look at all ports
	}
}

// watchPorts follows link changes until the switch stops.
func (s *Switch) watchPorts() {
	for {
		select {
		case <-s.running.Done():
			return
		case <-s.portEvents:
			s.refreshPorts()
		}
	}
}

// refreshPorts compares every port with what was last told of it.
func (s *Switch) refreshPorts() {
	defer s.forgetStations()
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []*port
	for _, p := range s.table.Load().list {
		s.warnAbsent(p)
		if how := p.dev.Info().How; how != "" && how != p.how {
			p.how = how
			s.log.Part("port").With("port", p.name).Infof("%s: %s", p.dev.Info().Device, how)
		}
		now := s.describe(p)
		s.logLink(p, now.State)
		if now == p.told {
			continue
		}
		p.told = now
		if q := p.sched.Load(); q != nil {
			q.setLink(p.linkRate(&p.cfg))
		}
		changed = append(changed, p)
	}
	if len(changed) == 0 {
		return
	}
	s.publishPorts()
	for _, p := range changed {
		s.tellPort(openflow.PortModified, &p.told)
	}
}

// logLink tells of a link that is another one than controllers were told, and of a problem that is new. A wire whose peer
// comes and goes is nothing that needs somebody: warnAbsent says once if it is not there.
func (s *Switch) logLink(p *port, now openflow.PortState) {
	i := p.dev.Info()
	was := p.problem
	p.problem = i.Problem
	log := s.log.Part("port").With("port", p.name)
	tell := log.Infof
	if i.Problem != "" && i.Kind != ports.KindWire {
		tell = log.Warnf
	}
	switch {
	case now != p.told.State:
		tell("link %s%s", linkWord(now), problem(i))
	case i.Problem != "" && i.Problem != was && i.Kind != ports.KindWire:
		tell("%s", i.Problem)
	}
}

func linkWord(st openflow.PortState) string {
	if st&openflow.PortLinkDown != 0 {
		return "down"
	}
	return "up"
}

func problem(i ports.Info) string {
	if i.Problem == "" {
		return ""
	}
	return ": " + i.Problem
}

// describe is the port as OpenFlow sees it (section 7.2.1).
func (s *Switch) describe(p *port) openflow.Port {
	i := p.dev.Info()
	d := openflow.Port{
		No: openflow.PortNo(p.number), Name: p.name, Config: p.config,
		Curr: speedFeature(i.Speed), CurrSpeed: clampSpeed(i.Speed), MaxSpeed: clampSpeed(i.Max),
	}
	if len(i.MAC) == len(d.HWAddr) {
		copy(d.HWAddr[:], i.MAC)
	} else {
		d.HWAddr = s.madeUpMAC(p)
	}
	switch {
	case !i.LinkUp:
		d.State = openflow.PortLinkDown
	case p.config&openflow.PortDown == 0: // a wire keeps its link when a PORT_MOD takes it down, and no group may use it
		d.State = openflow.PortLive
	}
	return d
}

// madeUpMAC is the address of a port whose device has none. It is never zero, which controllers
// dislike, and stays the same while name and bridge do.
func (s *Switch) madeUpMAC(p *port) (m openflow.MAC) {
	if p.number == uint32(openflow.PortLocal) {
		return s.mac
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%x %s", s.mac, p.name)
	sum := h.Sum64()
	for i := range m {
		m[i] = byte(sum >> (8 * i))
	}
	m[0] = m[0]&^1 | 2
	return m
}

// speedFeature is the OFPPF bit nearest to a speed in kbit/s.
func speedFeature(kbps uint64) openflow.PortFeatures {
	for _, f := range []struct {
		kbps uint64
		bit  openflow.PortFeatures
	}{
		{10_000, openflow.Feature10MbFD}, {100_000, openflow.Feature100MbFD}, {1_000_000, openflow.Feature1GbFD},
		{10_000_000, openflow.Feature10GbFD}, {40_000_000, openflow.Feature40GbFD},
		{100_000_000, openflow.Feature100GbFD}, {1_000_000_000, openflow.Feature1TbFD},
	} {
		if kbps == f.kbps {
			return f.bit | openflow.FeatureCopper
		}
	}
	if kbps == 0 {
		return 0
	}
	return openflow.FeatureOther
}

func clampSpeed(kbps uint64) uint32 { return uint32(min(kbps, 1<<32-1)) }

// handlePortMod answers PORT_MOD (section 7.3.4.3): all is checked before anything changes.
func (s *Switch) handlePortMod(m *openflow.PortMod) error {
	defer s.forgetStations()
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.checkPortMod(m)
	if err != nil {
		return err
	}
	config := p.config&^m.Mask | m.Config&m.Mask
	if err := p.setUp(config); err != nil {
		return err
	}
	p.config = config
	was := p.told
	p.told = s.describe(p)
	s.publishPorts()
	if p.told != was {
		s.tellPort(openflow.PortModified, &p.told)
	}
	return nil
}

// checkPortMod finds the port of a PORT_MOD, if it can be obeyed. mu is held.
func (s *Switch) checkPortMod(m *openflow.PortMod) (*port, error) {
	p := s.table.Load().get(uint32(m.Port))
	switch {
	case p == nil:
		return nil, openflow.Errorf(openflow.ErrPortModFailed, openflow.PMFCBadPort, "there is no port %s", m.Port)
	case m.HWAddr != p.told.HWAddr:
		return nil, openflow.Errorf(openflow.ErrPortModFailed, openflow.PMFCBadHWAddr, "port %s has the address %s, not %s", m.Port, p.told.HWAddr, m.HWAddr)
	case m.Advertise != 0:
		return nil, openflow.Errorf(openflow.ErrPortModFailed, openflow.PMFCBadAdvertise, "port %s: what its device advertises is not ours to change; leave advertise zero", m.Port)
	}
	return p, nil
}

// setUp switches the device on or off as the new configuration says. mu is held.
func (p *port) setUp(config openflow.PortConfig) error {
	dev, ok := p.dev.(ports.AdminSetter)
	if !ok || (config^p.config)&openflow.PortDown == 0 {
		return nil
	}
	if err := dev.SetUp(config&openflow.PortDown == 0); err != nil {
		return openflow.Errorf(openflow.ErrPortModFailed, openflow.PMFCEPERM, "port %s: %v", openflow.PortNo(p.number), err)
	}
	return nil
}

// portDescs is every port, for PORT_DESC. mu is held.
func (s *Switch) portDescs() []openflow.Port {
	var list []openflow.Port
	for _, p := range s.table.Load().list {
		list = append(list, p.told)
	}
	return list
}

// portStats are the counters of one port, or of all for PortAny. A port that is not there gives an
// empty answer, as Open vSwitch does.
func (s *Switch) portStats(no openflow.PortNo) []openflow.PortStats {
	now := s.clock.Now()
	var list []openflow.PortStats
	for _, p := range s.table.Load().list {
		if no != openflow.PortAny && uint32(no) != p.number {
			continue
		}
		c := p.counters.Snapshot()
		const unknown = ^uint64(0)
		age := now - p.born
		list = append(list, openflow.PortStats{
			Port: openflow.PortNo(p.number), RxPackets: c.RxPackets, TxPackets: c.TxPackets, RxBytes: c.RxBytes, TxBytes: c.TxBytes,
			RxDropped: c.RxDropped, TxDropped: c.TxDropped, RxErrors: c.RxErrors, TxErrors: c.TxErrors,
			RxFrameErr: unknown, RxOverErr: unknown, RxCRCErr: unknown, Collides: unknown,
			DurationSec: uint32(age / time.Second), DurationNsec: wholeMillis(age),
		})
	}
	return list
}

// wholeMillis is the part of d below a second, in nanoseconds, cut to milliseconds: ovs-ofctl prints
// finer values with nine digits.
func wholeMillis(d time.Duration) uint32 {
	return uint32(d % time.Second / time.Millisecond * time.Millisecond)
}

// configurePort changes what a running port's configuration says beyond its device: VLANs, flooding,
// queues. ops is held.
func (s *Switch) configurePort(p *port, cfg PortConfig) {
	if p.cfg.LinkRate != cfg.LinkRate || !slices.Equal(p.cfg.Queues, cfg.Queues) {
		s.setQueues(p, &cfg)
	}
	defer s.forgetStations()
	s.mu.Lock()
	defer s.mu.Unlock()
	p.cfg = cfg
	s.publishPorts()
}

// tellPort sends PORT_STATUS to everybody who wants it. mu is held, so all hear of changes in the
// same order. A peer that has no room for it would go on with a wrong picture: it is disconnected,
// and asks for everything anew when it comes back.
func (s *Switch) tellPort(reason openflow.PortReason, p *openflow.Port) {
	for _, c := range *s.channels.Load() {
		if c.wantPortStatus.Load()&(1<<reason) == 0 {
			continue
		}
		m := openflow.PortStatus{Reason: reason, Port: *p}
		if c.out.notify(func(b []byte) []byte { return c.append(b, 0, &m) }) == errOutboxFull {
			go c.end(errOutboxFull)
		}
	}
}
