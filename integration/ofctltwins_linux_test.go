package integration

import (
	"context"
	"errors"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weirswitch/weir/integration/lab"
)

// twins are command lines for ovs-ofctl and "weir ofctl", in an order that makes sense: changes, refused changes, and
// what is read after them. dump-table-features is compared in openflow/ofctl: each switch has fields there that the
// other's tool does not know. BR is the bridge; a line that begins with ~ prints lines in an order that nothing fixes.
var twins = strings.Split(strings.TrimSpace(`
show BR
--names show BR
dump-desc BR
dump-flows BR
del-flows BR
add-group BR group_id=1,type=select,bucket=weight:2,watch_port:p2,output:1,bucket=output:s1-eth4
add-group BR group_id=1,type=all
add-group BR group_id=2,type=ff,bucket=watch_port:1,output:1
add-group BR group_id=3,type=all,bucket=output:1,bucket=output:2
mod-group BR group_id=3,type=all,bucket=output:1
mod-group BR group_id=9,type=all,bucket=output:1
--may-create mod-group BR group_id=9,type=all,bucket=output:1
--may-create mod-group BR group_id=9,type=indirect,bucket=output:2
--may-create mod-group BR group_id=9,type=all,bucket=group:78
--may-create mod-group BR group_id=4294967295,type=all
dump-groups BR
del-groups BR group_id=9
insert-buckets BR group_id=1
remove-buckets BR
dump-table-desc BR
benchmark BR 10 3
benchmark BR 70000 3
benchmark BR 10 0
add-groups BR groups.txt
dump-groups BR
--names dump-groups BR
dump-groups BR 1
dump-group-stats BR
dump-group-stats BR group_id=1
dump-group-stats BR group_id=77
dump-group-features BR
add-meter BR meter=1,kbps,burst,stats,band=type=drop,rate=1000,burst_size=100
add-meter BR meter=1,kbps,band=type=drop,rate=1
add-meter BR meter=2,pktps,band=type=drop,rate=10
mod-meter BR meter=2,pktps,band=type=drop,rate=20
mod-meter BR meter=9,pktps,band=type=drop,rate=20
del-meter BR meter=7
dump-meters BR
dump-meter BR meter=1
dump-meters BR meter=99
meter-stats BR
meter-stats BR meter=1
meter-stats BR meter=99
meter-features BR
add-flow BR table=1,priority=5,tcp,in_port=s1-eth4,tp_dst=80,actions=meter:1,output:p1,resubmit(4,2),write_actions(output:3),goto_table:2
add-flow BR cookie=5,priority=7,ip,nw_dst=10.0.0.1,actions=IN_PORT,CONTROLLER,group:1
add-flow BR cookie=5,priority=7,ip,nw_dst=9.0.0.1,actions=drop
add-flow BR idle_timeout=600,hard_timeout=900,send_flow_rem,priority=65535,arp,arp_tpa=10.0.0.0/24,actions=set_field:1:2:3:4:5:6->eth_dst,LOCAL
add-flow BR check_overlap,priority=7,ip,actions=drop
add-flow BR actions=group:99
add-flow BR table=3,ip,actions=goto_table:2
add-flow BR tcp,actions=outptu:2
add-flow BR tcp
add-flow nobr actions=drop
add-flow BR
add-flow BR actions=drop actions=drop actions=drop
--no-names add-flow BR in_port=p1,actions=drop
--no-names add-flow BR in_port=1,actions=drop
dump-flows BR
--names dump-flows BR
--no-stats dump-flows BR
--no-stats --names dump-flows BR
--sort dump-flows BR
--rsort=priority dump-flows BR
--sort=nw_dst dump-flows BR
--sort=tp_dst --rsort dump-flows BR
--no-names dump-flows BR tcp
dump-flows BR table=1
dump-flows BR tcp,tp_dst=80
dump-flows BR in_port=p1
dump-flows BR out_port=p3
dump-flows BR out_group=1
dump-flows BR cookie=5/-1
dump-flows BR cookie=5
dump-flows BR nosuch=1
dump-flows nobr
dump-aggregate BR
dump-aggregate BR tcp
dump-tables BR
mod-flows BR udp,actions=output:2
--strict mod-flows BR priority=7,ip,nw_dst=9.0.0.1,actions=output:2
--strict mod-flows BR priority=8,ip,nw_dst=9.0.0.1,actions=output:2
mod-flows BR cookie=5/-1,actions=output:3
dump-flows BR
add-flows BR flows.txt
add-flows BR refused.txt
add-flows BR wrong.txt
add-flows BR nofile
dump-flows BR
del-flows BR cookie=5
del-flows BR tcp,out_port=77
--strict del-flows BR priority=7,ip,nw_dst=9.0.0.1
~diff-flows BR other.txt
~diff-flows other.txt BR
diff-flows other.txt other.txt
diff-flows BR BR
del-flows BR table=4
replace-flows BR other.txt
diff-flows BR other.txt
~dump-flows BR
replace-flows BR wrong.txt
mod-port BR p1 down
dump-ports-desc BR
mod-port BR p1 up
mod-port BR 1 no-forward
dump-ports-desc BR p1
mod-port BR p1 forward
mod-port BR p1 no-packet-in
mod-port BR p1 packet-in
mod-port BR p1 no-receive
mod-port BR p1 receive
mod-port BR p9 up
mod-port BR p1 foo
mod-table BR 0 continue
mod-table BR 0 evict
mod-table BR 0 foo
set-frags BR drop
get-frags BR
set-frags BR normal
set-frags BR foo
dump-ports BR
dump-ports BR p1
dump-ports BR 1
dump-ports BR LOCAL
dump-ports BR 77
dump-ports BR p9
--names dump-ports BR
queue-stats BR
queue-stats BR 1
queue-stats BR 77
--names queue-stats BR
queue-get-config BR 1
packet-out BR in_port=1,packet=0102030405060708090a0b0c0d0e0f1011,actions=output:2
packet-out BR in_port=controller,packet=0102030405060708090a0b0c0d0e0f1011,actions=output:p2
packet-out BR LOCAL output:1 0102030405060708090a0b0c0d0e0f1011 0102030405060708090a0b0c0d0e0f1011
packet-out BR LOCAL output:1 01
packet-out BR in_port=1,actions=output:2
packet-out BR in_port=1,packet=0102030405060708090a0b0c0d0e0f1011,actions=group:77
probe BR
probe netdev@BR
probe nobr
ping BR
ping BR 20
ping BR 0
nosuch BR
show
show BR BR
--nosuch show BR
-O OpenFlow99 show BR
-O OpenFlow12 show BR
ofp-print 0414000800000001
ofp-print 04
ofp-print 041400080000000104140008000000010a
ofp-print 0400000800000001
del-groups BR group_id=3
del-groups BR group_id=33
dump-groups BR
del-groups BR
del-meters BR
dump-groups BR
dump-meters BR
del-flows BR
dump-flows BR
`), "\n")

