// Slow path: what happens to a frame, for "weir trace": flowtable's steps with names, numbers and words.

package agent

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"strconv"
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
	"github.com/weirswitch/weir/ports"
)

// TraceRequest says which frame is to be traced: one that has the fields of Flow, or the bytes of Frame.
type TraceRequest struct {
	Flow   string `json:"flow,omitempty"`    // in ovs-ofctl's words
	Frame  []byte `json:"frame,omitempty"`   // in base64
	InPort string `json:"in_port,omitempty"` // name or number; Flow may say it, too
	Length int    `json:"length,omitempty"`  // of the frame that Flow becomes; 0: what its headers need
	// Segment makes it a super-frame of TCP or UDP, to be cut after so many bytes of data; 0: it is an ordinary one.
	Segment int  `json:"segment,omitempty"`
	Send    bool `json:"send,omitempty"` // afterwards forward it in earnest
}

// TraceStatus is what happens to a frame.
type TraceStatus struct {
	InPort  uint32 `json:"in_port"`
	Fields  string `json:"fields"` // of the frame, in ovs-ofctl's words
	Frame   string `json:"frame"`  // hex, as all frames below
	Length  int    `json:"length"`
	Cache   string `json:"cache"` // which remembered path would serve it
	Cached  []int  `json:"cached_tables,omitempty"`
	Workers int    `json:"workers_that_cache"` // how many remember a path for it
	Asked   int    `json:"workers_asked"`      // how many there are, unless some did not come to rest for a tenth of a second
	Kept    bool   `json:"path_kept"`          // its own path is such that it is remembered
	PathFor string `json:"path_for,omitempty"` // the frames that such a path serves: the fields, and bits of them, that they share
	Path    string `json:"path"`               // that in words

	Steps     []TraceStep     `json:"steps"`
	Omitted   int             `json:"steps_omitted,omitempty"`
	Outputs   []TraceOutput   `json:"outputs"`
	PacketIns []TracePacketIn `json:"packet_ins"`
	Drops     []string        `json:"drops"`
	Verdict   string          `json:"verdict"`
	Sent      bool            `json:"sent,omitempty"`
}

// TraceStep is one step. Steps that belong to another one follow it and are deeper.
type TraceStep struct {
	Depth int      `json:"depth"`
	Kind  string   `json:"kind"`            // table, meter, action, normal, group, bucket, write, metadata, goto, action_set, output, packet_in, drop, kept
	Label string   `json:"label,omitempty"` // of a step of depth 0
	Text  string   `json:"text"`
	Notes []string `json:"notes,omitempty"`

	Table   *uint8      `json:"table,omitempty"`
	Flow    *FlowStatus `json:"flow,omitempty"` // none: a table miss
	Near    []TraceNear `json:"near,omitempty"`
	Action  string      `json:"action,omitempty"`
	Set     string      `json:"action_set,omitempty"`
	Before  string      `json:"before,omitempty"`
	After   string      `json:"after,omitempty"`
	Changed []string    `json:"changed,omitempty"`

	Meter  *TraceMeter  `json:"meter,omitempty"`
	Group  *TraceGroup  `json:"group,omitempty"`
	Bucket *int         `json:"bucket,omitempty"`
	Normal *TraceNormal `json:"normal,omitempty"`
}

// TraceMeter is what a meter says of the frame.
type TraceMeter struct {
	Meter   uint32 `json:"meter"`
	Verdict string `json:"verdict"` // pass, drop, remark
	Rate    uint64 `json:"rate,omitempty"`
}

// TraceGroup is a group as the frame meets it. The buckets that run follow as steps.
type TraceGroup struct {
	Group  uint32 `json:"group"`
	Type   string `json:"type"`
	Hash   string `json:"hash,omitempty"` // select: of the frame, as hex
	Point  uint64 `json:"point,omitempty"`
	Weight uint64 `json:"weight,omitempty"` // of all buckets
	Live   []bool `json:"live"`             // bucket by bucket
}

// TraceNormal is the learning switch's reasoning.
type TraceNormal struct {
	VLAN     uint16 `json:"vlan"`
	Carried  bool   `json:"vlan_carried"` // by the port it came in by
	Src      string `json:"src"`
	Learning string `json:"learning,omitempty"` // new, again, moved, static, refused, full
	Dst      string `json:"dst"`
	Known    bool   `json:"dst_known"`
	Port     uint32 `json:"dst_port,omitempty"`
}

// TraceNear is an entry that the frame nearly met.
type TraceNear struct {
	Flow   FlowStatus `json:"flow"`
	Failed []string   `json:"failed"` // "has tp_dst=80, wants tp_dst=443"; empty: it matches and loses
}

// TraceOutput is a frame that leaves the tables by a port, and what the port does with it.
type TraceOutput struct {
	Port     uint32 `json:"port"`
	Name     string `json:"name,omitempty"`
	Queue    uint32 `json:"queue,omitempty"`
	Frame    string `json:"frame"`
	Lost     string `json:"lost,omitempty"`     // why the port, or its queue, loses it: the name of its drop counter
	Waits    bool   `json:"waits,omitempty"`    // in its queue, for its turn
	Frames   int    `json:"frames"`             // that reach the device; several where it is cut, none where it is lost
	Finished bool   `json:"finished,omitempty"` // its checksum is completed, or it is cut, in software
}

