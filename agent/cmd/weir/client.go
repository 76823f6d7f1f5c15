// Slow path: the commands that talk to running bridges.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/weirswitch/weir/agent"
)

// absolute makes a path independent of where the reader of it runs.
func absolute(path *string) (err error) {
	*path, err = filepath.Abs(*path)
	return err
}

// dial connects to a bridge.
func (t *tool) dial(name string) (*agent.Client, error) {
	dir, err := t.dir()
	if err != nil {
		return nil, err
	}
	return agent.Dial(dir, name)
}

// one connects to the bridge that the words name, or to the only one that runs.
func (t *tool) one(words []string) (*agent.Client, error) {
	if len(words) > 0 {
		return t.dial(words[0])
	}
	names, err := t.running()
	if err != nil {
		return nil, err
	}
	if len(names) > 1 {
		return nil, usagef("which bridge? There are %s", strings.Join(names, ", "))
	}
	return t.dial(names[0])
}

// running lists the bridges of the run directory; none is an error.
func (t *tool) running() ([]string, error) {
	dir, err := t.dir()
	if err != nil {
		return nil, err
	}
	names := agent.Running(dir)
	if len(names) == 0 {
		return nil, fmt.Errorf("no bridge runs in %s: start one with \"weir run\", or name another folder with --rundir", dir)
	}
	return names, nil
}

