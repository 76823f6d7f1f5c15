package ports

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// intake is a socket by which an afpacket port's frames come in, with its ring and the
// arrays of its one reader. A port with several shares its frames among them by
// PACKET_FANOUT: the kernel chooses by a hash of addresses, protocol and ports, so
// those of a flow come by one intake, and in their order. It hashes the first
// fragment of a packet like the later ones, without ports; what has neither IP nor MPLS
// (ARP, say) goes to one of them as a whole. After the interface was down the kernel gives
// it back to the sockets one by one; in that moment a flow may move.
//
// Readers that run side by side pay only if there are processors to run on: with two,
// of which one makes the frames, nothing is gained.
type intake struct {
	p     *afpacket
	lease *lease
	rx    *receiver              // of the reader
	ring  atomic.Pointer[rxRing] // of the lease's socket; nil: frames come by recvmmsg
	mine  *rxRing                // of the reader: the ring that has lent it frames; nil: none
	short int                    // of the reader: frames that the ring had no room for, see press
	grows atomic.Bool            // there may be a longer ring, and none is in the making
	spare atomic.Pointer[spare]  // it takes the ring's place; exchanged while nobody holds the lease. nil: none
}

// receivingSocket makes a socket that frames come in by, with a ring if it is to have
// slots. Without having been asked for, a ring may be missing. What a socket had no room for
// it counts beside its frames, but for a ring that has its own counts: the
// kernel sets no such count for the frames that it queues beside a ring.
func receivingSocket(slots int, asked bool) (fd int, ring *rxRing, err error) {
	fd, err = packetSocket(unix.PACKET_VNET_HDR, unix.PACKET_AUXDATA, unix.PACKET_IGNORE_OUTGOING)
	if err != nil {
		return -1, nil, err
	}
	// The forcing form needs CAP_NET_ADMIN; the other stops at net.core.rmem_max.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, rxBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, rxBuffer)
	}
	if slots > 0 {
		if ring, err = newRxRing(fd, slots); err == nil {
			return fd, ring, nil
		} else if asked {
			return -1, nil, errors.Join(err, unix.Close(fd))
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1); err != nil {
		_ = unix.Close(fd)
		return -1, nil, fmt.Errorf("packet socket option SO_RXQ_OVFL: %w", err)
	}
	return fd, nil, nil
}

// exchange puts a socket in place of the one before, with its ring or without. Both are the
// intake's from here on, also when they are refused.
func (in *intake) exchange(fd int, ring *rxRing) error {
	in.lease.tick = 0
	if ring != nil {
		in.lease.tick = ringTick
		in.grows.Store(in.mayGrow(ring))
	}
	old := ring
	err := in.lease.exchange(fd, func() { old = in.ring.Swap(ring) })
	if old != nil {
		old.drop()
	}
	return err
}

// renew puts new sockets in place of all that receive, and lets them receive before the
// old ones end. device.mu is held.
func (p *afpacket) renew(l link, slots int) (err error) {
	n := len(p.intakes)
	if n == 1 {
		p.how = ""
		p.intakes[0].beginAnew()
	}
	fds, rings := make([]int, 0, n), make([]*rxRing, 0, n)
	for len(fds) < n && err == nil {
		err = p.links.within(func() error {
			fd, ring, err := receivingSocket(slots, false)
			if err == nil {
				fds, rings = append(fds, fd), append(rings, ring)
			}
			return err
		})
	}
	if err == nil && n > 1 { // no frame twice
		p.eachSocket(keepAway)
	}
	if err == nil && l.index != 0 {
		bound := p.bound
		if err = p.listen(l, fds); err != nil {
			p.bound = bound
			p.eachSocket(letCome)
		}
	}
	errs := make([]error, n)
	errs[0] = err
	end := make([]func(), len(fds))
	for i, fd := range fds {
		end[i] = func() { errs[i] = p.intakes[i].exchange(fd, rings[i]) }
		if err != nil {
			end[i] = func() {
				if rings[i] != nil {
					rings[i].drop()
				}
				closeSocket(fd)
			}
		}
	}
	atOnce(end...)
	return errors.Join(errs...)
}

// eachSocket does something to all sockets that receive.
func (p *afpacket) eachSocket(do func(fd int) error) {
	for _, in := range p.intakes {
		if fd, err := in.lease.hold(); err == nil {
			_ = do(fd)
			in.lease.release()
		}
	}
}

// listen lets the receiving sockets receive what the interface receives. The promiscuous
// mode belongs to a socket: it ends with it, however that ends. device.mu is held.
//
// Several share the frames from the first one on: while the kernel has not been told of all, frames of
// one flow would go now to one and then to another, so a filter keeps all frames away until it has.
//
// Before Linux 6.13 they cannot begin to share an interface that is down (EINVAL). They are attached anew when it is up.
func (p *afpacket) listen(l link, fds []int) (err error) {
	all := uint16(unix.ETH_P_ALL)
	group, several := 0, len(fds) > 1
	p.waiting = false
	for _, fd := range fds {
		if several {
			if err = keepAway(fd); err != nil {
				return err
			}
		}
		if err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: l.index}); err != nil {
			return fmt.Errorf("binding to interface %s: %w", l.name, err)
		}
		if several {
			if group, err = p.join(fd, group); err != nil {
				if now, ok := p.links.ask(l.name); errors.Is(err, unix.EINVAL) && (!ok || !now.adminUp || !l.adminUp) {
					p.waiting = true
					return nil
				}
				return fmt.Errorf("sharing interface %s among %d readers: %w", l.name, len(fds), err)
			}
			p.bound = l.index
		}
		err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(l.index), Type: unix.PACKET_MR_PROMISC})
		if err != nil {
			return fmt.Errorf("promiscuous mode on interface %s: %w", l.name, err)
		}
	}
	if p.bound = l.index; !several {
		return nil
	}
	p.how = fmt.Sprintf("%d readers", len(fds))
	for _, fd := range fds {
		if err = letCome(fd); err != nil {
			return err
		}
	}
	return nil
}

