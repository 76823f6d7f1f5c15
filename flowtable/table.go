// Slow path: questions about tables: which entries, how many, how often, and what a table can do.

package flowtable

import (
	"cmp"
	"slices"

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
	slices.SortFunc(list, func(a, b *Entry) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.seq, b.seq))
	})
	return list, err
}

// collect works on the snapshot, so that a dump of a million entries holds nobody up.
func (p *Pipeline) collect(f FlowFilter) ([]*Entry, error) {
	if f.Table != openflow.TableAll && int(f.Table) >= p.cfg.Tables {
		return nil, openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadTableID,
			"table %d: expected 0 to %d, or 255 for all", f.Table, p.cfg.Tables-1)
	}
	if err := f.Match.Check(); err != nil {
		return nil, err
	}
	p.Publish()
	snap := p.snap.Load()
	key, mask := compileMatch(f.Match)
	var list []*Entry
	for i := range snap.tables {
		if f.Table != openflow.TableAll && int(f.Table) != i {
			continue
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
}

// TableStats are the statistics of every table, in order.
func (p *Pipeline) TableStats() []TableStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]TableStats, len(p.tables))
	for i := range list {
		list[i] = TableStats{Table: uint8(i), Active: p.tables[i].rules.Len(),
			Lookups: p.stats[i].lookups.Load(), Matched: p.stats[i].matched.Load()}
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

// Features is what every table can do, for TABLE_FEATURES (section 7.3.5.5). All tables are alike;
// the next tables of one are all those with a higher number. Only what OpenFlow 1.3 itself names is
// listed: some controllers cannot read more.
type Features struct {
	Tables        int
	MaxEntries    uint32
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
	f := Features{
		Tables: p.cfg.Tables, MaxEntries: uint32(p.cfg.MaxEntries), MetadataMatch: ^uint64(0), MetadataWrite: ^uint64(0),
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
