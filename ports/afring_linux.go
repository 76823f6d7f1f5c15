package ports

import (
	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// take makes frames of what the ring has, and gives back what it lent before.
func (in *intake) take(r *rxRing, fd int, frames []*packet.Frame) (n int, err error) {
	r.giveBack()
	if !r.borrow() {
		return 0, ErrClosed
	}
	packets, size, all := 0, 0, uint32(0)
	for n < len(frames) {
		f := frames[n]
		s, ok := r.next(f)
		if s.status&unix.TP_STATUS_USER == 0 {
			break
		}
		all |= s.status
		switch {
		case s.status&unix.TP_STATUS_COPY != 0:
			n += in.takeLarge(fd, frames[n:n+1+r.skipLarge(len(frames)-n-1)])
			continue
		case !s.whole: // it did not fit a slot, and the socket's queue was full
			in.p.count.DropRx(DropFull, 1)
			continue
		case f.Len() < etherLen:
			in.p.count.DropRx(DropTruncated, 1)
			continue
		case !ok:
			in.p.count.DropRx(DropBadOffload, 1)
			continue
		}
		if s.tagged {
			f.InsertVLAN(s.tpid, s.tci)
		}
		size += f.Len()
		packets++
		n++
	}
	if r.lent == 0 {
		r.drop()
	}
	if all&unix.TP_STATUS_LOSING != 0 {
		_, dropped := r.counts(fd)
		in.lose(dropped)
	}
	in.p.count.CountRx(packets, size)
	in.lease.took(n)
	return n, nil
}

// takeLarge takes exactly len(frames) frames off the socket's own queue, where
// those are that did not fit their slots, and returns how many of them are good. A frame that
// turned into an error is told of once, then or by the next call.
func (in *intake) takeLarge(fd int, frames []*packet.Frame) (good int) {
	for tries, owed := 0, len(frames); owed > 0 && tries < 2*batch; tries++ {
		got, errno := in.rx.receive(fd, frames[good:good+owed])
		switch {
		case errno == 0:
			good += in.accept(frames[good : good+got])
			owed -= got
		case errno == unix.EAGAIN || !in.passing(errno):
			return good
		case errno == unix.EINVAL:
			owed--
		}
	}
	return good
}

// settle gives back what the reader had and counts what the ring lost. A ring
// that has run dry loses nothing more, so the count is complete; one that was read dry before it
// can have been full has lost nothing, and is not asked. It reports a
// ring that loses frames all the same, see leaveRing.
func (in *intake) settle(r *rxRing) (stuck bool) {
	took := r.took
	r.giveBack()
	if took > 0 && took < r.slots-2*batch {
		if r.dry = !r.peek(); r.dry {
			r.took = 0
			in.press(r)
		}
		return false
	}
	r.took = 0
	if took == 0 {
		in.forgive()
	}
	fd, err := in.lease.hold()
	if err != nil {
		return false
	}
	defer in.lease.release()
	if in.ring.Load() != r {
		return false
	}
	seen := r.seen
	taken, dropped := r.counts(fd)
	in.lose(dropped)
	stuck = r.dry && took == 0 && taken <= seen && dropped > 0
	if r.dry = !r.peek(); r.dry && took > 0 { // one that gives nothing may have stopped
		in.press(r)
	}
	return stuck && r.dry
}

// leaveRing goes on by recvmmsg. With PACKET_VNET_HDR and TPACKET_V2 Linux (6.18 at
// least) never uses a slot again into which it could not put a frame's header,
// and takes no frame from then on: one super-frame of a kind that virtio_net_hdr has
// no word for is enough, and any guest of KVM can send it. Who has sent one will send more,
// so there is no new ring. Nothing tells of it: whoever sleeps looks 8 ms after there were frames, and
// then ever more seldom, up to once a second.
func (p *afpacket) leaveRing(in *intake, r *rxRing) {
	p.mu.Lock()
	if p.device.closed || in.ring.Load() != r {
		p.mu.Unlock()
		return
	}
	_ = p.renew(p.link, 0) // else a next time
	p.say(p.how)
}
