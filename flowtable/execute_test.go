package flowtable

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

func randSource(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// TestMatchFields: for each field a frame made by gopacket that has it, and the value as one reads
// it off the frame; the entry must be met, and one with the lowest bit turned over must not.
func TestMatchFields(t *testing.T) {
	e := ethernet{dst: "2", src: "1"}
	tagged := ethernet{dst: "2", src: "1", vlans: []uint16{5<<13 | 100}}
	tcp, udp, arp := tcpFrame(e, 64, 1000, 80), udpFrame(e, 33, 53, 54), arpFrame(e, 1, 7, 8)
	dscp := ip4('1', '2', 64, layers.IPProtocolUDP)
	dscp.TOS = 46<<2 | 3
	tos := build(e, layers.EthernetTypeIPv4, dscp, gopacket.Payload(make([]byte, 8)))
	icmp := build(e, layers.EthernetTypeIPv4, ip4('1', '2', 9, layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4)})
	sctp := build(e, layers.EthernetTypeIPv4, ip4('1', '2', 9, layers.IPProtocolSCTP), &layers.SCTP{SrcPort: 7, DstPort: 9})
	six := &layers.IPv6{Version: 6, HopLimit: 9, FlowLabel: 0x12345, NextHeader: layers.IPProtocolICMPv6,
		SrcIP: append([]byte{0xfe, 0x80}, make([]byte, 14)...), DstIP: append(make([]byte, 15), 1)}
	icmp6 := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(135, 0)}
	_ = icmp6.SetNetworkLayerForChecksum(six)
	nd := build(e, layers.EthernetTypeIPv6, six, icmp6, &layers.ICMPv6NeighborSolicitation{TargetAddress: append(make([]byte, 15), 5),
		Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: mac("3")}}})
	mpls := mplsFrame(e, 1234, 7, true)
	x := openflow.Exact
	ip, ip6 := x(openflow.EthType, 0x800), x(openflow.EthType, 0x86dd)
	proto := func(p uint64) openflow.Field { return x(openflow.IPProto, p) }
	for _, tt := range []struct {
		frame []byte
		field openflow.Field
		needs []openflow.Field
	}{
		{tcp, x(openflow.InPort, 3), nil},
		{tcp, x(openflow.InPhyPort, 3), []openflow.Field{x(openflow.InPort, 3)}},
		{tcp, x(openflow.EthDst, 0x020000000002), nil},
		{tcp, x(openflow.EthSrc, 0x020000000001), nil},
		{tcp, ip, nil},
		{arp, x(openflow.EthType, 0x806), nil},
		{tagged1(tagged), x(openflow.VLANVID, 0x1064), nil},
		{tagged1(tagged), x(openflow.VLANPCP, 5), []openflow.Field{x(openflow.VLANVID, 0x1064)}},
		{tcp, x(openflow.VLANVID, 0), nil},
		{tos, x(openflow.IPDSCP, 46), []openflow.Field{ip}},
		{tos, x(openflow.IPECN, 3), []openflow.Field{ip}},
		{tcp, proto(6), []openflow.Field{ip}},
		{nd, proto(58), []openflow.Field{ip6}},
		{tcp, x(openflow.IPv4Src, 0x0a000031), []openflow.Field{ip}},
		{tcp, x(openflow.IPv4Dst, 0x0a000032), []openflow.Field{ip}},
		{tcp, x(openflow.TCPSrc, 1000), []openflow.Field{ip, proto(6)}},
		{tcp, x(openflow.TCPDst, 80), []openflow.Field{ip, proto(6)}},
		{tcp, x(openflow.TCPFlags, 0x10), []openflow.Field{ip, proto(6)}},
		{udp, x(openflow.UDPSrc, 53), []openflow.Field{ip, proto(17)}},
		{udp, x(openflow.UDPDst, 54), []openflow.Field{ip, proto(17)}},
		{udp, x(openflow.IPTTL, 33), []openflow.Field{ip}},
		{sctp, x(openflow.SCTPSrc, 7), []openflow.Field{ip, proto(132)}},
		{sctp, x(openflow.SCTPDst, 9), []openflow.Field{ip, proto(132)}},
		{icmp, x(openflow.ICMPv4Type, 3), []openflow.Field{ip, proto(1)}},
		{icmp, x(openflow.ICMPv4Code, 4), []openflow.Field{ip, proto(1)}},
		{arp, x(openflow.ARPOp, 1), []openflow.Field{x(openflow.EthType, 0x806)}},
		{arp, x(openflow.ARPSPA, 0x0a000007), []openflow.Field{x(openflow.EthType, 0x806)}},
		{arp, x(openflow.ARPTPA, 0x0a000008), []openflow.Field{x(openflow.EthType, 0x806)}},
		{arp, x(openflow.ARPSHA, 0x020000000001), []openflow.Field{x(openflow.EthType, 0x806)}},
		{arp, x(openflow.ARPTHA, 0), []openflow.Field{x(openflow.EthType, 0x806)}},
		{nd, openflow.Exact128(openflow.IPv6Src, 0xfe80<<48, 0), []openflow.Field{ip6}},
		{nd, openflow.Exact128(openflow.IPv6Dst, 0, 1), []openflow.Field{ip6}},
		{nd, x(openflow.IPv6FLabel, 0x12345), []openflow.Field{ip6}},
		{nd, x(openflow.IPv6ExtHdr, 0), []openflow.Field{ip6}},
		{nd, x(openflow.ICMPv6Type, 135), []openflow.Field{ip6, proto(58)}},
		{nd, x(openflow.ICMPv6Code, 0), []openflow.Field{ip6, proto(58)}},
		{nd, openflow.Exact128(openflow.NDTarget, 0, 5), []openflow.Field{ip6, proto(58), x(openflow.ICMPv6Type, 135)}},
		{nd, x(openflow.NDSLL, 0x020000000003), []openflow.Field{ip6, proto(58), x(openflow.ICMPv6Type, 135)}},
		{mpls, x(openflow.MPLSLabel, 1234), []openflow.Field{x(openflow.EthType, 0x8847)}},
		{mpls, x(openflow.MPLSBOS, 1), []openflow.Field{x(openflow.EthType, 0x8847)}},
		{mpls, x(openflow.MPLSTC, 0), []openflow.Field{x(openflow.EthType, 0x8847)}},
		{mpls, x(openflow.MPLSTTL, 7), []openflow.Field{x(openflow.EthType, 0x8847)}},
		{tcp, x(openflow.Metadata, 0), nil},
		{tcp, x(openflow.TunnelID, 0), nil},
		{tcp, x(openflow.Reg0+7, 0), nil},
		{tcp, x(openflow.XReg0+3, 0), nil},
		{tcp, x(openflow.NwFrag, 0), []openflow.Field{ip}},
		{tcp, x(openflow.ActsetOutput, unsetOutput), nil},
	} {
		if tt.field.ID == openflow.InPhyPort {
			tt.needs = tt.needs[:1:1]
		}
		r := newRig(t, Config{}, upPorts(3))
		r.flow(0, 1, openflow.NewMatch(append(slices.Clone(tt.needs), tt.field)...), toPort(2))
		if got := r.outPorts(3, tt.frame); !slices.Equal(got, []uint32{2}) {
			t.Errorf("%v: not met by its frame", tt.field)
		}
		wrong := tt.field
		wrong.Value = openflow.ValueOf128(wrong.Value.Hi(), wrong.Value.Lo()^1)
		r = newRig(t, Config{}, upPorts(3))
		if _, err := r.FlowMod(0, &openflow.FlowMod{Priority: 1, Match: openflow.NewMatch(append(slices.Clone(tt.needs), wrong)...),
			Instructions: openflow.NewInstructions(toPort(2))}); err != nil {
			continue // not even a value the field can have
		}
		r.Publish()
		if got := r.outPorts(3, tt.frame); len(got) != 0 {
			t.Errorf("%v: met by a frame with another value", wrong)
		}
	}
}

