package push

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// ErrorType is the value of error.type, as OpenTelemetry's helpers ask for it.
func (e *Error) ErrorType() string { return e.Kind.String() }

// Fail marks a span as failed. It says what was tried and the class of the failure, and
// not the target's words, which may quote rows.
func Fail(span trace.Span, err error) {
	var e *Error
	text := ""
	switch {
	case errors.As(err, &e):
		if text = e.Op + ": " + e.Kind.String(); e.Status != 0 {
			text += fmt.Sprintf(", HTTP %d", e.Status)
		}
		span.SetAttributes(semconv.ErrorType(err))
	case errors.Is(err, context.Canceled):
		span.SetAttributes(semconv.ErrorTypeKey.String("canceled"))
	case errors.Is(err, context.DeadlineExceeded):
		span.SetAttributes(semconv.ErrorTypeKey.String("timeout"))
	default:
		span.SetAttributes(semconv.ErrorType(err))
	}
	span.SetStatus(codes.Error, text)
}

// End ends a span, as failed if there is an error.
func End(span trace.Span, err error) {
	if err != nil {
		Fail(span, err)
	}
	span.End()
}

// WaitSpan is the name of the span that shows how long something waits for a submission.
const WaitSpan = "wait for budget"

// Await takes a submission for a job that needs another one, and returns how long that
// took. A wait is a span of its own.
func (b *Budget) Await(ctx context.Context, tracer trace.Tracer) (took time.Duration, err error) {
	start := time.Now()
	wait := b.Retry(start)
	if wait <= 0 {
		return 0, nil
	}
	_, span := tracer.Start(ctx, WaitSpan)
	defer func() { End(span, err) }()
	for ; wait > 0; wait = b.Retry(time.Now()) {
		if err := Sleep(ctx, wait); err != nil {
			return time.Since(start), err
		}
	}
	return time.Since(start), nil
}

// repeat is the key of what Repeat returns.
type repeat struct{}

// Repeat returns how many times the step at hand was tried before, for the requests that
// a Sink makes in it.
func Repeat(ctx context.Context) int {
	n, _ := ctx.Value(repeat{}).(int)
	return n
}

// tell notes on the batch's span, which is ctx's, what became known of it.
func (d *Delivery) tell(ctx context.Context) {
	batch := trace.SpanFromContext(ctx)
	batch.SetAttributes(attribute.Int("sluice.job.attempts", d.submitted), attribute.Float64("sluice.budget.wait", d.Waited.Seconds()))
	if d.ticket.ID != "" {
		batch.SetAttributes(attribute.String("sluice.job.id", d.ticket.ID))
	}
}

// span starts the span of a step.
func (p *Pusher) span(ctx context.Context, name string, d *Delivery, opt ...trace.SpanStartOption) (context.Context, trace.Span) {
	return p.Tracer.Start(ctx, name, append(opt, trace.WithAttributes(attribute.String("sluice.table", d.Jobs[d.part].Table.Name),
		attribute.String("sluice.job.id", d.ticket.ID)))...)
}

// done notes when a job of the batch was seen to be DONE: a span that takes no time, beside
// the steps, for stores search spans and not their events.
func (p *Pusher) done(ctx context.Context, d *Delivery) {
	now := time.Now()
	_, span := p.span(ctx, "DONE", d, trace.WithTimestamp(now))
	span.End(trace.WithTimestamp(now))
}

// maxPollSpans is how many requests of one polling have spans: a job may run for hours.
const maxPollSpans = 10

// unrecorded returns a context under which a sampler that follows its parent, as the
// default does, records nothing.
func unrecorded(ctx context.Context) context.Context {
	sc := trace.SpanContextFromContext(ctx)
	return trace.ContextWithSpanContext(ctx, sc.WithTraceFlags(sc.TraceFlags().WithSampled(false)))
}
