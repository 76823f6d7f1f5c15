// Slow path: what the actions of one table mean for what lookups in later ones rest on.

package flowtable

import "github.com/weirswitch/weir/flowtable/packet"

// effect is what a list of ops does to a frame that goes on to another table.
type effect struct {
	sets    packet.Mask // bits that are constant behind it, in every frame
	alters  packet.Mask // bits that may be other ones, as some frames lack the field or begin with another value
	copies  packet.Mask // bits that other fields are made of
	changes bool        // anything may be another: headers come, go, or are read in another way
}

// effectOf is nil for ops without any. (A pushed VLAN tag or I-TAG copies fields onto themselves.)
func effectOf(ops []op) *effect {
	var e effect
	for i := range ops {
		e.see(&ops[i])
	}
	if e == (effect{}) {
		return nil
	}
	return &e
}

func (e *effect) see(o *op) {
	switch o.code {
	case opSetField:
		if o.proto != 0 {
			e.copies.SetFull(packet.IPProto)
		}
		e.writes(o, o.field == packet.EthDst || o.field == packet.EthSrc) // the two that every frame has
	case opMove:
		e.copies.SetFull(packet.Field(o.port))
		if o.proto|o.from != 0 {
			e.copies.SetFull(packet.IPProto)
		}
		e.writes(o, false)
	case opDecIPTTL, opSetIPTTL:
		e.alter(packet.IPTTL)
	case opDecMPLSTTL, opSetMPLSTTL:
		e.alter(packet.MPLSTTL)
	case opPushMPLS:
		for _, fl := range [...]packet.Field{packet.EthType, packet.IPTTL, packet.MPLSLabel, packet.MPLSTC, packet.MPLSBOS, packet.MPLSTTL} {
			e.copies.SetFull(fl)
		}
		e.changes = true
	case opPushVLAN:
		if o.whole {
			e.copies.SetFull(packet.VLANVID)
		}
		e.changes = true
	case opPushPBB, opPopVLAN, opPopMPLS, opPopPBB, opCopyTTLIn, opCopyTTLOut:
		e.changes = true
	}
}

// writes notes an op that writes o.field: for every frame in the same way, if constant says so.
func (e *effect) writes(o *op, constant bool) {
	switch {
	case isPipelineField(o.field): // that is no header, and what is in it came from copies or is the same for all
	case reveals(o.field):
		e.changes = true
	case constant && o.whole:
		var bits packet.Mask
		bits.SetFull(o.field)
		e.sets.Or(&bits)
		e.alters.Without(&bits)
	default:
		e.alter(o.field)
	}
}

func (e *effect) alter(fl packet.Field) {
	var bits packet.Mask
	bits.SetFull(fl)
	e.alters.Or(&bits)
	e.sets.Without(&bits)
}
