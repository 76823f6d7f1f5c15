package conformance

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
	"github.com/weirswitch/weir/ports"
)

// Multipart messages: section 7.3.5. Requests in several parts and TABLE_FEATURES with a body are in
// agent/table_test.go, flows and groups in parts in agent/multipart_test.go and agent/group_test.go.

// manyPorts adds ports 5 to 1100.
func manyPorts(c *agent.BridgeConfig, _ *agent.Env) {
	for no := uint32(numPorts + 1); no <= 1100; no++ {
		name := fmt.Sprintf("p%d", no)
		c.Ports = append(c.Ports, agent.PortConfig{Spec: ports.Spec{Number: no, Name: name, Kind: ports.KindPipe, Target: name}})
	}
}

// manyQueues gives each of ports 1 to 40 as many queues as a port may have.
func manyQueues(c *agent.BridgeConfig, e *agent.Env) {
	manyPorts(c, e)
	c.Ports = c.Ports[:40]
	for i := range c.Ports {
		c.Ports[i].LinkRate = 1e9
		for id := range uint32(64) {
			c.Ports[i].Queues = append(c.Ports[i].Queues, agent.QueueConfig{ID: id, MinRate: 1e6, MaxRate: 1e8})
		}
	}
}

// another is one more connection, which gives every message with its bytes.
type another struct {
	s    *stage
	conn *openflow.Conn
}

func (s *stage) another() another {
	s.t.Helper()
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- s.sw.Serve(near) }()
	s.t.Cleanup(func() { far.Close(); <-served })
	a := another{s, openflow.NewConn(far)}
	a.next()
	must(s.t, a.conn.Send(1, openflow.NewHello(openflow.Version)))
	return a
}

// next is the next message and its bytes.
func (a another) next() (openflow.Message, []byte) {
	a.s.t.Helper()
	m, _, raw, err := a.conn.Read()
	must(a.s.t, err)
	return m, raw
}

// TestRepliesInParts: what does not fit a message comes in several: the same xid, whole records, none above
// 64 KiB, REPLY_MORE in all but the last.
func TestRepliesInParts(t *testing.T) {
	request := func(kind openflow.MultipartType, body ...openflow.Record) *openflow.MultipartRequest {
		return &openflow.MultipartRequest{Type: kind, Records: body}
	}
	gather := func(s *stage, m *openflow.MultipartRequest, want int) (list []openflow.Record) {
		s.t.Helper()
		a := s.another()
		must(s.t, a.conn.Send(4711, m))
		parts := 0
		for more := true; more; parts++ {
			got, raw := a.next()
			r, is := got.(*openflow.MultipartReply)
			if !is || r.Type != m.Type || openflow.ReadHeader(raw).XID != 4711 || len(raw) > openflow.MaxMessage || len(r.Records) == 0 {
				s.t.Fatalf("part %d of %d bytes: %v", parts, len(raw), got)
			}
			list = append(list, r.Records...)
			more = r.More
		}
		if len(list) != want || parts < 2 {
			s.t.Errorf("%s: %d records in %d parts, want %d", m.Type, len(list), parts, want)
		}
		return list
	}
	few := []options{func(c *agent.BridgeConfig, _ *agent.Env) { c.Tables = 3 }}
	perform(t, []play{
		{name: "PORT_DESC and PORT_STATS of 1100 ports", section: "7.3.5.6, 7.3.5.7", change: append(few, manyPorts), costly: true, run: func(s *stage) {
			for i, r := range gather(s, request(openflow.MultipartPortDesc), 1100) {
				if p := r.(*openflow.Port); int(p.No) != i+1 || p.Name != fmt.Sprintf("p%d", i+1) {
					s.t.Fatalf("record %d: %v", i, p)
				}
			}
			for i, r := range gather(s, request(openflow.MultipartPortStats, &openflow.PortStatsRequest{Port: openflow.PortAny}), 1100) {
				if p := r.(*openflow.PortStats); int(p.Port) != i+1 {
					s.t.Fatalf("record %d: %v", i, p)
				}
			}
		}},
		{name: "QUEUE of 2560 queues", section: "7.3.5.8", change: append(few, manyQueues), costly: true, run: func(s *stage) {
			gather(s, request(openflow.MultipartQueue, &openflow.QueueStatsRequest{Port: openflow.PortAny, Queue: openflow.QueueAll}), 2560)
		}},
		{name: "METER and METER_CONFIG of 3000 meters", section: "7.3.5.12, 7.3.5.13", change: few, run: func(s *stage) {
			var list []openflow.Message
			for id := range uint32(3000) {
				list = append(list, meter(id+1, pktps, drop(id, 0)))
			}
			must(s.t, s.c.Apply(list...))
			all := &openflow.MeterRequest{Meter: openflow.MeterAll}
			for i, r := range gather(s, request(openflow.MultipartMeterConfig, all), 3000) {
				if c := r.(*openflow.MeterConfig); int(c.Meter) != i+1 || int(c.Bands[0].Rate) != i {
					s.t.Fatalf("record %d: %v", i, c)
				}
			}
			gather(s, request(openflow.MultipartMeter, all), 3000)
		}},
		{name: "TABLE_FEATURES of 254 tables", section: "7.3.5.5", run: func(s *stage) {
			gather(s, request(openflow.MultipartTableFeatures), 254)
		}},
		{name: "GROUP and GROUP_DESC of 2000 groups", section: "7.3.5.9, 7.3.5.10", change: few, run: func(s *stage) {
			var list []openflow.Message
			for id := range uint32(2000) {
				list = append(list, group(id, groupAll, bucket(out(2)), bucket(out(3))))
			}
			must(s.t, s.c.Apply(list...))
			gather(s, request(openflow.MultipartGroupDesc), 2000)
			gather(s, request(openflow.MultipartGroup, &openflow.GroupStatsRequest{Group: openflow.GroupAll}), 2000)
		}},
		{name: "queues that no single QUEUE_GET_CONFIG_REPLY holds", section: "7.3.6", change: append(few, manyQueues), costly: true, run: func(s *stage) {
			s.refused(&openflow.QueueGetConfigRequest{Port: openflow.PortAny}, openflow.ErrQueueOpFailed, openflow.QOFCBadPort)
			r, err := oftest.Ask[*openflow.QueueGetConfigReply](s.c, &openflow.QueueGetConfigRequest{Port: 40})
			must(s.t, err)
			s.same("queues of one port", len(r.Queues), 64)
		}},
	})
}

