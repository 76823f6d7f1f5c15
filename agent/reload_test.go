package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// agentRig is an Agent in this process whose ports are named pipes.
type agentRig struct {
	t     *testing.T
	a     *Agent
	pipes *ports.Pipes
	dir   string
	file  string
	log   *syncBuffer
}

// syncBuffer is written by log lines and read by the test.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// socketDir is a temporary folder whose path is short enough for sockets.
func socketDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "weir")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func startAgent(t *testing.T, config string) *agentRig {
	t.Helper()
	dir := socketDir(t)
	r := &agentRig{t: t, pipes: new(ports.Pipes), dir: filepath.Join(dir, "run"), file: filepath.Join(dir, "w.yaml"), log: new(syncBuffer)}
	r.write(config)
	cfg, err := LoadConfig(r.file)
	if err != nil {
		t.Fatal(err)
	}
	cfg.RunDir = r.dir
	r.a = NewAgent(AgentOptions{Log: NewLogger(r.log, LogConfig{Level: "debug"}), Env: Env{Pipes: r.pipes, Clock: NewClock()}, File: r.file})
	if err := r.a.Start(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if t.Failed() {
			t.Logf("the log:\n%s", r.log)
		}
		if _, err := os.Stat(r.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the run directory is still there: %v", err)
		}
	})
	return r
}

