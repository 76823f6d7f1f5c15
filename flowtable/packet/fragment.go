// Slow path: fragments of IPv4 and IPv6 packets, and the packet that they make.

package packet

// Fragment is what a fragment says of its place in the whole packet.
type Fragment struct {
	ID     uint32 // identification
	Offset int    // of Data in what was fragmented
	Data   []byte // lies in the frame
	More   bool   // it is not the last one
	Size   int    // of the IP packet that carried it: what an MTU limits
	ECN    uint8  // 0: its sender knows no ECN; 3: it met congestion (RFC 3168)
	L3     int    // offset of the IP header
	Head   int    // offset of the end of what each fragment repeats: Ethernet to IP header
	Next   uint8  // IPv6: the protocol of what was fragmented, true in the first fragment
	V6     bool

	named int // IPv6: offset of the byte that says that a fragment header follows
}

// maxPacket is the longest IPv4 packet, and the longest payload of an IPv6 one.
const maxPacket = 65535

// InSNAP reports that the frame is an 802.2 SNAP one. Its length field cannot tell the length of a
// packet put together.
func (f *Frame) InSNAP() bool { return f.Layout.snap }

// Fragment describes a parsed frame whose IPFrag says that it is a fragment. It reports false for
// one that cannot belong to any packet (RFC 791, 3.2; RFC 8200, 4.5): it is empty, its length is
// not a multiple of eight though others follow, its end lies beyond the longest packet, or it owes a
// checksum, which would cover bytes that are elsewhere.
func (f *Frame) Fragment() (g Fragment, ok bool) {
	if f.Layout.L3 == 0 || unfinished(&f.Offload) {
		return g, false
	}
	b := f.Bytes()[:f.Layout.End]
	g.L3, g.Size = int(f.Layout.L3), len(b)-int(f.Layout.L3)
	longest := maxPacket
	if ip := b[g.L3:]; ip[0]>>4 == 4 {
		word := be.Uint16(ip[6:])
		g.ID, g.Offset, g.More = uint32(be.Uint16(ip[4:])), int(word&0x1fff)*8, word&0x2000 != 0
		g.ECN, g.Head = ip[1]&3, g.L3+int(ip[0]&15)*4
		g.Data = b[g.Head:]
		longest -= 20
	} else if !g.readIPv6(b) {
		return g, false
	}
	n := len(g.Data)
	return g, n > 0 && (g.Offset > 0 || g.More) && (!g.More || n%8 == 0) && g.Offset+n <= longest
}

// DontFragment says whether a parsed frame is an IPv4 packet that forbids fragments.
func (f *Frame) DontFragment() bool {
	ip := f.Bytes()[f.Layout.L3:f.Layout.End]
	return f.Layout.L3 > 0 && len(ip) >= 20 && ip[0]>>4 == 4 && ip[6]&0x40 != 0
}

func unfinished(o *Offload) bool { return o.NeedsCsum || o.GSO != GSONone }

// readIPv6 finds the fragment header, which Parse has passed.
func (g *Fragment) readIPv6(b []byte) bool {
	g.V6 = true
	g.named, g.Head = g.L3+6, g.L3+40
	for b[g.named] != protoFrag {
		if g.Head+8 > len(b) {
			return false
		}
		size := 8 + int(b[g.Head+1])*8
		if b[g.named] == protoAH {
			size = 8 + int(b[g.Head+1])*4
		}
		g.named, g.Head = g.Head, g.Head+size
	}
	if g.Head+8 > len(b) {
		return false
	}
	h := b[g.Head:]
	word := be.Uint16(h[2:])
	g.Next, g.Offset, g.More, g.ID = h[0], int(word&^7), word&1 != 0, be.Uint32(h[4:])
	g.ECN, g.Data = b[g.L3+1]>>4&3, h[8:]
	return true
}

// AppendKey appends what the fragments of one packet have in common and those of no other have: the
// port and the VLANs that they came in by (two networks may use the same addresses), addresses,
// identification and, for IPv4, the protocol.
func (g *Fragment) AppendKey(dst []byte, f *Frame) []byte {
	b := f.Bytes()
	dst = be.AppendUint32(dst, f.InPort)
	for i := range int(f.Layout.VLANs) {
		dst = be.AppendUint16(dst, be.Uint16(b[14+4*i:])&0xfff)
	}
	dst = be.AppendUint32(dst, g.ID)
	if ip := b[g.L3:]; g.V6 {
		dst = append(dst, ip[8:40]...)
	} else {
		dst = append(append(dst, ip[9]), ip[12:20]...)
	}
	return dst
}

// CopyHead is a copy of what goes in front of the whole packet, from its first fragment.
func (g *Fragment) CopyHead(f *Frame) []byte {
	head := append([]byte(nil), f.Bytes()[:g.Head]...)
	if g.V6 {
		head[g.named] = g.Next
	}
	return head
}

// StartWhole makes f a packet of n bytes behind head, which CopyHead made, and returns the place for
// them. congested says that some fragment met congestion. It reports false, changing nothing, when the
// packet is too long to say so. Parse comes when the bytes are in place.
func (f *Frame) StartWhole(head []byte, l3, n int, congested bool) (data []byte, ok bool) {
	length := len(head) - l3 + n
	if v6 := head[l3]>>4 == 6; v6 && length-40 > maxPacket || !v6 && length > maxPacket {
		return nil, false
	}
	f.reserve(len(head) + n)
	f.SetLen(len(head) + n)
	b := f.Bytes()
	copy(b, head)
	ip := b[l3:]
	if ip[0]>>4 == 6 {
		be.PutUint16(ip[4:], uint16(length-40))
		if congested {
			ip[1] |= 0x30
		}
		return b[len(head):], true
	}
	be.PutUint16(ip[2:], uint16(length))
	be.PutUint16(ip[6:], be.Uint16(ip[6:])&0x4000) // Don't Fragment stays
	if congested {
		ip[1] |= 3
	}
	be.PutUint16(ip[10:], 0)
	be.PutUint16(ip[10:], ^Fold(Sum16(ip[:len(head)-l3], 0)))
	return b[len(head):], true
}
