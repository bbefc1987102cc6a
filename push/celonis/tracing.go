package celonis

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-cdc/sluice/push"
)

// templateOf is the template of a request's URL, below the API's: in paths below the jobs, the id of one
// comes first.
func templateOf(path string) string {
	base := jobsPath("{poolId}")
	path, _, _ = strings.Cut(path, "?")
	if path == "" {
		return base
	}
	_, rest, found := strings.Cut(path, "/")
	if found {
		rest = "/" + rest
	}
	return base + "{id}" + rest
}

// step starts the span of a step of a job's preparation.
func (s *Sink) step(ctx context.Context, name string, at ...attribute.KeyValue) (context.Context, trace.Span) {
	if n := push.Repeat(ctx); n > 0 {
		at = append(at, semconv.HTTPRequestResendCount(n))
	}
	return s.c.requests.Tracer.Start(ctx, name, trace.WithAttributes(at...))
}
