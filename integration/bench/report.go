package bench

import (
	"cmp"
	"fmt"
	"slices"
)

// Weir is the name of the switch that has goals.
const Weir = "weir"

// Row is one thing that is measured on several switches.
type Row struct {
	Name  string
	Unit  string
	Less  bool // a smaller figure is better
	Goals []Goal
}

// Goal is what weir's figure is to be: at least Factor times another figure, or at most with Row.Less.
type Goal struct {
	By     string // another name of weir's, where it is measured in several ways; none: Weir
	Of     string // the switch whose figure is meant; none: Factor is the figure itself
	Row    string // that figure's row; empty for the same row
	Factor float64
}

// Report gathers figures in the order in which their rows first came.
type Report struct {
	Rows    []Row
	figures map[string]map[string][]float64 // row, switch
}

// Add files one figure of a switch.
func (r *Report) Add(name string, w Row, v float64) {
	if r.figures == nil {
		r.figures = map[string]map[string][]float64{}
	}
	if r.figures[w.Name] == nil {
		r.figures[w.Name] = map[string][]float64{}
		r.Rows = append(r.Rows, w)
	}
	r.figures[w.Name][name] = append(r.figures[w.Name][name], v)
}

// Figures are those of a switch in a row, in the order in which they came.
func (r *Report) Figures(row, name string) []float64 { return r.figures[row][name] }

// Median of the figures of a switch in a row; ok is false when there are none.
func (r *Report) Median(row, name string) (m float64, ok bool) {
	v := r.figures[row][name]
	return Median(v), len(v) > 0
}

// Cell is "median (least..most)", or "-".
func (r *Report) Cell(row, name string) string {
	v := r.figures[row][name]
	if len(v) == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%s..%s)", Number(Median(v)), Number(slices.Min(v)), Number(slices.Max(v)))
}

// Against is the figure that a goal compares with, and whether it is known.
func (r *Report) Against(w Row, g Goal) (v float64, ok bool) {
	if g.Of == "" {
		return g.Factor, true
	}
	row := g.Row
	if row == "" {
		row = w.Name
	}
	return r.Median(row, g.Of)
}

// Who is the switch whose figure a goal asks for.
func (g Goal) Who() string { return cmp.Or(g.By, Weir) }

// Verdict says what a goal asks and whether weir's figure meets it; "-" where a figure is missing.
func (r *Report) Verdict(w Row, g Goal) string {
	weir, known := r.Median(w.Name, g.Who())
	other, ok := r.Against(w, g)
	if !known || !ok {
		return "-"
	}
	limit, sign, met := other, ">=", false
	if g.Of != "" {
		limit = g.Factor * other
	}
	if met = weir >= limit; w.Less {
		sign, met = "<=", weir <= limit
	}
	if met && g.Of != "" && other == 0 && !w.Less {
		return fmt.Sprintf("%s %g: met (it delivered nothing)", sign, g.Factor)
	}
	if met {
		return fmt.Sprintf("%s %g: met", sign, g.Factor)
	}
	return fmt.Sprintf("%s %g: **not met**", sign, g.Factor)
}

// Ratio of two figures as text.
func Ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// Median of some figures; 0 of none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if len(v)%2 == 0 {
		return (v[len(v)/2-1] + v[len(v)/2]) / 2
	}
	return v[len(v)/2]
}

// Number is a figure with about three digits.
func Number(v float64) string {
	switch {
	case v >= 10000:
		return fmt.Sprintf("%.1fk", v/1000)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1 || v == 0:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
