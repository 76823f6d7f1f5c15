package main

import (
	"bytes"
	"net"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// peer is the switch's end of a session.
type peer struct {
	*testing.T
	conn *openflow.Conn
}

func newPeer(t *testing.T) *peer {
	a, b := net.Pipe()
	s := &session{conn: openflow.NewConn(a), seen: map[string]uint32{}}
	done := make(chan error, 1)
	go func() { done <- s.serve() }()
	t.Cleanup(func() {
		b.Close()
		<-done
	})
	return &peer{T: t, conn: openflow.NewConn(b)}
}

// expect reads the controller's next message.
func expect[M openflow.Message](p *peer) M {
	p.Helper()
	m, _, _, err := p.conn.Read()
	if err != nil {
		p.Fatal(err)
	}
	got, ok := m.(M)
	if !ok {
		p.Fatalf("the controller sent %v, want a %T", m, got)
	}
	return got
}

func (p *peer) send(m openflow.Message) {
	p.Helper()
	if err := p.conn.Send(7, m); err != nil {
		p.Fatal(err)
	}
}

// packetIn hands the controller a frame from one address to another.
func (p *peer) packetIn(port uint32, dst, src byte) []byte {
	frame := append([]byte{2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 0x88, 0xb5}, bytes.Repeat([]byte{9}, 50)...)
	inPort := openflow.Field{ID: openflow.InPort, Value: openflow.ValueOf(uint64(port))}
	p.send(&openflow.PacketIn{BufferID: 0xffffffff, TotalLen: uint16(len(frame)), Match: openflow.NewMatch(inPort), Data: frame})
	return frame
}

// One whole conversation: greeting, table-miss entry, flooding, learning, echo.
func TestSession(t *testing.T) {
	p := newPeer(t)
	expect[*openflow.Hello](p)
	expect[*openflow.FeaturesRequest](p)
	p.send(openflow.NewHello(4))
	p.send(&openflow.FeaturesReply{DatapathID: 1})
	if m := expect[*openflow.FlowMod](p); m.Priority != 0 || !m.Match.IsEmpty() || m.String() == "" {
		t.Errorf("the table-miss entry is %v", m)
	}

	frame := p.packetIn(1, 0xb, 0xa)
	out := expect[*openflow.PacketOut](p)
	wantOutput(t, out.Actions, openflow.PortFlood)
	if out.InPort != 1 || !bytes.Equal(out.Data, frame) {
		t.Errorf("the first frame goes out as %v", out)
	}

	p.packetIn(2, 0xa, 0xb)
	mod := expect[*openflow.FlowMod](p)
	dst, _ := mod.Match.Get(openflow.EthDst)
	if mod.Priority != 1 || mod.Match.Len() != 3 || dst.Value.Uint64() != 0x02000000000a {
		t.Errorf("the learned entry is %v", mod)
	}
	wantOutput(t, expect[*openflow.PacketOut](p).Actions, 1)

	p.send(&openflow.EchoRequest{Data: []byte("are you there")})
	if m := expect[*openflow.EchoReply](p); string(m.Data) != "are you there" {
		t.Errorf("the echo brings back %q", m.Data)
	}
}

func wantOutput(t *testing.T, actions openflow.Actions, port openflow.PortNo) {
	t.Helper()
	n := 0
	for a := range actions.All() {
		if n++; a.Port != port {
			t.Errorf("output to %v, want %v", a.Port, port)
		}
	}
	if n != 1 {
		t.Errorf("%d actions, want one", n)
	}
}

// A frame too short to have addresses is left alone.
func TestShortFrame(t *testing.T) {
	p := newPeer(t)
	expect[*openflow.Hello](p)
	expect[*openflow.FeaturesRequest](p)
	p.send(&openflow.PacketIn{BufferID: 0xffffffff, Match: openflow.NewMatch(openflow.Field{ID: openflow.InPort, Value: openflow.ValueOf(1)}), Data: []byte{1, 2, 3}})
	p.send(&openflow.EchoRequest{Data: []byte("x")})
	expect[*openflow.EchoReply](p)
}
