package agent

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
	"github.com/weirswitch/weir/openflow/oftest"
	"github.com/weirswitch/weir/ports"
)

// controller opens a connection as a configured controller has it, for the test's own client.
func (b *bench) controller() *oftest.Controller {
	b.t.Helper()
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- b.sw.Serve(near) }()
	c, err := oftest.New(far, oftest.Config{Timeout: inTime})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close(); <-done })
	return c
}

func uncached(_ *BridgeConfig, e *Env) { e.NoCache = true }

func mustApply(t *testing.T, c *oftest.Controller, list ...openflow.Message) {
	t.Helper()
	if err := c.Apply(list...); err != nil {
		t.Fatal(err)
	}
}

// dump is all that a failed bundle must leave as it was, as the tools print it: entries with their counters and ages,
// groups with theirs, and what PORT_MODs have made of ports.
func dump(t *testing.T, b *bench, c *oftest.Controller) string {
	t.Helper()
	var s strings.Builder
	entries, err := b.sw.pipe.Flows(flowtable.AllFlows())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		fmt.Fprintln(&s, e.Counters(b.clock.Now()))
	}
	flows, err := c.Flows(openflow.AllFlows())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range flows {
		fmt.Fprintln(&s, ofctl.Flow(f))
	}
	groups, err := oftest.Records[*openflow.GroupDesc](c, openflow.MultipartGroupDesc)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		fmt.Fprintln(&s, ofctl.Group(g))
	}
	stats, err := oftest.Records[*openflow.GroupStats](c, openflow.MultipartGroup, &openflow.GroupStatsRequest{Group: openflow.GroupAll})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range stats {
		fmt.Fprintln(&s, ofctl.GroupStats(g))
	}
	all, err := c.Ports()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		fmt.Fprintln(&s, p)
	}
	return s.String()
}

// bundleGen makes random messages for bundles.
type bundleGen struct {
	*rand.Rand
	ports []*openflow.Port
}

func (g *bundleGen) actions() []openflow.Action {
	switch g.IntN(4) {
	case 0:
		return []openflow.Action{openflow.Group(1 + g.Uint32N(4))}
	case 1:
		return nil
	}
	return []openflow.Action{openflow.Output(openflow.PortNo(1 + g.Uint32N(4)))}
}

func (g *bundleGen) flow() openflow.Message {
	m := add(uint16(g.IntN(3)), inPort(uint64(1+g.IntN(3))), g.actions()...)
	m.TableID, m.Cookie, m.CookieMask = uint8(g.IntN(3)), uint64(g.IntN(2)), uint64(g.IntN(2))
	m.Command = openflow.FlowModCommand(g.IntN(5))
	m.Flags = [...]openflow.FlowModFlags{0, openflow.FlowSendRemoved, openflow.FlowResetCounts, openflow.FlowCheckOverlap}[g.IntN(4)]
	m.HardTimeout = uint16(g.IntN(2) * 1000)
	if m.Command >= openflow.FlowDelete {
		m.OutPort, m.OutGroup = openflow.PortAny, openflow.GroupAny
		m.Instructions = openflow.Instructions{}
		if g.IntN(3) == 0 {
			m.Match = openflow.Match{}
		}
	}
	return m
}

func (g *bundleGen) group() openflow.Message {
	m := &openflow.GroupMod{Command: openflow.GroupCommand(g.IntN(3)), Type: openflow.GroupType(g.IntN(3)), Group: 1 + g.Uint32N(4)}
	if m.Command == openflow.GroupDelete {
		if g.IntN(4) == 0 {
			m.Group = openflow.GroupAll
		}
		return m
	}
	for range 1 + g.IntN(2) {
		k := bucket(0, openflow.PortAny, g.actions()...)
		if m.Type == openflow.GroupTypeSelect {
			k.Weight = 1 + uint16(g.IntN(3))
		}
		m.Buckets = append(m.Buckets, k)
	}
	return m
}

func (g *bundleGen) port() openflow.Message {
	p := g.ports[g.IntN(len(g.ports))]
	return &openflow.PortMod{Port: p.No, HWAddr: p.HWAddr, Config: openflow.PortConfig(g.Uint32()), Mask: []openflow.PortConfig{
		openflow.PortDown, openflow.PortNoRecv, openflow.PortNoFwd, openflow.PortNoPacketIn}[g.IntN(4)]}
}

