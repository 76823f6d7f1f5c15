package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// shape asks for tables, which are given as id:name:entries.
func shapeRequest(tables ...string) *openflow.MultipartRequest {
	m := &openflow.MultipartRequest{Type: openflow.MultipartTableFeatures}
	for _, text := range tables {
		words := strings.Split(text, ":")
		t := &openflow.TableFeatures{Name: words[1]}
		if _, err := fmt.Sscan(words[0]+" "+words[2], &t.TableID, &t.MaxEntries); err != nil {
			panic(err)
		}
		m.Records = append(m.Records, t)
	}
	return m
}

// shapes are the tables that a reply names, in the same form.
func shapesOf(records []openflow.Record) (list []string) {
	for _, r := range records {
		t := r.(*openflow.TableFeatures)
		list = append(list, fmt.Sprintf("%d:%s:%d", t.TableID, t.Name, t.MaxEntries))
	}
	return list
}

func TestReshapeTables(t *testing.T) {
	b := newBench(t, 2, func(c *BridgeConfig, _ *Env) { c.Tables, c.MaxFlows = 6, 100 })
	p := b.connect()
	p.features()
	in := func(table uint8, list ...openflow.Instruction) *openflow.FlowMod {
		m := inTable(table, list...)
		m.Flags = openflow.FlowSendRemoved
		return m
	}
	p.send(deleteAll())
	p.send(in(1, openflow.ApplyActions(openflow.Output(2)))) // stays: table 1 does not change
	p.send(in(2, openflow.GotoTable(5)))                     // goes on to a table that will be gone
	p.send(in(3))                                            // in a table that gets another name
	p.send(in(5))
	p.barrier()
	m := shapeRequest("0:vlan:2", "1::100", "2::100", "3:acl:0")
	m.Records[3].(*openflow.TableFeatures).Properties = []openflow.TableProperty{
		{Type: openflow.PropMatch, Fields: []openflow.TableField{{ID: openflow.EthDst, Masked: true}}}, {Type: openflow.PropNextTablesMiss},
	}
	p.send(m)
	want := []string{"0:vlan:2", "1::100", "2::100", "3:acl:100"}
	if got := shapesOf(expect[*openflow.MultipartReply](p).m.Records); !slices.Equal(got, want) {
		t.Errorf("the answer says %v, want %v", got, want)
	}
	none[*openflow.FlowRemoved](p) // section 7.3.5.5
	if f := b.sw.Flows(-1); len(f) != 1 || f[0].Table != 1 {
		t.Errorf("entries left: %+v", f)
	}
	if n := len(p.ask(openflow.MultipartTable)); n != 4 {
		t.Errorf("statistics of %d tables", n)
	}
	if f := p.features(); f.NTables != 4 {
		t.Errorf("%v", f)
	}
	refused := func(m openflow.Message, kind openflow.ErrorType, code uint16) {
		t.Helper()
		p.send(m)
		if e := expect[*openflow.Error](p).m; !errors.Is(e, &openflow.Error{Type: kind, Code: code}) {
			t.Errorf("%v: %v", m, e)
		}
	}
	refused(in(5), openflow.ErrFlowModFailed, openflow.FMFCBadTableID)
	refused(in(3, openflow.GotoTable(5)), openflow.ErrBadInstruction, openflow.BICBadTableID)
	refused(&openflow.TableMod{TableID: 5}, openflow.ErrTableModFailed, openflow.TMFCBadTable)
	q := openflow.AllFlows()
	q.TableID = 4
	refused(&openflow.MultipartRequest{Type: openflow.MultipartFlow, Records: []openflow.Record{q}}, openflow.ErrBadRequest, openflow.BRCBadTableID)
	for i := range uint64(2) {
		p.send(add(7, inPort(i+1)))
	}
	p.barrier()
	refused(add(8, openflow.Match{}), openflow.ErrFlowModFailed, openflow.FMFCTableFull)

	// Frames walk the new pipeline, over the hole where a table was.
	p.send(shapeRequest("0:vlan:2", "1:table1:100", "4:last:1"))
	want = []string{"0:vlan:2", "1:table1:100", "4:last:1"}
	if got := shapesOf(expect[*openflow.MultipartReply](p).m.Records); !slices.Equal(got, want) {
		t.Errorf("the answer says %v, want %v", got, want)
	}
	p.send(deleteAll())
	p.send(in(0, openflow.GotoTable(1)))
	p.send(in(1, openflow.GotoTable(4)))
	p.send(in(4, openflow.ApplyActions(openflow.Output(2))))
	p.barrier()
	f := frame(1, 2, "through three tables")
	b.send(1, f)
	b.expect(f, 2)
	p.send(shapeRequest("0:vlan:2", "1:table1:100"))
	expect[*openflow.MultipartReply](p)
	b.send(1, f) // table 1's entry went with table 4
	b.silent(1, 2)
	none[*openflow.Error](p)
}

