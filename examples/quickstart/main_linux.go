// Command quickstart shows weir at work: three hosts in network namespaces talk through the switch that weir.yaml
// describes. It needs no program but weir, and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weirswitch/weir/integration/lab"
)

const (
	hosts     = 3
	bridge    = "br0"
	patience  = 30 * time.Second
	exitSigns = 130 // what a shell reports for a program ended by Ctrl-C
)

func main() {
	var o options
	flag.StringVar(&o.weir, "weir", "bin/weir", "the switch's program")
	flag.StringVar(&o.config, "config", "examples/quickstart/weir.yaml", "the switch's configuration")
	flag.IntVar(&o.megabytes, "megabytes", 1000, "how much each TCP stream moves")
	flag.BoolVar(&o.keep, "keep", false, "leave the lab up until Ctrl-C")
	flag.Parse()
	if err := lab.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
	os.Exit(o.main())
}

// options is the command line.
type options struct {
	weir, config string
	megabytes    int
	keep         bool
}

// main runs the show beside the signal's arrival, so that Ctrl-C cuts it short at any point.
func (o options) main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	l, err := lab.New()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		return 1
	}
	defer l.Close()
	out := &gate{w: os.Stdout}
	result := make(chan error, 1)
	go func() { result <- show{options: o, lab: l, out: out}.run(ctx) }()
	defer out.shut() // before Close: how weir takes its leave is not part of the show
	select {
	case err := <-result:
		if err != nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintln(os.Stderr, "quickstart:", err)
			return 1
		}
		return 0
	case <-ctx.Done():
		if o.keep {
			o.stopAll(l)
			return 0
		}
		return exitSigns
	}
}

// stopAll stops the bridges that a visitor has started in the lab, too: their run directory goes with it.
func (o options) stopAll(l *lab.Lab) {
	bin, err := filepath.Abs(o.weir)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := l.Switch.RunCmd(ctx, lab.Cmd{Path: bin, Args: []string{"--rundir", l.Dir(), "stop"}}); err != nil {
		fmt.Fprintf(os.Stderr, "quickstart: %v: %s\n", err, strings.TrimSpace(out))
	}
}

// gate is an output that can be shut: after Ctrl-C the half-done show says nothing more.
type gate struct {
	mu   sync.Mutex
	w    io.Writer
	done bool
}

// Write passes b on, or swallows it.
func (g *gate) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done {
		return len(b), nil
	}
	return g.w.Write(b)
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done = true
}

// show is one run: the lab, the switch in it and where the story is told.
type show struct {
	options
	lab  *lab.Lab
	out  io.Writer
	weir *lab.Proc
}

// run tells the story in order:
//  1. three hosts, and weir between them
//  2. every host pings every other, IPv4 and IPv6
//  3. TCP between two of them, checked byte for byte
//  4. what the switch has learned and counted
func (s show) run(ctx context.Context) error {
	steps := []func(context.Context) error{s.hosts, s.start, s.pings, s.streams, s.tables}
	if s.keep {
		steps = append(steps, s.wait)
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *show) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *show) hosts(context.Context) error {
	s.say("Three hosts, each in a network namespace, a veth link from each to the switch's namespace:")
	for i := 1; i <= hosts; i++ {
		name, port := fmt.Sprintf("h%d", i), fmt.Sprintf("eth%d", i)
		h, err := s.lab.AddHost(name, port, fmt.Sprintf("10.0.0.%d/24", i), fmt.Sprintf("fd00::%d/64", i))
		if err != nil {
			return err
		}
		s.say("  %s  %-11s %-11s %s  on %s", h.Name, h.Addrs[0], h.Addrs[1], h.MAC, h.Port)
	}
	return nil
}

func (s *show) start(ctx context.Context) error {
	s.say("\n$ weir run -c %s", s.config)
	bin, err := filepath.Abs(s.options.weir)
	if err != nil {
		return err
	}
	s.options.weir = bin
	s.weir, err = s.lab.Start(lab.Cmd{Path: bin, Args: []string{"run", "-c", s.config}, Env: s.env(), Echo: s.out})
	if err != nil {
		return err
	}
	return s.ready(ctx)
}

