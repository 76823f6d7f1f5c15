// Slow path: the commands that talk to running bridges.

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
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

// each calls f for the named bridges, or for all that run. It goes on after an error.
func (t *tool) each(names []string, f func(*agent.Client) error) error {
	if len(names) == 0 {
		var err error
		if names, err = t.running(); err != nil {
			return err
		}
	}
	var errs []error
	for _, name := range names {
		c, err := t.dial(name)
		if err == nil {
			err = f(c)
			c.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (t *tool) status(fs *flag.FlagSet) func([]string) error {
	connected := fs.Bool("connected", false, "exit 0 when a controller is there or none is needed, else 1")
	asJSON := fs.Bool("json", false, "print JSON")
	return func(names []string) error {
		all := []agent.BridgeStatus{}
		err := t.each(names, func(c *agent.Client) error {
			s, err := c.Status()
			if err == nil {
				all = append(all, s)
			}
			return err
		})
		if *connected {
			return connectedOrQuiet(all, err)
		}
		if *asJSON && err == nil {
			return t.printJSON(all)
		}
		for i := range all {
			t.printStatus(&all[i])
		}
		return err
	}
}

// connectedOrQuiet is the answer of --connected: a standalone bridge needs nobody.
func connectedOrQuiet(all []agent.BridgeStatus, err error) error {
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

func (t *tool) ports(fs *flag.FlagSet) func([]string) error {
	asJSON := fs.Bool("json", false, "print JSON")
	return func(words []string) error {
		return show(t, words, *asJSON, (*agent.Client).Ports, t.printPorts)
	}
}

func (t *tool) flows(fs *flag.FlagSet) func([]string) error {
	asJSON := fs.Bool("json", false, "print JSON")
	table := -1
	fs.Func("table", "`N` only this table", func(text string) error {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil || n > 254 {
			return errors.New("expected the number of a table, 0 to 254")
		}
		table = int(n)
		return nil
	})
	return func(words []string) error {
		return show(t, words, *asJSON, func(c *agent.Client) ([]agent.FlowStatus, error) { return c.Flows(table) }, t.printFlows)
	}
}

func (t *tool) groups(fs *flag.FlagSet) func([]string) error {
	asJSON := fs.Bool("json", false, "print JSON")
	stats := fs.Bool("stats", false, "counters in place of buckets")
	return func(words []string) error {
		return show(t, words, *asJSON, (*agent.Client).Groups, func(list []agent.GroupStatus) { t.printGroups(list, *stats) })
	}
}

func (t *tool) meters(fs *flag.FlagSet) func([]string) error {
	asJSON := fs.Bool("json", false, "print JSON")
	return func(words []string) error {
		return show(t, words, *asJSON, (*agent.Client).Meters, t.printMeters)
	}
}

func (t *tool) fdbShow(fs *flag.FlagSet) func([]string) error {
	asJSON := fs.Bool("json", false, "print JSON")
	return func(words []string) error {
		return show(t, words, *asJSON, (*agent.Client).FDB, t.printFDB)
	}
}

// show asks one bridge for a list and prints it.
func show[T any](t *tool, words []string, asJSON bool, ask func(*agent.Client) ([]T, error), print func([]T)) error {
	c, err := t.one(words)
	if err != nil {
		return err
	}
	defer c.Close()
	list, err := ask(c)
	switch {
	case err != nil:
		return err
	case asJSON:
		return t.printJSON(list)
	}
	print(list)
	return nil
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
			return t.each(words, func(c *agent.Client) error { return t.reloadOne(c, *file, words[0]) })
		}
		return t.reloadProcesses(*file)
	}
}

// reloadProcesses asks each process of the run directory once. A file describes one
// process: with several running, naming a bridge says which is meant.
func (t *tool) reloadProcesses(file string) error {
	byPID := map[int][]string{}
	if err := t.each(nil, func(c *agent.Client) error {
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
		errs = append(errs, t.each(bridges[:1], func(c *agent.Client) error { return t.reloadOne(c, file, "") }))
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
		return t.each(names, func(c *agent.Client) error { return c.Stop(*wait) })
	}
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