func (g *bundleGen) out() openflow.Message {
	a := []openflow.Action{openflow.Output(openflow.PortTable)}
	if g.IntN(2) == 0 {
		a = g.actions()
	}
	return &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortNo(1 + g.Uint32N(4)), Data: frame(2, 1, "out"), Actions: openflow.NewActions(a...)}
}

func (g *bundleGen) any() openflow.Message {
	return [...]func() openflow.Message{g.flow, g.flow, g.group, g.port, g.out}[g.IntN(5)]()
}

// bad is a message that no switch takes at any time.
func (g *bundleGen) bad() openflow.Message {
	p := g.ports[0]
	return [...]openflow.Message{
		add(1, inPort(1), openflow.Group(99)),
		inTable(200),
		&openflow.GroupMod{Group: 9, Buckets: []openflow.Bucket{bucket(0, openflow.PortAny, openflow.Group(99))}},
		&openflow.GroupMod{Group: 9, Type: openflow.GroupTypeIndirect},
		&openflow.PortMod{Port: 77, HWAddr: p.HWAddr},
		&openflow.PortMod{Port: p.No},
		outOf(openflow.PortController, frame(2, 1, "bad"), openflow.Group(99)),
		outOf(openflow.PortController, []byte{1, 2, 3}),
		&openflow.PacketOut{BufferID: 5, InPort: openflow.PortController},
	}[g.IntN(9)]
}

// TestFailedBundlesLeaveNothing: random bundles with a bad message somewhere, on a switch in use. What can be asked is
// byte for byte what it was, no frame of theirs leaves, and frames are forwarded as before.
func TestFailedBundlesLeaveNothing(t *testing.T) {
	for name, change := range map[string]func(*BridgeConfig, *Env){"cached": oneWorker, "uncached": uncached} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 4, change, func(c *BridgeConfig, _ *Env) { c.TableMiss = MissDrop })
			c := b.controller()
			g := &bundleGen{Rand: rand.New(rand.NewPCG(1, 2))}
			var err error
			if g.ports, err = c.Ports(); err != nil {
				t.Fatal(err)
			}
			probe := func() (seen [4]int) {
				for no := range uint32(4) {
					if b.ends[no+1].Inject(frame(9, 1, "probe")) == nil { // a port that is down takes none
						b.sent[no+1]++
					}
				}
				b.settle()
				for i := range seen {
					for _, ok := b.ends[uint32(i+1)].TryReceive(); ok; _, ok = b.ends[uint32(i+1)].TryReceive() {
						seen[i]++
					}
				}
				return seen
			}
			failed, carried := 0, 0
			for range 150 {
				_ = c.Apply(g.any()) // most are fine
				b.clock.Advance(time.Duration(g.IntN(2500)) * time.Millisecond)
				probe()
				frames := probe()
				before := dump(t, b, c)
				var list []openflow.Message
				for range g.IntN(12) {
					list = append(list, g.any())
				}
				at := g.IntN(len(list) + 1)
				list = slices.Insert(list, at, g.bad())
				err := c.Bundle(list...)
				var refused *openflow.Error
				if !errors.As(err, &refused) {
					t.Fatalf("a bundle with a bad message: %v", err)
				}
				if after := dump(t, b, c); after != before {
					t.Fatalf("%v\nfailed with %v and left\n%s\nof\n%s", list, err, after, before)
				}
				failed++
				for no := range uint32(4) {
					if f, ok := b.ends[no+1].TryReceive(); ok {
						t.Fatalf("%v\nfailed, and port %d sent %x", list, no+1, f.Bytes())
					}
				}
				if again := probe(); again != frames {
					t.Fatalf("%v\nfailed, and frames that went to %v go to %v", list, frames, again)
				}
				if c.Bundle(slices.Delete(list, at, at+1)...) == nil {
					carried++
				}
				probe()
			}
			if carried < failed/10 {
				t.Errorf("of %d bundles only %d could be carried out without their bad message", failed, carried)
			}
		})
	}
}

