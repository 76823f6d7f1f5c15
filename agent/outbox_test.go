package agent

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func unlimited() *packetLimit { return newPacketLimit(NewClock(), &ControllerConfig{}) }

func msg(s string) func([]byte) []byte {
	return func(b []byte) []byte { return append(b, s...) }
}

// lockedBuffer collects what the writer sent.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestOutboxKeepsOrderAndDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(4, unlimited())
		o.packetIn(0, []byte("P"))
		o.reply(msg("a"))
		o.notify(msg("b"))
		o.reply(msg("c"))
		end := errors.New("end")
		o.close(end, true)
		if err := o.reply(msg("late")); err != end {
			t.Errorf("reply after close: %v", err)
		}
		var out lockedBuffer
		if err := o.run(&out, func() {}); err != end {
			t.Errorf("run = %v", err)
		}
		if out.String() != "abcP" {
			t.Errorf("sent %q, want replies in order, then packet-ins", out.String())
		}
	})
}

func TestOutboxBoundsPacketIns(t *testing.T) {
	o := newOutbox(3, unlimited())
	for range 5 {
		o.packetIn(0, []byte("P"))
	}
	if !o.full(0) {
		t.Error("three waiting packet-ins must fill a queue of three")
	}
	sent, lost := o.stats()
	in, dropped, by := o.limit.stats()
	if by["no-match-queue"] != 3 {
		t.Errorf("drops by reason and cause: %v", by)
	}
	if sent != 3 || in != 3 || dropped != 3 || lost != 0 {
		t.Errorf("stats %d %d %d %d", sent, in, dropped, lost)
	}
}

func TestOutboxRateLimit(t *testing.T) {
	var c ManualClock
	o := newOutbox(1000, newPacketLimit(&c, &ControllerConfig{PacketInRate: 10, PacketInBurst: 5}))
	for range 100 {
		o.packetIn(0, []byte("P"))
	}
	if in, _, _ := o.limit.stats(); in != 5 {
		t.Errorf("%d passed at once, want the burst of 5", in)
	}
	c.Advance(300 * time.Millisecond)
	for range 100 {
		o.packetIn(0, []byte("P"))
	}
	if in, _, _ := o.limit.stats(); in != 8 {
		t.Errorf("%d passed after 0.3 s at 10/s, want 8", in)
	}
}

// stuckWriter blocks until released, as a peer that does not read.
type stuckWriter struct{ release chan struct{} }

func (s stuckWriter) Write(p []byte) (int, error) {
	if _, ok := <-s.release; !ok {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestOutboxSlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(10, unlimited())
		w := stuckWriter{make(chan struct{})}
		done := make(chan error)
		go func() { done <- o.run(w, func() {}) }()
		big := bytes.Repeat([]byte("x"), replyRoom+1)
		o.reply(msg(string(big)))
		synctest.Wait() // the writer holds it now
		o.reply(msg(string(big)))
		third := make(chan struct{})
		go func() { o.reply(msg("third")); close(third) }()
		synctest.Wait()
		select {
		case <-third:
			t.Fatal("a reply beyond the room must wait")
		default:
		}
		// Others never wait, and lose only what has no room.
		chunk := bytes.Repeat([]byte("y"), 1<<20)
		var lost int
		for range 20 {
			if o.notify(msg(string(chunk))) != nil {
				lost++
			}
		}
		if lost == 0 || lost == 20 {
			t.Errorf("%d of 20 notifications lost", lost)
		}
		for waiting := true; waiting; {
			select {
			case w.release <- struct{}{}:
			case <-third:
				waiting = false
			}
		}
		_ = o.notify(msg("more")) // so that there is something to write when the end comes
		close(w.release)
		if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("run = %v", err)
		}
		if err := o.reply(msg("after")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("reply on a dead connection = %v", err)
		}
	})
}
