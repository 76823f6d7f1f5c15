package classifier

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
)

// eightMasks are combinations that controllers install.
func eightMasks() []packet.Mask {
	sets := [][]packet.Field{
		{packet.EthType, packet.IPProto, packet.IPv4Src, packet.IPv4Dst, packet.TPSrc, packet.TPDst},
		{packet.EthType, packet.IPProto, packet.IPv4Src, packet.IPv4Dst, packet.TPDst},
		{packet.EthType, packet.IPv4Src, packet.IPv4Dst},
		{packet.InPort, packet.EthType, packet.IPv4Dst, packet.IPv4Src},
		{packet.EthDst, packet.EthSrc, packet.IPv4Src},
		{packet.InPort, packet.EthSrc, packet.IPv4Dst},
		{packet.EthType, packet.IPProto, packet.IPv4Dst, packet.TPDst, packet.TPSrc},
		{packet.EthDst, packet.IPv4Dst, packet.IPv4Src},
	}
	masks := make([]packet.Mask, len(sets))
	for i, s := range sets {
		for _, fl := range s {
			masks[i].SetFull(fl)
		}
	}
	return masks
}

func randomKey(r *rand.Rand) (k packet.Key) {
	for i := range 5 {
		k[i] = r.Uint64()
	}
	return k
}

func filled(n int) (*Table[*int], []packet.Key) {
	t, r, masks := &Table[*int]{}, rand.New(rand.NewPCG(1, 2)), eightMasks()
	keys := make([]packet.Key, n)
	v := new(int)
	for i := range keys {
		keys[i] = randomKey(r)
		t.Insert(NewRule(&keys[i], &masks[i%8], uint16(i%8*10), v))
	}
	return t, keys
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t, keys := filled(n)
			r := rand.New(rand.NewPCG(9, 9))
			keys = keys[:min(n, 100_000)]
			r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			v := t.Freeze()
			var used packet.Mask
			i := 0
			for b.Loop() {
				if v.Lookup(&keys[i], &used) == nil {
					b.Fatal("a rule is not found")
				}
				if i++; i == len(keys) {
					i = 0
				}
			}
		})
	}
}

func BenchmarkInsertFreeze(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		for _, every := range []int{1, 100} {
			b.Run(fmt.Sprintf("%d/every%d", n, every), func(b *testing.B) {
				t, _ := filled(n)
				r, masks := rand.New(rand.NewPCG(3, 4)), eightMasks()
				v := new(int)
				i := 0
				for b.Loop() {
					k := randomKey(r)
					t.Insert(NewRule(&k, &masks[i%8], uint16(i%8*10), v))
					if i++; i%every == 0 {
						sink = t.Freeze()
					}
				}
			})
		}
	}
}

var sink View[*int]

// BenchmarkMemory reports the bytes a rule costs, all included.
func BenchmarkMemory(b *testing.B) {
	for range b.N {
		var before, after runtime.MemStats
		const n = 200_000
		runtime.GC()
		runtime.ReadMemStats(&before)
		r, masks := rand.New(rand.NewPCG(1, 2)), eightMasks()
		t, v := &Table[*int]{}, new(int)
		for i := range n {
			k := randomKey(r)
			t.Insert(NewRule(&k, &masks[i%8], 1, v))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/rule")
		runtime.KeepAlive(t)
	}
}
