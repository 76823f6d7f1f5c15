package of10

import (
	"github.com/weirswitch/weir/openflow"
)

// The nx_match fields whose layout or meaning is not that of a field of 1.3, as class<<8 | number.
const (
	nxmInPort  = 0
	nxmVLANTCI = 4
	nxmIPTOS   = 5
	nxmCookie  = 1<<8 | 30 // of eight bytes; the MPLS TTL, of one byte, has the same number
)

// nxmField is one TLV as it lies in a message.
type nxmField struct {
	class       uint16
	number      uint8
	masked      bool
	value, mask []byte // mask only if masked
	exp         uint32 // class 0xffff
}

func (f *nxmField) name() uint32 { return uint32(f.class)<<8 | uint32(f.number) }

func matchError(code uint16, format string, args ...any) *openflow.Error {
	return openflow.Errorf(openflow.ErrBadMatch, code, format, args...)
}

// nextNXM cuts the first TLV off b.
func nextNXM(b []byte) (f nxmField, rest []byte, err error) {
	if len(b) < 4 {
		return f, nil, matchError(openflow.BMCBadLen, "%d bytes left, a field header needs 4", len(b))
	}
	f.class, f.number, f.masked = u16(b, 0), b[2]>>1, b[2]&1 != 0
	n := int(b[3])
	if 4+n > len(b) {
		return f, nil, matchError(openflow.BMCBadLen, "field 0x%04x:%d of %d bytes, only %d left", f.class, f.number, 4+n, len(b))
	}
	v := b[4 : 4+n]
	if f.class == 0xffff {
		if n < 4 {
			return f, nil, matchError(openflow.BMCBadLen, "experimenter field %d without its experimenter", f.number)
		}
		f.exp, v = u32(v, 0), v[4:]
	}
	f.value = v
	if f.masked {
		if len(v)%2 != 0 {
			return f, nil, matchError(openflow.BMCBadLen, "field 0x%04x:%d with a mask in %d bytes", f.class, f.number, len(v))
		}
		f.value, f.mask = v[:len(v)/2], v[len(v)/2:]
	}
	return f, b[4+n:], nil
}

// cookieMatch is NXM_NX_COOKIE, which stands among the fields and is none.
type cookieMatch struct{ value, mask uint64 }

// decodeNXM reads an nx_match. The peer's order does not count, but prerequisites and duplicates do.
func decodeNXM(b []byte) (m openflow.Match, cookie cookieMatch, err error) {
	var s fieldSet
	for len(b) > 0 {
		var f nxmField
		if f, b, err = nextNXM(b); err != nil {
			return m, cookie, err
		}
		if f.name() == nxmCookie && len(f.value) == 8 {
			cookie = cookieMatch{u64(f.value, 0), ^uint64(0)}
			if f.masked {
				cookie.mask = u64(f.mask, 0)
			}
			continue
		}
		if err := addNXM(&s, &f); err != nil {
			return m, cookie, err
		}
	}
	m = s.match()
	return m, cookie, m.Check()
}

// addNXM adds what one TLV says.
func addNXM(s *fieldSet, f *nxmField) error {
	want, again := 0, false
	switch f.name() {
	case nxmInPort:
		if want = 2; len(f.value) == want && !f.masked {
			again = !s.add(openflow.Exact(openflow.InPort, uint64(widen(u16(f.value, 0)))))
		}
	case nxmIPTOS:
		if want = 1; len(f.value) == want && !f.masked {
			if f.value[0]&3 != 0 {
				return matchError(openflow.BMCBadValue, "nw_tos 0x%x: the two low bits are ECN's", f.value[0])
			}
			again = !s.add(openflow.Exact(openflow.IPDSCP, uint64(f.value[0]>>2)))
		}
	case nxmVLANTCI:
		if want = 2; len(f.value) == want {
			tci, mask := u16(f.value, 0), uint16(0xffff)
			if f.masked {
				mask = u16(f.mask, 0)
			}
			return addTCI(s, tci, mask)
		}
	default:
		return addGeneric(s, f)
	}
	switch {
	case len(f.value) != want:
		return matchError(openflow.BMCBadLen, "field 0x%04x:%d with %d bytes, expected %d", f.class, f.number, len(f.value), want)
	case f.masked:
		return matchError(openflow.BMCBadMask, "field 0x%04x:%d cannot be masked", f.class, f.number)
	case again:
		return matchError(openflow.BMCDupField, "field 0x%04x:%d is there twice", f.class, f.number)
	}
	return nil
}

