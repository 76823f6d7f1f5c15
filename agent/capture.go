// Hot path: copies of a port's frames for those who capture them; for all other ports one load a batch.

package agent

import (
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/flowtable/packet"
)

// Captured is one frame of a port as the switch sees it: a super-frame is one frame, and a checksum that
// the sender left to others is not there yet, as in a capture on a Linux device.
type Captured struct {
	At     time.Time `json:"time"`
	Out    bool      `json:"out"`              // leaves the switch; else it came in
	Length int       `json:"length"`           // of the whole frame
	Data   []byte    `json:"data,omitempty"`   // its beginning, up to the length that was asked for
	Missed uint64    `json:"missed,omitempty"` // frames that came before this one and were too many to be shown
}

// capturer is one who looks at the frames of a port.
type capturer struct {
	*onlooker[captureNote]
	filter  *flowtable.Filter // nil: all frames
	snaplen int
}

type captureNote struct {
	at     time.Time
	out    bool
	length int
}

// Write hands frames to the device. It is what leaves the switch, after the queues if the port has any.
func (p *port) Write(frames []*packet.Frame) int {
	if p.seen.present() != nil {
		p.capture(frames, true)
	}
	return p.dev.Write(frames)
}

// capture copies the frames for those who want them. The frames are the worker's own for now, so their
// keys may be read anew for a filter: the way in does that once more, and on the way out nobody needs them.
func (p *port) capture(frames []*packet.Frame, out bool) {
	list := p.seen.present()
	if list == nil {
		return
	}
	now := time.Now()
	for _, c := range *list {
		for _, f := range frames {
			if c.filter != nil {
				if f.Parse(); !c.filter.Matches(f) {
					continue
				}
			}
			c.put(captureNote{now, out, f.Len()}, f.Bytes()[:min(f.Len(), c.snaplen)])
		}
	}
}
