package integration

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// account is all that a switch has counted.
type account struct {
	Ports  map[uint32]portAccount
	Tables map[uint8]openflow.TableStats
	Sorted map[uint64]uint64 // packets of table 0's entries, by cookie: the port
	Bytes  map[uint64]uint64 // and their bytes
	Flows  map[uint32]uint64 // packets of table 1's entries, by flow, those of removed ones too
	Drops  map[string]uint64 // frames that went nowhere
}

// portAccount is what weir's own command says of a port.
type portAccount struct {
	Number    uint32            `json:"number"`
	RxPackets uint64            `json:"rx_packets"`
	RxBytes   uint64            `json:"rx_bytes"`
	RxDropped uint64            `json:"rx_dropped"`
	RxErrors  uint64            `json:"rx_errors"`
	TxPackets uint64            `json:"tx_packets"`
	TxDropped uint64            `json:"tx_dropped"`
	TxErrors  uint64            `json:"tx_errors"`
	Drops     map[string]uint64 `json:"drops"`
}

// read asks a switch for all its counters.
func (a *auditor) read() (*account, error) {
	r := &account{Ports: map[uint32]portAccount{}, Tables: map[uint8]openflow.TableStats{}, Sorted: map[uint64]uint64{},
		Bytes: map[uint64]uint64{}, Flows: map[uint32]uint64{}}
	entries, err := a.ctl.Flows(openflow.AllFlows())
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.TableID == 0 {
			r.Sorted[e.Cookie] += e.PacketCount
			r.Bytes[e.Cookie] += e.ByteCount
		} else {
			r.Flows[uint32(e.Cookie)] += e.PacketCount
		}
	}
	for id, f := range a.flows {
		f.mu.Lock()
		r.Flows[id] += f.removed
		f.mu.Unlock()
	}
	tables, err := oftest.Records[*openflow.TableStats](a.ctl, openflow.MultipartTable)
	if err != nil {
		return nil, err
	}
	for _, s := range tables {
		r.Tables[s.TableID] = openflow.TableStats{LookupCount: s.LookupCount, MatchedCount: s.MatchedCount}
	}
	var list []portAccount
	if err := json.Unmarshal([]byte(a.bed.cli("ports", "br0", "--json")), &list); err != nil {
		return nil, err
	}
	for _, p := range list {
		r.Ports[p.Number] = p
	}
	var all []struct{ Drops map[string]uint64 }
	if err := json.Unmarshal([]byte(a.bed.cli("status", "br0", "--json")), &all); err != nil {
		return nil, err
	}
	r.Drops = all[0].Drops
	return r, nil
}

// settled reads until nothing has changed between two readings.
func (a *auditor) settled() *account {
	a.t.Helper()
	var last *account
	eventually(a.t, "the counters stand still", func() error {
		now, err := a.read()
		if err != nil {
			return err
		}
		was := last
		last = now
		time.Sleep(300 * time.Millisecond) // the time between two readings, not what is waited for
		if was == nil || !reflect.DeepEqual(was, now) {
			return fmt.Errorf("they move")
		}
		return nil
	})
	return last
}

// auditor compares what a switch has counted with what the test has sent and received.
type auditor struct {
	t     *testing.T
	bed   *bed
	ctl   *oftest.Controller
	ports []*port
	flows map[uint32]*flow
	was   *account
	now   *account
}

// equal demands that two sums of frames are one.
func (a *auditor) equal(what string, got, want uint64) {
	a.t.Helper()
	if got != want {
		a.t.Errorf("%s: %d, and %d were expected (%+d)", what, got, want, int64(got-want))
	}
}

func (a *auditor) drops(name string) uint64 { return a.now.Drops[name] - a.was.Drops[name] }

// port is what a port has counted between the two readings.
func (a *auditor) port(n uint32) (d portAccount) {
	is, was := a.now.Ports[n], a.was.Ports[n]
	return portAccount{RxPackets: is.RxPackets - was.RxPackets, RxBytes: is.RxBytes - was.RxBytes, RxDropped: is.RxDropped - was.RxDropped, RxErrors: is.RxErrors - was.RxErrors,
		TxPackets: is.TxPackets - was.TxPackets, TxDropped: is.TxDropped - was.TxDropped, TxErrors: is.TxErrors - was.TxErrors}
}

func (a *auditor) counted(f *flow) uint64 { return a.now.Flows[f.id] - a.was.Flows[f.id] }

