package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// Names says whether ports and tables are shown by their names.
type Names uint8

// The ways. A terminal shows names and a pipe numbers, unless asked otherwise.
const (
	NamesByTerminal Names = iota
	NamesShown
	NamesHidden // and not understood in what is typed either
)

// Options are ovs-ofctl's options of those names.
type Options struct {
	Names     Names
	NoStats   bool
	Strict    bool
	Bundle    bool
	MayCreate bool // mod-group: add the group if it is not there
	Readd     bool // replace-flows: send flows that have not changed, too
	ReadOnly  bool
	Timestamp bool // monitor, snoop
	More      int
	Sort      []SortKey
	JSON      bool
	Timeout   time.Duration // 0: none
	Versions  []uint8       // that may be spoken; none: all that are known
	Plain     bool          // OpenFlow 1.0 without Nicira's extensions
	PacketIns PacketIns
}

// SortKey is one criterion of --sort (ascending) or --rsort; no Field is the priority.
type SortKey struct {
	Field      string
	Descending bool
}

// PacketIns is the form in which monitor asks for frames.
type PacketIns uint8

// The forms: NXT_PACKET_IN2 where the switch has it, or one that it must have.
const (
	PacketInsBest PacketIns = iota
	PacketInsStandard
	PacketInsNicira
	PacketInsNicira2
)

// Client runs commands. It belongs to one goroutine.
type Client struct {
	Options
	Out, Err io.Writer
	In       io.Reader // what a file called - holds
	Terminal bool      // Out is one
	Explain  bool      // say what a refusal means, behind it
	Now      func() time.Time
	// Dial connects to what a command line calls a switch. Purpose tells which of its sockets.
	Dial func(ctx context.Context, target string, purpose Purpose) (net.Conn, error)
	// Unanswered says what may be wrong with a switch that says nothing; conn is nil while it is called. nil: a plain sentence.
	Unanswered func(conn net.Conn) string
	Patience   time.Duration // after which that is told on Err, once a command, which goes on waiting; 0: 5 s

	late  bool // it was told
	ctx   context.Context
	xid   uint32 // counts over all connections, as ovs-ofctl's
	names map[string]*ofctl.Names
	spoke map[string]uint8 // the version that a switch has agreed on
}

// Purpose is what a connection is for.
type Purpose uint8

// The purposes: a switch's management, and the copies of its controllers' messages.
const (
	ForManagement Purpose = iota
	ForSnooping
)

// ExitError ends a command with its exit status and, unless it is empty, a sentence.
type ExitError struct {
	Code int
	Text string
}

func (e *ExitError) Error() string { return e.Text }

// errTold ends a command whose error has been printed as the message that the switch sent.
var errTold = &ExitError{Code: 1}

// ErrTimeout is the error of a command that --timeout ended.
var ErrTimeout = &ExitError{Code: 142, Text: "the time given by --timeout is over"} // 128 + SIGALRM, as ovs-ofctl ends

// Run runs one command with its arguments.
func (c *Client) Run(ctx context.Context, words []string) error {
	cmd, err := find(words)
	if err != nil {
		return err
	}
	args := words[1:]
	switch n := len(args); {
	case n < cmd.Least:
		return fmt.Errorf("%s needs %s: weir ofctl %s %s", cmd.Name, plural(cmd.Least, "argument"), cmd.Name, cmd.Args)
	case n > cmd.Most:
		return fmt.Errorf("%s takes at most %s: weir ofctl %s %s", cmd.Name, plural(cmd.Most, "argument"), cmd.Name, cmd.Args)
	case c.ReadOnly && cmd.Writes:
		return fmt.Errorf("%s changes the switch, and --read-only forbids that", cmd.Name)
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	c.late, c.ctx, c.names, c.spoke = false, ctx, map[string]*ofctl.Names{}, map[string]uint8{}
	err = cmd.run(c, args)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrTimeout
	}
	return err
}

// Find gives the command of a name.
func Find(name string) (*Command, error) { return find([]string{name}) }

