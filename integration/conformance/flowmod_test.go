package conformance

import (
	"slices"
	"testing"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
)

// Flow tables: sections 5.1 to 5.5, 6.4 and 7.3.4.1: which entries a FLOW_MOD means and what it does to them.

const (
	modify       = openflow.FlowModify
	modifyStrict = openflow.FlowModifyStrict
	remove       = openflow.FlowDelete
	removeStrict = openflow.FlowDeleteStrict
)

// someIP is a frame of 60 bytes; all entries of family meet it but for those of another port or protocol.
var someIP = frame(eth{}, ip4{}, udp{dst: 53}, text("eighteen bytes....."))

var (
	anyIP  = match(as(0x0800)...)
	anyUDP = match(as(0x0800, 17)...)
	dns    = matchAs(as(0x0800, 17), eq(openflow.UDPDst, 53))
)

// family are entries of growing detail: cookie 1 is the widest. All output to their cookie's port.
func family() []openflow.Message {
	return setup(
		with(flow(everything, apply(out(1))), cookie(1), priority(10)),
		with(flow(anyIP, apply(out(2))), cookie(2), priority(20)),
		with(flow(anyUDP, apply(out(3))), cookie(3), priority(30)),
		with(flow(dns, apply(out(4))), cookie(4), priority(40)),
		with(flow(match(as(0x0806)...), apply(out(2))), cookie(5), priority(20)),
		with(flowIn(3, anyUDP, apply(out(3))), cookie(6), priority(30)),
	)
}

// selections are FLOW_MODs of every kind and the entries of family that they mean.
var selections = []struct {
	name string
	m    *openflow.FlowMod
	hits []uint64 // of table 0
	more []uint64 // besides, when it is a delete
}{
	{"everything", flow(everything), []uint64{1, 2, 3, 4, 5}, nil},
	{"what is IP", flow(anyIP), []uint64{2, 3, 4}, nil},
	{"what is UDP", flow(anyUDP), []uint64{3, 4}, nil},
	{"what is DNS", flow(dns), []uint64{4}, nil},
	{"wider than any entry", flow(matchAs(as(0x0800), eq(openflow.IPProto, 6))), nil, nil},
	{"narrower than any entry", flow(matchAs(as(0x0800, 17), eq(openflow.UDPDst, 53), eq(openflow.UDPSrc, 9))), nil, nil},
	{"the priority does not count", with(flow(anyUDP), priority(40)), []uint64{3, 4}, nil},
	{"an exact cookie", with(flow(everything), cookieIs(3, ^uint64(0))), []uint64{3}, nil},
	{"a masked cookie", with(flow(everything), cookieIs(1, 1)), []uint64{1, 3, 5}, nil},
	{"a cookie of zero under a mask of zero", with(flow(everything), cookieIs(77, 0)), []uint64{1, 2, 3, 4, 5}, nil},
	{"a cookie that none has", with(flow(everything), cookieIs(8, 8)), nil, nil},
	{"cookie and match", with(flow(anyIP), cookieIs(2, 2)), []uint64{2, 3}, nil},
}

// TestSelection: section 6.4: what a loose and a strict MODIFY or DELETE mean.
func TestSelection(t *testing.T) {
	var plays []play
	for _, c := range selections {
		plays = append(plays, play{name: "modify " + c.name, section: "6.4", run: func(s *stage) {
			s.do(family()...)
			s.do(with(c.m, command(modify), doing(goTo(9))))
			var changed []uint64
			for id, f := range s.flows() {
				if f.Instructions.Equal(openflow.NewInstructions(goTo(9))) {
					changed = append(changed, id)
				}
			}
			slices.Sort(changed)
			s.same("changed", changed, c.hits)
		}}, play{name: "delete " + c.name, section: "6.4", run: func(s *stage) {
			s.do(family()...)
			s.do(with(c.m, command(remove)))
			s.same("left", s.cookies(), rest(c.hits))
		}}, play{name: "ask for " + c.name, section: "7.3.5.2", run: func(s *stage) {
			s.do(family()...)
			got := s.cookies(func(r *openflow.FlowStatsRequest) {
				r.TableID, r.Match, r.Cookie, r.CookieMask = 0, c.m.Match, c.m.Cookie, c.m.CookieMask
			})
			s.same("entries", got, append([]uint64{}, c.hits...))
		}})
	}
	perform(t, plays)
}

