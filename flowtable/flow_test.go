package flowtable

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

var anyFrame = udpFrame(ethernet{dst: "2", src: "1"}, 64, 10, 20)

func toPort(n uint32) openflow.Instruction {
	return openflow.ApplyActions(openflow.Output(openflow.PortNo(n)))
}

func inPort(n uint64) openflow.Match { return openflow.NewMatch(openflow.Exact(openflow.InPort, n)) }

func ipMatch(f ...openflow.Field) openflow.Match {
	return openflow.NewMatch(append([]openflow.Field{openflow.Exact(openflow.EthType, 0x0800)}, f...)...)
}

// TestFlowModErrors: the wrong request, the code that Open vSwitch answers (or the specification
// where it leaves no choice), and nothing changed.
func TestFlowModErrors(t *testing.T) {
	type request = openflow.FlowMod
	insts := openflow.NewInstructions
	apply := func(a ...openflow.Action) openflow.Instructions { return insts(openflow.ApplyActions(a...)) }
	tests := []struct {
		name string
		mod  request
		typ  openflow.ErrorType
		code uint16
	}{
		{"table above the last", request{TableID: 4}, openflow.ErrFlowModFailed, openflow.FMFCBadTableID},
		{"all tables in an add", request{TableID: 255}, openflow.ErrFlowModFailed, openflow.FMFCBadTableID},
		{"all tables in a modify", request{TableID: 255, Command: openflow.FlowModify}, openflow.ErrFlowModFailed, openflow.FMFCBadTableID},
		{"unknown command", request{Command: 9}, openflow.ErrFlowModFailed, openflow.FMFCBadCommand},
		{"unknown flag", request{Flags: 0x40}, openflow.ErrFlowModFailed, openflow.FMFCBadFlags},
		{"goto itself", request{TableID: 1, Instructions: insts(openflow.GotoTable(1))}, openflow.ErrBadInstruction, openflow.BICBadTableID},
		{"goto backwards", request{TableID: 1, Instructions: insts(openflow.GotoTable(0))}, openflow.ErrBadInstruction, openflow.BICBadTableID},
		{"goto beyond", request{Instructions: insts(openflow.GotoTable(4))}, openflow.ErrBadInstruction, openflow.BICBadTableID},
		{"unknown meter", request{Instructions: insts(openflow.Instruction{Type: openflow.InstructionMeter, Meter: 1})}, openflow.ErrMeterModFailed, openflow.MMFCInvalidMeter},
		{"unknown group", request{Instructions: apply(openflow.Group(99))}, openflow.ErrBadAction, openflow.BACBadOutGroup},
		{"unknown group in the set", request{Instructions: insts(openflow.WriteActions(openflow.Group(99)))}, openflow.ErrBadAction, openflow.BACBadOutGroup},
		{"output to ANY", request{Instructions: apply(openflow.Output(openflow.PortAny))}, openflow.ErrBadAction, openflow.BACBadOutPort},
		{"output to zero", request{Instructions: apply(openflow.Output(0))}, openflow.ErrBadAction, openflow.BACBadOutPort},
		{"output to TABLE", request{Instructions: apply(openflow.Output(openflow.PortTable))}, openflow.ErrBadAction, openflow.BACBadOutPort},
		{"set_field without prerequisite", request{Instructions: apply(openflow.SetField(openflow.TCPDst, 80))}, openflow.ErrBadAction, openflow.BACMatchInconsistent},
		{"set_field of an untagged frame's vid", request{Instructions: apply(openflow.SetField(openflow.VLANVID, 0x1005))}, openflow.ErrBadAction, openflow.BACMatchInconsistent},
		{"pop_vlan without a tag", request{Instructions: apply(openflow.Action{Type: openflow.ActionPopVLAN})}, openflow.ErrBadAction, openflow.BACMatchInconsistent},
		{"dec_ttl of anything", request{Instructions: apply(openflow.Action{Type: openflow.ActionDecNwTTL})}, openflow.ErrBadAction, openflow.BACMatchInconsistent},
		{"pop_mpls of IP", request{Match: ipMatch(), Instructions: apply(openflow.Action{Type: openflow.ActionPopMPLS, EtherType: 0x800})}, openflow.ErrBadAction, openflow.BACMatchInconsistent},
		{"field behind a pushed label", request{Match: ipMatch(), Instructions: apply(
			openflow.Action{Type: openflow.ActionPushMPLS, EtherType: 0x8847}, openflow.SetField(openflow.IPv4Dst, 1))}, openflow.ErrBadAction, openflow.BACMatchInconsistent},
		{"match without prerequisite", request{Match: openflow.NewMatch(openflow.Exact(openflow.TCPDst, 80))}, openflow.ErrBadMatch, openflow.BMCBadPrereq},
		{"field twice", request{Match: openflow.NewMatch(openflow.Exact(openflow.InPort, 1), openflow.Exact(openflow.InPort, 1))}, openflow.ErrBadMatch, openflow.BMCDupField},
		{"load in an action set", request{Instructions: insts(openflow.WriteActions(openflow.Action{Type: openflow.NXMove,
			Src: openflow.SubField{ID: openflow.Reg0, Bits: 8}, Dst: openflow.SubField{ID: openflow.Reg0 + 1, Bits: 8}}))}, openflow.ErrBadAction, openflow.BACUnsupportedOrder},
		{"move of what only a walk knows", request{Instructions: apply(openflow.Action{Type: openflow.NXMove,
			Src: openflow.SubField{ID: openflow.ActsetOutput, Bits: 8}, Dst: openflow.SubField{ID: openflow.Reg0, Bits: 8}})}, openflow.ErrBadAction, openflow.BACBadArgument},
		{"two instructions of one type", request{Instructions: insts(openflow.GotoTable(1), openflow.GotoTable(2))}, openflow.ErrExperimenter, openflow.ONFDuplicateInstruction},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := New(Config{Tables: 4})
			_, err := p.FlowMod(0, &tt.mod)
			var e *openflow.Error
			if !errors.As(err, &e) || e.Type != tt.typ || e.Code != tt.code {
				t.Fatalf("got %v, expected type %v code %d", err, tt.typ, tt.code)
			}
			if p.Len() != 0 {
				t.Fatal("an entry was made in spite of the error")
			}
		})
	}
}

