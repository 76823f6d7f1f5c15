// Slow path: entries with the same instructions share one program.

package flowtable

import (
	"hash/maphash"
	"iter"
	"sync"

	"github.com/weirswitch/weir/openflow"
)

// memo remembers the programs compiled last. Tables of a million entries mostly say a few things a
// million times; sharing the program and the bytes it came from halves such an entry. It is a small
// direct-mapped table, so it keeps nothing alive that matters and needs no counting of users.
type memo struct {
	seed  maphash.Seed
	slots [256]remembered
}

// outMemo remembers the programs of PACKET_OUTs. It has a lock of its own, so that they are sent while entries change.
type outMemo struct {
	mu    sync.Mutex
	seed  maphash.Seed
	slots [16]rememberedList
}

type rememberedList struct {
	list openflow.Actions // own memory
	prog *Program         // without groups; nil: free
}

// compile finds or makes a program. One that names groups, which come and go, is not ready: they are still to be bound.
func (m *outMemo) compile(list openflow.Actions) (prog *Program, ready bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	slot := &m.slots[maphash.Bytes(m.seed, list.Bytes())%uint64(len(m.slots))]
	if slot.prog != nil && slot.list.Equal(list) {
		return slot.prog, true, nil
	}
	if err := list.Check(); err != nil {
		return nil, false, err
	}
	prog = &Program{next: noTable}
	if prog.apply, err = compileList(list, nil); err != nil {
		return nil, false, err
	}
	for a := range list.All() {
		if a.Type == openflow.ActionGroup {
			return prog, false, nil
		}
	}
	*slot = rememberedList{list.Clone(), prog}
	return prog, true, nil
}

type remembered struct {
	table  uint8
	judged bool     // some action of apply_actions may not fit a match
	prog   *Program // without write_actions; nil: free
}

// program compiles the instructions of a FLOW_MOD for a table, or finds them compiled. Whether the actions
// fit the match is judged every time. Requires p.mu.
func (p *Pipeline) program(table uint8, m *openflow.FlowMod) (*Program, error) {
	list := m.Instructions
	slot := &p.memo.slots[maphash.Bytes(p.memo.seed, list.Bytes())%uint64(len(p.memo.slots))]
	if slot.prog != nil && slot.table == table && slot.prog.source.Equal(list) {
		if slot.judged {
			return slot.prog, judgeApplied(m)
		}
		return slot.prog, nil
	}
	return p.compileAnew(slot, table, m)
}

// judgeApplied reports an action of apply_actions that does not fit the match.
func judgeApplied(m *openflow.FlowMod) error {
	j := judgeOf(m)
	for a := range applied(m.Instructions) {
		if err := j.see(&a); err != nil {
			return err
		}
	}
	return nil
}

// compileAnew is program for what is not remembered yet.
func (p *Pipeline) compileAnew(slot *remembered, table uint8, m *openflow.FlowMod) (*Program, error) {
	list := m.Instructions
	prog, err := p.compileInstructions(table, judgeOf(m), list)
	if err != nil {
		return nil, err
	}
	if prog.source = list.Clone(); len(prog.write) > 0 {
		return prog, nil // an action set is judged in its own order, which takes compiling
	}
	*slot = remembered{table: table, prog: prog}
	for a := range applied(list) {
		slot.judged = slot.judged || !sendsOnly(a.Type)
	}
	return prog, nil
}

// applied are the actions of a list's apply_actions.
func applied(list openflow.Instructions) iter.Seq[openflow.Action] {
	in, _ := list.Get(openflow.InstructionApplyActions)
	return in.Actions.All()
}

// sendsOnly marks actions that no judge has a word on.
func sendsOnly(t openflow.ActionType) bool {
	return t == openflow.ActionOutput || t == openflow.ActionGroup || t == openflow.ActionSetQueue
}
