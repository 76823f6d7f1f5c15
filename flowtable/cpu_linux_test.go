package flowtable

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// cpuClock gives the time that the calling goroutine has worked, which it binds to its thread: other work on
// the machine does not count.
func cpuClock() func() time.Duration {
	runtime.LockOSThread()
	return func() time.Duration {
		var ts unix.Timespec
		if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
			return 0
		}
		return time.Duration(ts.Nano())
	}
}
