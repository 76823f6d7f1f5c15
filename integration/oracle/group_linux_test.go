package oracle

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
	"github.com/weirswitch/weir/openflow/oftest"
)

// groupMod is a GROUP_MOD in parts.
type groupMod struct {
	command openflow.GroupCommand
	kind    openflow.GroupType
	id      uint32
	buckets []bucket
	spoiled bool // it has a mistake, probably
}

// bucket is an openflow.Bucket with its actions in parts.
type bucket struct {
	weight     uint16
	watchPort  openflow.PortNo
	watchGroup uint32
	actions    []openflow.Action
}

func (m *groupMod) message() *openflow.GroupMod {
	n := &openflow.GroupMod{Command: m.command, Type: m.kind, Group: m.id}
	for _, b := range m.buckets {
		n.Buckets = append(n.Buckets, openflow.Bucket{Weight: b.weight, WatchPort: b.watchPort, WatchGroup: b.watchGroup, Actions: openflow.NewActions(b.actions...)})
	}
	return n
}

func (m *groupMod) play(g target) error {
	if err := request(g, openflow.Append(nil, 0, m.message())); err != nil {
		return err
	}
	if err := g.calm(); err != nil || m.command != openflow.GroupDelete {
		return err
	}
	return g.settle()
}

func (m *groupMod) String() string { return m.message().String() }

func (m *groupMod) smaller() (list []step) {
	try := func(change func(*groupMod)) {
		n := *m
		n.buckets = slices.Clone(m.buckets)
		change(&n)
		if n.String() != m.String() {
			list = append(list, &n)
		}
	}
	for i, b := range m.buckets {
		try(func(n *groupMod) { n.buckets = slices.Delete(n.buckets, i, i+1) })
		for k := range b.actions {
			try(func(n *groupMod) { n.buckets[i].actions = slices.Delete(slices.Clone(b.actions), k, k+1) })
		}
		if m.kind == openflow.GroupTypeFastFailover && (b.watchGroup == openflow.GroupAny || b.watchPort == openflow.PortAny) {
			continue // it must watch something
		}
		try(func(n *groupMod) { n.buckets[i].watchGroup = openflow.GroupAny })
		try(func(n *groupMod) { n.buckets[i].watchPort = openflow.PortAny })
	}
	return list
}

// shows is what the buckets have in common with entries: each is an action set.
func (m *groupMod) shows() (list []step) {
	if m.command == openflow.GroupDelete {
		return nil
	}
	for i, b := range m.buckets {
		f := newFlow(groupTable+uint8(m.id%16), uint16(1+i))
		f.does = []instruction{write(b.actions...)}
		list = append(list, f)
	}
	return list
}

// groupTable and the 15 after it stand for groups where deviations are recognised by table.
const groupTable = packetOutTable + 1

// groupLines is what the switch tells of its groups. Which bucket of a select group a frame takes is the switch's
// choice: their counters are told together.
func groupLines(g target) (lines []string, err error) {
	descs, err := oftest.Records[*openflow.GroupDesc](g.controller(), openflow.MultipartGroupDesc)
	if err != nil {
		return nil, err
	}
	kinds := map[uint32]openflow.GroupType{}
	for _, d := range descs {
		kinds[d.Group] = d.Type
		line := fmt.Sprintf("group %d type=%s", d.Group, d.Type)
		for _, b := range d.Buckets {
			line += fmt.Sprintf(" bucket(weight=%d watch_port=%s watch_group=%d %s)", b.Weight, b.WatchPort, b.WatchGroup, ofctl.Actions(b.Actions))
		}
		lines = append(lines, line)
	}
	stats, err := oftest.Records[*openflow.GroupStats](g.controller(), openflow.MultipartGroup, &openflow.GroupStatsRequest{Group: openflow.GroupAll})
	if err != nil {
		return nil, err
	}
	for _, s := range stats {
		if kinds[s.Group] == openflow.GroupTypeSelect && len(s.Buckets) > 1 {
			for _, b := range s.Buckets[1:] {
				s.Buckets[0].PacketCount += b.PacketCount
				s.Buckets[0].ByteCount += b.ByteCount
			}
			s.Buckets = s.Buckets[:1]
		}
		line := fmt.Sprintf("group %d refs=%d", s.Group, s.RefCount)
		if k := kinds[s.Group]; k == openflow.GroupTypeAll || k == openflow.GroupTypeIndirect { // see uncounted-drops
			line += fmt.Sprintf(" packets=%d bytes=%d", s.PacketCount, s.ByteCount)
		}
		for _, b := range s.Buckets {
			line += fmt.Sprintf(" (packets=%d bytes=%d)", b.PacketCount, b.ByteCount)
		}
		lines = append(lines, line)
	}
	slices.SortStableFunc(lines, cmp.Compare)
	return lines, nil
}

