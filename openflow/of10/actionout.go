package of10

import (
	"github.com/weirswitch/weir/openflow"
)

// appendEntryActions writes what an entry does, as a list of actions of 1.0: the applied ones, the
// metadata as loads, goto_table as a resubmit. What is left out, doc.go says. note holds words about
// what no reader of 1.0 knows, and comes first.
func appendEntryActions(b []byte, note string, list openflow.Instructions) []byte {
	if note += unsaidActions(list); note != "" {
		b = append(b, openflow.NewActions(openflow.Action{Type: openflow.NXNote, Data: []byte(note)}).Bytes()...)
	}
	return appendEntry(b, list, appendActions)
}

// appendEntry is appendEntryActions without the note; apply writes the applied actions.
func appendEntry(b []byte, list openflow.Instructions, apply func([]byte, openflow.Actions) []byte) []byte {
	if in, ok := list.Get(openflow.InstructionApplyActions); ok {
		b = apply(b, in.Actions)
	}
	if in, ok := list.Get(openflow.InstructionWriteMetadata); ok {
		for ofs, n := range runs(in.MetadataMask) {
			b = appendLoad(b, openflow.Metadata, ofs, n, in.Metadata>>ofs&(^uint64(0)>>(64-n)))
		}
	}
	if in, ok := list.Get(openflow.InstructionGotoTable); ok {
		a := openflow.Action{Type: openflow.NXResubmitTable, Port: openflow.PortInPort, Table: in.TableID}
		b = append(b, openflow.NewActions(a).Bytes()...)
	}
	return b
}

// appendActions writes a list of 1.3's actions as 1.0's and Nicira's.
func appendActions(b []byte, list openflow.Actions) []byte {
	var before openflow.Action
	for a := range list.All() {
		if !samePort(&before, &a) {
			b = appendAction(b, &a)
		}
		before = a
	}
	return b
}

// samePort reports the second of two set_fields that are one action in 1.0, which has one word for the
// port of every transport protocol.
func samePort(a, b *openflow.Action) bool {
	if a.Type != openflow.ActionSetField || b.Type != openflow.ActionSetField || a.Field.Value != b.Field.Value {
		return false
	}
	return isPort(a.Field.ID) && isPort(b.Field.ID) && b.Field.ID-a.Field.ID == 2
}

func isPort(id openflow.FieldID) bool { return id >= openflow.TCPSrc && id <= openflow.SCTPDst }

func appendAction(b []byte, a *openflow.Action) []byte {
	switch a.Type {
	case openflow.ActionOutput:
		return append16(append16(append(b, 0, actOutput, 0, 8), narrow(a.Port)), a.MaxLen)
	case openflow.ActionSetField:
		return appendSetField(b, &a.Field)
	case openflow.ActionPopVLAN:
		return append(b, 0, actStripVLAN, 0, 8, 0, 0, 0, 0)
	case openflow.ActionSetQueue:
		return append32(appendZeros(appendVendor(b, nxSetQueue, 16), 2), a.Queue)
	case openflow.ActionGroup:
		return append32(appendZeros(appendVendor(b, nxGroup, 16), 2), a.Group)
	case openflow.ActionPushMPLS:
		return appendZeros(append16(appendVendor(b, nxPushMPLS, 16), a.EtherType), 4)
	case openflow.ActionPopMPLS:
		return appendZeros(append16(appendVendor(b, nxPopMPLS, 16), a.EtherType), 4)
	case openflow.ActionSetMPLSTTL:
		return appendZeros(append(appendVendor(b, nxSetMPLSTTL, 16), a.TTL), 5)
	case openflow.ActionDecMPLSTTL:
		return appendZeros(appendVendor(b, nxDecMPLSTTL, 16), 6)
	case openflow.ActionDecNwTTL:
		return appendZeros(appendVendor(b, nxDecTTL, 16), 6)
	case openflow.ActionSetNwTTL:
		return appendLoad(b, openflow.IPTTL, 0, 8, uint64(a.TTL))
	case openflow.NXLoad:
		return appendLoad(b, a.Dst.ID, a.Dst.Offset, a.Dst.Bits, a.Load)
	case openflow.NXMove:
		b = append16(append16(append16(appendVendor(b, nxRegMove, 24), a.Src.Bits), a.Src.Offset), a.Dst.Offset)
		return appendName(appendName(b, a.Src.ID), a.Dst.ID)
	}
	if a.Type >= 1<<16 { // Nicira's, the same in both versions
		return append(b, openflow.NewActions(*a).Bytes()...)
	}
	return b // push_vlan is implied by the action that follows it; unsaid tells of the rest
}

