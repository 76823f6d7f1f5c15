package ofctl

import (
	"fmt"

	"github.com/weirswitch/weir/openflow"
)

// Actions is the text of an action list; an empty list drops.
func Actions(l openflow.Actions) string { return string(AppendActions(nil, l)) }

// AppendActions writes an action list with commas, or drop.
func AppendActions(b []byte, l openflow.Actions) []byte { return noNames.appendActions(b, l) }

func (n *Names) appendActions(b []byte, l openflow.Actions) []byte {
	if n.speaksOld() {
		return n.appendOldActions(b, n.old.next())
	}
	if l.IsEmpty() {
		return append(b, "drop"...)
	}
	first := true
	for a := range l.All() {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = n.appendAction(b, &a)
	}
	return b
}

// simpleActions are those whose name says all.
var simpleActions = map[openflow.ActionType]string{
	openflow.ActionCopyTTLOut: "copy_ttl_out", openflow.ActionCopyTTLIn: "copy_ttl_in",
	openflow.ActionDecMPLSTTL: "dec_mpls_ttl", openflow.ActionPopVLAN: "pop_vlan",
	openflow.ActionDecNwTTL: "dec_ttl", openflow.ActionPopPBB: "pop_pbb",
}

func (n *Names) appendAction(b []byte, a *openflow.Action) []byte {
	switch a.Type {
	case openflow.ActionOutput:
		return n.appendOutput(b, a)
	case openflow.ActionGroup:
		return fmt.Appendf(b, "group:%d", a.Group)
	case openflow.ActionSetQueue:
		return fmt.Appendf(b, "set_queue:%d", a.Queue)
	case openflow.ActionPushVLAN:
		return fmt.Appendf(b, "push_vlan:0x%04x", a.EtherType)
	case openflow.ActionPushMPLS:
		return fmt.Appendf(b, "push_mpls:0x%04x", a.EtherType)
	case openflow.ActionPopMPLS:
		return fmt.Appendf(b, "pop_mpls:0x%04x", a.EtherType)
	case openflow.ActionPushPBB:
		return fmt.Appendf(b, "push_pbb:0x%04x", a.EtherType)
	case openflow.ActionSetMPLSTTL:
		return fmt.Appendf(b, "set_mpls_ttl(%d)", a.TTL)
	case openflow.ActionSetNwTTL:
		return fmt.Appendf(b, "mod_nw_ttl:%d", a.TTL)
	case openflow.ActionSetField:
		return n.appendSetField(b, a.Field)
	case openflow.ActionExperimenter:
		return fmt.Appendf(b, "experimenter(0x%08x,%x)", a.Experimenter, a.Data)
	}
	if name, ok := simpleActions[a.Type]; ok {
		return append(b, name...)
	}
	return n.appendNicira(b, a)
}

func (n *Names) appendOutput(b []byte, a *openflow.Action) []byte {
	if a.Port == openflow.PortController {
		return fmt.Appendf(b, "CONTROLLER:%d", a.MaxLen)
	}
	if _, word := portWords[a.Port]; !word {
		b = append(b, "output:"...)
	}
	return n.appendPort(b, a.Port)
}

func (n *Names) appendSetField(b []byte, f openflow.Field) []byte {
	w := wordOf(f.ID)
	if f.ID == openflow.IPv6FLabel {
		w.form = asHex
	}
	b = n.appendValue(append(b, "set_field:"...), f, w.form)
	return append(append(b, "->"...), w.set...)
}

