//go:build unix

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// asWeir in the environment makes the test binary be weir: the tests run real processes.
const asWeir = "WEIR_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asWeir) != "" {
		main()
	}
	os.Exit(m.Run())
}

// patience is for what should not happen: no passing test waits it out.
const patience = time.Minute

// shell runs weir commands in a folder of their own, as a user without any right would.
type shell struct {
	t   *testing.T
	dir string // short, for sockets; also the working directory
	run string // the run directory
}

func newShell(t *testing.T) *shell {
	dir, err := os.MkdirTemp("", "weir")
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t, dir: dir, run: filepath.Join(dir, "r")}
	t.Cleanup(func() {
		_, _, _ = s.weir("stop", "--wait")
		left, _ := os.ReadDir(s.run)
		for _, e := range left {
			t.Errorf("left in the run directory: %s", e.Name())
		}
		os.RemoveAll(dir)
	})
	return s
}

func (s *shell) command(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), asWeir+"=1", "OVS_RUNDIR="+s.run,
		"GORACE=atexit_sleep_ms=0") // a race detector waits a second at each end otherwise
	return cmd
}

// weir runs a command to its end.
func (s *shell) weir(args ...string) (out, errs string, code int) {
	s.t.Helper()
	var o, e bytes.Buffer
	cmd := s.command(args...)
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// ok runs a command that must do its work without a complaint.
func (s *shell) ok(args ...string) string {
	s.t.Helper()
	out, errs, code := s.weir(args...)
	if code != 0 || errs != "" && errs != withoutLog {
		s.t.Fatalf("weir %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// fails runs a command that must not work, and compares what it says.
func (s *shell) fails(code int, want string, args ...string) {
	s.t.Helper()
	out, errs, got := s.weir(args...)
	if got != code || !strings.Contains(errs, want) {
		s.t.Errorf("weir %s: exit %d, want %d\n%s%swant %s", strings.Join(args, " "), got, code, out, errs, want)
	}
}

func (s *shell) write(name, text string) string {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// station is what stands at the other end of a wire:unixgram port.
type station struct {
	t    *testing.T
	conn *net.UnixConn
	spec string
	peer *net.UnixAddr
}

// station makes the far end of a wire and the text of the port.
func (s *shell) station(name string) *station {
	s.t.Helper()
	far, near := filepath.Join(s.dir, name+"-far"), filepath.Join(s.dir, name)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: far, Net: "unixgram"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return &station{s.t, c, fmt.Sprintf("wire:unixgram,local=%s,remote=%s,name=%s", near, far, name),
		&net.UnixAddr{Name: near, Net: "unixgram"}}
}

// frame is an Ethernet frame between two stations, of a type that means nothing.
func frame(dst, src byte) []byte {
	f := []byte{2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 0x88, 0xb5}
	if dst == 0xff {
		copy(f, bytes.Repeat([]byte{0xff}, 6))
	}
	return append(f, make([]byte, 46)...)
}

func (st *station) send(f []byte) {
	st.t.Helper()
	if _, err := st.conn.WriteToUnix(f, st.peer); err != nil {
		st.t.Fatal(err)
	}
}

func (st *station) expect(f []byte) {
	st.t.Helper()
	got := make([]byte, 2000)
	if err := st.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		st.t.Fatal(err)
	}
	n, _, err := st.conn.ReadFromUnix(got)
	if err != nil || !bytes.Equal(got[:n], f) {
		st.t.Fatalf("got %x, %v\nwant %x", got[:n], err, f)
	}
}

// addMeter gives a bridge meter 7, as a controller would.
func (s *shell) addMeter(bridge string) {
	s.t.Helper()
	c, err := oftest.Dial("unix", filepath.Join(s.run, bridge+".mgmt"), oftest.Config{Timeout: patience})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Apply(&openflow.MeterMod{Meter: 7, Flags: openflow.MeterKbps, Bands: []openflow.Band{{Type: openflow.BandDrop, Rate: 5}}}); err != nil {
		s.t.Fatal(err)
	}
}

// TestDayOfASwitch starts a detached switch and uses every client command on it.
func TestDayOfASwitch(t *testing.T) {
	s := newShell(t)
	a, b, c := s.station("a"), s.station("b"), s.station("c")
	if out := s.ok("run", "--name", "br0", "--dpid", "1", "--port", "1:"+a.spec, "--port", "2:"+b.spec, "--detach", "--wait-ready", "60s"); out != "" {
		t.Errorf("a detached start printed %q", out)
	}
	a.send(frame(0xff, 1))
	b.expect(frame(0xff, 1))
	b.send(frame(1, 2))
	a.expect(frame(1, 2))

	if out := s.ok("status", "br0"); !strings.HasPrefix(out, "br0: datapath 0000000000000001, standalone (forwarding on its own), up ") ||
		!strings.Contains(out, "  ports 2, flows 1 in 254 tables, learned addresses 2, packet-ins 0 (0 dropped)\n") {
		t.Error(out)
	}
	if out := s.ok("flows", "br0"); !regexp.MustCompile(`^TABLE  PRIORITY  PACKETS  BYTES +AGE  COOKIE  OPTIONS  MATCH  ACTIONS\n +0 +0 +2 +120B +[0-9a-z.]+  0x0 +- +any +NORMAL\n$`).MatchString(out) {
		t.Error(out)
	}
	s.addMeter("br0")
	if out := s.ok("meters", "br0"); !strings.Contains(spaced(out), " 7 all - - 0 0B 0 ") || !strings.HasSuffix(spaced(out), " 7 drop 5kbit/s - 0 0B - -") {
		t.Error(out)
	}
	fdb := strings.Split(s.ok("fdb", "show"), "\n")
	if len(fdb) != 4 || strings.Fields(fdb[0])[3] != "MAC" || strings.Join(strings.Fields(fdb[1])[:4], " ") != "1 a 0 02:00:00:00:00:01" {
		t.Errorf("%q", fdb)
	}
	ports := s.ok("ports", "br0")
	if !strings.Contains(ports, "PORT  NAME  KIND  LINK") || !strings.Contains(spaced(ports), " 2 b wire up 1500 - 1 60B 0 1 60B 0 -") || !strings.Contains(ports, "DROP REASONS") {
		t.Error(ports)
	}
	if out := s.ok("show"); !strings.HasPrefix(out, "br0: datapath 0000000000000001, ") || !strings.HasSuffix(out, ports) {
		t.Error(out)
	}

	if out := s.ok("port", "add", "br0", "5:"+c.spec+",tag=7"); out != "port c has the number 5\n" {
		t.Error(out)
	}
	s.fails(1, `port "c"`, "port", "add", "br0", "6:"+c.spec)
	s.fails(2, "a port number is 1 to 65279", "port", "add", "br0", "0:eth1")
	for _, before := range []string{"port del br0", "capture br0", "ofctl mod-port br0", "fdb flush br0 --port"} {
		if out := s.ok(append(append([]string{"completion", "words"}, strings.Fields(before)...), "")...); out != "a\nb\nc\n" {
			t.Errorf("behind %s the shell offers %q", before, out)
		}
	}
	s.ok("port", "del", "br0", "5")
	s.fails(1, `has no port "c"`, "port", "del", "br0", "c")

	if out := s.ok("fdb", "flush", "br0", "--port", "a"); out != "addresses forgotten: 1\n" {
		t.Error(out)
	}
	var flushed agent.Flushed
	decode(t, s.ok("fdb", "flush", "br0", "--json"), &flushed)
	if flushed.Addresses != 1 {
		t.Errorf("%+v", flushed)
	}
	s.ok("--rundir", s.run, "stop", "br0", "--wait")
	s.fails(1, "bridge br0 is not running in "+s.run, "status", "br0")
	s.fails(1, "no bridge runs in "+s.run, "status")
	for _, name := range []string{"a", "b", "r/br0.mgmt", "r/br0.ctl", "r"} {
		if _, err := os.Lstat(filepath.Join(s.dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
}

// spaced is a text with one space wherever there are some, or an end of line.
func spaced(text string) string { return strings.Join(strings.Fields(text), " ") }

func decode(t *testing.T, text string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

func TestJSON(t *testing.T) {
	s := newShell(t)
	a := s.station("a")
	s.ok("run", "--port", "1:"+a.spec, "--detach")
	var status []agent.BridgeStatus
	decode(t, s.ok("status", "--json"), &status)
	if len(status) != 1 || status[0].Name != "br0" || status[0].Process.PID == 0 || status[0].Process.RunDir != s.run {
		t.Errorf("%+v", status)
	}
	var ports []agent.PortStatus
	decode(t, s.ok("ports", "br0", "--json"), &ports)
	var flows []agent.FlowStatus
	decode(t, s.ok("flows", "br0", "--json", "--table", "0"), &flows)
	var macs []agent.MACStatus
	decode(t, s.ok("fdb", "show", "br0", "--json"), &macs)
	var groups []agent.GroupStatus
	decode(t, s.ok("groups", "br0", "--json"), &groups)
	if out := s.ok("groups", "br0"); groups == nil || len(groups) != 0 || !strings.HasPrefix(out, "GROUP  TYPE ") || strings.Count(out, "\n") != 1 {
		t.Errorf("groups %v, %q", groups, out)
	}
	if len(ports) != 1 || len(flows) != 1 || macs == nil || len(macs) != 0 {
		t.Errorf("%d ports, %d flows, addresses %v", len(ports), len(flows), macs)
	}
}

// TestTrace follows a frame in all ways in which it can be given.
func TestTrace(t *testing.T) {
	s := newShell(t)
	a, b := s.station("a"), s.station("b")
	s.ok("run", "--port", "1:"+a.spec, "--port", "2:"+b.spec, "--detach", "--wait-ready", "60s")
	want := "\nverdict     port 2 (b)\n"
	out := s.ok("trace", "br0", "in_port=a,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02")
	if !strings.Contains(out, "\ntable 0     priority=0\n") || !strings.Contains(out, "02:00:00:00:00:02 is not known: flooded\n") || !strings.HasSuffix(out, want) {
		t.Error(out)
	}
	if out := s.ok("trace", "br0", "--in-port", "a", "--hex", fmt.Sprintf("% x", frame(2, 1))); !strings.HasSuffix(out, want) {
		t.Error(out)
	}
	file := s.write("two.pcap", capture(frame(2, 1), frame(0xff, 1)))
	if out := s.ok("trace", "br0", "--in-port", "1", "--pcap", file); strings.Count(out, want) != 2 || !strings.Contains(out, "two.pcap, frame 2\n") {
		t.Error(out)
	}
	var list []agent.TraceStatus
	decode(t, s.ok("trace", "br0", "--in-port", "1", "--pcap", file, "--json"), &list)
	if len(list) != 2 || list[1].Outputs[0].Frame != fmt.Sprintf("%x", frame(0xff, 1)) || list[0].Verdict != "port 2 (b)" {
		t.Errorf("%+v", list)
	}
	if out := s.ok("fdb", "show"); strings.Contains(out, "02:00") {
		t.Errorf("tracing taught the switch:\n%s", out)
	}
	if out := s.ok("trace", "br0", "--in-port", "1", "--hex", fmt.Sprintf("%x", frame(2, 1)), "--send"); !strings.HasSuffix(out, want+"            the frame was sent\n") {
		t.Error(out)
	}
	b.expect(frame(2, 1)) // and nothing before it
	if out := s.ok("fdb", "show"); !strings.Contains(out, "02:00:00:00:00:01") {
		t.Error(out)
	}

	if out := s.ok("trace", "br0", "in_port=a,tcp", "--length", "1515"); !strings.HasSuffix(out, "an MTU of 1500 (a VLAN tag does not count; a second one does on a packet socket)\nverdict     lost at port 2 (b): too-big\n") {
		t.Error(out)
	}
	if out := s.ok("trace", "br0", "in_port=a,tcp", "--length", "4000", "--segment", "1400"); !strings.HasSuffix(out, "the port takes no super-frames\nverdict     port 2 (b) in 3 frames\n") {
		t.Error(out)
	}
	s.fails(1, "only a TCP or UDP packet can be cut into segments", "trace", "br0", "in_port=a,arp", "--segment", "1400")
	s.fails(1, "expected less than the packet's 6 bytes of data", "trace", "br0", "in_port=a,tcp", "--length", "60", "--segment", "6")
	s.fails(1, "a length is for the frame that a flow describes", "trace", "br0", "--in-port", "1", "--hex", "02", "--length", "60")
	s.fails(1, "a frame of 70000 bytes: expected at most 65535", "trace", "br0", "in_port=a,tcp", "--length", "70000")
	s.fails(2, "which frame? Expected one of FLOW, --hex BYTES and --pcap FILE", "trace", "br0")
	s.fails(2, "which frame?", "trace", "br0", "in_port=1", "--hex", "02")
	s.fails(2, "'z' is no hexadecimal digit", "trace", "br0", "--hex", "02z0")
	s.fails(2, "3 digits make no whole number of bytes", "trace", "br0", "--hex", "020")
	s.fails(1, `did you mean "tp_dst"?`, "trace", "br0", "in_port=1,tcp,tpdst=80")
	s.fails(1, `has no port "c"; it has a, b`, "trace", "br0", "--in-port", "c", "--hex", "02")
	s.fails(1, "no.pcap: no such file", "trace", "br0", "--in-port", "1", "--pcap", "no.pcap")
	s.fails(1, "expected a pcap or pcapng file", "trace", "br0", "--in-port", "1", "--pcap", s.write("bad.pcap", "no capture at all, but long enough"))
	s.fails(1, "there is no frame in it", "trace", "br0", "--in-port", "1", "--pcap", s.write("empty.pcap", capture()))
	s.ok("stop", "--wait")
}

// capture is a pcap file.
func capture(frames ...[]byte) string {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = le.AppendUint32(le.AppendUint32(b, 65535), 1)
	for _, f := range frames {
		b = append(b, make([]byte, 8)...)
		b = le.AppendUint32(le.AppendUint32(b, uint32(len(f))), uint32(len(f)))
		b = append(b, f...)
	}
	return string(b)
}

// TestDetachTellsWhy: what stops a detached start is told by the command that was typed.
func TestDetachTellsWhy(t *testing.T) {
	s := newShell(t)
	a := s.station("a")
	s.fails(1, "no such file or directory", "run", "--port", "1:wire:unixgram,local=/nowhere/a,remote=/nowhere/b", "--detach")
	s.fails(1, "not ready in time: bridge br0: port x (", "run", "--port", "1:wire:unix,connect="+s.dir+"/x.sock", "--detach", "--wait-ready", "100ms")
	s.fails(2, "a port number is 1 to 65279", "run", "--port", "0:eth1", "--detach")
	if names := agent.Running(s.run); len(names) != 0 {
		t.Errorf("%v run after failed starts", names)
	}
	s.ok("run", "--port", "1:"+a.spec, "--detach", "--wait-ready=60s")
	s.fails(1, "bridge br0 is running already", "run", "--name", "br0", "--detach")
	s.fails(1, "bridge br0 is running already", "run", "--name", "br0")
	a.send(frame(0xff, 1)) // the owner was not disturbed
	s.ok("stop", "--wait")
}

// TestMissingFiles: check and run name what cannot be read.
func TestMissingFiles(t *testing.T) {
	s := newShell(t)
	files := []string{"--private-key", "/nope/key.pem", "--certificate", "/nope/cert.pem", "--ca-cert", "/nope/ca.pem"}
	file := s.write("tls.yaml", "bridges:\n- name: br0\n  listen: [\"pssl:0:127.0.0.1\"]\n  tls: {private-key: /nope/key.pem, certificate: /nope/cert.pem, ca-cert: /nope/ca.pem}\n")
	_, errs, code := s.weir("check", file)
	if want := "weir: warning: bridge br0: tls.private-key: /nope/key.pem cannot be read: no such file or directory; encrypted connections fail until it can\n"; code != 0 ||
		!strings.HasPrefix(errs, want) || strings.Count(errs, "warning") != 3 {
		t.Errorf("%d, %s", code, errs)
	}
	_, errs, code = s.weir(append([]string{"run", "--name", "br0", "--controller", "ssl:127.0.0.1:1", "--detach"}, files...)...)
	if code != 0 || strings.Count(errs, "warning: bridge br0: tls.") != 3 {
		t.Errorf("%d, %s", code, errs)
	}
	s.fails(2, "--private-key /nope/key.pem: private-key and certificate belong together", "run", "--name", "br1", "--private-key", "/nope/key.pem")
	s.fails(1, "bridge br0: port in: the capture /nope/in.pcap cannot be read: no such file or directory",
		"check", s.write("pcap.yaml", "bridges:\n- name: br0\n  ports: [\"1:pcap:/nope/in.pcap\"]\n"))
	s.fails(1, "the capture /nope/in.pcap cannot be read", "run", "--name", "br1", "--port", "1:pcap:/nope/in.pcap")
}

// TestReferenceIsRight: check has nothing against the file that explains every key, wherever it is asked.
func TestReferenceIsRight(t *testing.T) {
	file, err := filepath.Abs("../../../examples/config/weir.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out, errs, code := newShell(t).weir("check", file)
	if want := file + " is right: 2 bridges, "; code != 0 || !strings.HasPrefix(out, want) || strings.Count(errs, "\n") != strings.Count(errs, "warning: bridge br0: tls.")+strings.Count(errs, "weir: note: bridge br") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

// TestKillAndStartAgain: kill -9 leaves sockets; the next start takes their place.
func TestKillAndStartAgain(t *testing.T) {
	s := newShell(t)
	a, b := s.station("a"), s.station("b")
	start := func() int {
		s.ok("run", "--port", "1:"+a.spec, "--port", "2:"+b.spec, "--detach", "--wait-ready", "60s")
		var status []agent.BridgeStatus
		decode(t, s.ok("status", "--json"), &status)
		return status[0].Process.PID
	}
	for range 2 {
		pid := start()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.until("it does not answer after SIGKILL", func() bool { return len(agent.Running(s.run)) == 0 })
		if _, err := os.Lstat(filepath.Join(s.run, "br0.ctl")); err != nil {
			t.Fatalf("nothing stale to test with: %v", err)
		}
		s.fails(1, "is not running", "status", "br0")
		s.fails(1, "br0 is not running: nobody answers at "+filepath.Join(s.run, "br0.mgmt"), "ofctl", "dump-flows", "br0")
	}
	start()
	a.send(frame(0xff, 1))
	b.expect(frame(0xff, 1))
	s.ok("stop", "--wait")
}

// TestSignals: SIGTERM and SIGINT end an orderly process with exit code 0, SIGHUP reads the file.
func TestSignals(t *testing.T) {
	s := newShell(t)
	a, b := s.station("a"), s.station("b")
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		file := s.write("w.yaml", "bridges: [{name: br0, ports: [{port: \"1:"+a.spec+"\"}]}]\n")
		var log bytes.Buffer
		cmd := s.command("run", "-c", file)
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		s.until("br0 runs", func() bool { return len(agent.Running(s.run)) == 1 })
		s.write("w.yaml", "bridges: [{name: br0, ports: [{port: \"1:"+a.spec+"\"}, {port: \"2:"+b.spec+"\"}]}]\n")
		s.signal(cmd, syscall.SIGHUP)
		s.until("port b is there", func() bool { out, _, _ := s.weir("ports", "br0"); return strings.Contains(out, " b ") })
		s.write("w.yaml", "bridges: [{name: br0, colour: red}]\n")
		s.signal(cmd, syscall.SIGHUP)
		s.signal(cmd, sig)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v\n%s", sig, err, &log)
		}
		if _, err := os.Lstat(s.run); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v leaves the run directory: %v", sig, err)
		}
	}
}

func (s *shell) signal(cmd *exec.Cmd, sig os.Signal) {
	s.t.Helper()
	if err := cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
	if sig == syscall.SIGHUP {
		time.Sleep(50 * time.Millisecond) // let it be taken before the next signal of the test
	}
}

func (s *shell) until(what string, done func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("never: %s", what)
		}
	}
}

// TestTwoBridges: a frame goes through two bridges of one process by their patch; each has its own
// commands, and reload applies a file or refuses it.
func TestTwoBridges(t *testing.T) {
	s := newShell(t)
	a, b := s.station("a"), s.station("b")
	config := func(left, right string) string {
		return s.write("w.yaml", "bridges:\n- name: left\n  ports: [{port: \""+a.spec+"\"}, \"9:patch:lr,peer=rl\""+left+"]\n"+
			"- name: right\n  ports: [{port: \""+b.spec+"\"}, \"9:patch:rl,peer=lr\""+right+"]\n")
	}
	file := config("", "")
	if out := s.ok("check", "-c", file); out != file+" is right: 2 bridges, 4 ports\n" {
		t.Error(out)
	}
	s.ok("run", "-c", "w.yaml", "--detach", "--wait-ready", "60s")
	a.send(frame(0xff, 1))
	b.expect(frame(0xff, 1))
	if out := s.ok("check", file); out != file+" is right: 2 bridges, 4 ports\n" {
		t.Error(out)
	}
	s.fails(2, "expected \"weir check [-c] FILE\"", "check", "-c", file, file)
	if out := s.ok("fdb", "right"); !strings.Contains(out, "   9  rl       0  02:00:00:00:00:01") {
		t.Error(out)
	}
	s.fails(2, "which bridge? There are left, right", "flows")
	if out := s.ok("status"); !strings.Contains(out, "left: datapath ") || !strings.Contains(out, "right: datapath ") {
		t.Error(out)
	}

	c := s.station("c")
	if out := s.ok("reload"); out != "nothing to change\n" {
		t.Error(out)
	}
	config("", ", \"5:"+c.spec+"\"")
	if out := s.ok("reload", "left"); out != "nothing to change\n" {
		t.Error(out)
	}
	if out := s.ok("reload"); out != "bridge right: port c added\n" {
		t.Error(out)
	}
	a.send(frame(0xff, 1))
	c.expect(frame(0xff, 1))
	b.expect(frame(0xff, 1))
	config(", \"9:patch:x,peer=lr\"", "")
	s.fails(1, "w.yaml:3: bridges[0].ports[2]: the port number 9 is that of the port in line 3: choose another", "reload")
	s.fails(1, "no such file", "reload", "-c", "gone.yaml")
	if out := s.ok("ports", "right"); !strings.Contains(out, " c ") {
		t.Errorf("a bad file changed the ports:\n%s", out)
	}
	s.ok("stop", "left", "--wait")
	if out := s.ok("status"); strings.Contains(out, "left:") || !strings.Contains(out, "right:") {
		t.Error(out)
	}
	s.ok("stop", "--wait")
}

// TestTwoProcesses share a run directory.
func TestTwoProcesses(t *testing.T) {
	s := newShell(t)
	a, b := s.station("a"), s.station("b")
	s.ok("run", "--name", "s1", "--port", a.spec, "--detach", "--wait-ready", "60s")
	s.ok("run", "--name", "s2", "--port", b.spec, "--detach", "--wait-ready", "60s")
	file := s.write("w.yaml", "bridges: [{name: s2}]\n")
	s.fails(2, "name its bridge with \"weir reload BRIDGE -c FILE\"", "reload", "-c", file)
	s.fails(1, "this process was started by flags: name the file to apply with -c FILE", "reload", "s1")
	if out := s.ok("reload", "s2", "-c", file); out != "bridge s2: port b removed\n" {
		t.Error(out)
	}
	s.ok("stop", "s1", "--wait")
	if names := agent.Running(s.run); strings.Join(names, " ") != "s2" {
		t.Errorf("%v run", names)
	}
	s.ok("stop", "s2") // without --wait: accepted at once
	s.until("s2 has gone", func() bool { return len(agent.Running(s.run)) == 0 })
}

// TestConnected is what Mininet polls.
func TestConnected(t *testing.T) {
	s := newShell(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if out, errs, code := s.weir("status", "s1", "--connected"); code != 1 || out != "" || !strings.Contains(errs, "bridge s1 is not running in ") {
		t.Errorf("nothing runs: exit %d, %q", code, out+errs)
	}
	s.ok("run", "--name", "s1", "--controller", "tcp:"+l.Addr().String(), "--max-backoff", "1s", "--fail-mode", "secure",
		"--protocols", "OpenFlow13", "--detach", "--wait-ready", "60s")
	if out, errs, code := s.weir("status", "s1", "--connected"); code != 1 || out+errs != "" {
		t.Errorf("nobody has shaken hands: exit %d, %q", code, out+errs)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var status []agent.BridgeStatus
	decode(t, s.ok("status", "s1", "--json"), &status)
	if status[0].TableMiss != "none" {
		t.Errorf("a secure bridge tells of the table-miss entry %q", status[0].TableMiss)
	}
	if _, err := c.Write([]byte{4, 0, 0, 8, 0, 0, 0, 1, 4, 5, 0, 8, 0, 0, 0, 2}); err != nil { // HELLO, FEATURES_REQUEST
		t.Fatal(err)
	}
	s.until("s1 is connected", func() bool { _, _, code := s.weir("--rundir", s.run, "status", "s1", "--connected"); return code == 0 })
	s.ok("stop", "s1", "--wait")
	s.ok("run", "--name", "s1", "--detach") // standalone: nobody is needed
	s.ok("status", "s1", "--connected")
}

func TestUsage(t *testing.T) {
	s := newShell(t)
	for _, c := range []struct{ args, want string }{
		{"", "which command?"},
		{"stats", `there is no command "stats", did you mean "status"?`},
		{"frobnicate", `there is no command "frobnicate"`},
		{"port", `expected "weir port add" or "weir port del"`},
		{"fdb flsh", `there is no command "fdb flsh", did you mean "fdb flush"?`},
		{"port add br0", `expected "weir port add BRIDGE [NUM:]SPEC"`},
		{"run --prot 1:eth1", "unknown flag --prot, did you mean --port?"},
		{"run --colour red", "unknown flag --colour"},
		{"run --port", "flag needs an argument: --port"},
		{"run --wait-ready soon", `invalid value "soon" for --wait-ready`},
		{"run --fail-mode=secur", `--fail-mode secur: "secur" is not known, did you mean "secure"? (expected standalone or secure)`},
		{"--json status", "--json cannot stand before the command: only --rundir DIR can"},
		{"--rundir", "--rundir needs a folder"},
		{"check", `expected "weir check [-c] FILE"`},
		{"flows br0 --table 300", `invalid value "300" for --table: expected the number of a table, 0 to 254`},
		{"flows br0 --table x", `invalid value "x" for --table: expected the number of a table, 0 to 254`},
		{"flows --watch=soon", `invalid value "soon" for --watch: expected a time such as 2s or 500ms, or a number of seconds, at least 100ms`},
		{"ports br0 --watch 1ms", "expected a time such as 2s or 500ms, or a number of seconds, at least 100ms"},
		{"ports br0 --watch 2x", `invalid value "2x" for --watch: expected a time`},
		{"stat", `there is no command "stat", did you mean "status"?`},
		{"ports br0 -c 5", "-c COUNT needs --watch"},
		{"status --watch --connected", "--connected and --watch: choose one"},
		{"run", "expected a bridge: name a file with -c FILE"},
		{"run --detach --log-level debug", `as in "weir run --name br0 --port eth1 --port eth2"`},
		{"help fdb nothing", `there is no command "fdb nothing"`},
		{"help nothing", `there is no command "nothing"`},
	} {
		s.fails(2, c.want, strings.Fields(c.args)...)
	}
	s.fails(1, "nowhere.yaml: cannot be read: no such file or directory", "check", "-c", "nowhere.yaml")
	bad := s.write("bad.yaml", "bridges: [{name: br0, tables: 0}]\n---\n")
	s.fails(1, "bad.yaml:2: a second YAML document begins here", "check", "-c", bad)
	s.fails(1, "bad.yaml:2: a second YAML document begins here", "run", "-c", bad, "--detach")
	s.fails(1, "cannot be mixed with a file", "run", "-c", bad, "--port", "eth1")
}

// TestHelp: each command tells its arguments, an example that begins with it, and its flags.
func TestHelp(t *testing.T) {
	s := newShell(t)
	overview := s.ok("help")
	if s.ok("--help") != overview {
		t.Error("help and --help differ")
	}
	for _, c := range commands() {
		if !strings.Contains(overview, "weir "+c.name()+" ") {
			t.Errorf("%s is not in the overview", c.name())
		}
		out := s.ok(append(strings.Fields(c.name()), "--help")...)
		for _, want := range []string{"weir " + c.name() + " " + c.args, "Example:\n  weir " + c.name(), "--rundir DIR"} {
			if !strings.Contains(out, want) {
				t.Errorf("the help of %s lacks %q:\n%s", c.name(), want, out)
			}
		}
		if s.ok(append([]string{"help"}, c.words...)...) != out {
			t.Errorf("help %s and %s --help differ", c.name(), c.name())
		}
	}
	out := s.ok("run", "--help")
	if !strings.Contains(out, "--controller TARGET") || strings.Contains(out, "ready-fd") || !strings.Contains(out, "before them.\n") {
		t.Error(out)
	}
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	new(tool).run(fs)
	fs.VisitAll(func(f *flag.Flag) {
		want := 1
		if f.Usage == "" {
			want = 0
		}
		if n := len(regexp.MustCompile("(?m)^  --?"+f.Name+" ").FindAllString(out, -1)); n != want {
			t.Errorf("help tells of --%s %d times", f.Name, n)
		}
	})
	for name, value := range agent.FlagDefaults() {
		if f := fs.Lookup(name); f == nil || !regexp.MustCompile("(?m)^  --"+name+" .*"+regexp.QuoteMeta("(default "+value+")")+"$").MatchString(out) {
			t.Errorf("help does not tell that %s is %s", name, value)
		}
	}
	if out := s.ok("version"); !strings.HasPrefix(out, "weir ") || !strings.Contains(out, "OpenFlow 1.0 and 1.3") {
		t.Error(out)
	}
}

func TestLogFile(t *testing.T) {
	s := newShell(t)
	s.ok("run", "--name", "br0", "--detach", "--log-file", "w.log", "--log-format", "json", "--wait-ready", "60s")
	s.ok("stop", "--wait")
	text, err := os.ReadFile(filepath.Join(s.dir, "w.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if fields["bridge"] != "br0" {
			t.Errorf("does not name the bridge: %s", line)
		}
	}
}

// TestPortAddFromAnotherFolder: file names are those of who types them, not of the switch.
func TestPortAddFromAnotherFolder(t *testing.T) {
	s := newShell(t)
	s.ok("run", "--name", "br0", "--detach")
	here := t.TempDir()
	cmd := s.command("port", "add", "br0", "pcap:out=record.pcapng")
	cmd.Dir = here
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(here, "record.pcapng")); err != nil {
		t.Error(err)
	}
}

// TestTLSInit: the settings that are printed are those of a switch that starts with them.
func TestTLSInit(t *testing.T) {
	s := newShell(t)
	dir := filepath.Join(s.dir, "tls")
	out := s.ok("tls", "init", dir, "--hosts", "localhost", "--days", "3")
	for _, name := range []string{"ca.pem", "switch-key.pem", "controller.pem"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	config := "bridges:\n- name: br0\n  listen: [\"pssl:0:127.0.0.1\"]\n"
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		config += "  " + line + "\n"
	}
	file := filepath.Join(s.dir, "w.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.ok("run", "-c", file, "--detach", "--wait-ready", "60s")
	if out := s.ok("status"); !strings.Contains(out, "listens on pssl:") {
		t.Error(out)
	}
	var status []agent.BridgeStatus
	decode(t, s.ok("status", "--json"), &status)
	for _, l := range status[0].Listeners {
		if rest, ok := strings.CutPrefix(l, "pssl:"); ok {
			port, _, _ := strings.Cut(rest, ":")
			s.fails(1, "where it wants encryption, write ssl: instead of tcp:", "ofctl", "show", "tcp:127.0.0.1:"+port)
			ca, certificate := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "controller.pem")
			s.fails(1, "certificate "+certificate+" with private-key "+ca+": ", "ofctl", "-p", ca, "-c", certificate, "-C", ca, "show", "ssl:127.0.0.1:"+port)
		}
	}
	s.fails(1, "is there already", "tls", "init", dir)
	s.fails(2, "--days 0", "tls", "init", filepath.Join(s.dir, "x"), "--days", "0")
}

// TestAbsent: who names a device that does not exist is told, wherever the port is shown.
func TestAbsent(t *testing.T) {
	s := newShell(t)
	s.ok("run", "--name", "br0", "--detach", "--log-file", "w.log")
	out, errs, code := s.weir("port", "add", "br0", "7:weirnone9")
	if code != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a port on a device: %s", errs)
		}
		t.Skipf("a port on a device: %s", errs)
	}
	if out != "port weirnone9 has the number 7 (absent)\n" {
		t.Error(out)
	}
	if out := s.ok("ports", "br0"); !strings.Contains(spaced(out), " 7 weirnone9 afpacket absent - - 0 0B 0 0 0B 0 -") ||
		!strings.HasSuffix(out, "\nweirnone9: there is no interface weirnone9; the port starts to work when there is\n") {
		t.Error(out)
	}
	if out := s.ok("status"); !strings.Contains(out, "  ports 1 (1 absent: weir ports br0 tells why), flows ") {
		t.Error(out)
	}
	file := s.write("w.yaml", "bridges:\n- {name: br0, ports: [\"7:weirnone9\", \"8:weirnone8\"]}\n")
	if out := s.ok("reload", "br0", "-c", file); out != "bridge br0: port weirnone8 added (absent: there is no interface weirnone8; the port starts to work when there is)\n" {
		t.Error(out)
	}
	const why = "weirnone9 is absent: there is no interface weirnone9; the port starts to work when there is\n"
	if _, errs, code := s.weir("run", "--name", "br1", "--port", "1:weirnone9", "--detach"); code != 0 || errs != "weir: warning: bridge br1: port "+why+withoutLog {
		t.Errorf("exit %d, %s", code, errs)
	}
	log, err := os.ReadFile(filepath.Join(s.dir, "w.log"))
	if err != nil || !strings.Contains(string(log), "level=warning msg=\"there is no interface weirnone9; the port starts to work when there is") {
		t.Errorf("%s%v", log, err)
	}
}

// TestCallingAgain: a controller that is not there is told with the time of the next attempt.
func TestCallingAgain(t *testing.T) {
	s := newShell(t)
	s.ok("run", "--controller", "unix:"+s.dir+"/none", "--min-backoff", "60s", "--max-backoff", "60s", "--detach")
	s.until("a pause", func() bool {
		out := s.ok("status")
		return strings.Contains(out, "/none: calling again in ") && strings.Contains(out, ", 1 attempt, last error: ")
	})
}