// bundled are changes that all take effect or none.
var bundled = []string{"insert-buckets BR group_id=1,command_bucket_id=last,bucket=output:1", "add-flow BR table=1,ip,actions=meter:99", "--bundle add-flow BR udp,actions=output:1", "--bundle add-flow BR udp,tp_dst=5,actions=group:98",
	"--bundle add-flows BR refused.txt", "dump-flows BR", "--bundle replace-flows BR other.txt", "~dump-flows BR", "del-flows BR",
	"del-groups BR", "--bundle add-group BR group_id=1,type=all,bucket=output:1", "--bundle add-group BR group_id=1,type=all", "--bundle add-groups BR groups.txt",
	"--bundle mod-group BR group_id=1,type=all,bucket=output:2", "--bundle mod-group BR group_id=77,type=all", "dump-groups BR", "bundle BR bundle.txt", "~dump-flows BR",
	"dump-groups BR", "bundle BR badbundle.txt", "bundle BR badout.txt", "bundle BR nobundle.txt", "bundle BR wrong.txt", "bundle BR missing.txt", "bundle BR", "~dump-flows BR",
	"dump-groups BR", "--bundle del-groups BR group_id=1", "dump-groups BR", "--bundle del-groups BR", "dump-groups BR", "dump-flows BR", "del-flows BR"}

