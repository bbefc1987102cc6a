package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/telemetry"
	"github.com/sluice-cdc/sluice/connector"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

func wired(t *testing.T, env map[string]string) connector.Options {
	t.Helper()
	return wiredTo(t, env, slog.New(slog.DiscardHandler))
}

func wiredTo(t *testing.T, env map[string]string, log *slog.Logger) connector.Options {
	t.Helper()
	tel, err := telemetry.New(t.Context(), "test", log)
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
    types: {p: FLOAT, w: timestamp-micros}
    maskColumns: {m: null}
    metadataColumns: {source_ts: _ts}
    maxRows: 7
    maxBytes: 3MiB
    maxAge: 9m
    freshnessTarget: 20m
    unavailable: unchanged
    truncate: replace
    typeChange: string
    allowDuplicate: true
    duplicateRemovalColumn: d
    targetSchema: ts
    foreignKeys: fk
    mirrorTargetNames: [m]
    postExecutionQuery: q
  public_log:
    append: true
  past:
    mode: history
  soft:
    mode: soft-delete
    fullBefore: true
  merged:
    from: public_m[0-9]
    merge: true
    order: position
`

// TestWiring: every setting reaches the place where it works.
func TestWiring(t *testing.T) {
	path := tablesAt(t, tablesFile)
	o := wired(t, map[string]string{"SLUICE_TABLES_FILE": path, "SLUICE_CELONIS_NAME_REPLACE": ".=_"})
	if o.Decoder.Keys("public_t")[1] != "b" || o.Decoder.TopicTable("odd") != "public_t" || !o.Decoder.Exclude("public_t") || o.Decoder.Exclude("x") || o.Decoder.Mode("public_log") != debezium.ModeAppend || o.Decoder.Mode("past") != debezium.ModeHistory || o.Decoder.Mode("soft") != debezium.ModeSoftDelete || !o.Decoder.WholeBefore("soft") || o.Decoder.WholeBefore("past") || o.Decoder.Truncate("public_t") != debezium.TruncateReplace || o.Decoder.Truncate("x") != debezium.TruncateHold || o.Decoder.Mode("public_t") != debezium.ModeUpsert ||
		o.Decoder.Column("public_t", "a") != "z" || o.Decoder.Column("x", "a.b") != "a_b" || o.Decoder.Types("public_t", "p") != schema.Float || o.Decoder.Wire("public_t", "w") == nil || o.Decoder.Wire("public_t", "p") != nil || !slices.Equal(o.Decoder.Columns("public_t"), []string{"p", "w"}) || len(o.Decoder.Columns("x")) > 0 || o.Decoder.Rule("public_t", "m").Action != debezium.Mask ||
		!slices.Equal(o.Decoder.Metadata("public_t"), []debezium.MetadataColumn{{What: debezium.SourceTime, Name: "_ts"}}) || o.Decoder.Metadata("x") != nil {
		t.Error("the tables file is not wired to the decoder")
	}
	if !o.Decoder.ByPosition("merged") || o.Decoder.ByPosition("public_t") {
		t.Error("order is not wired to the decoder")
	}
	if o.FreshnessTarget("public_t") != 20*time.Minute || o.FreshnessTarget("x") != 5*time.Minute {
		t.Error("the freshness targets are not wired")
	}
	for _, shard := range []string{"m1", "m2"} {
		id := debezium.Identity{Database: "d", Schema: "public", Table: shard}
		if name := o.Decoder.Table(id); name != "merged" || !o.Decoder.Merge(name) || o.Decoder.Claim(name, id) != nil || o.Decoder.Merge("public_t") {
			t.Errorf("%s becomes %s", shard, name)
		}
	}
	if p := o.Policy("public_t"); p != (batcher.Policy{MaxRows: 7, MaxBytes: 3 << 20, MaxAge: 9 * time.Minute, Unavailable: batcher.UnavailableKeep, Loose: true}) {
		t.Errorf("policy %+v", p)
	}
	if p := o.Policy("x"); p != (batcher.Policy{MaxRows: 500_000, MaxBytes: 128 << 20, MaxAge: time.Minute}) {
		t.Errorf("policy of other tables %+v", p)
	}
	for _, tc := range []struct {
		name, value string
		is          func(connector.Options) bool
	}{
		{"SLUICE_EVENTS", "flattened", func(o connector.Options) bool { return o.Decoder.Events == debezium.EventsFlattened }},
		{"SLUICE_EVENTS", "envelope", func(o connector.Options) bool { return o.Decoder.Events == debezium.EventsEnvelope }},
		{"SLUICE_FLATTENED_PREFIX", "dbz_", func(o connector.Options) bool { return o.Decoder.FlattenedPrefix == "dbz_" }},
		{"SLUICE_FLATTENED_METADATA", "keep", func(o connector.Options) bool { return o.Decoder.KeepMetadata }},
		{"SLUICE_BARE_KEYS", "string", func(o connector.Options) bool { return o.Decoder.BareKeys == debezium.BareText }},
		{"SLUICE_BARE_KEYS", "long", func(o connector.Options) bool { return o.Decoder.BareKeys == debezium.BareLong }},
		{"SLUICE_BARE_KEYS", "ignore", func(o connector.Options) bool { return o.Decoder.BareKeys == debezium.BareIgnored }},
		{"SLUICE_MONGODB_GONE", "skip", func(o connector.Options) bool { return o.Decoder.SkipGone }},
		{"SLUICE_DECIMAL", "string", func(o connector.Options) bool { return o.Decoder.Decimals == debezium.DecimalsText }},
		{"SLUICE_DECIMAL", "decimal", func(o connector.Options) bool { return o.Decoder.Decimals == debezium.DecimalsExact }},
		{"SLUICE_OUT_OF_RANGE", "hold", func(o connector.Options) bool { return o.Decoder.OutOfRange == debezium.RangeHold }},
		{"SLUICE_OUT_OF_RANGE", "null", func(o connector.Options) bool { return o.Decoder.OutOfRange == debezium.RangeNull }},
		{"SLUICE_OUT_OF_RANGE", "clamp", func(o connector.Options) bool { return o.Decoder.OutOfRange == debezium.RangeClamp }},
		{"SLUICE_OUT_OF_RANGE", "string", func(o connector.Options) bool { return o.Decoder.OutOfRange == debezium.RangeText }},
		{"SLUICE_BINARY", "hex", func(o connector.Options) bool { return o.Decoder.Binary == debezium.BinaryHex }},
		{"SLUICE_BINARY", "drop", func(o connector.Options) bool { return o.Decoder.Binary == debezium.BinaryDrop }},
		{"SLUICE_STRING_OVERFLOW", "cut", func(o connector.Options) bool { return o.Decoder.Overflow == debezium.OverflowCut }},
		{"SLUICE_STRING_OVERFLOW", "grow", func(o connector.Options) bool {
			return o.Decoder.Overflow == debezium.OverflowGrow && o.Decoder.LengthLimit == 16250
		}},
		{"SLUICE_STRING_OVERFLOW", "pass", func(o connector.Options) bool { return o.Decoder.Overflow == debezium.OverflowPass }},
		{"SLUICE_TIMESTAMP", "millis", func(o connector.Options) bool { return o.Decoder.TimeUnit == 1000 }},
		{"SLUICE_TIMESTAMP", "micros", func(o connector.Options) bool { return o.Decoder.TimeUnit <= 1 }},
		{"SLUICE_CELONIS_LENGTH_UNIT", "bytes", func(o connector.Options) bool { return o.Decoder.LengthInBytes }},
		{"SLUICE_CELONIS_FALLBACK_VARCHAR_LENGTH", "99", func(o connector.Options) bool { return o.Decoder.MaxLength == 99 }},
		{"SLUICE_CELONIS_ORDER_COLUMN", "n", func(o connector.Options) bool {
			return slices.Equal(o.Decoder.Metadata("t"), []debezium.MetadataColumn{{What: debezium.KafkaOffset, Name: "n"}})
		}},
		{"SLUICE_METADATA_COLUMNS", "op=_op, delivered_at=_at", func(o connector.Options) bool {
			return slices.Equal(o.Decoder.Metadata("t"), []debezium.MetadataColumn{{What: debezium.Operation, Name: "_op"}, {What: debezium.DeliveredAt, Name: "_at"}})
		}},
		{"SLUICE_FRESHNESS_TARGET", "7m", func(o connector.Options) bool { return o.FreshnessTarget("t") == 7*time.Minute }},
		{"SLUICE_METRICS_MAX_TABLES", "7", func(o connector.Options) bool { return o.MetricTables == 7 && o.Version == buildVersion() }},
		{"SLUICE_TYPE_CHANGE", "string", func(o connector.Options) bool { return o.Policy("x").Loose }},
		{"SLUICE_TYPE_CHANGE", "hold", func(o connector.Options) bool { return !o.Policy("x").Loose }},
		{"SLUICE_UNAVAILABLE", "null", func(o connector.Options) bool { return o.Policy("x").Unavailable == batcher.UnavailableNull }},
		{"SLUICE_UNAVAILABLE", "hold", func(o connector.Options) bool { return o.Policy("x").Unavailable == batcher.UnavailableHold }},
		{"SLUICE_TRACE_COLUMN", "x", func(o connector.Options) bool { return o.Decoder.TraceColumn == "x" }},
		{"SLUICE_UNAVAILABLE_OBJECTS", "true", func(o connector.Options) bool { return o.Decoder.ObjectText }},
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
		{"SLUICE_POSITION_MEMORY", "3MiB", func(o connector.Options) bool { return o.PositionMemory == 3<<20 }},
		{"SLUICE_DRAIN_TIMEOUT", "3s", func(o connector.Options) bool { return o.DrainTimeout == 3*time.Second }},
		{"SLUICE_KAFKA_OFFSET_METADATA_MAX_BYTES", "900", func(o connector.Options) bool { return o.MetadataLimit == 900 }},
		{"SLUICE_KAFKA_AUTO_OFFSET_RESET", "none", func(o connector.Options) bool { return o.HoldNewGroup }},
		{"SLUICE_KAFKA_AUTO_OFFSET_RESET", "earliest", func(o connector.Options) bool { return !o.HoldNewGroup }},
		{"SLUICE_KAFKA_INSTANCE_ID", "i", func(o connector.Options) bool { return o.Kafka.InstanceID == "i" }},
		{"SLUICE_KAFKA_GROUP", "g", func(o connector.Options) bool { return o.Kafka.Group == "g" }},
		{"SLUICE_KAFKA_FETCH_MAX_BYTES", "1MiB", func(o connector.Options) bool { return o.Kafka.FetchBytes == 1<<20 }},
		{"SLUICE_KAFKA_BROKERS", "b:1,c:2", func(o connector.Options) bool { return len(o.Kafka.Brokers) == 2 }},
		{"SLUICE_KAFKA_TOPICS", "x,y", func(o connector.Options) bool { return len(o.Kafka.Topics) == 2 }},
		{"SLUICE_KAFKA_SESSION_TIMEOUT", "7s", func(o connector.Options) bool { return o.Kafka.SessionTimeout == 7*time.Second }},
		{"SLUICE_KAFKA_REBALANCE_TIMEOUT", "7m", func(o connector.Options) bool { return o.Kafka.RebalanceTimeout == 7*time.Minute }},
		{"SLUICE_KAFKA_METADATA_MAX_AGE", "7s", func(o connector.Options) bool { return o.Kafka.MetadataAge == 7*time.Second }},
		{"SLUICE_KAFKA_BALANCER", "cooperative-sticky", func(o connector.Options) bool { return o.Kafka.Balancer == kafka.CooperativeSticky }},
		{"SLUICE_TARGET_TABLE", "{table}", func(o connector.Options) bool {
			return o.Kafka.TableOf("p.a.t") == "t" && o.Kafka.TableOf("p.b.t") == "t" && o.Kafka.TableOf("t") == ""
		}},
		{"SLUICE_FORMAT", "json", func(o connector.Options) bool { return o.Decoder.Format == debezium.JSON }},
		{"SLUICE_SCHEMA_REGISTRY_URL", "http://r:1", func(o connector.Options) bool { return o.Registry != nil }},
		{"SLUICE_DEADLETTER_LIMIT", "7", func(o connector.Options) bool { return o.DeadLetterLimit == 7 }},
		{"SLUICE_CELONIS_NAME_CASE", "keep", func(o connector.Options) bool {
			a := o.Decoder.Claim("t", debezium.Identity{Schema: "s", Table: "t"})
			return a == nil && o.Decoder.Claim("T", debezium.Identity{Schema: "s", Table: "T"}) == nil
		}},
		{"SLUICE_CELONIS_NAME_CASE", "fold", func(o connector.Options) bool {
			a := o.Decoder.Claim("t", debezium.Identity{Schema: "s", Table: "t"})
			return a == nil && o.Decoder.Claim("T", debezium.Identity{Schema: "s", Table: "T"}) != nil
		}},
		{"SLUICE_HASH_KEY", "0123456789abcdef", func(o connector.Options) bool { return string(o.Decoder.HashKey) == "0123456789abcdef" }},
		{"SLUICE_TABLES_INCLUDE", "a|b", func(o connector.Options) bool { return !o.Decoder.Exclude("b") && o.Decoder.Exclude("c") }},
		{"SLUICE_TABLES_EXCLUDE", "a|b", func(o connector.Options) bool { return o.Decoder.Exclude("b") && !o.Decoder.Exclude("c") }},
		{"SLUICE_BUDGET_RESERVE", "249", func(o connector.Options) bool {
			now := time.Now()
			return o.Pusher.Budget.Grant(now) && !o.Pusher.Budget.Grant(now)
		}},
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
	path := tablesAt(t, tablesFile)
	var heard strings.Builder
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		heard.WriteString(r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("Authorization") + " " + string(body) + "\n")
		switch {
		case strings.HasSuffix(r.URL.Path, "/token"):
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"access_token":"fetched","token_type":"Bearer","expires_in":900}`)
			return
		case r.Method == http.MethodGet:
			io.WriteString(w, `[{"id":"c","type":"UPSERT","fileLength":5}]`)
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
		{map[string]string{"SLUICE_CELONIS_MULTIPART_FIELD": "chunk", "SLUICE_CELONIS_MULTIPART_FILENAME": "f.parquet", "SLUICE_CELONIS_FALLBACK_VARCHAR_LENGTH": "77"},
			[]string{`name="chunk"`, `filename="f.parquet"`, `"fallbackVarcharLength":77`}},
		{nil, []string{`"fileType":"PARQUET"`, `filename="chunk.parquet"`}},
		{map[string]string{"SLUICE_CELONIS_FILE_TYPE": "csv", "SLUICE_TIMESTAMP": "micros"}, []string{`"fileType":"CSV"`, `filename="chunk.csv"`, `"dateFormat":"yyyy-MM-dd HH:mm:ss.SSSSSS"`}},
		{map[string]string{"SLUICE_CELONIS_API_KEY": "", "SLUICE_CELONIS_OAUTH_CLIENT_ID": "me", "SLUICE_CELONIS_OAUTH_CLIENT_SECRET": "pw", "SLUICE_CELONIS_OAUTH_SCOPE": "one two",
			"SLUICE_CELONIS_OAUTH_AUTH_STYLE": "post", "SLUICE_CELONIS_OAUTH_TOKEN_URL": api.URL + "/own/token"},
			[]string{"POST /own/token", "client_secret=pw", "scope=one+two", " Bearer fetched "}},
		{map[string]string{"SLUICE_CELONIS_COUNTED_CALLS": "create", "SLUICE_BUDGET_JOBS_PER_HOUR": "60", "spent": "1"}, nil},
		{map[string]string{"SLUICE_CELONIS_NAME_MAX_LENGTH": "3", "refusal": "longer than 3 bytes"}, nil},
	} {
		heard.Reset()
		env := map[string]string{"SLUICE_CELONIS_URL": api.URL, "SLUICE_BUDGET_REQUESTS_PER_SECOND": "1000"}
		for k, v := range tc.env {
			if strings.HasPrefix(k, "SLUICE_") {
				env[k] = v
			}
		}
		pusher := wired(t, env).Pusher
		sink := pusher.Sink.(*celonis.Sink)
		ticket, err := sink.Prepare(t.Context(), &push.Job{Table: &schema.Table{Name: "public_t", Columns: []schema.Column{{Name: "a", Key: true, Type: schema.Type{Kind: schema.Integer}}}},
			Chunks: []schema.Chunk{{Op: schema.Upsert, Data: []byte("12345")}}})
		if refusal, ok := tc.env["refusal"]; ok {
			if err == nil || !strings.Contains(err.Error(), refusal) {
				t.Errorf("%v: %v", tc.env, err)
			}
			continue
		}
		if err == nil {
			_, err = sink.Execute(t.Context(), ticket)
		}
		if err != nil {
			t.Fatal(err)
		}
		if left, _ := pusher.Budget.Left(time.Now()); tc.env["spent"] != "" && left != 59 {
			t.Errorf("%v: %d submissions left of 60", tc.env, left)
		}
		for _, want := range tc.want {
			if !strings.Contains(heard.String(), want) {
				t.Errorf("%v: no %q in\n%s", tc.env, want, &heard)
			}
		}
	}
}

