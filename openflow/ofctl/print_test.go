package ofctl

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// ofpPrint is the text that the real ovs-ofctl makes of a message, without its first line's header.
func ofpPrint(t *testing.T, m openflow.Message) string {
	t.Helper()
	if _, err := exec.LookPath("ovs-ofctl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("ovs-ofctl is not installed: apt install openvswitch-switch")
		}
		t.Skip("ovs-ofctl is not installed (apt install openvswitch-switch)")
	}
	cmd := exec.Command("ovs-ofctl", "ofp-print", hex.EncodeToString(openflow.Append(nil, 2, m)))
	out, err := cmd.Output()
	if before, after, bad := strings.Cut(string(out), "***decode error"); err != nil || bad {
		t.Fatalf("ofp-print: %v after %d lines: %.60s", err, strings.Count(before, "\n"), after)
	}
	_, text, _ := strings.Cut(string(out), "(xid=0x2): ")
	if text == "" {
		_, text, _ = strings.Cut(string(out), "(xid=0x2):")
	}
	return strings.TrimPrefix(text, "\n")
}

func reply(t openflow.MultipartType, records ...openflow.Record) openflow.Message {
	return &openflow.MultipartReply{Type: t, Records: records}
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("weir prints\n%s\novs-ofctl\n%s", got, want)
	}
}

// TestRandomFlowsPrintAsInOpenVSwitch makes flows of every field, action and instruction that ovs-ofctl
// can read, and compares line by line.
func TestRandomFlowsPrintAsInOpenVSwitch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		var records []openflow.Record
		var want []string
		for range 100 {
			f := randomFlow(r)
			if err := f.Match.Check(); err != nil {
				t.Fatalf("%v: %v", f.Match, err)
			}
			records = append(records, f)
			want = append(want, " "+Flow(f))
		}
		got := strings.Split(strings.TrimRight(ofpPrint(t, reply(openflow.MultipartFlow, records...)), "\n"), "\n")
		if len(got) != len(want) {
			t.Fatalf("%d lines of %d flows", len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("\nweir      %s\novs-ofctl %s\nof %v", want[i], got[i], records[i])
			}
		}
	}
}

func randomFlow(r *rand.Rand) *openflow.FlowStats {
	f := &openflow.FlowStats{
		TableID: uint8(r.IntN(254)), Priority: uint16(r.IntN(65536)), DurationSec: uint32(r.IntN(5)), PacketCount: uint64(r.IntN(99)),
		ByteCount: r.Uint64() >> r.IntN(64), Cookie: r.Uint64() >> r.IntN(64), Flags: openflow.FlowModFlags(r.IntN(32)), Match: randomMatch(r),
	}
	if r.IntN(2) == 0 {
		f.Priority = DefaultPriority
	}
	if r.IntN(3) == 0 {
		f.IdleTimeout, f.HardTimeout, f.DurationNsec = uint16(r.IntN(3)), uint16(r.IntN(3)), uint32(r.IntN(1000))*1_000_000
	}
	f.Instructions = randomInstructions(r, f)
	return f
}

