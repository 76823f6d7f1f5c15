package flowtable

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

func resubmit(in openflow.PortNo, table uint8) openflow.Action {
	return openflow.Action{Type: openflow.NXResubmitTable, Port: in, Table: table}
}

func here(table uint8) openflow.Action { return resubmit(openflow.PortInPort, table) }

// queues sends a frame and gives port/queue of each output.
func (r *rig) queues(in uint32, b []byte) (list []string) {
	r.t.Helper()
	for _, e := range r.send(in, b) {
		var out string
		if _, err := fmt.Sscanf(e, "out %s", &out); err == nil {
			list = append(list, out)
		}
	}
	return list
}

func TestResubmit(t *testing.T) {
	f := udpFrame(ethernet{dst: "2", src: "1"}, 64, 1, 2)
	apply := func(list ...openflow.Action) openflow.Instruction { return openflow.ApplyActions(list...) }
	out := func(n openflow.PortNo) openflow.Action { return openflow.Output(n) }
	from := func(n uint64) openflow.Match { return openflow.NewMatch(openflow.Exact(openflow.InPort, n)) }
	reg0 := func(v uint64) openflow.Action {
		return openflow.Action{Type: openflow.NXLoad, Dst: openflow.SubField{ID: openflow.Reg0, Bits: 32}, Load: v}
	}
	for _, c := range []struct {
		name string
		set  func(r *rig)
		want []string
	}{
		{"in its place among the actions", func(r *rig) {
			r.flow(0, 1, openflow.Match{}, apply(out(2), here(5), out(4)))
			r.flow(5, 1, openflow.Match{}, apply(out(3)))
		}, []string{"2/0", "3/0", "4/0"}},
		{"a table without an entry does nothing", func(r *rig) {
			r.flow(0, 1, openflow.Match{}, apply(here(5), out(4), here(253), out(3)))
		}, []string{"4/0", "3/0"}},
		{"in_port counts for the lookup alone", func(r *rig) {
			r.flow(0, 1, openflow.Match{}, apply(resubmit(7, 5)))
			r.flow(5, 1, from(7), apply(out(1), out(2), openflow.Output(openflow.PortInPort)))
			r.flow(5, 1, from(1), apply(out(4)))
		}, []string{"2/0", "1/0"}}, // out(1) is the port it came from
		{"the older form stays in its table", func(r *rig) {
			r.flow(3, 1, from(1), apply(openflow.Action{Type: openflow.NXResubmit, Port: 9}, out(2)))
			r.flow(3, 1, from(9), apply(out(3)))
			r.flow(0, 1, openflow.Match{}, openflow.GotoTable(3))
		}, []string{"3/0", "2/0"}},
		{"what it changes stays changed", func(r *rig) {
			r.flow(0, 1, openflow.Match{}, apply(here(5), here(6)))
			r.flow(5, 1, openflow.Match{}, apply(reg0(77)))
			r.flow(6, 1, openflow.NewMatch(openflow.Exact(openflow.Reg0, 77)), apply(out(2)))
			r.flow(6, 0, openflow.Match{}, apply(out(3)))
		}, []string{"2/0"}},
		{"it goes on by goto, and writes the action set", func(r *rig) {
			r.flow(0, 1, openflow.Match{}, apply(here(5), out(4)), openflow.WriteActions(out(3)))
			r.flow(5, 1, openflow.Match{}, openflow.WriteActions(openflow.Action{Type: openflow.ActionSetQueue, Queue: 8}), openflow.GotoTable(6))
			r.flow(6, 1, openflow.Match{}, apply(out(2)))
		}, []string{"2/0", "4/0", "3/8"}},
		{"pop_queue", func(r *rig) {
			q := openflow.Action{Type: openflow.ActionSetQueue, Queue: 7}
			r.flow(0, 1, openflow.Match{}, apply(q, out(2), openflow.Action{Type: openflow.NXPopQueue}, out(3)))
		}, []string{"2/7", "3/0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachPath(t, func(t *testing.T, cfg Config) {
				r := newRig(t, cfg, upPorts(4))
				c.set(r)
				for i := range 3 { // the second and third time a path could be remembered
					if got := r.queues(1, f); !slices.Equal(got, c.want) {
						t.Errorf("frame %d: outputs %v, want %v", i, got, c.want)
					}
				}
			})
		})
	}
}

