package ports

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestRights opens ports without rights: the error names the capability and
// says how it is granted. In a user namespace of its own, packet sockets work.
func TestRights(t *testing.T) {
	const child = "WEIR_TEST_PORTS_RIGHTS"
	if text := os.Getenv(child); text != "" {
		spec, _ := ParseSpec(text)
		p, err := Open(spec, Options{})
		if err != nil {
			_, _ = os.Stdout.WriteString("refused: " + err.Error() + "\n")
			os.Exit(0)
		}
		_, _ = os.Stdout.WriteString("opened\n")
		_ = p.Close()
		os.Exit(0)
	}
	newSpace(t) // root, or skip
	program := filepath.Join(t.TempDir(), "ports.test")
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(program); len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755)
	}
	open := func(text string, attr *syscall.SysProcAttr) string {
		cmd := exec.Command(program, "-test.run=^TestRights$")
		cmd.Env, cmd.Dir, cmd.SysProcAttr = append(os.Environ(), child+"="+text), "/", attr
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", text, err, out)
		}
		return string(out)
	}
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out := open("eth0", nobody); !strings.Contains(out, "CAP_NET_RAW is missing") || !strings.Contains(out, "setcap") {
		t.Error(out)
	}
	if out := open("tap:t1", nobody); !strings.Contains(out, "CAP_NET_ADMIN is missing") && !strings.Contains(out, "chmod") {
		t.Error(out)
	} else {
		t.Log(out)
	}
	for _, capability := range []string{"CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF"} {
		if out := open("xdp:eth0", nobody); !strings.Contains(out, capability) || !strings.Contains(out, "setcap") {
			t.Error(out)
		}
	}
	own := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
	}
	if out := open("xdp:eth0", own); !strings.Contains(out, "CAP_BPF") || !strings.Contains(out, "outside of any user namespace") {
		t.Errorf("in a user namespace: %s", out)
	}
	if out := open("eth0", own); out != "opened\n" {
		t.Errorf("in a user namespace: %s", out)
	}
}
