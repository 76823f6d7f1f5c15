//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
	"github.com/weirswitch/weir/openflow/oftest"
	"github.com/weirswitch/weir/ports"
)

// driven is a switch in this process whose time goes by itself never.
type driven struct {
	t     *testing.T
	sw    *agent.Switch
	clock *agent.ManualClock
	ends  []*ports.Pipe
}

func newDriven(t *testing.T) *driven {
	t.Helper()
	d := &driven{t: t, clock: new(agent.ManualClock)}
	pipes := new(ports.Pipes)
	cfg := agent.BridgeConfig{Name: "br0", DPID: 1, FailMode: agent.FailSecure}
	for i := 1; i <= 3; i++ {
		name := fmt.Sprintf("p%d", i)
		cfg.Ports = append(cfg.Ports, agent.PortConfig{Spec: ports.Spec{Number: uint32(i), Name: name, Kind: ports.KindPipe, Target: name}})
	}
	cfg.Ports[2].VLAN.Mode, cfg.Ports[2].VLAN.Tag = ports.VLANAccess, 10
	var err error
	d.sw, err = agent.NewSwitch(cfg, agent.Env{Clock: d.clock, Seed: 1, Workers: 1, Identity: "view", Pipes: pipes})
	d.must(err)
	d.must(d.sw.Start())
	t.Cleanup(func() { d.must(d.sw.Close()) })
	for _, p := range cfg.Ports {
		end, err := pipes.End(p.Target)
		d.must(err)
		d.ends = append(d.ends, end)
	}
	near, far := net.Pipe()
	go d.sw.Serve(near)
	c, err := oftest.New(far, oftest.Config{Timeout: time.Minute})
	d.must(err)
	meter, err := ofctl.ParseMeter("meter=7,pktps,burst,bands=type=drop,rate=1,burst_size=2", openflow.MeterAdd)
	d.must(err)
	slow, err := ofctl.ParseMeter("meter=8,kbps,bands=type=dscp_remark,rate=500,prec_level=1,type=drop,rate=1000", openflow.MeterAdd)
	d.must(err)
	group, err := ofctl.ParseGroup("group_id=5,type=select,bucket=weight:3,actions=output:2,bucket=weight:0,watch_port:1,actions=output:3", openflow.GroupAdd, nil)
	d.must(err)
	d.must(c.Apply(meter, slow, group))
	for _, text := range []string{
		"table=1,priority=5,cookie=0x1f,idle_timeout=60,hard_timeout=3600,send_flow_rem,tcp,ip_dst=10.0.0.0/8,actions=dec_ttl,output:1",
		"table=0,priority=7,in_port=1,dl_dst=02:00:00:00:00:09,actions=meter:7,group:5",
		"table=0,priority=7,in_port=1,dl_dst=02:00:00:00:00:08,actions=drop", // behind the one of its priority that came first
		"table=0,priority=0,actions=NORMAL",
		"table=0,priority=9,ipv6,ipv6_src=2001:db8:1111:2222:3333:4444:5555:6666,ipv6_dst=2001:db8:1111:2222:3333:4444:5555:7777,actions=goto_table:1",
	} {
		mod, err := ofctl.ParseFlow(text, openflow.FlowAdd, nil)
		d.must(err)
		d.must(c.Apply(mod))
	}
	d.must(c.Close())
	for err != nil || len(d.sw.Controllers()) > 0 { // until it is noticed
		time.Sleep(time.Millisecond)
	}
	return d
}

func (d *driven) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// work is some traffic, and time.
func (d *driven) work(span time.Duration) {
	d.t.Helper()
	for range 5 {
		d.must(d.ends[0].Inject(frame(9, 1)))
		d.must(d.ends[1].Inject(frame(1, 2)))
	}
	d.settle()
	d.clock.Advance(span)
}

func (d *driven) settle() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d.must(d.sw.Settle(ctx))
}

// view is one whose readings are two seconds apart, with traffic between them.
func (d *driven) view(out io.Writer, readings uint64) *view {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	return &view{t: &tool{out: out}, every: 2 * time.Second, count: readings,
		now:    func() time.Time { return start.Add(d.clock.Now()) },
		wait:   func(context.Context, time.Duration) error { d.work(2 * time.Second); return nil },
		screen: func() (int, int, bool) { return 0, 0, false },
	}
}

func (d *driven) status() []bridgeRow {
	return []bridgeRow{{BridgeStatus: agent.BridgeStatus{Process: agent.ProcessStatus{PID: 4711}, Status: d.sw.Status()}}}
}

func (d *driven) ports() []portRow {
	list, _ := rows(d.sw.Ports(), nil, func(p agent.PortStatus) portRow { return portRow{PortStatus: p} })
	return list
}

