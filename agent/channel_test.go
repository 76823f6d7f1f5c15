package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// inTime is for what should not happen: no passing test waits it out.
const inTime = time.Minute

// dialer stands in for the network: each dial waits for a test to accept it.
type dialer struct {
	once  sync.Once
	calls chan net.Conn
}

func (d *dialer) init() { d.once.Do(func() { d.calls = make(chan net.Conn) }) }

func (d *dialer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	d.init()
	near, far := net.Pipe()
	select {
	case d.calls <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// accept takes the next connection and shakes hands.
func (d *dialer) accept(t *testing.T) *peer {
	t.Helper()
	return newPeer(t, d.next(t))
}

func (d *dialer) next(t *testing.T) net.Conn {
	t.Helper()
	d.init()
	select {
	case nc := <-d.calls:
		t.Cleanup(func() { nc.Close() })
		return nc
	case <-time.After(inTime):
		t.Fatal("the switch does not dial")
	}
	return nil
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(inTime); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func oneController(d *dialer, probe time.Duration) func(*BridgeConfig, *Env) {
	return func(c *BridgeConfig, e *Env) {
		c.Controllers = []ControllerConfig{{
			Target: Target{Scheme: "tcp", Host: "c1", Port: 6653}, MinBackoff: time.Second, MaxBackoff: 8 * time.Second, InactivityProbe: probe,
		}}
		e.Dial = d.dial
	}
}

// TestHelloComesFirst: some controllers say nothing until the switch has.
func TestHelloComesFirst(t *testing.T) {
	b := newBench(t, 0)
	near, far := net.Pipe()
	go b.sw.Serve(near)
	defer far.Close()
	far.SetReadDeadline(time.Now().Add(inTime))
	got := make([]byte, 16)
	if _, err := io.ReadFull(far, got); err != nil {
		t.Fatal(err)
	}
	want := []byte{4, 0, 0, 16, 0, 0, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0x12}
	if !bytes.Equal(got, want) {
		t.Errorf("HELLO % x, want % x", got, want)
	}
}

func TestVersionNegotiation(t *testing.T) {
	for _, c := range []struct {
		name      string
		hello     []byte
		version   uint8  // agreed on; 0: refused
		protocols string // of the bridge
	}{
		{"1.3 without bitmap", []byte{4, 0, 0, 8, 0, 0, 0, 1}, 4, ""},
		{"1.5 without bitmap speaks 1.3 too", []byte{6, 0, 0, 8, 0, 0, 0, 1}, 4, ""},
		{"1.0 and 1.5 by bitmap", []byte{6, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x42}, 1, ""},
		{"1.0 only", []byte{1, 0, 0, 8, 0, 0, 0, 1}, 1, ""},
		{"1.4 only, by bitmap", []byte{5, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x20}, 0, ""},
		{"unknown element", []byte{4, 0, 0, 16, 0, 0, 0, 1, 0, 9, 0, 8, 0, 0, 0, 0}, 4, ""},
		{"1.0 only, held to 1.3", []byte{1, 0, 0, 8, 0, 0, 0, 1}, 0, "OpenFlow13"},
		{"1.3 by bitmap, held to 1.0", []byte{4, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x10}, 0, "OpenFlow10"},
		{"up to 1.3, held to 1.0", []byte{4, 0, 0, 8, 0, 0, 0, 1}, 1, "OpenFlow10"},
	} {
		b := newBench(t, 0, func(cfg *BridgeConfig, _ *Env) {
			if c.protocols != "" {
				cfg.Protocols = []string{c.protocols}
			}
		})
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- b.sw.Serve(near) }()
		conn := openflow.NewConn(far)
		if _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
		far.Write(c.hello)
		if c.version != 0 {
			far.Write([]byte{c.version, byte(openflow.TypeEchoRequest), 0, 10, 0, 0, 0, 2, 'u', 'p'})
			raw, err := conn.ReadMessage()
			if h := openflow.ReadHeader(raw); err != nil || h.Type != openflow.TypeEchoReply || h.Version != c.version {
				t.Errorf("%s: %v %x", c.name, err, raw)
			}
			far.Close()
			if err := <-done; err != nil {
				t.Errorf("%s: a close is no error: %v", c.name, err)
			}
			continue
		}
		raw, err := conn.ReadMessage()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		m, _, _ := openflow.Decode(raw)
		e, ok := m.(*openflow.Error)
		if !ok || e.Type != openflow.ErrHelloFailed || !strings.Contains(string(e.Data), "OpenFlow 1.") {
			t.Errorf("%s: %v", c.name, m)
		}
		if err := <-done; err == nil {
			t.Errorf("%s: the end needs a reason", c.name)
		}
		far.Close()
	}
}

func TestEchoCopiesTheData(t *testing.T) {
	p := newBench(t, 0).connect()
	data := bytes.Repeat([]byte("echo"), 1000)
	xid := p.send(&openflow.EchoRequest{Data: data})
	if r := expect[*openflow.EchoReply](p); r.xid != xid || !bytes.Equal(r.m.Data, data) {
		t.Errorf("xid %d, %d bytes", r.xid, len(r.m.Data))
	}
}

func TestUnknownMessagesAreAnswered(t *testing.T) {
	p := newBench(t, 0).connect()
	for _, c := range []struct {
		raw  []byte
		want openflow.Error
	}{
		{[]byte{4, 99, 0, 8, 0, 0, 0, 77}, openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBadType}},
		{[]byte{1, 5, 0, 8, 0, 0, 0, 77}, openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBadVersion}},
		{[]byte{4, 5, 0, 9, 0, 0, 0, 77, 0}, openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBadLen}},
		{[]byte{4, 6, 0, 32, 0, 0, 0, 77, 31: 0}, openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBadType}}, // FEATURES_REPLY
		{[]byte{4, 4, 0, 16, 0, 0, 0, 77, 0, 0, 0, 1, 15: 0}, openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBadExperimenter}},
		{[]byte{4, 18, 0, 16, 0, 0, 0, 77, 0, 99, 15: 0}, openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBadMultipart}},
	} {
		p.nc.Write(c.raw)
		e := expect[*openflow.Error](p)
		if !errors.Is(e.m, &c.want) || e.xid != 77 || !bytes.Equal(e.m.Data, c.raw) {
			t.Errorf("% x: xid %d %v % x", c.raw, e.xid, e.m, e.m.Data)
		}
	}
	p.barrier() // the connection lives
}

