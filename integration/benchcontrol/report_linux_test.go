package benchcontrol

import (
	"fmt"
	"strings"

	"github.com/weirswitch/weir/integration/bench"
)

const ovsName = "Open vSwitch"

// full is the row with its goal, which is always a ratio to Open vSwitch.
func (w row) full() bench.Row {
	full := bench.Row{Name: w.name, Unit: w.unit, Less: w.less}
	if w.goal != 0 {
		full.Goals = []bench.Goal{{Of: ovsName, Factor: w.goal}}
	}
	return full
}

// page is the whole report.
func page(head string, r *bench.Report) string {
	var b strings.Builder
	b.WriteString("# The control plane, beside Open vSwitch\n\n" +
		"Written by `make bench-control`; do not edit. Each round starts both switches afresh and measures the same OpenFlow 1.3\n" +
		"bytes over loopback TCP on one after the other. Median (least..most) of the rounds. Absolute figures hold for one\n" +
		"machine; compare the ratios. \"Goal\" is the ratio that weir is meant to reach.\n\n")
	b.WriteString(head)
	fmt.Fprintf(&b, "%d rounds.\n\n| | weir | Open vSwitch | weir / OVS | goal |\n| --- | --- | --- | --- | --- |\n", *rounds)
	for _, w := range r.Rows {
		weir, _ := r.Median(w.Name, bench.Weir)
		ovs, _ := r.Median(w.Name, ovsName)
		verdict := ""
		for _, g := range w.Goals {
			verdict = r.Verdict(w, g)
		}
		fmt.Fprintf(&b, "| %s, %s | %s | %s | %s | %s |\n", w.Name, w.Unit, r.Cell(w.Name, bench.Weir), r.Cell(w.Name, ovsName), bench.Ratio(weir, ovs), verdict)
	}
	return b.String()
}
