package oracle

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// What frames and matches are made of: few values, so that they meet.
var (
	macs = []uint64{0x020000000001, 0x020000000002, 0x020000000003, 0x0200000000f4, 0x01005e000001, 0xffffffffffff}
	ips  = []uint32{0x0a000001, 0x0a000002, 0x0a000102, 0xc0a80001, 0xe0000001}
	ip6s = [][2]uint64{{0x20010db800000000, 1}, {0x20010db800000000, 2}, {0x20010db800000001, 1}, {0xfe80000000000000, 0x0200_00ff_fe00_0001}, {0xff02000000000000, 1}}
	vids = []uint64{1, 2, 100, 4094, 0}
	// Ports, labels and so on.
	tps    = []uint64{1, 53, 80, 81, 0x8000, 65535}
	labels = []uint64{16, 17, 0x12345, 0xfffff, 3}
	ttls   = []uint8{64, 64, 64, 255, 2, 1, 0}
	tosses = []uint8{0, 0, 0xb8, 0x03, 0x29}
)

// stack makes a frame from the outside in and names what it puts there.
type stack struct {
	*gen
	layers []gopacket.SerializableLayer
	words  []string
	ip     gopacket.NetworkLayer // for checksums
	knows  facts
}

func (s *stack) add(l gopacket.SerializableLayer, format string, args ...any) {
	s.layers = append(s.layers, l)
	s.words = append(s.words, fmt.Sprintf(format, args...))
}

func macOf(v uint64) net.HardwareAddr { return binary.BigEndian.AppendUint64(nil, v)[2:] }
func ipOf(v uint32) net.IP            { return binary.BigEndian.AppendUint32(nil, v) }
func ip6Of(v [2]uint64) net.IP {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, v[0]), v[1])
}

// frame makes a random frame of any family.
func (g *gen) frame() *frame {
	s := &stack{gen: g}
	eth := &layers.Ethernet{DstMAC: macOf(pick(g, macs)), SrcMAC: macOf(macs[g.IntN(4)])}
	s.add(eth, "eth")
	next := &eth.EthernetType
	for range g.tags() {
		tag := &layers.Dot1Q{VLANIdentifier: uint16(g.vid()), Priority: uint8(g.IntN(8))}
		*next = layers.EthernetTypeDot1Q
		if g.one(3) {
			*next = layers.EthernetTypeQinQ
		}
		s.add(tag, "vlan %d", tag.VLANIdentifier)
		next = &tag.Type
	}
	s.inside(next)
	s.know(uint64(*next), len(s.words) > 1 && strings.HasPrefix(s.words[1], "vlan"))
	if s.ip == nil {
		s.layers = append(s.layers, gopacket.Payload(s.payload()))
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true, FixLengths: true}, s.layers...); err != nil {
		panic(fmt.Sprintf("a frame of %s: %v", strings.Join(s.words, ", "), err))
	}
	b := buf.Bytes()
	if len(b) < 60 && (len(b) < 14 || !g.one(4)) {
		b = append(b, make([]byte, 60-len(b))...)
	}
	return &frame{1 + g.IntN(numPorts), strings.Join(s.words, ", "), b, s.knows}
}

// know notes what is certain about the frame, as a match would say it.
func (s *stack) know(eth uint64, tagged bool) {
	s.knows = facts{vlan: tagged, eth: eth}
	if !s.knows.ip() {
		return
	}
	for _, l := range s.layers {
		switch l := l.(type) {
		case *layers.TCP:
			s.knows.proto = 6
		case *layers.UDP, *unsummed:
			s.knows.proto = 17
		case *layers.SCTP:
			s.knows.proto = 132
		case *layers.ICMPv4:
			s.knows.proto = 1
		case *layers.ICMPv6:
			s.knows.proto, s.knows.icmp6 = 58, uint64(l.TypeCode.Type())
		}
	}
}

// vid is a VID for a frame or for set_field. NORMAL and VID 0 do not go together: see deviation priority-tags.
func (g *gen) vid() uint64 {
	for {
		if v := pick(g, vids); v != 0 || !g.normal {
			return v
		}
	}
}

// tags is how many VLAN tags a frame gets.
func (g *gen) tags() int {
	if g.maxTags == 0 || g.one(2) {
		return 0
	}
	return 1 + g.IntN(g.maxTags)
}

