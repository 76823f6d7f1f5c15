// Slow path: locking the run directory for the moment of a start.

//go:build unix

package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mayNotUse reports whether this user may neither make files in the folder nor, if it is not there, the folder.
func mayNotUse(dir string) bool {
	err := unix.Access(dir, unix.W_OK)
	if errors.Is(err, unix.ENOENT) {
		err = unix.Access(filepath.Dir(dir), unix.W_OK)
	}
	return errors.Is(err, unix.EACCES)
}

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
