package ofctl

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

// FlowCommands are the words that may begin a line of a file of flows; without one it adds.
var flowCommands = map[string]openflow.FlowModCommand{
	"add": openflow.FlowAdd, "modify": openflow.FlowModify, "modify_strict": openflow.FlowModifyStrict,
	"delete": openflow.FlowDelete, "delete_strict": openflow.FlowDeleteStrict,
}

// flowFlags are the words of FLOW_MOD's flags.
var flowFlags = map[string]openflow.FlowModFlags{
	"send_flow_rem": openflow.FlowSendRemoved, "check_overlap": openflow.FlowCheckOverlap, "reset_counts": openflow.FlowResetCounts,
	"no_packet_counts": openflow.FlowNoPacketCounts, "no_byte_counts": openflow.FlowNoByteCounts,
}

// ignored are the words of a dump that say nothing of what to install, so that a dump can be typed
// again; importance is OpenFlow 1.4's.
var ignored = []string{"duration", "n_packets", "n_bytes", "idle_age", "hard_age", "importance", "no_readonly_table", "allow_hidden_fields"}

// flowReader gathers the words of a flow that are not its match.
type flowReader struct {
	matchReader
	mod                    *openflow.FlowMod
	changes, deletes, asks bool // which words are allowed
}

// ParseFlow reads a flow as add-flow, mod-flows and del-flows take it. The command says which words it
// may have: a delete has no actions and has out_port and out_group.
func ParseFlow(text string, command openflow.FlowModCommand, names *Names) (*openflow.FlowMod, error) {
	r := newFlowReader(text, names)
	r.mod.Command = command
	r.deletes = command == openflow.FlowDelete || command == openflow.FlowDeleteStrict
	r.changes = !r.deletes
	return r.read(0)
}

// ParseFlowLine is ParseFlow for a line of a file, which may begin with its command: add, modify,
// modify_strict, delete or delete_strict.
func ParseFlowLine(text string, names *Names) (*openflow.FlowMod, error) {
	rest := strings.TrimLeft(text, blanks)
	word := rest
	if i := strings.IndexAny(rest, blanks+",=:("); i >= 0 {
		word = rest[:i]
	}
	command, ok := flowCommands[word]
	if !ok {
		return ParseFlow(text, openflow.FlowAdd, names)
	}
	at := len(text) - len(rest) + len(word)
	r := newFlowReader(text, names)
	r.mod.Command = command
	r.deletes = command == openflow.FlowDelete || command == openflow.FlowDeleteStrict
	r.changes = !r.deletes
	return r.read(at)
}

// ParseFlowFilter reads what dump-flows and dump-aggregate take to choose flows.
func ParseFlowFilter(text string, names *Names) (*openflow.FlowStatsRequest, error) {
	r := newFlowReader(text, names)
	r.deletes, r.asks, r.mod.Command = true, true, openflow.FlowDelete
	mod, err := r.read(0)
	if err != nil {
		return nil, err
	}
	return &openflow.FlowStatsRequest{TableID: mod.TableID, OutPort: mod.OutPort, OutGroup: mod.OutGroup,
		Cookie: mod.Cookie, CookieMask: mod.CookieMask, Match: mod.Match}, nil
}

func newFlowReader(text string, names *Names) *flowReader {
	p := &parser{text: text, names: names}
	return &flowReader{matchReader: matchReader{p: p}, mod: &openflow.FlowMod{
		TableID: openflow.TableAll, Priority: DefaultPriority, BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny,
	}}
}

// read takes text from at on.
func (r *flowReader) read(at int) (*openflow.FlowMod, error) {
	end, actionsAt := len(r.p.text), -1
	if r.changes {
		var err error
		if end, actionsAt, err = r.p.splitActions(at); err != nil {
			return nil, err
		}
	}
	list, err := r.p.tokens(at, end)
	if err != nil {
		return nil, err
	}
	for _, k := range list {
		if err := r.flowWord(k); err != nil {
			return nil, err
		}
	}
	if r.mod.Match, err = r.finish(); err != nil {
		return nil, err
	}
	if r.changes {
		if err := r.complete(actionsAt); err != nil {
			return nil, err
		}
	}
	return r.mod, nil
}

