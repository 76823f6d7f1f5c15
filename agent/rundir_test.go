package agent

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// dying is the socket of a killed process: it takes connections and answers none of them until the
// kernel has closed it.
func dying(t *testing.T, path string, lives time.Duration) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	time.AfterFunc(lives, func() { l.Close() })
	t.Cleanup(func() { l.Close() })
}

// TestClaimAfterKill: a process that was killed keeps its sockets while the kernel removes its taps,
// some 25 ms each. The next start waits for that instead of calling the bridge running.
func TestClaimAfterKill(t *testing.T) {
	dir := socketDir(t)
	dying(t, controlPath(dir, "br0"), 300*time.Millisecond)
	l, err := claim(dir, "br0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestListenAfterKill is the same for the sockets that speak OpenFlow.
func TestListenAfterKill(t *testing.T) {
	path := controlPath(socketDir(t), "br0")
	dying(t, path, 300*time.Millisecond)
	l, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestClaimOfABusyBridge: one that turns the question away still runs.
func TestClaimOfABusyBridge(t *testing.T) {
	dir := socketDir(t)
	l, err := net.Listen("unix", controlPath(dir, "br0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for turned := 0; ; turned++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if turned > 2 {
				io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			}
			c.Close()
		}
	}()
	if _, err := claim(dir, "br0"); err == nil || !strings.Contains(err.Error(), "is running already") {
		t.Errorf("error %v", err)
	}
}

// TestAnswerCutShort: a bridge that stops in the middle of its answer does not answer, and has not said what nobody understands.
func TestAnswerCutShort(t *testing.T) {
	for body, want := range map[string]string{`{"name": "br`: "does not answer: unexpected EOF", `{"name": 7}` + strings.Repeat(" ", 89): "does not understand"} {
		dir := socketDir(t)
		l, err := net.Listen("unix", controlPath(dir, "br0"))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1000))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"+body)
			c.Close()
		}()
		c, err := Dial(dir, "br0")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Status(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
		c.Close()
		l.Close()
	}
}
