package ports

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPace: after frames a sleeper looks up soon, then ever more seldom.
func TestPace(t *testing.T) {
	pace, wakes, slept := leastPace, 0, time.Duration(0)
	for slept < 10*time.Second {
		slept += pace
		wakes++
		pace = nextPace(pace, time.Second, true)
	}
	if pace != time.Second || wakes > 20 {
		t.Errorf("%d wake-ups in ten idle seconds, then one in %v", wakes, pace)
	}
	if got := nextPace(pace, time.Second, false); got != leastPace {
		t.Errorf("after frames %v", got)
	}
	if got := nextPace(0, 0, false); got != 0 {
		t.Errorf("without a tick %v", got)
	}
}

// TestNoWakeUpIsLost: what comes between a sleep that ended by itself and the next one ends that one at once, whether or not
// the descriptor has left the set.
func TestNoWakeUpIsLost(t *testing.T) {
	b, in, out := wakerOfPipe(t, time.Hour)
	for turn := range 40 {
		b.pace = time.Millisecond
		if err := b.wind(); err != nil {
			t.Fatal(err)
		}
		if err := b.wait(); err != nil || !b.stale {
			t.Fatal("the sleep did not end by itself", err)
		}
		b.pace = time.Hour
		if err := b.wind(); err != nil {
			t.Fatal(err)
		}
		if turn%4 == 1 {
			b.leave() // as when somebody looked at it meanwhile
		}
		say(t, out)
		if turn%4 == 3 {
			b.leave()
		}
		wakes(t, sleeping(b))
		hear(t, in)
	}
}

// TestListenTooLateLosesNoWakeUp: one that is told to listen again when it has just been woken by itself hears of what comes before its
// next sleep, too.
func TestListenTooLateLosesNoWakeUp(t *testing.T) {
	b, in, out := wakerOfPipe(t, 0)
	for range 10 {
		set := uintptr(b.set)
		if b.rung(set) {
			t.Fatal("nothing has come")
		}
		say(t, out)
		if !b.rung(set) {
			t.Fatal("something has come")
		}
		b.listen()
		b.disarm()
		hear(t, in)
		say(t, out)
		time.Sleep(2 * time.Millisecond) // then the poller has heard of it all, and forgets it when the sleep begins
		wakes(t, sleeping(b))
		hear(t, in)
	}
}

// TestSleeperIsNotLeft: the descriptor stays in the set while somebody sleeps, and is back for the next one.
func TestSleeperIsNotLeft(t *testing.T) {
	b, in, out := wakerOfPipe(t, 0)
	for range 100 {
		woke := sleeping(b)
		for armed := false; !armed && len(woke) == 0; runtime.Gosched() { // asleep, or as good as
			b.mu.Lock()
			armed = b.armed
			b.mu.Unlock()
		}
		b.leave()
		say(t, out)
		wakes(t, woke)
		b.leave()
		if b.held {
			t.Fatal("watched, though nobody sleeps")
		}
		hear(t, in)
	}
}

// TestManyFramesLeaveTheSet: a reader that has had many frames is watched no more, one that has had few is.
func TestManyFramesLeaveTheSet(t *testing.T) {
	b, in, out := wakerOfPipe(t, 0)
	l := newLease()
	l.waker = b
	say(t, out)
	wakes(t, sleeping(b))
	hear(t, in)
	for range manyFrames - 1 {
		if l.took(1); !b.held {
			t.Fatal("few frames have ended the watching")
		}
	}
	if l.took(1); b.held {
		t.Errorf("watched after %d frames", manyFrames)
	}
	l.waker = nil
	l.took(manyFrames) // of a port without an interface
}

func pipeOf(t *testing.T) (in, out int) {
	t.Helper()
	var pair [2]int
	if err := unix.Pipe2(pair[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(pair[1]) })
	return pair[0], pair[1]
}

func wakerOfPipe(t *testing.T, tick time.Duration) (b *waker, in, out int) {
	t.Helper()
	in, out = pipeOf(t)
	b, err := newWaker(in, tick)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.remove(in)
		b.leave() // to which nothing is left
	})
	return b, in, out
}

func leaseOfPipe(t *testing.T) (l *lease, in, out int) {
	t.Helper()
	in, out = pipeOf(t)
	l = newLease()
	if err := l.put(in); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.close() })
	return l, in, out
}

func sleeping(b *waker) (woke chan error) {
	woke = make(chan error, 1)
	go func() { woke <- b.wait() }()
	return woke
}

func wakes(t *testing.T, woke chan error) {
	t.Helper()
	select {
	case err := <-woke:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("asleep, though there is something to read")
	}
}

func say(t *testing.T, out int) {
	t.Helper()
	if _, err := unix.Write(out, []byte{1}); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, in int) {
	t.Helper()
	if n, err := unix.Read(in, make([]byte, 8)); n != 1 {
		t.Fatal(n, err)
	}
}

// TestNobodyLeftNobodyWoken: a descriptor that was left is in no set, before the first sleep and after one.
func TestNobodyLeftNobodyWoken(t *testing.T) {
	l, in, out := leaseOfPipe(t)
	held := func() (is bool) { // adding it twice is refused
		_ = l.waker.conn.Control(func(set uintptr) {
			is = unix.EpollCtl(int(set), unix.EPOLL_CTL_ADD, in, &unix.EpollEvent{}) == unix.EEXIST
			if !is {
				_ = unix.EpollCtl(int(set), unix.EPOLL_CTL_DEL, in, nil)
			}
		})
		return is
	}
	for range 3 {
		if held() {
			t.Fatal("it is watched though nobody sleeps")
		}
		say(t, out)
		if err := l.wait(); err != nil || !l.readable() || !held() {
			t.Fatal("not woken by what was there", err)
		}
		hear(t, in)
		l.stay()
	}
}

// TestHushedAndNapping: what comes while a sleeper is hushed wakes it only when it listens again; a nap ends with the first byte, and by itself.
func TestHushedAndNapping(t *testing.T) {
	l, in, out := leaseOfPipe(t)
	if l.nap() {
		t.Error("a nap was ended by nothing")
	}
	woke := make(chan error, 1)
	for range 20 {
		go func() { woke <- l.wait() }()
		for armed := false; !armed; time.Sleep(100 * time.Microsecond) { // hushed before it has gone to sleep it does as it pleases
			text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", l.waker.set))
			if err != nil {
				t.Fatal(err)
			}
			armed = strings.Contains(string(text), "events: 40000019") || strings.Contains(string(text), fmt.Sprintf("events: %8x", unix.EPOLLIN|unix.EPOLLONESHOT|unix.EPOLLERR|unix.EPOLLHUP))
		}
		l.hush()
		say(t, out)
		select {
		case err := <-woke:
			t.Fatal("woken though hushed", err)
		case <-time.After(3 * time.Millisecond):
		}
		l.listen()
		if err := <-woke; err != nil {
			t.Fatal(err)
		}
		if !l.nap() {
			t.Error("a nap with something to read")
		}
		hear(t, in)
	}
}
