package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/of10"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// peer is a weir switch with its management socket, and a Client that calls it.
func peer(t *testing.T) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-client-") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	text := "bridges:\n  - {name: br0, dpid: \"00000000000000ab\", fail-mode: secure, ports: [{port: \"1:pipe:p1\"}, {port: \"2:pipe:p2\"}]}\n"
	file := filepath.Join(dir, "weir.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := agent.LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	sw, err := agent.NewSwitch(cfg.Bridges[0], agent.Env{RunDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := sw.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sw.Close() })
	return &Client{Dial: func(context.Context, string, Purpose) (net.Conn, error) {
		return net.Dial("unix", filepath.Join(dir, "br0.mgmt"))
	}, Now: time.Now}
}

// run runs one command and gives what it printed.
func (c *Client) test(words ...string) (out, errs string, err error) {
	var o, e bytes.Buffer
	c.Out, c.Err, c.xid = &o, &e, 0
	err = c.Run(context.Background(), words)
	return o.String(), e.String(), err
}

func TestFlowsGoInAndComeOut(t *testing.T) {
	c := peer(t)
	for _, f := range []string{"priority=9,in_port=p1,ip,actions=output:p2", "table=2,cookie=7,tcp,tp_dst=80,actions=drop"} {
		if out, errs, err := c.test("add-flow", "br0", f); out+errs != "" || err != nil {
			t.Fatalf("%s: %q %q %v", f, out, errs, err)
		}
	}
	c.NoStats = true
	out, _, err := c.test("dump-flows", "br0")
	if want := " priority=9,ip,in_port=1 actions=output:2\n cookie=0x7, table=2, tcp,tp_dst=80 actions=drop\n"; out != want || err != nil {
		t.Errorf("got\n%s%v\nwant\n%s", out, err, want)
	}
	c.Names = NamesShown
	if out, _, _ = c.test("dump-flows", "br0", "table=0"); out != " priority=9,ip,in_port=p1 actions=output:p2\n" {
		t.Errorf("with names: %q", out)
	}
	c.Options = Options{}
	if out, _, err := c.test("dump-aggregate", "br0", "tcp"); out != "OFPST_AGGREGATE reply (OF1.3) (xid=0x6): packet_count=0 byte_count=0 flow_count=1\n" || err != nil {
		t.Errorf("%q %v", out, err)
	}
}

func TestRefusalsAreToldWithTheirRequest(t *testing.T) {
	c := peer(t)
	out, errs, err := c.test("add-flow", "br0", "actions=group:99")
	if want := "OFPT_ERROR (OF1.3) (xid=0x6): OFPBAC_BAD_OUT_GROUP\nOFPT_FLOW_MOD (OF1.3) (xid=0x6): ADD actions=group:99\n"; out != "" || errs != want {
		t.Errorf("%q, %q", out, errs)
	}
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 1 || exit.Text != "" {
		t.Errorf("ended by %v", err)
	}
	if _, _, err := c.test("add-flow", "br0", "tpc,actions=drop"); err == nil || !strings.Contains(err.Error(), `did you mean "tcp"?`) {
		t.Errorf("a misspelled word: %v", err)
	}
	if _, _, err := c.test("dump-flwos", "br0"); err == nil || !strings.Contains(err.Error(), `did you mean "dump-flows"?`) {
		t.Errorf("a misspelled command: %v", err)
	}
	if _, _, err := c.test("dump-ports", "br0", "p3"); err == nil || !strings.Contains(err.Error(), `did you mean "p1"?`) {
		t.Errorf("a misspelled port: %v", err)
	}
	c.ReadOnly = true
	if _, _, err := c.test("del-flows", "br0"); err == nil || !strings.Contains(err.Error(), "--read-only") {
		t.Errorf("--read-only: %v", err)
	}
}

// TestReplaceAndDiff bring a switch to what a file says.
func TestReplaceAndDiff(t *testing.T) {
	c := peer(t)
	file := filepath.Join(t.TempDir(), "flows.txt")
	if err := os.WriteFile(file, []byte("# two\npriority=3,tcp,actions=output:1\n\ntable=1,udp,actions=drop # more\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.test("add-flow", "br0", "tcp6,actions=drop"); err != nil {
		t.Fatal(err)
	}
	out, _, err := c.test("diff-flows", "br0", file)
	if want := "-tcp6 actions=drop\n+priority=3,tcp actions=output:1\n+table=1 udp actions=drop\n"; out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 2 {
		t.Errorf("a difference ended by %v", err)
	}
	if _, errs, err := c.test("replace-flows", "br0", file); err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	if out, _, err := c.test("diff-flows", "br0", file); out != "" || err != nil {
		t.Errorf("after replace-flows: %q %v", out, err)
	}
}

// TestJSONOfEveryRead is valid and says what was put in, the same in either version.
func TestJSONOfEveryRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flows")
	messages := filepath.Join(t.TempDir(), "messages")
	if err := errors.Join(os.WriteFile(file, []byte("tcp,actions=drop"), 0o644), os.WriteFile(messages, openflow.Append(nil, 1, &openflow.BarrierRequest{}), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint8{openflow.Version, of10.Version} {
		c := peer(t)
		c.Versions = []uint8{version}
		for _, words := range [][]string{{"add-group", "br0", "group_id=1,type=select,bucket=weight:3,actions=output:1"},
			{"add-flow", "br0", "priority=9,ip,nw_dst=10.0.0.0/8,actions=mod_nw_src:1.2.3.4,group:1"}} {
			if _, errs, err := c.test(words...); err != nil {
				t.Fatalf("%v: %v\n%s", words, err, errs)
			}
		}
		if version == openflow.Version {
			if _, errs, err := c.test("add-meter", "br0", "meter=4,kbps,band=type=drop,rate=100"); err != nil {
				t.Fatalf("%v\n%s", err, errs)
			}
		}
		c.JSON = true
		for _, cmd := range Commands() {
			args := map[string][]string{"diff-flows": {"br0", file}, "parse-flow": {"tcp,actions=drop"}, "parse-flows": {file}, "parse-group": {"group_id=1,type=all"},
				"parse-meter": {"meter=1,kbps,band=type=drop,rate=5"}, "ofp-print": {"0414000800000001"}, "ofp-parse": {messages},
				"benchmark": {"br0", "10", "2"}}[cmd.Name]
			if args == nil {
				args = []string{"br0"}
			}
			if cmd.Writes || cmd.Name == "monitor" || cmd.Name == "snoop" { // which end with their connection: TestMonitorJSON
				continue
			}
			out, _, err := c.test(append([]string{cmd.Name}, args...)...)
			var v any
			if strings.Contains(cmd.Name, "meter") && version == of10.Version || cmd.Name == "dump-table-features" && version == of10.Version {
				if err == nil || !strings.Contains(err.Error(), "OpenFlow 1.0 has no") {
					t.Errorf("%s on OpenFlow 1.0: %v\n%s", cmd.Name, err, out)
				}
				continue
			}
			var differ *ExitError
			if err != nil && !(cmd.Name == "diff-flows" && errors.As(err, &differ)) || json.Unmarshal([]byte(out), &v) != nil {
				t.Errorf("version %d: %s: %v\n%s", version, cmd.Name, err, out)
			}
		}
		wants := map[string]string{
			"dump-flows": `"actions": "set_field:1.2.3.4->ip_src,group:1"`, "dump-groups": `"actions": "output:1"`, "show": `"dpid": "00000000000000ab"`,
			"dump-ports-desc": `"name": "p2"`, "get-frags": `"frags": "normal"`, "dump-aggregate": `"flows": 1`, "dump-ports": `"port": "2"`,
		}
		if version == openflow.Version {
			wants["dump-meters"] = `"rate": 100`
		}
		for command, want := range wants {
			if out, _, err := c.test(command, "br0"); !strings.Contains(out, want) {
				t.Errorf("version %d: %s lacks %s: %v\n%s", version, command, want, err, out)
			}
		}
	}
}

// TestMonitorJSON: each message is an object on a line of its own, on standard output.
func TestMonitorJSON(t *testing.T) {
	c := peer(t)
	c.JSON = true
	mon := *c
	read, write := net.Pipe()
	mon.Out, mon.Err = write, io.Discard
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mon.Run(ctx, []string{"monitor", "br0", "watch:table=3"}) }()
	defer func() { cancel(); read.Close(); <-done }()
	if err := read.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(read)
	next := func(want string) {
		t.Helper()
		var m struct {
			Message, Text, Bytes string
			Version              uint8
		}
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &m) != nil || m.Version != openflow.Version || m.Message != "ONFST_FLOW_MONITOR reply" || !strings.Contains(m.Text, want) {
			t.Fatalf("%v %s", lines.Err(), lines.Text())
		}
	}
	next("ONFST_FLOW_MONITOR")
	if _, _, err := c.test("add-flow", "br0", "table=3,tcp,actions=output:1"); err != nil {
		t.Fatal(err)
	}
	next("event=ADDED table=3")
}

// script is a switch that says what it is told to.
func script(t *testing.T, say func(c *openflow.Conn)) *Client {
	return &Client{Now: time.Now, Dial: func(context.Context, string, Purpose) (net.Conn, error) {
		near, far := net.Pipe()
		t.Cleanup(func() { far.Close() })
		go say(openflow.NewConn(far))
		return near, nil
	}}
}

// refusing is a connection whose peer did not like the certificate: it said so and closed before the first write.
type refusing struct{ net.Conn }

func (refusing) Write([]byte) (int, error) { return 0, &net.OpError{Op: "write", Err: syscall.EPIPE} }
func (refusing) Read([]byte) (int, error) {
	return 0, &net.OpError{Op: "remote error", Err: tls.AlertError(42)}
}

// TestAlertIsTold: with TLS 1.3 a refused certificate may show first as a write that fails; the alert has the reason.
func TestAlertIsTold(t *testing.T) {
	c := &Client{Now: time.Now, Dial: func(context.Context, string, Purpose) (net.Conn, error) {
		near, far := net.Pipe()
		t.Cleanup(func() { far.Close() })
		return refusing{near}, nil
	}}
	var alert tls.AlertError
	if _, _, err := c.test("show", "br0"); !errors.As(err, &alert) {
		t.Errorf("the alert got lost: %v", err)
	}
}

// TestSilenceIsTold: a command waits for a switch that says nothing, and says so once, whatever it waits for; not for one that answers.
func TestSilenceIsTold(t *testing.T) {
	hello := openflow.Append(nil, 1, openflow.NewHello(openflow.Version))
	for _, c := range []struct {
		name    string
		calls   bool          // also the call takes its time
		says    []byte        // before it falls silent
		timeout time.Duration // of the command
		want    string
	}{
		{name: "nothing", want: "br0: no answer for 10ms, still waiting: what listens there may be stopped, or be no OpenFlow switch; -t SECONDS ends the waiting\n"},
		{name: "call", calls: true, want: "br0: no answer for 10ms, still waiting: what listens there may be stopped, or be no OpenFlow switch; -t SECONDS ends the waiting\n"},
		{name: "hello", says: hello, want: "br0: no answer for 10ms, still waiting: what listens there may be stopped, or be no OpenFlow switch; -t SECONDS ends the waiting\n"},
		{name: "timeout", timeout: 200 * time.Millisecond, want: "br0: no answer for 10ms, still waiting: what listens there may be stopped, or be no OpenFlow switch\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := make(chan string, 100)
			w := &Client{Now: time.Now, Out: io.Discard, Err: lines(told), Patience: 10 * time.Millisecond}
			w.Timeout = c.timeout
			var far net.Conn
			first, free := make(chan string, 1), make(chan struct{})
			w.Dial = func(context.Context, string, Purpose) (near net.Conn, err error) {
				if c.calls {
					<-free
				}
				near, far = net.Pipe()
				go func() {
					go func() { _, _ = io.Copy(io.Discard, far) }()
					_, _ = far.Write(c.says)
					if c.timeout == 0 {
						<-free
						far.Close()
					}
				}()
				return near, nil
			}
			go func() {
				first <- <-told
				close(free)
			}()
			err := w.Run(context.Background(), []string{"show", "br0"})
			if got := <-first; got != c.want || err == nil {
				t.Errorf("%q, %v", got, err)
			}
			if c.timeout > 0 && err != ErrTimeout {
				t.Error(err)
			}
			if len(told) > 0 {
				t.Errorf("told again: %q", <-told)
			}
		})
	}
	c := peer(t)
	if _, errs, err := c.test("show", "br0"); err != nil || errs != "" {
		t.Errorf("%q, %v", errs, err)
	}
}

