package flowtable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// counts is a Sink that counts frames by port.
type counts [64]int

func (c *counts) Output(port, _ uint32, _ *packet.Frame) { c[port]++ }
func (c *counts) PacketIn(PacketIn)                      {}

// varyings are frames of which one header alone differs from one to the next.
var varyings = map[string]func(i int) []byte{
	"tcp_src": func(i int) []byte { return tcpFrame(ethernet{dst: "2", src: "1"}, 64, uint16(i), 80) },
	"udp_dst": func(i int) []byte { return udpFrame(ethernet{dst: "2", src: "1"}, 64, 9, uint16(i)) },
	"ipv4_src": func(i int) []byte {
		return withIP4(func(ip *layers.IPv4) { binary.BigEndian.PutUint32(ip.SrcIP, 0x0a000000+uint32(i)) })
	},
	"ipv4_dst": func(i int) []byte {
		return withIP4(func(ip *layers.IPv4) { binary.BigEndian.PutUint32(ip.DstIP, 0x0a000000+uint32(i)) })
	},
	"ip_proto": func(i int) []byte { return withIP4(func(ip *layers.IPv4) { ip.Protocol = layers.IPProtocol(i) }) },
	"ipv6_src": func(i int) []byte {
		return patched(tcp6Frame(ethernet{dst: "2", src: "1"}, 64, 5, 6), 14+20, uint32(i))
	},
	"ipv6_dst": func(i int) []byte {
		return patched(tcp6Frame(ethernet{dst: "2", src: "1"}, 64, 5, 6), 14+36, uint32(i))
	},
	"ipv6_label": func(i int) []byte {
		return patched(tcp6Frame(ethernet{dst: "2", src: "1"}, 64, 5, 6), 14, 0x60000000|uint32(i)&0xfffff)
	},
	"eth_src":  func(i int) []byte { return patched(build(ethernet{dst: "2", src: "1"}, 0x88b5), 8, uint32(i)) },
	"eth_dst":  func(i int) []byte { return patched(build(ethernet{dst: "2", src: "1"}, 0x88b5), 2, uint32(i)) },
	"eth_type": func(i int) []byte { return build(ethernet{dst: "2", src: "1"}, layers.EthernetType(0x9000+i&0xff)) },
	"vlan_vid": func(i int) []byte {
		return build(ethernet{dst: "2", src: "1", vlans: []uint16{uint16(i) & 0xfff}}, 0x88b5)
	},
	"inner vid": func(i int) []byte {
		return build(ethernet{dst: "2", src: "1", vlans: []uint16{5, uint16(i) & 0xfff}}, 0x88b5)
	},
	"arp_tpa": func(i int) []byte {
		return patched(arpFrame(ethernet{dst: broadcast, src: "1"}, 1, 1, 1), 38, uint32(i))
	},
	"arp_spa": func(i int) []byte {
		return patched(arpFrame(ethernet{dst: broadcast, src: "1"}, 1, 1, 1), 28, uint32(i))
	},
	"arp_sha": func(i int) []byte {
		return patched(arpFrame(ethernet{dst: broadcast, src: "1"}, 1, 1, 1), 24, uint32(i))
	},
	"mpls_label": func(i int) []byte { return mplsFrame(ethernet{dst: "2", src: "1"}, uint32(i), 64, true) },
	"inner label": func(i int) []byte {
		return patched(mplsFrame(ethernet{dst: "2", src: "1"}, 16, 64, false), 18, uint32(i)<<12|0x140)
	},
	"ipv4 below mpls": func(i int) []byte {
		return patched(mplsFrame(ethernet{dst: "2", src: "1"}, 16, 64, true), 18+12, uint32(i))
	},
	"udp below mpls": func(i int) []byte {
		return patched(mplsFrame(ethernet{dst: "2", src: "1"}, 16, 64, true), 18+20, uint32(i))
	},
	"address in pbb": func(i int) []byte { return patched(pbbFrame(), 14+4+2, uint32(i)) },
	"pbb_isid":       func(i int) []byte { return patched(pbbFrame(), 14, uint32(i)&0xffffff) },
}

