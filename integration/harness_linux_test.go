package integration

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/lab"
)

// patience is how long a condition may take to become true. It is not a delay: a passing test never waits it out. On a busy
// machine os-ken alone needs ten seconds to start.
const patience = time.Minute

// bins builds the programs under test, each once and only when a test asks for it.
var bins = struct {
	dir                          string
	plain, raced, qs, controller func() (string, error)
}{}

func TestMain(m *testing.M) {
	if err := lab.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		if inCI() {
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, "skip: all tests need network namespaces")
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weir-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	_ = os.Chmod(dir, 0o755) // the test of an ordinary user runs the program from here
	bins.dir = dir
	bins.plain = builder(dir, "weir", "CGO_ENABLED=0", "./agent/cmd/weir")
	bins.raced = builder(dir, "weir-race", "CGO_ENABLED=1", "-race", "./agent/cmd/weir")
	bins.qs = builder(dir, "quickstart", "CGO_ENABLED=0", "./examples/quickstart")
	bins.controller = builder(dir, "controller", "CGO_ENABLED=0", "./examples/controller")
	return m.Run()
}

// builder returns a function that builds a program of this repository the first time it is called.
func builder(dir, name, cgo string, args ...string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		out := filepath.Join(dir, name)
		cmd := exec.Command("go", append([]string{"build", "-trimpath", "-buildvcs=false", "-o", out}, args...)...)
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), cgo)
		if text, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w\n%s", strings.Join(args, " "), err, text)
		}
		return out, nil
	})
}

func inCI() bool { return os.Getenv("CI") == "true" }

// need skips the test when a program is missing; with CI=true that is a failure.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			lacking(t, "%s is not installed (make deps installs it on Debian)", p)
		}
	}
}

// needRoot skips the test when it needs what a user namespace does not give: /dev/net/tun, other users.
func needRoot(t *testing.T) {
	t.Helper()
	if lab.Entered() {
		lacking(t, "needs to be started by root")
	}
}

// lacking skips, or fails with CI=true.
func lacking(t *testing.T, format string, args ...any) {
	t.Helper()
	if inCI() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// bed is a lab with weir in it.
type bed struct {
	*lab.Lab
	t      *testing.T
	bin    string
	rundir string
}

// newBed makes a lab that ends with the test.
func newBed(t *testing.T) *bed {
	t.Helper()
	return newBedOf(t, bins.plain)
}

// newRaceBed is newBed with weir built by the race detector: a race it finds fails the test. Without a C compiler it
// is newBed.
func newRaceBed(t *testing.T) *bed {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil && !inCI() {
		return newBed(t)
	}
	return newBedOf(t, bins.raced)
}

func newBedOf(t *testing.T, build func() (string, error)) *bed {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	b := &bed{Lab: l, t: t, bin: bin, rundir: filepath.Join(l.Dir(), "run")}
	if err := os.Mkdir(b.rundir, 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

// addHosts makes hosts h1... on links eth1..., with addresses 10.0.0.N and fd00::N.
func (b *bed) addHosts(n int) []*lab.Host {
	b.t.Helper()
	for i := range n {
		b.addHost(i+1, 0)
	}
	return b.Hosts()
}

func (b *bed) addHost(i, mtu int) *lab.Host {
	b.t.Helper()
	h, err := b.AddHostAt(b.Switch, fmt.Sprintf("h%d", i), fmt.Sprintf("eth%d", i), mtu,
		fmt.Sprintf("10.0.0.%d/24", i), fmt.Sprintf("fd00::%d/64", i))
	if err != nil {
		b.t.Fatal(err)
	}
	return h
}

// weir is a running switch process.
type weir struct {
	*lab.Proc
	b      *bed
	struck bool // by Kill
}

// start runs "weir run" with flags and waits until the named bridges answer. At the test's end the process must still
// run, and must end cleanly.
func (b *bed) start(bridges []string, flags ...string) *weir {
	b.t.Helper()
	w := b.launch(flags...)
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("weir said:\n%s", w.Output())
		}
	})
	b.t.Cleanup(w.end)
	for _, br := range bridges {
		w.ready(br)
	}
	return w
}

