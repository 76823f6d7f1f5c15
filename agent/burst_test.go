package agent

import (
	"net"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// write sends several messages at once, so that they are one burst.
func (p *peer) write(list ...openflow.Message) {
	p.t.Helper()
	var b []byte
	for _, m := range list {
		b = openflow.Append(b, 7, m)
	}
	if _, err := p.conn.NetConn().Write(b); err != nil {
		p.t.Error(err)
	}
}

// TestBurstIsShownWithoutBarrier: nobody has to ask for changes to take effect, be they few or many.
func TestBurstIsShownWithoutBarrier(t *testing.T) {
	for _, n := range []int{1, burstFew + 1, burstMany + burstFew} {
		b := newBench(t, 3)
		p := b.connect()
		p.send(deleteAll())
		p.barrier()
		var list []openflow.Message
		for i := range n {
			list = append(list, add(10, openflow.NewMatch(openflow.Exact(openflow.EthDst, uint64(i))), openflow.Output(3)))
		}
		p.write(append(list, add(20, inPort(1), openflow.Output(2)))...)
		f := frame(2, 1, "x")
		for end := time.Now().Add(inTime); ; time.Sleep(time.Millisecond) {
			b.send(1, f)
			if _, ok := b.ends[2].TryReceive(); ok {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%d changes: the last never took effect", n+1)
			}
		}
	}
}

// TestPacketOutsBetweenFlowMods: frames of one burst meet the tables as they were at their place in it.
func TestPacketOutsBetweenFlowMods(t *testing.T) {
	b := newBench(t, 3)
	p := b.connect()
	out := func(payload string) *openflow.PacketOut {
		return &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: 1,
			Actions: openflow.NewActions(openflow.Output(openflow.PortTable)), Data: frame(2, 1, payload)}
	}
	for range 20 {
		p.write(
			add(10, inPort(1), openflow.Output(2)), out("a"), out("b"),
			add(10, inPort(1), openflow.Output(3)), out("c"),
			add(10, inPort(1), openflow.Output(2)), out("d"),
			&openflow.BarrierRequest{},
		)
		expect[*openflow.BarrierReply](p)
		b.expect(frame(2, 1, "a"), 2)
		b.expect(frame(2, 1, "b"), 2)
		b.expect(frame(2, 1, "c"), 3)
		b.expect(frame(2, 1, "d"), 2)
		b.silent(1, 2, 3)
	}
}

// TestPacketOutsFillBatches: more frames than a batch takes, each changed on its way, all arrive in order.
func TestPacketOutsFillBatches(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	var list []openflow.Message
	const n = 3*batchSize + 5
	for i := range n {
		list = append(list, &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortController, Data: frame(2, byte(i), "x"),
			Actions: openflow.NewActions(openflow.Output(1), openflow.SetField(openflow.EthDst, 0x020000000009), openflow.Output(2))})
	}
	go p.write(list...)
	for i := range n {
		b.expect(frame(2, byte(i), "x"), 1)
		b.expect(frame(9, byte(i), "x"), 2)
	}
	p.barrier()
}

// TestManyStrictDeletes: every entry that asked for it is told of, in the order of the deletes, before the
// barrier that follows them is answered.
func TestManyStrictDeletes(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	p.features()
	const n = goneMany + goneMany/2
	deletes := p.removable(n)
	go p.write(append(deletes, &openflow.BarrierRequest{})...)
	for i := range n {
		if r := expect[*openflow.FlowRemoved](p); r.m.Cookie != uint64(i) {
			t.Fatalf("FLOW_REMOVED %d is of entry %d", i, r.m.Cookie)
		}
		for _, m := range p.kept {
			if _, early := m.m.(*openflow.BarrierReply); early {
				t.Fatalf("the barrier was answered after %d of %d FLOW_REMOVED", i, n)
			}
		}
	}
	expect[*openflow.BarrierReply](p)
}

// removable adds n entries that ask for FLOW_REMOVED, and returns the deletes that take each of them away.
func (p *peer) removable(n int) (deletes []openflow.Message) {
	p.t.Helper()
	var adds []openflow.Message
	for i := range n {
		m := add(10, openflow.NewMatch(openflow.Exact(openflow.EthDst, uint64(i))), openflow.Output(2))
		m.Cookie, m.Flags = uint64(i), openflow.FlowSendRemoved
		d := add(10, m.Match)
		d.Command, d.OutPort, d.OutGroup = openflow.FlowDeleteStrict, openflow.PortAny, openflow.GroupAny
		adds, deletes = append(adds, m), append(deletes, d)
	}
	p.write(adds...)
	p.barrier()
	return deletes
}

