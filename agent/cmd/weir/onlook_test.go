//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// looker is a weir command that goes on.
type looker struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    bytes.Buffer
	title  string
	errs   chan string // what it said on standard error after its title, at its end
	exited chan error
}

// look starts one and returns when it sees what happens.
func (s *shell) look(args ...string) *looker {
	s.t.Helper()
	l := &looker{t: s.t, cmd: s.command(args...), errs: make(chan string, 1), exited: make(chan error, 1)}
	l.cmd.Stdout = &l.out
	pipe, err := l.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = l.cmd.Process.Kill() })
	r := bufio.NewReader(pipe)
	if l.title, err = r.ReadString('\n'); err != nil || !strings.HasSuffix(l.title, "; Ctrl-C ends it\n") {
		s.t.Fatalf("weir %s: %q, %v", strings.Join(args, " "), l.title, err)
	}
	go func() {
		rest, _ := io.ReadAll(r)
		l.errs <- string(rest)
		l.exited <- l.cmd.Wait()
	}()
	return l
}

// end waits for the end and gives what was printed.
func (l *looker) end(code int, wantErrs string) string {
	l.t.Helper()
	select {
	case errs := <-l.errs:
		<-l.exited
		if got := l.cmd.ProcessState.ExitCode(); got != code || !strings.Contains(errs, wantErrs) {
			l.t.Errorf("%s: exit %d, want %d; %q, want %q", l.cmd.Args[1:], got, code, errs, wantErrs)
		}
	case <-time.After(time.Minute):
		l.t.Fatalf("%s has not ended; it printed\n%s", l.cmd.Args[1:], l.out.String())
	}
	return l.out.String()
}

// matches finds lines, of which each is there once; times are not compared. The order in which the two
// directions of a connection appear is not always the same.
func matches(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.HasPrefix(w, " ") {
			w = `\d\d:\d\d:\d\d\.\d{6} ` + w
		}
		if n := len(regexp.MustCompile("(?m:^"+w+"$)").FindAllString(got, -1)); n != 1 {
			t.Errorf("%d lines are like %s", n, w)
		}
	}
	if t.Failed() {
		t.Log("\n" + got)
	}
}

// inOrder is a list of words, sorted.
func inOrder(words []string) string { slices.Sort(words); return strings.Join(words, " ") }

// snooped are the messages of mistake.
const snooped = "BARRIER_REPLY BARRIER_REQUEST ERROR FEATURES_REPLY FEATURES_REQUEST FLOW_MOD HELLO HELLO"

// mistake sends an entry that leads to its own table, and an ECHO_REQUEST.
func (s *shell) mistake() {
	s.t.Helper()
	c, err := oftest.Dial("unix", filepath.Join(s.run, "br0.mgmt"), oftest.Config{Timeout: patience})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Apply(&openflow.FlowMod{TableID: 3, Priority: 5, BufferID: openflow.NoBuffer, Match: openflow.NewMatch(openflow.Exact(openflow.InPort, 1)),
		Instructions: openflow.NewInstructions(openflow.GotoTable(3))}); err == nil {
		s.t.Error("an entry that leads to its own table was taken")
	}
}

