package oracle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/weirswitch/weir/openflow"
)

// raw is a message that no encoder makes.
type raw struct {
	what  string
	bytes []byte
	port  openflow.PortNo // of a PORT_MOD: whose address is to be XORed to the one in the message; see patched
	frame *frame          // of a PACKET_OUT: what it carried before the change
}

func (r *raw) play(g target) error {
	b, err := r.patched(g)
	if err != nil {
		return err
	}
	if err := request(g, b); err != nil {
		return err
	}
	if err := g.calm(); err != nil {
		return err
	}
	if r.port != 0 {
		if err := notePorts(g); err != nil {
			return err
		}
	}
	return g.settle()
}

func (r *raw) String() string  { return fmt.Sprintf("raw, %s: %x", r.what, r.bytes) }
func (r *raw) smaller() []step { return nil }

// addressAt is where a PORT_MOD has the port's address, which each switch has chosen itself.
const addressAt = 16

// patched is the message with the address of the port that this switch has. Zeros become that address, all else a
// wrong one.
func (r *raw) patched(g target) ([]byte, error) {
	if r.port == 0 || len(r.bytes) < addressAt+6 {
		return r.bytes, nil
	}
	all, err := g.controller().Ports()
	if err != nil {
		return nil, err
	}
	b := slices.Clone(r.bytes)
	if i := slices.IndexFunc(all, func(d *openflow.Port) bool { return d.No == r.port }); i >= 0 {
		for k, v := range all[i].HWAddr {
			b[addressAt+k] ^= v
		}
	}
	return b, nil
}

// scrambles is a life of messages with a byte of the fixed part changed, or a length.
func (g *gen) scrambles() *life {
	g.tables, g.groups, g.meters = 4, g.Uint32N(3), g.Uint32N(3)
	l := &life{}
	for id := uint32(1); id <= g.groups; id++ {
		l.steps = append(l.steps, g.groupMod(openflow.GroupAdd, id))
	}
	for id := uint32(1); id <= g.meters; id++ {
		l.steps = append(l.steps, g.meterMod(openflow.MeterAdd, id))
	}
	for range 12 {
		s := step(g.scramble())
		if g.one(6) {
			s = g.add()
		}
		if n := append(l.steps[:len(l.steps):len(l.steps)], s); known(&life{steps: n}) == "" {
			l.steps = n
		}
	}
	return l
}

// scramble makes a message with one change.
func (g *gen) scramble() *raw {
	r := &raw{}
	m, fixed := g.whole(r)
	// The xid is of no other request, and no two are the same: a part of one would go on with the other.
	b := openflow.Append(nil, scrambledXID|g.Uint32N(1<<24), m)
	at := 8 + g.IntN(min(fixed, len(b))-8)
	r.what = fmt.Sprintf("%s, byte %d", m, at)
	switch g.IntN(3) {
	case 0:
		b[at] ^= 1 << g.IntN(8)
	case 1:
		b[at] = pick(g, []byte{0, 1, 4, 8, 0x80, 0xff})
	default: // a message cut short or drawn out
		end := len(b)
		if r.frame != nil { // half a frame is not compared
			end = 24
		}
		at = 8 + g.IntN(end-7)&^7
		if g.one(2) {
			b = b[:at]
			r.what = fmt.Sprintf("%s, cut at %d", m, at)
		} else {
			b = append(b, make([]byte, 8)...)
			r.what = fmt.Sprintf("%s, 8 zeros more", m)
		}
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	}
	r.bytes = b
	return r
}

// scrambledXID and above are the transaction ids of scrambled messages.
const scrambledXID = 0xff000000

// whole is a message as it should be, and how many bytes from its beginning on may be changed.
func (g *gen) whole(r *raw) (m openflow.Message, fixed int) {
	switch g.IntN(12) {
	case 0, 1, 2:
		return g.add().message(), 52 // up to the length of the match
	case 3, 4:
		c := pick(g, []openflow.GroupCommand{openflow.GroupAdd, openflow.GroupModify, openflow.GroupDelete})
		n := g.groupMod(c, 1+g.Uint32N(g.groups+1)).message()
		return n, 16 + 16 + 4 // the first bucket and the head of its first action
	case 5:
		n := g.meterMod(openflow.MeterCommand(g.IntN(3)), 1+g.Uint32N(g.meters+1)).MeterMod
		return n, 16 + 2*16
	case 6, 7:
		p := g.packetOut()
		r.frame = p.frame
		return p.message(), 24 + 4
	case 8:
		p := g.portMod()
		r.port = p.port
		return &openflow.PortMod{Port: p.port, Config: p.config, Mask: p.mask}, 40
	case 9:
		return &openflow.TableMod{TableID: pick(g, []uint8{0, 1, 253, openflow.TableAll}), Config: openflow.TableConfig(g.IntN(4))}, 16
	}
	return g.question(), 16 + 40
}

