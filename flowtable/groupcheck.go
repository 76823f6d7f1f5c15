// Slow path: is a group sound, whom does it lean on, and what does it compile to? (section 6.5)

package flowtable

import (
	"slices"

	"github.com/weirswitch/weir/openflow"
)

func groupError(code uint16, format string, args ...any) error {
	return openflow.Errorf(openflow.ErrGroupModFailed, code, format, args...)
}

// checkGroupMod judges what does not depend on the other groups. Where the specification leaves a
// choice among errors it is Open vSwitch's.
func checkGroupMod(m *openflow.GroupMod) error {
	switch {
	case m.Command > openflow.GroupDelete && m.Command != openflow.GroupAddOrModify:
		return groupError(openflow.GMFCBadCommand, "command %d, the highest is %d", m.Command, openflow.GroupDelete)
	case m.Command == openflow.GroupDelete:
		return nil // "the group type need not be specified", nor does anything else count
	case m.Type > openflow.GroupTypeFastFailover:
		return groupError(openflow.GMFCBadType, "group type %d, the highest is %d", m.Type, openflow.GroupTypeFastFailover)
	case m.Type == openflow.GroupTypeIndirect && len(m.Buckets) != 1:
		return groupError(openflow.GMFCInvalidGroup, "an indirect group has one bucket, not %d", len(m.Buckets))
	case len(m.Buckets) > maxBuckets:
		return groupError(openflow.GMFCOutOfBuckets, "%d buckets: a group may have %d", len(m.Buckets), maxBuckets)
	}
	for i := range m.Buckets {
		if err := checkBucket(m.Type, &m.Buckets[i]); err != nil {
			return err
		}
	}
	if m.Command != openflow.GroupModify && m.Group > openflow.GroupMax {
		return groupError(openflow.GMFCInvalidGroup, "group 0x%x is reserved, the highest is 0x%x", m.Group, openflow.GroupMax)
	}
	return nil
}

func checkBucket(t openflow.GroupType, b *openflow.Bucket) error {
	watches := b.WatchPort != openflow.PortAny || b.WatchGroup != openflow.GroupAny
	switch {
	case b.Weight != 0 && t != openflow.GroupTypeSelect:
		return groupError(openflow.GMFCInvalidGroup, "a bucket with weight %d: only select groups have weights, of an %s group it must be 0", b.Weight, t)
	case watches && (t == openflow.GroupTypeAll || t == openflow.GroupTypeIndirect):
		return groupError(openflow.GMFCWatchUnsupported, "a bucket of type %s watches nothing: give OFPP_ANY and OFPG_ANY", t)
	case !watches && t == openflow.GroupTypeFastFailover:
		return groupError(openflow.GMFCInvalidGroup, "a fast failover bucket needs a watch_port or a watch_group")
	case b.WatchPort != openflow.PortAny && b.WatchPort != openflow.PortLocal && (b.WatchPort == 0 || b.WatchPort >= maxPorts):
		return groupError(openflow.GMFCBadWatch, "watch_port %s: expected 1 to %d, LOCAL or ANY", b.WatchPort, maxPorts-1)
	}
	return b.Actions.Check()
}

// compileGroup makes a Group of a message that checkGroupMod liked. Requires p.mu.
func (p *Pipeline) compileGroup(m *openflow.GroupMod) (*Group, error) {
	deps, err := p.groups.judgeDeps(m)
	if err != nil {
		return nil, err
	}
	g := &Group{ID: m.Group, Type: m.Type, Buckets: slices.Clone(m.Buckets), buckets: make([]bucket, len(m.Buckets)),
		deps: deps, factor: mix(p.cfg.HashSeed^uint64(m.Group), hashPrime) | 1}
	for i := range g.Buckets {
		b := &g.buckets[i]
		sent := &g.Buckets[i]
		sent.Actions = sent.Actions.Clone()
		if b.ops, err = compileSet(sent.Actions, nil); err != nil {
			return nil, err
		}
		if _, err := p.bindGroups(b.ops, sent.Actions, nil); err != nil {
			return nil, err
		}
		b.ops = whatRuns(b.ops)
		for j := range b.ops {
			b.pipeline = b.pipeline || b.ops[j].code == opSetField && isPipelineField(b.ops[j].field)
			b.resubmits = b.resubmits || b.ops[j].code == opResubmit
		}
		b.watch = p.groups.watchOf(m.Type, sent, b.ops)
		b.stats = p.groups.newCounters()
		b.weight = uint64(sent.Weight)
		g.total += b.weight
		b.upTo = g.total
	}
	return g, nil
}

// watchOf resolves what a bucket watches. One of a select group that names nothing watches what it
// sends to, if that is one port or group: section 5.6.1 lets a switch keep flows away from a bucket
// whose port is down.
func (gs *groups) watchOf(t openflow.GroupType, b *openflow.Bucket, ops []op) (w watch) {
	if b.WatchPort != openflow.PortAny {
		w.port, w.byPort = uint32(b.WatchPort), true
	}
	if b.WatchGroup != openflow.GroupAny {
		w.group, w.byGroup = gs.byID[b.WatchGroup].slot, true
	}
	if t != openflow.GroupTypeSelect || w != (watch{}) || len(ops) == 0 {
		return w
	}
	switch last := &ops[len(ops)-1]; last.code {
	case opOutput:
		w.port, w.byPort = last.port, true
	case opGroup:
		w.group, w.byGroup = uint32(last.lo), true
	}
	return w
}

