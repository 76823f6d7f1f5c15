// Slow path: meters, and what METER_MOD does to them (sections 5.7 and 7.3.4.4).

package flowtable

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// maxBands is also Open vSwitch's bound.
const maxBands = 8

// Meter is a meter as it was made, with what it has seen (section 5.7). Counters are kept with and
// without the stats flag; a super-frame counts as the packets that it stands for.
type Meter struct {
	ID             uint32
	Flags          openflow.MeterFlags
	Bands          []openflow.Band // exactly as sent
	Flows          int             // entries that send frames here
	Packets, Bytes uint64          // of all frames that came
	Caught         []openflow.BandStats
	Duration       time.Duration // since it was added
}

// MeterFeatures is what meters can do (section 7.3.5.14).
func (p *Pipeline) MeterFeatures() openflow.MeterFeatures {
	return openflow.MeterFeatures{
		MaxMeters: uint32(p.cfg.MaxMeters), MaxBands: maxBands, BandTypes: 1<<openflow.BandDrop | 1<<openflow.BandDSCPRemark,
		Capabilities: openflow.MeterKbps | openflow.MeterPktps | openflow.MeterBurst | openflow.MeterStats,
	}
}

// meterTable is the draft of all meters. Guarded by Pipeline.mu.
//
// Programs name a meter by its slot, not by its address, so that changing a meter is one store in
// the next snapshot and touches no entry.
type meterTable struct {
	byID  map[uint32]*meterDraft
	slots []*meterDraft // slot -> meter; slot 0 is nobody's
	free  []int32

	pages []*meterPage
	own   []bool    // pages made since the last publication: nobody else sees them yet
	set   *meterSet // as last frozen
	dirty bool      // pages or the controller's meter differ from set
}

// meterDraft is one meter on the writer's side.
type meterDraft struct {
	id      uint32
	flags   openflow.MeterFlags
	bands   []openflow.Band
	created time.Duration
	slot    int32 // 0: a virtual meter, which no entry can name
	users   map[*Entry]struct{}
	live    *meter
}

// meterSet is the published meters. Immutable. It shares with its predecessor the pages that did not
// change.
type meterSet struct {
	pages      []*meterPage
	controller *meter // what goes to the controllers; nil: there is no such meter
}

type meterPage [256]*meter

// get is the meter of a slot that a published program names.
func (s *meterSet) get(slot int32) *meter { return s.pages[slot>>8][slot&0xff] }

// MeterMod carries out one METER_MOD on the draft; Publish makes it visible. Deleting a meter deletes
// the entries that use it; those that had asked for a FLOW_REMOVED are returned, with the reason
// "delete", which is the one that 1.3 has for it. Deleting a meter that is not there is no error. The
// error is an *openflow.Error, and then nothing has changed. The message's memory is not kept.
//
// The meter called controller limits all packet-ins. The one called slowpath limits nothing: here
// every frame goes the same way through the tables. It is kept for controllers that set it up.
func (p *Pipeline) MeterMod(now time.Duration, m *openflow.MeterMod) ([]Removed, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Command {
	case openflow.MeterAdd:
		return nil, p.addMeter(now, m)
	case openflow.MeterModify:
		return nil, p.modifyMeter(now, m)
	case openflow.MeterDelete:
		p.changes.cause = m
		gone := p.deleteMeters(now, m.Meter)
		p.changes.cause = nil
		return gone, nil
	}
	return nil, meterError(openflow.MMFCBadCommand, "command %d, the highest is %d", uint16(m.Command), openflow.MeterDelete)
}

func meterError(code uint16, format string, args ...any) error {
	return openflow.Errorf(openflow.ErrMeterModFailed, code, format, args...)
}

// checkMeter judges what does not depend on the other meters, in Open vSwitch's order.
func checkMeter(m *openflow.MeterMod) error {
	const known = openflow.MeterKbps | openflow.MeterPktps | openflow.MeterBurst | openflow.MeterStats
	virtual := m.Meter == openflow.MeterSlowpath || m.Meter == openflow.MeterController
	switch {
	case m.Meter == 0 || m.Meter > openflow.MeterMax && !virtual:
		return meterError(openflow.MMFCInvalidMeter, "meter 0x%x: expected 1 to 0x%x, slowpath or controller", m.Meter, openflow.MeterMax)
	case m.Flags&^known != 0 || m.Flags&openflow.MeterKbps != 0 && m.Flags&openflow.MeterPktps != 0:
		return meterError(openflow.MMFCBadFlags, "flags 0x%x: expected kbps or pktps, and of burst and stats what is wanted", uint16(m.Flags))
	case len(m.Bands) > maxBands:
		return meterError(openflow.MMFCOutOfBands, "%d bands, a meter has at most %d", len(m.Bands), maxBands)
	}
	for _, b := range m.Bands {
		switch {
		case b.Type == openflow.BandDSCPRemark && b.PrecLevel == 0:
			return meterError(openflow.MMFCBadBandValue, "dscp_remark with prec_level 0 does nothing: expected 1 or more")
		case b.Type != openflow.BandDrop && b.Type != openflow.BandDSCPRemark:
			return meterError(openflow.MMFCBadBand, "no meter band type %d", uint16(b.Type))
		}
	}
	return nil
}

