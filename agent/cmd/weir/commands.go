// Slow path: the table of weir's commands, and their help.

package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/weirswitch/weir/agent"
)

// command is one line of "weir help".
type command struct {
	words       []string // "port", "add"
	args        string   // for people
	least, most int      // how many arguments besides flags
	summary     string
	more        string // what the summary leaves out
	example     string
	standard    bool // meant when only the first of two words is given
	setup       func(t *tool, fs *flag.FlagSet) func(words []string) error
	explain     func(t *tool, words []string) error // answers --help in place of tell
	after       func(io.Writer)                     // a chapter behind its help
}

func (c *command) name() string { return strings.Join(c.words, " ") }

const anyNumber = 1 << 20

// watching is told of the commands that have rates.
const watching = "--watch shows it again and again: on a terminal\n" +
	"in the place of what was there, else block behind block (with --json a line each), with rates a second (/S)."

// commands are all commands in the order of help.
func commands() []command {
	return []command{
		{words: []string{"run"}, args: "[-c FILE | FLAGS]", summary: "run bridges until SIGTERM or Ctrl-C",
			more: "Settings come from a YAML file or from flags. Flags of a bridge belong to the --name before them.\n" +
				"SIGHUP applies what was changed in the file. A second SIGTERM ends at once.",
			example: "weir run --name br0 --port 1:eth1 --port 2:eth2 --controller tcp:127.0.0.1:6653",
			setup:   (*tool).run},
		{words: []string{"check"}, args: "[-c] FILE", most: 1, summary: "tell every mistake in a configuration file, start nothing",
			example: "weir check -c /etc/weir.yaml", setup: (*tool).check},
		{words: []string{"reload"}, args: "[BRIDGE] [-c FILE]", most: 1, summary: "apply what was changed in the configuration file",
			more: "What is the same keeps its flows, MAC table, sessions and counters; ports that were added by\n" +
				"\"weir port add\" and are not in the file go. A file with mistakes changes nothing.\n" +
				"Without BRIDGE every bridge of the process is brought to what the file says.",
			example: "weir reload -c /etc/weir.yaml", setup: (*tool).reload},
		{words: []string{"stop"}, args: "[BRIDGE...] [--wait=false]", most: anyNumber, summary: "stop bridges; a process ends with its last one",
			more: "Without BRIDGE all bridges of the run directory.", example: "weir stop br0", setup: (*tool).stop},
		{words: []string{"show"}, args: "[BRIDGE...] [--watch [INTERVAL]] [--json]", most: anyNumber, summary: "bridges with their controllers and ports",
			example: "weir show br0", setup: (*tool).show},
		{words: []string{"status"}, args: "[BRIDGE...] [--connected] [--watch [INTERVAL]] [--json]", most: anyNumber, summary: "what bridges and controllers are doing",
			example: "weir status br0 --connected && echo ready", setup: (*tool).status},
		{words: []string{"ports"}, args: "[BRIDGE] [--watch [INTERVAL]] [--json]", most: 1, summary: "ports with their counters and rates",
			more:    "A kB is 1000 bytes. " + watching,
			example: "weir ports br0 --watch 2s", setup: (*tool).ports, after: printPortKinds},
		{words: []string{"port", "add"}, args: "BRIDGE [NUM:]SPEC", least: 2, most: 2, summary: "add a port to a running bridge",
			more:    "\"weir help ports\" tells every kind of port and its options.",
			example: "weir port add br0 3:tap:vm2,tag=10", setup: (*tool).portAdd},
		{words: []string{"port", "del"}, args: "BRIDGE PORT", least: 2, most: 2, summary: "take a port out of a running bridge, by name or number",
			example: "weir port del br0 vm2", setup: (*tool).portDel},
		{words: []string{"flows"}, args: "[BRIDGE] [--table N] [--watch [INTERVAL]] [--json]", most: 1, summary: "flow entries by table, priority and age, with counters and rates",
			more:    "\"weir ofctl dump-flows BRIDGE\" prints them as ovs-ofctl does. " + watching,
			example: "weir flows br0 --table 0", setup: (*tool).flows},
		{words: []string{"groups"}, args: "[BRIDGE] [--watch [INTERVAL]] [--json]", most: 1, summary: "groups and their buckets with counters and rates",
			more:    "\"weir ofctl dump-groups BRIDGE\" and \"dump-group-stats\" print them as ovs-ofctl does. " + watching,
			example: "weir groups br0", setup: (*tool).groups},
		{words: []string{"meters"}, args: "[BRIDGE] [--watch [INTERVAL]] [--json]", most: 1, summary: "meters: what came, and what each band caught",
			more:    "\"weir ofctl dump-meters BRIDGE\" and \"meter-stats\" print them as ovs-ofctl does. " + watching,
			example: "weir meters br0 --watch", setup: (*tool).meters},
		{words: []string{"fdb", "show"}, args: "[BRIDGE] [--watch [INTERVAL]] [--json]", most: 1, summary: "addresses that the learning switch knows",
			more: "\"weir fdb\" is the same.", standard: true,
			example: "weir fdb show br0", setup: (*tool).fdbShow},
		{words: []string{"fdb", "flush"}, args: "[BRIDGE] [--port PORT] [--json]", most: 1, summary: "forget learned addresses",
			example: "weir fdb flush br0 --port eth1", setup: (*tool).fdbFlush},
		{words: []string{"snoop"}, args: "[BRIDGE] [--all] [-w FILE] [-c COUNT] [--json]", most: 1, summary: "OpenFlow messages of the controllers as they come and go",
			more: "Each ERROR is told with the message it refuses, its reason, its meaning and how to mend it.\n" +
				"-w writes them as TCP of port 6653, which Wireshark and tshark read as OpenFlow; messages of TLS are\n" +
				"seen in plain. A connection never waits for who looks: what is too fast is missed, and counted.",
			example: "weir snoop br0 -w - | tshark -r - -Y openflow_v4", setup: (*tool).snoop},
		{words: []string{"capture"}, args: "BRIDGE PORT [--filter MATCH] [-w FILE] [-c COUNT] [--json]", least: 2, most: 2, summary: "frames that come in and leave by a port",
			more: "Frames are as the switch has them: a super-frame of segmentation offload is one frame, and a checksum\n" +
				"that the sender left to a device may be unfinished. Frames that leave are seen after the queues, before the\n" +
				"device; those that are faster than the reader are missed, and counted.",
			example: "weir capture br0 eth1 -w - | tcpdump -n -r -", setup: (*tool).capture},
		{words: []string{"watch"}, args: "BRIDGE [MATCH] [--rate N] [-c COUNT] [--json]", least: 1, most: anyNumber, summary: "the ways of real frames: entries met, ports they left by",
			more: "MATCH is in ovs-ofctl's words. Forwarding does not become slower: of heavy traffic a sample is looked at,\n" +
				"and each line says of how many.",
			example: "weir watch br0 in_port=1,tcp,tp_dst=80", setup: (*tool).watch},
		{words: []string{"ofctl"}, args: "[OPTIONS] COMMAND [ARG...]", most: anyNumber, summary: "what ovs-ofctl does, for weir and any other switch of OpenFlow 1.3 or 1.0",
			more:    "\"weir ofctl --help\" lists the commands, \"weir ofctl COMMAND --help\" tells of one.",
			example: "weir ofctl dump-flows br0", setup: (*tool).ofctl, explain: (*tool).explainOfctl},
		{words: []string{"trace"}, args: "BRIDGE FLOW|--hex BYTES|--pcap FILE [--in-port PORT] [--length BYTES] [--segment BYTES] [--send] [--json]", least: 1, most: 2,
			summary: "what happens to a frame, table by table",
			more: "The frame has the fields of FLOW, in ovs-ofctl's words, or the bytes of --hex, or it is each of a capture\n" +
				"in turn. It is followed by the code that forwards, and nothing changes: no counter, address, meter or\n" +
				"timeout; --send forwards it in earnest afterwards. The end tells what each port does with it: its queue, its\n" +
				"MTU, segments cut in software, a lost link.",
			example: "weir trace br0 in_port=eth1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80", setup: (*tool).trace},
		{words: []string{"tls", "init"}, args: "[DIR] [--hosts NAMES] [--days N]", most: 1, summary: "make a CA and certificates for ssl: connections in a lab",
			more: "Writes ca.pem, switch.pem and controller.pem with their keys (NAME-key.pem) into DIR and prints\n" +
				"the settings of the switch. A CA that is there signs again; other files are never replaced.\n" +
				"A switch and a controller trust whom the CA has signed; weir does not compare the name in a\n" +
				"certificate with the address it calls, so keep ca-key.pem for this purpose alone.",
			example: "weir tls init /etc/weir/tls", setup: (*tool).tlsInit},
		{words: []string{"completion"}, args: "bash|zsh|fish", least: 1, most: 1, summary: "a script that lets a shell complete weir's commands, flags and bridges",
			example: "weir completion bash >/etc/bash_completion.d/weir", setup: (*tool).completion},
		{words: []string{"version"}, summary: "version and OpenFlow versions", example: "weir version", setup: (*tool).version},
	}
}

