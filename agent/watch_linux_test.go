package agent

import (
	"cmp"
	"encoding/json"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkWatched compares forwarding with and without somebody who watches at the highest rate, turn by turn,
// in processor time of the forwarding thread: a busy machine does not count.
func BenchmarkWatched(b *testing.B) {
	for name, filter := range map[string]string{"all": "", "in vain": "tcp,tp_dst=80"} {
		b.Run(name, func(b *testing.B) { compareWatched(b, filter) })
	}
}

// watchedTurn is how many batches a turn has: it lasts several times watchBurst.
const watchedTurn = 12_000

func compareWatched(b *testing.B, filter string) {
	sw, in, p, w := stuffedPair(b)
	f, err := sw.parseFilter(filter)
	if err != nil {
		b.Fatal(err)
	}
	o := newViewer(f, mostVerdicts)
	done := make(chan struct{})
	defer close(done)
	go func() { // what the control socket does
		e := json.NewEncoder(io.Discard)
		for {
			select {
			case <-o.wake:
			case <-done:
				return
			}
			_ = pass(o.onlooker, e, func(n watchNote, data []byte, missed uint64) any { return sw.watched(n, data, missed) }, func(uint64) any { return nil })
		}
	}()
	turn := func() time.Duration {
		begin := threadTime(b)
		for range watchedTurn {
			in.left = batchSize
			w.serve(p, maxRounds)
		}
		return threadTime(b) - begin
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	under := func() time.Duration {
		if err := sw.viewers.join(o); err != nil {
			b.Fatal(err)
		}
		defer sw.viewers.leave(o)
		return turn()
	}
	var alone, watched []time.Duration
	var slower []float64
	for b.Loop() { // in the order A B B A: what drifts falls out
		a1, b1, b2, a2 := turn(), under(), under(), turn()
		alone, watched = append(alone, a1, a2), append(watched, b1, b2)
		slower = append(slower, 100*(float64(b1+b2)/float64(a1+a2)-1))
	}
	b.ReportMetric(float64(median(alone).Nanoseconds())/watchedTurn/batchSize, "ns/frame")
	b.ReportMetric(float64(median(watched).Nanoseconds())/watchedTurn/batchSize, "ns/watched-frame")
	b.ReportMetric(median(slower), "%slower")
}

func median[T cmp.Ordered](list []T) T {
	slices.Sort(list)
	return list[len(list)/2]
}

// threadTime is the processor time that this thread has used, in nanoseconds; getrusage counts in ticks, a tenth of a turn.
func threadTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}
