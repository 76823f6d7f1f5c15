// Slow path: what running bridges said, as tables for people or as JSON.

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/weirswitch/weir/agent"
)

// localPort is OFPP_LOCAL (section 7.2.1).
const localPort = 0xfffffffe

// printJSON writes a value with indents, for jq and for people.
func (t *tool) printJSON(v any) error {
	e := json.NewEncoder(t.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table writes rows whose columns are separated by tabs.
func (t *tool) table(header string, rows []string) {
	var text strings.Builder
	tw := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, header)
	for _, r := range rows {
		fmt.Fprintln(tw, r)
	}
	tw.Flush()
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(t.out, strings.TrimRight(line, " \n"))
	}
}

func portNumber(n uint32) string {
	if n == localPort {
		return "LOCAL"
	}
	return fmt.Sprint(n)
}

// span is a duration without digits that nobody reads.
func span(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return d.Round(time.Minute).String()
}

func (t *tool) printStatus(s *agent.BridgeStatus) {
	doing := "no controller needed"
	switch {
	case s.Connected:
		doing = "controller connected"
	case s.Standalone:
		doing = "forwarding on its own"
	case s.FailMode == string(agent.FailSecure):
		doing = "waiting for a controller"
	}
	fmt.Fprintf(t.out, "%s: datapath %s, %s (%s), up %s, process %d\n", s.Name, s.DPID, s.FailMode, doing, span(s.Uptime), s.Process.PID)
	absent := ""
	if s.Absent > 0 {
		absent = fmt.Sprintf(" (%d absent)", s.Absent)
	}
	fmt.Fprintf(t.out, "  ports %d%s, flows %d in %d tables, learned addresses %d, packet-ins %d (%d dropped)\n",
		s.Ports, absent, s.Flows, s.Tables, s.MACs, s.PacketIns, s.PacketDrops)
	switch s.Fragments {
	case "drop":
		fmt.Fprintln(t.out, "  IP fragments are dropped: a controller or ovs-ofctl set-frags said so")
	case "reassemble":
		fmt.Fprintln(t.out, "  IP fragments are put together: a controller or ovs-ofctl set-frags said so")
	}
	for _, l := range s.Listeners {
		fmt.Fprintf(t.out, "  listens on %s\n", l)
	}
	for _, c := range s.Controllers {
		kind := "controller"
		if c.Tool {
			kind = "tool"
		}
		if c.State == "backoff" {
			fmt.Fprintf(t.out, "  %s %s: calling again in %s", kind, c.Target, span(c.RetryIn))
		} else {
			fmt.Fprintf(t.out, "  %s %s: %s for %s", kind, c.Target, c.State, span(c.Since))
		}
		if c.Role != "" && c.Connected {
			fmt.Fprintf(t.out, ", role %s", c.Role)
		}
		if c.Auxiliaries > 0 {
			fmt.Fprintf(t.out, ", %s", agent.Plural(c.Auxiliaries, "auxiliary connection"))
		}
		if words := counts(c.DropsBy); words != "" {
			fmt.Fprintf(t.out, ", packet-ins %d, dropped: %s", c.PacketIns, words)
		}
		if c.LastError != "" && !c.Connected {
			fmt.Fprintf(t.out, ", %s, last error: %s", agent.Plural(c.Attempts, "attempt"), c.LastError)
		}
		fmt.Fprintln(t.out)
	}
	if words := counts(s.Drops); words != "" {
		fmt.Fprintf(t.out, "  dropped: %s\n", words)
	}
}

// orDash is what stands in a column that has nothing to say.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// counts lists named counters in order of their names.
func counts(m map[string]uint64) string {
	var words []string
	for k, v := range m {
		words = append(words, fmt.Sprintf("%s %d", k, v))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

func (t *tool) printPorts(list []agent.PortStatus) {
	var rows []string
	for _, p := range list {
		link := "up"
		switch {
		case !p.Present:
			link = "absent"
		case !p.LinkUp:
			link = "down"
		}
		if len(p.Config) > 0 {
			link += " " + strings.Join(p.Config, " ")
		}
		mtu := "-" // no limit, or no device to ask
		if p.MTU > 0 {
			mtu = fmt.Sprint(p.MTU)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s", portNumber(p.Number), p.Name, p.Kind, link, mtu, orDash(p.VLAN),
			p.RxPackets, p.RxBytes, p.RxDropped, p.TxPackets, p.TxBytes, p.TxDropped, orDash(counts(p.Drops))))
	}
	t.table("PORT\tNAME\tKIND\tLINK\tMTU\tVLAN\tRX PACKETS\tBYTES\tDROPPED\tTX PACKETS\tBYTES\tDROPPED\tDROP REASONS", rows)
}

func (t *tool) printFlows(list []agent.FlowStatus) {
	for _, f := range list {
		fmt.Fprintf(t.out, " %s\n", strings.TrimSpace(f.Text))
	}
}

func (t *tool) printGroups(list []agent.GroupStatus, stats bool) {
	for _, g := range list {
		if stats {
			g.Text = g.Stats
		}
		fmt.Fprintf(t.out, " %s\n", g.Text)
	}
}

func (t *tool) printMeters(list []agent.MeterStatus) {
	for i, m := range list {
		if i > 0 {
			fmt.Fprintln(t.out)
		}
		fmt.Fprint(t.out, m.Config, m.Stats)
	}
}

func (t *tool) printFDB(list []agent.MACStatus) {
	var rows []string
	for _, m := range list {
		age := span(m.Age)
		if m.Static {
			age = "static"
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%s\t%s", portNumber(m.Port), m.Name, m.VLAN, m.MAC, age))
	}
	t.table("PORT\tNAME\tVLAN\tMAC\tAGE", rows)
}
