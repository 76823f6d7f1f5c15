package packet

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// model is the slow, obvious parser: it cuts headers off the front of a slice
// and writes fields by name.
type model struct{ key Key }

func number(b []byte) (hi, lo uint64) {
	var v [16]byte
	copy(v[16-len(b):], b)
	return binary.BigEndian.Uint64(v[:8]), binary.BigEndian.Uint64(v[8:])
}

func (m *model) put(fl Field, b []byte) {
	hi, lo := number(b)
	m.key.Set(fl, hi, lo)
}

func (m *model) num(fl Field, v int) { m.key.Set(fl, 0, uint64(v)) }

func short(b []byte) int { return int(binary.BigEndian.Uint16(b)) }

func modelParse(b []byte, inPort uint32) Key {
	m := &model{}
	m.num(InPort, int(inPort))
	m.num(InPhyPort, int(inPort))
	if len(b) >= 14 {
		m.ethernet(b)
	}
	return m.key
}

func (m *model) ethernet(b []byte) {
	m.put(EthDst, b[:6])
	m.put(EthSrc, b[6:12])
	b = b[12:] // begins with a type from here on
	tpids := []int{0x8100, 0x88a8, 0x9100}
	for first := true; slices.Contains(tpids, short(b)) && len(b) >= 6; first = false {
		if first {
			m.num(VLANVID, short(b[2:])&0xfff|0x1000)
			m.num(VLANPCP, short(b[2:])>>13)
		}
		b = b[4:]
	}
	typ := short(b)
	b = b[2:]
	if typ < 0x600 {
		typ = 0x5ff
		if bytes.HasPrefix(b, []byte{0xaa, 0xaa, 3, 0, 0, 0}) && len(b) >= 8 && short(b[6:]) >= 0x600 {
			typ = short(b[6:])
			b = b[8:]
		}
	}
	m.num(EthType, typ)
	switch typ {
	case 0x800:
		m.ipv4(b)
	case 0x86dd:
		m.ipv6(b)
	case 0x806, 0x8035:
		if len(b) >= 28 && bytes.HasPrefix(b, []byte{0, 1, 8, 0, 6, 4}) {
			m.put(ARPOp, b[6:8])
			m.put(ARPSHA, b[8:14])
			m.put(ARPSPA, b[14:18])
			m.put(ARPTHA, b[18:24])
			m.put(ARPTPA, b[24:28])
		}
	case 0x8847, 0x8848:
		if len(b) >= 4 {
			_, lse := number(b[:4])
			m.num(MPLSLabel, int(lse>>12))
			m.num(MPLSTC, int(lse>>9)&7)
			m.num(MPLSBOS, int(lse>>8)&1)
			m.num(MPLSTTL, int(lse)&255)
		}
	case 0x88e7:
		if len(b) >= 18 {
			m.put(PBBISID, b[1:4])
			m.num(PBBUCA, int(b[0])>>3&1)
		}
	}
}

func (m *model) tos(v int) {
	m.num(IPDSCP, v>>2)
	m.num(IPECN, v&3)
}

func (m *model) ipv4(b []byte) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return
	}
	head, total := int(b[0]&15)*4, short(b[2:])
	if head < 20 || total < head || total > len(b) {
		return
	}
	m.tos(int(b[1]))
	m.put(IPTTL, b[8:9])
	m.put(IPProto, b[9:10])
	m.put(IPv4Src, b[12:16])
	m.put(IPv4Dst, b[16:20])
	offset, moreToCome := short(b[6:])&0x1fff, b[6]&0x20 != 0
	switch {
	case offset > 0:
		m.num(IPFrag, FragAny|FragLater)
		return
	case moreToCome:
		m.num(IPFrag, FragAny)
	}
	m.transport(b[head:total], b[9], false)
}

func (m *model) transport(b []byte, proto byte, six bool) {
	need := map[byte]int{6: 20, 17: 8, 132: 12, 1: 8, 58: 8}[proto]
	if len(b) >= max(need, 8) {
		m.num(HasL4, 1)
	}
	if need == 0 || len(b) < need || proto == 1 && six || proto == 58 && !six {
		return
	}
	if proto == 1 {
		m.put(ICMPType, b[:1])
		m.put(ICMPCode, b[1:2])
		return
	}
	if proto == 58 {
		m.put(ICMPv6Type, b[:1])
		m.put(ICMPv6Code, b[1:2])
		m.neighbour(b)
		return
	}
	m.put(TPSrc, b[:2])
	m.put(TPDst, b[2:4])
	if proto == 6 {
		m.num(TCPFlags, short(b[12:])&0xfff)
	}
}

func (m *model) neighbour(b []byte) {
	if len(b) < 24 || b[0] != 135 && b[0] != 136 || b[1] != 0 {
		return
	}
	m.put(NDTarget, b[8:24])
	var seen [256]bool
	for b = b[24:]; len(b) >= 8 && b[1] > 0 && int(b[1])*8 <= len(b); b = b[int(b[1])*8:] {
		if b[1] != 1 || seen[b[0]] {
			continue
		}
		seen[b[0]] = true
		switch b[0] {
		case 1:
			m.put(NDSLL, b[2:8])
		case 2:
			m.put(NDTLL, b[2:8])
		}
	}
}

