package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/weirswitch/weir"

// arrows says which packages of weir each package may import. The drawing of it is in ARCHITECTURE.md.
func arrows() map[string][]string {
	return map[string][]string{
		"openflow":                 {},
		"openflow/ofctl":           {"openflow", "openflow/of10"},
		"openflow/oftest":          {"openflow"},
		"openflow/of10":            {"openflow"},
		"openflow/client":          {"openflow", "openflow/of10", "openflow/ofctl"},
		"flowtable/packet":         {},
		"flowtable/classifier":     {"flowtable/packet"},
		"flowtable":                {"flowtable/classifier", "flowtable/packet", "openflow"},
		"ports":                    {"flowtable/packet"},
		"agent":                    {"flowtable", "flowtable/packet", "openflow", "openflow/ofctl", "openflow/of10", "ports"},
		"agent/cmd/weir":           {"agent", "openflow", "openflow/client", "openflow/of10", "openflow/ofctl"},
		"integration":              {"integration/lab"},
		"integration/lab":          {},
		"integration/cable":        {"flowtable/packet", "integration/lab", "ports"},
		"integration/guest":        {},
		"integration/oracle":       {},
		"integration/bench":        {"integration/lab", "openflow"},
		"integration/benchcontrol": {},
		"integration/benchengine":  {},
		"integration/benchlab":     {},
		"integration/conformance":  {},
		"examples/*":               {"agent", "flowtable", "flowtable/packet", "openflow", "openflow/ofctl", "openflow/oftest", "ports", "integration/lab"},
	}
}

// outside says who alone may use a library, tests apart.
func outside() map[string][]string {
	return map[string][]string{
		"github.com/sirupsen/logrus":        {"agent", "agent/cmd/weir"},
		"gopkg.in/yaml.v3":                  {"agent"},
		"github.com/vishvananda/netlink":    {"ports", "integration/lab", "integration/cable"},
		"github.com/vishvananda/netns":      {"ports", "integration/lab"},
		"github.com/google/gopacket/layers": {"ports", "agent/cmd/weir"}, // for the link types that pcapgo asks for and for people; too slow to forward with
		"github.com/google/gopacket/pcapgo": {"ports"},
		"github.com/google/gopacket/pcap":   {"ports"},
		"github.com/contiv/libOpenflow":     {"examples/controller"}, // not for one byte that comes from the network
		"github.com/cilium/ebpf":            {"ports"},
		"pgregory.net/rapid":                {},
		"golang.org/x/sys/unix":             {"ports", "agent", "agent/cmd/weir", "integration/lab", "integration/bench", "integration/cable"},
		"net":                               {"openflow", "openflow/oftest", "openflow/client", "ports", "agent", "agent/cmd/weir", "integration/lab", "integration/bench", "integration/cable", "examples/*"},
	}
}

// listed is what go list says of a package.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

func (p listed) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// list asks for all packages of the module on an operating system.
func list(t *testing.T, goos string) (all []listed) {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "GOOS="+goos)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// lookup finds a package's line in a table whose keys may end in "*".
func lookup(table map[string][]string, name string) ([]string, bool) {
	if allowed, ok := table[name]; ok {
		return allowed, true
	}
	allowed, ok := table[path.Dir(name)+"/*"]
	return allowed, ok
}

func allows(list []string, name string) bool {
	return slices.Contains(list, name) || slices.Contains(list, path.Dir(name)+"/*")
}

// TestImportArrows fails on any import that the architecture does not draw.
func TestImportArrows(t *testing.T) {
	for _, goos := range []string{"linux", "darwin"} {
		for _, p := range list(t, goos) {
			allowed, known := lookup(arrows(), p.name())
			if !known {
				t.Errorf("%s: a new package needs its line in arrows() and its sentence in ARCHITECTURE.md", p.name())
				continue
			}
			for _, imp := range p.Imports {
				if rest, ours := strings.CutPrefix(imp, module+"/"); ours && !slices.Contains(allowed, rest) {
					t.Errorf("%s (%s) imports %s: the layers allow it %v", p.name(), goos, rest, allowed)
				}
				for lib, users := range outside() {
					if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !libraryAllowed(lib, imp) && !allows(users, p.name()) {
						t.Errorf("%s (%s) imports %s: only %v may", p.name(), goos, imp, users)
					}
				}
			}
		}
	}
}

// libraryAllowed excepts what lies below a listed path but is another thing.
func libraryAllowed(lib, imp string) bool { return lib == "net" && imp != "net" }

// TestFileHeads wants each file of the engine and the agent to say at its top how often it runs.
func TestFileHeads(t *testing.T) {
	for _, dir := range []string{"flowtable", "agent"} {
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if base := filepath.Base(f); strings.HasSuffix(base, "_test.go") || base == "doc.go" {
				continue
			}
			head := firstComment(t, f)
			if !slices.ContainsFunc([]string{"// Hot path:", "// Miss path:", "// Slow path:"}, func(p string) bool { return strings.HasPrefix(head, p) }) {
				t.Errorf("%s opens with %q: want // Hot path:, // Miss path: or // Slow path: and a sentence", f, head)
			}
		}
	}
}

// firstComment is the first line that is neither empty nor a build constraint.
func firstComment(t *testing.T, file string) string {
	t.Helper()
	for _, line := range lines(t, file) {
		if line != "" && !strings.HasPrefix(line, "//go:build") {
			return line
		}
	}
	return ""
}

func lines(t *testing.T, file string) (all []string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		all = append(all, sc.Text())
	}
	return all
}

// TestHouseRules finds what no package may do: registration at start, its own clock, files too long to be about one
// thing.
func TestHouseRules(t *testing.T) {
	timeless := []string{"openflow", "openflow/ofctl", "openflow/client", "openflow/of10", "flowtable", "flowtable/packet", "flowtable/classifier"}
	for _, p := range list(t, "linux") {
		for _, name := range p.GoFiles {
			file := filepath.Join(p.Dir, name)
			text := lines(t, file)
			if len(text) > 600 {
				t.Errorf("%s has %d lines: 600 is the most", file, len(text))
			}
			for i, line := range text {
				if strings.HasPrefix(line, "func init()") {
					t.Errorf("%s:%d: no init registration", file, i+1)
				}
				if slices.Contains(timeless, p.name()) && strings.Contains(line, "time.Now()") {
					t.Errorf("%s:%d: %s is told the time, it has no clock", file, i+1, p.name())
				}
			}
		}
	}
}

// TestPortable builds everything for the systems whose special ports refuse with a sentence.
func TestPortable(t *testing.T) {
	for _, goos := range []string{"darwin", "windows", "freebsd"} {
		cmd := exec.Command("go", "build", "./...")
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("GOOS=%s go build: %v\n%s", goos, err, out)
		}
	}
}
