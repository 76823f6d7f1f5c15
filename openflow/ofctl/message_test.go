package ofctl

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	o "github.com/weirswitch/weir/openflow"
)

// ofpPrintAll lets the real ovs-ofctl print messages, all in one run: ofp-parse reads them from a file.
func ofpPrintAll(t *testing.T, raw []byte) string {
	t.Helper()
	if _, err := exec.LookPath("ovs-ofctl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("ovs-ofctl is not installed: apt install openvswitch-switch")
		}
		t.Skip("ovs-ofctl is not installed (apt install openvswitch-switch)")
	}
	file := filepath.Join(t.TempDir(), "messages")
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ovs-ofctl", "ofp-parse", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// sample is every kind of message, with what its fields can be.
func sample() (list []o.Message) {
	in3 := o.NewMatch(o.Exact(o.InPort, 3))
	tcp := o.NewMatch(o.Exact(o.EthType, 0x800), o.Exact(o.IPProto, 6))
	acts := o.NewActions(o.Output(3), o.Output(o.PortController))
	add := func(m ...o.Message) { list = append(list, m...) }
	add(o.NewHello(4), o.NewHello(1, 4), &o.Hello{Version: 4}, &o.EchoRequest{}, &o.EchoReply{Data: []byte("abc")}, &o.EchoReply{Data: make([]byte, 20)},
		&o.EchoReply{Data: []byte("12345678")}, &o.EchoReply{Data: []byte("123456789")}, &o.EchoReply{Data: []byte("0123456789abcdef")},
		&o.FeaturesRequest{}, &o.FeaturesReply{DatapathID: 5, NTables: 3, Capabilities: 3}, &o.GetConfigRequest{}, &o.BarrierRequest{}, &o.BarrierReply{},
		&o.SetConfig{SwitchConfig: o.SwitchConfig{MissSendLen: 5, Flags: o.FragReasm}}, &o.GetConfigReply{})
	add(&o.PacketIn{BufferID: o.NoBuffer, TotalLen: 4, Reason: 1, TableID: 3, Cookie: 5, Match: in3, Data: []byte{1, 2, 3, 4}},
		&o.PacketIn{BufferID: 7, TotalLen: 60, Match: o.NewMatch(o.Exact(o.InPort, 3), o.Exact(o.Metadata, 7), o.Exact(o.TunnelID, 9)), Data: make([]byte, 14)},
		&o.PacketIn{BufferID: 7, TotalLen: 60, Reason: 2, Cookie: ^uint64(0), Match: in3, Data: make([]byte, 60)},
		&o.PacketIn{BufferID: o.NoBuffer, TotalLen: 1500, Reason: 1, Match: in3, Data: make([]byte, 60)})
	add(&o.FlowRemoved{Cookie: 7, Priority: 9, Reason: 2, TableID: 7, DurationSec: 1, DurationNsec: 37000000, IdleTimeout: 5, HardTimeout: 6, PacketCount: 1, ByteCount: 2, Match: tcp},
		&o.FlowRemoved{Priority: 0x8000, Reason: 3}, &o.FlowRemoved{Priority: 0x8000, Match: in3}, &o.FlowRemoved{Reason: 1, Match: in3})
	for r := range o.PortReason(3) {
		add(&o.PortStatus{Reason: r, Port: o.Port{No: 3, Name: "x"}})
	}
	add(&o.PacketOut{BufferID: o.NoBuffer, InPort: 3, Actions: acts, Data: []byte{1, 2}}, &o.PacketOut{BufferID: 5, InPort: o.PortController},
		&o.PacketOut{BufferID: o.NoBuffer, InPort: 3, Actions: acts, Data: make([]byte, 20)}, &o.PacketOut{BufferID: o.NoBuffer, InPort: 3})
	for c := o.FlowAdd; c <= o.FlowDeleteStrict; c++ {
		add(&o.FlowMod{Command: c, TableID: 3, Priority: 0x8000, BufferID: o.NoBuffer, OutPort: o.PortAny, OutGroup: o.GroupAny, Match: tcp},
			&o.FlowMod{Command: c, Priority: 8, Cookie: 5, CookieMask: 7, BufferID: 9, OutPort: 4, OutGroup: 5, Flags: 31, IdleTimeout: 3,
				HardTimeout: 5, Match: tcp, Instructions: o.NewInstructions(o.GotoTable(8))},
			&o.FlowMod{Command: c, Cookie: 5, BufferID: o.NoBuffer, OutPort: o.PortAny, OutGroup: o.GroupAny})
	}
	add(&o.FlowMod{Command: o.FlowDelete, TableID: 255, Priority: 0x8000, Cookie: 5, CookieMask: ^uint64(0), BufferID: o.NoBuffer, OutPort: o.PortAny, OutGroup: o.GroupAny})
	for c := o.GroupAdd; c < o.GroupDelete; c++ {
		add(&o.GroupMod{Command: c, Group: 5, Type: 1, Buckets: []o.Bucket{{Weight: 1, WatchPort: o.PortAny, WatchGroup: o.GroupAny, Actions: acts}}})
	}
	add(&o.GroupMod{Command: o.GroupDelete, Group: o.GroupAll}, &o.GroupMod{Command: o.GroupDelete, Group: 4},
		&o.PortMod{Port: 3, Config: 1, Mask: 1}, &o.PortMod{Port: 3, HWAddr: o.MAC{1, 2, 3, 4, 5, 6}, Config: 4, Mask: 0x65, Advertise: 3},
		&o.TableMod{TableID: 3}, &o.TableMod{TableID: 255}, &o.QueueGetConfigRequest{Port: 3}, &o.QueueGetConfigRequest{Port: o.PortAny},
		&o.QueueGetConfigReply{Port: 3, Queues: []o.Queue{{ID: 1, Port: 3, MinRate: 100, MaxRate: o.RateUnset}, {ID: 2, Port: 3, MinRate: 5, MaxRate: 1000}, {ID: 3, MinRate: o.RateUnset, MaxRate: 1001}}})
	for r := range o.Role(4) {
		add(&o.RoleRequest{Role: r, GenerationID: 5}, &o.RoleReply{Role: r, GenerationID: ^uint64(0)}, &o.RoleReply{Role: r, GenerationID: 8})
	}
	add(&o.GetAsyncRequest{}, &o.SetAsync{AsyncConfig: o.AsyncConfig{PacketIn: [2]uint32{3, 4}, PortStatus: [2]uint32{7, 0}, FlowRemoved: [2]uint32{15, 1}}}, &o.GetAsyncReply{})
	for c := o.MeterAdd; c <= o.MeterDelete; c++ {
		add(&o.MeterMod{Command: c, Flags: 13, Meter: 3, Bands: []o.Band{{Type: 1, Rate: 5, Burst: 6}}})
	}
	add(&o.MeterMod{Command: 2, Meter: o.MeterAll})
	add(&o.Experimenter{Experimenter: o.ExperimenterONF, ExpType: 2300, Data: []byte{0, 0, 0, 0, 0, 0, 0, 3}},
		&o.Experimenter{Experimenter: o.ExperimenterONF, ExpType: 2300, Data: []byte{0, 0, 0, 9, 0, 4, 0, 1}},
		&o.Experimenter{Experimenter: o.ExperimenterNicira, ExpType: 16, Data: []byte{0, 0, 0, 2}})
	return append(list, sampleMultipart()...)
}

