package conformance

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
	"github.com/weirswitch/weir/ports"
)

const (
	// numPorts is how many pipe ports a switch has: 1, 2, 3...
	numPorts = 4
	// patience is for what should not happen: no passing test waits it out.
	patience = time.Minute
)

// bench is a switch with a pipe at each port and a controller that wants every asynchronous message.
type bench struct {
	sw    *agent.Switch
	c     *oftest.Controller
	clock *agent.ManualClock
	lay   laying
	ends  []end            // of ports 1, 2...
	sent  [numPorts]uint64 // frames that the ports have to read
	super bool             // super-frames were among them

	mu    sync.Mutex
	heard []string // what the switch sent by itself, one line a message
	ins   uint64   // packet-ins among it, ever
}

// options change a switch before it is made.
type options func(*agent.BridgeConfig, *agent.Env)

func withoutCache(_ *agent.BridgeConfig, e *agent.Env) { e.NoCache = true }

// end is the far end of a port.
type end interface {
	// Inject sends a frame into the switch and says how many frames the port reads for it.
	Inject(frame []byte, o packet.Offload) (int, error)
	TryReceive() (*packet.Frame, bool)
	SetUp(up bool) error
}

// errNoCarrier is SetUp's answer where a link is up as long as its port is open.
var errNoCarrier = errors.New("such a port has no carrier")

// ground is what the ports of benches are laid on.
type ground interface {
	lay() (laying, error)
	carries(frame []byte) bool // whether such a frame comes as far as the switch
	mtu() int
	seen(s sent) []sent // what a far end receives for a frame that leaves
}

// laying is the ports of one bench.
type laying interface {
	spec(number int) ports.Spec
	within(open func() error) error // calls what opens ports, on a thread that is where they are
	links() *ports.Links
	plug(reg *ports.Pipes, number int) (end, error)
	catch(b *bench) error // wait until all that the switch has sent is at the ends
	release()
}

// layedOn is what all benches stand on: pipes, but for TestOverPorts.
var layedOn ground = pipes{}

// pipes are ports in memory: a frame is there at once, as it was, with its offload state.
type pipes struct{}

// pipeEnd is the far end of a pipe.
type pipeEnd struct{ *ports.Pipe }

func (p pipeEnd) Inject(frame []byte, o packet.Offload) (int, error) {
	return 1, p.InjectOffload(frame, o)
}

func (pipes) spec(number int) ports.Spec {
	name := fmt.Sprintf("p%d", number)
	return ports.Spec{Number: uint32(number), Name: name, Kind: ports.KindPipe, Target: name}
}

func (pipes) within(open func() error) error { return open() }
func (pipes) links() *ports.Links            { return nil }
func (pipes) catch(*bench) error             { return nil }
func (pipes) mtu() int                       { return 9000 }
func (pipes) carries([]byte) bool            { return true }
func (pipes) seen(s sent) []sent             { return []sent{s} }
func (pipes) lay() (laying, error)           { return pipes{}, nil }
func (pipes) release()                       {}

func (pipes) plug(reg *ports.Pipes, number int) (end, error) {
	p, err := reg.End(fmt.Sprintf("p%d", number))
	return pipeEnd{p}, err
}

// newBench starts a switch, which ends with the test.
func newBench(t testing.TB, change ...options) *bench {
	t.Helper()
	b := &bench{clock: new(agent.ManualClock)}
	var err error
	b.lay, err = layedOn.lay()
	must(t, err)
	t.Cleanup(b.lay.release)
	reg := new(ports.Pipes)
	cfg := agent.BridgeConfig{Name: "br0", DPID: 1, MAC: [6]byte{2, 0, 0, 0, 0xff, 0}, FailMode: agent.FailSecure, Tables: 254}
	for i := range numPorts {
		cfg.Ports = append(cfg.Ports, agent.PortConfig{Spec: b.lay.spec(i + 1)})
	}
	env := agent.Env{Clock: b.clock, Identity: "conformance", Seed: 1, Workers: 1, Pipes: reg, Links: b.lay.links()}
	for _, f := range change {
		f(&cfg, &env)
	}
	list := cfg.Ports
	cfg.Ports = nil
	b.sw, err = agent.NewSwitch(cfg, env)
	must(t, err)
	must(t, b.sw.Start())
	for _, p := range list {
		must(t, b.addPort(p))
	}
	t.Cleanup(func() { must(t, b.sw.Close()) })
	for i := range numPorts {
		end, err := b.lay.plug(reg, i+1)
		must(t, err)
		b.ends = append(b.ends, end)
	}
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- b.sw.Serve(near) }()
	b.c, err = oftest.New(far, oftest.Config{OnMessage: b.hear, Timeout: patience})
	must(t, err)
	t.Cleanup(func() { b.c.Close(); <-served })
	if b.lay.links() != nil { // the links of devices come up when they come
		must(t, until("links are down", b.linked))
	}
	all := [2]uint32{7, 0}
	must(t, until("links were not told of", b.told))
	must(t, b.c.Apply(&openflow.SetAsync{AsyncConfig: openflow.AsyncConfig{PacketIn: all, PortStatus: all, FlowRemoved: [2]uint32{15, 0}}}))
	b.mu.Lock()
	b.heard = nil // of links that came up
	b.mu.Unlock()
	return b
}

