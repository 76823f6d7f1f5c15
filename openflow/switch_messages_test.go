package openflow

// What a switch sends: the Go value and its text. ofpPrinted is what Open vSwitch's printer must
// find in the same bytes.

var testPort = Port{No: 3, HWAddr: testMAC, Name: "eth3", Config: PortNoRecv | PortNoFwd, State: PortLinkDown,
	Curr: Feature1GbFD | FeatureCopper, Advertised: Feature10GbFD, Supported: Feature10GbFD | FeatureFiber, Peer: Feature100MbFD, CurrSpeed: 1000000, MaxSpeed: 10000000}

const testPortText = "3(eth3) addr=12:34:56:78:9a:bc config=NO_RECV|NO_FWD state=LINK_DOWN speed=1000000/10000000kbps"

var localPort = Port{No: PortLocal, HWAddr: testMAC, Name: "br0", State: PortLive}

var testInstructions = NewInstructions(
	Instruction{Type: InstructionMeter, Meter: 1}, ApplyActions(SetField(EthDst, 0x020000000009), Output(2), Output(PortController)),
	Instruction{Type: InstructionClearActions}, WriteActions(Group(7)), Instruction{Type: InstructionWriteMetadata, Metadata: 0xde00, MetadataMask: 0xff00}, GotoTable(1))

// eightProperties is the least that a record of TABLE_FEATURES may hold.
func eightProperties() []TableProperty {
	all := []InstructionType{InstructionGotoTable, InstructionWriteMetadata, InstructionWriteActions, InstructionApplyActions, InstructionClearActions, InstructionMeter}
	return []TableProperty{
		{Type: PropInstructions, Instructions: all}, {Type: PropNextTables, Tables: []uint8{1, 2, 3}},
		{Type: PropWriteActions, Actions: []ActionType{ActionOutput, ActionGroup, ActionSetField}},
		{Type: PropApplyActions, Actions: []ActionType{ActionOutput, ActionPushVLAN, ActionDecNwTTL}},
		{Type: PropMatch, Fields: []TableField{{InPort, false}, {EthDst, true}, {IPv6Src, true}}},
		{Type: PropWildcards, Fields: []TableField{{InPort, false}, {EthDst, false}}},
		{Type: PropWriteSetField, Fields: []TableField{{VLANVID, false}}}, {Type: PropApplySetField},
	}
}