func TestOverlap(t *testing.T) {
	r := newRig(t, Config{}, upPorts(3))
	r.flow(0, 5, inPort(1), toPort(2))
	check := func(m openflow.Match, prio uint16, refused bool) {
		t.Helper()
		_, err := r.FlowMod(0, &openflow.FlowMod{Flags: openflow.FlowCheckOverlap, Priority: prio, Match: m, Instructions: openflow.NewInstructions(toPort(3))})
		if got := errors.Is(err, &openflow.Error{Type: openflow.ErrFlowModFailed, Code: openflow.FMFCOverlap}); got != refused {
			t.Errorf("priority %d %v: %v, expected refusal: %v", prio, m, err, refused)
		}
	}
	check(ipMatch(), 5, true)
	check(inPort(1), 5, false) // the very same match replaces its entry: section 6.4
	check(ipMatch(openflow.Exact(openflow.InPort, 1)), 5, true)
	check(inPort(2), 5, false)
	check(ipMatch(), 6, false)
}

func TestTableFull(t *testing.T) {
	r := newRig(t, Config{MaxEntries: 2}, upPorts(3))
	r.flow(0, 1, inPort(1), toPort(2))
	r.flow(0, 1, inPort(2), toPort(1))
	add := &openflow.FlowMod{Priority: 1, Match: inPort(3)}
	if _, err := r.FlowMod(0, add); !errors.Is(err, &openflow.Error{Type: openflow.ErrFlowModFailed, Code: openflow.FMFCTableFull}) {
		t.Fatalf("third entry: %v", err)
	}
	add.Match = inPort(2)
	if _, err := r.FlowMod(0, add); err != nil {
		t.Fatalf("replacing an entry of a full table: %v", err)
	}
	add.TableID, add.Match = 1, inPort(3)
	if _, err := r.FlowMod(0, add); err != nil {
		t.Fatalf("another table: %v", err)
	}
}

