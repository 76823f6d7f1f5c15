package agent

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestStatusJSON: a cookie is a text, for it may have 64 bits; a list without elements is one.
func TestStatusJSON(t *testing.T) {
	out, err := json.Marshal(FlowStatus{Cookie: 0xfedcba9876543210})
	if err != nil || !strings.Contains(string(out), `"cookie":"0xfedcba9876543210"`) {
		t.Errorf("%s (%v)", out, err)
	}
	var f FlowStatus
	if err := json.Unmarshal(out, &f); err != nil || f.Cookie != 0xfedcba9876543210 {
		t.Errorf("read again: %#x (%v)", f.Cookie, err)
	}
	if err := json.Unmarshal([]byte(`{"cookie":"many"}`), &f); err == nil {
		t.Error("a cookie called many was read")
	}
	sw, err := NewSwitch(BridgeConfig{Name: "br0"}, Env{Clock: new(ManualClock), RunDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer sw.Close()
	out, err = json.Marshal(sw.Status())
	if err != nil || !strings.Contains(string(out), `"controllers":[]`) || strings.Contains(string(out), "null") {
		t.Errorf("%s (%v)", out, err)
	}
}
