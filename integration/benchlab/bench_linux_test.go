package benchlab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/bench"
	"github.com/weirswitch/weir/integration/lab"
)

var (
	rounds   = flag.Int("bench.rounds", 0, "rounds of a full run; 0: a smoke test")
	seconds  = flag.Float64("bench.seconds", 1, "how long each figure is measured in a full run")
	only     = flag.String("bench.only", "", "measure only the families whose name matches this `REGEXP`")
	switches = flag.String("bench.switches", "", "measure only the switches whose name matches this `REGEXP`")
	sizes    = flag.String("bench.tables", "1000,10000,100000", "rules of the tables of a full run")
	program  = flag.String("bench.weir", "", "measure this `FILE` instead of a weir built from here")
	report   = flag.String("bench.report", "", "`FILE` to write the page to; its plots go beside it")
)

// options say how much is measured.
type options struct {
	length  time.Duration // of each figure
	perFlow time.Duration // of warming up, for a switch with tables
	tables  []int         // rules
	churned int           // rules of the table that is changed
	many    int           // flows, where many are wanted of a source
	repeats int           // of what others on the machine disturb most (TCP, round trips), for one figure
}

// family is a group of rows that are measured together, and have a plot together.
type family struct {
	name     string
	title    string
	switches []string
	measure  func(*run) error
	unopened bool // measure starts the switch itself
}

func families() []family {
	speakers := []string{bench.Weir, nameOVS, nameAFXDP}
	both := slices.Concat(speakers[:1], []string{nameXSK}, speakers[1:])
	kernel := []string{nameBridge, nameTC, nameXDP}
	hosts := slices.Concat(both, []string{nameWhole}, kernel)
	polls := []string{namePoll, nameXPoll}
	trips := slices.Concat([]string{nameSpin, nameXSpin}, polls, []string{nameSleep}, hosts[1:])
	return []family{
		{name: "sources", title: "The sources with nothing behind them", switches: []string{nameDropTC, nameDropX}, measure: (*run).sources},
		{name: "pps", title: "64-byte frames, one flow", switches: slices.Concat(speakers[:1], []string{nameLong}, both[1:2], polls, both[2:], []string{nameRing}, kernel), measure: (*run).cables},
		{name: "tables", title: "Tables of mixed masks, live frames", switches: slices.Concat(speakers, []string{nameRing}), measure: (*run).tables},
		{name: "churn", title: "Forwarding while the table changes, live frames", switches: speakers, measure: (*run).churn},
		{name: "tcp", title: "TCP", switches: hosts, measure: (*run).tcp},
		{name: "rtt", title: "Latency", switches: trips, measure: (*run).trips},
		{name: "rest", title: "Start and rest", switches: slices.Concat(both, []string{nameSpin}), measure: (*run).rest, unopened: true},
	}
}

func TestMain(m *testing.M) {
	if how := os.Getenv(forwardEnv); how != "" {
		fmt.Fprintln(os.Stderr, "bare forwarder:", forward(how))
		os.Exit(1)
	}
	flag.Parse()
	if err := lab.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, "benchlab:", err)
		if os.Getenv("CI") == "true" {
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, "skip: network namespaces are needed")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestDataPath measures weir, its peers and the limits of the machine on the same work, turn by turn. Without flags it
// is a smoke test: tiny counts, figures that mean nothing and are not looked at, but frames that pass every switch.
func TestDataPath(t *testing.T) {
	for _, p := range []string{"ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "taskset", "iperf3", "ping", "ethtool"} {
		if _, err := exec.LookPath(p); err != nil {
			lacking(t, "%s is not installed (make deps installs it on Debian)", p)
		}
	}
	if lab.Entered() {
		lacking(t, "programs in the kernel and the bridge of Open vSwitch need root")
	}
	// The first Ctrl-C ends the run in order, the second at once. SIGTERM always ends it in order: timeout and make send it both.
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })

	b := newBoard(t, ctx)
	b.measure()
	if b.ctx.Err() != nil {
		t.Fatal("interrupted: nothing was written")
	}
	t.Logf("\n%s", b.page())
	if *report != "" {
		b.write(*report)
	}
}

