package client

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// dump sends one request over a connection of its own and prints the whole answer, an ERROR too.
func (c *Client) dump(target string, m openflow.Message) error {
	s, err := c.open(target)
	if err != nil {
		return err
	}
	defer s.close()
	if q, ok := m.(*openflow.MultipartRequest); ok && q.Type == openflow.MultipartGroupDesc && s.old == nil {
		q.Records = nil // 1.3 cannot ask for one
	}
	if c.JSON {
		return c.printJSON(s, m)
	}
	return s.parts(m, func(raw []byte) error { return c.print(target, raw) })
}

func (c *Client) print(target string, raw []byte) error {
	names, err := c.namesToShow(target)
	if err == nil {
		_, err = fmt.Fprint(c.Out, ofctl.Message(raw, names))
	}
	return err
}

// simple is a command that asks one thing.
func simple(m func() openflow.Message) func(*Client, []string) error {
	return func(c *Client, args []string) error { return c.dump(args[0], m()) }
}

func multipart(t openflow.MultipartType) func(*Client, []string) error {
	return simple(func() openflow.Message { return &openflow.MultipartRequest{Type: t} })
}

func (c *Client) show(args []string) error {
	s, err := c.open(args[0])
	if err != nil {
		return err
	}
	if c.JSON {
		defer s.close()
		return c.showJSON(s)
	}
	_, raw, err := s.features()
	if err == nil {
		_, err = fmt.Fprint(c.Out, ofctl.Message(raw, nil))
	}
	if err == nil && s.old == nil {
		err = s.parts(&openflow.MultipartRequest{Type: openflow.MultipartPortDesc}, func(raw []byte) error { return c.print(args[0], raw) })
	}
	s.close()
	if err != nil {
		return err
	}
	return c.dump(args[0], &openflow.GetConfigRequest{})
}

// filter reads the flows that a dump is for.
func (c *Client) filter(args []string) (*openflow.FlowStatsRequest, error) {
	if len(args) < 2 {
		return openflow.AllFlows(), nil
	}
	names, err := c.namesToAccept(args[0])
	if err != nil {
		return nil, err
	}
	return ofctl.ParseFlowFilter(args[1], names)
}

func (c *Client) dumpAggregate(args []string) error {
	f, err := c.filter(args)
	if err != nil {
		return err
	}
	return c.dump(args[0], &openflow.MultipartRequest{Type: openflow.MultipartAggregate, Records: []openflow.Record{f}})
}

// dumpFlows prints the reply as it comes; when names, an order or no counters are asked for, flow by flow.
func (c *Client) dumpFlows(args []string) error {
	f, err := c.filter(args)
	if err != nil {
		return err
	}
	m := &openflow.MultipartRequest{Type: openflow.MultipartFlow, Records: []openflow.Record{f}}
	if c.JSON && len(c.Sort) == 0 || !c.NoStats && len(c.Sort) == 0 && !c.showNames() {
		return c.dump(args[0], m)
	}
	order, err := c.order()
	if err != nil {
		return err
	}
	s, err := c.open(args[0])
	if err != nil {
		return err
	}
	defer s.close()
	var flows []*ofctl.FlowRecord
	if err := s.flows(f, func(r *ofctl.FlowRecord) {
		k := cloneFlow(r)
		k.Flow.IdleAge, k.Flow.HardAge = 0, 0 // which ovs-ofctl leaves out here
		flows = append(flows, k)
	}); err != nil {
		return err
	}
	if len(c.Sort) > 0 {
		slices.SortStableFunc(flows, func(a, b *ofctl.FlowRecord) int { return order(a.Flow, b.Flow) })
	}
	if c.JSON {
		return c.writeJSON(flowsJSON(flows))
	}
	names, err := c.namesToShow(args[0])
	if err != nil {
		return err
	}
	for _, f := range flows {
		fmt.Fprintf(c.Out, "%s\n", names.AppendFlowRecord([]byte{' '}, f, c.NoStats))
	}
	return nil
}

