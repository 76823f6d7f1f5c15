package ports

import (
	"sync"

	"github.com/weirswitch/weir/flowtable/packet"
)

// frameOverhead is what a received frame may have beyond the MTU: the Ethernet
// header and two VLAN tags.
const frameOverhead = 14 + 2*4

// minFrame is the shortest thing that can be switched: an Ethernet header.
const minFrame = 14

// outlet is the way from a port's Write into a ring. It knows what the far
// side can take, and finishes what that side cannot.
type outlet struct {
	counters *Counters
	mtu      int  // 0 = no limit
	offload  bool // unfinished frames pass whole
	count    bool // what is queued is as good as sent: count it now

	mu  sync.Mutex
	fin Finisher // guarded by mu
}

// write queues frames and answers how many were taken; a super-frame counts as
// taken when one of its segments was. All that is lost is counted by reason.
func (o *outlet) write(r *ring, frames []*packet.Frame) (taken int) {
	packets, size := 0, 0
	for _, f := range frames {
		var n, bytes int
		if o.offload {
			n, bytes = o.whole(r, f)
		} else {
			n, bytes = o.finished(r, f)
		}
		if n > 0 {
			packets, size = packets+n, size+bytes
			taken++
		}
	}
	if o.count {
		o.counters.CountTx(packets, size)
	}
	return taken
}

// whole queues one frame as it is, with its offload state.
func (o *outlet) whole(r *ring, f *packet.Frame) (n, bytes int) {
	b := f.Bytes()
	switch {
	case len(b) < minFrame:
		o.counters.DropTx(DropTruncated, 1)
	case f.Offload.GSO == packet.GSONone && !fits(b, o.mtu):
		o.counters.DropTx(DropTooBig, 1)
	case !r.push(b, f.Offload):
		o.counters.DropTx(DropFull, 1)
	default:
		return 1, len(b)
	}
	return 0, 0
}

// finished queues one frame as the plain frames that it stands for.
func (o *outlet) finished(r *ring, f *packet.Frame) (n, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if reason, ok := o.fin.Begin(f, o.mtu); !ok {
		o.counters.DropTx(reason, 1)
		return 0, 0
	}
	for b := o.fin.Next(); b != nil; b = o.fin.Next() {
		if !r.push(b, packet.Offload{}) {
			o.counters.DropTx(DropFull, 1)
			continue
		}
		n++
		bytes += len(b)
	}
	return n, bytes
}

// unfinished says whether somebody still has to compute a checksum or cut the
// frame into segments.
func unfinished(o *packet.Offload) bool { return o.NeedsCsum || o.GSO != packet.GSONone }
