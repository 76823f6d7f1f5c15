package ports

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// tapInlet is a queue of a tap with what its one reader reads with.
//
// Where there are several the kernel chooses by a hash of the frame's addresses, protocol and
// ports, so those of a flow come by one queue, and in their order; fragments go by addresses
// alone. But it also remembers by which queue a flow's answers were written, and then takes that one for
// the flow: it would move in the middle, and all flows would come by the queue that the switch
// writes to. So the switch writes by a queue of its own that is detached from the interface: nothing
// comes in by it, the kernel learns nothing from it, and it hashes each written frame once less. It was the first one, for the number
// that it had is told to the host's stack with each frame and must be that of a queue which there is.
type tapInlet struct {
	p     *tap
	lease *lease
	vnet  vnetHdr        // of the reader
	iov   *[2]unix.Iovec // of the reader: header, frame
}

func newTapInlet(p *tap) *tapInlet {
	in := &tapInlet{p: p, lease: newLease(), iov: new([2]unix.Iovec)}
	in.iov[0].Base = &in.vnet[0]
	in.iov[0].SetLen(vnetLen)
	return in
}

// leases are those of all descriptors, the one that is written to first.
func (p *tap) leases() []*lease {
	all := []*lease{p.out}
	for _, in := range p.inlets {
		if in.lease != p.out {
			all = append(all, in.lease)
		}
	}
	return all
}

// put gives the leases their descriptors, which are theirs from here on, also when they are refused.
func (p *tap) put(fds []int) error {
	var errs []error
	for i, l := range p.leases() {
		errs = append(errs, l.put(fds[i]))
	}
	if p.how = ""; len(p.inlets) > 1 {
		p.how = fmt.Sprintf("%d readers", len(p.inlets))
	}
	return errors.Join(errs...)
}

// heldByAnother says whether a program reads a tap with several queues already. The kernel refuses a
// second one only where there is one queue. Linux tells since 4.17.
func (p *tap) heldByAnother(l link) bool {
	found, err := p.links.request.LinkByIndex(l.index)
	t, ok := found.(*netlink.Tuntap)
	return err == nil && ok && t.Flags&netlink.TUNTAP_MULTI_QUEUE != 0 && t.Queues > 0
}

// discard throws away what came in while there were fewer queues than now: the next frames of those flows
// may come by others and must not overtake them.
func (p *tap) discard(fds []int) {
	if len(fds) < 2 {
		return
	}
	const most = 1 << 16 // more than wait in a queue; the host may go on sending
	var b [vnetLen + 1]byte
	for _, fd := range fds[1:] {
		for range most {
			if _, err := unix.Read(fd, b[:]); err != nil && !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}
}

// setTapQueue attaches a descriptor's queue to its tap, or detaches it.
func setTapQueue(fd int, what uint16) error {
	req, err := unix.NewIfreq("")
	if err != nil {
		return err
	}
	req.SetUint16(what)
	if err := unix.IoctlIfreq(fd, unix.TUNSETQUEUE, req); err != nil {
		return fmt.Errorf("TUNSETQUEUE: %w", err)
	}
	return nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// Inlets are all places where frames come in, see Parted.
func (p *tap) Inlets() []Inlet {
	all := make([]Inlet, len(p.inlets))
	for i, in := range p.inlets {
		all[i] = in
	}
	return all
}

// Wait and those that follow are of the first inlet.
func (p *tap) Wait() error { return p.inlets[0].Wait() }

// Ready says whether Read would find frames.
func (p *tap) Ready() bool { return p.inlets[0].Ready() }

// Read takes frames, one system call each.
func (p *tap) Read(frames []*packet.Frame) (int, error) { return p.inlets[0].Read(frames) }

// Wait sleeps until the host has sent a frame.
func (in *tapInlet) Wait() error { return in.lease.wait() }

// Stay says that its reader will look for frames by Ready and not sleep for long, see intake's.
func (in *tapInlet) Stay() { in.lease.stay() }

// Ready says whether Read would find frames.
func (in *tapInlet) Ready() bool { return in.lease.readable() }

// Read takes frames, one system call each: a tap has no call for several.
func (in *tapInlet) Read(frames []*packet.Frame) (n int, err error) {
	fd, err := in.lease.hold()
	if err != nil {
		return 0, err
	}
	defer in.lease.release()
	size := 0
	for n < len(frames) && n < batch && fd >= 0 {
		got, errno := in.readOne(fd, frames[n])
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			switch errno {
			case unix.EAGAIN:
			case unix.EBADFD: // the interface is gone
				in.lease.dead.Store(true)
			default:
				in.p.count.RxErrors.Add(1)
			}
			break
		}
		if got > 0 {
			size += got
			n++
		}
	}
	in.p.count.CountRx(n, size)
	in.lease.took(n)
	return n, nil
}

// readOne reads a frame and returns its length, 0 for one that was dropped.
func (in *tapInlet) readOne(fd int, f *packet.Frame) (int, unix.Errno) {
	room := f.Room()
	in.iov[1].Base = unsafe.SliceData(room)
	in.iov[1].SetLen(len(room))
	r, _, errno := unix.RawSyscall(unix.SYS_READV, uintptr(fd), uintptr(unsafe.Pointer(in.iov)), 2)
	if errno != 0 {
		return 0, errno
	}
	got := int(r) - vnetLen
	o, ok := in.vnet.offload()
	switch {
	case got < etherLen:
		in.p.count.DropRx(DropTruncated, 1)
	case got >= len(room): // the kernel cuts in silence; a frame that fills the room was probably cut
		in.p.count.DropRx(DropNoRoom, 1)
	case !ok:
		in.p.count.DropRx(DropBadOffload, 1)
	default:
		f.SetLen(got)
		f.Offload = o
		return got, 0
	}
	return 0, 0
}
