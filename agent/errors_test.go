package agent

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// The error table of section 7.4.4: for each type and code that this switch sends, a request that
// provokes it. TestErrorTable runs the rows, TestErrorTableIsComplete sees that no code is forgotten.

// refusal is one row. request is a message, the bytes of one, or a function that makes the bytes.
type refusal struct {
	kind    openflow.ErrorType
	code    uint16
	name    string
	request any
}

// notSent are the codes that no request can bring forth here, with the reason.
var notSent = map[string]string{
	"OFPHFC_EPERM":               "whoever reaches the channel may speak; TLS turns others away before HELLO",
	"OFPBRC_EPERM":               "no request is forbidden but by the role, which has its own code",
	"OFPBAC_EPERM":               "no action is forbidden to anybody",
	"OFPBAC_TOO_MANY":            "as many actions as a message holds are taken",
	"OFPBAC_BAD_TAG":             "tags are judged by their ethertype: BAD_ARGUMENT, as Open vSwitch says it",
	"OFPBIC_UNSUP_INST":          "every instruction of 1.3 is known in every table; METER without a meter is a METER_MOD error",
	"OFPBIC_UNSUP_METADATA":      "all 64 bits can be written",
	"OFPBIC_UNSUP_METADATA_MASK": "under any mask",
	"OFPBIC_BAD_EXP_TYPE":        "no experimenter's instructions are known, so none of their types can be wrong",
	"OFPBIC_EPERM":               "no instruction is forbidden to anybody",
	"OFPBMC_BAD_TAG":             "a code of OpenFlow 1.1's fixed match",
	"OFPBMC_BAD_DL_ADDR_MASK":    "every mask of an address is taken",
	"OFPBMC_BAD_NW_ADDR_MASK":    "every mask of an address is taken",
	"OFPBMC_EPERM":               "no match is forbidden to anybody",
	"OFPFMFC_UNKNOWN":            "every reason has a code of its own",
	"OFPFMFC_EPERM":              "no table is closed to controllers",
	"OFPFMFC_BAD_TIMEOUT":        "every timeout that fits its field is kept",
	"OFPTMFC_EPERM":              "TABLE_MOD changes nothing, so nothing is forbidden",
	"OFPSCFC_BAD_LEN":            "every miss_send_len is taken: ovs-ofctl sends 65534, which the specification leaves undefined",
	"OFPSCFC_EPERM":              "SET_CONFIG is open to every role (section 6.3.5)",
	"OFPTFFC_BAD_METADATA":       "all 64 bits can be matched and written, so any subset is granted",
	"OFPTFFC_EPERM":              "the tables are every controller's to shape; a slave is told IS_SLAVE",
	"OFPRRFC_UNSUP":              "all roles are supported",
	"OFPBAC_BAD_QUEUE":           "set_queue comes before the port is known; where the port lacks the queue, frames leave with the others",
	"OFPGMFC_WEIGHT_UNSUPPORTED": "every weight of a select group is honoured; one elsewhere is INVALID_GROUP",
	"OFPGMFC_EPERM":              "no group is closed to controllers",
	"OFPMMFC_UNKNOWN":            "every reason has a code of its own",
	"OFPMMFC_BAD_RATE":           "every rate is kept; 0 lets nothing pass",
	"OFPMMFC_BAD_BURST":          "every burst is kept; 0 is that of a second",
	"OFPQOFC_EPERM":              "whoever may ask may ask of queues",
}

func (r *refusal) codeName() string {
	return (&openflow.Error{Type: r.kind, Code: r.code}).CodeName()
}

// wire gives the bytes of a message under an xid of their own.
func wire(m openflow.Message) []byte { return openflow.Append(nil, 0x5eed0001, m) }

// patched is a message with some bytes changed: pairs of offset and value.
func patched(m openflow.Message, changes ...int) []byte {
	b := wire(m)
	for i := 0; i < len(changes); i += 2 {
		b[changes[i]] = byte(changes[i+1])
	}
	return b
}