// findCommand matches the longest command; rest are its arguments.
func findCommand(args []string) (*command, []string, error) {
	all := commands()
	var firsts, seconds []string
	var standard *command
	for i := range all {
		w := all[i].words
		if w[0] == args[0] && len(w) == 1 {
			return &all[i], args[1:], nil
		}
		if w[0] == args[0] && len(args) > 1 && w[1] == args[1] {
			return &all[i], args[2:], nil
		}
		if w[0] == args[0] {
			seconds = append(seconds, w[1])
			if all[i].standard {
				standard = &all[i]
			}
		}
		firsts = append(firsts, w[0])
	}
	if seconds == nil {
		near := agent.Nearest(args[0], firsts)
		for _, f := range firsts {
			if near == "" && len(args[0]) > 1 && strings.HasPrefix(f, args[0]) {
				near = f
			}
		}
		if near != "" {
			return nil, nil, usagef("there is no command %q, did you mean %q?", args[0], near)
		}
		return nil, nil, usagef("there is no command %q", args[0])
	}
	if len(args) > 1 && !strings.HasPrefix(args[1], "-") {
		if near := agent.Nearest(args[1], seconds); near != "" {
			return nil, nil, usagef("there is no command \"%s %s\", did you mean \"%s %s\"?", args[0], args[1], args[0], near)
		}
	}
	if len(args) > 1 && (args[1] == "-h" || args[1] == "--help") {
		for i := range all {
			if all[i].words[0] == args[0] {
				return &all[i], args[1:], nil
			}
		}
	}
	if standard != nil {
		return standard, args[1:], nil
	}
	return nil, nil, usagef("expected \"weir %s %s\"", args[0], strings.Join(seconds, "\" or \"weir "+args[0]+" "))
}