func (p *Pipeline) addMeter(now time.Duration, m *openflow.MeterMod) error {
	if err := checkMeter(m); err != nil {
		return err
	}
	t := &p.meters
	if t.byID[m.Meter] != nil {
		return meterError(openflow.MMFCMeterExists, "there is a meter %d already; modify or delete it", m.Meter)
	}
	if len(t.byID) >= p.cfg.MaxMeters {
		return meterError(openflow.MMFCOutOfMeters, "there are %d meters, which is the limit", len(t.byID))
	}
	d := &meterDraft{id: m.Meter, created: now, live: &meter{seen: new(meterCount)}}
	if m.Meter <= openflow.MeterMax {
		d.slot = t.takeSlot(d)
	}
	if t.byID == nil {
		t.byID = map[uint32]*meterDraft{}
	}
	t.byID[m.Meter] = d
	p.setMeter(now, d, m)
	return nil
}

// modifyMeter gives a meter other bands, with full buckets and counters of their own. What the meter
// itself has counted, and its duration, go on.
func (p *Pipeline) modifyMeter(now time.Duration, m *openflow.MeterMod) error {
	if err := checkMeter(m); err != nil {
		return err
	}
	d := p.meters.byID[m.Meter]
	if d == nil {
		return unknownMeter(m.Meter)
	}
	p.setMeter(now, d, m)
	if d.slot != 0 {
		p.altered.note(alteration{meter: d.slot})
	}
	return nil
}

func unknownMeter(id uint32) error {
	return meterError(openflow.MMFCUnknownMeter, "there is no meter %d", id)
}

// setMeter configures a meter and enters it in the draft.
func (p *Pipeline) setMeter(now time.Duration, d *meterDraft, m *openflow.MeterMod) {
	d.flags, d.bands = m.Flags, slices.Clone(m.Bands)
	d.live = newMeter(now, m, d.live.seen)
	p.meters.show(d, d.live)
	p.dirty = true
}

// deleteMeters deletes one meter, or all for MeterAll, and the entries that use it.
func (p *Pipeline) deleteMeters(now time.Duration, id uint32) []Removed {
	t := &p.meters
	var users []*Entry
	if id == openflow.MeterAll {
		for _, d := range t.byID {
			users = t.forget(d, users)
		}
	} else if d := t.byID[id]; d != nil {
		users = t.forget(d, users)
	}
	p.dirty = p.dirty || t.dirty
	clear(p.memo.slots[:]) // programs name slots
	slices.SortFunc(users, (*Entry).before)
	var gone []Removed
	for _, e := range users {
		gone = p.remove(gone, now, e, openflow.RemovedDelete)
	}
	return gone
}

// forget takes a meter out of the draft and appends its entries to users.
func (t *meterTable) forget(d *meterDraft, users []*Entry) []*Entry {
	for e := range d.users {
		users = append(users, e)
	}
	delete(t.byID, d.id)
	t.show(d, nil)
	if d.slot != 0 {
		t.slots[d.slot] = nil
		t.free = append(t.free, d.slot)
	}
	return users
}

// meterSlot is how a program names the meter of an instruction. Open vSwitch's answer to a wrong one
// is an error of METER_MOD.
func (p *Pipeline) meterSlot(id uint32) (int32, error) {
	d := p.meters.byID[id]
	if d == nil || d.slot == 0 {
		return 0, meterError(openflow.MMFCInvalidMeter, "meter %d does not exist; add it first", id)
	}
	return d.slot, nil
}

// takeSlot finds a slot that no published program names any more: its entries have left the draft
// before it became free, and both changes are published together.
func (t *meterTable) takeSlot(d *meterDraft) int32 {
	if n := len(t.free); n > 0 {
		slot := t.free[n-1]
		t.free = t.free[:n-1]
		t.slots[slot] = d
		return slot
	}
	if len(t.slots) == 0 {
		t.slots = append(t.slots, nil)
	}
	t.slots = append(t.slots, d)
	return int32(len(t.slots) - 1)
}

