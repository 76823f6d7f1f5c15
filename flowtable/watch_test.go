package flowtable

import (
	"slices"
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// lookups are all tables' counts.
func (r *rig) lookups() (lookups, matched uint64) {
	for i := range r.stats {
		lookups += r.stats[i].lookups.Load()
		matched += r.stats[i].matched.Load()
	}
	return lookups, matched
}

// watch runs frames one by one and compares each verdict with what was counted for its frame.
func (r *rig) watch(list []*packet.Frame) (events []string) {
	r.t.Helper()
	for _, f := range list {
		var v Verdict
		lookups, matched := r.lookups()
		drops := r.Drops()
		r.proc.Watch(r.now, f, &r.rec, &v)
		events = append(events, r.rec.take(r.t)...)
		nowLookups, nowMatched := r.lookups()
		nowDrops := r.Drops()
		found, behindMissed := len(v.Steps), false
		for _, b := range v.Behind {
			if b.Found {
				found++
			}
			behindMissed = behindMissed || !b.Found
		}
		if n := nowMatched - matched; n != uint64(found) && len(v.Behind) < maxBehind {
			r.t.Errorf("%d entries were counted, the verdict has %+v", n, v)
		}
		if missed := nowLookups-lookups > nowMatched-matched; missed != (v.Miss >= 0 || behindMissed) && len(v.Behind) < maxBehind {
			r.t.Errorf("a miss: %v, the verdict has %+v", missed, v)
		}
		for d, n := range nowDrops.All() {
			if (n > drops[d]) != slices.Contains(v.Drops, d) {
				r.t.Errorf("drops %s: %d, then %d, the verdict has %v", d, drops[d], n, v.Drops)
			}
		}
	}
	return events
}

// TestVerdict: what a verdict says, on the walk and on the cached path.
func TestVerdict(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(3))
		r.mod(&openflow.FlowMod{TableID: 0, Priority: 9, Cookie: 0xabc, Match: openflow.NewMatch(openflow.Exact(openflow.InPort, 1)),
			Instructions: openflow.NewInstructions(openflow.GotoTable(4))})
		r.mod(&openflow.FlowMod{TableID: 4, Priority: 3, Match: openflow.NewMatch(openflow.Exact(openflow.EthDst, 0x0a0000000001)),
			Instructions: openflow.NewInstructions(openflow.ApplyActions(openflow.Output(2)))})
		known := slices.Clone(anyFrame)
		copy(known, []byte{0x0a, 0, 0, 0, 0, 1})
		for i := range 3 {
			var v Verdict
			r.proc.Watch(r.now, frameOf(1, known), &r.rec, &v)
			want := []Step{{0, 9, 0xabc}, {4, 3, 0}}
			if !slices.Equal(v.Steps, want) || v.Miss != -1 || v.Drops != nil || v.Cached != (i > 0 && !c.NoCache) {
				t.Errorf("frame %d: %+v", i, v)
			}
			r.proc.Watch(r.now, frameOf(1, anyFrame), &r.rec, &v)
			if !slices.Equal(v.Steps, want[:1]) || v.Miss != 4 || !slices.Equal(v.Drops, []Drop{DropMiss}) {
				t.Errorf("a miss: %+v", v)
			}
			r.proc.Watch(r.now, frameOf(2, anyFrame), &r.rec, &v)
			if len(v.Steps) != 0 || v.Miss != 0 {
				t.Errorf("a miss in the first table: %+v", v)
			}
			r.proc.Watch(r.now, frameOf(7, anyFrame), &r.rec, &v)
			if len(v.Steps) != 0 || v.Miss != -1 || !slices.Equal(v.Drops, []Drop{DropNoPort}) {
				t.Errorf("no such port: %+v", v)
			}
		}
	})
}

// TestVerdictOfResubmits: what lies behind them is told, in order, with the entry that led there.
func TestVerdictOfResubmits(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(3))
		r.flow(0, 1, openflow.NewMatch(), openflow.ApplyActions(resubmit(openflow.PortInPort, 3), openflow.Output(2)), openflow.GotoTable(1))
		r.flow(1, 2, openflow.NewMatch(), openflow.ApplyActions(resubmit(openflow.PortInPort, 9)))
		r.flow(3, 5, openflow.NewMatch(), openflow.ApplyActions(resubmit(openflow.PortInPort, 4)))
		r.flow(4, 6, openflow.NewMatch(), openflow.GotoTable(5))
		r.flow(5, 7, openflow.NewMatch(), openflow.ApplyActions(openflow.Output(3)))
		for range 2 {
			var v Verdict
			r.proc.Watch(r.now, frameOf(1, anyFrame), &r.rec, &v)
			want := []BehindStep{{Step{3, 5, 0}, true, 0, 1}, {Step{4, 6, 0}, true, 0, 2}, {Step{5, 7, 0}, true, 0, 2}, {Step{9, 0, 0}, false, 1, 1}}
			if !slices.Equal(v.Behind, want) || len(v.Steps) != 2 || v.Resubmits != 3 {
				t.Errorf("%+v", v)
			}
			r.rec.take(t)
		}
	})
}

// TestFilter: a filter means what an entry with the same match means.
func TestFilter(t *testing.T) {
	tcp := NewFilter(openflow.NewMatch(openflow.Exact(openflow.InPort, 1), openflow.Exact(openflow.EthType, 0x88b5)))
	for _, c := range []struct {
		in   uint32
		kind byte
		want bool
	}{{1, 0xb5, true}, {2, 0xb5, false}, {1, 0xb6, false}} {
		b := make([]byte, 60)
		b[12], b[13] = 0x88, c.kind
		f := frameOf(c.in, b)
		f.Parse()
		if got := tcp.Matches(f); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
		if !NewFilter(openflow.Match{}).Matches(f) {
			t.Error("the empty match refuses a frame")
		}
		if n := testing.AllocsPerRun(10, func() { tcp.Matches(f) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}