// TracePacketIn is a frame that goes to the controllers.
type TracePacketIn struct {
	Reason string `json:"reason"`
	Table  uint8  `json:"table"`
	Cookie Cookie `json:"cookie"`
	MaxLen uint16 `json:"max_len"`
	Frame  string `json:"frame"`
}

// Trace tells what happens to a frame. Unless the request says Send, nothing changes: no counter, address,
// meter or timeout.
func (s *Switch) Trace(q TraceRequest) (*TraceStatus, error) {
	f, err := s.traceFrame(q)
	if err != nil {
		return nil, err
	}
	now := s.clock.Now()
	w := traceWriter{sw: s, table: s.table.Load(), now: now, frame: f, out: &TraceStatus{
		InPort: f.InPort, Frame: fmt.Sprintf("%x", f.Bytes()), Length: f.Len(),
		Steps: []TraceStep{}, Outputs: []TraceOutput{}, PacketIns: []TracePacketIn{}, Drops: []string{},
	}}
	path := s.askCaches(w.out, f)
	tr := s.pipe.Trace(now, f)
	w.write(tr)
	w.cached(path, tr)
	if q.Send {
		worker := <-s.workers
		worker.receive(f)
		s.workers <- worker
		w.out.Sent = true
	}
	return w.out, nil
}

// traceFrame makes the frame of a request.
func (s *Switch) traceFrame(q TraceRequest) (*packet.Frame, error) {
	in, err := s.traceInPort(q.InPort)
	if err != nil {
		return nil, err
	}
	f := packet.NewFrame(len(q.Frame))
	f.SetBytes(q.Frame)
	switch {
	case q.Flow != "" && len(q.Frame) > 0:
		return nil, errors.New("a flow and a frame: give one of them")
	case q.Flow == "" && len(q.Frame) == 0:
		return nil, errors.New("which frame? Give FLOW, such as in_port=1,tcp,nw_dst=10.0.0.2,tp_dst=80, or --hex or --pcap")
	case q.Flow != "":
		m, err := ofctl.ParseMatch(q.Flow, s.names())
		if err != nil {
			return nil, err
		}
		if q.Length < 0 || q.Length > maxTraced {
			return nil, fmt.Errorf("a frame of %d bytes: expected at most %d", q.Length, maxTraced)
		}
		if f, err = flowtable.Compose(m, q.Length); err != nil {
			return nil, err
		}
	case q.Length != 0:
		return nil, errors.New("a length is for the frame that a flow describes: a frame given in bytes has its own")
	case f.Len() > frameRoom:
		return nil, fmt.Errorf("a frame of %d bytes: expected at most %d", f.Len(), frameRoom)
	}
	switch {
	case f.InPort == 0 && in == 0:
		return nil, errors.New("by which port does the frame come in? Say in_port=PORT in FLOW, or --in-port PORT")
	case f.InPort != 0 && in != 0 && f.InPort != in:
		return nil, fmt.Errorf("FLOW says in_port=%d and --in-port says %d: give one of them", f.InPort, in)
	case in != 0:
		f.InPort = in
	}
	f.Parse()
	if q.Segment != 0 {
		return f, flowtable.Segmented(f, q.Segment)
	}
	return f, nil
}

// maxTraced is the longest frame with a single header for Ethernet whose IP length can be told.
const maxTraced = 65535

// traceInPort is the number of a port; 0: nothing was said. A number that no port has is traced as well.
func (s *Switch) traceInPort(text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	if p := s.findPort(text); p != nil {
		return p.number, nil
	}
	if n, err := strconv.ParseUint(text, 0, 32); err == nil && n > 0 {
		return uint32(n), nil
	}
	return 0, s.noSuchPort(text)
}

// names are the ports' for what people type.
func (s *Switch) names() *ofctl.Names {
	m := map[openflow.PortNo]string{}
	for _, p := range s.table.Load().list {
		m[openflow.PortNo(p.number)] = p.name
	}
	return ofctl.NewNames(m, nil)
}

// askCaches asks the workers whether they remember a path for the frame.
func (s *Switch) askCaches(out *TraceStatus, f *packet.Frame) (path *flowtable.CachedPath) {
	out.Asked = s.askWorkers(func(w *worker) {
		if p := w.proc.Cached(f); p != nil {
			path = p
			out.Workers++
		}
	})
	return path
}

// askPatience is how long a trace waits for workers. One that forwards rests after maxRounds batches at the latest.
const askPatience = 100 * time.Millisecond

// askWorkers calls ask for each worker once, between two of its batches, and says how many there were in askPatience.
// One at a time is kept from forwarding, for a moment.
func (s *Switch) askWorkers(ask func(*worker)) int {
	asked := map[*worker]bool{}
	enough := time.After(askPatience)
	for len(asked) < len(s.allWorkers) {
		select {
		case w := <-s.workers:
			again := asked[w]
			if !again {
				asked[w] = true
				ask(w)
			}
			s.workers <- w
			if again { // the others forward
				time.Sleep(200 * time.Microsecond)
			}
		case <-enough:
			return len(asked)
		}
	}
	return len(asked)
}

// CapturedFrames reads the frames of a pcap or pcapng file in turn; each is valid until the next. An error
// is the last thing it gives.
func CapturedFrames(file string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r, err := os.Open(file)
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.Close()
		ports.CapturedFrames(file, r)(yield)
	}
}