// appendNicira writes the extension actions.
func (n *Names) appendNicira(b []byte, a *openflow.Action) []byte {
	switch a.Type {
	case openflow.NXResubmit:
		return n.appendPort(append(b, "resubmit:"...), a.Port)
	case openflow.NXResubmitTable:
		if a.Port != openflow.PortInPort && a.Table == 0xff {
			return n.appendPort(append(b, "resubmit:"...), a.Port)
		}
		b = append(b, "resubmit("...)
		if a.Port != openflow.PortInPort {
			b = n.appendPort(b, a.Port)
		}
		b = append(b, ',')
		if a.Table != 0xff {
			b = n.appendTable(b, a.Table)
		}
		return append(b, ')')
	case openflow.NXPopQueue:
		return append(b, "pop_queue"...)
	case openflow.NXMove:
		b = appendSubField(append(b, "move:"...), a.Src)
		return appendSubField(append(b, "->"...), a.Dst)
	case openflow.NXLoad:
		b = appendHex(append(b, "load:"...), a.Load)
		return appendSubField(append(b, "->"...), a.Dst)
	case openflow.NXLoadMasked:
		return n.appendSetField(b, a.Field) // as ovs-ofctl shows it
	case openflow.NXNote:
		return appendNote(b, a.Data)
	case openflow.NXController:
		return appendController(b, a)
	}
	return fmt.Appendf(b, "action_%d", uint32(a.Type))
}

// appendNote writes the bytes of a note: 01.02.03.
func appendNote(b, data []byte) []byte {
	b = append(b, "note:"...)
	for i, x := range data {
		if i > 0 {
			b = append(b, '.')
		}
		b = fmt.Appendf(b, "%02x", x)
	}
	return b
}

var reasonWords = [...]string{"no_match", "action", "invalid_ttl"}

// appendController writes CONTROLLER:N when that says everything.
func appendController(b []byte, a *openflow.Action) []byte {
	if a.Reason == openflow.ReasonAction && a.ControllerID == 0 {
		return fmt.Appendf(b, "CONTROLLER:%d", a.MaxLen)
	}
	b = append(b, "controller("...)
	start := len(b)
	if a.Reason != openflow.ReasonAction {
		if int(a.Reason) < len(reasonWords) {
			b = append(append(b, "reason="...), reasonWords[a.Reason]...)
		} else {
			b = fmt.Appendf(b, "reason=%d", a.Reason)
		}
	}
	comma := func() {
		if len(b) > start {
			b = append(b, ',')
		}
	}
	if a.MaxLen != openflow.ControllerNoBuffer {
		comma()
		b = fmt.Appendf(b, "max_len=%d", a.MaxLen)
	}
	if a.ControllerID != 0 {
		comma()
		b = fmt.Appendf(b, "id=%d", a.ControllerID)
	}
	return append(b, ')')
}

// nxmNames are the names that load and move use, where they are not OXM_OF_ and the field's name.
var nxmNames = map[openflow.FieldID]string{
	openflow.EthDst: "NXM_OF_ETH_DST", openflow.EthSrc: "NXM_OF_ETH_SRC", openflow.EthType: "NXM_OF_ETH_TYPE",
	openflow.IPProto: "NXM_OF_IP_PROTO", openflow.IPv4Src: "NXM_OF_IP_SRC", openflow.IPv4Dst: "NXM_OF_IP_DST",
	openflow.TCPSrc: "NXM_OF_TCP_SRC", openflow.TCPDst: "NXM_OF_TCP_DST", openflow.UDPSrc: "NXM_OF_UDP_SRC",
	openflow.UDPDst: "NXM_OF_UDP_DST", openflow.ICMPv4Type: "NXM_OF_ICMP_TYPE", openflow.ICMPv4Code: "NXM_OF_ICMP_CODE",
	openflow.ARPOp: "NXM_OF_ARP_OP", openflow.ARPSPA: "NXM_OF_ARP_SPA", openflow.ARPTPA: "NXM_OF_ARP_TPA",
	openflow.ARPSHA: "NXM_NX_ARP_SHA", openflow.ARPTHA: "NXM_NX_ARP_THA", openflow.TunnelID: "NXM_NX_TUN_ID",
	openflow.IPv6Src: "NXM_NX_IPV6_SRC", openflow.IPv6Dst: "NXM_NX_IPV6_DST", openflow.IPv6FLabel: "NXM_NX_IPV6_LABEL",
	openflow.ICMPv6Type: "NXM_NX_ICMPV6_TYPE", openflow.ICMPv6Code: "NXM_NX_ICMPV6_CODE",
	openflow.NDTarget: "NXM_NX_ND_TARGET", openflow.NDSLL: "NXM_NX_ND_SLL", openflow.NDTLL: "NXM_NX_ND_TLL",
	openflow.IPECN: "NXM_NX_IP_ECN", openflow.IPTTL: "NXM_NX_IP_TTL", openflow.NwFrag: "NXM_NX_IP_FRAG",
	openflow.MPLSTTL: "NXM_NX_MPLS_TTL", openflow.PktMark: "NXM_NX_PKT_MARK", openflow.TCPFlags: "NXM_NX_TCP_FLAGS",
	openflow.InPort: "OXM_OF_IN_PORT", openflow.Metadata: "OXM_OF_METADATA", openflow.VLANVID: "OXM_OF_VLAN_VID",
	openflow.VLANPCP: "OXM_OF_VLAN_PCP", openflow.IPDSCP: "OXM_OF_IP_DSCP", openflow.MPLSLabel: "OXM_OF_MPLS_LABEL",
	openflow.MPLSTC: "OXM_OF_MPLS_TC", openflow.MPLSBOS: "OXM_OF_MPLS_BOS", openflow.SCTPSrc: "OXM_OF_SCTP_SRC",
	openflow.SCTPDst: "OXM_OF_SCTP_DST", openflow.PBBISID: "OXM_OF_PBB_ISID", openflow.InPhyPort: "OXM_OF_IN_PHY_PORT",
	openflow.IPv6ExtHdr: "OXM_OF_IPV6_EXTHDR", openflow.ActsetOutput: "ONFOXM_ET_ACTSET_OUTPUT", openflow.PBBUCA: "OXM_OF_PBB_UCA",
}

