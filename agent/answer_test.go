package agent

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// narrow is a connection that takes so many bytes at once without waiting, and the rest from the writer.
type narrow struct {
	lockedBuffer
	room   atomic.Int32
	direct atomic.Int32 // calls
}

func (n *narrow) tryWrite(b []byte) int {
	n.direct.Add(1)
	k, _ := n.Write(b[:min(len(b), int(n.room.Load()))])
	return k
}

// TestAnswerPassesTheWriter: an answer is written by whoever gives it when the writer rests, and what the connection
// does not take goes out before anything that comes later. Snoopers see each message once.
func TestAnswerPassesTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out narrow
		var shown lockedBuffer
		o := newOutbox(4, unlimited())
		o.direct, o.sending = out.tryWrite, func(b []byte) { shown.Write(b) }
		ended := make(chan error, 1)
		go func() { ended <- o.run(&out, func() {}) }()
		synctest.Wait()

		want := ""
		for room := range int32(5) {
			out.room.Store(room)
			if err := o.answer(msg("abcd")); err != nil {
				t.Fatal(err)
			}
			if got := len(out.String()) - len(want); got < int(room) {
				t.Errorf("%d bytes were written at once, want %d", got, room)
			}
			o.reply(msg("r"))
			o.packetIn(0, []byte("P"))
			synctest.Wait()
			if want += "abcdrP"; out.String() != want {
				t.Errorf("room for %d: sent %q, want %q", room, out.String(), want)
			}
			if !o.idle() {
				t.Error("not idle when all is written")
			}
		}
		if out.direct.Load() != 5 {
			t.Errorf("%d of 5 answers passed the writer", out.direct.Load())
		}
		long := strings.Repeat("x", directMost+1)
		o.answer(msg(long))
		synctest.Wait()
		if want += long; out.String() != want || out.direct.Load() != 5 {
			t.Error("a long answer did not go by the writer")
		}
		if shown.String() != want {
			t.Errorf("shown %d bytes of %d", len(shown.String()), len(want))
		}
		o.close(io.EOF, true)
		if err := o.answer(msg("late")); err != io.EOF {
			t.Errorf("answer after close: %v", err)
		}
		<-ended
	})
}

// TestAnswerKeepsItsPlace: an answer does not overtake what waits for the writer, and what comes while an answer is
// being written waits for it, the connection's end too.
func TestAnswerKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		o := newOutbox(4, unlimited())
		slow := make(chan struct{})
		o.direct = func(b []byte) int {
			<-slow
			out.Write(b[:1])
			return 1
		}
		o.reply(msg("1")) // nobody has written it yet
		if o.answer(msg("2")); out.String() != "" {
			t.Errorf("%q overtook the one before", out.String())
		}
		ended := make(chan error, 1)
		go func() { ended <- o.run(&out, func() {}) }()
		synctest.Wait()
		go o.answer(msg("34"))
		synctest.Wait()
		o.reply(msg("5"))
		o.answer(msg("6"))
		end := errors.New("end")
		o.close(end, true)
		synctest.Wait()
		if out.String() != "12" || o.idle() && o.closed == nil {
			t.Errorf("%q was sent while an answer is on its way", out.String())
		}
		close(slow)
		if err := <-ended; err != end || out.String() != "123456" {
			t.Errorf("sent %q, %v", out.String(), err)
		}
	})
}

// TestAnswersOwnMemory: the memory of a long answer, which waits for the writer, is not that of later ones: what is
// queued while an answer is on its way does not write over it.
func TestAnswersOwnMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out narrow
		out.room.Store(1 << 20)
		o := newOutbox(4, unlimited())
		meanwhile := func() {}
		o.direct = func(b []byte) int {
			meanwhile()
			return out.tryWrite(b)
		}
		go o.run(&out, func() {})
		defer o.close(io.EOF, false)
		synctest.Wait()
		want := ""
		say := func(length int, with string) {
			m := strings.Repeat(with, length)
			o.answer(msg(m))
			synctest.Wait()
			want += m
		}
		for _, length := range []int{directMost - 700, directMost - 200, directMost + 400} { // the last fits the memory of the one before
			say(length, "l")
		}
		o.reply(msg("r")) // goes round the writer's two buffers
		synctest.Wait()
		want += "r"
		meanwhile = func() { o.reply(msg("xxxx")) }
		say(8, "a")
		if want += "xxxx"; out.String() != want {
			t.Errorf("sent ...%q, want ...%q", strings.TrimLeft(out.String(), "l"), strings.TrimLeft(want, "l"))
		}
	})
}

// noLine skips where there is no way to a socket that never waits; on Linux there is one.
func noLine(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "linux" {
		t.Fatal("no way to a socket")
	}
	t.Skip("no way to a socket on " + runtime.GOOS)
}

