package guest

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Config says what machine to boot. The zero value has no network card.
type Config struct {
	// Netdevs are qemu's -netdev arguments without an id, such as
	// "stream,addr.type=unix,addr.path=/run/w.sock" or "tap,ifname=t0,script=no".
	// The first is the guest's eth0, with the address 52:54:00:00:00:01 and so on.
	Netdevs []string
	// CardOptions are added to every card's -device virtio-net-pci.
	CardOptions string
	// Suite of Debian that the kernel is from, such as "trixie-backports"; empty: one that apt here knows.
	Suite string
	// Files are put into the guest: its path without a leading slash, and the file here. All of them may be executed.
	Files map[string]string
	// Memory of the machine in MiB; 0: 192.
	Memory int
	// KernelOptions are added to the kernel's command line.
	KernelOptions string
	// Dir keeps the kernel between runs; empty: the user's cache directory.
	Dir string
	// KVM asks for the processor's help where /dev/kvm works.
	KVM bool
}

// Guest is a running machine.
type Guest struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	ended chan struct{} // closed when qemu is gone
	err   error         // why; to be read after ended
	once  sync.Once
	log   tail
}

// Start boots a machine and waits until its shell listens, which takes some
// ten seconds of software emulation.
func Start(ctx context.Context, c Config) (*Guest, error) {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return nil, fmt.Errorf("%w: qemu-system-x86_64 is not installed (apt-get install qemu-system-x86)", ErrMissing)
	}
	dir := c.Dir
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = os.TempDir()
		}
		dir = filepath.Join(cache, "weir-guest")
	}
	kernel, initramfs, err := image(ctx, dir, &c)
	if err != nil {
		return nil, err
	}
	defer os.Remove(initramfs)
	g := &Guest{cmd: exec.Command(qemu, c.arguments(kernel, initramfs)...), lines: make(chan string, 256), ended: make(chan struct{})}
	if err := g.boot(); err != nil {
		return nil, err
	}
	if _, err := g.until(ctx, readyMark); err != nil {
		g.Close()
		return nil, fmt.Errorf("the guest did not boot: %w\n%s", err, g.log.String())
	}
	return g, nil
}

// arguments is qemu's command line.
func (c *Config) arguments(kernel, initramfs string) []string {
	accel := "tcg"
	if c.KVM {
		accel = "kvm:tcg"
	}
	args := []string{"-machine", "pc,accel=" + accel, "-m", strconv.Itoa(cmp.Or(c.Memory, 192)), "-smp", "1", "-nodefaults", "-no-reboot",
		"-display", "none", "-monitor", "none", "-serial", "stdio",
		"-kernel", kernel, "-initrd", initramfs,
		"-append", "console=ttyS0 quiet loglevel=1 panic=-1 nokaslr mitigations=off tsc=reliable " + c.KernelOptions}
	for i, n := range c.Netdevs {
		kind, rest, _ := strings.Cut(n, ",")
		id := fmt.Sprintf("net%d", i)
		device := fmt.Sprintf("virtio-net-pci,netdev=%s,mac=52:54:00:00:00:%02x,romfile=", id, i+1)
		if c.CardOptions != "" {
			device += "," + c.CardOptions
		}
		args = append(args, "-netdev", strings.TrimSuffix(kind+",id="+id+","+rest, ","), "-device", device)
	}
	return args
}

// boot starts qemu and reads its serial line.
func (g *Guest) boot() error {
	// The machine must not outlive a test that is killed.
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if g.in, err = g.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	g.cmd.Stderr = &g.log
	if err := g.cmd.Start(); err != nil {
		return err
	}
	go func() {
		s := bufio.NewScanner(out)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			line := strings.TrimRight(s.Text(), "\r")
			fmt.Fprintln(&g.log, line)
			g.lines <- line
		}
		_, _ = io.Copy(io.Discard, out)
		g.err = g.cmd.Wait()
		close(g.ended)
	}()
	return nil
}

// until collects lines up to the one that begins with mark.
func (g *Guest) until(ctx context.Context, mark string) (lines []string, err error) {
	for {
		select {
		case line := <-g.lines:
			if strings.HasPrefix(line, mark) {
				return append(lines, line), nil
			}
			lines = append(lines, line)
		case <-g.ended:
			return lines, fmt.Errorf("qemu ended: %v", g.err)
		case <-ctx.Done():
			return lines, ctx.Err()
		}
	}
}

// Run gives one line to the guest's shell and waits for its end. A status
// other than 0 is an error that holds the output. After an error of ctx the
// guest is still busy: only Close makes sense then.
func (g *Guest) Run(ctx context.Context, line string) (string, error) {
	if strings.ContainsRune(line, '\n') {
		return "", errors.New("one line at a time: join commands by semicolons")
	}
	if _, err := io.WriteString(g.in, line+"\n"); err != nil {
		return "", fmt.Errorf("guest: %w", err)
	}
	lines, err := g.until(ctx, exitMark)
	out := strings.Join(lines, "\n")
	if err != nil {
		return out, fmt.Errorf("guest: %s: %w\n%s", line, err, out)
	}
	last := lines[len(lines)-1]
	out = strings.TrimSpace(strings.Join(lines[:len(lines)-1], "\n"))
	status, err := strconv.Atoi(strings.TrimPrefix(last, exitMark))
	if err != nil || status != 0 {
		return out, fmt.Errorf("guest: %s: status %s\n%s", line, strings.TrimPrefix(last, exitMark), out)
	}
	return out, nil
}

// Console is the end of what the machine has said, for a failed test's log.
func (g *Guest) Console() string { return g.log.String() }

// Close ends the machine.
func (g *Guest) Close() error {
	g.once.Do(func() {
		_ = g.cmd.Process.Kill() // it has no disk that could be left torn
		for {
			select {
			case <-g.lines: // let the reader come to its end
				continue
			case <-g.ended:
			}
			return
		}
	})
	return nil
}

// tail keeps the last bytes that were written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	const most = 16 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > 2*most {
		t.b = append(t.b[:0], t.b[len(t.b)-most:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
