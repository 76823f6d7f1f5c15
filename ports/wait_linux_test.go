package ports

import (
	"fmt"
	"os"
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

// TestNoWakeUpIsLost: what comes between a sleep that ended by itself and the next one ends that one at once.
func TestNoWakeUpIsLost(t *testing.T) {
	var pair [2]int
	if err := unix.Pipe2(pair[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	b, err := newWaker(pair[0], time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.remove(pair[0]) }()
	for turn := range 20 {
		b.pace = time.Millisecond
		if err := b.wind(); err != nil {
			t.Fatal(err)
		}
		if err := b.wait(); err != nil || !b.stale {
			t.Fatal("the sleep did not end by itself", err)
		}
		if turn%3 == 2 {
			b.leave() // as when somebody looked at it meanwhile
		}
		b.pace = time.Hour
		if err := b.wind(); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(pair[1], []byte{1}); err != nil {
			t.Fatal(err)
		}
		woke := make(chan error, 1)
		go func() { woke <- b.wait() }()
		select {
		case err := <-woke:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("asleep, though there is something to read")
		}
		if n, err := unix.Read(pair[0], make([]byte, 8)); n != 1 {
			t.Fatal(n, err)
		}
	}
}

// TestNobodyLeftNobodyWoken: a descriptor that was left is in no set, before the first sleep and after one.
func TestNobodyLeftNobodyWoken(t *testing.T) {
	var pair [2]int
	if err := unix.Pipe2(pair[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	l := newLease()
	if err := l.put(pair[0]); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.close() }()
	held := func() (is bool) { // adding it twice is refused
		_ = l.waker.conn.Control(func(set uintptr) {
			is = unix.EpollCtl(int(set), unix.EPOLL_CTL_ADD, pair[0], &unix.EpollEvent{}) == unix.EEXIST
			if !is {
				_ = unix.EpollCtl(int(set), unix.EPOLL_CTL_DEL, pair[0], nil)
			}
		})
		return is
	}
	for range 3 {
		if held() {
			t.Fatal("it is watched though nobody sleeps")
		}
		if _, err := unix.Write(pair[1], []byte{1}); err != nil {
			t.Fatal(err)
		}
		if err := l.wait(); err != nil || !l.readable() || !held() {
			t.Fatal("not woken by what was there", err)
		}
		if n, err := unix.Read(pair[0], make([]byte, 8)); n != 1 {
			t.Fatal(n, err)
		}
		l.stay()
	}
}

// TestHushedAndNapping: what comes while a sleeper is hushed wakes it only when it listens again; a nap ends with the first byte, and by itself.
func TestHushedAndNapping(t *testing.T) {
	var pair [2]int
	if err := unix.Pipe2(pair[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	l := newLease()
	if err := l.put(pair[0]); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.close() }()
	if l.nap() {
		t.Error("a nap was ended by nothing")
	}
	var some [8]byte
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
		if _, err := unix.Write(pair[1], some[:1]); err != nil {
			t.Fatal(err)
		}
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
		if n, err := unix.Read(pair[0], some[:]); n != 1 {
			t.Fatal(n, err)
		}
	}
}

// TestFramesOfQueues: a device's queues share the memory as long as each has enough.
func TestFramesOfQueues(t *testing.T) {
	for queues, want := range map[int]int{1: 8192, 2: 4096, 3: 2048, 4: 2048, 16: 512, 17: 512, 64: 512} {
		if got := xdpRxFor(queues); got != want {
			t.Errorf("%d queues: %d frames each, not %d", queues, got, want)
		}
	}
}
