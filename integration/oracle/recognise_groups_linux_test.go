package oracle

import (
	"slices"

	"github.com/weirswitch/weir/openflow"
)

// groupTwice: one entry names one group more than once.
func groupTwice(f *flow) bool {
	seen := map[uint32]bool{}
	return hasAction(func(a openflow.Action) bool {
		if a.Type != openflow.ActionGroup {
			return false
		}
		twice := seen[a.Group]
		seen[a.Group] = true
		return twice
	})(f)
}

// groupChecks: a group uses one that may not be there, or that leads back to it, or one that is used is deleted; or a
// FLOW_MOD that may modify nothing names one that may not be there.
func groupChecks(l *life) bool {
	sure, uses := map[uint32]bool{}, map[uint32][]uint32{}
	var reaches func(from, to uint32) bool
	reaches = func(from, to uint32) bool {
		return from == to || slices.ContainsFunc(uses[from], func(next uint32) bool { return reaches(next, to) })
	}
	for _, s := range l.steps {
		if f, is := s.(*flow); is && f.command != openflow.FlowAdd && hasAction(func(a openflow.Action) bool {
			return a.Type == openflow.ActionGroup && !sure[a.Group]
		})(f) {
			return true
		}
		m, is := s.(*groupMod)
		switch {
		case !is:
		case m.command == openflow.GroupDelete && m.id == openflow.GroupAll:
			sure, uses = map[uint32]bool{}, map[uint32][]uint32{}
		case m.command == openflow.GroupDelete:
			delete(uses, m.id)
			delete(sure, m.id)
			for _, list := range uses {
				if slices.Contains(list, m.id) {
					return true
				}
			}
		default:
			for _, to := range m.uses() {
				if !sure[to] || reaches(to, m.id) {
					return true
				}
			}
			uses[m.id] = append(uses[m.id], m.uses()...)
			if m.command == openflow.GroupAdd && !m.spoiled {
				sure[m.id] = true
			}
		}
	}
	return false
}

// watchReserved: a bucket watches a port that is none.
func watchReserved(m *groupMod) bool {
	return slices.ContainsFunc(m.buckets, func(b bucket) bool {
		return b.watchPort == 0 || b.watchPort >= 0xff00 && b.watchPort < openflow.PortLocal
	})
}

// selectUnwatched: a select group's bucket that watches nothing leads to a group, or to a port that may be down.
func selectUnwatched(l *life) bool {
	falls := someStep(func(p *portMod) bool { return p.config&p.mask&openflow.PortDown != 0 })(l)
	return someStep(func(m *groupMod) bool {
		return m.kind == openflow.GroupTypeSelect && slices.ContainsFunc(m.buckets, func(b bucket) bool {
			if b.watchPort != openflow.PortAny || b.watchGroup != openflow.GroupAny || len(b.actions) == 0 {
				return false
			}
			last := b.actions[len(b.actions)-1]
			return last.Type == openflow.ActionGroup || last.Type == openflow.ActionOutput && (falls || last.Port > numPorts)
		})
	})(l)
}

// selectFromNowhere: there is a select group, and a PACKET_OUT with an in_port that is not there.
func selectFromNowhere(l *life) bool {
	return someStep(func(m *groupMod) bool { return m.kind == openflow.GroupTypeSelect })(l) &&
		fromNowhere(l)
}

// selectInGroup: a bucket of a group leads to a select group.
func selectInGroup(l *life) bool {
	return someStep(func(m *groupMod) bool {
		return m.kind == openflow.GroupTypeSelect && someStep(func(n *groupMod) bool { return slices.Contains(n.uses(), m.id) })(l)
	})(l)
}
