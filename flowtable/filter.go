// Hot path: one match by itself, for those who look at some frames only.

package flowtable

import (
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// Filter is a compiled match. It never changes and may be shared.
type Filter struct {
	key   packet.Key
	mask  packet.Mask
	words []uint8 // of mask that are not zero
}

// NewFilter compiles a match as an entry's. m has passed its checks (openflow.NewMatch, ofctl.ParseMatch).
func NewFilter(m openflow.Match) *Filter {
	t := new(Filter)
	compileMatch(m, &t.key, &t.mask)
	for w := range t.mask {
		if t.mask[w] != 0 {
			t.words = append(t.words, uint8(w))
		}
	}
	return t
}

// Matches says whether a parsed frame is one of them.
func (t *Filter) Matches(f *packet.Frame) bool {
	for _, w := range t.words {
		if f.Key[w]&t.mask[w] != t.key[w] {
			return false
		}
	}
	return true
}
