// Slow path: what is wrong with a configuration, and where.

package agent

import (
	"fmt"
	"sort"
	"strings"
)

// ConfigError is one mistake in a configuration. Key is the path of a YAML key
// (bridges[0].ports[1]) or the flag as it was written.
type ConfigError struct {
	File    string // empty for flags
	Line    int    // 0: the whole file
	Key     string
	Problem string // what was found, what was expected, how to mend it
}

// Error is FILE:LINE: KEY: PROBLEM, without what is not known.
func (e ConfigError) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	if e.Key != "" && e.Key != "---" {
		b.WriteString(e.Key + ": ")
	}
	return b.String() + e.Problem
}

// ConfigErrors are all mistakes of a configuration in the order of their lines; never empty.
type ConfigErrors []ConfigError

// maxConfigErrors bounds what is told at once: a file with more mistakes is not a configuration.
const maxConfigErrors = 20

// Error has one line for each mistake.
func (e ConfigErrors) Error() string {
	lines := make([]string, 0, len(e))
	for i, one := range e {
		if i == maxConfigErrors {
			lines = append(lines, fmt.Sprintf("and %d more", len(e)-i))
			break
		}
		lines = append(lines, one.Error())
	}
	return strings.Join(lines, "\n")
}

// mistakes are the errors that errors.Join made one of, or the one.
func mistakes(err error) []error {
	switch joined, ok := err.(interface{ Unwrap() []error }); {
	case err == nil:
		return nil
	case ok:
		return joined.Unwrap()
	}
	return []error{err}
}

// reader collects mistakes while a configuration is read, and remembers where things stood.
type reader struct {
	file  string
	where map[string]place // by path
	errs  ConfigErrors
}

// place is where a value was written: a line of the file, or a flag.
type place struct {
	line int
	flag string
}

// fail reports a mistake at a path whose place is known, or at the nearest one above it.
func (r *reader) fail(path, problem string) {
	at, ok := r.where[path]
	for up := path; !ok && up != ""; {
		if i := strings.LastIndexAny(up, ".["); i >= 0 {
			up = up[:i]
		} else {
			up = ""
		}
		at, ok = r.where[up]
	}
	if at.flag != "" {
		path = at.flag
	}
	r.errs = append(r.errs, ConfigError{File: r.file, Line: at.line, Key: path, Problem: problem})
}

// failAt reports a mistake in a line.
func (r *reader) failAt(line int, path, problem string) {
	r.errs = append(r.errs, ConfigError{File: r.file, Line: line, Key: path, Problem: problem})
}

// lineOf says where something else stands that the text at hand clashes with.
func (r *reader) lineOf(path string) string {
	at := r.where[path]
	switch {
	case at.flag != "":
		return at.flag
	case at.line > 0:
		return fmt.Sprintf("line %d", at.line)
	}
	return path
}

// result is the Config, or every mistake in the order of the lines.
func (r *reader) result(c *Config) (*Config, error) {
	if len(r.errs) == 0 {
		return c, nil
	}
	sort.SliceStable(r.errs, func(i, j int) bool { return r.errs[i].Line < r.errs[j].Line })
	return nil, r.errs
}