// appendSubField writes NAME[], NAME[bit] or NAME[first..last].
func appendSubField(b []byte, s openflow.SubField) []byte {
	b = appendFieldName(b, s.ID)
	switch {
	case s.Offset == 0 && int(s.Bits) == usedBits(s.ID):
		return append(b, "[]"...)
	case s.Bits == 1:
		return fmt.Appendf(b, "[%d]", s.Offset)
	}
	return fmt.Appendf(b, "[%d..%d]", s.Offset, s.Offset+s.Bits-1)
}

// Instructions is what stands behind actions= in a flow.
func Instructions(l openflow.Instructions) string { return string(AppendInstructions(nil, l)) }

// AppendInstructions writes the instructions in the order in which they run; none of them drops.
func AppendInstructions(b []byte, l openflow.Instructions) []byte {
	return noNames.appendInstructions(b, l)
}

func (n *Names) appendInstructions(b []byte, l openflow.Instructions) []byte {
	if n.speaksOld() {
		return n.appendOldActions(b, n.old.next())
	}
	start := len(b)
	for _, t := range [...]openflow.InstructionType{
		openflow.InstructionMeter, openflow.InstructionApplyActions, openflow.InstructionClearActions,
		openflow.InstructionWriteActions, openflow.InstructionWriteMetadata, openflow.InstructionGotoTable,
	} {
		i, ok := l.Get(t)
		if !ok || t == openflow.InstructionApplyActions && i.Actions.IsEmpty() {
			continue
		}
		if len(b) > start {
			b = append(b, ',')
		}
		b = n.appendInstruction(b, &i)
	}
	if len(b) == start {
		return append(b, "drop"...)
	}
	return b
}

func (n *Names) appendInstruction(b []byte, i *openflow.Instruction) []byte {
	switch i.Type {
	case openflow.InstructionMeter:
		return fmt.Appendf(b, "meter:%d", i.Meter)
	case openflow.InstructionApplyActions:
		return n.appendActions(b, i.Actions)
	case openflow.InstructionClearActions:
		return append(b, "clear_actions"...)
	case openflow.InstructionWriteActions:
		b = n.appendActions(append(b, "write_actions("...), i.Actions)
		return append(b, ')')
	case openflow.InstructionWriteMetadata:
		b = appendHex(append(b, "write_metadata:"...), i.Metadata)
		if i.MetadataMask != ^uint64(0) {
			b = appendHex(append(b, '/'), i.MetadataMask)
		}
		return b
	}
	return n.appendTable(append(b, "goto_table:"...), i.TableID)
}
