package main

import (
	"net"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/agent"
)

// TestFrameLine: one frame of each kind, and those at the edges between kinds.
func TestFrameLine(t *testing.T) {
	eth := func(typ layers.EthernetType) *layers.Ethernet {
		return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: typ}
	}
	const head = "02:00:00:00:00:01 > 02:00:00:00:00:02"
	ip := func(p layers.IPProtocol) *layers.IPv4 {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: p, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}
	}
	const ips = ", 10.0.0.1 > 10.0.0.2"
	ip6 := func(p layers.IPProtocol) *layers.IPv6 {
		return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: p, SrcIP: net.ParseIP("fe80::1"), DstIP: net.ParseIP("fe80::2")}
	}
	const ip6s = ", fe80::1 > fe80::2"
	arp := func(operation uint16) *layers.ARP {
		return &layers.ARP{AddrType: 1, Protocol: 0x800, HwAddressSize: 6, ProtAddressSize: 4, Operation: operation, SourceHwAddress: []byte{2, 0, 0, 0, 0, 1},
			SourceProtAddress: []byte{10, 0, 0, 1}, DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 0, 2}}
	}
	later, first := ip(17), ip(17)
	later.FragOffset, first.Flags = 185, layers.IPv4MoreFragments
	udp := &layers.UDP{SrcPort: 53, DstPort: 1024}
	type list = []gopacket.SerializableLayer
	for _, c := range []struct {
		layers list
		want   string
	}{
		{list{eth(0x88b5)}, head + ", type 0x88b5"},
		{list{eth(0x0600)}, head + ", type 0x0600"},
		{list{eth(0), &layers.LLC{DSAP: 0x42, SSAP: 0x42, Control: 3}}, head + ", 802.3"},
		{list{eth(0x8100), &layers.Dot1Q{VLANIdentifier: 7, Type: 0x05ff}, gopacket.Payload(make([]byte, 46))}, head + ", vlan 7, 802.3"},
		{list{eth(0x8100), &layers.Dot1Q{VLANIdentifier: 7, Type: 0x88b5}}, head + ", vlan 7, type 0x88b5"},
		{list{eth(0x88a8), &layers.Dot1Q{VLANIdentifier: 4095, Type: 0x8100}, &layers.Dot1Q{VLANIdentifier: 1, Type: 0x0800}, ip(17), udp},
			head + ", vlan 4095, vlan 1" + ips + ", udp 53 > 1024"},
		{list{eth(0x8847), &layers.MPLS{Label: 1048575, TTL: 64, StackBottom: true}, ip(17), udp}, head + ", mpls 1048575" + ips + ", udp 53 > 1024"},
		{list{eth(0x0806), arp(1)}, head + ", arp who-has 10.0.0.2 tell 10.0.0.1"},
		{list{eth(0x0806), arp(2)}, head + ", arp 10.0.0.1 is-at 02:00:00:00:00:01"},
		{list{eth(0x0806), arp(3)}, head + ", arp operation 3, 10.0.0.1 > 10.0.0.2"},
		{list{eth(0x0800), ip(47)}, head + ips + ", gre (protocol 47)"},
		{list{eth(0x0800), later, gopacket.Payload(make([]byte, 8))}, head + ips + ", fragment at 1480 of udp (protocol 17)"},
		{list{eth(0x0800), first, gopacket.Payload(make([]byte, 8))}, head + ips + ", fragment at 0 of udp (protocol 17)"},
		{list{eth(0x0800), ip(6), &layers.TCP{SrcPort: 80, DstPort: 4711, SYN: true, ACK: true}}, head + ips + ", tcp 80 > 4711 SYN|ACK"},
		{list{eth(0x0800), ip(6), &layers.TCP{SrcPort: 1, DstPort: 2, FIN: true, RST: true, PSH: true, URG: true, ECE: true, CWR: true}},
			head + ips + ", tcp 1 > 2 FIN|RST|PSH|URG|ECE|CWR"},
		{list{eth(0x0800), ip(132), &layers.SCTP{SrcPort: 5, DstPort: 6}}, head + ips + ", sctp 5 > 6"},
		{list{eth(0x0800), ip(1), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}}, head + ips + ", icmp EchoRequest"},
		{list{eth(0x86dd), ip6(17), udp}, head + ip6s + ", udp 53 > 1024"},
		{list{eth(0x86dd), ip6(58), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}}, head + ip6s + ", icmp6 EchoRequest"},
		{list{eth(0x86dd), ip6(44), gopacket.Payload{17, 0, 0x05, 0xc8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}}, head + ip6s + ", fragment at 1480 of udp (protocol 17)"},
		{list{eth(0x88cc), gopacket.Payload{2, 2, 7, 'a', 4, 2, 7, 'b', 6, 2, 0, 120, 0, 0}}, head + ", lldp"},
		{list{gopacket.Payload("short")}, "not an Ethernet frame"},
	} {
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, c.layers...); err != nil {
			t.Fatal(err)
		}
		if got := frameLine(b.Bytes()); got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
}

