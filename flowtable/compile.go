// Slow path: from OpenFlow's match and actions to key, mask and program; the one border between the two.

package flowtable

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// fieldOf says where in a key each match field lies. Fields that share a place are kept apart by
// their prerequisites. Constant.
var fieldOf = [openflow.NumFields]packet.Field{
	openflow.InPort: packet.InPort, openflow.InPhyPort: packet.InPhyPort, openflow.Metadata: packet.Metadata,
	openflow.EthDst: packet.EthDst, openflow.EthSrc: packet.EthSrc, openflow.EthType: packet.EthType,
	openflow.VLANVID: packet.VLANVID, openflow.VLANPCP: packet.VLANPCP,
	openflow.IPDSCP: packet.IPDSCP, openflow.IPECN: packet.IPECN, openflow.IPProto: packet.IPProto,
	openflow.IPv4Src: packet.IPv4Src, openflow.IPv4Dst: packet.IPv4Dst,
	openflow.TCPSrc: packet.TPSrc, openflow.TCPDst: packet.TPDst,
	openflow.UDPSrc: packet.TPSrc, openflow.UDPDst: packet.TPDst,
	openflow.SCTPSrc: packet.TPSrc, openflow.SCTPDst: packet.TPDst,
	openflow.ICMPv4Type: packet.ICMPType, openflow.ICMPv4Code: packet.ICMPCode,
	openflow.ARPOp: packet.ARPOp, openflow.ARPSPA: packet.ARPSPA, openflow.ARPTPA: packet.ARPTPA,
	openflow.ARPSHA: packet.ARPSHA, openflow.ARPTHA: packet.ARPTHA,
	openflow.IPv6Src: packet.IPv6Src, openflow.IPv6Dst: packet.IPv6Dst, openflow.IPv6FLabel: packet.IPv6Label,
	openflow.ICMPv6Type: packet.ICMPv6Type, openflow.ICMPv6Code: packet.ICMPv6Code,
	openflow.NDTarget: packet.NDTarget, openflow.NDSLL: packet.NDSLL, openflow.NDTLL: packet.NDTLL,
	openflow.MPLSLabel: packet.MPLSLabel, openflow.MPLSTC: packet.MPLSTC, openflow.MPLSBOS: packet.MPLSBOS,
	openflow.PBBISID: packet.PBBISID, openflow.TunnelID: packet.TunnelID, openflow.IPv6ExtHdr: packet.IPv6ExtHdr,
	openflow.NwFrag: packet.IPFrag, openflow.IPTTL: packet.IPTTL, openflow.TCPFlags: packet.TCPFlags,
	openflow.ActsetOutput: packet.ActsetOutput, openflow.PktMark: packet.PktMark, openflow.MPLSTTL: packet.MPLSTTL,
	openflow.PBBUCA: packet.PBBUCA,
}

// keyField is fieldOf with the registers, which are counted rather than listed.
func keyField(id openflow.FieldID) packet.Field {
	switch {
	case id >= openflow.XReg0:
		return packet.XReg0 + packet.Field(id-openflow.XReg0)
	case id >= openflow.Reg0:
		return packet.Reg0 + packet.Field(id-openflow.Reg0)
	}
	return fieldOf[id]
}

// compileMatch turns a checked match into key and mask. A frame without a readable transport header, such
// as a later fragment, meets no entry that asks for a field of it (section 7.3.2).
func compileMatch(m openflow.Match, key *packet.Key, mask *packet.Mask) {
	*key, *mask = packet.Key{}, packet.Mask{}
	for f := range m.Bits() {
		field := keyField(f.ID)
		if field.InTransport() && f.MaskHi|f.MaskLo != 0 {
			key.Set(packet.HasL4, 0, 1)
			mask.SetFull(packet.HasL4)
		}
		at := packet.Slots[field]
		w := at.Word % packet.Words
		if at.Bits == 128 {
			mask[w], key[w] = mask[w]|f.MaskHi, key[w]|f.Hi&f.MaskHi
			mask[w+1], key[w+1] = mask[w+1]|f.MaskLo, key[w+1]|f.Lo&f.MaskLo
			continue
		}
		_, full := at.Full()
		bits := f.MaskLo & full << at.Shift
		mask[w] |= bits
		key[w] |= f.Lo << at.Shift & bits
	}
}