// addPort adds a port, and opens it on the calling thread. (A start opens several at once on others.)
func (b *bench) addPort(p agent.PortConfig) error {
	return b.lay.within(func() error {
		_, err := b.sw.AddPort(p)
		return err
	})
}

// linked says whether all ports work, and the pipeline knows it.
func (b *bench) linked() bool {
	list, err := b.c.Ports()
	return err == nil && !slices.ContainsFunc(list, func(p *openflow.Port) bool { return p.State&openflow.PortLinkDown != 0 })
}

// told says whether the controller knows that they work: the PORT_STATUS of that are no part of a test.
func (b *bench) told() bool {
	list, err := b.c.Ports()
	up := 0
	for _, p := range list {
		if p.No <= numPorts && p.State&openflow.PortLinkDown == 0 {
			up++
		}
	}
	return err == nil && up == numPorts
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clear makes the switch as it was when it began, as far as FLOW_MOD, GROUP_MOD, METER_MOD and SET_CONFIG can change it.
func (b *bench) clear() error {
	err := b.c.Apply(oftest.DeleteFlows(openflow.Match{}),
		&openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.GroupAll},
		&openflow.MeterMod{Command: openflow.MeterDelete, Meter: openflow.MeterAll},
		&openflow.SetConfig{SwitchConfig: openflow.SwitchConfig{MissSendLen: 128}})
	b.take()
	return err
}