func find(words []string) (*Command, error) {
	all := Commands()
	if len(words) == 0 {
		return nil, errors.New("which command? \"weir ofctl --help\" lists them")
	}
	var known []string
	for i := range all {
		if all[i].Name == words[0] || slices.Contains(all[i].aliases, words[0]) {
			return &all[i], nil
		}
		known = append(append(known, all[i].Name), all[i].aliases...)
	}
	if why := absent[words[0]]; why != "" {
		return nil, errors.New(why)
	}
	if near := ofctl.Nearest(words[0], known); near != "" {
		return nil, fmt.Errorf("there is no command %q, did you mean %q?", words[0], near)
	}
	return nil, fmt.Errorf("there is no command %q: \"weir ofctl --help\" lists them", words[0])
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// namesOf asks a switch, once, what its tables and ports are called: two connections, as ovs-ofctl makes them.
func (c *Client) namesOf(target string) (*ofctl.Names, error) {
	if n, ok := c.names[target]; ok {
		return n, nil
	}
	tables, ports := map[uint8]string{}, map[openflow.PortNo]string{}
	if err := c.tables(target, func(id uint8, name string) { tables[id] = name }); err != nil {
		return nil, err
	}
	if err := c.ports(target, func(p *openflow.Port) { ports[p.No] = p.Name }); err != nil {
		return nil, err
	}
	c.names[target] = ofctl.NewNames(ports, tables)
	return c.names[target], nil
}

// tables asks what the tables are called.
func (c *Client) tables(target string, use func(id uint8, name string)) error {
	s, err := c.open(target)
	if err != nil {
		return err
	}
	defer s.close()
	t := openflow.MultipartTableFeatures
	if s.old != nil {
		t = openflow.MultipartTable
	}
	return s.records(&openflow.MultipartRequest{Type: t}, func(r openflow.Record) {
		switch t := r.(type) {
		case *openflow.TableFeatures:
			if t.Name != "" {
				use(t.TableID, t.Name)
			}
		case *openflow.TableStats:
			if t.Name != "" {
				use(t.TableID, t.Name)
			}
		}
	})
}

// ports asks for the ports, which OpenFlow 1.0 tells among the features of the switch.
func (c *Client) ports(target string, use func(*openflow.Port)) error {
	s, err := c.open(target)
	if err != nil {
		return err
	}
	defer s.close()
	if s.old == nil {
		return s.records(&openflow.MultipartRequest{Type: openflow.MultipartPortDesc}, func(r openflow.Record) {
			if p, ok := r.(*openflow.Port); ok {
				use(p)
			}
		})
	}
	f, _, err := s.features()
	if err != nil {
		return err
	}
	for i := range f.Ports {
		use(&f.Ports[i])
	}
	return nil
}

// namesToAccept are those that may be typed, and the version that what is typed is for.
func (c *Client) namesToAccept(target string) (names *ofctl.Names, err error) {
	if c.Options.Names != NamesHidden {
		if names, err = c.namesOf(target); err != nil {
			return nil, err
		}
	}
	old, err := c.speaksOld(target)
	if old {
		names = names.ForOpenFlow10()
	}
	return names, err
}

// speaksOld reports a switch that is spoken to in OpenFlow 1.0. No target is a text that goes nowhere.
func (c *Client) speaksOld(target string) (bool, error) {
	if v := c.versions(); len(v) == 1 || target == "" {
		return v[0] == of10.Version, nil
	}
	if c.spoke[target] == 0 {
		s, err := c.open(target)
		if err != nil {
			return false, err
		}
		s.close()
	}
	return c.spoke[target] == of10.Version, nil
}

// versions are those that may be spoken, the preferred one first. Bundles came with later versions than 1.0.
func (c *Client) versions() []uint8 {
	switch {
	case c.Bundle:
		return []uint8{openflow.Version}
	case len(c.Versions) > 0:
		return c.Versions
	}
	return []uint8{openflow.Version, of10.Version}
}

// showNames reports whether names are shown.
func (c *Client) showNames() bool {
	return c.Options.Names == NamesShown || c.Options.Names == NamesByTerminal && c.Terminal
}

// namesToShow are those to print with. They are asked for when the first text is there to be printed, as
// by ovs-ofctl, whose transaction ids show it.
func (c *Client) namesToShow(target string) (*ofctl.Names, error) {
	if !c.showNames() {
		return nil, nil
	}
	return c.namesOf(target)
}

// ask makes a connection for one multipart request and gives the records of its answer.
func (c *Client) ask(target string, m *openflow.MultipartRequest, use func(openflow.Record)) error {
	s, err := c.open(target)
	if err != nil {
		return err
	}
	defer s.close()
	return s.records(m, use)
}

// portOf reads a port. A name is looked up over a connection of its own.
func (c *Client) portOf(target, word string) (openflow.PortNo, error) {
	if no, err := ofctl.ParsePort(word, nil); err == nil {
		return no, nil
	}
	p, err := c.findPort(target, word)
	if err != nil {
		return 0, err
	}
	return p.No, nil
}

// findPort looks for a port by number or name.
func (c *Client) findPort(target, word string) (*openflow.Port, error) {
	no, notNumber := ofctl.ParsePort(word, nil)
	var found *openflow.Port
	var known []string
	err := c.ports(target, func(p *openflow.Port) {
		known = append(known, p.Name)
		if p.Name == word || notNumber == nil && p.No == no {
			found = p
		}
	})
	if err != nil || found != nil {
		return found, err
	}
	if near := ofctl.Nearest(word, known); near != "" {
		return nil, fmt.Errorf("%s has no port %q, did you mean %q?", target, word, near)
	}
	return nil, fmt.Errorf("%s has no port %q; it has %s", target, word, strings.Join(known, ", "))
}

// lines reads a file line by line without comments and blank lines; - is standard input.
func (c *Client) lines(file string, use func(where, text string) error) error {
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(c.In)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := use(fmt.Sprintf("%s:%d", file, i+1), line); err != nil {
			return err
		}
	}
	return nil
}
