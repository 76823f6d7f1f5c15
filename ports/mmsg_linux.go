package ports

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// batch is how many frames one system call moves at most. 64 is where more
// stops to pay: the call's fixed cost is then below 2 % of the frames' own.
const batch = 64

// mmsghdr is struct mmsghdr of sendmmsg(2): a message and its length.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// vnetLen is the size of struct virtio_net_hdr without num_buffers. The
// 12-byte form (PACKET_VNET_HDR_SZ, TUNSETVNETHDRSZ) adds only that field,
// which means nothing outside virtio queues, and needs a newer kernel.
const vnetLen = 10

// vnetHdr is struct virtio_net_hdr in native byte order: flags, gso_type,
// hdr_len, gso_size, csum_start, csum_offset.
type vnetHdr [vnetLen]byte

// gsoOf and vnetGSO translate between virtio's numbers and packet's.
func gsoOf(v byte) (g packet.GSOType, ok bool) {
	switch v {
	case unix.VIRTIO_NET_HDR_GSO_NONE:
		return packet.GSONone, true
	case unix.VIRTIO_NET_HDR_GSO_TCPV4:
		return packet.GSOTCPv4, true
	case unix.VIRTIO_NET_HDR_GSO_TCPV6:
		return packet.GSOTCPv6, true
	case unix.VIRTIO_NET_HDR_GSO_UDP:
		return packet.GSOUDP, true
	case unix.VIRTIO_NET_HDR_GSO_UDP_L4:
		return packet.GSOUDPL4, true
	}
	return packet.GSONone, false
}

func vnetGSO(g packet.GSOType) byte {
	switch g {
	case packet.GSOTCPv4:
		return unix.VIRTIO_NET_HDR_GSO_TCPV4
	case packet.GSOTCPv6:
		return unix.VIRTIO_NET_HDR_GSO_TCPV6
	case packet.GSOUDP:
		return unix.VIRTIO_NET_HDR_GSO_UDP
	case packet.GSOUDPL4:
		return unix.VIRTIO_NET_HDR_GSO_UDP_L4
	}
	return unix.VIRTIO_NET_HDR_GSO_NONE
}

