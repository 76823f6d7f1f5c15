package oracle

import (
	"github.com/weirswitch/weir/openflow"
)

// wrongs is a life of FLOW_MODs of which most have something wrong.
func (g *gen) wrongs() *life {
	g.tables = 4
	l := &life{}
	for range 12 {
		g.flows = nil // two mistakes in one message have no order
		f := g.add()
		if n := append(l.steps[:len(l.steps):len(l.steps)], g.spoil(f)); known(&life{steps: n}) == "" {
			l.steps = n
		}
	}
	return l
}

// spoil makes a message of f with one mistake.
func (g *gen) spoil(f *flow) step {
	switch g.IntN(3) {
	case 0:
		return g.spoilMatch(f)
	case 1:
		return g.spoilActions(f)
	}
	return g.spoilRest(f)
}

// spoiled fields, each wrong in itself; those with prerequisites come behind them.
func (g *gen) spoilMatch(f *flow) step {
	e := openflow.Exact
	eth := e(openflow.EthType, 0x0800)
	v6 := e(openflow.EthType, 0x86dd)
	lists := [][]openflow.Field{
		{e(openflow.IPv4Dst, 1)}, {e(openflow.IPProto, 6)}, {eth, e(openflow.TCPDst, 1)}, {e(openflow.TCPDst, 1), eth, e(openflow.IPProto, 6)},
		{eth, e(openflow.IPProto, 17), e(openflow.TCPDst, 1)}, {v6, e(openflow.IPv4Dst, 1)}, {eth, e(openflow.ARPOp, 1)},
		{eth, eth}, {e(openflow.InPort, 1), e(openflow.EthDst, 1), e(openflow.InPort, 1)}, {e(openflow.InPort, 1), e(openflow.InPort, 2)},
		{e(openflow.VLANVID, 5)}, {e(openflow.VLANVID, 0x2005)}, {e(openflow.VLANPCP, 1)}, {e(openflow.VLANVID, 0), e(openflow.VLANPCP, 1)},
		{e(openflow.VLANVID, 0x1001), e(openflow.VLANPCP, 8)}, {openflow.WithMask(openflow.VLANVID, 5, 0xfff)},
		{openflow.WithMask(openflow.VLANVID, 0x1000, 0x1000), e(openflow.VLANPCP, 3)},
		{eth, e(openflow.IPDSCP, 64)}, {eth, e(openflow.IPECN, 4)}, {e(openflow.IPDSCP, 1)},
		{e(openflow.EthType, 0x8847), e(openflow.MPLSLabel, 1<<20)}, {e(openflow.EthType, 0x8847), e(openflow.MPLSTC, 8)}, {e(openflow.EthType, 0x8847), e(openflow.MPLSBOS, 2)},
		{v6, e(openflow.IPv6FLabel, 1<<20)}, {v6, e(openflow.IPProto, 58), e(openflow.NDTarget, 1)}, {v6, e(openflow.IPProto, 58), e(openflow.ICMPv6Type, 135), e(openflow.NDTLL, 1)},
		{openflow.WithMask(openflow.EthDst, 3, 1)}, {eth, openflow.WithMask(openflow.IPv4Dst, 3, 0xff00)}, {openflow.WithMask(openflow.Metadata, 3, 1)},
		{openflow.WithMask(openflow.InPort, 1, 1)}, {openflow.WithMask(openflow.EthType, 0x0800, 0xff00)}, {eth, openflow.WithMask(openflow.IPProto, 6, 7)},
		{openflow.WithMask(openflow.EthDst, 0, 0)}, {eth, openflow.WithMask(openflow.IPv4Dst, 0, 0)}, {openflow.WithMask(openflow.EthDst, 1, 0xffffffffffff)},
		{eth, openflow.WithMask(openflow.IPDSCP, 1, 1)}, {e(openflow.InPort, 0)}, {e(openflow.InPort, 0xffffffff)}, {e(openflow.EthType, 0x0600)}, {e(openflow.EthType, 5)},
		{eth, e(openflow.IPProto, 6), e(openflow.TCPFlags, 0x1000)},
		{e(openflow.EthType, 0x0806), e(openflow.ARPOp, 256)}, {eth, e(openflow.IPProto, 1), e(openflow.ICMPv6Type, 1)}, {v6, e(openflow.IPProto, 1), e(openflow.ICMPv4Type, 1)},
	}
	f.match, f.does = pick(g, lists), nil
	return f
}