// addTCI splits a tag's 16 bits, of which 0x1000 says that there is a tag, into vlan_vid and vlan_pcp.
func addTCI(s *fieldSet, tci, mask uint16) error {
	switch pcp := mask >> 13; {
	case tci&^mask != 0:
		return matchError(openflow.BMCBadWildcards, "vlan_tci 0x%04x has bits outside its mask 0x%04x", tci, mask)
	case pcp != 0 && mask&0x1000 != 0 && tci&0x1000 == 0:
		if tci>>13 != 0 {
			return matchError(openflow.BMCBadValue, "vlan_tci 0x%04x: a priority without a tag", tci)
		}
		mask &= 0x1fff // a frame without a tag has none
	case pcp == 7 && mask&0x1000 != 0:
		if !s.add(openflow.Exact(openflow.VLANPCP, uint64(tci>>13))) {
			return matchError(openflow.BMCDupField, "vlan_pcp is there twice")
		}
	case pcp != 0:
		return matchError(openflow.BMCBadMask, "vlan_tci 0x%04x/0x%04x: a priority can be matched as a whole and of a tag only", tci, mask)
	}
	if mask &= 0x1fff; mask == 0 {
		return nil
	}
	f := openflow.WithMask(openflow.VLANVID, uint64(tci&mask), uint64(mask))
	if mask == 0x1fff {
		f = openflow.Exact(openflow.VLANVID, uint64(tci&mask))
	}
	if !s.add(f) {
		return matchError(openflow.BMCDupField, "the VLAN is there twice")
	}
	return nil
}

// addGeneric adds a field that both versions have.
func addGeneric(s *fieldSet, f *nxmField) error {
	id, ok := openflow.FieldByHeader(f.class, f.number, f.exp)
	if !ok {
		return matchError(openflow.BMCBadField, "no field 0x%04x:%d", f.class, f.number)
	}
	info := id.Info()
	if len(f.value) != info.Bytes {
		return matchError(openflow.BMCBadLen, "%s with %d bytes, expected %d", id, len(f.value), info.Bytes)
	}
	v := valueOf(f.value)
	field := openflow.Exact128(id, v.Hi(), v.Lo())
	if f.masked {
		mask := valueOf(f.mask)
		if mask.IsZero() {
			return nil // matches anything
		}
		if mask != field.Mask {
			if !info.Maskable {
				return matchError(openflow.BMCBadMask, "%s cannot be masked", id)
			}
			field = openflow.WithMask128(id, v, mask)
		}
	}
	if !s.add(field) {
		return matchError(openflow.BMCDupField, "%s is there twice", id)
	}
	return nil
}

// valueOf right-aligns up to 16 bytes.
func valueOf(b []byte) (v openflow.Value) {
	if len(b) > len(v) {
		b = b[len(b)-len(v):]
	}
	copy(v[len(v)-len(b):], b)
	return v
}

// unknownTo10 reports a field that no reader of nx_match knows.
func unknownTo10(id openflow.FieldID) bool {
	switch id {
	case openflow.InPhyPort, openflow.IPv6ExtHdr, openflow.PBBISID, openflow.PBBUCA:
		return true
	}
	return false
}

// appendNXM writes a match as nx_match, without padding. Fields that its readers do not know are
// left out; see unsaid.
func appendNXM(b []byte, m openflow.Match) []byte {
	vlan := false
	for f := range m.All() {
		switch {
		case unknownTo10(f.ID):
		case f.ID == openflow.InPort:
			b = append(b, 0, 0, nxmInPort<<1, 2)
			b = append16(b, narrow(openflow.PortNo(f.Value.Uint64())))
		case f.ID == openflow.IPDSCP:
			b = append(b, 0, 0, nxmIPTOS<<1, 1, uint8(f.Value.Uint64()<<2))
		case f.ID == openflow.VLANVID || f.ID == openflow.VLANPCP:
			if !vlan {
				b = appendTCI(b, m)
			}
			vlan = true
		default:
			b = appendNXMField(b, &f)
		}
	}
	return b
}

// appendTCI writes vlan_vid and vlan_pcp as the one field of nx_match.
func appendTCI(b []byte, m openflow.Match) []byte {
	vid, _ := m.Get(openflow.VLANVID)
	tci, mask := uint16(vid.Value.Uint64()), uint16(vid.Mask.Uint64())
	if pcp, ok := m.Get(openflow.VLANPCP); ok {
		tci, mask = tci|uint16(pcp.Value.Uint64())<<13, mask|0xe000
	}
	if mask == 0xffff {
		return append16(append(b, 0, 0, nxmVLANTCI<<1, 2), tci)
	}
	return append16(append16(append(b, 0, 0, nxmVLANTCI<<1|1, 4), tci), mask)
}

// appendNXMField writes a field under its name in NXM if it has one, else under that of OXM.
func appendNXMField(b []byte, f *openflow.Field) []byte {
	class, number, ok := f.ID.NXM()
	if !ok {
		return append(b, openflow.NewMatch(*f).Bytes()...)
	}
	v := f.Value.Bytes(f.ID)
	if !f.Masked {
		return append(append(append16(b, class), number<<1, uint8(len(v))), v...)
	}
	b = append(append(append16(b, class), number<<1|1, uint8(2*len(v))), v...)
	return append(b, f.Mask.Bytes(f.ID)...)
}
