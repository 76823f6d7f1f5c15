package benchlab

import (
	"errors"
	"fmt"
	"time"

	"github.com/weirswitch/weir/integration/bench"
	"github.com/weirswitch/weir/openflow"
)

const mpps = "Mpps"

// speed is what came out of the switch and what was put in, in millions of frames a second, and the processor time of the
// switch for each that came out, in ns; 0 for one in the kernel.
type speed struct{ delivered, offered, cost float64 }

// flood sends the frames of n flows through the switch, and measures when it has warmed up. What meanwhile does happens
// while it is measured; it may be nil.
func (c *run) flood(how starter, n int, meanwhile func(stop <-chan struct{}) error) (v speed, err error) {
	if how.name != ordinary.name { // and off again, for merged frames would be too long for a packet socket
		if err := set(c.ctx, c.s.lab.Switch, "p1", "gro", "on"); err != nil {
			return v, err
		}
		defer func() { _ = set(c.ctx, c.s.lab.Switch, "p1", "gro", "off") }()
	}
	undo, err := c.s.sink()
	if err != nil {
		return v, err
	}
	defer undo()
	src, err := how.start(c.s.from(), makeFrames(n, c.s.from().MAC, c.s.to().MAC))
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, src.stop()) }()
	before, err := received(c.s.meter())
	if err != nil {
		return v, err
	}
	if _, err := c.arrives(before); err != nil {
		return v, err
	}
	warm := c.o.length / 4
	if c.s.opens { // Open vSwitch meets the first frame of each flow one by one
		warm += time.Duration(min(n, 200000)) * c.o.perFlow
	}
	if err := c.wait(warm); err != nil {
		return v, err
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		if meanwhile != nil {
			done <- meanwhile(stop)
		}
		close(done)
	}()
	v, err = c.window()
	close(stop)
	if failed := <-done; err == nil {
		err = failed
	}
	return v, err
}

// arrives waits until more frames have been counted than before.
func (c *run) arrives(before uint64) (uint64, error) {
	for end := time.Now().Add(bench.Patience); ; {
		n, err := received(c.s.meter())
		if err != nil || n > before {
			return n, err
		}
		if time.Now().After(end) {
			return n, errors.New("nothing is delivered")
		}
		if err := c.wait(time.Millisecond); err != nil {
			return n, err
		}
	}
}

// window reads both counters at the beginning and at the end. It lasts until something was delivered.
func (c *run) window() (v speed, err error) {
	in0, err := received(c.s.lab.Switch, "p1")
	if err != nil {
		return v, err
	}
	in0At := time.Now()
	out0, err := received(c.s.meter())
	if err != nil {
		return v, err
	}
	out0At, used0 := time.Now(), c.s.used()
	if err := c.wait(c.o.length); err != nil {
		return v, err
	}
	out1, err := c.arrives(out0)
	if err != nil {
		return v, err
	}
	v.delivered = float64(out1-out0) / time.Since(out0At).Seconds() / 1e6
	v.cost = float64(c.s.used()-used0) / float64(out1-out0)
	in1, err := received(c.s.lab.Switch, "p1")
	v.offered = float64(in1-in0) / time.Since(in0At).Seconds() / 1e6
	return v, err
}

// sources measures what each source reaches at most: the ceiling of all other rows.
func (c *run) sources() error {
	for _, how := range []starter{ordinary, bursts, steady} {
		for _, n := range []int{1, c.o.many} {
			v, err := c.flood(how, n, nil)
			if err != nil {
				return err
			}
			what := "1 flow"
			if n > 1 {
				what = fmt.Sprintf("%d flows", n)
			}
			c.add(bench.Row{Name: how.name + ", " + what, Unit: mpps}, v.delivered)
		}
	}
	return nil
}

// used is the processor time of the switch's process.
func (s *sut) used() time.Duration {
	if p := s.process(); p != nil {
		return bench.Used(p)
	}
	return 0
}

