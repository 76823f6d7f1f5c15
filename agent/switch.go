// Slow path: a Switch from its birth to its end, and the lists that the other files share.

package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// Env is what a Switch takes from the process around it. The zero value works.
type Env struct {
	Log      *Logger      // nil: silent
	Clock    Clock        // nil: the machine's
	RunDir   string       // where NAME.mgmt goes; empty: no management socket
	Identity string       // makes derived addresses differ between machines; empty: /etc/machine-id, else the host's name
	Workers  int          // how many batches may be under way at once; 0: one a processor
	Seed     uint64       // of the engine's hashes; 0: a random one. A run with the same seed and clock repeats
	spinning *atomic.Bool // taken by the one goroutine of the process that spins; nil: of the switch
	polls    *pollers     // of the process; nil: none
	NoCache  bool         // walk the tables for every frame: slower, and must change nothing else

	// Patches and Pipes are where patch ports and named pipes of one process meet; switches that
	// share them can be joined. nil: the switch makes its own.
	Patches *ports.Patches
	Pipes   *ports.Pipes
	// Links watches network interfaces for all switches of a process. nil: each port asks for itself.
	Links *ports.Links
	// Dial connects to a controller; nil: the network. A test gives one end of a net.Pipe.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Switch is one bridge: a pipeline, its ports and its controllers.
type Switch struct {
	name  string
	env   Env
	log   *Logger
	clock Clock
	pipe  *flowtable.Pipeline
	mac   openflow.MAC
	dpid  uint64
	kept  *bufferPool
	born  time.Duration

	// The packet path. Workers read these without a lock.
	table       atomic.Pointer[portTable]
	channels    atomic.Pointer[[]*Channel] // connections that may want asynchronous messages
	workers     chan *worker               // the idle ones
	allWorkers  []*worker                  // never changes
	spin        spinner
	noPort      atomic.Uint64 // frames for a port that was just taken out
	packetIns   atomic.Uint64
	packetDrops atomic.Uint64 // packet-ins that no connection took
	viewers     audience[viewer]
	snoopers    audience[snooper]
	lastChannel atomic.Uint64 // how many connections there were

	// ops lets one change of configuration happen at a time: Start, Close, AddPort, RemovePort, Apply.
	ops     sync.Mutex
	started bool
	closed  bool

	flowing     chan struct{} // closed by letFlow: ports are read from now on
	letFlow     func()
	portEvents  chan struct{} // has a token when some port's Info changed
	groupEvents chan struct{} // has a token when some group changed
	stop        context.CancelFunc
	running     context.Context
	group       sync.WaitGroup // goroutines that end with running

	monitors monitors
	resting  atomic.Bool // written under mu: tick is further away than expireEvery

	// mu guards what follows. It is held for short and never while waiting for a peer; the longest is the
	// word with the kernel when a PORT_MOD switches a device.
	mu            sync.Mutex
	cfg           BridgeConfig
	numbers       map[string]uint32 // by port name, also of ports that have gone
	slots         []bool            // worker out-batches in use
	left          []uint32          // ports for forgetStations
	controllers   []*controller
	listeners     []*listener
	snoopListener *listener // nil: none
	generation    uint64    // of the last master or slave request (section 6.3.5)
	generated     bool      // generation has been set
	fragments     openflow.FragFlags
	connected     int   // controllers with a finished handshake, those of Serve among them
	tick          Timer // of expire.go
	memory        reclaimer
	flood         flood
}

// NewSwitch makes a bridge that neither listens nor forwards yet. cfg is checked, as LoadConfig does; what can be
// wrong only in the world outside (a port, a socket) shows in Start.
func NewSwitch(cfg BridgeConfig, env Env) (*Switch, error) {
	if cfg.Name == "" {
		return nil, errors.New("a bridge needs a name")
	}
	if env.Clock == nil {
		env.Clock = NewClock()
	}
	if env.Patches == nil {
		env.Patches = new(ports.Patches)
	}
	if env.Pipes == nil {
		env.Pipes = new(ports.Pipes)
	}
	if env.Workers <= 0 {
		env.Workers = min(runtime.GOMAXPROCS(0), runtime.NumCPU())
	}
	s := &Switch{
		name: cfg.Name, env: env, clock: env.Clock, cfg: cfg, born: env.Clock.Now(), kept: newBufferPool(env.Clock, cfg.Buffers),
		log:        env.Log.Part("switch").With("bridge", cfg.Name),
		numbers:    map[string]uint32{},
		portEvents: make(chan struct{}, 1), groupEvents: make(chan struct{}, 1), flowing: make(chan struct{}),
		workers: make(chan *worker, env.Workers),
	}
	s.spin.token = cmp.Or(env.spinning, new(atomic.Bool))
	s.spin.polls, s.spin.born = env.polls, time.Now()
	s.spin.limit(cfg.Spin)
	s.letFlow = sync.OnceFunc(func() { close(s.flowing) })
	s.running, s.stop = context.WithCancel(context.Background())
	s.mac, s.dpid = identity(&cfg, &env)
	s.pipe = flowtable.New(flowtable.Config{
		Tables: cfg.Tables, MaxEntries: cfg.MaxFlows, MaxGroups: cfg.MaxGroups, MaxMeters: cfg.MaxMeters, CacheSize: cfg.MaxPaths,
		MACTableSize: cfg.MACTable.Size, MACAge: cfg.MACTable.Age,
		ForwardReserved: cfg.ForwardBPDU, NoCache: env.NoCache, HashSeed: env.Seed,
	})
	s.setFragments(cfg.Fragments)
	s.table.Store(new(portTable))
	s.channels.Store(new([]*Channel))
	for range env.Workers {
		w := newWorker(s)
		s.allWorkers = append(s.allWorkers, w)
		s.workers <- w
	}
	return s, nil
}

// identity gives the bridge's address and datapath id. Both are the same after every restart: a
// controller knows a switch by its datapath id (section 7.3.1). An address that nobody gave comes
// from the machine, the run directory and the bridge's name.
func identity(cfg *BridgeConfig, env *Env) (mac openflow.MAC, dpid uint64) {
	mac = openflow.MAC(cfg.MAC)
	if mac == (openflow.MAC{}) {
		h := fnv.New64a()
		for _, part := range []string{machine(env), env.RunDir, cfg.Name} {
			h.Write([]byte(part))
			h.Write([]byte{0})
		}
		sum := h.Sum64()
		for i := range mac {
			mac[i] = byte(sum >> (8 * i))
		}
		mac[0] = mac[0]&^1 | 2 // unicast, locally administered
	}
	if dpid = cfg.DPID; dpid == 0 {
		for _, b := range mac {
			dpid = dpid<<8 | uint64(b)
		}
	}
	return mac, dpid
}

func machine(env *Env) string {
	if env.Identity != "" {
		return env.Identity
	}
	if id, err := os.ReadFile("/etc/machine-id"); err == nil && len(id) > 0 {
		return strings.TrimSpace(string(id))
	}
	name, _ := os.Hostname()
	return name
}

// Name is the bridge's name.
func (s *Switch) Name() string { return s.name }

// DPID is the datapath id.
func (s *Switch) DPID() uint64 { return s.dpid }

// Start opens ports and listeners and begins to call the controllers. After an error the switch
// is closed and everything that Start had opened is put back.
func (s *Switch) Start() error {
	s.ops.Lock()
	defer s.ops.Unlock()
	if s.started || s.closed {
		return fmt.Errorf("bridge %s: Start is called once, before Close", s.name)
	}
	s.started = true
	if err := s.start(); err != nil {
		return errors.Join(err, s.close())
	}
	return nil
}

func (s *Switch) start() error {
	if s.cfg.FailMode != FailSecure {
		if err := s.installMissEntry(s.cfg.TableMiss); err != nil {
			return err
		}
	}
	if err := s.openPorts(); err != nil {
		return err
	}
	if err := s.listenAll(s.cfg); err != nil {
		return err
	}
	s.letFlow()
	s.group.Go(s.watchPorts)
	s.group.Go(s.watchCarriers)
	s.mu.Lock()
	s.tick = s.clock.AfterFunc(expireEvery, s.expire)
	s.mu.Unlock()
	for _, c := range s.cfg.Controllers {
		s.addController(c)
	}
	s.log.Infof("started: datapath id %016x, %s", s.dpid, Plural(len(s.table.Load().list), "port"))
	return nil
}

// Close ends connections, restores ports and removes the sockets that Start made. It may be called
// more than once, and at any time after NewSwitch.
func (s *Switch) Close() error {
	s.ops.Lock()
	defer s.ops.Unlock()
	if s.closed {
		return nil
	}
	return s.close()
}

// close takes everything down: first what lets work in, then the work, then the ports. ops is held.
func (s *Switch) close() error {
	s.closed = true
	s.stop()
	s.mu.Lock()
	if s.tick != nil {
		s.tick.Stop()
	}
	s.flood.tick(0)
	listeners, controllers := s.listeners, s.controllers
	if s.snoopListener != nil {
		listeners = append(listeners, s.snoopListener)
	}
	s.listeners, s.controllers = nil, nil
	s.mu.Unlock()
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.close())
	}
	for _, c := range controllers {
		c.close()
	}
	for _, c := range *s.channels.Load() {
		c.end(errClosing)
	}
	s.group.Wait()
	s.letFlow() // a start that failed half-way
	errs = append(errs, s.takeOut(s.table.Load().list...))
	return errors.Join(errs...)
}

// errClosing is why connections end when the bridge does.
var errClosing = errors.New("the bridge is closing")

// Config is the configuration that runs now.
func (s *Switch) Config() BridgeConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}
