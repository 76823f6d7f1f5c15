// Slow path: the order in which help tells the flags of "weir run", and what it tells of ports.

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/weirswitch/weir/agent"
)

// topic is a group of flags that a reader looks for together.
type topic struct {
	title string
	flags []string
}

// runTopics has the flags of "weir run", the most asked for first. What is not in it is told at the end.
func runTopics() []topic {
	return []topic{
		{"A bridge and its ports", []string{"name", "port", "internal", "internal-address", "internal-mtu"}},
		{"Who controls it", []string{"controller", "fail-mode", "table-miss", "protocols", "listen", "listen-auxiliary", "dpid", "mac"}},
		{"How the process runs", []string{"c", "detach", "wait-ready", "rundir", "log-file", "log-level", "log-levels", "log-format", "spin", "poll-cpus"}},
		{"What it does with some frames", []string{"forward-bpdu", "fragments"}},
		{"Sizes", []string{"tables", "max-flows", "max-groups", "max-meters", "max-paths", "mac-table-size", "mac-table-age"}},
		{"Controllers in detail, for all that do not say otherwise (--controller T,max-backoff=8s)", []string{
			"min-backoff", "max-backoff", "inactivity-probe", "auxiliary", "packet-in-rate", "packet-in-rates", "packet-in-burst",
			"packet-in-queue", "buffers", "buffer-age"}},
		{"TLS", []string{"private-key", "certificate", "ca-cert"}},
		{"What it calls itself", []string{"dp-desc", "mfr-desc", "hw-desc", "sw-desc", "serial-desc"}},
	}
}

// printPortKinds tells of every kind of port and its options.
func printPortKinds(w io.Writer) {
	kinds, common := agent.PortKinds()
	fmt.Fprint(w, "A port is written [NUMBER:][KIND:]TARGET[,OPTION=VALUE]... behind --port, behind \"weir port add BRIDGE\" and in the file,\n"+
		"where options may also be keys of their own. Without a KIND it is an Ethernet device.\n")
	for _, k := range kinds {
		fmt.Fprintf(w, "\n%s    for example %s\n", k.Kind, k.Form)
		for _, line := range strings.Split(k.About, "\n") {
			fmt.Fprintf(w, "  %s\n", line)
		}
		printPortOptions(w, k.Options)
	}
	fmt.Fprint(w, "\nOptions of every kind:\n")
	printPortOptions(w, common)
}

func printPortOptions(w io.Writer, options []agent.PortOption) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, o := range options {
		fmt.Fprintf(tw, "    %s\t%s\n", o.Form, o.Help)
	}
	tw.Flush()
}
