package bench

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// Sizes of a plot, in pixels.
const (
	plotWidth = 760
	leftEdge  = 150 // names of switches end here
	barsWidth = 480
	barStep   = 18
	barHeight = 12
	rowGap    = 34 // above the bars of a row: its name
	headSpace = 30
)

// Plot draws the figures of some switches as bars, in SVG: a group for each row, a bar from zero to the median for each
// switch, a thin line from the least figure to the most. Each row has a scale of its own, for their units differ. weir
// comes in another colour than the rest.
func Plot(title string, r *Report, names []string) []byte {
	var b strings.Builder
	y := headSpace
	for _, w := range r.Rows {
		y += rowGap
		most := 0.0
		for _, n := range names {
			if v := r.Figures(w.Name, n); len(v) > 0 {
				most = max(most, slices.Max(v))
			}
		}
		fmt.Fprintf(&b, `<text x="10" y="%d" class="row">%s, %s</text>`+"\n", y-8, html.EscapeString(w.Name), html.EscapeString(w.Unit))
		for _, n := range names {
			v := r.Figures(w.Name, n)
			if len(v) == 0 {
				continue
			}
			bar(&b, y, n, v, most)
			y += barStep
		}
	}
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">
<style>.row{font-weight:bold}.name{text-anchor:end}.weir{fill:#1b6ca8}.peer{fill:#a9b4bd}.spread{stroke:#222;stroke-width:1.5}</style>
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="10" y="22" font-size="16">%s</text>
`, plotWidth, y+10, html.EscapeString(title))
	return []byte(head + b.String() + "</svg>\n")
}

// bar is one switch's line; most is the largest figure of its row.
func bar(b *strings.Builder, y int, name string, v []float64, most float64) {
	at := func(v float64) float64 {
		if most == 0 {
			return leftEdge
		}
		return leftEdge + v/most*barsWidth
	}
	class := "peer"
	if strings.HasPrefix(name, Weir) {
		class = "weir"
	}
	middle, mid := Median(v), float64(y)+barHeight/2
	fmt.Fprintf(b, `<text x="%d" y="%d" class="name">%s</text>`, leftEdge-6, y+10, html.EscapeString(name))
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" class="%s"/>`, leftEdge, y, at(middle)-leftEdge, barHeight, class)
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="spread"/>`, at(slices.Min(v)), mid, at(slices.Max(v)), mid)
	fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`+"\n", at(slices.Max(v))+6, y+10, Number(middle))
}