// opCode says what an op does to a frame or with it.
type opCode uint8

const (
	opOutput     opCode = iota // port
	opInPort                   // the port it came in by
	opAll                      // every port but that one
	opFlood                    // every port but that one that takes part in flooding
	opNormal                   // normal.go
	opTable                    // PACKET_OUT: into the first table
	opController               // n: max_len; port: reason plus one, if the action names one; lo: controller id
	opSetQueue                 // port: queue
	opSetField                 // field, hi, lo; mask: the bits to change
	opMove                     // n bits from bit hi of field port to bit lo of field
	opPushVLAN                 // n: ethertype, as in the next ones
	opPushMPLS
	opPushPBB
	opPopMPLS
	opPopVLAN
	opPopPBB
	opSetIPTTL // n
	opSetMPLSTTL
	opDecIPTTL
	opDecMPLSTTL
	opCopyTTLOut
	opCopyTTLIn
	opPopQueue
	opResubmit // port: in_port to look up with; n: table, or 0xff
	opGroup    // port: group; lo: its slot (bucket.go)
	numOpCodes
)

var opNames = [numOpCodes]string{"output", "in_port", "all", "flood", "normal", "table", "controller", "set_queue",
	"set_field", "move", "push_vlan", "push_mpls", "push_pbb", "pop_mpls", "pop_vlan", "pop_pbb", "set_nw_ttl",
	"set_mpls_ttl", "dec_nw_ttl", "dec_mpls_ttl", "copy_ttl_out", "copy_ttl_in", "pop_queue", "resubmit", "group"}

// op is one step of a program: what an action became. Plain data.
type op struct {
	code  opCode
	field packet.Field
	whole bool   // opSetField: all bits of the field; opPushVLAN: only onto a frame without a tag
	proto uint8  // opSetField, opMove: the field is of this transport protocol alone; 0: of any, or no port
	from  uint8  // opMove: the same of the field that is read
	rank  uint16 // place in the action set's order; ops of equal rank replace each other there
	n     uint16
	port  uint32
	hi    uint64
	lo    uint64
	mask  *[2]uint64 // opSetField without whole: which bits (hi, lo)
}

// String is for tests and for people.
func (o op) String() string {
	return fmt.Sprintf("%s(%s n=%d port=%d %x:%x)", opNames[o.code], o.field, o.n, o.port, o.hi, o.lo)
}

// Program is a compiled list of instructions or actions: what a frame that meets an entry
// undergoes. Immutable.
type Program struct {
	source   openflow.Instructions // of an entry: as they were sent
	apply    []op                  // in their order
	write    []op                  // into the action set, in its order (ascending rank)
	groups   []uint32              // that the actions name, each once
	clear    bool                  // empty the action set before write
	next     int16
	meter    int32  // slot of the meter that comes first; 0: none
	metadata uint64 // written under metaMask
	metaMask uint64

	effect *effect // of apply on lookups in later tables, nil if none; only if next is a table
}

// noTable is Program.next when the pipeline ends here.
const noTable = -1

// String lists the program.
func (p *Program) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "apply%v write%v", p.apply, p.write)
	if p.clear {
		b.WriteString(" clear")
	}
	if p.meter != 0 {
		fmt.Fprintf(&b, " meter slot %d", p.meter)
	}
	if p.metaMask != 0 {
		fmt.Fprintf(&b, " metadata=%x/%x", p.metadata, p.metaMask)
	}
	if p.next != noTable {
		fmt.Fprintf(&b, " goto %d", p.next)
	}
	return b.String()
}

// Ranks order the action set (section 5.10): the kind in the high byte, the field in the low.
const (
	rankCopyIn = (iota + 1) << 8
	rankPopVLAN
	rankPopPBB
	rankPopMPLS
	rankPushMPLS
	rankPushPBB
	rankPushVLAN
	rankCopyOut
	rankDec
	rankSet
	rankQueue
	rankGroup
	rankOutput
	rankResubmit // Nicira's, and as in Open vSwitch the last; a group or an output takes its place
)

