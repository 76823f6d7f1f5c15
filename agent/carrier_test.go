package agent

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// asked is a device that counts how often it is asked for its carrier.
type asked struct {
	ports.Port
	times *atomic.Int64
}

func (a asked) AskCarrier() { a.times.Add(1) }

// TestWatchedPortsAreAsked: a port is asked for its carrier as long as a fast failover group watches it, and no other is.
func TestWatchedPortsAreAsked(t *testing.T) {
	b := newBench(t, 2)
	c := b.controller()
	var watched, other atomic.Int64
	b.device(3, "watched", func(p ports.Port) ports.Port { return asked{p, &watched} })
	b.device(4, "other", func(p ports.Port) ports.Port { return asked{p, &other} })
	mod := func(command openflow.GroupCommand, typ openflow.GroupType, watch openflow.PortNo) openflow.Message {
		return &openflow.GroupMod{Command: command, Group: 1, Type: typ, Buckets: []openflow.Bucket{bucket(0, watch, openflow.Output(2))}}
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: watched %d times, other %d", what, watched.Load(), other.Load())
			}
		}
	}
	rests := func() bool { // nobody asks for a while
		before := watched.Load()
		time.Sleep(20 * carrierPause)
		return watched.Load() == before
	}
	if err := c.Apply(mod(openflow.GroupAdd, openflow.GroupTypeFastFailover, 3)); err != nil {
		t.Fatal(err)
	}
	until("asked", func() bool { return watched.Load() > 3 })
	if err := c.Apply(mod(openflow.GroupModify, openflow.GroupTypeSelect, openflow.PortAny)); err != nil {
		t.Fatal(err)
	}
	until("no longer asked", rests)
	if err := c.Bundle(mod(openflow.GroupModify, openflow.GroupTypeFastFailover, 3)); err != nil {
		t.Fatal(err)
	}
	was := watched.Load()
	until("asked again, for a bundle", func() bool { return watched.Load() > was })
	if err := b.sw.RemovePort("watched"); err != nil {
		t.Fatal(err)
	}
	until("a port that is gone", rests)
	if other.Load() != 0 {
		t.Errorf("a port that nobody watches was asked %d times", other.Load())
	}
}

// TestCarriersRest: ports by which nothing leaves are asked seldom, or a switch with a fast failover group would never be
// idle; and often again as soon as frames leave.
func TestCarriersRest(t *testing.T) {
	b := newBench(t, 2)
	c := b.controller()
	var times atomic.Int64
	port := b.device(3, "watched", func(p ports.Port) ports.Port { return asked{p, &times} })
	if err := c.Apply(&openflow.GroupMod{Command: openflow.GroupAdd, Group: 1, Type: openflow.GroupTypeFastFailover,
		Buckets: []openflow.Bucket{bucket(0, 3, openflow.Output(3))}}); err != nil {
		t.Fatal(err)
	}
	const looks = 40
	within := func(d time.Duration, work func()) int64 {
		before := times.Load()
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(carrierPause / 4) {
			work()
		}
		return times.Load() - before
	}
	eventually(t, "asked seldom", func() bool { return within(looks*carrierPause, func() {}) <= looks/4 })
	eventually(t, "asked often", func() bool {
		return within(looks*carrierPause, func() { port.counters.TxPackets.Add(1) }) > looks/2
	})
}