// TestSilenceInABundleIsTold: that a switch takes a bundle and then says nothing more.
func TestSilenceInABundleIsTold(t *testing.T) {
	told := make(chan string, 100)
	w := &Client{Now: time.Now, Out: io.Discard, Err: lines(told), Patience: 10 * time.Millisecond}
	w.Bundle, w.Timeout = true, 200*time.Millisecond
	w.Dial = func(context.Context, string, Purpose) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			c := openflow.NewConn(far)
			_, _ = c.ReadMessage()
			_ = c.Send(1, openflow.NewHello(openflow.Version))
			for {
				raw, err := c.ReadMessage()
				if err != nil {
					return
				}
				if h := openflow.ReadHeader(raw); h.Type == openflow.TypeMultipartRequest { // for names: there are none
					raw[1] = byte(openflow.TypeMultipartReply)
					_, _ = far.Write(raw)
				} else {
					_ = c.Send(h.XID, control(openflow.BundleOpen+1))
					_, _ = io.Copy(io.Discard, far)
				}
			}
		}()
		return near, nil
	}
	if err := w.Run(context.Background(), []string{"add-flow", "br0", "actions=drop"}); err != ErrTimeout {
		t.Error(err)
	}
	if len(told) != 1 {
		t.Errorf("told %d times", len(told))
	}
}

