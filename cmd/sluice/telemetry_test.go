package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/otlptest"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

// shopped is a broker with a shop's changes, each made in a trace, an emulator, and the settings
// of a program that is to carry them.
func shopped(t testing.TB, changes int) (s *shop, emu *emulator.Emulator, env map[string]string) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, shopTopics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	emu = emulator.New(emulator.Options{})
	api := httptest.NewServer(emu)
	t.Cleanup(api.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s = newShop(changes)
	for s.made < changes {
		var recs []*kgo.Record
		for range min(10_000, changes-s.made) {
			change := s.next()
			for _, r := range change {
				r.Headers = []kgo.RecordHeader{{Key: "traceparent", Value: fmt.Appendf(nil, "00-%032x-%016x-01", s.made, s.made)}}
			}
			recs = append(recs, change...)
		}
		if err := client.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return s, emu, map[string]string{
		"SLUICE_KAFKA_BROKERS": cluster.ListenAddrs()[0], "SLUICE_KAFKA_TOPICS": `^shop\..*`,
		"SLUICE_CELONIS_URL": api.URL, "SLUICE_CELONIS_POOL_ID": "p", "SLUICE_CELONIS_API_KEY": "k",
		"SLUICE_CELONIS_POLL_INTERVAL": "20ms", "SLUICE_BATCH_MAX_AGE": "50ms", "SLUICE_BUDGET_REQUESTS_PER_SECOND": "1000",
	}
}

func (s *shop) arrived(t *testing.T, emu *emulator.Emulator) {
	t.Helper()
	for _, table := range s.tables {
		eventually(t, table.target()+" equals the shop's", func() bool { return table.mismatches(poolDemo{emu}.rows(table.target())) == 0 })
	}
}

func (p *process) stop(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v, want exit 0\n%s", err, p.log)
	}
}

// TestSignals: a batch's line in the log, here and at the collector, has the ids of a trace
// that arrives there, and so do the metrics.
func TestSignals(t *testing.T) {
	s, emu, env := shopped(t, 100)
	r := otlptest.New(t)
	maps.Copy(env, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": r.GRPC, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_LOGS_EXPORTER": "otlp"})
	p := start(t, env)
	s.arrived(t, emu)
	p.stop(t)

	traces, lines := map[string]bool{}, 0
	for _, span := range r.Spans() {
		traces[hex.EncodeToString(span.TraceId)] = true
	}
	for _, l := range r.Logs() {
		if l.Body.GetStringValue() == "batch delivered" {
			lines++
			if !traces[hex.EncodeToString(l.TraceId)] {
				t.Errorf("a line of no trace that arrived: %v", l)
			}
		}
	}
	local := regexp.MustCompile(`msg="batch delivered".* trace_id=([0-9a-f]{32}) span_id=[0-9a-f]{16} trace_flags=01\n`).FindAllStringSubmatch(p.log.String(), -1)
	if lines < len(shopTopics) || len(local) != lines || !traces[local[0][1]] {
		t.Errorf("%d lines about batches at the collector, %d here:\n%s", lines, len(local), p.log)
	}
	if !slices.ContainsFunc(r.Metrics(), func(m otlptest.Metric) bool { return m.Name == "sluice.rows" }) {
		t.Error("no sluice.rows at the collector")
	}
}

// TestCollectorHangs: a collector that takes connections and never answers, for all
// signals, keeps no row from its table, and no stop from its end: what the program waits for by
// itself there is lastTelemetry, for by the SDK's settings it would be hours.
func TestCollectorHangs(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s, emu, env := shopped(t, 500)
			maps.Copy(env, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": otlptest.BlackHole(t), "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_LOGS_EXPORTER": "otlp",
				"OTEL_BSP_SCHEDULE_DELAY": "1", "OTEL_BLRP_SCHEDULE_DELAY": "1", "OTEL_METRIC_EXPORT_INTERVAL": "10", "OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"})
			for _, limit := range []string{"EXPORTER_OTLP_TIMEOUT", "BSP_EXPORT_TIMEOUT", "BLRP_EXPORT_TIMEOUT", "METRIC_EXPORT_TIMEOUT"} {
				env["OTEL_"+limit] = "3600000"
			}
			p := start(t, env)
			s.arrived(t, emu)
			p.stop(t)
			if !strings.Contains(p.log.String(), "telemetry is not sent") {
				t.Errorf("the log does not tell of it:\n%s", p.log)
			}
		})
	}
}

