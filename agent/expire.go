// Slow path: timeouts, looked at as often as something may have timed out.

package agent

import (
	"time"

	"github.com/weirswitch/weir/openflow"
)

const (
	// expireEvery is how often timeouts of entries and of the MAC table are looked at. The promise is
	// 100 ms; half of it leaves room for a busy machine.
	expireEvery = 50 * time.Millisecond
	// expireRest is how seldom while nothing that is there can time out: each time wakes three threads, which was most
	// of what a switch with nothing to do costs. Timeouts are whole seconds, so what comes meanwhile is not due before the next time.
	expireRest = 400 * time.Millisecond
)

// expire runs the timeouts and arms itself again.
func (s *Switch) expire() {
	now := s.clock.Now()
	s.flowsRemoved(nil, s.pipe.Expire(now))
	s.tellMonitors(nil, 0)
	kept := s.kept.tick(now)
	for _, l := range s.pipe.Loops() {
		s.log.Part("fdb").Warnf("loop: %s in VLAN %d moved %d times between ports %d and %d; its flooding is damped. Break the loop or run spanning tree",
			openflow.MAC(l.MAC), l.VLAN, l.Moves, l.Home, l.Other)
	}
	due, timed := s.pipe.Due(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running.Err() != nil {
		return
	}
	n := s.pipe.Len()
	steady := !kept && n == s.flood.last && !s.flood.on && !s.memory.waits()
	s.flood.tick(n)
	if s.memory.due(now, n) {
		s.group.Go(s.reclaim)
	}
	wait := expireEvery
	if steady {
		wait = expireRest
		if timed {
			wait = min(wait, max(expireEvery, due-now))
		}
	}
	s.resting.Store(wait > expireEvery)
	s.tick = s.clock.AfterFunc(wait, s.expire)
}

// rouse ends a rest when entries change: that many come or go is to be noticed soon, see reclaim.go.
func (s *Switch) rouse() {
	if !s.resting.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resting.Swap(false) && s.running.Err() == nil && s.tick.Stop() { // else expire is about to run
		s.tick = s.clock.AfterFunc(expireEvery, s.expire)
	}
}
