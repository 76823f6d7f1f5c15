package oftest

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// fakeSwitch answers like a switch with two flows; it stands for the agent, which this package
// cannot import. It ends when its connection does.
func fakeSwitch(nc net.Conn, hello *openflow.Hello) {
	c := openflow.NewConn(nc)
	defer c.Close()
	go c.Send(0, hello)
	for {
		m, xid, raw, err := c.Read()
		var refused *openflow.Error
		if errors.As(err, &refused) {
			c.Send(xid, refused.For(raw))
			continue
		}
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *openflow.FeaturesRequest:
			c.Send(xid, &openflow.FeaturesReply{DatapathID: 7, NTables: 254})
		case *openflow.BarrierRequest:
			c.Send(xid, &openflow.BarrierReply{})
		case *openflow.RoleRequest:
			c.Send(xid, &openflow.BarrierReply{}) // wrong on purpose
		case *openflow.FlowMod:
			if m.TableID == 200 {
				c.Send(xid, openflow.Errorf(openflow.ErrFlowModFailed, openflow.FMFCBadTableID, "no table 200").For(raw))
			}
		case *openflow.PacketOut:
			c.Queue(0, &openflow.PortStatus{Reason: openflow.PortModified, Port: openflow.Port{No: 1}})
			c.Send(0, &openflow.PacketIn{BufferID: openflow.NoBuffer, TableID: 3, Data: m.Data})
		case *openflow.MultipartRequest:
			w := openflow.NewReplyWriter(m.Type, xid, nil, c.QueueRaw)
			if m.Type == openflow.MultipartFlow {
				w.Add(&openflow.FlowStats{Priority: 2})
				w.Break()
				w.Add(&openflow.FlowStats{Priority: 1})
			} else {
				w.Add(&openflow.Port{No: 1, Name: "p1"})
			}
			w.Close()
			c.Flush()
		case *openflow.EchoReply:
			c.Send(xid, &openflow.PortStatus{Port: openflow.Port{Name: string(m.Data)}})
		case *openflow.Experimenter:
			c.Send(99, &openflow.EchoRequest{Data: []byte("alive?")})
		case *openflow.SetAsync:
			return
		}
	}
}

