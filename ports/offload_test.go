package ports

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/weirswitch/weir/flowtable/packet"
)

// super describes a frame whose work is left to a Finisher.
type super struct {
	v6      bool
	tags    []layers.EthernetType // VLAN tags, outermost first
	mpls    int                   // labels
	options bool                  // IPv4 and TCP options; an IPv6 hop-by-hop header
	gso     packet.GSOType
	size    int // GSOSize
	payload int
	flags   layers.TCP // only the flags count
	noCsum  bool       // checksum complete, not promised
}

var (
	macA, macB = net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	ip4A, ip4B = net.IP{10, 0, 0, 1}, net.IP{10, 0, 0, 2}
	ip6A, ip6B = net.ParseIP("fd00::1"), net.ParseIP("fd00::2")
)

const firstSeq, firstID = 0xfffff000, 0xfffa // both wrap on the way

// build makes the frame, by gopacket, with the checksum field as Linux leaves it:
// the sum of the pseudo-header.
func (s super) build(t testing.TB, data []byte) *packet.Frame {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: macA, DstMAC: macB}
	stack := []gopacket.SerializableLayer{eth}
	next := &eth.EthernetType
	for _, tpid := range s.tags {
		*next = tpid
		tag := &layers.Dot1Q{VLANIdentifier: 10, Priority: 3}
		stack, next = append(stack, tag), &tag.Type
	}
	for i := range s.mpls {
		*next = layers.EthernetTypeMPLSUnicast
		stack = append(stack, &layers.MPLS{Label: 100, TTL: 64, StackBottom: i == s.mpls-1})
	}
	if s.mpls > 0 {
		next = new(layers.EthernetType)
	}
	proto := layers.IPProtocolTCP
	if s.gso == packet.GSOUDP || s.gso == packet.GSOUDPL4 {
		proto = layers.IPProtocolUDP
	}
	var network gopacket.NetworkLayer
	if s.v6 {
		*next = layers.EthernetTypeIPv6
		ip := &layers.IPv6{Version: 6, HopLimit: 64, SrcIP: ip6A, DstIP: ip6B, NextHeader: proto}
		network, stack = ip, append(stack, ip)
		if s.options {
			ip.NextHeader = layers.IPProtocolIPv6HopByHop
			hop := &layers.IPv6HopByHop{}
			hop.NextHeader = proto
			hop.Options = []*layers.IPv6HopByHopOption{{OptionType: 1, OptionData: make([]byte, 4)}}
			stack = append(stack, hop)
		}
	} else {
		*next = layers.EthernetTypeIPv4
		ip := &layers.IPv4{Version: 4, TTL: 64, Id: firstID, SrcIP: ip4A, DstIP: ip4B, Protocol: proto}
		if s.options {
			ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
		}
		network, stack = ip, append(stack, ip)
	}
	var length int // of the transport header
	if proto == layers.IPProtocolTCP {
		tcp := &layers.TCP{SrcPort: 40001, DstPort: 40003, Seq: firstSeq, Ack: 7, ACK: true, Window: 100,
			FIN: s.flags.FIN, PSH: s.flags.PSH, CWR: s.flags.CWR, ECE: s.flags.ECE}
		length = 20
		if s.options {
			tcp.Options, length = []layers.TCPOption{{OptionType: 8, OptionLength: 10, OptionData: make([]byte, 8)}, {OptionType: 1}, {OptionType: 1}}, 32
		}
		_ = tcp.SetNetworkLayerForChecksum(network)
		stack = append(stack, tcp)
	} else {
		udp := &layers.UDP{SrcPort: 40001, DstPort: 40003}
		length = 8
		_ = udp.SetNetworkLayerForChecksum(network)
		stack = append(stack, udp)
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, append(stack, gopacket.Payload(data))...); err != nil {
		t.Fatal(err)
	}
	f := packet.NewFrame(len(buf.Bytes()))
	f.SetBytes(buf.Bytes())
	f.Offload = packet.Offload{GSO: s.gso, GSOSize: uint16(s.size), HdrLen: 0}
	if !s.noCsum {
		s.owe(f, len(buf.Bytes())-len(data)-length, byte(proto))
	}
	return f
}