// maxSet bounds an action set: one op of each kind, one set_field a field.
const maxSet = 24 + int(packet.NumFields)

// compileInstructions makes the program of an entry of a table, whose match the judge knows.
func (p *Pipeline) compileInstructions(table uint8, judge judge, list openflow.Instructions) (*Program, error) {
	prog := &Program{next: noTable}
	var apply, write openflow.Actions
	for in := range list.All() {
		switch in.Type {
		case openflow.InstructionApplyActions:
			apply = in.Actions
		case openflow.InstructionWriteActions:
			write = in.Actions
		case openflow.InstructionClearActions:
			prog.clear = true
		case openflow.InstructionWriteMetadata:
			prog.metadata, prog.metaMask = in.Metadata&in.MetadataMask, in.MetadataMask
		case openflow.InstructionGotoTable:
			if in.TableID <= table || !p.hasTable(in.TableID) {
				return nil, openflow.Errorf(openflow.ErrBadInstruction, openflow.BICBadTableID,
					"goto_table:%d from table %d: expected a later one; %s", in.TableID, table, p.tablesText())
			}
			prog.next = int16(in.TableID)
		case openflow.InstructionMeter:
			var err error
			if prog.meter, err = p.meterSlot(in.Meter); err != nil {
				return nil, err
			}
		default:
			return nil, openflow.Errorf(openflow.ErrBadInstruction, openflow.BICUnsupInst, "instruction %s", in.Type)
		}
	}
	var err error
	if prog.apply, err = compileList(apply, &judge); err != nil {
		return nil, err
	}
	if prog.write, err = compileSet(write, &judge); err != nil {
		return nil, err
	}
	if prog.next != noTable {
		prog.effect = effectOf(prog.apply)
	}
	if prog.groups, err = p.bindGroups(prog.apply, apply, nil); err == nil {
		prog.groups, err = p.bindGroups(prog.write, write, prog.groups)
	}
	return prog, err
}

