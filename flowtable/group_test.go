package flowtable

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// bucketOf watches nothing.
func bucketOf(list ...openflow.Action) openflow.Bucket {
	return openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: openflow.NewActions(list...)}
}

func weighted(w uint16, list ...openflow.Action) openflow.Bucket {
	b := bucketOf(list...)
	b.Weight = w
	return b
}

func watching(port openflow.PortNo, list ...openflow.Action) openflow.Bucket {
	b := bucketOf(list...)
	b.WatchPort = port
	return b
}

func watchingGroup(id uint32, list ...openflow.Action) openflow.Bucket {
	b := bucketOf(list...)
	b.WatchGroup = id
	return b
}

const (
	typeAll      = openflow.GroupTypeAll
	typeSelect   = openflow.GroupTypeSelect
	typeIndirect = openflow.GroupTypeIndirect
	typeFailover = openflow.GroupTypeFastFailover
)

// group adds a group, or changes the one of that number.
func (r *rig) group(id uint32, typ openflow.GroupType, buckets ...openflow.Bucket) {
	r.t.Helper()
	m := &openflow.GroupMod{Group: id, Type: typ, Buckets: buckets}
	if r.GroupStats(0, id) != nil {
		m.Command = openflow.GroupModify
	}
	if _, err := r.GroupMod(r.now, m); err != nil {
		r.t.Fatal(err)
	}
	r.Publish()
}

