package celonis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/push"
)

// tracing shows requests as OpenTelemetry's conventions for HTTP clients have them
// (https://opentelemetry.io/docs/specs/semconv/http/): a span and a measurement for each
// time that one goes out.
type tracing struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	duration   metric.Float64Histogram
	server     []attribute.KeyValue
	template   string // of what is before a request's own path
}

func newTracing(opt *Options, base string) (t tracing, err error) {
	t = tracing{tracer: opt.Tracer, propagator: opt.Propagator}
	if t.tracer == nil {
		t.tracer = noop.NewTracerProvider().Tracer("")
	}
	if t.propagator == nil {
		t.propagator = propagation.NewCompositeTextMapPropagator()
	}
	meter := opt.Meter
	if meter == nil {
		meter = metricnoop.NewMeterProvider().Meter("")
	}
	t.duration, err = meter.Float64Histogram("http.client.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of HTTP client requests."),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10))
	if err != nil {
		return t, err
	}
	u, err := url.Parse(base)
	if err != nil {
		return t, err
	}
	port, _ := strconv.Atoi(u.Port())
	if port == 0 {
		port = map[string]int{"http": 80, "https": 443}[u.Scheme]
	}
	t.server = []attribute.KeyValue{semconv.ServerAddress(u.Hostname()), semconv.ServerPort(port), semconv.URLScheme(u.Scheme)}
	t.template = u.Path + jobsPath("{poolId}")
	return t, nil
}

// templateOf is the template of a request's URL: in paths below the jobs, the id of one
// comes first.
func (t *tracing) templateOf(path string) string {
	path, _, _ = strings.Cut(path, "?")
	if path == "" {
		return t.template
	}
	_, rest, found := strings.Cut(path, "/")
	if found {
		rest = "/" + rest
	}
	return t.template + "{id}" + rest
}

// request is a request under way.
type request struct {
	*tracing
	ctx    context.Context
	span   trace.Span
	start  time.Time
	common []attribute.KeyValue
}

// begin starts the span of a request, which ctx has from then on. resent is how often it
// went out before.
func (t *tracing) begin(ctx context.Context, method, path, full string, resent int) request {
	template := t.templateOf(path)
	common := append([]attribute.KeyValue{semconv.HTTPRequestMethodKey.String(method), semconv.URLTemplate(template)}, t.server...)
	at := append(common[:len(common):len(common)], semconv.URLFull(full))
	if resent > 0 {
		at = append(at, semconv.HTTPRequestResendCount(resent))
	}
	ctx, span := t.tracer.Start(ctx, method+" "+template, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(at...))
	return request{t, ctx, span, time.Now(), common}
}

// end ends the span. resp is nil where there was no answer, and err says why.
func (r *request) end(resp *http.Response, err error) {
	var at []attribute.KeyValue
	if resp != nil {
		at = append(at, semconv.HTTPResponseStatusCode(resp.StatusCode), semconv.NetworkProtocolVersion(protocol(resp)))
	}
	switch {
	case resp != nil && resp.StatusCode >= 400:
		at = append(at, semconv.ErrorTypeKey.String(strconv.Itoa(resp.StatusCode)))
		r.span.SetStatus(codes.Error, "")
	case err != nil:
		at = append(at, semconv.ErrorTypeKey.String(errorType(err)))
		r.span.SetStatus(codes.Error, "")
	}
	r.span.SetAttributes(at...)
	r.span.End()
	r.duration.Record(r.ctx, time.Since(r.start).Seconds(), metric.WithAttributes(append(at, r.common...)...))
}

func protocol(resp *http.Response) string {
	if resp.ProtoMajor >= 2 {
		return strconv.Itoa(resp.ProtoMajor)
	}
	return fmt.Sprintf("%d.%d", resp.ProtoMajor, resp.ProtoMinor)
}

// errorType classes what kept an answer away.
func errorType(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

// step starts the span of a step of a job's preparation.
func (s *Sink) step(ctx context.Context, name string, at ...attribute.KeyValue) (context.Context, trace.Span) {
	if n := push.Repeat(ctx); n > 0 {
		at = append(at, semconv.HTTPRequestResendCount(n))
	}
	return s.c.tracing.tracer.Start(ctx, name, trace.WithAttributes(at...))
}
