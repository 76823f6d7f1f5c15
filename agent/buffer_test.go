package agent

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

func withBuffers(n int, age time.Duration) func(*BridgeConfig, *Env) {
	return func(c *BridgeConfig, _ *Env) { c.Buffers = BufferConfig{Number: n, Age: age} }
}

// TestBuffers follows frames from the packet-in to the request that releases them.
func TestBuffers(t *testing.T) {
	b := newBench(t, 3, withBuffers(2, 2*time.Second))
	p := b.connect()
	if f := p.features(); f.NBuffers != 2 {
		t.Errorf("%v", f)
	}
	p.send(deleteAll())
	p.send(add(7, inPort(1), controllerOutput(20)))
	p.send(add(7, inPort(3), controllerOutput(openflow.ControllerNoBuffer)))
	p.barrier()
	in := func(port uint32, f []byte) *openflow.PacketIn {
		t.Helper()
		b.send(port, f)
		return expect[*openflow.PacketIn](p).m
	}
	refused := func(m openflow.Message, code uint16) {
		t.Helper()
		p.send(m)
		if e := expect[*openflow.Error](p).m; !errors.Is(e, &openflow.Error{Type: openflow.ErrBadRequest, Code: code}) {
			t.Errorf("%v: %v", m, e)
		}
	}
	release := func(id uint32, list ...openflow.Action) *openflow.PacketOut {
		return &openflow.PacketOut{BufferID: id, InPort: 1, Actions: openflow.NewActions(list...)}
	}
	one, two := frame(1, 2, "one"), frame(1, 2, "two")
	if m := in(3, one); m.BufferID != openflow.NoBuffer || !bytes.Equal(m.Data, one) {
		t.Errorf("OFPCML_NO_BUFFER: %v", m)
	}
	first, second := in(1, one), in(1, two)
	for _, m := range []*openflow.PacketIn{first, second} {
		if m.BufferID == openflow.NoBuffer || len(m.Data) != 20 || m.TotalLen != 60 {
			t.Errorf("packet-in %v", m)
		}
	}
	if m := in(1, one); m.BufferID != openflow.NoBuffer || !bytes.Equal(m.Data, one) {
		t.Errorf("without room the frame goes whole: %v", m)
	}
	p.send(release(second.BufferID, openflow.Output(2)))
	b.expect(two, 2)
	refused(release(second.BufferID, openflow.Output(2)), openflow.BRCBufferEmpty)
	refused(release(12345), openflow.BRCBufferUnknown)

	// A FLOW_MOD that fails leaves the frame; one that works sends it through the tables.
	mod := add(8, inPort(1), openflow.Output(2))
	mod.BufferID, mod.TableID = first.BufferID, 99
	p.send(mod)
	if e := expect[*openflow.Error](p).m; e.Type != openflow.ErrFlowModFailed {
		t.Errorf("%v", e)
	}
	mod.TableID = 0
	p.send(mod)
	b.expect(one, 2)
	refused(mod, openflow.BRCBufferEmpty)

	// A frame that nobody asks for is forgotten in time; no action at all throws it away before.
	mod.Command, mod.BufferID, mod.Priority, mod.OutPort, mod.OutGroup = openflow.FlowDeleteStrict, 4711, 8, openflow.PortAny, openflow.GroupAny
	p.send(mod) // a delete ignores buffer_id
	p.barrier()
	old, thrown := in(1, one), in(1, two)
	p.send(release(thrown.BufferID))
	p.barrier()
	refused(release(thrown.BufferID), openflow.BRCBufferEmpty)
	b.clock.Advance(2 * time.Second)
	if b.sw.kept.live != 0 || b.sw.kept.bytes != 0 {
		t.Errorf("%d frames of %d bytes are still kept", b.sw.kept.live, b.sw.kept.bytes)
	}
	refused(release(old.BufferID, openflow.Output(2)), openflow.BRCBufferUnknown)
	b.silent(1, 2, 3)
}

// TestBuffersOfTwoControllers: both hear of one buffer, and the first to ask gets the frame. What no
// controller heard of is not kept.
func TestBuffersOfTwoControllers(t *testing.T) {
	b := newBench(t, 2, withBuffers(100, time.Minute))
	p, q := b.connect(), b.connect()
	p.features()
	q.features()
	p.send(add(7, inPort(1), controllerOutput(30)))
	p.barrier()
	f := frame(1, 2, "both")
	b.send(1, f)
	id := expect[*openflow.PacketIn](p).m.BufferID
	if other := expect[*openflow.PacketIn](q).m.BufferID; other != id {
		t.Errorf("buffers %d and %d", id, other)
	}
	for _, c := range []*peer{p, q} {
		c.send(&openflow.PacketOut{BufferID: id, InPort: 1, Actions: openflow.NewActions(openflow.Output(2))})
		c.barrier()
	}
	if e := expect[*openflow.Error](q).m; e.Code != openflow.BRCBufferEmpty {
		t.Errorf("%v", e)
	}
	b.expect(f, 2)
	for _, c := range []*peer{p, q} {
		c.send(&openflow.SetAsync{})
		c.barrier()
	}
	for range 200 {
		b.send(1, f)
	}
	b.silent(2)
	if b.sw.kept.live != 0 {
		t.Errorf("%d frames kept for nobody", b.sw.kept.live)
	}
}

// TestBufferPool compares the pool with a plain list under a random stream of requests.
func TestBufferPool(t *testing.T) {
	var clock ManualClock
	p := newBufferPool(&clock, BufferConfig{Number: 8, Age: 10 * time.Millisecond})
	p.next = bufferIDs - 50 // ids wrap round on the way
	type kept struct {
		text  string
		until time.Duration
	}
	live := map[uint32]kept{}
	rnd := uint32(1)
	for i := range 20000 {
		rnd = rnd*1664525 + 1013904223
		clock.Advance(time.Millisecond)
		for id, k := range live {
			if k.until <= clock.Now() {
				delete(live, id)
			}
		}
		switch rnd >> 30 {
		case 0, 1:
			text := strings.Repeat("x", 14+i%50)
			id, ok := p.keep([]byte(text), 1)
			if ok != (len(live) < 8) {
				t.Fatalf("step %d: kept %v with %d live", i, ok, len(live))
			}
			if ok {
				live[id] = kept{text, clock.Now() + p.age}
			}
		default:
			for id, k := range live {
				b, err := p.take(id)
				if err != nil || string(b.frame) != k.text {
					t.Fatalf("step %d: %v", i, err)
				}
				if _, err := p.take(id); !errors.Is(err, &openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBufferEmpty}) {
					t.Fatalf("step %d: taken twice: %v", i, err)
				}
				if rnd>>29&1 == 0 {
					p.putBack(b)
				} else {
					delete(live, id)
				}
				break
			}
		}
		sum := 0
		for _, k := range live {
			sum += len(k.text)
		}
		p.tick(clock.Now())
		if p.live != len(live) || p.bytes != sum {
			t.Fatalf("step %d: %d frames of %d bytes, want %d of %d", i, p.live, p.bytes, len(live), sum)
		}
	}
}
