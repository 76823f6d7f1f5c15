package oracle

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestSelect: which bucket of a select group a frame takes is each switch's own choice, but it is one bucket, a live one
// that has a weight, and the same one whenever the frame comes again while nothing has changed.
func TestSelect(t *testing.T) {
	all := bench(t)
	const lives, flows = 8, 12
	for seed := *firstFlag; seed < *firstFlag+lives; seed++ {
		g := &gen{Rand: rand.New(rand.NewPCG(seed, 0)), maxLabels: 1}
		weights := [numPorts]uint16{uint16(g.IntN(3)), uint16(g.IntN(3)), 1, uint16(g.IntN(3))}
		m := &groupMod{kind: openflow.GroupTypeSelect, id: 1}
		for i, w := range weights { // the frames come in by port 1, so its bucket says so with an address
			m.buckets = append(m.buckets, bucket{weight: w, watchPort: openflow.PortNo(i + 1), watchGroup: openflow.GroupAny,
				actions: []openflow.Action{openflow.SetField(openflow.EthSrc, 0x020000000a00+uint64(i)), openflow.Output(openflow.PortInPort)}})
		}
		down := 1 + g.IntN(2) // port 2 or 3
		if down == 2 && weights[1]+weights[3]+weights[0] == 0 {
			down = 1
		}
		l := &life{steps: []step{m, rule(apply(openflow.Group(1)))}}
		var sent []*frame
		for range flows {
			f := g.frame()
			f.port = 1
			sent = append(sent, f, f)
		}
		add := func() {
			for _, f := range sent {
				l.steps = append(l.steps, f)
			}
		}
		add()
		l.steps = append(l.steps, &portMod{port: openflow.PortNo(down + 1), config: openflow.PortDown, mask: openflow.PortDown})
		add()
		seen, err := playAll(all, l, false)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i, target := range all {
			if err := judgeSelect(l, seen[i], weights, down); err != nil {
				t.Errorf("seed %d: %s: %v\n%s", seed, target.name(), err, l)
			}
		}
	}
}

// judgeSelect looks at what came out for each frame, which is sent twice in a row.
func judgeSelect(l *life, seen [][]string, weights [numPorts]uint16, down int) error {
	last, isDown := "", false
	for i, s := range l.steps {
		if _, is := s.(*portMod); is {
			isDown, last = true, ""
		}
		f, is := s.(*frame)
		if !is {
			continue
		}
		if len(seen[i]) != 1 || !strings.HasPrefix(seen[i][0], "out 1: ") {
			return fmt.Errorf("step %d: %q, expected one frame by port 1", i, seen[i])
		}
		var at int
		if _, err := fmt.Sscanf(seen[i][0][len("out 1: ")+12:][:12], "020000000a%02x", &at); err != nil || at >= numPorts {
			return fmt.Errorf("step %d: %q comes from no bucket", i, seen[i])
		}
		if weights[at] == 0 || isDown && at == down {
			return fmt.Errorf("step %d: bucket %d has weight %d, or is dead (port %d is down: %t)", i, at, weights[at], down+1, isDown)
		}
		if i > 0 && l.steps[i-1] == step(f) && last != seen[i][0] {
			return fmt.Errorf("step %d: the same frame took another bucket: %s, then %s", i, last, seen[i][0])
		}
		last = seen[i][0]
	}
	return nil
}
