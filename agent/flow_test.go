package agent

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

func TestFlowAddModifyDelete(t *testing.T) {
	b := newBench(t, 3)
	p := b.connect()
	p.features()
	p.send(deleteAll())
	p.barrier()
	f := frame(2, 1, "x")
	b.send(1, f)
	b.silent(1, 2, 3)

	p.send(add(10, inPort(1), openflow.Output(2)))
	p.barrier()
	b.send(1, f)
	b.expect(f, 2)

	mod := add(10, inPort(1), openflow.Output(3))
	mod.Command = openflow.FlowModify
	p.send(mod)
	p.barrier()
	b.send(1, f)
	b.expect(f, 3)
	b.silent(1, 2)

	stats := p.ask(openflow.MultipartFlow, openflow.AllFlows())
	if len(stats) != 1 {
		t.Fatalf("%d entries", len(stats))
	}
	if s := stats[0].(*openflow.FlowStats); s.PacketCount != 2 || s.ByteCount != 120 || !s.Match.Equal(mod.Match) ||
		!s.Instructions.Equal(mod.Instructions) || s.Priority != 10 {
		t.Errorf("stats %v", s)
	}
	p.send(deleteAll())
	p.barrier()
	b.send(1, f)
	b.silent(1, 2, 3)
	if d := b.sw.Status().Drops["table-miss"]; d != 2 {
		t.Errorf("%d misses counted, want 2", d)
	}
}

// TestBarrierMeansVisible sends a burst of changes, a barrier and at once a frame, again and again:
// no frame may meet the entry of the round before.
func TestBarrierMeansVisible(t *testing.T) {
	b := newBench(t, 3)
	p := b.connect()
	p.features()
	f := frame(2, 1, "x")
	for round := range 200 {
		to := openflow.PortNo(2 + round%2)
		for i := range 20 {
			p.conn.Queue(p.conn.NextXID(), add(uint16(100+i), inPort(uint64(50+i)), openflow.Output(to)))
		}
		p.conn.Queue(p.conn.NextXID(), add(10, inPort(1), openflow.Output(to)))
		p.barrier()
		b.send(1, f)
		b.expect(f, uint32(to))
	}
	b.silent(1, 2, 3)
}

func TestFlowErrorCarriesTheRequest(t *testing.T) {
	b := newBench(t, 1)
	p := b.connect()
	bad := add(1, openflow.NewMatch(openflow.Exact(openflow.TCPDst, 80)), openflow.Output(1))
	xid := p.send(bad)
	e := expect[*openflow.Error](p)
	want := &openflow.Error{Type: openflow.ErrBadMatch, Code: openflow.BMCBadPrereq}
	if e.xid != xid || !errors.Is(e.m, want) {
		t.Errorf("xid %d error %v, want %d %v", e.xid, e.m, xid, want)
	}
	if sent := openflow.Append(nil, xid, bad); !bytes.Equal(e.m.Data, sent) {
		t.Errorf("the error carries\n% x\nwant\n% x", e.m.Data, sent)
	}
	buffered := add(1, inPort(1), openflow.Output(1))
	buffered.BufferID = 7
	p.send(buffered)
	if e := expect[*openflow.Error](p); !errors.Is(e.m, &openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBufferUnknown}) {
		t.Errorf("unknown buffer: %v", e.m)
	}
	if n := len(b.sw.Flows(-1)); n != 1 {
		t.Errorf("%d entries after two refused ones, want the table-miss entry alone", n)
	}
}

func TestFlowRemoved(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	p.features()
	entry := func(port uint64, idle, hard uint16) *openflow.FlowMod {
		m := add(uint16(port), inPort(port), openflow.Output(2))
		m.Flags, m.IdleTimeout, m.HardTimeout, m.Cookie = openflow.FlowSendRemoved, idle, hard, port
		return m
	}
	p.send(entry(1, 2, 0))
	p.send(entry(2, 0, 3))
	p.send(entry(3, 0, 0))
	p.barrier()
	b.clock.Advance(time.Second)
	b.send(1, frame(2, 1, ""))
	b.settle()
	b.clock.Advance(1900 * time.Millisecond) // 2.9 s: entry 1 was used 1.9 s ago
	none[*openflow.FlowRemoved](p)

	b.clock.Advance(200 * time.Millisecond)
	reasons := map[uint64]openflow.FlowRemovedReason{}
	for range 2 {
		r := expect[*openflow.FlowRemoved](p)
		reasons[r.m.Cookie] = r.m.Reason
		if r.xid != 0 || r.m.DurationSec != 3 || r.m.Priority != uint16(r.m.Cookie) {
			t.Errorf("xid %d %v", r.xid, r.m)
		}
		if r.m.Cookie == 1 && (r.m.PacketCount != 1 || r.m.ByteCount != 60 || r.m.IdleTimeout != 2) {
			t.Errorf("entry 1: %v", r.m)
		}
	}
	if reasons[1] != openflow.RemovedIdleTimeout || reasons[2] != openflow.RemovedHardTimeout {
		t.Errorf("reasons %v", reasons)
	}
	p.send(deleteAll())
	if r := expect[*openflow.FlowRemoved](p).m; r.Cookie != 3 || r.Reason != openflow.RemovedDelete {
		t.Errorf("deleted: %v", r)
	}
	none[*openflow.FlowRemoved](p)
}

// TestStandaloneFallback: when the last controller goes, the table-miss entry comes back in place of
// the controller's, and the rest of what it installed stays.
func TestStandaloneFallback(t *testing.T) {
	var dials dialer
	b := newBench(t, 2, func(c *BridgeConfig, e *Env) {
		c.Controllers = []ControllerConfig{{Target: Target{Scheme: "tcp", Host: "c1", Port: 1}, MinBackoff: time.Second, MaxBackoff: 8 * time.Second}}
		e.Dial = dials.dial
	})
	p := dials.accept(t)
	p.features()
	p.send(add(0, openflow.Match{}, openflow.Output(openflow.PortController)))
	p.send(add(5, inPort(2), openflow.Output(1)))
	p.barrier()
	if st := b.sw.Status(); !st.Connected || st.Standalone || st.Controllers[0].State != stateConnected {
		t.Errorf("status %+v", st)
	}
	p.nc.Close()
	waitFor(t, "the fallback", func() bool { return b.sw.Status().Standalone })
	waitFor(t, "the entry", func() bool {
		f := b.sw.Flows(-1)
		return len(f) == 2 && f[0].Text[len(f[0].Text)-len("priority=5,in_port=2 actions=output:1"):] == "priority=5,in_port=2 actions=output:1" &&
			f[1].Priority == 0 && f[1].Actions == "NORMAL"
	})
}

func TestSecureStartsEmpty(t *testing.T) {
	b := newBench(t, 2, func(c *BridgeConfig, _ *Env) { c.FailMode = FailSecure })
	if f := b.sw.Flows(-1); len(f) != 0 {
		t.Errorf("flows %v", f)
	}
	b.send(1, frame(0xff, 1, ""))
	b.silent(1, 2)
}

func TestTableMissChoice(t *testing.T) {
	for miss, want := range map[TableMiss]string{MissNormal: "NORMAL", MissController: "CONTROLLER:65535", MissDrop: ""} {
		b := newBench(t, 0, func(c *BridgeConfig, _ *Env) { c.TableMiss = miss })
		f := b.sw.Flows(-1)
		if want == "" && len(f) != 0 || want != "" && (len(f) != 1 || f[0].Actions != want) {
			t.Errorf("table-miss %s: %+v", miss, f)
		}
	}
}
