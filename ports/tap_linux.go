package ports

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// tap is a port on the program's side of a tap interface: what the host sends
// into the interface is read here, and what is written here the host receives.
//
// With IFF_VNET_HDR each frame has a virtio_net_hdr before it, and the host
// neither completes checksums nor cuts super-frames for it. A VLAN tag is part
// of the bytes here, with csum_start counted behind it.
//
// A guest of KVM holds that side of its tap itself. Its port is the interface,
// which is to say an afpacket port; a tap whose other side is taken is opened
// as one, unless it is weir that has taken it.
//
// With several readers the interface has a queue for each (tapqueue_linux.go).
type tap struct {
	device
	inlets []*tapInlet      // one a reader; never changes, and has at least one
	out    *lease           // of the descriptor that frames leave by: the one reader's, or one of its own
	made   bool             // by us, so that it vanishes with us
	mac    net.HardwareAddr // what it was made with, for the next time

	sending sync.Mutex
	outVnet vnetHdr                // guarded by sending
	outIov  *[2 + batch]unix.Iovec // guarded by sending: header, pieces of the frame
	fin     Finisher               // guarded by sending
	join    joiner                 // guarded by sending

	opened int // guarded by device.mu: index of the interface that the descriptor belongs to
}

var (
	_ Parted       = (*tap)(nil)
	_ AdminSetter  = (*tap)(nil)
	_ CarrierAsker = (*tap)(nil)
)

func openTAP(spec Spec, o Options) (Port, error) {
	p, err := newTap(spec, o)
	if err != nil {
		return nil, err
	}
	err = p.open(0)
	if errors.Is(err, unix.EBUSY) {
		l, _ := p.links.ask(spec.Target)
		p.mu.Lock() // else an event may have it claim the tap for a moment, which would be taken for another port
		who, answers := holder(p.links, l.index, tapSide, holderHearing)
		p.mu.Unlock()
		_ = p.Close()
		if answers {
			return nil, inUse(spec.Target, who)
		}
		return openAFPacket(spec, o)
	}
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

func newTap(spec Spec, o Options) (*tap, error) {
	p := &tap{device: device{side: tapSide}, outIov: new([2 + batch]unix.Iovec)}
	p.outIov[0].Base = &p.outVnet[0]
	p.outIov[0].SetLen(vnetLen)
	for range spec.readers() {
		p.inlets = append(p.inlets, newTapInlet(p))
	}
	if p.out = p.inlets[0].lease; len(p.inlets) > 1 {
		p.out = newLease()
	}
	if err := p.watchLinks(spec, o, p); err != nil {
		return nil, err
	}
	return p, nil
}

// open takes the tap, or makes it when there is none. A tap that is busy is
// tried again for as long as patience lasts: the kernel needs a moment to
// remove what a killed process has left.
func (p *tap) open(patience time.Duration) error {
	name := p.spec.Target
	const step = 20 * time.Millisecond
	for ; ; patience -= step {
		var err error
		if _, ok := p.links.ask(name); !ok {
			if err = p.make(); err == nil {
				return p.start()
			}
		} else if err = p.start(); err == nil {
			return nil
		}
		if patience <= 0 || !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EEXIST) {
			return err
		}
		time.Sleep(step)
	}
}

// make makes the interface and switches it on.
func (p *tap) make() error {
	name := p.spec.Target
	fds, err := p.attachTo(name)
	if err != nil {
		return err
	}
	l, ok := p.links.ask(name)
	if !ok {
		closeAll(fds)
		return fmt.Errorf("tap %s was made and is not there; was it removed or renamed at once?", name)
	}
	p.made, p.opened, p.remake = true, l.index, p.makeAgain
	if err := p.put(fds); err != nil {
		return fmt.Errorf("tap %s: %w", name, err)
	}
	if mac, err := net.ParseMAC(p.spec.Arg("mac")); err == nil {
		p.mac = mac
	}
	if p.mac == nil {
		p.mac = net.HardwareAddr(l.mac)
	} else if err := p.links.request.LinkSetHardwareAddr(numbered(l.index), p.mac); err != nil {
		return fmt.Errorf("giving tap %s the address %s: %w", name, p.mac, err)
	}
	if err := p.links.setUp(l.index, true); err != nil {
		return fmt.Errorf("switching tap %s on: %w", name, needs(err, "CAP_NET_ADMIN"))
	}
	p.links.ask(name)
	return nil
}