func (s *stack) ttl() uint8 {
	if t := pick(s.gen, ttls); t > 0 || s.zeroTTL {
		return t
	}
	return 63
}

func (s *stack) payload() []byte {
	b := make([]byte, s.IntN(60))
	for i := range b {
		b[i] = byte(s.IntN(256))
	}
	return b
}

// inside puts in what the Ethernet type says.
func (s *stack) inside(next *layers.EthernetType) {
	switch s.IntN(16) {
	case 0, 1, 2, 3, 4, 5:
		*next = layers.EthernetTypeIPv4
		s.ipv4()
	case 6, 7, 8, 9:
		*next = layers.EthernetTypeIPv6
		s.ipv6()
	case 10, 11:
		*next = layers.EthernetTypeARP
		s.arp()
	case 12, 13, 14:
		*next = layers.EthernetTypeMPLSUnicast
		if s.one(3) {
			*next = layers.EthernetTypeMPLSMulticast
		}
		s.mpls()
	default:
		*next = 0x88b5
		s.add(gopacket.Payload(s.payload()), "type 88b5")
	}
}

func (s *stack) arp() {
	op := uint16(1 + s.IntN(2))
	s.add(&layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: op,
		SourceHwAddress: macOf(pick(s.gen, macs)), SourceProtAddress: ipOf(pick(s.gen, ips)),
		DstHwAddress: macOf(pick(s.gen, macs)), DstProtAddress: ipOf(pick(s.gen, ips)),
	}, "arp %d", op)
}

// mpls is one to three labels over IP or over what is no IP.
func (s *stack) mpls() {
	n := 1 + s.IntN(s.maxLabels)
	for i := range n {
		l := &layers.MPLS{Label: uint32(pick(s.gen, labels)), TrafficClass: uint8(s.IntN(8)), StackBottom: i == n-1, TTL: s.ttl()}
		s.add(l, "mpls %d ttl %d", l.Label, l.TTL)
	}
	switch s.IntN(3) {
	case 0:
		s.ipv4()
	case 1:
		s.ipv6()
	default:
		s.add(gopacket.Payload(s.payload()), "no ip")
	}
}

func (s *stack) ipv4() {
	ip := &layers.IPv4{Version: 4, TOS: pick(s.gen, tosses), TTL: s.ttl(), Id: 7, SrcIP: ipOf(pick(s.gen, ips)), DstIP: ipOf(pick(s.gen, ips))}
	if s.one(8) {
		ip.Options = []layers.IPv4Option{{OptionType: 1, OptionLength: 1}}
	}
	s.ip = ip
	s.add(ip, "ip ttl %d tos %#x", ip.TTL, ip.TOS)
	switch s.IntN(10) {
	case 0:
		if !s.fragments {
			break
		}
		ip.Flags, ip.FragOffset = layers.IPv4MoreFragments, 0
		s.words = append(s.words, "first fragment")
	case 1:
		if !s.laterFragments {
			break
		}
		ip.FragOffset = 8
		s.words = append(s.words, "later fragment")
	}
	if s.one(9) {
		ip.Protocol = layers.IPProtocolICMPv4
		t := layers.CreateICMPv4TypeCode(uint8(s.IntN(4)*4), uint8(s.IntN(2)))
		s.add(&layers.ICMPv4{TypeCode: t, Id: 1, Seq: 2}, "icmp %s", t)
		s.layers = append(s.layers, gopacket.Payload(s.payload()))
		return
	}
	s.transport(&ip.Protocol)
}

