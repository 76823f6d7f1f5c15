package openflow

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

// update writes testdata/messages.txt from the values below. Read what changed before committing it:
// the bytes of controllers' messages are os-ken's, those of switches' have ofp-print as judge.
var update = flag.Bool("update", false, "rewrite testdata/messages.txt")

var testMAC = MAC{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc}

// messageCase is one message in three forms. The bytes are in testdata/messages.txt, or os-ken's in
// testdata/corpus.txt when corpus names an entry there.
type messageCase struct {
	name   string
	corpus string
	value  Message
	text   string
}

var controllerCases = []messageCase{
	{"hello", "", &Hello{Version: 4, Bitmap: 0x12, HasBitmap: true}, "HELLO version=4 bitmap=0x12"},
	{"hello_plain", "hello", &Hello{Version: 4}, "HELLO version=4"},
	{"echo_request", "echo_request", &EchoRequest{[]byte("ping")}, "ECHO_REQUEST 4 bytes"},
	{"experimenter", "experimenter", &Experimenter{ExperimenterONF, 2300, []byte("abcd")}, "EXPERIMENTER 0x4f4e4600 type=2300 4 bytes"},
	{"features_request", "features_request", &FeaturesRequest{}, "FEATURES_REQUEST"},
	{"get_config_request", "get_config_request", &GetConfigRequest{}, "GET_CONFIG_REQUEST"},
	{"set_config", "set_config", &SetConfig{SwitchConfig{FragReasm, 128}}, "SET_CONFIG frags=reassemble miss_send_len=128"},
	{"packet_out", "packet_out", &PacketOut{BufferID: NoBuffer, InPort: PortController,
		Actions: NewActions(Action{Type: ActionOutput, Port: PortFlood}), Data: counting(60)},
		"PACKET_OUT in_port=CONTROLLER buffer=0xffffffff actions=output:FLOOD data=60 bytes"},
	{"packet_out_buffer", "packet_out/buffer", &PacketOut{BufferID: 42, InPort: 3, Data: []byte{}}, "PACKET_OUT in_port=3 buffer=0x2a actions=drop data=0 bytes"},
	{"flow_mod", "flow_mod/add", &FlowMod{
		Cookie: 0xabcdef, TableID: 1, IdleTimeout: 30, HardTimeout: 600, Priority: 1000, BufferID: NoBuffer,
		OutPort: PortAny, OutGroup: GroupAny, Flags: 0x1f,
		Match:        NewMatch(Exact(InPort, 1), Exact(EthType, 0x0800), Exact(IPProto, 6), Exact(IPv4Src, 0x0a000001), Exact(TCPDst, 80)),
		Instructions: NewInstructions(ApplyActions(Action{Type: ActionDecNwTTL}, Action{Type: ActionOutput, Port: 2}), GotoTable(3))},
		"FLOW_MOD ADD table=1 priority=1000 cookie=0xabcdef/0x0 idle=30 hard=600 buffer=0xffffffff out_port=ANY out_group=0xffffffff " +
			"flags=send_flow_rem|check_overlap|reset_counts|no_packet_counts|no_byte_counts " +
			"match=in_port=1,eth_type=0x800,ip_proto=6,ipv4_src=10.0.0.1,tcp_dst=80 instructions=apply_actions(dec_nw_ttl,output:2),goto_table:3"},
	{"flow_mod_delete", "flow_mod/delete", &FlowMod{
		Cookie: 0x10, CookieMask: 0xf0, TableID: TableAll, Command: FlowDelete, Priority: 32768, BufferID: NoBuffer, OutPort: 4, OutGroup: 5,
		Match: NewMatch(Exact(EthType, 0x0800), WithMask(IPv4Dst, 0x0a000000, 0xff000000))},
		"FLOW_MOD DELETE table=255 priority=32768 cookie=0x10/0xf0 idle=0 hard=0 buffer=0xffffffff out_port=4 out_group=0x5 flags=0 " +
			"match=eth_type=0x800,ipv4_dst=10.0.0.0/255.0.0.0 instructions=drop"},
	{"group_mod", "group_mod", &GroupMod{Command: GroupAdd, Type: GroupTypeSelect, Group: 2, Buckets: []Bucket{
		{50, PortAny, GroupAny, NewActions(Action{Type: ActionOutput, Port: 2})},
		{100, 3, 4, NewActions(Action{Type: ActionPopVLAN}, Action{Type: ActionOutput, Port: 3})},
		{1, PortAny, GroupAny, Actions{}}}},
		"GROUP_MOD ADD group=2 type=select bucket(weight=50 watch_port=ANY watch_group=0xffffffff actions=output:2) " +
			"bucket(weight=100 watch_port=3 watch_group=0x4 actions=pop_vlan,output:3) bucket(weight=1 watch_port=ANY watch_group=0xffffffff actions=drop)"},
	{"group_mod_delete", "group_mod/delete", &GroupMod{Command: GroupDelete, Group: GroupAll}, "GROUP_MOD DELETE group=4294967292 type=all"},
	{"port_mod", "port_mod", &PortMod{3, testMAC, PortDown | PortNoPacketIn, PortConfigAll, 0x2020},
		"PORT_MOD port=3 addr=12:34:56:78:9a:bc config=DOWN|NO_PACKET_IN mask=DOWN|NO_RECV|NO_FWD|NO_PACKET_IN advertise=0x2020"},
	{"table_mod", "table_mod", &TableMod{254, 3}, "TABLE_MOD table=254 config=0x3"},
	{"barrier_request", "barrier_request", &BarrierRequest{}, "BARRIER_REQUEST"},
	{"queue_get_config_request", "queue_get_config_request", &QueueGetConfigRequest{PortAny}, "QUEUE_GET_CONFIG_REQUEST port=ANY"},
	{"role_request", "role_request", &RoleRequest{Role: RoleMaster, GenerationID: 0x1122334455667788}, "ROLE_REQUEST MASTER generation=1234605616436508552"},
	{"get_async_request", "get_async_request", &GetAsyncRequest{}, "GET_ASYNC_REQUEST"},
	{"set_async", "set_async", &SetAsync{AsyncConfig{[2]uint32{7, 1}, [2]uint32{7, 2}, [2]uint32{15, 4}}}, "SET_ASYNC packet_in=0x7/0x1 port_status=0x7/0x2 flow_removed=0xf/0x4"},
	{"meter_mod", "meter_mod", &MeterMod{MeterModify, MeterKbps | MeterBurst | MeterStats, 9, []Band{
		{Type: BandDrop, Rate: 1000, Burst: 100}, {Type: BandDSCPRemark, Rate: 2000, Burst: 200, PrecLevel: 1}}},
		"METER_MOD MODIFY meter=9 flags=kbps|burst|stats band(drop rate=1000 burst=100 prec_level=0) band(dscp_remark rate=2000 burst=200 prec_level=1)"},
	{"mp_desc", "multipart/desc", &MultipartRequest{Type: MultipartDesc}, "MULTIPART_REQUEST DESC"},
	{"mp_flow", "multipart/flow", &MultipartRequest{Type: MultipartFlow, Records: []Record{
		&FlowStatsRequest{TableAll, PortAny, GroupAny, 1, 3, NewMatch(Exact(EthType, 0x0800))}}},
		"MULTIPART_REQUEST FLOW {table=255 out_port=ANY out_group=0xffffffff cookie=0x1/0x3 match=eth_type=0x800}"},
	{"mp_aggregate", "multipart/aggregate", &MultipartRequest{Type: MultipartAggregate, Records: []Record{
		&FlowStatsRequest{2, 3, 4, 5, 7, NewMatch(Exact(EthType, 0x0800))}}},
		"MULTIPART_REQUEST AGGREGATE {table=2 out_port=3 out_group=0x4 cookie=0x5/0x7 match=eth_type=0x800}"},
	{"mp_port_stats", "multipart/port_stats", &MultipartRequest{Type: MultipartPortStats, Records: []Record{&PortStatsRequest{PortAny}}}, "MULTIPART_REQUEST PORT_STATS {port=ANY}"},
	{"mp_queue", "multipart/queue", &MultipartRequest{Type: MultipartQueue, Records: []Record{&QueueStatsRequest{6, QueueAll}}}, "MULTIPART_REQUEST QUEUE {port=6 queue=0xffffffff}"},
	{"mp_group", "multipart/group", &MultipartRequest{Type: MultipartGroup, Records: []Record{&GroupStatsRequest{GroupAll}}}, "MULTIPART_REQUEST GROUP {group=0xfffffffc}"},
	{"mp_meter", "multipart/meter", &MultipartRequest{Type: MultipartMeter, Records: []Record{&MeterRequest{MeterAll}}}, "MULTIPART_REQUEST METER {meter=all}"},
	{"mp_meter_config", "multipart/meter_config", &MultipartRequest{Type: MultipartMeterConfig, Records: []Record{&MeterRequest{8}}}, "MULTIPART_REQUEST METER_CONFIG {meter=8}"},
	{"mp_table_features", "multipart/table_features", &MultipartRequest{Type: MultipartTableFeatures}, "MULTIPART_REQUEST TABLE_FEATURES"},
	{"mp_port_desc", "multipart/port_desc", &MultipartRequest{Type: MultipartPortDesc}, "MULTIPART_REQUEST PORT_DESC"},
	{"mp_experimenter", "multipart/experimenter", &MultipartRequest{Type: MultipartExperimenter, Records: []Record{&ExperimenterRecord{ExperimenterONF, 1871, []byte("1234")}}},
		"MULTIPART_REQUEST EXPERIMENTER {experimenter=0x4f4e4600 type=1871 4 bytes}"},
	{"mp_more", "", &MultipartRequest{Type: MultipartTableFeatures, More: true}, "MULTIPART_REQUEST TABLE_FEATURES more"},
}

