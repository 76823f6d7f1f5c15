// Slow path: do an entry's actions fit its match? (sections 5.12 and 7.4.4, OFPBAC_MATCH_INCONSISTENT)

package flowtable

import (
	"slices"

	"github.com/weirswitch/weir/openflow"
)

// judge knows what is certain about a frame at some place in an entry's actions: what the match
// says, changed by the actions before. It refuses what Open vSwitch refuses, so that a controller
// sees one behaviour: a field is written only where its prerequisites are certain.
type judge struct {
	eth, proto, icmp6 int  // eth_type, ip_proto, icmpv6_type, or unknown
	vlan              bool // there is a tag
	lenient           bool // refuse only fields without their prerequisites
	blind             bool // refuse nothing
}

// set is a judge of actions for the action set, from here on. They run after later tables, and among
// those of other tables, on a frame that this entry's match says little of: so a pop or a TTL is not
// refused for what the match leaves open. Without a judge nothing is refused.
func (j *judge) set() judge {
	if j == nil {
		return judge{blind: true}
	}
	s := *j
	s.lenient = true
	return s
}

const unknown = -1

// judgeOf is the judge of a FLOW_MOD's actions; a loose one is not judged.
func judgeOf(m *openflow.FlowMod) judge {
	if m.Loose != nil {
		return judge{blind: true}
	}
	return newJudge(m.Match)
}

func newJudge(m openflow.Match) judge {
	j := judge{eth: unknown, proto: unknown, icmp6: unknown}
	for f := range m.All() {
		switch f.ID {
		case openflow.EthType, openflow.IPProto, openflow.ICMPv6Type:
			*j.fact(f.ID) = int(f.Value.Uint64())
		case openflow.VLANVID:
			j.vlan = f.Value.Uint64()&openflow.VIDPresent != 0
		}
	}
	return j
}

// fact is where the value of a field that others depend on is kept.
func (j *judge) fact(id openflow.FieldID) *int {
	switch id {
	case openflow.EthType:
		return &j.eth
	case openflow.IPProto:
		return &j.proto
	}
	return &j.icmp6
}

// retype notes a new eth_type and forgets what was known of the headers behind it.
func (j *judge) retype(ethType int) { j.eth, j.proto, j.icmp6 = ethType, unknown, unknown }

// see judges one action and notes what it changes.
func (j *judge) see(a *openflow.Action) error {
	if j.blind {
		return nil
	}
	ok := true
	switch a.Type {
	case openflow.ActionSetField, openflow.NXLoadMasked:
		return j.write(a.Field.ID, a)
	case openflow.NXLoad:
		return j.write(a.Dst.ID, a)
	case openflow.NXMove:
		if !j.meets(a.Src.ID) {
			return inconsistent(a, a.Src.ID)
		}
		return j.write(a.Dst.ID, a)
	case openflow.ActionPopVLAN:
		ok = j.vlan
		j.vlan = false
	case openflow.ActionPushVLAN:
		j.vlan = true
	case openflow.ActionPushMPLS:
		j.retype(int(a.EtherType))
	case openflow.ActionPopMPLS:
		ok = j.isMPLS()
		j.retype(int(a.EtherType))
	case openflow.ActionPushPBB:
		j.vlan = false
		j.retype(int(a.EtherType))
	case openflow.ActionPopPBB:
		ok = j.is(openflow.EthType, 0x88e7)
		j.vlan = false
		j.retype(unknown)
	case openflow.ActionDecNwTTL, openflow.ActionSetNwTTL:
		ok = j.is(openflow.EthType, 0x0800, 0x86dd)
	case openflow.ActionDecMPLSTTL, openflow.ActionSetMPLSTTL:
		ok = j.isMPLS()
	case openflow.ActionCopyTTLIn, openflow.ActionCopyTTLOut: // between IP headers, too (section 5.12)
		ok = j.isMPLS() || j.is(openflow.EthType, 0x0800, 0x86dd)
	}
	if !ok && !j.lenient {
		return openflow.Errorf(openflow.ErrBadAction, openflow.BACMatchInconsistent,
			"%s: neither the match nor an earlier action makes sure that there is such a header", a.Type)
	}
	return nil
}

func (j *judge) isMPLS() bool { return j.is(openflow.EthType, 0x8847, 0x8848) }

func (j *judge) is(id openflow.FieldID, values ...uint64) bool {
	v := *j.fact(id)
	return v != unknown && slices.Contains(values, uint64(v))
}

// meets reports whether a field's prerequisites are certain.
func (j *judge) meets(id openflow.FieldID) bool {
	if id == openflow.VLANVID {
		return j.vlan
	}
	for _, p := range id.Info().Prereqs {
		switch {
		case p.Field == openflow.VLANVID:
			if !j.vlan {
				return false
			}
		case len(p.Values) > 0 && !j.is(p.Field, p.Values...):
			return false
		}
	}
	return true
}

func (j *judge) write(id openflow.FieldID, a *openflow.Action) error {
	if !j.meets(id) {
		return inconsistent(a, id)
	}
	if a.Type != openflow.ActionSetField {
		return nil
	}
	switch v := int(a.Field.Value.Uint64()); id {
	case openflow.EthType:
		j.retype(v)
	case openflow.IPProto:
		j.proto, j.icmp6 = v, unknown
	case openflow.ICMPv6Type:
		j.icmp6 = v
	}
	return nil
}

func inconsistent(a *openflow.Action, id openflow.FieldID) error {
	return openflow.Errorf(openflow.ErrBadAction, openflow.BACMatchInconsistent,
		"%s of %s: the match does not make sure that the frame has it; match %s first", a.Type, id, prereqText(id))
}

func prereqText(id openflow.FieldID) string {
	if id == openflow.VLANVID {
		return "vlan_vid with the present bit"
	}
	text := ""
	for i, p := range id.Info().Prereqs {
		if i > 0 {
			text += " and "
		}
		text += p.Field.String()
	}
	return text
}