// patched writes four bytes over a frame; nothing on the way looks at checksums.
func patched(b []byte, at int, v uint32) []byte {
	binary.BigEndian.PutUint32(b[at:], v)
	return b
}

func withIP4(change func(*layers.IPv4)) []byte {
	ip := ip4(1, 2, 64, 253)
	change(ip)
	return build(ethernet{dst: "2", src: "1"}, layers.EthernetTypeIPv4, ip, gopacket.Payload("......"))
}

func pbbFrame() []byte {
	f := frameOf(1, anyFrame)
	f.Parse()
	f.PushPBB(0x88e7)
	return append([]byte(nil), f.Bytes()...)
}

// share sends n frames through a select group with these weights and tells each port's part.
func share(t *testing.T, c Config, n int, each func(i int) []byte, weights ...uint16) []float64 {
	t.Helper()
	r := newRig(t, c, upPorts(len(weights)+1))
	var buckets []openflow.Bucket
	for i, w := range weights {
		buckets = append(buckets, weighted(w, openflow.Output(openflow.PortNo(i+2))))
	}
	r.group(1, typeSelect, buckets...)
	r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Group(1))) // the cache's key is in_port alone
	var sum counts
	f := packet.NewFrame(2000)
	for i := range n {
		f.SetBytes(each(i))
		f.InPort = 1
		r.proc.Process(0, []*packet.Frame{f}, &sum)
	}
	parts := make([]float64, len(weights))
	total := 0
	for i, b := range r.GroupStats(0, 1)[0].PerBucket {
		if int(b.Packets) != sum[i+2] {
			t.Errorf("bucket %d counted %d, port %d got %d", i, b.Packets, i+2, sum[i+2])
		}
		parts[i] = float64(b.Packets) / float64(n)
		total += sum[i+2]
	}
	if total != n {
		t.Errorf("%d of %d frames came out", total, n)
	}
	return parts
}

// TestAnyHeaderSpreads: whichever header varies, all buckets of equal weight get about their part.
// The cache's key holds none of those headers.
func TestAnyHeaderSpreads(t *testing.T) {
	for name, each := range varyings {
		t.Run(name, func(t *testing.T) {
			eachPath(t, func(t *testing.T, c Config) {
				n := 3000
				switch name {
				case "eth_type", "ip_proto":
					n = 250
				}
				for i, p := range share(t, c, n, each, 1, 1, 1, 1) {
					if math.Abs(p-0.25) > 0.1 {
						t.Errorf("bucket %d got %.3f of the flows, expected 0.25", i, p)
					}
				}
			})
		})
	}
}

// TestFewFlowsSpread: a hundred flows whose one field counts up reach all of three buckets, whatever the
// seed. Every bucket has about 33; by chance one has less than 10 once in 10^8.
func TestFewFlowsSpread(t *testing.T) {
	for name, each := range varyings {
		for seed := range uint64(100) {
			for i, p := range share(t, Config{HashSeed: seed + 1}, 100, each, 1, 1, 1) {
				if p < 0.1 {
					t.Errorf("%s, seed %d: bucket %d got %.0f of 100 flows", name, seed+1, i, 100*p)
				}
			}
		}
	}
}

