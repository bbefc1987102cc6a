package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

func wired(t *testing.T, env map[string]string) connector.Options {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	tel, err := newTelemetry(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	opt, err := options(settings(t, env), log, tel)
	if err != nil {
		t.Fatal(err)
	}
	opt.Pusher.Tracer = noop.NewTracerProvider().Tracer("")
	return opt
}

const tablesFile = `
tables:
  public_t:
    topic: odd
    keys: [a, b]
    exclude: true
    columns: {a: z}
    types: {p: FLOAT}
    maxRows: 7
    maxBytes: 3MiB
    maxAge: 9m
    allowDuplicate: true
    duplicateRemovalColumn: d
    targetSchema: ts
    foreignKeys: fk
    mirrorTargetNames: [m]
    postExecutionQuery: q
`

// TestWiring: every setting reaches the place where it works.
func TestWiring(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tables.yaml")
	if err := os.WriteFile(path, []byte(tablesFile), 0o600); err != nil {
		t.Fatal(err)
	}
	o := wired(t, map[string]string{"SLUICE_TABLES_FILE": path, "SLUICE_CELONIS_NAME_REPLACE": ".=_"})
	if o.Decoder.Keys("public_t")[1] != "b" || o.Decoder.TopicTable("odd") != "public_t" || !o.Decoder.Exclude("public_t") || o.Decoder.Exclude("x") ||
		o.Decoder.Column("public_t", "a") != "z" || o.Decoder.Column("x", "a.b") != "a_b" || o.Decoder.Types("public_t", "p") != schema.Float {
		t.Error("the tables file is not wired to the decoder")
	}
	if p := o.Policy("public_t"); p != (batcher.Policy{MaxRows: 7, MaxBytes: 3 << 20, MaxAge: 9 * time.Minute}) {
		t.Errorf("policy %+v", p)
	}
	if p := o.Policy("x"); p != (batcher.Policy{MaxRows: 500_000, MaxBytes: 128 << 20, MaxAge: time.Minute}) {
		t.Errorf("policy of other tables %+v", p)
	}
	for _, tc := range []struct {
		name, value string
		is          func(connector.Options) bool
	}{
		{"SLUICE_DECIMAL", "string", func(o connector.Options) bool { return o.Decoder.Decimals == debezium.DecimalsText }},
		{"SLUICE_DECIMAL", "decimal", func(o connector.Options) bool { return o.Decoder.Decimals == debezium.DecimalsExact }},
		{"SLUICE_BINARY", "hex", func(o connector.Options) bool { return o.Decoder.Binary == debezium.BinaryHex }},
		{"SLUICE_BINARY", "drop", func(o connector.Options) bool { return o.Decoder.Binary == debezium.BinaryDrop }},
		{"SLUICE_STRING_OVERFLOW", "truncate", func(o connector.Options) bool { return o.Decoder.Overflow == debezium.OverflowTruncate }},
		{"SLUICE_STRING_OVERFLOW", "warn", func(o connector.Options) bool { return o.Decoder.Overflow == debezium.OverflowPass }},
		{"SLUICE_TIMESTAMP", "millis", func(o connector.Options) bool { return o.Decoder.TimeUnit == 1000 }},
		{"SLUICE_TIMESTAMP", "micros", func(o connector.Options) bool { return o.Decoder.TimeUnit <= 1 }},
		{"SLUICE_CELONIS_LENGTH_UNIT", "bytes", func(o connector.Options) bool { return o.Decoder.LengthInBytes }},
		{"SLUICE_CELONIS_FALLBACK_VARCHAR_LENGTH", "99", func(o connector.Options) bool { return o.Decoder.MaxLength == 99 }},
		{"SLUICE_CELONIS_ORDER_COLUMN", "n", func(o connector.Options) bool { return o.Decoder.OrderColumn == "n" }},
		{"SLUICE_UNAVAILABLE_PLACEHOLDER", "x", func(o connector.Options) bool { return o.Decoder.Placeholder == "x" }},
		{"SLUICE_TARGET_TABLE", "{database}-{topic}-{table}", func(o connector.Options) bool {
			return o.Decoder.Table(debezium.Identity{Topic: "t", Database: "d", Table: "x"}) == "d-t-x"
		}},
		{"SLUICE_CELONIS_CONFLICT_SCOPE", "team", func(o connector.Options) bool { return o.Exclusive }},
		{"SLUICE_CELONIS_CONFLICT_SCOPE", "table", func(o connector.Options) bool { return !o.Exclusive }},
		{"SLUICE_CELONIS_COUNT_CONFLICT", "false", func(o connector.Options) bool { return o.Pusher.FreeConflicts }},
		{"SLUICE_CELONIS_JOB_DEADLINE_ACTION", "cancel", func(o connector.Options) bool { return o.Pusher.Overdue == push.OverdueCancel }},
		{"SLUICE_CELONIS_JOB_DEADLINE_ACTION", "hold", func(o connector.Options) bool { return o.Pusher.Overdue == push.OverdueHold }},
		{"SLUICE_CELONIS_JOB_DEADLINE", "7m", func(o connector.Options) bool { return o.Pusher.Deadline == 7*time.Minute }},
		{"SLUICE_CELONIS_JOB_ATTEMPTS", "9", func(o connector.Options) bool { return o.Pusher.Attempts == 9 }},
		{"SLUICE_CELONIS_POLL_INTERVAL", "7s", func(o connector.Options) bool { return o.Pusher.PollInterval == 7*time.Second }},
		{"SLUICE_CELONIS_POLL_MAX_INTERVAL", "70s", func(o connector.Options) bool { return o.Pusher.MaxPollInterval == 70*time.Second }},
		{"SLUICE_CELONIS_DELETE_JOBS", "false", func(o connector.Options) bool { return !o.DeleteJobs }},
		{"SLUICE_CELONIS_JOB_ORDER", "deletes-then-upserts", func(o connector.Options) bool {
			parts := o.Split([]schema.Chunk{{Op: schema.Upsert}, {Op: schema.Delete}})
			return len(parts) == 2 && parts[0][0].Op == schema.Delete
		}},
		{"SLUICE_DEADLETTER_TOPIC", "dead", func(o connector.Options) bool { return o.DeadLetterTopic == "dead" && o.DeadLetterLimit == 100 }},
		{"SLUICE_MEMORY_LIMIT", "3MiB", func(o connector.Options) bool { return o.MemoryLimit == 3<<20 }},
		{"SLUICE_DRAIN_TIMEOUT", "3s", func(o connector.Options) bool { return o.DrainTimeout == 3*time.Second }},
		{"SLUICE_KAFKA_INSTANCE_ID", "i", func(o connector.Options) bool { return o.Kafka.InstanceID == "i" }},
		{"SLUICE_KAFKA_GROUP", "g", func(o connector.Options) bool { return o.Kafka.Group == "g" }},
		{"SLUICE_KAFKA_FETCH_MAX_BYTES", "1MiB", func(o connector.Options) bool { return o.Kafka.FetchBytes == 1<<20 }},
		{"SLUICE_BUDGET_JOBS_PER_HOUR", "60", func(o connector.Options) bool {
			left, _ := o.Pusher.Budget.Left(time.Now())
			return left == 60
		}},
	} {
		if !tc.is(wired(t, map[string]string{tc.name: tc.value})) {
			t.Errorf("%s=%s is not wired", tc.name, tc.value)
		}
	}
}

// TestTargetWiring: what the target is to be told is told, by what it hears.
func TestTargetWiring(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tables.yaml")
	if err := os.WriteFile(path, []byte(tablesFile), 0o600); err != nil {
		t.Fatal(err)
	}
	var heard strings.Builder
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		heard.WriteString(r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("Authorization") + " " + string(body) + "\n")
		if r.Method == http.MethodGet {
			io.WriteString(w, "[]")
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"id": "j1"})
	}))
	defer api.Close()
	for _, tc := range []struct {
		env  map[string]string
		want []string
	}{
		{map[string]string{"SLUICE_TABLES_FILE": path}, []string{`"allowDuplicate":true`, `"targetSchema":"ts"`, `"foreignKeys":"fk"`, `"mirrorTargetNames":["m"]`, `"postExecutionQuery":"q"`, "duplicateRemovalColumn=d", " Bearer k "}},
		{map[string]string{"SLUICE_CELONIS_API_KEY": "", "SLUICE_CELONIS_APP_KEY": "a"}, []string{" AppKey a "}},
		{map[string]string{"SLUICE_CELONIS_CONNECTION_ID": "c", "SLUICE_CELONIS_UPSERT_STRATEGY": "UPSERT_WITH_UNCHANGED_METADATA", "SLUICE_CELONIS_VALIDATE": "true"},
			[]string{`"connectionId":"c"`, `"upsertStrategy":"UPSERT_WITH_UNCHANGED_METADATA"`, "validate=true"}},
		{map[string]string{"SLUICE_CELONIS_TABLE_SCHEMA": "false", "SLUICE_CELONIS_EXECUTE_TRAILING_SLASH": "true", "SLUICE_CELONIS_ORDER_COLUMN": "n"}, []string{"/jobs/j1/?duplicateRemovalColumn=n"}},
	} {
		heard.Reset()
		env := map[string]string{"SLUICE_CELONIS_URL": api.URL, "SLUICE_BUDGET_REQUESTS_PER_SECOND": "1000"}
		for k, v := range tc.env {
			env[k] = v
		}
		sink := wired(t, env).Pusher.Sink.(*celonis.Sink)
		ticket, err := sink.Prepare(t.Context(), &push.Job{Table: &schema.Table{Name: "public_t", Columns: []schema.Column{{Name: "a", Key: true, Type: schema.Type{Kind: schema.Integer}}}}})
		if err == nil {
			err = sink.Execute(t.Context(), ticket)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tc.want {
			if !strings.Contains(heard.String(), want) {
				t.Errorf("%v: no %q in\n%s", tc.env, want, &heard)
			}
		}
	}
}
