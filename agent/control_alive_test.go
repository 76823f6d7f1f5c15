package agent

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// clientOf is a client of whatever serves as br0's control socket in a folder of its own; it asks after short times.
func clientOf(t *testing.T, silence time.Duration, serve func(net.Listener)) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "br0.ctl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serve(l)
	c, err := Dial(dir, "br0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.bears = forbearance{first: 20 * time.Millisecond, silence: silence, ending: patienceOfTests}
	return c
}

const patienceOfTests = time.Minute

// TestStoppedProcess: connections to a stopped process succeed, and nobody answers. Whoever asks is told so, and which it is.
func TestStoppedProcess(t *testing.T) {
	for name, ask := range map[string]func(*Client) error{
		"status": func(c *Client) error { _, err := c.Status(); return err },
		"stop":   func(c *Client) error { return c.Stop(true) },
		"watch": func(c *Client) error {
			return c.Watch(t.Context(), WatchOptions{}, func(*Watched) error { return nil }, nil)
		},
	} {
		c := clientOf(t, 50*time.Millisecond, func(net.Listener) {})
		err := ask(c)
		var silent *UnansweredError
		if !errors.As(err, &silent) || silent.Bridge != "br0" || !strings.Contains(err.Error(), "does not answer") {
			t.Fatalf("%s: %v", name, err)
		}
		if runtime.GOOS == "linux" && silent.PID != os.Getpid() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSlowAnswer: a process that says that it lives may take its time for an answer, and for ending when its socket has gone.
func TestSlowAnswer(t *testing.T) {
	for _, goes := range []bool{false, true} {
		probes, answer := make(chan struct{}, 100), make(chan struct{})
		var listener net.Listener
		listening := make(chan struct{})
		c := clientOf(t, patienceOfTests, func(l net.Listener) {
			listener = l
			close(listening)
			_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/reload" {
					<-answer
					replyJSON(w, Reloaded{Changes: []string{"slowly"}}, nil)
					return
				}
				probes <- struct{}{}
				http.NotFound(w, r)
			}))
		})
		done := make(chan error, 1)
		var changes []string
		go func() {
			var err error
			changes, err = c.Reload("", "")
			done <- err
		}()
		for range 3 {
			<-probes
		}
		if goes {
			<-listening
			listener.Close()
			for { // until the client has seen it
				if _, err := net.Dial("unix", c.path); err != nil {
					break
				}
			}
		}
		close(answer)
		if err := <-done; err != nil || len(changes) != 1 {
			t.Errorf("%v %v", changes, err)
		}
	}
}