// TestReplaceAndModify: what stays and what changes (section 6.4).
func TestReplaceAndModify(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(4))
		entry := func() (*Entry, Counters) {
			t.Helper()
			list, err := r.Flows(AllFlows())
			if err != nil || len(list) != 1 {
				t.Fatalf("entries %v, %v", list, err)
			}
			return list[0], list[0].Counters(r.now)
		}
		add := openflow.FlowMod{Cookie: 7, Priority: 3, IdleTimeout: 60, Flags: openflow.FlowSendRemoved, Match: inPort(1),
			Instructions: openflow.NewInstructions(toPort(2)), OutPort: 0, OutGroup: 0} // out_port counts for deletes only
		r.mod(&add)
		r.now = time.Second
		r.send(1, anyFrame)

		r.now = 3 * time.Second
		change := openflow.FlowMod{Command: openflow.FlowModify, Cookie: 99, Match: inPort(1), HardTimeout: 9, Instructions: openflow.NewInstructions(toPort(3)), OutPort: 4}
		r.mod(&change)
		if got := r.outPorts(1, anyFrame); !slices.Equal(got, []uint32{3}) {
			t.Fatalf("after modify the frame left by %v", got)
		}
		e, n := entry()
		if e.Cookie != 7 || e.IdleTimeout != 60 || e.HardTimeout != 0 || n.Packets != 2 || n.Duration != 3*time.Second {
			t.Fatalf("modify changed more than instructions: %+v %+v", e, n)
		}

		again := add
		again.Cookie, again.Flags = 8, 0
		if gone := r.mod(&again); len(gone) != 0 {
			t.Fatal("a replaced entry was reported as removed")
		}
		e, n = entry()
		if e.Cookie != 8 || n.Packets != 2 || n.Bytes != 2*uint64(len(anyFrame)) || n.Duration != 0 {
			t.Fatalf("replacement: %+v %+v", e, n)
		}
		again.Flags = openflow.FlowResetCounts
		r.mod(&again)
		if _, n = entry(); n.Packets != 0 || n.Bytes != 0 {
			t.Fatalf("reset_counts left %+v", n)
		}
		none := change
		none.Match, none.Command = inPort(2), openflow.FlowModifyStrict
		r.mod(&none)
		entry() // and no second one
	})
}