// TestBundlesAreWhole: while bundles come, good and bad ones, each frame meets all of one or nothing of it. The entry
// and the group that it leads to agree in what they say of every frame, but never in the middle of a bundle.
func TestBundlesAreWhole(t *testing.T) {
	for name, change := range map[string]func(*BridgeConfig, *Env){"cached": func(*BridgeConfig, *Env) {}, "uncached": uncached} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 4, change, func(c *BridgeConfig, _ *Env) { c.TableMiss = MissDrop })
			c := b.controller()
			// The entry writes the number of a port into the frame, the group sends it there.
			mark := func(command openflow.FlowModCommand, port openflow.PortNo) openflow.Message {
				m := add(5, inPort(1), openflow.SetField(openflow.EthSrc, uint64(port)), openflow.Group(1))
				m.Command = command
				return m
			}
			lead := func(command openflow.GroupCommand, port openflow.PortNo) openflow.Message {
				return &openflow.GroupMod{Command: command, Group: 1, Type: openflow.GroupTypeIndirect,
					Buckets: []openflow.Bucket{bucket(0, openflow.PortAny, openflow.Output(port))}}
			}
			mustApply(t, c, lead(openflow.GroupAdd, 2), mark(openflow.FlowAdd, 2))
			var stop atomic.Bool
			var sender sync.WaitGroup
			sender.Go(func() {
				for sent := uint64(1); !stop.Load(); sent++ {
					if err := b.ends[1].Inject(frame(9, 1, "x")); err != nil {
						return
					}
					for b.sw.Ports()[0].RxPackets < sent && !stop.Load() {
						time.Sleep(10 * time.Microsecond)
					}
				}
			})
			seen := 0
			read := func() {
				for no := uint32(2); no <= 4; no++ {
					for f, ok := b.ends[no].TryReceive(); ok; f, ok = b.ends[no].TryReceive() {
						if seen++; uint32(f.Bytes()[11]) != no {
							t.Fatalf("port %d sent a frame for port %d", no, f.Bytes()[11])
						}
					}
				}
			}
			now := openflow.PortNo(2)
			for i := 0; i < 400 || seen < 400; i++ {
				next := 2 + (now-1)%3
				list := []openflow.Message{lead(openflow.GroupModify, next), mark(openflow.FlowModify, next)}
				if i%4 == 1 { // another way to the same
					list = []openflow.Message{&openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.GroupAll}, lead(openflow.GroupAdd, next), mark(openflow.FlowAdd, next)}
				}
				if i%3 == 2 {
					if c.Bundle(append(list, add(1, inPort(1), openflow.Group(99)))...) == nil {
						t.Fatal("a bundle with a bad message was carried out")
					}
					next = now
				} else if err := c.Bundle(list...); err != nil {
					t.Fatal(err)
				}
				now = next
				read()
			}
			stop.Store(true)
			sender.Wait()
		})
	}
}

// TestBundledPacketOutMeetsWhatCameBefore: each sees the tables, groups and ports as the messages before it left
// them, though nobody else ever does.
func TestBundledPacketOutMeetsWhatCameBefore(t *testing.T) {
	b := newBench(t, 4, func(c *BridgeConfig, _ *Env) { c.TableMiss = MissDrop })
	c := b.controller()
	all, err := c.Ports()
	if err != nil {
		t.Fatal(err)
	}
	out := func(what string, a openflow.Action) openflow.Message { return outOf(1, frame(2, 1, what), a) }
	toTable := openflow.Output(openflow.PortTable)
	group := func(command openflow.GroupCommand, port openflow.PortNo) openflow.Message {
		return &openflow.GroupMod{Command: command, Group: 1, Buckets: []openflow.Bucket{bucket(0, openflow.PortAny, openflow.Output(port))}}
	}
	silence := func(on bool) openflow.Message {
		m := &openflow.PortMod{Port: 4, HWAddr: all[3].HWAddr, Mask: openflow.PortNoFwd}
		if on {
			m.Config = openflow.PortNoFwd
		}
		return m
	}
	err = c.Bundle(
		out("no entry", toTable),
		add(1, inPort(1), openflow.Output(2)), out("entry", toTable),
		group(openflow.GroupAdd, 3), out("group", openflow.Group(1)),
		group(openflow.GroupModify, 4), out("changed", openflow.Group(1)),
		silence(true), out("silenced", openflow.Group(1)),
		silence(false), out("again", openflow.Group(1)),
		&openflow.GroupMod{Command: openflow.GroupDelete, Group: 1},
		oftest.DeleteFlows(openflow.Match{}), out("deleted", toTable))
	if err != nil {
		t.Fatal(err)
	}
	b.expect(frame(2, 1, "entry"), 2)
	b.expect(frame(2, 1, "group"), 3)
	b.expect(frame(2, 1, "changed"), 4)
	b.expect(frame(2, 1, "again"), 4)
	b.silent(2, 3, 4)
	b.send(1, frame(2, 1, "after"))
	b.silent(2, 3, 4)
}

