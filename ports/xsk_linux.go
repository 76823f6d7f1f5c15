package ports

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// xdpTx is how many frames a device may have been given and not sent yet.
const xdpTx = 1024

// xdpRxFor is how many frames each of so many queues receives into, of those that there is room for.
func xdpRxFor(room, queues int) int {
	n := xdpRingLeast
	for 2*n*queues <= room {
		n *= 2
	}
	return n
}

// xsk is an AF_XDP socket on one queue of a device: memory that it shares with
// the kernel, cut into chunks of one frame each, and four rings through which
// chunks change hands.
//
//	fill  -> kernel: put frames here          rx -> us: a frame
//	tx    -> kernel: send this frame          done -> us: it was sent
//
// The reader owns fill, rx, lent and full; whoever holds afxdp.sending owns tx, done
// and spare.
//
// What sends is a second socket that shares the memory: the first one is watched
// for frames that come, and every frame that was sent would look up who watches.
type xsk struct {
	fd     int
	sender int    // -1: this queue only receives
	memory []byte // Go's own, so that frames lent from it stay readable after the socket has gone
	chunk  int

	fill, rx xdpRing
	lent     []uint64 // chunks that the reader's caller may still look at
	brim     int      // with so many frames waiting the kernel may have lost some
	full     bool     // so many were waiting since the queue was dry

	tx, done xdpRing
	spare    []uint64

	zeroCopy bool
	seen     unix.XDPStatistics // what has been counted, guarded by afxdp.counting
}

// xdpRing is one ring as its user's side sees it: producer and consumer count
// without end, the kernel moves one of them and we the other.
type xdpRing struct {
	producer, consumer, flags *uint32
	entries                   unsafe.Pointer
	mask                      uint32
	own                       uint32 // where we are; told to the kernel once a batch
	memory                    []byte
}

// free is how many entries we may still produce.
func (r *xdpRing) free() int { return int(r.mask + 1 - (r.own - atomic.LoadUint32(r.consumer))) }

// ready is how many entries we may consume.
func (r *xdpRing) ready() int { return int(atomic.LoadUint32(r.producer) - r.own) }

func (r *xdpRing) produced() { atomic.StoreUint32(r.producer, r.own) }
func (r *xdpRing) consumed() { atomic.StoreUint32(r.consumer, r.own) }

// sleeps says whether the kernel wants a system call to look at the ring.
func (r *xdpRing) sleeps() bool { return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0 }

// address is the entry of a fill or completion ring, desc that of the others.
func (r *xdpRing) address(i uint32) *uint64 {
	return (*uint64)(unsafe.Add(r.entries, uintptr(i&r.mask)*8))
}

func (r *xdpRing) desc(i uint32) *unix.XDPDesc {
	return (*unix.XDPDesc)(unsafe.Add(r.entries, uintptr(i&r.mask)*16))
}

// newXSK makes a socket with its memory and rings. It is bound later, for the
// program comes first.
func newXSK(chunk, receive, send int) (*xsk, error) {
	fd, err := xdpSocket()
	if err != nil {
		return nil, err
	}
	s := &xsk{fd: fd, sender: -1, chunk: chunk, brim: receive - 2*batch, lent: make([]uint64, 0, receive), spare: make([]uint64, 0, send)}
	if send > 0 {
		s.sender, err = xdpSocket()
	}
	if err == nil {
		err = s.share(receive + send)
	}
	if err == nil {
		err = s.mapRings(receive, send)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	for i := range receive {
		*s.fill.address(uint32(i)) = uint64(i * chunk)
	}
	s.fill.own = uint32(receive)
	s.fill.produced()
	for i := range send {
		s.spare = append(s.spare, uint64((receive+i)*chunk))
	}
	// What waits to be taken by the far side of a veth counts here. Without CAP_NET_ADMIN it stops at net.core.wmem_max.
	if unix.SetsockoptInt(s.sender, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, txBuffer) != nil {
		_ = unix.SetsockoptInt(s.sender, unix.SOL_SOCKET, unix.SO_SNDBUF, txBuffer)
	}
	_ = unix.SetsockoptInt(s.sender, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, batch) // Linux 6.17; 32 a call before
	return s, nil
}

func xdpSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening an AF_XDP socket: %w", needsXDP(err))
	}
	return fd, nil
}

