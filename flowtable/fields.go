// Slow path: a frame's fields as a match, and which entries it nearly met.

package flowtable

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/weirswitch/weir/flowtable/classifier"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// FieldsOf is all that a parsed frame's header says, and what the pipeline has added to it, as an exact
// match. Fields of the pipeline, ipv6_exthdr and nw_frag are left out while they are zero.
func FieldsOf(f *packet.Frame) openflow.Match {
	r := fieldReader{f: f}
	for id := openflow.FieldID(0); int(id) < openflow.NumFields; id++ {
		if id != openflow.InPhyPort && id != openflow.ActsetOutput && id < openflow.XReg0 {
			r.read(id)
		}
	}
	return openflow.NewMatch(r.list...)
}

type fieldReader struct {
	f    *packet.Frame
	has  [openflow.NumFields]bool
	at   [openflow.NumFields]uint64
	list []openflow.Field
}

func (r *fieldReader) read(id openflow.FieldID) {
	if !r.there(id) {
		return
	}
	hi, lo := r.f.Key.Get(keyField(id))
	r.has[id], r.at[id] = true, lo
	r.list = append(r.list, openflow.Exact128(id, hi, lo))
}

// there reports a field that the frame has, by the prerequisites and by the headers that could be read.
func (r *fieldReader) there(id openflow.FieldID) bool {
	l, fl := &r.f.Layout, keyField(id)
	_, hasL4 := r.f.Key.Get(packet.HasL4)
	hi, lo := r.f.Key.Get(fl)
	for _, p := range id.Info().Prereqs {
		if !r.has[p.Field] || p.Values != nil && !slices.Contains(p.Values, r.at[p.Field]) {
			return false
		}
		if p.Field == openflow.EthType && l.L3 == 0 && l.L25 == 0 {
			return false
		}
	}
	switch {
	case fl.InTransport() && hasL4 == 0:
		return false
	case id == openflow.EthDst || id == openflow.EthSrc || id == openflow.EthType:
		return l.Type != 0
	case id == openflow.VLANVID:
		return lo&packet.VLANPresent != 0
	case isPipelineField(fl), id == openflow.NwFrag, id == openflow.IPv6ExtHdr, id == openflow.NDSLL, id == openflow.NDTLL:
		return hi|lo != 0
	}
	return true
}

// fieldChanges lists the fields in which two frames differ, in the order of their numbers.
func fieldChanges(was, is openflow.Match) (list []FieldChange) {
	for id := openflow.FieldID(0); int(id) < openflow.NumFields; id++ {
		var c FieldChange
		c.Was, c.Had = was.Get(id)
		c.Is, c.Has = is.Get(id)
		if c.Had != c.Has || c.Was.Value != c.Is.Value {
			list = append(list, c)
		}
	}
	return list
}

// NearMiss is an entry that a frame did not meet although little was missing.
type NearMiss struct {
	Entry  *Entry
	Failed []FieldMiss // empty: the frame matches, but an entry of higher priority, or an older one, wins
}

// FieldMiss is a field of an entry that a frame does not match.
type FieldMiss struct {
	Want   openflow.Field
	Has    openflow.Value
	Absent bool // the frame has no such field
}

const (
	maxNear   = 3 // entries that nearly matched
	maxMissed = 2 // fields that such an entry may miss
)

// nearMisses are the entries that come closest to winning: those that match and lose, and those that would win
// if one or two fields were otherwise. It looks at every entry of the table.
func nearMisses(table classifier.View[*Entry], k *packet.Key, winner *Entry) []NearMiss {
	type candidate struct {
		NearMiss
		failed, agreed, distance int
	}
	var list []candidate
	order := func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.failed, b.failed), cmp.Compare(b.agreed, a.agreed), cmp.Compare(a.distance, b.distance),
			cmp.Compare(b.Entry.Priority, a.Entry.Priority), cmp.Compare(a.Entry.rule.Order(), b.Entry.rule.Order()))
	}
	for r := range table.All() {
		e := r.Value
		if e == winner || e.match == "" {
			continue
		}
		c := candidate{NearMiss: NearMiss{Entry: e}}
		c.Failed, c.failed, c.agreed, c.distance = missed(e, k)
		if c.failed > maxMissed || c.failed > 0 && winner != nil && e.Priority < winner.Priority {
			continue
		}
		if i, _ := slices.BinarySearchFunc(list, c, order); i < maxNear {
			list = slices.Insert(list, i, c)
			list = list[:min(len(list), maxNear)]
		}
	}
	near := make([]NearMiss, len(list))
	for i := range list {
		near[i] = list[i].NearMiss
	}
	return near
}

// missed lists the fields of an entry that a key does not match: failed counts them, agreed the others, distance the
// bits that differ. Where a protocol differs, the fields behind it mean something else and count as
// failed unread.
func missed(e *Entry, k *packet.Key) (list []FieldMiss, failed, agreed, distance int) {
	strange := false
	_, hasL4 := k.Get(packet.HasL4)
	for f := range e.Match().All() {
		fl := keyField(f.ID)
		hi, lo := k.Get(fl)
		differ := [2]uint64{(hi ^ f.Value.Hi()) & f.Mask.Hi(), (lo ^ f.Value.Lo()) & f.Mask.Lo()}
		absent := fl.InTransport() && hasL4 == 0 && !f.Mask.IsZero()
		switch {
		case strange && len(f.ID.Info().Prereqs) > 0:
			failed++
		case absent || differ != [2]uint64{}:
			failed++
			distance += bits.OnesCount64(differ[0]) + bits.OnesCount64(differ[1])
			list = append(list, FieldMiss{Want: f, Has: openflow.ValueOf128(hi, lo), Absent: absent})
			strange = strange || f.ID == openflow.EthType || f.ID == openflow.IPProto || f.ID == openflow.ICMPv6Type
		default:
			agreed++
		}
		if failed > maxMissed {
			break
		}
	}
	return list, failed, agreed, distance
}