func TestDeleteFilters(t *testing.T) {
	r := newRig(t, Config{Tables: 3}, upPorts(4))
	fill := func() {
		r.mod(&openflow.FlowMod{Command: openflow.FlowDelete, TableID: openflow.TableAll})
		r.mod(&openflow.FlowMod{TableID: 0, Cookie: 0x11, Priority: 1, Match: inPort(1), Instructions: openflow.NewInstructions(toPort(2), openflow.GotoTable(1)), Flags: openflow.FlowSendRemoved})
		r.mod(&openflow.FlowMod{TableID: 1, Cookie: 0x12, Priority: 1, Match: inPort(1), Instructions: openflow.NewInstructions(openflow.WriteActions(openflow.Output(3)))})
		r.mod(&openflow.FlowMod{TableID: 2, Cookie: 0x21, Priority: 2, Match: ipMatch(openflow.Exact(openflow.InPort, 1))})
	}
	del := func(m openflow.FlowMod) int {
		fill()
		m.Command += openflow.FlowDelete
		r.mod(&m)
		return r.Len()
	}
	all := openflow.TableAll
	strict := openflow.FlowDeleteStrict - openflow.FlowDelete
	for _, tt := range []struct {
		name string
		mod  openflow.FlowMod
		left int
	}{
		{"everything", openflow.FlowMod{TableID: all}, 0},
		{"one table", openflow.FlowMod{TableID: 1}, 2},
		{"cookie", openflow.FlowMod{TableID: all, Cookie: 0x10, CookieMask: 0xf0}, 1},
		{"match, loosely", openflow.FlowMod{TableID: all, Match: inPort(1)}, 0},
		{"more than the match", openflow.FlowMod{TableID: all, Match: ipMatch(openflow.Exact(openflow.InPort, 1))}, 2},
		{"out_port", openflow.FlowMod{TableID: all, OutPort: 2, OutGroup: groupAny}, 2},
		{"out_port of the action set", openflow.FlowMod{TableID: all, OutPort: 3, OutGroup: groupAny}, 2},
		{"out_group", openflow.FlowMod{TableID: all, OutPort: openflow.PortAny, OutGroup: 5}, 3},
		{"strict", openflow.FlowMod{TableID: all, Command: strict, Priority: 1, Match: inPort(1)}, 1},
		{"strict, wrong priority", openflow.FlowMod{TableID: all, Command: strict, Priority: 3, Match: inPort(1)}, 3},
	} {
		if got := del(tt.mod); got != tt.left {
			t.Errorf("%s: %d entries left, expected %d", tt.name, got, tt.left)
		}
	}
	fill()
	gone := r.mod(&openflow.FlowMod{Command: openflow.FlowDelete, TableID: all})
	if len(gone) != 1 || gone[0].Cookie != 0x11 || gone[0].Reason != openflow.RemovedDelete {
		t.Errorf("removed %+v, expected the one entry with SEND_FLOW_REM", gone)
	}
}

// TestTimeouts: an entry goes at the first Expire after its time, and a frame puts idleness off.
func TestTimeouts(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(2))
		const tick = 50 * time.Millisecond
		r.mod(&openflow.FlowMod{Cookie: 1, Priority: 1, IdleTimeout: 2, Flags: openflow.FlowSendRemoved, Match: inPort(1), Instructions: openflow.NewInstructions(toPort(2))})
		r.mod(&openflow.FlowMod{Cookie: 2, Priority: 2, HardTimeout: 3, Flags: openflow.FlowSendRemoved, Match: inPort(2)})
		r.mod(&openflow.FlowMod{Cookie: 3, Priority: 3, HardTimeout: 2, IdleTimeout: 2, Flags: openflow.FlowSendRemoved, Match: inPort(3)})
		went := map[uint64]time.Duration{}
		why := map[uint64]openflow.FlowRemovedReason{}
		for r.now = 0; r.now < 8*time.Second; r.now += tick {
			if r.now == 1500*time.Millisecond || r.now == 3*time.Second {
				r.send(1, anyFrame)
			}
			for _, g := range r.Expire(r.now) {
				went[g.Cookie], why[g.Cookie] = r.now, g.Reason
			}
		}
		if went[1] != 5*time.Second || why[1] != openflow.RemovedIdleTimeout {
			t.Errorf("idle entry went at %v, reason %d", went[1], why[1])
		}
		if went[2] != 3*time.Second || why[2] != openflow.RemovedHardTimeout {
			t.Errorf("hard entry went at %v, reason %d", went[2], why[2])
		}
		if went[3] != 2*time.Second || why[3] != openflow.RemovedHardTimeout {
			t.Errorf("entry with both went at %v, reason %d", went[3], why[3])
		}
		if got := r.outPorts(1, anyFrame); len(got) != 0 {
			t.Errorf("an expired entry forwards to %v", got)
		}
	})
}

