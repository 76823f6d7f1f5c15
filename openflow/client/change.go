package client

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// apply sends messages over one connection: in a bundle, all or none of them, when that is asked for.
func (c *Client) apply(target string, list []openflow.Message) error {
	s, err := c.open(target)
	if err != nil {
		return err
	}
	defer s.close()
	if c.Bundle {
		return s.bundle(list)
	}
	return s.apply(list...)
}

// one makes a command that reads one text and sends the message that it means.
func one(parse func(c *Client, text string, names *ofctl.Names) (openflow.Message, error)) func(*Client, []string) error {
	return func(c *Client, args []string) error {
		names, err := c.namesToAccept(args[0])
		if err != nil {
			return err
		}
		text := ""
		if len(args) > 1 {
			text = args[1]
		}
		m, err := parse(c, text, names)
		if err != nil {
			return err
		}
		return c.apply(args[0], []openflow.Message{m})
	}
}

// many makes a command that reads a file, each line of which means a message. A mistake in the file sends nothing.
func many(parse func(text string, names *ofctl.Names) (openflow.Message, error)) func(*Client, []string) error {
	return func(c *Client, args []string) error {
		names, err := c.namesToAccept(args[0])
		if err != nil {
			return err
		}
		var list []openflow.Message
		err = c.lines(args[1], func(where, text string) error {
			m, err := parse(text, names)
			if err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			list = append(list, m)
			return nil
		})
		if err != nil {
			return err
		}
		return c.apply(args[0], list)
	}
}

// either is one, or many when the argument is -.
func either(single, file func(*Client, []string) error) func(*Client, []string) error {
	return func(c *Client, args []string) error {
		if len(args) > 1 && args[1] == "-" {
			return file(c, args)
		}
		return single(c, args)
	}
}

func parseFlow(plain, strict openflow.FlowModCommand) func(*Client, string, *ofctl.Names) (openflow.Message, error) {
	return func(c *Client, text string, names *ofctl.Names) (openflow.Message, error) {
		command := plain
		if c.Strict {
			command = strict
		}
		return ofctl.ParseFlow(text, command, names)
	}
}

func parseFlowLine(text string, names *ofctl.Names) (openflow.Message, error) {
	return ofctl.ParseFlowLine(text, names)
}

func parseGroup(command openflow.GroupCommand) func(*Client, string, *ofctl.Names) (openflow.Message, error) {
	return func(_ *Client, text string, names *ofctl.Names) (openflow.Message, error) {
		return ofctl.ParseGroup(text, command, names)
	}
}

func parseGroupChange(c *Client, text string, names *ofctl.Names) (openflow.Message, error) {
	command := openflow.GroupModify
	if c.MayCreate {
		command = openflow.GroupAddOrModify
	}
	return ofctl.ParseGroup(text, command, names)
}

func parseGroupLine(text string, names *ofctl.Names) (openflow.Message, error) {
	return ofctl.ParseGroupLine(text, names)
}

func parseGroupDelete(_ *Client, text string, _ *ofctl.Names) (openflow.Message, error) {
	id, err := ofctl.ParseGroupID(text)
	return &openflow.GroupMod{Command: openflow.GroupDelete, Group: id}, err
}

// meterMod needs no names: a meter has none.
func meterMod(command openflow.MeterCommand) func(*Client, []string) error {
	return func(c *Client, args []string) error {
		m := &openflow.MeterMod{Command: command, Meter: openflow.MeterAll}
		if len(args) > 1 {
			var err error
			if m, err = ofctl.ParseMeter(args[1], command); err != nil {
				return err
			}
		}
		s, err := c.open(args[0])
		if err != nil {
			return err
		}
		defer s.close()
		return s.apply(m)
	}
}

// portWords are the verbs of mod-port with the bit they set or clear.
var portWords = map[string]struct {
	bit openflow.PortConfig
	set bool
}{
	"up": {openflow.PortDown, false}, "down": {openflow.PortDown, true},
	"receive": {openflow.PortNoRecv, false}, "no-receive": {openflow.PortNoRecv, true},
	"forward": {openflow.PortNoFwd, false}, "no-forward": {openflow.PortNoFwd, true},
	"packet-in": {openflow.PortNoPacketIn, false}, "no-packet-in": {openflow.PortNoPacketIn, true},
	"stp": {oldNoSTP, false}, "no-stp": {oldNoSTP, true}, "receive-stp": {oldNoRecvSTP, false}, "no-receive-stp": {oldNoRecvSTP, true},
	"flood": {openflow.PortNoFlood, false}, "no-flood": {openflow.PortNoFlood, true},
}

// The bits of OpenFlow 1.0 that 1.3 does not have: a verb that needs one is said in 1.0.
const (
	oldNoSTP     openflow.PortConfig = 1 << 1
	oldNoRecvSTP openflow.PortConfig = 1 << 3

	oldPortBits = oldNoSTP | oldNoRecvSTP | openflow.PortNoFlood
)

