package ports

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// afxdp is a port on an Ethernet device by AF_XDP: a program in the driver, or
// in front of the host's stack, gives every frame to a socket whose rings and
// memory are shared with the kernel. The host sees no frame of such a device.
//
// A frame is its bytes and nothing else here, and what the kernel keeps beside
// them is lost:
//
//   - A veth or a tap delivers checksums that the sender left to a device. They
//     are known by their look (unfinished.go).
//   - A VLAN tag that a sending host left beside the frame is put back by the
//     program, which can ask a veth for it from Linux 6.8 on. Hardware is told
//     not to take tags off. In generic mode, on a veth, it is lost: then the host
//     behind it must write its tags itself (ethtool -K eth0 txvlan off there).
//   - Segmentation offload ends at the device. While a program is in a veth the
//     kernel cuts what its peer sends; in generic mode it does not, and frames
//     longer than a chunk are lost and counted (DropNoRoom).
//
// What leaves is finished and cut here.
//
// Each queue of the device has a socket. They are dealt out to the port's readers, who
// take them in turn, and the first one sends. A device puts frames of one flow into one queue.
type afxdp struct {
	device
	mode   string
	inlets []*xdpInlet // one a reader; never changes, and has at least one

	use   sync.RWMutex // held for reading while the line is in use, and for writing a moment only
	lines *xdpLine     // guarded by use, and changed with mu held; nil while there is no interface, or its sockets are exchanged

	sending sync.Mutex
	fin     Finisher    // guarded by sending
	again   *time.Timer // guarded by sending: calls sendRest
	due     bool        // guarded by sending: it will
	rest    atomic.Bool // frames stayed in the ring

	room    int           // guarded by mu: frames that all queues together receive into
	most    int           // guarded by mu: as far as room may grow
	pressed chan struct{} // with room for one: a queue that had been full ran dry

	counting sync.Mutex // one asks for statistics at a time
	short    int        // guarded by counting: frames lost for want of room since the room grew
	pace     pace       // guarded by counting
	leaving  chan struct{}
	ended    sync.WaitGroup // the tending goroutine
}

// xdpLine is what binds a port to one interface: it is made anew with it.
type xdpLine struct {
	index   int    // of the interface
	name    string // of the interface
	chunk   int
	flags   uint16 // for the sockets' bind
	kept    *kept
	spared  int // bytes that are kept for drivers: so many that the kernel copies frames; 0: it may share
	hook    *xdpHook
	queues  []*xsk
	shares  [][]*xsk // of each reader
	missed  uint64   // of the hook's, counted already; guarded by afxdp.counting
	promisc int      // a packet socket that receives nothing and keeps the promiscuous mode
	look    bool     // frames may come with unfinished checksums
	untag   func()   // gives the device its tag offload back; may be nil
}

// xdpInlet is what one reader reads: each of so many queues as there are readers.
type xdpInlet struct {
	p     *afxdp
	index int // of the reader
	lease *lease
	next  int // the queue to be read first, of the reader
}

var (
	_ Parted       = (*afxdp)(nil)
	_ AdminSetter  = (*afxdp)(nil)
	_ CarrierAsker = (*afxdp)(nil)
)