func tagged1(e ethernet) []byte { return udpFrame(e, 64, 1, 2) }

// TestOutputs: who gets a frame, by each reserved port.
func TestOutputs(t *testing.T) {
	ports := upPorts(6)
	ports[3].NoFlood = true
	ports[4].LinkUp = false
	ports[5].Config = openflow.PortNoFwd
	ports = append(ports, Port{No: uint32(openflow.PortLocal), LinkUp: true})
	local := uint32(openflow.PortLocal)
	for _, tt := range []struct {
		port openflow.PortNo
		want []uint32
	}{
		{2, []uint32{2}}, {1, nil}, {5, nil}, {6, nil}, {77, nil},
		{openflow.PortInPort, []uint32{1}},
		{openflow.PortAll, []uint32{2, 3, 4, local}},
		{openflow.PortFlood, []uint32{2, 3, local}},
		{openflow.PortNormal, []uint32{2, 3, local}},
		{openflow.PortLocal, []uint32{local}},
	} {
		eachPath(t, func(t *testing.T, c Config) {
			r := newRig(t, c, ports)
			r.flow(0, 0, openflow.Match{}, openflow.ApplyActions(openflow.Output(tt.port)))
			for range 2 {
				if got := r.outPorts(1, anyFrame); !slices.Equal(got, tt.want) {
					t.Errorf("output:%v went to %v, expected %v", tt.port, got, tt.want)
				}
			}
		})
	}
}