// TestAgenda compares the heap with a plain list.
func TestAgenda(t *testing.T) {
	r := randSource(9)
	var a agenda[*Entry]
	plain := map[*Entry]time.Duration{}
	pool := make([]*Entry, 200)
	for i := range pool {
		pool[i] = &Entry{}
	}
	for range 20000 {
		e := pool[r.IntN(len(pool))]
		if r.IntN(3) == 0 {
			a.drop(e)
			delete(plain, e)
		} else {
			when := time.Duration(r.IntN(500))
			a.put(e, when)
			plain[e] = when
		}
		first := time.Duration(1 << 62)
		for _, w := range plain {
			first = min(first, w)
		}
		when, e, any := a.next()
		if any != (len(plain) > 0) || any && (when != first || plain[e] != when) || len(a.items) != len(plain) {
			t.Fatalf("next is %v, expected %v; %d of %d", when, first, len(a.items), len(plain))
		}
	}
}

// TestReadBack: statistics give back what was sent, in the promised order.
func TestReadBack(t *testing.T) {
	r := newRig(t, Config{}, upPorts(2))
	m := ipMatch(openflow.WithMask(openflow.IPv4Dst, 0x0a000000, 0xff000000), openflow.Exact(openflow.InPort, 1))
	buf := openflow.NewInstructions(toPort(2), openflow.GotoTable(9))
	r.mod(&openflow.FlowMod{TableID: 3, Priority: 1, Match: m, Instructions: buf})
	r.mod(&openflow.FlowMod{TableID: 3, Priority: 9, Match: inPort(2)})
	r.mod(&openflow.FlowMod{TableID: 3, Priority: 9, Match: inPort(1)})
	r.mod(&openflow.FlowMod{TableID: 0})
	list, err := r.Flows(AllFlows())
	if err != nil || len(list) != 4 {
		t.Fatal(list, err)
	}
	if list[0].Table != 0 || list[1].Match().String() != inPort(2).String() || list[2].Match().String() != inPort(1).String() {
		t.Errorf("order: %v %v %v %v", list[0].Match(), list[1].Match(), list[2].Match(), list[3].Match())
	}
	if e := list[3]; string(e.Match().Bytes()) != string(m.Bytes()) || !e.Instructions().Equal(buf) {
		t.Errorf("read back %v %v", e.Match(), e.Instructions())
	}
	f := AllFlows()
	f.Match = inPort(1)
	if list, _ := r.Flows(f); len(list) != 2 {
		t.Errorf("filter by match gave %d entries, expected 2", len(list))
	}
	f = AllFlows()
	f.OutPort = 2
	if sum, _ := r.Aggregate(f); sum.Flows != 1 {
		t.Errorf("filter by out_port gave %d entries, expected 1", sum.Flows)
	}
	f.Table = 254
	if _, err := r.Flows(f); err == nil {
		t.Error("table 254 was accepted")
	}
}

// TestFeaturesAreTrue: what the tables claim, a FLOW_MOD can do.
func TestFeaturesAreTrue(t *testing.T) {
	p := New(Config{})
	if _, err := p.GroupMod(0, &openflow.GroupMod{}); err != nil { // number 0, for the group action
		t.Fatal(err)
	}
	f := p.Features()
	if len(f.Match) != openflow.NumStandardFields || f.Tables != 254 {
		t.Fatalf("%d fields, %d tables", len(f.Match), f.Tables)
	}
	for _, a := range f.Actions {
		act := openflow.Action{Type: a, Port: 1, EtherType: map[openflow.ActionType]uint16{openflow.ActionPushVLAN: 0x8100,
			openflow.ActionPushPBB: 0x88e7, openflow.ActionPopMPLS: 0x800}[a], TTL: 3}
		if a == openflow.ActionPushMPLS {
			act.EtherType = 0x8847
		}
		if a == openflow.ActionSetField {
			act = openflow.SetField(openflow.EthDst, 1)
		}
		if _, err := p.CompileActions(openflow.NewActions(act)); err != nil {
			t.Errorf("%s is claimed and refused: %v", a, err)
		}
	}
	for _, id := range f.SetFields {
		if _, err := p.CompileActions(openflow.NewActions(openflow.SetField(id, 1))); err != nil && id != openflow.VLANVID {
			t.Errorf("set_field of %s is claimed and refused: %v", id, err)
		}
	}
}

