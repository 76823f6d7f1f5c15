// Slow path: what running bridges said, as tables for people or as JSON.

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow/ofctl"
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

func portNumber(n uint32) string {
	if n == localPort {
		return "LOCAL"
	}
	return fmt.Sprint(n)
}

// printBridge is a bridge with its controllers.
func printBridge(w io.Writer, s *bridgeRow) {
	doing := "no controller needed"
	switch {
	case s.Connected:
		doing = "controller connected"
	case s.Standalone:
		doing = "forwarding on its own"
	case s.FailMode == string(agent.FailSecure):
		doing = "waiting for a controller"
	}
	fmt.Fprintf(w, "%s: datapath %s, %s (%s), up %s, process %d\n", s.Name, s.DPID, s.FailMode, doing, span(s.Uptime), s.Process.PID)
	absent := ""
	if s.Absent > 0 {
		absent = fmt.Sprintf(" (%d absent: weir ports %s tells why)", s.Absent, s.Name)
	}
	speed := ""
	if s.PacketInRate != nil {
		speed = fmt.Sprintf(" (%s/s)", perSecond(s.PacketInRate))
	}
	fmt.Fprintf(w, "  ports %d%s, flows %d in %d tables, learned addresses %d, packet-ins %d%s (%d dropped)\n",
		s.Ports, absent, s.Flows, s.Tables, s.MACs, s.PacketIns, speed, s.PacketDrops)
	switch s.Fragments {
	case "drop":
		fmt.Fprintln(w, "  IP fragments are dropped: a controller or ovs-ofctl set-frags said so")
	case "reassemble":
		fmt.Fprintln(w, "  IP fragments are put together: a controller or ovs-ofctl set-frags said so")
	}
	for _, l := range s.Listeners {
		fmt.Fprintf(w, "  listens on %s\n", l)
	}
	for _, c := range s.Controllers {
		kind := "controller"
		if c.Tool {
			kind = "tool"
		}
		if c.State == "backoff" {
			fmt.Fprintf(w, "  %s %s: calling again in %s", kind, c.Target, span(c.RetryIn))
		} else {
			fmt.Fprintf(w, "  %s %s: %s for %s", kind, c.Target, c.State, span(c.Since))
		}
		if c.Role != "" && c.Connected {
			fmt.Fprintf(w, ", role %s", c.Role)
		}
		if c.Auxiliaries > 0 {
			fmt.Fprintf(w, ", %s", agent.Plural(c.Auxiliaries, "auxiliary connection"))
		}
		if words := counts(c.DropsBy); words != "" {
			fmt.Fprintf(w, ", packet-ins %d, dropped: %s", c.PacketIns, words)
		}
		if c.LastError != "" && !c.Connected {
			fmt.Fprintf(w, ", %s, last error: %s", agent.Plural(c.Attempts, "attempt"), c.LastError)
		}
		fmt.Fprintln(w)
	}
	if words := counts(s.Drops); words != "" {
		fmt.Fprintf(w, "  dropped: %s\n", words)
	}
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

func printBridges(w io.Writer, list []bridgeRow, _ bool) {
	for i := range list {
		printBridge(w, &list[i])
	}
}

// printShown has each bridge with a table of its ports below it.
func printShown(w io.Writer, list []shownRow, rates bool) {
	for i := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		printBridge(w, &list[i].bridgeRow)
		printPorts(w, list[i].PortList, rates)
	}
}

func link(p *portRow) string {
	words := append([]string{"up"}, p.Config...)
	switch {
	case !p.Present:
		words[0] = "absent"
	case !p.LinkUp:
		words[0] = "down"
	}
	return strings.Join(words, " ")
}

func printPorts(w io.Writer, list []portRow, rates bool) {
	speed := only(rates, ">/S")
	t := table{header: slices.Concat([]string{">PORT", "<NAME", "<KIND", "<LINK", ">MTU", "<VLAN", ">RX PACKETS"}, speed, []string{">BYTES"}, speed,
		[]string{">DROPPED", ">TX PACKETS"}, speed, []string{">BYTES"}, speed, []string{">DROPPED", "<DROP REASONS"})}
	for i := range list {
		p := &list[i]
		mtu := "-" // no limit, or no device to ask
		if p.MTU > 0 {
			mtu = number(p.MTU)
		}
		t.add(slices.Concat(
			[]string{portNumber(p.Number), p.Name, p.Kind, link(p), mtu, orDash(p.VLAN), number(p.RxPackets)}, only(rates, perSecond(p.RxPacketRate)),
			[]string{volume(float64(p.RxBytes))}, only(rates, volumePerSecond(p.RxByteRate)),
			[]string{number(p.RxDropped), number(p.TxPackets)}, only(rates, perSecond(p.TxPacketRate)),
			[]string{volume(float64(p.TxBytes))}, only(rates, volumePerSecond(p.TxByteRate)),
			[]string{number(p.TxDropped), orDash(counts(p.Drops))})...)
	}
	t.write(w)
	printNotes(w, list)
}

// printNotes has a line for each port that runs in one of several ways, and one for each that does not work.
func printNotes(w io.Writer, list []portRow) {
	for i := range list {
		for _, note := range []string{list[i].How, list[i].Problem} {
			if note != "" {
				fmt.Fprintf(w, "%s: %s\n", list[i].Name, note)
			}
		}
	}
}

