package agent

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
)

var updateTraces = flag.Bool("weir.update", false, "write testdata/trace.txt anew")

// TestTraceTexts runs the sessions of testdata/trace.txt. A line that begins with "=== " starts a session on a
// new switch with the ports p1 to p4, of which p3 is an access port of VLAN 10 and p4 has lost its link;
// table 0 is empty. The lines "flow", "group" and "meter" add what ovs-ofctl would, "send" forwards a frame,
// "wait" advances the clock, "port" adds a port, "config" sets bits of one as PORT_MOD does, and what follows
// "$ trace [--length N] [--segment N] FLOW" must be printed.
func TestTraceTexts(t *testing.T) {
	const file = "testdata/trace.txt"
	r, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out strings.Builder
	var b *bench
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		line := sc.Text()
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "===":
			b = traceBench(t)
		case "#":
		case "flow", "group", "meter", "send", "wait", "port", "config":
			b.traceSetup(word, rest)
		case "$":
			out.WriteString(line + "\n" + b.trace(strings.TrimPrefix(rest, "trace ")))
			continue
		default: // what it printed
			continue
		}
		out.WriteString(line + "\n")
	}
	if *updateTraces {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != out.String() {
		t.Errorf("got\n%s", diffText(string(want), out.String()))
	}
}

// diffText shows where two texts begin to differ.
func diffText(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	return strings.Join(g[max(0, i-3):min(len(g), i+5)], "\n") + "\nwant\n" + strings.Join(w[max(0, i-3):min(len(w), i+5)], "\n")
}

func traceBench(t *testing.T) *bench {
	b := newBench(t, 2, func(c *BridgeConfig, e *Env) { c.TableMiss, e.Workers = MissDrop, 1 })
	access := PortConfig{}
	access.VLAN.Mode, access.VLAN.Tag = 1, 10
	b.plug(3, access)
	b.plug(4, PortConfig{})
	if err := b.ends[4].SetUp(false); err != nil {
		t.Fatal(err)
	}
	b.sw.refreshPorts()
	return b
}

func (b *bench) trace(flow string) string {
	q := traceRequest(flow)
	s, err := b.sw.Trace(q)
	if err != nil {
		return err.Error() + "\n"
	}
	return s.String()
}

// traceRequest reads --length and --segment before a flow.
func traceRequest(text string) (q TraceRequest) {
	for q.Flow = text; strings.HasPrefix(q.Flow, "--"); {
		words := strings.SplitN(q.Flow, " ", 3)
		n, _ := strconv.Atoi(words[1])
		if q.Flow = words[2]; words[0] == "--length" {
			q.Length = n
		} else {
			q.Segment = n
		}
	}
	return q
}

func (b *bench) traceSetup(word, text string) {
	b.t.Helper()
	now, p := b.clock.Now(), b.sw.pipe
	var err error
	switch word {
	case "flow":
		var m *openflow.FlowMod
		if m, err = ofctl.ParseFlow(text, openflow.FlowAdd, nil); err == nil {
			_, err = p.FlowMod(now, m)
		}
	case "group":
		var m *openflow.GroupMod
		if m, err = ofctl.ParseGroup(text, openflow.GroupAdd, nil); err == nil {
			_, err = p.GroupMod(now, m)
		}
	case "meter":
		var m *openflow.MeterMod
		if m, err = ofctl.ParseMeter(text, openflow.MeterAdd); err == nil {
			_, err = p.MeterMod(now, m)
		}
	case "send":
		q := traceRequest(text)
		q.Send = true
		_, err = b.sw.Trace(q)
	case "port":
		var p PortConfig
		if p, err = ParsePort(text); err == nil {
			_, err = b.sw.AddPort(p)
		}
	case "config":
		no, bits := openflow.PortNo(0), openflow.PortConfig(0)
		_, err = fmt.Sscan(text, &no, &bits)
		m := &openflow.PortMod{Port: no, Config: bits, Mask: openflow.PortDown | openflow.PortNoRecv | openflow.PortNoFwd | openflow.PortNoFlood}
		if err == nil {
			for _, d := range b.portDescs() {
				if d.No == no {
					m.HWAddr = d.HWAddr
				}
			}
			err = b.sw.handlePortMod(m)
		}
	case "wait":
		var d time.Duration
		d, err = time.ParseDuration(text)
		b.clock.Advance(d)
	}
	if err != nil {
		b.t.Fatalf("%s %s: %v", word, text, err)
	}
	p.Publish()
}

