// Hot path: token buckets that all workers share, and what a meter does to a frame.

package flowtable

import (
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
)

// meter is a meter in the form that frames meet, made by meter.go. It never changes, but for the
// levels of its buckets and its counters. A changed meter is another one in the next snapshot.
type meter struct {
	unit    uint64 // ticks that one unit of volume takes at a rate of 1
	packets bool   // volume is packets; else bytes
	remarks bool   // some band changes frames
	bands   []band // highest rate first
	seen    *meterCount
	caught  []meterCount // by the bands' places in the message
}

// meterCount counts what went into a meter, or what a band acted on.
type meterCount struct{ packets, bytes atomic.Uint64 }

// band is a token bucket in one word: the moment at which it will be full again. A frame moves that
// moment on by the time in which the rate earns the frame's volume, and it may do so while the
// bucket holds enough, that is, while the moment stays within the burst. So the bucket fills by
// itself, one compare-and-swap takes from it, and no rounding adds up: only differences of moments
// count, and a bucket that was full begins anew.
type band struct {
	full  atomic.Int64 // ticks; wraps, see admit
	rate  uint64       // 0: everything exceeds it
	burst int64        // ticks from empty to full
	limit int64        // full is never further ahead than this
	level uint8        // dscp_remark's prec_level; 0: drop
	place uint8        // in the message
}

// A tick is 1/256 ns: a frame of 64 bytes at 100 Gbit/s takes 1310 of them, so that rates of any
// port stay exact to a thousandth. Ticks of a run longer than a year wrap around, which differences
// do not feel.
const tickBits = 8

func ticks(d time.Duration) int64 { return int64(d) << tickBits }

// exceeding is the band that applies to a frame of that volume, or nil: of those whose rate it
// exceeds the one with the highest rate (section 5.7.1). What a band catches takes nothing from the
// lower ones: as in the two-rate marker of RFC 2698, they meter what this one let pass.
func (m *meter) exceeding(now time.Duration, volume uint64) *band {
	at := ticks(now)
	for i := range m.bands {
		b := &m.bands[i]
		if b.rate == 0 || !b.admit(at, int64(volume*m.unit/b.rate)) {
			return b
		}
	}
	return nil
}

// admit takes a frame's time out of the bucket, if it holds as much. A frame larger than the whole
// bucket (a super-frame, or a burst set too small) passes when the bucket is full and leaves it in
// debt: then the rate holds, and the frame is not shut out for ever.
func (b *band) admit(now, cost int64) bool {
	need := min(cost, b.burst)
	for {
		full := b.full.Load()
		from, ahead := full, full-now
		switch {
		case ahead <= 0 || ahead > b.limit: // full; the second is a moment before the last wrap
			from = now
		case ahead+need > b.burst:
			return false
		}
		if b.full.CompareAndSwap(full, from+cost) {
			return true
		}
	}
}

// meterTally counts for the meter met last, so that a batch through one meter touches its counters once.
type meterTally struct {
	meter  *meter
	seen   struct{ packets, bytes uint64 }
	caught [maxBands]struct{ packets, bytes uint64 }
	hit    uint32 // which of caught are not zero
}

func (t *meterTally) flush() {
	m := t.meter
	if m == nil {
		return
	}
	m.seen.packets.Add(t.seen.packets)
	m.seen.bytes.Add(t.seen.bytes)
	for i := 0; t.hit != 0; i, t.hit = i+1, t.hit>>1 {
		if t.hit&1 != 0 {
			m.caught[i].packets.Add(t.caught[i].packets)
			m.caught[i].bytes.Add(t.caught[i].bytes)
			t.caught[i].packets, t.caught[i].bytes = 0, 0
		}
	}
	t.meter, t.seen.packets, t.seen.bytes = nil, 0, 0
}

// measure counts a frame in a meter and gives the band that applies to it. A super-frame is what a
// wire would carry of it, in packets and in bytes, so that a rate means the same whether or not a
// host leaves segmentation to others.
func (pr *Processor) measure(m *meter, f *packet.Frame) *band {
	packets, bytes := f.OnWire()
	if pr.tracer != nil {
		m = pr.tracer.meter(pr, m)
	}
	t := &pr.metered
	if t.meter != m {
		t.flush()
		t.meter = m
	}
	t.seen.packets += packets
	t.seen.bytes += bytes
	n := bytes
	if m.packets {
		n = packets
	}
	b := m.exceeding(pr.now, n)
	if b != nil {
		t.caught[b.place].packets += packets
		t.caught[b.place].bytes += bytes
		t.hit |= 1 << b.place
	}
	if pr.tracer != nil {
		pr.tracer.metered(m, b)
	}
	return b
}

// police is an entry's meter instruction: false when the frame was dropped, which also drops its
// action set.
func (pr *Processor) police(f *packet.Frame, slot int32) (*packet.Frame, bool) {
	m := pr.snap.meters.get(slot)
	if m.remarks {
		pr.revealed = true // the DSCP behind this depends on the rate: a path ends here
	}
	b := pr.measure(m, f)
	switch {
	case b == nil:
		return f, true
	case b.level == 0:
		pr.drops[DropMeter]++
		return f, false
	}
	return pr.remark(f, b.level)
}

// policePacketIn is the meter called controller, for everything that goes there. It remarks a copy:
// the frame itself goes on as it is.
func (pr *Processor) policePacketIn(f *packet.Frame) (*packet.Frame, bool) {
	b := pr.measure(pr.snap.meters.controller, f)
	switch {
	case b == nil:
		return f, true
	case b.level == 0:
		pr.drops[DropPacketInMeter]++
		return f, false
	}
	c := pr.copyOf(f)
	if c == nil {
		return f, false
	}
	return pr.remark(c, b.level)
}

// remark raises the drop precedence of an IP frame; others pass as they are.
func (pr *Processor) remark(f *packet.Frame, by uint8) (*packet.Frame, bool) {
	_, eth := f.Key.Get(packet.EthType)
	if f.Layout.L3 == 0 || eth != 0x0800 && eth != 0x86dd {
		return f, true
	}
	_, dscp := f.Key.Get(packet.IPDSCP)
	raised := raisePrecedence(dscp, by)
	if raised == dscp {
		return f, true
	}
	if f.Held {
		if f = pr.copyOf(f); f == nil {
			return f, false
		}
	}
	if pr.tracer != nil {
		pr.tracer.remarks(f, raised)
	}
	f.SetField(packet.IPDSCP, 0, raised)
	return f, true
}

// raisePrecedence raises the drop precedence of an assured-forwarding code point (RFC 2597: class 1
// to 4 in the upper three bits, precedence 1 to 3 in the next two), at most to the highest of its
// class. All other code points have no drop precedence: best effort, the class selectors, EF and
// local ones stay, for any other value would move the packet to another service.
func raisePrecedence(dscp uint64, by uint8) uint64 {
	class, precedence := dscp>>3, dscp>>1&3
	if dscp&1 != 0 || class < 1 || class > 4 || precedence == 0 {
		return dscp
	}
	return class<<3 | min(precedence+uint64(by), 3)<<1
}
