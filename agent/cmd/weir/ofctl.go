// Slow path: "weir ofctl": ovs-ofctl's commands and options.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/client"
	"github.com/weirswitch/weir/openflow/of10"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// optionalValue is a flag that may stand alone or have a value behind =.
type optionalValue func(value string)

func (optionalValue) String() string   { return "" }
func (optionalValue) IsBoolFlag() bool { return true }
func (f optionalValue) Set(text string) error {
	if text == "true" {
		text = ""
	}
	f(text)
	return nil
}

// ofctlOptions are what the flags of one call say.
type ofctlOptions struct {
	client.Options
	protocols string
	tls       agent.TLSConfig
}

func (o *ofctlOptions) define(fs *flag.FlagSet) {
	for _, name := range []string{"O", "protocols"} {
		fs.StringVar(&o.protocols, name, "", "`VERSIONS` to speak, like OpenFlow10 or OpenFlow10,OpenFlow13 (default both, the later one if the switch has it)")
	}
	set := func(name, usage string, f func()) {
		fs.Var(optionalValue(func(string) { f() }), name, usage)
	}
	set("names", "show names of ports and tables (default on a terminal)", func() { o.Names = client.NamesShown })
	set("no-names", "show numbers, and understand no names", func() { o.Names = client.NamesHidden })
	set("no-stats", "dump-flows without what time and traffic change", func() { o.NoStats = true })
	set("stats", "dump-flows with counters, the default", func() { o.NoStats = false })
	fs.Var(optionalValue(func(f string) { o.Sort = append(o.Sort, client.SortKey{Field: f}) }), "sort", "=FIELD dump-flows in ascending order of a field, or of priority")
	fs.Var(optionalValue(func(f string) { o.Sort = append(o.Sort, client.SortKey{Field: f, Descending: true}) }), "rsort", "=FIELD the same in descending order")
	fs.BoolVar(&o.Bundle, "bundle", false, "make all changes of a command at once, or none")
	fs.BoolVar(&o.Strict, "strict", false, "mod-flows, del-flows: the flow of exactly this match and priority")
	fs.BoolVar(&o.MayCreate, "may-create", false, "mod-group: add the group if it is not there")
	fs.BoolVar(&o.Readd, "readd", false, "replace-flows: send unchanged flows, too")
	fs.BoolVar(&o.ReadOnly, "read-only", false, "refuse commands that change the switch")
	fs.BoolVar(&o.Timestamp, "timestamp", false, "monitor, snoop: the time before each message")
	fs.BoolVar(&o.JSON, "json", false, "print JSON, where a command reads")
	for _, name := range []string{"m", "more"} {
		set(name, "monitor, snoop: the bytes of messages, too", func() { o.More++ })
	}
	for _, name := range []string{"P", "packet-in-format"} {
		fs.Func(name, "`FORM` monitor: standard, nxt_packet_in or nxt_packet_in2 (default the last that the switch has)", o.setPacketIns)
	}
	for _, name := range []string{"F", "flow-format"} {
		fs.Func(name, "`FORMS` of flows on OpenFlow 1.0: OpenFlow10 without Nicira's extensions, or NXM", o.setFlowFormat)
	}
	for _, name := range []string{"t", "timeout"} {
		fs.Func(name, "`SECONDS` give up after this time, with exit status 142", o.setTimeout)
	}
	for _, f := range []struct {
		short, long, usage string
		to                 *string
	}{{"p", "private-key", "`FILE` of an ssl: connection: the key", &o.tls.PrivateKey}, {"c", "certificate", "`FILE` the certificate of the key", &o.tls.Certificate},
		{"C", "ca-cert", "`FILE` who must have signed the switch's certificate", &o.tls.CACert}} {
		fs.StringVar(f.to, f.short, "", f.usage)
		fs.StringVar(f.to, f.long, "", f.usage)
	}
	fs.Var(optionalValue(func(string) {}), "color", "") // of ovs-ofctl, without a meaning here
}

