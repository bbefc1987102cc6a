package telemetry

import (
	"context"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// correlated adds the ids of the context's span, under the names that OpenTelemetry has
// for logs of other formats than its own.
type correlated struct{ slog.Handler }

func (h correlated) Handle(ctx context.Context, r slog.Record) error {
	if s := trace.SpanContextFromContext(ctx); s.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", s.TraceID().String()), slog.String("span_id", s.SpanID().String()),
			slog.String("trace_flags", s.TraceFlags().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h correlated) WithAttrs(attrs []slog.Attr) slog.Handler {
	return correlated{h.Handler.WithAttrs(attrs)}
}

func (h correlated) WithGroup(name string) slog.Handler {
	return correlated{h.Handler.WithGroup(name)}
}

// both is a log that a collector gets as well, with the level of the local one.
type both struct{ local, remote slog.Handler }

func (h both) Enabled(ctx context.Context, l slog.Level) bool { return h.local.Enabled(ctx, l) }

func (h both) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(h.local.Handle(ctx, r.Clone()), h.remote.Handle(ctx, r))
}

func (h both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return both{h.local.WithAttrs(attrs), h.remote.WithAttrs(attrs)}
}

func (h both) WithGroup(name string) slog.Handler {
	return both{h.local.WithGroup(name), h.remote.WithGroup(name)}
}
