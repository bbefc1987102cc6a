package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutlog"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exporters makes those that a signal asks for. None of them connects before it has
// something to send. http and grpc take an endpoint, empty where the variables have one.
func exporters[E any](s signal, console func() (E, error), http, grpc func(endpoint string) (E, error)) (all []E, err error) {
	var makers []func() (E, error)
	if s.console {
		makers = append(makers, console)
	}
	if s.otlp && s.grpc {
		makers = append(makers, func() (E, error) { return grpc(s.endpoint) })
	} else if s.otlp {
		makers = append(makers, func() (E, error) { return http(s.endpoint) })
	}
	for _, make := range makers {
		one, err := make()
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// at is an option that sets an endpoint, none where there is none to set.
func at[O any](option func(string) O, endpoint string) []O {
	if endpoint == "" {
		return nil
	}
	return []O{option(endpoint)}
}

func spanExporters(ctx context.Context, s signal) ([]sdktrace.SpanExporter, error) {
	return exporters(s,
		func() (sdktrace.SpanExporter, error) { return stdouttrace.New() },
		func(endpoint string) (sdktrace.SpanExporter, error) {
			return otlptracehttp.New(ctx, at(otlptracehttp.WithEndpointURL, endpoint)...)
		},
		func(endpoint string) (sdktrace.SpanExporter, error) {
			return otlptracegrpc.New(ctx, at(otlptracegrpc.WithEndpointURL, endpoint)...)
		})
}

func metricExporters(ctx context.Context, s signal) ([]sdkmetric.Exporter, error) {
	return exporters(s,
		func() (sdkmetric.Exporter, error) { return stdoutmetric.New() },
		func(endpoint string) (sdkmetric.Exporter, error) {
			return otlpmetrichttp.New(ctx, at(otlpmetrichttp.WithEndpointURL, endpoint)...)
		},
		func(endpoint string) (sdkmetric.Exporter, error) {
			return otlpmetricgrpc.New(ctx, at(otlpmetricgrpc.WithEndpointURL, endpoint)...)
		})
}

func logExporters(ctx context.Context, s signal) ([]sdklog.Exporter, error) {
	return exporters(s,
		func() (sdklog.Exporter, error) { return stdoutlog.New() },
		func(endpoint string) (sdklog.Exporter, error) {
			return otlploghttp.New(ctx, at(otlploghttp.WithEndpointURL, endpoint)...)
		},
		func(endpoint string) (sdklog.Exporter, error) {
			return otlploggrpc.New(ctx, at(otlploggrpc.WithEndpointURL, endpoint)...)
		})
}
