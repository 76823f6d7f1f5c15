// Slow path: questions about tables: which entries, how many, how often, and what a table can do.

package flowtable

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// FlowFilter selects entries as FLOW and AGGREGATE requests do (section 7.3.5.2).
type FlowFilter struct {
	Table      uint8 // openflow.TableAll: every table
	OutPort    openflow.PortNo
	OutGroup   uint32
	Cookie     uint64
	CookieMask uint64
	Match      openflow.Match // entries at least as specific
}

// AllFlows selects every entry.
func AllFlows() FlowFilter {
	return FlowFilter{Table: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: groupAny}
}

// Flows lists the entries that the filter selects, in order of table, priority downwards, and
// insertion. It sees every FlowMod that came before, and publishes them on the way.
func (p *Pipeline) Flows(f FlowFilter) ([]*Entry, error) {
	list, err := p.collect(f)
	sortEntries(list)
	return list, err
}

// sortEntries is a sort by (*Entry).before that looks at each entry once: a million of them lie all
// over the memory.
func sortEntries(list []*Entry) {
	type ranked struct {
		rank, order uint64
		e           *Entry
	}
	all := make([]ranked, len(list))
	for i, e := range list {
		all[i] = ranked{uint64(e.Table)<<16 | uint64(^e.Priority), e.rule.Order(), e}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		if a.rank != b.rank {
			return cmp.Compare(a.rank, b.rank)
		}
		return cmp.Compare(a.order, b.order)
	})
	for i := range all {
		list[i] = all[i].e
	}
}

// collect works on the snapshot, so that a dump of a million entries holds nobody up.
func (p *Pipeline) collect(f FlowFilter) ([]*Entry, error) {
	p.Publish()
	return p.collectFrom(p.snap.Load(), f)
}

func (p *Pipeline) collectFrom(snap *snapshot, f FlowFilter) ([]*Entry, error) {
	if err := p.checkTable(f.Table); err != nil {
		return nil, err
	}
	if err := f.Match.Check(); err != nil {
		return nil, err
	}
	var key packet.Key
	var mask packet.Mask
	compileMatch(f.Match, &key, &mask)
	var list []*Entry
	for i := range snap.tables {
		if f.Table != openflow.TableAll && int(f.Table) != i {
			continue
		}
		everything := f.Match.IsEmpty() && f.CookieMask == 0 && f.OutPort == openflow.PortAny && f.OutGroup == groupAny
		if everything {
			list = slices.Grow(list, snap.tables[i].Len())
		}
		for r := range snap.tables[i].All() {
			e := r.Value
			if !cookieMeets(e, f.Cookie, f.CookieMask) || !e.sendsTo(f.OutPort, f.OutGroup) {
				continue
			}
			if !f.Match.IsEmpty() {
				k, m := r.Key(), r.Mask()
				if !m.Covers(&mask) || !mask.Equal(&k, &key) {
					continue
				}
			}
			list = append(list, e)
		}
	}
	return list, nil
}

// Aggregate is the sum over selected entries (section 7.3.5.3).
type Aggregate struct {
	Packets, Bytes uint64
	Flows          int
}

// Aggregate sums over the entries that the filter selects.
func (p *Pipeline) Aggregate(f FlowFilter) (sum Aggregate, err error) {
	list, err := p.collect(f)
	for _, e := range list {
		sum.Packets += e.stats.packets.Load()
		sum.Bytes += e.stats.bytes.Load()
	}
	sum.Flows = len(list)
	return sum, err
}

// TableStats is one record of a TABLE reply (section 7.3.5.4).
type TableStats struct {
	Table            uint8
	Active           int
	Lookups, Matched uint64
	Name             string
	MaxEntries       int
}

// TableStats are the statistics of every table, in order.
func (p *Pipeline) TableStats() []TableStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]TableStats, 0, len(p.tables))
	for i := range p.tables {
		if !p.tables[i].gone {
			list = append(list, TableStats{Table: uint8(i), Active: p.tables[i].rules.Len(),
				Lookups: p.stats[i].lookups.Load(), Matched: p.stats[i].matched.Load(),
				Name: p.tables[i].name, MaxEntries: p.tables[i].max})
		}
	}
	return list
}

// Len is the number of entries in all tables.
func (p *Pipeline) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for i := range p.tables {
		n += p.tables[i].rules.Len()
	}
	return n
}

// Features is what every table can do, for TABLE_FEATURES (section 7.3.5.5). All tables are alike
// but for their Shapes; the next tables of one are all those with a higher number. Only what
// OpenFlow 1.3 itself names is listed: some controllers cannot read more.
type Features struct {
	Tables        int          // how many there are
	Highest       int          // the number of tables that Reshape can give: ids are below it
	Shapes        []TableShape // of those there are, in order
	MaxEntries    uint32       // the most that any table may have
	MetadataMatch uint64
	MetadataWrite uint64
	Instructions  []openflow.InstructionType
	Actions       []openflow.ActionType // in apply_actions and write_actions alike
	Match         []openflow.FieldID    // which can be matched
	Wildcards     []openflow.FieldID    // which can be left out: all
	SetFields     []openflow.FieldID    // which set_field can write
}

