// Slow path: what weir's own commands ask of a running bridge, over NAME.ctl.

package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// The control socket speaks HTTP with JSON bodies. It belongs to one bridge; its file
// mode (0600) decides who may use it. Requests, and what is answered:
//
//	GET    /status              Process and Status of the bridge
//	GET    /ports               []PortStatus
//	POST   /ports {spec}        number and name of the new port
//	DELETE /ports/NAME
//	GET    /flows?table=N       []FlowStatus
//	GET    /groups              []GroupStatus
//	GET    /meters              []MeterStatus
//	GET    /fdb                 []MACStatus
//	POST   /fdb/flush {port}    how many addresses went
//	POST   /trace {flow, ...}   TraceStatus
//	POST   /reload {file, only} the changes made
//	POST   /stop {wait}         when the bridge has stopped, or at once
//
// and, one JSON value a line until the client goes (control_stream.go):
//
//	GET    /snoop?all=1         Snooped: messages of OpenFlow connections
//	GET    /capture?port=NAME   Captured: frames of a port; &filter=MATCH &snaplen=N
//	GET    /watch?filter=MATCH  Watched: the ways of frames; &rate=N
//
// Whatever fails is answered with a status of 400 or more and {"error": TEXT}.

// BridgeStatus is the answer to /status.
type BridgeStatus struct {
	Process ProcessStatus `json:"process"`
	Status
}

// ProcessStatus is the process that owns a bridge.
type ProcessStatus struct {
	PID     int      `json:"pid"`
	RunDir  string   `json:"rundir"`
	File    string   `json:"file,omitempty"` // the configuration file; empty: started by flags
	Bridges []string `json:"bridges"`
}

// AddedPort is the answer to a new port.
type AddedPort struct {
	Number uint32 `json:"number"`
	Name   string `json:"name"`
	Absent bool   `json:"absent,omitempty"` // its device or peer is not there yet
}

// Reloaded is the answer to /reload: one line for each change. Error tells what could
// not be done, beside the changes that were.
type Reloaded struct {
	Changes []string `json:"changes"`
	Error   string   `json:"error,omitempty"`
}

// Stopped is the answer to /stop.
type Stopped struct {
	Last bool `json:"last"` // the process ends now
}

// Flushed is the answer to /fdb/flush.
type Flushed struct {
	Addresses int `json:"addresses"`
}

// requests that carry arguments.
type (
	addPortRequest struct {
		Spec string `json:"spec"`
	}
	flushRequest struct {
		Port string `json:"port"`
	}
	reloadRequest struct {
		File string `json:"file"`
		Only string `json:"only"`
	}
	stopRequest struct {
		Wait bool `json:"wait"`
	}
)

// controlServer answers on the control socket of one bridge.
type controlServer struct {
	agent    *Agent
	bridge   *bridge
	listener net.Listener
	server   *http.Server
}

// maxControlRequest bounds the body of a request; the longest is a super-frame to be traced.
const maxControlRequest = 256 << 10

// serveControl answers on l until unlink.
func serveControl(a *Agent, b *bridge, l net.Listener) *controlServer {
	c := &controlServer{agent: a, bridge: b, listener: l}
	c.server = &http.Server{Handler: c.routes(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go func() {
		if err := c.server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			a.log.Part("control").With("bridge", b.name).Errorf("the control socket ended: %v", err)
		}
	}()
	return c
}

// unlink removes the socket. Requests under way are answered: one of them may be the
// very /stop that led here.
func (c *controlServer) unlink() { c.listener.Close() }

// routes is the table of contents of the control socket.
func (c *controlServer) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxControlRequest)
			answer, err := h(r)
			replyJSON(w, answer, err)
		})
	}
	sw := c.bridge.sw
	handle("GET /status", func(*http.Request) (any, error) { return c.status(), nil })
	handle("GET /ports", func(*http.Request) (any, error) { return orEmpty(sw.Ports()), nil })
	handle("POST /ports", c.addPort)
	handle("DELETE /ports/{name}", func(r *http.Request) (any, error) { return struct{}{}, sw.RemovePort(r.PathValue("name")) })
	handle("GET /flows", c.flows)
	handle("GET /groups", func(*http.Request) (any, error) { return orEmpty(sw.Groups()), nil })
	handle("GET /meters", func(*http.Request) (any, error) { return sw.Meters(), nil })
	handle("GET /fdb", func(*http.Request) (any, error) { return orEmpty(sw.FDB()), nil })
	handle("POST /fdb/flush", c.flush)
	handle("POST /trace", func(r *http.Request) (any, error) {
		q, err := readArgs[TraceRequest](r)
		if err != nil {
			return nil, err
		}
		return sw.Trace(q)
	})
	handle("POST /reload", c.reload)
	c.streamRoutes(mux)
	mux.HandleFunc("POST /stop", c.stop)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		replyJSON(w, nil, fmt.Errorf("%s %s is not known here: this weir may be older than the command", r.Method, r.URL.Path))
	})
	return mux
}

