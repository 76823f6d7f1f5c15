package flowtable

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// eachPath runs a test on a pipeline whose processors remember paths and on one whose processors
// walk the tables for every frame. Both must pass: the cache may change only the speed.
func eachPath(t *testing.T, test func(t *testing.T, c Config)) {
	t.Helper()
	for _, noCache := range []bool{false, true} {
		name := "cache"
		if noCache {
			name = "walk"
		}
		t.Run(name, func(t *testing.T) { test(t, Config{NoCache: noCache, HashSeed: 42}) })
	}
}

// recorder is a Sink that writes down what it is given.
type recorder struct {
	events []string
	held   []heldFrame
}

type heldFrame struct {
	f     *packet.Frame
	bytes string
}

var _ Sink = (*recorder)(nil)

func (r *recorder) Output(port, queue uint32, f *packet.Frame) {
	r.events = append(r.events, outputEvent(port, queue, f.Bytes()))
	r.held = append(r.held, heldFrame{f, string(f.Bytes())})
}

func (r *recorder) PacketIn(in PacketIn) {
	_, md := in.Frame.Key.Get(packet.Metadata)
	r.events = append(r.events, packetInEvent(in.Reason, in.Table, in.Cookie, in.MaxLen, md, in.Frame.Bytes()))
}

func outputEvent(port, queue uint32, b []byte) string {
	return fmt.Sprintf("out %d/%d %x", port, queue, b)
}

func packetInEvent(why openflow.PacketInReason, table uint8, cookie uint64, maxLen uint16, metadata uint64, b []byte) string {
	return fmt.Sprintf("in reason=%d table=%d cookie=%x max=%d metadata=%x %x", why, table, cookie, maxLen, metadata, b)
}

// take gives the events of a batch that has ended, after a look whether the frames promised to
// outputs are still what they were.
func (r *recorder) take(t testing.TB) []string {
	t.Helper()
	for _, h := range r.held {
		if string(h.f.Bytes()) != h.bytes {
			t.Fatalf("a frame was changed after it had been given to an output:\n%x\n%x", h.bytes, h.f.Bytes())
		}
	}
	e := r.events
	r.events, r.held = nil, nil
	return e
}

// nowhere is a Sink that forgets.
type nowhere struct{ outputs, packetIns int }

func (n *nowhere) Output(uint32, uint32, *packet.Frame) { n.outputs++ }
func (n *nowhere) PacketIn(PacketIn)                    { n.packetIns++ }

// upPorts are n ports with link, numbered from 1.
func upPorts(n int) []Port {
	list := make([]Port, n)
	for i := range list {
		list[i] = Port{No: uint32(i + 1), LinkUp: true}
	}
	return list
}

// frameOf wraps bytes that came in by a port.
func frameOf(in uint32, b []byte) *packet.Frame {
	f := packet.NewFrame(len(b))
	f.SetBytes(b)
	f.InPort = in
	return f
}

// rig is a pipeline with one processor, as most tests want it.
type rig struct {
	*Pipeline
	t    testing.TB
	proc *Processor
	rec  recorder
	now  time.Duration

	watched bool // frames of a random life run through Watch
}

func newRig(t testing.TB, c Config, ports []Port) *rig {
	r := &rig{Pipeline: New(c), t: t}
	r.SetPorts(ports)
	r.proc = r.NewProcessor()
	return r
}

// flow adds an entry and publishes.
func (r *rig) flow(table uint8, priority uint16, m openflow.Match, list ...openflow.Instruction) {
	r.t.Helper()
	r.mod(&openflow.FlowMod{TableID: table, Priority: priority, Match: m, Instructions: openflow.NewInstructions(list...)})
}

// mod carries out a FLOW_MOD that must succeed.
func (r *rig) mod(m *openflow.FlowMod) []Removed {
	r.t.Helper()
	if isDelete(m.Command) && m.OutPort == 0 {
		m.OutPort, m.OutGroup = openflow.PortAny, groupAny
	}
	gone, err := r.FlowMod(r.now, m)
	if err != nil {
		r.t.Fatalf("FLOW_MOD %v: %v", m.Match, err)
	}
	r.Publish()
	return gone
}

