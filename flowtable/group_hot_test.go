package flowtable

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// groupRig has one group of each type, and a chain, behind one entry each: in_port tells which.
func groupRig(t testing.TB, c Config) *rig {
	r := newRig(t, c, upPorts(6))
	push := openflow.Action{Type: openflow.ActionPushVLAN, EtherType: 0x8100}
	r.group(1, typeAll, bucketOf(openflow.Output(5)), bucketOf(push, openflow.Output(6)), bucketOf(openflow.SetField(openflow.Reg0, 1), openflow.Output(5)))
	r.group(2, typeSelect, weighted(1, openflow.Output(5)), weighted(2, openflow.SetField(openflow.EthDst, 9), openflow.Output(6)), weighted(3, openflow.Group(1)))
	r.group(3, typeIndirect, bucketOf(openflow.Action{Type: openflow.ActionDecNwTTL}, openflow.Output(5)))
	r.group(4, typeFailover, watchingGroup(2, openflow.Group(2)), watching(6, openflow.Output(6)))
	for i := range uint32(4) {
		r.flow(0, 1, inPort(uint64(i+1)), openflow.ApplyActions(openflow.Group(i+1)), openflow.WriteActions(openflow.Group(3)))
	}
	return r
}

func groupBatch() *batchOf {
	return newBatch(32, func(i int) (uint32, []byte) {
		return uint32(1 + i%4), udpFrame(ethernet{dst: "2", src: "1"}, 64, uint16(i), 80)
	})
}

// TestNoAllocationOnGroups guards a frame that meets a group, remembered and walked.
func TestNoAllocationOnGroups(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := groupRig(t, c)
		b := groupBatch()
		sink := &nowhere{}
		run := func() { r.proc.Process(r.now, b.refill(), sink) }
		run()
		if n := testing.AllocsPerRun(200, run); n != 0 {
			t.Errorf("%v allocations a batch", n)
		}
		if sink.outputs == 0 {
			t.Error("nothing came out")
		}
	})
}

// TestGroupPublishIsABarrier: workers at their work while groups change and ports come and go. From
// the first batch after a publication on, no frame follows an older bucket, and every frame of the
// fast failover group finds a live one.
func TestGroupPublishIsABarrier(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		p := New(c)
		ports := upPorts(4)
		p.SetPorts(ports)
		var published atomic.Uint32
		mod := func(round uint32) {
			m := &openflow.GroupMod{Group: 1, Type: openflow.GroupType(round%2) * 2, Buckets: []openflow.Bucket{
				bucketOf(openflow.Action{Type: openflow.ActionSetQueue, Queue: round}, openflow.Output(2))}}
			if round > 1 {
				m.Command = openflow.GroupModify
			}
			if _, err := p.GroupMod(0, m); err != nil {
				t.Error(err)
			}
			other := &openflow.GroupMod{Group: 100 + round, Buckets: []openflow.Bucket{bucketOf(openflow.Group(1))}}
			if _, err := p.GroupMod(0, other); err != nil {
				t.Error(err)
			}
			if round > 50 {
				if _, err := p.GroupMod(0, &openflow.GroupMod{Command: openflow.GroupDelete, Group: 50 + round}); err != nil {
					t.Error(err)
				}
			}
			p.Publish()
			published.Store(round)
		}
		mod(1)
		failover := &openflow.GroupMod{Group: 2, Type: typeFailover, Buckets: []openflow.Bucket{watching(3, openflow.Output(3)), watching(4, openflow.Output(4))}}
		if _, err := p.GroupMod(0, failover); err != nil {
			t.Fatal(err)
		}
		for in, group := range map[uint64]uint32{1: 1, 2: 2} {
			fm := &openflow.FlowMod{Priority: 5, Match: inPort(in), Instructions: openflow.NewInstructions(openflow.WriteActions(openflow.Group(group)))}
			if _, err := p.FlowMod(0, fm); err != nil {
				t.Fatal(err)
			}
		}
		p.Publish()
		var wg sync.WaitGroup
		stop := make(chan struct{})
		frames := uint64(0)
		var sum sync.Mutex
		for range 3 {
			wg.Go(func() {
				proc := p.NewProcessor()
				b := newBatch(8, func(i int) (uint32, []byte) { return uint32(1 + i%2), anyFrame })
				mine := uint64(0)
				for n := time.Duration(1); ; n++ {
					select {
					case <-stop:
						sum.Lock()
						frames += mine
						sum.Unlock()
						return
					default:
					}
					sink := &groupSink{least: published.Load()}
					proc.Process(n, b.refill(), sink)
					mine += 4
					if sink.old || sink.failover != 4 {
						t.Errorf("an old bucket: %v; %d of 4 frames failed over", sink.old, sink.failover)
						return
					}
				}
			})
		}
		for round := uint32(2); round < 300; round++ {
			ports[2].LinkUp = round%2 == 0 // one of the two is always up
			ports[3].LinkUp = round%3 == 0 || !ports[2].LinkUp
			p.SetPorts(ports)
			mod(round)
		}
		close(stop)
		wg.Wait()
		for _, id := range []uint32{1, 2} {
			if s := p.GroupStats(0, id)[0]; s.Packets != frames {
				t.Errorf("group %d counted %d of %d frames", id, s.Packets, frames)
			}
		}
	})
}