func TestPortDropsAreCounted(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		ports := upPorts(4)
		ports[1].Config = openflow.PortNoRecv
		ports[2].Config = openflow.PortDown
		r := newRig(t, c, ports)
		r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Output(3), openflow.Output(9), openflow.Output(1)))
		r.send(1, anyFrame)
		r.send(2, anyFrame)
		r.send(3, anyFrame)
		r.send(8, anyFrame)
		r.send(4, anyFrame)
		r.send(1, anyFrame[:9])
		want := map[Drop]uint64{DropOutDown: 1, DropOutMissing: 1, DropOutInPort: 1, DropNoRecv: 2, DropNoPort: 1, DropMiss: 1, DropRunt: 1}
		drops := r.Drops()
		for d, n := range drops.All() {
			if n != want[d] {
				t.Errorf("%s: %d, expected %d", d, n, want[d])
			}
		}
	})
}

// TestCopyBeforeChange: outputs before a change keep the frame as it was then.
func TestCopyBeforeChange(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(5))
		push := openflow.Action{Type: openflow.ActionPushVLAN, EtherType: 0x8100}
		r.flow(0, 0, openflow.Match{}, openflow.ApplyActions(openflow.Output(2), openflow.SetField(openflow.EthDst, 0x0a0b0c0d0e0f),
			openflow.Output(3), push, openflow.SetField(openflow.VLANVID, 0x1007), openflow.Output(4), openflow.Output(5)))
		for range 3 {
			got := r.send(1, anyFrame)
			if len(got) != 4 || !strings.Contains(got[0], " 020000000002") || !strings.Contains(got[1], " 0a0b0c0d0e0f0200000000010800") ||
				!strings.Contains(got[2], " 0a0b0c0d0e0f020000000001810000070800") || got[3][6:] != got[2][6:] {
				t.Fatalf("%s", strings.Join(got, "\n"))
			}
		}
		if e, _ := r.Flows(AllFlows()); e[0].Counters(0).Packets != 3 {
			t.Error("packets not counted")
		}
	})
}

// TestActionSet: order of section 5.10, overwriting, clearing, and what a miss does to it.
func TestActionSet(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(5))
		set := func(v uint64) openflow.Action { return openflow.SetField(openflow.VLANVID, 0x1000|v) }
		push := openflow.Action{Type: openflow.ActionPushVLAN, EtherType: 0x8100}
		r.flow(0, 0, openflow.Match{}, openflow.WriteActions(openflow.Output(2), set(5), push), openflow.GotoTable(1))
		r.flow(1, 3, inPort(1), openflow.WriteActions(openflow.Output(3), openflow.Action{Type: openflow.ActionSetQueue, Queue: 9}))
		r.flow(1, 3, inPort(3), openflow.Instruction{Type: openflow.InstructionClearActions}, openflow.WriteActions(openflow.Output(4)))
		r.flow(1, 3, inPort(4), openflow.Instruction{Type: openflow.InstructionClearActions})
		for range 2 {
			if got := r.send(1, anyFrame); len(got) != 1 || !strings.HasPrefix(got[0], "out 3/9 02000000000202000000000181000005") {
				t.Errorf("merged set: %v", got)
			}
			if got := r.send(3, anyFrame); len(got) != 1 || got[0] != outputEvent(4, 0, anyFrame) {
				t.Errorf("cleared and written: %v", got)
			}
			if got := r.send(4, anyFrame); len(got) != 0 {
				t.Errorf("cleared: %v", got)
			}
			if got := r.send(5, anyFrame); len(got) != 0 {
				t.Errorf("missed in table 1: %v", got)
			}
		}
		if d := r.Drops(); d[DropMiss] != 2 {
			t.Errorf("%d misses counted, expected 2", d[DropMiss])
		}
	})
}

