package benchcontrol

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/bench"
	"github.com/weirswitch/weir/openflow"
)

// row is one figure of the report.
type row struct {
	name string
	unit string
	less bool    // a smaller figure is better
	goal float64 // ratio to Open vSwitch: at least, or at most with less; 0: none
}

// round measures one switch once, from a fresh process to its end, and reports each figure.
type round struct {
	*testing.T
	s     *bench.Switch
	all   []*bench.Switch
	n     int // entries
	big   int // entries of the large set; 0: leave it out
	calls int // round trips
	shown time.Duration
	add   func(row, float64)
}

func (r *round) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", r.s.Name, err)
	}
}

// finish runs a stream to the barrier, on switches that have come to rest.
func (r *round) finish(stream []byte) time.Duration {
	r.Helper()
	r.settle()
	took, err := r.s.Finish(stream)
	r.ok(err)
	return took
}

// adds adds a set, and reports how fast it came and what it cost the switch: the second figure is the
// truer one when others use the machine.
func (r *round) adds(m mix, n int) {
	r.Helper()
	stream := encodeMods(m, n, openflow.FlowAdd)
	r.settle()
	before := r.s.Used()
	took, err := r.s.Finish(stream)
	r.ok(err)
	r.rate(row{name: fmt.Sprintf("ADDs to the barrier, %d, %s", n, m), goal: 5}, n, took)
	r.add(row{fmt.Sprintf("processor time an ADD, %d, %s", n, m), "us", true, 0.2}, float64((r.s.Used()-before).Nanoseconds())/1e3/float64(n))
}

func (r *round) rate(w row, n int, took time.Duration) {
	w.unit = "/s"
	r.add(w, float64(n)/took.Seconds())
}

func (r *round) ms(w row, took time.Duration) {
	w.unit, w.less = "ms", true
	r.add(w, float64(took.Nanoseconds())/1e6)
}

func (r *round) run() {
	defer r.attend()()
	r.roundTrips()
	r.oneMask()
	r.manyMasks()
	r.packets()
	if r.big > 0 {
		r.million(same)
		r.million(mixed)
	}
}

func (r *round) clear() time.Duration {
	r.Helper()
	return r.finish(bench.Encode(1, func(int) openflow.Message { return bench.DeleteAll() }))
}

// roundTrips adds entries one by one, each with its barrier.
func (r *round) roundTrips() {
	took := make([]time.Duration, r.calls)
	r.settle()
	for i := range took {
		var err error
		took[i], err = r.s.Finish(openflow.Append(nil, 1, flowMod(same, 1<<20+i, openflow.FlowAdd)))
		r.ok(err)
	}
	slices.Sort(took)
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	r.add(row{"ADD and barrier, round trip p50", "us", true, 0.6}, us(took[len(took)/2]))
	r.add(row{"ADD and barrier, round trip p99", "us", true, 0}, us(took[len(took)*99/100]))
	r.clear()
}

// oneMask is the set of one mask: how fast it comes, what it weighs, how fast it is read and goes.
func (r *round) oneMask() {
	r.settle()
	before := r.rss()
	r.adds(same, r.n)
	r.settle()
	r.add(row{fmt.Sprintf("resident memory a flow, %d", r.n), "bytes", true, 0.5}, (r.rss()-before)/float64(r.n))
	flows, took, err := r.s.Dump()
	r.ok(err)
	if flows != r.n {
		r.Fatalf("%s: a dump of %d flows, want %d", r.s.Name, flows, r.n)
	}
	r.ms(row{name: fmt.Sprintf("raw dump of %d", r.n), goal: 0.7}, took)
	r.ms(row{name: fmt.Sprintf("ovs-ofctl dump-flows of %d", r.n)}, r.ofctlDump())
	r.ms(row{name: fmt.Sprintf("delete all %d", r.n)}, r.clear())
}

// ofctlDump is "ovs-ofctl dump-flows | wc -l".
func (r *round) ofctlDump() time.Duration {
	cmd := exec.Command("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br0")
	cmd.Env = append(os.Environ(), r.s.Env...)
	start := time.Now()
	out, err := cmd.Output()
	took := time.Since(start)
	r.ok(err)
	if got := bytes.Count(out, []byte(" cookie=")); got != r.n {
		r.Fatalf("%s: ovs-ofctl printed %d flows, want %d", r.s.Name, got, r.n)
	}
	return took
}

// manyMasks is the mixed set, and what has to search it.
func (r *round) manyMasks() {
	r.adds(mixed, r.n)
	_, took, err := r.s.Dump()
	r.ok(err)
	r.ms(row{name: fmt.Sprintf("raw dump of %d, %s", r.n, mixed), goal: 0.7}, took)

	one := func(m *openflow.FlowMod) []byte { return openflow.Append(nil, 1, m) }
	byCookie := flowMod(mixed, 5, openflow.FlowModify)
	byCookie.Match, byCookie.CookieMask = openflow.Match{}, 0xff
	r.ms(row{name: fmt.Sprintf("modify 1/256 of %d by cookie mask", r.n)}, r.finish(one(byCookie)))
	byCookie.Command, byCookie.Instructions = openflow.FlowDelete, openflow.Instructions{}
	r.ms(row{name: fmt.Sprintf("delete 1/256 of %d by cookie mask", r.n)}, r.finish(one(byCookie)))
	loose := flowMod(mixed, 0, openflow.FlowDelete)
	r.ms(row{name: fmt.Sprintf("delete one of %d by a loose match", r.n)}, r.finish(one(loose)))

	few := min(r.n, 100) / 2 // a switch that searches everything needs milliseconds each
	took = r.finish(bench.Encode(few, func(i int) openflow.Message {
		m := flowMod(mixed, 0, openflow.FlowAdd)
		m.Flags = openflow.FlowCheckOverlap
		m.Match = openflow.NewMatch(openflow.Exact(openflow.EthType, 0x0800), openflow.Exact(openflow.IPProto, 6), // the others are UDP, or from elsewhere
			openflow.Exact(openflow.IPv4Src, 99<<24|uint64(i)))
		return m
	}))
	r.add(row{fmt.Sprintf("ADD with CHECK_OVERLAP among %d", r.n), "us", true, 0}, float64(took.Nanoseconds())/1e3/float64(few))

	part := r.n / 4
	r.rate(row{name: fmt.Sprintf("strict deletes among %d", r.n)}, part, r.finish(encodeMods(mixed, part, openflow.FlowDeleteStrict)))
	told := bench.Encode(part, func(i int) openflow.Message {
		m := flowMod(mixed, i, openflow.FlowAdd)
		m.Flags = openflow.FlowSendRemoved
		return m
	})
	r.finish(told)
	r.rate(row{name: fmt.Sprintf("strict deletes with FLOW_REMOVED among %d", r.n)}, part, r.finish(encodeMods(mixed, part, openflow.FlowDeleteStrict)))
	r.clear()
}

// million is a large set: rate, weight, and the weight when it has gone.
func (r *round) million(m mix) {
	r.settle()
	before := r.rss()
	r.adds(m, r.big)
	if m == mixed {
		r.clear()
		return
	}
	r.settle()
	r.add(row{fmt.Sprintf("resident memory a flow, %d", r.big), "bytes", true, 0.5}, (r.rss()-before)/float64(r.big))
	r.ms(row{name: fmt.Sprintf("delete all %d", r.big)}, r.clear())
	time.Sleep(r.shown)
	r.settle()
	r.add(row{fmt.Sprintf("resident memory, %s after those were deleted", r.shown), "MiB", true, 0}, r.rss()/(1<<20))
}