// env points weir and its client commands at the lab's own run directory.
func (s *show) env() []string { return []string{"OVS_RUNDIR=" + s.lab.Dir()} }

// ready waits until weir says that the bridge runs.
func (s *show) ready(ctx context.Context) error {
	for deadline := time.Now().Add(patience); ; {
		if _, err := s.client(ctx, "status", bridge); err == nil {
			return nil
		}
		select {
		case <-s.weir.Done():
			return fmt.Errorf("weir ended: %w: %s", s.weir.Wait(), s.weir.Output())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("weir is not ready after %v: %s", patience, s.weir.Output())
		}
	}
}

// client runs a client command of weir.
func (s *show) client(ctx context.Context, args ...string) (string, error) {
	return s.lab.Switch.RunCmd(ctx, lab.Cmd{Path: s.options.weir, Args: args, Env: s.env()})
}

func (s *show) pings(context.Context) error {
	s.say("\nEvery host pings every other (round-trip time in microseconds, IPv4 / IPv6):")
	all := s.lab.Hosts()
	for _, from := range all {
		var line strings.Builder
		for _, to := range all {
			if from == to {
				continue
			}
			v4, err := from.Ping(to.Addr4(), 56, patience)
			if err != nil {
				return err
			}
			v6, err := from.Ping(to.Addr6(), 56, patience)
			if err != nil {
				return err
			}
			fmt.Fprintf(&line, "   -> %s %5d / %-5d", to.Name, v4.Microseconds(), v6.Microseconds())
		}
		s.say("  %s%s", from.Name, strings.TrimRight(line.String(), " "))
	}
	return nil
}

func (s *show) streams(ctx context.Context) error {
	s.say("\nTCP with the hosts' default offloads, every byte compared:")
	all := s.lab.Hosts()
	from, to := all[0], all[1]
	for _, addr := range []struct {
		name string
		t    lab.Transfer
	}{
		{"IPv4", lab.Transfer{Addr: to.Addr4()}},
		{"IPv6", lab.Transfer{Addr: to.Addr6()}},
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		t := addr.t
		t.From, t.To, t.Bytes, t.Limit = from.Space, to.Space, int64(s.megabytes)*1e6, time.Minute
		r, err := t.Run()
		if err != nil {
			return err
		}
		s.say("  %s -> %s %s: %d MB in %.2f s, %.1f Gbit/s, all equal", from.Name, to.Name, addr.name,
			r.Bytes/1e6, r.Took.Seconds(), r.GbitPerSecond())
	}
	return nil
}

func (s *show) tables(ctx context.Context) error {
	for _, args := range [][]string{{"fdb", "show", bridge}, {"flows", bridge}, {"ports", bridge}} {
		s.say("\n$ weir %s", strings.Join(args, " "))
		text, err := s.client(ctx, args...)
		if err != nil {
			return err
		}
		s.say("%s", strings.TrimRight(text, "\n"))
	}
	return nil
}

// wait keeps the lab and tells how to look around in it.
func (s *show) wait(ctx context.Context) error {
	enter := "nsenter"
	if lab.Entered() {
		enter = fmt.Sprintf("nsenter --user=/proc/%d/ns/user --preserve-credentials", os.Getpid())
	}
	s.say("\nThe lab stays up until Ctrl-C. Enter it from another terminal:")
	env := fmt.Sprintf(`env "PATH=%s:$PATH" %s`, filepath.Dir(s.options.weir), s.env()[0])
	for _, h := range s.lab.Hosts() {
		s.say("  %-7s %s --net=%s %s bash", h.Name, enter, h.Path(), env)
	}
	s.say("  %-7s %s --net=%s %s bash", "switch", enter, s.lab.Switch.Path(), env)
	s.say("In the switch's shell: weir flows br0; ovs-ofctl -O OpenFlow13 dump-flows br0. In a host's: ping 10.0.0.2\n"+
		"%s runs and has eth1, eth2 and eth3: stop it first (weir stop %s) to start a bridge of your own, as in README.md.\n"+
		"OVS_RUNDIR is set, so that weir and ovs-ofctl find it. Bridges that still run there end with the lab.", bridge, bridge)
	<-ctx.Done()
	return ctx.Err()
}
