// Slow path: bundles: many changes that frames meet all at once or not at all, and the way back from half of them.

package flowtable

import (
	"slices"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// BundleStep is one message of a bundle: a FLOW_MOD, a GROUP_MOD, a PORT_MOD or a PACKET_OUT.
type BundleStep struct {
	Message openflow.Message
	Ports   []Port // of a PORT_MOD: all ports, as they are after it
}

// Bundled is what a bundle has done.
type Bundled struct {
	Removed []Removed
	Left    []uint32    // as SetPorts returns them
	Outs    []BundleOut // of the PACKET_OUTs, in their order
}

// BundleOut is what a PACKET_OUT of a bundle asks for: a program, on the tables as the messages before it have left
// them and nobody else sees them.
type BundleOut struct {
	prog *Program
	view *snapshot
}

// maxViews is how often a PACKET_OUT may follow a change in one bundle: each time takes a snapshot of its own.
const maxViews = 256

// Bundle carries out a list of messages, all of them or none, and publishes it. When all have succeeded it asks last
// (nil: nobody), which may still refuse. After an error, which the message at index failed has caused, everything is
// as it was before.
func (p *Pipeline) Bundle(now time.Duration, list []BundleStep, last func() (failed int, err error)) (done Bundled, failed int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.wayBack()
	if len(list) > 0 {
		p.changes.cause = &list[0]
	}
	defer w.end()
	var view *snapshot
	views := 0
	for i := range list {
		if out, ok := list[i].Message.(*openflow.PacketOut); !ok {
			view = nil
			err = p.step(now, &list[i], &done)
		} else {
			if view == nil {
				view = p.freezeDraft()
				views++
			}
			err = p.bundleOut(out, view, &done)
		}
		if err == nil && views > maxViews {
			err = openflow.BundleErrorf(openflow.BFCMsgTooMany, "more than %d PACKET_OUTs that follow a change", maxViews)
		}
		if err != nil {
			w.undo()
			return Bundled{}, i, err
		}
	}
	if last != nil {
		if failed, err := last(); err != nil {
			w.undo()
			return Bundled{}, failed, err
		}
	}
	p.publish()
	for _, no := range done.Left {
		p.macs.flush(MACFilter{Port: no})
	}
	return done, 0, nil
}

// step changes the draft.
func (p *Pipeline) step(now time.Duration, s *BundleStep, done *Bundled) (err error) {
	var gone []Removed
	switch m := s.Message.(type) {
	case *openflow.FlowMod:
		if err = p.checkFlowMod(m); err == nil {
			gone, err = p.flowMod(now, m)
		}
	case *openflow.GroupMod:
		if err = checkGroupMod(m); err == nil {
			gone, err = p.groupMod(now, m)
		}
	case *openflow.PortMod:
		done.Left = append(done.Left, p.setPorts(s.Ports)...)
	}
	done.Removed = append(done.Removed, gone...)
	return err
}

func (p *Pipeline) bundleOut(m *openflow.PacketOut, view *snapshot, done *Bundled) error {
	prog, err := p.compileActions(m.Actions)
	done.Outs = append(done.Outs, BundleOut{prog, view})
	return err
}

// freezeDraft is a snapshot that is not published: for the next one all is as if it had not been made.
func (p *Pipeline) freezeDraft() *snapshot {
	epoch, shown := p.epoch, p.altered.shown
	var dirty [maxTables]bool
	for i := range p.tables {
		dirty[i] = p.tables[i].dirty
	}
	s := p.freeze()
	for i := range p.tables {
		p.tables[i].dirty = dirty[i]
	}
	p.epoch, p.altered.shown, p.groups.dirty = epoch, shown, true
	return s
}

// BundleOuts runs the PACKET_OUTs of a bundle that has succeeded, each on its frame, as PacketOuts does.
func (pr *Processor) BundleOuts(now time.Duration, frames []*packet.Frame, outs []BundleOut, s Sink) {
	pr.begin(now, s)
	published := pr.snap
	for i, f := range frames {
		pr.see(outs[i].view) // no cached path serves a PACKET_OUT
		pr.packetOut(f, outs[i].prog)
	}
	pr.see(published)
	pr.end()
}

// wayBack is what a bundle needs to give up: the ports as they were, and where in the log of changes it began.
type wayBack struct {
	p     *Pipeline
	from  int
	ports []Port
	set   *portSet
}

// wayBack begins a bundle: from here on changes are remembered. Requires p.mu until its end.
func (p *Pipeline) wayBack() *wayBack {
	p.changes.bundle = true
	return &wayBack{p, len(p.changes.list), p.ports, p.set}
}

func (w *wayBack) end() {
	log := &w.p.changes
	log.bundle, log.cause, log.groups = false, nil, nil
	if !log.watched {
		log.list = nil
	}
}

// undo takes back all changes, the last first.
func (w *wayBack) undo() {
	p, log := w.p, &w.p.changes
	if p.set != w.set {
		p.ports, p.set, p.dirty = w.ports, w.set, true
	}
	groups := log.groups
	for i := len(log.list); i >= w.from; i-- {
		for n := len(groups); n > 0 && groups[n-1].at == i; n-- {
			p.undoGroup(&groups[n-1])
			groups = groups[:n-1]
		}
		if i > w.from {
			p.undoFlow(&log.list[i-1])
		}
	}
	if len(log.groups) > 0 {
		p.forgetPrograms()
	}
	clear(log.list[w.from:])
	log.list = log.list[:w.from]
}

// undoFlow takes back one change of an entry. It comes back as a copy, with its counters and its place in the order
// of dumps: the rule inside the old one may still be read.
func (p *Pipeline) undoFlow(c *Change) {
	was := c.old
	if c.Event == openflow.FlowEventDeleted {
		was = c.Entry
	}
	key, mask := c.Entry.rule.Key(), c.Entry.rule.Mask()
	t := &p.tables[c.Entry.Table]
	at := t.rules.Locate(&key, &mask, c.Entry.Priority)
	if was == nil {
		p.takeAway(at.Rule.Value)
		return
	}
	if c.Event == openflow.FlowEventAdded && was.stats == c.Entry.stats {
		// It took the other's counters over, and with them said that a frame had just come. One may have, since.
		was.stats.used.CompareAndSwap(int64(c.Entry.Created), int64(c.used))
	}
	n := was.again(was.prog)
	n.rule.Keep(was.rule.Order())
	p.insert(t, n, at, &key, &mask)
}

// groupChange is what a bundle has done to the group table.
type groupChange struct {
	at   int        // how many changes of entries came before
	node *groupNode // that was added, changed or deleted; nil: all were deleted
	was  *Group     // of node, before it was changed or deleted; nil: it was added
	all  groups     // that were deleted
}

func (l *changeLog) noteGroup(c groupChange) {
	if l.bundle {
		c.at = len(l.list)
		l.groups = append(l.groups, c)
	}
}

// undoGroup takes back one change of the group table. A deleted group comes back to its slot, which entries that come
// back name.
func (p *Pipeline) undoGroup(c *groupChange) {
	gs := &p.groups
	switch n := c.node; {
	case n == nil:
		*gs = c.all
		gs.dirty, p.dirty = true, true
	case c.was == nil:
		gs.remove(n)
	case gs.byID[n.ID] == n:
		gs.byType[n.Type]--
		gs.byType[c.was.Type]++
		gs.unlink(n.Group)
		n.Group = c.was
		p.putGroup(n)
	default:
		at := slices.Index(gs.free, n.slot)
		gs.free = slices.Delete(gs.free, at, at+1)
		gs.byID[n.ID] = n
		gs.byType[n.Type]++
		p.putGroup(n)
	}
}
