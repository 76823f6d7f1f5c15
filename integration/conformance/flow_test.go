package conformance

import (
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// Short words for the requests of the cases.

// flow is an ADD to table 0 with priority 100.
func flow(m openflow.Match, list ...openflow.Instruction) *openflow.FlowMod {
	return oftest.AddFlow(0, 100, m, list...)
}

// flowIn is flow for another table.
func flowIn(table uint8, m openflow.Match, list ...openflow.Instruction) *openflow.FlowMod {
	return oftest.AddFlow(table, 100, m, list...)
}

// miss is the table-miss entry of a table.
func miss(table uint8, list ...openflow.Instruction) *openflow.FlowMod {
	return oftest.AddFlow(table, 0, openflow.Match{}, list...)
}

// setup is a list of requests.
func setup(list ...openflow.Message) []openflow.Message { return list }

// everything is the match that every frame meets.
var everything = openflow.Match{}

func match(fields ...openflow.Field) openflow.Match { return openflow.NewMatch(fields...) }

func eq(id openflow.FieldID, v uint64) openflow.Field { return openflow.Exact(id, v) }

func masked(id openflow.FieldID, v, mask uint64) openflow.Field {
	return openflow.WithMask(id, v, mask)
}

// as are the fields of a match that others need before them: eth_type, ip_proto, icmpv6_type.
func as(values ...uint64) []openflow.Field {
	list := []openflow.Field{eq(openflow.EthType, values[0])}
	for i, id := range []openflow.FieldID{openflow.IPProto, openflow.ICMPv6Type} {
		if len(values) > i+1 {
			list = append(list, eq(id, values[i+1]))
		}
	}
	return list
}

// matchAs is a match of what as names and of one more field.
func matchAs(first []openflow.Field, more ...openflow.Field) openflow.Match {
	return match(append(first[:len(first):len(first)], more...)...)
}

var (
	apply = openflow.ApplyActions
	write = openflow.WriteActions
	goTo  = openflow.GotoTable
	set   = openflow.SetField
)

func clearActions() openflow.Instruction {
	return openflow.Instruction{Type: openflow.InstructionClearActions}
}

func writeMetadata(v, mask uint64) openflow.Instruction {
	return openflow.Instruction{Type: openflow.InstructionWriteMetadata, Metadata: v, MetadataMask: mask}
}

func out(port openflow.PortNo) openflow.Action { return openflow.Output(port) }

// simple is an action without argument.
func simple(t openflow.ActionType) openflow.Action { return openflow.Action{Type: t} }

func push(t openflow.ActionType, ethType uint16) openflow.Action {
	return openflow.Action{Type: t, EtherType: ethType}
}

func setTTL(t openflow.ActionType, ttl uint8) openflow.Action {
	return openflow.Action{Type: t, TTL: ttl}
}

// to is one frame leaving by a port.
func to(port int, frame []byte) []sent { return []sent{{port: port, frame: frame}} }

// failure is an ERROR to expect.
func failure(t openflow.ErrorType, code uint16) *openflow.Error {
	return &openflow.Error{Type: t, Code: code}
}

func badMatch(code uint16) *openflow.Error       { return failure(openflow.ErrBadMatch, code) }
func badAction(code uint16) *openflow.Error      { return failure(openflow.ErrBadAction, code) }
func badInstruction(code uint16) *openflow.Error { return failure(openflow.ErrBadInstruction, code) }
