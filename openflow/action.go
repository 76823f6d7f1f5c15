package openflow

import (
	"bytes"
	"iter"
	"slices"
)

// ActionType says what an Action does. The standard ones have their numbers of section 7.2.4;
// Nicira's extensions have numbers beyond 16 bits, so that one switch statement covers both.
type ActionType uint32

// The actions of the specification.
const (
	ActionOutput       ActionType = 0
	ActionCopyTTLOut   ActionType = 11
	ActionCopyTTLIn    ActionType = 12
	ActionSetMPLSTTL   ActionType = 15
	ActionDecMPLSTTL   ActionType = 16
	ActionPushVLAN     ActionType = 17
	ActionPopVLAN      ActionType = 18
	ActionPushMPLS     ActionType = 19
	ActionPopMPLS      ActionType = 20
	ActionSetQueue     ActionType = 21
	ActionGroup        ActionType = 22
	ActionSetNwTTL     ActionType = 23
	ActionDecNwTTL     ActionType = 24
	ActionSetField     ActionType = 25
	ActionPushPBB      ActionType = 26
	ActionPopPBB       ActionType = 27
	ActionExperimenter ActionType = 0xffff // on the wire; decoded Nicira actions use the names below
)

// Nicira's actions that weir understands: subtype | 1<<16.
const (
	NXResubmit      ActionType = 1<<16 | 1  // Port: the in_port to look up with
	NXPopQueue      ActionType = 1<<16 | 5  // back to the default queue
	NXMove          ActionType = 1<<16 | 6  // Src -> Dst
	NXLoad          ActionType = 1<<16 | 7  // Load -> Dst
	NXNote          ActionType = 1<<16 | 8  // Data: a comment
	NXResubmitTable ActionType = 1<<16 | 14 // Port and Table
	NXController    ActionType = 1<<16 | 20 // MaxLen, ControllerID, Reason
	NXLoadMasked    ActionType = 1<<16 | 33 // Field, with a mask
)

// Reserved values of MaxLen (section 7.2.5).
const (
	ControllerMaxLenMax uint16 = 0xffe5
	ControllerNoBuffer  uint16 = 0xffff // the whole frame, unbuffered
)

// SubField is a run of bits inside a field: Bits of them from bit Offset, counted from the right.
type SubField struct {
	ID     FieldID
	Offset uint16
	Bits   uint16
}

// Action is one action with every argument any action can have; Type says which of them count.
// It is a flattened union, handed out by value: nothing is allocated to read a list of them.
type Action struct {
	Type         ActionType
	Port         PortNo         // ActionOutput, NXResubmit, NXResubmitTable (PortInPort: as it came in)
	MaxLen       uint16         // ActionOutput to CONTROLLER, NXController
	Group        uint32         // ActionGroup
	Queue        uint32         // ActionSetQueue
	TTL          uint8          // ActionSetMPLSTTL, ActionSetNwTTL
	EtherType    uint16         // ActionPushVLAN, PushMPLS, PopMPLS, PushPBB
	IfUntagged   bool           // ActionPushVLAN: only a frame without a tag gets one
	Field        Field          // ActionSetField, NXLoadMasked
	Table        uint8          // NXResubmitTable; 0xff: the table at hand
	Src, Dst     SubField       // NXMove; NXLoad has only Dst
	Load         uint64         // NXLoad
	ControllerID uint16         // NXController
	Reason       PacketInReason // NXController
	Experimenter uint32         // ActionExperimenter
	Data         []byte         // ActionExperimenter: the rest; NXNote: the bytes of the note
}

// Output is the action that sends to a port. Frames to the controller go whole.
func Output(p PortNo) Action { return Action{Type: ActionOutput, Port: p, MaxLen: ControllerNoBuffer} }

// SetField is the action that writes a header field.
func SetField(id FieldID, v uint64) Action {
	return Action{Type: ActionSetField, Field: Exact(id, v)}
}

// Group is the action that runs a group.
func Group(id uint32) Action { return Action{Type: ActionGroup, Group: id} }

// Actions is a list of actions, kept as the bytes received or built. The zero value is the empty
// list. Lists from Decode have been checked and share the message's memory: Clone what is kept.
type Actions struct {
	b []byte
}

// NewActions builds a list. It does not judge it: Check does.
func NewActions(list ...Action) Actions {
	var b []byte
	for i := range list {
		b = appendAction(b, &list[i])
	}
	return Actions{b}
}

