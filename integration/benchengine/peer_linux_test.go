package benchengine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/weirswitch/weir/integration/bench"
	"github.com/weirswitch/weir/integration/lab"
	"github.com/weirswitch/weir/openflow"
)

// peer is an Open vSwitch with DPDK. It runs through all rounds; while it is weir's turn no source is plugged in, and its
// polling thread sleeps.
type peer struct {
	*bench.DPDK
	lab *lab.Lab
	dir string        // of the rules and frames that weir's benchmarks have handed over
	len time.Duration // of a figure
}

func startPeer(ctx context.Context, dir string, length time.Duration) (*peer, error) {
	l, err := lab.New()
	if err != nil {
		return nil, err
	}
	d, err := bench.NewDPDK(ctx, l, "OVS-DPDK")
	if err != nil {
		l.Close()
		return nil, err
	}
	return &peer{d, l, dir, length}, nil
}

func (p *peer) close() {
	p.Close()
	p.lab.Close()
}

// file is one that weir's benchmarks have handed over.
func (p *peer) file(format string, args ...any) string {
	return filepath.Join(p.dir, fmt.Sprintf(format, args...))
}

// device is a source that has a pcap file's frames in memory and gives them out again and again.
func (p *peer) device(file string) string { return "net_pcap0,rx_pcap=" + file + ",infinite_rx=1" }

// nothing is a source of one frame, which costs nothing to make.
const nothing = "net_null0,size=64"

// load makes the rules for n flows its table; with n = 1, one that takes everything.
func (p *peer) load(n int) error {
	stream := openflow.Append(nil, 1, bench.DeleteAll())
	if n == 1 {
		stream = openflow.Append(stream, 2, &openflow.FlowMod{Match: openflow.NewMatch(openflow.Exact(openflow.InPort, 1)), BufferID: openflow.NoBuffer,
			OutPort: openflow.PortAny, OutGroup: openflow.GroupAny, Instructions: openflow.NewInstructions(openflow.ApplyActions(openflow.Output(2)))})
	} else {
		rules, err := os.ReadFile(p.file("rules-%d", n))
		if err != nil {
			return err
		}
		stream = append(stream, rules...)
	}
	_, err := p.Finish(stream)
	return err
}

// numberAfter reads the number behind the first place where a text has the words.
func numberAfter(text, words string) (int, error) {
	_, rest, ok := strings.Cut(text, words)
	if !ok {
		return 0, fmt.Errorf("no %q in %q", words, text)
	}
	rest = strings.TrimLeft(rest, " ")
	return strconv.Atoi(rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))])
}

// caches says which of its caches serve, and waits until they hold what they will hold. Frames find their way into the
// exact match cache one in a hundred, as by default; while it fills, all of them do.
func (p *peer) caches(ctx context.Context, name string) error {
	set := func(in int) error {
		return p.Vsctl(ctx, "set", "Open_vSwitch", ".", fmt.Sprintf("other_config:emc-insert-inv-prob=%d", in), fmt.Sprintf("other_config:smc-enable=%v", name == nameSMC))
	}
	if name == nameDpcls {
		return errors.Join(set(0), p.settle(ctx))
	}
	return errors.Join(set(1), p.settle(ctx), set(100))
}

// reading is what it has done so far.
type reading struct {
	sent, missed, failed int
	worked               time.Duration
}

func (p *peer) read(ctx context.Context) (r reading, err error) {
	text, err := p.Appctl(ctx, "dpif-netdev/pmd-stats-show")
	if err != nil {
		return r, err
	}
	var errs [4]error
	r.missed, errs[0] = numberAfter(text, "miss with success upcall:")
	r.failed, errs[1] = numberAfter(text, "miss with failed upcall:")
	text, errs[2] = p.Appctl(ctx, "dpctl/show", "-s")
	if _, text, _ = strings.Cut(text, ": p2 ("); errs[2] == nil {
		r.sent, errs[2] = numberAfter(text, "TX packets:")
	}
	r.worked, errs[3] = p.Worked()
	return r, errors.Join(errs[:]...)
}