// show notes what the next snapshot says of a meter; nil: it is gone.
func (t *meterTable) show(d *meterDraft, m *meter) {
	t.dirty = true
	if d.slot == 0 {
		return
	}
	n := int(d.slot >> 8)
	for len(t.pages) <= n {
		t.pages, t.own = append(t.pages, new(meterPage)), append(t.own, true)
	}
	if !t.own[n] {
		page := *t.pages[n]
		t.pages[n], t.own[n] = &page, true
	}
	t.pages[n][d.slot&0xff] = m
}

// freeze makes the draft a set.
func (t *meterTable) freeze() *meterSet {
	if t.set == nil || t.dirty {
		t.set = &meterSet{pages: slices.Clone(t.pages)}
		if d := t.byID[openflow.MeterController]; d != nil {
			t.set.controller = d.live
		}
		clear(t.own)
		t.dirty = false
	}
	return t.set
}

// join and leave keep the list of a meter's entries.
func (t *meterTable) join(e *Entry) {
	if slot := e.prog.meter; slot != 0 {
		d := t.slots[slot]
		if d.users == nil {
			d.users = map[*Entry]struct{}{}
		}
		d.users[e] = struct{}{}
	}
}

func (t *meterTable) leave(e *Entry) {
	if slot := e.prog.meter; slot != 0 && t.slots[slot] != nil {
		delete(t.slots[slot].users, e)
	}
}

// newMeter makes the form that frames meet, with full buckets.
func newMeter(now time.Duration, m *openflow.MeterMod, seen *meterCount) *meter {
	const second = uint64(time.Second) << tickBits
	out := &meter{
		unit: second / 1000 * 8, packets: m.Flags&openflow.MeterPktps != 0, // a byte at 1 kbit/s
		seen: seen, bands: make([]band, len(m.Bands)), caught: make([]meterCount, len(m.Bands)),
	}
	if out.packets {
		out.unit = second
	}
	order := make([]int, len(m.Bands))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(m.Bands[j].Rate, m.Bands[i].Rate) })
	for i, place := range order {
		b := &m.Bands[place]
		fillBand(&out.bands[i], b, out.unit, m.Flags&openflow.MeterBurst != 0)
		out.bands[i].place = uint8(place)
		out.bands[i].full.Store(ticks(now))
		out.remarks = out.remarks || b.Type == openflow.BandDSCPRemark
	}
	return out
}

// fillBand computes a bucket. Without a burst it holds what the rate earns in a second, as in Open
// vSwitch.
func fillBand(to *band, b *openflow.Band, unit uint64, hasBurst bool) {
	const (
		second  = uint64(time.Second) << tickBits
		longest = 1 << 61 // ticks; a bucket that takes over a hundred days to fill is cut to this
		largest = 1 << 18 // more than the volume of any frame
	)
	to.rate, to.burst = uint64(b.Rate), int64(second)
	if b.Type == openflow.BandDSCPRemark {
		to.level = b.PrecLevel
	}
	if to.rate == 0 {
		return
	}
	if hasBurst && b.Burst != 0 { // burst/rate seconds, in both units
		hi, lo := bits.Mul64(uint64(b.Burst), second)
		to.burst = longest
		if hi < to.rate {
			if n, _ := bits.Div64(hi, lo, to.rate); n < longest {
				to.burst = int64(n)
			}
		}
	}
	to.limit = to.burst + int64(largest*unit/to.rate) + int64(60*second)
}

// Meters are one meter, or all in order of their numbers for MeterAll. Frames count when their batch
// ends.
func (p *Pipeline) Meters(now time.Duration, id uint32) ([]Meter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.meters
	var list []Meter
	if id != openflow.MeterAll {
		d := t.byID[id]
		if d == nil {
			return nil, unknownMeter(id)
		}
		return append(list, d.describe(now)), nil
	}
	for _, d := range t.byID {
		list = append(list, d.describe(now))
	}
	slices.SortFunc(list, func(a, b Meter) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

func (d *meterDraft) describe(now time.Duration) Meter {
	m := Meter{
		ID: d.id, Flags: d.flags, Bands: d.bands, Flows: len(d.users), Duration: max(0, now-d.created),
		Packets: d.live.seen.packets.Load(), Bytes: d.live.seen.bytes.Load(), Caught: make([]openflow.BandStats, len(d.bands)),
	}
	for i := range m.Caught {
		c := &d.live.caught[i]
		m.Caught[i] = openflow.BandStats{PacketCount: c.packets.Load(), ByteCount: c.bytes.Load()}
	}
	return m
}