// TestEveryRate: each rate is that of its own counter, also one that stands still, and none goes over to another thing by
// the same name.
func TestEveryRate(t *testing.T) {
	says := func(name string, got *float64, want float64) {
		t.Helper()
		if got == nil || *got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	bridge := func(n uint64) (b bridgeRow) {
		b.Name, b.PacketIns = "br0", n
		return b
	}
	port := func(rxp, rxb, txp, txb uint64, age time.Duration) (p portRow) {
		p.Name, p.RxPackets, p.RxBytes, p.TxPackets, p.TxBytes = "p", rxp, rxb, txp, txb
		p.Age = age
		return p
	}
	was, is := []shownRow{{bridge(10), []portRow{port(1, 2, 3, 4, 5)}}}, []shownRow{{bridge(12), []portRow{port(11, 22, 33, 44, 5)}}}
	shownRates(was, is, 2)
	p := is[0].PortList[0]
	says("packet-ins", is[0].PacketInRate, 1)
	says("rx packets", p.RxPacketRate, 5)
	says("rx bytes", p.RxByteRate, 10)
	says("tx packets", p.TxPacketRate, 15)
	says("tx bytes", p.TxByteRate, 20)
	list := []portRow{port(1, 2, 3, 4, 4)}
	portRates([]portRow{port(1, 2, 3, 4, 5)}, list, 2)
	if list[0].RxPacketRate != nil {
		t.Error("a port that was added anew has a rate")
	}
	bridges := []bridgeRow{bridge(10)}
	bridgeRates([]bridgeRow{bridge(10)}, bridges, 2)
	says("packet-ins that stand still", bridges[0].PacketInRate, 0)

	flow := func(table uint8, priority uint16, packets, bytes uint64) (f flowRow) {
		f.Table, f.Priority, f.Packets, f.Bytes, f.Duration = table, priority, packets, bytes, 1
		return f
	}
	flows := []flowRow{flow(1, 2, 13, 29), flow(2, 2, 5, 7), flow(1, 3, 5, 7)}
	flowRates([]flowRow{flow(1, 2, 3, 9)}, flows, 2) // as old as before: read twice within one tick
	says("packets of a flow", flows[0].PacketRate, 5)
	says("bytes of a flow", flows[0].ByteRate, 10)
	if flows[1].PacketRate != nil || flows[2].PacketRate != nil {
		t.Error("a flow of another table or priority has this one's rate")
	}

	group := func(id uint32, age time.Duration, of ...uint64) (g groupRow) {
		g.Group, g.Duration, g.Packets, g.Bytes = id, age, of[0], of[1]
		for i := 2; i < len(of); i += 2 {
			g.Buckets = append(g.Buckets, agent.BucketStatus{Packets: of[i], Bytes: of[i+1]})
		}
		return g
	}
	groups := []groupRow{group(1, 3, 11, 22, 33, 44, 55, 66), group(2, 2, 9, 9), group(3, 3, 9, 9, 9, 9)}
	groupRates([]groupRow{group(1, 3, 1, 2, 3, 4, 5, 6), group(2, 3, 1, 1), group(3, 3, 1, 1)}, groups, 2)
	says("packets of a group", groups[0].PacketRate, 5)
	says("bytes of a group", groups[0].ByteRate, 10)
	says("packets of a bucket", groups[0].BucketRates[0].PacketRate, 15)
	says("bytes of a bucket", groups[0].BucketRates[0].ByteRate, 20)
	says("packets of the second", groups[0].BucketRates[1].PacketRate, 25)
	says("bytes of the second", groups[0].BucketRates[1].ByteRate, 30)
	if groups[1].PacketRate != nil || groups[2].PacketRate != nil || len(groups[2].BucketRates) > 0 {
		t.Error("a group that was made anew, or has other buckets, has a rate")
	}

	meter := func(id uint32, age time.Duration, of ...uint64) (m meterRow) {
		m.ID, m.Duration, m.Packets, m.Bytes = id, age, of[0], of[1]
		for i := 2; i < len(of); i += 2 {
			m.Bands = append(m.Bands, agent.BandStatus{Packets: of[i], Bytes: of[i+1]})
		}
		return m
	}
	meters := []meterRow{meter(1, 3, 11, 22, 33, 44), meter(2, 2, 9, 9), meter(3, 3, 9, 9, 9, 9)}
	meterRates([]meterRow{meter(1, 3, 1, 2, 3, 4), meter(2, 3, 1, 1), meter(3, 3, 1, 1)}, meters, 2)
	says("packets of a meter", meters[0].PacketRate, 5)
	says("bytes of a meter", meters[0].ByteRate, 10)
	says("packets of a band", meters[0].BandRates[0].PacketRate, 15)
	says("bytes of a band", meters[0].BandRates[0].ByteRate, 20)
	if meters[1].PacketRate != nil || meters[2].PacketRate != nil || len(meters[2].BandRates) > 0 {
		t.Error("a meter that was made anew, or has other bands, has a rate")
	}
}
