package ofctl

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

var update = flag.Bool("update", false, "ask ovs-ofctl for testdata/corpus.hex again")

// corpusFlow is one flow of testdata/corpus.txt: what a user types, what ovs-ofctl's OpenFlow 1.3
// dump of an Open vSwitch says behind "n_bytes=0, ", and the FLOW_MOD that the typing becomes.
type corpusFlow struct {
	typed, dump string
	mod         []byte
}

// readCorpus reads both files. The hex file has a line for each flow, in the same order.
func readCorpus(t *testing.T) []corpusFlow {
	t.Helper()
	text, err := os.ReadFile("testdata/corpus.txt")
	if err != nil {
		t.Fatal(err)
	}
	var flows []corpusFlow
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		switch {
		case strings.HasPrefix(line, "    => "):
			flows[len(flows)-1].dump = line[len("    => "):]
		case !strings.HasPrefix(line, " "):
			flows = append(flows, corpusFlow{typed: line})
		}
	}
	if *update {
		writeCorpusHex(t, flows)
	}
	packed, err := os.ReadFile("testdata/corpus.hex")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Fields(string(packed)) {
		if flows[i].mod, err = hex.DecodeString(line); err != nil {
			t.Fatal(err)
		}
	}
	return flows
}

// refused are the flows of the corpus that use extensions weir does not have, with the error.
var refused = map[string]*openflow.Error{
	"ct_state=+trk+est,ip,actions=drop":                                {Type: openflow.ErrBadMatch, Code: openflow.BMCBadField},
	"priority=2015,in_port=1,actions=set_field:0x5->metadata,output:2": {Type: openflow.ErrBadAction, Code: openflow.BACBadSetType},
	"priority=2027,tcp,in_port=1,actions=ct(commit,zone=1,table=2)":    {Type: openflow.ErrBadAction, Code: openflow.BACBadExpType},
	"priority=2028,in_port=1,actions=learn(table=1,priority=5,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])": {
		Type: openflow.ErrBadAction, Code: openflow.BACBadExpType},
}

func TestCorpusPrintsAsOpenVSwitchDoes(t *testing.T) {
	for _, f := range readCorpus(t) {
		m, _, err := openflow.Decode(f.mod)
		if want, ok := refused[f.typed]; ok {
			if !errors.Is(err, want) {
				t.Errorf("%s\n got  %v\n want %v", f.typed, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s\n refused: %v", f.typed, err)
			continue
		}
		mod := m.(*openflow.FlowMod)
		st := &openflow.FlowStats{
			TableID: mod.TableID, Priority: mod.Priority, IdleTimeout: mod.IdleTimeout, HardTimeout: mod.HardTimeout,
			Flags: mod.Flags, Cookie: mod.Cookie, Match: mod.Match, Instructions: mod.Instructions,
		}
		if got := string(noNames.appendRule(nil, st)); got != f.dump {
			t.Errorf("%s\n got  %s\n want %s", f.typed, got, f.dump)
		}
	}
}

// writeCorpusHex lets the real ovs-ofctl add each flow to a switch that only listens.
func writeCorpusHex(t *testing.T, flows []corpusFlow) {
	t.Helper()
	sw := newRecorder(t)
	var out bytes.Buffer
	for _, f := range flows {
		cmd := exec.Command("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "unix:"+sw.path, f.typed)
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, b)
		}
		out.WriteString(hex.EncodeToString(<-sw.mods) + "\n")
	}
	if err := os.WriteFile("testdata/corpus.hex", out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// recorder is a switch that answers what add-flow and the like ask and keeps their messages unread.
type recorder struct {
	path string
	mods chan []byte
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{path: filepath.Join(t.TempDir(), "sw"), mods: make(chan []byte, 1)}
	ln, err := net.Listen("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go r.serve(nc)
		}
	}()
	return r
}

func (r *recorder) serve(nc net.Conn) {
	defer nc.Close()
	c := openflow.NewConn(nc)
	c.Send(0, openflow.NewHello(openflow.Version))
	for {
		raw, err := c.ReadMessage()
		if err != nil {
			return
		}
		h := openflow.ReadHeader(raw)
		switch h.Type {
		case openflow.TypeFlowMod, openflow.TypeGroupMod, openflow.TypeMeterMod, openflow.TypePacketOut:
			r.mods <- bytes.Clone(raw)
		case openflow.TypeBarrierRequest:
			c.Send(h.XID, &openflow.BarrierReply{})
		case openflow.TypeMultipartRequest:
			m, _, err := openflow.Decode(raw)
			if err != nil {
				return
			}
			reply := &openflow.MultipartReply{Type: m.(*openflow.MultipartRequest).Type}
			if reply.Type == openflow.MultipartTableFeatures {
				table := &openflow.TableFeatures{Name: "t0"}
				for _, p := range openflow.RequiredTableProperties() {
					table.Properties = append(table.Properties, openflow.TableProperty{Type: p})
				}
				reply.Records = append(reply.Records, table)
			}
			c.Send(h.XID, reply)
		}
	}
}

func TestCorpusHexIsWhatOvsOfctlSends(t *testing.T) {
	if _, err := exec.LookPath("ovs-ofctl"); err != nil {
		t.Skip("ovs-ofctl is not installed (apt install openvswitch-switch)")
	}
	sw := newRecorder(t)
	for i, f := range readCorpus(t) {
		if i%8 != 0 && testing.Short() {
			continue
		}
		cmd := exec.Command("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "unix:"+sw.path, f.typed)
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, b)
		}
		got := <-sw.mods
		copy(got[4:8], f.mod[4:8]) // the transaction id counts within a process
		if !bytes.Equal(got, f.mod) {
			t.Errorf("%s\n now  %x\n kept %x", f.typed, got, f.mod)
		}
	}
}
