package ports

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// Sizes of a packet socket's queues. A queue costs memory only while frames
// wait in it; 16 MiB hold some 200 super-frames or 20 000 small frames, which is
// what one busy worker may be behind for a few milliseconds.
const (
	rxBuffer = 16 << 20
	txBuffer = 8 << 20
)

// afpacket is a port on an Ethernet device: a packet socket that sees all that
// arrives and sends past the host's own stack.
//
// PACKET_VNET_HDR puts a virtio_net_hdr before each frame, in both directions.
// So a super-frame that a veth or a merging card delivers goes on whole to
// ports that can take it, and its checksum is never computed on the way. What
// Linux 6.18 does with it:
//
//   - TCP and UDP (UDP_SEGMENT) super-frames pass in both directions, below one
//     or two VLAN tags too. csum_start counts the tags that are in the bytes:
//     the kernel delivers it without the tag that it took off.
//   - What is sent is marked as not to be trusted, and its headers are looked at
//     once more; a super-frame that could not be cut is refused with ENOMEM.
//     Below MPLS that is every one, unless the kernel has CONFIG_NET_MPLS_GSO.
//   - hdr_len as delivered is the length of the skb's linear part, which may be
//     anything; as sent it decides how much is allocated in one piece.
//   - What virtio_net_hdr has no word for (SCTP and some tunnel segmentation)
//     is thrown away on receipt with EINVAL, and counted here.
//   - A frame without segmentation may be as long as the MTU and one tag of
//     type 0x8100; two tags, or one of 0x88a8, at full MTU are refused with
//     EMSGSIZE. The MTU of such a device must be 4 larger.
//   - SCTP with an unfinished CRC32c is delivered like an unfinished TCP
//     checksum, but taken back it would get the wrong sum, so it is finished
//     here.
//
// Frames come through a ring (rxring_linux.go) where the kernel gives one, else by
// recvmmsg. They leave by sockets of their own, which receive nothing: one takes
// offload state and one, for batches of finished frames, does not. Together they
// are worth a tenth of the time of a small frame, for the kernel has a header less
// to check, and a frame that was sent wakes no poller.
//
// PACKET_QDISC_BYPASS is not set: queueing disciplines on the device are part
// of many a lab (Mininet's TCLink), and they must shape what the switch sends.
type afpacket struct {
	device
	lease *lease
	rx    *receiver              // of the one reader
	ring  atomic.Pointer[rxRing] // nil: frames come by recvmmsg
	plain int                    // the socket for finished frames
	whole int                    // the socket for frames with offload state

	bound   int // index of the interface last attached to; guarded by device.mu
	closing sync.Once
	failure error // of closing

	sending sync.Mutex
	tx      *transmitter // guarded by sending
	single  *transmitter // guarded by sending: for segments made here
	fin     Finisher     // guarded by sending
}

var (
	_ Port         = (*afpacket)(nil)
	_ AdminSetter  = (*afpacket)(nil)
	_ CarrierAsker = (*afpacket)(nil)
)

