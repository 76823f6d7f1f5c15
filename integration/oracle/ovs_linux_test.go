package oracle

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// ovsSchema is where Debian's openvswitch-switch keeps the database schema.
const ovsSchema = "/usr/share/openvswitch/vswitch.ovsschema"

// ovs is an ovs-vswitchd of our own. Its dummy datapath is the userspace datapath without threads of
// its own: a frame is forwarded by the main loop, and what its ports send goes to a capture file.
type ovs struct {
	ear
	dir   string
	ctl   *unixctl
	ports [numPorts]capture
	setup setup              // how the ports are now
	reset []openflow.Message // what makes it as it was in the beginning
	tool  *oftest.Controller // the second connection
}

// startOVS runs ovsdb-server and ovs-vswitchd until the test ends.
func startOVS(t *testing.T) *ovs {
	t.Helper()
	dir := shortDir(t)
	o := &ovs{dir: dir}
	db, sock := filepath.Join(dir, "conf.db"), filepath.Join(dir, "db.sock")
	o.run(t, "ovsdb-tool", "create", db, ovsSchema)
	o.spawn(t, "ovsdb-server", db, "--remote=punix:"+sock, "--unixctl="+filepath.Join(dir, "db.ctl"))
	waitFor(t, sock)
	o.vsctl(t, "--no-wait", "init")
	o.spawn(t, "ovs-vswitchd", "unix:"+sock, "--enable-dummy=override", "--disable-system",
		"--unixctl="+filepath.Join(dir, "v.ctl"), "-vconsole:off", "-vsyslog:off", "-vfile:err", "--log-file="+filepath.Join(dir, "v.log"))
	t.Cleanup(func() {
		if log, _ := os.ReadFile(filepath.Join(dir, "v.log")); t.Failed() && len(log) > 0 {
			t.Logf("ovs-vswitchd said:\n%s", log[max(0, len(log)-4000):])
		}
	})
	o.configure(t)
	return o
}

// configure makes bridge br0 with its ports and connects it to the test. vlan-limit=0 lets Open vSwitch read as many
// tags as it can (two); it looks at one by default.
func (o *ovs) configure(t *testing.T) {
	t.Helper()
	l, err := oftest.Listen("unix", filepath.Join(o.dir, "controller"), oftest.Config{OnMessage: o.hear, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	args := []string{"set", "Open_vSwitch", ".", "other_config:vlan-limit=0", "--",
		"add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail-mode=secure", "protocols=OpenFlow10,OpenFlow13",
		fmt.Sprintf("other-config:mac-aging-time=%d", int(macAge.Seconds())),
		"other-config:hwaddr=02:00:00:00:ff:00", "other-config:datapath-id=0000000000000001"}
	for i := range o.ports {
		p := portName(i + 1)
		args = append(args, "--", "add-port", "br0", p, "--", "set", "interface", p, "type=dummy",
			fmt.Sprintf("ofport_request=%d", i+1), "options:tx_pcap="+filepath.Join(o.dir, p))
	}
	o.vsctl(t, args...)
	for i := range o.ports {
		if err := o.ports[i].open(filepath.Join(o.dir, portName(i+1))); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { o.ports[i].f.Close() })
	}
	if o.ctl, err = dialUnixctl(filepath.Join(o.dir, "v.ctl")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.ctl.c.Close() })
	o.vsctl(t, "set-controller", "br0", "unix:"+filepath.Join(o.dir, "controller"), "--", "set", "controller", "br0",
		"connection-mode=out-of-band", "inactivity_probe=0")
	if o.c, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.c.Close() })
	if err := want(o.c); err != nil {
		t.Fatal(err)
	}
	all, err := o.c.Ports()
	if err != nil {
		t.Fatal(err)
	}
	o.reset = append(forgetAll(), &openflow.TableMod{TableID: openflow.TableAll})
	for _, p := range all {
		o.reset = append(o.reset, &openflow.PortMod{Port: p.No, HWAddr: p.HWAddr, Mask: openflow.PortConfigAll})
	}
	for _, cmd := range [][]string{{"vlog/disable-rate-limit"}, {"time/stop"}} {
		if _, err := o.ctl.call(cmd[0], cmd[1:]...); err != nil {
			t.Fatal(err)
		}
	}
}

