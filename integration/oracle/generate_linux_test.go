package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// gen makes lives from a seed.
type gen struct {
	*rand.Rand
	tables  int
	flows   []*flow // installed so far, to be met again
	maxTags int     // of frames
	pushes  int     // push_vlan actions in a flow of pushTable
	pushAt  uint8
	left    int // pushes still allowed in the flow being made

	maxLabels, labelPushes, leftLabels int // the same of MPLS
	labelAt                            uint8
	zeroTTL                            bool // some frames have TTL 0
	fragments                          bool // some frames are; then no ports are matched
	laterFragments                     bool // not only first ones; then no address is rewritten
	pops                               bool // tags may be popped; then no action set writes one
	normal                             bool // output to NORMAL may happen; then no VID is 0
	sets                               bool // the life may write actions
	hard                               bool // entries may have hard timeouts; then none is modified

	groups    uint32 // entries may use groups 1 to this
	portsFall bool   // ports may go down
	nicira    bool   // registers, load, move, resubmit
	table     uint8  // whose actions are being made
	meters    uint32 // entries may have meters 1 to this
}

// newLife makes the life of a seed: the first one that holds no known deviation.
func newLife(seed uint64, make func(*gen) *life) *life {
	for try := uint64(0); ; try++ {
		if try == 10000 {
			panic(fmt.Sprintf("seed %d: every life holds a known deviation", seed))
		}
		g := &gen{Rand: rand.New(rand.NewPCG(seed, try))}
		g.maxTags = pick(g, []int{0, 1, 1, 2, 2})
		g.pushes = g.IntN(3 - g.maxTags)
		g.maxLabels, g.zeroTTL = 1+g.IntN(3), g.one(2)
		g.labelPushes = g.IntN(4 - g.maxLabels)
		if g.one(2) { // see deviation push-pop-mpls
			g.labelPushes = 0
		}
		g.fragments, g.laterFragments, g.normal, g.sets = g.one(3), false, g.one(2), !g.one(3)
		g.laterFragments, g.pops = g.fragments && g.one(2), g.one(2)
		if l := make(g); known(l) == "" {
			return l
		}
	}
}

// one is true once in n times.
func (g *gen) one(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g *gen, list []T) T { return list[g.IntN(len(list))] }

// forwarding is a pipeline and frames through it, with a change now and then.
func (g *gen) forwarding() *life {
	g.tables = 1 + g.IntN(4)
	g.pushAt, g.labelAt = uint8(g.IntN(g.tables)), uint8(g.IntN(g.tables))
	l := &life{}
	if g.sets { // see deviation miss-runs-set
		for t := 1; t < g.tables; t++ {
			l.steps = append(l.steps, g.tableMiss(uint8(t)))
		}
	}
	for range 4 + g.IntN(14) {
		l.steps = append(l.steps, g.add())
	}
	var frames []*frame
	for range 6 + g.IntN(14) {
		if g.one(7) {
			l.steps = append(l.steps, g.change())
			continue
		}
		f := g.frame()
		if g.normal && len(frames) == quietFrames { // see deviation loop-guard
			break
		}
		if len(frames) > 0 && g.one(3) { // met before: the cache knows it
			f = pick(g, frames)
			if g.one(2) {
				n := *f
				n.port = 1 + g.IntN(numPorts)
				f = &n
			}
		}
		frames = append(frames, f)
		l.steps = append(l.steps, f)
	}
	return l
}

// changes is about FLOW_MOD itself: many of them on few matches, with timeouts, between few frames.
func (g *gen) changes() *life {
	g.tables = 1 + g.IntN(3)
	g.pushAt, g.labelAt = uint8(g.IntN(g.tables)), uint8(g.IntN(g.tables))
	g.sets, g.hard = g.tables == 1, g.one(2)
	l := &life{}
	for range 10 + g.IntN(30) {
		var s step
		switch k := g.IntN(24); {
		case k < 8:
			s = g.add()
		case k < 19:
			s = g.change()
		case k < 20 && len(g.flows) > 0:
			s = pause{6 * time.Second}
		default:
			s = g.frame()
		}
		l.steps = append(l.steps, s)
	}
	return l
}

// tableMiss is the entry that meets what no other does.
func (g *gen) tableMiss(table uint8) *flow {
	f := newFlow(table, 0)
	g.flows = append(g.flows, f)
	if g.one(2) {
		f.does = []instruction{{openflow.Instruction{Type: openflow.InstructionApplyActions}, []openflow.Action{g.output()}}}
	}
	return f
}