// help answers "weir help [COMMAND]".
func (t *tool) help(words []string) error {
	if len(words) == 0 {
		t.printOverview(t.out)
		return nil
	}
	if words[0] == "--markdown" {
		t.printMarkdown(t.out)
		return nil
	}
	if words[0] == "ofctl" {
		return t.explainOfctl(words[1:])
	}
	found := false
	for _, c := range commands() {
		if strings.HasPrefix(c.name()+" ", strings.Join(words, " ")+" ") {
			if found {
				fmt.Fprintln(t.out)
			}
			t.tell(&c)
			found = true
		}
	}
	if !found {
		if _, _, err := findCommand(words); err != nil {
			return err
		}
		return usagef("there is no command %q", strings.Join(words, " "))
	}
	return nil
}

// printOverview has one line for each command.
func (t *tool) printOverview(w io.Writer) {
	fmt.Fprint(w, "weir is an OpenFlow 1.3 software switch.\n\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(tw, "  weir %s\t%s\n", c.name(), c.summary)
	}
	tw.Flush()
	fmt.Fprint(w, "\n\"weir help COMMAND\" tells its arguments and flags. Every command takes --rundir DIR, also before its\n"+
		"name (default $OVS_RUNDIR, else /run/weir for root and $XDG_RUNTIME_DIR/weir for others),\nand --help.\n\"weir help ports\" also tells the kinds of ports and their options.\nExit codes: 0 done, 1 did not work, 2 not understood.\n")
}

// usage is what weir alone says.
const usage = `weir is an OpenFlow 1.3 software switch.

  weir run --name br0 --port 1:eth1 --port 2:eth2    run one until Ctrl-C
  weir status, weir flows br0                        ask running ones
  weir help                                          all commands

`

// tell writes the help of one command, and the chapter behind it.
func (t *tool) tell(c *command) {
	t.printHelp(t.out, c)
	if c.after != nil {
		fmt.Fprintln(t.out)
		c.after(t.out)
	}
}

// printHelp tells all of one command.
func (t *tool) printHelp(w io.Writer, c *command) {
	fmt.Fprintf(w, "weir %s %s\n  %s\n", c.name(), c.args, c.summary)
	if c.more != "" {
		fmt.Fprintf(w, "\n%s\n", c.more)
	}
	fmt.Fprintf(w, "\nExample:\n  %s\n", c.example)
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c.setup(t, fs)
	if fs.Lookup("rundir") == nil {
		fs.String("rundir", "", "`DIR` folder of the sockets of running bridges (default $OVS_RUNDIR, else /run/weir or $XDG_RUNTIME_DIR/weir)")
	}
	told := map[string]bool{}
	if c.words[0] == "run" {
		defaults := agent.FlagDefaults()
		for _, topic := range runTopics() {
			var flags []*flag.Flag
			for _, name := range topic.flags {
				flags = append(flags, fs.Lookup(name))
				told[name] = true
			}
			printFlags(w, topic.title, flags, defaults)
		}
	}
	var flags []*flag.Flag
	fs.VisitAll(func(f *flag.Flag) {
		if f.Usage != "" && !told[f.Name] { // without words: between weir and itself
			flags = append(flags, f)
		}
	})
	if len(flags) > 0 {
		printFlags(w, "Flags", flags, nil)
	}
}

// printFlags has a line for each flag.
func printFlags(w io.Writer, title string, flags []*flag.Flag, defaults map[string]string) {
	fmt.Fprintf(w, "\n%s:\n", title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range flags {
		arg, usage := flag.UnquoteUsage(f)
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() && !strings.HasPrefix(arg, "[") {
			arg = ""
		}
		dashes := "--"
		if len(f.Name) == 1 {
			dashes = "-"
		}
		usage = strings.TrimSpace(strings.TrimPrefix(usage, arg))
		if d := defaults[f.Name]; d != "" {
			usage += " (default " + d + ")"
		}
		fmt.Fprintf(tw, "  %s%s %s\t%s\n", dashes, f.Name, arg, usage)
	}
	tw.Flush()
}
