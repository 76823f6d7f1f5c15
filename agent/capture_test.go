package agent

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// capture joins the frames of a port.
func (b *bench) capture(no uint32, filter string, snaplen int) *capturer {
	b.t.Helper()
	f, err := b.sw.parseFilter(filter)
	if err != nil {
		b.t.Fatal(err)
	}
	c := &capturer{onlooker: newOnlooker[captureNote](), filter: f, snaplen: snaplen}
	p := b.sw.table.Load().get(no)
	if err := p.seen.join(c); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { p.seen.leave(c) })
	return c
}

// seen are the frames captured, "in " or "out " before their bytes.
func (c *capturer) seen() (list []string) {
	notes, data, _ := c.take(nil, nil)
	for _, n := range notes {
		way := "in "
		if n.what.out {
			way = "out "
		}
		list = append(list, way+string(data[n.from:n.to]))
	}
	return list
}

// TestCapture: both directions as they are on the wire of that port, also what its actions changed, with filter and snaplen.
func TestCapture(t *testing.T) {
	b := newBench(t, 2)
	all, short := b.capture(2, "", maxSnaplen), b.capture(2, "", 14)
	from1, to9 := b.capture(2, "in_port=1", maxSnaplen), b.capture(2, "dl_dst=02:00:00:00:00:09", maxSnaplen)
	if _, err := b.sw.pipe.FlowMod(0, add(7, openflow.NewMatch(openflow.Exact(openflow.InPort, 1)),
		openflow.SetField(openflow.EthDst, 0x020000000009), openflow.Output(2))); err != nil {
		t.Fatal(err)
	}
	b.sw.pipe.Publish()
	came, left, back := frame(2, 1, "x"), frame(9, 1, "x"), frame(0xff, 2, "back")
	b.send(1, came)
	b.expect(left, 2)
	b.send(2, back)
	b.expect(back, 1)
	b.settle()
	for _, c := range []struct {
		name string
		got  []string
		want []string
	}{
		{"all", all.seen(), []string{"out " + string(left), "in " + string(back)}},
		{"snaplen", short.seen(), []string{"out " + string(left[:14]), "in " + string(back[:14])}},
		{"in_port", from1.seen(), []string{"out " + string(left)}},
		{"as it left", to9.seen(), []string{"out " + string(left)}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
	if _, err := b.sw.parseFilter("in_port=p2,tcp"); err != nil {
		t.Errorf("a port's name: %v", err)
	}
	if _, err := b.sw.parseFilter("tcp,tp_dts=80"); err == nil || !strings.Contains(err.Error(), "tp_dst") {
		t.Errorf("%v: want the nearest right word", err)
	}
}

// TestCaptureBehindQueues: frames that wait in a queue are captured when they leave, not before.
func TestCaptureBehindQueues(t *testing.T) {
	b := newBench(t, 1)
	b.plug(2, PortConfig{LinkRate: 10_000_000, Queues: []QueueConfig{{ID: 1, MaxRate: 100_000}}})
	if _, err := b.sw.pipe.FlowMod(0, add(7, openflow.Match{}, openflow.Action{Type: openflow.ActionSetQueue, Queue: 1}, openflow.Output(2))); err != nil {
		t.Fatal(err)
	}
	b.sw.pipe.Publish()
	c := b.capture(2, "", maxSnaplen)
	var sent [][]byte
	for i := range 8 { // 60 bytes take 4.8 ms at that rate; after a rest 20 ms leave at once
		sent = append(sent, frame(2, 1, string(rune('a'+i))))
		b.send(1, sent[i])
	}
	b.settle()
	left := func() (n int) {
		for {
			f, ok := b.ends[2].TryReceive()
			if !ok {
				return n
			}
			if !bytes.Equal(f.Bytes(), sent[0]) {
				t.Errorf("left: %x", f.Bytes())
			}
			sent = sent[1:]
			n++
		}
	}
	first := left()
	if first == 8 || first == 0 {
		t.Fatalf("%d frames left at once", first)
	}
	if n := len(c.seen()); n != first {
		t.Errorf("%d captured, %d had left", n, first)
	}
	b.clock.Advance(levelTime * 5)
	if n, m := left(), len(c.seen()); n != 8-first || m != n {
		t.Errorf("%d left later, %d were captured; %d left at first", n, m, first)
	}
}

// TestCapturingAllocatesNothing: neither once nobody captures any more, nor, after the first round of
// buffers, while somebody does.
func TestCapturingAllocatesNothing(t *testing.T) {
	b := newBench(t, 0, oneWorker)
	in, p := stuff(b, 1)
	stuff(b, 2)
	w := b.sw.allWorkers[0]
	run := func() {
		in.left = batchSize
		w.serve(p, maxRounds)
	}
	c := &capturer{onlooker: newOnlooker[captureNote](), snaplen: maxSnaplen}
	if err := p.seen.join(c); err != nil {
		t.Fatal(err)
	}
	watching := newViewer(nil, defaultVerdicts)
	if err := b.sw.viewers.join(watching); err != nil {
		t.Fatal(err)
	}
	for range onlookerNotes/batchSize + 1 {
		run()
	}
	b.sw.viewers.leave(watching)
	c.spareNotes, c.spareData, _ = c.take(nil, nil)
	for range onlookerNotes/batchSize + 1 {
		run()
	}
	if n := testing.AllocsPerRun(100, func() {
		c.spareNotes, c.spareData, _ = c.take(c.spareNotes, c.spareData)
		run()
	}); n != 0 {
		t.Errorf("%v allocations for a batch of %d while somebody captures", n, batchSize)
	}
	p.seen.leave(c)
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations for a batch of %d after everybody left", n, batchSize)
	}
}
