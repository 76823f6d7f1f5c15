package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Frames are written as lists of headers, outermost first:
//
//	frame(eth{}, vlan{vid: 5, pcp: 3}, ip4{ttl: 9}, tcp{dst: 80}, text("hello"))
//
// Each header takes its type or protocol number from the one behind it, its length from all that is behind it,
// and has its checksum computed from nothing: a frame that weir changed is compared with one that was built
// as it should have become. In fields whose zero means "the usual value", zero is written as none.

// header is one header, or bytes; put sets it before what follows.
type header interface {
	put(outer []header, inner header, rest []byte) []byte
	ethType() int // that says that this header follows; none: no such number
	ipProto() int
}

// none is a zero where the field's zero value stands for something else.
const none = -1

func or(v, usual int) int {
	switch v {
	case 0:
		return usual
	case none:
		return 0
	}
	return v
}

// frame builds the bytes.
func frame(list ...header) []byte {
	var b []byte
	var inner header
	for i, h := range slices.Backward(list) {
		b = h.put(list[:i], inner, b)
		inner = h
	}
	return b
}

var be = binary.BigEndian

func u16(v int) []byte { return be.AppendUint16(nil, uint16(v)) }
func u32(v int) []byte { return be.AppendUint32(nil, uint32(v)) }

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// typeOf is the type field that announces inner, unless it was given.
func typeOf(given int, inner header) []byte {
	if given == 0 && inner != nil {
		return u16(max(inner.ethType(), 0))
	}
	return u16(max(given, 0))
}

func protoOf(given int, inner header) byte {
	if given == 0 && inner != nil {
		return byte(max(inner.ipProto(), 0))
	}
	return byte(max(given, 0))
}

// noNumber is embedded by what no number announces.
type noNumber struct{}

func (noNumber) ethType() int { return none }
func (noNumber) ipProto() int { return none }

// text and raw are payload.
type text string
type raw []byte

func (t text) put(_ []header, _ header, rest []byte) []byte { return append([]byte(t), rest...) }
func (text) ethType() int                                   { return 0x88b5 } // local experimental
func (text) ipProto() int                                   { return 253 }    // the same
func (r raw) put(_ []header, _ header, rest []byte) []byte  { return join(r, rest) }
func (raw) ethType() int                                    { return 0x88b5 }
func (raw) ipProto() int                                    { return 253 }