// TestGroupModErrors: the wrong request and the code of section 7.4.4, Open vSwitch's where there is
// a choice; and nothing changed.
func TestGroupModErrors(t *testing.T) {
	const failed = openflow.ErrGroupModFailed
	out := openflow.Output(2)
	tests := []struct {
		name string
		mod  openflow.GroupMod
		typ  openflow.ErrorType
		code uint16
	}{
		{"unknown command", openflow.GroupMod{Command: 3}, failed, openflow.GMFCBadCommand},
		{"unknown type", openflow.GroupMod{Group: 9, Type: 4}, failed, openflow.GMFCBadType},
		{"exists", openflow.GroupMod{Group: 1}, failed, openflow.GMFCGroupExists},
		{"modify unknown", openflow.GroupMod{Command: openflow.GroupModify, Group: 9}, failed, openflow.GMFCUnknownGroup},
		{"modify all", openflow.GroupMod{Command: openflow.GroupModify, Group: openflow.GroupAll}, failed, openflow.GMFCUnknownGroup},
		{"reserved number", openflow.GroupMod{Group: openflow.GroupMax + 1}, failed, openflow.GMFCInvalidGroup},
		{"add or modify what is reserved", openflow.GroupMod{Command: openflow.GroupAddOrModify, Group: openflow.GroupMax + 1}, failed, openflow.GMFCInvalidGroup},
		{"Open vSwitch's next command", openflow.GroupMod{Command: openflow.GroupAddOrModify + 1}, failed, openflow.GMFCBadCommand},
		{"add all", openflow.GroupMod{Group: openflow.GroupAll}, failed, openflow.GMFCInvalidGroup},
		{"indirect without bucket", openflow.GroupMod{Group: 9, Type: typeIndirect}, failed, openflow.GMFCInvalidGroup},
		{"indirect with two", openflow.GroupMod{Group: 9, Type: typeIndirect, Buckets: []openflow.Bucket{bucketOf(out), bucketOf(out)}}, failed, openflow.GMFCInvalidGroup},
		{"weight in all", openflow.GroupMod{Group: 9, Buckets: []openflow.Bucket{weighted(1, out)}}, failed, openflow.GMFCInvalidGroup},
		{"weight in failover", openflow.GroupMod{Group: 9, Type: typeFailover, Buckets: []openflow.Bucket{{Weight: 1, WatchPort: 1, WatchGroup: openflow.GroupAny}}}, failed, openflow.GMFCInvalidGroup},
		{"failover without watch", openflow.GroupMod{Group: 9, Type: typeFailover, Buckets: []openflow.Bucket{bucketOf(out)}}, failed, openflow.GMFCInvalidGroup},
		{"watch_port in all", openflow.GroupMod{Group: 9, Buckets: []openflow.Bucket{watching(1, out)}}, failed, openflow.GMFCWatchUnsupported},
		{"watch_group in indirect", openflow.GroupMod{Group: 9, Type: typeIndirect, Buckets: []openflow.Bucket{watchingGroup(1, out)}}, failed, openflow.GMFCWatchUnsupported},
		{"watch_port CONTROLLER", openflow.GroupMod{Group: 9, Type: typeFailover, Buckets: []openflow.Bucket{watching(openflow.PortController, out)}}, failed, openflow.GMFCBadWatch},
		{"watch_port 0", openflow.GroupMod{Group: 9, Type: typeFailover, Buckets: []openflow.Bucket{watching(0, out)}}, failed, openflow.GMFCBadWatch},
		{"watch_group unknown", openflow.GroupMod{Group: 9, Type: typeFailover, Buckets: []openflow.Bucket{watchingGroup(77, out)}}, failed, openflow.GMFCBadWatch},
		{"watch_group ALL", openflow.GroupMod{Group: 9, Type: typeSelect, Buckets: []openflow.Bucket{watchingGroup(openflow.GroupAll, out)}}, failed, openflow.GMFCBadWatch},
		{"forward to itself", openflow.GroupMod{Group: 9, Buckets: []openflow.Bucket{bucketOf(openflow.Group(9))}}, failed, openflow.GMFCLoop},
		{"watch itself", openflow.GroupMod{Group: 9, Type: typeFailover, Buckets: []openflow.Bucket{watchingGroup(9, out)}}, failed, openflow.GMFCLoop},
		{"loop of two", openflow.GroupMod{Command: openflow.GroupModify, Group: 1, Buckets: []openflow.Bucket{bucketOf(openflow.Group(2))}}, failed, openflow.GMFCLoop},
		{"loop of three", openflow.GroupMod{Command: openflow.GroupModify, Group: 1, Buckets: []openflow.Bucket{bucketOf(openflow.Group(3))}}, failed, openflow.GMFCLoop},
		{"loop of watches", openflow.GroupMod{Command: openflow.GroupModify, Group: 1, Type: typeFailover, Buckets: []openflow.Bucket{watchingGroup(3, out)}}, failed, openflow.GMFCLoop},
		{"delete a link of a chain", openflow.GroupMod{Command: openflow.GroupDelete, Group: 1}, failed, openflow.GMFCChainedGroup},
		{"delete a watched one", openflow.GroupMod{Command: openflow.GroupDelete, Group: 2}, failed, openflow.GMFCChainedGroup},
		{"too many of a type", openflow.GroupMod{Group: 9, Type: typeFailover}, failed, openflow.GMFCOutOfGroups},
		{"too many by a change", openflow.GroupMod{Command: openflow.GroupModify, Group: 1, Type: typeFailover}, failed, openflow.GMFCOutOfGroups},
		{"too many buckets", openflow.GroupMod{Group: 9, Buckets: slices.Repeat([]openflow.Bucket{bucketOf()}, 4093)}, failed, openflow.GMFCOutOfBuckets},
		{"forward to an unknown one", openflow.GroupMod{Group: 9, Buckets: []openflow.Bucket{bucketOf(openflow.Group(77))}}, openflow.ErrBadAction, openflow.BACBadOutGroup},
		{"forward to ANY", openflow.GroupMod{Group: 9, Buckets: []openflow.Bucket{bucketOf(openflow.Group(openflow.GroupAny))}}, openflow.ErrBadAction, openflow.BACBadOutGroup},
		{"output to ANY", openflow.GroupMod{Group: 9, Buckets: []openflow.Bucket{bucketOf(openflow.Output(openflow.PortAny))}}, openflow.ErrBadAction, openflow.BACBadOutPort},
		{"output to TABLE", openflow.GroupMod{Group: 9, Buckets: []openflow.Bucket{bucketOf(openflow.Output(openflow.PortTable))}}, openflow.ErrBadAction, openflow.BACBadOutPort},
		{"what no action set holds", openflow.GroupMod{Group: 9, Buckets: []openflow.Bucket{bucketOf(openflow.Action{Type: openflow.NXMove,
			Src: openflow.SubField{ID: openflow.Reg0, Bits: 8}, Dst: openflow.SubField{ID: openflow.Reg0 + 1, Bits: 8}})}}, openflow.ErrBadAction, openflow.BACUnsupportedOrder},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, Config{MaxGroups: 3}, upPorts(3))
			r.group(1, typeAll, bucketOf(out))
			r.group(2, typeAll, bucketOf(openflow.Group(1)))
			r.group(3, typeFailover, watchingGroup(2, openflow.Group(1)))
			if tt.code == openflow.GMFCOutOfGroups && tt.typ == failed {
				r.group(4, typeFailover)
				r.group(5, typeFailover)
			}
			before := fmt.Sprint(groupTexts(r.GroupStats(0, openflow.GroupAll)))
			_, err := r.GroupMod(0, &tt.mod)
			var e *openflow.Error
			if !errors.As(err, &e) || e.Type != tt.typ || e.Code != tt.code {
				t.Fatalf("got %v, expected type %v code %d", err, tt.typ, tt.code)
			}
			if after := fmt.Sprint(groupTexts(r.GroupStats(0, openflow.GroupAll))); after != before {
				t.Fatalf("changed in spite of the error:\n%s\n%s", before, after)
			}
			for id := uint32(3); id > 0; id-- { // the notes of who uses whom are whole: last in, first out
				if _, err := r.GroupMod(0, &openflow.GroupMod{Command: openflow.GroupDelete, Group: id}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestGroupChainIsBounded: 32 groups may follow each other, no matter in which order they were made.
func TestGroupChainIsBounded(t *testing.T) {
	r := newRig(t, Config{}, upPorts(3))
	r.group(1, typeAll, bucketOf(openflow.Output(2)))
	for id := uint32(2); id <= 32; id++ {
		r.group(id, typeAll, bucketOf(openflow.Group(id-1)))
	}
	r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Group(32)))
	if got := r.outPorts(1, anyFrame); !slices.Equal(got, []uint32{2}) {
		t.Fatalf("went to %v", got)
	}
	tooLong := &openflow.Error{Type: openflow.ErrGroupModFailed, Code: openflow.GMFCChainingUnsupported}
	_, err := r.GroupMod(0, &openflow.GroupMod{Group: 33, Buckets: []openflow.Bucket{bucketOf(openflow.Group(32))}})
	if !errors.Is(err, tooLong) {
		t.Errorf("the 33rd on top: %v", err)
	}
	r.group(40, typeAll)
	_, err = r.GroupMod(0, &openflow.GroupMod{Command: openflow.GroupModify, Group: 1, Buckets: []openflow.Bucket{bucketOf(openflow.Group(40))}})
	if !errors.Is(err, tooLong) {
		t.Errorf("the 33rd below: %v", err)
	}
	_, err = r.GroupMod(0, &openflow.GroupMod{Command: openflow.GroupModify, Group: 16, Buckets: []openflow.Bucket{bucketOf(openflow.Group(40))}})
	if err != nil {
		t.Errorf("a short cut: %v", err)
	}
}

// TestGroupTypes: who gets what, by the bytes.
func TestGroupTypes(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(5))
		to := func(n openflow.PortNo) openflow.Action { return openflow.Output(n) }
		dst := func(d uint64) openflow.Action { return openflow.SetField(openflow.EthDst, 0x020000000000|d) }
		sent := func(port uint32, d string) string {
			return outputEvent(port, 0, udpFrame(ethernet{dst: d, src: "1"}, 64, 10, 20))
		}
		frame := udpFrame(ethernet{dst: "2", src: "1"}, 64, 10, 20)
		check := func(what string, want ...string) {
			t.Helper()
			for range 3 { // walked, then remembered
				got := r.send(1, frame)
				for i := range got { // addresses alone tell the frames apart
					got[i] = got[i][:len("out 2/0 ")+12]
				}
				var w []string
				for _, e := range want {
					w = append(w, e[:len("out 2/0 ")+12])
				}
				if !slices.Equal(got, w) {
					t.Fatalf("%s:\n got %q\nwant %q", what, got, w)
				}
			}
		}
		r.group(1, typeAll, bucketOf(to(2), dst(7)), bucketOf(to(3)), bucketOf(dst(8), to(1)), bucketOf(to(openflow.PortInPort)))
		r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Group(1), to(4)))
		check("all, each on its own copy, not back to the in_port, the frame unchanged behind it", sent(2, "7"), sent(3, "2"), sent(1, "2"), sent(4, "2"))

		r.flow(0, 1, inPort(1), openflow.WriteActions(openflow.Group(1), to(4), dst(9)))
		check("in the action set: in place of the output, after set_field", sent(2, "7"), sent(3, "9"), sent(1, "9"))

		r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Group(1)))
		r.group(1, typeIndirect, bucketOf(to(5), dst(5)))
		check("indirect, after a change of type", sent(5, "5"))

		r.group(2, typeAll, bucketOf(dst(6), openflow.Group(1), to(3)), bucketOf(to(2)))
		r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Group(2)))
		check("a chain; in a bucket, too, the group replaces the output", sent(5, "5"), sent(2, "2"))

		r.group(1, typeAll)
		check("an emptied group drops", sent(2, "2"))

		r.group(3, typeFailover, watching(2, to(2)), watching(3, to(3)))
		r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Group(3)))
		check("the first bucket", sent(2, "2"))
		ports := upPorts(5)
		ports[1].LinkUp = false
		r.SetPorts(ports)
		check("the second, without another publication", sent(3, "2"))
		ports[2].Config = openflow.PortDown
		r.SetPorts(ports)
		drops := r.Drops()
		check("none")
		if d := r.Drops(); d[DropNoBucket] != drops[DropNoBucket]+3 {
			t.Errorf("%v", d)
		}
		r.SetPorts(upPorts(5))
		check("the first again", sent(2, "2"))
	})
}

