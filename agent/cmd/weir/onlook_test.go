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
	case <-time.After(20 * time.Second):
		l.t.Fatalf("%s has not ended; it printed\n%s", l.cmd.Args[1:], l.out.String())
	}
	return l.out.String()
}

// matches finds lines, of which each is there once; times are not compared. The order in which the two
// directions of a connection appear is not always the same.
func matches(t *testing.T, got string, want ...string) {
	t.Helper()
	if n := strings.Count(got, "\n"); n != len(want) {
		t.Errorf("%d lines, want %d", n, len(want))
	}
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
	c, err := oftest.Dial("unix", filepath.Join(s.run, "br0.mgmt"), oftest.Config{})
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
	s.ok("run", "--name", "br0", "--dpid", "1", "--port", "1:"+a.spec, "--detach", "--wait-ready", "5s")
	text, asJSON, quiet := s.look("snoop", "--all", "-c", "8"), s.look("snoop", "br0", "--all", "-c", "8", "--json"), s.look("snoop", "br0")
	file := filepath.Join(s.dir, "seen.pcapng")
	wire, pipe := s.look("snoop", "br0", "--all", "-c", "8", "-w", file), s.look("snoop", "br0", "--all", "-c", "8", "-w", "-")
	s.mistake()

	from, to := "from punix:.*#1: ", "to   punix:.*#1: "
	matches(t, text.end(0, "weir: 8 messages, 0 missed\n"),
		to+"HELLO xid=0x0 version=4 bitmap=0x12", from+"HELLO xid=.*", from+"FEATURES_REQUEST .*", to+"FEATURES_REPLY .*",
		from+"FLOW_MOD xid=.* ADD table=3, priority=5,in_port=1 actions=goto_table:3",
		to+"ERROR xid=.* OFPBIC_BAD_TABLE_ID, with 72 bytes of the message",
		" +refused: FLOW_MOD xid=.* ADD table=3, priority=5,in_port=1 actions=goto_table:3",
		" +because: goto_table:3 from table 3: expected a later one; there are 0 to 253",
		" +meaning: goto_table to a table that is not behind this one or does not exist",
		" +to mend: name a table with a higher number than the entry's, below n_tables of the features",
		from+"BARRIER_REQUEST xid=.*", to+"BARRIER_REPLY xid=.*")

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
