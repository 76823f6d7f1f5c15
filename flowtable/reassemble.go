// Slow path: fragments of IP packets are put together before the pipeline sees them (OFPC_FRAG_REASM).

package flowtable

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// Bounds of what waits for its other fragments, for the whole switch. The timeouts are Linux's. 64 KiB
// in the smallest pieces that a link of IPv4 makes (68 bytes, RFC 791) are 1366.
const (
	reassemblyTimeout4 = 30 * time.Second
	reassemblyTimeout6 = 60 * time.Second // RFC 8200, 4.5

	maxDatagrams      = 4096
	maxReassemblyCost = 8 << 20 // bytes, with what it costs to keep them
	maxPieces         = 1366

	datagramCost = 256
	pieceCost    = 64
)

// reassembler holds incomplete packets. All workers share it; only fragments come here, and only
// while SET_CONFIG says so.
//
// No packet is ever made of fragments that overlap: the whole of it is dropped, for IPv6 as RFC 5722
// demands, for IPv4 as Linux does since 2018. A fragment that came before, byte for byte, is ignored.
type reassembler struct {
	maxDatagrams, maxCost int

	mu             sync.Mutex
	byKey          map[string]*datagram // guarded by mu, as all below
	oldest, newest *datagram
	cost           int
	key            []byte // scratch
}

// datagram is one packet in the making.
type datagram struct {
	key     string
	dies    time.Duration
	head    []byte // what goes in front of the data; nil: the first fragment is missing
	l3      int    // where the IP header begins in head
	pieces  []piece
	have    int // bytes in pieces
	total   int // bytes of the whole; 0: the last fragment is missing
	size    int // of the longest fragment
	id      uint32
	ecn     uint8 // which of the four ECN values were seen, one bit each
	cost    int
	older   *datagram
	younger *datagram
}

// piece is the data of one fragment. A datagram's pieces are in order and do not overlap.
type piece struct {
	offset int
	data   []byte
}

func (p *piece) end() int { return p.offset + len(p.data) }

func newReassembler() *reassembler {
	return &reassembler{maxDatagrams: maxDatagrams, maxCost: maxReassemblyCost, byKey: map[string]*datagram{}}
}

// add takes a fragment in. It returns the packet that has become complete, which the reassembler then
// knows no more, or nil. What is dropped is counted in drops.
func (r *reassembler) add(now time.Duration, f *packet.Frame, drops *Drops) *datagram {
	g, ok := f.Fragment()
	if !ok {
		drops[DropFragmentBad]++
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.key = g.AppendKey(r.key[:0], f)
	d := r.byKey[string(r.key)]
	if d != nil && d.dies <= now { // the number has come round before expire did
		r.abandon(d, DropFragmentTimeout, drops)
		d = nil
	}
	if d == nil {
		d = r.begin(now, g.V6)
	}
	if why, ok := d.put(&g); !ok {
		drops[why]++ // this one
		if why != DropFragmentDuplicate {
			r.abandon(d, why, drops)
		}
		return nil
	}
	if g.Offset == 0 {
		d.head, d.l3, d.id = g.CopyHead(f), g.L3, g.ID
		r.charge(d, len(d.head))
	}
	r.charge(d, len(g.Data)+pieceCost)
	if d.have == d.total { // then the first fragment is among them
		r.forget(d)
		return d
	}
	for len(r.byKey) > r.maxDatagrams || r.cost > r.maxCost {
		r.abandon(r.oldest, DropFragmentEvicted, drops)
	}
	return nil
}

// begin enters a packet of which nothing has come yet.
func (r *reassembler) begin(now time.Duration, v6 bool) *datagram {
	d := &datagram{key: string(r.key), dies: now + reassemblyTimeout4, older: r.newest}
	if v6 {
		d.dies = now + reassemblyTimeout6
	}
	if d.older != nil {
		d.older.younger = d
	} else {
		r.oldest = d
	}
	r.newest = d
	r.byKey[d.key] = d
	r.charge(d, datagramCost+len(d.key))
	return d
}

func (r *reassembler) charge(d *datagram, n int) {
	d.cost += n
	r.cost += n
}

// put enters a fragment, or says why not. Requires reassembler.mu.
func (d *datagram) put(g *packet.Fragment) (why Drop, ok bool) {
	end := g.Offset + len(g.Data)
	if d.total != 0 && (end > d.total || g.More == (end == d.total)) {
		return DropFragmentBad, false // it disagrees about where the packet ends
	}
	i, there := slices.BinarySearchFunc(d.pieces, g.Offset, func(p piece, at int) int { return p.offset - at })
	switch {
	case there && bytes.Equal(d.pieces[i].data, g.Data):
		if !g.More && d.total == 0 {
			return DropFragmentBad, false
		}
		return DropFragmentDuplicate, false
	case there, i > 0 && d.pieces[i-1].end() > g.Offset, i < len(d.pieces) && d.pieces[i].offset < end:
		return DropFragmentOverlap, false
	case len(d.pieces) == maxPieces, !g.More && i < len(d.pieces):
		return DropFragmentBad, false
	}
	d.pieces = slices.Insert(d.pieces, i, piece{g.Offset, bytes.Clone(g.Data)})
	d.have += len(g.Data)
	d.size = max(d.size, g.Size)
	d.ecn |= 1 << g.ECN
	if !g.More {
		d.total = end
	}
	return 0, true
}

// abandon drops a packet's fragments.
func (r *reassembler) abandon(d *datagram, why Drop, drops *Drops) {
	drops[why] += uint64(len(d.pieces))
	r.forget(d)
}

func (r *reassembler) forget(d *datagram) {
	delete(r.byKey, d.key)
	r.cost -= d.cost
	if d.older != nil {
		d.older.younger = d.younger
	} else {
		r.oldest = d.younger
	}
	if d.younger != nil {
		d.younger.older = d.older
	} else {
		r.newest = d.older
	}
	d.older, d.younger = nil, nil
}

// expire drops the packets whose time has passed; all those that wait when all is true.
func (r *reassembler) expire(now time.Duration, all bool, drops *Drops) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d := r.oldest; d != nil; {
		next := d.younger
		switch {
		case all:
			r.abandon(d, DropFragmentEvicted, drops)
		case d.dies <= now:
			r.abandon(d, DropFragmentTimeout, drops)
		}
		d = next
	}
}

