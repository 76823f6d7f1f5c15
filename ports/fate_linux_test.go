package ports

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
)

// TestForeseeIsWhatWriteDoes: what Foresee says of random frames is what real devices then do with them.
func TestForeseeIsWhatWriteDoes(t *testing.T) {
	for name, open := range map[string]func(*testing.T) Port{
		"veth":             func(t *testing.T) Port { return vethHost(newSpace(t), t, "1", 1500, "").port },
		"veth in software": func(t *testing.T) Port { return vethHost(newSpace(t), t, "1", 1500, ",offload=no").port },
		"tap":              func(t *testing.T) Port { return tapHost(nil, t, "1", 1500, "").port },
		"tap in software":  func(t *testing.T) Port { return tapHost(nil, t, "1", 1500, ",offload=no").port },
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			eventually(t, "the link is up", func() bool { return p.Info().LinkUp && p.Info().MTU == 1500 })
			r := rand.New(rand.NewPCG(1, 9))
			kinds, refused := map[string]int{}, 0
			for range 3000 {
				f := someFrame(t, r)
				want := Foresee(p.Info(), f)
				before := countersOf(p)
				p.Write([]*packet.Frame{f})
				after := countersOf(p)
				got := Fate{Lost: after.TxDropped > before.TxDropped, Finished: after.TxFinished > before.TxFinished, Frames: want.Frames}
				for why := range after.TxDrops {
					if after.TxDrops[why] > before.TxDrops[why] {
						got.Reason = DropReason(why)
					}
				}
				if got.Lost && got.Reason == DropFull { // of the device's queue: nobody can know
					continue
				}
				if want.Frames == 1 && want.Finished && !got.Finished { // a checksum alone is counted by some as sent whole
					got.Finished = true
				}
				if got.Finished && !want.Finished && f.Offload.GSO != packet.GSONone { // the kernel refused it whole: more segments than it takes
					refused++
					got.Finished = false
				}
				if got != want || got.Lost == (after.TxPackets > before.TxPackets) {
					t.Fatalf("%+v, foreseen %+v: %d bytes, %+v, %x", got, want, f.Len(), f.Offload, f.Bytes()[:min(60, f.Len())])
				}
				kinds[fmt.Sprint(want.Lost, want.Reason, want.Finished, want.Frames > 1)]++
			}
			if len(kinds) < 3 || refused > 300 {
				t.Errorf("the frames met too little: %v, refused %d", kinds, refused)
			}
		})
	}
}

// someFrame is a super-frame, or a plain one about as long as the MTU, with some tags.
func someFrame(t *testing.T, r *rand.Rand) *packet.Frame {
	if r.IntN(2) == 0 {
		s := randomSuper(r)
		return s.build(t, make([]byte, s.payload))
	}
	b := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	for range r.IntN(3) {
		b = append(be.AppendUint16(b, []uint16{0x8100, 0x88a8}[r.IntN(2)]), 0, 5)
	}
	b = append(be.AppendUint16(b, 0x88b5), make([]byte, []int{46, 1486 + r.IntN(30)}[r.IntN(2)])...)
	f := packet.NewFrame(len(b))
	f.SetBytes(b)
	return f
}
