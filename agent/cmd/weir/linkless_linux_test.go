package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWaitReadyWarnsOfALink: a port whose link is down is no failure, and who waited hears of it.
func TestWaitReadyWarnsOfALink(t *testing.T) {
	s := newShell(t)
	self := s.command("run", "--name", "br0", "--port", "1:eth1", "--detach", "--wait-ready", "100ms", "--log-file", "w.log")
	cmd := exec.Command("unshare", append([]string{"-n", "sh", "-c", "ip link add eth1 type veth peer name far && ip link set eth1 up || exit 77; \"$0\" \"$@\" && ip link del eth1"}, self.Args...)...)
	cmd.Env, cmd.Dir = self.Env, self.Dir
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); err != nil && (os.Geteuid() != 0 || code == 77) && os.Getenv("CI") != "true" {
		t.Skipf("a device in a network namespace: %s", out)
	}
	if want := "weir: warning: ready, but without a link: bridge br0: port eth1 (1:eth1,name=eth1) has no link\n"; err != nil || string(out) != want {
		t.Fatalf("%v, %s, want %s", err, out, want)
	}
	s.until("a warning that the device has gone, which had no link to lose", func() bool {
		log, _ := os.ReadFile(filepath.Join(s.dir, "w.log"))
		return strings.Contains(string(log), `level=warning msg="there is no interface eth1; the port starts to work when there is"`)
	})
}
