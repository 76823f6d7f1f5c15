// Slow path: the socket below a connection, used without waiting for it.

package agent

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// line is a connection's socket. Nothing of it sleeps or is known to the runtime's poller.
type line struct {
	raw syscall.RawConn

	// Of the one who writes, and of the one who looks.
	out         []byte
	taken       int
	asked       [1]unix.PollFd
	atOnce      unix.Timespec
	some        bool
	write, look func(fd uintptr)
}

// newLine is nil for a connection that is no socket, such as one of TLS: that may have read messages which it has not
// handed out, and the socket knows nothing of them.
func newLine(nc net.Conn) *line {
	l := new(line)
	sock, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	var err error
	if l.raw, err = sock.SyscallConn(); err != nil {
		return nil
	}
	l.write = func(fd uintptr) {
		n, err := unix.Write(int(fd), l.out)
		if l.taken = n; err != nil {
			l.taken = 0
		}
	}
	l.look = func(fd uintptr) {
		l.asked[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		n, _, _ := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&l.asked[0])), 1, uintptr(unsafe.Pointer(&l.atOnce)), 0, 0, 0)
		l.some = int(n) == 1
	}
	return l
}

// tryWrite writes what the socket takes at once, and says how much. Of what is wrong the next writer hears.
func (l *line) tryWrite(b []byte) int {
	l.out, l.taken = b, 0
	if l.raw.Control(l.write) != nil {
		return 0
	}
	l.out = nil
	return l.taken
}

// readable says whether a read would not wait.
func (l *line) readable() bool {
	return l.raw.Control(l.look) != nil || l.some
}
