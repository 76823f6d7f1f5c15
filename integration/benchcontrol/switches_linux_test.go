package benchcontrol

import (
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/bench"
	"github.com/weirswitch/weir/integration/lab"
)

// startWeir and startOVS start a fresh process each; the lab's Close ends it.
func startWeir(t *testing.T, bin string) *bench.Switch {
	t.Helper()
	s := bench.NewWeir(newLab(t), bin, "%s")
	connect(t, s, s.Start(false))
	return s
}

func startOVS(t *testing.T) *bench.Switch {
	t.Helper()
	o, err := bench.NewOVS(t.Context(), newLab(t), ovsName, false)
	if err == nil {
		err = o.StartDaemon()
	}
	if err == nil {
		err = o.AddBridge(t.Context(), false)
	}
	if err != nil {
		t.Fatal(err)
	}
	connect(t, o.Switch, nil)
	return o.Switch
}

func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := bench.NewLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// connect waits for the switch's call, if it could be started.
func connect(t *testing.T, s *bench.Switch, err error) {
	t.Helper()
	if err == nil {
		err = s.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.NC.Close()
		if t.Failed() {
			t.Logf("%s said:\n%s", s.Name, s.Proc.Output())
		}
	})
}

// rss is the resident memory of the switch, in bytes.
func (r *round) rss() float64 {
	r.Helper()
	n, err := r.s.RSS()
	r.ok(err)
	return n
}

// attend lets the switches whose turn it is not know that their controller lives.
func (r *round) attend() (stop func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	for _, s := range r.all {
		if s == r.s {
			continue
		}
		group.Go(func() {
			for {
				if err := s.Idle(); err != nil {
					r.Errorf("%s, at rest: %v", s.Name, err)
					return
				}
				select {
				case <-time.After(time.Second):
				case <-done:
					return
				}
			}
		})
	}
	return func() { close(done); group.Wait() }
}

// settle waits until the switches do next to nothing (both put off the freeing of memory), for 10 s at most.
func (r *round) settle() {
	busy := func() (sum time.Duration) {
		for _, s := range r.all {
			sum += s.Used()
		}
		return sum
	}
	for end, calm := time.Now().Add(10*time.Second), 0; calm < 3 && time.Now().Before(end); {
		before := busy()
		time.Sleep(100 * time.Millisecond)
		if calm++; busy()-before > 5*time.Millisecond {
			calm = 0
		}
	}
}