// cloneFlow keeps a flow beyond the message it came in.
func cloneFlow(r *ofctl.FlowRecord) *ofctl.FlowRecord {
	k, f := *r, *r.Flow
	f.Match, f.Instructions = f.Match.Clone(), f.Instructions.Clone()
	k.Flow, k.Said = &f, slices.Clone(r.Said)
	return &k
}

// order compares two flows by the criteria of --sort and --rsort.
func (c *Client) order() (func(a, b *openflow.FlowStats) int, error) {
	fields := make([][]openflow.FieldID, len(c.Sort))
	for i, k := range c.Sort {
		if k.Field == "" || k.Field == "priority" {
			continue
		}
		if fields[i] = ofctl.FieldsOf(k.Field); fields[i] == nil {
			return nil, fmt.Errorf("cannot sort by %q: expected priority or the name of a field, like nw_dst", k.Field)
		}
	}
	return func(a, b *openflow.FlowStats) int {
		for i, k := range c.Sort {
			d := cmp.Compare(a.Priority, b.Priority)
			if fields[i] != nil {
				var both bool
				if d, both = compareField(a.Match, b.Match, fields[i]); !both && d != 0 {
					return d // what does not have the field is last in either order
				}
			}
			if k.Descending {
				d = -d
			}
			if d != 0 {
				return d
			}
		}
		return cmp.Compare(b.Priority, a.Priority) // as ovs-ofctl: equals by priority, from high to low
	}, nil
}

// compareField orders by the value of a field; a match without it comes last. both: neither is without. Of
// several fields under one word the first is meant; matches without it are ordered by the others, as by
// ovs-ofctl, which keeps arp_tpa where it keeps nw_dst.
func compareField(a, b openflow.Match, ids []openflow.FieldID) (order int, both bool) {
	x, hasX := a.Get(ids[0])
	y, hasY := b.Get(ids[0])
	if !hasX && !hasY {
		x, _ = firstOf(a, ids[1:])
		y, _ = firstOf(b, ids[1:])
		return slices.Compare(x.Value[:], y.Value[:]), true
	}
	switch {
	case hasX && hasY:
		return slices.Compare(x.Value[:], y.Value[:]), true
	case hasX:
		return -1, false
	default:
		return 1, false
	}
}

func firstOf(m openflow.Match, ids []openflow.FieldID) (openflow.Field, bool) {
	for _, id := range ids {
		if f, ok := m.Get(id); ok {
			return f, true
		}
	}
	return openflow.Field{}, false
}

func (c *Client) dumpPorts(args []string) error {
	port, err := c.optionalPort(args)
	if err != nil {
		return err
	}
	return c.dump(args[0], &openflow.MultipartRequest{Type: openflow.MultipartPortStats, Records: []openflow.Record{&openflow.PortStatsRequest{Port: port}}})
}

// optionalPort is the second argument, or ANY.
func (c *Client) optionalPort(args []string) (openflow.PortNo, error) {
	if len(args) < 2 || strings.EqualFold(args[1], "all") {
		return openflow.PortAny, nil
	}
	return c.portOf(args[0], args[1])
}

// dumpPortsDesc asks for all ports, for OpenFlow 1.3 cannot ask for one.
func (c *Client) dumpPortsDesc(args []string) error {
	if _, err := c.optionalPort(args); err != nil {
		return err
	}
	return c.dump(args[0], &openflow.MultipartRequest{Type: openflow.MultipartPortDesc})
}

func (c *Client) queueStats(args []string) error {
	r := &openflow.QueueStatsRequest{Port: openflow.PortAny, Queue: openflow.QueueAll}
	var err error
	if r.Port, err = c.optionalPort(args); err != nil {
		return err
	}
	if len(args) > 2 && !strings.EqualFold(args[2], "all") {
		n, err := strconv.ParseUint(args[2], 0, 32)
		if err != nil {
			return fmt.Errorf("%q is not the number of a queue", args[2])
		}
		r.Queue = uint32(n)
	}
	return c.dump(args[0], &openflow.MultipartRequest{Type: openflow.MultipartQueue, Records: []openflow.Record{r}})
}

