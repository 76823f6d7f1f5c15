package benchlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weirswitch/weir/integration/bench"
	"github.com/weirswitch/weir/integration/lab"
)

// The names of the switches, as the page has them.
const (
	nameXSK    = "weir, AF_XDP"
	nameLong   = "weir, long ring"
	nameSleep  = "weir, sleeping"
	nameSpin   = "weir, spinning"
	nameXSpin  = "weir, AF_XDP, spinning"
	namePoll   = "weir, polling"
	nameXPoll  = "weir, AF_XDP, polling"
	nameOVS    = "OVS AF_PACKET"
	nameAFXDP  = "OVS afxdp"
	nameBridge = "Linux bridge"
	nameTC     = "tc redirect"
	nameXDP    = "XDP redirect"
	nameRing   = "bare Go, ring"
	nameWhole  = "bare Go, whole"
	nameDropTC = "tc drop"
	nameDropX  = "XDP drop"
)

// kind is a switch that can be measured.
type kind struct {
	name   string
	port   string // how weir is told of a port, %s being the device's name; none: so, and nothing else
	spin   string // weir's option; it may use both processors then
	polls  bool   // weir polls on the switch's processor, and may use both
	opens  bool   // speaks OpenFlow: has tables, and is a process that can be started and weighed
	direct bool   // frames pass without a socket buffer; the hosts' devices have to take such frames
	whole  bool   // carries super-frames and unfinished checksums
	ends   bool   // takes frames and drops them
	start  func(*sut, context.Context) error
}

func (k kind) isWeir() bool { return strings.HasPrefix(k.name, bench.Weir) }

func kinds() []kind {
	return []kind{
		{name: bench.Weir, opens: true, whole: true, start: (*sut).startWeir},
		{name: nameXSK, port: "xdp:%s", opens: true, start: (*sut).startWeir},
		{name: nameLong, port: "%s,ring=32768", opens: true, whole: true, start: (*sut).startWeir},
		{name: nameSleep, spin: "0s", opens: true, whole: true, start: (*sut).startWeir},
		{name: nameSpin, spin: "2ms", opens: true, whole: true, start: (*sut).startWeir},
		{name: nameXSpin, port: "xdp:%s", spin: "2ms", opens: true, start: (*sut).startWeir},
		{name: namePoll, polls: true, opens: true, whole: true, start: (*sut).startWeir},
		{name: nameXPoll, port: "xdp:%s", polls: true, opens: true, start: (*sut).startWeir},
		{name: nameOVS, opens: true, start: (*sut).startOVS},
		{name: nameAFXDP, opens: true, start: (*sut).startOVS},
		{name: nameBridge, whole: true, start: (*sut).startBridge},
		{name: nameTC, whole: true, start: (*sut).startTC},
		{name: nameXDP, direct: true, start: (*sut).startXDP},
		{name: nameRing, start: (*sut).startRing},
		{name: nameWhole, whole: true, start: (*sut).startWhole},
		{name: nameDropTC, ends: true, start: (*sut).startDrop},
		{name: nameDropX, ends: true, direct: true, start: (*sut).startDrop},
	}
}

// sut is a switch under test, between two hosts. Nothing of it outlives its close.
type sut struct {
	kind
	*bench.Switch // nil for one that does not speak OpenFlow

	bin  string // weir
	lab  *lab.Lab
	held attachment
	proc *lab.Proc
}

const (
	addr1 = "10.77.0.1/24"
	addr2 = "10.77.0.2/24"
)

func newSUT(k kind, bin string) (*sut, error) {
	l, err := bench.NewLab(addr1, addr2)
	if err != nil {
		return nil, err
	}
	return &sut{kind: k, lab: l, bin: bin}, nil
}

