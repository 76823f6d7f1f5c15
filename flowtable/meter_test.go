package flowtable

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

func meterInstruction(id uint32) openflow.Instruction {
	return openflow.Instruction{Type: openflow.InstructionMeter, Meter: id}
}

// meter adds a meter and publishes.
func (r *rig) meter(id uint32, flags openflow.MeterFlags, bands ...openflow.Band) {
	r.t.Helper()
	r.meterMod(&openflow.MeterMod{Meter: id, Flags: flags, Bands: bands})
}

func (r *rig) meterMod(m *openflow.MeterMod) []Removed {
	r.t.Helper()
	gone, err := r.MeterMod(r.now, m)
	if err != nil {
		r.t.Fatalf("%v: %v", m, err)
	}
	r.Publish()
	return gone
}

func (r *rig) oneMeter(id uint32) Meter {
	r.t.Helper()
	list, err := r.Meters(r.now, id)
	if err != nil || len(list) != 1 {
		r.t.Fatalf("meter %d: %v %v", id, list, err)
	}
	return list[0]
}

func drop(rate uint32) openflow.Band { return openflow.Band{Type: openflow.BandDrop, Rate: rate} }

func remarkBand(rate uint32, by uint8) openflow.Band {
	return openflow.Band{Type: openflow.BandDSCPRemark, Rate: rate, PrecLevel: by}
}

// TestMeterRates offers two to ten times a meter's rate, in batches as a worker sees them, and wants
// the rate within 2 % after the first burst has been used up.
func TestMeterRates(t *testing.T) {
	for _, c := range []struct {
		flags openflow.MeterFlags
		rate  uint32
		size  int     // of a frame
		times float64 // the rate is offered
	}{
		{openflow.MeterKbps, 100, 60, 2}, {openflow.MeterKbps, 100, 1514, 10}, {openflow.MeterKbps, 1000, 777, 3},
		{openflow.MeterKbps, 10_000, 1514, 2}, {openflow.MeterKbps, 100_000, 1514, 1.5}, {openflow.MeterKbps, 1_000_000, 1514, 2},
		{openflow.MeterPktps, 100, 60, 3}, {openflow.MeterPktps, 1000, 1514, 2}, {openflow.MeterPktps, 33_333, 60, 2}, {openflow.MeterPktps, 100_000, 60, 2},
	} {
		t.Run(fmt.Sprintf("%s %d, frames of %d", c.flags, c.rate, c.size), func(t *testing.T) {
			r := newRig(t, Config{}, upPorts(2))
			r.meter(1, c.flags|openflow.MeterBurst, openflow.Band{Type: openflow.BandDrop, Rate: c.rate, Burst: c.rate / 5})
			r.flow(0, 5, inPort(1), meterInstruction(1), toPort(2))
			perFrame := 1.0
			if c.flags&openflow.MeterKbps != 0 {
				perFrame = float64(c.size) * 8 / 1000
			}
			gap := time.Duration(float64(time.Second) / (float64(c.rate) / perFrame * c.times))
			n := 1
			if gap < 100*time.Microsecond {
				n = 32
			}
			b := newBatch(n, func(int) (uint32, []byte) { return 1, make([]byte, c.size) })
			sink := &nowhere{}
			run := func(d time.Duration) int {
				before := sink.outputs
				for end := r.now + d; r.now < end; r.now += gap * time.Duration(n) {
					r.proc.Process(r.now, b.refill(), sink)
				}
				return sink.outputs - before
			}
			run(time.Duration(float64(time.Second) * 0.3 / (c.times - 1))) // the burst goes
			measured := 1.0
			if c.rate <= 1000 {
				measured = 10
			}
			got := float64(run(time.Duration(measured*float64(time.Second)))) * perFrame / measured
			if off := got/float64(c.rate) - 1; math.Abs(off) > 0.02 {
				t.Errorf("%.1f passed in a second, %.2f %% off", got, 100*off)
			} else {
				t.Logf("%.1f passed, %+.3f %%", got, 100*off)
			}
			m := r.oneMeter(1)
			if m.Packets-m.Caught[0].PacketCount != uint64(sink.outputs) || m.Bytes-m.Caught[0].ByteCount != uint64(sink.outputs*c.size) {
				t.Errorf("%d came out, but the meter says %+v", sink.outputs, m)
			}
			if d := r.Drops()[DropMeter]; d != m.Caught[0].PacketCount {
				t.Errorf("%d drops counted, %d in the band", d, m.Caught[0].PacketCount)
			}
		})
	}
}