func (r *agentRig) write(config string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(config), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// reload writes a new file, applies it and compares the changes told.
func (r *agentRig) reload(config string, want ...string) {
	r.t.Helper()
	r.write(config)
	got, err := r.a.Reload("", "")
	if err != nil {
		r.t.Fatalf("reload: %v", err)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		r.t.Errorf("changes\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (r *agentRig) end(name string) *ports.Pipe {
	r.t.Helper()
	p, err := r.pipes.End(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// ethernet is a broadcast frame from host n.
func ethernet(n byte) []byte {
	f := append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, n)
	return append(append(f, 0x88, 0xb5), make([]byte, 46)...)
}

// cross sends a frame into one pipe and waits for it at another.
func cross(t *testing.T, from, to *ports.Pipe, n byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), inTime)
	defer cancel()
	if err := from.Inject(ethernet(n)); err != nil {
		t.Fatal(err)
	}
	if err := to.Expect(ctx, ethernet(n)); err != nil {
		t.Fatal(err)
	}
}

func (r *agentRig) port(bridge, name string) PortStatus {
	r.t.Helper()
	for _, p := range r.a.Switch(bridge).Ports() {
		if p.Name == name {
			return p
		}
	}
	r.t.Fatalf("bridge %s has no port %s", bridge, name)
	return PortStatus{}
}

// rawController accepts the switch's connection and does the least of a handshake, in
// bytes that are written here and not by weir's codec.
type rawController struct {
	l net.Listener
	c net.Conn
}

func listenRaw(t *testing.T) *rawController {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &rawController{l: l}
}

func (c *rawController) target() string { return "tcp:" + c.l.Addr().String() }

func (c *rawController) accept(t *testing.T) {
	t.Helper()
	var err error
	if err = c.l.(*net.TCPListener).SetDeadline(time.Now().Add(inTime)); err == nil {
		c.c, err = c.l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.c.Close() })
	c.send(t, 0, 1) // HELLO
	c.send(t, 5, 2) // FEATURES_REQUEST
	c.wait(t, 6, 2) // FEATURES_REPLY
	c.echo(t, 3)
}

func (c *rawController) send(t *testing.T, kind byte, xid uint32) {
	t.Helper()
	if _, err := c.c.Write(binary.BigEndian.AppendUint32([]byte{4, kind, 0, 8}, xid)); err != nil {
		t.Fatal(err)
	}
}

// wait reads until the answer with that type and xid.
func (c *rawController) wait(t *testing.T, kind byte, xid uint32) {
	t.Helper()
	for {
		h := make([]byte, 8)
		if err := c.c.SetReadDeadline(time.Now().Add(inTime)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c.c, h); err != nil {
			t.Fatalf("waiting for type %d: %v", kind, err)
		}
		if _, err := io.CopyN(io.Discard, c.c, int64(binary.BigEndian.Uint16(h[2:]))-8); err != nil {
			t.Fatal(err)
		}
		if h[1] == kind && binary.BigEndian.Uint32(h[4:]) == xid {
			return
		}
	}
}

// echo proves that the session lives.
func (c *rawController) echo(t *testing.T, xid uint32) {
	t.Helper()
	c.send(t, 2, xid)
	c.wait(t, 3, xid)
}

const reloadConfig = `
bridges:
- name: br0
  controllers: [%s]
  ports: ["1:pipe:a", "2:pipe:b", "3:pipe:c"]
`

// TestReloadKeepsWhatIsUnchanged: session, MAC table, flow age and counters live through
// reloads that change everything around them.
func TestReloadKeepsWhatIsUnchanged(t *testing.T) {
	ctl := listenRaw(t)
	r := startAgent(t, fmt.Sprintf(reloadConfig, ctl.target()))
	ctl.accept(t)
	a, b := r.end("a"), r.end("b")
	cross(t, a, b, 1)
	flows, macs := r.a.Switch("br0").Flows(-1), r.a.Switch("br0").FDB()
	if len(flows) != 1 || len(macs) != 1 {
		t.Fatalf("%d flows, %d addresses before", len(flows), len(macs))
	}
	r.reload(fmt.Sprintf(reloadConfig, ctl.target()))

	other := listenRaw(t)
	r.reload(fmt.Sprintf(`
log: {level: debug}
bridges:
- name: br0
  controllers: [%s, %s]
  listen: ["punix:%s"]
  ports: ["1:pipe:a", "2:pipe:b,tag=0", "4:pipe:d"]
- name: br1
  ports: ["pipe:c"]
`, ctl.target(), other.target(), filepath.Join(filepath.Dir(r.dir), "l.sock")),
		"log: changed",
		"bridge br0: port c removed",
		"bridge br0: listener punix:"+filepath.Join(filepath.Dir(r.dir), "l.sock")+" added",
		"bridge br0: controller "+other.target()+" added",
		"bridge br0: port b changed",
		"bridge br0: port d added",
		"bridge br1: added")
	other.accept(t)
	ctl.echo(t, 10)
	cross(t, a, b, 1)
	waitFor(t, "the second frame counted after it was delivered", func() bool {
		flows := r.a.Switch("br0").Flows(-1)
		return r.port("br0", "b").TxPackets == 2 && len(flows) == 1 && flows[0].Packets == 2
	})
	if p := r.port("br0", "a"); p.RxPackets != 2 || p.Number != 1 {
		t.Errorf("port a: %+v", p)
	}
	if p := r.port("br0", "b"); p.TxPackets != 2 {
		t.Errorf("the counters of a changed port began anew: %+v", p)
	}
	if now := r.a.Switch("br0").FDB(); len(now) != 1 || now[0].MAC != macs[0].MAC {
		t.Errorf("MAC table %v, before %v", now, macs)
	}
	if now := r.a.Switch("br0").Flows(-1); len(now) != 1 || now[0].Packets != 2 {
		t.Errorf("flows %+v, before %+v", now, flows)
	}
	r.reload(fmt.Sprintf(reloadConfig, ctl.target()),
		"log: changed",
		"bridge br1: removed",
		"bridge br0: listener punix:"+filepath.Join(filepath.Dir(r.dir), "l.sock")+" removed",
		"bridge br0: controller "+other.target()+" removed",
		"bridge br0: port b changed",
		"bridge br0: port c added",
		"bridge br0: port d removed")
	ctl.echo(t, 11)
	cross(t, a, r.end("c"), 1)
	if _, err := os.Stat(filepath.Join(r.dir, "br1.ctl")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the removed bridge's socket: %v", err)
	}
}

// TestReloadRefusesABadFile: nothing changes, and the error is that of the file.
func TestReloadRefusesABadFile(t *testing.T) {
	ctl := listenRaw(t)
	r := startAgent(t, fmt.Sprintf(reloadConfig, ctl.target()))
	ctl.accept(t)
	before := r.a.Switch("br0").Config()
	r.write("bridges:\n- name: br0\n  ports: [\"1:pipe:x\", \"1:pipe:y\"]\n")
	changes, err := r.a.Reload("", "")
	if err == nil || len(changes) != 0 || !strings.Contains(err.Error(), r.file+":3: bridges[0].ports[1]: the port number 1 is that of the port in line 3") {
		t.Errorf("changes %v, error %v", changes, err)
	}
	r.write("rundir: /elsewhere\nbridges:\n- name: br0\n")
	if _, err = r.a.Reload("", ""); err == nil || !strings.Contains(err.Error(), "cannot become /elsewhere while the process runs") {
		t.Errorf("another rundir: %v", err)
	}
	r.write("bridges:\n- name: br0\n")
	if _, err = r.a.Reload("", "br9"); err == nil || !strings.Contains(err.Error(), "the file has no bridge br9") {
		t.Errorf("an unknown bridge: %v", err)
	}
	if !reflect.DeepEqual(before, r.a.Switch("br0").Config()) {
		t.Error("the running configuration changed")
	}
	ctl.echo(t, 10)
	cross(t, r.end("a"), r.end("b"), 1)
}

// TestReloadThatCannotOpenAPort: what cannot be opened is told, and the switch stays as it was.
func TestReloadThatCannotOpenAPort(t *testing.T) {
	r := startAgent(t, "bridges:\n- name: br0\n  ports: [\"1:pipe:a\", \"2:pipe:b\"]\n")
	r.write("bridges:\n- name: br0\n  ports: [\"1:pipe:a\", \"2:pipe:b\", \"3:wire:unixgram,local=/nowhere/a,remote=/nowhere/b,name=x\"]\n")
	changes, err := r.a.Reload("", "")
	if err == nil || !strings.Contains(err.Error(), "bridge br0") || len(changes) != 0 {
		t.Errorf("changes %v, error %v", changes, err)
	}
	if n := len(r.a.Switch("br0").Ports()); n != 2 {
		t.Errorf("%d ports", n)
	}
	cross(t, r.end("a"), r.end("b"), 1)
}

// TestReloadRestartsWhatCannotChange: a new datapath id is a new switch.
func TestReloadRestartsWhatCannotChange(t *testing.T) {
	r := startAgent(t, "bridges:\n- name: br0\n  dpid: 1\n  ports: [\"1:pipe:a\"]\n")
	r.reload("bridges:\n- name: br0\n  dpid: 2\n  ports: [\"1:pipe:a\"]\n", "bridge br0: restarted, because its dpid changed")
	if id := r.a.Switch("br0").Status().DPID; id != "0000000000000002" {
		t.Errorf("datapath id %s", id)
	}
	if c, err := Dial(r.dir, "br0"); err != nil {
		t.Error(err)
	} else if s, err := c.Status(); err != nil || s.DPID != "0000000000000002" {
		t.Errorf("the control socket answers %+v, %v", s, err)
	}
}

// TestReloadThatLosesABridge: a bridge that starts neither anew nor as it was is told as gone.
func TestReloadThatLosesABridge(t *testing.T) {
	r := startAgent(t, "bridges:\n- name: br0\n  dpid: 1\n- name: br1\n")
	file := filepath.Join(filepath.Dir(r.dir), "in.pcap")
	header := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0}
	if err := os.WriteFile(file, header, 0o600); err != nil {
		t.Fatal(err)
	}
	config := "bridges:\n- name: br0\n  dpid: %d\n  ports: [\"pcap:" + file + "\"]\n- name: br1\n"
	r.reload(fmt.Sprintf(config, 1), "bridge br0: port in added")
	os.Remove(file)
	r.write(fmt.Sprintf(config, 2))
	changes, err := r.a.Reload("", "")
	if err == nil || strings.Join(changes, "\n") != "bridge br0: removed, for it could not be started again" {
		t.Errorf("changes %q, error %v", changes, err)
	}
	if names := Running(r.dir); strings.Join(names, " ") != "br1" {
		t.Errorf("%v run", names)
	}
}

