// Slow path: entries with the same instructions share one program.

package flowtable

import (
	"hash/maphash"

	"github.com/weirswitch/weir/openflow"
)

// memo remembers the programs compiled last. Tables of a million entries mostly say a few things a
// million times; sharing the program and the bytes it came from halves such an entry. It is a small
// direct-mapped table, so it keeps nothing alive that matters and needs no counting of users.
type memo struct {
	seed  maphash.Seed
	slots [256]remembered
}

type remembered struct {
	table uint8
	list  openflow.Instructions // own memory
	prog  *Program              // without write_actions; nil: free
}

// program compiles the instructions of a FLOW_MOD for a table, or finds them compiled. It returns a copy
// of the list that may be kept. Whether the actions fit the match is judged every time. Requires p.mu.
func (p *Pipeline) program(table uint8, m *openflow.FlowMod) (*Program, openflow.Instructions, error) {
	list, j := m.Instructions, judgeOf(m)
	slot := &p.memo.slots[maphash.Bytes(p.memo.seed, list.Bytes())%uint64(len(p.memo.slots))]
	if slot.prog != nil && slot.table == table && slot.list.Equal(list) {
		if in, ok := list.Get(openflow.InstructionApplyActions); ok {
			for a := range in.Actions.All() {
				if err := j.see(&a); err != nil {
					return nil, list, err
				}
			}
		}
		return slot.prog, slot.list, nil
	}
	prog, err := p.compileInstructions(table, j, list)
	if err != nil {
		return nil, list, err
	}
	list = list.Clone()
	if len(prog.write) == 0 { // an action set is judged in its own order, which takes compiling
		*slot = remembered{table, list, prog}
	}
	return prog, list, nil
}