// TestMeterBurst: what passes at once is the burst, or the rate of one second; then nothing until
// time goes by, and after a long silence the same again.
func TestMeterBurst(t *testing.T) {
	for _, c := range []struct {
		flags       openflow.MeterFlags
		rate, burst uint32
		size, want  int
	}{
		{openflow.MeterPktps, 10, 0, 60, 10},
		{openflow.MeterPktps | openflow.MeterBurst, 10, 3, 60, 3},
		{openflow.MeterPktps | openflow.MeterBurst, 10, 0, 60, 10}, // no burst given, as in Open vSwitch
		{openflow.MeterPktps, 10, 3, 60, 10},                       // given, but not by the flag
		{openflow.MeterKbps, 8, 0, 100, 10},
		{openflow.MeterKbps | openflow.MeterBurst, 8, 4, 100, 5},
		{openflow.MeterKbps | openflow.MeterBurst, 8, 1, 1000, 1}, // larger than the bucket: one of them, then debt
		{openflow.MeterPktps, 0, 0, 60, 0},
		{openflow.MeterPktps | openflow.MeterBurst, 1, math.MaxUint32, 60, 200},
		{openflow.MeterKbps, math.MaxUint32, 0, 60, 200},
	} {
		r := newRig(t, Config{}, upPorts(2))
		r.now = time.Hour
		r.meter(1, c.flags, openflow.Band{Type: openflow.BandDrop, Rate: c.rate, Burst: c.burst})
		r.flow(0, 5, inPort(1), meterInstruction(1), toPort(2))
		for _, silence := range []time.Duration{0, 90 * time.Minute, 400 * 24 * time.Hour, 800 * 24 * time.Hour, 3000 * 24 * time.Hour} {
			r.now += silence
			passed := 0
			for range 200 {
				passed += len(r.send(1, make([]byte, c.size)))
			}
			if c.burst == math.MaxUint32 && silence > 0 { // a bucket of a hundred days is still full enough
				c.want = 200
			}
			if passed != c.want {
				t.Errorf("%+v after %v: %d passed", c, silence, passed)
			}
		}
	}
}

// TestMeterDebt: frames larger than the bucket keep the rate.
func TestMeterDebt(t *testing.T) {
	r := newRig(t, Config{}, upPorts(2))
	r.meter(1, openflow.MeterKbps|openflow.MeterBurst, openflow.Band{Type: openflow.BandDrop, Rate: 100, Burst: 10})
	r.flow(0, 5, inPort(1), meterInstruction(1), toPort(2))
	passed := 0
	for ; r.now < 100*time.Second; r.now += 20 * time.Millisecond {
		passed += len(r.send(1, make([]byte, 12_500))) // 100 kbit: one a second
	}
	if passed < 99 || passed > 102 {
		t.Errorf("%d frames of 100 kbit in 100 s at 100 kbit/s", passed)
	}
}

// TestMeterBands: three bands; of those exceeded the highest acts, and what it catches takes nothing
// from the lower ones.
func TestMeterBands(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(2))
		r.meter(1, openflow.MeterPktps, remarkBand(100, 1), drop(400), remarkBand(200, 2))
		r.flow(0, 5, ipMatch(), meterInstruction(1), toPort(2))
		af11 := udpFrame(ethernet{dst: "2", src: "1"}, 1, 1, 2)
		seen := map[byte]int{}
		const seconds = 20
		for ; r.now < (seconds+1)*time.Second; r.now += time.Second / 800 {
			for _, e := range r.send(1, af11) {
				if r.now >= time.Second { // the buckets hold a second
					var b []byte
					fmt.Sscanf(e, "out 2/0 %x", &b)
					seen[b[15]>>2]++
				}
			}
		}
		for dscp, perSecond := range map[byte]int{10: 100, 12: 100, 14: 200} {
			if got := float64(seen[dscp]) / seconds; math.Abs(got/float64(perSecond)-1) > 0.02 {
				t.Errorf("DSCP %d: %v a second, expected %d", dscp, got, perSecond)
			}
		}
		m := r.oneMeter(1)
		if sum := m.Caught[0].PacketCount + m.Caught[1].PacketCount + m.Caught[2].PacketCount; sum >= m.Packets || m.Caught[1].PacketCount < m.Caught[2].PacketCount {
			t.Errorf("%+v", m)
		}
	})
}