func (c *Client) queueGetConfig(args []string) error {
	port, err := c.optionalPort(args)
	if err != nil {
		return err
	}
	return c.dump(args[0], &openflow.QueueGetConfigRequest{Port: port})
}

// dumpTableFeatures prints all parts as one.
func (c *Client) dumpTableFeatures(args []string) error {
	m := &openflow.MultipartRequest{Type: openflow.MultipartTableFeatures}
	if c.JSON {
		return c.dump(args[0], m)
	}
	var list []openflow.TableFeatures
	if err := c.ask(args[0], m, func(r openflow.Record) {
		if t, ok := r.(*openflow.TableFeatures); ok {
			list = append(list, *t)
		}
	}); err != nil {
		return err
	}
	_, err := c.Out.Write(ofctl.AppendTableFeatures(nil, list))
	return err
}

func (c *Client) dumpGroups(args []string) error {
	m := &openflow.MultipartRequest{Type: openflow.MultipartGroupDesc}
	if len(args) > 1 {
		id, err := ofctl.ParseGroupID(args[1])
		if isNumber(args[1]) {
			id, err = ofctl.ParseGroupID("group_id=" + args[1])
		}
		if err != nil {
			return err
		}
		m.Records = append(m.Records, &openflow.GroupStatsRequest{Group: id})
	}
	return c.dump(args[0], m)
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func (c *Client) dumpGroupStats(args []string) error {
	if _, err := c.namesToAccept(args[0]); err != nil {
		return err
	}
	r := &openflow.GroupStatsRequest{Group: openflow.GroupAll}
	if len(args) > 1 {
		var err error
		if r.Group, err = ofctl.ParseGroupID(args[1]); err != nil {
			return err
		}
	}
	return c.dump(args[0], &openflow.MultipartRequest{Type: openflow.MultipartGroup, Records: []openflow.Record{r}})
}

// meters makes the commands that ask for all meters or one.
func meters(t openflow.MultipartType) func(*Client, []string) error {
	return func(c *Client, args []string) error {
		r := &openflow.MeterRequest{Meter: openflow.MeterAll}
		if len(args) > 1 {
			var err error
			if r.Meter, err = ofctl.ParseMeterID(args[1]); err != nil {
				return err
			}
		}
		return c.dump(args[0], &openflow.MultipartRequest{Type: t, Records: []openflow.Record{r}})
	}
}

// config asks for the switch's configuration.
func (s *session) config() (*openflow.SwitchConfig, error) {
	raw, err := s.transact(&openflow.GetConfigRequest{})
	if err != nil {
		return nil, err
	}
	m, err := s.decode(raw)
	r, ok := m.(*openflow.GetConfigReply)
	if err != nil || !ok {
		return nil, s.refused(raw)
	}
	return &r.SwitchConfig, nil
}

func (c *Client) getFrags(args []string) error {
	s, err := c.open(args[0])
	if err != nil {
		return err
	}
	defer s.close()
	cfg, err := s.config()
	switch {
	case err != nil:
		return err
	case c.JSON:
		return c.writeJSON(map[string]any{"frags": cfg.Flags.String(), "miss_send_len": cfg.MissSendLen})
	}
	fmt.Fprintln(c.Out, cfg.Flags)
	return nil
}

func (c *Client) setFrags(args []string) error {
	words := map[string]openflow.FragFlags{"normal": openflow.FragNormal, "drop": openflow.FragDrop, "reassemble": openflow.FragReasm}
	want, ok := words[args[1]]
	if !ok {
		return fmt.Errorf("there is no way %q with fragments: expected normal, drop or reassemble", args[1])
	}
	s, err := c.open(args[0])
	if err != nil {
		return err
	}
	defer s.close()
	cfg, err := s.config()
	if err != nil || cfg.Flags == want {
		return err
	}
	set := &openflow.SetConfig{SwitchConfig: *cfg}
	set.Flags = want
	if err := s.apply(set); err != nil {
		return err
	}
	if cfg, err = s.config(); err == nil && cfg.Flags != want {
		err = fmt.Errorf("%s keeps %s: it probably cannot do %s", args[0], cfg.Flags, want)
	}
	return err
}

// pings is how often ping asks.
const pings = 10

func (c *Client) ping(args []string) error {
	size := 64
	if len(args) > 1 {
		var err error
		if size, err = strconv.Atoi(args[1]); err != nil || size < 0 || size > openflow.MaxMessage-openflow.HeaderSize {
			return fmt.Errorf("%q: expected how many bytes to send, 0 to %d", args[1], openflow.MaxMessage-openflow.HeaderSize)
		}
	}
	s, err := c.open(args[0])
	if err != nil {
		return err
	}
	defer s.close()
	list := []object{}
	for range pings {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i*7 + int(c.xid))
		}
		began := c.Now()
		xid, err := s.send(&openflow.EchoRequest{Data: data})
		if err != nil {
			return err
		}
		raw, err := s.answer(xid)
		if err != nil {
			return err
		}
		if h := openflow.ReadHeader(raw); h.Type != openflow.TypeEchoReply || string(raw[openflow.HeaderSize:]) != string(data) {
			return fmt.Errorf("%s answered an echo request with something else:\n%s", args[0], strings.TrimRight(ofctl.Message(raw, nil), "\n"))
		}
		ms := float64(c.Now().Sub(began)) / float64(time.Millisecond)
		list = append(list, object{"bytes": size, "xid": xid, "milliseconds": ms})
		if !c.JSON {
			fmt.Fprintf(c.Out, "%d bytes from %s: xid=%08x time=%.1f ms\n", size, args[0], xid, ms)
		}
	}
	if c.JSON {
		return c.writeJSON(list)
	}
	return nil
}

