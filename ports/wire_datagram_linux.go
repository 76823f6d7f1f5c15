package ports

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// datagramSender sends datagrams, as many as possible in one system call.
type datagramSender struct {
	conn  datagramConn
	raw   syscall.RawConn
	t     *transmitter
	name  unix.RawSockaddrUnix // of the peer of a unix socket
	queue bool                 // a full peer has to be asked again: the poller is not always told when it has room
	timed bool                 // the call waits for the poller no longer than sendRetry
	call  func(fd uintptr) bool
	sent  int        // of the last call
	errno unix.Errno // of the last call
}

func newDatagramSender(conn datagramConn) (*datagramSender, error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &datagramSender{conn: conn, raw: raw, t: newTransmitter(sendBatch)}
	s.call = s.once
	if pair, ok := conn.(*unixPair); ok {
		s.queue = true
		s.address(pair.remote)
	}
	return s, nil
}

// address makes the peer's address that of all messages.
func (s *datagramSender) address(a *net.UnixAddr) {
	s.name.Family = unix.AF_UNIX
	n := 2 + 1 // with the zero byte behind the path
	for i := range len(a.Name) {
		s.name.Path[i] = int8(a.Name[i])
		n++
	}
	if a.Name[0] == '@' { // an abstract name begins with a zero byte and ends without one
		s.name.Path[0] = 0
		n--
	}
	for i := range s.t.msgs {
		s.t.msgs[i].hdr.Name = (*byte)(unsafe.Pointer(&s.name))
		s.t.msgs[i].hdr.Namelen = uint32(n)
	}
}

// once sends what is placed. False: the poller shall wait until there is room.
func (s *datagramSender) once(fd uintptr) bool {
	s.sent, s.errno = s.t.send(int(fd), 0)
	return s.errno != unix.EAGAIN || s.queue && !s.timed
}

// within lets the next calls wait for the poller, up to a moment; none: they do not wait.
func (s *datagramSender) within(end time.Time) error {
	s.timed = !end.IsZero()
	return s.conn.SetWriteDeadline(end)
}

// send sends datagrams and says how many went; err is why the next one did not. UDP reports a refusal of an
// earlier datagram instead of sending this one, so a refusal is tried once more. It is patient with a
// full peer, but not for long.
func (s *datagramSender) send(ctx context.Context, list [][]byte) (n int, err error) {
	for _, b := range list[:min(len(list), sendBatch)] {
		s.t.addFinished(b)
	}
	defer s.t.clear()
	refused := false
	for waited := time.Duration(0); ; {
		err := s.raw.Write(s.call)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err, s.errno = nil, unix.EAGAIN
		}
		switch {
		case err != nil:
			return 0, err
		case s.errno == 0:
			n = s.sent
		case s.errno == unix.EINTR:
			continue
		case s.errno == unix.EAGAIN:
			if waited += sendRetry; waited <= sendPatience && ctx.Err() == nil {
				if err = s.within(time.Now().Add(sendRetry)); err == nil {
					continue
				}
			} else {
				err = os.ErrDeadlineExceeded
			}
		case s.errno == unix.ECONNREFUSED && !s.queue && !refused:
			refused = true
			continue
		default:
			err = s.errno
		}
		if s.timed {
			_ = s.within(time.Time{}) // fails on a closed socket alone, which the next call tells
		}
		return n, err
	}
}

// receiveBatch is how many datagrams one system call takes in at most: room for each is there all the time.
const receiveBatch = 16

// datagramReceiver takes datagrams, several in one system call.
type datagramReceiver struct {
	raw   syscall.RawConn
	msgs  [receiveBatch]mmsghdr
	iovs  [receiveBatch]unix.Iovec
	room  [receiveBatch][]byte
	call  func(fd uintptr) bool
	got   int        // of the last call
	errno unix.Errno // of the last call
}

// newDatagramReceiver has room for datagrams of size bytes; what is longer is cut.
func newDatagramReceiver(conn datagramConn, size int) (*datagramReceiver, error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &datagramReceiver{raw: raw}
	r.call = r.once
	for i := range r.msgs {
		r.room[i] = make([]byte, size)
		r.iovs[i].Base = unsafe.SliceData(r.room[i])
		r.iovs[i].SetLen(size)
		r.msgs[i].hdr.Iov = &r.iovs[i]
		r.msgs[i].hdr.SetIovlen(1)
	}
	return r, nil
}

func (r *datagramReceiver) once(fd uintptr) bool {
	for {
		got, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), receiveBatch, unix.MSG_DONTWAIT, 0, 0)
		if r.got, r.errno = int(got), errno; errno != unix.EINTR {
			return errno != unix.EAGAIN
		}
	}
}

// receive waits for datagrams and appends them to list. They are valid until the next call.
func (r *datagramReceiver) receive(list [][]byte) ([][]byte, error) {
	if err := r.raw.Read(r.call); err != nil {
		return list, err
	}
	if r.errno != 0 {
		return list, r.errno
	}
	for i := range r.got {
		list = append(list, r.room[i][:r.msgs[i].n])
	}
	return list, nil
}