func portName(n int) string { return fmt.Sprintf("p%d", n) }

func (o *ovs) env() []string {
	return append(os.Environ(), "OVS_RUNDIR="+o.dir, "OVS_DBDIR="+o.dir, "OVS_LOGDIR="+o.dir)
}

func (o *ovs) run(t *testing.T, path string, args ...string) string {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = o.env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", path, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (o *ovs) vsctl(t *testing.T, args ...string) {
	t.Helper()
	o.run(t, "ovs-vsctl", append([]string{"-t", "60", "--db=unix:" + filepath.Join(o.dir, "db.sock")}, args...)...)
}

// spawn starts a daemon in the foreground and ends it with the test.
func (o *ovs) spawn(t *testing.T, path string, args ...string) {
	t.Helper()
	cmd := exec.Command(path, append(args, "--no-chdir")...)
	cmd.Env = o.env()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() && said.Len() > 0 {
			t.Logf("%s said:\n%s", path, said.String())
		}
	})
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s did not appear", path)
}

func (o *ovs) name() string { return "ovs" }

// begin empties the bridge for the next life.
func (o *ovs) begin(l *life) error {
	if err := o.configurePorts(&l.ports); err != nil {
		return err
	}
	if err := o.c.Apply(o.reset...); err != nil {
		return err
	}
	if err := o.settle(); err != nil {
		return err
	}
	if _, err := o.ctl.call("fdb/flush", "br0"); err != nil {
		return err
	}
	if err := o.purge(); err != nil {
		return err
	}
	o.take()
	_, err := o.outputs()
	return err
}

// purge forgets the cached paths of frames: entries get the counts that are still outstanding, and
// the next frame meets the tables as they are.
func (o *ovs) purge() error {
	_, err := o.ctl.call("revalidator/purge")
	return err
}

func (o *ovs) send(port int, frame []byte) error {
	if _, err := o.ctl.call("netdev-dummy/receive", portName(port), hex.EncodeToString(frame)); err != nil {
		return err
	}
	// The main loop reads ports before controllers: when it answers, the frame is through.
	if err := o.c.Barrier(); err != nil {
		return err
	}
	return o.purge()
}

// sendAll hands over a port's frames together; the ports follow each other at once. The main loop takes one frame of
// each port a round, so their counters say when all are in.
func (o *ovs) sendAll(frames [numPorts][][]byte) error {
	want, err := o.received()
	if err != nil {
		return err
	}
	for i, list := range frames {
		if len(list) == 0 {
			continue
		}
		want += uint64(len(list))
		if _, err := o.ctl.call("netdev-dummy/receive", append([]string{portName(i + 1)}, hexes(list)...)...); err != nil {
			return err
		}
	}
	for end := time.Now().Add(patience); ; {
		switch n, err := o.received(); {
		case err != nil:
			return err
		case n >= want:
			return o.purge()
		case time.Now().After(end):
			return fmt.Errorf("%d of %d frames were not read", want-n, want)
		}
	}
}

// received is how many frames have come in by all ports.
func (o *ovs) received() (n uint64, err error) {
	list, err := oftest.Records[*openflow.PortStats](o.c, openflow.MultipartPortStats, &openflow.PortStatsRequest{Port: openflow.PortAny})
	for _, s := range list {
		if s.Port <= numPorts {
			n += s.RxPackets
		}
	}
	return n, err
}

// other is a connection to the bridge's service socket.
func (o *ovs) other() (_ *oftest.Controller, err error) {
	if o.tool == nil {
		o.tool, err = oftest.Dial("unix", filepath.Join(o.dir, "br0.mgmt"), oftest.Config{OnMessage: o.hearErrors, Timeout: patience})
	}
	return o.tool, err
}

