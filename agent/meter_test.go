package agent

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// TestMeterMessages: a METER_MOD holds for the frame after the barrier, statistics and configuration
// tell it, and its deletion is told with FLOW_REMOVED before the barrier's answer.
func TestMeterMessages(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	p.features()
	p.send(deleteAll())
	mm := &openflow.MeterMod{Meter: 5, Flags: openflow.MeterPktps | openflow.MeterBurst | openflow.MeterStats,
		Bands: []openflow.Band{{Type: openflow.BandDSCPRemark, Rate: 1, Burst: 1, PrecLevel: 1}, {Type: openflow.BandDrop, Rate: 2, Burst: 2}}}
	p.send(mm)
	p.send(&openflow.FlowMod{Priority: 5, BufferID: openflow.NoBuffer, Cookie: 7, Flags: openflow.FlowSendRemoved, Match: inPort(1),
		Instructions: openflow.NewInstructions(openflow.Instruction{Type: openflow.InstructionMeter, Meter: 5}, openflow.ApplyActions(openflow.Output(2)))})
	p.barrier()
	for i := range 4 {
		b.send(1, frame(2, 1, string(rune('a'+i))))
	}
	b.expect(frame(2, 1, "a"), 2)
	b.expect(frame(2, 1, "b"), 2)
	b.silent(2)
	b.clock.Advance(1500 * time.Millisecond)
	st := p.ask(openflow.MultipartMeter, &openflow.MeterRequest{Meter: openflow.MeterAll})[0].(*openflow.MeterStatistics)
	if st.Meter != 5 || st.FlowCount != 1 || st.PacketCount != 4 || st.ByteCount != 240 || st.DurationSec != 1 || st.DurationNsec != 5e8 ||
		!slices.Equal(st.Bands, []openflow.BandStats{{PacketCount: 1, ByteCount: 60}, {PacketCount: 2, ByteCount: 120}}) {
		t.Errorf("%v", st)
	}
	c := p.ask(openflow.MultipartMeterConfig, &openflow.MeterRequest{Meter: 5})[0].(*openflow.MeterConfig)
	if c.Meter != mm.Meter || c.Flags != mm.Flags || !slices.Equal(c.Bands, mm.Bands) {
		t.Errorf("sent %v, read back %v", mm, c)
	}
	if f := p.ask(openflow.MultipartMeterFeatures)[0].(*openflow.MeterFeatures); f.MaxMeters < 1000 || f.MaxBands < 2 || f.BandTypes != 6 || f.Capabilities != 15 {
		t.Errorf("%v", f)
	}
	p.send(&openflow.MeterMod{Command: openflow.MeterDelete, Meter: openflow.MeterAll})
	if r := expect[*openflow.FlowRemoved](p).m; r.Cookie != 7 || r.Reason != openflow.RemovedDelete || r.PacketCount != 4 {
		t.Errorf("%v", r)
	}
	p.barrier()
	if n := len(p.ask(openflow.MultipartFlow, openflow.AllFlows())) + len(b.sw.Meters()); n != 0 {
		t.Errorf("%d entries and meters are left", n)
	}
}

// TestOvsOfctlMeters types meters with the real tool and compares its dumps with those that
// it prints for Open vSwitch, and with weir's own.
func TestOvsOfctlMeters(t *testing.T) {
	o := newOvsOfctl(t)
	b := o.bench(2)
	for _, m := range []string{
		"meter=4,kbps,stats,bands=type=drop,rate=1000",
		"meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=100",
		"meter=5,kbps,bands=type=drop,rate=1000,type=drop,rate=2000",
		"meter=controller,pktps,bands=type=drop,rate=50",
		"meter=7,pktps,burst,bands=type=dscp_remark,rate=10,burst_size=3,prec_level=2",
	} {
		o.run("add-meter", "br0", m)
	}
	const want = `OFPST_METER_CONFIG reply (OF1.3) (xid=0x2):
meter=1 kbps burst stats bands=
type=drop rate=1000 burst_size=100

meter=4 kbps stats bands=
type=drop rate=1000

meter=5 kbps bands=
type=drop rate=1000
type=drop rate=2000

meter=7 pktps burst bands=
type=dscp_remark rate=10 burst_size=3 prec_level=2

meter=controller pktps bands=
type=drop rate=50
`
	if got := o.run("dump-meters", "br0"); got != want {
		t.Errorf("dump-meters:\n%s\nexpected\n%s", got, want)
	}
	var configs []string
	for _, m := range b.sw.Meters() {
		configs = append(configs, m.Config)
		if want := (BandStatus{Type: "dscp_remark", Rate: 10, Burst: 3, PrecLevel: 2}); m.ID == 7 && (m.Unit != "pktps" || len(m.Bands) != 1 || m.Bands[0] != want) {
			t.Errorf("meter 7 in numbers: %+v", m)
		}
	}
	if got := strings.Join(configs, "\n"); !strings.HasSuffix(want, ":\n"+got) {
		t.Errorf("weir prints\n%s", got)
	}
	o.run("add-flow", "br0", "in_port=1,actions=meter:1,output:2")
	for range 6 {
		b.send(1, make([]byte, 100))
	}
	b.settle()
	got := o.run("meter-stats", "br0", "meter=1")
	stats := regexp.MustCompile(`^OFPST_METER reply \(OF1.3\) \(xid=0x2\):\nmeter:1 flow_count:1 packet_in_count:6 byte_in_count:600 duration:[0-9.]+s bands:\n0: packet_count:0 byte_count:0\n$`)
	if !stats.MatchString(got) {
		t.Errorf("meter-stats:\n%s", got)
	}
	if got := o.run("meter-features", "br0"); !strings.HasSuffix(got, "max_meter:262144 max_bands:8 max_color:0\nband_types: drop dscp_remark\ncapabilities: kbps pktps burst stats\n") {
		t.Errorf("meter-features:\n%s", got)
	}
	o.run("mod-meter", "br0", "meter=1,pktps,bands=type=drop,rate=3")
	if got := o.run("dump-meter", "br0", "meter=1"); !strings.HasSuffix(got, ":\nmeter=1 pktps bands=\ntype=drop rate=3\n") {
		t.Errorf("after mod-meter:\n%s", got)
	}
	for args, code := range map[string]string{
		"add-meter br0 meter=1,kbps,bands=type=drop,rate=1":                          "OFPMMFC_METER_EXISTS",
		"mod-meter br0 meter=9,kbps,bands=type=drop,rate=1":                          "OFPMMFC_UNKNOWN_METER",
		"dump-meter br0 meter=9":                                                     "OFPMMFC_UNKNOWN_METER",
		"meter-stats br0 meter=9":                                                    "OFPMMFC_UNKNOWN_METER",
		"add-flow br0 actions=meter:9,output:1":                                      "OFPMMFC_INVALID_METER",
		"add-meter br0 meter=8,kbps,bands=" + strings.Repeat("type=drop,rate=1,", 9): "OFPMMFC_OUT_OF_BANDS",
	} {
		if out, _ := o.try(strings.Fields(args)...); !strings.Contains(out, code) {
			t.Errorf("%s:\n%s", args, out)
		}
	}
	o.run("del-meter", "br0", "meter=9")
	o.run("del-meters", "br0")
	if got := o.run("dump-meters", "br0"); got != "OFPST_METER_CONFIG reply (OF1.3) (xid=0x2):\n" {
		t.Errorf("after del-meters: %q", got)
	}
	if got := o.run("dump-flows", "br0"); strings.Contains(got, "meter") {
		t.Errorf("the entry outlived its meter:\n%s", got)
	}
}
