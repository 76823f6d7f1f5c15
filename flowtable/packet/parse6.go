// Hot path: the IPv6 part of Parse.

package packet

func (f *Frame) parseIPv6(b []byte, at int) {
	if len(b) < at+40 {
		return
	}
	h := b[at:]
	end := at + 40 + int(be.Uint16(h[4:]))
	if h[0]>>4 != 6 || end > len(b) {
		return
	}
	k, l := &f.Key, &f.Layout
	l.L3, l.End = int32(at), int32(end)
	first := be.Uint32(h)
	k[1] |= uint64(first>>20&0xff)<<8 | uint64(h[7])
	k[5], k[6] = be.Uint64(h[8:]), be.Uint64(h[16:])
	k[7], k[8] = be.Uint64(h[24:]), be.Uint64(h[32:])
	k[9] = uint64(first&0xfffff) << 32
	l.proto6 = int32(at + 6)
	proto, next, ok := f.skipExtensions(b[:end], h[6], at+40)
	if !ok {
		return
	}
	k[2] |= uint64(proto) << 8
	if k[2]&FragLater != 0 {
		return
	}
	f.parseL4(b[:end], next, proto)
	if proto == protoICMPv6 && l.L4 != 0 {
		f.parseND(b[next:end])
	}
}

// extRank is the place of an extension header in the order of RFC 8200, 4.1.
// The destination options come at 1 (before routing) and again at 6.
func extRank(proto uint8) (rank int, bit uint64) {
	switch proto {
	case protoHop:
		return 0, ExtHop
	case protoDest:
		return 1, ExtDest
	case protoRoute:
		return 2, ExtRouter
	case protoFrag:
		return 3, ExtFrag
	case protoAH:
		return 4, ExtAuth
	case protoESP:
		return 5, ExtESP
	}
	return -1, 0
}

// skipExtensions walks over the extension headers from offset at on and
// gathers the ip_frag and ipv6_exthdr fields. It returns the protocol behind
// them and where that begins; not ok when a header is cut short. Nothing
// behind ESP or a later fragment's header can be read.
func (f *Frame) skipExtensions(b []byte, proto uint8, at int) (last uint8, next int, ok bool) {
	k, l := &f.Key, &f.Layout
	bits, rank, hopFirst := uint64(0), 0, proto == protoHop
	defer func() {
		if !hopFirst {
			bits &^= ExtHop // "present as the first extension header" (OpenFlow 1.3.5, 7.2.3.8)
		}
		k[4] |= bits
	}()
	for {
		r, bit := extRank(proto)
		if bit == 0 {
			if proto == protoNone {
				bits |= ExtNoNext
			}
			return proto, at, true
		}
		if bit == ExtDest && (rank > 1 || bits&ExtDest != 0) {
			r = 6 // the second place that the order has for it
		}
		switch {
		case r == 6 && rank == 6, bit != ExtDest && bits&bit != 0:
			bits |= ExtUnrep
		}
		if r < rank {
			bits |= ExtUnseq
		}
		bits, rank = bits|bit, max(r, rank)
		if bit == ExtESP {
			return proto, at, true
		}
		if len(b) < at+8 {
			return 0, 0, false
		}
		size := 8 + int(b[at+1])*8
		switch bit {
		case ExtAuth:
			size = 8 + int(b[at+1])*4
		case ExtFrag:
			size = 8
			if off := be.Uint16(b[at+2:]); off&^6 != 0 { // bits 1 and 2 are reserved
				k[2] |= FragAny
				if off&^7 != 0 {
					k[2] |= FragLater
				}
			}
		case ExtRouter:
			l.routed = l.routed || b[at+3] != 0
		}
		if len(b) < at+size {
			return 0, 0, false
		}
		l.proto6 = int32(at)
		proto = b[at]
		at += size
		if k[2]&FragLater != 0 {
			return proto, at, true
		}
	}
}

// Neighbour discovery (RFC 4861).
const (
	ndSolicit = 135 // ICMPv6 types
	ndAdvert  = 136
	ndOptSLL  = 1 // options
	ndOptTLL  = 2
)

// parseND reads the target and link-layer addresses of a neighbour message;
// h is the ICMPv6 message.
func (f *Frame) parseND(h []byte) {
	if !isND(h) {
		return
	}
	k := &f.Key
	k[12], k[13] = be.Uint64(h[8:]), be.Uint64(h[16:])
	if at := ndOption(h, ndOptSLL); at != 0 {
		k[10] = be.Uint64(h[at:]) << 16
	}
	if at := ndOption(h, ndOptTLL); at != 0 {
		k[11] = be.Uint64(h[at:]) << 16
	}
}

func isND(h []byte) bool {
	return len(h) >= 24 && (h[0] == ndSolicit || h[0] == ndAdvert) && h[1] == 0
}

// ndOption returns the offset of the first option of this kind that holds an
// Ethernet address, 0 when there is none. A malformed option ends the search.
func ndOption(h []byte, kind uint8) int {
	for at := 24; len(h) >= at+8; {
		size := int(h[at+1]) * 8
		if size == 0 || len(h) < at+size {
			return 0
		}
		if h[at] == kind && size == 8 {
			return at
		}
		at += size
	}
	return 0
}
