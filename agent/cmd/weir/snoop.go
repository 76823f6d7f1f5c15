// Slow path: "weir snoop": the messages of OpenFlow connections for people, for programs, for Wireshark.

package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
	"github.com/weirswitch/weir/openflow/ofctl"
)

func (t *tool) snoop(fs *flag.FlagSet) func([]string) error {
	s := &snoop{onlook: onlookFlags(t, fs, "messages"), streams: tcpStreams{}, sessions: map[uint64]*of10.Session{}, remarks: map[snoopedRequest]string{}}
	s.fileFlag(fs)
	var q agent.SnoopOptions
	fs.BoolVar(&q.All, "all", false, "also the connections that others opened to the bridge: tools, controllers that call")
	return func(words []string) error {
		if err := s.check(); err != nil {
			return err
		}
		c, err := t.one(words)
		if err != nil {
			return err
		}
		defer c.Close()
		s.link, s.name, s.snaplen = linkIP, c.Bridge, 0
		return s.run("OpenFlow messages of "+c.Bridge, func(ctx context.Context, idle func() error) error {
			return c.Snoop(ctx, q, s.message, idle)
		})
	}
}

// snoop is the command under way.
type snoop struct {
	*onlook
	streams  tcpStreams
	sessions map[uint64]*of10.Session  // of connections that speak OpenFlow 1.0
	remarks  map[snoopedRequest]string // of the switch; its ERROR follows
}

type snoopedRequest struct {
	connection uint64
	xid        uint32
}

// mostRemarks may wait for their ERROR, which may have been missed.
const mostRemarks = 1000

// told is a message in words.
type told struct {
	Type    string `json:"type"`
	Version uint8  `json:"version"`
	XID     uint32 `json:"xid"`
	Text    string `json:"text"`
	// Of an ERROR.
	Error   string `json:"error,omitempty"`   // its name in the specification
	Meaning string `json:"meaning,omitempty"` //
	Mend    string `json:"mend,omitempty"`    // what to do about it
	Reason  string `json:"reason,omitempty"`  // what exactly the switch did not like
	Refused string `json:"refused,omitempty"` // the message that it answers
}

// message shows one message.
func (s *snoop) message(m *agent.Snooped) error {
	s.noteMissed(m.Missed)
	if m.Remark != "" {
		if len(s.remarks) >= mostRemarks {
			clear(s.remarks)
		}
		s.remarks[snoopedRequest{m.Peer.ID, m.XID}] = m.Remark
		return nil
	}
	if len(m.Data) < openflow.HeaderSize {
		return nil // only to say that some were missed
	}
	w := s.tell(m)
	switch {
	case s.ng != nil:
		s.write(m, w)
	case s.asJSON:
		if err := s.line(struct {
			*agent.Snooped
			*told
		}{m, w}); err != nil {
			return err
		}
	default:
		s.print(m, w)
	}
	return s.counted()
}

// tell decodes a message. What cannot be decoded is told with the reason.
func (s *snoop) tell(m *agent.Snooped) *told {
	h := openflow.ReadHeader(m.Data)
	w := &told{Type: h.Type.String(), Version: h.Version, XID: h.XID}
	v, err := s.decode(m)
	switch {
	case err != nil:
		w.Text = fmt.Sprintf("not understood: %v: % x", err, m.Data[:min(len(m.Data), 64)])
		return w
	case v == nil: // a setting of Nicira's that 1.3 has no message for
		w.Text = fmt.Sprintf("%d bytes", len(m.Data))
		return w
	}
	w.Type = v.MsgType().String()
	w.Text = messageText(v)
	if e, ok := v.(*openflow.Error); ok {
		w.Error = e.CodeName()
		w.Meaning, w.Mend = e.Meaning()
		w.Refused = s.refused(m, e)
		about := snoopedRequest{m.Peer.ID, h.XID}
		w.Reason = s.remarks[about]
		delete(s.remarks, about)
	}
	return w
}

func (s *snoop) decode(m *agent.Snooped) (openflow.Message, error) {
	if m.Data[0] != of10.Version || openflow.Type(m.Data[1]) == openflow.TypeHello {
		v, _, err := openflow.Decode(m.Data)
		return v, err
	}
	session := s.sessions[m.Peer.ID]
	if session == nil {
		session = new(of10.Session)
		s.sessions[m.Peer.ID] = session
	}
	var v openflow.Message
	var err error
	if m.Sent {
		v, _, err = session.DecodeReply(m.Data)
	} else {
		v, _, err = session.Decode(m.Data)
	}
	return v, err
}