// TestBucketsDoNotLeak: a queue, a register, an expired TTL or a header that one bucket takes off
// are no other bucket's affair, nor of the tables behind.
func TestBucketsDoNotLeak(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(5))
		queue := openflow.Action{Type: openflow.ActionSetQueue, Queue: 7}
		r.group(1, typeAll,
			bucketOf(queue, openflow.SetField(openflow.Reg0, 1), openflow.SetField(openflow.TunnelID, 5), openflow.Output(2)),
			bucketOf(openflow.Action{Type: openflow.ActionDecNwTTL}, openflow.Output(2)),
			bucketOf(openflow.Action{Type: openflow.ActionPopVLAN}, openflow.Output(openflow.PortController)),
			bucketOf(openflow.Output(3)))
		r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Group(1)), openflow.GotoTable(1))
		r.flow(1, 2, openflow.NewMatch(openflow.Exact(openflow.Reg0, 0), openflow.Exact(openflow.TunnelID, 0),
			openflow.Exact(openflow.VLANVID, 0x1005)), toPort(4))
		b := udpFrame(ethernet{dst: "2", src: "1", vlans: []uint16{5}}, 1, 10, 20)
		bare := udpFrame(ethernet{dst: "2", src: "1"}, 1, 10, 20)
		want := []string{
			outputEvent(2, 7, b),
			packetInEvent(openflow.ReasonInvalidTTL, 0, 0, 0xffff, 0, b),
			packetInEvent(openflow.ReasonAction, 0, 0, 0xffff, 0, bare),
			outputEvent(3, 0, b),
			outputEvent(4, 0, b),
		}
		for range 3 {
			if got := r.send(1, b); !slices.Equal(got, want) {
				t.Fatalf("\n got %q\nwant %q", got, want)
			}
		}
	})
}

