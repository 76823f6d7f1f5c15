package agent

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// TestSettle looks at once after Settle, and everything has to be there: frames of several ports, over the queues of
// the pipes' other ends, and PACKET_INs on the wire of a net.Pipe.
func TestSettle(t *testing.T) {
	b := newBench(t, 3)
	p := b.connect()
	p.features()
	p.send(add(1, inPort(3), openflow.Output(openflow.PortController), openflow.Output(1)))
	p.barrier()
	ctx, cancel := context.WithTimeout(context.Background(), inTime)
	defer cancel()
	const each = 200
	for round := range 5 {
		for range each {
			b.send(1, frame(0xff, 1, "to 2 and 3"))
			b.send(3, frame(1, 3, "to 1 and the controller"))
		}
		if err := b.sw.Settle(ctx); err != nil {
			t.Fatal(err)
		}
		for no, want := range map[uint32]int{1: each, 2: each, 3: each} {
			if got := b.ends[no].Waiting(); got != want {
				t.Errorf("round %d: %d frames at the end of port %d, want %d", round, got, no, want)
			}
			for _, ok := b.ends[no].TryReceive(); ok; _, ok = b.ends[no].TryReceive() {
			}
		}
		p.barrier()
		if got := b.sw.Controllers()[0].PacketIns; got != uint64(each*(round+1)) {
			t.Fatalf("round %d: %d packet-ins", round, got)
		}
		for range each { // the barrier's answer came after them, so nothing is waited for
			if r := expect[*openflow.PacketIn](p); r.m.Reason != openflow.ReasonAction {
				t.Fatal(r.m)
			}
		}
	}
}

// TestSettleStuck has a controller that stops reading: Settle ends with its context and says who is to blame.
func TestSettleStuck(t *testing.T) {
	b := newBench(t, 1)
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- b.sw.Serve(near) }()
	t.Cleanup(func() { far.Close(); <-done })
	c := openflow.NewConn(far)
	if _, _, _, err := c.Read(); err != nil {
		t.Fatal(err)
	}
	for _, m := range []openflow.Message{openflow.NewHello(openflow.Version), &openflow.FeaturesRequest{}, &openflow.BarrierRequest{}} {
		if _, err := c.Request(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, _, err := c.Read(); err != nil { // the FEATURES_REPLY; what follows is for nobody
		t.Fatal(err)
	}
	if _, err := c.Request(add(1, openflow.Match{}, openflow.Output(openflow.PortController))); err != nil {
		t.Fatal(err)
	}
	for len(b.sw.Flows(-1)) < 2 { // beside the table-miss entry
		time.Sleep(time.Millisecond)
	}
	b.send(1, frame(1, 2, "anybody?"))
	b.settle() // the frame is forwarded: what is left is the PACKET_IN
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := b.sw.Settle(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "in-memory does not read") {
		t.Errorf("Settle: %v", err)
	}
}