// TestWrongVariable: a variable of OpenTelemetry's that cannot be followed is an error of the
// settings.
func TestWrongVariable(t *testing.T) {
	p := start(t, map[string]string{"SLUICE_KAFKA_BROKERS": "127.0.0.1:1", "SLUICE_KAFKA_TOPICS": "t", "SLUICE_CELONIS_URL": "http://127.0.0.1:1",
		"SLUICE_CELONIS_POOL_ID": "p", "SLUICE_CELONIS_API_KEY": "k", "OTEL_TRACES_EXPORTER": "zipkin"})
	p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != exitUsage || !strings.Contains(p.log.String(), "OTEL_TRACES_EXPORTER=zipkin: want otlp") {
		t.Errorf("exit code %d: %s", got, p.log)
	}
}

// TestNothingPrivate: with every secret set, accepted or refused, and rows and bad records full
// of it, one text is nowhere in the log, in what goes to a collector, or on the pages.
func TestNothingPrivate(t *testing.T) {
	t.Parallel()
	const canary = "Xq7canary"
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "s.public.good", "s.public.bad", "s.public.held", "s.public.framed", "dead"),
		kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "me", canary), kfake.Superuser("PLAIN", "other", "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.SASL(scram.Auth{User: "me", Pass: canary}.AsSha512Mechanism()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	change := func(table, id, value string) *kgo.Record {
		const source = `"source":{"connector":"postgresql","name":"s","db":"d","schema":"public","table":%q,"ts_ms":1},"ts_ms":1`
		return &kgo.Record{Topic: "s.public." + table, Key: fmt.Appendf(nil, `{"id":%s}`, id),
			Value: fmt.Appendf(nil, `{"op":"c","before":null,"after":{"id":%s,"v":%s},`+source+`}`, id, value, table)}
	}
	text := `"` + canary + `"`
	for _, rec := range []*kgo.Record{
		change("good", text, text), change("good", `"`+canary+`2"`, text),
		change("bad", "1", "1"), change("bad", "2", text), change("bad", "4", `{"a":`+text), change("bad", "5", "1"+text),
		{Topic: "s.public.bad", Key: []byte(canary), Value: []byte(canary)},
		{Topic: "s.public.bad", Key: []byte(`{"id":` + text + `}`), Value: []byte(`{"op":` + text + `}`)},
		change("held", "1", "1"), change("held", "2", text), change("held", text, "3"),
		{Topic: "s.public.framed", Key: []byte(canary), Value: append([]byte{0, 0, 0, 0, 7}, canary...)},
	} {
		if err := client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusUnauthorized) }))
	defer refuses.Close()
	emu := emulator.New(emulator.Options{ClientID: "me", Secret: canary})
	emu.Inject("execute", emulator.JobError, 0, 1)
	api := httptest.NewServer(watched(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		emu.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		w.Write(bytes.ReplaceAll(answer.Body.Bytes(), []byte("connection to the database was lost"), []byte("value '"+canary+"' in row 17")))
	})))
	defer api.Close()
	pipe := pipeline.New(pipeline.Options{Key: canary})
	if err := pipe.Create("p", "CREATE TABLE public_good (id VARCHAR NOT NULL PRIMARY KEY, v VARCHAR); CREATE TABLE public_held (id BIGINT NOT NULL PRIMARY KEY, v TINYINT);"); err != nil {
		t.Fatal(err)
	}
	pipe.Start("p")
	manager := httptest.NewServer(pipe)
	defer manager.Close()
	r := otlptest.New(t)

	set := map[string]bool{}
	for _, tc := range []struct {
		env  map[string]string
		says []string
	}{
		{map[string]string{"SLUICE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "SLUICE_KAFKA_SASL_USERNAME": "me", "SLUICE_KAFKA_SASL_PASSWORD": canary,
			"SLUICE_CELONIS_OAUTH_CLIENT_ID": "me", "SLUICE_CELONIS_OAUTH_CLIENT_SECRET": canary,
			"SLUICE_SCHEMA_REGISTRY_USERNAME": "me", "SLUICE_SCHEMA_REGISTRY_PASSWORD": canary, "SLUICE_HASH_KEY": canary + canary, "SLUICE_CELONIS_JOB_ATTEMPTS": "1"},
			[]string{"Error while loading: value … in row …", "batch delivered", "bad record, put aside", "on hold", "schema registry does not answer"}},
		{map[string]string{"SLUICE_KAFKA_GROUP": "held", "SLUICE_DEADLETTER_TOPIC": "", "SLUICE_LOG_FORMAT": "json",
			"SLUICE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "SLUICE_KAFKA_SASL_USERNAME": "me", "SLUICE_KAFKA_SASL_PASSWORD": canary,
			"SLUICE_CELONIS_API_KEY": canary, "SLUICE_SCHEMA_REGISTRY_TOKEN": canary}, []string{"refuses the credentials", "on hold", "schema registry does not answer"}},
		{map[string]string{"SLUICE_KAFKA_SASL_MECHANISM": "PLAIN", "SLUICE_KAFKA_SASL_USERNAME": "other", "SLUICE_KAFKA_SASL_PASSWORD": canary,
			"SLUICE_CELONIS_APP_KEY": canary}, []string{"kafka is out of reach"}},
		{map[string]string{"SLUICE_KAFKA_SASL_MECHANISM": "OAUTHBEARER", "SLUICE_KAFKA_SASL_CLIENT_ID": "me", "SLUICE_KAFKA_SASL_CLIENT_SECRET": canary,
			"SLUICE_KAFKA_SASL_TOKEN_URL": refuses.URL, "SLUICE_CELONIS_APP_KEY": canary}, []string{"kafka is out of reach"}},
		{map[string]string{"SLUICE_KAFKA_GROUP": "feldera", "SLUICE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "SLUICE_KAFKA_SASL_USERNAME": "me", "SLUICE_KAFKA_SASL_PASSWORD": canary,
			"SLUICE_SINK": "feldera", "SLUICE_FELDERA_URL": manager.URL, "SLUICE_FELDERA_PIPELINE": "p", "SLUICE_FELDERA_API_KEY": canary}, []string{"batch delivered", "on hold"}},
	} {
		env := map[string]string{
			"SLUICE_KAFKA_BROKERS": cluster.ListenAddrs()[0], "SLUICE_KAFKA_TOPICS": `^s\..*`, "SLUICE_DEADLETTER_TOPIC": "dead",
			"SLUICE_SCHEMA_REGISTRY_URL": refuses.URL, "SLUICE_CELONIS_URL": api.URL, "SLUICE_CELONIS_POOL_ID": "p", "SLUICE_LOG_LEVEL": "debug",
			"SLUICE_CELONIS_POLL_INTERVAL": "20ms", "SLUICE_BATCH_MAX_AGE": "50ms", "SLUICE_BUDGET_REQUESTS_PER_SECOND": "1000", "SLUICE_DRAIN_TIMEOUT": "1s",
			"OTEL_EXPORTER_OTLP_ENDPOINT": r.HTTP, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20" + canary, "OTEL_LOGS_EXPORTER": "otlp",
		}
		maps.Copy(env, tc.env)
		if env["SLUICE_SCHEMA_REGISTRY_PASSWORD"] == "" && env["SLUICE_SCHEMA_REGISTRY_TOKEN"] == "" {
			delete(env, "SLUICE_SCHEMA_REGISTRY_URL")
		}
		for name := range env {
			set[name] = true
		}
		p := start(t, env)
		for _, says := range tc.says {
			eventually(t, says, func() bool { return strings.Contains(p.log.String(), says) })
		}
		at := regexp.MustCompile(`http://127\.0\.0\.1:\d+/status`).FindString(p.log.String())
		pages := ""
		for _, path := range []string{"/status", "/metrics", "/readyz", "/"} {
			resp, err := http.Get(strings.TrimSuffix(at, "/status") + path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			pages += string(body)
		}
		p.stop(t)
		for where, text := range map[string]string{"log": p.log.String(), "telemetry": r.Text(), "pages": pages} {
			for line := range strings.Lines(text) {
				if strings.Contains(line, canary) {
					t.Errorf("%s: %s", where, line)
				}
			}
		}
	}
	if len(r.Spans()) == 0 || len(r.Logs()) == 0 || len(r.Metrics()) == 0 || r.Requests()[0].Headers["authorization"] != "Bearer "+canary {
		t.Error("no telemetry to look at")
	}
	var reference bytes.Buffer
	if err := config.Reference(&reference); err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^(SLUICE_\S+) .*text; or SLUICE_\S+_FILE`).FindAllStringSubmatch(reference.String(), -1) {
		if !set[m[1]] {
			t.Errorf("the secret %s is not tried", m[1])
		}
	}
}

// BenchmarkTelemetry is the processor time of the program, and not of broker, API and collector
// beside it, for a start, a million changes and a stop: with everything sent, metrics each
// second and a link to each change's own trace, against OTEL_SDK_DISABLED, which makes no span and
// sends nothing, but has every instrument count for /metrics all the same: what counting costs is
// in both. An op is a run of each, side by side and not in turn, for what else the machine does
// then slows both; on/off is the ratio of the two. A program has one processor, or the collector of
// garbage takes what is idle of another. There are ten pairs, each a benchmark of the same name to
// `.ci/full telemetry`, which has them of four ops, and each way is started first in turn.
func BenchmarkTelemetry(b *testing.B) {
	_, _, env := shopped(b, 1_000_000)
	maps.Copy(env, map[string]string{"SLUICE_BATCH_MAX_ROWS": "5000", "SLUICE_BATCH_MAX_AGE": "1s", "SLUICE_BUDGET_JOBS_PER_HOUR": "100000", "GOMAXPROCS": "1",
		"OTEL_LOGS_EXPORTER": "otlp", "OTEL_METRIC_EXPORT_INTERVAL": "1000"})
	client, err := kgo.NewClient(kgo.SeedBrokers(env["SLUICE_KAFKA_BROKERS"]))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	if _, err := binary(); err != nil {
		b.Fatal(err)
	}
	groups := 0
	// begin returns what ends the run once everything is committed, and tells its time.
	begin := func(b *testing.B, disabled bool) (end func() (cpu time.Duration, ended bool)) {
		groups++
		group := fmt.Sprint("run-", groups)
		r, api := otlptest.New(b), httptest.NewServer(emulator.New(emulator.Options{}))
		env := maps.Clone(env)
		maps.Copy(env, map[string]string{"SLUICE_KAFKA_GROUP": group, "SLUICE_CELONIS_URL": api.URL,
			"OTEL_SDK_DISABLED": fmt.Sprint(disabled), "OTEL_EXPORTER_OTLP_ENDPOINT": r.HTTP})
		p := start(b, env)
		return func() (time.Duration, bool) {
			if end, committed, err := offsets(b.Context(), client, group); err != nil || committed < end {
				return 0, false
			}
			p.stop(b)
			api.Close()
			if sent := len(r.Requests()) > 0; sent == disabled {
				b.Errorf("disabled %v, sent anything: %v", disabled, sent)
			}
			return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime(), true
		}
	}
	for i := range 10 {
		b.Run("pair", func(b *testing.B) {
			cpu := map[bool]time.Duration{} // by whether the SDK is disabled
			for first := i%2 == 0; b.Loop(); first = !first {
				running := map[bool]func() (time.Duration, bool){}
				for _, disabled := range []bool{first, !first} {
					running[disabled] = begin(b, disabled)
				}
				for ; len(running) > 0; time.Sleep(20 * time.Millisecond) {
					for disabled, end := range running {
						if took, ended := end(); ended {
							cpu[disabled] += took
							delete(running, disabled)
						}
					}
				}
			}
			b.ReportMetric(cpu[true].Seconds()/float64(b.N), "off-cpu-s/op")
			b.ReportMetric(cpu[false].Seconds()/float64(b.N), "on-cpu-s/op")
			b.ReportMetric(cpu[false].Seconds()/cpu[true].Seconds(), "on/off")
		})
	}
}