// counting is n bytes 0, 1, 2 and so on.
func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// readMessages reads testdata/messages.txt: a name and the bytes on each line.
func readMessages(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, e := range readCorpus(t, "messages.txt") {
		all[e.name] = e.msg
	}
	return all
}

func allCases() []messageCase {
	return append(append([]messageCase{}, controllerCases...), switchCases...)
}

// TestMessages compares the three forms of each message with each other, both ways.
func TestMessages(t *testing.T) {
	if *update {
		writeMessages(t)
	}
	known := readMessages(t)
	types := map[Type]bool{}
	for _, c := range allCases() {
		t.Run(c.name, func(t *testing.T) {
			want := known[c.name]
			if c.corpus != "" {
				want = corpusMessage(t, c.corpus)
			}
			if got := Append(nil, 0x01020304, c.value); !bytes.Equal(got, want) {
				t.Errorf("encoded\n got %x\nwant %x", got, want)
			}
			m, xid, err := Decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if f, ok := m.(*FlowMod); ok {
				f.checked = false // that is what Decode adds
			}
			if xid != 0x01020304 || !reflect.DeepEqual(m, c.value) {
				t.Errorf("decoded xid 0x%x\n got %#v\nwant %#v", xid, m, c.value)
			}
			if got := c.value.String(); got != c.text {
				t.Errorf("text\n got %s\nwant %s", got, c.text)
			}
			if m.String() != c.text {
				t.Errorf("text of what was decoded: %s", m)
			}
		})
		types[c.value.MsgType()] = true
	}
	if len(types) != numTypes {
		t.Errorf("%d of the %d message types have a case", len(types), numTypes)
	}
}

