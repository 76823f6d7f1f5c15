package classifier

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
)

// model is the slow, obvious classifier: a list in the order of insertion.
type model struct{ rules []*modelRule }

type modelRule struct {
	key  packet.Key
	mask packet.Mask
	prio uint16
	id   int
}

func (m *model) find(key packet.Key, mask packet.Mask, prio uint16) int {
	key = mask.Apply(&key)
	return slices.IndexFunc(m.rules, func(r *modelRule) bool {
		return r.key == key && r.mask == mask && r.prio == prio
	})
}

func (m *model) insert(key packet.Key, mask packet.Mask, prio uint16, id int) (replaced int) {
	r := &modelRule{mask.Apply(&key), mask, prio, id}
	if i := m.find(key, mask, prio); i >= 0 {
		replaced = m.rules[i].id
		m.rules[i] = r
		return replaced
	}
	m.rules = append(m.rules, r)
	return 0
}

func (m *model) lookup(k *packet.Key) (id int) {
	best := -1
	for _, r := range m.rules {
		if r.mask.Equal(k, &r.key) && int(r.prio) > best {
			best, id = int(r.prio), r.id
		}
	}
	return id
}

func (m *model) within(key packet.Key, mask packet.Mask) (ids []int) {
	for _, r := range m.rules {
		if r.mask.Covers(&mask) && mask.Equal(&r.key, &key) {
			ids = append(ids, r.id)
		}
	}
	return ids
}

func (m *model) overlaps(key packet.Key, mask packet.Mask, prio uint16) bool {
	return slices.ContainsFunc(m.rules, func(r *modelRule) bool {
		if r.prio != prio || r.mask == mask {
			return false
		}
		for i := range key {
			if (r.key[i]^key[i])&r.mask[i]&mask[i] != 0 {
				return false
			}
		}
		return true
	})
}

func (m *model) clone() *model { return &model{slices.Clone(m.rules)} }

// world makes keys and masks that meet often: few values, few words.
type world struct {
	r     *rand.Rand
	masks []packet.Mask
	span  uint64
}

func newWorld(seed uint64) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 7))}
	w.span = []uint64{2, 6, 40, 1 << 20}[seed%4]
	for range 1 + seed%9 {
		var m packet.Mask
		for range w.r.IntN(9) {
			at := w.r.IntN(packet.Words)
			m[at] = []uint64{^uint64(0), 3, 0xff, 1<<63 | 1, 0xfffffffffffff000 | 7}[w.r.IntN(5)]
		}
		w.masks = append(w.masks, m)
	}
	return w
}

func (w *world) key() (k packet.Key) {
	for i := range k {
		k[i] = w.r.Uint64N(w.span) | w.r.Uint64N(2)<<63
	}
	return k
}

func (w *world) mask() packet.Mask { return w.masks[w.r.IntN(len(w.masks))] }
func (w *world) prio() uint16      { return uint16(w.r.IntN(4)) * 1000 }

type frozen struct {
	view  View[int]
	model *model
}

func checkLookup(t *testing.T, w *world, v View[int], m *model, keys []packet.Key) {
	t.Helper()
	if v.Len() != len(m.rules) {
		t.Fatalf("%d rules, the model has %d", v.Len(), len(m.rules))
	}
	for _, k := range keys {
		var used packet.Mask
		got, want := 0, m.lookup(&k)
		if r := v.Lookup(&k, &used); r != nil {
			got = r.Value
		}
		if got != want {
			t.Fatalf("rule %d, the model says %d", got, want)
		}
		// Any key equal in the used bits must get the same answer.
		other := w.key()
		for i := range other {
			other[i] = other[i]&^used[i] | k[i]&used[i]
		}
		if m.lookup(&other) != want {
			t.Fatalf("a key equal in the used bits matches rule %d, not %d", m.lookup(&other), want)
		}
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	w := newWorld(seed)
	table, m := &Table[int]{Seed: seed}, &model{}
	byID := map[int]*Rule[int]{}
	var views []frozen
	var keys []packet.Key
	for range 40 {
		keys = append(keys, w.key())
	}
	for step := 1; step <= steps; step++ {
		key, mask, prio := w.key(), w.mask(), w.prio()
		if len(m.rules) > 0 && w.r.IntN(2) == 0 { // aim at what is there
			r := m.rules[w.r.IntN(len(m.rules))]
			key, mask, prio = r.key, r.mask, r.prio
			keys[w.r.IntN(len(keys))] = r.key
		}
		found := table.Find(&key, &mask, prio)
		at := m.find(key, mask, prio)
		if (found != nil) != (at >= 0) || found != nil && found.Value != m.rules[at].id {
			t.Fatalf("seed %d step %d: Find disagrees with the model", seed, step)
		}
		if o := table.Overlaps(&key, &mask, prio); (o != nil) != m.overlaps(key, mask, prio) {
			t.Fatalf("seed %d step %d: Overlaps = %v, the model says %v", seed, step, o, m.overlaps(key, mask, prio))
		}
		var within []int
		for r := range table.Within(&key, &mask) {
			within = append(within, r.Value)
		}
		want := m.within(key, mask)
		slices.Sort(within)
		if slices.Sort(want); !slices.Equal(within, want) {
			t.Fatalf("seed %d step %d: Within = %v, the model says %v", seed, step, within, want)
		}
		growing := step*2 < steps
		if found != nil && (!growing || w.r.IntN(3) == 0) {
			if !table.Delete(found) || table.Delete(found) {
				t.Fatalf("seed %d step %d: Delete of a present rule", seed, step)
			}
			m.rules = slices.Delete(m.rules, at, at+1)
		} else {
			r := NewRule(&key, &mask, prio, step)
			if r.Key() != mask.Apply(&key) || r.Mask() != mask {
				t.Fatalf("seed %d step %d: the rule does not give back its key and mask", seed, step)
			}
			replaced := 0
			if old := table.Insert(r); old != nil {
				replaced = old.Value
			}
			if was := m.insert(key, mask, prio, step); was != replaced {
				t.Fatalf("seed %d step %d: replaced %d, the model says %d", seed, step, replaced, was)
			}
			byID[step] = r
		}
		if w.r.IntN(8) == 0 {
			views = append(views, frozen{table.Freeze(), m.clone()})
		}
		if w.r.IntN(150) == 0 {
			table.Clear()
			for _, r := range m.rules {
				if table.Delete(byID[r.id]) {
					t.Fatalf("seed %d step %d: a rule outlived Clear", seed, step)
				}
			}
			m.rules = nil
		}
		if step%16 == 0 {
			checkLookup(t, w, table.Freeze(), m, keys)
		}
	}
	for _, f := range views {
		checkLookup(t, w, f.view, f.model, keys[:8])
		seen := map[int]bool{}
		for r := range f.view.All() {
			seen[r.Value] = true
		}
		if len(seen) != len(f.model.rules) {
			t.Fatalf("seed %d: a frozen view changed", seed)
		}
	}
	for len(m.rules) > 0 {
		if !table.Delete(byID[m.rules[0].id]) {
			t.Fatalf("seed %d: a rule cannot be deleted", seed)
		}
		m.rules = m.rules[1:]
	}
	if table.Len() != 0 || len(table.subs) != 0 || len(table.families) != 0 {
		t.Fatalf("seed %d: an emptied table keeps %d subtables", seed, len(table.subs))
	}
}

func TestAgainstModel(t *testing.T) {
	for seed := range uint64(60) {
		runModel(t, seed, 400)
	}
	runModel(t, 3, 2500) // wide values: leaves split, directories double and shrink
}