// connected is a controller joined to a fakeSwitch over net.Pipe.
func connected(t *testing.T, cfg Config) *Controller {
	t.Helper()
	a, b := net.Pipe()
	go fakeSwitch(b, openflow.NewHello(openflow.Version))
	c, err := New(a, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestHandshake(t *testing.T) {
	c := connected(t, Config{})
	if c.Features.DatapathID != 7 || c.PeerHello.Bitmap != 1<<openflow.Version {
		t.Errorf("%v, %v", c.Features, c.PeerHello)
	}
	if c := connected(t, Config{SkipFeatures: true}); c.Features != nil {
		t.Error("features were asked for")
	}
}

func TestHandshakeFails(t *testing.T) {
	a, b := net.Pipe()
	go fakeSwitch(b, openflow.NewHello(1))
	if _, err := New(a, Config{}); !errors.Is(err, &openflow.Error{Type: openflow.ErrHelloFailed}) || !strings.Contains(err.Error(), "OpenFlow 1.3") {
		t.Errorf("a switch of version 1.0: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		go func() { b.Read(make([]byte, 100)) }()
		start := time.Now()
		if _, err := New(a, Config{Timeout: time.Second}); err == nil || time.Since(start) != time.Second {
			t.Errorf("a silent switch: %v after %v", err, time.Since(start))
		}
	})
}

func TestRequests(t *testing.T) {
	c := connected(t, Config{})
	flows, err := c.Flows(openflow.AllFlows())
	if err != nil || len(flows) != 2 || flows[0].Priority != 2 || flows[1].Priority != 1 {
		t.Errorf("flows %v, %v", flows, err)
	}
	if ports, err := c.Ports(); err != nil || len(ports) != 1 || ports[0].Name != "p1" {
		t.Errorf("ports %v, %v", ports, err)
	}
	if err := c.Barrier(); err != nil {
		t.Error(err)
	}
	if _, err := Ask[*openflow.RoleReply](c, &openflow.RoleRequest{}); err == nil || !strings.Contains(err.Error(), "BARRIER_REPLY") {
		t.Errorf("an answer of another type: %v", err)
	}
	if _, err := Records[*openflow.TableStats](c, openflow.MultipartPortDesc); err == nil {
		t.Error("records of another type")
	}
}

func TestErrors(t *testing.T) {
	c := connected(t, Config{})
	bad := AddFlow(200, 1, openflow.Match{}, openflow.GotoTable(201))
	good := AddFlow(1, 1, openflow.NewMatch(openflow.Exact(openflow.InPort, 1)), openflow.ApplyActions(openflow.Output(2)))
	want := &openflow.Error{Type: openflow.ErrFlowModFailed, Code: openflow.FMFCBadTableID}
	if err := c.Apply(good, bad, good); !errors.Is(err, want) {
		t.Errorf("apply: %v", err)
	}
	if err := c.Apply(good, DeleteFlows(openflow.Match{})); err != nil {
		t.Errorf("apply of good ones: %v", err)
	}
	if _, err := c.Request(bad); !errors.Is(err, want) {
		t.Errorf("request: %v", err)
	}
	if _, err := c.Send(bad); err != nil {
		t.Error(err)
	}
	c.Barrier()
	if got := c.Errors(); len(got) != 3 || len(got[0].Data) == 0 {
		t.Errorf("%d errors kept", len(got))
	}
	if len(c.Pending()) != 0 {
		t.Errorf("errors in the queue: %v", c.Pending())
	}
}

func TestExpect(t *testing.T) {
	seen := make(chan openflow.Type, 100)
	c := connected(t, Config{OnMessage: func(_ uint32, m openflow.Message) { seen <- m.MsgType() }})
	for _, data := range []string{"one", "two"} {
		if _, err := c.Send(&openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortController, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	in, err := Expect(c, func(p *openflow.PacketIn) bool { return string(p.Data) == "two" })
	if err != nil || in.TableID != 3 {
		t.Fatal(in, err)
	}
	if in, err = Expect[*openflow.PacketIn](c, nil); err != nil || string(in.Data) != "one" {
		t.Fatal(in, err)
	}
	if list := c.Pending(); len(list) != 2 || list[0].MsgType() != openflow.TypePortStatus {
		t.Errorf("left: %v", list)
	}
	if <-seen != openflow.TypeFeaturesReply {
		t.Error("OnMessage missed the first message")
	}
}

// TestEcho: the switch's echo is answered with its data and disturbs nothing.
func TestEcho(t *testing.T) {
	c := connected(t, Config{})
	if _, err := c.Send(&openflow.Experimenter{}); err != nil {
		t.Fatal(err)
	}
	if ps, err := Expect[*openflow.PortStatus](c, nil); err != nil || ps.Port.Name != "alive?" {
		t.Error(ps, err)
	}
}

func TestTimeoutAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connected(t, Config{Timeout: 2 * time.Second})
		start := time.Now()
		if _, err := Expect[*openflow.PacketIn](c, nil); !errors.Is(err, ErrTimeout) || time.Since(start) != 2*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if _, err := c.Request(&openflow.SetConfig{}); !errors.Is(err, ErrTimeout) {
			t.Errorf("no answer: %v", err)
		}
		if _, err := c.Send(&openflow.SetAsync{}); err != nil { // the fake switch hangs up
			t.Fatal(err)
		}
		if err := c.Closed(); err != nil {
			t.Error(err)
		}
		if _, err := Expect[*openflow.PacketIn](c, nil); err == nil || errors.Is(err, ErrTimeout) {
			t.Errorf("after the end: %v", err)
		}
		c.Close()
	})
}

// TestGarbage: a switch that sends what cannot be read fails the next wait with the bytes.
func TestGarbage(t *testing.T) {
	a, b := net.Pipe()
	go func() {
		c := openflow.NewConn(b)
		c.Send(0, openflow.NewHello(openflow.Version))
		c.ReadMessage()
		c.QueueRaw([]byte{4, 6, 0, 8, 0, 0, 0, 2})
		c.Flush()
	}()
	if _, err := New(a, Config{}); err == nil || !strings.Contains(err.Error(), "0406000800000002") {
		t.Errorf("a FEATURES_REPLY of 8 bytes: %v", err)
	}
}

func TestListenDial(t *testing.T) {
	for _, c := range []struct{ network, addr string }{{"tcp", "127.0.0.1:0"}, {"unix", filepath.Join(t.TempDir(), "c")}} {
		l, err := Listen(c.network, c.addr, Config{})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			nc, err := net.Dial(c.network, l.Addr())
			if err != nil {
				t.Error(err)
				return
			}
			fakeSwitch(nc, openflow.NewHello(openflow.Version))
		}()
		ctl, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := ctl.Barrier(); err != nil {
			t.Error(err)
		}
		ctl.Close()
		l.Close()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		nc, err := l.Accept()
		if err == nil {
			fakeSwitch(nc, &openflow.Hello{Version: openflow.Version})
		}
	}()
	c, err := Dial("tcp", l.Addr().String(), Config{})
	if err != nil || c.PeerHello.HasBitmap {
		t.Fatal(err)
	}
	c.Close()
	if _, err := Dial("tcp", "127.0.0.1:1", Config{}); err == nil {
		t.Error("dialled port 1")
	}
	quick, _ := Listen("tcp", "127.0.0.1:0", Config{Timeout: time.Millisecond})
	defer quick.Close()
	if _, err := quick.Accept(); err == nil {
		t.Error("accepted nobody")
	}
}
