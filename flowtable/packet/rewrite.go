// Hot path: set-field on the frame's bytes.

package packet

// SetField gives a field a new value in the frame's bytes and in its Key, and
// keeps every checksum right, finished or owed. A field that the frame does
// not have (a TCP port of an ARP frame) is left alone; fields of the pipeline
// change the Key only. Setting eth_type, ip_proto or mpls_bos changes what the
// bytes behind it mean: the frame is parsed again (as are neighbour messages
// after a change of icmpv6_type or code). No allocation.
//
// ip_proto changes the protocol number and the IP checksum alone: the bytes
// behind it, with whatever checksum they hold, are not translated. vlan_pcp
// keeps the DEI bit. What only describes a frame (ip_frag, ipv6_exthdr,
// in_port) cannot be set.
func (f *Frame) SetField(fl Field, hi, lo uint64) {
	if fl >= TunnelID || fl == Metadata {
		f.Key.Set(fl, hi, lo)
		return
	}
	_, full := Slots[fl].Full()
	lo &= full
	if fl == VLANVID {
		lo |= VLANPresent
	}
	done := false
	switch fl {
	case EthDst, EthSrc, EthType, VLANVID, VLANPCP:
		done = f.setEthernet(fl, lo)
	case MPLSLabel, MPLSTC, MPLSBOS, MPLSTTL, PBBISID, PBBUCA:
		done = f.setShim(fl, lo)
	case ARPOp, ARPSPA, ARPTPA, ARPSHA, ARPTHA:
		done = f.setARP(fl, lo)
	case IPDSCP, IPECN, IPTTL, IPProto:
		done = f.setIP(fl, lo)
	case IPv4Src, IPv4Dst:
		done = f.setIPv4Address(fl, lo)
	case IPv6Src, IPv6Dst, IPv6Label:
		done = f.setIPv6(fl, hi, lo)
	case TPSrc, TPDst, TCPFlags:
		done = f.setTransport(fl, lo)
	case ICMPType, ICMPCode, ICMPv6Type, ICMPv6Code:
		done = f.setICMP(fl, lo)
	case NDTarget, NDSLL, NDTLL:
		done = f.setND(fl, hi, lo)
	}
	if done {
		f.Key.Set(fl, hi, lo)
	}
	switch fl {
	case EthType, IPProto, MPLSBOS, ICMPv6Type, ICMPv6Code:
		if done {
			f.reparse()
		}
	}
}

func (f *Frame) ethType() uint16 { return uint16(f.Key[0] >> 16) }
func (f *Frame) ipProto() uint8  { return uint8(f.Key[2] >> 8) }
func (f *Frame) isIPv4() bool    { return f.Layout.L3 != 0 && f.ethType() == typeIPv4 }
func (f *Frame) isIPv6() bool    { return f.Layout.L3 != 0 && f.ethType() == typeIPv6 }
func (f *Frame) isMPLS() bool {
	return f.Layout.L25 != 0 && f.ethType() != typePBB
}
func (f *Frame) isPBB() bool { return f.Layout.L25 != 0 && f.ethType() == typePBB }

// from returns the frame's bytes from an offset of Layout on.
func (f *Frame) from(at int32) []byte { return f.buf[f.off+int(at) : f.end] }

// put16 stores v and returns the change for a checksum over it. b must begin
// at an even offset of what the checksum covers.
func put16(b []byte, v uint16) uint64 {
	old := be.Uint16(b)
	be.PutUint16(b, v)
	return change(uint64(old), uint64(v))
}

func put32(b []byte, v uint32) uint64 {
	old := be.Uint32(b)
	be.PutUint32(b, v)
	return change(uint64(old), uint64(v))
}

// put48 stores a MAC address.
func put48(b []byte, v uint64) uint64 {
	return put16(b, uint16(v>>32)) + put32(b[2:], uint32(v))
}

// put128 stores an IPv6 address.
func put128(b []byte, hi, lo uint64) uint64 {
	delta := change(be.Uint64(b), hi) + change(be.Uint64(b[8:]), lo)
	be.PutUint64(b, hi)
	be.PutUint64(b[8:], lo)
	return delta
}

func (f *Frame) setEthernet(fl Field, v uint64) bool {
	if f.Layout.Type == 0 {
		return false // no Ethernet header
	}
	b := f.from(0)
	switch fl {
	case EthDst:
		put48(b, v)
	case EthSrc:
		put48(b[6:], v)
	case EthType:
		be.PutUint16(b[f.Layout.Type:], uint16(v))
	default:
		if f.Layout.VLANs == 0 {
			return false
		}
		tci := be.Uint16(b[14:])
		if fl == VLANVID {
			tci = tci&0xf000 | uint16(v)&0x0fff
		} else {
			tci = tci&0x1fff | uint16(v)<<13
		}
		be.PutUint16(b[14:], tci)
	}
	return true
}

// setShim sets a field of the outermost MPLS entry or of the I-TAG.
func (f *Frame) setShim(fl Field, v uint64) bool {
	pbb := fl == PBBISID || fl == PBBUCA
	if pbb && !f.isPBB() || !pbb && !f.isMPLS() {
		return false
	}
	b := f.from(f.Layout.L25)
	word, shift := be.Uint32(b), Slots[fl].Shift
	switch fl {
	case PBBISID:
		shift = 0
	case PBBUCA:
		shift = 27
	}
	_, full := Slots[fl].Full()
	word = word&^(uint32(full)<<shift) | uint32(v)<<shift
	be.PutUint32(b, word)
	return true
}

