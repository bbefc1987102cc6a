package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var writeDashboard = flag.Bool("dashboard", false, "write the chart's dashboard anew")

const dashboardFile = "../../helm/sluice/files/dashboard.json"

// A panel of the dashboard; one without queries begins a row. In queries, {J} stands for
// the chosen releases and {T, for their chosen tables.
type panel struct {
	title   string
	kind    string // of Grafana's: timeseries, stat, table or heatmap
	width   int    // of 24
	unit    string // of Grafana's
	help    string
	queries []query
	bad     float64 // where the colour turns red, if that is not 0
}

type query struct{ legend, expr string }

var dashboard = []panel{
	{title: "Now"},
	{"Tables over their target", "stat", 4, "short", "Tables whose oldest change that has not arrived is older than their freshness target.", []query{{"",
		`count(max by (namespace, job, sluice_table) (sluice_freshness_seconds{T}) > max by (namespace, job, sluice_table) (sluice_freshness_target_seconds{T})) or vector(0)`}}, 1},
	{"Holds", "stat", 4, "short", "Tables and topics that wait for a person; the panel below names them.", []query{{"", `sum(sluice_holds{J}) or vector(0)`}}, 1},
	{"Lag", "stat", 4, "short", "Records that are not delivered yet.", []query{{"", `sum(sluice_lag{T})`}}, 0},
	{"Dead letters", "stat", 4, "short", "Records put aside in the time shown.", []query{{"", `sum(increase(sluice_dead_letters_total{J}[$__range])) or vector(0)`}}, 1},
	{"Accounting residual", "stat", 4, "short", "Batches and partitions whose records are not all accounted for. Anything but 0 is a defect.", []query{{"", `sum(sluice_residuals_total{J}) or vector(0)`}}, 1},
	{"Submissions left", "stat", 4, "short", "Of the member that has the fewest, until the full hour.", []query{{"", `min(sluice_budget_left{J})`}}, 0},

	{title: "Freshness"},
	{"Freshness, the ten worst tables", "timeseries", 12, "s", "Age of the oldest source change that is not DONE.", []query{{"{{sluice_table}}",
		`topk(10, max by (sluice_table) (sluice_freshness_seconds{T}))`}}, 0},
	{"Freshness against target", "timeseries", 12, "percentunit", "Over 100 %: the table is older than its target.", []query{{"{{sluice_table}}",
		`topk(10, max by (sluice_table) (sluice_freshness_seconds{T}) / max by (sluice_table) (sluice_freshness_target_seconds{T}))`}}, 1},
	{"On hold", "table", 8, "short", "What, and in which pod; its /status says why, and what to do.", []query{{"",
		`max by (namespace, pod, sluice_table, messaging_destination_name) (sluice_holds{J}) > 0`}}, 0},
	{"Lag, the ten largest", "timeseries", 8, "short", "Records between the committed offset and the end of the partitions that feed a table.", []query{{"{{sluice_table}}",
		`topk(10, sum by (sluice_table) (sluice_lag{T}))`}}, 0},
	{"From commit at the source to DONE", "timeseries", 8, "s", "Of the oldest change of each batch.", []query{
		{"median", `histogram_quantile(0.5, sum by (le) (rate(sluice_delay_seconds_bucket{T}[$__rate_interval])))`},
		{"95 %", `histogram_quantile(0.95, sum by (le) (rate(sluice_delay_seconds_bucket{T}[$__rate_interval])))`}}, 0},

	{title: "Delivery"},
	{"Rows a second", "timeseries", 8, "short", "Delivered, by kind of change; and those that did not have to be sent.", []query{
		{"{{op}}", `sum by (op) (rate(sluice_rows_total{T}[$__rate_interval]))`},
		{"compacted", `sum(rate(sluice_rows_compacted_total{T}[$__rate_interval]))`},
		{"stale", `sum(rate(sluice_rows_stale_total{T}[$__rate_interval]))`}}, 0},
	{"Records a second", "timeseries", 8, "short", "Read, by what they are.", []query{{"{{class}}", `sum by (class) (rate(sluice_records_total{J}[$__rate_interval]))`}}, 0},
	{"Batches an hour", "timeseries", 8, "short", "Sealed, by reason.", []query{{"{{reason}}", `3600 * sum by (reason) (rate(sluice_batches_total{J}[$__rate_interval]))`}}, 0},
	{"Jobs an hour", "timeseries", 8, "short", "By outcome.", []query{{"{{outcome}}", `3600 * sum by (outcome) (rate(sluice_jobs_total{T}[$__rate_interval]))`}}, 0},
	{"Job duration", "timeseries", 8, "s", "From its execution to its end, 95 % by outcome.", []query{{"{{outcome}}",
		`histogram_quantile(0.95, sum by (le, outcome) (rate(sluice_job_duration_seconds_bucket{T}[$__rate_interval])))`}}, 0},
	{"Batch duration", "timeseries", 8, "s", "From sealing to DONE.", []query{
		{"median", `histogram_quantile(0.5, sum by (le) (rate(sluice_batch_duration_seconds_bucket{T}[$__rate_interval])))`},
		{"95 %", `histogram_quantile(0.95, sum by (le) (rate(sluice_batch_duration_seconds_bucket{T}[$__rate_interval])))`}}, 0},
	{"Rows of a batch", "timeseries", 12, "short", "", []query{
		{"median", `histogram_quantile(0.5, sum by (le) (rate(sluice_batch_rows_bucket{T}[$__rate_interval])))`},
		{"95 %", `histogram_quantile(0.95, sum by (le) (rate(sluice_batch_rows_bucket{T}[$__rate_interval])))`}}, 0},
	{"Size of a batch", "timeseries", 12, "bytes", "", []query{
		{"median", `histogram_quantile(0.5, sum by (le) (rate(sluice_batch_size_bytes_bucket{T}[$__rate_interval])))`},
		{"95 %", `histogram_quantile(0.95, sum by (le) (rate(sluice_batch_size_bytes_bucket{T}[$__rate_interval])))`}}, 0},

	{title: "Budget"},
	{"Submissions left in the hour", "timeseries", 8, "short", "", []query{
		{"{{pod}}", `sum by (pod) (sluice_budget_left{J})`}, {"limit of {{pod}}", `sum by (pod) (sluice_budget_limit{J})`}}, 0},
	{"Submissions an hour", "timeseries", 8, "short", "Spent, at the present rate.", []query{{"{{pod}}", `3600 * sum by (pod) (rate(sluice_budget_spent_total{J}[$__rate_interval]))`}}, 0},
	{"Wait for a submission", "timeseries", 8, "s", "How long a due batch waited.", []query{
		{"median", `histogram_quantile(0.5, sum by (le) (rate(sluice_budget_wait_seconds_bucket{J}[$__rate_interval])))`},
		{"95 %", `histogram_quantile(0.95, sum by (le) (rate(sluice_budget_wait_seconds_bucket{J}[$__rate_interval])))`}}, 0},

	{title: "Put aside and lost by a setting"},
	{"Dead letters", "timeseries", 8, "short", "Records put aside, by source topic and reason.", []query{{"{{messaging_destination_name}}: {{reason}}",
		`sum by (messaging_destination_name, reason) (increase(sluice_dead_letters_total{J}[$__rate_interval])) > 0`}}, 0},
	{"Lossy conversions a second", "timeseries", 8, "short", "Values that a setting allows to be changed or left out, and timestamps without an offset that are taken for UTC.", []query{
		{"dropped", `sum(rate(sluice_values_dropped_total{J}[$__rate_interval]))`},
		{"rounded", `sum(rate(sluice_values_rounded_total{J}[$__rate_interval]))`},
		{"nulled", `sum(rate(sluice_values_nulled_total{J}[$__rate_interval]))`},
		{"clamped", `sum(rate(sluice_values_clamped_total{J}[$__rate_interval]))`},
		{"without an offset", `sum(rate(sluice_values_unzoned_total{J}[$__rate_interval]))`},
		{"strings cut", `sum(rate(sluice_strings_truncated_total{J}[$__rate_interval]))`},
		{"unavailable, {{outcome}}", `sum by (outcome) (rate(sluice_values_unavailable_total{J}[$__rate_interval]))`}}, 0},
	{"Changes of columns", "timeseries", 8, "short", "And columns of a type that is not known.", []query{
		{"{{sluice_table}}", `sum by (sluice_table) (increase(sluice_schema_changes_total{T}[$__rate_interval])) > 0`},
		{"unknown in {{messaging_destination_name}}", `sum by (messaging_destination_name) (increase(sluice_columns_unknown_total{J}[$__rate_interval])) > 0`}}, 0},

	{title: "Kafka"},
	{"Age of the last commit", "timeseries", 8, "s", "It grows while nothing new is there to commit.", []query{{"{{pod}}", `time() - max by (pod) (sluice_commit_last_seconds{J})`}}, 0},
	{"Commits", "timeseries", 8, "short", "Partitions, by outcome.", []query{
		{"{{outcome}}", `sum by (outcome) (increase(sluice_commits_total{J}[$__rate_interval]))`},
		{"without metadata", `sum(increase(sluice_commits_without_metadata_total{J}[$__rate_interval])) > 0`}}, 0},
	{"Membership", "timeseries", 8, "short", "Rebalances, what a member was refused that was no longer the owner, and jobs of an earlier owner.", []query{
		{"{{event}}", `sum by (event) (increase(sluice_rebalances_total{J}[$__rate_interval]))`},
		{"fenced", `sum(increase(sluice_commits_fenced_total{J}[$__rate_interval]))`},
		{"{{outcome}}", `sum by (outcome) (increase(sluice_intents_total{J}[$__rate_interval]))`}}, 0},
	{"Partitions", "timeseries", 8, "short", "Assigned.", []query{{"{{pod}}", `sum by (pod) (sluice_partitions{J})`}}, 0},
	{"Offsets skipped a second", "timeseries", 8, "short", "Transaction markers, aborted and compacted records.", []query{{"{{messaging_destination_name}}",
		`topk(10, sum by (messaging_destination_name) (rate(sluice_offsets_skipped_total{J}[$__rate_interval])))`}}, 0},
	{"Requests to Kafka", "heatmap", 8, "s", "How long they take.", []query{{"{{le}}", `sum by (le) (increase(messaging_client_operation_duration_seconds_bucket{J}[$__rate_interval]))`}}, 0},

	{title: "Target and process"},
	{"Requests to the target", "heatmap", 8, "s", "How long they take.", []query{{"{{le}}", `sum by (le) (increase(http_client_request_duration_seconds_bucket{J}[$__rate_interval]))`}}, 0},
	{"Answers of the target a second", "timeseries", 8, "short", "By status; none where there was no answer.", []query{{"{{http_response_status_code}}",
		`sum by (http_response_status_code) (rate(http_client_request_duration_seconds_count{J}[$__rate_interval]))`}}, 0},
	{"Kafka and schema registry", "timeseries", 8, "short", "0: no member of the group, or the brokers do not answer or let it read; records wait for the registry.", []query{
		{"Kafka, {{pod}}", `min by (pod) (sluice_kafka_up{J} * sluice_kafka_member{J})`}, {"registry, {{pod}}", `min by (pod) (sluice_schema_registry_up{J})`}}, 0},
	{"Memory against its limit", "timeseries", 8, "bytes", "Of batches and waiting records, by state. At the limit nothing more is fetched.", []query{
		{"{{state}}", `sum by (state) (sluice_memory_bytes{J})`}, {"limit", `sum(sluice_memory_limit_bytes{J})`}, {"resident", `sum(process_resident_memory_bytes{J})`}}, 0},
	{"Fetching paused", "timeseries", 8, "short", "1: nothing more is fetched before batches are DONE; the target is slower than the source.", []query{{"{{pod}}", `max by (pod) (sluice_fetching_paused{J})`}}, 0},
	{"CPU", "timeseries", 8, "short", "Cores in use.", []query{{"{{pod}}", `sum by (pod) (rate(process_cpu_seconds_total{J}[$__rate_interval]))`}}, 0},
	{"Goroutines", "timeseries", 8, "short", "", []query{{"{{pod}}", `sum by (pod) (go_goroutine_count{J})`}}, 0},
}