// sampleTables is table features with names and without, of two kinds.
func sampleTables(name string) (list []o.Record) {
	for id := range uint8(6) {
		t := &o.TableFeatures{TableID: id, MetadataMatch: ^uint64(0), MetadataWrite: ^uint64(0), MaxEntries: 1000}
		if name != "" {
			t.Name = name + string('0'+rune(id))
		}
		instructions := []o.InstructionType{o.InstructionApplyActions, o.InstructionGotoTable, o.InstructionMeter}
		var next []uint8
		for n := id + 1; n < 6; n++ {
			next = append(next, n)
		}
		if len(next) == 0 {
			instructions = instructions[:1]
		}
		var match, wild, set []o.TableField
		for f := o.FieldID(0); int(f) < o.NumFields; f++ {
			if f == o.InPhyPort || f == o.PBBISID || f == o.PBBUCA || f == o.IPv6ExtHdr {
				continue // of which ovs-ofctl knows nothing
			}
			match = append(match, o.TableField{ID: f, Masked: f.Info().Maskable})
			if f != o.EthType {
				wild = append(wild, o.TableField{ID: f})
			}
			if f.Info().Writable && (id < 3 || f != o.EthDst) {
				set = append(set, o.TableField{ID: f})
			}
		}
		acts := []o.ActionType{o.ActionOutput, o.ActionGroup, o.ActionSetField, o.ActionPopVLAN}
		t.Properties = []o.TableProperty{{Type: o.PropInstructions, Instructions: instructions}, {Type: o.PropNextTables, Tables: next},
			{Type: o.PropWriteActions, Actions: acts}, {Type: o.PropApplyActions, Actions: acts}, {Type: o.PropMatch, Fields: match},
			{Type: o.PropWildcards, Fields: wild}, {Type: o.PropWriteSetField, Fields: set}, {Type: o.PropApplySetField, Fields: set}}
		list = append(list, t)
	}
	return list
}

