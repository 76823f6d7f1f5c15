package integration

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/integration/cable"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// flowsPerLane is how many kinds of flow each lane has; see newLane.
const flowsPerLane = 4

// port is one port of the soaked switch whose far end is in the test's hands.
type port struct {
	no    openflow.PortNo
	cable *cable.Cable
	flaps bool // it comes and goes: what is lost there is no mistake
	lanes []*lane
}

// lane is the way of some flows from one port to another.
type lane struct {
	from, to *port
	flows    [flowsPerLane]*flow
}

// flow is numbered frames that must arrive in their order, each at most once, and all of them where nothing flaps.
type flow struct {
	lane  *lane
	id    uint32
	frame []byte // without its trailer

	mu        sync.Mutex
	sent      uint64 // numbers used up
	got       uint64
	next      uint64
	missing   map[uint64]bool // skipped numbers that may still come
	doubled   uint64
	overtaken uint64
	removed   uint64 // packets that entries of this flow had counted when they went
}

// way is which of its lane's flows it is.
func (f *flow) way() int { return int(f.id-firstFlow) % flowsPerLane }

func (f *flow) String() string {
	return fmt.Sprintf("flow %d of port %d to %d: %d sent, %d received, %d doubled, %d overtaken",
		f.id, f.lane.from.no, f.lane.to.no, f.sent, f.got, f.doubled, f.overtaken)
}

// trailer ends each frame: a mark, the flow, the number. No switch changes it.
const (
	trailerLen  = 16
	trailerMark = 0x77656972
)

// firstFlow is the UDP port of the first flow; its number is in its port.
const firstFlow = 10000

// newLane has one flow of each way through the tables: straight, by a group, with a meter and rewriting, and tagged.
func newLane(n int, from, to *port) *lane {
	l := &lane{from: from, to: to}
	for i := range l.flows {
		id := uint32(firstFlow + n*flowsPerLane + i)
		l.flows[i] = &flow{lane: l, id: id, frame: soakFrame(id, i == 3), missing: map[uint64]bool{}}
	}
	from.lanes = append(from.lanes, l)
	return l
}

// soakFrame is Ethernet, perhaps a tag, IPv4 and UDP without a checksum.
func soakFrame(id uint32, tagged bool) []byte {
	b := []byte{2, 0, 0, 0, 1, byte(id), 2, 0, 0, 0, 0, byte(id)}
	if tagged {
		b = append(b, 0x81, 0, 0, 100)
	}
	b = append(b, 8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, byte(id), 10, 2, 0, byte(id))
	b = binary.BigEndian.AppendUint16(b, 5000)
	b = binary.BigEndian.AppendUint16(b, uint16(id))
	return append(b, 0, 0, 0, 0)
}

// ipAt is where the IPv4 header of soakFrame is.
func ipAt(b []byte) int {
	if b[12] == 0x81 {
		return 18
	}
	return 14
}

// numbered is the flow's frame with a number in it, and some length.
func (f *flow) numbered(n uint64, size int) []byte {
	b := slices.Grow(slices.Clone(f.frame), size)
	b = b[:max(size, len(f.frame)+trailerLen)]
	ip := ipAt(b)
	binary.BigEndian.PutUint16(b[ip+2:], uint16(len(b)-ip))
	binary.BigEndian.PutUint16(b[ip+24:], uint16(len(b)-ip-20))
	sum := uint32(0)
	for i := ip; i < ip+20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(b[ip+10:], ^uint16(sum))
	end := b[len(b)-trailerLen:]
	binary.BigEndian.PutUint32(end, trailerMark)
	binary.BigEndian.PutUint32(end[4:], f.id)
	binary.BigEndian.PutUint64(end[8:], n)
	return b
}

// arrive files a number.
func (f *flow) arrive(n uint64) {
	const most = 1 << 12
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got++
	switch {
	case n >= f.next:
		for m := max(f.next, n-min(n, most)); m < n; m++ {
			f.missing[m] = true
		}
		f.next = n + 1
		for m := range f.missing {
			if len(f.missing) > 2*most && m+most < n {
				delete(f.missing, m)
			}
		}
	case f.missing[n]:
		delete(f.missing, n)
		f.overtaken++
	default: // it came before, or so late that it was given up
		f.doubled++
	}
}