// waits says that there are packets of which fragments are missing.
func (r *reassembler) waits() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.oldest != nil
}

// write makes f the complete packet, parsed. It reports false for one that cannot be: it is too long,
// some of its fragments met congestion though others have no ECN (RFC 3168, 5.3), or what came to
// light is a fragment itself.
func (d *datagram) write(f *packet.Frame, in uint32) bool {
	const notECN, congestion = 1 << 0, 1 << 3
	if d.ecn&notECN != 0 && d.ecn&congestion != 0 {
		return false
	}
	data, ok := f.StartWhole(d.head, d.l3, d.total, d.ecn&congestion != 0)
	if !ok {
		return false
	}
	for i := range d.pieces {
		copy(data[d.pieces[i].offset:], d.pieces[i].data)
	}
	f.InPort = in
	f.Offload = packet.Offload{GSO: packet.GSOFrag, GSOSize: uint16(min(d.size, 1<<16-1)), FragID: d.id}
	f.Parse()
	return !isFragment(f)
}

// fragment is the way of a fragment while SET_CONFIG says anything but normal: it is dropped, or kept
// until its packet is complete. That goes its way as one frame with the in_port that all fragments had;
// a port that cannot send it whole cuts it again (packet.GSOFrag).
func (pr *Processor) fragment(f *packet.Frame) {
	if pr.snap.frags == openflow.FragDrop {
		pr.drops[DropFragment]++
		return
	}
	if !f.InSNAP() {
		d := pr.p.frags.add(pr.now, f, &pr.drops)
		if d == nil {
			return
		}
		whole := pr.scratchFrame(len(d.head) + d.total)
		if whole == nil {
			return
		}
		if !d.write(whole, f.InPort) {
			pr.drops[DropFragmentBad] += uint64(len(d.pieces))
			return
		}
		f = whole
	}
	pr.runs = 0
	pr.walkWhole(f)
}

// ethernetMTU is what a link takes of which nothing else is known.
const ethernetMTU = 1500

// mayCut lets a PACKET_OUT's frame be cut into fragments while fragments are put together: it may be
// such a packet, which the controller has seen whole. Only a port that could not send it otherwise does so.
// What forbids it (Don't Fragment) is left alone: its identification need not be one (RFC 6864).
func (pr *Processor) mayCut(f *packet.Frame) {
	l := &f.Layout
	if pr.snap.frags != openflow.FragReasm || isFragment(f) || f.Offload != (packet.Offload{}) || f.DontFragment() {
		return
	}
	if l.End-l.L3 > ethernetMTU {
		f.Offload = packet.Offload{GSO: packet.GSOFrag, GSOSize: ethernetMTU, FragID: pr.p.ident.Add(1)}
	}
}

// SetFragments says what becomes of fragments of IPv4 and IPv6 packets as they come in (section
// 7.3.2), and publishes. Normal fragments pass like any frame; a later one has no transport fields.
// Packets that wait for fragments are dropped when they are no longer put together.
func (p *Pipeline) SetFragments(how openflow.FragFlags) {
	p.mu.Lock()
	if p.fragments != how {
		p.fragments, p.dirty = how, true
	}
	p.publish()
	p.mu.Unlock()
	if how != openflow.FragReasm {
		p.expireFragments(0, true)
	}
}

func (p *Pipeline) expireFragments(now time.Duration, all bool) {
	var drops Drops
	p.frags.expire(now, all, &drops)
	p.drops.add(&drops)
}
