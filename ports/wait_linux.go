package ports

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

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
// a thread for each idle port. Only a sleep of few milliseconds is different, for that long
// the runtime leaves the thread its processor: see nap.
//
// The poller does not watch the descriptor itself but an epoll set around it,
// which reports once and then holds its peace until the next wait. Otherwise each
// frame that arrives while the port is being read would wake the poller's thread. When
// many frames come the descriptor leaves the set, too, until the next wait: to find that nobody
// wants to be woken took a tenth of a small frame's time from whoever sends it (see took).
type lease struct {
	tick time.Duration // a sleeper wakes at least so often; 0: it need not. Set before use. See pace

	mu      sync.RWMutex
	fd      int           // guarded by mu; -1 = none
	waker   *waker        // guarded by mu: wakes who waits for fd; nil = none
	closed  bool          // guarded by mu
	changed chan struct{} // guarded by mu: closed when any of the above changes

	// dead says that the descriptor will only ever report errors: waiting for
	// it would spin until it is exchanged.
	dead atomic.Bool

	// What the one sleeper naps with.
	napped  [1]unix.PollFd
	napTime unix.Timespec

	came int // of the reader: frames since it said so to the waker

	// What the one reader asks with; fields, so that asking does not allocate.
	asked  [1]unix.PollFd
	atOnce unix.Timespec
}

// waker is an epoll set with one descriptor in it, and its way into the poller.
type waker struct {
	fd   int // that it watches
	tick time.Duration
	pace time.Duration // of the one sleeper: how long until it wakes; at most tick
	file *os.File
	conn syscall.RawConn
	look func(set uintptr) bool

	stale  bool // of the one sleeper: the last sleep ended without a look at what the set reports
	events [1]unix.EpollEvent

	mu    sync.Mutex
	set   int  // guarded by mu: the epoll set; -1: closed
	held  bool // guarded by mu: fd is in the set. Until then, and again after leave, frames wake nobody
	armed bool // guarded by mu, written by the one sleeper: it wants to be told
}

// newWaker watches fd. It does not own it.
func newWaker(fd int, tick time.Duration) (*waker, error) {
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an epoll set: %w", err)
	}
	if err = unix.EpollCtl(set, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLONESHOT}); err == nil { // it can be watched
		err = unix.EpollCtl(set, unix.EPOLL_CTL_DEL, fd, nil)
	}
	if err == nil {
		err = unix.SetNonblock(set, true)
	}
	b := &waker{fd: fd, tick: tick, pace: min(leastPace, tick), set: set, file: os.NewFile(uintptr(set), "port")}
	b.look = b.rung
	if err == nil {
		err = b.wind() // tells whether the poller has taken it
	}
	if err == nil {
		b.conn, err = b.file.SyscallConn()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("descriptor cannot be polled: %w", err), b.file.Close())
	}
	return b, nil
}

// rung says whether there is something to read. The first look only asks to be
// told; it comes after the poller has forgotten what it knew before. What the set has had to report since a
// sleep that ended by itself has to be taken from it first: it does not tell of it twice.
func (b *waker) rung(set uintptr) bool {
	if !b.armed {
		if b.stale {
			b.stale = false
			if n, _ := unix.EpollWait(int(set), b.events[:], 0); n != 0 {
				return true
			}
		}
		return b.arm() != nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n, _ := unix.EpollWait(int(set), b.events[:], 0)
	b.armed = n == 0 // else listen would have the set report again, and nobody would take that from it
	return n != 0
}

// arm asks to be told once that there is something to read.
func (b *waker) arm() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	how := unix.EPOLL_CTL_MOD
	if !b.held {
		how = unix.EPOLL_CTL_ADD
	}
	err := unix.EpollCtl(b.set, how, b.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT})
	b.armed, b.held = err == nil, err == nil
	return err
}

// disarm is told that nobody sleeps.
func (b *waker) disarm() {
	b.mu.Lock()
	b.armed = false
	b.mu.Unlock()
}

// leave takes the descriptor out of the set, unless somebody sleeps: while it is in there each frame that arrives looks up who
// waits, which whoever sends it pays for. Where somebody else is at it, there is a next time.
func (b *waker) leave() {
	if !b.mu.TryLock() {
		return
	}
	defer b.mu.Unlock()
	if b.held && !b.armed {
		b.held = unix.EpollCtl(b.set, unix.EPOLL_CTL_DEL, b.fd, nil) != nil
	}
}

// hush lets the sleeper sleep on when a frame comes, until listen. Anybody may say so. It waits for nobody: a sleeper
// that holds the lock is waking, or not asleep yet.
func (b *waker) hush() {
	if !b.mu.TryLock() {
		return
	}
	defer b.mu.Unlock()
	if b.held {
		_ = unix.EpollCtl(b.set, unix.EPOLL_CTL_MOD, b.fd, &unix.EpollEvent{Events: unix.EPOLLONESHOT})
	}
}

// listen undoes it. What has come and was not read wakes the sleeper at once.
func (b *waker) listen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held && b.armed {
		_ = unix.EpollCtl(b.set, unix.EPOLL_CTL_MOD, b.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT})
	}
}

// wait sleeps until the descriptor can be read; it fails when it is taken away.
func (b *waker) wait() error {
	err := b.conn.Read(b.look)
	b.disarm()
	late := errors.Is(err, os.ErrDeadlineExceeded)
	b.stale = late
	if late || err == nil && b.pace > leastPace {
		b.pace = nextPace(b.pace, b.tick, late)
		return b.wind()
	}
	return err
}

