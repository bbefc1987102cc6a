//go:build e2e

// Package telemetry runs the real binary with OpenTelemetry's exporters on, and reads
// back what arrived at Jaeger, which the script ../jaeger builds and starts.
package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/push/emulator"
)

const topic = "p.public.orders"

// TestJaeger: a batch's trace is at a real trace store with its spans, links and
// attributes, under the id that the target was told; and so are a metric and the log of
// that batch.
func TestJaeger(t *testing.T) {
	if out, err := exec.Command("../jaeger", "path").CombinedOutput(); err != nil {
		t.Skipf("%s", out)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "sluice")
	if out, err := exec.Command("go", "build", "-o", program, "../../../cmd/sluice").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ports := freePorts(t, 3)
	otlp, query, metrics := "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1], "http://127.0.0.1:"+ports[2]
	seen := start(t, filepath.Join(dir, "jaeger.log"), nil, "../jaeger", append([]string{"run"}, ports...)...)
	eventually(t, "Jaeger", func() bool { return get(query+"/api/services") != "" })

	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var mu sync.Mutex
	told := map[string]bool{} // the trace ids
	want := facts{offsets: topic + "/0:0-2"}
	emu := emulator.New(emulator.Options{Delay: 300 * time.Millisecond, OnChunk: func(_, _ string, data []byte) { want.bytes += len(data) }, OnRequest: func(r *http.Request) {
		if p := strings.Split(r.Header.Get("traceparent"), "-"); len(p) == 4 {
			mu.Lock()
			defer mu.Unlock()
			told[p[1]] = true
		}
	}})
	emu.Inject("upload", emulator.Answer500, 0, 1)
	execute := regexp.MustCompile(`/jobs/([^/]+)$`)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m := execute.FindStringSubmatch(r.URL.Path); m != nil && r.Method == http.MethodPost {
			mu.Lock()
			want.executions++
			first := want.executions == 1
			want.job = m[1]
			mu.Unlock()
			if first { // somebody else has spent the team's submissions
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
		}
		emu.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)

	want.links = produce(t, cluster)
	start(t, filepath.Join(dir, "sluice.log"), map[string]string{
		"SLUICE_KAFKA_BROKERS": cluster.ListenAddrs()[0], "SLUICE_KAFKA_TOPICS": topic, "SLUICE_KAFKA_GROUP": "g",
		"SLUICE_CELONIS_URL": api.URL, "SLUICE_CELONIS_POOL_ID": "pool", "SLUICE_CELONIS_API_KEY": "hunter2", "SLUICE_CELONIS_POLL_INTERVAL": "50ms",
		"SLUICE_BATCH_MAX_AGE": "200ms", "SLUICE_HTTP_ADDR": "127.0.0.1:0",
		"OTEL_EXPORTER_OTLP_ENDPOINT": otlp, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_LOGS_EXPORTER": "otlp",
		"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_BLRP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "500",
	}, program, "run")

	// The root is sent last, when the offsets are committed.
	var id string
	var spans []span
	eventually(t, "the trace", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for id = range told {
			spans = fetch(t, query, id)
			if slices.ContainsFunc(spans, func(s span) bool { return s.Name == "process "+topic }) {
				return true
			}
		}
		return false
	})
	if len(told) != 1 {
		t.Errorf("one batch, and the target was told of %d traces", len(told))
	}
	mu.Lock()
	check(t, spans, want)
	mu.Unlock()

	eventually(t, "a metric", func() bool { return strings.Contains(get(metrics+"/metrics"), "http_client_request_duration") })
	record := regexp.MustCompile(`(?m)^Body: Str\(batch delivered\)\n(?:(?:Attributes:| +->.*)\n)*Trace ID: ` + id + `\nSpan ID: [0-9a-f]{16}\nFlags: 1$`)
	eventually(t, "the log of the batch", func() bool {
		text, _ := os.ReadFile(seen)
		return record.Match(text)
	})
	if text := get(query + "/api/v3/traces/" + id); strings.Contains(text, "hunter2") || strings.Contains(text, "secret-row") {
		t.Error("a credential or a row is in the trace")
	}
}

// facts are what the broker and the target know of the batch.
type facts struct {
	links      []string // the traces in which its rows were written
	offsets    string
	bytes      int // of its files
	job        string
	executions int
}

// produce writes three rows in traces whose ids it returns: one in the record's header, as
// Debezium's ActivateTracingSpan does, one in the row.
func produce(t *testing.T, cluster *kfake.Cluster) (links []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	header, column := "0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736"
	for i, tracing := range []string{"", "#Sat Nov 28 13:00:00 UTC 2026\ntraceparent=00-" + column + "-00f067aa0ba902b7-01\n", ""} {
		rec := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, `{"id":%d}`, i), Value: fmt.Appendf(nil,
			`{"before":null,"after":{"id":%d,"v":"secret-row","tracingspancontext":%q},"source":{"ts_ms":%d,"db":"shop","schema":"public","table":"orders"},"op":"c"}`,
			i, tracing, time.Now().UnixMilli())}
		if i == 0 {
			rec.Headers = []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-" + header + "-b7ad6b7169203331-01")}}
		}
		if err := client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return []string{header, column}
}