// protocols are the header stacks that a match can speak of, with the fields that each adds.
var protocols = []struct {
	fields []openflow.Field
	more   []openflow.FieldID
}{
	{nil, nil},
	{[]openflow.Field{openflow.Exact(openflow.EthType, 0x88cc)}, nil},
	{[]openflow.Field{openflow.Exact(openflow.EthType, 0x0806)}, []openflow.FieldID{openflow.ARPOp, openflow.ARPSPA, openflow.ARPTPA, openflow.ARPSHA, openflow.ARPTHA}},
	{[]openflow.Field{openflow.Exact(openflow.EthType, 0x8035)}, []openflow.FieldID{openflow.ARPOp, openflow.ARPSPA}},
	{[]openflow.Field{openflow.Exact(openflow.EthType, 0x8847)}, []openflow.FieldID{openflow.MPLSLabel, openflow.MPLSTC, openflow.MPLSBOS, openflow.MPLSTTL}},
	{[]openflow.Field{openflow.Exact(openflow.EthType, 0x8848)}, []openflow.FieldID{openflow.MPLSLabel}},
	{ipv4Match(0), []openflow.FieldID{openflow.IPv4Src, openflow.IPv4Dst, openflow.IPDSCP, openflow.IPECN, openflow.IPTTL, openflow.NwFrag}},
	{ipv4Match(47), []openflow.FieldID{openflow.IPv4Dst}},
	{ipv4Match(6), []openflow.FieldID{openflow.IPv4Src, openflow.TCPSrc, openflow.TCPDst, openflow.TCPFlags}},
	{ipv4Match(17), []openflow.FieldID{openflow.UDPSrc, openflow.UDPDst, openflow.NwFrag}},
	{ipv4Match(132), []openflow.FieldID{openflow.SCTPSrc, openflow.SCTPDst}},
	{ipv4Match(1), []openflow.FieldID{openflow.ICMPv4Type, openflow.ICMPv4Code}},
	{ipv6Match(0), []openflow.FieldID{openflow.IPv6Src, openflow.IPv6Dst, openflow.IPv6FLabel, openflow.IPDSCP, openflow.IPECN, openflow.IPTTL}},
	{ipv6Match(6), []openflow.FieldID{openflow.TCPDst, openflow.TCPFlags, openflow.IPv6FLabel}},
	{ipv6Match(17), []openflow.FieldID{openflow.UDPSrc}},
	{ipv6Match(132), []openflow.FieldID{openflow.SCTPDst}},
	{ipv6Match(58), []openflow.FieldID{openflow.ICMPv6Type, openflow.ICMPv6Code}},
	{append(ipv6Match(58), openflow.Exact(openflow.ICMPv6Type, 135), openflow.Exact(openflow.ICMPv6Code, 0)), []openflow.FieldID{openflow.NDTarget, openflow.NDSLL}},
	{append(ipv6Match(58), openflow.Exact(openflow.ICMPv6Type, 136), openflow.Exact(openflow.ICMPv6Code, 0)), []openflow.FieldID{openflow.NDTarget, openflow.NDTLL}},
}

func ipv4Match(proto uint64) []openflow.Field { return ipMatch(0x0800, proto) }
func ipv6Match(proto uint64) []openflow.Field { return ipMatch(0x86dd, proto) }

func ipMatch(eth, proto uint64) []openflow.Field {
	f := []openflow.Field{openflow.Exact(openflow.EthType, eth)}
	if proto != 0 {
		f = append(f, openflow.Exact(openflow.IPProto, proto))
	}
	return f
}

func randomMatch(r *rand.Rand) openflow.Match {
	var fields []openflow.Field
	always := []openflow.FieldID{openflow.InPort, openflow.Metadata, openflow.EthDst, openflow.EthSrc, openflow.TunnelID,
		openflow.PktMark, openflow.ActsetOutput, openflow.Reg0, openflow.Reg0 + 7, openflow.XReg0 + 4}
	for _, id := range always {
		if r.IntN(5) == 0 {
			fields = append(fields, randomField(r, id))
		}
	}
	fields = append(fields, randomVLAN(r)...)
	p := protocols[r.IntN(len(protocols))]
	fields = append(fields, p.fields...)
	for _, id := range p.more {
		if r.IntN(2) == 0 {
			fields = append(fields, randomField(r, id))
		}
	}
	return openflow.NewMatch(fields...)
}

func randomVLAN(r *rand.Rand) []openflow.Field {
	switch r.IntN(8) {
	case 0:
		return []openflow.Field{openflow.Exact(openflow.VLANVID, openflow.VIDNone)}
	case 1:
		return []openflow.Field{openflow.WithMask(openflow.VLANVID, openflow.VIDPresent, openflow.VIDPresent)}
	case 2:
		return []openflow.Field{openflow.Exact(openflow.VLANVID, openflow.VIDPresent|uint64(r.IntN(4096)))}
	case 3:
		return []openflow.Field{openflow.Exact(openflow.VLANVID, openflow.VIDPresent|uint64(r.IntN(4096))), openflow.Exact(openflow.VLANPCP, uint64(r.IntN(8)))}
	case 4:
		mask := openflow.VIDPresent | uint64(r.IntN(4096))
		return []openflow.Field{openflow.WithMask(openflow.VLANVID, (openflow.VIDPresent|r.Uint64())&mask, mask)}
	case 5:
		return []openflow.Field{openflow.WithMask(openflow.VLANVID, openflow.VIDPresent, openflow.VIDPresent), openflow.Exact(openflow.VLANPCP, uint64(r.IntN(8)))}
	}
	return nil
}

