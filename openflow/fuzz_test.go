package openflow

import (
	"bytes"
	"testing"
)

// The fuzz targets share one law: what Decode takes can be read, printed and written without a
// panic, and writing it and reading that again changes nothing more.

func seeds(f *testing.F) {
	for _, file := range []string{"corpus.txt", "messages.txt"} {
		for _, e := range readCorpus(f, file) {
			f.Add(e.msg)
		}
	}
}

func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 4 { // mostly the length is right
			b = bytes.Clone(b[:min(len(b), MaxMessage)])
			put16(b, 2, uint16(len(b)))
		}
		checkDecoded(t, b)
	})
}

func checkDecoded(t *testing.T, b []byte) {
	m, xid, err := Decode(b)
	if err != nil {
		if _, ok := err.(*Error); !ok {
			t.Fatalf("%T: %v", err, err)
		}
		if m != nil {
			t.Fatalf("%v beside %v", m, err)
		}
		return
	}
	_ = m.String()
	once := Append(nil, xid, m)
	again, _, err := Decode(once)
	if err != nil {
		t.Fatalf("what was written from\n%x\nis\n%x\nand cannot be read: %v", b, once, err)
	}
	if twice := Append(nil, xid, again); !bytes.Equal(once, twice) {
		t.Fatalf("written\n%x\nthen\n%x", once, twice)
	}
	if again.String() != m.String() {
		t.Fatalf("was %s\nnow %s", m, again)
	}
}

func FuzzMatch(f *testing.F) {
	for _, e := range readCorpus(f, "corpus.txt") {
		if m, _, err := Decode(e.msg); err == nil && m.MsgType() == TypeFlowMod {
			f.Add(m.(*FlowMod).Match.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := Match{b}
		err := m.Check()
		_, _ = m.String(), m.Len() // also of a match that no check has passed
		if err != nil {
			return
		}
		var list []Field
		for x := range m.All() {
			list = append(list, x)
		}
		built := NewMatch(list...)
		if len(list) != m.Len() || !built.Equal(m) || !m.Equal(built) {
			t.Fatalf("%s rebuilt as %s", m, built)
		}
		if err := built.Check(); err != nil {
			t.Fatalf("%s rebuilt: %v", m, err)
		}
	})
}

func FuzzActions(f *testing.F) {
	for _, e := range readCorpus(f, "corpus.txt") {
		m, _, err := Decode(e.msg)
		if fm, ok := m.(*FlowMod); ok && err == nil {
			f.Add(fm.Instructions.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l := Instructions{b}
		if l.Check() != nil {
			return
		}
		_ = l.String()
		again := rebuildInstructions(l)
		if err := again.Check(); err != nil {
			t.Fatalf("%x rebuilt as %x: %v", b, again.b, err)
		}
		if again.String() != l.String() || again.Len() != l.Len() {
			t.Fatalf("%s rebuilt as %s", l, again)
		}
	})
}

// TestTruncated cuts each known message at every byte, with the header's length made to agree: an
// error or a message, never a panic.
func TestTruncated(t *testing.T) {
	for _, file := range []string{"corpus.txt", "messages.txt"} {
		for _, e := range readCorpus(t, file) {
			for n := range e.msg {
				b := bytes.Clone(e.msg[:n])
				if n >= 4 {
					put16(b, 2, uint16(n))
				}
				checkDecoded(t, b)
			}
		}
	}
}

// TestMutated sets every byte of each known message to the values that lengths break at.
func TestMutated(t *testing.T) {
	for _, file := range []string{"corpus.txt", "messages.txt"} {
		for _, e := range readCorpus(t, file) {
			for at := 4; at < len(e.msg); at++ {
				for _, v := range []byte{0, 1, 3, 4, 7, 8, 0x10, 0x7f, 0x80, 0xff} {
					b := bytes.Clone(e.msg)
					b[at] = v
					checkDecoded(t, b)
				}
			}
		}
	}
}
