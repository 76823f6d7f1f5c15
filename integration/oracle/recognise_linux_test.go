package oracle

import (
	"slices"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

func sameMatch(a, b *flow) bool {
	return fieldsText(openflow.NewMatch(a.match...)) == fieldsText(openflow.NewMatch(b.match...))
}

func emptyList(f *flow) bool {
	for _, in := range f.does {
		if (in.Type == openflow.InstructionApplyActions || in.Type == openflow.InstructionWriteActions) && len(in.actions) == 0 {
			return true
		}
	}
	return false
}

// pushMPLSOverIP: a first label whose parts are not set at once; the TTL may come from an IP header.
func pushMPLSOverIP(l *life) bool {
	zero := slices.ContainsFunc(l.steps, func(s step) bool {
		f, is := s.(*frame)
		return is && (strings.Contains(f.what, "ttl 0") || strings.Contains(f.what, "hlim 0"))
	})
	zero = zero || l.any(hasAction(func(a openflow.Action) bool { return a.Type == openflow.ActionSetNwTTL && a.TTL == 0 }))
	spends := l.any(func(f *flow) bool { return f.writes(openflow.ActionDecMPLSTTL) })
	for _, s := range l.steps {
		f, is := s.(*flow)
		if !is {
			continue
		}
		k := knowing(f.match)
		for _, in := range f.does {
			for i, a := range in.actions {
				if a.Type != openflow.ActionPushMPLS || k.mpls() {
					continue
				}
				if spends && in.Type == openflow.InstructionWriteActions { // the action set spends before it sets
					return true
				}
				next := append(slices.Clone(in.actions[i+1:]), make([]openflow.Action, 3)...)
				if !sets(next[0], openflow.MPLSLabel) || !sets(next[1], openflow.MPLSTC) || next[2].Type != openflow.ActionSetMPLSTTL && (zero || !k.ip()) {
					return true
				}
			}
		}
	}
	return false
}

// hasAction recognises flows by one of their actions.
func hasAction(is func(openflow.Action) bool) func(*flow) bool {
	return func(f *flow) bool {
		return slices.ContainsFunc(f.does, func(in instruction) bool { return slices.ContainsFunc(in.actions, is) })
	}
}

func hasType(t openflow.ActionType) func(*flow) bool {
	return hasAction(func(a openflow.Action) bool { return a.Type == t })
}

// writes says whether a flow puts an action of a type into the action set.
func (f *flow) writes(t openflow.ActionType) bool {
	return slices.ContainsFunc(f.does, func(in instruction) bool {
		return in.Type == openflow.InstructionWriteActions && slices.ContainsFunc(in.actions, func(a openflow.Action) bool { return a.Type == t })
	})
}

// any says whether some flow of the life is like that.
func (l *life) any(like func(*flow) bool) bool {
	return slices.ContainsFunc(l.steps, func(s step) bool { f, is := s.(*flow); return is && like(f) })
}

// hasField recognises flows by one field of their match.
func hasField(is func(openflow.Field) bool) func(*flow) bool {
	return func(f *flow) bool { return slices.ContainsFunc(f.match, is) }
}

// usesInternalTable: table 254, which Open vSwitch has for itself, and a goto beyond all tables.
func usesInternalTable(f *flow) bool {
	return f.table == 254 || slices.ContainsFunc(f.does, func(in instruction) bool {
		return in.Type == openflow.InstructionGotoTable && in.TableID >= 254
	})
}

func sets(a openflow.Action, id openflow.FieldID) bool {
	return a.Type == openflow.ActionSetField && a.Field.ID == id
}

func moreThanTwoTags(l *life) bool { return moreTags(l, 2) }

// moreTags: the deepest stack of the life's frames and everything that can be pushed on it.
func moreTags(l *life, limit int) bool {
	tags, pushes := 0, map[uint8]int{}
	for _, s := range l.steps {
		switch s := s.(type) {
		case *frame:
			tags = max(tags, s.tags())
		case *flow:
			if k := knowing(s.match); k.vlan {
				tags = max(tags, 1)
			}
			pushes[s.table] = max(pushes[s.table], s.count(openflow.ActionPushVLAN))
		}
	}
	for _, n := range pushes {
		tags += n
	}
	return tags > limit
}

// tags counts a frame's VLAN tags.
func (f *frame) tags() (n int) {
	for at := 12; at+4 <= len(f.bytes); at += 4 {
		if t := uint16(f.bytes[at])<<8 | uint16(f.bytes[at+1]); t != 0x8100 && t != 0x88a8 {
			break
		}
		n++
	}
	return n
}

// moreThanThreeLabels: the deepest stack of the life's frames and everything that can be pushed on it.
func moreThanThreeLabels(l *life) bool {
	labels, pushes := 0, map[uint8]int{}
	for _, s := range l.steps {
		switch s := s.(type) {
		case *frame:
			labels = max(labels, strings.Count(s.what, "mpls"))
		case *flow:
			pushes[s.table] = max(pushes[s.table], s.count(openflow.ActionPushMPLS))
		}
	}
	for _, n := range pushes {
		labels += n
	}
	return labels > 3
}

// count is how many actions of a type a flow has.
func (f *flow) count(t openflow.ActionType) (n int) {
	for _, in := range f.does {
		for _, a := range in.actions {
			if a.Type == t {
				n++
			}
		}
	}
	return n
}

// missAfterWrite: a frame with an action set may meet no entry in a later table.
func missAfterWrite(l *life) bool {
	writes, deletes, last := false, false, uint8(0)
	has := map[uint8]bool{}
	for _, s := range l.steps {
		f, is := s.(*flow)
		if !is || f.table >= packetOutTable && f.table != openflow.TableAll {
			continue
		}
		switch {
		case f.command >= openflow.FlowDelete:
			deletes = deletes || len(f.match) == 0
		case f.command == openflow.FlowAdd && len(f.match) == 0:
			gone := hasType(openflow.ActionGroup)(f) || metered(f) // with its group or meter, or is not taken for want of it
			has[f.table] = has[f.table] || !gone && f.flags&openflow.FlowCheckOverlap == 0
			deletes = deletes || gone || f.idle|f.hard != 0
		}
		for _, in := range f.does {
			writes = writes || in.Type == openflow.InstructionWriteActions
			if in.Type == openflow.InstructionGotoTable {
				last = max(last, in.TableID)
			}
		}
	}
	for t := range int(last) {
		if writes && (deletes || !has[uint8(t+1)]) {
			return true
		}
	}
	return false
}

// laterOnly says whether a match is of later fragments alone.
func laterOnly(match []openflow.Field) bool {
	return slices.ContainsFunc(match, func(f openflow.Field) bool { return f.ID == openflow.NwFrag && f.Value.Uint64()&2 != 0 })
}

// laterFragmentField: ports or ICMP fields of later fragments, which have none.
func laterFragmentField(f *flow) bool {
	return laterOnly(f.match) && slices.ContainsFunc(f.match, func(f openflow.Field) bool { return f.ID == openflow.IPProto })
}

// fragmentRewrite: other addresses, ports or ICMP fields in a later fragment, or behind an IPv6 fragment header.
func fragmentRewrite(l *life) bool {
	later, rewrites := false, false
	for _, s := range l.steps {
		switch s := s.(type) {
		case *frame:
			later = later || strings.Contains(s.what, "later fragment") || strings.Contains(s.what, "fragment 00")
		case *flow:
			rewrites = rewrites || hasAction(func(a openflow.Action) bool {
				id := a.Field.ID
				return a.Type == openflow.ActionSetField && (id >= openflow.IPv4Src && id <= openflow.ICMPv4Code || id == openflow.IPv6Src ||
					id == openflow.IPv6Dst || id >= openflow.ICMPv6Type && id <= openflow.NDTLL)
			})(s)
		}
	}
	return later && rewrites
}

// setToController: an action set sends to the controller, also by an expired TTL, and more than one
// entry had a part in it.
func setToController(f *flow) bool {
	writes, goes := false, f.table > 0 && f.table < packetOutTable
	for _, in := range f.does {
		goes = goes || in.Type == openflow.InstructionGotoTable
		for _, a := range in.actions {
			sends := a.Type == openflow.ActionOutput && a.Port == openflow.PortController || a.Type == openflow.ActionDecNwTTL || a.Type == openflow.ActionDecMPLSTTL
			writes = writes || in.Type == openflow.InstructionWriteActions && sends
		}
	}
	return writes && goes
}

// equalPriority: two entries of one priority that a frame may both meet.
func equalPriority(l *life) bool {
	for i, s := range l.steps {
		f, is := s.(*flow)
		if !is || f.command != openflow.FlowAdd || f.flags&openflow.FlowCheckOverlap != 0 {
			continue
		}
		for _, s := range l.steps[:i] {
			old, is := s.(*flow)
			if is && old.command == openflow.FlowAdd && old.table == f.table && old.priority == f.priority && !sameMatch(old, f) {
				return true
			}
		}
	}
	return false
}

// pushVLANBare: a second tag whose fields are not set at once.
func pushVLANBare(l *life) bool {
	tagged, bare := false, 0
	tables := map[uint8]bool{}
	for _, s := range l.steps {
		switch s := s.(type) {
		case *frame:
			tagged = tagged || s.tags() > 0
		case *flow:
			for _, in := range s.does {
				for i, a := range in.actions {
					if a.Type != openflow.ActionPushVLAN {
						continue
					}
					tagged = tagged || tables[s.table] || s.count(openflow.ActionPushVLAN) > 1
					if i+2 >= len(in.actions) || !sets(in.actions[i+1], openflow.VLANVID) || !sets(in.actions[i+2], openflow.VLANPCP) {
						bare++
					}
				}
			}
			for t := range uint8(tablesSeen) {
				tables[t] = tables[t] || t != s.table && s.count(openflow.ActionPushVLAN) > 0
			}
		}
	}
	return tagged && bare > 0
}

// ndCode: neighbour discovery fields of an ICMPv6 code that is not 0.
func ndCode(f *flow) bool {
	return slices.ContainsFunc(f.match, func(f openflow.Field) bool { return f.ID == openflow.ICMPv6Code && f.Value.Uint64() != 0 }) &&
		slices.ContainsFunc(f.match, func(f openflow.Field) bool {
			return f.ID == openflow.NDTarget || f.ID == openflow.NDSLL || f.ID == openflow.NDTLL
		})
}

// popsBlindly: a pop_mpls where it is not certain whether another label follows, or where the new
// ethertype says otherwise.
func popsBlindly(f *flow) bool {
	const unknown, more, last = 0, 1, 2
	below := unknown
	for _, m := range f.match {
		if m.ID == openflow.MPLSBOS {
			below = more + int(m.Value.Uint64())
		}
	}
	k := knowing(f.match)
	for _, in := range f.does {
		set := in.Type == openflow.InstructionWriteActions
		for _, a := range in.actions {
			switch a.Type {
			case openflow.ActionPushMPLS:
				if below = more; !k.mpls() {
					if below = last; k.eth == 0 {
						below = unknown
					}
				}
				k.eth = uint64(a.EtherType)
			case openflow.ActionPopMPLS:
				mpls := a.EtherType == 0x8847 || a.EtherType == 0x8848
				if set || below == unknown || mpls != (below == more) {
					return true
				}
				below, k.eth = unknown, uint64(a.EtherType)
			}
		}
	}
	return false
}

// priorityTags: NORMAL with a tag of VID 0.
func priorityTags(l *life) bool {
	normal, zero := false, false
	for _, s := range l.steps {
		switch s := s.(type) {
		case *frame:
			zero = zero || strings.Contains(s.what, "vlan 0")
		case *flow:
			for _, in := range s.does {
				for i, a := range in.actions {
					normal = normal || a.Type == openflow.ActionOutput && a.Port == openflow.PortNormal
					zero = zero || sets(a, openflow.VLANVID) && a.Field.Value.Uint64() == openflow.VIDPresent ||
						a.Type == openflow.ActionPushVLAN && (i+1 >= len(in.actions) || !sets(in.actions[i+1], openflow.VLANVID))
				}
			}
		}
	}
	return normal && zero
}

// fragmentPorts: fragments, and entries that look at ports or at ICMP.
func fragmentPorts(l *life) bool {
	fragments, ports := false, false
	for _, s := range l.steps {
		switch s := s.(type) {
		case *frame:
			fragments = fragments || strings.Contains(s.what, "fragment")
		case *flow:
			for _, f := range s.match {
				ports = ports || f.ID >= openflow.TCPSrc && f.ID <= openflow.ICMPv4Code || f.ID >= openflow.ICMPv6Type && f.ID <= openflow.NDTLL || f.ID == openflow.TCPFlags
			}
		}
	}
	return fragments && ports
}

// replacedIdle: an ADD with an idle timeout in the place of another entry.
func replacedIdle(l *life) bool {
	for i, s := range l.steps {
		f, is := s.(*flow)
		if !is || f.command != openflow.FlowAdd || f.idle == 0 {
			continue
		}
		for _, s := range l.steps[:i] {
			old, is := s.(*flow)
			if is && old.command == openflow.FlowAdd && old.table == f.table && old.priority == f.priority && sameMatch(old, f) {
				return true
			}
		}
	}
	return false
}

// vidWithoutPresent: a match on a VID that does not say that there is a tag.
func vidWithoutPresent(f *flow) bool {
	return slices.ContainsFunc(f.match, func(f openflow.Field) bool {
		v := f.Value.Uint64()
		return f.ID == openflow.VLANVID && v != 0 && v&openflow.VIDPresent == 0
	})
}

// setVIDUntagged: an action set writes a tag that may have been popped.
func setVIDUntagged(l *life) bool {
	pops, set := false, false
	for _, s := range l.steps {
		if f, is := s.(*flow); is {
			pops = pops || f.count(openflow.ActionPopVLAN) > 0
			for _, in := range f.does {
				set = set || in.Type == openflow.InstructionWriteActions && slices.ContainsFunc(in.actions, func(a openflow.Action) bool {
					return sets(a, openflow.VLANVID) || sets(a, openflow.VLANPCP)
				})
			}
		}
	}
	return pops && set
}

// plainMasks: fields whose mask says that nothing or everything counts.
func plainMasks(f *flow) bool {
	return slices.ContainsFunc(f.match, func(f openflow.Field) bool {
		full := openflow.Exact(f.ID, 0).Mask
		return f.Masked && (f.Mask == openflow.Value{} || f.Mask == full)
	})
}

// quietFrames is how many frames may meet NORMAL without a MAC address moving so often that weir sees
// a loop.
const quietFrames = 9

// framesAtOnce is the most frames of the life with no second between them.
func framesAtOnce(l *life) (most int) {
	n := 0
	for _, s := range l.steps {
		switch s.(type) {
		case *frame, *packetOut:
			n++
			most = max(most, n)
		case pause:
			n = 0
		}
	}
	return most
}

// loopGuard: NORMAL, and more frames at once than that.
func loopGuard(l *life) bool {
	return framesAtOnce(l) > quietFrames && l.any(outputs(openflow.PortNormal))
}

// fragmentSCTP: other SCTP ports in a fragment, whose CRC covers bytes that are elsewhere.
func fragmentSCTP(l *life) bool {
	return slices.ContainsFunc(l.steps, func(s step) bool { f, is := s.(*frame); return is && strings.Contains(f.what, "fragment") }) &&
		l.any(hasAction(func(a openflow.Action) bool { return sets(a, openflow.SCTPSrc) || sets(a, openflow.SCTPDst) }))
}

// popsAndGoes: a label is taken off and a later table counts the frame. This is generated; see recirculated-bytes in
// README.md.
func popsAndGoes(f *flow) bool {
	return hasType(openflow.ActionPopMPLS)(f) && slices.ContainsFunc(f.does, func(in instruction) bool { return in.Type == openflow.InstructionGotoTable })
}
