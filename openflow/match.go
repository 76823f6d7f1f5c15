package openflow

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unsafe"
)

// Match is a list of fields, kept as the OXM bytes that were received or built: what was sent is
// what is given back, to the bit and in the same order. The zero Match has no field and meets
// every frame. A Match from Decode has been checked and shares the message's memory: Clone it to
// keep it. Values are immutable.
type Match struct {
	b []byte // OXM TLVs without the ofp_match header and without padding
}

// NewMatch builds a match of the fields in the order given. It does not judge them: Check does.
func NewMatch(fields ...Field) Match {
	var b []byte
	for i := range fields {
		b = appendField(b, &fields[i])
	}
	return Match{b}
}

// With returns a new match of m's fields followed by fields.
func (m Match) With(fields ...Field) Match {
	b := slices.Clone(m.b)
	for i := range fields {
		b = appendField(b, &fields[i])
	}
	return Match{b}
}

// All yields the fields in the order of the message.
func (m Match) All() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for b := m.b; len(b) > 0; {
			h, f, ok := viewField(b)
			if !ok || !yield(f) {
				return
			}
			b = b[h.size():]
		}
	}
}

// FieldBits is a field as numbers: its value and the bits that count, right-aligned.
type FieldBits struct {
	ID             FieldID
	Hi, Lo         uint64
	MaskHi, MaskLo uint64
}

// Bits is All for those who compile matches, a million at a time.
func (m Match) Bits() iter.Seq[FieldBits] {
	return func(yield func(FieldBits) bool) {
		for b := m.b; len(b) > 0; {
			f, n := plainField(b)
			if n == 0 {
				h, v, ok := viewField(b)
				if !ok {
					return
				}
				f, n = FieldBits{v.ID, v.Value.Hi(), v.Value.Lo(), v.Mask.Hi(), v.Mask.Lo()}, h.size()
			}
			if !yield(f) {
				return
			}
			b = b[n:]
		}
	}
}

// plainField reads what most fields are: one of the specification's, of up to eight bytes. n is its
// length, zero for any other and for what is wrong with its length or mask.
func plainField(b []byte) (f FieldBits, n int) {
	if len(b) < 5 || u16(b, 0) != classBasic || int(b[2]>>1) >= NumStandardFields {
		return f, 0
	}
	f.ID = FieldID(b[2] >> 1)
	info, width, masked := &fields[f.ID], int(b[3]), b[2]&1 != 0
	if n = 4 + width; n > len(b) {
		return f, 0
	}
	if masked {
		width /= 2
	}
	if width != info.Bytes || width > 8 || masked && (!info.Maskable || b[3]&1 != 0) {
		return f, 0
	}
	f.Lo = number(b[4 : 4+width])
	f.MaskLo = info.low
	if masked {
		f.MaskLo = number(b[4+width : n])
	}
	return f, n
}

// Get finds the field id.
func (m Match) Get(id FieldID) (Field, bool) {
	for f := range m.All() {
		if f.ID == id {
			return f, true
		}
	}
	return Field{}, false
}

// Len is the number of fields.
func (m Match) Len() int {
	n := 0
	for range m.All() {
		n++
	}
	return n
}

// IsEmpty reports a match that meets every frame because it names no field.
func (m Match) IsEmpty() bool { return len(m.b) == 0 }

// Clone copies the bytes, so that the match outlives the message it came in.
func (m Match) Clone() Match { return Match{slices.Clone(m.b)} }

// Pack copies the bytes into a string, which is smaller to keep than a Match; UnpackMatch gives the match back.
func (m Match) Pack() string { return string(m.b) }

// UnpackMatch is the match that Pack made the string of.
func UnpackMatch(s string) Match { return Match{unsafe.Slice(unsafe.StringData(s), len(s))} }

// Bytes is the match as OXM TLVs, without header and padding. Read only.
func (m Match) Bytes() []byte { return m.b }

// Equal reports matches that meet the same frames because they hold the same fields with the same
// values: the order does not count, and a mask of all ones counts as none.
func (m Match) Equal(o Match) bool {
	if bytes.Equal(m.b, o.b) {
		return true
	}
	return m.within(o) && o.within(m)
}

