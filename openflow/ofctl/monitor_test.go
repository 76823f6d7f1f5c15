package ofctl

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestFlowMonitorRepliesOfOpenVSwitch reads what a bridge of Open vSwitch 3.1 told of its flows: testdata/monitor.txt has
// each message and, indented, what "ovs-ofctl ofp-print" makes of it.
func TestFlowMonitorRepliesOfOpenVSwitch(t *testing.T) {
	file, err := os.ReadFile("testdata/monitor.txt")
	if err != nil {
		t.Fatal(err)
	}
	events := map[openflow.FlowEvent]int{}
	for _, c := range strings.Split("\n"+strings.TrimSpace(string(file)), "\n0413")[1:] {
		lines := strings.SplitAfter(c+"\n", "\n")
		raw, err := hex.DecodeString("0413" + strings.TrimSpace(lines[0]))
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		for _, line := range lines[1:] {
			want += strings.TrimPrefix(line, "    ")
		}
		m, xid, err := openflow.Decode(raw)
		if err != nil {
			t.Fatalf("%x: %v", raw, err)
		}
		if got := openflow.Append(nil, xid, m); string(got) != string(raw) {
			t.Errorf("encoded\n got %x\nwant %x", got, raw)
		}
		if got := Message(raw, nil); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		for _, r := range m.(*openflow.MultipartReply).Records {
			events[r.(*openflow.FlowUpdate).Event]++
		}
		for n := 25; n < len(raw); n++ { // a piece of it is refused, or whole events
			cut := append([]byte(nil), raw[:n]...)
			cut[2], cut[3] = byte(n>>8), byte(n)
			if m, _, err := openflow.Decode(cut); err == nil && len(openflow.Append(nil, xid, m)) != n {
				t.Errorf("%d bytes became %s", n, m)
			}
			_ = Message(cut, nil)
		}
	}
	if len(events) != 4 {
		t.Errorf("not every event is there: %v", events)
	}
	same(t, messagesOf(t, file), ofpPrintAll(t, hexOf(t, file)))
}

// hexOf is the messages of the file, one behind the other.
func hexOf(t *testing.T, file []byte) (raw []byte) {
	t.Helper()
	for _, line := range strings.Split(string(file), "\n") {
		if strings.HasPrefix(line, "0413") {
			b, err := hex.DecodeString(line)
			if err != nil {
				t.Fatal(err)
			}
			raw = append(raw, b...)
		}
	}
	return raw
}

// messagesOf is what weir prints of them.
func messagesOf(t *testing.T, file []byte) (text string) {
	t.Helper()
	for raw := hexOf(t, file); len(raw) > 0; {
		n := openflow.ReadHeader(raw).Length
		text += Message(raw[:n], nil)
		raw = raw[n:]
	}
	return text
}
