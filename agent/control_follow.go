// Slow path: the other end of the control socket's streams.

package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// SnoopOptions is what to show of a bridge's OpenFlow connections.
type SnoopOptions struct {
	All bool // also connections that listeners took: tools, and controllers that call
}

// CaptureOptions is what to show of a port's frames.
type CaptureOptions struct {
	Port    string // name or number
	Filter  string // a match in ovs-ofctl's syntax; empty: all
	Snaplen int    // bytes of each frame; 0: all
}

// WatchOptions is which frames to follow.
type WatchOptions struct {
	Filter string // a match in ovs-ofctl's syntax; empty: all
	Rate   int    // verdicts a second at most; 0: 100
}

// ErrEnough ends Snoop, Capture or Watch without an error when each returns it.
var ErrEnough = errors.New("enough")

// Snoop calls each for every message, until ctx ends (which is no error) or the bridge does. idle, if not
// nil, is called when there is nothing more to read for the moment; first when the switch shows what happens from
// then on. The Client can be closed afterwards and no more.
func (c *Client) Snoop(ctx context.Context, o SnoopOptions, each func(*Snooped) error, idle func() error) error {
	q := url.Values{}
	if o.All {
		q.Set("all", "1")
	}
	return follow(ctx, c, "/snoop", q, each, idle)
}

// Capture is Snoop for a port's frames.
func (c *Client) Capture(ctx context.Context, o CaptureOptions, each func(*Captured) error, idle func() error) error {
	q := url.Values{"port": {o.Port}, "filter": {o.Filter}}
	if o.Snaplen > 0 {
		q.Set("snaplen", strconv.Itoa(o.Snaplen))
	}
	return follow(ctx, c, "/capture", q, each, idle)
}

// Watch is Snoop for verdicts.
func (c *Client) Watch(ctx context.Context, o WatchOptions, each func(*Watched) error, idle func() error) error {
	q := url.Values{"filter": {o.Filter}}
	if o.Rate > 0 {
		q.Set("rate", strconv.Itoa(o.Rate))
	}
	return follow(ctx, c, "/watch", q, each, idle)
}

// follow reads a stream.
func follow[T any](ctx context.Context, c *Client, path string, q url.Values, each func(*T) error, idle func() error) error {
	r, err := http.NewRequestWithContext(ctx, "GET", "http://weir"+path+"?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { c.conn.Close() })() // the transport cannot: keptConn
	end := c.guard()
	answer, err := c.http.Do(r)
	silent := end() // from now on nothing may happen for long
	if ctx.Err() != nil {
		return nil
	}
	if silent != nil && err != nil {
		return silent
	}
	if err != nil {
		return fmt.Errorf("bridge %s does not answer: %w", c.Bridge, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errorIn(answer)
	}
	err = followLines(bufio.NewReaderSize(answer.Body, 256<<10), each, idle)
	switch {
	case errors.Is(err, ErrEnough), ctx.Err() != nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("bridge %s has ended", c.Bridge)
	}
	return err
}

func followLines[T any](in *bufio.Reader, each func(*T) error, idle func() error) error {
	for {
		if idle != nil && in.Buffered() == 0 {
			if err := idle(); err != nil {
				return err
			}
		}
		line, err := readLine(in)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line, []byte(`{"end":`)) {
			var end streamEnd
			if err := json.Unmarshal(line, &end); err != nil {
				return err
			}
			return errors.New(end.End)
		}
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return fmt.Errorf("the switch said what this weir does not understand: %w", err)
		}
		if err := each(&v); err != nil {
			return err
		}
	}
}

// readLine is the next line, valid until the one after; long ones are copied together.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	whole := bytes.Clone(line)
	rest, err := in.ReadBytes('\n')
	return append(whole, rest...), err
}