// TestResubmitCounts: every entry that a frame meets counts it, and tables count their lookups.
func TestResubmitCounts(t *testing.T) {
	eachPath(t, func(t *testing.T, cfg Config) {
		r := newRig(t, cfg, upPorts(4))
		r.flow(0, 1, openflow.Match{}, openflow.ApplyActions(here(5), here(5), here(6)))
		r.flow(5, 1, openflow.Match{}, openflow.ApplyActions(openflow.Output(2)))
		f := udpFrame(ethernet{dst: "2", src: "1"}, 64, 1, 2)
		for range 4 {
			r.send(1, f)
		}
		list, _ := r.Flows(AllFlows())
		for i, want := range []uint64{4, 8} {
			if n := list[i].Counters(0); n.Packets != want || n.Bytes != want*uint64(len(f)) {
				t.Errorf("entry %d: %+v, want %d packets", i, n, want)
			}
		}
		st := r.TableStats()
		if st[5].Lookups != 8 || st[5].Matched != 8 || st[6].Lookups != 4 || st[6].Matched != 0 {
			t.Errorf("tables %+v %+v", st[5], st[6])
		}
	})
}

// TestResubmitIsBounded: entries that call themselves, deep or wide, cost a bounded amount and say so.
func TestResubmitIsBounded(t *testing.T) {
	for _, c := range []struct {
		name string
		list []openflow.Action
		most int
	}{
		{"deep", []openflow.Action{openflow.Output(2), here(0)}, maxResubmitDepth + 1},
		{"wide", []openflow.Action{here(0), here(0), openflow.Output(2)}, maxResubmits},
	} {
		eachPath(t, func(t *testing.T, cfg Config) {
			r := newRig(t, cfg, upPorts(2))
			r.flow(0, 1, openflow.Match{}, openflow.ApplyActions(c.list...))
			f := udpFrame(ethernet{dst: "2", src: "1"}, 64, 1, 2)
			for i := range uint64(3) {
				if n := len(r.send(1, f)); n > c.most {
					t.Errorf("%s: %d outputs", c.name, n)
				}
				if d := r.Drops(); d[DropResubmit] != i+1 {
					t.Errorf("%s: %d drops after %d frames", c.name, d[DropResubmit], i+1)
				}
			}
			if r.proc.nested != 0 {
				t.Errorf("%s: depth %d at rest", c.name, r.proc.nested)
			}
		})
	}
}

// TestResubmitInPacketOut: from the first table, with the action set that the entries write.
func TestResubmitInPacketOut(t *testing.T) {
	r := newRig(t, Config{}, upPorts(4))
	r.flow(0, 1, openflow.Match{}, openflow.WriteActions(openflow.Output(3)), openflow.ApplyActions(openflow.Output(2)))
	prog, err := r.CompileActions(openflow.NewActions(here(0xff), openflow.Output(openflow.PortTable), openflow.Output(4)))
	if err != nil {
		t.Fatal(err)
	}
	f := frameOf(1, udpFrame(ethernet{dst: "2", src: "1"}, 64, 1, 2))
	r.proc.PacketOut(0, f, prog, &r.rec)
	var got []uint32
	for _, e := range r.rec.take(t) {
		var no uint32
		fmt.Sscanf(e, "out %d/", &no)
		got = append(got, no)
	}
	if want := []uint32{2, 2, 3, 4, 3}; !slices.Equal(got, want) {
		t.Errorf("outputs %v, want %v", got, want)
	}
}

// TestResubmitMeetsMeters: the meter of the entry that a resubmit finds holds, and what it drops ends
// there.
func TestResubmitMeetsMeters(t *testing.T) {
	eachPath(t, func(t *testing.T, cfg Config) {
		r := newRig(t, cfg, upPorts(4))
		if _, err := r.MeterMod(0, &openflow.MeterMod{Command: openflow.MeterAdd, Meter: 1, Flags: openflow.MeterPktps | openflow.MeterBurst,
			Bands: []openflow.Band{{Type: openflow.BandDrop, Rate: 1, Burst: 2}}}); err != nil {
			t.Fatal(err)
		}
		r.flow(0, 1, openflow.Match{}, openflow.ApplyActions(here(5), openflow.Output(3)))
		r.flow(5, 1, openflow.Match{}, openflow.Instruction{Type: openflow.InstructionMeter, Meter: 1}, openflow.ApplyActions(openflow.Output(2)))
		f := udpFrame(ethernet{dst: "2", src: "1"}, 64, 1, 2)
		passed := 0
		for range 10 {
			passed += len(r.outPorts(1, f))
		}
		if passed != 4 || r.Drops()[DropMeter] != 8 {
			t.Errorf("%d outputs, %d drops; want 2 frames by two ports and 8 drops", passed, r.Drops()[DropMeter])
		}
	})
}

