package conformance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// conform is one case: after the requests, each frame has its consequences.
type conform struct {
	name    string
	section string             // of the specification, what the case is about
	setup   []openflow.Message // FLOW_MODs, GROUP_MODs...; all of them are accepted, but for the last if fails is there
	fails   *openflow.Error    // type and code of the ERROR that the last request earns
	raw     *rawRequest        // sent after setup; fails is about it then
	probes  []probe            // nothing: the case is about the requests alone
	once    bool               // the frames change the switch: each is sent once, by its port
}

// rawRequest is a request that no encoder makes.
type rawRequest struct {
	kind openflow.Type
	body []byte // behind the header
}

// probe is a frame that comes in and all that leaves because of it, in this order: frames by port, then
// messages.
type probe struct {
	name    string
	port    int // 0: port 1
	in      []byte
	offload packet.Offload
	out     []sent
	ins     []packetIn
	noTable bool // not as a PACKET_OUT to TABLE: there it would be another frame
}

// check runs each case with and without the flow cache.
func check(t *testing.T, cases []conform) {
	t.Helper()
	with, without := newBench(t), newBench(t, withoutCache)
	names := map[string]bool{}
	for _, c := range cases {
		if c.name == "" || c.section == "" || names[c.name] {
			t.Fatalf("case %q of section %q: each needs a section and a name of its own", c.name, c.section)
		}
		names[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			for what, b := range map[string]*bench{"with the cache": with, "without the cache": without} {
				if err := c.run(b); err != nil {
					t.Errorf("section %s, %s: %v", c.section, what, err)
				}
			}
		})
	}
}

func (c *conform) run(b *bench) error {
	if err := b.clear(); err != nil {
		return fmt.Errorf("clearing the switch: %w", err)
	}
	if err := c.prepare(b); err != nil {
		return err
	}
	for i := range c.probes {
		p := &c.probes[i]
		if err := p.run(b, c.once); err != nil {
			return fmt.Errorf("frame %d %s: %w", i, p.name, err)
		}
	}
	return nil
}

// prepare makes the requests.
func (c *conform) prepare(b *bench) error {
	list, last := c.setup, []openflow.Message(nil)
	if n := len(list) - 1; c.fails != nil && c.raw == nil {
		list, last = list[:n], list[n:]
	}
	if err := b.c.Apply(list...); err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	if c.raw != nil {
		return wantError(b.raw(c.raw.kind, c.raw.body), c.fails)
	}
	if last == nil {
		return nil
	}
	return wantError(b.c.Apply(last...), c.fails)
}

// wantError compares type and code; nil wants success.
func wantError(err error, want *openflow.Error) error {
	if want == nil {
		return err
	}
	if e, is := errors.AsType[*openflow.Error](err); is && e.Type == want.Type && e.Code == want.Code {
		return nil
	}
	return fmt.Errorf("got %v, want an error %s", err, errorName(want))
}

// run sends the frame by its port, twice so that a remembered path answers as well, and as a PACKET_OUT
// to TABLE. All of them have the same consequences.
func (p *probe) run(b *bench, once bool) error {
	if !layedOn.carries(p.in) {
		return nil
	}
	port, times := max(p.port, 1), 1
	b.take()
	if err := b.send(port, p.in, p.offload); err != nil {
		return err
	}
	if !once {
		times++
		if err := b.send(port, p.in, p.offload); err != nil {
			return err
		}
	}
	if err := b.received(port); err != nil {
		return err
	}
	var err error
	if once || p.noTable || p.offload != (packet.Offload{}) {
		err = b.settle()
	} else {
		times++
		err = b.packetOut(openflow.PortNo(port), p.in, openflow.Output(openflow.PortTable))
	}
	if err != nil {
		return err
	}
	return compare(b.take(), p.wantTimes(times))
}

// want are the lines of take.
func (p *probe) want() []string { return p.wantTimes(1) }

// wantTimes are the lines of take when the frame was sent some times.
func (p *probe) wantTimes(times int) (lines []string) {
	for port := range numPorts {
		for range times {
			for _, s := range p.out {
				if s.port == port+1 {
					lines = append(lines, s.lines()...)
				}
			}
		}
	}
	for range times {
		for _, in := range p.ins {
			lines = append(lines, in.line())
		}
	}
	return lines
}

func compare(got, want []string) error {
	if slices.Equal(got, want) {
		return nil
	}
	list := func(lines []string) string {
		if len(lines) == 0 {
			return "\n    nothing"
		}
		return "\n    " + strings.Join(lines, "\n    ")
	}
	return fmt.Errorf("\n  got:%s\n  want:%s", list(got), list(want))
}