// send processes one frame and returns what happened.
func (r *rig) send(in uint32, b []byte) []string {
	r.t.Helper()
	r.proc.Process(r.now, []*packet.Frame{frameOf(in, b)}, &r.rec)
	return r.rec.take(r.t)
}

// ports sends a frame and returns the numbers it went out by.
func (r *rig) outPorts(in uint32, b []byte) []uint32 {
	r.t.Helper()
	var list []uint32
	for _, e := range r.send(in, b) {
		var no uint32
		if _, err := fmt.Sscanf(e, "out %d/", &no); err == nil {
			list = append(list, no)
		}
	}
	return list
}

// frames, made by gopacket

type ethernet struct {
	dst, src string // last byte of an address, or all of it
	vlans    []uint16
}

func mac(s string) []byte {
	if len(s) == 1 {
		return []byte{2, 0, 0, 0, 0, s[0] - '0'}
	}
	var m [6]byte
	if _, err := fmt.Sscanf(s, "%02x:%02x:%02x:%02x:%02x:%02x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]); err != nil {
		panic(err)
	}
	return m[:]
}

const broadcast = "ff:ff:ff:ff:ff:ff"

// build serialises layers below an Ethernet header with tags; vlans hold the whole TCI.
func build(e ethernet, ethType layers.EthernetType, upper ...gopacket.SerializableLayer) []byte {
	var list []gopacket.SerializableLayer
	first := ethType
	if len(e.vlans) > 0 {
		first = layers.EthernetTypeDot1Q
	}
	list = append(list, &layers.Ethernet{DstMAC: mac(e.dst), SrcMAC: mac(e.src), EthernetType: first})
	for i, tci := range e.vlans {
		next := ethType
		if i+1 < len(e.vlans) {
			next = layers.EthernetTypeDot1Q
		}
		list = append(list, &layers.Dot1Q{Priority: uint8(tci >> 13), VLANIdentifier: tci & 0xfff, Type: next})
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, append(list, upper...)...); err != nil {
		panic(err)
	}
	return append([]byte(nil), buf.Bytes()...)
}

func ip4(src, dst byte, ttl uint8, proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: ttl, TOS: tosOf(ttl), Protocol: proto, SrcIP: []byte{10, 0, 0, src}, DstIP: []byte{10, 0, 0, dst}}
}

// tosOf gives frames of different TTLs different code points: AF11, AF12, EF, AF42 and best effort.
func tosOf(ttl uint8) uint8 {
	return map[uint8]uint8{1: 10 << 2, 2: 12<<2 | 1, 64: 46 << 2, 65: 36 << 2}[ttl]
}

func udpFrame(e ethernet, ttl uint8, sport, dport uint16) []byte {
	ip := ip4(e.src[len(e.src)-1], e.dst[len(e.dst)-1], ttl, layers.IPProtocolUDP)
	udp := &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
	_ = udp.SetNetworkLayerForChecksum(ip)
	return build(e, layers.EthernetTypeIPv4, ip, udp, gopacket.Payload("payload of some length, odd"))
}

func tcpFrame(e ethernet, ttl uint8, sport, dport uint16) []byte {
	ip := ip4(e.src[len(e.src)-1], e.dst[len(e.dst)-1], ttl, layers.IPProtocolTCP)
	tcp := &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), ACK: true, Window: 100}
	_ = tcp.SetNetworkLayerForChecksum(ip)
	return build(e, layers.EthernetTypeIPv4, ip, tcp, gopacket.Payload("some data"))
}

func tcp6Frame(e ethernet, hop uint8, sport, dport uint16) []byte {
	ip := &layers.IPv6{Version: 6, HopLimit: hop, TrafficClass: tosOf(hop), NextHeader: layers.IPProtocolTCP,
		SrcIP: append(make([]byte, 15), e.src[len(e.src)-1]), DstIP: append(make([]byte, 15), e.dst[len(e.dst)-1])}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), SYN: true}
	_ = tcp.SetNetworkLayerForChecksum(ip)
	return build(e, layers.EthernetTypeIPv6, ip, tcp, gopacket.Payload("six"))
}