// leastPace is how soon a sleeper wakes that has just been busy.
const leastPace = 8 * time.Millisecond

// nextPace doubles with each time that nothing but the tick ended a sleep: what may have gone wrong is looked
// for soon after there was something to read, and seldom on a port that has nothing to do.
func nextPace(pace, tick time.Duration, late bool) time.Duration {
	if late {
		return min(2*pace, tick)
	}
	return min(leastPace, tick)
}

// wind sets when the next sleeper wakes at the latest.
func (b *waker) wind() error {
	if b.tick == 0 {
		return b.file.SetReadDeadline(time.Time{})
	}
	return b.file.SetReadDeadline(time.Now().Add(b.pace))
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
// it is exchanged or closed. One goroutine at a time may sleep.
func (l *lease) wait() error {
	l.mu.RLock()
	waker, changed, closed := l.waker, l.changed, l.closed
	l.mu.RUnlock()
	switch {
	case closed:
		return ErrClosed
	case waker == nil || l.dead.Load():
		<-changed
	case waker.wait() != nil: // closed under our feet, or exchanged
		l.mu.RLock()
		closed = l.closed
		l.mu.RUnlock()
	}
	if closed {
		return ErrClosed
	}
	return nil
}

// manyFrames is after how many frames leaving the set pays, which costs as much as looking up who waits does for some ten.
const manyFrames = 64

// took tells of frames that were read. Many of them spare their senders the look for a sleeper, until there is one. The caller
// is the reader and holds the lease.
func (l *lease) took(n int) {
	if l.came += n; l.came >= manyFrames && l.waker != nil {
		l.came = 0
		l.waker.leave()
	}
}

// hush and listen are those of the waker.
func (l *lease) hush() {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.waker != nil {
		l.waker.hush()
	}
}

func (l *lease) listen() {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.waker != nil {
		l.waker.listen()
	}
}

// stay says that the one who would sleep will not do so for long.
func (l *lease) stay() {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.waker != nil {
		l.waker.leave()
	}
}

// nap sleeps in a system call until the descriptor can be read, or until another one would have got the processor that Go has for
// this goroutine: within that time it wakes without another thread's help. It reports whether there may be something to read.
func (l *lease) nap() bool {
	fd, err := l.hold()
	if err != nil {
		return true
	}
	defer l.release()
	if fd < 0 || l.dead.Load() {
		return false
	}
	l.napped[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	l.napTime = unix.NsecToTimespec(int64(leastPace))
	n, _, _ := unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&l.napped[0])), 1, uintptr(unsafe.Pointer(&l.napTime)), 0, 0, 0)
	return int(n) == 1
}

// readable asks the kernel whether there is something to read now.
func (l *lease) readable() bool {
	fd, err := l.hold()
	if err != nil {
		return false
	}
	defer l.release()
	if l.dead.Load() {
		return false
	}
	l.asked[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	n, _, _ := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&l.asked[0])), 1, uintptr(unsafe.Pointer(&l.atOnce)), 0, 0, 0)
	return int(n) == 1
}

// put puts a descriptor in place, or nothing (-1), and closes the old one. The
// descriptor is the lease's from here on, also when it is refused.
func (l *lease) put(fd int) error { return l.exchange(fd, func() {}) }

// exchange is put, and calls also when nobody holds the one descriptor any more and
// nobody the other yet.
func (l *lease) exchange(fd int, also func()) error {
	var b *waker
	if fd >= 0 {
		var err error
		if b, err = newWaker(fd, l.tick); err != nil {
			return errors.Join(err, unix.Close(fd))
		}
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		_ = b.remove(fd)
		return ErrClosed
	}
	old, oldFD := l.waker, l.fd
	l.waker, l.fd = b, fd
	also()
	l.dead.Store(false)
	l.tell()
	l.mu.Unlock()
	return old.remove(oldFD)
}

// replace puts what next watches in place, for who must not wait, and returns what was there; that is the caller's to end. It returns nil if
// somebody holds the descriptor, or if may, which is asked when nobody does, says no.
func (l *lease) replace(next *waker, may func(fd int) bool) (old *waker) {
	if !l.mu.TryLock() {
		return nil
	}
	defer l.mu.Unlock()
	if l.closed || l.waker == nil || !may(l.fd) {
		return nil
	}
	old = l.waker
	l.waker, l.fd = next, next.fd
	l.dead.Store(false)
	l.tell()
	return old
}

// alone does something while nobody holds the descriptor.
func (l *lease) alone(do func(fd int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do(l.fd)
}

// poke ends the sleep of who sleeps, or will next.
func (l *lease) poke() {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.waker != nil {
		_ = l.waker.file.SetReadDeadline(time.Now())
	}
}

// remove ends the watching and closes what was watched.
func (b *waker) remove(fd int) error {
	if b == nil {
		return nil
	}
	return errors.Join(b.end(), unix.Close(fd))
}

// end ends the watching, and the sleep of who sleeps.
func (b *waker) end() error {
	b.mu.Lock()
	b.set, b.held = -1, false // the number may mean another file from here on
	b.mu.Unlock()
	return b.file.Close()
}

// close ends the lease. Whoever sleeps wakes.
func (l *lease) close() error {
	l.mu.Lock()
	old, fd := l.waker, l.fd
	if !l.closed {
		l.closed, l.waker, l.fd = true, nil, -1
		l.tell()
	}
	l.mu.Unlock()
	return old.remove(fd)
}

// tell wakes those who wait for a change. The caller holds mu.
func (l *lease) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Yield lets another thread that wants this processor have it.
func Yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
