package ofctl

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestGroupLines are lines that ovs-ofctl printed for Open vSwitch 3.1.
func TestGroupLines(t *testing.T) {
	k := func(weight uint16, port openflow.PortNo, group uint32, list ...openflow.Action) openflow.Bucket {
		return openflow.Bucket{Weight: weight, WatchPort: port, WatchGroup: group, Actions: openflow.NewActions(list...)}
	}
	out := openflow.Output
	none, any := openflow.PortAny, openflow.GroupAny
	tests := []struct {
		d    openflow.GroupDesc
		text string
	}{
		{openflow.GroupDesc{Group: 2, Type: openflow.GroupTypeSelect, Buckets: []openflow.Bucket{k(50, none, any, out(2)), k(100, none, any, out(3))}},
			"group_id=2,type=select,bucket=weight:50,actions=output:2,bucket=weight:100,actions=output:3"},
		{openflow.GroupDesc{Group: 3, Type: openflow.GroupTypeIndirect, Buckets: []openflow.Bucket{k(0, none, any, openflow.SetField(openflow.VLANVID, 4196), out(2))}},
			"group_id=3,type=indirect,bucket=actions=set_field:4196->vlan_vid,output:2"},
		{openflow.GroupDesc{Group: 4, Type: openflow.GroupTypeFastFailover, Buckets: []openflow.Bucket{k(0, 2, any, out(2)), k(0, 3, any, out(3))}},
			"group_id=4,type=ff,bucket=watch_port:2,actions=output:2,bucket=watch_port:3,actions=output:3"},
		{openflow.GroupDesc{Group: 5, Type: openflow.GroupTypeFastFailover, Buckets: []openflow.Bucket{k(0, none, 1, openflow.Group(1)), k(0, 3, any, out(3))}},
			"group_id=5,type=ff,bucket=watch_group:1,actions=group:1,bucket=watch_port:3,actions=output:3"},
		{openflow.GroupDesc{Group: 7}, "group_id=7,type=all"},
		{openflow.GroupDesc{Group: 8, Buckets: []openflow.Bucket{k(0, none, any, openflow.SetField(openflow.EthDst, 9), out(2)), k(0, none, any, openflow.Group(1))}},
			"group_id=8,type=all,bucket=actions=set_field:00:00:00:00:00:09->eth_dst,output:2,bucket=actions=group:1"},
		{openflow.GroupDesc{Group: 8, Type: openflow.GroupTypeSelect, Buckets: []openflow.Bucket{k(1, none, any, out(1)), k(0, none, any, out(2))}},
			"group_id=8,type=select,bucket=actions=output:1,bucket=weight:0,actions=output:2"},
	}
	for _, tt := range tests {
		same(t, Group(&tt.d), tt.text)
	}
	same(t, GroupStats(&openflow.GroupStats{Group: 2, DurationNsec: 208_000_000, Buckets: make([]openflow.BucketStats, 2)}),
		"group_id=2,duration=0.208s,ref_count=0,packet_count=0,byte_count=0,bucket0:packet_count=0,byte_count=0,bucket1:packet_count=0,byte_count=0")
	same(t, GroupStats(&openflow.GroupStats{Group: 7, DurationNsec: 122_000_000}), "group_id=7,duration=0.122s,ref_count=0,packet_count=0,byte_count=0")
}

// TestGroupsPrintAsInOpenVSwitch compares random groups, counters and features with the real program.
func TestGroupsPrintAsInOpenVSwitch(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var descs, stats []openflow.Record
	var wantDescs, wantStats []string
	for id := range uint32(200) {
		d := &openflow.GroupDesc{Group: id, Type: openflow.GroupType(r.IntN(4))}
		s := &openflow.GroupStats{Group: id, RefCount: uint32(r.IntN(5)), PacketCount: r.Uint64() >> r.IntN(64), ByteCount: r.Uint64() >> r.IntN(64),
			DurationSec: uint32(r.IntN(3)), DurationNsec: uint32(r.IntN(2) * 208_000_000)}
		n := r.IntN(4)
		if d.Type == openflow.GroupTypeIndirect {
			n = 1
		}
		for range n {
			f := randomFlow(r)
			k := openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny}
			if in, ok := f.Instructions.Get(openflow.InstructionWriteActions); ok {
				k.Actions = in.Actions
			}
			if d.Type == openflow.GroupTypeSelect {
				k.Weight = uint16(r.IntN(3))
			}
			if d.Type == openflow.GroupTypeFastFailover || d.Type == openflow.GroupTypeSelect && r.IntN(2) == 0 {
				k.WatchPort = []openflow.PortNo{1, 77, openflow.PortLocal}[r.IntN(3)]
				if r.IntN(2) == 0 {
					k.WatchGroup = uint32(r.IntN(9))
				}
			}
			d.Buckets = append(d.Buckets, k)
			s.Buckets = append(s.Buckets, openflow.BucketStats{PacketCount: uint64(r.IntN(9)), ByteCount: uint64(r.IntN(9))})
		}
		descs, stats = append(descs, d), append(stats, s)
		wantDescs, wantStats = append(wantDescs, " "+Group(d)+"\n"), append(wantStats, " "+GroupStats(s)+"\n")
	}
	for i := 0; i < len(descs); i += 20 {
		same(t, strings.Join(wantDescs[i:i+20], ""), ofpPrint(t, reply(openflow.MultipartGroupDesc, descs[i:i+20]...)))
	}
	same(t, strings.Join(wantStats, ""), ofpPrint(t, reply(openflow.MultipartGroup, stats...)))
	for range 20 {
		f := &openflow.GroupFeatures{Types: uint32(r.IntN(16)), Capabilities: uint32(r.IntN(16))}
		for i := range f.MaxGroups {
			f.MaxGroups[i], f.Actions[i] = r.Uint32(), r.Uint32()&0x0fffffff
		}
		same(t, string(AppendGroupFeatures(nil, f)), ofpPrint(t, reply(openflow.MultipartGroupFeatures, f)))
	}
}
