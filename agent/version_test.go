package agent

import (
	"bytes"
	"net"
	"testing"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
)

// oldController speaks OpenFlow 1.0 and nothing else, as POX does.
type oldController struct {
	t       *testing.T
	conn    *openflow.Conn
	nc      net.Conn
	session of10.Session
}

func connectOld(t *testing.T, b *bench) *oldController {
	t.Helper()
	near, far := net.Pipe()
	go b.sw.Serve(near)
	t.Cleanup(func() { far.Close() })
	c := &oldController{t: t, conn: openflow.NewConn(far), nc: far}
	if _, err := c.conn.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	c.raw([]byte{1, 0, 0, 8, 0, 0, 0, 1})
	return c
}

func (c *oldController) raw(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *oldController) send(m openflow.Message) {
	c.t.Helper()
	b, err := c.session.AppendRequest(nil, c.conn.NextXID(), m)
	if err != nil {
		c.t.Fatal(err)
	}
	c.raw(b)
}

// next reads messages until one of type T comes.
func next[T openflow.Message](c *oldController) T {
	c.t.Helper()
	for {
		raw, err := c.conn.ReadMessage()
		if err != nil {
			c.t.Fatal(err)
		}
		if raw[0] != of10.Version {
			c.t.Fatalf("a message of version %d: %x", raw[0], raw)
		}
		m, _, err := c.session.DecodeReply(bytes.Clone(raw))
		if err != nil {
			c.t.Fatalf("%x: %v", raw, err)
		}
		if m, ok := m.(T); ok {
			return m
		}
	}
}

// TestControllerOfOpenFlow10 is a session of a controller that knows nothing of Nicira but the role.
func TestControllerOfOpenFlow10(t *testing.T) {
	b := newBench(t, 2)
	c := connectOld(t, b)
	c.session.Plain = true
	c.send(&openflow.FeaturesRequest{})
	if f := next[*openflow.FeaturesReply](c); f.DatapathID != 1 || len(f.Ports) != 2 || f.Ports[1].Name != "p2" {
		t.Errorf("%+v", f)
	}
	all := &openflow.FlowMod{Command: openflow.FlowDelete, TableID: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny, BufferID: openflow.NoBuffer}
	c.send(all)
	toMe := openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: 0xffff}
	c.send(&openflow.FlowMod{Priority: 1, BufferID: openflow.NoBuffer, OutPort: openflow.PortAny,
		Instructions: openflow.NewInstructions(openflow.ApplyActions(toMe))})
	c.send(&openflow.BarrierRequest{})
	next[*openflow.BarrierReply](c)
	sent := frame(2, 1, "")
	b.send(1, sent)
	in := next[*openflow.PacketIn](c)
	if port, _ := in.Match.Get(openflow.InPort); port.Value.Uint64() != 1 || !bytes.Equal(in.Data, sent) {
		t.Errorf("%v", in)
	}

	// SET_VLAN_VID of 1.0: a frame without a tag gets one, a frame with one keeps its place.
	vid := []openflow.Action{{Type: openflow.ActionPushVLAN, EtherType: 0x8100}, openflow.SetField(openflow.VLANVID, openflow.VIDPresent|7),
		{Type: openflow.ActionOutput, Port: 2}}
	c.send(&openflow.FlowMod{Priority: 5, BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, Flags: openflow.FlowSendRemoved,
		Match: openflow.NewMatch(openflow.Exact(openflow.InPort, 1)), Instructions: openflow.NewInstructions(openflow.ApplyActions(vid...))})
	c.send(&openflow.BarrierRequest{})
	next[*openflow.BarrierReply](c)
	tagged := append(append(append([]byte(nil), sent[:12]...), 0x81, 0, 0x60, 9), sent[12:]...)
	want := append(append(append([]byte(nil), sent[:12]...), 0x81, 0, 0, 7), sent[12:]...)
	for _, f := range [][]byte{sent, tagged} {
		b.send(1, f)
		want[14] = 0
		if len(f) == len(tagged) {
			want[14] = 0x60 // the priority that it had
		}
		b.expect(want, 2)
	}

	// A modify that finds nothing adds; one that finds something changes its cookie.
	c.send(&openflow.FlowMod{Command: openflow.FlowModifyStrict, TableID: openflow.TableAll, Priority: 9, BufferID: openflow.NoBuffer, OutPort: openflow.PortAny,
		Match: openflow.NewMatch(openflow.Exact(openflow.InPort, 2)), Loose: &openflow.Loose{NewCookie: 0x99}})
	c.send(&openflow.BarrierRequest{})
	next[*openflow.BarrierReply](c)
	c.send(&openflow.MultipartRequest{Type: openflow.MultipartFlow, Records: []openflow.Record{openflow.AllFlows()}})
	if r := next[*openflow.MultipartReply](c).Records; len(r) != 3 || r[0].(*openflow.FlowStats).Cookie != 0x99 {
		t.Errorf("%v", r)
	}
	c.send(&openflow.RoleRequest{Role: openflow.RoleMaster})
	if r := next[*openflow.RoleReply](c); r.Role != openflow.RoleMaster {
		t.Errorf("%v", r)
	}
	c.send(all)
	if r := next[*openflow.FlowRemoved](c); r.Priority != 5 || r.Reason != openflow.RemovedDelete || r.PacketCount != 2 {
		t.Errorf("%v", r)
	}
	c.send(&openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortAny, Data: sent, Actions: openflow.NewActions(openflow.Action{Type: openflow.ActionOutput, Port: 2})})
	b.expect(sent, 2)
	c.send(&openflow.PortMod{Port: 2})
	if e := next[*openflow.Error](c); e.Type != openflow.ErrPortModFailed || e.Code != openflow.PMFCBadHWAddr {
		t.Errorf("%v", e)
	}
}
