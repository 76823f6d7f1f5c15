package benchengine

import (
	"fmt"

	"github.com/weirswitch/weir/integration/bench"
)

// The peer's columns: which of its caches serve.
const (
	nameEMC   = "OVS-DPDK, EMC"     // the exact match cache of 8192 entries, as it is by default
	nameSMC   = "OVS-DPDK, EMC+SMC" // and the signature match cache
	nameDpcls = "OVS-DPDK, dpcls"   // neither: the classifier of its megaflows alone
)

const (
	mpps = "Mpps"
	ns   = "ns"
)

// matter is a group of rows that are measured together.
type matter struct {
	name string            // -bench.only chooses by it
	weir []ask             // weir's figures
	peer func(*turn) error // the peer's; nil for none
	tiny bool              // part of the smoke test: of one package, so that one program has to be built
}

// ask is one figure of weir: what a benchmark prints.
type ask struct {
	row   bench.Row
	pkg   string // of the benchmark, a folder of the module
	bench string // a regexp of go test
	unit  string // which of its figures
}

// rowOf is the row of tables with a rule for each flow.
func rowOf(rules, flows string, goals ...bench.Goal) bench.Row {
	return bench.Row{Name: fmt.Sprintf("%s, %s", count(rules, "rule"), count(flows, "flow")), Unit: mpps, Goals: goals}
}

func count(n, what string) string {
	if n == "1" {
		return n + " " + what
	}
	return n + " " + what + "s"
}

func least(v float64) bench.Goal { return bench.Goal{Factor: v} }

// beside is a goal for each of some columns of the peer: it is to hold for the best of them.
func beside(factor float64, names ...string) (list []bench.Goal) {
	for _, n := range names {
		list = append(list, bench.Goal{Of: n, Factor: factor})
	}
	return list
}

var (
	oneFlow     = rowOf("1", "1", append(beside(1, nameEMC, nameDpcls), least(20))...)
	oneRule     = rowOf("1", "1k")
	oneRuleMany = rowOf("1", "100k")
	small       = rowOf("1k", "1k", beside(1.5, nameEMC, nameSMC)...)
	middle      = rowOf("10k", "10k", beside(2, nameEMC, nameSMC)...)
	large       = rowOf("100k", "100k", least(8))
	million     = rowOf("100k", "1M", least(5))
	wildSmall   = bench.Row{Name: "wildcard cache only, 1k rules", Unit: mpps, Goals: beside(3, nameDpcls)}
	wildMiddle  = bench.Row{Name: "wildcard cache only, 10k rules", Unit: mpps, Goals: beside(3, nameDpcls)}
	missRules   = bench.Row{Name: "misses, 100k rules, frames of the rules", Unit: "M/s", Goals: []bench.Goal{least(1)}}
	missAny     = bench.Row{Name: "misses, 100k rules, frames of strangers", Unit: "M/s", Goals: []bench.Goal{least(1)}}
	keptMiddle  = bench.Row{Name: "under 1,000 FLOW_MODs/s, 10k flows", Unit: "of the rate at rest", Goals: []bench.Goal{least(0.8)}}
	keptLarge   = bench.Row{Name: "under 1,000 FLOW_MODs/s, 100k flows", Unit: "of the rate at rest", Goals: []bench.Goal{least(0.8)}}
)

const engine = "flowtable"

// hit, wild, miss and kept ask the Engine benchmarks of package flowtable.
func hit(w bench.Row, rules, flows int) ask {
	return ask{row: w, pkg: engine, bench: fmt.Sprintf("^BenchmarkEngineHit$/^rules=%d$/^flows=%d$", rules, flows), unit: mpps}
}

func wild(w bench.Row, rules int) ask {
	return ask{row: w, pkg: engine, bench: fmt.Sprintf("^BenchmarkEngineWild$/^rules=%d$", rules), unit: mpps}
}

func miss(w bench.Row, frames string) ask {
	return ask{row: w, pkg: engine, bench: "^BenchmarkEngineMiss$/^" + frames + "$", unit: mpps}
}

func kept(w bench.Row, flows int) ask {
	return ask{row: w, pkg: engine, bench: fmt.Sprintf("^BenchmarkEngineChanges$/^rate$/^flows=%d$", flows), unit: "kept"}
}

func walk(rules int, name string) ask {
	return ask{row: bench.Row{Name: "walk without any cache, " + name, Unit: mpps}, pkg: engine,
		bench: fmt.Sprintf("^BenchmarkEngineWalk$/^rules=%d$", rules), unit: mpps}
}

// part is a figure of one step alone.
func part(name, pkg, benchmark string) ask {
	return ask{row: bench.Row{Name: name, Unit: ns, Less: true}, pkg: pkg, bench: benchmark, unit: "ns/op"}
}

// matters are all rows. The peer's tables grow from one to the next.
func matters() []matter {
	const header = "flowtable/packet"
	frame := func(name, benchmark string) ask {
		a := part(name, engine, benchmark)
		a.unit = "ns/frame"
		return a
	}
	return []matter{
		{name: "one", weir: []ask{hit(oneFlow, 1, 1), hit(oneRule, 1, 1000), hit(oneRuleMany, 1, 100_000)}, peer: (*turn).one},
		{name: "1k", weir: []ask{hit(small, 1000, 1000), wild(wildSmall, 1000)}, peer: (*turn).small, tiny: true},
		{name: "10k", weir: []ask{hit(middle, 10_000, 10_000), wild(wildMiddle, 10_000), kept(keptMiddle, 10_000)}, peer: (*turn).middle},
		{name: "100k", weir: []ask{hit(large, 100_000, 100_000), kept(keptLarge, 100_000)}, peer: (*turn).large},
		{name: "1M", weir: []ask{hit(million, 100_000, 1_000_000)}},
		{name: "miss", weir: []ask{miss(missRules, "rules"), miss(missAny, "any")}, peer: (*turn).misses},
		{name: "walk", weir: []ask{walk(1, "1 rule"), walk(1000, "1k rules"), walk(10_000, "10k rules"), walk(100_000, "100k rules")}},
		{name: "parse", weir: []ask{
			part("parse, TCP over IPv4", header, "^BenchmarkParse$/^TCPv4$"),
			part("parse, TCP over IPv4 with a VLAN tag", header, "^BenchmarkParse$/^VLAN$"),
			part("parse, TCP over IPv6", header, "^BenchmarkParse$/^TCPv6$")}},
		{name: "actions", weir: []ask{
			frame("a whole frame: output", "^BenchmarkProcess$/^flows=1$"),
			frame("a whole frame: set_field and output", "^BenchmarkProcess$/^rewrite$"),
			frame("a whole frame: the learning switch", "^BenchmarkProcess$/^normal$"),
			part("set_field of ipv4_dst, checksums included", header, "^BenchmarkRewrite$/^IPv4Dst$"),
			part("set_nw_ttl and dec_nw_ttl", header, "^BenchmarkRewrite$/^DecTTL$"),
			part("push_vlan and pop_vlan", header, "^BenchmarkRewrite$/^PushPopVLAN$")}},
		{name: "codec", weir: []ask{
			part("reading a FLOW_MOD", "openflow", "^BenchmarkDecodeFlowMod$"),
			part("writing a PACKET_IN", "openflow", "^BenchmarkAppendPacketIn$")}},
	}
}
