package main

import (
	"encoding/binary"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

const (
	// controlDelay is how long a message takes between a switch and the controller.
	controlDelay = 500 * time.Microsecond
	// calm is how long the controller waits for more news of links before it makes a tree.
	calm = 20 * time.Millisecond
)

// controller finds the links by probes, makes one tree of them, and learns behind which port of which switch each host
// is. Slices, not maps, wherever an order could show.
type controller struct {
	net     *network
	links   [][]place // by switch and port: the other end; node -1: none, so a host's
	tree    [][]bool  // by switch and port: frames may use it
	next    [][]int   // by switch and destination switch: the port that leads there
	places  map[string]place
	changes int // of links; the tree is made when they stop
}

// begin installs the entries that bring probes and unknown frames here, and sends a probe out of every port.
func (c *controller) begin() error {
	c.places = map[string]place{}
	for _, s := range c.net.switches {
		c.links = append(c.links, make([]place, len(s.ends)))
		for i := range s.ends {
			c.links[s.id][i].node = -1
		}
		if err := s.c.Apply(c.basics(s)...); err != nil {
			return err
		}
	}
	for _, s := range c.net.switches {
		for i := range s.ends {
			if err := c.send(s, openflow.PortController, probe(s.id, i+1), i+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func toController() openflow.Instruction {
	return openflow.ApplyActions(openflow.Output(openflow.PortController))
}

// basics empty a switch's table but for probes, the ports outside the tree and, once there is a tree, unknown frames.
func (c *controller) basics(s *node) []openflow.Message {
	list := []openflow.Message{
		oftest.DeleteFlows(openflow.Match{}),
		oftest.AddFlow(0, 300, openflow.NewMatch(openflow.Exact(openflow.EthType, typeProbe)), toController()),
	}
	if c.tree == nil {
		return list
	}
	for i, used := range c.tree[s.id] {
		if !used {
			list = append(list, oftest.AddFlow(0, 200, openflow.NewMatch(openflow.Exact(openflow.InPort, uint64(i+1)))))
		}
	}
	return append(list, oftest.AddFlow(0, 0, openflow.Match{}, toController()))
}

// send has a switch send a frame by some ports.
func (c *controller) send(s *node, in openflow.PortNo, frame []byte, by ...int) error {
	var list []openflow.Action
	for _, p := range by {
		list = append(list, openflow.Output(openflow.PortNo(p)))
	}
	m := &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: in, Data: frame, Actions: openflow.NewActions(list...)}
	if err := s.c.Apply(m); err != nil {
		return err
	}
	return c.net.settle(s)
}

func (c *controller) packetIn(s *node, in *openflow.PacketIn) error {
	field, _ := in.Match.Get(openflow.InPort)
	port := int(field.Value.Uint64())
	if binary.BigEndian.Uint16(in.Data[12:]) == typeProbe {
		from := place{int(binary.BigEndian.Uint16(in.Data[14:])), int(binary.BigEndian.Uint16(in.Data[16:]))}
		c.links[from.node][from.port-1] = place{s.id, port}
		c.changed()
		return nil
	}
	if !c.tree[s.id][port-1] { // sent before the port was closed
		return nil
	}
	src := string(in.Data[6:12])
	if c.links[s.id][port-1].node < 0 {
		if _, known := c.places[src]; !known {
			c.places[src] = place{s.id, port}
			c.net.say("controller: %s is at %s port %d", hostName(in.Data[6:12]), s.name, port)
		}
	}
	at, known := c.places[string(in.Data[:6])]
	if !known {
		return c.flood(s, port, in.Data)
	}
	out := at.port
	if at.node != s.id {
		out = c.next[s.id][at.node]
	}
	match := openflow.NewMatch(openflow.Exact(openflow.EthDst, macValue(in.Data[:6])))
	if err := s.c.Apply(oftest.AddFlow(0, 100, match, openflow.ApplyActions(openflow.Output(openflow.PortNo(out))))); err != nil {
		return err
	}
	c.net.say("controller: on %s, %s is by port %d", s.name, hostName(in.Data[:6]), out)
	return c.send(s, openflow.PortNo(port), in.Data, out)
}

// flood sends a frame by all ports of the tree and to all hosts; a switch leaves out the port that it came by.
func (c *controller) flood(s *node, in int, frame []byte) error {
	var by []int
	for i, used := range c.tree[s.id] {
		if used {
			by = append(by, i+1)
		}
	}
	return c.send(s, openflow.PortNo(in), frame, by...)
}

func (c *controller) linkDown(p place) {
	c.links[p.node][p.port-1] = place{-1, 0}
	c.changed()
}

// changed makes the tree once no link has changed for a while.
func (c *controller) changed() {
	c.changes++
	now := c.changes
	c.net.after(calm, func() error {
		if now != c.changes {
			return nil
		}
		return c.plant()
	})
}

// plant makes the tree, breadth first from the first switch and by ascending ports, and starts every table afresh.
func (c *controller) plant() error {
	c.tree = make([][]bool, len(c.links))
	for s, list := range c.links {
		c.tree[s] = make([]bool, len(list))
		for i, to := range list {
			c.tree[s][i] = to.node < 0
		}
	}
	reached, inTree := []int{0}, map[int]bool{0: true}
	for i := 0; i < len(reached); i++ {
		s := reached[i]
		for p, to := range c.links[s] {
			if to.node < 0 || inTree[to.node] {
				continue
			}
			inTree[to.node] = true
			reached = append(reached, to.node)
			c.tree[s][p], c.tree[to.node][to.port-1] = true, true
		}
	}
	c.net.say("controller: a tree of %d switches", len(reached))
	c.route()
	for _, s := range c.net.switches {
		if err := s.c.Apply(c.basics(s)...); err != nil {
			return err
		}
	}
	return nil
}

// route notes by which port each switch reaches each other one: the tree walked from every switch.
func (c *controller) route() {
	c.next = make([][]int, len(c.links))
	for s := range c.next {
		c.next[s] = make([]int, len(c.links))
	}
	for d := range c.links {
		todo, seen := []int{d}, map[int]bool{d: true}
		for len(todo) > 0 {
			s := todo[0]
			todo = todo[1:]
			for p, to := range c.links[s] {
				if to.node >= 0 && c.tree[s][p] && !seen[to.node] {
					seen[to.node] = true
					c.next[to.node][d] = to.port
					todo = append(todo, to.node)
				}
			}
		}
	}
}
