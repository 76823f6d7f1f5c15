// Package conformance tests a whole switch against the text of the OpenFlow Switch Specification 1.3.5.
//
//	case_test       a case as a row of a table: name, section, requests, frames in -> frames and messages out
//	switch_test     agent.NewSwitch between pipes and a controller; the clock is a ManualClock
//	frame_test      frames written as lists of headers, with checksums computed the slow way
//	flow_test       short words for flow entries and actions
//	match_*_test    sections 5.3 and 7.2.3: each match field
//	action_*_test   sections 5.9 to 5.12 and 7.2.4 to 7.2.5: instructions, actions, the action set
//	stage_test      a case in steps: counters, time, messages; the files below are such plays
//	flowmod_test, lifetime_test     sections 5.1 to 5.5 and 6.4: which entries, how long, what they count
//	group_test, meter_test          sections 5.6 and 5.7, 6.5 and 6.6, queues
//	features_test, multipart_test   section 7.3.5
//	length_test, overports_test     frames of all lengths; the tests above over ports of every kind in the place of pipes
//	message_test, print_test        the rest of section 7, and ovs-ofctl as a reader of it
//
// Every case runs on a switch with the flow cache and on one without, every frame of it several times, so
// that a remembered path answers too, and once as a PACKET_OUT to TABLE. Nothing here computes what is
// expected with weir's own code: frames are compared with frames that frame_test builds from nothing.
//
// # Concurrency
//
// A switch here has one worker and a clock that stands: what it does is a function of what it is sent. No
// test waits for time, only for conditions.
package conformance
