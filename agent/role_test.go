package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

func (p *peer) role(r openflow.Role, generation uint64) (*openflow.RoleReply, *openflow.Error) {
	p.t.Helper()
	xid := p.send(&openflow.RoleRequest{Role: r, GenerationID: generation})
	for got := range p.got {
		if got.xid != xid {
			p.kept = append(p.kept, got)
			continue
		}
		switch m := got.m.(type) {
		case *openflow.RoleReply:
			return m, nil
		case *openflow.Error:
			return nil, m
		}
	}
	p.t.Fatal("the connection ended")
	return nil, nil
}

func TestRoles(t *testing.T) {
	b := newBench(t, 1)
	p, q := b.connect(), b.connect()
	p.features()
	q.features()
	want := func(p *peer, r openflow.Role, generation uint64, role openflow.Role, now uint64) {
		t.Helper()
		got, err := p.role(r, generation)
		if err != nil || got.Role != role || got.GenerationID != now {
			t.Errorf("%s generation %d: %v %v; want %s generation %d", r, generation, got, err, role, now)
		}
	}
	stale := func(p *peer, r openflow.Role, generation uint64) {
		t.Helper()
		if _, err := p.role(r, generation); !errors.Is(err, &openflow.Error{Type: openflow.ErrRoleRequestFailed, Code: openflow.RRFCStale}) {
			t.Errorf("%s generation %d: %v, want stale", r, generation, err)
		}
	}
	want(p, openflow.RoleNoChange, 0, openflow.RoleEqual, openflow.GenerationUnset)
	want(p, openflow.RoleMaster, 0, openflow.RoleMaster, 0)
	want(p, openflow.RoleMaster, 0, openflow.RoleMaster, 0) // the same again is not stale
	want(q, openflow.RoleNoChange, 99, openflow.RoleEqual, 0)
	want(q, openflow.RoleMaster, 10, openflow.RoleMaster, 10)
	want(p, openflow.RoleNoChange, 0, openflow.RoleSlave, 10) // there is one master
	stale(p, openflow.RoleMaster, 9)
	stale(p, openflow.RoleSlave, 9)
	want(p, openflow.RoleEqual, 0, openflow.RoleEqual, 10) // EQUAL carries no generation
	// On a circle: 2^63 + 9 is just not older than 10.
	want(p, openflow.RoleSlave, 1<<63+9, openflow.RoleSlave, 1<<63+9)
	want(p, openflow.RoleSlave, 3, openflow.RoleSlave, 3)
	stale(p, openflow.RoleMaster, 1<<64-1)
	want(q, openflow.RoleNoChange, 0, openflow.RoleMaster, 3)
}

// TestSlaveMayOnlyAsk: every message that changes the switch is refused; questions are answered.
func TestSlaveMayOnlyAsk(t *testing.T) {
	b := newBench(t, 1)
	p := b.connect()
	p.features()
	p.role(openflow.RoleSlave, 1)
	for _, m := range []openflow.Message{
		add(1, inPort(1)), &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: 1, Data: frame(1, 2, "")},
		&openflow.GroupMod{}, &openflow.PortMod{Port: 1}, &openflow.TableMod{}, &openflow.MeterMod{Flags: openflow.MeterKbps},
		&openflow.MultipartRequest{Type: openflow.MultipartTableFeatures, Records: []openflow.Record{&openflow.TableFeatures{}}},
	} {
		xid := p.send(m)
		if e := expect[*openflow.Error](p); e.xid != xid || !errors.Is(e.m, &openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCIsSlave}) {
			t.Errorf("%s: xid %d %v", m.MsgType(), e.xid, e.m)
		}
	}
	if n := len(p.ask(openflow.MultipartFlow, openflow.AllFlows())); n != 1 {
		t.Errorf("%d entries", n)
	}
	p.send(&openflow.MultipartRequest{Type: openflow.MultipartTableFeatures}) // only asks
	expect[*openflow.MultipartReply](p)
	p.barrier()
}