// fromHex reads bytes with spaces between them.
func fromHex(s string) raw {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// addresses that headers have when nobody says otherwise.
const (
	macA = 0x020000000001
	macB = 0x020000000002
	ipA  = 0x0a000001
	ipB  = 0x0a000002
)

func mac(v int) []byte { return be.AppendUint64(nil, uint64(v))[2:] }

// eth is an Ethernet header; typ: 0 is what follows.
type eth struct {
	noNumber
	dst, src, typ int
}

func (e eth) put(_ []header, inner header, rest []byte) []byte {
	return join(mac(or(e.dst, macB)), mac(or(e.src, macA)), typeOf(e.typ, inner), rest)
}

// llc is an Ethernet header with a length, then the bytes of an 802.2 header, and with snap the type of what follows.
type llc struct {
	noNumber
	dst, src int
	header   string // hexadecimal
	snap     bool
	typ      int
	length   int // 0: the true one
}

func (e llc) put(_ []header, inner header, rest []byte) []byte {
	body := join(fromHex(e.header), rest)
	if e.snap {
		body = join(fromHex(e.header), typeOf(e.typ, inner), rest)
	}
	return join(mac(or(e.dst, macB)), mac(or(e.src, macA)), u16(or(e.length, len(body))), body)
}

// snapEth is an Ethernet header in the form of 802.2 with SNAP.
func snapEth() llc { return llc{header: "aa aa 03 00 00 00", snap: true} }

// vlan is a tag; tpid: 0 is 0x8100.
type vlan struct {
	noNumber
	tpid, pcp, dei, vid, typ int
}

func (v vlan) ethType() int { return or(v.tpid, 0x8100) }

func (v vlan) put(_ []header, inner header, rest []byte) []byte {
	return join(u16(v.pcp<<13|v.dei<<12|v.vid), typeOf(v.typ, inner), rest)
}

// mpls is a label stack entry, bottom of stack unless another one follows; bos: none or 1 say otherwise.
type mpls struct {
	noNumber
	label, tc, bos, ttl int
	multicast           bool
}

func (m mpls) ethType() int {
	if m.multicast {
		return 0x8848
	}
	return 0x8847
}

func (m mpls) put(_ []header, inner header, rest []byte) []byte {
	bottom := 1
	if _, more := inner.(mpls); more {
		bottom = none
	}
	return join(u32(m.label<<12|m.tc<<9|or(or(m.bos, bottom), 0)<<8|or(m.ttl, 64)), rest)
}

// itag is a PBB I-TAG; an eth follows.
type itag struct {
	noNumber
	pcp, dei, uca, isid int
}

func (itag) ethType() int { return 0x88e7 }

func (i itag) put(_ []header, _ header, rest []byte) []byte {
	return join(u32(i.pcp<<29|i.dei<<28|i.uca<<27|i.isid), rest)
}

// arp is an ARP packet for Ethernet and IPv4.
type arp struct {
	noNumber
	op, sha, spa, tha, tpa int
	reverse                bool
	kinds                  string // hexadecimal, instead of Ethernet and IPv4
}

func (a arp) ethType() int {
	if a.reverse {
		return 0x8035
	}
	return 0x0806
}

func (a arp) put(_ []header, _ header, rest []byte) []byte {
	kinds := fromHex("0001 0800 06 04")
	if a.kinds != "" {
		kinds = fromHex(a.kinds)
	}
	return join(kinds, u16(or(a.op, 1)), mac(or(a.sha, macA)), u32(or(a.spa, ipA)), mac(a.tha), u32(or(a.tpa, ipB)), rest)
}

// ip4 is an IPv4 header. frag is the fragment offset in units of eight bytes.
type ip4 struct {
	src, dst, ttl, proto, dscp, ecn, id, frag int
	more, dont                                bool
	options                                   string // hexadecimal, a multiple of four bytes
	length                                    int    // 0: the true one
	sum                                       int    // 0: the right one
}

func (ip4) ethType() int { return 0x0800 }
func (ip4) ipProto() int { return 4 }

func (h ip4) put(_ []header, inner header, rest []byte) []byte {
	options := fromHex(h.options)
	flags := h.frag
	if h.more {
		flags |= 0x2000
	}
	if h.dont {
		flags |= 0x4000
	}
	b := join([]byte{byte(0x45 + len(options)/4), byte(h.dscp<<2 | h.ecn)}, u16(or(h.length, 20+len(options)+len(rest))),
		u16(h.id), u16(flags), []byte{byte(or(h.ttl, 64)), protoOf(h.proto, inner), 0, 0},
		u32(or(h.src, ipA)), u32(or(h.dst, ipB)), options)
	be.PutUint16(b[10:], uint16(or(h.sum, checksum(b))))
	return join(b, rest)
}

// ip6 is an IPv6 header; addresses are sixteen bytes in hexadecimal, empty: addr6(1) and addr6(2).
type ip6 struct {
	src, dst                               string
	hops, proto, dscp, ecn, flabel, length int
}

func (ip6) ethType() int { return 0x86dd }
func (ip6) ipProto() int { return 41 }

// addr6 is 2001:db8::n.
func addr6(n int) string { return fmt.Sprintf("20010db8%024x", n) }

func (h ip6) addresses() (src, dst []byte) {
	src, dst = fromHex(addr6(1)), fromHex(addr6(2))
	if h.src != "" {
		src = fromHex(h.src)
	}
	if h.dst != "" {
		dst = fromHex(h.dst)
	}
	return src, dst
}

func (h ip6) put(_ []header, inner header, rest []byte) []byte {
	src, dst := h.addresses()
	return join(u32(6<<28|h.dscp<<22|h.ecn<<20|h.flabel), u16(or(h.length, len(rest))), []byte{protoOf(h.proto, inner), byte(or(h.hops, 64))}, src, dst, rest)
}

// ext is an IPv6 extension header of any kind: hop-by-hop 0, routing 43, AH 51, destination 60, and others
// with the same shape. body is what follows the length byte, in hexadecimal; empty: six bytes of padding.
type ext struct {
	kind  int
	body  string
	proto int // 0: what follows
}

func (ext) ethType() int   { return none }
func (e ext) ipProto() int { return e.kind }

func (e ext) put(_ []header, inner header, rest []byte) []byte {
	body := fromHex("01 04 00 00 00 00")
	if e.body != "" {
		body = fromHex(e.body)
	}
	length := (len(body)+2)/8 - 1
	if e.kind == extAuth {
		length = (len(body)+2)/4 - 2
	}
	return join([]byte{protoOf(e.proto, inner), byte(length)}, body, rest)
}

// Kinds of extension headers.
const (
	extHop   = 0
	extRoute = 43
	extESP   = 50
	extAuth  = 51
	extDest  = 60
)

func hopByHop() ext    { return ext{kind: extHop} }
func destination() ext { return ext{kind: extDest} }
func auth() ext        { return ext{kind: extAuth, body: strings.Repeat("00", 10)} }

// route is a routing header of type 0 that goes on to an address; left are its segments left.
type route struct {
	left int
	to   string
}

func (route) ethType() int { return none }
func (route) ipProto() int { return extRoute }

func (r route) put(_ []header, inner header, rest []byte) []byte {
	return join([]byte{protoOf(0, inner), 2, 0, byte(r.left), 0, 0, 0, 0}, fromHex(r.to), rest)
}

// fragment is the IPv6 fragment header; frag in units of eight bytes.
type fragment struct {
	frag, id, proto int
	more            bool
}

func (fragment) ethType() int { return none }
func (fragment) ipProto() int { return 44 }

func (f fragment) put(_ []header, inner header, rest []byte) []byte {
	flags := f.frag << 3
	if f.more {
		flags |= 1
	}
	return join([]byte{protoOf(f.proto, inner), 0}, u16(flags), u32(f.id), rest)
}

// tcp is a TCP header of 20 bytes and options. sum: 0 is the right one, as in the next ones.
type tcp struct {
	noNumber
	src, dst, flags, sum int
	options              string
}

func (tcp) ipProto() int { return 6 }

func (h tcp) put(outer []header, _ header, rest []byte) []byte {
	options := fromHex(h.options)
	b := join(u16(or(h.src, 1000)), u16(or(h.dst, 2000)), u32(0x01020304), u32(0x05060708),
		u16((5+len(options)/4)<<12|or(h.flags, 0x10)), u16(0x4000), u16(0), u16(0), options, rest)
	return finish(outer, b, 16, 6, h.sum)
}

// udp is a UDP header; sum none: the sender computed none.
type udp struct {
	noNumber
	src, dst, sum int
}

func (udp) ipProto() int { return 17 }

func (h udp) put(outer []header, _ header, rest []byte) []byte {
	b := join(u16(or(h.src, 1000)), u16(or(h.dst, 2000)), u16(8+len(rest)), u16(0), rest)
	if b = finish(outer, b, 6, 17, h.sum); h.sum == 0 && be.Uint16(b[6:]) == 0 {
		be.PutUint16(b[6:], 0xffff)
	}
	return b
}

// sctp is an SCTP header; its checksum is a CRC32c of header and data (RFC 9260, appendix A).
type sctp struct {
	noNumber
	src, dst, sum int
}

func (sctp) ipProto() int { return 132 }

func (h sctp) put(_ []header, _ header, rest []byte) []byte {
	b := join(u16(or(h.src, 1000)), u16(or(h.dst, 2000)), u32(0x0a0b0c0d), u32(0), rest)
	if h.sum != 0 {
		be.PutUint32(b[8:], uint32(or(h.sum, 0)))
		return b
	}
	binary.LittleEndian.PutUint32(b[8:], crc32c(b))
	return b
}

// icmp is an ICMP header with four more bytes.
type icmp struct {
	noNumber
	typ, code, sum int
}

func (icmp) ipProto() int { return 1 }

func (h icmp) put(_ []header, _ header, rest []byte) []byte {
	b := join([]byte{byte(or(h.typ, 8)), byte(h.code), 0, 0}, u32(0x00070001), rest)
	be.PutUint16(b[2:], uint16(or(h.sum, checksum(b))))
	return b
}

// icmp6 is an ICMPv6 header with four more bytes.
type icmp6 struct {
	noNumber
	typ, code, sum int
}

func (icmp6) ipProto() int { return 58 }

func (h icmp6) put(outer []header, _ header, rest []byte) []byte {
	b := join([]byte{byte(or(h.typ, 128)), byte(h.code), 0, 0}, u32(0x00070001), rest)
	return finish(outer, b, 2, 58, h.sum)
}

// nd is a neighbour solicitation (135) or advertisement (136) with its options, 0: none.
type nd struct {
	noNumber
	typ, code, sll, tll int
	target              string
}

func (nd) ipProto() int { return 58 }

func (h nd) put(outer []header, _ header, rest []byte) []byte {
	target := fromHex(addr6(9))
	if h.target != "" {
		target = fromHex(h.target)
	}
	b := join([]byte{byte(or(h.typ, 135)), byte(h.code), 0, 0}, u32(0), target)
	if h.sll != 0 {
		b = join(b, []byte{1, 1}, mac(h.sll))
	}
	if h.tll != 0 {
		b = join(b, []byte{2, 1}, mac(h.tll))
	}
	return finish(outer, join(b, rest), 2, 58, 0)
}

// finish writes the checksum of a transport header at offset at: given, or over the pseudo-header of the
// innermost IP header and all bytes.
func finish(outer []header, b []byte, at, proto, given int) []byte {
	if given != 0 {
		be.PutUint16(b[at:], uint16(or(given, 0)))
		return b
	}
	be.PutUint16(b[at:], uint16(checksum(join(pseudoHeader(outer, proto, len(b)), b))))
	return b
}

// pseudoHeader is that of RFC 9293, 3.1 and RFC 8200, 8.1, where the destination is the final one.
func pseudoHeader(outer []header, proto, length int) []byte {
	var final []byte
	for _, h := range slices.Backward(outer) {
		switch h := h.(type) {
		case route:
			if h.left > 0 {
				final = fromHex(h.to)
			}
		case ip4:
			return join(u32(or(h.src, ipA)), u32(or(h.dst, ipB)), u16(proto), u16(length))
		case ip6:
			src, dst := h.addresses()
			if final != nil {
				dst = final
			}
			return join(src, dst, u32(length), u32(proto))
		}
	}
	return nil
}

// checksum is RFC 1071's, with the field itself zero.
func checksum(b []byte) int {
	if len(b)%2 != 0 {
		b = join(b, []byte{0})
	}
	sum := 0
	for i := 0; i < len(b); i += 2 {
		sum += int(be.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return 0xffff &^ sum
}

// crc32c goes bit by bit.
func crc32c(b []byte) uint32 {
	crc := ^uint32(0)
	for _, x := range b {
		crc ^= uint32(x)
		for range 8 {
			crc = crc>>1 ^ 0x82f63b78*(crc&1)
		}
	}
	return ^crc
}
