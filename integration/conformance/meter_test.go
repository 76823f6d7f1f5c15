package conformance

import (
	"fmt"
	"testing"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// Meters: sections 5.7, 6.6, 7.3.4.4 and 7.3.5.12 to 7.3.5.14. Each error of METER_MOD has its row in
// agent/errors_group_test.go; rates over long times are measured in flowtable/meter_test.go.

const (
	pktps = openflow.MeterPktps
	kbps  = openflow.MeterKbps
	burst = openflow.MeterBurst
)

func drop(rate, size uint32) openflow.Band {
	return openflow.Band{Type: openflow.BandDrop, Rate: rate, Burst: size}
}

func remark(rate, size uint32, level uint8) openflow.Band {
	return openflow.Band{Type: openflow.BandDSCPRemark, Rate: rate, Burst: size, PrecLevel: level}
}

func meterStats(s *stage, id uint32) openflow.MeterStatistics {
	s.t.Helper()
	return *ask[*openflow.MeterStatistics](s, openflow.MultipartMeter, &openflow.MeterRequest{Meter: id})[0]
}

// kilo is a frame of 1000 bytes: 8 kbit.
var kilo = frame(eth{}, ip4{}, udp{}, raw(make([]byte, 1000-42)))

func TestMeters(t *testing.T) {
	use := with(flow(anyIP, useMeter(1), apply(out(2))), cookie(5))
	// passes wants so many of n frames to come through at once.
	passes := func(s *stage, f []byte, n, want int) {
		s.t.Helper()
		if got := s.repeat(n, 1, f, 2); got != want {
			s.t.Fatalf("%d of %d passed, want %d", got, n, want)
		}
	}
	perform(t, []play{
		{name: "packets a second, with a burst", section: "7.3.4.4", run: func(s *stage) {
			s.do(meter(1, pktps|burst, drop(10, 3)), use)
			passes(s, plain, 6, 3)
			s.pass(200 * ms)
			passes(s, plain, 6, 2)
			s.pass(time.Hour) // the burst is the most there ever is
			passes(s, plain, 6, 3)
		}},
		{name: "kilobits a second, with a burst", section: "7.3.4.4", run: func(s *stage) {
			s.do(meter(1, kbps|burst, drop(80, 32)), use)
			passes(s, kilo, 8, 4)
			s.pass(300 * ms)
			passes(s, kilo, 8, 3)
		}},
		{name: "neither flag means kilobits", section: "7.3.4.4", run: func(s *stage) {
			s.do(meter(1, burst, drop(80, 32)), use)
			passes(s, kilo, 8, 4)
		}},
		{name: "without a burst the bucket holds a second", section: "7.3.4.4", run: func(s *stage) {
			s.do(meter(1, pktps, drop(5, 0)), use)
			passes(s, plain, 9, 5)
			s.pass(time.Second)
			passes(s, plain, 9, 5)
		}},
		{name: "a burst without its flag is not used", section: "7.3.4.4", run: func(s *stage) {
			s.do(meter(1, pktps, drop(5, 2)), use)
			passes(s, plain, 9, 5)
		}},
		{name: "rate 0 lets nothing pass", section: "5.7.1", run: func(s *stage) {
			s.do(meter(1, pktps, drop(0, 0)), use)
			passes(s, plain, 2, 0)
		}},
		{name: "no band does nothing", section: "5.7.1", run: func(s *stage) {
			s.do(meter(1, pktps), use)
			passes(s, plain, 50, 50)
			s.same("packets", meterStats(s, 1).PacketCount, uint64(50))
		}},
		{name: "the band of the highest rate that is exceeded acts", section: "5.7.1", run: func(s *stage) {
			s.do(meter(1, pktps|burst, remark(1, 1, 1), drop(2, 2)), use)
			af11, af12 := frame(eth{}, ip4{dscp: 10}, udp{}), frame(eth{}, ip4{dscp: 12}, udp{})
			s.gives(1, af11, to(2, af11))
			s.gives(1, af11, to(2, af12))
			s.gives(1, af11, nil)
			st := meterStats(s, 1)
			n := uint64(len(af11))
			s.same("bands in the order of the request", st.Bands, []openflow.BandStats{{PacketCount: 1, ByteCount: n}, {PacketCount: 1, ByteCount: n}})
		}},
		{name: "shared by two entries", section: "5.7", run: func(s *stage) {
			s.do(meter(1, pktps|burst, drop(5, 4)), use, flow(match(as(0x86dd)...), useMeter(1), apply(out(2))))
			passes(s, plain, 3, 3)
			passes(s, frame(eth{}, ip6{}, udp{}), 3, 1)
			s.same("entries", meterStats(s, 1).FlowCount, uint32(2))
		}},
		{name: "one for each entry", section: "5.7", run: func(s *stage) {
			s.do(meter(1, pktps|burst, drop(5, 2)), meter(2, pktps|burst, drop(5, 4)), use, flow(match(as(0x86dd)...), useMeter(2), apply(out(2))))
			passes(s, plain, 9, 2)
			passes(s, frame(eth{}, ip6{}, udp{}), 9, 4)
		}},
		{name: "two on the way through two tables", section: "5.7", run: func(s *stage) {
			s.do(meter(1, pktps|burst, drop(5, 4)), meter(2, pktps|burst, drop(5, 2)), flow(anyIP, useMeter(1), goTo(1)), flowIn(1, anyIP, useMeter(2), apply(out(2))))
			passes(s, plain, 9, 2)
			s.same("what reached the second", meterStats(s, 2).PacketCount, uint64(4))
		}},
		{name: "first of all instructions", section: "5.9", run: func(s *stage) {
			s.do(meter(1, pktps, drop(0, 0)), with(flow(anyIP, apply(out(3)), write(out(4)), useMeter(1), goTo(1)), cookie(5)), flowIn(1, everything, apply(out(2))))
			s.gives(1, plain, nil)
			s.same("the entry counts what its meter drops", s.flows()[5].PacketCount, uint64(1))
		}},
		{name: "a dropped frame takes its action set along", section: "5.7.1", run: func(s *stage) {
			s.do(meter(1, pktps, drop(0, 0)), flow(anyIP, write(out(3)), goTo(1)), flowIn(1, everything, useMeter(1)))
			s.gives(1, plain, nil)
		}},
		{name: "statistics", section: "7.3.5.12", run: func(s *stage) {
			s.do(meter(1, kbps|burst|openflow.MeterStats, drop(8, 16), drop(80, 24)), use)
			passes(s, kilo, 5, 2) // the higher band is never the one exceeded alone
			s.pass(2500 * ms)
			st := meterStats(s, 1)
			s.same("meter", []uint64{uint64(st.Meter), uint64(st.FlowCount), st.PacketCount, st.ByteCount, uint64(st.DurationSec), uint64(st.DurationNsec)},
				[]uint64{1, 1, 5, 5000, 2, 5e8})
			s.same("caught", st.Bands[0].PacketCount+st.Bands[1].PacketCount, uint64(3))
			s.same("caught bytes", st.Bands[0].ByteCount+st.Bands[1].ByteCount, uint64(3000))
		}},
	})
}

func TestMeterCommands(t *testing.T) {
	use := with(flow(anyIP, useMeter(1), apply(out(2))), cookie(5), flags(openflow.FlowSendRemoved))
	two := meter(1, pktps|burst, drop(5, 2))
	perform(t, []play{
		{name: "modify", section: "6.6", run: func(s *stage) {
			s.do(two, use)
			s.same("passed", s.repeat(5, 1, plain, 2), 2)
			m := meter(1, pktps|burst, drop(5, 4))
			m.Command = openflow.MeterModify
			s.pass(time.Second)
			s.do(m)
			s.same("passed", s.repeat(9, 1, plain, 2), 4)
			st := meterStats(s, 1)
			s.same("the meter's counters and duration go on", []uint64{st.PacketCount, uint64(st.DurationSec), uint64(st.FlowCount)}, []uint64{14, 1, 1})
		}},
		{name: "delete takes the entries along", section: "6.6", run: func(s *stage) {
			s.do(two, meter(2, pktps), use, with(flowIn(1, anyIP, useMeter(2)), cookie(6)), with(flowIn(2, anyIP), cookie(7)))
			s.do(&openflow.MeterMod{Command: openflow.MeterDelete, Meter: 1})
			s.says(removed(openflow.RemovedDelete, 0, 5, 0, 0))
			s.same("entries", s.cookies(), []uint64{6, 7})
			s.gives(1, plain, nil)
		}},
		{name: "delete all", section: "6.6", run: func(s *stage) {
			s.do(two, meter(openflow.MeterController, pktps), meter(openflow.MeterSlowpath, kbps), use)
			s.do(&openflow.MeterMod{Command: openflow.MeterDelete, Meter: openflow.MeterAll})
			s.same("meters", len(ask[*openflow.MeterConfig](s, openflow.MultipartMeterConfig, &openflow.MeterRequest{Meter: openflow.MeterAll})), 0)
			s.same("entries", s.cookies(), []uint64{})
		}},
		{name: "delete of what is not there is no error", section: "6.6", run: func(s *stage) {
			s.do(&openflow.MeterMod{Command: openflow.MeterDelete, Meter: 9})
		}},
		{name: "a MODIFY that changes an entry's meter", section: "6.4", run: func(s *stage) {
			s.do(two, meter(2, pktps|burst, drop(5, 1)), use, with(use, command(modify), doing(useMeter(2), apply(out(2)))))
			s.same("passed", s.repeat(5, 1, plain, 2), 1)
			s.same("entries of each", []uint32{meterStats(s, 1).FlowCount, meterStats(s, 2).FlowCount}, []uint32{0, 1})
		}},
		{name: "a refused entry joins no meter", section: "6.4", run: func(s *stage) {
			s.do(two)
			s.refused(flow(anyIP, useMeter(1), goTo(0)), openflow.ErrBadInstruction, openflow.BICBadTableID)
			s.refused(flow(anyIP, useMeter(2)), openflow.ErrMeterModFailed, openflow.MMFCInvalidMeter)
			s.same("entries", meterStats(s, 1).FlowCount, uint32(0))
		}},
		{name: "configurations are what was sent", section: "7.3.5.13", run: func(s *stage) {
			list := []*openflow.MeterMod{
				meter(1, kbps|burst|openflow.MeterStats, drop(1, 2), drop(1<<32-1, 1<<32-1)), meter(7, pktps),
				meter(openflow.MeterMax, pktps|burst, remark(9, 8, 255), drop(10, 0), remark(3, 3, 1)),
				meter(openflow.MeterSlowpath, 0, drop(5, 6)), meter(openflow.MeterController, kbps, drop(7, 7)),
			}
			for _, m := range list {
				s.do(m)
			}
			for i, c := range ask[*openflow.MeterConfig](s, openflow.MultipartMeterConfig, &openflow.MeterRequest{Meter: openflow.MeterAll}) {
				s.same("meter", fmt.Sprint(c), fmt.Sprint(&openflow.MeterConfig{Flags: list[i].Flags, Meter: list[i].Meter, Bands: list[i].Bands}))
			}
			one := ask[*openflow.MeterConfig](s, openflow.MultipartMeterConfig, &openflow.MeterRequest{Meter: openflow.MeterController})
			s.same("one", []int{len(one), int(one[0].Meter & 0xff)}, []int{1, 0xfe})
		}},
		{name: "features are true", section: "7.3.5.14", change: []options{func(c *agent.BridgeConfig, _ *agent.Env) { c.MaxMeters = 5 }}, run: func(s *stage) {
			f := *ask[*openflow.MeterFeatures](s, openflow.MultipartMeterFeatures)[0]
			s.same("features", f, openflow.MeterFeatures{MaxMeters: 5, BandTypes: 1<<openflow.BandDrop | 1<<openflow.BandDSCPRemark,
				Capabilities: kbps | pktps | burst | openflow.MeterStats, MaxBands: 8})
			most := make([]openflow.Band, f.MaxBands)
			for i := range most {
				most[i] = drop(uint32(i)+1, 0)
			}
			s.do(meter(1, pktps|burst|openflow.MeterStats, most...))
			s.refused(meter(2, pktps, append(most, drop(1, 1))...), openflow.ErrMeterModFailed, openflow.MMFCOutOfBands)
			for id := uint32(2); id <= f.MaxMeters; id++ {
				s.do(meter(id, pktps))
			}
			s.refused(meter(9, pktps), openflow.ErrMeterModFailed, openflow.MMFCOutOfMeters)
		}},
		{name: "the meter called controller limits packet-ins", section: "7.3.4.4", run: func(s *stage) {
			up := openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: 65535}
			s.do(meter(openflow.MeterController, pktps|burst, drop(5, 2)), flow(anyIP, apply(out(2), up)))
			s.take()
			for range 6 {
				must(s.t, s.inject(1, plain, noOffload))
			}
			ins := 0
			for _, m := range s.c.Pending() {
				if _, is := m.(*openflow.PacketIn); is {
					ins++
				}
			}
			s.same("packet-ins, frames by port 2", []int{ins, s.leaving()[2]}, []int{2, 6})
			s.same("statistics", meterStats(s, openflow.MeterController).PacketCount, uint64(6))
		}},
		{name: "the meter called slowpath is kept", section: "7.3.4.4", run: func(s *stage) {
			// All frames go the same way in weir: there is no slow path that it could limit.
			s.do(meter(openflow.MeterSlowpath, pktps, drop(0, 0)), flow(anyIP, apply(out(2))))
			s.gives(1, plain, to(2, plain))
			s.same("packets", meterStats(s, openflow.MeterSlowpath).PacketCount, uint64(0))
		}},
		{name: "entries cannot use the reserved ones", section: "7.3.4.4", run: func(s *stage) {
			s.do(meter(openflow.MeterSlowpath, pktps), meter(openflow.MeterController, pktps))
			for _, id := range []uint32{0, openflow.MeterSlowpath, openflow.MeterController, openflow.MeterAll} {
				s.refused(flow(anyIP, useMeter(id)), openflow.ErrMeterModFailed, openflow.MMFCInvalidMeter)
			}
		}},
	})
}

