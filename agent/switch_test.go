package agent

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// bench is a switch with pipe ports and, on the other ends, a test.
type bench struct {
	t     *testing.T
	sw    *Switch
	clock *ManualClock
	ends  map[uint32]*ports.Pipe
	sent  map[uint32]uint64 // frames injected
}

func testConfig() BridgeConfig {
	return BridgeConfig{Name: "br0", DPID: 1, FailMode: FailStandalone, TableMiss: MissNormal, Tables: 10}
}

// newBench starts a switch with ports 1 to n, called p1 to pn.
func newBench(t *testing.T, n int, change ...func(*BridgeConfig, *Env)) *bench {
	t.Helper()
	b := &bench{t: t, clock: new(ManualClock), ends: map[uint32]*ports.Pipe{}, sent: map[uint32]uint64{}}
	cfg, env := testConfig(), Env{Clock: b.clock, Identity: "test", Seed: 1}
	for _, f := range change {
		f(&cfg, &env)
	}
	var err error
	if b.sw, err = NewSwitch(cfg, env); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.sw.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := b.sw.Start(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		b.plug(uint32(i+1), PortConfig{})
	}
	return b
}

// plug adds a pipe as a port and keeps its other end.
func (b *bench) plug(no uint32, cfg PortConfig) {
	b.t.Helper()
	cfg.Kind, cfg.Number = ports.KindPipe, no
	cfg.Name = "p" + string(rune('0'+no))
	cfg.Target = cfg.Name
	if got, err := b.sw.AddPort(cfg); err != nil || got != no {
		b.t.Fatalf("AddPort %d: %d, %v", no, got, err)
	}
	end, err := b.sw.env.Pipes.End(cfg.Name)
	if err != nil {
		b.t.Fatal(err)
	}
	b.ends[no], b.sent[no] = end, 0
}

// portDescs is what the switch says of its ports.
func (b *bench) portDescs() []openflow.Port {
	b.sw.mu.Lock()
	defer b.sw.mu.Unlock()
	return b.sw.portDescs()
}

// frame is an Ethernet frame of 60 bytes between two stations with small numbers.
func frame(dst, src byte, payload string) []byte {
	f := make([]byte, 60)
	f[0], f[5] = 2, dst
	if dst == 0xff {
		copy(f, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	}
	f[6], f[11] = 2, src
	f[12], f[13] = 0x88, 0xb5 // for experiments
	copy(f[14:], payload)
	return f
}

func (b *bench) send(no uint32, f []byte) {
	b.t.Helper()
	if err := b.ends[no].Inject(f); err != nil {
		b.t.Fatal(err)
	}
	b.sent[no]++
}

// expect wants the frame on each of the ports.
func (b *bench) expect(f []byte, numbers ...uint32) {
	b.t.Helper()
	for _, no := range numbers {
		ctx, cancel := context.WithTimeout(context.Background(), inTime)
		if err := b.ends[no].Expect(ctx, f); err != nil {
			b.t.Errorf("port %d: %v", no, err)
		}
		cancel()
	}
}

// silent wants no frame on any of the ports, after all batches under way.
func (b *bench) silent(numbers ...uint32) {
	b.t.Helper()
	b.settle()
	for _, no := range numbers {
		if f, ok := b.ends[no].TryReceive(); ok {
			b.t.Errorf("port %d: unexpected frame % x", no, f.Bytes())
		}
	}
}

// settle waits until what was injected has been forwarded.
func (b *bench) settle() {
	b.t.Helper()
	for end := time.Now().Add(inTime); !b.drained(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatal("frames are still waiting")
		}
	}
	b.sw.quiesce()
}

// drained reports that the switch has read every frame injected.
func (b *bench) drained() bool {
	for no, sent := range b.sent {
		if p := b.sw.table.Load().get(no); p != nil && p.counters.Snapshot().RxPackets < sent {
			return false
		}
	}
	return true
}

// peer is the other end of one OpenFlow connection.
type peer struct {
	t    *testing.T
	conn *openflow.Conn
	nc   net.Conn
	got  chan received
	kept []received // read while looking for something else
}

type received struct {
	m   openflow.Message
	xid uint32
	raw []byte
}

// connect opens a connection as a configured controller has it.
func (b *bench) connect() *peer {
	b.t.Helper()
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- b.sw.Serve(near) }()
	p := newPeer(b.t, far)
	b.t.Cleanup(func() { far.Close(); <-done })
	return p
}

// connectTool opens a connection as a listener accepts it.
func (b *bench) connectTool() *peer {
	b.t.Helper()
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() { b.sw.serveTool(context.Background(), near, "tool"); close(done) }()
	p := newPeer(b.t, far)
	b.t.Cleanup(func() { far.Close(); <-done })
	return p
}

func newPeer(t *testing.T, nc net.Conn) *peer {
	t.Helper()
	p := &peer{t: t, nc: nc, conn: openflow.NewConn(nc), got: make(chan received, 10000)}
	go p.read()
	if h := expect[*openflow.Hello](p); h.m.Version != openflow.Version || h.m.Bitmap != 1<<1|1<<openflow.Version {
		t.Fatalf("the switch greets with %v", h.m)
	}
	p.send(openflow.NewHello(openflow.Version))
	return p
}