// oldTwins is what OpenFlow 1.0 has words of its own for.
var oldTwins = strings.Split(strings.TrimSpace(`
add-flow BR priority=1,table=2,actions=goto_table:3
add-flow BR priority=2,actions=set_tunnel:7,enqueue:1:2,mod_vlan_vid:3,mod_vlan_pcp:2,strip_vlan,1
add-flow BR priority=3,ip,actions=mod_nw_tos:4,mod_nw_ecn:2,mod_nw_src:1.2.3.4,mod_tp_src:80,dec_ttl,mod_nw_ttl:3,load:4->NXM_NX_REG1[3..7],move:NXM_OF_IP_SRC[]->NXM_NX_REG0[]
add-flow BR priority=4,tcp,actions=mod_tp_dst:80,set_field:5->tun_id,set_field:1->ip_dscp,resubmit:3,resubmit(3,4),note:01.02,controller(max_len=5,id=3)
add-flow BR priority=5,mpls,actions=push_mpls:0x8847,set_mpls_label(3),set_mpls_tc(2),set_mpls_ttl(3),dec_mpls_ttl,pop_mpls:0x800
add-flow BR priority=6,cookie=5,idle_timeout=100,send_flow_rem,tun_id=4/0xf,reg0=3,actions=clear_actions
add-flow BR priority=7,dl_vlan=5,dl_vlan_pcp=3,dl_src=00:11:22:33:44:55/ff:ff:ff:00:00:00,actions=mod_dl_dst:00:11:22:33:44:66,NORMAL
add-flow BR priority=8,dl_vlan=0xffff,actions=mod_vlan_vid:7,2
add-flow BR actions=push_vlan:0x8100,1
add-flow BR reset_counts,actions=1
add-flow BR in_port=70000,actions=1
add-flow BR table=2,actions=group:77
mod-flows BR cookie=9,mpls,actions=3
mod-flows BR table=2,cookie=7,actions=4
add-flow BR priority=9,mpls,actions=set_mpls_label(3),set_field:2->mpls_tc
mod-flows BR udp,actions=2
~dump-flows BR
~--no-stats dump-flows BR
~-F openflow10 dump-flows BR
~-F openflow10 --names dump-flows BR
-F nxm dump-aggregate BR
dump-flows BR table=2
mod-port BR p2 no-flood
mod-port BR p3 no-stp
dump-ports-desc BR
mod-port BR p2 flood
mod-port BR p3 stp
dump-table-features BR
~diff-flows BR other.txt
del-flows BR table=0,mpls
~dump-flows BR
del-flows BR
`), "\n")

var (
	counter    = regexp.MustCompile(`\b((?:n_|rx |tx )?(?:packets|pkts|bytes|lookup|matched|packet_count|byte_count|drop)[=:])[0-9]+`)
	ages       = regexp.MustCompile(`idle_age=[0-9]+, (hard_age=[0-9]+, )?`)
	timing     = regexp.MustCompile(`(duration[=:]?[0-9.]+s|time=[0-9.]+ ms|Finished in .*)`)
	localError = regexp.MustCompile(`(?m)^(ovs-ofctl|weir): [^\n]*(\n(weir|\(|  |OFP).*)*`)
	logLine    = regexp.MustCompile(`(?m)^20\d\d-\d\d-\d\dT.*\n?`)
)

// twinBridge is the bridge under both tools.
type twinBridge struct {
	name      string
	scattered bool // tells its flows and groups in an order that changes
}

// tell runs one line of twins and makes its text and exit status comparable: times and counters differ, and a mistake that the
// tool finds by itself weir tells in other words.
func (o twinBridge) tell(b *bed, program []string, line string) (text string, code int) {
	b.t.Helper()
	args := strings.Fields(strings.ReplaceAll(strings.TrimPrefix(line, "~"), "BR", o.name))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := b.Switch.RunCmd(ctx, lab.Cmd{Path: program[0], Args: slices.Concat(program[1:], args), Env: b.env(), Dir: b.Dir()})
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		b.t.Fatal(err)
	}
	out = logLine.ReplaceAllString(out, "")
	out = localError.ReplaceAllString(out, "(says what is wrong)")
	out = strings.ReplaceAll(out, "vlan_tci=0x0000/0x1fff", "vlan_tci=0x0000") // a frame without a tag has no priority either
	out = ages.ReplaceAllString(out, "(ages) ")
	out = timing.ReplaceAllString(out, "(time)")
	out = counter.ReplaceAllString(out, "${1}N")
	if strings.HasPrefix(line, "~") || o.scattered && strings.Contains(line, "dump-") && !strings.Contains(line, "sort") {
		lines := strings.Split(out, "\n")
		slices.Sort(lines)
		out = strings.Join(lines, "\n")
	}
	return strings.TrimSpace(out), code
}

