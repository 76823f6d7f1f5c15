// Slow path: the words for the steps of a traced frame.

package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// String is the trace for people, a step a line: steps that belong to another one, and notes, stand deeper.
func (s *TraceStatus) String() string {
	var b strings.Builder
	line := func(label string, depth int, text string) {
		fmt.Fprintf(&b, "%-12s%s%s\n", label, strings.Repeat("  ", depth), text)
	}
	line("frame", 0, s.Fields)
	line("", 0, fmt.Sprintf("%s: %s", Plural(s.Length, "byte"), shortHex(s.Frame)))
	line("cached", 0, s.Cache)
	line("", 0, s.Path)
	for _, st := range s.Steps {
		line(st.Label, st.Depth, st.Text)
		for _, note := range st.Notes {
			line("", st.Depth+1, note)
		}
	}
	if s.Omitted > 0 {
		line("", 0, fmt.Sprintf("and %s more", Plural(s.Omitted, "step")))
	}
	line("verdict", 0, s.Verdict)
	if s.Sent {
		line("", 0, "the frame was sent")
	}
	return b.String()
}

// traceWriter turns the steps of one trace into words.
type traceWriter struct {
	sw    *Switch
	table *portTable
	now   time.Duration
	frame *packet.Frame
	out   *TraceStatus

	action openflow.Action // the last one met
	known  uint32          // the port at which NORMAL last knew a destination
}

func (w *traceWriter) write(tr *flowtable.Trace) {
	w.out.Fields, w.out.Omitted = ofctl.Match(tr.Fields), tr.Omitted
	for i := range tr.Steps {
		s := &tr.Steps[i]
		out := TraceStep{Depth: s.Depth}
		w.step(s, &out)
		w.out.Steps = append(w.out.Steps, out)
	}
	w.out.Verdict = w.verdict()
}

func (w *traceWriter) step(s *flowtable.TraceStep, out *TraceStep) {
	switch s.Kind {
	case flowtable.TraceTable:
		w.lookup(s, out)
	case flowtable.TraceMeter:
		out.Kind = "meter"
		out.Meter, out.Text = meterStep(s.Meter)
	case flowtable.TraceRemark:
		out.Kind, out.Text = "remark", "the meter remarks"
		w.change(s.Change, out)
	case flowtable.TraceAction:
		out.Kind, out.Action = "action", actionsText(s.Action)
		out.Text = out.Action
		w.action = s.Action
		w.change(s.Change, out)
		w.leftOut(out)
	case flowtable.TraceNormal:
		out.Kind, out.Normal = "normal", normalStep(s.Normal)
		w.known = s.Normal.At
		out.Text, out.Notes = w.normal(s.Normal)
	case flowtable.TraceGroup:
		out.Kind, out.Group = "group", groupStep(s.Group)
		out.Text, out.Notes = groupText(s.Group)
	case flowtable.TraceBucket:
		n := s.Bucket
		out.Kind, out.Bucket, out.Text = "bucket", &n, fmt.Sprintf("bucket %d", n)
	case flowtable.TraceWrite:
		w.writes(s, out)
	case flowtable.TraceMetadata:
		out.Kind, out.Text = "metadata", fmt.Sprintf("write_metadata: 0x%x becomes 0x%x", s.Was, s.Is)
	case flowtable.TraceGoto:
		t := s.Table
		out.Kind, out.Table, out.Text = "goto", &t, fmt.Sprintf("goto_table:%d", t)
	case flowtable.TraceActionSet:
		out.Kind, out.Label, out.Set = "action_set", "action set", actionsText(s.Actions...)
		if out.Text = out.Set; len(s.Actions) == 0 {
			out.Text = actionsText(s.Set...)
			out.Notes = []string{"has neither output nor group, so none of it is done"}
		} else if len(s.Actions) < len(s.Set) {
			out.Notes = []string{"its output is not done: the group takes its place"}
		}
	case flowtable.TraceKept:
		out.Kind, out.Label, out.Text = "kept", "kept", "until the other fragments of its packet come"
	default:
		w.leaves(s, out)
	}
}

