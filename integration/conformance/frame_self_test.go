package conformance

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// TestFrames has another program write the frames again: gopacket reads them and serialises what it
// read, with lengths and checksums of its own.
func TestFrames(t *testing.T) {
	for _, list := range [][]header{
		{eth{}, ip4{}, tcp{}, text("hello")},
		{eth{}, vlan{vid: 5, pcp: 3}, ip4{ttl: 9, dscp: 10, ecn: 1}, udp{dst: 5300}, text("odd")},
		{eth{}, vlan{tpid: 0x88a8, vid: 7}, vlan{vid: 5}, ip4{}, icmp{}, text("ping")},
		{eth{}, ip4{}, sctp{}, fromHex("0b 00 00 04")},
		{eth{}, ip6{flabel: 0x12345, dscp: 46}, tcp{}, text("hello")},
		{eth{}, ip6{}, udp{}, text("hello")},
		{eth{}, ip6{}, hopByHop(), destination(), udp{}, text("hello")},
		{eth{}, mpls{label: 17}, mpls{label: 18, tc: 5}, ip4{}, udp{}, text("hello")},
		{eth{}, arp{}},
	} {
		want := frame(list...)
		p := gopacket.NewPacket(want, layers.LayerTypeEthernet, gopacket.Default)
		if e := p.ErrorLayer(); e != nil {
			t.Errorf("%x: %v", want, e.Error())
			continue
		}
		for _, l := range p.Layers() {
			if n := p.NetworkLayer(); n != nil {
				if c, has := l.(interface {
					SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
				}); has {
					must(t, c.SetNetworkLayerForChecksum(n))
				}
			}
		}
		again := gopacket.NewSerializeBuffer()
		must(t, gopacket.SerializePacket(again, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, p))
		if !bytes.HasPrefix(again.Bytes(), want) { // it pads to sixty bytes
			t.Errorf("%T...:\n here     %x\n gopacket %x", list[1], want, again.Bytes())
		}
	}
}
