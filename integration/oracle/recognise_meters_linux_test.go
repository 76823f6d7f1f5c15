package oracle

import (
	"slices"

	"github.com/weirswitch/weir/openflow"
)

// meterEmpty: a meter without bands, or with one of rate or burst 0, or whose flags name no unit.
func meterEmpty(m meterMod) bool {
	return m.Command != openflow.MeterDelete && (len(m.Bands) == 0 || m.Flags&(openflow.MeterKbps|openflow.MeterPktps) == 0 ||
		slices.ContainsFunc(m.Bands, func(b openflow.Band) bool { return b.Rate == 0 || b.Burst == 0 }))
}

// modifyMeter: a FLOW_MOD that may modify nothing names a meter, which may not be there.
func modifyMeter(f *flow) bool {
	return (f.command == openflow.FlowModify || f.command == openflow.FlowModifyStrict) && metered(f)
}

func metered(f *flow) bool {
	return slices.ContainsFunc(f.does, func(in instruction) bool { return in.Type == openflow.InstructionMeter })
}

// meterTold: an entry that wants a FLOW_REMOVED goes with its meter.
func meterTold(l *life) bool {
	return someStep(func(m meterMod) bool { return m.Command == openflow.MeterDelete })(l) &&
		l.any(func(f *flow) bool { return f.flags&openflow.FlowSendRemoved != 0 && metered(f) })
}

// meteredGoto: what a meter drops would have come to another table.
func meteredGoto(f *flow) bool {
	return metered(f) && slices.ContainsFunc(f.does, func(in instruction) bool { return in.Type == openflow.InstructionGotoTable })
}
