package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

func controllerOutput(maxLen uint16) openflow.Action {
	return openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: maxLen}
}

func TestPacketIn(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	p.features()
	m := add(7, inPort(1), controllerOutput(20))
	m.Cookie = 0xfeed
	p.send(deleteAll())
	p.send(m)
	miss := add(0, openflow.Match{}, controllerOutput(openflow.ControllerNoBuffer))
	p.send(miss)
	p.barrier()

	f := frame(2, 1, "some payload")
	b.send(1, f)
	in := expect[*openflow.PacketIn](p)
	if in.xid != 0 || in.m.BufferID != openflow.NoBuffer || in.m.TotalLen != 60 || !bytes.Equal(in.m.Data, f) ||
		in.m.Reason != openflow.ReasonAction || in.m.TableID != 0 || in.m.Cookie != 0xfeed || !in.m.Match.Equal(inPort(1)) {
		t.Errorf("packet-in %v", in.m)
	}
	// The table-miss entry is the only one that may say NO_MATCH.
	b.send(2, f)
	if in := expect[*openflow.PacketIn](p).m; in.Reason != openflow.ReasonNoMatch || !bytes.Equal(in.Data, f) || !in.Match.Equal(inPort(2)) {
		t.Errorf("packet-in %v", in)
	}
}

// TestPacketInPipelineFields: metadata travels in the match of the packet-in.
func TestPacketInPipelineFields(t *testing.T) {
	b := newBench(t, 1)
	p := b.connect()
	p.features()
	first := &openflow.FlowMod{Priority: 9, BufferID: openflow.NoBuffer, Instructions: openflow.NewInstructions(
		openflow.Instruction{Type: openflow.InstructionWriteMetadata, Metadata: 0x1234, MetadataMask: ^uint64(0)}, openflow.GotoTable(3))}
	second := add(1, openflow.Match{}, controllerOutput(64))
	second.TableID = 3
	p.send(first)
	p.send(second)
	p.barrier()
	b.send(1, frame(2, 1, ""))
	want := openflow.NewMatch(openflow.Exact(openflow.InPort, 1), openflow.Exact(openflow.Metadata, 0x1234))
	if in := expect[*openflow.PacketIn](p).m; !in.Match.Equal(want) || in.TableID != 3 {
		t.Errorf("packet-in %v, want match %v", in, want)
	}
}

// TestPacketInRegisters: what an entry writes into registers and pkt_mark was lost on the way to the controller.
func TestPacketInRegisters(t *testing.T) {
	b := newBench(t, 1)
	p := b.connect()
	p.features()
	p.send(add(1, openflow.Match{}, openflow.SetField(openflow.Reg0+3, 7), openflow.SetField(openflow.Reg15, 8), openflow.SetField(openflow.PktMark, 9), controllerOutput(64)))
	p.barrier()
	b.send(1, frame(2, 1, ""))
	want := openflow.NewMatch(openflow.Exact(openflow.InPort, 1), openflow.Exact(openflow.PktMark, 9), openflow.Exact(openflow.Reg0+3, 7), openflow.Exact(openflow.Reg15, 8))
	if in := expect[*openflow.PacketIn](p).m; !in.Match.Equal(want) {
		t.Errorf("packet-in %v, want match %v", in, want)
	}
}