func sampleMultipart() (list []o.Message) {
	tcp := o.NewMatch(o.Exact(o.EthType, 0x800), o.Exact(o.IPProto, 6))
	ask := func(t o.MultipartType, r ...o.Record) {
		list = append(list, &o.MultipartRequest{Type: t, Records: r})
	}
	for _, t := range []o.MultipartType{o.MultipartDesc, o.MultipartTable, o.MultipartGroupDesc, o.MultipartGroupFeatures, o.MultipartMeterFeatures,
		o.MultipartPortDesc, o.MultipartTableFeatures} {
		ask(t)
	}
	ask(o.MultipartFlow, o.AllFlows())
	ask(o.MultipartAggregate, &o.FlowStatsRequest{TableID: 3, OutPort: 4, OutGroup: 5, Cookie: 6, CookieMask: 7, Match: tcp})
	ask(o.MultipartFlow, &o.FlowStatsRequest{OutPort: o.PortAny, OutGroup: o.GroupAny, Cookie: 6, CookieMask: ^uint64(0), Match: tcp})
	ask(o.MultipartPortStats, &o.PortStatsRequest{Port: 3})
	ask(o.MultipartPortStats, &o.PortStatsRequest{Port: o.PortAny})
	ask(o.MultipartQueue, &o.QueueStatsRequest{Port: 3, Queue: 5})
	ask(o.MultipartQueue, &o.QueueStatsRequest{Port: o.PortAny, Queue: o.QueueAll})
	ask(o.MultipartGroup, &o.GroupStatsRequest{Group: 3})
	ask(o.MultipartGroup, &o.GroupStatsRequest{Group: o.GroupAll})
	ask(o.MultipartMeter, &o.MeterRequest{Meter: 3})
	ask(o.MultipartMeter, &o.MeterRequest{Meter: o.MeterAll})
	ask(o.MultipartMeterConfig, &o.MeterRequest{Meter: 3})
	list = append(list, &o.MultipartReply{Type: o.MultipartQueue, Records: []o.Record{
		&o.QueueStats{Port: 3, Queue: 5, TxBytes: ^uint64(0), TxPackets: 3, TxErrors: 4, DurationSec: 5, DurationNsec: 6000000},
		&o.QueueStats{Port: o.PortLocal, DurationSec: 0xffffffff, DurationNsec: 0xffffffff}}},
		&o.MultipartReply{Type: o.MultipartTableFeatures, Records: sampleTables("")}, &o.MultipartReply{Type: o.MultipartTableFeatures, Records: sampleTables("t")},
		&o.MultipartReply{Type: o.MultipartFlowMonitor, Records: []o.Record{
			&o.FlowUpdate{Event: o.FlowEventAdded, TableID: 3, Priority: 7, IdleTimeout: 5, HardTimeout: 6, Cookie: 9, Match: tcp, Instructions: o.NewInstructions(o.GotoTable(8))},
			&o.FlowUpdate{Event: o.FlowEventModified, Match: tcp}, &o.FlowUpdate{Event: o.FlowEventDeleted, Reason: o.RemovedDelete, Match: tcp},
			&o.FlowUpdate{Event: o.FlowEventDeleted, Reason: o.RemovedIdleTimeout}, &o.FlowUpdate{Event: o.FlowEventAbbrev, XID: 0x1234}}},
		&o.MultipartReply{Type: o.MultipartFlow, More: true},
		&o.MultipartReply{Type: o.MultipartFlow, Records: []o.Record{&o.FlowStats{Match: tcp}, &o.FlowStats{Priority: 0x8000}}},
		&o.MultipartReply{Type: o.MultipartGroupDesc}, &o.MultipartReply{Type: o.MultipartPortStats}, &o.MultipartReply{Type: o.MultipartMeter},
		&o.MultipartReply{Type: o.MultipartTable, Records: []o.Record{&o.TableStats{}, &o.TableStats{TableID: 1}, &o.TableStats{TableID: 2}}},
		&o.MultipartReply{Type: o.MultipartMeterConfig, Records: []o.Record{
			&o.MeterConfig{Flags: 1, Meter: 3, Bands: []o.Band{{Type: 1, Rate: 5}, {Type: 2, Rate: 6, PrecLevel: 1}}}, &o.MeterConfig{Flags: 1, Meter: 4}}},
		&o.MultipartReply{Type: o.MultipartMeter, Records: []o.Record{&o.MeterStatistics{Meter: 3, Bands: []o.BandStats{{PacketCount: 1}}}, &o.MeterStatistics{Meter: 4}}},
		&o.MultipartReply{Type: o.MultipartDesc, Records: []o.Record{&o.Desc{Manufacturer: "m"}}},
		&o.MultipartReply{Type: o.MultipartAggregate, Records: []o.Record{&o.AggregateStats{PacketCount: 3}}})
	return append(list, (&o.Error{Type: o.ErrBadRequest, Code: o.BRCBadType}).For(o.Append(nil, 5, &o.BarrierRequest{})),
		&o.Error{Type: o.ErrHelloFailed, Data: []byte("no way")},
		(&o.Error{Type: o.ErrFlowModFailed, Code: o.FMFCOverlap}).For(o.Append(nil, 5, &o.FlowMod{Match: tcp, OutPort: o.PortAny, BufferID: o.NoBuffer})))
}

