// Slow path: what ports and their queues do with a traced frame, in words.

package agent

import (
	"fmt"
	"strings"
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// output tells of a frame that leaves the tables.
func (w *traceWriter) output(s *flowtable.TraceStep, out *TraceStep) {
	o := TraceOutput{Port: s.Port, Queue: s.Queue, Frame: fmt.Sprintf("%x", s.Frame)}
	out.Kind, out.Text = "output", "sent by "+w.portText(s.Port)
	if s.Queue != 0 {
		out.Text += fmt.Sprintf(", queue %d", s.Queue)
	}
	w.size(s.Frame, out)
	if p := w.table.get(s.Port); p != nil {
		o.Name = p.name
		f := packet.NewFrame(len(s.Frame))
		f.SetBytes(s.Frame)
		f.Offload = s.Offload
		w.queued(p, f, &o, out)
		if o.Lost == "" {
			w.written(p, f, &o, out)
		}
		if o.Lost != "" {
			out.Text = strings.Replace(out.Text, "sent by", "lost at", 1)
		}
	}
	w.out.Outputs = append(w.out.Outputs, o)
}

// queued tells which of the port's queues takes the frame.
func (w *traceWriter) queued(p *port, f *packet.Frame, o *TraceOutput, out *TraceStep) {
	sched := p.sched.Load()
	if sched == nil {
		if o.Queue != 0 {
			out.Notes = append(out.Notes, fmt.Sprintf("%s has no queues, so queue %d changes nothing", p.name, o.Queue))
		}
		return
	}
	q, at, bytes := sched.foresee(w.now, o.Queue, f)
	text := fmt.Sprintf("queue %d", q.ID)
	switch {
	case q.ID != o.Queue && o.Queue == 0:
		text = "the queue of all that set_queue puts nowhere"
	case q.ID != o.Queue:
		text = fmt.Sprintf("there is no queue %d here: that of all that set_queue puts nowhere", o.Queue)
	}
	if q.MinRate != 0 {
		text += ", min-rate " + formatRate(q.MinRate)
	}
	if q.MaxRate != 0 {
		text += ", max-rate " + formatRate(q.MaxRate)
	}
	switch at {
	case seatNow:
		text += ", takes it: its turn is now"
	case seatWait:
		o.Waits = true
		text += ", takes it: it waits for its turn"
		if bytes > 0 {
			text += fmt.Sprintf(" behind %s", Plural(bytes, "byte"))
		}
	case seatNone:
		o.Lost = ports.DropFull.String()
		text += fmt.Sprintf(", has no room for it behind %s", Plural(bytes, "byte"))
	}
	out.Notes = append(out.Notes, text)
}

// written tells what the device does with the frame.
func (w *traceWriter) written(p *port, f *packet.Frame, o *TraceOutput, out *TraceStep) {
	i := p.dev.Info()
	fate := ports.Foresee(i, f)
	o.Frames, o.Finished = fate.Frames, fate.Finished
	note := ""
	switch super := f.Offload.GSO != packet.GSONone; {
	case fate.Lost:
		o.Lost = fate.Reason.String()
		note = lossText(fate.Reason, i, f)
	case fate.Frames > 1 && f.Offload.GSO == packet.GSOFrag:
		note = fmt.Sprintf("cut into %d fragments there, as it came", fate.Frames)
	case fate.Frames > 1 && i.Offload:
		note = fmt.Sprintf("cut into %d frames there, in software: the kernel does not cut what has such headers", fate.Frames)
	case fate.Frames > 1:
		note = fmt.Sprintf("cut into %d frames there, in software: the port takes no super-frames", fate.Frames)
	case fate.Finished:
		note = "its checksum is completed there, in software"
	case super && f.Offload.GSO != packet.GSOFrag:
		note = fmt.Sprintf("stays one super-frame, for whoever is behind the port to cut after each %d bytes of data", f.Offload.GSOSize)
	}
	if note != "" {
		out.Notes = append(out.Notes, note)
	}
}

// lossText says why a device loses a frame, and what helps.
func lossText(why ports.DropReason, i ports.Info, f *packet.Frame) string {
	switch why {
	case ports.DropTooBig:
		what := fmt.Sprintf("its %d bytes behind the Ethernet header are too many", f.Len()-14)
		if g := f.Offload.GSO; g != packet.GSONone && g != packet.GSOFrag {
			what = fmt.Sprintf("segments with %d bytes of data are too long", f.Offload.GSOSize)
		}
		return fmt.Sprintf("%s: %s for an MTU of %d (a VLAN tag does not count; a second one does on a packet socket)", why, what, i.MTU)
	case ports.DropLinkDown:
		return fmt.Sprintf("%s: %s", why, linkTrouble(i))
	case ports.DropBadOffload:
		return fmt.Sprintf("%s: what it says of its own segments does not fit its bytes", why)
	}
	return why.String()
}

func linkTrouble(i ports.Info) string {
	switch {
	case i.Problem != "":
		return i.Problem
	case !i.Present:
		return "its device or peer is not there"
	case !i.AdminUp:
		return "its device is switched off"
	}
	return "its device has no carrier"
}

// cannotSend is why the tables give a port nothing; empty: they do.
func (w *traceWriter) cannotSend(p *port) string {
	w.sw.mu.Lock()
	config, state := p.config, p.told.State
	w.sw.mu.Unlock()
	switch {
	case config&openflow.PortDown != 0:
		return "a PORT_MOD made it PORT_DOWN"
	case state&openflow.PortLinkDown != 0:
		return linkTrouble(p.dev.Info())
	case config&openflow.PortNoFwd != 0:
		return "a PORT_MOD made it NO_FWD"
	}
	return ""
}

// leftOut tells which ports FLOOD and ALL pass over because they cannot send. NORMAL floods, too, but is told of later.
func (w *traceWriter) leftOut(out *TraceStep) {
	flood := w.action.Port == openflow.PortFlood
	if w.action.Type != openflow.ActionOutput || !flood && w.action.Port != openflow.PortAll {
		return
	}
	out.Notes = append(out.Notes, w.passedOver(flood)...)
}

// passedOver is a line for the ports that flooding does not reach, but for the one that the frame came in by.
func (w *traceWriter) passedOver(flood bool) []string {
	var words []string
	for _, p := range w.table.list {
		if p.number == w.frame.InPort {
			continue
		}
		why := w.cannotSend(p)
		if why == "" && flood && w.noFlood(p) {
			why = "it is set not to take what is flooded"
		}
		if why != "" {
			words = append(words, fmt.Sprintf("%s: %s", w.portText(p.number), why))
		}
	}
	const most = 8
	if n := len(words); n > most {
		words = append(words[:most], fmt.Sprintf("and %d more", n-most))
	}
	if words == nil {
		return nil
	}
	return []string{"not by " + strings.Join(words, ", ")}
}

func (w *traceWriter) noFlood(p *port) bool {
	w.sw.mu.Lock()
	defer w.sw.mu.Unlock()
	return p.cfg.NoFlood || p.config&openflow.PortNoFlood != 0
}

// target is the port that the last action meant.
func (w *traceWriter) target() uint32 {
	switch {
	case w.action.Port == openflow.PortInPort:
		return w.frame.InPort
	case w.action.Port == openflow.PortNormal:
		return w.known
	}
	return uint32(w.action.Port)
}

// why adds to a reason what it means here, and what helps.
func (w *traceWriter) why(d flowtable.Drop) []string {
	to := w.portText(w.target())
	switch d {
	case flowtable.DropOutDown:
		if p := w.table.get(w.target()); p != nil {
			return []string{fmt.Sprintf("%s: %s", to, w.cannotSend(p))}
		}
	case flowtable.DropOutInPort:
		return []string{fmt.Sprintf("it came in by %s, and an output to that port sends nothing back: output:IN_PORT does", to)}
	case flowtable.DropOutMissing:
		return []string{fmt.Sprintf("the bridge has no %s", to)}
	case flowtable.DropNoPort:
		return []string{fmt.Sprintf("the bridge has no port %d by which it could come in", w.frame.InPort)}
	case flowtable.DropNoRecv:
		return []string{fmt.Sprintf("a PORT_MOD made %s NO_RECV or PORT_DOWN", w.portText(w.frame.InPort))}
	case flowtable.DropSamePort:
		return []string{fmt.Sprintf("its destination is behind %s, by which it came in", w.portText(w.frame.InPort))}
	}
	return nil
}

// outcome is one output in the verdict.
func (w *traceWriter) outcome(o *TraceOutput) string {
	text := w.portText(o.Port)
	switch {
	case o.Lost != "":
		return fmt.Sprintf("lost at %s: %s", text, o.Lost)
	case o.Waits:
		return text + " after a wait"
	case o.Frames > 1:
		return fmt.Sprintf("%s in %d frames", text, o.Frames)
	}
	return text
}

// seat is where a queue puts a frame.
type seat uint8

const (
	seatNow  seat = iota // it leaves
	seatWait             // behind others, or until the rate allows it
	seatNone             // there is no room to wait
)

// foresee is what send would do with a frame, which it does not take. bytes are those that wait before it. Time goes on as
// for any worker that comes by: frames whose turn it is leave.
func (s *scheduler) foresee(now time.Duration, id uint32, f *packet.Frame) (q *queue, at seat, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now)
	q = s.find(id)
	switch {
	case q.bytes == 0 && q.max.open() && s.link.open():
	case s.lacksRoom(q, f):
		at = seatNone
	default:
		at = seatWait
	}
	s.write()
	s.arm(now)
	return q, at, q.bytes
}
