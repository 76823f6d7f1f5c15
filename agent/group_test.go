package agent

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

func bucket(weight uint16, watch openflow.PortNo, list ...openflow.Action) openflow.Bucket {
	return openflow.Bucket{Weight: weight, WatchPort: watch, WatchGroup: openflow.GroupAny, Actions: openflow.NewActions(list...)}
}

// TestGroupsOverTheWire: made, used at once behind a barrier, told, changed and deleted together with
// the entry that used it.
func TestGroupsOverTheWire(t *testing.T) {
	b := newBench(t, 4)
	p := b.connect()
	p.features()
	group := &openflow.GroupMod{Group: 7, Buckets: []openflow.Bucket{
		bucket(0, openflow.PortAny, openflow.Output(2)), bucket(0, openflow.PortAny, openflow.SetField(openflow.EthDst, 0x020000000009), openflow.Output(3))}}
	flow := add(5, inPort(1), openflow.Group(7))
	flow.Flags = openflow.FlowSendRemoved
	p.send(group)
	p.send(flow)
	p.barrier()
	b.send(1, frame(2, 1, "x"))
	b.expect(frame(2, 1, "x"), 2)
	b.expect(frame(9, 1, "x"), 3)
	b.silent(4)

	if d := p.ask(openflow.MultipartGroupDesc)[0].(*openflow.GroupDesc); d.String() != (&openflow.GroupDesc{Type: group.Type, Group: 7, Buckets: group.Buckets}).String() {
		t.Errorf("%v", d)
	}
	for _, id := range []uint32{7, openflow.GroupAll} {
		s := p.ask(openflow.MultipartGroup, &openflow.GroupStatsRequest{Group: id})[0].(*openflow.GroupStats)
		if s.RefCount != 1 || s.PacketCount != 1 || s.ByteCount != 60 || fmt.Sprint(s.Buckets) != "[{1 60} {1 60}]" {
			t.Errorf("%v", s)
		}
	}
	for _, id := range []uint32{8, openflow.GroupAny} {
		if s := p.ask(openflow.MultipartGroup, &openflow.GroupStatsRequest{Group: id}); len(s) != 0 {
			t.Errorf("group %d, which is not there: %v", id, s)
		}
	}

	p.send(&openflow.GroupMod{Command: openflow.GroupModify, Group: 7, Type: openflow.GroupTypeIndirect, Buckets: []openflow.Bucket{bucket(0, openflow.PortAny, openflow.Output(4))}})
	p.barrier()
	b.send(1, frame(2, 1, "y"))
	b.expect(frame(2, 1, "y"), 4)

	p.send(&openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortController, Data: frame(2, 1, "z"), Actions: openflow.NewActions(openflow.Group(7))})
	b.expect(frame(2, 1, "z"), 4)

	p.send(&openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.GroupAll})
	if r := expect[*openflow.FlowRemoved](p).m; r.Reason != openflow.RemovedGroupDelete || r.PacketCount != 2 || r.Priority != 5 {
		t.Errorf("%v", r)
	}
	b.send(1, frame(0xff, 1, "again")) // the table-miss entry alone is left
	b.expect(frame(0xff, 1, "again"), 2, 3, 4)
}

// TestGroupErrorsOverTheWire: the answer has the request's xid and bytes.
func TestGroupErrorsOverTheWire(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	out := openflow.Output(2)
	p.send(&openflow.GroupMod{Group: 1})
	p.send(&openflow.GroupMod{Group: 2, Buckets: []openflow.Bucket{bucket(0, openflow.PortAny, openflow.Group(1))}})
	for _, c := range []struct {
		m    openflow.GroupMod
		code uint16
	}{
		{openflow.GroupMod{Group: 1}, openflow.GMFCGroupExists},
		{openflow.GroupMod{Group: 3, Type: openflow.GroupTypeIndirect}, openflow.GMFCInvalidGroup},
		{openflow.GroupMod{Command: openflow.GroupModify, Group: 3}, openflow.GMFCUnknownGroup},
		{openflow.GroupMod{Group: 3, Buckets: []openflow.Bucket{bucket(0, 1, out)}}, openflow.GMFCWatchUnsupported},
		{openflow.GroupMod{Group: 3, Type: openflow.GroupTypeFastFailover, Buckets: []openflow.Bucket{bucket(0, openflow.PortController, out)}}, openflow.GMFCBadWatch},
		{openflow.GroupMod{Command: openflow.GroupModify, Group: 1, Buckets: []openflow.Bucket{bucket(0, openflow.PortAny, openflow.Group(2))}}, openflow.GMFCLoop},
		{openflow.GroupMod{Command: openflow.GroupDelete, Group: 1}, openflow.GMFCChainedGroup},
		{openflow.GroupMod{Group: 3, Type: 4}, openflow.GMFCBadType},
		{openflow.GroupMod{Command: 3, Group: 3}, openflow.GMFCBadCommand},
	} {
		xid := p.send(&c.m)
		e := expect[*openflow.Error](p)
		raw := openflow.Append(nil, xid, &c.m)
		if e.xid != xid || !errors.Is(e.m, &openflow.Error{Type: openflow.ErrGroupModFailed, Code: c.code}) || string(e.m.Data) != string(raw[:min(len(raw), len(e.m.Data))]) || len(e.m.Data) < 16 {
			t.Errorf("%v: %v %x", &c.m, e.m, e.m.Data)
		}
	}
	none[*openflow.Error](p)
}