var switchCases = []messageCase{
	{"error", "error", &Error{Type: ErrBadMatch, Code: BMCBadPrereq, Data: counting(16)}, "ERROR OFPBMC_BAD_PREREQ data=16 bytes"},
	{"error_dup_inst", "", &Error{Type: ErrExperimenter, Code: ONFDuplicateInstruction, Experimenter: ExperimenterONF, Data: []byte{4, 20, 0, 8, 0, 0, 0, 1}}, "ERROR OFPBIC_DUP_INST data=8 bytes"},
	{"echo_reply", "echo_reply", &EchoReply{[]byte("pong")}, "ECHO_REPLY 4 bytes"},
	{"features_reply", "", &FeaturesReply{DatapathID: 0x00001234567890ab, NBuffers: 256, NTables: 254, AuxiliaryID: 1,
		Capabilities: CapFlowStats | CapTableStats | CapPortStats | CapGroupStats | CapIPReasm | CapQueueStats | CapPortBlocked},
		"FEATURES_REPLY dpid=00001234567890ab tables=254 buffers=256 aux=1 capabilities=FLOW_STATS|TABLE_STATS|PORT_STATS|GROUP_STATS|IP_REASM|QUEUE_STATS|PORT_BLOCKED"},
	{"get_config_reply", "", &GetConfigReply{SwitchConfig{FragDrop, 0xffff}}, "GET_CONFIG_REPLY frags=drop miss_send_len=65535"},
	{"packet_in", "", &PacketIn{BufferID: NoBuffer, TotalLen: 1500, Reason: ReasonAction, TableID: 3, Cookie: 0x77,
		Match: NewMatch(Exact(InPort, 9), Exact(Metadata, 5), Exact(TunnelID, 6)), Data: counting(60)},
		"PACKET_IN action table=3 cookie=0x77 buffer=0xffffffff total_len=1500 match=in_port=9,metadata=0x5,tunnel_id=0x6 data=60 bytes"},
	{"flow_removed", "", &FlowRemoved{Cookie: 0x7, Priority: 9, Reason: RemovedGroupDelete, TableID: 7, DurationSec: 5, DurationNsec: 37000000, IdleTimeout: 1, HardTimeout: 2,
		PacketCount: 3, ByteCount: 4, Match: NewMatch(Exact(EthType, 0x0800), Exact(IPProto, 6), Exact(TCPDst, 81))},
		"FLOW_REMOVED group_delete table=7 priority=9 cookie=0x7 duration=5.037000000s idle=1 hard=2 packets=3 bytes=4 match=eth_type=0x800,ip_proto=6,tcp_dst=81"},
	{"port_status", "", &PortStatus{PortModified, testPort}, "PORT_STATUS MODIFY " + testPortText},
	{"barrier_reply", "", &BarrierReply{}, "BARRIER_REPLY"},
	{"queue_get_config_reply", "", &QueueGetConfigReply{1, []Queue{{0, 1, RateUnset, RateUnset}, {5, 1, 100, 755}}},
		"QUEUE_GET_CONFIG_REPLY port=1 queue(0 port=1 min_rate=unset max_rate=unset) queue(5 port=1 min_rate=10.0% max_rate=75.5%)"},
	{"role_reply", "", &RoleReply{RoleSlave, GenerationUnset}, "ROLE_REPLY SLAVE generation=18446744073709551615"},
	{"get_async_reply", "", &GetAsyncReply{AsyncConfig{[2]uint32{7, 0}, [2]uint32{7, 7}, [2]uint32{15, 0}}}, "GET_ASYNC_REPLY packet_in=0x7/0x0 port_status=0x7/0x7 flow_removed=0xf/0x0"},
	{"mpr_desc", "", reply(MultipartDesc, &Desc{Manufacturer: "weir", Hardware: "software", Software: "0.1", Datapath: "br0", Serial: "7"}),
		`MULTIPART_REPLY DESC {manufacturer="weir" hardware="software" software="0.1" serial="7" datapath="br0"}`},
	{"mpr_flow", "", reply(MultipartFlow,
		&FlowStats{TableID: 2, DurationSec: 5, DurationNsec: 971000000, Priority: 100, IdleTimeout: 60, HardTimeout: 600, Flags: FlowSendRemoved, Cookie: 0x10, PacketCount: 6, ByteCount: 600,
			Match: NewMatch(Exact(InPort, 1), Exact(EthType, 0x0800)), Instructions: testInstructions}, &FlowStats{}),
		"MULTIPART_REPLY FLOW {table=2 priority=100 cookie=0x10 duration=5.971000000s idle=60 hard=600 flags=send_flow_rem packets=6 bytes=600 match=in_port=1,eth_type=0x800 " +
			"instructions=meter:1,apply_actions(set_field:eth_dst=02:00:00:00:00:09,output:2,output:CONTROLLER:65535),clear_actions,write_actions(group:7),write_metadata:0xde00/0xff00,goto_table:1} " +
			"{table=0 priority=0 cookie=0x0 duration=0.000000000s idle=0 hard=0 flags=0 packets=0 bytes=0 match=any instructions=drop}"},
	{"mpr_aggregate", "", reply(MultipartAggregate, &AggregateStats{12, 1200, 5}), "MULTIPART_REPLY AGGREGATE {packets=12 bytes=1200 flows=5}"},
	{"mpr_table", "", reply(MultipartTable, &TableStats{TableID: 0, ActiveCount: 2, LookupCount: 6, MatchedCount: 5}, &TableStats{TableID: 1, ActiveCount: 3, LookupCount: 7, MatchedCount: 4}), "MULTIPART_REPLY TABLE {table=0 active=2 lookup=6 matched=5} {table=1 active=3 lookup=7 matched=4}"},
	{"mpr_port_stats", "", reply(MultipartPortStats, &PortStats{1, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 5, 53000000}),
		"MULTIPART_REPLY PORT_STATS {port=1 rx=11/13B tx=12/14B dropped=15/16 errors=17/18 duration=5.053000000s}"},
	{"mpr_queue", "", reply(MultipartQueue, &QueueStats{4, 9, 31, 32, 33, 6, 258000000}), "MULTIPART_REPLY QUEUE {port=4 queue=9 packets=32 bytes=31 errors=33 duration=6.258000000s}"},
	{"mpr_group", "", reply(MultipartGroup, &GroupStats{2, 3, 41, 42, 0, 208000000, []BucketStats{{43, 44}, {45, 46}}}, &GroupStats{Group: 7}),
		"MULTIPART_REPLY GROUP {group=2 refs=3 packets=41 bytes=42 duration=0.208000000s buckets=[{43 44} {45 46}]} {group=7 refs=0 packets=0 bytes=0 duration=0.000000000s buckets=[]}"},
	{"mpr_group_desc", "", reply(MultipartGroupDesc, &GroupDesc{GroupTypeFastFailover, 4, []Bucket{
		{0, 2, GroupAny, NewActions(Output(2))}, {0, PortAny, 1, NewActions(Group(1))}}}, &GroupDesc{Group: 7}),
		"MULTIPART_REPLY GROUP_DESC {group=4 type=ff bucket(weight=0 watch_port=2 watch_group=0xffffffff actions=output:2) " +
			"bucket(weight=0 watch_port=ANY watch_group=0x1 actions=group:1)} {group=7 type=all}"},
	{"mpr_group_features", "", reply(MultipartGroupFeatures, &GroupFeatures{0xf, GroupSelectWeight | GroupChaining, [4]uint32{1, 2, 3, 4}, [4]uint32{1, 1 << 22, 0, 1 << 25}}),
		"MULTIPART_REPLY GROUP_FEATURES {types=0xf capabilities=0x5 max=[1 2 3 4] actions=[0x1 0x400000 0x0 0x2000000]}"},
	{"mpr_meter", "", reply(MultipartMeter, &MeterStatistics{1, 2, 6, 600, 5, 1, []BandStats{{4, 400}}}), "MULTIPART_REPLY METER {meter=1 flows=2 packets=6 bytes=600 duration=5.000000001s bands=[{4 400}]}"},
	{"mpr_meter_config", "", reply(MultipartMeterConfig, &MeterConfig{MeterKbps | MeterBurst, 1, []Band{{Type: BandDrop, Rate: 1000, Burst: 100}}}, &MeterConfig{MeterPktps, MeterController, []Band{{Type: BandDSCPRemark, Rate: 50, PrecLevel: 2}}}),
		"MULTIPART_REPLY METER_CONFIG {meter=1 flags=kbps|burst band(drop rate=1000 burst=100 prec_level=0)} {meter=controller flags=pktps band(dscp_remark rate=50 burst=0 prec_level=2)}"},
	{"mpr_meter_features", "", reply(MultipartMeterFeatures, &MeterFeatures{262144, 6, MeterKbps | MeterPktps | MeterBurst | MeterStats, 8, 3}),
		"MULTIPART_REPLY METER_FEATURES {max_meters=262144 band_types=0x6 capabilities=kbps|pktps|burst|stats max_bands=8 max_color=3}"},
	{"mpr_table_features", "", reply(MultipartTableFeatures, &TableFeatures{TableID: 3, Name: "acl", MetadataMatch: 0xff, MetadataWrite: 0xf0, MaxEntries: 1000, Properties: eightProperties()}),
		`MULTIPART_REPLY TABLE_FEATURES {table=3 name="acl" max=1000 metadata=0xff/0xf0 instructions[goto_table write_metadata write_actions apply_actions clear_actions meter] ` +
			`next_tables(3 tables) write_actions[output group set_field] apply_actions[output push_vlan dec_nw_ttl] match[in_port eth_dst/mask ipv6_src/mask] ` +
			`wildcards[in_port eth_dst] write_setfield[vlan_vid] apply_setfield[]}`},
	{"mpr_port_desc", "", reply(MultipartPortDesc, &testPort, &localPort), "MULTIPART_REPLY PORT_DESC {" + testPortText + "} {LOCAL(br0) addr=12:34:56:78:9a:bc config=0 state=LIVE speed=0/0kbps}"},
	{"mpr_flow_monitor", "", reply(MultipartFlowMonitor,
		&FlowUpdate{Event: FlowEventAdded, TableID: 3, Priority: 7, IdleTimeout: 5, HardTimeout: 6, Cookie: 9, Match: NewMatch(Exact(InPort, 3)), Instructions: NewInstructions(GotoTable(8))},
		&FlowUpdate{Event: FlowEventDeleted, Reason: RemovedHardTimeout, Cookie: 1, Match: NewMatch(Exact(InPort, 4))}, &FlowUpdate{Event: FlowEventAbbrev, XID: 0x1234}),
		"MULTIPART_REPLY FLOW_MONITOR {ADDED table=3 priority=7 cookie=0x9 match=in_port=3 instructions=goto_table:8} {DELETED table=0 priority=0 cookie=0x1 match=in_port=4 instructions=drop} {ABBREV xid=0x1234}"},
	{"mpr_experimenter", "", reply(MultipartExperimenter, &ExperimenterRecord{0x123456, 7, []byte("data")}), "MULTIPART_REPLY EXPERIMENTER {experimenter=0x00123456 type=7 4 bytes}"},
}

