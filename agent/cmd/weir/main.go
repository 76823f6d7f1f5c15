// Slow path: the command weir: which command is meant, what it says, how it exits.

// Weir is an OpenFlow 1.3 software switch: "weir run" is the switch, the other commands
// talk to running ones. "weir help" lists them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow/client"
)

// The exit codes. They are part of the interface: scripts ask them.
const (
	exitOK      = 0
	exitFailure = 1 // it was understood and did not work
	exitUsage   = 2 // it was not understood
)

// version is written by the linker (the Makefile's -X main.version=...) and by nobody else.
var version string

func main() {
	t := &tool{out: os.Stdout, err: os.Stderr, getenv: os.Getenv, uid: os.Getuid()}
	os.Exit(t.main(os.Args[1:]))
}

// tool is one call of weir and what it has of the world.
type tool struct {
	out, err io.Writer
	getenv   func(string) string
	uid      int
	runDir   string // as --rundir says; empty: the default
}

// usageError is a command line that cannot be understood.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// errQuiet ends a command with exitFailure and no word: the exit code is the answer.
var errQuiet = errors.New("no")

// output is where a command writes. It keeps its first error: what did not reach a full disk is no success, though
// nobody asks after each line. A reader that has gone wanted no more.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.Writer.Write(b)
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		o.err = err
	}
	return n, err
}

// fileOf is the file that a command writes to, if it is one.
func fileOf(w io.Writer) (*os.File, bool) {
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
	f, ok := w.(*os.File)
	return f, ok
}

// main runs one command line and gives the exit code.
func (t *tool) main(args []string) int {
	out := &output{Writer: t.out}
	t.out = out
	cmd, err := t.dispatch(args)
	if err == nil {
		err = out.err
	}
	var usage usageError
	var exit *client.ExitError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errQuiet):
		return exitFailure
	case errors.As(err, &exit):
		if exit.Text != "" {
			fmt.Fprintf(t.err, "weir: %s\n", exit.Text)
		}
		return exit.Code
	case errors.As(err, &usage):
		hint := "weir help"
		if cmd != nil {
			hint = "weir help " + cmd.words[0]
		}
		fmt.Fprintf(t.err, "weir: %s\n(%q tells more)\n", err, hint)
		return exitUsage
	}
	fmt.Fprintf(t.err, "weir: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nweir: "))
	return exitFailure
}

// dispatch finds the command and calls it. Flags before the command are read as if
// they stood behind it.
func (t *tool) dispatch(args []string) (*command, error) {
	before, rest, err := splitBefore(args)
	if err != nil {
		return nil, err
	}
	if len(rest) == 0 {
		fmt.Fprint(t.err, usage)
		return nil, usagef("which command?")
	}
	switch rest[0] {
	case "help", "-h", "-help", "--help":
		return nil, t.help(rest[1:])
	case "--version", "-version":
		rest[0] = "version"
	case "completion":
		if len(rest) > 1 && rest[1] == "words" {
			t.completeWords(rest[2:])
			return nil, nil
		}
	}
	cmd, rest, err := findCommand(rest)
	if err != nil {
		return nil, err
	}
	return cmd, t.call(cmd, append(before, rest...))
}

// splitBefore takes --rundir from before the command.
func splitBefore(args []string) (before, rest []string, err error) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name, _, hasValue := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
		switch {
		case name == "h" || name == "help" || name == "version":
			return before, args, nil
		case name != "rundir":
			return nil, nil, usagef("%s cannot stand before the command: only --rundir DIR can", args[0])
		case hasValue:
			before, args = append(before, args[0]), args[1:]
		case len(args) < 2:
			return nil, nil, usagef("--rundir needs a folder")
		default:
			before, args = append(before, args[0], args[1]), args[2:]
		}
	}
	return before, args, nil
}

// call parses the flags of a command and runs it.
func (t *tool) call(cmd *command, args []string) error {
	fs := flag.NewFlagSet(cmd.name(), flag.ContinueOnError)
	run := cmd.setup(t, fs)
	words, err := t.parse(cmd, fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return t.explain(cmd, words)
	case err != nil:
		return cmd.misused(betterFlagError(err.Error(), fs))
	case len(words) < cmd.least || len(words) > cmd.most:
		return usagef("expected \"weir %s %s\"", cmd.name(), cmd.args)
	}
	return run(words)
}

// parse reads the flags of a command, which may stand between its arguments, and gives the arguments: with an error those
// before it.
func (t *tool) parse(cmd *command, fs *flag.FlagSet, args []string) (words []string, err error) {
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	if fs.Lookup("rundir") == nil {
		fs.StringVar(&t.runDir, "rundir", "", "`DIR` folder of the sockets of running bridges")
	}
	if cmd.explain != nil {
		args = unglue(args)
	}
	if fs.Lookup("watch") != nil {
		args = joinWatch(args)
	}
	for {
		if err := fs.Parse(args); err != nil || fs.NArg() == 0 {
			return words, err
		}
		words, args = append(words, fs.Arg(0)), fs.Args()[1:]
	}
}

// explain answers --help.
func (t *tool) explain(cmd *command, words []string) error {
	if cmd.explain != nil {
		return cmd.explain(t, words)
	}
	t.tell(cmd)
	return nil
}

// misused is a command line with a flag that is not known. weir ofctl ends as ovs-ofctl does, with status 1.
func (c *command) misused(text string) error {
	if c.explain != nil {
		return errors.New(text)
	}
	return usageError{text}
}

// betterFlagError gives the flag package's words the nearest right flag.
func betterFlagError(text string, fs *flag.FlagSet) string {
	if text, ok := strings.CutPrefix(text, "invalid boolean value"); ok { // a flag that may stand alone
		return "invalid value" + strings.Replace(text, " for -", " for --", 1)
	}
	name, ok := strings.CutPrefix(text, "flag provided but not defined: -")
	if !ok {
		return strings.Replace(strings.Replace(text, "for flag -", "for --", 1), "needs an argument: -", "needs an argument: --", 1)
	}
	var known []string
	fs.VisitAll(func(f *flag.Flag) {
		if f.Usage != "" {
			known = append(known, f.Name)
		}
	})
	if near := agent.Nearest(name, known); near != "" {
		return fmt.Sprintf("unknown flag --%s, did you mean --%s?", name, near)
	}
	return "unknown flag --" + name
}

// dir is the run directory of a client command.
func (t *tool) dir() (string, error) {
	if t.runDir != "" {
		return t.runDir, nil
	}
	return agent.DefaultRunDir(t.getenv, t.uid)
}