// TestFlowsKeepTheirBucket: what changes within a flow does not move it.
func TestFlowsKeepTheirBucket(t *testing.T) {
	same := map[string]func(i int) []byte{
		"ttl and length": func(i int) []byte {
			b := udpFrame(ethernet{dst: "2", src: "1"}, uint8(1+i%200), 5, 6)
			b[15], b[19] = byte(i), byte(i) // TOS, identification
			return append(b, make([]byte, i%100)...)
		},
		"tcp flags": func(i int) []byte {
			b := tcpFrame(ethernet{dst: "2", src: "1"}, 64, 5, 6)
			b[47] = byte(i)
			return patched(b, 38, uint32(i)) // the sequence number
		},
		"fragments": func(i int) []byte {
			ip := ip4(1, 2, 9, layers.IPProtocolUDP)
			ip.FragOffset, ip.Flags = uint16(i%20), layers.IPv4MoreFragments
			return build(ethernet{dst: "2", src: "1"}, layers.EthernetTypeIPv4, ip, gopacket.Payload(fmt.Appendf(nil, "%08d", i)))
		},
		"pcp": func(i int) []byte {
			return build(ethernet{dst: "2", src: "1", vlans: []uint16{uint16(i)<<13 | 5}}, 0x88b5)
		},
		"mpls ttl": func(i int) []byte { return mplsFrame(ethernet{dst: "2", src: "1"}, 16, uint8(i), true) },
	}
	for name, each := range same {
		parts := share(t, Config{}, 300, each, 1, 1, 1, 1, 1, 1, 1, 1)
		whole := false
		for _, p := range parts {
			whole = whole || p == 1
		}
		if !whole {
			t.Errorf("%s: one flow went to %v", name, parts)
		}
	}
}

// TestWeights: over 100,000 flows every bucket gets its weight's part, within 2 % of the whole and,
// as long as the part is not tiny, within 2 % of the part.
func TestWeights(t *testing.T) {
	const n = 100_000
	udp := udpFrame(ethernet{dst: "2", src: "1"}, 64, 1, 2)
	flows := map[string]func(i int) []byte{
		"ports in turn": func(i int) []byte {
			binary.BigEndian.PutUint16(udp[34:], uint16(i))
			udp[33] = byte(i >> 16)
			return udp
		},
		"addresses in turn": func(i int) []byte { return patched(udp, 26, 0x0a000000+uint32(i)) },
		"at random": func(i int) []byte {
			x := mix(uint64(i)+1, 0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93
			binary.BigEndian.PutUint64(udp[26:], x)
			binary.BigEndian.PutUint32(udp[34:], uint32(mix(x, hashPrime)))
			return udp
		},
	}
	for name, each := range flows {
		if testing.Short() && name != "at random" {
			continue
		}
		for _, weights := range [][]uint16{{1, 1}, {1, 2, 3, 4}, {50, 100}, {65535, 1, 0, 30000}, {10, 20, 30, 40, 50, 60, 70, 80}} {
			sum := 0.0
			for _, w := range weights {
				sum += float64(w)
			}
			for seed := range uint64(2) {
				for i, p := range share(t, Config{HashSeed: seed*1000003 + 1}, n, each, weights...) {
					want := float64(weights[i]) / sum
					limit := 0.02*want + 3*math.Sqrt(want*(1-want)/n) // three standard deviations are chance
					if math.Abs(p-want) > max(limit, 0.0005) {
						t.Errorf("%s, weights %v, seed %d: bucket %d got %.4f, expected %.4f", name, weights, seed, i, p, want)
					}
				}
			}
		}
	}
}

// TestChainedSelectsAreIndependent: the second group halves what the first one gave it.
func TestChainedSelectsAreIndependent(t *testing.T) {
	r := newRig(t, Config{}, upPorts(9))
	for g := range uint32(2) {
		r.group(1+g, typeSelect, weighted(1, openflow.Output(openflow.PortNo(2+2*g))), weighted(1, openflow.Output(openflow.PortNo(3+2*g))))
	}
	r.group(3, typeSelect, weighted(1, openflow.Group(1)), weighted(1, openflow.Group(2)))
	r.flow(0, 1, inPort(1), openflow.WriteActions(openflow.Group(3)))
	var sum counts
	const n = 20000
	for i := range n {
		r.proc.Process(0, []*packet.Frame{frameOf(1, patched(bytes.Clone(anyFrame), 26, uint32(i)))}, &sum)
	}
	for port := 2; port <= 5; port++ {
		if p := float64(sum[port]) / n; math.Abs(p-0.25) > 0.02 {
			t.Errorf("port %d got %.3f, expected 0.25", port, p)
		}
	}
}

// TestSelectLiveness: the flows of a dead bucket, and no others, move; they spread by weight. A bucket
// that names no watch is dead while its port is down.
func TestSelectLiveness(t *testing.T) {
	for _, watch := range []bool{true, false} {
		r := newRig(t, Config{}, nil)
		var buckets []openflow.Bucket
		for i := range 4 {
			b := weighted(uint16(1+i), openflow.Output(openflow.PortNo(2+i)))
			if watch {
				b.WatchPort = openflow.PortNo(2 + i)
			}
			buckets = append(buckets, b)
		}
		r.group(1, typeSelect, buckets...)
		r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Group(1)))
		const n = 20000
		run := func(down ...int) (to [n]uint32) {
			ports := upPorts(5)
			for _, d := range down {
				ports[d-1].LinkUp = false
			}
			r.SetPorts(ports)
			for i := range to {
				if out := r.outPorts(1, patched(bytes.Clone(anyFrame), 26, uint32(i))); len(out) == 1 {
					to[i] = out[0]
				}
			}
			return to
		}
		before, after := run(), run(5)
		var moved counts
		all := 0
		for i := range before {
			switch {
			case before[i] == 5:
				moved[after[i]]++
				all++
			case before[i] != after[i]:
				t.Fatalf("flow %d moved from port %d to %d", i, before[i], after[i])
			}
		}
		for port := 2; port <= 4; port++ { // weights 1, 2 and 3 of 6
			if p, want := float64(moved[port])/float64(all), float64(port-1)/6; math.Abs(p-want) > 0.03 {
				t.Errorf("port %d took over %.3f, expected %.3f", port, p, want)
			}
		}
		var left counts
		for _, port := range run(3, 4, 5) {
			left[port]++
		}
		if left[2] != n {
			t.Errorf("with one live bucket: %v", left[:6])
		}
		if to := run(2, 3, 4, 5); to != [n]uint32{} {
			t.Error("with no live bucket something came out")
		}
	}
}

