// Slow path: what the switch says about itself, as plain values that become JSON or a table.

package agent

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
	"github.com/weirswitch/weir/ports"
)

// Status is one bridge at a glance. All of it is a copy taken at one call; nothing in it changes later.
type Status struct {
	Name        string             `json:"name"`
	DPID        string             `json:"dpid"` // 16 hex digits
	MAC         string             `json:"mac"`
	FailMode    string             `json:"fail_mode"`
	TableMiss   string             `json:"table_miss"` // in force: a secure bridge begins with "none"
	Fragments   string             `json:"fragments"`  // normal, drop or reassemble: what is in force
	Connected   bool               `json:"connected"`  // at least one controller has finished its handshake
	Standalone  bool               `json:"standalone"` // the bridge decides alone: standalone and no controller there
	Uptime      time.Duration      `json:"uptime_ns"`
	Tables      int                `json:"tables"`
	Flows       int                `json:"flows"`
	Ports       int                `json:"ports"`
	Absent      int                `json:"ports_absent"` // of these, whose device or peer is not there
	MACs        int                `json:"macs"`
	Controllers []ControllerStatus `json:"controllers"`
	Listeners   []string           `json:"listeners"` // addresses that accept OpenFlow connections, NAME.mgmt among them
	Drops       map[string]uint64  `json:"drops"`     // frames that went nowhere, by reason; zero reasons left out
	PacketIns   uint64             `json:"packet_ins"`
	PacketDrops uint64             `json:"packet_in_drops"` // packet-ins that no controller queue had room for
}

// ControllerStatus is one connection to a controller or tool, or the attempt at one.
type ControllerStatus struct {
	Target        string        `json:"target"` // as configured; for an accepted connection the peer's address
	Tool          bool          `json:"tool"`   // accepted by a listener: no asynchronous messages until it asks
	Connected     bool          `json:"connected"`
	State         string        `json:"state"` // connecting, handshake, connected, backoff
	Role          string        `json:"role"`
	Since         time.Duration `json:"since_ns"`              // how long in this state
	Attempts      int           `json:"attempts"`              // dials since the last success
	RetryIn       time.Duration `json:"retry_in_ns,omitempty"` // in backoff: until it is called again
	LastError     string        `json:"last_error,omitempty"`
	Received      uint64        `json:"messages_received"`
	Sent          uint64        `json:"messages_sent"`
	PacketIns     uint64        `json:"packet_ins"`
	PacketInDrops uint64        `json:"packet_in_drops"`
	AsyncDrops    uint64        `json:"async_drops"`
	// PacketInDrops by reason and cause: no-match-rate, action-queue and so on; zero ones left out.
	DropsBy        map[string]uint64 `json:"packet_in_drops_by,omitempty"`
	Auxiliaries    int               `json:"auxiliary_connections,omitempty"` // that take packet-ins
	InactivitySecs float64           `json:"inactivity_probe_s,omitempty"`
}

// PortStatus is one port with its counters, which survive a re-plug of the device.
type PortStatus struct {
	Number    uint32            `json:"number"`
	Name      string            `json:"name"`
	Kind      string            `json:"kind"`
	Spec      string            `json:"spec"`
	MAC       string            `json:"mac"`
	MTU       int               `json:"mtu"`
	Present   bool              `json:"present"` // the device exists
	LinkUp    bool              `json:"link_up"`
	Config    []string          `json:"config,omitempty"`  // OFPPC words: PORT_DOWN NO_RECV NO_FWD NO_PACKET_IN
	How       string            `json:"how,omitempty"`     // in what way the device is used, where there are several
	Problem   string            `json:"problem,omitempty"` // why it does not work and how to mend it
	SpeedKbps uint64            `json:"speed_kbps"`
	VLAN      string            `json:"vlan,omitempty"`
	Age       time.Duration     `json:"age_ns"`
	RxPackets uint64            `json:"rx_packets"`
	RxBytes   uint64            `json:"rx_bytes"`
	RxDropped uint64            `json:"rx_dropped"`
	RxErrors  uint64            `json:"rx_errors"`
	TxPackets uint64            `json:"tx_packets"`
	TxBytes   uint64            `json:"tx_bytes"`
	TxDropped uint64            `json:"tx_dropped"`
	TxErrors  uint64            `json:"tx_errors"`
	Drops     map[string]uint64 `json:"drops,omitempty"` // by reason, zero reasons left out
	Queues    []QueueStatus     `json:"queues,omitempty"`
}

