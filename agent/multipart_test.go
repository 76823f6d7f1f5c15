package agent

import (
	"errors"
	"slices"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestFlowStatsInParts dumps more entries than a message holds, in the order promised.
func TestFlowStatsInParts(t *testing.T) {
	b := newBench(t, 1)
	p := b.connect()
	p.send(deleteAll())
	const n = 5000
	for i := range n {
		m := add(uint16(i%7), openflow.NewMatch(openflow.Exact(openflow.EthDst, uint64(i))), openflow.Output(1))
		m.TableID, m.Cookie = uint8(i%3), uint64(i)
		p.conn.Queue(p.conn.NextXID(), m)
	}
	p.barrier()
	xid := p.send(&openflow.MultipartRequest{Type: openflow.MultipartFlow, Records: []openflow.Record{openflow.AllFlows()}})
	var all []*openflow.FlowStats
	parts := 0
	for more := true; more; parts++ {
		r := expect[*openflow.MultipartReply](p)
		if r.xid != xid || len(r.raw) > openflow.MaxMessage {
			t.Fatalf("part of %d bytes with xid %d", len(r.raw), r.xid)
		}
		for _, rec := range r.m.Records {
			all = append(all, rec.(*openflow.FlowStats))
		}
		more = r.m.More
	}
	if len(all) != n || parts < 2 {
		t.Fatalf("%d entries in %d parts", len(all), parts)
	}
	sorted := slices.IsSortedFunc(all, func(a, b *openflow.FlowStats) int {
		if a.TableID != b.TableID {
			return int(a.TableID) - int(b.TableID)
		}
		if a.Priority != b.Priority {
			return int(b.Priority) - int(a.Priority)
		}
		return int(int64(a.Cookie) - int64(b.Cookie))
	})
	if !sorted {
		t.Error("not in order of table, priority downwards, age")
	}
	some := openflow.AllFlows()
	some.TableID, some.Cookie, some.CookieMask = 1, 0, 1
	if got := p.ask(openflow.MultipartFlow, some); len(got) != 833 { // 4, 10, 16, ... 4996
		t.Errorf("%d entries of table 1 with even cookies, want 833", len(got))
	}
	sum := p.ask(openflow.MultipartAggregate, openflow.AllFlows())
	if a := sum[0].(*openflow.AggregateStats); a.FlowCount != n || a.PacketCount != 0 {
		t.Errorf("%+v", a)
	}
}

// TestOddEntriesComeLastAndAlone: ovs-ofctl gives up on the message that holds them.
func TestOddEntriesComeLastAndAlone(t *testing.T) {
	b := newBench(t, 1)
	p := b.connect()
	p.send(deleteAll())
	p.send(add(900, openflow.NewMatch(openflow.Exact(openflow.InPort, 1), openflow.Exact(openflow.InPhyPort, 1)), openflow.Output(1)))
	p.send(add(800, openflow.NewMatch(openflow.Exact(openflow.EthType, 0x8847)), openflow.Action{Type: openflow.ActionCopyTTLOut}, openflow.Output(1)))
	p.send(add(1, inPort(3), openflow.Output(1)))
	p.barrier()
	p.send(&openflow.MultipartRequest{Type: openflow.MultipartFlow, Records: []openflow.Record{openflow.AllFlows()}})
	for i, priority := range []uint16{1, 900, 800} {
		m := expect[*openflow.MultipartReply](p).m
		if len(m.Records) != 1 || m.Records[0].(*openflow.FlowStats).Priority != priority || m.More != (i < 2) {
			t.Errorf("part %d: %v, want the entry of priority %d alone", i, m, priority)
		}
	}
}

func TestTableFeatures(t *testing.T) {
	b := newBench(t, 0, func(c *BridgeConfig, _ *Env) { c.Tables = 254 })
	p := b.connect()
	records := p.ask(openflow.MultipartTableFeatures)
	if len(records) != 254 {
		t.Fatalf("%d tables", len(records))
	}
	for i, r := range records {
		f := r.(*openflow.TableFeatures)
		if int(f.TableID) != i || f.Name != "" || f.MaxEntries == 0 {
			t.Errorf("table %d: %v", i, f)
		}
		for _, want := range openflow.RequiredTableProperties() {
			if _, ok := f.Property(want); !ok {
				t.Errorf("table %d has no property %s", i, want)
			}
		}
		next, _ := f.Property(openflow.PropNextTables)
		if len(next.Tables) != 253-i || len(next.Tables) > 0 && int(next.Tables[0]) != i+1 {
			t.Errorf("table %d: next tables %v", i, next.Tables)
		}
		ins, _ := f.Property(openflow.PropInstructions)
		if slices.Contains(ins.Instructions, openflow.InstructionGotoTable) != (i < 253) {
			t.Errorf("table %d: instructions %v", i, ins.Instructions)
		}
	}
}

func TestSmallAnswers(t *testing.T) {
	b := newBench(t, 2, func(c *BridgeConfig, _ *Env) { c.DatapathDesc = "rack 7" })
	p := b.connect()
	if f := p.features(); f.DatapathID != 1 || f.NTables != 10 || f.NBuffers != 0 || f.AuxiliaryID != 0 ||
		f.Capabilities != openflow.CapFlowStats|openflow.CapTableStats|openflow.CapPortStats|openflow.CapGroupStats|
			openflow.CapIPReasm|openflow.CapQueueStats {
		t.Errorf("%v", f)
	}
	if d := p.ask(openflow.MultipartDesc)[0].(*openflow.Desc); d.Datapath != "rack 7" || d.Manufacturer == "" {
		t.Errorf("%v", d)
	}
	b.send(1, frame(0xff, 1, ""))
	b.settle()
	if s := p.ask(openflow.MultipartTable); len(s) != 10 {
		t.Errorf("%d tables", len(s))
	} else if s := s[0].(*openflow.TableStats); s.ActiveCount != 1 || s.LookupCount != 1 || s.MatchedCount != 1 {
		t.Errorf("%v", s)
	}
	p.send(&openflow.QueueGetConfigRequest{Port: openflow.PortAny})
	if q := expect[*openflow.QueueGetConfigReply](p).m; len(q.Queues) != 0 || q.Port != openflow.PortAny {
		t.Errorf("%v", q)
	}
	for _, mt := range []openflow.MultipartType{openflow.MultipartGroupDesc} {
		if r := p.ask(mt); len(r) != 0 {
			t.Errorf("%s: %v", mt, r)
		}
	}
	if r := p.ask(openflow.MultipartGroup, &openflow.GroupStatsRequest{Group: openflow.GroupAll}); len(r) != 0 {
		t.Errorf("groups %v", r)
	}
	if r := p.ask(openflow.MultipartQueue, &openflow.QueueStatsRequest{Port: openflow.PortAny, Queue: openflow.QueueAll}); len(r) != 0 {
		t.Errorf("queues %v", r)
	}
	if r := p.ask(openflow.MultipartMeterConfig, &openflow.MeterRequest{Meter: openflow.MeterAll}); len(r) != 0 {
		t.Errorf("meters %v", r)
	}
	p.send(&openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.GroupAll})
	p.send(&openflow.MeterMod{Command: openflow.MeterDelete, Meter: openflow.MeterAll, Flags: openflow.MeterKbps})
	p.send(&openflow.TableMod{TableID: openflow.TableAll})
	none[*openflow.Error](p)
}

