package agent

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// ticks counts what is armed on a clock.
type ticks struct {
	*ManualClock
	armed atomic.Int64
}

func (c *ticks) AfterFunc(d time.Duration, f func()) Timer {
	c.armed.Add(1)
	return c.ManualClock.AfterFunc(d, f)
}

// in is how many were armed while the clock went on.
func (c *ticks) in(d time.Duration) int64 {
	was := c.armed.Load()
	c.Advance(d)
	return c.armed.Load() - was
}

// A switch in which nothing can time out looks seldom, and often again as soon as entries change.
func TestExpireRests(t *testing.T) {
	c := new(ticks)
	b := newBench(t, 2, func(_ *BridgeConfig, env *Env) {
		c.ManualClock = env.Clock.(*ManualClock)
		env.Clock = c
	})
	c.Advance(time.Second)
	if n := c.in(8 * time.Second); n > int64(8*time.Second/expireRest)+1 {
		t.Fatalf("at rest, %d ticks in 8 s", n)
	}
	b.send(1, frame(0xff, 9, "learned"))
	b.expect(frame(0xff, 9, "learned"), 2)
	if n := c.in(8 * time.Second); n > int64(8*time.Second/expireRest)+1 {
		t.Fatalf("with an address that is known for minutes, %d ticks in 8 s", n)
	}
	p := b.connect()
	p.send(add(5, openflow.NewMatch(), openflow.Output(2)))
	p.barrier()
	if n := c.in(expireEvery); n == 0 {
		t.Fatalf("no tick in %v after entries changed", expireEvery)
	}
}

// However long the switch has rested and whenever an entry comes, it goes within the promised tenth of a second.
func TestExpireInTimeAfterRest(t *testing.T) {
	const promise = 100 * time.Millisecond
	b := newBench(t, 2)
	for _, at := range []time.Duration{0, 10, 130, 290, 399, 400, 7777} {
		b.clock.Advance(3*time.Second + at*time.Millisecond)
		m := add(5, openflow.NewMatch(), openflow.Output(2))
		m.HardTimeout = 1
		p := b.connect()
		p.send(m)
		p.barrier()
		with := b.sw.pipe.Len()
		b.clock.Advance(time.Second - time.Millisecond)
		if n := b.sw.pipe.Len(); n != with {
			t.Fatalf("+%d ms: %d entries too early, want %d", at, n, with)
		}
		b.clock.Advance(time.Millisecond + promise)
		if n := b.sw.pipe.Len(); n != with-1 {
			t.Fatalf("+%d ms: %d entries %v after the timeout, want %d", at, n, promise, with-1)
		}
	}
}

// An address that the switch has learned while it rested is forgotten in time, too.
func TestMACExpiresInTimeAfterRest(t *testing.T) {
	b := newBench(t, 2, func(cfg *BridgeConfig, _ *Env) { cfg.MACTable.Age = time.Second })
	b.clock.Advance(3*time.Second + 10*time.Millisecond)
	b.send(1, frame(0xff, 9, "learned"))
	b.expect(frame(0xff, 9, "learned"), 2)
	b.clock.Advance(time.Second - time.Millisecond)
	if n := len(b.sw.pipe.MACs(b.clock.Now())); n != 1 {
		t.Fatalf("%d addresses before their age, want 1", n)
	}
	b.clock.Advance(101 * time.Millisecond)
	if n := len(b.sw.pipe.MACs(b.clock.Now())); n != 0 {
		t.Fatalf("%d addresses after their age", n)
	}
}