func (p *peer) read() {
	defer close(p.got)
	for {
		raw, err := p.conn.ReadMessage()
		if err != nil {
			return
		}
		raw = bytes.Clone(raw)
		m, xid, err := openflow.Decode(raw)
		if err != nil {
			p.t.Errorf("the switch sent what cannot be decoded: %v\n% x", err, raw)
			return
		}
		p.got <- received{m, xid, raw}
	}
}

func (p *peer) send(m openflow.Message) uint32 {
	p.t.Helper()
	xid, err := p.conn.Request(m)
	if err != nil {
		p.t.Fatal(err)
	}
	return xid
}

type typed[M openflow.Message] struct {
	m   M
	xid uint32
	raw []byte
}

// expect waits for the next message of type M; others are kept for later.
func expect[M openflow.Message](p *peer) typed[M] {
	p.t.Helper()
	for i, r := range p.kept {
		if m, ok := r.m.(M); ok {
			p.kept = append(p.kept[:i:i], p.kept[i+1:]...)
			return typed[M]{m, r.xid, r.raw}
		}
	}
	timeout := time.After(inTime)
	for {
		select {
		case r, ok := <-p.got:
			if !ok {
				var m M
				p.t.Fatalf("the connection ended while waiting for %T; kept %v", m, p.kept)
			}
			if m, ok := r.m.(M); ok {
				return typed[M]{m, r.xid, r.raw}
			}
			p.kept = append(p.kept, r)
		case <-timeout:
			var m M
			p.t.Fatalf("no %T; kept %v", m, p.kept)
		}
	}
}

// barrier makes sure that everything sent before has been handled.
func (p *peer) barrier() {
	p.t.Helper()
	xid := p.send(&openflow.BarrierRequest{})
	if r := expect[*openflow.BarrierReply](p); r.xid != xid {
		p.t.Fatalf("barrier %d answered as %d", xid, r.xid)
	}
}

// features wakes the asynchronous messages, as every controller does.
func (p *peer) features() *openflow.FeaturesReply {
	p.t.Helper()
	p.send(&openflow.FeaturesRequest{})
	return expect[*openflow.FeaturesReply](p).m
}

// ask sends a multipart request and gathers the records of all parts.
func (p *peer) ask(t openflow.MultipartType, body ...openflow.Record) []openflow.Record {
	p.t.Helper()
	xid := p.send(&openflow.MultipartRequest{Type: t, Records: body})
	var all []openflow.Record
	for {
		r := expect[*openflow.MultipartReply](p)
		if r.xid != xid || r.m.Type != t {
			p.t.Fatalf("asked %s with %d, answered %s with %d", t, xid, r.m.Type, r.xid)
		}
		all = append(all, r.m.Records...)
		if !r.m.More {
			return all
		}
	}
}

// none wants no further message of type M to have come, after a barrier.
func none[M openflow.Message](p *peer) {
	p.t.Helper()
	p.barrier()
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
		if m, ok := r.m.(M); ok {
			p.t.Errorf("unexpected %v", m)
		}
	}
}

// add is a FLOW_MOD that adds an entry to table 0.
func add(priority uint16, match openflow.Match, list ...openflow.Action) *openflow.FlowMod {
	return &openflow.FlowMod{
		Command: openflow.FlowAdd, Priority: priority, Match: match, BufferID: openflow.NoBuffer,
		Instructions: openflow.NewInstructions(openflow.ApplyActions(list...)),
	}
}

func deleteAll() *openflow.FlowMod {
	return &openflow.FlowMod{Command: openflow.FlowDelete, TableID: openflow.TableAll, BufferID: openflow.NoBuffer,
		OutPort: openflow.PortAny, OutGroup: openflow.GroupAny}
}

func inPort(n uint64) openflow.Match { return openflow.NewMatch(openflow.Exact(openflow.InPort, n)) }

func TestLearningSwitch(t *testing.T) {
	b := newBench(t, 3)
	hello := frame(0xff, 1, "hello")
	b.send(1, hello)
	b.expect(hello, 2, 3)
	answer := frame(1, 2, "answer")
	b.send(2, answer)
	b.expect(answer, 1)
	b.silent(1, 2, 3)
	flows := b.sw.Flows(-1)
	if len(flows) != 1 || flows[0].Match != "" || flows[0].Priority != 0 || flows[0].Actions != "NORMAL" || flows[0].Packets != 2 {
		t.Errorf("flows %+v", flows)
	}
	fdb := b.sw.FDB()
	if len(fdb) != 2 || fdb[0].MAC != "02:00:00:00:00:01" || fdb[0].Port != 1 || fdb[0].Name != "p1" || fdb[1].Port != 2 {
		t.Errorf("fdb %+v", fdb)
	}
	if n, err := b.sw.FlushFDB("p1"); n != 1 || err != nil {
		t.Errorf("FlushFDB = %d, %v", n, err)
	}
}