// TestLine: a socket is asked and written to without waiting.
func TestLine(t *testing.T) {
	near, far := tcpPair(t)
	l := newLine(near)
	if l == nil {
		noLine(t)
	}
	if l.readable() {
		t.Error("a silent connection is readable")
	}
	if n := l.tryWrite([]byte("hello")); n != 5 {
		t.Errorf("%d bytes written of 5", n)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(far, b); err != nil || string(b) != "hello" {
		t.Errorf("read %q, %v", b, err)
	}
	full := make([]byte, 1<<20)
	for l.tryWrite(full) > 0 { // until nothing goes: it must return
	}
	far.Write([]byte("x"))
	eventually(t, "it is readable", l.readable)
	near.Close()
	if l.tryWrite(b) != 0 || !l.readable() {
		t.Error("a closed connection takes bytes, or hides its end")
	}
	if newLine(struct{ net.Conn }{near}) != nil || newLine(tls.Client(near, &tls.Config{})) != nil {
		t.Error("a connection that is no socket has a line")
	}
}

func tcpPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err == nil {
		near, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// TestLookout: it ends with what it looks for, after its time, or when others want the processor; one goroutine looks.
func TestLookout(t *testing.T) {
	b := spinBench(t, time.Minute)
	sp := &b.sw.spin
	asked := 0
	after := func(n int) *arrival {
		asked = 0
		return &arrival{ready: func() bool { asked++; return asked > n }}
	}
	rested := func() { sp.rest.Store(0) }
	eventually(t, "it is seen", func() bool { rested(); return b.sw.lookout(time.Minute, after(5)) && asked == 6 })
	if rested(); b.sw.lookout(1, after(1e9)) || asked == 0 {
		t.Errorf("asked %d times in no time", asked)
	}
	rested()
	if b.sw.lookout(time.Minute, &arrival{ready: func() bool { time.Sleep(2 * lostProcessor); return false }}) || sp.rest.Load() == 0 {
		t.Error("it went on though the processor was wanted")
	}
	if b.sw.lookout(time.Minute, after(0)) || asked != 0 {
		t.Error("it did not rest then")
	}
	rested()
	sp.token.Store(true)
	if b.sw.lookout(time.Minute, after(0)) || asked != 0 {
		t.Error("two look at a time")
	}
	sp.token.Store(false)
}

// TestLookoutIsShared: one goroutine looks for frames and messages alike, whichever it waits for itself; when what it
// waits for has come, the others sleep again.
func TestLookoutIsShared(t *testing.T) {
	for _, who := range []string{"port", "reader"} {
		t.Run(who, func(t *testing.T) {
			told := false
			for end := time.Now().Add(inTime); !told && time.Now().Before(end); {
				if !t.Run("try", func(t *testing.T) { told = sharesLookout(t, who) }) {
					return
				}
			}
			if !told {
				t.Errorf("it was never told in %v, the processor being wanted each time", inTime)
			}
		})
	}
}

// sharesLookout says whether a reader was told of what came while one goroutine looked for it and for a port. That it was not told is a failure, but
// for when the processor was wanted meanwhile, which ends all looking.
func sharesLookout(t *testing.T, who string) bool {
	b := spinBench(t, time.Minute)
	sp := &b.sw.spin
	f, _ := newDripper(b, 1)
	var come atomic.Bool
	w := &arrival{ready: come.Load, resume: make(chan bool, 1)}
	told := make(chan bool, 1)
	ask := func() { told <- b.sw.lookout(time.Minute, w) }
	state := func() (active bool, ports, readers int) {
		sp.mu.Lock()
		defer sp.mu.Unlock()
		return sp.active, len(sp.guests), len(sp.awaited)
	}
	wanted := false // the processor, by others: the one that looks says so before it tells those who wait
	until := func(what string, reached func() bool) {
		eventually(t, what, func() bool {
			wanted = sp.rest.Swap(0) != 0 || wanted
			select {
			case <-told: // again
				go ask()
			default:
			}
			return reached()
		})
	}
	drips := func(ports, readers int) func() bool {
		return func() bool {
			f.drip(t, 1)
			eventually(t, "more is looked for", f.dry.Load) // two in a row are load, which nobody else is looked for beside
			active, p, r := state()
			return active && p == ports && r == readers
		}
	}
	if who == "port" {
		until("the port's goroutine spins", drips(0, 0))
		go ask()
		until("it looks for the reader", drips(0, 1))
	} else {
		go ask()
		until("the reader spins", func() bool { active, _, _ := state(); return active })
		until("it looks for the port", drips(1, 0))
	}
	come.Store(true)
	saw := <-told
	if !saw && !wanted && sp.rest.Load() == 0 {
		t.Error("it was not told of what came")
	}
	f.drip(t, 1) // whoever serves it now
	return saw
}

// TestReaderLooksOut: a connection whose messages come in quick succession is looked at before its reader sleeps, one
// that keeps silent is not.
func TestReaderLooksOut(t *testing.T) {
	b := spinBench(t, time.Minute)
	near, far := tcpPair(t)
	c := b.sw.newChannel(near, "test", false, ControllerConfig{})
	if c.findLine(); c.line == nil {
		noLine(t)
	}
	message := openflow.Append(nil, 1, &openflow.BarrierRequest{})
	await := func() {
		t.Helper()
		far.Write(message)
		if _, err := c.awaitMessage(); err != nil {
			t.Fatal(err)
		}
	}
	await()
	if c.window == 0 {
		t.Error("a message that came soon opens no window")
	}
	await()
	b.sw.spin.limit(time.Microsecond)
	c.window = 0
	go func() {
		time.Sleep(5 * time.Millisecond)
		far.Write(message)
	}()
	if _, err := c.awaitMessage(); err != nil || c.window != 0 {
		t.Errorf("window of %s after a long silence, %v", c.window, err)
	}
	b.sw.spin.limit(0)
	if await(); c.window != 0 {
		t.Error("it looks though it is switched off")
	}
}