// TestRemarkedFrameMeetsLaterTablesAsItIs: a path remembered from a frame that was not remarked must
// not carry one that is, nor the other way round.
func TestRemarkedFrameMeetsLaterTablesAsItIs(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(5))
		r.meter(1, openflow.MeterPktps, remarkBand(1, 1))
		r.flow(0, 5, ipMatch(), meterInstruction(1), openflow.ApplyActions(openflow.Output(5)), openflow.GotoTable(1))
		r.flow(1, 5, ipMatch(openflow.Exact(openflow.IPDSCP, 10)), toPort(2))
		r.flow(1, 5, ipMatch(openflow.Exact(openflow.IPDSCP, 12)), toPort(3))
		f := udpFrame(ethernet{dst: "2", src: "1"}, 1, 1, 2)
		for range 3 {
			for i, want := range []uint32{2, 3, 3, 3} {
				if got := r.outPorts(1, f); !slices.Equal(got, []uint32{5, want}) {
					t.Fatalf("frame %d went to %v, expected 5 and %d", i, got, want)
				}
			}
			r.now += 2 * time.Second
		}
		// A change of the meter alone counts from the next batch on.
		r.meterMod(&openflow.MeterMod{Command: openflow.MeterModify, Meter: 1, Flags: openflow.MeterPktps, Bands: []openflow.Band{drop(1)}})
		if a, b := r.outPorts(1, f), r.outPorts(1, f); !slices.Equal(a, []uint32{5, 2}) || len(b) != 0 {
			t.Errorf("after the change: %v, then %v", a, b)
		}
		if m := r.oneMeter(1); m.Packets != 14 || m.Caught[0].PacketCount != 1 || m.Flows != 1 {
			t.Errorf("counters after the change: %+v", m)
		}
	})
}

// TestRemarkChecksum: gopacket recomputes IPv4's checksum and reads the traffic class of IPv6.
func TestRemarkChecksum(t *testing.T) {
	for _, c := range []struct{ from, by, want uint8 }{
		{10, 1, 12}, {10, 2, 14}, {10, 9, 14}, {12, 1, 14}, {14, 1, 14}, {34, 1, 36}, {38, 1, 38}, {26, 2, 30},
		{0, 1, 0}, {8, 1, 8}, {46, 1, 46}, {48, 2, 48}, {11, 1, 11}, {42, 1, 42}, {63, 1, 63}, {2, 1, 2},
	} {
		r := newRig(t, Config{}, upPorts(2))
		r.meter(1, openflow.MeterPktps, remarkBand(0, c.by))
		r.flow(0, 5, inPort(1), meterInstruction(1), toPort(2))
		ip := ip4(1, 2, 64, layers.IPProtocolUDP)
		ip.TOS = c.from<<2 | 1
		e := ethernet{dst: "2", src: "1", vlans: []uint16{5}}
		ip.TOS = c.want<<2 | 1
		want4 := build(e, layers.EthernetTypeIPv4, ip, gopacket.Payload("x"))
		ip.TOS = c.from<<2 | 1
		if got := r.send(1, build(e, layers.EthernetTypeIPv4, ip, gopacket.Payload("x"))); !slices.Equal(got, []string{outputEvent(2, 0, want4)}) {
			t.Errorf("IPv4 %+v: %v", c, got)
		}
		ip6 := &layers.IPv6{Version: 6, HopLimit: 9, NextHeader: 59, SrcIP: make([]byte, 16), DstIP: make([]byte, 16), TrafficClass: c.want<<2 | 2}
		want6 := build(e, layers.EthernetTypeIPv6, ip6)
		ip6.TrafficClass = c.from<<2 | 2
		if got := r.send(1, build(e, layers.EthernetTypeIPv6, ip6)); !slices.Equal(got, []string{outputEvent(2, 0, want6)}) {
			t.Errorf("IPv6 %+v: %v", c, got)
		}
		arp := arpFrame(e, 1, 1, 2)
		if got := r.send(1, arp); !slices.Equal(got, []string{outputEvent(2, 0, arp)}) {
			t.Errorf("ARP %+v: %v", c, got)
		}
		if m := r.oneMeter(1); m.Caught[0].PacketCount != 3 {
			t.Errorf("%+v", m)
		}
	}
}

