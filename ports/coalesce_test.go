package ports

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
)

// stream is a TCP connection that sends segments.
type stream struct {
	v6      bool
	tags    string // VLAN tags
	options string // of TCP
	partial bool   // the checksum is left to the device
	id      uint16
	seq     uint32
}

// segment is the next one, with n bytes of data.
func (s *stream) segment(n int, flags byte) *packet.Frame {
	b := []byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01" + s.tags)
	tcp := 20 + len(s.options) + n
	if s.v6 {
		b = be.AppendUint16(append(b, "\x86\xdd\x60\x12\x34\x56"...), uint16(tcp))
		b = append(b, 6, 64)
		b = append(append(b, ip6A.To16()...), ip6B.To16()...)
	} else {
		b = be.AppendUint16(append(b, "\x08\x00\x45\x02"...), uint16(20+tcp))
		b = append(be.AppendUint16(b, s.id), "\x40\x00\x40\x06\x00\x00"...)
		b = append(append(b, ip4A.To4()...), ip4B.To4()...)
	}
	b = be.AppendUint32(append(b, "\x9c\x41\x9c\x43"...), s.seq)
	b = append(b, 0, 0, 0, 7, byte(5+len(s.options)/4)<<4, flags, 1, 0, 0, 0, 0, 0)
	b = append(b, s.options...)
	for i := range n {
		b = append(b, byte(uint32(i)+s.seq)*17)
	}
	s.id, s.seq = s.id+1, s.seq+uint32(n)
	f := frameOf(b)
	sumAgain(f, s.partial)
	return f
}

// sumAgain puts right checksums into a frame that has some, or leaves TCP's to the device.
func sumAgain(f *packet.Frame, partial bool) {
	b := f.Bytes()
	var sh shape
	if !sh.read(b) {
		return
	}
	if !sh.v6 {
		ip := b[sh.l3:sh.l4]
		be.PutUint16(ip[10:], 0)
		putChecksum(ip[10:], packet.Sum16(ip, 0), false)
	}
	tcp := b[sh.l4:sh.end]
	if sh.proto != protoTCP || len(tcp) < 20 {
		return
	}
	f.Offload = packet.Offload{NeedsCsum: true, CsumStart: uint16(sh.l4), CsumOffset: 16}
	be.PutUint16(tcp[16:], packet.Fold(sh.pseudoSum(b, &packet.Offload{})+uint64(len(tcp))))
	if !partial {
		completeChecksum(b, &f.Offload)
		f.Offload = packet.Offload{}
	}
}

// joinAll writes frames as a port does that joins, and gives what a cut makes of them, and in how many writes.
func joinAll(t testing.TB, frames []*packet.Frame, mtu int) (out [][]byte, writes int) {
	t.Helper()
	var j joiner
	var fin Finisher
	for n := 0; len(frames) > 0; frames = frames[n:] {
		f := frames[0]
		if n = j.join(frames, mtu); n > 1 {
			f = frameOf(bytes.Join(j.parts, nil))
			f.Offload = j.o
			if f.Len()-j.sh.l3 > 65535 {
				t.Errorf("a frame of %d bytes", f.Len())
			}
			hdrLen, v := judge(f, mtu, false)
			if v != passWhole || hdrLen != len(j.parts[0]) {
				t.Errorf("the super-frame of %d frames: verdict %v", n, v)
			}
		}
		writes++
		out = append(out, finished(&fin, f, mtu)...)
	}
	return out, writes
}

func finished(fin *Finisher, f *packet.Frame, mtu int) (out [][]byte) {
	if _, ok := fin.Begin(f, mtu); !ok {
		return nil
	}
	for b := fin.Next(); b != nil; b = fin.Next() {
		out = append(out, bytes.Clone(b))
	}
	return out
}

// sameAfterCut compares what leaves with what would without joining.
func sameAfterCut(t testing.TB, frames []*packet.Frame, mtu int) (writes int) {
	t.Helper()
	var want [][]byte
	var fin Finisher
	for _, f := range frames {
		want = append(want, finished(&fin, f, mtu)...)
	}
	got, writes := joinAll(t, frames, mtu)
	if len(got) != len(want) {
		t.Fatalf("%d frames, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("frame %d of %d\n got %x\nwant %x", i, len(want), got[i][:min(len(got[i]), 90)], want[i][:min(len(want[i]), 90)])
		}
	}
	return writes
}

const timestamps = "\x01\x01\x08\x0a\x00\x00\x00\x01\x00\x00\x00\x02"

