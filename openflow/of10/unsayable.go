package of10

import (
	"fmt"

	"github.com/weirswitch/weir/openflow"
)

// A switch that tells its entries to a peer of 1.0 leaves out what cannot be said (doc.go). A controller must not:
// an entry without half of its match, or half of its actions, is another entry.

// sayable reports what a request asks for that the peer has no words for.
func (s *Session) sayable(m openflow.Message) error {
	switch m := m.(type) {
	case *openflow.FlowMod:
		if m.OutGroup != openflow.GroupAny && (m.Command == openflow.FlowDelete || m.Command == openflow.FlowDeleteStrict) {
			return unsayable("out_group")
		}
		if more := m.Flags &^ (openflow.FlowSendRemoved | openflow.FlowCheckOverlap | openflow.FlowResetCounts); more != 0 ||
			m.Flags&openflow.FlowResetCounts != 0 && m.Command != openflow.FlowAdd {
			return unsayable("the flags " + m.Flags.String())
		}
		if err := sayableMatch(m.Match); err != nil {
			return err
		}
		if s.Plain && (s.needsTable(m) || !isPlain(m)) {
			return unsayablePlain(m)
		}
		return sayableInstructions(m.Instructions)
	case *openflow.PacketOut:
		return sayableActions(m.Actions)
	case *openflow.GroupMod:
		for i := range m.Buckets {
			if err := sayableActions(m.Buckets[i].Actions); err != nil {
				return err
			}
		}
	case *openflow.MultipartRequest:
		for _, r := range m.Records {
			if err := s.sayableRecord(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func unsayable(what string) error {
	return fmt.Errorf("OpenFlow 1.0 has no words for %s: that takes OpenFlow 1.3", what)
}

func unsayablePlain(m *openflow.FlowMod) error {
	if m.TableID != 0 && m.TableID != openflow.TableAll {
		return fmt.Errorf("table %d: OpenFlow 1.0 without Nicira's extensions has one table", m.TableID)
	}
	return fmt.Errorf("this match or cookie cannot be said in OpenFlow 1.0 without Nicira's extensions, which the switch does not take")
}

func (s *Session) sayableRecord(r openflow.Record) error {
	switch r := r.(type) {
	case *openflow.FlowStatsRequest:
		if r.OutGroup != openflow.GroupAny {
			return unsayable("out_group")
		}
		if _, ok := plainMatch(r.Match); s.Plain && (!ok || r.CookieMask != 0) {
			return unsayablePlain(&openflow.FlowMod{})
		}
		return sayableMatch(r.Match)
	case *openflow.FlowMonitorRequest:
		return sayableMatch(r.Match)
	}
	return nil
}

func sayableMatch(m openflow.Match) error {
	for f := range m.All() {
		switch {
		case unknownTo10(f.ID):
			return unsayable(f.ID.String())
		case f.ID == openflow.InPort && !sayablePort(openflow.PortNo(f.Value.Uint64())):
			return unsayable(f.String() + ": its ports end at 65279")
		}
	}
	return nil
}

func sayablePort(p openflow.PortNo) bool { return narrow(p) != portNone || p == openflow.PortAny }

func sayableInstructions(list openflow.Instructions) error {
	for in := range list.All() {
		switch in.Type {
		case openflow.InstructionMeter, openflow.InstructionWriteActions, openflow.InstructionExperimenter:
			return unsayable(in.Type.String())
		case openflow.InstructionApplyActions:
			if err := sayableActions(in.Actions); err != nil {
				return err
			}
		}
	}
	return nil // without written actions there is nothing for clear_actions to clear
}

func sayableActions(list openflow.Actions) error {
	pushed := false
	for a := range list.All() {
		setsTag := a.Type == openflow.ActionSetField && (a.Field.ID == openflow.VLANVID || a.Field.ID == openflow.VLANPCP)
		switch {
		case pushed && !setsTag:
			return unsayable("a push_vlan that no VLAN follows")
		case a.Type == openflow.ActionPushVLAN && a.EtherType != 0x8100,
			a.Type == openflow.ActionCopyTTLIn, a.Type == openflow.ActionCopyTTLOut, a.Type == openflow.ActionPushPBB, a.Type == openflow.ActionPopPBB,
			a.Type == openflow.ActionExperimenter, a.Type == openflow.ActionSetField && unknownTo10(a.Field.ID),
			a.Type == openflow.ActionOutput && !sayablePort(a.Port):
			return unsayable(a.String())
		}
		pushed = a.Type == openflow.ActionPushVLAN
	}
	if pushed {
		return unsayable("a push_vlan that no VLAN follows")
	}
	return nil
}