// each calls f for the named bridges, or for all that run, until ctx ends. It goes on after an error.
func (t *tool) each(ctx context.Context, names []string, f func(*agent.Client) error) error {
	if len(names) == 0 {
		var err error
		if names, err = t.running(); err != nil {
			return err
		}
	}
	var errs []error
	silent := map[int]bool{} // processes that need not be waited for once more
	for _, name := range names {
		c, err := t.dial(name)
		switch {
		case err == nil && silent[c.PID]:
			c.Close()
			err = &agent.UnansweredError{Bridge: name, PID: c.PID}
		case err == nil:
			stop := context.AfterFunc(ctx, func() { c.Close() })
			err = f(c)
			stop()
			c.Close()
		}
		var unanswered *agent.UnansweredError
		if errors.As(err, &unanswered) && unanswered.PID != 0 {
			silent[unanswered.PID] = true
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (t *tool) status(fs *flag.FlagSet) func([]string) error {
	connected := fs.Bool("connected", false, "exit 0 when a controller is there or none is needed, else 1; a standalone bridge needs none")
	v := viewFlags(t, fs)
	return func(names []string) error {
		if *connected && v.every > 0 {
			return usagef("--connected and --watch: choose one")
		}
		ask := func(ctx context.Context) ([]bridgeRow, error) {
			all := []bridgeRow{}
			err := t.each(ctx, names, func(c *agent.Client) error {
				s, err := c.Status()
				if err == nil {
					all = append(all, bridgeRow{BridgeStatus: s})
				}
				return err
			})
			return all, err
		}
		if *connected {
			return connectedOrQuiet(ask(context.Background()))
		}
		return present(v, shown[[]bridgeRow]{title: title("status", names), ask: ask, part: true, rates: bridgeRates, print: printBridges})
	}
}

// connectedOrQuiet is the answer of --connected: a standalone bridge needs nobody.
func connectedOrQuiet(all []bridgeRow, err error) error {
	if err != nil {
		return err
	}
	for _, s := range all {
		if !s.Connected && s.FailMode != string(agent.FailStandalone) {
			return errQuiet
		}
	}
	return nil
}

// title is what was typed.
func title(command string, words []string) string {
	return strings.Join(append([]string{command}, words...), " ")
}

// show is status and ports of each bridge.
func (t *tool) show(fs *flag.FlagSet) func([]string) error {
	v := viewFlags(t, fs)
	return func(names []string) error {
		ask := func(ctx context.Context) ([]shownRow, error) {
			all := []shownRow{}
			err := t.each(ctx, names, func(c *agent.Client) error {
				s, err := c.Status()
				if err != nil {
					return err
				}
				list, err := portRows(c)
				all = append(all, shownRow{bridgeRow{BridgeStatus: s}, list})
				return err
			})
			return all, err
		}
		return present(v, shown[[]shownRow]{title: title("show", names), ask: ask, part: true, rates: shownRates, print: printShown})
	}
}

// rows asks for a list and makes rows of it.
func rows[T, R any](list []T, err error, row func(T) R) ([]R, error) {
	out := make([]R, 0, len(list))
	for _, v := range list {
		out = append(out, row(v))
	}
	return out, err
}

func portRows(c *agent.Client) ([]portRow, error) {
	list, err := c.Ports()
	return rows(list, err, func(p agent.PortStatus) portRow { return portRow{PortStatus: p} })
}

// ofOne is a command that shows a list of one bridge.
func ofOne[R any](t *tool, v *view, command string, ask func(*agent.Client) ([]R, error), rates func(was, is []R, seconds float64),
	print func(io.Writer, []R, bool)) func([]string) error {
	return func(words []string) error {
		return present(v, shown[[]R]{title: title(command, words), rates: rates, print: print, ask: func(ctx context.Context) ([]R, error) {
			c, err := t.one(words)
			if err != nil {
				return nil, err
			}
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			return ask(c)
		}})
	}
}

func (t *tool) ports(fs *flag.FlagSet) func([]string) error {
	return ofOne(t, viewFlags(t, fs), "ports", portRows, portRates, printPorts)
}

func (t *tool) flows(fs *flag.FlagSet) func([]string) error {
	table := -1
	fs.Func("table", "`N` only this table", func(text string) error {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil || n > 254 {
			return errors.New("expected the number of a table, 0 to 254")
		}
		table = int(n)
		return nil
	})
	return ofOne(t, viewFlags(t, fs), "flows", func(c *agent.Client) ([]flowRow, error) {
		list, err := c.Flows(table)
		return rows(list, err, func(f agent.FlowStatus) flowRow { return flowRow{FlowStatus: f} })
	}, flowRates, printFlows)
}

func (t *tool) groups(fs *flag.FlagSet) func([]string) error {
	return ofOne(t, viewFlags(t, fs), "groups", func(c *agent.Client) ([]groupRow, error) {
		list, err := c.Groups()
		return rows(list, err, func(g agent.GroupStatus) groupRow { return groupRow{GroupStatus: g} })
	}, groupRates, printGroups)
}

func (t *tool) meters(fs *flag.FlagSet) func([]string) error {
	return ofOne(t, viewFlags(t, fs), "meters", func(c *agent.Client) ([]meterRow, error) {
		list, err := c.Meters()
		return rows(list, err, func(m agent.MeterStatus) meterRow { return meterRow{MeterStatus: m} })
	}, meterRates, printMeters)
}

func (t *tool) fdbShow(fs *flag.FlagSet) func([]string) error {
	return ofOne(t, viewFlags(t, fs), "fdb", (*agent.Client).FDB, nil, printFDB)
}

func (t *tool) fdbFlush(fs *flag.FlagSet) func([]string) error {
	port := fs.String("port", "", "`PORT` only addresses learned on this port, by name or number")
	asJSON := fs.Bool("json", false, "print JSON")
	return func(words []string) error {
		c, err := t.one(words)
		if err != nil {
			return err
		}
		defer c.Close()
		n, err := c.FlushFDB(*port)
		switch {
		case err != nil:
			return err
		case *asJSON:
			return t.printJSON(agent.Flushed{Addresses: n})
		}
		fmt.Fprintf(t.out, "addresses forgotten: %d\n", n)
		return nil
	}
}

func (t *tool) portAdd(*flag.FlagSet) func([]string) error {
	return func(words []string) error {
		spec, err := agent.ParsePort(words[1])
		if err != nil {
			return usageError{err.Error()}
		}
		here, err := os.Getwd()
		if err != nil {
			return err
		}
		c, err := t.dial(words[0])
		if err != nil {
			return err
		}
		defer c.Close()
		there := spec.Absolute(here)
		p, err := c.AddPort(there.String())
		if err == nil {
			absent := ""
			if p.Absent {
				absent = " (absent)"
			}
			fmt.Fprintf(t.out, "port %s has the number %s%s\n", p.Name, portNumber(p.Number), absent)
		}
		return err
	}
}

func (t *tool) portDel(*flag.FlagSet) func([]string) error {
	return func(words []string) error {
		c, err := t.dial(words[0])
		if err != nil {
			return err
		}
		defer c.Close()
		return c.RemovePort(words[1])
	}
}

func (t *tool) reload(fs *flag.FlagSet) func([]string) error {
	file := fs.String("c", "", "`FILE` apply this file instead of the one given to \"weir run\"")
	return func(words []string) error {
		if *file != "" {
			if err := absolute(file); err != nil {
				return err
			}
		}
		if len(words) == 1 {
			return t.each(context.Background(), words, func(c *agent.Client) error { return t.reloadOne(c, *file, words[0]) })
		}
		return t.reloadProcesses(*file)
	}
}

// reloadProcesses asks each process of the run directory once. A file describes one
// process: with several running, naming a bridge says which is meant.
func (t *tool) reloadProcesses(file string) error {
	byPID := map[int][]string{}
	if err := t.each(context.Background(), nil, func(c *agent.Client) error {
		s, err := c.Status()
		byPID[s.Process.PID] = s.Process.Bridges
		return err
	}); err != nil {
		return err
	}
	if len(byPID) > 1 && file != "" {
		return usagef("%d processes run here, the file can describe one: name its bridge with \"weir reload BRIDGE -c FILE\"", len(byPID))
	}
	var errs []error
	for _, bridges := range byPID {
		errs = append(errs, t.each(context.Background(), bridges[:1], func(c *agent.Client) error { return t.reloadOne(c, file, "") }))
	}
	return errors.Join(errs...)
}

func (t *tool) reloadOne(c *agent.Client, file, only string) error {
	changes, err := c.Reload(file, only)
	for _, line := range changes {
		fmt.Fprintln(t.out, line)
	}
	if err == nil && len(changes) == 0 {
		fmt.Fprintln(t.out, "nothing to change")
	}
	return err
}

func (t *tool) stop(fs *flag.FlagSet) func([]string) error {
	wait := fs.Bool("wait", true, "return when the bridge has stopped, and its process if it was the last; --wait=false: at once")
	return func(names []string) error {
		return t.each(context.Background(), unique(names), func(c *agent.Client) error { return c.Stop(*wait) })
	}
}

// unique leaves out what was said before.
func unique(words []string) (out []string) {
	for _, w := range words {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

func (t *tool) version(*flag.FlagSet) func([]string) error {
	return func([]string) error {
		release, built := version, ""
		if info, ok := debug.ReadBuildInfo(); ok {
			built = info.GoVersion
			if release == "" { // not built by the Makefile: the module's version, as go install knows it
				release = info.Main.Version
			}
		}
		fmt.Fprintf(t.out, "weir %s, OpenFlow 1.0 and 1.3 (0x01, 0x04), built with %s\n", release, built)
		return nil
	}
}
