package benchcontrol

import (
	"github.com/weirswitch/weir/integration/bench"
	"github.com/weirswitch/weir/openflow"
)

// mix says how the masks and priorities of a set of entries are spread.
type mix int

const (
	same  mix = iota // one mask, one priority
	mixed            // eight masks, each with eight priorities
)

func (m mix) String() string { return [...]string{"one mask", "8 masks x 8 priorities"}[m] }

// scatter is a bijection of 24-bit numbers, so that neighbours in the list are no neighbours in a table.
func scatter(i uint64) uint64 { return i * 0x9e3779 & 0xffffff }

// match is that of the i-th entry. Entries of one set differ from each other for i below 2^24.
func match(m mix, i int) openflow.Match {
	n := uint64(i)
	ip := openflow.Exact(openflow.EthType, 0x0800)
	if m == same {
		return openflow.NewMatch(ip, openflow.Exact(openflow.IPv4Src, 10<<24|scatter(n)), openflow.Exact(openflow.IPv4Dst, 192<<24|scatter(n)>>3))
	}
	udp := openflow.Exact(openflow.IPProto, 17)
	n /= 8
	host, high, low := 10<<24|scatter(n), n>>12, n&0xfff // high and low together tell n
	masked := func(f openflow.FieldID, v uint64, bits int) openflow.Field {
		return openflow.WithMask(f, v<<(32-bits), 1<<32-1<<(32-bits))
	}
	switch i % 8 {
	case 0:
		return openflow.NewMatch(ip, openflow.Exact(openflow.IPv4Src, host))
	case 1:
		return openflow.NewMatch(ip, udp, openflow.Exact(openflow.IPv4Dst, host), openflow.Exact(openflow.UDPDst, low))
	case 2:
		return openflow.NewMatch(ip, masked(openflow.IPv4Src, host&0xfffffff, 28))
	case 3:
		return openflow.NewMatch(ip, openflow.Exact(openflow.IPv4Src, host), openflow.Exact(openflow.IPv4Dst, 1<<24|low))
	case 4:
		return openflow.NewMatch(ip, udp, openflow.Exact(openflow.IPv4Src, host), openflow.Exact(openflow.IPv4Dst, 2<<24|low),
			openflow.Exact(openflow.UDPSrc, low), openflow.Exact(openflow.UDPDst, high))
	case 5:
		return openflow.NewMatch(ip, udp, masked(openflow.IPv4Src, high, 16), openflow.Exact(openflow.UDPSrc, low))
	case 6:
		return openflow.NewMatch(ip, udp, masked(openflow.IPv4Dst, high, 24), openflow.Exact(openflow.UDPSrc, low))
	}
	return openflow.NewMatch(openflow.Exact(openflow.InPort, 1), ip, udp, masked(openflow.IPv4Src, high, 24), openflow.Exact(openflow.UDPDst, low))
}

// priority of the i-th entry.
func priority(m mix, i int) uint16 {
	if m == same {
		return 100
	}
	return uint16(100 + 10*(i/8%8))
}

var toPort2 = openflow.NewInstructions(openflow.ApplyActions(openflow.Output(2)))

// flowMod is a FLOW_MOD for the i-th entry of a set; its cookie is i.
func flowMod(m mix, i int, c openflow.FlowModCommand) *openflow.FlowMod {
	f := &openflow.FlowMod{
		Command: c, Priority: priority(m, i), Cookie: uint64(i), Match: match(m, i),
		BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny,
	}
	if c < openflow.FlowDelete {
		f.Instructions = toPort2
	}
	return f
}

func encodeMods(m mix, n int, c openflow.FlowModCommand) []byte {
	return bench.Encode(n, func(i int) openflow.Message { return flowMod(m, i, c) })
}