type groupSink struct {
	least    uint32
	old      bool
	failover int
}

func (s *groupSink) Output(port, queue uint32, _ *packet.Frame) {
	if port == 2 {
		s.old = s.old || queue < s.least
	} else {
		s.failover++
	}
}
func (s *groupSink) PacketIn(PacketIn) {}

// BenchmarkGroup: a frame that meets a group, beside one that is merely sent.
func BenchmarkGroup(b *testing.B) {
	r := newRig(b, Config{}, upPorts(9))
	var buckets []openflow.Bucket
	for i := range 8 {
		buckets = append(buckets, weighted(uint16(1+i), openflow.Output(openflow.PortNo(2+i))))
	}
	r.group(1, typeSelect, buckets...)
	r.group(2, typeIndirect, bucketOf(openflow.Output(2)))
	r.group(3, typeFailover, watching(2, openflow.Output(2)), watching(3, openflow.Output(3)))
	r.group(4, typeAll, bucketOf(openflow.Output(2)), bucketOf(openflow.SetField(openflow.EthDst, 7), openflow.Output(3)))
	for i, name := range []string{"output", "select", "indirect", "failover", "all"} {
		action := openflow.Output(2)
		if i > 0 {
			action = openflow.Group(uint32(i))
		}
		r.flow(0, 1, inPort(1), openflow.ApplyActions(action))
		b.Run(name, func(b *testing.B) {
			batch := newBatch(32, func(i int) (uint32, []byte) {
				f := append([]byte(nil), anyFrame...)
				binary.BigEndian.PutUint16(f[34:], uint16(i))
				return 1, f
			})
			sink := &nowhere{}
			for n := 0; n < b.N; n += 32 {
				r.proc.Process(0, batch.refill(), sink)
			}
		})
	}
}

// BenchmarkGroupMod: the cost of an add, and of a publication for each of them.
func BenchmarkGroupMod(b *testing.B) {
	for _, each := range []int{1, 100} {
		b.Run(fmt.Sprintf("publish every %d", each), func(b *testing.B) {
			p := New(Config{MaxGroups: b.N})
			for i := range b.N {
				m := &openflow.GroupMod{Group: uint32(i), Type: typeSelect, Buckets: []openflow.Bucket{weighted(1, openflow.Output(2)), weighted(1, openflow.Output(3))}}
				if _, err := p.GroupMod(0, m); err != nil {
					b.Fatal(err)
				}
				if i%each == 0 {
					p.Publish()
				}
			}
		})
	}
}

// TestNoAllocationOnResubmitsInBuckets: tables behind a bucket write an action set, and lead to a group whose bucket leads on.
func TestNoAllocationOnResubmitsInBuckets(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(4))
		r.group(1, openflow.GroupTypeAll, bucketOf(here(5)), bucketOf(here(5)))
		r.group(2, openflow.GroupTypeIndirect, bucketOf(here(7)))
		r.flow(0, 1, openflow.Match{}, openflow.ApplyActions(openflow.Group(1)))
		r.flow(5, 1, openflow.Match{}, openflow.WriteActions(openflow.Output(3)), openflow.GotoTable(6))
		r.flow(6, 1, openflow.Match{}, openflow.ApplyActions(openflow.Group(2)))
		r.flow(7, 1, openflow.Match{}, toPort(2))
		b := groupBatch()
		sink := &nowhere{}
		run := func() { r.proc.Process(r.now, b.refill(), sink) }
		run()
		if n := testing.AllocsPerRun(200, run); n != 0 {
			t.Errorf("%v allocations a batch", n)
		}
		if sink.outputs == 0 {
			t.Error("nothing came out")
		}
	})
}
