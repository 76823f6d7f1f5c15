package main

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net"
	"sync"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
	"github.com/weirswitch/weir/ports"
)

// patience is real time, and for what should not happen: a switch that hangs.
const patience = 20 * time.Second

// manyEvents is more than a run without a loop has.
const manyEvents = 100_000

// place is a port of a switch (port 1, 2...) or, as port 0, a host.
type place struct{ node, port int }

// wire leads to the place at its other end. The two directions of a link are two wires.
type wire struct {
	to    place
	delay time.Duration
}

// network is switches and hosts, the links between them, and what is going to happen. One goroutine owns it: it takes
// the next event, moves the clock to it, and waits until the switch concerned has settled before it takes another.
type network struct {
	clock    *agent.ManualClock
	events   queue
	count    int
	switches []*node
	hosts    []*host
	wires    map[place]wire
	control  *controller
	log      io.Writer
	sum      hash.Hash
}

// node is one switch with the other ends of its ports and the controller's end of its connection.
type node struct {
	name string
	id   int
	sw   *agent.Switch
	ends []*ports.Pipe
	c    *oftest.Controller

	mu  sync.Mutex
	ins []*openflow.PacketIn // that the controller has not seen yet
}

// event is something that happens at a moment; two of one moment happen in the order in which they were planned.
type event struct {
	at  time.Duration
	seq int
	do  func() error
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(e any)   { *q = append(*q, e.(event)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

func newNetwork(log io.Writer) *network {
	n := &network{clock: new(agent.ManualClock), wires: map[place]wire{}, sum: sha256.New()}
	n.log = io.MultiWriter(log, n.sum)
	n.control = &controller{net: n}
	return n
}

// say writes a line of the log, whose hash tells whether two runs went the same way.
func (n *network) say(format string, args ...any) {
	fmt.Fprintf(n.log, "%11.3fms  %s\n", float64(n.clock.Now())/float64(time.Millisecond), fmt.Sprintf(format, args...))
}

// after plans an event.
func (n *network) after(d time.Duration, do func() error) {
	n.count++
	heap.Push(&n.events, event{n.clock.Now() + d, n.count, do})
}

// run lets everything happen that is planned, and what follows from it.
func (n *network) run() error {
	for len(n.events) > 0 {
		if n.count > manyEvents {
			return fmt.Errorf("%d events and no end: frames run in a circle", n.count)
		}
		e := heap.Pop(&n.events).(event)
		n.clock.Advance(e.at - n.clock.Now()) // the switches' own timers fall due in here
		if err := e.do(); err != nil {
			return fmt.Errorf("at %v: %w", n.clock.Now(), err)
		}
	}
	return nil
}

// addSwitch starts a switch and connects it with the controller.
func (n *network) addSwitch(name string, numPorts int, seed uint64) error {
	s := &node{name: name, id: len(n.switches)}
	n.switches = append(n.switches, s)
	pipes := new(ports.Pipes)
	cfg := agent.BridgeConfig{Name: name, DPID: uint64(s.id + 1), FailMode: agent.FailSecure, Tables: 1}
	for i := range numPorts {
		port := fmt.Sprintf("%s-%d", name, i+1)
		cfg.Ports = append(cfg.Ports, agent.PortConfig{Spec: ports.Spec{Number: uint32(i + 1), Name: port, Kind: ports.KindPipe, Target: port}})
	}
	var err error
	s.sw, err = agent.NewSwitch(cfg, agent.Env{Clock: n.clock, Seed: seed, Workers: 1, Identity: "simulation", Pipes: pipes})
	if err != nil {
		return err
	}
	if err := s.sw.Start(); err != nil {
		return err
	}
	for _, p := range cfg.Ports {
		end, err := pipes.End(p.Target)
		if err != nil {
			return err
		}
		s.ends = append(s.ends, end)
	}
	near, far := net.Pipe()
	go s.sw.Serve(near)
	s.c, err = oftest.New(far, oftest.Config{Timeout: patience, OnMessage: s.hear})
	return err
}

// hear is called by the connection's reader; the controller's turn comes in settle.
func (s *node) hear(_ uint32, m openflow.Message) {
	if in, ok := m.(*openflow.PacketIn); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ins = append(s.ins, in)
	}
}

func (n *network) close() error {
	for _, s := range n.switches {
		if s.c != nil {
			s.c.Close()
		}
		if s.sw != nil {
			if err := s.sw.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *network) connect(a, b place, delay time.Duration) {
	n.wires[a], n.wires[b] = wire{b, delay}, wire{a, delay}
}

// transmit plans the arrival of a frame at the other end of a wire.
func (n *network) transmit(from place, frame []byte) {
	w := n.wires[from]
	n.after(w.delay, func() error { return n.arrive(from, w.to, frame) })
}

func (n *network) arrive(from, at place, frame []byte) error {
	if at.port == 0 {
		n.hosts[at.node].receive(frame)
		return nil
	}
	s := n.switches[at.node]
	if !s.ends[at.port-1].Info().LinkUp {
		n.say("lost on the link to %s port %d: %s", s.name, at.port, describe(frame))
		return nil
	}
	n.say("%s port %d: %s", s.name, at.port, describe(frame))
	if err := s.ends[at.port-1].Inject(frame); err != nil {
		return err
	}
	return n.settle(s)
}

// settle waits until a switch has finished, puts on the wires what left it, and plans the controller's turn. Settle
// covers the frames and the PACKET_INs' way out; the barrier's answer comes behind them and so covers their reading.
func (n *network) settle(s *node) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.sw.Settle(ctx); err != nil {
		return err
	}
	if err := s.c.Barrier(); err != nil {
		return err
	}
	for i, end := range s.ends {
		for f, ok := end.TryReceive(); ok; f, ok = end.TryReceive() {
			n.transmit(place{s.id, i + 1}, f.Bytes())
		}
	}
	s.mu.Lock()
	ins := s.ins
	s.ins = nil
	s.mu.Unlock()
	for _, in := range ins {
		n.after(controlDelay, func() error { return n.control.packetIn(s, in) })
	}
	return nil
}

// cut takes a link between two switches down. The switches tell the controller; their PORT_STATUS come by goroutines
// of theirs, so they are waited for.
func (n *network) cut(from place) error {
	for _, p := range []place{from, n.wires[from].to} {
		s := n.switches[p.node]
		if err := s.ends[p.port-1].SetUp(false); err != nil {
			return err
		}
		_, err := oftest.Expect(s.c, func(m *openflow.PortStatus) bool {
			return m.Port.No == openflow.PortNo(p.port) && m.Port.State&openflow.PortLinkDown != 0
		})
		if err != nil {
			return fmt.Errorf("%s port %d: %w", s.name, p.port, err)
		}
		n.say("%s port %d: link down", s.name, p.port)
		n.after(controlDelay, func() error { n.control.linkDown(p); return nil })
	}
	return nil
}
