// Slow path: the writer's side of the engine: one lock, the draft tables, and Publish.

package flowtable

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirswitch/weir/flowtable/classifier"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// Config is what a Pipeline is made with. The zero value of each field means its default.
type Config struct {
	Tables     int // number of flow tables, 1 to 254; default 254
	MaxEntries int // entries a table holds before TABLE_FULL; default 2 097 152
	MaxGroups  int // groups of each type before OUT_OF_GROUPS; default 1 048 576
	MaxMeters  int // meters before OUT_OF_METERS; default 262 144

	NoCache   bool   // walk the tables for every frame: for tests and for measuring
	CacheSize int    // paths a Processor remembers at most, if there are as many; default 1 048 576 (64 bytes each, 40 to 96 in its indexes, 128 more if it meets several tables)
	HashSeed  uint64 // keeps strangers from choosing colliding flows; default a random one

	MACTableSize    int           // learned addresses; default 8192
	MACAge          time.Duration // after which an unseen address is forgotten; default 300 s
	ForwardReserved bool          // NORMAL treats 01:80:c2:00:00:00-0f like any multicast

	LoopMoves int           // moves of one address within a second that mean a loop; default 10
	LoopHold  time.Duration // how long its flooding is then damped; default 5 s
}

const (
	maxTables         = 254 // 0xff means "all", 0xfe is the highest number left to it
	defaultMaxEntries = 1 << 21
	defaultMaxGroups  = 1 << 20
	defaultMaxMeters  = 1 << 18 // as Open vSwitch
)

func (c Config) withDefaults() Config {
	or := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	or(&c.Tables, maxTables)
	c.Tables = min(c.Tables, maxTables)
	or(&c.MaxEntries, defaultMaxEntries)
	or(&c.MaxGroups, defaultMaxGroups)
	or(&c.MaxMeters, defaultMaxMeters)
	or(&c.CacheSize, 1<<20)
	or(&c.MACTableSize, 8192)
	or(&c.LoopMoves, 10)
	if c.MACAge <= 0 {
		c.MACAge = 300 * time.Second
	}
	if c.LoopHold <= 0 {
		c.LoopHold = 5 * time.Second
	}
	if c.HashSeed == 0 {
		c.HashSeed = randomSeed()
	}
	return c
}

// Pipeline is one switch's tables: FLOW_MODs edit a draft, Publish shows it to the processors.
// Its methods may be called from any goroutine.
type Pipeline struct {
	cfg   Config // never changes, as spreader
	macs  *macTable
	drops dropCounters
	stats []tableCounters // one a table

	outs     outMemo
	spreader spreader
	bulk     chan *packet.Frame // frames of bulkRoom bytes that nobody uses
	frags    *reassembler
	ident    atomic.Uint32 // of the last packet that mayCut gave one

	snap atomic.Pointer[snapshot] // what processors see

	// Guarded by mu: the draft.
	mu        sync.Mutex
	tables    []table
	groups    groups
	meters    meterTable
	ports     []Port
	set       *portSet
	fragments openflow.FragFlags
	agenda    agenda[*Entry]
	memo      memo
	found     []*Entry // scratch of one command
	epoch     uint64   // of the newest snapshot
	dirty     bool     // the draft differs from snap
	changes   changeLog
	altered   alterations
}

// table is the draft of one flow table.
type table struct {
	rules classifier.Table[*Entry]
	view  classifier.View[*Entry] // rules, as last frozen
	dirty bool                    // rules differ from view

	// reads holds at least the key bits that decide which entry a frame meets here or in a later
	// table: the masks of all rules, and what their actions copy from. Bits only join while the
	// table has entries (too many bits cost speed, too few would cost truth).
	reads packet.Mask

	// The bits that are one in the cookie of every entry, and of any; entries that went count until the
	// table is empty.
	everyCookie, anyCookie uint64

	attached int // entries whose going concerns others than the table, see (*Entry).attached

	// What a controller may choose (TableShape).
	name string // empty: nobody gave one
	max  int    // entries
	gone bool   // taken out of the pipeline; without entries
}

// tableCounters are what TABLE statistics report; processors add to them.
type tableCounters struct{ lookups, matched atomic.Uint64 }

// New makes a pipeline without entries and ports.
func New(c Config) *Pipeline {
	c = c.withDefaults()
	p := &Pipeline{
		cfg:    c,
		macs:   newMACTable(&c),
		frags:  newReassembler(),
		bulk:   make(chan *packet.Frame, keepBulk),
		stats:  make([]tableCounters, c.Tables),
		tables: make([]table, c.Tables),
		set:    newPortSet(nil),
		dirty:  true,
		memo:   memo{seed: maphash.MakeSeed()},
		outs:   outMemo{seed: maphash.MakeSeed()},
		groups: groups{byID: map[uint32]*groupNode{}, watched: map[uint32]int{}},
	}
	p.spreader.init(c.HashSeed)
	p.ident.Store(uint32(c.HashSeed))
	for i := range p.tables {
		t := &p.tables[i]
		t.rules.Seed, t.max = c.HashSeed, c.MaxEntries
	}
	p.publish()
	return p
}

// Publish makes everything done so far visible: the next batch of every Processor sees it, whole.
// Many changes may share one publication. Without a change it does nothing.
func (p *Pipeline) Publish() {
	p.mu.Lock()
	p.publish()
	p.mu.Unlock()
}

// publish is Publish for those who hold p.mu.
func (p *Pipeline) publish() {
	if !p.dirty {
		return
	}
	p.snap.Store(p.freeze())
	p.dirty = false
}

// touch notes a change to a draft table. Requires p.mu.
func (p *Pipeline) touch(t *table) { t.dirty, p.dirty = true, true }

// SetPorts replaces the list of ports and publishes. Addresses learned on a port that is gone, has
// lost its link or changed its VLANs are forgotten; these ports are returned. A batch that began before
// goes on with the old list and may learn such an address once more: when those batches have ended,
// the caller forgets them again with FlushMACs.
func (p *Pipeline) SetPorts(ports []Port) (left []uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left = p.setPorts(ports)
	p.publish()
	for _, no := range left { // after the publication: batches that begin now learn the new way
		p.macs.flush(MACFilter{Port: no})
	}
	return left
}

// setPorts is SetPorts for the draft alone. Requires p.mu.
func (p *Pipeline) setPorts(ports []Port) (left []uint32) {
	ports = slices.Clone(ports)
	slices.SortFunc(ports, func(a, b Port) int { return cmp.Compare(a.No, b.No) })
	for i := range p.ports {
		old := &p.ports[i]
		at, there := slices.BinarySearchFunc(ports, old.No, func(p Port, no uint32) int { return cmp.Compare(p.No, no) })
		if !there || portDown(&ports[at]) && !portDown(old) || !ports[at].VLAN.equal(&old.VLAN) {
			left = append(left, old.No)
		}
	}
	p.ports = ports
	p.set = newPortSet(p.ports)
	p.dirty = true
	return left
}