// span is the difference of two readings.
func (p *peer) span(ctx context.Context, d time.Duration) (reading, error) {
	a, err := p.read(ctx)
	if err != nil {
		return a, err
	}
	if err := wait(ctx, d); err != nil {
		return a, err
	}
	b, err := p.read(ctx)
	b.sent, b.missed, b.failed, b.worked = b.sent-a.sent, b.missed-a.missed, b.failed-a.failed, b.worked-a.worked
	return b, err
}

// rate of some events, in millions a second of the polling thread.
func (r reading) rate(n int) float64 {
	if r.worked <= 0 { // others had its processor
		return 0
	}
	return float64(n) / r.worked.Seconds() / 1e6
}

// How long it takes until it is at rest: its classifier puts its masks in order once a second, by how many frames met
// each, and must do so twice after it has met each flow; 100,000 flows take two seconds to be met.
const (
	settled  = 2 * time.Second
	patience = 10 * time.Second
)

// errRestless says that it goes on meeting flows as if for the first time. There is no rate at rest then.
var errRestless = fmt.Errorf("OVS-DPDK still met new flows after %v", patience)

// settle waits until it has met no new flow for a while of its own time.
func (p *peer) settle(ctx context.Context) error {
	const look = 250 * time.Millisecond
	worked := time.Duration(0) // since the last new flow
	for end := time.Now().Add(patience); time.Now().Before(end); {
		r, err := p.span(ctx, look)
		if err != nil {
			return err
		}
		if r.restless() {
			worked = 0
			if err := p.KeepFlows(ctx); err != nil {
				return err
			}
			continue
		}
		if worked += r.worked; worked >= settled {
			return nil
		}
	}
	return errRestless
}

// restless says that more than a frame in a thousand was new.
func (r reading) restless() bool { return r.missed+r.failed > r.sent/1000 }

// forwards is how many frames it forwards, in millions a second.
func (p *peer) forwards(ctx context.Context) (float64, error) {
	r, err := p.span(ctx, p.len)
	switch {
	case err != nil:
	case r.sent == 0 || r.worked <= 0:
		err = errors.New("others had its processor")
	case r.restless():
		err = errRestless
	}
	return r.rate(r.sent), err
}

// change sends FLOW_MODs at a steady rate, as BenchmarkEngineChanges makes them.
func (p *peer) change(stop <-chan struct{}, changes *mods) error {
	const rate, tick = 1000, 10 * time.Millisecond
	start, sent := time.Now(), 0
	for ticker := time.NewTicker(tick); ; {
		select {
		case <-stop:
			ticker.Stop()
			return nil
		case <-ticker.C:
		}
		due := int(time.Since(start).Seconds()*rate) - sent
		sent += due
		if _, err := p.Finish(changes.next(due)); err != nil {
			return err
		}
	}
}

// mods is an endless list of FLOW_MODs.
type mods struct {
	all []byte
	at  int
}

func readMods(file string) (*mods, error) {
	b, err := os.ReadFile(file)
	if err == nil && len(b) == 0 {
		err = fmt.Errorf("%s is empty", file)
	}
	return &mods{all: b}, err
}

// next has n of them.
func (m *mods) next(n int) []byte {
	var b bytes.Buffer
	for range n {
		size := int(binary.BigEndian.Uint16(m.all[m.at+2:]))
		b.Write(m.all[m.at : m.at+size])
		if m.at += size; m.at == len(m.all) {
			m.at = 0
		}
	}
	return b.Bytes()
}

// The peer's turns.

// one is a single flow, with and without a cache, and one rule for many flows: what its source of frames costs.
func (t *turn) one() error {
	if err := errors.Join(t.p.load(1), t.p.Plug(t.ctx, nothing)); err != nil {
		return err
	}
	if err := t.cached(oneFlow, nameEMC, nameDpcls); err != nil {
		return err
	}
	for _, c := range []struct {
		row   bench.Row
		flows int
	}{{oneRule, 1000}, {oneRuleMany, 100_000}} {
		if err := errors.Join(t.p.Unplug(t.ctx), t.p.Plug(t.ctx, t.p.device(t.p.file("frames-%d.pcap", c.flows)))); err != nil {
			return err
		}
		if err := t.cached(c.row, nameEMC); err != nil {
			return err
		}
	}
	return nil
}

