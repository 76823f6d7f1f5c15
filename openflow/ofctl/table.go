package ofctl

import (
	"fmt"

	"github.com/weirswitch/weir/openflow"
)

// AppendTables writes the records of dump-tables: a block for a table, and one line for a run of
// tables that say the same as the one before.
func AppendTables(b []byte, list []openflow.TableStats) []byte {
	for i := 0; i < len(list); {
		t := &list[i]
		if i > 0 {
			b = append(b, '\n')
		}
		b = fmt.Appendf(b, "  table %d:\n    active=%d, lookup=%d, matched=%d\n", t.TableID, t.ActiveCount, t.LookupCount, t.MatchedCount)
		same := i + 1
		for same < len(list) && sameTable(t, &list[same]) {
			same++
		}
		switch first, last := i+1, same-1; {
		case last == first:
			b = fmt.Appendf(b, "\n  table %d: ditto\n", list[first].TableID)
		case last > first:
			b = fmt.Appendf(b, "\n  tables %d...%d: ditto\n", list[first].TableID, list[last].TableID)
		}
		i = same
	}
	return b
}

func sameTable(a, b *openflow.TableStats) bool {
	return a.ActiveCount == b.ActiveCount && a.LookupCount == b.LookupCount && a.MatchedCount == b.MatchedCount
}
