// Package benchengine measures the engine of weir in process, from frames in memory to a sink that counts, beside the
// engine of Open vSwitch with DPDK, which gets the same frames and rules, turn by turn, and the ratios of the medians.
//
//	weir:  the benchmarks of flowtable, flowtable/packet and openflow, as "go test -bench" runs them, on processor 1
//	peer:  frames in memory -> one polling thread on processor 1 -> a port that forgets them
//
//	bench_test  the flags, the rounds, and the smoke test that CI runs: weir alone, tiny counts
//	rows_test   what is measured, and the goals
//	weir_test   building and running weir's benchmarks, and reading what they print
//	peer_test   what is measured of Open vSwitch
//	page_test   docs/benchmarks-engine.md and its plot
//
// "make bench-engine" runs it in full. Both sides are judged by the processor time that they used, not by the clock on
// the wall.
package benchengine