// calm lets the main loop come round after a message. Several messages may meet the same round, the barrier of the
// next among them, but not the answer of two servers.
func (o *ovs) calm() error {
	if err := o.purge(); err != nil {
		return err
	}
	if err := o.c.Barrier(); err != nil {
		return err
	}
	return o.purge()
}

// wait lets the stopped clock run in steps, so that expiry has its turn after each; the last is a small one.
func (o *ovs) wait(d time.Duration) error {
	for _, ms := range []int64{d.Milliseconds() - 1, 1} {
		if _, err := o.ctl.call("time/warp", fmt.Sprint(ms), "3000"); err != nil {
			return err
		}
		if err := o.c.Barrier(); err != nil {
			return err
		}
	}
	return o.settle()
}

// settle waits for the FLOW_REMOVEDs of entries that are gone. Open vSwitch sends them later, from
// another thread, when nothing refers to an entry any more: so one more entry is made and deleted, and
// its message awaited. Twice, since the first may overtake an entry that was just being looked at.
func (o *ovs) settle() error {
	for range 2 {
		add := oftest.AddFlow(markerTable, 1, openflow.Match{})
		add.Flags = openflow.FlowSendRemoved
		gone := oftest.DeleteFlows(openflow.Match{})
		gone.TableID = markerTable
		if err := o.c.Apply(add, gone); err != nil {
			return err
		}
		if _, err := oftest.Expect(o.c, func(m *openflow.FlowRemoved) bool { return m.TableID == markerTable }); err != nil {
			return err
		}
	}
	return nil
}

func (o *ovs) outputs() (out [numPorts][]string, err error) {
	for i := range o.ports {
		if out[i], err = o.ports[i].next(); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (o *ovs) rundir() string { return o.dir }

func (o *ovs) close() error {
	if o.tool == nil {
		return nil
	}
	return o.tool.Close()
}

// unixctl speaks JSON-RPC with a daemon, as ovs-appctl does.
type unixctl struct {
	c   net.Conn
	dec *json.Decoder
	id  int
}

func dialUnixctl(path string) (*unixctl, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return &unixctl{c: c, dec: json.NewDecoder(c)}, nil
}

func (u *unixctl) call(method string, args ...string) (string, error) {
	if args == nil {
		args = []string{}
	}
	u.id++
	req, err := json.Marshal(map[string]any{"id": u.id, "method": method, "params": args})
	if err != nil {
		return "", err
	}
	if err := u.c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := u.c.Write(req); err != nil {
		return "", fmt.Errorf("%s: %w", method, err)
	}
	var reply struct {
		ID     int     `json:"id"`
		Error  *string `json:"error"`
		Result *string `json:"result"`
	}
	if err := u.dec.Decode(&reply); err != nil {
		return "", fmt.Errorf("%s: %w", method, err)
	}
	if reply.ID != u.id {
		return "", fmt.Errorf("%s: answer %d to request %d", method, reply.ID, u.id)
	}
	if reply.Error != nil {
		return "", fmt.Errorf("%s %v: %s", method, args, *reply.Error)
	}
	if reply.Result == nil {
		return "", nil
	}
	return *reply.Result, nil
}

// capture reads on in a pcap file that ovs-vswitchd writes, whole records at a time.
type capture struct{ f *os.File }

func (c *capture) open(path string) (err error) {
	if c.f, err = os.Open(path); err != nil {
		return err
	}
	_, err = io.ReadFull(c.f, make([]byte, 24))
	return err
}

// next gives the frames written since the last call, in hex.
func (c *capture) next() (frames []string, err error) {
	all, err := io.ReadAll(c.f)
	if err != nil {
		return nil, err
	}
	for len(all) > 0 {
		if len(all) < 16 {
			return nil, fmt.Errorf("%s: half a record", c.f.Name())
		}
		n := int(binary.NativeEndian.Uint32(all[8:]))
		if len(all) < 16+n {
			return nil, fmt.Errorf("%s: half a frame", c.f.Name())
		}
		frames = append(frames, hex.EncodeToString(all[16:16+n]))
		all = all[16+n:]
	}
	return frames, nil
}
