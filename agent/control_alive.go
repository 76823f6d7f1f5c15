// Slow path: whether the process at the other end of a control socket still does anything.

package agent

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// An answer may take as long as a reload needs. So what has a limit is not the answer: a process that is
// asked over another connection whether it lives says so at once, unless it is stopped or hangs.
type forbearance struct {
	first   time.Duration // how long an answer may take before that is asked, and from one time to the next
	silence time.Duration // how long that may take
	ending  time.Duration // how long a process may take whose control socket is gone
}

var usualForbearance = forbearance{first: time.Second, silence: 4 * time.Second, ending: controlTimeout}

// UnansweredError is told of a process that takes connections and does not say a word.
type UnansweredError struct {
	Bridge string
	PID    int // 0: not known
}

// Error names the process and what may be wrong with it.
func (e *UnansweredError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("bridge %s: its process does not answer: is it stopped?", e.Bridge)
	}
	return fmt.Sprintf("bridge %s: %s", e.Bridge, stopped(e.PID))
}

func stopped(pid int) string {
	return fmt.Sprintf("process %d does not answer: is it stopped? \"kill -CONT %d\" lets it go on", pid, pid)
}

// Unanswered says what may be wrong with the program at the other end of a connection, which says nothing. conn may be nil.
func Unanswered(conn net.Conn) string {
	if local, ok := conn.(*net.UnixConn); ok {
		if pid := peerProcess(local); pid != 0 {
			return stopped(pid)
		}
	}
	return "what listens there may be stopped, or be no OpenFlow switch"
}

// guard closes the connection when the process does not answer any more. end says whether that has happened, and ends the
// guarding.
func (c *Client) guard() (end func() error) {
	var silent error // written before over is closed
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		timer := time.NewTimer(c.bears.first)
		defer timer.Stop()
		var gone time.Time
		for {
			select {
			case <-done:
				return
			case <-timer.C:
			}
			switch err := c.alive(done); {
			case err == nil:
				gone = time.Time{}
			case errors.Is(err, net.ErrClosed):
				return
			case errors.Is(err, errEnding) && gone.IsZero():
				gone = time.Now()
			case !errors.Is(err, errEnding) || time.Since(gone) > c.bears.ending:
				silent = &UnansweredError{c.Bridge, c.PID}
				c.conn.Close()
				return
			}
			timer.Reset(c.bears.first)
		}
	}()
	return sync.OnceValue(func() error {
		close(done)
		<-over
		return silent
	})
}

// errEnding says that a bridge's process has taken its control socket away.
var errEnding = errors.New("it ends")

// alive asks for anything: an older weir answers, too, that it does not know this. It ends early with done.
func (c *Client) alive(done <-chan struct{}) error {
	end := time.Now().Add(c.bears.silence)
	conn, err := net.DialTimeout("unix", c.path, c.bears.silence)
	for errors.Is(err, syscall.EAGAIN) && time.Now().Before(end) { // as many wait for it as the kernel allows
		select {
		case <-done:
			return net.ErrClosed
		case <-time.After(10 * time.Millisecond):
		}
		conn, err = net.DialTimeout("unix", c.path, c.bears.silence)
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return errEnding
	}
	if err != nil {
		return err
	}
	heard := make(chan error, 1)
	go func() {
		_ = conn.SetDeadline(end)
		if peerProcess(conn) != c.PID { // the next process of that name
			heard <- errEnding
			return
		}
		_, _ = io.WriteString(conn, "GET /alive HTTP/1.0\r\n\r\n")
		_, err := conn.Read(make([]byte, 1))
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			err = errEnding
		}
		heard <- err
	}()
	defer conn.Close()
	select {
	case <-done:
		return net.ErrClosed
	case err := <-heard:
		return err
	}
}
