// Slow path: flow entries, and what FLOW_MOD does to them (section 6.4).

package flowtable

import (
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/flowtable/classifier"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// Entry is a flow entry: what was installed, exactly as it was sent, and its compiled form. It does
// not change, but for its counters; a modification makes a new Entry that shares them.
type Entry struct {
	Table        uint8
	Priority     uint16
	Flags        openflow.FlowModFlags
	IdleTimeout  uint16 // seconds
	HardTimeout  uint16 // seconds
	Cookie       uint64
	Match        openflow.Match
	Instructions openflow.Instructions
	Created      time.Duration // when the ADD came, on the switch's clock

	prog  *Program
	stats *entryStats
	rule  *classifier.Rule[*Entry]
	seq   uint64 // order of insertion; a replacement takes its predecessor's
	place int32  // in the agenda; guarded by Pipeline.mu
	miss  bool   // the table-miss entry: priority 0, no match field (section 5.4)
}

// entryStats are an entry's counters. Processors add to them once a batch.
type entryStats struct {
	packets, bytes atomic.Uint64
	used           atomic.Int64 // time.Duration of the last frame, or of the ADD
}

func (s *entryStats) lastUsed() time.Duration { return time.Duration(s.used.Load()) }

// Counters are what an entry has seen (section 5.8).
type Counters struct {
	Packets, Bytes uint64
	Duration       time.Duration // since it was added
	Idle           time.Duration // since the last frame, or since it was added
}

// Counters reads the entry's counters. Frames count when their batch ends.
func (e *Entry) Counters(now time.Duration) Counters {
	return Counters{
		Packets: e.stats.packets.Load(), Bytes: e.stats.bytes.Load(),
		Duration: max(0, now-e.Created), Idle: max(0, now-e.stats.lastUsed()),
	}
}

// Removed is an entry that has gone and had asked for a FLOW_REMOVED. Last are its counters when it
// left the draft: a frame that meets it until Publish, or in a batch that began before, is not among
// them. For the final ones ask Counters again when those batches have ended.
type Removed struct {
	*Entry
	Reason openflow.FlowRemovedReason
	Last   Counters
}

// FlowMod carries out one FLOW_MOD on the draft; Publish makes it visible. BufferID is the
// caller's affair. The message's memory is not kept. It returns the deleted entries that had asked
// for a FLOW_REMOVED. The error is an *openflow.Error, and then nothing has changed.
func (p *Pipeline) FlowMod(now time.Duration, m *openflow.FlowMod) ([]Removed, error) {
	if err := p.checkFlowMod(m); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.hasTable(m.TableID) && !(m.TableID == openflow.TableAll && (isDelete(m.Command) || isModify(m.Command) && m.Loose != nil)) {
		return nil, openflow.Errorf(openflow.ErrFlowModFailed, openflow.FMFCBadTableID,
			"there is no table %d; %s, or 255 in a delete", m.TableID, p.tablesText())
	}
	switch m.Command {
	case openflow.FlowAdd:
		return nil, p.add(now, m)
	case openflow.FlowModify, openflow.FlowModifyStrict:
		return nil, p.modify(now, m)
	}
	return p.delete(now, m), nil
}

// checkFlowMod judges what does not depend on the tables. A message from the wire has been through
// most of it; one made in the program has not.
func (p *Pipeline) checkFlowMod(m *openflow.FlowMod) error {
	fail := func(code uint16, format string, args ...any) error {
		return openflow.Errorf(openflow.ErrFlowModFailed, code, format, args...)
	}
	const all = openflow.FlowSendRemoved | openflow.FlowCheckOverlap | openflow.FlowResetCounts |
		openflow.FlowNoPacketCounts | openflow.FlowNoByteCounts
	switch {
	case m.Command > openflow.FlowDeleteStrict:
		return fail(openflow.FMFCBadCommand, "command %d, the highest is %d", m.Command, openflow.FlowDeleteStrict)
	case m.Flags&^all != 0:
		return fail(openflow.FMFCBadFlags, "flags 0x%x are not defined", uint16(m.Flags&^all))
	}
	if err := m.Match.Check(); err != nil {
		return err
	}
	if isDelete(m.Command) {
		return nil // "the instructions field is ignored"
	}
	return m.Instructions.Check()
}

func isDelete(c openflow.FlowModCommand) bool {
	return c == openflow.FlowDelete || c == openflow.FlowDeleteStrict
}

func isModify(c openflow.FlowModCommand) bool {
	return c == openflow.FlowModify || c == openflow.FlowModifyStrict
}

// add inserts an entry, or replaces the one with the same match and priority: that one's counters
// pass on unless RESET_COUNTS says no, its duration does not, and nobody is told that it went.
func (p *Pipeline) add(now time.Duration, m *openflow.FlowMod) error {
	prog, instructions, err := p.program(m.TableID, m)
	if err != nil {
		return err
	}
	t := &p.tables[m.TableID]
	key, mask := compileMatch(m.Match)
	if m.Flags&openflow.FlowCheckOverlap != 0 {
		if r := t.rules.Overlaps(&key, &mask, m.Priority); r != nil {
			return openflow.Errorf(openflow.ErrFlowModFailed, openflow.FMFCOverlap,
				"a frame could match this and %s, both of priority %d in table %d", r.Value.Match, m.Priority, m.TableID)
		}
	}
	old := t.rules.Find(&key, &mask, m.Priority)
	if old == nil && t.rules.Len() >= t.max {
		return openflow.Errorf(openflow.ErrFlowModFailed, openflow.FMFCTableFull, "table %d holds its %d entries", m.TableID, t.max)
	}
	e := &Entry{
		Table: m.TableID, Priority: m.Priority, Flags: m.Flags, IdleTimeout: m.IdleTimeout, HardTimeout: m.HardTimeout,
		Cookie: m.Cookie, Match: m.Match.Clone(), Instructions: instructions, Created: now,
		prog: prog, stats: new(entryStats), miss: m.Priority == 0 && m.Match.IsEmpty(),
	}
	p.seq++
	e.seq = p.seq
	if old != nil {
		e.seq = old.Value.seq
		if m.Flags&openflow.FlowResetCounts == 0 {
			e.stats = old.Value.stats
		}
		p.agenda.drop(old.Value)
	}
	e.stats.used.Store(int64(now))
	p.insert(t, e, &key, &mask)
	p.schedule(e)
	return nil
}

// insert puts e into a draft table, in the place of one with the same match and priority.
func (p *Pipeline) insert(t *table, e *Entry, key *packet.Key, mask *packet.Mask) {
	e.rule = classifier.NewRule(key, mask, e.Priority, e)
	p.refer(e.prog, 1)
	if old := t.rules.Insert(e.rule); old != nil {
		p.refer(old.Value.prog, -1)
		p.meters.leave(old.Value)
	}
	p.meters.join(e)
	t.reads.Or(mask)
	if e.prog.next != noTable {
		t.shape = e.prog.dependencies(&t.reads) || t.shape
	}
	p.touch(t)
}

// modify gives the selected entries other instructions; cookie, timeouts, flags, duration and,
// without RESET_COUNTS, counters stay. Selecting none is no error and adds none. The entries'
// matches are at least as specific as the request's, so what fits the one fits all. A loose modify
// changes cookies, too, may mean all tables, and adds an entry if it has found none.
func (p *Pipeline) modify(now time.Duration, m *openflow.FlowMod) error {
	tables := p.tables
	if m.TableID != openflow.TableAll {
		tables = tables[m.TableID : m.TableID+1]
	}
	var found []*Entry
	for i := range tables {
		for e := range p.selected(&tables[i], m) {
			found = append(found, e)
		}
	}
	if m.Loose != nil && len(found) == 0 {
		return p.addInstead(now, m)
	}
	// All is compiled before anything changes: what a later table refuses leaves the earlier ones alone.
	progs := map[uint8]compiled{}
	if m.TableID != openflow.TableAll {
		progs[m.TableID] = compiled{} // judged even when it is for nobody
	}
	for _, e := range found {
		progs[e.Table] = compiled{}
	}
	for t := range progs {
		prog, instructions, err := p.program(t, m)
		if err != nil {
			return err
		}
		progs[t] = compiled{prog, instructions}
	}
	for _, e := range found {
		c := progs[e.Table]
		p.replace(e, m, c.prog, c.list)
	}
	return nil
}

// compiled is a program and the instructions that it came from.
type compiled struct {
	prog *Program
	list openflow.Instructions
}

// addInstead is what a loose modify does that has found no entry. One that compares cookies, or would
// keep them, has meant entries that are there.
func (p *Pipeline) addInstead(now time.Duration, m *openflow.FlowMod) error {
	if m.CookieMask != 0 || m.Loose.NewCookie == ^uint64(0) {
		return nil
	}
	a := *m
	a.Cookie = m.Loose.NewCookie
	if a.TableID == openflow.TableAll {
		a.TableID = 0
	}
	return p.add(now, &a)
}

// replace puts e, with other instructions, in its own place.
func (p *Pipeline) replace(e *Entry, m *openflow.FlowMod, prog *Program, list openflow.Instructions) {
	p.agenda.drop(e)
	n := *e
	n.Instructions, n.prog = list, prog
	if m.Loose != nil && m.Loose.NewCookie != ^uint64(0) {
		n.Cookie = m.Loose.NewCookie
	}
	if m.Flags&openflow.FlowResetCounts != 0 {
		n.stats = new(entryStats)
		n.stats.used.Store(e.stats.used.Load())
	}
	key, mask := e.rule.Key(), e.rule.Mask()
	p.insert(&p.tables[e.Table], &n, &key, &mask)
	p.schedule(&n)
}

// selected are the entries of a table that a modify or delete means, before out_port and out_group.
func (p *Pipeline) selected(t *table, m *openflow.FlowMod) func(yield func(*Entry) bool) {
	key, mask := compileMatch(m.Match)
	strict := m.Command == openflow.FlowModifyStrict || m.Command == openflow.FlowDeleteStrict
	return func(yield func(*Entry) bool) {
		if strict {
			if r := t.rules.Find(&key, &mask, m.Priority); r != nil && cookieMeets(r.Value, m.Cookie, m.CookieMask) {
				yield(r.Value)
			}
			return
		}
		for r := range t.rules.Within(&key, &mask) {
			if cookieMeets(r.Value, m.Cookie, m.CookieMask) && !yield(r.Value) {
				return
			}
		}
	}
}

func cookieMeets(e *Entry, cookie, mask uint64) bool { return (e.Cookie^cookie)&mask == 0 }

func (p *Pipeline) delete(now time.Duration, m *openflow.FlowMod) []Removed {
	tables := p.tables
	if m.TableID != openflow.TableAll {
		tables = tables[m.TableID : m.TableID+1]
	}
	var gone []Removed
	var found []*Entry
	for i := range tables {
		t := &tables[i]
		if t.rules.Len() == 0 {
			continue
		}
		found = found[:0]
		for e := range p.selected(t, m) {
			if e.sendsTo(m.OutPort, m.OutGroup) {
				found = append(found, e)
			}
		}
		for _, e := range found {
			gone = p.remove(gone, now, e, openflow.RemovedDelete)
		}
	}
	return gone
}

// remove takes an entry out of the draft and appends it to gone if somebody wants to know.
// Requires p.mu.
func (p *Pipeline) remove(gone []Removed, now time.Duration, e *Entry, why openflow.FlowRemovedReason) []Removed {
	t := &p.tables[e.Table]
	t.rules.Delete(e.rule)
	p.refer(e.prog, -1)
	p.meters.leave(e)
	p.agenda.drop(e)
	p.touch(t)
	if e.Flags&openflow.FlowSendRemoved == 0 {
		return gone
	}
	return append(gone, Removed{Entry: e, Reason: why, Last: e.Counters(now)})
}

// sendsTo reports whether an entry's actions, as they were sent, output to a port and run a group;
// OFPP_ANY and OFPG_ANY ask for nothing.
func (e *Entry) sendsTo(port openflow.PortNo, group uint32) bool {
	toPort, toGroup := port == openflow.PortAny, group == groupAny
	if toPort && toGroup {
		return true
	}
	for in := range e.Instructions.All() {
		for a := range in.Actions.All() {
			toPort = toPort || a.Type == openflow.ActionOutput && a.Port == port
			toGroup = toGroup || a.Type == openflow.ActionGroup && a.Group == group
		}
	}
	return toPort && toGroup
}

const groupAny = 0xffffffff

// target is the port number (or group) that the op's action named.
func (o *op) target() uint32 {
	switch o.code {
	case opInPort:
		return uint32(openflow.PortInPort)
	case opAll:
		return uint32(openflow.PortAll)
	case opFlood:
		return uint32(openflow.PortFlood)
	case opNormal:
		return uint32(openflow.PortNormal)
	case opTable:
		return uint32(openflow.PortTable)
	case opController:
		return uint32(openflow.PortController)
	}
	return o.port
}