func (m *model) ipv6(b []byte) {
	if len(b) < 40 || b[0]>>4 != 6 || 40+short(b[4:]) > len(b) {
		return
	}
	_, first := number(b[:4])
	m.tos(int(first>>20) & 255)
	m.num(IPv6Label, int(first&0xfffff))
	m.put(IPTTL, b[7:8])
	m.put(IPv6Src, b[8:24])
	m.put(IPv6Dst, b[24:40])
	next, rest := b[6], b[40:40+short(b[4:])]
	var kinds []byte
	whole, later := true, false
	for slices.Contains([]byte{0, 43, 44, 50, 51, 60}, next) && whole && !later {
		kinds = append(kinds, next)
		if next == 50 {
			break
		}
		size := 8
		if len(rest) >= 8 {
			switch next {
			case 51:
				size += int(rest[1]) * 4
			case 44:
				field := short(rest[2:])
				later = field>>3 > 0
				if later {
					m.num(IPFrag, FragAny|FragLater)
				} else if field&1 == 1 {
					m.num(IPFrag, FragAny)
				}
			default:
				size += int(rest[1]) * 8
			}
		}
		if len(rest) < size {
			whole = false
			break
		}
		next, rest = rest[0], rest[size:]
	}
	m.num(IPv6ExtHdr, modelExtHdr(kinds, whole && next == 59 && !later))
	if !whole {
		return
	}
	m.num(IPProto, int(next))
	if !later {
		m.transport(rest, next, true)
	}
}

// modelExtHdr walks the places of RFC 8200, 4.1, in both directions of
// thought: which headers are too many, and which step goes back.
func modelExtHdr(kinds []byte, none bool) (bits int) {
	if none {
		bits |= ExtNoNext
	}
	name := map[byte]int{0: ExtHop, 43: ExtRouter, 44: ExtFrag, 50: ExtESP, 51: ExtAuth, 60: ExtDest}
	order := []byte{0, 60, 43, 44, 51, 50, 60}
	count := map[byte]int{}
	place := 0
	for _, k := range kinds {
		if k != 0 || kinds[0] == 0 {
			bits |= name[k]
		}
		count[k]++
		at := slices.Index(order, k)
		if k == 60 && (place > 1 || count[k] > 1) {
			at = 6
		}
		if k != 60 && count[k] > 1 || k == 60 && at == 6 && place == 6 {
			bits |= ExtUnrep
		}
		if at < place {
			bits |= ExtUnseq
		}
		place = max(place, at)
	}
	return bits
}

// checkParse compares Parse with the model and checks what Layout promises.
func checkParse(t *testing.T, b []byte) {
	t.Helper()
	f := parsed(b)
	want := modelParse(b, 7)
	if f.Key != want {
		for fl := range NumFields {
			hi, lo := f.Key.Get(fl)
			if whi, wlo := want.Get(fl); hi != whi || lo != wlo {
				t.Errorf("%s is %x %x, the model says %x %x", fl, hi, lo, whi, wlo)
			}
		}
		t.Fatalf("frame %x", b)
	}
	l := f.Layout
	for _, at := range []int32{l.Type, l.L25, l.L3, l.L4, l.Payload, l.End, l.proto6} {
		if at < 0 || int(at) > len(b) {
			t.Fatalf("layout %+v leaves the frame of %d bytes %x", l, len(b), b)
		}
	}
}

func TestParseTruncated(t *testing.T) {
	for _, s := range samples(t) {
		for n := range len(s.bytes) + 1 {
			checkParse(t, s.bytes[:n])
			checkParse(t, fitLengths(s.bytes[:n]))
		}
	}
}

// fitLengths makes the IP header's length agree with a truncated frame, so
// that the headers behind it are cut rather than refused.
func fitLengths(b []byte) []byte {
	b = bytes.Clone(b)
	l := parsed(b).Layout
	for at := 14; at < 40 && at+6 < len(b); at++ {
		if l.L3 != 0 {
			break
		}
		switch {
		case b[at-2] == 8 && b[at-1] == 0 && b[at]>>4 == 4:
			be.PutUint16(b[at+2:], uint16(len(b)-at))
			return b
		case b[at-2] == 0x86 && b[at-1] == 0xdd && len(b) >= at+40:
			be.PutUint16(b[at+4:], uint16(len(b)-at-40))
			return b
		}
	}
	return b
}

func TestParseMutated(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	interesting := []byte{0, 1, 4, 6, 8, 17, 43, 44, 50, 51, 58, 59, 60, 0x45, 0x60, 0x81, 0x88, 0xa8, 0xff, 132, 135}
	for _, s := range samples(t) {
		for range 3000 {
			b := bytes.Clone(s.bytes)
			for range 1 + r.IntN(4) {
				i := r.IntN(min(len(b), 100))
				if b[i] = interesting[r.IntN(len(interesting))]; r.IntN(3) == 0 {
					b[i] = byte(r.Uint32())
				}
			}
			checkParse(t, b)
		}
	}
}

func TestParseLongTowers(t *testing.T) {
	tags := bytes.Repeat([]byte{0x81, 0, 0x20, 1}, 16000)
	checkParse(t, append(make([]byte, 12, 70000), tags...))
	b := append(make([]byte, 14), 0x60, 0, 0, 0, 0xff, 0xf0, 0, 9)
	b[12], b[13] = 0x86, 0xdd
	b = append(b, make([]byte, 32+0xfff0)...) // hop-by-hop headers of eight bytes to the end
	checkParse(t, b)
}

func FuzzParse(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkParse(t, b) })
}
