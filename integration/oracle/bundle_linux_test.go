package oracle

import (
	"errors"
	"slices"

	"github.com/weirswitch/weir/openflow"
)

// bundle is FLOW_MODs, GROUP_MODs and PACKET_OUTs that are carried out together or not at all.
type bundle struct{ list []step }

func (b *bundle) play(g target) error {
	var list []openflow.Message
	deletes := false
	for _, s := range b.list {
		switch s := s.(type) {
		case *flow:
			list = append(list, s.message())
			deletes = deletes || s.command >= openflow.FlowDelete
		case *groupMod:
			list = append(list, s.message())
			deletes = deletes || s.command == openflow.GroupDelete
		case *packetOut:
			list = append(list, s.message())
		}
	}
	var refused *openflow.Error
	if err := g.controller().Bundle(list...); err != nil && !errors.As(err, &refused) { // ERRORs have been heard
		return err
	}
	if err := g.calm(); err != nil {
		return err
	}
	if deletes {
		if err := g.settle(); err != nil {
			return err
		}
	}
	sortHeard(g) // packet-ins and FLOW_REMOVEDs of one commit have no order
	return nil
}

func (b *bundle) String() string {
	text := "bundle"
	for _, s := range b.list {
		text += "\n       " + s.String()
	}
	return text
}

func (b *bundle) smaller() (list []step) {
	for i, s := range b.list {
		list = append(list, &bundle{slices.Delete(slices.Clone(b.list), i, i+1)})
		for _, n := range s.smaller() {
			c := &bundle{slices.Clone(b.list)}
			c.list[i] = n
			list = append(list, c)
		}
	}
	return list
}

// holds is what the bundle holds. A group of it may not be there afterwards.
func (b *bundle) holds() (list []step) {
	for _, s := range b.list {
		if m, is := s.(*groupMod); is {
			unsure := *m
			unsure.spoiled = true
			s = &unsure
		}
		list = append(list, s)
	}
	return list
}

// flat has what steps hold before them.
func (l *life) flat() *life {
	n := &life{ports: l.ports}
	for _, s := range l.steps {
		if h, is := s.(interface{ holds() []step }); is {
			n.steps = append(n.steps, h.holds()...)
		}
		n.steps = append(n.steps, s)
	}
	return n
}

// bundledLoose: a modify or delete that is not strict follows an ADD.
func bundledLoose(b *bundle) bool {
	added := false
	for _, s := range b.list {
		f, is := s.(*flow)
		if is && added && (f.command == openflow.FlowModify || f.command == openflow.FlowDelete) {
			return true
		}
		added = added || is && f.command == openflow.FlowAdd
	}
	return false
}

// fatal bundles go on after they have deleted a group. When they fail then, Open vSwitch 3.1 ends with a failed assertion.
func fatal(b *bundle) bool {
	at := slices.IndexFunc(b.list, func(s step) bool { m, is := s.(*groupMod); return is && m.command == openflow.GroupDelete })
	return at >= 0 && at+1 < len(b.list)
}

// bundleLife is a pipeline with groups that changes by bundles, some of which have a message that no switch takes.
func (g *gen) bundleLife() *life {
	g.groups = uint32(1 + g.IntN(4))
	l := &life{}
	for id := uint32(1); id <= g.groups; id++ {
		l.steps = append(l.steps, g.groupMod(openflow.GroupAdd, id))
	}
	rest := g.forwarding()
	for at := len(rest.steps); at > 4; at-- {
		if g.one(3) {
			rest.steps = slices.Insert(rest.steps, at, step(g.bundle()))
		}
	}
	l.steps = append(l.steps, rest.steps...)
	return l
}

func (g *gen) bundle() *bundle {
	b := &bundle{}
	for range 1 + g.IntN(6) {
		var s step
		switch g.IntN(8) {
		case 0, 1:
			c := pick(g, []openflow.GroupCommand{openflow.GroupAdd, openflow.GroupModify, openflow.GroupModify})
			s = g.groupMod(c, 1+g.Uint32N(g.groups+1))
		case 2:
			s = g.packetOut()
		case 3, 4:
			s = g.add()
		default:
			s = g.change()
		}
		b.list = append(b.list, s)
	}
	switch {
	case g.one(3):
		b.list = slices.Insert(b.list, g.IntN(len(b.list)+1), g.refused())
	case g.one(4): // see fatal
		b.list = append(b.list, &groupMod{command: openflow.GroupDelete, id: pick(g, []uint32{1, 2, 9, openflow.GroupAll})})
	}
	return b
}

// refused is a message that is taken into a bundle and fails there.
func (g *gen) refused() step {
	nowhere := []openflow.Action{openflow.Group(99)}
	switch g.IntN(4) {
	case 0:
		f := newFlow(uint8(g.IntN(g.tables)), 61)
		f.does = []instruction{apply(nowhere...)}
		return f
	case 1:
		return &groupMod{command: openflow.GroupModify, id: 98, kind: openflow.GroupTypeAll, spoiled: true}
	case 2:
		return &groupMod{command: openflow.GroupAdd, id: 1, kind: openflow.GroupTypeIndirect, spoiled: true,
			buckets: []bucket{{watchPort: openflow.PortAny, watchGroup: openflow.GroupAny, actions: []openflow.Action{openflow.Output(1)}}}}
	}
	p := g.packetOut()
	p.buffer, p.actions = openflow.NoBuffer, nowhere
	return p
}