// Cookie is an entry's cookie. In JSON it is a text such as "0x1f", because many readers' numbers have but 53 bits.
type Cookie uint64

// MarshalText makes it the text of JSON.
func (c Cookie) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%#x", uint64(c)), nil }

// UnmarshalText reads it.
func (c *Cookie) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(string(text), 0, 64)
	*c = Cookie(v)
	return err
}

// FlowStatus is one entry in the words of ovs-ofctl.
type FlowStatus struct {
	Table       uint8         `json:"table"`
	Priority    uint16        `json:"priority"`
	Cookie      Cookie        `json:"cookie"`
	Duration    time.Duration `json:"duration_ns"` // truncated to milliseconds, as in a reply
	Packets     uint64        `json:"packets"`
	Bytes       uint64        `json:"bytes"`
	IdleTimeout uint16        `json:"idle_timeout,omitempty"`
	HardTimeout uint16        `json:"hard_timeout,omitempty"`
	Flags       []string      `json:"flags,omitempty"`
	Match       string        `json:"match"`   // without the priority
	Actions     string        `json:"actions"` // what stands behind actions=
	Text        string        `json:"-"`       // the whole line of dump-flows, without the leading space
}

// GroupStatus is one group in the words of ovs-ofctl.
type GroupStatus struct {
	Group    uint32         `json:"group"`
	Type     string         `json:"type"`        // all, select, indirect, ff
	Duration time.Duration  `json:"duration_ns"` // truncated to milliseconds, as in a reply
	RefCount int            `json:"ref_count"`   // flows and groups that name it
	Packets  uint64         `json:"packets"`
	Bytes    uint64         `json:"bytes"`
	Buckets  []BucketStatus `json:"buckets"`
	Text     string         `json:"-"` // the line of dump-groups, without the leading space
	Stats    string         `json:"-"` // the line of dump-group-stats, likewise
}

// BucketStatus is one bucket of a group.
type BucketStatus struct {
	Weight     uint16  `json:"weight,omitempty"`
	WatchPort  *uint32 `json:"watch_port,omitempty"`
	WatchGroup *uint32 `json:"watch_group,omitempty"`
	Actions    string  `json:"actions"`
	Packets    uint64  `json:"packets"`
	Bytes      uint64  `json:"bytes"`
}

// MACStatus is one row of the MAC table behind output:NORMAL.
type MACStatus struct {
	VLAN   uint16        `json:"vlan"`
	MAC    string        `json:"mac"`
	Port   uint32        `json:"port"`
	Name   string        `json:"name"` // of the port, empty when it has gone
	Age    time.Duration `json:"age_ns"`
	Static bool          `json:"static,omitempty"`
}

