// Slow path: what happened to entries, remembered for those who watch them and for the way back.

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
	old    *Entry                     // that Entry replaced, if it did
}

// changeLog remembers changes while somebody wants them. Guarded by Pipeline.mu.
type changeLog struct {
	watched bool // TakeChanges is going to be called
	bundle  bool // FlowMods is under way
	list    []Change
}

func (l *changeLog) wanted() bool { return l.watched || l.bundle }

func (l *changeLog) note(c Change) {
	if l.wanted() {
		l.list = append(l.list, c)
	}
}

// Watch says whether changes are to be remembered for TakeChanges.
func (p *Pipeline) Watch(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes.watched, p.changes.list = on, nil
}

// TakeChanges gives, in their order, the changes since it was last called.
func (p *Pipeline) TakeChanges() []Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.changes.list
	p.changes.list = nil
	return list
}

// FlowMods carries out a list of FLOW_MODs, all of them or none: after an error, which the one at index
// failed has caused, the draft is what it was before. Nobody publishes a part of it.
func (p *Pipeline) FlowMods(now time.Duration, list []*openflow.FlowMod) (removed []Removed, failed int, err error) {
	for i, m := range list {
		if err := p.checkFlowMod(m); err != nil {
			return nil, i, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := len(p.changes.list)
	p.changes.bundle = true
	defer func() {
		if p.changes.bundle = false; !p.changes.watched {
			p.changes.list = nil
		}
	}()
	for i, m := range list {
		gone, err := p.flowMod(now, m)
		if err != nil {
			p.undo(before)
			return nil, i, err
		}
		removed = append(removed, gone...)
	}
	return removed, 0, nil
}

// undo takes back the changes from index on, the last first. An entry comes back as a copy, with its
// counters and its place in the order of dumps: the rule inside the old one may still be read.
func (p *Pipeline) undo(index int) {
	log := &p.changes
	for i := len(log.list) - 1; i >= index; i-- {
		c := &log.list[i]
		was := c.old
		if c.Event == openflow.FlowEventDeleted {
			was = c.Entry
		}
		key, mask := c.Entry.rule.Key(), c.Entry.rule.Mask()
		t := &p.tables[c.Entry.Table]
		at := t.rules.Locate(&key, &mask, c.Entry.Priority)
		if was == nil {
			p.takeAway(at.Rule.Value)
			continue
		}
		n := was.again(was.prog)
		p.insert(t, n, at, &key, &mask)
		t.rules.Reorder(&n.rule, was.rule.Order())
	}
	clear(log.list[index:])
	log.list = log.list[:index]
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