// TestResubmitCountsWhatCameIn: entries behind a resubmit count the bytes that the frame had when it came in, as those
// behind a goto_table do.
func TestResubmitCountsWhatCameIn(t *testing.T) {
	r := newRig(t, Config{}, upPorts(3))
	pop := openflow.Action{Type: openflow.ActionPopVLAN}
	tag := openflow.NewMatch(openflow.WithMask(openflow.VLANVID, openflow.VIDPresent, openflow.VIDPresent))
	r.flow(0, 1, tag, openflow.ApplyActions(pop, here(1)), openflow.GotoTable(2))
	r.flow(1, 1, openflow.Match{}, openflow.ApplyActions(openflow.Output(2)))
	r.flow(2, 1, openflow.Match{}, openflow.ApplyActions(openflow.Output(3)))
	b := udpFrame(ethernet{dst: "2", src: "1", vlans: []uint16{5}}, 64, 1, 2)
	if got := r.outPorts(1, b); len(got) != 2 {
		t.Fatalf("the frame leaves by %v", got)
	}
	list, _ := r.Flows(AllFlows())
	for _, e := range list {
		if n := e.Counters(0).Bytes; n != uint64(len(b)) {
			t.Errorf("table %d counts %d bytes of a frame of %d", e.Table, n, len(b))
		}
	}
	if len(list) != 3 {
		t.Errorf("%d entries", len(list))
	}
}

