package agent

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// TestApplyKeepsWhatIsTheSame adds and removes a port and a controller; entries, addresses, counters
// and the other controller's session stay.
func TestApplyKeepsWhatIsTheSame(t *testing.T) {
	var d dialer
	b := newBench(t, 0, oneController(&d, 0), func(c *BridgeConfig, _ *Env) {
		c.Ports = []PortConfig{pipeConfig("a", 1), pipeConfig("b", 0), pipeConfig("c", 3)}
	})
	p := d.accept(t)
	p.features()
	end, err := b.sw.env.Pipes.End("a")
	if err != nil {
		t.Fatal(err)
	}
	b.ends[1] = end
	p.send(add(77, inPort(1), openflow.Output(openflow.PortNormal)))
	p.barrier()
	b.send(1, frame(0xff, 1, ""))
	b.settle()

	cfg := b.sw.Config()
	cfg.Ports = []PortConfig{pipeConfig("a", 1), pipeConfig("b", 0), pipeConfig("new", 0)}
	cfg.Ports[1].NoFlood = true
	other := ControllerConfig{Target: Target{Scheme: "tcp", Host: "c2", Port: 1}}
	cfg.Controllers = append(slices.Clone(cfg.Controllers), other)
	if err := b.sw.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	q := d.accept(t)
	q.features()
	p.barrier() // the old session lives
	var names []string
	for _, st := range b.sw.Ports() {
		names = append(names, openflow.PortNo(st.Number).String()+st.Name)
	}
	if want := []string{"1a", "2b", "4new"}; !slices.Equal(names, want) {
		t.Errorf("ports %v, want %v", names, want)
	}
	if st := b.sw.Ports()[0]; st.RxPackets != 1 {
		t.Errorf("counters of the port that stayed: %+v", st)
	}
	if f := b.sw.Flows(0); len(f) != 2 || f[0].Packets != 1 {
		t.Errorf("flows %+v", f)
	}
	if fdb := b.sw.FDB(); len(fdb) != 1 {
		t.Errorf("fdb %+v", fdb)
	}
	b.send(1, frame(0xff, 1, "")) // b is out of the flooding now
	b.settle()
	if st := b.sw.Ports(); st[1].TxPackets != 1 || st[2].TxPackets != 1 {
		t.Errorf("after no-flood: b got %d frames, new got %d; want the 1 from before and 1", st[1].TxPackets, st[2].TxPackets)
	}

	cfg.Controllers = []ControllerConfig{other}
	if err := b.sw.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the first session to end", func() bool { return len(b.sw.Controllers()) == 1 })
	q.barrier()
}

func TestApplyThatCannotBeChangesNothing(t *testing.T) {
	b := newBench(t, 0, func(c *BridgeConfig, _ *Env) { c.Ports = []PortConfig{pipeConfig("a", 1)} })
	check := func(name, want string, change func(*BridgeConfig)) {
		t.Helper()
		cfg := b.sw.Config()
		cfg.Ports = slices.Clone(cfg.Ports)
		change(&cfg)
		err := b.sw.Apply(cfg)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v", name, err)
		}
		if st := b.sw.Ports(); len(st) != 1 || st[0].Name != "a" {
			t.Errorf("%s: ports %+v", name, st)
		}
		if st := b.sw.Status(); len(st.Listeners) != 0 {
			t.Errorf("%s: listeners %v", name, st.Listeners)
		}
	}
	check("dpid", "dpid cannot change", func(c *BridgeConfig) { c.DPID = 9 })
	check("tables", "tables cannot change", func(c *BridgeConfig) { c.Tables = 20 })
	check("a bad port", "no-such-folder", func(c *BridgeConfig) {
		c.Ports = append([]PortConfig{pipeConfig("x", 9)}, PortConfig{Spec: ports.Spec{Kind: ports.KindPcap, Name: "p", Target: "/no-such-folder/in.pcap"}})
		c.Listen = []Target{{Scheme: "ptcp", Host: "127.0.0.1"}}
	})
	check("a bad listener", "no-such-folder", func(c *BridgeConfig) {
		c.Ports = append(c.Ports, pipeConfig("x", 9))
		c.Listen = []Target{{Scheme: "punix", Path: "/no-such-folder/sock"}}
	})
}

