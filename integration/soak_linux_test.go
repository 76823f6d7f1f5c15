package integration

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/cable"
	"github.com/weirswitch/weir/integration/lab"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// soakTime is how long TestSoak goes on. The few seconds of every run only show that it works; "make soak" means it.
var soakTime = flag.Duration("soak", 6*time.Second, "how long TestSoak runs; a minute or more also judges memory")

// usage is what a process holds.
type usage struct {
	rss          int // KiB
	fds, threads int
}

func (u usage) String() string {
	return fmt.Sprintf("%d KiB resident, %d descriptors, %d threads", u.rss, u.fds, u.threads)
}

var statusLine = regexp.MustCompile(`(?m)^(VmRSS|Threads):\s+(\d+)`)

func usageOf(t *testing.T, pid int) (u usage) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range statusLine.FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.Atoi(m[2])
		if m[1] == "VmRSS" {
			u.rss = n
		} else {
			u.threads = n
		}
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	u.fds = len(fds)
	return u
}

// goroutines ends a weir by SIGQUIT and counts the goroutines in what the runtime prints then.
func (w *weir) goroutines(t *testing.T) int {
	t.Helper()
	if err := w.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.Done():
	case <-time.After(patience):
		t.Fatal("SIGQUIT did not end weir")
	}
	n := strings.Count(w.Output(), "\ngoroutine ")
	if n == 0 {
		t.Fatalf("no goroutines in:\n%s", w.Output())
	}
	return n
}

// soak is what TestSoak runs.
type soak struct {
	*bed
	t     *testing.T
	ports []*port
	flows map[uint32]*flow
	file  string // the configuration

	wg    sync.WaitGroup
	stop  chan struct{} // closed: no more frames and changes
	done  chan struct{} // closed: nothing more is taken in
	reads sync.WaitGroup
}

// soakRate is how many frames a second each lane has.
const soakRate = 150

// newSoak lays two cables of each of four kinds that stay, and one of each that flaps, with lanes within the kind and
// from one to the next.
func newSoak(t *testing.T) *soak {
	s := &soak{bed: newBed(t), t: t, flows: map[uint32]*flow{}, stop: make(chan struct{}), done: make(chan struct{})}
	kit, err := cable.NewKit(s.Switch, s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	lay := func(kind, name string, flaps bool) *port {
		c, err := kit.Lay(kind, name)
		if err != nil {
			t.Fatal(err)
		}
		p := &port{no: openflow.PortNo(len(s.ports) + 1), cable: c, flaps: flaps}
		s.ports = append(s.ports, p)
		return p
	}
	lanes := 0
	join := func(from, to *port) {
		l := newLane(lanes, from, to)
		lanes++
		for _, f := range l.flows {
			s.flows[f.id] = f
		}
	}
	var first, before *port
	for i, kind := range []string{"afpacket", "xdp", "tap", "wire:unixgram"} {
		in, out, flapping := lay(kind, fmt.Sprintf("in%d", i), false), lay(kind, fmt.Sprintf("out%d", i), false), lay(kind, fmt.Sprintf("flap%d", i), true)
		join(in, out)
		join(in, flapping)
		join(flapping, out)
		if before == nil {
			first = in
		} else {
			join(before, in)
		}
		before = out
	}
	join(before, first)
	s.addHosts(5)
	return s
}

// run starts a switch with all ports. Hosts speak in pairs.
func (s *soak) run() *weir {
	s.t.Helper()
	s.file = s.write("soak.yaml", soakConfig(s.Dir(), s.ports, s.Hosts(), false))
	w := s.launch("-c", s.file)
	w.ready("br0")
	return w
}

// repeat does something again and again; the last of a round of steps is waited for.
func (s *soak) repeat(every time.Duration, round int, f func(n int) error) {
	s.wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			<-tick.C
			select {
			case <-s.stop:
				if n%round == 0 {
					return
				}
			default:
			}
			if err := f(n); err != nil {
				s.t.Error(err)
				return
			}
		}
	})
}