// TestControllerMeter: it limits every packet-in, whatever made it, and nothing else.
func TestControllerMeter(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(2))
		r.flow(0, 0, openflow.Match{}, openflow.ApplyActions(openflow.Output(2), openflow.Output(openflow.PortController)))
		r.meter(openflow.MeterController, openflow.MeterPktps, drop(2))
		r.meter(openflow.MeterSlowpath, openflow.MeterPktps, drop(0))
		for i := range 5 {
			want := 1
			if i < 2 {
				want = 2
			}
			if got := r.send(1, anyFrame); len(got) != want {
				t.Errorf("frame %d: %v", i, got)
			}
		}
		prog, err := r.CompileActions(openflow.NewActions(openflow.Output(openflow.PortController)))
		if err != nil {
			t.Fatal(err)
		}
		r.proc.PacketOut(r.now, frameOf(1, anyFrame), prog, &r.rec)
		if got := r.rec.take(t); len(got) != 0 || r.Drops()[DropPacketInMeter] != 4 {
			t.Errorf("%v, drops %d", got, r.Drops()[DropPacketInMeter])
		}
		if m := r.oneMeter(openflow.MeterController); m.Packets != 6 || m.Caught[0].PacketCount != 4 || m.Flows != 0 {
			t.Errorf("%+v", m)
		}
		if m := r.oneMeter(openflow.MeterSlowpath); m.Packets != 0 {
			t.Errorf("slowpath: %+v", m)
		}
		// A remarking one changes what the controller sees and not what goes on.
		r.meterMod(&openflow.MeterMod{Command: openflow.MeterModify, Meter: openflow.MeterController, Bands: []openflow.Band{remarkBand(0, 1)}})
		r.flow(0, 0, openflow.Match{}, openflow.ApplyActions(openflow.Output(openflow.PortController), openflow.Output(2)))
		f := udpFrame(ethernet{dst: "2", src: "1"}, 1, 1, 2)
		got := r.send(1, f)
		if len(got) != 2 || got[1] != outputEvent(2, 0, f) || got[0] == packetInEvent(openflow.ReasonNoMatch, 0, 0, 0, 0, f) {
			t.Errorf("%v", got)
		}
		r.meterMod(&openflow.MeterMod{Command: openflow.MeterDelete, Meter: openflow.MeterController})
		if got := r.send(1, f); len(got) != 2 {
			t.Errorf("after the delete: %v", got)
		}
	})
}

func TestMeterErrors(t *testing.T) {
	r := newRig(t, Config{}, upPorts(2))
	r.meter(1, openflow.MeterKbps, drop(5))
	nine := make([]openflow.Band, 9)
	for i := range nine {
		nine[i] = drop(1)
	}
	for _, c := range []struct {
		m    openflow.MeterMod
		code uint16
	}{
		{openflow.MeterMod{Meter: 1}, openflow.MMFCMeterExists},
		{openflow.MeterMod{Meter: 0}, openflow.MMFCInvalidMeter},
		{openflow.MeterMod{Meter: openflow.MeterMax + 1}, openflow.MMFCInvalidMeter},
		{openflow.MeterMod{Meter: openflow.MeterAll}, openflow.MMFCInvalidMeter},
		{openflow.MeterMod{Command: openflow.MeterModify, Meter: openflow.MeterAll}, openflow.MMFCInvalidMeter},
		{openflow.MeterMod{Command: openflow.MeterModify, Meter: 2}, openflow.MMFCUnknownMeter},
		{openflow.MeterMod{Command: 3, Meter: 2}, openflow.MMFCBadCommand},
		{openflow.MeterMod{Meter: 2, Flags: openflow.MeterKbps | openflow.MeterPktps}, openflow.MMFCBadFlags},
		{openflow.MeterMod{Meter: 2, Flags: 16}, openflow.MMFCBadFlags},
		{openflow.MeterMod{Meter: 2, Bands: nine}, openflow.MMFCOutOfBands},
		{openflow.MeterMod{Meter: 2, Bands: []openflow.Band{{Type: 7}}}, openflow.MMFCBadBand},
		{openflow.MeterMod{Meter: 2, Bands: []openflow.Band{remarkBand(1, 0)}}, openflow.MMFCBadBandValue},
		{openflow.MeterMod{Meter: openflow.MeterMax}, noError},
		{openflow.MeterMod{Meter: 3, Bands: nine[:8]}, noError},
		{openflow.MeterMod{Command: openflow.MeterDelete, Meter: 77}, noError},
	} {
		if _, err := r.MeterMod(0, &c.m); !isError(err, openflow.ErrMeterModFailed, c.code) {
			t.Errorf("%v: %v, expected code %d", &c.m, err, c.code)
		}
	}
	if _, err := r.Meters(0, 9); !isError(err, openflow.ErrMeterModFailed, openflow.MMFCUnknownMeter) {
		t.Errorf("statistics of an unknown meter: %v", err)
	}
	r.meter(openflow.MeterController, openflow.MeterKbps)
	for _, id := range []uint32{0, 9, openflow.MeterController, openflow.MeterAll} {
		fm := &openflow.FlowMod{Match: inPort(1), Instructions: openflow.NewInstructions(meterInstruction(id))}
		if _, err := r.FlowMod(0, fm); !isError(err, openflow.ErrMeterModFailed, openflow.MMFCInvalidMeter) || r.Len() != 0 {
			t.Errorf("an entry with meter %d: %v", id, err)
		}
	}
}