// complete reads the actions and sets what a flow without the word has.
func (r *flowReader) complete(actionsAt int) (err error) {
	m := r.mod
	if r.p.old() && m.Command != openflow.FlowAdd && m.CookieMask == 0 && m.Loose == nil {
		m.Loose = &openflow.Loose{} // with a cookie to give, a modify that finds nothing adds: 0, as ovs-ofctl
	}
	if m.TableID == openflow.TableAll && (m.Command == openflow.FlowAdd || !r.p.old()) {
		m.TableID = 0 // all tables are for deletes only (section 7.3.4.1)
	}
	if m.Instructions, err = r.p.instructions(actionsAt, m.Match, m.TableID); err != nil {
		return err
	}
	return r.p.fits(len(m.Match.Bytes()) + len(m.Instructions.Bytes()))
}

// splitActions finds the actions, which are the rest of the text behind actions=.
func (p *parser) splitActions(at int) (end, actions int, err error) {
	i := strings.Index(p.text[at:], "action")
	if i < 0 {
		if k, ok := p.misspelledActions(at); ok {
			return 0, 0, p.unknown(k.at, "word", k.key, []string{"actions"})
		}
		return 0, 0, p.fail(len(p.text), "the actions are missing: end with actions=..., or actions=drop")
	}
	i += at
	j := strings.IndexByte(p.text[i:], '=')
	if j < 0 {
		return 0, 0, p.fail(i, "expected actions=...")
	}
	if word := strings.Trim(p.text[i:i+j], blanks); word != "actions" && word != "action" {
		return 0, 0, p.unknown(i, "word", word, []string{"actions"})
	}
	return i, i + j + 1, nil
}

// misspelledActions finds the word that was to begin the actions.
func (p *parser) misspelledActions(at int) (token, bool) {
	list, _ := p.tokens(at, len(p.text))
	for _, k := range list {
		if k.has && Nearest(k.key, []string{"actions"}) != "" && !slices.Contains(knownMatchWords(), k.key) {
			return k, true
		}
	}
	return token{}, false
}

func (r *flowReader) flowWord(k token) error {
	if f, ok := flowFlags[k.key]; ok && r.changes {
		if r.p.old() && f&^(openflow.FlowSendRemoved|openflow.FlowCheckOverlap) != 0 {
			return r.p.fail(k.at, "OpenFlow 1.0 has no flag %s: that takes OpenFlow 1.3", k.key)
		}
		r.mod.Flags |= f
		return nil
	}
	if slices.Contains(ignored, k.key) {
		return nil
	}
	if read, ok := flowWords[k.key]; ok && (r.changes || k.key != "idle_timeout" && k.key != "hard_timeout") && (r.deletes || !strings.HasPrefix(k.key, "out_")) {
		if !k.has {
			return r.p.fail(k.at, "%s lacks its value: write %s=VALUE", k.key, k.key)
		}
		if r.asks && k.key == "priority" {
			return r.p.fail(k.at, "priority cannot choose flows here: name fields, cookie, table, out_port or out_group")
		}
		return read(r, k)
	}
	known, err := r.word(k)
	if err != nil || known {
		return err
	}
	words := knownMatchWords()
	for w := range flowWords {
		words = append(words, w)
	}
	for w := range flowFlags {
		words = append(words, w)
	}
	slices.Sort(words)
	return r.p.unknown(k.at, "field or word", k.key, words)
}

var flowWords = map[string]func(r *flowReader, k token) error{
	"table":        func(r *flowReader, k token) (err error) { r.mod.TableID, err = r.p.table(k); return err },
	"priority":     func(r *flowReader, k token) error { return r.short(k, &r.mod.Priority) },
	"idle_timeout": func(r *flowReader, k token) error { return r.short(k, &r.mod.IdleTimeout) },
	"hard_timeout": func(r *flowReader, k token) error { return r.short(k, &r.mod.HardTimeout) },
	"cookie":       (*flowReader).cookie,
	"out_port": func(r *flowReader, k token) (err error) {
		r.mod.OutPort, err = r.p.port("out_port", k.value, k.valAt)
		return err
	},
	"out_group": func(r *flowReader, k token) error {
		n, err := r.p.uint(k, 32)
		r.mod.OutGroup = uint32(n)
		return err
	},
}

