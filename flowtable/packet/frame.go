// Hot path: a frame's bytes, its room in front, and what it owes.

package packet

// Headroom is how many bytes lie free in front of a received frame, so that
// tags can be pushed without moving it.
const Headroom = 128

// GSOType says how a super-frame is to be cut into frames.
type GSOType uint8

// The kinds of virtio_net_hdr; GSOUDP is IP fragmentation, GSOUDPL4 cuts the
// payload into datagrams of their own. GSOFrag is weir's own: an IP packet that
// was put together from fragments, complete with its checksums, to be cut into
// fragments again for a link that cannot take it whole.
const (
	GSONone GSOType = iota
	GSOTCPv4
	GSOTCPv6
	GSOUDP
	GSOUDPL4
	GSOFrag
)

// Offload is what virtio_net_hdr says of a frame: work that the sender left to
// whoever puts the frame on a wire. The zero value says that all is done.
// Offsets count from Bytes()[0].
type Offload struct {
	NeedsCsum bool    // the checksum at CsumStart+CsumOffset holds only the pseudo-header's sum
	DataValid bool    // the receiver may trust the checksum without computing it
	ECN       bool    // TCP with ECN bits: CWR belongs on the first segment alone
	GSO       GSOType // GSONone: not a super-frame

	HdrLen     uint16 // bytes of all headers, a hint
	GSOSize    uint16 // payload bytes of each segment; GSOFrag: the longest IP packet among the fragments
	CsumStart  uint16 // the sum runs from here to the end of the packet
	CsumOffset uint16 // where the sum is stored, from CsumStart
	FragID     uint32 // GSOFrag: the identification that all fragments had
}

// Layout tells where the headers of a parsed frame begin, in bytes from
// Bytes()[0]. Zero means that there is none, or none that can be read.
type Layout struct {
	Type    int32 // the type field that eth_type was read from
	L25     int32 // the outermost MPLS entry or the PBB I-TAG
	L3      int32 // IPv4, IPv6 or ARP header
	L4      int32 // transport header; none in a later fragment
	Payload int32 // first byte behind a TCP, UDP, SCTP or ICMP header
	End     int32 // end of the IP packet: Ethernet padding begins here
	VLANs   int32 // number of VLAN tags

	// snap: eth_type came from a SNAP header, so the 802.3 length eight bytes
	// before it must follow a change of size.
	snap bool
	// routed: an IPv6 routing header names another final destination, so
	// ipv6_dst is not part of the transport checksum.
	routed bool
	// proto6 is the offset of the IPv6 next-header byte that names ip_proto.
	proto6 int32
}

// Frame is one Ethernet frame in a buffer with headroom. It is owned by one
// worker at a time. The zero Frame is usable and empty.
type Frame struct {
	InPort  uint32  // OpenFlow number of the port it came in by; set before Parse
	Offload Offload // set by the port after SetLen, SetBytes or Alias
	Key     Key     // filled by Parse, kept true by the rewrites
	Layout  Layout  // filled by Parse, kept true by the rewrites
	Held    bool    // an output still refers to these bytes: copy before changing them

	own      []byte // the frame's own buffer: Headroom + capacity
	buf      []byte // where the bytes lie now: own, or foreign memory after Alias
	off, end int    // the frame is buf[off:end]
}

// NewFrame returns an empty frame with a buffer for capacity bytes.
func NewFrame(capacity int) *Frame {
	f := &Frame{own: make([]byte, Headroom+capacity)}
	f.buf, f.off, f.end = f.own, Headroom, Headroom
	return f
}

// Bytes returns the frame. The slice is valid until the next change of size.
func (f *Frame) Bytes() []byte { return f.buf[f.off:f.end:f.end] }

// Len returns the frame's length in bytes.
func (f *Frame) Len() int { return f.end - f.off }

// Room returns the frame's own buffer behind the headroom: a port reads into
// it and then calls SetLen.
func (f *Frame) Room() []byte {
	if len(f.own) < Headroom {
		return nil
	}
	return f.own[Headroom:]
}

