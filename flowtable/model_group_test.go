package flowtable

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// modelGroup is a group told plainly: the message, and counts. Whether a bucket is live is asked of
// the ports each time, and the groups that use it are found by looking at all.
type modelGroup struct {
	*openflow.GroupMod
	created time.Duration
	count   BucketStats
	buckets []BucketStats
}

// uses lists the groups that a GROUP_MOD's buckets forward to, and those that they watch.
func uses(gm *openflow.GroupMod) (forwards, watches []uint32) {
	for _, b := range gm.Buckets {
		for a := range b.Actions.All() {
			if a.Type == openflow.ActionGroup {
				forwards = append(forwards, a.Group)
			}
		}
		if b.WatchGroup != openflow.GroupAny {
			watches = append(watches, b.WatchGroup)
		}
	}
	return forwards, watches
}

// reaches: can one come from group a to group b?
func (m *model) reaches(a, b uint32) bool {
	if a == b {
		return true
	}
	g := m.groups[a]
	if g == nil {
		return false
	}
	to, watched := uses(g.GroupMod)
	return slices.ContainsFunc(append(to, watched...), func(next uint32) bool { return m.reaches(next, b) })
}

// groupMod gives the removed flows, or the names of the errors of which one must come.
func (m *model) groupMod(gm *openflow.GroupMod) (removed []string, failed string) {
	old := m.groups[gm.Group]
	switch {
	case gm.Command == openflow.GroupDelete:
		return m.deleteGroup(gm.Group)
	case gm.Type == openflow.GroupTypeIndirect && len(gm.Buckets) != 1:
		return nil, "INVALID_GROUP"
	case gm.Command == openflow.GroupAdd && old != nil:
		return nil, "GROUP_EXISTS"
	case gm.Command == openflow.GroupModify && old == nil:
		return nil, "UNKNOWN_GROUP"
	}
	to, watched := uses(gm)
	for i, id := range append(slices.Clone(to), watched...) {
		switch {
		case m.reaches(id, gm.Group):
			failed += " LOOP"
		case m.groups[id] == nil && (i < len(to) || slices.Contains(to, id)):
			failed += " BAD_OUT_GROUP"
		case m.groups[id] == nil:
			failed += " BAD_WATCH"
		}
	}
	if failed != "" {
		return nil, failed
	}
	n := &modelGroup{GroupMod: gm, created: m.now, buckets: make([]BucketStats, len(gm.Buckets))}
	if old != nil {
		n.created, n.count = old.created, old.count
	}
	m.groups[gm.Group] = n
	return nil, ""
}

func (m *model) deleteGroup(id uint32) (removed []string, failed string) {
	if m.groups[id] == nil && id != openflow.GroupAll {
		return nil, ""
	}
	for _, g := range m.groups {
		if to, watched := uses(g.GroupMod); slices.Contains(to, id) || slices.Contains(watched, id) {
			return nil, "CHAINED_GROUP"
		}
	}
	for _, f := range slices.Clone(m.flows) {
		if modelRuns(f.Instructions, id) {
			removed = append(removed, m.remove(f, openflow.RemovedGroupDelete)...)
		}
	}
	delete(m.groups, id)
	if id == openflow.GroupAll {
		clear(m.groups)
	}
	return removed, ""
}

func modelRuns(list openflow.Instructions, id uint32) bool {
	for in := range list.All() {
		for a := range in.Actions.All() {
			if a.Type == openflow.ActionGroup && (a.Group == id || id == openflow.GroupAll) {
				return true
			}
		}
	}
	return false
}

func (m *model) knows(list openflow.Actions) bool {
	for a := range list.All() {
		if a.Type == openflow.ActionGroup && m.groups[a.Group] == nil {
			return false
		}
	}
	return true
}

func (m *model) knowsGroups(fm *openflow.FlowMod) bool {
	for in := range fm.Instructions.All() {
		if !m.knows(in.Actions) {
			return false
		}
	}
	return true
}

// liveness

func (m *model) portLive(no uint32) bool {
	p := m.port(no)
	return p != nil && p.LinkUp && p.Config&openflow.PortDown == 0
}

func (m *model) groupLive(id uint32) bool {
	g := m.groups[id]
	return slices.ContainsFunc(g.Buckets, func(b openflow.Bucket) bool { return m.bucketLive(g, &b) })
}

func (m *model) bucketLive(g *modelGroup, b *openflow.Bucket) bool {
	if b.WatchPort == openflow.PortAny && b.WatchGroup == openflow.GroupAny {
		if g.Type != openflow.GroupTypeSelect {
			return true
		}
		group, port := int64(-1), int64(-1) // where it sends to
		for a := range b.Actions.All() {
			switch {
			case a.Type == openflow.ActionGroup:
				group = int64(a.Group)
			case a.Type == openflow.ActionOutput && a.Port < openflow.PortMax:
				port = int64(a.Port)
			case a.Type == openflow.ActionOutput:
				port = -1
			}
		}
		return group >= 0 && m.groupLive(uint32(group)) || group < 0 && (port < 0 || m.portLive(uint32(port)))
	}
	return b.WatchPort != openflow.PortAny && m.portLive(uint32(b.WatchPort)) ||
		b.WatchGroup != openflow.GroupAny && m.groupLive(b.WatchGroup)
}

// the frame's side

