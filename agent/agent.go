// Slow path: the switches of one process, from the first socket to the last.

package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/ports"
)

// Agent is a weir process: the bridges of one Config, each with its control socket.
// All methods are safe for concurrent use; changes happen one at a time.
type Agent struct {
	log     *Logger
	env     Env
	runDir  string
	created bool         // the run directory was made here
	links   *ports.Links // made here; nil: none, or the caller's
	polls   pollers
	load    func(file string) (*Config, error) // reads a file for Reload
	file    string                             // that the configuration came from; empty: flags

	done chan struct{} // closed when the last bridge is gone
	once sync.Once

	mu      sync.Mutex // held while the set of bridges changes
	logging LogConfig  // as running
	polling []int      // processors, as running
	bridges []*bridge  // in the order of the configuration
	closed  bool
}

// bridge is one Switch with its control socket.
type bridge struct {
	name string
	sw   *Switch
	ctl  *controlServer
}

// AgentOptions is what an Agent takes from the process around it.
type AgentOptions struct {
	Log  *Logger                            // nil: silent
	Env  Env                                // for its switches; Log and RunDir are filled in, Patches, Pipes and Links if nil
	File string                             // where the Config came from, for Reload; empty: flags
	Load func(file string) (*Config, error) // nil: LoadConfig
}

// NewAgent makes an Agent that runs nothing yet. cfg.RunDir must be set.
func NewAgent(o AgentOptions) *Agent {
	a := &Agent{log: o.Log, env: o.Env, load: o.Load, file: o.File, done: make(chan struct{})}
	if a.load == nil {
		a.load = LoadConfig
	}
	a.env.Log, a.env.spinning, a.env.polls = o.Log, new(atomic.Bool), &a.polls
	if a.env.Patches == nil {
		a.env.Patches = new(ports.Patches)
	}
	if a.env.Pipes == nil {
		a.env.Pipes = new(ports.Pipes)
	}
	return a
}

// Start claims the names of all bridges, then starts them in order. After an error
// nothing runs and nothing is left behind.
func (a *Agent) Start(cfg *Config) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.runDir != "" {
		return errors.New("an Agent starts once")
	}
	a.runDir, a.env.RunDir, a.logging = cfg.RunDir, cfg.RunDir, cfg.Log
	var err error
	if a.created, err = makeRunDir(a.runDir); err != nil {
		return err
	}
	if a.env.Links == nil {
		if l, err := ports.NewLinks(); err == nil { // else ports that need it say why
			a.links, a.env.Links = l, l
		}
	}
	if err := a.poll(cfg.PollCPUs); err != nil {
		return errors.Join(err, a.closeAll())
	}
	for i := range cfg.Bridges {
		if err := a.add(cfg.Bridges[i]); err != nil {
			return errors.Join(err, a.closeAll())
		}
	}
	return nil
}

// add claims and starts one bridge. mu is held.
func (a *Agent) add(cfg BridgeConfig) error {
	l, err := claim(a.runDir, cfg.Name)
	if err != nil {
		return err
	}
	b := &bridge{name: cfg.Name}
	b.sw, err = NewSwitch(cfg, a.env)
	if err == nil {
		err = b.sw.Start()
	}
	if err != nil {
		l.Close()
		return fmt.Errorf("bridge %s: %w", cfg.Name, err)
	}
	b.ctl = serveControl(a, b, l)
	a.bridges = append(a.bridges, b)
	a.log.With("bridge", b.name).Infof("runs: %s, %s", Plural(len(cfg.Ports), "port"), Plural(len(cfg.Controllers), "controller"))
	return nil
}

// poll gives these processors to polling. mu is held.
func (a *Agent) poll(cpus []int) error {
	if slices.Equal(cpus, a.polling) {
		return nil
	}
	if err := a.polls.set(cpus); err != nil {
		return err
	}
	a.polling = cpus
	if len(cpus) > 0 {
		a.log.Infof("poll-cpus %s: ports are looked at without end there", cpuText(cpus))
	}
	return nil
}

// remove stops one bridge and forgets it. mu is held.
func (a *Agent) remove(b *bridge) error {
	for i, have := range a.bridges {
		if have == b {
			a.bridges = append(a.bridges[:i:i], a.bridges[i+1:]...)
			break
		}
	}
	return a.stop(b)
}

// stop ends what a bridge does, and removes its sockets.
func (a *Agent) stop(b *bridge) error {
	err := b.sw.Close()
	b.ctl.unlink()
	a.log.With("bridge", b.name).Infof("stopped")
	return err
}

// closeAll stops all bridges and ends the Agent. mu is held.
func (a *Agent) closeAll() error {
	all := a.bridges
	errs := make([]error, len(all))
	sideBySide(len(all), func(i int) { errs[i] = a.stop(all[i]) })
	a.bridges = nil
	a.end()
	return errors.Join(errs...)
}