// portList is what runs, as number and name.
func (b *bench) portList() string {
	var list []string
	for _, st := range b.sw.Ports() {
		list = append(list, openflow.PortNo(st.Number).String()+st.Name)
	}
	return strings.Join(list, " ")
}

// TestApplyNumbers: a number that the file names goes to its port, whatever stands before it in the
// file and whoever had the number; one that a port chose for itself and keeps is refused at once.
func TestApplyNumbers(t *testing.T) {
	b := newBench(t, 0, func(c *BridgeConfig, _ *Env) { c.Ports = []PortConfig{pipeConfig("a", 1)} })
	apply := func(want string, list ...PortConfig) error {
		t.Helper()
		cfg := b.sw.Config()
		cfg.Ports = list
		err := b.sw.Apply(cfg)
		if got := b.portList(); got != want {
			t.Errorf("ports %s, want %s", got, want)
		}
		return err
	}
	for _, err := range []error{
		apply("1a 2numbered 3new", pipeConfig("a", 1), pipeConfig("new", 0), pipeConfig("numbered", 2)),
		apply("1numbered 2a 3new", pipeConfig("a", 2), pipeConfig("new", 0), pipeConfig("numbered", 1)),
		apply("1a 2x 3new", pipeConfig("a", 1), pipeConfig("new", 0), pipeConfig("x", 2)),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	err := apply("1a 2x 3new", pipeConfig("y", 3), pipeConfig("new", 0))
	if err == nil || !strings.Contains(err.Error(), `port number 3 of "y" is taken by "new"`) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("a number that is taken: %v", err)
	}
}

// TestApplyThatFailsInTheMiddle: the configuration says what runs, so that the next reload sees what is
// still to be done.
func TestApplyThatFailsInTheMiddle(t *testing.T) {
	b := newBench(t, 0, func(c *BridgeConfig, _ *Env) { c.Ports = []PortConfig{pipeConfig("a", 1), pipeConfig("b", 2)} })
	lost := PortConfig{Spec: ports.Spec{Kind: ports.KindPcap, Target: "/no-such-folder/in.pcap"}}
	missing, changed := lost, lost
	missing.Name, missing.Number = "m", 2 // waits for b to go
	changed.Name, changed.Number = "a", 1
	cfg := b.sw.Config()
	cfg.Ports = []PortConfig{changed, missing}
	err := b.sw.Apply(cfg)
	if err == nil || !strings.Contains(err.Error(), "port a keeps its old configuration") {
		t.Error(err)
	}
	if got := b.portList(); got != "1a" {
		t.Errorf("ports %s", got)
	}
	if now := b.sw.Config().Ports; len(now) != 1 || !reflect.DeepEqual(now[0], pipeConfig("a", 1)) {
		t.Errorf("the configuration says %v, where only a runs, as it was", now)
	}
}

func TestApplyFailModeAndMiss(t *testing.T) {
	b := newBench(t, 0)
	apply := func(mode FailMode, miss TableMiss, want string) {
		t.Helper()
		cfg := b.sw.Config()
		cfg.FailMode, cfg.TableMiss = mode, miss
		if err := b.sw.Apply(cfg); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, f := range b.sw.Flows(-1) {
			got += f.Actions
		}
		if got != want {
			t.Errorf("%s, %s: entries %q, want %q", mode, miss, got, want)
		}
	}
	apply(FailStandalone, MissController, "CONTROLLER:65535")
	apply(FailStandalone, MissDrop, "")
	apply(FailSecure, MissNormal, "")
	apply(FailStandalone, MissNormal, "NORMAL")
	apply(FailSecure, MissNormal, "NORMAL") // what is installed stays
}