func writeMessages(t *testing.T) {
	var b strings.Builder
	for _, c := range allCases() {
		if c.corpus == "" {
			fmt.Fprintf(&b, "%s %s\n", c.name, hex.EncodeToString(Append(nil, 0x01020304, c.value)))
		}
	}
	if err := os.WriteFile("testdata/messages.txt", []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ofctl finds ovs-ofctl, which reads any OpenFlow message given in hex. Without it the test is
// skipped, but fails in CI, where it must be there.
func ofctl(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("ovs-ofctl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v; install openvswitch-switch", err)
		}
		t.Skipf("%v: apt-get install openvswitch-switch", err)
	}
	return path
}

func ofpPrint(t testing.TB, program string, msg []byte) string {
	t.Helper()
	out, err := exec.Command(program, "ofp-print", hex.EncodeToString(msg)).CombinedOutput()
	if err != nil {
		t.Fatalf("ofp-print: %v\n%s", err, out)
	}
	return string(out)
}

// TestOFPPrint has Open vSwitch's own printer read what weir sends as a switch.
func TestOFPPrint(t *testing.T) {
	program := ofctl(t)
	for _, c := range switchCases {
		t.Run(c.name, func(t *testing.T) {
			got := ofpPrint(t, program, Append(nil, 0x01020304, c.value))
			want, ok := ofpPrinted[c.name]
			if !ok {
				t.Fatalf("ofp-print says, and nothing is expected:\n%s", got)
			}
			if strings.Contains(got, "decode error") && c.name != "mpr_experimenter" {
				t.Fatalf("ofp-print cannot read it:\n%s", got)
			}
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("missing %q in\n%s", w, got)
				}
			}
		})
	}
}

// TestPortModConfigOutsideMask: bits that the mask leaves out may be anything.
func TestPortModConfigOutsideMask(t *testing.T) {
	for _, c := range []struct {
		mask PortConfig
		ok   bool
	}{{PortDown, true}, {PortDown | 1<<30, false}} {
		if _, _, err := Decode(Append(nil, 1, &PortMod{Port: 1, Config: PortDown | 1<<30, Mask: c.mask})); (err == nil) != c.ok {
			t.Errorf("mask 0x%x: %v", uint32(c.mask), err)
		}
	}
}