// TestBundledBuffers: a frame that a message names is used when the bundle succeeds, and kept when it does not.
func TestBundledBuffers(t *testing.T) {
	b := newBench(t, 2, withBuffers(4, time.Hour))
	c := b.controller()
	mustApply(t, c, add(5, inPort(1), controllerOutput(20)))
	b.send(1, frame(2, 1, "kept"))
	in, err := oftest.Expect(c, func(m *openflow.PacketIn) bool { return m.BufferID != openflow.NoBuffer })
	if err != nil {
		t.Fatal(err)
	}
	m := add(9, inPort(1), openflow.Output(2))
	m.BufferID = in.BufferID
	if c.Bundle(m, add(5, inPort(1), openflow.Group(9))) == nil {
		t.Fatal("a bundle with a bad message was carried out")
	}
	b.silent(2)
	if err := c.Bundle(m); err != nil {
		t.Fatal(err)
	}
	b.expect(frame(2, 1, "kept"), 2)
	if err := c.Bundle(m); !errors.Is(err, &openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBufferEmpty}) {
		t.Errorf("a buffer used twice: %v", err)
	}
}

// obedient is a device that is switched on and off, and remembers it.
type obedient struct {
	ports.Port
	told *[]bool
}

func (o obedient) SetUp(up bool) error { *o.told = append(*o.told, up); return nil }

// TestBundledPortModsAreWhole: ports follow all of a bundle's PORT_MODs or none, and controllers hear of it once.
func TestBundledPortModsAreWhole(t *testing.T) {
	b := newErrorBench(t)
	c := b.controller()
	var told []bool
	b.device(3, "obedient", func(p ports.Port) ports.Port { return obedient{p, &told} })
	b.stubborn(4)
	all, err := c.Ports()
	if err != nil {
		t.Fatal(err)
	}
	down := func(i int) *openflow.PortMod {
		return &openflow.PortMod{Port: all[i].No, HWAddr: all[i].HWAddr, Config: openflow.PortDown, Mask: openflow.PortDown}
	}
	if c.Bundle(down(0), down(1), add(1, inPort(1), openflow.Group(99))) == nil {
		t.Fatal("a bundle with a bad message was carried out")
	}
	b.send(1, frame(2, 1, "up"))
	b.expect(frame(2, 1, "up"), 2)
	err = c.Bundle(down(0), down(2), down(3))
	if !errors.Is(err, &openflow.Error{Type: openflow.ErrPortModFailed, Code: openflow.PMFCEPERM}) || !slices.Equal(told, []bool{false, true}) {
		t.Errorf("a device that cannot be switched on: %v; the other was told %v", err, told)
	}
	if err := c.Bundle(down(0), down(1), down(0)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m, err := oftest.Expect(c, func(m *openflow.PortStatus) bool { return m.Reason == openflow.PortModified })
		if err != nil || m.Port.Config != openflow.PortDown || m.Port.No > 2 {
			t.Fatalf("%v %v", m, err)
		}
	}
}

// slow is a device that takes its time to be switched: it says what it was told, and goes on when it may.
type slow struct {
	ports.Port
	told chan bool
	goOn chan struct{}
}