// TestFlowRemovedAfterHalfClose: a peer that has finished speaking after a burst of deletes still hears of
// every entry that went.
func TestFlowRemovedAfterHalfClose(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := newBench(t, 2)
	for range 5 {
		far, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		near, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- b.sw.Serve(near) }()
		p := newPeer(t, far)
		p.features()
		const n = burstFew + 8
		p.write(p.removable(n)...)
		if err := far.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got := 0
		for r := range p.got {
			if _, ok := r.m.(*openflow.FlowRemoved); ok {
				got++
			}
		}
		if got != n {
			t.Errorf("%d FLOW_REMOVED for %d deletes", got, n)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// endless is a connection on which nothing is ever late: a lull on it never ends by itself, as if its peer
// always said the next word just in time.
type endless struct{ net.Conn }

func (endless) SetReadDeadline(time.Time) error { return nil }

func (b *bench) connectEndless() *peer {
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- b.sw.Serve(endless{near}) }()
	p := newPeer(b.t, far)
	b.t.Cleanup(func() { far.Close(); <-done })
	return p
}

// TestFlowRemovedWhileThePeerTalks: changes and FLOW_REMOVED wait a moment for more, and no longer, though the
// peer goes on talking.
func TestFlowRemovedWhileThePeerTalks(t *testing.T) {
	b := newBench(t, 2)
	p := b.connectEndless()
	p.features()
	const n = burstFew + 8
	deletes := p.removable(n)
	p.write(deletes...)
	word := &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortController, Data: frame(2, 1, "x")}
	for end := time.Now().Add(inTime); len(p.got) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d FLOW_REMOVED of %d as long as the peer talks", len(p.got), n)
		}
		b.clock.Advance(burstLong / 2)
		p.write(word)
	}
	for range n {
		expect[*openflow.FlowRemoved](p)
	}
}

// TestEchoAnswersAfterPublication: like every answer ECHO_REPLY says that what was asked for before is done.
func TestEchoAnswersAfterPublication(t *testing.T) {
	b := newBench(t, 3)
	p := b.connectEndless()
	p.send(deleteAll())
	p.barrier()
	for i := range 10 {
		to := uint32(2 + i%2)
		var list []openflow.Message
		for range burstFew {
			list = append(list, add(20, inPort(1), openflow.Output(openflow.PortNo(to))))
		}
		p.write(append(list, &openflow.EchoRequest{})...)
		expect[*openflow.EchoReply](p)
		f := frame(2, 1, string(rune('a'+i)))
		b.send(1, f)
		if b.expect(f, to); t.Failed() {
			t.FailNow()
		}
	}
}

// TestEchoAndPacketOutWaitForNobodysChange: while a change holds the tables, as one of a million entries does for
// seconds, other connections are answered and their frames leave.
func TestEchoAndPacketOutWaitForNobodysChange(t *testing.T) {
	b := newBench(t, 2)
	c := b.controller()
	mustApply(t, c, add(5, inPort(1), openflow.Output(2)))
	_, _, err := b.sw.pipe.Bundle(0, nil, func() (int, error) { // the lock is held
		if _, err := oftest.Ask[*openflow.EchoReply](c, &openflow.EchoRequest{}); err != nil {
			return 0, err
		}
		for _, a := range []openflow.Action{openflow.Output(2), openflow.Output(openflow.PortTable), openflow.Output(2)} {
			if _, err := c.Send(outOf(1, frame(2, 1, "meanwhile"), a)); err != nil {
				return 0, err
			}
			b.expect(frame(2, 1, "meanwhile"), 2)
		}
		return 0, c.Barrier()
	})
	if err != nil {
		t.Error(err)
	}
}

// TestChangeBehindRemovedEntryIsPublished: FLOW_REMOVEDs that are due go out before a GROUP_MOD, which is no reason to
// forget that it changes something.
func TestChangeBehindRemovedEntryIsPublished(t *testing.T) {
	b := newBench(t, 3)
	p := b.connect()
	p.features()
	gone := add(9, inPort(2), openflow.Output(1))
	gone.Flags = openflow.FlowSendRemoved
	p.write(gone, &openflow.GroupMod{Group: 1, Buckets: []openflow.Bucket{bucket(0, openflow.PortAny, openflow.Output(2))}}, add(5, inPort(1), openflow.Group(1)))
	p.barrier()
	deletes := add(9, inPort(2))
	deletes.Command, deletes.OutPort, deletes.OutGroup, deletes.Instructions = openflow.FlowDeleteStrict, openflow.PortAny, openflow.GroupAny, openflow.Instructions{}
	p.write(deletes, &openflow.GroupMod{Command: openflow.GroupModify, Group: 1, Buckets: []openflow.Bucket{bucket(0, openflow.PortAny, openflow.Output(3))}})
	expect[*openflow.FlowRemoved](p)
	waitFor(t, "the changed group", func() bool {
		b.send(1, frame(2, 1, "x"))
		b.settle()
		_, ok := b.ends[3].TryReceive()
		return ok
	})
}