// offload reads the header; ok is false for a segmentation type unknown here.
func (h *vnetHdr) offload() (o packet.Offload, ok bool) {
	if h[0] == 0 && h[1] == 0 {
		return o, true
	}
	o.NeedsCsum = h[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0
	o.DataValid = h[0]&unix.VIRTIO_NET_HDR_F_DATA_VALID != 0
	o.ECN = h[1]&unix.VIRTIO_NET_HDR_GSO_ECN != 0
	if o.GSO, ok = gsoOf(h[1] &^ unix.VIRTIO_NET_HDR_GSO_ECN); !ok {
		return packet.Offload{}, false
	}
	if o.GSO != packet.GSONone {
		o.HdrLen = binary.NativeEndian.Uint16(h[2:])
		o.GSOSize = binary.NativeEndian.Uint16(h[4:])
	}
	if o.NeedsCsum {
		o.CsumStart = binary.NativeEndian.Uint16(h[6:])
		o.CsumOffset = binary.NativeEndian.Uint16(h[8:])
	}
	return o, true
}

// set writes the header of a frame. hdrLen is what lies before the payload of
// a super-frame: the kernel allocates that much in one piece and the rest in
// pages, so a hint of 0 would cost it a contiguous block of 64 KiB.
func (h *vnetHdr) set(o *packet.Offload, hdrLen int) {
	*h = vnetHdr{}
	if o.NeedsCsum {
		h[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
		binary.NativeEndian.PutUint16(h[6:], o.CsumStart)
		binary.NativeEndian.PutUint16(h[8:], o.CsumOffset)
	}
	if o.GSO == packet.GSONone || o.GSO == packet.GSOFrag { // that is cut here, or fits whole
		return
	}
	h[1] = vnetGSO(o.GSO)
	if o.ECN {
		h[1] |= unix.VIRTIO_NET_HDR_GSO_ECN
	}
	binary.NativeEndian.PutUint16(h[2:], uint16(hdrLen))
	binary.NativeEndian.PutUint16(h[4:], o.GSOSize)
}

// ctrlLen holds the two control messages that may come with a frame: the
// packet socket's auxiliary data (20 bytes) and the drop count (4 bytes).
const ctrlLen = 64

// receiver is the reading side of a packet socket: the arrays that recvmmsg
// fills. It points into itself, so it lives on the heap and never moves; one
// reader uses it at a time.
type receiver struct {
	msgs  [batch]mmsghdr
	iovs  [batch][2]unix.Iovec // header, frame
	vnet  [batch]vnetHdr
	ctrl  [batch][ctrlLen / 8]uint64 // as words: control messages are aligned
	drops uint32                     // the socket's drop count when last seen
	some  bool                       // frames have come since it was asked for
	mem   [9]uint32                  // answer to that question (SK_MEMINFO_VARS); a field so that asking does not allocate
}

func newReceiver() *receiver {
	r := new(receiver)
	for i := range r.msgs {
		r.iovs[i][0].Base = &r.vnet[i][0]
		r.iovs[i][0].SetLen(vnetLen)
		h := &r.msgs[i].hdr
		h.Iov = &r.iovs[i][0]
		h.SetIovlen(2)
		h.Control = (*byte)(unsafe.Pointer(&r.ctrl[i][0]))
	}
	return r
}

// receive takes what is queued, at most len(frames) and one batch, and never
// waits. The frames' rooms hold the bytes; nothing else of them is touched.
func (r *receiver) receive(fd int, frames []*packet.Frame) (int, unix.Errno) {
	n := min(len(frames), batch)
	if n == 0 {
		return 0, 0
	}
	for i, f := range frames[:n] {
		room := f.Room()
		r.iovs[i][1].Base = unsafe.SliceData(room)
		r.iovs[i][1].SetLen(len(room))
		r.msgs[i].hdr.SetControllen(ctrlLen)
	}
	got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.msgs[0])),
		uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	r.some = true
	return int(got), 0
}

// late asks a socket that has run dry how many frames it had no room for since the last look. A frame brings the count of
// when it was queued, so what is lost at the end of a burst would be told by the next frame only, which may never come.
func (r *receiver) late(fd int) (dropped uint32) {
	if !r.some { // where none has come, none was lost for want of room
		return 0
	}
	r.some = false
	const drops = 8 // SK_MEMINFO_DROPS
	size := uint32(unsafe.Sizeof(r.mem))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&r.mem)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || size < uint32(unsafe.Sizeof(r.mem)) { // before Linux 4.12
		return 0
	}
	return r.lost(r.mem[drops])
}

// lost is what a drop count adds to the one seen before. Frames that were queued before late asked tell an older one.
func (r *receiver) lost(now uint32) uint32 {
	more := now - r.drops
	if int32(more) <= 0 {
		return 0
	}
	r.drops = now
	return more
}

// aux is what the control messages of one frame say.
type aux struct {
	tagged    bool // the kernel has taken a VLAN tag off
	tpid, tci uint16
	dropped   uint32 // frames that the socket's buffer had no room for since the last look
}

// aux reads the control messages of the i-th frame of the last batch.
func (r *receiver) aux(i int) (a aux) {
	const hdr = unix.SizeofCmsghdr
	b := unsafe.Slice((*byte)(unsafe.Pointer(&r.ctrl[i][0])), ctrlLen)
	b = b[:min(ctrlLen, int(r.msgs[i].hdr.Controllen))]
	for len(b) >= hdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len)
		if n < hdr || n > len(b) {
			return a
		}
		data := b[hdr:n]
		switch {
		case h.Level == unix.SOL_PACKET && h.Type == unix.PACKET_AUXDATA && len(data) >= int(unsafe.Sizeof(unix.TpacketAuxdata{})):
			a.vlan((*unix.TpacketAuxdata)(unsafe.Pointer(&data[0])))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			a.dropped = r.lost(binary.NativeEndian.Uint32(data))
		}
		b = b[min(len(b), (n+unix.SizeofPtr-1)&^(unix.SizeofPtr-1)):]
	}
	return a
}