func openXDP(spec Spec, o Options) (Port, error) {
	o.NoOffload = true
	p := &afxdp{mode: spec.Arg("mode"), leaving: make(chan struct{}), pressed: make(chan struct{}, 1)}
	p.room, p.most = spec.xdpRing()
	for i := range spec.readers() {
		p.inlets = append(p.inlets, &xdpInlet{p: p, index: i, lease: newLease()})
	}
	p.again = time.AfterFunc(time.Hour, p.sendRest)
	p.again.Stop()
	p.device.outgrown = p.outgrown
	if err := mayXDP(); err != nil {
		return nil, err
	}
	if err := p.watchLinks(spec, o, p); err != nil {
		return nil, err
	}
	p.pace.mark(time.Now(), p.arrived()) // the counters may be those of a port before
	p.ended.Add(1)
	go p.tend()
	if err := p.start(); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// Chunks hold a frame and the kernel's own room in front of it. Large ones take
// a page, which is as much as AF_XDP gives a frame.
const (
	xdpChunk, xdpChunkLarge = 2048, 4096
	xdpHeadroom             = unix.XDP_PACKET_HEADROOM
	xdpMaxMTU               = xdpChunkLarge - xdpHeadroom - frameOverhead
)

// xdpChunkFor is the chunk that frames of an MTU need.
func xdpChunkFor(mtu int) int {
	if mtu+frameOverhead+xdpHeadroom <= xdpChunk {
		return xdpChunk
	}
	return xdpChunkLarge
}

// attach puts program and sockets on an interface.
func (p *afxdp) attach(l link) error {
	mtu := l.mtu
	if p.link.index == 0 && p.spec.MTU != 0 {
		mtu = p.spec.MTU // it is set next
	}
	if mtu > xdpMaxMTU {
		return fmt.Errorf("interface %s has an MTU of %d, and AF_XDP takes %d at most, for a frame must fit a page: set mtu=, or use plain %s", l.name, mtu, xdpMaxMTU, l.name)
	}
	var line *xdpLine
	err := p.links.within(func() (err error) {
		line, err = newXDPLine(p.links, l, mtu, p.mode, p.room)
		return err
	})
	if err != nil {
		return err
	}
	if err := p.deal(line); err != nil {
		p.forget()
		line.close()
		return err
	}
	p.use.Lock()
	p.lines = line
	p.use.Unlock()
	p.tell(l, line)
	return nil
}

// deal gives each reader its queues, and something to wait for.
func (p *afxdp) deal(line *xdpLine) error {
	line.shares = make([][]*xsk, len(p.inlets))
	for i, s := range line.queues {
		share := &line.shares[i%len(p.inlets)]
		*share = append(*share, s)
	}
	for _, in := range p.inlets {
		fd, err := pollSet(in.queues(line))
		if err == nil {
			err = in.lease.put(fd)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tell says how the interface is used.
func (p *afxdp) tell(l link, line *xdpLine) {
	p.how = line.how(l)
	if n := len(p.inlets); n > 1 {
		p.how += fmt.Sprintf(", %d readers", n)
	}
	if first, _ := p.spec.xdpRing(); p.room > first {
		p.how += fmt.Sprintf(", with room for %d frames since some were lost", p.room)
	}
}

// forget leaves the readers nothing to wait for.
func (p *afxdp) forget() {
	for _, in := range p.inlets {
		_ = in.lease.put(-1)
	}
}

// how tells people what the kernel gave.
func (x *xdpLine) how(l link) string {
	words := "in the driver"
	if x.hook.generic {
		words = "generic"
	}
	if x.queues[0].zeroCopy {
		words += ", zero-copy"
	} else {
		words += ", frames are copied"
	}
	if x.spared > 0 {
		words += fmt.Sprintf(" because drivers may still write to %d MiB of interfaces that are gone; take the port out and put it in again in a minute", x.spared>>20)
	}
	if n := len(x.queues); n > 1 {
		words += fmt.Sprintf(", %d queues", n)
	}
	if x.hook.generic && l.kind == "veth" {
		words += "; a host behind it that leaves VLAN tags or segmentation to its device loses those tags and long frames: ethtool -K DEVICE txvlan off tso off gso off there"
	}
	return words
}

// detach gives program and sockets back. Frames that the reader has still are
// not in the kernel's hands.
func (p *afxdp) detach() {
	p.forget()
	p.use.Lock()
	line := p.lines
	p.lines = nil
	p.use.Unlock()
	if line != nil {
		p.countLine(line)
		line.close()
	}
}

// newXDPLine must be called in the interface's network namespace.
func newXDPLine(links *Links, l link, mtu int, mode string, room int) (*xdpLine, error) {
	line := &xdpLine{promisc: -1, index: l.index, name: l.name, chunk: xdpChunkFor(mtu), kept: &links.kept}
	if err := line.open(links, l, mode, room); err != nil {
		line.close()
		return nil, err
	}
	return line, nil
}

func (x *xdpLine) open(links *Links, l link, mode string, room int) (err error) {
	liftMemoryLimit()
	queues := links.rxQueues(l.name)
	if x.hook, err = newXDPHook(links, l, queues, mode); err != nil {
		return err
	}
	if mode == modeCopy || x.hook.generic {
		x.flags = unix.XDP_COPY
	} else if bytes, tooMuch := x.kept.tooMuch(links.there); tooMuch {
		x.flags, x.spared = unix.XDP_COPY, bytes
	}
	if x.queues, err = x.newQueues(queues, room); err != nil {
		return err
	}
	if err := x.bind(); err != nil {
		return err
	}
	x.missed = x.hook.misses()                    // before there was a port
	x.look = x.hook.generic || l.kind != "device" // hardware delivers what was on a wire
	if l.kind != "veth" {                         // its tags come from the peer, whatever this end says
		ok := false
		if x.untag, ok = links.keepTags(l.name); !ok {
			return fmt.Errorf("interface %s takes VLAN tags off the frames it delivers and cannot be told not to (ethtool -K %s rxvlan off); AF_XDP would lose them: use plain %s", l.name, l.name, l.name)
		}
	}
	return x.listenToAll(l)
}

// newQueues makes a socket for each queue. It must be called in the interface's network namespace.
func (x *xdpLine) newQueues(n, room int) (queues []*xsk, err error) {
	receive, send := xdpRxFor(room, n), xdpTx
	for range n {
		s, err := newXSK(x.chunk, receive, send)
		if err != nil {
			x.closeQueues(queues)
			return nil, err
		}
		queues, send = append(queues, s), 0 // the first one sends
	}
	return queues, nil
}

// bind joins the sockets to the queues, and shows them to the program.
func (x *xdpLine) bind() error {
	for i, s := range x.queues {
		if err := patiently(xdpRelease, func() error { return s.bind(x.index, i, x.flags) }); err != nil {
			return fmt.Errorf("binding an AF_XDP socket to queue %d of interface %s: %w", i, x.name, explainBind(err))
		}
		x.kept.release(xdpQueue{x.index, i})
		if err := x.hook.sockets.Put(uint32(i), uint32(s.fd)); err != nil {
			return fmt.Errorf("giving queue %d of interface %s to its socket: %w", i, x.name, err)
		}
	}
	return nil
}

// closeQueues closes sockets that may be bound to the queues.
func (x *xdpLine) closeQueues(queues []*xsk) {
	var end []func()
	for _, s := range queues {
		end = append(end, s.close)
	}
	atOnce(end...)
	for i, s := range queues {
		if s.zeroCopy {
			x.kept.keep(xdpQueue{x.index, i}, s.memory)
		}
	}
}

// xdpPatience is how long to try what another one has, such as a process that was killed. And xdpRelease is how long to try a queue: the
// kernel gives it free some time after its socket has gone, this port's own from before, too, and where frames are not
// copied the driver has to set the queue up anew first.
const xdpPatience, xdpRelease = time.Second, 5 * time.Second

func patiently(most time.Duration, try func() error) error {
	for end := time.Now().Add(most); ; time.Sleep(time.Millisecond) {
		if err := try(); !occupied(err) || time.Now().After(end) {
			return err
		}
	}
}

func explainBind(err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: another AF_XDP socket has it", err)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: try mode=copy", err)
	}
	return needsXDP(err)
}

// listenToAll sets promiscuous mode, which ends with the socket.
func (x *xdpLine) listenToAll(l link) (err error) {
	x.promisc, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.SetsockoptPacketMreq(x.promisc, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(l.index), Type: unix.PACKET_MR_PROMISC})
	}
	if err != nil {
		return fmt.Errorf("promiscuous mode on interface %s: %w", l.name, needsXDP(err))
	}
	return nil
}

