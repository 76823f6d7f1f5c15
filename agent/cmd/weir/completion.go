// Slow path: "weir completion": what a shell offers at the Tab key; and the page of all commands.

package main

import (
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weirswitch/weir/openflow/client"
)

// shellScripts ask weir itself what may come next, so that they never age: "weir completion words" is given what
// was typed behind weir, the last word being the one to complete.
var shellScripts = map[string]string{
	"bash": `_weir() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(weir completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _weir weir
`,
	"zsh": `#compdef weir
_weir() {
    local -a found
    found=("${(@f)$(weir completion words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -a found || _files
}
compdef _weir weir
`,
	"fish": `complete -c weir -a '(weir completion words (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
}

func (t *tool) completion(*flag.FlagSet) func([]string) error {
	return func(words []string) error {
		script, ok := shellScripts[words[0]]
		if !ok {
			return usagef("there is no script for %q: expected bash, zsh or fish", words[0])
		}
		fmt.Fprint(t.out, script)
		return nil
	}
}

// completeWords prints what may stand where the last word is, one a line.
func (t *tool) completeWords(words []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	before, typed, err := splitBefore(words[:len(words)-1])
	if err != nil {
		return
	}
	for _, w := range t.candidates(before, typed, last) {
		if strings.HasPrefix(w, last) {
			fmt.Fprintln(t.out, w)
		}
	}
}

// candidates are the words that may follow those that were typed behind the flags before the command. Where there are
// none a shell offers files.
func (t *tool) candidates(before, typed []string, last string) []string {
	help := len(typed) > 0 && typed[0] == "help"
	if help {
		typed = typed[1:]
	}
	all := commands()
	if len(typed) == 0 {
		var firsts []string
		for i := range all {
			if !slices.Contains(firsts, all[i].words[0]) {
				firsts = append(firsts, all[i].words[0])
			}
		}
		return append(firsts, "help")
	}
	cmd, rest, err := findCommand(slices.Clone(typed))
	if err != nil || cmd.standard && len(typed) == 1 {
		var seconds []string
		for i := range all {
			if all[i].words[0] == typed[0] && len(all[i].words) > 1 && len(typed) == 1 {
				seconds = append(seconds, all[i].words[1])
			}
		}
		return seconds
	}
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	cmd.setup(t, fs)
	open := openFlag(fs, rest)
	if open != nil {
		rest = rest[:len(rest)-1]
	}
	words, err := t.parse(cmd, fs, append(before, rest...))
	switch {
	case err != nil: // not to be understood so far
		return nil
	case open != nil:
		arg, _ := flag.UnquoteUsage(open)
		if values := flagValues[open.Name]; values != "" {
			arg = values
		}
		return t.fitting(arg, words)
	case strings.HasPrefix(last, "-"):
		return flagWords(fs)
	case help && (cmd.words[0] != "ofctl" || len(words) > 0):
		return nil
	case cmd.words[0] != "ofctl":
		return t.fitting(placeholder(cmd.args, len(words)), words)
	case len(words) == 0:
		var names []string
		for _, c := range client.Commands() {
			names = append(names, c.Name)
		}
		return names
	}
	if c, err := client.Find(words[0]); err == nil {
		return t.fitting(placeholder(c.Args, len(words)-1), words[1:])
	}
	return nil
}

// flagValues are the values of flags that have but a few.
var flagValues = map[string]string{
	"O": "OpenFlow10|OpenFlow13", "protocols": "OpenFlow10|OpenFlow13", "fail-mode": "standalone|secure", "table-miss": "normal|drop|controller",
	"fragments": "normal|drop|reassemble", "log-level": "error|warn|info|debug", "log-format": "text|json",
}

// openFlag is the flag whose value comes next, if one does.
func openFlag(fs *flag.FlagSet, args []string) *flag.Flag {
	if len(args) == 0 || !strings.HasPrefix(args[len(args)-1], "-") {
		return nil
	}
	f := fs.Lookup(strings.TrimLeft(args[len(args)-1], "-"))
	if f != nil {
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
			return nil
		}
	}
	return f
}

// placeholder is what help calls the nth argument: BRIDGE, PORT. Flags of the text are no arguments.
func placeholder(args string, n int) string {
	skip := false
	repeated := ""
	for _, w := range strings.Fields(args) {
		name := strings.Trim(w, "[]")
		switch {
		case skip:
			skip = false
		case strings.HasPrefix(name, "-"):
			skip = !strings.HasSuffix(w, "]")
		case n == 0:
			return strings.TrimSuffix(name, "...")
		default:
			n--
			if repeated = ""; strings.HasSuffix(name, "...") {
				repeated = strings.TrimSuffix(name, "...")
			}
		}
	}
	return repeated
}

// fitting are the words that may stand for a placeholder, the first of those before being the bridge.
func (t *tool) fitting(name string, before []string) []string {
	switch name {
	case "BRIDGE", "SWITCH", "SOURCE1", "SOURCE2":
		return t.bridgeNames()
	case "PORT", "NAME":
		if len(before) > 0 {
			return t.portNames(before[0])
		}
		return nil
	}
	words := strings.Split(name, "|")
	for _, w := range words {
		if w == strings.ToUpper(w) || strings.HasPrefix(w, "-") { // FLOW, and not a word to be typed
			return nil
		}
	}
	return words
}

// portNames asks a bridge, but not for long: a Tab key must be quick.
func (t *tool) portNames(bridge string) []string {
	c, err := t.dial(bridge)
	if err != nil {
		return nil
	}
	late := time.AfterFunc(tabPatience, func() { c.Close() })
	defer late.Stop()
	defer c.Close()
	list, err := c.Ports()
	if err != nil {
		return nil
	}
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
	}
	return names
}

// tabPatience is how long a Tab key may take.
const tabPatience = 500 * time.Millisecond

func flagWords(fs *flag.FlagSet) (words []string) {
	fs.VisitAll(func(f *flag.Flag) {
		switch {
		case f.Usage == "": // between weir and itself
		case len(f.Name) == 1:
			words = append(words, "-"+f.Name)
		default:
			words = append(words, "--"+f.Name)
		}
	})
	return append(words, "--help")
}

// bridgeNames are those of the run directory; whether they answer is not asked, for a Tab key must be quick.
func (t *tool) bridgeNames() (names []string) {
	dir, err := t.dir()
	if err != nil {
		return nil
	}
	found, _ := filepath.Glob(filepath.Join(dir, "*.mgmt"))
	for _, f := range found {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".mgmt"))
	}
	return names
}

// printMarkdown writes docs/commands.md: the help of every command.
func (t *tool) printMarkdown(w io.Writer) {
	fmt.Fprint(w, "# The commands of weir\n\nThis page is what `weir help --markdown` prints: the help of every command, and at the end\n[the kinds of ports](#the-kinds-of-ports).\n")
	section := func(level, title string, help func(io.Writer)) {
		var text strings.Builder
		help(&text)
		lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " ")
		}
		fmt.Fprintf(w, "\n%s %s\n\n```\n%s\n```\n", level, title, strings.Join(lines, "\n"))
	}
	for _, c := range commands() {
		if c.words[0] == "ofctl" {
			section("##", "weir ofctl", t.printOfctlOverview)
			for _, c := range client.Commands() {
				section("###", "weir ofctl "+c.Name, func(w io.Writer) { printOfctlHelp(w, &c) })
			}
			continue
		}
		section("##", "weir "+c.name(), func(w io.Writer) { t.printHelp(w, &c) })
	}
	section("##", "The kinds of ports", printPortKinds)
}
