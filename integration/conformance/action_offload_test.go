package conformance

import (
	"bytes"
	"testing"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// TestOffload: frames whose checksum the sender left to be computed, and super-frames, as hosts with
// offloads send them. A pipe carries both on; a controller and a port without offloads get them finished.
func TestOffload(t *testing.T) {
	// unfinished is a frame that owes its checksum: the field holds the sum of the pseudo-header.
	unfinished := func(sumAt int, list ...header) []byte {
		f := frame(list...)
		l4 := list[len(list)-2]
		at := len(f) - len(frame(l4, list[len(list)-1]))
		be.PutUint16(f[at+sumAt:], uint16(0xffff&^checksum(pseudoHeader(list[:len(list)-2], l4.ipProto(), len(f)-at))))
		return f
	}
	tcpOwed := packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16}
	udpOwed := packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 6}
	tcp6Owed := packet.Offload{NeedsCsum: true, CsumStart: 54, CsumOffset: 16}
	sctpOwed := packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 8}
	gso := packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSO: packet.GSOTCPv4, GSOSize: 500, HdrLen: 54}
	big := text(bytes.Repeat([]byte("0123456789"), 200))
	moved := func(o packet.Offload, by int) packet.Offload {
		o.CsumStart += uint16(by)
		if o.HdrLen != 0 {
			o.HdrLen += uint16(by)
		}
		return o
	}
	data := text("payload")
	isTCP, isUDP, isTCP6, isSCTP := match(as(0x0800, 6)...), match(as(0x0800, 17)...), match(as(0x86dd, 6)...), match(as(0x0800, 132)...)
	const B = 0xc0a80105
	sctpIn := frame(eth{}, ip4{}, sctp{sum: none}, data)
	var cases []conform
	for _, c := range []struct {
		name    string
		match   openflow.Match
		actions []openflow.Action
		in, out []byte
		o, then packet.Offload
	}{
		{"TCP forwarded", isTCP, nil, unfinished(16, eth{}, ip4{}, tcp{}, data), unfinished(16, eth{}, ip4{}, tcp{}, data), tcpOwed, tcpOwed},
		{"TCP to another address", isTCP, do(set(openflow.IPv4Dst, B)), unfinished(16, eth{}, ip4{}, tcp{}, data), unfinished(16, eth{}, ip4{dst: B}, tcp{}, data), tcpOwed, tcpOwed},
		{"TCP to another port", isTCP, do(set(openflow.TCPDst, 80)), unfinished(16, eth{}, ip4{}, tcp{}, data), unfinished(16, eth{}, ip4{}, tcp{dst: 80}, data), tcpOwed, tcpOwed},
		{"TCP with another TTL", isTCP, do(decIP), unfinished(16, eth{}, ip4{}, tcp{}, data), unfinished(16, eth{}, ip4{ttl: 63}, tcp{}, data), tcpOwed, tcpOwed},
		{"TCP behind a tag", isTCP, do(pushC), unfinished(16, eth{}, ip4{}, tcp{}, data), unfinished(16, eth{}, vlan{}, ip4{}, tcp{}, data), tcpOwed, moved(tcpOwed, 4)},
		{"TCP without its tag", tagThere, do(popVLAN), unfinished(16, eth{}, vlan{vid: 5}, ip4{}, tcp{}, data), unfinished(16, eth{}, ip4{}, tcp{}, data), moved(tcpOwed, 4), tcpOwed},
		{"TCP behind a label", isTCP, do(pushMPLS), unfinished(16, eth{}, ip4{}, tcp{}, data), unfinished(16, eth{}, mpls{}, ip4{}, tcp{}, data), tcpOwed, moved(tcpOwed, 4)},
		{"TCP behind a backbone", isTCP, do(pushPBB), unfinished(16, eth{}, ip4{}, tcp{}, data), unfinished(16, eth{}, itag{}, eth{}, ip4{}, tcp{}, data), tcpOwed, moved(tcpOwed, 18)},
		{"UDP to another address", isUDP, do(set(openflow.IPv4Src, B)), unfinished(6, eth{}, ip4{}, udp{}, data), unfinished(6, eth{}, ip4{src: B}, udp{}, data), udpOwed, udpOwed},
		{"UDP to another port", isUDP, do(set(openflow.UDPDst, 80)), unfinished(6, eth{}, ip4{}, udp{}, data), unfinished(6, eth{}, ip4{}, udp{dst: 80}, data), udpOwed, udpOwed},
		{"TCP over IPv6 to another address", isTCP6, do(openflow.Action{Type: openflow.ActionSetField, Field: openflow.Exact128(openflow.IPv6Dst, 0x20010db800000000, 77)}),
			unfinished(16, eth{}, ip6{}, tcp{}, data), unfinished(16, eth{}, ip6{dst: addr6(77)}, tcp{}, data), tcp6Owed, tcp6Owed},
		{"SCTP to another port", isSCTP, do(set(openflow.SCTPDst, 80)), sctpIn, frame(eth{}, ip4{}, sctp{dst: 80, sum: none}, data), sctpOwed, sctpOwed},
		{"a super-frame forwarded", isTCP, nil, unfinished(16, eth{}, ip4{}, tcp{}, big), unfinished(16, eth{}, ip4{}, tcp{}, big), gso, gso},
		{"a super-frame to another address", isTCP, do(set(openflow.IPv4Dst, B), set(openflow.TCPDst, 80)), unfinished(16, eth{}, ip4{}, tcp{}, big), unfinished(16, eth{}, ip4{dst: B}, tcp{dst: 80}, big), gso, gso},
		{"a super-frame behind a label and a tag", isTCP, do(pushMPLS, pushC), unfinished(16, eth{}, ip4{}, tcp{}, big), unfinished(16, eth{}, vlan{}, mpls{}, ip4{}, tcp{}, big), gso, moved(gso, 8)},
	} {
		cases = append(cases,
			conform{name: c.name, section: "7.2.5", setup: setup(flow(c.match, apply(append(c.actions[:len(c.actions):len(c.actions)], out(2))...))),
				probes: []probe{{in: c.in, offload: c.o, out: []sent{{port: 2, frame: c.out, offload: c.then}}}}},
			conform{name: c.name + ", in the action set", section: "5.10", setup: setup(flow(c.match, write(append(c.actions[:len(c.actions):len(c.actions)], out(2))...))),
				probes: []probe{{in: c.in, offload: c.o, out: []sent{{port: 2, frame: c.out, offload: c.then}}}}})
	}
	for _, c := range []struct {
		name     string
		in, want []byte
		o        packet.Offload
	}{
		{"TCP", unfinished(16, eth{}, ip4{}, tcp{}, data), frame(eth{}, ip4{dst: B}, tcp{}, data), tcpOwed},
		{"UDP", unfinished(6, eth{}, ip4{}, udp{}, data), frame(eth{}, ip4{dst: B}, udp{}, data), udpOwed},
		{"SCTP", sctpIn, frame(eth{}, ip4{dst: B}, sctp{}, data), sctpOwed},
	} {
		cases = append(cases, conform{name: c.name + " finished for the controller", section: "7.4.1", setup: setup(flow(isV4, apply(set(openflow.IPv4Dst, B), out(openflow.PortController)))),
			probes: []probe{{in: c.in, offload: c.o, ins: []packetIn{{reason: openflow.ReasonAction, data: c.want}}}}})
	}
	check(t, cases)
}
