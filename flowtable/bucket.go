// Hot path: a frame meets a group: which buckets, on whose bytes, counted where.

package flowtable

import (
	"math/bits"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// maxRuns bounds the buckets that one frame may run, however groups multiply it.
const maxRuns = 1 << 14

// toGroup runs a group on f. Whatever the buckets do, f is afterwards what it was, unless last says
// that nothing looks at it any more; the queue is as before, too.
func (pr *Processor) toGroup(f *packet.Frame, o *op, last bool) {
	g := pr.snap.groups.get(o.lo, o.port)
	if g == nil {
		pr.drops[DropNoGroup]++
		return
	}
	n := uint64(f.Len())
	pr.tally(g.stats, n)
	if pr.tracer != nil {
		pr.tracer.group(pr, g, f)
	}
	queue, revealed := pr.queue, pr.revealed
	pr.depth++
	if g.Type == openflow.GroupTypeAll {
		for i := range g.buckets {
			pr.bucket(f, &g.buckets[i], n, last && i == len(g.buckets)-1)
			pr.queue = queue
		}
		if len(g.buckets) == 0 {
			pr.drops[DropNoBucket]++
		}
	} else if b := pr.choose(g, f); b != nil {
		pr.bucket(f, b, n, last)
	} else {
		pr.drops[DropNoBucket]++
	}
	pr.depth--
	pr.queue, pr.revealed = queue, revealed
}

// bucket runs one bucket on f, on a copy if it changes what others still need. A frame that ends in
// a bucket (an expired TTL) ends there alone.
func (pr *Processor) bucket(f *packet.Frame, b *bucket, n uint64, last bool) {
	if pr.runs++; pr.runs > maxRuns {
		pr.drops[DropTooManyBuckets]++
		return
	}
	pr.tally(b.stats, n)
	if pr.tracer != nil {
		pr.tracer.bucket(b)
	}
	if b.resubmits {
		pr.bucketPipeline(f, b, last)
		return
	}
	if !last {
		if b.pipeline {
			if f = pr.copyOf(f); f == nil {
				return
			}
			last = true
		} else {
			f.Held = true // change copies
		}
	}
	pr.run(f, b.ops, last)
}

// choose is the one bucket of a group that is not of type all, nil when none is live.
func (pr *Processor) choose(g *Group, f *packet.Frame) *bucket {
	switch g.Type {
	case openflow.GroupTypeIndirect:
		return &g.buckets[0]
	case openflow.GroupTypeFastFailover:
		for i := range g.buckets {
			if b := &g.buckets[i]; pr.live(b) {
				return b
			}
		}
		return nil
	}
	return pr.share(g, f)
}

// live reports whether a bucket may be used now: the port or the group it watches is live, or it
// watches nothing (section 6.5).
func (pr *Processor) live(b *bucket) bool {
	w := &b.watch
	return w.byPort && pr.snap.ports.live(w.port) || w.byGroup && pr.snap.alive.has(w.group) || !w.byPort && !w.byGroup
}

// share picks a bucket of a select group by the frame's addresses and the weights. When a bucket
// dies only its own flows move; they spread over the others by weight.
func (pr *Processor) share(g *Group, f *packet.Frame) *bucket {
	if g.total == 0 {
		return nil
	}
	h := scatter(pr.p.spreader.hash(f), g.factor)
	for range 4 {
		b := g.bucketAt(h)
		if pr.live(b) {
			return b
		}
		h = mix(h^g.factor, hashPrime)
	}
	live := uint64(0) // few are live: choose among those alone
	for i := range g.buckets {
		if b := &g.buckets[i]; pr.live(b) {
			live += b.weight
		}
	}
	at, _ := bits.Mul64(h, live)
	for i := range g.buckets {
		b := &g.buckets[i]
		if !pr.live(b) {
			continue
		}
		if at < b.weight {
			return b
		}
		at -= b.weight
	}
	return nil
}

// bucketAt is the bucket in whose share of the whole a hash lies. total is not zero.
func (g *Group) bucketAt(h uint64) *bucket {
	at := g.pointOf(h)
	lo, hi := 0, len(g.buckets)-1
	for lo < hi {
		if mid := (lo + hi) / 2; at < g.buckets[mid].upTo {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return &g.buckets[lo]
}

// pointOf is where a hash falls among the weights laid end to end.
func (g *Group) pointOf(h uint64) uint64 {
	at, _ := bits.Mul64(h, g.total)
	return at
}

// tally is what a batch has counted so far for one group or bucket.
type tally struct {
	of             *groupCounters
	packets, bytes uint64
}

// numTallies is how many groups and buckets a batch counts without touching their atomics twice.
const numTallies = 64

// tally counts a frame of n bytes.
func (pr *Processor) tally(c *groupCounters, n uint64) {
	if pr.tracer != nil {
		return
	}
	lane := c.lane % numTallies
	t := &pr.tallies[lane]
	if t.of != c {
		t.settle()
		t.of = c
		pr.tallied |= 1 << lane
	}
	t.packets++
	t.bytes += n
}

func (t *tally) settle() {
	if t.of != nil {
		t.of.packets.Add(t.packets)
		t.of.bytes.Add(t.bytes)
		*t = tally{}
	}
}

// settleGroups adds the batch's counts up.
func (pr *Processor) settleGroups() {
	for ; pr.tallied != 0; pr.tallied &= pr.tallied - 1 {
		pr.tallies[bits.TrailingZeros64(pr.tallied)].settle()
	}
}