// TestRegistryWiring: what the registry is to be told is told.
func TestRegistryWiring(t *testing.T) {
	// The id that each framing reads off the same bytes is asked for where it belongs.
	short, long := []byte{0, 0, 0, 0, 7, 0, 0, 0, 8}, []byte{0, 0, 0, 0, 0, 0, 0, 0, 7}
	const f = "SLUICE_SCHEMA_REGISTRY_FRAMING"
	for _, tc := range []struct {
		want string
		raw  []byte
		env  map[string]string
	}{
		{"/schemas/ids/7 Basic bWU6cHc=", short, map[string]string{"SLUICE_SCHEMA_REGISTRY_USERNAME": "me", "SLUICE_SCHEMA_REGISTRY_PASSWORD": "pw"}},
		{"/schemas/ids/7 Bearer tk", short, map[string]string{"SLUICE_SCHEMA_REGISTRY_TOKEN": "tk"}},
		{"/ids/globalIds/7", long, map[string]string{f: "apicurio"}},
		{"/ids/contentIds/7", long, map[string]string{f: "apicurio", "SLUICE_SCHEMA_REGISTRY_ID": "contentId"}},
		{"/ids/contentIds/7", short, map[string]string{f: "apicurio-v3"}},
		{"/ids/globalIds/7", short, map[string]string{f: "apicurio-v3", "SLUICE_SCHEMA_REGISTRY_ID": "globalId"}},
		{"/ids/contentIds/7", short, map[string]string{f: "apicurio-mixed"}},
		{"/ids/globalIds/7", long, map[string]string{f: "apicurio-mixed"}},
	} {
		requests := make(chan string) // its own: what was cancelled may still be heard
		api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case requests <- r.URL.Path + " " + r.Header.Get("Authorization"):
			case <-r.Context().Done():
			}
		}))
		t.Cleanup(api.Close)
		ca := filepath.Join(t.TempDir(), "ca.pem")
		cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
		if err := os.WriteFile(ca, cert, 0o600); err != nil {
			t.Fatal(err)
		}
		tc.env["SLUICE_SCHEMA_REGISTRY_URL"], tc.env["SLUICE_SCHEMA_REGISTRY_CA_FILE"] = api.URL, ca
		o := wired(t, tc.env)
		id, _ := o.Decoder.Framing.Prefix(tc.raw)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- o.Registry.Fetch(ctx, id) }()
		heard := <-requests
		cancel()
		<-ended
		if !strings.HasPrefix(heard, tc.want) {
			t.Errorf("heard %q, want %q; %s", heard, tc.want, o.Registry.Trouble())
		}
	}
}

