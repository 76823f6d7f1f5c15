package ofctl

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestMetersPrintAsInOpenVSwitch compares random meters, their counters and features with the real tool.
func TestMetersPrintAsInOpenVSwitch(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	ids := []uint32{1, 7, openflow.MeterMax, openflow.MeterSlowpath, openflow.MeterController}
	var configs, stats []openflow.Record
	var wantConfigs, wantStats []string
	for range 60 {
		c := &openflow.MeterConfig{Meter: ids[r.IntN(len(ids))], Flags: openflow.MeterFlags(1 + r.IntN(2) + 4*r.IntN(4))}
		s := &openflow.MeterStatistics{Meter: c.Meter, FlowCount: uint32(r.IntN(9)), PacketCount: r.Uint64() >> 8, ByteCount: r.Uint64() >> 9,
			DurationSec: uint32(r.IntN(99)), DurationNsec: uint32(r.IntN(2)) * 77_000_000}
		for range r.IntN(4) {
			k := openflow.Band{Type: openflow.BandDrop, Rate: r.Uint32(), Burst: uint32(r.IntN(3))}
			if r.IntN(2) == 0 {
				k.Type, k.PrecLevel = openflow.BandDSCPRemark, uint8(1+r.IntN(3))
			}
			c.Bands = append(c.Bands, k)
			s.Bands = append(s.Bands, openflow.BandStats{PacketCount: uint64(r.IntN(5)), ByteCount: r.Uint64() >> 1})
		}
		configs, stats = append(configs, c), append(stats, s)
		wantConfigs = append(wantConfigs, string(AppendMeter(nil, c)))
		wantStats = append(wantStats, string(AppendMeterStats(nil, s)))
	}
	same(t, strings.Join(wantConfigs, "\n"), ofpPrint(t, reply(openflow.MultipartMeterConfig, configs...)))
	same(t, strings.Join(wantStats, "\n"), ofpPrint(t, reply(openflow.MultipartMeter, stats...)))
	for _, f := range []openflow.MeterFeatures{
		{MaxMeters: 262144, BandTypes: 6, Capabilities: 15, MaxBands: 8},
		{MaxMeters: 3, BandTypes: 2, Capabilities: 1, MaxBands: 2, MaxColor: 9}, {},
	} {
		same(t, string(AppendMeterFeatures(nil, &f)), ofpPrint(t, reply(openflow.MultipartMeterFeatures, &f)))
	}
}
