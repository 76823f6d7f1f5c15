// Slow path: from the running configuration to another one, by the difference.

package agent

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"

	"github.com/weirswitch/weir/ports"
)

// Reload reads the file again (or another one) and applies the difference. Of several
// bridges only the one called only is touched, when it is not empty. A file with
// mistakes changes nothing. What is equal in both keeps its flows, MAC table, sessions
// and counters. The answer has one line for each change that was made; with an error,
// those made in spite of it.
func (a *Agent) Reload(file, only string) (changes []string, err error) {
	if file == "" {
		file = a.file
	}
	if file == "" {
		return nil, errors.New("this process was started by flags: name the file to apply with -c FILE")
	}
	cfg, err := a.load(file)
	if err != nil {
		return nil, err
	}
	return a.Apply(cfg, only)
}

// Apply is Reload for a Config that was read already.
func (a *Agent) Apply(cfg *Config, only string) (changes []string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, errors.New("the process is stopping")
	}
	if cfg.RunDir != "" && cfg.RunDir != a.runDir {
		return nil, fmt.Errorf("rundir: %s is in use and cannot become %s while the process runs: stop and start it", a.runDir, cfg.RunDir)
	}
	if only != "" && cfg.Bridge(only) == nil {
		return nil, fmt.Errorf("the file has no bridge %s: add it, or stop the bridge with \"weir stop %s\"", only, only)
	}
	polled := a.polling
	if only == "" {
		if err := a.poll(cfg.PollCPUs); err != nil {
			return nil, fmt.Errorf("%w; nothing was changed", err)
		}
	}
	if only == "" && (cfg.Log.File != "" || a.logging.File != "") {
		if err := a.log.Open(cfg.Log.File); err != nil {
			return nil, errors.Join(err, a.poll(polled))
		}
	}
	if !slices.Equal(polled, a.polling) {
		changes = append(changes, "poll-cpus: changed")
	}
	if only == "" && !reflect.DeepEqual(a.logging, cfg.Log) {
		a.log.Configure(cfg.Log)
		a.logging = cfg.Log
		changes = append(changes, "log: changed")
	}
	r := &reload{a: a, cfg: cfg, only: only, changes: changes}
	r.removeBridges()
	r.free()
	r.changeBridges()
	r.putBack()
	r.sortBridges()
	for _, c := range r.changes {
		a.log.Infof("reload: %s", c)
	}
	return r.changes, errors.Join(r.errs...)
}

// reload is one Apply under way.
type reload struct {
	a       *Agent
	cfg     *Config
	only    string
	changes []string
	errs    []error
	freed   []freedPort
	closed  []freedListener
}

// freedPort is a port that was taken out so that another bridge can have its device.
type freedPort struct {
	bridge string
	port   PortConfig
}

// freedListener is a listener that was closed so that another bridge can have its port.
type freedListener struct {
	bridge string
	*listener
}

func (r *reload) changed(format string, args ...any) {
	r.changes = append(r.changes, fmt.Sprintf(format, args...))
}