// start1 is start for a single bridge br0 with the given ports.
func (b *bed) start1(flags ...string) *weir {
	b.t.Helper()
	return b.start([]string{"br0"}, append([]string{"--name", "br0"}, flags...)...)
}

// startYAML writes the configuration to a file and starts weir from it.
func (b *bed) startYAML(bridges []string, text string) (w *weir, file string) {
	b.t.Helper()
	file = b.write("weir.yaml", text)
	return b.start(bridges, "-c", file), file
}

func (b *bed) launch(flags ...string) *weir {
	b.t.Helper()
	p, err := b.Start(lab.Cmd{Path: b.bin, Args: append([]string{"run"}, flags...), Env: b.env()})
	if err != nil {
		b.t.Fatal(err)
	}
	return &weir{Proc: p, b: b}
}

// env points every tool at the run directory of this test, and makes the race detector's word final.
func (b *bed) env() []string {
	return []string{"OVS_RUNDIR=" + b.rundir, "GORACE=halt_on_error=1 exitcode=66"}
}

// ready waits until weir says that the bridge runs.
func (w *weir) ready(bridge string) {
	w.b.t.Helper()
	eventually(w.b.t, "bridge "+bridge+" ready", func() error {
		if !w.Running() {
			w.b.t.Fatalf("weir ended: %v\n%s", w.Wait(), w.Output())
		}
		_, err := w.b.try(w.b.bin, "status", bridge)
		return err
	})
}

// Kill ends weir at once, which end then expects.
func (w *weir) Kill() {
	w.struck = true
	w.Proc.Kill()
}

// end stops weir and checks that it had not ended by itself, and ends with status 0. What was killed may still be on its way:
// the kernel takes its sockets down one after the other.
func (w *weir) end() {
	if w.struck {
		_ = w.Wait()
		return
	}
	if !w.Running() {
		if err := w.Wait(); err != nil {
			w.b.t.Errorf("weir had ended: %v\n%s", err, w.Output())
		}
		return
	}
	if err := w.Stop(); err != nil {
		w.b.t.Errorf("weir did not end cleanly: %v\n%s", err, w.Output())
	}
}

// write puts a file into the lab's directory.
func (b *bed) write(name, text string) string {
	b.t.Helper()
	file := filepath.Join(b.Dir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return file
}

// try runs a program in the switch's namespace with the test's run directory.
func (b *bed) try(path string, args ...string) (string, error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return b.Switch.RunCmd(ctx, lab.Cmd{Path: path, Args: args, Env: b.env(), Dir: b.Dir()})
}

// must is try for what has to succeed.
func (b *bed) must(path string, args ...string) string {
	b.t.Helper()
	out, err := b.try(path, args...)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// cli runs a client command of weir.
func (b *bed) cli(args ...string) string { b.t.Helper(); return b.must(b.bin, args...) }

// ofctl runs the real ovs-ofctl against weir.
func (b *bed) ofctl(args ...string) string {
	b.t.Helper()
	return b.must("ovs-ofctl", append([]string{"-O", "OpenFlow13"}, args...)...)
}

// eventually polls a condition until it holds.
func eventually(t *testing.T, what string, cond func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = cond(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not after %v: %v", what, patience, err)
}

// ping demands an answer within patience.
func ping(t *testing.T, from *lab.Space, to netip.Addr) {
	t.Helper()
	if _, err := from.Ping(to, 56, patience); err != nil {
		t.Error(err)
	}
}

// pingAll lets every host ping every other by both families.
func pingAll(t *testing.T, hosts []*lab.Host) {
	t.Helper()
	for _, a := range hosts {
		for _, b := range hosts {
			if a != b {
				ping(t, a.Space, b.Addr4())
				ping(t, a.Space, b.Addr6())
			}
		}
	}
}

// transfer demands that all bytes arrive unchanged.
func transfer(t *testing.T, from, to *lab.Space, addr netip.Addr, bytes int64) lab.Result {
	t.Helper()
	r, err := lab.Transfer{From: from, To: to, Addr: addr, Bytes: bytes, Hash: true, Limit: 2 * time.Minute}.Run()
	if err != nil {
		t.Fatal(err)
	}
	return r
}
