// Slow path: what controllers ask about the tables themselves.

package agent

import (
	"fmt"
	"slices"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
)

func (s *Switch) answerTables(w *openflow.ReplyWriter) error {
	for _, t := range s.pipe.TableStats() {
		st := openflow.TableStats{TableID: t.Table, ActiveCount: uint32(t.Active), LookupCount: t.Lookups, MatchedCount: t.Matched,
			Name: t.Name, MaxEntries: uint32(t.MaxEntries)}
		if err := w.Add(&st); err != nil {
			return err
		}
	}
	return nil
}

// reshapesTables reports a TABLE_FEATURES request that wants to change the tables.
func reshapesTables(m *openflow.MultipartRequest) bool {
	return m.Type == openflow.MultipartTableFeatures && (len(m.Records) > 0 || m.More)
}

// answerTableFeatures reshapes the tables if the request has a body, and describes every table
// (section 7.3.5.5).
func (s *Switch) answerTableFeatures(m *openflow.MultipartRequest, w *openflow.ReplyWriter) error {
	if len(m.Records) > 0 {
		if err := s.reshape(m.Records); err != nil {
			return err
		}
	}
	f := s.pipe.Features()
	for i := range f.Shapes {
		if err := w.Add(tableRecord(&f, i)); err != nil {
			return err
		}
	}
	return nil
}

// tableRecord describes the i-th table there is. ovs-ofctl asks for this before add-flow and wants
// all required properties; the miss twins say the same and are left out.
func tableRecord(f *flowtable.Features, i int) *openflow.TableFeatures {
	shape := &f.Shapes[i]
	later := make([]uint8, 0, len(f.Shapes))
	for _, t := range f.Shapes[i+1:] {
		later = append(later, t.Table)
	}
	instructions := f.Instructions
	if len(later) == 0 {
		instructions = without(instructions, openflow.InstructionGotoTable)
	}
	return &openflow.TableFeatures{
		TableID: shape.Table, Name: shape.Name, MaxEntries: uint32(shape.MaxEntries),
		MetadataMatch: f.MetadataMatch, MetadataWrite: f.MetadataWrite,
		Properties: []openflow.TableProperty{
			{Type: openflow.PropInstructions, Instructions: instructions},
			{Type: openflow.PropNextTables, Tables: later},
			{Type: openflow.PropWriteActions, Actions: f.Actions},
			{Type: openflow.PropApplyActions, Actions: f.Actions},
			{Type: openflow.PropMatch, Fields: tableFields(f.Match)},
			{Type: openflow.PropWildcards, Fields: unmasked(f.Wildcards)},
			{Type: openflow.PropWriteSetField, Fields: unmasked(f.SetFields)},
			{Type: openflow.PropApplySetField, Fields: unmasked(f.SetFields)},
		},
	}
}

// reshape gives the pipeline the tables of a request: all of them or none. What a table can do does
// not shrink, as the specification allows ("a superset"): a request chooses which tables there are,
// their names and how many entries they hold, and is refused if it asks for what no table can do.
func (s *Switch) reshape(records []openflow.Record) error {
	f := s.pipe.Features()
	if len(records) > f.Highest {
		return tableRefused(openflow.TFFCBadTable, "%d tables: this switch can have %d", len(records), f.Highest)
	}
	var shapes []flowtable.TableShape
	for _, r := range records {
		t := r.(*openflow.TableFeatures)
		shapes = append(shapes, flowtable.TableShape{Table: t.TableID, Name: t.Name, MaxEntries: int(t.MaxEntries)})
	}
	ids := make([]uint8, 0, len(shapes))
	for _, t := range shapes {
		ids = append(ids, t.Table)
	}
	for _, r := range records {
		if err := checkTableRecord(&f, ids, r.(*openflow.TableFeatures)); err != nil {
			return err
		}
	}
	// No FLOW_REMOVED goes out for the entries that go with it (section 7.3.5.5).
	if err := s.pipe.Reshape(s.clock.Now(), shapes); err != nil {
		return err
	}
	s.pipe.Publish()
	return nil
}