// randomField has a value in the field's width, sometimes under a mask.
func randomField(r *rand.Rand, id openflow.FieldID) openflow.Field {
	info := id.Info()
	full := openflow.Exact(id, 0).Mask
	random := openflow.ValueOf128(r.Uint64(), r.Uint64()).And(full)
	if id == openflow.InPort || id == openflow.ActsetOutput {
		random = openflow.ValueOf(uint64(1 + r.IntN(0xfeff)))
		if r.IntN(4) == 0 {
			random = openflow.ValueOf(uint64(openflow.PortLocal))
		}
	}
	if id == openflow.ARPOp { // beyond a byte it is a bad value there
		random = openflow.ValueOf(uint64(r.IntN(256)))
	}
	if !info.Maskable || id != openflow.NwFrag && r.IntN(2) == 0 {
		return openflow.Field{ID: id, Value: random, Mask: full}
	}
	mask := openflow.ValueOf128(r.Uint64(), r.Uint64()).And(full)
	if r.IntN(2) == 0 { // a prefix
		n := 1 + r.IntN(info.Bits)
		mask = full
		for i := range info.Bits - n {
			mask = mask.AndNot(bit(i))
		}
	}
	if mask.IsZero() {
		mask = full
	}
	if id == openflow.NwFrag { // of which four combinations have a word
		pairs := [][2]uint64{{1, 1}, {1, 3}, {3, 3}, {0, 2}, {0, 3}}
		p := pairs[r.IntN(len(pairs))]
		return openflow.WithMask(id, p[0], p[1])
	}
	if mask == full {
		return openflow.Field{ID: id, Value: random, Mask: full}
	}
	return openflow.WithMask128(id, random.And(mask), mask)
}

func bit(i int) openflow.Value {
	if i < 64 {
		return openflow.ValueOf(1 << i)
	}
	return openflow.ValueOf128(1<<(i-64), 0)
}

func randomInstructions(r *rand.Rand, f *openflow.FlowStats) openflow.Instructions {
	var list []openflow.Instruction
	if r.IntN(8) == 0 {
		list = append(list, openflow.Instruction{Type: openflow.InstructionMeter, Meter: 1 + uint32(r.IntN(9))})
	}
	if r.IntN(5) != 0 {
		list = append(list, openflow.ApplyActions(randomActions(r, f)...))
	}
	if r.IntN(8) == 0 {
		list = append(list, openflow.Instruction{Type: openflow.InstructionClearActions})
	}
	if r.IntN(5) == 0 {
		list = append(list, openflow.WriteActions(openflow.Output(openflow.PortNo(1+r.IntN(9))), openflow.Group(3)))
	}
	if r.IntN(5) == 0 {
		list = append(list, openflow.Instruction{Type: openflow.InstructionWriteMetadata, Metadata: r.Uint64(), MetadataMask: ^uint64(0) >> (8 * r.IntN(2))})
	}
	if r.IntN(3) == 0 {
		list = append(list, openflow.GotoTable(f.TableID+1))
	}
	return openflow.NewInstructions(list...)
}

func randomActions(r *rand.Rand, f *openflow.FlowStats) []openflow.Action {
	var list []openflow.Action
	for range r.IntN(5) {
		switch r.IntN(9) {
		case 0:
			list = append(list, openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: uint16(r.IntN(65536))})
		case 1:
			ports := []openflow.PortNo{openflow.PortInPort, openflow.PortNormal, openflow.PortFlood, openflow.PortAll, openflow.PortLocal}
			list = append(list, openflow.Output(ports[r.IntN(len(ports))]))
		case 2:
			list = append(list, openflow.Action{Type: openflow.ActionSetQueue, Queue: uint32(r.IntN(9))})
		case 3:
			list = append(list, openflow.SetField([]openflow.FieldID{openflow.EthDst, openflow.EthSrc}[r.IntN(2)], r.Uint64()>>16))
		case 4:
			list = append(list, openflow.SetField([]openflow.FieldID{openflow.TunnelID, openflow.PktMark, openflow.Reg0 + 3, openflow.XReg0 + 1}[r.IntN(4)], uint64(r.IntN(1000))))
		case 5:
			list = append(list, matchedSetField(r, f)...)
		case 6:
			list = append(list, nicira(r))
		case 7:
			list = append(list, openflow.Group(uint32(r.IntN(99))))
		default:
			list = append(list, openflow.Output(openflow.PortNo(1+r.IntN(60000))))
		}
	}
	return list
}

