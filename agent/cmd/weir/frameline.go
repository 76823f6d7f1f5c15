// Slow path: a frame in one line.

package main

import (
	"fmt"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// frameLine says what a frame is, from the outside in. b may be only its beginning.
func frameLine(b []byte) string {
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true})
	var words []string
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	last := layers.EthernetType(0)
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.Ethernet:
			add("%s > %s", l.SrcMAC, l.DstMAC)
			if last = l.EthernetType; last == layers.EthernetTypeLLC { // gopacket's word for a length
				last = layers.EthernetType(max(1, l.Length))
			}
		case *layers.Dot1Q:
			add("vlan %d", l.VLANIdentifier)
			last = l.Type
		case *layers.MPLS:
			add("mpls %d", l.Label)
			last = 0
		case *layers.ARP:
			words, last = append(words, arpWords(l)), 0
		case *layers.IPv4:
			add("%s > %s", l.SrcIP, l.DstIP)
			if last = 0; l.FragOffset != 0 || l.Flags&layers.IPv4MoreFragments != 0 {
				add("fragment at %d of %s", int(l.FragOffset)*8, protocolWord(l.Protocol))
			} else if p.TransportLayer() == nil && l.Protocol != layers.IPProtocolICMPv4 {
				add("%s", protocolWord(l.Protocol))
			}
		case *layers.IPv6:
			add("%s > %s", l.SrcIP, l.DstIP)
			last = 0
		case *layers.IPv6Fragment:
			add("fragment at %d of %s", int(l.FragmentOffset)*8, protocolWord(l.NextHeader))
		case *layers.TCP:
			add("tcp %d > %d %s", l.SrcPort, l.DstPort, tcpFlags(l))
		case *layers.UDP:
			add("udp %d > %d", l.SrcPort, l.DstPort)
		case *layers.SCTP:
			add("sctp %d > %d", l.SrcPort, l.DstPort)
		case *layers.ICMPv4:
			add("icmp %s", l.TypeCode)
		case *layers.ICMPv6:
			add("icmp6 %s", l.TypeCode)
		case *layers.LinkLayerDiscovery:
			add("lldp")
			last = 0
		}
	}
	switch {
	case len(words) == 0:
		return "not an Ethernet frame"
	case last > 1535:
		add("type 0x%04x", uint16(last))
	case last != 0:
		add("802.3")
	}
	return strings.Join(words, ", ")
}

func protocolWord(p layers.IPProtocol) string {
	return fmt.Sprintf("%s (protocol %d)", strings.ToLower(p.String()), uint8(p))
}

func arpWords(a *layers.ARP) string {
	if len(a.SourceProtAddress) != 4 || len(a.DstProtAddress) != 4 {
		return fmt.Sprintf("arp operation %d", a.Operation)
	}
	from, to := ip4(a.SourceProtAddress), ip4(a.DstProtAddress)
	switch a.Operation {
	case layers.ARPRequest:
		return fmt.Sprintf("arp who-has %s tell %s", to, from)
	case layers.ARPReply:
		return fmt.Sprintf("arp %s is-at %s", from, mac(a.SourceHwAddress))
	}
	return fmt.Sprintf("arp operation %d, %s > %s", a.Operation, from, to)
}

func ip4(b []byte) string { return fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3]) }

func mac(b []byte) string {
	return strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf("% x", b)), " ", ":")
}

func tcpFlags(l *layers.TCP) string {
	var s []string
	for _, f := range []struct {
		set  bool
		name string
	}{{l.SYN, "SYN"}, {l.FIN, "FIN"}, {l.RST, "RST"}, {l.PSH, "PSH"}, {l.ACK, "ACK"}, {l.URG, "URG"}, {l.ECE, "ECE"}, {l.CWR, "CWR"}} {
		if f.set {
			s = append(s, f.name)
		}
	}
	return strings.Join(s, "|")
}
