package agent

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// corpusLine is a flow as typed, with what the two dumps say of it; empty: refused.
type corpusLine struct{ typed, dump10, dump13 string }

// readTyped10 reads what Open vSwitch 3.1 shows of flows that were typed without -O.
func readTyped10(t *testing.T) (list []corpusLine) {
	t.Helper()
	for _, line := range readLines(t, "../openflow/of10/testdata/typed10.txt") {
		last := len(list) - 1
		if text, ok := strings.CutPrefix(line, "    1.0 "); ok {
			list[last].dump10 = text
		} else if text, ok := strings.CutPrefix(line, "    1.3 "); ok {
			list[last].dump13 = text
		} else if line != "    refused" {
			list = append(list, corpusLine{typed: line})
		}
	}
	return list
}

// readTyped13 reads the flows that were typed with -O OpenFlow13; dump10 may be missing.
func readTyped13(t *testing.T) (list []corpusLine) {
	t.Helper()
	for _, line := range readLines(t, "../openflow/ofctl/testdata/corpus.txt") {
		last := len(list) - 1
		if text, ok := strings.CutPrefix(line, "    => "); ok {
			list[last].dump13, list[last].dump10 = text, text
		} else if text, ok := strings.CutPrefix(line, "    1.0 "); ok {
			list[last].dump10 = text
		} else if !strings.HasPrefix(line, " ") {
			list = append(list, corpusLine{typed: line})
		}
	}
	return list
}

func readLines(t *testing.T, name string) (lines []string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		lines = append(lines, sc.Text())
	}
	return lines
}

// ours is what weir shows other than Open vSwitch, by what was typed; an empty text is as there.
var ours = map[string]corpusLine{
	// Open vSwitch tells of these in an order that ovs-ofctl refuses, and with them refuses the whole reply.
	"priority=2018,in_port=1,actions=write_actions(output:2,group:1,set_queue:3),write_metadata:0xdead/0xffff,goto_table:1": {
		dump10: "priority=2018,in_port=1 actions=load:0xdead->OXM_OF_METADATA[0..15],resubmit(,1)"},
	"priority=2021,ip,in_port=1,actions=meter:1,set_field:1.2.3.4->ip_src,clear_actions,write_actions(output:2),write_metadata:0x1,goto_table:3": {
		dump10: "priority=2021,ip,in_port=1 actions=mod_nw_src:1.2.3.4,load:0x1->OXM_OF_METADATA[],resubmit(,3)"},
	"priority=33,in_port=1,actions=write_metadata:0x12/0xff,goto_table:5": {
		dump10: "priority=33,in_port=1 actions=load:0x12->OXM_OF_METADATA[0..7],resubmit(,5)",
		dump13: "reset_counts priority=33,in_port=1 actions=load:0x12->OXM_OF_METADATA[0..7],resubmit(,5)"},
	// A frame without a tag has no priority either: the mask need not say so.
	"vlan_vid=0,actions=output:1": {dump10: "vlan_tci=0x0000/0x1fff actions=output:1"},
	"vlan_tci=0,actions=output:1": {dump10: "vlan_tci=0x0000/0x1fff actions=output:1"},
	// One thing has one form inside, whichever of several words was typed.
	"priority=2013,in_port=1,actions=enqueue:2:7":                     {dump10: "priority=2013,in_port=1 actions=set_queue:7,output:2,pop_queue"},
	"priority=36,in_port=1,actions=enqueue(2,9)":                      {dump10: "priority=36,in_port=1 actions=set_queue:9,output:2,pop_queue"},
	"priority=26,in_port=1,actions=set_tunnel:0x7,output:2":           {dump10: "priority=26,in_port=1 actions=load:0x7->NXM_NX_TUN_ID[],output:2"},
	"priority=27,in_port=1,actions=set_tunnel64:0x700000000,output:2": {dump10: "priority=27,in_port=1 actions=load:0x700000000->NXM_NX_TUN_ID[],output:2"},
	"priority=31,mpls,actions=dec_mpls_ttl,set_mpls_label(5),set_mpls_tc(3),output:2": {
		dump10: "priority=31,mpls actions=dec_mpls_ttl,load:0x5->OXM_OF_MPLS_LABEL[],load:0x3->OXM_OF_MPLS_TC[],output:2"},
	"priority=22,ip,in_port=1,actions=load:0x10->NXM_OF_IP_TOS[2..7],output:2": {
		dump10: "priority=22,ip,in_port=1 actions=load:0x10->OXM_OF_IP_DSCP[],output:2",
		dump13: "reset_counts priority=22,ip,in_port=1 actions=load:0x10->OXM_OF_IP_DSCP[],output:2"},
	"priority=35,in_port=1,actions=load:0x1005->NXM_OF_VLAN_TCI[],output:2": {
		dump10: "priority=35,in_port=1 actions=mod_vlan_vid:5,mod_vlan_pcp:0,output:2",
		dump13: "reset_counts priority=35,in_port=1 actions=push_vlan:0x8100,set_field:4101->vlan_vid,set_field:0->vlan_pcp,output:2"},
	// 1.3 has a word for each transport protocol, and the match does not say which.
	"priority=21,in_port=1,actions=mod_nw_src:1.2.3.4,mod_tp_dst:80,output:2": {
		dump13: "reset_counts priority=21,in_port=1 actions=set_field:1.2.3.4->ip_src,set_field:80->tcp_dst,set_field:80->udp_dst,set_field:80->sctp_dst,output:2"},
}