// DecodeActions checks an action list as Decode does. The list shares b's memory.
func DecodeActions(b []byte) (Actions, error) {
	if len(b) == 0 {
		return Actions{}, nil
	}
	return Actions{b[:len(b):len(b)]}, checkActions(b)
}

// All yields the actions in order. Their Data shares the list's memory.
func (l Actions) All() iter.Seq[Action] {
	return func(yield func(Action) bool) {
		for b := l.b; len(b) >= 8; {
			n := int(u16(b, 2))
			if n < 8 || n > len(b) {
				return // built with more data than a length can say
			}
			a, _ := readAction(b[:n]) // what it judges, Check has judged or the builder answers for
			if !yield(a) {
				return
			}
			b = b[n:]
		}
	}
}

// Len is the number of actions.
func (l Actions) Len() int {
	n := 0
	for range l.All() {
		n++
	}
	return n
}

// IsEmpty reports a list without an action, which drops.
func (l Actions) IsEmpty() bool { return len(l.b) == 0 }

// Clone copies the bytes, so that the list outlives the message it came in.
func (l Actions) Clone() Actions { return Actions{slices.Clone(l.b)} }

// Bytes is the list as it travels. Read only.
func (l Actions) Bytes() []byte { return l.b }

// Equal reports the same bytes.
func (l Actions) Equal(o Actions) bool { return bytes.Equal(l.b, o.b) }

// Check applies the rules of sections 7.2.5 and 7.4.4 as Decode does.
func (l Actions) Check() error { return checkActions(l.b) }

func actionError(code uint16, format string, args ...any) *Error {
	return Errorf(ErrBadAction, code, format, args...)
}

