package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopPatience is how long Stop waits after SIGTERM before it kills.
const stopPatience = 30 * time.Second

// Proc is a process in a namespace. It dies with the namespace's thread.
type Proc struct {
	cmd  *exec.Cmd
	out  *Output
	done chan struct{}
	err  error // of Wait; read after done
}

// Cmd says what to start.
type Cmd struct {
	Path string
	Args []string  // without the program's name
	Env  []string  // added to the program's own
	Dir  string    // working directory; empty for the caller's
	In   io.Reader // standard input; nil for none
	Echo io.Writer // gets a copy of the output as it comes; may be nil
	UID  uint32    // user and group to run as, without any capability; zero for the program's own
}

// Start runs a process in the namespace. Both its outputs are collected.
func (s *Space) Start(c Cmd) (*Proc, error) {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Dir = c.Dir
	cmd.Stdin = c.In
	out := &Output{echo: c.Echo}
	cmd.Stdout, cmd.Stderr = out, out
	// Its own process group: a terminal's Ctrl-C reaches the lab alone, which then stops its processes in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if c.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.UID, Gid: c.UID}
	}
	cmd.WaitDelay = 5 * time.Second // a grandchild may keep the pipe open
	if err := s.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("%s: start %s: %w", s.Name, c.Path, err)
	}
	p := &Proc{cmd: cmd, out: out, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Start runs a process in the switch's namespace and lets Close stop it.
func (l *Lab) Start(c Cmd) (*Proc, error) { return l.StartIn(l.Switch, c) }

// StartIn runs a process in a namespace and lets Close stop it.
func (l *Lab) StartIn(s *Space, c Cmd) (*Proc, error) {
	p, err := s.Start(c)
	if err == nil {
		l.mu.Lock()
		l.procs = append(l.procs, p)
		l.mu.Unlock()
	}
	return p, err
}

// Run runs a command in the namespace to its end and returns what it printed on both outputs.
func (s *Space) Run(ctx context.Context, path string, args ...string) (string, error) {
	return s.RunCmd(ctx, Cmd{Path: path, Args: args})
}

// RunCmd is Run with all settings of Cmd.
func (s *Space) RunCmd(ctx context.Context, c Cmd) (string, error) {
	p, err := s.Start(c)
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		<-p.done
		return p.Output(), fmt.Errorf("%s %s: %w", c.Path, strings.Join(c.Args, " "), ctx.Err())
	}
	if p.err != nil {
		return p.Output(), fmt.Errorf("%s %s: %w: %s", c.Path, strings.Join(c.Args, " "), p.err, p.out.tail(400))
	}
	return p.Output(), nil
}

// PID is the process id.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process alone.
func (p *Proc) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Kill ends the process and its group at once.
func (p *Proc) Kill() { _ = syscall.Kill(-p.PID(), syscall.SIGKILL) }

// Done is closed when the process has ended.
func (p *Proc) Done() <-chan struct{} { return p.done }

// Wait waits for the end and returns exec's error.
func (p *Proc) Wait() error {
	<-p.done
	return p.err
}

// Running says whether the process has not ended yet.
func (p *Proc) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Stop asks the process to end and kills it when it does not. It returns Wait's error, so a clean exit is nil.
func (p *Proc) Stop() error {
	if p.Running() {
		_ = p.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(stopPatience):
			p.Kill()
		}
	}
	<-p.done
	return p.err
}

// Output is what the process has printed so far.
func (p *Proc) Output() string { return p.out.String() }

// Output collects a process's output while others read it.
type Output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	echo io.Writer
}

// Write appends b.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.echo != nil {
		_, _ = o.echo.Write(b)
	}
	return o.buf.Write(b)
}

// String is the text so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *Output) tail(n int) string {
	s := strings.TrimSpace(o.String())
	if len(s) > n {
		s = "..." + s[len(s)-n:]
	}
	return s
}
