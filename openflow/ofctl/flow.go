package ofctl

import (
	"fmt"
	"strconv"

	"github.com/weirswitch/weir/openflow"
)

// Flow is one line of dump-flows without the space that leads it.
func Flow(f *openflow.FlowStats) string { return string(AppendFlow(nil, f)) }

// AppendFlow writes a line of dump-flows: cookie, age and counters, then what --no-stats prints.
func AppendFlow(b []byte, f *openflow.FlowStats) []byte { return noNames.AppendFlow(b, f) }

// AppendFlow is the function of that name with names for numbers.
func (n *Names) AppendFlow(b []byte, f *openflow.FlowStats) []byte {
	b = fmt.Appendf(b, "cookie=0x%x, duration=", f.Cookie)
	b = appendDuration(b, f.DurationSec, f.DurationNsec)
	b = append(n.appendTable(append(b, "s, table="...), f.TableID), ", "...)
	b = append(appendCount(append(b, "n_packets="...), f.PacketCount), ", "...)
	b = append(appendCount(append(b, "n_bytes="...), f.ByteCount), ", "...)
	return n.appendRule(b, f)
}

// AppendFlowPlain writes a flow as dump-flows --no-stats does: what was installed, and nothing that
// time or traffic changes.
func AppendFlowPlain(b []byte, f *openflow.FlowStats) []byte { return noNames.AppendFlowPlain(b, f) }

// AppendFlowPlain is the function of that name with names for numbers.
func (n *Names) AppendFlowPlain(b []byte, f *openflow.FlowStats) []byte {
	if f.Cookie != 0 {
		b = fmt.Appendf(b, "cookie=0x%x, ", f.Cookie)
	}
	if f.TableID != 0 || n != nil && n.tables[f.TableID] != "" {
		b = append(n.appendTable(append(b, "table="...), f.TableID), ", "...)
	}
	return n.appendRule(b, f)
}

func (n *Names) appendRule(b []byte, f *openflow.FlowStats) []byte {
	if f.IdleTimeout != 0 {
		b = fmt.Appendf(b, "idle_timeout=%d, ", f.IdleTimeout)
	}
	if f.HardTimeout != 0 {
		b = fmt.Appendf(b, "hard_timeout=%d, ", f.HardTimeout)
	}
	for _, w := range FlowFlags(f.Flags) {
		b = append(append(b, w...), ' ')
	}
	if n.speaksOld() && f.IdleAge != 0 {
		b = fmt.Appendf(b, "idle_age=%d, ", f.IdleAge-1)
	}
	if n.speaksOld() && f.HardAge != 0 && uint32(f.HardAge-1) != f.DurationSec {
		b = fmt.Appendf(b, "hard_age=%d, ", f.HardAge-1)
	}
	start := len(b)
	b = n.appendMatch(b, f.Match, f.Priority)
	if len(b) > start {
		b = append(b, ' ')
	}
	return n.appendInstructions(append(b, "actions="...), f.Instructions)
}

// FlowFlags are the words of FLOW_MOD's flags.
func FlowFlags(f openflow.FlowModFlags) []string {
	var words []string
	for i, w := range [...]string{"send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts"} {
		if f&(1<<i) != 0 {
			words = append(words, w)
		}
	}
	return words
}

// appendDuration writes seconds with no decimals, three, or nine, as few as are exact.
func appendDuration(b []byte, sec, nsec uint32) []byte {
	b = strconv.AppendUint(b, uint64(sec), 10)
	switch {
	case nsec == 0:
		return b
	case nsec%1_000_000 == 0:
		return fmt.Appendf(b, ".%03d", nsec/1_000_000)
	}
	return fmt.Appendf(b, ".%09d", nsec)
}

// appendCount writes a counter; all ones is a counter that is not kept.
func appendCount(b []byte, n uint64) []byte {
	if n == ^uint64(0) {
		return append(b, '?')
	}
	return strconv.AppendUint(b, n, 10)
}
