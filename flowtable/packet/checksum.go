package packet

import "encoding/binary"

var be = binary.BigEndian

// Sum16 adds b to a running ones' complement sum as big-endian 16-bit words
// (an odd last byte is the high half of a word). Fold ends it.
func Sum16(b []byte, sum uint64) uint64 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(be.Uint16(b))
	}
	if len(b) > 0 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

// Fold ends a running sum: the 16-bit ones' complement sum, not inverted.
func Fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// PseudoHeaderSum is the running sum of the pseudo-header for addresses of 4
// or 16 bytes. length is that of the transport header and data.
func PseudoHeaderSum(src, dst []byte, proto uint8, length int) uint64 {
	return Sum16(dst, Sum16(src, uint64(proto)+uint64(length)))
}

// FinishChecksum computes the checksum that the frame still owes (Offload.
// NeedsCsum), as a frame for a port without offloads needs it. Super-frames
// must be cut first. It reports false, changing nothing, when the offload's
// offsets do not fit the frame.
func (f *Frame) FinishChecksum() bool { return false }