func openAFPacket(spec Spec, o Options) (Port, error) {
	p := &afpacket{lease: newLease(), rx: newReceiver(), tx: newTransmitter(batch), single: newTransmitter(1), plain: -1, whole: -1}
	err := p.watchLinks(spec, o, p)
	if err == nil {
		err = p.openSockets(&spec)
	}
	if err == nil {
		err = p.start()
	}
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// openSockets makes the socket that receives, with a ring if there can be one,
// and the two that send.
func (p *afpacket) openSockets(spec *Spec) error {
	slots, asked := spec.ringSlots()
	fd, err := receivingSocket(slots > 0)
	if err != nil {
		return err
	}
	if slots > 0 {
		ring, err := newRxRing(fd, slots)
		if err == nil {
			p.ring.Store(ring)
			p.lease.tick = time.Second
		} else if asked {
			return errors.Join(err, unix.Close(fd))
		}
	}
	if err = p.lease.put(fd); err != nil {
		return err
	}
	if p.plain, err = sendingSocket(); err != nil {
		return err
	}
	p.whole, err = sendingSocket(unix.PACKET_VNET_HDR)
	return err
}

// receivingSocket makes the socket that frames come in by. What it had no room for
// it counts beside its frames, but for a ring that has its own counts: the
// kernel sets no such count for the frames that it queues beside a ring.
func receivingSocket(ring bool) (int, error) {
	fd, err := packetSocket(unix.PACKET_VNET_HDR, unix.PACKET_AUXDATA, unix.PACKET_IGNORE_OUTGOING)
	if err != nil {
		return -1, err
	}
	if !ring {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1); err != nil {
			_ = unix.Close(fd)
			return -1, fmt.Errorf("packet socket option SO_RXQ_OVFL: %w", err)
		}
	}
	// The forcing form needs CAP_NET_ADMIN; the other stops at net.core.rmem_max.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, rxBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, rxBuffer)
	}
	return fd, nil
}

// sendingSocket makes a socket that frames leave by.
func sendingSocket(options ...int) (int, error) {
	fd, err := packetSocket(options...)
	if err == nil && unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, txBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, txBuffer)
	}
	return fd, err
}

// packetSocket makes a packet socket that receives nothing before it is bound.
func packetSocket(options ...int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening a packet socket: %w", needs(err, "CAP_NET_RAW"))
	}
	for _, opt := range options {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, opt, 1); err != nil {
			_ = unix.Close(fd)
			return -1, fmt.Errorf("packet socket option %s: %w", optionNames[opt], err)
		}
	}
	return fd, nil
}

var optionNames = map[int]string{
	unix.PACKET_VNET_HDR:        "PACKET_VNET_HDR",
	unix.PACKET_AUXDATA:         "PACKET_AUXDATA",
	unix.PACKET_IGNORE_OUTGOING: "PACKET_IGNORE_OUTGOING (Linux 4.20)",
}

// attach binds the sockets to the interface and sets promiscuous mode.
func (p *afpacket) attach(l link) error {
	fd, err := p.lease.hold()
	if err != nil {
		return err
	}
	defer p.lease.release()
	for _, out := range []int{p.plain, p.whole} {
		if err := unix.Bind(out, &unix.SockaddrLinklayer{Ifindex: l.index}); err != nil {
			return fmt.Errorf("binding to interface %s: %w", l.name, err)
		}
	}
	return p.listen(fd, l)
}

// listen lets a socket receive what the interface receives. The promiscuous mode
// belongs to the socket: it ends with it, however that ends.
func (p *afpacket) listen(fd int, l link) error {
	all := uint16(unix.ETH_P_ALL)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: l.index}); err != nil {
		return fmt.Errorf("binding to interface %s: %w", l.name, err)
	}
	err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
		&unix.PacketMreq{Ifindex: int32(l.index), Type: unix.PACKET_MR_PROMISC})
	if err != nil {
		return fmt.Errorf("promiscuous mode on interface %s: %w", l.name, err)
	}
	p.bound = l.index
	return nil
}

// detach has nothing to do: the kernel has unbound the socket from the dead
// interface, and the next attach binds it again.
func (p *afpacket) detach() {}

// Wait sleeps until the socket has a frame or an error to report.
func (p *afpacket) Wait() error {
	if p.Settle() {
		return nil
	}
	return p.Sleep()
}

// Settle is what a reader does before it sleeps, or before it lets another one read: it gives back what Read
// lent. It reports whether there is something to read already.
func (p *afpacket) Settle() (more bool) {
	r := p.ring.Load()
	if r == nil {
		return false
	}
	if p.settle(r) {
		p.leaveRing(r)
		return false
	}
	return !r.dry
}

// Sleep is Wait without Settle. It touches nothing that is the reader's, so another goroutine may read meanwhile.
func (p *afpacket) Sleep() error { return p.lease.wait() }