// small, middle and large are tables with a rule for each flow.
func (t *turn) small() error {
	if err := t.table(1000, small, nameEMC, nameSMC); err != nil {
		return err
	}
	return t.cached(wildSmall, nameDpcls)
}

func (t *turn) middle() error {
	const n = 10_000
	if err := t.table(n, middle, nameEMC); err != nil {
		return err
	}
	return errors.Join(t.changing(keptMiddle, n), t.cached(middle, nameSMC), t.cached(wildMiddle, nameDpcls))
}

func (t *turn) large() error {
	const n = 100_000
	if err := t.table(n, large, nameEMC); err != nil {
		return err
	}
	return errors.Join(t.changing(keptLarge, n), t.cached(large, nameSMC, nameDpcls))
}

func (t *turn) table(n int, w bench.Row, names ...string) error {
	if err := errors.Join(t.p.load(n), t.p.Plug(t.ctx, t.p.device(t.p.file("frames-%d.pcap", n)))); err != nil {
		return err
	}
	return t.cached(w, names...)
}

// cached measures what is plugged in with some of its caches.
func (t *turn) cached(w bench.Row, names ...string) error {
	for _, name := range names {
		err := t.p.caches(t.ctx, name)
		v := 0.0
		if err == nil {
			v, err = t.p.forwards(t.ctx)
		}
		if errors.Is(err, errRestless) {
			t.restless(name, w)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		t.add(name, w, v)
	}
	return nil
}

// restless writes down that there is no figure, because the peer never came to rest.
func (t *turn) restless(name string, w bench.Row) {
	fmt.Fprint(os.Stderr, " -")
	t.note("%s has no figure for %q in round %d: %v", name, w.Name, t.round, errRestless)
}

// changing compares the rate at rest with the one while the table changes. Caches are as they were set last: the EMC alone.
func (t *turn) changing(w bench.Row, n int) error {
	rest, err := t.p.forwards(t.ctx)
	if errors.Is(err, errRestless) {
		t.restless(nameEMC, w)
		return nil
	}
	if err != nil {
		return err
	}
	changes, err := readMods(t.p.file("changes-%d", n))
	if err != nil {
		return err
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- t.p.change(stop, changes) }()
	err = wait(t.ctx, t.p.len/2) // as it is after a while
	var r reading
	if err == nil {
		r, err = t.p.span(t.ctx, t.p.len)
	}
	close(stop)
	if err = errors.Join(err, <-done); err != nil {
		return err
	}
	t.add(nameEMC, w, r.rate(r.sent)/rest)
	return nil
}

// misses lets it meet flows for the first time.
func (t *turn) misses() error {
	const n = 100_000
	if err := t.p.load(n); err != nil {
		return err
	}
	for _, c := range []struct {
		row  bench.Row
		file string
	}{{missRules, fmt.Sprintf("frames-%d.pcap", n)}, {missAny, "strangers.pcap"}} {
		if err := t.p.Plug(t.ctx, t.p.device(t.p.file("%s", c.file))); err != nil {
			return err
		}
		r, err := t.p.span(t.ctx, 400*time.Millisecond)
		if err == nil && r.missed < r.sent/2 {
			err = fmt.Errorf("%s: it knew most of %d flows before it was looked at", c.row.Name, n)
		}
		if err != nil {
			return err
		}
		if r.failed > r.missed/100 {
			t.note("OVS-DPDK refused %d new flows of %d", r.failed, r.failed+r.missed)
		}
		t.add(nameEMC, c.row, r.rate(r.missed))
		if err := t.p.Unplug(t.ctx); err != nil {
			return err
		}
	}
	return nil
}

// wait lets time pass.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
