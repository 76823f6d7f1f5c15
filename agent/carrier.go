// Slow path: the ports that fast failover groups watch are asked for their carrier, ahead of the system's word of it.

package agent

import (
	"slices"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

const (
	// carrierPause is how often a watched port is asked. Linux tells at once of a carrier that is lost, but only once
	// a second, all devices of a machine together: the second of two losses would go unseen for most of that second.
	carrierPause = 4 * time.Millisecond
	// carrierRest is how seldom while nothing leaves by them: each time wakes a processor.
	carrierRest = 64 * time.Millisecond
	// maxCarriers is how many are asked in a turn; of more each waits longer.
	maxCarriers = 32
	// groupPause is the least time between two looks at what groups watch.
	groupPause = 250 * time.Millisecond
)

// groupsChanged is called when what groups watch may be different.
func (s *Switch) groupsChanged() {
	select {
	case s.groupEvents <- struct{}{}:
	default:
	}
}

// watchCarriers asks watched ports until the switch stops. Devices live in the system's time, whatever the switch's clock
// says.
func (s *Switch) watchCarriers() {
	var watched []uint32
	var turn, rest <-chan time.Time
	changed := s.groupEvents
	next, pace, sent := 0, carrierPause, uint64(0)
	for {
		select {
		case <-s.running.Done():
			return
		case <-changed:
			watched, pace = s.watchedPorts(), carrierPause
			changed, rest = nil, time.After(groupPause)
		case <-rest:
			changed, rest = s.groupEvents, nil
		case <-turn:
			was := sent
			if sent = s.sentBy(watched); sent != was {
				pace = carrierPause
			} else {
				pace = min(2*pace, carrierRest)
			}
			for range min(len(watched), maxCarriers) {
				next = (next + 1) % len(watched)
				if p := s.table.Load().get(watched[next]); p != nil {
					if dev, ok := p.dev.(ports.CarrierAsker); ok {
						dev.AskCarrier()
					}
				}
			}
		}
		if turn = nil; len(watched) > 0 {
			turn = time.After(pace)
		}
	}
}

// sentBy is how many frames were to leave by ports.
func (s *Switch) sentBy(list []uint32) (n uint64) {
	t := s.table.Load()
	for _, no := range list {
		if p := t.get(no); p != nil {
			c := p.counters.Snapshot()
			n += c.TxPackets + c.TxDropped
		}
	}
	return n
}

// watchedPorts are those that buckets of fast failover groups name.
func (s *Switch) watchedPorts() (list []uint32) {
	for _, g := range s.pipe.Groups() {
		if g.Type != openflow.GroupTypeFastFailover {
			continue
		}
		for i := range g.Buckets {
			if no := uint32(g.Buckets[i].WatchPort); g.Buckets[i].WatchPort != openflow.PortAny && !slices.Contains(list, no) {
				list = append(list, no)
			}
		}
	}
	return list
}