// begin installs the entries and plugs all cables in.
func (s *soak) begin(ctl *oftest.Controller) *churner {
	s.t.Helper()
	changes := &churner{ctl: ctl, flows: s.flows, ports: s.ports}
	if err := changes.begin(); err != nil {
		s.t.Fatal(err)
	}
	for i := range openflow.PortNo(5) {
		e := oftest.AddFlow(0, 900, openflow.NewMatch(openflow.Exact(openflow.InPort, uint64(firstHost+i))), openflow.ApplyActions(openflow.Output((firstHost+i)^1)))
		e.Cookie = uint64(firstHost + i)
		if err := ctl.Apply(e); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, p := range s.ports {
		if err := p.cable.Plug(); err != nil {
			s.t.Fatal(err)
		}
	}
	eventually(s.t, "all links are up", func() error {
		for _, p := range s.ports {
			if isPortDown(s.bed, p) {
				return fmt.Errorf("port %d is down", p.no)
			}
		}
		return nil
	})
	pingAll(s.t, s.Hosts()[:2])
	pingAll(s.t, s.Hosts()[2:4])
	return changes
}

func isPortDown(b *bed, p *port) bool {
	var list []struct {
		Number uint32 `json:"number"`
		LinkUp bool   `json:"link_up"`
	}
	err := json.Unmarshal([]byte(b.cli("ports", "br0", "--json")), &list)
	for _, q := range list {
		if q.Number == uint32(p.no) {
			return !q.LinkUp
		}
	}
	return err != nil
}

// churn starts all that changes beside the frames.
func (s *soak) churn(changes *churner) (flaps *atomic.Int64) {
	flaps = new(atomic.Int64)
	s.repeat(100*time.Millisecond, 1, changes.turn)
	for _, p := range s.ports {
		if p.flaps {
			s.repeat(400*time.Millisecond+time.Duration(p.no)*10*time.Millisecond, 6, flapper{p, changes.ctl, flaps}.turn)
		}
	}
	s.repeat(2*time.Second, 2, func(n int) error {
		return s.rewrite(s.file, soakConfig(s.Dir(), s.ports, s.Hosts(), n%2 == 0))
	})
	s.repeat(3*time.Second, 1, func(int) error {
		_, err := s.try("ovs-ofctl", "-O", "OpenFlow13", "dump-groups", "br0")
		return err
	})
	h := s.Hosts()
	for _, pair := range [][2]*lab.Host{{h[0], h[1]}, {h[2], h[3]}} {
		s.repeat(time.Millisecond, 1, func(int) error {
			_, err := lab.Transfer{From: pair[0].Space, To: pair[1].Space, Addr: pair[1].Addr4(), Bytes: 4e6, Rate: 2e6, Limit: 5 * time.Minute}.Run()
			return err
		})
	}
	s.wg.Go(func() {
		calls, err := fickle(filepath.Join(s.Dir(), "fickle"), s.stop)
		s.t.Logf("a controller was called %d times", calls)
		if err != nil {
			s.t.Error(err)
		}
	})
	return flaps
}

// TestSoak lets numbered frames run over ports of four kinds, those that stay and those that come and go, and TCP beside
// them, while entries, groups and meters change a thousand times a second, controllers hang up, and the configuration is
// loaded again. No frame may be lost without being counted, come twice or be overtaken in its flow; every counter must
// agree with every other and with what was sent; and the switch holds no more afterwards than before.
func TestSoak(t *testing.T) {
	need(t, "ovs-ofctl")
	needRoot(t)
	s := newSoak(t)
	fresh := s.run().goroutines(t)
	w := s.run()
	var changes *churner
	ctl, err := oftest.Dial("unix", filepath.Join(s.rundir, "br0.mgmt"), oftest.Config{Timeout: patience, KeepNone: true,
		OnMessage: func(xid uint32, m openflow.Message) { changes.hear(xid, m) }})
	if err != nil {
		t.Fatal(err)
	}
	changes = s.begin(ctl)
	if err := ctl.Apply(&openflow.SetAsync{AsyncConfig: openflow.AsyncConfig{FlowRemoved: [2]uint32{15, 0}}}); err != nil {
		t.Fatal(err)
	}
	audit := &auditor{t: t, bed: s.bed, ctl: ctl, ports: s.ports, flows: s.flows}
	audit.was = audit.settled()
	for _, p := range s.ports {
		s.reads.Go(func() { p.drive(t, soakRate, s.flows, s.stop, s.done) })
	}
	flaps := s.churn(changes)

	samples := []usage{}
	for start := time.Now(); time.Since(start) < *soakTime && !t.Failed(); time.Sleep(min(*soakTime/60, 5*time.Second)) {
		samples = append(samples, usageOf(t, w.PID()))
	}
	t.Logf("%v of processor time in %v", cpuOf(t, w.PID()), *soakTime)
	close(s.stop)
	s.wg.Wait()
	audit.now = audit.settled()
	close(s.done)
	s.reads.Wait()
	t.Logf("%d changes of entries, groups and meters; %d steps of ports that flap", changes.count, flaps.Load())
	audit.audit()
	judgeUsage(t, samples)
	ctl.Close()
	eventually(t, "no tool is connected", func() error {
		if text := s.cli("status", "br0"); strings.Contains(text, "tool ") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	t.Logf("at the end %v", usageOf(t, w.PID()))
	if n := w.goroutines(t); n > fresh+2 {
		t.Errorf("%d goroutines, a fresh weir has %d:\n%s", n, fresh, w.Output())
	} else {
		t.Logf("%d goroutines, a fresh weir has %d", n, fresh)
	}
}

// cpuOf is the processor time that a process has used.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// judgeUsage compares the second fifth of the samples, when all is warm, with the last.
func judgeUsage(t *testing.T, samples []usage) {
	t.Helper()
	n := len(samples) / 5
	if n == 0 {
		t.Fatalf("only %d samples", len(samples))
	}
	most := func(list []usage) (u usage) {
		for _, s := range list {
			u = usage{max(u.rss, s.rss), max(u.fds, s.fds), max(u.threads, s.threads)}
		}
		return u
	}
	early, late := most(samples[n:2*n]), most(samples[len(samples)-n:])
	t.Logf("early: at most %v; late: at most %v", early, late)
	if *soakTime >= time.Minute && late.rss > early.rss*11/10+4096 {
		t.Errorf("memory grew from %d to %d KiB", early.rss, late.rss)
	}
	if late.fds > early.fds+4 { // tools come and go
		t.Errorf("descriptors grew from %d to %d", early.fds, late.fds)
	}
}
