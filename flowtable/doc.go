// Slow path: the package's map; it holds no code.

// Package flowtable is the switching engine: flow tables as OpenFlow 1.3.5 section 5 describes
// them, and the walk of frames through them.
//
//	FLOW_MOD            Pipeline.FlowMod     flow.go: check, compile.go, edit the draft tables
//	GROUP_MOD           Pipeline.GroupMod    group.go, groupcheck.go, grouptable.go: likewise
//	METER_MOD           Pipeline.MeterMod    meter.go: the same for meters
//	                    Pipeline.Publish     pipeline.go: one atomic store of a new snapshot
//	                                              |
//	frames, a batch  -> Processor.Process    processor.go: load the snapshot once
//	                      cache.go           header words -> path, when the like came before;
//	                                         path.go says what a path is, alteration.go whether it still holds
//	                      walk.go            else table by table: classifier, action set
//	                      remember.go        keeps what the walk met as a path
//	                      resubmit.go        Nicira's resubmit: a further lookup among the ops
//	                      execute.go         ops on the frame; each output calls Sink.Output
//	                      bucket.go          a frame meets a group; spread.go is the hash of select
//	                      reassemble.go      fragments wait for the rest of their packet
//	                      police.go          the meter of an entry, before its actions
//	                      normal.go          what output:NORMAL means: VLANs and flooding;
//	                                         mac.go and fdb.go hold the MAC table
//	                 -> Sink                 the caller: outgoing batches, packet-ins
//
// A match becomes a packet.Key and packet.Mask, instructions become a Program: a list of ops, plain
// data that can be printed, cached, counted and one day translated. An Entry keeps both the
// installed message and the compiled form, so statistics give back exactly what was sent.
//
// # Paths
//
// A path is the list of entries that a frame met, with the merged action set: everything that later
// frames with the same header fields need. Its claim says which bits of the header it rests on: those that
// its lookups looked at, and those that an action copied into others; not those that an action set to the same
// in every frame. If a lookup looks at bits that were changed otherwise (effect.go), the claim is all bits that
// some rule reads, and which headers there are. What a frame
// hides below a tag or label is not in its header fields, so a path that takes one off and goes on
// to another table ends there and the walk continues from that table; so does one through a meter
// that may remark. The path never holds what changes without a publication: ports, the MAC table,
// the levels of meters and time are consulted while ops run.
//
// A publication leaves paths alone. Each knows the last alteration of the tables that it has survived;
// when it is wanted after others, it is held against those (an entry of its own went, or one came that its
// frames might meet), and the walk makes it anew if it fails. So no frame follows a path that is dead.
//
// # Groups
//
// A group op names a place in the snapshot's directory of groups, and is resolved when a frame comes
// to it: a path knows that there is a group, not what it does. Which bucket a select group takes
// hangs on the frame itself and on the links, which no path knows either. Buckets never change the
// frame that the tables go on with, so groups have no part in what a path depends on.
//
// Where the specification leaves a choice, groups do as Open vSwitch does, but for this: what a
// group forwards to or watches must exist and may not lead back (GROUP_FEATURES claims
// OFPGFC_CHAINING_CHECKS), a group that another one uses is not deleted, and a select group's
// bucket that names no watch counts as dead while the port or group it sends to is.
//
// # Concurrency
//
// Pipeline may be used by any number of goroutines; its mutex serialises the writers. Readers never
// take it: they load one pointer to an immutable snapshot, once per batch, so a batch sees one
// switch, and after Publish no later batch sees the old one. Only counters, times of last use, the
// levels of meters and the MAC table change under a published snapshot, all through atomics. A
// Processor belongs to one goroutine at a time; it counts in plain integers and adds them up at the
// end of each batch.
package flowtable