// share registers the memory of n frames, which the kernel pins.
func (s *xsk) share(n int) error {
	page, size := os.Getpagesize(), n*s.chunk
	all := make([]byte, size+page)
	at := -int(uintptr(unsafe.Pointer(unsafe.SliceData(all)))) & (page - 1)
	s.memory = all[at : at+size : at+size]
	reg := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s.memory)))), Len: uint64(size), Size: uint32(s.chunk)}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0)
	switch errno {
	case 0:
		return nil
	case unix.ENOBUFS:
		return fmt.Errorf("pinning %d KiB for frames: %w: more than this process may lock in memory; grant CAP_IPC_LOCK, or raise the limit (`ulimit -l unlimited`, LimitMEMLOCK=infinity in a systemd unit)", size>>10, errno)
	}
	return fmt.Errorf("sharing %d KiB with the kernel: %w", size>>10, errno)
}

func (s *xsk) mapRings(receive, send int) error {
	for _, r := range []struct{ fd, option, n int }{
		{s.fd, unix.XDP_UMEM_FILL_RING, receive}, {s.fd, unix.XDP_UMEM_COMPLETION_RING, max(send, 1)}, // every memory has both
		{s.fd, unix.XDP_RX_RING, receive}, {s.sender, unix.XDP_TX_RING, send},
	} {
		if r.n == 0 {
			continue
		}
		if err := unix.SetsockoptInt(r.fd, unix.SOL_XDP, r.option, r.n); err != nil {
			return fmt.Errorf("making a ring of %d frames: %w", r.n, err)
		}
	}
	var off unix.XDPMmapOffsets
	size := uint32(unsafe.Sizeof(off))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&off)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || size != uint32(unsafe.Sizeof(off)) {
		return fmt.Errorf("layout of the rings: %w; AF_XDP ports need Linux 5.9", errno)
	}
	for _, r := range []struct {
		fd    int
		to    *xdpRing
		off   *unix.XDPRingOffset
		page  int64
		n     int
		entry int
	}{
		{s.fd, &s.fill, &off.Fr, unix.XDP_UMEM_PGOFF_FILL_RING, receive, 8},
		{s.fd, &s.rx, &off.Rx, unix.XDP_PGOFF_RX_RING, receive, 16},
		{s.fd, &s.done, &off.Cr, unix.XDP_UMEM_PGOFF_COMPLETION_RING, send, 8},
		{s.sender, &s.tx, &off.Tx, unix.XDP_PGOFF_TX_RING, send, 16},
	} {
		if r.n == 0 {
			continue
		}
		m, err := unix.Mmap(r.fd, r.page, int(r.off.Desc)+r.n*r.entry, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			return fmt.Errorf("mapping a ring: %w", err)
		}
		word := func(at uint64) *uint32 { return (*uint32)(unsafe.Pointer(&m[at])) }
		*r.to = xdpRing{producer: word(r.off.Producer), consumer: word(r.off.Consumer), flags: word(r.off.Flags),
			entries: unsafe.Pointer(&m[r.off.Desc]), mask: uint32(r.n - 1), memory: m}
	}
	return nil
}

// bind joins the socket to a queue. Without a wish the kernel takes zero-copy
// where the driver has it.
func (s *xsk) bind(index, queue int, flags uint16) error {
	err := unix.Bind(s.fd, &unix.SockaddrXDP{Ifindex: uint32(index), QueueID: uint32(queue), Flags: flags | unix.XDP_USE_NEED_WAKEUP})
	if err != nil {
		return err
	}
	options, err := unix.GetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_OPTIONS)
	s.zeroCopy = err == nil && options&unix.XDP_OPTIONS_ZEROCOPY != 0
	if s.sender < 0 {
		return nil
	}
	return unix.Bind(s.sender, &unix.SockaddrXDP{Ifindex: uint32(index), QueueID: uint32(queue), Flags: unix.XDP_SHARED_UMEM, SharedUmemFD: uint32(s.fd)})
}

// close gives everything back but the memory of frames that are still looked
// at, which Go keeps as long as it has to. What a driver shared is the caller's to keep, see kept.
func (s *xsk) close() {
	for _, r := range []*xdpRing{&s.fill, &s.rx, &s.done, &s.tx} {
		if r.memory != nil {
			_ = unix.Munmap(r.memory) // first, see rxRing.drop
		}
	}
	atOnce(func() { closeSocket(s.sender) }, func() { closeSocket(s.fd) })
}

// giveBack lets the kernel fill the frames that were lent last.
func (s *xsk) giveBack() {
	if len(s.lent) > 0 {
		for _, at := range s.lent { // there are as many entries as frames
			*s.fill.address(s.fill.own) = at
			s.fill.own++
		}
		s.lent = s.lent[:0]
		s.fill.produced()
	}
	s.feed()
}

