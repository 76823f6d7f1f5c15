// Slow path: a YAML file read by the schema, every mistake with its line.

package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxConfigBytes bounds a configuration file; the largest sensible one is far smaller.
const maxConfigBytes = 4 << 20

// LoadConfig reads, completes and checks a YAML file. Its error is a ConfigErrors
// that tells every mistake of the file; the Config is then nil.
func LoadConfig(file string) (*Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, ConfigErrors{{File: file, Problem: fmt.Sprintf("cannot be read: %v", errors.Unwrap(err))}}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return nil, ConfigErrors{{File: file, Problem: fmt.Sprintf("cannot be read: %v", errors.Unwrap(err))}}
	}
	return ParseConfig(file, text)
}

// ParseConfig is LoadConfig for text already read; file names it in errors.
func ParseConfig(file string, text []byte) (*Config, error) {
	r := &reader{where: map[string]place{}, file: file}
	if len(text) > maxConfigBytes {
		r.fail("", fmt.Sprintf("has more than %d bytes: a configuration of weir is never that large", maxConfigBytes))
		return nil, r.errs
	}
	root, ok := r.document(text)
	if !ok {
		return nil, r.errs
	}
	d := &draft{}
	readBlock(r, root, "", processSettings(), d)
	return r.finish(d)
}

// document parses the text as the one mapping it must be.
func (r *reader) document(text []byte) (*yaml.Node, bool) {
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	switch err := dec.Decode(&doc); {
	case err == io.EOF:
		r.fail("", "is empty: expected at least one bridge, like \"bridges: [{name: br0}]\"")
		return nil, false
	case err != nil:
		r.syntax(text, err)
		return nil, false
	}
	switch err := dec.Decode(&more); {
	case err == nil:
		r.where["---"] = place{line: more.Line}
		r.fail("---", "a second YAML document begins here: put everything into one and delete this line")
		return nil, false
	case err != io.EOF:
		r.syntax(text, err)
		return nil, false
	}
	root := doc.Content[0]
	r.where[""] = place{line: root.Line}
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		r.where[""] = place{}
		r.fail("", "is empty: expected at least one bridge, like \"bridges: [{name: br0}]\"")
		return nil, false
	}
	return root, true
}

// readBlock reads a mapping into t by its settings.
func readBlock[T any](r *reader, n *yaml.Node, path string, settings []setting[T], t *T) {
	readKeys(r, n, path, "", settings, t)
}

// readKeys reads the keys of a mapping that is the block called prefix ("" for the
// whole, "mac-table." for a block in it).
func readKeys[T any](r *reader, n *yaml.Node, path, prefix string, settings []setting[T], t *T) {
	if !r.isKind(n, yaml.MappingNode, path, "keys and values, like \"name: br0\"") {
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := joinPath(path, k.Value)
		if first, again := seen[k.Value]; again {
			r.failAt(k.Line, at, fmt.Sprintf("the key stands here a second time, the first is in line %d: keep one of them", first))
			continue
		}
		seen[k.Value] = k.Line
		if k.Kind != yaml.ScalarNode {
			r.failAt(k.Line, path, "a key must be a word, this one is "+nodeWords(k))
			continue
		}
		r.where[at] = place{line: v.Line}
		readKey(r, k, v, at, prefix, settings, t)
	}
}

// readKey reads one value by the setting of its key.
func readKey[T any](r *reader, k, v *yaml.Node, at, prefix string, settings []setting[T], t *T) {
	if s := findSetting(settings, prefix+k.Value); s != nil {
		readValue(r, settings, s, v, at, t)
		return
	}
	block := prefix + k.Value + "."
	for _, s := range settings {
		if strings.HasPrefix(s.key, block) {
			readKeys(r, v, at, block, settings, t)
			return
		}
	}
	known := knownKeys(settings, prefix)
	problem := "unknown key"
	if near := Nearest(k.Value, known); near != "" {
		problem += fmt.Sprintf(", did you mean %q?", near)
	} else {
		problem += ": expected one of " + strings.Join(known, ", ")
	}
	r.failAt(k.Line, at, problem)
}