// rest are the entries of family that are not in hits.
func rest(hits []uint64) []uint64 {
	return slices.DeleteFunc([]uint64{1, 2, 3, 4, 5, 6}, func(v uint64) bool { return slices.Contains(hits, v) })
}

func TestStrict(t *testing.T) {
	left := func(m *openflow.FlowMod, cookies ...uint64) func(*stage) {
		return func(s *stage) {
			s.do(family()...)
			s.do(with(m, command(removeStrict)))
			s.same("left", s.cookies(), cookies)
		}
	}
	perform(t, []play{
		{name: "match and priority", section: "6.4", run: left(with(flow(anyUDP), priority(30)), 1, 2, 4, 5, 6)},
		{name: "another priority", section: "6.4", run: left(with(flow(anyUDP), priority(31)), 1, 2, 3, 4, 5, 6)},
		{name: "the empty match means one entry", section: "6.4", run: left(with(flow(everything), priority(10)), 2, 3, 4, 5, 6)},
		{name: "another cookie", section: "6.4", run: left(with(flow(anyUDP), priority(30), cookieIs(4, ^uint64(0))), 1, 2, 3, 4, 5, 6)},
		{name: "its cookie", section: "6.4", run: left(with(flow(anyUDP), priority(30), cookieIs(3, 3)), 1, 2, 4, 5, 6)},
		{name: "in all tables", section: "6.4", run: left(with(flow(anyUDP), priority(30), inTable(openflow.TableAll)), 1, 2, 4, 5)},
		{name: "one port too much", section: "6.4", run: left(with(flow(anyUDP), priority(30), outPort(4)), 1, 2, 3, 4, 5, 6)},
		{name: "its port", section: "6.4", run: left(with(flow(anyUDP), priority(30), outPort(3)), 1, 2, 4, 5, 6)},
		{name: "modify", section: "6.4", run: func(s *stage) {
			s.do(family()...)
			s.do(with(flow(anyUDP, apply(out(1))), command(modifyStrict), priority(30)))
			s.do(with(flow(anyIP, apply(out(1))), command(modifyStrict), priority(30)))
			for id, f := range s.flows() {
				want := map[uint64]openflow.PortNo{1: 1, 2: 2, 3: 1, 4: 4, 5: 2, 6: 3}[id]
				if !f.Instructions.Equal(openflow.NewInstructions(apply(out(want)))) {
					s.t.Errorf("entry %d: %v", id, f.Instructions)
				}
			}
		}},
	})
}

