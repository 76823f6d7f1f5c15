package flowtable

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/weirswitch/weir/openflow"
)

var handover = flag.String("bench.handover", "", "write the rules and frames of the Engine benchmarks into this `folder`, for a switch that is measured beside the engine")

// TestHandover writes what the Engine benchmarks are made of:
//
//	rules-N        as FLOW_MODs: the rules that mixedTables makes, and the one for all other frames
//	frames-N.pcap  a frame for each of these rules, in the order of a stream
//	strangers.pcap frames that no rule was made for
//	changes-N      as FLOW_MODs: what BenchmarkEngineChanges adds and deletes
//
// Without the flag it writes a little, and reads it back.
func TestHandover(t *testing.T) {
	if *handover != "" {
		for _, n := range []int{1000, 10_000, 100_000} {
			handOver(t, *handover, n)
		}
		return
	}
	const n = 64
	dir := t.TempDir()
	handOver(t, dir, n)
	r := newRig(t, Config{}, upPorts(2))
	for _, m := range readMods(t, filepath.Join(dir, fmt.Sprint("rules-", n))) {
		if m.Priority > 0 { // without the rule for all others, a frame that comes out has met one that was made for it
			r.mod(m)
		}
	}
	if got := r.tables[0].rules.Len(); got != n {
		t.Errorf("%d rules, want %d", got, n)
	}
	for i, b := range readFrames(t, filepath.Join(dir, fmt.Sprintf("frames-%d.pcap", n)), n) {
		if out := r.outPorts(1, b); len(out) != 1 || out[0] != 2 {
			t.Errorf("frame %d left by %v, want port 2", i, out)
		}
	}
	readFrames(t, filepath.Join(dir, "strangers.pcap"), n)
	for i, m := range readMods(t, filepath.Join(dir, fmt.Sprint("changes-", n))) {
		r.mod(m)
		if got, want := r.tables[0].rules.Len(), n+1-i%2; got != want {
			t.Fatalf("%d rules after %d changes, want %d", got, i+1, want)
		}
	}
}

func handOver(t *testing.T, dir string, n int) {
	t.Helper()
	file := func(format string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf(format, n)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, met := mixedTables(t, Config{}, n)
	list := openflow.NewInstructions(openflow.ApplyActions(openflow.Output(2)))
	rules := openflow.Append(nil, 0, flowMod(openflow.FlowAdd, 0, inPort(1), list))
	for _, i := range met {
		priority, m := mixedMatch(i)
		rules = openflow.Append(rules, 0, flowMod(openflow.FlowAdd, priority, m, list))
	}
	file("rules-%d", rules)
	file("frames-%d.pcap", capture(t, newStream(met)))
	strangers := tuples(n)
	for i := range strangers {
		strangers[i] += 2 * 100_000
	}
	if err := os.WriteFile(filepath.Join(dir, "strangers.pcap"), capture(t, newStream(strangers)), 0o644); err != nil {
		t.Fatal(err)
	}
	var changes []byte
	for i := range n {
		priority, m := mixedMatch(uint32(1_000_000 + i))
		changes = openflow.Append(changes, 0, flowMod(openflow.FlowAdd, priority, m, list))
		changes = openflow.Append(changes, 0, flowMod(openflow.FlowDeleteStrict, priority, m, openflow.Instructions{}))
	}
	file("changes-%d", changes)
}

func flowMod(c openflow.FlowModCommand, priority uint16, m openflow.Match, list openflow.Instructions) *openflow.FlowMod {
	return &openflow.FlowMod{Command: c, Priority: priority, Match: m, Instructions: list,
		BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, OutGroup: groupAny}
}

// capture is a stream as a pcap file.
func capture(t *testing.T, s *stream) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	err := w.WriteFileHeader(65535, layers.LinkTypeEthernet)
	for at := 0; at < len(s.bytes) && err == nil; at += 64 {
		err = w.WritePacket(gopacket.CaptureInfo{CaptureLength: 60, Length: 60}, s.bytes[at:at+60])
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readMods(t *testing.T, file string) (list []*openflow.FlowMod) {
	t.Helper()
	b, err := os.ReadFile(file)
	for len(b) > 0 && err == nil {
		var m openflow.Message
		n := binary.BigEndian.Uint16(b[2:])
		if m, _, err = openflow.Decode(b[:n]); err == nil {
			list, b = append(list, m.(*openflow.FlowMod)), b[n:]
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// readFrames reads a pcap file that must hold n frames.
func readFrames(t *testing.T, file string, n int) (list [][]byte) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	for err == nil {
		var b []byte
		if b, _, err = r.ReadPacketData(); err == nil {
			list = append(list, b)
		}
	}
	if err != io.EOF || len(list) != n {
		t.Fatalf("%s: %d frames, want %d: %v", file, len(list), n, err)
	}
	return list
}