// Features describes the pipeline.
func (p *Pipeline) Features() Features {
	shapes := p.shapes()
	f := Features{
		Tables: len(shapes), Highest: p.cfg.Tables, Shapes: shapes, MaxEntries: uint32(p.cfg.MaxEntries), MetadataMatch: ^uint64(0), MetadataWrite: ^uint64(0),
		Instructions: []openflow.InstructionType{openflow.InstructionGotoTable, openflow.InstructionWriteMetadata,
			openflow.InstructionWriteActions, openflow.InstructionApplyActions, openflow.InstructionClearActions, openflow.InstructionMeter},
		Actions: []openflow.ActionType{openflow.ActionOutput, openflow.ActionGroup, openflow.ActionSetQueue, openflow.ActionSetField},
	}
	for t := range simpleOps {
		f.Actions = append(f.Actions, t)
	}
	slices.Sort(f.Actions)
	for id := openflow.FieldID(0); int(id) < openflow.NumStandardFields; id++ {
		f.Match = append(f.Match, id)
		if id.Info().Writable {
			f.SetFields = append(f.SetFields, id)
		}
	}
	f.Wildcards = f.Match
	return f
}

// TableShape is what a controller may choose of a table (section 7.3.5.5).
type TableShape struct {
	Table      uint8
	Name       string
	MaxEntries int
}

// shapes lists the tables there are, in order.
func (p *Pipeline) shapes() []TableShape {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]TableShape, 0, len(p.tables))
	for i := range p.tables {
		if t := &p.tables[i]; !t.gone {
			list = append(list, TableShape{Table: uint8(i), Name: t.name, MaxEntries: t.max})
		}
	}
	return list
}

// hasTable reports whether a table is part of the pipeline. Requires p.mu.
func (p *Pipeline) hasTable(id uint8) bool { return int(id) < len(p.tables) && !p.tables[id].gone }

// tablesText says for an error which tables there are. Requires p.mu.
func (p *Pipeline) tablesText() string {
	n, last := 0, 0
	for i := range p.tables {
		if !p.tables[i].gone {
			n, last = n+1, i
		}
	}
	if n == last+1 {
		return fmt.Sprintf("there are 0 to %d", last)
	}
	return fmt.Sprintf("there are %d between 0 and %d, see TABLE_FEATURES", n, last)
}

// checkTable is for questions: one table or all.
func (p *Pipeline) checkTable(id uint8) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id == openflow.TableAll || p.hasTable(id) {
		return nil
	}
	return openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadTableID, "there is no table %d; %s, or 255 for all", id, p.tablesText())
}

// Reshape makes the pipeline consist of the tables of want, in place of those it has, all of them
// or none: the error is an *openflow.Error, and then nothing has changed. Tables that are new,
// changed or gone lose their entries, and so does an entry that goes on to a table that is gone. Flow
// monitors hear of them, but no FLOW_REMOVED is due, whatever the entries ask for: section 7.3.5.5
// says that none is sent. MaxEntries 0 leaves the number to the switch. Publish makes it
// visible.
func (p *Pipeline) Reshape(now time.Duration, want []TableShape) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, err := p.checkShapes(want)
	if err != nil {
		return err
	}
	var lost []*Entry
	for i := range p.tables {
		t, s := &p.tables[i], next[i]
		same := s != nil && !t.gone && t.name == s.Name && t.max == s.MaxEntries
		for r := range t.rules.All() {
			if e := r.Value; !same || e.prog.next != noTable && next[e.prog.next] == nil {
				lost = append(lost, e)
			}
		}
	}
	for _, e := range lost {
		p.remove(nil, now, e, openflow.RemovedDelete)
	}
	for i, s := range next {
		t := &p.tables[i]
		if t.gone = s == nil; !t.gone {
			t.name, t.max = s.Name, s.MaxEntries
		}
	}
	clear(p.memo.slots[:]) // programs that go on to a table that is gone
	p.dirty = true
	return nil
}

// checkShapes judges a request and gives the shape of each table, nil where there will be none.
func (p *Pipeline) checkShapes(want []TableShape) ([]*TableShape, error) {
	fail := func(code uint16, format string, args ...any) error {
		return openflow.Errorf(openflow.ErrTableFeaturesFailed, code, format, args...)
	}
	next := make([]*TableShape, len(p.tables))
	for _, s := range want {
		switch {
		case int(s.Table) >= len(p.tables):
			return nil, fail(openflow.TFFCBadTable, "table %d: this switch can have 0 to %d", s.Table, len(p.tables)-1)
		case next[s.Table] != nil:
			return nil, fail(openflow.TFFCBadTable, "table %d is there twice", s.Table)
		case s.MaxEntries > p.cfg.MaxEntries:
			return nil, fail(openflow.TFFCBadArgument, "table %d with %d entries: the most is %d (max-flows)", s.Table, s.MaxEntries, p.cfg.MaxEntries)
		case s.MaxEntries <= 0:
			s.MaxEntries = p.cfg.MaxEntries
		}
		next[s.Table] = &s
	}
	if next[0] == nil {
		return nil, fail(openflow.TFFCBadTable, "table 0 is missing: every frame begins there")
	}
	return next, nil
}
