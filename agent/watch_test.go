package agent

import (
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// watching joins those who watch.
func watching(t testing.TB, sw *Switch, filter string, rate int) *viewer {
	t.Helper()
	f, err := sw.parseFilter(filter)
	if err != nil {
		t.Fatal(err)
	}
	o := newViewer(f, rate)
	if err := sw.viewers.join(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sw.viewers.leave(o) })
	return o
}

// TestWatch: what is told of quiet traffic: each frame, its entries, where it went.
func TestWatch(t *testing.T) {
	b := newBench(t, 3)
	b.clock.Advance(time.Minute)
	all, few := watching(t, b.sw, "", 100), watching(t, b.sw, "dl_dst=02:00:00:00:00:07", 100)
	b.mods(
		&openflow.FlowMod{Priority: 9, Cookie: 0xc0, Match: openflow.NewMatch(openflow.Exact(openflow.EthDst, 0x020000000007)),
			Instructions: openflow.NewInstructions(openflow.ApplyActions(openflow.Output(2)), openflow.GotoTable(4))},
		&openflow.FlowMod{TableID: 4, Priority: 3, Instructions: openflow.NewInstructions(openflow.ApplyActions(
			openflow.Action{Type: openflow.ActionSetQueue, Queue: 5}, openflow.Output(3)))},
	)
	b.send(1, frame(7, 1, "x"))
	b.expect(frame(7, 1, "x"), 2, 3)
	b.clock.Advance(time.Second)
	b.send(1, frame(8, 1, "y"))
	b.expect(frame(8, 1, "y"), 2, 3) // NORMAL floods
	b.settle()
	got := b.verdicts(all)
	if len(got) != 2 || len(b.verdicts(few)) != 1 {
		t.Fatalf("%+v", got)
	}
	one, two := got[0], got[1]
	if len(one.Entries) != 2 || one.Entries[0] != (WatchedEntry{0, 9, "0xc0"}) || one.Entries[1] != (WatchedEntry{4, 3, "0x0"}) ||
		len(one.Out) != 2 || one.Out[0] != (WatchedPort{2, "p2", 0}) || one.Out[1] != (WatchedPort{3, "p3", 5}) ||
		one.InPort != 1 || one.InName != "p1" || one.Length != 60 || string(one.Data) != string(frame(7, 1, "x")) || one.Cached || one.OneIn != 1 {
		t.Errorf("%+v", one)
	}
	if len(two.Entries) != 1 || len(two.Out) != 2 || two.Drops != nil {
		t.Errorf("%+v", two)
	}
}

// mods carries out FLOW_MODs and publishes.
func (b *bench) mods(list ...*openflow.FlowMod) {
	b.t.Helper()
	for _, m := range list {
		m.BufferID = openflow.NoBuffer
		if _, err := b.sw.pipe.FlowMod(0, m); err != nil {
			b.t.Fatal(err)
		}
	}
	b.sw.pipe.Publish()
}

func (b *bench) verdicts(o *viewer) (list []Watched) {
	notes, data, missed := o.take(nil, nil)
	for _, n := range notes {
		list = append(list, b.sw.watched(n.what, data[n.from:n.to], n.missed+missed))
	}
	return list
}

// TestWatchIsBounded: of heavy traffic no more is looked at and told than the rates allow, frames of all
// ports of a batch come to be looked at, and the verdicts say how thin the sample is.
func TestWatchIsBounded(t *testing.T) {
	b := newBench(t, 0, oneWorker)
	b.clock.Advance(time.Minute)
	in, p := stuff(b, 1)
	out, _ := stuff(b, 2)
	w := b.sw.allWorkers[0]
	all, none := watching(t, b.sw, "", 50), watching(t, b.sw, "dl_dst=02:00:00:00:00:99", 1000)
	const batches = 40_000 // of 64 frames in 2 s: 1.28 million frames a second
	told := 0
	for i := range batches {
		in.left = batchSize
		w.serve(p, maxRounds)
		b.clock.Advance(2 * time.Second / batches)
		if i%1000 == 0 {
			for _, v := range b.verdicts(all) {
				told++
				if i > 2000 && (v.OneIn < 60 || v.Missed > 0) {
					t.Errorf("one in %d was looked at", v.OneIn)
				}
			}
		}
	}
	told += len(b.verdicts(all))
	if told < 95 || told > 105 {
		t.Errorf("%d verdicts in 2 s at 50 a second", told)
	}
	if most := uint64(2*time.Second/looksEvery + watchBurst/looksEvery); none.looked.Load() > most || none.looked.Load() < most*9/10 {
		t.Errorf("%d frames were compared in vain: want about %d", none.looked.Load(), most)
	}
	if len(b.verdicts(none)) != 0 || out.written != batches*batchSize {
		t.Errorf("%d frames were forwarded of %d", out.written, batches*batchSize)
	}
}

// TestWatchKeepsOrder: watched frames leave in their turn.
func TestWatchKeepsOrder(t *testing.T) {
	b := newBench(t, 2)
	o := watching(t, b.sw, "", 1000)
	for i := range 200 {
		b.clock.Advance(time.Millisecond)
		f := frame(2, 1, string(rune('a'+i)))
		b.send(1, f)
		b.expect(f, 2)
	}
	b.settle()
	if n := len(b.verdicts(o)); n < 150 {
		t.Errorf("%d verdicts of 200 frames", n)
	}
}

// TestEachFrameOfABatchIsWatchedInTurn: under load batches are full, and traffic may repeat in step with them.
func TestEachFrameOfABatchIsWatchedInTurn(t *testing.T) {
	b := newBench(t, 1)
	o := watching(t, b.sw, "", 1000)
	frames := make([]*packet.Frame, batchSize)
	for i := range frames {
		frames[i] = packet.NewFrame(64)
		frames[i].SetBytes(frame(2, 1, "a frame"))
	}
	var all uint64
	for i := range batchSize {
		all |= o.pick(time.Hour+time.Duration(i)*time.Second, frames)
	}
	if all != ^uint64(0) {
		t.Errorf("of full batches only %064b was looked at", all)
	}
}

// TestPace: rates hold, also those below one in a burst, and a rest saves up no more than a burst.
func TestPace(t *testing.T) {
	for _, every := range []time.Duration{looksEvery, time.Millisecond, time.Second, 3 * time.Second} {
		p := pace{every: every}
		now, n := time.Hour, 0
		for range 10_000 {
			now += every / 10
			n += p.take(now, 1)
		}
		burst := int(max(watchBurst, every) / every)
		if n < 1000 || n > 1000+burst {
			t.Errorf("every %s: %d in the time of 1000", every, n)
		}
		if now += time.Hour; p.take(now, 1<<20) != burst || p.open(now) {
			t.Errorf("every %s: a rest of an hour saved up more than %d, or less", every, burst)
		}
	}
}
