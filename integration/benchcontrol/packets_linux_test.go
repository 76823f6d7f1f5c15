package benchcontrol

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/integration/bench"
	"github.com/weirswitch/weir/integration/lab"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

const (
	frameSize = 60
	window    = 256 // frames under way at once when the rate is measured
	burst     = 32
)

// packets lets frames of one host meet the table-miss entry; the client sends each on to the other
// host. First as many as it can with a window of frames under way, then one by one.
func (r *round) packets() {
	r.finish(bench.Encode(1, func(int) openflow.Message {
		return &openflow.FlowMod{BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny,
			Instructions: openflow.NewInstructions(openflow.ApplyActions(openflow.Output(openflow.PortController)))}
	}))
	l := &loop{from: r.open(r.s.Lab.Hosts()[0]), to: r.open(r.s.Lab.Hosts()[1]), news: make(chan struct{}, 1), back: make(chan uint64, 1)}
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- relay(r.s.Client, stop) }()
	go l.watch()

	r.settle()
	if _, ok := l.trip(bench.Patience); !ok {
		r.Fatalf("%s: no frame came back", r.s.Name)
	}
	n, took := l.flood(r.calls*50, window)
	r.rate(row{name: "packet-in to packet-out", goal: 3}, n, took)
	r.settle()
	trips := make([]float64, 0, r.calls)
	for range r.calls {
		if took, ok := l.trip(time.Second); ok {
			trips = append(trips, float64(took.Nanoseconds())/1e3)
		}
	}
	slices.Sort(trips)
	if len(trips) < r.calls*9/10 {
		r.Fatalf("%s: %d of %d frames came back", r.s.Name, len(trips), r.calls)
	}
	r.add(row{"packet-in to packet-out, host to host p50", "us", true, 0.5}, trips[len(trips)/2])
	r.add(row{"packet-in to packet-out, host to host p99", "us", true, 0}, trips[len(trips)*99/100])
	close(stop)
	r.ok(r.s.NC.SetReadDeadline(time.Now()))
	r.ok(<-done)
	r.ok(r.s.NC.SetReadDeadline(time.Time{}))
	l.from.Close()
	l.to.Close()
	r.clear()
}

// open opens the host's link as a port of weir does: frames in batches.
func (r *round) open(h *lab.Host) (p ports.Port) {
	r.Helper()
	r.ok(h.Do(func() (err error) {
		p, err = ports.Open(ports.Spec{Kind: ports.KindAFPacket, Name: "eth0", Target: "eth0"}, ports.Options{})
		return err
	}))
	return p
}

// The frames are of an ethertype for experiments; byte 14 marks those that are timed one by one, and
// bytes 16 to 23 number them.
func makeFrames(n int, timed byte) (list []*packet.Frame) {
	b := make([]byte, frameSize)
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, timed})
	for range n {
		f := packet.NewFrame(2048)
		f.SetBytes(b)
		list = append(list, f)
	}
	return list
}

// loop sends frames by one port and sees them come out at another.
type loop struct {
	from, to ports.Port
	arrived  atomic.Int64
	news     chan struct{} // some have arrived
	number   uint64        // of the timed frame sent last
	back     chan uint64   // its number, when it comes back
}

// watch counts what comes out until the port is closed.
func (l *loop) watch() {
	frames := makeFrames(64, 0)
	for l.to.Wait() == nil {
		for {
			got, err := l.to.Read(frames)
			if got == 0 || err != nil {
				break
			}
			for _, f := range frames[:got] {
				switch b := f.Bytes(); {
				case len(b) < 24 || b[12] != 0x88 || b[13] != 0xb5:
				case b[14] == 1:
					select {
					case l.back <- binary.BigEndian.Uint64(b[16:]):
					default:
					}
				default:
					l.arrived.Add(1)
				}
			}
			select {
			case l.news <- struct{}{}:
			default:
			}
		}
	}
}

// trip sends one frame and waits until it comes out.
func (l *loop) trip(limit time.Duration) (time.Duration, bool) {
	f := makeFrames(1, 1)
	l.number++
	binary.BigEndian.PutUint64(f[0].Bytes()[16:], l.number)
	start := time.Now()
	late := time.NewTimer(limit)
	defer late.Stop()
	l.from.Write(f)
	for {
		select {
		case n := <-l.back:
			if n == l.number {
				return time.Since(start), true
			}
		case <-late.C:
			return 0, false
		}
	}
}

// flood keeps a window of frames under way until n have come out, and gives up when nothing moves.
func (l *loop) flood(n, window int) (int, time.Duration) {
	frames := makeFrames(burst, 0)
	start, first := time.Now(), l.arrived.Load()
	sent := first
	stuck := time.NewTicker(20 * time.Millisecond)
	defer stuck.Stop()
	for last := first; ; {
		got := l.arrived.Load()
		if got-first >= int64(n) || time.Since(start) > bench.Patience {
			return int(got - first), time.Since(start)
		}
		if got+int64(window)-sent >= burst {
			sent += int64(l.from.Write(frames))
			continue
		}
		select {
		case <-l.news:
		case <-stuck.C:
			if got == last { // what is under way got lost
				sent = got
			}
			last = got
		}
	}
}

// relay answers every PACKET_IN by a PACKET_OUT to the other port, until told to stop.
func relay(c *bench.Client, stop chan struct{}) error {
	var out []byte
	for {
		t, b, err := c.Next()
		if err != nil {
			select {
			case <-stop:
				if errors.Is(err, errTimeout) {
					return nil
				}
			default:
			}
			return err
		}
		if t != openflow.TypePacketIn {
			continue
		}
		matchLen := int(binary.BigEndian.Uint16(b[26:]))
		data := b[24+(matchLen+7)/8*8+2:]
		in := openflow.PortNo(binary.BigEndian.Uint32(b[32:])) // in_port is the first field
		out = openflow.Append(out, 1, &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: in, Actions: toOther[in&3], Data: data})
		if c.Buffered() < 8 || len(out) > 64<<10 {
			if _, err := c.NC.Write(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
}

// toOther outputs to port 2 what came from port 1, and the reverse.
var toOther = [4]openflow.Actions{1: openflow.NewActions(openflow.Output(2)), 2: openflow.NewActions(openflow.Output(1))}
