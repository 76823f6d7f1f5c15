// Slow path: what the reading commands show: the switch's values, and rates from two readings of them.

package main

import "github.com/weirswitch/weir/agent"

// The rates are per second. They are missing in the first reading, of what was not there in the reading before, and
// where a counter went back: the thing is another one by the same name.
type (
	rates struct {
		PacketRate *float64 `json:"packets_per_s,omitempty"`
		ByteRate   *float64 `json:"bytes_per_s,omitempty"`
	}
	bridgeRow struct {
		agent.BridgeStatus
		PacketInRate *float64 `json:"packet_ins_per_s,omitempty"`
	}
	// shownRow is a bridge with its ports.
	shownRow struct {
		bridgeRow
		PortList []portRow `json:"port_list"`
	}
	portRow struct {
		agent.PortStatus
		RxPacketRate *float64 `json:"rx_packets_per_s,omitempty"`
		RxByteRate   *float64 `json:"rx_bytes_per_s,omitempty"`
		TxPacketRate *float64 `json:"tx_packets_per_s,omitempty"`
		TxByteRate   *float64 `json:"tx_bytes_per_s,omitempty"`
	}
	flowRow struct {
		agent.FlowStatus
		rates
	}
	groupRow struct {
		agent.GroupStatus
		rates
		BucketRates []rates `json:"bucket_rates,omitempty"` // as buckets
	}
	meterRow struct {
		agent.MeterStatus
		rates
		BandRates []rates `json:"band_rates,omitempty"` // as bands: what they catch
	}
)

// rate is how fast a counter goes.
func rate(was, is uint64, seconds float64) *float64 {
	if is < was || seconds <= 0 {
		return nil
	}
	r := float64(is-was) / seconds
	return &r
}

func ratesOf(wasPackets, isPackets, wasBytes, isBytes uint64, seconds float64) rates {
	return rates{rate(wasPackets, isPackets, seconds), rate(wasBytes, isBytes, seconds)}
}

// same calls f with what two readings say of the same thing.
func same[T any, K comparable](was, is []T, key func(*T) K, f func(was, is *T)) {
	before := make(map[K]*T, len(was))
	for i := range was {
		before[key(&was[i])] = &was[i]
	}
	for i := range is {
		if w := before[key(&is[i])]; w != nil {
			f(w, &is[i])
		}
	}
}

func bridgeRates(was, is []bridgeRow, seconds float64) {
	same(was, is, func(b *bridgeRow) string { return b.Name }, func(w, b *bridgeRow) {
		b.PacketInRate = rate(w.PacketIns, b.PacketIns, seconds)
	})
}

func shownRates(was, is []shownRow, seconds float64) {
	same(was, is, func(b *shownRow) string { return b.Name }, func(w, b *shownRow) {
		b.PacketInRate = rate(w.PacketIns, b.PacketIns, seconds)
		portRates(w.PortList, b.PortList, seconds)
	})
}

func portRates(was, is []portRow, seconds float64) {
	same(was, is, func(p *portRow) string { return p.Name }, func(w, p *portRow) {
		if p.Age < w.Age { // taken out and added anew
			return
		}
		p.RxPacketRate, p.RxByteRate = rate(w.RxPackets, p.RxPackets, seconds), rate(w.RxBytes, p.RxBytes, seconds)
		p.TxPacketRate, p.TxByteRate = rate(w.TxPackets, p.TxPackets, seconds), rate(w.TxBytes, p.TxBytes, seconds)
	})
}

func flowRates(was, is []flowRow, seconds float64) {
	type identity struct {
		table    uint8
		priority uint16
		match    string
	}
	same(was, is, func(f *flowRow) identity { return identity{f.Table, f.Priority, f.Match} }, func(w, f *flowRow) {
		if f.Duration >= w.Duration {
			f.rates = ratesOf(w.Packets, f.Packets, w.Bytes, f.Bytes, seconds)
		}
	})
}

func groupRates(was, is []groupRow, seconds float64) {
	same(was, is, func(g *groupRow) uint32 { return g.Group }, func(w, g *groupRow) {
		if g.Duration < w.Duration || len(g.Buckets) != len(w.Buckets) {
			return
		}
		g.rates = ratesOf(w.Packets, g.Packets, w.Bytes, g.Bytes, seconds)
		for i, b := range g.Buckets {
			g.BucketRates = append(g.BucketRates, ratesOf(w.Buckets[i].Packets, b.Packets, w.Buckets[i].Bytes, b.Bytes, seconds))
		}
	})
}

func meterRates(was, is []meterRow, seconds float64) {
	same(was, is, func(m *meterRow) uint32 { return m.ID }, func(w, m *meterRow) {
		if m.Duration < w.Duration || len(m.Bands) != len(w.Bands) {
			return
		}
		m.rates = ratesOf(w.Packets, m.Packets, w.Bytes, m.Bytes, seconds)
		for i, b := range m.Bands {
			m.BandRates = append(m.BandRates, ratesOf(w.Bands[i].Packets, b.Packets, w.Bands[i].Bytes, b.Bytes, seconds))
		}
	})
}
