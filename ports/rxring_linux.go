package ports

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// rxRing is a packet socket's queue as memory shared with the kernel: slots that
// it fills one after the other and that are read without a system call or a copy.
//
// It is TPACKET_V2, because that hands over frame by frame. TPACKET_V3 packs them
// into blocks, which a timer of at least a millisecond hands over while they are
// not full, and is no faster when the slots of a batch are all touched before the
// first is looked at closely: cache misses then overlap.
//
// A frame that is larger than a slot is queued at the socket as well
// (PACKET_COPY_THRESH), and its slot says so; both queues are in the order of
// arrival. Slots are small, for then a ring of few megabytes bridges the time that a busy
// machine gives to others; what large frames cost is their bytes, by either way.
type rxRing struct {
	mem   []byte
	slots int
	head  int // the slot to look at next
	lent  int // slots before head whose frames the reader has

	// For settle.
	took int  // frames since the ring was dry or the kernel was asked
	dry  bool // nothing was in the ring the last time
	seen int  // frames since the kernel was asked for its counts

	// users are those that would miss the memory: the port until it is closed,
	// and the reader while frames are lent. The last one unmaps it.
	users atomic.Int32

	stats unix.TpacketStats // of the last question; a field so that asking does not allocate
}

const (
	slotSize   = 256
	blockSize  = 64 << 10 // what the kernel allocates in one piece
	blockSlots = blockSize / slotSize

	// slotReserve lies free in each slot so that packet.Headroom is there, and so
	// that all headers of a small frame are in one cache line with their virtio_net_hdr.
	slotReserve = 62
)

// newRxRing gives a socket that is not bound yet a ring. The error is that of the
// first thing that the kernel would not do; the socket has no ring then.
func newRxRing(fd, slots int) (*rxRing, error) {
	blocks := (slots + blockSlots - 1) / blockSlots
	for _, opt := range []struct {
		name, value int
		text        string
	}{
		{unix.PACKET_VERSION, unix.TPACKET_V2, "TPACKET_V2"},
		{unix.PACKET_RESERVE, slotReserve, "PACKET_RESERVE"},
		{unix.PACKET_COPY_THRESH, 1, "PACKET_COPY_THRESH"},
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, opt.name, opt.value); err != nil {
			return nil, fmt.Errorf("packet socket option %s: %w", opt.text, err)
		}
	}
	req := unix.TpacketReq{
		Block_size: blockSize, Block_nr: uint32(blocks), Frame_size: slotSize, Frame_nr: uint32(blocks * blockSlots),
	}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, fmt.Errorf("a ring of %d slots: %w", slots, err)
	}
	mem, err := unix.MmapPtr(fd, 0, nil, uintptr(blocks*blockSize), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		err = fmt.Errorf("mapping a ring of %d slots: %w", slots, err)
		return nil, errors.Join(err, unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq{}))
	}
	r := &rxRing{mem: unsafe.Slice((*byte)(mem), blocks*blockSize), slots: blocks * blockSlots}
	r.users.Store(1)
	return r, nil
}

// slot is the i-th slot's memory and its header.
func (r *rxRing) slot(i int) ([]byte, *unix.Tpacket2Hdr) {
	b := r.mem[i*slotSize : (i+1)*slotSize : (i+1)*slotSize]
	return b, (*unix.Tpacket2Hdr)(unsafe.Pointer(&b[0]))
}

// peek says whether the kernel has filled the next slot.
func (r *rxRing) peek() bool {
	if !r.borrow() {
		return false
	}
	_, h := r.slot(r.head)
	filled := atomic.LoadUint32(&h.Status)&unix.TP_STATUS_USER != 0
	r.drop()
	return filled
}

// borrow begins a time in which frames are lent; it fails when the port is closed.
func (r *rxRing) borrow() bool {
	for {
		n := r.users.Load()
		if n == 0 {
			return false
		}
		if r.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// drop ends one use; the last one gives the memory back. (By MunmapPtr: Munmap has a lock of the whole
// process, and the last hold on a closed socket is let go of in some ten milliseconds.)
func (r *rxRing) drop() (last bool) {
	if r.users.Add(-1) != 0 {
		return false
	}
	_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(r.mem)), uintptr(len(r.mem)))
	return true
}

// giveBack lets the kernel fill the lent slots again. The reader calls it when it
// is done with their frames.
func (r *rxRing) giveBack() {
	if r.lent == 0 {
		return
	}
	for at := r.head - r.lent; r.lent > 0; r.lent-- {
		_, h := r.slot((at + r.slots) % r.slots)
		atomic.StoreUint32(&h.Status, unix.TP_STATUS_KERNEL)
		at++
	}
	r.drop()
}

// slotFrame is what a slot's header says of its frame.
type slotFrame struct {
	status uint32
	whole  bool // all of the frame is in the slot
	aux
}

// next makes the next filled slot's bytes f, with what virtio_net_hdr says of
// them; ok is false for a kind of segmentation unknown here. Frames that are not
// whole leave f as it was.
func (r *rxRing) next(f *packet.Frame) (s slotFrame, ok bool) {
	b, h := r.slot(r.head)
	if s.status = atomic.LoadUint32(&h.Status); s.status&unix.TP_STATUS_USER == 0 {
		return s, true
	}
	r.advance()
	if s.status&unix.TP_STATUS_VLAN_VALID != 0 {
		s.tagged, s.tci, s.tpid = true, h.Vlan_tci, etherVLAN
		if s.status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			s.tpid = h.Vlan_tpid
		}
	}
	at, got := int(h.Mac), int(h.Snaplen)
	if s.status&unix.TP_STATUS_COPY != 0 || h.Len != h.Snaplen || at < unix.SizeofTpacket2Hdr+vnetLen || at+got > slotSize {
		return s, true
	}
	s.whole = true
	o, ok := (*vnetHdr)(b[at-vnetLen:]).offload()
	f.Alias(b[statusLen:], at-statusLen, at-statusLen+got)
	f.Offload = o
	return s, ok
}

func (r *rxRing) advance() {
	r.head++
	if r.head == r.slots {
		r.head = 0
	}
	r.lent++
	r.took++
	r.seen++
}

// skipLarge passes over the next filled slots whose frames are at the socket, at
// most so many, and returns how many there were.
func (r *rxRing) skipLarge(most int) (n int) {
	const large = unix.TP_STATUS_USER | unix.TP_STATUS_COPY
	for ; n < most; n++ {
		_, h := r.slot(r.head)
		if atomic.LoadUint32(&h.Status)&large != large {
			break
		}
		r.advance()
	}
	return n
}

// statusLen are the bytes of a slot that pushed tags must not overwrite.
const statusLen = 4

// counts asks how many frames the ring took and how many it had no room for since
// it was asked last.
func (r *rxRing) counts(fd int) (taken, dropped int) {
	r.seen = 0
	size := uint32(unsafe.Sizeof(r.stats))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS,
		uintptr(unsafe.Pointer(&r.stats)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, 0
	}
	return int(r.stats.Packets - r.stats.Drops), int(r.stats.Drops)
}
