package telemetry

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// hung sends to a collector that never answers: whatever it is asked takes until the
// context ends, which is as long as OpenTelemetry's own exporters wait.
func hung(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

type hungSpans struct{}

func (hungSpans) ExportSpans(ctx context.Context, _ []trace.ReadOnlySpan) error { return hung(ctx) }
func (hungSpans) Shutdown(ctx context.Context) error                            { return hung(ctx) }

type hungLogs struct{}

func (hungLogs) Export(ctx context.Context, _ []log.Record) error { return hung(ctx) }
func (hungLogs) ForceFlush(ctx context.Context) error             { return hung(ctx) }
func (hungLogs) Shutdown(ctx context.Context) error               { return hung(ctx) }

type hungMetrics struct{}

func (hungMetrics) Temporality(k metric.InstrumentKind) metricdata.Temporality {
	return metric.DefaultTemporalitySelector(k)
}
func (hungMetrics) Aggregation(k metric.InstrumentKind) metric.Aggregation {
	return metric.DefaultAggregationSelector(k)
}
func (hungMetrics) Export(ctx context.Context, _ *metricdata.ResourceMetrics) error { return hung(ctx) }
func (hungMetrics) ForceFlush(ctx context.Context) error                            { return hung(ctx) }
func (hungMetrics) Shutdown(ctx context.Context) error                              { return hung(ctx) }

// TestHungCollector, in virtual time: where nothing that is sent is ever answered, the work
// waits for none of it, however much there is, and the stop takes as long as it is given for all
// signals together.
func TestHungCollector(t *testing.T) {
	for _, limit := range []string{"BSP_EXPORT_TIMEOUT", "BLRP_EXPORT_TIMEOUT", "METRIC_EXPORT_TIMEOUT"} {
		t.Setenv("OTEL_"+limit, "3600000") // whoever waits for an answer waits an hour
	}
	for _, signals := range []string{"traces", "metrics", "logs", "traces metrics logs"} {
		t.Run(signals, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				on := func(signal string) int { return strings.Count(signals, signal) }
				tel := &Telemetry{}
				var local lines
				fromSDK := tel.logs([]log.Exporter{hungLogs{}}[:on("logs")], resource.Empty(), plain(&local))
				otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
				tel.tracer = trace.NewTracerProvider().Tracer("")
				tel.traces([]trace.SpanExporter{hungSpans{}}[:on("traces")], resource.Empty(), "v")
				if err := tel.measures([]metric.Exporter{hungMetrics{}}[:on("metrics")], resource.Empty(), "v", fromSDK); err != nil {
					t.Fatal(err)
				}
				count, err := tel.Meter().Int64Counter("sluice.test")
				if err != nil {
					t.Fatal(err)
				}
				for minute := range 3 { // so that requests are under way
					begin := time.Now()
					for i := range 10_000 { // the queues hold 2048
						ctx, span := tel.Tracer().Start(t.Context(), "work")
						tel.Logger().InfoContext(ctx, fmt.Sprint("line ", i))
						count.Add(ctx, 1)
						span.End()
					}
					if took := time.Since(begin); took != 0 {
						t.Errorf("minute %d: the work waited %v", minute, took)
					}
					time.Sleep(time.Minute)
				}
				const given = 5 * time.Second
				begin := time.Now()
				tel.stopIn(given)
				if took := time.Since(begin); took != given {
					t.Errorf("the stop took %v, and was given %v", took, given)
				}
				time.Sleep(100 * time.Hour) // for what is under way, which a process would take with it
			})
		})
	}
}