// TestJoin: what may be joined is, and each thing that a cut would not make again keeps frames apart.
func TestJoin(t *testing.T) {
	type change struct {
		name   string
		change func(f *packet.Frame, sh *shape) // of the third of six frames
		right  bool                             // its checksums follow
		writes int                              // with all frames in order there is one
	}
	at := func(what func(sh *shape) int, x byte) func(*packet.Frame, *shape) {
		return func(f *packet.Frame, sh *shape) { f.Bytes()[what(sh)] ^= x }
	}
	l3 := func(n int) func(*shape) int { return func(sh *shape) int { return sh.l3 + n } }
	l4 := func(n int) func(*shape) int { return func(sh *shape) int { return sh.l4 + n } }
	both := []change{
		{"nothing", func(*packet.Frame, *shape) {}, true, 1},
		{"PSH", at(l4(13), tcpPSH), true, 2},
		{"FIN", at(l4(13), 1), true, 3},
		{"SYN", at(l4(13), 2), true, 3},
		{"RST", at(l4(13), 4), true, 3},
		{"URG", at(l4(13), 32), true, 3},
		{"ECE", at(l4(13), 64), true, 3},
		{"CWR", at(l4(13), 128), true, 3},
		{"no ACK", at(l4(13), tcpACK), true, 3},
		{"a reserved bit", at(l4(12), 1), true, 3},
		{"another port", at(l4(1), 1), true, 3},
		{"another sequence number", at(l4(7), 1), true, 3},
		{"another acknowledgement", at(l4(11), 1), true, 3},
		{"another window", at(l4(15), 1), true, 3},
		{"an urgent pointer", at(l4(19), 1), true, 3},
		{"another timestamp", at(l4(27), 1), true, 3},
		{"a wrong checksum", at(l4(17), 1), false, 3},
		{"other data", at(l4(100), 1), false, 3},
		{"another MAC address", at(func(*shape) int { return 5 }, 1), true, 3},
		{"a longer frame", func(f *packet.Frame, _ *shape) { f.SetBytes(append(bytes.Clone(f.Bytes()), 0)) }, true, 3},
	}
	v4 := []change{
		{"another TTL", at(l3(8), 1), true, 3},
		{"another DSCP", at(l3(1), 8), true, 3},
		{"congestion", at(l3(1), 1), true, 3},
		{"another identification", at(l3(5), 1), true, 3},
		{"fragments allowed", at(l3(6), 0x40), true, 3},
		{"a fragment", at(l3(6), 0x20), false, 3},
		{"another address", at(l3(15), 1), true, 3},
		{"a wrong checksum of IP", at(l3(10), 1), false, 3},
		{"another total length", at(l3(3), 1), false, 3},
	}
	v6 := []change{
		{"another hop limit", at(l3(7), 1), true, 3},
		{"another flow label", at(l3(3), 1), true, 3},
		{"another class", at(l3(1), 0x10), true, 3},
		{"another address", at(l3(20), 1), true, 3},
		{"another payload length", at(l3(5), 1), false, 3},
	}
	for _, s := range []stream{{}, {v6: true}, {tags: "\x81\x00\x60\x0a"}, {v6: true, tags: "\x88\xa8\x60\x0a\x81\x00\x00\x0b"}} {
		for _, s.partial = range []bool{false, true} {
			s.options, s.id, s.seq = timestamps, firstID, firstSeq
			changes := append(both, v4...)
			if s.v6 {
				changes = append(both, v6...)
			}
			for _, c := range changes {
				if c.name == "other data" && s.partial { // nobody has summed it yet
					c.writes = 1
				}
				from := s
				var frames []*packet.Frame
				for i := range 6 {
					f := from.segment(1000, tcpACK)
					if i == 2 {
						var sh shape
						sh.read(f.Bytes())
						o := f.Offload
						c.change(f, &sh)
						if f.Offload = o; c.right {
							sumAgain(f, s.partial)
						}
					}
					frames = append(frames, f)
				}
				if writes := sameAfterCut(t, frames, 1500); writes != c.writes {
					t.Errorf("%+v, %s: %d writes, want %d", s, c.name, writes, c.writes)
				}
			}
		}
	}
}