// end tells Done that no bridge is left.
func (a *Agent) end() {
	if a.closed {
		return
	}
	a.closed = true
	_ = a.poll(nil)
	if a.links != nil {
		_ = a.links.Close()
	}
	if a.created {
		_ = os.Remove(a.runDir) // stays when another process has a socket there
	}
	a.once.Do(func() { close(a.done) })
}

// Close stops all bridges in order. It may be called more than once.
func (a *Agent) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closeAll()
}

// Done is closed when the last bridge has stopped, by Close or by StopBridge.
func (a *Agent) Done() <-chan struct{} { return a.done }

// StopBridge stops one bridge. last says that it was the last one, so the Agent has ended.
func (a *Agent) StopBridge(name string) (last bool, err error) {
	a.stopBridge(name, func(l bool, e error) { last, err = l, e })
	return last, err
}

// stopBridge is StopBridge for who must tell somebody before the process may end: tell
// runs before Done is closed.
func (a *Agent) stopBridge(name string, tell func(last bool, err error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.find(name)
	if b == nil {
		tell(false, fmt.Errorf("there is no bridge %s here; there are %s", name, a.names()))
		return
	}
	err := a.remove(b)
	last := len(a.bridges) == 0
	tell(last, err)
	if last {
		a.end()
	}
}

// Switch returns the running switch of that name, or nil.
func (a *Agent) Switch(name string) *Switch {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b := a.find(name); b != nil {
		return b.sw
	}
	return nil
}

// addPort adds a port to a running bridge, unless a configuration would be refused for it. What
// concerns that bridge alone is the Switch's business. Of two that want one device at the same time,
// the second sees the first.
func (a *Agent) addPort(sw *Switch, p PortConfig) (uint32, error) {
	if p.Kind == ports.KindInternal {
		return 0, fmt.Errorf("port %s: an internal device comes from the configuration: set internal there and reload", p.Name)
	}
	if !p.Kind.Interface() {
		return sw.AddPort(p)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range a.bridges {
		for _, q := range b.sw.Config().Ports {
			if q.Target == p.Target && q.Kind.Interface() {
				return 0, fmt.Errorf("port %s: the device %s is port %s of bridge %s: it can be in one place only", p.Name, p.Target, q.Name, b.name)
			}
		}
	}
	return sw.AddPort(p)
}

func (a *Agent) find(name string) *bridge {
	for _, b := range a.bridges {
		if b.name == name {
			return b
		}
	}
	return nil
}

func (a *Agent) names() string {
	var names []string
	for _, b := range a.bridges {
		names = append(names, b.name)
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// readyPoll is how often WaitReady looks again: links come up within milliseconds.
const readyPoll = 10 * time.Millisecond

// WaitReady waits until every port of every bridge is up. Listeners accept since Start
// returned. When ctx ends first, a port whose device is missing is an error that names it; one
// that merely has no link (an unplugged cable, a peer that is down) is a warning: it works as it
// should. A wire that listens is ready at once, for its peer may need the switch to start.
func (a *Agent) WaitReady(ctx context.Context) (warning string, err error) {
	for {
		missing, linkless := a.portsDown()
		if len(missing)+len(linkless) == 0 {
			return "", nil
		}
		select {
		case <-ctx.Done():
			if len(missing) > 0 {
				return "", fmt.Errorf("not ready in time: %s", strings.Join(missing, "; "))
			}
			warning = "ready, but without a link: " + strings.Join(linkless, "; ")
			a.log.Warnf("%s", warning)
			return warning, nil
		case <-a.done:
			return "", errors.New("stopped before it was ready")
		case <-time.After(readyPoll):
		}
	}
}

// Absent tells of each port whose device is not there, with the reason. A wire may merely not have called its peer yet.
func (a *Agent) Absent() (warnings []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range a.bridges {
		for name, why := range b.sw.absent() {
			warnings = append(warnings, fmt.Sprintf("bridge %s: port %s is absent: %s", b.name, name, why))
		}
	}
	return warnings
}

// portsDown tells of each port that carries nothing: those that do not exist, and those that wait
// for a link.
func (a *Agent) portsDown() (missing, linkless []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range a.bridges {
		for _, p := range b.sw.Ports() {
			what := fmt.Sprintf("bridge %s: port %s (%s)", b.name, p.Name, p.Spec)
			switch {
			case p.LinkUp:
			case !p.Present:
				missing = append(missing, what+": "+p.Problem)
			case p.Kind != string(ports.KindWire):
				linkless = append(linkless, what+" has no link")
			}
		}
	}
	return missing, linkless
}
