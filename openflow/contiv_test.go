package openflow

import (
	"bytes"
	"net"
	"testing"

	"github.com/contiv/libOpenflow/common"
	"github.com/contiv/libOpenflow/openflow13"
	"github.com/contiv/libOpenflow/util"
)

// libOpenflow is the second opinion of another Go implementation, used where it can be trusted: as
// encoder of some controllers' messages and as decoder of a few of a switch's.

func marshal(t *testing.T, m util.Message) []byte {
	t.Helper()
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func contivFlowMod() *openflow13.FlowMod {
	f := openflow13.NewFlowMod()
	f.Cookie, f.TableId, f.Priority, f.IdleTimeout = 0x77, 2, 300, 9
	f.Match.AddField(*openflow13.NewInPortField(3))
	f.Match.AddField(*openflow13.NewEthDstField(net.HardwareAddr{2, 0, 0, 0, 0, 9}, nil))
	f.Match.AddField(*openflow13.NewEthTypeField(0x0800))
	mask := net.IP{255, 0, 0, 0}
	f.Match.AddField(*openflow13.NewIpProtoField(6))
	f.Match.AddField(*openflow13.NewIpv4DstField(net.IP{10, 0, 0, 0}, &mask))
	f.Match.AddField(*openflow13.NewTcpDstField(80))
	apply := openflow13.NewInstrApplyActions()
	apply.AddAction(openflow13.NewActionSetField(*openflow13.NewEthSrcField(net.HardwareAddr{2, 0, 0, 0, 0, 7}, nil)), false)
	apply.AddAction(openflow13.NewActionPushVlan(0x8100), false)
	apply.AddAction(openflow13.NewActionOutput(4), false)
	f.AddInstruction(apply)
	f.AddInstruction(openflow13.NewInstrGotoTable(5))
	f.AddInstruction(openflow13.NewInstrWriteMetadata(0xab, 0xff))
	return f
}

// TestContivEncodes: what libOpenflow writes as a controller is read as it was meant, and what weir
// writes of it has the same bytes.
func TestContivEncodes(t *testing.T) {
	group := openflow13.NewGroupMod()
	group.Type, group.GroupId = openflow13.OFPGT_SELECT, 9
	bucket := openflow13.NewBucket()
	bucket.Weight = 50
	bucket.AddAction(openflow13.NewActionOutput(2))
	group.AddBucket(*bucket)

	config := openflow13.NewSetConfig()
	config.MissSendLen = 128

	meter := openflow13.NewMeterMod()
	meter.MeterId, meter.Flags = 4, openflow13.OFPMF13_KBPS
	band := &openflow13.MeterBandDrop{MeterBandHeader: *openflow13.NewMeterBandHeader()}
	band.Type, band.Rate, band.BurstSize = openflow13.OFPMBT13_DROP, 1000, 100
	meter.AddMeterBand(band)

	out := openflow13.NewPacketOut()
	out.InPort = openflow13.P_CONTROLLER
	out.AddAction(openflow13.NewActionOutput(openflow13.P_FLOOD))
	out.Data = util.NewBuffer(counting(60))

	for _, c := range []struct {
		name string
		m    util.Message
		text string
	}{
		{"FLOW_MOD", contivFlowMod(), "FLOW_MOD ADD table=2 priority=300 cookie=0x77/0x0 idle=9 hard=0 buffer=0xffffffff out_port=ANY out_group=0xffffffff flags=0 " +
			"match=in_port=3,eth_dst=02:00:00:00:00:09,eth_type=0x800,ip_proto=6,ipv4_dst=10.0.0.0/255.0.0.0,tcp_dst=80 " +
			"instructions=apply_actions(set_field:eth_src=02:00:00:00:00:07,push_vlan:0x8100,output:4),goto_table:5,write_metadata:0xab/0xff"},
		{"GROUP_MOD", group, "GROUP_MOD ADD group=9 type=select bucket(weight=50 watch_port=ANY watch_group=0xffffffff actions=output:2)"},
		{"SET_CONFIG", config, "SET_CONFIG frags=normal miss_send_len=128"},
		{"METER_MOD", meter, "METER_MOD ADD meter=4 flags=kbps band(drop rate=1000 burst=100 prec_level=0)"},
		{"PACKET_OUT", out, "PACKET_OUT in_port=CONTROLLER buffer=0xffffffff actions=output:FLOOD data=60 bytes"},
	} {
		b := marshal(t, c.m)
		m, xid, err := Decode(b)
		if err != nil {
			t.Errorf("%s %x: %v", c.name, b, err)
			continue
		}
		if m.String() != c.text {
			t.Errorf("%s\n got %s\nwant %s", c.name, m, c.text)
		}
		if got := Append(nil, xid, m); !bytes.Equal(got, b) {
			t.Errorf("%s\n got %x\nwant %x", c.name, got, b)
		}
	}
}

// TestContivHello: it announces 1.0 and 1.3, as the switch should find out from its bitmap.
func TestContivHello(t *testing.T) {
	h, err := common.NewHello(4)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := Decode(marshal(t, h))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := Negotiate(NewHello(4), m.(*Hello)); v != 4 || err != nil || !m.(*Hello).HasBitmap {
		t.Errorf("%s: version %d, %v", m, v, err)
	}
}

// TestContivStatsRequest: a FLOW request as its users send it.
func TestContivStatsRequest(t *testing.T) {
	r := openflow13.NewFlowStatsRequest()
	r.TableId = 0xff
	r.Match.AddField(*openflow13.NewInPortField(3))
	mp := &openflow13.MultipartRequest{Header: openflow13.NewOfp13Header(), Type: openflow13.MultipartType_Flow, Body: r}
	mp.Header.Type = openflow13.Type_MultiPartRequest
	m, _, err := Decode(marshal(t, mp))
	if err != nil || m.String() != "MULTIPART_REQUEST FLOW {table=255 out_port=ANY out_group=0xffffffff cookie=0x0/0x0 match=in_port=3}" {
		t.Error(m, err)
	}
}

// TestContivDecodes: what weir writes as a switch is understood there.
func TestContivDecodes(t *testing.T) {
	parse := func(m Message) util.Message {
		got, err := openflow13.Parse(Append(nil, 5, m))
		if err != nil {
			t.Fatalf("%s: %v", m, err)
		}
		return got
	}
	f := parse(&FeaturesReply{DatapathID: 0x1234567890ab, NTables: 254, NBuffers: 7, Capabilities: CapFlowStats}).(*openflow13.SwitchFeatures)
	if f.DPID.String() != "00:00:12:34:56:78:90:ab" || f.NumTables != 254 || f.Buffers != 7 || f.Capabilities != 1 {
		t.Errorf("FEATURES_REPLY: %+v", f)
	}
	if c := parse(&GetConfigReply{SwitchConfig{FragDrop, 99}}).(*openflow13.SwitchConfig); c.Flags != 1 || c.MissSendLen != 99 {
		t.Errorf("GET_CONFIG_REPLY: %+v", c)
	}
	if e := parse(&Error{Type: ErrBadMatch, Code: BMCDupField, Data: counting(64)}).(*openflow13.ErrorMsg); e.Type != 4 || e.Code != 10 {
		t.Errorf("ERROR: %+v", e)
	}
	in := parse(&PacketIn{BufferID: NoBuffer, TotalLen: 60, Reason: ReasonAction, TableID: 2, Cookie: 7, Match: NewMatch(Exact(InPort, 3)), Data: counting(60)}).(*openflow13.PacketIn)
	if in.TotalLen != 60 || in.Reason != 1 || in.TableId != 2 || in.Cookie != 7 || in.Data.HWDst.String() != "00:01:02:03:04:05" {
		t.Errorf("PACKET_IN: %+v", in)
	}
	flow := &FlowStats{TableID: 2, Priority: 5, PacketCount: 6, ByteCount: 7, Match: NewMatch(Exact(InPort, 3)), Instructions: NewInstructions(ApplyActions(Output(4)))}
	r := parse(&MultipartReply{Type: MultipartFlow, Records: []Record{flow}}).(*openflow13.MultipartReply)
	if fs, ok := r.Body[0].(*openflow13.FlowStats); !ok || fs.TableId != 2 || fs.Priority != 5 || fs.PacketCount != 6 || fs.ByteCount != 7 || len(fs.Instructions) != 1 {
		t.Errorf("FLOW reply: %+v", r.Body)
	}
}

// TestContivNumbers compares the numbers both have names for.
func TestContivNumbers(t *testing.T) {
	for name, pair := range map[string][2]uint32{
		"FLOW_MOD": {uint32(TypeFlowMod), openflow13.Type_FlowMod}, "METER_MOD": {uint32(TypeMeterMod), openflow13.Type_MeterMod},
		"OFPP_MAX": {uint32(PortMax), openflow13.P_MAX}, "OFPP_IN_PORT": {uint32(PortInPort), openflow13.P_IN_PORT},
		"OFPP_TABLE": {uint32(PortTable), openflow13.P_TABLE}, "OFPP_NORMAL": {uint32(PortNormal), openflow13.P_NORMAL},
		"OFPP_FLOOD": {uint32(PortFlood), openflow13.P_FLOOD}, "OFPP_ALL": {uint32(PortAll), openflow13.P_ALL},
		"OFPP_CONTROLLER": {uint32(PortController), openflow13.P_CONTROLLER}, "OFPP_LOCAL": {uint32(PortLocal), openflow13.P_LOCAL},
		"OFPG_MAX": {GroupMax, openflow13.OFPG_MAX}, "OFPG_ALL": {GroupAll, openflow13.OFPG_ALL}, "OFPM_MAX": {MeterMax, openflow13.OFPM13_MAX},
		"OFPM_CONTROLLER": {MeterController, openflow13.OFPM13_CONTROLLER}, "OFPM_ALL": {MeterAll, openflow13.OFPM13_ALL},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is 0x%x here and 0x%x there", name, pair[0], pair[1])
		}
	}
}
