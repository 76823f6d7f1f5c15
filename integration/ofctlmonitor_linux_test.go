package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weirswitch/weir/integration/lab"
)

// monitors are the words of "monitor" in either program.
var monitors = []struct {
	name, version string
	words         []string
	says          []string // beside what is compared
}{
	{"default", "OpenFlow13", []string{"monitor", "BR", "65534"},
		[]string{"NXT_PACKET_IN2 (OF1.3)", "reg1=0x5,metadata=0x7,in_port=2", "reason=delete table_id=5", "OFPT_PORT_STATUS (OF1.3)"}},
	{"default", "OpenFlow10", []string{"monitor", "BR", "65534"},
		[]string{"NXT_PACKET_IN2 (xid=0x0)", "reg1=0x5,metadata=0x7,in_port=2", "OFPT_FLOW_REMOVED (xid=0x0)", "NO_FWD"}},
	{"packet_in2", "OpenFlow13", []string{"-P", "nxt_packet_in2", "monitor", "BR", "100"},
		[]string{"NXT_PACKET_IN2 (OF1.3)"}},
	{"packet_in2", "OpenFlow10", []string{"-Pnxt_packet_in2", "monitor", "BR", "100"},
		[]string{"NXT_PACKET_IN2 (xid=0x0)"}},
	{"packet_in", "OpenFlow10", []string{"--packet-in-format=nxt_packet_in", "monitor", "BR", "65534"},
		[]string{"NXT_PACKET_IN (xid=0x0)", "reg1=0x5,metadata=0x7,in_port=2"}},
	{"standard", "OpenFlow13", []string{"-P", "standard", "monitor", "BR", "65534"},
		[]string{"OFPT_PACKET_IN (OF1.3)", "table_id=2 cookie=0x77"}},
	{"standard", "OpenFlow10", []string{"-P", "standard", "monitor", "BR", "65534", "invalid_ttl"},
		[]string{"OFPT_PACKET_IN (xid=0x0)"}},
	{"watch", "OpenFlow13", []string{"monitor", "BR", "65534", "watch:!initial,table=5"},
		[]string{"ONFST_FLOW_MONITOR reply (OF1.3)", "event=ADDED table=5"}},
	{"watch", "OpenFlow10", []string{"monitor", "BR", "65534", "watch:!initial,table=5"},
		[]string{"NXST_FLOW_MONITOR reply (xid=0x0)", "event=DELETED reason=delete table=5"}},
}

// TestOfctlMonitorTwins runs "monitor" of both programs side by side, on a bridge of weir and one of Open vSwitch: what they
// are told is told alike.
func TestOfctlMonitorTwins(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	b.mustLinks()
	b.start1("--dpid", "00000000000000ab", "--table-miss", "drop", "--port", "1:p1", "--port", "2:p2", "--port", "3:p3")
	o := b.startOVS("--enable-dummy=override", "-vconsole:off", "-vsyslog:off")
	o.vsctl("add-br", "ovs0", "--", "set", "bridge", "ovs0", "datapath_type=dummy", "fail-mode=secure", "protocols=OpenFlow10,OpenFlow13")
	for i, name := range []string{"p1", "p2", "p3"} {
		o.vsctl("add-port", "ovs0", name, "--", "set", "interface", name, "type=dummy", "ofport_request="+string(rune('1'+i)))
	}
	for _, bridge := range []string{"br0", "ovs0"} {
		for _, m := range monitors {
			t.Run(bridge+"/"+m.version+"/"+m.name, func(t *testing.T) {
				b.at(t, func() { b.compareMonitors(bridge, m.version, m.words, m.says) })
			})
		}
	}
}

func (b *bed) compareMonitors(bridge, version string, words, says []string) {
	b.t.Helper()
	words = slices.Clone(words)
	words[slices.Index(words, "BR")] = bridge
	start := func(path string, args ...string) *lab.Proc {
		p, err := b.Start(lab.Cmd{Path: path, Args: slices.Concat(args, []string{"-O", version}, words), Env: b.env()})
		if err != nil {
			b.t.Fatal(err)
		}
		return p
	}
	real, ours := start("ovs-ofctl"), start(b.bin, "ofctl")
	defer real.Kill()
	defer ours.Kill()
	b.mark(bridge, "88b6", real, ours)
	for _, args := range [][]string{
		{"add-flow", bridge, "table=2,cookie=0x77,actions=load:5->NXM_NX_REG1[],load:7->OXM_OF_METADATA[],controller(max_len=20)"},
		{"add-flow", bridge, "table=5,cookie=0x78,send_flow_rem,udp,tp_dst=81,actions=output:2"},
		{"add-flow", bridge, "table=6,priority=9,send_flow_rem,arp,actions=drop"},
		{"add-flow", bridge, "table=7,ip,actions=dec_ttl,output:2"},
		{"packet-out", bridge, "in_port=1 packet=" + taggedUDP + " actions=CONTROLLER"},
		{"packet-out", bridge, "in_port=2 packet=" + taggedUDP + " actions=resubmit(,2)"},
		{"packet-out", bridge, "in_port=2 packet=" + lastHopUDP + " actions=resubmit(,7)"},
		{"del-flows", bridge, "table=5"},
		{"--strict", "del-flows", bridge, "table=6,priority=9,arp"},
		{"mod-port", bridge, "p3", "no-forward"},
		{"mod-port", bridge, "p3", "forward"},
	} {
		b.ofctl(args...)
	}
	b.mark(bridge, "88b7", real, ours)
	b.ofctl("del-flows", bridge)
	want, got := told(real.Output()), told(ours.Output())
	if want != got {
		b.t.Errorf("ovs-ofctl says\n%s\nweir ofctl says\n%s", want, got)
	}
	wants(b.t, "monitor", got, says...)
}

const (
	taggedUDP  = "02000000000202000000000181006005080045000024000000004011f9c20a0000010a0000020050005100100000aabbccddeeff0011"
	lastHopUDP = "0200000000020200000000010800450000240000000001113ac70a0000010a0000020050005100100000aabbccddeeff0011"
)

// mark sends frames of an Ethernet type to the controllers until each program has shown one.
func (b *bed) mark(bridge, ethType string, programs ...*lab.Proc) {
	b.t.Helper()
	eventually(b.t, "frames of type "+ethType, func() error {
		b.ofctl("packet-out", bridge, "in_port=1 packet=020000000002020000000001"+ethType+"00000000 actions=CONTROLLER")
		for _, p := range programs {
			if !strings.Contains(p.Output(), "dl_type=0x"+ethType) {
				return fmt.Errorf("%s", p.Output())
			}
		}
		return nil
	})
}

var durations = regexp.MustCompile(`duration[0-9.]+s`)

// told is what a program said between the marks, without times.
func told(out string) string {
	out = durations.ReplaceAllString(out, "duration?")
	if i := strings.LastIndex(out, "dl_type=0x88b6\n"); i >= 0 {
		out = out[i+len("dl_type=0x88b6\n"):]
	}
	if i := strings.Index(out, "dl_type=0x88b7"); i >= 0 {
		out = out[:i]
	}
	return out
}
