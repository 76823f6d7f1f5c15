// Package benchlab measures the data path of weir beside other switches and beside what the machine can do at all: the
// same frames through network namespaces, turn by turn, and the ratios of the medians.
//
//	host h1 eth0 --veth-- p1 [switch] p2 --veth-- eth0 host h2
//	processor 0           |  processor 1: the switch, if it is a process, and what the kernel does when it sends
//
//	bench_test     the flags, the rounds, and the smoke test that CI runs with tiny counts
//	switches_test  weir, Open vSwitch with packet sockets and with AF_XDP, the kernel's bridge and redirects, and
//	forward_test   bare forwarders, which say what a Go program can reach at most
//	source_test    frames from a packet socket, or made by the kernel ("live")
//	bpf_test       the programs in the kernel: source, sinks, redirects
//	flows_test     N flows, their frames, and the rules of eight masks that match them
//	pps_test       small frames: one flow, tables, tables that change
//	hosts_test     TCP streams and round trips
//	rest_test      starting, and doing nothing
//	page_test      docs/benchmarks-lab.md and its plots
//
// "make bench-lab" runs it in full. Nothing is left behind, also after Ctrl-C: programs, devices and namespaces live no
// longer than the process that made them.
package benchlab
