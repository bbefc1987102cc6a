// Package check looks at one configuration before the first record is read: whether
// what it names is there, lets Sluice in, and is set up as Sluice needs it. It only asks;
// nothing is joined, committed, created or sent.
package check

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Status is what a finding means for a run with these settings.
type Status string

const (
	OK      Status = "ok"
	Skipped Status = "skipped" // not looked at; the finding says why
	Warning Status = "warning" // it runs, and something is likely to surprise
	Problem Status = "problem" // it does not run, or holds tables
)

// statuses in the order of their weight.
var statuses = []Status{Skipped, OK, Warning, Problem}

// Finding is one thing that was seen.
type Finding struct {
	ID     string `json:"id"`   // of the check, such as kafka.topics
	Area   string `json:"area"` // settings, kafka, registry, target or host
	Status Status `json:"status"`
	Seen   string `json:"seen"`
	Remedy string `json:"remedy,omitempty"` // names the setting; of warnings and problems
}

// Check is one question. Its id begins with its area.
type Check struct {
	Area, ID string
	Needs    []string // checks without whose success the question makes no sense
	Ask      func(context.Context, *Findings)
}

// Findings collects the answers to one question.
type Findings struct {
	area, id string
	all      []Finding
}

func (f *Findings) OK(format string, args ...any)   { f.add(OK, "", format, args) }
func (f *Findings) Skip(format string, args ...any) { f.add(Skipped, "", format, args) }
func (f *Findings) Warn(remedy, format string, args ...any) {
	f.add(Warning, remedy, format, args)
}
func (f *Findings) Problem(remedy, format string, args ...any) {
	f.add(Problem, remedy, format, args)
}

func (f *Findings) add(s Status, remedy, format string, args []any) {
	f.all = append(f.all, Finding{f.id, f.area, s, fmt.Sprintf(format, args...), remedy})
}

// worst returns the heaviest status of findings, Skipped if there are none.
func worst(all []Finding) Status {
	w := 0
	for _, f := range all {
		w = max(w, slices.Index(statuses, f.Status))
	}
	return statuses[w]
}

// Report is the outcome of all checks.
type Report struct {
	Version  string         `json:"version"` // of the program
	Status   Status         `json:"status"`  // the worst of the findings
	Counts   map[Status]int `json:"counts"`
	Findings []Finding      `json:"findings"`
}

// NewReport sums findings up.
func NewReport(version string, all []Finding) Report {
	r := Report{Version: version, Status: worst(all), Counts: map[Status]int{OK: 0, Warning: 0, Problem: 0, Skipped: 0}, Findings: all}
	for _, f := range all {
		r.Counts[f.Status]++
	}
	return r
}

// Run asks one question after the other, each for at most timeout, and tells each of the
// findings as soon as it is there. A check that needs one which failed is skipped. When
// ctx ends, so does the asking, with a problem.
func Run(ctx context.Context, checks []Check, timeout time.Duration, each func(Finding)) (all []Finding) {
	failed := map[string]bool{}
	for _, c := range checks {
		f := &Findings{area: c.Area, id: c.ID}
		missing := slices.IndexFunc(c.Needs, func(id string) bool { return failed[id] })
		if missing >= 0 {
			f.Skip("needs %s", c.Needs[missing])
		} else {
			asking, cancel := context.WithTimeout(ctx, timeout)
			c.Ask(asking, f)
			cancel()
		}
		if ctx.Err() != nil { // whatever was found was found of the interruption
			f.all = nil
			f.Problem("let it end", "interrupted")
		}
		failed[c.ID] = missing >= 0 || worst(f.all) == Problem
		for _, one := range f.all {
			each(one)
		}
		all = append(all, f.all...)
		if ctx.Err() != nil {
			break
		}
	}
	return all
}
