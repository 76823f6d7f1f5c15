// Slow path: locking the run directory for the moment of a start.

//go:build unix

package agent

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// A start holds the lock for milliseconds, or for as long as a dying predecessor takes to go.
const (
	lockPatience = 20 * time.Second
	lockPoll     = 5 * time.Millisecond
)

// lockDir waits for the lock on a directory, not for ever: who holds it may be stopped in a debugger,
// or be no weir at all. The kernel releases it with the process.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockPoll) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(end) {
			f.Close()
			return nil, fmt.Errorf("locking the run directory %s: %w; another start holds it: end that one, or use another --rundir", dir, err)
		}
	}
}