func TestDeleteFilters(t *testing.T) {
	entries := func(s *stage) {
		s.do(&openflow.GroupMod{Group: 7}, &openflow.GroupMod{Group: 8},
			with(flow(match(eq(openflow.InPort, 1)), apply(out(2))), cookie(1)),
			with(flow(match(eq(openflow.InPort, 2)), write(out(2), openflow.Group(7))), cookie(2)),
			with(flow(match(eq(openflow.InPort, 3)), apply(set(openflow.EthDst, 9), out(3), out(2))), cookie(3)),
			with(flow(match(eq(openflow.InPort, 4)), apply(openflow.Group(8))), cookie(4)),
			with(flow(match(eq(openflow.InPort, 5)), apply(out(openflow.PortInPort))), cookie(5)),
			with(flow(match(eq(openflow.InPort, 6)), goTo(1)), cookie(6)),
			with(flowIn(1, everything, apply(out(2), openflow.Group(7))), cookie(7)),
		)
	}
	var plays []play
	for _, c := range []struct {
		name  string
		table uint8
		port  openflow.PortNo
		group uint32
		hits  []uint64
	}{
		{"out_port", 0, 2, openflow.GroupAny, []uint64{1, 2, 3}},
		{"out_port in the middle of a list", 0, 3, openflow.GroupAny, []uint64{3}},
		{"out_port IN_PORT", 0, openflow.PortInPort, openflow.GroupAny, []uint64{5}},
		{"out_port that none has", 0, 9, openflow.GroupAny, nil},
		{"out_group", 0, openflow.PortAny, 7, []uint64{2}},
		{"out_group under apply_actions", 0, openflow.PortAny, 8, []uint64{4}},
		{"out_port and out_group", 0, 2, 7, []uint64{2}},
		{"out_port and an out_group of another entry", 0, 3, 7, nil},
		{"out_port in all tables", openflow.TableAll, 2, openflow.GroupAny, []uint64{1, 2, 3, 7}},
		{"out_group in all tables", openflow.TableAll, openflow.PortAny, 7, []uint64{2, 7}},
		{"no filter", 0, openflow.PortAny, openflow.GroupAny, []uint64{1, 2, 3, 4, 5, 6}},
	} {
		want := slices.DeleteFunc([]uint64{1, 2, 3, 4, 5, 6, 7}, func(v uint64) bool { return slices.Contains(c.hits, v) })
		plays = append(plays, play{name: "delete by " + c.name, section: "6.4", run: func(s *stage) {
			entries(s)
			s.do(with(flow(everything), command(remove), inTable(c.table), outPort(c.port), outGroup(c.group)))
			s.same("left", s.cookies(), want)
		}}, play{name: "ask by " + c.name, section: "7.3.5.2", run: func(s *stage) {
			entries(s)
			choose := func(r *openflow.FlowStatsRequest) { r.TableID, r.OutPort, r.OutGroup = c.table, c.port, c.group }
			s.same("entries", s.cookies(choose), append([]uint64{}, c.hits...))
			r := openflow.AllFlows()
			choose(r)
			sum := ask[*openflow.AggregateStats](s, openflow.MultipartAggregate, r)
			s.same("aggregate", sum[0].FlowCount, uint32(len(c.hits)))
		}})
	}
	plays = append(plays, play{name: "ADD and MODIFY ignore the filters", section: "6.4", run: func(s *stage) {
		filters := []edit{outPort(9), outGroup(99), cookieIs(5, 0xff)}
		s.do(with(flow(dns, apply(out(1))), append(filters, cookie(5))...))
		s.do(with(flow(dns, apply(out(2))), outPort(9), outGroup(99), command(modify)))
		s.gives(1, someIP, to(2, someIP))
		s.do(with(flow(dns, apply(out(3))), outPort(9), outGroup(99), command(modifyStrict)))
		s.gives(1, someIP, to(3, someIP))
	}})
	perform(t, plays)
}

func TestOverlap(t *testing.T) {
	check := func(m openflow.Match, edits ...edit) *openflow.FlowMod {
		return with(with(flow(m), priority(50), flags(openflow.FlowCheckOverlap)), edits...)
	}
	net := func(v, mask uint64) openflow.Match {
		return matchAs(as(0x0800), masked(openflow.IPv4Dst, v, mask))
	}
	var plays []play
	for _, c := range []struct {
		name     string
		m        *openflow.FlowMod
		overlaps bool
	}{
		// The text lets one sentence refuse it and another replace the entry; Open vSwitch replaces.
		{"the same match", check(net(0x0a000000, 0xff000000)), false},
		{"a narrower one", check(net(0x0a010000, 0xffff0000)), true},
		{"a wider one", check(anyIP), true},
		{"everything", check(everything), true},
		{"another field", check(match(eq(openflow.InPort, 1))), true},
		{"crosswise", check(net(0x00000001, 0x000000ff)), true},
		{"apart in the address", check(net(0x0b000000, 0xff000000)), false},
		{"apart in the type", check(match(as(0x86dd)...)), false},
		{"of another priority", check(anyIP, priority(51)), false},
		{"in another table", check(anyIP, inTable(1)), false},
		{"without the flag", check(anyIP, flags(0)), false},
		{"a modify with the flag", check(anyIP, command(modify)), false},
	} {
		plays = append(plays, play{name: c.name, section: "6.4", run: func(s *stage) {
			s.do(with(flow(net(0x0a000000, 0xff000000), apply(out(2))), priority(50), cookie(1)))
			if !c.overlaps {
				s.do(c.m)
				return
			}
			s.refused(c.m, openflow.ErrFlowModFailed, openflow.FMFCOverlap)
			s.same("entries", s.cookies(), []uint64{1})
		}})
	}
	perform(t, plays)
}