// TestMessagesPrintAsByOvsOfctl compares every kind of message with what the real program prints.
func TestMessagesPrintAsByOvsOfctl(t *testing.T) {
	for _, m := range sample() {
		raw := o.Append(nil, 2, m)
		same(t, Message(raw, nil), ofpPrintAll(t, raw))
	}
}

// TestErrorCodesAreNamedAsByOvsOfctl goes through every code that weir can send.
func TestErrorCodesAreNamedAsByOvsOfctl(t *testing.T) {
	var raw []byte
	var want strings.Builder
	for kind := o.ErrBadRequest; kind <= o.ErrTableFeaturesFailed; kind++ {
		for code := range uint16(16) {
			e := &o.Error{Type: kind, Code: code}
			if strings.Contains(e.CodeName(), " code ") {
				continue
			}
			m := o.Append(nil, 2, e.For(o.Append(nil, 2, &o.BarrierRequest{})))
			raw = append(raw, m...)
			want.WriteString(Message(m, nil))
		}
	}
	got := strings.Split(ofpPrintAll(t, raw), "\n")
	for i, line := range strings.Split(want.String(), "\n") {
		if line != got[i] {
			t.Errorf("weir %s, ovs-ofctl %s", line, got[i])
		}
	}
}

// TestFramesPrintAsByOvsOfctl makes frames of every protocol, whole and cut off.
func TestFramesPrintAsByOvsOfctl(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var raw []byte
	var want []string
	for range 3000 {
		f := randomFrame(r)
		if r.IntN(6) == 0 {
			f = f[:r.IntN(len(f)+1)]
		}
		m := o.Append(nil, 2, &o.PacketIn{BufferID: o.NoBuffer, TotalLen: uint16(len(f)), Reason: 1, Match: o.NewMatch(o.Exact(o.InPort, 3)), Data: f})
		raw = append(raw, m...)
		want = append(want, Message(m, nil)+hex.EncodeToString(f))
	}
	got := strings.SplitAfter(ofpPrintAll(t, raw), "OFPT_PACKET_IN")[1:]
	bad := 0
	for i := range want {
		ours, frame, _ := strings.Cut(strings.TrimPrefix(want[i], "OFPT_PACKET_IN"), "\n")
		_ = ours
		line, hexFrame, _ := strings.Cut(frame, "\n")
		theirs := strings.Split(got[i], "\n")[1]
		if line != theirs {
			if bad++; bad > 12 {
				t.FailNow()
			}
			t.Errorf("weir      %s\novs-ofctl %s\nof %s", line, theirs, hexFrame)
		}
	}
}

