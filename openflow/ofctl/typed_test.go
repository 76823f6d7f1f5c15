package ofctl

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// parseTyped makes the message of a line of testdata/typed.txt: [--strict] COMMAND TEXT.
func parseTyped(line string) (openflow.Message, error) {
	line, strict := strings.CutPrefix(line, "--strict ")
	command, text, _ := strings.Cut(line, " ")
	switch command {
	case "add-flow":
		return ParseFlow(text, openflow.FlowAdd, nil)
	case "mod-flows":
		return ParseFlow(text, map[bool]openflow.FlowModCommand{false: openflow.FlowModify, true: openflow.FlowModifyStrict}[strict], nil)
	case "del-flows":
		return ParseFlow(text, map[bool]openflow.FlowModCommand{false: openflow.FlowDelete, true: openflow.FlowDeleteStrict}[strict], nil)
	case "add-group":
		return ParseGroup(text, openflow.GroupAdd, nil)
	case "mod-group":
		return ParseGroup(text, openflow.GroupModify, nil)
	case "del-groups":
		id, err := ParseGroupID(text)
		return &openflow.GroupMod{Command: openflow.GroupDelete, Group: id}, err
	case "add-meter":
		return ParseMeter(text, openflow.MeterAdd)
	case "mod-meter":
		return ParseMeter(text, openflow.MeterModify)
	case "del-meters":
		id, err := ParseMeterID(text)
		return &openflow.MeterMod{Command: openflow.MeterDelete, Meter: id}, err
	}
	return ParsePacketOut(text, nil)
}

// askReal lets the real ovs-ofctl send a line to a switch that only listens.
func askReal(t *testing.T, sw *recorder, line string) []byte {
	t.Helper()
	words := strings.SplitN(line, " ", 2)
	args := []string{"-O", "OpenFlow13"}
	if words[0] == "--strict" {
		args = append(args, words[0])
		words = strings.SplitN(words[1], " ", 2)
	}
	args = append(args, words[0], "unix:"+sw.path)
	cmd := exec.Command("ovs-ofctl", append(args, words[1:]...)...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, b)
	}
	got := <-sw.mods
	copy(got[4:8], make([]byte, 4)) // the transaction id counts within a process
	return got
}

func readLines(t testing.TB, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// TestTypedTextBecomesWhatOvsOfctlSends compares byte by byte with what the real program sent (testdata/typed.hex,
// made by -update).
func TestTypedTextBecomesWhatOvsOfctlSends(t *testing.T) {
	lines := readLines(t, "testdata/typed.txt")
	if *update {
		var out bytes.Buffer
		sw := newRecorder(t)
		for _, line := range lines {
			out.WriteString(hex.EncodeToString(askReal(t, sw, line)) + "\n")
		}
		if err := os.WriteFile("testdata/typed.hex", out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sent := readLines(t, "testdata/typed.hex")
	if len(sent) != len(lines) {
		t.Fatalf("%d lines typed, %d sent: run with -update", len(lines), len(sent))
	}
	for i, line := range lines {
		m, err := parseTyped(line)
		if err != nil {
			t.Errorf("%s\n %v", line, err)
			continue
		}
		if got := hex.EncodeToString(openflow.Append(nil, 0, m)); got != sent[i] {
			t.Errorf("%s\n weir sends      %s\n ovs-ofctl sends %s\n %s", line, got, sent[i], m)
		}
	}
}

// TestTypedHexIsWhatOvsOfctlSends keeps the golden file honest where the real program is installed.
func TestTypedHexIsWhatOvsOfctlSends(t *testing.T) {
	if _, err := exec.LookPath("ovs-ofctl"); err != nil {
		t.Skip("ovs-ofctl is not installed (apt install openvswitch-switch)")
	}
	sw := newRecorder(t)
	sent := readLines(t, "testdata/typed.hex")
	for i, line := range readLines(t, "testdata/typed.txt") {
		if i%8 != 0 && testing.Short() {
			continue
		}
		if got := hex.EncodeToString(askReal(t, sw, line)); got != sent[i] {
			t.Errorf("%s\n now  %s\n kept %s", line, got, sent[i])
		}
	}
}

// TestCorpusIsParsed types the corpus: what it becomes is what ovs-ofctl sends, and prints as the dump does.
func TestCorpusIsParsed(t *testing.T) {
	for _, f := range readCorpus(t) {
		mod, err := ParseFlow(f.typed, openflow.FlowAdd, nil)
		if want := refused[f.typed]; want != nil && f.typed != "priority=2015,in_port=1,actions=set_field:0x5->metadata,output:2" {
			if err == nil || !strings.Contains(err.Error(), "an extension of Open vSwitch that weir does not have") {
				t.Errorf("%s: %v", f.typed, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s\n %v", f.typed, err)
			continue
		}
		copy(f.mod[4:8], make([]byte, 4))
		if got := openflow.Append(nil, 0, mod); !bytes.Equal(got, f.mod) {
			t.Errorf("%s\n weir sends      %x\n ovs-ofctl sends %x", f.typed, got, f.mod)
		}
		if got := string(noNames.appendRule(nil, statsOf(mod))); got != f.dump {
			t.Errorf("%s\n got  %s\n want %s", f.typed, got, f.dump)
		}
	}
}

func statsOf(mod *openflow.FlowMod) *openflow.FlowStats {
	return &openflow.FlowStats{TableID: mod.TableID, Priority: mod.Priority, IdleTimeout: mod.IdleTimeout, HardTimeout: mod.HardTimeout,
		Flags: mod.Flags, Cookie: mod.Cookie, Match: mod.Match, Instructions: mod.Instructions}
}