// TestMultipartLengths: a body of any length but the right one is BAD_LEN, for each type; types that there
// are not are BAD_MULTIPART.
func TestMultipartLengths(t *testing.T) {
	bodies := map[openflow.MultipartType]int{
		openflow.MultipartDesc: 0, openflow.MultipartFlow: 40, openflow.MultipartAggregate: 40, openflow.MultipartTable: 0,
		openflow.MultipartPortStats: 8, openflow.MultipartQueue: 8, openflow.MultipartGroup: 8, openflow.MultipartGroupDesc: 0,
		openflow.MultipartGroupFeatures: 0, openflow.MultipartMeter: 8, openflow.MultipartMeterConfig: 8, openflow.MultipartMeterFeatures: 0,
		openflow.MultipartPortDesc: 0,
	}
	badLen := failure(openflow.ErrBadRequest, openflow.BRCBadLen)
	ask := func(kind openflow.MultipartType, n int, body ...byte) *rawRequest {
		head := slices.Concat(u16(int(kind)), u16(0), u32(0), body)
		return &rawRequest{kind: openflow.TypeMultipartRequest, body: append(head, make([]byte, n-len(body))...)}
	}
	var cases []conform
	for kind, right := range bodies {
		for _, n := range []int{0, 4, 7, 8, 16, 32, 39, 41, 48} {
			c := conform{name: fmt.Sprintf("%s with %d bytes", kind, n), section: "7.3.5", raw: ask(kind, n), fails: badLen}
			if n == right {
				continue
			}
			if right == 40 && n > 40 {
				// what follows the fixed part is the match
				c.fails = failure(openflow.ErrBadMatch, openflow.BMCBadType)
			}
			cases = append(cases, c)
		}
	}
	for _, kind := range []openflow.MultipartType{14, 15, 100, 0x8000, 0xfffe} {
		for _, n := range []int{0, 8, 64} {
			cases = append(cases, conform{name: fmt.Sprintf("type %d with %d bytes", kind, n), section: "7.3.5", raw: ask(kind, n),
				fails: failure(openflow.ErrBadRequest, openflow.BRCBadMultipart)})
		}
	}
	cases = append(cases,
		conform{name: "no multipart header", section: "7.3.5", raw: &rawRequest{kind: openflow.TypeMultipartRequest, body: make([]byte, 4)}, fails: badLen},
		conform{name: "an experimenter's without its number", section: "7.3.5.16", raw: ask(openflow.MultipartExperimenter, 4), fails: badLen},
		conform{name: "a stranger's", section: "7.3.5.16", raw: ask(openflow.MultipartExperimenter, 8, 0, 1, 2, 3), fails: failure(openflow.ErrBadRequest, openflow.BRCBadExperimenter)},
		conform{name: "a table that says it is shorter than it can be", section: "7.3.5.5", raw: ask(openflow.MultipartTableFeatures, 64, 0, 63), fails: badLen},
		conform{name: "a table that says it is longer than the message", section: "7.3.5.5", raw: ask(openflow.MultipartTableFeatures, 64, 0, 72), fails: badLen},
		conform{name: "half a table", section: "7.3.5.5", raw: ask(openflow.MultipartTableFeatures, 32, 0, 32), fails: badLen},
		conform{name: "FLOW of a table that is not there", section: "7.3.5.2", raw: ask(openflow.MultipartFlow, 40, slices.Concat([]byte{254, 0, 0, 0}, u32(-1), u32(-1), make([]byte, 20), u16(1), u16(4))...),
			fails: failure(openflow.ErrBadRequest, openflow.BRCBadTableID)},
	)
	check(t, cases)
}

