package agent

import (
	"fmt"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestPacketInRateByReason: a flood of misses leaves room for what an entry sends on purpose, and
// the status names each drop.
func TestPacketInRateByReason(t *testing.T) {
	var d dialer
	b := newBench(t, 2, oneController(&d, 0), func(c *BridgeConfig, _ *Env) {
		ctl := &c.Controllers[0]
		ctl.PacketInRate, ctl.PacketInBurst = 100, 3
		ctl.PacketInRates = ReasonRates{openflow.ReasonAction: -1}
	})
	p := d.accept(t)
	p.features()
	p.send(deleteAll())
	p.send(add(0, openflow.Match{}, controllerOutput(64)))
	p.send(add(5, inPort(2), controllerOutput(64)))
	p.barrier()
	for i := range 10 {
		b.send(1, frame(1, 2, fmt.Sprint("miss", i)))
		b.settle()
		b.send(2, frame(1, 2, fmt.Sprint("action", i)))
		b.settle()
	}
	p.barrier()
	st := b.sw.Controllers()[0]
	if st.PacketIns != 13 || st.PacketInDrops != 7 || len(st.DropsBy) != 1 || st.DropsBy["no-match-rate"] != 7 {
		t.Errorf("status %+v; want 3 misses and 10 actions sent, 7 misses dropped by their rate", st)
	}
	if sum := b.sw.Status(); sum.PacketDrops != 7 {
		t.Errorf("the bridge counts %d drops", sum.PacketDrops)
	}
	got := map[openflow.PacketInReason]int{}
	for range 13 {
		got[expect[*openflow.PacketIn](p).m.Reason]++
	}
	if got[openflow.ReasonNoMatch] != 3 || got[openflow.ReasonAction] != 10 {
		t.Errorf("by reason %v", got)
	}
}