func (o *ofctlOptions) setPacketIns(text string) error {
	forms := map[string]client.PacketIns{"standard": client.PacketInsStandard, "openflow10": client.PacketInsStandard,
		"nxt_packet_in": client.PacketInsNicira, "nxm": client.PacketInsNicira, "nxt_packet_in2": client.PacketInsNicira2}
	form, ok := forms[text]
	if !ok {
		return nearest("form of packet-ins", text, []string{"standard", "nxt_packet_in", "nxt_packet_in2"})
	}
	o.PacketIns = form
	return nil
}

// setFlowFormat takes ovs-ofctl's lists. OpenFlow 1.3 has one form, and NXM is chosen where the switch has it.
func (o *ofctlOptions) setFlowFormat(text string) error {
	o.Plain = true
	for _, word := range strings.Split(text, ",") {
		word, _, _ = strings.Cut(strings.ToLower(word), "+")
		word, _, _ = strings.Cut(word, "-")
		switch word {
		case "openflow10":
		case "any", "nxm", "oxm", "openflow11", "openflow12", "openflow13":
			o.Plain = false
		default:
			return nearest("form of flows", word, []string{"openflow10", "nxm", "oxm", "any"})
		}
	}
	return nil
}

func nearest(what, word string, known []string) error {
	if near := ofctl.Nearest(word, known); near != "" {
		return fmt.Errorf("there is no %s %q, did you mean %q?", what, word, near)
	}
	return fmt.Errorf("there is no %s %q: expected one of %s", what, word, strings.Join(known, ", "))
}

func (o *ofctlOptions) setTimeout(text string) error {
	d, err := time.ParseDuration(text + "s")
	if err != nil || d <= 0 {
		return errors.New("expected seconds, like 5")
	}
	o.Timeout = d
	return nil
}

func (t *tool) ofctl(fs *flag.FlagSet) func([]string) error {
	var o ofctlOptions
	o.define(fs)
	return func(words []string) error {
		var err error
		if o.Versions, err = versionsOf(o.protocols); err != nil {
			return err
		}
		c := &client.Client{Options: o.Options, Out: t.out, Err: t.err, In: os.Stdin, Terminal: isTerminal(t.out), Explain: isTerminal(t.err), Now: time.Now, Unanswered: agent.Unanswered,
			Dial: func(ctx context.Context, target string, p client.Purpose) (net.Conn, error) {
				return t.dialSwitch(ctx, target, p, o.tls)
			}}
		err = c.Run(context.Background(), words)
		if errors.Is(err, io.EOF) && slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "tcp:") }) {
			err = fmt.Errorf("%w: it ended the connection at once; where it wants encryption, write ssl: instead of tcp:, with -p, -c and -C", err)
		}
		return explainTLS(err, o.tls)
	}
}

// versionsOf are the versions of a list that can be spoken; none: no list.
func versionsOf(list string) (spoken []uint8, err error) {
	if list == "" {
		return nil, nil
	}
	known := []string{"OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"}
	for _, v := range strings.Split(list, ",") {
		switch i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(v, k) }); {
		case i < 0:
			return nil, nearest("version", v, known)
		case i == 0:
			spoken = append(spoken, of10.Version)
		case i == 3:
			spoken = append(spoken, openflow.Version)
		}
	}
	if spoken == nil {
		return nil, fmt.Errorf("-O %s: this program speaks OpenFlow10 and OpenFlow13", list)
	}
	return spoken, nil
}

// dialSwitch turns what ovs-ofctl would take for a switch into a connection: tcp:, ssl: or unix:, a socket of that
// name, or a bridge of the run directory, also behind TYPE@.
func (t *tool) dialSwitch(ctx context.Context, word string, p client.Purpose, files agent.TLSConfig) (net.Conn, error) {
	suffix := ".mgmt"
	if p == client.ForSnooping {
		suffix = ".snoop"
	}
	if scheme, _, ok := strings.Cut(word, ":"); ok && !strings.Contains(scheme, "/") {
		target, err := agent.ParseTarget(word)
		if err != nil {
			return nil, err
		}
		if target.Passive() {
			return nil, fmt.Errorf("%s waits for calls: name a switch that can be called, like tcp:HOST:PORT", word)
		}
		if err := needFiles(target, files); err != nil {
			return nil, err
		}
		return agent.DialTarget(ctx, target, files)
	}
	dir, err := t.dir()
	if err != nil {
		return nil, err
	}
	_, bare, typed := strings.Cut(word, "@")
	if !typed {
		bare = word
	}
	for _, path := range []string{word, filepath.Join(dir, word+suffix), filepath.Join(dir, bare+suffix)} {
		if st, err := os.Stat(path); err == nil && st.Mode()&os.ModeSocket != 0 {
			nc, err := agent.DialTarget(ctx, agent.Target{Scheme: "unix", Path: path}, files)
			if errors.Is(err, syscall.ECONNREFUSED) {
				return nil, fmt.Errorf("%s is not running: nobody answers at %s, which a process that was killed has left", word, path)
			}
			return nc, err
		}
	}
	return nil, t.noSuchBridge(word, dir, suffix)
}

