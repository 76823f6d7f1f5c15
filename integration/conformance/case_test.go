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
	for i, m := range c.setup {
		last := i == len(c.setup)-1 && c.raw == nil
		err := b.c.Apply(m)
		if last && c.fails != nil {
			return wantError(err, c.fails)
		}
		if err != nil {
			return fmt.Errorf("request %d, %s: %w", i, m.MsgType(), err)
		}
	}
	if c.raw != nil {
		return wantError(b.raw(c.raw.kind, c.raw.body), c.fails)
	}
	return nil
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

// run sends the frame by its port, several times so that a remembered path answers as well, and as a
// PACKET_OUT.
func (p *probe) run(b *bench, once bool) error {
	port := max(p.port, 1)
	ways := []string{"first", "again", "third"}
	if once {
		ways = ways[:1]
	} else if !p.noTable && p.offload == (packet.Offload{}) {
		ways = append(ways, "by PACKET_OUT to TABLE")
	}
	for i, way := range ways {
		var err error
		b.take()
		if i == 3 {
			err = b.packetOut(openflow.PortNo(port), p.in, openflow.Output(openflow.PortTable))
		} else {
			err = b.inject(port, p.in, p.offload)
		}
		if err == nil {
			err = compare(b.take(), p.want())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
	}
	return nil
}

func (p *probe) want() (lines []string) {
	for _, s := range p.out {
		lines = append(lines, s.line())
	}
	for _, in := range p.ins {
		lines = append(lines, in.line())
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
