package benchlab

import (
	"encoding/binary"
	"net"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestRulesMatchTheirFlows reads each frame's fields from its bytes and compares them with those of its rule.
func TestRulesMatchTheirFlows(t *testing.T) {
	const n = 4096
	frames := makeFrames(n, net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2})
	sources, kinds := map[uint32]bool{}, map[int]bool{}
	for i := range n {
		b := frames[i*stride:]
		l4 := map[byte][2]openflow.FieldID{17: {openflow.UDPSrc, openflow.UDPDst}, 6: {openflow.TCPSrc, openflow.TCPDst}}[b[23]]
		is := map[openflow.FieldID]uint64{
			openflow.InPort: 1, openflow.EthType: uint64(binary.BigEndian.Uint16(b[12:])), openflow.IPProto: uint64(b[23]),
			openflow.IPv4Src: uint64(binary.BigEndian.Uint32(b[26:])), openflow.IPv4Dst: uint64(binary.BigEndian.Uint32(b[30:])),
			l4[0]: uint64(binary.BigEndian.Uint16(b[34:])), l4[1]: uint64(binary.BigEndian.Uint16(b[36:])),
		}
		sources[binary.BigEndian.Uint32(b[26:])], kinds[mask(i)] = true, true
		fields := 0
		for f := range match(i).Bits() {
			fields++
			v, known := is[f.ID]
			if !known || v&f.MaskLo != f.Lo {
				t.Fatalf("flow %d has %v = %#x, its rule %v", i, f.ID, v, f)
			}
		}
		if fields < 2 {
			t.Fatalf("rule %d has %d fields", i, fields)
		}
		if headerSum(b[14:34]) != 0 {
			t.Fatalf("flow %d: wrong checksum of the IPv4 header", i)
		}
	}
	if len(sources) != n || len(kinds) != masks {
		t.Errorf("%d flows have %d sources and %d masks, want %d masks", n, len(sources), len(kinds), masks)
	}
}
