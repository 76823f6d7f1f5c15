package agent

import (
	"sync/atomic"
	"testing"

	"github.com/weirswitch/weir/ports"
)

// flapping is a pipe whose link goes down for the moment of one question.
type flapping struct {
	*ports.Pipe
	asked, down int32
}

func (f *flapping) Info() ports.Info {
	i := f.Pipe.Info()
	i.LinkUp = i.LinkUp && atomic.AddInt32(&f.asked, 1) != f.down
	return i
}

// TestFlapWhilePortsArePublished: the engine is told what controllers were told. Asked twice, a link
// that is down for a moment in between would stay down for the engine alone, and nobody would notice.
func TestFlapWhilePortsArePublished(t *testing.T) {
	b := newBench(t, 1)
	p := &port{number: 2, name: "p2", counters: new(ports.Counters), done: make(chan struct{})}
	near, far := ports.NewPipe("p2", ports.Options{Counters: p.counters}, ports.Options{})
	p.dev = &flapping{Pipe: near, down: 2}
	b.sw.ops.Lock()
	b.sw.join(p)
	b.sw.ops.Unlock()
	b.ends[2] = far
	b.sw.refreshPorts() // one for each end of the flap
	b.sw.refreshPorts()
	b.send(1, frame(0xff, 1, "after the flap"))
	b.expect(frame(0xff, 1, "after the flap"), 2)
}