func (g *gen) spoilActions(f *flow) step {
	set := openflow.SetField
	push := func(t openflow.ActionType, e uint16) openflow.Action { return openflow.Action{Type: t, EtherType: e} }
	masked := openflow.Action{Type: openflow.ActionSetField, Field: openflow.WithMask(openflow.EthDst, 1, 1)}
	list := []openflow.Action{
		openflow.Output(0), openflow.Output(openflow.PortAny), openflow.Output(openflow.PortTable), openflow.Output(0xffffff00), openflow.Output(0xffffff01), openflow.Output(0xfffffff7), openflow.Output(1000000),
		openflow.Output(openflow.PortLocal),
		openflow.Group(1), openflow.Group(openflow.GroupMax), openflow.Group(openflow.GroupAll), openflow.Group(openflow.GroupAny),
		set(openflow.InPort, 1), set(openflow.InPhyPort, 1), set(openflow.EthType, 0x0800), set(openflow.IPProto, 6), set(openflow.Metadata, 1), set(openflow.MPLSBOS, 1),
		set(openflow.TCPDst, 1), set(openflow.VLANVID, 0x1001), set(openflow.VLANVID, 1), set(openflow.VLANVID, 0x2001), set(openflow.VLANPCP, 8), set(openflow.IPDSCP, 64), set(openflow.IPECN, 4),
		set(openflow.TCPFlags, 1), set(openflow.NwFrag, 1), set(openflow.IPTTL, 1), set(openflow.TunnelID, 1), masked,
		push(openflow.ActionPushVLAN, 0x0800), push(openflow.ActionPushVLAN, 0x9100), push(openflow.ActionPushMPLS, 0x0800), push(openflow.ActionPushMPLS, 0), push(openflow.ActionPopMPLS, 0x0800),
		{Type: openflow.ActionPopVLAN}, {Type: openflow.ActionDecNwTTL}, {Type: openflow.ActionSetNwTTL, TTL: 1}, {Type: openflow.ActionDecMPLSTTL}, {Type: openflow.ActionSetMPLSTTL, TTL: 1},
		{Type: 28}, {Type: 0x7000}, {Type: openflow.ActionExperimenter, Experimenter: 0x12345678, Data: make([]byte, 8)},
		{Type: openflow.ActionSetQueue, Queue: 0xffffffff}, {Type: openflow.ActionSetQueue, Queue: 77},
	}
	kind := pick(g, []openflow.InstructionType{openflow.InstructionApplyActions, openflow.InstructionWriteActions})
	actions := []openflow.Action{pick(g, list)}
	if g.one(2) {
		actions = append(actions, openflow.Output(1))
	}
	f.match, f.does = nil, []instruction{{openflow.Instruction{Type: kind}, actions}}
	if g.one(2) {
		f.match = g.match()
	}
	return f
}

func (g *gen) spoilRest(f *flow) step {
	switch g.IntN(8) {
	case 0:
		f.table = pick(g, []uint8{253, 254, 255})
		if f.table == markerTable {
			f.table = 252
		}
		f.does = nil
	case 1:
		f.does = []instruction{{openflow.GotoTable(pick(g, []uint8{0, f.table, f.table + 1, 252, 253, 254, 255})), nil}}
	case 2:
		f.does = append(f.does, f.does...)
	case 3:
		f.does = append(f.does, instruction{openflow.Instruction{Type: pick(g, []openflow.InstructionType{0, 7, 9, 0x1234}), Data: make([]byte, 4)}, nil})
	case 4:
		f.does = append(f.does, instruction{openflow.Instruction{Type: openflow.InstructionMeter, Meter: pick(g, []uint32{0, 1, 0xffff0001})}, nil})
	case 5:
		f.does = append(f.does, instruction{openflow.Instruction{Type: openflow.InstructionExperimenter, Experimenter: 0x12345678, Data: make([]byte, 8)}, nil})
	case 6:
		f.flags |= 1 << (5 + g.IntN(11))
	default:
		f.command = openflow.FlowModCommand(5 + g.IntN(250))
	}
	return f
}
