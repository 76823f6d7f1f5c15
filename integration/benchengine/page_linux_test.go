package benchengine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/weirswitch/weir/integration/bench"
)

const plotTitle = "The engine in process, one core"

// page is the whole report.
func (b *board) page() string {
	var w strings.Builder
	written, image := "", "" // what is only printed is no page
	if *report != "" {
		written = "Written by `make bench-engine`; do not edit. "
		image = fmt.Sprintf("![%s](%s)\n\n", plotTitle, plotName(filepath.Base(*report)))
	}
	w.WriteString("# The engine, in process, beside that of Open vSwitch with DPDK\n\n" +
		written + "Frames of 60 bytes (64 on a wire) from memory to a port that forgets them, one\n" +
		"pinned core, turn by turn. Median (least..most) of the rounds. Absolute figures hold for one machine; compare the ratios.\n\n")
	w.WriteString(b.head)
	fmt.Fprintf(&w, "%d rounds, %g s a figure.\n", max(1, *rounds), *seconds)
	w.WriteString(explained)
	beside, alone := b.families()
	var goals strings.Builder
	for _, row := range beside.Rows {
		for _, g := range row.Goals {
			goals.WriteString(beside.GoalLine(row.Name, row, g))
		}
	}
	w.WriteString("\n## Goals\n\n" + bench.GoalTable(goals.String()))
	fmt.Fprintf(&w, "\n## Whole engines\n\n%s%s", image, beside.Table(columns()))
	w.WriteString("\n## weir's parts\n\n" + alone.Table(columns()[:1]))
	if len(b.notes) > 0 {
		w.WriteString("\n## Remarks\n\n")
		for _, n := range b.notes {
			fmt.Fprintf(&w, "- %s.\n", n)
		}
	}
	return w.String()
}

const explained = `
weir's figures are those of ` + "`make bench`" + ` (Engine in flowtable, and those of flowtable/packet and openflow). Open vSwitch gets the same rules
over OpenFlow and the same frames in the same order: one polling thread reads them from memory (net_pcap, which copies each frame;
net_null for one flow, which costs nothing) and sends them to net_null. The rows of one rule show what that source allows at most. It has
its caches as by default, also the signature match cache, or neither; one flow needs none of them, for its only rule asks for nothing but
the port. weir's frames lie in memory in a row and are not copied. Rates are by the processor time of weir's process (what its garbage
collector does included), and of the thread that polls; what Open vSwitch does on other threads, changing its table or revalidating its
flows, counts for nothing, while weir changes its table on the thread that forwards.

Rules have eight masks and as many priorities; each flow has its own. A miss is the first frame of a flow: weir walks its table and keeps
the path, Open vSwitch asks its slow path in the same thread and installs a megaflow. It is told to be ready for 200,000 flows, where its
limit would grow to that by and by, and fall again on a busy machine; it keeps no million. A rate at rest is taken once it has met no new
flow for two seconds of its thread; where that does not come within ten, there is none ("-"). weir forwards 50 ms with FLOW_MODs
and 50 ms without, in turns.
`

// columns are the names of both sides.
func columns() []string { return []string{bench.Weir, nameEMC, nameSMC, nameDpcls} }

// families parts the rows of whole engines from those of single steps.
func (b *board) families() (whole, parts *bench.Report) {
	whole, parts = &bench.Report{}, &bench.Report{}
	for _, row := range b.rep.Rows {
		to := whole
		if len(row.Goals) == 0 && row.Name != oneRule.Name && row.Name != oneRuleMany.Name {
			to = parts
		}
		for _, name := range columns() {
			for _, v := range b.rep.Figures(row.Name, name) {
				to.Add(name, row, v)
			}
		}
	}
	return whole, parts
}

// plotName is the file of the plot, which lies beside the page.
func plotName(page string) string { return strings.TrimSuffix(page, ".md") + ".svg" }

// write writes the page and its plot.
func (b *board) write(file string) {
	whole, _ := b.families()
	plot := bench.Plot(plotTitle, whole, columns())
	for name, text := range map[string][]byte{file: []byte(b.page()), filepath.Join(filepath.Dir(file), plotName(filepath.Base(file))): plot} {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			b.Fatal(err)
		}
	}
}