// lines hands on what is written.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// TestAnswersToOtherQuestionsAreFailures: they are shown, and the exit status tells that nothing was answered. A part of
// which records cannot be read is an answer, and so is an ERROR.
func TestAnswersToOtherQuestionsAreFailures(t *testing.T) {
	for _, v := range []uint8{openflow.Version, of10.Version} {
		statsReply := map[uint8]byte{openflow.Version: 19, of10.Version: 17}[v]
		for _, it := range []struct {
			kind byte
			body string
			ok   bool
		}{
			{5, "", false},          // a FEATURES_REQUEST
			{statsReply, "", false}, // too short
			{statsReply, "\x00\x01\x00\x00\x00\x00\x00\x00", false},      // of flows
			{statsReply, "\x00\x03\x00\x00\x00\x00\x00\x00", true},       // of tables
			{statsReply, "\x00\x03\x00\x00\x00\x00\x00\x00broken", true}, // the same, and what is in it cannot be read
			{1, "\x00\x01\x00\x02" + "what was asked for", true},         // an ERROR
		} {
			c := script(t, func(conn *openflow.Conn) {
				_, _ = conn.ReadMessage()
				_ = conn.Send(1, openflow.NewHello(v))
				if raw, err := conn.ReadMessage(); err == nil {
					_, _ = conn.NetConn().Write(append([]byte{v, it.kind, 0, byte(8 + len(it.body)), raw[4], raw[5], raw[6], raw[7]}, it.body...))
				}
			})
			out, _, err := c.test("dump-tables", "br0")
			if (err == nil) != it.ok || out == "" {
				t.Errorf("version %d, type %d with %q: %v, printed %q", v, it.kind, it.body, err, out)
			}
		}
	}
}