// TestRemark: dscp_remark raises the drop precedence of AF code points and leaves everything else alone
// (section 5.7.1.1, RFC 2597).
func TestRemark(t *testing.T) {
	var plays []play
	with := func(name string, level uint8, f, want []byte) {
		plays = append(plays, play{name: name, section: "5.7.1.1", run: func(s *stage) {
			s.do(meter(1, pktps, remark(0, 0, level)), flow(everything, useMeter(1), apply(out(2))))
			s.gives(1, f, to(2, want))
			s.gives(1, f, to(2, want))
		}})
	}
	dscp := func(v int) []byte { return frame(eth{}, ip4{dscp: v, ecn: 1}, udp{}, text("x")) }
	six := func(v int) []byte { return frame(eth{}, ip6{dscp: v, ecn: 2}, tcp{}, text("x")) }
	for class := 1; class <= 4; class++ {
		af := func(precedence int) int { return class<<3 | precedence<<1 }
		with(fmt.Sprintf("AF%d1 by 1", class), 1, dscp(af(1)), dscp(af(2)))
		with(fmt.Sprintf("AF%d2 by 1", class), 1, six(af(2)), six(af(3)))
		with(fmt.Sprintf("AF%d1 by 2", class), 2, dscp(af(1)), dscp(af(3)))
		with(fmt.Sprintf("AF%d3 by 1", class), 1, dscp(af(3)), dscp(af(3)))
		with(fmt.Sprintf("AF%d1 by 255", class), 255, six(af(1)), six(af(3)))
	}
	for name, v := range map[string]int{"best effort": 0, "CS1": 8, "CS5": 40, "EF": 46, "a local code point": 11, "63": 63} {
		with(name, 1, dscp(v), dscp(v))
	}
	with("in a VLAN", 1, frame(eth{}, vlan{vid: 5}, ip4{dscp: 10}, udp{}), frame(eth{}, vlan{vid: 5}, ip4{dscp: 12}, udp{}))
	with("not IP", 1, frame(eth{}, arp{}), frame(eth{}, arp{}))
	plays = append(plays, play{name: "the next table sees the remarked frame", section: "5.7.1.1", run: func(s *stage) {
		s.do(meter(1, pktps|burst, remark(1, 1, 1)), flow(anyIP, useMeter(1), goTo(1)),
			flowIn(1, matchAs(as(0x0800), eq(openflow.IPDSCP, 10)), apply(out(2))), flowIn(1, matchAs(as(0x0800), eq(openflow.IPDSCP, 12)), apply(out(3))))
		s.gives(1, dscp(10), to(2, dscp(10)))
		s.gives(1, dscp(10), to(3, dscp(12)))
		s.pass(time.Second)
		s.gives(1, dscp(10), to(2, dscp(10)))
	}})
	perform(t, plays)
}

