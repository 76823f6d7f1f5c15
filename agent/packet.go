// Slow path: frames to controllers and from controllers.

package agent

import (
	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// packetInBuf is a worker's scratch for packet-ins: it encodes each message once for all peers.
type packetInBuf struct {
	fin ports.Finisher
	msg []byte
}

// PacketIn sends the frame to every connection that wants packet-ins of this reason. It implements
// flowtable.Sink. A frame with an unfinished checksum is finished first, a super-frame becomes
// several packet-ins: controllers read what a wire would carry.
func (w *worker) PacketIn(in flowtable.PacketIn) {
	w.sw.packetIns.Add(1)
	taken := false
	for _, c := range *w.sw.channels.Load() {
		if c.wantPacketIn.Load()&(1<<in.Reason) == 0 {
			continue
		}
		if to := c.carrier(in.Frame); !to.out.full(in.Reason) {
			w.sendPacketIn(to, &in)
		}
		taken = true
	}
	if !taken {
		w.sw.packetDrops.Add(1)
	}
}

func (w *worker) sendPacketIn(c *Channel, in *flowtable.PacketIn) {
	maxLen := in.MaxLen
	if in.Reason == openflow.ReasonInvalidTTL {
		maxLen = uint16(c.lead().missLen.Load()) // section 7.3.2: no action's max_len applies
	}
	if _, ok := w.in.fin.Begin(in.Frame, 0); !ok {
		w.sw.packetDrops.Add(1)
		return
	}
	match := packetInMatch(in.Frame)
	for b := w.in.fin.Next(); b != nil; b = w.in.fin.Next() {
		w.in.msg = openflow.Append(w.in.msg[:0], 0, &openflow.PacketIn{
			BufferID: openflow.NoBuffer, TotalLen: uint16(min(len(b), 0xffff)), Reason: in.Reason,
			TableID: in.Table, Cookie: in.Cookie, Match: match, Data: cut(b, maxLen),
		})
		c.out.packetIn(in.Reason, w.in.msg)
	}
}

// cut shortens a frame to max_len. As nothing is buffered, 0xffff (OFPCML_NO_BUFFER) and what is
// longer than the frame mean all of it.
func cut(b []byte, maxLen uint16) []byte {
	if maxLen >= openflow.ControllerNoBuffer || int(maxLen) >= len(b) {
		return b
	}
	return b[:maxLen]
}

// packetInMatch holds the fields of the pipeline, not of the header: the frame has those (section
// 7.4.1). in_port is always there; the others when they are not zero, in_phy_port when it differs.
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
	return openflow.NewMatch(fields...)
}

// handlePacketOut runs the actions on the frame (section 7.3.6). It meets everything that this
// connection asked for before.
func (c *Channel) handlePacketOut(m *openflow.PacketOut) error {
	s := c.sw
	if m.BufferID != openflow.NoBuffer {
		return noBuffer(m.BufferID)
	}
	if len(m.Data) < 14 {
		return openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBadPacket, "a frame of %d bytes: an Ethernet header has 14", len(m.Data))
	}
	prog, err := s.pipe.CompileActions(m.Actions)
	if err != nil {
		return err
	}
	s.pipe.Publish()
	w := <-s.workers
	f := w.frames[0]
	f.SetBytes(m.Data)
	f.InPort = uint32(m.InPort)
	w.inject(f, prog)
	s.workers <- w
	return nil
}

func noBuffer(id uint32) error {
	return openflow.Errorf(openflow.ErrBadRequest, openflow.BRCBufferUnknown,
		"buffer %d: this switch keeps no frames (n_buffers is 0); send the frame itself and buffer_id 0xffffffff", id)
}
