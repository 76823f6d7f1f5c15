// Slow path: the MAC table as it changes: learning, moving, the loop guard, ageing, and its users.

package flowtable

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// learnSlow enters a new address or moves a known one.
func (t *macTable) learnSlow(k macKey, port uint32, now time.Duration) *station {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.find(k)
	if s == nil {
		if t.count >= t.limit && !t.evict() {
			return nil // full of static addresses
		}
		s = &station{key: k}
		s.port.Store(port)
		t.link(s)
		t.learned.Add(1)
	} else if s.port.Load() != port && s.live(now, t.maxAge()) {
		if s.static || !t.mayMove(s, port, now) {
			return s
		}
		t.moved.Add(1)
	}
	s.port.Store(port)
	s.seen.Store(int64(now))
	t.agenda.put(s, now)
	return s
}

// mayMove is the loop guard. An address that moves more often within a second than a station can be
// carried about is not moving: its frames come back to the switch. It is put back where it was
// before, stays there for a while, and meanwhile flooding damps what arrives from elsewhere.
func (t *macTable) mayMove(s *station, port uint32, now time.Duration) bool {
	if now < time.Duration(s.hold.Load()) {
		return false
	}
	if s.moves == 0 || now-s.since >= time.Second {
		s.moves, s.since, s.home = 0, now, s.port.Load()
	}
	s.moves++
	if s.moves < t.moves {
		return true
	}
	t.loops.Add(1)
	if len(t.events) < maxLoopEvents {
		other := port
		if other == s.home {
			other = s.port.Load()
		}
		t.events = append(t.events, LoopEvent{VLAN: uint16(s.key & 0xfff), MAC: s.key.mac(), Home: s.home, Other: other, Moves: s.moves})
	}
	s.moves = 0
	s.port.Store(s.home)
	s.seen.Store(int64(now))
	s.hold.Store(int64(now + t.hold))
	return false
}

// maxLoopEvents bounds what waits for the agent; MACStats.Loops counts them all.
const maxLoopEvents = 64

// link puts a station at the head of its chain, where readers see it: its port is set before. Requires mu.
func (t *macTable) link(s *station) {
	head := t.head(s.key)
	s.next.Store(head.Load())
	head.Store(s)
	t.count++
}

// unlink takes a station out. Requires mu.
func (t *macTable) unlink(s *station) {
	at := t.head(s.key)
	for at.Load() != s {
		at = &at.Load().next
	}
	at.Store(s.next.Load())
	t.agenda.drop(s)
	t.count--
}

// oldest is the learned station seen longest ago. The agenda may hold times that are too early, so
// the first whose time is true is the oldest of all.
func (t *macTable) oldest() *station {
	for {
		when, s, any := t.agenda.next()
		if !any {
			return nil
		}
		seen := time.Duration(s.seen.Load())
		if seen == when {
			return s
		}
		t.agenda.put(s, seen)
	}
}

func (t *macTable) evict() bool {
	s := t.oldest()
	if s == nil {
		return false
	}
	t.unlink(s)
	t.evicted.Add(1)
	return true
}

// expire forgets the addresses not seen for their age. The agenda's times are never too late, so
// when the first of them is not due, nothing is.
func (t *macTable) expire(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		when, s, any := t.agenda.next()
		if !any || now-when < t.maxAge() {
			return
		}
		if s.live(now, t.maxAge()) { // seen since
			t.agenda.put(s, time.Duration(s.seen.Load()))
			continue
		}
		t.unlink(s)
		t.expired.Add(1)
	}
}

// due is the earliest time at which expire may find something to do.
func (t *macTable) due() (when time.Duration, any bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen, _, any := t.agenda.next()
	return seen + t.maxAge(), any
}

// SetMACTable changes how many addresses the MAC table learns and how long it remembers one of which
// nothing is heard; zero means the default. What it knows stays, the most recently seen first when
// the new table is too small for all; static addresses stay in any case.
func (p *Pipeline) SetMACTable(size int, age time.Duration) {
	c := Config{MACTableSize: size, MACAge: age}.withDefaults()
	t := p.macs
	t.age.Store(int64(c.MACAge))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limit = c.MACTableSize
	for t.count > t.limit && t.evict() {
	}
	if heads := newHeads(t.limit); len(*heads) != len(*t.heads.Load()) {
		t.refill(heads)
	}
}

// refill moves all stations to other chains. Readers may still run through the old ones, so those
// stay as they are and the new ones get copies. Requires mu.
func (t *macTable) refill(heads *[]atomic.Pointer[station]) {
	for s := range t.all {
		c := s.copy()
		head := t.headIn(*heads, s.key)
		c.next.Store(head.Load())
		head.Store(c)
		if !s.static {
			t.agenda.drop(s)
			t.agenda.put(c, time.Duration(c.seen.Load()))
		}
	}
	t.heads.Store(heads)
}

// copy is a station like s that is in no table. Requires mu.
func (s *station) copy() *station {
	c := &station{key: s.key, static: s.static, moves: s.moves, since: s.since, home: s.home}
	c.port.Store(s.port.Load())
	c.seen.Store(s.seen.Load())
	c.hold.Store(s.hold.Load())
	return c
}

