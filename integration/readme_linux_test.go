package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/lab"
)

// A document's fenced blocks are run as printed. The words after the language say how:
//
//	```console test=NAME    a session: lines that begin with "$ " are typed into a shell in the switch's namespace, which
//	                        has eth1, eth2 and eth3 with the hosts h1, h2 and h3 (10.0.0.1 ...) behind them, bin/weir,
//	                        examples/ and an empty /run; the other lines are what the command must print
//	           host=h1      the shell is in that host
//	           single       only the first "$ " begins a command: what it prints has such lines too
//	           retry        the command is repeated until it prints that, for what takes a moment
//	           needs=A,B    programs without which the block is skipped
//	           root         the block needs what a user namespace does not give
//	```yaml test=NAME file=weir.yaml    any language: the block is written to that file in the session's directory
//	```console test=none    is not run
//
// Blocks of the same NAME are one session, in their order. Expected lines must come in this order, others may lie
// between them; any number stands for any number, any MAC address for any, blanks for blanks and "..." for anything.
// A command must end with status 0. A console block without test= is an error: nobody would notice when it ages.
type block struct {
	line    int // where the fence stands
	lang    string
	words   map[string]string
	content []string
}

// fencePrefix opens and closes a block; longer fences and tildes are not used in our documents.
const fencePrefix = "```"

// blocks reads the fenced blocks of a document.
func blocks(r io.Reader) (all []block) {
	var cur *block
	n := 0
	for sc := bufio.NewScanner(r); sc.Scan(); {
		n++
		line := sc.Text()
		switch fence := strings.HasPrefix(strings.TrimSpace(line), fencePrefix); {
		case !fence && cur != nil:
			cur.content = append(cur.content, line)
		case fence && cur == nil:
			cur = openBlock(n, strings.TrimPrefix(strings.TrimSpace(line), fencePrefix))
		case fence:
			all = append(all, *cur)
			cur = nil
		}
	}
	return all
}

func openBlock(line int, info string) *block {
	b := &block{line: line, words: map[string]string{}}
	for i, w := range strings.Fields(info) {
		if i == 0 {
			b.lang = w
			continue
		}
		k, v, _ := strings.Cut(w, "=")
		b.words[k] = v
	}
	return b
}

func (b block) has(word string) bool { _, ok := b.words[word]; return ok }

// step is one command of a block with the lines it must print.
type step struct {
	cmd  string
	want []string
}

