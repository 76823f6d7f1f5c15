package ports

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
)

// transportPacket is an IP packet with a right checksum, and where that is.
func transportPacket(v6 bool, proto byte, data []byte) (b []byte, l4, field int) {
	head := map[byte]int{protoTCP: 20, protoUDP: 8, protoSCTP: 12}[proto]
	field = map[byte]int{protoTCP: 16, protoUDP: 6, protoSCTP: 8}[proto]
	seg := slices.Concat(make([]byte, head), data)
	be.PutUint16(seg, 4000)
	be.PutUint16(seg[2:], 5000)
	switch proto {
	case protoTCP:
		seg[12] = 5 << 4
	case protoUDP:
		be.PutUint16(seg[4:], uint16(len(seg)))
	}
	var ip []byte
	var pseudo uint64
	if v6 {
		ip = make([]byte, 40)
		ip[0], ip[6], ip[7], ip[23], ip[39] = 6<<4, proto, 64, 1, 2
		be.PutUint16(ip[4:], uint16(len(seg)))
		pseudo = packet.PseudoHeaderSum(ip[8:24], ip[24:40], proto, len(seg))
	} else {
		ip = []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}
		be.PutUint16(ip[2:], uint16(20+len(seg)))
		putChecksum(ip[10:], packet.Sum16(ip, 0), false)
		pseudo = packet.PseudoHeaderSum(ip[12:16], ip[16:20], proto, len(seg))
	}
	if proto == protoSCTP {
		putSCTPChecksum(seg)
	} else {
		putChecksum(seg[field:], packet.Sum16(seg, pseudo), proto == protoUDP)
	}
	return slices.Concat(ip, seg), len(ip), len(ip) + field
}

// leaveChecksum puts into a right packet what a sender with an offload leaves there.
func leaveChecksum(b []byte, v6 bool, proto byte, l4, field int) {
	switch {
	case proto == protoSCTP:
		clear(b[field : field+4])
	case v6:
		be.PutUint16(b[field:], packet.Fold(packet.PseudoHeaderSum(b[8:24], b[24:40], proto, len(b)-l4)))
	default:
		be.PutUint16(b[field:], packet.Fold(packet.PseudoHeaderSum(b[12:16], b[16:20], proto, len(b)-l4)))
	}
}