func TestMeterLimit(t *testing.T) {
	const maxMeters = 1000
	p := New(Config{MaxMeters: maxMeters})
	if f := p.MeterFeatures(); f.MaxMeters != maxMeters {
		t.Errorf("%v", &f)
	}
	for id := uint32(1); id <= maxMeters; id++ {
		if _, err := p.MeterMod(0, &openflow.MeterMod{Meter: id}); err != nil {
			t.Fatal(err)
		}
	}
	add := &openflow.MeterMod{Meter: maxMeters + 1}
	if _, err := p.MeterMod(0, add); !isError(err, openflow.ErrMeterModFailed, openflow.MMFCOutOfMeters) {
		t.Errorf("one too many: %v", err)
	}
	p.Publish()
	if _, err := p.MeterMod(0, &openflow.MeterMod{Command: openflow.MeterDelete, Meter: openflow.MeterAll}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.MeterMod(0, add); err != nil || len(p.meters.byID) != 1 {
		t.Errorf("after deleting all: %v", err)
	}
}

// TestMeterReadBack: what was sent is what is told, in the order of its bands and with its flags.
func TestMeterReadBack(t *testing.T) {
	r := newRig(t, Config{}, upPorts(2))
	sent := []openflow.Band{drop(1), {Type: openflow.BandDSCPRemark, Rate: 9, Burst: 7, PrecLevel: 2}, {Type: openflow.BandDrop, Rate: 5, Burst: 3}}
	r.now = time.Second
	mm := &openflow.MeterMod{Meter: 7, Flags: openflow.MeterStats, Bands: slices.Clone(sent)}
	r.meterMod(mm)
	clear(mm.Bands) // the message's memory is not kept
	r.meter(3, openflow.MeterPktps|openflow.MeterBurst)
	r.now = 5 * time.Second
	list, err := r.Meters(r.now, openflow.MeterAll)
	if err != nil || len(list) != 2 || list[0].ID != 3 || list[0].Flags != openflow.MeterPktps|openflow.MeterBurst {
		t.Fatalf("%+v %v", list, err)
	}
	if m := list[1]; m.ID != 7 || m.Flags != openflow.MeterStats || !slices.Equal(m.Bands, sent) || m.Duration != 4*time.Second || len(m.Caught) != 3 {
		t.Errorf("%+v", m)
	}
}

// TestDeletedMeterTakesItsEntriesAlong: all their tables, only those with FLOW_REMOVED told, and a new
// meter under the old number starts without entries.
func TestDeletedMeterTakesItsEntriesAlong(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(2))
		r.meter(1, openflow.MeterPktps, drop(0))
		r.meter(2, openflow.MeterPktps, drop(100))
		add := func(table uint8, port uint64, meter uint32) {
			r.mod(&openflow.FlowMod{TableID: table, Priority: 5, Match: inPort(port), Flags: openflow.FlowSendRemoved,
				Instructions: openflow.NewInstructions(meterInstruction(meter), toPort(2))})
		}
		add(0, 1, 1)
		add(3, 2, 1)
		add(4, 3, 2)
		r.flow(0, 4, inPort(9), meterInstruction(1))
		r.flow(0, 1, openflow.Match{}, toPort(2))
		if got := r.outPorts(1, anyFrame); len(got) != 0 {
			t.Errorf("the meter let %v pass", got)
		}
		add(4, 3, 1) // replaced: it changes its meter
		if a, b := r.oneMeter(1), r.oneMeter(2); a.Flows != 4 || b.Flows != 0 {
			t.Errorf("flow counts %d and %d, expected 4 and 0", a.Flows, b.Flows)
		}
		r.mod(&openflow.FlowMod{Command: openflow.FlowModify, TableID: 4, Match: inPort(3), Instructions: openflow.NewInstructions(meterInstruction(2))})
		if a, b := r.oneMeter(1), r.oneMeter(2); a.Flows != 3 || b.Flows != 1 {
			t.Errorf("flow counts %d and %d after a modify, expected 3 and 1", a.Flows, b.Flows)
		}
		gone := r.meterMod(&openflow.MeterMod{Command: openflow.MeterDelete, Meter: 1})
		if len(gone) != 2 || gone[0].Table != 0 || gone[1].Table != 3 || gone[0].Reason != openflow.RemovedDelete || gone[0].Last.Packets != 1 {
			t.Errorf("removed %+v", gone)
		}
		if r.Len() != 2 {
			t.Errorf("%d entries are left, expected 2", r.Len())
		}
		if got := r.outPorts(1, anyFrame); !slices.Equal(got, []uint32{2}) {
			t.Errorf("behind the deleted entry: %v", got)
		}
		again := &openflow.FlowMod{Match: inPort(1), Instructions: openflow.NewInstructions(meterInstruction(1), toPort(2))}
		if _, err := r.FlowMod(r.now, again); !isError(err, openflow.ErrMeterModFailed, openflow.MMFCInvalidMeter) {
			t.Errorf("the same instructions as before the delete: %v", err)
		}
		r.meter(1, openflow.MeterPktps, drop(50))
		if m := r.oneMeter(1); m.Flows != 0 || m.Packets != 0 {
			t.Errorf("the new meter: %+v", m)
		}
		add(0, 1, 1)
		if got := r.outPorts(1, anyFrame); !slices.Equal(got, []uint32{2}) {
			t.Errorf("by the new meter: %v", got)
		}
	})
}