// counted are the cells of a thing that counts packets and bytes, under the titles of countedColumns.
func counted(packets, bytes uint64, r rates, shown bool) []string {
	return slices.Concat([]string{number(packets)}, only(shown, perSecond(r.PacketRate)),
		[]string{volume(float64(bytes))}, only(shown, volumePerSecond(r.ByteRate)))
}

func countedColumns(shown bool) []string {
	return slices.Concat([]string{">PACKETS"}, only(shown, ">/S"), []string{">BYTES"}, only(shown, ">/S"))
}

// options are how an entry ends, and its flags.
func options(f *flowRow) string {
	var words []string
	if f.IdleTimeout > 0 {
		words = append(words, fmt.Sprintf("idle %ds", f.IdleTimeout))
	}
	if f.HardTimeout > 0 {
		words = append(words, fmt.Sprintf("hard %ds", f.HardTimeout))
	}
	return strings.Join(append(words, f.Flags...), " ")
}

func printFlows(w io.Writer, list []flowRow, rates bool) {
	t := table{header: slices.Concat([]string{">TABLE", ">PRIORITY"}, countedColumns(rates), []string{">AGE", "<COOKIE", "<OPTIONS", "<MATCH", "<ACTIONS"})}
	for i := range list {
		f := &list[i]
		match := f.Match
		if match == "" {
			match = "any"
		}
		t.add(slices.Concat([]string{number(f.Table), number(f.Priority)}, counted(f.Packets, f.Bytes, f.rates, rates),
			[]string{span(f.Duration), fmt.Sprintf("%#x", f.Cookie), orDash(options(f)), match, f.Actions})...)
	}
	t.write(w)
}

// watches says whose liveness a bucket's hangs on.
func watches(b *agent.BucketStatus) string {
	var words []string
	if b.WatchPort != nil {
		words = append(words, "port "+portNumber(*b.WatchPort))
	}
	if b.WatchGroup != nil {
		words = append(words, "group "+number(*b.WatchGroup))
	}
	return orDash(strings.Join(words, " "))
}

// printGroups has a row for each group, and one for each of its buckets.
func printGroups(w io.Writer, list []groupRow, rates bool) {
	t := table{header: slices.Concat([]string{">GROUP", "<TYPE", ">BUCKET", ">WEIGHT", "<WATCHES"}, countedColumns(rates), []string{">REFERENCES", ">AGE", "<ACTIONS"})}
	for i := range list {
		g := &list[i]
		t.add(slices.Concat([]string{number(g.Group), g.Type, "all", "-", "-"}, counted(g.Packets, g.Bytes, g.rates, rates),
			[]string{number(g.RefCount), span(g.Duration), "-"})...)
		for j := range g.Buckets {
			b := &g.Buckets[j]
			weight := "-"
			if g.Type == "select" {
				weight = number(b.Weight)
			}
			t.add(slices.Concat([]string{number(g.Group), g.Type, number(j), weight, watches(b)}, counted(b.Packets, b.Bytes, rateAt(g.BucketRates, j), rates),
				[]string{"-", "-", orDash(b.Actions)})...)
		}
	}
	t.write(w)
}

// rateAt is one of the rates, if there are any.
func rateAt(list []rates, i int) (r rates) {
	if i < len(list) {
		r = list[i]
	}
	return r
}

// printMeters has a row for each meter, with what came, and one for each of its bands, with what it caught.
func printMeters(w io.Writer, list []meterRow, rates bool) {
	t := table{header: slices.Concat([]string{">METER", "<BAND", ">RATE", ">BURST"}, countedColumns(rates), []string{">FLOWS", ">AGE"})}
	for i := range list {
		m := &list[i]
		per, unit := "kbit/s", "kbit"
		if m.Unit == "pktps" {
			per, unit = "pkt/s", "pkt"
		}
		t.add(slices.Concat([]string{ofctl.MeterName(m.ID), "all", "-", "-"}, counted(m.Packets, m.Bytes, m.rates, rates),
			[]string{number(m.Flows), span(m.Duration)})...)
		for j, b := range m.Bands {
			burst := "-"
			if b.Burst > 0 {
				burst = number(b.Burst) + unit
			}
			kind := b.Type
			if b.PrecLevel > 0 {
				kind = fmt.Sprintf("%s +%d", kind, b.PrecLevel)
			}
			t.add(slices.Concat([]string{ofctl.MeterName(m.ID), kind, number(b.Rate) + per, burst}, counted(b.Packets, b.Bytes, rateAt(m.BandRates, j), rates),
				[]string{"-", "-"})...)
		}
	}
	t.write(w)
}

func printFDB(w io.Writer, list []agent.MACStatus, _ bool) {
	t := table{header: []string{">PORT", "<NAME", ">VLAN", "<MAC", ">AGE"}}
	for _, m := range list {
		age := span(m.Age)
		if m.Static {
			age = "static"
		}
		t.add(portNumber(m.Port), orDash(m.Name), number(m.VLAN), m.MAC, age)
	}
	t.write(w)
}
