package agent

import (
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/ports"
)

// companion is a port that closes only while all others do.
type companion struct {
	stuffed
	closed  chan struct{} // by Close
	all     *sync.WaitGroup
	failure error
}

func (c *companion) Wait() error {
	<-c.closed
	return ports.ErrClosed
}

func (c *companion) Close() error {
	close(c.closed)
	c.all.Done()
	met := make(chan struct{})
	go func() {
		c.all.Wait()
		close(met)
	}()
	select {
	case <-met:
		return c.failure
	case <-time.After(inTime):
		return errors.New("closed alone")
	}
}

// The kernel takes its time to close a device, and the same time to close many.
func TestPortsCloseSideBySide(t *testing.T) {
	b := newBench(t, 0)
	var all sync.WaitGroup
	all.Add(3)
	for i, name := range []string{"x1", "x2", "x3"} {
		c := &companion{closed: make(chan struct{}), all: &all}
		if i == 1 {
			c.failure = errors.New("would not go")
		}
		b.sw.ops.Lock()
		p, err := b.sw.newPort(pipeConfig(name, 0))
		if err != nil {
			t.Fatal(err)
		}
		p.dev = c
		b.sw.join(p)
		b.sw.ops.Unlock()
	}
	b.sw.ops.Lock()
	err := b.sw.takeOut(b.sw.table.Load().list...)
	b.sw.ops.Unlock()
	if err == nil || err.Error() != "port x2: would not go" {
		t.Errorf("the error is %v, want that of x2 alone", err)
	}
	if n := len(b.sw.table.Load().list); n != 0 {
		t.Errorf("%d ports are left", n)
	}
	if n, err := b.sw.AddPort(pipeConfig("x2", 0)); n != 2 || err != nil {
		t.Errorf("x2 came back as %d, %v; want its number", n, err)
	}
}

// A switch of which one port cannot be opened keeps none of the others open.
func TestStartWithABadPortOpensNone(t *testing.T) {
	held, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	free := "127.0.0.1:" + freeTCP(t)
	cfg := testConfig()
	for _, at := range []string{free, held.LocalAddr().String()} {
		spec, err := ports.ParseSpec("wire:udp,local=" + at + ",remote=127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Ports = append(cfg.Ports, PortConfig{Spec: spec})
	}
	sw, err := NewSwitch(cfg, Env{Clock: new(ManualClock)})
	if err != nil {
		t.Fatal(err)
	}
	if err = sw.Start(); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("Start with an address in use: %v", err)
	}
	again, err := net.ListenPacket("udp", free)
	if err != nil {
		t.Fatalf("the other port was left open: %v", err)
	}
	again.Close()
}

// Two ports of a switch that starts have neither a name nor a number in common, also when no file's check has seen them.
func TestStartWithPortsThatClash(t *testing.T) {
	for want, list := range map[string][]PortConfig{
		`bridge br0 has a port "x" already: take it out first, or give the new one another name`: {pipeConfig("x", 0), pipeConfig("x", 2)},
		`port number 1 of "y" is taken by "x": choose another, or leave it out`:                  {pipeConfig("x", 1), pipeConfig("y", 1)},
	} {
		cfg := testConfig()
		cfg.Ports = list
		sw, err := NewSwitch(cfg, Env{Clock: new(ManualClock)})
		if err != nil {
			t.Fatal(err)
		}
		if err = sw.Start(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		sw.Close()
	}
}

func TestSideBySide(t *testing.T) {
	for _, n := range []int{0, 1, 2, mostAtOnce, 3*mostAtOnce + 1} {
		var mu sync.Mutex
		seen, now, most := map[int]int{}, 0, 0
		sideBySide(n, func(i int) {
			mu.Lock()
			seen[i]++
			now++
			most = max(most, now)
			mu.Unlock()
			mu.Lock()
			now--
			mu.Unlock()
		})
		for i := range n {
			if seen[i] != 1 {
				t.Errorf("%d of %d was done %d times", i, n, seen[i])
			}
		}
		if len(seen) != n || now != 0 || most > mostAtOnce {
			t.Errorf("%d of %d, %d at the end, %d at once", len(seen), n, now, most)
		}
	}
}
