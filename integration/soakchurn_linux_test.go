package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/integration/lab"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// churner changes a switch's entries, groups and meters without an end, so that no frame's fate changes by it. Entries
// above those of the flows come and go, with masks of several forms, and so do entries for traffic that there is not.
type churner struct {
	ctl   *oftest.Controller
	flows map[uint32]*flow
	ports []*port
	live  []*openflow.FlowMod // what was added, oldest first
	count int
	rank  int
}

const (
	churnPerTurn = 100 // flow-mods, ten times a second
	churnLive    = 1500
)

// begin installs what the traffic goes through.
func (c *churner) begin() error {
	list := []openflow.Message{c.meter(openflow.MeterAdd, 1)}
	for _, p := range c.ports {
		list = append(list, c.group(openflow.GroupAdd, p))
		udp := oftest.AddFlow(0, 1000, proto(0x0800, 17, openflow.Exact(openflow.InPort, uint64(p.no))), openflow.GotoTable(1))
		other := oftest.AddFlow(0, 900, openflow.NewMatch(openflow.Exact(openflow.InPort, uint64(p.no))))
		udp.Cookie, other.Cookie = uint64(p.no), uint64(p.no)
		list = append(list, udp, other)
	}
	for _, f := range c.flows {
		list = append(list, f.entry(10))
	}
	return c.ctl.Apply(list...)
}

// group has one bucket or two, and all of them lead to the port.
func (c *churner) group(cmd openflow.GroupCommand, p *port) *openflow.GroupMod {
	b := openflow.Bucket{Weight: 1 + uint16(c.count%3), WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny,
		Actions: openflow.NewActions(openflow.Output(p.no))}
	return &openflow.GroupMod{Command: cmd, Type: openflow.GroupTypeSelect, Group: groupOf + uint32(p.no), Buckets: []openflow.Bucket{b, b}[:1+c.count%2]}
}

// meter never catches a frame.
func (c *churner) meter(cmd openflow.MeterCommand, id uint32) *openflow.MeterMod {
	return &openflow.MeterMod{Command: cmd, Meter: id, Flags: openflow.MeterPktps,
		Bands: []openflow.Band{{Type: openflow.BandDrop, Rate: 1_000_000 + uint32(c.count%1000)}}}
}

// turn makes churnPerTurn changes of entries and some of groups and meters.
func (c *churner) turn(n int) error {
	list := []openflow.Message{c.group(openflow.GroupModify, c.ports[n%len(c.ports)]), c.meter(openflow.MeterModify, 1)}
	other := uint32(2 + n/2%50)
	if n%2 == 0 {
		list = append(list, c.meter(openflow.MeterAdd, other))
	} else {
		list = append(list, &openflow.MeterMod{Command: openflow.MeterDelete, Meter: other})
	}
	for range churnPerTurn {
		if len(c.live) >= churnLive || len(c.live) > 100 && rand.IntN(3) == 0 {
			m := *c.live[0]
			m.Command = openflow.FlowDeleteStrict
			c.live = c.live[1:]
			list = append(list, &m)
			continue
		}
		m := c.add()
		c.live = append(c.live, m)
		list = append(list, m)
	}
	c.count += len(list)
	return c.ctl.Apply(list...)
}

// add is an entry with a priority that no other has: one in the place of another would take over its counters. Some
// go by themselves.
func (c *churner) add() *openflow.FlowMod {
	c.rank = (c.rank + 1) % 30000
	f := c.flows[uint32(firstFlow+rand.IntN(len(c.flows)))]
	var more []openflow.Field
	switch rand.IntN(5) {
	case 0:
		more = append(more, openflow.Exact(openflow.IPv4Src, 0x0a010000|uint64(f.id&0xff)))
	case 1:
		more = append(more, openflow.WithMask(openflow.IPv4Dst, 0x0a020000, 0xffff0000))
	case 2:
		more = append(more, openflow.Exact(openflow.UDPSrc, 5000), openflow.Exact(openflow.EthSrc, 0x020000000000|uint64(f.id&0xff)))
	case 3:
		more = append(more, openflow.Exact(openflow.UDPSrc, uint64(rand.IntN(1000)))) // nobody's
	}
	m := f.entry(uint16(100+c.rank), more...)
	switch rand.IntN(10) {
	case 0:
		m.HardTimeout = 1
	case 1:
		m.IdleTimeout = 1
	}
	return m
}