// TestReplaceModify: what of an entry stays when an ADD replaces it and when a MODIFY changes it.
func TestReplaceModify(t *testing.T) {
	const kept = openflow.FlowSendRemoved | openflow.FlowNoByteCounts
	first := with(flow(anyUDP, apply(out(2))), cookie(1), idle(100), hard(200), flags(kept))
	used := func(s *stage) {
		s.do(first)
		s.gives(1, someIP, to(2, someIP))
		s.pass(5 * time.Second)
	}
	type is struct {
		cookie, packets, bytes uint64
		idle, hard             uint16
		flags                  openflow.FlowModFlags
		seconds                uint32
	}
	n := uint64(len(someIP))
	var plays []play
	for _, c := range []struct {
		name string
		m    *openflow.FlowMod
		want is
	}{
		{"ADD", with(flow(anyUDP, apply(out(3))), cookie(2), idle(7)), is{2, 1, n, 7, 0, 0, 0}},
		{"ADD with RESET_COUNTS", with(flow(anyUDP, apply(out(3))), cookie(2), flags(openflow.FlowResetCounts)),
			is{2, 0, 0, 0, 0, openflow.FlowResetCounts, 0}},
		{"MODIFY", with(flow(everything, apply(out(3))), command(modify), cookieIs(0, 0), idle(7), hard(8)), is{1, 1, n, 100, 200, kept, 5}},
		{"MODIFY_STRICT", with(flow(anyUDP, apply(out(3))), command(modifyStrict), idle(7)), is{1, 1, n, 100, 200, kept, 5}},
		{"MODIFY with RESET_COUNTS", with(flow(anyIP, apply(out(3))), command(modify), flags(openflow.FlowResetCounts)), is{1, 0, 0, 100, 200, kept, 5}},
	} {
		plays = append(plays, play{name: c.name, section: "6.4", run: func(s *stage) {
			used(s)
			s.do(c.m)
			s.says() // nobody is told that an entry was replaced
			for _, f := range s.flows() {
				s.same("entry", is{f.Cookie, f.PacketCount, f.ByteCount, f.IdleTimeout, f.HardTimeout, f.Flags, f.DurationSec}, c.want)
			}
			s.gives(1, someIP, to(3, someIP))
			for _, f := range s.flows() {
				s.same("packets", f.PacketCount, c.want.packets+1)
			}
		}})
	}
	plays = append(plays,
		play{name: "MODIFY of nothing adds nothing", section: "6.4", run: func(s *stage) {
			s.do(with(flow(anyUDP, apply(out(3))), command(modify)), with(flow(anyUDP, apply(out(3))), command(modifyStrict)))
			s.same("entries", s.cookies(), []uint64{})
		}},
		play{name: "MODIFY keeps to its table", section: "6.4", run: func(s *stage) {
			s.do(with(flow(anyUDP, apply(out(2))), cookie(1)), with(flowIn(1, anyUDP, apply(out(2))), cookie(2)))
			s.do(with(flowIn(1, everything, apply(out(3))), command(modify)))
			s.gives(1, someIP, to(2, someIP))
		}},
		play{name: "ADD of another priority is another entry", section: "6.4", run: func(s *stage) {
			s.do(first, with(first, priority(99), cookie(2)))
			s.same("entries", s.cookies(), []uint64{1, 2})
		}},
		play{name: "ADD of the same fields in another order replaces", section: "6.4", run: func(s *stage) {
			a := match(eq(openflow.InPort, 1), eq(openflow.EthDst, macB))
			b := match(eq(openflow.EthDst, macB), eq(openflow.InPort, 1))
			s.do(with(flow(a, apply(out(2))), cookie(1)), with(flow(b, apply(out(3))), cookie(2)))
			s.same("entries", s.cookies(), []uint64{2})
			s.gives(1, someIP, to(3, someIP))
		}},
	)
	perform(t, plays)
}

