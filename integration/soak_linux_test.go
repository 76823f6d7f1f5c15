package integration

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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

// soaked is a switch with four hosts for TestSoak.
func (b *bed) soaked() *weir {
	b.t.Helper()
	w := b.launch("--name", "br0", "--port", "1:eth1", "--port", "2:eth2", "--port", "3:eth3", "--port", "4:eth4")
	w.ready("br0")
	pingAll(b.t, b.Hosts())
	return w
}

// TestSoak lets traffic, changes of entries, groups and meters, links that come and go, and tools that connect and leave
// work on one switch, and demands that it holds no more afterwards than before.
func TestSoak(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	hosts := b.addHosts(4)
	fresh := b.soaked().goroutines(t)
	w := b.soaked()
	ctl, err := oftest.Dial("unix", filepath.Join(b.rundir, "br0.mgmt"), oftest.Config{Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	repeat := func(every time.Duration, f func(n int) error) {
		wg.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				if err := f(n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	changes := &churner{ctl: ctl}
	if err := changes.begin(); err != nil {
		t.Fatal(err)
	}
	repeat(100*time.Millisecond, changes.turn)
	repeat(500*time.Millisecond, func(n int) error { return flap(hosts[3], n) })
	repeat(time.Second, func(int) error {
		_, err := b.try("ovs-ofctl", "-O", "OpenFlow13", "dump-groups", "br0")
		return err
	})
	repeat(time.Millisecond, func(int) error {
		_, err := lab.Transfer{From: hosts[1].Space, To: hosts[2].Space, Addr: hosts[2].Addr4(), Bytes: 20e6, Rate: 20e6, Limit: 5 * time.Minute}.Run()
		return err
	})
	stream, err := lab.StartStream(hosts[0].Space, hosts[1].Space, hosts[1].Addr4(), 2000, 200)
	if err != nil {
		t.Fatal(err)
	}

	samples := []usage{}
	for start := time.Now(); time.Since(start) < *soakTime && !t.Failed(); time.Sleep(min(*soakTime/60, 5*time.Second)) {
		samples = append(samples, usageOf(t, w.PID()))
	}
	close(stop)
	wg.Wait()
	report := stream.Stop()
	ctl.Close()
	t.Logf("%d changes of entries, groups and meters; the stream beside them: %v", changes.count, report)
	if report.Lost() > report.Sent/1000 || report.Doubled > 0 {
		t.Errorf("the stream: %v", report)
	}
	judgeUsage(t, samples)
	eventually(t, "no tool is connected", func() error {
		if text := b.cli("status", "br0"); strings.Contains(text, "tool ") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	after := usageOf(t, w.PID())
	t.Logf("at the end %v", after)
	if n := w.goroutines(t); n > fresh+2 {
		t.Errorf("%d goroutines, a fresh weir has %d:\n%s", n, fresh, w.Output())
	} else {
		t.Logf("%d goroutines, a fresh weir has %d", n, fresh)
	}
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

// flap takes a host's link down and up again, and now and then away.
func flap(h *lab.Host, n int) error {
	switch {
	case n%10 == 8:
		return h.Unplug()
	case n%10 == 9:
		return h.Plug()
	case n%2 == 0:
		return h.LinkDown("eth0")
	}
	return h.LinkUp("eth0")
}

// churner changes a switch's entries, groups and meters without an end, and keeps as many as there were.
type churner struct {
	ctl   *oftest.Controller
	live  []openflow.Match
	count int
}

// begin installs what the traffic goes through: UDP of the first host by a group and a meter.
func (c *churner) begin() error {
	udp := proto(0x0800, 17, openflow.Exact(openflow.InPort, 1))
	if err := c.ctl.Apply(c.group(openflow.GroupAdd, 1), c.meter(openflow.MeterAdd, 1)); err != nil {
		return err
	}
	return c.ctl.Apply(oftest.AddFlow(0, 30000, udp, openflow.Instruction{Type: openflow.InstructionMeter, Meter: 1},
		openflow.ApplyActions(openflow.Group(1))))
}

// group is fast failover to the second host, never to be moved, with buckets that differ each time.
func (c *churner) group(cmd openflow.GroupCommand, id uint32) *openflow.GroupMod {
	bucket := func(port openflow.PortNo) openflow.Bucket {
		return openflow.Bucket{WatchPort: port, WatchGroup: openflow.GroupAny, Actions: openflow.NewActions(openflow.Output(port))}
	}
	list := []openflow.Bucket{bucket(2), bucket(4)}
	return &openflow.GroupMod{Command: cmd, Type: openflow.GroupTypeFastFailover, Group: id, Buckets: list[:1+c.count%2]}
}

func (c *churner) meter(cmd openflow.MeterCommand, id uint32) *openflow.MeterMod {
	return &openflow.MeterMod{Command: cmd, Meter: id, Flags: openflow.MeterPktps,
		Bands: []openflow.Band{{Type: openflow.BandDrop, Rate: 50_000 + uint32(c.count%1000)}}}
}

// turn makes twenty changes of entries and some of groups and meters, ten times a second.
func (c *churner) turn(n int) error {
	const most = 2000
	list := []openflow.Message{c.group(openflow.GroupModify, 1), c.meter(openflow.MeterModify, 1)}
	other := uint32(2 + n/2%50)
	if n%2 == 0 {
		list = append(list, c.group(openflow.GroupAdd, other), c.meter(openflow.MeterAdd, other))
	} else {
		list = append(list, &openflow.GroupMod{Command: openflow.GroupDelete, Group: other}, &openflow.MeterMod{Command: openflow.MeterDelete, Meter: other})
	}
	for range 20 {
		if len(c.live) >= most || len(c.live) > 100 && rand.IntN(3) == 0 {
			m := oftest.AddFlow(0, 100, c.live[0])
			m.Command = openflow.FlowDeleteStrict
			c.live = slices.Delete(c.live, 0, 1)
			list = append(list, m)
			continue
		}
		m := proto(0x0800, 6, openflow.Exact(openflow.TCPDst, uint64(rand.IntN(1000))), openflow.Exact(openflow.IPv4Dst, uint64(0x0b000000+rand.IntN(1<<20))))
		c.live = append(c.live, m)
		list = append(list, oftest.AddFlow(0, 100, m, openflow.ApplyActions(openflow.Output(openflow.PortNo(1+rand.IntN(4))))))
	}
	c.count += len(list)
	return c.ctl.Apply(list...)
}