func (m *model) runGroup(x *modelFrame, id uint32) {
	g := m.groups[id]
	size := uint64(x.f.Len())
	g.count.Packets++
	g.count.Bytes += size
	for _, i := range m.chosen(g, x.f) {
		g.buckets[i].Packets++
		g.buckets[i].Bytes += size
		y := &modelFrame{f: packet.NewFrame(0), flow: x.flow, queue: x.queue, group: true}
		x.f.CopyTo(y.f)
		for a := range g.Buckets[i].Actions.All() {
			y.write(a)
		}
		m.runSet(y)
	}
}

func (m *model) chosen(g *modelGroup, f *packet.Frame) (list []int) {
	for i := range g.Buckets {
		if m.bucketLive(g, &g.Buckets[i]) {
			list = append(list, i)
		}
	}
	switch g.Type {
	case openflow.GroupTypeSelect:
		return m.share(g, f, list)
	case openflow.GroupTypeFastFailover:
		return list[:min(1, len(list))]
	}
	return list
}

// share cuts the numbers below 2^64 into pieces as long as the weights are, and takes the piece in
// which the frame's hash lies. A dead bucket sends it to another number, at most three times; then
// only the live buckets have pieces.
func (m *model) share(g *modelGroup, f *packet.Frame, live []int) []int {
	all := make([]int, len(g.Buckets))
	for i := range all {
		all[i] = i
	}
	factor := mix(m.seed^uint64(g.Group), hashPrime) | 1
	h := m.hash(f)
	h = (h ^ h>>32) * hashPrime
	h = (h ^ h>>29) * factor
	for try := range 5 {
		from := all
		if try == 4 {
			from = live
		}
		sum := uint64(0)
		for _, i := range from {
			sum += uint64(g.Buckets[i].Weight)
		}
		place, _ := bits.Mul64(h, sum)
		for _, i := range from {
			w := uint64(g.Buckets[i].Weight)
			if place < w {
				if slices.Contains(live, i) {
					return []int{i}
				}
				break
			}
			place -= w
		}
		h = mix(h^factor, hashPrime)
	}
	return nil
}

// what there is to compare

func (m *model) groupTexts() (s []string) {
	for _, id := range slices.Sorted(maps.Keys(m.groups)) {
		g := m.groups[id]
		refs := 0
		for _, o := range m.groups {
			if to, _ := uses(o.GroupMod); slices.Contains(to, id) {
				refs++
			}
		}
		for _, f := range m.flows {
			if modelRuns(f.Instructions, id) {
				refs++
			}
		}
		s = append(s, fmt.Sprintf("group=%d refs=%d %v buckets=%v duration=%v", id, refs, g.count, g.buckets, m.now-g.created))
	}
	return s
}

func groupTexts(list []GroupStats) (s []string) {
	for _, g := range list {
		s = append(s, fmt.Sprintf("group=%d refs=%d %v buckets=%v duration=%v", g.ID, g.RefCount, BucketStats{g.Packets, g.Bytes}, g.PerBucket, g.Duration))
	}
	return s
}

// random groups

func (l *life) groupMod() {
	gm := randomGroupMod(l.r)
	if l.tied(gm.String()) {
		return
	}
	l.step = fmt.Sprintf("group mod %v", gm)
	gone, failed := l.model.groupMod(gm)
	for _, g := range l.rigs {
		removed, err := g.GroupMod(l.now, gm)
		g.Publish()
		l.equal("removed with the group", removedText(removed), sorted(gone))
		var e *openflow.Error
		if (err != nil) != (failed != "") || err != nil && (!errors.As(err, &e) || !slices.ContainsFunc(strings.Fields(failed), func(f string) bool { return strings.Contains(e.Error(), f) })) {
			l.t.Errorf("%v: engine %v, model %q", gm, err, failed)
		}
	}
}

func randomGroupMod(r *rand.Rand) *openflow.GroupMod {
	gm := &openflow.GroupMod{Group: uint32(1 + r.IntN(6)), Type: openflow.GroupType(r.IntN(4))}
	switch r.IntN(8) {
	case 0, 1:
		gm.Command = openflow.GroupModify
	case 2:
		gm.Command = openflow.GroupDelete
		if r.IntN(8) == 0 {
			gm.Group = openflow.GroupAll
		}
		return gm
	}
	n := r.IntN(5)
	if gm.Type == openflow.GroupTypeIndirect && r.IntN(10) != 0 {
		n = 1
	}
	for range n {
		b := openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: openflow.NewActions(randomActions(r, false, nil)...)}
		if r.IntN(4) != 0 {
			b.Actions = openflow.NewActions(append(slices.Collect(b.Actions.All()), openflow.Output(openflow.PortNo(1+r.IntN(5))))...)
		}
		watches := gm.Type == openflow.GroupTypeFastFailover || gm.Type == openflow.GroupTypeSelect && r.IntN(2) == 0
		if watches {
			b.WatchPort = openflow.PortNo(1 + r.IntN(6))
			if r.IntN(3) == 0 {
				b.WatchGroup = uint32(1 + r.IntN(6))
				if r.IntN(2) == 0 {
					b.WatchPort = openflow.PortAny
				}
			}
		}
		if gm.Type == openflow.GroupTypeSelect {
			b.Weight = uint16(r.IntN(4))
		}
		gm.Buckets = append(gm.Buckets, b)
	}
	return gm
}