// makeAgain makes the interface with its settings after somebody else deleted
// it; find gives it its MTU. What fails after the making is told and done
// without. p.mu is held.
func (p *tap) makeAgain() error {
	if err := p.make(); err != nil {
		return err
	}
	return p.putAddresses(p.opened)
}

// attachTo opens the program's side of the tap of that name, which is made
// when there is none: a descriptor for each lease.
func (p *tap) attachTo(name string) (fds []int, err error) {
	for range p.leases() {
		fd, err := p.openTun()
		if err == nil {
			fds = append(fds, fd)
			err = p.setUpTap(fd, name)
		}
		if err == nil && len(p.inlets) > 1 && len(fds) == 1 {
			err = setTapQueue(fd, unix.IFF_DETACH_QUEUE)
		}
		if err != nil {
			closeAll(fds)
			return nil, fmt.Errorf("tap %s: %w", name, err)
		}
	}
	return fds, nil
}

// openTun opens a descriptor that may become a tap's.
func (p *tap) openTun() (fd int, err error) {
	err = p.links.within(func() error {
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return -1, fmt.Errorf("opening /dev/net/tun: %w; the file's usual mode lets everybody (chmod 0666 /dev/net/tun)", err)
	case err != nil:
		return -1, fmt.Errorf("opening /dev/net/tun: %w; the kernel's tun module must be loaded (modprobe tun)", err)
	}
	return fd, nil
}

func (p *tap) setUpTap(fd int, name string) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	// A tap made with multi_queue is attached to only with that flag, and any
	// other only without it. One reader takes either.
	const flags = unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	try := func(flags uint16) error {
		req.SetUint16(flags)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	several := len(p.inlets) > 1
	if !several {
		err = try(flags)
	}
	if several || errors.Is(err, unix.EINVAL) {
		err = try(flags | unix.IFF_MULTI_QUEUE)
	}
	switch {
	case errors.Is(err, unix.EINVAL) && several:
		return fmt.Errorf("%w: an interface of that name exists and is no tap with several queues, as readers=%d needs: make it with `ip tuntap add dev %s mode tap multi_queue`, let weir make it, or leave readers= out",
			err, len(p.inlets), name)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: an interface of that name exists and is no tap; choose another name or remove it", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: another program holds it (a running weir, or a virtual machine: then the port is plain %s)", err, name)
	case err != nil:
		return needs(err, "CAP_NET_ADMIN")
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetLen); err != nil {
		return fmt.Errorf("TUNSETVNETHDRSZ: %w", err)
	}
	want := 0
	if !p.opt.NoOffload {
		want = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	}
	if want != 0 && setTapOffload(fd, want|unix.TUN_F_USO4|unix.TUN_F_USO6) == nil { // USO: Linux 6.2
		return nil
	}
	if err := setTapOffload(fd, want); err != nil {
		return fmt.Errorf("TUNSETOFFLOAD: %w", err)
	}
	return nil
}

// setTapOffload says what the reader takes unfinished. What is written may be
// unfinished in any case.
func setTapOffload(fd, what int) error { return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, what) }

// attach opens the tap unless make has just done so.
func (p *tap) attach(l link) error {
	if p.opened == l.index {
		return nil
	}
	if l.kind != "tuntap" { // the library's word for both; a tun has no Ethernet framing
		return fmt.Errorf("interface %s is there and is no tap; use it as plain %s, or remove it", l.name, l.name)
	}
	if p.heldByAnother(l) {
		return fmt.Errorf("tap %s: %w: another program holds it (a virtual machine? then the port is plain %s)", l.name, unix.EBUSY, l.name)
	}
	fds, err := p.attachTo(l.name)
	if err != nil {
		return err
	}
	p.made, p.opened, p.remake = false, l.index, nil
	p.discard(fds)
	return p.put(fds)
}

// detach closes what belonged to the dead interface.
func (p *tap) detach() {
	p.opened = 0
	for _, l := range p.leases() {
		_ = l.put(-1)
	}
}

