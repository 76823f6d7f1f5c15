package ofctl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

// Names are what the ports and tables of a switch are called. A nil *Names knows none: numbers and
// the reserved words are understood all the same.
type Names struct {
	ports     map[openflow.PortNo]string
	tables    map[uint8]string
	portByNo  map[string]openflow.PortNo
	tableByNo map[string]uint8
	old       *oldWords // a message of OpenFlow 1.0 is told
	typedOld  bool      // what is typed is for OpenFlow 1.0
}

// ForOpenFlow10 makes what is typed mean what it means on OpenFlow 1.0.
func (n *Names) ForOpenFlow10() *Names {
	k := Names{}
	if n != nil {
		k = *n
	}
	k.typedOld = true
	return &k
}

// NewNames takes the names as they are; one that two ports or two tables share means neither.
func NewNames(ports map[openflow.PortNo]string, tables map[uint8]string) *Names {
	return &Names{ports: ports, tables: tables, portByNo: inverse(ports), tableByNo: inverse(tables)}
}

func inverse[N comparable](names map[N]string) map[string]N {
	byName, twice := map[string]N{}, map[string]bool{}
	for n, s := range names {
		if _, there := byName[s]; there || s == "" {
			twice[s] = true
		}
		byName[s] = n
	}
	for s := range twice {
		delete(byName, s)
	}
	return byName
}

// IsForOpenFlow10 reports the names of ForOpenFlow10.
func (n *Names) IsForOpenFlow10() bool { return n != nil && n.typedOld }

// SyntaxError tells what in a text could not be understood, and where.
type SyntaxError struct {
	Text    string // all of it
	At      int    // where the word begins, in bytes from 0
	Problem string // a sentence that names the word
	Near    string // the right word that is closest, or ""
}

// Error is the sentence, the word that may have been meant, and the place.
func (e *SyntaxError) Error() string {
	s := e.Problem
	if e.Near != "" {
		s += fmt.Sprintf(", did you mean %q?", e.Near)
	}
	return fmt.Sprintf("%s (at character %d of %q)", s, e.At+1, excerpt(e.Text, e.At))
}

// excerpt is the text, or its neighbourhood of at when it is long.
func excerpt(s string, at int) string {
	const span = 60
	from, to := 0, len(s)
	if len(s) > 2*span {
		from, to = max(0, at-span), min(len(s), at+span)
	}
	out := s[from:to]
	if from > 0 {
		out = "..." + out
	}
	if to < len(s) {
		out += "..."
	}
	return out
}

// token is one word of a list with its argument: key, key=value, key:value or key(value).
type token struct {
	key, value string
	at, valAt  int // in the text
	has        bool
}

// parser walks over one text and knows it for error messages.
type parser struct {
	text  string
	names *Names
}

// old: the words are for OpenFlow 1.0.
func (p *parser) old() bool { return p.names.IsForOpenFlow10() }

func (p *parser) fail(at int, format string, args ...any) error {
	return &SyntaxError{Text: p.text, At: at, Problem: fmt.Sprintf(format, args...)}
}

// unknown is the error of a word that is not in a list.
func (p *parser) unknown(at int, what, word string, known []string) error {
	return &SyntaxError{Text: p.text, At: at, Problem: fmt.Sprintf("there is no %s %q", what, word), Near: Nearest(word, known)}
}

// maxBody is how much match, actions or buckets may say: what still fits a message and the replies that give it back.
const maxBody = openflow.MaxMessage - 96

// fits refuses what is longer than a message can be.
func (p *parser) fits(bytes int) error {
	if bytes > maxBody {
		return p.fail(0, "this makes %d bytes, a message has room for %d", bytes, maxBody)
	}
	return nil
}

const blanks = " \t\r\n"

// tokens cuts text[from:to] at commas and blanks that stand outside of parentheses and quotes.
func (p *parser) tokens(from, to int) ([]token, error) {
	var list []token
	for i := from; i < to; {
		if strings.IndexByte(","+blanks, p.text[i]) >= 0 {
			i++
			continue
		}
		k := token{at: i}
		for i < to && strings.IndexByte(":=(,"+blanks, p.text[i]) < 0 {
			if p.text[i] == '"' {
				i = p.quoteEnd(i, to)
				continue
			}
			i++
		}
		k.key, k.valAt = p.text[k.at:i], i
		if i < to && p.text[i] != ',' && strings.IndexByte(blanks, p.text[i]) < 0 {
			var err error
			if i, err = p.argument(&k, i, to); err != nil {
				return nil, err
			}
		}
		list = append(list, k)
	}
	return list, nil
}

