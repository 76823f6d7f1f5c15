package ports

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/flowtable/packet"
)

// TestXDPDriverForgets writes more than a driver takes when it is woken. A veth in the place of one that shares its memory does so:
// it takes some frames a call and forgets the rest, which have to leave in their order with nobody writing again.
// Short frames are as long as a wire wants them.
func TestXDPDriverForgets(t *testing.T) {
	h, sw := newSpace(t), newSpace(t)
	h.quiet()
	sw.quiet()
	cable(h, "eth0", sw, "sw0", 1500)
	in, out := h.port("xdp:eth0"), sw.port("xdp:sw0")
	x := out.(*afxdp)
	x.use.Lock()
	x.lines.queues[0].zeroCopy = true
	x.use.Unlock()
	const n = 3 * xdpTx / 4
	frames, want := make([]*packet.Frame, n), make([][]byte, n)
	next := 0
	for _, count := range []int{n, 1, n, 40, n} { // the chunks come back
		for i := range count {
			b := testFrame("", 14+i%100)
			binary.BigEndian.PutUint16(b, uint16(next&0x7ffe))
			binary.BigEndian.PutUint16(b[6:], uint16(next))
			next++
			frames[i] = packet.NewFrame(len(b))
			frames[i].SetBytes(b)
			if len(b) < shortestFrame {
				b = append(b, make([]byte, shortestFrame-len(b))...)
			}
			want[i] = b
		}
		if taken := out.Write(frames[:count]); taken != count {
			t.Fatalf("%d frames of %d were taken: %+v", taken, count, countersOf(out))
		}
		got := read(t, in, count)
		if len(got) != count {
			t.Fatalf("%d frames came of %d: %+v", len(got), count, countersOf(out))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("frame %d\n got %x\nwant %x", i, got[i], want[i])
			}
		}
	}
	if v := countersOf(out); v.TxPackets != uint64(next) || v.TxDropped != 0 {
		t.Errorf("%d frames: %+v", next, v)
	}
}

// TestRefusedProgramNamesJoining: a driver refuses a program also because its device joins packets, and the error says how to end that.
func TestRefusedProgramNamesJoining(t *testing.T) {
	for _, why := range []unix.Errno{unix.EOPNOTSUPP, unix.EINVAL} {
		err := explainHook(nil, link{name: "eth1", mtu: 1500}, why)
		if !errors.Is(err, why) || !strings.Contains(err.Error(), "ethtool -K eth1 lro off rx-gro-hw off") {
			t.Error(err)
		}
	}
}
