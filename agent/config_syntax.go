// Slow path: what is wrong with a text that is not even YAML: the line, its text, and how to mend it.

package agent

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// syntax reports what the YAML parser itself did not like. The line that it names is often that of the block around the
// mistake, or the one before, so the mistake is looked for once more.
func (r *reader) syntax(text []byte, err error) {
	m := yamlLine.FindStringSubmatch(strings.SplitN(err.Error(), "\n", 2)[0])
	line, _ := strconv.Atoi(m[1])
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if n := firstBadLine(text); n > 0 {
		line = n
	}
	cure := "look at the indentation (spaces, as many as above) and at the quotes"
	for _, c := range yamlCures() {
		if strings.Contains(m[2], c.says) {
			cure = c.cure
			if c.says == twoMappings && line > 0 && line <= len(lines) && !twoKeys(lines[line-1]) {
				cure = notAsNeighbours
			}
			break
		}
	}
	if n := slices.IndexFunc(lines, tabbed); n >= 0 && n < max(line, 1) {
		line, cure = n+1, "indent with spaces, not with tabs"
	}
	for _, n := range []int{line, line - 1} {
		if key := gluedKeyIn(lines, n); key != "" {
			line, cure = n, fmt.Sprintf("a space is missing behind the colon: write \"%s: ...\"", key)
			break
		}
	}
	problem := fmt.Sprintf("is not YAML: %s (%s)", cure, m[2])
	if line = min(line, len(lines)); line > 0 {
		problem += ": " + strconv.Quote(clip(strings.TrimRight(lines[line-1], "\r"), 80))
	}
	r.errs = append(r.errs, ConfigError{File: r.file, Line: line, Problem: problem})
}

// The longest text in which a mistake is looked for line by line: it is read once for each.
const (
	maxSearchedLines = 500
	maxSearchedBytes = 32 << 10
)

// firstBadLine is the line with which a text stops being YAML for good: those before it are, and no more of them together. 0:
// the text is too long to be searched.
func firstBadLine(text []byte) int {
	lines := bytes.SplitAfter(text, []byte("\n"))
	if len(lines) > maxSearchedLines || len(text) > maxSearchedBytes {
		return 0
	}
	n := len(lines) - 1
	for n > 0 && !isYAML(bytes.Join(lines[:n], nil)) {
		n--
	}
	for n < len(lines)-1 {
		if l := strings.TrimSpace(string(lines[n])); l != "" && l[0] != '#' {
			break
		}
		n++
	}
	return n + 1
}

func isYAML(text []byte) bool {
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var n yaml.Node
		if err := d.Decode(&n); err != nil {
			return err == io.EOF
		}
	}
}

// tabbed says that a line is indented with a tab.
func tabbed(line string) bool {
	return strings.Contains(line[:len(line)-len(strings.TrimLeft(line, " \t"))], "\t")
}

var glued = regexp.MustCompile(`^[\s\[{-]*([a-z][a-z-]*):[^\s:/]`)

// gluedKey is the key of a text such as name:br0, which lacks the space that makes it a key; empty: it is something else.
func gluedKey(text string) string {
	m := glued.FindStringSubmatch(text)
	if m == nil || !slices.Contains(allKeys(), m[1]) {
		return ""
	}
	return m[1]
}

// gluedKeyIn is gluedKey for a line by its number.
func gluedKeyIn(lines []string, n int) string {
	if n < 1 || n > len(lines) {
		return ""
	}
	return gluedKey(lines[n-1])
}

// allKeys are the words that may stand before a colon, at whatever depth.
func allKeys() (words []string) {
	add := func(key string) { words = append(words, strings.Split(key, ".")...) }
	for _, s := range processSettings() {
		add(s.key)
	}
	for _, s := range bridgeSettings() {
		add(s.key)
	}
	for _, s := range controllerSettings() {
		add(s.key)
	}
	for _, s := range portSettings() {
		add(s.key)
	}
	for _, s := range queueSettings() {
		add(s.key)
	}
	return words
}

const (
	twoMappings     = "mapping values are not allowed" // a second key in the line, or a key deeper than its neighbours
	notAsNeighbours = "the line is not indented as its neighbours: keys that belong together begin in the same column"
)

// twoKeys says whether a line has more than one colon that ends a key.
func twoKeys(line string) bool { return strings.Count(strings.TrimSpace(line)+" ", ": ") > 1 }

// yamlCures says how to mend what the YAML parser complains of in its own words.
func yamlCures() []struct{ says, cure string } {
	return []struct{ says, cure string }{
		{"cannot start any token", "put quotes around a text that begins with @, ` or %"},
		{"expected node content", "a value is missing, or a [ or { is not closed"},
		{twoMappings, "a second \": \" in one line: put quotes around the text, or begin the second key in a line of its own, indented as the others"},
		{"did not find expected key", notAsNeighbours},
		{"did not find expected '-'", "the line is not indented as its neighbours: each \"- \" of a list begins in the same column"},
		{"could not find expected ':'", "a key needs \": \" and a value behind it, as in \"name: br0\""},
		{"expected ',' or", "a [ or { is not closed, or a comma is missing in it"},
		{"unexpected end of stream", "a quote is not closed"},
		{"unknown escape character", "a backslash within \"...\" begins an escape: write the text within '...'"},
		{"control characters", "a byte that is no text: write the file anew as plain UTF-8"},
		{"invalid UTF-8", "a byte that is no text: write the file anew as plain UTF-8"},
		{"unknown anchor", "a text that begins with * needs quotes"},
	}
}
