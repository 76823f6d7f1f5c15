package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is for what should not happen: no passing test waits it out.
const patience = time.Minute

// holderEnv makes the test binary a program that opens a lab and waits to be killed.
const holderEnv = "WEIR_LAB_TEST_HOLDER"

func TestMain(m *testing.M) {
	if err := Enter(); err != nil {
		if os.Getenv("CI") == "true" {
			fmt.Fprintln(os.Stderr, "lab:", err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, "skip: lab:", err)
		os.Exit(0)
	}
	if os.Getenv(holderEnv) != "" {
		hold()
	}
	os.Exit(m.Run())
}

// bridged is a lab whose switch is the kernel's own bridge.
func bridged(t *testing.T, hosts int) (*Lab, []*Host) {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	var ports []string
	for i := 1; i <= hosts; i++ {
		port := fmt.Sprintf("eth%d", i)
		_, err := l.AddHost(fmt.Sprintf("h%d", i), port, fmt.Sprintf("10.0.0.%d/24", i), fmt.Sprintf("fd00::%d/64", i))
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	if err := l.Switch.AddBridge("br0", ports...); err != nil {
		t.Fatal(err)
	}
	return l, l.Hosts()
}

func TestPing(t *testing.T) {
	_, hosts := bridged(t, 3)
	for _, a := range hosts {
		for _, b := range hosts {
			for _, to := range []netip.Addr{b.Addr4(), b.Addr6()} {
				if _, err := a.Ping(to, 56, patience); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if _, err := hosts[0].Ping(hosts[1].Addr4(), 4000, patience); err != nil {
		t.Error("fragments:", err)
	}
	if _, err := hosts[0].Ping(netip.MustParseAddr("10.0.0.99"), 56, 300*time.Millisecond); !errors.Is(err, ErrNoReply) {
		t.Errorf("ping to nobody: %v, want %v", err, ErrNoReply)
	}
	if n, err := hosts[0].PingCount(hosts[1].Addr4(), 20, patience); n != 20 || err != nil {
		t.Errorf("%d of 20 answered, %v", n, err)
	}
}

func TestTransfer(t *testing.T) {
	_, hosts := bridged(t, 2)
	for _, to := range []netip.Addr{hosts[1].Addr4(), hosts[1].Addr6()} {
		r, err := Transfer{From: hosts[0].Space, To: hosts[1].Space, Addr: to, Bytes: 50<<20 + 3, Hash: true}.Run()
		if err != nil {
			t.Fatal(err)
		}
		t.Log(to, r)
	}
}

// A transfer over a path that breaks must fail in time rather than hang.
func TestTransferFails(t *testing.T) {
	_, hosts := bridged(t, 2)
	if _, err := hosts[0].Ping(hosts[1].Addr4(), 56, patience); err != nil {
		t.Fatal(err)
	}
	tr := Transfer{From: hosts[0].Space, To: hosts[1].Space, Addr: hosts[1].Addr4(), Bytes: 1 << 40, Limit: 500 * time.Millisecond}
	if _, err := tr.Run(); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) { // the second while it connects
		t.Errorf("got %v, want a deadline", err)
	}
}

func TestStreamSeesLoss(t *testing.T) {
	l, hosts := bridged(t, 2)
	if _, err := hosts[0].Ping(hosts[1].Addr4(), 56, patience); err != nil {
		t.Fatal(err)
	}
	s, err := StartStream(hosts[0].Space, hosts[1].Space, hosts[1].Addr4(), 2000, 100)
	if err != nil {
		t.Fatal(err)
	}
	for s.Report().Received < 100 {
		time.Sleep(time.Millisecond)
	}
	if r := s.Stop(); r.Lost() != 0 || r.Doubled != 0 {
		t.Errorf("a bridge lost frames: %v", r)
	}
	if s, err = StartStream(hosts[0].Space, hosts[1].Space, hosts[1].Addr4(), 2000, 100); err != nil {
		t.Fatal(err)
	}
	for s.Report().Received < 50 {
		time.Sleep(time.Millisecond)
	}
	if err := l.Switch.LinkDown("br0"); err != nil {
		t.Fatal(err)
	}
	for base := s.Report().Sent; s.Report().Sent < base+50; {
		time.Sleep(time.Millisecond)
	}
	if r := s.Stop(); r.Lost() < 40 {
		t.Errorf("a bridge that was down lost only this: %v", r)
	}
}

func TestStreamCounts(t *testing.T) {
	s := &Stream{seen: map[uint64]bool{}}
	for _, n := range []uint64{0, 1, 4, 2, 4, 5} {
		s.count(n)
	}
	s.sent.Store(6)
	want := Report{Sent: 6, Received: 6, Doubled: 1, Overtaken: 1}
	if r := s.Report(); r != want || r.Lost() != 1 {
		t.Errorf("got %v, want %v and 1 lost", r, want)
	}
}

// A host that was unplugged comes back with its addresses and MAC.
func TestPlugAgain(t *testing.T) {
	l, hosts := bridged(t, 2)
	for range 3 {
		if err := hosts[0].Unplug(); err != nil {
			t.Fatal(err)
		}
		if l.Switch.HasLink("eth1") {
			t.Fatal("eth1 is still there")
		}
		if err := hosts[0].Plug(); err != nil {
			t.Fatal(err)
		}
		if err := l.Switch.Enslave("eth1", "br0"); err != nil {
			t.Fatal(err)
		}
		if _, err := hosts[1].Ping(hosts[0].Addr6(), 56, patience); err != nil {
			t.Error(err)
		}
	}
}

func TestProcess(t *testing.T) {
	l, hosts := bridged(t, 1)
	out, err := hosts[0].Run(context.Background(), "cat", "/proc/net/dev")
	if err != nil || !strings.Contains(out, "eth0") || strings.Contains(out, "br0") {
		t.Errorf("a process in a host sees %q, %v", out, err)
	}
	if out, err = l.Switch.Run(context.Background(), "sh", "-c", "echo no; exit 3"); err == nil || out != "no\n" {
		t.Errorf("a failing process: %q, %v", out, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.Switch.Run(ctx, "sleep", "60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a process that does not end: %v", err)
	}
	p, err := l.Start(Cmd{Path: "sleep", Args: []string{"60"}})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if p.Running() {
		t.Error("Close left a process")
	}
	if err := hosts[0].Do(func() error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("Do after Close: %v", err)
	}
}

// hold opens a lab with a process in it, tells their marks, and waits.
func hold() {
	l, err := New()
	if err == nil {
		_, err = l.AddHost("h1", "eth1", "10.0.0.1/24")
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	p, err := l.Start(Cmd{Path: "sleep", Args: []string{"1000"}})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	ns, _ := os.Readlink(l.Switch.Path())
	fmt.Println(p.PID(), ns)
	select {}
}

// kill -9 of the lab's program leaves neither process nor namespace.
func TestNothingSurvivesKill(t *testing.T) {
	tmp := t.TempDir()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holderEnv+"=1", "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var ns string
	if _, err := fmt.Fscan(out, &pid, &ns); err != nil {
		t.Fatal(err)
	}
	before := threadsIn(ns)
	if !strings.HasPrefix(ns, "net:[") || len(before) == 0 {
		t.Fatalf("namespace %q is not seen", ns)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		gone := syscall.Kill(pid, 0) == syscall.ESRCH
		// The kernel may have given the namespace's number to another one: it is our threads that must not be in it.
		left := slices.DeleteFunc(threadsIn(ns), func(id string) bool { return !slices.Contains(before, id) })
		if gone && len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d gone: %v, threads in %s: %v", pid, gone, ns, left)
		}
	}
	// Its directory, which nobody could remove any more, goes with the next lab.
	left, _ := filepath.Glob(tmp + "/*")
	if len(left) != 1 {
		t.Fatalf("%v: want one directory", left)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(left[0], old, old); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", tmp)
	next, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(next.Dir(), old, old); err != nil {
		t.Fatal(err)
	}
	removeStale()
	if _, err := os.Stat(next.Dir()); err != nil {
		t.Error("a living lab's directory was removed:", err)
	}
	next.Close()
	if left, _ := filepath.Glob(tmp + "/*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// threadsIn lists the threads of the machine that are in a network namespace.
func threadsIn(ns string) (ids []string) {
	tasks, _ := os.ReadDir("/proc")
	for _, e := range tasks {
		threads, _ := os.ReadDir("/proc/" + e.Name() + "/task")
		for _, th := range threads {
			if l, err := os.Readlink("/proc/" + e.Name() + "/task/" + th.Name() + "/ns/net"); err == nil && l == ns {
				ids = append(ids, th.Name())
			}
		}
	}
	return ids
}

// A stream that is damaged, shortened or swapped on its way is found without any sum.
func TestTransferComparesContent(t *testing.T) {
	s, err := NewSpace("one")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const size = 3*chunk + 5
	whole := func() (b []byte) {
		p := newPattern(size)
		for n := range int64(4) {
			b = append(b, p.chunk(n)...)
		}
		return b
	}
	damaged, swapped := whole(), whole()
	damaged[2*chunk+100] ^= 1
	copy(swapped, whole()[chunk:2*chunk])
	copy(swapped[chunk:], whole()[:chunk])
	for name, c := range map[string]struct {
		sent []byte
		ok   bool
	}{"whole": {whole(), true}, "damaged": {damaged, false}, "swapped": {swapped, false}, "longer": {append(whole(), 1), false}} {
		ln, err := s.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if conn, err := s.Dial(context.Background(), "tcp", ln.Addr().String()); err == nil {
				_, _ = conn.Write(c.sent)
				conn.Close()
			}
		}()
		counted := make(chan struct{})
		close(counted)
		r := Transfer{Bytes: size}.receive(ln, time.Now().Add(patience), counted)
		ln.Close()
		if good := r.err == nil && r.n == size; good != c.ok {
			t.Errorf("%s: %d bytes, %v", name, r.n, r.err)
		}
	}
}
