package packet

import (
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"testing"
)

// sample is a frame made by scapy (testdata/make_frames.py) with the fields
// that scapy reads in it.
type sample struct {
	Name   string
	Hex    string
	Fields map[string]string
	bytes  []byte
}

func samples(t testing.TB) []sample {
	t.Helper()
	text, err := os.ReadFile("testdata/frames.json")
	if err != nil {
		t.Fatal(err)
	}
	var s []sample
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	for i := range s {
		if s[i].bytes, err = hex.DecodeString(s[i].Hex); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func sampleNamed(t testing.TB, name string) []byte {
	t.Helper()
	for _, s := range samples(t) {
		if s.Name == name {
			return s.bytes
		}
	}
	t.Fatalf("testdata/frames.json has no frame %q", name)
	return nil
}

func parsed(b []byte) *Frame {
	f := NewFrame(len(b))
	f.InPort = 7
	f.SetBytes(b)
	f.Parse()
	return f
}

// TestParseAgainstScapy wants in each key what scapy reads, and nothing else.
func TestParseAgainstScapy(t *testing.T) {
	byName := map[string]Field{}
	for fl := range NumFields {
		byName[fl.String()] = fl
	}
	for _, s := range samples(t) {
		var want Key
		want.Set(InPort, 0, 7)
		want.Set(InPhyPort, 0, 7)
		for name, text := range s.Fields {
			v, _ := new(big.Int).SetString(text, 16)
			hi := new(big.Int).Rsh(v, 64).Uint64()
			lo := new(big.Int).And(v, new(big.Int).SetUint64(^uint64(0))).Uint64()
			fl, ok := byName[name]
			if !ok {
				t.Fatalf("%s: no field is called %q", s.Name, name)
			}
			want.Set(fl, hi, lo)
		}
		f := parsed(s.bytes)
		f.Key.Set(HasL4, 0, 0) // no field of any header
		if f.Key == want {
			continue
		}
		for fl := range TunnelID {
			hi, lo := f.Key.Get(fl)
			if whi, wlo := want.Get(fl); hi != whi || lo != wlo {
				t.Errorf("%s: %s is %x %x, scapy reads %x %x", s.Name, fl, hi, lo, whi, wlo)
			}
		}
	}
}