// refused is the message that an ERROR carries, in words; it may be cut off.
func (s *snoop) refused(m *agent.Snooped, e *openflow.Error) string {
	if e.Type == openflow.ErrHelloFailed || len(e.Data) < openflow.HeaderSize {
		return ""
	}
	h := openflow.ReadHeader(e.Data)
	if v, err := s.decode(&agent.Snooped{Peer: m.Peer, Data: e.Data}); err == nil && v != nil {
		return fmt.Sprintf("%s xid=0x%x %s", v.MsgType(), h.XID, messageText(v))
	}
	return fmt.Sprintf("%s xid=0x%x, %d bytes", h.Type, h.XID, h.Length)
}

// messageText is a message in one line, without its name.
func messageText(m openflow.Message) string {
	switch m := m.(type) {
	case *openflow.FlowMod:
		f := openflow.FlowStats{TableID: m.TableID, Priority: m.Priority, Cookie: m.Cookie, IdleTimeout: m.IdleTimeout,
			HardTimeout: m.HardTimeout, Flags: m.Flags, Match: m.Match, Instructions: m.Instructions}
		text := m.Command.String() + " " + string(ofctl.AppendFlowPlain(nil, &f))
		if m.BufferID != openflow.NoBuffer {
			text += fmt.Sprintf(", and the frame of buffer 0x%x", m.BufferID)
		}
		return text
	case *openflow.PacketIn:
		return fmt.Sprintf("%s, table %d, cookie 0x%x, %s, %d bytes: %s", m.Reason, m.TableID, m.Cookie, m.Match, m.TotalLen, frameLine(m.Data))
	case *openflow.PacketOut:
		text := fmt.Sprintf("in_port %s, actions %s", m.InPort, m.Actions)
		if len(m.Data) == 0 {
			return fmt.Sprintf("%s, buffer 0x%x", text, m.BufferID)
		}
		return fmt.Sprintf("%s, %d bytes: %s", text, len(m.Data), frameLine(m.Data))
	case *openflow.Error:
		return fmt.Sprintf("%s, with %d bytes of the message", m.CodeName(), len(m.Data))
	}
	return strings.TrimSpace(strings.TrimPrefix(m.String(), m.MsgType().String()))
}

// longestLine is what of a message is shown to people: dumps and table features can be many pages.
const longestLine = 1000

// print writes the line and, of an ERROR, what it means.
func (s *snoop) print(m *agent.Snooped, w *told) {
	way := "from"
	if m.Sent {
		way = "to  "
	}
	old := ""
	if w.Version == of10.Version {
		old = " (OpenFlow 1.0)"
	}
	name := m.Peer.Name
	if m.Peer.Tool { // several may have called the same listener
		name = fmt.Sprintf("%s#%d", name, m.Peer.ID)
	}
	text := fmt.Sprintf("%s %s %s: %s%s xid=0x%x %s", m.At.Local().Format(clock), way, name, w.Type, old, w.XID, w.Text)
	if len(text) > longestLine {
		text = fmt.Sprintf("%s... (%d bytes; --json and -w have all)", strings.ToValidUTF8(text[:longestLine], ""), len(m.Data))
	}
	fmt.Fprintln(s.t.out, strings.TrimRight(text, " "))
	for _, l := range w.explanation() {
		fmt.Fprintf(s.t.out, "                %s\n", l)
	}
}

// explanation is what an ERROR means, a line each.
func (w *told) explanation() (list []string) {
	for _, l := range [][2]string{{"refused: ", w.Refused}, {"because: ", w.Reason}, {"meaning: ", w.Meaning}, {"to mend: ", w.Mend}} {
		if l[1] != "" {
			list = append(list, l[0]+l[1])
		}
	}
	return list
}

// write adds a message to the file as TCP segments; what an ERROR means is the comment of its packet.
func (s *snoop) write(m *agent.Snooped, w *told) {
	direction := uint32(inbound)
	if m.Sent {
		direction = outbound
	}
	comment := w.explanation()
	if m.Missed > 0 {
		comment = append(comment, fmt.Sprintf("%d messages before this one were missed", m.Missed))
	}
	for _, b := range s.streams.of(&m.Peer).segments(m.Data, m.Sent) {
		s.ng.packet(m.At, b, len(b), direction, strings.Join(comment, "\n"))
	}
}
