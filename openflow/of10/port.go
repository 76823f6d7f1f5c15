package of10

import (
	"github.com/weirswitch/weir/openflow"
)

// Bits of ofp_phy_port.state; those of its config have the places of 1.3.
const (
	stateLinkDown = 1 << 0
	stateSTP      = 3 << 8 // two bits: LISTEN, LEARN, FORWARD, BLOCK
	stateBlocked  = 3 << 8 // as STP_BLOCK

	portSize = 48
)

// Features have the first seven bits in common with 1.3; the media follow at other places.
const (
	lowFeatures  = 1<<7 - 1
	mediaShift10 = 7
	mediaShift13 = 11
)

func featuresOut(f openflow.PortFeatures) uint32 {
	return uint32(f)&lowFeatures | uint32(f)>>mediaShift13<<mediaShift10&0xfff
}

func featuresIn(v uint32) openflow.PortFeatures {
	return openflow.PortFeatures(v&lowFeatures | v>>mediaShift10<<mediaShift13&0xffff)
}

// speed is that of the fastest medium in kbit/s, which 1.0 does not say otherwise.
func speed(f openflow.PortFeatures) uint32 {
	for bit, kbps := range [...]uint32{6: 10_000_000, 5: 1_000_000, 4: 1_000_000, 3: 100_000, 2: 100_000, 1: 10_000, 0: 10_000} {
		if f>>bit&(lowFeatures>>bit) == 1 {
			return kbps
		}
	}
	return 0
}

// appendPort writes ofp_phy_port.
func appendPort(b []byte, p *openflow.Port) []byte {
	b = append(append16(b, narrow(p.No)), p.HWAddr[:]...)
	b = appendString(b, p.Name, 16)
	state := uint32(p.State) & stateSTP
	if p.State&openflow.PortLinkDown != 0 {
		state |= stateLinkDown
	}
	if p.State&openflow.PortBlocked != 0 {
		state |= stateBlocked
	}
	b = append32(append32(b, uint32(p.Config)), state)
	for _, f := range [...]openflow.PortFeatures{p.Curr, p.Advertised, p.Supported, p.Peer} {
		b = append32(b, featuresOut(f))
	}
	return b
}

// decodePortMod reads PORT_MOD. Spanning tree's bits are taken and change nothing.
func decodePortMod(b []byte) (openflow.Message, error) {
	if len(b) != 32 {
		return nil, badLen("PORT_MOD", len(b), 32)
	}
	m := &openflow.PortMod{Port: widen(u16(b, 8))}
	copy(m.HWAddr[:], b[10:])
	m.Config, m.Mask = openflow.PortConfig(u32(b, 16))&portModBits, openflow.PortConfig(u32(b, 20))&portModBits
	m.Advertise = featuresIn(u32(b, 24))
	return m, nil
}

// configBits are those of 1.0, spanning tree's included.
const configBits = 0x7f

// portModBits are those that PORT_MOD may change.
const portModBits = openflow.PortConfigAll | openflow.PortNoFlood

// appendPortStats writes ofp_port_stats.
func appendPortStats(b []byte, s *openflow.PortStats) []byte {
	b = appendZeros(append16(b, narrow(s.Port)), 6)
	for _, v := range [...]uint64{s.RxPackets, s.TxPackets, s.RxBytes, s.TxBytes, s.RxDropped, s.TxDropped,
		s.RxErrors, s.TxErrors, s.RxFrameErr, s.RxOverErr, s.RxCRCErr, s.Collides} {
		b = append64(b, v)
	}
	return b
}

// decodeQueueGetRequest reads QUEUE_GET_CONFIG_REQUEST.
func decodeQueueGetRequest(b []byte) (openflow.Message, error) {
	if len(b) != 12 {
		return nil, badLen("QUEUE_GET_CONFIG_REQUEST", len(b), 12)
	}
	return &openflow.QueueGetConfigRequest{Port: queuePort(u16(b, 8))}, nil
}

// appendQueues writes QUEUE_GET_CONFIG_REPLY. 1.0 knows a lowest rate only; Open vSwitch's tools read
// the highest there, too.
func appendQueues(b []byte, m *openflow.QueueGetConfigReply) []byte {
	b = appendZeros(append16(b, narrow(m.Port)), 6)
	for _, q := range m.Queues {
		start := len(b)
		b = appendZeros(append32(b, q.ID), 4)
		for prop, rate := range [...]uint16{1: q.MinRate, 2: q.MaxRate} {
			if prop != 0 && rate != openflow.RateUnset {
				b = appendZeros(append16(append16(b, uint16(prop)), 16), 4)
				b = appendZeros(append16(b, rate), 6)
			}
		}
		put16(b, start+4, uint16(len(b)-start))
	}
	return b
}
