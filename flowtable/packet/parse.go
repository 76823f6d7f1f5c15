// Hot path: bytes -> Key, once per frame.

package packet

// Ethernet types that the parser knows.
const (
	typeIPv4  = 0x0800
	typeARP   = 0x0806
	typeRARP  = 0x8035
	typeVLAN  = 0x8100
	typeIPv6  = 0x86dd
	typeMPLS  = 0x8847
	typeMPLSM = 0x8848
	typeSVLAN = 0x88a8
	typePBB   = 0x88e7
	typeQinQ  = 0x9100 // 802.1ad as sold before it was a standard

	typeMin  = 0x0600 // smaller values of the type field are an 802.3 length
	typeNone = 0x05ff // eth_type of a frame that has none
)

const hasL4 = 1 << 15 // HasL4 in word 4

// IP protocol numbers that the parser knows.
const (
	protoHop    = 0
	protoICMP   = 1
	protoIPIP   = 4
	protoTCP    = 6
	protoUDP    = 17
	protoDCCP   = 33
	protoIPv6   = 41
	protoRoute  = 43
	protoFrag   = 44
	protoESP    = 50
	protoAH     = 51
	protoICMPv6 = 58
	protoNone   = 59
	protoDest   = 60
	protoSCTP   = 132
	protoLite   = 136
)

// Parse reads the frame into Key and Layout. It never fails: what cannot be
// read stays zero. in_port and in_phy_port come from InPort, every pipeline
// word becomes zero. No allocation.
func (f *Frame) Parse() {
	f.Key = Key{}
	f.parse()
}

// reparse reads the frame again after a change of its shape. What the pipeline
// added to the Key stays.
func (f *Frame) reparse() {
	clear(f.Key[:15])
	f.parse()
}

// parse fills the header words of a Key in which they are zero. Words 0..4 are
// gathered in registers: an IPv4 frame touches no other.
func (f *Frame) parse() {
	b, k, l := f.buf[f.off:f.end], &f.Key, &f.Layout
	in := uint64(f.InPort)
	*l = Layout{}
	k[14] = in
	w0 := in << 32
	if len(b) < 14 {
		k[0] = w0
		return
	}
	w1 := be.Uint64(b) &^ 0xffff
	w2 := be.Uint64(b[6:])
	typ, at := uint16(w2), 14
	w2 &^= 0xffff
	if typ == typeVLAN || typ == typeSVLAN || typ == typeQinQ {
		var tci uint64
		tci, typ, at = l.skipVLANs(b, typ)
		w0 |= tci
	}
	l.Type = int32(at - 2)
	if typ < typeMin {
		typ, at = l.readLLC(b, at)
	}
	k[0] = w0 | uint64(typ)<<16
	k[1] = w1
	k[2] = w2
	switch typ {
	case typeIPv4:
		f.parseIPv4(b, at)
	case typeIPv6:
		f.parseIPv6(b, at)
	case typeARP, typeRARP:
		f.parseARP(b, at)
	case typeMPLS, typeMPLSM:
		if len(b) >= at+4 {
			l.L25 = int32(at)
			k[9] = uint64(be.Uint32(b[at:]))
		}
	case typePBB:
		f.parsePBB(b, at)
	}
	if l.L4 != 0 {
		k[4] |= hasL4
	}
}

// skipVLANs walks over all tags from offset 12 on. It returns the low 16 bits
// of word 0 for the outermost, and the type and offset of what follows. A tag
// that is cut short is no tag: its TPID is then the type.
func (l *Layout) skipVLANs(b []byte, typ uint16) (tci uint64, inner uint16, at int) {
	at = 14
	for (typ == typeVLAN || typ == typeSVLAN || typ == typeQinQ) && len(b) >= at+4 {
		if l.VLANs == 0 {
			tci = uint64(be.Uint16(b[at:])) | VLANPresent
		}
		l.VLANs++
		typ = be.Uint16(b[at+2:])
		at += 4
	}
	return tci, typ, at
}

// readLLC looks for an Ethernet type behind 802.2 LLC and SNAP headers. at is
// the offset behind the 802.3 length.
func (l *Layout) readLLC(b []byte, at int) (typ uint16, next int) {
	if len(b) < at+8 || be.Uint32(b[at:]) != 0xaaaa0300 || be.Uint16(b[at+4:]) != 0 {
		return typeNone, at
	}
	if typ = be.Uint16(b[at+6:]); typ < typeMin {
		return typeNone, at
	}
	l.Type, l.snap = int32(at+6), true
	return typ, at + 8
}

