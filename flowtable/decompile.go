// Slow path: from ops back to actions, for those who explain what a frame undergoes.

package flowtable

import (
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// action is an action that compiles to this op.
func (o *op) action() openflow.Action {
	if a, ok := o.output(); ok {
		return a
	}
	for t, simple := range simpleOps {
		if simple.code == o.code {
			a := openflow.Action{Type: t, EtherType: o.n, IfUntagged: o.whole}
			if o.code == opSetIPTTL || o.code == opSetMPLSTTL {
				a.EtherType, a.TTL = 0, uint8(o.n)
			}
			return a
		}
	}
	switch o.code {
	case opSetQueue:
		return openflow.Action{Type: openflow.ActionSetQueue, Queue: o.port}
	case opPopQueue:
		return openflow.Action{Type: openflow.NXPopQueue}
	case opResubmit:
		return openflow.Action{Type: openflow.NXResubmitTable, Port: openflow.PortNo(o.port), Table: uint8(o.n)}
	case opGroup:
		return openflow.Group(o.port)
	case opMove:
		return openflow.Action{Type: openflow.NXMove,
			Src: openflow.SubField{ID: fieldIDOf(packet.Field(o.port), o.from), Offset: uint16(o.hi), Bits: o.n},
			Dst: openflow.SubField{ID: fieldIDOf(o.field, o.proto), Offset: uint16(o.lo), Bits: o.n}}
	}
	id := fieldIDOf(o.field, o.proto) // opSetField
	f := openflow.Exact128(id, o.hi, o.lo)
	if o.whole {
		return openflow.Action{Type: openflow.ActionSetField, Field: f}
	}
	f.Masked, f.Mask = true, openflow.ValueOf128(o.mask[0], o.mask[1])
	return openflow.Action{Type: openflow.NXLoadMasked, Field: f}
}

// output is action for the ops that send.
func (o *op) output() (openflow.Action, bool) {
	a := openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortNo(o.port), MaxLen: o.n}
	switch o.code {
	case opOutput:
	case opInPort:
		a.Port = openflow.PortInPort
	case opAll:
		a.Port = openflow.PortAll
	case opFlood:
		a.Port = openflow.PortFlood
	case opNormal:
		a.Port = openflow.PortNormal
	case opTable:
		a.Port = openflow.PortTable
	case opController:
		a.Port = openflow.PortController
		if o.lo != 0 || o.port > uint32(openflow.ReasonAction)+1 || o.port == uint32(openflow.ReasonNoMatch)+1 {
			a = openflow.Action{Type: openflow.NXController, MaxLen: o.n, ControllerID: uint16(o.lo), Reason: openflow.ReasonAction}
			if o.port != 0 {
				a.Reason = openflow.PacketInReason(o.port - 1)
			}
		}
	default:
		return a, false
	}
	return a, true
}

func actionsOf(ops []op) []openflow.Action {
	list := make([]openflow.Action, len(ops))
	for i := range ops {
		list[i] = ops[i].action()
	}
	return list
}

// fieldIDOf is the match field at a place of the key; proto tells whose ports are meant.
func fieldIDOf(fl packet.Field, proto uint8) openflow.FieldID {
	for id := openflow.FieldID(0); int(id) < openflow.NumFields; id++ {
		if keyField(id) == fl && (!isPort(fl) || portsOf(id) == proto) {
			return id
		}
	}
	panic("a place of the key that no match field has")
}

func isPort(fl packet.Field) bool { return fl == packet.TPSrc || fl == packet.TPDst }
