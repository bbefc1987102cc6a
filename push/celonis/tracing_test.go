package celonis_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// tracedRig is a rig whose requests are recorded.
func tracedRig(t *testing.T, eo emulator.Options) (*rig, *tracetest.SpanRecorder, *sdkmetric.ManualReader) {
	recorder, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("")
	r := newRig(t, eo, func(o *celonis.Options) {
		o.Tracer, o.Meter = tracer, sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("")
	})
	r.pusher.Tracer = tracer
	return r, recorder, reader
}

// attributes are those of a span, as text.
func attributes(s sdktrace.ReadOnlySpan) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// requests are the recorded requests of a name.
func requests(r *tracetest.SpanRecorder, name string) (spans []sdktrace.ReadOnlySpan) {
	for _, s := range r.Ended() {
		if s.SpanKind() == trace.SpanKindClient && s.Name() == name {
			spans = append(spans, s)
		}
	}
	return spans
}

const jobs = "/data-ingestion/api/v1/data-push/{poolId}/jobs/"

// TestRequestSpans: each request is a span as the conventions for HTTP clients have it
// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/), one that is repeated says so.
func TestRequestSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, recorder, reader := tracedRig(t, emulator.Options{})
		r.emu.Inject("execute", emulator.Answer500, 0, 1)
		r.emu.Inject("execute", emulator.LostBefore, 0, 1)
		if err := r.deliver(map[int64]string{1: "a"}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range requests(recorder, "POST "+jobs+"{id}") {
			a := attributes(s)
			got = append(got, strings.Join([]string{a["http.request.method"], a["url.template"], a["server.address"], a["server.port"], a["url.scheme"],
				a["http.response.status_code"], a["error.type"], a["http.request.resend_count"]}, " "))
			if full := a["url.full"]; !strings.HasPrefix(full, "https://team.eu-1.celonis.cloud/data-ingestion/api/v1/data-push/pool/jobs/") {
				t.Errorf("url.full is %s", full)
			}
			if failed := a["error.type"] != ""; failed != (s.Status().Code == codes.Error) {
				t.Errorf("status %v of %v", s.Status(), a)
			}
		}
		const common = "POST " + jobs + "{id} team.eu-1.celonis.cloud 443 https "
		if want := []string{common + "500 500 ", common + " *errors.errorString 1", common + "204  2"}; !slices.Equal(got, want) {
			t.Errorf("executions:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		all := 0
		for _, s := range recorder.Ended() {
			if s.SpanKind() == trace.SpanKindClient {
				all++
			}
		}

		var metrics metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &metrics); err != nil {
			t.Fatal(err)
		}
		m := metrics.ScopeMetrics[0].Metrics[0]
		counted := 0
		for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
			counted += int(p.Count)
			for _, key := range []string{"http.request.method", "server.address", "server.port", "url.template"} {
				if !p.Attributes.HasValue(attribute.Key(key)) {
					t.Errorf("%s is not told of %v", key, p.Attributes)
				}
			}
			if p.Attributes.HasValue("url.full") || p.Bounds[0] != 0.005 || p.Bounds[len(p.Bounds)-1] != 10 {
				t.Errorf("%v", p)
			}
		}
		if m.Name != "http.client.request.duration" || m.Unit != "s" || counted != all {
			t.Errorf("%s has %d requests, the traces %d", m.Name, counted, all)
		}
	})
}

// TestPollSpans: a job that runs long is polled more often than its trace shows.
func TestPollSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, recorder, _ := tracedRig(t, emulator.Options{Delay: 10 * time.Minute})
		if err := r.deliver(map[int64]string{1: "a"}); err != nil {
			t.Fatal(err)
		}
		var polls []sdktrace.ReadOnlySpan
		for _, s := range recorder.Ended() {
			if s.Name() == "poll" {
				polls = append(polls, s)
			}
		}
		if n := len(requests(recorder, "GET "+jobs+"{id}")); n != 10 {
			t.Errorf("%d polls are spans", n)
		}
		if len(polls) != 1 || len(attributes(polls[0])["sluice.job.polls"]) < 2 || polls[0].EndTime().Sub(polls[0].StartTime()) < 10*time.Minute {
			t.Errorf("%v", polls)
		}
	})
}

// broken is a way to the target that leads nowhere.
type broken struct{ err error }

func (b broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, b.err }

// TestRequestErrorTypes: what keeps an answer away has few names.
func TestRequestErrorTypes(t *testing.T) {
	for want, err := range map[string]error{"timeout": context.DeadlineExceeded, "canceled": context.Canceled, "*errors.errorString": io.ErrUnexpectedEOF,
		"celonis_test.strange": strange{}} {
		recorder := tracetest.NewSpanRecorder()
		sink, e := celonis.New(celonis.Options{URL: "http://127.0.0.1:8080", Auth: key("k"), RequestsPerSecond: 1000,
			Signals: push.Signals{Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("")}}, broken{err})
		if e != nil {
			t.Fatal(e)
		}
		_, _ = sink.Status(t.Context(), push.Ticket{ID: "j"})
		spans := recorder.Ended()
		if len(spans) != 1 || attributes(spans[0])["error.type"] != want || attributes(spans[0])["server.port"] != "8080" {
			t.Errorf("%v: %v", err, attributes(spans[0]))
		}
	}
}

type strange struct{}

func (strange) Error() string { return "row-data" }
