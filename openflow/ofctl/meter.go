package ofctl

import (
	"fmt"
	"strconv"

	"github.com/weirswitch/weir/openflow"
)

// AppendMeter writes one meter as dump-meters does: a line for itself and one for each band.
func AppendMeter(b []byte, c *openflow.MeterConfig) []byte {
	b = append(append(append(b, "meter="...), meterName(c.Meter)...), ' ')
	b = appendMeterFlags(b, c.Flags)
	b = append(b, "bands=\n"...)
	for i := range c.Bands {
		k := &c.Bands[i]
		b = fmt.Appendf(b, "type=%s rate=%d", k.Type, k.Rate)
		if c.Flags&openflow.MeterBurst != 0 {
			b = fmt.Appendf(b, " burst_size=%d", k.Burst)
		}
		if k.Type == openflow.BandDSCPRemark {
			b = fmt.Appendf(b, " prec_level=%d", k.PrecLevel)
		}
		b = append(b, '\n')
	}
	return b
}

// AppendMeterStats writes one record of meter-stats: a line for the meter and one for each band.
func AppendMeterStats(b []byte, s *openflow.MeterStatistics) []byte {
	b = fmt.Appendf(b, "meter:%s flow_count:%d packet_in_count:%d byte_in_count:%d duration:", meterName(s.Meter), s.FlowCount, s.PacketCount, s.ByteCount)
	b = append(appendDuration(b, s.DurationSec, s.DurationNsec), "s bands:\n"...)
	for i, k := range s.Bands {
		b = fmt.Appendf(b, "%d: packet_count:%d byte_count:%d\n", i, k.PacketCount, k.ByteCount)
	}
	return b
}

// AppendMeterFeatures writes the lines of meter-features.
func AppendMeterFeatures(b []byte, f *openflow.MeterFeatures) []byte {
	return fmt.Appendf(b, "max_meter:%d max_bands:%d max_color:%d\nband_types: %s\ncapabilities: %s\n",
		f.MaxMeters, f.MaxBands, f.MaxColor, bitWords(f.BandTypes, bandWords), bitWords(uint32(f.Capabilities), meterWords))
}

// The words of the bits, as in port.go.
var (
	bandWords  = []string{"", "drop", "dscp_remark"}
	meterWords = []string{"kbps", "pktps", "burst", "stats"}
)

// appendMeterFlags writes each flag with a space behind it.
func appendMeterFlags(b []byte, f openflow.MeterFlags) []byte {
	for i, w := range meterWords {
		if f&(1<<i) != 0 {
			b = append(append(b, w...), ' ')
		}
	}
	return b
}

func meterName(id uint32) string {
	switch id {
	case openflow.MeterSlowpath:
		return "slowpath"
	case openflow.MeterController:
		return "controller"
	case openflow.MeterAll:
		return "all"
	}
	return strconv.FormatUint(uint64(id), 10)
}

// MeterName is a meter's number, or the word of one with a meaning of its own.
func MeterName(id uint32) string { return meterName(id) }
