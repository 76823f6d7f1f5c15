package agent

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// TestReclaimDue: a collection follows a great loss that lasts, once, and nothing else.
func TestReclaimDue(t *testing.T) {
	var r reclaimer
	at := time.Duration(0)
	step := func(n int, want bool) {
		t.Helper()
		at += reclaimAfter / 2
		if got := r.due(at, n); got != want {
			t.Errorf("at %v with %d entries: due is %v", at, n, got)
		}
	}
	for _, n := range []int{0, 10, reclaimEntries, 10 * reclaimEntries, 10*reclaimEntries - 5, 10*reclaimEntries - 5, 10*reclaimEntries - 5} {
		step(n, false)
	}
	step(3*reclaimEntries, false)
	step(2*reclaimEntries, false) // still falling
	step(2*reclaimEntries, false)
	step(2*reclaimEntries, true)
	step(2*reclaimEntries, false)
	step(2*reclaimEntries-1, false)
	step(2*reclaimEntries-1, false)
	step(2*reclaimEntries-1, false)
	step(0, false)
	step(0, false)
	step(0, true)
}

// TestFlood: the collector is patient while a switch is being filled, and as before when that is over.
func TestFlood(t *testing.T) {
	usual := debug.SetGCPercent(100)
	defer debug.SetGCPercent(usual)
	percent := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	var a, b flood
	for i, step := range []struct{ a, b, want int }{
		{floodEntries - 1, 0, 100},
		{2 * floodEntries, 0, floodPercent},
		{3 * floodEntries, 2 * floodEntries, floodPercent},
		{3 * floodEntries, 4 * floodEntries, floodPercent},
		{9 * floodEntries, 4 * floodEntries, floodPercent},
		{0, 4 * floodEntries, 100},
		{floodEntries, 9 * floodEntries, floodPercent},
		{0, 0, 100},
	} {
		a.tick(step.a)
		b.tick(step.b)
		if got := percent(); got != step.want {
			t.Errorf("step %d: GOGC is %d, expected %d", i, got, step.want)
		}
	}
	debug.SetGCPercent(-1) // somebody's own choice stays
	a.tick(floodEntries)
	if got := percent(); got != -1 {
		t.Errorf("GOGC=off became %d", got)
	}
	a.tick(0)
	if got := debug.SetGCPercent(100); got != -1 {
		t.Errorf("GOGC=off became %d in the end", got)
	}
}

// held is the memory that the process has of the system for its heap.
func held() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapSys - m.HeapReleased
}

// TestManyFlows fills one table with a million entries by the connection, under eight masks and several
// priorities, looks where frames go, deletes them, and waits for the memory to go back.
func TestManyFlows(t *testing.T) {
	n := 1_000_000
	if raceEnabled || testing.Short() {
		n = 100_000
	}
	b := newBench(t, 3)
	p := b.connect()
	p.features()
	before := held()

	const base = 8
	match := func(i int) openflow.Match {
		fields := []openflow.Field{openflow.Exact(openflow.InPort, 1), openflow.Exact(openflow.EthDst, macOf(i))}
		for bit, f := range []openflow.FieldID{openflow.EthSrc, openflow.EthType, openflow.Metadata} {
			if i%base>>bit&1 == 0 {
				continue
			}
			switch f {
			case openflow.EthSrc:
				fields = append(fields, openflow.WithMask(f, 0x020000000000, 0xff0000000000))
			case openflow.EthType:
				fields = append(fields, openflow.Exact(f, 0x0800))
			case openflow.Metadata:
				fields = append(fields, openflow.WithMask(f, 0, 1))
			}
		}
		return openflow.NewMatch(fields...)
	}
	var stream []byte
	for i := range n {
		stream = openflow.Append(stream, 0, add(uint16(1000+i%5), match(i), openflow.Output(openflow.PortNo(2+i%2))))
		if len(stream) > 1<<20 || i == n-1 {
			if _, err := p.conn.NetConn().Write(stream); err != nil {
				t.Fatal(err)
			}
			stream = stream[:0]
		}
	}
	p.barrier()
	if got := b.sw.pipe.Len(); got < n {
		t.Fatalf("%d entries, want %d", got, n)
	}
	full := held()
	for i := 0; i < n; i += n/200 + 1 {
		f := frameTo(macOf(i))
		b.send(1, f)
		b.expect(f, uint32(2+i%2))
	}
	b.clock.Advance(expireEvery)

	p.send(deleteAll())
	p.barrier()
	f := frameTo(macOf(7))
	b.send(1, f)
	b.silent(2, 3)
	b.clock.Advance(expireEvery) // sees the loss
	b.clock.Advance(2 * reclaimAfter)
	limit := before + (full-before)/5
	for end := time.Now().Add(inTime); held() > limit; time.Sleep(10 * time.Millisecond) {
		b.clock.Advance(expireEvery)
		if time.Now().After(end) {
			t.Fatalf("%d MiB are held after the entries went; %d with them, %d before", held()>>20, full>>20, before>>20)
		}
	}
	t.Logf("%d entries: %d bytes each; %d MiB before, %d with them, %d after", n, (full-before)/uint64(n), before>>20, full>>20, held()>>20)
}

// macOf is a unicast address of its own for each number.
func macOf(i int) uint64 { return 0x0a0000000000 | uint64(i)*0x9e3779b1&0xffffffff }

// frameTo is an IPv4 frame from 02:... to an address.
func frameTo(mac uint64) []byte {
	f := frame(2, 2, "x")
	for i := range 6 {
		f[i] = byte(mac >> (40 - 8*i))
	}
	f[6], f[12], f[13] = 2, 0x08, 0x00
	return f
}
