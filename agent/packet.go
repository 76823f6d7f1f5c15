// Slow path: frames to controllers and from controllers.

package agent

import (
	"math"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// packetInBuf is a worker's scratch for packet-ins: it encodes each message once for all peers.
type packetInBuf struct {
	fin       ports.Finisher
	m         openflow.PacketIn
	msg       []byte
	port      uint32
	portMatch openflow.Match // of frames by that port
	ids       []uint32       // buffers of the frame at hand, one a segment
}

// PacketIn sends the frame to every connection that wants packet-ins of this reason. It implements
// flowtable.Sink. A frame with an unfinished checksum is finished first, a super-frame becomes
// several packet-ins: controllers read what a wire would carry.
func (w *worker) PacketIn(in flowtable.PacketIn) {
	w.sw.packetIns.Add(1)
	w.in.ids = w.in.ids[:0]
	taken := false
	for _, c := range *w.sw.channels.Load() {
		if c.wantPacketIn.Load()&(1<<in.Reason) == 0 || c.controllerID.Load() != uint32(in.ControllerID) {
			continue
		}
		if to := c.carrier(in.Frame); !to.out.full(in.Reason) && w.sendPacketIn(to, &in) {
			taken = true
		}
	}
	if taken {
		return
	}
	if in.ControllerID != 0 { // controller(id=...), and nobody took this id
		w.sw.packetDrops.Add(1)
	}
	for _, id := range w.in.ids { // nobody has heard of them
		w.sw.kept.take(id)
	}
}

// sendPacketIn reports whether the controller gets at least a part of the frame.
func (w *worker) sendPacketIn(c *Channel, in *flowtable.PacketIn) (taken bool) {
	maxLen := in.MaxLen
	if in.Reason == openflow.ReasonInvalidTTL {
		maxLen = uint16(c.lead().missLen.Load()) // section 7.3.2: no action's max_len applies
	}
	if _, ok := w.in.fin.Begin(in.Frame, math.MaxInt); !ok { // no link: a packet put together goes whole
		w.sw.packetDrops.Add(1)
		return false
	}
	match := w.in.match(in.Frame)
	for i, b := 0, w.in.fin.Next(); b != nil; i, b = i+1, w.in.fin.Next() {
		id, data := w.buffer(i, b, in.Frame.InPort, maxLen)
		w.in.m = openflow.PacketIn{
			BufferID: id, TotalLen: uint16(min(len(b), 0xffff)), Reason: in.Reason,
			TableID: in.Table, Cookie: in.Cookie, Match: match, Data: data,
		}
		w.in.msg = c.appendPacketIn(w.in.msg[:0], &w.in.m)
		taken = c.out.packetIn(in.Reason, w.in.msg) || taken
	}
	return taken
}

// buffer keeps the i-th segment of the frame at hand, once for all controllers, and cuts it to max_len. A
// frame that is not kept goes whole: one for which there is no place, one that the action does not want
// kept (OFPCML_NO_BUFFER), and all of them in a switch that keeps none (sections 6.1.2 and 7.4.1).
func (w *worker) buffer(i int, b []byte, in uint32, maxLen uint16) (id uint32, data []byte) {
	if maxLen == openflow.ControllerNoBuffer {
		return openflow.NoBuffer, b
	}
	for len(w.in.ids) <= i {
		id, _ := w.sw.kept.keep(b, in)
		w.in.ids = append(w.in.ids, id)
	}
	if id = w.in.ids[i]; id == openflow.NoBuffer {
		return id, b
	}
	return id, b[:min(len(b), int(maxLen))]
}

// match is packetInMatch, made once for frames that come by one port and have nothing else to tell.
func (p *packetInBuf) match(f *packet.Frame) openflow.Match {
	_, phy := f.Key.Get(packet.InPhyPort)
	_, more := f.Key.Get(packet.PktMark)
	for _, fl := range [...]packet.Field{packet.TunnelID, packet.Metadata, packet.XReg0, packet.XReg0 + 1, packet.XReg0 + 2,
		packet.XReg0 + 3, packet.XReg0 + 4, packet.XReg0 + 5, packet.XReg0 + 6, packet.XReg7} {
		_, v := f.Key.Get(fl)
		more |= v
	}
	if phy != 0 && uint32(phy) != f.InPort || more != 0 {
		return packetInMatch(f)
	}
	if p.portMatch.IsEmpty() || p.port != f.InPort {
		p.port, p.portMatch = f.InPort, packetInMatch(f)
	}
	return p.portMatch
}

// packetInMatch holds the fields of the pipeline, not of the header: the frame has those (section
// 7.4.1). in_port is always there; the others when they are not zero, in_phy_port when it differs. With
// registers and pkt_mark among them an application can hand a value from its entries to itself.
func packetInMatch(f *packet.Frame) openflow.Match {
	fields := make([]openflow.Field, 1, 4)
	fields[0] = openflow.Exact(openflow.InPort, uint64(f.InPort))
	if _, p := f.Key.Get(packet.InPhyPort); p != 0 && uint32(p) != f.InPort {
		fields = append(fields, openflow.Exact(openflow.InPhyPort, p))
	}
	if _, m := f.Key.Get(packet.Metadata); m != 0 {
		fields = append(fields, openflow.Exact(openflow.Metadata, m))
	}
	if _, t := f.Key.Get(packet.TunnelID); t != 0 {
		fields = append(fields, openflow.Exact(openflow.TunnelID, t))
	}
	if _, m := f.Key.Get(packet.PktMark); m != 0 {
		fields = append(fields, openflow.Exact(openflow.PktMark, m))
	}
	for i := range openflow.Reg15 - openflow.Reg0 + 1 {
		if _, r := f.Key.Get(packet.Reg0 + packet.Field(i)); r != 0 {
			fields = append(fields, openflow.Exact(openflow.Reg0+i, r))
		}
	}
	return openflow.NewMatch(fields...)
}

// handlePacketOut runs the actions on the frame (section 7.3.7). It meets everything that this
// connection asked for before.
func (c *Channel) handlePacketOut(m *openflow.PacketOut) error {
	s, data := c.sw, m.Data
	prog, err := s.pipe.CompileActions(m.Actions)
	if err != nil {
		return err
	}
	if m.BufferID != openflow.NoBuffer {
		kept, err := s.kept.take(m.BufferID)
		if err != nil {
			return err
		}
		data = kept.frame
	}
	if err := checkOut(data); err != nil {
		return err
	}
	c.packetOut(data, uint32(m.InPort), prog)
	return nil
}

// checkOut judges the frame of a PACKET_OUT.
func checkOut(data []byte) error {
	if len(data) < 14 {
		return openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadPacket, "a frame of %d bytes: an Ethernet header has 14", len(data))
	}
	return nil
}