// lacking skips, or fails with CI=true.
func lacking(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// board is a whole measurement.
type board struct {
	*testing.T
	ctx      context.Context
	o        options
	bin      string
	head     string
	families []family
	kinds    []kind
	reports  map[string]*bench.Report // of each family
	notes    []string
	began    time.Time
}

func newBoard(t *testing.T, ctx context.Context) *board {
	t.Helper()
	b := &board{T: t, ctx: ctx, reports: map[string]*bench.Report{}, began: time.Now(),
		o: options{length: 50 * time.Millisecond, tables: []int{16, 64}, churned: 32, many: 64, repeats: 1}}
	if *rounds > 0 {
		b.o = options{length: time.Duration(*seconds * float64(time.Second)), perFlow: 60 * time.Microsecond, churned: 10000, many: 100000, repeats: 5}
		for word := range strings.SplitSeq(*sizes, ",") {
			n, err := strconv.Atoi(word)
			if err != nil {
				t.Fatalf("-bench.tables: %v", err)
			}
			b.o.tables = append(b.o.tables, n)
		}
	}
	wantedFamily, err := regexp.Compile(*only)
	b.ok(err)
	wantedSwitch, err := regexp.Compile(*switches)
	b.ok(err)
	b.families = slices.DeleteFunc(families(), func(f family) bool { return !wantedFamily.MatchString(f.name) })
	b.kinds = slices.DeleteFunc(kinds(), func(k kind) bool { return !wantedSwitch.MatchString(k.name) })
	if len(b.families) == 0 || len(b.kinds) == 0 {
		t.Fatalf("-bench.only=%s and -bench.switches=%s leave nothing to measure", *only, *switches)
	}
	for _, f := range b.families {
		b.reports[f.name] = &bench.Report{}
	}
	if b.bin = *program; b.bin == "" {
		b.bin, err = bench.BuildWeir("../..", t.TempDir())
		b.ok(err)
	}
	b.head, err = bench.Describe(b.bin)
	b.ok(err)
	b.ok(bench.Pin()) // not before: the compiler may use all processors
	return b
}

func (b *board) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// turn is that of one switch in one round, with the families that are measured on it.
type turn struct {
	round    int
	k        kind
	families []family
}

// plan lists the turns. In a full run all switches are measured on one family of rows before the next family has its
// turn, each in a fresh lab, and each round begins with another switch. The smoke test starts each switch only once.
func (b *board) plan() (all []turn) {
	groups := [][]family{b.families}
	if *rounds > 0 {
		groups = slices.Collect(slices.Chunk(b.families, 1))
	}
	for round := range max(1, *rounds) {
		for _, group := range groups {
			for i := range b.kinds {
				k := b.kinds[(i+round)%len(b.kinds)]
				fit := slices.DeleteFunc(slices.Clone(group), func(f family) bool { return !slices.Contains(f.switches, k.name) })
				if len(fit) > 0 {
					all = append(all, turn{round + 1, k, fit})
				}
			}
		}
	}
	return all
}

// measure takes the turns until it is interrupted.
func (b *board) measure() {
	all := b.plan()
	for i, t := range all {
		if b.ctx.Err() == nil {
			b.take(t, fmt.Sprintf("turn %d of %d, round %d", i+1, len(all), t.round))
		}
	}
}

// take measures a switch on its turn.
func (b *board) take(t turn, what string) {
	k := t.k
	c := &run{board: b, s: &sut{kind: k, bin: b.bin}}
	defer func() {
		if c.s.lab != nil {
			c.s.close()
		}
	}()
	for _, f := range t.families {
		if c.s.lab == nil && !f.unopened {
			s, err := startSUT(b.ctx, k, b.bin)
			if err != nil {
				b.failed(k, f, err)
				return
			}
			c.s = s
		}
		if f.unopened && c.s.lab != nil { // one switch at a time
			c.s.close()
			c.s = &sut{kind: k, bin: b.bin}
		}
		c.f = f
		fmt.Fprintf(os.Stderr, "%4.0fs  %s  %-7s %-15s", time.Since(b.began).Seconds(), what, f.name, k.name)
		err := f.measure(c)
		fmt.Fprintln(os.Stderr)
		if err != nil {
			b.failed(k, f, fmt.Errorf("%w%s", err, c.s.said()))
		}
	}
}

// failed writes down what could not be measured; the rest goes on.
func (b *board) failed(k kind, f family, err error) {
	first, _, _ := strings.Cut(err.Error(), "\n")
	switch {
	case b.ctx.Err() != nil:
	case errors.Is(err, bench.ErrNoAFXDP), errors.Is(err, errNoKind):
		b.note("%s: %s", k.name, first)
	default:
		b.Errorf("%s, %s: %v", f.name, k.name, err)
		b.note("%s could not be measured (%s): %s", k.name, f.name, first)
	}
}

// note keeps a remark for the page, once.
func (b *board) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(b.notes, text) {
		b.notes = append(b.notes, text)
	}
}

// run is the turn of one switch in one family.
type run struct {
	*board
	s *sut
	f family
}

// add files a figure and shows it.
func (c *run) add(w bench.Row, v float64) {
	c.reports[c.f.name].Add(c.s.name, w, v)
	fmt.Fprintf(os.Stderr, " %s", bench.Number(v))
}

// wait lets time pass.
func (c *run) wait(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}
