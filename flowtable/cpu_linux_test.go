package flowtable

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuClock gives the time that this program has worked, on all its threads: other work on the machine does not count,
// what the collector does for the engine's sake does.
func cpuClock() func() time.Duration {
	return func() time.Duration {
		var ts unix.Timespec
		if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts) != nil {
			return 0
		}
		return time.Duration(ts.Nano())
	}
}