// SetForwardReserved changes Config.ForwardReserved.
func (p *Pipeline) SetForwardReserved(on bool) { p.macs.reserved.Store(on) }

// all are the stations in no order. Requires mu.
func (t *macTable) all(yield func(*station) bool) {
	heads := *t.heads.Load()
	for i := range heads {
		for s := heads[i].Load(); s != nil; s = s.next.Load() {
			if !yield(s) {
				return
			}
		}
	}
}

// MACEntry is one address of the MAC table behind output:NORMAL.
type MACEntry struct {
	VLAN   uint16
	MAC    [6]byte
	Port   uint32
	Age    time.Duration // since the last frame from it; 0 for a static one
	Static bool          // set by AddMAC: never ages, moves or is evicted
}

func (k macKey) mac() (m [6]byte) {
	for i := range m {
		m[i] = byte(k >> (56 - 8*i))
	}
	return m
}

func macOf(m [6]byte) (v uint64) {
	for _, b := range m {
		v = v<<8 | uint64(b)
	}
	return v
}

// MACs lists the addresses known at this time, in order of VLAN and address.
func (p *Pipeline) MACs(now time.Duration) []MACEntry {
	t := p.macs
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]MACEntry, 0, t.count)
	for s := range t.all {
		if !s.live(now, t.maxAge()) {
			continue
		}
		e := MACEntry{VLAN: uint16(s.key & 0xfff), MAC: s.key.mac(), Port: s.port.Load(), Static: s.static}
		if !s.static {
			e.Age = max(0, now-time.Duration(s.seen.Load()))
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b MACEntry) int {
		if a.VLAN != b.VLAN {
			return int(a.VLAN) - int(b.VLAN)
		}
		return slices.Compare(a.MAC[:], b.MAC[:])
	})
	return list
}

// MACFilter selects learned addresses; the zero value selects all.
type MACFilter struct {
	Port   uint32 // 0: of every port
	VLAN   uint16 // only if ByVLAN
	ByVLAN bool
}

// FlushMACs forgets the learned addresses that the filter selects and says how many they were.
// Static ones stay.
func (p *Pipeline) FlushMACs(f MACFilter) int { return p.macs.flush(f) }

func (t *macTable) flush(f MACFilter) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for s := range t.all {
		if s.static || f.Port != 0 && s.port.Load() != f.Port || f.ByVLAN && uint16(s.key&0xfff) != f.VLAN {
			continue
		}
		t.unlink(s)
		n++
	}
	return n
}

// AddMAC sets a static address: frames to it leave by port and frames from it teach nothing.
func (p *Pipeline) AddMAC(vlan uint16, mac [6]byte, port uint32) error {
	t, k := p.macs, newMACKey(macOf(mac), vlan)
	if mac[0]&1 != 0 {
		return fmt.Errorf("static address %x: a group address has no single port; give a station's own address", mac)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.find(k)
	if s != nil && !s.static { // readers look at static without a lock: never change it in place
		t.unlink(s)
		s = nil
	}
	if s != nil {
		s.port.Store(port)
		return nil
	}
	if t.count >= t.limit && !t.evict() {
		return fmt.Errorf("static address %x: the MAC table's %d places are all static; raise its size", mac, t.limit)
	}
	s = &station{key: k, static: true}
	s.port.Store(port)
	t.link(s)
	return nil
}

// RemoveMAC takes a static address out and says whether it was there.
func (p *Pipeline) RemoveMAC(vlan uint16, mac [6]byte) bool {
	t := p.macs
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.find(newMACKey(macOf(mac), vlan))
	if s == nil || !s.static {
		return false
	}
	t.unlink(s)
	return true
}

// MACStats counts what happened to the MAC table.
type MACStats struct {
	Size    int    // addresses in the table now
	Limit   int    // the most there can be
	Learned uint64 // new addresses
	Moved   uint64 // known ones seen on another port
	Evicted uint64 // pushed out by new ones, the oldest first
	Expired uint64 // not seen for their age
	Loops   uint64 // times the loop guard stepped in
}

// MACStats is a snapshot of the counters.
func (p *Pipeline) MACStats() MACStats {
	t := p.macs
	t.mu.Lock()
	n, limit := t.count, t.limit
	t.mu.Unlock()
	return MACStats{Size: n, Limit: limit, Learned: t.learned.Load(), Moved: t.moved.Load(),
		Evicted: t.evicted.Load(), Expired: t.expired.Load(), Loops: t.loops.Load()}
}

// LoopEvent says that an address moved to and fro faster than a station can, so that two ports are
// probably joined outside the switch. While it lasts, frames from this address that come in
// elsewhere than at Home are not flooded (DropLoop counts them).
type LoopEvent struct {
	VLAN  uint16
	MAC   [6]byte
	Home  uint32 // the port where it was before
	Other uint32 // a port where it turned up
	Moves int    // within one second
}

// Loops hands over the events since the last call, at most 64 of them.
func (p *Pipeline) Loops() []LoopEvent {
	t := p.macs
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.events
	t.events = nil
	return e
}
