// Slow path: how many packet-ins one controller gets, reason by reason.

package agent

import (
	"sync"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// dropCause is why a packet-in was not sent.
type dropCause uint8

const (
	dropRate  dropCause = iota // packet-in-rate
	dropQueue                  // the connection's queue had no room
	numDropCauses
)

var dropCauseWords = [numDropCauses]string{"rate", "queue"}

// packetLimit is the limit on packet-ins of one controller and their counters. Its main and auxiliary
// connections share one. Each reason has its own bucket of tokens, so that a flood of misses leaves
// room for what an entry sends on purpose.
type packetLimit struct {
	clock Clock

	mu      sync.Mutex
	buckets [numReasons]tokenBucket
	sent    [numReasons]uint64
	dropped [numReasons][numDropCauses]uint64
}

// tokenBucket holds the tokens of one reason; rate 0 means no limit.
type tokenBucket struct {
	rate, burst, tokens float64
	refilled            time.Duration
}

func newPacketLimit(clock Clock, cfg *ControllerConfig) *packetLimit {
	l := &packetLimit{clock: clock}
	l.set(cfg)
	return l
}

// set applies the configured rates, with full buckets.
func (l *packetLimit) set(cfg *ControllerConfig) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	for i := range l.buckets {
		rate := cfg.PacketInRate
		if own := cfg.PacketInRates[i]; own != 0 {
			rate = max(own, 0)
		}
		burst := float64(max(cfg.PacketInBurst, 1))
		l.buckets[i] = tokenBucket{rate: float64(rate), burst: burst, tokens: burst, refilled: now}
	}
}

// take asks for one packet-in more and counts the answer.
func (l *packetLimit) take(reason openflow.PacketInReason) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := min(int(reason), numReasons-1)
	b := &l.buckets[i]
	if b.rate != 0 {
		now := l.clock.Now()
		b.tokens = min(b.burst, b.tokens+b.rate*(now-b.refilled).Seconds())
		b.refilled = now
		if b.tokens < 1 {
			l.dropped[i][dropRate]++
			return false
		}
		b.tokens--
	}
	l.sent[i]++
	return true
}

// noRoom counts a packet-in that found its queue full.
func (l *packetLimit) noRoom(reason openflow.PacketInReason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped[min(int(reason), numReasons-1)][dropQueue]++
}

// stats are the sums, and the drops by reason and cause in words; zero ones are left out.
func (l *packetLimit) stats() (sent, dropped uint64, by map[string]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.sent {
		sent += l.sent[i]
		for cause, n := range l.dropped[i] {
			if n == 0 {
				continue
			}
			if by == nil {
				by = map[string]uint64{}
			}
			dropped += n
			by[reasonWords[i]+"-"+dropCauseWords[cause]] = n
		}
	}
	return sent, dropped, by
}
