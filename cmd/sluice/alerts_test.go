package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/sluice-cdc/sluice/connector/instrument"
)

// An alert as the chart's file has it.
type alert struct{ Alert, Expr, Summary, Description string }

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	text, err := os.ReadFile("../../helm/sluice/files/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(text, &all, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return all
}

// A use is a query, with the text around it that names labels of its series.
type use struct{ where, expr, text string }

// uses are all queries of the alerts, the dashboard and the runbook.
func uses(t *testing.T) (all []use) {
	t.Helper()
	for _, a := range alerts(t) {
		all = append(all, use{a.Alert, a.Expr, a.Summary + a.Description})
	}
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			all = append(all, use{"panel " + p.Title, q.Expr, q.LegendFormat})
		}
	}
	for _, m := range regexp.MustCompile(`label_values\(([^"]*?(?:\{.*?\\})?), ([a-z_]+)\)`).FindAllSubmatch(text, -1) {
		all = append(all, use{"variable", strings.ReplaceAll(string(m[1]), `\"`, `"`), "{{" + string(m[2]) + "}}"})
	}
	runbook, err := os.ReadFile("../../deploy/RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```\n(.*?)```|`([^`\n]+)`").FindAllSubmatch(runbook, -1) {
		for line := range strings.Lines(string(m[1]) + string(m[2])) {
			if u := (use{where: "the runbook", expr: line}); len(u.metrics()) > 0 {
				all = append(all, u)
			}
		}
	}
	return all
}

var (
	metricName = regexp.MustCompile(`\b(?:sluice|messaging|http|go|process)_[a-z0-9_]+\b`)
	grouping   = regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`)
	matchers   = regexp.MustCompile(`\{[^}]*\}`)
	matched    = regexp.MustCompile(`([a-z_]+)(?:=~|!=|=)"`)
	inText     = regexp.MustCompile(`\$labels\.([a-z_]+)|\{\{([a-z_]+)\}\}`)
)

// metrics returns the names of the metrics that a use reads.
func (u use) metrics() []string {
	return metricName.FindAllString(matchers.ReplaceAllString(grouping.ReplaceAllString(u.expr, ""), ""), -1)
}

// picks returns the labels by which a use picks series of a metric.
func (u use) picks(metric string) (names []string) {
	for _, m := range regexp.MustCompile(`\b`+metric+`\{([^}]*)\}`).FindAllStringSubmatch(u.expr, -1) {
		for _, label := range matched.FindAllStringSubmatch(m[1], -1) {
			names = append(names, label[1])
		}
	}
	return names
}

// labels returns those that a use reads off all its series.
func (u use) labels() (names []string) {
	for _, m := range grouping.FindAllStringSubmatch(u.expr, -1) {
		names = append(names, strings.FieldsFunc(m[1], func(r rune) bool { return strings.ContainsRune(", ", r) })...)
	}
	for _, m := range inText.FindAllStringSubmatch(u.text, -1) {
		names = append(names, strings.Join(m[1:], ""))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ofPrometheus are labels that Prometheus gives the series of a target.
var ofPrometheus = []string{"namespace", "job", "pod"}

// TestMetricsOfAlertsAndDashboard: each metric that an alert, a panel or the runbook reads is
// on the page of a running pipeline, with the labels that it is read by; and no metric of ours
// has a label there that the list does not have.
func TestMetricsOfAlertsAndDashboard(t *testing.T) {
	have := map[string][]string{} // the labels of each metric
	for _, m := range regexp.MustCompile(`(?m)^([a-z_0-9]+)(?:\{(.*)\})? \S+$`).FindAllStringSubmatch(troubled(t), -1) {
		have[m[1]] = append(have[m[1]], ofPrometheus...)
		for _, label := range matched.FindAllStringSubmatch(m[2], -1) {
			have[m[1]] = append(have[m[1]], label[1])
		}
	}
	for name := range have {
		slices.Sort(have[name])
		have[name] = slices.Compact(have[name])
	}
	read := map[string]bool{}
	for _, u := range uses(t) {
		for _, name := range u.metrics() {
			read[name] = true
			for _, label := range append(append(u.labels(), u.picks(name)...), "job") {
				if !slices.Contains(have[name], label) {
					t.Errorf("%s: no metric %s with the label %s", u.where, name, label)
				}
			}
		}
	}
	if len(read) < 40 {
		t.Errorf("only %d metrics are read: %v", len(read), slices.Sorted(maps.Keys(read)))
	}
	for _, i := range instrument.List {
		listed := append([]string{"le"}, ofPrometheus...)
		for _, a := range i.Attributes {
			keys, _, _ := strings.Cut(a, "=")
			for key := range strings.SplitSeq(keys, " or ") {
				listed = append(listed, strings.ReplaceAll(key, ".", "_"))
			}
		}
		for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
			for _, label := range have[i.Prometheus()+suffix] {
				if !slices.Contains(listed, label) {
					t.Errorf("%s has the label %s, which is not in the list of its attributes", i.Name, label)
				}
			}
		}
	}
}

// TestQueries has Prometheus' own tool read the queries of dashboard and runbook; the alerts are
// checked and tested as they are rendered (.ci/alerts).
func TestQueries(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool on this machine; .ci/alerts installs it")
	}
	type rule struct{ Record, Expr string }
	var rules []rule
	for _, u := range uses(t) {
		if !strings.Contains(u.expr, "<selector>") {
			rules = append(rules, rule{fmt.Sprintf("query:%d", len(rules)), strings.NewReplacer("$__rate_interval", "5m", "$__range", "3h").Replace(u.expr)})
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "queries", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "rules", path).CombinedOutput(); err != nil || len(rules) < 60 {
		t.Errorf("%d queries: %v\n%s", len(rules), err, out)
	}
}
