// Package telemetry sets OpenTelemetry up: what the OTEL_ variables ask for, and
// metrics for Prometheus.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

const scope = "github.com/sluice-cdc/sluice"

// Telemetry is traces by OTLP, where an endpoint is set, and metrics for
// Prometheus, always.
type Telemetry struct {
	tracer     trace.Tracer
	meter      metric.Meter
	propagator propagation.TextMapPropagator
	metrics    http.Handler
	requests   metric.Float64Histogram
	stops      []func(context.Context) error
	log        *slog.Logger
}

// New reads the OTEL_ variables of the process. version is the program's.
func New(ctx context.Context, version string, log *slog.Logger) (*Telemetry, error) {
	t := &Telemetry{log: log, tracer: noop.NewTracerProvider().Tracer(scope),
		propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})}
	res, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "sluice"), attribute.String("service.version", version)),
		resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" {
		if p := os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"); p != "" && p != "http/protobuf" {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL=%s: want http/protobuf, whose port usually is 4318", p)
		}
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
		}
		// The batcher drops spans when the collector is away; it never waits for it.
		provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
		t.tracer = provider.Tracer(scope)
		t.stops = append(t.stops, provider.Shutdown)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := otelprom.New(otelprom.WithRegisterer(registry))
	if err != nil {
		return nil, err
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(res))
	t.stops = append(t.stops, provider.Shutdown)
	t.meter = provider.Meter(scope)
	t.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	t.requests, err = t.meter.Float64Histogram("sluice.target.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Requests to the target, by operation and status; status 0 is no answer."),
		metric.WithExplicitBucketBoundaries(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300))
	return t, err
}

// Tracer makes spans, which go nowhere if nothing asks for traces.
func (t *Telemetry) Tracer() trace.Tracer { return t.tracer }

// Meter makes instruments.
func (t *Telemetry) Meter() metric.Meter { return t.meter }

// Propagator carries a span's context to and from other programs.
func (t *Telemetry) Propagator() propagation.TextMapPropagator { return t.propagator }

// Metrics serves every instrument to Prometheus.
func (t *Telemetry) Metrics() http.Handler { return t.metrics }

// Logger writes where New's logger does.
func (t *Telemetry) Logger() *slog.Logger { return t.log }

// Request counts a request to the target.
func (t *Telemetry) Request(op string, status int, took time.Duration) {
	t.requests.Record(context.Background(), took.Seconds(), metric.WithAttributes(
		attribute.String("operation", op), attribute.String("http.response.status_code", strconv.Itoa(status))))
}

// Shutdown sends what is left, until ctx ends.
func (t *Telemetry) Shutdown(ctx context.Context) {
	for _, stop := range t.stops {
		if err := stop(ctx); err != nil {
			t.log.Debug("telemetry", "error", err)
		}
	}
}
