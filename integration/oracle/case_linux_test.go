package oracle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// life is one comparison: what happens to a switch, from empty to the end.
type life struct {
	steps []step
	ports setup
}

// String lists the steps, one a line.
func (l *life) String() string {
	var b strings.Builder
	b.WriteString(l.ports.String())
	for i, s := range l.steps {
		fmt.Fprintf(&b, "%3d  %s\n", i, s)
	}
	return b.String()
}

// step is one thing that happens. smaller yields simpler steps in its place, the simplest first.
type step interface {
	fmt.Stringer
	play(target) error
	smaller() []step
}

// flow is a FLOW_MOD in parts, so that it can be taken apart.
type flow struct {
	command      openflow.FlowModCommand
	table        uint8
	priority     uint16
	cookie, mask uint64
	idle, hard   uint16
	flags        openflow.FlowModFlags
	outPort      openflow.PortNo
	outGroup     uint32
	match        []openflow.Field
	does         []instruction
}

// instruction is an openflow.Instruction with its actions in parts.
type instruction struct {
	openflow.Instruction
	actions []openflow.Action
}

func (i instruction) value() openflow.Instruction {
	v := i.Instruction
	v.Actions = openflow.NewActions(i.actions...)
	return v
}

func newFlow(table uint8, priority uint16) *flow {
	return &flow{table: table, priority: priority, outPort: openflow.PortAny, outGroup: openflow.GroupAny}
}

// message is the FLOW_MOD as it is sent.
func (f *flow) message() *openflow.FlowMod {
	list := make([]openflow.Instruction, len(f.does))
	for i, in := range f.does {
		list[i] = in.value()
	}
	return &openflow.FlowMod{
		Command: f.command, TableID: f.table, Priority: f.priority, Cookie: f.cookie, CookieMask: f.mask,
		IdleTimeout: f.idle, HardTimeout: f.hard, Flags: f.flags, BufferID: openflow.NoBuffer,
		OutPort: f.outPort, OutGroup: f.outGroup,
		Match: openflow.NewMatch(f.match...), Instructions: openflow.NewInstructions(list...),
	}
}

func (f *flow) play(g target) error {
	if err := request(g, openflow.Append(nil, 0, f.message())); err != nil || f.command < openflow.FlowDelete {
		return err
	}
	return g.settle()
}

func (f *flow) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s table=%d priority=%d", f.command, f.table, f.priority)
	if f.cookie|f.mask != 0 {
		fmt.Fprintf(&b, " cookie=%#x/%#x", f.cookie, f.mask)
	}
	if f.idle|f.hard != 0 {
		fmt.Fprintf(&b, " idle=%d hard=%d", f.idle, f.hard)
	}
	if f.flags != 0 {
		fmt.Fprintf(&b, " flags=%s", f.flags)
	}
	if f.outPort != openflow.PortAny {
		fmt.Fprintf(&b, " out_port=%s", f.outPort)
	}
	if f.outGroup != openflow.GroupAny {
		fmt.Fprintf(&b, " out_group=%d", f.outGroup)
	}
	m := f.message()
	for _, field := range f.match {
		fmt.Fprintf(&b, " %s", field)
	}
	fmt.Fprintf(&b, " -> %s", ofctl.Instructions(m.Instructions))
	return b.String()
}

// smaller drops or simplifies one part of the flow at a time.
func (f *flow) smaller() (list []step) {
	try := func(change func(*flow)) {
		n := *f
		n.match, n.does = slices.Clone(f.match), slices.Clone(f.does)
		change(&n)
		if n.String() != f.String() {
			list = append(list, &n)
		}
	}
	for i := range f.does {
		try(func(n *flow) { n.does = slices.Delete(n.does, i, i+1) })
		for k := range f.does[i].actions {
			try(func(n *flow) { n.does[i].actions = slices.Delete(slices.Clone(n.does[i].actions), k, k+1) })
		}
	}
	for i := range f.match {
		try(func(n *flow) { n.match = slices.Delete(n.match, i, i+1) })
	}
	try(func(n *flow) { n.flags = 0 })
	for bit := range 5 {
		try(func(n *flow) { n.flags &^= 1 << bit })
	}
	try(func(n *flow) { n.idle = 0 })
	try(func(n *flow) { n.hard = 0 })
	try(func(n *flow) { n.cookie, n.mask = 0, 0 })
	try(func(n *flow) { n.outPort = openflow.PortAny })
	try(func(n *flow) { n.outGroup = openflow.GroupAny })
	try(func(n *flow) { n.priority = 1 })
	return list
}

// request sends one message and waits until the switch has dealt with it. What it answers is heard.
func request(g target, raw []byte) error {
	c := g.controller()
	if err := c.Conn().QueueRaw(raw); err != nil {
		return err
	}
	return c.Barrier()
}

// frame is a frame that comes in by a port.
type frame struct {
	port  int
	what  string
	bytes []byte
	knows facts
}

func (f *frame) play(g target) error { return g.send(f.port, f.bytes) }
func (f *frame) String() string      { return fmt.Sprintf("frame in %d, %s: %x", f.port, f.what, f.bytes) }

func (f *frame) smaller() []step {
	if f.port == 1 {
		return nil
	}
	n := *f
	n.port = 1
	return []step{&n}
}

// pause lets the clock run.
type pause struct{ time.Duration }

func (p pause) play(g target) error { return g.wait(p.Duration) }
func (p pause) String() string      { return "pause " + p.Duration.String() }
func (p pause) smaller() []step     { return nil }
