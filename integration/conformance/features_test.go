package conformance

import (
	"slices"
	"testing"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
)

// TABLE_FEATURES is true (section 7.3.5.5): what a table's record lists works in that table, and what it does
// not list is refused there.

// threeEach has tables 0 to 4 with room for three entries in each.
func threeEach(c *agent.BridgeConfig, _ *agent.Env) { c.Tables, c.MaxFlows = 5, 3 }

func TestTableFeaturesAreTrue(t *testing.T) {
	change := []options{threeEach}
	each := func(name string, run func(s *stage, f *openflow.TableFeatures)) play {
		return play{name: name, section: "7.3.5.5", change: change, run: func(s *stage) {
			s.do(&openflow.GroupMod{Group: 1}, meter(1, pktps))
			for _, f := range ask[*openflow.TableFeatures](s, openflow.MultipartTableFeatures) {
				run(s, f)
			}
		}}
	}
	perform(t, []play{
		each("the record is whole", func(s *stage, f *openflow.TableFeatures) {
			for _, kind := range openflow.RequiredTableProperties() {
				if _, there := f.Property(kind); !there {
					s.t.Errorf("table %d lacks %s", f.TableID, kind)
				}
			}
			for _, p := range f.Properties { // a missing twin means: the same
				if p.Type < openflow.PropMatch && p.Type&1 != 0 {
					s.t.Errorf("table %d says more of table-miss entries: %s", f.TableID, p.Type)
				}
			}
		}),
		each("what is listed is accepted", func(s *stage, f *openflow.TableFeatures) {
			list := promised(f)
			if len(list) < 150 {
				s.t.Fatalf("table %d promises %d things", f.TableID, len(list))
			}
			for _, m := range list {
				s.do(m, with(flowIn(f.TableID, everything), command(remove)))
			}
		}),
		each("what is not listed is refused", refuses),
		each("it holds as many entries as it says", func(s *stage, f *openflow.TableFeatures) {
			for i := range uint64(f.MaxEntries) {
				s.do(flowIn(f.TableID, match(eq(openflow.InPort, i+1))))
			}
			s.refused(flowIn(f.TableID, everything), openflow.ErrFlowModFailed, openflow.FMFCTableFull)
		}),
		each("metadata", func(s *stage, f *openflow.TableFeatures) {
			s.do(flowIn(f.TableID, match(masked(openflow.Metadata, f.MetadataMatch, f.MetadataMatch)), writeMetadata(f.MetadataWrite, f.MetadataWrite)))
			s.do(with(flowIn(f.TableID, everything), command(remove)))
		}),
	})
}

// promised makes a FLOW_MOD for each item of a record; instructions and next tables also as table-miss entry.
func promised(f *openflow.TableFeatures) (list []*openflow.FlowMod) {
	flow := func(m openflow.Match, in ...openflow.Instruction) { list = append(list, flowIn(f.TableID, m, in...)) }
	for _, p := range f.Properties {
		for _, i := range p.Instructions {
			in := openflow.Instruction{Type: i, TableID: f.TableID + 1, Metadata: f.MetadataWrite, MetadataMask: f.MetadataWrite, Meter: 1}
			flow(everything, in)
			list = append(list, miss(f.TableID, in))
		}
		for _, next := range p.Tables {
			flow(everything, goTo(next))
			list = append(list, miss(f.TableID, goTo(next)))
		}
		for _, a := range p.Actions {
			m, action := anAction(a)
			if p.Type == openflow.PropApplyActions {
				flow(m, apply(action))
			} else {
				flow(m, write(action))
			}
		}
		for _, field := range p.Fields {
			fields := needed(field.ID)
			switch p.Type {
			case openflow.PropMatch:
				flow(match(fields...))
				if field.Masked {
					last := &fields[len(fields)-1]
					last.Masked, last.Mask = true, last.Value
					flow(match(fields...))
				}
			case openflow.PropWildcards:
				flow(match(fields[:len(fields)-1]...)) // it can be left out
			case openflow.PropApplySetField:
				flow(match(fields...), apply(set(field.ID, aValue(field.ID))))
			case openflow.PropWriteSetField:
				flow(match(fields...), write(set(field.ID, aValue(field.ID))))
			}
		}
	}
	return list
}

