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
		if err := s.write(m, w); err != nil {
			return err
		}
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
	e, isError := v.(*openflow.Error)
	switch {
	case isError:
		version := "1.3"
		if h.Version == of10.Version {
			version = "1.0"
		}
		w.Text = fmt.Sprintf("OFPT_ERROR (OF%s) (xid=0x%x): %s", version, h.XID, e.CodeName())
		w.Error = e.CodeName()
		w.Meaning, w.Mend = e.Meaning()
		w.Refused = s.refused(m, e)
		about := snoopedRequest{m.Peer.ID, h.XID}
		w.Reason = s.remarks[about]
		delete(s.remarks, about)
	case m.Data[0] == of10.Version && err != nil:
		w.Text = fmt.Sprintf("type %d (OF1.0) (xid=0x%x): not understood: %v: % x", h.Type, h.XID, err, m.Data[:min(len(m.Data), 64)])
	case m.Data[0] == of10.Version && v == nil:
		w.Text = fmt.Sprintf("type %d (OF1.0) (xid=0x%x): a setting of Nicira's extensions, %d bytes", h.Type, h.XID, len(m.Data))
	default:
		w.Text = messageText(m.Data, v)
	}
	if v != nil {
		w.Type = v.MsgType().String() // 1.0 numbers them otherwise
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
		return messageText(e.Data, v)
	}
	return fmt.Sprintf("%s xid=0x%x, %d bytes", h.Type, h.XID, h.Length)
}

// messageText is a message as "ovs-ofctl snoop" shows it, without the newline at its end. One of OpenFlow 1.0 that is
// translated has a line in weir's own words.
func messageText(raw []byte, m openflow.Message) string {
	if raw[0] != of10.Version {
		return strings.TrimRight(ofctl.Message(raw, nil), "\n")
	}
	return fmt.Sprintf("%s (OF1.0) (xid=0x%x): %s", m.MsgType(), openflow.ReadHeader(raw).XID, strings.TrimPrefix(m.String(), m.MsgType().String()+" "))
}

// What is shown of a message to people: dumps and table features can be many pages.
const (
	mostLines   = 50
	longestLine = 1000
)

// print writes a message and, if it is an ERROR, what it means.
func (s *snoop) print(m *agent.Snooped, w *told) {
	way := "from"
	if m.Sent {
		way = "to  "
	}
	name := m.Peer.Name
	if m.Peer.Tool { // several may have called the same listener
		name = fmt.Sprintf("%s#%d", name, m.Peer.ID)
	}
	fmt.Fprintf(s.t.out, "%s %s %s: ", m.At.Local().Format(clock), way, name)
	n := 0
	for line := range strings.Lines(w.Text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if n++; n > mostLines {
			fmt.Fprintf(s.t.out, "%s... (%d bytes in all; --json and -w show them)\n", indent, len(m.Data))
			break
		}
		if line = strings.TrimRight(line, " \n"); len(line) > longestLine {
			line = strings.ToValidUTF8(line[:longestLine], "") + "..."
		}
		if n > 1 {
			line = indent + line
		}
		fmt.Fprintln(s.t.out, line)
	}
	for _, l := range w.explanation() {
		fmt.Fprintln(s.t.out, indent+l)
	}
}

// indent is as wide as a time.
const indent = "                "

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
func (s *snoop) write(m *agent.Snooped, w *told) error {
	direction := uint32(inbound)
	if m.Sent {
		direction = outbound
	}
	comment := w.explanation()
	if m.Missed > 0 {
		comment = append(comment, fmt.Sprintf("%d messages before this one were missed", m.Missed))
	}
	for _, b := range s.streams.of(&m.Peer).segments(m.Data, m.Sent) {
		if err := s.ng.packet(m.At, b, len(b), direction, strings.Join(comment, "\n")); err != nil {
			return err
		}
	}
	return nil
}
