package oracle

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// packetOut is a PACKET_OUT in parts.
type packetOut struct {
	buffer  uint32
	in      openflow.PortNo
	actions []openflow.Action
	frame   *frame
}

func (p *packetOut) message() *openflow.PacketOut {
	return &openflow.PacketOut{BufferID: p.buffer, InPort: p.in, Actions: openflow.NewActions(p.actions...), Data: p.frame.bytes}
}

func (p *packetOut) play(g target) error {
	if err := request(g, openflow.Append(nil, 0, p.message())); err != nil {
		return err
	}
	return g.calm()
}

func (p *packetOut) String() string {
	return fmt.Sprintf("packet-out buffer=%#x in_port=%s actions=%s, %s: %x", p.buffer, p.in, ofctl.Actions(openflow.NewActions(p.actions...)), p.frame.what, p.frame.bytes)
}

func (p *packetOut) smaller() (list []step) {
	for i := range p.actions {
		n := *p
		n.actions = slices.Delete(slices.Clone(p.actions), i, i+1)
		list = append(list, &n)
	}
	return list
}

// shows is what a PACKET_OUT has in common with an entry and a frame.
func (p *packetOut) shows() []step {
	f := newFlow(packetOutTable, 1)
	f.match = p.frame.knows.fields()
	f.does = []instruction{apply(p.actions...)}
	return []step{f, p.frame}
}

// packetOutTable stands for PACKET_OUTs where deviations are recognised by table.
const packetOutTable = 100

// portMod is a PORT_MOD; the address is that of the port, which every switch has chosen itself.
type portMod struct {
	port         openflow.PortNo
	config, mask openflow.PortConfig
	advertise    openflow.PortFeatures
	wrongAddress bool
}

func (p *portMod) play(g target) error {
	all, err := g.controller().Ports()
	if err != nil {
		return err
	}
	m := &openflow.PortMod{Port: p.port, Config: p.config, Mask: p.mask, Advertise: p.advertise}
	if i := slices.IndexFunc(all, func(d *openflow.Port) bool { return d.No == p.port }); i >= 0 {
		m.HWAddr = all[i].HWAddr
	}
	if p.wrongAddress {
		m.HWAddr[5] ^= 1
	}
	if err := request(g, openflow.Append(nil, 0, m)); err != nil {
		return err
	}
	if err := g.calm(); err != nil {
		return err
	}
	return notePorts(g)
}

// notePorts writes down how the ports are.
func notePorts(g target) error {
	all, err := g.controller().Ports()
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b *openflow.Port) int { return cmp.Compare(a.No, b.No) })
	for _, d := range all {
		if d.No != openflow.PortLocal {
			g.note(fmt.Sprintf("port %s config=%s state=%s", d.No, d.Config, d.State))
		}
	}
	return nil
}

func (p *portMod) String() string {
	s := fmt.Sprintf("port-mod %s config=%#x mask=%#x advertise=%#x", p.port, uint32(p.config), uint32(p.mask), uint32(p.advertise))
	if p.wrongAddress {
		s += " wrong address"
	}
	return s
}

func (p *portMod) smaller() (list []step) {
	for bit := range 32 {
		if n := *p; p.mask>>bit&1 != 0 {
			n.mask &^= 1 << bit
			n.config &= n.mask
			list = append(list, &n)
		}
	}
	return list
}

// setConfig is a SET_CONFIG and the question what came of it.
type setConfig struct{ frags openflow.FragFlags }

func (c setConfig) play(g target) error {
	m := &openflow.SetConfig{SwitchConfig: openflow.SwitchConfig{Flags: c.frags, MissSendLen: openflow.ControllerNoBuffer}}
	if err := request(g, openflow.Append(nil, 0, m)); err != nil {
		return err
	}
	r, err := g.controller().Request(&openflow.GetConfigRequest{})
	if err != nil {
		return err
	}
	g.note(fmt.Sprint(r))
	return g.calm()
}

func (c setConfig) String() string  { return fmt.Sprintf("set-config %s", c.frags) }
func (c setConfig) smaller() []step { return nil }

// portLife is a pipeline whose ports change, and frames that the controller sends among those that come in.
func (g *gen) portLife() *life {
	l := g.forwarding()
	for at := len(l.steps); at > 4; at-- {
		if g.one(2) {
			continue
		}
		l.steps = slices.Insert(l.steps, at, g.portStep())
	}
	return l
}

func (g *gen) portStep() step {
	switch g.IntN(6) {
	case 0, 1:
		return g.portMod()
	case 2:
		return setConfig{openflow.FragFlags(g.IntN(2))}
	}
	return g.packetOut()
}

func (g *gen) portMod() *portMod {
	p := &portMod{port: openflow.PortNo(1 + g.IntN(numPorts))}
	for _, bit := range []openflow.PortConfig{openflow.PortDown, openflow.PortNoRecv, openflow.PortNoFwd, openflow.PortNoPacketIn} {
		if g.one(3) {
			p.mask |= bit
		}
		if g.one(2) {
			p.config |= bit
		}
	}
	switch g.IntN(24) {
	case 0:
		p.port = pick(g, []openflow.PortNo{0, 9, openflow.PortAny, openflow.PortController, openflow.PortInPort})
	case 1:
		p.wrongAddress = true
	case 2:
		p.mask |= pick(g, []openflow.PortConfig{2, 8, 0x10, 0x80, 0x80000000})
	case 3:
		p.config |= pick(g, []openflow.PortConfig{2, 8, 0x10, 0x80, 0x80000000})
	}
	return p
}

func (g *gen) packetOut() *packetOut {
	p := &packetOut{buffer: openflow.NoBuffer, in: openflow.PortController, frame: g.frame()}
	switch g.IntN(8) {
	case 0, 1, 2, 3:
		p.in = openflow.PortNo(1 + g.IntN(numPorts))
	case 4:
		p.in = openflow.PortAny
	}
	k := p.frame.knows
	g.left, g.leftLabels = g.pushes, g.labelPushes
	p.actions = g.actions(&k, 1+g.IntN(4))
	if g.one(2) {
		p.actions = slices.Insert(p.actions, g.IntN(len(p.actions)+1), openflow.Output(openflow.PortTable))
	}
	switch g.IntN(20) {
	case 0:
		p.in = pick(g, []openflow.PortNo{0, 9, openflow.PortLocal, openflow.PortTable, openflow.PortAll, openflow.PortFlood, openflow.PortInPort, openflow.PortNormal, 0xffffff01, openflow.PortMax})
	case 1:
		if g.groups == 0 { // else there may be two mistakes
			p.buffer = uint32(g.IntN(3))
		}
	case 2: // nothing but a header; see deviation short-packet-out for less
		b := p.frame.bytes
		p.frame = &frame{p.frame.port, "nothing", append(b[:12:12], 0x88, 0xb5), facts{eth: 0x88b5}}
		p.actions = []openflow.Action{g.output()}
	}
	return p
}