// TestGroupReasons: what a bucket of the table-miss entry's group sends up is no table miss.
// A bucket's set_field of one protocol's port wrote the port of another protocol: nobody judges buckets by a match.
func TestBucketSetsPortsOfItsProtocolAlone(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(3))
		r.group(1, typeAll, bucketOf(openflow.SetField(openflow.TCPSrc, 7), openflow.SetField(openflow.UDPSrc, 8), openflow.SetField(openflow.SCTPSrc, 9), openflow.Output(2)))
		r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Group(1)))
		to := ethernet{dst: "2", src: "1"}
		want := []string{outputEvent(2, 0, udpFrame(to, 64, 8, 20))}
		if got := r.send(1, udpFrame(to, 64, 10, 20)); !slices.Equal(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
	})
}

func TestGroupReasons(t *testing.T) {
	r := newRig(t, Config{}, upPorts(2))
	r.group(1, typeIndirect, bucketOf(openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: 99}))
	r.flow(0, 0, openflow.Match{}, openflow.ApplyActions(openflow.Group(1)))
	want := []string{packetInEvent(openflow.ReasonAction, 0, 0, 99, 0, anyFrame)}
	if got := r.send(1, anyFrame); !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
}

// TestGroupCounters: exact, also for paths that the cache remembers; a change keeps the group's and
// begins the buckets' anew.
func TestGroupCounters(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(4))
		r.now = time.Second
		push := openflow.Action{Type: openflow.ActionPushVLAN, EtherType: 0x8100}
		r.group(1, typeAll, bucketOf(openflow.Output(2)), bucketOf(push, openflow.Output(3)))
		r.group(2, typeIndirect, bucketOf(push, openflow.Group(1)))
		r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Group(2), openflow.Group(1)))
		r.flow(0, 1, inPort(2), openflow.ApplyActions(openflow.Group(1), openflow.Group(1)))
		r.flow(0, 1, inPort(3), openflow.WriteActions(openflow.Group(1)), openflow.ApplyActions(openflow.Group(1)))
		n := uint64(len(anyFrame))
		for range 10 {
			r.send(1, anyFrame)
		}
		r.now = 3 * time.Second
		want := []GroupStats{
			{Group: &Group{ID: 1}, RefCount: 4, Packets: 20, Bytes: 20*n + 40, Duration: 2 * time.Second, PerBucket: []BucketStats{{20, 20*n + 40}, {20, 20*n + 40}}},
			{Group: &Group{ID: 2}, RefCount: 1, Packets: 10, Bytes: 10 * n, Duration: 2 * time.Second, PerBucket: []BucketStats{{10, 10 * n}}},
		}
		if got := r.GroupStats(r.now, openflow.GroupAll); !slices.Equal(groupTexts(got), groupTexts(want)) {
			t.Errorf("\n got %+v\nwant %+v", got, want)
		}
		r.group(1, typeSelect, weighted(1, openflow.Output(2)))
		r.send(1, anyFrame)
		want[0] = GroupStats{Group: &Group{ID: 1}, RefCount: 4, Packets: 22, Bytes: 22*n + 44, Duration: 2 * time.Second, PerBucket: []BucketStats{{2, 2*n + 4}}}
		if got := r.GroupStats(r.now, 1); !slices.Equal(groupTexts(got), groupTexts(want[:1])) {
			t.Errorf("\n got %+v\nwant %+v", got, want[:1])
		}
		r.mod(&openflow.FlowMod{Command: openflow.FlowDeleteStrict, Priority: 1, Match: inPort(1)})
		r.flow(0, 1, inPort(2), toPort(3))
		r.mod(&openflow.FlowMod{Command: openflow.FlowModify, Match: inPort(3), Instructions: openflow.NewInstructions(openflow.ApplyActions(openflow.Group(2)))})
		for id, refs := range map[uint32]int{1: 1, 2: 1} {
			if got := r.GroupStats(r.now, id)[0].RefCount; got != refs {
				t.Errorf("group %d has %d references, expected %d", id, got, refs)
			}
		}
		if got := r.GroupStats(r.now, 9); got != nil {
			t.Errorf("an unknown group: %v", got)
		}
	})
}