// matchedSetField rewrites a field whose prerequisites the flow's match has.
func matchedSetField(r *rand.Rand, f *openflow.FlowStats) []openflow.Action {
	var list []openflow.Action
	for m := range f.Match.All() {
		switch m.ID {
		case openflow.IPv4Src, openflow.IPv4Dst, openflow.ARPOp, openflow.ARPSPA, openflow.ARPSHA, openflow.IPDSCP, openflow.IPECN, openflow.TCPSrc,
			openflow.UDPDst, openflow.SCTPSrc, openflow.ICMPv4Code, openflow.IPv6FLabel, openflow.MPLSLabel, openflow.MPLSTC, openflow.IPTTL:
			list = append(list, openflow.SetField(m.ID, uint64(r.IntN(4))))
		case openflow.IPv6Src, openflow.IPv6Dst, openflow.NDTarget:
			v := openflow.Exact128(m.ID, r.Uint64(), r.Uint64()>>r.IntN(64))
			list = append(list, openflow.Action{Type: openflow.ActionSetField, Field: v})
		}
	}
	return list
}

func nicira(r *rand.Rand) openflow.Action {
	reg := openflow.SubField{ID: openflow.Reg0 + openflow.FieldID(r.IntN(16)), Offset: uint16(r.IntN(8)), Bits: uint16(1 + r.IntN(24))}
	switch r.IntN(8) {
	case 7:
		return openflow.Action{Type: openflow.NXPopQueue}
	case 0:
		return openflow.Action{Type: openflow.NXResubmit, Port: openflow.PortNo(1 + r.IntN(99))}
	case 1:
		return openflow.Action{Type: openflow.NXResubmitTable, Port: openflow.PortInPort, Table: uint8(r.IntN(254))}
	case 2:
		return openflow.Action{Type: openflow.NXResubmitTable, Port: openflow.PortNo(1 + r.IntN(99)), Table: 0xff}
	case 3:
		return openflow.Action{Type: openflow.NXMove, Src: openflow.SubField{ID: openflow.EthSrc, Offset: 3, Bits: reg.Bits}, Dst: reg}
	case 4:
		return openflow.Action{Type: openflow.NXLoad, Dst: reg, Load: r.Uint64() & (1<<reg.Bits - 1)}
	case 5:
		return openflow.Action{Type: openflow.NXNote, Data: []byte{1, 2, byte(r.IntN(256)), 0, 0, 0}}
	}
	return openflow.Action{Type: openflow.NXController, MaxLen: uint16(65535 - r.IntN(2)), ControllerID: uint16(r.IntN(2)), Reason: openflow.PacketInReason(r.IntN(3))}
}

func TestPortsPrintAsInOpenVSwitch(t *testing.T) {
	list := []*openflow.Port{
		{No: 1, Name: "eth1", HWAddr: openflow.MAC{2, 0, 0, 0, 1, 1}, State: openflow.PortLive},
		{No: 3, Name: "t3", State: openflow.PortLinkDown, Config: openflow.PortConfigAll},
		{No: 4, Name: "x", Curr: openflow.Feature10GbFD | openflow.FeatureCopper, CurrSpeed: 10_000_000, MaxSpeed: 40_000_000,
			Advertised: openflow.FeaturePause, Supported: 0xffff, Peer: openflow.Feature1TbFD},
		{No: openflow.PortLocal, Name: "br0", State: openflow.PortLinkDown | openflow.PortBlocked},
	}
	var records []openflow.Record
	var got []byte
	for _, p := range list {
		records = append(records, p)
		got = AppendPort(got, p)
	}
	same(t, string(got), ofpPrint(t, reply(openflow.MultipartPortDesc, records...)))
}

func TestPortStatsPrintAsInOpenVSwitch(t *testing.T) {
	const unknown = ^uint64(0)
	list := []*openflow.PortStats{
		{Port: 1, RxPackets: 6, RxBytes: 600, RxDropped: unknown, RxErrors: unknown, RxFrameErr: unknown, RxOverErr: unknown,
			RxCRCErr: unknown, TxDropped: 3, TxErrors: unknown, Collides: unknown, DurationSec: 5, DurationNsec: 53_000_000},
		{Port: openflow.PortLocal, RxPackets: 16, RxBytes: 1256, TxPackets: 1, DurationSec: 313},
		{Port: 1234, DurationSec: 1, DurationNsec: 1},
	}
	var records []openflow.Record
	got := []byte("3 ports\n")
	for _, s := range list {
		records = append(records, s)
		got = AppendPortStats(got, s)
	}
	same(t, string(got), ofpPrint(t, reply(openflow.MultipartPortStats, records...)))
}

