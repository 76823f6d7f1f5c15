// Slow path: meters: METER_MOD, and what the switch says of its meters.

package agent

import (
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// handleMeterMod edits the draft, as handleFlowMod does. A deleted meter takes its entries along.
func (c *Channel) handleMeterMod(m *openflow.MeterMod) error {
	removed, err := c.sw.pipe.MeterMod(c.sw.clock.Now(), m)
	if len(removed) > 0 {
		c.removed(removed)
	}
	return err
}

// answerMeters adds the statistics of one meter or of all, or their configurations.
func (s *Switch) answerMeters(r *openflow.MeterRequest, configs bool, w *openflow.ReplyWriter) error {
	list, err := s.pipe.Meters(s.clock.Now(), r.Meter)
	if err != nil {
		return err
	}
	for i := range list {
		var rec openflow.Record = meterStats(&list[i])
		if configs {
			rec = meterConfig(&list[i])
		}
		if err := w.Add(rec); err != nil {
			return err
		}
	}
	return nil
}

func meterConfig(m *flowtable.Meter) *openflow.MeterConfig {
	return &openflow.MeterConfig{Flags: m.Flags, Meter: m.ID, Bands: m.Bands}
}

func meterStats(m *flowtable.Meter) *openflow.MeterStatistics {
	return &openflow.MeterStatistics{
		Meter: m.ID, FlowCount: uint32(m.Flows), PacketCount: m.Packets, ByteCount: m.Bytes,
		DurationSec: uint32(m.Duration / time.Second), DurationNsec: wholeMillis(m.Duration), Bands: m.Caught,
	}
}

func (s *Switch) answerMeterFeatures(w *openflow.ReplyWriter) error {
	f := s.pipe.MeterFeatures()
	return w.Add(&f)
}

// MeterStatus is one meter.
type MeterStatus struct {
	ID       uint32        `json:"meter"`
	Flows    int           `json:"flow_count"`
	Packets  uint64        `json:"packets"` // that came; a super-frame counts as what it stands for
	Bytes    uint64        `json:"bytes"`
	Duration time.Duration `json:"duration_ns"`
	Unit     string        `json:"unit"` // of the bands' rates: kbps or pktps
	Bands    []BandStatus  `json:"bands"`
	Config   string        `json:"-"` // the lines of dump-meters
	Stats    string        `json:"-"` // the lines of meter-stats
}

// BandStatus is one band of a meter with what it caught.
type BandStatus struct {
	Type      string `json:"type"` // drop or dscp_remark
	Rate      uint32 `json:"rate"`
	Burst     uint32 `json:"burst,omitempty"` // kbit or packets; none: one second of the rate
	PrecLevel uint8  `json:"prec_level,omitempty"`
	Packets   uint64 `json:"packets"`
	Bytes     uint64 `json:"bytes"`
}

// Meters lists the meters by number.
func (s *Switch) Meters() []MeterStatus {
	meters, _ := s.pipe.Meters(s.clock.Now(), openflow.MeterAll) // only one by number may be unknown
	list := []MeterStatus{}
	for i := range meters {
		m := &meters[i]
		st := MeterStatus{
			Unit: "kbps", Bands: []BandStatus{}, ID: m.ID, Flows: m.Flows, Packets: m.Packets, Bytes: m.Bytes, Duration: m.Duration,
			Config: string(ofctl.AppendMeter(nil, meterConfig(m))), Stats: string(ofctl.AppendMeterStats(nil, meterStats(m))),
		}
		if m.Flags&openflow.MeterPktps != 0 {
			st.Unit = "pktps"
		}
		for i, b := range m.Bands {
			st.Bands = append(st.Bands, BandStatus{
				Type: b.Type.String(), Rate: b.Rate, Burst: b.Burst, PrecLevel: b.PrecLevel,
				Packets: m.Caught[i].PacketCount, Bytes: m.Caught[i].ByteCount,
			})
		}
		list = append(list, st)
	}
	return list
}
