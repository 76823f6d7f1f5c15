package ofctl

import (
	"fmt"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

// AppendPort writes a port as show does, several lines with a newline each.
func AppendPort(b []byte, p *openflow.Port) []byte { return noNames.appendPortDesc(b, p) }

func (n *Names) appendPortDesc(b []byte, p *openflow.Port) []byte {
	config, state := bitWords(uint32(p.Config), configWords), bitWords(uint32(p.State), stateWords)
	if n.speaksOld() {
		config, state = bitWords(uint32(p.Config), oldConfigWords), oldState(p.State)
	}
	b = fmt.Appendf(b, " %s(%s): addr:%s\n", Port(p.No), p.Name, p.HWAddr)
	b = fmt.Appendf(b, "     config:     %s\n", config)
	b = fmt.Appendf(b, "     state:      %s\n", state)
	for _, f := range []struct {
		name string
		bits openflow.PortFeatures
	}{{"current:    ", p.Curr}, {"advertised: ", p.Advertised}, {"supported:  ", p.Supported}, {"peer:       ", p.Peer}} {
		if f.bits != 0 {
			b = fmt.Appendf(b, "     %s%s\n", f.name, bitWords(uint32(f.bits), featureWords))
		}
	}
	return fmt.Appendf(b, "     speed: %d Mbps now, %d Mbps max\n", p.CurrSpeed/1000, p.MaxSpeed/1000)
}

// The words of the bits, lowest first; an empty one is not defined in OpenFlow 1.3.
var (
	configWords  = []string{"PORT_DOWN", "", "NO_RECV", "", "", "NO_FWD", "NO_PACKET_IN"}
	stateWords   = []string{"LINK_DOWN", "BLOCKED", "LIVE"}
	featureWords = []string{"10MB-HD", "10MB-FD", "100MB-HD", "100MB-FD", "1GB-HD", "1GB-FD", "10GB-FD", "40GB-FD",
		"100GB-FD", "1TB-FD", "OTHER", "COPPER", "FIBER", "AUTO_NEG", "AUTO_PAUSE", "AUTO_PAUSE_ASYM"}
)

// PortConfig are the words of OFPPC bits.
func PortConfig(c openflow.PortConfig) []string {
	if c == 0 {
		return nil
	}
	return strings.Fields(bitWords(uint32(c), configWords))
}

func bitWords(v uint32, words []string) string {
	if v == 0 {
		return "0"
	}
	var out []string
	for i, w := range words {
		if v&(1<<i) != 0 && w != "" {
			out = append(out, w)
			v &^= 1 << i
		}
	}
	if v != 0 {
		out = append(out, fmt.Sprintf("0x%x", v))
	}
	return strings.Join(out, " ")
}

// AppendPortStats writes a record of dump-ports, three lines with a newline each.
func AppendPortStats(b []byte, s *openflow.PortStats) []byte { return noNames.appendPortStats(b, s) }

func (n *Names) appendPortStats(b []byte, s *openflow.PortStats) []byte {
	b = append(b, "  port "...)
	if s.Port < 10 { // numbers stand in a column; names do as their numbers did
		b = append(b, ' ')
	}
	b = append(n.appendPort(b, s.Port), ": rx "...)
	b = appendCounts(b, "pkts", s.RxPackets, "bytes", s.RxBytes, "drop", s.RxDropped, "errs", s.RxErrors,
		"frame", s.RxFrameErr, "over", s.RxOverErr, "crc", s.RxCRCErr)
	b = append(b, "\n           tx "...)
	b = appendCounts(b, "pkts", s.TxPackets, "bytes", s.TxBytes, "drop", s.TxDropped, "errs", s.TxErrors, "coll", s.Collides)
	if s.DurationSec == 0xffffffff {
		return append(b, '\n') // not known, as on OpenFlow 1.0
	}
	b = append(b, "\n           duration="...)
	return append(appendDuration(b, s.DurationSec, s.DurationNsec), "s\n"...)
}

// appendCounts writes name=value pairs.
func appendCounts(b []byte, pairs ...any) []byte {
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(append(b, pairs[i].(string)...), '=')
		b = appendCount(b, pairs[i+1].(uint64))
	}
	return b
}