// cables measures small frames of one flow through the simplest of pipelines.
func (c *run) cables() error {
	for _, how := range []starter{ordinary, bursts, steady} {
		v, err := c.flood(how, 1, nil)
		if err != nil {
			return err
		}
		offered := bench.Row{Name: "offered, " + how.name, Unit: mpps}
		w := bench.Row{Name: "delivered, " + how.name, Unit: mpps, Goals: loaded(bench.Goal{Of: nameRing, Factor: 0.95})}
		if how.name == ordinary.name {
			w.Goals = nil
			for _, name := range []string{bench.Weir, nameXSK, namePoll, nameXPoll} {
				w.Goals = append(w.Goals, bench.Goal{By: name, Of: name, Row: offered.Name, Factor: 0.98})
			}
		}
		c.add(w, v.delivered)
		c.add(offered, v.offered)
		if how.name == steady.name && v.cost > 0 {
			c.add(bench.Row{Name: "processor time for each, " + how.name, Unit: "ns", Less: true}, v.cost)
		}
	}
	if !c.s.opens && c.s.name != nameBridge {
		return nil
	}
	if c.s.opens {
		if _, err := c.s.Finish(learning()); err != nil {
			return err
		}
		if err := c.s.pass(c.ctx); err != nil {
			return err
		}
		defer c.s.Finish(cable())
	}
	v, err := c.flood(bursts, 1, nil)
	if err == nil {
		c.add(bench.Row{Name: "delivered by a learning switch, " + bursts.name, Unit: mpps, Goals: loaded()}, v.delivered)
	}
	return err
}

// loaded are the goals of weir on either kind of socket, waited for or polled, when more is offered than it can take, and more of them.
func loaded(more ...bench.Goal) (all []bench.Goal) {
	for _, by := range []string{"", nameXSK, namePoll, nameXPoll} {
		for _, g := range append([]bench.Goal{{Of: nameAFXDP, Factor: 1.5}, {Of: nameOVS, Factor: 4}}, more...) {
			g.By = by
			all = append(all, g)
		}
	}
	return all
}

// tables measures tables of mixed masks with as many flows as rules, beside one rule with one flow. What many flows cost
// without any table a bare forwarder shows, and how much of its own rate each of them keeps.
func (c *run) tables() error {
	own := bench.Row{Name: "1 rule, 1 flow", Unit: mpps}
	one, err := c.flood(steady, 1, nil)
	if err != nil {
		return err
	}
	c.add(own, one.delivered)
	if c.s.opens {
		defer c.s.Finish(cable())
	}
	for _, n := range c.o.tables {
		if c.s.opens {
			if _, err := c.s.Finish(table(n)); err != nil {
				return err
			}
		}
		v, err := c.flood(steady, n, nil)
		if err != nil {
			return fmt.Errorf("%d rules: %w", n, err)
		}
		c.add(bench.Row{Name: fmt.Sprintf("%d rules of %d masks, as many flows", n, masks), Unit: mpps,
			Goals: []bench.Goal{{Of: bench.Weir, Row: own.Name, Factor: 0.95}}}, v.delivered)
		c.add(bench.Row{Name: fmt.Sprintf("%d flows, of the rate with one", n), Unit: "x",
			Goals: []bench.Goal{{Of: nameRing, Factor: 0.95}}}, v.delivered/one.delivered)
	}
	return nil
}

// churn measures a table at rest and then while the controller changes it all the time.
func (c *run) churn() error {
	n := c.o.churned
	if _, err := c.s.Finish(table(n + modSpan)); err != nil {
		return err
	}
	defer c.s.Finish(cable())
	rest := bench.Row{Name: fmt.Sprintf("%d rules, at rest", n), Unit: mpps}
	v, err := c.flood(steady, n, nil)
	if err != nil {
		return err
	}
	c.add(rest, v.delivered)
	if v, err = c.flood(steady, n, func(stop <-chan struct{}) error { return c.modify(stop, n) }); err != nil {
		return err
	}
	c.add(bench.Row{Name: fmt.Sprintf("%d rules, under %d FLOW_MODs/s", n, modRate), Unit: mpps,
		Goals: []bench.Goal{{Of: bench.Weir, Row: rest.Name, Factor: 0.8}}}, v.delivered)
	return nil
}

// modRate is how many FLOW_MODs are sent a second; every other one takes away what is modSpan rules old.
const (
	modRate = 1000
	modSpan = 100
)

// modify adds and deletes rules like those that the frames meet, at a steady rate, with a barrier after each hundredth of
// a second.
func (c *run) modify(stop <-chan struct{}, n int) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	start, sent := time.Now(), 0
	for {
		select {
		case <-stop:
			if s := time.Since(start).Seconds(); float64(sent) < 0.9*s*modRate {
				c.note("%s carried out %.0f FLOW_MODs a second of %d", c.s.name, float64(sent)/s, modRate)
			}
			return nil
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-tick.C:
		}
		due := int(time.Since(start).Seconds()*modRate) - sent
		stream := bench.Encode(due, func(i int) openflow.Message {
			k := (sent + i) / 2
			if (sent+i)%2 == 0 {
				return rule(n+modSpan+k, openflow.FlowAdd)
			}
			return rule(n+k, openflow.FlowDeleteStrict)
		})
		sent += due
		if _, err := c.s.Finish(stream); err != nil {
			return err
		}
	}
}
