package cable

import (
	"bytes"
	"strings"

	"github.com/weirswitch/weir/flowtable/packet"
)

// Inbox keeps what has come to a cable's far end until it is asked for. It belongs to one goroutine.
type Inbox struct {
	*Cable
	queue []*packet.Frame
	came  uint64
}

// Clear forgets all: another switch has the port now.
func (i *Inbox) Clear() { i.queue, i.came = nil, 0 }

// Came is how many frames have come so far.
func (i *Inbox) Came() uint64 {
	i.take()
	return i.came
}

func (i *Inbox) take() {
	for f, ok := i.Cable.TryReceive(); ok; f, ok = i.Cable.TryReceive() {
		i.queue = append(i.queue, f)
		i.came++
	}
}

// TryReceive gives the oldest frame that nobody had yet, if there is one.
func (i *Inbox) TryReceive() (*packet.Frame, bool) {
	i.take()
	if len(i.queue) == 0 {
		return nil, false
	}
	f := i.queue[0]
	i.queue = i.queue[1:]
	return f, true
}

// Marked says whether the newest frame is the mark, which it takes away then. Ports keep the order of frames: what a
// switch sent before a mark has come as well.
func (i *Inbox) Marked(mark []byte) bool {
	i.take()
	n := len(i.queue) - 1
	if n < 0 || !bytes.Equal(i.queue[n].Bytes(), mark) {
		return false
	}
	i.queue = i.queue[:n]
	return true
}

// Passes says whether a frame can get through cables of a kind: Linux throws one away that ends within its tag or two
// bytes behind it, before any packet socket could see it, be it the port's or the far end's.
func Passes(kind string, frame []byte) bool {
	tagged := len(frame) >= 14 && (frame[12] == 0x81 && frame[13] == 0 || frame[12] == 0x88 && frame[13] == 0xa8)
	return !tagged || len(frame) >= 20 || strings.HasPrefix(kind, "wire")
}