// TestOnlyTheAnswerIsTheAnswer: messages of other transactions are passed over, and an ECHO_REQUEST between is answered.
func TestOnlyTheAnswerIsTheAnswer(t *testing.T) {
	echoed := make(chan string, 1)
	c := script(t, func(conn *openflow.Conn) {
		_, _ = conn.ReadMessage()
		_ = conn.Send(1, openflow.NewHello(4))
		raw, _ := conn.ReadMessage()
		xid := openflow.ReadHeader(raw).XID
		_ = conn.Send(xid+1, &openflow.MultipartReply{Type: openflow.MultipartDesc, Records: []openflow.Record{&openflow.Desc{Software: "another's"}}})
		_ = conn.Send(xid+7, &openflow.EchoRequest{Data: []byte("are you there?")})
		raw, err := conn.ReadMessage()
		if err != nil {
			echoed <- err.Error()
			return
		}
		echoed <- openflow.ReadHeader(raw).Type.String() + string(raw[openflow.HeaderSize:])
		_ = conn.Send(xid, &openflow.MultipartReply{Type: openflow.MultipartDesc, Records: []openflow.Record{&openflow.Desc{Software: "the one"}}})
	})
	out, _, err := c.test("dump-desc", "br0")
	if err != nil || strings.Contains(out, "another") || !strings.Contains(out, "the one") {
		t.Errorf("%v, printed %q", err, out)
	}
	if got := <-echoed; !strings.Contains(got, "ECHO_REPLY") || !strings.HasSuffix(got, "are you there?") {
		t.Errorf("the echo request got %q", got)
	}
}