// SetLen makes the first n bytes of Room the frame, nothing owed, not held.
func (f *Frame) SetLen(n int) {
	f.buf, f.off, f.end = f.own, Headroom, Headroom+n
	f.Offload = Offload{}
	f.Held = false
}

// SetBytes copies b in as the frame, nothing owed, not held. The buffer grows
// when b is longer than it.
func (f *Frame) SetBytes(b []byte) {
	f.reserve(len(b))
	copy(f.own[Headroom:], b)
	f.SetLen(len(b))
}

// Alias makes buf[off:end] the frame without copying: foreign memory, such as
// a ring slot. Bytes in front of off may be overwritten by pushed tags. The
// memory must stay until the frame is used for something else.
func (f *Frame) Alias(buf []byte, off, end int) {
	f.buf, f.off, f.end = buf[:end], off, end
	f.Offload = Offload{}
	f.Held = false
}

// CopyTo makes dst an independent copy of f, with its own bytes, not held.
func (f *Frame) CopyTo(dst *Frame) {
	dst.SetBytes(f.Bytes())
	dst.InPort, dst.Offload, dst.Key, dst.Layout = f.InPort, f.Offload, f.Key, f.Layout
}

// reserve makes the own buffer hold n bytes behind the headroom. It may drop
// its contents.
func (f *Frame) reserve(n int) {
	if len(f.own) < Headroom+n {
		f.own = make([]byte, Headroom+n)
	}
}

// Prepend adds n bytes at the front and returns the frame. Their content is
// undefined. Offsets in Offload move along; Key and Layout do not.
func (f *Frame) Prepend(n int) []byte { return f.Insert(0, n) }

// Insert opens a gap of n bytes (content undefined) before the byte at offset
// at, and returns the frame. The bytes in front of the gap move towards the
// headroom, so that the cost is that of the header. Offsets in Offload move
// along; Key and Layout do not.
func (f *Frame) Insert(at, n int) []byte {
	if f.off < n {
		f.regain(n)
	}
	f.off -= n
	b := f.buf[f.off:f.end:f.end]
	copy(b[:at], b[n:n+at])
	o := &f.Offload
	if o.NeedsCsum && int(o.CsumStart) >= at {
		o.CsumStart += uint16(n)
	}
	if o.HdrLen != 0 && int(o.HdrLen) >= at {
		o.HdrLen += uint16(n)
	}
	return b
}

// Remove cuts n bytes out at offset at, and returns the frame. Offsets in
// Offload move along; Key and Layout do not.
func (f *Frame) Remove(at, n int) []byte {
	b := f.buf[f.off:f.end:f.end]
	copy(b[n:n+at], b[:at])
	f.off += n
	o := &f.Offload
	if o.NeedsCsum && int(o.CsumStart) >= at+n {
		o.CsumStart -= uint16(n)
	}
	if int(o.HdrLen) >= at+n {
		o.HdrLen -= uint16(n)
	}
	return b[n:]
}

// regain moves the frame so that at least n bytes are free in front of it. A
// frame without headroom (foreign memory, or a tower of tags) pays a copy.
func (f *Frame) regain(n int) {
	room := max(n, Headroom)
	if need := room + f.Len(); len(f.own) < need {
		grown := make([]byte, need)
		copy(grown[room:], f.Bytes())
		f.own = grown
	} else {
		copy(f.own[room:], f.Bytes())
	}
	f.off, f.end = room, room+f.Len()
	f.buf = f.own
}

// InsertVLAN puts a tag back behind the MAC addresses of a frame whose tag the
// kernel delivered beside it. Offload follows. Call it before Parse.
func (f *Frame) InsertVLAN(tpid, tci uint16) {
	if f.Len() < 14 {
		return
	}
	b := f.Insert(12, 4)
	be.PutUint16(b[12:], tpid)
	be.PutUint16(b[14:], tci)
}
