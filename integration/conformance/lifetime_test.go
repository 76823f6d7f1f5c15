package conformance

import (
	"testing"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// The life of flow entries: sections 5.5, 5.8, 6.4, 7.3.4.1 and 7.4.2: timeouts, counters, FLOW_REMOVED, and
// the frame that a FLOW_MOD names by its buffer.

const ms = time.Millisecond

// told is an entry of which a FLOW_REMOVED tells.
func told(edits ...edit) *openflow.FlowMod {
	return with(with(flow(anyUDP, apply(out(2))), cookie(1), flags(openflow.FlowSendRemoved)), edits...)
}

func TestTimeouts(t *testing.T) {
	const (
		idleOut = openflow.RemovedIdleTimeout
		hardOut = openflow.RemovedHardTimeout
	)
	n := len(someIP)
	// An entry may live up to 100 ms longer than it should, and never less.
	goes := func(s *stage, at time.Duration, line string) {
		s.t.Helper()
		s.pass(at - ms)
		s.says()
		s.pass(101 * ms)
		s.says(line)
		s.same("entries", s.cookies(), []uint64{})
	}
	perform(t, []play{
		{name: "idle, unused", section: "5.5", run: func(s *stage) {
			s.do(told(idle(2)))
			goes(s, 2*time.Second, removed(idleOut, 0, 1, 0, 0))
		}},
		{name: "idle, used", section: "5.5", run: func(s *stage) {
			s.do(told(idle(2)))
			s.pass(1500 * ms)
			s.gives(1, someIP, to(2, someIP))
			goes(s, 2*time.Second, removed(idleOut, 0, 1, 1, n))
		}},
		{name: "idle, used again and again", section: "5.5", run: func(s *stage) {
			s.do(told(idle(2)))
			for range 10 {
				s.pass(1900 * ms)
				s.gives(1, someIP, to(2, someIP))
			}
			goes(s, 2*time.Second, removed(idleOut, 0, 1, 10, 10*n))
		}},
		{name: "hard, used", section: "5.5", run: func(s *stage) {
			s.do(told(hard(2)))
			s.pass(1500 * ms)
			s.gives(1, someIP, to(2, someIP))
			goes(s, 500*ms, removed(hardOut, 0, 1, 1, n))
		}},
		{name: "an hour", section: "5.5", run: func(s *stage) {
			s.do(told(hard(3600), idle(65535)))
			goes(s, time.Hour, removed(hardOut, 0, 1, 0, 0))
		}},
		{name: "both, idle first", section: "5.5", run: func(s *stage) {
			s.do(told(idle(1), hard(9)))
			goes(s, time.Second, removed(idleOut, 0, 1, 0, 0))
		}},
		{name: "both, hard first", section: "5.5", run: func(s *stage) {
			s.do(told(idle(9), hard(1)))
			goes(s, time.Second, removed(hardOut, 0, 1, 0, 0))
		}},
		{name: "none", section: "5.5", run: func(s *stage) {
			s.do(told())
			s.pass(time.Hour)
			s.says()
			s.same("entries", s.cookies(), []uint64{1})
		}},
		{name: "without the flag nobody is told", section: "6.4", run: func(s *stage) {
			s.do(told(idle(1), flags(0)))
			s.pass(2 * time.Second)
			s.says()
			s.same("entries", s.cookies(), []uint64{})
		}},
		{name: "a replacement begins anew", section: "6.4", run: func(s *stage) {
			s.do(told(hard(2)))
			s.pass(1500 * ms)
			s.do(told(hard(2), cookie(2)))
			goes(s, 2*time.Second, removed(hardOut, 0, 2, 0, 0))
		}},
		{name: "a modified entry goes on", section: "6.4", run: func(s *stage) {
			s.do(told(hard(2)))
			s.pass(1500 * ms)
			s.do(with(flow(everything, apply(out(3))), command(modify), hard(9)))
			goes(s, 500*ms, removed(hardOut, 0, 1, 0, 0))
		}},
		{name: "a request for statistics is no use", section: "5.5", run: func(s *stage) {
			s.do(told(idle(2)))
			s.pass(time.Second)
			s.flows()
			goes(s, time.Second, removed(idleOut, 0, 1, 0, 0))
		}},
		{name: "each at its own time", section: "5.5", run: func(s *stage) {
			for i := range uint16(3) {
				s.do(told(hard(i+1), cookie(uint64(i+1)), priority(i+1)))
			}
			for i := range uint64(3) {
				s.pass(time.Second + 40*ms)
				s.says(removed(hardOut, 0, i+1, 0, 0))
			}
		}},
	})
}

// TestFlowRemoved: what the message says.
func TestFlowRemoved(t *testing.T) {
	gone := func(s *stage) *openflow.FlowRemoved {
		s.t.Helper()
		must(s.t, s.c.Barrier())
		m, err := oftest.Expect[*openflow.FlowRemoved](s.c, nil)
		must(s.t, err)
		return m
	}
	m := told(inTable(3), priority(77), idle(50), hard(60), cookie(0x1122334455667788))
	want := openflow.FlowRemoved{Cookie: m.Cookie, Priority: 77, Reason: openflow.RemovedDelete, TableID: 3, DurationSec: 12, DurationNsec: 345e6,
		IdleTimeout: 50, HardTimeout: 60, Match: anyUDP}
	life := 12*time.Second + 345*ms
	check := func(s *stage, want openflow.FlowRemoved) {
		s.t.Helper()
		if got := gone(s); got.String() != want.String() {
			s.t.Errorf("\n got  %v\n want %v", got, &want)
		}
	}
	perform(t, []play{
		{name: "deleted", section: "7.4.2", run: func(s *stage) {
			s.do(m)
			s.pass(life)
			s.do(oftest.DeleteFlows(everything))
			check(s, want)
		}},
		{name: "deleted strictly", section: "7.4.2", run: func(s *stage) {
			s.do(m)
			s.pass(life)
			s.do(with(m, command(removeStrict), cookie(0)))
			check(s, want)
		}},
		{name: "with its group", section: "6.5", run: func(s *stage) {
			s.do(&openflow.GroupMod{Group: 4}, with(m, doing(write(openflow.Group(4)))))
			s.pass(life)
			s.do(&openflow.GroupMod{Command: openflow.GroupDelete, Group: 4})
			w := want
			w.Reason = openflow.RemovedGroupDelete
			check(s, w)
		}},
		{name: "with its meter", section: "6.6", run: func(s *stage) {
			// 1.3 has no reason of its own for it; 1.4 calls it METER_DELETE.
			s.do(meter(9, openflow.MeterKbps), with(m, doing(useMeter(9))))
			s.pass(life)
			s.do(&openflow.MeterMod{Command: openflow.MeterDelete, Meter: 9})
			check(s, want)
		}},
		{name: "with its counters", section: "5.8", run: func(s *stage) {
			s.do(flow(everything, goTo(3)), with(m, doing(apply(out(2)))))
			for range 5 {
				s.gives(1, someIP, to(2, someIP))
			}
			s.pass(life)
			s.do(oftest.DeleteFlows(everything))
			w := want
			w.PacketCount, w.ByteCount = 5, uint64(5*len(someIP))
			check(s, w)
		}},
		{name: "with the counters of the entry it replaced", section: "6.4", run: func(s *stage) {
			s.do(told())
			s.gives(1, someIP, to(2, someIP))
			s.do(told(cookie(2)), oftest.DeleteFlows(everything))
			s.says(removed(openflow.RemovedDelete, 0, 2, 1, len(someIP)))
		}},
		{name: "one for each entry", section: "6.4", run: func(s *stage) {
			s.do(told(), told(priority(200), cookie(2)), told(priority(300), cookie(3), flags(0)), told(inTable(1), cookie(4)))
			s.do(oftest.DeleteFlows(everything))
			left := map[uint64]bool{}
			for range 3 {
				left[gone(s).Cookie] = true
			}
			s.same("told of", left, map[uint64]bool{1: true, 2: true, 4: true})
		}},
		{name: "when the table is reshaped nobody is told", section: "7.3.5.5", change: []options{smallTables}, run: func(s *stage) {
			s.do(told(inTable(2)))
			ask[*openflow.TableFeatures](s, openflow.MultipartTableFeatures, &openflow.TableFeatures{TableID: 0, Name: "one", MaxEntries: 2})
			s.says()
			s.same("entries", s.cookies(), []uint64{})
		}},
	})
}

func TestFlowCounters(t *testing.T) {
	n := uint64(len(someIP))
	perform(t, []play{
		{name: "each entry on the way counts", section: "5.8", run: func(s *stage) {
			s.do(with(flow(everything, goTo(2)), cookie(1)), with(flowIn(2, anyIP, goTo(5)), cookie(2)), with(flowIn(5, anyUDP), cookie(3)),
				with(flowIn(5, everything, apply(out(3))), priority(1), cookie(4)))
			for range 4 {
				s.gives(1, someIP, nil)
			}
			for id, want := range map[uint64]uint64{1: 4, 2: 4, 3: 4, 4: 0} {
				f := s.flows()[id]
				s.same("packets and bytes", []uint64{f.PacketCount, f.ByteCount}, []uint64{want, want * n})
			}
			for i, st := range ask[*openflow.TableStats](s, openflow.MultipartTable)[:7] {
				want := map[int]openflow.TableStats{0: {ActiveCount: 1, LookupCount: 4, MatchedCount: 4}, 2: {ActiveCount: 1, LookupCount: 4, MatchedCount: 4},
					5: {ActiveCount: 2, LookupCount: 4, MatchedCount: 4}}[i]
				want.TableID = uint8(i)
				s.same("table", *st, want)
			}
			sum := ask[*openflow.AggregateStats](s, openflow.MultipartAggregate, openflow.AllFlows())[0]
			s.same("aggregate", *sum, openflow.AggregateStats{PacketCount: 12, ByteCount: 12 * n, FlowCount: 4})
		}},
		{name: "duration", section: "5.8", run: func(s *stage) {
			s.do(with(flow(everything), cookie(1)))
			s.pass(3*time.Second + 250*ms)
			f := s.flows()[1]
			s.same("duration", []uint32{f.DurationSec, f.DurationNsec}, []uint32{3, 250e6})
		}},
		{name: "flags are told", section: "7.3.5.2", run: func(s *stage) {
			all := openflow.FlowSendRemoved | openflow.FlowCheckOverlap | openflow.FlowResetCounts | openflow.FlowNoPacketCounts | openflow.FlowNoByteCounts
			s.do(with(flow(everything), cookie(1), flags(all)))
			s.same("flags", s.flows()[1].Flags, all)
		}},
		{name: "a frame that a meter or an action drops counts", section: "5.8", run: func(s *stage) {
			s.do(with(flow(everything, clearActions()), cookie(1)))
			s.gives(1, someIP, nil)
			s.same("packets", s.flows()[1].PacketCount, uint64(1))
		}},
		{name: "a PACKET_OUT through the tables counts", section: "5.8", run: func(s *stage) {
			s.do(with(flow(everything, apply(out(2))), cookie(1)))
			must(s.t, s.packetOut(openflow.PortController, someIP, out(openflow.PortTable)))
			s.same("packets", s.flows()[1].PacketCount, uint64(1))
		}},
		{name: "fields and instructions come back as they were sent", section: "7.3.5.2", run: func(s *stage) {
			m := flow(matchAs(as(0x0800, 17), masked(openflow.IPv4Dst, 0x0a000000, 0xff00ff00), eq(openflow.InPort, 3), masked(openflow.EthSrc, 1<<40, 1<<40)),
				useMeter(1), apply(set(openflow.IPDSCP, 5), out(2), set(openflow.IPv4Src, 9), out(3)), clearActions(),
				write(out(4), set(openflow.EthDst, 7)), writeMetadata(5, 7), goTo(8))
			s.do(meter(1, openflow.MeterKbps), with(m, cookie(1), idle(3), hard(4), priority(12345)))
			f := s.flows()[1]
			if !f.Match.Equal(m.Match) || !f.Instructions.Equal(m.Instructions) || f.Priority != 12345 || f.IdleTimeout != 3 || f.HardTimeout != 4 {
				s.t.Errorf("sent %v\n got %v", m, f)
			}
		}},
	})
}

// buffering keeps four frames for a second.
func buffering(c *agent.BridgeConfig, _ *agent.Env) {
	c.Buffers = agent.BufferConfig{Number: 4, Age: time.Second}
}

// TestFlowModBuffer: a FLOW_MOD that names a kept frame sends it through the tables (section 6.4).
func TestFlowModBuffer(t *testing.T) {
	toController := openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: 20}
	keep := func(s *stage) uint32 {
		s.t.Helper()
		s.do(miss(0, apply(toController)))
		s.take()
		must(s.t, s.inject(1, someIP, noOffload))
		in, err := oftest.Expect[*openflow.PacketIn](s.c, nil)
		must(s.t, err)
		s.take()
		if in.BufferID == openflow.NoBuffer || len(in.Data) != 20 || int(in.TotalLen) != len(someIP) {
			s.t.Fatalf("not kept: %v", in)
		}
		return in.BufferID
	}
	named := func(id uint32) edit { return func(m *openflow.FlowMod) { m.BufferID = id } }
	leaves := func(s *stage, out ...sent) {
		s.t.Helper()
		must(s.t, s.settle())
		p := probe{out: out}
		s.same("what left", append([]string{}, s.take()...), append([]string{}, p.want()...))
	}
	perform(t, []play{
		{name: "ADD", section: "6.4", run: func(s *stage) {
			s.do(flow(anyUDP, apply(out(2))), with(flow(dns, apply(out(3))), priority(200), named(keep(s))))
			leaves(s, to(3, someIP)...)
		}},
		{name: "ADD to a later table goes through the first one", section: "6.4", run: func(s *stage) {
			id := keep(s)
			s.do(flow(anyUDP, apply(out(2))), with(flowIn(3, dns, apply(out(3))), named(id)))
			leaves(s, to(2, someIP)...)
		}},
		{name: "MODIFY", section: "6.4", run: func(s *stage) {
			id := keep(s)
			s.do(with(miss(0, apply(out(4))), command(modify), named(id)))
			leaves(s, to(4, someIP)...)
		}},
		{name: "DELETE ignores it", section: "7.3.4.1", run: func(s *stage) {
			s.do(with(flow(everything), command(remove), named(keep(s))))
			leaves(s)
		}},
		{name: "a frame serves once", section: "7.4.1", run: func(s *stage) {
			m := with(flow(anyUDP, apply(out(2))), named(keep(s)))
			s.do(m)
			s.refused(m, openflow.ErrBadRequest, openflow.BRCBufferEmpty)
		}},
		{name: "a frame that is too old", section: "7.4.1", run: func(s *stage) {
			m := with(flow(anyUDP, apply(out(2))), cookie(9), named(keep(s)))
			s.pass(1100 * ms)
			s.refused(m, openflow.ErrBadRequest, openflow.BRCBufferUnknown)
			s.same("entries", s.cookies(), []uint64{0}) // the table-miss entry: nothing half-done
		}},
		{name: "a refused FLOW_MOD leaves the frame there", section: "6.4", run: func(s *stage) {
			m := with(flow(anyUDP, apply(out(2))), named(keep(s)))
			s.refused(with(m, inTable(255)), openflow.ErrFlowModFailed, openflow.FMFCBadTableID)
			s.take()
			s.do(m)
			leaves(s, to(2, someIP)...)
		}},
	}, buffering)
}
