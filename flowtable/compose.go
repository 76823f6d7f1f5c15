// Slow path: a frame made of nothing but the match fields it is to have.

package flowtable

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// Compose makes a frame with the fields of a match: headers that fit together, right lengths and
// checksums, 60 bytes at least, and zeros for data until it is length bytes long. What the match leaves open is zero, but the TTL, which is
// 64, and a request for arp_op. Bits under a mask that the match does not name are zero, too, as in Open vSwitch.
// A field that no frame can come in with is an error.
func Compose(m openflow.Match, length int) (*packet.Frame, error) {
	c := composer{}
	for f := range m.All() {
		c.want[f.ID], c.has[f.ID] = f.Value.And(f.Mask), true
	}
	f := packet.NewFrame(max(length, 2*minFrame))
	f.SetBytes(c.bytes(length))
	f.InPort = uint32(c.n(openflow.InPort))
	f.Parse()
	for w := range m.All() {
		switch fl := keyField(w.ID); {
		case isPipelineField(fl), w.ID == openflow.InPort, w.ID == openflow.InPhyPort, w.ID == openflow.EthType, w.ID == openflow.IPProto:
		case w.ID == openflow.VLANVID && c.n(w.ID)&packet.VLANPresent == 0:
		default:
			f.SetField(fl, c.want[w.ID].Hi(), c.want[w.ID].Lo())
		}
	}
	sumUp(f)
	f.Parse()
	for w := range m.All() {
		if hi, lo := f.Key.Get(keyField(w.ID)); openflow.ValueOf128(hi, lo) != c.want[w.ID] {
			return nil, fmt.Errorf("%s: no frame that weir can make comes in with this value (it would be 0x%x); leave it out, or give the frame's bytes",
				w.ID, lo)
		}
	}
	return f, nil
}

const minFrame = 60 // of Ethernet, without its checksum

type composer struct {
	want [openflow.NumFields]openflow.Value
	has  [openflow.NumFields]bool
	data int // bytes behind the headers
}

// bytes are the headers with as much behind them as is wanted.
func (c *composer) bytes(length int) []byte {
	b := c.headers()
	if length > len(b) {
		c.data = length - len(b)
		b = c.headers()
	}
	for len(b) < max(minFrame, length) {
		b = append(b, 0)
	}
	return b
}

func (c *composer) n(id openflow.FieldID) uint64 { return c.want[id].Uint64() }

// headers are the frame with its types and lengths alone.
func (c *composer) headers() []byte {
	be := binary.BigEndian
	b := make([]byte, 12, 2*minFrame)
	if c.n(openflow.VLANVID)&packet.VLANPresent != 0 {
		b = append(b, 0x81, 0, 0, 0)
	}
	typ := c.n(openflow.EthType)
	if !c.has[openflow.EthType] || typ < 0x600 { // 802.3: a length, and LLC
		b = append(be.AppendUint16(b, uint16(min(max(46, c.data+3), 1500))), 0x42, 0x42, 3)
	} else {
		b = be.AppendUint16(b, uint16(typ))
	}
	switch typ {
	case 0x0800:
		b = append(b, c.ipv4()...)
	case 0x86dd:
		b = append(b, c.ipv6()...)
	case 0x0806, 0x8035:
		arp := make([]byte, 28)
		copy(arp, []byte{0, 1, 8, 0, 6, 4, 0, 1})
		b = append(b, arp...)
	case 0x8847, 0x8848:
		b = append(b, 0, 0, 1, 64)
	case 0x88e7:
		b = append(b, make([]byte, 18)...)
	}
	return b
}

func (c *composer) ipv4() []byte {
	frag := c.n(openflow.NwFrag)
	h := make([]byte, 20, 64)
	h[0], h[8], h[9] = 0x45, 64, uint8(c.n(openflow.IPProto))
	switch {
	case frag&packet.FragLater != 0:
		h[7] = 1 // eight bytes on
		h = append(h, make([]byte, 8+c.data)...)
	case frag&packet.FragAny != 0:
		h[6] = 0x20 // more follow
		fallthrough
	default:
		h = append(h, c.transport()...)
	}
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)))
	return h
}

func (c *composer) ipv6() []byte {
	body := c.transport()
	h := make([]byte, 40, 128)
	h[0], h[6], h[7] = 0x60, uint8(c.n(openflow.IPProto)), 64
	binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
	return append(h, body...)
}