func (d slow) SetUp(up bool) error {
	select {
	case d.told <- up:
		<-d.goOn
	case <-d.goOn: // the test is over
	}
	return nil
}

// TestBundleWaitsForDevicesAlone: while a system switches the device of a bundled PORT_MOD, other connections change the
// tables; if what they do makes the bundle impossible, the device is switched back.
func TestBundleWaitsForDevicesAlone(t *testing.T) {
	b := newBench(t, 2)
	c, other := b.controller(), b.controller()
	d := slow{told: make(chan bool), goOn: make(chan struct{})}
	t.Cleanup(func() { close(d.goOn) })
	b.device(3, "slow", func(p ports.Port) ports.Port { d.Port = p; return d })
	all, err := c.Ports()
	if err != nil {
		t.Fatal(err)
	}
	down := &openflow.PortMod{Port: 3, HWAddr: all[2].HWAddr, Config: openflow.PortDown, Mask: openflow.PortDown}
	group := func(command openflow.GroupCommand) openflow.Message {
		return &openflow.GroupMod{Command: command, Group: 8, Buckets: []openflow.Bucket{{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny}}}
	}
	if err := other.Apply(group(openflow.GroupAdd)); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error)
	commit := func() { answer <- c.Bundle(down, add(3, inPort(1), openflow.Group(8))) }
	switched := func(up bool) {
		t.Helper()
		select {
		case got := <-d.told:
			if got != up {
				t.Errorf("the device is told %v, want %v", got, up)
			}
		case err := <-answer:
			t.Fatalf("the bundle has ended: %v", err)
		}
	}
	go commit()
	switched(false)
	if err := other.Apply(group(openflow.GroupDelete), add(1, inPort(2), openflow.Output(1))); err != nil { // with a barrier
		t.Fatal(err)
	}
	b.send(2, frame(1, 2, "meanwhile"))
	b.expect(frame(1, 2, "meanwhile"), 1)
	d.goOn <- struct{}{}
	switched(true)
	d.goOn <- struct{}{}
	if err := <-answer; !errors.Is(err, &openflow.Error{Type: openflow.ErrBadAction, Code: openflow.BACBadOutGroup}) {
		t.Errorf("a bundle whose group went: %v", err)
	}
	if err := other.Apply(group(openflow.GroupAdd)); err != nil {
		t.Fatal(err)
	}
	go commit()
	switched(false)
	d.goOn <- struct{}{}
	if err := <-answer; err != nil {
		t.Error(err)
	}
	flows, err := c.Flows(openflow.AllFlows())
	if err != nil || len(flows) != 3 { // the table-miss entry, too
		t.Errorf("%d flows, %v", len(flows), err)
	}
}

// TestBundleLimits: what a connection may keep is bounded, and what makes no sense is refused.
func TestBundleLimits(t *testing.T) {
	b := newBench(t, 2)
	c := b.controller()
	all, err := c.Ports()
	if err != nil {
		t.Fatal(err)
	}
	experimenter := func(code uint16) error {
		return &openflow.Error{Type: openflow.ErrExperimenter, Code: code, Experimenter: openflow.ExperimenterONF}
	}
	var many, outs []openflow.Message
	for range maxBundlePorts + 1 {
		many = append(many, &openflow.PortMod{Port: 1, HWAddr: all[0].HWAddr})
		outs = append(outs, add(1, inPort(1)), outOf(1, frame(2, 1, "x")))
	}
	for name, list := range map[string][]openflow.Message{"PORT_MODs": many, "PACKET_OUTs": outs} {
		if err := c.Bundle(list...); !errors.Is(err, experimenter(openflow.BFCMsgTooMany)) {
			t.Errorf("too many %s: %v", name, err)
		}
	}
	for _, m := range []openflow.Message{&openflow.MeterMod{Meter: 1}, &openflow.TableMod{}, &openflow.BarrierRequest{}, &openflow.EchoRequest{},
		&openflow.RoleRequest{}, &openflow.SetConfig{}} {
		if err := c.Bundle(m); !errors.Is(err, experimenter(openflow.BFCMsgUnsup)) {
			t.Errorf("%s in a bundle: %v", m.MsgType(), err)
		}
	}
}
