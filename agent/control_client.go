// Slow path: the other end of NAME.ctl, for weir's commands and for programs.

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// Client talks to one running bridge. It may be used by one goroutine at a time.
type Client struct {
	Bridge string
	PID    int      // of the process that runs it; 0: not known
	conn   net.Conn // one connection, kept: Stop waits for its end
	http   http.Client
	path   string // of the control socket
	bears  forbearance
}

// ErrNotRunning is what Dial returns, wrapped, when no process answers for a bridge.
var ErrNotRunning = errors.New("is not running")

// controlTimeout is how long a process may take to end after its last bridge has stopped.
const controlTimeout = 30 * time.Second

// Dial connects to the bridge of that name in a run directory.
func Dial(runDir, bridge string) (*Client, error) {
	path := controlPath(runDir, bridge)
	conn, err := net.DialTimeout("unix", path, 5*time.Second)
	switch {
	case errors.Is(err, syscall.EAGAIN): // so many wait for it already
		return nil, &UnansweredError{Bridge: bridge}
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("bridge %s %w in %s%s", bridge, ErrNotRunning, runDir, otherBridges(runDir, bridge))
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("bridge %s belongs to another user: %w", bridge, err)
	case err != nil:
		return nil, fmt.Errorf("bridge %s: %w", bridge, err)
	}
	c := &Client{Bridge: bridge, PID: peerProcess(conn), conn: conn, path: path, bears: usualForbearance}
	used := false
	c.http.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		if used {
			return nil, errors.New("the process has ended the connection")
		}
		used = true
		return keptConn{conn}, nil
	}}
	return c, nil
}

// keptConn is closed by the Client alone: after /stop it is watched for its end.
type keptConn struct{ net.Conn }

func (keptConn) Close() error { return nil }

// otherBridges helps who mistyped a name.
func otherBridges(runDir, bridge string) string {
	names := Running(runDir)
	if near := Nearest(bridge, names); near != "" {
		return fmt.Sprintf(", did you mean %s?", near)
	}
	switch len(names) {
	case 0:
		return "; no bridge is"
	case 1:
		return "; there is " + names[0]
	}
	return "; there are " + strings.Join(names, ", ")
}

// Running lists the bridges of a run directory that a process answers for.
func Running(runDir string) []string {
	names, _ := runningBridges(runDir)
	var alive []string
	for _, name := range names {
		if c, err := net.DialTimeout("unix", controlPath(runDir, name), time.Second); err == nil {
			c.Close()
			alive = append(alive, name)
		} else if errors.Is(err, syscall.EAGAIN) {
			alive = append(alive, name) // it is stopped, as who asks it will be told
		}
	}
	return alive
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Status tells of the bridge and its process.
func (c *Client) Status() (s BridgeStatus, err error) {
	return s, c.ask("GET", "/status", nil, &s)
}

// Ports lists the ports by number.
func (c *Client) Ports() (p []PortStatus, err error) { return p, c.ask("GET", "/ports", nil, &p) }

// Flows lists the entries of one table, or of all when table is negative.
func (c *Client) Flows(table int) (f []FlowStatus, err error) {
	path := "/flows"
	if table >= 0 {
		path = fmt.Sprintf("/flows?table=%d", table)
	}
	return f, c.ask("GET", path, nil, &f)
}

// Groups lists the groups by number.
func (c *Client) Groups() (g []GroupStatus, err error) { return g, c.ask("GET", "/groups", nil, &g) }

// Meters lists the meters by number.
func (c *Client) Meters() (m []MeterStatus, err error) { return m, c.ask("GET", "/meters", nil, &m) }

// FDB lists the MAC table.
func (c *Client) FDB() (m []MACStatus, err error) { return m, c.ask("GET", "/fdb", nil, &m) }

// FlushFDB forgets the addresses learned on a port (name or number), or all.
func (c *Client) FlushFDB(port string) (int, error) {
	var f Flushed
	err := c.ask("POST", "/fdb/flush", flushRequest{port}, &f)
	return f.Addresses, err
}

// Trace tells what happens to a frame.
func (c *Client) Trace(q TraceRequest) (s *TraceStatus, err error) {
	return s, c.ask("POST", "/trace", q, &s)
}

// AddPort adds the port that a SPEC text describes.
func (c *Client) AddPort(spec string) (p AddedPort, err error) {
	return p, c.ask("POST", "/ports", addPortRequest{spec}, &p)
}

// RemovePort takes a port out, by name or number.
func (c *Client) RemovePort(name string) error {
	return c.ask("DELETE", "/ports/"+url.PathEscape(name), nil, &struct{}{})
}

// Reload applies a file (empty: the one the process was started with) to the bridge
// called only (empty: all of the process). The changes may come with an error.
func (c *Client) Reload(file, only string) ([]string, error) {
	var r Reloaded
	err := c.ask("POST", "/reload", reloadRequest{file, only}, &r)
	if err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return r.Changes, err
}

// Stop stops the bridge. With wait it returns when the bridge has stopped and, if it was
// its process's last, the process has ended.
func (c *Client) Stop(wait bool) error {
	var s Stopped
	if err := c.ask("POST", "/stop", stopRequest{wait}, &s); err != nil || !s.Last {
		return err
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(controlTimeout)); err != nil {
		return fmt.Errorf("bridge %s: %w", c.Bridge, err)
	}
	if _, err := c.conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("bridge %s has stopped, but its process has not ended within %s", c.Bridge, controlTimeout)
	}
	return nil
}

// ask sends one request and reads its answer, for as long as the process lives.
func (c *Client) ask(method, path string, args, answer any) error {
	end := c.guard()
	err := c.exchange(method, path, args, answer)
	if silent := end(); silent != nil && err != nil {
		return silent
	}
	return err
}

func (c *Client) exchange(method, path string, args, answer any) error {
	var body io.Reader = http.NoBody
	if args != nil {
		text, err := json.Marshal(args)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	q, err := http.NewRequest(method, "http://weir"+path, body)
	if err != nil {
		return err
	}
	r, err := c.http.Do(q)
	if err != nil {
		return fmt.Errorf("bridge %s does not answer: %w", c.Bridge, err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return errorIn(r)
	}
	if err := json.NewDecoder(r.Body).Decode(answer); errors.As(err, new(*json.SyntaxError)) || errors.As(err, new(*json.UnmarshalTypeError)) {
		return fmt.Errorf("bridge %s answered what this weir does not understand: %w", c.Bridge, err)
	} else if err != nil { // it stopped in the middle of it
		return fmt.Errorf("bridge %s does not answer: %w", c.Bridge, err)
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

// errorIn is the error that an answer carries.
func errorIn(r *http.Response) error {
	var e struct{ Error string }
	if json.NewDecoder(r.Body).Decode(&e) != nil || e.Error == "" {
		e.Error = "answered " + r.Status
	}
	return errors.New(e.Error)
}
