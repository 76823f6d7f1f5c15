// Slow path: "weir completion": what a shell offers at the Tab key; and the page of all commands.

package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

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
	words, err := t.parse(cmd, fs, append(before, rest...))
	switch {
	case err != nil: // the value of a flag is missing
		return nil
	case strings.HasPrefix(last, "-"):
		return flagWords(fs)
	case cmd.words[0] == "completion":
		return slices.Sorted(maps.Keys(shellScripts))
	case cmd.words[0] == "ofctl" && len(words) == 0:
		var names []string
		for _, c := range client.Commands() {
			names = append(names, c.Name)
		}
		return names
	case help || cmd.words[0] != "ofctl" && !strings.Contains(cmd.args, "BRIDGE"):
		return nil
	}
	return t.bridgeNames()
}

func flagWords(fs *flag.FlagSet) (words []string) {
	fs.VisitAll(func(f *flag.Flag) {
		if f.Usage != "" && len(f.Name) > 1 {
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
	fmt.Fprint(w, "# The commands of weir\n\nThis page is what `weir help --markdown` prints: the help of every command.\n")
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
}
