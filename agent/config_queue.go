// Slow path: the queues of a port as a user writes them, in the file and in the text of a port.

package agent

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/weirswitch/weir/ports"
)

// QueueConfig is one queue of a port, which the set_queue action names. Rates are in bit/s.
type QueueConfig struct {
	ID      uint32
	MinRate uint64 // had whatever the others send; 0: nothing is guaranteed
	MaxRate uint64 // never exceeded; 0: only the link limits
}

const (
	maxQueues  = 64              // of one port
	maxQueueID = 0xfffffffe      // the next one means all
	minRate    = 1000            // bit/s
	maxRate    = 400_000_000_000 // so that 20 ms of it fit the scheduler's numbers
)

var rateUnits = []struct {
	word string
	bits uint64
}{{"Gbit", 1e9}, {"Mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}

// setRate takes a rate with its unit, as tc does.
func setRate(dst *uint64, s string) error {
	const expected = "expected a number with its unit, like 500kbit, 10Mbit or 1.5Gbit"
	for _, u := range rateUnits {
		if n := len(s) - len(u.word); n > 0 && strings.EqualFold(s[n:], u.word) {
			v, err := strconv.ParseFloat(s[:n], 64)
			if err != nil || strings.Trim(s[:n], "0123456789.") != "" {
				break
			}
			if v *= float64(u.bits); v < minRate || v > maxRate {
				return fmt.Errorf("%s is out of range: expected %s to %s", clip(s, 40), formatRate(minRate), formatRate(maxRate))
			}
			*dst = uint64(v + 0.5)
			return nil
		}
	}
	return fmt.Errorf("%q is not a rate: %s", clip(s, 40), expected)
}

// formatRate is the shortest text that setRate reads as the same rate.
func formatRate(v uint64) string {
	for _, u := range rateUnits {
		if v%u.bits == 0 {
			return fmt.Sprintf("%d%s", v/u.bits, u.word)
		}
	}
	return ""
}

// queueSettings is one entry of queues, and the words behind queue=ID in the text of a port.
func queueSettings() []setting[QueueConfig] {
	return []setting[QueueConfig]{
		{key: "id", arg: "N", help: "number that set_queue names; 0: also frames without one",
			set: func(q *QueueConfig, s string) error {
				n, err := strconv.ParseUint(s, 10, 32)
				if err != nil || n > maxQueueID {
					return fmt.Errorf("%q is not the number of a queue: expected 0 to %d", clip(s, 40), uint32(maxQueueID))
				}
				q.ID = uint32(n)
				return nil
			}},
		{key: "min-rate", arg: "RATE", help: "rate that the queue has whatever the others send",
			set: func(q *QueueConfig, s string) error { return setRate(&q.MinRate, s) }},
		{key: "max-rate", arg: "RATE", help: "rate that the queue never exceeds",
			set: func(q *QueueConfig, s string) error { return setRate(&q.MaxRate, s) }},
	}
}

// String is the queue as it stands behind queue= in the text of a port.
func (q *QueueConfig) String() string {
	s := fmt.Sprint(q.ID)
	if q.MinRate != 0 {
		s += ":min-rate=" + formatRate(q.MinRate)
	}
	if q.MaxRate != 0 {
		s += ":max-rate=" + formatRate(q.MaxRate)
	}
	return s
}

// parseQueue reads ID[:min-rate=RATE][:max-rate=RATE].
func parseQueue(text string) (QueueConfig, error) {
	words := strings.Split(text, ":")
	settings := queueSettings()
	var q QueueConfig
	if err := settings[0].set(&q, words[0]); err != nil {
		return q, err
	}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		s := findSetting(settings[1:], key)
		if s == nil || !ok {
			return q, fmt.Errorf("unknown option %q of a queue: expected min-rate=RATE or max-rate=RATE", clip(w, 40))
		}
		if err := s.set(&q, value); err != nil {
			return q, fmt.Errorf("%s: %w", key, err)
		}
	}
	return q, nil
}

// readQueue reads one entry of queues: a mapping, or the text that --port has behind queue=.
func readQueue(r *reader, n *yaml.Node, at string, p *portDraft) {
	if n.Kind == yaml.ScalarNode {
		text, ok := r.scalar(n, at, "ID:max-rate=RATE")
		if !ok {
			return
		}
		if _, err := parseQueue(text); err != nil {
			r.failAt(n.Line, at, err.Error())
			return
		}
		p.options = append(p.options, "queue="+text)
		return
	}
	var q QueueConfig
	before := len(r.errs)
	readBlock(r, n, at, queueSettings(), &q)
	switch {
	case n.Kind == yaml.MappingNode && !hasKey(n, "id"):
		r.failAt(n.Line, at, "the queue has no id: add one, like \"id: 0\"")
	case len(r.errs) == before:
		p.options = append(p.options, "queue="+q.String())
	}
}

// takeQueueWords takes the words about queues out of a port's text; the rest is ports.Spec's.
func (p *PortConfig) takeQueueWords(text string) (rest string, err error) {
	var keep []string
	for i, w := range strings.Split(text, ",") {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case i > 0 && key == "link-rate":
			err = setRate(&p.LinkRate, value)
		case i > 0 && key == "queue":
			var q QueueConfig
			q, err = parseQueue(value)
			p.Queues = append(p.Queues, q)
		default:
			keep = append(keep, w)
		}
		if err != nil {
			return "", &ports.SpecError{Text: text, Word: w, Want: err.Error()}
		}
	}
	slices.SortStableFunc(p.Queues, func(a, b QueueConfig) int { return int(int64(a.ID) - int64(b.ID)) })
	if err := p.checkQueues(); err != nil {
		return "", &ports.SpecError{Text: text, Word: "queue", Want: err.Error(), Joint: true}
	}
	return strings.Join(keep, ","), nil
}

// checkQueues judges the queues of a port together.
func (p *PortConfig) checkQueues() error {
	var sum uint64
	for i, q := range p.Queues {
		switch {
		case i > 0 && p.Queues[i-1].ID == q.ID:
			return fmt.Errorf("queue %d is there twice: keep one", q.ID)
		case q.MaxRate != 0 && q.MinRate > q.MaxRate:
			return fmt.Errorf("queue %d: min-rate %s is more than max-rate %s", q.ID, formatRate(q.MinRate), formatRate(q.MaxRate))
		}
		sum += q.MinRate
	}
	switch {
	case len(p.Queues) > maxQueues:
		return fmt.Errorf("%d queues: a port has at most %d", len(p.Queues), maxQueues)
	case p.LinkRate != 0 && sum > p.LinkRate:
		return fmt.Errorf("the min-rates add up to %s, more than the link-rate %s", formatRate(sum), formatRate(p.LinkRate))
	case p.LinkRate != 0 && len(p.Queues) == 0:
		return errors.New("a link-rate is shared by queues: add one, like queue=0")
	}
	return nil
}

// String is the text that ParsePort reads as this port.
func (p *PortConfig) String() string {
	s := p.Spec.String()
	if p.LinkRate != 0 {
		s += ",link-rate=" + formatRate(p.LinkRate)
	}
	for i := range p.Queues {
		s += ",queue=" + p.Queues[i].String()
	}
	return s
}
