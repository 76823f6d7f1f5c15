package oracle

import (
	"slices"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

// deviation is something that Open vSwitch does otherwise, and where the specification speaks of it;
// README.md has the reasons. Each of in, frame and life recognises it, and nothing that is recognised
// is generated.
type deviation struct {
	name  string
	flow  func(*flow) bool
	frame func(*frame) bool
	life  func(*life) bool
	whole func(*life) bool // with all steps as they are; for the others a PACKET_OUT is an entry and a frame
}

// deviations are all known ones.
func deviations() []deviation {
	return []deviation{
		{name: "delete-instructions", flow: func(f *flow) bool { return f.command >= openflow.FlowDelete && len(f.does) > 0 }},
		{name: "empty-list", flow: emptyList},
		{name: "push-mpls-ip", life: pushMPLSOverIP},
		{name: "three-labels", life: moreThanThreeLabels},
		{name: "miss-runs-set", life: missAfterWrite},
		{name: "later-fragment-field", flow: laterFragmentField},
		{name: "fragment-checksum", life: fragmentRewrite},
		{name: "loop-guard", life: loopGuard},
		{name: "fragment-sctp", life: fragmentSCTP},
		{name: "set-to-controller", flow: setToController},
		{name: "equal-priority", life: equalPriority},
		{name: "push-vlan-fields", life: pushVLANBare},
		{name: "pop-mpls", flow: popsBlindly},
		{name: "priority-tags", life: priorityTags},
		{name: "fragment-ports", life: fragmentPorts},
		{name: "cookie-zero", flow: func(f *flow) bool {
			return f.command != openflow.FlowAdd && f.mask == ^uint64(0) && f.cookie == 0
		}},
		{name: "replaced-idle", life: replacedIdle},
		{name: "vid-without-present", flow: vidWithoutPresent},
		{name: "set-vid-untagged", life: setVIDUntagged},
		{name: "plain-masks", flow: plainMasks},
		{name: "set-metadata", flow: hasAction(func(a openflow.Action) bool { return sets(a, openflow.Metadata) })},
		{name: "set-field", flow: hasAction(func(a openflow.Action) bool {
			return a.Type == openflow.ActionSetField && slices.Contains([]openflow.FieldID{openflow.EthType, openflow.IPProto, openflow.MPLSBOS,
				openflow.TCPFlags, openflow.NwFrag, openflow.InPort, openflow.InPhyPort}, a.Field.ID)
		})},
		{name: "masked-set-field", flow: hasAction(func(a openflow.Action) bool { return a.Type == openflow.ActionSetField && a.Field.Masked })},
		{name: "output-table", flow: hasAction(func(a openflow.Action) bool { return a.Type == openflow.ActionOutput && a.Port == openflow.PortTable })},
		{name: "old-actions", flow: hasAction(func(a openflow.Action) bool { return old(a.Type) })},
		{name: "missing-actions", flow: hasAction(func(a openflow.Action) bool { return missing(a.Type) })},
		{name: "missing-actions", whole: someStep(firstAction(missing))},
		{name: "port-numbers", flow: hasAction(func(a openflow.Action) bool {
			return a.Type == openflow.ActionOutput && (a.Port == 0 || a.Port >= 0xff00 && a.Port <= openflow.PortMax)
		})},
		{name: "port-numbers", flow: func(f *flow) bool { return f.outPort >= 0xff00 && f.outPort < openflow.PortInPort }},
		{name: "port-numbers", flow: hasField(func(f openflow.Field) bool {
			v := openflow.PortNo(f.Value.Uint64())
			return f.ID == openflow.InPort && v >= 0xff00 && v < openflow.PortInPort
		})},
		{name: "internal-table", flow: usesInternalTable},
		{name: "arp-op", flow: hasField(func(f openflow.Field) bool { return f.ID == openflow.ARPOp && f.Value.Uint64() > 255 })},
		{name: "push-pop-mpls", life: func(l *life) bool {
			return l.any(hasType(openflow.ActionPushMPLS)) && l.any(hasType(openflow.ActionPopMPLS))
		}},
		{name: "modify-hard-timeout", life: func(l *life) bool {
			return l.any(func(f *flow) bool { return f.hard > 0 }) && l.any(func(f *flow) bool { return f.command == openflow.FlowModify || f.command == openflow.FlowModifyStrict })
		}},
		{name: "nd-code", flow: ndCode},
		{name: "later-fragment-protocol", frame: func(f *frame) bool { return strings.Contains(f.what, "fragment 001") }},
		{name: "two-tags", life: moreThanTwoTags},
		{name: "port-numbers", whole: someStep(func(p *packetOut) bool { return p.in == 0 || p.in >= 0xff00 && p.in <= openflow.PortMax })},
		{name: "group-checks", whole: groupChecks},
		{name: "watch-reserved", whole: someStep(watchReserved)},
		{name: "select-in-group", whole: selectInGroup},
		{name: "select-unwatched", whole: selectUnwatched},
		{name: "bundled-loose", whole: someStep(bundledLoose)},
		{name: "group-twice", flow: groupTwice},
		{name: "down-forgets", whole: downForgets},
		{name: "access-two-tags", life: accessTwoTags},
		{name: "meter-empty", whole: someStep(meterEmpty)},
		{name: "meter-told", whole: meterTold},
		{name: "meter-learning", life: func(l *life) bool { return l.any(metered) && l.any(outputs(openflow.PortNormal)) }},
		{name: "modify-meter", flow: modifyMeter},
		{name: "port-numbers", whole: someStep(func(p *portMod) bool { return p.port >= 0xff00 && p.port < openflow.PortInPort })},
		{name: "delete-buckets", whole: someStep(func(m *groupMod) bool { return m.command == openflow.GroupDelete && len(m.buckets) > 0 })},
		{name: "table-mod-bits", whole: someStep(tableModBits)},
		{name: "request-too-long", whole: someStep(requestTooLong)},
		{name: "unfinished-request", whole: someStep(func(r *raw) bool { return r.is(openflow.TypeMultipartRequest, 16) && r.bytes[11]&1 != 0 })},
		{name: "short-packet-out", whole: someStep(func(p *packetOut) bool { return len(p.frame.bytes) < 14 })},
		{name: "packet-out-actions", whole: someStep(func(p *packetOut) bool { return !p.frame.knows.fit(p.actions) })},
		{name: "packet-out-no-recv", whole: packetOutNoRecv},
		{name: "packet-out-learning", whole: packetOutLearning},
		{name: "no-packet-in", life: noPacketIn},
		{name: "port-mod-bits", whole: someStep(portModBits)},
		{name: "port-mod-advertise", whole: someStep(func(p *portMod) bool { return p.advertise != 0 })},
		{name: "port-mod-advertise", whole: someStep(func(r *raw) bool { return r.is(openflow.TypePortMod, 40) && r.at(32) != 0 })},
		{name: "old-actions", whole: someStep(firstAction(old))},
		{name: "select-from-nowhere", whole: selectFromNowhere},
		{name: "normal-from-nowhere", whole: normalFromNowhere},
		{name: "port-numbers", whole: someStep(rawWidePort)},
		{name: "group-commands", whole: someStep(groupCommands)},
		{name: "queue-zero", whole: someStep(func(r *raw) bool { return r.asks(openflow.MultipartQueue) && len(r.bytes) >= 24 && r.at(20) == 0 })},
		{name: "internal-table", whole: someStep(func(r *raw) bool { return r.is(openflow.TypeTableMod, 16) && r.bytes[8] == 254 })},
		{name: "port-mod-bits", whole: someStep(func(p *portMod) bool { return (p.config|p.mask)&^openflow.PortConfigAll != 0 })},
	}
}

// known names the first deviation that a life holds, or what else keeps it from being compared, or nothing.
func known(l *life) string {
	read, padded := l.read()
	if padded {
		return "padding"
	}
	read = read.flat()
	if malformed(read) || someStep(fatal)(read) || someStep((*race).meets)(read) {
		return "malformed"
	}
	shown := read.shown()
	for _, d := range deviations() {
		if d.in(shown) || d.whole != nil && d.whole(read) {
			return d.name
		}
	}
	return ""
}

// read has what raw messages mean in their place. padded says that in one of them bytes are not zero that say nothing.
func (l *life) read() (n *life, padded bool) {
	n = &life{ports: l.ports}
	for _, s := range l.steps {
		if r, is := s.(*raw); is {
			m, same := r.reading()
			if m == nil {
				padded = padded || r.onlyWeirRefuses()
			} else {
				padded = padded || !same
				s = m
			}
		}
		n.steps = append(n.steps, s)
	}
	return n, padded
}

// shown has entries and frames in the place of steps that have something in common with them.
func (l *life) shown() *life {
	n := &life{ports: l.ports}
	for _, s := range l.steps {
		if p, is := s.(interface{ shows() []step }); is {
			n.steps = append(n.steps, p.shows()...)
			continue
		}
		n.steps = append(n.steps, s)
	}
	return n
}

// onlyWeirRefuses is for raw messages that weir cannot read because of what is a deviation in a flow.
func (r *raw) onlyWeirRefuses() bool {
	_, _, err := openflow.Decode(r.bytes)
	return err != nil && slices.ContainsFunc([]string{"present bit", "cannot be written", "not a port one can send to"}, func(s string) bool {
		return strings.Contains(err.Error(), s)
	})
}

func (d *deviation) in(l *life) bool {
	for _, s := range l.steps {
		switch s := s.(type) {
		case *flow:
			if d.flow != nil && d.flow(s) {
				return true
			}
		case *frame:
			if d.frame != nil && d.frame(s) {
				return true
			}
		}
	}
	return d.life != nil && d.life(l)
}