func TestApplyListeners(t *testing.T) {
	b := newBench(t, 0, func(c *BridgeConfig, e *Env) { e.Clock = NewClock() })
	cfg := b.sw.Config()
	cfg.Listen = []Target{{Scheme: "ptcp", Host: "127.0.0.1"}}
	if err := b.sw.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	st := b.sw.Status()
	if len(st.Listeners) != 1 || strings.HasPrefix(st.Listeners[0], "ptcp:0:") {
		t.Fatalf("listeners %v", st.Listeners)
	}
	target, err := ParseTarget(st.Listeners[0])
	if err != nil {
		t.Fatal(err)
	}
	c := dialTool(t, target)
	cfg.Listen = nil
	if err := b.sw.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	if err := c.Closed(); err != nil {
		t.Error(err)
	}
	if st := b.sw.Status(); len(st.Listeners) != 0 {
		t.Errorf("listeners %v", st.Listeners)
	}
}

// TestApplyListenerOnTheSamePort: the address of a listener changes and its port stays, from one
// address to all and back; when that fails, the old one listens again.
func TestApplyListenerOnTheSamePort(t *testing.T) {
	b := newBench(t, 0, func(c *BridgeConfig, e *Env) { e.Clock = NewClock() })
	number, err := strconv.ParseUint(freeTCP(t), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(number)
	one, all := Target{Scheme: "ptcp", Host: "127.0.0.1", Port: port}, Target{Scheme: "ptcp", Port: port}
	cfg := b.sw.Config()
	for _, to := range []Target{one, all, one} {
		cfg.Listen = []Target{to}
		if err := b.sw.Apply(cfg); err != nil {
			t.Fatal(err)
		}
		dialTool(t, one)
	}
	cfg.Listen = []Target{all, {Scheme: "punix", Path: "/no-such-folder/sock"}}
	if err := b.sw.Apply(cfg); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Error(err)
	}
	if st := b.sw.Status(); !slices.Equal(st.Listeners, []string{one.String()}) {
		t.Errorf("listeners %v, want the old one", st.Listeners)
	}
	dialTool(t, one)
}

// TestApplyKeepsASession: other limits for a controller reach the connection that is there.
func TestApplyKeepsASession(t *testing.T) {
	var d dialer
	b := newBench(t, 1, oneController(&d, 0))
	p := d.accept(t)
	p.features()
	p.send(add(7, inPort(1), controllerOutput(60)))
	p.barrier()
	cfg := b.sw.Config()
	cfg.Controllers = slices.Clone(cfg.Controllers)
	cfg.PacketInQueue = 2000
	c := &cfg.Controllers[0]
	c.PacketInRate, c.PacketInBurst, c.InactivityProbe, c.MaxBackoff = 10, 2, 3*time.Second, 2*time.Second
	if err := b.sw.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		b.send(1, frame(2, 1, ""))
	}
	b.settle()
	p.barrier()
	st := b.sw.Controllers()
	if len(st) != 1 || !st[0].Connected || st[0].PacketIns != 2 || st[0].PacketInDrops != 3 || st[0].InactivitySecs != 3 {
		t.Errorf("controllers %+v, want the session with 2 packet-ins and 3 drops", st)
	}
	b.clock.Advance(3 * time.Second)
	expect[*openflow.EchoRequest](p) // the new probe
	p.send(&openflow.EchoReply{})
	p.barrier()

	// Without a connection, a pause that is now too long is cut short.
	p.nc.Close()
	waitFor(t, "the pause", func() bool { return b.sw.Controllers()[0].State == stateBackoff })
	for range 3 { // 1 s, 2 s, and no more than the new longest
		b.clock.Advance(2 * time.Second)
		d.next(t).Close()
		waitFor(t, "the pause", func() bool { return b.sw.Controllers()[0].State == stateBackoff })
	}
	cfg = b.sw.Config()
	cfg.Controllers = slices.Clone(cfg.Controllers)
	cfg.Controllers[0].MinBackoff, cfg.Controllers[0].MaxBackoff = 100*time.Millisecond, 100*time.Millisecond
	if err := b.sw.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(100 * time.Millisecond)
	d.accept(t).features()
}