// queuesOn2 gives port 2 queues on a link of 100 Mbit/s.
func queuesOn2(c *agent.BridgeConfig, _ *agent.Env) {
	c.Ports[1].LinkRate = 100e6
	c.Ports[1].Queues = []agent.QueueConfig{{ID: 0}, {ID: 3, MinRate: 25e6}, {ID: 7, MinRate: 1e6, MaxRate: 4e6}, {ID: 1 << 31, MaxRate: 100e6}}
}

// TestQueues: frames of no queue, or of one that the port lacks, are those of queue 0 if there is one.
// Sections 5.12 (Set-Queue), 7.2.2, 7.3.5.8 and 7.3.6. Rates are measured in
// agent/schedule_test.go, changes of a running port in agent/queue_test.go.
func TestQueues(t *testing.T) {
	setQueue := func(id uint32) openflow.Action { return openflow.Action{Type: openflow.ActionSetQueue, Queue: id} }
	// counts are the packets of each queue of port 2.
	counts := func(s *stage) map[uint32]uint64 {
		s.t.Helper()
		m := map[uint32]uint64{}
		for _, q := range ask[*openflow.QueueStats](s, openflow.MultipartQueue, &openflow.QueueStatsRequest{Port: 2, Queue: openflow.QueueAll}) {
			if q.Port != 2 || q.TxBytes != q.TxPackets*uint64(len(plain)) || q.TxErrors != 0 {
				s.t.Errorf("%v", q)
			}
			if q.TxPackets > 0 {
				m[q.Queue] = q.TxPackets
			}
		}
		return m
	}
	var plays []play
	for _, c := range []struct {
		name  string
		setup []openflow.Message
		want  map[uint32]uint64
	}{
		{"no set_queue", setup(flow(anyIP, apply(out(2)))), map[uint32]uint64{0: 1}},
		{"set_queue", setup(flow(anyIP, apply(setQueue(3), out(2)))), map[uint32]uint64{3: 1}},
		{"a large number", setup(flow(anyIP, apply(setQueue(1<<31), out(2)))), map[uint32]uint64{1 << 31: 1}},
		{"queue 0", setup(flow(anyIP, apply(setQueue(3), setQueue(0), out(2)))), map[uint32]uint64{0: 1}},
		{"after the output it is too late", setup(flow(anyIP, apply(out(2), setQueue(3)))), map[uint32]uint64{0: 1}},
		{"written", setup(flow(anyIP, write(out(2), setQueue(7)))), map[uint32]uint64{7: 1}},
		{"written in an earlier table", setup(flow(anyIP, write(setQueue(7)), goTo(1)), flowIn(1, anyIP, write(out(2)))), map[uint32]uint64{7: 1}},
		{"applied in an earlier table", setup(flow(anyIP, apply(setQueue(7)), goTo(1)), flowIn(1, anyIP, apply(out(2)))), map[uint32]uint64{7: 1}},
		{"in a bucket", setup(group(1, groupAll, bucket(setQueue(3), out(2))), flow(anyIP, apply(toGroup(1)))), map[uint32]uint64{3: 1}},
		{"before a group", setup(group(1, groupAll, bucket(out(2))), flow(anyIP, apply(setQueue(3), toGroup(1)))), map[uint32]uint64{3: 1}},
		{"what a bucket sets holds in the bucket", setup(group(1, groupAll, bucket(setQueue(3))), flow(anyIP, apply(toGroup(1), out(2)))), map[uint32]uint64{0: 1}},
		{"a queue that the port lacks", setup(flow(anyIP, apply(setQueue(99), out(2)))), map[uint32]uint64{0: 1}},
	} {
		plays = append(plays, play{name: c.name, section: "5.12", run: func(s *stage) {
			s.do(c.setup...)
			s.gives(1, plain, to(2, plain))
			s.same("packets by queue", counts(s), c.want)
		}})
	}
	plays = append(plays,
		play{name: "in a PACKET_OUT", section: "7.3.7", run: func(s *stage) {
			must(s.t, s.packetOut(openflow.PortController, plain, setQueue(7), out(2)))
			s.same("packets by queue", counts(s), map[uint32]uint64{7: 1})
		}},
		play{name: "configuration", section: "7.3.6", run: func(s *stage) {
			const unset = openflow.RateUnset
			want := []openflow.Queue{{ID: 0, Port: 2, MinRate: unset, MaxRate: unset}, {ID: 3, Port: 2, MinRate: 250, MaxRate: unset},
				{ID: 7, Port: 2, MinRate: 10, MaxRate: 40}, {ID: 1 << 31, Port: 2, MinRate: unset, MaxRate: 1000}}
			for port, queues := range map[openflow.PortNo][]openflow.Queue{2: want, openflow.PortAny: want, 1: nil} {
				r, err := oftest.Ask[*openflow.QueueGetConfigReply](s.c, &openflow.QueueGetConfigRequest{Port: port})
				must(s.t, err)
				s.same("reply", *r, openflow.QueueGetConfigReply{Port: port, Queues: queues})
			}
		}},
		play{name: "max-rate holds back, the others pass", section: "7.2.2", run: func(s *stage) {
			s.do(flow(match(eq(openflow.InPort, 1)), apply(setQueue(7), out(2))), flow(match(eq(openflow.InPort, 3)), apply(setQueue(3), out(2))))
			s.same("at once", s.repeat(4, 1, kilo, 2), 1) // 4 Mbit/s: a frame of 8 kbit takes two milliseconds
			left := s.repeat(4, 3, kilo, 2)
			s.pass(ms) // 100 Mbit/s: 0.08 ms each
			s.same("another queue", left+s.leaving()[2], 4)
			s.pass(10 * ms)
			s.same("later", s.leaving()[2], 3)
		}},
		play{name: "statistics", section: "7.3.5.8", run: func(s *stage) {
			s.pass(1500 * ms)
			list := ask[*openflow.QueueStats](s, openflow.MultipartQueue, &openflow.QueueStatsRequest{Port: openflow.PortAny, Queue: 7})
			s.same("queue 7 of any port", len(list), 1)
			s.same("record", *list[0], openflow.QueueStats{Port: 2, Queue: 7, DurationSec: 1, DurationNsec: 5e8})
			s.same("a port without queues", len(ask[*openflow.QueueStats](s, openflow.MultipartQueue, &openflow.QueueStatsRequest{Port: 1, Queue: openflow.QueueAll})), 0)
		}},
	)
	perform(t, plays, queuesOn2)
}