func TestSnoop(t *testing.T) {
	s := newShell(t)
	a := s.station("a")
	s.ok("run", "--name", "br0", "--dpid", "1", "--port", "1:"+a.spec, "--detach", "--wait-ready", "60s")
	text, asJSON, quiet := s.look("snoop", "--all", "-c", "8"), s.look("snoop", "br0", "--all", "-c", "8", "--json"), s.look("snoop", "br0")
	file := filepath.Join(s.dir, "seen.pcapng")
	wire, pipe := s.look("snoop", "br0", "--all", "-c", "8", "-w", file), s.look("snoop", "br0", "--all", "-c", "8", "-w", "-")
	s.mistake()

	from, to := "from punix:.*#1: OFPT_", "to   punix:.*#1: OFPT_"
	flow := `OFPT_FLOW_MOD \(OF1.3\) \(xid=.*\): ADD table:3 priority=5,in_port=1 .*actions=goto_table:3`
	matches(t, text.end(0, "weir: 8 messages, 0 missed\n"),
		to+`HELLO \(OF1.3\) .*`, from+`HELLO \(OF1.3\) .*`, from+"FEATURES_REQUEST .*", to+"FEATURES_REPLY .* dpid:0000000000000001",
		strings.TrimSuffix(from, "OFPT_")+flow,
		to+`ERROR \(OF1.3\) \(xid=.*\): OFPBIC_BAD_TABLE_ID`,
		" +refused: "+flow,
		" +because: goto_table:3 from table 3: expected a later one; there are 0 to 253",
		" +meaning: goto_table to a table that is not behind this one or does not exist",
		" +to mend: name a table with a higher number than the entry's, below n_tables of the features",
		from+"BARRIER_REQUEST .*", to+"BARRIER_REPLY .*")

	var types []string
	for dec := json.NewDecoder(strings.NewReader(asJSON.end(0, "8 messages"))); dec.More(); {
		var m struct {
			Sent              bool
			Data              []byte
			Type, Error, Mend string
			Reason, Refused   string
			Meaning           string
		}
		if err := dec.Decode(&m); err != nil {
			t.Fatal(err)
		}
		types = append(types, m.Type)
		if h := openflow.ReadHeader(m.Data); h.Type.String() != m.Type || h.Length != len(m.Data) {
			t.Errorf("%s: the data are %+v", m.Type, h)
		}
		if m.Type == "ERROR" && (m.Error != "OFPBIC_BAD_TABLE_ID" || m.Mend == "" || m.Reason == "" || m.Refused == "" || m.Meaning == "") {
			t.Errorf("%+v", m)
		}
	}
	if got := inOrder(types); got != snooped {
		t.Error(got)
	}

	wire.end(0, "8 messages")
	seen, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	isConversation(t, seen)
	isConversation(t, []byte(pipe.end(0, "8 messages")))
	dissected(t, file, "openflow_v4", 8)

	if err := quiet.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if out := quiet.end(0, "weir: 0 messages, 0 missed\n"); out != "" {
		t.Errorf("a tool's messages were shown without --all: %s", out)
	}
	s.fails(2, "-w and --json: choose one", "snoop", "br0", "-w", "x", "--json")
	s.fails(2, "expected a number of messages, from 1", "snoop", "br0", "-c", "0")
	s.fails(1, "bridge br7 is not running", "snoop", "br7", "-w", filepath.Join(s.dir, "never"))
	if _, err := os.Stat(filepath.Join(s.dir, "never")); err == nil {
		t.Error("a file was made for nothing")
	}
}

// isConversation checks what TestSnoop recorded, as TCP.
func isConversation(t *testing.T, b []byte) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.NgReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next := map[layers.TCPPort]uint32{}
	var types []string
	for {
		data, _, err := r.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		p := gopacket.NewPacket(data, layers.LayerTypeIPv4, gopacket.Default)
		tcp, ok := p.TransportLayer().(*layers.TCP)
		if !ok || tcp.SrcPort != 6653 && tcp.DstPort != 6653 {
			t.Fatalf("%v", p)
		}
		if want := next[tcp.SrcPort]; want != 0 && tcp.Seq != want {
			t.Errorf("sequence number %d, want %d", tcp.Seq, want)
		}
		if want := next[tcp.DstPort]; want != 0 && tcp.Ack != want {
			t.Errorf("acknowledgement %d, want %d", tcp.Ack, want)
		}
		next[tcp.SrcPort] = tcp.Seq + uint32(len(tcp.Payload))
		types = append(types, openflow.ReadHeader(tcp.Payload).Type.String())
		sums := append([]byte(nil), data...)
		if err := tcp.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
			t.Fatal(err)
		}
		again := gopacket.NewSerializeBuffer()
		ip := p.NetworkLayer().(*layers.IPv4)
		if err := gopacket.SerializeLayers(again, gopacket.SerializeOptions{ComputeChecksums: true, FixLengths: true}, ip, tcp, gopacket.Payload(tcp.Payload)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.Bytes(), sums) {
			t.Errorf("lengths or checksums are wrong:\n%x\nwant\n%x", sums, again.Bytes())
		}
	}
	if got := inOrder(types); got != snooped {
		t.Error(got)
	}
}

// dissected asks tshark, where there is one, how many packets of a file a filter takes.
func dissected(t *testing.T, file, filter string, want int) {
	t.Helper()
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Log("tshark is not installed: it was not asked")
		return
	}
	out, err := exec.Command(tshark, "-r", file, "-Y", filter, "-T", "fields", "-e", "frame.number").Output()
	if n := len(strings.Fields(string(out))); err != nil || n != want {
		t.Errorf("tshark takes %d packets for %s, want %d: %v", n, filter, want, err)
	}
}

