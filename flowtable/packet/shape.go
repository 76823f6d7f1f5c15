// Hot path: tags pushed and popped.

package packet

// The pushes follow OpenFlow 1.3.5, 5.12: a new tag goes to the outermost
// place that is valid for it, and takes the values of table 7 (5.12.1) from
// the frame; what the frame does not have is zero. Each is followed by a new
// parse. No allocation while there is headroom.

// PushVLAN adds an outermost tag behind the MAC addresses. It copies VID and
// PCP of the tag that was outermost.
func (f *Frame) PushVLAN(tpid uint16) {
	if f.Layout.Type == 0 {
		return
	}
	f.InsertVLAN(tpid, uint16(f.Key[0])&^VLANPresent)
	f.reparse()
}

// PopVLAN removes the outermost VLAN tag, if there is one.
func (f *Frame) PopVLAN() {
	if f.Layout.VLANs == 0 {
		return
	}
	f.Remove(12, 4)
	f.reparse()
}

// PushMPLS adds an outermost label stack entry, behind the VLAN tags, and sets
// eth_type (0x8847 or 0x8848). It copies label, TC and TTL of the entry that
// was outermost, else the TTL of the IP header.
func (f *Frame) PushMPLS(ethType uint16) {
	if f.Layout.Type == 0 {
		return
	}
	f.resizeLLC(4)
	const bos = 1 << 8
	lse := uint32(bos | f.Key[1]&0xff) // ip_ttl
	if t := f.ethType(); t == typeMPLS || t == typeMPLSM {
		lse = uint32(f.Key[9]) &^ bos
	}
	at := int(f.Layout.Type)
	b := f.Insert(at+2, 4)
	be.PutUint16(b[at:], ethType)
	be.PutUint32(b[at+2:], lse)
	f.reparse()
}

// PopMPLS removes the outermost label stack entry, if there is one, and sets
// eth_type to what the controller says lies below.
func (f *Frame) PopMPLS(ethType uint16) {
	if !f.isMPLS() {
		return
	}
	f.resizeLLC(-4)
	at := int(f.Layout.Type)
	b := f.Remove(at+2, 4)
	be.PutUint16(b[at:], ethType)
	f.reparse()
}

// resizeLLC makes the 802.3 length of a SNAP frame follow a change behind it,
// as far as a length can say so.
func (f *Frame) resizeLLC(n int) {
	if !f.Layout.snap {
		return
	}
	b := f.from(f.Layout.Type - 8)
	length := int(be.Uint16(b)) + n
	be.PutUint16(b, uint16(min(max(length, 0), typeMin-1)))
}

// PushPBB puts a backbone Ethernet header and an I-TAG in front of the frame:
// the backbone addresses begin as copies of the customer's, I-SID is that of
// an outer I-TAG, and I-PCP the VLAN's PCP. ethType is 0x88e7.
func (f *Frame) PushPBB(ethType uint16) {
	if f.Layout.Type == 0 {
		return
	}
	tci := uint32(f.Key[0]>>13&7)<<29 | uint32(f.Key[14]>>32)&0xffffff
	b := f.Insert(0, 18)
	copy(b[:12], b[18:30])
	be.PutUint16(b[12:], ethType)
	be.PutUint32(b[14:], tci)
	f.reparse()
}

// PopPBB removes the backbone Ethernet header and the I-TAG, if there is one:
// the customer's addresses become the frame's. A B-TAG in front of the I-TAG
// stays, as the outermost tag of the customer's frame: POP_VLAN should have
// come first.
func (f *Frame) PopPBB() {
	if !f.isPBB() {
		return
	}
	at := int(f.Layout.L25)
	b := f.Bytes()
	copy(b[:12], b[at+4:at+16])
	// The I-TAG with its type field goes; the customer's type field stays.
	f.Remove(at-2, 18)
	f.reparse()
}