// smallTables has two entries a table in tables 0 to 3.
func smallTables(c *agent.BridgeConfig, _ *agent.Env) { c.Tables, c.MaxFlows = 4, 2 }

func TestTableBounds(t *testing.T) {
	const kind = openflow.ErrFlowModFailed
	from := func(port uint64) *openflow.FlowMod {
		return with(flow(match(eq(openflow.InPort, port)), apply(out(2))), cookie(port))
	}
	small := []options{smallTables}
	perform(t, []play{
		{name: "TABLE_FULL", section: "6.4", change: small, run: func(s *stage) {
			s.do(from(1), from(2))
			s.refused(from(3), kind, openflow.FMFCTableFull)
			s.same("entries", s.cookies(), []uint64{1, 2})
			s.do(with(from(3), inTable(1))) // another table has room
		}},
		{name: "a replacement needs no room", section: "6.4", change: small, run: func(s *stage) {
			s.do(from(1), from(2), with(from(2), cookie(9)))
			s.same("entries", s.cookies(), []uint64{1, 9})
		}},
		{name: "room after a delete", section: "6.4", change: small, run: func(s *stage) {
			s.do(from(1), from(2), with(from(1), command(removeStrict)), from(3))
			s.same("entries", s.cookies(), []uint64{2, 3})
		}},
		{name: "room after a timeout", section: "6.4", change: small, run: func(s *stage) {
			s.do(with(from(1), hard(1)), from(2))
			s.pass(1100 * time.Millisecond)
			s.do(from(3))
			s.same("entries", s.cookies(), []uint64{2, 3})
		}},
		{name: "tables that are not there", section: "6.4", change: small, run: func(s *stage) {
			for _, c := range []openflow.FlowModCommand{openflow.FlowAdd, modify, modifyStrict, remove, removeStrict} {
				s.refused(with(from(1), command(c), inTable(4)), kind, openflow.FMFCBadTableID)
			}
			for _, c := range []openflow.FlowModCommand{openflow.FlowAdd, modify, modifyStrict} {
				s.refused(with(from(1), command(c), inTable(openflow.TableAll)), kind, openflow.FMFCBadTableID)
			}
			s.refused(with(from(1), doing(goTo(4))), openflow.ErrBadInstruction, openflow.BICBadTableID)
		}},
		{name: "254 tables", section: "5.1", run: func(s *stage) {
			for table := range uint8(253) {
				s.do(flowIn(table, everything, goTo(table+1)))
			}
			s.do(flowIn(253, everything, apply(out(2))))
			s.gives(1, someIP, to(2, someIP))
			s.refused(flowIn(254, everything), kind, openflow.FMFCBadTableID)
			for table := uint8(1); table > 0; table++ { // never backwards, nor to itself
				s.refused(flowIn(253, everything, goTo(table)), openflow.ErrBadInstruction, openflow.BICBadTableID)
			}
			s.refused(flowIn(9, everything, goTo(9)), openflow.ErrBadInstruction, openflow.BICBadTableID)
			s.refused(flowIn(9, everything, goTo(8)), openflow.ErrBadInstruction, openflow.BICBadTableID)
			for i, st := range ask[*openflow.TableStats](s, openflow.MultipartTable) {
				s.same("table", *st, openflow.TableStats{TableID: uint8(i), ActiveCount: 1, LookupCount: 1, MatchedCount: 1})
			}
		}},
	})
}