func TestCapture(t *testing.T) {
	s := newShell(t)
	a, b := s.station("a"), s.station("b")
	s.ok("run", "--name", "br0", "--dpid", "1", "--port", "1:"+a.spec, "--port", "2:"+b.spec, "--detach", "--wait-ready", "60s")
	file := filepath.Join(s.dir, "seen.pcapng")
	text, asJSON, wire := s.look("capture", "br0", "b", "-c", "2"), s.look("capture", "br0", "2", "-c", "2", "--json"), s.look("capture", "br0", "b", "-c", "2", "-w", file)
	short, filtered := s.look("capture", "br0", "b", "-c", "1", "--snaplen", "20", "--json"), s.look("capture", "br0", "b", "-c", "1", "--filter", "in_port=b", "--json")
	removed := s.look("capture", "br0", "b", "-w", "-")
	a.send(frame(0xff, 1))
	b.expect(frame(0xff, 1))
	b.send(frame(1, 2))
	a.expect(frame(1, 2))
	matches(t, text.end(0, "weir: 2 frames, 0 missed\n"),
		"out 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, type 0x88b5, 60 bytes", "in  02:00:00:00:00:02 > 02:00:00:00:00:01, type 0x88b5, 60 bytes")
	type captured struct {
		Out    bool
		Length int
		Data   []byte
	}
	want := []captured{{true, 60, frame(0xff, 1)}, {false, 60, frame(1, 2)}}
	for _, c := range []struct {
		l    *looker
		want []captured
	}{{asJSON, want}, {short, []captured{{true, 60, frame(0xff, 1)[:20]}}}, {filtered, want[1:]}} {
		dec := json.NewDecoder(strings.NewReader(c.l.end(0, "frames, 0 missed\n")))
		for _, w := range c.want {
			var got captured
			if err := dec.Decode(&got); err != nil || got.Out != w.Out || got.Length != w.Length || !bytes.Equal(got.Data, w.Data) {
				t.Errorf("%+v, %v, want %+v", got, err, w)
			}
		}
	}

	wire.end(0, "2 frames")
	seen, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(seen), pcapgo.NgReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if data, ci, err := r.ReadPacketData(); err != nil || !bytes.Equal(data, w.Data) || time.Since(ci.Timestamp) > time.Hour || time.Since(ci.Timestamp) < 0 {
			t.Errorf("%x at %s, %v", data, ci.Timestamp, err)
		}
	}
	if i, err := r.Interface(0); err != nil || i.Name != "b" || r.LinkType() != layers.LinkTypeEthernet {
		t.Errorf("%+v, %v", i, err)
	}
	dissected(t, file, "frame.interface_name == b && frame.p2p_dir == 0 || frame.packet_flags_direction == 2", 1)
	dissected(t, file, "frame.packet_flags_direction == 1", 1)

	s.ok("port", "del", "br0", "b")
	removed.end(1, "weir: port b was taken out\n")
	s.fails(1, `has no port "b"; it has a`, "capture", "br0", "b")
	s.fails(1, "such as in_port=1,tcp,tp_dst=80", "capture", "br0", "a", "--filter", "in_prot=1")
	s.fails(2, `expected "weir capture BRIDGE PORT`, "capture", "br0")
}

func TestWatch(t *testing.T) {
	s := newShell(t)
	a, b := s.station("a"), s.station("b")
	s.ok("run", "--name", "br0", "--dpid", "1", "--port", "1:"+a.spec, "--port", "2:"+b.spec, "--detach", "--wait-ready", "60s")
	text, filtered, stopped := s.look("watch", "br0", "-c", "2"), s.look("watch", "br0", "in_port=b", "--json", "-c", "1"), s.look("watch", "br0", "tcp")
	a.send(frame(0xff, 1))
	b.expect(frame(0xff, 1))
	b.send(frame(1, 2))
	a.expect(frame(1, 2))
	matches(t, text.end(0, "weir: 2 verdicts, 0 missed\n"),
		`in 1 \(a\): 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, type 0x88b5, 60 bytes; table 0 priority 0 -> out 2 \(b\).*`,
		`in 2 \(b\): 02:00:00:00:00:02 > 02:00:00:00:00:01, type 0x88b5, 60 bytes; table 0 priority 0 -> out 1 \(a\).*`)
	var w agent.Watched
	decode(t, filtered.end(0, "1 verdicts"), &w)
	if w.InPort != 2 || len(w.Entries) != 1 || w.Entries[0].Cookie != "0x0" || len(w.Out) != 1 || w.Out[0].Name != "a" || !bytes.Equal(w.Data, frame(1, 2)) {
		t.Errorf("%+v", w)
	}
	s.fails(2, "--rate 0: expected 1 to 1000", "watch", "br0", "--rate", "0")
	s.fails(1, "did you mean", "watch", "br0", "in_prot=1")
	s.ok("stop", "br0", "--wait")
	if out := stopped.end(1, "has "); out != "" {
		t.Errorf("watched %s", out)
	}
}

