package agent

import (
	"testing"

	"github.com/weirswitch/weir/ports"
)

// twins is a port with two inlets.
type twins struct {
	*dripper
	other *dripper
}

func (f *twins) Inlets() []ports.Inlet { return []ports.Inlet{f.dripper, f.other} }

var _ ports.Parted = (*twins)(nil)

// TestEachInletHasAReader: what comes by any inlet comes in by the port, and a port that is taken out waits for the
// readers of all.
func TestEachInletHasAReader(t *testing.T) {
	b := newBench(t, 0)
	out, _ := stuff(b, 1)
	dev := func() *dripper {
		return &dripper{stuffed: stuffed{frame: frame(2, 1, "x")}, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	}
	both := &twins{dev(), dev()}
	b.sw.ops.Lock()
	p, err := b.sw.newPort(pipeConfig("twins", 2))
	if err != nil {
		t.Fatal(err)
	}
	p.dev = both
	b.sw.join(p)
	b.sw.ops.Unlock()
	both.drip(t, 3)
	b.sw.quiesce()
	both.other.drip(t, 4)
	b.sw.quiesce()
	if out.written != 7 {
		t.Errorf("%d frames were flooded, 7 came in", out.written)
	}
	gone := make(chan error)
	go func() { gone <- b.sw.RemovePort("twins") }()
	<-both.closed
	select {
	case <-p.done:
		t.Error("a reader still waits, and the port counts as gone")
	default:
	}
	_ = both.other.Close()
	if err := <-gone; err != nil {
		t.Error(err)
	}
	<-p.done
}
