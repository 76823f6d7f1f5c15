package cable

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// wireEnd is the far end of a wire: a goroutine reads, so that receive never waits.
type wireEnd struct {
	conn net.Conn
	to   net.Addr // of an unconnected socket
	came chan []byte
	path string // of the socket, to be removed
}

// wireQueue is how many frames may wait for the test.
const wireQueue = 1 << 14

func openDatagrams(local, remote string) (far, error) {
	if _, err := os.Stat(remote); err != nil {
		return nil, err // the switch is not there yet
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: local, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return (&wireEnd{conn: conn, to: &net.UnixAddr{Name: remote, Net: "unixgram"}, path: local}).datagrams(conn), nil
}

func openUDP(local, remote string) (far, error) {
	la, err := net.ResolveUDPAddr("udp", local)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{LocalAddr: la}
	conn, err := d.Dial("udp", remote)
	if err != nil {
		return nil, err
	}
	return (&wireEnd{conn: conn}).datagrams(conn.(syscall.Conn)), nil
}

func openStream(path string) (far, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	e := &wireEnd{conn: conn, came: make(chan []byte, wireQueue)}
	go e.readStream()
	return e, nil
}

func (e *wireEnd) datagrams(sock syscall.Conn) far {
	if raw, err := sock.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queueBytes)
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, queueBytes)
		})
	}
	e.came = make(chan []byte, wireQueue)
	go e.readDatagrams()
	return e
}

// readDatagrams outlives a refusal, which is news of an earlier frame of ours.
func (e *wireEnd) readDatagrams() {
	buf := make([]byte, 1<<16)
	for {
		n, err := e.conn.Read(buf)
		if err == nil {
			e.came <- append([]byte(nil), buf[:n]...)
		} else if !isRefusal(err) {
			return
		}
	}
}

func isRefusal(err error) bool {
	op, is := err.(*net.OpError)
	if !is {
		return false
	}
	sys, is := op.Err.(*os.SyscallError)
	return is && sys.Err == syscall.ECONNREFUSED
}

// readStream reads QEMU's framing: four bytes of length, big endian, before each frame.
func (e *wireEnd) readStream() {
	r := bufio.NewReader(e.conn)
	var head [4]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		e.came <- b
	}
}

func (e *wireEnd) send(frame []byte, _ packet.Offload) (err error) {
	switch c := e.conn.(type) {
	case *net.UDPConn:
		if _, err = c.Write(frame); err != nil && isRefusal(err) {
			_, err = c.Write(frame)
		}
	case *net.UnixConn:
		if e.to != nil {
			_, err = c.WriteTo(frame, e.to)
		} else {
			_, err = c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
		}
	}
	return err
}

func (e *wireEnd) receive() (*packet.Frame, bool) {
	select {
	case b := <-e.came:
		f := packet.NewFrame(len(b))
		f.SetBytes(b)
		return f, true
	default:
		return nil, false
	}
}

func (e *wireEnd) close() {
	e.conn.Close()
	if e.path != "" {
		os.Remove(e.path)
	}
	for { // a reader that waits for room goes on, and ends
		select {
		case <-e.came:
		default:
			return
		}
	}
}