// all calls show for each kind of thing that there is to show.
func (d *driven) all(show func(name string, f func(*view) error)) {
	show("status", func(v *view) error { return presentDriven(v, "status", d.status, bridgeRates, printBridges) })
	show("show", func(v *view) error {
		return presentDriven(v, "show", func() []shownRow { return []shownRow{{d.status()[0], d.ports()}} }, shownRates, printShown)
	})
	show("ports", func(v *view) error { return presentDriven(v, "ports br0", d.ports, portRates, printPorts) })
	show("flows", func(v *view) error {
		return presentDriven(v, "flows", func() []flowRow {
			list, _ := rows(d.sw.Flows(-1), nil, func(f agent.FlowStatus) flowRow { return flowRow{FlowStatus: f} })
			return list
		}, flowRates, printFlows)
	})
	show("groups", func(v *view) error {
		return presentDriven(v, "groups", func() []groupRow {
			list, _ := rows(d.sw.Groups(), nil, func(g agent.GroupStatus) groupRow { return groupRow{GroupStatus: g} })
			return list
		}, groupRates, printGroups)
	})
	show("meters", func(v *view) error {
		return presentDriven(v, "meters", func() []meterRow {
			list, _ := rows(d.sw.Meters(), nil, func(m agent.MeterStatus) meterRow { return meterRow{MeterStatus: m} })
			return list
		}, meterRates, printMeters)
	})
	show("fdb", func(v *view) error { return presentDriven(v, "fdb", d.sw.FDB, nil, printFDB) })
}

// presentDriven is present with a switch that answers at once.
func presentDriven[R any](v *view, title string, ask func() []R, rates func(was, is []R, seconds float64), print func(io.Writer, []R, bool)) error {
	return present(v, shown[[]R]{title: title, rates: rates, print: print, ask: func(context.Context) ([]R, error) { return ask(), nil }})
}

// TestViews: what each command prints, once and in two readings of --watch, is what testdata/views.txt has.
func TestViews(t *testing.T) {
	d := newDriven(t)
	d.work(time.Second)
	var out bytes.Buffer
	d.all(func(name string, f func(*view) error) {
		fmt.Fprintf(&out, "$ weir %s\n", name)
		v := d.view(&out, 0)
		v.every = 0
		d.must(f(v))
		fmt.Fprintf(&out, "$ weir %s --watch 2s -c 2\n", name)
		d.must(f(d.view(&out, 2)))
	})
	golden(t, "testdata/views.txt", out.String())
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *updateDocs {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s is not what is printed (-update writes it):\n%s", file, got)
	}
}

// TestViewOnTerminal: each reading takes the place of the one before, cut to the screen.
func TestViewOnTerminal(t *testing.T) {
	d := newDriven(t)
	var out bytes.Buffer
	d.all(func(name string, f func(*view) error) {
		if name != "ports" {
			return
		}
		v := d.view(&out, 2)
		v.screen = func() (int, int, bool) { return 40, 4, true }
		d.must(f(v))
	})
	want := eraseAll + "weir ports br0  every 2s  12:00:00  Ctr>\x1b[K\n" +
		"PORT  NAME  KIND  LINK  MTU  VLAN      >\x1b[K\n... and 3 lines more\x1b[K\n\x1b[J" +
		goHome + "weir ports br0  every 2s  12:00:02  Ctr>\x1b[K\n" +
		"PORT  NAME  KIND  LINK  MTU  VLAN      >\x1b[K\n... and 3 lines more\x1b[K\n\x1b[J"
	if out.String() != want {
		t.Errorf("%q\nwant\n%q", out.String(), want)
	}
}

