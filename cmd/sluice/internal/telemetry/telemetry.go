// Package telemetry sets OpenTelemetry up as the OTEL_ variables ask, and what Sluice
// adds to it: metrics for Prometheus, and a log that knows traces and repeats.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
)

const scope = "github.com/sluice-cdc/sluice"

// How often a minute a warning about one table, and one of the SDK's, is logged.
const (
	mostRepeats = 10
	mostFromSDK = 1
)

// Telemetry is where spans, measurements and the log go. None of them waits for a
// collector: what cannot be sent in time is dropped, and delivery goes on.
type Telemetry struct {
	tracer     trace.Tracer
	meter      metric.Meter
	propagator propagation.TextMapPropagator
	metrics    http.Handler
	log        *slog.Logger
	kept       []repeats
	stops      []func(context.Context) error
}

// New reads the OTEL_ variables of the process; what is wrong with them is a
// *config.Error. version is the program's. The log that it makes ends in log's handler.
// Errors of the SDK, which are the process's, go to the log of the last New.
func New(ctx context.Context, version string, log *slog.Logger) (*Telemetry, error) {
	set, err := readSettings(os.Getenv)
	if err != nil {
		return nil, err
	}
	res, err := resource.New(ctx, resource.WithService(), resource.WithAttributes(
		attribute.String("service.name", "sluice"), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, &config.Error{Problems: []string{"OTEL_RESOURCE_ATTRIBUTES: " + err.Error()}}
	}
	t := &Telemetry{propagator: set.propagator, tracer: noop.NewTracerProvider().Tracer(scope)}
	logs, err := logExporters(ctx, set.logs)
	if err != nil {
		return nil, fmt.Errorf("OTEL_LOGS_EXPORTER: %w", err)
	}
	fromSDK := t.logs(logs, res, log.Handler())
	for _, w := range Warnings(os.Getenv) {
		t.log.Warn(w.String())
	}
	otel.SetLogger(logr.FromSlogHandler(fromSDK))
	// Nothing is sent yet: what there is to say is of the sampler, and was just said better.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	spans, err := spanExporters(ctx, set.traces)
	if err != nil {
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: %w", err)
	}
	t.traces(spans, res, version)
	sdk := slog.New(fromSDK)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		sdk.Warn("telemetry is not sent; delivery goes on", "error", err)
	}))
	metrics, err := metricExporters(ctx, set.metrics)
	if err == nil {
		err = t.measures(metrics, res, version, fromSDK)
	}
	if err != nil {
		return nil, fmt.Errorf("OTEL_METRICS_EXPORTER: %w", err)
	}
	return t, nil
}

// logs makes the log, and a handler to the same places for what the SDK says.
func (t *Telemetry) logs(all []sdklog.Exporter, res *resource.Resource, local slog.Handler) (fromSDK slog.Handler) {
	var h slog.Handler = correlated{local}
	if len(all) > 0 {
		opts := []sdklog.LoggerProviderOption{sdklog.WithResource(res)}
		for _, one := range all {
			opts = append(opts, sdklog.WithProcessor(sdklog.NewBatchProcessor(one)))
		}
		provider := sdklog.NewLoggerProvider(opts...)
		t.stops = append(t.stops, provider.Shutdown)
		h = both{h, otelslog.NewHandler(scope, otelslog.WithLoggerProvider(provider))}
	}
	t.kept = []repeats{newRepeats(h, mostRepeats), newRepeats(h, mostFromSDK)}
	t.log = slog.New(t.kept[0])
	return t.kept[1]
}

func (t *Telemetry) traces(all []sdktrace.SpanExporter, res *resource.Resource, version string) {
	if len(all) == 0 {
		return
	}
	opts := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
	for _, one := range all {
		opts = append(opts, sdktrace.WithBatcher(one))
	}
	provider := sdktrace.NewTracerProvider(opts...)
	t.stops = append(t.stops, provider.Shutdown)
	t.tracer = provider.Tracer(scope, trace.WithInstrumentationVersion(version))
}

// measures serves Prometheus also where the SDK is disabled or metrics have no exporter:
// it is asked, nothing is sent, and alerts hang on it.
func (t *Telemetry) measures(all []sdkmetric.Exporter, res *resource.Resource, version string, fromSDK slog.Handler) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	served, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo())
	if err != nil {
		return err
	}
	// No limit to the series of an instrument: the SDK's own drops names in silence, and the
	// instruments bound theirs themselves.
	opts := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithReader(served), sdkmetric.WithCardinalityLimit(0)}
	for _, one := range all {
		opts = append(opts, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(one)))
	}
	provider := sdkmetric.NewMeterProvider(opts...)
	t.stops = append(t.stops, provider.Shutdown)
	if err := runtime.Start(runtime.WithMeterProvider(provider)); err != nil {
		return err
	}
	t.meter = provider.Meter(scope, metric.WithInstrumentationVersion(version))
	// OpenMetrics carries exemplars. One metric that is wrong must not hide the others.
	t.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true,
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(fromSDK, slog.LevelError)})
	return nil
}

// Tracer makes spans, which go nowhere if nothing asks for traces.
func (t *Telemetry) Tracer() trace.Tracer { return t.tracer }

// Meter makes instruments.
func (t *Telemetry) Meter() metric.Meter { return t.meter }

// Propagator carries a span's context to and from other programs, as OTEL_PROPAGATORS says.
func (t *Telemetry) Propagator() propagation.TextMapPropagator { return t.propagator }

// Metrics serves every instrument to Prometheus.
func (t *Telemetry) Metrics() http.Handler { return t.metrics }

// Logger writes to the handler that New was given, with the ids of the context's span and
// without repeats, and to a collector where that is asked for.
func (t *Telemetry) Logger() *slog.Logger { return t.log }

// Shutdown sends what is left, until ctx ends, and tells of what the log kept back.
func (t *Telemetry) Shutdown(ctx context.Context) {
	t.kept[0].flush()
	var all sync.WaitGroup
	for _, stop := range t.stops { // at once: one that hangs takes no time from the others
		all.Go(func() {
			if err := stop(ctx); err != nil {
				otel.Handle(fmt.Errorf("what was left at the stop: %w", err))
			}
		})
	}
	all.Wait()
	t.kept[1].flush()
}