func TestAsyncByRole(t *testing.T) {
	b := newBench(t, 2)
	p, q := b.connect(), b.connect()
	// A frame is offered to one connection after the other, each by what it wants at that moment.
	settle := func() {
		t.Helper()
		if err := b.sw.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.features()
	q.features()
	p.send(add(7, inPort(1), controllerOutput(60)))
	p.barrier()
	p.role(openflow.RoleMaster, 1)
	q.role(openflow.RoleSlave, 1)
	b.send(1, frame(2, 1, ""))
	expect[*openflow.PacketIn](p)
	settle()
	b.plug(5, PortConfig{})
	expect[*openflow.PortStatus](p)
	expect[*openflow.PortStatus](q) // a slave hears of ports and of nothing else
	none[*openflow.PacketIn](q)

	// What a slave chooses holds for a slave.
	q.send(&openflow.SetAsync{AsyncConfig: openflow.AsyncConfig{PacketIn: [2]uint32{0, 1 << openflow.ReasonAction}}})
	q.barrier()
	b.send(1, frame(2, 1, ""))
	expect[*openflow.PacketIn](p)
	expect[*openflow.PacketIn](q)
	settle()
	if err := b.sw.RemovePort("p5"); err != nil {
		t.Fatal(err)
	}
	expect[*openflow.PortStatus](p)
	none[*openflow.PortStatus](q)
	q.role(openflow.RoleEqual, 0)
	b.send(1, frame(2, 1, ""))
	expect[*openflow.PacketIn](p)
	settle()
	none[*openflow.PacketIn](q)
	q.send(&openflow.GetAsyncRequest{})
	if a := expect[*openflow.GetAsyncReply](q).m; a.PacketIn != [2]uint32{0, 1 << openflow.ReasonAction} || a.PortStatus != [2]uint32{} {
		t.Errorf("%v", a)
	}
}

// TestAsyncMasksNoMatch: one controller application wants ACTION and not NO_MATCH.
func TestAsyncMasksNoMatch(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	p.features()
	p.send(&openflow.SetConfig{}) // miss_send_len 0 says nothing about an output's own max_len
	p.send(add(0, openflow.Match{}, controllerOutput(96)))
	p.send(add(7, inPort(2), controllerOutput(96)))
	p.send(&openflow.SetAsync{AsyncConfig: openflow.AsyncConfig{PacketIn: [2]uint32{1<<openflow.ReasonAction | 1<<openflow.ReasonInvalidTTL}}})
	p.barrier()
	b.send(1, frame(2, 1, "miss"))
	b.settle()
	b.send(2, frame(2, 1, "action"))
	if in := expect[*openflow.PacketIn](p).m; in.Reason != openflow.ReasonAction || len(in.Data) != 60 {
		t.Errorf("%v", in)
	}
	none[*openflow.PacketIn](p)
}

// TestToolIsLeftAlone: a connection to a listener hears nothing that it did not ask for.
func TestToolIsLeftAlone(t *testing.T) {
	b := newBench(t, 1)
	p := b.connectTool()
	p.features()
	m := add(7, inPort(1), controllerOutput(60))
	m.Flags = openflow.FlowSendRemoved
	p.send(m)
	p.send(&openflow.SetConfig{})
	p.barrier()
	b.send(1, frame(2, 1, ""))
	b.settle()
	b.plug(5, PortConfig{})
	p.send(deleteAll())
	none[*openflow.PacketIn](p)
	none[*openflow.PortStatus](p)
	none[*openflow.FlowRemoved](p)

	p.send(&openflow.SetConfig{SwitchConfig: openflow.SwitchConfig{MissSendLen: 65534}}) // ovs-ofctl monitor
	p.send(m)
	p.barrier()
	b.send(1, frame(2, 1, ""))
	expect[*openflow.PacketIn](p)
	p.send(&openflow.GetConfigRequest{})
	if c := expect[*openflow.GetConfigReply](p).m; c.MissSendLen != 65534 || c.Flags != openflow.FragNormal {
		t.Errorf("%v", c)
	}
}

// TestAsyncMasks turns on one reason of one message for one role at a time and provokes each of
// them: exactly that one comes.
func TestAsyncMasks(t *testing.T) {
	type event struct {
		name   string
		choose func(*openflow.AsyncConfig) *[2]uint32
		reason uint8
	}
	packetIn := func(a *openflow.AsyncConfig) *[2]uint32 { return &a.PacketIn }
	portStatus := func(a *openflow.AsyncConfig) *[2]uint32 { return &a.PortStatus }
	removed := func(a *openflow.AsyncConfig) *[2]uint32 { return &a.FlowRemoved }
	events := []event{
		{"miss", packetIn, uint8(openflow.ReasonNoMatch)}, {"action", packetIn, uint8(openflow.ReasonAction)}, {"ttl", packetIn, uint8(openflow.ReasonInvalidTTL)},
		{"add", portStatus, uint8(openflow.PortAdded)}, {"delete", portStatus, uint8(openflow.PortDeleted)}, {"modify", portStatus, uint8(openflow.PortModified)},
		{"idle", removed, uint8(openflow.RemovedIdleTimeout)}, {"hard", removed, uint8(openflow.RemovedHardTimeout)}, {"deleted", removed, uint8(openflow.RemovedDelete)},
	}
	b := newBench(t, 3)
	boss, p := b.connect(), b.connect() // boss makes things happen and hears nothing
	boss.features()
	p.features()
	boss.send(&openflow.SetAsync{})
	boss.send(deleteAll())
	boss.send(add(0, openflow.Match{}, controllerOutput(64)))
	boss.send(add(5, inPort(2), controllerOutput(64)))
	ttl := add(6, openflow.NewMatch(openflow.Exact(openflow.InPort, 3), openflow.Exact(openflow.EthType, 0x0800)), openflow.Action{Type: openflow.ActionDecNwTTL})
	boss.send(ttl)
	boss.barrier()
	spent := tcpFrame(t, nil)
	spent[22] = 1 // TTL
	for _, role := range []openflow.Role{openflow.RoleEqual, openflow.RoleMaster, openflow.RoleSlave} {
		generation := uint64(role)
		p.role(role, generation)
		for i, want := range events {
			var a openflow.AsyncConfig
			index := 0
			if role == openflow.RoleSlave {
				index = 1
			}
			want.choose(&a)[index] = 1 << want.reason
			want.choose(&a)[1-index] = 0
			if i%2 == 0 { // what holds for the other role does not matter
				want.choose(&a)[1-index] = 0xff &^ (1 << want.reason)
			}
			p.send(&openflow.SetAsync{AsyncConfig: a})
			p.barrier()
			boss.role(openflow.RoleEqual, 0)
			b.provokeAll(boss, spent)
			p.barrier()
			got := asyncNames(p)
			if len(got) != 1 || got[0] != want.name {
				t.Errorf("%s, only %s wanted: got %v", role, want.name, got)
			}
		}
	}
}

// provokeAll makes every asynchronous message happen once.
func (b *bench) provokeAll(boss *peer, spent []byte) {
	b.t.Helper()
	b.send(1, frame(1, 2, ""))
	b.settle()
	b.send(2, frame(1, 2, ""))
	b.settle()
	b.send(3, spent)
	b.settle()
	b.plug(5, PortConfig{})
	boss.send(&openflow.PortMod{Port: 5, HWAddr: b.portDescs()[3].HWAddr, Config: openflow.PortNoFwd, Mask: openflow.PortNoFwd})
	for i, change := range []func(*openflow.FlowMod){func(m *openflow.FlowMod) { m.IdleTimeout = 1 }, func(m *openflow.FlowMod) { m.HardTimeout = 1 }, func(*openflow.FlowMod) {}} {
		m := add(uint16(100+i), inPort(77))
		m.Flags, m.TableID = openflow.FlowSendRemoved, 1
		change(m)
		boss.send(m)
	}
	gone := add(102, inPort(77))
	gone.Command, gone.TableID, gone.OutPort, gone.OutGroup = openflow.FlowDeleteStrict, 1, openflow.PortAny, openflow.GroupAny
	boss.send(gone)
	boss.barrier()
	b.clock.Advance(1200 * time.Millisecond)
	if err := b.sw.RemovePort("p5"); err != nil {
		b.t.Fatal(err)
	}
}

// asyncNames takes what came and names it.
func asyncNames(p *peer) (names []string) {
	for {
		select {
		case r := <-p.got:
			p.kept = append(p.kept, r)
			continue
		default:
		}
		break
	}
	for _, r := range p.kept {
		switch m := r.m.(type) {
		case *openflow.PacketIn:
			names = append(names, []string{"miss", "action", "ttl"}[m.Reason])
		case *openflow.PortStatus:
			names = append(names, []string{"add", "delete", "modify"}[m.Reason])
		case *openflow.FlowRemoved:
			names = append(names, []string{"idle", "hard", "deleted", "group"}[m.Reason])
		}
	}
	p.kept = nil
	return names
}

// TestSlaveLeavesFragmentsAlone: SET_CONFIG of a slave sets its own miss_send_len and not what becomes of
// everybody's fragments.
func TestSlaveLeavesFragmentsAlone(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	ask := func(flags openflow.FragFlags, length uint16, want openflow.FragFlags) {
		t.Helper()
		p.send(&openflow.SetConfig{SwitchConfig: openflow.SwitchConfig{Flags: flags, MissSendLen: length}})
		p.send(&openflow.GetConfigRequest{})
		if m := expect[*openflow.GetConfigReply](p).m; m.Flags != want || m.MissSendLen != length {
			t.Errorf("%v, want %s and %d", m, want, length)
		}
	}
	role := func(r openflow.Role) {
		p.send(&openflow.RoleRequest{Role: r, GenerationID: 1})
		expect[*openflow.RoleReply](p)
	}
	ask(openflow.FragDrop, 70, openflow.FragDrop)
	role(openflow.RoleSlave)
	ask(openflow.FragNormal, 80, openflow.FragDrop)
	role(openflow.RoleMaster)
	ask(openflow.FragNormal, 90, openflow.FragNormal)
	none[*openflow.Error](p)
}