// hear is called by the controller's reader.
func (b *bench) hear(_ uint32, m openflow.Message) {
	var line string
	switch m := m.(type) {
	case *openflow.PacketIn:
		in := packetIn{reason: m.Reason, table: m.TableID, cookie: m.Cookie, data: m.Data, total: int(m.TotalLen), fields: m.Match}
		line = in.line()
		if m.BufferID != openflow.NoBuffer {
			line += " buffered"
		}
	case *openflow.Error:
		line = "error " + errorName(m)
	case *openflow.FlowRemoved:
		line = fmt.Sprintf("flow-removed %s table=%d cookie=%#x packets=%d bytes=%d", m.Reason, m.TableID, m.Cookie, m.PacketCount, m.ByteCount)
	case *openflow.PortStatus:
		line = fmt.Sprintf("port-status %s %d", m.Reason, m.Port.No)
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = append(b.heard, line)
	if _, is := m.(*openflow.PacketIn); is {
		b.ins++
	}
}

// fieldsText is a match as a set: its order has no meaning.
func fieldsText(m openflow.Match) string {
	var list []string
	for f := range m.All() {
		list = append(list, f.String())
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

func errorName(e *openflow.Error) string { return fmt.Sprintf("%s/%s", e.Type, e.CodeName()) }

// inject lets a frame come in by a port and returns when everything that it causes has happened.
func (b *bench) inject(port int, frame []byte, o packet.Offload) error {
	if err := b.send(port, frame, o); err != nil {
		return err
	}
	if err := b.received(port); err != nil {
		return err
	}
	return b.settle()
}

// send lets a frame come in and waits for nothing.
func (b *bench) send(port int, frame []byte, o packet.Offload) error {
	n, err := b.ends[port-1].Inject(frame, o)
	b.sent[port-1] += uint64(n)
	b.super = b.super || o.GSO != packet.GSONone
	return err
}

// receive takes the next frame that has come to a port's far end.
func (b *bench) receive(port int) (*packet.Frame, bool) {
	return b.ends[port-1].TryReceive()
}

// received waits until the worker has all frames that were sent to a port.
func (b *bench) received(port int) error {
	err := until("the frame was not read", func() bool { return b.sw.Ports()[port-1].RxPackets >= b.sent[port-1] })
	if err != nil {
		b.sent[port-1] = b.sw.Ports()[port-1].RxPackets // the next case is another
	}
	return err
}

// packetOut has the controller send a frame, and returns when everything that it causes has happened.
func (b *bench) packetOut(inPort openflow.PortNo, frame []byte, list ...openflow.Action) error {
	m := &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: inPort, Data: frame, Actions: openflow.NewActions(list...)}
	if err := b.c.Apply(m); err != nil {
		return err
	}
	return until("packet-ins are missing", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.ins >= b.sw.Controllers()[0].PacketIns
	})
}

// settle waits for the one worker, which a PACKET_OUT needs, and for the packet-ins, which no barrier holds back.
func (b *bench) settle() error { return b.packetOut(openflow.PortController, make([]byte, 14)) }

// until looks again and again, for what is about to happen on another goroutine.
func until(what string, done func() bool) error {
	for end, n := time.Now().Add(patience), 0; !done(); n++ {
		if n < 1000 {
			runtime.Gosched() // a sleep is longer than what is waited for
			continue
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s within %v", what, patience)
		}
		time.Sleep(10 * time.Microsecond)
	}
	return nil
}

// take gives what the switch has sent since the last call: frames by port, in their order there, then
// messages, one line each.
func (b *bench) take() (lines []string) {
	for port, list := range b.frames() {
		for _, s := range list {
			lines = append(lines, sent{port: port + 1, frame: s.frame, offload: s.offload}.lines()...)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	lines = append(lines, b.heard...)
	b.heard = nil
	return lines
}

// frames takes what has left since the last call, by port.
func (b *bench) frames() (list [numPorts][]sent) {
	if err := b.lay.catch(b); err != nil { // the switch counts a frame that is nowhere
		b.mu.Lock()
		b.heard = append(b.heard, err.Error())
		b.mu.Unlock()
	}
	for i := range list {
		for f, ok := b.receive(i + 1); ok; f, ok = b.receive(i + 1) {
			list[i] = append(list[i], sent{port: i + 1, frame: f.Bytes(), offload: f.Offload})
		}
	}
	return list
}

// sent is a frame that leaves by a port.
type sent struct {
	port    int
	frame   []byte
	offload packet.Offload
}

func (s sent) line() string {
	line := fmt.Sprintf("out %d: %s", s.port, hex.EncodeToString(s.frame))
	if s.offload != (packet.Offload{}) {
		line += fmt.Sprintf(" offload=%+v", s.offload)
	}
	return line
}

// lines are what the far end receives.
func (s sent) lines() (lines []string) {
	for _, one := range layedOn.seen(s) {
		lines = append(lines, one.line())
	}
	return lines
}

// packetIn is a PACKET_IN that is expected or came. Zero total: the length of data. Empty fields: in_port=1.
type packetIn struct {
	reason openflow.PacketInReason
	table  uint8
	cookie uint64
	data   []byte
	total  int
	fields openflow.Match
}

func (p packetIn) line() string {
	fields := cmp.Or(fieldsText(p.fields), "in_port=1")
	return fmt.Sprintf("packet-in %s table=%d cookie=%#x %s total=%d data=%s",
		p.reason, p.table, p.cookie, fields, cmp.Or(p.total, len(p.data)), hex.EncodeToString(p.data))
}

// raw sends bytes that no encoder makes, behind a header with type and length.
func (b *bench) raw(t openflow.Type, body []byte) error {
	msg := bytes.Clone(openflow.Append(nil, b.c.Conn().NextXID(), &openflow.EchoRequest{Data: body}))
	msg[1] = byte(t)
	before := len(b.c.Errors())
	if err := b.c.Conn().QueueRaw(msg); err != nil {
		return err
	}
	if err := b.c.Barrier(); err != nil {
		return err
	}
	if errs := b.c.Errors(); len(errs) > before {
		return errs[before]
	}
	return nil
}