func (r *reload) failed(err error) {
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

func (r *reload) skips(name string) bool { return r.only != "" && r.only != name }

// removeBridges stops what the file no longer has.
func (r *reload) removeBridges() {
	for _, b := range slices.Clone(r.a.bridges) {
		if r.skips(b.name) || r.cfg.Bridge(b.name) != nil {
			continue
		}
		r.failed(r.a.remove(b))
		r.changed("bridge %s: removed", b.name)
	}
}

// free takes out every port that leaves its device, and closes every listener that leaves its port,
// before any is taken by somebody else: they may move from one bridge to another. What moves between
// ports of one bridge is that bridge's own business.
func (r *reload) free() {
	for _, b := range r.a.bridges {
		to := r.cfg.Bridge(b.name)
		if r.skips(b.name) || to == nil {
			continue
		}
		now := b.sw.Config()
		for _, p := range now.Ports {
			if stays := to.Port(p.Name); stays != nil && device(stays) == device(&p) {
				continue
			}
			bridge, port := r.wanted(&p)
			if bridge == "" || bridge == b.name && now.Port(port) != nil {
				continue
			}
			r.failed(b.sw.RemovePort(p.Name))
			r.changed("bridge %s: port %s removed", b.name, p.Name)
			r.freed = append(r.freed, freedPort{b.name, p})
		}
		for _, l := range b.sw.closeListeners(func(l *listener) bool { return r.listensElsewhere(b.name, l.target) }) {
			r.closed = append(r.closed, freedListener{b.name, l})
		}
	}
}

// listensElsewhere reports whether another bridge of the new configuration, and this one no longer,
// listens on t's port or path.
func (r *reload) listensElsewhere(bridge string, t Target) bool {
	elsewhere := false
	for i := range r.cfg.Bridges {
		b := &r.cfg.Bridges[i]
		for _, o := range slices.Concat(b.Listen, b.ListenAux) {
			if !o.samePort(t) && o != t || r.skips(b.Name) {
				continue
			}
			if b.Name == bridge {
				return false
			}
			elsewhere = true
		}
	}
	return elsewhere
}

// putBack returns each port and listener that free took away and whose new bridge could not take it.
func (r *reload) putBack() {
	for _, f := range r.freed {
		name, _ := r.wanted(&f.port)
		from, to := r.a.find(f.bridge), r.a.find(name)
		if from == nil || r.skips(name) {
			continue
		}
		if to != nil {
			if now := to.sw.Config(); onDevice(&now, &f.port) != "" {
				continue
			}
		}
		if _, err := from.sw.AddPort(f.port); err != nil {
			r.failed(fmt.Errorf("bridge %s: port %s cannot be put back: %w", f.bridge, f.port.Name, err))
			continue
		}
		r.changed("bridge %s: port %s put back, for bridge %s could not take it", f.bridge, f.port.Name, name)
	}
	for _, f := range r.closed {
		if from := r.a.find(f.bridge); from != nil && !r.listening(f.target) {
			r.failed(from.sw.listen(f.target, purpose(f.auxiliary)))
			r.changed("bridge %s: listener %s put back, for the other bridge could not take it", f.bridge, f.target)
		}
	}
}

// listening reports whether some bridge has a listener on t's port or path.
func (r *reload) listening(t Target) bool {
	return slices.ContainsFunc(r.a.bridges, func(b *bridge) bool {
		b.sw.mu.Lock()
		defer b.sw.mu.Unlock()
		return slices.ContainsFunc(b.sw.listeners, func(l *listener) bool { return l.target == t || l.target.samePort(t) })
	})
}

// wanted is the bridge of the new configuration that has a port on p's device, and the port's name;
// empty: none.
func (r *reload) wanted(p *PortConfig) (bridge, port string) {
	for i := range r.cfg.Bridges {
		if port := onDevice(&r.cfg.Bridges[i], p); port != "" {
			return r.cfg.Bridges[i].Name, port
		}
	}
	return "", ""
}

// onDevice is the name of the bridge's port on p's device; empty: it has none.
func onDevice(b *BridgeConfig, p *PortConfig) string {
	for i := range b.Ports {
		if q := &b.Ports[i]; device(q) == device(p) {
			return q.Name
		}
	}
	return ""
}

// device names what one port alone can have: an interface, by whatever kind of port, the own address
// of a wire, a patch, a pipe, a file.
func device(p *PortConfig) string {
	switch {
	case p.Kind.Interface():
		return "interface " + p.Target
	case p.Kind == ports.KindWire:
		if own := p.Arg("local") + p.Arg("listen"); own != "" {
			return "wire " + p.Target + " " + own
		}
		return "wire of " + p.Name // it only calls
	}
	return string(p.Kind) + " " + p.Target
}

// changeBridges brings each bridge of the file to what the file says.
func (r *reload) changeBridges() {
	for _, to := range r.cfg.Bridges {
		if r.skips(to.Name) {
			continue
		}
		b := r.a.find(to.Name)
		if b == nil {
			if err := r.a.add(to); err != nil {
				r.failed(err)
			} else {
				r.changed("bridge %s: added", to.Name)
			}
			continue
		}
		now := b.sw.Config()
		d := diffBridges(&now, &to)
		if d.restart != "" {
			r.restart(b, now, to, d.restart)
			continue
		}
		if len(d.lines) == 0 {
			continue
		}
		if err := b.sw.Apply(to); err != nil {
			r.failed(fmt.Errorf("bridge %s: %w", to.Name, err))
			after := b.sw.Config()
			d = diffBridges(&now, &after)
		}
		notes := map[string]string{}
		for name, why := range b.sw.absent() {
			notes["port "+name+" added"] = " (absent: " + why + ")"
			notes["port "+name+" changed"] = " (absent: " + why + ")"
		}
		for _, line := range d.lines {
			r.changed("bridge %s: %s%s", to.Name, line, notes[line])
		}
	}
}

// restart replaces a bridge by a new one, for a setting that a running switch cannot
// take. If the new one does not start, the old one is started again.
func (r *reload) restart(b *bridge, from, to BridgeConfig, why string) {
	r.failed(r.a.remove(b))
	if err := r.a.add(to); err != nil {
		r.failed(err)
		if again := r.a.add(from); again != nil {
			r.failed(again)
			r.changed("bridge %s: removed, for it could not be started again", to.Name)
			return
		}
		r.changed("bridge %s: restarted as it was", to.Name)
		return
	}
	r.changed("bridge %s: restarted, because its %s changed", to.Name, why)
}

// sortBridges gives the running bridges the order of the file.
func (r *reload) sortBridges() {
	rank := map[string]int{}
	for i := range r.cfg.Bridges {
		rank[r.cfg.Bridges[i].Name] = i
	}
	sort.SliceStable(r.a.bridges, func(i, j int) bool { return rank[r.a.bridges[i].name] < rank[r.a.bridges[j].name] })
	if len(r.a.bridges) == 0 {
		r.a.end()
	}
}

// bridgeDiff is what differs between two configurations of one bridge.
type bridgeDiff struct {
	restart string   // the setting that only a new Switch can take; empty: none
	lines   []string // one for each difference, in words
}

// diffBridges compares settings, controllers, listeners and ports.
func diffBridges(from, to *BridgeConfig) (d bridgeDiff) {
	say := func(format string, args ...any) { d.lines = append(d.lines, fmt.Sprintf(format, args...)) }
	for _, s := range []struct {
		name     string
		from, to any
	}{
		{"dpid", from.DPID, to.DPID}, {"mac", from.MAC, to.MAC},
		{"tables", from.Tables, to.Tables}, {"max-flows", from.MaxFlows, to.MaxFlows},
		{"max-groups", from.MaxGroups, to.MaxGroups}, {"max-meters", from.MaxMeters, to.MaxMeters},
		{"max-paths", from.MaxPaths, to.MaxPaths}, {"buffers", from.Buffers, to.Buffers},
	} {
		if s.from != s.to && d.restart == "" {
			d.restart = s.name
		}
	}
	for _, s := range []struct {
		name     string
		from, to any
	}{
		{"fail-mode", from.FailMode, to.FailMode}, {"table-miss", from.TableMiss, to.TableMiss},
		{"protocols", from.Protocols, to.Protocols}, {"dp-desc", from.DatapathDesc, to.DatapathDesc},
		{"packet-in-queue", from.PacketInQueue, to.PacketInQueue}, {"description", from.Desc, to.Desc},
		{"tls", from.TLS, to.TLS},
		{"mac-table", from.MACTable, to.MACTable}, {"forward-bpdu", from.ForwardBPDU, to.ForwardBPDU},
		{"fragments", from.Fragments, to.Fragments}, {"spin", from.Spin, to.Spin},
	} {
		if !reflect.DeepEqual(s.from, s.to) {
			say("%s changed", s.name)
		}
	}
	switch {
	case from.Internal == nil && to.Internal != nil:
		say("internal device added")
	case from.Internal != nil && to.Internal == nil:
		say("internal device removed")
	case !reflect.DeepEqual(from.Internal, to.Internal):
		say("internal device changed")
	}
	diffByKey(from.Listen, to.Listen, Target.String, say, "listener")
	diffByKey(from.ListenAux, to.ListenAux, Target.String, say, "auxiliary listener")
	diffByKey(from.Controllers, to.Controllers, func(c ControllerConfig) string { return c.Target.String() }, say, "controller")
	diffByKey(from.Ports, to.Ports, func(p PortConfig) string { return p.Name }, say, "port")
	return d
}

// diffByKey tells what was removed from a list, added to it and changed in it.
func diffByKey[T any](from, to []T, key func(T) string, say func(string, ...any), what string) {
	old := map[string]T{}
	for _, v := range from {
		old[key(v)] = v
	}
	for _, v := range to {
		was, ok := old[key(v)]
		delete(old, key(v))
		switch {
		case !ok:
			say("%s %s added", what, key(v))
		case !sameText(was, v):
			say("%s %s changed", what, key(v))
		}
	}
	for _, v := range from {
		if _, gone := old[key(v)]; gone {
			say("%s %s removed", what, key(v))
		}
	}
}

// sameText compares ports by their text, in which what was spelled differently is equal.
func sameText(a, b any) bool {
	if p, ok := a.(PortConfig); ok {
		q := b.(PortConfig)
		return p.String() == q.String()
	}
	return reflect.DeepEqual(a, b)
}
