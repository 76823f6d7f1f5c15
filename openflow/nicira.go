package openflow

// Nicira's extension actions that users of ovs-ofctl type and that cost little beside the standard
// ones. They travel as experimenter actions of ExperimenterNicira with a 16-bit subtype.

const (
	nxHeader     = 10 // type, length, experimenter, subtype
	nxSubtypeBit = 1 << 16
)

// readExperimenterAction decodes Nicira's; others are refused by who they are.
func readExperimenterAction(b []byte, a *Action) error {
	if len(b) < 8 {
		return actionError(BACBadLen, "experimenter action of %d bytes, expected 8 or more", len(b))
	}
	a.Experimenter, a.Data = u32(b, 4), b[8:]
	if a.Experimenter != ExperimenterNicira {
		return actionError(BACBadExperimenter, "no actions of experimenter 0x%08x", a.Experimenter)
	}
	if len(b) < 16 {
		return actionError(BACBadLen, "Nicira action of %d bytes, expected 16 or more", len(b))
	}
	a.Type, a.Data = nxSubtypeBit|ActionType(u16(b, 8)), nil
	size := 16
	switch a.Type {
	case NXMove, NXLoad:
		size = 24
	case NXNote, NXLoadMasked:
		size = len(b)
	case NXResubmit, NXResubmitTable, NXController, NXPopQueue:
	default:
		return actionError(BACBadExpType, "no Nicira action %d", a.Type&^nxSubtypeBit)
	}
	if len(b) != size {
		return actionError(BACBadLen, "%s of %d bytes, expected %d", a.Type, len(b), size)
	}
	switch a.Type {
	case NXResubmit, NXResubmitTable:
		a.Port, a.Table = port16(u16(b, 10)), 0xff
		if a.Type == NXResubmitTable {
			a.Table = b[12]
		}
	case NXController:
		a.MaxLen, a.ControllerID, a.Reason = u16(b, 10), u16(b, 12), PacketInReason(b[14])
		if a.Reason > ReasonInvalidTTL {
			return actionError(BACBadArgument, "controller reason %d, the highest is %d", a.Reason, ReasonInvalidTTL)
		}
	case NXNote:
		a.Data = b[nxHeader:]
	case NXMove:
		return readMove(b, a)
	case NXLoad:
		return readLoad(b, a)
	case NXLoadMasked:
		return readLoadMasked(b, a)
	}
	return nil
}

// port16 widens OpenFlow 1.0's 16-bit port numbers, whose reserved range begins at 0xff00.
func port16(p uint16) PortNo {
	if p >= 0xfff8 {
		return PortNo(p) | 0xffff0000
	}
	return PortNo(p)
}

// Loadable reports that the Nicira actions may write the field: beside what SET_FIELD may, the
// pipeline's own metadata.
func (f *FieldInfo) Loadable() bool { return f.Writable || f.ID == Metadata }

func readMove(b []byte, a *Action) error {
	bits := u16(b, 10)
	src, err := subField(b[16:20], u16(b, 12), bits)
	if err != nil {
		return err
	}
	dst, err := subField(b[20:24], u16(b, 14), bits)
	if err != nil {
		return err
	}
	a.Src, a.Dst = src, dst
	if !dst.ID.Info().Loadable() {
		return actionError(BACBadArgument, "%s cannot be written", dst.ID)
	}
	return nil
}

func readLoad(b []byte, a *Action) error {
	ofs := u16(b, 10)
	dst, err := subField(b[12:16], ofs>>6, ofs&0x3f+1)
	if err != nil {
		return err
	}
	a.Dst, a.Load = dst, u64(b, 16)
	if !dst.ID.Info().Loadable() {
		return actionError(BACBadArgument, "%s cannot be written", dst.ID)
	}
	if dst.Bits < 64 && a.Load>>dst.Bits != 0 {
		return actionError(BACBadArgument, "load of 0x%x into %d bits", a.Load, dst.Bits)
	}
	return nil
}

