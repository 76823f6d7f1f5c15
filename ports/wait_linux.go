package ports

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lease guards a file descriptor that many goroutines use and one may close or
// exchange. Users hold a read lock while the number is in a system call, so it
// can never mean another file by then; take wakes the one that sleeps.
type lease struct {
	mu     sync.RWMutex
	fd     int  // guarded by mu; -1 = none
	closed bool // guarded by mu
	wake   int  // an eventfd, readable while somebody wants the write lock

	// dead says that the descriptor will only ever report errors: waiting for
	// it would spin until it is exchanged.
	dead atomic.Bool

	turn sync.Mutex // held by the one that wants the write lock: the wake is meant for it alone
}

func newLease(fd int) (*lease, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &lease{fd: fd, wake: wake}, nil
}

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
// somebody wants it exchanged or closed. One thread sleeps in ppoll for each
// port: the runtime's poller would share one, but it is woken by every frame
// that arrives while the port's worker is busy with earlier ones.
func (l *lease) wait() error {
	fd, err := l.hold()
	if err != nil {
		return err
	}
	defer l.release()
	if l.dead.Load() {
		fd = -1
	}
	fds := [2]unix.PollFd{{Fd: int32(l.wake), Events: unix.POLLIN}, {Fd: int32(fd), Events: unix.POLLIN}}
	// A negative number is skipped by the kernel. EINTR is an early return like any other.
	_, _, _ = unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), 2, 0, 0, 0, 0)
	return nil
}

// exchange puts another descriptor (or -1) in place and gives back the old one.
func (l *lease) exchange(fd int) (old int) {
	l.lock()
	defer l.unlock()
	if l.closed {
		return fd
	}
	old, l.fd = l.fd, fd
	l.dead.Store(false)
	return old
}

// close ends the lease and gives back the descriptor for the caller to close.
func (l *lease) close() (fd int, first bool) {
	l.lock()
	defer l.unlock()
	if l.closed {
		return -1, false
	}
	l.closed = true
	_ = unix.Close(l.wake)
	return l.fd, true
}

// lock takes the write lock while somebody may be asleep with the read lock.
func (l *lease) lock() {
	l.turn.Lock()
	l.mu.RLock()
	if !l.closed {
		one := [8]byte{1} // any number but 0 will do, in either byte order
		_, _ = unix.Write(l.wake, one[:])
	}
	l.mu.RUnlock()
	l.mu.Lock()
	if !l.closed {
		var count [8]byte
		_, _ = unix.Read(l.wake, count[:])
	}
}

func (l *lease) unlock() {
	l.mu.Unlock()
	l.turn.Unlock()
}