func TestTablesPrintAsInOpenVSwitch(t *testing.T) {
	list := []openflow.TableStats{{TableID: 0, ActiveCount: 2, LookupCount: 6, MatchedCount: 6}, {TableID: 1, ActiveCount: 3, LookupCount: 6, MatchedCount: 6}}
	for id := uint8(2); id < 10; id++ {
		list = append(list, openflow.TableStats{TableID: id})
	}
	list[6].ActiveCount = 1 // breaks the run
	var records []openflow.Record
	for i := range list {
		records = append(records, &list[i])
	}
	for n := 1; n <= len(list); n++ {
		same(t, string(AppendTables(nil, list[:n])), ofpPrint(t, reply(openflow.MultipartTable, records[:n]...)))
	}
}

func TestShortRepliesPrintAsInOpenVSwitch(t *testing.T) {
	f := &openflow.FeaturesReply{DatapathID: 0xab, NTables: 254, Capabilities: openflow.CapFlowStats | openflow.CapQueueStats | openflow.CapIPReasm}
	same(t, fmt.Sprintf("dpid:%016x\n", f.DatapathID)+string(AppendFeatures(nil, f)), ofpPrint(t, f))
	d := &openflow.Desc{Manufacturer: "weir", Hardware: "h", Software: "s", Serial: "None", Datapath: "br0"}
	same(t, string(AppendDesc(nil, d)), ofpPrint(t, reply(openflow.MultipartDesc, d)))
	a := &openflow.AggregateStats{PacketCount: 12, ByteCount: 1200, FlowCount: 5}
	same(t, string(AppendAggregate(nil, a))+"\n", ofpPrint(t, reply(openflow.MultipartAggregate, a)))
	c := &openflow.GetConfigReply{SwitchConfig: openflow.SwitchConfig{Flags: openflow.FragDrop, MissSendLen: 128}}
	same(t, string(AppendConfig(nil, &c.SwitchConfig))+"\n", ofpPrint(t, c))
}

// TestWordsBeyondOvsOfctl prints what that program cannot read.
func TestWordsBeyondOvsOfctl(t *testing.T) {
	m := openflow.NewMatch(openflow.Exact(openflow.InPort, 1), openflow.Exact(openflow.InPhyPort, 2),
		openflow.Exact(openflow.EthType, 0x86dd), openflow.WithMask(openflow.IPv6ExtHdr, 4, 6))
	a := openflow.NewActions(openflow.Action{Type: openflow.ActionCopyTTLOut}, openflow.Action{Type: openflow.ActionCopyTTLIn},
		openflow.Action{Type: openflow.ActionPushPBB, EtherType: 0x88e7}, openflow.SetField(openflow.PBBISID, 7), openflow.Action{Type: openflow.ActionPopPBB},
		openflow.Action{Type: openflow.ActionDecMPLSTTL})
	f := &openflow.FlowStats{Match: m, Instructions: openflow.NewInstructions(openflow.Instruction{Type: openflow.InstructionApplyActions, Actions: a})}
	same(t, string(AppendFlowPlain(nil, f)), "priority=0,ipv6,in_port=1,in_phy_port=2,ipv6_exthdr=0x4/0x6 "+
		"actions=copy_ttl_out,copy_ttl_in,push_pbb:0x88e7,set_field:0x7->pbb_isid,pop_pbb,dec_mpls_ttl")
	f = &openflow.FlowStats{Priority: DefaultPriority, Cookie: 7, TableID: 3}
	same(t, string(AppendFlowPlain(nil, f)), "cookie=0x7, table=3, actions=drop")
	same(t, Port(openflow.PortAny)+Port(7)+Actions(openflow.Actions{})+Instructions(openflow.Instructions{}), "ANY7dropdrop")
	same(t, strings.Join(PortConfig(openflow.PortDown|openflow.PortNoFwd), "+")+strings.Join(PortConfig(0), "+"), "PORT_DOWN+NO_FWD")
}