// neighbour is an ICMPv6 message of a neighbour solicitation's form, for target ::t, with these
// link-layer address options.
func neighbour(typ, code, t byte, options ...layers.ICMPv6Option) []byte {
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6,
		SrcIP: append(make([]byte, 15), 1), DstIP: append(make([]byte, 15), 2)}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	body := &layers.ICMPv6NeighborSolicitation{TargetAddress: append(make([]byte, 15), t), Options: options}
	return build(ethernet{dst: "2", src: "1"}, layers.EthernetTypeIPv6, ip, icmp, body)
}

func arpFrame(e ethernet, op uint16, spa, tpa byte) []byte {
	return build(e, layers.EthernetTypeARP, &layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
		HwAddressSize: 6, ProtAddressSize: 4, Operation: op, SourceHwAddress: mac(e.src), SourceProtAddress: []byte{10, 0, 0, spa},
		DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 0, tpa}})
}

func mplsFrame(e ethernet, label uint32, ttl uint8, bottom bool) []byte {
	m := &layers.MPLS{Label: label, TTL: ttl, StackBottom: bottom}
	if bottom {
		ip := ip4(1, 2, 9, layers.IPProtocolUDP)
		udp := &layers.UDP{SrcPort: 1, DstPort: 2}
		_ = udp.SetNetworkLayerForChecksum(ip)
		return build(e, layers.EthernetTypeMPLSUnicast, m, ip, udp)
	}
	ip := ip4(1, 2, 9, layers.IPProtocolUDP)
	return build(e, layers.EthernetTypeMPLSUnicast, m, &layers.MPLS{Label: 77, TTL: 5, StackBottom: true}, ip)
}

// randomFrame draws from a small world, so that flows and frames meet often. One in eight is cut
// short and one in sixteen has a flipped byte.
func randomFrame(r *rand.Rand) []byte {
	digit := func(n int) string { return string(rune('1' + r.IntN(n))) }
	e := ethernet{dst: digit(4), src: digit(4)}
	switch r.IntN(12) {
	case 0:
		e.dst = broadcast
	case 1:
		e.dst = "01:80:c2:00:00:0" + digit(9)
	case 2:
		e.dst = "01:00:5e:00:00:0" + digit(9)
	case 3:
		e.src = "01:00:5e:00:00:0" + digit(9)
	}
	for range r.IntN(3) {
		e.vlans = append(e.vlans, uint16(r.IntN(4))|uint16(r.IntN(2))<<13)
	}
	port := func() uint16 { return uint16(80 + r.IntN(3)) }
	ttl := []uint8{0, 1, 2, 64, 65}[r.IntN(5)]
	var b []byte
	switch r.IntN(8) {
	case 0, 1:
		b = udpFrame(e, ttl, port(), port())
	case 2, 3:
		b = tcpFrame(e, ttl, port(), port())
	case 4:
		b = tcp6Frame(e, ttl, port(), port())
	case 5:
		b = arpFrame(e, uint16(1+r.IntN(2)), byte(r.IntN(3)), byte(r.IntN(3)))
	case 6:
		b = mplsFrame(e, uint32(16+r.IntN(2)), ttl, r.IntN(2) == 0)
	default:
		ip := ip4('1', '2', ttl, layers.IPProtocolUDP) // a later fragment
		ip.FragOffset = uint16(r.IntN(2))
		ip.Flags = layers.IPv4MoreFragments
		b = build(e, layers.EthernetTypeIPv4, ip, gopacket.Payload(make([]byte, 24)))
	}
	if r.IntN(8) == 0 {
		b = b[:r.IntN(len(b))]
	}
	if r.IntN(16) == 0 && len(b) > 14 {
		b[12+r.IntN(len(b)-12)] ^= 1 << r.IntN(8)
	}
	return b
}
