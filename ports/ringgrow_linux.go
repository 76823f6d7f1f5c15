package ports

import (
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The ring of a packet socket begins short, for its memory is there whether frames wait or not. One that loses frames for
// want of room and then runs dry had a burst to put aside, of which a longer ring would have held more; one that loses many
// times what any ring holds is too slow, and a longer one would only add to the time that frames take. The kernel makes no
// ring longer while it is in use, so a second socket takes the place of the first:
//
//  1. The second is made beside the first, with a long ring, bound, and with a filter that nothing passes. That takes some
//     ten milliseconds and nobody waits for it.
//  2. The reader, when it has read its ring dry, has the first filter off all frames and the second let them come: two
//     system calls, one right after the other. What the kernel has between its hands at that moment may be lost, a few frames
//     at the most. None comes twice, for Linux shows a frame to the newer socket first, which lets none pass yet.
//  3. When there is nothing left in the old ring the reader goes on with the new one. So frames stay in order.
//  4. The old socket ends. A frame that was still being written into its ring is counted as lost.
//
// If the second cannot be made, or not be put in place, the port goes on with what it has, tells why and tries it no more.
// A ring never shrinks: what comes in bursts will do so again.
//
// Several readers' rings stay as they are, for the kernel deals flows out by the places of their sockets in the group: an
// exchange would move flows from one reader to another.

// growthPrice is how many frames must be lost before a ring grows: more than what comes while the filters change, some
// microseconds, at any rate that a packet socket can bear.
const growthPrice = batch

// spare is what is to take the place of a short ring and its socket.
type spare struct {
	ring  *rxRing
	waker *waker // of the socket
	index int    // of the interface that it listens to

	open    bool  // frames come to it, and to the old one no more; written by the reader
	failure error // why it cannot take the place; of the reader
}

// lose counts what the ring had no room for.
func (in *intake) lose(frames int) {
	in.p.count.DropRx(DropFull, frames)
	in.short += frames
}

// press says that the ring is dry. It starts what makes a longer one if that would have saved frames.
func (in *intake) press(r *rxRing) {
	if in.short < growthPrice {
		return
	}
	burst := in.short <= burstRings*GrownSlots
	in.short = 0
	if burst && in.grows.CompareAndSwap(true, false) {
		go in.p.grow(in, r)
	}
}

// grow makes what is to take the place of r.
func (p *afpacket) grow(in *intake, r *rxRing) {
	p.mu.Lock()
	if p.device.closed || in.ring.Load() != r || r.slots >= GrownSlots || in.spare.Load() != nil {
		p.mu.Unlock()
		return
	}
	if p.link.index == 0 { // a next time
		in.grows.Store(true)
		p.mu.Unlock()
		return
	}
	s, err := p.secondSocket(p.link)
	if err != nil {
		p.refuse(r, err) // gives mu back
		return
	}
	in.spare.Store(s)
	p.mu.Unlock()
	in.lease.poke() // a sleeper has read its ring dry
}

// secondSocket makes a socket with a long ring that listens beside the first, and gets nothing. device.mu is held.
func (p *afpacket) secondSocket(l link) (s *spare, err error) {
	fd, ring := -1, (*rxRing)(nil)
	err = p.links.within(func() error {
		fd, ring, err = p.second(GrownSlots, true)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err = keepAway(fd); err == nil {
		err = p.listen(l, []int{fd})
	}
	s = &spare{ring: ring, index: l.index}
	if err == nil {
		s.waker, err = newWaker(fd, ringTick)
	}
	if err != nil {
		ring.drop()
		closeSocket(fd)
		return nil, err
	}
	return s, nil
}

// moving says that frames come to the spare, and that the reader has not been there yet.
func (in *intake) moving() bool {
	s := in.spare.Load()
	return s != nil && s.open
}

// move has frames come to the spare, and goes on with that when there is nothing left in r. The reader calls it, and is not held up: where
// somebody else has the socket in his hands, or there is something left, it calls once more.
func (in *intake) move(r *rxRing) {
	s := in.spare.Load()
	if s == nil || s.failure != nil {
		return
	}
	old := in.lease.replace(s.waker, func(fd int) bool {
		if in.spare.Load() != s {
			return false
		}
		if !s.open {
			s.failure = moveFilter(fd, s.waker.fd)
			s.open = s.failure == nil
		}
		if !s.open || r.peek() {
			return false
		}
		in.spare.Store(nil)
		in.ring.Store(s.ring)
		in.p.ending.Add(1)
		return true
	})
	switch {
	case old != nil:
		go in.p.retire(in, r, s, old, r.head)
	case s.failure != nil:
		go in.p.abandon(in, r, s)
	default:
		in.lease.poke()
	}
}

// moveFilter keeps all frames from one socket, and no more from the other.
func moveFilter(from, to int) error {
	if err := keepAway(from); err != nil {
		return err
	}
	err := letCome(to)
	if err != nil {
		_ = letCome(from)
	}
	return err
}

// retire ends a socket whose ring the reader has left at head, for that of s.
func (p *afpacket) retire(in *intake, r *rxRing, s *spare, old *waker, head int) {
	defer p.ending.Done()
	p.end(old, r, s.index, head)
	p.mu.Lock()
	if in.ring.Load() != s.ring { // it is gone already
		p.mu.Unlock()
		return
	}
	p.say(fmt.Sprintf("with room for %d frames since some were lost", s.ring.slots))
}

// end ends a socket and its ring, and counts as lost what the ring has from head on. Whoever sleeps for it wakes first.
func (p *afpacket) end(b *waker, r *rxRing, index, head int) {
	_ = b.end()
	withdraw(b.fd, index)
	_, dropped := r.counts(b.fd)
	p.count.DropRx(DropFull, dropped+r.left(head))
	r.drop()
	closeSocket(b.fd)
}

// abandon has a port go on with r, whose place s could not take.
func (p *afpacket) abandon(in *intake, r *rxRing, s *spare) {
	p.mu.Lock()
	if !in.discard(s) {
		p.mu.Unlock()
		return
	}
	p.refuse(r, s.failure)
}

// refuse tells why a ring stays short. It takes over device.mu.
func (p *afpacket) refuse(r *rxRing, why error) {
	p.say(fmt.Sprintf("with room for %d frames, and not for more though some were lost: %v", r.slots, why))
}

// say tells how the interface is used. It takes over device.mu.
func (p *afpacket) say(how string) {
	changed := false
	if !p.device.closed {
		p.how = how
		changed = p.publish()
	}
	p.mu.Unlock()
	if changed {
		p.opt.changed()
	}
}

// beginAnew has an intake go on with the ring that it has, for another interface; a short one may grow again. device.mu is held.
func (in *intake) beginAnew() {
	in.discard(in.spare.Load())
	if r := in.ring.Load(); r != nil && in.mayGrow(r) {
		in.grows.Store(true)
		in.p.how = ""
	}
}

// mayGrow says whether a ring's length may change.
func (in *intake) mayGrow(r *rxRing) bool { return in.p.growable && r.slots < GrownSlots }

// discard ends a spare, if there is one, and frames come to the old socket again. What came to the spare is counted as lost. It reports false if
// there is no such spare any more.
func (in *intake) discard(s *spare) (was bool) {
	if s == nil {
		return false
	}
	in.lease.alone(func(fd int) {
		was = in.spare.CompareAndSwap(s, nil)
		if was && s.open && fd >= 0 {
			_ = keepAway(s.waker.fd)
			_ = letCome(fd)
		}
	})
	if was {
		in.p.end(s.waker, s.ring, s.index, 0)
	}
	return was
}

// left is how many frames wait from a slot on.
func (r *rxRing) left(head int) (n int) {
	for ; n < r.slots; n++ {
		if _, h := r.slot((head + n) % r.slots); atomic.LoadUint32(&h.Status)&unix.TP_STATUS_USER == 0 {
			break
		}
	}
	return n
}

// withdraw takes a socket off its interface, as closing it would, and returns when the kernel puts nothing more into its ring.
// One that shares the interface cannot be taken off; it gets nothing more until it goes.
func withdraw(fd, index int) {
	_ = keepAway(fd)
	// Of this protocol nothing comes. Protocol 0 would mean "as before" to some kernels.
	const other = unix.ETH_P_LOOPBACK
	_ = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: other>>8 | other&0xff<<8, Ifindex: index})
	_ = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_DROP_MEMBERSHIP,
		&unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC})
}

// ringTick is how often a sleeper looks at a ring that the kernel may have stopped filling.
const ringTick = time.Second