// keepAway gives a socket a filter that nothing passes.
func keepAway(fd int) error {
	none := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &none}); err != nil {
		return fmt.Errorf("packet socket option SO_ATTACH_FILTER: %w", err)
	}
	return nil
}

// letCome takes that filter off.
func letCome(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
		return fmt.Errorf("packet socket option SO_DETACH_FILTER: %w", err)
	}
	return nil
}

// joinFanout makes a bound socket one of a group, a new one for group 0, and
// returns the group. What the switch itself sends is none of theirs, which has to be said of the group again.
func joinFanout(fd, group int) (int, error) {
	const how = unix.PACKET_FANOUT_HASH | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	if group != 0 {
		return group, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group|how<<16)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, (how|unix.PACKET_FANOUT_FLAG_UNIQUEID)<<16); err != nil {
		return 0, err
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	return got & 0xffff, err
}

// Wait sleeps until the socket has a frame or an error to report.
func (in *intake) Wait() error {
	if in.Settle() {
		return nil
	}
	return in.Sleep()
}

// Settle is what a reader does before it sleeps, or before it lets another one read: it gives back what Read
// lent. It reports whether there is something to read already.
func (in *intake) Settle() (more bool) {
	r := in.follow()
	if r == nil {
		return false
	}
	if in.settle(r) {
		in.p.leaveRing(in, r)
		return false
	}
	if r.dry && in.spare.Load() != nil {
		in.move(r)
		return in.moving() || in.ring.Load() != r
	}
	return !r.dry
}

// Sleep is Wait without Settle. It touches nothing that is the reader's, so another goroutine may read meanwhile.
func (in *intake) Sleep() error { return in.lease.wait() }

// follow gives back what a ring has lent that is not the socket's any more.
func (in *intake) follow() *rxRing {
	r := in.ring.Load()
	if in.mine != r && in.mine != nil {
		in.mine.giveBack()
	}
	in.mine = r
	return r
}

// Ready says whether Read would find frames. With a ring it asks nobody.
func (in *intake) Ready() bool {
	if r := in.ring.Load(); r != nil {
		return r.peek() || in.moving()
	}
	return in.lease.readable()
}

// forgive takes an error off the socket that would wake the reader again and
// again: that the interface went down or away, which netlink tells.
func (in *intake) forgive() {
	if fd, err := in.lease.hold(); err == nil {
		_, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		in.lease.release()
	}
}

// Read takes frames off the ring or the socket. It may exchange frames within
// the slice when one in the middle of a batch is lost.
func (in *intake) Read(frames []*packet.Frame) (int, error) {
	n, err := in.read(frames)
	if n == 0 && err == nil && in.moving() && in.mine != nil {
		in.move(in.mine)
		return in.read(frames)
	}
	return n, err
}

func (in *intake) read(frames []*packet.Frame) (int, error) {
	fd, err := in.lease.hold()
	if err != nil {
		if in.mine != nil {
			in.mine.giveBack()
		}
		return 0, err
	}
	defer in.lease.release()
	if r := in.follow(); r != nil {
		return in.take(r, fd, frames[:min(len(frames), batch)])
	}
	for range batch { // each error is told once, so a few turns reach the frames behind it
		got, errno := in.rx.receive(fd, frames)
		if errno == 0 {
			in.lease.took(got)
			return in.accept(frames[:got]), nil
		}
		if errno == unix.EAGAIN || !in.passing(errno) {
			break
		}
	}
	return 0, nil
}

// passing counts an error of receiving and says whether to try again.
func (in *intake) passing(errno unix.Errno) bool {
	switch errno {
	case unix.EINVAL: // segmentation that virtio_net_hdr cannot express; the frame is gone
		in.p.count.DropRx(DropBadOffload, 1)
	case unix.EINTR, unix.ENETDOWN, unix.ENXIO, unix.ENODEV: // the interface went down or away; netlink tells the rest
	default:
		in.p.count.RxErrors.Add(1)
		return false
	}
	return true
}

// accept makes frames of what the last batch brought.
func (in *intake) accept(frames []*packet.Frame) (n int) {
	size, count := 0, in.p.count
	for i, f := range frames {
		a := in.rx.aux(i)
		count.DropRx(DropFull, int(a.dropped))
		got := int(in.rx.msgs[i].n) - vnetLen
		o, ok := in.rx.vnet[i].offload()
		switch {
		case in.rx.msgs[i].hdr.Flags&unix.MSG_TRUNC != 0:
			count.DropRx(DropNoRoom, 1)
			continue
		case got < etherLen:
			count.DropRx(DropTruncated, 1)
			continue
		case !ok:
			count.DropRx(DropBadOffload, 1)
			continue
		}
		f.SetLen(got)
		f.Offload = o
		if a.tagged {
			f.InsertVLAN(a.tpid, a.tci)
		}
		size += f.Len()
		frames[n], frames[i] = f, frames[n]
		n++
	}
	count.CountRx(n, size)
	return n
}

// close ends the intake. Its ring's memory goes first, for it would keep the socket alive; if the
// reader has frames in it, the socket is taken off the interface as closing would do.
func (in *intake) close() error {
	in.discard(in.spare.Load())
	if r := in.ring.Load(); r != nil && !r.drop() {
		if fd, err := in.lease.hold(); err == nil {
			withdraw(fd, in.p.bound)
			in.lease.release()
		}
	}
	return in.lease.close()
}