// startSUT starts a switch that joins p1 and p2 as a cable would, and waits until it does.
func startSUT(ctx context.Context, k kind, bin string) (*sut, error) {
	s, err := newSUT(k, bin)
	if err != nil {
		return nil, err
	}
	if err = s.start(s, ctx); err == nil && !k.ends {
		err = s.pass(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%w%s", err, s.said())
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *sut) close() {
	if s.Switch != nil && s.Client != nil {
		s.NC.Close()
	}
	s.held.Close()
	s.lab.Close()
}

// process is that of the switch, nil for one in the kernel.
func (s *sut) process() *lab.Proc {
	if s.Switch != nil {
		return s.Proc
	}
	return s.proc
}

// said is what the switch has to say for itself.
func (s *sut) said() string {
	p := s.process()
	if p == nil || p.Output() == "" {
		return ""
	}
	return "\nit said: " + p.Output()
}

func (s *sut) from() *lab.Host { return s.lab.Hosts()[0] }
func (s *sut) to() *lab.Host   { return s.lab.Hosts()[1] }

// pass waits until the hosts reach each other, which also teaches a learning switch where they are.
func (s *sut) pass(ctx context.Context) error {
	var err error
	for end := time.Now().Add(bench.Patience); time.Now().Before(end) && ctx.Err() == nil; {
		if _, err = s.from().Ping(s.to().Addr4(), 56, time.Second); err == nil {
			return nil
		}
	}
	return errors.Join(err, ctx.Err())
}

// errNoKind is returned when weir was built without a kind of ports.
var errNoKind = errors.New("this weir has no such ports")

func (s *sut) lacksKind() bool { return strings.Contains(s.Proc.Output(), "no such kind of port") }

func (s *sut) newWeir() *bench.Switch {
	port := cmp.Or(s.port, "%s")
	var more []string
	switch {
	case s.polls:
		more = []string{"--poll-cpus", strconv.Itoa(bench.PollCPU())}
	case s.spin != "":
		more = []string{"--spin", s.spin}
	default:
		return bench.NewWeir(s.lab, s.bin, port)
	}
	w := bench.NewWeir(s.lab, s.bin, port, more...)
	w.OnBoth()
	return w
}

func (s *sut) startWeir(context.Context) error {
	s.Switch = s.newWeir()
	if err := s.Switch.Start(false); err != nil {
		return err
	}
	err := s.connect()
	if err != nil && s.lacksKind() {
		err = errNoKind
	}
	return err
}

func (s *sut) startOVS(ctx context.Context) error {
	o, err := bench.NewOVS(ctx, s.lab, s.name, s.name == nameAFXDP)
	if err != nil {
		return err
	}
	s.Switch = o.Switch
	if err := o.StartDaemon(); err != nil {
		return err
	}
	if err := o.AddBridge(ctx, false); err != nil {
		return err
	}
	return s.connect()
}

// connect waits for the switch's call and makes it a cable.
func (s *sut) connect() error {
	if err := s.Accept(); err != nil {
		return err
	}
	_, err := s.Finish(cable())
	return err
}

func (s *sut) startBridge(context.Context) error { return s.lab.Switch.AddBridge("br0", "p1", "p2") }

func (s *sut) startTC(context.Context) (err error) {
	s.held, err = joinTC(s.lab.Switch, "p1", "p2")
	return err
}

func (s *sut) startXDP(ctx context.Context) (err error) {
	for _, h := range s.lab.Hosts() {
		if err := set(ctx, h.Space, "eth0", "gro", "on"); err != nil {
			return err
		}
	}
	s.held, err = joinXDP(s.lab.Switch, "p1", "p2")
	return err
}

func (s *sut) startRing(ctx context.Context) error  { return s.startBare(ctx, ringMode) }
func (s *sut) startWhole(ctx context.Context) error { return s.startBare(ctx, wholeMode) }

func (s *sut) startBare(ctx context.Context, mode string) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	path, args := bench.OnSwitchCPU(self)
	s.proc, err = s.lab.Start(lab.Cmd{Path: path, Args: args, Env: []string{forwardEnv + "=" + mode + " p1 p2"}})
	if err != nil {
		return err
	}
	for !strings.Contains(s.proc.Output(), forwardReady) {
		if !s.proc.Running() || ctx.Err() != nil {
			return errors.Join(errors.New("the bare forwarder has ended"), ctx.Err())
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// startDrop makes the switch's port forget what it has received and counted.
func (s *sut) startDrop(context.Context) (err error) {
	s.held, err = drop(s.lab.Switch, "p1", s.dropper())
	return err
}

// dropper is the kind of program that drops where frames end: for frames without socket buffers, or with.
func (s *sut) dropper() ebpf.ProgramType {
	if s.direct {
		return ebpf.XDP
	}
	return ebpf.SchedCLS
}

// meter is the device that counts what is delivered.
func (s *sut) meter() (*lab.Space, string) {
	if s.ends {
		return s.lab.Switch, "p1"
	}
	return s.to().Space, "eth0"
}

// sink makes the second host forget every frame as soon as it has counted it, until the returned function is called.
func (s *sut) sink() (undo func(), err error) {
	if s.ends {
		return func() {}, nil
	}
	a, err := drop(s.to().Space, "eth0", s.dropper())
	if err != nil {
		a.Close()
		return nil, err
	}
	return a.Close, nil
}

// set switches an offload of a device.
func set(ctx context.Context, s *lab.Space, device, what, value string) error {
	_, err := s.Run(ctx, "ethtool", "-K", device, what, value)
	return err
}
