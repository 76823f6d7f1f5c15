package oracle

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/integration/cable"
	"github.com/weirswitch/weir/integration/lab"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// end is the far end of a port of weir.
type end interface {
	Inject(frame []byte, o packet.Offload) (int, error)
	TryReceive() (*packet.Frame, bool)
}

// laying is how weir's ports are made.
type laying interface {
	pipes() *ports.Pipes
	links() *ports.Links
	spec(number int) ports.Spec
	plug(sw *agent.Switch, p agent.PortConfig) (end, error) // adds the port and gives its far end
}

// pipes are ports in memory.
type pipes struct{ reg ports.Pipes }

type pipeEnd struct{ *ports.Pipe }

func (p pipeEnd) Inject(frame []byte, o packet.Offload) (int, error) {
	return 1, p.InjectOffload(frame, o)
}

func (p *pipes) pipes() *ports.Pipes { return &p.reg }
func (p *pipes) links() *ports.Links { return nil }

func (p *pipes) spec(number int) ports.Spec {
	return ports.Spec{Number: uint32(number), Name: portName(number), Kind: ports.KindPipe, Target: portName(number)}
}

func (p *pipes) plug(sw *agent.Switch, cfg agent.PortConfig) (end, error) {
	if _, err := sw.AddPort(cfg); err != nil {
		return nil, err
	}
	e, err := p.reg.End(cfg.Target)
	return pipeEnd{e}, err
}

// field is a network namespace with ports of one kind, for one life after the other.
type field struct {
	kind  string
	space *lab.Space
	watch *ports.Links
	ends  [numPorts]*cable.Inbox
	marks uint64
}

func newField(t *testing.T, kind string) *field {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f := &field{kind: kind}
	var err error
	f.space, err = lab.NewSpace("oracle")
	must(err)
	t.Cleanup(f.space.Close)
	kit, err := cable.NewKit(f.space, shortDir(t))
	must(err)
	must(f.space.Do(func() (err error) {
		f.watch, err = ports.NewLinks()
		return err
	}))
	t.Cleanup(func() { must(f.watch.Close()) })
	for i := range f.ends {
		c, err := kit.Lay(kind, portName(i+1))
		must(err)
		f.ends[i] = &cable.Inbox{Cable: c}
		t.Cleanup(c.Unplug)
	}
	return f
}

func (f *field) pipes() *ports.Pipes { return nil }
func (f *field) links() *ports.Links { return f.watch }

func (f *field) spec(number int) ports.Spec {
	s, err := ports.ParseSpec(fmt.Sprintf("%d:%s,name=%s", number, f.ends[number-1].Spec(), portName(number)))
	if err != nil {
		panic(err)
	}
	return s
}

func (f *field) plug(sw *agent.Switch, cfg agent.PortConfig) (end, error) {
	err := f.space.Do(func() error {
		_, err := sw.AddPort(cfg)
		return err
	})
	if err != nil {
		return nil, err
	}
	e := f.ends[cfg.Number-1]
	e.Unplug()
	e.Clear()
	if err := e.Plug(); err != nil {
		return nil, err
	}
	return e, nil
}

// ready waits until all links are up, and the pipeline knows it.
func (f *field) ready(w *weir) error {
	return until("links are down", func() bool {
		list, err := w.c.Ports()
		return err == nil && !slices.ContainsFunc(list, func(p *openflow.Port) bool { return p.State&openflow.PortLinkDown != 0 })
	})
}

// mark sends a numbered frame behind all others by each port that works, and waits for it.
func (f *field) mark(w *weir) error {
	f.marks++
	mark := binary.BigEndian.AppendUint64([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb6}, f.marks)
	for i, p := range w.sw.Ports() {
		if !p.LinkUp || slices.Contains(p.Config, "PORT_DOWN") || slices.Contains(p.Config, "NO_FWD") {
			continue
		}
		m := &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortController, Data: mark, Actions: openflow.NewActions(openflow.Output(openflow.PortNo(p.Number)))}
		if err := w.c.Apply(m); err != nil {
			return err
		}
		if err := until("the mark behind the frames of "+p.Name+" did not arrive", func() bool { return f.ends[i].Marked(mark) }); err != nil {
			return err
		}
	}
	return nil
}

func until(what string, done func() bool) error {
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Microsecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s within %v", what, patience)
		}
	}
	return nil
}

// overPorts makes lives whose frames can get through cables.
func (g *gen) overPorts(kind string) *life {
	l := g.forwarding()
	l.steps = slices.DeleteFunc(l.steps, func(s step) bool {
		f, is := s.(*frame)
		return is && !cable.Passes(kind, f.bytes)
	})
	return l
}

var overPortsFlag = flag.Int("oracle.overports", 2, "how many lives TestOverPorts plays over each kind of port")

// TestOverPorts plays some lives with weir's ports of every kind in the place of pipes.
func TestOverPorts(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("network namespaces and taps need root")
		}
		t.Skip("network namespaces and taps need root")
	}
	// A namespace ends with its thread, and with that every process that was started from it, Open vSwitch perhaps: so
	// they come first and go last.
	fields := map[string]*field{}
	for _, kind := range cable.Kinds() {
		fields[kind] = newField(t, kind)
	}
	all := bench(t)
	defer func(was int) { *casesFlag = was }(*casesFlag)
	*casesFlag = *overPortsFlag
	for _, kind := range cable.Kinds() {
		t.Run(kind, func(t *testing.T) {
			w := &weir{dir: shortDir(t), field: fields[kind]}
			t.Cleanup(func() {
				if err := w.close(); err != nil {
					t.Error(err)
				}
			})
			passes = func(frame []byte) bool { return cable.Passes(kind, frame) }
			defer func() { passes = func([]byte) bool { return true } }()
			exploreWith(t, []target{all[0], w}, func(g *gen) *life { return g.overPorts(kind) })
		})
	}
}