// Status is the bridge at a glance.
func (s *Switch) Status() Status {
	now := s.clock.Now()
	st := Status{
		Name: s.name, DPID: fmt.Sprintf("%016x", s.dpid), MAC: s.mac.String(), Uptime: now - s.born,
		Tables: s.pipe.Features().Tables, Flows: s.pipe.Len(), Ports: len(s.table.Load().list), MACs: s.pipe.MACStats().Size,
		Controllers: s.Controllers(), Listeners: []string{}, Drops: map[string]uint64{},
		PacketIns: s.packetIns.Load(), PacketDrops: s.packetDrops.Load(),
	}
	drops := s.pipe.Drops()
	for why, n := range drops.All() {
		if n > 0 {
			st.Drops[why.String()] = n
		}
	}
	if n := s.noPort.Load(); n > 0 {
		st.Drops["port-just-removed"] = n
	}
	for _, c := range st.Controllers {
		st.PacketDrops += c.PacketInDrops
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.FailMode, st.TableMiss = string(s.cfg.FailMode), string(s.cfg.TableMiss)
	if s.cfg.FailMode == FailSecure {
		st.TableMiss = "none"
	}
	for _, p := range s.table.Load().list {
		if !p.dev.Info().Present {
			st.Absent++
		}
	}
	st.Connected, st.Fragments = s.connected > 0, s.fragments.String()
	st.Standalone = !st.Connected && s.cfg.FailMode != FailSecure
	for _, l := range s.listeners {
		st.Listeners = append(st.Listeners, l.addr())
	}
	return st
}

// Controllers lists the configured controllers, then the other connections there are now.
func (s *Switch) Controllers() []ControllerStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	list := []ControllerStatus{} // not null in JSON
	known := map[*Channel]bool{}
	for _, c := range s.controllers {
		st := ControllerStatus{
			Target: c.target.String(), State: c.state, Since: now - c.since, Attempts: c.attempts,
			InactivitySecs: c.cfg.InactivityProbe.Seconds(),
		}
		if c.state == stateBackoff {
			st.RetryIn = max(c.until-now, 0)
		}
		if c.last != nil {
			st.LastError = c.last.Error()
		}
		if c.channel != nil {
			c.channel.fillStatus(&st)
			known[c.channel] = true
		}
		list = append(list, st)
	}
	for _, c := range *s.channels.Load() {
		if !known[c] {
			st := ControllerStatus{Target: c.peer, State: stateConnected, Since: now - c.since}
			c.fillStatus(&st)
			list = append(list, st)
		}
	}
	return list
}

// fillStatus adds what the connection itself knows. Switch.mu is held.
func (c *Channel) fillStatus(st *ControllerStatus) {
	st.Tool, st.Connected, st.Role = c.tool, c.up.Load(), strings.ToLower(c.role.String())
	st.Received = c.received.Load()
	st.Sent, st.AsyncDrops = c.out.stats()
	st.PacketIns, st.PacketInDrops, st.DropsBy = c.limit.stats()
	for _, a := range c.attached {
		sent, _ := a.out.stats()
		st.Received += a.received.Load()
		st.Sent += sent
		if a.awake {
			st.Auxiliaries++
		}
	}
}

// Ports lists ports by number.
func (s *Switch) Ports() []PortStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	list := []PortStatus{}
	for _, p := range s.table.Load().list {
		i, c := p.dev.Info(), p.counters.Snapshot()
		st := PortStatus{
			Number: p.number, Name: p.name, Kind: string(i.Kind), Spec: p.cfg.String(), MAC: p.told.HWAddr.String(),
			MTU: i.MTU, Present: i.Present, LinkUp: i.LinkUp, Config: ofctl.PortConfig(p.config), How: i.How, Problem: i.Problem,
			SpeedKbps: i.Speed, VLAN: vlanText(p.cfg.VLAN), Age: now - p.born,
			RxPackets: c.RxPackets, RxBytes: c.RxBytes, RxDropped: c.RxDropped, RxErrors: c.RxErrors,
			TxPackets: c.TxPackets, TxBytes: c.TxBytes, TxDropped: c.TxDropped, TxErrors: c.TxErrors,
			Drops: map[string]uint64{}, Queues: p.queueStatus(),
		}
		for r := range ports.DropReason(ports.DropReasons) {
			if n := c.RxDrops[r]; n > 0 {
				st.Drops["rx-"+r.String()] = n
			}
			if n := c.TxDrops[r]; n > 0 {
				st.Drops["tx-"+r.String()] = n
			}
		}
		list = append(list, st)
	}
	return list
}