// TestViewEnds: a reader that has gone and Ctrl-C are the usual ends; a switch that has gone is not.
func TestViewEnds(t *testing.T) {
	gone := errors.New("bridge br0 does not answer")
	for _, c := range []struct {
		out       io.Writer
		ask, wait error
		want      error
	}{
		{out: failingWriter{&os.PathError{Err: syscall.EPIPE}}},
		{out: failingWriter{syscall.ENOSPC}, want: syscall.ENOSPC},
		{out: io.Discard, ask: gone, want: gone},
		{out: io.Discard, wait: io.ErrUnexpectedEOF, want: io.ErrUnexpectedEOF},
	} {
		v := &view{t: &tool{out: c.out}, every: time.Second, now: time.Now, screen: func() (int, int, bool) { return 0, 0, false },
			wait: func(context.Context, time.Duration) error { return c.wait }}
		err := present(v, shown[int]{title: "x", ask: func(context.Context) (int, error) { return 1, c.ask }, print: func(io.Writer, int, bool) {}})
		if !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// TestWatchFlag: how often may be said or not, in one word or two.
func TestWatchFlag(t *testing.T) {
	for typed, want := range map[string]string{"--watch 2s br0": "--watch=2s br0", "br0 --watch 0.5": "br0 --watch=0.5", "--watch br0": "--watch br0", "--watch --json": "--watch --json",
		"--watch": "--watch", "flows --watch=1s 5": "flows --watch=1s 5"} {
		if got := strings.Join(joinWatch(strings.Fields(typed)), " "); got != want {
			t.Errorf("%s: %s, want %s", typed, got, want)
		}
	}
	for text, want := range map[string]time.Duration{"true": time.Second, "3": 3 * time.Second, "0.25": 250 * time.Millisecond, "1m30s": 90 * time.Second} {
		var v view
		if err := (*watchFlag)(&v).Set(text); err != nil || v.every != want {
			t.Errorf("%s: %s, %v", text, v.every, err)
		}
	}
}

// TestRatesStartAnew: what is another thing by the same name has no rate, and what is new has none.
func TestRatesStartAnew(t *testing.T) {
	was := []flowRow{{FlowStatus: agent.FlowStatus{Match: "a", Packets: 5, Duration: 9}}, {FlowStatus: agent.FlowStatus{Match: "b", Packets: 5}}}
	is := []flowRow{{FlowStatus: agent.FlowStatus{Match: "a", Packets: 9, Duration: 3}}, {FlowStatus: agent.FlowStatus{Match: "b", Packets: 4, Bytes: 8}},
		{FlowStatus: agent.FlowStatus{Match: "c", Packets: 4}}}
	flowRates(was, is, 2)
	if is[0].PacketRate != nil || is[1].PacketRate != nil || is[1].ByteRate == nil || *is[1].ByteRate != 4 || is[2].PacketRate != nil {
		t.Errorf("%+v", is)
	}
	if rate(1, 2, 0) != nil {
		t.Error("a rate over no time")
	}
}

func TestVolume(t *testing.T) {
	for n, want := range map[float64]string{0: "0B", 3.4: "3B", 999: "999B", 1000: "1.00kB", 7980: "7.98kB", 9996: "10.0kB", 99960: "100kB", 999499: "999kB",
		999500: "1.00MB", 1.5e9: "1.50GB", 1 << 63: "9EB"} {
		if got := volume(n); got != want {
			t.Errorf("%v: %s, want %s", n, got, want)
		}
	}
}

// TestSchema: the names and kinds of what --json prints are an interface: testdata/schema.txt has them all. A change of it
// breaks who reads them, and belongs into the CHANGELOG.
func TestSchema(t *testing.T) {
	var b strings.Builder
	for _, c := range []struct {
		name string
		v    any
	}{{"status", []bridgeRow{}}, {"show", []shownRow{}}, {"ports", []portRow{}}, {"flows", []flowRow{}}, {"groups", []groupRow{}}, {"meters", []meterRow{}},
		{"fdb show", []agent.MACStatus{}}, {"fdb flush", agent.Flushed{}}, {"trace", []agent.TraceStatus{}}, {"snoop", agent.Snooped{}},
		{"capture", agent.Captured{}}, {"watch", agent.Watched{}}} {
		schema(&b, "weir "+c.name+" --json: ", reflect.TypeOf(c.v))
	}
	golden(t, "testdata/schema.txt", b.String())
}

// schema writes a line for each name, in the order in which JSON has them.
func schema(b *strings.Builder, path string, t reflect.Type) {
	kind := ""
	switch t.Kind() {
	case reflect.Uint64:
		kind = "number"
		if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			kind = "text"
		}
	case reflect.Pointer:
		schema(b, path, t.Elem())
		return
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			kind = "base64"
			break
		}
		schema(b, path+"[]", t.Elem())
		return
	case reflect.Map:
		schema(b, path+"{}", t.Elem())
		return
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			kind = "time"
			break
		}
		for i := range t.NumField() {
			f := t.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case name == "-":
			case f.Anonymous && name == "":
				schema(b, path, f.Type)
			case strings.Contains(options, "omitempty"):
				schema(b, path+"."+name+"?", f.Type)
			default:
				schema(b, path+"."+name, f.Type)
			}
		}
		return
	case reflect.String:
		kind = "text"
	case reflect.Bool:
		kind = "bool"
	default:
		kind = "number"
	}
	fmt.Fprintf(b, "%s %s\n", path, kind)
}

// TestPortNotes: below the table stands how a port runs, where there are several ways, and why one does not.
func TestPortNotes(t *testing.T) {
	var out strings.Builder
	printPorts(&out, []portRow{{PortStatus: agent.PortStatus{Name: "eth1", How: "native, zero-copy"}}, {PortStatus: agent.PortStatus{Name: "eth2"}},
		{PortStatus: agent.PortStatus{Name: "eth3", Problem: "gone"}}}, false)
	if _, below, _ := strings.Cut(out.String(), "eth3 "); !strings.HasSuffix(below, "-\neth1: native, zero-copy\neth3: gone\n") {
		t.Error(out.String())
	}
}