func TestReloadOfOneBridge(t *testing.T) {
	r := startAgent(t, "bridges:\n- {name: br0, ports: [\"pipe:a\"]}\n- {name: br1, ports: [\"pipe:b\"]}\n")
	r.write("bridges:\n- {name: br0, ports: [\"pipe:a\", \"pipe:c\"]}\n- {name: br1, ports: [\"pipe:b\", \"pipe:d\"]}\n")
	changes, err := r.a.Reload("", "br1")
	if err != nil || strings.Join(changes, "") != "bridge br1: port d added" {
		t.Errorf("%v, %v", changes, err)
	}
	if n := len(r.a.Switch("br0").Ports()); n != 1 {
		t.Errorf("the other bridge has %d ports", n)
	}
}

// TestReloadDropsPortsAddedByHand: the file is what is to be, not a patch on what is.
func TestReloadDropsPortsAddedByHand(t *testing.T) {
	config := "bridges:\n- {name: br0, ports: [\"pipe:a\"]}\n"
	r := startAgent(t, config)
	c, err := Dial(r.dir, "br0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if p, err := c.AddPort("7:pipe:hand"); err != nil || p.Number != 7 || p.Name != "hand" {
		t.Fatalf("%+v, %v", p, err)
	}
	r.reload(config, "bridge br0: port hand removed")
}

func TestReloadWithoutAFile(t *testing.T) {
	a := NewAgent(AgentOptions{})
	if _, err := a.Reload("", ""); err == nil || !strings.Contains(err.Error(), "name the file to apply with -c FILE") {
		t.Error(err)
	}
}