func (c *Client) modPort(args []string) error {
	w, ok := portWords[args[2]]
	if !ok {
		return noVerb(args[2])
	}
	if w.bit&oldPortBits != 0 {
		if !slices.Contains(c.versions(), of10.Version) {
			return fmt.Errorf("%s: OpenFlow 1.3 has no such setting of a port, 1.0 has: leave -O away, or say -O OpenFlow10", args[2])
		}
		c.Versions = []uint8{of10.Version}
	}
	p, err := c.findPort(args[0], args[1])
	if err != nil {
		return err
	}
	s, err := c.open(args[0])
	if err != nil {
		return err
	}
	defer s.close()
	m := &openflow.PortMod{Port: p.No, HWAddr: p.HWAddr, Mask: w.bit}
	if w.set {
		m.Config = m.Mask
	}
	return s.apply(m)
}

func noVerb(word string) error {
	var known []string
	for k := range portWords {
		known = append(known, k)
	}
	slices.Sort(known)
	if near := ofctl.Nearest(word, known); near != "" {
		return fmt.Errorf("there is no verb %q, did you mean %q?", word, near)
	}
	return fmt.Errorf("there is no verb %q: expected one of %s", word, strings.Join(known, ", "))
}

// modTable explains, for OpenFlow 1.3 has nothing to configure in a table.
func (c *Client) modTable(args []string) error {
	switch word, _, _ := strings.Cut(args[2], ":"); word {
	case "continue", "drop", "controller":
		return fmt.Errorf("%s is a setting of OpenFlow 1.1 and 1.2: in 1.3 the table-miss flow says it, like add-flow %s table=%s,priority=0,actions=drop", args[2], args[0], args[1])
	case "evict", "noevict", "vacancy", "novacancy":
		return fmt.Errorf("%s is a setting of OpenFlow 1.4 and later: weir speaks 1.3", args[2])
	}
	return fmt.Errorf("there is no setting %q of a table", args[2])
}

// packetOut reads in_port=... packet=... actions=..., or IN_PORT ACTIONS PACKET...
func (c *Client) packetOut(args []string) error {
	names, err := c.namesToAccept(args[0])
	if err != nil {
		return err
	}
	var list []openflow.Message
	switch len(args) {
	case 2:
		m, err := ofctl.ParsePacketOut(args[1], names)
		if err != nil {
			return err
		}
		list = append(list, m)
	case 3:
		return errors.New("expected \"in_port=PORT packet=HEX actions=ACTIONS\", or IN_PORT ACTIONS PACKET... as words of their own")
	default:
		port, err := ofctl.ParsePort(args[1], names)
		if err != nil {
			return err
		}
		actions, err := ofctl.ParseActions(args[2], names)
		if err != nil {
			return err
		}
		for _, word := range args[3:] {
			frame, err := hex.DecodeString(word)
			if err != nil || len(frame) < 14 || len(frame) > openflow.MaxMessage/2 {
				return fmt.Errorf("%.60q: expected a frame in hexadecimal, 14 bytes or more", word)
			}
			list = append(list, &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: port, Actions: actions, Data: frame})
		}
	}
	s, err := c.open(args[0])
	if err != nil {
		return err
	}
	defer s.close()
	return s.apply(list...)
}

// flowKey is what makes a flow the same flow.
type flowKey struct {
	table    uint8
	priority uint16
	match    string // in ovs-ofctl's words
}

// flowSet is the flows of a file or a switch.
type flowSet map[flowKey]*ofctl.FlowRecord

func (set flowSet) add(r *ofctl.FlowRecord) {
	set[flowKey{r.Flow.TableID, r.Flow.Priority, ofctl.Match(r.Flow.Match)}] = r
}

// sameFlow compares what an add can set. Of several words of OpenFlow 1.0 for one thing each is as good.
func sameFlow(r, s *ofctl.FlowRecord) bool {
	a, b := r.Flow, s.Flow
	return a.Cookie == b.Cookie && a.IdleTimeout == b.IdleTimeout && a.HardTimeout == b.HardTimeout && asTold(r) == asTold(s)
}

// asTold is what a flow does in the words in which a switch of that version would tell it.
func asTold(r *ofctl.FlowRecord) string {
	if r.Old {
		return ofctl.OldActions(of10.AppendActions(nil, r.Flow.Instructions))
	}
	return ofctl.Instructions(r.Flow.Instructions)
}

