package oracle

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/weirswitch/weir/openflow"
)

// batch is frames that come in by several ports at once. Each ends with a trailer of its own, which says where it came
// in, of which flow it is and its place in the batch.
type batch struct{ frames []*frame }

// trailer is how long that is, in bytes: port, flow, place.
const trailer = 8

// onWire are the frames of each port with their trailers.
func (b *batch) onWire() (out [numPorts][][]byte) {
	flows := map[string]int{}
	for i, f := range b.frames {
		key := fmt.Sprintf("%d %x", f.port, f.bytes)
		if _, seen := flows[key]; !seen {
			flows[key] = len(flows)
		}
		t := binary.BigEndian.AppendUint16(slices.Clone(f.bytes), uint16(f.port))
		t = binary.BigEndian.AppendUint16(t, uint16(flows[key]))
		out[f.port-1] = append(out[f.port-1], binary.BigEndian.AppendUint32(t, uint32(i)))
	}
	return out
}

// play compares as sets what left by each port, and looks itself whether each flow is in order there.
func (b *batch) play(g target) error {
	if err := g.sendAll(b.onWire()); err != nil {
		return err
	}
	if err := g.calm(); err != nil {
		return err
	}
	out, err := g.outputs()
	if err != nil {
		return err
	}
	for i, frames := range out {
		last := map[string]string{}
		for _, f := range frames {
			at := len(f) - 2*trailer
			if at < 0 {
				return fmt.Errorf("port %d sent %s", i+1, f)
			}
			flow, place := f[at:at+8], f[at+8:]
			if place < last[flow] {
				return fmt.Errorf("port %d: of flow %s frame %s left behind frame %s", i+1, flow, place, last[flow])
			}
			last[flow] = place
			g.note(fmt.Sprintf("out %d: %s", i+1, f))
		}
	}
	sortHeard(g)
	return nil
}

// sortHeard is for what several senders have caused.
func sortHeard(g target) {
	heard := g.take()
	slices.Sort(heard)
	for _, line := range heard {
		g.note(line)
	}
}

func (b *batch) String() string {
	var text strings.Builder
	text.WriteString("batch")
	for _, f := range b.frames {
		fmt.Fprintf(&text, "\n       %s", f)
	}
	return text.String()
}

func (b *batch) smaller() (list []step) {
	for n := len(b.frames) / 2; n >= 1; n /= 2 {
		for at := 0; at+n <= len(b.frames); at += n {
			list = append(list, &batch{slices.Delete(slices.Clone(b.frames), at, at+n)})
		}
	}
	return list
}

func (b *batch) holds() (list []step) {
	for _, f := range b.frames {
		list = append(list, f)
	}
	return list
}

// race is FLOW_MODs of two connections at the same time, each with a barrier behind. They concern entries of their own.
type race struct{ lists [2][]*flow }

func (r *race) play(g target) error {
	other, err := g.other()
	if err != nil {
		return err
	}
	var errs [2]error
	var group sync.WaitGroup
	for i, c := range []interface {
		Apply(...openflow.Message) error
	}{g.controller(), other} {
		group.Go(func() {
			var list []openflow.Message
			for _, f := range r.lists[i] {
				list = append(list, f.message())
			}
			var refused *openflow.Error
			if err := c.Apply(list...); !errors.As(err, &refused) { // ERRORs have been heard
				errs[i] = err
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if err := g.settle(); err != nil {
		return err
	}
	sortHeard(g)
	return nil
}

func (r *race) String() string {
	text := "at the same time"
	for i, list := range r.lists {
		for _, f := range list {
			text += fmt.Sprintf("\n     %d %s", i+1, f)
		}
	}
	return text
}

func (r *race) smaller() (list []step) {
	for i := range r.lists {
		for k := range r.lists[i] {
			n := *r
			n.lists[i] = slices.Delete(slices.Clone(r.lists[i]), k, k+1)
			list = append(list, &n)
		}
	}
	return list
}

func (r *race) holds() (list []step) {
	for _, flows := range r.lists {
		for _, f := range flows {
			list = append(list, f)
		}
	}
	return list
}

// batchLife is a pipeline that two connections change, and frames in batches through it. NORMAL is not among the actions:
// which of two frames of one batch it learns from first is open.
func (g *gen) batchLife() *life {
	g.normal = false
	l := &life{}
	for _, s := range g.forwarding().steps {
		f, is := s.(*frame)
		switch {
		case is:
			l.steps = append(l.steps, g.batch(f))
		case len(l.steps) > 6 && g.one(3):
			l.steps = append(l.steps, g.race())
		default:
			l.steps = append(l.steps, s)
		}
	}
	return l
}

// batch has some flows, each with some frames.
func (g *gen) batch(first *frame) *batch {
	flows := []*frame{first}
	for range g.IntN(6) {
		flows = append(flows, g.frame())
	}
	b := &batch{}
	for range 2 + g.IntN(24) {
		f := *pick(g, flows)
		if g.one(3) {
			f.port = 1 + g.IntN(numPorts)
		}
		b.frames = append(b.frames, &f)
	}
	return b
}

// race gives each connection entries with a cookie of its own, and of priorities that the other does not use.
func (g *gen) race() *race {
	r := &race{}
	for i := range r.lists {
		cookie := uint64(0x10 << i)
		for range 1 + g.IntN(8) {
			var f *flow
			if f = g.add(); len(r.lists[i]) > 0 && g.one(3) {
				f = g.change()
			}
			f.flags &^= openflow.FlowCheckOverlap
			if f.cookie = cookie; f.command != openflow.FlowAdd {
				f.mask = cookie
			}
			r.lists[i] = append(r.lists[i], f)
		}
	}
	return r
}

// meets: in a race, an entry of one connection is in the place of the other's.
func (r *race) meets() bool {
	for _, a := range r.lists[0] {
		for _, b := range r.lists[1] {
			if a.command == openflow.FlowAdd && b.command == openflow.FlowAdd && a.table == b.table && a.priority == b.priority {
				return true
			}
		}
	}
	return false
}

// hexes are frames as netdev-dummy reads them.
func hexes(frames [][]byte) (list []string) {
	for _, f := range frames {
		list = append(list, hex.EncodeToString(f))
	}
	return list
}