// refuses tries all numbers of instructions, tables, actions and fields that the record does not list.
func refuses(s *stage, f *openflow.TableFeatures) {
	property := func(kind openflow.TablePropertyType) openflow.TableProperty {
		p, _ := f.Property(kind)
		return *p
	}
	wrong := func(kind openflow.ErrorType, oxm, instructions []byte, what string, n int) {
		s.t.Helper()
		err := s.raw(openflow.TypeFlowMod, flowBody(f.TableID, oxm, instructions))
		if e, is := err.(*openflow.Error); !is || e.Type != kind {
			s.t.Errorf("table %d, %s %d: got %v, want %s", f.TableID, what, n, err, kind)
		}
	}
	in := property(openflow.PropInstructions).Instructions
	for n := range 12 {
		if !slices.Contains(in, openflow.InstructionType(n)) {
			wrong(openflow.ErrBadInstruction, nil, join(u16(n), u16(8), u32(0)), "instruction", n)
		}
	}
	next := property(openflow.PropNextTables).Tables
	for n := range 256 {
		if !slices.Contains(next, uint8(n)) {
			wrong(openflow.ErrBadInstruction, nil, join(u16(1), u16(8), []byte{byte(n), 0, 0, 0}), "next table", n)
		}
	}
	for kind, number := range map[openflow.TablePropertyType]int{openflow.PropWriteActions: 3, openflow.PropApplyActions: 4} {
		for n := range 64 {
			if !slices.Contains(property(kind).Actions, openflow.ActionType(n)) {
				wrong(openflow.ErrBadAction, nil, join(u16(number), u16(16), u32(0), u16(n), u16(8), u32(0)), "action", n)
			}
		}
	}
	lists := func(kind openflow.TablePropertyType, n int) (there, masked bool) {
		for _, field := range property(kind).Fields {
			if int(field.ID.Info().Number) == n {
				return true, field.Masked
			}
		}
		return false, false
	}
	for n := range 64 {
		if n == 42 || n == 43 {
			continue // tcp_flags and actset_output of 1.5, which ovs-ofctl writes: taken without being listed
		}
		size := 4
		if i := slices.IndexFunc(property(openflow.PropMatch).Fields, func(f openflow.TableField) bool { return int(f.ID.Info().Number) == n }); i >= 0 {
			size = property(openflow.PropMatch).Fields[i].ID.Info().Bytes
		}
		value := make([]byte, size)
		there, masks := lists(openflow.PropMatch, n)
		if !there {
			wrong(openflow.ErrBadMatch, join(u16(0x8000), []byte{byte(n << 1), byte(size)}, value), nil, "field", n)
		}
		if there && !masks {
			wrong(openflow.ErrBadMatch, join(u16(0x8000), []byte{byte(n<<1 | 1), byte(2 * size)}, value, value), nil, "mask on field", n)
		}
		for kind, number := range map[openflow.TablePropertyType]int{openflow.PropWriteSetField: 3, openflow.PropApplySetField: 4} {
			if there, _ := lists(kind, n); there {
				continue
			}
			action := join(u16(25), u16(8+(size+7)/8*8), u16(0x8000), []byte{byte(n << 1), byte(size)}, value, make([]byte, (8-size%8)%8))
			wrong(openflow.ErrBadAction, nil, join(u16(number), u16(8+len(action)), u32(0), action), "set_field", n)
		}
	}
}

// flowBody is the bytes of an ADD behind its header.
func flowBody(table uint8, oxm, instructions []byte) []byte {
	b := openflow.Append(nil, 0, flowIn(table, everything))[8:48]
	b = join(b, u16(1), u16(4+len(oxm)), oxm)
	return join(b, make([]byte, (8-len(b)%8)%8), instructions)
}

// needed is a match on a field, last, and before it on those that it needs.
func needed(id openflow.FieldID) (list []openflow.Field) {
	have := map[openflow.FieldID]bool{}
	var need func(openflow.FieldID, uint64)
	need = func(id openflow.FieldID, v uint64) {
		if have[id] {
			return
		}
		have[id] = true
		for _, pre := range id.Info().Prereqs {
			want := aValue(pre.Field)
			if len(pre.Values) > 0 {
				want = pre.Values[0]
			}
			need(pre.Field, want)
		}
		list = append(list, eq(id, v))
	}
	need(id, aValue(id))
	return list
}

// aValue is a value that the field may have.
func aValue(id openflow.FieldID) uint64 {
	switch id {
	case openflow.VLANVID:
		return openflow.VIDPresent | 1
	case openflow.EthType:
		return 0x0800
	}
	return 1
}

// anAction is an action of a type, and a match under which it makes sense.
func anAction(a openflow.ActionType) (openflow.Match, openflow.Action) {
	as := func(id openflow.FieldID, action openflow.Action) (openflow.Match, openflow.Action) {
		return match(needed(id)...), action
	}
	switch a {
	case openflow.ActionOutput:
		return everything, out(1)
	case openflow.ActionGroup:
		return everything, toGroup(1)
	case openflow.ActionSetField:
		return everything, setDst
	case openflow.ActionDecNwTTL, openflow.ActionSetNwTTL:
		return as(openflow.IPProto, setTTL(a, 3))
	case openflow.ActionPushVLAN:
		return everything, push(a, 0x8100)
	case openflow.ActionPopVLAN:
		return as(openflow.VLANPCP, simple(a))
	case openflow.ActionPushMPLS:
		return as(openflow.IPProto, push(a, 0x8847))
	case openflow.ActionPushPBB:
		return everything, push(a, 0x88e7)
	case openflow.ActionPopPBB:
		return as(openflow.PBBISID, simple(a))
	case openflow.ActionPopMPLS:
		return as(openflow.MPLSLabel, push(a, 0x0800))
	case openflow.ActionCopyTTLIn, openflow.ActionCopyTTLOut, openflow.ActionSetMPLSTTL, openflow.ActionDecMPLSTTL:
		return as(openflow.MPLSLabel, setTTL(a, 3))
	}
	return everything, simple(a)
}