// TestResubmitInActionSet: a group's bucket and the pipeline's action set may end with a resubmit, as in Open vSwitch:
// the last one counts, it comes last, and an output or a group takes its place.
func TestResubmitInActionSet(t *testing.T) {
	b := udpFrame(ethernet{dst: "2", src: "1"}, 64, 1, 2)
	out := func(n openflow.PortNo) openflow.Action { return openflow.Output(n) }
	apply := func(list ...openflow.Action) openflow.Instruction { return openflow.ApplyActions(list...) }
	write := func(list ...openflow.Action) openflow.Instruction { return openflow.WriteActions(list...) }
	reg0 := openflow.SetField(openflow.Reg0, 7)
	queue := openflow.Action{Type: openflow.ActionSetQueue, Queue: 8}
	dst := openflow.SetField(openflow.EthDst, 9)
	for _, c := range []struct {
		name string
		set  func(r *rig)
		want []string
	}{
		{"a bucket", func(r *rig) {
			r.group(1, typeIndirect, bucketOf(here(5)))
			r.flow(0, 1, openflow.Match{}, apply(openflow.Group(1), out(4)))
			r.flow(5, 1, openflow.Match{}, apply(out(2)), openflow.GotoTable(6))
			r.flow(6, 1, openflow.Match{}, apply(out(3)))
		}, []string{"2/0", "3/0", "4/0"}},
		{"the actions before it count, and end with the bucket", func(r *rig) {
			r.group(1, typeIndirect, bucketOf(here(5), dst, queue, reg0))
			r.flow(0, 1, openflow.Match{}, apply(openflow.Group(1), here(6)))
			r.flow(5, 1, openflow.NewMatch(openflow.Exact(openflow.EthDst, 9), openflow.Exact(openflow.Reg0, 7)), apply(out(2)))
			r.flow(6, 1, openflow.NewMatch(openflow.Exact(openflow.Reg0, 7)), apply(out(3)))
			r.flow(6, 1, openflow.NewMatch(openflow.Exact(openflow.Reg0, 0)), apply(out(4)))
		}, []string{"2/8", "4/0"}},
		{"what it leads to ends with the bucket", func(r *rig) {
			r.group(1, typeAll, bucketOf(here(5)), bucketOf(here(6)))
			r.flow(0, 1, openflow.Match{}, apply(openflow.Group(1), here(6)), openflow.WriteActions(openflow.Group(1)))
			r.flow(5, 1, openflow.Match{}, apply(reg0, dst, out(2)), openflow.Instruction{Type: openflow.InstructionWriteMetadata, Metadata: 7, MetadataMask: 7})
			r.flow(6, 2, openflow.NewMatch(openflow.Exact(openflow.Reg0, 7)), apply(out(3)))
			r.flow(6, 2, openflow.NewMatch(openflow.Exact(openflow.Metadata, 7)), apply(out(3)))
			r.flow(6, 2, openflow.NewMatch(openflow.Exact(openflow.EthDst, 9)), apply(out(3)))
			r.flow(6, 1, openflow.Match{}, apply(out(4)))
		}, []string{"2/0", "4/0", "4/0", "2/0", "4/0"}},
		{"the last of two", func(r *rig) {
			r.group(1, typeIndirect, bucketOf(here(5), here(6)))
			r.flow(0, 1, openflow.Match{}, apply(openflow.Group(1)))
			r.flow(5, 1, openflow.Match{}, apply(out(2)))
			r.flow(6, 1, openflow.Match{}, apply(out(3)))
		}, []string{"3/0"}},
		{"an output takes its place", func(r *rig) {
			r.group(1, typeIndirect, bucketOf(out(3), here(5)))
			r.flow(0, 1, openflow.Match{}, apply(openflow.Group(1)), write(here(5), out(4)))
			r.flow(5, 1, openflow.Match{}, apply(out(2)))
		}, []string{"3/0", "4/0"}},
		{"a group takes its place", func(r *rig) {
			r.group(2, typeIndirect, bucketOf(out(3)))
			r.group(1, typeIndirect, bucketOf(here(5), openflow.Group(2), out(4)))
			r.flow(0, 1, openflow.Match{}, apply(openflow.Group(1)))
			r.flow(5, 1, openflow.Match{}, apply(out(2)))
		}, []string{"3/0"}},
		{"a bucket cannot write the action set around it", func(r *rig) {
			r.group(1, typeAll, bucketOf(here(5)), bucketOf(here(6)))
			r.flow(0, 1, openflow.Match{}, apply(openflow.Group(1)), write(out(4), queue))
			r.flow(5, 1, openflow.Match{}, write(out(3)), openflow.GotoTable(6))
			r.flow(6, 1, openflow.NewMatch(openflow.Exact(openflow.ActsetOutput, unsetOutput)), apply(out(2)))
			r.flow(6, 1, openflow.NewMatch(openflow.Exact(openflow.ActsetOutput, 3)), apply(out(3)))
		}, []string{"3/0", "2/0", "4/8"}},
		{"the group is in the action set", func(r *rig) {
			r.group(1, typeAll, bucketOf(here(5)), bucketOf(here(6)))
			r.flow(0, 1, openflow.Match{}, write(openflow.Group(1), queue))
			r.flow(5, 1, openflow.Match{}, write(out(3), dst), apply(out(4)))
			r.flow(6, 1, openflow.Match{}, apply(out(2)))
		}, []string{"4/8", "2/8"}},
		{"a written one", func(r *rig) {
			r.flow(0, 1, openflow.Match{}, write(here(5)), openflow.GotoTable(1))
			r.flow(1, 1, openflow.Match{}, write(dst))
			r.flow(5, 1, openflow.NewMatch(openflow.Exact(openflow.EthDst, 9)), apply(out(2)), write(out(3)))
		}, []string{"2/0"}},
		{"behind a path that is remembered", func(r *rig) {
			r.group(1, typeIndirect, bucketOf(here(5)))
			r.flow(0, 1, openflow.Match{}, apply(openflow.Group(1)), openflow.GotoTable(1))
			r.flow(1, 1, openflow.Match{}, write(out(4)), openflow.GotoTable(2))
			r.flow(2, 1, openflow.Match{}, apply(openflow.Group(1), dst, out(3)), write(queue))
			r.flow(5, 1, openflow.Match{}, apply(out(2)), write(out(3)))
		}, []string{"2/0", "2/0", "3/0", "4/8"}},
		{"groups and tables in turn", func(r *rig) {
			r.group(2, typeIndirect, bucketOf(here(6)))
			r.group(1, typeIndirect, bucketOf(here(5)))
			r.flow(0, 1, openflow.Match{}, apply(openflow.Group(1)))
			r.flow(5, 1, openflow.Match{}, apply(openflow.Group(2), out(3)))
			r.flow(6, 1, openflow.Match{}, apply(out(2)))
		}, []string{"2/0", "3/0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachPath(t, func(t *testing.T, cfg Config) {
				r := newRig(t, cfg, upPorts(4))
				c.set(r)
				for i := range 3 { // the second and third time by what was remembered
					if got := r.queues(1, b); !slices.Equal(got, c.want) {
						t.Errorf("frame %d: outputs %v, want %v", i, got, c.want)
					}
				}
				list, _ := r.Flows(AllFlows())
				for _, e := range list {
					if n := e.Counters(0); n.Bytes != n.Packets*uint64(len(b)) {
						t.Errorf("table %d counts %+v of frames of %d bytes", e.Table, n, len(b))
					}
				}
				prog, err := r.CompileActions(openflow.NewActions(openflow.Output(openflow.PortTable)))
				if err != nil {
					t.Fatal(err)
				}
				r.proc.PacketOut(0, frameOf(1, b), prog, &r.rec)
				if got := len(r.rec.take(t)); got != len(c.want) {
					t.Errorf("%d outputs of a PACKET_OUT, want %d", got, len(c.want))
				}
			})
		})
	}
}

