// Slow path: how snapshots share the groups, and which of the watched ones are live. get is hot.

package flowtable

import "github.com/weirswitch/weir/openflow"

// groupDirectory finds a group by its slot in two array reads. A change copies one page of it.
type groupDirectory []*groupPage

type groupPage struct {
	epoch uint64 // the draft's, when the page was made: pages of an older epoch are shared
	at    [256]*Group
}

// get is the group in a slot, nil when there is none with that number: a PACKET_OUT's program may
// have outlived it.
func (d groupDirectory) get(slot uint64, id uint32) *Group {
	if slot>>8 >= uint64(len(d)) {
		return nil
	}
	g := d[slot>>8].at[slot&0xff]
	if g == nil || g.ID != id {
		return nil
	}
	return g
}

func (gs *groups) takeSlot() uint32 {
	if n := len(gs.free); n > 0 {
		slot := gs.free[n-1]
		gs.free = gs.free[:n-1]
		return slot
	}
	slot := gs.next
	gs.next++
	if slot&0xff == 0 {
		gs.slots = append(gs.slots, &groupPage{epoch: gs.epoch})
	}
	return slot
}

func (gs *groups) set(slot uint32, g *Group) {
	page := gs.slots[slot>>8]
	if page.epoch != gs.epoch {
		c := *page
		c.epoch = gs.epoch
		page = &c
		gs.slots[slot>>8] = page
	}
	page.at[slot&0xff] = g
	gs.dirty = true
}

// slotSet is one bit for each slot.
type slotSet []uint64

func (s slotSet) has(slot uint32) bool {
	return int(slot>>6) < len(s) && s[slot>>6]>>(slot&63)&1 != 0
}

// freezeGroups gives a snapshot its groups, those of the last one if nothing changed. last is nil for
// the first snapshot.
func (p *Pipeline) freezeGroups(s, last *snapshot) {
	gs := &p.groups
	if last != nil && !gs.dirty && last.ports == s.ports {
		s.groups, s.alive = last.groups, last.alive
		return
	}
	if last != nil && !gs.dirty {
		s.groups = last.groups
	} else {
		s.groups = append(groupDirectory(nil), gs.slots...)
		gs.epoch++
		gs.dirty = false
	}
	if len(gs.watched) == 0 {
		return
	}
	s.alive = make(slotSet, gs.next>>6+1)
	known := map[uint32]bool{}
	for id := range gs.watched {
		if n := gs.byID[id]; gs.live(n, s.ports, known) {
			s.alive[n.slot>>6] |= 1 << (n.slot & 63)
		}
	}
}

// live: a group is live if at least one of its buckets is (section 6.5).
func (gs *groups) live(n *groupNode, ports *portSet, known map[uint32]bool) bool {
	if live, ok := known[n.ID]; ok {
		return live
	}
	live := false
	for i := range n.buckets {
		if live = gs.bucketLive(n.Group, i, ports, known); live {
			break
		}
	}
	known[n.ID] = live
	return live
}

// bucketLive tells what Processor.live will tell in the snapshot that is being made.
func (gs *groups) bucketLive(g *Group, i int, ports *portSet, known map[uint32]bool) bool {
	w := &g.buckets[i].watch
	if !w.byPort && !w.byGroup {
		return true
	}
	if w.byPort && ports.live(w.port) {
		return true
	}
	if !w.byGroup {
		return false
	}
	id := g.Buckets[i].WatchGroup
	if id == openflow.GroupAny { // what a select group's bucket sends to
		ops := g.buckets[i].ops
		id = ops[len(ops)-1].port
	}
	return gs.live(gs.byID[id], ports, known)
}

// live reports a port that exists, has a link and is not PORT_DOWN (OFPPS_LIVE, section 7.2.1).
func (s *portSet) live(no uint32) bool {
	p := s.get(no)
	return p != nil && !p.down
}