// TestStartClaimsNames: a second owner is refused, what a killed one left is replaced, and
// what is no socket is left alone.
func TestStartClaimsNames(t *testing.T) {
	r := startAgent(t, "bridges:\n- {name: br0, ports: [\"pipe:a\"]}\n")
	second := func(name string) error {
		cfg, err := ParseConfig("x", []byte("bridges: [{name: first}, {name: "+name+"}]"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.RunDir = r.dir
		a := NewAgent(AgentOptions{})
		err = a.Start(cfg)
		if err == nil {
			err = a.Close()
		}
		return err
	}
	if err := second("br0"); err == nil || !strings.Contains(err.Error(), "bridge br0 is running already") {
		t.Errorf("a second owner: %v", err)
	}
	if names := Running(r.dir); strings.Join(names, " ") != "br0" {
		t.Errorf("after the refused start %v run", names)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: controlPath(r.dir, "dead"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as after kill -9
	l.Close()
	if err := second("dead"); err != nil {
		t.Errorf("a stale socket stops the start: %v", err)
	}
	file := controlPath(r.dir, "text")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := second("text"); err == nil || !strings.Contains(err.Error(), "is in the way and is not a socket") {
		t.Errorf("a file in the way: %v", err)
	}
	os.Remove(file)
}

// TestStopOneOfTwo: the process ends with its last bridge and not before.
func TestStopOneOfTwo(t *testing.T) {
	r := startAgent(t, "bridges:\n- {name: br0}\n- {name: br1}\n")
	if last, err := r.a.StopBridge("br0"); last || err != nil {
		t.Errorf("last %v, %v", last, err)
	}
	if _, err := r.a.StopBridge("br0"); err == nil || err.Error() != "there is no bridge br0 here; there are br1" {
		t.Error(err)
	}
	select {
	case <-r.a.Done():
		t.Error("done with a bridge left")
	default:
	}
	if last, err := r.a.StopBridge("br1"); !last || err != nil {
		t.Errorf("last %v, %v", last, err)
	}
	<-r.a.Done()
}

func TestWaitReadyNamesWhatIsMissing(t *testing.T) {
	r := startAgent(t, "bridges:\n- {name: br0, ports: [\"1:wire:unix,connect=/nowhere/x.sock\"]}\n")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.a.WaitReady(ctx); err == nil || !strings.Contains(err.Error(), "not ready in time: bridge br0: port x (") {
		t.Error(err)
	}
}

func TestDefaultRunDir(t *testing.T) {
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	for _, c := range []struct {
		env    map[string]string
		uid    int
		closed string // the folder that takes nothing of this user's
		want   string
	}{
		{nil, 0, "", "/run/weir"},
		{map[string]string{"OVS_RUNDIR": "/x"}, 0, "", "/x"},
		{map[string]string{"OVS_RUNDIR": "/x", "XDG_RUNTIME_DIR": "/run/user/9"}, 9, "", "/x"},
		{map[string]string{"XDG_RUNTIME_DIR": "/run/user/9"}, 9, "", "/run/user/9/weir"},
		{map[string]string{"XDG_RUNTIME_DIR": "/run/user/9"}, 0, "", "/run/weir"},
		{map[string]string{"XDG_RUNTIME_DIR": "/run/user/9"}, 0, "/run/weir", "/run/user/9/weir"}, // in a user namespace
	} {
		if got, err := defaultRunDir(env(c.env), c.uid, func(dir string) bool { return dir == c.closed }); err != nil || got != c.want {
			t.Errorf("%v: %q, %v", c, got, err)
		}
	}
	if _, err := DefaultRunDir(env(nil), 9); err == nil || !strings.Contains(err.Error(), "--rundir DIR or OVS_RUNDIR") {
		t.Error(err)
	}
	if _, err := defaultRunDir(env(nil), 0, func(string) bool { return true }); err == nil || !strings.Contains(err.Error(), "as in a user namespace") {
		t.Error(err)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if _, err := makeRunDir(long); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Error(err)
	}
}

func TestControlErrors(t *testing.T) {
	r := startAgent(t, "bridges:\n- {name: br0, ports: [\"1:pipe:a\"]}\n")
	c, err := Dial(r.dir, "br0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, one := range []struct {
		do   func() error
		want string
	}{
		{func() error { _, err := c.AddPort("0:x"); return err }, `port "0:x": "0": a port number is 1 to 65279`},
		{func() error { _, err := c.AddPort("internal:br0"); return err }, `an internal device comes from the configuration`},
		{func() error { return c.RemovePort("zz") }, `has no port "zz"`},
		{func() error { _, err := c.FlushFDB("zz"); return err }, `"zz"`},
		{func() error { return c.ask("GET", "/flows?table=x", nil, nil) }, `table "x" is not a number`},
		{func() error { return c.ask("GET", "/flows?table=255", nil, nil) }, `table "255" is not a number from 0 to 254`},
		{func() error { return c.ask("GET", "/capture?port=a&filter=%zz", nil, nil) }, "invalid URL escape"},
		{func() error { return c.ask("GET", "/other", nil, nil) }, "GET /other is not known here"},
		{func() error { return c.ask("POST", "/stop", map[string]int{"now": 1}, nil) }, "unknown field"},
		{func() error {
			return c.ask("POST", "/ports", addPortRequest{strings.Repeat("x", maxControlRequest)}, nil)
		}, "too large"},
	} {
		if err := one.do(); err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("got %v, want %s", err, one.want)
		}
	}
	if _, err := Dial(r.dir, "bro"); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), "did you mean br0?") {
		t.Error(err)
	}
	if st, err := os.Stat(controlPath(r.dir, "br0")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode of the control socket: %v, %v", st.Mode(), err)
	}
}

// TestDiffBridges compares each setting alone.
func TestDiffBridges(t *testing.T) {
	base := func() BridgeConfig {
		c, err := ParseConfig("x", []byte("bridges:\n- name: br0\n  controllers: [\"tcp:a\"]\n  listen: [\"ptcp:1\"]\n  ports: [\"1:eth1\"]\n"))
		if err != nil {
			t.Fatal(err)
		}
		return c.Bridges[0]
	}
	for _, c := range []struct {
		change  func(*BridgeConfig)
		restart string
		line    string
	}{
		{func(b *BridgeConfig) {}, "", ""},
		{func(b *BridgeConfig) { b.DPID = 9 }, "dpid", ""},
		{func(b *BridgeConfig) { b.MAC[5] = 9 }, "mac", ""},
		{func(b *BridgeConfig) { b.Tables = 9 }, "tables", ""},
		{func(b *BridgeConfig) { b.MaxFlows = 9 }, "max-flows", ""},
		{func(b *BridgeConfig) { b.MaxGroups = 9 }, "max-groups", ""},
		{func(b *BridgeConfig) { b.MaxMeters = 9 }, "max-meters", ""},
		{func(b *BridgeConfig) { b.MaxPaths = 999 }, "max-paths", ""},
		{func(b *BridgeConfig) { b.FailMode = FailSecure }, "", "fail-mode changed"},
		{func(b *BridgeConfig) { b.TableMiss = MissDrop }, "", "table-miss changed"},
		{func(b *BridgeConfig) { b.DatapathDesc = "x" }, "", "dp-desc changed"},
		{func(b *BridgeConfig) { b.PacketInQueue = 9 }, "", "packet-in-queue changed"},
		{func(b *BridgeConfig) { b.MACTable.Age = 9 }, "", "mac-table changed"},
		{func(b *BridgeConfig) { b.ForwardBPDU = true }, "", "forward-bpdu changed"},
		{func(b *BridgeConfig) { b.Fragments = openflow.FragDrop }, "", "fragments changed"},
		{func(b *BridgeConfig) { b.Desc.Serial = "9" }, "", "description changed"},
		{func(b *BridgeConfig) { b.Buffers.Number = 9 }, "buffers", ""},
		{func(b *BridgeConfig) { b.ListenAux = b.Listen }, "", "auxiliary listener ptcp:1 added"},
		{func(b *BridgeConfig) { b.Controllers[0].Auxiliary = 2 }, "", "controller tcp:a:6653 changed"},
		{func(b *BridgeConfig) { b.Internal = &InternalConfig{} }, "", "internal device added"},
		{func(b *BridgeConfig) { b.Controllers[0].PacketInRate = 5 }, "", "controller tcp:a:6653 changed"},
		{func(b *BridgeConfig) { b.Controllers = nil }, "", "controller tcp:a:6653 removed"},
		{func(b *BridgeConfig) { b.Listen = nil }, "", "listener ptcp:1 removed"},
		{func(b *BridgeConfig) { b.Ports[0].NoFlood = true }, "", "port eth1 changed"},
		{func(b *BridgeConfig) { b.Ports = nil }, "", "port eth1 removed"},
	} {
		from, to := base(), base()
		c.change(&to)
		d := diffBridges(&from, &to)
		if d.restart != c.restart || strings.Join(d.lines, "\n") != c.line {
			t.Errorf("got %+v, want restart %q, line %q", d, c.restart, c.line)
		}
	}
}