// TestResubmitInBucketIsBounded: a bucket that leads back to its own group costs a bounded amount and says so, each time.
func TestResubmitInBucketIsBounded(t *testing.T) {
	eachPath(t, func(t *testing.T, cfg Config) {
		r := newRig(t, cfg, upPorts(2))
		r.group(1, typeAll, bucketOf(here(0)), bucketOf(here(0)), bucketOf(openflow.Output(2)))
		r.flow(0, 1, openflow.Match{}, openflow.ApplyActions(openflow.Group(1)))
		last := uint64(0)
		for range 3 {
			if n := len(r.send(1, anyFrame)); n == 0 || n > maxRuns {
				t.Errorf("%d outputs", n)
			}
			now := r.Drops()[DropResubmit]
			if now == last {
				t.Error("no drop is counted")
			}
			last = now
		}
		if r.proc.nested != 0 || r.proc.depth != 0 {
			t.Errorf("depth %d and %d at rest", r.proc.nested, r.proc.depth)
		}
	})
}

// TestResubmitInBucketIsRemembered: a path to a group serves whatever its buckets do, also after they have changed.
func TestResubmitInBucketIsRemembered(t *testing.T) {
	r := newRig(t, Config{}, upPorts(4))
	r.group(1, typeIndirect, bucketOf(openflow.Output(2)))
	r.flow(0, 1, openflow.Match{}, openflow.ApplyActions(openflow.Group(1)), openflow.WriteActions(openflow.Output(4)))
	r.flow(5, 1, openflow.Match{}, openflow.ApplyActions(openflow.Output(3)), openflow.WriteActions(openflow.Output(2)))
	for i, c := range []struct {
		bucket openflow.Bucket
		want   []string
	}{{bucketOf(openflow.Output(2)), []string{"2/0", "4/0"}}, {bucketOf(here(5)), []string{"3/0", "4/0"}}, {bucketOf(here(7)), []string{"4/0"}}} {
		r.group(1, typeIndirect, c.bucket)
		for range 2 {
			if got := r.queues(1, anyFrame); !slices.Equal(got, c.want) {
				t.Errorf("bucket %d: %v, want %v", i, got, c.want)
			}
		}
	}
	if n := r.proc.cache.paths.inUse; n != 1 {
		t.Errorf("%d paths are remembered, want 1", n)
	}
}

// TestVerdictBehindBucket: what a bucket's resubmit leads to is told under the entry that names the group.
func TestVerdictBehindBucket(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(3))
		r.group(1, typeIndirect, bucketOf(here(5)))
		r.flow(0, 1, openflow.Match{}, openflow.GotoTable(1))
		r.flow(1, 2, openflow.Match{}, openflow.ApplyActions(openflow.Group(1)), openflow.GotoTable(2))
		r.flow(2, 3, openflow.Match{}, openflow.WriteActions(openflow.Group(1)))
		r.flow(5, 4, openflow.Match{}, openflow.ApplyActions(openflow.Output(2)))
		for i := range 2 {
			var v Verdict
			r.proc.Watch(r.now, frameOf(1, anyFrame), &r.rec, &v)
			want := []BehindStep{{Step{5, 4, 0}, true, 1, 1}, {Step{5, 4, 0}, true, 2, 1}}
			if !slices.Equal(v.Behind, want) || v.Cached != (i == 1 && !c.NoCache) {
				t.Errorf("frame %d: %+v", i, v)
			}
			r.rec.take(t)
		}
	})
}

// TestResubmitBehindAnExpiredTTL: the first frame of a flow ends in the action set, in front of the resubmit. The
// frames after it go where they would have gone without it.
func TestResubmitBehindAnExpiredTTL(t *testing.T) {
	eachPath(t, func(t *testing.T, cfg Config) {
		r := newRig(t, cfg, upPorts(4))
		r.flow(0, 1, ipMatch(), openflow.WriteActions(openflow.Action{Type: openflow.ActionDecNwTTL}, here(5)))
		r.flow(5, 1, openflow.NewMatch(openflow.Exact(openflow.ActsetOutput, unsetOutput)), toPort(2))
		r.flow(5, 0, openflow.Match{}, toPort(3))
		for _, ttl := range []uint8{1, 64, 65} {
			b := udpFrame(ethernet{dst: "2", src: "1"}, ttl, 1, 2)
			if got := r.outPorts(1, b); ttl == 1 && len(got) != 0 || ttl > 1 && !slices.Equal(got, []uint32{2}) {
				t.Errorf("a frame with a TTL of %d left by %v", ttl, got)
			}
		}
	})
}
