// Slow path: "weir run": the process that is the switch, in the foreground or detached.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/weirswitch/weir/agent"
)

// runOptions are the flags of "weir run" that are no settings of the switch.
type runOptions struct {
	file      string
	detach    bool
	waitReady time.Duration
	readyFD   int // the detached process tells its parent here
	flags     *agent.Flags
}

func (t *tool) run(fs *flag.FlagSet) func([]string) error {
	o := &runOptions{flags: agent.NewFlags(fs)}
	fs.StringVar(&o.file, "c", "", "`FILE` YAML file with all settings, instead of flags")
	fs.BoolVar(&o.detach, "detach", false, "go on in the background; what fails at the start is told here")
	fs.DurationVar(&o.waitReady, "wait-ready", 0, "`TIME` fail unless all devices are there within this time, such as 5s; warn of those without a link")
	fs.IntVar(&o.readyFD, "ready-fd", 0, "")
	return func([]string) error { return t.runCommand(o) }
}

// runCommand reads the configuration, then runs here or in the background.
func (t *tool) runCommand(o *runOptions) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	if o.waitReady < 0 {
		return usagef("--wait-ready %s: a time cannot be negative", o.waitReady)
	}
	if cfg.RunDir == "" {
		if cfg.RunDir, err = agent.DefaultRunDir(t.getenv, t.uid); err != nil {
			return err
		}
	}
	if o.readyFD == 0 { // else the parent has said it
		warnings, err := cfg.MissingFiles()
		if err != nil {
			return err
		}
		t.warn(warnings)
	}
	if o.detach {
		warnings, err := detach(cfg.Log.File)
		t.warn(warnings)
		if err == nil && cfg.Log.File == "" {
			fmt.Fprint(t.err, withoutLog)
		}
		return err
	}
	err = t.foreground(cfg, o)
	if err != nil && o.readyFD > 0 {
		tellParent(o.readyFD, err.Error())
	}
	return err
}

// twoProcessors lets two goroutines run at a time where the machine has one processor: then the system deals it out
// between one that looks for frames and messages (--spin), and offers it all the time, and the others. Go's own scheduler
// would let the others wait. Whoever sets GOMAXPROCS decides.
func (t *tool) twoProcessors() {
	if t.getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
	}
}

// warn says what is no failure yet.
func (t *tool) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintf(t.err, "weir: warning: %s\n", w)
	}
}

// withoutLog is told to who starts a process whose log nobody will see.
const withoutLog = "weir: it runs in the background and its log goes nowhere: --log-file FILE, or log.file in the configuration and \"weir reload\", keeps it\n"

// load reads file or flags. Mistakes in flags are mistakes of the command line.
func (o *runOptions) load() (*agent.Config, error) {
	if o.file != "" {
		return o.flags.Load(o.file)
	}
	cfg, err := o.flags.Config()
	if err != nil {
		return nil, usageError{err.Error()}
	}
	return cfg, nil
}

// foreground starts the bridges and stays until the last has stopped.
func (t *tool) foreground(cfg *agent.Config, o *runOptions) error {
	t.twoProcessors()
	log := agent.NewLogger(t.err, cfg.Log)
	if err := log.Open(cfg.Log.File); err != nil {
		return err
	}
	file := ""
	if o.file != "" {
		if err := absolute(&o.file); err != nil {
			return err
		}
		file = o.file
	}
	a := agent.NewAgent(agent.AgentOptions{Log: log, File: file, Load: func(f string) (*agent.Config, error) {
		cfg, err := agent.LoadConfig(f)
		if err == nil && o.flags != nil {
			o.flags.Over(cfg)
		}
		return cfg, err
	}})
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	hangups := make(chan os.Signal, 1)
	notifyHangup(hangups)
	started := make(chan error, 1)
	go func() { started <- t.start(a, cfg, o) }()
	var done <-chan struct{} // watched once it runs: a failed start closes it, too
	for {
		select {
		case err := <-started:
			if err != nil {
				return err
			}
			done = a.Done()
		case <-hangups:
			if changes, err := a.Reload("", ""); err != nil {
				log.Errorf("the configuration was not applied: %v", err)
			} else if len(changes) == 0 {
				log.Infof("the configuration is unchanged")
			}
		case s := <-signals:
			log.Infof("%s: stopping; a second signal ends at once", s)
			go func() {
				for said := time.Now(); ; {
					<-signals
					if time.Since(said) > impatience {
						break
					}
				}
				log.Errorf("ended by a second signal: ports may not have been restored")
				os.Exit(exitFailure)
			}()
			return a.Close()
		case <-done:
			return nil
		}
	}
}

// impatience is how long after the first signal another one counts as a second: timeout(1) and
// some shells send the same signal to the process and to its group.
const impatience = 500 * time.Millisecond

// start brings everything up and tells who waits for it.
func (t *tool) start(a *agent.Agent, cfg *agent.Config, o *runOptions) error {
	if err := a.Start(cfg); err != nil {
		return err
	}
	var warnings []string
	if o.waitReady > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), o.waitReady)
		defer cancel()
		warning, err := a.WaitReady(ctx)
		if err != nil {
			return errors.Join(err, a.Close())
		}
		if warning != "" {
			warnings = []string{warning}
		}
	} else {
		warnings = a.Absent()
	}
	if o.readyFD > 0 {
		tellParent(o.readyFD, strings.Join(append([]string{readyWord}, warnings...), "\n"))
	}
	return nil
}

// readyWord is the first line that a detached process writes when it runs; its warnings follow.
// Anything else is the reason why it does not run.
const readyWord = "ready"

// tellParent ends the wait of the process that was called with --detach.
func tellParent(fd int, text string) {
	if f := os.NewFile(uintptr(fd), "parent"); f != nil {
		_, _ = f.WriteString(text)
		f.Close()
	}
}

func (t *tool) check(fs *flag.FlagSet) func([]string) error {
	file := fs.String("c", "", "`FILE` YAML file to check")
	return func(words []string) error {
		if len(words) == 1 && *file == "" {
			file = &words[0]
		} else if len(words) == 1 || *file == "" {
			return usagef("expected \"weir check [-c] FILE\"")
		}
		cfg, err := agent.LoadConfig(*file)
		if err != nil {
			return err
		}
		warnings, err := cfg.MissingFiles()
		if err != nil {
			return err
		}
		t.warn(warnings)
		for _, note := range cfg.MissingDevices() {
			fmt.Fprintf(t.err, "weir: note: %s\n", note)
		}
		n := 0
		for _, b := range cfg.Bridges {
			n += len(b.Ports)
		}
		fmt.Fprintf(t.out, "%s is right: %s, %s\n", *file, agent.Plural(len(cfg.Bridges), "bridge"), agent.Plural(n, "port"))
		return nil
	}
}
