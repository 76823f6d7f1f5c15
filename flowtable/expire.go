// Slow path: timeouts, by a heap of deadlines that looks only at what is due.

package flowtable

import (
	"time"

	"github.com/weirswitch/weir/openflow"
)

// timed is a thing with a place in an agenda; the place belongs to the agenda.
type timed interface{ agendaPlace() *int32 }

// agenda is a binary heap of things by the time at which to look at them again. That time is a
// promise not to be late, nothing more: a thing used meanwhile is put back when its turn comes, so
// the forwarding path never touches the agenda. Place 0 means "not in it".
type agenda[T timed] struct {
	items []agendaItem[T]
}

type agendaItem[T timed] struct {
	when time.Duration
	what T
}

// next is the earliest time, and the thing.
func (a *agenda[T]) next() (time.Duration, T, bool) {
	if len(a.items) == 0 {
		var none T
		return 0, none, false
	}
	return a.items[0].when, a.items[0].what, true
}

// put enters a thing, or moves it to another time.
func (a *agenda[T]) put(what T, when time.Duration) {
	place := what.agendaPlace()
	if *place == 0 {
		a.items = append(a.items, agendaItem[T]{when, what})
		*place = int32(len(a.items))
		a.up(len(a.items) - 1)
		return
	}
	i := int(*place) - 1
	a.items[i].when = when
	a.down(a.up(i))
}

// drop takes a thing out, if it is in.
func (a *agenda[T]) drop(what T) {
	place := what.agendaPlace()
	if *place == 0 {
		return
	}
	i, last := int(*place)-1, len(a.items)-1
	*place = 0
	if i != last {
		a.set(i, a.items[last])
	}
	a.items[last] = agendaItem[T]{}
	a.items = a.items[:last]
	if i != last {
		a.down(a.up(i))
	}
	if last < cap(a.items)/4 && last > 1024 {
		a.items = append(make([]agendaItem[T], 0, 2*last), a.items...)
	}
}

func (a *agenda[T]) set(i int, it agendaItem[T]) {
	a.items[i] = it
	*it.what.agendaPlace() = int32(i + 1)
}

func (a *agenda[T]) up(i int) int {
	it := a.items[i]
	for i > 0 {
		parent := (i - 1) / 2
		if a.items[parent].when <= it.when {
			break
		}
		a.set(i, a.items[parent])
		i = parent
	}
	a.set(i, it)
	return i
}

func (a *agenda[T]) down(i int) {
	it := a.items[i]
	for {
		child := 2*i + 1
		if child >= len(a.items) {
			break
		}
		if r := child + 1; r < len(a.items) && a.items[r].when < a.items[child].when {
			child = r
		}
		if it.when <= a.items[child].when {
			break
		}
		a.set(i, a.items[child])
		i = child
	}
	a.set(i, it)
}

func (e *Entry) agendaPlace() *int32 { return &e.place }

// due is when the entry times out if nothing uses it until then, and why. Of two timeouts at the
// same moment the hard one is told.
func (e *Entry) due() (time.Duration, openflow.FlowRemovedReason) {
	idle := e.stats.lastUsed() + time.Duration(e.IdleTimeout)*time.Second
	hard := e.Created + time.Duration(e.HardTimeout)*time.Second
	if e.HardTimeout != 0 && (e.IdleTimeout == 0 || hard <= idle) {
		return hard, openflow.RemovedHardTimeout
	}
	return idle, openflow.RemovedIdleTimeout
}

// schedule enters the entry's next deadline, if it has any. Requires p.mu.
func (p *Pipeline) schedule(e *Entry) {
	if e.IdleTimeout != 0 || e.HardTimeout != 0 {
		when, _ := e.due()
		p.agenda.put(e, when)
	}
}

// Expire removes the entries whose idle or hard timeout has passed and publishes; MAC addresses
// not seen for their age go too, and fragments whose packet does not become complete. It returns the entries
// that asked for a FLOW_REMOVED. The cost is
// that of what is due. Call it every 50 ms or so, or when Due says: an entry goes at the first call after its time.
func (p *Pipeline) Expire(now time.Duration) []Removed {
	p.macs.expire(now)
	p.expireFragments(now, false)
	p.mu.Lock()
	defer p.mu.Unlock()
	var gone []Removed
	for {
		when, e, any := p.agenda.next()
		if !any || when > now {
			break
		}
		due, reason := e.due()
		if due > now { // used since it was entered
			p.agenda.put(e, due)
			continue
		}
		gone = p.remove(gone, now, e, reason)
	}
	p.publish()
	return gone
}

// Due is the earliest time at which Expire may find something to do among what is there now; any is false if there is no
// such time. What comes later may be due a second after it came.
func (p *Pipeline) Due(now time.Duration) (when time.Duration, any bool) {
	when, any = p.macs.due()
	if p.frags.waits() {
		when, any = now, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if first, _, some := p.agenda.next(); some && (!any || first < when) {
		when, any = first, true
	}
	return when, any
}
