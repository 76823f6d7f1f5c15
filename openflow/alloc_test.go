package openflow

import "testing"

// typicalFlowMod has five match fields, three actions and two instructions.
func typicalFlowMod() []byte {
	return Append(nil, 1, &FlowMod{
		Priority: 100, BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny,
		Match:        NewMatch(Exact(InPort, 1), Exact(EthType, 0x0800), Exact(IPProto, 6), WithMask(IPv4Src, 0x0a000000, 0xff000000), Exact(TCPDst, 80)),
		Instructions: NewInstructions(ApplyActions(SetField(EthDst, 2), Action{Type: ActionDecNwTTL}, Output(2)), GotoTable(1)),
	})
}

// TestDecodeAllocates: a FLOW_MOD costs its own struct and nothing else, and walking what is in it
// costs nothing.
func TestDecodeAllocates(t *testing.T) {
	b := typicalFlowMod()
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := Decode(b); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("decoding a FLOW_MOD allocates %v times, expected 1", n)
	}
	m, _, _ := Decode(b)
	fm := m.(*FlowMod)
	var sum uint64
	if n := testing.AllocsPerRun(100, func() {
		for f := range fm.Match.All() {
			sum += f.Value.Lo()
		}
		for i := range fm.Instructions.All() {
			for a := range i.Actions.All() {
				sum += uint64(a.Port)
			}
		}
		if _, ok := fm.Match.Get(TCPDst); !ok {
			t.Fatal("no tcp_dst")
		}
	}); n != 0 {
		t.Errorf("walking a FLOW_MOD allocates %v times", n)
	}
}

// TestAppendAllocates: messages of the fast kind are written into the buffer given.
func TestAppendAllocates(t *testing.T) {
	buf := make([]byte, 0, 4096)
	in := &PacketIn{BufferID: NoBuffer, Match: NewMatch(Exact(InPort, 1)), Data: make([]byte, 128)}
	if n := testing.AllocsPerRun(100, func() { buf = Append(buf[:0], 1, in) }); n != 0 {
		t.Errorf("writing a PACKET_IN allocates %v times", n)
	}
	s := &FlowStats{Match: NewMatch(Exact(InPort, 1)), Instructions: NewInstructions(ApplyActions(Output(1)))}
	w := NewReplyWriter(MultipartFlow, 1, make([]byte, 0, 2*MaxMessage), func([]byte) error { return nil })
	if n := testing.AllocsPerRun(5000, func() { w.Add(s) }); n != 0 {
		t.Errorf("writing a flow record allocates %v times", n)
	}
}

func BenchmarkDecodeFlowMod(b *testing.B) {
	msg := typicalFlowMod()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Decode(msg); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendPacketIn(b *testing.B) {
	in := &PacketIn{BufferID: NoBuffer, Match: NewMatch(Exact(InPort, 1)), Data: make([]byte, 128)}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], 1, in)
	}
}