func TestPacketIn(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		ports := upPorts(4)
		ports[3].Config = openflow.PortNoPacketIn
		r := newRig(t, c, ports)
		toCtl := func(n uint16) openflow.Action {
			return openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: n}
		}
		r.mod(&openflow.FlowMod{Cookie: 5, Match: openflow.Match{}, Instructions: openflow.NewInstructions(openflow.ApplyActions(toCtl(128)))})
		r.mod(&openflow.FlowMod{Cookie: 6, Priority: 1, Match: inPort(2), Instructions: openflow.NewInstructions(
			openflow.Instruction{Type: openflow.InstructionWriteMetadata, Metadata: 0xab, MetadataMask: 0xff}, openflow.GotoTable(1))})
		r.mod(&openflow.FlowMod{TableID: 1, Cookie: 7, Priority: 4, Instructions: openflow.NewInstructions(openflow.WriteActions(toCtl(0xffff)))})
		for range 2 {
			if got := r.send(1, anyFrame); len(got) != 1 || got[0] != packetInEvent(openflow.ReasonNoMatch, 0, 5, 128, 0, anyFrame) {
				t.Errorf("table-miss entry: %v", got)
			}
			if got := r.send(2, anyFrame); len(got) != 1 || got[0] != packetInEvent(openflow.ReasonAction, 1, 7, 0xffff, 0xab, anyFrame) {
				t.Errorf("action set: %v", got)
			}
			if got := r.send(4, anyFrame); len(got) != 0 {
				t.Errorf("NO_PACKET_IN: %v", got)
			}
		}
		// Only what the table-miss entry sends directly is a miss (section 5.4); OpenFlow 1.4 has a reason of its own
		// for action sets, and Open vSwitch says ACTION for it on 1.3.
		r.mod(&openflow.FlowMod{Cookie: 8, Match: openflow.Match{}, Instructions: openflow.NewInstructions(openflow.WriteActions(toCtl(0xffff)))})
		for range 2 {
			if got := r.send(1, anyFrame); len(got) != 1 || got[0] != packetInEvent(openflow.ReasonAction, 0, 8, 0xffff, 0, anyFrame) {
				t.Errorf("action set of the table-miss entry: %v", got)
			}
		}
	})
}

// TestInvalidTTL: the frame goes to the controllers and nowhere else; later steps count nothing.
func TestInvalidTTL(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(3))
		dec := openflow.Action{Type: openflow.ActionDecNwTTL}
		r.flow(0, 1, ipMatch(), openflow.WriteActions(openflow.Output(3)), openflow.ApplyActions(dec, openflow.Output(2)), openflow.GotoTable(1))
		r.flow(1, 0, openflow.Match{})
		dying := udpFrame(ethernet{dst: "2", src: "1"}, 1, 10, 20)
		for range 3 {
			if got := r.send(1, anyFrame); len(got) != 2 {
				t.Fatalf("TTL 64: %v", got)
			}
			if got := r.send(1, dying); len(got) != 1 || got[0] != packetInEvent(openflow.ReasonInvalidTTL, 0, 0, 0xffff, 0, dying) {
				t.Fatalf("TTL 1: %v", got)
			}
		}
		list, _ := r.Flows(AllFlows())
		if a, b := list[0].Counters(0).Packets, list[1].Counters(0).Packets; a != 6 || b != 3 {
			t.Errorf("counted %d and %d, expected 6 and 3", a, b)
		}
		if d := r.Drops(); d[DropTTL] != 3 {
			t.Errorf("%d invalid TTLs counted, expected 3", d[DropTTL])
		}
	})
}

