package bench

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

func filled() *Report {
	r := &Report{}
	rate := Row{Name: "rate", Unit: "Mpps", Goals: []Goal{{Of: "peer", Factor: 1.5}, {By: "weir, spinning", Of: "peer", Factor: 1.5}}}
	trip := Row{Name: "trip", Unit: "us", Less: true, Goals: []Goal{{Of: "peer", Factor: 0.5}, {Factor: 100}, {Of: "other", Factor: 1}, {Of: Weir, Row: "rate", Factor: 7}}}
	for _, v := range []float64{3, 1, 2} {
		r.Add(Weir, rate, v)
	}
	for _, v := range []float64{1, 2} {
		r.Add("peer", rate, v)
	}
	r.Add("weir, spinning", rate, 3)
	r.Add(Weir, trip, 15)
	r.Add("peer", trip, 20)
	return r
}

func TestReportJudgesByMedians(t *testing.T) {
	r := filled()
	if got, want := r.Cell("rate", Weir), "2.00 (1.00..3.00)"; got != want {
		t.Errorf("cell %q, want %q", got, want)
	}
	if got := r.Cell("rate", "nobody"); got != "-" {
		t.Errorf("cell of nobody %q", got)
	}
	var verdicts []string
	for _, w := range r.Rows {
		for _, g := range w.Goals {
			verdicts = append(verdicts, r.Verdict(w, g))
		}
	}
	want := []string{
		">= 1.5: **not met**", // 2 of 1.5
		">= 1.5: met",         // 3 of 1.5, by another weir
		"<= 0.5: **not met**", // 15 of 20
		"<= 100: met",
		"-",                 // nobody measured the other
		"<= 7: **not met**", // 15 of 7 x 2
	}
	if got := strings.Join(verdicts, "|"); got != strings.Join(want, "|") {
		t.Errorf("verdicts %s\nwant     %s", got, strings.Join(want, "|"))
	}
}

// TestNothingDelivered: a goal beside one who delivered nothing is met by anything, and says so.
func TestNothingDelivered(t *testing.T) {
	r := &Report{}
	w := Row{Name: "rate", Unit: "Gbit/s", Goals: []Goal{{Of: "peer", Factor: 10}}}
	r.Add(Weir, w, 10.1)
	r.Add("peer", w, 0)
	line := r.GoalLine("tcp", w, w.Goals[0])
	if want := "| tcp, Gbit/s | 10.1 | peer | 0.00 | - | >= 10: met (it delivered nothing) |\n"; line != want {
		t.Errorf("%q, want %q", line, want)
	}
	if table := GoalTable(line); !strings.HasPrefix(table, "1 met, 0 not met.\n") {
		t.Error(table)
	}
}

func TestTablesOfAPage(t *testing.T) {
	r := filled()
	w := r.Rows[1]
	lines := r.GoalLine("trip", w, w.Goals[0]) + r.GoalLine("trip", w, w.Goals[1]) + r.GoalLine("trip", w, w.Goals[2])
	const goals = `1 met, 1 not met.

| | weir | beside | its figure | weir / it | goal |
| --- | --- | --- | --- | --- | --- |
| trip, us | 15.0 | peer | 20.0 | 0.75 | <= 0.5: **not met** |
| trip, us | 15.0 |  |  |  | <= 100: met |
| trip, us | 15.0 | other | - |  | - |
`
	if got := GoalTable(lines); got != goals {
		t.Errorf("goals\n%s\nwant\n%s", got, goals)
	}
	const table = `| | weir | other |
| --- | --- | --- |
| rate, Mpps | 2.00 (1.00..3.00) | - |
| trip, us | 15.0 (15.0..15.0) | - |
`
	if got := r.Table([]string{Weir, "other"}); got != table {
		t.Errorf("table\n%s\nwant\n%s", got, table)
	}
}

func TestNumbersHaveAboutThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.1234: "0.123", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 12345: "12.3k"} {
		if got := Number(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
}

func TestPlotHasABarForEachFigure(t *testing.T) {
	r := filled()
	r.Add("<none>", Row{Name: "zero & all", Unit: "s"}, 0) // nothing to scale by, and a name to be escaped
	plot := Plot("a title", r, []string{Weir, "peer", "<none>", "nobody"})
	bars := 0
	for d := xml.NewDecoder(bytes.NewReader(plot)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, plot)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			for _, a := range e.Attr {
				if a.Name.Local == "class" {
					bars++
				}
			}
		}
	}
	if bars != 5 {
		t.Errorf("%d bars, want 5:\n%s", bars, plot)
	}
	if bytes.Contains(plot, []byte("NaN")) {
		t.Errorf("not a number in\n%s", plot)
	}
}