// TestGroupDelete: its entries go with it, and tell why.
func TestGroupDelete(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(4))
		r.group(1, typeAll, bucketOf(openflow.Output(2)))
		r.group(2, typeAll, bucketOf(openflow.Output(3)))
		add := func(table uint8, in uint64, list ...openflow.Instruction) {
			r.mod(&openflow.FlowMod{TableID: table, Priority: 1, Cookie: in, Match: inPort(in), Flags: openflow.FlowSendRemoved, Instructions: openflow.NewInstructions(list...)})
		}
		add(0, 1, openflow.ApplyActions(openflow.Output(4), openflow.Group(1)))
		add(3, 2, openflow.WriteActions(openflow.Group(1), openflow.Group(2))) // named, though replaced
		add(0, 3, openflow.WriteActions(openflow.Group(2)))
		add(0, 4, toPort(4))
		r.send(1, anyFrame)
		gone, err := r.GroupMod(r.now, &openflow.GroupMod{Command: openflow.GroupDelete, Group: 1, Type: typeSelect})
		r.Publish()
		want := sorted([]string{
			fmt.Sprintf("table=0 prio=1 cookie=1 reason=%d packets=1 bytes=%d", openflow.RemovedGroupDelete, len(anyFrame)),
			fmt.Sprintf("table=3 prio=1 cookie=2 reason=%d packets=0 bytes=0", openflow.RemovedGroupDelete),
		})
		if got := sorted(removedText(gone)); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v\n got %q\nwant %q", err, got, want)
		}
		if got := r.outPorts(1, anyFrame); got != nil {
			t.Errorf("still goes to %v", got)
		}
		// Its number and its place are free again, and nothing compiled before leads there.
		r.group(7, typeAll, bucketOf(openflow.Output(4)))
		if _, err := r.FlowMod(0, &openflow.FlowMod{Match: inPort(1), Instructions: openflow.NewInstructions(openflow.ApplyActions(openflow.Output(4), openflow.Group(1)))}); err == nil {
			t.Error("an entry with the deleted group was accepted")
		}
		if _, err := r.GroupMod(0, &openflow.GroupMod{Command: openflow.GroupDelete, Group: 1}); err != nil {
			t.Errorf("delete of what is not there: %v", err)
		}
		gone, err = r.GroupMod(0, &openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.GroupAll})
		if err != nil || len(gone) != 1 || r.Len() != 1 || len(r.Groups()) != 0 {
			t.Errorf("delete of all: %v, %d entries told, %d left, %d groups left", err, len(gone), r.Len(), len(r.Groups()))
		}
		if _, err := r.GroupMod(0, &openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.GroupAny}); err != nil {
			t.Errorf("delete of ANY, which is no group: %v", err)
		}
	})
}