// Write gives frames to the host, one system call each, or one for several that are one TCP stream's.
func (p *tap) Write(frames []*packet.Frame) (taken int) {
	fd, err := p.out.hold()
	if err != nil || fd < 0 || !p.ready.Load() {
		p.count.DropTx(DropLinkDown, len(frames))
		if err == nil {
			p.out.release()
		}
		return 0
	}
	defer p.out.release()
	p.sending.Lock()
	defer p.sending.Unlock()
	mtu, size := int(p.mtu.Load()), 0
	for n := 0; len(frames) > 0; frames = frames[n:] {
		if n = 1; !p.opt.NoOffload {
			n = p.join.join(frames[:min(len(frames), batch)], mtu)
		}
		if n > 1 && p.writeJoined(fd) {
			taken, size = taken+n, size+p.join.size
			continue
		}
		for _, f := range frames[:n] {
			if p.writeFrame(fd, f, mtu) {
				taken, size = taken+1, size+f.Len()
			}
		}
	}
	p.count.CountTx(taken, size)
	return taken
}

// writeFrame writes a frame and says whether it is gone; if not, it is counted as lost.
func (p *tap) writeFrame(fd int, f *packet.Frame, mtu int) bool {
	hdrLen, v := judge(f, mtu, p.opt.NoOffload)
	switch v {
	case passWhole:
		p.outVnet.set(&f.Offload, hdrLen)
		errno := p.writeOne(fd, f.Bytes())
		if refusesOffload(errno) && unfinished(&f.Offload) {
			return p.finish(fd, f, mtu)
		}
		if errno != 0 {
			p.count.DropTx(dropFor(errno), 1)
		}
		return errno == 0
	case passFinished:
		return p.finish(fd, f, mtu)
	}
	p.count.DropTx(DropReason(v), 1)
	return false
}

// writeOne writes outVnet and b.
func (p *tap) writeOne(fd int, b []byte) unix.Errno {
	p.outIov[1].Base = unsafe.SliceData(b)
	p.outIov[1].SetLen(len(b))
	return p.writePieces(fd, 1, len(b))
}

// writeJoined writes what join has made, and says whether it is gone.
func (p *tap) writeJoined(fd int) bool {
	p.outVnet.set(&p.join.o, len(p.join.parts[0]))
	for i, b := range p.join.parts {
		p.outIov[1+i].Base = unsafe.SliceData(b)
		p.outIov[1+i].SetLen(len(b))
	}
	return p.writePieces(fd, len(p.join.parts), p.join.size) == 0
}

// writePieces writes outVnet and the n pieces of a frame behind it, which have size bytes in all.
func (p *tap) writePieces(fd, n, size int) unix.Errno {
	for {
		var errno unix.Errno
		if size > tellBytes/batch { // the host's stack may do long work with it
			_, _, errno = unix.Syscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(p.outIov)), uintptr(1+n))
		} else {
			_, _, errno = unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(p.outIov)), uintptr(1+n))
		}
		if errno != unix.EINTR {
			for i := range p.outIov[1 : 1+n] {
				p.outIov[1+i].Base = nil
			}
			return errno
		}
	}
}

// finish writes a frame after doing its pending work here.
func (p *tap) finish(fd int, f *packet.Frame, mtu int) bool {
	if reason, ok := p.fin.Begin(f, mtu); !ok {
		p.count.DropTx(reason, 1)
		return false
	}
	p.outVnet = vnetHdr{}
	for b := p.fin.Next(); b != nil; b = p.fin.Next() {
		if errno := p.writeOne(fd, b); errno != 0 {
			p.count.DropTx(dropFor(errno), 1)
			return false
		}
	}
	p.count.TxFinished.Add(1)
	return true
}

// Close ends the port. A tap that weir made goes with its descriptor; another
// one loses what weir put on it.
func (p *tap) Close() error {
	if !p.stop() {
		return nil
	}
	if fd, err := p.out.hold(); err == nil {
		if fd >= 0 && !p.made {
			_ = setTapOffload(fd, 0) // the host must not send unfinished frames to the next program
		}
		p.out.release()
	}
	var errs []error
	for _, l := range p.leases() {
		errs = append(errs, l.close())
	}
	return errors.Join(errs...)
}