// TestMeterOnSuperFrames: what a wire would carry is what is measured.
func TestMeterOnSuperFrames(t *testing.T) {
	e := ethernet{dst: "2", src: "1", vlans: []uint16{7}}
	tcp := tcpFrame(e, 64, 1, 2)
	head := len(tcp) - len("some data")
	super := func(payload int, o packet.Offload) *packet.Frame {
		f := frameOf(1, append(slices.Clone(tcp[:head]), make([]byte, payload)...))
		f.Offload = o
		f.Parse()
		return f
	}
	for _, c := range []struct {
		payload        int
		o              packet.Offload
		packets, bytes int
	}{
		{1000, packet.Offload{}, 1, head + 1000},
		{1000, packet.Offload{GSO: packet.GSOTCPv4, GSOSize: 1000}, 1, head + 1000},
		{1001, packet.Offload{GSO: packet.GSOTCPv4, GSOSize: 1000}, 2, 2*head + 1001},
		{60000, packet.Offload{GSO: packet.GSOTCPv4, GSOSize: 1448}, 42, 42*head + 60000},
		{60000, packet.Offload{GSO: packet.GSOTCPv4}, 1, head + 60000}, // nonsense is one frame
		{0, packet.Offload{GSO: packet.GSOTCPv4, GSOSize: 1448}, 1, head},
	} {
		packets, bytes := super(c.payload, c.o).OnWire()
		if packets != uint64(c.packets) || bytes != uint64(c.bytes) {
			t.Errorf("%d bytes, %+v: %d packets of %d bytes, expected %d of %d", c.payload, c.o, packets, bytes, c.packets, c.bytes)
		}
	}
	r := newRig(t, Config{}, upPorts(2))
	r.meter(1, openflow.MeterPktps, drop(100))
	r.flow(0, 5, inPort(1), meterInstruction(1), toPort(2))
	for range 5 {
		r.proc.Process(r.now, []*packet.Frame{super(60000, packet.Offload{GSO: packet.GSOTCPv4, GSOSize: 1448})}, &r.rec)
	}
	if got := len(r.rec.take(t)); got != 2 { // 84 of 100; the third would make 126
		t.Errorf("%d super-frames of 42 packets passed a meter of 100 packets", got)
	}
	if m := r.oneMeter(1); m.Packets != 5*42 || m.Caught[0].PacketCount != 3*42 {
		t.Errorf("%+v", m)
	}
}

