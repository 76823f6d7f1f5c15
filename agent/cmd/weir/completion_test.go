package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var updateDocs = flag.Bool("update", false, "write docs/commands.md")

// TestCommandsPageIsCurrent: docs/commands.md is what "weir help --markdown" prints.
func TestCommandsPageIsCurrent(t *testing.T) {
	var out bytes.Buffer
	tool := &tool{out: &out, err: &out, getenv: func(string) string { return "" }}
	if code := tool.main([]string{"help", "--markdown"}); code != 0 {
		t.Fatalf("ended with %d:\n%s", code, out.String())
	}
	const page = "../../../docs/commands.md"
	if *updateDocs {
		if err := os.WriteFile(page, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(page)
	if err != nil || string(kept) != out.String() {
		t.Errorf("docs/commands.md is not what help says: go test ./agent/cmd/weir -run CommandsPage -update (%v)", err)
	}
}

// TestCompletion asks what may come next.
func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"br0.mgmt", "br1.mgmt", "other.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for typed, want := range map[string]string{
		"st": "stop\nstatus\n", "port ": "add\ndel\n", "port a": "add\n", "ofctl dump-f": "dump-flows\n", "ofctl --names dump-flows b": "br0\nbr1\n",
		"status br": "br0\nbr1\n", "flows --ta": "--table\n", "meters --w": "--watch\n", "sh": "show\n", "show b": "br0\nbr1\n", "ports --watch 2s b": "br0\nbr1\n", "ofctl --no-s": "--no-stats\n", "ofctl dump-flows --rs": "--rsort\n", "nosuch ": "", "tls ": "init\n",
		// Words that only the flags of the command can tell from arguments.
		"ofctl -O OpenFlow13 dump-f": "dump-flows\n", "ofctl -O ": "OpenFlow10\nOpenFlow13\n", "flows --table 3 b": "br0\nbr1\n", "ofctl -t5 --names dump-flows b": "br0\nbr1\n",
		"--rundir=/nonexistent show b": "", "show --rundir /nonexistent b": "", "--rundir": "", "--": "", "--nosuch x": "",
		"help sh": "show\n", "help ofctl dump-f": "dump-flows\n", "help show b": "", "completion ": "bash\nzsh\nfish\n",
		"check ": "", "check -c ": "", "tls init ": "", "show $(": "",
		// Where a bridge cannot be right, none is offered.
		"run --fail-mode ": "standalone\nsecure\n", "run --protocols ": "OpenFlow10\nOpenFlow13\n", "run --name ": "",
		"run ": "", "capture b": "br0\nbr1\n", "capture br0 ": "", "port del br0 ": "", "port add br0 ": "",
		"fdb flush br0 --port ": "", "reload -c ": "", "reload -c file b": "br0\nbr1\n", "ports br0 ": "", "show br0 b": "br0\nbr1\n",
		"ofctl -O OpenFlow13 dump-flows b": "br0\nbr1\n", "ofctl add-flow br0 ": "", "ofctl add-flows br0 ": "", "ofctl parse-flow ": "",
		"ofctl set-frags br0 ": "normal\ndrop\nreassemble\n", "ofctl diff-flows br0 b": "br0\nbr1\n", "trace br0 ": "", "watch br0 ": "", "help tl": "tls\n",
		"reload -": "-c\n--rundir\n--help\n", "status --ru": "--rundir\n", "status --rundir /nonexistent ": "",
	} {
		var out bytes.Buffer
		tool := &tool{out: &out, err: &out, getenv: func(string) string { return dir }}
		if code := tool.main(append([]string{"completion", "words"}, strings.Split(typed, " ")...)); code != 0 || out.String() != want {
			t.Errorf("%q: %d, %q, want %q", typed, code, out.String(), want)
		}
	}
	for shell := range shellScripts {
		var out bytes.Buffer
		tool := &tool{out: &out, err: &out}
		if code := tool.main([]string{"completion", shell}); code != 0 || !strings.Contains(out.String(), "weir completion words") {
			t.Errorf("%s: %d\n%s", shell, code, out.String())
		}
	}
}

// TestFlagValues: what completion knows of a flag's values is what its help says.
func TestFlagValues(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range commands() {
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		c.setup(new(tool), fs)
		fs.VisitAll(func(f *flag.Flag) {
			for _, v := range strings.Split(flagValues[f.Name], "|") {
				seen[f.Name] = true
				if !strings.Contains(f.Usage, v) {
					t.Errorf("weir %s --%s: %s is not in %q", c.name(), f.Name, v, f.Usage)
				}
			}
		})
	}
	for name := range flagValues {
		if !seen[name] {
			t.Errorf("there is no flag --%s", name)
		}
	}
}

// TestOverviewFits a terminal of 100 columns; weir alone says it in a few lines.
func TestOverviewFits(t *testing.T) {
	for _, args := range [][]string{{"help"}, {}} {
		var out, errs bytes.Buffer
		tool := &tool{out: &out, err: &errs}
		tool.main(args)
		lines := strings.Split(strings.TrimRight(out.String()+errs.String(), "\n"), "\n")
		for _, line := range lines {
			if len(line) > 100 {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
		if len(args) == 0 && len(lines) > 8 {
			t.Errorf("weir alone says %d lines:\n%s", len(lines), errs.String())
		}
	}
}

// TestBashTakesWordsAsTheyAre: the name of a bridge is a word, and not a program to be run by the Tab key.
func TestBashTakesWordsAsTheyAre(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	script := shellScripts["bash"] + `
weir() { printf '%s\n' 'br0' '$(echo ran >&2)' 'br*'; }
COMP_WORDS=(weir show ''); COMP_CWORD=2; _weir; printf '<%s>' "${COMPREPLY[@]}"`
	cmd := exec.Command(bash, "-c", script)
	cmd.Dir = t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != `<br0><$(echo ran >&2)><br*>` {
		t.Errorf("%s (%v)", out, err)
	}
}