// TestRematch: a later table sees the frame as it now is, also what a pop brought to light. Two
// frames alike in every header field but different below the tag must part there, cache or not.
func TestRematch(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(5))
		pop := openflow.Action{Type: openflow.ActionPopVLAN}
		r.flow(0, 1, openflow.NewMatch(openflow.Exact(openflow.VLANVID, 0x1001)), openflow.ApplyActions(pop), openflow.GotoTable(1))
		r.flow(0, 1, openflow.NewMatch(openflow.Exact(openflow.EthType, 0x8847)),
			openflow.ApplyActions(openflow.Action{Type: openflow.ActionPopMPLS, EtherType: 0x8847}), openflow.GotoTable(1))
		r.flow(1, 1, openflow.NewMatch(openflow.Exact(openflow.VLANVID, 0x1002)), toPort(2))
		r.flow(1, 1, openflow.NewMatch(openflow.Exact(openflow.VLANVID, 0x1003)), toPort(3))
		r.flow(1, 1, openflow.NewMatch(openflow.Exact(openflow.VLANVID, 0), openflow.Exact(openflow.EthType, 0x0800)), toPort(4))
		r.flow(1, 1, openflow.NewMatch(openflow.Exact(openflow.EthType, 0x8847), openflow.Exact(openflow.MPLSLabel, 77)), toPort(5))
		frame := func(vlans ...uint16) []byte { return tagged1(ethernet{dst: "2", src: "1", vlans: vlans}) }
		for range 3 {
			for want, b := range map[uint32][]byte{2: frame(1, 2), 3: frame(1, 3), 4: frame(1), 5: mplsFrame(ethernet{dst: "2", src: "1"}, 3, 9, false)} {
				if got := r.outPorts(1, b); !slices.Equal(got, []uint32{want}) {
					t.Errorf("frame for port %d went to %v", want, got)
				}
			}
		}
	})
}

// TestNicira: load, move, note and controller.
func TestNicira(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(3))
		r.flow(0, 1, ipMatch(), openflow.ApplyActions(
			openflow.Action{Type: openflow.NXNote, Data: []byte("hello!")},
			openflow.Action{Type: openflow.NXMove, Src: openflow.SubField{ID: openflow.IPv4Src, Offset: 0, Bits: 8}, Dst: openflow.SubField{ID: openflow.Reg0 + 1, Offset: 8, Bits: 8}},
			openflow.Action{Type: openflow.NXLoad, Dst: openflow.SubField{ID: openflow.EthDst, Offset: 40, Bits: 8}, Load: 0x42}), openflow.GotoTable(1))
		r.flow(1, 1, openflow.NewMatch(openflow.Exact(openflow.Reg0+1, 0x3100)), openflow.ApplyActions(openflow.Output(2),
			openflow.Action{Type: openflow.NXController, MaxLen: 20, ControllerID: 3, Reason: openflow.ReasonInvalidTTL}))
		for range 2 {
			got := r.send(1, anyFrame)
			if len(got) != 2 || !strings.HasPrefix(got[0], "out 2/0 42000000000202") || !strings.HasPrefix(got[1], "in reason=2 table=1 cookie=0 max=20") {
				t.Fatalf("%s", strings.Join(got, "\n"))
			}
			if got := r.send(1, udpFrame(ethernet{dst: "2", src: "3"}, 64, 10, 20)); len(got) != 0 {
				t.Fatalf("another source matched: %v", got)
			}
		}
	})
}

func TestPacketOut(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(4))
		r.flow(0, 1, inPort(1), toPort(3))
		prog, err := r.CompileActions(openflow.NewActions(openflow.Output(2), openflow.SetField(openflow.EthDst, 9), openflow.Output(openflow.PortTable),
			openflow.SetField(openflow.EthDst, 8), openflow.Output(4)))
		if err != nil {
			t.Fatal(err)
		}
		r.proc.PacketOut(r.now, frameOf(1, anyFrame), prog, &r.rec)
		got := r.rec.take(t)
		if len(got) != 3 || !strings.HasPrefix(got[0], "out 2/0 0200") || !strings.HasPrefix(got[1], "out 3/0 000000000009") || !strings.HasPrefix(got[2], "out 4/0 000000000008") {
			t.Fatalf("%s", strings.Join(got, "\n"))
		}
		r.proc.PacketOut(r.now, frameOf(uint32(openflow.PortController), anyFrame), prog, &r.rec)
		if got := r.rec.take(t); len(got) != 2 {
			t.Fatalf("in_port CONTROLLER: %v", got)
		}
		if _, err := r.CompileActions(openflow.NewActions(openflow.Group(3))); err == nil {
			t.Error("an unknown group was accepted")
		}
	})
}