const (
	ofRelease = `namespace=~"$namespace",job=~"$job"`
	ofTables  = ofRelease + `,sluice_table=~"$table"`
)

type model = map[string]any

// grafana is the dashboard as Grafana reads it (its JSON model, schema version 39).
func grafana(panels []panel) model {
	source := model{"type": "prometheus", "uid": "${datasource}"}
	variable := func(name, label, query string) model {
		return model{"name": name, "label": label, "type": "query", "datasource": source, "query": model{"query": query, "refId": name},
			"includeAll": true, "multi": true, "allValue": ".*", "current": model{"text": "All", "value": "$__all"}, "refresh": 2, "sort": 1}
	}
	var made []model
	x, y, height := 0, 0, 0
	for i, p := range panels {
		width := p.width
		if p.queries == nil {
			width = 24
		}
		if x+width > 24 {
			x, y = 0, y+height
		}
		height = map[string]int{"": 1, "stat": 4}[p.kind]
		if height == 0 {
			height = 8
		}
		one := model{"id": i + 1, "title": p.title, "gridPos": model{"x": x, "y": y, "w": width, "h": height}}
		x += width
		if p.queries == nil {
			one["type"], one["panels"] = "row", []model{}
			made = append(made, one)
			continue
		}
		var targets []model
		for j, q := range p.queries {
			expr := strings.NewReplacer("{J}", "{"+ofRelease+"}", "{T}", "{"+ofTables+"}").Replace(q.expr)
			target := model{"refId": string(rune('A' + j)), "expr": expr}
			if q.legend != "" {
				target["legendFormat"] = q.legend
			}
			if p.kind == "table" {
				target["format"], target["instant"] = "table", true
			}
			if p.kind == "heatmap" {
				target["format"] = "heatmap"
			}
			targets = append(targets, target)
		}
		defaults := model{"unit": p.unit}
		if p.kind == "timeseries" {
			defaults["min"] = 0
		}
		if p.bad != 0 {
			defaults["thresholds"] = model{"mode": "absolute", "steps": []model{{"color": "green", "value": nil}, {"color": "red", "value": p.bad}}}
			if p.kind == "timeseries" {
				defaults["custom"] = model{"thresholdsStyle": model{"mode": "line"}}
			}
		}
		one["type"], one["datasource"], one["targets"] = p.kind, source, targets
		one["fieldConfig"] = model{"defaults": defaults, "overrides": []model{}}
		if p.help != "" {
			one["description"] = p.help
		}
		switch p.kind {
		case "table":
			one["transformations"] = []model{{"id": "organize", "options": model{"excludeByName": model{"Time": true, "Value": true}}}}
		case "heatmap":
			one["options"] = model{"calculate": false, "yAxis": model{"unit": p.unit}}
		}
		made = append(made, one)
	}
	return model{
		"uid": "sluice", "title": "Sluice", "tags": []string{"sluice"}, "schemaVersion": 39, "version": 1, "editable": true,
		"time": model{"from": "now-3h", "to": "now"}, "refresh": "30s", "panels": made,
		"templating": model{"list": []model{
			{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
			variable("namespace", "Namespace", "label_values(sluice_build_info, namespace)"),
			variable("job", "Release", `label_values(sluice_build_info{namespace=~"$namespace"}, job)`),
			variable("table", "Table", "label_values(sluice_freshness_target_seconds{"+ofRelease+"}, sluice_table)"),
		}},
	}
}

// TestDashboard: the chart's file is the list above, and small enough for a ConfigMap beside
// others. Written by: go test ./cmd/sluice -run TestDashboard -dashboard
func TestDashboard(t *testing.T) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(grafana(dashboard)); err != nil {
		t.Fatal(err)
	}
	if *writeDashboard {
		if err := os.WriteFile(dashboardFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s is stale; write it anew with -dashboard", dashboardFile)
	}
	if len(have) > 60_000 {
		t.Errorf("%d bytes", len(have))
	}
}
