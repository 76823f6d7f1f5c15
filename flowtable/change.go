// Slow path: what happened to entries, remembered for those who watch them and for the way back (bundle.go).

package flowtable

import (
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// Change is what happened to one entry.
type Change struct {
	Event  openflow.FlowEvent
	Entry  *Entry                     // as it is now; a deleted one as it was
	Reason openflow.FlowRemovedReason // of a deletion
	Cause  any                        // what asked for it: a message, or the first step of a bundle; nil: time, or a new shape of the tables
	old    *Entry                     // that Entry replaced, if it did
	used   time.Duration              // when a frame last met old, which an ADD replaced
}

// changeLog remembers changes while somebody wants them. Guarded by Pipeline.mu.
type changeLog struct {
	watched bool // TakeChanges is going to be called
	bundle  bool // Bundle is under way
	cause   any  // of what is being done
	list    []Change
	groups  []groupChange // of the bundle
}

func (l *changeLog) wanted() bool { return l.watched || l.bundle }

func (l *changeLog) note(c Change) {
	if l.wanted() {
		c.Cause = l.cause
		l.list = append(l.list, c)
	}
}

// Unwatch ends what Mark began: changes are no longer remembered.
func (p *Pipeline) Unwatch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes.watched, p.changes.list = false, nil
}

// Moment is the entries as they were at some time.
type Moment struct {
	p    *Pipeline
	snap *snapshot
}

// Mark begins to remember changes, if nobody has yet. It gives those since TakeChanges was last called, and the
// entries as they are now: what is taken next comes after.
func (p *Pipeline) Mark() ([]Change, Moment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.publish()
	list := p.changes.list
	p.changes.watched, p.changes.list = true, nil
	return list, Moment{p, p.snap.Load()}
}

// Flows is Pipeline.Flows of that time.
func (m Moment) Flows(f FlowFilter) ([]*Entry, error) {
	list, err := m.p.collectFrom(m.snap, f)
	sortEntries(list)
	return list, err
}

// TakeChanges gives, in their order, the changes since it was last called.
func (p *Pipeline) TakeChanges() []Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.changes.list
	p.changes.list = nil
	return list
}

// Selected reports whether the filter selects the entry, as it is or as it was.
func (c *Change) Selected(f *FlowFilter) bool {
	return f.Meets(c.Entry) || c.old != nil && f.Meets(c.old)
}

// Meets reports whether an entry is one of those that the filter selects.
func (f *FlowFilter) Meets(e *Entry) bool {
	if f.Table != openflow.TableAll && f.Table != e.Table || !cookieMeets(e, f.Cookie, f.CookieMask) || !e.sendsTo(f.OutPort, f.OutGroup) {
		return false
	}
	var key packet.Key
	var mask packet.Mask
	compileMatch(f.Match, &key, &mask)
	k, m := e.rule.Key(), e.rule.Mask()
	for i, bits := range mask {
		if m[i]&bits != bits || (k[i]^key[i])&bits != 0 {
			return false
		}
	}
	return true
}