// TestGroupReadBack: buckets come back as they were sent.
func TestGroupReadBack(t *testing.T) {
	p := New(Config{})
	buckets := []openflow.Bucket{weighted(3, openflow.Output(2), openflow.SetField(openflow.EthDst, 1), openflow.Output(3)), weighted(0)}
	m := &openflow.GroupMod{Group: 6, Type: typeSelect, Buckets: buckets}
	raw := openflow.Append(nil, 1, m)
	msg, _, err := openflow.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.GroupMod(0, msg.(*openflow.GroupMod)); err != nil {
		t.Fatal(err)
	}
	clear(raw) // the message's memory is not kept
	g := p.Groups()[0]
	again := openflow.Append(nil, 1, &openflow.GroupMod{Group: g.ID, Type: g.Type, Buckets: g.Buckets})
	if want := openflow.Append(nil, 1, m); !slices.Equal(again, want) {
		t.Errorf("\n%x\n%x", again, want)
	}
}

// TestGroupsMultiplyWithinBounds: a tower of groups that doubles a frame at each floor ends, and says so.
func TestGroupsMultiplyWithinBounds(t *testing.T) {
	r := newRig(t, Config{}, upPorts(3))
	r.group(1, typeAll, bucketOf(openflow.Output(2)), bucketOf(openflow.Output(3)))
	for id := uint32(2); id <= 30; id++ {
		r.group(id, typeAll, bucketOf(openflow.Group(id-1)), bucketOf(openflow.Group(id-1)))
	}
	r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Group(30)))
	sink := &nowhere{}
	r.proc.Process(0, newBatch(2, func(int) (uint32, []byte) { return 1, anyFrame }).refill(), sink)
	if d := r.Drops(); sink.outputs < 8000 || sink.outputs > 2*maxRuns || d[DropTooManyBuckets] == 0 {
		t.Errorf("%d outputs, %d buckets left out", sink.outputs, d[DropTooManyBuckets])
	}
}