// add is an ADD, mostly right.
func (g *gen) add() *flow {
	f := newFlow(uint8(g.IntN(g.tables)), 0)
	f.match = g.match()
	if len(g.flows) > 0 && g.one(4) { // the same again, or nearly
		old := pick(g, g.flows)
		f.table, f.match = old.table, slices.Clone(old.match)
	}
	f.cookie = uint64(g.IntN(4))
	if g.one(6) {
		f.idle = 10 * uint16(g.IntN(3))
		if g.hard {
			f.hard = 10 * uint16(g.IntN(3))
		}
	}
	for bit := range 5 {
		if g.one(8) {
			f.flags |= 1 << bit
		}
	}
	g.prioritise(f)
	if g.one(6) { // ignored on ADD
		f.outPort, f.outGroup = openflow.PortNo(g.IntN(3)), uint32(g.IntN(2))
	}
	g.instructions(f)
	g.flows = append(g.flows, f)
	return f
}

// prioritise gives an entry a priority: that of an older one with the same match, or of any when
// CHECK_OVERLAP keeps them apart, else one that no other entry of the table has.
func (g *gen) prioritise(f *flow) {
	taken := map[uint16]bool{}
	for _, old := range g.flows {
		if old.table != f.table {
			continue
		}
		if sameMatch(old, f) && f.idle == 0 && !g.one(3) || f.flags&openflow.FlowCheckOverlap != 0 && g.one(3) {
			f.priority = old.priority
			return
		}
		taken[old.priority] = true
	}
	if len(f.match) == 0 && !taken[0] {
		return
	}
	for f.priority = 0; f.priority == 0 || taken[f.priority]; {
		f.priority = uint16(g.IntN(60))
	}
}

// change is a FLOW_MOD that touches what is there.
func (g *gen) change() *flow {
	if g.one(5) {
		return g.add()
	}
	f := newFlow(uint8(g.IntN(g.tables)), uint16(g.IntN(4)))
	f.command = openflow.FlowModCommand(1 + g.IntN(4))
	if g.hard {
		f.command = openflow.FlowModCommand(3 + g.IntN(2))
	}
	switch g.IntN(4) {
	case 0: // all
	case 1:
		f.match = g.match()
	default:
		if len(g.flows) == 0 {
			break
		}
		old := pick(g, g.flows)
		f.table, f.priority, f.match = old.table, old.priority, slices.Clone(old.match)
		if len(f.match) > 0 && g.one(2) { // wider
			f.match = f.match[:g.IntN(len(f.match))]
		}
	}
	if g.one(3) {
		f.cookie, f.mask = uint64(1+g.IntN(3)), pick(g, []uint64{1, 2, 3, ^uint64(0)})
	}
	if g.one(4) {
		f.outPort = openflow.PortNo(1 + g.IntN(numPorts))
	}
	if f.command >= openflow.FlowDelete && g.one(3) {
		f.table = openflow.TableAll
	}
	for bit := range 5 {
		if g.one(12) {
			f.flags |= 1 << bit
		}
	}
	g.instructions(f)
	return f
}

// instructions fills in what the flow does.
func (g *gen) instructions(f *flow) {
	if f.command >= openflow.FlowDelete {
		return
	}
	for {
		f.does = nil
		g.tryInstructions(f)
		if !popsBlindly(f) && !groupTwice(f) && !setToController(f) {
			return
		}
	}
}

func (g *gen) tryInstructions(f *flow) {
	k := knowing(f.match)
	g.table = f.table
	if g.left = 0; f.table == g.pushAt {
		g.left = g.pushes
	}
	if g.leftLabels = 0; f.table == g.labelAt {
		g.leftLabels = g.labelPushes
	}
	add := func(in openflow.Instruction, actions []openflow.Action) {
		f.does = append(f.does, instruction{in, actions})
	}
	if g.meters > 0 && f.command == openflow.FlowAdd && g.one(2) {
		add(openflow.Instruction{Type: openflow.InstructionMeter, Meter: 1 + g.Uint32N(g.meters)}, nil)
	}
	if !g.one(3) {
		add(openflow.Instruction{Type: openflow.InstructionApplyActions}, g.actions(&k, 1+g.IntN(5)))
	}
	if g.one(8) {
		add(openflow.Instruction{Type: openflow.InstructionClearActions}, nil)
	}
	if g.sets && g.one(3) {
		add(openflow.Instruction{Type: openflow.InstructionWriteActions}, g.actionSet(&k, 1+g.IntN(4)))
	}
	if g.one(5) {
		mask := pick(g, []uint64{^uint64(0), 0xff, 0xf0})
		add(openflow.Instruction{Type: openflow.InstructionWriteMetadata, Metadata: uint64(g.IntN(256)) & mask, MetadataMask: mask}, nil)
	}
	if last := g.tables - 1; int(f.table) < last && g.one(2) {
		add(openflow.GotoTable(f.table+1+uint8(g.IntN(last-int(f.table)))), nil)
	}
	if g.one(4) {
		g.Shuffle(len(f.does), func(i, k int) { f.does[i], f.does[k] = f.does[k], f.does[i] })
	}
}
