// Slow path: "weir capture" and "weir watch".

package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/weirswitch/weir/agent"
)

func (t *tool) capture(fs *flag.FlagSet) func([]string) error {
	o := onlookFlags(t, fs, "frames")
	o.fileFlag(fs)
	var q agent.CaptureOptions
	fs.IntVar(&q.Snaplen, "snaplen", 0, "`BYTES` take only the beginning of each frame")
	fs.StringVar(&q.Filter, "filter", "", "`MATCH` only frames that match, in ovs-ofctl's words: tcp,tp_dst=80")
	return func(words []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if q.Snaplen < 0 {
			return usagef("--snaplen %d: expected a number of bytes", q.Snaplen)
		}
		c, err := t.dial(words[0])
		if err != nil {
			return err
		}
		defer c.Close()
		q.Port, o.link, o.name, o.snaplen = words[1], linkEthernet, words[1], uint32(q.Snaplen)
		return o.run("frames of port "+words[1]+" of "+words[0], func(ctx context.Context, idle func() error) error {
			return c.Capture(ctx, q, o.frame, idle)
		})
	}
}

// frame shows one frame.
func (o *onlook) frame(f *agent.Captured) error {
	o.noteMissed(f.Missed)
	if f.Length == 0 { // only to say that some were missed
		return nil
	}
	direction, word := uint32(inbound), "in "
	if f.Out {
		direction, word = outbound, "out"
	}
	switch {
	case o.ng != nil:
		comment := ""
		if f.Missed > 0 {
			comment = fmt.Sprintf("%d frames before this one were missed", f.Missed)
		}
		if err := o.ng.packet(f.At, f.Data, f.Length, direction, comment); err != nil {
			return err
		}
	case o.asJSON:
		if err := o.line(f); err != nil {
			return err
		}
	default:
		fmt.Fprintf(o.t.out, "%s %s %s, %d bytes\n", f.At.Local().Format(clock), word, frameLine(f.Data), f.Length)
	}
	return o.counted()
}

func (t *tool) watch(fs *flag.FlagSet) func([]string) error {
	o := onlookFlags(t, fs, "verdicts")
	var q agent.WatchOptions
	fs.IntVar(&q.Rate, "rate", 100, "`N` verdicts a second at most, up to 1000")
	return func(words []string) error {
		if q.Rate < 1 || q.Rate > 1000 {
			return usagef("--rate %d: expected 1 to 1000", q.Rate)
		}
		q.Filter = strings.Join(words[1:], ",")
		c, err := t.dial(words[0])
		if err != nil {
			return err
		}
		defer c.Close()
		return o.run("frames in "+words[0], func(ctx context.Context, idle func() error) error {
			return c.Watch(ctx, q, o.verdict, idle)
		})
	}
}

// verdict shows the way of one frame.
func (o *onlook) verdict(w *agent.Watched) error {
	o.noteMissed(w.Missed)
	if w.Length == 0 {
		return nil
	}
	if o.asJSON {
		if err := o.line(w); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(o.t.out, "%s %s\n", w.At.Local().Format(clock), verdictLine(w))
	}
	return o.counted()
}

// verdictLine is the frame, what it met and what came of it.
func verdictLine(w *agent.Watched) string {
	var s strings.Builder
	fmt.Fprintf(&s, "in %s: %s, %d bytes", portWords(w.InPort, w.InName), frameLine(w.Data), w.Length)
	for i, e := range w.Entries {
		s.WriteString("; " + metEntry(e))
		behindResubmits(&s, w, i)
	}
	if w.Miss != nil {
		fmt.Fprintf(&s, "; table %d has no entry for it", *w.Miss)
	}
	if w.Resubmits > 0 && len(w.Behind) == 0 {
		fmt.Fprintf(&s, "; %s", agent.Plural(w.Resubmits, "resubmit"))
	}
	s.WriteString(" -> " + strings.Join(outcome(w), ", "))
	var notes []string
	if w.Cached {
		notes = append(notes, "cached")
	}
	if w.OneIn > 1 {
		notes = append(notes, fmt.Sprintf("1 of %d frames looked at", w.OneIn))
	}
	if len(notes) > 0 {
		fmt.Fprintf(&s, " (%s)", strings.Join(notes, ", "))
	}
	return s.String()
}

// outcome is where a frame went, and where not.
func outcome(w *agent.Watched) (list []string) {
	for _, p := range w.Out {
		text := "out " + portWords(p.Port, p.Name)
		if p.Queue != 0 {
			text += fmt.Sprintf(" queue %d", p.Queue)
		}
		list = append(list, text)
	}
	for _, reason := range w.PacketIn {
		list = append(list, "to controllers ("+reason+")")
	}
	for _, d := range w.Drops {
		list = append(list, "dropped: "+d)
	}
	switch {
	case w.Kept:
		list = append(list, "waits for the other fragments of its packet")
	case len(list) == 0:
		list = append(list, "dropped by the entry: no output")
	}
	return list
}

func portWords(no uint32, name string) string {
	if name == "" {
		return portNumber(no)
	}
	return fmt.Sprintf("%s (%s)", portNumber(no), name)
}

func metEntry(e agent.WatchedEntry) string {
	text := fmt.Sprintf("table %d priority %d", e.Table, e.Priority)
	if e.Cookie != "0x0" {
		text += " cookie " + e.Cookie
	}
	return text
}

// behindResubmits tells in brackets what an entry's resubmits met; those within them have brackets of their own.
func behindResubmits(s *strings.Builder, w *agent.Watched, under int) {
	depth := 0
	for _, b := range w.Behind {
		if b.Under != under {
			continue
		}
		switch {
		case b.Depth > depth:
			s.WriteString(strings.Repeat(" [", b.Depth-depth))
		case b.Depth < depth:
			s.WriteString(strings.Repeat("]", depth-b.Depth) + ", ")
		default:
			s.WriteString(", ")
		}
		depth = b.Depth
		if b.Found {
			s.WriteString(metEntry(b.WatchedEntry))
		} else {
			fmt.Fprintf(s, "table %d has no entry for it", b.Table)
		}
	}
	s.WriteString(strings.Repeat("]", depth))
}