// TestReshapeTellsMonitors: no FLOW_REMOVED is sent for the entries that go with their tables (section 7.3.5.5), but
// flow monitors, which the specification of 1.3 does not know, hear of each.
func TestReshapeTellsMonitors(t *testing.T) {
	b := newBench(t, 0, func(c *BridgeConfig, _ *Env) { c.Tables = 6 })
	p, w := b.connect(), b.connect()
	p.features()
	p.send(inTable(1))
	p.send(inTable(2, openflow.GotoTable(5)))
	m := inTable(5)
	m.Flags = openflow.FlowSendRemoved
	p.send(m)
	p.barrier()
	w.ask(openflow.MultipartFlowMonitor, &openflow.FlowMonitorRequest{
		Flags: openflow.MonitorDelete | openflow.MonitorAdd, OutPort: openflow.PortAny, TableID: openflow.TableAll})
	f := b.sw.pipe.Features()
	request := shapeRequest("0::0", "1::0", "2::0")
	for i, r := range request.Records {
		r.(*openflow.TableFeatures).MaxEntries = uint32(f.Shapes[i].MaxEntries)
	}
	p.send(request)
	expect[*openflow.MultipartReply](p)
	var gone []uint8
	for len(gone) < 2 {
		for _, r := range expect[*openflow.MultipartReply](w).m.Records {
			u := r.(*openflow.FlowUpdate)
			if u.Event != openflow.FlowEventDeleted || u.Reason != openflow.RemovedDelete {
				t.Errorf("%v", u)
			}
			gone = append(gone, u.TableID)
		}
	}
	if slices.Sort(gone); !slices.Equal(gone, []uint8{2, 5}) {
		t.Errorf("entries told to be gone: of tables %v, want 2 and 5", gone)
	}
	none[*openflow.FlowRemoved](p)
	none[*openflow.MultipartReply](w)
}

// TestMultipartInParts: a request in three parts, another one in between, and those that are refused
// as a whole.
func TestMultipartInParts(t *testing.T) {
	b := newBench(t, 1, func(c *BridgeConfig, _ *Env) { c.Tables = 6 })
	p := b.connect()
	p.features()
	part := func(xid uint32, more bool, tables ...string) {
		t.Helper()
		m := shapeRequest(tables...)
		m.More = more
		if err := p.conn.Send(xid, m); err != nil {
			t.Fatal(err)
		}
	}
	tables := func() []string { return shapesOf(p.ask(openflow.MultipartTableFeatures)) }
	before := tables()
	part(1000, true, "0:a:5")
	part(2000, true, "0:x:5", "9:no:1") // will be refused: there is no table 9
	part(1000, true, "1:b:5")
	p.send(&openflow.EchoRequest{})
	expect[*openflow.EchoReply](p)
	if got := tables(); !slices.Equal(got, before) {
		t.Errorf("half a request did something: %v", got)
	}
	part(1000, false, "2:c:5")
	r := expect[*openflow.MultipartReply](p)
	if got := shapesOf(r.m.Records); r.xid != 1000 || !slices.Equal(got, []string{"0:a:5", "1:b:5", "2:c:5"}) {
		t.Errorf("xid %d: %v", r.xid, got)
	}
	part(2000, false)
	if e := expect[*openflow.Error](p); e.xid != 2000 || !errors.Is(e.m, &openflow.Error{Type: openflow.ErrTableFeaturesFailed, Code: openflow.TFFCBadTable}) {
		t.Errorf("%d %v", e.xid, e.m)
	}

	// A bad part spoils the request: what comes later is not a request of its own.
	part(3000, true, "0:x:5")
	bad := wire(shapeRequest("1:y:5"))
	bad[7], bad[6], bad[5], bad[4] = 0xb8, 0x0b, 0, 0
	bad[11] = 1 // more
	bad[16], bad[17] = 0, 9
	p.nc.Write(bad)
	if e := expect[*openflow.Error](p); e.xid != 3000 {
		t.Errorf("%d %v", e.xid, e.m)
	}
	part(3000, true, "0:z:5")
	part(3000, false, "0:z:5")
	part(4000, true, "0:x:5")
	if err := p.conn.Send(4000, &openflow.MultipartRequest{Type: openflow.MultipartDesc}); err != nil {
		t.Fatal(err)
	}
	if e := expect[*openflow.Error](p); e.xid != 4000 || e.m.Code != openflow.BRCBadMultipart {
		t.Errorf("%d %v", e.xid, e.m)
	}
	none[*openflow.Error](p)
	if got := tables(); !slices.Equal(got, []string{"0:a:5", "1:b:5", "2:c:5"}) {
		t.Errorf("tables %v", got)
	}
}

// TestMultipartPartsAreBounded: more than a switch keeps is refused, once; requests without an end
// cost their connection.
func TestMultipartPartsAreBounded(t *testing.T) {
	b := newBench(t, 1)
	p := b.connect()
	p.features()
	m := &openflow.MultipartRequest{Type: openflow.MultipartTableFeatures, More: true}
	for range 900 {
		m.Records = append(m.Records, &openflow.TableFeatures{})
	}
	for range 40 { // 2.3 MB
		if err := p.conn.Send(77, m); err != nil {
			t.Fatal(err)
		}
	}
	if e := expect[*openflow.Error](p); e.xid != 77 || e.m.Code != openflow.BRCMultipartBufferOverflow {
		t.Errorf("%d %v", e.xid, e.m)
	}
	none[*openflow.Error](p)
	m.More = false
	p.conn.Send(77, m) // the end of what was refused
	p.conn.Send(77, &openflow.MultipartRequest{Type: openflow.MultipartTableFeatures})
	if n := len(expect[*openflow.MultipartReply](p).m.Records); n != 10 {
		t.Errorf("%d tables", n)
	}
	none[*openflow.Error](p)
	go func() {
		for xid := range uint32(maxSequences + 1) {
			p.conn.Send(1000+xid, &openflow.MultipartRequest{Type: openflow.MultipartTableFeatures, More: true})
		}
	}()
	for range p.got { // until the connection ends
	}
}