// subField reads the four-byte header that names a field and checks the run of bits against it.
func subField(header []byte, offset, bits uint16) (SubField, error) {
	h := readOXM(header)
	id, ok := lookupField(h.class, h.number, 0)
	if !ok || h.masked {
		return SubField{}, actionError(BACBadArgument, "no field 0x%04x:%d to move or load", h.class, h.number)
	}
	info := id.Info()
	if h.length != info.Bytes || bits == 0 || int(offset)+int(bits) > info.Bits {
		return SubField{}, actionError(BACBadArgument, "bits %d..%d of %s, which has %d", offset, int(offset)+int(bits)-1, id, info.Bits)
	}
	return SubField{ID: id, Offset: offset, Bits: bits}, nil
}

// readLoadMasked: a field that may have a mask, right behind the subtype, then padding.
func readLoadMasked(b []byte, a *Action) error {
	h, f, err := parseField(b[nxHeader:])
	if err != nil {
		return setFieldError(err.(*Error), h)
	}
	a.Field = f
	if want := nxHeader + h.size() + pad8(nxHeader+h.size()); len(b) != want {
		return actionError(BACBadSetLen, "load of %s in %d bytes, expected %d", f.ID, len(b), want)
	}
	if !f.ID.Info().Loadable() {
		return actionError(BACBadSetType, "%s cannot be written", f.ID)
	}
	if !f.Value.AndNot(f.Mask).IsZero() || !f.Mask.AndNot(f.ID.Info().allOnes).IsZero() {
		return actionError(BACBadSetArgument, "%s has bits outside its mask or width", f)
	}
	return nil
}

func appendNicira(b []byte, a *Action) []byte {
	start := len(b)
	b = append16(append16(b, uint16(ActionExperimenter)), 16)
	b = append32(b, ExperimenterNicira)
	b = append16(b, uint16(a.Type))
	switch a.Type {
	case NXResubmit:
		b = append16(b, uint16(a.Port))
	case NXResubmitTable:
		b = append(append16(b, uint16(a.Port)), a.Table)
	case NXPopQueue:
	case NXController:
		b = append(append16(append16(b, a.MaxLen), a.ControllerID), uint8(a.Reason))
	case NXNote:
		b = append(b, a.Data...)
	case NXMove:
		b = append16(append16(append16(b, a.Src.Bits), a.Src.Offset), a.Dst.Offset)
		b = appendFieldName(appendFieldName(b, a.Src.ID), a.Dst.ID)
	case NXLoad:
		b = append16(b, a.Dst.Offset<<6|(a.Dst.Bits-1))
		b = append64(appendFieldName(b, a.Dst.ID), a.Load)
	case NXLoadMasked:
		b = appendField(b, &a.Field)
	default: // another subtype: the bytes after it as they are
		b = append(b, a.Data...)
	}
	if short := 16 - (len(b) - start); short > 0 {
		b = appendZeros(b, short)
	}
	return endAction(b, start)
}

// appendFieldName writes the four-byte header by which these actions name a field: Nicira's older one where
// there is one, as Open vSwitch does, else the standard one.
func appendFieldName(b []byte, id FieldID) []byte {
	name := niciraNames[id]
	return append(append16(b, name.class), name.number<<1, uint8(id.Info().Bytes))
}

// niciraNames are those headers, turned round from what readers take.
var niciraNames = buildNiciraNames()

func buildNiciraNames() (t [NumFields]struct {
	class  uint16
	number uint8
}) {
	for id := range t {
		t[id].class, t[id].number = fields[id].Class, fields[id].Number
	}
	for class, list := range [...][]FieldID{classNXM0: nxm0[:], classNXM1: nxm1[:]} {
		for number, id := range list {
			if id != none {
				t[id].class, t[id].number = uint16(class), uint8(number)
			}
		}
	}
	for id := range t {
		if t[id].class == classExperimenter {
			t[id].class = classBasic // OpenFlow 1.5's number, for there is no room for an experimenter
		}
	}
	return t
}
