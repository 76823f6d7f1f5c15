// Hot path: port numbers to ports, in a table that never changes once workers can see it.

package agent

import "github.com/weirswitch/weir/openflow"

// portTable finds a port by number in two array reads. A change makes a new table that shares the
// pages it does not touch.
type portTable struct {
	pages [256]*portPage // by the high byte of numbers below 0x10000
	local *port
	slots int     // one more than the highest port.slot: how many out-batches a worker needs
	list  []*port // in order of number
}

type portPage [256]*port

// get returns the port or nil.
func (t *portTable) get(number uint32) *port {
	if number < 0x10000 {
		if page := t.pages[number>>8]; page != nil {
			return page[number&0xff]
		}
		return nil
	}
	if number == uint32(openflow.PortLocal) {
		return t.local
	}
	return nil
}

// with returns the table plus p.
func (t *portTable) with(p *port) *portTable {
	n := t.set(p.number, p)
	n.slots = max(n.slots, p.slot+1)
	i := 0
	for i < len(t.list) && t.list[i].number < p.number {
		i++
	}
	n.list = append(append(append(make([]*port, 0, len(t.list)+1), t.list[:i]...), p), t.list[i:]...)
	return n
}

// without returns the table minus the port of that number.
func (t *portTable) without(number uint32) *portTable {
	n := t.set(number, nil)
	n.list = nil
	for _, p := range t.list {
		if p.number != number {
			n.list = append(n.list, p)
		}
	}
	return n
}

func (t *portTable) set(number uint32, p *port) *portTable {
	n := *t
	if number == uint32(openflow.PortLocal) {
		n.local = p
		return &n
	}
	page := new(portPage)
	if old := t.pages[number>>8]; old != nil {
		*page = *old
	}
	page[number&0xff] = p
	n.pages[number>>8] = page
	return &n
}

// named returns the port of that name or nil; for the slow path only.
func (t *portTable) named(name string) *port {
	for _, p := range t.list {
		if p.name == name {
			return p
		}
	}
	return nil
}