// leaves writes the steps that the frame's way ends with.
func (w *traceWriter) leaves(s *flowtable.TraceStep, out *TraceStep) {
	switch s.Kind {
	case flowtable.TraceOutput:
		w.output(s, out)
	case flowtable.TracePacketIn:
		in := &s.PacketIn
		w.out.PacketIns = append(w.out.PacketIns, TracePacketIn{Reason: in.Reason.String(), Table: in.Table, Cookie: Cookie(in.Cookie),
			MaxLen: in.MaxLen, Frame: fmt.Sprintf("%x", s.Frame)})
		out.Kind = "packet_in"
		out.Text = fmt.Sprintf("packet-in to the controllers: reason %s, table %d, cookie 0x%x", in.Reason, in.Table, in.Cookie)
		w.size(s.Frame, out)
		if in.MaxLen != openflow.ControllerNoBuffer {
			out.Text += fmt.Sprintf(", of which they get %d if it is buffered", in.MaxLen)
		}
	case flowtable.TraceDrop:
		w.out.Drops = append(w.out.Drops, s.Drop.String())
		out.Kind, out.Label, out.Text = "drop", "dropped", s.Drop.String()
		if s.Depth > 0 {
			out.Label, out.Text = "", "dropped: "+out.Text
		}
		out.Notes = append(out.Notes, w.why(s.Drop)...)
	}
}

// size adds the length of a frame that leaves, and its bytes unless it is as it came in.
func (w *traceWriter) size(b []byte, out *TraceStep) {
	out.Text += ", " + Plural(len(b), "byte")
	if string(b) == string(w.frame.Bytes()) {
		out.Text += ", as it came in"
		return
	}
	out.Notes = append(out.Notes, shortHex(fmt.Sprintf("%x", b)))
}

// shortHex cuts a long frame; JSON has all of it.
func shortHex(digits string) string {
	const most = 2 * 128
	if len(digits) > most {
		return digits[:most] + "..."
	}
	return digits
}

func (w *traceWriter) portText(n uint32) string {
	text := "port " + ofctl.Port(openflow.PortNo(n))
	if p := w.table.get(n); p != nil {
		return fmt.Sprintf("%s (%s)", text, p.name)
	}
	return text
}

// verdict is all that becomes of the frame, in a line.
func (w *traceWriter) verdict() string {
	var words []string
	for i := range w.out.Outputs {
		words = append(words, w.outcome(&w.out.Outputs[i]))
	}
	if n := len(w.out.PacketIns); n > 0 {
		words = append(words, Plural(n, "packet-in"))
	}
	if len(words) > 0 {
		return strings.Join(words, ", ")
	}
	if len(w.out.Drops) > 0 {
		return "dropped: " + strings.Join(w.out.Drops, ", ")
	}
	if n := len(w.out.Steps); n > 0 && w.out.Steps[n-1].Kind == "kept" {
		return "kept"
	}
	return "dropped: no action of its entries sends it"
}

func entryText(e *flowtable.Entry) string {
	text := fmt.Sprintf("priority=%d", e.Priority)
	if m := ofctl.Match(e.Match()); m != "" {
		text += "," + m
	}
	return text
}

func actionsText(list ...openflow.Action) string { return ofctl.Actions(openflow.NewActions(list...)) }

func (w *traceWriter) lookup(s *flowtable.TraceStep, out *TraceStep) {
	t := s.Table
	out.Kind, out.Table, out.Text = "table", &t, "no entry matches"
	if out.Label = fmt.Sprintf("table %d", t); s.Depth > 0 {
		out.Label, out.Text = "", out.Label+": "+out.Text
	}
	if e := s.Entry; e != nil {
		flow := flowStatus(e, w.now)
		out.Flow = &flow
		out.Text = strings.TrimSuffix(out.Text, "no entry matches") + entryText(e)
		age := fmt.Sprintf("cookie=0x%x, age %s, %s, %s, last used %s ago", e.Cookie, shortSpan(s.Counters.Duration),
			countText(s.Counters.Packets, "packet"), countText(s.Counters.Bytes, "byte"), shortSpan(s.Counters.Idle))
		if s.Counters.Packets == 0 {
			age = strings.TrimSuffix(age, fmt.Sprintf(", last used %s ago", shortSpan(s.Counters.Idle))) + ", never used"
		}
		out.Notes = append(out.Notes, age)
	}
	for _, n := range s.Near {
		near := TraceNear{Flow: flowStatus(n.Entry, w.now), Failed: []string{}}
		for _, m := range n.Failed {
			near.Failed = append(near.Failed, missText(m))
		}
		out.Near = append(out.Near, near)
		if len(near.Failed) > 0 {
			out.Notes = append(out.Notes, fmt.Sprintf("nearly %s: the frame %s", entryText(n.Entry), strings.Join(near.Failed, "; ")))
			continue
		}
		why := "its priority is lower"
		if s.Entry != nil && n.Entry.Priority == s.Entry.Priority {
			why = "of the same priority the older one counts"
		}
		out.Notes = append(out.Notes, fmt.Sprintf("beaten %s: matches too, %s", entryText(n.Entry), why))
	}
}