// drive sends a port's flows in bursts, at the given mean rate of each lane, and takes in what arrives there, until stop
// is closed; then it sends no more, and takes in until done is closed.
func (p *port) drive(t *testing.T, rate int, flows map[uint32]*flow, stop, done <-chan struct{}) {
	const most = 8
	go func() {
		r := rand.New(rand.NewPCG(uint64(p.no), 1))
		for {
			for _, l := range p.lanes {
				for range 1 + r.IntN(most) {
					l.flows[r.IntN(flowsPerLane)].send(t, p, 60+r.IntN(1380)*r.IntN(2))
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(r.Int64N(int64(2 * time.Second * (most + 1) / 2 / time.Duration(rate))))):
			}
		}
	}()
	for {
		for f, ok := p.cable.TryReceive(); ok; f, ok = p.cable.TryReceive() {
			p.take(t, f, flows)
		}
		select {
		case <-done:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// send uses up a number if the frame could be sent.
func (f *flow) send(t *testing.T, p *port, size int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := p.cable.Inject(f.numbered(f.sent, size), packet.Offload{})
	if err == nil {
		f.sent++
	} else if !p.flaps {
		t.Errorf("port %d: %v", p.no, err)
	}
}

// take files a frame that came out of the switch. It must be one of ours, at the port it was meant for.
func (p *port) take(t *testing.T, f *packet.Frame, flows map[uint32]*flow) {
	b := f.Bytes()
	end := b[max(0, len(b)-trailerLen):]
	if len(end) < trailerLen || binary.BigEndian.Uint32(end) != trailerMark {
		t.Errorf("port %d sent a frame that nobody had: %x", p.no, b)
		return
	}
	fl := flows[binary.BigEndian.Uint32(end[4:])]
	if fl == nil || fl.lane.to != p {
		t.Errorf("port %d sent a frame of %v", p.no, fl)
		return
	}
	fl.arrive(binary.BigEndian.Uint64(end[8:]))
}

// The tables of the soaked switch. Table 0 sorts by port, and table 1 by flow; that is where entries come and go.
const (
	groupOf    = 100 // group of port 2: 102
	flowCookie = 1 << 32
)

// match is what all entries of the flow in table 1 have.
func (f *flow) match(more ...openflow.Field) openflow.Match {
	if f.way() == 3 {
		more = append(more, openflow.Exact(openflow.VLANVID, openflow.VIDPresent|100))
	}
	return proto(0x0800, 17, append([]openflow.Field{openflow.Exact(openflow.InPort, uint64(f.lane.from.no)), openflow.Exact(openflow.UDPDst, uint64(f.id))}, more...)...)
}

// instructions are the same for every entry of the flow, whichever of them is met.
func (f *flow) instructions() []openflow.Instruction {
	out := openflow.Output(f.lane.to.no)
	switch f.way() {
	case 1:
		return []openflow.Instruction{openflow.ApplyActions(openflow.Group(groupOf + uint32(f.lane.to.no)))}
	case 2:
		return []openflow.Instruction{{Type: openflow.InstructionMeter, Meter: 1}, openflow.ApplyActions(
			openflow.Action{Type: openflow.ActionDecNwTTL}, openflow.SetField(openflow.EthDst, 0x020000000299), out)}
	case 3:
		return []openflow.Instruction{openflow.ApplyActions(openflow.Action{Type: openflow.ActionPopVLAN}, out)}
	}
	return []openflow.Instruction{openflow.ApplyActions(out)}
}

// entry is a FLOW_MOD for the flow, whose packets are told when the entry goes.
func (f *flow) entry(priority uint16, more ...openflow.Field) *openflow.FlowMod {
	m := oftest.AddFlow(1, priority, f.match(more...), f.instructions()...)
	m.Cookie, m.Flags = flowCookie|uint64(f.id), openflow.FlowSendRemoved
	return m
}
