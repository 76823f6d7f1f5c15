package ports

import (
	"errors"
	"fmt"
	"sync"

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
	intakes []*intake // one a reader; never changes, and has at least one

	bound    int                                                           // index of the interface that the receiving sockets have listened to, 0 for none so far; guarded by device.mu
	join     func(fd, group int) (int, error)                              // joinFanout; guarded by device.mu
	second   func(slots int, asked bool) (fd int, ring *rxRing, err error) // receivingSocket, for a longer ring; guarded by device.mu
	waiting  bool                                                          // several readers wait for the interface to be up; guarded by device.mu
	growable bool                                                          // the port has one ring, and nobody has said how long; never changes
	ending   sync.WaitGroup                                                // of sockets whose place longer rings' have taken
	closing  sync.Once
	failure  error // of closing

	sending sync.Mutex
	plain   int          // guarded by sending once there are frames: the socket for finished frames; -1: closed
	whole   int          // likewise: the socket for frames with offload state
	tx      *transmitter // guarded by sending
	single  *transmitter // guarded by sending: for segments made here
	fin     Finisher     // guarded by sending
}

var (
	_ Parted       = (*afpacket)(nil)
	_ AdminSetter  = (*afpacket)(nil)
	_ CarrierAsker = (*afpacket)(nil)
)

func openAFPacket(spec Spec, o Options) (Port, error) {
	p := &afpacket{join: joinFanout, second: receivingSocket, tx: newTransmitter(batch), single: newTransmitter(1), plain: -1, whole: -1}
	for range spec.readers() {
		p.intakes = append(p.intakes, &intake{p: p, lease: newLease(), rx: newReceiver()})
	}
	p.device.outgrown = func(_, now link) bool { return p.waiting && now.adminUp }
	err := p.watchLinks(spec, o, p)
	if err == nil {
		err = p.links.within(func() error { return p.openSockets(&spec) })
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

// openSockets makes the sockets that receive, with a ring if there can be one,
// and the two that send. It is called in the interface's network namespace.
func (p *afpacket) openSockets(spec *Spec) error {
	slots, asked := spec.ringSlots()
	p.growable = !asked && len(p.intakes) == 1
	for _, in := range p.intakes {
		fd, ring, err := receivingSocket(slots, asked)
		if err == nil {
			err = in.exchange(fd, ring)
		}
		if err != nil {
			return err
		}
	}
	var err error
	if p.plain, err = sendingSocket(); err != nil {
		return err
	}
	p.whole, err = sendingSocket(unix.PACKET_VNET_HDR)
	return err
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
	for _, in := range p.intakes {
		in.beginAnew() // a spare listens to the interface before
	}
	for _, out := range []int{p.plain, p.whole} {
		if err := unix.Bind(out, &unix.SockaddrLinklayer{Ifindex: l.index}); err != nil {
			return fmt.Errorf("binding to interface %s: %w", l.name, err)
		}
	}
	slots, _ := p.spec.ringSlots()
	if p.bound != 0 && len(p.intakes) > 1 { // a socket that shared an interface with others cannot be bound to another
		return p.renew(l, slots)
	}
	err := p.listenFirst(l)
	if err != nil && p.bound != 0 && len(p.intakes) > 1 { // some share the interface already, and would until they are closed
		err = errors.Join(err, p.renew(link{}, slots))
		p.bound = 0
	}
	return err
}

// listenFirst is listen for the sockets that the intakes have.
func (p *afpacket) listenFirst(l link) error {
	fds := make([]int, len(p.intakes))
	for i, in := range p.intakes {
		var err error
		if fds[i], err = in.lease.hold(); err != nil {
			return err
		}
		defer in.lease.release()
	}
	return p.listen(l, fds)
}

// detach ends the receiving sockets where the interface lives on and is another switch's now. From a dead one the kernel
// has unbound them, and the next attach binds them again.
func (p *afpacket) detach() {
	if now, ok := p.links.index(p.link.index); !ok || now.birth != p.link.birth || p.waiting {
		return
	}
	slots, _ := p.spec.ringSlots()
	if p.renew(link{}, slots) == nil {
		p.bound = 0
	}
}

// Wait and those that follow are of the first intake.
func (p *afpacket) Wait() error { return p.intakes[0].Wait() }

// Settle is the first half of Wait.
func (p *afpacket) Settle() (more bool) { return p.intakes[0].Settle() }

// Sleep is the other half.
func (p *afpacket) Sleep() error { return p.intakes[0].Sleep() }

// Ready says whether Read would find frames. With a ring it asks nobody.
func (p *afpacket) Ready() bool { return p.intakes[0].Ready() }

// Read takes frames off the ring or the socket. It may exchange frames within
// the slice when one in the middle of a batch is lost.
func (p *afpacket) Read(frames []*packet.Frame) (int, error) { return p.intakes[0].Read(frames) }

// Inlets are all places where frames come in, see Parted.
func (p *afpacket) Inlets() []Inlet {
	all := make([]Inlet, len(p.intakes))
	for i, in := range p.intakes {
		all[i] = in
	}
	return all
}

// Write sends frames, as many as possible in one system call.
func (p *afpacket) Write(frames []*packet.Frame) (taken int) {
	p.sending.Lock()
	defer p.sending.Unlock()
	if p.plain < 0 || !p.ready.Load() {
		p.count.DropTx(DropLinkDown, len(frames))
		return 0
	}
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
		failures := make([]error, len(p.intakes))
		p.sending.Lock() // no number may mean another file while a frame is being written
		plain, whole := p.plain, p.whole
		p.plain, p.whole = -1, -1
		p.sending.Unlock()
		end := []func(){func() { closeSocket(plain) }, func() { closeSocket(whole) }}
		for i, in := range p.intakes {
			end = append(end, func() { failures[i] = in.close() })
		}
		atOnce(end...)
		p.ending.Wait()
		p.failure = errors.Join(failures...)
	})
	return p.failure
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