// Ready says whether Read would find frames. With a ring it asks nobody.
func (p *afpacket) Ready() bool {
	if r := p.ring.Load(); r != nil {
		return r.peek()
	}
	return p.lease.readable()
}

// forgive takes an error off the socket that would wake the reader again and
// again: that the interface went down or away, which netlink tells.
func (p *afpacket) forgive() {
	if fd, err := p.lease.hold(); err == nil {
		_, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		p.lease.release()
	}
}

// Read takes frames off the ring or the socket. It may exchange frames within
// the slice when one in the middle of a batch is lost.
func (p *afpacket) Read(frames []*packet.Frame) (int, error) {
	fd, err := p.lease.hold()
	if err != nil {
		if r := p.ring.Load(); r != nil {
			r.giveBack()
		}
		return 0, err
	}
	defer p.lease.release()
	if r := p.ring.Load(); r != nil {
		return p.take(r, fd, frames[:min(len(frames), batch)])
	}
	for range batch { // each error is told once, so a few turns reach the frames behind it
		got, errno := p.rx.receive(fd, frames)
		if errno == 0 {
			return p.accept(frames[:got]), nil
		}
		if errno == unix.EAGAIN || !p.passing(errno) {
			break
		}
	}
	return 0, nil
}

// passing counts an error of receiving and says whether to try again.
func (p *afpacket) passing(errno unix.Errno) bool {
	switch errno {
	case unix.EINVAL: // segmentation that virtio_net_hdr cannot express; the frame is gone
		p.count.DropRx(DropBadOffload, 1)
	case unix.EINTR, unix.ENETDOWN, unix.ENXIO, unix.ENODEV: // the interface went down or away; netlink tells the rest
	default:
		p.count.RxErrors.Add(1)
		return false
	}
	return true
}