// TestVerdictLine: the words for what does not happen every day.
func TestVerdictLine(t *testing.T) {
	table := 4
	for _, c := range []struct {
		w    agent.Watched
		want string
	}{
		{agent.Watched{Miss: &table, Drops: []string{"table-miss"}, OneIn: 7}, "; table 4 has no entry for it -> dropped: table-miss (1 of 7 frames looked at)"},
		{agent.Watched{Entries: []agent.WatchedEntry{{Table: 1, Priority: 2, Cookie: "0x5"}}, Cached: true}, "; table 1 priority 2 cookie 0x5 -> dropped by the entry: no output (cached)"},
		{agent.Watched{PacketIn: []string{"no_match"}, Out: []agent.WatchedPort{{Port: localPort, Name: "br0", Queue: 3}}}, " -> out LOCAL (br0) queue 3, to controllers (no_match)"},
		{agent.Watched{Kept: true}, " -> waits for the other fragments of its packet"},
		{agent.Watched{Resubmits: 3, Entries: []agent.WatchedEntry{{Table: 0, Priority: 1, Cookie: "0x0"}, {Table: 1, Priority: 2, Cookie: "0x0"}}, Behind: []agent.WatchedBehind{
			{WatchedEntry: agent.WatchedEntry{Table: 3, Priority: 5, Cookie: "0x7"}, Found: true, Depth: 1}, {WatchedEntry: agent.WatchedEntry{Table: 4, Priority: 6, Cookie: "0x0"}, Found: true, Depth: 2},
			{WatchedEntry: agent.WatchedEntry{Table: 5}, Depth: 1}, {WatchedEntry: agent.WatchedEntry{Table: 9}, Under: 1, Depth: 1}}},
			"; table 0 priority 1 [table 3 priority 5 cookie 0x7 [table 4 priority 6], table 5 has no entry for it]; table 1 priority 2 [table 9 has no entry for it] -> dropped by the entry: no output"},
		{agent.Watched{Resubmits: 2, Drops: []string{"meter"}}, "; 2 resubmits -> dropped: meter"},
	} {
		c.w.Data, c.w.InPort, c.w.Length = frame(1, 2), 1, 60
		if got := verdictLine(&c.w); got != "in 1: 02:00:00:00:00:02 > 02:00:00:00:00:01, type 0x88b5, 60 bytes"+c.want {
			t.Error(got)
		}
	}
}

// TestWatching: readings that go on end with a count, with Ctrl-C, and when nobody reads them any more.
func TestWatching(t *testing.T) {
	s := newShell(t)
	a := s.station("a")
	s.ok("run", "--port", "1:"+a.spec, "--detach", "--wait-ready", "60s")
	if out := s.ok("ports", "br0", "--watch", "100ms", "-c", "2"); strings.Count(out, "RX PACKETS  /S") != 2 || strings.Count(out, "\n\n") != 1 {
		t.Error(out)
	}
	lines := strings.Split(strings.TrimSpace(s.ok("flows", "--json", "--watch=0.1", "-c", "2")), "\n")
	var flows []flowRow
	decode(t, lines[1], &flows)
	if len(lines) != 2 || strings.Contains(lines[0], "_per_s") || len(flows) != 1 || flows[0].PacketRate == nil || *flows[0].PacketRate != 0 {
		t.Errorf("%q", lines)
	}
	for _, end := range []func(*exec.Cmd, io.Closer){
		func(cmd *exec.Cmd, _ io.Closer) { s.signal(cmd, os.Interrupt) },
		func(_ *exec.Cmd, reader io.Closer) { reader.Close() },
	} {
		cmd := s.command("show", "--watch", "100ms")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it goes on
			t.Fatal(err)
		}
		end(cmd, out)
		if err := cmd.Wait(); err != nil || errs.Len() > 0 {
			t.Errorf("%v, %s", err, &errs)
		}
	}
	l := s.command("status", "--watch", "100ms")
	var errs bytes.Buffer
	l.Stderr = &errs
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	s.ok("stop", "--wait")
	if err := l.Wait(); err == nil || !strings.Contains(errs.String(), "no bridge runs in") && !strings.Contains(errs.String(), "does not answer") && !strings.Contains(errs.String(), "is not running") {
		t.Errorf("%v, %s", err, &errs)
	}
}