// quoteEnd is the place behind the quoted text that begins at i.
func (p *parser) quoteEnd(i, to int) int {
	for i++; i < to; i++ {
		switch p.text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return to
}

// argument reads what stands behind the key: after = or : up to a comma or blank, or inside parentheses.
func (p *parser) argument(k *token, i, to int) (int, error) {
	k.has = true
	paren := p.text[i] == '('
	depth := 0
	if paren {
		depth = 1
	}
	i++
	k.valAt = i
	for ; i < to; i++ {
		switch c := p.text[i]; {
		case c == '"':
			i = p.quoteEnd(i, to) - 1
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return 0, p.fail(i, "a closing parenthesis without its opening one")
			}
			if paren && depth == 0 {
				k.value = p.text[k.valAt:i]
				return i + 1, nil
			}
		case depth == 0 && (c == ',' || strings.IndexByte(blanks, c) >= 0):
			k.value = p.text[k.valAt:i]
			return i, nil
		}
	}
	if depth > 0 {
		return 0, p.fail(k.at, "%s( lacks its closing parenthesis", k.key)
	}
	k.value = p.text[k.valAt:i]
	return i, nil
}

// number reads a decimal, a hexadecimal after 0x or an octal after 0, of at most bits bits. As in
// ovs-ofctl, a field of 64 bits may be negative: -1 is all ones.
func number(s string, bits int) (uint64, bool) {
	if bits == 64 && strings.HasPrefix(s, "-") {
		n, err := strconv.ParseUint(s[1:], 10, 63)
		return -n, err == nil
	}
	base, digits := 10, s
	switch {
	case strings.HasPrefix(s, "0x"), strings.HasPrefix(s, "0X"):
		base, digits = 16, s[2:]
	case len(s) > 1 && s[0] == '0':
		base, digits = 8, s[1:]
	}
	if digits == "" || digits[0] == '+' || digits[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, base, 64)
	return n, err == nil && (bits >= 64 || n>>bits == 0)
}

// uint reads a token's number.
func (p *parser) uint(k token, bits int) (uint64, error) {
	return p.uintAt(k.key, k.value, k.valAt, bits)
}

func (p *parser) uintAt(what, s string, at, bits int) (uint64, error) {
	n, ok := number(s, bits)
	switch {
	case ok:
		return n, nil
	case s == "":
		return 0, p.fail(at, "%s lacks its number", what)
	}
	if _, ok := number(s, 64); ok {
		return 0, p.fail(at, "%s=%s is too large, the highest is %d", what, s, uint64(1)<<bits-1)
	}
	return 0, p.fail(at, "%s=%s: expected a number like 10 or 0x0a", what, s)
}

// unquote takes a name out of its quotes.
func unquote(s string) string {
	if len(s) > 1 && s[0] == '"' {
		if t, err := strconv.Unquote(s); err == nil {
			return t
		}
	}
	return s
}

// portOf reads a port: a reserved word in any case, a name, or a number. 0xfff8 and higher are
// OpenFlow 1.0's numbers of the reserved ports.
func (n *Names) portOf(s string) (openflow.PortNo, bool) {
	upper := strings.ToUpper(s)
	for no, w := range portWords {
		if w == upper {
			return no, true
		}
	}
	if upper == "NONE" {
		return openflow.PortAny, true
	}
	if n != nil {
		if no, ok := n.portByNo[unquote(s)]; ok {
			return no, true
		}
	}
	v, ok := number(s, 32)
	no := openflow.PortNo(v)
	if v >= 0xfff8 && v <= 0xffff {
		no |= 0xffff0000
	}
	return no, ok && (no <= openflow.PortMax || no >= openflow.PortInPort)
}

func (p *parser) port(what, s string, at int) (openflow.PortNo, error) {
	if no, ok := p.names.portOf(s); ok {
		return no, nil
	}
	known := []string{"IN_PORT", "TABLE", "NORMAL", "FLOOD", "ALL", "CONTROLLER", "LOCAL", "ANY"}
	if p.names != nil {
		for name := range p.names.portByNo {
			known = append(known, name)
		}
		slices.Sort(known)
	}
	return 0, p.unknown(at, "port for "+what+" called", unquote(s), known)
}

// table reads a table's number or name.
func (p *parser) table(k token) (uint8, error) {
	if n, ok := number(k.value, 8); ok {
		return uint8(n), nil
	}
	var known []string
	if p.names != nil {
		if id, ok := p.names.tableByNo[unquote(k.value)]; ok {
			return id, nil
		}
		for name := range p.names.tableByNo {
			known = append(known, name)
		}
		slices.Sort(known)
	}
	if _, ok := number(k.value, 64); ok {
		return 0, p.fail(k.valAt, "%s=%s: tables have numbers from 0 to 254", k.key, k.value)
	}
	return 0, p.unknown(k.valAt, "table called", unquote(k.value), known)
}

// ParsePort reads a port's number, name or reserved word.
func ParsePort(s string, names *Names) (openflow.PortNo, error) {
	return (&parser{text: s, names: names}).port("this", s, 0)
}
