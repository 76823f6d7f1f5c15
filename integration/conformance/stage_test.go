package conformance

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// play is a case in steps, for what a table of requests and frames cannot say: counters, time, messages.
type play struct {
	name    string
	section string
	change  []options
	costly  bool // runs with the cache alone, which has no part in it
	run     func(s *stage)
}

// stage is where a play runs: a fresh switch, whose test ends at the first step that goes wrong.
type stage struct {
	*bench
	t *testing.T
}

// noOffload is a frame as a wire carries it.
var noOffload packet.Offload

// perform runs each play with and without the flow cache.
func perform(t *testing.T, plays []play, change ...options) {
	t.Helper()
	names := map[string]bool{}
	for _, p := range plays {
		if p.name == "" || p.section == "" || names[p.name] {
			t.Fatalf("play %q of section %q: each needs a section and a name of its own", p.name, p.section)
		}
		names[p.name] = true
		t.Run(p.name, func(t *testing.T) {
			ways := map[string][]options{"cache": nil, "no cache": {withoutCache}}
			if p.costly {
				delete(ways, "no cache")
			}
			for what, more := range ways {
				t.Run(what, func(t *testing.T) { p.run(&stage{newBench(t, slices.Concat(more, change, p.change)...), t}) })
			}
		})
	}
}

// do makes requests that are all accepted.
func (s *stage) do(list ...openflow.Message) {
	s.t.Helper()
	for _, m := range list {
		if err := s.c.Apply(m); err != nil {
			s.t.Fatalf("%v\n %v", m, err)
		}
	}
}

// refused makes a request that earns an error.
func (s *stage) refused(m openflow.Message, kind openflow.ErrorType, code uint16) {
	s.t.Helper()
	if err := wantError(s.c.Apply(m), failure(kind, code)); err != nil {
		s.t.Errorf("%v\n %v", m, err)
	}
}

// gives lets a frame in and wants what comes of it: frames by port, then lines for messages.
func (s *stage) gives(port int, frame []byte, out []sent, lines ...string) {
	s.t.Helper()
	s.take()
	must(s.t, s.inject(port, frame, noOffload))
	p := probe{out: out}
	if err := compare(s.take(), append(p.want(), lines...)); err != nil {
		s.t.Fatal(err)
	}
}

// repeat lets a frame in n times and counts the frames that leave by a port.
func (s *stage) repeat(n, port int, frame []byte, by int) (left int) {
	s.t.Helper()
	s.take()
	for range n {
		must(s.t, s.inject(port, frame, noOffload))
	}
	return s.leaving()[by]
}

// burst lets different frames in at once and tells by which port each of them left.
func (s *stage) burst(port int, frames ...[]byte) map[string]int {
	s.t.Helper()
	s.take()
	for _, f := range frames {
		must(s.t, s.send(port, f, noOffload))
	}
	must(s.t, s.received(port))
	must(s.t, s.settle())
	way := map[string]int{}
	for i, list := range s.frames() {
		for _, f := range list {
			way[string(f.frame)] = i + 1
		}
	}
	s.same("frames that left", len(way), len(frames))
	return way
}

// leaving takes what left by each port and counts it.
func (s *stage) leaving() [numPorts + 1]int {
	var n [numPorts + 1]int
	for i, list := range s.frames() {
		n[i+1] = len(list)
	}
	return n
}

// says wants the messages that the switch sent by itself since the last step, one line each.
func (s *stage) says(lines ...string) {
	s.t.Helper()
	must(s.t, s.c.Barrier())
	if err := compare(s.take(), lines); err != nil {
		s.t.Fatal(err)
	}
}

// pass moves the clock.
func (s *stage) pass(d time.Duration) { s.clock.Advance(d) }

// same compares two values.
func (s *stage) same(what string, got, want any) {
	s.t.Helper()
	if !reflect.DeepEqual(got, want) {
		s.t.Errorf("%s:\n  got  %v\n  want %v", what, got, want)
	}
}

// ask is a multipart request for records of one type.
func ask[R openflow.Record](s *stage, kind openflow.MultipartType, body ...openflow.Record) []R {
	s.t.Helper()
	list, err := oftest.Records[R](s.c, kind, body...)
	must(s.t, err)
	return list
}

// flows are the entries of all tables, by cookie.
func (s *stage) flows() map[uint64]*openflow.FlowStats {
	s.t.Helper()
	byCookie := map[uint64]*openflow.FlowStats{}
	for _, f := range ask[*openflow.FlowStats](s, openflow.MultipartFlow, openflow.AllFlows()) {
		byCookie[f.Cookie] = f
	}
	return byCookie
}

// cookies are those of the entries that a request selects, in ascending order.
func (s *stage) cookies(change ...func(*openflow.FlowStatsRequest)) []uint64 {
	s.t.Helper()
	r := openflow.AllFlows()
	for _, f := range change {
		f(r)
	}
	list := []uint64{}
	for _, f := range ask[*openflow.FlowStats](s, openflow.MultipartFlow, r) {
		list = append(list, f.Cookie)
	}
	slices.Sort(list)
	return list
}

// edit changes a FLOW_MOD.
type edit func(*openflow.FlowMod)

// with is the FLOW_MOD after some changes.
func with(m *openflow.FlowMod, edits ...edit) *openflow.FlowMod {
	c := *m
	for _, f := range edits {
		f(&c)
	}
	return &c
}

func cookie(v uint64) edit   { return func(m *openflow.FlowMod) { m.Cookie = v } }
func priority(v uint16) edit { return func(m *openflow.FlowMod) { m.Priority = v } }
func inTable(v uint8) edit   { return func(m *openflow.FlowMod) { m.TableID = v } }
func idle(v uint16) edit     { return func(m *openflow.FlowMod) { m.IdleTimeout = v } }
func hard(v uint16) edit     { return func(m *openflow.FlowMod) { m.HardTimeout = v } }
func outGroup(v uint32) edit { return func(m *openflow.FlowMod) { m.OutGroup = v } }
func cookieIs(v, mask uint64) edit {
	return func(m *openflow.FlowMod) { m.Cookie, m.CookieMask = v, mask }
}
func outPort(v openflow.PortNo) edit         { return func(m *openflow.FlowMod) { m.OutPort = v } }
func command(c openflow.FlowModCommand) edit { return func(m *openflow.FlowMod) { m.Command = c } }
func flags(f openflow.FlowModFlags) edit     { return func(m *openflow.FlowMod) { m.Flags = f } }
func doing(list ...openflow.Instruction) edit {
	return func(m *openflow.FlowMod) { m.Instructions = openflow.NewInstructions(list...) }
}

// removed is a FLOW_REMOVED as hear writes it.
func removed(why openflow.FlowRemovedReason, table uint8, cookie uint64, packets, bytes int) string {
	return fmt.Sprintf("flow-removed %s table=%d cookie=%#x packets=%d bytes=%d", why, table, cookie, packets, bytes)
}

// meter is a METER_MOD that adds.
func meter(id uint32, flags openflow.MeterFlags, bands ...openflow.Band) *openflow.MeterMod {
	return &openflow.MeterMod{Meter: id, Flags: flags, Bands: bands}
}

// useMeter is the METER instruction.
func useMeter(id uint32) openflow.Instruction {
	return openflow.Instruction{Type: openflow.InstructionMeter, Meter: id}
}