// groupLife is a pipeline whose entries use groups, and ports that go up and down.
func (g *gen) groupLife() *life {
	g.groups, g.portsFall = uint32(1+g.IntN(5)), g.one(2)
	l := &life{}
	for id := uint32(1); id <= g.groups; id++ {
		l.steps = append(l.steps, g.groupMod(openflow.GroupAdd, id))
	}
	for range 2 + g.IntN(3) {
		l.steps = append(l.steps, g.behindBucket())
	}
	rest := g.forwarding()
	for at := len(rest.steps); at > 4; at-- {
		var s step
		switch g.IntN(12) {
		case 0, 1:
			s = g.groupMod(pick(g, []openflow.GroupCommand{openflow.GroupAdd, openflow.GroupModify, openflow.GroupModify}), 1+g.Uint32N(g.groups))
		case 2:
			s = &groupMod{command: openflow.GroupDelete, id: pick(g, []uint32{1, 2, 3, 9, openflow.GroupAll})}
		case 3:
			s = g.spoilGroup(g.groupMod(openflow.GroupAdd, g.groups+1))
		case 4:
			s = g.packetOut()
		case 5, 6:
			if !g.portsFall {
				continue
			}
			s = &portMod{port: openflow.PortNo(1 + g.IntN(numPorts)), config: openflow.PortConfig(g.IntN(2)), mask: openflow.PortDown}
		default:
			continue
		}
		rest.steps = slices.Insert(rest.steps, at, s)
	}
	l.steps = append(l.steps, rest.steps...)
	return l
}

// groupMod makes a group that leads, if to groups, to those of lower numbers.
func (g *gen) groupMod(c openflow.GroupCommand, id uint32) *groupMod {
	m := &groupMod{command: c, id: id, kind: openflow.GroupType(g.IntN(4))}
	if c == openflow.GroupDelete { // see deviation delete-buckets
		return m
	}
	if m.kind == openflow.GroupTypeSelect && id%2 == 1 { // see deviation select-in-group
		m.kind = openflow.GroupTypeAll
	}
	n := 1
	if m.kind != openflow.GroupTypeIndirect {
		n = g.IntN(4)
	}
	if m.kind == openflow.GroupTypeSelect {
		m.buckets = g.alike(id, n)
		return m
	}
	for range n {
		b := bucket{watchPort: openflow.PortAny, watchGroup: openflow.GroupAny, actions: g.bucketActions(id)}
		if m.kind == openflow.GroupTypeFastFailover {
			g.watch(&b, id)
		}
		m.buckets = append(m.buckets, b)
	}
	return m
}

// watch names a port or a group to watch, or both.
func (g *gen) watch(b *bucket, id uint32) {
	b.watchPort = openflow.PortNo(1 + g.IntN(numPorts))
	if id > 1 && g.one(3) {
		b.watchGroup = g.lower(id)
		if g.one(2) {
			b.watchPort = openflow.PortAny
		}
	}
}

// alike are buckets of a select group. Those that may be used do the same, since switches differ in which they use;
// one without weight does something else.
func (g *gen) alike(id uint32, n int) (list []bucket) {
	same := bucket{watchPort: openflow.PortAny, watchGroup: openflow.GroupAny, actions: g.bucketActions(id)}
	if g.portsFall {
		g.watch(&same, id)
	}
	if a := same.actions; !g.portsFall && len(a) > 0 && a[len(a)-1].Type == openflow.ActionGroup { // see deviation select-unwatched
		same.watchPort = openflow.PortNo(1 + g.IntN(numPorts))
	}
	for range n {
		b := same
		if b.weight = uint16(1 + g.IntN(3)); g.one(4) {
			b.weight, b.actions = 0, g.bucketActions(id)
		}
		list = append(list, b)
	}
	return list
}

