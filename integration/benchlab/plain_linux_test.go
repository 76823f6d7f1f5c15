package benchlab

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weirswitch/weir/integration/bench"
)

// plain says in a paragraph what the figures of some families say, weir beside its nearest peer.
func (b *board) plain() string {
	var said []string
	say := func(family, what string, pick func(row string) bool, by, of string) {
		rep := b.reports[family]
		if rep == nil {
			return
		}
		for _, row := range rep.Rows {
			own, known := rep.Median(row.Name, by)
			other, ok := rep.Median(row.Name, of)
			if !known || !ok || other <= 0 || !pick(row.Name) {
				continue
			}
			said = append(said, fmt.Sprintf("%s (%s, %s): %s %s (%.2f)", what, row.Name, by, judged(own/other, row.Less), of, own/other))
		}
	}
	only := func(name string) func(string) bool { return func(row string) bool { return row == name } }
	for _, by := range []string{bench.Weir, nameXSK} {
		say("pps", "One rule", only("delivered, live frames"), by, nameAFXDP)
	}
	say("tables", "Many rules", func(row string) bool { return strings.Contains(row, " rules of ") }, bench.Weir, nameAFXDP)
	say("tcp", "TCP", only("one stream, default offloads"), bench.Weir, nameBridge)
	for _, by := range []string{nameSpin, namePoll} {
		say("rtt", "Round trips", only("round trip p50"), by, nameAFXDP)
	}
	if len(said) == 0 {
		return ""
	}
	return "In plain words: " + strings.Join(said, "; ") + ".\n\n"
}

// judged is a ratio in a word. Less than a twentieth is no difference.
func judged(ratio float64, less bool) string {
	words := []string{"slower than", "as fast as", "faster than"}
	if less {
		slices.Reverse(words)
	}
	switch {
	case ratio < 0.95:
		return words[0]
	case ratio > 1.05:
		return words[2]
	}
	return words[1]
}

// TestPlainWords: a paragraph is made from figures, and says nothing where there are none.
func TestPlainWords(t *testing.T) {
	b := &board{reports: map[string]*bench.Report{"pps": {}, "rtt": {}}}
	if got := b.plain(); got != "" {
		t.Errorf("of nothing: %q", got)
	}
	for name, v := range map[string]float64{bench.Weir: 0.64, nameXSK: 1, nameAFXDP: 1} {
		b.reports["pps"].Add(name, bench.Row{Name: "delivered, live frames", Unit: mpps}, v)
	}
	for name, v := range map[string]float64{nameSpin: 20, nameAFXDP: 25} {
		b.reports["rtt"].Add(name, bench.Row{Name: "round trip p50", Unit: "us", Less: true}, v)
	}
	const want = "In plain words: One rule (delivered, live frames, weir): slower than OVS afxdp (0.64); " +
		"One rule (delivered, live frames, weir, AF_XDP): as fast as OVS afxdp (1.00); " +
		"Round trips (round trip p50, weir, spinning): faster than OVS afxdp (0.80).\n\n"
	if got := b.plain(); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}