// liftMemoryLimit lets the process pin memory. Without the right to, it has what
// its limit allows, and newXSK says so when that is too little.
func liftMemoryLimit() {
	all := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &all)
}

func (x *xdpLine) close() {
	if x.hook != nil {
		x.hook.close() // first: the host has the frames from here on
	}
	atOnce(func() { closeSocket(x.promisc) }, func() { x.closeQueues(x.queues) })
	if x.untag != nil {
		x.untag()
	}
}

// outgrown says whether what the link is now needs other sockets: chunks of
// another size, or a ring without frames from before the link went down. There are none at all when larger ones failed.
func (p *afxdp) outgrown(was, now link) bool {
	return p.lines == nil || xdpChunkFor(was.mtu) != xdpChunkFor(now.mtu) || now.mtu > xdpMaxMTU || !was.adminUp && now.adminUp && p.rest.Load()
}

// Inlets are all places where frames come in, see Parted.
func (p *afxdp) Inlets() []Inlet {
	all := make([]Inlet, len(p.inlets))
	for i, in := range p.inlets {
		all[i] = in
	}
	return all
}

// Wait and those that follow are of the first inlet.
func (p *afxdp) Wait() error { return p.inlets[0].Wait() }

// Settle is the first half of Wait.
func (p *afxdp) Settle() (more bool) { return p.inlets[0].Settle() }

// Sleep is the other half.
func (p *afxdp) Sleep() error { return p.inlets[0].Sleep() }

// Ready says whether Read would find frames, without asking the kernel.
func (p *afxdp) Ready() bool { return p.inlets[0].Ready() }

// Read lends the frames that have come. It may exchange frames within the slice
// when one in the middle of a batch is lost.
func (p *afxdp) Read(frames []*packet.Frame) (int, error) { return p.inlets[0].Read(frames) }

// queues are the reader's part of a line's.
func (in *xdpInlet) queues(x *xdpLine) []*xsk {
	if x == nil {
		return nil
	}
	return x.shares[in.index]
}

// Wait sleeps until a socket has a frame.
func (in *xdpInlet) Wait() error {
	if in.Settle() {
		return nil
	}
	return in.Sleep()
}

// Settle gives back what Read lent; see intake's.
func (in *xdpInlet) Settle() (more bool) {
	in.p.use.RLock()
	defer in.p.use.RUnlock()
	for _, s := range in.queues(in.p.lines) {
		s.giveBack()
		if s.rx.ready() > 0 {
			more = true
		} else if s.full {
			s.full = false
			in.p.press()
		}
	}
	return more
}