func (t *tool) noSuchBridge(word, dir, suffix string) error {
	var names []string
	found, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
	for _, f := range found {
		names = append(names, strings.TrimSuffix(filepath.Base(f), suffix))
	}
	if near := ofctl.Nearest(word, names); near != "" {
		return fmt.Errorf("%s is not a bridge or a socket, did you mean %s?", word, near)
	}
	switch len(names) {
	case 0:
	case 1:
		return fmt.Errorf("%s is not a bridge or a socket; in %s there is %s", word, dir, names[0])
	default:
		return fmt.Errorf("%s is not a bridge or a socket; in %s there are %s", word, dir, strings.Join(names, ", "))
	}
	return fmt.Errorf("%s is not a bridge or a socket, and in %s there is none: name another folder with --rundir", word, dir)
}

// explainOfctl answers "weir ofctl [COMMAND] --help".
func (t *tool) explainOfctl(words []string) error {
	if len(words) == 0 {
		t.printOfctlOverview(t.out)
		return nil
	}
	c, err := client.Find(words[0])
	if err != nil {
		return err
	}
	printOfctlHelp(t.out, c)
	return nil
}

func printOfctlHelp(w io.Writer, c *client.Command) {
	fmt.Fprintf(w, "weir ofctl %s %s\n  %s\n", c.Name, c.Args, c.Summary)
	if c.More != "" {
		fmt.Fprintf(w, "\n%s\n", c.More)
	}
	fmt.Fprintf(w, "\nExample:\n  weir ofctl %s\n\n\"weir ofctl --help\" lists the options.\n", c.Example)
}

func (t *tool) printOfctlOverview(w io.Writer) {
	fmt.Fprint(w, "weir ofctl [OPTIONS] COMMAND [ARG...]\n  what ovs-ofctl does, for weir and any other switch of OpenFlow 1.3 or 1.0\n\n"+
		"SWITCH is a bridge of the run directory, the path of a socket, unix:PATH, tcp:HOST[:PORT] or ssl:HOST[:PORT].\n\nCommands:\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range client.Commands() {
		fmt.Fprintf(tw, "  %s %s\t%s\n", c.Name, c.Args, c.Summary)
	}
	tw.Flush()
	fmt.Fprint(w, "\nExample:\n  weir ofctl dump-flows br0\n")
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	new(ofctlOptions).define(fs)
	fs.String("rundir", "", "`DIR` folder of the sockets of running bridges (default $OVS_RUNDIR, else /run/weir or $XDG_RUNTIME_DIR/weir)")
	var flags []*flag.Flag
	fs.VisitAll(func(f *flag.Flag) {
		if f.Usage != "" {
			flags = append(flags, f)
		}
	})
	printFlags(w, "Options", flags, nil)
	fmt.Fprint(w, "\nExit status: 0 done, 1 did not work, 2 diff-flows found a difference, 142 --timeout ended it.\n")
}

// unglue takes apart what ovs-ofctl's users write in one word: -OOpenFlow13, -t5.
func unglue(args []string) (out []string) {
	for _, a := range args {
		if len(a) > 2 && a[0] == '-' && strings.IndexByte("OtpcCFP", a[1]) >= 0 && a[2] != '=' {
			out = append(out, a[:2], a[2:])
			continue
		}
		out = append(out, a)
	}
	return out
}
