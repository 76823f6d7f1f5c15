package flowtable

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// FuzzReassemble cuts a packet as the input says, with overlaps, gaps, repetitions and lies about the
// end, in any order, or sends the input itself. Whatever comes out is no fragment, and each byte is
// in the place that it came from; nothing is left behind that is not accounted for.
func FuzzReassemble(f *testing.F) {
	f.Add([]byte{0, 0, 50, 1, 50, 200, 0})
	f.Add([]byte{1, 50, 200, 0, 0, 50, 1})
	f.Add([]byte{2, 0, 50, 1, 49, 200, 0, 50, 200, 0})
	f.Add(append([]byte{4}, slice(whole(false, 1, 64), 1, 0, 64, true)...))
	f.Add(append([]byte{5}, slice(whole(true, 1, 64), 1, 64, 72, false)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		r := reassembling(t, Config{HashSeed: 1, Tables: 1, CacheSize: 64, MACTableSize: 64})
		r.flow(0, 1, openflow.NewMatch(), toPort(3))
		r.frags.maxDatagrams, r.frags.maxCost = 4, 4000
		mode, in := in[0], in[1:]
		v6, tags := mode&1 != 0, int(mode>>1&1)
		frame := whole(v6, tags, 2000)
		send := func(b []byte) {
			r.proc.Process(r.now, []*packet.Frame{frameOf(1, b)}, &r.rec)
			for _, h := range r.rec.held {
				h.f.Parse()
				if mode&4 != 0 {
					continue
				}
				head := 14 + 4*tags + 24
				if v6 {
					head += 24
				}
				if isFragment(h.f) || h.f.Layout.End != int32(h.f.Len()) || !bytes.HasPrefix(frame[head:], []byte(h.bytes)[head:]) {
					t.Fatalf("out came %x", h.bytes)
				}
			}
			r.rec.take(t)
			if n, cost := r.waiting(); n > 4 || cost > 4000 {
				t.Fatalf("%d packets of %d bytes wait", n, cost)
			}
		}
		if mode&4 != 0 {
			for len(in) > 0 {
				n := min(len(in), 14+int(in[0]))
				send(in[:n])
				in = in[n:]
			}
			return
		}
		for ; len(in) >= 3; in = in[3:] {
			from, to := int(in[0])*8, int(in[1])*8+int(in[2]>>1)
			if from = min(from, 2008); to > 2008 || to < from {
				to = 2008
			}
			if from == 0 && in[2]&1 == 0 { // a whole packet, for IPv6 an atomic fragment (RFC 6946)
				continue
			}
			send(slice(frame, tags, from, to, in[2]&1 != 0))
			r.now += time.Duration(in[2]) * time.Second / 16
			r.Expire(r.now)
		}
	})
}

// TestReassemblyRandom compares with the obvious model on random cuts: a packet whose fragments do not
// overlap comes out once, when the last of them has come, whatever else is under way.
func TestReassemblyRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	r := reassembling(t, Config{})
	type flight struct {
		want  string
		parts [][]byte
	}
	var flights []flight
	for id := range 200 {
		v6, n := rnd.IntN(2) == 0, 100+rnd.IntN(3000)
		frame := whole(v6, 0, n)
		at := 14 + 4
		if !v6 {
			be.PutUint16(frame[at:], uint16(id))
			be.PutUint16(frame[24:], 0)
			be.PutUint16(frame[24:], ^packet.Fold(packet.Sum16(frame[14:38], 0)))
		}
		fl := flight{want: outputEvent(2, 0, frame)}
		for from := 0; from < n+8; {
			to := min(from+8*(1+rnd.IntN(60)), n+8)
			if from == 0 {
				to = min(max(to, 8), (n+7)&^7)
			}
			p := slice(frame, 0, from, to, to < n+8)
			if v6 {
				be.PutUint32(p[14+48+4:], uint32(id))
			}
			fl.parts = append(fl.parts, p)
			from = to
		}
		rnd.Shuffle(len(fl.parts), func(i, j int) { fl.parts[i], fl.parts[j] = fl.parts[j], fl.parts[i] })
		flights = append(flights, fl)
	}
	for len(flights) > 0 {
		i := rnd.IntN(len(flights))
		fl := &flights[i]
		got := r.send(1, fl.parts[0])
		if fl.parts = fl.parts[1:]; len(fl.parts) > 0 {
			if len(got) != 0 {
				t.Fatalf("%d fragments to come, and out comes %.100q", len(fl.parts), got)
			}
			continue
		}
		if len(got) != 1 || got[0] != fl.want {
			t.Fatalf("got %.200q\nwant %.200q", fmt.Sprint(got), fl.want)
		}
		flights = slices.Delete(flights, i, i+1)
	}
	if n, _ := r.waiting(); n != 0 || r.Drops() != (Drops{}) {
		t.Errorf("%d wait, %v", n, r.Drops())
	}
}
