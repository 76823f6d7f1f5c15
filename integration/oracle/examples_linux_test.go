package oracle

import (
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// The frames of the examples.
const (
	macPair  = "020000000002" + "020000000001"
	ipTTL1   = "4503002a0007000001117edb" + "0a000001" + "0a000002" // UDP, TTL 1
	ip64     = "4503002a000700004011" + "3fdb" + "0a000001" + "0a000002"
	udp      = "00010035" + "00160000" + "0102030405060708090a0b0c0d0e"
	later    = "4500002a000700084006" + "3fe1" + "0a000001" + "0a000002"
	first    = "4500002a000720004011" + "20d3" + "0a000001" + "0a000002"
	tcp      = "00010050" + "00000001" + "00000000" + "50100064" + "abcd0000" + "0102"
	arp      = "0001080006040001" + "0200000000010a000001" + "0200000000020a000002"
	ip6Later = "6000000000142c40" + "fe800000000000000000000000000001" + "fe800000000000000000000000000002" + "1100000800000009" + "000102030405060708090a0b"
)

func in(port int, what string, parts ...string) *frame {
	b, err := hex.DecodeString(macPair + strings.Join(parts, ""))
	if err != nil {
		panic(err)
	}
	return &frame{port: port, what: what, bytes: append(b, make([]byte, max(0, 60-len(b)))...)}
}

// rule is an ADD of priority 1 to table 0.
func rule(does ...instruction) *flow {
	f := newFlow(0, 1)
	f.does = does
	return f
}

func (f *flow) on(match ...openflow.Field) *flow { f.match = match; return f }
func (f *flow) in(table uint8, priority uint16) *flow {
	f.table, f.priority = table, priority
	return f
}
func (f *flow) as(c openflow.FlowModCommand) *flow { f.command = c; return f }

func apply(list ...openflow.Action) instruction {
	return instruction{openflow.Instruction{Type: openflow.InstructionApplyActions}, list}
}

func write(list ...openflow.Action) instruction {
	return instruction{openflow.Instruction{Type: openflow.InstructionWriteActions}, list}
}

func goTo(table uint8) instruction { return instruction{openflow.GotoTable(table), nil} }

func does(t openflow.ActionType, etherType uint16) openflow.Action {
	return openflow.Action{Type: t, EtherType: etherType}
}

func steps(list ...step) *life { return &life{steps: list} }

func group(id uint32, kind openflow.GroupType, watch openflow.PortNo, list ...openflow.Action) *groupMod {
	return &groupMod{kind: kind, id: id, buckets: []bucket{{watchPort: watch, watchGroup: openflow.GroupAny, actions: list}}}
}

// examples shows each deviation in a life as small as can be.
func examples() map[string]*life {
	out, set, is := openflow.Output, openflow.SetField, openflow.Exact
	ip, ip6, mpls := is(openflow.EthType, 0x0800), is(openflow.EthType, 0x86dd), is(openflow.EthType, 0x8847)
	push, pop := does(openflow.ActionPushMPLS, 0x8847), does(openflow.ActionPopMPLS, 0x0800)
	label := []openflow.Action{push, set(openflow.MPLSLabel, 5), set(openflow.MPLSTC, 1), {Type: openflow.ActionSetMPLSTTL, TTL: 9}}
	toController := out(openflow.PortController)
	pushVLAN := does(openflow.ActionPushVLAN, 0x8100)
	masked := openflow.Action{Type: openflow.ActionSetField, Field: openflow.WithMask(openflow.EthDst, 1, 1)}
	plain, tagged := in(1, "udp", "0800", ip64, udp), in(1, "tagged", "8100a005", "0800", ip64, udp)
	idle, hard := rule(), rule()
	idle.idle, hard.hard = 10, 10
	zero := newFlow(openflow.TableAll, 0).as(openflow.FlowDelete)
	zero.mask = ^uint64(0)
	bare := rule()
	bare.match = []openflow.Field{is(openflow.VLANVID, 5)}
	loop := []step{rule(apply(out(openflow.PortNormal)))}
	for i := range 20 {
		loop = append(loop, &frame{port: 1 + i%2, what: plain.what, bytes: plain.bytes})
	}
	loop = append(loop, &frame{port: 3, what: "back", bytes: append(append(slices.Clone(plain.bytes[6:12]), plain.bytes[:6]...), plain.bytes[12:]...)})
	sends := func(in openflow.PortNo, f *frame, list ...openflow.Action) *packetOut {
		return &packetOut{openflow.NoBuffer, in, list, f}
	}
	sets := func(bits openflow.PortConfig) *portMod { return &portMod{port: 1, config: bits, mask: bits} }
	own := &frame{port: 1, what: "to itself", bytes: append(append(plain.bytes[6:12:12], plain.bytes[6:12]...), plain.bytes[12:]...)}
	meter := meterMod{&openflow.MeterMod{Meter: 1, Flags: openflow.MeterPktps, Bands: []openflow.Band{{Type: openflow.BandDrop, Rate: 1}}}}
	told := rule(instruction{openflow.Instruction{Type: openflow.InstructionMeter, Meter: 1}, nil})
	told.flags = openflow.FlowSendRemoved
	normal := rule(apply(out(openflow.PortNormal)))
	odd := func(m openflow.Message) *raw {
		return &raw{what: fmt.Sprint(m), bytes: openflow.Append(nil, scrambledXID, m)}
	}
	deletes := group(1, openflow.GroupTypeAll, openflow.PortAny, out(1))
	deletes.command = openflow.GroupDelete
	long := odd(&openflow.MultipartRequest{Type: openflow.MultipartFlow, Records: []openflow.Record{openflow.AllFlows()}})
	long.bytes = append(long.bytes, make([]byte, 8)...)
	long.bytes[3] += 8
	select1 := group(1, openflow.GroupTypeSelect, openflow.PortAny, out(1))
	select1.buckets[0].weight = 1
	moved := &frame{port: 2, what: plain.what, bytes: plain.bytes}
	access := steps(normal, in(2, "tagged twice", "8100a001", "8100a002", "0800", ip64, udp))
	access.ports[0].vlan = ports.VLAN{Mode: ports.VLANAccess, Tag: 1}
	return map[string]*life{
		"meter-told":              steps(meter, told, meterMod{&openflow.MeterMod{Command: openflow.MeterDelete, Meter: 1}}),
		"meter-learning":          steps(meter, rule(told.does[0], normal.does[0]), plain, plain, moved),
		"meter-empty":             steps(meterMod{&openflow.MeterMod{Meter: 1, Flags: openflow.MeterPktps}}),
		"modify-meter":            steps(rule(instruction{openflow.Instruction{Type: openflow.InstructionMeter, Meter: 1}, nil}).as(openflow.FlowModify)),
		"access-two-tags":         access,
		"down-forgets":            steps(normal, plain, sets(openflow.PortDown)),
		"group-checks":            steps(group(1, openflow.GroupTypeAll, openflow.PortAny, openflow.Group(2))),
		"watch-reserved":          steps(group(1, openflow.GroupTypeFastFailover, openflow.PortController, out(1))),
		"select-unwatched":        steps(select1, sets(openflow.PortDown), rule(apply(openflow.Group(1))), in(2, "udp", "0800", ip64, udp)),
		"select-from-nowhere":     steps(select1, sends(9, plain, openflow.Group(1))),
		"normal-from-nowhere":     steps(sends(9, plain, out(openflow.PortNormal))),
		"delete-buckets":          steps(deletes),
		"group-commands":          steps(group(1, openflow.GroupTypeAll, openflow.PortAny, openflow.Output(2)), odd(&openflow.GroupMod{Command: 5, Group: 1})),
		"table-mod-bits":          steps(odd(&openflow.TableMod{Config: 4})),
		"port-mod-advertise":      steps(&portMod{port: 1, advertise: 1 << 15}),
		"request-too-long":        steps(long),
		"unfinished-request":      steps(odd(&openflow.MultipartRequest{Type: openflow.MultipartDesc, More: true})),
		"queue-zero":              steps(odd(&openflow.MultipartRequest{Type: openflow.MultipartQueue, Records: []openflow.Record{&openflow.QueueStatsRequest{Port: 1}}})),
		"bundled-loose":           steps(rule(apply(out(1))), &bundle{[]step{rule(apply(out(1))).on(ip).in(0, 28), rule(apply(out(2))).as(openflow.FlowModify)}}, plain),
		"group-twice":             steps(group(1, openflow.GroupTypeAll, openflow.PortAny, out(1)), rule(apply(openflow.Group(1), openflow.Group(1)))),
		"short-packet-out":        steps(sends(1, &frame{port: 1, what: "13 bytes", bytes: plain.bytes[:13]})),
		"packet-out-actions":      steps(sends(1, plain, does(openflow.ActionPopVLAN, 0), out(2))),
		"packet-out-no-recv":      steps(sets(openflow.PortNoRecv), sends(1, plain, out(2))),
		"packet-out-learning":     steps(sends(1, own, out(openflow.PortNormal))),
		"no-packet-in":            steps(sets(openflow.PortNoPacketIn), rule(apply(toController)).in(0, 0), plain),
		"port-mod-bits":           steps(sets(2)),
		"fragment-sctp":           steps(rule(apply(set(openflow.SCTPSrc, 53), out(2))).on(ip, is(openflow.IPProto, 132)), in(1, "first fragment", "0800", first[:18]+"84"+first[20:], udp)),
		"loop-guard":              steps(loop...),
		"delete-instructions":     steps(rule(apply(pushVLAN, pushVLAN, pushVLAN)).as(openflow.FlowDelete)),
		"empty-list":              steps(rule(write())),
		"push-mpls-ip":            steps(rule(apply(push, out(2))), in(1, "arp", "0806", arp)),
		"two-tags":                steps(rule(apply(pushVLAN, pushVLAN, pushVLAN, out(2)))),
		"three-labels":            steps(rule(apply(append(label, out(2))...)), in(1, "mpls, mpls, mpls", "8847", "000050400000604000007140")),
		"miss-runs-set":           steps(rule(write(out(2)), goTo(1)), plain),
		"later-fragment-field":    steps(rule().on(ip, is(openflow.NwFrag, 3), is(openflow.IPProto, 6), is(openflow.TCPDst, 1))),
		"fragment-checksum":       steps(rule(apply(set(openflow.IPv4Dst, 0xc0a80001), out(2))).on(ip), in(1, "later fragment", "0800", later, tcp)),
		"set-to-controller":       steps(rule(goTo(1)), rule(write(toController)).in(1, 1), plain),
		"push-vlan-fields":        steps(rule(apply(pushVLAN, out(2))), tagged),
		"pop-mpls":                steps(rule(apply(pop, out(2))).on(mpls), in(1, "mpls, mpls", "8847", "0000504000006140")),
		"priority-tags":           steps(rule(apply(pushVLAN, out(openflow.PortNormal))), plain),
		"fragment-ports":          steps(rule(apply(out(2))).on(ip, is(openflow.IPProto, 17), is(openflow.UDPDst, 53)), in(1, "first fragment", "0800", first, udp)),
		"cookie-zero":             steps(zero),
		"replaced-idle":           steps(rule(), pause{6 * time.Second}, idle, pause{6 * time.Second}),
		"vid-without-present":     steps(bare.as(openflow.FlowModify)),
		"set-vid-untagged":        steps(rule(apply(pushVLAN), write(set(openflow.VLANVID, 0x1064), does(openflow.ActionPopVLAN, 0), out(2))), plain),
		"plain-masks":             steps(rule().on(ip, openflow.WithMask(openflow.IPv4Dst, 0, 0))),
		"set-metadata":            steps(rule(apply(set(openflow.Metadata, 1))).as(openflow.FlowModify)),
		"set-field":               steps(rule(apply(set(openflow.EthType, 0x0800)))),
		"masked-set-field":        steps(rule(apply(masked))),
		"output-table":            steps(rule(apply(out(openflow.PortTable))).as(openflow.FlowModify)),
		"old-actions":             steps(rule(apply(openflow.Action{Type: 3})).as(openflow.FlowModify)),
		"missing-actions":         steps(rule(apply(does(openflow.ActionPushPBB, 0x88e7)))),
		"port-numbers":            steps(rule(apply(out(openflow.PortMax)))),
		"internal-table":          steps(rule().in(254, 1)),
		"arp-op":                  steps(rule().on(is(openflow.EthType, 0x0806), is(openflow.ARPOp, 256))),
		"push-pop-mpls":           steps(rule(apply(append(label, pop, out(2))...)).on(is(openflow.EthType, 0x0806)), in(1, "arp", "0806", arp)),
		"modify-hard-timeout":     steps(hard, pause{6 * time.Second}, rule().as(openflow.FlowModify), pause{6 * time.Second}),
		"nd-code":                 steps(rule().on(ip6, is(openflow.IPProto, 58), is(openflow.ICMPv6Type, 135), is(openflow.ICMPv6Code, 1), is(openflow.NDTarget, 1))),
		"later-fragment-protocol": steps(rule().on(ip6, is(openflow.IPProto, 17)), in(1, "fragment 0010", "86dd", ip6Later)),
		"padding":                 steps(&raw{what: "padding of set_field", bytes: openflow.Append(nil, 0, rule(apply(set(openflow.EthDst, 1))).message())}),
	}
}

// undefined deviations have no example: what is to happen is open, and may happen to be the same; or Open vSwitch ends.
func undefined(name string) bool { return name == "equal-priority" || name == "select-in-group" }

// TestDeviations: each deviation is still one, is recognised, and has its line in README.md.
func TestDeviations(t *testing.T) {
	all := bench(t)
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	lives := examples()
	padded := lives["padding"].steps[0].(*raw)
	padded.bytes[len(padded.bytes)-1] = 1
	names := []string{"padding"}
	for _, d := range deviations() {
		names = append(names, d.name)
	}
	for _, name := range names {
		if !strings.Contains(string(readme), "| "+name+" |") {
			t.Errorf("README.md says nothing of %s", name)
		}
		if undefined(name) {
			continue
		}
		l := lives[name]
		if l == nil {
			t.Errorf("%s has no example", name)
			continue
		}
		if known(l) == "" {
			t.Errorf("%s: the example is not recognised as a deviation", name)
		}
		if d, err := difference(all, l, false); err != nil {
			t.Fatalf("%s: %v", name, err)
		} else if d == "" {
			t.Errorf("%s: both switches do the same now:\n%s", name, l)
		} else {
			t.Logf("%s: %s", name, d)
		}
	}
}
