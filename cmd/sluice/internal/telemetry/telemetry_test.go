package telemetry

import (
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/otlptest"
)

// use makes a span with a measurement and a line of the log in it, and stops.
func use(t *testing.T, local slog.Handler) (*Telemetry, trace.SpanContext) {
	t.Helper()
	tel, err := New(t.Context(), "v1.2.3", slog.New(local))
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := tel.Tracer().Start(t.Context(), "work")
	duration, err := tel.Meter().Float64Histogram("sluice.test.duration", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	duration.Record(ctx, 1.5, metric.WithAttributes(attribute.String("sluice.table", "t")))
	tel.Logger().InfoContext(ctx, "delivered", "rows", 7)
	tel.Logger().DebugContext(ctx, "below the level")
	span.End()
	return tel, span.SpanContext()
}

func (t *Telemetry) stopIn(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	t.Shutdown(ctx)
}

// TestExport: by both protocols all three signals arrive, with the headers and the resource
// that the variables give, and the trace's ids on the log and on the measurement.
func TestExport(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			r := otlptest.New(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", map[string]string{"grpc": r.GRPC}[protocol])
			if protocol != "grpc" {
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.HTTP)
			}
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_LOGS_EXPORTER", "otlp")
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc,x-tenant=7")
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=sluice-0,service.name=other,service.instance.id=sluice-0")
			t.Setenv("OTEL_SERVICE_NAME", "orders")
			var local bytes.Buffer
			tel, span := use(t, plain(&local))
			tel.stopIn(time.Minute)

			for _, one := range r.Requests() {
				if one.Headers["authorization"] != "Bearer abc" || one.Headers["x-tenant"] != "7" {
					t.Errorf("headers %v", one.Headers)
				}
			}
			resource := func(got map[string]string) {
				t.Helper()
				for k, want := range map[string]string{"service.name": "orders", "service.version": "v1.2.3", "service.instance.id": "sluice-0", "k8s.pod.name": "sluice-0", "telemetry.sdk.language": "go"} {
					if got[k] != want {
						t.Errorf("%s=%q, want %q", k, got[k], want)
					}
				}
			}
			spans := r.Spans()
			if len(spans) != 1 || spans[0].Name != "work" || hex.EncodeToString(spans[0].TraceId) != span.TraceID().String() {
				t.Fatalf("spans %v", spans)
			}
			resource(spans[0].Resource)
			found := map[string]bool{}
			for _, m := range r.Metrics() {
				found[m.Name] = true
				resource(m.Resource)
				if m.Name == "sluice.test.duration" {
					point := m.GetHistogram().DataPoints[0]
					if point.GetSum() != 1.5 || len(point.Exemplars) != 1 || !bytes.Equal(point.Exemplars[0].TraceId, spans[0].TraceId) {
						t.Errorf("measured %v", point)
					}
				}
			}
			if !found["sluice.test.duration"] || !found["go.memory.used"] {
				t.Errorf("metrics %v", found)
			}
			logs := r.Logs()
			if len(logs) != 1 || logs[0].Body.GetStringValue() != "delivered" || len(logs[0].Attributes) != 1 ||
				!bytes.Equal(logs[0].TraceId, spans[0].TraceId) || !bytes.Equal(logs[0].SpanId, spans[0].SpanId) || logs[0].Flags != 1 {
				t.Fatalf("logs %v", logs)
			}
			resource(logs[0].Resource)
			want := "level=INFO msg=delivered rows=7 trace_id=" + span.TraceID().String() + " span_id=" + span.SpanID().String() + " trace_flags=01\n"
			if local.String() != want {
				t.Errorf("local log %q, want %q", &local, want)
			}
		})
	}
}

// TestResource: without variables a process has a name, a version and an id of its own.
func TestResource(t *testing.T) {
	r := otlptest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.HTTP)
	ids := map[string]bool{}
	for range 2 {
		tel, _ := use(t, slog.DiscardHandler)
		tel.stopIn(time.Minute)
	}
	for _, s := range r.Spans() {
		if s.Resource["service.name"] != "sluice" {
			t.Errorf("%v", s.Resource)
		}
		ids[s.Resource["service.instance.id"]] = true
	}
	if len(ids) != 2 || ids[""] || len(r.Logs()) > 0 {
		t.Errorf("ids %v, %d records of the log, which nothing asked for", ids, len(r.Logs()))
	}
}

// TestOff: nothing is sent when nothing is to be, and what others hand over is still
// handed on.
func TestOff(t *testing.T) {
	for _, env := range []map[string]string{
		{"OTEL_SDK_DISABLED": "true", "OTEL_LOGS_EXPORTER": "otlp"},
		{"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
		{"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "prometheus"},
	} {
		r := otlptest.New(t)
		t.Run("", func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.HTTP)
			for k, v := range env {
				t.Setenv(k, v)
			}
			tel, span := use(t, slog.DiscardHandler)
			if span.IsValid() || len(r.Requests()) > 0 {
				t.Errorf("%v: span %v", env, span)
			}
			header := propagation.HeaderCarrier{"Traceparent": {"00-4b000000000000000000000000000036-af00000000000027-01"}}
			out := propagation.HeaderCarrier{}
			tel.Propagator().Inject(tel.Propagator().Extract(t.Context(), header), out)
			if out.Get("traceparent") != header.Get("traceparent") {
				t.Errorf("%v: handed on %v", env, out)
			}
			if page := scrape(tel, ""); !strings.Contains(page, "sluice_test_duration_seconds_count") {
				t.Errorf("%v: /metrics has\n%s", env, page)
			}
			tel.stopIn(time.Minute)
			if got := r.Requests(); len(got) > 0 {
				t.Errorf("%v: sent %v", env, got)
			}
		})
	}
}