func TestTableMiss(t *testing.T) {
	toController := openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: openflow.ControllerNoBuffer}
	line := func(why openflow.PacketInReason, table uint8, cookie uint64) string {
		return packetIn{reason: why, table: table, cookie: cookie, data: someIP}.line()
	}
	counts := func(s *stage, table int, lookups, matched uint64) {
		st := ask[*openflow.TableStats](s, openflow.MultipartTable)[table]
		s.same("lookups and matches", []uint64{st.LookupCount, st.MatchedCount}, []uint64{lookups, matched})
	}
	perform(t, []play{
		{name: "no entry at all", section: "5.4", run: func(s *stage) {
			s.gives(1, someIP, nil)
			counts(s, 0, 1, 0)
		}},
		{name: "the table-miss entry", section: "5.4", run: func(s *stage) {
			s.do(with(miss(0, apply(toController)), cookie(7)))
			s.gives(1, someIP, nil, line(openflow.ReasonNoMatch, 0, 7))
			counts(s, 0, 1, 1)
		}},
		{name: "of a later table", section: "5.4", run: func(s *stage) {
			s.do(flow(everything, goTo(2)), with(miss(2, apply(toController)), cookie(7)))
			s.gives(1, someIP, nil, line(openflow.ReasonNoMatch, 2, 7))
		}},
		{name: "no entry in a later table", section: "5.4", run: func(s *stage) {
			s.do(flow(everything, write(out(2)), goTo(2)))
			s.gives(1, someIP, nil) // the action set is not executed
			counts(s, 2, 1, 0)
		}},
		{name: "written to the action set", section: "7.4.1", run: func(s *stage) {
			// The text gives OFPR_NO_MATCH to the table-miss entry and OFPR_ACTION to output actions; of
			// an action set nobody knows which entry wrote it.
			s.do(with(miss(0, write(toController)), cookie(7)))
			s.gives(1, someIP, nil, line(openflow.ReasonAction, 0, 7))
		}},
		{name: "priority 0 with a field is an entry like any other", section: "5.4", run: func(s *stage) {
			s.do(with(flow(anyIP, apply(toController)), priority(0)))
			s.gives(1, someIP, nil, line(openflow.ReasonAction, 0, 0))
		}},
		{name: "priority 1 without fields is an entry like any other", section: "5.4", run: func(s *stage) {
			s.do(with(flow(everything, apply(toController)), priority(1)))
			s.gives(1, someIP, nil, line(openflow.ReasonAction, 0, 0))
		}},
		{name: "goes on with goto", section: "5.4", run: func(s *stage) {
			s.do(miss(0, goTo(1)), flowIn(1, everything, apply(out(3))))
			s.gives(1, someIP, to(3, someIP))
		}},
		{name: "times out like any entry", section: "5.4", run: func(s *stage) {
			s.do(with(miss(0, apply(out(2))), hard(1), flags(openflow.FlowSendRemoved)))
			s.pass(1100 * time.Millisecond)
			s.says(removed(openflow.RemovedHardTimeout, 0, 0, 0, 0))
			s.gives(1, someIP, nil)
		}},
		{name: "is removed like any entry", section: "5.4", run: func(s *stage) {
			s.do(miss(0, apply(out(2))), with(miss(0), command(removeStrict)))
			s.gives(1, someIP, nil)
		}},
		{name: "the highest priority wins", section: "5.3", run: func(s *stage) {
			s.do(family()...)
			s.gives(1, someIP, to(4, someIP))
			s.do(with(flow(dns), command(remove)))
			s.gives(1, someIP, to(3, someIP))
			s.do(with(flow(everything, apply(out(2))), priority(65535), cookie(9)))
			s.gives(1, someIP, to(2, someIP))
		}},
	})
}