// check holds a batch's spans against what they are to be: one upload failed, and one
// execution was refused because the submissions were spent.
func check(t *testing.T, spans []span, want facts) {
	t.Helper()
	slices.SortFunc(spans, func(a, b span) int { return strings.Compare(a.StartTimeUnixNano, b.StartTimeUnixNano) })
	by := map[string][]span{}
	for _, s := range spans {
		by[s.Name] = append(by[s.Name], s)
	}
	root := by["process "+topic][0]
	for key, want := range map[string]string{"messaging.system": "kafka", "messaging.operation.name": "process", "messaging.operation.type": "process",
		"messaging.destination.name": topic, "messaging.consumer.group.name": "g", "messaging.batch.message_count": "3", "sluice.table": "public_orders", "sluice.rows": "3",
		"sluice.upserts": "3", "sluice.deletes": "0", "sluice.batch.reason": "age", "sluice.offsets": want.offsets, "sluice.bytes": strconv.Itoa(want.bytes),
		"sluice.job.id": want.job, "sluice.job.attempts": strconv.Itoa(want.executions), "error.type": ""} {
		if got := root.attributes()[key]; got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	waited, err := strconv.ParseFloat(root.attributes()["sluice.budget.wait"], 64)
	if err != nil || waited < 1 {
		t.Errorf("waited for the budget: %v, %v; the target asked for a second", waited, err)
	}
	if done := by["DONE"]; len(done) == 1 && done[0].attributes()["sluice.job.id"] != want.job {
		t.Errorf("DONE is %v", done[0].attributes())
	}
	var links []string
	for _, l := range root.Links {
		links = append(links, l.TraceID)
	}
	if !slices.Equal(links, want.links) || root.Kind != consumer || root.ParentSpanID != "" {
		t.Errorf("linked to %q, of kind %d, parent %q", links, root.Kind, root.ParentSpanID)
	}
	for name, want := range map[string]int{"seal": 1, "encode": 1, "create": 2, "upload": 2, "commit intent": 1, "execute": 2, "wait for budget": 1, "poll": 1, "DONE": 1, "commit " + topic: 1} {
		got := by[name]
		if len(got) != want {
			t.Errorf("%d spans %q, want %d", len(got), name, want)
		}
		for _, s := range got {
			if s.ParentSpanID != root.SpanID {
				t.Errorf("%q is not a child of the batch's span", name)
			}
		}
	}
	for name, want := range map[string][]string{"upload": {"unavailable", ""}, "execute": {"throttled", ""}} {
		var classes []string
		for _, s := range by[name] {
			classes = append(classes, s.attributes()["error.type"])
		}
		if !slices.Equal(classes, want) {
			t.Errorf("%q failed with %q, want %q", name, classes, want)
		}
	}
	if commit := by["commit "+topic]; len(commit) == 1 && commit[0].attributes()["messaging.operation.type"] != "settle" {
		t.Errorf("the commit is %v", commit[0].attributes())
	}
	requests := by["POST /data-ingestion/api/v1/data-push/{poolId}/jobs/{id}/chunks/upserted"]
	var uploads []string
	for _, s := range requests {
		a := s.attributes()
		uploads = append(uploads, strings.Join([]string{a["http.request.method"], a["http.response.status_code"], a["error.type"], a["http.request.resend_count"]}, " "))
	}
	if !slices.Equal(uploads, []string{"POST 500 500 ", "POST 200  1"}) {
		t.Errorf("uploads %q", uploads)
	}
}

// span is one as OTLP's JSON has it
// (https://github.com/open-telemetry/opentelemetry-proto, trace.proto).
type span struct {
	TraceID           string `json:"traceId"`
	SpanID            string `json:"spanId"`
	ParentSpanID      string `json:"parentSpanId"`
	Name              string
	Kind              int
	StartTimeUnixNano string
	Attributes        []keyValue
	Links             []struct {
		TraceID string `json:"traceId"`
	}
}

type keyValue struct {
	Key   string
	Value map[string]any // of one value, by its type
}

const consumer = 5 // SPAN_KIND_CONSUMER

func (s span) attributes() map[string]string { return text(s.Attributes) }

// text is attributes as text, a list's values one after the other.
func text(attributes []keyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		for _, v := range a.Value {
			all[a.Key] = listed(v)
		}
	}
	return all
}

func listed(v any) string {
	list, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(v)
	}
	var all []string
	for _, one := range list["values"].([]any) {
		for _, v := range one.(map[string]any) {
			all = append(all, fmt.Sprint(v))
		}
	}
	return strings.Join(all, " ")
}

// fetch reads a trace, of which some spans may not have come yet.
func fetch(t *testing.T, query, id string) (spans []span) {
	t.Helper()
	text := get(query + "/api/v3/traces/" + id)
	if text == "" {
		return nil
	}
	var answer struct {
		Result struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []span }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, r := range answer.Result.ResourceSpans {
		for _, s := range r.ScopeSpans {
			spans = append(spans, s.Spans...)
		}
	}
	return spans
}

// get returns what an address answers, "" if that is an error.
func get(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// start runs a program until the test ends; it returns the name of its log, which a failed
// test shows.
func start(t *testing.T, log string, env map[string]string, program string, args ...string) string {
	t.Helper()
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if env != nil {
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		for k, v := range env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("SIGTERM to %s: %v, want exit 0", program, err)
		}
		if t.Failed() {
			text, _ := os.ReadFile(log)
			t.Logf("%s:\n%s", filepath.Base(log), text[max(0, len(text)-4000):])
		}
		out.Close()
	})
	return log
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not after a minute", what)
}

// freePorts returns ports of the loopback that nobody listened at a moment ago.
func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}