func (m Match) within(o Match) bool {
	for f := range m.All() {
		g, ok := o.Get(f.ID)
		if f.Masked && f.Mask.IsZero() {
			if ok && !g.Mask.IsZero() {
				return false
			}
			continue // matches anything, as if it were not there
		}
		if !ok || g.Value != f.Value || g.Mask != f.Mask {
			return false
		}
	}
	return true
}

// Check applies the rules of section 7.2.3 as Decode does: known fields, right lengths, values and
// masks that fit, no field twice, each prerequisite before what needs it.
func (m Match) Check() error { return checkMatch(m.b) }

// String lists the fields as name=value[/mask] for logs; openflow/ofctl has the syntax of ovs-ofctl.
func (m Match) String() string {
	if m.IsEmpty() {
		return "any"
	}
	var s []string
	for f := range m.All() {
		s = append(s, f.String())
	}
	return strings.Join(s, ",")
}

func (f Field) String() string {
	s := f.ID.String() + "=" + formatValue(f.ID, &f.Value)
	if f.Masked {
		s += "/" + formatValue(f.ID, &f.Mask)
	}
	return s
}

func formatValue(id FieldID, v *Value) string {
	switch id.Info().Bits {
	case 48:
		return formatMAC(v.Bytes(id))
	case 128:
		return fmt.Sprintf("%x", v.Bytes(id))
	}
	switch id {
	case InPort, InPhyPort, ActsetOutput:
		return PortNo(v.Uint64()).String()
	case IPv4Src, IPv4Dst, ARPSPA, ARPTPA:
		b := v.Bytes(id)
		return fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3])
	case Metadata, TunnelID, EthType, VLANVID:
		return fmt.Sprintf("0x%x", v.Uint64())
	}
	return fmt.Sprint(v.Uint64())
}

func formatMAC(b []byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5])
}

// oxmHeader is the four bytes before a value, or eight with an experimenter (section 7.2.3.2).
type oxmHeader struct {
	class        uint16
	number       uint8
	masked       bool
	length       int // what follows the first four bytes
	experimenter uint32
}

// readOXM wants four bytes; the experimenter is read when there are eight.
func readOXM(b []byte) oxmHeader {
	h := oxmHeader{class: u16(b, 0), number: b[2] >> 1, masked: b[2]&1 != 0, length: int(b[3])}
	if h.class == classExperimenter && h.length >= 4 && len(b) >= 8 {
		h.experimenter = u32(b, 4)
	}
	return h
}

func (h oxmHeader) size() int { return 4 + h.length }

// head is the size of everything before the value.
func (h oxmHeader) head() int {
	if h.class == classExperimenter {
		return 8
	}
	return 4
}

// viewField reads the field at the start of b; false for bytes that no check has passed.
func viewField(b []byte) (h oxmHeader, f Field, ok bool) {
	if len(b) < 4 {
		return h, f, false
	}
	h = readOXM(b)
	if len(b) < h.size() || h.length < h.head()-4 {
		return h, f, false
	}
	id, ok := lookupField(h.class, h.number, h.experimenter)
	if !ok {
		return h, f, false
	}
	info, v := &fields[id], b[h.head():h.size()]
	want := info.Bytes
	if h.masked {
		want *= 2
	}
	if len(v) != want {
		return h, f, false
	}
	f.set(info, h.masked, v)
	return h, f, true
}

// appendOXMHeader writes the header that weir prefers for id; payload is the length of value and mask.
func appendOXMHeader(b []byte, info *FieldInfo, masked bool, payload int) []byte {
	number := info.Number << 1
	if masked {
		number |= 1
	}
	b = append16(b, info.Class)
	if info.Class != classExperimenter {
		return append(b, number, uint8(payload))
	}
	b = append(b, number, uint8(payload+4))
	return append32(b, info.Experimenter)
}

func appendField(b []byte, f *Field) []byte {
	info := f.ID.Info()
	if !f.Masked {
		b = appendOXMHeader(b, info, false, info.Bytes)
		return append(b, f.Value.Bytes(f.ID)...)
	}
	b = appendOXMHeader(b, info, true, 2*info.Bytes)
	b = append(b, f.Value.Bytes(f.ID)...)
	return append(b, f.Mask.Bytes(f.ID)...)
}