// TestGSOFrameCountsOnce: a super-frame is one packet of its full length, as in Linux's counters.
func TestGSOFrameCountsOnce(t *testing.T) {
	r := newRig(t, Config{}, upPorts(2))
	r.flow(0, 0, openflow.Match{}, toPort(2))
	ip := ip4('1', '2', 64, layers.IPProtocolTCP)
	tcp := &layers.TCP{SrcPort: 1, DstPort: 2}
	_ = tcp.SetNetworkLayerForChecksum(ip)
	b := build(ethernet{dst: "2", src: "1"}, layers.EthernetTypeIPv4, ip, tcp, gopacket.Payload(make([]byte, 40000)))
	f := frameOf(1, b)
	f.Offload = packet.Offload{NeedsCsum: true, GSO: packet.GSOTCPv4, GSOSize: 1448, CsumStart: 34, CsumOffset: 16, HdrLen: 54}
	r.proc.Process(0, []*packet.Frame{f}, &r.rec)
	if e, _ := r.Flows(AllFlows()); e[0].Counters(0).Packets != 1 || e[0].Counters(0).Bytes != uint64(len(b)) {
		t.Errorf("%+v", e[0].Counters(0))
	}
}

// TestPathsPart: frames that agree in every field that a table matches when they come in, and yet
// must part later, because of what lies below a header, of which headers are there, or of a field
// that an action copies. Whichever comes first, the second may not follow its path.
func TestPathsPart(t *testing.T) {
	e := ethernet{dst: "2", src: "1"}
	x := openflow.Exact
	ip, mpls, udp := x(openflow.EthType, 0x0800), x(openflow.EthType, 0x8847), x(openflow.IPProto, 17)
	stack := func(label uint32, ttl uint8) []byte {
		return build(e, layers.EthernetTypeMPLSUnicast, &layers.MPLS{Label: 3, TTL: 9}, &layers.MPLS{Label: label, TTL: ttl, StackBottom: true},
			ip4(1, 2, 9, layers.IPProtocolICMPv4))
	}
	fragment := func(offset uint16) []byte { // ports are zero, or not there
		h := ip4('1', '2', 9, layers.IPProtocolUDP)
		h.FragOffset, h.Flags = offset, layers.IPv4MoreFragments
		return build(e, layers.EthernetTypeIPv4, h, gopacket.Payload(make([]byte, 24)))
	}
	unknown := func(dport byte) []byte { // a protocol whose ports nobody reads
		return build(e, layers.EthernetTypeIPv4, ip4('1', '2', 9, 99), gopacket.Payload{0, 1, 0, dport, 0, 12, 0, 0, 1, 2, 3, 4})
	}
	inner := func(n uint16) []byte { return tagged1(ethernet{dst: "2", src: "1", vlans: []uint16{7, n}}) }
	six, icmp6 := x(openflow.EthType, 0x86dd), x(openflow.IPProto, 58)
	solicit := func(target uint64) openflow.Match {
		return openflow.NewMatch(six, icmp6, x(openflow.ICMPv6Type, 135), openflow.Exact128(openflow.NDTarget, 0, target))
	}
	for name, tt := range map[string]struct {
		first  openflow.Match
		do     []openflow.Action
		second [2]openflow.Match
		frames [2][]byte
	}{
		"label below a label": {openflow.NewMatch(mpls), []openflow.Action{{Type: openflow.ActionPopMPLS, EtherType: 0x8847}},
			[2]openflow.Match{openflow.NewMatch(mpls, x(openflow.MPLSLabel, 70)), openflow.NewMatch(mpls, x(openflow.MPLSLabel, 71))},
			[2][]byte{stack(70, 5), stack(71, 5)}},
		"TTL below a label": {openflow.NewMatch(mpls), []openflow.Action{{Type: openflow.ActionCopyTTLOut}},
			[2]openflow.Match{openflow.NewMatch(mpls, x(openflow.MPLSTTL, 5)), openflow.NewMatch(mpls, x(openflow.MPLSTTL, 6))},
			[2][]byte{stack(70, 5), stack(70, 6)}},
		"tag below a tag": {openflow.NewMatch(x(openflow.VLANVID, 0x1007)), []openflow.Action{{Type: openflow.ActionPopVLAN}},
			[2]openflow.Match{openflow.NewMatch(x(openflow.VLANVID, 0x1001)), openflow.NewMatch(x(openflow.VLANVID, 0x1002))},
			[2][]byte{inner(1), inner(2)}},
		"tag or none below a tag": {openflow.NewMatch(x(openflow.VLANVID, 0x1007)), []openflow.Action{{Type: openflow.ActionPopVLAN}},
			[2]openflow.Match{openflow.NewMatch(x(openflow.VLANVID, 0x1000)), openflow.NewMatch(x(openflow.VLANVID, 0))},
			[2][]byte{inner(0), tagged1(ethernet{dst: "2", src: "1", vlans: []uint16{7}})}},
		"a header or none": {openflow.NewMatch(ip, udp), []openflow.Action{openflow.SetField(openflow.UDPSrc, 5)},
			[2]openflow.Match{openflow.NewMatch(ip, udp, x(openflow.UDPSrc, 5)), openflow.NewMatch(ip, udp, x(openflow.NwFrag, 3))},
			[2][]byte{fragment(0), fragment(8)}},
		"TTL copied into a label": {openflow.NewMatch(ip), []openflow.Action{{Type: openflow.ActionPushMPLS, EtherType: 0x8847}},
			[2]openflow.Match{openflow.NewMatch(mpls, x(openflow.MPLSTTL, 60)), openflow.NewMatch(mpls, x(openflow.MPLSTTL, 61))},
			[2][]byte{udpFrame(e, 60, 1, 2), udpFrame(e, 61, 1, 2)}},
		"port read as another protocol's": {openflow.NewMatch(ip), []openflow.Action{openflow.SetField(openflow.IPProto, 17)},
			[2]openflow.Match{openflow.NewMatch(ip, udp, x(openflow.UDPDst, 80)), openflow.NewMatch(ip, udp, x(openflow.UDPDst, 81))},
			[2][]byte{unknown(80), unknown(81)}},
		"target read under another code": {openflow.NewMatch(six, icmp6), []openflow.Action{openflow.SetField(openflow.ICMPv6Code, 0)},
			[2]openflow.Match{solicit(5), solicit(6)},
			[2][]byte{neighbour(135, 1, 5), neighbour(135, 1, 6)}},
		"bits moved": {openflow.NewMatch(ip), []openflow.Action{{Type: openflow.NXMove,
			Src: openflow.SubField{ID: openflow.IPTTL, Bits: 8}, Dst: openflow.SubField{ID: openflow.Reg0, Bits: 8}}},
			[2]openflow.Match{openflow.NewMatch(x(openflow.Reg0, 60)), openflow.NewMatch(x(openflow.Reg0, 61))},
			[2][]byte{udpFrame(e, 60, 1, 2), udpFrame(e, 61, 1, 2)}},
	} {
		for _, order := range [][]int{{0, 1, 0, 1}, {1, 0, 1, 0}} {
			eachPath(t, func(t *testing.T, c Config) {
				r := newRig(t, c, upPorts(3))
				r.flow(0, 1, tt.first, openflow.ApplyActions(tt.do...), openflow.GotoTable(1))
				for i, m := range tt.second {
					r.flow(1, 1, m, toPort(uint32(2+i)))
				}
				for _, i := range order {
					if got := r.outPorts(1, tt.frames[i]); !slices.Equal(got, []uint32{uint32(2 + i)}) {
						t.Errorf("%s: frame %d went to %v", name, i, got)
					}
				}
			})
		}
	}
}

// TestControllerActionOfTableMiss: controller(reason=action) of the table-miss entry said ACTION; Open vSwitch says NO_MATCH.
func TestControllerActionOfTableMiss(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(1))
		r.flow(0, 0, openflow.Match{}, openflow.ApplyActions(openflow.Action{Type: openflow.NXController, MaxLen: 0xffff, Reason: openflow.ReasonAction}))
		frame := udpFrame(ethernet{dst: "2", src: "1"}, 64, 1, 2)
		want := packetInEvent(openflow.ReasonNoMatch, 0, 0, 0xffff, 0, frame)
		if got := r.send(1, frame); len(got) != 1 || got[0] != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
