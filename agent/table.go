// Slow path: what controllers ask about the tables themselves.

package agent

import (
	"fmt"

	"github.com/weirswitch/weir/openflow"
)

func (s *Switch) answerTables(w *openflow.ReplyWriter) error {
	for _, t := range s.pipe.TableStats() {
		st := openflow.TableStats{TableID: t.Table, ActiveCount: uint32(t.Active), LookupCount: t.Lookups, MatchedCount: t.Matched}
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

// answerTableFeatures describes every table (section 7.3.5.5). ovs-ofctl asks this before add-flow and
// wants all required properties for each; the miss twins say the same and are left out.
func (s *Switch) answerTableFeatures(m *openflow.MultipartRequest, w *openflow.ReplyWriter) error {
	if reshapesTables(m) {
		return openflow.Errorf(openflow.ErrTableFeaturesFailed, openflow.TFFCEPERM, "the tables cannot be reshaped")
	}
	f := s.pipe.Features()
	rec := openflow.TableFeatures{
		MetadataMatch: f.MetadataMatch, MetadataWrite: f.MetadataWrite, MaxEntries: f.MaxEntries,
		Properties: []openflow.TableProperty{
			{Type: openflow.PropInstructions, Instructions: f.Instructions},
			{Type: openflow.PropNextTables},
			{Type: openflow.PropWriteActions, Actions: f.Actions},
			{Type: openflow.PropApplyActions, Actions: f.Actions},
			{Type: openflow.PropMatch, Fields: tableFields(f.Match)},
			{Type: openflow.PropWildcards, Fields: unmasked(f.Wildcards)},
			{Type: openflow.PropWriteSetField, Fields: unmasked(f.SetFields)},
			{Type: openflow.PropApplySetField, Fields: unmasked(f.SetFields)},
		},
	}
	next := make([]uint8, 0, f.Tables)
	for t := range f.Tables {
		next = append(next, uint8(t))
	}
	for t := range f.Tables {
		rec.TableID, rec.Name = uint8(t), fmt.Sprintf("table%d", t)
		rec.Properties[1].Tables = next[t+1:]
		rec.Properties[0].Instructions = f.Instructions
		if t == f.Tables-1 {
			rec.Properties[0].Instructions = without(f.Instructions, openflow.InstructionGotoTable)
		}
		if err := w.Add(&rec); err != nil {
			return err
		}
	}
	return nil
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
	var out []openflow.InstructionType
	for _, i := range list {
		if i != drop {
			out = append(out, i)
		}
	}
	return out
}

// handleTableMod accepts what says nothing: the bits it could set lost their meaning in 1.3 (section 7.3.3).
func (s *Switch) handleTableMod(m *openflow.TableMod) error {
	if m.TableID != openflow.TableAll && int(m.TableID) >= s.pipe.Features().Tables {
		return openflow.Errorf(openflow.ErrTableModFailed, openflow.TMFCBadTable, "no table %d", m.TableID)
	}
	if m.Config&^openflow.TableConfigDeprecated != 0 {
		return openflow.Errorf(openflow.ErrTableModFailed, openflow.TMFCBadConfig, "config 0x%x is not defined", uint32(m.Config))
	}
	return nil
}