// audit demands that every frame is accounted for, at each place where it was counted.
func (a *auditor) audit() {
	a.t.Helper()
	var sent, counted, received uint64
	into := map[*port]uint64{} // what entries sent to a port
	for _, f := range a.flows {
		a.flow(f)
		sent, counted, received = sent+f.sent, counted+a.counted(f), received+f.got
		into[f.lane.to] += a.counted(f)
	}
	var flapped, left uint64
	for _, p := range a.ports {
		a.inbound(p)
		c := a.port(uint32(p.no))
		if p.flaps {
			flapped, left = flapped+into[p], left+c.TxPackets+c.TxDropped
			continue
		}
		a.equal(fmt.Sprintf("port %d: sent and dropped", p.no), c.TxPackets+c.TxDropped, into[p])
	}
	a.equal("ports that flap: sent, dropped, and not sent for want of a link", left+a.drops("out-port-down")+a.drops("no-live-bucket"), flapped)
	a.tables(counted)
	a.t.Logf("%d numbered frames sent, %d met an entry, %d arrived; drops %v", sent, counted, received, a.now.Drops)
	for _, p := range a.ports {
		a.t.Logf("port %d %s: %+v", p.no, p.cable.Spec(), a.port(uint32(p.no)))
	}
}

// flow judges one flow from end to end. Each loss must have been counted by a port.
func (a *auditor) flow(f *flow) {
	n, from, to := a.counted(f), a.port(uint32(f.lane.from.no)), a.port(uint32(f.lane.to.no))
	if f.doubled+f.overtaken > 0 {
		a.t.Errorf("%v", f)
	}
	if lost := f.sent - n; n > f.sent || !f.lane.from.flaps && lost > from.RxDropped+f.lane.from.cable.DeviceDrops() {
		a.t.Errorf("%v: its entries counted %d", f, n)
	}
	if lost := n - f.got; f.got > n || !f.lane.to.flaps && lost > to.TxDropped {
		a.t.Errorf("%v: its entries counted %d", f, n)
	}
}

// inbound judges what came in by a port: what the test sent, what the port read, what table 0 sorted.
func (a *auditor) inbound(p *port) {
	c, cookie := a.port(uint32(p.no)), uint64(p.no)
	var sent, flows uint64
	for _, l := range p.lanes {
		for _, f := range l.flows {
			sent, flows = sent+f.sent, flows+a.counted(f)
		}
	}
	sorted, size := a.now.Sorted[cookie]-a.was.Sorted[cookie], a.now.Bytes[cookie]-a.was.Bytes[cookie]
	if p.flaps {
		if c.RxPackets > sent || sorted > c.RxPackets || flows > sorted {
			a.t.Errorf("port %d: %d were sent, it read %d, table 0 sorted %d, table 1 met %d", p.no, sent, c.RxPackets, sorted, flows)
		}
		return
	}
	a.equal(fmt.Sprintf("port %d: read and dropped", p.no), c.RxPackets+c.RxDropped+p.cable.DeviceDrops(), sent)
	a.equal(fmt.Sprintf("port %d: sorted by table 0", p.no), sorted, c.RxPackets)
	a.equal(fmt.Sprintf("port %d: bytes sorted by table 0", p.no), size, c.RxBytes)
	a.equal(fmt.Sprintf("port %d: met entries of table 1", p.no), flows, sorted)
}

// tables judges the tables' own counters.
func (a *auditor) tables(flows uint64) {
	const extra = firstHost + 4 // its port, and with it what the port has read, comes and goes
	var read, sorted uint64
	for n := range a.now.Ports {
		if n != extra {
			read += a.port(n).RxPackets
		}
	}
	read += a.now.Sorted[extra] - a.was.Sorted[extra]
	for cookie, n := range a.now.Sorted {
		sorted += n - a.was.Sorted[cookie]
	}
	table := func(n uint8) (d openflow.TableStats) {
		is, was := a.now.Tables[n], a.was.Tables[n]
		return openflow.TableStats{LookupCount: is.LookupCount - was.LookupCount, MatchedCount: is.MatchedCount - was.MatchedCount}
	}
	a.equal("lookups in table 0, and frames of ports that were switched off", table(0).LookupCount+a.drops("port-no-recv"), read)
	a.equal("matches in table 0", table(0).MatchedCount, sorted)
	a.equal("lookups in table 1", table(1).LookupCount, flows)
	a.equal("matches in table 1", table(1).MatchedCount, flows)
}