// TestMeterSharedByWorkers: four workers use one meter at once; together they pass its rate.
func TestMeterSharedByWorkers(t *testing.T) {
	p := New(Config{})
	p.SetPorts(upPorts(2))
	if _, err := p.MeterMod(0, &openflow.MeterMod{Meter: 1, Flags: openflow.MeterPktps, Bands: []openflow.Band{drop(10_000), remarkBand(5000, 1)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.FlowMod(0, &openflow.FlowMod{Match: inPort(1), Instructions: openflow.NewInstructions(meterInstruction(1), toPort(2))}); err != nil {
		t.Fatal(err)
	}
	p.Publish()
	var passed atomic.Int64
	var clock atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			proc, sink := p.NewProcessor(), &nowhere{}
			b := newBatch(16, func(int) (uint32, []byte) { return 1, anyFrame })
			for {
				now := time.Duration(clock.Add(int64(100 * time.Microsecond))) // 160 000 a second in all
				if now > 3*time.Second {
					break
				}
				proc.Process(now, b.refill(), sink)
			}
			passed.Add(int64(sink.outputs))
		})
	}
	wg.Wait()
	if got := passed.Load(); got < 39_200 || got > 40_800 { // one second's worth at once, then three
		t.Errorf("%d passed, expected 40000", got)
	}
	list, err := p.Meters(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	m := list[0]
	if m.Packets-m.Caught[0].PacketCount != uint64(passed.Load()) || m.Packets != 16*30_000 {
		t.Errorf("%+v", m)
	}
	if got := int64(m.Packets-m.Caught[0].PacketCount) - int64(m.Caught[1].PacketCount); got < 19_600 || got > 20_400 {
		t.Errorf("%d were not remarked, expected 20000", got)
	}
}

func BenchmarkMeter(b *testing.B) {
	for _, metered := range []bool{false, true} {
		b.Run(fmt.Sprintf("metered=%v", metered), func(b *testing.B) {
			r := newRig(b, Config{}, upPorts(2))
			r.meter(1, openflow.MeterKbps, drop(1<<31))
			list := []openflow.Instruction{toPort(2)}
			if metered {
				list = append([]openflow.Instruction{meterInstruction(1)}, list...)
			}
			r.flow(0, 5, inPort(1), list...)
			batch := newBatch(32, func(int) (uint32, []byte) { return 1, anyFrame })
			sink := &nowhere{}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.proc.Process(time.Duration(i)*10*time.Microsecond, batch.refill(), sink)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/frame")
		})
	}
}

// TestNoAllocationThroughMeters: dropping, passing, remarking a frame that is held, packet-ins.
func TestNoAllocationThroughMeters(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newRig(t, c, upPorts(3))
		r.meter(1, openflow.MeterPktps, remarkBand(0, 1))
		r.meter(2, openflow.MeterPktps, drop(5))
		r.meter(openflow.MeterController, openflow.MeterPktps, remarkBand(0, 1))
		r.flow(0, 5, inPort(1), openflow.ApplyActions(openflow.Output(2)), openflow.GotoTable(1))
		r.flow(1, 5, inPort(1), meterInstruction(1), openflow.ApplyActions(openflow.Output(3), openflow.Output(openflow.PortController)), openflow.GotoTable(2))
		r.flow(2, 5, ipMatch(openflow.Exact(openflow.IPDSCP, 12)), meterInstruction(2), toPort(2))
		b := newBatch(32, func(int) (uint32, []byte) { return 1, udpFrame(ethernet{dst: "2", src: "1"}, 1, 1, 80) })
		sink := &nowhere{}
		run := func() { r.proc.Process(r.now, b.refill(), sink) }
		run()
		if sink.outputs != 2*32+5 || sink.packetIns != 32 {
			t.Errorf("%d outputs, %d packet-ins", sink.outputs, sink.packetIns)
		}
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%v allocations a batch", n)
		}
	})
}
