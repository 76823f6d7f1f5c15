package ports

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// How readers of devices sleep, beside Wait: packet sockets and AF_XDP sockets alike.

// Nap is Sleep for some milliseconds at most, and is woken sooner. It reports whether there may be something to read.
func (in *intake) Nap() bool { return in.lease.nap() }

// Stay says that its reader will look for frames by Ready and not sleep for long: those who send them are spared
// looking for it.
func (in *intake) Stay() { in.lease.stay() }

// Hush lets its reader sleep on when frames come, for who looks for them himself until Listen.
func (in *intake) Hush() { in.lease.hush() }

// Listen undoes Hush.
func (in *intake) Listen() { in.lease.listen() }

// Nap is Sleep for some milliseconds at most, and is woken sooner. It reports whether there may be something to read.
func (in *xdpInlet) Nap() bool { return in.lease.nap() }

// Stay says that its reader will look for frames by Ready and not sleep for long, see intake's.
func (in *xdpInlet) Stay() { in.lease.stay() }

// Hush lets its reader sleep on when frames come, for who looks for them himself until Listen.
func (in *xdpInlet) Hush() { in.lease.hush() }

// Listen undoes Hush.
func (in *xdpInlet) Listen() { in.lease.listen() }

// pollSet is a descriptor that can be read when one of the sockets can; none for no socket.
func pollSet(queues []*xsk) (int, error) {
	switch len(queues) {
	case 0:
		return -1, nil
	case 1:
		return unix.FcntlInt(uintptr(queues[0].fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	for i := 0; err == nil && i < len(queues); i++ {
		err = unix.EpollCtl(set, unix.EPOLL_CTL_ADD, queues[i].fd, &unix.EpollEvent{Events: unix.EPOLLIN})
	}
	if err == nil {
		err = unix.SetNonblock(set, true)
	}
	if err != nil {
		if set >= 0 {
			_ = unix.Close(set)
		}
		return -1, fmt.Errorf("watching the sockets: %w", err)
	}
	return set, nil
}
