package agent

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// The bridge BR and the files are words of the commands below; PLAIN has flows of table 0 alone.

// ofctlCase is a command of the real ovs-ofctl, what it must print and how it must end. Both hold
// without -O and with -O OpenFlow13, unless want13 or fails differ.
type ofctlCase struct {
	args           string // words, of which BR is the bridge and FILE a file with flows
	want10, want13 string // regular expressions
	fails10        bool
	fails13        bool
	only           string // "10" or "13": not with the other version
}

// Flows and a port's words that several commands print.
const (
	flowHead10 = `(?m)^NXST_FLOW reply \(xid=0x\w+\):$`
	flowHead13 = `(?m)^OFPST_FLOW reply \(OF1.3\) \(xid=0x\w+\):$`
)

var ofctlCases = []ofctlCase{
	{args: "show BR", want10: `(?s)OFPT_FEATURES_REPLY \(xid=0x\w+\): dpid:0{15}1\nn_tables:254, n_buffers:0\ncapabilities: FLOW_STATS TABLE_STATS PORT_STATS IP_REASM QUEUE_STATS ARP_MATCH_IP\nactions: output enqueue.* 1\(p1\): addr:.*GET_CONFIG_REPLY.*frags=normal`,
		want13: `(?s)OFPT_FEATURES_REPLY \(OF1.3\).*n_tables:254.*OFPST_PORT_DESC reply \(OF1.3\).* 1\(p1\): addr:.*state:      LIVE.*frags=normal`},
	{args: "add-flow BR table=1,priority=5,in_port=1,actions=output:2"},
	{args: "add-flow BR in_port=p1,actions=output:p2"},
	{args: "add-flows BR FILE"},
	{args: "dump-flows BR", want10: flowHead10, want13: flowHead13},
	{args: "dump-flows BR", want10: ` table=1, n_packets=0, n_bytes=0, (idle_age=0, )?priority=5,in_port=(1|p1) actions=output:(2|p2)`, want13: ` table=1, n_packets=0, n_bytes=0, (reset_counts )?priority=5,in_port=(1|p1) actions=output:(2|p2)`},
	{args: "dump-flows BR table=1", want10: `priority=5,in_port`, want13: `priority=5,in_port`},
	{args: "dump-flows BR out_port=3", want10: `actions=output:(3|p3)`, want13: `actions=output:(3|p3)`},
	{args: "dump-flows BR cookie=0x9/-1", want10: `cookie=0x9`, want13: `cookie=0x9`},
	{args: "--no-stats dump-flows BR table=1", want10: `(?m)^ table=1, (idle_age=0, )?priority=5,in_port=(1|p1) actions=output:(2|p2)$`, want13: `(?m)^ table=1, (reset_counts )?priority=5,in_port=(1|p1) actions=output:(2|p2)$`},
	{args: "dump-aggregate BR", want10: `NXST_AGGREGATE reply \(xid=0x\w+\): packet_count=0 byte_count=0 flow_count=5`, want13: `OFPST_AGGREGATE reply \(OF1.3\).*flow_count=5`},
	{args: "dump-tables BR", want10: `(?s)OFPST_TABLE reply \(xid=0x\w+\):\n  table 0:\n    active=`, want13: `(?s)OFPST_TABLE reply \(OF1.3\).*table 0.*active=`},
	{args: "dump-table-features BR", fails10: true, want10: `needs OpenFlow 1.3 or later`, want13: `(?s)^  table 0:\n    metadata: match=0xf+ write=0xf+\n.*supported on Set-Field: tun_id eth_.*tables 1...252: ditto`},
	{args: "dump-ports BR", want10: `3 ports\n  port  ?"?(1|p1)"?: rx pkts=0`, want13: `3 ports\n  port  ?"?(1|p1)"?: rx pkts=0`},
	{args: "dump-ports BR 2", want10: `1 ports\n  port  ?"?(2|p2)"?: rx`, want13: `1 ports\n  port  ?"?(2|p2)"?: rx`},
	{args: "dump-ports BR 77", want10: `0 ports`, want13: `0 ports`},
	{args: "dump-ports-desc BR", want10: `OFPST_PORT_DESC reply \(xid=0x\w+\):\n 1\(p1\)`, want13: `OFPST_PORT_DESC reply \(OF1.3\) \(xid=0x\w+\):\n 1\(p1\)`},
	{args: "dump-desc BR", want10: `DP Description: br0`, want13: `DP Description: br0`},
	{args: "add-group BR group_id=7,type=select,bucket=weight:5,watch_port:1,output:1,bucket=output:2"},
	{args: "dump-groups BR", want10: `NXST_GROUP_DESC reply[^\n]*\n group_id=7,type=select,bucket=bucket_id:0,weight:5,watch_port:"?(1|p1)"?,actions=output:"?(1|p1)"?,bucket=bucket_id:1,actions=output:"?(2|p2)"?`,
		want13: `OFPST_GROUP_DESC reply \(OF1.3\)[^\n]*\n group_id=7,type=select,bucket=weight:5,watch_port:"?(1|p1)"?,actions=output:"?(1|p1)"?,bucket=actions=output:"?(2|p2)"?`},
	{args: "mod-group BR group_id=7,type=select,bucket=output:2"},
	{args: "dump-group-stats BR", want10: `NXST_GROUP reply[^\n]*\n group_id=7,duration=`, want13: `OFPST_GROUP reply \(OF1.3\)[^\n]*\n group_id=7,duration=`},
	{args: "dump-group-stats BR group_id=8", want10: `NXST_GROUP reply`, want13: `OFPST_GROUP reply`},
	{args: "dump-group-features BR", want10: `NXST_GROUP_FEATURES reply.*\n Group table:\n    Types:  0xf`, want13: `OFPST_GROUP_FEATURES reply \(OF1.3\).*\n Group table:\n    Types:  0xf`},
	{args: "add-flow BR priority=6,actions=group:7"},
	{args: "del-groups BR", want10: "", want13: ""},
	{args: "add-flow BR actions=group:99", fails10: true, fails13: true, want10: `OFPT_ERROR \(xid=0x\w+\): OFPBAC_BAD_OUT_GROUP\nOFPT_FLOW_MOD \(xid=0x\w+\): ADD .*actions=group:99`,
		want13: `OFPT_ERROR \(OF1.3\) \(xid=0x\w+\): OFPBAC_BAD_OUT_GROUP\nOFPT_FLOW_MOD \(OF1.3\) \(xid=0x\w+\): ADD .*actions=group:99`},
	{args: "add-meter BR meter=3,kbps,bands=type=drop,rate=1000", fails10: true, want10: `OpenFlow13`},
	{args: "dump-meters BR", fails10: true, want10: `.`, want13: `meter=3 kbps bands=\ntype=drop rate=1000`},
	{args: "meter-stats BR", fails10: true, want10: `.`, want13: `meter:3 flow_count:0`},
	{args: "meter-features BR", fails10: true, want10: `.`, want13: `band_types: drop`},
	{args: "del-meters BR", fails10: true, want10: `.`},
	{args: "queue-stats BR", want10: `OFPST_QUEUE reply \(xid=0x\w+\): 0 queues`, want13: `OFPST_QUEUE reply \(OF1.3\).*0 queues`},
	{args: "queue-stats BR 1 5", want10: `OFPQOFC_BAD_QUEUE`, want13: `OFPQOFC_BAD_QUEUE`},
	{args: "queue-get-config BR 1", want10: `OFPT_QUEUE_GET_CONFIG_REPLY \(xid=0x\w+\):`, want13: `OFPT_QUEUE_GET_CONFIG_REPLY \(OF1.3\) \(xid=0x\w+\):`},
	{args: "get-frags BR", want10: `^normal\n$`, want13: `^normal\n$`},
	{args: "set-frags BR drop"},
	{args: "get-frags BR", want10: `^drop\n$`, want13: `^drop\n$`},
	{args: "set-frags BR normal"},
	{args: "mod-flows BR table=1,in_port=1,actions=output:3"},
	{args: "dump-flows BR table=1", want10: `actions=output:"?(3|p3)`, want13: `actions=output:"?(3|p3)`},
	{args: "--strict del-flows BR table=1,priority=5,in_port=1"},
	{args: "diff-flows BR FILE", fails10: true, fails13: true, want10: `(?m)^-`, want13: `(?m)^-`},
	// As with Open vSwitch: the tool does not find the format by itself when the file names tables.
	{args: "replace-flows BR FILE", only: "10", fails10: true, want10: `switch does not support any of the usable flow formats`},
	{args: "del-flows BR", only: "10"}, // without tables the tool cannot name an entry of another one
	{args: "replace-flows BR PLAIN", only: "10"},
	{args: "diff-flows BR PLAIN", only: "10", want10: `^$`},
	{args: "replace-flows BR FILE", only: "13"},
	{args: "diff-flows BR FILE", only: "13", want13: `^$`},
	{args: "mod-port BR 1 no-flood"},
	{args: "mod-port BR 1 down"},
	{args: "dump-ports-desc BR", want10: `config:     PORT_DOWN NO_FLOOD`, want13: `config:     PORT_DOWN\n`},
	{args: "mod-port BR p1 up"},
	{args: "mod-port BR 1 flood"},
	{args: "mod-port BR 77 down", fails10: true, fails13: true, want10: `couldn't find|77`, want13: `couldn't find|77`},
	{args: "mod-table BR 0 drop", fails10: true, fails13: true, want10: `requires one of the OpenFlow versions`, want13: `requires one of the OpenFlow versions|OpenFlow`},
	{args: "packet-out BR in_port=1,packet=ffffffffffff02000000000188880102030405060708,actions=output:2"},
	{args: "ping BR 100", want10: `100 bytes from BR: xid=\w+ time=`, want13: `100 bytes from BR: xid=\w+ time=`},
	{args: "probe BR", want10: `^$`, want13: `^$`},
	{args: "dump-ipfix-bridge BR", want10: `OFPT_ERROR \(xid=0x\w+\): OFPBRC_BAD_SUBTYPE`, want13: `OFPT_ERROR \(OF1.3\).*OFPBRC_BAD_SUBTYPE`},
	{args: "ct-flush-zone BR 5", fails10: true, fails13: true, want10: `OFPBRC_BAD_SUBTYPE`, want13: `OFPBRC_BAD_SUBTYPE`},
	{args: "del-flows BR"},
	{args: "--names dump-flows BR", want10: `^$`, want13: `^$`},
}

