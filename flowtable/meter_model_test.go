package flowtable

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// modelMeter is the model's meter: buckets that are filled and emptied, in whole numbers of a unit so
// small that nothing is ever rounded: a millionth of a bit, or a thousand-millionth of a packet.
type modelMeter struct {
	*openflow.MeterMod
	created        time.Duration
	packets, bytes uint64
	bands          []*modelBand // highest rate first
}

type modelBand struct {
	openflow.Band
	place          int
	level, size    int64
	filled         time.Duration
	packets, bytes uint64
}

// meterMod gives the FLOW_REMOVED texts, and the code of the error or noError.
func (m *model) meterMod(mm *openflow.MeterMod) (removed []string, code uint16) {
	old := m.meters[mm.Meter]
	switch {
	case mm.Command == openflow.MeterDelete:
		for id := range m.meters {
			if id == mm.Meter || mm.Meter == openflow.MeterAll {
				delete(m.meters, id)
			}
		}
		for _, f := range slices.Clone(m.flows) {
			if in, ok := f.Instructions.Get(openflow.InstructionMeter); ok && m.meters[in.Meter] == nil {
				removed = append(removed, m.remove(f, openflow.RemovedDelete)...)
			}
		}
		return removed, noError
	case mm.Meter == 0 || mm.Meter > openflow.MeterMax && mm.Meter < openflow.MeterSlowpath || mm.Meter == openflow.MeterAll:
		return nil, openflow.MMFCInvalidMeter
	case mm.Command == openflow.MeterAdd && old != nil:
		return nil, openflow.MMFCMeterExists
	case mm.Command == openflow.MeterModify && old == nil:
		return nil, openflow.MMFCUnknownMeter
	}
	n := &modelMeter{MeterMod: mm, created: m.now}
	if old != nil {
		n.created, n.packets, n.bytes = old.created, old.packets, old.bytes
	}
	for i, b := range mm.Bands {
		k := &modelBand{Band: b, place: i, filled: m.now, size: int64(b.Rate) * 1e9}
		if mm.Flags&openflow.MeterBurst != 0 && b.Burst != 0 {
			k.size = int64(b.Burst) * 1e9
		}
		k.level = k.size
		n.bands = append(n.bands, k)
	}
	slices.SortStableFunc(n.bands, func(a, b *modelBand) int { return cmp.Compare(b.Rate, a.Rate) })
	m.meters[mm.Meter] = n
	return nil, noError
}

const noError = 0xffff

func isError(err error, t openflow.ErrorType, code uint16) bool {
	e, ok := err.(*openflow.Error)
	if code == noError {
		return err == nil
	}
	return ok && e.Type == t && e.Code == code
}

// pass meters a frame and remarks it; false: it is dropped.
func (m *modelMeter) pass(f *packet.Frame, now time.Duration) bool {
	m.packets++
	m.bytes += uint64(f.Len())
	volume := int64(f.Len()) * 8 * 1e6
	if m.Flags&openflow.MeterPktps != 0 {
		volume = 1e9
	}
	for _, b := range m.bands {
		b.level = min(b.size, b.level+int64(now-b.filled)*int64(b.Rate))
		b.filled = now
		if b.Rate > 0 && b.level >= min(volume, b.size) {
			b.level -= volume
			continue
		}
		b.packets++
		b.bytes += uint64(f.Len())
		if b.Type == openflow.BandDrop {
			return false
		}
		if _, eth := f.Key.Get(packet.EthType); f.Layout.L3 != 0 && (eth == 0x0800 || eth == 0x86dd) {
			_, dscp := f.Key.Get(packet.IPDSCP)
			if higher, ok := modelRemark[b.PrecLevel-1][dscp]; ok {
				f.SetField(packet.IPDSCP, 0, higher)
			}
		}
		return true
	}
	return true
}

// modelRemark is the table of RFC 2597 section 6: the next precedences of AFx1 and AFx2.
var modelRemark = [2]map[uint64]uint64{
	{10: 12, 12: 14, 18: 20, 20: 22, 26: 28, 28: 30, 34: 36, 36: 38},
	{10: 14, 12: 14, 18: 22, 20: 22, 26: 30, 28: 30, 34: 38, 36: 38},
}

func (m *model) meterTexts() (list []string) {
	for _, id := range slices.Sorted(maps.Keys(m.meters)) {
		k := m.meters[id]
		users := 0
		for _, f := range m.flows {
			if in, ok := f.Instructions.Get(openflow.InstructionMeter); ok && in.Meter == id {
				users++
			}
		}
		caught := make([]openflow.BandStats, len(k.bands))
		for _, b := range k.bands {
			caught[b.place] = openflow.BandStats{PacketCount: b.packets, ByteCount: b.bytes}
		}
		list = append(list, meterText(Meter{ID: id, Flags: k.Flags, Bands: k.Bands, Flows: users, Packets: k.packets, Bytes: k.bytes,
			Caught: caught, Duration: m.now - k.created}))
	}
	return list
}

func meterTexts(list []Meter) (s []string) {
	for _, m := range list {
		s = append(s, meterText(m))
	}
	return s
}

func meterText(m Meter) string {
	return fmt.Sprintf("meter %d %s %+v flows=%d packets=%d bytes=%d caught=%+v duration=%v", m.ID, m.Flags, m.Bands, m.Flows, m.Packets, m.Bytes, m.Caught, m.Duration)
}

// randomMeterMod draws meters so slow that some frames of a random run exceed them.
func randomMeterMod(r *rand.Rand) *openflow.MeterMod {
	ids := []uint32{1, 1, 2, 2, 3, 3, openflow.MeterController, openflow.MeterSlowpath, 0, openflow.MeterMax + 1}
	mm := &openflow.MeterMod{Meter: ids[r.IntN(len(ids))], Flags: openflow.MeterKbps, Command: openflow.MeterCommand(r.IntN(2))}
	rate := 40
	if r.IntN(2) == 0 {
		mm.Flags, rate = openflow.MeterPktps, 60
	}
	if r.IntN(2) == 0 {
		mm.Flags |= openflow.MeterBurst
	}
	for range r.IntN(4) {
		b := openflow.Band{Type: openflow.BandDrop, Rate: uint32(r.IntN(rate)), Burst: uint32(r.IntN(20))}
		if r.IntN(2) == 0 {
			b.Type, b.PrecLevel = openflow.BandDSCPRemark, uint8(1+r.IntN(2))
		}
		mm.Bands = append(mm.Bands, b)
	}
	switch r.IntN(10) {
	case 0:
		mm.Command = openflow.MeterDelete
	case 1:
		if r.IntN(4) == 0 {
			mm.Command, mm.Meter = openflow.MeterDelete, openflow.MeterAll
		}
	}
	return mm
}
