// Package oracle compares weir with Open vSwitch: the same FLOW_MODs as OpenFlow 1.3 bytes, the same
// frames, and then the same frames out, packet-ins, errors, FLOW_REMOVEDs and counters.
//
//	generate_test   a seed -> a random life: flow mods, frames, pauses
//	match_test actions_test frames_test mutate_test scramble_test   what it is made of
//	case_test       a life as values, and as text a person can read
//	ovs_test        a private ovs-vswitchd with its dummy datapath and stopped clock
//	weir_test       agent.Switch with pipes and a ManualClock, with and without the flow cache
//	run_test        plays a life on all of them and compares step by step
//	shrink_test     the smallest life that still differs
//	deviations_test what Open vSwitch is known to do otherwise; README.md says why weir differs
//	recognise_test examples_test   how a deviation is recognised in a life, and the smallest life of each
//
// A disagreement is a bug of weir, or it gets a name in deviations_test.go and a line in README.md. The
// generator leaves out what has a name, and each name has an example that must still differ.
//
// # Concurrency
//
// One life at a time: Open vSwitch keeps one bridge for all of them. Both switches are asked to be
// idle before their answers are read, and no test waits for time.
package oracle
