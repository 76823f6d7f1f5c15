package ports

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lease guards a file descriptor that many goroutines use and one may close or
// exchange. Users hold a read lock while the number is in a system call, so it
// can never mean another file by then.
//
// Sleeping is left to the runtime's poller. A thread of its own in ppoll for
// each port was tried: with all else equal a round trip through the switch took
// 48 to 220 us at the median against 29 to 40 us, because the thread that wakes
// has to get hold of a processor of the runtime first. It would also cost
// a thread for each idle port.
type lease struct {
	mu      sync.RWMutex
	file    *os.File        // guarded by mu; nil = none
	fd      int             // guarded by mu: file's number; -1 = none
	conn    syscall.RawConn // guarded by mu: file's way into the poller
	closed  bool            // guarded by mu
	changed chan struct{}   // guarded by mu: closed when any of the above changes

	// dead says that the descriptor will only ever report errors: waiting for
	// it would spin until it is exchanged.
	dead atomic.Bool
}

func newLease() *lease { return &lease{fd: -1, changed: make(chan struct{})} }

// hold keeps the descriptor as it is until release. It fails once closed; fd
// is -1 while there is none.
func (l *lease) hold() (fd int, err error) {
	l.mu.RLock()
	if l.closed {
		l.mu.RUnlock()
		return -1, ErrClosed
	}
	return l.fd, nil
}

func (l *lease) release() { l.mu.RUnlock() }

// wait sleeps until the descriptor can be read, an error is pending on it, or
// it is exchanged or closed.
func (l *lease) wait() error {
	l.mu.RLock()
	conn, changed, closed := l.conn, l.changed, l.closed
	l.mu.RUnlock()
	switch {
	case closed:
		return ErrClosed
	case conn == nil || l.dead.Load():
		<-changed
	case conn.Read(readable) != nil: // closed under our feet, or exchanged
		l.mu.RLock()
		closed = l.closed
		l.mu.RUnlock()
	}
	if closed {
		return ErrClosed
	}
	return nil
}

// readable asks without waiting. The poller tells only of what arrives after
// it was asked to tell, so frames that are queued already must be looked for.
func readable(fd uintptr) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds[:], 0)
	return n != 0
}

// put puts a descriptor in place, or nothing (-1), and closes the old one. The
// descriptor is the lease's from here on, also when it is refused.
func (l *lease) put(fd int) error {
	var file *os.File
	var conn syscall.RawConn
	if fd >= 0 {
		file = os.NewFile(uintptr(fd), "port")
		if err := file.SetReadDeadline(time.Time{}); err != nil { // tells whether the poller has taken it
			return errors.Join(fmt.Errorf("descriptor cannot be polled: %w", err), file.Close())
		}
		var err error
		if conn, err = file.SyscallConn(); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		if file != nil {
			_ = file.Close()
		}
		return ErrClosed
	}
	old := l.file
	l.file, l.fd, l.conn = file, fd, conn
	l.dead.Store(false)
	l.tell()
	l.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// close ends the lease. Whoever sleeps wakes.
func (l *lease) close() error {
	l.mu.Lock()
	old := l.file
	if !l.closed {
		l.closed, l.file, l.fd, l.conn = true, nil, -1, nil
		l.tell()
	}
	l.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// tell wakes those who wait for a change. The caller holds mu.
func (l *lease) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}
