package check

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Text writes findings for people, a line or two each, under a heading for each area.
type Text struct {
	W      io.Writer
	Color  bool
	Checks []Check // which are to come: their ids make the column's width
	area   string
}

var colors = map[Status]string{OK: "\x1b[32m", Warning: "\x1b[33m", Problem: "\x1b[31m", Skipped: "\x1b[2m"}

func (t *Text) paint(s Status, text string) string {
	if !t.Color {
		return text
	}
	return colors[s] + text + "\x1b[0m"
}

// Finding writes one.
func (t *Text) Finding(f Finding) {
	if f.Area != t.area {
		if t.area != "" {
			fmt.Fprintln(t.W)
		}
		t.area = f.Area
		fmt.Fprintln(t.W, f.Area)
	}
	width := len(f.ID)
	for _, c := range t.Checks {
		width = max(width, len(c.ID))
	}
	fmt.Fprintf(t.W, "  %s  %-*s  %s\n", t.paint(f.Status, fmt.Sprintf("%-7s", f.Status)), width, f.ID, oneLine(f.Seen))
	if f.Remedy != "" {
		fmt.Fprintf(t.W, "  %*s-> %s\n", 7+2+width+2, "", oneLine(f.Remedy))
	}
}

// Summary writes how many there were of each status.
func (t *Text) Summary(r Report) {
	var parts []string
	for _, s := range []Status{Problem, Warning, OK, Skipped} {
		if n := r.Counts[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	fmt.Fprintf(t.W, "\n%s\n", t.paint(r.Status, strings.Join(parts, ", ")))
}

// oneLine keeps what others said from breaking the columns, or the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// JSON writes the report as one document.
func JSON(w io.Writer, r Report) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