// feed has a driver look for frames to fill that has found none before. It may do so just after giveBack has looked whether
// it sleeps: then it has none at all, and nothing comes that would be given back. So this is not for the reader alone.
func (s *xsk) feed() {
	if s.zeroCopy && s.fill.sleeps() {
		_, _, _ = unix.Syscall6(unix.SYS_RECVFROM, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	}
}

// receive lends what has come, at most len(frames). A frame that is no frame
// keeps its place, with fewer bytes than a header.
func (s *xsk) receive(frames []*packet.Frame) int {
	ready := s.rx.ready()
	s.full = s.full || ready >= s.brim
	n := min(ready, len(frames))
	for _, f := range frames[:n] {
		d := s.rx.desc(s.rx.own)
		s.rx.own++
		at := int(d.Addr) &^ (s.chunk - 1)
		off := int(d.Addr) - at
		f.Alias(s.memory[at:at+s.chunk], off, min(off+int(d.Len), s.chunk))
		s.lent = append(s.lent, uint64(at))
	}
	if n > 0 {
		s.rx.consumed()
	}
	return n
}

// place puts a finished frame into the ring. The kernel sees it after wake.
func (s *xsk) place(b []byte) bool {
	if len(s.spare) == 0 || s.tx.free() == 0 {
		return false
	}
	last := len(s.spare) - 1
	at := s.spare[last]
	s.spare = s.spare[:last]
	n := copy(s.memory[at:], b)
	if s.zeroCopy && n < shortestFrame {
		clear(s.memory[int(at)+n:][:shortestFrame-n])
		n = shortestFrame
	}
	*s.tx.desc(s.tx.own) = unix.XDPDesc{Addr: at, Len: uint32(n)}
	s.tx.own++
	return true
}

// shortestFrame is what a wire takes, without its checksum. A driver lengthens what the host sends, and takes what comes from
// a socket as it is: there are devices that stop at a frame of less than 17 bytes.
const shortestFrame = 60

// reclaim takes back the chunks of frames that were sent.
func (s *xsk) reclaim() {
	n := s.done.ready()
	for range n {
		s.spare = append(s.spare, *s.done.address(s.done.own)&^uint64(s.chunk-1))
		s.done.own++
	}
	if n > 0 {
		s.done.consumed()
	}
}

// inherit places what another socket was to send and has not.
func (s *xsk) inherit(from *xsk) {
	for i := atomic.LoadUint32(from.tx.consumer); i != from.tx.own; i++ {
		d := from.tx.desc(i)
		s.place(from.memory[d.Addr:][:d.Len])
	}
}

// wake has the kernel send what was placed. lost is how many frames the device
// threw away, and size their bytes; waiting says that some stay in the ring, for the device is full
// or down: somebody has to call again.
func (s *xsk) wake() (lost, size int, waiting bool) {
	s.tx.produced()
	if s.zeroCopy { // the driver takes them by itself, sooner or later; but one that is being set up anew refuses and forgets
		if s.tx.sleeps() {
			_ = s.send()
		}
		return 0, 0, atomic.LoadUint32(s.tx.consumer) != s.tx.own
	}
	for {
		before := atomic.LoadUint32(s.tx.consumer)
		if before == s.tx.own {
			return lost, size, false
		}
		errno := s.send()
		after := atomic.LoadUint32(s.tx.consumer)
		if errno == unix.EBUSY && after != before { // it stops at a frame that was thrown away
			lost++
			size += int(s.tx.desc(after - 1).Len)
		}
		if errno != unix.EINTR && after == before {
			return lost, size, true
		}
	}
}

func (s *xsk) send() unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(s.sender), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// statistics are the kernel's own counts of this socket, as what was lost since
// they were asked for last. What a device threw away for want of frames is in its own counts alone.
func (s *xsk) statistics() (full, noRoom int) {
	var now unix.XDPStatistics
	size := uint32(unsafe.Sizeof(now))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, unix.XDP_STATISTICS,
		uintptr(unsafe.Pointer(&now)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, 0
	}
	was := s.seen
	s.seen = now
	full, lost := int(now.Rx_ring_full-was.Rx_ring_full), int(now.Rx_dropped-was.Rx_dropped)
	if s.zeroCopy {
		return full, lost
	}
	// Copying, the kernel counts a frame that found no chunk twice, and one that
	// is longer than a chunk once.
	empty := min(lost, int(now.Rx_fill_ring_empty_descs-was.Rx_fill_ring_empty_descs))
	return full + empty, lost - empty
}
