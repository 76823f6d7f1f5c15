package ports

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// BenchmarkDevice is what small frames cost by each kind of port on a veth, in processor time of the thread, so that other work
// on the machine counts little. Sending includes the way to a host that throws the frames away; receiving is from
// full queues, without the interrupt that filled them.
func BenchmarkDevice(b *testing.B) {
	for _, text := range []string{"sw0", "sw0,ring=no", "xdp:sw0", "xdp:sw0,mode=generic"} {
		b.Run(text, func(b *testing.B) {
			t := &testing.T{}
			h, sw := newSpace(t), newSpace(t)
			h.quiet()
			sw.quiet()
			cable(h, "eth0", sw, "sw0", 1500)
			p := sw.port(text)
			defer p.Close()
			frames := frameBatch(64, 2000)
			var sent []*packet.Frame
			var raw [][]byte
			for i := range 64 {
				raw = append(raw, flowFrame(i, 0, 60, false))
				sent = append(sent, frameOf(raw[i]))
			}
			for range 3 {
				raw = append(raw, raw...)
			}
			b.Run("write", func(b *testing.B) {
				spent := time.Duration(0)
				before, was := h.link("eth0").Attrs().Statistics.RxPackets, countersOf(p).TxPackets
				for b.Loop() {
					spent += onThread(func() { p.Write(sent) })
				}
				b.ReportMetric(float64(h.link("eth0").Attrs().Statistics.RxPackets-before)/float64(b.N)/64, "arrived")
				b.ReportMetric(float64(countersOf(p).TxPackets-was)/float64(b.N)/64, "counted")
				b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/64, "cpu-ns/frame")
			})
			b.Run("read", func(b *testing.B) {
				spent, n := time.Duration(0), 0
				for b.Loop() {
					h.rawAll("eth0", raw)
					spent += onThread(func() {
						for {
							k, _ := p.Read(frames)
							if k == 0 {
								return
							}
							n += k
						}
					})
				}
				b.ReportMetric(float64(spent.Nanoseconds())/float64(n), "cpu-ns/frame")
			})
		})
	}
}

// onThread is the processor time that f takes.
func onThread(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var a, z unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &a)
	f()
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &z)
	return time.Duration(z.Nano() - a.Nano())
}