func (r *flowReader) short(k token, to *uint16) error {
	n, err := r.p.uint(k, 16)
	*to = uint16(n)
	return err
}

// cookie reads cookie=VALUE, which an add gives to the flow, and cookie=VALUE/MASK, which chooses flows to
// change or delete.
func (r *flowReader) cookie(k token) error {
	text, maskText, masked := strings.Cut(k.value, "/")
	v, err := r.p.uintAt("cookie", text, k.valAt, 64)
	if err != nil {
		return err
	}
	if !masked && r.deletes {
		return r.p.fail(k.valAt, "cookie=%s sets a cookie: to choose flows by it, write cookie=%s/-1", k.value, k.value)
	}
	if !masked {
		switch { // OpenFlow 1.3 cannot change the cookie of a flow
		case r.mod.Command == openflow.FlowAdd:
			r.mod.Cookie = v
		case r.p.old():
			r.mod.Loose = &openflow.Loose{NewCookie: v}
		}
		return nil
	}
	if r.mod.Command == openflow.FlowAdd {
		return r.p.fail(k.valAt, "cookie=%s: a new flow's cookie has no mask", k.value)
	}
	mask, err := r.p.uintAt("cookie", maskText, k.valAt+len(text)+1, 64)
	r.mod.Cookie, r.mod.CookieMask = v, mask
	return err
}

// instructionOrder is the order in which they run, and in which they must be typed.
var instructionOrder = []openflow.InstructionType{openflow.InstructionMeter, openflow.InstructionApplyActions, openflow.InstructionClearActions,
	openflow.InstructionWriteActions, openflow.InstructionWriteMetadata, openflow.InstructionGotoTable}

// instructions reads what stands behind actions=.
func (p *parser) instructions(at int, m openflow.Match, table uint8) (openflow.Instructions, error) {
	list, err := p.tokens(at, len(p.text))
	if err != nil {
		return openflow.Instructions{}, err
	}
	if k, ok := dropAmong(list); ok {
		if len(list) > 1 {
			return openflow.Instructions{}, p.fail(k.at, "drop stands alone: no action or instruction goes with it")
		}
		return openflow.Instructions{}, nil
	}
	apply := &actionReader{p: p, h: headersOf(m)}
	var out []openflow.Instruction
	last, lastWord := -1, ""
	for _, k := range list {
		i, isAction, err := p.instruction(k, m, table)
		if err != nil {
			return openflow.Instructions{}, err
		}
		if isAction {
			i.Type = openflow.InstructionApplyActions
		}
		place := slices.Index(instructionOrder, i.Type)
		switch {
		case place < last && isAction:
			return openflow.Instructions{}, p.fail(k.at, "%s must stand before %s", k.key, lastWord)
		case place < last:
			return openflow.Instructions{}, p.fail(k.at, "%s must stand before what is applied, cleared or written", k.key)
		case place == last && !isAction:
			return openflow.Instructions{}, p.fail(k.at, "%s is there twice", k.key)
		}
		if isAction {
			if err := apply.word(k); err != nil {
				return openflow.Instructions{}, err
			}
		}
		if place > last {
			out = append(out, i)
		}
		last, lastWord = place, k.key
	}
	return joinInstructions(out, apply.list), nil
}

// joinInstructions fills in the applied actions; a write of no actions is left out, as by ovs-ofctl.
func joinInstructions(list []openflow.Instruction, apply []openflow.Action) openflow.Instructions {
	out := list[:0]
	for _, i := range list {
		switch {
		case i.Type == openflow.InstructionApplyActions:
			i.Actions = openflow.NewActions(apply...)
		case i.Type == openflow.InstructionWriteActions && i.Actions.IsEmpty():
			continue
		}
		out = append(out, i)
	}
	return openflow.NewInstructions(out...)
}

func dropAmong(list []token) (token, bool) {
	i := slices.IndexFunc(list, func(k token) bool { return k.key == "drop" && !k.has })
	if i < 0 {
		return token{}, false
	}
	return list[i], true
}