// transport is what an IP packet carries.
func (c *composer) transport() []byte {
	h := append(c.transportHeader(), make([]byte, c.data)...)
	if c.n(openflow.IPProto) == protoUDP {
		binary.BigEndian.PutUint16(h[4:], uint16(len(h)))
	}
	return h
}

func (c *composer) transportHeader() []byte {
	switch c.n(openflow.IPProto) {
	case protoTCP:
		h := make([]byte, 20)
		h[12] = 5 << 4
		return h
	case protoUDP:
		return []byte{0, 0, 0, 0, 0, 8, 0, 0}
	case protoSCTP:
		return make([]byte, 12)
	case protoICMP:
		return make([]byte, 8)
	case protoICMPv6:
		return c.icmpv6()
	}
	return nil
}

// icmpv6 has the option of a neighbour message, for the address that the match may name.
func (c *composer) icmpv6() []byte {
	h := make([]byte, 8, 32)
	h[0] = uint8(c.n(openflow.ICMPv6Type))
	if h[0] != 135 && h[0] != 136 {
		return h
	}
	h = append(h, make([]byte, 16)...)
	for i, id := range []openflow.FieldID{openflow.NDSLL, openflow.NDTLL} {
		if c.has[id] {
			h = append(h, uint8(1+i), 1, 0, 0, 0, 0, 0, 0)
		}
	}
	return h
}

const (
	protoICMP   = 1
	protoICMPv6 = 58
)

// sumUp writes the checksums of a frame whose headers are complete.
func sumUp(f *packet.Frame) {
	b, l := f.Bytes(), &f.Layout
	_, typ := f.Key.Get(packet.EthType)
	if l.L3 == 0 || typ != 0x0800 && typ != 0x86dd {
		return
	}
	ip := b[l.L3:]
	_, proto := f.Key.Get(packet.IPProto)
	src, dst := ip[8:24], ip[24:40]
	if typ == 0x0800 {
		putSum(ip[:20], 10, 0)
		src, dst = ip[12:16], ip[16:20]
	}
	if l.L4 == 0 {
		return
	}
	p := b[l.L4:l.End]
	pseudo := packet.PseudoHeaderSum(src, dst, uint8(proto), len(p))
	switch proto {
	case protoTCP:
		putSum(p, 16, pseudo)
	case protoUDP:
		if putSum(p, 6, pseudo); p[6]|p[7] == 0 {
			p[6], p[7] = 0xff, 0xff // zero would say that there is none
		}
	case protoICMP:
		putSum(p, 2, 0)
	case protoICMPv6:
		putSum(p, 2, pseudo)
	case protoSCTP:
		clear(p[8:12])
		binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	}
}

func putSum(b []byte, at int, pseudo uint64) {
	b[at], b[at+1] = 0, 0
	binary.BigEndian.PutUint16(b[at:], ^packet.Fold(packet.Sum16(b, pseudo)))
}

// Segmented makes a super-frame of a TCP or UDP packet, as a host with segmentation offload sends it: to be cut after
// each size bytes of data by whoever puts it on a wire, its checksum to be completed there, too.
func Segmented(f *packet.Frame, size int) error {
	l := &f.Layout
	_, typ := f.Key.Get(packet.EthType)
	_, proto := f.Key.Get(packet.IPProto)
	if l.L4 == 0 || l.Payload == 0 || isFragment(f) || proto != protoTCP && proto != protoUDP {
		return fmt.Errorf("only a TCP or UDP packet can be cut into segments")
	}
	if data := int(l.End - l.Payload); size < 1 || size >= data {
		return fmt.Errorf("segments of %d bytes: expected less than the packet's %d bytes of data, and at least 1", size, data)
	}
	ip := f.Bytes()[l.L3:]
	src, dst := ip[8:24], ip[24:40]
	f.Offload = packet.Offload{NeedsCsum: true, GSO: packet.GSOTCPv6, GSOSize: uint16(size), HdrLen: uint16(l.Payload), CsumStart: uint16(l.L4), CsumOffset: 16}
	if typ == 0x0800 {
		src, dst = ip[12:16], ip[16:20]
		f.Offload.GSO = packet.GSOTCPv4
	}
	if proto == protoUDP {
		f.Offload.GSO, f.Offload.CsumOffset = packet.GSOUDPL4, 6
	}
	pseudo := packet.PseudoHeaderSum(src, dst, uint8(proto), int(l.End-l.L4))
	binary.BigEndian.PutUint16(f.Bytes()[int(l.L4)+int(f.Offload.CsumOffset):], packet.Fold(pseudo))
	return nil
}
