package agent

import (
	"bytes"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestControllerID: controller(id=N) reaches the connections that have taken N, and no other. A connection
// that has taken none has 0.
func TestControllerID(t *testing.T) {
	b := newBench(t, 2)
	p, q := b.connect(), b.connect()
	p.features()
	q.features()
	up := func(id uint16) openflow.Action {
		return openflow.Action{Type: openflow.NXController, MaxLen: 0xffff, ControllerID: id, Reason: openflow.ReasonAction}
	}
	take := func(p *peer, id byte) {
		p.send(&openflow.Experimenter{Experimenter: openflow.ExperimenterNicira, ExpType: nxtSetControllerID, Data: []byte{0, 0, 0, 0, 0, 0, 0, id}})
		p.barrier()
	}
	p.send(add(9, openflow.NewMatch(openflow.Exact(openflow.EthDst, 0x020000000009)), up(9)))
	p.send(add(1, openflow.NewMatch(), up(0)))
	take(p, 9)
	hears := func(who string, p *peer, f []byte) {
		t.Helper()
		if in := expect[*openflow.PacketIn](p); !bytes.Equal(in.m.Data, f) {
			t.Errorf("%s hears of %x, expected %x", who, in.m.Data, f)
		}
	}
	for9, for0, both := frame(9, 1, "to id 9"), frame(8, 1, "to id 0"), frame(7, 1, "to id 0 again")
	b.send(1, for9)
	hears("who took id 9", p, for9)
	b.send(1, for0)
	hears("who took none", q, for0) // and has not heard of the first, which came earlier
	take(p, 0)
	b.send(1, both)
	hears("who gave the id back", p, both) // and has not heard of the second
	hears("who took none", q, both)
	// A wrong length is told and changes nothing.
	p.send(&openflow.Experimenter{Experimenter: openflow.ExperimenterNicira, ExpType: nxtSetControllerID, Data: []byte{9}})
	if e := expect[*openflow.Error](p); e.m.Type != openflow.ErrBadRequest || e.m.Code != openflow.BRCBadLen {
		t.Errorf("an id of one byte: %v", e.m)
	}
	b.send(1, for0)
	hears("who asked wrongly", p, for0)
}