// TestGroupPacketOut: from an action list, and one that outlived its group.
func TestGroupPacketOut(t *testing.T) {
	r := newRig(t, Config{}, upPorts(3))
	r.group(1, typeAll, bucketOf(openflow.SetField(openflow.EthDst, 5), openflow.Output(2)), bucketOf(openflow.Output(3)))
	prog, err := r.CompileActions(openflow.NewActions(openflow.Group(1), openflow.Output(1)))
	if err != nil {
		t.Fatal(err)
	}
	out := func() []string {
		r.proc.PacketOut(0, frameOf(uint32(openflow.PortController), anyFrame), prog, &r.rec)
		return r.rec.take(t)
	}
	if got := out(); len(got) != 3 || got[1] != outputEvent(3, 0, anyFrame) || got[2] != outputEvent(1, 0, anyFrame) {
		t.Fatalf("%q", got)
	}
	if _, err := r.GroupMod(0, &openflow.GroupMod{Command: openflow.GroupDelete, Group: 1}); err != nil {
		t.Fatal(err)
	}
	r.group(2, typeAll, bucketOf(openflow.Output(2))) // in the same place
	if got := out(); len(got) != 1 || r.Drops()[DropNoGroup] != 1 {
		t.Errorf("%q, drops %v", got, r.Drops())
	}
}

// TestManyGroups: the directory grows over its pages, and old snapshots stay as they were.
func TestManyGroups(t *testing.T) {
	r := newRig(t, Config{}, upPorts(3))
	for id := uint32(0); id < 1000; id++ {
		r.group(id, typeIndirect, bucketOf(openflow.Output(2)))
	}
	old := r.snap.Load()
	for id := uint32(0); id < 1000; id += 2 {
		r.group(id, typeIndirect, bucketOf(openflow.Output(3)))
	}
	now := r.snap.Load()
	for id := uint32(0); id < 1000; id++ {
		was, is := old.groups.get(uint64(id), id), now.groups.get(uint64(id), id)
		if was.buckets[0].ops[0].port != 2 || (is == was) != (id%2 == 1) {
			t.Fatalf("group %d: was %v, is %v", id, was.buckets[0].ops, is.buckets[0].ops)
		}
	}
}

// TestAddOrModifyGroup: Open vSwitch's command adds a group that is not there and changes one that is, which goes on with
// its counters.
func TestAddOrModifyGroup(t *testing.T) {
	r := newRig(t, Config{}, upPorts(3))
	put := func(port openflow.PortNo) {
		t.Helper()
		m := &openflow.GroupMod{Command: openflow.GroupAddOrModify, Group: 7, Type: typeIndirect, Buckets: []openflow.Bucket{bucketOf(openflow.Output(port))}}
		if _, err := r.GroupMod(r.now, m); err != nil {
			t.Fatal(err)
		}
	}
	put(2)
	r.flow(0, 1, openflow.Match{}, openflow.ApplyActions(openflow.Group(7)))
	for i, port := range []openflow.PortNo{2, 3} {
		put(port)
		r.Publish()
		if got := r.outPorts(1, anyFrame); len(got) != 1 || got[0] != uint32(port) {
			t.Errorf("the frame leaves by %v, want %d", got, port)
		}
		if s := r.GroupStats(r.now, 7); len(s) != 1 || s[0].Packets != uint64(i+1) {
			t.Errorf("%+v", s)
		}
	}
}
