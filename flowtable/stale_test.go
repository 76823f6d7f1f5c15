package flowtable

import (
	"fmt"
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// TestGuessesOfAForgottenCache: a batch begins with a frame for which there is no room among the claims, so that all
// paths go. The frames behind it have been told theirs already, and must not take them.
func TestGuessesOfAForgottenCache(t *testing.T) {
	for _, c := range []struct {
		name  string
		first uint32 // in_port of the frame whose path goes: by port 3 it meets one entry, by port 1 two
	}{{"a path of one entry", 3}, {"a path through tables", 1}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Config{HashSeed: 3}, upPorts(5))
			r.flow(0, 5, openflow.NewMatch(openflow.Exact(openflow.InPort, 3)), toPort(2))
			r.flow(0, 1, openflow.Match{}, openflow.ApplyActions(openflow.Action{Type: openflow.ActionPushVLAN, EtherType: 0x8100}), openflow.GotoTable(1))
			r.flow(1, 1, openflow.Match{}, toPort(2))
			r.flow(1, 10, openflow.NewMatch(openflow.WithMask(openflow.EthSrc, 1, 1)), toPort(4))
			b := make([]byte, 60) // nothing but Ethernet, and zeros
			b[12], b[13] = 0x08, 0xff
			room := maxClaims + maxWideClaims
			for i := range room + 1 { // each adds a bit to what rules read, and kills the paths through table 1
				id, of := openflow.IPv4Src, uint64(1)<<(i%32)
				if i >= 32 {
					id = openflow.IPv4Dst
				}
				match := openflow.NewMatch(openflow.Exact(openflow.EthType, 0x0800), openflow.WithMask(id, of, of))
				if i == room {
					match = openflow.NewMatch(openflow.WithMask(openflow.EthSrc, 2, 2))
				}
				fm := &openflow.FlowMod{TableID: 1, Priority: 10, Match: match}
				if i < room {
					r.mod(fm)
				}
				switch i {
				case 0:
					r.send(c.first, b)
				case room:
					r.FlowMod(r.now, fm)
					for table := range uint8(2) {
						match := openflow.Match{}
						if table == 0 {
							match = openflow.NewMatch(openflow.Exact(openflow.InPort, 3))
						}
						r.FlowMod(r.now, &openflow.FlowMod{Command: openflow.FlowModify, TableID: table, Match: match, Instructions: openflow.NewInstructions(toPort(5))})
					}
					r.Publish()
				default:
					r.send(4, b)
				}
				if n := len(r.proc.cache.claims); i < room && n != i+1 {
					t.Fatalf("%d claims after %d frames", n, i+1)
				}
			}
			r.proc.Process(r.now, []*packet.Frame{frameOf(4, b), frameOf(c.first, b)}, &r.rec)
			for i, e := range r.rec.take(t) {
				var no uint32
				if fmt.Sscanf(e, "out %d/", &no); no != 5 {
					t.Errorf("frame %d left by port %d: along a path that is gone", i, no)
				}
			}
			checkStore(t, r.proc)
		})
	}
}

// TestGuessesKeepNothingAlive: a large batch, a flood of changes, and small batches from then on. Nothing leads to the paths,
// and so to the entries, that went with the flood.
func TestGuessesKeepNothingAlive(t *testing.T) {
	r := newRig(t, Config{HashSeed: 3}, upPorts(3))
	r.flow(0, 1, openflow.Match{}, toPort(2))
	b := make([]byte, 60)
	var batch []*packet.Frame
	for range chunk {
		batch = append(batch, frameOf(1, b))
	}
	for range 2 {
		r.proc.Process(0, batch, &nowhere{})
	}
	old := r.proc.guesses[0]
	if old == nil {
		t.Fatal("no path was guessed")
	}
	r.mod(&openflow.FlowMod{Command: openflow.FlowDelete})
	r.send(1, b)
	for i, p := range r.proc.guesses {
		if p == old {
			t.Errorf("guess %d leads to a path that went", i)
		}
	}
}
