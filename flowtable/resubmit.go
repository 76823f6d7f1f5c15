// Miss path: Nicira's resubmit: the actions of the entry that another lookup finds.

package flowtable

import (
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// Bounds of what one frame may do by resubmits, which can call each other and themselves. They are
// Open vSwitch's. A frame that reaches one is dropped there and counted.
const (
	maxResubmitDepth = 64
	maxResubmits     = 4096
)

// resubmit looks the frame up in a table (o.n; 0xff: the one at hand) as if it had come in by o.port,
// and does what the entry says with the frame and its action set, here and now; then the actions
// behind the resubmit go on with what became of the frame. A table without an entry for it does nothing.
//
// What it leads to is not in the path of the frame, so a walk that meets a resubmit is not remembered
// (trail.whole), and each such frame walks. Those in a group's bucket are no part of any path: a path leads to the
// group alone.
func (pr *Processor) resubmit(f *packet.Frame, o *op) (*packet.Frame, bool) {
	pr.trail.whole = pr.trail.whole && pr.depth > 0
	if pr.nested >= maxResubmitDepth || pr.resubmits >= maxResubmits {
		pr.drops[DropResubmit]++
		return f, false
	}
	pr.nested++
	pr.resubmits++
	at := pr.at
	if pr.nested == 1 {
		pr.outer = at
	}
	f, ok := pr.resubmitFrom(f, pr.resubmitTable(o), o.port)
	pr.at = at
	pr.nested--
	return f, ok
}

// bucketPipeline runs a bucket that ends with a resubmit. Buckets are action sets, which cannot change the action set of
// the pipeline around them: what the entries behind the resubmit write is of no effect. They see an action set that is
// empty, however the frame came here, so that a remembered path has none to keep up to date.
func (pr *Processor) bucketPipeline(f *packet.Frame, b *bucket, last bool) {
	if !last {
		if f = pr.copyOf(f); f == nil {
			return
		}
	}
	n := len(pr.around)
	pr.around = append(pr.around, pr.set.ops[:pr.set.n]...)
	pr.set.reset()
	f.Key.Set(packet.ActsetOutput, 0, unsetOutput)
	pr.run(f, b.ops, true)
	pr.set.n = copy(pr.set.ops[:], pr.around[n:])
	pr.around = pr.around[:n]
}

// resubmitTable is the table that a resubmit means; in a PACKET_OUT "the one at hand" is the first.
func (pr *Processor) resubmitTable(o *op) int {
	switch {
	case o.n != uint16(openflow.TableAll):
		return int(o.n)
	case pr.at != nil:
		return int(pr.at.Table)
	}
	return 0
}

// resubmitFrom walks from a table on. Only the first lookup sees the other in_port: actions mean the
// port that the frame came in by.
func (pr *Processor) resubmitFrom(f *packet.Frame, table int, in uint32) (*packet.Frame, bool) {
	key := f.Key
	if in != uint32(openflow.PortInPort) {
		key.Set(packet.InPort, 0, uint64(in))
	}
	for {
		e := pr.lookup(table, &key, nil)
		if pr.tracer != nil {
			pr.tracer.looked(pr, table, &key, e)
		}
		if w, ok := pr.sink.(*watcher); ok {
			w.resubmitted(pr, table, e)
		}
		if e == nil {
			if table < len(pr.p.stats) {
				pr.countTable(table, 1, 0)
			}
			return f, true
		}
		pr.count(e, 1, pr.received)
		pr.at = e
		ok := true
		if e.prog.meter != 0 {
			f, ok = pr.police(f, e.prog.meter)
		}
		if ok {
			f, ok = pr.run(f, e.prog.apply, false)
		}
		if !ok {
			return f, false
		}
		pr.set.merge(e.prog)
		if pr.tracer != nil {
			pr.tracer.decided(pr, f, e.prog)
		}
		f.Key.Set(packet.ActsetOutput, 0, uint64(pr.set.output()))
		writeMetadata(f, e.prog)
		if e.prog.next == noTable {
			return f, true
		}
		table, key = int(e.prog.next), f.Key
	}
}
