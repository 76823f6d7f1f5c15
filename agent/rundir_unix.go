// Slow path: locking the run directory for the moment of a start.

//go:build unix

package agent

import (
	"os"
	"syscall"
)

// lockDir waits for the lock on a directory. The kernel releases it with the process.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