// owe replaces the complete checksum by the sum of the pseudo-header.
func (s super) owe(f *packet.Frame, start int, proto byte) {
	b, at := f.Bytes(), 16
	if proto == 17 {
		at = 6
	}
	sum := uint32(proto) + uint32(len(b)-start)
	addrs := append(append([]byte{}, ip4A...), ip4B...)
	if s.v6 {
		addrs = append(append([]byte{}, ip6A...), ip6B...)
	}
	for i := 0; i < len(addrs); i += 2 {
		sum += uint32(addrs[i])<<8 | uint32(addrs[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	b[start+at], b[start+at+1] = byte(sum>>8), byte(sum)
	f.Offload.NeedsCsum, f.Offload.CsumStart, f.Offload.CsumOffset = true, uint16(start), uint16(at)
}

func (s super) String() string {
	return fmt.Sprintf("v6=%v tags=%d mpls=%d options=%v gso=%d size=%d payload=%d noCsum=%v",
		s.v6, len(s.tags), s.mpls, s.options, s.gso, s.size, s.payload, s.noCsum)
}

func randomSuper(r *rand.Rand) super {
	s := super{v6: r.IntN(2) == 0, options: r.IntN(3) == 0, noCsum: r.IntN(4) == 0}
	s.tags = [][]layers.EthernetType{nil, {layers.EthernetTypeDot1Q}, {layers.EthernetTypeQinQ, layers.EthernetTypeDot1Q}}[r.IntN(3)]
	if r.IntN(6) == 0 {
		s.mpls = 1 + r.IntN(3)
	}
	s.gso = []packet.GSOType{packet.GSONone, packet.GSOTCPv4, packet.GSOUDPL4, packet.GSOUDP}[r.IntN(4)]
	if s.gso == packet.GSOTCPv4 && s.v6 {
		s.gso = packet.GSOTCPv6
	}
	s.size = 8 + r.IntN(3000)
	s.payload = r.IntN(65000)
	if r.IntN(3) == 0 {
		s.payload = s.size * (1 + r.IntN(20)) // exact multiples end differently
	}
	if s.gso == packet.GSONone {
		s.payload = r.IntN(1400)
	}
	s.payload = min(s.payload, 65000)
	s.flags = layers.TCP{FIN: r.IntN(2) == 0, PSH: r.IntN(2) == 0, CWR: r.IntN(2) == 0, ECE: r.IntN(2) == 0}
	return s
}

// TestFinisherRandom cuts random super-frames and has gopacket judge each piece:
// decoded and written again with its own lengths and checksums, it must be the
// same bytes.
func TestFinisherRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var fin Finisher
	for range 1500 {
		s := randomSuper(r)
		data := make([]byte, s.payload)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f := s.build(t, data)
		before := bytes.Clone(f.Bytes())
		if reason, ok := fin.Begin(f, 0); !ok {
			t.Fatalf("%v: refused as %v", s, reason)
		}
		got := check{t: t, s: s}
		for b := fin.Next(); b != nil; b = fin.Next() {
			got.piece(b)
		}
		got.whole(data)
		if !bytes.Equal(before, f.Bytes()) {
			t.Fatalf("%v: the frame itself was changed", s)
		}
		if fin.Next() != nil {
			t.Fatalf("%v: more after the end", s)
		}
	}
}

// check collects the pieces of one super-frame.
type check struct {
	t       *testing.T
	s       super
	n       int
	data    []byte // payloads put together
	ip      []byte // IP payloads put together, for fragments
	lastFIN bool
	lastPSH bool
}

func (c *check) piece(b []byte) {
	c.t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		c.t.Fatalf("%v: piece %d does not decode: %v", c.s, c.n, e.Error())
	}
	fragment := false
	if ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4); ok {
		fragment = ip.Flags&layers.IPv4MoreFragments != 0 || ip.FragOffset != 0
		want := uint16(firstID)
		if c.s.gso != packet.GSOUDP {
			want += uint16(c.n)
		} else if int(ip.FragOffset)*8 != len(c.ip) {
			c.t.Fatalf("%v: fragment %d at offset %d, want %d", c.s, c.n, ip.FragOffset*8, len(c.ip))
		}
		if ip.Id != want {
			c.t.Fatalf("%v: piece %d has identification %d, want %d", c.s, c.n, ip.Id, want)
		}
		c.ip = append(c.ip, ip.Payload...)
	}
	if ip, ok := p.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment); ok {
		fragment = true
		if int(ip.FragmentOffset)*8 != len(c.ip) {
			c.t.Fatalf("%v: fragment %d at offset %d, want %d", c.s, c.n, ip.FragmentOffset*8, len(c.ip))
		}
		c.ip = append(c.ip, ip.Payload...)
	} else if ip, ok := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6); ok && !c.s.options && int(ip.Length) != len(ip.Payload) {
		c.t.Fatalf("%v: piece %d says %d bytes and has %d", c.s, c.n, ip.Length, len(ip.Payload))
	}
	c.n++
	if fragment {
		if len(c.ip)%8 != 0 {
			c.lastFIN = true // only the last fragment may end uneven
		}
		return
	}
	c.same(p, b)
	if tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP); ok {
		c.tcp(tcp)
	}
	c.data = append(c.data, p.TransportLayer().LayerPayload()...)
	if got := len(p.TransportLayer().LayerPayload()); c.s.gso != packet.GSONone && c.s.gso != packet.GSOUDP && got > c.s.size {
		c.t.Fatalf("%v: piece %d carries %d bytes", c.s, c.n, got)
	}
}

