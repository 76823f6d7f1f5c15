// Hot path: runs the ops of a program on a frame.

package flowtable

import (
	"slices"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// run does ops on f in order. It returns the frame as it is afterwards, which is another one when
// f's bytes were already promised to an output (Frame.Held), and false when processing of the frame
// ends here. last says that nothing looks at the frame after the last op.
func (pr *Processor) run(f *packet.Frame, ops []op, last bool) (*packet.Frame, bool) {
	if pr.tracer != nil && pr.tracer.whole() {
		return pr.tracer.run(pr, f, ops, last)
	}
	for i := range ops {
		o := &ops[i]
		switch o.code {
		case opOutput:
			if to := pr.to; to != nil && to.no == o.port && to.send && o.port != f.InPort { // as output does, which is two calls
				f.Held = true
				pr.sink.Output(to.no, pr.queue, f)
				continue
			}
			pr.output(f, o.port)
		case opNormal:
			pr.normal(f, last && i == len(ops)-1)
		case opFlood, opAll:
			pr.outputMany(f, o.code == opFlood)
		case opInPort:
			pr.outputTo(f, f.InPort)
		case opController:
			pr.toController(f, o)
		case opSetQueue:
			pr.queue = o.port
		case opPopQueue:
			pr.queue = 0
		case opResubmit:
			var ok bool
			if f, ok = pr.resubmit(f, o); !ok {
				return f, false
			}
		case opTable:
			pr.outputTable(f)
		case opGroup:
			pr.toGroup(f, o, last && i == len(ops)-1)
		default:
			var ok bool
			if f, ok = pr.change(f, o); !ok {
				return f, false
			}
		}
	}
	return f, true
}

// change does an op that alters the frame, on a copy if it must.
func (pr *Processor) change(f *packet.Frame, o *op) (*packet.Frame, bool) {
	if f.Held && !(o.code == opSetField && isPipelineField(o.field)) {
		c := pr.copyOf(f)
		if c == nil {
			return f, false
		}
		f = c
	}
	switch o.code {
	case opSetField:
		pr.setField(f, o)
	case opMove:
		pr.move(f, o)
	case opDecIPTTL:
		return f, pr.spend(f, f.DecIPTTL())
	case opDecMPLSTTL:
		return f, pr.spend(f, f.DecMPLSTTL())
	case opSetIPTTL:
		f.SetIPTTL(uint8(o.n))
	case opSetMPLSTTL:
		f.SetMPLSTTL(uint8(o.n))
	case opCopyTTLOut:
		f.CopyTTLOut()
		pr.revealed = true
	case opCopyTTLIn:
		f.CopyTTLIn()
	default:
		pr.reshape(f, o)
	}
	return f, true
}

// reshape pushes and pops headers; packet reads the new shape at once. What was below a popped
// header was not in the key by which the path is remembered: only the count of VLAN tags was.
func (pr *Processor) reshape(f *packet.Frame, o *op) {
	switch o.code {
	case opPushVLAN:
		if !o.whole || f.Layout.VLANs == 0 {
			f.PushVLAN(o.n)
		}
	case opPopVLAN:
		f.PopVLAN()
		pr.revealed = pr.revealed || f.Layout.VLANs > 0
	case opPushMPLS:
		f.PushMPLS(o.n)
	case opPopMPLS:
		f.PopMPLS(o.n)
		pr.revealed = true
	case opPushPBB:
		f.PushPBB(o.n)
	case opPopPBB:
		f.PopPBB()
		pr.revealed = true
	}
}

func isPipelineField(fl packet.Field) bool { return packet.Slots[fl].Word >= packet.HeaderWords-1 }

// setField writes a field, whole or under a mask. Fields that say what the following bytes mean
// bring other bytes to light.
func (pr *Processor) setField(f *packet.Frame, o *op) {
	if !carries(f, o.proto) {
		return
	}
	hi, lo := o.hi, o.lo
	if !o.whole {
		oldHi, oldLo := f.Key.Get(o.field)
		hi = oldHi&^o.mask[0] | hi&o.mask[0]
		lo = oldLo&^o.mask[1] | lo&o.mask[1]
	}
	f.SetField(o.field, hi, lo)
	if reveals(o.field) {
		pr.revealed = true
	}
}

// carries reports whether the frame has a header of a transport protocol; 0 asks for none.
func carries(f *packet.Frame, proto uint8) bool {
	if proto == 0 {
		return true
	}
	_, p := f.Key.Get(packet.IPProto)
	return uint8(p) == proto
}

func reveals(fl packet.Field) bool {
	switch fl {
	case packet.EthType, packet.IPProto, packet.MPLSBOS, packet.ICMPv6Type, packet.ICMPv6Code, packet.NDTarget, packet.NDSLL, packet.NDTLL:
		return true
	}
	return false
}

// move copies bits between fields: o.n bits from bit o.hi of field o.port to bit o.lo of o.field.
func (pr *Processor) move(f *packet.Frame, o *op) {
	if !carries(f, o.proto) || !carries(f, o.from) {
		return
	}
	hi, lo := f.Key.Get(packet.Field(o.port))
	hi, lo = shift128(hi, lo, -int(o.hi))
	ones := shiftedOnes(uint16(o.lo), o.n)
	hi, lo = shift128(hi, lo, int(o.lo))
	oldHi, oldLo := f.Key.Get(o.field)
	f.SetField(o.field, oldHi&^ones.Hi()|hi&ones.Hi(), oldLo&^ones.Lo()|lo&ones.Lo())
	if reveals(o.field) {
		pr.revealed = true
	}
}

// spend ends a frame whose TTL had run out: it goes to the controllers and nowhere else (5.12).
func (pr *Processor) spend(f *packet.Frame, ok bool) bool {
	if ok {
		return true
	}
	pr.drops[DropTTL]++
	pr.packetIn(f, PacketIn{Reason: openflow.ReasonInvalidTTL, MaxLen: openflow.ControllerNoBuffer})
	return false
}

// output sends to a numbered port, but never back where the frame came from.
func (pr *Processor) output(f *packet.Frame, no uint32) {
	if no == f.InPort {
		pr.drops[DropOutInPort]++
		return
	}
	pr.outputTo(f, no)
}

func (pr *Processor) outputTo(f *packet.Frame, no uint32) {
	to := pr.to
	if to == nil || to.no != no {
		if to = pr.snap.ports.get(no); to == nil {
			pr.drops[DropOutMissing]++
			return
		}
		pr.to = to
	}
	pr.send(f, to)
}

// send hands a frame to the sink, which from now on holds its bytes.
func (pr *Processor) send(f *packet.Frame, to *port) {
	if !to.send {
		pr.drops[DropOutDown]++
		return
	}
	f.Held = true
	pr.sink.Output(to.no, pr.queue, f)
}

// outputMany is FLOOD and ALL: every port that can send, but the one it came from. ALL does not
// ask for the flood setting (section 4.5).
func (pr *Processor) outputMany(f *packet.Frame, flood bool) {
	for i := range pr.snap.ports.list {
		to := &pr.snap.ports.list[i]
		if to.no != f.InPort && to.send && (to.flood || !flood) {
			pr.send(f, to)
		}
	}
}

// outputTable sends a PACKET_OUT's frame into the first table, as if it had come in by in_port. The
// actions behind it go on with the frame as it was.
func (pr *Processor) outputTable(f *packet.Frame) {
	c := pr.copyOf(f)
	if c == nil {
		return
	}
	c.Parse()
	queue := pr.queue
	var written []op // by a resubmit before
	if pr.set.n > 0 {
		written = slices.Clone(pr.set.ops[:pr.set.n])
	}
	if pr.snap.frags != openflow.FragNormal && isFragment(c) {
		pr.fragment(c)
	} else {
		pr.walkWhole(c)
	}
	pr.at, pr.queue = nil, queue
	pr.set.n = copy(pr.set.ops[:], written)
}

// toController is output:CONTROLLER. A port with NO_PACKET_IN keeps its table misses to itself.
func (pr *Processor) toController(f *packet.Frame, o *op) {
	in := PacketIn{Reason: pr.at.reason(), MaxLen: o.n, ControllerID: uint16(o.lo)}
	if pr.depth > 0 {
		in.Reason = openflow.ReasonAction // the bucket's, not the table-miss entry's
	}
	if o.port != 0 { // the action names the reason
		in.Reason = openflow.PacketInReason(o.port - 1)
	}
	if in.Reason == openflow.ReasonNoMatch {
		if p := pr.snap.ports.get(f.InPort); p != nil && !p.missIn {
			pr.drops[DropNoPacketIn]++
			return
		}
	}
	pr.packetIn(f, in)
}

func (pr *Processor) packetIn(f *packet.Frame, in PacketIn) {
	if pr.snap.meters.controller != nil {
		var ok bool
		if f, ok = pr.policePacketIn(f); !ok {
			return
		}
	}
	in.Frame, in.Cookie = f, ^uint64(0)
	if pr.at != nil {
		in.Table, in.Cookie = pr.at.Table, pr.at.Cookie
	}
	pr.sink.PacketIn(in)
}