func (o twinBridge) compare(b *bed, version string, lines []string) {
	b.t.Helper()
	b.write("groups.txt", "group_id=5,type=all,bucket=output:1\nmodify group_id=5,type=all,bucket=output:2 # more\n\ndelete group_id=9\n")
	b.write("flows.txt", "table=4,priority=3,tcp,actions=1\n# comment\n\nmodify udp,actions=3 # more\ndelete tcp6\nip,actions=2\n")
	b.write("refused.txt", "tcp,actions=1\nudp,actions=group:98\nicmp,actions=2\n")
	b.write("wrong.txt", "tcp,actions=1\nudp,actions=outp:98\nicmp,actions=2\n")
	b.write("other.txt", "priority=3,tcp,actions=1\nip,actions=2,3\ncookie=0x9,idle_timeout=3000,udp6,actions=drop\n")
	b.write("bundle.txt", "flow table=1,priority=3,in_port=1,actions=drop # one\n\ngroup add group_id=2,type=all,bucket=output:1\n"+
		"packet-out in_port=1,packet=ffffffffffff02000000000188b5,actions=output:2\n  flow add table=1,actions=group:2\ngroup delete group_id=9\n")
	b.write("badbundle.txt", "flow table=2,priority=3,in_port=1,actions=drop\ngroup group_id=1,type=all\ngroup group_id=9,type=all\n")
	b.write("badout.txt", "flow table=2,priority=3,in_port=1,actions=drop\npacket-out in_port=1,packet=ffffffffffff02000000000188b5,actions=group:77\n")
	b.write("nobundle.txt", "meter meter=1\n")
	type answer struct {
		text string
		code int
	}
	real, ours := []string{"ovs-ofctl", "-O", version}, []string{b.bin, "ofctl", "-O", version}
	var want []answer
	for _, line := range lines {
		text, code := o.tell(b, real, line)
		want = append(want, answer{text, code})
	}
	b.ofctl("del-flows", o.name)
	for i, line := range lines {
		text, code := o.tell(b, ours, line)
		if text != want[i].text || code != want[i].code {
			b.t.Errorf("%s\n--- ovs-ofctl, status %d\n%s\n--- weir ofctl, status %d\n%s", line, want[i].code, want[i].text, code, text)
		}
	}
}

// TestOfctlTwinsOnWeir runs ovs-ofctl and then "weir ofctl" through the same life of a weir bridge.
func TestOfctlTwinsOnWeir(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	b.mustLinks()
	b.start1("--dpid", "00000000000000ab", "--table-miss", "drop", "--port", "1:p1", "--port", "2:p2", "--port", "3:p3", "--port", "4:s1-eth4")
	t.Run("OpenFlow13", func(t *testing.T) {
		b.at(t, func() { twinBridge{name: "br0"}.compare(b, "OpenFlow13", slices.Concat(twins, bundled)) })
	})
	t.Run("OpenFlow10", func(t *testing.T) {
		b.at(t, func() { twinBridge{name: "br0"}.compare(b, "OpenFlow10", slices.Concat(twins, oldTwins)) })
	})
}

// at runs part of a test under another name.
func (b *bed) at(t *testing.T, do func()) {
	was := b.t
	b.t = t
	defer func() { b.t = was }()
	do()
}

// mustLinks makes the devices of the ports.
func (b *bed) mustLinks() {
	b.t.Helper()
	for i, name := range []string{"p1", "p2", "p3", "s1-eth4"} {
		if _, err := b.AddHostAt(b.Switch, "h"+name, name, 0, "10.0.0."+string(rune('1'+i))+"/24"); err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestOfctlTwinsOnOpenVSwitch does the same with a bridge of Open vSwitch: "weir ofctl" is a tool for any switch.
func TestOfctlTwinsOnOpenVSwitch(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	o := b.startOVS("--enable-dummy=override", "-vconsole:off", "-vsyslog:off")
	o.vsctl("add-br", "ovs0", "--", "set", "bridge", "ovs0", "datapath_type=dummy", "fail-mode=secure", "protocols=OpenFlow10,OpenFlow13,OpenFlow14")
	for i, name := range []string{"p1", "p2", "p3", "s1-eth4"} {
		o.vsctl("add-port", "ovs0", name, "--", "set", "interface", name, "type=dummy", "ofport_request="+string(rune('1'+i)))
	}
	t.Run("OpenFlow13", func(t *testing.T) {
		b.at(t, func() { twinBridge{"ovs0", true}.compare(b, "OpenFlow13", slices.Concat(twins, bundled)) })
	})
	t.Run("OpenFlow10", func(t *testing.T) {
		b.at(t, func() { twinBridge{"ovs0", true}.compare(b, "OpenFlow10", slices.Concat(twins, oldTwins)) })
	})
}

// TestOfctlWithoutVersion: a bridge that has nothing but OpenFlow 1.0 is spoken to in that, without -O.
func TestOfctlWithoutVersion(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	o := b.startOVS("--enable-dummy=override", "-vconsole:off", "-vsyslog:off")
	o.vsctl("add-br", "ovs0", "--", "set", "bridge", "ovs0", "datapath_type=dummy", "fail-mode=secure", "protocols=OpenFlow10")
	for _, words := range [][]string{{"add-flow", "ovs0", "table=3,tcp,actions=mod_nw_tos:4,LOCAL"}, {"show", "ovs0"}, {"--no-stats", "dump-flows", "ovs0"}} {
		want := b.must("ovs-ofctl", words...)
		if got, err := b.try(b.bin, append([]string{"ofctl"}, words...)...); got != want || err != nil {
			t.Errorf("%s: %v\n%s\novs-ofctl says\n%s", words, err, got, want)
		}
	}
}
