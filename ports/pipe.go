package ports

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/weirswitch/weir/flowtable/packet"
)

// Pipe is one end of an in-memory cable: what is written to one end is read
// from the other, in order, whole, with its offload state. It is the port for
// tests and for programs that are a switch's neighbour: give one end to the
// switch and use Inject and Receive on the other.
//
// Each direction is a bounded queue. When it is full the frame is dropped and
// counted as DropFull on the side that wrote it.
type Pipe struct {
	name   string
	kind   Kind
	o      Options
	in     *ring  // what the other end wrote
	out    outlet // into the other end's in
	peer   atomic.Pointer[Pipe]
	up     atomic.Bool // administrative state
	closed atomic.Bool
}

var (
	_ Port        = (*Pipe)(nil)
	_ AdminSetter = (*Pipe)(nil)
)

// NewPipe makes a pair of ends. An end whose Options say NoOffload finishes
// checksums and segments super-frames before the other end gets them.
func NewPipe(name string, a, b Options) (*Pipe, *Pipe) {
	pa, pb := newPipe(name, KindPipe, 0, a), newPipe(name, KindPipe, 0, b)
	pa.peer.Store(pb)
	pb.peer.Store(pa)
	return pa, pb
}

func newPipe(name string, kind Kind, mtu int, o Options) *Pipe {
	if o.Counters == nil {
		o.Counters = new(Counters)
	}
	p := &Pipe{
		name: name, kind: kind, o: o, in: newRing(ringSlots, ringBytes),
		out: outlet{counters: o.Counters, mtu: mtu, offload: !o.NoOffload, count: true},
	}
	p.up.Store(true)
	return p
}

// linkUp says whether a frame could cross now. Both ends agree on it, as two
// devices on one cable do.
func (p *Pipe) linkUp() bool {
	peer := p.peer.Load()
	return peer != nil && p.up.Load() && peer.up.Load() && !p.closed.Load() && !peer.closed.Load()
}

// Wait implements Port.
func (p *Pipe) Wait() error { return p.in.wait() }

// Ready says whether Read would find frames.
func (p *Pipe) Ready() bool { return p.in.waiting() > 0 }

// Read implements Port. The frames lie in the pipe's own memory.
func (p *Pipe) Read(frames []*packet.Frame) (int, error) {
	if p.closed.Load() {
		return 0, ErrClosed
	}
	n, size := p.in.lend(frames)
	p.o.Counters.CountRx(n, size)
	return n, nil
}

// Write implements Port.
func (p *Pipe) Write(frames []*packet.Frame) int {
	peer := p.peer.Load()
	if peer == nil || !p.linkUp() {
		p.o.Counters.DropTx(DropLinkDown, len(frames))
		return 0
	}
	return p.out.write(peer.in, frames)
}

// Info implements Port.
func (p *Pipe) Info() Info {
	return Info{
		Name: p.name, Kind: p.kind, Device: p.name, MTU: p.out.mtu, Duplex: DuplexFull,
		Present: !p.closed.Load() && p.peer.Load() != nil,
		AdminUp: p.up.Load(), LinkUp: p.linkUp(), Offload: !p.o.NoOffload,
	}
}

// SetUp implements AdminSetter: the cable carries only while both ends are up.
func (p *Pipe) SetUp(up bool) error {
	if p.up.Swap(up) != up {
		p.changed()
	}
	return nil
}

// changed tells both ends' owners.
func (p *Pipe) changed() {
	p.o.changed()
	if peer := p.peer.Load(); peer != nil {
		peer.o.changed()
	}
}

// Close implements Port. The other end stays open and sees its link go down;
// what it has not read yet is still there for it.
func (p *Pipe) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	p.in.close()
	p.changed()
	return nil
}

// Inject sends one complete frame into the pipe, as a neighbour of the switch
// would. The error says why it was not taken.
func (p *Pipe) Inject(frame []byte) error { return p.InjectOffload(frame, packet.Offload{}) }

