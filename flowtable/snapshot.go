// Slow path: the immutable view that packets see, and how the draft becomes one.

package flowtable

import (
	"github.com/weirswitch/weir/flowtable/classifier"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// snapshot is everything that decides about a frame except counters, the MAC table and time. It is
// built under Pipeline.mu, never changes afterwards, and is alive as long as a processor uses it.
type snapshot struct {
	epoch  uint64                    // counts publications, from 1
	tables []classifier.View[*Entry] // up to the last table that has entries; beyond it all is miss
	ports  *portSet
	groups groupDirectory
	alive  slotSet // which of the groups that others watch are live
	meters *meterSet
	frags  openflow.FragFlags // what becomes of fragments of IP packets

	// Frames that are equal in these bits of the header words, and have the same headers, go the same way.
	reads packet.Mask

	recent []alteration // the last ones, the newest at the end
	last   uint64       // number of the newest
}

// freeze makes the draft a snapshot. Only tables that changed are frozen anew.
func (p *Pipeline) freeze() *snapshot {
	p.epoch++
	s := &snapshot{epoch: p.epoch, ports: p.set, meters: p.meters.freeze(), frags: p.fragments}
	p.freezeGroups(s, p.snap.Load())
	p.altered.freeze(s)
	last := -1
	for i := range p.tables {
		t := &p.tables[i]
		if t.dirty {
			t.view, t.dirty = t.rules.Freeze(), false
		}
		if t.rules.Len() == 0 {
			t.reads = packet.Mask{}
			continue
		}
		last = i
		for w := range t.reads {
			s.reads[w] |= t.reads[w]
		}
	}
	s.tables = make([]classifier.View[*Entry], last+1)
	for i := range s.tables {
		s.tables[i] = p.tables[i].view
	}
	return s
}
