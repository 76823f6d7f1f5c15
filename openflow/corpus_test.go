package openflow

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// corpusEntry is a line of testdata/corpus.txt: a message as os-ken encodes it.
type corpusEntry struct {
	name string
	msg  []byte
	note string // field=value[/mask], in hex
}

func readCorpus(t testing.TB, file string) []corpusEntry {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var list []corpusEntry
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		f := strings.Fields(line)
		msg, err := hex.DecodeString(f[1])
		if err != nil {
			t.Fatalf("%s: %v", f[0], err)
		}
		list = append(list, corpusEntry{f[0], msg, strings.Join(f[2:], " ")})
	}
	return list
}

// corpusMessage finds the bytes of one entry.
func corpusMessage(t testing.TB, name string) []byte {
	t.Helper()
	for _, e := range readCorpus(t, "corpus.txt") {
		if e.name == name {
			return e.msg
		}
	}
	t.Fatalf("no corpus entry %s", name)
	return nil
}

// TestCorpusRoundTrip: whatever os-ken writes is read, and written again to the same bytes.
func TestCorpusRoundTrip(t *testing.T) {
	seen := map[Type]bool{}
	for _, e := range readCorpus(t, "corpus.txt") {
		m, xid, err := Decode(e.msg)
		if err != nil {
			t.Errorf("%s: %v", e.name, err)
			continue
		}
		seen[m.MsgType()] = true
		if xid != 0x01020304 {
			t.Errorf("%s: xid 0x%x", e.name, xid)
		}
		if e.name == "multipart/table_features/body" {
			continue // os-ken leaves the lengths in field ids zero; see TestTableFeaturesFieldIDs
		}
		if got := Append(nil, xid, m); !bytes.Equal(got, e.msg) {
			t.Errorf("%s:\n got %x\nwant %x", e.name, got, e.msg)
		}
		if s := m.String(); !strings.HasPrefix(s, m.MsgType().String()) || strings.Contains(s, "%!") {
			t.Errorf("%s: text %q", e.name, s)
		}
	}
	for _, c := range []Type{TypeHello, TypeEchoRequest, TypeFeaturesRequest, TypeSetConfig, TypePacketOut, TypeFlowMod, TypeGroupMod,
		TypePortMod, TypeTableMod, TypeMultipartRequest, TypeBarrierRequest, TypeQueueGetConfigRequest, TypeRoleRequest, TypeGetAsyncRequest, TypeSetAsync, TypeMeterMod} {
		if !seen[c] {
			t.Errorf("the corpus has no %s", c)
		}
	}
}

// rebuild makes the list again from its decoded elements: decoding loses nothing.
func rebuildInstructions(l Instructions) Instructions {
	var list []Instruction
	for i := range l.All() {
		if !i.Actions.IsEmpty() {
			var acts []Action
			for a := range i.Actions.All() {
				acts = append(acts, a)
			}
			i.Actions = NewActions(acts...)
		}
		list = append(list, i)
	}
	return NewInstructions(list...)
}

// TestCorpusRebuild compares each match, instruction and action with one built from what was read
// of it, and the values of fields with what was asked of os-ken.
func TestCorpusRebuild(t *testing.T) {
	fields := map[FieldID]bool{}
	for _, e := range readCorpus(t, "corpus.txt") {
		m, _, err := Decode(e.msg)
		fm, ok := m.(*FlowMod)
		if err != nil || !ok {
			continue
		}
		var list []Field
		for f := range fm.Match.All() {
			list = append(list, f)
			fields[f.ID] = true
		}
		if got := NewMatch(list...); !bytes.Equal(got.Bytes(), fm.Match.Bytes()) || got.Check() != nil || got.Len() != len(list) {
			t.Errorf("%s: match %x rebuilt as %x, %v", e.name, fm.Match.Bytes(), got.Bytes(), got.Check())
		}
		// os-ken names the fields of a move by their standard headers, weir and Open vSwitch by Nicira's older ones.
		if got := rebuildInstructions(fm.Instructions); !got.Equal(fm.Instructions) && e.name != "nicira/move" {
			t.Errorf("%s: instructions %x rebuilt as %x", e.name, fm.Instructions.Bytes(), got.Bytes())
		}
		if strings.HasPrefix(e.name, "match/") {
			f := list[len(list)-1]
			checkNote(t, e, f)
		}
		if strings.HasPrefix(e.name, "set_field/") {
			i, _ := fm.Instructions.Get(InstructionApplyActions)
			for a := range i.Actions.All() {
				checkNote(t, e, a.Field)
			}
		}
	}
	for id := FieldID(0); int(id) < NumStandardFields; id++ {
		if !fields[id] {
			t.Errorf("the corpus has no match on %s", id)
		}
	}
}

func checkNote(t *testing.T, e corpusEntry, f Field) {
	t.Helper()
	trim := func(b []byte) string {
		if s := strings.TrimLeft(hex.EncodeToString(b), "0"); s != "" {
			return s
		}
		return "0"
	}
	got := f.ID.String() + "=" + trim(f.Value[:])
	if f.Masked {
		got += "/" + trim(f.Mask[:])
	}
	if got != e.note {
		t.Errorf("%s: got %s, want %s", e.name, got, e.note)
	}
}

// TestCorpusIsCurrent makes the corpus again where os-ken is installed.
func TestCorpusIsCurrent(t *testing.T) {
	got, err := exec.Command("/usr/bin/python3", "testdata/corpus.py").Output()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("os-ken: %v; install python3-os-ken", err)
		}
		t.Skipf("os-ken is not here (%v): apt-get install python3-os-ken", err)
	}
	want, err := os.ReadFile("testdata/corpus.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("testdata/corpus.txt is not what corpus.py prints; run it again")
	}
}
