//go:build !linux

package flowtable

import "time"

// cpuClock is the wall clock where nothing better is known.
func cpuClock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}