// fieldState is what a check remembers of the fields read so far.
type fieldState struct {
	seen                      [(NumFields + 63) / 64]uint64
	ethType, ipProto, icmp6Ty uint64
	vlan                      bool
}

func (s *fieldState) has(id FieldID) bool { return s.seen[id>>6]&(1<<(id&63)) != 0 }

// hasPart reports a register whose pair has been read, or a pair of which a register has: one piece
// of memory under two names, which could be asked to be two values.
func (s *fieldState) hasPart(id FieldID) bool {
	switch {
	case id >= XReg0:
		first := Reg0 + 2*(id-XReg0)
		return s.has(first) || s.has(first+1)
	case id >= Reg0:
		return s.has(XReg0 + (id-Reg0)/2)
	}
	return false
}

func (s *fieldState) add(id FieldID, v uint64) {
	s.seen[id>>6] |= 1 << (id & 63)
	switch id {
	case EthType:
		s.ethType = v
	case IPProto:
		s.ipProto = v
	case ICMPv6Type:
		s.icmp6Ty = v
	case VLANVID:
		s.vlan = v&VIDPresent != 0
	}
}

// meets reports whether the fields read so far fulfil p.
func (s *fieldState) meets(p *Prereq) bool {
	if !s.has(p.Field) {
		return false
	}
	switch p.Field {
	case EthType:
		return slices.Contains(p.Values, s.ethType)
	case IPProto:
		return slices.Contains(p.Values, s.ipProto)
	case ICMPv6Type:
		return slices.Contains(p.Values, s.icmp6Ty)
	case VLANVID:
		return s.vlan
	}
	return true
}

func matchError(code uint16, format string, args ...any) *Error {
	return Errorf(ErrBadMatch, code, format, args...)
}

