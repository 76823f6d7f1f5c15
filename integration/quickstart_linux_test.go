package integration

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/lab"
)

// quickstart is one run of examples/quickstart, with a mark in its environment by which everything it starts is found.
type quickstart struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *lab.Output
	tmp  string
	mark string
	done chan error
}

// startQuickstart runs it as root or as an ordinary user.
func startQuickstart(t *testing.T, uid uint32, args ...string) *quickstart {
	t.Helper()
	bin, err := bins.qs()
	if err != nil {
		t.Fatal(err)
	}
	weir, err := bins.plain()
	if err != nil {
		t.Fatal(err)
	}
	q := &quickstart{t: t, out: new(lab.Output), tmp: publicDir(t), mark: fmt.Sprintf("WEIR_MARK=%d", rand.Uint64()), done: make(chan error, 1)}
	config, err := os.ReadFile("../examples/quickstart/weir.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(publicDir(t), "weir.yaml")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		t.Fatal(err)
	}
	q.cmd = exec.Command(bin, append([]string{"-weir", weir, "-config", file}, args...)...)
	q.cmd.Dir = "/"
	q.cmd.Env = append(os.Environ(), q.mark, "TMPDIR="+q.tmp)
	q.cmd.Stdout, q.cmd.Stderr = q.out, q.out
	q.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that the test can press Ctrl-C for it alone
	if uid != 0 {
		q.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	if err := q.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { q.done <- q.cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-q.cmd.Process.Pid, syscall.SIGKILL) })
	return q
}

// publicDir is a directory that any user may write to.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(bins.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// finish waits for the end and returns the exit status.
func (q *quickstart) finish() int {
	q.t.Helper()
	select {
	case <-q.done:
		return q.cmd.ProcessState.ExitCode()
	case <-time.After(5 * patience):
		q.t.Fatalf("quickstart does not end:\n%s", q.out)
		return -1
	}
}

// clean checks that no file and no process is left. Namespaces and links have no name and live only by processes.
func (q *quickstart) clean() {
	q.t.Helper()
	eventually(q.t, "processes gone", func() error {
		if left := marked(q.mark); len(left) != 0 {
			return fmt.Errorf("still running: %v", left)
		}
		return nil
	})
	if left, _ := os.ReadDir(q.tmp); len(left) != 0 {
		q.t.Errorf("quickstart left files behind: %v", left)
	}
}

// marked lists the processes whose environment has the mark.
func marked(mark string) (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		if env, err := os.ReadFile(f); err == nil && bytes.Contains(env, []byte(mark)) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "comm"))
			found = append(found, strings.TrimSpace(string(name)))
		}
	}
	return found
}

// story is what a run must show, in this order.
func story() []string {
	return []string{"h3  10.0.0.3/24", "$ weir run -c", "Every host pings every other", "h3   -> h1", "TCP with the hosts' default offloads",
		"h1 -> h2 IPv4: ", "h1 -> h2 IPv6: ", "$ weir fdb show br0", "0a:00:00:00:00:01", "$ weir flows br0", "NORMAL", "$ weir ports br0", "eth3"}
}

func TestQuickstart(t *testing.T) {
	start := time.Now()
	q := startQuickstart(t, 0)
	if code := q.finish(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	text := q.out.String()
	t.Logf("%v\n%s", time.Since(start), text)
	for _, part := range story() {
		_, rest, found := strings.Cut(text, part)
		if !found {
			t.Fatalf("no %q in what is left of the output:\n%s", part, text)
		}
		text = rest
	}
	q.clean()
}

// TestQuickstartUnprivileged is the same in a user namespace.
func TestQuickstartUnprivileged(t *testing.T) {
	needRoot(t) // to become another user; a run as an ordinary user has shown it already
	q := startQuickstart(t, nobody, "-megabytes", "100")
	if code := q.finish(); code != 0 {
		t.Errorf("exit status %d:\n%s", code, q.out)
	}
	wants(t, "quickstart", q.out.String(), story()...)
	q.clean()
}

// TestQuickstartInterrupted presses Ctrl-C at every stage of the story, as root and as an ordinary user.
func TestQuickstartInterrupted(t *testing.T) {
	for i, part := range story() {
		megabytes := "20"
		if strings.Contains(part, "TCP") {
			megabytes = "20000" // long enough to be in the middle of it
		}
		uid := uint32(0)
		if i%3 == 0 && !lab.Entered() {
			uid = nobody
		}
		q := startQuickstart(t, uid, "-megabytes", megabytes)
		eventually(t, part, func() error { return contains(q.out.String(), part) })
		if err := syscall.Kill(-q.cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if code := q.finish(); code != 130 && code != 0 { // 0: it had come to its end
			t.Errorf("interrupted at %q: exit status %d\n%s", part, code, q.out)
		}
		q.clean()
	}
}

// TestQuickstartKeep leaves the lab up, lets a stranger enter it as the text says, and goes with Ctrl-C.
func TestQuickstartKeep(t *testing.T) {
	need(t, "nsenter")
	q := startQuickstart(t, 0, "-keep", "-megabytes", "1")
	eventually(t, "the lab stays", func() error { return contains(q.out.String(), "until Ctrl-C") })
	_, line, _ := strings.Cut(q.out.String(), "another terminal:\n  h1 ")
	line, _, _ = strings.Cut(line, " bash\n")
	out, err := exec.Command("sh", "-c", line+" cat /proc/net/fib_trie").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "10.0.0.1") {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
	// A visitor stops the bridge and starts another one in the background, which ends with the lab.
	_, line, _ = strings.Cut(q.out.String(), "\n  switch ")
	line, _, _ = strings.Cut(line, " bash\n")
	wants(t, "hint", q.out.String(), "stop it first (weir stop br0)")
	visit := exec.Command("sh", "-c", line+` sh -c 'weir stop br0 && weir run --name mine --port 1:eth1 --detach --wait-ready 60s && weir ports mine'`)
	visit.Env = append(os.Environ(), q.mark)
	if out, err := visit.CombinedOutput(); err != nil || !strings.Contains(string(out), "eth1") {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
	_ = syscall.Kill(-q.cmd.Process.Pid, syscall.SIGINT)
	if code := q.finish(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	q.clean()
}

// TestQuickstartKilled: after kill -9 no process is left either.
func TestQuickstartKilled(t *testing.T) {
	q := startQuickstart(t, 0, "-keep", "-megabytes", "1")
	eventually(t, "the lab stays", func() error { return contains(q.out.String(), "until Ctrl-C") })
	_ = q.cmd.Process.Kill()
	q.finish()
	eventually(t, "processes gone", func() error {
		if left := marked(q.mark); len(left) != 0 {
			return fmt.Errorf("still running: %v", left)
		}
		return nil
	})
}
