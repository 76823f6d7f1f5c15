package benchlab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weirswitch/weir/integration/bench"
)

// page is the whole report.
func (b *board) page() string {
	var w strings.Builder
	w.WriteString("# The data path, beside its peers and the limits of the machine\n\n" +
		written("make bench-lab") + "A host, a cable, the switch, a cable, a host: veth pairs between network namespaces.\n" +
		"Each table is measured switch by switch in turn, on fresh processes in fresh namespaces. Median (least..most)\n" +
		"of the rounds. Absolute figures hold for one machine; compare the ratios.\n\n" + b.plain())
	w.WriteString(b.head)
	fmt.Fprintf(&w, "%d rounds, %g s a figure.\n", max(1, *rounds), b.o.length.Seconds())
	w.WriteString(explained)
	var goals strings.Builder
	for _, f := range b.families {
		for _, row := range b.reports[f.name].Rows {
			for _, g := range row.Goals {
				goals.WriteString(b.reports[f.name].GoalLine(f.name+": "+row.Name, row, g))
			}
		}
	}
	w.WriteString("\n## Goals\n\n" + bench.GoalTable(goals.String()))
	for _, f := range b.families {
		w.WriteString(b.section(f))
	}
	if len(b.notes) > 0 {
		w.WriteString("\n## Remarks\n\n")
		for _, n := range b.notes {
			fmt.Fprintf(&w, "- %s.\n", n)
		}
	}
	return w.String()
}

const explained = `
An ordinary sender is a program with a packet socket, 64 frames a call. Live frames are made by the kernel itself without socket
buffers (BPF_F_TEST_XDP_LIVE_FRAMES) and load a switch harder. They come without a pause, or in bursts: 65,536 a call, and between
two calls the kernel waits some 20 ms for itself. The goals are multiples of what was measured with bursts, in which a switch with a
long queue has the pauses, too, to forward what it has put aside; what it can keep up is told by the frames without a pause. Delivered
is what the receiving host has counted, offered what has arrived at the switch's port: all sources run on the processor that also does
the kernel's receiving, so they send no more than that leaves them.

weir is on the switch's processor alone, as the others are, where its name says nothing else; before it sleeps it looks a little
longer (--spin), offering the processor to others. Its ports begin with room for 8192 frames, those by AF_XDP for 2048, and make themselves
room for up to 32,768 when a burst did not fit, with 8 MiB a port as much memory as the bare forwarder's; its "long ring" has that from the beginning. Processor time is that of the switch's
process, with what the kernel does in its name: sending, and what the receiving host's device does with it. "Spinning" and
"sleeping" are --spin 2ms and --spin 0s with both processors. Two kinds of switches look at their ports for ever on the switch's processor, traffic or
not: weir "polling" (--poll-cpus) and Open vSwitch's AF_XDP ports (pmd-cpu-mask); what else there is of them is on the hosts' processor. The bare forwarders are small Go programs that look at no frame: "ring" with a TPACKET_V3 ring, best for small frames,
"whole" with PACKET_VNET_HDR, which carries super-frames. The redirects are programs in the kernel. TCP is iperf3, whose two ends may
use both processors: the middle one of five streams, for where the system lets the receiver run, beside the sender or beside the switch, changes
a stream's rate by a third; round trips are those of ping, a thousand a second: of each
figure, too, the middle one of five runs, for ten slow ones of a thousand decide p99, and a command given on the machine meanwhile makes more. A table has nothing but its rules, one for each flow; the bare
forwarder has no rules, and what it keeps of its rate with one flow is what many flows leave of a switch that looks nothing up.
`

// written says whose the page is, where there is one.
func written(by string) string {
	if *report == "" {
		return ""
	}
	return "Written by `" + by + "`; do not edit. "
}

// section has a family's plot and all its figures.
func (b *board) section(f family) string {
	plot := ""
	if *report != "" {
		plot = fmt.Sprintf("![%s](%s)\n\n", f.title, plotName(filepath.Base(*report), f))
	}
	return fmt.Sprintf("\n## %s\n\n%s%s", f.title, plot, b.reports[f.name].Table(b.names(f)))
}

// names are the switches of a family that are measured.
func (b *board) names(f family) []string {
	var list []string
	for _, n := range f.switches {
		if slices.ContainsFunc(b.kinds, func(k kind) bool { return k.name == n }) {
			list = append(list, n)
		}
	}
	return list
}

// plotName is the file of a family's plot, which lies beside the page.
func plotName(page string, f family) string {
	return strings.TrimSuffix(page, ".md") + "-" + f.name + ".svg"
}

// write writes the page and its plots.
func (b *board) write(file string) {
	b.ok(os.WriteFile(file, []byte(b.page()), 0o644))
	for _, f := range b.families {
		plot := bench.Plot(f.title, b.reports[f.name], b.names(f))
		b.ok(os.WriteFile(filepath.Join(filepath.Dir(file), plotName(filepath.Base(file), f)), plot, 0o644))
	}
}