// instruction reads a token that is one; any other is an action to apply.
func (p *parser) instruction(k token, m openflow.Match, table uint8) (i openflow.Instruction, isAction bool, err error) {
	var n uint64
	switch k.key {
	case "meter":
		n, err = p.uint(k, 32)
		return openflow.Instruction{Type: openflow.InstructionMeter, Meter: uint32(n)}, false, err
	case "goto_table":
		id, err := p.table(k)
		if err == nil && table != openflow.TableAll && id <= table {
			err = p.fail(k.valAt, "goto_table:%s: a flow of table %d can go on in a later table only", k.value, table)
		}
		return openflow.GotoTable(id), false, err
	case "clear_actions":
		return openflow.Instruction{Type: openflow.InstructionClearActions}, false, nil
	case "write_metadata":
		i, err := p.writeMetadata(k)
		return i, false, err
	case "write_actions":
		list, err := p.actions(k.valAt, k.valAt+len(k.value), headersOf(m))
		return openflow.WriteActions(list...), false, err
	case "apply_actions":
		return i, false, p.fail(k.at, "apply_actions needs no word: write its actions alone")
	}
	return i, true, nil
}

func (p *parser) writeMetadata(k token) (openflow.Instruction, error) {
	text, maskText, masked := strings.Cut(k.value, "/")
	i := openflow.Instruction{Type: openflow.InstructionWriteMetadata, MetadataMask: ^uint64(0)}
	var err error
	if i.Metadata, err = p.uintAt(k.key, text, k.valAt, 64); err == nil && masked {
		i.MetadataMask, err = p.uintAt(k.key, maskText, k.valAt+len(text)+1, 64)
	}
	return i, err
}

// actions reads a list of actions that holds no instruction.
func (p *parser) actions(from, to int, h headers) ([]openflow.Action, error) {
	list, err := p.tokens(from, to)
	if err != nil {
		return nil, err
	}
	if k, ok := dropAmong(list); ok {
		if len(list) > 1 {
			return nil, p.fail(k.at, "drop stands alone: no action goes with it")
		}
		return nil, nil
	}
	r := &actionReader{p: p, h: h}
	for _, k := range list {
		if slices.Contains(instructionWords, k.key) {
			return nil, p.fail(k.at, "%s is an instruction of a flow and cannot stand here", k.key)
		}
		if err := r.word(k); err != nil {
			return nil, err
		}
	}
	return r.list, nil
}

// ParseActions reads what Actions prints.
func ParseActions(text string, names *Names) (openflow.Actions, error) {
	list, err := (&parser{text: text, names: names}).actions(0, len(text), headers{})
	return openflow.NewActions(list...), err
}

// ParsePacketOut reads in_port=PORT packet=HEX actions=ACTIONS.
func ParsePacketOut(text string, names *Names) (*openflow.PacketOut, error) {
	p := &parser{text: text, names: names}
	end, actionsAt, err := p.splitActions(0)
	if err != nil {
		return nil, err
	}
	list, err := p.tokens(0, end)
	if err != nil {
		return nil, err
	}
	m := &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortController}
	said := map[string]bool{}
	for _, k := range list {
		said[k.key] = true
		switch k.key {
		case "in_port":
			m.InPort, err = p.port(k.key, k.value, k.valAt)
		case "packet":
			if m.Data, err = hex.DecodeString(k.value); err != nil {
				err = p.fail(k.valAt, "packet=%s: expected a frame in hexadecimal", excerpt(k.value, 0))
			}
		default:
			err = p.unknown(k.at, "word of packet-out", k.key, []string{"in_port", "packet", "actions"})
		}
		if err != nil {
			return nil, err
		}
	}
	if !said["in_port"] {
		return nil, p.fail(0, "in_port is missing: the port it comes from, or in_port=CONTROLLER")
	}
	if !said["packet"] {
		return nil, p.fail(0, "packet is missing: packet=HEX, the frame from its destination address on")
	}
	acts, err := p.actions(actionsAt, len(text), headers{})
	if err != nil {
		return nil, err
	}
	m.Actions = openflow.NewActions(acts...)
	return m, p.fits(len(m.Data) + len(m.Actions.Bytes()))
}