// TestPacketInOfSuperFrame: a controller gets the segments with right checksums, as gopacket judges.
func TestPacketInOfSuperFrame(t *testing.T) {
	b := newBench(t, 1)
	p := b.connect()
	p.features()
	p.send(add(7, inPort(1), controllerOutput(openflow.ControllerNoBuffer)))
	p.barrier()
	payload := bytes.Repeat([]byte("0123456789"), 300)
	f := tcpFrame(t, payload)
	binary.BigEndian.PutUint16(f[50:], pseudoSum(f)) // as a host with offloads leaves it
	if err := b.ends[1].InjectOffload(f, packet.Offload{
		NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSO: packet.GSOTCPv4, GSOSize: 1000, HdrLen: 54,
	}); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for range 3 {
		in := expect[*openflow.PacketIn](p).m
		if int(in.TotalLen) != len(in.Data) || len(in.Data) != 1054 {
			t.Fatalf("segment of %d bytes, total_len %d", len(in.Data), in.TotalLen)
		}
		pkt := gopacket.NewPacket(in.Data, layers.LayerTypeEthernet, gopacket.Default)
		ip := pkt.NetworkLayer().(*layers.IPv4)
		tcp := pkt.TransportLayer().(*layers.TCP)
		sum := tcp.Checksum
		tcp.SetNetworkLayerForChecksum(ip)
		buf := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, tcp, gopacket.Payload(tcp.Payload)); err != nil {
			t.Fatal(err)
		}
		if right := binary.BigEndian.Uint16(buf.Bytes()[16:]); sum != right {
			t.Errorf("TCP checksum %04x, gopacket says %04x", sum, right)
		}
		got = append(got, tcp.Payload...)
	}
	if !bytes.Equal(got, payload) {
		t.Error("the segments do not add up to the payload")
	}
}

func tcpFrame(t *testing.T, payload []byte) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: []byte{10, 0, 0, 1}, DstIP: []byte{10, 0, 0, 2}}
	tcp := &layers.TCP{SrcPort: 1000, DstPort: 2000, Seq: 1, ACK: true, Window: 100}
	tcp.SetNetworkLayerForChecksum(ip)
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true, FixLengths: true},
		&layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4},
		ip, tcp, gopacket.Payload(payload))
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// pseudoSum is the folded sum of the TCP pseudo-header, which an unfinished checksum holds.
func pseudoSum(f []byte) uint16 {
	sum := uint32(6) + uint32(len(f)-34)
	for i := 26; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

func TestPacketOut(t *testing.T) {
	b := newBench(t, 3)
	p := b.connect()
	p.features()
	f := frame(9, 1, "out")
	out := func(in openflow.PortNo, list ...openflow.Action) {
		t.Helper()
		p.send(&openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: in, Actions: openflow.NewActions(list...), Data: f})
		p.barrier()
	}
	out(openflow.PortController, openflow.Output(2))
	b.expect(f, 2)
	out(1, openflow.Output(openflow.PortFlood))
	b.expect(f, 2, 3)
	out(openflow.PortController, openflow.Output(openflow.PortAll))
	b.expect(f, 1, 2, 3)
	out(2, openflow.Output(openflow.PortInPort))
	b.expect(f, 2)
	out(2, openflow.Output(2)) // the port it came from, not written as IN_PORT
	b.silent(1, 2, 3)
	out(3, openflow.Output(openflow.PortNormal))
	b.expect(f, 1, 2)

	// TABLE meets an entry that came just before it, without a barrier between.
	p.send(add(50, inPort(3), openflow.Output(1)))
	out(3, openflow.Output(openflow.PortTable))
	b.expect(f, 1)
	out(openflow.PortController) // no action: dropped
	b.silent(1, 2, 3)
	none[*openflow.Error](p)
}

func TestPacketOutRefused(t *testing.T) {
	b := newBench(t, 1)
	p := b.connect()
	good := frame(9, 1, "")
	for _, c := range []struct {
		m    openflow.PacketOut
		want openflow.Error
	}{
		{openflow.PacketOut{BufferID: 5, InPort: 1}, openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBufferUnknown}},
		{openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: 1, Data: good[:13]}, openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBadPacket}},
		{openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortFlood, Data: good}, openflow.Error{Type: openflow.ErrBadRequest, Code: openflow.BRCBadPort}},
		{openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: 1, Data: good, Actions: openflow.NewActions(openflow.Output(openflow.PortAny))},
			openflow.Error{Type: openflow.ErrBadAction, Code: openflow.BACBadOutPort}},
		{openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: 1, Data: good, Actions: openflow.NewActions(openflow.Group(4))},
			openflow.Error{Type: openflow.ErrBadAction, Code: openflow.BACBadOutGroup}},
	} {
		xid := p.send(&c.m)
		if e := expect[*openflow.Error](p); e.xid != xid || !errors.Is(e.m, &c.want) {
			t.Errorf("%v: xid %d %v, want %d %v", &c.m, e.xid, e.m, xid, &c.want)
		}
	}
	b.silent(1)
}
