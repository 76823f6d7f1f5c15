package ofctl

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
)

// recorded are messages of OpenFlow 1.0 between ovs-ofctl and Open vSwitch 3.1.
func recorded(t testing.TB) (list [][]byte) {
	t.Helper()
	for _, name := range []string{"requests.hex", "replies.hex"} {
		text, err := os.ReadFile("../of10/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Fields(string(text)) {
			b, err := hex.DecodeString(line)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, b)
		}
	}
	return list
}

// TestOldMessages: what ovs-ofctl prints of some messages of OpenFlow 1.0.
func TestOldMessages(t *testing.T) {
	for _, c := range []struct{ raw, text string }{
		{"0105000800000001", "OFPT_FEATURES_REQUEST (xid=0x1):\n"},
		{"0112000800000001", "OFPT_BARRIER_REQUEST (xid=0x1):\n"},
		{"01040014000000020000232" + "00000000c00000002", "NXT_SET_FLOW_FORMAT (xid=0x2): format=nxm\n"},
		{"0104001800000002" + "000023200000000f0100000000000000", "NXT_FLOW_MOD_TABLE_ID (xid=0x2): enable\n"},
		{"01010014000000060003" + "0001" + "0112000800000006", "OFPT_ERROR (xid=0x6): OFPFMFC_OVERLAP\nOFPT_BARRIER_REQUEST (xid=0x6):\n"},
		{"010c004000000000" + "0200000000000000" + "000302000000000363" + strings.Repeat("00", 15) + "000000100000020" + "0" + "00000040000000000000000000000000",
			"OFPT_PORT_STATUS (xid=0x0): MOD: 3(c): addr:02:00:00:00:00:03\n     config:     NO_FLOOD\n     state:      STP_FORWARD\n     current:    10GB-FD\n     speed: 10000 Mbps now, 0 Mbps max\n"},
	} {
		raw, err := hex.DecodeString(c.raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := Message(raw, nil); got != c.text {
			t.Errorf("%s\n%s\nexpected\n%s", c.raw, got, c.text)
		}
	}
}

// TestOldStrangeFlow: a flow with an action that nobody knows hides no other.
func TestOldStrangeFlow(t *testing.T) {
	flow := func(table uint8) []byte {
		b := make([]byte, 48, 56)
		b[1], b[2] = 56, table
		return append(b, 0, 0, 0, 8, 0, table, 0, 0)
	}
	raw := append([]byte{1, of10StatsReply, 0, 0, 0, 0, 0, 9, 0xff, 0xff, 0, 0, 0, 0, 0x23, 0x20, 0, 0, 0, 0, 0, 0, 0, 0}, flow(1)...)
	strange := flow(2)
	strange[49] = 77 // the type of the action
	raw = append(append(raw, strange...), flow(3)...)
	raw[3] = byte(len(raw))
	got := Message(raw, nil)
	if !strings.HasPrefix(got, "NXST_FLOW reply (xid=0x9):\n") || !strings.Contains(got, "actions=output:1\n") || !strings.Contains(got, "actions=output:3\n") ||
		!strings.Contains(got, "a flow of table 2 that weir cannot read") {
		t.Errorf("%s", got)
	}
}

const of10StatsReply = byte(of10.StatsReply)

// FuzzMessage shows any bytes of any version in words.
func FuzzMessage(f *testing.F) {
	for _, b := range recorded(f) {
		f.Add(b)
	}
	f.Add([]byte("0")) // too short for a header
	names := NewNames(map[openflow.PortNo]string{1: "p1"}, map[uint8]string{1: "one"})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		for _, n := range []*Names{nil, names} {
			if text := Message(b, n); !strings.HasSuffix(text, "\n") {
				t.Errorf("%q", text)
			}
		}
		list, err := Flows(b)
		for i := range list {
			if list[i].Flow != nil {
				names.AppendFlowRecord(nil, &list[i], i%2 == 0)
			}
		}
		if err == nil && list == nil {
			t.Log("a reply without flows")
		}
		if !bytes.Equal(b, before) {
			t.Fatal("the message was changed")
		}
	})
}
