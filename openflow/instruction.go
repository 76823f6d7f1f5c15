package openflow

import (
	"bytes"
	"iter"
	"slices"
)

// InstructionType says what an instruction does (section 7.2.4).
type InstructionType uint16

// The instructions. A switch runs them in the order meter, apply, clear, write, metadata, goto,
// whatever their order in the message (section 5.9).
const (
	InstructionGotoTable     InstructionType = 1
	InstructionWriteMetadata InstructionType = 2
	InstructionWriteActions  InstructionType = 3
	InstructionApplyActions  InstructionType = 4
	InstructionClearActions  InstructionType = 5
	InstructionMeter         InstructionType = 6
	InstructionExperimenter  InstructionType = 0xffff
)

// Instruction is one instruction; Type says which of the other fields count.
type Instruction struct {
	Type         InstructionType
	TableID      uint8   // GotoTable
	Metadata     uint64  // WriteMetadata
	MetadataMask uint64  // WriteMetadata
	Meter        uint32  // Meter
	Actions      Actions // WriteActions, ApplyActions
	Experimenter uint32
	Data         []byte
}

// GotoTable continues in a later table.
func GotoTable(id uint8) Instruction {
	return Instruction{Type: InstructionGotoTable, TableID: id}
}

// ApplyActions runs actions at once.
func ApplyActions(list ...Action) Instruction {
	return Instruction{Type: InstructionApplyActions, Actions: NewActions(list...)}
}

// WriteActions merges actions into the action set.
func WriteActions(list ...Action) Instruction {
	return Instruction{Type: InstructionWriteActions, Actions: NewActions(list...)}
}

// Instructions is a list of instructions, kept as the bytes received or built; see Actions.
type Instructions struct {
	b []byte
}

// NewInstructions builds a list. It does not judge it: Check does.
func NewInstructions(list ...Instruction) Instructions {
	var b []byte
	for i := range list {
		b = appendInstruction(b, &list[i])
	}
	return Instructions{b}
}

// All yields the instructions in the order of the message.
func (l Instructions) All() iter.Seq[Instruction] {
	return func(yield func(Instruction) bool) {
		for b := l.b; len(b) >= 8; {
			n := int(u16(b, 2))
			if n < 8 || n > len(b) || !yield(viewInstruction(b[:n])) {
				return
			}
			b = b[n:]
		}
	}
}

// Get finds the instruction of type t.
func (l Instructions) Get(t InstructionType) (Instruction, bool) {
	for i := range l.All() {
		if i.Type == t {
			return i, true
		}
	}
	return Instruction{}, false
}

// Len is the number of instructions.
func (l Instructions) Len() int {
	n := 0
	for range l.All() {
		n++
	}
	return n
}

// IsEmpty reports a list without an instruction: the frame is dropped when no action set is there.
func (l Instructions) IsEmpty() bool { return len(l.b) == 0 }

// Clone copies the bytes, so that the list outlives the message it came in.
func (l Instructions) Clone() Instructions { return Instructions{slices.Clone(l.b)} }

// Bytes is the list as it travels. Read only.
func (l Instructions) Bytes() []byte { return l.b }

// Equal reports the same bytes.
func (l Instructions) Equal(o Instructions) bool { return bytes.Equal(l.b, o.b) }

// Check applies the rules of sections 7.2.4 and 7.4.4 as Decode does, also inside the actions.
func (l Instructions) Check() error { return checkInstructions(l.b) }

// viewInstruction reads an instruction that has been checked.
func viewInstruction(b []byte) (i Instruction) {
	i.Type = InstructionType(u16(b, 0))
	switch i.Type {
	case InstructionGotoTable:
		i.TableID = b[4]
	case InstructionWriteMetadata:
		if len(b) >= 24 {
			i.Metadata, i.MetadataMask = u64(b, 8), u64(b, 16)
		}
	case InstructionWriteActions, InstructionApplyActions, InstructionClearActions:
		if len(b) > 8 {
			i.Actions.b = b[8:len(b):len(b)]
		}
	case InstructionMeter:
		i.Meter = u32(b, 4)
	case InstructionExperimenter:
		i.Experimenter, i.Data = u32(b, 4), b[8:]
	}
	return i
}

func instructionError(code uint16, format string, args ...any) *Error {
	return Errorf(ErrBadInstruction, code, format, args...)
}

func checkInstructions(b []byte) error {
	seen := uint32(0)
	for len(b) > 0 {
		if len(b) < 8 {
			return instructionError(BICBadLen, "%d bytes left, an instruction needs 8", len(b))
		}
		t, n := InstructionType(u16(b, 0)), int(u16(b, 2))
		if n < 8 || n%8 != 0 || n > len(b) {
			return instructionError(BICBadLen, "instruction %d says %d bytes: expected a multiple of 8, at most the %d left", t, n, len(b))
		}
		if err := checkInstruction(t, b[:n]); err != nil {
			return err
		}
		if seen&(1<<t) != 0 {
			return &Error{Type: ErrExperimenter, Code: ONFDuplicateInstruction, Experimenter: ExperimenterONF,
				Detail: "two instructions " + t.String() + " in one flow"}
		}
		seen |= 1 << t
		b = b[n:]
	}
	return nil
}

// unmark is that of Actions, for the lists in checked instructions.
func (l Instructions) unmark() {
	for b := l.b; len(b) > 0; b = b[u16(b, 2):] {
		switch InstructionType(u16(b, 0)) {
		case InstructionWriteActions, InstructionApplyActions:
			Actions{b[8:u16(b, 2)]}.unmark()
		}
	}
}

func checkInstruction(t InstructionType, b []byte) error {
	want := 8
	switch t {
	case InstructionWriteMetadata:
		want = 24
	case InstructionWriteActions, InstructionApplyActions:
		return checkActions(b[8:])
	case InstructionGotoTable, InstructionMeter, InstructionClearActions:
	case InstructionExperimenter:
		return instructionError(BICBadExperimenter, "no instructions of experimenter 0x%08x", u32(b, 4))
	default:
		return instructionError(BICUnknownInst, "no instruction %d", t)
	}
	if len(b) != want {
		return instructionError(BICBadLen, "%s of %d bytes, expected %d", t, len(b), want)
	}
	return nil
}

func appendInstruction(b []byte, i *Instruction) []byte {
	start := len(b)
	b = append16(append16(b, uint16(i.Type)), 8)
	switch i.Type {
	case InstructionGotoTable:
		return appendZeros(append(b, i.TableID), 3)
	case InstructionWriteMetadata:
		b = appendZeros(b, 4)
		b = append64(append64(b, i.Metadata), i.MetadataMask)
	case InstructionMeter:
		b = append32(b, i.Meter)
	case InstructionExperimenter:
		b = append(append32(b, i.Experimenter), i.Data...)
		b = appendZeros(b, pad8(len(b)-start))
	default:
		b = append(appendZeros(b, 4), i.Actions.b...)
	}
	put16(b, start+2, uint16(len(b)-start))
	return b
}
