package intest

import (
	"fmt"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// TestIdleTimeout moves the clock: half an hour passes at once, and no second of it by accident.
func TestIdleTimeout(t *testing.T) {
	r := newRig(t, 2, 1)
	r.flows("table=0,priority=1,in_port=1,idle_timeout=600,send_flow_rem,actions=output:2")
	frame := datagram{ttl: 64}.frame()
	for range 3 { // each frame begins a new ten minutes
		r.clock.Advance(599 * time.Second)
		if got := r.send(1, frame); len(got[1]) != 1 {
			t.Fatalf("the entry is gone after %v", r.clock.Now())
		}
	}
	r.clock.Advance(601 * time.Second)
	gone, err := oftest.Expect[*openflow.FlowRemoved](r.c, nil)
	r.must(err)
	if gone.Reason != openflow.RemovedIdleTimeout || gone.PacketCount != 3 {
		t.Errorf("%v", gone)
	}
	if got := r.send(1, frame); len(got[1]) != 0 {
		t.Error("a frame passes without an entry")
	}
}

// TestPacketIn has a controller that answers: Settle covers the PACKET_IN's way out, and a barrier its reading.
func TestPacketIn(t *testing.T) {
	r := newRig(t, 3, 1)
	r.flows("table=0,priority=0,actions=CONTROLLER:65535")
	frame := datagram{ttl: 64}.frame()
	r.send(3, frame)
	in, err := oftest.Expect[*openflow.PacketIn](r.c, nil)
	r.must(err)
	if port, _ := in.Match.Get(openflow.InPort); port.Value.Uint64() != 3 || string(in.Data) != string(frame) {
		t.Errorf("%v", in)
	}
}

// TestSeed lets a select group choose among three ports: its choices are the seed's, in every run.
func TestSeed(t *testing.T) {
	choices := func(seed uint64) (ports string) {
		r := newRig(t, 4, seed)
		bucket := func(p openflow.PortNo) openflow.Bucket {
			return openflow.Bucket{Weight: 1, WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: openflow.NewActions(openflow.Output(p))}
		}
		r.must(r.c.Apply(&openflow.GroupMod{Command: openflow.GroupAdd, Type: openflow.GroupTypeSelect, Group: 1,
			Buckets: []openflow.Bucket{bucket(2), bucket(3), bucket(4)}}))
		r.flows("table=0,in_port=1,actions=group:1")
		for i := range 100 {
			for p, frames := range r.send(1, datagram{ttl: 64, src: [4]byte{10, 0, 0, byte(i)}, dport: uint16(i)}.frame()) {
				if len(frames) == 1 {
					ports += fmt.Sprint(p + 1)
				}
			}
		}
		return ports
	}
	first, again, other := choices(1), choices(1), choices(2)
	if len(first) != 100 || first != again {
		t.Errorf("two runs of one seed:\n%s\n%s", first, again)
	}
	if first == other {
		t.Error("another seed chooses the same")
	}
}