// accept makes frames of what the last batch brought.
func (p *afpacket) accept(frames []*packet.Frame) (n int) {
	size := 0
	for i, f := range frames {
		a := p.rx.aux(i)
		p.count.DropRx(DropFull, int(a.dropped))
		got := int(p.rx.msgs[i].n) - vnetLen
		o, ok := p.rx.vnet[i].offload()
		switch {
		case p.rx.msgs[i].hdr.Flags&unix.MSG_TRUNC != 0:
			p.count.DropRx(DropNoRoom, 1)
			continue
		case got < etherLen:
			p.count.DropRx(DropTruncated, 1)
			continue
		case !ok:
			p.count.DropRx(DropBadOffload, 1)
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
	p.count.CountRx(n, size)
	return n
}

// Write sends frames, as many as possible in one system call.
func (p *afpacket) Write(frames []*packet.Frame) (taken int) {
	_, err := p.lease.hold()
	if err != nil || !p.ready.Load() {
		p.count.DropTx(DropLinkDown, len(frames))
		if err == nil {
			p.lease.release()
		}
		return 0
	}
	defer p.lease.release()
	p.sending.Lock()
	defer p.sending.Unlock()
	mtu, fd, plain := int(p.mtu.Load()), p.plain, true
	for _, f := range frames { // one socket a batch, so that order is kept without a thought
		if unfinished(&f.Offload) {
			fd, plain = p.whole, false
			break
		}
	}
	for _, f := range frames {
		hdrLen, verdict := judge(f, mtu, p.opt.NoOffload)
		switch verdict {
		case passWhole:
			p.tx.add(f, hdrLen, plain)
			if p.tx.n == batch {
				taken += p.flush(fd)
			}
		case passFinished: // what is before it goes first: order within a flow is kept
			taken += p.flush(fd)
			taken += p.finish(f)
		default:
			p.count.DropTx(DropReason(verdict), 1)
		}
	}
	return taken + p.flush(fd)
}

// flush sends what has been placed and empties the places.
func (p *afpacket) flush(fd int) (taken int) {
	packets, size, t := 0, 0, p.tx
	for at := 0; at < t.n; {
		sent, errno := t.send(fd, at)
		for ; sent > 0; sent-- {
			size += t.size(at)
			packets++
			at++
		}
		switch {
		case errno == 0, errno == unix.EINTR:
		case errno == unix.EAGAIN: // the socket's queue is full, for the others too
			p.count.DropTx(DropFull, t.n-at)
			at = t.n
		case errno == unix.ENOBUFS: // the device's queueing discipline is full
			p.count.DropTx(DropFull, 1)
			at++
		case refusesOffload(errno) && unfinished(&t.frames[at].Offload):
			taken += p.finish(t.frames[at])
			at++
		default:
			p.count.DropTx(dropFor(errno), 1)
			at++
		}
	}
	p.count.CountTx(packets, size)
	t.clear()
	return taken + packets
}

// finish sends a frame after doing its pending work here, and says whether all
// of it went (1 or 0).
func (p *afpacket) finish(f *packet.Frame) int {
	if reason, ok := p.fin.Begin(f, int(p.mtu.Load())); !ok {
		p.count.DropTx(reason, 1)
		return 0
	}
	for b := p.fin.Next(); b != nil; b = p.fin.Next() {
		p.single.addFinished(b)
		_, errno := p.single.send(p.plain, 0)
		p.single.clear()
		if errno != 0 { // the rest of a torn super-frame would have to be sent again anyhow
			p.count.DropTx(dropFor(errno), 1)
			return 0
		}
	}
	p.count.TxFinished.Add(1)
	p.count.CountTx(1, f.Len())
	return 1
}

// refusesOffload tells the errors by which a kernel says that it cannot do the
// segmentation or checksum asked for. 524 is its own ENOTSUPP, which has no name
// here; ENOMEM is what a super-frame that cannot be cut ends in.
func refusesOffload(errno unix.Errno) bool {
	return errno == unix.EINVAL || errno == unix.EOPNOTSUPP || errno == unix.ENOMEM || errno == 524
}

// dropFor is the reason under which a failed send is counted.
func dropFor(errno unix.Errno) DropReason {
	switch errno {
	case unix.EAGAIN, unix.ENOBUFS:
		return DropFull
	case unix.EMSGSIZE:
		return DropTooBig
	case unix.ENETDOWN, unix.ENXIO, unix.ENODEV, unix.EIO, unix.EBADFD:
		return DropLinkDown
	case unix.EINVAL:
		return DropBadOffload
	}
	return DropDevice
}

// Close ends the port; the kernel undoes the promiscuous mode with the socket. It lets go of a packet
// socket only when all processors have looked up, which takes some ten milliseconds for each, and no
// longer for all at once.
func (p *afpacket) Close() error {
	p.stop()
	p.closing.Do(func() {
		atOnce(p.closeReceiving, func() { closeSocket(p.plain) }, func() { closeSocket(p.whole) })
	})
	return p.failure
}

func (p *afpacket) closeReceiving() {
	if r := p.ring.Load(); r != nil && !r.drop() { // the reader has frames still
		if fd, err := p.lease.hold(); err == nil {
			p.unbind(fd)
			p.lease.release()
		}
	}
	p.failure = p.lease.close()
}

func closeSocket(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
}

// atOnce runs all of it and returns when the last has ended.
func atOnce(do ...func()) {
	var all sync.WaitGroup
	for _, f := range do {
		all.Go(f)
	}
	all.Wait()
}

// unbind does what closing the socket would do: mapped memory keeps it alive for
// as long as the reader has frames of it.
func (p *afpacket) unbind(fd int) {
	_ = unix.Bind(fd, &unix.SockaddrLinklayer{})
	_ = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_DROP_MEMBERSHIP,
		&unix.PacketMreq{Ifindex: int32(p.bound), Type: unix.PACKET_MR_PROMISC})
}