// hear adds up what removed entries had counted.
func (c *churner) hear(_ uint32, m openflow.Message) {
	r, is := m.(*openflow.FlowRemoved)
	if !is {
		return
	}
	if f := c.flows[uint32(r.Cookie)]; f != nil {
		f.mu.Lock()
		f.removed += r.PacketCount
		f.mu.Unlock()
	}
}

// flapper takes one port away and brings it back, in turn by its carrier, its device or peer, and PORT_MOD. The last
// step is one that brings it back.
type flapper struct {
	port  *port
	ctl   *oftest.Controller
	count *atomic.Int64
}

func (f flapper) turn(n int) error {
	f.count.Add(1)
	c := f.port.cable
	switch {
	case n%6 == 0 && c.Device():
		return c.Carrier(false)
	case n%6 == 1 && c.Device():
		return c.Carrier(true)
	case n%6 == 2 && c.Device():
		return c.Tear()
	case n%6 == 3 && c.Device():
		return c.Mend()
	case n%6 == 2:
		c.Unplug()
		return nil
	case n%6 == 3:
		return c.Plug()
	case n%6 == 4:
		return f.portMod(openflow.PortDown)
	case n%6 == 5:
		return f.portMod(0)
	}
	return nil
}

func (f flapper) portMod(config openflow.PortConfig) error {
	list, err := f.ctl.Ports()
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.No == f.port.no {
			return f.ctl.Apply(&openflow.PortMod{Port: p.No, HWAddr: p.HWAddr, Config: config, Mask: openflow.PortDown})
		}
	}
	return fmt.Errorf("the switch has no port %d", f.port.no)
}

// fickle is a controller that hangs up again and again.
func fickle(path string, stop <-chan struct{}) (calls int, err error) {
	l, err := oftest.Listen("unix", path, oftest.Config{Timeout: patience, KeepNone: true})
	if err != nil {
		return 0, err
	}
	go func() {
		<-stop
		l.Close()
	}()
	for ; ; calls++ {
		c, err := l.Accept()
		select {
		case <-stop:
			return calls, nil
		default:
		}
		if err != nil {
			return calls, err
		}
		err = c.Barrier()
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		c.Close()
		if err != nil {
			return calls, err
		}
	}
}

// soakConfig is the switch's configuration; the extra port and controller come and go by reloads.
func soakConfig(dir string, ports []*port, hosts []*lab.Host, extra bool) string {
	text := "bridges:\n  - name: br0\n    fail-mode: secure\n    controllers:\n" +
		"      - {target: \"unix:" + filepath.Join(dir, "fickle") + "\", min-backoff: 100ms, max-backoff: 200ms}\n"
	if extra {
		text += "      - {target: \"unix:" + filepath.Join(dir, "nobody") + "\", min-backoff: 100ms}\n"
	}
	text += "    ports:\n"
	for _, p := range ports {
		text += fmt.Sprintf("      - port: \"%d:%s,name=p%d\"\n", p.no, p.cable.Spec(), p.no)
	}
	for i, h := range hosts {
		kind := ""
		if i >= 2 {
			kind = "xdp:"
		}
		if i < 4 || extra {
			text += fmt.Sprintf("      - port: \"%d:%s%s\"\n", firstHost+i, kind, h.Port)
		}
	}
	return text
}

// firstHost is the port of the first host.
const firstHost = 50

// rewrite puts the configuration with or without the extras in the file, and asks for it.
func (b *bed) rewrite(file, text string) error {
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	out, err := b.try(b.bin, "reload", "br0")
	if err != nil {
		return fmt.Errorf("reload: %w: %s", err, out)
	}
	return nil
}