func TestReconnectBacksOff(t *testing.T) {
	var d dialer
	b := newBench(t, 0, oneController(&d, 0))
	backoff := func(pause time.Duration) {
		t.Helper()
		waitFor(t, "a pause of "+pause.String(), func() bool {
			st := b.sw.Status().Controllers[0]
			return st.State == stateBackoff && st.RetryIn == pause
		})
	}
	for _, pause := range []time.Duration{1, 2, 4, 8, 8} {
		d.next(t).Close() // before any HELLO: an attempt that failed
		backoff(pause * time.Second)
		b.clock.Advance(pause*time.Second - 50*time.Millisecond)
		if st := b.sw.Status().Controllers[0]; st.State != stateBackoff || st.LastError == "" && st.Attempts > 1 {
			t.Fatalf("after %v s: %+v", pause, st)
		}
		// The timer may have been armed a moment after the state was shown.
		waitFor(t, "the next attempt", func() bool {
			b.clock.Advance(50 * time.Millisecond)
			return b.sw.Status().Controllers[0].State != stateBackoff
		})
	}
	p := d.accept(t)
	p.features()
	p.nc.Close()
	backoff(time.Second)
	waitFor(t, "a reconnection after the first pause", func() bool {
		b.clock.Advance(100 * time.Millisecond)
		return b.sw.Status().Controllers[0].State == stateConnecting
	})
	d.accept(t).barrier()
}

