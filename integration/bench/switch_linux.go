package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirswitch/weir/integration/lab"
)

// ovsSchema is where Debian's openvswitch-switch keeps the database schema.
const ovsSchema = "/usr/share/openvswitch/vswitch.ovsschema"

// ErrNoAFXDP is returned where Open vSwitch was built without AF_XDP.
var ErrNoAFXDP = errors.New("this Open vSwitch has no ports of type afxdp")

// Switch is a process with bridge br0 and the ports p1 and p2 of a lab, its numbers 1 and 2. The lab's Close ends it.
type Switch struct {
	*Client // its controller; nil before Accept

	Name string
	Lab  *lab.Lab
	Env  []string
	Proc *lab.Proc

	args func(target string) []string // of weir
	both bool                         // it may use either processor
	ln   net.Listener
}

// NewLab has what a switch is measured with: a namespace for it, and two hosts with the other ends of p1 and p2.
func NewLab(addrs ...string) (*lab.Lab, error) {
	l, err := lab.New()
	for i := 0; i < 2 && err == nil; i++ {
		var own []string
		if i < len(addrs) {
			own = addrs[i : i+1]
		}
		_, err = l.AddHost(fmt.Sprintf("h%d", i+1), fmt.Sprintf("p%d", i+1), own...)
	}
	if err != nil && l != nil {
		l.Close()
	}
	return l, err
}

// NewWeir says how weir is started, with more options if wanted; Start does it. port is how weir is told of a port, with %s
// for the device's name.
func NewWeir(l *lab.Lab, bin, port string, more ...string) *Switch {
	s := newSwitch(l, Weir)
	s.args = func(target string) []string {
		list := []string{bin, "run", "--rundir", l.Dir(), "--name", "br0", "--inactivity-probe", "0s", "--port", "1:" + fmt.Sprintf(port, "p1"), "--port", "2:" + fmt.Sprintf(port, "p2")}
		list = append(list, more...)
		if target == "" {
			return append(list, "--fail-mode", "standalone")
		}
		return append(list, "--fail-mode", "secure", "--controller", target)
	}
	return s
}

func newSwitch(l *lab.Lab, name string) *Switch {
	return &Switch{Name: name, Lab: l, Env: []string{"OVS_RUNDIR=" + l.Dir(), "OVS_DBDIR=" + l.Dir(), "OVS_LOGDIR=" + l.Dir()}}
}

// OnBoth lets a switch that has not been started use both processors. weir spins only where it has more than one.
func (s *Switch) OnBoth() { s.both = true }

// Start runs weir with a controller or, with standalone, without one.
func (s *Switch) Start(standalone bool) error {
	target := ""
	if !standalone {
		if err := s.listen(); err != nil {
			return err
		}
		target = s.target()
	}
	at, line := OnSwitchCPU, s.args(target)
	if s.both {
		at = OnBothCPUs
	}
	path, args := at(line[0], line[1:]...)
	return s.start(path, args...)
}

func (s *Switch) listen() (err error) {
	s.ln, err = s.Lab.Switch.Listen("127.0.0.1:0")
	return err
}

func (s *Switch) target() string { return "tcp:" + s.ln.Addr().String() }

// start runs a process that lasts. The one started last is the switch.
func (s *Switch) start(path string, args ...string) (err error) {
	s.Proc, err = s.Lab.Start(lab.Cmd{Path: path, Args: args, Env: s.Env})
	return err
}

// Run runs a command in the switch's namespace to its end.
func (s *Switch) Run(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	return s.Lab.Switch.RunCmd(ctx, lab.Cmd{Path: path, Args: args, Env: s.Env})
}

// Accept waits for the switch's call and shakes hands.
func (s *Switch) Accept() error {
	defer s.ln.Close()
	if err := s.ln.(*net.TCPListener).SetDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	answered := make(chan struct{})
	defer close(answered)
	go func() {
		select {
		case <-s.Proc.Done(): // it will not call any more
			s.ln.Close()
		case <-answered:
		}
	}()
	nc, err := s.ln.Accept()
	if err != nil {
		return fmt.Errorf("%s did not call: %w\n%s", s.Name, err, s.Proc.Output())
	}
	s.Client, err = NewClient(nc)
	return err
}

// OVS is a private Open vSwitch of one lab, in its own folder and with its own database.
type OVS struct {
	*Switch
	afxdp bool
}

