package oracle

import "github.com/weirswitch/weir/openflow"

// niciraLife is a pipeline that uses what Nicira added to OpenFlow: registers, load, move, resubmit and so on.
func (g *gen) niciraLife() *life {
	g.nicira, g.pushes, g.labelPushes = true, 0, 0
	return g.forwarding()
}

// registers are the fields that niciraLife matches and writes: reg2 and reg3 are xreg1.
var registers = []openflow.FieldID{openflow.Reg0, openflow.Reg0 + 1, openflow.Reg0 + 2, openflow.Reg0 + 3, openflow.Reg15, openflow.PktMark}

func (b *matcher) nicira() {
	for _, id := range registers {
		b.maybe(8, id, uint64(b.IntN(3)), pick(b.gen, []uint64{0, 1, 3}))
	}
	if b.one(8) {
		b.put(openflow.Exact(openflow.ActsetOutput, pick(b.gen, []uint64{1, 2, 3, 4, uint64(openflow.PortAny)})))
	}
}

// niciraAction is one that fits what is known.
func (g *gen) niciraAction(k *facts) openflow.Action {
	switch g.IntN(9) {
	case 0:
		bits := uint16(1 + g.IntN(4))
		return openflow.Action{Type: openflow.NXLoad, Load: g.Uint64N(1 << bits), Dst: openflow.SubField{ID: pick(g, registers), Offset: uint16(g.IntN(4)), Bits: bits}}
	case 1:
		return openflow.Action{Type: openflow.NXLoad, Load: pick(g, macs), Dst: openflow.SubField{ID: openflow.EthDst, Bits: 48}}
	case 2:
		return g.move(k)
	case 3:
		if g.one(3) {
			return openflow.SetField(openflow.XReg0+openflow.FieldID(g.IntN(2)), g.Uint64N(3)<<32|g.Uint64N(3))
		}
		return openflow.SetField(pick(g, registers), g.Uint64N(4))
	case 4:
		return openflow.Action{Type: openflow.NXNote, Data: []byte{1, 2, 3, 4, 5, 6}}
	case 5:
		mask := pick(g, []uint64{1, 3, 0xff00})
		return openflow.Action{Type: openflow.NXLoadMasked, Field: openflow.WithMask(pick(g, append(registers, openflow.EthSrc)), g.Uint64()&mask, mask)}
	case 6:
		return openflow.Action{Type: openflow.NXController, MaxLen: openflow.ControllerNoBuffer, Reason: openflow.PacketInReason(g.IntN(3))}
	}
	a := openflow.Action{Type: openflow.NXResubmitTable, Port: openflow.PortInPort, Table: uint8(g.IntN(g.tables))}
	if a.Table <= g.table {
		a.Table = uint8(g.tables) // an empty one
	}
	if g.one(3) {
		a.Port = openflow.PortNo(1 + g.IntN(numPorts))
	}
	return a
}

// move copies bits between fields that are there.
func (g *gen) move(k *facts) openflow.Action {
	src := append([]openflow.FieldID{openflow.EthDst, openflow.EthSrc, openflow.Metadata, openflow.InPort, openflow.EthType}, registers...)
	if k.eth == 0x0800 {
		src = append(src, openflow.IPv4Src, openflow.IPTTL)
	}
	if k.proto == 6 {
		src = append(src, openflow.TCPDst)
	}
	from, to := pick(g, src), pick(g, append([]openflow.FieldID{openflow.EthSrc, openflow.Metadata}, registers...))
	bits := uint16(1 + g.IntN(min(from.Info().Bits, to.Info().Bits)))
	return openflow.Action{Type: openflow.NXMove,
		Src: openflow.SubField{ID: from, Bits: bits, Offset: uint16(g.IntN(from.Info().Bits - int(bits) + 1))},
		Dst: openflow.SubField{ID: to, Bits: bits, Offset: uint16(g.IntN(to.Info().Bits - int(bits) + 1))},
	}
}