// TestFileWiring: each setting of the files makes other files.
func TestFileWiring(t *testing.T) {
	encode := func(env map[string]string) string {
		o := wired(t, env)
		rows := new(schema.Rows)
		rows.Reset("t", []schema.Column{{Name: "id", Key: true, Type: schema.Type{Kind: schema.Integer}},
			{Name: "s", Type: schema.Type{Kind: schema.String}}, {Name: "at", Type: schema.Type{Kind: schema.DateTime}}})
		for i := range int64(20_000) {
			rows.Values[0].AppendNum(i)
			rows.Values[1].AppendString([]byte(strings.Repeat("abc", int(i%50))))
			rows.Values[2].AppendNum(i * 1001)
			op := schema.Upsert
			if i%10 == 0 {
				op = schema.Delete
			}
			rows.Ops, rows.Offsets = append(rows.Ops, op), append(rows.Offsets, i)
			rows.Keys = schema.AppendKey(rows.Keys, &rows.Values[0], int(i))
			rows.KeyEnds = append(rows.KeyEnds, uint32(len(rows.Keys)))
		}
		batch, err := batcher.New(o.Policy).Add(time.Unix(0, 0), rows, 0)
		if err != nil {
			t.Fatal(err)
		}
		chunks, err := o.Encode(batch)
		if err != nil {
			t.Fatal(err)
		}
		all := ""
		for _, c := range chunks {
			all += string(c.Data) + "|"
		}
		return all
	}
	usual := encode(nil)
	if usual != encode(nil) {
		t.Fatal("the same batch makes different files")
	}
	for name, value := range map[string]string{"SLUICE_PARQUET_COMPRESSION": "zstd", "SLUICE_CHUNK_BYTES": "64KiB", "SLUICE_PARQUET_PAGE_BYTES": "4KiB",
		"SLUICE_PARQUET_ROW_GROUP_ROWS": "1000", "SLUICE_PARQUET_PAGE_VERSION": "2", "SLUICE_PARQUET_DICTIONARY": "false", "SLUICE_TIMESTAMP": "int96",
		"SLUICE_CELONIS_DELETE_COLUMNS": "full"} {
		if encode(map[string]string{name: value}) == usual {
			t.Errorf("%s=%s changes nothing", name, value)
		}
	}
	if usual = encode(map[string]string{"SLUICE_CELONIS_FILE_TYPE": "csv"}); !strings.HasPrefix(usual, "\"id\",\"s\",\"at\"\n1,\"abc\",1970-01-01 00:00:00.001\n") {
		t.Errorf("CSV begins with %.80q", usual)
	}
	for name, value := range map[string]string{"SLUICE_CHUNK_BYTES": "64KiB", "SLUICE_TIMESTAMP": "micros", "SLUICE_CELONIS_DELETE_COLUMNS": "full"} {
		csv := map[string]string{"SLUICE_CELONIS_FILE_TYPE": "csv", name: value}
		if encode(csv) == usual {
			t.Errorf("%v changes nothing", csv)
		}
	}
}
