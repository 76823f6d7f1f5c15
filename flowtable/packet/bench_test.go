package packet

import "testing"

func benchFrame(n int, proto byte) []byte {
	b := make([]byte, n)
	copy(b, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, byte(n - 14), 0, 1, 0, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x12, 0x34, 0, 80})
	b[46] = 0x50
	return b
}

func BenchmarkParse(b *testing.B) {
	tagged := append([]byte(nil), benchFrame(60, 6)...)
	tagged = append(tagged[:12:12], append([]byte{0x81, 0, 0x20, 5}, tagged[12:]...)...)
	v6 := make([]byte, 74)
	v6[12], v6[13], v6[14], v6[19], v6[20] = 0x86, 0xdd, 0x60, 20, 6
	for _, c := range []struct {
		name string
		b    []byte
	}{{"TCPv4", benchFrame(60, 6)}, {"UDPv4", benchFrame(60, 17)}, {"VLAN", tagged}, {"TCPv6", v6}} {
		b.Run(c.name, func(b *testing.B) {
			f := NewFrame(2048)
			f.SetBytes(c.b)
			for b.Loop() {
				f.Parse()
			}
		})
	}
}

func BenchmarkRewrite(b *testing.B) {
	f := NewFrame(2048)
	f.SetBytes(benchFrame(60, 6))
	f.Parse()
	b.Run("IPv4Dst", func(b *testing.B) {
		for i := uint64(0); b.Loop(); i++ {
			f.SetField(IPv4Dst, 0, i)
		}
	})
	b.Run("DecTTL", func(b *testing.B) {
		for b.Loop() {
			f.SetIPTTL(64)
			f.DecIPTTL()
		}
	})
	b.Run("PushPopVLAN", func(b *testing.B) {
		for b.Loop() {
			f.PushVLAN(0x8100)
			f.PopVLAN()
		}
	})
}
