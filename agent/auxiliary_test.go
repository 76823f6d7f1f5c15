package agent

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// auxBench is a switch that calls one controller with auxiliary connections.
func auxBench(t *testing.T, l *oftest.Listener, scheme string, n int, change ...func(*BridgeConfig, *Env)) *bench {
	t.Helper()
	target, err := ParseTarget(scheme + ":" + l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return newBench(t, 2, append([]func(*BridgeConfig, *Env){withRealClock, func(c *BridgeConfig, _ *Env) {
		c.Controllers = []ControllerConfig{{Target: target, MinBackoff: 20 * time.Millisecond, MaxBackoff: 40 * time.Millisecond, Auxiliary: n}}
	}}, change...)...)
}

// acceptAll takes n connections and gives them in order of their auxiliary ids.
func acceptAll(t *testing.T, l *oftest.Listener, n int) []*oftest.Controller {
	t.Helper()
	list := make([]*oftest.Controller, n)
	for range n {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		id := int(c.Features.AuxiliaryID)
		if id >= n || list[id] != nil {
			t.Fatalf("auxiliary id %d of %d, taken: %v", id, n, list)
		}
		if id > 0 && list[0] == nil {
			t.Fatalf("auxiliary connection %d came before the main one", id)
		}
		list[id] = c
	}
	return list
}

func countPacketIns(list []*oftest.Controller) []int {
	got := make([]int, len(list))
	for i, c := range list {
		for _, m := range c.Pending() {
			if m.MsgType() == openflow.TypePacketIn {
				got[i]++
			}
		}
	}
	return got
}

// TestAuxiliaryConnections: ids, packet-ins spread flow by flow, one role for all, and the end of the
// main connection is theirs.
func TestAuxiliaryConnections(t *testing.T) {
	l, err := oftest.Listen("tcp", "127.0.0.1:0", oftest.Config{Timeout: inTime})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := auxBench(t, l, "tcp", 3)
	list := acceptAll(t, l, 4)
	if err := list[2].Apply(oftest.AddFlow(0, 7, inPort(1), openflow.ApplyActions(controllerOutput(60)))); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the auxiliaries", func() bool { return b.sw.Controllers()[0].Auxiliaries == 3 })
	const flows = 90
	for range 2 {
		for i := range flows {
			b.send(1, frame(byte(i), 1, ""))
		}
		b.settle()
	}
	waitFor(t, "the packet-ins", func() bool {
		n := 0
		for _, k := range countPacketIns(list) {
			n += k
		}
		return n == 2*flows
	})
	got := countPacketIns(list)
	if got[0] != 0 || slices.Min(got[1:]) < 20 {
		t.Errorf("packet-ins by connection: %v, want none on the main one and a fair share on each other", got)
	}
	for i, c := range list[1:] {
		seen := map[byte]int{}
		for _, m := range c.Pending() {
			if in, ok := m.(*openflow.PacketIn); ok {
				seen[in.Data[5]]++
			}
		}
		for flow, n := range seen {
			if n != 2 {
				t.Errorf("connection %d has %d packet-ins of flow %d, want both", i+1, n, flow)
			}
		}
	}
	if st := b.sw.Controllers(); len(st) != 1 || st[0].PacketIns != 2*flows {
		t.Errorf("status %+v", st)
	}

	// The role is the channel's, whichever connection asks for it.
	if _, err := oftest.Ask[*openflow.RoleReply](list[1], &openflow.RoleRequest{Role: openflow.RoleSlave, GenerationID: 5}); err != nil {
		t.Fatal(err)
	}
	if r, err := oftest.Ask[*openflow.RoleReply](list[0], &openflow.RoleRequest{}); err != nil || r.Role != openflow.RoleSlave {
		t.Errorf("role on the main connection: %v %v", r, err)
	}
	slave := &openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCIsSlave}
	if err := list[3].Apply(oftest.AddFlow(0, 8, inPort(2))); !errors.Is(err, slave) {
		t.Errorf("FLOW_MOD of a slave's auxiliary connection: %v", err)
	}

	// One fewer by configuration, while the others stay.
	cfg := b.sw.Config()
	cfg.Controllers = slices.Clone(cfg.Controllers)
	cfg.Controllers[0].Auxiliary = 2
	if err := b.sw.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	if err := list[3].Closed(); err != nil {
		t.Error(err)
	}
	for _, c := range list[:3] {
		if err := c.Barrier(); err != nil {
			t.Error(err)
		}
	}

	// An auxiliary connection that breaks comes back under its id; the main one takes all with it.
	list[1].Close()
	again, err := l.Accept()
	if err != nil || again.Features.AuxiliaryID != 1 {
		t.Fatalf("after a break: %v", err)
	}
	list[0].Close()
	if err := again.Closed(); err != nil {
		t.Error(err)
	}
	if err := list[2].Closed(); err != nil {
		t.Error(err)
	}
	acceptAll(t, l, 3)
}

