// Slow path: tables for people: columns that line up, and numbers with their units.

package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// widest is how far a column makes room for its longest cell. One entry with a match of three hundred characters must not
// push the actions of all others out of sight: its own row alone is out of line.
const widest = 60

// table is rows below a header. The first character of a column's name says to which side it keeps: '>' for
// numbers, '<' for words. The last column is never padded.
type table struct {
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write puts two spaces between columns, and none at the ends of lines.
func (t *table) write(w io.Writer) {
	titles := make([]string, len(t.header))
	width := make([]int, len(t.header))
	for i, h := range t.header {
		titles[i] = h[1:]
		width[i] = len(titles[i])
	}
	for _, r := range t.rows {
		for i, cell := range r {
			if n := utf8.RuneCountInString(cell); n <= widest {
				width[i] = max(width[i], n)
			}
		}
	}
	var b strings.Builder
	for _, r := range append([][]string{titles}, t.rows...) {
		line := ""
		for i, cell := range r {
			gap := strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(cell)))
			if t.header[i][0] == '>' {
				cell = gap + cell
			} else {
				cell += gap
			}
			if i > 0 {
				line += "  "
			}
			line += cell
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, _ = io.WriteString(w, b.String())
}

// only gives its words if they are to be shown.
func only(shown bool, words ...string) []string {
	if !shown {
		return nil
	}
	return words
}

// orDash is what stands in a column that has nothing to say.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func number[T ~int | ~uint8 | ~uint16 | ~uint32 | ~uint64](n T) string { return fmt.Sprint(uint64(n)) }

// volume is a number of bytes with its unit, to three digits: 60B, 7.98kB, 1.52GB. A kB is 1000 bytes, as networks count.
func volume(n float64) string {
	for _, unit := range []string{"B", "kB", "MB", "GB", "TB", "PB"} {
		switch {
		case n >= 999.5:
			n /= 1000
		case unit == "B" || n >= 99.95:
			return fmt.Sprintf("%.0f%s", n, unit)
		case n >= 9.995:
			return fmt.Sprintf("%.1f%s", n, unit)
		default:
			return fmt.Sprintf("%.2f%s", n, unit)
		}
	}
	return fmt.Sprintf("%.0fEB", n)
}

// perSecond is a rate of things, volumePerSecond one of bytes; "-" while there is only one reading.
func perSecond(r *float64) string {
	switch {
	case r == nil:
		return "-"
	case *r > 0 && *r < 99.95:
		return fmt.Sprintf("%.1f", *r)
	}
	return fmt.Sprintf("%.0f", *r)
}

func volumePerSecond(r *float64) string {
	if r == nil {
		return "-"
	}
	return volume(*r)
}

// span is a duration without digits that nobody reads.
func span(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