// TestGroupFeaturesAreTrue: each type with each action that is claimed.
func TestGroupFeaturesAreTrue(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	f := p.ask(openflow.MultipartGroupFeatures)[0].(*openflow.GroupFeatures)
	if f.Types != 0xf || f.Capabilities != 0xf || f.MaxGroups[0] == 0 {
		t.Fatalf("%v", f)
	}
	p.send(&openflow.GroupMod{Group: 0})
	id := uint32(1)
	for typ := range openflow.GroupType(4) {
		for a := range openflow.ActionType(32) {
			if f.Actions[typ]&(1<<a) == 0 {
				continue
			}
			act := openflow.Action{Type: a, Port: 1, EtherType: map[openflow.ActionType]uint16{openflow.ActionPushVLAN: 0x8100,
				openflow.ActionPushPBB: 0x88e7, openflow.ActionPushMPLS: 0x8847}[a]}
			if a == openflow.ActionSetField {
				act = openflow.SetField(openflow.EthDst, 1)
			}
			k := bucket(0, openflow.PortAny, act)
			if typ == openflow.GroupTypeFastFailover {
				k.WatchPort = 1
			}
			p.send(&openflow.GroupMod{Group: id, Type: typ, Buckets: []openflow.Bucket{k}})
			id++
		}
	}
	none[*openflow.Error](p)
	if n := len(p.ask(openflow.MultipartGroupDesc)); n != int(id) || id < 40 {
		t.Errorf("%d groups of %d", n, id)
	}
}

// TestManyGroupsInParts: replies of many parts, whole records each, and the largest group there can be.
func TestManyGroupsInParts(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	r := rand.New(rand.NewPCG(1, 1))
	want := map[uint32]string{}
	for id := range uint32(3000) {
		m := &openflow.GroupMod{Group: id, Type: openflow.GroupTypeSelect}
		for range r.IntN(6) {
			m.Buckets = append(m.Buckets, bucket(uint16(r.IntN(5)), openflow.PortAny, openflow.SetField(openflow.EthDst, uint64(r.IntN(9))), openflow.Output(2)))
		}
		if id%500 == 0 { // ovs-ofctl cannot read it: alone and last
			m.Buckets = append(m.Buckets, bucket(0, openflow.PortAny, openflow.Action{Type: openflow.ActionCopyTTLIn}))
		}
		want[id] = (&openflow.GroupDesc{Type: m.Type, Group: id, Buckets: m.Buckets}).String()
		p.send(m)
	}
	large := &openflow.GroupMod{Group: 5000}
	for range 4092 {
		large.Buckets = append(large.Buckets, bucket(0, openflow.PortAny))
	}
	p.send(large)
	for i, rec := range p.ask(openflow.MultipartGroupDesc) {
		d := rec.(*openflow.GroupDesc)
		if d.Group != 5000 && want[d.Group] != d.String() {
			t.Fatalf("record %d: %v, sent %s", i, d, want[d.Group])
		}
		if odd := strings.Contains(d.String(), "copy_ttl_in"); odd != (i > 3000-6) {
			t.Errorf("record %d of 3001: %v", i, d)
		}
	}
	stats := p.ask(openflow.MultipartGroup, &openflow.GroupStatsRequest{Group: openflow.GroupAll})
	if n := len(stats); n != 3001 || len(stats[3000].(*openflow.GroupStats).Buckets) != 4092 {
		t.Errorf("%d records", n)
	}
	none[*openflow.Error](p)
}
