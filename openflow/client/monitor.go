package client

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// monitor prints what the switch sends unasked, until it is stopped. A length makes frames come.
func (c *Client) monitor(args []string) error {
	length, ttl := -1, false
	var watch []string
	for _, a := range args[1:] {
		n, err := strconv.ParseUint(a, 10, 16)
		switch {
		case err == nil:
			length = int(n)
		case a == "invalid_ttl":
			ttl = true
		case strings.HasPrefix(a, "watch:"):
			watch = append(watch, a[len("watch:"):])
		default:
			return fmt.Errorf("%q: expected how many bytes of a frame to send, like 65534, invalid_ttl or watch:FLOW", a)
		}
	}
	s, err := c.open(args[0])
	if err != nil {
		return err
	}
	defer s.close()
	if ttl && s.old == nil {
		return fmt.Errorf("invalid_ttl is a setting of OpenFlow 1.0 to 1.2: in 1.3 SET_ASYNC chooses such frames")
	}
	if length >= 0 {
		if err := s.setLength(uint16(length)); err != nil {
			return err
		}
	}
	if ttl {
		if err := s.wantInvalidTTL(); err != nil {
			return err
		}
	}
	if err := s.watch(watch); err != nil {
		return err
	}
	if err := s.packetIns(c.PacketIns); err != nil {
		return err
	}
	return c.follow(s, s.receive)
}

// setLength makes frames come, of which a miss sends so many bytes.
func (s *session) setLength(length uint16) error {
	cfg, err := s.config()
	if err != nil {
		return err
	}
	cfg.MissSendLen = length
	return s.apply(&openflow.SetConfig{SwitchConfig: *cfg})
}

// wantInvalidTTL makes frames come whose TTL is over. A switch without the flag says so by not keeping it.
func (s *session) wantInvalidTTL() error {
	cfg, err := s.config()
	if err != nil || s.old.InvalidTTL.Load() {
		return err
	}
	s.old.InvalidTTL.Store(true)
	if err := s.apply(&openflow.SetConfig{SwitchConfig: *cfg}); err != nil {
		return err
	}
	if _, err = s.config(); err == nil && !s.old.InvalidTTL.Load() {
		err = fmt.Errorf("%s does not keep invalid_ttl: it probably cannot send frames whose TTL is over", s.target)
	}
	return err
}

// packetIns asks for a form of packet-in, or for the one that tells most of those the switch has.
func (s *session) packetIns(want PacketIns) error {
	forms := map[PacketIns][]openflow.PacketInFormat{PacketInsStandard: {openflow.PacketInStandard}, PacketInsNicira: {openflow.PacketInNXM},
		PacketInsNicira2: {openflow.PacketInNXM2}, PacketInsBest: {openflow.PacketInNXM2}}[want]
	if want == PacketInsBest && s.old != nil {
		forms = append(forms, openflow.PacketInNXM)
	}
	for _, f := range forms {
		refused, err := s.settle(f.Set())
		if err != nil || refused == nil {
			return err
		}
		if want != PacketInsBest {
			return fmt.Errorf("%s does not send packet-ins in this form:\n%s", s.target, strings.TrimRight(ofctl.Message(refused, nil), "\n"))
		}
	}
	return nil // its own form then
}

// watch asks for flow monitors; what they tell of the flows that are there is printed.
func (s *session) watch(texts []string) error {
	if len(texts) == 0 {
		return nil
	}
	names, err := s.c.namesToAccept(s.target)
	if err != nil {
		return err
	}
	m := &openflow.MultipartRequest{Type: openflow.MultipartFlowMonitor}
	for i, text := range texts {
		r, err := ofctl.ParseMonitor(text, names)
		if err != nil {
			return err
		}
		r.ID = uint32(i)
		m.Records = append(m.Records, r)
	}
	return s.parts(m, func(raw []byte) error {
		names, err := s.c.namesToShow(s.target)
		if err == nil {
			err = s.c.printMessage(s.c.Err, raw, names)
		}
		if err == nil && openflow.ReadHeader(raw).Type == openflow.TypeError {
			err = errTold
		}
		return err
	})
}

