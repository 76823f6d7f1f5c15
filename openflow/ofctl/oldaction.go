package ofctl

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/weirswitch/weir/openflow"
)

// OldActions is the text of a list of actions of OpenFlow 1.0, as package of10 writes it.
func OldActions(list []byte) string { return string(noNames.appendOldActions(nil, list)) }

// appendOldActions writes a list of actions of OpenFlow 1.0, which has been checked; an empty list drops.
func (n *Names) appendOldActions(b, list []byte) []byte {
	if len(list) == 0 {
		return append(b, "drop"...)
	}
	for first := true; len(list) >= 8; first = false {
		size := int(binary.BigEndian.Uint16(list[2:]))
		if size < 8 || size > len(list) {
			break
		}
		if !first {
			b = append(b, ',')
		}
		b = n.appendOldAction(b, list[:size])
		list = list[size:]
	}
	return b
}

func (n *Names) appendOldAction(b, a []byte) []byte {
	u16, u32 := binary.BigEndian.Uint16, binary.BigEndian.Uint32
	port := openflow.PortNo(u16(a[4:]))
	if port >= 0xfff8 {
		port |= 0xffff0000
	}
	switch t := u16(a); t {
	case 0:
		return n.appendOutput(b, &openflow.Action{Port: port, MaxLen: u16(a[6:])})
	case 1:
		return fmt.Appendf(b, "mod_vlan_vid:%d", u16(a[4:]))
	case 2:
		return fmt.Appendf(b, "mod_vlan_pcp:%d", a[4])
	case 3:
		return append(b, "strip_vlan"...)
	case 4, 5:
		return fmt.Appendf(b, "mod_dl_%s:%s", [...]string{"src", "dst"}[t-4], openflow.MAC(a[4:10]))
	case 6, 7:
		return fmt.Appendf(b, "mod_nw_%s:%s", [...]string{"src", "dst"}[t-6], netip.AddrFrom4([4]byte(a[4:8])))
	case 8:
		return fmt.Appendf(b, "mod_nw_tos:%d", a[4])
	case 9, 10:
		return fmt.Appendf(b, "mod_tp_%s:%d", [...]string{"src", "dst"}[t-9], u16(a[4:]))
	case 11:
		return fmt.Appendf(n.appendPort(append(b, "enqueue:"...), port), ":%d", u32(a[12:]))
	}
	return n.appendOldVendor(b, a)
}

// appendOldVendor writes an action of Nicira's. Those that 1.3 has, too, are told by its words.
func (n *Names) appendOldVendor(b, a []byte) []byte {
	u16, u32, u64 := binary.BigEndian.Uint16, binary.BigEndian.Uint32, binary.BigEndian.Uint64
	switch u16(a[8:]) {
	case 2:
		return fmt.Appendf(b, "set_tunnel:%#x", u32(a[12:]))
	case 4:
		return fmt.Appendf(b, "set_queue:%d", u32(a[12:]))
	case 6:
		bits := u16(a[10:])
		b = appendOldSubField(append(b, "move:"...), u32(a[16:]), u16(a[12:]), bits)
		return appendOldSubField(append(b, "->"...), u32(a[20:]), u16(a[14:]), bits)
	case 7:
		b = append(appendHex(append(b, "load:"...), u64(a[16:])), "->"...)
		return appendOldSubField(b, u32(a[12:]), u16(a[10:])>>6, u16(a[10:])&0x3f+1)
	case 9:
		return fmt.Appendf(b, "set_tunnel64:%#x", u64(a[16:]))
	case 18:
		return append(b, "dec_ttl"...)
	case 21:
		return appendDecTTL(b, a)
	case 22:
		b = appendHex(append(b, "write_metadata:"...), u64(a[16:]))
		if mask := u64(a[24:]); mask != ^uint64(0) {
			b = appendHex(append(b, '/'), mask)
		}
		return b
	case 23:
		return fmt.Appendf(b, "push_mpls:0x%04x", u16(a[10:]))
	case 24:
		return fmt.Appendf(b, "pop_mpls:0x%04x", u16(a[10:]))
	case 25:
		return fmt.Appendf(b, "set_mpls_ttl(%d)", a[10])
	case 26:
		return append(b, "dec_mpls_ttl"...)
	case 30:
		return fmt.Appendf(b, "set_mpls_label(%d)", u32(a[12:]))
	case 31:
		return fmt.Appendf(b, "set_mpls_tc(%d)", a[10])
	case 40:
		return fmt.Appendf(b, "group:%d", u32(a[12:]))
	}
	list, err := openflow.DecodeActions(a)
	if err != nil {
		return fmt.Appendf(b, "vendor(%x)", a[4:])
	}
	for x := range list.All() {
		b = n.appendAction(b, &x)
	}
	return b
}

// appendDecTTL names the controllers that learn of a TTL that is over.
func appendDecTTL(b, a []byte) []byte {
	b = append(b, "dec_ttl("...)
	for i := range min(int(binary.BigEndian.Uint16(a[10:])), (len(a)-16)/2) {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%d", binary.BigEndian.Uint16(a[16+2*i:]))
	}
	return append(b, ')')
}

// appendOldSubField writes bits of a field that is named as in an nx_match. Three names are not 1.3's fields.
func appendOldSubField(b []byte, header uint32, offset, bits uint16) []byte {
	class, number := uint16(header>>16), uint8(header>>9&0x7f)
	name, width := "", int(header&0xff)*8
	switch {
	case class == 0 && number == 0:
		name = "NXM_OF_IN_PORT"
	case class == 0 && number == 4:
		name = "NXM_OF_VLAN_TCI"
	case class == 0 && number == 5:
		name = "NXM_OF_IP_TOS"
	}
	if name == "" {
		if id, ok := openflow.FieldByHeader(class, number, 0); ok {
			return appendSubField(b, openflow.SubField{ID: id, Offset: offset, Bits: bits})
		}
		name = fmt.Sprintf("0x%08x", header)
	}
	b = append(b, name...)
	switch {
	case offset == 0 && int(bits) == width:
		return append(b, "[]"...)
	case bits == 1:
		return fmt.Appendf(b, "[%d]", offset)
	}
	return fmt.Appendf(b, "[%d..%d]", offset, offset+bits-1)
}