func (s *stack) ipv6() {
	ip := &layers.IPv6{Version: 6, TrafficClass: pick(s.gen, tosses), FlowLabel: uint32(pick(s.gen, labels)), HopLimit: s.ttl(),
		SrcIP: ip6Of(pick(s.gen, ip6s)), DstIP: ip6Of(pick(s.gen, ip6s))}
	s.ip = ip
	s.add(ip, "ipv6 hlim %d tc %#x", ip.HopLimit, ip.TrafficClass)
	next := &ip.NextHeader
	if s.one(6) {
		h := &rawHeader{b: []byte{0, 0, 1, 4, 0, 0, 0, 0}}
		*next = layers.IPProtocol(pick(s.gen, []uint8{0, 60, 43}))
		if *next == layers.IPProtocolIPv6Routing {
			h.b = []byte{0, 0, 4, 0, 0, 0, 0, 0}
		}
		s.add(h, "header %d", *next)
		next = &h.next
	}
	if s.fragments && s.laterFragments && s.one(4) {
		h := &rawHeader{b: []byte{0, 0, 0, byte(s.IntN(2)), 0, 0, 0, 9}}
		*next = layers.IPProtocolIPv6Fragment
		s.add(h, "fragment %x", h.b[2:4])
		next = &h.next
	}
	if s.one(3) {
		*next = layers.IPProtocolICMPv6
		s.icmpv6(ip)
		return
	}
	s.transport(next)
}

// rawHeader is an IPv6 extension header as bytes; the first names the next header.
type rawHeader struct {
	next layers.IPProtocol
	b    []byte
}

func (h *rawHeader) LayerType() gopacket.LayerType { return gopacket.LayerTypePayload }

func (h *rawHeader) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	at, err := b.PrependBytes(len(h.b))
	copy(at, h.b)
	if err == nil {
		at[0] = byte(h.next)
	}
	return err
}

// icmpv6 is an echo, a neighbour solicitation or an advertisement, with and without its option.
func (s *stack) icmpv6(ip *layers.IPv6) {
	kind := pick(s.gen, []uint8{128, 129, layers.ICMPv6TypeNeighborSolicitation, layers.ICMPv6TypeNeighborAdvertisement})
	code := uint8(0)
	if kind == 128 {
		code = uint8(s.IntN(2))
	}
	h := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, code)}
	_ = h.SetNetworkLayerForChecksum(ip)
	s.add(h, "icmpv6 %d", kind)
	if kind < 130 {
		s.layers = append(s.layers, gopacket.Payload(append([]byte{0, 1, 0, 2}, s.payload()...)))
		return
	}
	body := append(make([]byte, 4), ip6Of(pick(s.gen, ip6s))...)
	if s.one(2) {
		option := byte(1)
		if kind == layers.ICMPv6TypeNeighborAdvertisement {
			option = 2
		}
		body = append(append(body, option, 1), macOf(pick(s.gen, macs))...)
		s.words = append(s.words, "with address")
	}
	s.layers = append(s.layers, gopacket.Payload(body))
}

// transport is TCP, UDP, SCTP or something else.
func (s *stack) transport(next *layers.IPProtocol) {
	src, dst := uint16(pick(s.gen, tps)), uint16(pick(s.gen, tps))
	switch s.IntN(8) {
	case 0, 1, 2:
		*next = layers.IPProtocolTCP
		t := &layers.TCP{SrcPort: layers.TCPPort(src), DstPort: layers.TCPPort(dst), Seq: 1, ACK: true, SYN: s.one(2), NS: s.one(4), Window: 100}
		_ = t.SetNetworkLayerForChecksum(s.ip)
		s.add(t, "tcp %d %d", src, dst)
	case 3, 4, 5:
		*next = layers.IPProtocolUDP
		u := &layers.UDP{SrcPort: layers.UDPPort(src), DstPort: layers.UDPPort(dst)}
		_ = u.SetNetworkLayerForChecksum(s.ip)
		s.add(u, "udp %d %d", src, dst)
		if _, v4 := s.ip.(*layers.IPv4); v4 && s.one(5) {
			s.layers[len(s.layers)-1] = &unsummed{u}
			s.words = append(s.words, "without checksum")
		}
	case 6:
		*next = layers.IPProtocolSCTP
		s.add(&layers.SCTP{SrcPort: layers.SCTPPort(src), DstPort: layers.SCTPPort(dst), VerificationTag: 1}, "sctp %d %d", src, dst)
	default:
		*next = 47
		s.add(gopacket.Payload(s.payload()), "protocol 47")
	}
	s.layers = append(s.layers, gopacket.Payload(s.payload()))
}

// unsummed is UDP whose sender made no checksum.
type unsummed struct{ *layers.UDP }

func (u *unsummed) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return u.UDP.SerializeTo(b, gopacket.SerializeOptions{FixLengths: true})
}