func TestInactivityProbe(t *testing.T) {
	var d dialer
	b := newBench(t, 0, oneController(&d, 5*time.Second))
	p := d.accept(t)
	p.features()
	for range 3 { // answered probes keep the connection
		b.clock.Advance(5100 * time.Millisecond)
		e := expect[*openflow.EchoRequest](p)
		if err := p.conn.Send(e.xid, &openflow.EchoReply{Data: e.m.Data}); err != nil {
			t.Fatal(err)
		}
		p.barrier()
	}
	b.clock.Advance(5100 * time.Millisecond)
	expect[*openflow.EchoRequest](p)
	b.clock.Advance(5100 * time.Millisecond)
	waitFor(t, "the end", func() bool {
		return strings.Contains(b.sw.Status().Controllers[0].LastError, "no answer to ECHO_REQUEST")
	})
}

func TestNoHelloEndsTheAttempt(t *testing.T) {
	var d dialer
	b := newBench(t, 0, oneController(&d, 0))
	nc := d.next(t)
	go io.Copy(io.Discard, nc)
	waitFor(t, "the timeout", func() bool {
		b.clock.Advance(time.Second)
		return strings.Contains(b.sw.Status().Controllers[0].LastError, "no HELLO")
	})
}

// TestSlowController: one that does not read costs itself packet-ins and nobody else anything.
func TestSlowController(t *testing.T) {
	b := newBench(t, 2, func(c *BridgeConfig, _ *Env) { c.PacketInQueue = 10 })
	good := b.connect()
	good.features()
	good.send(deleteAll())
	good.send(add(1, inPort(1), openflow.Output(2), openflow.Output(openflow.PortController)))
	good.barrier()

	near, far := net.Pipe() // its far end is never read after the handshake
	go b.sw.Serve(near)
	defer far.Close()
	stuck := openflow.NewConn(far)
	stuck.ReadMessage()
	stuck.Request(openflow.NewHello(openflow.Version))
	stuck.Request(&openflow.FeaturesRequest{})
	stuck.ReadMessage()
	waitFor(t, "both to be awake", func() bool {
		n := 0
		for _, c := range *b.sw.channels.Load() {
			if c.wantPacketIn.Load() != 0 {
				n++
			}
		}
		return n == 2
	})
	f := frame(2, 1, "x")
	for range 500 {
		b.send(1, f)
		b.expect(f, 2)
		expect[*openflow.PacketIn](good)
	}
	good.barrier()
	var dropped uint64
	for _, c := range b.sw.Controllers() {
		dropped += c.PacketInDrops
	}
	if dropped < 400 || dropped > 500 {
		t.Errorf("%d packet-ins dropped for the stuck controller, want about 490", dropped)
	}
	if st := b.sw.Status(); st.PacketIns != 500 || st.PacketDrops != dropped {
		t.Errorf("status %d packet-ins, %d drops; want 500, %d", st.PacketIns, st.PacketDrops, dropped)
	}
}

// TestNonsenseOnTheWire: whatever a stranger sends, the switch goes on.
func TestNonsenseOnTheWire(t *testing.T) {
	b := newBench(t, 0)
	for _, junk := range [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: switch\r\n\r\n"),
		{4, 0, 0, 0, 0, 0, 0, 0},
		{4, 0, 0, 3},
		{4, 5, 0, 8, 0, 0, 0, 1},       // no HELLO first
		{4, 0, 0, 8, 0, 0, 0, 1, 4, 0}, // cut in a header
		{},
	} {
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- b.sw.Serve(near) }()
		go io.Copy(io.Discard, far)
		far.Write(junk)
		far.Close()
		select {
		case <-done:
		case <-time.After(inTime):
			t.Fatalf("% x: the connection hangs", junk)
		}
	}
	b.connect().barrier()
	if n := len(*b.sw.channels.Load()); n != 1 {
		t.Errorf("%d connections left", n)
	}
}