// TestOvsOfctlEveryCommand runs them all, in their order, on both versions, with names and without.
func TestOvsOfctlEveryCommand(t *testing.T) {
	for _, version := range []string{"", "OpenFlow13"} {
		for _, names := range []string{"--names", "--no-names"} {
			o := newOvsOfctl(t)
			o.version = version
			o.bench(3)
			o.run("--names", "del-flows", "br0")
			file := o.dir + "/flows"
			if err := os.WriteFile(file, []byte("table=2,cookie=9,priority=3,ip,in_port=1,actions=output:3\n\n# nothing\npriority=8,arp,actions=drop\npriority=9,udp,actions=NORMAL\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file+".plain", []byte("priority=3,ip,in_port=1,actions=output:3\npriority=8,arp,actions=drop\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, c := range ofctlCases {
				c.try(t, o, names, file)
			}
		}
	}
}

func (c *ofctlCase) try(t *testing.T, o *ovsOfctl, names, file string) {
	t.Helper()
	want, fails, only := c.want10, c.fails10, "10"
	if o.version != "" {
		want, fails, only = c.want13, c.fails13, "13"
	}
	if c.only != "" && c.only != only {
		return
	}
	given := names
	if strings.HasPrefix(c.args, "--names") || strings.Contains(want, "reply") && names == "--names" {
		given = "--no-names" // names take the header away
	}
	line := c.args
	if names == "--no-names" {
		line = strings.NewReplacer("p1", "1", "p2", "2").Replace(line)
	}
	args := []string{given}
	for _, w := range strings.Fields(line) {
		switch w {
		case "BR":
			w = "br0"
		case "FILE":
			w = file
		case "PLAIN":
			w = file + ".plain"
		}
		args = append(args, w)
	}
	out, err := o.try(args...)
	if (err != nil) != fails {
		t.Errorf("-O %q %v: %v\n%s", o.version, args, err, out)
	}
	if !regexp.MustCompile(strings.ReplaceAll(want, "from BR", "from br0")).MatchString(out) || strings.Contains(out, "decode error") {
		t.Errorf("-O %q %v\n want %s\n got\n%.2000s", o.version, args, want, out)
	}
}

// TestOvsOfctlTransports reaches a bridge by tcp and ssl, too, on both versions, though its controllers
// are held to 1.3.
func TestOvsOfctlTransports(t *testing.T) {
	o := newOvsOfctl(t)
	files := initLab(t, o.dir)
	b := newBench(t, 1, func(c *BridgeConfig, e *Env) {
		c.TLS, c.Protocols = files, []string{"OpenFlow13"}
		c.Listen = []Target{{Scheme: "ptcp", Host: "127.0.0.1"}, {Scheme: "pssl", Host: "127.0.0.1"}}
		e.Clock, e.RunDir = NewClock(), o.dir
	})
	keys := []string{"-p", o.dir + "/controller-key.pem", "-c", o.dir + "/controller.pem", "-C", o.dir + "/ca.pem"}
	targets := []string{"unix:" + o.dir + "/br0.mgmt"}
	for _, l := range b.sw.Status().Listeners {
		if scheme, port, ok := strings.Cut(l, ":"); ok && scheme != "punix" {
			port, _, _ = strings.Cut(port, ":")
			targets = append(targets, scheme[1:]+":127.0.0.1:"+port)
		}
	}
	if len(targets) != 3 {
		t.Fatalf("targets %q", targets)
	}
	for _, target := range targets {
		for _, o.version = range []string{"", "OpenFlow13"} {
			for _, args := range [][]string{{"add-flow", target, "priority=4,ip,actions=output:1"}, {"show", target}, {"ping", target, "64"}, {"del-flows", target, "ip"}} {
				if out, err := o.try(append(slices.Clone(keys), args...)...); err != nil || strings.Contains(out, "WARN") {
					t.Errorf("-O %q %v: %v\n%s", o.version, args, err, out)
				}
			}
			if out := o.run(append(slices.Clone(keys), "dump-flows", target)...); strings.Count(out, "\n") != 2 {
				t.Errorf("-O %q %s:\n%s", o.version, target, out)
			}
		}
	}
}

// TestOvsOfctl100000Flows: a dump is read to its last line, on both versions, with the entries that the
// tool has no words for among them.
func TestOvsOfctl100000Flows(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const n = 100_000
	o := newOvsOfctl(t)
	b := o.bench(1)
	out := openflow.NewInstructions(openflow.ApplyActions(openflow.Output(1)))
	for i := range uint64(n) {
		m := &openflow.FlowMod{BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny, Priority: 100, Instructions: out,
			Match: openflow.NewMatch(openflow.Exact(openflow.EthType, 0x86dd), openflow.Exact128(openflow.IPv6Dst, 0x20010db800000000, i))}
		if i == n/2 {
			m.Priority, m.Match = 200, openflow.NewMatch(openflow.Exact(openflow.InPort, 1), openflow.Exact(openflow.InPhyPort, 7))
		}
		if _, err := b.sw.pipe.FlowMod(0, m); err != nil {
			t.Fatal(err)
		}
	}
	b.sw.pipe.Publish()
	for version, want := range map[string]int{"": n + 1, "OpenFlow13": n} { // and the table-miss entry
		o.version = version
		dump := o.run("dump-flows", "br0")
		if got := strings.Count(dump, "actions="); got != want {
			t.Errorf("-O %q: %d entries, want %d", version, got, want)
		}
		if odd := strings.Contains(dump, "decode error"); odd == (version == "") {
			t.Errorf("-O %q: hex dump %t", version, odd)
		}
		if version == "" && !strings.Contains(dump, "priority=200,in_port=1 actions=note:") {
			t.Error("-O \"\": the entry that 1.0 has no words for is not there")
		}
	}
}
