package conformance

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMapOfProof: every test that README.md names exists where it says.
func TestMapOfProof(t *testing.T) {
	text, err := os.ReadFile("README.md")
	must(t, err)
	_, table, _ := strings.Cut(string(text), "## Where each requirement is proved")
	folders := map[string]string{"": ".", "agent": "../../agent", "openflow": "../../openflow", "flowtable": "../../flowtable", "ports": "../../ports", "integration": ".."}
	tests := map[string]string{}
	for name, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		must(t, err)
		for _, file := range files {
			code, err := os.ReadFile(file)
			must(t, err)
			tests[name] += string(code)
		}
	}
	named := 0
	word := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		folder := ""
		cells := strings.Split(line, "|")
		rest := cells[len(cells)-2]
		for _, part := range strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == ',' }) {
			if _, is := folders[part]; is {
				folder = part
				continue
			}
			m := word.FindStringSubmatch(part)
			if m == nil {
				continue
			}
			named++
			if !strings.Contains(tests[folder], "func "+m[1]+"(t *testing.T)") {
				t.Errorf("README.md names %s in %q: there is none", m[1], folder)
			}
		}
	}
	if named < 80 {
		t.Errorf("%d tests found in README.md", named)
	}
}
