package telemetry

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
)

// of reads settings from name=value pairs.
func of(env ...string) (*settings, error) {
	return readSettings(func(name string) string {
		for _, kv := range env {
			if v, ok := strings.CutPrefix(kv, name+"="); ok {
				return v
			}
		}
		return ""
	})
}

// TestWhere: which exporters the variables ask for.
func TestWhere(t *testing.T) {
	const common, localhost = "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "http://localhost:4318/v1/"
	off, otlp, console := signal{}, signal{otlp: true}, signal{console: true}
	for _, tc := range []struct {
		env                   []string
		traces, metrics, logs signal
	}{
		{nil, off, off, off},
		{[]string{common}, otlp, otlp, off},
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:4318/v1/traces"}, otlp, off, off},
		{[]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c:4318/v1/metrics"}, off, otlp, off},
		{[]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://c:4318/v1/logs"}, off, off, otlp},
		{[]string{common, "OTEL_LOGS_EXPORTER=otlp"}, otlp, otlp, otlp},
		{[]string{common, "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none"}, off, off, off},
		{[]string{common, "OTEL_TRACES_EXPORTER="}, otlp, otlp, off}, // empty is unset
		{[]string{common, "OTEL_TRACES_EXPORTER=otlp,console", "OTEL_METRICS_EXPORTER=otlp, prometheus"}, signal{otlp: true, console: true}, otlp, off},
		{[]string{"OTEL_TRACES_EXPORTER=console", "OTEL_METRICS_EXPORTER=console", "OTEL_LOGS_EXPORTER=console"}, console, console, console},
		{[]string{common, "OTEL_METRICS_EXPORTER=prometheus"}, otlp, off, off},
		{[]string{common, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf"}, signal{otlp: true, grpc: true}, otlp, off},
		{[]string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_LOGS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL=grpc"},
			signal{otlp: true, endpoint: localhost + "traces"}, off, signal{otlp: true, grpc: true, endpoint: "http://localhost:4317"}},
		{[]string{common, "OTEL_LOGS_EXPORTER=otlp", "OTEL_SDK_DISABLED=True", "OTEL_TRACES_EXPORTER=nonsense"}, off, off, off},
		{[]string{common, "OTEL_SDK_DISABLED=false"}, otlp, otlp, off},
	} {
		s, err := of(tc.env...)
		if err != nil || s.traces != tc.traces || s.metrics != tc.metrics || s.logs != tc.logs {
			t.Errorf("%v: %+v, %v", tc.env, s, err)
		}
	}
}

// TestPropagators: as the variable says, W3C's two without it, also where the SDK is disabled.
func TestPropagators(t *testing.T) {
	for _, tc := range []struct {
		env  []string
		want []string
	}{
		{nil, []string{"baggage", "traceparent", "tracestate"}},
		{[]string{"OTEL_SDK_DISABLED=true"}, []string{"baggage", "traceparent", "tracestate"}},
		{[]string{"OTEL_PROPAGATORS=b3"}, []string{"b3"}},
		{[]string{"OTEL_PROPAGATORS=tracecontext, jaeger"}, []string{"traceparent", "tracestate", "uber-trace-id"}},
		{[]string{"OTEL_PROPAGATORS=none"}, nil},
	} {
		s, err := of(tc.env...)
		if err != nil {
			t.Error(err)
			continue
		}
		fields := s.propagator.Fields()
		slices.Sort(fields)
		if !slices.Equal(fields, tc.want) {
			t.Errorf("%v: %v", tc.env, fields)
		}
	}
}

// TestProblems: what the SDK would pass over is an error that names the variable and
// what it takes, and shows no secret.
func TestProblems(t *testing.T) {
	const on = "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"
	noPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(noPEM, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		env  []string
		want string
	}{
		{[]string{"OTEL_TRACES_EXPORTER=zipkin"}, "OTEL_TRACES_EXPORTER=zipkin: want otlp, console or none"},
		{[]string{"OTEL_TRACES_EXPORTER=prometheus"}, "OTEL_TRACES_EXPORTER=prometheus: want otlp, console or none"},
		{[]string{"OTEL_METRICS_EXPORTER=otlp,none"}, "OTEL_METRICS_EXPORTER=otlp,none: want otlp, console, prometheus or none"},
		{[]string{on, "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, "OTEL_EXPORTER_OTLP_PROTOCOL=http/json: want http/protobuf"},
		{[]string{on, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http: want http/protobuf"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318: want http://host:port"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=10.0.0.1:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT: want http://host:port"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=ftp://me:canary@c"}, "OTEL_EXPORTER_OTLP_ENDPOINT=ftp://me:xxxxx@c: want"},
		{[]string{on, "OTEL_EXPORTER_OTLP_HEADERS=Authorization: canary"}, "OTEL_EXPORTER_OTLP_HEADERS: want key=value"},
		{[]string{on, "OTEL_EXPORTER_OTLP_HEADERS=Authorization: canary="}, "OTEL_EXPORTER_OTLP_HEADERS: want key=value"},
		{[]string{on, "OTEL_EXPORTER_OTLP_METRICS_HEADERS=a=b,c=canary%"}, "OTEL_EXPORTER_OTLP_METRICS_HEADERS: want key=value"},
		{[]string{on, "OTEL_EXPORTER_OTLP_COMPRESSION=zstd"}, "OTEL_EXPORTER_OTLP_COMPRESSION=zstd: want gzip or none"},
		{[]string{on, "OTEL_EXPORTER_OTLP_CERTIFICATE=" + noPEM}, "no certificate in it"},
		{[]string{on, "OTEL_EXPORTER_OTLP_CLIENT_KEY=/nowhere"}, "OTEL_EXPORTER_OTLP_CLIENT_KEY: open /nowhere"},
		{[]string{"OTEL_SDK_DISABLED=1"}, "OTEL_SDK_DISABLED=1: want true or false"},
		{[]string{"OTEL_PROPAGATORS=tracecontext,b4"}, "OTEL_PROPAGATORS=tracecontext,b4: want tracecontext"},
	} {
		_, err := of(tc.env...)
		var settings *config.Error
		if !errors.As(err, &settings) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v: %v", tc.env, err)
		}
	}
}

// TestWarnings: what is passed over is said, with the variable, its value and what it takes.
func TestWarnings(t *testing.T) {
	const sampler, arg = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
	for _, tc := range []struct {
		env          map[string]string
		seen, remedy string // "": no warning
	}{
		{nil, "", ""},
		{map[string]string{sampler: "always_off"}, "", ""},
		{map[string]string{sampler: " TraceIdRatio", arg: "0.25"}, "", ""},
		{map[string]string{sampler: "parentbased_traceidratio"}, "", ""},
		{map[string]string{sampler: "parentbased_traceidratio", arg: "1"}, "", ""},
		{map[string]string{sampler: "sometimes"}, "OTEL_TRACES_SAMPLER=sometimes: no such sampler, so it is parentbased_always_on", "always_on, parentbased_always_off"},
		{map[string]string{sampler: "parentbased_jaeger_remote", arg: "endpoint=http://c"}, "OTEL_TRACES_SAMPLER=parentbased_jaeger_remote: no such sampler", "want one of"},
		{map[string]string{sampler: "traceidratio", arg: "10%"}, "OTEL_TRACES_SAMPLER_ARG=10%: no ratio, so every trace is taken", "from 0 to 1"},
		{map[string]string{sampler: "traceidratio", arg: "10"}, "OTEL_TRACES_SAMPLER_ARG=10: no ratio", "from 0 to 1"},
		{map[string]string{sampler: "parentbased_traceidratio", arg: "-0.1"}, "OTEL_TRACES_SAMPLER_ARG=-0.1: no ratio", "from 0 to 1"},
		{map[string]string{arg: "0.1"}, "OTEL_TRACES_SAMPLER_ARG=0.1: the sampler parentbased_always_on takes none", "OTEL_TRACES_SAMPLER=parentbased_traceidratio"},
		{map[string]string{sampler: "sometimes", "OTEL_SDK_DISABLED": "true"}, "", ""},
		{map[string]string{"OTEL_CONFIG_FILE": "/etc/otel.yaml", "OTEL_SDK_DISABLED": "true"}, "OTEL_CONFIG_FILE=/etc/otel.yaml: the file is not read", "sluice config"},
		{map[string]string{"OTEL_EXPERIMENTAL_CONFIG_FILE": "otel.yaml"}, "OTEL_EXPERIMENTAL_CONFIG_FILE=otel.yaml: the file is not read", "unset it"},
	} {
		got := Warnings(func(name string) string { return tc.env[name] })
		if tc.seen == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || tc.seen == "" || !strings.HasPrefix(got[0].Seen, tc.seen) || !strings.Contains(got[0].Remedy, tc.remedy) {
			t.Errorf("%v: %q", tc.env, got)
		}
	}
}

// TestWrongSampler: what a warning says of a sampler is so, and the SDK does not say it again.
func TestWrongSampler(t *testing.T) {
	for _, tc := range []struct {
		name, arg string
		sampled   bool
		warnings  int
	}{
		{"", "", true, 0}, {"always_off", "", false, 0}, {"traceidratio", "0", false, 0},
		{"sometimes", "", true, 1}, {"traceidratio", "0%", true, 1}, {"parentbased_always_off", "1", false, 1},
	} {
		t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
		t.Setenv("OTEL_TRACES_SAMPLER", tc.name)
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", tc.arg)
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
			if strings.Contains(err.Error(), "sampler") { // other tests' exporters have errors of their own
				t.Errorf("%s %s: the SDK says it to whom it spoke before: %v", tc.name, tc.arg, err)
			}
		}))
		var log bytes.Buffer
		tel, err := New(t.Context(), "v", slog.New(plain(&log)))
		if err != nil {
			t.Fatal(err)
		}
		_, span := tel.Tracer().Start(t.Context(), "work") // it never ends, so nothing is sent
		if got := span.SpanContext().IsSampled(); got != tc.sampled {
			t.Errorf("%s %s: sampled is %v", tc.name, tc.arg, got)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != tc.warnings || n > 0 && !strings.Contains(log.String(), "OTEL_TRACES_SAMPLER") {
			t.Errorf("%s %s: %s", tc.name, tc.arg, &log)
		}
		tel.stopIn(time.Minute)
	}
}

// TestCollectors: each address once, with the variable that has telemetry sent there.
func TestCollectors(t *testing.T) {
	const all, logs = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"
	for _, tc := range []struct{ env, want map[string]string }{
		{nil, map[string]string{}},
		{map[string]string{all: "http://c:1"}, map[string]string{"http://c:1": all}},
		{map[string]string{all: "http://c:1", logs: "http://l:2"}, map[string]string{"http://c:1": all, "http://l:2": logs}},
		{map[string]string{all: "http://c:1", "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "prometheus"}, map[string]string{}},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, map[string]string{"http://localhost:4318/v1/traces": "OTEL_TRACES_EXPORTER"}},
		{map[string]string{all: "http://c:1", "OTEL_SDK_DISABLED": "true"}, map[string]string{}},
	} {
		got, err := Collectors(func(name string) string { return tc.env[name] })
		if err != nil || !maps.Equal(got, tc.want) {
			t.Errorf("%v: %v, %v", tc.env, got, err)
		}
	}
	var wrong *config.Error
	if _, err := Collectors(func(string) string { return "nonsense" }); !errors.As(err, &wrong) {
		t.Errorf("nonsense: %v", err)
	}
}
