package of10

import (
	"encoding/binary"

	"github.com/weirswitch/weir/openflow"
)

func u16(b []byte, at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }

func append16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func append32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func append64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

func put16(b []byte, at int, v uint16) { binary.BigEndian.PutUint16(b[at:], v) }

var zeros [64]byte

func appendZeros(b []byte, n int) []byte { return append(b, zeros[:n]...) }

// pad8 is what n lacks to the next multiple of eight.
func pad8(n int) int { return -n & 7 }

// appendString writes s into a field of size bytes, cut so that a zero always ends it.
func appendString(b []byte, s string, size int) []byte {
	start := len(b)
	b = append(b, s[:min(len(s), size-1)]...)
	for len(b) < start+size {
		b = append(b, 0)
	}
	return b
}

func cstring(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// appendHeader begins a message; endMessage writes its length.
func appendHeader(b []byte, t Type, xid uint32) []byte {
	return append32(append(b, Version, uint8(t), 0, 0), xid)
}

func endMessage(b []byte, start int) []byte {
	put16(b, start+2, uint16(len(b)-start))
	return b
}

// The reserved ports of OpenFlow 1.0 are the sixteen low bits of those that came later.
const (
	portMax  = 0xff00
	portNone = 0xffff
)

// widen makes a port number of 1.0 one of 1.3; narrow is its opposite. A number that 1.0 cannot say
// becomes NONE.
func widen(p uint16) openflow.PortNo {
	if p >= 0xfff8 {
		return openflow.PortNo(p) | 0xffff0000
	}
	return openflow.PortNo(p)
}

func narrow(p openflow.PortNo) uint16 {
	if p < portMax || p >= openflow.PortInPort {
		return uint16(p)
	}
	return portNone
}

func badLen(what string, got, want int) *openflow.Error {
	return openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadLen, "%s of %d bytes, expected %d", what, got, want)
}