// benchmark sends echo requests one after the other, as ovs-ofctl does, and tells how long they take.
func (c *Client) benchmark(args []string) error {
	size, err := strconv.Atoi(args[1])
	if most := openflow.MaxMessage - openflow.HeaderSize; err != nil || size < 0 || size > most {
		return fmt.Errorf("%q: expected how many bytes to send, 0 to %d", args[1], most)
	}
	count, err := strconv.Atoi(args[2])
	if err != nil || count < 0 {
		return fmt.Errorf("%q: expected how many requests to send, 0 or more", args[2])
	}
	s, err := c.open(args[0])
	if err != nil {
		return err
	}
	defer s.close()
	total := (size + openflow.HeaderSize) * count
	if !c.JSON {
		fmt.Fprintf(c.Out, "Sending %d packets * %d bytes (with header) = %d bytes total\n", count, size+openflow.HeaderSize, total)
	}
	data := make([]byte, size)
	began := c.Now()
	for range count {
		raw, err := s.transact(&openflow.EchoRequest{Data: data})
		if err != nil {
			return err
		}
		if h := openflow.ReadHeader(raw); h.Type != openflow.TypeEchoReply || len(raw) != openflow.HeaderSize+size {
			return fmt.Errorf("%s answered an echo request with something else:\n%s", args[0], strings.TrimRight(ofctl.Message(raw, nil), "\n"))
		}
	}
	span := c.Now().Sub(began)
	rate := func(n int) float64 { return float64(n) / max(span.Seconds(), 1e-9) }
	if c.JSON {
		return c.writeJSON(object{"packets": count, "bytes": total, "milliseconds": span.Seconds() * 1000, "packets_per_s": rate(count), "bytes_per_s": rate(total)})
	}
	fmt.Fprintf(c.Out, "Finished in %.1f ms (%.0f packets/s) (%.0f bytes/s)\n", span.Seconds()*1000, rate(count), rate(total))
	return nil
}

func (c *Client) probe(args []string) error {
	s, err := c.open(args[0])
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.queue(0, &openflow.EchoRequest{}); err != nil {
		return err
	}
	raw, err := s.answer(0)
	if err != nil {
		return err
	}
	if len(raw) != openflow.HeaderSize {
		return fmt.Errorf("%s answered an echo request with something else:\n%s", args[0], strings.TrimRight(ofctl.Message(raw, nil), "\n"))
	}
	if c.JSON {
		return c.writeJSON(object{"answered": true})
	}
	return nil
}
