// Package bench is what the benchmarks beside other switches share: the report, the controller, and the switches.
//
//	report   figures by row and switch, medians, ratios, goals
//	plot     the same figures as bars, in SVG
//	page     the tables of a page
//	client   a raw OpenFlow connection that costs little
//	switch   weir and a private Open vSwitch in a lab, each on the processor that is theirs
//	dpdk     an Open vSwitch that forwards from memory to memory
//	machine  pinning, and what the page says about the machine
//
// benchcontrol, benchengine and benchlab say what is measured.
//
// # Concurrency
//
// A Report, a Client and a Switch belong to one goroutine at a time.
package bench