// keys gives those of both sets: by table, priority from high to low, match.
func keys(a, b flowSet) []flowKey {
	var list []flowKey
	for k := range a {
		list = append(list, k)
	}
	for k := range b {
		if a[k] == nil {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(x, y flowKey) int {
		return cmp.Or(cmp.Compare(x.table, y.table), cmp.Compare(y.priority, x.priority), strings.Compare(x.match, y.match))
	})
	return list
}

// isFile decides as ovs-ofctl does whether a word names a file of flows: by its first letter, or by there being one.
func isFile(word string) bool {
	if word == "-" || strings.HasPrefix(word, "/") || strings.HasPrefix(word, ".") {
		return true
	}
	st, err := os.Stat(word)
	return err == nil && !strings.Contains(word, ":") && st.Mode().IsRegular()
}

func (c *Client) fileFlows(file string, names *ofctl.Names) (flowSet, error) {
	set := flowSet{}
	return set, c.lines(file, func(where, text string) error {
		m, err := ofctl.ParseFlow(text, openflow.FlowAdd, names)
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		r := &ofctl.FlowRecord{Old: names.IsForOpenFlow10(), Flow: &openflow.FlowStats{TableID: m.TableID, Priority: m.Priority, IdleTimeout: m.IdleTimeout,
			HardTimeout: m.HardTimeout, Flags: m.Flags, Cookie: m.Cookie, Match: m.Match, Instructions: m.Instructions}}
		if r.Old {
			r.Said = of10.AppendRequested(nil, m.Instructions)
		}
		set.add(r)
		return nil
	})
}

func (s *session) flowSet() (flowSet, error) {
	set := flowSet{}
	return set, s.flows(openflow.AllFlows(), func(r *ofctl.FlowRecord) { set.add(cloneFlow(r)) })
}

func (c *Client) switchFlows(target string) (flowSet, error) {
	s, err := c.open(target)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.flowSet()
}

// replaceFlows deletes what is not in the file, then adds what the switch does not have so.
func (c *Client) replaceFlows(args []string) error {
	names, err := c.namesToAccept(args[0])
	if err != nil {
		return err
	}
	want, err := c.fileFlows(args[1], names)
	if err != nil {
		return err
	}
	s, err := c.open(args[0])
	if err != nil {
		return err
	}
	defer s.close()
	have, err := s.flowSet()
	if err != nil {
		return err
	}
	var deletes, adds []openflow.Message
	for _, k := range keys(have, want) {
		w, h := want[k], have[k]
		switch {
		case w == nil:
			deletes = append(deletes, change(h.Flow, openflow.FlowDeleteStrict))
		case h == nil || c.Readd || !sameFlow(h, w):
			adds = append(adds, change(w.Flow, openflow.FlowAdd))
		}
	}
	if c.Bundle {
		return s.bundle(append(deletes, adds...))
	}
	return s.apply(append(deletes, adds...)...)
}

func change(f *openflow.FlowStats, command openflow.FlowModCommand) openflow.Message {
	m := &openflow.FlowMod{Command: command, TableID: f.TableID, Priority: f.Priority, Match: f.Match,
		BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny}
	if command == openflow.FlowAdd {
		m.Cookie, m.IdleTimeout, m.HardTimeout, m.Flags, m.Instructions = f.Cookie, f.IdleTimeout, f.HardTimeout, f.Flags, f.Instructions
	}
	return m
}

// diffFlows prints - and + lines and ends with status 2 when there are any.
func (c *Client) diffFlows(args []string) error {
	names := c.typedNames()
	for _, source := range args {
		if !isFile(source) {
			var err error
			if names, err = c.namesToAccept(source); err != nil {
				return err
			}
		}
	}
	var sets [2]flowSet
	for i, source := range args {
		var err error
		if isFile(source) {
			sets[i], err = c.fileFlows(source, names)
		} else {
			sets[i], err = c.switchFlows(source)
		}
		if err != nil {
			return err
		}
	}
	differ := []object{}
	for _, k := range keys(sets[0], sets[1]) {
		a, b := sets[0][k], sets[1][k]
		if a != nil && b != nil && sameFlow(a, b) {
			continue
		}
		for i, r := range []*ofctl.FlowRecord{a, b} {
			if r != nil {
				differ = append(differ, c.difference("-+"[i:i+1], r))
			}
		}
	}
	if c.JSON {
		if err := c.writeJSON(differ); err != nil {
			return err
		}
	}
	if len(differ) > 0 {
		return &ExitError{Code: 2}
	}
	return nil
}

// difference prints a flow that only one of two has, or gives what of it two can differ in.
func (c *Client) difference(sign string, r *ofctl.FlowRecord) object {
	if !c.JSON {
		fmt.Fprintf(c.Out, "%s%s\n", sign, diffLine(r))
		return nil
	}
	o := recordJSON(r.Flow)
	for _, measured := range []string{"duration", "packets", "bytes"} {
		delete(o, measured)
	}
	o["change"] = sign
	return o
}

func diffLine(r *ofctl.FlowRecord) string {
	f, actions := r.Flow, ""
	if r.Old {
		actions = ofctl.OldActions(r.Said)
	} else {
		actions = ofctl.Instructions(f.Instructions)
	}
	var parts []string
	if f.TableID != 0 {
		parts = append(parts, fmt.Sprintf("table=%d", f.TableID))
	}
	if m := string(ofctl.AppendMatch(nil, f.Match, f.Priority)); m != "" {
		parts = append(parts, m)
	}
	if f.Cookie != 0 {
		parts = append(parts, fmt.Sprintf("cookie=%#x", f.Cookie))
	}
	if f.IdleTimeout != 0 {
		parts = append(parts, fmt.Sprintf("idle_timeout=%d", f.IdleTimeout))
	}
	if f.HardTimeout != 0 {
		parts = append(parts, fmt.Sprintf("hard_timeout=%d", f.HardTimeout))
	}
	return strings.Join(append(parts, "actions="+actions), " ")
}