// appendVendor begins a Nicira action.
func appendVendor(b []byte, subtype uint16, size uint16) []byte {
	b = append16(append16(b, actVendor), size)
	return append16(append32(b, openflow.ExperimenterNicira), subtype)
}

// appendSetField uses the action that 1.0 has for the field, else loads.
func appendSetField(b []byte, f *openflow.Field) []byte {
	v := f.Value.Uint64()
	short := func(t uint8, v uint32) []byte { return append32(append(b, 0, t, 0, 8), v) }
	switch f.ID {
	case openflow.VLANVID:
		return short(actSetVLANVID, uint32(v&0xfff)<<16)
	case openflow.VLANPCP:
		return short(actSetVLANPCP, uint32(v)<<24)
	case openflow.EthSrc, openflow.EthDst:
		t := uint8(actSetDLSrc)
		if f.ID == openflow.EthDst {
			t = actSetDLDst
		}
		b = append(append(b, 0, t, 0, 16), f.Value.Bytes(f.ID)...)
		return appendZeros(b, 6)
	case openflow.IPv4Src:
		return short(actSetNWSrc, uint32(v))
	case openflow.IPv4Dst:
		return short(actSetNWDst, uint32(v))
	case openflow.IPDSCP:
		return short(actSetNWTOS, uint32(v)<<26)
	case openflow.TCPSrc, openflow.UDPSrc, openflow.SCTPSrc:
		return short(actSetTPSrc, uint32(v)<<16)
	case openflow.TCPDst, openflow.UDPDst, openflow.SCTPDst:
		return short(actSetTPDst, uint32(v)<<16)
	}
	if unknownTo10(f.ID) {
		return b
	}
	n := uint16(f.ID.Info().Bits)
	b = appendLoad(b, f.ID, 0, min(n, 64), v)
	if n > 64 {
		b = appendLoad(b, f.ID, 64, n-64, f.Value.Hi())
	}
	return b
}

func appendLoad(b []byte, id openflow.FieldID, ofs, n uint16, v uint64) []byte {
	b = append16(appendVendor(b, nxRegLoad, 24), ofs<<6|(n-1))
	return append64(appendName(b, id), v)
}

// appendName writes the four bytes that name a field in a move or a load.
func appendName(b []byte, id openflow.FieldID) []byte {
	info := id.Info()
	class, number, ok := id.NXM()
	if !ok {
		class, number = info.Class, info.Number
	}
	return append(append16(b, class), number<<1, uint8(info.Bytes))
}

// unsaidMatch puts into words the fields of a match that no reader of 1.0 knows.
func unsaidMatch(m openflow.Match) (note string) {
	for f := range m.All() {
		if unknownTo10(f.ID) {
			note += f.String() + " "
		}
	}
	return note
}

// unsaidActions does the same for the actions.
func unsaidActions(list openflow.Instructions) (note string) {
	in, _ := list.Get(openflow.InstructionApplyActions)
	for a := range in.Actions.All() {
		switch a.Type {
		case openflow.ActionCopyTTLIn, openflow.ActionCopyTTLOut, openflow.ActionPushPBB, openflow.ActionPopPBB:
			note += a.String() + " "
		case openflow.ActionSetField:
			if unknownTo10(a.Field.ID) {
				note += a.String() + " "
			}
		}
	}
	return note
}