func checkMatch(b []byte) error {
	var s fieldState
	for len(b) > 0 {
		n := s.takePlain(b)
		if n == 0 {
			var err error
			if n, err = s.take(b); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

// takePlain is take for a plain field without fault; for any other it does nothing and gives zero.
func (s *fieldState) takePlain(b []byte) int {
	f, n := plainField(b)
	if n == 0 || s.has(f.ID) || f.Lo&^f.MaskLo != 0 || f.MaskLo&^fields[f.ID].low != 0 {
		return 0
	}
	switch f.ID {
	case VLANVID, InPort, InPhyPort: // have values that cannot be
		return 0
	}
	for i := range fields[f.ID].Prereqs {
		if !s.meets(&fields[f.ID].Prereqs[i]) {
			return 0
		}
	}
	s.add(f.ID, f.Lo)
	return n
}

// take checks the field at the start of b and gives its length.
func (s *fieldState) take(b []byte) (int, error) {
	h, f, err := parseField(b)
	if err != nil {
		return 0, err
	}
	if s.has(f.ID) || s.hasPart(f.ID) {
		return 0, matchError(BMCDupField, "%s is there twice", f.ID)
	}
	if err := checkFieldValue(&f); err != nil {
		return 0, err
	}
	for i := range f.ID.Info().Prereqs {
		if p := &f.ID.Info().Prereqs[i]; !s.meets(p) {
			return 0, matchError(BMCBadPrereq, "%s needs %s before it", f.ID, p)
		}
	}
	s.add(f.ID, f.Value.Uint64())
	return h.size(), nil
}

func (p *Prereq) String() string {
	switch {
	case p.Field == VLANVID:
		return "a vlan_vid with its present bit (0x1000)"
	case len(p.Values) == 0:
		return p.Field.String()
	}
	s := p.Field.String() + " of"
	for i, v := range p.Values {
		if i > 0 {
			s += " or"
		}
		s += fmt.Sprintf(" 0x%x", v)
	}
	return s
}

// parseField reads one field and says what is wrong when it cannot.
func parseField(b []byte) (h oxmHeader, f Field, err error) {
	if len(b) < 4 {
		return h, f, matchError(BMCBadLen, "%d bytes left, a field header needs 4", len(b))
	}
	h = readOXM(b)
	if h.size() > len(b) {
		return h, f, matchError(BMCBadLen, "field 0x%04x:%d of %d bytes, only %d left", h.class, h.number, h.size(), len(b))
	}
	if h.length < h.head()-4 {
		return h, f, matchError(BMCBadLen, "experimenter field %d without its experimenter", h.number)
	}
	id, ok := lookupField(h.class, h.number, h.experimenter)
	if !ok {
		return h, f, matchError(BMCBadField, "no field 0x%04x:%d (experimenter 0x%08x)", h.class, h.number, h.experimenter)
	}
	info, got := id.Info(), h.size()-h.head()
	if h.masked && !info.Maskable {
		return h, f, matchError(BMCBadMask, "%s cannot be masked", id)
	}
	want := info.Bytes
	if h.masked {
		want *= 2
	}
	if got != want {
		return h, f, matchError(BMCBadLen, "%s with %d bytes, expected %d", id, got, want)
	}
	f.set(info, h.masked, b[h.head():h.size()])
	return h, f, nil
}

// set fills f from v, which holds the value and, if masked, the mask.
func (f *Field) set(info *FieldInfo, masked bool, v []byte) {
	f.ID, f.Masked = info.ID, masked
	f.Value = valueOfBytes(v[:info.Bytes])
	if masked {
		f.Mask = valueOfBytes(v[info.Bytes:])
	} else {
		f.Mask = info.allOnes
	}
}

// checkFieldValue judges value and mask in themselves.
func checkFieldValue(f *Field) error {
	info := f.ID.Info()
	if f.Masked {
		if !f.Mask.AndNot(info.allOnes).IsZero() {
			return matchError(BMCBadMask, "%s has %d bits, the mask more", f.ID, info.Bits)
		}
		if !f.Value.AndNot(f.Mask).IsZero() {
			return matchError(BMCBadWildcards, "%s has value bits outside its mask", f.String())
		}
		return checkReserved(f)
	}
	if !f.Value.AndNot(info.allOnes).IsZero() {
		return matchError(BMCBadValue, "%s has %d bits, the value 0x%x more", f.ID, info.Bits, f.Value.Uint64())
	}
	return checkReserved(f)
}

// checkReserved refuses values that fit the width and still cannot be: a VID without the present
// bit, and port numbers in the reserved range that section 7.2.1 leaves undefined.
func checkReserved(f *Field) error {
	v := f.Value.Uint64()
	switch f.ID {
	case VLANVID:
		if v&0xfff != 0 && v&VIDPresent == 0 && f.Mask.Uint64()&VIDPresent != 0 {
			return matchError(BMCBadValue, "vlan_vid 0x%x names a tag without the present bit 0x1000", v)
		}
	case InPort, InPhyPort:
		if p := PortNo(v); p > PortMax && p < PortInPort {
			return matchError(BMCBadValue, "%s 0x%x is reserved and undefined", f.ID, v)
		}
	}
	return nil
}

// appendMatch writes the ofp_match structure, padded to eight bytes.
func appendMatch(b []byte, m Match) []byte {
	b = append16(b, 1) // OFPMT_OXM
	b = append16(b, uint16(4+len(m.b)))
	b = append(b, m.b...)
	return appendZeros(b, pad8(4+len(m.b)))
}

// decodeMatch reads the ofp_match at b[at:] and returns where the next structure begins.
func decodeMatch(b []byte, at int) (m Match, next int, err error) {
	if len(b) < at+8 {
		return m, 0, matchError(BMCBadLen, "%d bytes left, an ofp_match needs 8", max(len(b)-at, 0))
	}
	if t := u16(b, at); t != 1 {
		return m, 0, matchError(BMCBadType, "match type %d, expected 1 (OXM)", t)
	}
	n := int(u16(b, at+2))
	next = at + n + pad8(n)
	if n < 4 || next > len(b) {
		return m, 0, matchError(BMCBadLen, "match of %d bytes where %d are left", n, len(b)-at)
	}
	m.b = b[at+4 : at+n : at+n]
	if len(m.b) == 0 {
		m.b = nil
	}
	return m, next, checkMatch(m.b)
}