func TestRefusals(t *testing.T) {
	b := newBench(t, 1)
	p := b.connect()
	multipart := func(mt openflow.MultipartType, body ...openflow.Record) openflow.Message {
		return &openflow.MultipartRequest{Type: mt, Records: body}
	}
	for _, c := range []struct {
		m    openflow.Message
		kind openflow.ErrorType
		code uint16
	}{
		{&openflow.GroupMod{Group: 1, Type: openflow.GroupTypeIndirect}, openflow.ErrGroupModFailed, openflow.GMFCInvalidGroup},
		{&openflow.GroupMod{Command: openflow.GroupModify, Group: 1}, openflow.ErrGroupModFailed, openflow.GMFCUnknownGroup},
		{&openflow.MeterMod{Command: openflow.MeterAdd, Meter: 0, Flags: openflow.MeterKbps, Bands: []openflow.Band{{Type: openflow.BandDrop, Rate: 1}}},
			openflow.ErrMeterModFailed, openflow.MMFCInvalidMeter},
		{&openflow.MeterMod{Command: openflow.MeterModify, Meter: 1, Flags: openflow.MeterKbps, Bands: []openflow.Band{{Type: openflow.BandDrop, Rate: 1}}},
			openflow.ErrMeterModFailed, openflow.MMFCUnknownMeter},
		{&openflow.TableMod{TableID: 200}, openflow.ErrTableModFailed, openflow.TMFCBadTable},
		{&openflow.TableMod{Config: 1 << 9}, openflow.ErrTableModFailed, openflow.TMFCBadConfig},
		{multipart(openflow.MultipartMeter, &openflow.MeterRequest{Meter: 3}), openflow.ErrMeterModFailed, openflow.MMFCUnknownMeter},
		{multipart(openflow.MultipartQueue, &openflow.QueueStatsRequest{Port: 9, Queue: openflow.QueueAll}), openflow.ErrQueueOpFailed, openflow.QOFCBadPort},
		{multipart(openflow.MultipartQueue, &openflow.QueueStatsRequest{Port: 1, Queue: 4}), openflow.ErrQueueOpFailed, openflow.QOFCBadQueue},
		{&openflow.QueueGetConfigRequest{Port: 9}, openflow.ErrQueueOpFailed, openflow.QOFCBadPort},
		{multipart(openflow.MultipartExperimenter, &openflow.ExperimenterRecord{Experimenter: 1}), openflow.ErrBadRequest, openflow.BRCBadExperimenter},
		{multipart(openflow.MultipartFlow, &openflow.FlowStatsRequest{TableID: 99}), openflow.ErrBadRequest, openflow.BRCBadTableID},
		{&openflow.MultipartRequest{Type: openflow.MultipartDesc, More: true}, openflow.ErrBadRequest, openflow.BRCMultipartBufferOverflow},
		{&openflow.SetConfig{SwitchConfig: openflow.SwitchConfig{Flags: 3}}, openflow.ErrSwitchConfigFailed, openflow.SCFCBadFlags},
	} {
		xid := p.send(c.m)
		if e := expect[*openflow.Error](p); e.xid != xid || !errors.Is(e.m, &openflow.Error{Type: c.kind, Code: c.code}) {
			t.Errorf("%v: %v, want %v", c.m, e.m, &openflow.Error{Type: c.kind, Code: c.code})
		}
	}
	none[*openflow.Error](p)
}
