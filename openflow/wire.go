package openflow

import "encoding/binary"

// This file is the only one that knows byte order. The readers index without a check of their own:
// every decoder has compared lengths before it calls them.

func u16(b []byte, at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }

// number reads up to eight bytes.
func number(b []byte) (v uint64) {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(u16(b, 0))
	case 4:
		return uint64(u32(b, 0))
	case 8:
		return u64(b, 0)
	}
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

func put16(b []byte, at int, v uint16) { binary.BigEndian.PutUint16(b[at:], v) }

func append16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func append32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func append64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// zeros is a source of padding; no structure of the protocol needs more at once.
var zeros [64]byte

func appendZeros(b []byte, n int) []byte { return append(b, zeros[:n]...) }

// pad8 is what n lacks to the next multiple of eight, the alignment of every variable structure.
func pad8(n int) int { return -n & 7 }

// appendString writes s into a field of size bytes, cut so that a zero byte always ends it.
func appendString(b []byte, s string, size int) []byte {
	if len(s) > size-1 {
		s = s[:size-1]
	}
	b = append(b, s...)
	for n := size - len(s); n > 0; {
		step := min(n, len(zeros))
		b = appendZeros(b, step)
		n -= step
	}
	return b
}

// cstring reads a zero-terminated field. Its last byte is the zero's place, whatever a peer puts there.
func cstring(b []byte) string {
	for i, c := range b[:len(b)-1] {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b[:len(b)-1])
}