// TestAuxiliaryOverTLS is the same beginning over TLS.
func TestAuxiliaryOverTLS(t *testing.T) {
	ca := newAuthority(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", ca.config(ca.issue("controller")))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	target, err := ParseTarget("ssl:" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	newBench(t, 0, withRealClock, func(c *BridgeConfig, _ *Env) {
		c.TLS = ca.issue("switch")
		c.Controllers = []ControllerConfig{{Target: target, MinBackoff: 20 * time.Millisecond, Auxiliary: 1}}
	})
	for want := range uint8(2) {
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c, err := oftest.New(nc, oftest.Config{Timeout: inTime})
		if err != nil || c.Features.AuxiliaryID != want {
			t.Fatalf("connection %d: %v", want, err)
		}
		defer c.Close()
		if err := c.Barrier(); err != nil {
			t.Error(err)
		}
	}
}

// TestAuxiliaryListener: a controller that connects itself opens auxiliary connections at an address
// of their own, after its main one.
func TestAuxiliaryListener(t *testing.T) {
	local := Target{Scheme: "ptcp", Host: "127.0.0.1"}
	b := newBench(t, 2, withRealClock, func(c *BridgeConfig, _ *Env) { c.Listen, c.ListenAux = []Target{local}, []Target{local} })
	addr := func(i int) Target {
		target, err := ParseTarget(b.sw.Status().Listeners[i])
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	nc, err := net.Dial("tcp", addr(1).Address())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oftest.New(nc, oftest.Config{Timeout: inTime}); err == nil {
		t.Error("an auxiliary connection without a main one")
	}
	main := dialTool(t, addr(0))
	aux := dialTool(t, addr(1))
	if main.Features.AuxiliaryID != 0 || aux.Features.AuxiliaryID != 1 {
		t.Errorf("ids %d and %d", main.Features.AuxiliaryID, aux.Features.AuxiliaryID)
	}
	all := openflow.AsyncConfig{PacketIn: [2]uint32{7, 7}}
	if _, err := aux.Send(&openflow.SetAsync{AsyncConfig: all}); err != nil {
		t.Fatal(err)
	}
	if err := aux.Apply(oftest.AddFlow(0, 7, inPort(1), openflow.ApplyActions(controllerOutput(60)))); err != nil {
		t.Fatal(err)
	}
	b.send(1, frame(1, 2, ""))
	if _, err := oftest.Expect[*openflow.PacketIn](aux, nil); err != nil {
		t.Error(err)
	}
	aux.Close()
	waitFor(t, "the end of the auxiliary connection", func() bool { return b.sw.Controllers()[0].Auxiliaries == 0 })
	b.send(1, frame(1, 2, ""))
	if _, err := oftest.Expect[*openflow.PacketIn](main, nil); err != nil {
		t.Error(err)
	}
	aux = dialTool(t, addr(1))
	main.Close()
	if err := aux.Closed(); err != nil {
		t.Error(err)
	}
}
