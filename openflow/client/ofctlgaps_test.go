package client

import (
	"regexp"
	"strings"
	"testing"
)

// TestCommandsOfLaterVersions: a command of ovs-ofctl that is not here says why, and what to do instead.
func TestCommandsOfLaterVersions(t *testing.T) {
	c := peer(t)
	for _, line := range []string{"insert-buckets br0 group_id=1,command_bucket_id=last,bucket=output:1", "remove-buckets br0 group_id=1,command_bucket_id=all",
		"dump-table-desc br0", "add-tlv-map br0 x", "dump-ipfix-flow br0", "ct-flush br0", "ofp-parse-pcap file"} {
		words := strings.Fields(line)
		_, _, err := c.test(words...)
		if err == nil || !strings.HasPrefix(err.Error(), words[0]+" ") || strings.Contains(err.Error(), "there is no command") {
			t.Errorf("%s: %v", line, err)
		}
	}
	for name := range absent {
		if cmd, err := Find(name); err == nil {
			t.Errorf("%s is said to be absent and is %+v", name, cmd)
		}
	}
}

// TestMayCreate: with --may-create mod-group adds what is not there, in one message, on both versions.
func TestMayCreate(t *testing.T) {
	c := peer(t)
	for _, version := range []uint8{4, 1} {
		c.Versions = []uint8{version}
		if _, _, err := c.test("del-groups", "br0"); err != nil {
			t.Fatal(err)
		}
		c.MayCreate = false
		if _, errs, err := c.test("mod-group", "br0", "group_id=3,type=all,bucket=output:1"); err == nil || !strings.Contains(errs, "OFPGMFC_UNKNOWN_GROUP") {
			t.Errorf("%v %s", err, errs)
		}
		c.MayCreate = true
		for _, bucket := range []string{"output:1", "output:2"} {
			if _, errs, err := c.test("mod-group", "br0", "group_id=3,type=all,bucket="+bucket); err != nil {
				t.Fatal(err, errs)
			}
			out, _, err := c.test("dump-groups", "br0")
			if err != nil || !strings.Contains(out, "group_id=3,type=all,bucket=") || !strings.Contains(out, bucket) {
				t.Errorf("%v %s", err, out)
			}
		}
		if _, errs, err := c.test("mod-group", "br0", "group_id=3,type=all,bucket=group:77"); err == nil || version == 4 && !strings.Contains(errs, " ADD_OR_MOD group_id=3") {
			t.Errorf("%v %s", err, errs)
		}
		c.MayCreate = false
	}
	c.In = strings.NewReader("add_or_mod group_id=5,type=all\nadd_or_mod group_id=5,type=indirect,bucket=output:1\n")
	if _, errs, err := c.test("add-groups", "br0", "-"); err != nil {
		t.Error(err, errs)
	}
}

// TestBenchmark: as many echo requests as were asked for, told in ovs-ofctl's words.
func TestBenchmark(t *testing.T) {
	c := peer(t)
	out, _, err := c.test("benchmark", "br0", "10", "7")
	if want := regexp.MustCompile(`^Sending 7 packets \* 18 bytes \(with header\) = 126 bytes total\nFinished in \d+\.\d ms \(\d+ packets/s\) \(\d+ bytes/s\)\n$`); err != nil || !want.MatchString(out) {
		t.Errorf("%v %s", err, out)
	}
	for _, wrong := range [][]string{{"-1", "1"}, {"70000", "1"}, {"1", "-1"}, {"x", "1"}, {"1", "x"}} {
		if _, _, err := c.test("benchmark", "br0", wrong[0], wrong[1]); err == nil || !strings.Contains(err.Error(), "expected how many") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// TestRefusalIsExplained: a person at a terminal is told what a refusal means, a program reads what ovs-ofctl would print.
func TestRefusalIsExplained(t *testing.T) {
	c := peer(t)
	for _, explain := range []bool{false, true} {
		c.Explain = explain
		_, errs, err := c.test("add-flow", "br0", "actions=group:99")
		lines := strings.Split(strings.TrimSpace(errs), "\n")
		last := lines[len(lines)-1]
		if err == nil || !strings.Contains(errs, "OFPBAC_BAD_OUT_GROUP") || (strings.HasPrefix(last, "(") && strings.Contains(last, "; ")) != explain {
			t.Errorf("explain %v: %v\n%s", explain, err, errs)
		}
	}
}

// TestVerbsOfOpenFlow10: what only OpenFlow 1.0 can say of a port is said in it, and held to 1.3 it is refused, not forgotten.
func TestVerbsOfOpenFlow10(t *testing.T) {
	c := peer(t)
	for i, verb := range []string{"no-flood", "flood"} {
		c.Versions = nil
		if _, errs, err := c.test("mod-port", "br0", "1", verb); err != nil {
			t.Fatal(verb, err, errs)
		}
		c.Versions = []uint8{1}
		out, _, err := c.test("dump-ports-desc", "br0")
		if err != nil || strings.Contains(out, "NO_FLOOD") != (i == 0) {
			t.Errorf("after %s: %v\n%s", verb, err, out)
		}
	}
	c.Versions = []uint8{4}
	for _, verb := range []string{"no-flood", "stp", "no-receive-stp"} {
		if _, _, err := c.test("mod-port", "br0", "1", verb); err == nil || !strings.Contains(err.Error(), "OpenFlow 1.3 has no such setting") {
			t.Errorf("%s: %v", verb, err)
		}
	}
}