// TestOvsOfctlCorpus10 types the corpus on each version and dumps it on both.
func TestOvsOfctlCorpus10(t *testing.T) {
	o10 := newOvsOfctl(t)
	o10.bench(3)
	o13 := *o10
	o10.version = ""
	o13.run("add-group", "br0", "group_id=1,type=all")
	o13.run("add-meter", "br0", "meter=1,pktps,bands=type=drop,rate=1")
	for typist, list := range map[*ovsOfctl][]corpusLine{o10: readTyped10(t), &o13: readTyped13(t)} {
		for _, c := range list {
			own := ours[c.typed]
			if c.dump10 == "" && own.dump10 != "" && typist == o10 && !strings.Contains(c.typed, "meter:") { // taken here
				c.dump10, c.dump13 = own.dump10, "reset_counts "+own.dump10
			}
			refused := c.dump10 == "" || slices.ContainsFunc(refusedFlows, func(s string) bool {
				return strings.Contains(c.typed, s) && (typist == &o13 || s != "->metadata") // a load can write it
			})
			out, err := typist.try("add-flow", "br0", c.typed)
			if refused {
				if err == nil {
					t.Errorf("-O %s %s: expected an error", typist.version, c.typed)
				}
				continue
			}
			if err != nil {
				t.Errorf("-O %s %s: %v\n%s", typist.version, c.typed, err, out)
				continue
			}
			if own.dump10 != "" && (typist == o10 || !strings.Contains(c.dump10, "set_queue")) {
				c.dump10 = own.dump10
			}
			if own.dump13 != "" {
				c.dump13 = own.dump13
			}
			compareDump(t, o10, c.typed, c.dump10)
			compareDump(t, &o13, c.typed, c.dump13)
			o13.run("del-flows", "br0")
		}
	}
}

// compareDump looks for the tail of a line in a dump.
func compareDump(t *testing.T, o *ovsOfctl, typed, want string) {
	t.Helper()
	dump := o.run("dump-flows", "br0")
	for _, line := range strings.Split(dump, "\n") {
		_, tail, _ := strings.Cut(line, "n_bytes=0, ")
		if tail == want || withoutAge(tail) == want || afterAge(tail) == want {
			return
		}
	}
	t.Errorf("typed %s\n want with -O %q  %s\n got\n%s", typed, o.version, want, dump)
}