// InjectOffload sends one frame with checksum or segmentation still to be
// done, as a host with offloads would.
func (p *Pipe) InjectOffload(frame []byte, o packet.Offload) error {
	f := packet.NewFrame(len(frame))
	f.SetBytes(frame)
	f.Offload = o
	before := p.o.Counters.Snapshot()
	if p.Write([]*packet.Frame{f}) == 1 {
		return nil
	}
	after := p.o.Counters.Snapshot()
	for r := range dropReasons {
		if after.TxDrops[r] != before.TxDrops[r] {
			return fmt.Errorf("pipe %s: frame dropped: %s", p.name, r)
		}
	}
	return fmt.Errorf("pipe %s: frame dropped", p.name)
}

// Receive waits for the next frame that the other end wrote and gives a copy.
// It is a reader: do not mix it with Wait and Read in another goroutine.
func (p *Pipe) Receive(ctx context.Context) (*packet.Frame, error) {
	stop := context.AfterFunc(ctx, func() { signal(p.in.wake) })
	defer stop()
	for {
		if f, ok := p.TryReceive(); ok {
			return f, nil
		}
		if p.closed.Load() {
			return nil, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("pipe %s: no frame: %w", p.name, err)
		}
		<-p.in.wake
	}
}

// TryReceive gives a copy of the next frame, if one is there.
func (p *Pipe) TryReceive() (*packet.Frame, bool) {
	var lent packet.Frame
	if n, _ := p.Read([]*packet.Frame{&lent}); n == 0 {
		return nil, false
	}
	f := packet.NewFrame(len(lent.Bytes()))
	f.SetBytes(lent.Bytes())
	f.Offload = lent.Offload
	return f, true
}

// Waiting is how many frames lie here that the other end wrote and this one has not read.
func (p *Pipe) Waiting() int { return p.in.waiting() }

// Expect waits for the next frame and compares it. The error shows both in hex.
func (p *Pipe) Expect(ctx context.Context, want []byte) error {
	f, err := p.Receive(ctx)
	if err != nil {
		return fmt.Errorf("expected % x: %w", want, err)
	}
	if !bytes.Equal(f.Bytes(), want) {
		return fmt.Errorf("pipe %s:\n got  % x\n want % x", p.name, f.Bytes(), want)
	}
	return nil
}

// Pipes lets the author of a configuration that says "pipe:NAME" get at the
// other end. The zero value is ready.
type Pipes struct {
	mu   sync.Mutex
	ends map[string]*Pipe // the ends that are not the switch's, by name
}

// End gives the far end of an open pipe port: the test's end.
func (ps *Pipes) End(name string) (*Pipe, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.ends[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no port pipe:%s is open", name)
}

// pipePort is the switch's end of a registered pipe.
type pipePort struct {
	*Pipe
	reg *Pipes
	key string
}

func openPipe(s Spec, o Options) (Port, error) {
	if o.Pipes == nil {
		return nil, fmt.Errorf("a pipe connects the switch with the program around it; "+
			"this program offers none for pipe:%s (Options.Pipes)", s.Target)
	}
	o.Pipes.mu.Lock()
	defer o.Pipes.mu.Unlock()
	if o.Pipes.ends[s.Target] != nil {
		return nil, fmt.Errorf("pipe:%s is already open; a pipe has one switch end", s.Target)
	}
	near, far := NewPipe(s.Name, o, Options{})
	near.out.mtu = s.MTU
	if o.Pipes.ends == nil {
		o.Pipes.ends = make(map[string]*Pipe)
	}
	o.Pipes.ends[s.Target] = far
	return &pipePort{near, o.Pipes, s.Target}, nil
}

// Close also frees the name.
func (p *pipePort) Close() error {
	p.reg.mu.Lock()
	if far := p.reg.ends[p.key]; far != nil && far.peer.Load() == p.Pipe {
		delete(p.reg.ends, p.key)
	}
	p.reg.mu.Unlock()
	return p.Pipe.Close()
}