// question is a multipart request.
func (g *gen) question() *openflow.MultipartRequest {
	m := &openflow.MultipartRequest{Type: openflow.MultipartType(g.IntN(14))}
	some := []openflow.PortNo{1, 2, 9, openflow.PortAny}
	switch m.Type {
	case openflow.MultipartFlow, openflow.MultipartAggregate:
		r := &openflow.FlowStatsRequest{TableID: pick(g, []uint8{0, 1, 7, openflow.TableAll}), OutPort: pick(g, some), OutGroup: pick(g, []uint32{1, 9, openflow.GroupAny}),
			Cookie: uint64(g.IntN(4)), CookieMask: uint64(g.IntN(4))}
		if g.one(2) {
			r.Match = openflow.NewMatch(g.match()...)
		}
		m.Records = []openflow.Record{r}
	case openflow.MultipartPortStats:
		m.Records = []openflow.Record{&openflow.PortStatsRequest{Port: pick(g, some)}}
	case openflow.MultipartQueue:
		m.Records = []openflow.Record{&openflow.QueueStatsRequest{Port: pick(g, some), Queue: pick(g, []uint32{0, 1, 0xffffffff})}}
	case openflow.MultipartGroup:
		m.Records = []openflow.Record{&openflow.GroupStatsRequest{Group: pick(g, []uint32{1, 2, 9, openflow.GroupAll})}}
	case openflow.MultipartMeter, openflow.MultipartMeterConfig:
		m.Records = []openflow.Record{&openflow.MeterRequest{Meter: pick(g, []uint32{1, 2, 9, openflow.MeterAll})}}
	}
	return m
}

// reading is the step that a raw message means, nil for one that cannot be read; r itself stands for those that no
// deviation speaks of. same says that putting its parts together gives the same bytes, but for padding that no switch looks at.
func (r *raw) reading() (s step, same bool) {
	m, xid, err := openflow.Decode(r.bytes)
	if err != nil {
		return nil, false
	}
	switch m := m.(type) {
	case *openflow.FlowMod:
		f := flowOf(m)
		again := f.message()
		again.BufferID = m.BufferID
		return f, bytes.Equal(openflow.Append(nil, xid, again), r.bytes)
	case *openflow.GroupMod:
		n, same := &groupMod{command: m.Command, kind: m.Type, id: m.Group, spoiled: true}, true
		for _, b := range m.Buckets {
			same = same && plain(b.Actions)
			n.buckets = append(n.buckets, bucket{b.Weight, b.WatchPort, b.WatchGroup, slices.Collect(b.Actions.All())})
		}
		return n, same
	case *openflow.MeterMod:
		return meterMod{m}, true
	case *openflow.PacketOut:
		f := *r.frame
		if f.bytes = m.Data; !bytes.Equal(m.Data, r.frame.bytes) {
			f.knows = facts{}
		}
		return &packetOut{m.BufferID, m.InPort, slices.Collect(m.Actions.All()), &f}, plain(m.Actions)
	case *openflow.PortMod:
		return &portMod{m.Port, m.Config, m.Mask, m.Advertise, m.HWAddr != openflow.MAC{} || m.Port != r.port}, true
	case *openflow.MultipartRequest:
		if len(m.Records) == 1 && !m.More { // see deviation unfinished-request
			if q, is := m.Records[0].(*openflow.FlowStatsRequest); is { // it selects as a delete does
				f := newFlow(q.TableID, 0)
				f.command, f.cookie, f.mask, f.outPort, f.outGroup = openflow.FlowDelete, q.Cookie, q.CookieMask, q.OutPort, q.OutGroup
				f.match = slices.Collect(q.Match.All())
				return f, true
			}
		}
	}
	return r, true
}

// plain says whether what means nothing in the actions is zero.
func plain(list openflow.Actions) bool {
	return bytes.Equal(openflow.NewActions(slices.Collect(list.All())...).Bytes(), list.Bytes())
}

// flowOf takes a FLOW_MOD apart.
func flowOf(m *openflow.FlowMod) *flow {
	f := &flow{command: m.Command, table: m.TableID, priority: m.Priority, cookie: m.Cookie, mask: m.CookieMask,
		idle: m.IdleTimeout, hard: m.HardTimeout, flags: m.Flags, outPort: m.OutPort, outGroup: m.OutGroup,
		match: slices.Collect(m.Match.All())}
	for in := range m.Instructions.All() {
		f.does = append(f.does, instruction{in, slices.Collect(in.Actions.All())})
	}
	return f
}
