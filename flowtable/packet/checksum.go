// Hot path: sums, and how they follow a change.

package packet

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

var (
	be = binary.BigEndian
	le = binary.LittleEndian
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum16 adds b to a running ones' complement sum of big-endian 16-bit words
// (an odd last byte is the high half of a word). Fold ends it. The sum is kept
// modulo 2^64-1, of which 2^16-1 is a factor: eight bytes are one addition.
func Sum16(b []byte, sum uint64) uint64 {
	var c uint64
	for len(b) >= 32 {
		sum, c = bits.Add64(sum, be.Uint64(b), c)
		sum, c = bits.Add64(sum, be.Uint64(b[8:]), c)
		sum, c = bits.Add64(sum, be.Uint64(b[16:]), c)
		sum, c = bits.Add64(sum, be.Uint64(b[24:]), c)
		b = b[32:]
	}
	for len(b) >= 8 {
		sum, c = bits.Add64(sum, be.Uint64(b), c)
		b = b[8:]
	}
	var rest uint64
	for ; len(b) >= 2; b = b[2:] {
		rest += uint64(be.Uint16(b))
	}
	if len(b) > 0 {
		rest += uint64(b[0]) << 8
	}
	sum, c = bits.Add64(sum, rest, c)
	sum, c = bits.Add64(sum, 0, c)
	return sum + c
}

// Fold ends a running sum: the 16-bit ones' complement sum, not inverted.
func Fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum)
}

// PseudoHeaderSum is the running sum of the pseudo-header for addresses of 4
// or 16 bytes. length is that of the transport header and data.
func PseudoHeaderSum(src, dst []byte, proto uint8, length int) uint64 {
	return Sum16(dst, Sum16(src, uint64(proto)+uint64(length)))
}

// change is the running sum that turns a checksum over old into one over new:
// RFC 1624, equation 3.
func change(old, new uint64) uint64 {
	old = ^old
	return old>>32 + old&0xffffffff + new>>32 + new&0xffffffff
}

// adjust applies a change to a finished checksum, which is stored inverted.
func adjust(field []byte, delta uint64) {
	be.PutUint16(field, ^Fold(uint64(^be.Uint16(field))+delta))
}

// owed reports whether the transport checksum at offset at is one that the
// sender left to be finished: the field then holds the pseudo-header's sum,
// not inverted, and says nothing yet of the data.
func (f *Frame) owed(at int32) bool {
	o := &f.Offload
	return o.NeedsCsum && int32(o.CsumStart)+int32(o.CsumOffset) == at
}

// checksumAt is the offset of the transport checksum, zero when the frame has
// none that a change must follow. pseudo: the change is one of the addresses.
func (f *Frame) checksumAt(pseudo bool) int32 {
	l := &f.Layout
	if l.L4 == 0 {
		return 0
	}
	at := int32(0)
	switch uint8(f.Key[2] >> 8) {
	case protoTCP:
		at = l.L4 + 16
	case protoUDP, protoLite, protoDCCP:
		at = l.L4 + 6
	case protoICMPv6:
		if l.proto6 == 0 {
			return 0
		}
		at = l.L4 + 2
	case protoICMP:
		if pseudo {
			return 0
		}
		at = l.L4 + 2
	default:
		return 0
	}
	return at
}

// fixPseudo makes the transport checksum follow a change of the addresses.
func (f *Frame) fixPseudo(delta uint64) {
	at := f.checksumAt(true)
	if at == 0 {
		return
	}
	field := f.buf[f.off+int(at) : f.off+int(at)+2]
	if f.owed(at) {
		be.PutUint16(field, Fold(uint64(be.Uint16(field))+delta))
		return
	}
	f.fixTransport(delta)
}

// fixTransport makes the transport checksum follow a change of the bytes it
// covers. A checksum that is owed will see them anyway. A UDP checksum of zero
// was never computed and stays so; a computed zero is sent as 0xffff.
func (f *Frame) fixTransport(delta uint64) {
	at := f.checksumAt(false)
	if at == 0 || f.owed(at) {
		return
	}
	field := f.buf[f.off+int(at) : f.off+int(at)+2]
	if uint8(f.Key[2]>>8) != protoUDP {
		adjust(field, delta)
		return
	}
	if be.Uint16(field) == 0 {
		return
	}
	if adjust(field, delta); be.Uint16(field) == 0 {
		be.PutUint16(field, 0xffff)
	}
}

// putCRC stores the CRC32c of an SCTP packet in it (RFC 9260, appendix A), and
// returns what lay there before.
func putCRC(p []byte) (was uint32) {
	field := p[sctpOffset : sctpOffset+4]
	was = le.Uint32(field)
	le.PutUint32(field, 0)
	le.PutUint32(field, crc32.Update(0, castagnoli, p))
	return was
}

// setSCTP changes a port of an SCTP packet. What the checksum was off by before
// stays, so that a corrupted packet is not made to look whole.
func setSCTP(p []byte, at int, v uint16) {
	field := p[sctpOffset : sctpOffset+4]
	was := putCRC(p)
	off := was ^ le.Uint32(field)
	be.PutUint16(p[at:], v)
	putCRC(p)
	le.PutUint32(field, le.Uint32(field)^off)
}

// sctpOffset is where SCTP has its checksum, and no other protocol that leaves
// one to be finished: an owed sum there is a CRC32c.
const sctpOffset = 8

// FinishChecksum computes the checksum that the frame still owes (Offload.
// NeedsCsum), as a frame for a port without offloads needs it. Super-frames
// must be cut first. On a parsed frame Ethernet padding is left out of the sum
// (not behind MPLS or PBB, where it cannot be seen). It reports false,
// changing nothing, when the offload's offsets do not fit the frame.
func (f *Frame) FinishChecksum() bool {
	o := &f.Offload
	if !o.NeedsCsum {
		return true
	}
	b := f.Bytes()
	start, at := int(o.CsumStart), int(o.CsumStart)+int(o.CsumOffset)
	if f.Layout.L4 != 0 && int(f.Layout.L4) == start && int(f.Layout.End) <= len(b) {
		b = b[:f.Layout.End]
	}
	crc := o.CsumOffset == sctpOffset
	if o.GSO != GSONone || at+2 > len(b) || crc && at+4 > len(b) {
		return false
	}
	if crc {
		putCRC(b[start:])
	} else {
		sum := ^Fold(Sum16(b[start:], 0))
		if sum == 0 {
			sum = 0xffff // zero would say "none" in UDP; the same number elsewhere
		}
		be.PutUint16(b[at:], sum)
	}
	o.NeedsCsum, o.CsumStart, o.CsumOffset = false, 0, 0
	return true
}