func (f *Frame) setARP(fl Field, v uint64) bool {
	if t := f.ethType(); f.Layout.L3 == 0 || t != typeARP && t != typeRARP {
		return false
	}
	b := f.from(f.Layout.L3)
	switch fl {
	case ARPOp:
		put16(b[6:], uint16(v))
	case ARPSHA:
		put48(b[8:], v)
	case ARPSPA:
		put32(b[14:], uint32(v))
	case ARPTHA:
		put48(b[18:], v)
	case ARPTPA:
		put32(b[24:], uint32(v))
	}
	return true
}

// setIP sets a field that IPv4 and IPv6 share.
func (f *Frame) setIP(fl Field, v uint64) bool {
	four := f.isIPv4()
	if !four && !f.isIPv6() {
		return false
	}
	if fl == IPProto {
		f.FinishChecksum() // nobody could tell afterwards what was owed
	}
	b := f.from(f.Layout.L3)
	if four {
		setByte4(b, fl, uint8(v))
		return true
	}
	switch fl {
	case IPTTL:
		b[7] = uint8(v)
	case IPProto:
		f.from(f.Layout.proto6)[0] = uint8(v)
	default:
		word := be.Uint16(b)
		tc := trafficClass(uint8(word>>4), fl, uint8(v))
		be.PutUint16(b, word&0xf00f|uint16(tc)<<4)
	}
	return true
}

// trafficClass puts a DSCP or ECN into the byte that holds both.
func trafficClass(tc uint8, fl Field, v uint8) uint8 {
	if fl == IPDSCP {
		return tc&3 | v<<2
	}
	return tc&^3 | v
}

// setByte4 sets a one-byte field of an IPv4 header and its checksum.
func setByte4(h []byte, fl Field, v uint8) {
	var delta uint64
	switch fl {
	case IPTTL:
		delta = put16(h[8:], uint16(v)<<8|uint16(h[9]))
	case IPProto:
		delta = put16(h[8:], uint16(h[8])<<8|uint16(v))
	default:
		delta = put16(h, uint16(h[0])<<8|uint16(trafficClass(h[1], fl, v)))
	}
	adjust(h[10:], delta)
}

func (f *Frame) setIPv4Address(fl Field, v uint64) bool {
	if !f.isIPv4() {
		return false
	}
	h := f.from(f.Layout.L3)
	at := 12
	if fl == IPv4Dst {
		at = 16
	}
	delta := put32(h[at:], uint32(v))
	adjust(h[10:], delta)
	f.fixPseudo(delta)
	return true
}

func (f *Frame) setIPv6(fl Field, hi, lo uint64) bool {
	if !f.isIPv6() {
		return false
	}
	h := f.from(f.Layout.L3)
	switch fl {
	case IPv6Label:
		be.PutUint32(h, be.Uint32(h)&0xfff00000|uint32(lo))
	case IPv6Src:
		f.fixPseudo(put128(h[8:], hi, lo))
	case IPv6Dst:
		delta := put128(h[24:], hi, lo)
		if !f.Layout.routed {
			f.fixPseudo(delta)
		}
	}
	return true
}

func (f *Frame) setTransport(fl Field, v uint64) bool {
	proto := f.ipProto()
	if f.Layout.L4 == 0 || proto != protoTCP && (fl == TCPFlags || proto != protoUDP && proto != protoSCTP) {
		return false
	}
	h := f.from(f.Layout.L4)
	at := 0
	switch fl {
	case TPDst:
		at = 2
	case TCPFlags:
		at, v = 12, uint64(h[12]&0xf0)<<8|v
	}
	if proto != protoSCTP {
		f.fixTransport(put16(h[at:], uint16(v)))
		return true
	}
	h = h[:f.Layout.End-f.Layout.L4]
	if f.Key[2]&FragAny != 0 || f.owed(f.Layout.L4+sctpOffset) {
		// The CRC of a fragment covers bytes that are not here: it goes wrong.
		be.PutUint16(h[at:], uint16(v))
		return true
	}
	setSCTP(h, at, uint16(v))
	return true
}

func (f *Frame) setICMP(fl Field, v uint64) bool {
	six := fl == ICMPv6Type || fl == ICMPv6Code
	if f.Layout.L4 == 0 || six && !(f.isIPv6() && f.ipProto() == protoICMPv6) ||
		!six && !(f.isIPv4() && f.ipProto() == protoICMP) {
		return false
	}
	h := f.from(f.Layout.L4)
	word := uint16(h[0])<<8 | uint16(v)
	if fl == ICMPType || fl == ICMPv6Type {
		word = uint16(v)<<8 | uint16(h[1])
	}
	f.fixTransport(put16(h, word))
	return true
}

func (f *Frame) setND(fl Field, hi, lo uint64) bool {
	l := &f.Layout
	if l.L4 == 0 || !f.isIPv6() || f.ipProto() != protoICMPv6 {
		return false
	}
	h := f.buf[f.off+int(l.L4) : f.off+int(l.End)]
	if !isND(h) {
		return false
	}
	if fl == NDTarget {
		f.fixTransport(put128(h[8:], hi, lo))
		return true
	}
	kind := uint8(ndOptSLL)
	if fl == NDTLL {
		kind = ndOptTLL
	}
	at := ndOption(h, kind)
	if at == 0 {
		return false
	}
	f.fixTransport(put48(h[at+2:], lo))
	return true
}