// checkActions walks a list once: every length, type and argument. What depends on the switch
// (does the group exist, is the port ours) or on the match is for others to say.
func checkActions(b []byte) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return actionError(BACBadLen, "%d bytes left, an action needs 8", len(b))
		}
		n := int(u16(b, 2))
		if n < 8 || n%8 != 0 || n > len(b) {
			return actionError(BACBadLen, "action %d says %d bytes: expected a multiple of 8, at most the %d left", u16(b, 0), n, len(b))
		}
		if _, err := readAction(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// sizeOf is the one length each action of fixed size may have.
func sizeOf(t ActionType) (int, bool) {
	switch t {
	case ActionOutput:
		return 16, true
	case ActionCopyTTLOut, ActionCopyTTLIn, ActionSetMPLSTTL, ActionDecMPLSTTL, ActionPushVLAN, ActionPopVLAN,
		ActionPushMPLS, ActionPopMPLS, ActionSetQueue, ActionGroup, ActionSetNwTTL, ActionDecNwTTL,
		ActionPushPBB, ActionPopPBB:
		return 8, true
	case ActionSetField, ActionExperimenter:
		return 0, true
	}
	return 0, false
}

// readAction decodes and judges the action that fills b, whose length is a multiple of eight.
func readAction(b []byte) (a Action, err error) {
	a.Type = ActionType(u16(b, 0))
	size, known := sizeOf(a.Type)
	if !known {
		return a, actionError(BACBadType, "no action %d", a.Type)
	}
	if size != 0 && len(b) != size {
		return a, actionError(BACBadLen, "%s of %d bytes, expected %d", a.Type, len(b), size)
	}
	switch a.Type {
	case ActionOutput:
		a.Port, a.MaxLen = PortNo(u32(b, 4)), u16(b, 8)
		return a, checkOutPort(a.Port)
	case ActionGroup:
		a.Group = u32(b, 4)
		if a.Group > GroupMax {
			return a, actionError(BACBadOutGroup, "group 0x%x is reserved, the highest is 0x%x", a.Group, uint32(GroupMax))
		}
	case ActionSetQueue:
		a.Queue = u32(b, 4)
	case ActionSetMPLSTTL, ActionSetNwTTL:
		a.TTL = b[4]
	case ActionPushVLAN, ActionPushMPLS, ActionPopMPLS, ActionPushPBB:
		a.EtherType = u16(b, 4)
		a.IfUntagged = a.Type == ActionPushVLAN && u16(b, 6) == ifUntagged
		return a, checkEtherType(&a)
	case ActionSetField:
		err = readSetField(b, &a)
	case ActionExperimenter:
		err = readExperimenterAction(b, &a)
	}
	return a, err
}

// ifUntagged stands in the padding of a push_vlan that OpenFlow 1.0's SET_VLAN_VID or SET_VLAN_PCP became:
// those give a tag to a frame that has none. 1.3 has no word for that, and its readers skip padding: they
// see the push and the set_field that Open vSwitch shows in the same place. Nobody can send it to weir, for
// unmark forgets the padding of what comes in. A wart, but one in one place.
const ifUntagged = 0x0100

// unmark clears that padding in a checked list that came by the wire.
func (l Actions) unmark() {
	for b := l.b; len(b) > 0; b = b[u16(b, 2):] {
		if ActionType(u16(b, 0)) == ActionPushVLAN && u16(b, 6) != 0 {
			put16(b, 6, 0)
		}
	}
}

// checkOutPort refuses the numbers that no switch can send to.
func checkOutPort(p PortNo) error {
	if p == 0 || p == PortAny || p > PortMax && p < PortInPort {
		return actionError(BACBadOutPort, "output to port %s (0x%x): not a port one can send to", p, uint32(p))
	}
	return nil
}

func checkEtherType(a *Action) error {
	ok := true
	switch a.Type {
	case ActionPushVLAN:
		ok = a.EtherType == 0x8100 || a.EtherType == 0x88a8
	case ActionPushMPLS:
		ok = a.EtherType == 0x8847 || a.EtherType == 0x8848
	case ActionPushPBB:
		ok = a.EtherType == 0x88e7
	}
	if !ok {
		return actionError(BACBadArgument, "%s with ethertype 0x%04x", a.Type, a.EtherType)
	}
	return nil
}

// readSetField: one unmasked field, then zeros to the multiple of eight (section 7.2.5).
func readSetField(b []byte, a *Action) error {
	h, f, err := parseField(b[4:])
	if err != nil {
		return setFieldError(err.(*Error), h)
	}
	a.Field = f
	if h.masked {
		return actionError(BACBadSetType, "set_field of %s with a mask", f.ID)
	}
	if want := 4 + h.size() + pad8(4+h.size()); len(b) != want {
		return actionError(BACBadSetLen, "set_field of %s in %d bytes, expected %d", f.ID, len(b), want)
	}
	if !f.ID.Info().Writable {
		return actionError(BACBadSetType, "%s cannot be written", f.ID)
	}
	if err := checkFieldValue(&f); err != nil {
		return actionError(BACBadSetArgument, "%s", err.(*Error).Detail)
	}
	if f.ID == VLANVID && f.Value.Uint64()&VIDPresent == 0 {
		return actionError(BACBadSetArgument, "set_field of vlan_vid 0x%x without the present bit 0x1000", f.Value.Uint64())
	}
	return nil
}

// setFieldError turns the match error of a field into the one that set_field wants.
func setFieldError(err *Error, h oxmHeader) *Error {
	switch {
	case err.Code == BMCBadLen:
		return actionError(BACBadSetLen, "set_field: %s", err.Detail)
	default: // BMCBadField, BMCBadMask
		return actionError(BACBadSetType, "set_field: %s", err.Detail)
	}
}

// appendAction is the opposite of readAction and knows the same lengths.
func appendAction(b []byte, a *Action) []byte {
	if a.Type >= 1<<16 {
		return appendNicira(b, a)
	}
	start := len(b)
	b = append16(append16(b, uint16(a.Type)), 8)
	switch a.Type {
	case ActionOutput:
		put16(b, start+2, 16)
		b = append16(append32(b, uint32(a.Port)), a.MaxLen)
		return appendZeros(b, 6)
	case ActionGroup:
		return append32(b, a.Group)
	case ActionSetQueue:
		return append32(b, a.Queue)
	case ActionSetMPLSTTL, ActionSetNwTTL:
		return appendZeros(append(b, a.TTL), 3)
	case ActionPushVLAN, ActionPushMPLS, ActionPopMPLS, ActionPushPBB:
		b = append16(b, a.EtherType)
		if a.IfUntagged {
			return append16(b, ifUntagged)
		}
		return appendZeros(b, 2)
	case ActionSetField:
		return endAction(appendField(b, &a.Field), start)
	case ActionExperimenter:
		return endAction(append(append32(b, a.Experimenter), a.Data...), start)
	}
	return appendZeros(b, 4)
}

// endAction pads the action that began at start and writes its length.
func endAction(b []byte, start int) []byte {
	b = appendZeros(b, pad8(len(b)-start))
	put16(b, start+2, uint16(len(b)-start))
	return b
}