// Sleep is Wait without Settle.
func (in *xdpInlet) Sleep() error { return in.lease.wait() }

// Ready says whether Read would find frames, without asking the kernel.
func (in *xdpInlet) Ready() bool {
	in.p.use.RLock()
	defer in.p.use.RUnlock()
	return slices.ContainsFunc(in.queues(in.p.lines), func(s *xsk) bool { return s.rx.ready() > 0 })
}

// Read lends the frames that have come.
func (in *xdpInlet) Read(frames []*packet.Frame) (n int, err error) {
	p := in.p
	p.use.RLock()
	defer p.use.RUnlock()
	if p.lines == nil {
		_, err := in.lease.hold()
		if err == nil {
			in.lease.release()
		}
		return 0, err
	}
	frames = frames[:min(len(frames), batch)]
	queues := in.queues(p.lines)
	for range queues {
		if in.next++; in.next >= len(queues) { // a line may have fewer than the one before
			in.next = 0
		}
		s := queues[in.next]
		s.giveBack()
		n += s.receive(frames[n:])
	}
	in.took(n)
	return p.accept(frames[:n], p.lines.look), nil
}

// accept counts what came and says what its bytes show to be pending.
func (p *afxdp) accept(frames []*packet.Frame, look bool) (n int) {
	size := 0
	for i, f := range frames {
		if f.Len() < etherLen {
			p.count.DropRx(DropTruncated, 1)
			continue
		}
		if look {
			f.Offload = unfinishedChecksum(f.Bytes())
		}
		size += f.Len()
		frames[n], frames[i] = f, frames[n]
		n++
	}
	p.count.CountRx(n, size)
	return n
}

// Write copies frames to the kernel's memory, finished, and wakes it once.
func (p *afxdp) Write(frames []*packet.Frame) (taken int) {
	p.use.RLock()
	defer p.use.RUnlock()
	x := p.lines
	switch {
	case !p.ready.Load():
		p.count.DropTx(DropLinkDown, len(frames))
		return 0
	case x == nil: // its sockets are exchanged
		p.count.DropTx(DropFull, len(frames))
		return 0
	}
	p.sending.Lock()
	defer p.sending.Unlock()
	s, size, finished, mtu := x.queues[0], 0, 0, int(p.mtu.Load())
	s.reclaim()
	for _, f := range frames {
		if reason, ok := p.fin.Begin(f, mtu); !ok {
			p.count.DropTx(reason, 1)
			continue
		}
		if reason, ok := p.place(s, mtu); !ok {
			p.count.DropTx(reason, 1)
			continue
		}
		taken++
		size += f.Len()
		if unfinished(&f.Offload) {
			finished++
		}
	}
	lost, lostSize := p.wake(s)
	p.count.TxFinished.Add(uint64(finished))
	p.count.CountTx(max(taken-lost, 0), max(size-lostSize, 0))
	return taken
}

// place puts the frame that p.fin has begun into the ring. sending is held.
func (p *afxdp) place(s *xsk, mtu int) (DropReason, bool) {
	for b := p.fin.Next(); b != nil; b = p.fin.Next() {
		if len(b) > mtu+etherLen+4 { // with two tags; a veth would throw it away without a word
			return DropTooBig, false
		}
		if s.place(b) {
			continue
		}
		p.wake(s)
		if s.reclaim(); !s.place(b) {
			return DropFull, false
		}
	}
	return 0, true
}

// restDelay is when frames that the device had no room for are offered again.
const restDelay = time.Millisecond

// wake has the kernel send. What stays in the ring is offered again soon; frames
// that a dead link left there are thrown away with their sockets, see outgrown.
// sending is held.
func (p *afxdp) wake(s *xsk) (lost, size int) {
	lost, size, waiting := s.wake()
	p.count.DropTx(DropDevice, lost)
	p.rest.Store(waiting)
	if waiting && !p.due && p.ready.Load() {
		p.due = true
		p.again.Reset(restDelay)
	}
	return lost, size
}

// sendRest offers frames again that stayed in the ring.
func (p *afxdp) sendRest() {
	p.use.RLock()
	defer p.use.RUnlock()
	p.sending.Lock()
	defer p.sending.Unlock()
	p.due = false
	if p.lines != nil {
		p.wake(p.lines.queues[0])
	}
}

// Close takes program and sockets off the interface.
func (p *afxdp) Close() error {
	if !p.stop() {
		return nil
	}
	close(p.leaving)
	p.ended.Wait()
	p.detach()
	errs := make([]error, len(p.inlets))
	for i, in := range p.inlets {
		errs[i] = in.lease.close()
	}
	return errors.Join(errs...)
}
