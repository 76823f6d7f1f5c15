package benchengine

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
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/bench"
)

var (
	rounds  = flag.Int("bench.rounds", 0, "rounds of a full run; 0: a smoke test of weir's side")
	seconds = flag.Float64("bench.seconds", 1, "how long each figure is measured in a full run")
	only    = flag.String("bench.only", "", "measure only the groups of rows whose name matches this `REGEXP`")
	report  = flag.String("bench.report", "", "`FILE` to write the page to; its plot goes beside it")
)

// TestEngine measures the engine of weir and that of Open vSwitch with DPDK on the same work, turn by turn. Without flags
// it is a smoke test: weir alone, each benchmark once, figures that mean nothing and are not looked at.
func TestEngine(t *testing.T) {
	if _, err := exec.LookPath("taskset"); err != nil {
		t.Fatal(err)
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
	b.complete()
	if *report != "" {
		b.write(*report)
	}
}

// board is a whole measurement.
type board struct {
	*testing.T
	ctx     context.Context
	matters []matter
	w       *weir
	p       *peer // nil where there is none
	rep     *bench.Report
	head    string
	notes   []string
	began   time.Time
}

func newBoard(t *testing.T, ctx context.Context) *board {
	t.Helper()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	smoke := *rounds == 0
	b := &board{T: t, ctx: ctx, rep: &bench.Report{}, began: time.Now()}
	b.matters = slices.DeleteFunc(matters(), func(m matter) bool { return smoke && !m.tiny || !wanted.MatchString(m.name) })
	if len(b.matters) == 0 {
		t.Fatalf("-bench.only=%s leaves nothing to measure", *only)
	}
	length := time.Duration(*seconds * float64(time.Second))
	if smoke {
		length = 0
	}
	if b.w, err = buildWeir(t.TempDir(), benchtime(length), b.matters); err != nil {
		t.Fatal(err)
	}
	ovs := ""
	if wants := func(m matter) bool { return m.peer != nil }; !smoke && slices.ContainsFunc(b.matters, wants) {
		b.findPeer(length)
		ovs = bench.DPDKDaemon
	}
	if b.p == nil {
		ovs = ""
	}
	if b.head, err = bench.DescribeCore("../..", ovs); err != nil {
		t.Fatal(err)
	}
	return b
}

// findPeer starts Open vSwitch, or notes why weir is measured alone.
func (b *board) findPeer(length time.Duration) {
	if _, err := os.Stat(bench.DPDKDaemon); err != nil {
		b.note("Open vSwitch with DPDK is not installed here (as root on Debian: `integration/deps.sh dpdk`), so its figures are missing")
		return
	}
	if os.Geteuid() != 0 {
		b.note("Open vSwitch with DPDK was not measured: that needs root, for its huge pages")
		return
	}
	b.step("starting Open vSwitch with DPDK\n")
	dir := b.TempDir()
	b.Cleanup(b.endPeer)
	if err := b.w.handOver(b.ctx, dir); err != nil {
		b.failed("starting Open vSwitch with DPDK", err)
		return
	}
	b.startPeer(dir, length)
}

func (b *board) startPeer(dir string, length time.Duration) {
	p, err := startPeer(b.ctx, dir, length)
	if err != nil {
		b.failed("starting Open vSwitch with DPDK", err)
		return
	}
	b.p = p
}

func (b *board) endPeer() {
	if b.p != nil {
		b.p.close()
		b.p = nil
	}
}

// renewPeer starts Open vSwitch anew for another round: after one with misses it meets new flows for ever.
func (b *board) renewPeer() {
	if p := b.p; p != nil {
		b.endPeer()
		b.startPeer(p.dir, p.len)
	}
}

// measure takes the turns, in an order that changes from round to round, until it is interrupted.
func (b *board) measure() {
	if err := bench.Pin(); err != nil {
		b.Fatal(err)
	}
	for round := range max(1, *rounds) {
		if round > 0 && b.ctx.Err() == nil {
			b.renewPeer()
		}
		for _, m := range b.matters {
			sides := []func(*turn) error{(*turn).weir, (*turn).peer}
			if round%2 == 1 {
				slices.Reverse(sides)
			}
			for _, side := range sides {
				if b.ctx.Err() == nil {
					side(&turn{b, m, round + 1})
				}
			}
		}
	}
}

// turn is that of one side in one group of rows.
type turn struct {
	*board
	m     matter
	round int
}

func (t *turn) weir() error {
	t.step("round %d, %-7s weir    ", t.round, t.m.name)
	for _, a := range t.m.weir {
		v, err := t.w.measure(t.ctx, a)
		if err != nil {
			t.failed(a.row.Name, err)
			continue
		}
		t.add(bench.Weir, a.row, v)
	}
	fmt.Fprintln(os.Stderr)
	return nil
}

func (t *turn) peer() error {
	if t.m.peer == nil || t.p == nil {
		return nil
	}
	t.step("round %d, %-7s OVS-DPDK", t.round, t.m.name)
	err := errors.Join(t.m.peer(t), t.p.Unplug(t.ctx))
	fmt.Fprintln(os.Stderr)
	if err != nil {
		t.failed("OVS-DPDK, "+t.m.name, err)
	}
	return nil
}

// add files a figure and shows it.
func (t *turn) add(name string, w bench.Row, v float64) {
	t.rep.Add(name, w, v)
	fmt.Fprintf(os.Stderr, " %s", bench.Number(v))
}

func (b *board) step(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0fs  "+format, append([]any{time.Since(b.began).Seconds()}, args...)...)
}

// failed writes down what could not be measured; the rest goes on.
func (b *board) failed(what string, err error) {
	if b.ctx.Err() != nil {
		return
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	b.Errorf("%s: %v", what, err)
	b.note("%s could not be measured: %s", what, first)
}

// note keeps a remark for the page, once.
func (b *board) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(b.notes, text) {
		b.notes = append(b.notes, text)
	}
}

// complete looks whether weir has a figure in every row that was asked for.
func (b *board) complete() {
	for _, m := range b.matters {
		for _, a := range m.weir {
			if len(b.rep.Figures(a.row.Name, bench.Weir)) != max(1, *rounds) {
				b.Errorf("%q of weir was not measured in each round", a.row.Name)
			}
		}
	}
}