// same has gopacket write the piece again, with its own lengths and checksums.
func (c *check) same(p gopacket.Packet, b []byte) {
	c.t.Helper()
	if udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP); ok && udp.Checksum == 0xffff {
		return // gopacket writes 0, which means that there is no checksum
	}
	var stack []gopacket.SerializableLayer
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.TCP:
			_ = l.SetNetworkLayerForChecksum(p.NetworkLayer())
		case *layers.UDP:
			_ = l.SetNetworkLayerForChecksum(p.NetworkLayer())
		case *layers.IPv6HopByHop:
			l.Options = []*layers.IPv6HopByHopOption{{OptionType: 1, OptionData: make([]byte, 4)}}
		}
		if s, ok := l.(gopacket.SerializableLayer); ok {
			stack = append(stack, s)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		c.t.Fatalf("%v: %v", c.s, err)
	}
	want := buf.Bytes()
	if !bytes.Equal(want[:len(b)], b) {
		c.t.Fatalf("%v: piece %d\n got %x\nwant %x", c.s, c.n, b[:min(len(b), 120)], want[:min(len(want), 120)])
	}
}

func (c *check) tcp(tcp *layers.TCP) {
	c.t.Helper()
	if want := uint32(firstSeq + uint64(len(c.data))); tcp.Seq != want {
		c.t.Fatalf("%v: segment %d has sequence number %d, want %d", c.s, c.n, tcp.Seq, want)
	}
	if c.lastFIN || c.lastPSH {
		c.t.Fatalf("%v: FIN or PSH before the last segment", c.s)
	}
	c.lastFIN, c.lastPSH = tcp.FIN, tcp.PSH
	if first := c.n == 1; tcp.CWR != (first && c.s.flags.CWR) || tcp.ECE != c.s.flags.ECE {
		c.t.Fatalf("%v: segment %d has CWR %v ECE %v", c.s, c.n, tcp.CWR, tcp.ECE)
	}
}

// whole compares what the pieces carry together with what was to be sent.
func (c *check) whole(data []byte) {
	c.t.Helper()
	if len(c.ip) > 0 && c.s.gso == packet.GSOUDP && c.data == nil {
		udp := layers.UDP{}
		if err := udp.DecodeFromBytes(c.ip, gopacket.NilDecodeFeedback); err != nil {
			c.t.Fatalf("%v: %v", c.s, err)
		}
		c.data = udp.Payload
	}
	if !bytes.Equal(c.data, data) {
		c.t.Fatalf("%v: %d bytes came out, %d went in, or they differ", c.s, len(c.data), len(data))
	}
	if c.s.gso == packet.GSOTCPv4 || c.s.gso == packet.GSOTCPv6 {
		if c.lastFIN != c.s.flags.FIN || c.lastPSH != c.s.flags.PSH {
			c.t.Fatalf("%v: the last segment has FIN %v PSH %v", c.s, c.lastFIN, c.lastPSH)
		}
		if want := max(1, (len(data)+c.s.size-1)/c.s.size); c.n != want {
			c.t.Fatalf("%v: %d segments, want %d", c.s, c.n, want)
		}
	}
}

// TestFinisherByTshark lets tshark judge the checksums of cut frames, fragments
// put together by itself.
func TestFinisherByTshark(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("tshark: CI must have it")
		}
		t.Skip("tshark is not installed")
	}
	file := filepath.Join(t.TempDir(), "cut.pcap")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := pcapgo.NewWriter(out)
	_ = w.WriteFileHeader(1<<18, layers.LinkTypeEthernet)
	r := rand.New(rand.NewPCG(3, 4))
	var fin Finisher
	pieces := 0
	for i := range 150 {
		s := randomSuper(r)
		s.mpls, s.size = 0, 500+r.IntN(2000)
		data := make([]byte, min(s.payload, 20000))
		f := s.build(t, data)
		f.Bytes()[11] = byte(i) // a conversation of its own, so that equal fragments are not taken for repeats
		if _, ok := fin.Begin(f, 0); !ok {
			t.Fatalf("%v: refused", s)
		}
		for b := fin.Next(); b != nil; b = fin.Next() {
			at := time.Unix(int64(i)*100, 0)
			if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(b), Length: len(b)}, b); err != nil {
				t.Fatal(err)
			}
			pieces++
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	tshark := func(filter string) []string {
		text, err := exec.Command("tshark", "-r", file, "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
			"-o", "ip.check_checksum:TRUE", "-Y", filter).Output()
		if err != nil {
			t.Fatalf("tshark %s: %v", filter, err)
		}
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	if bad := tshark(`ip.checksum.status == "Bad" || tcp.checksum.status == "Bad" || udp.checksum.status == "Bad" || _ws.malformed || ip.checksum.status == "Unverified"`); bad[0] != "" {
		t.Errorf("tshark finds fault with %d of %d frames, first:\n%s", len(bad), pieces, bad[0])
	}
	good := tshark(`tcp.checksum.status == "Good" || udp.checksum.status == "Good"`)
	t.Logf("tshark: %d frames, %d with a good transport checksum, none bad", pieces, len(good))
	if len(good) < pieces/2 {
		t.Errorf("tshark verified only %d of %d frames", len(good), pieces)
	}
}
