package openflow

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// parts runs a ReplyWriter over records and returns what it emitted.
func parts(t *testing.T, mt MultipartType, records []Record, breaks map[int]bool) [][]byte {
	t.Helper()
	var out [][]byte
	w := NewReplyWriter(mt, 77, nil, func(m []byte) error { out = append(out, bytes.Clone(m)); return nil })
	for i, r := range records {
		if breaks[i] {
			w.Break()
		}
		if err := w.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// joined decodes the parts, checks that MORE is on all but the last, and returns all records.
func joined(t *testing.T, out [][]byte) (all []Record) {
	t.Helper()
	for i, b := range out {
		m, xid, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		r := m.(*MultipartReply)
		if xid != 77 || r.More != (i < len(out)-1) {
			t.Errorf("part %d of %d: xid %d, more %t", i, len(out), xid, r.More)
		}
		all = append(all, r.Records...)
	}
	return all
}

// TestReplySplit: 2,500 flows, whole records, every part below 64 KiB and nearly full.
func TestReplySplit(t *testing.T) {
	var want []Record
	for i := range 2500 {
		want = append(want, &FlowStats{Priority: uint16(i), Cookie: uint64(i), Match: NewMatch(Exact(InPort, uint64(i))), Instructions: NewInstructions(ApplyActions(Output(PortNo(i + 1))))})
	}
	out := parts(t, MultipartFlow, want, nil)
	if got := joined(t, out); !reflect.DeepEqual(got, want) {
		t.Errorf("%d records came back of %d, or changed", len(got), len(want))
	}
	size := len((&FlowStats{Match: NewMatch(Exact(InPort, 1)), Instructions: NewInstructions(ApplyActions(Output(1)))}).appendRecord(nil))
	if wantParts := (2500*size + 65518) / 65519; len(out) != wantParts {
		t.Errorf("%d parts, %d would do", len(out), wantParts)
	}
	for i, b := range out {
		if len(b) > MaxMessage || i < len(out)-1 && len(b)+size <= MaxMessage {
			t.Errorf("part %d has %d bytes", i, len(b))
		}
	}
	program := ofctl(t)
	if got := ofpPrint(t, program, out[0]); !bytes.Contains([]byte(got), []byte("OFPST_FLOW reply (OF1.3) (xid=0x4d): flags=[more]")) {
		t.Errorf("ofp-print: %.200s", got)
	}
}

func TestReplyEmptyAndBreak(t *testing.T) {
	if out := parts(t, MultipartFlow, nil, nil); len(out) != 1 || len(out[0]) != 16 || len(joined(t, out)) != 0 {
		t.Errorf("an empty reply is %x", out)
	}
	three := []Record{&TableStats{TableID: 1}, &TableStats{TableID: 2}, &TableStats{TableID: 3}}
	out := parts(t, MultipartTable, three, map[int]bool{0: true, 2: true})
	if len(out) != 2 || len(out[0]) != 16+48 || !reflect.DeepEqual(joined(t, out), three) {
		t.Errorf("broken before 0 (for nothing) and 2: %x", out)
	}
}

// TestReplyTooLarge: a record that no message can hold is left out, the others go.
func TestReplyTooLarge(t *testing.T) {
	var out [][]byte
	w := NewReplyWriter(MultipartGroup, 77, nil, func(m []byte) error { out = append(out, bytes.Clone(m)); return nil })
	small := &GroupStats{Group: 1}
	if err := errors.Join(w.Add(small), w.Add(small)); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(&GroupStats{Buckets: make([]BucketStats, 4100)}); err == nil {
		t.Error("65,640 bytes in one message")
	}
	w.Close()
	if got := joined(t, out); len(got) != 2 {
		t.Errorf("%d records", len(got))
	}
	broken := errors.New("broken pipe")
	w = NewReplyWriter(MultipartGroup, 77, nil, func([]byte) error { return broken })
	if w.Close() != broken {
		t.Error("the error of emit is lost")
	}
}

// TestTableFeaturesSize: 254 tables with every standard id stay near 500 bytes each, as the
// tools that ask before each command deserve.
func TestTableFeaturesSize(t *testing.T) {
	var fields, set []TableField
	for id := FieldID(0); int(id) < NumStandardFields; id++ {
		fields = append(fields, TableField{id, id.Info().Maskable})
		if id.Info().Writable {
			set = append(set, TableField{ID: id})
		}
	}
	props := eightProperties()
	props[4].Fields, props[5].Fields, props[6].Fields, props[7].Fields = fields, fields, set, set
	var list []Record
	for i := range 254 {
		list = append(list, &TableFeatures{TableID: uint8(i), Properties: props})
	}
	out := parts(t, MultipartTableFeatures, list, nil)
	total := 0
	for _, b := range out {
		total += len(b)
	}
	if len(joined(t, out)) != 254 || total/254 > 900 {
		t.Errorf("%d bytes in %d parts", total, len(out))
	}
	for _, want := range RequiredTableProperties() {
		if _, ok := list[0].(*TableFeatures).Property(want); !ok {
			t.Errorf("no %s", want)
		}
	}
}

// TestTableFeaturesFieldIDs: os-ken leaves the length in a field's id zero; its record is read all
// the same, and unknown or experimenters' ids are skipped.
func TestTableFeaturesFieldIDs(t *testing.T) {
	m, _, err := Decode(corpusMessage(t, "multipart/table_features/body"))
	if err != nil {
		t.Fatal(err)
	}
	tf := m.(*MultipartRequest).Records[0].(*TableFeatures)
	p, _ := tf.Property(PropMatch)
	if tf.Name != "acl" || tf.TableID != 3 || !reflect.DeepEqual(p.Fields, []TableField{{EthDst, true}, {EthType, false}}) {
		t.Errorf("%v", tf)
	}
	m, _, err = Decode(unhex(t, tableRequest("0008 0014 80000604 ffff5406 4f4e4600 90000000"+"00000000"+"0006 000c ffff 0008 00002320 00000000")))
	if err != nil {
		t.Fatal(err)
	}
	tf = m.(*MultipartRequest).Records[0].(*TableFeatures)
	if p, _ := tf.Property(PropMatch); !reflect.DeepEqual(p.Fields, []TableField{{EthDst, false}, {TCPFlags, false}}) {
		t.Errorf("fields %v", p.Fields)
	}
	if p, ok := tf.Property(PropApplyActions); !ok || len(p.Actions) != 0 {
		t.Errorf("actions %v", p)
	}
}