// withoutAge drops idle_age, which only the dump of 1.0 has.
func withoutAge(tail string) string {
	before, after, ok := strings.Cut(tail, "idle_age=")
	if !ok {
		return tail
	}
	_, after, _ = strings.Cut(after, ", ")
	if after == "" { // an entry without match, of the default priority
		return before
	}
	return before + after
}

// afterAge is what follows idle_age, without the timeouts before it.
func afterAge(tail string) string {
	_, after, _ := strings.Cut(tail, "idle_age=")
	_, after, _ = strings.Cut(after, ", ")
	return after
}

// TestOvsOfctlBundle: all of a bundle or nothing.
func TestOvsOfctlBundle(t *testing.T) {
	o := newOvsOfctl(t)
	b := o.bench(2)
	o.run("del-flows", "br0")
	o.run("add-flow", "br0", "table=1,priority=1,in_port=1,actions=output:1")
	o.run("add-flow", "br0", "table=1,priority=2,in_port=2,idle_timeout=100,actions=output:2")
	before := flowTexts(b)
	file := o.dir + "/flows"
	write := func(lines ...string) {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("add table=1,priority=3,in_port=1,actions=drop", "delete table=1,in_port=2", "modify table=1,actions=output:1",
		"add table=1,priority=1,in_port=1,actions=output:2", "add table=2,actions=group:99")
	out, err := o.try("--bundle", "add-flows", "br0", file)
	if err == nil || !strings.Contains(out, "OFPBAC_BAD_OUT_GROUP") || !strings.Contains(out, "OFPBFC_MSG_FAILED") {
		t.Errorf("%v\n%s", err, out)
	}
	if after := flowTexts(b); !slices.Equal(before, after) {
		t.Errorf("a failed bundle left\n%s\nof\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	write("add table=1,priority=3,in_port=1,actions=drop", "delete table=1,in_port=2", "add table=2,actions=output:1")
	o.run("--bundle", "add-flows", "br0", file)
	if after := flowTexts(b); len(after) != 3 {
		t.Errorf("after the bundle: %q", after)
	}
	write("table=3,priority=9,actions=output:1", "table=1,priority=3,in_port=1,actions=drop")
	o.run("--bundle", "replace-flows", "br0", file)
	if after := flowTexts(b); len(after) != 2 || !strings.Contains(after[1], "table=3") {
		t.Errorf("after replace-flows: %q", after)
	}
	o.run("--bundle", "add-group", "br0", "group_id=1,type=all")
	write("flow add table=4,in_port=1,actions=group:2", "group add group_id=3,type=all")
	out, err = o.try("bundle", "br0", file)
	if err == nil || !strings.Contains(out, "OFPBAC_BAD_OUT_GROUP") || !strings.Contains(out, "OFPBFC_MSG_FAILED") {
		t.Errorf("%v\n%s", err, out)
	}
	write("group add group_id=2,type=all,bucket=actions=output:2", "flow add table=4,in_port=1,actions=group:2",
		"packet-out in_port=1,packet=ffffffffffff02000000000188b5"+strings.Repeat("00", 46)+",actions=group:2", "group delete group_id=1")
	o.run("bundle", "br0", file)
	if f, ok := b.ends[2].TryReceive(); !ok || f.Len() != 60 {
		t.Errorf("the bundled packet-out sent %v", f)
	}
	if out := o.run("dump-groups", "br0"); !strings.Contains(out, "group_id=2,") || strings.Contains(out, "group_id=1,") || strings.Contains(out, "group_id=3,") {
		t.Errorf("groups after the bundles:\n%s", out)
	}
}

func flowTexts(b *bench) (list []string) {
	for _, f := range b.sw.Flows(-1) {
		list = append(list, afterDuration(f.Text))
	}
	return list
}

// TestOvsOfctlWatch follows entries on both versions, in the words that ovs-ofctl has for Open vSwitch.
func TestOvsOfctlWatch(t *testing.T) {
	for version, want := range map[string][]string{
		"OpenFlow13": {"ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x", " event=ADDED table=1 cookie=0x5 in_port=1 actions=output:1",
			" event=ADDED table=3 idle_timeout=100 cookie=0x7 tcp,tp_dst=81 actions=output:2",
			" event=MODIFIED table=3 idle_timeout=100 cookie=0x7 tcp,tp_dst=81 actions=output:1",
			" event=DELETED reason=delete table=3 idle_timeout=100 cookie=0x7 tcp,tp_dst=81 actions=output:1"},
		"": {"NXST_FLOW_MONITOR reply (xid=0x", " event=ADDED table=1 cookie=0x5 in_port=1 actions=output:1",
			" event=ADDED table=3 idle_timeout=100 cookie=0x7 tcp,tp_dst=81 actions=output:2",
			" event=MODIFIED table=3 idle_timeout=100 cookie=0x7 tcp,tp_dst=81 actions=output:1",
			" event=DELETED reason=delete table=3 idle_timeout=100 cookie=0x7 tcp,tp_dst=81 actions=output:1"},
	} {
		o := newOvsOfctl(t)
		b := o.bench(2)
		o13 := *o
		o.version = version
		o13.run("del-flows", "br0")
		o13.run("add-flow", "br0", "table=1,cookie=5,in_port=1,actions=output:1")
		lines := o.follow("monitor", "br0", "watch:")
		waitFor(t, "the monitor", func() bool { return b.sw.monitors.busy.Load() })
		o13.run("add-flow", "br0", "table=3,idle_timeout=100,cookie=7,tcp,tp_dst=81,actions=output:2")
		o13.run("mod-flows", "br0", "table=3,tcp,actions=output:1")
		o13.run("del-flows", "br0", "table=3")
		for line := range lines {
			switch {
			case line == want[0] || strings.HasPrefix(line, want[0]) && strings.HasSuffix(want[0], "0x"):
				want = want[1:]
			case strings.HasPrefix(line, " event="):
				t.Errorf("-O %q: got %q, want %q", version, line, want[0])
			}
			if len(want) == 0 || t.Failed() {
				break
			}
		}
		if len(want) > 0 {
			t.Errorf("-O %q: not seen: %q", version, want)
		}
	}
}

// follow starts a command that goes on until the test ends, and gives its lines.
func (o *ovsOfctl) follow(args ...string) <-chan string {
	o.t.Helper()
	cmd := o.command(args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	lines := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			lines <- sc.Text()
		}
	}()
	o.t.Cleanup(func() {
		cmd.Process.Kill()
		<-done
		cmd.Wait()
	})
	return lines
}

// TestOvsOfctlSnoop reads along: nothing but the greeting while there is no controller, then both sides.
func TestOvsOfctlSnoop(t *testing.T) {
	o := newOvsOfctl(t)
	o.version = ""
	b := o.bench(1)
	lines := o.follow("snoop", "br0")
	waitFor(t, "the reader", func() bool { return b.sw.snoopers.present() != nil })
	p := b.connect()
	p.send(&openflow.FeaturesRequest{})
	expect[*openflow.FeaturesReply](p)
	p.send(&openflow.FlowMod{BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny, Priority: 7})
	p.send(&openflow.BarrierRequest{})
	expect[*openflow.BarrierReply](p)
	want := []string{"OFPT_HELLO", "OFPT_FEATURES_REQUEST (OF1.3)", "OFPT_FEATURES_REPLY (OF1.3)", "OFPT_FLOW_MOD (OF1.3)", "OFPT_BARRIER_REQUEST (OF1.3)", "OFPT_BARRIER_REPLY (OF1.3)"}
	for line := range lines {
		if strings.HasPrefix(line, want[0]) {
			if want = want[1:]; len(want) == 0 {
				break
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("not seen: %q", want)
	}
}
