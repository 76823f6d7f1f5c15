package bench

import (
	"fmt"
	"strings"
)

// GoalTable is a table of goals, of which lines are GoalLines, below how many of them are met.
func GoalTable(lines string) string {
	return fmt.Sprintf("%d met, %d not met.\n\n| | weir | beside | its figure | weir / it | goal |\n| --- | --- | --- | --- | --- | --- |\n%s",
		strings.Count(lines, ": met "), strings.Count(lines, "**not met** |"), lines)
}

// GoalLine is a line for the goal g of row w, which is called what there.
func (r *Report) GoalLine(what string, w Row, g Goal) string {
	weir, known := r.Median(w.Name, g.Who())
	own, of, figure, ratio := "-", g.Of, "", ""
	if known {
		own = Number(weir)
	}
	what += ", " + w.Unit
	if g.By != "" {
		what += " (" + g.By + ")"
	}
	if g.Of != "" {
		v, ok := r.Against(w, g)
		if figure = "-"; ok {
			figure = Number(v)
		}
		if ok && known {
			ratio = Ratio(weir, v)
		}
	}
	if g.Row != "" {
		of += ": " + g.Row
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", what, own, of, figure, ratio, r.Verdict(w, g))
}

// Table has a line for each row and a column for each of names.
func (r *Report) Table(names []string) string {
	var b strings.Builder
	b.WriteString("| |")
	for _, n := range names {
		fmt.Fprintf(&b, " %s |", n)
	}
	b.WriteString("\n|" + strings.Repeat(" --- |", len(names)+1) + "\n")
	for _, w := range r.Rows {
		fmt.Fprintf(&b, "| %s, %s |", w.Name, w.Unit)
		for _, n := range names {
			fmt.Fprintf(&b, " %s |", r.Cell(w.Name, n))
		}
		b.WriteString("\n")
	}
	return b.String()
}