// TestWatchGroup: liveness through groups, followed at every change of ports and groups.
func TestWatchGroup(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(6))
		r.group(1, typeFailover, watching(2, openflow.Output(2)), watching(3, openflow.Output(3)))
		r.group(2, typeFailover, watching(4, openflow.Output(4)))
		r.group(3, typeFailover, watchingGroup(1, openflow.Group(1)), watchingGroup(2, openflow.Group(2)), watching(openflow.PortLocal, openflow.Output(5)))
		r.group(4, typeFailover, watchingGroup(3, openflow.Group(3)), watching(6, openflow.Output(6)))
		r.flow(0, 1, inPort(1), openflow.ApplyActions(openflow.Group(4)))
		check := func(want uint32, up ...uint32) {
			t.Helper()
			list := []Port{{No: 1, LinkUp: true}}
			for _, no := range up {
				list = append(list, Port{No: no, LinkUp: true})
			}
			list = append(list, Port{No: 5, LinkUp: true})
			r.SetPorts(list)
			got := r.outPorts(1, anyFrame)
			if len(got) != 1 && want != 0 || len(got) == 1 && got[0] != want {
				t.Errorf("with %v up: went to %v, expected %d", up, got, want)
			}
		}
		check(2, 2, 3, 4, 6)
		check(3, 3, 4, 6)
		check(4, 4, 6)
		check(6, 6)
		check(5, uint32(openflow.PortLocal))
		check(0)
		check(4, 4)
		r.group(2, typeFailover) // no bucket, so not live
		check(6, 4, 6)
		r.group(2, typeAll, bucketOf(openflow.Output(5))) // watches nothing: live
		check(5, 4, 6)
		r.group(1, typeFailover, watching(6, openflow.Output(6)))
		check(6, 4, 6)
	})
}
