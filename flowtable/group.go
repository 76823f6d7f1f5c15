// Slow path: the group table (sections 5.6 and 6.5): what GROUP_MOD does, and what is told of groups.

package flowtable

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// Group is a group entry: what was sent, exactly, and its compiled form. It does not change, but for
// its counters; a modification makes a new Group that goes on with the old one's counters.
type Group struct {
	ID      uint32
	Type    openflow.GroupType
	Buckets []openflow.Bucket
	Created time.Duration // when the ADD came, on the switch's clock

	slot    uint32   // its place in every snapshot's directory
	buckets []bucket // of Buckets, in their order
	total   uint64   // the weights of all buckets
	factor  uint64   // odd; makes every group spread flows in its own way (spread.go)
	stats   *groupCounters
	deps    []groupUse // the groups that it forwards to or watches, once each
}

// bucket is a compiled bucket. Immutable but for its counters.
type bucket struct {
	ops    []op   // its actions in the order of the action set
	upTo   uint64 // select: the weights of the buckets up to this one
	weight uint64
	watch  watch
	stats  *groupCounters

	pipeline  bool // some op writes a field of the pipeline, which is not in the frame's bytes
	resubmits bool // the last op is a resubmit
}

// watch says what a bucket's liveness hangs on. The zero value watches nothing: always live.
type watch struct {
	port    uint32
	group   uint32 // the slot
	byPort  bool
	byGroup bool
}

// groupUse is how one group uses another.
type groupUse struct {
	id       uint32
	forwards bool // a bucket's group action names it
	watches  bool // some bucket's liveness hangs on it
}

// groupCounters count the frames of a group or of one of its buckets.
type groupCounters struct {
	packets, bytes atomic.Uint64
	lane           uint8 // which of a Processor's tallies it uses
}

// groups is the draft of the group table. Pipeline.mu guards it.
type groups struct {
	byID   map[uint32]*groupNode
	byType [4]int // how many there are of each type

	slots groupDirectory
	free  []uint32 // slots without a group
	next  uint32   // the slot after the highest that was ever used
	epoch uint64   // counts copies of slots that snapshots hold
	dirty bool     // slots differ from the last snapshot's

	watched map[uint32]int // group -> how many groups' liveness hangs on it
	lane    uint8
}

// groupNode is what the draft knows of a group besides the Group itself.
type groupNode struct {
	*Group
	flows int                 // entries whose actions name it
	users map[uint32]groupUse // the groups that use it, by their numbers
}

// maxBuckets is what one record of GROUP statistics can tell of (16 bytes each, below 64 KiB).
const maxBuckets = 4092

// GroupMod carries out one GROUP_MOD on the draft; Publish makes it visible. The message's memory
// is not kept. It returns the entries that went with a deleted group and had asked for a
// FLOW_REMOVED. The error is an *openflow.Error, and then nothing has changed.
func (p *Pipeline) GroupMod(now time.Duration, m *openflow.GroupMod) ([]Removed, error) {
	if err := checkGroupMod(m); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes.cause = m
	gone, err := p.groupMod(now, m)
	p.changes.cause = nil
	return gone, err
}

// groupMod is GroupMod for a message that has been checked. Requires p.mu.
func (p *Pipeline) groupMod(now time.Duration, m *openflow.GroupMod) ([]Removed, error) {
	switch m.Command {
	case openflow.GroupAdd:
		return nil, p.addGroup(now, m)
	case openflow.GroupModify:
		return nil, p.modifyGroup(m)
	case openflow.GroupAddOrModify:
		if p.groups.byID[m.Group] == nil {
			return nil, p.addGroup(now, m)
		}
		return nil, p.modifyGroup(m)
	}
	if m.Group == openflow.GroupAll {
		return p.deleteAllGroups(now), nil
	}
	return p.deleteGroup(now, m.Group)
}