// TestReplies: what each type answers on a switch with something to tell, and with nothing.
func TestReplies(t *testing.T) {
	perform(t, []play{
		{name: "nothing there", section: "7.3.5", run: func(s *stage) {
			all := openflow.AllFlows()
			for kind, body := range map[openflow.MultipartType][]openflow.Record{
				openflow.MultipartFlow: {all}, openflow.MultipartQueue: {&openflow.QueueStatsRequest{Port: openflow.PortAny, Queue: openflow.QueueAll}},
				openflow.MultipartGroup: {&openflow.GroupStatsRequest{Group: openflow.GroupAll}}, openflow.MultipartGroupDesc: nil,
				openflow.MultipartMeter: {&openflow.MeterRequest{Meter: openflow.MeterAll}}, openflow.MultipartMeterConfig: {&openflow.MeterRequest{Meter: openflow.MeterAll}},
				openflow.MultipartPortStats: {&openflow.PortStatsRequest{Port: 99}},
			} {
				list, err := s.c.Multipart(kind, body...)
				must(s.t, err)
				s.same(kind.String(), len(list), 0)
			}
			s.same("AGGREGATE", *ask[*openflow.AggregateStats](s, openflow.MultipartAggregate, all)[0], openflow.AggregateStats{})
		}},
		{name: "DESC", section: "7.3.5.1", change: []options{func(c *agent.BridgeConfig, _ *agent.Env) {
			c.Desc, c.DatapathDesc = agent.DescConfig{Manufacturer: "m", Hardware: "h", Software: "s", Serial: "n"}, "d"
		}}, run: func(s *stage) {
			s.same("texts", *ask[*openflow.Desc](s, openflow.MultipartDesc)[0], openflow.Desc{Manufacturer: "m", Hardware: "h", Software: "s", Serial: "n", Datapath: "d"})
		}},
		{name: "PORT_STATS", section: "7.3.5.6", run: func(s *stage) {
			s.do(flow(anyIP, apply(out(2))))
			s.gives(1, plain, to(2, plain))
			s.gives(1, frame(eth{}, arp{}), nil)
			s.pass(1250 * ms)
			n := uint64(len(plain))
			for port, want := range map[openflow.PortNo][4]uint64{1: {2, n + 42, 0, 0}, 2: {0, 0, 1, n}, 3: {}} {
				p := ask[*openflow.PortStats](s, openflow.MultipartPortStats, &openflow.PortStatsRequest{Port: port})[0]
				s.same("counters", [4]uint64{p.RxPackets, p.RxBytes, p.TxPackets, p.TxBytes}, want)
				s.same("duration", []uint32{uint32(p.Port), p.DurationSec, p.DurationNsec}, []uint32{uint32(port), 1, 25e7})
			}
			s.same("all", len(ask[*openflow.PortStats](s, openflow.MultipartPortStats, &openflow.PortStatsRequest{Port: openflow.PortAny})), numPorts)
		}},
		{name: "PORT_DESC", section: "7.2.1", run: func(s *stage) {
			s.do(portMod(s, 2, openflow.PortNoFwd|openflow.PortNoPacketIn, openflow.PortNoFwd|openflow.PortNoPacketIn), portMod(s, 3, openflow.PortDown, openflow.PortDown))
			list, err := s.c.Ports()
			must(s.t, err)
			for i, p := range list { // whether a link goes down with its port is the device's affair
				config := map[int]openflow.PortConfig{1: openflow.PortNoFwd | openflow.PortNoPacketIn, 2: openflow.PortDown}[i]
				state := map[bool]openflow.PortState{false: openflow.PortLive, true: p.State &^ openflow.PortLive}[i == 2]
				if int(p.No) != i+1 || p.Name != fmt.Sprintf("p%d", i+1) || p.HWAddr == (openflow.MAC{}) || p.Config != config || p.State != state {
					s.t.Errorf("port %d: %v", i+1, p)
				}
			}
		}},
	})
}