// bindGroups gives each group op the slot of its group, and adds to names the groups that the
// actions name. Requires p.mu.
func (p *Pipeline) bindGroups(ops []op, list openflow.Actions, names []uint32) ([]uint32, error) {
	for a := range list.All() {
		if a.Type != openflow.ActionGroup {
			continue
		}
		if p.groups.byID[a.Group] == nil {
			return names, noSuchGroup(a.Group)
		}
		if !slices.Contains(names, a.Group) {
			names = append(names, a.Group)
		}
	}
	for i := range ops {
		if o := &ops[i]; o.code == opGroup {
			o.lo = uint64(p.groups.byID[o.port].slot)
		}
	}
	return names, nil
}

func noSuchGroup(id uint32) error {
	return openflow.Errorf(openflow.ErrBadAction, openflow.BACBadOutGroup, "group %d does not exist; add it first", id)
}

// whatRuns is the part of an action set that has an effect (section 5.10): a group takes the output's place, either that
// of a resubmit, and without any the frame is dropped, before anything is done to it, as in Open vSwitch: no TTL runs out then.
func whatRuns(ops []op) []op {
	n := len(ops)
	if n > 1 && ops[n-1].rank == rankResubmit && ops[n-2].rank >= rankGroup {
		n--
		ops = ops[:n]
	}
	if n == 0 || ops[n-1].rank < rankGroup {
		return nil
	}
	if n > 1 && ops[n-1].rank == rankOutput && ops[n-2].rank == rankGroup {
		return ops[:n-1]
	}
	return ops
}

// maxChain bounds how many groups may follow each other.
const maxChain = 32

// judgeDeps lists the groups that a new or changed group uses, after a look whether they exist and
// whether a frame could come round to where it was.
func (gs *groups) judgeDeps(m *openflow.GroupMod) ([]groupUse, error) {
	deps := gatherDeps(m)
	down := 0
	heights := map[uint32]int{}
	for _, u := range deps {
		if u.id == m.Group {
			return nil, groupError(openflow.GMFCLoop, "group %d would forward to, or watch, itself", m.Group)
		}
		n := gs.byID[u.id]
		switch {
		case n != nil:
		case u.forwards:
			return nil, noSuchGroup(u.id)
		default:
			return nil, groupError(openflow.GMFCBadWatch, "watch_group %d does not exist; add it first", u.id)
		}
		h, loop := gs.height(n, m.Group, heights)
		if loop {
			return nil, groupError(openflow.GMFCLoop, "group %d leads back to group %d", u.id, m.Group)
		}
		down = max(down, h)
	}
	up := 0
	if n := gs.byID[m.Group]; n != nil && down > 0 {
		up = gs.depth(n, map[uint32]int{})
	}
	if up+down+1 > maxChain {
		return nil, groupError(openflow.GMFCChainingUnsupported, "a chain of %d groups: at most %d may follow each other", up+down+1, maxChain)
	}
	return deps, nil
}

// gatherDeps lists every group that the buckets name, once, in their order.
func gatherDeps(m *openflow.GroupMod) (deps []groupUse) {
	at := map[uint32]int{}
	use := func(id uint32) *groupUse {
		i, seen := at[id]
		if !seen {
			i = len(deps)
			at[id] = i
			deps = append(deps, groupUse{id: id})
		}
		return &deps[i]
	}
	for i := range m.Buckets {
		b := &m.Buckets[i]
		if b.WatchGroup != openflow.GroupAny {
			use(b.WatchGroup).watches = true
		}
		for a := range b.Actions.All() {
			if a.Type == openflow.ActionGroup {
				u := use(a.Group)
				u.forwards = true
				u.watches = u.watches || m.Type == openflow.GroupTypeSelect // see watchOf
			}
		}
	}
	return deps
}

// height is how many groups follow each other from n downwards; loop says that target is among them.
func (gs *groups) height(n *groupNode, target uint32, known map[uint32]int) (h int, loop bool) {
	if n.ID == target {
		return 0, true
	}
	if h, ok := known[n.ID]; ok {
		return h, false
	}
	for _, u := range n.deps {
		below, loop := gs.height(gs.byID[u.id], target, known)
		if loop {
			return 0, true
		}
		h = max(h, below)
	}
	known[n.ID] = h + 1
	return h + 1, false
}

// depth is how many groups follow each other down to n, without n.
func (gs *groups) depth(n *groupNode, known map[uint32]int) (d int) {
	if d, ok := known[n.ID]; ok {
		return d
	}
	for id := range n.users {
		d = max(d, 1+gs.depth(gs.byID[id], known))
	}
	known[n.ID] = d
	return d
}
