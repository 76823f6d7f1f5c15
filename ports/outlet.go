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

// lot is how many bytes go into a ring before its reader is woken and let in, so that
// both sides of a batch of super-frames work at once.
const lot = 256 << 10

// write queues frames and answers how many were taken; a super-frame counts as
// taken when one of its segments was. All that is lost is counted by reason. The
// reader is woken once a batch, and sees it whole unless it is larger than a lot.
func (o *outlet) write(r *ring, frames []*packet.Frame) (taken int) {
	if !o.offload {
		o.mu.Lock()
		defer o.mu.Unlock()
	}
	packets, size, queued := 0, 0, 0
	r.mu.Lock()
	for _, f := range frames {
		if queued > lot {
			queued = 0
			r.mu.Unlock()
			signal(r.wake)
			r.mu.Lock()
		}
		var n, bytes int
		if o.offload {
			n, bytes = o.whole(r, f)
		} else {
			n, bytes = o.finished(r, f)
		}
		if n > 0 {
			packets, size, queued = packets+n, size+bytes, queued+bytes
			taken++
		}
	}
	r.mu.Unlock()
	if packets > 0 {
		signal(r.wake)
	}
	if o.count {
		o.counters.CountTx(packets, size)
	}
	return taken
}

// whole queues one frame as it is, with its offload state. r.mu is held.
func (o *outlet) whole(r *ring, f *packet.Frame) (n, bytes int) {
	b := f.Bytes()
	switch {
	case len(b) < minFrame:
		o.counters.DropTx(DropTruncated, 1)
	case f.Offload.GSO == packet.GSONone && !fits(b, o.mtu):
		o.counters.DropTx(DropTooBig, 1)
	case !r.pushLocked(b, f.Offload):
		o.counters.DropTx(DropFull, 1)
	default:
		return 1, len(b)
	}
	return 0, 0
}

// finished queues one frame as the plain frames that it stands for. o.mu and
// r.mu are held.
func (o *outlet) finished(r *ring, f *packet.Frame) (n, bytes int) {
	if reason, ok := o.fin.Begin(f, o.mtu); !ok {
		o.counters.DropTx(reason, 1)
		return 0, 0
	}
	for b := o.fin.Next(); b != nil; b = o.fin.Next() {
		if !r.pushLocked(b, packet.Offload{}) {
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
