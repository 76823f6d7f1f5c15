package ports

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/flowtable/packet"
)

// TestRefragment cuts packets that were put together and has gopacket read the pieces: none longer
// than the fragments that came or the MTU, all with the packet's number, and together the packet.
func TestRefragment(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var fin Finisher
	for range 600 {
		s := randomSuper(r)
		s.gso, s.noCsum = packet.GSOFrag, true
		data := make([]byte, 1500+r.IntN(20000))
		f := s.build(t, data)
		whole := bytes.Clone(f.Bytes())
		f.Offload = packet.Offload{GSO: packet.GSOFrag, GSOSize: uint16(576 + r.IntN(2000)), FragID: r.Uint32()}
		mtu := []int{0, 1280, 1500, 9000}[r.IntN(4)]
		if reason, ok := fin.Begin(f, mtu); !ok {
			t.Fatalf("%v: refused as %v", s, reason)
		}
		var pieces [][]byte
		for b := fin.Next(); b != nil; b = fin.Next() {
			pieces = append(pieces, bytes.Clone(b))
		}
		if !bytes.Equal(whole, f.Bytes()) {
			t.Fatalf("%v: the frame itself was changed", s)
		}
		l3 := 14 + 4*len(s.tags) + 4*s.mpls
		if len(pieces) == 1 {
			if !fits(whole, mtu) || mtu == 0 && len(whole)-l3 > int(f.Offload.GSOSize) || !bytes.Equal(pieces[0], whole) {
				t.Fatalf("%v, MTU %d: one piece of %d bytes", s, mtu, len(pieces[0]))
			}
			continue
		}
		if fits(whole, mtu) && mtu != 0 {
			t.Fatalf("%v: cut, though it fits into %d", s, mtu)
		}
		for _, b := range pieces {
			if !fits(b, mtu) || len(b)-l3 > int(f.Offload.GSOSize) {
				t.Fatalf("%v, MTU %d, fragments of %d: a piece of %d bytes", s, mtu, f.Offload.GSOSize, len(b)-l3)
			}
		}
		if got := join(t, pieces, l3, f.Offload.FragID); !bytes.Equal(got, whole) {
			t.Fatalf("%v: the pieces make\n%x\nnot\n%x", s, got[:100], whole[:100])
		}
	}
}

// join puts fragments together, which are complete and in order.
func join(t *testing.T, pieces [][]byte, l3 int, id uint32) []byte {
	t.Helper()
	var whole []byte
	at := 0
	for i, b := range pieces {
		more, last := false, i == len(pieces)-1
		var data []byte
		p := gopacket.NewPacket(b[l3:], layers.LayerTypeIPv4, gopacket.Default)
		if b[l3]>>4 == 6 {
			p = gopacket.NewPacket(b[l3:], layers.LayerTypeIPv6, gopacket.Default)
			h := p.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
			more, data = h.MoreFragments, h.Payload
			if int(h.FragmentOffset)*8 != at || h.Identification != id {
				t.Fatalf("fragment %d: offset %d, want %d; number %x, want %x", i, h.FragmentOffset*8, at, h.Identification, id)
			}
			if i == 0 {
				head := len(b) - len(data) - 8
				whole = append(whole, b[:head]...)
				named := l3 + 6
				if head > l3+40 {
					named = l3 + 40
				}
				whole[named] = byte(h.NextHeader)
			}
		} else {
			ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
			more, data = ip.Flags&layers.IPv4MoreFragments != 0, ip.Payload
			if int(ip.FragOffset)*8 != at || ip.Id != firstID || int(ip.Length) != len(b)-l3 ||
				packet.Fold(packet.Sum16(ip.Contents, 0)) != 0xffff {
				t.Fatalf("fragment %d: %+v", i, ip)
			}
			if i == 0 {
				whole = append(whole, b[:len(b)-len(data)]...)
			}
		}
		if more == last {
			t.Fatalf("fragment %d of %d: more fragments %v", i, len(pieces), more)
		}
		whole, at = append(whole, data...), at+len(data)
	}
	ip := whole[l3:]
	if ip[0]>>4 == 6 {
		be.PutUint16(ip[4:], uint16(len(ip)-40))
		return whole
	}
	be.PutUint16(ip[2:], uint16(len(ip)))
	be.PutUint16(ip[6:], be.Uint16(ip[6:])&0x4000)
	be.PutUint16(ip[10:], 0)
	putChecksum(ip[10:], packet.Sum16(ip[:int(ip[0]&15)*4], 0), false)
	return whole
}

// TestRefragmentKeeps: Don't Fragment stays; of the options later fragments have those that say so (RFC 791, 3.1).
func TestRefragmentKeeps(t *testing.T) {
	f := super{options: true, gso: packet.GSOFrag, noCsum: true}.build(t, make([]byte, 3000))
	b := f.Bytes()
	options := []byte{7, 3, 4, 130}
	copy(b[34:], options) // record route, which is not copied, and half of what is no option
	be.PutUint16(b[20:], 0x4000)
	f.Offload = packet.Offload{GSO: packet.GSOFrag, GSOSize: 1500}
	var fin Finisher
	if _, ok := fin.Begin(f, 1500); !ok {
		t.Fatal("refused")
	}
	for i := 0; ; i++ {
		p := fin.Next()
		if p == nil {
			break
		}
		if i > 0 {
			options = []byte{1, 1, 1, 130}
		}
		if !slices.Equal(p[34:38], options) || p[20]&0x40 == 0 {
			t.Errorf("fragment %d: options % x, want % x; flags %x", i, p[34:38], options, p[20])
		}
	}
}

// TestRefragmentRefuses: what an action made of a packet may fit nowhere; where nothing is known of the
// link it goes as it is. Who has no link gets all of it.
func TestRefragmentRefuses(t *testing.T) {
	f := super{gso: packet.GSOFrag, noCsum: true}.build(t, make([]byte, 3000))
	o := packet.Offload{GSO: packet.GSOFrag, GSOSize: 1500}
	var fin Finisher
	count := func() (n int) {
		for b := fin.Next(); b != nil; b = fin.Next() {
			n++
		}
		return n
	}
	f.Offload = o
	if _, ok := fin.Begin(f, math.MaxInt); !ok || count() != 1 {
		t.Error("cut for nobody")
	}
	if _, ok := fin.Begin(f, 27); ok {
		t.Error("cut into nothing")
	}
	f.Bytes()[12] = 0x99
	if reason, ok := fin.Begin(f, 1500); ok || reason != DropTooBig {
		t.Errorf("not IP: %v %v", reason, ok)
	}
	if _, ok := fin.Begin(f, 0); !ok || count() != 1 {
		t.Error("not IP, no MTU: refused")
	}
}