func (f *Frame) parseIPv4(b []byte, at int) {
	if len(b) < at+20 {
		return
	}
	h := b[at:]
	hl, total := int(h[0]&15)*4, int(be.Uint16(h[2:]))
	if h[0]>>4 != 4 || hl < 20 || hl > total || total > len(h) {
		return
	}
	k, l := &f.Key, &f.Layout
	l.L3, l.End = int32(at), int32(at+total)
	proto := h[9]
	k[1] |= uint64(h[1])<<8 | uint64(h[8])
	k[3] = be.Uint64(h[12:])
	frag := be.Uint16(h[6:]) & 0x3fff
	if frag != 0 {
		k[2] |= uint64(proto)<<8 | FragAny
		if frag&0x1fff != 0 {
			k[2] |= FragLater
			return
		}
	} else {
		k[2] |= uint64(proto) << 8
	}
	b, at = b[:at+total], at+hl
	switch {
	case proto == protoTCP && len(b) >= at+20:
		h = b[at:]
		k[4] = uint64(be.Uint32(h))<<32 | uint64(be.Uint16(h[12:])&0xfff)<<16
		l.L4, l.Payload = int32(at), tcpPayload(h, at)
	case proto == protoUDP && len(b) >= at+8:
		k[4] = uint64(be.Uint32(b[at:])) << 32
		l.L4, l.Payload = int32(at), int32(at+8)
	default:
		f.parseL4(b, at, proto)
	}
}

// tcpPayload is the offset behind a TCP header at offset at, zero when the
// header's own length is impossible.
func tcpPayload(h []byte, at int) int32 {
	n := int(h[12]>>4) * 4
	if n < 20 || n > len(h) {
		return 0
	}
	return int32(at + n)
}

// parseL4 reads the transport header at offset at; b ends where the packet
// does. ICMPv6 is read by parseICMPv6.
func (f *Frame) parseL4(b []byte, at int, proto uint8) {
	k, l := &f.Key, &f.Layout
	h := b[at:]
	switch {
	case proto == protoTCP && len(h) >= 20:
		k[4] |= uint64(be.Uint32(h))<<32 | uint64(be.Uint16(h[12:])&0xfff)<<16
		l.Payload = tcpPayload(h, at)
	case proto == protoUDP && len(h) >= 8:
		k[4] |= uint64(be.Uint32(h)) << 32
		l.Payload = int32(at + 8)
	case proto == protoSCTP && len(h) >= 12:
		k[4] |= uint64(be.Uint32(h)) << 32
		l.Payload = int32(at + 12)
	case proto == protoICMP && l.proto6 == 0 && len(h) >= 8,
		proto == protoICMPv6 && l.proto6 != 0 && len(h) >= 8:
		k[4] |= uint64(h[0])<<48 | uint64(h[1])<<32
		l.Payload = int32(at + 8)
	case proto == protoTCP, proto == protoUDP, proto == protoSCTP, len(h) < 8:
		return // cut short
	}
	l.L4 = int32(at)
}

func (f *Frame) parseARP(b []byte, at int) {
	// Ethernet and IPv4 addresses only, as the match fields have no others.
	if len(b) < at+28 || be.Uint32(b[at:]) != 0x0001_0800 || be.Uint16(b[at+4:]) != 0x0604 {
		return
	}
	h, k, l := b[at:at+28], &f.Key, &f.Layout
	l.L3, l.End = int32(at), int32(at+28)
	k[4] = uint64(be.Uint16(h[6:])) << 48
	k[3] = uint64(be.Uint32(h[14:]))<<32 | uint64(be.Uint32(h[24:]))
	k[10] = be.Uint64(h[8:]) &^ 0xffff
	k[11] = be.Uint64(h[18:]) &^ 0xffff
}

// parsePBB reads an I-TAG: PCP:3 DEI:1 UCA:1 reserved:3 I-SID:24, then the
// customer's addresses and type, without which it could not be popped.
func (f *Frame) parsePBB(b []byte, at int) {
	if len(b) < at+18 {
		return
	}
	f.Layout.L25 = int32(at)
	tci := uint64(be.Uint32(b[at:]))
	f.Key[14] |= (tci&0xffffff | tci>>27&1<<24) << 32
}
