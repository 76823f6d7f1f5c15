// Slow path: flow entries, and what FLOW_MOD does to them (section 6.4).

package flowtable

import (
	"cmp"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/flowtable/classifier"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// Entry is a flow entry: what was installed, exactly as it was sent, and its compiled form. It does
// not change, but for its counters; a modification makes a new Entry that shares them.
//
// Tables of a million entries exist, so all of an entry is one piece of memory but for the match as it
// was sent: 176 bytes, and no pointer that the garbage collector could be spared.
type Entry struct {
	rule  classifier.Rule[*Entry]
	stats *entryStats // own, or the own of an entry that this one replaced
	own   entryStats  // in use unless the entry took over another's counters

	place       int32  // in the agenda; guarded by Pipeline.mu
	IdleTimeout uint16 // seconds
	HardTimeout uint16 // seconds
	Flags       openflow.FlowModFlags
	Priority    uint16
	Table       uint8
	miss        bool // the table-miss entry: priority 0, no match field (section 5.4)

	prog    *Program
	match   string // the OXM bytes
	Cookie  uint64
	Created time.Duration // when the ADD came, on the switch's clock
}

// Match is the match as it was sent.
func (e *Entry) Match() openflow.Match { return openflow.UnpackMatch(e.match) }

// Instructions are the instructions as they were sent.
func (e *Entry) Instructions() openflow.Instructions { return e.prog.source }

// before is the order of dumps: table, priority downwards, and insertion; a replacement has its
// predecessor's place.
func (e *Entry) before(o *Entry) int {
	return cmp.Or(cmp.Compare(e.Table, o.Table), cmp.Compare(o.Priority, e.Priority), cmp.Compare(e.rule.Order(), o.rule.Order()))
}

// entryStats are an entry's counters. Processors add to them once a batch.
type entryStats struct {
	packets, bytes atomic.Uint64
	used           atomic.Int64 // time.Duration of the last frame, or of the ADD
}

// slack is what the time of the last use may be early by, so that an entry in steady use is not written to for that in
// each batch.
const slack = time.Millisecond

// add counts frames of a batch.
func (s *entryStats) add(packets, bytes uint64, now time.Duration) {
	s.packets.Add(packets)
	s.bytes.Add(bytes)
	if s.used.Load() <= int64(now-slack) {
		s.used.Store(int64(now))
	}
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
	p.changes.cause = m
	gone, err := p.flowMod(now, m)
	p.changes.cause = nil
	return gone, err
}

// flowMod is FlowMod for a message that has been checked. Requires p.mu.
func (p *Pipeline) flowMod(now time.Duration, m *openflow.FlowMod) ([]Removed, error) {
	if !p.hasTable(m.TableID) && !(m.TableID == openflow.TableAll && mayMeanAll(m)) {
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
	return m.Check()
}

// mayMeanAll reports a command that table 255 may stand in.
func mayMeanAll(m *openflow.FlowMod) bool {
	return isDelete(m.Command) || m.Loose != nil && m.Command != openflow.FlowAdd
}

func isDelete(c openflow.FlowModCommand) bool {
	return c == openflow.FlowDelete || c == openflow.FlowDeleteStrict
}

// add inserts an entry, or replaces the one with the same match and priority: that one's counters
// pass on unless RESET_COUNTS says no, its duration does not, and nobody is told that it went.
func (p *Pipeline) add(now time.Duration, m *openflow.FlowMod) error {
	prog, err := p.program(m.TableID, m)
	if err != nil {
		return err
	}
	t := &p.tables[m.TableID]
	var key packet.Key
	var mask packet.Mask
	compileMatch(m.Match, &key, &mask)
	if m.Flags&openflow.FlowCheckOverlap != 0 {
		if r := t.rules.Overlaps(&key, &mask, m.Priority); r != nil {
			return openflow.Errorf(openflow.ErrFlowModFailed, openflow.FMFCOverlap,
				"a frame could match this and %s, both of priority %d in table %d", r.Value.Match(), m.Priority, m.TableID)
		}
	}
	at := t.rules.Locate(&key, &mask, m.Priority)
	if at.Rule == nil && t.rules.Len() >= t.max {
		return openflow.Errorf(openflow.ErrFlowModFailed, openflow.FMFCTableFull, "table %d holds its %d entries", m.TableID, t.max)
	}
	e := &Entry{
		Table: m.TableID, Priority: m.Priority, Flags: m.Flags, IdleTimeout: m.IdleTimeout, HardTimeout: m.HardTimeout,
		Cookie: m.Cookie, match: m.Match.Pack(), Created: now,
		prog: prog, miss: m.Priority == 0 && m.Match.IsEmpty(),
	}
	e.stats = &e.own
	c := Change{Event: openflow.FlowEventAdded, Entry: e}
	if at.Rule != nil {
		c.old = at.Rule.Value
		c.used = c.old.stats.lastUsed()
		if m.Flags&openflow.FlowResetCounts == 0 {
			e.stats = c.old.stats
		}
	}
	if int64(now) > e.stats.used.Load() { // a frame may have come while the request waited for its turn
		e.stats.used.Store(int64(now))
	}
	p.insert(t, e, at, &key, &mask)
	p.changes.note(c)
	return nil
}

// insert puts e into the spot of a draft table that is its, in the place of the entry there.
func (p *Pipeline) insert(t *table, e *Entry, at classifier.Spot[*Entry], key *packet.Key, mask *packet.Mask) {
	p.refer(e.prog, 1)
	if at.Rule != nil {
		old := at.Rule.Value
		p.refer(old.prog, -1)
		p.meters.leave(old)
		p.agenda.drop(old)
		p.altered.note(alteration{e: old})
		t.attach(old, -1)
	}
	e.rule.Value = e
	t.attach(e, 1)
	t.noteCookie(e.Cookie)
	t.rules.Put(at, &e.rule, key, mask, e.Priority)
	p.meters.join(e)
	t.reads.Or(mask)
	if e.prog.effect != nil {
		t.reads.Or(&e.prog.effect.copies)
	}
	p.altered.note(alteration{e: e, came: true})
	p.touch(t)
	p.schedule(e)
}

// modify gives the selected entries other instructions; cookie, timeouts, flags, duration and,
// without RESET_COUNTS, counters stay. Selecting none is no error and adds none. The entries'
// matches are at least as specific as the request's, so what fits the one fits all. A loose modify
// changes cookies, too, may mean all tables, and adds an entry if it has found none.
func (p *Pipeline) modify(now time.Duration, m *openflow.FlowMod) error {
	tables := p.tables
	if m.TableID != openflow.TableAll {
		tables = tables[m.TableID : m.TableID+1]
		if _, err := p.program(m.TableID, m); err != nil {
			return err // whether or not there is an entry to give it to
		}
	}
	for i := range tables {
		if tables[i].rules.Len() > 0 {
			p.found = selected(&tables[i], m, p.found)
		}
	}
	defer p.forgetFound()
	if m.Loose != nil && len(p.found) == 0 {
		return p.addInstead(now, m)
	}
	return p.replaceFound(m)
}

// replaceFound gives the found entries, which lie table by table, the instructions of m. All of it is
// compiled before the first changes: what a later table refuses leaves the earlier ones alone.
func (p *Pipeline) replaceFound(m *openflow.FlowMod) error {
	for i, e := range p.found {
		if i == 0 || e.Table != p.found[i-1].Table {
			if _, err := p.program(e.Table, m); err != nil {
				return err
			}
		}
	}
	var prog *Program
	for i, e := range p.found {
		if i == 0 || e.Table != p.found[i-1].Table {
			prog, _ = p.program(e.Table, m)
		}
		p.replace(e, m, prog)
	}
	return nil
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
func (p *Pipeline) replace(e *Entry, m *openflow.FlowMod, prog *Program) {
	t := &p.tables[e.Table]
	n := e.again(prog)
	if m.Loose != nil && m.Loose.NewCookie != ^uint64(0) {
		n.Cookie = m.Loose.NewCookie
	}
	if m.Flags&openflow.FlowResetCounts != 0 {
		n.stats = &n.own
		n.stats.used.Store(e.stats.used.Load())
	}
	key, mask := e.rule.Key(), e.rule.Mask()
	p.insert(t, n, t.rules.Locate(&key, &mask, e.Priority), &key, &mask)
	p.changes.note(Change{Event: openflow.FlowEventModified, Entry: n, old: e})
}

// again is a new entry that takes e's place: all of e, its counters among it, with another program.
func (e *Entry) again(prog *Program) *Entry {
	return &Entry{
		Table: e.Table, Priority: e.Priority, Flags: e.Flags, IdleTimeout: e.IdleTimeout, HardTimeout: e.HardTimeout,
		Cookie: e.Cookie, match: e.match, Created: e.Created, prog: prog, stats: e.stats, miss: e.miss,
	}
}

// forgetFound lets go of the entries that a command meant; of the list, too, when it is long.
func (p *Pipeline) forgetFound() {
	clear(p.found)
	if p.found = p.found[:0]; cap(p.found) > 1024 {
		p.found = nil
	}
}

// selected appends the entries of a table that a modify or delete means, before out_port and out_group.
func selected(t *table, m *openflow.FlowMod, list []*Entry) []*Entry {
	var key packet.Key
	var mask packet.Mask
	compileMatch(m.Match, &key, &mask)
	if m.Command == openflow.FlowModifyStrict || m.Command == openflow.FlowDeleteStrict {
		if r := t.rules.Find(&key, &mask, m.Priority); r != nil && cookieMeets(r.Value, m.Cookie, m.CookieMask) {
			list = append(list, r.Value)
		}
		return list
	}
	if t.noCookie(m.Cookie, m.CookieMask) {
		return list
	}
	for r := range t.rules.Within(&key, &mask) {
		if cookieMeets(r.Value, m.Cookie, m.CookieMask) {
			list = append(list, r.Value)
		}
	}
	return list
}

// noCookie reports that no entry's cookie can be equal to cookie in the bits of mask.
func (t *table) noCookie(cookie, mask uint64) bool {
	return t.rules.Len() == 0 || (t.everyCookie&^cookie|cookie&^t.anyCookie)&mask != 0
}

// noteCookie enters the cookie of a new entry into what noCookie asks.
func (t *table) noteCookie(cookie uint64) {
	if t.rules.Len() == 0 {
		t.everyCookie, t.anyCookie = cookie, cookie
	}
	t.everyCookie &= cookie
	t.anyCookie |= cookie
}

func cookieMeets(e *Entry, cookie, mask uint64) bool { return (e.Cookie^cookie)&mask == 0 }

// meansAll reports a delete of every entry.
func meansAll(m *openflow.FlowMod) bool {
	return m.Command == openflow.FlowDelete && m.Match.IsEmpty() && m.CookieMask == 0 && m.OutPort == openflow.PortAny && m.OutGroup == groupAny
}

func (p *Pipeline) delete(now time.Duration, m *openflow.FlowMod) []Removed {
	tables := p.tables
	if m.TableID != openflow.TableAll {
		tables = tables[m.TableID : m.TableID+1]
	}
	var gone []Removed
	for i := range tables {
		t := &tables[i]
		if t.rules.Len() == 0 {
			continue
		}
		if t.attached == 0 && !p.changes.wanted() && meansAll(m) {
			t.rules.Clear() // a million entries that nobody asks after go at once
			p.altered.flood()
			p.touch(t)
			continue
		}
		p.found = selected(t, m, p.found)
		for _, e := range p.found {
			if e.sendsTo(m.OutPort, m.OutGroup) {
				gone = p.remove(gone, now, e, openflow.RemovedDelete)
			}
		}
		p.forgetFound()
	}
	return gone
}

// remove takes an entry out of the draft and appends it to gone if somebody wants to know.
// Requires p.mu.
func (p *Pipeline) remove(gone []Removed, now time.Duration, e *Entry, why openflow.FlowRemovedReason) []Removed {
	p.takeAway(e)
	p.changes.note(Change{Event: openflow.FlowEventDeleted, Entry: e, Reason: why})
	if e.Flags&openflow.FlowSendRemoved == 0 {
		return gone
	}
	return append(gone, Removed{Entry: e, Reason: why, Last: e.Counters(now)})
}

// takeAway takes an entry out of the draft. Requires p.mu.
func (p *Pipeline) takeAway(e *Entry) {
	t := &p.tables[e.Table]
	t.rules.Delete(&e.rule)
	p.refer(e.prog, -1)
	p.meters.leave(e)
	p.agenda.drop(e)
	p.altered.note(alteration{e: e})
	t.attach(e, -1)
	p.touch(t)
}

// attached reports an entry whose going concerns a controller, the agenda, a group or a meter.
func (e *Entry) attached() bool {
	return e.Flags&openflow.FlowSendRemoved != 0 || e.IdleTimeout|e.HardTimeout != 0 || e.prog.meter != 0 || len(e.prog.groups) > 0
}

// attach counts an attached entry that comes (1) or goes (-1).
func (t *table) attach(e *Entry, by int) {
	if e.attached() {
		t.attached += by
	}
}

// sendsTo reports whether an entry's actions, as they were sent, output to a port and run a group;
// OFPP_ANY and OFPG_ANY ask for nothing.
func (e *Entry) sendsTo(port openflow.PortNo, group uint32) bool {
	toPort, toGroup := port == openflow.PortAny, group == groupAny
	if toPort && toGroup {
		return true
	}
	for in := range e.Instructions().All() {
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