// TestJoinLimits: a shorter frame ends a run, a short one begins none, and nothing is longer than IP can say.
func TestJoinLimits(t *testing.T) {
	for _, c := range []struct {
		sizes  []int
		mtu    int
		writes int
	}{
		{[]int{1000, 1000, 999, 1000, 1000}, 1500, 2},
		{[]int{1000, 1001, 1000}, 1500, 2}, // a run of its own
		{[]int{1000, 0, 1000}, 1500, 3},
		{[]int{100, 100, 100}, 1500, 3},
		{[]int{1448, 1448, 1448}, 1499, 3}, // too big, each of them
		{[]int{30000, 30000, 5000, 5000}, 0, 2},
		{[]int{30000, 30000, 5483}, 0, 1}, // 65535 bytes with both headers
		{[]int{30000, 30000, 5484}, 0, 2},
	} {
		s := stream{options: timestamps}
		var frames []*packet.Frame
		for _, n := range c.sizes {
			frames = append(frames, s.segment(n, tcpACK))
		}
		if writes := sameAfterCut(t, frames, c.mtu); writes != c.writes {
			t.Errorf("%v: %d writes, want %d", c.sizes, writes, c.writes)
		}
	}
}

// TestJoinRandom: whatever comes, what leaves is cut to what came.
func TestJoinRandom(t *testing.T) {
	frames, writes := 0, 0
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		list := randomBatch(r)
		frames += len(list)
		t.Run(fmt.Sprint(seed), func(t *testing.T) { writes += sameAfterCut(t, list, 1500) })
		if t.Failed() {
			return
		}
	}
	if t.Logf("%d frames in %d writes", frames, writes); writes*2 > frames || writes*8 < frames {
		t.Error("that says little")
	}
}

// randomBatch is a batch of a few streams' segments, some of them spoilt.
func randomBatch(r *rand.Rand) (list []*packet.Frame) {
	for len(list) < 64 {
		s := stream{v6: r.IntN(2) == 0, partial: r.IntN(2) == 0, id: uint16(r.Uint32()), seq: r.Uint32()}
		s.options = []string{"", timestamps}[r.IntN(2)]
		s.tags = []string{"", "\x81\x00\x00\x0a", "\x88\xa8\x00\x0b\x81\x00\x00\x0a"}[r.IntN(3)]
		size := 1 + r.IntN(1440)
		for range 1 + r.IntN(30) {
			n, flags := size, byte(tcpACK)
			switch r.IntN(12) {
			case 0:
				n = r.IntN(1440)
			case 1:
				flags |= tcpPSH
			case 2:
				flags = byte(r.Uint32())
			}
			f := s.segment(n, flags)
			if r.IntN(10) == 0 { // a bit of the headers, or anywhere
				b := f.Bytes()
				b[r.IntN(min(len(b), 90*(1+r.IntN(20))))] ^= 1 << r.IntN(8)
				if r.IntN(2) == 0 {
					sumAgain(f, s.partial)
				}
			}
			if r.IntN(30) == 0 && !f.Offload.NeedsCsum {
				f.Offload.DataValid = true // as a device says that has looked
				sumAgain(f, false)
				f.Offload.DataValid = true
			}
			list = append(list, f)
		}
	}
	return list
}

// FuzzJoin: frames of any bytes, one after the other with a length and a byte that says whether their checksums are put right.
func FuzzJoin(f *testing.F) {
	for i, s := range []stream{{}, {v6: true}, {tags: "\x81\x00\x00\x0a", options: timestamps}, {v6: true, options: timestamps}} {
		var data []byte
		for range 3 {
			g := s.segment(leastJoined, tcpACK)
			data = be.AppendUint16(data, uint16(g.Len()))
			data = append(append(data, byte(i)), g.Bytes()...)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var list []*packet.Frame
		for len(data) > 3 && len(list) < 70 {
			n, how := int(be.Uint16(data)), data[2]
			data = data[3:]
			g := frameOf(data[:min(n, len(data))])
			data = data[g.Len():]
			if how&1 != 0 {
				sumAgain(g, how&2 != 0)
			}
			list = append(list, g)
		}
		sameAfterCut(t, list, 1500)
	})
}

// TestJoinAllocatesNothing guards what runs for each batch.
func TestJoinAllocatesNothing(t *testing.T) {
	s, frames := stream{options: timestamps}, []*packet.Frame(nil)
	for range 64 {
		frames = append(frames, s.segment(1000, tcpACK))
	}
	var j joiner
	if n := testing.AllocsPerRun(100, func() {
		if j.join(frames, 1500) != len(frames) {
			t.Error("not joined")
		}
	}); n != 0 {
		t.Errorf("%.1f allocations", n)
	}
}