func reply(t MultipartType, r ...Record) *MultipartReply { return &MultipartReply{Type: t, Records: r} }

var ofpPrinted = map[string][]string{
	"error":                  {"OFPT_ERROR (OF1.3) (xid=0x1020304): OFPBMC_BAD_PREREQ"},
	"error_dup_inst":         {"OFPT_ERROR (OF1.3) (xid=0x1020304): OFPBIC_DUP_INST"},
	"echo_reply":             {"OFPT_ECHO_REPLY", "4 bytes of payload"},
	"features_reply":         {"dpid:00001234567890ab", "n_tables:254, n_buffers:256, auxiliary_id:1", "capabilities: FLOW_STATS TABLE_STATS PORT_STATS GROUP_STATS IP_REASM QUEUE_STATS PORT_BLOCKED"},
	"get_config_reply":       {"frags=drop miss_send_len=65535"},
	"packet_in":              {"OFPT_PACKET_IN", "table_id=3 cookie=0x77 total_len=1500 tun_id=0x6,metadata=0x5,in_port=9 (via action) data_len=60 (unbuffered)", "dl_src=06:07:08:09:0a:0b,dl_dst=00:01:02:03:04:05"},
	"flow_removed":           {"priority=9,tcp,tp_dst=81 reason=group_delete table_id=7 cookie:0x7 duration5.037s idle1 hard2 pkts3 bytes4"},
	"port_status":            {"MOD: 3(eth3): addr:12:34:56:78:9a:bc", "config:     NO_RECV NO_FWD", "state:      LINK_DOWN", "current:    1GB-FD COPPER", "advertised: 10GB-FD", "supported:  10GB-FD FIBER", "peer:       100MB-FD", "speed: 1000 Mbps now, 10000 Mbps max"},
	"barrier_reply":          {"OFPT_BARRIER_REPLY (OF1.3) (xid=0x1020304):"},
	"queue_get_config_reply": {"port=1", "queue 0:", "queue 5: min_rate:10.0% max_rate:75.5%"},
	"role_reply":             {"role=secondary"},
	"get_async_reply":        {"OFPT_GET_ASYNC_REPLY", "PACKET_IN: no_match action invalid_ttl", "PORT_STATUS: add delete modify", "FLOW_REMOVED: idle hard delete group_delete"},
	"mpr_desc":               {"Manufacturer: weir", "Hardware: software", "Software: 0.1", "Serial Num: 7", "DP Description: br0"},
	"mpr_flow": {"cookie=0x10, duration=5.971s, table=2, n_packets=6, n_bytes=600, idle_timeout=60, hard_timeout=600, send_flow_rem priority=100,ip,in_port=1 " +
		"actions=meter:1,set_field:02:00:00:00:00:09->eth_dst,output:2,CONTROLLER:65535,clear_actions,write_actions(group:7),write_metadata:0xde00/0xff00,goto_table:1",
		"cookie=0x0, duration=0s, table=0, n_packets=0, n_bytes=0, priority=0 actions=drop"},
	"mpr_aggregate":      {"packet_count=12 byte_count=1200 flow_count=5"},
	"mpr_table":          {"table 0:\n    active=2, lookup=6, matched=5", "table 1:\n    active=3, lookup=7, matched=4"},
	"mpr_port_stats":     {"rx pkts=11, bytes=13, drop=15, errs=17, frame=19, over=20, crc=21", "tx pkts=12, bytes=14, drop=16, errs=18, coll=22", "duration=5.053s"},
	"mpr_queue":          {"port 4 queue 9: bytes=31, pkts=32, errors=33, duration=6.258s"},
	"mpr_group":          {"group_id=2,duration=0.208s,ref_count=3,packet_count=41,byte_count=42,bucket0:packet_count=43,byte_count=44,bucket1:packet_count=45,byte_count=46", "group_id=7,duration=0s,ref_count=0"},
	"mpr_group_desc":     {"group_id=4,type=ff,bucket=watch_port:2,actions=output:2,bucket=watch_group:1,actions=group:1", "group_id=7,type=all"},
	"mpr_group_features": {"Types:  0xf", "Capabilities:  0x5", "max_groups=0x1", "max_groups=0x4", "actions: output", "actions: group", "actions: set_field"},
	"mpr_meter":          {"meter:1 flow_count:2 packet_in_count:6 byte_in_count:600 duration:5.000000001s bands:", "0: packet_count:4 byte_count:400"},
	"mpr_meter_config":   {"meter=1 kbps burst bands=", "type=drop rate=1000 burst_size=100", "meter=controller pktps bands=", "type=dscp_remark rate=50 prec_level=2"},
	"mpr_meter_features": {"max_meter:262144 max_bands:8 max_color:3", "band_types: drop dscp_remark", "capabilities: kbps pktps burst stats"},
	"mpr_table_features": {`table 3 ("acl"):`, "metadata: match=0xff write=0xf0", "max_entries=1000", "next tables: 1-3", "instructions: meter apply_actions clear_actions write_actions write_metadata goto_table",
		"actions: output group set_field", "supported on Set-Field: vlan_vid", "actions: output push_vlan dec_ttl", "arbitrary mask: eth_dst ipv6_src", "exact match or wildcard: in_port"},
	"mpr_port_desc":    {"3(eth3): addr:12:34:56:78:9a:bc", "LOCAL(br0): addr:12:34:56:78:9a:bc", "state:      LIVE"},
	"mpr_flow_monitor": {" event=ADDED table=3 idle_timeout=5 hard_timeout=6 cookie=0x9 in_port=3 actions=goto_table:8\n", " event=DELETED reason=hard table=0 cookie=0x1 in_port=4\n event=ABBREV xid=0x1234"},
	"mpr_experimenter": {"unknown vendor 0x123456"},
}
