package openflow

import (
	"errors"
	"strings"
	"testing"
)

// TestNegotiate covers the greetings recorded from ovs-ofctl, os-ken, ONOS and Open vSwitch.
func TestNegotiate(t *testing.T) {
	ours := NewHello(4)
	both := NewHello(1, 4)
	for _, c := range []struct {
		name         string
		ours, theirs *Hello
		want         uint8 // zero: no common version
	}{
		{"ovs-ofctl -O OpenFlow13", ours, &Hello{4, 0x10, true}, 4},
		{"ovs-ofctl -O OpenFlow13,OpenFlow14", ours, &Hello{5, 0x30, true}, 4},
		{"Open vSwitch with four versions", ours, &Hello{6, 0x72, true}, 4},
		{"os-ken application of any version", ours, &Hello{6, 0, false}, 4},
		{"simple_switch_13", ours, &Hello{4, 0, false}, 4},
		{"plain ovs-ofctl", ours, &Hello{1, 0, false}, 0},
		{"plain ovs-ofctl, 1.0 spoken", both, &Hello{1, 0, false}, 1},
		{"1.1 alone", both, &Hello{2, 0, false}, 0},
		{"1.4 alone", ours, &Hello{5, 0x20, true}, 0},
		{"bitmap without 1.3 under a high header", ours, &Hello{6, 0x60, true}, 0},
		{"version 0", ours, &Hello{0, 0, false}, 0},
		{"empty bitmap", ours, &Hello{4, 0, true}, 0},
		{"version 255", ours, &Hello{255, 0, false}, 4},
	} {
		v, err := Negotiate(c.ours, c.theirs)
		if v != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("%s: version %d, %v", c.name, v, err)
		}
		if err == nil {
			continue
		}
		var e *Error
		if !errors.As(err, &e) || e.Type != ErrHelloFailed || e.Code != HFCIncompatible || !strings.Contains(string(e.Data), "allow OpenFlow 1.") {
			t.Errorf("%s: %v with %q does not say what to allow", c.name, err, e.Data)
		}
	}
}

// TestHelloElements: unknown elements are skipped, broken ones end the list, a second word of
// bitmap is ignored, and no list takes for ever.
func TestHelloElements(t *testing.T) {
	for _, c := range []struct {
		name, body string
		bitmap     uint32
		has        bool
	}{
		{"bitmap", "0001 0008 00000012", 0x12, true},
		{"unknown element before it", "0007 0005 aa 000000 0001 0008 00000012", 0x12, true},
		{"two words", "0001 000c 00000012 00000001 00000000", 0x12, true},
		{"length 0", "0001 0000 00000012", 0, false},
		{"length beyond", "0001 0010 00000012", 0, false},
		{"half an element", "0001", 0, false},
		{"bitmap without words", "0001 0004 00000000 0001 0008 00000010", 0x10, true},
	} {
		body := unhex(t, c.body)
		b := append([]byte{6, 0, 0, byte(8 + len(body)), 0, 0, 0, 1}, body...)
		m, _, err := Decode(b)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if h := m.(*Hello); h.Version != 6 || h.Bitmap != c.bitmap || h.HasBitmap != c.has {
			t.Errorf("%s: %v", c.name, h)
		}
	}
	h := NewHello(1, 4)
	if b := Append(nil, 1, h); b[0] != 4 || len(b) != 16 {
		t.Errorf("%x", b)
	}
	if versionNames(0) != "no version" || versionNames(h.Versions()) != "OpenFlow 1.0, 1.3" {
		t.Error(versionNames(h.Versions()))
	}
}