// TestNumbersAreWholeWords: 10x is no number.
func TestNumbersAreWholeWords(t *testing.T) {
	c := peer(t)
	for _, words := range [][]string{{"ping", "br0", "10x"}, {"ping", "br0", "-1"}, {"queue-stats", "br0", "1", "5x"}} {
		if out, _, err := c.test(words...); err == nil || out != "" {
			t.Errorf("%v: %v, printed %q", words, err, out)
		}
	}
	if out, _, err := c.test("queue-stats", "br0", "1", "0x5"); err != nil || !strings.Contains(out, "queue=5") {
		t.Errorf("0x5: %v, printed %q", err, out)
	}
}

// TestStrangePeers end a command with a sentence, never with a panic or a wait without end.
func TestStrangePeers(t *testing.T) {
	hello := func(c *openflow.Conn, h *openflow.Hello) {
		_, _ = c.ReadMessage()
		_ = c.Send(1, h)
	}
	for want, say := range map[string]func(*openflow.Conn){
		"the connection ended":       func(c *openflow.Conn) { c.Close() },
		"version negotiation failed": func(c *openflow.Conn) { hello(c, openflow.NewHello(5)); _, _ = c.ReadMessage() },
		"expected a HELLO":           func(c *openflow.Conn) { _, _ = c.ReadMessage(); _ = c.Send(1, &openflow.BarrierReply{}) },
		"not an OpenFlow stream": func(c *openflow.Conn) {
			_, _ = c.ReadMessage()
			_, _ = c.NetConn().Write([]byte{4, 0, 0, 3, 0, 0, 0, 0})
		},
		"expected a multipart reply": func(c *openflow.Conn) {
			hello(c, openflow.NewHello(4))
			raw, _ := c.ReadMessage()
			_ = c.Send(openflow.ReadHeader(raw).XID, &openflow.BarrierReply{})
		},
		"refused": func(c *openflow.Conn) {
			hello(c, openflow.NewHello(4))
			raw, _ := c.ReadMessage()
			_ = c.Send(openflow.ReadHeader(raw).XID, (&openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBadMultipart}).For(raw))
		},
		"--timeout": func(c *openflow.Conn) { hello(c, openflow.NewHello(4)); _, _ = c.ReadMessage() },
	} {
		c := script(t, say)
		if want == "--timeout" {
			c.Timeout = 50 * time.Millisecond
		}
		if _, _, err := c.test("add-flow", "br0", "actions=drop"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestOneStrangeFlowHidesNoOther: Open vSwitch's own tool gives up at the first flow with a field it does not know.
func TestOneStrangeFlowHidesNoOther(t *testing.T) {
	c := script(t, func(conn *openflow.Conn) {
		_, _ = conn.ReadMessage()
		_ = conn.Send(1, openflow.NewHello(4))
		raw, _ := conn.ReadMessage()
		flow := func(table uint8) *openflow.FlowStats {
			return &openflow.FlowStats{TableID: table, Match: openflow.NewMatch(openflow.Exact(openflow.InPort, 3))}
		}
		reply := openflow.Append(nil, openflow.ReadHeader(raw).XID, &openflow.MultipartReply{Type: openflow.MultipartFlow,
			Records: []openflow.Record{flow(1), flow(2), flow(3)}})
		reply[16+64+48+6] = 0x7e // the second flow's in_port becomes a field that nobody knows
		_, _ = conn.NetConn().Write(reply)
	})
	out, _, err := c.test("dump-flows", "br0")
	if err != nil || !strings.Contains(out, "table=1") || !strings.Contains(out, "table=3") || !strings.Contains(out, "a flow of table 2 that weir cannot read: OFPBMC_BAD_FIELD") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestEveryExampleIsUnderstood: the examples of help are parsed as their commands parse them.
func TestEveryExampleIsUnderstood(t *testing.T) {
	for _, cmd := range Commands() {
		words := strings.Fields(strings.ReplaceAll(cmd.Example, "--bundle ", ""))
		if words[0] != cmd.Name {
			t.Errorf("%s: its example is of %s", cmd.Name, words[0])
		}
		if n := len(words) - 1; n < cmd.Least {
			t.Errorf("%s: the example lacks arguments", cmd.Name)
		}
		if cmd.Summary == "" || strings.HasSuffix(cmd.Summary, ".") {
			t.Errorf("%s: summary %q", cmd.Name, cmd.Summary)
		}
		text := words[len(words)-1]
		var err error
		switch cmd.Name {
		case "add-flow", "mod-flows", "parse-flow":
			_, err = ofctl.ParseFlow(text, openflow.FlowAdd, nil)
		case "del-flows":
			_, err = ofctl.ParseFlow(text, openflow.FlowDelete, nil)
		case "dump-flows", "dump-aggregate":
			_, err = ofctl.ParseFlowFilter(text, nil)
		case "add-group", "mod-group", "parse-group":
			_, err = ofctl.ParseGroup(text, openflow.GroupAdd, nil)
		case "add-meter", "mod-meter", "parse-meter":
			_, err = ofctl.ParseMeter(text, openflow.MeterAdd)
		}
		if err != nil {
			t.Errorf("%s: %v", cmd.Name, err)
		}
	}
}

// TestMonitorShowsFrames: a frame that a PACKET_OUT sends to the controller comes back.
func TestMonitorShowsFrames(t *testing.T) {
	c := peer(t)
	mon := *c
	read, write := net.Pipe()
	mon.Out, mon.Err = write, write
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mon.Run(ctx, []string{"monitor", "br0", "65534"}) }()
	defer func() { cancel(); read.Close(); <-done }()
	seen := make(chan string, 1)
	go func() {
		var all []byte
		buf := make([]byte, 4096)
		for !strings.Contains(string(all), "dl_type=0x88b5") {
			n, err := read.Read(buf)
			if err != nil {
				break
			}
			all = append(all, buf[:n]...)
		}
		seen <- string(all)
	}()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if _, errs, err := c.test("packet-out", "br0", "in_port=1 packet=ffffffffffff02000000000188b5000000000000 actions=CONTROLLER"); err != nil {
			t.Fatal(fmt.Sprint(err, errs))
		}
		select {
		case text := <-seen:
			if want := "in_port=1 (via action) data_len=20 (unbuffered)\nvlan_tci=0x0000,dl_src=02:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b5\n"; !strings.Contains(text, want) {
				t.Errorf("got\n%s\nwant\n%s", text, want)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Error("no frame came")
}

// TestMonitorWatchesFlows: what another connection adds is told, what was there is left out.
func TestMonitorWatchesFlows(t *testing.T) {
	c := peer(t)
	if _, _, err := c.test("add-flow", "br0", "udp,actions=drop"); err != nil {
		t.Fatal(err)
	}
	mon := *c
	mon.xid = 0
	read, write := net.Pipe()
	mon.Out, mon.Err = write, write
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mon.Run(ctx, []string{"monitor", "br0", "watch:!initial,tcp"}) }()
	defer func() { cancel(); read.Close(); <-done }()
	if err := read.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := read.Read(buf) // the answer to the request: no flows
	if got := string(buf[:n]); got != "ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x6):\n" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if _, _, err := c.test("add-flow", "br0", "table=2,tcp,actions=output:1"); err != nil {
		t.Fatal(err)
	}
	n, err = read.Read(buf)
	if got, want := string(buf[:n]), "ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x0):\n event=ADDED table=2 cookie=0 tcp actions=output:1\n"; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, _, err := c.test("monitor", "br0", "watch:!intial"); err == nil || !strings.Contains(err.Error(), `did you mean "!initial"?`) {
		t.Errorf("a misspelled word: %v", err)
	}
}

// oldSwitch answers as a switch of OpenFlow 1.0 does that knows nothing of Nicira: two flows, two ports.
func oldSwitch(c *openflow.Conn) {
	var s of10.Session
	_, _ = c.ReadMessage()
	_, _ = c.NetConn().Write([]byte{1, 0, 0, 8, 0, 0, 0, 1})
	for {
		raw, err := c.ReadMessage()
		if err != nil {
			return
		}
		m, xid, _ := s.Decode(raw)
		var out []byte
		say := func(m openflow.Message) { out = s.Append(out, xid, m) }
		switch q := m.(type) {
		case *openflow.FeaturesRequest:
			say(&openflow.FeaturesReply{DatapathID: 7, NTables: 1, Ports: []openflow.Port{{No: 1, Name: "a"}, {No: 2, Name: "b"}}})
		case *openflow.BarrierRequest:
			say(&openflow.BarrierReply{})
		case *openflow.GetConfigRequest:
			say(&openflow.GetConfigReply{})
		case *openflow.MultipartRequest:
			w := openflow.NewReplyWriterIn(s.Replies(raw), nil, func(part []byte) error { out = append(out, part...); return nil })
			if q.Type == openflow.MultipartFlow {
				for i := range 2 {
					_ = w.Add(&openflow.FlowStats{Priority: uint16(i), Match: openflow.NewMatch(openflow.Exact(openflow.InPort, uint64(i+1))),
						Instructions: openflow.NewInstructions(openflow.ApplyActions(openflow.SetField(openflow.EthDst, 5), openflow.Output(2)))})
				}
			}
			w.Close()
		default:
			if raw[1] == byte(openflow.TypeExperimenter) {
				say((&openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBadExperimenter}).For(raw))
			}
		}
		_, _ = c.NetConn().Write(out)
	}
}

// TestSwitchOfOpenFlow10Alone: without -O, and without Nicira's extensions. What cannot be said there is not said at all.
func TestSwitchOfOpenFlow10Alone(t *testing.T) {
	c := script(t, oldSwitch)
	out, _, err := c.test("dump-flows", "br0")
	const flow = " cookie=0x0, duration=0s, table=0, n_packets=0, n_bytes=0, priority=%d,in_port=%d actions=mod_dl_dst:00:00:00:00:00:05,output:2\n"
	if want := "OFPST_FLOW reply (xid=0x4):\n" + fmt.Sprintf(flow, 0, 1) + fmt.Sprintf(flow, 1, 2); out != want || err != nil {
		t.Errorf("%v\n%s\nexpected\n%s", err, out, want)
	}
	if out, _, err := c.test("show", "br0"); !strings.Contains(out, "dpid:0000000000000007") || !strings.Contains(out, " 2(b): addr:") || err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, errs, err := c.test("add-flow", "br0", "in_port=b,ip,nw_src=10.0.0.0/8,actions=enqueue:a:3"); out+errs != "" || err != nil {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	for flow, want := range map[string]string{"table=1,actions=drop": "has one table", "ipv6,ipv6_dst=::1,actions=drop": "without Nicira's extensions",
		"ip,nw_ttl=4,actions=drop": "without Nicira's extensions", "ip,nw_src=10.0.0.1/255.0.0.255,actions=drop": "without Nicira's extensions",
		"ip,actions=write_actions(output:1)": "no words for write_actions", "ip,actions=meter:1": "no words for meter", "in_port=70000,actions=drop": "ports end at 65279",
		"ip,actions=output:70000": "no words for output"} {
		if _, _, err := c.test("add-flow", "br0", flow); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %s", flow, err, want)
		}
	}
	for filter, want := range map[string]string{"ipv6,ipv6_dst=::1": "without Nicira's extensions", "out_group=1": "out_group", "cookie=1/-1": "without Nicira's extensions"} {
		if out, _, err := c.test("dump-flows", "br0", filter); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %s\n%s", filter, err, want, out)
		}
	}
	c.Versions = []uint8{openflow.Version}
	if _, _, err := c.test("show", "br0"); err == nil || !strings.Contains(err.Error(), "version negotiation failed") {
		t.Errorf("held to 1.3: %v", err)
	}
}
