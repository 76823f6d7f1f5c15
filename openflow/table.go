package openflow

import (
	"fmt"
	"slices"
)

// TableConfig is deprecated in 1.3 and reserved (section 7.3.3): only its two low bits exist.
type TableConfig uint32

// TableConfigDeprecated are the two bits that 1.1 gave a meaning.
const TableConfigDeprecated TableConfig = 3

// TableMod configures a table (section 7.3.3); nothing is left to configure in 1.3.
type TableMod struct {
	TableID uint8
	Config  TableConfig
}

// MsgType is TypeTableMod.
func (*TableMod) MsgType() Type { return TypeTableMod }

func (m *TableMod) String() string {
	return fmt.Sprintf("TABLE_MOD table=%d config=0x%x", m.TableID, uint32(m.Config))
}

func (m *TableMod) appendBody(b []byte) []byte {
	return append32(append(b, m.TableID, 0, 0, 0), uint32(m.Config))
}

func decodeTableMod(b []byte) (Message, error) {
	if len(b) != 16 {
		return nil, badLen("TABLE_MOD", len(b), 16)
	}
	return &TableMod{TableID: b[8], Config: TableConfig(u32(b, 12))}, nil
}

// TableStats are the counters of one table (section 7.3.5.4).
type TableStats struct {
	TableID      uint8
	ActiveCount  uint32
	LookupCount  uint64
	MatchedCount uint64

	// OpenFlow 1.0 sends these here, 1.3 in TABLE_FEATURES only.
	Name       string
	MaxEntries uint32
}

func (s *TableStats) appendRecord(b []byte) []byte {
	return append64(append64(append32(append(b, s.TableID, 0, 0, 0), s.ActiveCount), s.LookupCount), s.MatchedCount)
}

func (s *TableStats) String() string {
	return fmt.Sprintf("table=%d active=%d lookup=%d matched=%d", s.TableID, s.ActiveCount, s.LookupCount, s.MatchedCount)
}

// TablePropertyType is the kind of a table-features property (section 7.3.5.5.2).
type TablePropertyType uint16

// The kinds; each Miss twin, one more, speaks of the table-miss entry and may be left out when
// it is the same.
const (
	PropInstructions     TablePropertyType = 0
	PropInstructionsMiss TablePropertyType = 1
	PropNextTables       TablePropertyType = 2
	PropNextTablesMiss   TablePropertyType = 3
	PropWriteActions     TablePropertyType = 4
	PropWriteActionsMiss TablePropertyType = 5
	PropApplyActions     TablePropertyType = 6
	PropApplyActionsMiss TablePropertyType = 7
	PropMatch            TablePropertyType = 8
	PropWildcards        TablePropertyType = 10
	PropWriteSetField    TablePropertyType = 12
	PropWriteSetMiss     TablePropertyType = 13
	PropApplySetField    TablePropertyType = 14
	PropApplySetMiss     TablePropertyType = 15
	PropExperimenter     TablePropertyType = 0xfffe
	PropExperimenterMiss TablePropertyType = 0xffff
)

func (t TablePropertyType) String() string {
	return enumName(int(t), "instructions", "instructions_miss", "next_tables", "next_tables_miss", "write_actions", "write_actions_miss",
		"apply_actions", "apply_actions_miss", "match", "9", "wildcards", "11", "write_setfield", "write_setfield_miss", "apply_setfield", "apply_setfield_miss")
}

// RequiredTableProperties are those that every record must hold, empty or not.
func RequiredTableProperties() []TablePropertyType {
	return []TablePropertyType{PropInstructions, PropNextTables, PropWriteActions, PropApplyActions,
		PropMatch, PropWildcards, PropWriteSetField, PropApplySetField}
}

// TableField names a field in a property; Masked: it may be matched under a mask.
type TableField struct {
	ID     FieldID
	Masked bool
}

// TableProperty is one property; Type says which list counts. Only standard instructions and
// actions are named: controllers are known to disconnect at an experimenter's.
type TableProperty struct {
	Type         TablePropertyType
	Instructions []InstructionType
	Tables       []uint8
	Actions      []ActionType
	Fields       []TableField
	Data         []byte // PropExperimenter: everything behind type and length
	Unknown      bool   // read, and it named more than the lists say: a field, action or instruction without a name here
}

// TableFeatures says what a table can do, or in a request what it shall (section 7.3.5.5).
type TableFeatures struct {
	TableID       uint8
	Name          string // at most 31 bytes travel
	MetadataMatch uint64
	MetadataWrite uint64
	Config        TableConfig
	MaxEntries    uint32
	Properties    []TableProperty
}

const tableFeaturesSize, tableNameSize = 64, 32

// Property finds the property of type t.
func (t *TableFeatures) Property(pt TablePropertyType) (*TableProperty, bool) {
	for i := range t.Properties {
		if t.Properties[i].Type == pt {
			return &t.Properties[i], true
		}
	}
	return nil, false
}

func (t *TableFeatures) String() string {
	s := fmt.Sprintf("table=%d name=%q max=%d metadata=0x%x/0x%x", t.TableID, t.Name, t.MaxEntries, t.MetadataMatch, t.MetadataWrite)
	for i := range t.Properties {
		s += " " + t.Properties[i].String()
	}
	return s
}

func (p *TableProperty) String() string {
	var list any
	switch p.kind() {
	case PropInstructions:
		list = p.Instructions
	case PropNextTables:
		return fmt.Sprintf("%s(%d tables)", p.Type, len(p.Tables))
	case PropWriteActions:
		list = p.Actions
	case PropMatch:
		list = p.Fields
	default:
		list = p.Data
	}
	return fmt.Sprintf("%s%v", p.Type, list)
}