// cutTo is a message of another length, whose header says so.
func cutTo(m openflow.Message, n int) []byte {
	b := append(wire(m), make([]byte, n)...)[:n]
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	return b
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// flowWith is a FLOW_MOD around the hex of match fields and of instructions.
func flowWith(oxm, instructions string) []byte {
	fields, list := unhex(oxm), unhex(instructions)
	b := wire(&openflow.FlowMod{BufferID: openflow.NoBuffer, Priority: 9})[:48]
	b = binary.BigEndian.AppendUint16(append(b, 0, 1), uint16(4+len(fields)))
	b = append(b, fields...)
	for (len(b)-48)%8 != 0 {
		b = append(b, 0)
	}
	b = append(b, list...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// applying is a FLOW_MOD with the hex of one list of actions under apply_actions.
func applying(oxm, actions string) []byte {
	n := len(unhex(actions)) + 8
	return flowWith(oxm, fmt.Sprintf("0004%04x00000000", n)+actions)
}

// inTable is a FLOW_MOD that adds to a table.
func inTable(table uint8, list ...openflow.Instruction) *openflow.FlowMod {
	return &openflow.FlowMod{TableID: table, Priority: 9, BufferID: openflow.NoBuffer, Instructions: openflow.NewInstructions(list...)}
}

func outOf(in openflow.PortNo, data []byte, list ...openflow.Action) *openflow.PacketOut {
	return &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: in, Actions: openflow.NewActions(list...), Data: data}
}

const isIP = "80000a02 0800"

// badRequests are the rows of OFPET_BAD_REQUEST.
func badRequests() []refusal {
	const kind = openflow.ErrBadRequest
	echo := &openflow.EchoRequest{Data: []byte("hello")}
	return []refusal{
		{kind, openflow.BRCBadVersion, "a message of 1.4", patched(echo, 0, 5)},
		{kind, openflow.BRCBadVersion, "a message of 1.0", patched(echo, 0, 1)},
		{kind, openflow.BRCBadType, "type 30", patched(echo, 1, 30)},
		{kind, openflow.BRCBadType, "a reply", &openflow.BarrierReply{}},
		{kind, openflow.BRCBadType, "a PACKET_IN", &openflow.PacketIn{BufferID: openflow.NoBuffer}},
		{kind, openflow.BRCBadMultipart, "multipart type 14", patched(&openflow.MultipartRequest{}, 9, 14)},
		{kind, openflow.BRCBadExperimenter, "a stranger's message", &openflow.Experimenter{Experimenter: 0x00112233}},
		{kind, openflow.BRCBadExperimenter, "a stranger's multipart", &openflow.MultipartRequest{Type: openflow.MultipartExperimenter,
			Records: []openflow.Record{&openflow.ExperimenterRecord{Experimenter: 0x00112233}}}},
		{kind, openflow.BRCBadExpType, "a Nicira message", &openflow.Experimenter{Experimenter: openflow.ExperimenterNicira, ExpType: 999}},
		{kind, openflow.BRCBadExpType, "statistics of the ONF", &openflow.MultipartRequest{Type: openflow.MultipartExperimenter,
			Records: []openflow.Record{&openflow.ExperimenterRecord{Experimenter: openflow.ExperimenterONF, ExpType: 999}}}},
		{kind, openflow.BRCBadLen, "a long barrier", cutTo(&openflow.BarrierRequest{}, 16)},
		{kind, openflow.BRCBadLen, "a short FLOW_MOD", cutTo(inTable(0), 40)},
		{kind, openflow.BRCBadLen, "a short SET_CONFIG", cutTo(&openflow.SetConfig{}, 8)},
		{kind, openflow.BRCBadLen, "PORT stats without a body", cutTo(&openflow.MultipartRequest{Type: openflow.MultipartPortStats}, 16)},
		{kind, openflow.BRCBadLen, "actions beyond the message", patched(outOf(1, nil), 16, 0xff)},
		{kind, openflow.BRCBufferEmpty, "PACKET_OUT of a buffer that was used", func(b *errorBench) []byte {
			return wire(&openflow.PacketOut{BufferID: b.usedBuffer(), InPort: 1, Actions: openflow.NewActions(openflow.Output(2))})
		}},
		{kind, openflow.BRCBufferEmpty, "FLOW_MOD of a buffer that was used", func(b *errorBench) []byte {
			return wire(&openflow.FlowMod{BufferID: b.usedBuffer(), Command: openflow.FlowModify, Priority: 9})
		}},
		{kind, openflow.BRCBufferUnknown, "PACKET_OUT of a buffer", &openflow.PacketOut{BufferID: 5, InPort: 1}},
		{kind, openflow.BRCBufferUnknown, "FLOW_MOD of a buffer", &openflow.FlowMod{BufferID: 5, Priority: 9}},
		{kind, openflow.BRCBadTableID, "flows of table 200", &openflow.MultipartRequest{Type: openflow.MultipartFlow,
			Records: []openflow.Record{&openflow.FlowStatsRequest{TableID: 200, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny}}}},
		{kind, openflow.BRCIsSlave, "FLOW_MOD of a slave", asSlave(inTable(1))},
		{kind, openflow.BRCIsSlave, "PACKET_OUT of a slave", asSlave(outOf(1, frame(1, 2, "")))},
		{kind, openflow.BRCBadPort, "PACKET_OUT from FLOOD", outOf(openflow.PortFlood, frame(1, 2, ""))},
		{kind, openflow.BRCBadPort, "PACKET_OUT from port 0", outOf(0, frame(1, 2, ""))},
		{kind, openflow.BRCBadPacket, "a frame of 13 bytes", outOf(1, frame(1, 2, "")[:13], openflow.Output(2))},
		{kind, openflow.BRCMultipartBufferOverflow, "a question that goes on", &openflow.MultipartRequest{Type: openflow.MultipartDesc, More: true}},
	}
}

// asSlave sends the message after the connection has become a slave.
func asSlave(m openflow.Message) func(*errorBench) []byte {
	return func(b *errorBench) []byte {
		b.p.role(openflow.RoleSlave, 1)
		return wire(m)
	}
}

func badActions() []refusal {
	const kind = openflow.ErrBadAction
	return []refusal{
		{kind, openflow.BACBadType, "action 9", applying("", "0009 0008 00000000")},
		{kind, openflow.BACBadType, "enqueue of 1.0 in a PACKET_OUT", packetOutWith("000d 0010 0002 000000000000 00000007")},
		{kind, openflow.BACBadLen, "an output of 8 bytes", applying("", "0000 0008 00000002")},
		{kind, openflow.BACBadLen, "an action of 4 bytes", applying("", "0012 0004 00000000")},
		{kind, openflow.BACBadExperimenter, "a stranger's action", applying("", "ffff 0008 00112233")},
		{kind, openflow.BACBadExpType, "an unknown Nicira action", applying("", "ffff 0010 00002320 00ff 000000000000")},
		{kind, openflow.BACBadOutPort, "output to ANY", applying("", "0000 0010 ffffffff 0000 000000000000")},
		{kind, openflow.BACBadOutPort, "output to TABLE from an entry", inTable(0, openflow.ApplyActions(openflow.Output(openflow.PortTable)))},
		{kind, openflow.BACBadOutPort, "good actions, then a bad one", outOf(1, frame(1, 2, ""), openflow.Output(2), openflow.Output(openflow.PortAny))},
		{kind, openflow.BACBadArgument, "push_vlan of IPv4", applying("", "0011 0008 0800 0000")},
		{kind, openflow.BACBadOutGroup, "a group that is not there", inTable(0, openflow.ApplyActions(openflow.Group(4)))},
		{kind, openflow.BACMatchInconsistent, "a TTL without IP", inTable(0, openflow.ApplyActions(openflow.Action{Type: openflow.ActionDecNwTTL}))},
		{kind, openflow.BACMatchInconsistent, "a TCP port of IP", applying(isIP, "0019 0010 80001c02 0050 000000000000")},
		{kind, openflow.BACUnsupportedOrder, "a move in an action set", inTable(0, openflow.WriteActions(openflow.Action{Type: openflow.NXMove,
			Src: openflow.SubField{ID: openflow.EthDst, Bits: 48}, Dst: openflow.SubField{ID: openflow.EthSrc, Bits: 48}}))},
		{kind, openflow.BACBadSetType, "set_field of in_port", applying("", "0019 0010 80000004 00000001 00000000")},
		{kind, openflow.BACBadSetType, "set_field of an unknown field", applying("", "0019 0010 80005a01 00 00000000000000")},
		{kind, openflow.BACBadSetLen, "set_field of a short address", applying("", "0019 0010 80000602 0001 000000000000")},
		{kind, openflow.BACBadSetArgument, "set_field of DSCP 64", applying(isIP, "0019 0010 80001001 40 00000000000000")},
	}
}

// packetOutWith is a PACKET_OUT with the hex of its actions.
func packetOutWith(actions string) []byte {
	list := unhex(actions)
	b := append(wire(outOf(1, nil)), list...)
	binary.BigEndian.PutUint16(b[16:], uint16(len(list)))
	b = append(b, frame(1, 2, "")...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func badInstructions() []refusal {
	const kind = openflow.ErrBadInstruction
	return []refusal{
		{kind, openflow.BICUnknownInst, "instruction 7", flowWith("", "0007 0008 00000000")},
		{kind, openflow.BICBadTableID, "goto backwards", inTable(3, openflow.GotoTable(3))},
		{kind, openflow.BICBadTableID, "goto a table that is not there", inTable(3, openflow.GotoTable(200))},
		{kind, openflow.BICBadExperimenter, "a stranger's instruction", flowWith("", "ffff 0008 00112233")},
		{kind, openflow.BICBadLen, "goto of 16 bytes", flowWith("", "0001 0010 01000000 0000000000000000")},
		{kind, openflow.BICBadLen, "an instruction of 4 bytes", flowWith("", "0005 0004 00000000")},
		{openflow.ErrExperimenter, openflow.ONFDuplicateInstruction, "goto twice", flowWith("", "0001 0008 04000000 0001 0008 05000000")},
	}
}

func badMatches() []refusal {
	const kind = openflow.ErrBadMatch
	standard := flowWith("", "")
	standard[49] = 0 // OFPMT_STANDARD
	return []refusal{
		{kind, openflow.BMCBadType, "the match of 1.1", standard},
		{kind, openflow.BMCBadLen, "a field longer than the match", flowWith("80000006 0102", "")},
		{kind, openflow.BMCBadWildcards, "a value outside its mask", flowWith(isIP+"80001708 0a000001 ffffff00", "")},
		{kind, openflow.BMCBadField, "an unknown field", flowWith("80005a01 00", "")},
		{kind, openflow.BMCBadValue, "DSCP 64", flowWith(isIP+"80001001 40", "")},
		{kind, openflow.BMCBadMask, "a mask on in_port", flowWith("80000108 00000001 ffffffff", "")},
		{kind, openflow.BMCBadPrereq, "an address without eth_type", flowWith("80001604 0a000001", "")},
		{kind, openflow.BMCDupField, "eth_type twice", flowWith(isIP+isIP, "")},
		{kind, openflow.BMCBadPrereq, "in a request for statistics", &openflow.MultipartRequest{Type: openflow.MultipartAggregate, Records: []openflow.Record{
			&openflow.FlowStatsRequest{TableID: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny,
				Match: openflow.NewMatch(openflow.Exact(openflow.TCPDst, 80))}}}},
	}
}

func badMods() []refusal {
	const kind = openflow.ErrFlowModFailed
	overlap := inTable(0)
	overlap.Flags, overlap.Priority = openflow.FlowCheckOverlap, 5
	return []refusal{
		{kind, openflow.FMFCTableFull, "a third entry", inTable(0)},
		{kind, openflow.FMFCBadTableID, "table 200", inTable(200)},
		{kind, openflow.FMFCBadTableID, "adding to all tables", inTable(openflow.TableAll)},
		{kind, openflow.FMFCOverlap, "an overlap", overlap},
		{kind, openflow.FMFCBadCommand, "command 5", patched(inTable(1), 25, 5)},
		{kind, openflow.FMFCBadFlags, "flag 5", patched(inTable(1), 45, 1<<5)},

		{openflow.ErrTableModFailed, openflow.TMFCBadTable, "table 200", &openflow.TableMod{TableID: 200}},
		{openflow.ErrTableModFailed, openflow.TMFCBadConfig, "an undefined bit", &openflow.TableMod{TableID: 1, Config: 4}},

		{openflow.ErrSwitchConfigFailed, openflow.SCFCBadFlags, "drop and reassemble at once", patched(&openflow.SetConfig{}, 9, 3)},
		{openflow.ErrSwitchConfigFailed, openflow.SCFCBadFlags, "an undefined flag", patched(&openflow.SetConfig{}, 9, 4)},

		{openflow.ErrRoleRequestFailed, openflow.RRFCBadRole, "role 4", patched(&openflow.RoleRequest{}, 11, 4)},
		{openflow.ErrRoleRequestFailed, openflow.RRFCStale, "an old generation", func(b *errorBench) []byte {
			b.p.role(openflow.RoleMaster, 7)
			return wire(&openflow.RoleRequest{Role: openflow.RoleMaster, GenerationID: 6})
		}},
	}
}

func badPortMods() []refusal {
	const kind = openflow.ErrPortModFailed
	mod := func(change func(*openflow.PortMod)) func(*errorBench) []byte {
		return func(b *errorBench) []byte {
			m := &openflow.PortMod{Port: 1, HWAddr: b.portDescs()[0].HWAddr, Config: openflow.PortNoFwd, Mask: openflow.PortNoFwd}
			change(m)
			return wire(m)
		}
	}
	return []refusal{
		{kind, openflow.PMFCBadPort, "port 9", mod(func(m *openflow.PortMod) { m.Port = 9 })},
		{kind, openflow.PMFCBadPort, "all ports", mod(func(m *openflow.PortMod) { m.Port = openflow.PortAny })},
		{kind, openflow.PMFCBadHWAddr, "another's address", mod(func(m *openflow.PortMod) { m.HWAddr[5]++ })},
		{kind, openflow.PMFCBadConfig, "an undefined bit", mod(func(m *openflow.PortMod) { m.Mask |= 1 << 1 })},
		{kind, openflow.PMFCBadAdvertise, "an undefined feature", mod(func(m *openflow.PortMod) { m.Advertise = 1 << 16 })},
		{kind, openflow.PMFCBadAdvertise, "what the device cannot be told", mod(func(m *openflow.PortMod) { m.Advertise = openflow.Feature1GbFD })},
		{kind, openflow.PMFCEPERM, "a device that will not go down", func(b *errorBench) []byte {
			p := b.stubborn(3)
			return wire(&openflow.PortMod{Port: 3, HWAddr: p.told.HWAddr, Config: openflow.PortDown, Mask: openflow.PortDown})
		}},
	}
}

// badShapes are TABLE_FEATURES requests with a body. The first record is good each time, so that
// the test sees that nothing of it was done.
func badShapes() []refusal {
	const kind = openflow.ErrTableFeaturesFailed
	good := &openflow.TableFeatures{Name: "changed", MaxEntries: 1}
	ask := func(t *openflow.TableFeatures, props ...openflow.TableProperty) *openflow.MultipartRequest {
		t.Properties = props
		return &openflow.MultipartRequest{Type: openflow.MultipartTableFeatures, Records: []openflow.Record{good, t}}
	}
	second := func(props ...openflow.TableProperty) *openflow.MultipartRequest {
		return ask(&openflow.TableFeatures{TableID: 1}, props...)
	}
	raw := func(hex string) []byte {
		b := append(wire(ask(&openflow.TableFeatures{TableID: 1})), unhex(hex)...)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[16+64:], uint16(64+len(unhex(hex)))) // the second record's length
		return b
	}
	return []refusal{
		{kind, openflow.TFFCBadTable, "table 200", ask(&openflow.TableFeatures{TableID: 200})},
		{kind, openflow.TFFCBadTable, "a table twice", ask(&openflow.TableFeatures{})},
		{kind, openflow.TFFCBadTable, "no table 0", &openflow.MultipartRequest{Type: openflow.MultipartTableFeatures,
			Records: []openflow.Record{&openflow.TableFeatures{TableID: 1}}}},
		{kind, openflow.TFFCBadArgument, "more entries than there is room for", ask(&openflow.TableFeatures{TableID: 1, MaxEntries: 3})},
		{kind, openflow.TFFCBadArgument, "an undefined config bit", ask(&openflow.TableFeatures{TableID: 1, Config: 4})},
		{kind, openflow.TFFCBadArgument, "a table that goes back", second(openflow.TableProperty{Type: openflow.PropNextTables, Tables: []uint8{0}})},
		{kind, openflow.TFFCBadArgument, "goto from the last", second(openflow.TableProperty{Type: openflow.PropInstructions,
			Instructions: []openflow.InstructionType{openflow.InstructionGotoTable}})},
		{kind, openflow.TFFCBadArgument, "an unknown instruction", second(openflow.TableProperty{Type: openflow.PropInstructions,
			Instructions: []openflow.InstructionType{77}})},
		{kind, openflow.TFFCBadArgument, "an unknown action", second(openflow.TableProperty{Type: openflow.PropApplyActions, Actions: []openflow.ActionType{77}})},
		{kind, openflow.TFFCBadArgument, "set_field of in_port", second(openflow.TableProperty{Type: openflow.PropApplySetField,
			Fields: []openflow.TableField{{ID: openflow.InPort}}})},
		{kind, openflow.TFFCBadArgument, "a mask on eth_type", second(openflow.TableProperty{Type: openflow.PropMatch,
			Fields: []openflow.TableField{{ID: openflow.EthType, Masked: true}}})},
		{kind, openflow.TFFCBadArgument, "an unknown field", raw("0008 0008 80005a01")},
		{kind, openflow.TFFCBadType, "property 9", raw("0009 0004 00000000")},
		{kind, openflow.TFFCBadLen, "a property of 2 bytes", raw("0008 0002 00000000")},
	}
}

func errorTable() []refusal {
	return slices.Concat(badShapes(), badRequests(), badActions(), badInstructions(), badMatches(), badMods(), badPortMods(),
		badGroups(), badMeters(), badQueues())
}

// stubborn is a device that cannot be taken down.
type stubborn struct{ ports.Port }

func (stubborn) SetUp(bool) error { return errors.New("not yours") }

// usedBuffer has the switch keep a frame and throws it away.
func (b *errorBench) usedBuffer() uint32 {
	b.t.Helper()
	b.p.send(outOf(1, frame(1, 2, ""), controllerOutput(20)))
	id := expect[*openflow.PacketIn](b.p).m.BufferID
	b.p.send(&openflow.PacketOut{BufferID: id, InPort: 1})
	b.p.barrier()
	return id
}

// stubborn adds such a device as a port.
func (b *errorBench) stubborn(no uint32) *port {
	b.t.Helper()
	return b.device(no, "stubborn", func(p ports.Port) ports.Port { return stubborn{p} })
}

// device adds a pipe as a port, in a wrapping.
func (b *bench) device(no uint32, name string, wrap func(ports.Port) ports.Port) *port {
	b.t.Helper()
	spec := ports.Spec{Kind: ports.KindPipe, Name: name, Target: name, Number: no}
	p := &port{cfg: PortConfig{Spec: spec}, name: spec.Name, number: no, counters: new(ports.Counters), done: make(chan struct{})}
	dev, err := ports.Open(spec, b.sw.portOptions(p))
	if err != nil {
		b.t.Fatal(err)
	}
	p.dev = wrap(dev)
	b.sw.join(p)
	return p
}

// errorBench is a small switch whose table 0 is full: the table-miss entry and one more. Groups 1 and 2
// are there, the second forwarding to the first, and meter 1.
type errorBench struct {
	*bench
	p *peer
}

func newErrorBench(t *testing.T) *errorBench {
	t.Helper()
	b := &errorBench{bench: newBench(t, 2, func(c *BridgeConfig, _ *Env) {
		c.MaxFlows, c.MaxGroups, c.MaxMeters, c.Buffers = 2, 10, 3, BufferConfig{Number: 4, Age: time.Hour}
	})}
	b.p = b.connect()
	b.p.features()
	b.p.send(add(5, inPort(1), openflow.Output(2)))
	b.p.send(&openflow.GroupMod{Group: 1, Buckets: []openflow.Bucket{bucket(0, openflow.PortAny, openflow.Output(2))}})
	b.p.send(&openflow.GroupMod{Group: 2, Buckets: []openflow.Bucket{bucket(0, openflow.PortAny, openflow.Group(1))}})
	b.p.send(meterMod(openflow.MeterAdd, 1, openflow.Band{Type: openflow.BandDrop, Rate: 9}))
	b.p.barrier()
	return b
}

// state is everything that a refused request must leave as it was.
func (b *errorBench) state() string {
	var s strings.Builder
	for _, f := range b.sw.Flows(-1) {
		fmt.Fprintf(&s, "%d %d %s -> %s\n", f.Table, f.Priority, f.Match, f.Actions)
	}
	for _, p := range b.portDescs() {
		fmt.Fprintf(&s, "%v\n", &p)
	}
	b.p.send(&openflow.GetConfigRequest{})
	fmt.Fprintln(&s, expect[*openflow.GetConfigReply](b.p).m)
	b.p.send(&openflow.GetAsyncRequest{})
	fmt.Fprintln(&s, expect[*openflow.GetAsyncReply](b.p).m)
	b.p.send(&openflow.RoleRequest{})
	fmt.Fprintln(&s, expect[*openflow.RoleReply](b.p).m)
	for _, r := range b.p.ask(openflow.MultipartTableFeatures) {
		f := r.(*openflow.TableFeatures)
		fmt.Fprintln(&s, f.TableID, f.Name, f.MaxEntries)
	}
	for _, q := range []openflow.MultipartRequest{
		{Type: openflow.MultipartGroupDesc}, {Type: openflow.MultipartGroup, Records: []openflow.Record{&openflow.GroupStatsRequest{Group: openflow.GroupAll}}},
		{Type: openflow.MultipartMeterConfig, Records: []openflow.Record{&openflow.MeterRequest{Meter: openflow.MeterAll}}},
		{Type: openflow.MultipartMeter, Records: []openflow.Record{&openflow.MeterRequest{Meter: openflow.MeterAll}}},
		{Type: openflow.MultipartQueue, Records: []openflow.Record{&openflow.QueueStatsRequest{Port: openflow.PortAny, Queue: openflow.QueueAll}}},
	} {
		fmt.Fprintln(&s, b.p.ask(q.Type, q.Records...))
	}
	return s.String()
}

func TestErrorTable(t *testing.T) {
	for _, r := range errorTable() {
		t.Run(strings.ReplaceAll(r.codeName()+" "+r.name, " ", "_"), func(t *testing.T) {
			b := newErrorBench(t)
			var request []byte
			switch m := r.request.(type) {
			case []byte:
				request = m
			case openflow.Message:
				request = wire(m)
			case func(*errorBench) []byte:
				request = m(b)
			}
			before := b.state()
			if _, err := b.p.nc.Write(request); err != nil {
				t.Fatal(err)
			}
			got := expect[*openflow.Error](b.p)
			if got.m.Type != r.kind || got.m.Code != r.code {
				t.Errorf("got %s, want %s", got.m.CodeName(), r.codeName())
			}
			if want := openflow.ReadHeader(request).XID; got.xid != want {
				t.Errorf("xid %#x, want %#x", got.xid, want)
			}
			if !bytes.HasPrefix(request, got.m.Data) || len(got.m.Data) < min(64, len(request)) {
				t.Errorf("the answer carries % x\nof the request  % x", got.m.Data, request)
			}
			if after := b.state(); after != before {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
			b.silent(1, 2)
			none[*openflow.Error](b.p) // one request, one error; and the connection lives
		})
	}
}

// TestHelloFailed: versions that do not meet are told apart in words, and the connection ends.
func TestHelloFailed(t *testing.T) {
	b := newBench(t, 0)
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- b.sw.Serve(near) }()
	conn := openflow.NewConn(far)
	if _, err := conn.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	go far.Write([]byte{2, 0, 0, 8, 0, 0, 0x12, 0x34})
	raw, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	m, xid, _ := openflow.Decode(raw)
	e, ok := m.(*openflow.Error)
	if !ok || xid != 0x1234 || e.CodeName() != "OFPHFC_INCOMPATIBLE" || !strings.Contains(string(e.Data), "OpenFlow 1.0, 1.3") {
		t.Errorf("xid %x, %v", xid, m)
	}
	if _, err := conn.ReadMessage(); err == nil {
		t.Error("the connection goes on")
	}
	far.Close()
	if <-done == nil {
		t.Error("the end needs a reason")
	}
}
