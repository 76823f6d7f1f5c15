// Package integration tests the whole switch: the real program in network namespaces, under traffic of real hosts,
// beside the tools and controllers that people use with it.
//
//	lab/            hosts, links, pings, streams (also what examples/quickstart stands on)
//	harness_test    building weir once, starting it, its command line, ovs-ofctl
//	*_test          one file for each thing that must be seen
//	testdata/       the Python halves: judge.py for scapy, role.py for os-ken
//
// A test has its own namespaces and its own run directory, and waits for conditions, never for time. Without the right
// to make namespaces, or without a program to compare with, a test skips and says why; with CI=true it fails.
//
// # Concurrency
//
// Tests run one after the other: several measure throughput.
package integration
