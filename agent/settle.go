// Slow path: waiting until a switch between pipes has nothing left to do, so that tests and simulations need no sleep.

package agent

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// Settle returns when the switch has dealt with everything that lay before it: the frames that were injected into its
// pipes and patches have been forwarded, what leaves by a pipe is there for its other end, and PACKET_INs have been
// written to their connections. The error says what still waits when ctx ends.
//
// It is the step of a program that wants a switch to be a function of its input: inject a frame, Settle, read the
// pipes' other ends; with Env.Workers of 1, a ManualClock and a Seed the same input gives the same output. What a
// controller has sent is not waited for (a BARRIER_REQUEST does that), nor what waits for time (a queue's max-rate,
// timeouts), nor frames in devices of the system, which come when they come.
func (s *Switch) Settle(ctx context.Context) error {
	for turns := 0; ; turns++ {
		what := s.unsettled()
		if what == "" {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("bridge %s: %s: %w", s.name, what, err)
		}
		if turns < 1000 {
			runtime.Gosched() // a sleep is longer than what is waited for
		} else {
			time.Sleep(20 * time.Microsecond)
		}
	}
}

// unsettled names one thing that is not finished; empty: nothing. A worker that takes frames out of a port is in a
// batch until it has written what came of them, so they are never out of sight between the three looks.
func (s *Switch) unsettled() string {
	if p := s.waitingPort(); p != nil {
		return fmt.Sprintf("frames wait to be read from port %s", p.name)
	}
	s.quiesce()
	if p := s.waitingPort(); p != nil { // over a patch from this switch to itself
		return fmt.Sprintf("frames wait to be read from port %s", p.name)
	}
	for _, c := range *s.channels.Load() {
		if !c.out.idle() {
			return fmt.Sprintf("the controller at %s does not read what is sent to it", c.peer)
		}
	}
	return ""
}

// waitingPort is a port in whose memory frames wait to be read.
func (s *Switch) waitingPort() *port {
	for _, p := range s.table.Load().list {
		if q, ok := p.dev.(interface{ Waiting() int }); ok && q.Waiting() > 0 {
			return p
		}
	}
	return nil
}