// readValue hands the text of a value to its setting, element by element for a list.
func readValue[T any](r *reader, settings []setting[T], s *setting[T], v *yaml.Node, at string, t *T) {
	set := func(n *yaml.Node, at, text string) {
		if err := s.set(t, text); err != nil {
			r.failAt(n.Line, at, err.Error())
		}
	}
	switch s.shape {
	case shapeScalar:
		if text, ok := r.scalar(v, at, s.arg); ok {
			set(v, at, text)
		}
	case shapeList:
		if v.Kind == yaml.ScalarNode && v.Tag != "!!null" { // one value may stand without brackets
			if text, ok := r.scalar(v, at, s.arg); ok {
				set(v, at, text)
			}
			return
		}
		if !r.isKind(v, yaml.SequenceNode, at, "a list, like ["+s.arg+"]") {
			return
		}
		for i, e := range v.Content {
			el := fmt.Sprintf("%s[%d]", at, i)
			r.where[el] = place{line: e.Line}
			if text, ok := r.scalar(e, el, s.arg); ok {
				set(e, el, text)
			}
		}
	case shapeMap:
		r.pairs(v, at, s.arg, func(k, val *yaml.Node, text string) {
			set(val, joinPath(at, k.Value), k.Value+"="+text)
		})
	case shapeBlock:
		if v.Kind == yaml.ScalarNode { // internal: true
			if text, ok := r.scalar(v, at, "keys and values in braces, or true"); ok {
				set(v, at, text)
			}
			return
		}
		set(v, at, "true")
		readKeys(r, v, at, s.key+".", settings, t)
	case shapeItems:
		if !r.isKind(v, yaml.SequenceNode, at, "a list, one entry with a dash for each") {
			return
		}
		for i, e := range v.Content {
			el := fmt.Sprintf("%s[%d]", at, i)
			r.where[el] = place{line: e.Line}
			s.item(r, e, el, t)
		}
	}
}

// pairs visits the scalar entries of a mapping whose keys are free.
func (r *reader) pairs(n *yaml.Node, at, arg string, visit func(k, v *yaml.Node, text string)) {
	if !r.isKind(n, yaml.MappingNode, at, "keys and values, like {"+arg+"}") {
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		key := joinPath(at, k.Value)
		if first, again := seen[k.Value]; again {
			r.failAt(k.Line, key, fmt.Sprintf("the key stands here a second time, the first is in line %d: keep one of them", first))
			continue
		}
		seen[k.Value] = k.Line
		r.where[key] = place{line: v.Line}
		if k.Kind != yaml.ScalarNode {
			r.failAt(k.Line, at, "a key must be a word, this one is "+nodeWords(k))
		} else if text, ok := r.scalar(v, key, "a value"); ok {
			visit(k, v, text)
		}
	}
}

// scalar returns the text of a plain value as it was written.
func (r *reader) scalar(n *yaml.Node, at, arg string) (string, bool) {
	if !r.isKind(n, yaml.ScalarNode, at, arg) {
		return "", false
	}
	if n.Tag == "!!null" {
		r.failAt(n.Line, at, fmt.Sprintf("has no value: write %s or leave the key out", arg))
		return "", false
	}
	if n.Style&yaml.TaggedStyle != 0 {
		r.failAt(n.Line, at, fmt.Sprintf("has the YAML tag %s: write the plain value", n.Tag))
		return "", false
	}
	return n.Value, true
}

// isKind checks the shape of a node and says what was expected if it has another.
func (r *reader) isKind(n *yaml.Node, kind yaml.Kind, at, expected string) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		r.failAt(n.Line, at, "YAML anchors and aliases are not read: write the value out")
		return false
	}
	if n.Kind != kind {
		problem := fmt.Sprintf("expected %s, found %s", expected, nodeWords(n))
		if key := gluedKey(n.Value); n.Kind == yaml.ScalarNode && kind == yaml.MappingNode && key != "" {
			problem += fmt.Sprintf(": put a space behind the colon, as in \"%s: %s\"", key, clip(strings.TrimPrefix(n.Value, key+":"), 40))
		}
		r.failAt(n.Line, at, problem)
		return false
	}
	return true
}

// nodeWords names a node in an error.
func nodeWords(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.Tag == "!!null":
		return "nothing"
	}
	return strconv.Quote(clip(n.Value, 40))
}

// clip shortens text that an error quotes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}

// joinPath appends a key to a path.
func joinPath(path, key string) string {
	key = clip(key, 40)
	if path == "" {
		return key
	}
	return path + "." + key
}
