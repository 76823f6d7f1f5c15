package benchlab

import (
	"encoding/binary"
	"net"

	"github.com/weirswitch/weir/integration/bench"
	"github.com/weirswitch/weir/openflow"
)

// frameSize is that of the smallest Ethernet frame without its check sequence, and stride the room that one takes in
// an array: one cache line.
const (
	frameSize = 60
	stride    = 64
)

// flow is a 5-tuple of IPv4. The frames of a source and the rules of a table are both made from flows 0, 1, 2 and so on:
// rule i matches flow i.
type flow struct {
	src, dst     uint32
	sport, dport uint16
	proto        byte
}

// flowOf scatters the numbers, so that neighbours in the list are none in a table. An odd factor makes each source
// address different from all others below 2^24.
func flowOf(i int) flow {
	n := uint32(i)
	f := flow{
		src:   10<<24 | n*0x85ebcb&0xffffff,
		dst:   192<<24 | 168<<16 | n*26699&0xffff,
		sport: uint16(1024 + n*6151%60000),
		dport: uint16(1 + n*15485863%1000),
		proto: 17,
	}
	if n%4 == 3 {
		f.proto = 6
	}
	return f
}

// makeFrames has the frames of flows 0 to n-1, stride bytes each.
func makeFrames(n int, from, to net.HardwareAddr) []byte {
	all := make([]byte, n*stride)
	for i := range n {
		f, b := flowOf(i), all[i*stride:]
		copy(b, to)
		copy(b[6:], from)
		b[12] = 0x08 // IPv4
		ip := b[14:]
		ip[0], ip[8], ip[9] = 0x45, 64, f.proto
		binary.BigEndian.PutUint16(ip[2:], frameSize-14)
		binary.BigEndian.PutUint32(ip[12:], f.src)
		binary.BigEndian.PutUint32(ip[16:], f.dst)
		binary.BigEndian.PutUint16(ip[10:], headerSum(ip[:20]))
		l4 := ip[20:]
		binary.BigEndian.PutUint16(l4, f.sport)
		binary.BigEndian.PutUint16(l4[2:], f.dport)
		if f.proto == 17 {
			binary.BigEndian.PutUint16(l4[4:], frameSize-34) // no checksum: allowed
		} else {
			l4[12], l4[13] = 5<<4, 0x10 // an ACK; nobody looks at its checksum
		}
	}
	return all
}

func headerSum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// masks is how many different masks the rules of a table have; each has a priority of its own.
const masks = 8

// match is that of the rule for flow i, under one of the masks.
func match(i int) openflow.Match {
	f := flowOf(i)
	ip, proto := openflow.Exact(openflow.EthType, 0x0800), openflow.Exact(openflow.IPProto, uint64(f.proto))
	prefix := func(id openflow.FieldID, v uint32, bits int) openflow.Field {
		mask := uint64(1<<32 - 1<<(32-bits))
		return openflow.WithMask(id, uint64(v)&mask, mask)
	}
	src, dst := prefix(openflow.IPv4Src, f.src, 32), prefix(openflow.IPv4Dst, f.dst, 32)
	from, to := openflow.UDPSrc, openflow.UDPDst
	if f.proto == 6 {
		from, to = openflow.TCPSrc, openflow.TCPDst
	}
	sport, dport := openflow.Exact(from, uint64(f.sport)), openflow.Exact(to, uint64(f.dport))
	switch mask(i) {
	case 0:
		return openflow.NewMatch(ip, src)
	case 1:
		return openflow.NewMatch(ip, prefix(openflow.IPv4Src, f.src, 28))
	case 2:
		return openflow.NewMatch(ip, src, dst)
	case 3:
		return openflow.NewMatch(ip, proto, dst, dport)
	case 4:
		return openflow.NewMatch(ip, proto, src, dst, sport, dport)
	case 5:
		return openflow.NewMatch(ip, proto, prefix(openflow.IPv4Src, f.src, 16), sport)
	case 6:
		return openflow.NewMatch(ip, proto, prefix(openflow.IPv4Dst, f.dst, 24), sport)
	}
	return openflow.NewMatch(openflow.Exact(openflow.InPort, 1), ip, proto, prefix(openflow.IPv4Src, f.src, 24), dport)
}

// mask is the number of rule i's; four flows in a row, among them one of TCP, have the same.
func mask(i int) int { return i / 4 % masks }

// rule is the FLOW_MOD of rule i, whose frames leave by port 2.
func rule(i int, c openflow.FlowModCommand) *openflow.FlowMod {
	m := flowMod(uint16(100+10*mask(i)), match(i), openflow.Output(2))
	if m.Command = c; c >= openflow.FlowDelete {
		m.Instructions = openflow.Instructions{}
	}
	return m
}

func flowMod(priority uint16, m openflow.Match, actions ...openflow.Action) *openflow.FlowMod {
	return &openflow.FlowMod{Priority: priority, Match: m, BufferID: openflow.NoBuffer, OutPort: openflow.PortAny,
		OutGroup: openflow.GroupAny, Instructions: openflow.NewInstructions(openflow.ApplyActions(actions...))}
}

// The three pipelines: a cable, a learning switch, and a table with a rule for each of n flows. Nothing else passes the
// table, so that what is delivered has met its rule.
func cable() []byte {
	list := []openflow.Message{bench.DeleteAll(),
		flowMod(1, openflow.NewMatch(openflow.Exact(openflow.InPort, 1)), openflow.Output(2)),
		flowMod(1, openflow.NewMatch(openflow.Exact(openflow.InPort, 2)), openflow.Output(1))}
	return bench.Encode(len(list), func(i int) openflow.Message { return list[i] })
}

func learning() []byte {
	list := []openflow.Message{bench.DeleteAll(), flowMod(0, openflow.Match{}, openflow.Output(openflow.PortNormal))}
	return bench.Encode(len(list), func(i int) openflow.Message { return list[i] })
}

func table(n int) []byte {
	return bench.Encode(n+1, func(i int) openflow.Message {
		if i == 0 {
			return bench.DeleteAll()
		}
		return rule(i-1, openflow.FlowAdd)
	})
}
