// Slow path: which process is at the other end of a unix socket.

package agent

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerProcess is the process that listens at the other end; 0: it has no number here.
func peerProcess(conn net.Conn) int {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	var cred *unix.Ucred
	if raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return 0
	}
	return int(cred.Pid)
}
