package packet

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// checksums recomputes every checksum of a frame by gopacket. It returns the
// headers it looked at and those that are wrong.
func checksums(b []byte) (good, bad []string) {
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.NoCopy)
	var network gopacket.NetworkLayer
	judge := func(name string, have, want uint16) {
		if have == want {
			good = append(good, name)
		} else {
			bad = append(bad, fmt.Sprintf("%s: %#x, should be %#x", name, have, want))
		}
	}
	again := func(l gopacket.SerializableLayer, payload []byte) []byte {
		buf := gopacket.NewSerializeBuffer()
		room, _ := buf.PrependBytes(len(payload))
		copy(room, payload)
		if err := l.SerializeTo(buf, gopacket.SerializeOptions{ComputeChecksums: true}); err != nil {
			return make([]byte, 20)
		}
		return buf.Bytes()
	}
	for _, l := range p.Layers() {
		head := l.LayerContents()
		switch l := l.(type) {
		case *layers.IPv4:
			network = l
			judge("ipv4", be.Uint16(head[10:]), be.Uint16(again(l, l.Payload)[10:]))
		case *layers.IPv6:
			network = l
		case *layers.TCP:
			_ = l.SetNetworkLayerForChecksum(network)
			want := be.Uint16(again(l, l.Payload)[16:])
			// gopacket writes the three reserved bits as zero: add them back.
			sum := uint32(^want) + uint32(head[12]&0x0e)<<8
			judge("tcp", be.Uint16(head[16:]), ^uint16(sum+sum>>16))
		case *layers.UDP:
			if l.Checksum == 0 {
				continue
			}
			_ = l.SetNetworkLayerForChecksum(network)
			want := be.Uint16(again(l, l.Payload)[6:])
			if want == 0 {
				want = 0xffff
			}
			judge("udp", be.Uint16(head[6:]), want)
		case *layers.ICMPv4:
			judge("icmp", be.Uint16(head[2:]), be.Uint16(again(l, l.Payload)[2:]))
		case *layers.ICMPv6:
			_ = l.SetNetworkLayerForChecksum(network)
			judge("icmp6", be.Uint16(head[2:]), be.Uint16(again(l, l.Payload)[2:]))
		case *layers.SCTP:
			whole := append([]byte(nil), head...)
			whole = append(whole, l.Payload...)
			have := binary.LittleEndian.Uint32(whole[8:])
			clear(whole[8:12])
			want := crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli))
			judge("sctp", uint16(have), uint16(want))
			judge("sctp high", uint16(have>>16), uint16(want>>16))
		}
	}
	return good, bad
}

// unwrap pops what gopacket cannot look into.
func unwrap(f *Frame) {
	for range 200 {
		switch b := f.Bytes(); {
		case f.isPBB():
			for f.Layout.VLANs > 0 {
				f.PopVLAN()
			}
			f.PopPBB()
		case f.isMPLS():
			f.PopMPLS(below(f, b))
		case f.Layout.VLANs > 0:
			f.PopVLAN()
		default:
			return
		}
	}
}

// below is the type of what lies under the outermost MPLS entry.
func below(f *Frame, b []byte) uint16 {
	at := int(f.Layout.L25)
	if b[at+2]&1 == 0 {
		return typeMPLS
	}
	if len(b) > at+4 && b[at+4]>>4 == 6 {
		return typeIPv6
	}
	return typeIPv4
}

// opaque samples are those whose transport checksum gopacket gets wrong: it
// does not know that a routing header names the final destination.
func opaque(name string) bool {
	return name == "ip6-routing" || name == "ip6-segment-routing"
}

// TestSamplesVerify makes sure that the judge finds the samples right.
func TestSamplesVerify(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range samples(t) {
		f := parsed(s.bytes)
		unwrap(f)
		good, bad := checksums(f.Bytes())
		if len(bad) > 0 && !opaque(s.Name) {
			t.Errorf("%s: %v", s.Name, bad)
		}
		for _, g := range good {
			seen[g] = true
		}
	}
	for _, want := range []string{"ipv4", "tcp", "udp", "icmp", "icmp6", "sctp"} {
		if !seen[want] {
			t.Errorf("no sample has a checksum of %s", want)
		}
	}
	b := sampleNamed(t, "tcp")
	b[50] ^= 1
	if _, bad := checksums(b); len(bad) != 1 {
		t.Errorf("a corrupted segment is judged %v", bad)
	}
}