// vlanText is the port's part in VLANs in words, empty for a trunk of all.
func vlanText(v ports.VLAN) string {
	text := v.Mode.String()
	if v.Mode != ports.VLANTrunk {
		text += fmt.Sprintf(" tag %d", v.Tag)
	} else if len(v.Trunks) == 0 {
		return ""
	}
	if v.Mode != ports.VLANAccess && len(v.Trunks) > 0 {
		text += fmt.Sprintf(" trunks %v", v.Trunks)
	}
	return text
}

// Flows lists entries in order of table, priority downwards, age; table < 0 means all tables.
func (s *Switch) Flows(table int) []FlowStatus {
	f := flowtable.AllFlows()
	if table >= 0 {
		f.Table = uint8(min(table, 0xfe))
	}
	entries, err := s.pipe.Flows(f)
	list := []FlowStatus{}
	if err != nil { // a table that is not there has no entries
		return list
	}
	now := s.clock.Now()
	for _, e := range entries {
		list = append(list, flowStatus(e, now))
	}
	return list
}

func flowStatus(e *flowtable.Entry, now time.Duration) FlowStatus {
	st := flowStats(e, now)
	return FlowStatus{
		Table: e.Table, Priority: e.Priority, Cookie: Cookie(e.Cookie), Packets: st.PacketCount, Bytes: st.ByteCount,
		Duration:    time.Duration(st.DurationSec)*time.Second + time.Duration(st.DurationNsec),
		IdleTimeout: e.IdleTimeout, HardTimeout: e.HardTimeout, Flags: ofctl.FlowFlags(e.Flags),
		Match: ofctl.Match(e.Match()), Actions: ofctl.Instructions(e.Instructions()), Text: ofctl.Flow(&st),
	}
}

// Groups lists the groups by number.
func (s *Switch) Groups() []GroupStatus {
	list := []GroupStatus{}
	stats := s.pipe.GroupStats(s.clock.Now(), openflow.GroupAll)
	for i := range stats {
		g := &stats[i]
		wire := groupStats(g)
		out := GroupStatus{
			Group: g.ID, Type: g.Type.String(), RefCount: g.RefCount, Packets: g.Packets, Bytes: g.Bytes,
			Duration: g.Duration.Truncate(time.Millisecond), Buckets: []BucketStatus{},
			Text: ofctl.Group(&openflow.GroupDesc{Type: g.Type, Group: g.ID, Buckets: g.Buckets}), Stats: ofctl.GroupStats(&wire),
		}
		for i := range g.Buckets {
			b := &g.Buckets[i]
			k := BucketStatus{Weight: b.Weight, Actions: ofctl.Actions(b.Actions), Packets: g.PerBucket[i].Packets, Bytes: g.PerBucket[i].Bytes}
			if b.WatchPort != openflow.PortAny {
				no := uint32(b.WatchPort)
				k.WatchPort = &no
			}
			if b.WatchGroup != openflow.GroupAny {
				k.WatchGroup = &b.WatchGroup
			}
			out.Buckets = append(out.Buckets, k)
		}
		list = append(list, out)
	}
	return list
}

// FDB lists the MAC table in order of VLAN and address.
func (s *Switch) FDB() []MACStatus {
	t := s.table.Load()
	list := []MACStatus{}
	for _, m := range s.pipe.MACs(s.clock.Now()) {
		st := MACStatus{VLAN: m.VLAN, MAC: openflow.MAC(m.MAC).String(), Port: m.Port, Age: m.Age, Static: m.Static}
		if p := t.get(m.Port); p != nil {
			st.Name = p.name
		}
		list = append(list, st)
	}
	return list
}

// FlushFDB forgets learned addresses: those of one port (by name or number), or all when port is empty.
// It returns how many went.
func (s *Switch) FlushFDB(port string) (int, error) {
	if port == "" {
		return s.pipe.FlushMACs(flowtable.MACFilter{}), nil
	}
	p := s.findPort(port)
	if p == nil {
		return 0, s.noSuchPort(port)
	}
	return s.pipe.FlushMACs(flowtable.MACFilter{Port: p.number}), nil
}

// Plural is a number with its noun: "1 port", "2 ports".
func Plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