// CompileActions makes the program of a PACKET_OUT's action list. The program may be used by any
// number of processors. Unless the list names a group it does not wait for what others do to the tables.
func (p *Pipeline) CompileActions(list openflow.Actions) (*Program, error) {
	prog, ready, err := p.outs.compile(list)
	if ready || err != nil {
		return prog, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bindOut(prog, list)
}

// compileActions is CompileActions for those who hold p.mu.
func (p *Pipeline) compileActions(list openflow.Actions) (*Program, error) {
	prog, ready, err := p.outs.compile(list)
	if ready || err != nil {
		return prog, err
	}
	return p.bindOut(prog, list)
}

// bindOut completes a program that names groups. Requires p.mu.
func (p *Pipeline) bindOut(prog *Program, list openflow.Actions) (_ *Program, err error) {
	if prog.groups, err = p.bindGroups(prog.apply, list, nil); err != nil {
		return nil, err
	}
	return prog, nil
}

// compileList compiles an action list; judge is nil for a PACKET_OUT.
func compileList(list openflow.Actions, judge *judge) ([]op, error) {
	var ops []op
	for a := range list.All() {
		if a.Type == openflow.NXNote {
			continue
		}
		o, err := compileAction(&a, judge == nil)
		if err != nil {
			return nil, err
		}
		if judge != nil {
			if err := judge.see(&a); err != nil {
				return nil, err
			}
		}
		ops = append(ops, o)
	}
	return ops, nil
}

// compileSet compiles actions for the action set: sorted, the later of two that replace each other.
// They must make sense in the order in which they were sent or in the one in which they will run.
// judge is nil for a bucket, which does not know what frames it will meet.
func compileSet(list openflow.Actions, judge *judge) ([]op, error) {
	type ranked struct {
		op
		a openflow.Action
	}
	var set []ranked
	sent := judge.set()
	var wrong error
	for a := range list.All() {
		if a.Type == openflow.NXNote {
			continue
		}
		o, err := compileAction(&a, false)
		if err != nil {
			return nil, err
		}
		if o.code == opController && o.port == 0 { // no table miss, whichever entry comes last (section 5.4)
			o.port = uint32(openflow.ReasonAction) + 1
		}
		if o.rank == 0 {
			return nil, openflow.Errorf(openflow.ErrBadAction, openflow.BACUnsupportedOrder,
				"%s has no place in an action set; use apply_actions", a.Type)
		}
		if err := sent.see(&a); err != nil && wrong == nil {
			wrong = err
		}
		set = slices.DeleteFunc(set, func(x ranked) bool { return x.rank == o.rank })
		set = append(set, ranked{o, a})
	}
	slices.SortFunc(set, func(a, b ranked) int { return int(a.rank) - int(b.rank) })
	run := judge.set()
	var ops []op
	for i := range set {
		if wrong != nil && run.see(&set[i].a) != nil {
			return nil, wrong
		}
		ops = append(ops, set[i].op)
	}
	return ops, nil
}

// simpleOps are the actions that become an op with at most one number.
var simpleOps = map[openflow.ActionType]op{
	openflow.ActionCopyTTLOut: {code: opCopyTTLOut, rank: rankCopyOut},
	openflow.ActionCopyTTLIn:  {code: opCopyTTLIn, rank: rankCopyIn},
	openflow.ActionSetMPLSTTL: {code: opSetMPLSTTL, rank: rankSet | 0xfe},
	openflow.ActionDecMPLSTTL: {code: opDecMPLSTTL, rank: rankDec | 1},
	openflow.ActionPushVLAN:   {code: opPushVLAN, rank: rankPushVLAN},
	openflow.ActionPopVLAN:    {code: opPopVLAN, rank: rankPopVLAN},
	openflow.ActionPushMPLS:   {code: opPushMPLS, rank: rankPushMPLS},
	openflow.ActionPopMPLS:    {code: opPopMPLS, rank: rankPopMPLS},
	openflow.ActionSetNwTTL:   {code: opSetIPTTL, rank: rankSet | 0xff},
	openflow.ActionDecNwTTL:   {code: opDecIPTTL, rank: rankDec},
	openflow.ActionPushPBB:    {code: opPushPBB, rank: rankPushPBB},
	openflow.ActionPopPBB:     {code: opPopPBB, rank: rankPopPBB},
}

func compileAction(a *openflow.Action, packetOut bool) (op, error) {
	if o, ok := simpleOps[a.Type]; ok {
		o.n, o.whole = a.EtherType, a.IfUntagged
		if a.Type == openflow.ActionSetMPLSTTL || a.Type == openflow.ActionSetNwTTL {
			o.n = uint16(a.TTL)
		}
		return o, nil
	}
	switch a.Type {
	case openflow.ActionOutput:
		return compileOutput(a, packetOut)
	case openflow.NXController:
		o := op{code: opController, n: a.MaxLen, lo: uint64(a.ControllerID)}
		if a.Reason != openflow.ReasonAction { // which a table-miss entry turns into NO_MATCH, as in Open vSwitch
			o.port = uint32(a.Reason) + 1
		}
		return o, nil
	case openflow.ActionSetQueue:
		return op{code: opSetQueue, rank: rankQueue, port: a.Queue}, nil
	case openflow.ActionSetField, openflow.NXLoadMasked:
		return fieldOp(a.Field.ID, a.Field.Value, a.Field.Mask), nil
	case openflow.NXLoad:
		v, m := openflow.ValueOf(a.Load), shiftedOnes(0, a.Dst.Bits)
		return fieldOp(a.Dst.ID, shiftLeft(v, a.Dst.Offset), shiftLeft(m, a.Dst.Offset)), nil
	case openflow.NXMove:
		if a.Src.ID == openflow.ActsetOutput { // a remembered path does not keep it up to date
			return op{}, openflow.Errorf(openflow.ErrBadAction, openflow.BACBadArgument, "%s can be matched, not copied", a.Src.ID)
		}
		return op{code: opMove, field: keyField(a.Dst.ID), port: uint32(keyField(a.Src.ID)), n: a.Src.Bits,
			proto: portsOf(a.Dst.ID), from: portsOf(a.Src.ID),
			hi: uint64(a.Src.Offset), lo: uint64(a.Dst.Offset)}, nil
	case openflow.NXPopQueue:
		return op{code: opPopQueue}, nil
	case openflow.NXResubmit, openflow.NXResubmitTable:
		return op{code: opResubmit, rank: rankResubmit, port: uint32(a.Port), n: uint16(a.Table)}, nil
	case openflow.ActionGroup:
		return op{code: opGroup, rank: rankGroup, port: a.Group}, nil // bindGroups looks whether it exists
	}
	return op{}, openflow.Errorf(openflow.ErrBadAction, openflow.BACBadType, "action %s is not supported here", a.Type)
}

func compileOutput(a *openflow.Action, packetOut bool) (op, error) {
	o := op{code: opOutput, rank: rankOutput, port: uint32(a.Port), n: a.MaxLen}
	switch a.Port {
	case openflow.PortInPort:
		o.code = opInPort
	case openflow.PortAll:
		o.code = opAll
	case openflow.PortFlood:
		o.code = opFlood
	case openflow.PortNormal:
		o.code = opNormal
	case openflow.PortController:
		o.code, o.port = opController, 0
	case openflow.PortTable:
		o.code = opTable
		if !packetOut {
			return o, openflow.Errorf(openflow.ErrBadAction, openflow.BACBadOutPort, "output to TABLE outside a PACKET_OUT; use goto_table")
		}
	}
	return o, nil
}

// fieldOp is the op that sets the bits of mask in a field.
func fieldOp(id openflow.FieldID, value, mask openflow.Value) op {
	fl := keyField(id)
	fullHi, fullLo := packet.Slots[fl].Full()
	o := op{code: opSetField, field: fl, proto: portsOf(id), rank: rankSet | uint16(fl), hi: value.Hi(), lo: value.Lo()}
	if o.proto == protoUDP || o.proto == protoSCTP { // in an action set beside the ports of TCP
		o.rank = rankSet | (0xe0 + uint16(id-openflow.UDPSrc))
	}
	if o.whole = mask.Hi() == fullHi && mask.Lo() == fullLo; !o.whole {
		o.mask = &[2]uint64{mask.Hi(), mask.Lo()}
		o.rank = 0 // a load under a mask is not an action of the action set
	}
	return o
}

// The protocols whose ports share their place in the key.
const (
	protoTCP  = 6
	protoUDP  = 17
	protoSCTP = 132
)

// portsOf is the protocol whose port or flags a field is, 0 for every other field. Where nobody judges actions, in
// a bucket or a PACKET_OUT, they may meet a frame of another protocol, and must leave it alone.
func portsOf(id openflow.FieldID) uint8 {
	switch id {
	case openflow.TCPSrc, openflow.TCPDst, openflow.TCPFlags:
		return protoTCP
	case openflow.UDPSrc, openflow.UDPDst:
		return protoUDP
	case openflow.SCTPSrc, openflow.SCTPDst:
		return protoSCTP
	}
	return 0
}

// shiftedOnes is n ones above offset zeros; shiftLeft moves a value of up to 128 bits.
func shiftedOnes(offset, n uint16) openflow.Value {
	var hi, lo uint64
	switch {
	case n >= 128:
		hi, lo = ^uint64(0), ^uint64(0)
	case n >= 64:
		hi, lo = 1<<(n-64)-1, ^uint64(0)
	default:
		lo = 1<<n - 1
	}
	return shiftLeft(openflow.ValueOf128(hi, lo), offset)
}

func shiftLeft(v openflow.Value, n uint16) openflow.Value {
	hi, lo := shift128(v.Hi(), v.Lo(), int(n))
	return openflow.ValueOf128(hi, lo)
}

// shift128 moves a 128-bit value up by n bits, or down by -n.
func shift128(hi, lo uint64, n int) (uint64, uint64) {
	switch {
	case n >= 64:
		return lo << (n - 64), 0
	case n > 0:
		return hi<<n | lo>>(64-n), lo << n
	case n == 0:
		return hi, lo
	case n > -64:
		return hi >> -n, lo>>-n | hi<<(64+n)
	}
	return 0, hi >> (-n - 64)
}
