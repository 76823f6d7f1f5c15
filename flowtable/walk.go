// Miss path: the full walk through the tables, which leaves a path behind.

package flowtable

import (
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// trail is what a walk met: the material of a path, of the counters, and of a trace.
type trail struct {
	steps []*Entry
	miss  int16 // table without an entry for the frame, or noTable
	cut   int   // how many steps the header fields foretell; the rest depends on what came to light
	next  int16 // the table after those, or noTable
	whole bool  // the walk was not broken off by an op, and no resubmit is part of it
}

func (t *trail) reset() {
	t.steps = t.steps[:0]
	t.miss, t.next, t.cut, t.whole = noTable, noTable, 0, true
}

// walkWhole takes a frame from the first table to its end.
func (pr *Processor) walkWhole(f *packet.Frame) {
	n := uint64(f.Len())
	pr.queue, pr.resubmits, pr.received = 0, 0, n
	pr.set.reset()
	pr.trail.reset()
	pr.walk(f, 0, nil)
	pr.countTrail(n)
}

// walkAndKeep is walkWhole, and keeps the path for the next frames like this one.
func (pr *Processor) walkAndKeep(f *packet.Frame, hash uint64) {
	n := uint64(f.Len())
	pr.queue, pr.resubmits, pr.received = 0, 0, n
	pr.set.reset()
	pr.trail.reset()
	pr.basis.begin(f)
	pr.walk(f, 0, &pr.basis)
	if pr.trail.whole {
		pr.keep(hash)
	}
	pr.countTrail(n)
}

// resume continues behind a path that ends where a header came off.
func (pr *Processor) resume(p *path, f *packet.Frame, n uint64) {
	pr.set.reset()
	pr.resubmits, pr.received = 0, n
	for _, s := range p.steps() {
		pr.set.merge(s.prog)
	}
	f.Key.Set(packet.ActsetOutput, 0, uint64(pr.set.output()))
	pr.trail.reset()
	pr.walk(f, int(p.tail.next), nil)
	pr.countTrail(n)
}

// walk is the pipeline of section 5.1: in each table the entry of highest priority; its
// instructions in the order meter, apply, clear, write, metadata, goto; at the end the action set. A table without a
// matching entry drops the frame and its action set. What it rests on goes into b, unless that is nil, as far as the
// trail will do for a path.
func (pr *Processor) walk(f *packet.Frame, table int, b *basis) {
	t := &pr.trail
	pr.revealed = false
	f.Key.Set(packet.ActsetOutput, 0, uint64(pr.set.output()))
	for {
		e := pr.lookup(table, &f.Key, b.used())
		b.looked()
		if pr.tracer != nil {
			pr.tracer.looked(pr, table, &f.Key, e)
		}
		if e == nil {
			t.miss = int16(table)
			pr.drops[DropMiss]++
			return
		}
		t.steps = append(t.steps, e)
		pr.at = e
		prog := e.prog
		ok := true
		if prog.meter != 0 {
			f, ok = pr.police(f, prog.meter)
		}
		if ok {
			f, ok = pr.run(f, prog.apply, false)
		}
		if !ok {
			t.whole = false
			return
		}
		pr.set.merge(prog)
		if pr.tracer != nil {
			pr.tracer.decided(pr, f, prog)
		}
		if prog.next == noTable {
			break
		}
		if prog.clear || len(prog.write) > 0 {
			f.Key.Set(packet.ActsetOutput, 0, uint64(pr.set.output()))
		}
		writeMetadata(f, prog)
		table = int(prog.next)
		if pr.revealed && t.next == noTable {
			t.cut, t.next = len(t.steps), prog.next
			b = nil
		}
		b.follows(t, prog)
	}
	writeMetadata(f, pr.at.prog)
	if pr.tracer != nil {
		pr.tracer.closing(pr)
	}
	set := pr.set.list()
	if n := len(set); n > 0 && set[n-1].code == opResubmit {
		t.whole = false // whether this frame comes that far or ends in front of it
	}
	pr.run(f, set, true)
}

// lookup finds the entry of highest priority in one table. Bits that it rests on are added to used, if that is not
// nil.
func (pr *Processor) lookup(table int, k *packet.Key, used *packet.Mask) *Entry {
	if table >= len(pr.snap.tables) {
		return nil
	}
	r := pr.snap.tables[table].Lookup(k, used)
	if r == nil {
		return nil
	}
	return r.Value
}

// countTrail counts one frame for what the walk met.
func (pr *Processor) countTrail(n uint64) {
	pr.countSteps(pr.trail.steps, n)
	if pr.trail.miss != noTable {
		pr.countTable(int(pr.trail.miss), 1, 0)
	}
}

// actionSet is the action set of the frame at hand (section 5.10): at most one op of a rank, in
// ascending rank.
type actionSet struct {
	ops [maxSet]op
	n   int
}

func (s *actionSet) reset()     { s.n = 0 }
func (s *actionSet) list() []op { return whatRuns(s.ops[:s.n]) }

// merge does an entry's clear_actions and write_actions.
func (s *actionSet) merge(p *Program) {
	if p.clear {
		s.n = 0
	}
	at := 0
	for i := range p.write {
		o := &p.write[i]
		for at < s.n && s.ops[at].rank < o.rank {
			at++
		}
		if at == s.n || s.ops[at].rank != o.rank {
			copy(s.ops[at+1:s.n+1], s.ops[at:s.n])
			s.n++
		}
		s.ops[at] = *o
	}
}

// unsetOutput is actset_output's value when the set has no output action (OFPP_UNSET of 1.4).
const unsetOutput = 0xfffffff7

// output is the port of the set's output action; a group hides it.
func (s *actionSet) output() uint32 {
	ops := s.list()
	if n := len(ops); n > 0 && ops[n-1].rank == rankOutput {
		return ops[n-1].target()
	}
	return unsetOutput
}

// The table-miss reason of a packet-in is for what table-miss entries send directly (section 5.4);
// the action set's op brings its own.
func (e *Entry) reason() openflow.PacketInReason {
	if e != nil && e.miss {
		return openflow.ReasonNoMatch
	}
	return openflow.ReasonAction
}