// packetOuts are frames of PACKET_OUTs that came one behind the other: they leave in one batch.
type packetOuts struct {
	data  [][]byte // in the messages' memory, which lasts while whole messages are still to be read
	in    []uint32
	progs []*flowtable.Program
}

// packetOut runs a frame through a program, with those of the PACKET_OUTs that follow at once. Any other
// message, an answer, and a read that might wait come after them (burst.go).
func (c *Channel) packetOut(data []byte, in uint32, prog *flowtable.Program) {
	o := &c.burst.outs
	o.data, o.in, o.progs = append(o.data, data), append(o.in, in), append(o.progs, prog)
	if len(o.data) == batchSize {
		c.sendPacketOuts()
	}
}

// sendPacketOuts runs the frames that wait, after everything that was asked for before.
func (c *Channel) sendPacketOuts() {
	o := &c.burst.outs
	if len(o.data) == 0 {
		return
	}
	if c.burst.changes > 0 {
		c.sw.pipe.Publish()
	}
	w := <-c.sw.workers
	frames := w.frames[:len(o.data)]
	for i, f := range frames {
		f.SetBytes(o.data[i])
		f.InPort = o.in[i]
	}
	w.inject(frames, o.progs)
	c.sw.workers <- w
	clear(o.data)
	clear(o.progs)
	o.data, o.in, o.progs = o.data[:0], o.in[:0], o.progs[:0]
}