func countText(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func shortSpan(d time.Duration) time.Duration { return d.Truncate(time.Millisecond) }

func fieldText(f openflow.Field) string {
	switch {
	case f.ID == openflow.VLANVID && f.Value.IsZero():
		return "no VLAN tag"
	case f.ID == openflow.VLANPCP: // alone it prints as a part of vlan_tci
		return fmt.Sprintf("dl_vlan_pcp=%d", f.Value.Uint64())
	}
	return ofctl.Match(openflow.NewMatch(f))
}

func missText(m flowtable.FieldMiss) string {
	want := fieldText(m.Want)
	if m.Absent {
		return "has no such field as " + want
	}
	has := openflow.Field{ID: m.Want.ID, Value: m.Has, Mask: openflow.Exact(m.Want.ID, 0).Mask}
	return fmt.Sprintf("has %s, it wants %s", fieldText(has), want)
}

// writes tells of clear_actions and write_actions.
func (w *traceWriter) writes(s *flowtable.TraceStep, out *TraceStep) {
	out.Kind, out.Set = "write", actionsText(s.Set...)
	var did []string
	if s.Clear {
		did = append(did, "clear_actions")
	}
	if len(s.Actions) > 0 {
		did = append(did, "write_actions("+actionsText(s.Actions...)+")")
	}
	out.Text = strings.Join(did, ", ")
	if len(s.Set) == 0 {
		out.Set, out.Notes = "", []string{"the action set is empty"}
		return
	}
	out.Notes = []string{"the action set is " + out.Set}
}

// change adds what an action did to the frame.
func (w *traceWriter) change(c *flowtable.FrameChange, out *TraceStep) {
	if c == nil {
		return
	}
	other := slices.ContainsFunc(c.Fields, func(f flowtable.FieldChange) bool { return f.Had && f.Has && f.Is.ID == openflow.EthType })
	for _, f := range c.Fields {
		switch {
		case f.Had && f.Has:
			out.Changed = append(out.Changed, fieldText(f.Was)+" becomes "+fieldText(f.Is))
		case f.Has:
			out.Changed = append(out.Changed, fieldText(f.Is)+" is new")
		case !other: // with another eth_type all fields of the old one go
			out.Changed = append(out.Changed, fieldText(f.Was)+" is gone")
		}
	}
	if len(out.Changed) > 0 {
		out.Text += ": " + strings.Join(out.Changed, ", ")
	}
	if c.Before != nil {
		out.Before, out.After = fmt.Sprintf("%x", c.Before), fmt.Sprintf("%x", c.After)
		out.Notes = append(out.Notes, bytesText(c.Before, c.After))
	}
}

// bytesText shows where two frames differ. Headers that come or go are found by what is equal around them.
func bytesText(was, is []byte) string {
	n := min(len(was), len(is))
	from, back := 0, 0
	for from < n && was[from] == is[from] {
		from++
	}
	for back < n-from && was[len(was)-1-back] == is[len(is)-1-back] {
		back++
	}
	show := func(b []byte) string {
		const most = 40
		switch {
		case len(b) == 0:
			return "nothing"
		case len(b) > most:
			return fmt.Sprintf("%x... (%d bytes)", b[:most], len(b))
		}
		return fmt.Sprintf("%x", b)
	}
	return fmt.Sprintf("from byte %d: %s becomes %s", from, show(was[from:len(was)-back]), show(is[from:len(is)-back]))
}

func meterStep(m *flowtable.TraceMeterVerdict) (*TraceMeter, string) {
	name, rate, volume := fmt.Sprint(m.ID), "kbit/s", "byte"
	if m.ID == openflow.MeterController {
		name = "controller"
	}
	if m.Packets {
		rate, volume = "packets/s", "packet"
	}
	var bands []string
	for _, b := range m.Bands {
		bands = append(bands, fmt.Sprintf("%d %s with room for %s", b.Rate, rate, countText(b.Room, volume)))
	}
	text, out := "meter "+name+": ", &TraceMeter{Meter: m.ID, Verdict: "pass"}
	if m.Hit >= 0 {
		out.Rate = m.Bands[m.Hit].Rate
	}
	switch {
	case m.Hit < 0:
		text += "passes"
	case m.Bands[m.Hit].Remark > 0:
		out.Verdict = "remark"
		text += fmt.Sprintf("exceeds %d %s, its drop precedence is raised by %d", m.Bands[m.Hit].Rate, rate, m.Bands[m.Hit].Remark)
	default:
		out.Verdict = "drop"
		text += fmt.Sprintf("exceeds %d %s and is dropped", m.Bands[m.Hit].Rate, rate)
	}
	return out, text + " (" + strings.Join(bands, "; ") + ")"
}

func groupStep(g *flowtable.GroupChoice) *TraceGroup {
	out := &TraceGroup{Group: g.ID, Type: g.Type.String(), Live: []bool{}}
	if g.Type == openflow.GroupTypeSelect {
		out.Hash, out.Point, out.Weight = fmt.Sprintf("%016x", g.Hash), g.Point, g.Total
	}
	for _, b := range g.Buckets {
		out.Live = append(out.Live, b.Live)
	}
	return out
}

func normalStep(v *flowtable.NormalVerdict) *TraceNormal {
	words := [...]string{"", "new", "again", "moved", "static", "refused", "full"}
	return &TraceNormal{VLAN: v.VLAN, Carried: v.Member, Src: openflow.MAC(v.Src).String(), Dst: openflow.MAC(v.Dst).String(),
		Learning: words[v.Learning], Known: v.Known, Port: v.At}
}

func groupText(g *flowtable.GroupChoice) (text string, notes []string) {
	text = fmt.Sprintf("group %d, %s", g.ID, g.Type)
	if g.Type == openflow.GroupTypeSelect && g.Total > 0 {
		text += fmt.Sprintf(": the frame's hash 0x%016x falls on %d of %d", g.Hash, g.Point, g.Total)
	}
	if g.Type == openflow.GroupTypeFastFailover {
		text += ": the first live bucket"
	}
	const most = 8
	from := uint64(0)
	for i, b := range g.Buckets {
		if i == most {
			notes = append(notes, fmt.Sprintf("and %s more", Plural(len(g.Buckets)-most, "bucket")))
			break
		}
		note := fmt.Sprintf("bucket %d", i)
		if g.Type == openflow.GroupTypeSelect {
			note += fmt.Sprintf(": weight %d", b.Weight)
			if b.Weight > 0 {
				note += fmt.Sprintf(", from %d to %d", from, from+uint64(b.Weight)-1)
			}
		}
		switch {
		case b.Watches && b.Live:
			note += ", live"
		case b.Watches && g.Type == openflow.GroupTypeSelect:
			note += ", not live: its share is drawn again"
		case b.Watches:
			note += ", not live"
		}
		from += uint64(b.Weight)
		if g.Type == openflow.GroupTypeSelect || g.Type == openflow.GroupTypeFastFailover {
			notes = append(notes, note)
		}
	}
	return text, notes
}

// normal is the learning switch's reasoning.
func (w *traceWriter) normal(v *flowtable.NormalVerdict) (text string, notes []string) {
	src, dst := openflow.MAC(v.Src), openflow.MAC(v.Dst)
	in := w.portText(w.frame.InPort)
	switch {
	case v.Reserved:
		return fmt.Sprintf("%s is one of the addresses that stay on their link", dst), nil
	case !v.Member:
		return in + " does not take this frame: see its VLANs in \"weir ports\"", nil
	}
	where := ""
	if v.VLAN != 0 {
		where = fmt.Sprintf(" in VLAN %d", v.VLAN)
	}
	switch {
	case dst[0]&1 != 0:
		text = fmt.Sprintf("%s is a group address: flooded%s", dst, where)
		notes = w.passedOver(true)
	case v.Known:
		text = fmt.Sprintf("%s is known%s on %s", dst, where, w.portText(v.At))
		if v.Age > 0 {
			text += fmt.Sprintf(", seen %s ago", shortSpan(v.Age))
		}
	default:
		text = fmt.Sprintf("%s is not known%s: flooded", dst, where)
		notes = w.passedOver(true)
	}
	switch v.Learning {
	case flowtable.LearnNew:
		notes = append(notes, fmt.Sprintf("%s would be learned on %s", src, in))
	case flowtable.LearnMoved:
		notes = append(notes, fmt.Sprintf("%s would move from %s to %s", src, w.portText(v.Was), in))
	case flowtable.LearnStatic:
		notes = append(notes, fmt.Sprintf("%s is set to %s and stays there", src, w.portText(v.Was)))
	case flowtable.LearnRefused:
		notes = append(notes, fmt.Sprintf("%s moves too often and is kept on %s", src, w.portText(v.Was)))
	case flowtable.LearnFull:
		notes = append(notes, fmt.Sprintf("%s is not learned: all places are static", src))
	}
	return text, notes
}
