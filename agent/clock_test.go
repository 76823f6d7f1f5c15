package agent

import (
	"slices"
	"testing"
	"time"
)

func TestManualClockOrder(t *testing.T) {
	var c ManualClock
	var got []string
	at := func(d time.Duration, name string) Timer {
		return c.AfterFunc(d, func() { got = append(got, name+"@"+c.Now().String()) })
	}
	at(2*time.Second, "b")
	at(time.Second, "a")
	at(2*time.Second, "c")
	gone := at(1500*time.Millisecond, "never")
	var tick func()
	tick = func() { got = append(got, "tick@"+c.Now().String()); c.AfterFunc(1200*time.Millisecond, tick) }
	c.AfterFunc(1200*time.Millisecond, tick)
	if !gone.Stop() || gone.Stop() {
		t.Error("Stop must say once that it stopped the timer")
	}
	c.Advance(2500 * time.Millisecond)
	want := []string{"a@1s", "tick@1.2s", "b@2s", "c@2s", "tick@2.4s"}
	if !slices.Equal(got, want) {
		t.Errorf("calls %v, want %v", got, want)
	}
	if c.Now() != 2500*time.Millisecond {
		t.Errorf("Now = %v", c.Now())
	}
}

func TestRealClockAdvances(t *testing.T) {
	c := NewClock()
	done := make(chan struct{})
	before := c.Now()
	c.AfterFunc(time.Millisecond, func() { close(done) })
	<-done
	if c.Now() <= before {
		t.Error("the clock stands still")
	}
}