func randomFrame(r *rand.Rand) []byte {
	bytes := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	be := binary.BigEndian
	f := bytes(12)
	for range r.IntN(5) / 2 {
		f = be.AppendUint16(f, []uint16{0x8100, 0x88a8}[r.IntN(2)])
		f = be.AppendUint16(f, uint16(r.Uint32()))
	}
	transport := func(proto byte) []byte {
		switch proto {
		case 6:
			b := bytes(24)
			b[12] = 0x50 | b[12]&15
			return b
		case 17:
			b := bytes(16)
			be.PutUint16(b[4:], 16)
			return b
		case 58:
			b := bytes(32)
			b[0], b[1], b[24], b[25] = byte(133+r.IntN(5)), byte(r.IntN(2)), byte(1+r.IntN(2)), 1
			return b
		}
		return bytes(20)
	}
	switch r.IntN(6) {
	case 0:
		f = be.AppendUint16(f, []uint16{0x806, 0x8035}[r.IntN(2)])
		f = append(f, 0, 1, 8, 0, 6, 4, 0, byte(1+r.IntN(2)))
		return append(f, bytes(20)...)
	case 1:
		f = be.AppendUint16(f, 0x8847)
		return append(f, bytes(20)...)
	case 2:
		f = be.AppendUint16(f, []uint16{0x88cc, 0x9999, 46, 0x05dc}[r.IntN(4)])
		return append(f, bytes(50)...)
	case 3:
		proto := []byte{6, 17, 58, 132, 47}[r.IntN(5)]
		body := transport(proto)
		f = be.AppendUint16(f, 0x86dd)
		head := bytes(40)
		head[0] = 0x60 | head[0]&15
		be.PutUint16(head[4:], uint16(len(body)))
		head[6] = proto
		return append(append(f, head...), body...)
	}
	proto := []byte{6, 17, 1, 132, 47}[r.IntN(5)]
	body := transport(proto)
	f = be.AppendUint16(f, 0x800)
	head := bytes(20)
	head[0], head[9] = 0x45, proto
	be.PutUint16(head[2:], uint16(20+len(body)))
	be.PutUint16(head[6:], []uint16{0, 0x4000, 0x2000, 0x0005}[r.IntN(4)])
	return append(append(f, head...), body...)
}
