package openflow

import "slices"

// CheckConsistency reports whether the actions of a flow agree with its match (section 5.12): a
// set_field needs the prerequisites of its field from the match or from a push before it. The error is
// BACMatchInconsistent. Buckets of groups and PACKET_OUT have no match and need no check.
func CheckConsistency(m Match, ins Instructions) error {
	var s fieldState
	for f := range m.All() {
		if f.Masked && f.ID != VLANVID {
			continue // prerequisites are exact
		}
		s.add(&f)
	}
	noTag := s.has(VLANVID) && !s.vlan
	for i := range ins.All() {
		if i.Type != InstructionApplyActions && i.Type != InstructionWriteActions {
			continue
		}
		state, bare := s, noTag
		for a := range i.Actions.All() {
			if err := checkAction(&state, &a, &bare); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkAction judges one action after those before it, and follows what it does to the frame. bare
// says that the frame surely has no VLAN tag.
func checkAction(s *fieldState, a *Action, bare *bool) error {
	switch a.Type {
	case ActionSetField, NXLoadMasked:
		return checkWritten(s, a.Field.ID, a)
	case NXLoad, NXMove:
		return checkWritten(s, a.Dst.ID, a)
	case ActionPushVLAN:
		s.seen[0] |= 1 << VLANVID
		s.vlan, *bare = true, false
	case ActionPopVLAN:
		if *bare {
			return actionError(BACMatchInconsistent, "pop_vlan in a flow for frames without a tag")
		}
		s.vlan = false // there may be a second tag; the match does not say
	case ActionPushMPLS, ActionPushPBB, ActionPopMPLS:
		s.seen[0] |= 1 << EthType
		s.seen[0] &^= 1 << IPProto
		s.ethType = uint64(a.EtherType)
	case ActionPopPBB:
		s.seen[0] &^= 1<<EthType | 1<<IPProto
	}
	return nil
}

func checkWritten(s *fieldState, id FieldID, a *Action) error {
	info := id.Info()
	for i := range info.Prereqs {
		p := &info.Prereqs[i]
		if id == VLANPCP && s.vlan || s.meets(p) {
			continue
		}
		return actionError(BACMatchInconsistent, "%s: the match must say %s", a, p)
	}
	if a.Type == ActionSetField {
		follow(s, &a.Field)
	}
	return nil
}

// follow remembers a value that a set_field makes certain.
func follow(s *fieldState, f *Field) {
	if slices.Contains([]FieldID{EthType, IPProto, ICMPv6Type}, f.ID) {
		s.add(f)
	}
}
