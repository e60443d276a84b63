package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// table is what was measured.
type table struct{ rows []*row }

// row is one figure of several rounds, beside a floor of the same rounds.
type row struct {
	what   string
	unit   unit
	floor  string    // what it is measured against, "" for nothing
	goal   goal      // the zero goal is none
	values []float64 // by round; in seconds, bytes or a second
	floors []float64
	notes  []string
}

// unit writes a figure for people.
type unit func(float64) string

func (t *table) add(r *row) *row {
	t.rows = append(t.rows, r)
	return r
}

// round adds what one round has measured.
func (r *row) round(value, floor float64) {
	r.values, r.floors = append(r.values, value), append(r.floors, floor)
}

// alone adds what one round has measured where there is no floor.
func (r *row) alone(value float64) { r.values = append(r.values, value) }

func (r *row) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// ratios are those within each round.
func (r *row) ratios() []float64 {
	ratios := make([]float64, 0, len(r.floors))
	for i, floor := range r.floors {
		ratios = append(ratios, r.values[i]/floor)
	}
	return ratios
}

// differences are how much more than the floor it was in each round.
func (r *row) differences() []float64 {
	differences := make([]float64, 0, len(r.floors))
	for i, floor := range r.floors {
		differences = append(differences, r.values[i]-floor)
	}
	return differences
}

// goal is what a figure should be.
type goal struct {
	text string
	met  func(r *row) bool
}

func ratioAtMost(x float64) goal {
	return goal{fmt.Sprintf("<= %.2f x", x), func(r *row) bool { return median(r.ratios()) <= x }}
}

func ratioAtLeast(x float64) goal {
	return goal{fmt.Sprintf(">= %.2f x", x), func(r *row) bool { return median(r.ratios()) >= x }}
}

func atMost(x float64, u unit) goal {
	return goal{"<= " + u(x), func(r *row) bool { return median(r.values) <= x }}
}

func atMostMore(x float64, u unit) goal {
	return goal{"<= " + u(x) + " more", func(r *row) bool { return median(r.differences()) <= x }}
}

// print writes the table in Markdown.
func (t *table) print(w io.Writer) {
	fmt.Fprintln(w, "| what | median (lowest..highest) | floor | ratio | goal | met | notes |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for _, r := range t.rows {
		if len(r.values) == 0 {
			continue // its measurement has failed, which is told apart
		}
		floor, ratio, met := "", "", ""
		if len(r.floors) > 0 {
			floor = r.floor + " " + spread(r.floors, r.unit)
			ratio = spread(r.ratios(), times)
		}
		if r.goal.met != nil {
			met = "no"
			if r.goal.met(r) {
				met = "yes"
			}
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", r.what, spread(r.values, r.unit), floor, ratio, r.goal.text, met, strings.Join(r.notes, "; "))
	}
}

// spread writes the median of several figures and, of more than one, the
// lowest and the highest.
func spread(values []float64, u unit) string {
	if slices.ContainsFunc(values, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }) {
		return "unknown"
	}
	text := u(median(values))
	if len(values) > 1 {
		text += " (" + u(slices.Min(values)) + ".." + u(slices.Max(values)) + ")"
	}
	return text
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[half-1] + sorted[half]) / 2
	}
	return sorted[half]
}

func times(x float64) string { return fmt.Sprintf("%.2f x", x) }

// duration writes seconds.
func duration(seconds float64) string {
	switch d := time.Duration(seconds * 1e9); {
	case d.Abs() < 10*time.Microsecond:
		return fmt.Sprintf("%.2f µs", seconds*1e6)
	case d.Abs() < 100*time.Microsecond:
		return fmt.Sprintf("%.1f µs", seconds*1e6)
	case d.Abs() < time.Millisecond:
		return fmt.Sprintf("%.0f µs", seconds*1e6)
	case d.Abs() < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", seconds*1e3)
	case d.Abs() < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", seconds*1e3)
	default:
		return fmt.Sprintf("%.0f ms", seconds*1e3)
	}
}

// perSecond writes a rate.
func perSecond(n float64) string { return fmt.Sprintf("%.0f /s", n) }

func kilobytes(n float64) string { return fmt.Sprintf("%.1f KB", n/1024) }

func megabytes(n float64) string { return fmt.Sprintf("%.1f MB", n/1024/1024) }