func (p *Pipeline) addGroup(now time.Duration, m *openflow.GroupMod) error {
	gs := &p.groups
	if gs.byID[m.Group] != nil {
		return groupError(openflow.GMFCGroupExists, "there is a group %d already; modify it, or delete it first", m.Group)
	}
	if gs.byType[m.Type] >= p.cfg.MaxGroups {
		return groupError(openflow.GMFCOutOfGroups, "there are %d groups of type %s already", p.cfg.MaxGroups, m.Type)
	}
	g, err := p.compileGroup(m)
	if err != nil {
		return err
	}
	g.Created, g.stats, g.slot = now, gs.newCounters(), gs.takeSlot()
	n := &groupNode{Group: g}
	gs.byID[g.ID] = n
	gs.byType[g.Type]++
	p.putGroup(n)
	p.changes.noteGroup(groupChange{node: n})
	return nil
}

// modifyGroup replaces type and buckets; duration and the group's own counters go on, those of the
// buckets begin anew (section 6.5).
func (p *Pipeline) modifyGroup(m *openflow.GroupMod) error {
	gs := &p.groups
	n := gs.byID[m.Group]
	if n == nil {
		return groupError(openflow.GMFCUnknownGroup, "there is no group %d; add it first", m.Group)
	}
	if m.Type != n.Type && gs.byType[m.Type] >= p.cfg.MaxGroups {
		return groupError(openflow.GMFCOutOfGroups, "there are %d groups of type %s already", p.cfg.MaxGroups, m.Type)
	}
	g, err := p.compileGroup(m)
	if err != nil {
		return err
	}
	g.Created, g.stats, g.slot = n.Created, n.stats, n.slot
	gs.byType[n.Type]--
	gs.byType[g.Type]++
	gs.unlink(n.Group)
	p.changes.noteGroup(groupChange{node: n, was: n.Group})
	n.Group = g
	p.putGroup(n)
	return nil
}

// putGroup enters a node's group into the directory and notes whom it uses.
func (p *Pipeline) putGroup(n *groupNode) {
	gs := &p.groups
	for _, u := range n.deps {
		to := gs.byID[u.id]
		if to.users == nil {
			to.users = map[uint32]groupUse{}
		}
		to.users[n.ID] = u
		if u.watches {
			gs.watched[u.id]++
		}
	}
	gs.set(n.slot, n.Group)
	p.dirty = true
}

// deleteGroup removes a group and every entry whose actions name it. One that is not there is no
// error; one that another group uses must stay.
func (p *Pipeline) deleteGroup(now time.Duration, id uint32) ([]Removed, error) {
	n := p.groups.byID[id]
	if n == nil {
		return nil, nil
	}
	for user := range n.users {
		return nil, groupError(openflow.GMFCChainedGroup, "group %d is used by group %d; change or delete that one first", id, user)
	}
	var gone []Removed
	if n.flows > 0 {
		gone = p.removeUsers(now, func(prog *Program) bool { return slices.Contains(prog.groups, id) })
	}
	p.changes.noteGroup(groupChange{node: n, was: n.Group})
	p.groups.remove(n)
	p.forgetPrograms()
	return gone, nil
}

func (p *Pipeline) deleteAllGroups(now time.Duration) []Removed {
	gone := p.removeUsers(now, func(prog *Program) bool { return len(prog.groups) > 0 })
	old := p.groups
	p.changes.noteGroup(groupChange{all: old})
	p.groups = groups{byID: map[uint32]*groupNode{}, watched: map[uint32]int{}, epoch: old.epoch + 1, dirty: true, lane: old.lane}
	p.forgetPrograms()
	return gone
}

// removeUsers removes the entries that the deleted groups take along.
func (p *Pipeline) removeUsers(now time.Duration, uses func(*Program) bool) (gone []Removed) {
	var found []*Entry
	for i := range p.tables {
		if p.tables[i].rules.Len() == 0 {
			continue
		}
		for r := range p.tables[i].rules.All() {
			if uses(r.Value.prog) {
				found = append(found, r.Value)
			}
		}
	}
	for _, e := range found {
		gone = p.remove(gone, now, e, openflow.RemovedGroupDelete)
	}
	return gone
}

