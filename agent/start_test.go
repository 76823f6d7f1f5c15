package agent

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/weirswitch/weir/ports"
)

// TestReplayBeginsWhenAllPortsAreThere plays a capture at once; the port that is opened last must
// get its first frame, too.
func TestReplayBeginsWhenAllPortsAreThere(t *testing.T) {
	capture, err := filepath.Abs("../examples/replay/client.pcap")
	if err != nil {
		t.Fatal(err)
	}
	text := "bridges:\n- name: br0\n  dpid: \"1\"\n  ports:\n  - \"1:pcap:" + capture + ",rate=fast\"\n"
	const last = 60
	for n := 2; n <= last; n++ {
		text += fmt.Sprintf("  - \"%d:pcap:,name=r%d,out=%s\"\n", n, n, filepath.Join(t.TempDir(), fmt.Sprintf("r%d.pcapng", n)))
	}
	cfg, err := ParseConfig("weir.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSwitch(cfg.Bridges[0], Env{RunDir: t.TempDir(), Patches: new(ports.Patches)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	const frames = 20
	for deadline := time.Now().Add(inTime); ; time.Sleep(time.Millisecond) {
		list := s.Ports()
		got := list[len(list)-1].TxPackets
		if got == frames {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the last port sent %d of %d frames", got, frames)
		}
	}
}