// replyJSON writes an answer, or the error in its place.
func replyJSON(w http.ResponseWriter, answer any, err error) {
	code := http.StatusOK
	if err != nil {
		code, answer = http.StatusBadRequest, map[string]string{"error": err.Error()}
	}
	body, _ := json.Marshal(answer) // plain structs: cannot fail
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body))) // whole with one Flush, see stop
	w.WriteHeader(code)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// orEmpty makes an empty list [] in JSON, not null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// readArgs reads the arguments of a request.
func readArgs[T any](r *http.Request) (v T, err error) {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err = d.Decode(&v); err != nil {
		err = fmt.Errorf("the request is not what %s expects: %w", r.URL.Path, err)
	}
	return v, err
}

func (c *controlServer) status() BridgeStatus {
	c.agent.mu.Lock()
	p := ProcessStatus{PID: os.Getpid(), RunDir: c.agent.runDir, File: c.agent.file}
	for _, b := range c.agent.bridges {
		p.Bridges = append(p.Bridges, b.name)
	}
	c.agent.mu.Unlock()
	return BridgeStatus{Process: p, Status: c.bridge.sw.Status()}
}

func (c *controlServer) addPort(r *http.Request) (any, error) {
	q, err := readArgs[addPortRequest](r)
	if err != nil {
		return nil, err
	}
	p, err := ParsePort(q.Spec)
	if err != nil {
		return nil, err
	}
	n, err := c.agent.addPort(c.bridge.sw, p)
	if err != nil {
		return nil, err
	}
	added := AddedPort{Number: n, Name: p.Name}
	if there := c.bridge.sw.findPort(p.Name); there != nil {
		added.Absent = !there.dev.Info().Present
	}
	return added, nil
}

func (c *controlServer) flows(r *http.Request) (any, error) {
	table := -1
	if q := r.URL.Query().Get("table"); q != "" {
		n, err := strconv.ParseUint(q, 10, 8)
		if err != nil || n > 254 {
			return nil, fmt.Errorf("table %q is not a number from 0 to 254", q)
		}
		table = int(n)
	}
	return orEmpty(c.bridge.sw.Flows(table)), nil
}

func (c *controlServer) flush(r *http.Request) (any, error) {
	q, err := readArgs[flushRequest](r)
	if err != nil {
		return nil, err
	}
	n, err := c.bridge.sw.FlushFDB(q.Port)
	return Flushed{Addresses: n}, err
}

func (c *controlServer) reload(r *http.Request) (any, error) {
	q, err := readArgs[reloadRequest](r)
	if err != nil {
		return nil, err
	}
	changes, err := c.agent.Reload(q.File, q.Only)
	if err != nil && len(changes) == 0 {
		return nil, err
	}
	answer := Reloaded{Changes: orEmpty(changes)}
	if err != nil {
		answer.Error = err.Error()
	}
	return answer, nil
}

// stop answers before the process can end: without wait at once, with it when the
// bridge has stopped. The connection stays open until the process is gone, which is how a
// client waits for that.
func (c *controlServer) stop(w http.ResponseWriter, r *http.Request) {
	q, err := readArgs[stopRequest](r)
	if err != nil {
		replyJSON(w, nil, err)
		return
	}
	if !q.Wait {
		replyJSON(w, Stopped{}, nil)
		_ = http.NewResponseController(w).Flush()
		go func() { _, _ = c.agent.StopBridge(c.bridge.name) }()
		return
	}
	c.agent.stopBridge(c.bridge.name, func(last bool, err error) {
		replyJSON(w, Stopped{Last: last}, err)
		_ = http.NewResponseController(w).Flush()
	})
}