// forgetPrograms drops what memo.go remembers: programs hold the slots of groups.
func (p *Pipeline) forgetPrograms() {
	clear(p.memo.slots[:])
	p.dirty = true
}

// refer notes that an entry with this program came (1) or went (-1). Requires p.mu.
func (p *Pipeline) refer(prog *Program, n int) {
	for _, id := range prog.groups {
		p.groups.byID[id].flows += n
	}
}

// newCounters deals the lanes out in turn, so that groups in use together rarely share one.
func (gs *groups) newCounters() *groupCounters {
	gs.lane++
	return &groupCounters{lane: gs.lane}
}

func (gs *groups) remove(n *groupNode) {
	gs.unlink(n.Group)
	delete(gs.byID, n.ID)
	gs.byType[n.Type]--
	gs.set(n.slot, nil)
	gs.free = append(gs.free, n.slot)
}

// unlink forgets whom a group used.
func (gs *groups) unlink(g *Group) {
	for _, u := range g.deps {
		delete(gs.byID[u.id].users, g.ID)
		if !u.watches {
			continue
		}
		if gs.watched[u.id]--; gs.watched[u.id] == 0 {
			delete(gs.watched, u.id)
		}
	}
}

// Groups lists all groups by number. It sees every GroupMod that came before, and publishes them.
func (p *Pipeline) Groups() []*Group {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.publish()
	list := make([]*Group, 0, len(p.groups.byID))
	for _, n := range p.groups.byID {
		list = append(list, n.Group)
	}
	slices.SortFunc(list, func(a, b *Group) int { return int(int64(a.ID) - int64(b.ID)) })
	return list
}

// GroupStats is what a group has seen (section 7.3.5.9).
type GroupStats struct {
	*Group
	RefCount       int // entries and groups whose actions name it
	Packets, Bytes uint64
	Duration       time.Duration
	PerBucket      []BucketStats
}

// BucketStats is what a bucket has seen since it was sent.
type BucketStats struct{ Packets, Bytes uint64 }

// GroupStats reads the counters of one group, or of all (openflow.GroupAll) by number. A group that
// is not there gives nothing.
func (p *Pipeline) GroupStats(now time.Duration, id uint32) []GroupStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.publish()
	var list []GroupStats
	if id != openflow.GroupAll {
		if n := p.groups.byID[id]; n != nil {
			list = append(list, n.counts(now))
		}
		return list
	}
	for _, n := range p.groups.byID {
		list = append(list, n.counts(now))
	}
	slices.SortFunc(list, func(a, b GroupStats) int { return int(int64(a.ID) - int64(b.ID)) })
	return list
}

func (n *groupNode) counts(now time.Duration) GroupStats {
	s := GroupStats{Group: n.Group, RefCount: n.flows, Packets: n.stats.packets.Load(), Bytes: n.stats.bytes.Load(),
		Duration: max(0, now-n.Created), PerBucket: make([]BucketStats, len(n.buckets))}
	for _, u := range n.users {
		if u.forwards {
			s.RefCount++
		}
	}
	for i := range n.buckets {
		c := n.buckets[i].stats
		s.PerBucket[i] = BucketStats{c.packets.Load(), c.bytes.Load()}
	}
	return s
}

// GroupFeatures is what the group table can do (section 7.3.5.11). All types are alike.
type GroupFeatures struct {
	Types        []openflow.GroupType
	Capabilities uint32 // OFPGFC bits
	MaxGroups    int    // of each type
	Actions      []openflow.ActionType
}

// GroupFeatures describes the group table.
func (p *Pipeline) GroupFeatures() GroupFeatures {
	return GroupFeatures{
		Types: []openflow.GroupType{openflow.GroupTypeAll, openflow.GroupTypeSelect, openflow.GroupTypeIndirect, openflow.GroupTypeFastFailover},
		Capabilities: openflow.GroupSelectWeight | openflow.GroupSelectLiveness | openflow.GroupChaining |
			openflow.GroupChainingChecks,
		MaxGroups: p.cfg.MaxGroups,
		Actions:   p.Features().Actions,
	}
}
