package openflow

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// What ovs-ofctl 3.1 and Open vSwitch 3.1 said to each other.
const (
	recordedMonitor   = "0412003000000009ffff0000000000004f4e46000000074e00000000003f0004ffffffff030000000001000400000000"
	recordedAdded     = "0413006000000000ffff0000000000004f4e46000000074e0048000000000009000100000015030000000000000000070001001580000a020800800014010680001c020051000000000400180000000000000010000000020000000000000000"
	recordedDeleted   = "0413006000000000ffff0000000000004f4e46000000074e0048000100020009000100000015030000000000000000000001001580000a020800800014010680001c020051000000000400180000000000000010000000030000000000000000"
	recordedOpen      = "04040018000000074f4e4600000008fc0000000000000003"
	recordedOpened    = "04040018000000074f4e4600000008fc0000000000010000"
	recordedBundleAdd = "04040050000000064f4e4600000008fd0000000000000003040e003800000006000000000000000000000000000000000400000000008000ffffffffffffffffffffffff000000000001000400000000"
	recordedPacketIn2 = "0404005800000000000023200000001e00000020ffffffffffff0200000000010800000000000000000000000000000000030005000000000005000501000000000600148000000400000001000102040000000500000000"
)

func TestFlowMonitorRequestOfOvsOfctl(t *testing.T) {
	b := unhex(t, recordedMonitor)
	m, xid, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	const want = "MULTIPART_REQUEST FLOW_MONITOR {id=0 flags=0x3f out_port=ANY table=3 match=any}"
	if m.String() != want {
		t.Errorf("got  %s\nwant %s", m, want)
	}
	if got := Append(nil, xid, m); !bytes.Equal(got, b) {
		t.Errorf("got  %x\nwant %x", got, b)
	}
	for n := 24; n < len(b); n++ { // every shorter one
		c := bytes.Clone(b[:n])
		put16(c, 2, uint16(n))
		if m, _, err := Decode(c); err == nil && len(m.(*MultipartRequest).Records) > 0 {
			t.Errorf("%d bytes became %s", n, m)
		}
	}
}

func TestFlowUpdatesAsOpenVSwitchSendsThem(t *testing.T) {
	match := NewMatch(Exact(EthType, 0x800), Exact(IPProto, 6), Exact(TCPDst, 81))
	out := func(p PortNo) Instructions {
		return NewInstructions(ApplyActions(Action{Type: ActionOutput, Port: p}))
	}
	for want, u := range map[string]*FlowUpdate{
		recordedAdded: {Event: FlowEventAdded, Priority: 9, IdleTimeout: 1, TableID: 3, Cookie: 7, Match: match, Instructions: out(2)},
		recordedDeleted: {Event: FlowEventDeleted, Reason: RemovedDelete, Priority: 9, IdleTimeout: 1, TableID: 3, Match: match,
			Instructions: out(3)},
	} {
		w := NewReplyWriter(MultipartFlowMonitor, 0, nil, func(msg []byte) error {
			if got := hex.EncodeToString(msg); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			return nil
		})
		if err := w.Add(u); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
}

func TestBundleMessagesOfOvsOfctl(t *testing.T) {
	m, xid, err := Decode(unhex(t, recordedOpen))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ReadBundleControl(m.(*Experimenter).Data)
	if err != nil || c != (BundleControl{0, BundleOpen, BundleAtomic | BundleOrdered}) {
		t.Errorf("%+v, %v", c, err)
	}
	c.Command, c.Flags = c.Command+1, 0
	if got := Append(nil, xid, c.Experimenter()); !bytes.Equal(got, unhex(t, recordedOpened)) {
		t.Errorf("got %x, want %s", got, recordedOpened)
	}
	b := unhex(t, recordedBundleAdd)
	if m, _, err = Decode(b); err != nil {
		t.Fatal(err)
	}
	data := m.(*Experimenter).Data
	id, flags, inner, err := ReadBundleAdd(data)
	if err != nil || id != 0 || flags != 3 || !bytes.Equal(inner, b[24:]) {
		t.Errorf("%d %d %x %v", id, flags, inner, err)
	}
	if f, _, err := Decode(inner); err != nil || f.MsgType() != TypeFlowMod {
		t.Errorf("%v %v", f, err)
	}
	for n := range data {
		if _, _, inner, err := ReadBundleAdd(data[:n]); err == nil {
			t.Errorf("%d bytes hold %x", n, inner)
		}
	}
}

func TestPacketIn2AsOpenVSwitchSendsIt(t *testing.T) {
	want := unhex(t, recordedPacketIn2)
	metadata := append(NewMatch(Exact(InPort, 1)).Bytes(), 0, 1, 2<<0, 4, 0, 0, 0, 5) // reg1 as NXM
	m := &NiciraPacketIn{
		Format: PacketInNXM2, Metadata: metadata,
		PacketIn: PacketIn{BufferID: NoBuffer, TotalLen: 28, Reason: ReasonAction, Cookie: ^uint64(0), Data: want[20:48]},
	}
	if got := Append(nil, 0, m); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	m.Data, m.TotalLen = make([]byte, 65535), 65535
	for _, f := range []PacketInFormat{PacketInNXM, PacketInNXM2} { // what fits no message is cut
		if m.Format = f; len(Append(nil, 0, m)) > MaxMessage {
			t.Errorf("format %d: too long", f)
		}
	}
}