// TestSharedProgramsAreJudged: instructions seen before are still refused where they do not fit.
func TestSharedProgramsAreJudged(t *testing.T) {
	r := newRig(t, Config{}, upPorts(2))
	dec := openflow.ApplyActions(openflow.Action{Type: openflow.ActionDecNwTTL}, openflow.Output(2))
	r.flow(1, 1, ipMatch(), dec)
	r.flow(1, 2, ipMatch(openflow.Exact(openflow.InPort, 1)), dec)
	list, _ := r.Flows(AllFlows())
	if list[0].prog != list[1].prog {
		t.Error("two entries that do the same have two programs")
	}
	bad := &openflow.FlowMod{TableID: 1, Match: inPort(2), Instructions: openflow.NewInstructions(dec)}
	if _, err := r.FlowMod(0, bad); !errors.Is(err, &openflow.Error{Type: openflow.ErrBadAction, Code: openflow.BACMatchInconsistent}) {
		t.Errorf("dec_ttl of any frame: %v", err)
	}
	goes := openflow.NewInstructions(openflow.GotoTable(2))
	r.mod(&openflow.FlowMod{TableID: 1, Instructions: goes})
	if _, err := r.FlowMod(0, &openflow.FlowMod{TableID: 2, Instructions: goes}); err == nil {
		t.Error("goto_table:2 from table 2 was accepted because table 1 had it")
	}
}

