package ports

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/weirswitch/weir/flowtable/packet"
)

// TestTapJoins: what a tap's host gets is fewer and longer frames, and what its kernel makes of them for a wire is
// bit by bit what was written. Each counts.
func TestTapJoins(t *testing.T) {
	sw, h := newSpace(t), newSpace(t)
	sw.quiet()
	h.quiet()
	cable(sw, "out", h, "eth0", 1500)
	sw.must(sw.do(func() error {
		for _, what := range []string{"tso", "gso", "tx"} {
			if err := exec.Command("ethtool", "-K", "out", what, "off").Run(); err != nil {
				return err
			}
		}
		return nil
	}))
	p := sw.port("tap:t0")
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	bridge.Name = "bridge"
	sw.must(sw.net.LinkAdd(bridge))
	for _, name := range []string{"t0", "out"} {
		sw.must(sw.net.LinkSetMaster(sw.link(name), sw.link("bridge")))
	}
	sw.up("bridge")
	eventually(t, "up", func() bool { return p.Info().LinkUp })
	wire := h.port("eth0")
	begin := frameOf(testFrame("", 60))
	eventually(t, "the bridge forwards", func() bool {
		p.Write([]*packet.Frame{begin})
		return len(drained(t, wire)) > 0
	})

	var frames []*packet.Frame
	size, writes := 0, 0
	for _, s := range []stream{{}, {v6: true}, {tags: "\x81\x00\x60\x0a"}, {partial: true}, {v6: true, tags: "\x81\x00\x60\x0a", partial: true},
		{tags: "\x88\xa8\x00\x0b\x81\x00\x00\x0a"}, {tags: "\x91\x00\x00\x0b"}, {tags: "\x91\x00\x00\x0b\x81\x00\x00\x0a", v6: true}} {
		s.options, s.id, s.seq = timestamps, firstID, firstSeq
		if writes += 2; strings.HasPrefix(s.tags, "\x91") { // the kernel would lose what was joined behind such a tag
			writes += 10
		}
		for i := range 12 {
			n, flags := 1400, byte(tcpACK)
			if i%6 == 5 {
				n, flags = 700, tcpACK|tcpPSH
			}
			f := s.segment(n, flags)
			frames, size = append(frames, f), size+f.Len()
		}
	}
	before, was := countersOf(p), sw.link("t0").Attrs().Statistics.RxPackets
	if taken := p.Write(frames); taken != len(frames) {
		t.Errorf("%d of %d taken", taken, len(frames))
	}
	now := countersOf(p)
	if n, b := now.TxPackets-before.TxPackets, now.TxBytes-before.TxBytes; n != uint64(len(frames)) || b != uint64(size) || now.TxDropped != 0 {
		t.Errorf("%d frames of %d bytes are counted: %+v", n, b, now)
	}
	if n := sw.link("t0").Attrs().Statistics.RxPackets - was; n != uint64(writes) {
		t.Errorf("the host got %d frames, not %d", n, writes)
	}
	var fin Finisher
	var want [][]byte
	for _, f := range frames {
		want = append(want, finished(&fin, f, 1500)...)
	}
	var got [][]byte
	eventually(t, "all on the wire", func() bool {
		for _, b := range drained(t, wire) {
			if len(b) > 60 { // that is begin
				got = append(got, b)
			}
		}
		return len(got) >= len(want)
	})
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("frame %d\n got %x\nwant %x", i, got[i][:90], want[i][:90])
		}
	}

	if v := countersOf(wire); v.RxDropped != 0 {
		t.Errorf("%+v", v)
	}
	eventually(t, "a batch that allocates nothing", func() bool { // the goroutines that follow the links may run beside one
		return testing.AllocsPerRun(1, func() { p.Write(frames) }) == 0
	})
}

// drained is what a port has now.
func drained(t *testing.T, p Port) (got [][]byte) {
	t.Helper()
	frames := frameBatch(16, 2000)
	for {
		n, err := p.Read(frames)
		if n == 0 || err != nil {
			return got
		}
		for _, f := range frames[:n] {
			got = append(got, bytes.Clone(f.Bytes()))
		}
	}
}