// NewOVS starts the database. With afxdp the ports are AF_XDP sockets that one spinning thread polls, else packet
// sockets ("system").
func NewOVS(ctx context.Context, l *lab.Lab, name string, afxdp bool) (*OVS, error) {
	o := &OVS{newSwitch(l, name), afxdp}
	db := o.file("conf.db")
	if _, err := o.Run(ctx, "ovsdb-tool", "create", db, ovsSchema); err != nil {
		return nil, err
	}
	if err := o.start("ovsdb-server", db, "--remote=punix:"+o.file("db.sock"), "--unixctl="+o.file("db.ctl")); err != nil {
		return nil, err
	}
	if err := o.appears(ctx, "db.sock"); err != nil {
		return nil, err
	}
	args := []string{"--no-wait", "init"}
	if afxdp {
		args = append(args, "--", "set", "Open_vSwitch", ".", fmt.Sprintf("other_config:pmd-cpu-mask=%#x", 1<<SwitchCPU))
	}
	return o, o.Vsctl(ctx, args...)
}

func (o *OVS) file(name string) string { return filepath.Join(o.Lab.Dir(), name) }

func (o *OVS) appears(ctx context.Context, name string) error {
	for end := time.Now().Add(Patience); ; {
		_, err := os.Stat(o.file(name))
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return errors.Join(err, ctx.Err())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Vsctl runs ovs-vsctl, which waits until the daemon has done as it says (but with --no-wait).
func (o *OVS) Vsctl(ctx context.Context, args ...string) error {
	_, err := o.Run(ctx, "ovs-vsctl", append([]string{"-t", "20", "--db=unix:" + o.file("db.sock")}, args...)...)
	return err
}

// StartDaemon runs ovs-vswitchd, which sets itself up as the database says. The thread that polls AF_XDP sockets chooses
// its processor itself; the others are then best elsewhere.
func (o *OVS) StartDaemon() error {
	at := OnSwitchCPU
	if o.afxdp {
		at = OnBothCPUs
	}
	path, args := at("ovs-vswitchd", "unix:"+o.file("db.sock"), "--disable-system", "--unixctl="+o.file("v.ctl"),
		"-vconsole:err", "-vsyslog:off", "-vfile:off", "--no-chdir")
	return o.start(path, args...)
}

// AddBridge makes br0 with its ports, and a controller for it unless it is to be standalone.
func (o *OVS) AddBridge(ctx context.Context, standalone bool) error {
	if err := o.can(ctx); err != nil {
		return err
	}
	mode := "secure"
	if standalone {
		mode = "standalone"
	}
	args := []string{"add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail-mode=" + mode, "protocols=OpenFlow13"}
	for n := 1; n <= 2; n++ {
		p := fmt.Sprintf("p%d", n)
		args = append(args, "--", "add-port", "br0", p, "--", "set", "interface", p, fmt.Sprintf("ofport_request=%d", n))
		if o.afxdp {
			args = append(args, "type=afxdp", "options:xdp-mode=best-effort")
		}
	}
	if !standalone {
		if err := o.listen(); err != nil {
			return err
		}
		args = append(args, "--", "set-controller", "br0", o.target(),
			"--", "set", "controller", "br0", "connection-mode=out-of-band", "inactivity_probe=3600000")
	}
	return o.Vsctl(ctx, args...)
}

// can asks the daemon for the kinds of ports it was built with; it tells them when it has read the database.
func (o *OVS) can(ctx context.Context) error {
	if !o.afxdp {
		return nil
	}
	if err := o.Vsctl(ctx, "wait-until", "Open_vSwitch", ".", "iface_types!=[]"); err != nil {
		return err
	}
	types, err := o.Run(ctx, "ovs-vsctl", "-t", "20", "--db=unix:"+o.file("db.sock"), "get", "Open_vSwitch", ".", "iface_types")
	separator := func(c rune) bool { return strings.ContainsRune("[], \n", c) }
	if err == nil && !slices.Contains(strings.FieldsFunc(types, separator), "afxdp") {
		err = ErrNoAFXDP
	}
	return err
}

// RSS is the resident memory of the switch, in bytes.
func (s *Switch) RSS() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Proc.PID()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			return float64(kib) * 1024, err
		}
	}
	return 0, fmt.Errorf("no VmRSS in %s", text)
}

// Used is the processor time that the threads of the switch have used. One that has ended takes its part along.
func (s *Switch) Used() time.Duration { return Used(s.Proc) }

// Used is that of any process.
func Used(p *lab.Proc) (sum time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.PID()))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		if f := strings.Fields(string(text)); len(f) > 0 {
			ns, _ := strconv.ParseInt(f[0], 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}