// steps splits a console block; a command may go on after a backslash.
func (b block) steps() (all []step) {
	more := false
	for _, l := range b.content {
		cmd, isCmd := strings.CutPrefix(l, "$ ")
		switch {
		case isCmd && !(b.has("single") && len(all) > 0):
			all = append(all, step{cmd: cmd})
		case more:
			all[len(all)-1].cmd += "\n" + l
		case len(all) > 0 && strings.TrimSpace(l) != "":
			all[len(all)-1].want = append(all[len(all)-1].want, l)
		}
		more = (more || isCmd) && strings.HasSuffix(l, `\`)
	}
	return all
}

var (
	macText    = regexp.MustCompile(`\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b`)
	timeText   = regexp.MustCompile(`\b([0-9.]+(h|ms|m|µs|us|ns|s))+\b`)
	numberText = regexp.MustCompile(`[0-9]+(\.[0-9]+)*`)
	blankText  = regexp.MustCompile(`\s+`)
)

// shape reduces a line to what must be equal.
func shape(line string) string {
	line = macText.ReplaceAllString(line, "<mac>")
	line = timeText.ReplaceAllString(line, "0s")
	line = numberText.ReplaceAllString(line, "0")
	return blankText.ReplaceAllString(strings.TrimSpace(line), " ")
}

// fits compares an expected line with a printed one.
func fits(want, got string) bool {
	parts := strings.Split(strings.ReplaceAll(shape(want), "…", "..."), "...")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(shape(got))
}

// compare reports the first expected line that does not come.
func compare(want []string, output string) error {
	got := strings.Split(output, "\n")
	for _, w := range want {
		for len(got) > 0 && !fits(w, got[0]) {
			got = got[1:]
		}
		if len(got) == 0 {
			return fmt.Errorf("no line like %q in:\n%s", w, output)
		}
		got = got[1:]
	}
	return nil
}

// session runs the blocks of one name.
type session struct {
	*bed
	dir    string
	shells map[string]*shell // by host, "" is the switch
}

// shell is an interactive shell that is typed into.
type shell struct {
	in   io.WriteCloser
	proc *lab.Proc
	n    int // commands so far
}

func newSession(t *testing.T) *session {
	t.Helper()
	b := newBed(t)
	b.addHosts(3)
	s := &session{bed: b, dir: filepath.Join(b.Dir(), "weir"), shells: map[string]*shell{}}
	qs, err := bins.qs()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"bin/weir": b.bin, "bin/quickstart": qs, "examples": filepath.Join(root, "examples")} {
		if err := os.Symlink(target, filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// prelude gives a shell an empty /run of its own and stands in for the Makefile, whose targets are built already.
const prelude = `mount -t tmpfs none /run
make() { if [ "$1" = run ]; then bin/quickstart; else echo "make $1: not here"; return 1; fi; }
PATH=$PWD/bin:$PATH
export PYTHONDONTWRITEBYTECODE=1
`

// shell returns the shell of a host, or of the switch for "".
func (s *session) shell(host string) *shell {
	s.t.Helper()
	if sh := s.shells[host]; sh != nil {
		return sh
	}
	space := s.Switch
	for _, h := range s.Hosts() {
		if h.Name == host {
			space = h.Space
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := s.StartIn(space, lab.Cmd{Path: "unshare", Args: []string{"-m", "--kill-child", "--fork", "--pid", "--mount-proc", "bash", "--norc"}, In: r, Dir: s.dir})
	r.Close()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		w.Close()
		p.Kill() // with the shell, everything in its process namespace ends
	})
	sh := &shell{in: w, proc: p}
	s.shells[host] = sh
	if out, code := s.typed(sh, prelude); code != "0" {
		s.t.Fatalf("the shell does not start: %s", out)
	}
	return sh
}

// typed runs one command in the shell and returns what it printed and its exit status.
func (s *session) typed(sh *shell, cmd string) (out, status string) {
	s.t.Helper()
	sh.n++
	before := len(sh.proc.Output())
	mark := fmt.Sprintf("<end of command %d, status ", sh.n)
	fmt.Fprintf(sh.in, "%s\nstatus=$?; printf '\\n%%s%%s>\\n' '%s' $status\n", cmd, mark)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text := sh.proc.Output()[before:]
		if out, rest, found := strings.Cut(text, mark); found && strings.Contains(rest, ">") {
			status, _, _ = strings.Cut(rest, ">")
			return out, status
		}
		if !sh.proc.Running() {
			break
		}
	}
	s.t.Fatalf("%s\ndoes not end; so far: %s", cmd, sh.proc.Output()[before:])
	return "", ""
}

// run plays one block.
func (s *session) run(b block) {
	s.t.Helper()
	if file := b.words["file"]; file != "" {
		if err := os.WriteFile(filepath.Join(s.dir, file), []byte(strings.Join(b.content, "\n")+"\n"), 0o644); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	sh := s.shell(b.words["host"])
	for _, st := range b.steps() {
		check := func() error {
			out, status := s.typed(sh, st.cmd)
			if status != "0" {
				return fmt.Errorf("status %s: %s", status, out)
			}
			return compare(st.want, out)
		}
		var err error
		if b.has("retry") {
			for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
				if err = check(); err == nil {
					break
				}
			}
		} else {
			err = check()
		}
		if err != nil {
			s.t.Fatalf("line %d: $ %s\n%v", b.line, st.cmd, err)
		}
	}
}

// playDocument runs every session of a document as a subtest.
func playDocument(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		lacking(t, "%v", err)
	}
	defer f.Close()
	var names []string
	sessions := map[string][]block{}
	for _, b := range blocks(f) {
		name := b.words["test"]
		if b.lang == "console" && name == "" {
			t.Errorf("%s:%d: a console block needs test=NAME, or test=none", file, b.line)
		}
		if name == "" || name == "none" {
			continue
		}
		if sessions[name] == nil {
			names = append(names, name)
		}
		sessions[name] = append(sessions[name], b)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			need(t, "bash", "unshare", "mount")
			for _, b := range sessions[name] {
				if b.has("root") {
					needRoot(t)
				}
				for _, p := range strings.FieldsFunc(b.words["needs"], func(r rune) bool { return r == ',' }) {
					need(t, p)
				}
			}
			s := newSession(t)
			for _, b := range sessions[name] {
				s.run(b)
			}
		})
	}
}

// TestReadme runs the blocks of the documents that users copy from.
func TestReadme(t *testing.T) {
	docs := []string{"../README.md"}
	more, _ := filepath.Glob("../examples/*/README.md")
	for _, doc := range append(docs, more...) {
		t.Run(strings.TrimPrefix(doc, "../"), func(t *testing.T) { playDocument(t, doc) })
	}
}

// TestReadmeRunner tests the runner itself.
func TestReadmeRunner(t *testing.T) {
	doc := strings.ReplaceAll(`
Text.
'''console test=a needs=sh
$ echo one 1; \
  echo two
one 7
...
$ cat there.txt; pwd; ls /run
from  00:00:00:00:00:01
/.../weir
'''
'''yaml test=b file=other.yaml
x: 1
'''
'''console test=none
$ exit 1
'''
`, "'''", fencePrefix)
	got := blocks(strings.NewReader(doc))
	if len(got) != 3 || got[0].line != 3 || got[0].words["needs"] != "sh" || got[1].words["file"] != "other.yaml" {
		t.Fatalf("blocks: %+v", got)
	}
	s := newSession(t)
	s.run(block{words: map[string]string{"file": "there.txt"}, content: []string{"from 0a:bb:00:11:22:33"}})
	s.run(got[0])
	s.run(block{words: map[string]string{"host": "h1"}, content: []string{"$ cat /proc/net/dev", "eth0: ..."}})
	if out, status := s.typed(s.shell(""), "false"); status != "1" {
		t.Errorf("false: %q, status %s", out, status)
	}
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{"12 packets, 3.5 s", "7 packets,  0.25 s", true},
		{"in_port=1 actions=drop", "in_port=2 actions=drop", true},
		{"age 2.5s", "age 900ms", true},
		{"age 2.5s", "age 2.5 GB", false},
		{"a ... c", "a b c", true},
		{"a … c", "a b c d", false},
		{"up", "down", false},
		{"0a:00:00:00:00:01 x", "3e:ff:12:9c:00:01 x", true},
	} {
		if fits(c.want, c.got) != c.same {
			t.Errorf("fits(%q, %q) is not %v", c.want, c.got, c.same)
		}
	}
}
