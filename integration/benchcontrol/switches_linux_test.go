package benchcontrol

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/integration/lab"
)

// ovsSchema is where Debian's openvswitch-switch keeps the database schema.
const ovsSchema = "/usr/share/openvswitch/vswitch.ovsschema"

const (
	clientCPU = 0 // the client, the hosts and what receives frames for the switch
	switchCPU = 1
)

// pinned is a command line that runs on the switch's processor alone, where there are two.
func pinned(path string, args ...string) (string, []string) {
	if !onTwo {
		return path, args
	}
	return "taskset", append([]string{"-c", strconv.Itoa(switchCPU), path}, args...)
}

// onTwo says that there are processors for both sides.
var onTwo = func() bool {
	var set unix.CPUSet
	return unix.SchedGetaffinity(0, &set) == nil && set.IsSet(clientCPU) && set.IsSet(switchCPU)
}()

// pinClient puts every thread of this program on the client's processor; threads and processes made
// later inherit it.
func pinClient() error {
	if !onTwo {
		return nil
	}
	var set unix.CPUSet
	set.Set(clientCPU)
	tasks, err := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return err
		}
	}
	return err
}

// sut is a switch under test: a process with bridge br0, two ports, and one controller connection.
type sut struct {
	*client
	name  string
	lab   *lab.Lab
	hosts [2]*lab.Host
	env   []string
	proc  *lab.Proc
}

// startWeir and startOVS start a fresh process each; the lab's Close ends it.
func startWeir(t *testing.T, bin string) *sut {
	t.Helper()
	s := newSUT(t, "weir")
	ln := s.listen(t)
	path, args := pinned(bin, "run", "--rundir", s.lab.Dir(), "--name", "br0", "--fail-mode", "secure", "--inactivity-probe", "0s",
		"--port", "1:p1", "--port", "2:p2", "--controller", "tcp:"+ln.Addr().String())
	s.start(t, path, args...)
	s.accept(t, ln)
	return s
}

func startOVS(t *testing.T) *sut {
	t.Helper()
	s := newSUT(t, "Open vSwitch")
	dir := s.lab.Dir()
	db, sock := filepath.Join(dir, "conf.db"), filepath.Join(dir, "db.sock")
	s.run(t, "ovsdb-tool", "create", db, ovsSchema)
	s.start(t, "ovsdb-server", db, "--remote=punix:"+sock, "--unixctl="+filepath.Join(dir, "db.ctl"))
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(sock); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	vsctl := func(args ...string) {
		s.run(t, "ovs-vsctl", append([]string{"-t", "20", "--db=unix:" + sock}, args...)...)
	}
	vsctl("--no-wait", "init")
	path, args := pinned("ovs-vswitchd", "unix:"+sock, "--disable-system", "--unixctl="+filepath.Join(dir, "v.ctl"),
		"-vconsole:err", "-vsyslog:off", "-vfile:off", "--no-chdir")
	s.start(t, path, args...)
	ln := s.listen(t)
	vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail-mode=secure", "protocols=OpenFlow13",
		"--", "add-port", "br0", "p1", "--", "set", "interface", "p1", "ofport_request=1",
		"--", "add-port", "br0", "p2", "--", "set", "interface", "p2", "ofport_request=2",
		"--", "set-controller", "br0", "tcp:"+ln.Addr().String(), "--", "set", "controller", "br0", "connection-mode=out-of-band", "inactivity_probe=3600000")
	s.accept(t, ln)
	return s
}

func newSUT(t *testing.T, name string) *sut {
	t.Helper()
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	s := &sut{name: name, lab: l}
	s.env = []string{"OVS_RUNDIR=" + l.Dir(), "OVS_DBDIR=" + l.Dir(), "OVS_LOGDIR=" + l.Dir()}
	for i := range s.hosts {
		if s.hosts[i], err = l.AddHost(fmt.Sprintf("h%d", i+1), fmt.Sprintf("p%d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// start runs a process that lasts. The one started last is the switch.
func (s *sut) start(t *testing.T, path string, args ...string) {
	t.Helper()
	p, err := s.lab.Start(lab.Cmd{Path: path, Args: args, Env: s.env})
	if err != nil {
		t.Fatal(err)
	}
	s.proc = p
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said:\n%s", path, p.Output())
		}
	})
}

func (s *sut) run(t *testing.T, path string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := s.lab.Switch.RunCmd(ctx, lab.Cmd{Path: path, Args: args, Env: s.env})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *sut) listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := s.lab.Switch.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func (s *sut) accept(t *testing.T, ln net.Listener) {
	t.Helper()
	ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	nc, err := ln.Accept()
	if err != nil {
		t.Fatalf("%s did not call: %v\n%s", s.name, err, s.proc.Output())
	}
	t.Cleanup(func() { nc.Close() })
	if s.client, err = newClient(nc); err != nil {
		t.Fatal(err)
	}
}

// rss is the resident memory of the switch, in bytes.
func (s *sut) rss(t *testing.T) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.proc.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return float64(kib) * 1024
		}
	}
	t.Fatal("no VmRSS in ", string(text))
	return 0
}

// used is the processor time that the threads of the switch have used. One that has ended takes its part along.
func (s *sut) used() (sum time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.proc.PID()))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		if f := strings.Fields(string(text)); len(f) > 0 {
			ns, _ := strconv.ParseInt(f[0], 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

// attend lets the switches whose turn it is not know that their controller lives.
func (r *round) attend() (stop func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	for _, s := range r.all {
		if s == r.s {
			continue
		}
		group.Go(func() {
			for {
				if err := s.idle(); err != nil {
					r.Errorf("%s, at rest: %v", s.name, err)
					return
				}
				select {
				case <-time.After(time.Second):
				case <-done:
					return
				}
			}
		})
	}
	return func() { close(done); group.Wait() }
}

// settle waits until the switches do next to nothing (both put off the freeing of memory), for 10 s at most.
func (r *round) settle() {
	busy := func() (sum time.Duration) {
		for _, s := range r.all {
			sum += s.used()
		}
		return sum
	}
	for end, calm := time.Now().Add(10*time.Second), 0; calm < 3 && time.Now().Before(end); {
		before := busy()
		time.Sleep(100 * time.Millisecond)
		if calm++; busy()-before > 5*time.Millisecond {
			calm = 0
		}
	}
}

// buildWeir makes the program once.
func buildWeir(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "weir")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", bin, "./agent/cmd/weir")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}