func (f TableField) String() string {
	if f.Masked {
		return f.ID.String() + "/mask"
	}
	return f.ID.String()
}

// kind maps each type to the first that has the same list.
func (p *TableProperty) kind() TablePropertyType {
	switch p.Type {
	case PropInstructions, PropInstructionsMiss:
		return PropInstructions
	case PropNextTables, PropNextTablesMiss:
		return PropNextTables
	case PropWriteActions, PropWriteActionsMiss, PropApplyActions, PropApplyActionsMiss:
		return PropWriteActions
	case PropMatch, PropWildcards, PropWriteSetField, PropWriteSetMiss, PropApplySetField, PropApplySetMiss:
		return PropMatch
	}
	return p.Type
}

func (t *TableFeatures) appendRecord(b []byte) []byte {
	start := len(b)
	b = appendZeros(append(append16(b, 0), t.TableID), 5)
	b = appendString(b, t.Name, tableNameSize)
	b = append64(append64(b, t.MetadataMatch), t.MetadataWrite)
	b = append32(append32(b, uint32(t.Config)), t.MaxEntries)
	for i := range t.Properties {
		b = t.Properties[i].append(b)
	}
	put16(b, start, uint16(len(b)-start))
	return b
}

func (p *TableProperty) append(b []byte) []byte {
	start := len(b)
	b = append16(append16(b, uint16(p.Type)), 0)
	switch p.kind() {
	case PropInstructions:
		for _, i := range p.Instructions {
			b = append16(append16(b, uint16(i)), 4)
		}
	case PropNextTables:
		b = append(b, p.Tables...)
	case PropWriteActions:
		for _, a := range p.Actions {
			b = append16(append16(b, uint16(a)), 4)
		}
	case PropMatch:
		for _, f := range p.Fields {
			info := f.ID.Info()
			n := info.Bytes
			if f.Masked {
				n *= 2
			}
			b = appendOXMHeader(b, info, f.Masked, n)
		}
	default:
		b = append(b, p.Data...)
	}
	put16(b, start+2, uint16(len(b)-start))
	return appendZeros(b, pad8(len(b)-start))
}

func tableError(code uint16, format string, args ...any) *Error {
	return Errorf(ErrTableFeaturesFailed, code, format, args...)
}

// readTableFeatures wants at least 64 bytes, of which the record fills all.
func readTableFeatures(b []byte) (Record, error) {
	t := &TableFeatures{TableID: b[2], Name: cstring(b[8:40]), MetadataMatch: u64(b, 40), MetadataWrite: u64(b, 48), Config: TableConfig(u32(b, 56)), MaxEntries: u32(b, 60)}
	for b = b[64:]; len(b) > 0; {
		n := 0
		if len(b) >= 4 {
			n = int(u16(b, 2))
		}
		if n < 4 || n+pad8(n) > len(b) {
			return nil, tableError(TFFCBadLen, "property of %d bytes where %d are left", n, len(b))
		}
		p := TableProperty{Type: TablePropertyType(u16(b, 0))}
		if err := p.read(b[4:n]); err != nil {
			return nil, err
		}
		if _, twice := t.Property(p.Type); twice && p.Type < PropExperimenter {
			return nil, tableError(TFFCBadType, "property %s is there twice", p.Type)
		}
		t.Properties = append(t.Properties, p)
		b = b[n+pad8(n):]
	}
	return t, nil
}

func (p *TableProperty) read(b []byte) error {
	switch p.kind() {
	case PropInstructions:
		return p.eachID(b, func(id []byte) { p.Instructions = append(p.Instructions, InstructionType(u16(id, 0))) })
	case PropNextTables:
		p.Tables = slices.Clone(b)
	case PropWriteActions:
		return p.eachID(b, func(id []byte) { p.Actions = append(p.Actions, ActionType(u16(id, 0))) })
	case PropMatch:
		return p.readFields(b)
	case PropExperimenter, PropExperimenterMiss:
		p.Data = slices.Clone(b)
	default:
		return tableError(TFFCBadType, "no property %d", uint16(p.Type))
	}
	return nil
}

// eachID walks the ids of instructions or actions: a type and a length of four bytes, or more for
// an experimenter's, which is skipped.
func (p *TableProperty) eachID(b []byte, use func([]byte)) error {
	for len(b) > 0 {
		n := 0
		if len(b) >= 4 {
			n = int(u16(b, 2))
		}
		if n < 4 || n > len(b) {
			return tableError(TFFCBadLen, "id of %d bytes where %d are left", n, len(b))
		}
		if u16(b, 0) != 0xffff {
			use(b)
		} else {
			p.Unknown = true
		}
		b = b[n:]
	}
	return nil
}

// readFields skips the fields it has no name for: what it cannot match it cannot promise.
func (p *TableProperty) readFields(b []byte) error {
	for len(b) > 0 {
		if len(b) < 4 {
			return tableError(TFFCBadLen, "%d bytes left, a field id needs 4", len(b))
		}
		h := readOXM(b)
		if h.head() > len(b) {
			return tableError(TFFCBadLen, "%d bytes left, a field id of an experimenter needs 8", len(b))
		}
		if id, ok := lookupField(h.class, h.number, h.experimenter); ok {
			p.Fields = append(p.Fields, TableField{ID: id, Masked: h.masked})
		} else {
			p.Unknown = true
		}
		b = b[h.head():]
	}
	return nil
}
