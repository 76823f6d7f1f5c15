// Slow path: the answers of the control socket that go on: one JSON value a line, until the client goes.

package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// streamEnd is the last line of a stream that the switch ends; its client has asked for more.
type streamEnd struct {
	End string `json:"end"`
}

// streamRoutes adds what goes on. Each is a list of application/x-ndjson.
func (c *controlServer) streamRoutes(mux *http.ServeMux) {
	handle := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			_, err := url.ParseQuery(r.URL.RawQuery) // else a filter that cannot be read would be none
			if err == nil {
				err = h(w, r)
			}
			if err != nil {
				replyJSON(w, nil, err)
			}
		})
	}
	handle("GET /snoop", c.snoop)
	handle("GET /capture", c.capture)
	handle("GET /watch", c.watch)
}

func (c *controlServer) snoop(w http.ResponseWriter, r *http.Request) error {
	s := &snooper{onlooker: newOnlooker[snoopNote](), all: r.URL.Query().Get("all") != ""}
	if err := c.bridge.sw.snoopers.join(s); err != nil {
		return err
	}
	defer c.bridge.sw.snoopers.leave(s)
	c.stream(w, r, nil, s.wake, func(e *json.Encoder) error {
		return pass(s.onlooker, e, func(n snoopNote, data []byte, missed uint64) any {
			return Snooped{At: n.at, Peer: *n.peer, Sent: n.sent, Data: data, Remark: n.remark, XID: n.xid, Missed: missed}
		}, func(missed uint64) any { return Snooped{At: time.Now(), Missed: missed} })
	})
	return nil
}

// maxSnaplen is the longest frame: a super-frame with its tags.
const maxSnaplen = frameRoom

func (c *controlServer) capture(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	sw := c.bridge.sw
	p := sw.findPort(q.Get("port"))
	if p == nil {
		return sw.noSuchPort(q.Get("port"))
	}
	filter, err := sw.parseFilter(q.Get("filter"))
	if err != nil {
		return err
	}
	snaplen, err := numberArg(q, "snaplen", maxSnaplen, 1, maxSnaplen)
	if err != nil {
		return err
	}
	o := &capturer{onlooker: newOnlooker[captureNote](), filter: filter, snaplen: snaplen}
	if err := p.seen.join(o); err != nil {
		return err
	}
	defer p.seen.leave(o)
	c.stream(w, r, p, o.wake, func(e *json.Encoder) error {
		return pass(o.onlooker, e, func(n captureNote, data []byte, missed uint64) any {
			return Captured{At: n.at, Out: n.out, Length: n.length, Data: data, Missed: missed}
		}, func(missed uint64) any { return Captured{At: time.Now(), Missed: missed} })
	})
	return nil
}

// Watched is the way of one frame through the switch.
type Watched struct {
	At      time.Time      `json:"time"`
	InPort  uint32         `json:"in_port"`
	InName  string         `json:"in_name"`
	Length  int            `json:"length"`
	Data    []byte         `json:"data,omitempty"` // its beginning as it came in
	Entries []WatchedEntry `json:"entries"`        // met, in order
	Miss    *int           `json:"miss,omitempty"` // the table that had no entry for it
	Out     []WatchedPort  `json:"out,omitempty"`
	// Reasons of packet-ins; the controllers' limits come afterwards.
	PacketIn  []string `json:"packet_in,omitempty"`
	Drops     []string `json:"drops,omitempty"`     // why it, or copies of it, went nowhere
	Kept      bool     `json:"kept,omitempty"`      // a fragment that waits for the others of its packet
	Resubmits int      `json:"resubmits,omitempty"` // how many there were
	// What they met: as much as there is, up to 32.
	Behind []WatchedBehind `json:"behind_resubmits,omitempty"`
	Cached bool            `json:"cached"`           // decided by what a frame before it met
	OneIn  uint64          `json:"one_in"`           // frames of which one was looked at
	Missed uint64          `json:"missed,omitempty"` // verdicts before this one that were too many to be shown
}

// WatchedEntry is an entry that a frame met.
type WatchedEntry struct {
	Table    uint8  `json:"table"`
	Priority uint16 `json:"priority"`
	Cookie   string `json:"cookie"`
}

// WatchedBehind is an entry met by a resubmit, or by a goto_table behind one.
type WatchedBehind struct {
	WatchedEntry
	Found bool `json:"found"` // false: the table had no entry
	Under int  `json:"under"` // which of entries led there, from 0
	Depth int  `json:"depth"` // resubmits around it, from 1
}

// WatchedPort is a port by which a frame left, or was queued to leave.
type WatchedPort struct {
	Port  uint32 `json:"port"`
	Name  string `json:"name"`
	Queue uint32 `json:"queue,omitempty"`
}

