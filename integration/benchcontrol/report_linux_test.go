package benchcontrol

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// report gathers figures in the order in which they first came.
type report struct {
	head    string
	rows    []row
	figures map[string]map[string][]float64 // row, switch
}

func newReport(t *testing.T, bin string) *report {
	t.Helper()
	return &report{figures: map[string]map[string][]float64{}, head: fmt.Sprintf(
		"Machine: %s, kernel %s, %d processors. Client on processor %d, switch on processor %d. %s; %s; %s. %s.\n",
		cpuModel(), kernel(), runtime.NumCPU(), clientCPU, switchCPU, firstLine(t, bin, "version"), runtime.Version(),
		firstLine(t, "ovs-vswitchd", "--version"), time.Now().UTC().Format(time.DateOnly))}
}

func (r *report) add(name string, w row, v float64) {
	if r.figures[w.name] == nil {
		r.figures[w.name] = map[string][]float64{}
		r.rows = append(r.rows, w)
	}
	r.figures[w.name][name] = append(r.figures[w.name][name], v)
}

// text is the whole page.
func (r *report) text() string {
	var b strings.Builder
	b.WriteString("# The control plane, beside Open vSwitch\n\n" +
		"Written by `make bench-control`; do not edit. Each round starts both switches afresh and measures the same OpenFlow 1.3\n" +
		"bytes over loopback TCP on one after the other. Median (least..most) of the rounds. Absolute figures hold for one\n" +
		"machine; compare the ratios. \"Goal\" is the ratio that weir is meant to reach.\n\n")
	b.WriteString(r.head)
	fmt.Fprintf(&b, "%d rounds.\n\n| | weir | Open vSwitch | weir / OVS | goal |\n| --- | --- | --- | --- | --- |\n", *rounds)
	for _, w := range r.rows {
		weir, ovs := r.figures[w.name]["weir"], r.figures[w.name]["Open vSwitch"]
		fmt.Fprintf(&b, "| %s, %s | %s | %s | %s | %s |\n", w.name, w.unit, figures(weir), figures(ovs), ratio(median(weir), median(ovs)), w.verdict(median(weir), median(ovs)))
	}
	return b.String()
}

func (w row) verdict(weir, ovs float64) string {
	switch {
	case w.goal == 0:
		return ""
	case w.less && weir <= w.goal*ovs:
		return fmt.Sprintf("<= %g: met", w.goal)
	case w.less:
		return fmt.Sprintf("<= %g: **not met**", w.goal)
	case weir >= w.goal*ovs:
		return fmt.Sprintf(">= %g: met", w.goal)
	}
	return fmt.Sprintf(">= %g: **not met**", w.goal)
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if len(v)%2 == 0 {
		return (v[len(v)/2-1] + v[len(v)/2]) / 2
	}
	return v[len(v)/2]
}

func figures(v []float64) string {
	if len(v) == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%s..%s)", number(median(v)), number(slices.Min(v)), number(slices.Max(v)))
}

func number(v float64) string {
	switch {
	case v >= 10000:
		return fmt.Sprintf("%.1fk", v/1000)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func firstLine(t *testing.T, path string, args ...string) string {
	t.Helper()
	out, err := exec.Command(path, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