// TestTraceErrors: what is wrong with a request is told with its cure.
func TestTraceErrors(t *testing.T) {
	b := newBench(t, 2)
	for _, c := range []struct {
		q    TraceRequest
		want string
	}{
		{TraceRequest{}, "which frame? Give FLOW"},
		{TraceRequest{Flow: "tcp", Frame: []byte{1}}, "give one of them"},
		{TraceRequest{Flow: "tcp,tp_dst=80"}, "by which port does the frame come in?"},
		{TraceRequest{Flow: "in_port=1,tcp,tpdst=80"}, `did you mean "tp_dst"?`},
		{TraceRequest{Flow: "in_port=p1,tcp", InPort: "p2"}, "FLOW says in_port=1 and --in-port says 2"},
		{TraceRequest{Flow: "tcp", InPort: "eth9"}, `bridge br0 has no port "eth9"; it has p1, p2`},
		{TraceRequest{Flow: "in_port=1,metadata=5"}, "metadata: no frame that weir can make comes in with this value"},
		{TraceRequest{Frame: make([]byte, 70000), InPort: "1"}, "a frame of 70000 bytes: expected at most 65792"},
	} {
		if _, err := b.sw.Trace(c.q); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.q.Flow, err)
		}
	}
	if s, err := b.sw.Trace(TraceRequest{Flow: "tcp", InPort: "99"}); err != nil || s.Verdict != "dropped: no-such-in-port" {
		t.Errorf("%v %v", s, err)
	}
}

// TestTraceChangesNothing: not before --send is the frame seen, counted and learned from; then the next one
// finds a remembered path.
func TestTraceChangesNothing(t *testing.T) {
	b := newBench(t, 3, func(_ *BridgeConfig, e *Env) { e.Workers = 1 })
	f := frame(2, 1, "a")
	q := TraceRequest{Frame: f, InPort: "p1"}
	status := func() string {
		s := b.sw.Status()
		return strings.Join([]string{b.sw.Flows(-1)[0].Text, Plural(s.MACs, "address"), Plural(len(s.Drops), "drop")}, " ")
	}
	before := status()
	s, err := b.sw.Trace(q)
	if err != nil || s.Verdict != "port 2 (p2), port 3 (p3)" || s.Workers != 0 || s.Sent {
		t.Fatalf("%+v, %v", s, err)
	}
	b.silent(1, 2, 3)
	if after := status(); after != before {
		t.Errorf("%s became %s", before, after)
	}
	q.Send = true
	if s, err = b.sw.Trace(q); err != nil || !s.Sent {
		t.Fatal(err)
	}
	b.expect(f, 2, 3)
	if n := b.sw.Flows(-1)[0].Packets; n != 1 || b.sw.Status().MACs != 1 {
		t.Errorf("%d packets, %d addresses", n, b.sw.Status().MACs)
	}
	q.Send = false
	if s, err = b.sw.Trace(q); err != nil || s.Cache != "1 of 1 worker: table 0 priority=0" || s.Workers != 1 {
		t.Errorf("%v %v", s.Cache, err)
	}
}

// TestTraceAsksBusyWorkers: a worker that forwards is asked when it rests for a moment; one that does not is told of.
func TestTraceAsksBusyWorkers(t *testing.T) {
	b := newBench(t, 2, func(_ *BridgeConfig, e *Env) { e.Workers = 2 })
	q := TraceRequest{Flow: "in_port=1,arp"}
	busy := <-b.sw.workers
	s, err := b.sw.Trace(q)
	if err != nil || s.Asked != 1 || s.Cache != "none: the tables are asked; 1 worker at work, not asked" {
		t.Errorf("%+v, %v", s, err)
	}
	for try := range 20 { // on a busy machine the moment may come too late
		if try > 0 {
			busy = <-b.sw.workers
		}
		go func() { // at work, but for a moment now and then
			time.Sleep(5 * time.Millisecond)
			b.sw.workers <- busy
		}()
		if s, err = b.sw.Trace(q); err != nil || s.Asked == 2 {
			break
		}
	}
	if err != nil || s.Asked != 2 || s.Cache != "none: the tables are asked" || !s.Kept || s.PathFor != "every frame" {
		t.Errorf("%+v, %v", s, err)
	}
}