// TestSampler: the SDK's own variables work.
func TestSampler(t *testing.T) {
	r := otlptest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", r.HTTP+"/v1/traces")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	tel, _ := use(t, slog.DiscardHandler)
	tel.stopIn(time.Minute)
	if got := r.Requests(); len(got) > 0 {
		t.Errorf("sent %v", got)
	}
}

func scrape(tel *Telemetry, accept string) string {
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	tel.Metrics().ServeHTTP(w, req)
	return w.Body.String()
}

// TestPrometheus: names without scopes, the runtime once, and exemplars for those who ask
// for OpenMetrics.
func TestPrometheus(t *testing.T) {
	r := otlptest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.HTTP)
	tel, span := use(t, slog.DiscardHandler)
	defer tel.stopIn(time.Minute)
	page := scrape(tel, "")
	for _, want := range []string{`sluice_test_duration_seconds_count{sluice_table="t"} 1`, "go_memory_used_bytes{", "go_goroutine_count ", "process_start_time_seconds ", `service_version="v1.2.3"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, page)
		}
	}
	for _, not := range []string{"otel_scope", "go_goroutines", "go_memstats", "span_id"} {
		if strings.Contains(page, not) {
			t.Errorf("%s in\n%s", not, page)
		}
	}
	open := scrape(tel, "application/openmetrics-text; version=1.0.0")
	if !regexp.MustCompile(`sluice_test_duration_seconds_bucket\{.*# \{.*trace_id="` + span.TraceID().String() + `"`).MatchString(open) {
		t.Errorf("no exemplar in\n%s", open)
	}
}

// TestSilentCollector: a collector that takes connections and never answers holds up
// neither the start nor the work, whose queue it overflows, nor the stop.
func TestSilentCollector(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		for _, only := range []string{"TRACES", "METRICS", "LOGS"} {
			t.Run(protocol+" "+only, func(t *testing.T) {
				t.Setenv("OTEL_EXPORTER_OTLP_"+only+"_ENDPOINT", otlptest.BlackHole(t))
				t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
				t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
				t.Setenv("OTEL_BLRP_SCHEDULE_DELAY", "1")
				t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "1")
				for _, limit := range []string{"EXPORTER_OTLP_TIMEOUT", "BSP_EXPORT_TIMEOUT", "BLRP_EXPORT_TIMEOUT", "METRIC_EXPORT_TIMEOUT"} {
					t.Setenv("OTEL_"+limit, "3600000") // whoever waits for an answer waits an hour
				}
				var log lines
				tel, _ := use(t, plain(&log))
				for range 10_000 { // the queues hold 2048
					ctx, span := tel.Tracer().Start(t.Context(), "more")
					tel.Logger().InfoContext(ctx, "more")
					span.End()
				}
				tel.stopIn(100 * time.Millisecond)
				// One, one that counts the rest, and perhaps one more after that.
				if n := strings.Count(log.String(), "telemetry is not sent"); n == 0 || n > 3 || strings.Count(log.String(), "more") < 10_000 {
					t.Errorf("the log tells %d times that nothing is sent:\n%s", n, regexp.MustCompile(".*msg=more.*\n").ReplaceAllString(log.String(), ""))
				}
			})
		}
	}
}

// TestSDKErrors: what the SDK has to say is in the log, once a minute, with the rest
// counted.
func TestSDKErrors(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_TRACES_SAMPLER", "sometimes")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")
	var log lines
	tel, err := New(t.Context(), "v1.2.3", slog.New(plain(&log)))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		otel.Handle(context.DeadlineExceeded)
	}
	tel.stopIn(time.Second)
	for _, want := range []string{"sometimes", "10s", "repeated="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, &log)
		}
	}
	if n := strings.Count(log.String(), "telemetry is not sent"); n != 2 {
		t.Errorf("told %d times:\n%s", n, &log)
	}
}

// TestConsole: what is for the console goes to standard output, and the exporters can be
// several.
func TestConsole(t *testing.T) {
	s, err := of("OTEL_TRACES_EXPORTER=console,otlp", "OTEL_METRICS_EXPORTER=console", "OTEL_LOGS_EXPORTER=otlp,console")
	if err != nil {
		t.Fatal(err)
	}
	spans, err := spanExporters(t.Context(), s.traces)
	if err != nil || len(spans) != 2 {
		t.Errorf("%v, %v", spans, err)
	}
	metrics, err := metricExporters(t.Context(), s.metrics)
	if err != nil || len(metrics) != 1 {
		t.Errorf("%v, %v", metrics, err)
	}
	logs, err := logExporters(t.Context(), s.logs)
	if err != nil || len(logs) != 2 {
		t.Errorf("%v, %v", logs, err)
	}
}
