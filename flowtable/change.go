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
	old    *Entry                     // that Entry replaced, if it did
	used   time.Duration              // when a frame last met old, which an ADD replaced
}

// changeLog remembers changes while somebody wants them. Guarded by Pipeline.mu.
type changeLog struct {
	watched bool // TakeChanges is going to be called
	bundle  bool // Bundle is under way
	list    []Change
	groups  []groupChange // of the bundle
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
