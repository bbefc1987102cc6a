package push

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
)

// Signals is where requests to a target are shown, and how it is told of their traces. What
// is nil shows nothing.
type Signals struct {
	Tracer     trace.Tracer
	Meter      metric.Meter
	Propagator propagation.TextMapPropagator
}

// Requests shows requests as OpenTelemetry's conventions for HTTP clients have them
// (https://opentelemetry.io/docs/specs/semconv/http/): a span and a measurement for each
// time that one goes out. It may be used concurrently.
type Requests struct {
	Tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	duration   metric.Float64Histogram
	server     []attribute.KeyValue
	path       string // of the server's URL
}

// NewRequests returns what shows the requests to the server of a URL.
func NewRequests(s Signals, server string) (*Requests, error) {
	r := &Requests{Tracer: s.Tracer, propagator: s.Propagator}
	if r.Tracer == nil {
		r.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if r.propagator == nil {
		r.propagator = propagation.NewCompositeTextMapPropagator()
	}
	if s.Meter == nil {
		s.Meter = metricnoop.NewMeterProvider().Meter("")
	}
	var err error
	r.duration, err = s.Meter.Float64Histogram("http.client.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of HTTP client requests."),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10))
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	port, _ := strconv.Atoi(u.Port())
	if port == 0 {
		port = map[string]int{"http": 80, "https": 443}[u.Scheme]
	}
	r.path = u.Path
	r.server = []attribute.KeyValue{semconv.ServerAddress(u.Hostname()), semconv.ServerPort(port), semconv.URLScheme(u.Scheme)}
	return r, nil
}

// NewTransport is what requests to a target go out by: with HTTPS_PROXY from the environment,
// and connections enough for many tables. t is nil for the system's authorities.
func NewTransport(t *tls.Config) http.RoundTripper {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = t
	transport.MaxIdleConnsPerHost = 16
	return transport
}

// Watched tells of every answer, whose body is not to be read.
type Watched struct {
	http.RoundTripper
	Seen func(*http.Response)
}

// RoundTrip implements http.RoundTripper.
func (w Watched) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(req)
	if err == nil {
		w.Seen(resp)
	}
	return resp, err
}

// Step starts the span of a step of a job, within which its requests are made.
func (r *Requests) Step(ctx context.Context, name string, at ...attribute.KeyValue) (context.Context, trace.Span) {
	if n := Repeat(ctx); n > 0 {
		at = append(at, semconv.HTTPRequestResendCount(n))
	}
	return r.Tracer.Start(ctx, name, trace.WithAttributes(at...))
}

// Do sends a request and reads its answer, of at most so many bytes. template is that of its
// path below the server's URL, and resent how often it went out before. The response's body
// is read and closed; it is nil where there was no answer, and else err says that the answer
// broke off.
func (r *Requests) Do(c *http.Client, req *http.Request, template string, resent int, most int64) (*http.Response, []byte, error) {
	start := time.Now()
	template = r.path + template
	common := append([]attribute.KeyValue{semconv.HTTPRequestMethodKey.String(req.Method), semconv.URLTemplate(template)}, r.server...)
	at := append(common[:len(common):len(common)], semconv.URLFull(req.URL.Redacted()))
	if resent > 0 {
		at = append(at, semconv.HTTPRequestResendCount(resent))
	}
	ctx, span := r.Tracer.Start(req.Context(), req.Method+" "+template, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(at...))
	r.propagator.Inject(ctx, propagation.HeaderCarrier(req.Header))
	resp, err := c.Do(req.WithContext(ctx))
	var text []byte
	at = nil
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(resp.Body, most))
		resp.Body.Close()
		at = append(at, semconv.HTTPResponseStatusCode(resp.StatusCode), semconv.NetworkProtocolVersion(protocol(resp)))
	}
	switch {
	case resp != nil && resp.StatusCode >= 400:
		at = append(at, semconv.ErrorTypeKey.String(strconv.Itoa(resp.StatusCode)))
		span.SetStatus(codes.Error, "")
	case err != nil:
		at = append(at, semconv.ErrorTypeKey.String(errorType(err)))
		span.SetStatus(codes.Error, "")
	}
	span.SetAttributes(at...)
	span.End()
	r.duration.Record(ctx, time.Since(start).Seconds(), metric.WithAttributes(append(at, common...)...))
	return resp, text, err
}

// Decode fills into, if it is not nil, from the JSON of an answer that is no refusal; broken
// says that it broke off, and words what people can read of one that is not the API's. The
// error is an *Error of kind Unavailable.
func Decode(op string, status int, text []byte, broken error, into any, words func([]byte) string) error {
	if broken != nil {
		return &Error{Op: op, Kind: Unavailable, Err: fmt.Errorf("the answer broke off: %w", broken)}
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			return &Error{Op: op, Kind: Unavailable, Status: status, Message: "an answer that is not the API's: " + words(text), Err: err}
		}
	}
	return nil
}

// Clip shortens a target's own words to what is kept of them.
func Clip(s string) string {
	const most = 1000
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
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
