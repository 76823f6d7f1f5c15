// Hot path: the MAC table as frames see it: an address is found and refreshed without a lock.

package flowtable

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// macKey is an address in a VLAN: 48 bits of MAC above 16 of VLAN.
type macKey uint64

func newMACKey(mac uint64, vlan uint16) macKey { return macKey(mac<<16 | uint64(vlan&0xfff)) }

// station is one address of the table. Readers see it through atomics; what they do not touch is
// guarded by macTable.mu.
type station struct {
	key  macKey
	next atomic.Pointer[station] // in its chain; kept when unlinked, so that a reader passes on
	port atomic.Uint32
	seen atomic.Int64 // time.Duration of the last frame from it
	hold atomic.Int64 // moves are refused until then: see the loop guard

	static bool
	place  int32 // in the agenda
	moves  int   // within the second that began at since
	since  time.Duration
	home   uint32 // where it was before that second's first move
}

func (s *station) agendaPlace() *int32 { return &s.place }

// live reports whether the station still counts at this time.
func (s *station) live(now, age time.Duration) bool {
	return s.static || now-time.Duration(s.seen.Load()) < age
}

// macTable maps addresses to ports: chains in an array of atomic pointers. Readers run through a
// chain while writers change it: a new station becomes visible by one store at the head, an
// unlinked one by one store in its predecessor, and the collector frees it when nobody looks. A
// table of another size is filled aside and becomes visible by one store, too.
type macTable struct {
	heads atomic.Pointer[[]atomic.Pointer[station]]
	seed  uint64
	age   atomic.Int64  // time.Duration
	moves int           // Config.LoopMoves
	hold  time.Duration // Config.LoopHold

	reserved atomic.Bool // Config.ForwardReserved

	learned, moved, evicted, expired, loops atomic.Uint64

	mu     sync.Mutex
	limit  int
	count  int
	agenda agenda[*station] // learned ones by the time they were seen, as far as mu's holders know
	events []LoopEvent
}

func newMACTable(c *Config) *macTable {
	t := &macTable{seed: c.HashSeed, limit: c.MACTableSize, moves: c.LoopMoves, hold: c.LoopHold}
	t.heads.Store(newHeads(c.MACTableSize))
	t.age.Store(int64(c.MACAge))
	t.reserved.Store(c.ForwardReserved)
	return t
}

// newHeads are the chains, still empty, for that many addresses.
func newHeads(limit int) *[]atomic.Pointer[station] {
	heads := make([]atomic.Pointer[station], 1<<bits.Len(uint(limit)))
	return &heads
}

func (t *macTable) head(k macKey) *atomic.Pointer[station] { return t.headIn(*t.heads.Load(), k) }

func (t *macTable) headIn(heads []atomic.Pointer[station], k macKey) *atomic.Pointer[station] {
	return &heads[mix(uint64(k)^t.seed, hashPrime)&uint64(len(heads)-1)]
}

// maxAge is how long an address is remembered without a frame from it.
func (t *macTable) maxAge() time.Duration { return time.Duration(t.age.Load()) }

// find is the address's station, which may have outlived its age.
func (t *macTable) find(k macKey) *station {
	for s := t.head(k).Load(); s != nil; s = s.next.Load() {
		if s.key == k {
			return s
		}
	}
	return nil
}

// learn notes that a frame from k came in by port. The common case, nothing new, is two loads and
// at most one store.
func (t *macTable) learn(k macKey, port uint32, now time.Duration) *station {
	if s := t.find(k); s != nil {
		if s.static || s.port.Load() != port && now < time.Duration(s.hold.Load()) {
			return s
		}
		if s.port.Load() == port {
			if s.seen.Load() < int64(now) {
				s.seen.Store(int64(now))
			}
			return s
		}
	}
	return t.learnSlow(k, port, now)
}