func (c *controlServer) watch(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	sw := c.bridge.sw
	filter, err := sw.parseFilter(q.Get("filter"))
	if err != nil {
		return err
	}
	rate, err := numberArg(q, "rate", defaultVerdicts, 1, mostVerdicts)
	if err != nil {
		return err
	}
	o := newViewer(filter, rate)
	if err := sw.viewers.join(o); err != nil {
		return err
	}
	defer sw.viewers.leave(o)
	c.stream(w, r, nil, o.wake, func(e *json.Encoder) error {
		return pass(o.onlooker, e, func(n watchNote, data []byte, missed uint64) any { return sw.watched(n, data, missed) },
			func(missed uint64) any { return Watched{At: time.Now(), Missed: missed} })
	})
	return nil
}

// defaultVerdicts is the rate of verdicts that nobody has chosen, a second.
const defaultVerdicts = 100

func newViewer(filter *flowtable.Filter, rate int) *viewer {
	o := &viewer{onlooker: newOnlooker[watchNote](), filter: filter}
	o.looks.every, o.tells.every = looksEvery, time.Second/time.Duration(rate)
	return o
}

func (s *Switch) watched(n watchNote, data []byte, missed uint64) Watched {
	v := &n.verdict
	m := Watched{At: n.at, InPort: n.in, InName: s.portName(n.in), Length: n.length, Data: data, Entries: []WatchedEntry{}, PacketIn: n.packetIn,
		Kept: v.Kept, Resubmits: v.Resubmits, Cached: v.Cached, OneIn: n.oneIn, Missed: missed}
	for _, e := range v.Steps {
		m.Entries = append(m.Entries, watchedEntry(e))
	}
	for _, b := range v.Behind {
		m.Behind = append(m.Behind, WatchedBehind{watchedEntry(b.Step), b.Found, b.Under, b.Depth})
	}
	if v.Miss >= 0 {
		m.Miss = &v.Miss
	}
	for _, o := range n.out {
		m.Out = append(m.Out, WatchedPort{o.port, s.portName(o.port), o.queue})
	}
	for _, d := range v.Drops {
		m.Drops = append(m.Drops, d.String())
	}
	return m
}

func watchedEntry(e flowtable.Step) WatchedEntry {
	return WatchedEntry{e.Table, e.Priority, fmt.Sprintf("0x%x", e.Cookie)}
}

func (s *Switch) portName(no uint32) string {
	if p := s.table.Load().get(no); p != nil {
		return p.name
	}
	return ""
}

// parseFilter compiles a match in ovs-ofctl's syntax; nil for none. Ports may be named.
func (s *Switch) parseFilter(text string) (*flowtable.Filter, error) {
	if text == "" {
		return nil, nil
	}
	names := map[openflow.PortNo]string{}
	for _, p := range s.table.Load().list {
		names[openflow.PortNo(p.number)] = p.name
	}
	m, err := ofctl.ParseMatch(text, ofctl.NewNames(names, nil))
	if err != nil {
		return nil, fmt.Errorf("the filter is a match as in \"ovs-ofctl add-flow\", such as in_port=1,tcp,tp_dst=80: %w", err)
	}
	return flowtable.NewFilter(m), nil
}

func numberArg(q url.Values, name string, otherwise, least, most int) (int, error) {
	text := q.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s %q: expected a number from %d to %d", name, text, least, most)
	}
	return n, nil
}

// stream writes lines whenever wake says that there are some, until the client goes, the bridge stops or
// the port p, if there is one, is taken out.
func (c *controlServer) stream(w http.ResponseWriter, r *http.Request, p *port, wake <-chan struct{}, lines func(*json.Encoder) error) {
	var gone <-chan struct{}
	if p != nil {
		gone = p.done
	}
	rc := http.NewResponseController(w)
	stopping := c.bridge.sw.running.Done()
	defer context.AfterFunc(c.bridge.sw.running, func() { _ = rc.SetWriteDeadline(time.Now().Add(time.Second)) })() // who does not read must not keep it
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	b := bufio.NewWriterSize(w, 64<<10)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	for {
		if b.Flush() != nil || rc.Flush() != nil { // the first one tells the client that it sees all from now on
			return
		}
		end := ""
		select {
		case <-wake:
		case <-r.Context().Done():
			return
		case <-stopping:
			end = "bridge " + c.bridge.name + " has stopped"
		case <-gone:
			end = "port " + p.name + " was taken out"
		}
		if lines(e) != nil {
			return
		}
		if end != "" {
			_ = e.Encode(streamEnd{end})
			_ = b.Flush()
			return
		}
	}
}

// pass writes what an onlooker has.
func pass[T any](o *onlooker[T], e *json.Encoder, line func(what T, data []byte, missed uint64) any, rest func(missed uint64) any) error {
	notes, data, missed := o.take(o.spareNotes, o.spareData)
	o.spareNotes, o.spareData = notes, data
	for i := range notes {
		n := &notes[i]
		if err := e.Encode(line(n.what, data[n.from:n.to], n.missed)); err != nil {
			return err
		}
	}
	if missed > 0 {
		return e.Encode(rest(missed))
	}
	return nil
}
