package oracle

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// meterMod is a METER_MOD.
type meterMod struct{ *openflow.MeterMod }

func (m meterMod) play(g target) error {
	if err := request(g, openflow.Append(nil, 0, m.MeterMod)); err != nil {
		return err
	}
	if err := g.calm(); err != nil || m.Command != openflow.MeterDelete {
		return err
	}
	return g.settle()
}

func (m meterMod) smaller() (list []step) {
	for i := range m.Bands {
		n := *m.MeterMod
		n.Bands = slices.Delete(slices.Clone(m.Bands), i, i+1)
		list = append(list, meterMod{&n})
	}
	return list
}

// meterLines is what the switch tells of its meters.
func meterLines(g target) (lines []string, err error) {
	request := &openflow.MeterRequest{Meter: openflow.MeterAll}
	configs, err := oftest.Records[*openflow.MeterConfig](g.controller(), openflow.MultipartMeterConfig, request)
	if err != nil {
		return nil, err
	}
	for _, c := range configs {
		lines = append(lines, fmt.Sprintf("meter-config %s", c))
	}
	stats, err := oftest.Records[*openflow.MeterStatistics](g.controller(), openflow.MultipartMeter, request)
	if err != nil {
		return nil, err
	}
	for _, s := range stats {
		lines = append(lines, fmt.Sprintf("meter %d flows=%d in_packets=%d in_bytes=%d bands=%v", s.Meter, s.FlowCount, s.PacketCount, s.ByteCount, s.Bands))
	}
	slices.Sort(lines)
	return lines, nil
}

// meterLife is a pipeline with meters of drop bands, and time that passes between frames.
func (g *gen) meterLife() *life {
	g.meters, g.normal = uint32(1+g.IntN(3)), false // see deviation meter-learning
	l := &life{}
	for id := uint32(1); id <= g.meters; id++ {
		l.steps = append(l.steps, g.meterMod(openflow.MeterAdd, id))
	}
	rest := g.forwarding()
	for _, f := range g.flows { // the pauses would end on the moment
		f.idle, f.hard = 0, 0
	}
	for at := len(rest.steps); at > 4; at-- {
		var s step
		switch g.IntN(10) {
		case 0:
			s = g.meterMod(pick(g, []openflow.MeterCommand{openflow.MeterAdd, openflow.MeterModify}), 1+g.Uint32N(g.meters))
		case 1:
			s = meterMod{&openflow.MeterMod{Command: openflow.MeterDelete, Meter: pick(g, []uint32{1, 2, 9, openflow.MeterAll})}}
		case 2:
			s = g.spoilMeter(g.meterMod(openflow.MeterAdd, g.meters+1))
		case 3, 4:
			s = pause{time.Duration(1+g.IntN(3)) * time.Second}
		default:
			continue
		}
		rest.steps = slices.Insert(rest.steps, at, s)
	}
	l.steps = append(l.steps, rest.steps...)
	return l
}

// meterMod makes a meter whose rates divide a second into whole milliseconds, to which Open vSwitch rounds.
func (g *gen) meterMod(c openflow.MeterCommand, id uint32) meterMod {
	m := &openflow.MeterMod{Command: c, Meter: id, Flags: openflow.MeterPktps | openflow.MeterBurst}
	for range 1 + g.IntN(2) {
		m.Bands = append(m.Bands, openflow.Band{Type: openflow.BandDrop, Rate: pick(g, []uint32{1, 2, 4, 5}), Burst: uint32(1 + g.IntN(5))})
	}
	if g.one(4) {
		m.Flags |= openflow.MeterStats
	}
	return meterMod{m}
}

// spoilMeter makes one mistake, or something odd.
func (g *gen) spoilMeter(m meterMod) meterMod {
	switch g.IntN(7) {
	case 0:
		m.Command = openflow.MeterCommand(3 + g.IntN(100))
	case 1:
		m.Meter = pick(g, []uint32{0, openflow.MeterMax + 1, openflow.MeterAll})
	case 2:
		m.Command, m.Meter = openflow.MeterAdd, 1
	case 3:
		m.Command = openflow.MeterModify
	case 4:
		m.Flags = pick(g, []openflow.MeterFlags{3, 16, 0x8000})
	case 5:
		m.Bands[0].Type = pick(g, []openflow.BandType{0, 3, 9, openflow.BandExperimenter})
	default:
		m.Flags &^= openflow.MeterBurst
	}
	return m
}