// TestActionSetIsNotBoundToTheMatch: what write_actions gathers runs after later tables, and in its own order, so only
// a field that no order of these actions makes room for is refused. Open vSwitch judges likewise.
func TestActionSetIsNotBoundToTheMatch(t *testing.T) {
	label := openflow.SetField(openflow.MPLSLabel, 5)
	push := openflow.Action{Type: openflow.ActionPushMPLS, EtherType: 0x8847}
	pop := openflow.Action{Type: openflow.ActionPopMPLS, EtherType: 0x800}
	dec := openflow.Action{Type: openflow.ActionDecNwTTL}
	ip := openflow.SetField(openflow.IPv4Dst, 1)
	for _, tt := range []struct {
		name  string
		match openflow.Match
		set   []openflow.Action
		ok    bool
	}{
		{"pop_vlan that an earlier table saw to", openflow.Match{}, []openflow.Action{{Type: openflow.ActionPopVLAN}}, true},
		{"dec_ttl that an earlier table saw to", openflow.Match{}, []openflow.Action{dec}, true},
		{"dec_mpls_ttl", openflow.Match{}, []openflow.Action{{Type: openflow.ActionDecMPLSTTL}}, true},
		{"dec_ttl before a push in the list", ipMatch(), []openflow.Action{dec, push, label}, true},
		{"address before a push in the list", ipMatch(), []openflow.Action{ip, push}, true},
		{"label before the push in the list", ipMatch(), []openflow.Action{label, push}, true},
		{"label after the push in the list", ipMatch(), []openflow.Action{push, label, pop}, true},
		{"address after a pop", openflow.NewMatch(openflow.Exact(openflow.EthType, 0x8847)), []openflow.Action{ip, pop}, true},
		{"address of anything", openflow.Match{}, []openflow.Action{ip}, false},
		{"label of anything", ipMatch(), []openflow.Action{label}, false},
		{"vid of anything", ipMatch(), []openflow.Action{openflow.SetField(openflow.VLANVID, 0x1005)}, false},
	} {
		p := New(Config{Tables: 4})
		_, err := p.FlowMod(0, &openflow.FlowMod{Match: tt.match, Instructions: openflow.NewInstructions(openflow.WriteActions(tt.set...))})
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, &openflow.Error{Type: openflow.ErrBadAction, Code: openflow.BACMatchInconsistent}) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestDeleteAllAtOnce: a table is cleared in one step unless somebody has a stake in one of its entries, and whoever has
// one is heard.
func TestDeleteAllAtOnce(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		for _, stake := range []struct {
			name string
			mod  openflow.FlowMod
		}{
			{"none", openflow.FlowMod{}},
			{"FLOW_REMOVED", openflow.FlowMod{Flags: openflow.FlowSendRemoved}},
			{"idle timeout", openflow.FlowMod{IdleTimeout: 9}},
			{"hard timeout", openflow.FlowMod{HardTimeout: 9}},
			{"group", openflow.FlowMod{Instructions: openflow.NewInstructions(openflow.ApplyActions(openflow.Group(7)))}},
			{"meter", openflow.FlowMod{Instructions: openflow.NewInstructions(openflow.Instruction{Type: openflow.InstructionMeter, Meter: 5})}},
		} {
			r := newRig(t, c, upPorts(2))
			if _, err := r.GroupMod(r.now, &openflow.GroupMod{Group: 7}); err != nil {
				t.Fatal(err)
			}
			if _, err := r.MeterMod(r.now, &openflow.MeterMod{Flags: openflow.MeterKbps, Meter: 5}); err != nil {
				t.Fatal(err)
			}
			want := 0
			for i := range 40 {
				m := openflow.FlowMod{Priority: uint16(i), Match: inPort(1), Instructions: openflow.NewInstructions(toPort(2))}
				if i == 20 && len(stake.mod.Instructions.Bytes()) == 0 {
					m.Flags, m.IdleTimeout, m.HardTimeout = stake.mod.Flags, stake.mod.IdleTimeout, stake.mod.HardTimeout
				} else if i == 20 {
					m.Instructions = stake.mod.Instructions
				}
				if m.Flags != 0 {
					want = 1
				}
				r.mod(&m)
			}
			if staked := r.tables[0].attached == 1; staked != (stake.name != "none") {
				t.Errorf("%s: counted as having a stake: %v", stake.name, staked)
			}
			if gone := r.mod(&openflow.FlowMod{Command: openflow.FlowDelete, TableID: openflow.TableAll}); len(gone) != want {
				t.Errorf("%s: %d entries told of, expected %d", stake.name, len(gone), want)
			}
			if r.Len() != 0 || len(r.agenda.items) != 0 || r.tables[0].attached != 0 || r.groups.byID[7].flows != 0 {
				t.Errorf("%s: something is left behind", stake.name)
			}
			for _, d := range r.meters.slots {
				if d != nil && len(d.users) != 0 {
					t.Errorf("%s: the meter still knows %d entries", stake.name, len(d.users))
				}
			}
			r.mod(&openflow.FlowMod{Priority: 3, Match: inPort(1), Instructions: openflow.NewInstructions(toPort(2))})
			if r.Len() != 1 {
				t.Errorf("%s: the table cannot be filled again", stake.name)
			}
		}
	})
}

// TestLateReplacementKeepsTheLastUse: a request carries the time at which it was read. One that had waited for another's
// long change set the time of the last frame back, and the entry was idle too early.
func TestLateReplacementKeepsTheLastUse(t *testing.T) {
	r := newRig(t, Config{}, upPorts(2))
	fm := &openflow.FlowMod{Priority: 5, Match: inPort(1), IdleTimeout: 2, Instructions: openflow.NewInstructions(toPort(2))}
	r.mod(fm)
	r.now = 5 * time.Second
	r.send(1, udpFrame(ethernet{dst: "2", src: "1"}, 64, 7, 80))
	r.now = 4 * time.Second
	r.mod(fm)
	if r.Expire(6500 * time.Millisecond); r.Len() != 1 {
		t.Error("an entry went 1.5 s after its last frame, with an idle timeout of 2 s")
	}
	if r.Expire(7 * time.Second); r.Len() != 0 {
		t.Error("an entry stayed beyond its idle timeout")
	}
}