// lower is a group that group id may lead to: one of a lower, odd number.
func (g *gen) lower(id uint32) uint32 { return 1 + 2*g.Uint32N(id/2) }

// behindBuckets is the table to which buckets resubmit.
const behindBuckets = 20

// behindBucket is an entry for frames out of buckets. It names no group, so that none comes round to it, and does not
// write to the action set (README.md).
func (g *gen) behindBucket() *flow {
	f := newFlow(behindBuckets, uint16(1+g.IntN(60)))
	f.match = g.match()
	if g.one(3) {
		f.match = nil
	}
	k := knowing(f.match)
	groups := g.groups
	g.groups = 0
	f.does = []instruction{{openflow.Instruction{Type: openflow.InstructionApplyActions}, g.actions(&k, 1+g.IntN(4))}}
	g.groups = groups
	return f
}

func (g *gen) bucketActions(id uint32) []openflow.Action {
	k := pick(g, []facts{{}, {eth: 0x0800}, {eth: 0x0800, proto: 6}, {eth: 0x86dd}, {eth: 0x0806}})
	list := g.rewrite(&k)
	if g.one(2) {
		list = nil
	}
	switch {
	case id > 1 && g.one(4):
		list = append(list, openflow.Group(g.lower(id)))
	case g.one(4): // to an entry that is all a bucket needs
		list = append(list, openflow.Action{Type: openflow.NXResubmitTable, Port: openflow.PortInPort, Table: behindBuckets})
	case !g.one(8):
		list = append(list, openflow.Output(openflow.PortNo(1+g.IntN(numPorts))))
	}
	return list
}

// spoilGroup makes one mistake.
func (g *gen) spoilGroup(m *groupMod) *groupMod {
	if len(m.buckets) == 0 {
		m.kind = openflow.GroupTypeAll
		m.buckets = []bucket{{watchPort: openflow.PortAny, watchGroup: openflow.GroupAny}}
	}
	m.spoiled = true
	b := &m.buckets[0]
	switch g.IntN(11) {
	case 0:
		m.command = openflow.GroupCommand(6 + g.IntN(100)) // Open vSwitch reads those before as commands of OpenFlow 1.5
	case 1:
		m.kind = openflow.GroupType(4 + g.IntN(200))
	case 2:
		m.id = pick(g, []uint32{openflow.GroupMax + 1, openflow.GroupAll, openflow.GroupAny, 0, openflow.GroupMax})
	case 3:
		m.kind, m.buckets = openflow.GroupTypeIndirect, append(m.buckets, m.buckets...)
	case 4:
		m.kind, m.buckets = openflow.GroupTypeIndirect, nil
	case 5:
		b.weight = 1
		m.kind = pick(g, []openflow.GroupType{openflow.GroupTypeAll, openflow.GroupTypeFastFailover})
	case 6:
		m.kind, b.watchPort, b.watchGroup = openflow.GroupTypeFastFailover, openflow.PortAny, openflow.GroupAny
	case 7:
		b.watchPort = pick(g, []openflow.PortNo{0, 9, openflow.PortLocal, openflow.PortController, openflow.PortAll, openflow.PortMax})
	case 8:
		m.command, m.id = openflow.GroupAdd, 1 // it exists
	case 9:
		m.command = openflow.GroupModify
	default:
		b.actions = g.spoilActions(newFlow(0, 1)).(*flow).does[0].actions
	}
	return m
}

// uses are the groups that a group leads to or watches.
func (m *groupMod) uses() (list []uint32) {
	for _, b := range m.buckets {
		if b.watchGroup != openflow.GroupAny {
			list = append(list, b.watchGroup)
		}
		for _, a := range b.actions {
			if a.Type == openflow.ActionGroup {
				list = append(list, a.Group)
			}
		}
	}
	return list
}

func chained(l *life) bool { return someStep(func(m *groupMod) bool { return len(m.uses()) > 0 })(l) }