// snoop prints what the switch and its controllers say to each other.
func (c *Client) snoop(args []string) error {
	s, err := c.openFor(args[0], ForSnooping)
	if err != nil {
		return err
	}
	defer s.close()
	return c.follow(s, s.conn.ReadMessage)
}

// follow prints messages on standard error, as ovs-ofctl does.
func (c *Client) follow(s *session, next func() ([]byte, error)) error {
	for {
		raw, err := next()
		if err != nil {
			return err
		}
		names, err := c.namesToShow(s.target)
		if err != nil {
			return err
		}
		if c.Timestamp && !c.JSON {
			fmt.Fprintf(c.Err, "%s: ", c.Now().Format("2006-01-02 15:04:05.000"))
		}
		if err := c.printMessage(c.Err, raw, names); err != nil {
			return err
		}
		if c.More > 0 && !c.JSON {
			fmt.Fprint(c.Err, hex.Dump(raw))
		}
	}
}

// parseFlowText prints the FLOW_MOD that a flow becomes; nothing is sent.
func (c *Client) parseFlowText(args []string) error {
	m, err := ofctl.ParseFlow(args[0], openflow.FlowAdd, c.typedNames())
	if err == nil {
		err = c.tell(m)
	}
	return err
}

// typedNames go with what is typed for no switch.
func (c *Client) typedNames() (names *ofctl.Names) {
	if old, _ := c.speaksOld(""); old {
		return names.ForOpenFlow10()
	}
	return nil
}

// tell prints the message that would be sent.
func (c *Client) tell(m openflow.Message) error {
	raw := openflow.Append(nil, c.nextXID(), m)
	if old, _ := c.speaksOld(""); old {
		s := of10.Session{Plain: c.Plain}
		for s.Prepare(m) != nil { // as if that had been said
		}
		var err error
		if raw, err = s.AppendRequest(nil, c.xid, m); err != nil {
			return err
		}
	}
	return c.printMessage(c.Out, raw, nil)
}

func (c *Client) parseFlowFile(args []string) error {
	return c.lines(args[0], func(where, text string) error {
		m, err := ofctl.ParseFlowLine(text, c.typedNames())
		if err == nil {
			err = c.tell(m)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		return nil
	})
}

func (c *Client) parseGroupText(args []string) error {
	m, err := ofctl.ParseGroup(args[0], openflow.GroupAdd, c.typedNames())
	if err == nil {
		err = c.tell(m)
	}
	return err
}

func (c *Client) parseMeterText(args []string) error {
	m, err := ofctl.ParseMeter(args[0], openflow.MeterAdd)
	if err == nil {
		err = c.tell(m)
	}
	return err
}

// ofpPrint prints a message given in hexadecimal.
func (c *Client) ofpPrint(args []string) error {
	raw, err := hex.DecodeString(strings.Join(strings.Fields(args[0]), ""))
	if err != nil {
		return fmt.Errorf("%.60q is not hexadecimal: %w", args[0], err)
	}
	return c.printMessage(c.Out, raw, nil)
}

// ofpParse prints the messages of a file, one behind the other as on a connection.
func (c *Client) ofpParse(args []string) error {
	raw, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	for len(raw) > 0 {
		if len(raw) < openflow.HeaderSize || openflow.ReadHeader(raw).Length < openflow.HeaderSize || openflow.ReadHeader(raw).Length > len(raw) {
			return fmt.Errorf("%s: the last %d bytes are no whole message", args[0], len(raw))
		}
		n := openflow.ReadHeader(raw).Length
		if err := c.printMessage(c.Out, raw[:n], nil); err != nil {
			return err
		}
		raw = raw[n:]
	}
	return nil
}
