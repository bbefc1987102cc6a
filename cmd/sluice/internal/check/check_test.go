package check

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sample has every status, and a check that needs one that failed.
func sample(ctx context.Context) ([]Check, []Finding) {
	checks := []Check{
		{"kafka", "kafka.login", nil, func(_ context.Context, f *Findings) { f.OK("cluster %s", "c1") }},
		{"kafka", "kafka.topics", []string{"kafka.login"}, func(_ context.Context, f *Findings) {
			f.Problem("SLUICE_KAFKA_TOPICS", "no such topic: <a>\x1b[2J\nb")
			f.OK("1 topic")
		}},
		{"kafka", "kafka.lag", []string{"kafka.login", "kafka.topics"}, func(context.Context, *Findings) { panic("asked") }},
		{"kafka", "kafka.age", []string{"kafka.lag"}, func(context.Context, *Findings) { panic("asked") }},
		{"target", "target", nil, func(_ context.Context, f *Findings) { f.Warn("renew it", "it ends") }},
	}
	return checks, Run(ctx, checks, time.Minute, func(Finding) {})
}

// TestRun: findings come in order as they are made, and what needs a failed check is not
// asked, nor what needs that.
func TestRun(t *testing.T) {
	_, all := sample(t.Context())
	var got []string
	for _, f := range all {
		got = append(got, f.ID+" "+string(f.Status)+" "+f.Seen)
	}
	want := []string{"kafka.login ok cluster c1", "kafka.topics problem no such topic: <a>\x1b[2J\nb", "kafka.topics ok 1 topic",
		"kafka.lag skipped needs kafka.topics", "kafka.age skipped needs kafka.lag", "target warning it ends"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	checks := []Check{
		{"a", "a.one", nil, func(context.Context, *Findings) { asked++; cancel() }},
		{"a", "a.two", nil, func(context.Context, *Findings) { asked++ }},
	}
	if all = Run(ctx, checks, time.Minute, func(Finding) {}); asked != 1 || len(all) != 1 || all[0].Status != Problem || all[0].Seen != "interrupted" {
		t.Errorf("interrupted: asked %d, %+v", asked, all)
	}
	Run(t.Context(), []Check{{"a", "a.slow", nil, func(ctx context.Context, f *Findings) {
		<-ctx.Done()
		f.OK("%v", ctx.Err())
	}}}, time.Nanosecond, func(f Finding) {
		if f.Seen != "context deadline exceeded" {
			t.Errorf("after the time of one check: %+v", f)
		}
	})
}

// TestRender: what others said breaks neither columns nor the terminal, and the document
// is as it was promised.
func TestRender(t *testing.T) {
	checks, all := sample(t.Context())
	r := NewReport("v1.2.3", all)
	var doc, plain, colored bytes.Buffer
	if err := JSON(&doc, r); err != nil {
		t.Fatal(err)
	}
	for _, text := range []*Text{{W: &plain, Checks: checks}, {W: &colored, Checks: checks, Color: true}} {
		for _, f := range all {
			text.Finding(f)
		}
		text.Summary(r)
	}
	golden(t, "report.json", doc.Bytes())
	golden(t, "report.txt", plain.Bytes())
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(colored.String(), "\x1b[31mproblem\x1b[0m  kafka.topics  no such topic: <a> [2J b\n") {
		t.Errorf("%q", colored.String())
	}
	if back := (Report{}); json.Unmarshal(doc.Bytes(), &back) != nil || back.Status != Problem || back.Counts[Skipped] != 2 {
		t.Errorf("%+v", back)
	}
	if empty := NewReport("", nil); empty.Status != Skipped {
		t.Errorf("nothing found is %s", empty.Status)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %v; got\n%s", path, err, got)
	}
}

// TestSkew: a date of whole seconds, and an answer that took a while, leave the skew that
// is certain.
func TestSkew(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }
	for _, tc := range []struct {
		date, asked, answered, want float64
	}{
		{0, 0.2, 0.3, 0},
		{0, 0.9, 1.4, 0},     // dated in the first tenth
		{5, 0.9, 9, 0},       // slow
		{0, 1.5, 2, -0.5},    // at the latest one second after it says
		{3, 1.5, 2, 1},       // at the earliest when it says
		{120, 0, 0.1, 119.9}, // two minutes ahead
	} {
		c := clock{date: at(tc.date), asked: at(tc.asked), answered: at(tc.answered)}
		if got := c.skew(); got != at(tc.want).Sub(noon) {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	for _, tc := range []struct {
		skew time.Duration
		want Status
		text string
	}{
		{0, OK, "within"}, {5 * time.Second, OK, "within"}, {6 * time.Second, Warning, "6s behind"}, {-6 * time.Second, Warning, "6s ahead of"},
		{-61 * time.Second, Problem, "1m1s ahead of"},
	} {
		// The answer came at once, at the end of the second that it names or at its start.
		s := &services{clocks: []clock{{"x", noon.Add(tc.skew), noon, noon}}}
		if tc.skew < 0 {
			s.clocks[0].date = noon.Add(tc.skew - time.Second)
		}
		f := &Findings{}
		s.clock(t.Context(), f)
		if got := f.all[0]; got.Status != tc.want || !strings.Contains(got.Seen, tc.text) {
			t.Errorf("%v: %+v", tc.skew, got)
		}
	}
}

// TestMemory: limits as control groups write them, and what is too little.
func TestMemory(t *testing.T) {
	const gib, mib = 1 << 30, 1 << 20
	for _, tc := range []struct {
		batches, positions, group int64
		grouped                   bool
		goLimit                   int64
		status                    Status
		remedy                    string
	}{
		{gib, 0, 0, false, math.MaxInt64, OK, ""},
		{gib, 64 * mib, 2 * gib, true, 17 * gib / 10, OK, ""},
		{64 * mib, 0, 128 * mib, true, 108 * mib, OK, ""}, // as the chart sets it
		{64 * mib, 64 * mib, 128 * mib, true, 108 * mib, Warning, "lower SLUICE_MEMORY_LIMIT and SLUICE_POSITION_MEMORY to half"},
		{gib, 0, 2 * gib, true, math.MaxInt64, Warning, "GOMEMLIMIT=1740MiB"},
		{2 * gib, 0, 2 * gib, true, 17 * gib / 10, Warning, "lower SLUICE_MEMORY_LIMIT to half"},
		{gib, 0, 2 * gib, true, 3 * gib, Warning, "GOMEMLIMIT at 85 %"},
		{gib, 0, 0, false, gib / 2, Warning, "raise GOMEMLIMIT"},
	} {
		f := &Findings{}
		judgeMemory(f, tc.batches, tc.positions, tc.group, tc.grouped, tc.goLimit)
		if got := f.all[0]; got.Status != tc.status || !strings.Contains(got.Remedy, tc.remedy) {
			t.Errorf("%+v: %+v", tc, f.all)
		}
	}
	for _, tc := range []struct {
		v2, v1 string // "" is no file
		want   int64
	}{
		{"2147483648\n", "", 2 * gib}, {"max\n", "", 0}, {"", "1073741824\n", gib}, {"", "9223372036854771712\n", 0}, {"", "", 0},
	} {
		got, limited := cgroupLimit(func(path string) ([]byte, error) {
			text := tc.v1
			if strings.HasSuffix(path, "memory.max") {
				text = tc.v2
			}
			if text == "" {
				return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist)
			}
			return []byte(text), nil
		})
		if got != tc.want || limited != (tc.want > 0) {
			t.Errorf("%q, %q: %d", tc.v2, tc.v1, got)
		}
	}
}

// TestHostPort: the port of a URL is its own, or its scheme's.
func TestHostPort(t *testing.T) {
	for text, want := range map[string]string{
		"http://collector:4318": "collector:4318", "https://collector": "collector:443", "http://[::1]/v1/traces": "[::1]:80", "http://user:pw@c:1": "c:1",
	} {
		if got := hostPort(text); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// TestAtHome: members on this host, in the forms in which brokers say where they are.
func TestAtHome(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "/127.0.0.1": true, "localhost/127.0.0.1": true, "127.0.0.1:38646": true, "[::ffff:127.0.0.1]:38646": true,
		"192.0.2.1": false, "/192.0.2.1": false, "2001:db8:0:0:0:0:0:1": false, "": false, "localhost": false,
	} {
		if got := atHome(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}