// vlan reads the tag. Kernels before 3.14 do not say which tag it was; those
// knew no other than 0x8100 there.
func (a *aux) vlan(t *unix.TpacketAuxdata) {
	if t.Status&unix.TP_STATUS_VLAN_VALID == 0 {
		return
	}
	a.tagged, a.tci, a.tpid = true, t.Vlan_tci, etherVLAN
	if t.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		a.tpid = t.Vlan_tpid
	}
}

// transmitter is the writing side: the arrays that sendmmsg reads. The owner
// holds a lock while it uses them.
type transmitter struct {
	msgs   []mmsghdr
	iovs   [][2]unix.Iovec // header, frame
	vnet   []vnetHdr
	frames []*packet.Frame // what stands in each place, for a second try in software; nil for a finished segment
	n      int             // places filled
	bytes  int             // in them
}

func newTransmitter(places int) *transmitter {
	t := &transmitter{
		msgs: make([]mmsghdr, places), iovs: make([][2]unix.Iovec, places),
		vnet: make([]vnetHdr, places), frames: make([]*packet.Frame, places),
	}
	for i := range t.msgs {
		t.iovs[i][0].Base = &t.vnet[i][0]
		t.iovs[i][0].SetLen(vnetLen)
	}
	return t
}

// add puts a frame into the next place, for a socket that takes headers or one
// that takes plain frames. The caller sends when full.
func (t *transmitter) add(f *packet.Frame, hdrLen int, plain bool) {
	t.frames[t.n] = f
	if plain {
		t.addFinished(f.Bytes())
		return
	}
	t.vnet[t.n].set(&f.Offload, hdrLen)
	t.place(f.Bytes(), 0)
}

// addFinished puts bytes that need no more work into the next place, for a
// socket that takes plain frames.
func (t *transmitter) addFinished(b []byte) { t.place(b, 1) }

// place fills the next place; the message begins with the first-th part.
func (t *transmitter) place(b []byte, first int) {
	t.iovs[t.n][1].Base = unsafe.SliceData(b)
	t.iovs[t.n][1].SetLen(len(b))
	t.msgs[t.n].hdr.Iov = &t.iovs[t.n][first]
	t.msgs[t.n].hdr.SetIovlen(2 - first)
	t.bytes += len(b)
	t.n++
}

// send gives the places from index on to the kernel and says how many it took.
// It stops at the first that is refused; the next call then says why.
func (t *transmitter) send(fd, from int) (int, unix.Errno) {
	var sent uintptr
	var errno unix.Errno
	if t.bytes > tellBytes {
		sent, _, errno = unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&t.msgs[from])),
			uintptr(t.n-from), unix.MSG_DONTWAIT, 0, 0)
	} else {
		sent, _, errno = unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&t.msgs[from])),
			uintptr(t.n-from), unix.MSG_DONTWAIT, 0, 0)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(sent), 0
}

// tellBytes is how much a call may send behind the back of Go's scheduler, which
// cannot stop the thread meanwhile: a tenth of a millisecond of super-frames.
const tellBytes = 128 << 10

// size is the length of the frame in the i-th place.
func (t *transmitter) size(i int) int { return int(t.iovs[i][1].Len) }

// clear empties all places, so that no frame is held longer than its batch.
func (t *transmitter) clear() {
	for i := range t.n {
		t.frames[i] = nil
		t.iovs[i][1].Base = nil
	}
	t.n, t.bytes = 0, 0
}