func tableRefused(code uint16, format string, args ...any) error {
	return openflow.Errorf(openflow.ErrTableFeaturesFailed, code, format, args...)
}

// checkTableRecord refuses a record that asks for more than the table with that number could do in a
// pipeline of the tables ids.
func checkTableRecord(f *flowtable.Features, ids []uint8, t *openflow.TableFeatures) error {
	if int(t.TableID) >= f.Highest {
		return tableRefused(openflow.TFFCBadTable, "table %d: this switch can have 0 to %d", t.TableID, f.Highest-1)
	}
	if t.Config&^openflow.TableConfigDeprecated != 0 {
		return tableRefused(openflow.TFFCBadArgument, "table %d: config 0x%x is not defined", t.TableID, uint32(t.Config))
	}
	for i := range t.Properties {
		p := &t.Properties[i]
		if why := propertyRefused(f, ids, t.TableID, p); why != "" {
			return tableRefused(openflow.TFFCBadArgument, "table %d: property %s: %s", t.TableID, p.Type, why)
		}
	}
	return nil
}

// propertyRefused says what in a property no table can do, or nothing.
func propertyRefused(f *flowtable.Features, ids []uint8, table uint8, p *openflow.TableProperty) string {
	if p.Unknown {
		return "it names what this switch does not know"
	}
	for _, i := range p.Instructions {
		if !slices.Contains(f.Instructions, i) {
			return fmt.Sprintf("no instruction %s", i)
		}
		if i == openflow.InstructionGotoTable && table == slices.Max(ids) {
			return "no goto from the last table"
		}
	}
	for _, next := range p.Tables {
		if next <= table || !slices.Contains(ids, next) {
			return fmt.Sprintf("table %d does not come after it", next)
		}
	}
	for _, a := range p.Actions {
		if !slices.Contains(f.Actions, a) {
			return fmt.Sprintf("no action %s", a)
		}
	}
	known := f.Match
	switch p.Type {
	case openflow.PropWriteSetField, openflow.PropWriteSetMiss, openflow.PropApplySetField, openflow.PropApplySetMiss:
		known = f.SetFields
	}
	for _, field := range p.Fields {
		if !slices.Contains(known, field.ID) {
			return fmt.Sprintf("not with the field %s", field.ID)
		}
		if p.Type == openflow.PropMatch && field.Masked && !field.ID.Info().Maskable {
			return fmt.Sprintf("no mask on %s", field.ID)
		}
	}
	return ""
}

// tableFields marks the fields that can be matched under a mask.
func tableFields(ids []openflow.FieldID) []openflow.TableField {
	list := make([]openflow.TableField, 0, len(ids))
	for _, id := range ids {
		list = append(list, openflow.TableField{ID: id, Masked: id.Info().Maskable})
	}
	return list
}

func unmasked(ids []openflow.FieldID) []openflow.TableField {
	list := make([]openflow.TableField, 0, len(ids))
	for _, id := range ids {
		list = append(list, openflow.TableField{ID: id})
	}
	return list
}

func without(list []openflow.InstructionType, drop openflow.InstructionType) []openflow.InstructionType {
	return slices.DeleteFunc(slices.Clone(list), func(i openflow.InstructionType) bool { return i == drop })
}

// handleTableMod accepts what says nothing: the bits it could set lost their meaning in 1.3 (section 7.3.3).
func (s *Switch) handleTableMod(m *openflow.TableMod) error {
	there := func(t flowtable.TableShape) bool { return t.Table == m.TableID }
	if m.TableID != openflow.TableAll && !slices.ContainsFunc(s.pipe.Features().Shapes, there) {
		return openflow.Errorf(openflow.ErrTableModFailed, openflow.TMFCBadTable, "no table %d", m.TableID)
	}
	if m.Config&^openflow.TableConfigDeprecated != 0 {
		return openflow.Errorf(openflow.ErrTableModFailed, openflow.TMFCBadConfig, "config 0x%x is not defined", uint32(m.Config))
	}
	return nil
}