// TestUnfinishedChecksum leaves checksums to the device, plain, tagged, padded
// and in tunnels. They are found, and finishing them makes the right frame;
// right frames and broken ones are left alone.
func TestUnfinishedChecksum(t *testing.T) {
	eth := func(v6 bool, tags ...byte) []byte {
		b := append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, tags...)
		if v6 {
			return append(b, 0x86, 0xdd)
		}
		return append(b, 8, 0)
	}
	outer := func(proto byte, header []byte, inside int) []byte {
		ip := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, proto, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}
		be.PutUint16(ip[2:], uint16(20+len(header)+inside))
		putChecksum(ip[10:], packet.Sum16(ip, 0), false)
		return slices.Concat(ip, header)
	}
	udp := func(port uint16, length int) []byte {
		b := make([]byte, 8)
		be.PutUint16(b, 3333)
		be.PutUint16(b[2:], port)
		be.PutUint16(b[4:], uint16(8+length)) // and no checksum of its own
		return b
	}
	wraps := map[string]func(p []byte, v6 bool) (before []byte, padding int){
		"plain":  func(p []byte, v6 bool) ([]byte, int) { return eth(v6), 0 },
		"padded": func(p []byte, v6 bool) ([]byte, int) { return eth(v6), 9 },
		"QinQ": func(p []byte, v6 bool) ([]byte, int) {
			return eth(v6, 0x88, 0xa8, 0, 5, 0x81, 0, 0, 6), 0
		},
		"ipip": func(p []byte, v6 bool) ([]byte, int) {
			proto := byte(protoIPIP)
			if v6 {
				proto = protoIPv6
			}
			return slices.Concat(eth(false), outer(proto, nil, len(p))), 0
		},
		"gre-key": func(p []byte, v6 bool) ([]byte, int) {
			head := slices.Concat([]byte{0x20, 0, 0x65, 0x58, 1, 2, 3, 4}, eth(v6))
			return slices.Concat(eth(false), outer(protoGRE, head, len(p))), 0
		},
		"vxlan": func(p []byte, v6 bool) ([]byte, int) {
			head := slices.Concat(make([]byte, 8), eth(v6, 0x81, 0, 0, 7))
			return slices.Concat(eth(false), outer(protoUDP, slices.Concat(udp(portVXLAN, len(head)+len(p)), head), len(p))), 0
		},
		"geneve": func(p []byte, v6 bool) ([]byte, int) {
			head := slices.Concat([]byte{1, 0, 0x65, 0x58, 0, 0, 1, 0, 9, 9, 9, 9}, eth(v6))
			return slices.Concat(eth(false), outer(protoUDP, slices.Concat(udp(portGeneve, len(head)+len(p)), head), len(p))), 0
		},
	}
	random := rand.New(rand.NewPCG(1, 2))
	for name, wrap := range wraps {
		for _, proto := range []byte{protoTCP, protoUDP, protoSCTP} {
			for _, v6 := range []bool{false, true} {
				data := make([]byte, 1+random.IntN(60))
				for i := range data {
					data[i] = byte(random.Uint32())
				}
				p, l4, field := transportPacket(v6, proto, data)
				before, padding := wrap(p, v6)
				frame := func() []byte { return slices.Concat(before, p, make([]byte, padding)) }
				right := frame()
				if o := unfinishedChecksum(right); o.NeedsCsum {
					t.Errorf("%s, protocol %d, v6 %v: a right frame is found unfinished: %+v", name, proto, v6, o)
				}
				p[field] ^= 0x5a
				if proto == protoSCTP {
					p[field] |= 1
				}
				if o := unfinishedChecksum(frame()); o.NeedsCsum {
					t.Errorf("%s, protocol %d, v6 %v: a broken frame would be mended: %+v", name, proto, v6, o)
				}
				leaveChecksum(p, v6, proto, l4, field)
				f := packet.NewFrame(0)
				f.SetBytes(frame())
				f.Offload = unfinishedChecksum(f.Bytes())
				if !f.Offload.NeedsCsum || int(f.Offload.CsumStart) != len(before)+l4 {
					t.Errorf("%s, protocol %d, v6 %v: not found: %+v", name, proto, v6, f.Offload)
					continue
				}
				var fin Finisher
				if _, ok := fin.Begin(f, 1500); !ok {
					t.Fatal("refused")
				}
				if got := fin.Next(); !bytes.Equal(got, right) {
					t.Errorf("%s, protocol %d, v6 %v: finished\n got %x\nwant %x", name, proto, v6, got, right)
				}
			}
		}
	}
}

// TestUnfinishedByChance makes a right checksum that equals the pseudo-header's
// sum: such a frame is finished.
func TestUnfinishedByChance(t *testing.T) {
	for n := range 65536 {
		p, l4, field := transportPacket(false, protoTCP, []byte{byte(n >> 8), byte(n)})
		right := be.Uint16(p[field:])
		leaveChecksum(p, false, protoTCP, l4, field)
		if be.Uint16(p[field:]) != right {
			continue
		}
		if o := unfinishedChecksum(slices.Concat(make([]byte, 12), []byte{8, 0}, p)); o.NeedsCsum {
			t.Errorf("found unfinished: %+v", o)
		}
		return
	}
	t.Fatal("no such frame was made")
}

func FuzzUnfinishedChecksum(f *testing.F) {
	p, _, _ := transportPacket(false, protoUDP, []byte("data"))
	f.Add(slices.Concat(make([]byte, 12), []byte{8, 0}, p))
	f.Add(slices.Concat(make([]byte, 12), []byte{8, 0, 0x45, 0, 0, 44, 0, 0, 0, 0, 64, 47, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 8, 0}, p))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o := unfinishedChecksum(b); o.NeedsCsum && int(o.CsumStart)+int(o.CsumOffset)+2 > len(b) {
			t.Errorf("beyond the frame: %+v", o)
		}
	})
}
