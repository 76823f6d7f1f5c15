// Package benchcontrol measures the control plane of weir and of Open vSwitch side by side: the same
// OpenFlow bytes over TCP, turn by turn on one machine, and the ratio of the medians.
//
//	bench_test     the flags, the rounds, and the smoke test that CI runs with a few hundred flows
//	cases_test     what is measured, case by case
//	flows_test     the FLOW_MODs: N distinct entries under one mask, or under eight with eight priorities
//	switches_test  both switches of a round, and how the one whose turn it is not is kept content
//	packets_test   frames that meet a table miss, go to the client and come back through a PACKET_OUT
//	report_test    docs/benchmarks-control.md
//
// "make bench-control" runs it in full; absolute figures hold for one machine, ratios travel better.
package benchcontrol
