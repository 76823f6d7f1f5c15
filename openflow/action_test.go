package openflow

import (
	"slices"
	"testing"
)

// TestActionsUnchecked: a list that was built wrong still reads as it was built; Check is what
// says so, not a loop that ends early.
func TestActionsUnchecked(t *testing.T) {
	l := NewActions(Output(PortAny), SetField(InPort, 3), Action{Type: ActionExperimenter, Experimenter: 0x123456, Data: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		Action{Type: NXLoad, Dst: SubField{InPort, 0, 32}, Load: 1}, Action{Type: ActionPushVLAN, EtherType: 0x0800}, Output(3))
	var got []string
	for a := range l.All() {
		got = append(got, a.String())
	}
	want := []string{"output:ANY", "set_field:in_port=3", "experimenter", "load:0x1->in_port[0+32]", "push_vlan:0x0800", "output:3"}
	if !slices.Equal(got, want) || l.Len() != 6 {
		t.Errorf("got %q", got)
	}
	if l.Check() == nil {
		t.Error("all of it passed")
	}
	huge := NewActions(Action{Type: ActionExperimenter, Data: make([]byte, 70000)})
	if huge.Check() == nil || huge.Len() > 10000 {
		t.Error("an action of 70,000 bytes")
	}
}

// TestListsStop: loops over lists may be left early.
func TestListsStop(t *testing.T) {
	i := NewInstructions(Instruction{Type: InstructionMeter, Meter: 7}, ApplyActions(Output(1), Output(2)), GotoTable(3))
	for x := range i.All() {
		if x.Meter != 7 {
			t.Error(x)
		}
		break
	}
	apply, ok := i.Get(InstructionApplyActions)
	if !ok || apply.Actions.Len() != 2 || i.Len() != 3 {
		t.Error(i)
	}
	for a := range apply.Actions.All() {
		if a.Port != 1 {
			t.Error(a)
		}
		break
	}
	if _, ok := i.Get(InstructionClearActions); ok {
		t.Error("clear_actions out of nowhere")
	}
	for f := range NewMatch(Exact(InPort, 1), Exact(Metadata, 2)).All() {
		if f.ID != InPort {
			t.Error(f)
		}
		break
	}
}

// TestClone: a kept list does not change with the message it came in.
func TestClone(t *testing.T) {
	b := typicalFlowMod()
	m, _, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	fm := m.(*FlowMod)
	match, ins := fm.Match.Clone(), fm.Instructions.Clone()
	apply, _ := fm.Instructions.Get(InstructionApplyActions)
	acts := apply.Actions.Clone()
	want := match.String() + ins.String() + acts.String()
	clear(b)
	if got := match.String() + ins.String() + acts.String(); got != want {
		t.Errorf("was %s\nnow %s", want, got)
	}
	if !fm.Match.IsEmpty() && fm.Match.Equal(match) {
		t.Error("the view did not share the message's memory")
	}
}

// TestAppendTooLong: our own mistake is said aloud, not sent with a wrong length.
func TestAppendTooLong(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a message of 70,016 bytes")
		}
	}()
	Append(nil, 1, &Experimenter{Data: make([]byte, 70000)})
}

// TestPacketInCut: a super-frame longer than any message is cut, and says its true length.
func TestPacketInCut(t *testing.T) {
	b := Append([]byte("before"), 1, &PacketIn{TotalLen: 65535, Match: NewMatch(Exact(InPort, 1)), Data: make([]byte, 65535)})[6:]
	m, _, err := Decode(b)
	if err != nil || len(b) != MaxMessage {
		t.Fatal(len(b), err)
	}
	if in := m.(*PacketIn); in.TotalLen != 65535 || len(in.Data) != MaxMessage-42 {
		t.Error(in)
	}
}

// TestPaddingOfPushVLANSaysNothing: no message can ask for the push that only OpenFlow 1.0 has.
func TestPaddingOfPushVLANSaysNothing(t *testing.T) {
	list := NewActions(Output(1), Action{Type: ActionPushVLAN, EtherType: 0x8100, IfUntagged: true}, Output(2))
	in := func(l Actions) {
		t.Helper()
		n := 0
		for a := range l.All() {
			if n++; a.IfUntagged {
				t.Errorf("action %d is believed to push only onto an untagged frame", n)
			}
		}
		if n != 3 {
			t.Errorf("%d actions", n)
		}
	}
	for _, m := range []Message{
		&FlowMod{BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny, Instructions: NewInstructions(GotoTable(1), ApplyActions(slices.Collect(list.All())...), WriteActions(slices.Collect(list.All())...))},
		&GroupMod{Buckets: []Bucket{{Actions: list}}},
		&PacketOut{BufferID: NoBuffer, InPort: PortController, Actions: list, Data: make([]byte, 20)},
	} {
		back, _, err := Decode(Append(nil, 1, m))
		if err != nil {
			t.Fatal(err)
		}
		switch m := back.(type) {
		case *FlowMod:
			for i := range m.Instructions.All() {
				if !i.Actions.IsEmpty() {
					in(i.Actions)
				}
			}
		case *GroupMod:
			in(m.Buckets[0].Actions)
		case *PacketOut:
			in(m.Actions)
		}
	}
}
